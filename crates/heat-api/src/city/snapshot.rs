//! The feed's state as of now: every source and station of the plant model, and what else sends readings there.

use std::collections::BTreeMap;

use heat_detect::DetectorState;
use heat_model::{
    IngestTime, NetworkId, SiteId,
    incident::{Incident, Priority},
    plant::SiteKind,
};

use super::{CityIncident, CityNetwork, CitySite, CitySnapshot, CityState, CityValue, about, is_shown};
use crate::{
    auth::Owner,
    console::{
        map::{Marks, SiteMark},
        overview::marks,
    },
    json::ApiTime,
    state::{ApiState, PlantIndex, Sight, lock},
};

/// The network of the gateways' own readings, which measure the way through the pipeline and heat nobody.
const CANARY: &str = "canary";

/// Which operator and district are wanted, beyond what a client may see.
#[derive(Debug, Clone, Default)]
pub(crate) struct CityFilter {
    pub(crate) operator: Option<String>,
    pub(crate) district: Option<String>,
}

impl CityFilter {
    fn wants(&self, owner: Owner<'_>) -> bool {
        let is = |wanted: &Option<String>, name: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| name == Some(wanted.as_str()))
        };
        is(&self.operator, owner.operator) && is(&self.district, owner.district)
    }
}

/// The state now. A network is listed where it, or one of its sites, is seen; of its sites those that are seen.
pub(crate) fn snapshot(state: &ApiState, sight: &Sight, filter: &CityFilter) -> CitySnapshot {
    let plant = state.plant();
    let seen = |owner: Owner<'_>| sight.of_owner(owner) && filter.wants(owner);
    let now = state.clock.now();
    let open: Vec<Incident> = lock(&state.board).open().cloned().collect();
    let mut networks: BTreeMap<NetworkId, CityNetwork> = BTreeMap::new();
    for id in known_networks(state, &plant) {
        let marks = marks(state, &id, open.iter().filter(|incident| incident.network == id));
        let entry = network(state, &id, &plant, &marks, now, seen);
        if seen(plant.owner(&id)) || !entry.sites.is_empty() {
            networks.insert(id, entry);
        }
    }
    let mut incidents = Vec::new();
    for incident in &open {
        let about = about(incident);
        if !plant.concerns(&about.network, about.place.as_ref(), &about.sites, seen) {
            continue;
        }
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

/// Those of the plant model, and those that send something.
fn known_networks(state: &ApiState, plant: &PlantIndex) -> Vec<NetworkId> {
    let mut ids: Vec<NetworkId> = plant.networks.keys().cloned().collect();
    for table in &state.tables {
        ids.extend(lock(table).networks().map(|live| live.id().clone()));
    }
    ids.retain(|id| id.as_str() != CANARY);
    ids.sort();
    ids.dedup();
    ids
}

fn network(
    state: &ApiState,
    id: &NetworkId,
    plant: &PlantIndex,
    marks: &Marks,
    now: IngestTime,
    seen: impl Fn(Owner<'_>) -> bool,
) -> CityNetwork {
    let (row, owner) = (plant.networks.get(id), plant.owner(id));
    let is_seen = |site: &SiteId| seen(plant.site_owner(id, site));
    let mut sites: BTreeMap<SiteId, CitySite> = plant
        .sites_of(id)
        .filter(|site| matches!(site.kind, Some(SiteKind::Source | SiteKind::Station)))
        .filter(|site| is_seen(&site.id))
        .map(|row| (row.id.clone(), site(id, &row.id, plant)))
        .collect();
    let (mut all, mut current_count) = (0_u32, 0_u32);
    for table in &state.tables {
        let table = lock(table);
        let Some(live) = table.network(id) else { continue };
        for (signal, current) in live.signals(None).filter(|(signal, _)| is_seen(&signal.id.site)) {
            all += 1;
            let Some(current) = current else { continue };
            let is_current = !current.is_expired(now, table.settings());
            current_count += u32::from(is_current);
            if !is_shown(&signal.id.site, plant) {
                continue;
            }
            let entry =
                sites.entry(signal.id.site.clone()).or_insert_with(|| site(id, &signal.id.site, plant));
            // Two devices of a site may measure the same: the fresher one stands.
            let held = entry.values.get(signal.id.name.as_str());
            if held.is_none_or(|held| held.time < ApiTime(current.event_time)) {
                let value = value(&signal.unit, current, is_current, now);
                entry.values.insert(signal.id.name.to_string(), value);
            }
        }
    }
    let board = lock(&state.board);
    let detectors = board.status(id).map_or(&[][..], |status| &status.detectors);
    let is_ready = |state: &DetectorState| matches!(state, DetectorState::Ready);
    CityNetwork {
        id: id.clone(),
        name: row.and_then(|row| row.name.clone()),
        medium: row.and_then(|row| row.medium),
        operator: owner.operator.map(str::to_owned),
        district: owner.district.map(str::to_owned),
        incidents_open: 0,
        signals_current_ratio: (all > 0).then(|| f64::from(current_count) / f64::from(all)),
        detectors_ready: detectors.iter().filter(|detector| is_ready(&detector.state)).count() as u64,
        detectors: detectors.len() as u64,
        sites: sites.into_values().map(|site| CitySite { state: site_state(&site, marks), ..site }).collect(),
    }
}

fn site(network: &NetworkId, id: &SiteId, plant: &PlantIndex) -> CitySite {
    let (row, owner) = (plant.sites.get(id), plant.site_owner(network, id));
    CitySite {
        id: id.clone(),
        name: row.and_then(|row| row.name.clone()),
        kind: row.and_then(|row| row.kind),
        operator: owner.operator.map(str::to_owned),
        district: owner.district.map(str::to_owned),
        state: CityState::Ok,
        values: BTreeMap::new(),
    }
}

/// As on the console's map; what never sent anything is silent as well.
fn site_state(site: &CitySite, marks: &Marks) -> CityState {
    match marks.of(&site.id) {
        SiteMark::Incident | SiteMark::Affected => CityState::Affected,
        SiteMark::Maintenance => CityState::Maintenance,
        SiteMark::Silent => CityState::Silent,
        SiteMark::Well if site.values.values().any(|value| value.current) => CityState::Ok,
        SiteMark::Well => CityState::Silent,
    }
}

fn value(unit: &str, current: &heat_view::Current, is_current: bool, now: IngestTime) -> CityValue {
    CityValue {
        value: current.value.is_finite().then_some(current.value),
        unit: unit.to_owned(),
        time: ApiTime(current.event_time),
        age_seconds: current.age_seconds(now),
        current: is_current,
        quality: current.quality,
    }
}
