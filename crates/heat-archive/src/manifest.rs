//! Manifests: what a commit holds. Published last; a file counts only if one names it.

use heat_ledger::commit::{Found, Undecodable};
use heat_model::{Offset, PartitionId, record::NextOffset};
use serde::{Deserialize, Serialize};

use crate::{
    digest::HourDigest,
    layout::{self, Dataset},
};

/// The format of a commit's manifest.
pub const COMMIT_FORMAT: u32 = 1;

/// The format of a chapter, which stands for many commits; the highest that this code reads.
pub const CHAPTER_FORMAT: u32 = 2;

/// What one commit holds: everything that the archive has of one stretch of a partition.
///
/// It covers `first_offset..next_offset`. On Kafka some of these offsets may hold nothing (control records). A chapter
/// stands for several commits that followed each other: their counts are summed, and of their files only those are
/// listed that no revision had replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`COMMIT_FORMAT`] or [`CHAPTER_FORMAT`].
    pub format: u32,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Where the commit begins: `next_offset` of the one before it.
    pub first_offset: Offset,
    /// The last record taken.
    pub last_offset: Offset,
    /// Where the next commit begins.
    pub next_offset: NextOffset,
    /// When the log took the last record, microseconds since the epoch: tells this log from another one that has reached
    /// the same offset. Absent in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_append_time_us: Option<i64>,
    /// Records taken, whatever became of them.
    pub records: u64,
    /// What was found by ingest hour, in order of the hour.
    pub hours: Vec<Found>,
    /// Records that could not be decoded, by the hour of append.
    pub undecodable: Vec<Undecodable>,
    /// The files, in order of their paths.
    pub files: Vec<FileEntry>,
    /// The commit's ledger, with what was found and said per gateway and epoch.
    pub ledger: LedgerEntry,
    /// What a chapter stands for; absent in a commit's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chapter: Option<Chapter>,
}

/// What remains to be known of commits that a chapter stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// How many commits.
    pub commits: u64,
    /// What their files held when they were written, whatever became of them since.
    pub written: Vec<DatasetHours>,
}

/// Rows and digests of one data set by ingest hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetHours {
    /// The data set.
    pub dataset: Dataset,
    /// In order of the hour.
    pub hours: Vec<HourDigest>,
}

/// The offsets of the log that a file's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetSpan {
    /// The lowest.
    pub first: Offset,
    /// The highest.
    pub last: Offset,
}

impl OffsetSpan {
    /// Whether an offset lies in it.
    pub fn contains(self, offset: Offset) -> bool {
        (self.first..=self.last).contains(&offset)
    }

    /// Whether the two share an offset.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// One Parquet file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The data set it belongs to.
    pub dataset: Dataset,
    /// Path below the archive's root.
    pub path: String,
    /// The network whose rows it holds; absent if it may hold those of several.
    pub network: Option<heat_model::NetworkId>,
    /// Size.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Earliest event time, microseconds since the epoch.
    pub min_event_time_us: i64,
    /// Latest event time.
    pub max_event_time_us: i64,
    /// Rows and digest by ingest hour, in order of the hour; of roll-ups, by the hour that they sum up.
    pub hours: Vec<HourDigest>,
    /// Where its rows come from; absent in a commit, whose files share its stretch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offsets: Option<OffsetSpan>,
}

impl FileEntry {
    /// The folder of its date and network, below the archive's root, wherever the file itself waits.
    pub fn folder(&self) -> &str {
        layout::folder_of(&self.path)
    }
}

/// Where a commit's ledger stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Path below the archive's root.
    pub path: String,
    /// xxh3-64 of its bytes, 16 hexadecimal digits.
    pub xxh3: String,
}

/// Why bytes are not a manifest that this code can use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not with these fields.
    #[error("not a manifest")]
    Parse(#[source] serde_json::Error),
    /// Written by a later version.
    #[error(
        "manifest format {found} is newer than {CHAPTER_FORMAT}: use the version that wrote it, or a later one"
    )]
    Newer {
        /// The number found.
        found: u32,
    },
    /// Its numbers contradict each other.
    #[error("the manifest contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Manifest {
    /// Rows over all files of a data set.
    pub fn rows(&self, dataset: Dataset) -> u64 {
        self.files.iter().filter(|file| file.dataset == dataset).map(|file| file.rows).sum()
    }

    /// Commits that it stands for.
    pub fn commits(&self) -> u64 {
        self.chapter.as_ref().map_or(1, |chapter| chapter.commits)
    }

    /// What its files held when they were written, in order of (data set, hour) within each file.
    pub(crate) fn written(&self) -> impl Iterator<Item = (Dataset, &HourDigest)> {
        let files = self.files.iter().map(|file| (file.dataset, &file.hours));
        let chapter = self.chapter.iter().flat_map(|chapter| &chapter.written);
        let sums = chapter.map(|of| (of.dataset, &of.hours));
        // A chapter's sums include the files that it still lists.
        let files = files.filter(|_| self.chapter.is_none());
        files.chain(sums).flat_map(|(dataset, hours)| hours.iter().map(move |hour| (dataset, hour)))
    }

    fn written_readings(&self) -> u64 {
        self.written().filter(|(dataset, _)| dataset.holds_readings()).map(|(_, hour)| hour.rows).sum()
    }

    /// The bytes to publish. Equal manifests have equal bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest has string keys only")
    }

    /// Reads a manifest and checks what can be checked without its files.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        /// Read first, since a later format may lack today's fields.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(ManifestError::Parse)?;
        if format > CHAPTER_FORMAT {
            return Err(ManifestError::Newer { found: format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Parse)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.last_offset.next() != self.next_offset {
            return Err(ManifestError::Contradiction("next_offset does not follow last_offset"));
        }
        if self.first_offset > self.last_offset {
            return Err(ManifestError::Contradiction("first_offset lies behind last_offset"));
        }
        let archived: u64 = self.hours.iter().map(|hour| hour.archived).sum();
        if archived != self.written_readings() {
            return Err(ManifestError::Contradiction("the files' rows differ from the readings archived"));
        }
        for file in &self.files {
            if file.rows != file.hours.iter().map(|hour| hour.rows).sum::<u64>() {
                return Err(ManifestError::Contradiction("a file's rows differ from the sum of its hours"));
            }
        }
        Ok(())
    }
}
