//! The two appenders as the core sees them.

use heat_ledger::durable::{Marks, Ticket};
use heat_log::{AppendError, AppendRecord, Appender, AppenderSettings, Health, TryAppendError};
use tokio::sync::watch;

use super::{
    core::{Queued, Sink},
    entry::Entry,
};

/// Kafka's appender; or the embedded log's, where that is the log.
#[derive(Debug)]
pub(crate) struct KafkaSink {
    appender: Appender,
    health: watch::Receiver<Health>,
    bounds: AppenderSettings,
}

impl KafkaSink {
    pub(crate) fn new(appender: &Appender, bounds: AppenderSettings) -> Self {
        Self { appender: appender.clone(), health: appender.health(), bounds }
    }
}

fn take(appender: &Appender, topic: &str, record: AppendRecord) -> Result<Option<Ticket>, AppendError> {
    match appender.try_append(topic, record) {
        Ok(ticket) => Ok(Some(ticket)),
        Err(TryAppendError::Full(_)) => Ok(None),
        Err(TryAppendError::Refused(error)) => Err(error),
    }
}

fn is_stalled(health: &watch::Receiver<Health>) -> bool {
    matches!(*health.borrow(), Health::Stalled { .. })
}

impl Sink for KafkaSink {
    fn try_take(&mut self, entry: &Entry) -> Result<Option<Ticket>, AppendError> {
        let Entry { partition, key, payload, .. } = entry;
        let record = AppendRecord { partition: *partition, key: key.clone(), payload: payload.clone() };
        take(&self.appender, entry.topic.name(), record)
    }

    fn queued(&self) -> Queued {
        let (records, bytes) = self.appender.queued();
        let is_half_empty =
            records <= self.bounds.queue_max_records / 2 && bytes <= self.bounds.queue_max_bytes / 2;
        Queued { records, bytes, is_half_empty }
    }

    fn read_marks(&self, marks: &mut Marks) {
        self.appender.read_marks(marks);
    }

    fn is_stalled(&self) -> bool {
        is_stalled(&self.health)
    }
}

/// The buffer's appender.
#[derive(Debug)]
pub(crate) struct BufferSink {
    appender: Appender,
    health: watch::Receiver<Health>,
    topic: &'static str,
}

impl BufferSink {
    pub(crate) fn new(appender: &Appender, topic: &'static str) -> Self {
        Self { appender: appender.clone(), health: appender.health(), topic }
    }
}

impl Sink for BufferSink {
    fn try_take(&mut self, entry: &Entry) -> Result<Option<Ticket>, AppendError> {
        let (key, payload) = entry.to_buffer();
        take(&self.appender, self.topic, AppendRecord { partition: heat_model::PartitionId(0), key, payload })
    }

    fn queued(&self) -> Queued {
        let (records, bytes) = self.appender.queued();
        Queued { records, bytes, is_half_empty: records == 0 }
    }

    fn read_marks(&self, marks: &mut Marks) {
        self.appender.read_marks(marks);
    }

    fn is_stalled(&self) -> bool {
        is_stalled(&self.health)
    }
}
