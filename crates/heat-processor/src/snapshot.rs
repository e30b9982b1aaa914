//! Snapshots in the state topic: chunks of at most 512 KiB, then a pointer with their number and hash.
//!
//! Keys within a partition of `heat.state.v1`: `chunk/{generation}/{n}` and `pointer`. Two generations are kept; all other
//! chunks, also those of a snapshot that was given up, are deleted by empty records once the pointer to the newest is
//! durable.

use std::io;

use bytes::Bytes;
use heat_detect::{PartitionCore, Snapshot};
use heat_model::record::NextOffset;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Largest chunk; half of what a record may have.
pub const CHUNK_MAX_BYTES: usize = 512 << 10;
/// Key of the pointer.
pub const POINTER_KEY: &str = "pointer";
/// Layout of pointer and chunks.
const FORMAT: u32 = 1;

/// What the newest snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    format: u32,
    /// Rises with every snapshot, and from one owner of the partition to the next.
    pub generation: u64,
    /// Its chunks.
    pub chunks: u32,
    /// xxh3-64 of the chunks, joined.
    pub hash: u64,
    /// Where the input resumes.
    pub input_next: NextOffset,
    /// Where the outputs ended when it was taken, or a little before: what was said after it is found from there.
    pub outputs_next: NextOffset,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The pointer cannot be read.
    #[error("the pointer to the snapshot cannot be read; rebuild the state with --rebuild-from-archive")]
    Pointer(#[source] serde_json::Error),
    /// The layout is another version's.
    #[error(
        "the snapshot has format {found}, this program reads {FORMAT}; rebuild the state with --rebuild-from-archive"
    )]
    Format {
        /// What was found.
        found: u32,
    },
    /// Chunks are missing or damaged.
    #[error("snapshot {generation} is incomplete or damaged; rebuild the state with --rebuild-from-archive")]
    Damaged {
        /// Which.
        generation: u64,
    },
    /// The core's state cannot be decoded.
    #[error("the state in snapshot {generation} cannot be decoded; rebuild it with --rebuild-from-archive")]
    Decode {
        /// Which.
        generation: u64,
        /// Why.
        source: postcard::Error,
    },
    /// The core's state cannot be encoded.
    #[error("the core's state cannot be encoded")]
    Encode(#[source] postcard::Error),
}

/// The key of a chunk.
pub fn chunk_key(generation: u64, number: u32) -> String {
    format!("chunk/{generation}/{number}")
}

/// Generation and number in a chunk's key.
pub fn chunk_place(key: &[u8]) -> Option<(u64, u32)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix("chunk/")?;
    let (generation, number) = rest.split_once('/')?;
    Some((generation.parse().ok()?, number.parse().ok()?))
}

/// A core's state as it was between two records: a copy, to be encoded while the core goes on.
#[derive(Debug)]
pub struct Cut {
    state: Snapshot,
    generation: u64,
    input_next: NextOffset,
    outputs_next: NextOffset,
}

impl Cut {
    /// Copies the state.
    pub fn of(
        core: &PartitionCore,
        generation: u64,
        input_next: NextOffset,
        outputs_next: NextOffset,
    ) -> Self {
        Self { state: core.snapshot().copied(), generation, input_next, outputs_next }
    }

    /// Encodes the state. `take` gets each chunk as soon as it is full, so that no more than one is held here, and answers
    /// whether it wants the next; where it does not, the end is an error.
    pub fn encode(&self, take: impl FnMut(Bytes) -> bool) -> Result<Pointer, SnapshotError> {
        let into = Chunks { open: Vec::new(), hash: Xxh3::new(), count: 0, take };
        let mut chunks = postcard::to_io(&self.state, into).map_err(SnapshotError::Encode)?;
        if !chunks.close() {
            return Err(SnapshotError::Encode(postcard::Error::SerializeBufferFull));
        }
        Ok(Pointer {
            format: FORMAT,
            generation: self.generation,
            chunks: chunks.count,
            hash: chunks.hash.digest(),
            input_next: self.input_next,
            outputs_next: self.outputs_next,
        })
    }
}

/// Cuts what is written into chunks.
struct Chunks<F> {
    open: Vec<u8>,
    hash: Xxh3,
    count: u32,
    take: F,
}

impl<F: FnMut(Bytes) -> bool> Chunks<F> {
    fn close(&mut self) -> bool {
        if self.open.is_empty() {
            return true;
        }
        let chunk = Bytes::from(std::mem::take(&mut self.open));
        self.hash.update(&chunk);
        self.count += 1;
        (self.take)(chunk)
    }
}

impl<F: FnMut(Bytes) -> bool> io::Write for Chunks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(CHUNK_MAX_BYTES);
        }
        let taken = bytes.len().min(CHUNK_MAX_BYTES - self.open.len());
        self.open.extend_from_slice(bytes.split_at(taken).0);
        if self.open.len() == CHUNK_MAX_BYTES && !self.close() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a pointer.
pub fn read_pointer(payload: &[u8]) -> Result<Pointer, SnapshotError> {
    let pointer: Pointer = serde_json::from_slice(payload).map_err(SnapshotError::Pointer)?;
    if pointer.format != FORMAT {
        return Err(SnapshotError::Format { found: pointer.format });
    }
    Ok(pointer)
}

/// Joins the chunks and decodes the state; `chunk` gives each by its number.
pub fn decode(pointer: &Pointer, chunk: impl Fn(u32) -> Option<Bytes>) -> Result<Snapshot, SnapshotError> {
    let generation = pointer.generation;
    let mut joined = Vec::new();
    for number in 0..pointer.chunks {
        joined.extend_from_slice(&chunk(number).ok_or(SnapshotError::Damaged { generation })?);
    }
    if xxh3_64(&joined) != pointer.hash {
        return Err(SnapshotError::Damaged { generation });
    }
    postcard::from_bytes(&joined).map_err(|source| SnapshotError::Decode { generation, source })
}
