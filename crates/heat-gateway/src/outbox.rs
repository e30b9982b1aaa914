//! Numbering, appending, buffering, forwarding and acknowledging: one place, one order.
//!
//! [`core`] decides; here its decisions meet Kafka, the disk and the links. While Kafka is healthy the disk is not
//! touched.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use heat_codec::{
    dead_letter::{DeadLetter, LetterId, UserProperty},
    envelope::Draft,
};
use heat_ledger::{counts::MessageAccount, durable::Durable};
use heat_log::{AppendError, Appender, AppenderSettings, Health};
use heat_model::{AppendTime, Body, GatewayId, IngestTime, Origin, PartitionId, record::HourCounts};
use heat_mqtt::{AckToken, Acknowledger, Delivery, LinkId};
use heat_runtime::Clock;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    buffer::{self, Buffer, BufferError, Hint, Read},
    intake::Outcome,
    plant::PlantChange,
    requeue::{RequeueToken, Requeued},
};

pub(crate) mod backlog;
pub(crate) mod core;
pub(crate) mod entry;
mod epoch;
mod in_flight;
mod sinks;
mod status;

pub(crate) use self::status::Status;
use self::{
    core::{BufferState, Core, Message, Rules},
    sinks::{BufferSink, KafkaSink},
};

/// While time alone may change something.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// How often the note about what is forwarded is written, and how soon a failed read is tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The outbox cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A log is closed for good.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The buffer cannot be used.
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

/// A piece of work that goes on beside everything else.
struct Task<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> std::fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Task").field(&self.0.is_some()).finish()
    }
}

impl<T> Task<T> {
    fn start(&mut self, work: impl Future<Output = T> + Send + 'static) {
        self.0 = Some(Box::pin(work));
    }

    /// Its outcome, once; waits for ever where nothing goes on. Cancel-safe.
    async fn outcome(&mut self) -> T {
        let Some(work) = &mut self.0 else { return pending().await };
        let outcome = work.await;
        self.0 = None;
        outcome
    }
}

/// Whose messages are acknowledged in the order of their receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    Link(LinkId),
    Requeue,
    Gateway,
}

/// What is told once all that a message became is durable.
#[derive(Debug)]
enum Token {
    /// Its sender.
    Link(AckToken),
    /// The gateway itself.
    Inner(Inner),
}

/// What the gateway itself waits for.
#[derive(Debug)]
pub(crate) enum Inner {
    /// A dead letter taken again.
    Requeue(RequeueToken),
    /// A plant model that takes effect.
    Plant(PlantChange),
    /// Nothing.
    Nobody,
}

/// What the outbox works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) gateway: GatewayId,
    pub(crate) partitions: u32,
    pub(crate) rules: Rules,
    pub(crate) appender: Appender,
    pub(crate) bounds: AppenderSettings,
    pub(crate) buffer: Option<(Buffer, buffer::Found)>,
    pub(crate) acknowledger: Acknowledger,
    pub(crate) clock: Clock,
}

/// Numbers what is appended, and knows what may be acknowledged.
#[derive(Debug)]
pub(crate) struct Outbox {
    gateway: GatewayId,
    partitions: u32,
    core: Core<Sender, Token, KafkaSink, BufferSink>,
    kafka: Appender,
    kafka_health: watch::Receiver<Health>,
    buffer: Option<Buffer>,
    acknowledger: Acknowledger,
    clock: Clock,
    cutting: Task<Result<(u64, AppendTime), BufferError>>,
    housekeeping: Task<()>,
    /// When the note was last written, and what it said.
    noted: (std::time::Instant, Option<Hint>),
    read_again_at: Option<std::time::Instant>,
    status: Status,
    /// Empty between calls; kept for its room.
    settled: Vec<Durable<Token>>,
    /// What the role is still to be told.
    told: Vec<Durable<Inner>>,
}

impl Outbox {
    pub(crate) async fn new(parts: Parts) -> Result<Self, OutboxError> {
        let Parts { gateway, partitions, rules, appender, bounds, buffer, acknowledger, clock } = parts;
        let now = clock.instant();
        let (buffer, found) = match buffer {
            Some((buffer, found)) => (Some(buffer), Some(found)),
            None => (None, None),
        };
        let sinks = (
            KafkaSink::new(&appender, bounds),
            buffer.as_ref().map(|buffer| BufferSink::new(&buffer.appender, buffer::TOPIC)),
        );
        let (backlog, least_epoch) =
            found.map(|found| (found.backlog, found.least_epoch)).unwrap_or_default();
        let end = match &buffer {
            Some(buffer) => buffer.end().await?,
            None => 0,
        };
        let state =
            BufferState { end, is_full: false, time: AppendTime::from_micros(clock.now().as_micros()) };
        let core = Core::new(gateway.clone(), partitions, rules, sinks, least_epoch, backlog, state, now);
        let mut outbox = Self {
            gateway,
            partitions,
            core,
            kafka_health: appender.health(),
            kafka: appender,
            buffer,
            acknowledger,
            clock,
            cutting: Task(None),
            housekeeping: Task(None),
            noted: (now, None),
            read_again_at: None,
            status: Status::default(),
            settled: Vec::new(),
            told: Vec::new(),
        };
        outbox.advance().await?;
        outbox.status.tell_found();
        Ok(outbox)
    }

    /// Whether the next message may be taken. If not, [`Self::step`] until it may.
    pub(crate) fn accepts(&self) -> bool {
        self.core.accepts()
    }

    /// Takes what a message came to; its acknowledgement waits for all of it. Only when [`Self::accepts`].
    pub(crate) fn take(
        &mut self,
        delivery: Delivery,
        received: IngestTime,
        outcome: Outcome,
    ) -> Result<(), OutboxError> {
        let sender = Sender::Link(delivery.token.link());
        let (content_type, user_properties) = match delivery.properties.as_deref() {
            Some(properties) => {
                let pairs = properties.user_properties.iter();
                let kept = UserProperty::kept(pairs.map(|(name, value)| (name.as_str(), value.as_str())));
                (properties.content_type.clone(), kept)
            }
            None => (None, Vec::new()),
        };
        let head = LetterHead {
            topic: &delivery.topic,
            client: &delivery.source.client_id,
            user: delivery.source.user.as_deref().unwrap_or_default(),
            content_type: content_type.as_deref().unwrap_or_default(),
            user_properties: &user_properties,
            payload: &delivery.payload,
            requeued_from: None,
            retained: delivery.retain,
        };
        let letter = self.letter(head, received, &outcome);
        self.begin(sender, Token::Link(delivery.token), received, outcome, letter)
    }

    /// Takes what a dead letter came to this time; [`Self::take_told`] gives its token back. Only when
    /// [`Self::accepts`].
    pub(crate) fn take_again(
        &mut self,
        requeued: Requeued,
        received: IngestTime,
        outcome: Outcome,
    ) -> Result<(), OutboxError> {
        let Requeued { request, token } = requeued;
        let head = LetterHead {
            topic: &request.topic,
            client: &request.client,
            user: &request.user,
            content_type: &request.content_type,
            user_properties: &request.user_properties,
            payload: &request.payload,
            requeued_from: Some(request.letter),
            retained: request.retained,
        };
        let letter = self.letter(head, received, &outcome);
        let token = token.came_to(outcome.readings_logged, outcome.readings_rejected, outcome.faults.len());
        self.begin(Sender::Requeue, Token::Inner(Inner::Requeue(token)), received, outcome, letter)
    }

    /// Takes a message of the gateway's own: nobody waits for it. Only when [`Self::accepts`].
    pub(crate) fn take_own(&mut self, received: IngestTime, outcome: Outcome) -> Result<(), OutboxError> {
        self.begin(Sender::Gateway, Token::Inner(Inner::Nobody), received, outcome, None)
    }

    /// Tells every partition that a plant model takes effect; [`Self::take_told`] gives the change back. Only when
    /// [`Self::accepts`].
    pub(crate) fn activate(&mut self, change: PlantChange) -> Result<(), OutboxError> {
        let now = self.clock.now();
        let body = Body::ModelActivated(change.hash);
        let draft = |partition| (PartitionId(partition), Draft::of(None, now, 0, &body));
        let drafts = if change.activates { (0..self.partitions).map(draft).collect() } else { Vec::new() };
        let message = Message {
            link: Sender::Gateway,
            token: Token::Inner(Inner::Plant(change)),
            account: MessageAccount::none(now),
            drafts,
            letter: None,
        };
        Ok(self.core.begin(message, self.clock.instant(), now)?)
    }

    /// What of the gateway's own work has become durable since the last call.
    pub(crate) fn take_told(&mut self) -> Vec<Durable<Inner>> {
        std::mem::take(&mut self.told)
    }

    fn begin(
        &mut self,
        link: Sender,
        token: Token,
        received: IngestTime,
        outcome: Outcome,
        letter: Option<DeadLetter>,
    ) -> Result<(), OutboxError> {
        // What says nothing by its format (a host's STATE, say) is acknowledged and counts nowhere.
        let account = if outcome.drafts.is_empty() && letter.is_none() {
            MessageAccount::none(received)
        } else {
            MessageAccount::new(
                received,
                !outcome.drafts.is_empty(),
                outcome.readings_logged,
                outcome.readings_rejected,
                letter.is_some(),
            )
        };
        let message = Message { link, token, account, drafts: outcome.drafts, letter };
        Ok(self.core.begin(message, self.clock.instant(), received)?)
    }

    /// A heartbeat into every partition, if there is a way for it.
    pub(crate) async fn beat(&mut self) -> Result<(), OutboxError> {
        self.advance().await?;
        Ok(self.core.beat(self.clock.instant(), self.clock.now())?)
    }

    /// Waits until something happens to what was taken, and does what follows: acknowledging, changing the mode,
    /// forwarding. Cancel-safe.
    pub(crate) async fn step(&mut self) -> Result<(), OutboxError> {
        let now = self.clock.instant();
        let reading = self.core.wants_records().filter(|_| self.read_again_at.is_none_or(|at| now >= at));
        let is_impatient = self.core.is_impatient() || self.housekeeping.0.is_none() && self.is_note_stale();
        let Self { kafka, kafka_health, buffer, cutting, housekeeping, .. } = self;
        let read = tokio::select! {
            progressed = kafka.progressed() => progressed.map(|()| None)?,
            happened = buffer_step(buffer.as_mut(), reading) => happened,
            _ = kafka_health.changed() => None,
            found = cutting.outcome() => {
                // Without a cut all of it counts as fresh: later, but in order.
                let (at, since) = found.unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot find out which buffered records are old");
                    (0, AppendTime::from_micros(0))
                });
                self.core.cut(at, since, now);
                None
            }
            () = housekeeping.outcome() => None,
            () = tokio::time::sleep(IMPATIENCE), if is_impatient => None,
        };
        if let Some(outcome) = read {
            self.take_read(outcome)?;
        }
        self.advance().await
    }

    fn take_read(&mut self, outcome: Result<Read, BufferError>) -> Result<(), OutboxError> {
        match outcome {
            Ok(Read { from, records, end }) => {
                self.read_again_at = None;
                self.core.take_records(from, records, end);
                Ok(())
            }
            Err(BufferError::Read(error @ heat_log::ReadError::File { .. })) => {
                tracing::warn!(%error, "the gateway's buffer cannot be read at present; tried again");
                self.read_again_at = Some(self.clock.instant() + HOUSEKEEPING);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn advance(&mut self) -> Result<(), OutboxError> {
        let (now, clock) = (self.clock.instant(), self.clock.now());
        let state = self.buffer_state(clock).await?;
        self.core.advance(now, clock, state, &mut self.settled)?;
        self.acknowledge();
        if let Some(buffer) = &self.buffer {
            if let Some(limit) = self.core.wants_cut(now, clock) {
                let finder = buffer.finder();
                self.cutting.start(async move { finder.chunk_at(limit).await });
            }
            self.keep_house(state.end);
        }
        self.tell(state);
        Ok(())
    }

    fn acknowledge(&mut self) {
        let Self { settled, acknowledger, told, .. } = self;
        acknowledger.acknowledge(settled.drain(..).filter_map(|durable| {
            let split = durable.map(|token| match token {
                Token::Link(token) => Ok(token),
                Token::Inner(inner) => Err(inner),
            });
            split.transpose().map_err(|inner| told.push(inner)).ok()
        }));
    }

    async fn buffer_state(&mut self, clock: IngestTime) -> Result<BufferState, OutboxError> {
        let time = AppendTime::from_micros(clock.as_micros());
        let Some(buffer) = &self.buffer else { return Ok(BufferState { end: 0, is_full: false, time }) };
        let end = buffer.end().await?;
        // Only what is pending keeps space from being given back.
        let oldest = self.core.backlog().oldest(end);
        let is_full = oldest.is_some_and(|oldest| {
            let (_, queued) = buffer.appender.queued();
            buffer.bytes() + queued as u64 >= buffer.settings.bytes_max
                || oldest.plus(buffer.settings.age_max) <= time
        });
        Ok(BufferState { end, is_full, time })
    }

    /// Whether what is forwarded has changed since it was noted.
    fn is_note_stale(&self) -> bool {
        let Some(noted) = &self.noted.1 else { return self.buffer.is_some() };
        self.status.end != noted.end() || self.core.backlog().pending(self.status.end) != noted.ranges()
    }

    fn keep_house(&mut self, end: u64) {
        let Some(buffer) = &self.buffer else { return };
        let now = self.clock.instant();
        if self.housekeeping.0.is_some() || now.saturating_duration_since(self.noted.0) < HOUSEKEEPING {
            return;
        }
        let pending = self.core.backlog().pending(end);
        let hint = Hint::new(end, pending, self.core.last_epoch());
        if self.noted.1.as_ref() == Some(&hint) {
            return;
        }
        let before = hint.ranges().first().map_or(end, |range| range.start);
        self.housekeeping.start(buffer.keep_house(hint.clone(), before));
        self.noted = (now, Some(hint));
    }

    /// No more comes: everything taken becomes durable and is acknowledged, in Kafka or in the buffer, and the epochs
    /// say good-bye. False if that was not possible in time.
    pub(crate) async fn finish(&mut self, drain: Duration) -> Result<bool, OutboxError> {
        let began = self.clock.instant();
        let (now, clock) = (began, self.clock.now());
        self.core.end(now, clock)?;
        // With a buffer there is no need to wait for Kafka longer than would be waited at any other time.
        let patience = match &self.buffer {
            Some(_) => self.core.stall_after().min(drain / 2),
            None => drain,
        };
        let mut is_through = self.step_until_through(began + patience).await?;
        if is_through && !self.core.is_buffering() {
            self.core.say_good_bye(self.clock.instant(), self.clock.now())?;
            is_through = self.step_until_through(began + patience).await?;
        }
        if !is_through && self.buffer.is_some() {
            self.core.give_up(self.clock.instant(), self.clock.now())?;
            is_through = self.step_until_through(began + drain).await?;
        }
        let rest = drain.saturating_sub(self.clock.instant().saturating_duration_since(began));
        self.kafka.close(if self.core.is_buffering() { Duration::ZERO } else { rest }).await?;
        if let Some(buffer) = &self.buffer {
            let end = buffer.end().await?;
            let pending = self.core.backlog().pending(end);
            let before = pending.first().map_or(end, |range| range.start);
            if let Some(work) = self.housekeeping.0.take() {
                work.await;
            }
            let left = self.core.backlog().records(end);
            buffer.keep_house(Hint::new(end, pending, self.core.last_epoch()), before).await;
            buffer.close(Duration::from_secs(1)).await;
            if left > 0 {
                tracing::info!(
                    records = left,
                    "the buffer keeps what Kafka has not taken; the next start forwards it"
                );
            }
        }
        Ok(is_through)
    }

    /// False at the deadline.
    async fn step_until_through(&mut self, deadline: std::time::Instant) -> Result<bool, OutboxError> {
        let deadline = tokio::time::Instant::from_std(deadline);
        self.advance().await?;
        while !self.core.is_through() {
            match tokio::time::timeout_at(deadline, self.step()).await {
                Ok(outcome) => outcome?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Messages whose acknowledgement waits.
    pub(crate) fn waiting(&self) -> usize {
        self.core.waiting()
    }

    /// Counts since the start.
    pub(crate) fn totals(&self) -> HourCounts {
        self.core.totals()
    }

    /// Records and bytes that wait to become durable in Kafka.
    pub(crate) fn queued(&self) -> (usize, usize) {
        self.kafka.queued()
    }

    /// How it stands.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    fn tell(&mut self, state: BufferState) {
        let now = Status::of(&self.core, self.buffer.as_ref(), state);
        let before = std::mem::replace(&mut self.status, now);
        self.status.tell_change(&before);
    }

    fn letter(&self, head: LetterHead<'_>, received: IngestTime, outcome: &Outcome) -> Option<DeadLetter> {
        if outcome.faults.is_empty() {
            return None;
        }
        let letter = DeadLetter {
            // The core sets epoch and number.
            origin: Origin { gateway: self.gateway.clone(), epoch: 0, seq: 0 },
            ingest_time: received,
            topic: head.topic.to_owned(),
            client: head.client.to_owned(),
            user: head.user.to_owned(),
            content_type: head.content_type.to_owned(),
            user_properties: head.user_properties.to_vec(),
            payload: head.payload.clone(),
            payload_hash: xxh3_64(head.payload),
            faults: outcome.faults.clone(),
            messages: u32::from(outcome.drafts.is_empty()),
            readings: outcome.readings_rejected,
            requeued_from: head.requeued_from,
            retained: head.retained,
        };
        Some(letter.without_person())
    }
}

/// What a dead letter says of its message.
struct LetterHead<'a> {
    topic: &'a str,
    client: &'a str,
    user: &'a str,
    content_type: &'a str,
    user_properties: &'a [UserProperty],
    payload: &'a Bytes,
    requeued_from: Option<LetterId>,
    retained: bool,
}

/// Something happened in the buffer: it made records durable, its health changed, or records were read.
async fn buffer_step(buffer: Option<&mut Buffer>, reading: Option<u64>) -> Option<Result<Read, BufferError>> {
    let Some(Buffer { appender, health, reader, .. }) = buffer else { return pending().await };
    let read = async {
        match reading {
            Some(from) => reader.read(from).await,
            None => pending().await,
        }
    };
    tokio::select! {
        progressed = appender.progressed() => progressed.err().map(|error| Err(error.into())),
        _ = health.changed() => None,
        outcome = read => Some(outcome),
    }
}
