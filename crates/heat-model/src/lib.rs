//! The words of heatstream: ids, times, quantities, units, readings, plant, incidents, tickets, log records.
//!
//! Is: plain data with the rules that make a value of it valid. Is not: encoding (see `heat-codec`), decisions
//! (the cores) or I/O. Nothing here reads a clock, allocates without a bound that the caller set, or panics on
//! input.
//!
//! Start reading at [`record::Envelope`]: it is what travels on the log.
#![warn(missing_docs)]

pub mod canary;
pub mod fresh;
pub mod ids;
pub mod incident;
pub mod label;
pub mod plant;
pub mod quantity;
pub mod reading;
pub mod record;
pub mod ticket;
pub mod time;
pub mod unit;

pub use fresh::FreshMask;
pub use ids::{
    CircuitId, DeviceId, GatewayId, IncidentId, InvalidId, NetworkId, NodeId, PipeId, SignalId, SignalName,
    SiteId, ValveId,
};
pub use reading::{Lane, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId};
pub use record::{Body, Envelope, Offset, Origin, PartitionId, Position};
pub use time::{AppendTime, EventTime, IngestTime};
