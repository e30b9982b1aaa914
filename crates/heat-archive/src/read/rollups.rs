//! Reading hourly roll-ups back.

use std::ops::ControlFlow;

use arrow::array::{Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use heat_model::EventTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Fault, Scan, numbers};
use crate::{
    archive::{Archive, ArchiveError},
    compact::rollup::hash_row,
    layout::Dataset,
    store::BoxError,
};

/// One hour of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct HourRow {
    /// `network/site/device/name`.
    pub signal: String,
    /// Start of the UTC hour, microseconds since the epoch.
    pub hour_us: i64,
    /// Unit of the values.
    pub unit: String,
    /// Least, mean and greatest of the usable values; absent if there is none.
    pub values: Option<[f64; 3]>,
    /// Usable values.
    pub count: u64,
    /// Readings, usable or not.
    pub readings: u64,
    /// Part of the readings whose quality is good.
    pub good_share: f64,
}

impl HourRow {
    /// As the writer hashes it.
    pub(crate) fn hash(&self) -> u128 {
        let counts = [self.count, self.readings];
        hash_row(&[&self.signal, &self.unit], self.hour_us, self.values, counts, self.good_share)
    }
}

impl Archive {
    /// Hands the hourly roll-ups that are wanted to `visit`, until it breaks. `from` and `to` are held against the start
    /// of the hour. Dates that are not compacted yet have none.
    pub async fn scan_hours(
        &self,
        scan: &Scan,
        visit: &mut (dyn FnMut(HourRow) -> ControlFlow<()> + Send),
    ) -> Result<(), ArchiveError> {
        for (topic, partition) in self.partitions().await? {
            let view = self.view(&topic, partition).await?;
            for file in view.live().filter(|file| scan.may_be_in(Dataset::Rollups, file)) {
                let path = &file.entry.path;
                let rows = read(self.bytes(path).await?)
                    .map_err(|source| ArchiveError::Unreadable { path: path.clone(), source })?;
                for row in rows {
                    let wanted = scan
                        .signals
                        .as_ref()
                        .is_none_or(|ids| ids.iter().any(|id| id.to_string() == row.signal));
                    let time = EventTime::from_micros(row.hour_us);
                    let inside =
                        scan.from.is_none_or(|from| time >= from) && scan.to.is_none_or(|to| time < to);
                    if wanted && inside && visit(row).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Decodes one file.
pub(crate) fn read(bytes: Bytes) -> Result<Vec<HourRow>, BoxError> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        read_batch(&batch?, &mut rows)?;
    }
    Ok(rows)
}

fn read_batch(batch: &RecordBatch, rows: &mut Vec<HourRow>) -> Result<(), Fault> {
    let signal = numbers::<StringArray>(batch, "signal")?;
    let hour = numbers::<TimestampMicrosecondArray>(batch, "hour")?;
    let unit = numbers::<StringArray>(batch, "unit")?;
    let min = numbers::<Float64Array>(batch, "min")?;
    let mean = numbers::<Float64Array>(batch, "mean")?;
    let max = numbers::<Float64Array>(batch, "max")?;
    let count = numbers::<Int64Array>(batch, "count")?;
    let readings = numbers::<Int64Array>(batch, "readings")?;
    let good_share = numbers::<Float64Array>(batch, "good_share")?;
    rows.extend((0..batch.num_rows()).map(|row| HourRow {
        signal: signal.value(row).to_owned(),
        hour_us: hour.value(row),
        unit: unit.value(row).to_owned(),
        values: (!mean.is_null(row)).then(|| [min.value(row), mean.value(row), max.value(row)]),
        count: count.value(row).cast_unsigned(),
        readings: readings.value(row).cast_unsigned(),
        good_share: good_share.value(row),
    }));
    Ok(())
}
