//! Storing a partition's state while its records go on.
//!
//! The state is copied between two records. A task encodes the copy chunk by chunk and appends the chunks at a pace, then
//! the pointer; the upstream offset is committed when the loop hears of it. Outputs caused before the cut and all chunks are
//! durable before the pointer is appended, and until then the pointer before it holds, whose chunks stay: a crash at any
//! time restarts from the last state that is whole.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use heat_log::{AppendError, Appender, AppenderSettings, Consumer, Log, topics};
use heat_model::{AppendTime, Offset, PartitionId, record::NextOffset};
use heat_runtime::{Clock, admin::Health};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Processor, RunError, Running};
use crate::{
    settings::ProcessorSettings,
    snapshot::{Cut, POINTER_KEY, chunk_key},
};

const PART: &str = "processor_snapshots";
/// A partition rests so many times as long as its last snapshot took: each takes a tenth of the time at most, and so a tenth
/// of the pace in bytes.
const REST: u32 = 9;
/// Longest rest; well below the age at which `HeatProcessorSnapshotOld` warns.
const REST_MAX: Duration = Duration::from_mins(5);
/// Chunks taken and not yet durable. They have a queue of their own, so that an output never waits behind a whole state.
const QUEUE_MAX_BYTES: usize = 4 << 20;

/// Settings of the appender that chunks and pointers go through.
pub(super) fn appender_settings() -> AppenderSettings {
    AppenderSettings { queue_max_bytes: QUEUE_MAX_BYTES, ..AppenderSettings::default() }
}

/// What was said before a restart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// The last record that something was said of.
    pub(super) last: Offset,
    /// From where in the outputs it was found.
    pub(super) from: NextOffset,
}

/// The stored states of one partition.
#[derive(Debug)]
pub(super) struct States {
    /// How many chunks of each generation the topic may hold.
    chunks: BTreeMap<u64, u32>,
    /// The newest that is whole, and where the input resumes from it.
    whole: Option<(u64, NextOffset)>,
    /// The last number given.
    generation: u64,
    /// What was said before the restart.
    said: Option<Said>,
    /// An end of the outputs that was seen before whatever is said from here on.
    outputs_next: NextOffset,
    /// The log's time at the last cut.
    cut_at: AppendTime,
    rests_until: Option<Instant>,
    /// Generation and chunks so far of the one that `task` writes.
    under_way: Option<(u64, Arc<AtomicU32>)>,
    task: JoinSet<Result<Written, RunError>>,
}

impl States {
    /// Goes on from what the topic holds. `generation` is one that no owner of the partition has given a snapshot.
    pub(super) fn new(
        chunks: BTreeMap<u64, u32>,
        whole: Option<(u64, NextOffset)>,
        generation: u64,
        (said, outputs_next): (Option<Said>, NextOffset),
        now: AppendTime,
    ) -> Self {
        let (rests_until, under_way, task) = (None, None, JoinSet::new());
        Self { chunks, whole, generation, said, outputs_next, cut_at: now, rests_until, under_way, task }
    }

    /// From where what is said of `next` and later records is found. A snapshot may be taken before the records of all that
    /// was said are taken again, and another crash must find that, too.
    fn outputs_from(&self, next: NextOffset) -> NextOffset {
        match self.said {
            // What time brings after a record has its place, too, until the next one.
            Some(Said { last, from }) if next <= last.next() => from,
            Some(_) | None => self.outputs_next,
        }
    }

    /// Whether it is time for a snapshot. `now` is the log's.
    fn is_due(&mut self, settings: &ProcessorSettings, now: AppendTime, clock: Clock) -> bool {
        if self.cut_at.as_micros() == 0 {
            self.cut_at = now;
        }
        now.since(self.cut_at) >= settings.snapshot_interval
            && self.rests_until.is_none_or(|until| clock.instant() >= until)
    }

    /// Whether the newest that is whole holds all records before `next`.
    fn covers(&self, next: NextOffset) -> bool {
        self.whole.is_some_and(|(_, resume)| resume == next)
    }

    /// Gives up the snapshot under way; nothing of it is appended after this.
    async fn give_up(&mut self) {
        self.task.shutdown().await;
        if let Some((generation, chunks)) = self.under_way.take() {
            self.chunks.insert(generation, chunks.load(Ordering::Relaxed));
        }
    }

    /// It is whole: what is older than the one before it is gone.
    fn written(&mut self, written: &Written, clock: Clock) {
        let before = self.whole.map(|(generation, _)| generation);
        self.chunks.retain(|generation, _| Some(*generation) == before);
        self.chunks.insert(written.generation, written.chunks);
        self.whole = Some((written.generation, written.input_next));
        self.outputs_next = written.outputs_next;
        self.under_way = None;
        self.rests_until = Some(clock.instant() + (written.took * REST).min(REST_MAX));
    }
}

/// What is known of a snapshot once its pointer is durable.
#[derive(Debug)]
pub(super) struct Written {
    generation: u64,
    input_next: NextOffset,
    /// The outputs' end after that.
    outputs_next: NextOffset,
    chunks: u32,
    bytes: u64,
    /// From the cut.
    took: Duration,
}

/// The next snapshot of any partition that is whole. Cancel-safe.
pub(super) async fn next_written(
    parts: &mut BTreeMap<PartitionId, Running>,
) -> Result<(PartitionId, Written), RunError> {
    let (partition, joined) = poll_fn(|context| {
        for (partition, running) in parts.iter_mut() {
            if let Poll::Ready(Some(joined)) = running.states.task.poll_join_next(context) {
                return Poll::Ready((*partition, joined));
            }
        }
        Poll::Pending
    })
    .await;
    match joined {
        Ok(written) => Ok((partition, written?)),
        // Given up it is not waited for, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Processor {
    /// Begins a snapshot of this partition where one is due. One at a time, so that the process holds one copy and the pace
    /// is that of all.
    pub(super) fn store_if_due(&self, partition: PartitionId, parts: &mut BTreeMap<PartitionId, Running>) {
        if parts.values().any(|running| !running.states.task.is_empty()) {
            return;
        }
        let Some(running) = parts.get_mut(&partition) else { return };
        let (next, now) = (running.part.next_offset(), running.part.core().now());
        if !running.states.covers(next) && running.states.is_due(&self.settings, now, self.clock) {
            let pace = self.settings.snapshot_bytes_per_second;
            let writing = self.cut(partition, running).write(Some(pace));
            running.states.task.spawn(writing);
        }
    }

    /// Stores the state as it is now, in place of a snapshot under way, and waits until that is done.
    pub(super) async fn store(
        &self,
        consumer: &mut Consumer,
        partition: PartitionId,
        running: &mut Running,
    ) -> Result<(), RunError> {
        running.states.give_up().await;
        // Whatever the one given up waited for, nothing waits for it now.
        self.health.set(PART, true, "");
        if running.states.covers(running.part.next_offset()) {
            return Ok(());
        }
        let written = self.cut(partition, running).write(None).await?;
        self.stored(consumer, partition, running, &written)
    }

    /// Takes note of a snapshot that is whole, and commits what it covers.
    pub(super) fn stored(
        &self,
        consumer: &mut Consumer,
        partition: PartitionId,
        running: &mut Running,
        written: &Written,
    ) -> Result<(), RunError> {
        running.states.written(written, self.clock);
        consumer.commit(partition, written.input_next)?;
        let number = partition.0.to_string();
        let metrics = &self.metrics;
        metrics.snapshots.inc();
        let bytes = i64::try_from(written.bytes).unwrap_or(i64::MAX);
        metrics.snapshot_bytes.with_label_values(&[&number]).set(bytes);
        metrics.snapshot_seconds.with_label_values(&[&number]).set(written.took.as_secs_f64());
        metrics.last_snapshot.with_label_values(&[&number]).set(self.clock.now().second());
        Ok(())
    }

    fn cut(&self, partition: PartitionId, running: &mut Running) -> Writing {
        let begun = self.clock.instant();
        let Running { part, states, .. } = running;
        let next = part.next_offset();
        states.generation += 1;
        states.cut_at = part.core().now();
        let appended = Arc::new(AtomicU32::new(0));
        states.under_way = Some((states.generation, Arc::clone(&appended)));
        let whole = states.whole.map(|(generation, _)| generation);
        let gone = states.chunks.iter().filter(|(generation, _)| Some(**generation) != whole);
        let writing = Writing {
            partition,
            cut: Cut::of(part.core(), states.generation, next, states.outputs_from(next)),
            generation: states.generation,
            input_next: next,
            gone: gone.map(|(generation, chunks)| (*generation, *chunks)).collect(),
            appended,
            begun,
            outputs: self.appender.clone(),
            states: self.states.clone(),
            log: self.log.clone(),
            clock: self.clock,
            health: self.health.clone(),
        };
        let pause = self.clock.instant().saturating_duration_since(begun);
        let number = partition.0.to_string();
        self.metrics.snapshot_pause.with_label_values(&[&number]).set(pause.as_secs_f64());
        writing
    }
}

/// A snapshot to be written.
struct Writing {
    partition: PartitionId,
    cut: Cut,
    generation: u64,
    input_next: NextOffset,
    /// Generations and their chunks that are deleted once this one is whole.
    gone: Vec<(u64, u32)>,
    /// Chunks of this one so far; one is counted before it is appended.
    appended: Arc<AtomicU32>,
    begun: Instant,
    outputs: Appender,
    states: Appender,
    log: Log,
    clock: Clock,
    health: Health,
}

impl Writing {
    /// Chunks, then, after the outputs, the pointer. `pace` is in bytes a second.
    async fn write(self, pace: Option<u32>) -> Result<Written, RunError> {
        let Self { partition, cut, generation, input_next, gone, appended, begun, .. } = self;
        let log = (&self.outputs, &self.states);
        let (sender, mut chunks) = mpsc::channel::<Bytes>(1);
        let encoding =
            tokio::task::spawn_blocking(move || cut.encode(|chunk| sender.blocking_send(chunk).is_ok()));
        let mut bytes = 0;
        while let Some(chunk) = chunks.recv().await {
            let length = chunk.len();
            bytes += length as u64;
            let number = appended.fetch_add(1, Ordering::Relaxed);
            append(log.1, partition, chunk_key(generation, number), chunk).await?;
            if let Some(pace) = pace {
                tokio::time::sleep(Duration::from_secs_f64(length as f64 / f64::from(pace))).await;
            }
        }
        let encoded = encoding.await.expect("encoding does not panic, and nobody aborts it");
        let pointer = encoded.map_err(|source| RunError::Snapshot { partition, source })?;
        flush(log.0, &self.health).await?;
        flush(log.1, &self.health).await?;
        let pointer = serde_json::to_vec(&pointer).expect("a pointer has string keys only");
        append(log.1, partition, POINTER_KEY.to_owned(), pointer.into()).await?;
        flush(log.1, &self.health).await?;
        let took = self.clock.instant().saturating_duration_since(begun);
        for (generation, chunks) in gone {
            for number in 0..chunks {
                append(log.1, partition, chunk_key(generation, number), Bytes::new()).await?;
            }
        }
        let outputs_next = self.log.bounds_in_time(topics::INCIDENT_EVENTS, partition).await?.end;
        let chunks = appended.load(Ordering::Relaxed);
        Ok(Written { generation, input_next, outputs_next, chunks, bytes, took })
    }
}

async fn append(
    states: &Appender,
    partition: PartitionId,
    key: String,
    payload: Bytes,
) -> Result<(), AppendError> {
    states.append(topics::STATE, partition, Some(key.into()), payload).await?;
    Ok(())
}

/// Waits until all that was appended so far is durable, however long the log is stalled.
async fn flush(appender: &Appender, health: &Health) -> Result<(), AppendError> {
    let mut stalled = false;
    while !appender.flush(Duration::from_secs(5)).await? {
        health.set(PART, false, "{\"log\":\"stalled\"}");
        tracing::warn!("a snapshot waits for the log");
        stalled = true;
    }
    if stalled {
        health.set(PART, true, "");
    }
    Ok(())
}
