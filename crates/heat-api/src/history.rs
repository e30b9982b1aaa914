//! A signal's history out of the archive, on a blocking thread, with bounds on how many and how much. Steps of whole hours
//! are answered from the hourly roll-ups where these know all readings of a date, so that years stay quick.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{ControlFlow, Range},
    time::Duration,
};

use heat_archive::{Archive, ArchiveError, ArchivedReading, Scan, read::HourRow};
use heat_model::{
    EventTime, Quality, SignalId,
    time::{MICROS_PER_DAY, MICROS_PER_HOUR},
};

use crate::json::{ApiTime, History, HistoryPoint};

/// Most readings looked at for one answer; a year of a signal at 1 Hz needs a narrower question.
const ROWS_MAX: usize = 10_000_000;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) signal: SignalId,
    pub(crate) from: EventTime,
    pub(crate) to: EventTime,
    pub(crate) step: Option<Duration>,
    pub(crate) points_max: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// More than the bound.
    #[error("more than {0} points: ask for a shorter time, or give a step")]
    TooMany(usize),
    /// The archive cannot be read.
    #[error("the archive cannot be read")]
    Archive(#[from] ArchiveError),
}

#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    sum: f64,
    min: f64,
    max: f64,
    count: u64,
}

impl Bucket {
    fn add(&mut self, value: f64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1;
    }

    fn add_hour(&mut self, count: u64, [min, mean, max]: [f64; 3]) {
        if self.count == 0 {
            (self.min, self.max) = (min, max);
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^53")]
        let weight = count as f64;
        self.sum += mean * weight;
        self.count += count;
    }
}

impl Question {
    /// The UTC days that lie in it whole, if its steps are whole hours.
    fn days_of_hours(&self) -> Range<i64> {
        let step = self.step.map_or(0, |step| i64::try_from(step.as_micros()).unwrap_or(0));
        let (from, to) = (self.from.as_micros(), self.to.as_micros());
        let is_whole = step > 0 && step % MICROS_PER_HOUR == 0 && from.rem_euclid(MICROS_PER_HOUR) == 0;
        let first = from.div_euclid(MICROS_PER_DAY) + i64::from(from.rem_euclid(MICROS_PER_DAY) > 0);
        if is_whole { first..to.div_euclid(MICROS_PER_DAY) } else { 0..0 }
    }

    /// What is left of its time without these days.
    fn without(&self, days: &BTreeSet<i64>) -> Vec<(EventTime, EventTime)> {
        let mut left = Vec::new();
        let mut from = self.from.as_micros();
        let ends = [self.to.as_micros()];
        let starts = days.iter().map(|day| day * MICROS_PER_DAY).chain(ends);
        for start in starts {
            if from < start {
                left.push((EventTime::from_micros(from), EventTime::from_micros(start)));
            }
            from = start + MICROS_PER_DAY;
        }
        left
    }
}

/// A reading, and its place in the log: of one time, the last is a correction.
#[derive(Debug, Clone, Copy)]
struct Row {
    place: u64,
    value: Option<f64>,
    quality: Quality,
}

/// Collects what a question wants, whatever order the files bring it in.
#[derive(Debug)]
struct Collector {
    from: i64,
    step_us: Option<i64>,
    points_max: usize,
    rows: usize,
    unit: Option<String>,
    /// By event time.
    readings: BTreeMap<i64, Row>,
    buckets: BTreeMap<i64, Bucket>,
    too_many: Option<usize>,
}

impl Collector {
    fn add(&mut self, reading: &ArchivedReading) -> ControlFlow<()> {
        self.rows += 1;
        if self.rows > ROWS_MAX {
            self.too_many = Some(ROWS_MAX);
            return ControlFlow::Break(());
        }
        if self.unit.is_none() {
            self.unit = Some(reading.signal.unit.clone());
        }
        let time = reading.event_time.as_micros();
        match self.step_us {
            Some(step) => {
                let usable =
                    reading.value.filter(|value| reading.quality != Quality::Bad && value.is_finite());
                if let Some(value) = usable {
                    let start = self.from + (time - self.from).div_euclid(step) * step;
                    self.buckets.entry(start).or_default().add(value);
                }
            }
            None => {
                let row = Row { place: reading.offset.0, value: reading.value, quality: reading.quality };
                if self.readings.get(&time).is_none_or(|held| held.place <= row.place) {
                    self.readings.insert(time, row);
                }
            }
        }
        if self.readings.len().max(self.buckets.len()) > self.points_max {
            self.too_many = Some(self.points_max);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Takes an hour of one of these days.
    fn add_hour(&mut self, row: &HourRow, days: &BTreeSet<i64>) -> ControlFlow<()> {
        let (Some(step), true) = (self.step_us, days.contains(&row.hour_us.div_euclid(MICROS_PER_DAY)))
        else {
            return ControlFlow::Continue(());
        };
        if self.unit.is_none() {
            self.unit = Some(row.unit.clone());
        }
        if let Some([min, mean, max]) = row.values {
            let start = self.from + (row.hour_us - self.from).div_euclid(step) * step;
            self.buckets.entry(start).or_default().add_hour(row.count, [min, mean, max]);
        }
        if self.buckets.len() > self.points_max {
            self.too_many = Some(self.points_max);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn points(&self) -> Vec<HistoryPoint> {
        if self.step_us.is_none() {
            let point = |(&time, row): (&i64, &Row)| {
                let Row { value, quality, .. } = *row;
                HistoryPoint::Reading { time: ApiTime::from_micros(time), value, quality }
            };
            return self.readings.iter().map(point).collect();
        }
        let point = |(&time, bucket): (&i64, &Bucket)| {
            #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^53")]
            let mean = bucket.sum / bucket.count as f64;
            let Bucket { min, max, count, .. } = *bucket;
            HistoryPoint::Bucket { time: ApiTime::from_micros(time), mean, min, max, count }
        };
        self.buckets.iter().map(point).collect()
    }
}

/// Answers a question; decodes files on the calling thread's task, so call it on a blocking thread.
pub(crate) async fn answer(archive: &Archive, question: &Question) -> Result<History, HistoryError> {
    let mut collector = Collector {
        from: question.from.as_micros(),
        step_us: question.step.map(|step| i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1)),
        points_max: question.points_max,
        rows: 0,
        unit: None,
        readings: BTreeMap::new(),
        buckets: BTreeMap::new(),
        too_many: None,
    };
    let scan = |from, to| Scan {
        networks: Some([question.signal.network.clone()].into()),
        signals: Some([question.signal.clone()].into()),
        from: Some(from),
        to: Some(to),
        offsets: None,
    };
    let mut days = BTreeSet::new();
    if !question.days_of_hours().is_empty() {
        days = archive.days_summed_up(&question.signal.network, question.days_of_hours()).await?;
        let mut add = |row| collector.add_hour(&row, &days);
        archive.scan_hours(&scan(question.from, question.to), &mut add).await?;
    }
    for (from, to) in question.without(&days) {
        if collector.too_many.is_none() {
            archive.scan(&scan(from, to), &mut |reading| collector.add(&reading)).await?;
        }
    }
    if let Some(bound) = collector.too_many {
        return Err(HistoryError::TooMany(bound));
    }
    Ok(History {
        id: question.signal.to_string(),
        points: collector.points(),
        unit: collector.unit,
        from: ApiTime(question.from),
        to: ApiTime(question.to),
        step_seconds: question.step.map(|step| step.as_secs_f64()),
    })
}

#[cfg(test)]
mod tests;
