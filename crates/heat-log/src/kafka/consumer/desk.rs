//! What the consumer's thread and librdkafka's rebalance hooks (run by that thread inside `poll`) work on.
//!
//! A caller takes its events one after the other: before it releases a revoked partition it may start others, and waits
//! for the answer. The hook that waits for the release answers, or each would wait for the other.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
};
use tokio::sync::mpsc;

use super::{Hub, Reading, Start, Told, batch::Batches};
use crate::{
    clock,
    consumer::{LogEvent, ReadError, StartFrom},
    kafka::{context::Watcher, next_offset, offset_number, partition_id, partition_number},
    stats::Live,
};

/// Between looks at whether the caller has released a revoked partition.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// An assigned partition.
#[derive(Debug)]
pub(super) struct Seat {
    /// The next offset to be read, once started.
    pub(super) next: Option<i64>,
    /// Which start that was.
    pub(super) reading: Option<Reading>,
    /// When it last moved, was seen at the end, or could not be looked at.
    pub(super) moved: Instant,
    /// Since when the broker does not tell its bounds.
    pub(super) unanswered_since: Option<Instant>,
}

impl Seat {
    /// Read from `next` on, if it is started.
    fn new(reading: Option<Reading>, next: Option<i64>) -> Self {
        Self { next, reading, moved: clock::now(), unanswered_since: None }
    }
}

/// What is assigned, and what waits to be said.
pub(super) struct Desk {
    pub(super) seats: BTreeMap<i32, Seat>,
    pub(super) batches: Batches,
    /// Started, and librdkafka has not been told from where.
    pub(super) unplaced: BTreeSet<i32>,
    /// Since when librdkafka says that it has no coordinator of the group.
    pub(super) astray_since: Option<Instant>,
    outbox: VecDeque<Told>,
    events: mpsc::Sender<Told>,
}

impl Desk {
    pub(super) fn new(events: mpsc::Sender<Told>) -> Self {
        Self {
            seats: BTreeMap::new(),
            batches: Batches::default(),
            unplaced: BTreeSet::new(),
            astray_since: None,
            outbox: VecDeque::new(),
            events,
        }
    }

    pub(super) fn say(&mut self, event: Result<LogEvent, ReadError>) {
        self.outbox.push_back(Told { of: None, event });
    }

    /// Ends the reading of a partition, and says why after what was read.
    pub(super) fn stop(&mut self, partition: i32, error: ReadError) {
        self.flush();
        let Some(seat) = self.seats.get_mut(&partition) else { return };
        seat.next = None;
        let of = seat.reading.map(|reading| (partition_id(partition), reading));
        self.outbox.push_back(Told { of, event: Err(error) });
    }

    /// Hands over as much as there is room for; true if nothing is left.
    pub(super) fn hand_over(&mut self, live: &Live) -> bool {
        while let Ok(permit) = self.events.try_reserve() {
            let Some(told) = self.outbox.pop_front() else { return true };
            if let Ok(LogEvent::Records { records, .. }) = &told.event {
                live.read_records.add(records.len() as u64);
                live.read_bytes.add(records.iter().map(|record| record.size_bytes() as u64).sum());
            }
            permit.send(told);
        }
        self.outbox.is_empty()
    }

    pub(super) fn has_reader(&self) -> bool {
        !self.events.is_closed()
    }

    /// Closes the open batches.
    pub(super) fn flush(&mut self) {
        for (partition, records) in self.batches.drain() {
            let reading = self.seats.get(&partition).and_then(|seat| seat.reading);
            let of = reading.map(|reading| (partition_id(partition), reading));
            self.outbox.push_back(Told { of, event: Ok(records) });
        }
    }

    pub(super) fn assign(&mut self, partition: i32) {
        self.seats.insert(partition, Seat::new(None, None));
        self.say(Ok(LogEvent::Assigned(partition_id(partition))));
    }

    /// Takes a partition away; what was read of it comes before the notice.
    pub(super) fn revoke(&mut self, partition: i32) -> bool {
        if !self.seats.contains_key(&partition) {
            return false;
        }
        self.flush();
        self.seats.remove(&partition);
        self.say(Ok(LogEvent::Revoked(partition_id(partition))));
        true
    }

    /// Begins the reading of a partition at an offset; false if it is not assigned any more.
    pub(super) fn begin(&mut self, partition: i32, reading: Reading, next: i64) -> bool {
        self.batches.forget(partition);
        let Some(seat) = self.seats.get_mut(&partition) else { return false };
        *seat = Seat::new(Some(reading), Some(next));
        true
    }

    /// The partitions being read, with their next offsets.
    pub(super) fn started(&self) -> impl Iterator<Item = (i32, i64)> {
        self.seats.iter().filter_map(|(&partition, seat)| Some((partition, seat.next?)))
    }
}

/// The consumer's context.
pub(super) struct Hooks {
    pub(super) watcher: Watcher,
    pub(super) live: Arc<Live>,
    pub(super) hub: Arc<Hub>,
    pub(super) desk: Arc<Mutex<Desk>>,
    pub(super) revoke_max_wait: Duration,
    pub(super) connect_timeout: Duration,
    /// The consumer is being thrown away, and has no say any more.
    pub(super) retired: Arc<AtomicBool>,
}

pub(super) fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn list(topic: &str, offsets: impl IntoIterator<Item = (i32, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        // Offsets stem from librdkafka or fit i64; one that it refused would stay "invalid", and be refused in use.
        list.add_partition_offset(topic, partition, offset).ok();
    }
    list
}

/// Starts a partition and answers who asked for it. `place` makes librdkafka read from the offset. A start that fails leaves
/// the partition stopped.
pub(super) fn begin_reading(
    start: Start,
    (hub, desk): (&Hub, &Mutex<Desk>),
    (consumer, max_wait): (&BaseConsumer<Hooks>, Duration),
    place: impl FnOnce(i32, i64) -> KafkaResult<()>,
) {
    let Start { partition, reading, from, reply } = start;
    let number = partition_number(partition);
    let is_assigned = match lock(desk).seats.get_mut(&number) {
        Some(seat) => {
            seat.next = None;
            true
        }
        None => false,
    };
    let started = || {
        if !is_assigned {
            return Err(hub.not_assigned(partition));
        }
        let bounds = consumer.fetch_watermarks(&hub.topic, number, max_wait);
        let (first, end) = bounds.map_err(|error| hub.failed("look up the bounds of", &error))?;
        let next = match from {
            StartFrom::Beginning => first,
            StartFrom::End => end,
            StartFrom::Offset(asked) => offset_number(asked),
        };
        if let Some(error) = hub.out_of_bounds(partition, next, (first, end)) {
            return Err(error);
        }
        place(number, next).map_err(|error| hub.failed("seek in", &error))?;
        let has_begun = lock(desk).begin(number, reading, next);
        if has_begun { Ok(next_offset(next)) } else { Err(hub.not_assigned(partition)) }
    };
    // A caller that no longer waits for the answer has dropped the call; the partition is started all the same.
    reply.send(started()).ok();
}

impl ClientContext for Hooks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.watcher.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watcher.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        let Some(group) = statistics.cgrp else { return };
        let mut desk = lock(&self.desk);
        if group.state == "up" {
            desk.astray_since = None;
        } else {
            desk.astray_since.get_or_insert_with(clock::now);
        }
    }
}

impl ConsumerContext for Hooks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        match rebalance {
            Rebalance::Revoke(revoked) => {
                let partitions: Vec<_> =
                    revoked.elements().iter().map(|element| element.partition()).collect();
                self.give_up(consumer, &partitions);
            }
            Rebalance::Error(error) => {
                tracing::warn!(%error, topic = self.hub.topic, "the group cannot rebalance")
            }
            Rebalance::Assign(assigned) => self.hold_back(consumer, assigned),
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        let Rebalance::Assign(assigned) = rebalance else { return };
        let mut desk = lock(&self.desk);
        for element in assigned.elements() {
            desk.assign(element.partition());
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.live.commit_errors.add(1);
            tracing::info!(%error, topic = self.hub.topic, "a commit failed; the next one covers it");
        }
    }
}

impl Hooks {
    /// Lets newly assigned partitions wait until the caller has said from where.
    ///
    /// They are paused before they begin, at an offset given outright. If librdkafka asked for the group's offset first,
    /// its late answer could undo the caller's seek.
    fn hold_back(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) {
        for mut element in assigned.elements() {
            if let Err(error) = element.set_offset(Offset::Offset(0)) {
                tracing::warn!(%error, topic = self.hub.topic, "cannot place a newly assigned partition");
            }
        }
        if let Err(error) = consumer.pause(assigned) {
            tracing::warn!(%error, topic = self.hub.topic, "cannot pause newly assigned partitions");
        }
    }

    /// Tells the caller, waits for it to finish, and commits what it has asked to commit.
    fn give_up(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let mut waiting: Vec<_> = {
            let mut desk = lock(&self.desk);
            partitions.iter().copied().filter(|&partition| desk.revoke(partition)).collect()
        };
        let deadline = clock::now() + self.revoke_max_wait;
        while !waiting.is_empty() {
            let has_reader = {
                let mut desk = lock(&self.desk);
                desk.hand_over(&self.live);
                desk.has_reader()
            };
            {
                let mut inbox = self.hub.inbox();
                waiting.retain(|partition| !inbox.released.contains(partition));
                inbox.released.retain(|partition| !partitions.contains(partition));
            }
            if !has_reader || waiting.is_empty() {
                break;
            }
            if clock::now() >= deadline {
                tracing::warn!(
                    topic = self.hub.topic,
                    ?waiting,
                    "revoked partitions were not released in time and are given up; their reader may repeat work"
                );
                break;
            }
            self.answer_starts(consumer, deadline);
            self.hub.wake.park(RELEASE_POLL, || false);
        }
        let commits: Vec<_> = {
            let mut inbox = self.hub.inbox();
            let take =
                |&partition: &i32| Some((partition, Offset::Offset(inbox.commits.remove(&partition)?)));
            partitions.iter().filter_map(take).collect()
        };
        if !commits.is_empty()
            && let Err(error) = consumer.commit(&list(&self.hub.topic, commits), CommitMode::Sync)
        {
            self.live.commit_errors.add(1);
            tracing::info!(%error, topic = self.hub.topic, "a commit before giving partitions up failed");
        }
    }

    /// Answers the starts that were asked for meanwhile. librdkafka takes no new place within a hook: the partition is paused,
    /// and the thread gives it its place afterwards.
    fn answer_starts(&self, consumer: &BaseConsumer<Self>, deadline: Instant) {
        let starts = std::mem::take(&mut self.hub.inbox().starts);
        for asked in starts {
            let left = deadline.saturating_duration_since(clock::now()).min(self.connect_timeout);
            begin_reading(asked, (&self.hub, &self.desk), (consumer, left), |partition, _| {
                consumer.pause(&list(&self.hub.topic, [(partition, Offset::Invalid)]))?;
                lock(&self.desk).unplaced.insert(partition);
                Ok(())
            });
        }
    }
}
