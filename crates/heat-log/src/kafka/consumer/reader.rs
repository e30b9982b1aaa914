//! The thread that polls a BaseConsumer.
//!
//! It hands batches over through a bounded channel. While that is full it stops polling for data; if that lasts, it
//! pauses the partitions, so that it can go on polling for the group's sake. A watchdog builds another consumer where
//! librdkafka has been seen not to come back by itself: when it heartbeats and does not fetch, which positions show beside
//! the log's ends, and when it looks for the group's coordinator and finds none although the broker answers others.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use heat_model::PartitionId;
use rdkafka::{
    ClientConfig, Message, Offset,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::sync::{mpsc, watch};

use super::{
    Hub, Told,
    desk::{Desk, Hooks, begin_reading, list, lock},
};
use crate::{
    clock,
    consumer::ReadError,
    kafka::{client_config, context::Watcher, partition_id, partition_number},
    settings::{ConsumerSettings, KafkaSettings},
    stats::Live,
};

/// Longest wait in one poll: requests of the asynchronous side wait as long.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A channel full for longer pauses the partitions.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Between looks at a full channel; reading from it wakes the thread at once.
const FULL_INTERVAL: Duration = Duration::from_millis(50);
/// At most so often offsets are committed.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// An error that stays is told so often.
const ERROR_INTERVAL: Duration = Duration::from_secs(10);
/// Consumers that are thrown away and not yet closed, at most; with more, no other is built.
const CLOSING_MAX: usize = 4;
/// Between attempts to seek in a partition that was only just assigned.
const SEEK_RETRY: Duration = Duration::from_millis(50);

/// What the thread is to do.
pub(super) struct Plan {
    pub(super) fixed: Vec<PartitionId>,
    pub(super) group: Option<String>,
    pub(super) settings: ConsumerSettings,
    pub(super) kafka: Arc<KafkaSettings>,
    pub(super) live: Arc<Live>,
}

struct Reader {
    plan: Plan,
    hub: Arc<Hub>,
    desk: Arc<Mutex<Desk>>,
    consumer: BaseConsumer<Hooks>,
    retired: Arc<AtomicBool>,
    /// Threads that close consumers thrown away.
    closing: Vec<JoinHandle<()>>,
    full_since: Option<Instant>,
    paused: bool,
    committed_at: Instant,
    checked_at: Instant,
    error_told_at: Option<Instant>,
}

/// Starts the thread; it ends when the consumer is closed or dropped.
pub(super) fn start(
    plan: Plan,
    hub: Arc<Hub>,
    events: mpsc::Sender<Told>,
    end: watch::Sender<bool>,
) -> Result<(), ReadError> {
    let desk = Arc::new(Mutex::new(Desk::new(events)));
    let (consumer, retired) =
        build(&plan, &hub, &desk).map_err(|error| hub.failed("open a consumer of", &error))?;
    for &partition in &plan.fixed {
        lock(&desk).assign(partition_number(partition));
    }
    let now = clock::now();
    let reader = Reader {
        plan,
        hub: Arc::clone(&hub),
        desk,
        consumer,
        retired,
        closing: Vec::new(),
        full_since: None,
        paused: false,
        committed_at: now,
        checked_at: now,
        error_told_at: None,
    };
    std::thread::Builder::new()
        .name("log-consumer".to_owned())
        .spawn(move || {
            reader.run();
            end.send_replace(true);
        })
        .map(drop)
        .map_err(|error| hub.failed("open a consumer of", &error))
}

fn config(plan: &Plan) -> ClientConfig {
    let mut defaults = KafkaSettings { librdkafka: Default::default(), ..(*plan.kafka).clone() };
    for (key, value) in [
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.max.bytes", "8388608"),
        ("queued.max.messages.kbytes", "16384"),
        ("queued.min.messages", "20000"),
        // Once full, the queue is looked at again soon; the default of a second starves a fast reader.
        ("fetch.queue.backoff.ms", "20"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "1000"),
    ] {
        defaults.librdkafka.insert(key.to_owned(), value.to_owned());
    }
    defaults.librdkafka.extend(plan.kafka.librdkafka.clone());
    let mut config = client_config(&defaults);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        // Without a group nothing is ever committed under this name; librdkafka wants one for assigning.
        .set("group.id", plan.group.as_deref().unwrap_or("heatstream-reader"))
        // After "error" a member could not seek again. Where a position is reset by itself instead, the check of jumps
        // and the watchdog find what that would skip.
        .set("auto.offset.reset", if plan.group.is_some() { "latest" } else { "error" });
    if plan.group.is_some() {
        // The watchdog learns from them whether the group's coordinator is known.
        config.set("statistics.interval.ms", watch_interval(plan).as_millis().max(1).to_string());
    }
    config
}

/// Between looks of the watchdog.
fn watch_interval(plan: &Plan) -> Duration {
    plan.kafka.watchdog_after / 4
}

fn build(
    plan: &Plan,
    hub: &Arc<Hub>,
    desk: &Arc<Mutex<Desk>>,
) -> Result<(BaseConsumer<Hooks>, Arc<AtomicBool>), KafkaError> {
    let retired = Arc::<AtomicBool>::default();
    let hooks = Hooks {
        watcher: Watcher::new(Arc::clone(&plan.live)),
        live: Arc::clone(&plan.live),
        hub: Arc::clone(hub),
        desk: Arc::clone(desk),
        revoke_max_wait: plan.kafka.revoke_max_wait,
        connect_timeout: plan.kafka.connect_timeout,
        retired: Arc::clone(&retired),
    };
    let consumer: BaseConsumer<Hooks> = config(plan).create_with_context(hooks)?;
    if plan.group.is_some() {
        consumer.subscribe(&[&hub.topic])?;
    }
    Ok((consumer, retired))
}

impl Reader {
    fn run(mut self) {
        self.hub.wake.register();
        loop {
            let (starts, close) = {
                let mut inbox = self.hub.inbox();
                // A member releases inside the revoke hook; what comes later was given up without it.
                inbox.released.clear();
                (std::mem::take(&mut inbox.starts), inbox.close)
            };
            if close || !lock(&self.desk).has_reader() {
                break;
            }
            self.place();
            for asked in starts {
                let max_wait = self.plan.kafka.connect_timeout;
                begin_reading(
                    asked,
                    (&self.hub, &self.desk),
                    (&self.consumer, max_wait),
                    |partition, next| self.position(partition, next),
                );
            }
            self.commit();
            if lock(&self.desk).hand_over(&self.plan.live) {
                self.go_on();
                self.fetch();
                self.watch();
            } else {
                self.hold();
            }
        }
        self.commit_now(CommitMode::Sync);
        // Dropping the consumer leaves the group and may take long; this thread is the one that can wait.
    }

    /// The channel has room: undoes [`Self::hold`].
    fn go_on(&mut self) {
        if self.full_since.take().is_none() {
            return;
        }
        let started = {
            let mut desk = lock(&self.desk);
            let now = clock::now();
            desk.seats.values_mut().for_each(|seat| seat.moved = now);
            list(&self.hub.topic, desk.started().map(|(partition, _)| (partition, Offset::Invalid)))
        };
        if std::mem::take(&mut self.paused)
            && let Err(error) = self.consumer.resume(&started)
        {
            tracing::warn!(%error, topic = self.hub.topic, "cannot resume partitions");
        }
    }

    /// The channel is full.
    fn hold(&mut self) {
        let since = *self.full_since.get_or_insert_with(clock::now);
        if !self.paused && clock::now().saturating_duration_since(since) >= PAUSE_AFTER {
            let started = {
                let desk = lock(&self.desk);
                list(&self.hub.topic, desk.started().map(|(partition, _)| (partition, Offset::Invalid)))
            };
            self.paused = self.consumer.pause(&started).is_ok();
        }
        if self.paused {
            self.poll_once(Duration::ZERO);
            lock(&self.desk).flush();
        }
        let desk = &self.desk;
        let live = &self.plan.live;
        self.hub.wake.park(FULL_INTERVAL, || lock(desk).hand_over(live));
    }

    /// Polls until nothing is waiting or a batch is full.
    fn fetch(&mut self) {
        let mut wait = POLL_INTERVAL;
        // None may mean that an event was handled, and that more is waiting: the next round finds it.
        while self.poll_once(wait) && !lock(&self.desk).batches.is_full(&self.plan.settings) {
            wait = Duration::ZERO;
        }
        lock(&self.desk).flush();
    }

    fn poll_once(&mut self, wait: Duration) -> bool {
        match self.consumer.poll(wait) {
            None => return false,
            Some(Ok(message)) => {
                let partition = message.partition();
                if accept(&message, &self.desk, self.plan.group.is_some()) == Accepted::No {
                    match self.bounds(partition) {
                        // What is expected is still in the log, so no reset has skipped it: it is a hole.
                        Ok((first, _))
                            if lock(&self.desk).seats[&partition].next.is_some_and(|next| first <= next) =>
                        {
                            accept(&message, &self.desk, false);
                        }
                        Ok(_) | Err(_) => {
                            drop(message);
                            self.check_trimmed(partition);
                        }
                    }
                }
            }
            Some(Err(error)) => self.handle_error(&error),
        }
        true
    }

    fn handle_error(&mut self, error: &KafkaError) {
        self.plan.live.broker_errors.add(1);
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            self.rebuild(&error.to_string());
            return;
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            let started: Vec<_> = lock(&self.desk).started().map(|(partition, _)| partition).collect();
            for partition in started {
                self.check_trimmed(partition);
            }
            return;
        }
        let is_due = self
            .error_told_at
            .is_none_or(|told| clock::now().saturating_duration_since(told) >= ERROR_INTERVAL);
        if is_due {
            self.error_told_at = Some(clock::now());
            tracing::warn!(%error, topic = self.hub.topic, "reading from Kafka is disturbed");
        }
        let is_lasting = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
            )
        );
        if is_lasting && is_due {
            let told = self.hub.failed("read", error);
            lock(&self.desk).say(Err(told));
        }
    }

    /// Bounds of a partition, by asking the broker.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.consumer.fetch_watermarks(&self.hub.topic, partition, self.plan.kafka.connect_timeout)
    }

    /// Stops a partition and says so if the log no longer holds what it should read next.
    fn check_trimmed(&mut self, partition: i32) {
        let Some(next) = lock(&self.desk).seats.get(&partition).and_then(|seat| seat.next) else { return };
        match self.bounds(partition) {
            Ok(bounds) => match self.hub.out_of_bounds(partition_id(partition), next, bounds) {
                Some(error) => self.stop_partition(partition, error),
                None => self.reposition(partition, next),
            },
            Err(error) => tracing::info!(%error, topic = self.hub.topic, partition, "cannot look up bounds"),
        }
    }

    fn stop_partition(&mut self, partition: i32, error: ReadError) {
        lock(&self.desk).stop(partition, error);
        let stopped = list(&self.hub.topic, [(partition, Offset::Invalid)]);
        if let Err(error) = self.consumer.pause(&stopped) {
            tracing::debug!(%error, topic = self.hub.topic, partition, "cannot pause a stopped partition");
        }
    }

    /// Gives librdkafka the places of partitions that were started within a hook.
    fn place(&mut self) {
        let unplaced: Vec<_> = {
            let mut desk = lock(&self.desk);
            let unplaced = std::mem::take(&mut desk.unplaced);
            let next = |partition| Some((partition, desk.seats.get(&partition)?.next?));
            unplaced.into_iter().filter_map(next).collect()
        };
        for (partition, next) in unplaced {
            self.reposition(partition, next);
        }
    }

    /// Makes librdkafka fetch from an offset.
    fn position(&self, partition: i32, next: i64) -> Result<(), KafkaError> {
        let place = list(&self.hub.topic, [(partition, Offset::Offset(next))]);
        if self.plan.group.is_none() {
            let assigned = self.consumer.assignment()?;
            if assigned.find_partition(&self.hub.topic, partition).is_some() {
                self.consumer.incremental_unassign(&place)?;
            }
            self.consumer.incremental_assign(&place)?;
            // Assigned anew, it may still be paused from when it was stopped.
            return self.consumer.resume(&place);
        }
        let deadline = clock::now() + self.plan.kafka.connect_timeout;
        loop {
            // A partition only just assigned refuses to seek until librdkafka has begun with it.
            match self.consumer.seek(&self.hub.topic, partition, Offset::Offset(next), POLL_INTERVAL * 50) {
                Ok(()) => break,
                Err(error) if clock::now() >= deadline => return Err(error),
                Err(_) => self.hub.wake.park(SEEK_RETRY, || false),
            }
        }
        self.consumer.resume(&place)
    }

    fn reposition(&mut self, partition: i32, next: i64) {
        if let Err(error) = self.position(partition, next) {
            tracing::warn!(%error, topic = self.hub.topic, partition, "cannot seek; the watchdog looks again");
        }
    }

    fn commit(&mut self) {
        if clock::now().saturating_duration_since(self.committed_at) >= COMMIT_INTERVAL {
            self.commit_now(CommitMode::Async);
        }
    }

    fn commit_now(&mut self, mode: CommitMode) {
        self.committed_at = clock::now();
        let mut commits = std::mem::take(&mut self.hub.inbox().commits);
        {
            let desk = lock(&self.desk);
            commits.retain(|partition, _| desk.seats.contains_key(partition));
        }
        if commits.is_empty() {
            return;
        }
        let offsets = commits.into_iter().map(|(partition, next)| (partition, Offset::Offset(next)));
        if let Err(error) = self.consumer.commit(&list(&self.hub.topic, offsets), mode) {
            self.plan.live.commit_errors.add(1);
            tracing::info!(%error, topic = self.hub.topic, "a commit failed; the next one covers it");
        }
    }

    /// Looks for what librdkafka does not come back from by itself.
    fn watch(&mut self) {
        let (now, after) = (clock::now(), self.plan.kafka.watchdog_after);
        if now.saturating_duration_since(self.checked_at) < watch_interval(&self.plan) {
            return;
        }
        self.checked_at = now;
        let lasts = |since: Instant| now.saturating_duration_since(since) >= after;
        let astray = lock(&self.desk).astray_since.is_some_and(lasts);
        if astray && self.answers_another(|client, wait| client.fetch_metadata(Some(&self.hub.topic), wait)) {
            self.rebuild("the group's coordinator is not found, and the broker answers another client");
            return;
        }
        let resting: Vec<_> = {
            let desk = lock(&self.desk);
            let resting = desk
                .seats
                .iter()
                .filter(|(_, seat)| now.saturating_duration_since(seat.moved) >= watch_interval(&self.plan));
            resting.filter_map(|(&partition, seat)| Some((partition, seat.next?, seat.moved))).collect()
        };
        let mut may_probe = true;
        for (partition, next, moved) in resting {
            let bounds = self.bounds(partition);
            let unanswered_since = {
                let mut desk = lock(&self.desk);
                let Some(seat) = desk.seats.get_mut(&partition) else { continue };
                if bounds.is_ok() {
                    seat.unanswered_since = None;
                } else {
                    // While the broker is away it need not move, and another consumer would not help.
                    seat.moved = now;
                    seat.unanswered_since.get_or_insert(now);
                }
                seat.unanswered_since
            };
            match bounds {
                Ok((first, end)) if first > next || end < next => self.check_trimmed(partition),
                Ok((_, end)) if end > next => {
                    if lasts(moved) {
                        self.rebuild("a partition has records but does not move");
                        return;
                    }
                }
                Ok(_) => {
                    if let Some(seat) = lock(&self.desk).seats.get_mut(&partition) {
                        seat.moved = now;
                    }
                }
                // One question to another client has to do: each may take as long as the broker is waited for.
                Err(_) if unanswered_since.is_some_and(lasts) && std::mem::take(&mut may_probe) => {
                    let topic = &self.hub.topic;
                    if self.answers_another(|client, wait| client.fetch_watermarks(topic, partition, wait)) {
                        self.rebuild("a partition's bounds are told to another client only");
                        return;
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Whether a client that is new gets an answer where this one gets none.
    fn answers_another<T>(
        &self,
        question: impl FnOnce(&BaseConsumer, Duration) -> Result<T, KafkaError>,
    ) -> bool {
        let client: Result<BaseConsumer, _> = client_config(&self.plan.kafka).create();
        client.and_then(|client| question(&client, self.plan.kafka.connect_timeout)).is_ok()
    }

    /// Throws the consumer away and builds another, which goes on where this one was.
    fn rebuild(&mut self, reason: &str) {
        self.closing.retain(|thread| !thread.is_finished());
        if self.closing.len() >= CLOSING_MAX {
            tracing::warn!(
                reason,
                topic = self.hub.topic,
                closing = self.closing.len(),
                "another consumer is needed, but those thrown away before are still closing; restart this process"
            );
            return;
        }
        tracing::warn!(reason, topic = self.hub.topic, "building another consumer");
        self.plan.live.consumer_restarts.add(1);
        if self.plan.group.is_some() {
            let mut desk = lock(&self.desk);
            let all: Vec<_> = desk.seats.keys().copied().collect();
            for partition in all {
                desk.revoke(partition);
            }
        }
        let (consumer, retired) = match build(&self.plan, &self.hub, &self.desk) {
            Ok(built) => built,
            Err(error) => {
                let error = self.hub.failed("open another consumer of", &error);
                lock(&self.desk).say(Err(error));
                return;
            }
        };
        self.retired.store(true, Ordering::Release);
        self.closing.extend(drop_aside(std::mem::replace(&mut self.consumer, consumer)));
        self.retired = retired;
        lock(&self.desk).astray_since = None;
        let started: Vec<_> = lock(&self.desk).started().collect();
        for (partition, next) in started {
            self.reposition(partition, next);
            if let Some(seat) = lock(&self.desk).seats.get_mut(&partition) {
                seat.moved = clock::now();
                seat.unanswered_since = None;
            }
        }
    }
}

/// Closing a consumer that hangs must not hang its successor.
fn drop_aside(consumer: BaseConsumer<Hooks>) -> Option<JoinHandle<()>> {
    let aside = std::thread::Builder::new().name("log-consumer-close".to_owned()).spawn(move || {
        consumer.unsubscribe();
        drop(consumer);
    });
    if let Err(error) = &aside {
        tracing::warn!(%error, "no thread to close the old consumer; it was closed in place");
    }
    aside.ok()
}

#[derive(Debug, PartialEq, Eq)]
enum Accepted {
    Yes,
    /// Its offset is farther on than expected, and a reset could be why.
    No,
}

/// Takes a message into its batch if it is the next one of a started partition.
fn accept(message: &BorrowedMessage<'_>, desk: &Mutex<Desk>, jumps_are_suspect: bool) -> Accepted {
    let (partition, offset) = (message.partition(), message.offset());
    let mut desk = lock(desk);
    let Some(seat) = desk.seats.get_mut(&partition) else { return Accepted::Yes };
    let Some(next) = seat.next else { return Accepted::Yes };
    if offset < next {
        // Left over from before the partition was started elsewhere.
        return Accepted::Yes;
    }
    if offset > next && jumps_are_suspect {
        return Accepted::No;
    }
    seat.next = Some(offset + 1);
    seat.moved = clock::now();
    desk.batches.push(message);
    Accepted::Yes
}
