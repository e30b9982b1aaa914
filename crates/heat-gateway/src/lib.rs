//! The gateway: MQTT in, the log out, and not one reading lost or invented in between.
//!
//! Is: one loop that takes what the links receive, makes records of it, numbers and appends them, and acknowledges what
//! has become durable; the heartbeats that move time and carry the ledger's counts; and a buffer on disk for the time
//! that Kafka takes nothing. Is not: a decision about the plant ([`intake`] only says what a payload is).
//!
//! Invariants:
//! - A message is acknowledged only after every record and dead letter it became is durable ([`heat_ledger::durable`]).
//! - Whatever is received becomes records, a dead letter, or both; nothing is dropped.
//! - Numbers are contiguous per partition: numbering and appending happen in one place, in one order.
//!
//! Start reading at [`role::Gateway`], then [`intake::Intake`].
#![warn(missing_docs)]

pub mod clock_guard;
pub mod intake;
pub mod link_metrics;
pub mod metrics;
pub mod plant;
pub mod requeue;
pub mod role;
pub mod settings;

mod buffer;
mod canary;
mod commands;
mod inputs;
mod outbox;
mod refused;

pub use buffer::{
    BufferError,
    settings::{BufferSettings, RawBuffer},
};
pub use outbox::OutboxError;
pub use role::{BuildError, Gateway, RunError};
pub use settings::{GatewaySettings, RawGateway};
