//! The small data sets: few typed columns, and the rest as JSON.

use std::sync::Arc;

use heat_model::{AppendTime, Body, Envelope, EventTime, IngestTime, Position, time::MICROS_PER_DAY};
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{digest::HourDigests, layout::Dataset, manifest::FileEntry, schema};

/// One row of a small table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// The network it belongs to; empty where it belongs to none.
    pub network: String,
    /// What it is, such as `ticket` or `command`; the data set's own list.
    pub kind: String,
    /// Its own id; empty where it has none.
    pub id: String,
    /// When it happened.
    pub event_time: EventTime,
    /// When it was received.
    pub ingest_time: IngestTime,
    /// Everything, as JSON.
    pub json: String,
    /// Who numbered the record; empty where nobody did.
    pub gateway: String,
    /// Its run.
    pub epoch: u64,
    /// The number.
    pub seq: u64,
}

/// A row with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedRow {
    pub(crate) row: TableRow,
    pub(crate) position: Position,
}

impl TableRow {
    /// The row of an input that is neither readings nor a heartbeat.
    pub fn of_input(envelope: &Envelope) -> Option<Self> {
        let json = |value: serde_json::Result<String>| value.expect("inputs have string keys only");
        let received = EventTime::from_micros(envelope.ingest_time.as_micros());
        let (kind, id, event_time, json) = match &envelope.body {
            Body::Command(command) => {
                ("command", String::new(), received, json(serde_json::to_string(command)))
            }
            Body::Ticket(ticket) => {
                ("ticket", ticket.id.clone(), ticket.time, json(serde_json::to_string(ticket)))
            }
            Body::Forecast(forecast) => {
                ("forecast", String::new(), forecast.issued, json(serde_json::to_string(forecast)))
            }
            Body::ModelActivated(hash) => {
                ("model_activated", hash.to_string(), received, json(serde_json::to_string(hash)))
            }
            Body::Readings(_) | Body::Heartbeat(_) => return None,
        };
        Some(Self {
            network: envelope.network.as_ref().map(ToString::to_string).unwrap_or_default(),
            kind: kind.to_owned(),
            id,
            event_time,
            ingest_time: envelope.ingest_time,
            json,
            gateway: envelope.origin.gateway.to_string(),
            epoch: envelope.origin.epoch,
            seq: envelope.origin.seq,
        })
    }

    pub(crate) fn buffer_bytes(&self) -> usize {
        size_of::<PlacedRow>()
            + self.network.len()
            + self.kind.len()
            + self.id.len()
            + self.json.len()
            + self.gateway.len()
    }

    /// The row's hash, as `digest` documents.
    pub(crate) fn hash(&self, append_time: AppendTime, offset: u64, partition: u32) -> u128 {
        let mut bytes = Vec::with_capacity(self.json.len() + 256);
        for text in [&self.network, &self.kind, &self.id, &self.gateway, &self.json] {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        for time in [self.event_time.as_micros(), self.ingest_time.as_micros(), append_time.as_micros()] {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        for number in [self.epoch, self.seq, offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&partition.to_le_bytes());
        xxh3_128(&bytes)
    }
}

impl PlacedRow {
    pub(crate) fn hash(&self) -> u128 {
        self.row.hash(self.position.append_time, self.position.offset.0, self.position.partition.0)
    }
}

/// Splits rows by the UTC day of their append time, which only rises along a partition.
pub(crate) fn by_day(rows: &[PlacedRow]) -> impl Iterator<Item = &[PlacedRow]> {
    let day = |row: &PlacedRow| row.position.append_time.as_micros().div_euclid(MICROS_PER_DAY);
    rows.chunk_by(move |a, b| day(a) == day(b))
}

/// What the manifest says of a table's file.
pub(crate) fn entry(dataset: Dataset, path: String, rows: &[PlacedRow], bytes: usize) -> FileEntry {
    let mut hours = HourDigests::default();
    for row in rows {
        hours.add_row(row.row.ingest_time.hour_start(), row.hash());
    }
    let times = || rows.iter().map(|row| row.row.event_time.as_micros());
    FileEntry {
        dataset,
        path,
        network: None,
        bytes: bytes as u64,
        rows: rows.len() as u64,
        min_event_time_us: times().min().expect("a file has rows"),
        max_event_time_us: times().max().expect("a file has rows"),
        hours: hours.0,
        offsets: None,
    }
}

/// Encodes one file, rows in the log's order.
pub(crate) fn encode(
    rows: &[PlacedRow],
    metadata: Vec<KeyValue>,
    zstd_level: i32,
) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema::table(), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut column = 0;
    while let Some(mut writer) = group.next_column()? {
        let texts = |of: fn(&TableRow) -> &String| -> Vec<ByteArray> {
            rows.iter().map(|row| ByteArray::from(of(&row.row).as_bytes().to_vec())).collect()
        };
        let numbers = |of: fn(&PlacedRow) -> i64| -> Vec<i64> { rows.iter().map(of).collect() };
        let column_values = match column {
            0 => Values::Texts(texts(|row| &row.network)),
            1 => Values::Texts(texts(|row| &row.kind)),
            2 => Values::Texts(texts(|row| &row.id)),
            3 => Values::Numbers(numbers(|row| row.row.event_time.as_micros())),
            4 => Values::Numbers(numbers(|row| row.row.ingest_time.as_micros())),
            5 => Values::Numbers(numbers(|row| row.position.append_time.as_micros())),
            6 => Values::Texts(texts(|row| &row.json)),
            7 => Values::Texts(texts(|row| &row.gateway)),
            8 => Values::Numbers(numbers(|row| row.row.epoch.cast_signed())),
            9 => Values::Numbers(numbers(|row| row.row.seq.cast_signed())),
            10 => Values::Small(rows.iter().map(|row| row.position.partition.0.cast_signed()).collect()),
            11 => Values::Numbers(numbers(|row| row.position.offset.0.cast_signed())),
            _ => unreachable!("the table has 12 columns"),
        };
        match column_values {
            Values::Texts(values) => writer.typed::<ByteArrayType>().write_batch(&values, None, None)?,
            Values::Numbers(values) => writer.typed::<Int64Type>().write_batch(&values, None, None)?,
            Values::Small(values) => writer.typed::<Int32Type>().write_batch(&values, None, None)?,
        };
        writer.close()?;
        column += 1;
    }
    group.close()?;
    file.into_inner()
}

enum Values {
    Texts(Vec<ByteArray>),
    Numbers(Vec<i64>),
    Small(Vec<i32>),
}
