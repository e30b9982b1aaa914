//! Where a commit ends: by what the log holds.

use std::time::Duration;

use heat_model::{AppendTime, Position};

/// When a commit closes. Whatever comes first closes it.
///
/// All three are functions of the log's content since the commit's first record: as long as records come, two archivers
/// with the same settings that start at the same offset end at the same one. A partition that is quiet is closed by the
/// archiver once the log's time has left its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationSettings {
    /// The commit closes before a record whose readings would take it beyond this. A single record with more
    /// makes a commit of its own.
    pub max_readings: usize,
    /// The commit closes before a record whose append time lies in another cell of this grid than the first
    /// record's: this bounds how old a reading is when it can be queried.
    pub grid: Duration,
    /// The commit closes before a record that would take the buffered rows of all data sets beyond this.
    pub max_buffer_bytes: usize,
}

impl Default for RotationSettings {
    /// Half a million readings (about 20 MB of buffer in each partition), a minute, 128 MiB.
    fn default() -> Self {
        Self { max_readings: 500_000, grid: Duration::from_secs(60), max_buffer_bytes: 128 << 20 }
    }
}

/// How full the open commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fill {
    /// Records taken, archived or not.
    pub records: u64,
    /// Readings kept.
    pub readings: usize,
    /// Bytes buffered.
    pub buffer_bytes: usize,
    /// Append time of the first record.
    pub first_append_time: Option<AppendTime>,
}

impl RotationSettings {
    /// Whether a commit filled so far must close before it takes a record at `position` with so many readings and
    /// bytes. The open commit is never closed while it is empty.
    pub(crate) fn closes_before(
        &self,
        fill: &Fill,
        position: &Position,
        readings: usize,
        buffer_bytes: usize,
    ) -> bool {
        let Some(first) = fill.first_append_time else { return false };
        self.cell(first) != self.cell(position.append_time)
            || fill.readings.saturating_add(readings) > self.max_readings
            || fill.buffer_bytes.saturating_add(buffer_bytes) > self.max_buffer_bytes
    }

    /// Whether the grid has moved on: at this append time, known from the log, the commit would close.
    pub(crate) fn is_past(&self, fill: &Fill, now: AppendTime) -> bool {
        fill.first_append_time.is_some_and(|first| self.cell(first) < self.cell(now))
    }

    fn cell(&self, time: AppendTime) -> i64 {
        let grid = i64::try_from(self.grid.as_micros()).unwrap_or(i64::MAX).max(1);
        time.as_micros().div_euclid(grid)
    }
}

#[cfg(test)]
mod tests {
    use heat_model::{Offset, PartitionId};

    use super::*;

    fn at(seconds: i64) -> Position {
        Position {
            partition: PartitionId(0),
            offset: Offset(7),
            append_time: AppendTime::from_micros(seconds * 1_000_000),
        }
    }

    #[test]
    fn a_commit_closes_at_the_grid_the_count_or_the_bytes_and_never_empty() {
        let settings =
            RotationSettings { max_readings: 100, grid: Duration::from_secs(60), max_buffer_bytes: 1000 };
        let fill = Fill {
            records: 9,
            readings: 90,
            buffer_bytes: 900,
            first_append_time: Some(AppendTime::from_micros(61_000_000)),
        };

        assert!(!settings.closes_before(&fill, &at(119), 10, 100));
        assert!(settings.closes_before(&fill, &at(120), 1, 1), "next cell of the grid");
        assert!(settings.closes_before(&fill, &at(119), 11, 1), "too many readings");
        assert!(settings.closes_before(&fill, &at(119), 1, 101), "too many bytes");
        assert!(!settings.closes_before(&Fill::default(), &at(119), 101, 1001), "never empty");
    }
}
