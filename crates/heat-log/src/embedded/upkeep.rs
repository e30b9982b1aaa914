//! Retention and compaction, on a thread of their own, so that they never delay the writer.
//!
//! Compaction rewrites closed segments, one by one, without the records that a newer one of the same key replaces. A
//! rewritten segment takes the old one's name by a rename, so a crash leaves the old or the new one; both are right. A
//! segment left without records is merged into the next closed one, which takes over its base.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use heat_model::PartitionId;

use super::{
    Shared,
    frame::encode,
    partition::Partition,
    segment::{self, ChunkLimits, Segment},
};
use crate::{clock, consumer::Record};

/// How long the mark that deletes a key is kept, for readers that are behind.
const TOMBSTONE_KEEP: Duration = Duration::from_hours(24);

/// The thread: looks after every partition at each interval until the log is closed.
pub(super) fn run(shared: &Shared) {
    shared.upkeep_wake.register();
    let mut compactions: BTreeMap<(Arc<str>, PartitionId), Compaction> = BTreeMap::new();
    while !shared.stopping.load(Ordering::Acquire) {
        for topic in shared.all_topics() {
            let keeping = *topic.keeping();
            for partition in &topic.partitions {
                let outcome = if keeping.compacted {
                    compactions
                        .entry((Arc::clone(&topic.name), partition.id))
                        .or_default()
                        .run_if_due(partition)
                } else {
                    partition.retain(keeping.retention).map(drop)
                };
                if let Err(error) = outcome {
                    tracing::warn!(%error, dir = %partition.dir.display(), "upkeep failed; tried again later");
                }
            }
        }
        let interval = shared.settings.upkeep_interval;
        shared.upkeep_wake.park(interval, || shared.stopping.load(Ordering::Acquire));
    }
}

/// Where a partition's compaction stands: how much was closed when it was last done.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    compacted_end: u64,
    compacted_bytes: u64,
}

impl Compaction {
    /// Compacts if what was closed since the last time is at least what was left then.
    pub(super) fn run_if_due(&mut self, partition: &Partition) -> io::Result<()> {
        let _operation = partition.operate();
        let segments = partition.segments();
        let Some((active, closed)) = segments.split_last() else { return Ok(()) };
        let dirty: u64 = closed
            .iter()
            .filter(|segment| segment.base >= self.compacted_end)
            .map(|segment| segment.length())
            .sum();
        if dirty == 0 || dirty < self.compacted_bytes {
            return Ok(());
        }
        let newest = newest_of_keys(partition, &segments)?;
        for segment in closed {
            rewrite(partition, segment, &newest)?;
        }
        merge_empty(partition)?;
        self.compacted_end = active.base;
        self.compacted_bytes = partition
            .segments()
            .iter()
            .filter(|segment| segment.base < self.compacted_end)
            .map(|segment| segment.length())
            .sum();
        Ok(())
    }
}

fn visit(segment: &Segment, mut each: impl FnMut(&Record)) -> io::Result<bool> {
    let (length, mut position, mut expected) = (segment.length(), 0, segment.base);
    let limits = ChunkLimits { records: usize::MAX, bytes: 1 << 20 };
    let mut is_whole = true;
    while position < length {
        let chunk = segment.read_chunk(position, length, expected, 0, limits)?;
        is_whole &= chunk.damage.is_none();
        chunk.records.iter().for_each(&mut each);
        (position, expected) = (chunk.position, chunk.expected);
    }
    Ok(is_whole)
}

/// The newest offset of every key. Grows with the number of keys, which a compacted topic keeps anyway.
fn newest_of_keys(partition: &Partition, segments: &[Arc<Segment>]) -> io::Result<HashMap<Bytes, u64>> {
    let mut newest = HashMap::new();
    for segment in segments {
        visit(segment, |record| {
            if let Some(key) = &record.key {
                match newest.get_mut(key) {
                    Some(offset) => *offset = record.offset.0,
                    // A copy, because the slice would keep the whole chunk.
                    None => {
                        newest.insert(Bytes::copy_from_slice(key), record.offset.0);
                    }
                }
            }
        })?;
    }
    tracing::trace!(topic = %partition.topic, keys = newest.len(), "compacting");
    Ok(newest)
}

fn rewrite(partition: &Partition, old: &Arc<Segment>, newest: &HashMap<Bytes, u64>) -> io::Result<()> {
    let oldest_tombstone = clock::append_now().minus(TOMBSTONE_KEEP);
    let mut kept = Vec::new();
    let is_whole = visit(old, |record| {
        let is_newest = record.key.as_ref().is_none_or(|key| newest.get(key) == Some(&record.offset.0));
        let is_spent =
            record.key.is_some() && record.payload.is_empty() && record.append_time < oldest_tombstone;
        if is_newest && !is_spent {
            let (key, time) = (record.key.as_deref(), record.append_time.as_micros());
            encode(&mut kept, old.salt, record.offset.0, time, key, &record.payload);
        }
    })?;
    // A damaged segment stays as it is, for whoever wants to look into it.
    if !is_whole || kept.len() as u64 == old.length() {
        return Ok(());
    }
    let temporary = old.path.with_extension("rewriting");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(&kept)?;
    file.sync_all()?;
    fs::rename(&temporary, &old.path)?;
    segment::sync_dir(&partition.dir)?;
    let new = Segment::new(old.base, old.salt, old.path.clone(), file, kept.len() as u64);
    if let Some(end) = old.end() {
        new.seal(end);
    }
    partition.replace(old, Some(new));
    Ok(())
}

/// Lets closed segments take over the bases of empty ones before them.
fn merge_empty(partition: &Partition) -> io::Result<()> {
    let mut segments = partition.segments();
    // The newest one is being written to and keeps its name.
    segments.pop();
    let mut index = 0;
    while index + 1 < segments.len() {
        let (empty, next) = (Arc::clone(&segments[index]), Arc::clone(&segments[index + 1]));
        index += 1;
        if empty.length() > 0 {
            continue;
        }
        let path = partition.dir.join(segment::file_name(empty.base, next.salt));
        fs::rename(&next.path, &path)?;
        segment::sync_dir(&partition.dir)?;
        let merged = Segment::new(empty.base, next.salt, path, next.file.try_clone()?, next.length());
        if let Some(end) = next.end() {
            merged.seal(end);
        }
        partition.replace(&next, Some(merged));
        partition.replace(&empty, None);
        fs::remove_file(&empty.path)?;
        segments = partition.segments();
        segments.pop();
        index = index.saturating_sub(1);
    }
    Ok(())
}
