//! The three times of a reading. They never convert into one another silently.
//!
//! All are microseconds since 1970-01-01T00:00:00Z.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Defines one kind of time; a macro, because the kinds must not mix and differ in nothing else.
macro_rules! time {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// From microseconds since the epoch.
            pub const fn from_micros(micros: i64) -> Self {
                Self(micros)
            }

            /// Microseconds since the epoch.
            pub const fn as_micros(self) -> i64 {
                self.0
            }

            /// Seconds since the epoch as a floating-point number, exact to the microsecond until 2255.
            pub fn as_seconds(self) -> f64 {
                self.0 as f64 / 1e6
            }

            /// Whole seconds since the epoch, rounded towards minus infinity.
            pub const fn second(self) -> i64 {
                self.0.div_euclid(MICROS_PER_SECOND)
            }

            /// Start of the UTC hour it lies in, as microseconds.
            pub const fn hour_start(self) -> i64 {
                self.0.div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR
            }

            /// Days since the epoch of the UTC day it lies in.
            pub const fn day(self) -> i64 {
                self.0.div_euclid(MICROS_PER_DAY)
            }

            /// This much later; stops at the largest time.
            #[must_use]
            pub fn plus(self, by: Duration) -> Self {
                Self(self.0.saturating_add(micros(by)))
            }

            /// This much earlier; stops at the smallest time.
            #[must_use]
            pub fn minus(self, by: Duration) -> Self {
                Self(self.0.saturating_sub(micros(by)))
            }

            /// How long after `earlier` it is; zero where it is not after.
            pub fn since(self, earlier: Self) -> Duration {
                Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
            }
        }
    };
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

time!(
    /// When the meter says that it measured.
    EventTime
);
time!(
    /// When a gateway received it, by the gateway's clock.
    IngestTime
);
time!(
    /// When the log appended it, by the log's clock; it never runs backwards within a partition.
    AppendTime
);

impl IngestTime {
    /// A payload without a time gets the time of its arrival (and the mark `untimed`).
    pub const fn as_event_of_untimed(self) -> EventTime {
        EventTime(self.0)
    }
}

impl AppendTime {
    /// The append clock seen as an instant of event time: what a core calls *now*.
    pub const fn as_event_now(self) -> EventTime {
        EventTime(self.0)
    }
}

/// Parses a duration with its unit: `250ms`, `30s`, `5min`, `2h`, `7d`, `1y` (365 days).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| format!("{text:?} is not a duration; write \"30s\", \"5min\", \"2h\""))?;
    let seconds = match unit.trim() {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "y" => 365.0 * 86_400.0,
        "" => {
            return Err(format!("{text:?} has no unit; write \"{text}s\" or another of ms, s, min, h, d, y"));
        }
        other => return Err(format!("{other:?} is not a unit of time; use ms, s, min, h, d or y")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(parse_duration("30").unwrap_err().contains("no unit"));
        assert!(parse_duration("soon").is_err());
    }
}
