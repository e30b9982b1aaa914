//! Reading: assigned partitions, batches of records, commits; the same for both engines.

use std::time::Duration;

use bytes::Bytes;
use heat_model::{AppendTime, Offset, PartitionId, record::NextOffset};

use crate::{embedded::EmbeddedConsumer, kafka::KafkaConsumer, topics::TopicError};

/// One record as read. Key and payload share one buffer per batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub offset: Offset,
    /// When the log appended it.
    pub append_time: AppendTime,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its bytes; empty where a key was deleted.
    pub payload: Bytes,
}

impl Record {
    pub(crate) fn size_bytes(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// Which partitions a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// All of the topic.
    All,
    /// These.
    Only(Vec<PartitionId>),
    /// A share of them, agreed with the other members of the group.
    Group(String),
}

/// Where to start in an assigned partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// At this offset; an error if it lies below the retained start or beyond the end.
    Offset(NextOffset),
    /// At the retained start.
    Beginning,
    /// At the durable end of this moment.
    End,
}

/// What happens to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// The partition is this member's; nothing of it is delivered until [`Consumer::start`].
    Assigned(PartitionId),
    /// The partition goes to another member. Finish and commit what was read of it, then call [`Consumer::next`]: that
    /// gives it up. Nothing more of it is delivered.
    Revoked(PartitionId),
    /// The next records of a started partition, in order.
    Records {
        /// The partition.
        partition: PartitionId,
        /// Rising offsets, perhaps with holes. Empty where only holes were crossed.
        records: Vec<Record>,
        /// Where reading resumes after them.
        end: NextOffset,
    },
}

/// The readable part of a partition: `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that may be read.
    pub first: NextOffset,
    /// The offset that the next record will get at the earliest.
    pub end: NextOffset,
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What was asked is no longer retained. The partition is stopped; it may be started elsewhere.
    #[error(
        "offset {} of {topic}/{} is asked, but the log begins at {}: records are lost to this reader (raise the \
         topic's retention, or restart from the archive)",
        .asked.0, .partition.0, .first.0
    )]
    Trimmed {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        asked: NextOffset,
        /// The first retained one.
        first: NextOffset,
    },
    /// What was asked does not exist yet. The partition is stopped.
    #[error(
        "offset {} of {topic}/{} is asked, but the log ends at {}: was it replaced by an older or empty one?",
        .asked.0, .partition.0, .end.0
    )]
    BeyondEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        asked: NextOffset,
        /// The end.
        end: NextOffset,
    },
    /// The partition is not assigned to this consumer, or was just revoked.
    #[error("{topic}/{} is not assigned to this consumer", .partition.0)]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
    },
    /// The topic is missing or not as it should be.
    #[error("cannot open the topic for reading")]
    Topic(#[source] TopicError),
    /// A file of the embedded log cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Kafka answered with an error, or not in time. Worth trying again.
    #[error("cannot {act} {topic}: {reason}")]
    Kafka {
        /// What was tried.
        act: &'static str,
        /// The topic.
        topic: String,
        /// librdkafka's words.
        reason: String,
    },
    /// The log is closed.
    #[error("the log is closed: {cause}")]
    Closed {
        /// Why.
        cause: String,
    },
}

impl ReadError {
    /// Whether asking again can help: Kafka did not answer, or not in time.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Kafka { .. } | Self::Topic(TopicError::Engine { .. }))
    }
}

/// How long to wait before asking a Kafka again that did not answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Says that Kafka did not answer, and waits a little. A role that reads outlives an outage of Kafka: its lag and the
/// gateway's stall are what alarms.
pub(crate) async fn ask_again(what: &'static str, error: &ReadError) {
    tracing::warn!(%error, what, "Kafka does not answer; asking again");
    tokio::time::sleep(ASK_AGAIN_AFTER).await;
}

/// Reads one topic.
#[derive(Debug)]
pub enum Consumer {
    /// Of the embedded log.
    Embedded(EmbeddedConsumer),
    /// Of Kafka.
    Kafka(KafkaConsumer),
}

impl Consumer {
    /// The next event; waits for one. Cancel-safe: dropped before it is ready, nothing is lost.
    pub async fn next(&mut self) -> Result<LogEvent, ReadError> {
        match self {
            Self::Embedded(consumer) => consumer.next().await,
            Self::Kafka(consumer) => consumer.next().await,
        }
    }

    /// Like [`Self::next`], however long Kafka does not answer.
    pub async fn next_in_time(&mut self) -> Result<LogEvent, ReadError> {
        loop {
            match self.next().await {
                Err(error) if error.is_passing() => ask_again("for the next records", &error).await,
                outcome => return outcome,
            }
        }
    }

    /// Like [`Self::start`], however long Kafka does not answer.
    pub async fn start_in_time(
        &mut self,
        partition: PartitionId,
        from: StartFrom,
    ) -> Result<NextOffset, ReadError> {
        loop {
            match self.start(partition, from).await {
                Err(error) if error.is_passing() => ask_again("to start a partition", &error).await,
                outcome => return outcome,
            }
        }
    }

    /// Starts, or restarts elsewhere, an assigned partition; returns where. From this call on nothing is delivered of what
    /// was read of it before; where the start fails, the partition is stopped.
    pub async fn start(&mut self, partition: PartitionId, from: StartFrom) -> Result<NextOffset, ReadError> {
        match self {
            Self::Embedded(consumer) => consumer.start(partition, from),
            Self::Kafka(consumer) => consumer.start(partition, from).await,
        }
    }

    /// Says how far the group has come in a partition. Kafka keeps it, for its tools to show the lag; roles resume by
    /// their own manifests and snapshots. Nothing on the embedded engine.
    pub fn commit(&mut self, partition: PartitionId, next: NextOffset) -> Result<(), ReadError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Kafka(consumer) => consumer.commit(partition, next),
        }
    }

    /// Leaves the group and ends; true if it did in time.
    pub async fn close(self, deadline: Duration) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Kafka(consumer) => consumer.close(deadline).await,
        }
    }

    /// Waits for the assignment of a partition asked for by name, and starts it.
    pub(crate) async fn start_assigned(
        &mut self,
        partition: PartitionId,
        from: StartFrom,
    ) -> Result<NextOffset, ReadError> {
        loop {
            if self.next().await? == LogEvent::Assigned(partition) {
                return self.start(partition, from).await;
            }
        }
    }
}

/// A bounded read of one partition.
#[derive(Debug)]
pub struct Scan {
    consumer: Consumer,
    position: NextOffset,
    to: NextOffset,
}

impl Scan {
    pub(crate) fn new(consumer: Consumer, position: NextOffset, to: NextOffset) -> Self {
        Self { consumer, position, to }
    }

    /// The next records, `None` at the end of the asked range.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        while self.position < self.to {
            let LogEvent::Records { mut records, end, .. } = self.consumer.next().await? else { continue };
            self.position = end;
            if end > self.to {
                records.truncate(records.partition_point(|record| record.offset.next() <= self.to));
            }
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }
}
