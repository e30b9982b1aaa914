//! What is wrong with a device's clock.
//!
//! The lane follows from age: older than the bound at receipt is history. A reading's time shows some faults by itself
//! (ahead of the gateway by more than a bound, before the device can have existed, seconds sent as milliseconds). Others
//! only show over several messages: a message that is an hour old may have waited, but one that is always an hour old,
//! to within seconds, comes from a clock that is behind. So the guard keeps a few *leads* per device: event time minus
//! receipt. The way to the gateway only ever makes a lead smaller, so the largest of them is the estimate of the clock's
//! offset.
//!
//! A reading with a clock fault is kept with both times and marked uncertain: it neither advances time nor decides
//! anything.

use std::{fmt, time::Duration};

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
/// Leads kept per device.
const LEADS: usize = 8;
/// Receipts between two kept leads: eight then span two minutes, longer than a burst of stored messages.
const LEAD_EVERY_US: i64 = 15 * MICROS_PER_SECOND;
/// Leads of a clock that is behind scatter by no more than the way to the gateway does.
const STEADY_WITHIN_US: i64 = 30 * MICROS_PER_SECOND;

/// Bounds of the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockBounds {
    /// Older than this at receipt is history.
    pub live_max_age: Duration,
    /// Further ahead than this is a clock fault.
    pub ahead_max: Duration,
    /// A lead that is steadily further behind than this is a clock that is behind.
    pub behind_max: Duration,
}

impl Default for ClockBounds {
    fn default() -> Self {
        Self {
            live_max_age: Duration::from_mins(15),
            ahead_max: Duration::from_mins(2),
            behind_max: Duration::from_mins(2),
        }
    }
}

impl ClockBounds {
    /// The lane of a reading of this time, unless it was declared.
    pub fn lane(&self, event: EventTime, received: IngestTime) -> Lane {
        let age_us = received.as_micros().saturating_sub(event.as_micros());
        if age_us > micros(self.live_max_age) { Lane::Backfill } else { Lane::Live }
    }
}

/// A device's clock as its leads show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockState {
    /// Too few messages to tell; each reading is judged by itself.
    #[default]
    Unknown,
    /// Within the bounds.
    Right,
    /// Ahead by more than the bound.
    Ahead,
    /// Ahead by whole quarters of an hour, as local time stamped as UTC is.
    LocalTimeAsUtc,
    /// Behind by a steady lead beyond the bound.
    Behind,
    /// In 1970 or 2000.
    Reset,
    /// Seconds where milliseconds are meant.
    SecondsAsMilliseconds,
}

impl ClockState {
    /// All states, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Right,
        Self::Ahead,
        Self::LocalTimeAsUtc,
        Self::Behind,
        Self::Reset,
        Self::SecondsAsMilliseconds,
    ];

    /// The word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Right => "right",
            Self::Ahead => "ahead",
            Self::LocalTimeAsUtc => "local_time_as_utc",
            Self::Behind => "behind",
            Self::Reset => "reset",
            Self::SecondsAsMilliseconds => "seconds_as_milliseconds",
        }
    }

    /// Whether somebody should set the clock.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Unknown | Self::Right)
    }
}

impl fmt::Display for ClockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A device's clock turned out to be something else than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockChange {
    /// What it was.
    pub from: ClockState,
    /// What it is.
    pub to: ClockState,
    /// Estimated offset, positive when the clock is ahead, in microseconds.
    pub offset_us: i64,
}

/// What is known of one device's clock.
#[derive(Debug, Clone, Default)]
pub struct DeviceClock {
    leads_us: [i64; LEADS],
    kept: usize,
    next: usize,
    last_kept_us: i64,
    state: ClockState,
    offset_us: i64,
}

impl DeviceClock {
    /// What the clock is taken for.
    pub const fn state(&self) -> ClockState {
        self.state
    }

    /// Takes the newest time of a message that was not declared as history; tells when the estimate changes.
    pub fn observe(
        &mut self,
        bounds: ClockBounds,
        newest: EventTime,
        received: IngestTime,
    ) -> Option<ClockChange> {
        let received_us = received.as_micros();
        if self.kept > 0 && received_us.saturating_sub(self.last_kept_us).saturating_abs() < LEAD_EVERY_US {
            return None;
        }
        self.last_kept_us = received_us;
        self.leads_us[self.next] = newest.as_micros().saturating_sub(received_us);
        self.next = (self.next + 1) % LEADS;
        self.kept = (self.kept + 1).min(LEADS);
        let leads = &self.leads_us[..self.kept];
        let offset_us = leads.iter().copied().max().unwrap_or(0);
        let spread_us = offset_us.saturating_sub(leads.iter().copied().min().unwrap_or(0));
        let to = match by_itself(bounds, newest, received) {
            Some(QualityCode::ClockReset) => ClockState::Reset,
            Some(QualityCode::SecondsAsMilliseconds) => ClockState::SecondsAsMilliseconds,
            _ if offset_us > micros(bounds.ahead_max) => {
                if is_zone(offset_us) {
                    ClockState::LocalTimeAsUtc
                } else {
                    ClockState::Ahead
                }
            }
            _ if self.kept < LEADS => ClockState::Unknown,
            _ if -offset_us > micros(bounds.behind_max) && spread_us <= STEADY_WITHIN_US => {
                ClockState::Behind
            }
            _ => ClockState::Right,
        };
        self.offset_us = offset_us;
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(ClockChange { from, to, offset_us })
    }

    /// The clock fault of a reading of this device, or `None`.
    pub fn fault(&self, bounds: ClockBounds, event: EventTime, received: IngestTime) -> Option<QualityCode> {
        let itself = by_itself(bounds, event, received);
        match (itself, self.state) {
            // What the leads show beats what a delayed reading shows.
            (Some(QualityCode::ClockAhead), ClockState::LocalTimeAsUtc) => Some(QualityCode::LocalTimeAsUtc),
            (Some(QualityCode::LocalTimeAsUtc), ClockState::Ahead) => Some(QualityCode::ClockAhead),
            (Some(code), _) => Some(code),
            // Nearer than that it is told of the device alone: its readings are fresh enough for the live lane.
            (None, ClockState::Behind) if -self.offset_us > micros(bounds.live_max_age) => {
                let lead_us = event.as_micros().saturating_sub(received.as_micros());
                let near = lead_us.saturating_sub(self.offset_us).saturating_abs() <= 2 * STEADY_WITHIN_US;
                near.then_some(QualityCode::ClockBehind)
            }
            (None, _) => None,
        }
    }
}

/// The clock fault that one reading's time shows by itself.
fn by_itself(bounds: ClockBounds, event: EventTime, received: IngestTime) -> Option<QualityCode> {
    let (event_us, received_us) = (event.as_micros(), received.as_micros());
    let ahead_us = event_us.saturating_sub(received_us);
    if ahead_us > micros(bounds.ahead_max) {
        return Some(if is_zone(ahead_us) { QualityCode::LocalTimeAsUtc } else { QualityCode::ClockAhead });
    }
    if event_us < RESET_BEFORE_US {
        let thousandfold = event_us.saturating_mul(1_000);
        let seconds = thousandfold.saturating_sub(received_us).saturating_abs() < SECONDS_TAKEN_WITHIN_US;
        return Some(if seconds { QualityCode::SecondsAsMilliseconds } else { QualityCode::ClockReset });
    }
    None
}

fn is_zone(ahead_us: i64) -> bool {
    let quarter = MICROS_PER_HOUR / 4;
    let off_quarter = (ahead_us + quarter / 2).rem_euclid(quarter) - quarter / 2;
    (MICROS_PER_HOUR / 2..=ZONE_MAX_US + ZONE_SLACK_US).contains(&ahead_us)
        && off_quarter.abs() <= ZONE_SLACK_US
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_US: i64 = 1_763_942_400 * MICROS_PER_SECOND;
    const NOW: IngestTime = IngestTime::from_micros(START_US);
    const BOUNDS: ClockBounds = ClockBounds {
        live_max_age: Duration::from_mins(15),
        ahead_max: Duration::from_mins(2),
        behind_max: Duration::from_mins(2),
    };

    fn after(seconds: i64) -> EventTime {
        EventTime::from_micros(START_US + seconds * MICROS_PER_SECOND)
    }

    /// A device that sends every minute, each message so many seconds late, by a clock so many seconds off.
    fn device(offset_seconds: i64, delays_seconds: &[i64]) -> (DeviceClock, Vec<ClockState>) {
        let mut clock = DeviceClock::default();
        let mut changes = Vec::new();
        for (minute, delay) in (0..).zip(delays_seconds) {
            let received = IngestTime::from_micros(START_US + minute * 60 * MICROS_PER_SECOND);
            let event =
                EventTime::from_micros(received.as_micros() + (offset_seconds - delay) * MICROS_PER_SECOND);
            changes.extend(clock.observe(BOUNDS, event, received).map(|change| change.to));
        }
        (clock, changes)
    }

    #[test]
    fn each_wrong_clock_is_named_by_one_reading() {
        let clock = DeviceClock::default();
        let name = |event| clock.fault(BOUNDS, event, NOW);
        assert_eq!(name(after(0)), None);
        assert_eq!(name(after(-30 * 86_400)), None, "old data are no fault");
        assert_eq!(name(after(60)), None);
        assert_eq!(name(after(86_400)), Some(QualityCode::ClockAhead));
        assert_eq!(name(after(8 * 3_600)), Some(QualityCode::LocalTimeAsUtc));
        assert_eq!(name(after(8 * 3_600 - 45)), Some(QualityCode::LocalTimeAsUtc));
        assert_eq!(name(EventTime::from_micros(5 * MICROS_PER_SECOND)), Some(QualityCode::ClockReset));
        let seconds = EventTime::from_micros(START_US / 1_000);
        assert_eq!(name(seconds), Some(QualityCode::SecondsAsMilliseconds));
    }

    #[test]
    fn a_clock_that_is_steadily_behind_is_told_from_messages_that_waited() {
        let (behind, changes) = device(-3_600, &[1, 2, 1, 5, 1, 1, 3, 1, 1]);
        assert_eq!(changes, [ClockState::Behind]);
        assert_eq!(behind.fault(BOUNDS, after(-3_600), NOW), Some(QualityCode::ClockBehind));
        assert_eq!(behind.fault(BOUNDS, after(-86_400), NOW), None, "its own history is no new fault");

        let (waited, changes) = device(0, &[3_600, 3_540, 3_480, 3_420, 3_360, 3_300, 3_240, 3_180, 3_120]);
        assert_eq!(changes, [ClockState::Right]);
        assert_eq!(waited.fault(BOUNDS, after(-3_600), NOW), None);
    }

    #[test]
    fn a_clock_some_minutes_behind_is_named_and_its_readings_stay_good() {
        let (behind, changes) = device(-300, &[1, 2, 1, 5, 1, 1, 3, 1, 1]);
        assert_eq!(changes, [ClockState::Behind]);
        assert_eq!(behind.fault(BOUNDS, after(-300), NOW), None);

        let (slow, changes) = device(0, &[1, 70, 20, 110, 1, 90, 45, 100, 60]);
        assert_eq!((slow.state(), changes), (ClockState::Right, vec![ClockState::Right]));
    }

    #[test]
    fn a_late_message_of_a_local_time_clock_is_named_by_what_the_device_showed_before() {
        let (clock, changes) = device(8 * 3_600, &[1, 1, 2, 1]);
        assert_eq!(changes, [ClockState::LocalTimeAsUtc]);
        let ten_minutes_late = after(8 * 3_600 - 600);
        assert_eq!(clock.fault(BOUNDS, ten_minutes_late, NOW), Some(QualityCode::LocalTimeAsUtc));
        let (ahead, _) = device(5_000, &[1, 1, 2, 1]);
        assert_eq!(ahead.state(), ClockState::Ahead);
    }

    #[test]
    fn a_clock_that_was_set_right_is_believed_again() {
        let (mut clock, _) = device(8 * 3_600, &[1; 4]);
        let mut last = None;
        for minute in 10..30 {
            let received = IngestTime::from_micros(START_US + minute * 60 * MICROS_PER_SECOND);
            let event = EventTime::from_micros(received.as_micros() - MICROS_PER_SECOND);
            assert_eq!(clock.fault(BOUNDS, event, received), None);
            last = clock.observe(BOUNDS, event, received).or(last);
        }
        assert_eq!(last.map(|change| change.to), Some(ClockState::Right));
    }

    #[test]
    fn older_than_the_bound_is_history() {
        assert_eq!(BOUNDS.lane(after(-15 * 60), NOW), Lane::Live);
        assert_eq!(BOUNDS.lane(after(-15 * 60 - 1), NOW), Lane::Backfill);
    }
}
