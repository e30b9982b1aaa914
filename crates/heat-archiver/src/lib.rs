//! The archiver: the log into Parquet, each reading exactly once.
//!
//! Is: one feed a topic that reads its partitions, leaves repeats out, and publishes commits; it resumes by the
//! archive's own manifests. Is not: the archive's format (see `heat-archive`) or the judge of repeats (`heat-ledger`).
//!
//! Invariants:
//! - An offset is committed upstream only with the archive's proof that everything before it is published.
//! - A store that fails stops reading, not the process: the log keeps what waits, and it goes on when the store does.
//!
//! Start reading at [`role::Archiver`], then `feed`.
#![warn(missing_docs)]

pub mod metrics;
pub mod role;
pub mod settings;

mod deps;
mod feed;
mod homes;
mod maintain;
mod rows;

pub use role::{Archiver, BuildError, RunError};
pub use settings::{ArchiverSettings, RawArchive};
