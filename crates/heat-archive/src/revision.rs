//! Revisions: what became of files after they were published.
//!
//! Commits say what was written; a revision says that the files of some folders stand in for others from now on:
//! compaction merges them, promotion moves them into view, retention and erasure take rows away. Revisions of a
//! partition are numbered without a gap, each is put only if its number is free, so two processes that revise the same
//! partition at once cannot both succeed. The rows that a revision leaves out are counted with their digests:
//! written = held + removed, by data set and ingest hour, proves at any time that nothing else is missing.

use heat_model::{PartitionId, record::NextOffset};
use serde::{Deserialize, Serialize};

use crate::{
    digest::HourDigest,
    manifest::{FileEntry, ManifestError},
};

/// The format's number that this code writes, and the highest that it reads.
pub const REVISION_FORMAT: u32 = 1;

/// Why there is a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionKind {
    /// Files of one date were merged, repeats left out.
    Compaction,
    /// Compacted files moved to where everybody looks, and the files that they replace were deleted.
    Promotion,
    /// Files beyond their age were given up.
    Retention,
    /// Rows were erased because somebody has a right to it.
    Erasure,
}

/// Why rows are no longer held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An equal reading stands before it in the log, too far away for the archiver's window.
    Repeat,
    /// Older than retention keeps.
    Expired,
    /// Erased on request.
    Erased,
}

/// Rows that a revision left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Why.
    pub reason: Reason,
    /// How many of each ingest hour, with their digest.
    pub hours: Vec<HourDigest>,
}

/// What a revision does to the files of one folder (a data set's date, and network).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The folder below the archive's root.
    pub folder: String,
    /// Files of commits that end at this offset or before it are replaced; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits_up_to: Option<NextOffset>,
    /// But for these, which could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Files of earlier revisions that are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// The files that stand in for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<FileEntry>,
    /// What is in none of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
}

/// One revision of a partition's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// [`REVISION_FORMAT`] of its writer.
    pub format: u32,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Counted from 0.
    pub number: u64,
    /// Why.
    pub kind: RevisionKind,
    /// When it was published, microseconds since the epoch: the files that it replaces stay for a grace time.
    pub at_us: i64,
    /// Folder by folder, in order.
    pub changes: Vec<Change>,
}

impl Revision {
    /// The bytes to publish.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a revision has string keys only")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(ManifestError::Parse)?;
        if format > REVISION_FORMAT {
            return Err(ManifestError::Newer { found: format });
        }
        serde_json::from_slice(bytes).map_err(ManifestError::Parse)
    }

    /// Rows left out for a reason, over all folders.
    pub fn rows_removed(&self, reason: Reason) -> u64 {
        let removed = self.changes.iter().flat_map(|change| &change.removed);
        removed.filter(|removed| removed.reason == reason).flat_map(|r| &r.hours).map(|hour| hour.rows).sum()
    }
}
