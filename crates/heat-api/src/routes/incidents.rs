//! `incidents` and one of them.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use heat_model::{IncidentId, NetworkId, incident::Class};
use heat_view::board::{ListKey, alarm_word, is_cleared};
use serde::Deserialize;

use crate::{
    auth::User,
    extract::StrictQuery,
    json::{ApiTime, IncidentDetail, IncidentView, Page, desk::RepairView},
    problem::Problem,
    state::{ApiState, lock},
    tickets::Linker,
    work,
};

/// Newest tickets of a network that are looked at for one incident.
const TICKETS_LOOKED_AT_MAX: usize = 2_000;

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
    Extension(user): Extension<User>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<IncidentView>>, Problem> {
    let limit = super::limit(query.limit, 100, 500)?;
    if query.state.as_deref().is_some_and(|wanted| !STATES.contains(&wanted)) {
        return Err(Problem::bad_request(format!("query: state must be one of {}", STATES.join(", "))));
    }
    let sight = state.sight(&user);
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
        .filter(|incident| sight.of(&incident.network))
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
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> Result<Json<IncidentDetail>, Problem> {
    detail(&state, &user, parse_id(&id)?).map(Json)
}

/// An incident with what people said and did about it.
pub(crate) fn detail(state: &ApiState, user: &User, id: IncidentId) -> Result<IncidentDetail, Problem> {
    let (sight, plant) = (state.sight(user), state.plant());
    let board = lock(&state.board);
    let held = board.get(id).filter(|held| sight.of(&held.incident.network)).ok_or_else(|| unknown(id))?;
    let steps = work::steps(held, &state.settings.deadlines, state.now());
    let mut detail = IncidentDetail::of(held, steps);
    let desk = lock(&state.desk);
    detail.repair = desk.repair_of(id).map(RepairView::from);
    let tickets = desk
        .tickets_newest_first(None)
        .filter(|entry| entry.network == held.incident.network)
        .take(TICKETS_LOOKED_AT_MAX);
    let linker = Linker::new(&board, &desk, &plant);
    detail.tickets =
        linker.of_incident(id, tickets).into_iter().map(|(entry, _)| entry.ticket.id.clone()).collect();
    Ok(detail)
}

pub(crate) fn parse_id(text: &str) -> Result<IncidentId, Problem> {
    text.parse()
        .map_err(|error| Problem::bad_request(format!("{error}")).in_chinese("事件编号为 16 位十六进制数"))
}

pub(crate) fn unknown(id: IncidentId) -> Problem {
    Problem::not_found(format!("no incident known here has the id {id}"))
        .in_chinese(format!("没有编号为 {id} 的事件，或已超过保留期限"))
}
