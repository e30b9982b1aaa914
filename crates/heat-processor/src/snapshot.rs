//! Snapshots in the state topic: chunks of at most 512 KiB, then a pointer with their number and hash.
//!
//! Keys within a partition of `heat.state.v1`: `chunk/{generation}/{n}` and `pointer`. Two generations are kept; the
//! chunks of an older one are deleted by empty records once the pointer to the newest is durable.

use bytes::Bytes;
use heat_detect::{PartitionCore, Snapshot};
use heat_model::record::NextOffset;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

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
    /// Rises with every snapshot.
    pub generation: u64,
    /// Its chunks.
    pub chunks: u32,
    /// xxh3-64 of the chunks, joined.
    pub hash: u64,
    /// Where the input resumes.
    pub input_next: NextOffset,
    /// Where the outputs ended when it was taken: what was said after it is found from there.
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

/// The generation in a chunk's key.
pub fn chunk_generation(key: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix("chunk/")?;
    rest.split_once('/')?.0.parse().ok()
}

/// A snapshot ready to be appended.
#[derive(Debug)]
pub struct Encoded {
    /// What the pointer will say.
    pub pointer: Pointer,
    /// The chunks, in order.
    pub chunks: Vec<Bytes>,
}

/// Encodes the core's state.
pub fn encode(
    core: &PartitionCore,
    generation: u64,
    input_next: NextOffset,
    outputs_next: NextOffset,
) -> Result<Encoded, SnapshotError> {
    let bytes = Bytes::from(postcard::to_stdvec(&core.snapshot()).map_err(SnapshotError::Encode)?);
    let hash = xxh3_64(&bytes);
    let chunks: Vec<Bytes> = (0..bytes.len())
        .step_by(CHUNK_MAX_BYTES)
        .map(|start| bytes.slice(start..(start + CHUNK_MAX_BYTES).min(bytes.len())))
        .collect();
    let pointer =
        Pointer { format: FORMAT, generation, chunks: count(&chunks), hash, input_next, outputs_next };
    Ok(Encoded { pointer, chunks })
}

fn count(chunks: &[Bytes]) -> u32 {
    u32::try_from(chunks.len()).expect("a state of 2^32 chunks does not fit into memory")
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
