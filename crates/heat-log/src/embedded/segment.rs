//! One file of frames: `BASE-SALT.segment`, the base offset in 20 decimal digits and the salt in 8 hexadecimal ones.
//!
//! A segment covers the offsets from its base up to the next segment's base; where frames are missing in between, there
//! is a hole. Reading goes by positions and finds its own way around damage; a sparse index, built from the data when
//! first needed, is only a hint where to begin.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use heat_model::{AppendTime, Offset};
use rustix::{buffer::spare_capacity, io::pread};

use super::frame::{self, FRAME_MAX_BYTES, HEADER_BYTES, Header, MAGIC};
use crate::consumer::Record;

/// Distance of the index's entries.
const INDEX_STEP_BYTES: u64 = 1 << 20;

/// One segment, shared by the writer, readers and upkeep.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: u64,
    pub(super) salt: u32,
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Durable length: readers go no further.
    length: AtomicU64,
    /// The next segment's base, once there is one.
    end: OnceLock<u64>,
    /// Offsets and positions of some frames, rising; `None` until built.
    index: Mutex<Option<Vec<(u64, u64)>>>,
    known_damage: Mutex<BTreeSet<u64>>,
    first_time_us: OnceLock<i64>,
}

/// A place that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) position: u64,
    pub(super) bytes: u64,
}

/// A piece of a segment.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Record>,
    /// Position and least offset of the next frame.
    pub(super) position: u64,
    pub(super) expected: u64,
    /// What was jumped over to get there.
    pub(super) damage: Option<Damage>,
    /// The damage reaches to the end: no whole frame follows.
    pub(super) is_tail: bool,
}

/// How much to read at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkLimits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

pub(super) fn file_name(base: u64, salt: u32) -> String {
    format!("{base:020}-{salt:08x}.segment")
}

pub(super) fn parse_file_name(name: &str) -> Option<(u64, u32)> {
    let (base, salt) = name.strip_suffix(".segment")?.split_once('-')?;
    Some((base.parse().ok()?, u32::from_str_radix(salt, 16).ok()?))
}

impl Segment {
    /// A segment around an open file of which `length` bytes are durable.
    pub(super) fn new(base: u64, salt: u32, path: PathBuf, file: File, length: u64) -> Self {
        Self {
            base,
            salt,
            path,
            file,
            length: AtomicU64::new(length),
            end: OnceLock::new(),
            index: Mutex::new((length == 0).then(Vec::new)),
            known_damage: Mutex::default(),
            first_time_us: OnceLock::new(),
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end.get().copied()
    }

    pub(super) fn seal(&self, end: u64) {
        self.end.get_or_init(|| end);
    }

    /// The writer has made `length` bytes durable; the frame at the old length has `offset`.
    pub(super) fn grow(&self, length: u64, offset: u64) {
        let position = self.length();
        if let Some(index) = self.lock_index().as_mut() {
            let last = index.last().map_or(0, |&(_, position)| position);
            if position >= last + INDEX_STEP_BYTES {
                index.push((offset, position));
            }
        }
        self.length.store(length, Ordering::Release);
    }

    /// After recovery cut the file.
    pub(super) fn set_length(&self, length: u64) {
        self.length.store(length, Ordering::Release);
    }

    fn lock_index(&self) -> std::sync::MutexGuard<'_, Option<Vec<(u64, u64)>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this damage is new to this process.
    pub(super) fn note_damage(&self, damage: Damage) -> bool {
        self.known_damage.lock().unwrap_or_else(PoisonError::into_inner).insert(damage.position)
    }

    /// A position, and the least offset there, from which reading finds `offset`.
    pub(super) fn seek(&self, offset: u64) -> io::Result<(u64, u64)> {
        if offset <= self.base {
            return Ok((0, self.base));
        }
        let unbuilt = self.lock_index().is_none();
        if unbuilt {
            let index = self.build_index()?;
            self.lock_index().get_or_insert(index);
        }
        let guard = self.lock_index();
        let index = guard.as_deref().unwrap_or_default();
        let before = index.partition_point(|&(first, _)| first <= offset);
        Ok(before.checked_sub(1).map_or((0, self.base), |entry| (index[entry].1, index[entry].0)))
    }

    /// The first offset whose frame was not appended before this time; `None` if there is none. Damage is passed over.
    pub(super) fn offset_at(&self, time_us: i64) -> io::Result<Option<u64>> {
        // Makes sure of the index, whatever it finds.
        self.seek(u64::MAX)?;
        let index = self.lock_index().clone().unwrap_or_default();
        let is_before = |&(offset, position): &(u64, u64)| {
            let limits = ChunkLimits { records: 1, bytes: 4096 };
            let chunk = self.read_chunk(position, self.length(), offset, 0, limits);
            chunk.is_ok_and(|chunk| {
                chunk.records.first().is_some_and(|record| record.append_time.as_micros() < time_us)
            })
        };
        let before = index.partition_point(is_before);
        let (mut expected, mut position) = before.checked_sub(1).map_or((self.base, 0), |entry| index[entry]);
        let limits = ChunkLimits { records: usize::MAX, bytes: 1 << 20 };
        while position < self.length() {
            let chunk = self.read_chunk(position, self.length(), expected, 0, limits)?;
            let found = chunk.records.iter().find(|record| record.append_time.as_micros() >= time_us);
            if let Some(record) = found {
                return Ok(Some(record.offset.0));
            }
            (position, expected) = (chunk.position, chunk.expected);
        }
        Ok(None)
    }

    fn build_index(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut index = Vec::new();
        let (mut position, mut expected) = (0, self.base);
        let length = self.length();
        let limits = ChunkLimits { records: usize::MAX, bytes: 1 << 20 };
        while position < length {
            let chunk = self.read_chunk(position, length, expected, 0, limits)?;
            (position, expected) = (chunk.position, chunk.expected);
            index.push((expected, position));
        }
        Ok(index)
    }

    /// Reads whole frames from `position`, up to `limit` bytes of the file, and returns those with an offset of at
    /// least `from`. `expected` is the least offset that the next frame may have.
    pub(super) fn read_chunk(
        &self,
        position: u64,
        limit: u64,
        expected: u64,
        from: u64,
        limits: ChunkLimits,
    ) -> io::Result<Chunk> {
        let mut buffer = self.read_bytes(position, limit, limits.bytes.max(HEADER_BYTES))?;
        if let Some(header) = Header::parse(&buffer)
            && header.frame_bytes() > buffer.len()
            && position + header.frame_bytes() as u64 <= limit
        {
            buffer = self.read_bytes(position, limit, header.frame_bytes())?;
        }
        let mut chunk = Chunk { position, expected, ..Chunk::default() };
        let mut at = 0;
        while chunk.records.len() < limits.records
            && let Some(header) = self.intact_frame(&buffer[at..], chunk.expected)
        {
            let frame = buffer.slice(at..at + header.frame_bytes());
            at += frame.len();
            chunk.expected = header.offset + 1;
            if header.offset >= from {
                let (key, payload) = frame::split(&header, &frame);
                chunk.records.push(Record {
                    offset: Offset(header.offset),
                    append_time: AppendTime::from_micros(header.append_time_us),
                    key,
                    payload,
                });
            }
        }
        chunk.position += at as u64;
        if at == 0 && position < limit {
            self.jump_damage(&mut chunk, limit)?;
        }
        Ok(chunk)
    }

    fn intact_frame(&self, bytes: &[u8], expected: u64) -> Option<Header> {
        let header = Header::parse(bytes)?;
        let frame = bytes.get(..header.frame_bytes())?;
        (header.offset >= expected && header.is_intact(frame, self.salt)).then_some(header)
    }

    /// Moves the chunk to the next whole frame, or to the limit.
    fn jump_damage(&self, chunk: &mut Chunk, limit: u64) -> io::Result<()> {
        let start = chunk.position;
        let next = self.find_frame(start + 1, limit, chunk.expected)?;
        chunk.is_tail = next.is_none();
        chunk.position = next.unwrap_or(limit);
        chunk.damage = Some(Damage { position: start, bytes: chunk.position - start });
        Ok(())
    }

    fn find_frame(&self, mut position: u64, limit: u64, expected: u64) -> io::Result<Option<u64>> {
        const WINDOW_BYTES: usize = 1 << 20;
        while position + (HEADER_BYTES as u64) <= limit {
            let window = self.read_bytes(position, limit, WINDOW_BYTES)?;
            for at in 0..=window.len().saturating_sub(HEADER_BYTES) {
                if window[at..].starts_with(&MAGIC)
                    && let Some(header) = Header::parse(&window[at..])
                    && header.offset >= expected
                    && position + (at + header.frame_bytes()) as u64 <= limit
                {
                    let candidate = self.read_bytes(position + at as u64, limit, header.frame_bytes())?;
                    if header.is_intact(&candidate, self.salt) {
                        return Ok(Some(position + at as u64));
                    }
                }
            }
            // The windows overlap by a header less one byte, so that none is missed at the border.
            position += (window.len() - (HEADER_BYTES - 1)) as u64;
        }
        Ok(None)
    }

    fn read_bytes(&self, position: u64, limit: u64, wanted: usize) -> io::Result<Bytes> {
        let available = usize::try_from(limit.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = wanted.min(available).min(FRAME_MAX_BYTES);
        let mut buffer = Vec::with_capacity(wanted);
        while buffer.len() < wanted {
            let at = position + buffer.len() as u64;
            let read = pread(&self.file, spare_capacity(&mut buffer), at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        buffer.truncate(wanted);
        Ok(buffer.into())
    }

    /// Append time of the first frame; `None` where there is none that can be read.
    pub(super) fn first_time_us(&self) -> Option<i64> {
        if let Some(&known) = self.first_time_us.get() {
            return Some(known);
        }
        let limits = ChunkLimits { records: 1, bytes: 4096 };
        let chunk = self.read_chunk(0, self.length(), self.base, 0, limits).ok()?;
        let first = chunk.records.first()?.append_time.as_micros();
        Some(*self.first_time_us.get_or_init(|| first))
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
