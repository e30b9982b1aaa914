//! The archive: one ordered log into Parquet files and manifests, each reading exactly once.
//!
//! Is: the Parquet schema, a writer that turns a stretch of one partition into the files of one commit, publishing
//! (files first, the manifest last and only if absent), resuming by manifests, reading back and verifying.
//! Is not: a reader of the log, a judge of repeats (the caller says which readings to keep), or a clock.
//!
//! Invariants:
//! - What a commit holds, and where it ends, is a function of the log's content, the end of the commit before it and
//!   [`RotationSettings`]; a rerun makes the same rows under the same names.
//! - A file counts only if a manifest or a revision names it; the manifests of a partition form one chain without hole
//!   or overlap, its revisions are numbered without a gap.
//! - Written = held + removed, by data set and ingest hour, with digests: compaction, retention and erasure lose nothing
//!   unseen.
//! - [`Published`] exists only for what is durable, manifest included; committing an offset upstream takes one.
//! - Memory is bounded by the rotation's bounds, whatever the number of dates and networks in a commit.
//!
//! Start reading at [`CommitWriter`], then [`Archive::publish`].
#![warn(missing_docs)]

pub mod archive;
mod buffer;
pub mod compact;
pub mod digest;
mod encode;
pub mod layout;
pub mod location;
pub mod manifest;
pub mod read;
pub mod replay;
pub mod revise;
pub mod revision;
pub mod rotation;
pub mod schema;
mod store;
pub mod table;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod view;
pub mod writer;

pub use archive::{Archive, ArchiveError, PublishStep, Published, Resume};
pub use buffer::Households;
pub use compact::{CompactReport, CompactSettings};
pub use layout::Dataset;
pub use location::{Access, Location};
pub use manifest::{FileEntry, Manifest};
pub use read::{ArchivedReading, Scan};
pub use rotation::RotationSettings;
pub use table::TableRow;
pub use verify::VerifyReport;
pub use view::{LostFile, View};
pub use writer::{CommitWriter, Keep, SealedCommit};
