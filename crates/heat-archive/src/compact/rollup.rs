//! Hourly roll-ups: what dashboards over years read instead of every reading.
//!
//! One row for each signal, unit and UTC hour of event time with at least one reading. `min`, `mean`, `max` and `count`
//! are of the usable values (not bad, finite); of several readings at one time the last in the log stands, since it
//! corrects the others. `readings` counts those times, `good_share` is the part of them whose quality is good. Readings
//! of a device whose clock was known to be wrong are in none: their hour is not known.

use std::sync::Arc;

use heat_model::{Quality, time::MICROS_PER_HOUR};
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
};
use xxhash_rust::xxh3::xxh3_128;

use super::cursor::HashedRow;
use crate::{digest::HourDigests, layout::Dataset, manifest::OffsetSpan, read::ArchivedSignal, schema};

/// Rows of one file at most.
pub(super) const FILE_ROWS: usize = 250_000;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HourSum {
    pub(crate) signal: Arc<ArchivedSignal>,
    pub(crate) hour_us: i64,
    pub(crate) min: f64,
    pub(crate) sum: f64,
    pub(crate) max: f64,
    pub(crate) count: u64,
    pub(crate) readings: u64,
    pub(crate) good: u64,
    pub(crate) offsets: OffsetSpan,
}

impl HourSum {
    fn mean(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^53")]
        let count = self.count as f64;
        self.sum / count
    }

    fn good_share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^53")]
        let (good, readings) = (self.good as f64, self.readings as f64);
        good / readings
    }

    /// Of the row as a reader sees it.
    fn hash(&self) -> u128 {
        hash_row(
            &[&self.signal.id.to_string(), &self.signal.unit],
            self.hour_us,
            (self.count > 0).then(|| [self.min, self.mean(), self.max]),
            [self.count, self.readings],
            self.good_share(),
        )
    }
}

/// The hash of a row: xxh3-128 over signal and unit, each as UTF-8 and a zero byte, then hour, min, mean, max (all ones
/// if null), count, readings and good share, 8 bytes each, little-endian.
pub(crate) fn hash_row(
    texts: &[&str],
    hour_us: i64,
    values: Option<[f64; 3]>,
    counts: [u64; 2],
    good_share: f64,
) -> u128 {
    let mut bytes = Vec::with_capacity(160);
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(&hour_us.to_le_bytes());
    let values = values.map_or([u64::MAX; 3], |values| values.map(f64::to_bits));
    for number in values.into_iter().chain(counts).chain([good_share.to_bits()]) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    xxh3_128(&bytes)
}

/// Sums up one signal's rows, in order of (event time, offset), without repeats.
pub(super) fn add_signal(rows: &[HashedRow], sums: &mut Vec<HourSum>) {
    let from = sums.len();
    for of_time in rows.chunk_by(|(a, _), (b, _)| a.event_time == b.event_time) {
        let Some((row, _)) = of_time.last() else { continue };
        if row.code.is_clock_fault() {
            continue;
        }
        let hour_us = row.event_time.as_micros().div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR;
        let same_hour = |sum: &HourSum| sum.hour_us == hour_us && sum.signal.unit == row.signal.unit;
        let place = sums[from..].iter().rposition(same_hour).map(|place| from + place);
        let place = place.unwrap_or_else(|| {
            sums.push(HourSum {
                signal: Arc::clone(&row.signal),
                hour_us,
                min: f64::INFINITY,
                sum: 0.0,
                max: f64::NEG_INFINITY,
                count: 0,
                readings: 0,
                good: 0,
                offsets: OffsetSpan { first: row.offset, last: row.offset },
            });
            sums.len() - 1
        });
        let sum = &mut sums[place];
        sum.readings += 1;
        sum.good += u64::from(row.quality == Quality::Good);
        sum.offsets.first = sum.offsets.first.min(row.offset);
        sum.offsets.last = sum.offsets.last.max(row.offset);
        if let Some(value) = row.value.filter(|value| row.quality != Quality::Bad && value.is_finite()) {
            sum.min = sum.min.min(value);
            sum.max = sum.max.max(value);
            sum.sum += value;
            sum.count += 1;
        }
    }
}

/// The folder of the roll-ups of a folder of readings.
pub(super) fn folder_of(readings: &str) -> String {
    let rest = readings.strip_prefix(Dataset::Readings.folder()).unwrap_or(readings);
    format!("{}{rest}", Dataset::Rollups.folder())
}

/// Where rows, at least one, come from.
pub(super) fn offsets(sums: &[HourSum]) -> OffsetSpan {
    let first = sums.iter().map(|sum| sum.offsets.first).min().expect("a file has rows");
    let last = sums.iter().map(|sum| sum.offsets.last).max().expect("a file has rows");
    OffsetSpan { first, last }
}

/// The first and the last hour of rows, at least one.
pub(super) fn times(sums: &[HourSum]) -> (i64, i64) {
    let hours = || sums.iter().map(|sum| sum.hour_us);
    (hours().min().expect("a file has rows"), hours().max().expect("a file has rows"))
}

/// Rows and digests by the hour that they sum up.
pub(super) fn digests(sums: &[HourSum]) -> HourDigests {
    let mut hours = HourDigests::default();
    sums.iter().for_each(|sum| hours.add_row(sum.hour_us, sum.hash()));
    hours
}

/// Encodes one file.
pub(super) fn encode(
    sums: &[HourSum],
    metadata: Vec<KeyValue>,
    zstd_level: i32,
) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema::rollups(), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut column = 0;
    while let Some(mut writer) = group.next_column()? {
        let texts = |of: &dyn Fn(&HourSum) -> String| -> Vec<ByteArray> {
            sums.iter().map(|sum| ByteArray::from(of(sum).into_bytes())).collect()
        };
        let numbers = |of: &dyn Fn(&HourSum) -> i64| -> Vec<i64> { sums.iter().map(of).collect() };
        let values = |of: &dyn Fn(&HourSum) -> f64| -> (Vec<f64>, Vec<i16>) {
            let present = sums.iter().filter(|sum| sum.count > 0).map(of).collect();
            (present, sums.iter().map(|sum| i16::from(sum.count > 0)).collect())
        };
        let column_values = match column {
            0 => Values::Texts(texts(&|sum| sum.signal.id.network.to_string())),
            1 => Values::Texts(texts(&|sum| sum.signal.id.site.to_string())),
            2 => Values::Texts(texts(&|sum| sum.signal.id.device.to_string())),
            3 => Values::Texts(texts(&|sum| sum.signal.id.name.to_string())),
            4 => Values::Texts(texts(&|sum| sum.signal.id.to_string())),
            5 => Values::Numbers(numbers(&|sum| sum.hour_us)),
            6 => Values::Texts(texts(&|sum| sum.signal.unit.clone())),
            7 => Values::Optional(values(&|sum| sum.min)),
            8 => Values::Optional(values(&HourSum::mean)),
            9 => Values::Optional(values(&|sum| sum.max)),
            10 => Values::Numbers(numbers(&|sum| sum.count.cast_signed())),
            11 => Values::Numbers(numbers(&|sum| sum.readings.cast_signed())),
            12 => Values::Required(sums.iter().map(HourSum::good_share).collect()),
            _ => unreachable!("roll-ups have 13 columns"),
        };
        match column_values {
            Values::Texts(values) => writer.typed::<ByteArrayType>().write_batch(&values, None, None)?,
            Values::Numbers(values) => writer.typed::<Int64Type>().write_batch(&values, None, None)?,
            Values::Required(values) => writer.typed::<DoubleType>().write_batch(&values, None, None)?,
            Values::Optional((values, levels)) => {
                writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?
            }
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
    Required(Vec<f64>),
    Optional((Vec<f64>, Vec<i16>)),
}
