//! Acknowledge upstream only when durable downstream: the order as types.
//!
//! An appender numbers what it takes, per stream (one topic partition), and raises that stream's mark when the log has
//! made it durable, in order. An [`AckQueue`] holds what waits to be acknowledged, in order of receipt, and is the only
//! maker of [`Durable`].

use std::collections::VecDeque;

/// One topic partition as an appender numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// Place of an appended record in its stream: the first is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The stream.
    pub stream: StreamId,
    /// The number.
    pub number: u64,
}

/// How many records of each stream are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    counts: Vec<u64>,
}

impl Marks {
    /// Raises a stream's mark; a lower one than before changes nothing.
    pub fn raise(&mut self, stream: StreamId, count: u64) {
        let index = stream.0 as usize;
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] = self.counts[index].max(count);
    }

    /// Whether the record of this ticket is durable.
    pub fn covers(&self, ticket: Ticket) -> bool {
        self.counts.get(ticket.stream.0 as usize).is_some_and(|&count| ticket.number < count)
    }

    /// How many records of the stream are durable.
    pub fn count(&self, stream: StreamId) -> u64 {
        self.counts.get(stream.0 as usize).copied().unwrap_or(0)
    }
}

/// Proof that everything a received message became is durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is durable should be acknowledged"]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// The thing that may now be acknowledged.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The proof for a part of the thing, or for what stands for it.
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Durable<U> {
        Durable(part(self.0))
    }
}

impl<T, E> Durable<Result<T, E>> {
    /// The proof of whichever it is.
    pub fn transpose(self) -> Result<Durable<T>, Durable<E>> {
        self.0.map(Durable).map_err(Durable)
    }
}

/// The tickets of one message; nearly always one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tickets {
    None,
    One(Ticket),
    Many(Box<[Ticket]>),
}

/// What waits to be acknowledged, in order of receipt. The caller bounds it by [`AckQueue::len`].
#[derive(Debug)]
pub struct AckQueue<T> {
    pending: VecDeque<(T, Tickets)>,
}

impl<T> Default for AckQueue<T> {
    fn default() -> Self {
        Self { pending: VecDeque::new() }
    }
}

impl<T> AckQueue<T> {
    /// Adds the newest received item with the tickets of all records it became. Without any it waits only for those
    /// before it.
    pub fn push(&mut self, item: T, tickets: &[Ticket]) {
        let tickets = match tickets {
            [] => Tickets::None,
            [one] => Tickets::One(*one),
            many => Tickets::Many(many.into()),
        };
        self.pending.push_back((item, tickets));
    }

    /// Takes the oldest item if all its records are durable.
    pub fn pop_durable(&mut self, marks: &Marks) -> Option<Durable<T>> {
        let (_, tickets) = self.pending.front()?;
        let durable = match tickets {
            Tickets::None => true,
            Tickets::One(ticket) => marks.covers(*ticket),
            Tickets::Many(tickets) => tickets.iter().all(|&ticket| marks.covers(ticket)),
        };
        if !durable {
            return None;
        }
        self.pending.pop_front().map(|(item, _)| Durable(item))
    }

    /// What waits, in order of receipt.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.pending.iter().map(|(item, _)| item)
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(stream: u32, number: u64) -> Ticket {
        Ticket { stream: StreamId(stream), number }
    }

    #[test]
    fn an_item_waits_for_all_its_records_and_for_those_received_before_it() {
        let mut queue = AckQueue::default();
        let mut marks = Marks::default();
        queue.push("spans two", &[ticket(0, 0), ticket(1, 0)]);
        queue.push("later", &[ticket(1, 1)]);
        queue.push("nothing to log", &[]);
        assert!(queue.items().eq(&["spans two", "later", "nothing to log"]));

        marks.raise(StreamId(1), 2);
        assert_eq!(queue.pop_durable(&marks), None);

        marks.raise(StreamId(0), 1);
        let released: Vec<_> =
            std::iter::from_fn(|| queue.pop_durable(&marks)).map(Durable::into_inner).collect();
        assert_eq!(released, ["spans two", "later", "nothing to log"]);
    }

    #[test]
    fn a_mark_never_falls() {
        let mut marks = Marks::default();
        marks.raise(StreamId(2), 5);
        marks.raise(StreamId(2), 3);
        assert!(marks.covers(ticket(2, 4)));
        assert!(!marks.covers(ticket(2, 5)));
        assert!(!marks.covers(ticket(7, 0)));
    }
}
