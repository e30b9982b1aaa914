//! What is wrong with a device's clock, from one reading's time and the time of its receipt.
//!
//! The lane follows from age: older than the bound at receipt is history. A time ahead of the gateway by more than a
//! bound, or from before the device can have existed, is a clock fault: the reading is kept with both times, and marked
//! uncertain, so that it neither advances time nor decides anything.

use std::time::Duration;

use heat_model::{
    EventTime, IngestTime, Lane, QualityCode,
    time::{MICROS_PER_HOUR, MICROS_PER_SECOND},
};

/// 2001-01-02T00:00:00Z: clocks that lost their power start in 1970 or 2000.
const RESET_BEFORE_US: i64 = 978_393_600 * MICROS_PER_SECOND;
/// Ten years: a time whose thousandfold lies as near as this to now was meant in milliseconds.
const SECONDS_TAKEN_WITHIN_US: i64 = 10 * 365 * 24 * MICROS_PER_HOUR;
/// How near to whole quarters of an hour a lead must be to be a time zone.
const ZONE_SLACK_US: i64 = 2 * 60 * MICROS_PER_SECOND;
/// UTC+14 is the largest offset there is.
const ZONE_MAX_US: i64 = 14 * MICROS_PER_HOUR;

/// Bounds of the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockBounds {
    /// Older than this at receipt is history.
    pub live_max_age: Duration,
    /// Further ahead than this is a clock fault.
    pub ahead_max: Duration,
}

impl Default for ClockBounds {
    fn default() -> Self {
        Self { live_max_age: Duration::from_mins(15), ahead_max: Duration::from_mins(2) }
    }
}

impl ClockBounds {
    /// The clock fault that a reading's time shows, or `None`.
    pub fn fault(&self, event: EventTime, received: IngestTime) -> Option<QualityCode> {
        let (event_us, received_us) = (event.as_micros(), received.as_micros());
        let ahead_us = event_us.saturating_sub(received_us);
        if ahead_us > micros(self.ahead_max) {
            let quarter = MICROS_PER_HOUR / 4;
            let off_quarter = (ahead_us + quarter / 2).rem_euclid(quarter) - quarter / 2;
            let zone = (MICROS_PER_HOUR / 2..=ZONE_MAX_US + ZONE_SLACK_US).contains(&ahead_us)
                && off_quarter.abs() <= ZONE_SLACK_US;
            return Some(if zone { QualityCode::LocalTimeAsUtc } else { QualityCode::ClockAhead });
        }
        if event_us < RESET_BEFORE_US {
            let thousandfold = event_us.saturating_mul(1_000);
            let seconds = thousandfold.saturating_sub(received_us).saturating_abs() < SECONDS_TAKEN_WITHIN_US;
            return Some(if seconds { QualityCode::SecondsAsMilliseconds } else { QualityCode::ClockReset });
        }
        None
    }

    /// The lane of a reading of this time, unless it was declared.
    pub fn lane(&self, event: EventTime, received: IngestTime) -> Lane {
        let age_us = received.as_micros().saturating_sub(event.as_micros());
        if age_us > micros(self.live_max_age) { Lane::Backfill } else { Lane::Live }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: IngestTime = IngestTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);

    fn after(seconds: i64) -> EventTime {
        EventTime::from_micros(NOW.as_micros() + seconds * MICROS_PER_SECOND)
    }

    #[test]
    fn each_wrong_clock_is_named() {
        let bounds = ClockBounds::default();
        let name = |event| bounds.fault(event, NOW);
        assert_eq!(name(after(0)), None);
        assert_eq!(name(after(-30 * 86_400)), None, "old data are no fault");
        assert_eq!(name(after(60)), None);
        assert_eq!(name(after(86_400)), Some(QualityCode::ClockAhead));
        assert_eq!(name(after(8 * 3_600)), Some(QualityCode::LocalTimeAsUtc));
        assert_eq!(name(after(8 * 3_600 - 45)), Some(QualityCode::LocalTimeAsUtc));
        assert_eq!(name(EventTime::from_micros(5 * MICROS_PER_SECOND)), Some(QualityCode::ClockReset));
        let seconds = EventTime::from_micros(NOW.as_micros() / 1_000);
        assert_eq!(name(seconds), Some(QualityCode::SecondsAsMilliseconds));
    }

    #[test]
    fn older_than_the_bound_is_history() {
        let bounds = ClockBounds::default();
        assert_eq!(bounds.lane(after(-15 * 60), NOW), Lane::Live);
        assert_eq!(bounds.lane(after(-15 * 60 - 1), NOW), Lane::Backfill);
    }
}
