//! Sorted rows of readings to the bytes of a Parquet file.
//!
//! Columns by what they depend on: names and units on the signal (runs), times of receipt and numbers on the message
//! (indices into the messages, shared by all those columns; when a date is merged, row by row where that is smaller, as it is
//! for devices that send at regular times), `value` and `raw_value` on each other (one dictionary of
//! pairs), `quality` and its code on themselves (runs). `event_time` is `DELTA_BINARY_PACKED`. Where a dictionary
//! does not pay, the columns are written row by row: whole numbers as deltas, values as `BYTE_STREAM_SPLIT`.

use std::sync::Arc;

use parquet::{
    basic::Encoding,
    column::writer::ColumnWriter,
    data_type::{DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{ColumnDescPtr, ColumnPath, Type},
};

mod chunk;
mod columns;
mod pairs;

use chunk::Zstd;

use crate::{
    buffer::{FileRows, Message, Row, Signal},
    schema,
};

/// Columns that may be written row by row, as the differences from one row to the next.
const DELTA_COLUMNS: [&str; 5] = ["event_time", "ingest_time", "append_time", "seq", "kafka_offset"];

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
    file: &FileRows<'_>,
    metadata: Vec<KeyValue>,
) -> Result<Vec<u8>, ParquetError> {
    let mut writer = ReadingsFile::new(shared.zstd_level)?;
    let mut runs = file.runs.as_slice();
    let mut split = None;
    for rows in file.rows.chunks(ROW_GROUP_ROWS) {
        let of_group = runs_of_group(&mut runs, &mut split, rows.len());
        writer.write_group(shared, &of_group, rows)?;
    }
    writer.finish(metadata)
}

/// A file that grows by row groups, in memory.
pub(crate) struct ReadingsFile {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Vec<ColumnDescPtr>,
    zstd: Zstd,
}

impl ReadingsFile {
    pub(crate) fn new(zstd_level: i32) -> Result<Self, ParquetError> {
        let zstd = Zstd::new(zstd_level).map_err(|error| ParquetError::External(Box::new(error)))?;
        let properties = properties(&zstd)?;
        let writer = SerializedFileWriter::new(Vec::new(), schema::readings(), Arc::new(properties))?;
        let columns = writer.schema_descr().columns().to_vec();
        Ok(Self { writer, columns, zstd })
    }

    /// Rows in order of (signal, event time), no more than fit a row group, with the runs of their signals.
    pub(crate) fn write_group(
        &mut self,
        shared: &Shared<'_>,
        runs: &[(&Signal, usize)],
        rows: &[Row],
    ) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        columns::write_group(&mut group, &self.columns, &mut self.zstd, shared, runs, rows)?;
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

fn properties(zstd: &Zstd) -> Result<WriterProperties, ParquetError> {
    let sorting = schema::SORT_COLUMNS
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
        .to_vec();
    let mut builder = WriterProperties::builder()
        .set_compression(zstd.codec()?)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(chunk::PAGE_ROWS)
        .set_write_batch_size(8 * 1024)
        .set_sorting_columns(Some(sorting));
    for name in DELTA_COLUMNS {
        builder = builder.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["value", "raw_value"] {
        builder = builder.set_column_encoding(ColumnPath::from(name), Encoding::BYTE_STREAM_SPLIT);
    }
    Ok(builder.set_column_statistics_enabled(ColumnPath::from("event_time"), EnabledStatistics::Page).build())
}

/// What [`write_numbers`] makes of a column takes so many bytes.
fn weigh_numbers(column: &ColumnDescPtr, zstd: &Zstd, values: &[i64]) -> Result<usize, ParquetError> {
    let schema = Type::group_type_builder("rows").with_fields(vec![column.self_type_ptr()]).build()?;
    let mut file = SerializedFileWriter::new(std::io::sink(), Arc::new(schema), Arc::new(properties(zstd)?))?;
    let mut group = file.next_row_group()?;
    let mut column = group.next_column()?.expect("the schema has one column");
    column.typed::<Int64Type>().write_batch(values, None, None)?;
    column.close()?;
    let bytes = group.close()?.compressed_size();
    file.close()?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Writes a column of whole numbers row by row.
fn write_numbers(group: &mut Group<'_>, values: &[i64]) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("the caller counts the columns");
    column.typed::<Int64Type>().write_batch(values, None, None)?;
    column.close()
}

/// Writes an optional column of numbers row by row; NaN is null.
fn write_optional(group: &mut Group<'_>, values: &[f64]) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("the caller counts the columns");
    debug_assert!(matches!(column.untyped(), ColumnWriter::DoubleColumnWriter(_)));
    let levels: Vec<i16> = values.iter().map(|value| i16::from(!value.is_nan())).collect();
    let present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    column.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
    column.close()
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
    use super::*;

    #[test]
    fn a_run_that_a_row_group_cuts_goes_on_in_the_next() {
        let signal = |id: &str| Signal {
            network: "n".parse().expect("an id"),
            id: id.into(),
            site: "s".into(),
            device: "d".into(),
            name: id.into(),
            unit: "".into(),
            raw_unit: "".into(),
        };
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
