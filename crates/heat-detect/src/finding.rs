//! A finding: one detector's statement. Detectors make findings; the fusion turns them into incidents.

use heat_model::{
    SiteId, ValveId,
    incident::{Candidate, Class, Evidence},
    plant::{ModelLevel, Side},
    time::EventTime,
};
use serde::{Deserialize, Serialize};

/// One detector's statement about one place, as of now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Detector that states it.
    pub detector: String,
    /// What it is.
    pub class: Class,
    /// Kind within the class.
    pub kind: Option<String>,
    /// Estimated onset.
    pub onset: EventTime,
    /// Whether it holds; `false` withdraws it (its evidence is gone).
    pub active: bool,
    /// Most probable place: pipe, site or signal; empty for the whole network.
    pub place: Option<String>,
    /// Side of the place.
    pub side: Option<Side>,
    /// Ranked pipes.
    pub candidates: Vec<Candidate>,
    /// Sites behind the smallest branch that explains it.
    pub branch: Vec<SiteId>,
    /// Estimated loss, kg/s.
    pub loss_kg_s: Option<f64>,
    /// The same, m3/h.
    pub loss_m3_h: Option<f64>,
    /// Stations affected.
    pub affected: Vec<SiteId>,
    /// Households behind them.
    pub affected_households: Option<u32>,
    /// Trench to search, m.
    pub search_length_m: Option<f64>,
    /// Valves to close.
    pub valves: Vec<ValveId>,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// Strength of the evidence, in the detector's own measure.
    pub strength: f64,
    /// Level of plant model that it was judged with.
    pub level: ModelLevel,
    /// What was missing.
    pub lacked: Vec<String>,
}
