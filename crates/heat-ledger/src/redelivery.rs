//! Redelivery by number: what a gateway appended twice, and what it numbered but never appended.
//!
//! Records of one partition carry (gateway, epoch, seq), contiguous from 0. A [`RedeliveryFilter`] keeps, for each
//! epoch, the first number not yet seen and a bitmap of the 65,536 after it: a number below or marked is a redelivery,
//! and a number that slides out of the bitmap unseen is a proven hole.

use std::collections::BTreeMap;

use heat_model::{GatewayId, Origin};
use serde::{Deserialize, Serialize};

/// Numbers that may be seen ahead of the first missing one.
pub const WINDOW: u64 = 65_536;
/// Epochs kept; each restart of a gateway begins one. The one that spoke longest ago goes first.
pub const EPOCHS_MAX: usize = 1_024;

const WORDS: usize = (WINDOW / 64) as usize;

/// What a number says about its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Seen for the first time.
    First,
    /// Seen before.
    Redelivered,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    /// The lowest number of which it is not known that it arrived.
    next: u64,
    /// Highest number seen, plus one.
    end: u64,
    /// Numbers seen at or above `next`; bit `n % WINDOW`. Empty while numbers come in order.
    ahead: Vec<u64>,
    /// Numbers that slid out unseen.
    holes: u64,
    /// Order in which the epochs last spoke.
    spoke: u64,
}

impl Epoch {
    fn observe(&mut self, seq: u64) -> Arrival {
        if seq < self.next {
            return Arrival::Redelivered;
        }
        self.end = self.end.max(seq + 1);
        if self.ahead.is_empty() {
            if seq == self.next {
                self.next += 1;
                return Arrival::First;
            }
            self.ahead = vec![0; WORDS];
        }
        // Make room first, so that the bit of `seq` is free.
        while seq - self.next >= WINDOW {
            if !self.take(self.next) {
                self.holes += 1;
            }
            self.next += 1;
        }
        let (word, bit) = place(seq);
        if self.ahead[word] & bit != 0 {
            return Arrival::Redelivered;
        }
        self.ahead[word] |= bit;
        while self.take(self.next) {
            self.next += 1;
        }
        if self.next == self.end {
            self.ahead = Vec::new();
        }
        Arrival::First
    }

    fn take(&mut self, seq: u64) -> bool {
        let (word, bit) = place(seq);
        let was = self.ahead[word] & bit != 0;
        self.ahead[word] &= !bit;
        was
    }
}

fn place(seq: u64) -> (usize, u64) {
    let index = usize::try_from(seq % WINDOW).expect("the window is far below usize::MAX");
    (index / 64, 1 << (index % 64))
}

/// One partition's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedeliveryFilter {
    epochs: BTreeMap<(GatewayId, u64), Epoch>,
    spoken: u64,
}

impl RedeliveryFilter {
    /// Takes the number of the next record. The first number seen of an epoch is where its counting starts: a reader
    /// may begin in the middle of the log.
    pub fn observe(&mut self, origin: &Origin) -> Arrival {
        self.spoken += 1;
        let spoken = self.spoken;
        let key = (origin.gateway.clone(), origin.epoch);
        if let Some(epoch) = self.epochs.get_mut(&key) {
            epoch.spoke = spoken;
            return epoch.observe(origin.seq);
        }
        if self.epochs.len() >= EPOCHS_MAX
            && let Some(oldest) =
                self.epochs.iter().min_by_key(|(_, epoch)| epoch.spoke).map(|(key, _)| key.clone())
        {
            self.epochs.remove(&oldest);
        }
        let epoch =
            Epoch { next: origin.seq + 1, end: origin.seq + 1, ahead: Vec::new(), holes: 0, spoke: spoken };
        self.epochs.insert(key, epoch);
        Arrival::First
    }

    /// Numbers that were assigned and never arrived, as far as that is proven.
    pub fn holes(&self) -> u64 {
        self.epochs.values().map(|epoch| epoch.holes).sum()
    }

    /// Numbers below the highest seen that have not arrived yet.
    pub fn missing(&self) -> u64 {
        self.epochs
            .values()
            .map(|epoch| {
                let seen: u64 = epoch.ahead.iter().map(|word| u64::from(word.count_ones())).sum();
                epoch.end - epoch.next - seen
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn origin(seq: u64) -> Origin {
        Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq }
    }

    #[test]
    fn a_number_seen_before_is_a_redelivery_and_a_gap_is_missing() {
        let mut filter = RedeliveryFilter::default();
        let arrivals: Vec<_> = [0, 1, 1, 3, 3, 0, 2, 2].map(|seq| filter.observe(&origin(seq))).into();

        use Arrival::{First, Redelivered};
        assert_eq!(
            arrivals,
            [First, First, Redelivered, First, Redelivered, Redelivered, First, Redelivered]
        );
        assert_eq!(filter.missing(), 0);
        filter.observe(&origin(9));
        assert_eq!(filter.missing(), 5);
    }

    #[test]
    fn what_slides_out_unseen_is_a_proven_hole() {
        let mut filter = RedeliveryFilter::default();
        filter.observe(&origin(0));
        filter.observe(&origin(2));
        filter.observe(&origin(1 + WINDOW));
        assert_eq!(filter.holes(), 1);
        assert_eq!(filter.observe(&origin(1)), Arrival::Redelivered, "too late to be told from a repeat");
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_everything_seen(steps in prop::collection::vec(0u64..300, 1..400)) {
            let mut filter = RedeliveryFilter::default();
            let mut seen = BTreeSet::new();
            filter.observe(&origin(0));
            seen.insert(0);
            for seq in steps {
                let expected = if seen.insert(seq) { Arrival::First } else { Arrival::Redelivered };
                prop_assert_eq!(filter.observe(&origin(seq)), expected);
            }
        }
    }
}
