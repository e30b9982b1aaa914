//! Which stretches of the buffer still have to be forwarded, and in what order.
//!
//! A part is a range of the buffer's offsets, forwarded from its start on. While records go to the buffer, the newest
//! part is open: it ends wherever the buffer ends. Old parts are closed and wait their turn. What is handed to Kafka
//! counts as forwarded when it is durable there; before that a crash forwards it again, with the same numbers.

use std::{collections::VecDeque, ops::Range};

use heat_ledger::durable::{AckQueue, Marks, Ticket};
use heat_model::AppendTime;

/// A stretch of the buffer.
#[derive(Debug)]
pub(crate) struct Part {
    /// The first offset not yet handed to Kafka.
    pub(crate) next: u64,
    /// Where it ends; none while it is open.
    pub(crate) end: Option<u64>,
    /// Everything of it below is durable in Kafka.
    pub(crate) forwarded: u64,
    /// When the oldest record that is not forwarded was buffered, as far as known.
    pub(crate) since: AppendTime,
    /// Offsets behind what was handed over and is not durable.
    sent: AckQueue<(u64, AppendTime)>,
}

impl Part {
    pub(crate) fn new(start: u64, end: Option<u64>, since: AppendTime) -> Self {
        Self { next: start, end, forwarded: start, since, sent: AckQueue::default() }
    }

    /// The record before offset `next` was handed over, or need not be.
    pub(crate) fn pass(&mut self, next: u64, time: AppendTime, tickets: &[Ticket]) {
        self.next = next;
        self.sent.push((next, time), tickets);
    }

    /// Nothing lies between here and `next`.
    pub(crate) fn skip_to(&mut self, next: u64) {
        let next = self.end.map_or(next, |end| next.min(end));
        if next > self.next {
            self.pass(next, self.since, &[]);
        }
    }

    fn settle(&mut self, marks: &Marks) {
        while let Some(durable) = self.sent.pop_durable(marks) {
            let (next, time) = durable.into_inner();
            self.forwarded = next;
            self.since = self.since.max(time);
        }
    }

    /// Whether everything handed over is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.sent.is_empty()
    }

    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.forwarded >= end)
    }
}

/// All parts.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Closed, oldest first.
    pub(crate) old: VecDeque<Part>,
    /// Open: what is being buffered.
    pub(crate) fresh: Option<Part>,
}

impl Backlog {
    /// Lets go of what is durable in Kafka.
    pub(crate) fn settle(&mut self, marks: &Marks) {
        for part in self.old.iter_mut().chain(&mut self.fresh) {
            part.settle(marks);
        }
        self.old.retain(|part| !part.is_done());
    }

    /// Whether everything is forwarded and nothing is being buffered.
    pub(crate) fn is_empty(&self) -> bool {
        self.old.is_empty() && self.fresh.is_none()
    }

    /// The old part whose turn it is.
    pub(crate) fn old(&self) -> Option<&Part> {
        self.old.iter().find(|part| part.end.is_some_and(|end| part.next < end))
    }

    /// The same, to go on with.
    pub(crate) fn old_mut(&mut self) -> Option<&mut Part> {
        self.old.iter_mut().find(|part| part.end.is_some_and(|end| part.next < end))
    }

    /// Cuts the fresh part: what lies before `at` becomes old.
    pub(crate) fn split(&mut self, at: u64, since: AppendTime) {
        let Some(fresh) = &mut self.fresh else { return };
        if at <= fresh.next {
            return;
        }
        let mut old = std::mem::replace(fresh, Part::new(at, None, since));
        old.end = Some(at);
        self.old.push_back(old);
    }

    /// Closes the fresh part at the buffer's end; what of it is not durable in Kafka stays, as old.
    pub(crate) fn close_fresh(&mut self, end: u64) {
        let Some(mut fresh) = self.fresh.take() else { return };
        fresh.end = Some(end);
        if !fresh.is_done() {
            self.old.push_back(fresh);
        }
    }

    /// What a restart would have to forward, given the buffer's durable end.
    pub(crate) fn pending(&self, end: u64) -> Vec<Range<u64>> {
        let ranges = self.old.iter().chain(&self.fresh).map(|part| part.forwarded..part.end.unwrap_or(end));
        ranges.filter(|range| !range.is_empty()).collect()
    }

    /// Records that are not yet forwarded; holes count, too.
    pub(crate) fn records(&self, end: u64) -> u64 {
        self.pending(end).iter().map(|range| range.end - range.start).sum()
    }

    /// When the oldest record that is not forwarded was buffered.
    pub(crate) fn oldest(&self, end: u64) -> Option<AppendTime> {
        let parts = self.old.iter().chain(&self.fresh);
        parts.filter(|part| part.forwarded < part.end.unwrap_or(end)).map(|part| part.since).min()
    }
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "what is pending are ranges of offsets, and often it is one"
)]
mod tests {
    use heat_ledger::durable::StreamId;
    use proptest::prelude::*;

    use super::*;

    const T: AppendTime = AppendTime::from_micros(5);

    fn ticket(number: u64) -> Ticket {
        Ticket { stream: StreamId(0), number }
    }

    #[test]
    fn a_part_is_forwarded_only_as_far_as_kafka_has_it() {
        let mut backlog = Backlog { fresh: Some(Part::new(10, None, T)), ..Backlog::default() };
        let fresh = backlog.fresh.as_mut().unwrap();
        fresh.pass(11, T, &[ticket(0)]);
        fresh.pass(12, T, &[ticket(1)]);

        let mut marks = Marks::default();
        marks.raise(StreamId(0), 1);
        backlog.settle(&marks);

        assert_eq!(backlog.pending(20), [11..20]);
        assert_eq!((backlog.records(20), backlog.oldest(20)), (9, Some(T)));
    }

    #[test]
    fn what_lies_before_the_cut_waits_and_what_was_handed_over_stays_with_it() {
        let mut backlog = Backlog { fresh: Some(Part::new(0, None, T)), ..Backlog::default() };
        backlog.fresh.as_mut().unwrap().pass(1, T, &[ticket(0)]);
        backlog.split(50, T);

        assert_eq!(backlog.pending(80), [0..50, 50..80]);
        assert_eq!(backlog.old_mut().unwrap().next, 1);
        backlog.split(30, T);
        assert_eq!(backlog.pending(80), [0..50, 50..80], "a cut behind what was handed over changes nothing");

        backlog.close_fresh(80);
        assert_eq!(backlog.pending(99), [0..50, 50..80]);
    }

    proptest! {
        #[test]
        fn cutting_never_loses_or_doubles_an_offset(
            steps in prop::collection::vec((0u8..4, 1u64..20), 1..60)
        ) {
            let mut backlog = Backlog { fresh: Some(Part::new(0, None, T)), ..Backlog::default() };
            let (mut end, mut handed) = (0u64, 0u64);
            for (kind, amount) in steps {
                match kind {
                    0 => end += amount,
                    1 => {
                        if let Some(part) = backlog.fresh.as_mut().filter(|part| part.next < end) {
                            part.pass((part.next + amount).min(end), T, &[]);
                        }
                    }
                    2 => backlog.split(end.saturating_sub(amount), T),
                    _ => {
                        if let Some(part) = backlog.old_mut() {
                            let until = part.end.unwrap();
                            part.pass((part.next + amount).min(until), T, &[]);
                        }
                    }
                }
                backlog.settle(&Marks::default());
                let pending = backlog.pending(end);
                prop_assert!(pending.is_sorted_by(|a, b| a.end <= b.start), "{pending:?}");
                handed = handed.max(end - backlog.records(end));
                prop_assert_eq!(end - backlog.records(end), handed, "what is forwarded stays forwarded");
            }
        }
    }
}
