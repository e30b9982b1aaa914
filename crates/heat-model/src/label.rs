//! Labels of recorded or simulated events: what really happened, for scoring.

use serde::{Deserialize, Serialize};

use crate::{ids::NetworkId, time::EventTime};

/// One labelled event. `class` may carry a kind: `sensor_fault(drift)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Name of the event, unique in its file.
    pub event: String,
    /// Class, as in the incident classes, perhaps with a kind in parentheses.
    pub class: String,
    /// Network.
    pub network: NetworkId,
    /// Onset.
    pub start: EventTime,
    /// End.
    pub end: EventTime,
    /// Pipe, site or signal; empty where unknown.
    pub place: String,
    /// `supply` or `return`; empty where it has no side.
    pub side: String,
    /// Loss in kg/s, where it is one.
    pub size_kg_s: Option<f64>,
}
