//! The log: one small interface over two engines, Apache Kafka and an embedded segmented log.
//!
//! Is: append, read from an offset, commit, trim, for topics of partitions; durability and back-pressure. The only
//! crate that names rdkafka. Is not: what the records mean (payloads are bytes), configuration files, metrics
//! registries ([`stats::LogStats`] is a plain snapshot), or a clock for anybody else.
//!
//! Invariants:
//! - A mark covers a record only after it is durable: acknowledged by all in-sync replicas, or synced to disk.
//! - Per partition and appender, records lie in the log in the order of their tickets. The Kafka engine may repeat a
//!   record after a fatal producer error; the embedded engine never does.
//! - A record never fails by itself: it stays queued until it is durable, or the whole appender is closed with a cause.
//! - An offset once readable is never given to another record, not even after recovery from damage.
//! - Append times never fall within a partition of the embedded engine. Kafka stamps by the clock of the partition's
//!   leader, which may step back when the leader changes; cores take the running maximum.
//! - Nothing is skipped silently: reading below the retained start or beyond the end is an error; damage is counted.
//! - Every queue has a bound, and [`stats::LogStats`] shows how near it is.
//!
//! Start reading at [`Log`], then [`Appender`] and [`Consumer`]; for the embedded format at `embedded/frame.rs`.
#![warn(missing_docs)]

pub mod appender;
mod clock;
pub mod consumer;
mod embedded;
pub mod follow;
mod kafka;
pub mod settings;
pub mod stats;
pub mod topics;

use std::time::Duration;

use heat_model::{AppendTime, PartitionId, record::NextOffset};

pub use appender::{AppendError, AppendRecord, Appender, Health, TryAppendError};
pub use consumer::{Bounds, Consumer, LogEvent, Membership, ReadError, Record, Scan, StartFrom};
pub use embedded::{EmbeddedConsumer, EmbeddedLog};
pub use kafka::{KafkaConsumer, KafkaLog, TopicChange, TopicPlan};
pub use settings::{AppenderSettings, ConsumerSettings, EmbeddedSettings, KafkaSettings};
pub use topics::{Retention, TopicError, TopicSpec, partition_of};

/// How often, and how far apart, a log is asked for its end before it counts as replaced.
const END_ASKED_MAX: usize = 5;
const END_ASKED_EVERY: Duration = Duration::from_millis(200);

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the directory.
    #[error(
        "the log in {dir} is in use by another process; stop it, or give this one a directory of its own"
    )]
    InUse {
        /// The log's directory.
        dir: String,
    },
    /// The directory was written by another version.
    #[error(
        "the log in {dir} has format {found:?}, this program writes {expected:?}; \
         use the matching release, or move the directory away to start with an empty log"
    )]
    Version {
        /// The log's directory.
        dir: String,
        /// What its version file says.
        found: String,
        /// What this program writes.
        expected: String,
    },
    /// The directory holds something else.
    #[error("{dir} is not empty and not a heatstream log; choose another directory")]
    Foreign {
        /// The directory.
        dir: String,
    },
    /// A file operation failed.
    #[error("cannot {act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The operating system gave no thread.
    #[error("cannot start the log's thread {name}")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// librdkafka refused the settings.
    #[error("librdkafka refuses the Kafka settings: {reason}; see the key kafka.librdkafka")]
    KafkaSettings {
        /// Its words.
        reason: String,
    },
    /// No broker answered.
    #[error(
        "no answer from Kafka at {brokers} within {waited_seconds} s: {reason}; \
         is it running, and do the addresses, TLS and SASL settings fit?"
    )]
    KafkaUnreachable {
        /// The configured brokers.
        brokers: String,
        /// How long was waited.
        waited_seconds: u64,
        /// librdkafka's words.
        reason: String,
    },
}

/// An open log. Cheap to clone; all clones are the same log.
#[derive(Debug, Clone)]
pub enum Log {
    /// In this process, on local disk.
    Embedded(EmbeddedLog),
    /// Apache Kafka.
    Kafka(KafkaLog),
}

impl Log {
    /// Opens or creates the embedded log. Reads the newest segment of every partition, so it takes time in proportion
    /// to the number of partitions; call it off the async threads when that matters.
    pub fn open_embedded(settings: EmbeddedSettings) -> Result<Self, OpenError> {
        EmbeddedLog::open(settings).map(Self::Embedded)
    }

    /// Connects to Kafka; an error if no broker answers within the settings' connection timeout.
    pub async fn connect_kafka(settings: KafkaSettings) -> Result<Self, OpenError> {
        KafkaLog::connect(settings).await.map(Self::Kafka)
    }

    /// Kafka, without asking any broker: for who must go on while none answers. Numbers of partitions are taken on
    /// trust from `topics`; [`Self::ensure_topics`] tells, once a broker answers, whether they are right.
    pub fn trust_kafka(settings: KafkaSettings, topics: &[TopicSpec]) -> Result<Self, OpenError> {
        KafkaLog::trusting(settings, topics).map(Self::Kafka)
    }

    /// Makes sure that the topics are there: the embedded engine creates them and takes over their retention; Kafka is
    /// only checked, for topics are created on purpose (`heatstream topics apply`), never by accident.
    pub async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), TopicError> {
        match self {
            Self::Embedded(log) => log.ensure_topics(topics).await,
            Self::Kafka(log) => log.check_topics(topics).await,
        }
    }

    /// Number of partitions of a topic.
    pub async fn partitions(&self, topic: &str) -> Result<u32, TopicError> {
        match self {
            Self::Embedded(log) => log.partitions(topic),
            Self::Kafka(log) => log.partitions(topic).await,
        }
    }

    /// A new appender to these topics, with tickets of its own. One per role; clones share its numbers and bounds.
    pub async fn appender(
        &self,
        topics: &[&str],
        settings: AppenderSettings,
    ) -> Result<Appender, AppendError> {
        match self {
            Self::Embedded(log) => log.appender(topics, settings),
            Self::Kafka(log) => log.appender(topics, settings).await,
        }
    }

    /// A new consumer of one topic.
    pub async fn consumer(
        &self,
        topic: &str,
        membership: Membership,
        settings: ConsumerSettings,
    ) -> Result<Consumer, ReadError> {
        match self {
            Self::Embedded(log) => log.consumer(topic, membership, settings).map(Consumer::Embedded),
            Self::Kafka(log) => log.consumer(topic, membership, settings).await.map(Consumer::Kafka),
        }
    }

    /// The retained start and the durable end of a partition.
    pub async fn bounds(&self, topic: &str, partition: PartitionId) -> Result<Bounds, ReadError> {
        match self {
            Self::Embedded(log) => log.bounds(topic, partition),
            Self::Kafka(log) => log.bounds(topic, partition).await,
        }
    }

    /// Like [`Self::bounds`], however long Kafka does not answer.
    pub async fn bounds_in_time(&self, topic: &str, partition: PartitionId) -> Result<Bounds, ReadError> {
        loop {
            match self.bounds(topic, partition).await {
                Err(error) if error.is_passing() => {
                    consumer::ask_again("for a partition's bounds", &error).await
                }
                outcome => return outcome,
            }
        }
    }

    /// Like [`Self::bounds_in_time`], of a log that was read as far as `reached`.
    ///
    /// # Errors
    /// [`ReadError::BeyondEnd`] where it ends before: it was replaced. A broker that has just become the leader may tell
    /// an end that lies behind for a moment, so it is asked again first.
    pub async fn bounds_reaching(
        &self,
        topic: &str,
        partition: PartitionId,
        reached: NextOffset,
    ) -> Result<Bounds, ReadError> {
        let mut asked = 1;
        loop {
            let bounds = self.bounds_in_time(topic, partition).await?;
            if reached <= bounds.end {
                return Ok(bounds);
            }
            if asked == END_ASKED_MAX {
                let (topic, end) = (topic.to_owned(), bounds.end);
                return Err(ReadError::BeyondEnd { topic, partition, asked: reached, end });
            }
            asked += 1;
            tokio::time::sleep(END_ASKED_EVERY).await;
        }
    }

    /// Reads a partition from `from` up to `to` (exclusive) and ends; for restores and audits. `to` must not lie beyond
    /// the durable end.
    pub async fn scan(
        &self,
        topic: &str,
        partition: PartitionId,
        from: StartFrom,
        to: NextOffset,
        settings: ConsumerSettings,
    ) -> Result<Scan, ReadError> {
        let bounds = self.bounds(topic, partition).await?;
        if to > bounds.end {
            return Err(ReadError::BeyondEnd {
                topic: topic.to_owned(),
                partition,
                asked: to,
                end: bounds.end,
            });
        }
        let mut consumer = self.consumer(topic, Membership::Only(vec![partition]), settings).await?;
        let position = consumer.start_assigned(partition, from).await?;
        Ok(Scan::new(consumer, position, to))
    }

    /// The first offset whose record was not appended before `time`; the end if there is none. Kafka compares whole
    /// milliseconds; at a damaged place the embedded engine may name an earlier offset. Neither names a later one.
    pub async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        time: AppendTime,
    ) -> Result<NextOffset, ReadError> {
        match self {
            Self::Embedded(log) => log.offset_at(topic, partition, time).await,
            Self::Kafka(log) => log.offset_at(topic, partition, time).await,
        }
    }

    /// All records of a partition, from its retained start to its end of this moment, however long Kafka does not
    /// answer. For small compacted topics: all of it is held in memory.
    pub async fn whole_in_time(&self, topic: &str, partition: PartitionId) -> Result<Vec<Record>, ReadError> {
        loop {
            match self.whole(topic, partition).await {
                Err(error) if error.is_passing() => {
                    consumer::ask_again("for a whole partition", &error).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn whole(&self, topic: &str, partition: PartitionId) -> Result<Vec<Record>, ReadError> {
        let bounds = self.bounds(topic, partition).await?;
        let from = StartFrom::Offset(bounds.first);
        let mut scan = self.scan(topic, partition, from, bounds.end, ConsumerSettings::default()).await?;
        let mut whole = Vec::new();
        while let Some(records) = scan.next().await? {
            whole.extend(records);
        }
        Ok(whole)
    }

    /// Gives up what lies before `before`. The embedded engine unlinks whole segments, so more may stay readable;
    /// [`Log::bounds`] tells.
    pub async fn trim(
        &self,
        topic: &str,
        partition: PartitionId,
        before: NextOffset,
    ) -> Result<(), ReadError> {
        match self {
            Self::Embedded(log) => log.trim(topic, partition, before).await,
            Self::Kafka(log) => log.trim(topic, partition, before).await,
        }
    }

    /// Counters and gauges of this log, of all its appenders and consumers.
    pub fn stats(&self) -> stats::LogStats {
        match self {
            Self::Embedded(log) => log.stats(),
            Self::Kafka(log) => log.stats(),
        }
    }

    /// Ends the log's threads after what is queued is durable, or at the deadline; true if all of it was durable.
    pub async fn close(&self, deadline: Duration) -> bool {
        match self {
            Self::Embedded(log) => log.close(deadline).await,
            Self::Kafka(log) => log.close(deadline).await,
        }
    }
}
