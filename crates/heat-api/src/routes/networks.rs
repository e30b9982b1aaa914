//! `networks` and `networks/{id}`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use heat_model::{
    IngestTime, NetworkId, SiteId, canary,
    plant::{SeasonState, SiteKind, season_planned},
};
use serde::Deserialize;

use super::signals::view;
use crate::{
    auth::User,
    extract::StrictQuery,
    json::{
        ApiTime, NetworkDetail, NetworkSummary, Page, SiteDetail,
        desk::{CircuitView, SeasonView, SuggestionView},
    },
    problem::Problem,
    state::{ApiState, Sight, lock},
};

/// Sites in one page of a network.
const SITES_DEFAULT: usize = 100;
const SITES_MAX: usize = 500;

/// All networks seen: by the plant model, by their signals, or by their incidents.
pub(crate) fn summaries(state: &ApiState, sight: &Sight) -> Vec<NetworkSummary> {
    let now = state.clock.now();
    let mut counts: BTreeMap<NetworkId, (u64, u64)> = BTreeMap::new();
    for table in &state.tables {
        let table = lock(table);
        for network in table.networks().filter(|network| network.id().as_str() != canary::NETWORK) {
            let live = table.settings();
            let is_current = |current: &heat_view::Current| !current.is_expired(now, live);
            let current =
                network.values().iter().filter(|value| value.as_ref().is_some_and(is_current)).count();
            let count = counts.entry(network.id().clone()).or_default();
            count.0 += network.entries().len() as u64;
            count.1 += current as u64;
        }
    }
    let plant = state.plant();
    let board = lock(&state.board);
    let mut ids: BTreeSet<NetworkId> = board.networks();
    ids.extend(counts.keys().cloned());
    ids.extend(plant.networks.keys().cloned());
    let mut open: BTreeMap<&NetworkId, (u64, heat_model::incident::Priority)> = BTreeMap::new();
    for incident in board.open() {
        let entry = open.entry(&incident.network).or_insert((0, incident.priority));
        entry.0 += 1;
        entry.1 = entry.1.min(incident.priority);
    }
    ids.into_iter()
        .filter(|id| sight.of(id))
        .map(|id| {
            let row = plant.networks.get(&id);
            let (signals, signals_current) = counts.get(&id).copied().unwrap_or_default();
            NetworkSummary {
                name: row.and_then(|row| row.name.clone()),
                medium: row.and_then(|row| row.medium),
                operator: row.and_then(|row| row.operator.clone()),
                district: row.and_then(|row| row.district.clone()),
                signals,
                signals_current,
                incidents_open: open.get(&id).map_or(0, |(count, _)| *count),
                worst_priority: open.get(&id).map(|(_, priority)| *priority),
                id,
            }
        })
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<NetworkSummary>>, Problem> {
    let limit = super::limit(query.limit, 200, 1_000)?;
    let after = query.cursor.as_deref().map(parse_id).transpose()?;
    let mut items: Vec<_> = summaries(&state, &state.sight(&user))
        .into_iter()
        .filter(|network| after.as_ref().is_none_or(|after| network.id > *after))
        .take(limit + 1)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|network| network.id.to_string());
    Ok(Json(Page { items, next }))
}

pub(crate) async fn one(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<NetworkDetail>, Problem> {
    let id = parse_id(&id)?;
    let limit = super::limit(query.limit, SITES_DEFAULT, SITES_MAX)?;
    let after = match query.cursor.as_deref() {
        Some(text) => Some(SiteId::new(text).map_err(|_| super::bad_cursor())?),
        None => None,
    };
    let summary = summaries(&state, &state.sight(&user))
        .into_iter()
        .find(|network| network.id == id)
        .ok_or_else(|| Problem::not_found(format!("no network has the id {id}")))?;
    let status = lock(&state.board).status(&id).cloned();
    Ok(Json(NetworkDetail {
        sites: sites(&state, &id, after.as_ref(), limit, state.clock.now()),
        level: status.as_ref().map(|status| status.level),
        status_at: status.as_ref().map(|status| ApiTime::from_micros(status.at.as_micros())),
        detectors: status.map(|status| status.detectors).unwrap_or_default(),
        circuits: circuits(&state, &id),
        summary,
    }))
}

/// A network's circuits with their seasons.
pub(crate) fn circuits(state: &ApiState, id: &NetworkId) -> Vec<CircuitView> {
    let (plant, now) = (state.plant(), state.now());
    let suggested = lock(&state.board).status(id).map(|status| status.seasons.clone()).unwrap_or_default();
    let desk = lock(&state.desk);
    let rows = plant.circuits.values().filter(|row| row.network == *id);
    rows.map(|row| {
        let planned = plant.calendars.get(&row.id).and_then(|calendar| season_planned(calendar, now));
        let season = SeasonView::of(desk.season(id, &row.id), planned);
        let held = season.as_ref().map_or_else(SeasonState::default, |season| season.state);
        // What was suggested against another state than the one that holds by now is answered.
        let other =
            suggested.iter().find(|other| other.circuit.as_ref() == Some(&row.id) && other.state == held);
        CircuitView {
            id: row.id.clone(),
            kind: row.kind,
            medium: plant.medium(row),
            converted_on: row.converted_on.clone(),
            season,
            suggested: other
                .map(|other| SuggestionView { state: other.suggested, since: ApiTime(other.since) }),
        }
    })
    .collect()
}

pub(crate) fn sites(
    state: &ApiState,
    id: &NetworkId,
    after: Option<&SiteId>,
    limit: usize,
    now: IngestTime,
) -> Page<SiteDetail> {
    let plant = state.plant();
    let mut sites: BTreeMap<SiteId, SiteDetail> = BTreeMap::new();
    let site = |id: &SiteId| {
        let row = plant.sites.get(id);
        let (kind, name) = (row.and_then(|row| row.kind), row.and_then(|row| row.name.clone()));
        SiteDetail { id: id.clone(), kind, name, signals: Vec::new() }
    };
    let wanted = |candidate: &SiteId| after.is_none_or(|after| candidate > after);
    for (site_id, row) in &plant.sites {
        let described = row.network.as_ref() == Some(id) && row.kind != Some(SiteKind::Household);
        if described && wanted(site_id) && sites.len() <= limit {
            sites.insert(site_id.clone(), site(site_id));
        }
    }
    for table in &state.tables {
        let table = lock(table);
        let Some(network) = table.network(id) else { continue };
        for (entry, current) in network.signals(None) {
            let site_id = &entry.id.site;
            if !wanted(site_id) {
                continue;
            }
            let detail = sites.entry(site_id.clone()).or_insert_with(|| site(site_id));
            detail.signals.push(view(entry, current, table.settings(), now));
            // Signals come in order of sites: what lies beyond the page stays beyond it.
            if sites.len() > limit + 1 && sites.pop_last().is_some_and(|(last, _)| last == *site_id) {
                break;
            }
        }
    }
    let mut items: Vec<_> = sites.into_values().take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|site| site.id.to_string());
    Page { items, next }
}

fn parse_id(text: &str) -> Result<NetworkId, Problem> {
    NetworkId::new(text).map_err(|error| Problem::bad_request(format!("network id: {error}")))
}
