//! The clock. Everybody else is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use heat_model::IngestTime;

/// The system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now(self) -> IngestTime {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        IngestTime::from_micros(micros)
    }

    /// A monotonic instant, for deadlines and durations.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn instant(self) -> Instant {
        Instant::now()
    }
}
