//! The exporter role: plant values and incidents as Prometheus text on the admin port.
//!
//! Is: a reader of `heat.input.v1`, `heat.incidents.v1` and `heat.incident-events.v1` that keeps what is newest and
//! writes it at a scrape. Is not: a store (restarted, it reads a bounded stretch back), a writer of any topic, or the
//! source of anybody's decision.
//!
//! Invariants:
//! - A value past its signal's own deadline leaves `/metrics`; no sample carries a time of its own.
//! - Homes never appear. The number of series is capped, and a metric tells when the cap bites.
//! - A scrape copies a network's values under the lock and formats them outside of it, so ingest never waits for the
//!   formatting.
//!
//! Start reading at [`role::Exporter`]; `plant` writes the text, [`families`] names the metrics.
#![warn(missing_docs)]

pub mod families;
mod follow;
pub mod metrics;
pub mod plant;
pub mod role;
pub mod settings;

pub use role::{BuildError, Deps, Exporter, RunError};
pub use settings::{RawExporter, Settings};
