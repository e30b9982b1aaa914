//! The embedded engine.

use std::{sync::Arc, time::Duration};

use heat_model::{NextOffset, PartitionId};

use crate::{
    OpenError,
    appender::{AppendError, Appender},
    consumer::{Bounds, LogEvent, Membership, ReadError, StartFrom},
    settings::{AppenderSettings, ConsumerSettings, EmbeddedSettings},
    stats::LogStats,
    topics::{TopicError, TopicSpec},
};

/// Apache Kafka as the log.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    settings: Arc<EmbeddedSettings>,
}

impl EmbeddedLog {
    pub(crate) fn open(settings: EmbeddedSettings) -> Result<Self, OpenError> { Ok(Self{settings:Arc::new(settings)}) }
    /// Fails with the first topic that is missing or not as it should be.
    pub(crate) async fn ensure_topics(&self, _topics: &[TopicSpec]) -> Result<(), TopicError> { Err(TopicError::Closed) }
    pub(crate) fn partitions(&self, _topic: &str) -> Result<u32, TopicError> { Err(TopicError::Closed) }
    pub(crate) fn appender(&self, _topics: &[&str], _settings: AppenderSettings) -> Result<Appender, AppendError> { Err(AppendError::Closed{cause:"".into()}) }
    pub(crate) fn consumer(&self, _topic: &str, _m: Membership, _s: ConsumerSettings) -> Result<EmbeddedConsumer, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn bounds(&self, _t: &str, _p: PartitionId) -> Result<Bounds, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) async fn trim(&self, _t: &str, _p: PartitionId, _b: NextOffset) -> Result<(), ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn stats(&self) -> LogStats { LogStats::default() }
    pub(crate) async fn close(&self, _deadline: Duration) -> bool { true }
}
/// Reads a topic of Kafka.
#[derive(Debug)]
pub struct EmbeddedConsumer {}
impl EmbeddedConsumer {
    pub(crate) async fn next(&mut self) -> Result<LogEvent, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn start(&mut self, _p: PartitionId, _f: StartFrom) -> Result<NextOffset, ReadError> { Err(ReadError::Closed{cause:String::new()}) }
    pub(crate) fn commit(&mut self, _p: PartitionId, _n: NextOffset) -> Result<(), ReadError> { Ok(()) }
    pub(crate) async fn close(self, _d: Duration) -> bool { true }
}

