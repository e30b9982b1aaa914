//! Detectors, evidence fusion, incident life cycle and scoring.
//!
//! Is: a function of one ordered log and its plant model. [`PartitionCore`] takes the records of one partition and
//! says what happened. Is not: I/O, clock, randomness, threads, encoding, paging.
//!
//! Invariants:
//! - The same records and ticks give the same outputs, byte for byte, also after a snapshot and restore at any record.
//! - *Now* is the running maximum of append time; no device's clock moves it.
//! - Back-filled readings train baselines and never open an incident.
//! - One cause is one incident; what it explains is listed on it as an effect and not raised apart.
//! - Every buffer has a bound in [`DetectSettings`]; what a bound refuses is counted in [`Counters`].
//!
//! Start reading at [`core::PartitionCore`]; `network` holds the state of one network, `balance`, `burst` and
//! `pressure` the detectors, `incidents` the life cycle, `scoring` the judge.
#![warn(missing_docs)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics on bounded counts and clamped ranges; f32 is what histories are kept in"
)]

mod balance;
mod behaviour;
mod bins;
pub mod budget;
mod burst;
pub mod core;
pub mod finding;
mod incidents;
mod layout;
mod network;
mod night;
pub mod output;
mod pressure;
pub mod probe;
mod quality;
mod regression;
pub mod scoring;
mod season;
mod secondary;
pub mod settings;
mod steam;
mod thermal;
mod tickets;
mod topology;
mod tracker;

pub use heat_model::FreshMask;

pub use crate::{
    core::{PartitionCore, RestoreError, Snapshot, SnapshotRef},
    finding::Finding,
    output::{
        Counters, DetectorState, DetectorStatus, Forgotten, NetworkStatus, Output, Refusal, RefusalReason,
        SeasonSuggestion, TicketCause, TicketLink,
    },
    settings::DetectSettings,
};
