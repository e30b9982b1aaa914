//! Appending: tickets, marks, back-pressure. The same for both engines; an engine is a thread that drains the queue.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use heat_ledger::durable::{Marks, StreamId, Ticket};
use heat_model::PartitionId;
use tokio::sync::watch;

use crate::topics::TopicError;

mod core;

pub(crate) use self::core::{Core, Queued, Wake};

/// What an appender appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRecord {
    /// Where to.
    pub partition: PartitionId,
    /// Its key; [`crate::partition_of`] the key is usually the partition.
    pub key: Option<Bytes>,
    /// Its bytes. An empty payload deletes the key in a compacted topic.
    pub payload: Bytes,
}

impl AppendRecord {
    /// Bytes that count against the bounds.
    pub fn size_bytes(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// Why a record was not taken. Once taken, a record never fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The appender was not opened for this topic.
    #[error("this appender was not opened for topic {topic}")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has {partitions} partitions, so none of number {}", .partition.0)]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: u32,
        /// The asked one.
        partition: PartitionId,
    },
    /// The record is longer than the settings allow.
    #[error("a record of {bytes} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The topic could not be opened.
    #[error("cannot open the topic for appending")]
    Open(#[source] Arc<TopicError>),
    /// The appender's thread could not be started, or its settings were refused.
    #[error("cannot start the appender: {reason}")]
    Start {
        /// Why.
        reason: String,
    },
    /// The appender is closed: by its owner, or by an error that no retry can mend.
    #[error("the appender is closed: {cause}")]
    Closed {
        /// Why.
        cause: Arc<str>,
    },
}

/// Why [`Appender::try_append`] did not take a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TryAppendError {
    /// A bound is reached: the record comes back; wait with [`Appender::ready`].
    #[error("the appender's queue is full")]
    Full(AppendRecord),
    /// It will never be taken.
    #[error(transparent)]
    Refused(AppendError),
}

/// Whether what is queued becomes durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Healthy,
    /// It does not at present; nothing is lost, the queue fills, and it recovers by itself.
    Stalled {
        /// Since when.
        since: Instant,
        /// Why, for the operator.
        reason: Arc<str>,
    },
}

/// Appends to the topics it was opened for. Cheap to clone: clones share numbers, bounds and marks, while each has its
/// own memory of what progress it has seen.
///
/// Streams are numbered in the order of the topics given at opening, all partitions of the first topic first.
#[derive(Debug)]
pub struct Appender {
    core: Arc<Core>,
    seen: AtomicU64,
}

impl Clone for Appender {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), seen: AtomicU64::new(self.seen.load(Ordering::Relaxed)) }
    }
}

impl Appender {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core, seen: AtomicU64::new(0) }
    }

    /// The stream that tickets of this topic partition belong to.
    pub fn stream(&self, topic: &str, partition: PartitionId) -> Result<StreamId, AppendError> {
        self.core.stream(topic, partition)
    }

    /// Takes a record, waiting while a bound is reached. Cancel-safe: dropped before it is ready, it took nothing.
    pub async fn append(
        &self,
        topic: &str,
        partition: PartitionId,
        key: Option<Bytes>,
        payload: Bytes,
    ) -> Result<Ticket, AppendError> {
        let mut record = AppendRecord { partition, key, payload };
        let bytes = record.size_bytes();
        loop {
            match self.try_append(topic, record) {
                Ok(ticket) => return Ok(ticket),
                Err(TryAppendError::Refused(error)) => return Err(error),
                Err(TryAppendError::Full(back)) => record = back,
            }
            self.ready(bytes).await?;
        }
    }

    /// Takes a record unless a bound is reached. Never waits.
    pub fn try_append(&self, topic: &str, record: AppendRecord) -> Result<Ticket, TryAppendError> {
        let stream = self.stream(topic, record.partition).map_err(TryAppendError::Refused)?;
        self.core.admit(stream, record)
    }

    /// Takes records from the front until a bound is reached or none is left, with one lock and one wake-up for all,
    /// and adds their tickets in the same order. A record that can never be taken stays at the front with its error.
    pub fn try_append_batch(
        &self,
        topic: &str,
        records: &mut VecDeque<AppendRecord>,
        tickets: &mut Vec<Ticket>,
    ) -> Result<(), AppendError> {
        self.core.admit_batch(topic, records, tickets)
    }

    /// Waits until there is room for a record of so many bytes. Cancel-safe.
    pub async fn ready(&self, bytes: usize) -> Result<(), AppendError> {
        self.core.ready(bytes).await
    }

    /// Raises the marks to what is durable.
    pub fn read_marks(&self, marks: &mut Marks) {
        self.core.read_marks(marks);
    }

    /// Waits until marks have risen since this clone last returned from here; at once if they have. Many records wake
    /// once. Cancel-safe.
    pub async fn progressed(&self) -> Result<(), AppendError> {
        self.core.progressed(&self.seen).await
    }

    /// Whether what is queued becomes durable.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.core.health()
    }

    /// Records taken and not yet durable, and their bytes.
    pub fn queued(&self) -> (usize, usize) {
        self.core.queued()
    }

    /// Waits until everything taken so far is durable; false at the deadline.
    pub async fn flush(&self, deadline: Duration) -> Result<bool, AppendError> {
        match tokio::time::timeout(deadline, self.core.flush()).await {
            Ok(done) => done.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Flushes, then refuses everything further, for all clones; true if all was durable.
    pub async fn close(&self, deadline: Duration) -> Result<bool, AppendError> {
        let durable = self.flush(deadline).await?;
        self.core.close("by its owner");
        Ok(durable)
    }
}
