//! Whether a node lives, and whether its messages came without a gap.
//!
//! Every birth of a node opens a count 0..255 that each of its messages goes on, but its death: that is a will, made
//! when the node connected, and only its `bdSeq` says which connection it ends. Births and deaths may overtake each
//! other, clocks at the edge are wrong, and many nodes start `bdSeq` at 0 whenever they start; so a birth is judged by
//! its number, by its own time, and by how much later than usual it came.

use heat_model::IngestTime;

/// No broker holds a message back for longer; what claims to be older has a wrong clock.
const DELAY_MAX_MS: i64 = 600_000;
/// A node's clock is taken to be right as long as its messages come within this time.
const LAG_TAKEN_AS_DELAY_MS: i64 = 10_000;
/// Messages that are recognised when they come again.
const RECENT: usize = 16;

/// A birth that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Birth {
    /// Number of the connection, modulo 256.
    pub(super) bd_seq: Option<u8>,
    /// By the node's clock, Unix milliseconds.
    pub(super) time: Option<i64>,
    pub(super) hash: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Neither a birth nor a death was seen.
    Unseen,
    Born(Birth),
    /// With the birth that ended, if it was seen.
    Dead(Option<Birth>),
}

/// The death of the latest connection since the last birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastDeath {
    bd_seq: Option<u8>,
    received_ms: i64,
}

/// What a death means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// The node died.
    Now,
    /// The same death again.
    Again,
    /// Of a connection before the one that lives or died last.
    Stale,
    /// Of a later connection than the one that lives, or of one before the node began to count anew; nobody can tell.
    /// The life that was known can't be trusted any more.
    Unmatched,
}

/// What a birth means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A life begins.
    New,
    /// The same birth again.
    Again,
    /// It was overtaken, by its death or by a later birth.
    Late,
}

/// Place of a message in the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Next,
    /// It was there before; nothing is missing.
    Again,
    /// It was published before the birth.
    Early,
    /// At least one message is missing.
    Gap,
    /// No birth counts, or one is waited for since a gap.
    Unborn,
}

/// Life and count of one node.
#[derive(Debug)]
pub(super) struct Session {
    life: Life,
    death: Option<LastDeath>,
    /// No message is missing since the birth.
    whole: bool,
    expected: u8,
    recent: [u64; RECENT],
    recent_at: usize,
    /// Smallest time from publishing, by the node's clock, to receipt.
    lag_ms: Option<i64>,
}

impl Session {
    pub(super) const fn new() -> Self {
        Self {
            life: Life::Unseen,
            death: None,
            whole: false,
            expected: 0,
            recent: [0; RECENT],
            recent_at: 0,
            lag_ms: None,
        }
    }

    /// Whether the node lives, by what was seen.
    pub(super) const fn is_born(&self) -> bool {
        matches!(self.life, Life::Born(_))
    }

    /// Judges a birth; if it is new, the count starts behind `seq`.
    pub(super) fn birth(&mut self, birth: Birth, seq: u8, received: IngestTime) -> Arrival {
        let arrival = self.judge(&birth, received);
        if arrival == Arrival::New {
            *self = Self { life: Life::Born(birth), whole: true, ..Self::new() };
            self.advance(seq, birth.hash);
            self.note_lag(birth.time, received);
        }
        arrival
    }

    fn judge(&self, birth: &Birth, received: IngestTime) -> Arrival {
        let received_ms = millis(received);
        let published_ms = birth.time.map(|time| time.saturating_add(self.clock_offset_ms()));
        let delayed = published_ms.is_some_and(|at| received_ms.saturating_sub(at) <= DELAY_MAX_MS);
        // By the node's own clock it is not younger than the birth that counted last.
        let not_younger = |last: Birth| birth.time.zip(last.time).is_some_and(|(time, last)| time <= last);
        let late = match self.life {
            Life::Born(last) if last.hash == birth.hash && self.death.is_none() => return Arrival::Again,
            Life::Born(last) => not_younger(last) && delayed,
            Life::Dead(Some(last)) => last.hash == birth.hash || (not_younger(last) && delayed),
            Life::Dead(None) | Life::Unseen => false,
        };
        let overtaken = self.death.is_some_and(|death| {
            not_newer(birth.bd_seq, death.bd_seq)
                && match published_ms {
                    Some(at) => at <= death.received_ms && delayed,
                    None => received_ms.saturating_sub(death.received_ms) <= DELAY_MAX_MS,
                }
        });
        if late || overtaken { Arrival::Late } else { Arrival::New }
    }

    /// Judges a death; `time` is that of its payload, when the node connected.
    pub(super) fn death(&mut self, bd_seq: Option<u8>, time: Option<i64>, received: IngestTime) -> Death {
        let death = match self.life {
            Life::Born(birth) => of_living(&birth, bd_seq, time),
            Life::Unseen | Life::Dead(_) => match self.death {
                Some(last) if last.bd_seq == bd_seq => Death::Again,
                Some(last) if !not_newer(last.bd_seq, bd_seq) => Death::Stale,
                Some(_) | None => Death::Now,
            },
        };
        if matches!(death, Death::Now | Death::Unmatched) {
            let newest = self.death.is_none_or(|last| not_newer(last.bd_seq, bd_seq));
            if newest {
                self.death = Some(LastDeath { bd_seq, received_ms: millis(received) });
            }
            self.whole = false;
        }
        if death == Death::Now {
            self.life = match self.life {
                Life::Born(birth) => Life::Dead(Some(birth)),
                Life::Unseen => Life::Dead(None),
                Life::Dead(birth) => Life::Dead(birth),
            };
        }
        death
    }

    /// Places a message of a living node in its count.
    pub(super) fn order(&mut self, seq: u8, hash: u64, time: Option<i64>, received: IngestTime) -> Order {
        let Life::Born(birth) = self.life else { return Order::Unborn };
        if !self.whole {
            return Order::Unborn;
        }
        if seq == self.expected {
            self.advance(seq, hash);
            self.note_lag(time, received);
            return Order::Next;
        }
        if self.recent.contains(&hash) {
            return Order::Again;
        }
        if time.zip(birth.time).is_some_and(|(time, birth)| time < birth) {
            return Order::Early;
        }
        self.whole = false;
        Order::Gap
    }

    /// Counts a message that came before the birth it belongs to. False if it is not the next one.
    pub(super) fn catch_up(&mut self, seq: u8, hash: u64, time: Option<i64>) -> bool {
        let Life::Born(birth) = self.life else { return false };
        let behind = time.zip(birth.time).is_some_and(|(time, birth)| time >= birth);
        let next = self.whole && behind && seq == self.expected;
        if next {
            self.advance(seq, hash);
        }
        next
    }

    fn advance(&mut self, seq: u8, hash: u64) {
        self.expected = seq.wrapping_add(1);
        self.recent[self.recent_at] = hash;
        self.recent_at = (self.recent_at + 1) % RECENT;
    }

    fn note_lag(&mut self, time: Option<i64>, received: IngestTime) {
        if let Some(time) = time {
            let lag = millis(received).saturating_sub(time);
            self.lag_ms = Some(self.lag_ms.map_or(lag, |least| least.min(lag)));
        }
    }

    /// What to add to the node's time to get ours: nothing while its clock may be right, for then it is right.
    fn clock_offset_ms(&self) -> i64 {
        self.lag_ms.filter(|lag| !(0..=LAG_TAKEN_AS_DELAY_MS).contains(lag)).unwrap_or(0)
    }
}

fn of_living(birth: &Birth, bd_seq: Option<u8>, time: Option<i64>) -> Death {
    let same = birth.bd_seq.zip(bd_seq).is_none_or(|(birth, death)| birth == death);
    if same {
        return Death::Now;
    }
    if !not_newer(birth.bd_seq, bd_seq) {
        return Death::Stale;
    }
    match time.zip(birth.time) {
        Some((will, birth)) if will > birth => Death::Now,
        Some(_) => Death::Stale,
        None => Death::Unmatched,
    }
}

/// Whether the first number is the second or before it; numbers are modulo 256. An unknown number may be any.
fn not_newer(first: Option<u8>, second: Option<u8>) -> bool {
    first.zip(second).is_none_or(|(first, second)| second.wrapping_sub(first) < 128)
}

fn millis(time: IngestTime) -> i64 {
    time.as_micros().div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: i64 = 1_795_478_400_000;

    fn at(ms: i64) -> IngestTime {
        IngestTime::from_micros((T0 + ms) * 1_000)
    }

    /// A birth that is published at `ms` by the node's clock.
    fn birth(bd_seq: u8, ms: i64) -> Birth {
        Birth { bd_seq: Some(bd_seq), time: Some(T0 + ms), hash: ms.cast_unsigned() }
    }

    #[test]
    fn a_death_ends_the_connection_that_it_names_and_later_ones_never() {
        let mut session = Session::new();
        assert_eq!(session.birth(birth(6, 0), 0, at(0)), Arrival::New);
        assert_eq!(session.death(Some(5), None, at(10)), Death::Stale);
        assert!(session.is_born() && session.whole);
        assert_eq!(session.death(Some(6), None, at(20)), Death::Now);
        assert_eq!(session.death(Some(6), None, at(30)), Death::Again);
        assert_eq!(session.death(Some(5), None, at(40)), Death::Stale);
        assert!(!session.is_born());
    }

    #[test]
    fn a_death_that_no_birth_matches_ends_life_only_if_its_time_proves_it() {
        let of = |time: Option<i64>| {
            let mut session = Session::new();
            session.birth(birth(255, 0), 0, at(0));
            let death = session.death(Some(0), time, at(2_000));
            (death, session.is_born(), session.whole)
        };
        assert_eq!(of(Some(T0 + 1_000)), (Death::Now, false, false), "a later connection");
        assert_eq!(of(Some(T0 - 1_000)), (Death::Stale, true, true), "the counter began anew");
        assert_eq!(of(None), (Death::Unmatched, true, false));
    }

    #[test]
    fn a_birth_that_its_death_overtook_does_not_revive() {
        for life in [None, Some(birth(5, 0))] {
            let mut session = Session::new();
            if let Some(birth) = life {
                session.birth(birth, 0, at(0));
            }
            session.death(Some(6), None, at(2_000));
            assert_eq!(session.birth(birth(6, 1_000), 0, at(3_000)), Arrival::Late);
            assert_eq!(session.birth(birth(5, 500), 0, at(3_000)), Arrival::Late);
            assert!(!session.whole);
            assert_eq!(session.birth(birth(7, 2_500), 0, at(3_000)), Arrival::New);
        }
    }

    #[test]
    fn deaths_that_overtake_each_other_leave_both_connections_dead() {
        let mut session = Session::new();
        session.birth(birth(5, 0), 0, at(0));
        assert_eq!(session.death(Some(6), None, at(2_000)), Death::Unmatched);
        assert_eq!(session.death(Some(5), None, at(2_100)), Death::Now);
        assert_eq!(session.birth(birth(6, 1_000), 0, at(2_200)), Arrival::Late);
    }

    #[test]
    fn the_birth_that_ended_never_revives() {
        let mut session = Session::new();
        session.birth(birth(5, 0), 0, at(0));
        session.death(Some(5), None, at(2_000));
        assert_eq!(session.birth(birth(5, 0), 0, at(10_000_000)), Arrival::Late);
        assert!(!session.is_born());
    }

    #[test]
    fn a_node_that_counts_its_connections_anew_is_born_again() {
        let mut session = Session::new();
        session.birth(birth(5, 0), 0, at(0));
        session.death(Some(5), None, at(2_000));
        assert_eq!(session.birth(birth(0, 2_500), 0, at(2_600)), Arrival::New);
        session.death(Some(0), None, at(5_000));
        assert_eq!(session.birth(birth(0, 6_000), 0, at(6_000)), Arrival::New);
    }

    #[test]
    fn a_wrong_clock_does_not_keep_a_node_dead() {
        let hour = 3_600_000;
        let mut behind = Session::new();
        behind.birth(birth(0, -hour), 0, at(0));
        behind.death(Some(0), None, at(10_000));
        assert_eq!(behind.birth(birth(0, 5_000 - hour), 0, at(11_000)), Arrival::Late);
        assert_eq!(behind.birth(birth(0, 15_000 - hour), 0, at(15_000)), Arrival::New);

        let mut reset = Session::new();
        reset.birth(birth(0, 0), 0, at(0));
        reset.death(Some(0), None, at(10_000));
        assert_eq!(reset.birth(birth(0, 5_000 - T0), 0, at(15_000)), Arrival::New);

        let mut ahead = Session::new();
        ahead.birth(birth(3, 5_000), 0, at(0));
        ahead.death(Some(3), None, at(10_000));
        assert_eq!(ahead.birth(birth(3, 9_000 + 5_000), 0, at(11_000)), Arrival::Late);
    }

    #[test]
    fn a_birth_that_a_later_one_overtook_changes_nothing() {
        let mut session = Session::new();
        session.birth(birth(4, 2_000), 0, at(2_000));
        assert_eq!(session.birth(birth(4, 1_000), 0, at(2_500)), Arrival::Late);
        assert_eq!(session.birth(birth(4, 2_000), 0, at(2_600)), Arrival::Again);
        assert_eq!(session.order(1, 77, Some(T0 + 2_100), at(2_700)), Order::Next);
        assert_eq!(session.birth(birth(4, 3_000), 0, at(3_000)), Arrival::New);
    }

    #[test]
    fn the_count_wraps_and_tells_repeats_and_gaps() {
        let mut session = Session::new();
        session.birth(birth(0, 0), 254, at(0));
        let mut order = |seq: u8, hash: u64, ms: i64| session.order(seq, hash, Some(T0 + ms), at(ms));
        assert_eq!(order(255, 1, 1), Order::Next);
        assert_eq!(order(0, 2, 2), Order::Next);
        assert_eq!(order(255, 1, 1), Order::Again);
        assert_eq!(order(9, 3, -1), Order::Early);
        assert_eq!(order(1, 4, 3), Order::Next);
        assert_eq!(order(1, 5, 4), Order::Gap, "the same number, but another message");
        assert_eq!(order(2, 6, 5), Order::Unborn, "until the next birth");
        assert!(!session.whole);
        session.birth(birth(0, 6), 0, at(6));
        assert!(session.whole);
    }

    #[test]
    fn a_message_that_overtook_its_birth_is_counted_behind_it() {
        let mut session = Session::new();
        session.birth(birth(0, 10), 0, at(10));
        assert!(!session.catch_up(1, 1, Some(T0 + 5)), "it is from before the birth");
        assert!(session.catch_up(1, 1, Some(T0 + 11)));
        assert!(!session.catch_up(3, 2, Some(T0 + 12)));
        assert_eq!(session.order(2, 3, Some(T0 + 13), at(14)), Order::Next);
    }
}
