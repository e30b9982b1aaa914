//! The columns of the archive's files. Interfaces of other people: add, never rename or retype.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parquet::{
    file::metadata::{KeyValue, ParquetMetaDataReader},
    schema::{parser::parse_message_type, types::TypePtr},
};

use crate::layout::Stretch;

/// The schema's version, in each file's metadata. A later version only adds columns.
pub const SCHEMA_VERSION: u32 = 1;

/// Keys of the files' key-value metadata.
pub mod keys {
    /// [`super::SCHEMA_VERSION`] of the writer.
    pub const SCHEMA_VERSION: &str = "heat.schema_version";
    /// Topic.
    pub const TOPIC: &str = "heat.topic";
    /// Partition.
    pub const PARTITION: &str = "heat.partition";
    /// First offset that the commit covers.
    pub const FIRST_OFFSET: &str = "heat.first_offset";
    /// Last offset that the commit covers.
    pub const LAST_OFFSET: &str = "heat.last_offset";
    /// Rows in the file.
    pub const RECORD_COUNT: &str = "heat.record_count";
}

const READINGS: &str = "
message readings {
    required binary network (STRING);
    required binary site (STRING);
    required binary device (STRING);
    required binary name (STRING);
    required binary signal (STRING);
    required int64 event_time (TIMESTAMP(MICROS,true));
    required int64 ingest_time (TIMESTAMP(MICROS,true));
    required int64 append_time (TIMESTAMP(MICROS,true));
    optional double value;
    required binary unit (STRING);
    optional double raw_value;
    required binary raw_unit (STRING);
    required binary quality (STRING);
    required binary quality_code (STRING);
    required binary lane (STRING);
    required binary gateway (STRING);
    required int64 epoch (INTEGER(64,false));
    required int64 seq (INTEGER(64,false));
    required int32 kafka_partition (INTEGER(32,false));
    required int64 kafka_offset;
}";

const TABLE: &str = "
message rows {
    required binary network (STRING);
    required binary kind (STRING);
    required binary id (STRING);
    required int64 event_time (TIMESTAMP(MICROS,true));
    required int64 ingest_time (TIMESTAMP(MICROS,true));
    required int64 append_time (TIMESTAMP(MICROS,true));
    required binary json (JSON);
    required binary gateway (STRING);
    required int64 epoch (INTEGER(64,false));
    required int64 seq (INTEGER(64,false));
    required int32 kafka_partition (INTEGER(32,false));
    required int64 kafka_offset;
}";

const ROLLUPS: &str = "
message rollups {
    required binary network (STRING);
    required binary site (STRING);
    required binary device (STRING);
    required binary name (STRING);
    required binary signal (STRING);
    required int64 hour (TIMESTAMP(MICROS,true));
    required binary unit (STRING);
    optional double min;
    optional double mean;
    optional double max;
    required int64 count;
    required int64 readings;
    required double good_share;
}";

/// The columns of `rollups`, in order.
pub(crate) fn rollups() -> TypePtr {
    static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| parsed(ROLLUPS));
    Arc::clone(&SCHEMA)
}

/// The columns of `readings`, in order.
pub(crate) fn readings() -> TypePtr {
    static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| parsed(READINGS));
    Arc::clone(&SCHEMA)
}

/// The columns of the small tables, in order.
pub(crate) fn table() -> TypePtr {
    static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| parsed(TABLE));
    Arc::clone(&SCHEMA)
}

fn parsed(text: &str) -> TypePtr {
    Arc::new(parse_message_type(text).expect("the schema's text is constant and parsed by tests"))
}

/// The schema version of a file, if it is later than this code's. Nothing of a file that is not Parquet or not ours.
pub(crate) fn newer(bytes: &Bytes) -> Option<u32> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).ok()?;
    let entries = metadata.file_metadata().key_value_metadata()?;
    let entry = entries.iter().find(|entry| entry.key == keys::SCHEMA_VERSION)?;
    let version: u32 = entry.value.as_ref()?.parse().ok()?;
    (version > SCHEMA_VERSION).then_some(version)
}

/// Index of `signal` and `event_time` in `readings`, by which files are sorted.
pub(crate) const SORT_COLUMNS: [i32; 2] = [4, 5];

/// The metadata of one file.
pub(crate) fn metadata(stretch: &Stretch<'_>, rows: u64) -> Vec<KeyValue> {
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    vec![
        entry(keys::SCHEMA_VERSION, SCHEMA_VERSION.to_string()),
        entry(keys::TOPIC, stretch.topic.to_owned()),
        entry(keys::PARTITION, stretch.partition.0.to_string()),
        entry(keys::FIRST_OFFSET, stretch.first.0.to_string()),
        entry(keys::LAST_OFFSET, stretch.last.0.to_string()),
        entry(keys::RECORD_COUNT, rows.to_string()),
    ]
}
