//! The plant model: the tables a utility exports from its GIS and SCADA. Every column beyond the ids may be missing;
//! what can be said falls from L3 to L0 with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{CircuitId, DeviceId, NetworkId, NodeId, PipeId, SignalId, SignalName, SiteId, ValveId},
    time::EventTime,
};

/// Hash of a plant model's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlantHash(pub u64);

impl fmt::Display for PlantHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// Hot water.
    #[default]
    Water,
    /// Steam.
    Steam,
}

/// Primary or secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CircuitKind {
    /// Source to stations.
    #[default]
    Primary,
    /// Station to homes.
    Secondary,
}

/// What a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SiteKind {
    /// Heat source (热源).
    Source,
    /// Heat-exchange station (热力站).
    Station,
    /// Valve chamber (检查室).
    Chamber,
    /// Building.
    Building,
    /// Household: private, see the archive's household data set.
    Household,
}

/// Side of a pipe or sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Supply (供水).
    Supply,
    /// Return (回水).
    Return,
}

impl Side {
    /// The word used in labels and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supply => "supply",
            Self::Return => "return",
        }
    }
}

/// Where a circuit is in its year; selects classes, limits and expected silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the trade say it")]
pub enum SeasonState {
    Off,
    WetLayup,
    Filling,
    PressureTest,
    ColdCirculation,
    HeatingUp,
    #[default]
    Heating,
    ShuttingDown,
    Repair,
}

impl SeasonState {
    /// The word used in payloads and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::WetLayup => "wet_layup",
            Self::Filling => "filling",
            Self::PressureTest => "pressure_test",
            Self::ColdCirculation => "cold_circulation",
            Self::HeatingUp => "heating_up",
            Self::Heating => "heating",
            Self::ShuttingDown => "shutting_down",
            Self::Repair => "repair",
        }
    }
}

/// Who says in which state a circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeasonBy {
    /// Somebody, by a command.
    Command,
    /// The calendar of the plant tables.
    Calendar,
}

/// A state that holds, since when, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct SeasonInForce {
    pub state: SeasonState,
    pub since: EventTime,
    pub by: SeasonBy,
}

/// The state that holds of what was last commanded and last planned: the later one. A command holds until the calendar's
/// next row.
pub fn season_in_force(
    commanded: Option<(SeasonState, EventTime)>,
    planned: Option<(SeasonState, EventTime)>,
) -> Option<SeasonInForce> {
    let commanded = commanded.map(|(state, since)| SeasonInForce { state, since, by: SeasonBy::Command });
    let planned = planned.map(|(state, since)| SeasonInForce { state, since, by: SeasonBy::Calendar });
    match (commanded, planned) {
        (Some(commanded), Some(planned)) if planned.since > commanded.since => Some(planned),
        (commanded, planned) => commanded.or(planned),
    }
}

/// A row of `networks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Network {
    pub id: NetworkId,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub medium: Option<Medium>,
    #[serde(default)]
    pub time_zone: Option<String>,
    #[serde(default)]
    pub operator: Option<String>,
    #[serde(default)]
    pub district: Option<String>,
}

/// A row of `circuits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Circuit {
    pub id: CircuitId,
    pub network: NetworkId,
    #[serde(default)]
    pub kind: Option<CircuitKind>,
    #[serde(default)]
    pub medium: Option<Medium>,
    #[serde(default)]
    pub converted_on: Option<String>,
    #[serde(default)]
    pub water_volume_m3: Option<f64>,
    #[serde(default)]
    pub design_flow_kg_s: Option<f64>,
    #[serde(default)]
    pub topped_up_from: Option<CircuitId>,
}

impl Circuit {
    /// A row of which only what it must have is known.
    pub const fn new(id: CircuitId, network: NetworkId) -> Self {
        Self {
            id,
            network,
            kind: None,
            medium: None,
            converted_on: None,
            water_volume_m3: None,
            design_flow_kg_s: None,
            topped_up_from: None,
        }
    }
}

/// A row of `nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Node {
    pub id: NodeId,
    #[serde(default)]
    pub network: Option<NetworkId>,
    #[serde(default)]
    pub x_m: Option<f64>,
    #[serde(default)]
    pub y_m: Option<f64>,
    #[serde(default)]
    pub elevation_m: Option<f64>,
}

/// A row of `sites`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Site {
    pub id: SiteId,
    #[serde(default)]
    pub network: Option<NetworkId>,
    #[serde(default)]
    pub kind: Option<SiteKind>,
    #[serde(default)]
    pub node: Option<NodeId>,
    #[serde(default)]
    pub parent: Option<SiteId>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub operator: Option<String>,
    #[serde(default)]
    pub district: Option<String>,
    #[serde(default)]
    pub heated_area_m2: Option<f64>,
    #[serde(default)]
    pub households: Option<u32>,
    #[serde(default)]
    pub lon: Option<f64>,
    #[serde(default)]
    pub lat: Option<f64>,
    #[serde(default)]
    pub crs: Option<String>,
}

impl Site {
    /// A row of which only the id is known.
    pub const fn new(id: SiteId) -> Self {
        Self {
            id,
            network: None,
            kind: None,
            node: None,
            parent: None,
            name: None,
            operator: None,
            district: None,
            heated_area_m2: None,
            households: None,
            lon: None,
            lat: None,
            crs: None,
        }
    }
}

/// A row of `pipes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Pipe {
    pub id: PipeId,
    pub circuit: CircuitId,
    pub from: NodeId,
    pub to: NodeId,
    #[serde(default)]
    pub length_m: Option<f64>,
    #[serde(default)]
    pub inner_diameter_mm: Option<f64>,
    #[serde(default)]
    pub roughness_mm: Option<f64>,
    #[serde(default)]
    pub side: Option<Side>,
    #[serde(default)]
    pub material: Option<String>,
    #[serde(default)]
    pub laid_year: Option<u32>,
    #[serde(default)]
    pub depth_m: Option<f64>,
}

impl Pipe {
    /// A row of which only what it must have is known.
    pub const fn new(id: PipeId, circuit: CircuitId, from: NodeId, to: NodeId) -> Self {
        Self {
            id,
            circuit,
            from,
            to,
            length_m: None,
            inner_diameter_mm: None,
            roughness_mm: None,
            side: None,
            material: None,
            laid_year: None,
            depth_m: None,
        }
    }
}

/// A row of `valves`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct Valve {
    pub id: ValveId,
    pub pipe: PipeId,
    #[serde(default)]
    pub chamber: Option<SiteId>,
    #[serde(default)]
    pub normal_state: Option<ValveState>,
    #[serde(default)]
    pub operable: Option<bool>,
}

/// A row of `seasons`: the calendar of circuits. Without a circuit it is of all circuits that the sources of its network
/// feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct SeasonPlan {
    pub network: NetworkId,
    #[serde(default)]
    pub circuit: Option<CircuitId>,
    pub state: SeasonState,
    /// A date in the table is the beginning of that day in the network's time zone.
    pub from: EventTime,
}

/// Open or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it")]
pub enum ValveState {
    Open,
    Closed,
}

/// A row of `signals`. `network` is implied by the id where the column is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns are documented with the plant tables")]
pub struct SignalSpec {
    pub id: SignalId,
    pub site: SiteId,
    pub device: DeviceId,
    pub name: SignalName,
    #[serde(default)]
    pub unit: Option<String>,
    #[serde(default)]
    pub topic: Option<String>,
    #[serde(default)]
    pub pointer: Option<String>,
    #[serde(default)]
    pub interval_s: Option<f64>,
    #[serde(default)]
    pub range_min: Option<f64>,
    #[serde(default)]
    pub range_max: Option<f64>,
    #[serde(default)]
    pub accuracy_class: Option<String>,
    #[serde(default)]
    pub sensor_side: Option<Side>,
}

/// All tables. [`crate::plant`] holds them as they are; `heat_codec::plant` reads and checks them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one field a table, named as the table")]
pub struct PlantModel {
    #[serde(default)]
    pub networks: Vec<Network>,
    #[serde(default)]
    pub circuits: Vec<Circuit>,
    #[serde(default)]
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub sites: Vec<Site>,
    #[serde(default)]
    pub pipes: Vec<Pipe>,
    #[serde(default)]
    pub valves: Vec<Valve>,
    #[serde(default)]
    pub signals: Vec<SignalSpec>,
    /// Left out where it is empty, so that older models keep their bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seasons: Vec<SeasonPlan>,
}

impl PlantModel {
    /// What flows in a circuit now.
    pub fn medium(&self, circuit: &Circuit) -> Medium {
        let of_network = || self.networks.iter().find(|row| row.id == circuit.network)?.medium;
        circuit.medium.or_else(of_network).unwrap_or_default()
    }

    /// The calendar of a circuit, or of what a network without circuits has; in order of time.
    pub fn calendar(&self, network: &NetworkId, circuit: Option<&Circuit>) -> Vec<(EventTime, SeasonState)> {
        let is_primary =
            circuit.is_none_or(|circuit| circuit.kind.unwrap_or_default() == CircuitKind::Primary);
        let own = |row: &&SeasonPlan| {
            let fits = match &row.circuit {
                None => is_primary,
                Some(id) => circuit.is_some_and(|circuit| circuit.id == *id),
            };
            row.network == *network && fits
        };
        let mut rows: Vec<&SeasonPlan> = self.seasons.iter().filter(own).collect();
        // A circuit's own row of the same time decides.
        rows.sort_by_key(|row| (row.from, row.circuit.is_some()));
        rows.into_iter().map(|row| (row.from, row.state)).collect()
    }
}

/// The newest row of a calendar that has begun.
pub fn season_planned(
    calendar: &[(EventTime, SeasonState)],
    now: EventTime,
) -> Option<(SeasonState, EventTime)> {
    calendar.iter().rev().find(|(from, _)| *from <= now).map(|(from, state)| (*state, *from))
}

/// How much of a network the plant model describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum ModelLevel {
    /// Signals only.
    #[default]
    L0,
    /// Sites and branches.
    L1,
    /// Pipes with length and diameter.
    L2,
    /// Elevations and valves.
    L3,
}
