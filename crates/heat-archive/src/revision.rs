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

/// The highest format that this code reads; it writes the lowest that says what is to be said.
pub const REVISION_FORMAT: u32 = 2;

/// Enough for a revision that sets nothing aside.
const PLAIN_FORMAT: u32 = 1;

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

/// A file that is not as it was written, or gone: no file holds its rows any more, and they are missing until somebody puts
/// the file back where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The file as it was written, with the offsets of its rows.
    pub file: FileEntry,
    /// The revision that made it; absent if a commit did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where its bytes lie now; absent if nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What was wrong.
    pub reason: String,
}

/// What a revision does to the files of one folder (a data set's date, and network).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The folder below the archive's root.
    pub folder: String,
    /// Files of commits that end at this offset or before it are replaced; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits_up_to: Option<NextOffset>,
    /// But for these, which could not be read. Earlier versions left them where they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Files of earlier revisions that are replaced; also those that were set aside before and are no longer missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// The files that stand in for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<FileEntry>,
    /// Files whose rows are missing from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// What is in none of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
}

/// One revision of a partition's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Of its content, at most [`REVISION_FORMAT`].
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
    /// The lowest format that says these changes.
    pub(crate) fn format_of(changes: &[Change]) -> u32 {
        let sets_aside = changes.iter().any(|change| !change.set_aside.is_empty());
        if sets_aside { REVISION_FORMAT } else { PLAIN_FORMAT }
    }

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
