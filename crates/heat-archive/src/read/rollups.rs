//! Reading hourly roll-ups back.

use std::{
    collections::BTreeSet,
    ops::{ControlFlow, Range},
};

use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::Bytes;
use heat_model::{EventTime, NetworkId};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowPredicateFn, ParquetRecordBatchReaderBuilder, RowFilter},
};

use super::{Fault, Scan, external, known_columns, numbers};
use crate::{
    archive::{Archive, ArchiveError},
    compact::{is_merged_whole, rollup::hash_row},
    layout::{self, Dataset},
    schema,
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
        let ids: Option<BTreeSet<String>> =
            scan.signals.as_ref().map(|signals| signals.iter().map(ToString::to_string).collect());
        for (topic, partition) in self.partitions().await? {
            let view = self.view(&topic, partition).await?;
            for file in view.live().filter(|file| scan.may_be_in(Dataset::Rollups, file)) {
                let path = &file.entry.path;
                let rows = read_of(self.bytes(path).await?, ids.as_ref())
                    .map_err(|source| ArchiveError::Unreadable { path: path.clone(), source })?;
                for row in rows {
                    let time = EventTime::from_micros(row.hour_us);
                    let inside =
                        scan.from.is_none_or(|from| time >= from) && scan.to.is_none_or(|to| time < to);
                    if inside && visit(row).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Of these days (counted from 1970-01-01, UTC) those whose roll-ups know all readings of a network. It is not so where
    /// a date is not compacted yet, or late readings came since.
    pub async fn days_summed_up(
        &self,
        network: &NetworkId,
        days: Range<i64>,
    ) -> Result<BTreeSet<i64>, ArchiveError> {
        let folder = format!("network={}", layout::escaped(network.as_str()));
        let (mut summed_up, mut open) = (BTreeSet::new(), BTreeSet::new());
        for (topic, partition) in self.partitions().await? {
            let view = self.view(&topic, partition).await?;
            let (mut whole, mut hours) = (BTreeSet::new(), BTreeSet::new());
            for (path, found) in view.folders().iter().filter(|(path, _)| path.ends_with(&folder)) {
                let Some(day) = layout::day_of(path).filter(|day| days.contains(day)) else { continue };
                let of = if found.live.is_empty() { None } else { Dataset::of_path(path) };
                if of == Some(Dataset::Rollups) {
                    hours.insert(day);
                } else if of == Some(Dataset::Readings) && is_merged_whole(found) {
                    whole.insert(day);
                } else if of == Some(Dataset::Readings) {
                    open.insert(day);
                }
            }
            open.extend(whole.difference(&hours));
            summed_up.extend(hours);
        }
        summed_up.retain(|day| !open.contains(day));
        Ok(summed_up)
    }
}

/// Decodes one file.
pub(crate) fn read(bytes: Bytes) -> Result<Vec<HourRow>, BoxError> {
    read_of(bytes, None)
}

/// Decodes of one file the rows of these signals, or all.
fn read_of(bytes: Bytes, ids: Option<&BTreeSet<String>>) -> Result<Vec<HourRow>, BoxError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let known = known_columns(builder.parquet_schema(), &schema::rollups());
    builder = builder.with_projection(known);
    if let Some(ids) = ids.cloned() {
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["signal"]);
        let predicate = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let signals = numbers::<StringArray>(&batch, "signal").map_err(external)?;
            Ok(signals
                .iter()
                .map(|signal| signal.map(|signal| ids.contains(signal)))
                .collect::<BooleanArray>())
        });
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
    }
    let mut rows = Vec::new();
    for batch in builder.build()? {
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
