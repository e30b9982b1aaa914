//! The exporter role: plant values and incidents as Prometheus text on the admin port, and incidents as alerts of
//! Alertmanager.
//!
//! Is: a reader of `heat.input.v1`, `heat.incidents.v1` and `heat.incident-events.v1` that keeps what is newest, writes
//! it at a scrape, and keeps Alertmanager's copy of the incidents true ([`pager`]). Is not: a store (restarted, it reads a bounded stretch back), a writer of any topic, or the
//! source of anybody's decision.
//!
//! Invariants:
//! - A value past its signal's own deadline leaves `/metrics`; no sample carries a time of its own.
//! - Homes never appear. The number of series is capped, and a metric tells when the cap bites.
//! - A scrape copies a network's values under the lock and formats them outside of it, so ingest never waits for the
//!   formatting.
//!
//! - Incidents are told by what the log holds: a restart pages nothing twice, and what is over at a start is not told.
//!
//! Start reading at [`role::Exporter`]; `plant` and `figures` write the text, [`families`] names the metrics, [`pager`]
//! pages.
#![warn(missing_docs)]

pub mod families;
pub mod figures;
mod follow;
pub mod metrics;
pub mod pager;
pub mod plant;
pub mod role;
pub mod settings;

pub use role::{BuildError, Deps, Exporter, RunError};
pub use settings::{RawExporter, Settings};
