//! What every role stands on: clock, configuration, tasks and shutdown, logging, metrics, admin HTTP.
//!
//! Is: adapters to the operating system. Is not: anything about heat. The only place that reads the clock and the
//! environment.
//!
//! Invariants: no task dies unseen ([`tasks::Tasks`]); configuration faults are reported all at once with their key and
//! line; secrets never reach a log; metrics are registered by injection, in a registry of our own.
#![warn(missing_docs)]

pub mod admin;
pub mod canary;
pub mod clock;
pub mod config;
pub mod exit;
pub mod logging;
pub mod metrics;
pub mod supervisor;
pub mod tasks;

pub use clock::Clock;
pub use exit::ExitStatus;
pub use tasks::{Shutdown, Tasks};
