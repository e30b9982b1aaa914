//! When records are handed over, so that they travel in groups: a request costs client and broker about as much as fifty
//! records in it.

use std::time::{Duration, Instant};

/// Records behind others wait this long after the last group at the most.
const INTERVAL: Duration = Duration::from_millis(20);
/// When no record has come for so long, none may come before a delivery: a sender may have as much unacknowledged as it is
/// allowed to.
const PAUSE: Duration = Duration::from_millis(4);
/// So much is a group in any case.
pub(super) const GROUP_BYTES: usize = 256 << 10;

/// What waits to be handed over.
#[derive(Debug)]
pub(super) struct Group {
    bytes: usize,
    taken_at: Instant,
    handed_at: Instant,
    is_left: bool,
}

impl Group {
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: 0, taken_at: now, handed_at: now, is_left: false }
    }

    /// More of it has come.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        self.taken_at = now;
    }

    /// Whether it is to be handed over now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_left
            || self.bytes >= GROUP_BYTES
            || now.saturating_duration_since(self.handed_at) >= INTERVAL
            || now.saturating_duration_since(self.taken_at) >= PAUSE
    }

    /// It was handed over, or as much of it as there is room for: what is left goes as soon as there is more.
    pub(super) fn handed(&mut self, is_left: bool, now: Instant) {
        if std::mem::take(&mut self.bytes) > 0 {
            self.handed_at = now;
        }
        self.is_left = is_left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_record_that_comes_alone_goes_at_once() {
        let start = clock::now();
        let mut group = Group::new(start);
        group.take(400, start + ms(30));
        assert!(group.is_due(start + ms(30)));
    }

    #[test]
    fn behind_others_it_waits_for_the_interval_or_for_a_pause_of_the_senders() {
        let start = clock::now();
        let mut group = Group::new(start);
        group.take(400, start + ms(30));
        group.handed(false, start + ms(30));
        for later in 31..50 {
            group.take(400, start + ms(later));
            assert!(!group.is_due(start + ms(later)), "after {} ms", later - 30);
        }
        assert!(group.is_due(start + ms(50)), "the interval is over");
        group.handed(false, start + ms(50));
        group.take(400, start + ms(51));
        assert!(!group.is_due(start + ms(54)));
        assert!(group.is_due(start + ms(55)), "nobody sends more");
    }

    #[test]
    fn much_goes_at_once_and_what_is_left_does_not_wait_again() {
        let start = clock::now();
        let mut group = Group::new(start);
        group.take(GROUP_BYTES, start + ms(1));
        assert!(group.is_due(start + ms(1)));
        group.handed(true, start + ms(1));
        group.take(400, start + ms(2));
        assert!(group.is_due(start + ms(2)));
        group.handed(false, start + ms(2));
        assert!(!group.is_due(start + ms(3)));
    }
}
