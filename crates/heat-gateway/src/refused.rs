//! Tickets that were refused: told in the log once a beat, however many they are. Their dead letters keep no payload, so
//! only their senders can send them again.

use heat_codec::{dead_letter::Fault, topic::carries_tickets};

use crate::intake::Outcome;

/// Since the last word on them.
#[derive(Debug, Default)]
pub(crate) struct RefusedTickets {
    count: u64,
    /// Of the newest one.
    fault: Option<Fault>,
}

impl RefusedTickets {
    /// Notes what became of a message.
    pub(crate) fn note(&mut self, topic: &str, outcome: &Outcome) {
        if let Some(fault) = outcome.faults.first().filter(|_| carries_tickets(topic)) {
            self.count += 1;
            self.fault = Some(fault.clone());
        }
    }

    /// Says so, if there were any. Reason and place tell nothing of a person.
    pub(crate) fn tell(&mut self) {
        let Self { count, fault: Some(Fault { reason, place, .. }) } = std::mem::take(self) else { return };
        tracing::warn!(
            tickets = count,
            reason,
            place,
            "tickets were refused, their sender must mend and send them again; see `heatstream rejected list`"
        );
    }
}
