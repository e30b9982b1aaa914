//! Tickets read back and followed up, maintenance windows, seasons, and repairs as labels.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use heat_codec::{labels, ticket};
use heat_model::{CircuitId, NetworkId, label::Label, record::Action, ticket::TicketKind};
use serde::Deserialize;

use super::commands::{checked_text, take, without_reason};
use crate::{
    auth::User,
    extract::{StrictJson, StrictQuery},
    json::{
        ApiTime, Page,
        desk::{FollowUpBody, SeasonBody, TakenAnswer, TicketView, WindowBody, WindowEndBody, WindowView},
    },
    problem::Problem,
    state::{ApiState, lock},
    tickets::{FollowUpState, Linker},
};

/// Longest maintenance window, as the processor has it.
const WINDOW_MAX_US: i64 = 30 * 24 * 3_600_000_000;
/// Longest name of a window, in bytes.
const WINDOW_ID_MAX_BYTES: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketQuery {
    network: Option<NetworkId>,
    kind: Option<TicketKind>,
    external_id: Option<String>,
    follow_up: Option<FollowUpState>,
    /// Only tickets of which something changed then or later.
    changed_since: Option<ApiTime>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn tickets(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    StrictQuery(query): StrictQuery<TicketQuery>,
) -> Result<Json<Page<TicketView>>, Problem> {
    let limit = super::limit(query.limit, 100, 500)?;
    let (sight, plant) = (state.sight(&user), state.plant());
    let board = lock(&state.board);
    let desk = lock(&state.desk);
    let before = match query.cursor.as_deref() {
        Some(text) => {
            let (network, id) = text.split_once('/').ok_or_else(super::bad_cursor)?;
            let network = NetworkId::new(network).map_err(|_| super::bad_cursor())?;
            Some(desk.ticket_by_id(&network, id).ok_or_else(super::bad_cursor)?)
        }
        None => None,
    };
    let linker = Linker::new(&board, &desk, &plant);
    let since = query.changed_since.map(|since| since.0.as_micros());
    let found: Vec<_> = desk
        .tickets_newest_first(before)
        .filter(|entry| sight.of(&entry.network))
        .filter(|entry| query.network.as_ref().is_none_or(|wanted| entry.network == *wanted))
        .filter(|entry| query.kind.is_none_or(|wanted| entry.ticket.kind == wanted))
        .filter(|entry| query.external_id.is_none() || entry.ticket.external_id == query.external_id)
        .filter(|entry| {
            if since.is_none() && query.follow_up.is_none() {
                return true;
            }
            let case = linker.case(entry);
            since.is_none_or(|since| case.progress.updated.as_micros() >= since)
                && query.follow_up.is_none_or(|wanted| case.follow_up == Some(wanted))
        })
        .take(limit + 1)
        .collect();
    let shown = &found[..found.len().min(limit)];
    let items = shown.iter().map(|entry| TicketView::of(entry, &linker, &plant)).collect();
    let next = shown.last().filter(|_| found.len() > limit);
    let next = next.map(|entry| format!("{}/{}", entry.network, entry.ticket.id));
    Ok(Json(Page { items, next }))
}

pub(crate) async fn follow_up(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<FollowUpBody>,
) -> Result<Response, Problem> {
    let answer = call_back(&state, &user, id, body).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Takes down what a call back to a ticket's caller gave. What is known already is not written again.
pub(crate) async fn call_back(
    state: &ApiState,
    user: &User,
    id: String,
    body: FollowUpBody,
) -> Result<TakenAnswer, Problem> {
    let FollowUpBody { outcome, note, network } = body;
    let note = note.map(|note| checked_text("note", note)).transpose()?;
    let note = note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    let note = note.and_then(|note| ticket::kept(note, state.settings.ticket_text));
    let network = {
        let (sight, plant) = (state.sight(user), state.plant());
        let board = lock(&state.board);
        let desk = lock(&state.desk);
        let mut named = desk
            .tickets_newest_first(None)
            .filter(|entry| entry.ticket.id == id && sight.of(&entry.network))
            .filter(|entry| network.as_ref().is_none_or(|wanted| entry.network == *wanted));
        let entry = named.next().ok_or_else(|| {
            Problem::not_found("no ticket that is kept has this id").in_chinese("没有这个编号的工单")
        })?;
        if named.next().is_some() {
            return Err(Problem::unprocessable(
                "network: tickets of several networks have this id; name one",
            ));
        }
        let case = Linker::new(&board, &desk, &plant).case(entry);
        if case.follow_up.is_none() {
            let title = "The ticket is not closed";
            let detail = "there is nothing to call back about before the case is closed";
            return Err(Problem::new(StatusCode::CONFLICT, "refused", title, detail)
                .in_chinese("工单尚未办结，无需回访"));
        }
        // Every call that reached nobody is a call of its own.
        let is_known = case.call.is_some_and(|call| call.outcome == outcome && call.note == note);
        if is_known && outcome.is_reached() {
            return Ok(TakenAnswer { network: entry.network.clone() });
        }
        entry.network.clone()
    };
    take(state, user, &network, Action::FollowUp { ticket: id, outcome, note }).await
}

pub(crate) async fn windows(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
) -> Json<Page<WindowView>> {
    let sight = state.sight(&user);
    let desk = lock(&state.desk);
    let seen = desk.windows(state.now()).filter(|window| sight.of(&window.network));
    Json(Page { items: seen.map(WindowView::from).collect(), next: None })
}

pub(crate) async fn begin_window(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(network): Path<String>,
    StrictJson(body): StrictJson<WindowBody>,
) -> Result<Response, Problem> {
    let network = known_network(&state, &user, &network)?;
    let action = window_action(&state, &network, body)?;
    let answer = take(&state, &user, &network, action).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// A window's beginning, checked by what the API knows; the processor checks again.
pub(crate) fn window_action(
    state: &ApiState,
    network: &NetworkId,
    body: WindowBody,
) -> Result<Action, Problem> {
    let WindowBody { id, place, until, reason } = body;
    let id = id.trim().to_owned();
    if id.is_empty() || id.len() > WINDOW_ID_MAX_BYTES || id.chars().any(|c| c.is_control() || c == '/') {
        let detail = format!("id: a short name of at most {WINDOW_ID_MAX_BYTES} bytes, without /");
        return Err(Problem::unprocessable(detail)
            .in_chinese(format!("名称：请填写简短的名称，最多 {WINDOW_ID_MAX_BYTES} 字节，不含 /")));
    }
    let reason = checked_text("reason", reason)?;
    if reason.trim().is_empty() {
        return Err(without_reason());
    }
    let ahead = until.0.as_micros().saturating_sub(state.now().as_micros());
    if !(1..=WINDOW_MAX_US).contains(&ahead) {
        return Err(Problem::unprocessable("until: must lie within the next 30 days")
            .in_chinese("截止时间：须在今后 30 天之内"));
    }
    let place = place.map(|place| place.trim().to_owned()).filter(|place| !place.is_empty());
    if let Some(place) = &place {
        let plant = state.plant();
        let is_pipe = heat_model::PipeId::new(place).is_ok_and(|pipe| plant.has_pipe(network, &pipe));
        let is_site = heat_model::SiteId::new(place).is_ok_and(|site| {
            plant.sites.get(&site).is_some_and(|row| row.network.as_ref() == Some(network))
        });
        if !is_pipe && !is_site && !plant.sites.is_empty() {
            let detail = "place: the plant model has no such site or pipe in this network";
            return Err(
                Problem::unprocessable(detail).in_chinese("地点：该热网的管网模型中没有这个站点或管段")
            );
        }
    }
    Ok(Action::MaintenanceBegin { id, place, until: until.0, reason })
}

pub(crate) async fn end_window(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path((network, window)): Path<(String, String)>,
    StrictJson(WindowEndBody {}): StrictJson<WindowEndBody>,
) -> Result<Response, Problem> {
    let network = known_network(&state, &user, &network)?;
    let answer = end(&state, &user, &network, window).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Ends a window that holds.
pub(crate) async fn end(
    state: &ApiState,
    user: &User,
    network: &NetworkId,
    window: String,
) -> Result<TakenAnswer, Problem> {
    let holds = {
        let desk = lock(&state.desk);
        desk.windows(state.now()).any(|held| held.network == *network && held.id == window)
    };
    if !holds {
        return Err(Problem::not_found(format!("no maintenance window {window:?} holds in this network"))
            .in_chinese(format!("该热网没有名为“{window}”的检修")));
    }
    take(state, user, network, Action::MaintenanceEnd { id: window }).await
}

pub(crate) async fn season(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(circuit): Path<String>,
    StrictJson(body): StrictJson<SeasonBody>,
) -> Result<Response, Problem> {
    let no_circuit = || Problem::not_found("the plant model has no such circuit");
    let circuit = CircuitId::new(&circuit).map_err(|_| no_circuit())?;
    let network = state.plant().circuits.get(&circuit).map(|row| row.network.clone());
    let network = network.filter(|network| state.sight(&user).of(network)).ok_or_else(no_circuit)?;
    let action = Action::Season { circuit, state: body.state };
    let answer = take(&state, &user, &network, action).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// A network that this user sees.
pub(crate) fn known_network(state: &ApiState, user: &User, id: &str) -> Result<NetworkId, Problem> {
    let unknown = || Problem::not_found("no network has this id").in_chinese("没有这个编号的热网");
    let id = NetworkId::new(id).map_err(|_| unknown())?;
    let is_known = state.plant().networks.contains_key(&id)
        || state.tables.iter().any(|table| lock(table).network(&id).is_some())
        || lock(&state.board).networks().contains(&id);
    if is_known && state.sight(user).of(&id) { Ok(id) } else { Err(unknown()) }
}

/// What crews found, as labels for `backtest`: the utility's ground truth.
pub(crate) async fn repairs(State(state): State<ApiState>, Extension(user): Extension<User>) -> Response {
    let (sight, plant) = (state.sight(&user), state.plant());
    let board = lock(&state.board);
    let desk = lock(&state.desk);
    let labels: Vec<Label> = desk
        .repairs()
        .filter(|repair| sight.of(&repair.network))
        .filter_map(|repair| {
            let incident = &board.get(repair.incident)?.incident;
            let side = repair.pipe.as_ref().and_then(|pipe| plant.pipes.get(pipe)?.side).or(incident.side);
            Some(Label {
                event: incident.id.to_string(),
                class: incident.class.as_str().to_owned(),
                network: repair.network.clone(),
                start: incident.onset,
                end: heat_model::EventTime::from_micros(repair.at.as_micros()),
                place: repair.pipe.as_ref().map(ToString::to_string).unwrap_or_default(),
                side: side.map(|side| side.as_str().to_owned()).unwrap_or_default(),
                size_kg_s: repair.size_kg_s,
            })
        })
        .collect();
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"repairs.csv\""),
    ];
    (headers, labels::write(&labels)).into_response()
}
