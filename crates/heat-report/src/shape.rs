//! What a report says, as programs read it.

use std::collections::BTreeMap;

use heat_model::{
    NetworkId,
    incident::{Class, Priority},
};
use serde::Serialize;

use crate::{
    convert::Conversion,
    figure::Figure,
    ground::Scope,
    peers::Peers,
    rank::{PipeRow, Ranking, StationRow},
    rooms::CommunityRow,
};

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// First instant (RFC 3339).
    pub from: String,
    /// First instant that does not belong to it.
    pub to: String,
    /// Whose days count.
    pub time_zone: String,
    /// What degree-days are counted from, degC.
    pub base_celsius: f64,
    /// What homes are promised, degC.
    pub promised_celsius: f64,
    /// The city, its operators, districts and networks.
    pub scopes: Vec<ScopeReport>,
    /// What failed, most urgent first; P4 is in the classes only.
    pub incidents: Cut<CaseRow>,
    /// What was repaired.
    pub repairs: Cut<RepairRow>,
    /// Stations by what they cost.
    pub stations: Ranking<StationRow>,
    /// Stations whose return stands above that of their peers.
    pub peers: Peers,
    /// Pipes by what they lose.
    pub pipes: Ranking<PipeRow>,
    /// Circuits that were converted from steam to water, before and after.
    pub conversions: Vec<Conversion>,
    /// Rooms by community and hour of the day, the smallest share first.
    pub communities: Vec<CommunityRow>,
    /// What the report rests on.
    pub coverage: Coverage,
}

/// The first rows of a list, and how many it has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "named as what they are")]
pub struct Cut<T> {
    pub rows: Vec<T>,
    pub of: usize,
}

/// One scope's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScopeReport {
    /// Which.
    pub scope: Scope,
    /// Every figure, known or not.
    pub figures: Vec<Figure>,
    /// Incidents by class.
    pub classes: Vec<ClassRow>,
}

/// What incidents of a class cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRow {
    /// Which.
    pub class: Class,
    /// Incidents that began in the span.
    pub opened: u64,
    /// Incidents that were there in the span, those begun earlier included; the hours and losses are theirs.
    pub present: u64,
    /// Hours within the span.
    pub hours: f64,
    /// Water lost, m3.
    pub water_m3: f64,
    /// Heat lost with it, and heat delivered for nothing, GJ; absent where the water's temperature is not known.
    pub heat_gj: Option<f64>,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "as in `Incident`")]
pub struct CaseRow {
    pub id: String,
    pub network: NetworkId,
    pub class: Class,
    pub kind: Option<String>,
    pub priority: Priority,
    pub place: Option<String>,
    pub place_name: Option<String>,
    pub onset: String,
    pub hours: f64,
    pub over: bool,
    pub water_m3: Option<f64>,
    pub heat_gj: Option<f64>,
    pub affected: usize,
}

/// One repair.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "named as what they are")]
pub struct RepairRow {
    pub incident: String,
    pub network: NetworkId,
    pub class: Class,
    pub repaired: String,
    pub hours_to_repair: f64,
    pub pipe: Option<String>,
    pub location: Option<String>,
    pub cause: Option<String>,
    pub size_kg_s: Option<f64>,
    /// `verified`, `reopened` or `awaiting`.
    pub outcome: &'static str,
}

/// What the report rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Days of the span, and of each network those with known heat and outdoor temperature, and with known make-up.
    pub days: f64,
    /// By network: days judged for heat, days judged for make-up.
    pub networks: BTreeMap<NetworkId, [usize; 2]>,
    /// Networks whose days took another network's outdoor temperature.
    pub borrowed_weather: Vec<NetworkId>,
    /// Incidents, tickets and hours that a bound kept out.
    pub refused: u64,
    /// Hours of signals in a unit that does not measure them.
    pub unusable_units: u64,
}
