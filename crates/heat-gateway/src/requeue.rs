//! Dead letters taken again: requests from `heat.requeue.v1` to the gateway's loop, and marks back.
//!
//! The topic alone says what is to be done: a request without a mark. A mark is appended after all that the message
//! became is durable, so a gateway that dies in between leaves the request to whoever reads the partition next, which
//! takes it again (readers drop what they saw before). The group's committed offset is for Kafka's tools to show the
//! lag; nothing resumes by it.
//!
//! [`RequeueFeed::open`] gives two halves: the feed, a task that reads and marks, and [`Requeues`], which the loop
//! takes messages from and answers to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use heat_codec::{
    dead_letter::LetterId,
    requeue::{Done, Request, Requeue},
};
use heat_ledger::durable::Durable;
use heat_log::{
    AppendError, Appender, AppenderSettings, Consumer, ConsumerSettings, Log, LogEvent, Membership,
    ReadError, Record, StartFrom, topics,
};
use heat_model::{GatewayId, Offset, PartitionId, record::NextOffset};
use heat_runtime::{Clock, Shutdown, metrics::Metrics, tasks::Chain};
use prometheus::{IntCounterVec, IntGauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages taken again, by outcome: logged, or rejected again at least in part.
pub const REQUEUED: &str = "heat_gateway_requeued_messages_total";
/// Requests read and not yet marked.
pub const REQUEUE_WAITING: &str = "heat_gateway_requeue_waiting_messages";

/// The consumer group of all gateways.
const GROUP: &str = "heat-gateway.requeue";
/// Messages that the loop has and that are not durable yet. A person's wish can wait; live messages go first.
const IN_FLIGHT_MAX: usize = 16;
/// Messages read ahead of the loop; beyond, the topic is not read.
const QUEUE_MAX: usize = 64;
/// Pause before a Kafka that did not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the last marks may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// The feed cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// The topic cannot be read.
    #[error("the gateway cannot read the topic of requeued messages")]
    Read(#[from] ReadError),
    /// Marks cannot be appended.
    #[error("the gateway cannot mark a requeued message as taken")]
    Append(#[from] AppendError),
}

/// A message to be taken again.
#[derive(Debug)]
pub struct Requeued {
    /// The message as it was first received.
    pub request: Request,
    /// What marks it as taken.
    pub token: RequeueToken,
}

/// What marks a request as taken; worth something only as `Durable<RequeueToken>`.
#[derive(Debug)]
pub struct RequeueToken {
    partition: PartitionId,
    request: Offset,
    letter: LetterId,
    key: Bytes,
    readings_logged: u32,
    readings_rejected: u32,
    faults: u32,
    _room: OwnedSemaphorePermit,
}

impl RequeueToken {
    /// Says what the message came to.
    #[must_use]
    pub fn came_to(mut self, readings_logged: u32, readings_rejected: u32, faults: usize) -> Self {
        self.readings_logged = readings_logged;
        self.readings_rejected = readings_rejected;
        self.faults = u32::try_from(faults).unwrap_or(u32::MAX);
        self
    }

    /// The dead letter that is taken again; a new one names it.
    pub fn letter(&self) -> LetterId {
        self.letter
    }
}

/// The loop's half. Dropping it ends the feed, after the marks handed in so far.
#[derive(Debug)]
pub struct Requeues {
    messages: mpsc::Receiver<Requeued>,
    done: mpsc::Sender<Durable<RequeueToken>>,
}

impl Requeues {
    /// The next message; `None` once the feed has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Requeued> {
        self.messages.recv().await
    }

    /// Marks a message as taken. Never waits: there are no more tokens than the queue has room.
    pub fn done(&self, durable: Durable<RequeueToken>) {
        if self.done.try_send(durable).is_err() {
            // The feed has ended: the request stays without a mark and will be taken again.
            tracing::warn!("a requeued message was taken, but is not marked; it will be taken again");
        }
    }
}

#[derive(Debug)]
pub(crate) struct RequeueMetrics {
    requeued: IntCounterVec,
    waiting: IntGauge,
}

impl RequeueMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            requeued: metrics.counters(REQUEUED, "Dead letters taken again, by outcome.", &["outcome"]),
            waiting: metrics.gauge(REQUEUE_WAITING, "Requests to take a dead letter again, not yet done."),
        }
    }
}

/// One partition of the topic.
#[derive(Debug, Default)]
struct Part {
    /// Requests marked as taken, of those not read yet.
    marked: BTreeSet<Offset>,
    /// Requests read and not marked yet.
    open: BTreeSet<Offset>,
    read_to: NextOffset,
}

impl Part {
    /// Everything before it is marked.
    fn settled(&self) -> NextOffset {
        self.open.first().map_or(self.read_to, |first| NextOffset(first.0))
    }
}

/// A request read and not yet handed to the loop.
#[derive(Debug)]
struct Queued {
    partition: PartitionId,
    offset: Offset,
    request: Request,
}

/// Reads requests, hands them to the loop in order, and marks what became of them.
#[derive(Debug)]
pub struct RequeueFeed {
    log: Log,
    gateway: GatewayId,
    clock: Clock,
    consumer: Consumer,
    appender: Appender,
    parts: BTreeMap<PartitionId, Part>,
    queue: VecDeque<Queued>,
    room: Arc<Semaphore>,
    messages: mpsc::Sender<Requeued>,
    done: mpsc::Receiver<Durable<RequeueToken>>,
    metrics: RequeueMetrics,
}

impl RequeueFeed {
    /// Joins the gateways' group. Nothing is read before [`Self::run`].
    pub async fn open(
        log: &Log,
        gateway: GatewayId,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<(Self, Requeues), RequeueError> {
        let membership = Membership::Group(GROUP.to_owned());
        let settings = ConsumerSettings { read_ahead_batches: 1, ..ConsumerSettings::default() };
        let consumer = log.consumer(topics::REQUEUE, membership, settings).await?;
        let appender = log.appender(&[topics::REQUEUE], AppenderSettings::default()).await?;
        let (messages, handed) = mpsc::channel(IN_FLIGHT_MAX);
        let (marks, done) = mpsc::channel(IN_FLIGHT_MAX);
        let feed = Self {
            log: log.clone(),
            gateway,
            clock,
            consumer,
            appender,
            parts: BTreeMap::new(),
            queue: VecDeque::new(),
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            messages,
            done,
            metrics: RequeueMetrics::register(metrics),
        };
        Ok((feed, Requeues { messages: handed, done: marks }))
    }

    /// Runs until [`Requeues`] is dropped. From shutdown on nothing more is handed out, and what is taken is marked.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), RequeueError> {
        let mut is_ending = false;
        loop {
            let open: usize = self.parts.values().map(|part| part.open.len()).sum();
            self.metrics.waiting.set(i64::try_from(open).unwrap_or(i64::MAX));
            tokio::select! {
                biased;
                durable = self.done.recv() => match durable {
                    Some(durable) => self.mark(durable.into_inner()).await?,
                    None => break,
                },
                () = shutdown.begun(), if !is_ending => is_ending = true,
                room = Arc::clone(&self.room).acquire_owned(), if !is_ending && !self.queue.is_empty() => {
                    is_ending = !room.is_ok_and(|room| self.hand_over(room));
                }
                event = self.consumer.next_in_time(), if !is_ending && self.queue.len() < QUEUE_MAX => {
                    let event = event?;
                    // Kafka may be silent for long; ending does not wait for it.
                    tokio::select! {
                        taken = self.take(event) => taken?,
                        () = shutdown.begun() => is_ending = true,
                    }
                }
            }
        }
        if !self.appender.close(DRAIN).await? {
            tracing::warn!("the last marks of requeued messages are not durable; those will be taken again");
        }
        self.consumer.close(DRAIN).await;
        Ok(())
    }

    async fn take(&mut self, event: LogEvent) -> Result<(), RequeueError> {
        match event {
            LogEvent::Assigned(partition) => self.start(partition).await?,
            LogEvent::Revoked(partition) => {
                self.parts.remove(&partition);
                self.queue.retain(|queued| queued.partition != partition);
            }
            LogEvent::Records { partition, records, end } => {
                for record in records {
                    self.read(partition, record);
                }
                if let Some(part) = self.parts.get_mut(&partition) {
                    part.read_to = end;
                }
                self.commit(partition);
            }
        }
        Ok(())
    }

    /// Reads from the first request without a mark on, however long Kafka does not answer.
    async fn start(&mut self, partition: PartitionId) -> Result<(), RequeueError> {
        let (next, marked) = loop {
            match self.unmarked(partition).await {
                Err(error) if error.is_passing() => {
                    let (error, partition) = (Chain(&error).to_string(), partition.0);
                    tracing::warn!(%error, partition, "requests cannot be read back; asking again");
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                outcome => break outcome?,
            }
        };
        match self.consumer.start_in_time(partition, StartFrom::Offset(next)).await {
            Ok(_) => {}
            // It went to another gateway while Kafka did not answer; if it comes back, it is assigned again.
            Err(ReadError::NotAssigned { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.parts.insert(partition, Part { marked, open: BTreeSet::new(), read_to: next });
        Ok(())
    }

    /// The first request without a mark, and what is marked behind it.
    async fn unmarked(&self, partition: PartitionId) -> Result<(NextOffset, BTreeSet<Offset>), ReadError> {
        let bounds = self.log.bounds_in_time(topics::REQUEUE, partition).await?;
        let (mut asked, mut marked) = (BTreeSet::new(), BTreeSet::new());
        let from = StartFrom::Offset(bounds.first);
        let settings = ConsumerSettings { read_ahead_batches: 1, ..ConsumerSettings::default() };
        let mut scan = self.log.scan(topics::REQUEUE, partition, from, bounds.end, settings).await?;
        while let Some(records) = scan.next().await? {
            for record in records {
                match Requeue::decode(record.payload) {
                    Ok(Requeue::Request(_)) => drop(asked.insert(record.offset)),
                    Ok(Requeue::Done(done)) => drop(marked.insert(done.request)),
                    // Said where it is read for good.
                    Err(_) => {}
                }
            }
        }
        let next = asked.difference(&marked).next().map_or(bounds.end, |offset| NextOffset(offset.0));
        marked.retain(|offset| offset.0 >= next.0);
        Ok((next, marked))
    }

    fn read(&mut self, partition: PartitionId, record: Record) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        let offset = record.offset;
        match Requeue::decode(record.payload) {
            Ok(Requeue::Request(request)) => {
                if !part.marked.remove(&offset) {
                    part.open.insert(offset);
                    self.queue.push_back(Queued { partition, offset, request });
                }
            }
            // Another gateway had the partition before and finished what it had in hand.
            Ok(Requeue::Done(done)) => {
                part.open.remove(&done.request);
                self.queue.retain(|queued| (queued.partition, queued.offset) != (partition, done.request));
            }
            Err(error) => {
                let partition = partition.0;
                tracing::error!(error = %Chain(&error), partition, offset = offset.0, "a request cannot be read");
            }
        }
    }

    /// False if the loop has ended.
    fn hand_over(&mut self, room: OwnedSemaphorePermit) -> bool {
        let Some(Queued { partition, offset, request }) = self.queue.pop_front() else { return true };
        let token = RequeueToken {
            partition,
            request: offset,
            letter: request.letter,
            key: Bytes::from(request.topic.clone()),
            readings_logged: 0,
            readings_rejected: 0,
            faults: 0,
            _room: room,
        };
        self.messages.try_send(Requeued { request, token }).is_ok()
    }

    async fn mark(&mut self, token: RequeueToken) -> Result<(), RequeueError> {
        let done = Done {
            request: token.request,
            letter: token.letter,
            readings_logged: token.readings_logged,
            readings_rejected: token.readings_rejected,
            faults: token.faults,
            gateway: self.gateway.clone(),
            done: self.clock.now(),
        };
        let outcome = if token.faults == 0 { "logged" } else { "rejected_again" };
        self.metrics.requeued.with_label_values(&[outcome]).inc();
        tracing::info!(letter = %token.letter, outcome, readings = token.readings_logged, "a dead letter was taken again");
        let payload = Requeue::Done(done).encode();
        self.appender.append(topics::REQUEUE, token.partition, Some(token.key.clone()), payload).await?;
        if let Some(part) = self.parts.get_mut(&token.partition) {
            part.open.remove(&token.request);
        }
        self.commit(token.partition);
        Ok(())
    }

    fn commit(&mut self, partition: PartitionId) {
        let Some(part) = self.parts.get(&partition) else { return };
        if let Err(error) = self.consumer.commit(partition, part.settled()) {
            tracing::debug!(error = %Chain(&error), partition = partition.0, "the lag is not told to the log");
        }
    }
}

#[cfg(test)]
mod tests;
