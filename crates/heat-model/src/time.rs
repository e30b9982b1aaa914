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
