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
/// Streams that have records under way, of one producer. librdkafka's thread spins while a request is due that it may not
/// send, and idempotence allows five to a broker.
const STREAMS_UNDER_WAY: usize = 4;
/// After so long without a delivery, or while a stream waits for its turn, the bounds serve nobody.
pub(super) const STANDSTILL: Duration = Duration::from_millis(200);

/// What waits to be handed over.
#[derive(Debug)]
pub(super) struct Group {
    bytes: usize,
    taken_at: Instant,
    handed_at: Instant,
    is_left: bool,
    /// Since when some stream has had nothing under way and no turn.
    starved_since: Option<Instant>,
}

/// What of a stream is not handed over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    Nothing,
    Little,
    /// A group by itself.
    Much,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) is_under_way: bool,
    pub(super) unsent: Unsent,
}

/// Whose records are handed over now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) streams: Vec<usize>,
    /// The first that has to wait.
    pub(super) left: Option<usize>,
    is_starved: bool,
}

/// Chooses by turns from `first` on: a few streams at a time, each once its last group is delivered, unless it has much.
fn choose(streams: &[Standing], first: usize, is_bounded: bool) -> Choice {
    let mut under_way = streams.iter().filter(|stream| stream.is_under_way).count();
    let mut choice = Choice::default();
    for turn in 0..streams.len() {
        let index = (first + turn) % streams.len();
        let Standing { is_under_way, unsent } = streams[index];
        if unsent == Unsent::Nothing {
            continue;
        }
        let is_full = is_under_way || under_way >= STREAMS_UNDER_WAY;
        if is_bounded && is_full && unsent == Unsent::Little {
            choice.left.get_or_insert(index);
            choice.is_starved |= !is_under_way;
        } else {
            under_way += usize::from(!is_under_way);
            choice.streams.push(index);
        }
    }
    choice
}

impl Group {
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: 0, taken_at: now, handed_at: now, is_left: false, starved_since: None }
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

    /// Whose records go now; `moved` is when something was delivered last.
    pub(super) fn choose(
        &mut self,
        streams: &[Standing],
        first: usize,
        moved: Instant,
        now: Instant,
    ) -> Choice {
        let waited = |since: Instant| now.saturating_duration_since(since) >= STANDSTILL;
        let is_bounded = !waited(moved) && !self.starved_since.is_some_and(waited);
        let choice = choose(streams, first, is_bounded);
        self.starved_since = choice.is_starved.then(|| self.starved_since.unwrap_or(now));
        choice
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

    const LITTLE: Standing = Standing { is_under_way: false, unsent: Unsent::Little };
    const MUCH: Standing = Standing { is_under_way: true, unsent: Unsent::Much };
    const BUSY: Standing = Standing { is_under_way: true, unsent: Unsent::Little };
    const DONE: Standing = Standing { is_under_way: true, unsent: Unsent::Nothing };

    #[test]
    fn four_streams_are_under_way_at_a_time_and_the_others_follow_by_turns() {
        let choice = choose(&[LITTLE; 6], 2, true);
        assert_eq!((choice.streams, choice.left), (vec![2, 3, 4, 5], Some(0)));
        let choice = choose(&[BUSY, LITTLE, DONE, MUCH], 0, true);
        assert_eq!(
            (choice.streams, choice.left),
            (vec![1, 3], Some(0)),
            "a group at a time, unless it is much"
        );
        assert_eq!(choose(&[BUSY, LITTLE], 0, false).streams, [0, 1], "nothing is delivered: no bound helps");
    }

    #[test]
    fn a_stream_with_little_is_not_starved_by_streams_with_much() {
        let start = clock::now();
        let mut group = Group::new(start);
        let streams = [MUCH, MUCH, MUCH, MUCH, LITTLE];
        for later in (0..200).step_by(2) {
            let now = start + ms(later);
            assert_eq!(group.choose(&streams, 0, now, now).streams, [0, 1, 2, 3]);
        }
        let now = start + ms(200);
        assert_eq!(group.choose(&streams, 0, now, now).streams, [0, 1, 2, 3, 4]);
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
