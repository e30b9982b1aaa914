//! The adapter's clocks: wall time for append times, monotone time for deadlines.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use heat_model::AppendTime;

#[expect(clippy::disallowed_methods, reason = "the embedded log stamps append times, as a broker does")]
pub(crate) fn append_now() -> AppendTime {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    AppendTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "deadlines of the log's own threads")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
