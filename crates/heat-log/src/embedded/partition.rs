//! One partition: its segments in order, its durable end, and who waits for it to grow.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heat_model::{PartitionId, record::NextOffset};
use tokio::sync::Notify;

use super::segment::{self, Chunk, ChunkLimits, Segment};
use crate::{
    clock,
    consumer::{Bounds, ReadError, StartFrom},
    stats::Live,
    topics::Retention,
};

/// One partition, shared by the writer, readers and upkeep.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) id: PartitionId,
    pub(super) dir: PathBuf,
    state: Mutex<State>,
    /// Held by whoever removes or replaces closed segments.
    surgery: Mutex<()>,
    /// Shared by the topic's partitions: something became readable.
    pub(super) grown: Arc<Notify>,
    pub(super) live: Arc<Live>,
}

#[derive(Debug)]
struct State {
    /// Oldest first, never empty; the newest is written to.
    segments: VecDeque<Arc<Segment>>,
    end: u64,
}

/// A reader's place.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    segment: Option<Arc<Segment>>,
    position: u64,
    expected: u64,
    /// Records below are not delivered.
    from: u64,
}

impl Cursor {
    fn at(offset: u64) -> Self {
        Self { segment: None, position: 0, expected: 0, from: offset }
    }

    pub(super) fn next(&self) -> NextOffset {
        NextOffset(self.from)
    }
}

impl Partition {
    pub(super) fn new(
        topic: Arc<str>,
        id: PartitionId,
        dir: PathBuf,
        segments: VecDeque<Arc<Segment>>,
        end: u64,
        grown: Arc<Notify>,
        live: Arc<Live>,
    ) -> Self {
        live.segments.add(segments.len() as u64);
        live.segment_bytes.add(segments.iter().map(|segment| segment.length()).sum());
        Self {
            topic,
            id,
            dir,
            state: Mutex::new(State { segments, end }),
            surgery: Mutex::new(()),
            grown,
            live,
        }
    }

    /// Excludes other removers and rewriters of closed segments.
    pub(super) fn operate(&self) -> MutexGuard<'_, ()> {
        self.surgery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) -> u64 {
        self.lock().end
    }

    /// For recovery, before anything is written or read.
    pub(super) fn set_end(&self, end: u64) {
        self.lock().end = end;
    }

    pub(super) fn bounds(&self) -> Bounds {
        let state = self.lock();
        let first = state.segments.front().map_or(state.end, |segment| segment.base);
        Bounds { first: NextOffset(first), end: NextOffset(state.end) }
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.lock().segments.iter().map(Arc::clone).collect()
    }

    pub(super) fn active(&self) -> Arc<Segment> {
        Arc::clone(self.lock().segments.back().expect("a partition always has an active segment"))
    }

    /// Closes the active segment and begins another at the durable end.
    pub(super) fn roll(&self) -> io::Result<()> {
        let base = self.end();
        let segment = create_segment(&self.dir, base)?;
        let mut state = self.lock();
        if let Some(active) = state.segments.back() {
            active.seal(base);
        }
        state.segments.push_back(Arc::new(segment));
        self.live.segments.add(1);
        Ok(())
    }

    /// The writer has synced the active segment up to `length`; the first new record has offset `first`.
    pub(super) fn publish(&self, length: u64, first: u64, end: u64) {
        let mut state = self.lock();
        let active = state.segments.back().expect("a partition always has an active segment");
        self.live.segment_bytes.add(length - active.length());
        active.grow(length, first);
        debug_assert!(end >= state.end, "the end never falls");
        state.end = end;
    }

    /// Resolves where to start; does not touch files.
    pub(super) fn cursor(&self, from: StartFrom) -> Result<Cursor, ReadError> {
        let bounds = self.bounds();
        let asked = match from {
            StartFrom::Beginning => bounds.first,
            StartFrom::End => bounds.end,
            StartFrom::Offset(asked) => asked,
        };
        if asked < bounds.first {
            return Err(self.trimmed(asked.0, bounds.first));
        }
        if asked > bounds.end {
            return Err(ReadError::BeyondEnd {
                topic: self.topic.to_string(),
                partition: self.id,
                asked,
                end: bounds.end,
            });
        }
        Ok(Cursor::at(asked.0))
    }

    /// The first offset that was not appended before this time; the end if there is none. At damage it may be an
    /// earlier one, never a later one.
    pub(super) fn offset_at(&self, time_us: i64) -> Result<NextOffset, ReadError> {
        let (segments, end) = (self.segments(), self.end());
        for segment in segments.iter().rev() {
            if segment.first_time_us().is_some_and(|first| first < time_us) {
                let found = segment.offset_at(time_us).map_err(|source| file_error(segment, source))?;
                return Ok(NextOffset(found.or(segment.end()).unwrap_or(end)));
            }
        }
        Ok(self.bounds().first)
    }

    fn trimmed(&self, asked: u64, first: NextOffset) -> ReadError {
        ReadError::Trimmed {
            topic: self.topic.to_string(),
            partition: self.id,
            asked: NextOffset(asked),
            first,
        }
    }

    /// The segment that covers an offset.
    fn covering(&self, offset: u64) -> Result<Arc<Segment>, ReadError> {
        let state = self.lock();
        let after = state.segments.partition_point(|segment| segment.base <= offset);
        match after.checked_sub(1) {
            Some(index) => Ok(Arc::clone(&state.segments[index])),
            None => {
                let first = state.segments.front().map_or(state.end, |segment| segment.base);
                Err(self.trimmed(offset, NextOffset(first)))
            }
        }
    }

    /// Durable length of a segment, and where the next begins if it is closed; read under one lock, so that a closed
    /// segment's length is final.
    fn extent(&self, segment: &Segment) -> (u64, Option<u64>) {
        let _state = self.lock();
        (segment.length(), segment.end())
    }

    /// How many bytes a read would find at least in the cursor's own segment; a hint.
    pub(super) fn bytes_ahead(&self, cursor: &Cursor) -> Option<u64> {
        cursor.segment.as_ref().map(|segment| segment.length().saturating_sub(cursor.position))
    }

    /// Reads on from a cursor. An empty chunk with the cursor moved means holes; not moved, that the end is reached.
    pub(super) fn read(&self, cursor: &mut Cursor, limits: ChunkLimits) -> Result<Chunk, ReadError> {
        loop {
            let segment = match &cursor.segment {
                Some(segment) => Arc::clone(segment),
                None => {
                    let segment = self.covering(cursor.from)?;
                    let found = segment.seek(cursor.from);
                    (cursor.position, cursor.expected) =
                        found.map_err(|source| file_error(&segment, source))?;
                    cursor.segment = Some(Arc::clone(&segment));
                    segment
                }
            };
            let (length, end) = self.extent(&segment);
            if cursor.position >= length {
                let Some(end) = end else { return Ok(Chunk::default()) };
                cursor.from = cursor.from.max(end);
                cursor.segment = None;
                if self.end() <= cursor.from {
                    return Ok(Chunk::default());
                }
                continue;
            }
            let chunk = segment
                .read_chunk(cursor.position, length, cursor.expected, cursor.from, limits)
                .map_err(|source| file_error(&segment, source))?;
            if let Some(damage) = chunk.damage {
                self.report_damage(&segment, damage, "reading");
            }
            cursor.position = chunk.position;
            cursor.expected = chunk.expected;
            cursor.from = cursor.from.max(chunk.expected);
            if !chunk.records.is_empty() {
                return Ok(chunk);
            }
        }
    }

    pub(super) fn report_damage(&self, segment: &Segment, damage: segment::Damage, when: &str) {
        if segment.note_damage(damage) {
            self.live.damaged_places.add(1);
            self.live.damaged_bytes.add(damage.bytes);
            tracing::error!(
                topic = %self.topic,
                partition = self.id.0,
                path = %segment.path.display(),
                position = damage.position,
                bytes = damage.bytes,
                when,
                "the log is damaged; the records in this place are lost, the rest is kept"
            );
        }
    }

    /// Unlinks the oldest closed segments as long as `is_done` says so of a segment and the next one.
    fn remove_oldest(&self, mut is_done: impl FnMut(&Segment, &Segment) -> bool) -> io::Result<usize> {
        let _operation = self.operate();
        let mut removed = 0;
        loop {
            let oldest = {
                let state = self.lock();
                let (Some(oldest), Some(next)) = (state.segments.front(), state.segments.get(1)) else {
                    break;
                };
                if !is_done(oldest, next) {
                    break;
                }
                Arc::clone(oldest)
            };
            // First out of sight, then off the disk: a crash in between brings it back, which loses nothing.
            self.lock().segments.pop_front();
            self.live.segments.subtract(1);
            self.live.segment_bytes.subtract(oldest.length());
            self.live.segments_removed.add(1);
            fs::remove_file(&oldest.path)?;
            removed += 1;
        }
        if removed > 0 {
            segment::sync_dir(&self.dir)?;
        }
        Ok(removed)
    }

    /// Gives up whole segments before an offset.
    pub(super) fn trim(&self, before: NextOffset) -> io::Result<usize> {
        self.remove_oldest(|_, next| next.base <= before.0)
    }

    /// Gives up whole segments by age and size.
    pub(super) fn retain(&self, retention: Retention) -> io::Result<usize> {
        let mut removed = 0;
        if let Some(age) = retention.age {
            let oldest_us = clock::append_now().minus(age).as_micros();
            // All of a segment is older than the first record after it.
            removed +=
                self.remove_oldest(|_, next| next.first_time_us().is_some_and(|time| time < oldest_us))?;
        }
        if let Some(bytes) = retention.bytes {
            let mut total: u64 = self.segments().iter().map(|segment| segment.length()).sum();
            removed += self.remove_oldest(|oldest, _| {
                let over = total.saturating_sub(oldest.length()) >= bytes;
                if over {
                    total -= oldest.length();
                }
                over
            })?;
        }
        Ok(removed)
    }

    /// Puts a rewritten closed segment in the place of the old one, and drops the old one's accounts.
    pub(super) fn replace(&self, old: &Arc<Segment>, new: Option<Segment>) {
        let mut state = self.lock();
        let Some(index) = state.segments.iter().position(|segment| Arc::ptr_eq(segment, old)) else { return };
        self.live.segment_bytes.subtract(old.length());
        match new {
            Some(new) => {
                self.live.segment_bytes.add(new.length());
                state.segments[index] = Arc::new(new);
            }
            None => {
                self.live.segments.subtract(1);
                self.live.segments_removed.add(1);
                state.segments.remove(index);
            }
        }
    }
}

fn file_error(segment: &Segment, source: io::Error) -> ReadError {
    ReadError::File { path: segment.path.display().to_string(), source }
}

/// Creates an empty segment, durable by name.
pub(super) fn create_segment(dir: &Path, base: u64) -> io::Result<Segment> {
    let salt = fresh_salt();
    let path = dir.join(segment::file_name(base, salt));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    if let Err(error) = segment::sync_dir(dir) {
        // Without a durable name it must not be used; an empty file left behind is harmless.
        fs::remove_file(&path).ok();
        return Err(error);
    }
    Ok(Segment::new(base, salt, path, file, 0))
}

/// Differs from segment to segment; from the standard library's random hash keys.
fn fresh_salt() -> u32 {
    use std::hash::BuildHasher;
    let hash = std::hash::RandomState::new().hash_one(0);
    u32::try_from(hash & u64::from(u32::MAX)).expect("masked to 32 bits")
}
