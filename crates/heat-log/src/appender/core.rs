//! The queue between an appender and its engine's thread.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use heat_ledger::durable::{Marks, StreamId, Ticket};
use heat_model::PartitionId;
use tokio::sync::{Notify, watch};

use super::{AppendError, AppendRecord, Health, TryAppendError};
use crate::{clock, settings::AppenderSettings, stats::Live};

/// A record that the engine has to make durable.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) stream: u32,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Bytes,
}

impl Queued {
    pub(crate) fn size_bytes(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// Wakes an engine's thread, at the cost of a system call only when it sleeps.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    thread: OnceLock<Thread>,
    parked: AtomicBool,
}

impl Wake {
    /// Called once by the thread itself, before it parks.
    pub(crate) fn register(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    pub(crate) fn wake(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until woken or timed out, unless `has_work` says that a wake-up would be missed.
    pub(crate) fn park(&self, timeout: Duration, has_work: impl FnOnce() -> bool) {
        self.parked.store(true, Ordering::SeqCst);
        if !has_work() {
            std::thread::park_timeout(timeout);
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct TopicStreams {
    name: Box<str>,
    first: u32,
    partitions: u32,
}

#[derive(Debug)]
struct State {
    taken: Vec<u64>,
    durable: Vec<u64>,
    queue: Vec<Queued>,
    queued_records: usize,
    queued_bytes: usize,
    closed: Option<Arc<str>>,
    /// When something last became durable, or was taken into an empty queue.
    moved: Instant,
}

/// What clones of an appender and the engine's thread share.
#[derive(Debug)]
pub(crate) struct Core {
    settings: AppenderSettings,
    topics: Vec<TopicStreams>,
    state: Mutex<State>,
    wake: Arc<Wake>,
    generation: AtomicU64,
    progress: Notify,
    space: Notify,
    health: watch::Sender<Health>,
    /// Records are counted under the state's lock, so that whoever sees them durable finds them counted, and none leaves
    /// the queue's gauge before it came.
    live: Arc<Live>,
}

impl Core {
    /// Topics with their numbers of partitions.
    pub(crate) fn new(
        topics: &[(&str, u32)],
        settings: AppenderSettings,
        wake: Arc<Wake>,
        live: Arc<Live>,
    ) -> Self {
        let mut first = 0;
        let topics: Vec<_> = topics
            .iter()
            .map(|&(name, partitions)| {
                let topic = TopicStreams { name: name.into(), first, partitions };
                first += partitions;
                topic
            })
            .collect();
        let streams = first as usize;
        Self {
            settings,
            topics,
            state: Mutex::new(State {
                taken: vec![0; streams],
                durable: vec![0; streams],
                queue: Vec::new(),
                queued_records: 0,
                queued_bytes: 0,
                closed: None,
                moved: clock::now(),
            }),
            wake,
            generation: AtomicU64::new(0),
            progress: Notify::new(),
            space: Notify::new(),
            health: watch::Sender::new(Health::Healthy),
            live,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic: every critical section below only counts and moves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stream(&self, topic: &str, partition: PartitionId) -> Result<StreamId, AppendError> {
        let found = self.topics.iter().find(|streams| *streams.name == *topic);
        let Some(streams) = found else {
            return Err(AppendError::UnknownTopic { topic: topic.to_owned() });
        };
        if partition.0 >= streams.partitions {
            return Err(AppendError::UnknownPartition {
                topic: topic.to_owned(),
                partitions: streams.partitions,
                partition,
            });
        }
        Ok(StreamId(streams.first + partition.0))
    }

    /// Topic and partition of every stream, in order.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&str, PartitionId)> {
        self.topics
            .iter()
            .flat_map(|topic| (0..topic.partitions).map(move |number| (&*topic.name, PartitionId(number))))
    }

    pub(crate) fn settings(&self) -> &AppenderSettings {
        &self.settings
    }

    fn check(&self, state: &State, bytes: usize) -> Result<bool, AppendError> {
        if let Some(cause) = &state.closed {
            return Err(AppendError::Closed { cause: Arc::clone(cause) });
        }
        if bytes > self.settings.record_max_bytes {
            return Err(AppendError::TooLarge { bytes, max: self.settings.record_max_bytes });
        }
        Ok(state.queued_records == 0
            || (state.queued_records < self.settings.queue_max_records
                && state.queued_bytes + bytes <= self.settings.queue_max_bytes))
    }

    fn take(state: &mut State, stream: StreamId, record: AppendRecord) -> Ticket {
        if state.queued_records == 0 {
            state.moved = clock::now();
        }
        let taken = &mut state.taken[stream.0 as usize];
        let ticket = Ticket { stream, number: *taken };
        *taken += 1;
        state.queued_records += 1;
        state.queued_bytes += record.size_bytes();
        state.queue.push(Queued { stream: stream.0, key: record.key, payload: record.payload });
        ticket
    }

    pub(crate) fn admit(&self, stream: StreamId, record: AppendRecord) -> Result<Ticket, TryAppendError> {
        let bytes = record.size_bytes();
        let mut state = self.lock();
        if !self.check(&state, bytes).map_err(TryAppendError::Refused)? {
            return Err(TryAppendError::Full(record));
        }
        let ticket = Self::take(&mut state, stream, record);
        self.live.queued_records.add(1);
        self.live.queued_bytes.add(bytes as u64);
        drop(state);
        self.wake.wake();
        Ok(ticket)
    }

    pub(crate) fn admit_batch(
        &self,
        topic: &str,
        records: &mut VecDeque<AppendRecord>,
        tickets: &mut Vec<Ticket>,
    ) -> Result<(), AppendError> {
        let (mut count, mut total) = (0, 0);
        let mut state = self.lock();
        let mut outcome = Ok(());
        while let Some(record) = records.pop_front() {
            let bytes = record.size_bytes();
            let stream = self
                .stream(topic, record.partition)
                .and_then(|stream| self.check(&state, bytes).map(|fits| fits.then_some(stream)));
            match stream {
                Ok(Some(stream)) => {
                    tickets.push(Self::take(&mut state, stream, record));
                    count += 1;
                    total += bytes as u64;
                }
                Ok(None) => {
                    records.push_front(record);
                    break;
                }
                Err(error) => {
                    records.push_front(record);
                    outcome = Err(error);
                    break;
                }
            }
        }
        if count > 0 {
            self.live.queued_records.add(count);
            self.live.queued_bytes.add(total);
        }
        drop(state);
        if count > 0 {
            self.wake.wake();
        }
        outcome
    }

    pub(crate) async fn ready(&self, bytes: usize) -> Result<(), AppendError> {
        loop {
            let notified = self.space.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let state = self.lock();
                if self.check(&state, bytes)? {
                    return Ok(());
                }
            }
            notified.await;
        }
    }

    pub(crate) fn read_marks(&self, marks: &mut Marks) {
        let state = self.lock();
        for (stream, &count) in (0..).zip(&state.durable) {
            marks.raise(StreamId(stream), count);
        }
    }

    pub(crate) async fn progressed(&self, seen: &AtomicU64) -> Result<(), AppendError> {
        loop {
            let notified = self.progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let generation = self.generation.load(Ordering::Acquire);
            if seen.swap(generation, Ordering::Relaxed) != generation {
                return Ok(());
            }
            if let Some(cause) = &self.lock().closed {
                return Err(AppendError::Closed { cause: Arc::clone(cause) });
            }
            notified.await;
        }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn queued(&self) -> (usize, usize) {
        let state = self.lock();
        (state.queued_records, state.queued_bytes)
    }

    fn taken(&self) -> Vec<u64> {
        self.lock().taken.clone()
    }

    /// Waits until everything taken so far is durable; an error if the appender is closed first.
    pub(crate) async fn flush(&self) -> Result<(), AppendError> {
        let taken = self.taken();
        let seen = AtomicU64::new(0);
        while !self.all_durable(&taken) {
            self.progressed(&seen).await?;
        }
        Ok(())
    }

    fn all_durable(&self, taken: &[u64]) -> bool {
        self.lock().durable.iter().zip(taken).all(|(durable, taken)| durable >= taken)
    }

    /// Refuses everything further. What is queued stays so, and never becomes durable unless the engine still does it.
    pub(crate) fn close(&self, cause: &str) {
        self.lock().closed.get_or_insert_with(|| cause.into());
        self.space.notify_waiters();
        self.progress.notify_waiters();
        self.wake.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    /// For the engine: moves what was taken since to `into`, in order.
    pub(crate) fn drain(&self, into: &mut Vec<Queued>) {
        let mut state = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut state.queue, into);
        } else {
            into.append(&mut state.queue);
        }
    }

    /// For the engine: whether something waits to be drained.
    pub(crate) fn has_work(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    /// For the engine: so many more records of each stream are durable, so many bytes in all. One wake-up for all.
    pub(crate) fn advance(&self, by: impl Iterator<Item = (u32, u64)>, bytes: usize) {
        let mut state = self.lock();
        let mut records = 0;
        for (stream, count) in by {
            let durable = state.durable[stream as usize] + count;
            debug_assert!(durable <= state.taken[stream as usize], "a mark passed the last ticket");
            state.durable[stream as usize] = durable;
            records += count;
        }
        if records == 0 {
            return;
        }
        state.queued_records -= usize::try_from(records).expect("as many were counted in as usize");
        state.queued_bytes -= bytes;
        state.moved = clock::now();
        self.live.queued_records.subtract(records);
        self.live.queued_bytes.subtract(bytes as u64);
        self.live.appended_records.add(records);
        self.live.appended_bytes.add(bytes as u64);
        drop(state);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.progress.notify_waiters();
        self.space.notify_waiters();
    }

    /// For the engine: for how long nothing has moved although something is queued.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let state = self.lock();
        (state.queued_records > 0).then(|| clock::now().saturating_duration_since(state.moved))
    }

    /// For the engine: it does not go on at present. The first cause since it was healthy keeps its time.
    pub(crate) fn stalled(&self, reason: &str) {
        self.health.send_if_modified(|health| match health {
            Health::Stalled { reason: known, .. } => {
                let changed = **known != *reason;
                if changed {
                    *known = reason.into();
                }
                changed
            }
            Health::Healthy => {
                *health = Health::Stalled { since: clock::now(), reason: reason.into() };
                self.live.stalls.add(1);
                self.live.stalled_appenders.add(1);
                tracing::warn!(reason, "appending stalled; records are kept and tried again");
                true
            }
        });
    }

    /// For the engine: it goes on.
    pub(crate) fn healthy(&self) {
        self.health.send_if_modified(|health| {
            let Health::Stalled { since, .. } = health else { return false };
            let stalled_seconds = clock::now().saturating_duration_since(*since).as_secs_f64();
            tracing::info!(stalled_seconds, "appending goes on");
            self.live.stalled_appenders.subtract(1);
            *health = Health::Healthy;
            true
        });
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let (records, bytes) = self.queued();
        self.live.queued_records.subtract(records as u64);
        self.live.queued_bytes.subtract(bytes as u64);
        if matches!(*self.health.borrow(), Health::Stalled { .. }) {
            self.live.stalled_appenders.subtract(1);
        }
    }
}
