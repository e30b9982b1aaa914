//! The ledger: what was received, what is durable, what may be acknowledged, and what is a repeat.
//!
//! Is: pure bookkeeping, used by every role, so that all count alike. Is not: storage, network, clock.
//!
//! Invariants:
//! - A [`durable::Durable`] exists only for what every one of its log records is durable for; acknowledging takes one.
//! - Two readers of the same partition agree on what is a repeat, whatever offset they started from, as soon as they
//!   have read back [`repeats::RepeatSettings`]' window.
//! - `received = logged + rejected` in every heartbeat; [`audit`] holds it against the data.
#![warn(missing_docs)]

pub mod admission;
pub mod audit;
pub mod commit;
pub mod counts;
pub mod devices;
pub mod durable;
pub mod redelivery;
pub mod repeats;
