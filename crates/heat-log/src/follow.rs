//! Following a topic: all of its partitions, from a bounded distance before their ends, on and on.
//!
//! For readers that keep only what is newest (live tables, boards): they need no offset of their own, start with what
//! lies a little back, and would rather go on behind a hole than stop at it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use heat_model::{PartitionId, record::NextOffset};

use crate::{
    Log,
    consumer::{Consumer, LogEvent, Membership, ReadError, Record, StartFrom},
    settings::ConsumerSettings,
};

/// Pause after an error that may pass by itself.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How far before the end reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// At the retained start.
    All,
    /// So many offsets before the end of each partition.
    Last(u64),
}

/// What following brings.
#[derive(Debug)]
pub enum FollowEvent {
    /// The next records of a partition, in order.
    Records {
        /// The partition.
        partition: PartitionId,
        /// Rising offsets, perhaps with holes.
        records: Vec<Record>,
    },
    /// Everything that was there when following began has been delivered. Said once.
    CaughtUp,
    /// Reading met an error and goes on: behind what is lost, or after a pause. For a log line and a counter.
    Trouble(ReadError),
}

/// Follows one topic.
#[derive(Debug)]
pub struct Follow {
    log: Log,
    topic: String,
    back: ReadBack,
    consumer: Consumer,
    /// Ends at the beginning, of the partitions that have not come there yet.
    behind: BTreeMap<PartitionId, NextOffset>,
    queued: VecDeque<FollowEvent>,
    caught_up: bool,
    pausing: bool,
}

impl Follow {
    /// Begins to follow.
    pub async fn open(
        log: &Log,
        topic: &str,
        back: ReadBack,
        settings: ConsumerSettings,
    ) -> Result<Self, ReadError> {
        let partitions = log.partitions(topic).await.map_err(ReadError::Topic)?;
        let mut behind = BTreeMap::new();
        for partition in (0..partitions).map(PartitionId) {
            behind.insert(partition, log.bounds(topic, partition).await?.end);
        }
        let consumer = log.consumer(topic, Membership::All, settings).await?;
        Ok(Self {
            log: log.clone(),
            topic: topic.to_owned(),
            back,
            consumer,
            behind,
            queued: VecDeque::new(),
            caught_up: false,
            pausing: false,
        })
    }

    /// The next event; waits for one. An error is one that no retry mends. Not cancel-safe: a call that was dropped may
    /// have begun to start a partition, so drop one only to end.
    pub async fn next(&mut self) -> Result<FollowEvent, ReadError> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Ok(event);
            }
            if self.pausing {
                tokio::time::sleep(RETRY_INTERVAL).await;
                self.pausing = false;
            }
            match self.consumer.next().await {
                Ok(LogEvent::Assigned(partition)) => {
                    if let Err(error) = self.start(partition).await {
                        self.trouble(error).await?;
                    }
                }
                Ok(LogEvent::Revoked(_)) => {}
                Ok(LogEvent::Records { partition, records, end }) => {
                    if !records.is_empty() {
                        self.queued.push_back(FollowEvent::Records { partition, records });
                    }
                    self.arrived(partition, end);
                }
                Err(error) => self.trouble(error).await?,
            }
        }
    }

    async fn start(&mut self, partition: PartitionId) -> Result<(), ReadError> {
        let bounds = self.log.bounds(&self.topic, partition).await?;
        let from = match self.back {
            ReadBack::All => bounds.first,
            ReadBack::Last(distance) => bounds.first.max(NextOffset(bounds.end.0.saturating_sub(distance))),
        };
        let position = self.consumer.start(partition, StartFrom::Offset(from)).await?;
        self.arrived(partition, position);
        Ok(())
    }

    fn arrived(&mut self, partition: PartitionId, position: NextOffset) {
        if self.behind.get(&partition).is_some_and(|end| position >= *end) {
            self.behind.remove(&partition);
        }
        if self.behind.is_empty() && !self.caught_up {
            self.caught_up = true;
            self.queued.push_back(FollowEvent::CaughtUp);
        }
    }

    /// Goes on where that can be done; the error itself where it cannot.
    async fn trouble(&mut self, error: ReadError) -> Result<(), ReadError> {
        match &error {
            ReadError::Trimmed { partition, .. } => {
                self.consumer.start(*partition, StartFrom::Beginning).await?;
            }
            ReadError::BeyondEnd { partition, .. } => {
                let position = self.consumer.start(*partition, StartFrom::End).await?;
                self.arrived(*partition, position);
            }
            ReadError::Kafka { .. } => self.pausing = true,
            ReadError::NotAssigned { .. }
            | ReadError::Topic(_)
            | ReadError::File { .. }
            | ReadError::Closed { .. } => {
                return Err(error);
            }
        }
        self.queued.push_back(FollowEvent::Trouble(error));
        Ok(())
    }
}
