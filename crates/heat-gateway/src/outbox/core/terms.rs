//! The core's terms: what it is told, what it works with, and what it says.

use std::time::{Duration, Instant};

use heat_codec::{dead_letter::DeadLetter, envelope::Draft};
use heat_ledger::{
    counts::MessageAccount,
    durable::{Marks, Ticket},
};
use heat_log::AppendError;
use heat_model::{AppendTime, PartitionId};

use crate::outbox::entry::Entry;

/// How much of a queue is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// No more than half of any bound is used.
    pub(crate) is_half_empty: bool,
}

/// What takes records and makes them durable in order, stream by stream.
pub(crate) trait Sink {
    /// Takes the record; none if a bound is reached. Once taken, a record never fails.
    fn try_take(&mut self, entry: &Entry) -> Result<Option<Ticket>, AppendError>;
    /// Records taken and not durable.
    fn queued(&self) -> Queued;
    /// Raises the marks to what is durable.
    fn read_marks(&self, marks: &mut Marks);
    /// Whether nothing becomes durable at present although something should.
    fn is_stalled(&self) -> bool;
}

/// What does not change while the gateway runs.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// How long Kafka may keep a record waiting.
    pub(crate) stall_after: Duration,
    /// What was buffered longer ago than this at the beginning of forwarding is old.
    pub(crate) live_max_age: Duration,
    /// Most old records forwarded in a second.
    pub(crate) drain_records_per_second_max: Option<u64>,
    /// So near to the buffer's end the rest is handed over in one go, while senders wait.
    pub(crate) switch_max_records: u64,
}

/// Where the buffer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BufferState {
    /// Its durable end.
    pub(crate) end: u64,
    /// A bound is reached: it takes no further messages.
    pub(crate) is_full: bool,
    /// The present time, as the buffer stamps records.
    pub(crate) time: AppendTime,
}

/// Where new records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Direct,
    Buffering {
        since: Instant,
        /// Almost caught up: nothing new is taken until the rest is handed over.
        switching: Option<Instant>,
    },
}

/// Whether the fresh part has been cut by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Due,
    /// The open chunk is being closed, for a cut must not go through it.
    Closing,
    Asked,
    Done(Instant),
}

/// What a message came to.
#[derive(Debug)]
pub(crate) struct Message<L, T> {
    pub(crate) link: L,
    pub(crate) token: T,
    pub(crate) account: MessageAccount,
    pub(crate) drafts: Vec<(PartitionId, Draft)>,
    pub(crate) letter: Option<DeadLetter>,
}

/// What waits for its turn to be taken.
#[derive(Debug)]
pub(super) enum Out<L, T> {
    /// A record of the message whose end follows.
    Part(Entry),
    /// A record that no message waits for.
    Alone(Entry),
    /// The copies before it stand for what Kafka's appender holds, by stream.
    Copied(Vec<u64>),
    End(L, Waiting<T>),
    /// The epoch that is being retired says good-bye.
    Retire,
}

#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) token: T,
    pub(super) account: MessageAccount,
    pub(super) epoch: u64,
}

/// A buffered record as read back.
#[derive(Debug, Clone)]
pub(crate) struct Buffered {
    pub(crate) offset: u64,
    pub(crate) time: AppendTime,
    pub(crate) entry: Entry,
}

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Records given to the buffer.
    pub(crate) spilled: u64,
    /// Records handed from the buffer to Kafka.
    pub(crate) forwarded: u64,
}
