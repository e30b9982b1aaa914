//! The one thread that writes: it drains all appenders' queues, writes a group, syncs each touched file once, and only
//! then lets readers see it and raises the marks.
//!
//! A failed write or sync keeps the group: the file is cut back to its durable length (so that no partial frame stays,
//! and pages that the kernel gave up on are written anew) and the group is tried again, until there is space, or the
//! log is closed.

use std::{
    io,
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
    vec,
};

use super::{
    Shared,
    frame::{encode, frame_bytes},
    partition::Partition,
    segment::Segment,
};
use crate::{
    appender::{Core, Queued},
    clock,
};

/// Most bytes of a group, so that a group's buffers stay small and no mark waits long.
const GROUP_MAX_BYTES: usize = 8 << 20;
/// First wait after a failed write.
const RETRY_FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// Longest sleep without work.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// A larger buffer is given back after its group.
const BUFFER_KEEP_BYTES: usize = 1 << 20;

/// A partition as the writer sees it.
#[derive(Debug)]
struct Target {
    partition: Arc<Partition>,
    active: Arc<Segment>,
    last_time_us: i64,
    next_offset: u64,
    /// Frames of the present group, not yet durable.
    buffer: Vec<u8>,
    first_in_buffer: u64,
    written: bool,
}

/// An appender as the writer sees it.
struct Source {
    core: Arc<Core>,
    /// Index of the target of each of its streams.
    targets: Vec<usize>,
    carry: vec::IntoIter<Queued>,
    /// Records of the present group, by stream, and their bytes.
    counts: Vec<u64>,
    bytes: usize,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    targets: Vec<Target>,
    sources: Vec<Source>,
    touched: Vec<usize>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, targets: Vec::new(), sources: Vec::new(), touched: Vec::new() }
    }

    /// Runs until the log is closed and everything queued is durable, or given up.
    pub(super) fn run(mut self) {
        self.shared.wake.register();
        loop {
            self.adopt();
            if self.gather() {
                if !self.make_durable() {
                    break;
                }
                self.publish();
                continue;
            }
            if self.shared.stopping.load(Ordering::Acquire) {
                break;
            }
            let sources = &self.sources;
            let shared = &self.shared;
            shared
                .wake
                .park(IDLE_MAX, || shared.has_news() || sources.iter().any(|source| source.core.has_work()));
        }
    }

    /// Takes on new appenders and partitions; lets go of appenders whose owners are gone.
    fn adopt(&mut self) {
        self.sources.retain(|source| {
            Arc::strong_count(&source.core) > 1 || source.core.queued().0 > 0 || source.carry.len() > 0
        });
        let Some(news) = self.shared.take_news() else { return };
        for (partition, last_time_us) in news.partitions {
            let (active, next_offset) = (partition.active(), partition.end());
            self.targets.push(Target {
                partition,
                active,
                last_time_us,
                next_offset,
                buffer: Vec::new(),
                first_in_buffer: next_offset,
                written: false,
            });
        }
        for core in news.appenders {
            let targets: Vec<_> = core
                .streams()
                .map(|(topic, id)| {
                    self.targets
                        .iter()
                        .position(|target| *target.partition.topic == *topic && target.partition.id == id)
                        .expect(
                            "an appender is opened only for topics whose partitions were announced before",
                        )
                })
                .collect();
            let counts = vec![0; targets.len()];
            self.sources.push(Source { core, targets, carry: Vec::new().into_iter(), counts, bytes: 0 });
        }
    }

    /// Encodes the next group; false if nothing is queued.
    fn gather(&mut self) -> bool {
        let now_us = clock::append_now().as_micros();
        let segment_max = self.shared.settings.segment_max_bytes;
        let group_max = GROUP_MAX_BYTES.min(usize::try_from(segment_max).unwrap_or(usize::MAX));
        let share = group_max / self.sources.len().max(1);
        let mut any = false;
        for source in &mut self.sources {
            if source.carry.len() == 0 {
                let mut queue = Vec::new();
                source.core.drain(&mut queue);
                source.carry = queue.into_iter();
            }
            let mut taken = 0;
            while taken < share.max(1)
                && let Some(record) = source.carry.next()
            {
                let index = source.targets[record.stream as usize];
                let target = &mut self.targets[index];
                if target.buffer.is_empty() {
                    target.begin(now_us, segment_max, &self.shared);
                    self.touched.push(index);
                }
                taken += frame_bytes(&record);
                source.bytes += record.size_bytes();
                source.counts[record.stream as usize] += 1;
                target.push(&record);
                any = true;
            }
        }
        any
    }

    /// Writes and syncs the group, again and again until it is done; false if the log was closed meanwhile.
    fn make_durable(&mut self) -> bool {
        let mut interval = RETRY_FIRST_INTERVAL;
        while let Err((path, error)) = self.try_once() {
            self.shared.live.write_errors.add(1);
            let reason = format!("cannot write {path}: {error}");
            for source in &self.sources {
                source.core.stalled(&reason);
            }
            if self.shared.stopping.load(Ordering::Acquire) && self.shared.abort.load(Ordering::Acquire) {
                tracing::warn!(
                    reason,
                    "the log is closed although records are queued that were never acknowledged"
                );
                return false;
            }
            self.shared.wake.park(interval, || false);
            interval = (interval * 2).min(self.shared.settings.retry_max_interval);
        }
        for source in &self.sources {
            source.core.healthy();
        }
        true
    }

    fn try_once(&mut self) -> Result<(), (String, io::Error)> {
        let outcome = self.write_and_sync();
        if let Err((index, error)) = outcome {
            let path = self.targets[index].active.path.display().to_string();
            for &index in &self.touched {
                let target = &mut self.targets[index];
                target.written = false;
                // If cutting fails too, writing begins at the same place next time, and recovery ignores a torn tail.
                target.active.file.set_len(target.active.length()).ok();
            }
            return Err((path, error));
        }
        Ok(())
    }

    fn write_and_sync(&mut self) -> Result<(), (usize, io::Error)> {
        for &index in &self.touched {
            let target = &mut self.targets[index];
            target
                .active
                .file
                .write_all_at(&target.buffer, target.active.length())
                .map_err(|error| (index, error))?;
            target.written = true;
        }
        for &index in &self.touched {
            self.targets[index].active.file.sync_data().map_err(|error| (index, error))?;
            self.shared.live.syncs.add(1);
        }
        Ok(())
    }

    /// Readers first, then marks: whoever is told that a record is durable can read it.
    fn publish(&mut self) {
        for index in self.touched.drain(..) {
            let target = &mut self.targets[index];
            let length = target.active.length() + target.buffer.len() as u64;
            target.partition.publish(length, target.first_in_buffer, target.next_offset);
            target.partition.grown.notify_waiters();
            target.buffer.clear();
            target.buffer.shrink_to(BUFFER_KEEP_BYTES);
        }
        self.shared.live.groups.add(1);
        for source in &mut self.sources {
            let counts =
                (0..).zip(&source.counts).filter(|(_, count)| **count > 0).map(|(at, count)| (at, *count));
            source.core.advance(counts, source.bytes);
            source.counts.fill(0);
            source.bytes = 0;
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
impl Drop for Writer {
    fn drop(&mut self) {
        for source in &self.sources {
            source.core.close("the log is closed");
        }
        self.shared.refuse_appenders();
        self.shared.writer_ended.send_replace(true);
    }
}

impl Target {
    /// Begins a group: another segment if the active one is full, and the group's append time.
    fn begin(&mut self, now_us: i64, segment_max: u64, shared: &Shared) {
        if self.active.length() >= segment_max || self.is_stale(now_us, shared) {
            match self.partition.roll() {
                Ok(()) => self.active = self.partition.active(),
                // The old segment still takes it; a disk that is really full shows when writing.
                Err(error) => {
                    shared.live.write_errors.add(1);
                    tracing::warn!(%error, dir = %self.partition.dir.display(), "cannot begin another segment");
                }
            }
        }
        self.last_time_us = self.last_time_us.max(now_us);
        self.first_in_buffer = self.next_offset;
    }

    /// Whether retention by age waits for this segment to be closed.
    fn is_stale(&self, now_us: i64, shared: &Shared) -> bool {
        let Some(age) = shared.retention(&self.partition.topic).age else { return false };
        let quarter_us = i64::try_from(age.as_micros() / 4).unwrap_or(i64::MAX);
        self.active.first_time_us().is_some_and(|first| now_us.saturating_sub(first) > quarter_us)
    }

    fn push(&mut self, record: &Queued) {
        encode(
            &mut self.buffer,
            self.active.salt,
            self.next_offset,
            self.last_time_us,
            record.key.as_deref(),
            &record.payload,
        );
        self.next_offset += 1;
    }
}
