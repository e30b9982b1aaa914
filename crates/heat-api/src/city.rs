//! The city's feed: what a city's management centre may see. No home, no person, no user's name, no free text; freshness
//! on every value.

use std::collections::BTreeMap;

use heat_detect::DetectorState;
use heat_model::{
    IncidentId, IngestTime, NetworkId, SiteId, canary,
    incident::{AlarmState, ChangeKind, Class, Incident, IncidentEvent, Priority, WorkState},
    plant::{Medium, SiteKind},
    reading::Quality,
};
use serde::{Deserialize, Serialize};

use crate::{
    json::ApiTime,
    state::{PlantIndex, Shared, Sight, lock},
};

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

/// A source or station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct CitySite {
    pub id: SiteId,
    pub name: Option<String>,
    pub kind: Option<SiteKind>,
    pub operator: Option<String>,
    pub district: Option<String>,
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
        let row = plant.networks.get(&incident.network);
        let append = |at: heat_model::AppendTime| ApiTime::from_micros(at.as_micros());
        Self {
            id: incident.id,
            version: incident.version,
            network: incident.network.clone(),
            operator: row.and_then(|row| row.operator.clone()),
            district: row.and_then(|row| row.district.clone()),
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

/// A place that is no home; a signal's place is its site.
fn shown_place(place: &str, plant: &PlantIndex) -> Option<String> {
    let site = place.split('/').nth(1).unwrap_or(place);
    match SiteId::new(site) {
        Ok(id) => plant.shown_site(&id).map(|_| place.to_owned()).filter(|_| is_shown(&id, plant)),
        Err(_) => None,
    }
}

fn is_shown(site: &SiteId, plant: &PlantIndex) -> bool {
    plant.sites.get(site).is_none_or(|row| row.kind != Some(SiteKind::Household))
}

/// Which networks are wanted, beyond what a client may see.
#[derive(Debug, Clone, Default)]
pub(crate) struct CityFilter {
    pub(crate) operator: Option<String>,
    pub(crate) district: Option<String>,
}

impl CityFilter {
    fn wants(&self, network: &NetworkId, plant: &PlantIndex) -> bool {
        let row = plant.networks.get(network);
        let is = |wanted: &Option<String>, name: Option<&String>| {
            wanted.as_ref().is_none_or(|wanted| name == Some(wanted))
        };
        is(&self.operator, row.and_then(|row| row.operator.as_ref()))
            && is(&self.district, row.and_then(|row| row.district.as_ref()))
    }
}

/// The state now.
pub(crate) fn snapshot(state: &Shared, sight: &Sight, filter: &CityFilter) -> CitySnapshot {
    let plant = state.plant();
    let seen = |network: &NetworkId| {
        network.as_str() != canary::NETWORK && sight.of(network) && filter.wants(network, &plant)
    };
    let now = state.clock.now();
    let mut networks: BTreeMap<NetworkId, CityNetwork> =
        plant.networks.keys().filter(|id| seen(id)).map(|id| (id.clone(), network(id, &plant))).collect();
    for table in &state.tables {
        let table = lock(table);
        for live in table.networks().filter(|live| seen(live.id())) {
            let entry = networks.entry(live.id().clone()).or_insert_with(|| network(live.id(), &plant));
            fill(entry, live, table.settings(), now, &plant);
        }
    }
    let board = lock(&state.board);
    for entry in networks.values_mut() {
        if let Some(status) = board.status(&entry.id) {
            entry.detectors = status.detectors.len() as u64;
            let is_ready = |state: &DetectorState| matches!(state, DetectorState::Ready);
            entry.detectors_ready =
                status.detectors.iter().filter(|detector| is_ready(&detector.state)).count() as u64;
        }
    }
    let mut incidents = Vec::new();
    for incident in board.open().filter(|incident| seen(&incident.network)) {
        if let Some(entry) = networks.get_mut(&incident.network)
            && incident.priority != Priority::P4
        {
            entry.incidents_open += 1;
        }
        incidents.push(CityIncident::of(incident, &plant));
    }
    CitySnapshot {
        at: ApiTime::from_micros(now.as_micros()),
        networks: networks.into_values().collect(),
        incidents,
    }
}

fn network(id: &NetworkId, plant: &PlantIndex) -> CityNetwork {
    let row = plant.networks.get(id);
    CityNetwork {
        id: id.clone(),
        name: row.and_then(|row| row.name.clone()),
        medium: row.and_then(|row| row.medium),
        operator: row.and_then(|row| row.operator.clone()),
        district: row.and_then(|row| row.district.clone()),
        incidents_open: 0,
        signals_current_ratio: None,
        detectors_ready: 0,
        detectors: 0,
        sites: Vec::new(),
    }
}

/// Buildings are left out: they are one step from homes, and their number is not a centre's business.
fn fill(
    entry: &mut CityNetwork,
    live: &heat_view::live::NetworkTable,
    settings: &heat_view::LiveSettings,
    now: IngestTime,
    plant: &PlantIndex,
) {
    let (mut all, mut current_count) = (0_u32, 0_u32);
    let mut sites: BTreeMap<SiteId, CitySite> = BTreeMap::new();
    for (signal, current) in live.signals(None) {
        all += 1;
        let Some(current) = current else { continue };
        let is_current = !current.is_expired(now, settings);
        current_count += u32::from(is_current);
        let row = plant.sites.get(&signal.id.site);
        let kind = row.and_then(|row| row.kind);
        if matches!(kind, Some(SiteKind::Household | SiteKind::Building)) {
            continue;
        }
        let site = sites.entry(signal.id.site.clone()).or_insert_with(|| CitySite {
            id: signal.id.site.clone(),
            name: row.and_then(|row| row.name.clone()),
            kind,
            operator: row.and_then(|row| row.operator.clone()),
            district: row.and_then(|row| row.district.clone()),
            values: BTreeMap::new(),
        });
        let value = CityValue {
            value: current.value.is_finite().then_some(current.value),
            unit: signal.unit.to_string(),
            time: ApiTime(current.event_time),
            age_seconds: current.age_seconds(now),
            current: is_current,
            quality: current.quality,
        };
        // Two devices of a site may measure the same: the fresher one stands.
        let held = site.values.get(signal.id.name.as_str());
        if held.is_none_or(|held| held.time < value.time) {
            site.values.insert(signal.id.name.to_string(), value);
        }
    }
    entry.signals_current_ratio = (all > 0).then(|| f64::from(current_count) / f64::from(all));
    entry.sites = sites.into_values().collect();
}

#[cfg(test)]
mod tests {
    use heat_model::plant::{PlantModel, Site};

    use super::*;
    use crate::console::samples;

    fn plant() -> PlantIndex {
        let site = |id: &str, kind, parent: Option<&str>| Site {
            id: id.parse().unwrap(),
            network: Some("town".parse().unwrap()),
            kind: Some(kind),
            node: None,
            parent: parent.map(|id| id.parse().unwrap()),
            name: None,
            operator: None,
            district: None,
            heated_area_m2: None,
            households: None,
            lon: None,
            lat: None,
            crs: None,
        };
        let sites =
            vec![site("st1", SiteKind::Station, None), site("flat-12-3", SiteKind::Household, Some("st1"))];
        PlantIndex::new(&PlantModel { sites, ..PlantModel::default() })
    }

    #[test]
    fn no_home_and_no_name_of_a_person_leaves_with_an_incident() {
        let home: SiteId = "flat-12-3".parse().unwrap();
        let incident = Incident {
            place: Some("town/flat-12-3/meter/indoor_temperature".to_owned()),
            affected: vec!["st1".parse().unwrap(), home],
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
        for secret in ["flat-12-3", "wang", "138"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
