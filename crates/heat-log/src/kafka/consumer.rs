//! Consuming from Kafka: the asynchronous side. The thread behind it is `kafka/consumer/reader.rs`.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use heat_model::{PartitionId, record::NextOffset};
use tokio::sync::{mpsc, oneshot, watch};

use super::{next_offset, offset_number};
use crate::{
    appender::Wake,
    consumer::{LogEvent, ReadError, StartFrom},
    settings::{ConsumerSettings, KafkaSettings},
    stats::Live,
};

mod batch;
mod desk;
mod reader;

/// One start of a partition; the number rises with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading(u64);

/// What the thread tells the asynchronous side.
#[derive(Debug)]
struct Told {
    /// For what was read of a partition, or stopped its reading: which reading that was.
    of: Option<(PartitionId, Reading)>,
    event: Result<LogEvent, ReadError>,
}

/// Asks the thread to start a partition.
#[derive(Debug)]
struct Start {
    partition: PartitionId,
    reading: Reading,
    from: StartFrom,
    reply: oneshot::Sender<Result<NextOffset, ReadError>>,
}

/// What the asynchronous side wants from the thread.
#[derive(Debug, Default)]
struct Inbox {
    starts: Vec<Start>,
    /// Newest offset to commit, per partition.
    commits: BTreeMap<i32, i64>,
    /// Revoked partitions that the caller is done with.
    released: Vec<i32>,
    close: bool,
}

/// What both sides share.
#[derive(Debug)]
struct Hub {
    topic: String,
    inbox: Mutex<Inbox>,
    wake: Wake,
}

impl Hub {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, act: &'static str, error: &dyn Display) -> ReadError {
        ReadError::Kafka { act, topic: self.topic.clone(), reason: error.to_string() }
    }

    fn not_assigned(&self, partition: PartitionId) -> ReadError {
        ReadError::NotAssigned { topic: self.topic.clone(), partition }
    }

    /// What is wrong with an offset to read from, if the log does not reach there.
    fn out_of_bounds(
        &self,
        partition: PartitionId,
        asked: i64,
        (first, end): (i64, i64),
    ) -> Option<ReadError> {
        let topic = || self.topic.clone();
        let (asked_offset, first_offset, end_offset) =
            (next_offset(asked), next_offset(first), next_offset(end));
        if asked < first {
            Some(ReadError::Trimmed { topic: topic(), partition, asked: asked_offset, first: first_offset })
        } else if asked > end {
            Some(ReadError::BeyondEnd { topic: topic(), partition, asked: asked_offset, end: end_offset })
        } else {
            None
        }
    }
}

/// Reads a topic of Kafka.
#[derive(Debug)]
pub struct KafkaConsumer {
    hub: Arc<Hub>,
    events: mpsc::Receiver<Told>,
    /// The last start of each partition. What was read before it may still wait in `events`, also from before the
    /// partition went and came back, and is no longer wanted.
    readings: BTreeMap<PartitionId, Reading>,
    last_reading: Reading,
    ended: watch::Receiver<bool>,
    /// Announced as revoked; the next call of `next` releases them.
    releasing: Vec<PartitionId>,
    is_group: bool,
}

impl KafkaConsumer {
    pub(super) fn start_thread(
        topic: &str,
        fixed: Vec<PartitionId>,
        group: Option<String>,
        settings: ConsumerSettings,
        kafka: &Arc<KafkaSettings>,
        live: &Arc<Live>,
    ) -> Result<Self, ReadError> {
        let hub = Arc::new(Hub { topic: topic.to_owned(), inbox: Mutex::default(), wake: Wake::default() });
        let (sender, events) = mpsc::channel(settings.read_ahead_batches.max(1));
        let (end, ended) = watch::channel(false);
        let is_group = group.is_some();
        let plan = reader::Plan { fixed, group, settings, kafka: Arc::clone(kafka), live: Arc::clone(live) };
        reader::start(plan, Arc::clone(&hub), sender, end)?;
        Ok(Self {
            hub,
            events,
            readings: BTreeMap::new(),
            last_reading: Reading(0),
            ended,
            releasing: Vec::new(),
            is_group,
        })
    }

    pub(crate) async fn next(&mut self) -> Result<LogEvent, ReadError> {
        if !self.releasing.is_empty() {
            let released = self.releasing.drain(..).map(super::partition_number);
            self.hub.inbox().released.extend(released);
            self.hub.wake.wake();
        }
        loop {
            let told = self.events.recv().await;
            self.hub.wake.wake();
            let Some(Told { of, event }) = told else { return Err(self.gone()) };
            if let Some((partition, reading)) = of
                && self.readings.get(&partition) != Some(&reading)
            {
                continue;
            }
            if let Ok(LogEvent::Revoked(partition)) = event {
                self.readings.remove(&partition);
                self.releasing.push(partition);
            }
            return event;
        }
    }

    fn gone(&self) -> ReadError {
        ReadError::Closed { cause: format!("the consumer of {} has ended", self.hub.topic) }
    }

    pub(crate) async fn start(
        &mut self,
        partition: PartitionId,
        from: StartFrom,
    ) -> Result<NextOffset, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.last_reading.0 += 1;
        let reading = self.last_reading;
        self.readings.insert(partition, reading);
        self.hub.inbox().starts.push(Start { partition, reading, from, reply });
        self.hub.wake.wake();
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    pub(crate) fn commit(&mut self, partition: PartitionId, next: NextOffset) -> Result<(), ReadError> {
        if *self.ended.borrow() {
            return Err(self.gone());
        }
        if self.is_group {
            self.hub.inbox().commits.insert(super::partition_number(partition), offset_number(next));
        }
        Ok(())
    }

    pub(crate) async fn close(mut self, deadline: Duration) -> bool {
        self.hub.inbox().close = true;
        // Whatever the thread still wants to say has no reader any more, and must not hold it up.
        self.events.close();
        self.hub.wake.wake();
        tokio::time::timeout(deadline, self.ended.wait_for(|ended| *ended)).await.is_ok()
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.hub.inbox().close = true;
        self.hub.wake.wake();
    }
}
