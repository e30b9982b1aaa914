//! What can go wrong.

use heat_model::PartitionId;

use super::PublishStep;
use crate::{manifest::ManifestError, revise::ReviseStep, store::BoxError};

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The store may recover: keep the commit and try again.
    Retry,
    /// A person must act.
    Stop,
}

/// How the manifests of a partition fail to form a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ChainFault {
    /// Offsets that no commit covers.
    #[error("offsets {from}..{to} are in no commit: a manifest is missing")]
    Hole {
        /// First of them.
        from: u64,
        /// The first offset after them.
        to: u64,
    },
    /// Offsets that two commits cover.
    #[error("offsets {from}..{to} are in two commits: one manifest does not belong here")]
    Overlap {
        /// First of them.
        from: u64,
        /// The first offset after them.
        to: u64,
    },
}

/// Why the archive did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The location is of a kind that is not supported.
    #[error(
        "cannot archive to {location}: give a folder of the local file system, as a path or a file:// URL, or a bucket: \
         s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, without credentials"
    )]
    Location {
        /// As given.
        location: String,
    },
    /// The folder cannot be opened, or the settings of an object store cannot be used.
    #[error("open the archive {location}")]
    Open {
        /// As given.
        location: String,
        /// Why.
        source: BoxError,
    },
    /// Something could not be written. Nothing of the commit counts yet.
    #[error("write {path} in the archive; what is to be written waits")]
    Write {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// Something could not be read.
    #[error("read {path} in the archive")]
    Read {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// A file that a manifest names is not there.
    #[error("{path} is named by a manifest but is not in the archive: restore it from a backup")]
    Missing {
        /// What.
        path: String,
    },
    /// So much is gone that nobody should go on as if it were a few damaged files.
    #[error(
        "{gone} of the {files} files of {topic}-{partition} are not in the archive: mount its disk, or restore them from a \
         backup; nothing is compacted meanwhile",
        partition = .partition.0
    )]
    Gone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// Files that are not there.
        gone: usize,
        /// Files that manifests and revisions name.
        files: usize,
    },
    /// A file is not Parquet, is torn, or does not have the archive's columns.
    #[error(
        "{path} cannot be read as a file of the archive: restore it from a backup, or run `heatstream archive verify`"
    )]
    Unreadable {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// A file has columns that this version may not know, and must not leave out.
    #[error(
        "{path} is of schema version {found}, newer than {}: use the version that wrote it, or a later one",
        crate::schema::SCHEMA_VERSION
    )]
    NewerFile {
        /// Which.
        path: String,
        /// Its version.
        found: u32,
    },
    /// A manifest cannot be used.
    #[error("the manifest {path} cannot be used: restore it from a backup")]
    Manifest {
        /// Which.
        path: String,
        /// Why.
        source: ManifestError,
    },
    /// The manifests of a partition do not form one chain.
    #[error("the manifests of {topic}-{partition} do not form a chain: run `heatstream archive verify`", partition = .partition.0)]
    Chain {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// How.
        source: ChainFault,
    },
    /// The object store overwrites what it was asked to create only.
    #[error(
        "the store of {location} ignores If-None-Match: two archivers by mistake could both count. Use a store with \
         conditional puts (Amazon S3, MinIO, Google, Azure), or a folder"
    )]
    Unconditional {
        /// The archive.
        location: String,
    },
    /// Another archiver has published from the same offset on.
    #[error(
        "another archiver has published {path}: run one archiver for a partition; this one must give way"
    )]
    Fenced {
        /// The manifest that is there.
        path: String,
    },
    /// Another process has revised the same files.
    #[error(
        "another process has published {path}: run compaction in one place; this run gives way, its work does not count"
    )]
    Revised {
        /// The revision that is there.
        path: String,
    },
    /// Shutdown came before the store answered.
    #[error("the archive did not answer before the shutdown; the log keeps what waits")]
    Silent,
    /// What is listed kept changing.
    #[error("the manifests of {topic}-{partition} changed while they were read: try again", partition = .partition.0)]
    Busy {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
    },
    /// The observer ended the publishing.
    #[error("publishing was ended at {step:?}")]
    Ended {
        /// Where.
        step: PublishStep,
    },
    /// The observer ended the work on files.
    #[error("the work on the archive's files was ended at {step:?}")]
    Stopped {
        /// Where.
        step: ReviseStep,
    },
    /// Rows cannot be encoded.
    #[error("encode {path}")]
    Encode {
        /// The file that was to hold them.
        path: String,
        /// Why.
        source: BoxError,
    },
}

impl ArchiveError {
    /// Whether trying again can help.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Open { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Busy { .. }
            | Self::Gone { .. }
            | Self::Silent
            | Self::Revised { .. } => Disposition::Retry,
            Self::Location { .. }
            | Self::Unconditional { .. }
            | Self::Stopped { .. }
            | Self::Encode { .. }
            | Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::NewerFile { .. }
            | Self::Manifest { .. }
            | Self::Chain { .. }
            | Self::Fenced { .. }
            | Self::Ended { .. } => Disposition::Stop,
        }
    }
}
