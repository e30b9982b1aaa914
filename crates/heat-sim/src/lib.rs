//! A simulated city of district heating: seeded, deterministic, labelled.
//!
//! Is: hot-water networks as trees in closed form, with sources, stations, homes, weather, transport of temperature
//! fronts, make-up, meters with the errors of their class, and scripted events; beside it, where the plan says so, a steam
//! circuit whose stations are converted to hot water on a date. Is not: I/O, a clock, pressure waves,
//! meshes, evidence of detection quality (a detector must not be judged by its own maker's simulator).
//!
//! Invariants:
//! - The same plan, seed, start, script and scans give the same messages, bit for bit, on every platform: no hash-map
//!   order, no clock, elementary functions of its own.
//! - Water is conserved exactly, heat to rounding: [`City::account`].
//! - Messages come in order of time; no reading is older than the onset that it shows.
//!
//! Start reading at [`City`]; [`CityPlan::demo`] is the demo city.
#![warn(missing_docs)]

mod arithmetic;
mod assembly;
pub mod campaign;
mod catalogue;
mod city;
mod device;
pub mod event;
mod layout;
mod message;
mod network;
pub mod plan;
mod plug;
mod schedule;
pub mod script;
mod source;
mod station;
mod steam;
mod weather;

pub use city::{City, Scan};
pub use device::Device;
pub use event::{Script, ScriptError};
pub use message::{DeviceMessage, DeviceSignal, RawValue};
pub use network::Account;
pub use plan::{CityPlan, NetworkPlan, PlanError, SteamPlan};
