//! Sorted rows of readings to the bytes of a Parquet file.
//!
//! Columns by what they depend on: names and units on the signal (runs), times of receipt and numbers on the message
//! (indices into the messages, shared by all those columns; when a date is merged, row by row where that is smaller, as it is
//! for devices that send at regular times), `value` and `raw_value` on each other (one dictionary of
//! pairs), `quality` and its code on themselves (runs). `event_time` is `DELTA_BINARY_PACKED`. Where a dictionary
//! does not pay, the columns are written row by row: whole numbers as deltas, values as `BYTE_STREAM_SPLIT`.
//!
//! What a file takes however few its rows are counts where a date has hundreds: a chunk of one page has no page index, and
//! is not compressed where that does not pay; of a merged date with few rows zstd seeks harder.

use std::sync::Arc;

use parquet::{
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::ColumnDescPtr,
};

mod by_row;
mod chunk;
mod columns;
mod page;
mod pairs;

pub(crate) use chunk::Zstd;

use crate::{
    buffer::{FileRows, Message, Row, Signal},
    schema,
};

/// Rows of one row group at most.
const ROW_GROUP_ROWS: usize = 1 << 20;

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// What all files of a commit share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) messages: &'a [Message],
    pub(crate) gateways: &'a [&'a str],
    pub(crate) partition: u32,
    pub(crate) zstd_level: i32,
    /// Whether the numbers of messages are encoded both ways, and the smaller is kept. It takes time, which is worth while
    /// for files that stay.
    pub(crate) weighs: bool,
}

/// Encodes one file.
pub(crate) fn readings_file(
    shared: &Shared<'_>,
    zstd: &mut Zstd,
    file: &FileRows<'_>,
    metadata: Vec<KeyValue>,
) -> Result<Vec<u8>, ParquetError> {
    let mut writer = ReadingsFile::new()?;
    let mut runs = file.runs.as_slice();
    let mut split = None;
    for rows in file.rows.chunks(ROW_GROUP_ROWS) {
        let of_group = runs_of_group(&mut runs, &mut split, rows.len());
        writer.write_group(shared, zstd, &of_group, rows)?;
    }
    writer.finish(metadata)
}

/// A file that grows by row groups, in memory.
pub(crate) struct ReadingsFile {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Vec<ColumnDescPtr>,
}

impl ReadingsFile {
    pub(crate) fn new() -> Result<Self, ParquetError> {
        let sorting = schema::SORT_COLUMNS
            .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
            .to_vec();
        let properties = WriterProperties::builder().set_sorting_columns(Some(sorting)).build();
        let writer = SerializedFileWriter::new(Vec::new(), schema::readings(), Arc::new(properties))?;
        let columns = writer.schema_descr().columns().to_vec();
        Ok(Self { writer, columns })
    }

    /// Rows in order of (signal, event time), no more than fit a row group, with the runs of their signals.
    pub(crate) fn write_group(
        &mut self,
        shared: &Shared<'_>,
        zstd: &mut Zstd,
        runs: &[(&Signal, usize)],
        rows: &[Row],
    ) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        columns::write_group(&mut group, &self.columns, zstd, shared, runs, rows)?;
        group.close()?;
        Ok(())
    }

    pub(crate) fn finish(mut self, metadata: Vec<KeyValue>) -> Result<Vec<u8>, ParquetError> {
        metadata.into_iter().for_each(|entry| self.writer.append_key_value_metadata(entry));
        self.writer.into_inner()
    }
}

/// Takes runs that cover `rows` rows; a run that a row group's end cuts goes on in the next.
fn runs_of_group<'a>(
    runs: &mut &[(&'a Signal, usize)],
    rest: &mut Option<usize>,
    mut rows: usize,
) -> Vec<(&'a Signal, usize)> {
    let mut taken = Vec::new();
    while rows > 0 {
        let &(signal, count) = runs.first().expect("the runs cover all rows");
        let left = rest.unwrap_or(count);
        let now = left.min(rows);
        taken.push((signal, now));
        rows -= now;
        if now == left {
            *runs = &runs[1..];
            *rest = None;
        } else {
            *rest = Some(left - now);
        }
    }
    taken
}

/// The words of `lane` by their numbers.
fn lane_word(lane: u8) -> &'static str {
    match lane {
        0 => heat_model::Lane::Live.as_str(),
        _ => heat_model::Lane::Backfill.as_str(),
    }
}

/// Runs of equal keys among rows.
fn runs_by<K: PartialEq>(rows: &[Row], key: impl Fn(&Row) -> K) -> Vec<(K, usize)> {
    rows.chunk_by(|a, b| key(a) == key(b)).map(|run| (key(&run[0]), run.len())).collect()
}

#[cfg(test)]
mod tests {
    use heat_model::{
        AppendTime, EventTime, IngestTime, Lane, NetworkId, Offset, PartitionId, Quality, QualityCode,
        SignalId,
    };
    use parquet::{
        basic::Compression,
        file::{
            metadata::{ColumnChunkMetaData, ParquetMetaDataReader, RowGroupMetaData},
            statistics::Statistics,
        },
    };

    use super::*;
    use crate::{
        digest::HourDigests,
        layout::Dataset,
        read::{ArchivedReading, ArchivedSignal},
    };

    fn signal(id: &str) -> Signal {
        Signal {
            network: "n".parse().expect("an id"),
            id: id.into(),
            site: "s".into(),
            device: "d".into(),
            name: id.into(),
            unit: "degC".into(),
            raw_unit: "degC".into(),
        }
    }

    /// One row group of two signals that have so many rows each.
    fn group_of(rows: i64, weighs: bool) -> RowGroupMetaData {
        let (a, b) = (signal("n/s/d/a"), signal("n/s/d/b"));
        let id = SignalId {
            network: NetworkId::new("n").expect("an id"),
            site: "s".parse().expect("an id"),
            device: "d".parse().expect("an id"),
            name: "a".parse().expect("an id"),
        };
        let archived = ArchivedSignal { id, unit: "degC".to_owned(), raw_unit: "degC".to_owned() };
        let reading = ArchivedReading {
            signal: Arc::new(archived),
            event_time: EventTime::from_micros(0),
            ingest_time: IngestTime::from_micros(7),
            append_time: AppendTime::from_micros(8),
            value: None,
            raw_value: None,
            quality: Quality::Good,
            code: QualityCode::None,
            lane: Lane::Live,
            gateway: "g".parse().expect("an id"),
            epoch: 1,
            seq: 2,
            partition: PartitionId(0),
            offset: Offset(3),
        };
        let row = |second: i64| {
            let tenths = second % 97;
            let raw = tenths as f64 / 10.0;
            let event_time = EventTime::from_micros(second * 1_000_000);
            Row::of_file(
                &ArchivedReading { event_time, value: Some(raw), raw_value: Some(raw), ..reading.clone() },
                0,
            )
        };
        let each = usize::try_from(rows).expect("a count");
        let hours = HourDigests::default();
        let file = FileRows {
            dataset: Dataset::Readings,
            network: &a.network,
            day: 0,
            runs: vec![(&a, each), (&b, each)],
            rows: (0..rows).chain(0..rows).map(row).collect(),
            hours: &hours,
        };
        let message =
            Message { ingest_time: 7, append_time: 8, epoch: 1, seq: 2, offset: 3, gateway: 0, lane: 0 };
        let shared = Shared { messages: &[message], gateways: &["g"], partition: 0, zstd_level: 3, weighs };
        let mut zstd = Zstd::new(shared.zstd_level).expect("a level of zstd");
        let bytes = readings_file(&shared, &mut zstd, &file, Vec::new()).expect("encodes");
        let bytes = bytes::Bytes::from(bytes);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).expect("Parquet");
        metadata.row_group(0).clone()
    }

    fn column<'a>(group: &'a RowGroupMetaData, name: &str) -> &'a ColumnChunkMetaData {
        group.columns().iter().find(|column| column.column_path().string() == name).expect("a column")
    }

    #[test]
    fn chunks_of_one_page_have_no_page_index_and_those_of_more_have_one() {
        for (rows, has_index) in [(400, false), (32_768, false), (32_769, true)] {
            for weighs in [false, true] {
                let group = group_of(rows, weighs);
                for chunk in group.columns() {
                    assert_eq!(chunk.offset_index_offset().is_some(), has_index, "2 x {rows}: {chunk:?}");
                }
                for sorted_by in ["signal", "event_time"] {
                    let chunk = column(&group, sorted_by);
                    assert_eq!(chunk.column_index_offset().is_some(), has_index, "{sorted_by}, 2 x {rows}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_few_rows_keeps_its_order_its_statistics_and_the_filter_of_signals() {
        let group = group_of(400, true);

        let order: Vec<i32> =
            group.sorting_columns().expect("sorted").iter().map(|column| column.column_idx).collect();
        assert_eq!(order, schema::SORT_COLUMNS);
        assert!(column(&group, "signal").bloom_filter_offset().is_some());
        for chunk in group.columns() {
            let statistics = chunk.statistics().expect("statistics");
            assert!(
                statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some(),
                "{chunk:?}"
            );
            assert_eq!(statistics.null_count_opt(), Some(0));
        }
        let Some(Statistics::Int64(times)) = column(&group, "event_time").statistics() else {
            panic!("times")
        };
        assert_eq!((times.min_opt(), times.max_opt()), (Some(&0), Some(&399_000_000)));
        let Some(Statistics::Double(values)) = column(&group, "value").statistics() else { panic!("values") };
        assert_eq!((values.min_opt(), values.max_opt()), (Some(&-0.0), Some(&9.6)));
    }

    #[test]
    fn a_chunk_is_compressed_where_that_makes_it_smaller_and_only_there() {
        let group = group_of(400, true);

        assert_eq!(column(&group, "network").compression(), Compression::UNCOMPRESSED);
        assert!(matches!(column(&group, "value").compression(), Compression::ZSTD(_)));
        for chunk in group.columns() {
            assert!(chunk.compressed_size() <= chunk.uncompressed_size(), "{chunk:?}");
        }
    }

    #[test]
    fn a_run_that_a_row_group_cuts_goes_on_in_the_next() {
        let (a, b) = (signal("a"), signal("b"));
        let all = [(&a, 5), (&b, 7)];
        let (mut runs, mut rest) = (all.as_slice(), None);

        let mut group = |rows| -> Vec<(String, usize)> {
            let taken = runs_of_group(&mut runs, &mut rest, rows);
            taken.into_iter().map(|(signal, rows)| (signal.id.to_string(), rows)).collect()
        };

        assert_eq!(group(3), [("a".to_owned(), 3)]);
        assert_eq!(group(4), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
        assert_eq!(group(5), [("b".to_owned(), 5)]);
    }
}
