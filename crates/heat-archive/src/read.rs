//! Reading files back: row by row, filtered, by an implementation other than the writer's.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use arrow_array::{
    Array, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array, cast::AsArray, types::Int32Type,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use heat_model::{
    AppendTime, EventTime, GatewayId, IngestTime, Lane, NetworkId, Offset, PartitionId, Quality, QualityCode,
    SignalId,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowFilter,
        },
    },
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader},
        reader::ChunkReader,
    },
    schema::types::{SchemaDescriptor, TypePtr},
};

use crate::{
    archive::{Archive, ArchiveError},
    digest::{self, RowLayout, SharedFields},
    layout::Dataset,
    manifest::{FileEntry, OffsetSpan},
    schema,
    store::BoxError,
    view::LiveFile,
};

mod parts;
pub(crate) mod rollups;
pub(crate) mod tables;

use parts::Wanted;
pub use rollups::HourRow;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8 * 1024;

/// A signal as the archive names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedSignal {
    /// Which signal.
    pub id: SignalId,
    /// Unit of the value.
    pub unit: String,
    /// Unit as received.
    pub raw_unit: String,
}

/// One row of `readings`.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedReading {
    /// The signal, shared by rows that follow each other.
    pub signal: Arc<ArchivedSignal>,
    /// When it was measured.
    pub event_time: EventTime,
    /// When the gateway received it.
    pub ingest_time: IngestTime,
    /// When the log took it.
    pub append_time: AppendTime,
    /// In SI; absent when bad.
    pub value: Option<f64>,
    /// As received.
    pub raw_value: Option<f64>,
    /// Trust.
    pub quality: Quality,
    /// Why.
    pub code: QualityCode,
    /// Its lane.
    pub lane: Lane,
    /// Who numbered its record.
    pub gateway: GatewayId,
    /// Its run.
    pub epoch: u64,
    /// The number.
    pub seq: u64,
    /// Where the log held it.
    pub partition: PartitionId,
    /// Its record's offset.
    pub offset: Offset,
}

/// Hashes rows as `digest` documents; remembers what the last row shares with the next.
#[derive(Debug, Default)]
pub(crate) struct RowHasher {
    signal: Option<(Arc<ArchivedSignal>, u64)>,
    gateway: Option<(GatewayId, u64)>,
}

impl RowHasher {
    pub(crate) fn hash(&mut self, row: &ArchivedReading) -> u128 {
        let shared = SharedFields {
            gateway_hash: self.gateway_hash(&row.gateway),
            ingest_time: row.ingest_time.as_micros(),
            append_time: row.append_time.as_micros(),
            epoch: row.epoch,
            seq: row.seq,
            offset: row.offset.0,
            partition: row.partition.0,
            lane: row.lane as u8,
        };
        let flags = [row.quality as u8, row.code as u8];
        let signal_hash = self.signal_hash(&row.signal);
        RowLayout::new(&shared).hash(signal_hash, row.event_time.as_micros(), row.value, row.raw_value, flags)
    }

    fn gateway_hash(&mut self, gateway: &GatewayId) -> u64 {
        match &self.gateway {
            Some((known, hash)) if known == gateway => *hash,
            Some(_) | None => {
                let hash = digest::gateway_hash(gateway.as_str());
                self.gateway = Some((gateway.clone(), hash));
                hash
            }
        }
    }

    fn signal_hash(&mut self, signal: &Arc<ArchivedSignal>) -> u64 {
        match &self.signal {
            Some((known, hash)) if Arc::ptr_eq(known, signal) => *hash,
            Some(_) | None => {
                let id = &signal.id;
                let hash = digest::signal_hash([
                    id.network.as_str(),
                    id.site.as_str(),
                    id.device.as_str(),
                    id.name.as_str(),
                    &signal.unit,
                    &signal.raw_unit,
                ]);
                self.signal = Some((Arc::clone(signal), hash));
                hash
            }
        }
    }
}

/// Which readings are wanted. The default wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Only of these networks.
    pub networks: Option<BTreeSet<NetworkId>>,
    /// Only of these signals.
    pub signals: Option<BTreeSet<SignalId>>,
    /// Only with this event time or later.
    pub from: Option<EventTime>,
    /// Only with an event time before this.
    pub to: Option<EventTime>,
    /// Only from records at these offsets.
    pub offsets: Option<OffsetSpan>,
}

impl Scan {
    /// Whether a file can hold what is wanted, by what is known of it.
    pub(crate) fn may_be_in(&self, dataset: Dataset, live: &LiveFile) -> bool {
        let file = &live.entry;
        let network_wanted = |network: &NetworkId| {
            self.networks.as_ref().is_none_or(|wanted| wanted.contains(network))
                && self.signals.as_ref().is_none_or(|wanted| wanted.iter().any(|id| id.network == *network))
        };
        file.dataset == dataset
            && self.offsets.is_none_or(|wanted| live.offsets.overlaps(wanted))
            && file.network.as_ref().is_none_or(network_wanted)
            && self.from.is_none_or(|from| file.max_event_time_us >= from.as_micros())
            && self.to.is_none_or(|to| file.min_event_time_us < to.as_micros())
    }

    fn wants(&self, signal: &str, event_time: i64, offset: Offset, ids: Option<&BTreeSet<String>>) -> bool {
        self.offsets.is_none_or(|wanted| wanted.contains(offset))
            && self.from.is_none_or(|from| event_time >= from.as_micros())
            && self.to.is_none_or(|to| event_time < to.as_micros())
            && ids.is_none_or(|ids| ids.contains(signal))
    }
}

impl Archive {
    /// Hands the wanted readings of all partitions to `visit`, file by file, each file's in order of (signal, event
    /// time), until it breaks. Decodes on the calling thread; holds one file in memory.
    pub async fn scan(
        &self,
        scan: &Scan,
        visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
    ) -> Result<(), ArchiveError> {
        for (topic, partition) in self.partitions().await? {
            let view = self.view(&topic, partition).await?;
            for file in view.live().filter(|file| scan.may_be_in(Dataset::Readings, file)) {
                if self.scan_entry(&file.entry, scan, visit).await?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Hands the wanted readings of a file to `visit`; loads of it what may hold some.
    async fn scan_entry(
        &self,
        file: &FileEntry,
        scan: &Scan,
        visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, ArchiveError> {
        if *scan == Scan::default() {
            return self.scan_file(&file.path, scan, visit).await;
        }
        let Wanted { parts, metadata, groups } = self.load(file, scan).await?;
        if groups.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let unreadable = |source| ArchiveError::Unreadable { path: file.path.clone(), source };
        let batches = filtered(parts, metadata, Some(groups), scan).map_err(unreadable)?;
        read_batches(batches, visit).map_err(unreadable)
    }

    /// Hands the wanted readings of one file to `visit`.
    pub async fn scan_file(
        &self,
        path: &str,
        scan: &Scan,
        visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, ArchiveError> {
        let bytes = self.bytes(path).await?;
        read_readings(bytes, scan, visit)
            .map_err(|source| ArchiveError::Unreadable { path: path.to_owned(), source })
    }
}

/// Decodes one file of readings.
pub(crate) fn read_readings(
    bytes: Bytes,
    scan: &Scan,
    visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
) -> Result<ControlFlow<()>, BoxError> {
    read_batches(reader(bytes, scan)?, visit)
}

fn read_batches(
    batches: ParquetRecordBatchReader,
    visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
) -> Result<ControlFlow<()>, BoxError> {
    for batch in batches {
        if read_batch(&batch?, visit)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Opens a whole file.
pub(crate) fn reader(bytes: Bytes, scan: &Scan) -> Result<ParquetRecordBatchReader, BoxError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes)?;
    filtered(bytes, Arc::new(metadata), None, scan)
}

/// Reads these row groups, or all, with their texts as dictionaries, so that a name is decoded once and not once a row.
fn filtered(
    input: impl ChunkReader + 'static,
    metadata: Arc<ParquetMetaData>,
    groups: Option<Vec<usize>>,
    scan: &Scan,
) -> Result<ParquetRecordBatchReader, BoxError> {
    let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new())?;
    let fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .map(|field| {
            if *field.data_type() != DataType::Utf8 {
                return field.as_ref().clone();
            }
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Field::new(field.name(), dictionary, field.is_nullable())
        })
        .collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata).with_batch_size(BATCH_ROWS);
    if let Some(groups) = groups {
        builder = builder.with_row_groups(groups);
    }
    let known = known_columns(builder.parquet_schema(), &schema::readings());
    builder = builder.with_projection(known);
    if *scan == Scan::default() {
        return Ok(builder.build()?);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["signal", "event_time", "kafka_offset"]);
    let scan = scan.clone();
    let ids: Option<BTreeSet<String>> =
        scan.signals.as_ref().map(|signals| signals.iter().map(ToString::to_string).collect());
    let predicate = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        let signals = texts(&batch, "signal").map_err(external)?;
        let times = numbers::<TimestampMicrosecondArray>(&batch, "event_time").map_err(external)?;
        let offsets = numbers::<Int64Array>(&batch, "kafka_offset").map_err(external)?;
        let wanted = (0..batch.num_rows()).map(|row| {
            let offset = Offset(offsets.value(row).cast_unsigned());
            Some(scan.wants(signals.get(row), times.value(row), offset, ids.as_ref()))
        });
        Ok(BooleanArray::from_iter(wanted))
    });
    Ok(builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)])).build()?)
}

/// Of a file's columns those that this version knows; a later version may have added some.
fn known_columns(found: &SchemaDescriptor, known: &TypePtr) -> ProjectionMask {
    ProjectionMask::columns(found, known.get_fields().iter().map(|field| field.name()))
}

fn external(error: Fault) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// What a file's columns or cells lack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("column {0} is missing or has another type")]
    Column(&'static str),
    #[error("{0:?} in column {1} is not one of its words")]
    Word(String, &'static str),
    #[error("{0:?} in column {1} is not an id")]
    Id(String, &'static str),
    #[error("signal {0:?} is not made of its row's network, site, device and name")]
    Signal(String),
}

/// A text column.
struct Texts<'a> {
    keys: &'a [i32],
    values: &'a StringArray,
}

impl<'a> Texts<'a> {
    fn get(&self, row: usize) -> &'a str {
        self.values.value(usize::try_from(self.keys[row]).expect("dictionary keys of a valid array"))
    }
}

fn texts<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<Texts<'a>, Fault> {
    let column = batch.column_by_name(name).ok_or(Fault::Column(name))?;
    let dictionary: &DictionaryArray<Int32Type> = column
        .as_any()
        .downcast_ref()
        .filter(|a: &&DictionaryArray<Int32Type>| a.null_count() == 0)
        .ok_or(Fault::Column(name))?;
    let values = dictionary.values().as_string_opt().ok_or(Fault::Column(name))?;
    Ok(Texts { keys: dictionary.keys().values(), values })
}

fn numbers<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a A, Fault> {
    batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref()).ok_or(Fault::Column(name))
}

fn word<T: Copy>(
    all: &[T],
    as_str: fn(T) -> &'static str,
    text: &str,
    column: &'static str,
) -> Result<T, Fault> {
    all.iter().copied().find(|&word| as_str(word) == text).ok_or_else(|| Fault::Word(text.to_owned(), column))
}

fn id<T>(text: &str, column: &'static str) -> Result<T, Fault>
where
    T: std::str::FromStr,
{
    text.parse().map_err(|_| Fault::Id(text.to_owned(), column))
}

/// The text columns of a batch that name a signal.
struct SignalColumns<'a> {
    network: Texts<'a>,
    site: Texts<'a>,
    device: Texts<'a>,
    name: Texts<'a>,
    signal: Texts<'a>,
    unit: Texts<'a>,
    raw_unit: Texts<'a>,
}

impl<'a> SignalColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, Fault> {
        Ok(Self {
            network: texts(batch, "network")?,
            site: texts(batch, "site")?,
            device: texts(batch, "device")?,
            name: texts(batch, "name")?,
            signal: texts(batch, "signal")?,
            unit: texts(batch, "unit")?,
            raw_unit: texts(batch, "raw_unit")?,
        })
    }

    fn keys(&self, row: usize) -> [i32; 7] {
        [&self.network, &self.site, &self.device, &self.name, &self.signal, &self.unit, &self.raw_unit]
            .map(|column| column.keys[row])
    }

    fn signal(&self, row: usize) -> Result<Arc<ArchivedSignal>, Fault> {
        let signal = SignalId {
            network: id(self.network.get(row), "network")?,
            site: id(self.site.get(row), "site")?,
            device: id(self.device.get(row), "device")?,
            name: id(self.name.get(row), "name")?,
        };
        if signal.to_string() != self.signal.get(row) {
            return Err(Fault::Signal(self.signal.get(row).to_owned()));
        }
        let (unit, raw_unit) = (self.unit.get(row).to_owned(), self.raw_unit.get(row).to_owned());
        Ok(Arc::new(ArchivedSignal { id: signal, unit, raw_unit }))
    }
}

/// Hands the rows of a batch to `visit`.
pub(crate) fn read_batch(
    batch: &RecordBatch,
    visit: &mut (dyn FnMut(ArchivedReading) -> ControlFlow<()> + Send),
) -> Result<ControlFlow<()>, Fault> {
    let signals = SignalColumns::of(batch)?;
    let event_time = numbers::<TimestampMicrosecondArray>(batch, "event_time")?;
    let ingest_time = numbers::<TimestampMicrosecondArray>(batch, "ingest_time")?;
    let append_time = numbers::<TimestampMicrosecondArray>(batch, "append_time")?;
    let value = numbers::<Float64Array>(batch, "value")?;
    let raw_value = numbers::<Float64Array>(batch, "raw_value")?;
    let (quality, code) = (texts(batch, "quality")?, texts(batch, "quality_code")?);
    let (lane, gateway) = (texts(batch, "lane")?, texts(batch, "gateway")?);
    let epoch = numbers::<UInt64Array>(batch, "epoch")?;
    let seq = numbers::<UInt64Array>(batch, "seq")?;
    let partition = numbers::<UInt32Array>(batch, "kafka_partition")?;
    let offset = numbers::<Int64Array>(batch, "kafka_offset")?;
    let mut signal: Option<([i32; 7], Arc<ArchivedSignal>)> = None;
    let mut of_gateway: Option<(i32, GatewayId)> = None;
    for row in 0..batch.num_rows() {
        let keys = signals.keys(row);
        if signal.as_ref().is_none_or(|(last, _)| *last != keys) {
            signal = Some((keys, signals.signal(row)?));
        }
        let key = gateway.keys[row];
        if of_gateway.as_ref().is_none_or(|(last, _)| *last != key) {
            of_gateway = Some((key, id(gateway.get(row), "gateway")?));
        }
        let (Some((_, signal)), Some((_, gateway))) = (&signal, &of_gateway) else {
            unreachable!("both are set above");
        };
        let reading = ArchivedReading {
            signal: Arc::clone(signal),
            event_time: EventTime::from_micros(event_time.value(row)),
            ingest_time: IngestTime::from_micros(ingest_time.value(row)),
            append_time: AppendTime::from_micros(append_time.value(row)),
            value: (!value.is_null(row)).then(|| value.value(row)),
            raw_value: (!raw_value.is_null(row)).then(|| raw_value.value(row)),
            quality: word(
                &[Quality::Good, Quality::Uncertain, Quality::Bad],
                Quality::as_str,
                quality.get(row),
                "quality",
            )?,
            code: word(QualityCode::ALL, QualityCode::as_str, code.get(row), "quality_code")?,
            lane: word(&[Lane::Live, Lane::Backfill], Lane::as_str, lane.get(row), "lane")?,
            gateway: gateway.clone(),
            epoch: epoch.value(row),
            seq: seq.value(row),
            partition: PartitionId(partition.value(row)),
            offset: Offset(offset.value(row).cast_unsigned()),
        };
        if visit(reading).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
