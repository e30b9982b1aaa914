//! The Kafka engine.

use std::{sync::Arc, time::Duration};

use heat_model::{NextOffset, PartitionId};

use crate::{
    OpenError,
    appender::{AppendError, Appender},
    consumer::{Bounds, LogEvent, Membership, ReadError, StartFrom},
    settings::{AppenderSettings, ConsumerSettings, KafkaSettings},
    stats::LogStats,
    topics::{TopicError, TopicSpec},
};

/// Apache Kafka as the log.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    settings: Arc<KafkaSettings>,
}

/// What `heatstream topics plan` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// What would be done, topic by topic.
    pub changes: Vec<TopicChange>,
    /// What an operator should know: replication below 3, min ISR below 2.
    pub warnings: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// Create it.
    Create {
        /// The topic.
        topic: TopicSpec,
        /// Its replication factor.
        replication: u16,
        /// Its settings.
        settings: Vec<(String, String)>,
    },
    /// Alter settings.
    Alter {
        /// The topic's name.
        topic: String,
        /// Setting, present value, wanted value.
        settings: Vec<(String, Option<String>, String)>,
    },
    /// It cannot be mended here.
    Refuse {
        /// The topic's name.
        topic: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl KafkaLog {
    pub(crate) async fn connect(settings: KafkaSettings) -> Result<Self, OpenError> { Ok(Self{settings:Arc::new(settings)}) }
    /// Fails with the first topic that is missing or not as it should be.
    pub async fn check_topics(&self, _topics: &[TopicSpec]) -> Result<(), TopicError> { Err(TopicError::Closed) }
    /// Compares the topics with Kafka's.
    pub async fn plan_topics(&self, _topics: &[TopicSpec], _replication: u16) -> Result<TopicPlan, TopicError> { Err(TopicError::Closed) }
    /// Does what the plan says.
    pub async fn apply_topics(&self, _plan: &TopicPlan) -> Result<(), TopicError> { Err(TopicError::Closed) }
    pub(crate) async fn partitions(&self, _topic: &str) -> Result<u32, TopicError> { Err(TopicError::Closed) }
    pub(crate) async fn appender(&self, _topics: &[&str], _settings: AppenderSettings) -> Result<Appender, AppendError> { Err(AppendError::Closed{cause:"".into()}) }
    pub(crate) async fn consumer(&self, _topic: &str, _m: Membership, _s: ConsumerSettings) -> Result<KafkaConsumer, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) async fn bounds(&self, _t: &str, _p: PartitionId) -> Result<Bounds, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) async fn trim(&self, _t: &str, _p: PartitionId, _b: NextOffset) -> Result<(), ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn stats(&self) -> LogStats { LogStats::default() }
    pub(crate) async fn close(&self, _deadline: Duration) -> bool { true }
}
/// Reads a topic of Kafka.
#[derive(Debug)]
pub struct KafkaConsumer {}
impl KafkaConsumer {
    pub(crate) async fn next(&mut self) -> Result<LogEvent, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) async fn start(&mut self, _p: PartitionId, _f: StartFrom) -> Result<NextOffset, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn commit(&mut self, _p: PartitionId, _n: NextOffset) -> Result<(), ReadError> { Ok(()) }
    pub(crate) async fn close(self, _d: Duration) -> bool { true }
}

