//! The city's feed: what a city's management centre may see. No home, no person, no user's name, no free text; freshness
//! on every value.

use std::collections::BTreeMap;

use heat_model::{
    IncidentId, NetworkId, SiteId,
    incident::{AlarmState, ChangeKind, Class, Incident, IncidentEvent, Priority, WorkState},
    plant::{Medium, SiteKind},
    reading::Quality,
};
use serde::{Deserialize, Serialize};

use crate::{events::About, json::ApiTime, state::PlantIndex};

mod snapshot;
pub(crate) mod topic;

pub(crate) use snapshot::{CityFilter, snapshot};

/// The state of all networks that a client may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CitySnapshot {
    /// When it was made.
    pub at: ApiTime,
    /// In order of their ids.
    pub networks: Vec<CityNetwork>,
    /// Open incidents, the worst first.
    pub incidents: Vec<CityIncident>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct CityNetwork {
    pub id: NetworkId,
    pub name: Option<String>,
    pub medium: Option<Medium>,
    pub operator: Option<String>,
    pub district: Option<String>,
    /// Open incidents that page.
    pub incidents_open: u64,
    /// Share of its signals with a current value, 0 to 1; absent without signals.
    pub signals_current_ratio: Option<f64>,
    /// Detectors that judge, of all.
    pub detectors_ready: u64,
    pub detectors: u64,
    /// Sources and stations, in order of their ids.
    pub sites: Vec<CitySite>,
}

/// How a source or station does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CityState {
    /// Current values come, and no incident that pages touches it.
    Ok,
    /// Nothing current comes from it, or nothing ever came.
    Silent,
    /// In a maintenance window.
    Maintenance,
    /// An open incident lies here or upstream.
    Affected,
}

/// A source or station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct CitySite {
    pub id: SiteId,
    pub name: Option<String>,
    pub kind: Option<SiteKind>,
    /// Its own, else its network's.
    pub operator: Option<String>,
    pub district: Option<String>,
    pub state: CityState,
    /// By standard name.
    pub values: BTreeMap<String, CityValue>,
}

/// A value with its freshness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CityValue {
    /// In `unit`; absent where the payload carried null.
    pub value: Option<f64>,
    /// SI unit.
    pub unit: String,
    /// When it was measured.
    pub time: ApiTime,
    /// Seconds since then.
    pub age_seconds: f64,
    /// Whether it is within its signal's own deadline.
    pub current: bool,
    /// Trust.
    pub quality: Quality,
}

/// What the topic says of a network, under the key `network/ID`; its sites have records of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CityNetworkRecord {
    /// When it was made.
    pub at: ApiTime,
    /// The network, with an empty list of sites.
    pub network: CityNetwork,
}

/// What the topic says of a source or station, under the key `site/NETWORK/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CitySiteRecord {
    /// When it was made; the ages of the values are as of then.
    pub at: ApiTime,
    /// The network it is of.
    pub network: NetworkId,
    /// The site.
    pub site: CitySite,
}

/// What the topic says of an incident, under the key `incident/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CityIncidentRecord {
    /// When it was made.
    pub at: ApiTime,
    /// The state; of two records the one with the higher version is the newer.
    pub incident: CityIncident,
}

/// An incident and how far its case is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `IncidentView`")]
pub struct CityIncident {
    pub id: IncidentId,
    pub version: u32,
    pub network: NetworkId,
    pub operator: Option<String>,
    pub district: Option<String>,
    pub class: Class,
    pub priority: Priority,
    pub state: AlarmState,
    pub work: WorkState,
    pub opened: ApiTime,
    pub updated: ApiTime,
    pub cleared: Option<ApiTime>,
    pub place: Option<String>,
    pub loss_m3_h: Option<f64>,
    /// Stations affected.
    pub affected: Vec<SiteId>,
}

/// The data of a server-sent event named `incident`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CityEvent {
    /// When, by the append clock.
    pub at: ApiTime,
    /// What happened; not by whom.
    pub kind: ChangeKind,
    /// The state after it.
    pub incident: CityIncident,
}

impl CityEvent {
    pub(crate) fn of(event: &IncidentEvent, plant: &PlantIndex) -> Self {
        Self {
            at: ApiTime::from_micros(event.at.as_micros()),
            kind: event.change.kind,
            incident: CityIncident::of(&event.incident, plant),
        }
    }
}

impl CityIncident {
    fn of(incident: &Incident, plant: &PlantIndex) -> Self {
        let owner = plant.owner(&incident.network);
        let owner = place_of(incident).map_or(owner, |site| owner.of_site(plant.sites.get(&site)));
        let append = |at: heat_model::AppendTime| ApiTime::from_micros(at.as_micros());
        Self {
            id: incident.id,
            version: incident.version,
            network: incident.network.clone(),
            operator: owner.operator.map(str::to_owned),
            district: owner.district.map(str::to_owned),
            class: incident.class,
            priority: incident.priority,
            state: incident.alarm,
            work: incident.work,
            opened: append(incident.opened),
            updated: append(incident.updated),
            cleared: incident.cleared.map(append),
            place: incident.place.as_deref().and_then(|place| shown_place(place, plant)),
            loss_m3_h: incident.loss_m3_h,
            affected: incident.affected.iter().filter(|site| is_shown(site, plant)).cloned().collect(),
        }
    }
}

/// A place that is no home and no building; a signal's place is its site.
fn shown_place(place: &str, plant: &PlantIndex) -> Option<String> {
    is_shown(&site_in(place)?, plant).then(|| place.to_owned())
}

/// The site that a place names: its own id, or a signal's.
fn site_in(place: &str) -> Option<SiteId> {
    SiteId::new(place.split('/').nth(1).unwrap_or(place)).ok()
}

/// The site that is an incident's place, if it is one; a pipe's id is no site of the plant model.
fn place_of(incident: &Incident) -> Option<SiteId> {
    incident.place.as_deref().and_then(site_in)
}

/// Whom an incident concerns: the operator and district of its place, and those of the stations it touches.
pub(crate) fn about(incident: &Incident) -> About {
    About { network: incident.network.clone(), place: place_of(incident), sites: incident.affected.clone() }
}

/// Buildings are left out as homes are: they are one step from them, and their number is not a centre's business.
fn is_shown(site: &SiteId, plant: &PlantIndex) -> bool {
    let kind = plant.sites.get(site).and_then(|row| row.kind);
    !matches!(kind, Some(SiteKind::Household | SiteKind::Building))
}

#[cfg(test)]
mod tests {
    use heat_model::plant::{PlantModel, Site};

    use super::*;
    use crate::console::samples;

    fn plant() -> PlantIndex {
        let site = |id: &str, kind, parent: Option<&str>| Site {
            network: Some("town".parse().unwrap()),
            kind: Some(kind),
            parent: parent.map(|id| id.parse().unwrap()),
            ..Site::new(id.parse().unwrap())
        };
        let sites = vec![
            site("st1", SiteKind::Station, None),
            site("block-12", SiteKind::Building, Some("st1")),
            site("flat-12-3", SiteKind::Household, Some("block-12")),
        ];
        PlantIndex::new(&PlantModel { sites, ..PlantModel::default() })
    }

    #[test]
    fn no_home_no_building_and_no_name_of_a_person_leaves_with_an_incident() {
        let [home, building] = ["flat-12-3", "block-12"].map(|id| id.parse::<SiteId>().unwrap());
        let incident = Incident {
            place: Some("town/flat-12-3/meter/indoor_temperature".to_owned()),
            affected: vec!["st1".parse().unwrap(), home, building],
            ..samples::burst()
        };
        let event = IncidentEvent {
            input_offset: heat_model::Offset(1),
            ordinal: 0,
            at: incident.updated,
            change: heat_model::incident::Change {
                kind: ChangeKind::Acknowledged,
                by: "wang.duty".to_owned(),
                reason: Some("called 13800138000".to_owned()),
            },
            incident,
        };
        let event = CityEvent::of(&event, &plant());
        assert_eq!(event.incident.affected.len(), 1);
        let text = serde_json::to_string(&event).unwrap();
        for secret in ["flat-12-3", "block-12", "wang", "138"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(shown_place("block-12", &plant()), None);
        assert_eq!(shown_place("st1", &plant()).as_deref(), Some("st1"));
    }
}
