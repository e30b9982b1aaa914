//! The processor: the input in, incidents out, the same on every run.
//!
//! Is: the runtime around the pure core of each partition: admission, ticks, publishing, snapshots, suppression of what
//! was published before. Is not: a detector (see `heat-detect`).
//!
//! Invariants:
//! - What the core says depends on the partition's records alone; a restart at any record changes nothing.
//! - A snapshot at an offset is stored only after every output caused before it is durable.
//! - After a restore nothing is published twice.
//!
//! Start reading at [`role::Processor`], then `part`.
#![warn(missing_docs)]

pub mod metrics;
mod models;
pub mod part;
pub mod role;
pub mod settings;
pub mod snapshot;

pub use role::{BuildError, Processor, RunError};
pub use settings::{ProcessorSettings, RawProcessor};
