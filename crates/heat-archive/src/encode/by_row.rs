//! Column chunks written row by row, by the `parquet` crate's own encoders: whole numbers as deltas, values as
//! `BYTE_STREAM_SPLIT`.

use std::sync::Arc;

use parquet::{
    basic::{Compression, Encoding},
    column::writer::{ColumnWriter, get_column_writer, get_typed_column_writer_mut},
    data_type::{DoubleType, Int64Type},
    errors::Result,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::{ColumnDescPtr, ColumnPath},
};

use super::chunk::{Chunk, PAGE_ROWS};

/// Columns that may be written as the differences from one row to the next.
const DELTA_COLUMNS: [&str; 5] = ["event_time", "ingest_time", "append_time", "seq", "kafka_offset"];

/// Writes columns row by row.
pub(super) struct ByRow {
    compressed: Arc<WriterProperties>,
    stored: Arc<WriterProperties>,
    /// Values as they are, compressed.
    plain: Arc<WriterProperties>,
}

/// An optional column of numbers; NaN is null.
pub(super) struct Optional {
    levels: Vec<i16>,
    present: Vec<f64>,
}

impl Optional {
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        Self {
            levels: values.clone().map(|value| i16::from(!value.is_nan())).collect(),
            present: values.filter(|value| !value.is_nan()).collect(),
        }
    }
}

impl ByRow {
    pub(super) fn new(codec: Compression) -> Self {
        let properties = |codec, values| Arc::new(properties(codec, values));
        Self {
            compressed: properties(codec, Encoding::BYTE_STREAM_SPLIT),
            stored: properties(Compression::UNCOMPRESSED, Encoding::BYTE_STREAM_SPLIT),
            plain: properties(codec, Encoding::PLAIN),
        }
    }

    /// Whole numbers.
    pub(super) fn numbers(&self, column: &ColumnDescPtr, values: &[i64]) -> Result<Chunk> {
        let write = |writer: &mut ColumnWriter<'_>| {
            get_typed_column_writer_mut::<Int64Type>(writer).write_batch(values, None, None).map(drop)
        };
        let chunk = encode(column, &self.compressed, write)?;
        if chunk.gains_by_compression() {
            return Ok(chunk);
        }
        encode(column, &self.stored, write)
    }

    /// Values.
    pub(super) fn values(&self, column: &ColumnDescPtr, values: &Optional) -> Result<Chunk> {
        encode(column, &self.compressed, |writer| write_optional(writer, values))
    }

    /// Values whose bytes stay together, so that zstd finds those again that few digits have; what it finds in rows that are
    /// few weighs more than a dictionary.
    pub(super) fn plain_values(&self, column: &ColumnDescPtr, values: &Optional) -> Result<Chunk> {
        encode(column, &self.plain, |writer| write_optional(writer, values))
    }
}

fn write_optional(writer: &mut ColumnWriter<'_>, values: &Optional) -> Result<()> {
    let writer = get_typed_column_writer_mut::<DoubleType>(writer);
    writer.write_batch(&values.present, Some(&values.levels), None).map(drop)
}

fn encode(
    column: &ColumnDescPtr,
    properties: &Arc<WriterProperties>,
    write: impl Fn(&mut ColumnWriter<'_>) -> Result<()>,
) -> Result<Chunk> {
    let mut sink = TrackedWrite::new(Vec::new());
    let pages = Box::new(SerializedPageWriter::new(&mut sink));
    let mut writer = get_column_writer(ColumnDescPtr::clone(column), Arc::clone(properties), pages);
    write(&mut writer)?;
    let close = writer.close()?;
    Chunk::new(sink.into_inner()?, close)
}

fn properties(codec: Compression, values: Encoding) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(8 * 1024);
    for name in DELTA_COLUMNS {
        builder = builder.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["value", "raw_value"] {
        builder = builder.set_column_encoding(ColumnPath::from(name), values);
    }
    builder.set_column_statistics_enabled(ColumnPath::from("event_time"), EnabledStatistics::Page).build()
}
