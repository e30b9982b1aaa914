//! `incidents` and one of them.

use axum::{
    Json,
    extract::{Path, State},
};
use heat_model::{IncidentId, NetworkId, incident::Class};
use heat_view::board::{ListKey, alarm_word, is_cleared};
use serde::Deserialize;

use crate::{
    extract::StrictQuery,
    json::{ApiTime, IncidentDetail, IncidentView, Page},
    problem::Problem,
    state::{ApiState, lock},
};

const STATES: [&str; 7] = [
    "open",
    "unacknowledged",
    "acknowledged",
    "shelved",
    "out_of_service",
    "awaiting_verification",
    "cleared",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<String>,
    network: Option<NetworkId>,
    class: Option<Class>,
    since: Option<ApiTime>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<IncidentView>>, Problem> {
    let limit = super::limit(query.limit, 100, 500)?;
    if query.state.as_deref().is_some_and(|wanted| !STATES.contains(&wanted)) {
        return Err(Problem::bad_request(format!("query: state must be one of {}", STATES.join(", "))));
    }
    let board = lock(&state.board);
    let after = match query.cursor.as_deref() {
        Some(text) => {
            let id: IncidentId = text.parse().map_err(|_| super::bad_cursor())?;
            let gone = "the incident of the cursor is no longer kept: begin without it";
            let held = board.get(id).ok_or_else(|| Problem::not_found(gone))?;
            Some(ListKey::of(&held.incident))
        }
        None => None,
    };
    let mut items: Vec<IncidentView> = board
        .list(after)
        .filter(|incident| match query.state.as_deref() {
            None => true,
            Some("open") => !is_cleared(incident),
            Some(wanted) => alarm_word(incident.alarm) == wanted,
        })
        .filter(|incident| query.network.as_ref().is_none_or(|network| *network == incident.network))
        .filter(|incident| query.class.is_none_or(|class| class == incident.class))
        .filter(|incident| query.since.is_none_or(|since| incident.updated.as_event_now() >= since.0))
        .take(limit + 1)
        .map(IncidentView::from)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|incident| incident.id.to_string());
    Ok(Json(Page { items, next }))
}

pub(crate) async fn one(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<IncidentDetail>, Problem> {
    let id = parse_id(&id)?;
    let board = lock(&state.board);
    let held = board.get(id).ok_or_else(|| unknown(id))?;
    Ok(Json(held.into()))
}

pub(crate) fn parse_id(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{error}")))
}

pub(crate) fn unknown(id: IncidentId) -> Problem {
    Problem::not_found(format!("no incident known here has the id {id}"))
}
