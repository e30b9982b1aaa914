//! What both clients need to connect, and to connect again: pauses, and words about what went wrong.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::IpAddr,
    time::Duration,
};

/// Whether a host is this machine. A name that resolves to it counts only if it is the usual one.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pauses between attempts: doubled each time up to the longest, then shortened by up to a half.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new((min, max): (Duration, Duration)) -> Self {
        Self { next: min, max }
    }

    /// The next pause. `jitter` is any number; it spreads clients that lost their broker at the same time.
    pub(crate) fn next(&mut self, jitter: u64) -> Duration {
        let pause = self.next.min(self.max);
        self.next = (pause * 2).min(self.max);
        let half = pause / 2;
        let steps = u32::try_from(jitter % 1024).unwrap_or(0);
        half + half * steps / 1024
    }
}

/// A number that differs between processes and calls.
pub(crate) fn jitter() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_bound_and_are_never_shorter_than_half() {
        let mut backoff = Backoff::new((Duration::from_millis(200), Duration::from_secs(5)));
        let mut longest = Duration::ZERO;
        for attempt in 0..50 {
            let whole =
                Duration::from_millis(200).saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(5));
            let pause = backoff.next(attempt * 977);
            assert!(pause >= whole / 2 && pause <= whole, "{attempt}: {pause:?} of {whole:?}");
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(4));
    }
}
