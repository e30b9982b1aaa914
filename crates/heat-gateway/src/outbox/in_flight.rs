//! What Kafka's appender has taken and not yet made durable: kept, because only the gateway can give it to the buffer.
//!
//! Bounded by the appender's own bounds: it takes nothing beyond them, and what is durable is let go.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use heat_ledger::durable::{Marks, StreamId, Ticket};

use super::entry::Entry;

/// One topic partition.
#[derive(Debug, Default)]
struct Stream {
    kept: VecDeque<(u64, Entry)>,
    /// The oldest ticket at the last look, and since when it has been the oldest.
    oldest: Option<(u64, Instant)>,
}

/// Entries by stream, in order of their tickets.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    streams: Vec<Stream>,
}

/// What an appender holds when it is given up on.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind {
    /// The entries; those of one stream in order.
    pub(crate) entries: Vec<Entry>,
    /// By epoch and stream: the numbers of the entries.
    pub(crate) numbers: BTreeMap<u64, Vec<Range<u64>>>,
    /// By stream: how many records must be durable until all of these are.
    pub(crate) counts: Vec<u64>,
}

impl InFlight {
    pub(crate) fn push(&mut self, ticket: Ticket, entry: Entry) {
        let index = ticket.stream.0 as usize;
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, Stream::default);
        }
        self.streams[index].kept.push_back((ticket.number, entry));
    }

    /// Lets go of what is durable.
    pub(crate) fn settle(&mut self, marks: &Marks) {
        for (stream, id) in self.streams.iter_mut().zip(0..) {
            let count = marks.count(StreamId(id));
            while stream.kept.front().is_some_and(|(number, _)| *number < count) {
                stream.kept.pop_front();
            }
        }
    }

    /// Whether some stream's oldest entry has not changed for so long. Looks at each stream once a call: call it about
    /// once a second.
    pub(crate) fn is_stuck(&mut self, now: Instant, stall_after: Duration) -> bool {
        let mut is_stuck = false;
        for stream in &mut self.streams {
            let oldest = stream.kept.front().map(|(number, _)| *number);
            stream.oldest = match (oldest, stream.oldest) {
                (Some(number), Some((seen, since))) if number == seen => {
                    is_stuck |= now.saturating_duration_since(since) >= stall_after;
                    Some((seen, since))
                }
                (Some(number), _) => Some((number, now)),
                (None, _) => None,
            };
        }
        is_stuck
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.iter().all(|stream| stream.kept.is_empty())
    }

    /// Takes everything out.
    pub(crate) fn leave(&mut self) -> LeftBehind {
        let mut left = LeftBehind::default();
        let streams = self.streams.len();
        for (index, stream) in self.streams.iter_mut().enumerate() {
            stream.oldest = None;
            left.counts.push(stream.kept.back().map_or(0, |(number, _)| number + 1));
            for (_, entry) in stream.kept.drain(..) {
                let numbers = left.numbers.entry(entry.epoch).or_insert_with(|| vec![0..0; streams]);
                let range = &mut numbers[index];
                *range = if range.is_empty() { entry.seq..entry.seq + 1 } else { range.start..entry.seq + 1 };
                left.entries.push(entry);
            }
        }
        left
    }
}
