//! A gateway's own account by ingest hour: received = logged + rejected + queued.

use std::collections::BTreeMap;

use heat_model::{IngestTime, record::HourCounts};

/// Hours kept; beyond, the oldest one that is settled and reported goes. A clock set back may reopen those kept.
const HOURS_MAX: usize = 48;

/// What one received message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageAccount {
    hour_start_us: i64,
    readings_logged: u32,
    readings_rejected: u32,
    logged: bool,
    dead_letter: bool,
    is_message: bool,
}

impl MessageAccount {
    /// Records that no message brought: they count nowhere.
    pub const fn none(now: IngestTime) -> Self {
        let none = Self::new(now, false, 0, 0, false);
        Self { is_message: false, ..none }
    }

    /// A message of which `readings_logged` became records (`logged`: at least one record), and `readings_rejected` a
    /// dead letter.
    pub const fn new(
        received: IngestTime,
        logged: bool,
        readings_logged: u32,
        readings_rejected: u32,
        dead_letter: bool,
    ) -> Self {
        let hour_start_us = received.hour_start();
        Self { hour_start_us, readings_logged, readings_rejected, logged, dead_letter, is_message: true }
    }

    const fn readings(&self) -> u64 {
        self.readings_logged as u64 + self.readings_rejected as u64
    }

    /// Counts the message as received and on its way.
    pub fn receive_in(&self, counts: &mut HourCounts) {
        if !self.is_message {
            return;
        }
        let readings = self.readings();
        counts.messages_received += 1;
        counts.messages_queued += 1;
        counts.readings_received += readings;
        counts.readings_queued += readings;
    }

    /// Counts the message, received before, as durable.
    pub fn settle_in(&self, counts: &mut HourCounts) {
        if !self.is_message {
            return;
        }
        counts.messages_queued = counts.messages_queued.saturating_sub(1);
        counts.readings_queued = counts.readings_queued.saturating_sub(self.readings());
        if self.logged {
            counts.messages_logged += 1;
        } else {
            counts.messages_rejected += 1;
        }
        counts.readings_logged += u64::from(self.readings_logged);
        counts.readings_rejected += u64::from(self.readings_rejected);
        counts.dead_letters += u64::from(self.dead_letter);
    }
}

/// Counts of one epoch.
#[derive(Debug, Default)]
pub struct HourLedger {
    hours: BTreeMap<i64, (HourCounts, bool)>,
    total: HourCounts,
}

impl HourLedger {
    /// A message was received and handed on.
    pub fn receive(&mut self, account: &MessageAccount) {
        self.change(account.hour_start_us, |counts| account.receive_in(counts));
    }

    /// All that the message became is durable.
    pub fn settle(&mut self, account: &MessageAccount) {
        self.change(account.hour_start_us, |counts| account.settle_in(counts));
    }

    /// Counts of the hours that changed since the last call.
    pub fn take_changed(&mut self) -> Vec<HourCounts> {
        let changed = self.hours.values_mut().filter(|(_, changed)| *changed);
        changed
            .map(|(counts, changed)| {
                *changed = false;
                *counts
            })
            .collect()
    }

    /// Counts over all hours of the epoch; its hour is meaningless.
    pub fn total(&self) -> HourCounts {
        self.total
    }

    fn change(&mut self, hour_start_us: i64, apply: impl Fn(&mut HourCounts)) {
        apply(&mut self.total);
        if self.hours.len() >= HOURS_MAX && !self.hours.contains_key(&hour_start_us) {
            let settled =
                self.hours.iter().find(|(_, (counts, changed))| counts.messages_queued == 0 && !changed);
            if let Some(hour) = settled.map(|(hour, _)| *hour) {
                self.hours.remove(&hour);
            }
        }
        let fresh = (HourCounts { hour_start_us, ..HourCounts::default() }, true);
        let (counts, changed) = self.hours.entry(hour_start_us).or_insert(fresh);
        apply(counts);
        *changed = true;
    }
}

#[cfg(test)]
mod tests {
    use heat_model::time::MICROS_PER_HOUR;

    use super::*;

    #[test]
    fn each_hour_balances_while_messages_are_on_their_way_and_after() {
        let mut ledger = HourLedger::default();
        let whole = MessageAccount::new(IngestTime::from_micros(5), true, 9, 1, true);
        let refused = MessageAccount::new(IngestTime::from_micros(MICROS_PER_HOUR), false, 0, 0, true);
        ledger.receive(&whole);
        ledger.receive(&refused);
        let before = ledger.take_changed();
        assert!(before.iter().all(HourCounts::balances));
        assert_eq!(before.iter().map(|hour| hour.messages_queued).collect::<Vec<_>>(), [1, 1]);

        ledger.settle(&whole);
        ledger.settle(&refused);
        let after = ledger.take_changed();

        assert!(after.iter().all(HourCounts::balances));
        assert_eq!((after[0].readings_logged, after[0].readings_rejected), (9, 1));
        assert_eq!((after[1].messages_rejected, after[1].dead_letters), (1, 1));
        assert_eq!(ledger.take_changed(), []);
        assert_eq!(ledger.total().messages_received, 2);
    }
}
