//! What changes something: commands on incidents, and tickets.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use heat_codec::{
    reject::Reject,
    ticket::{self, DecodedTicket},
};
use heat_detect::RefusalReason;
use heat_model::{
    Body, IncidentId, NetworkId, SiteId,
    incident::Incident,
    record::{Action, Command},
};
use heat_runtime::tasks::Chain;

use super::incidents::{parse_id, unknown};
use crate::{
    auth::User,
    commands::{CommandId, Outcome, SubmitError},
    extract::{JsonBytes, StrictJson},
    json::{
        AcknowledgeBody, CommandAnswer, IncidentView, RepairedBody, ShelveBody, TicketAnswer, UnshelveBody,
        WorkBody, desk::TakenAnswer,
    },
    problem::{Problem, words},
    state::{ApiState, lock},
};

/// Longest reason, location and cause, in characters.
const TEXT_MAX_CHARS: usize = 500;

pub(crate) async fn acknowledge(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<AcknowledgeBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    answer(&state, &user, incident, Action::Acknowledge { incident, version: body.version }).await
}

pub(crate) async fn shelve(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<ShelveBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    let action = shelving(incident, body)?;
    answer(&state, &user, incident, action).await
}

pub(crate) async fn unshelve(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(UnshelveBody {}): StrictJson<UnshelveBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    answer(&state, &user, incident, Action::Unshelve { incident }).await
}

pub(crate) async fn work(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<WorkBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    answer(&state, &user, incident, Action::Work { incident, state: body.state }).await
}

pub(crate) async fn repaired(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<RepairedBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    let action = repair(&state, incident, body)?;
    answer(&state, &user, incident, action).await
}

/// A shelving as asked for.
pub(crate) fn shelving(incident: IncidentId, body: ShelveBody) -> Result<Action, Problem> {
    let reason = checked_text("reason", body.reason)?;
    if reason.trim().is_empty() {
        return Err(without_reason());
    }
    Ok(Action::Shelve { incident, until: body.until.0, reason })
}

/// What a crew reports. A pipe must be one of the incident's network, where the plant model knows any: it is the ground
/// truth that detectors are judged by.
pub(crate) fn repair(state: &ApiState, incident: IncidentId, body: RepairedBody) -> Result<Action, Problem> {
    if body.size_kg_s.is_some_and(|size| !size.is_finite() || size < 0.0) {
        return Err(Problem::unprocessable("size_kg_s: a mass flow in kg/s, not negative")
            .in_chinese("失水量：请填写不小于 0 的数"));
    }
    if let Some(pipe) = &body.pipe {
        let plant = state.plant();
        let network = lock(&state.board).get(incident).map(|held| held.incident.network.clone());
        let unknown = network.is_some_and(|network| {
            plant.pipes_of(&network).next().is_some() && !plant.has_pipe(&network, pipe)
        });
        if unknown {
            return Err(Problem::unprocessable("pipe: the plant model has no such pipe in this network")
                .in_chinese("管段：该热网的管网模型中没有这个编号，请从列表中选择"));
        }
    }
    Ok(Action::Repaired {
        incident,
        pipe: body.pipe,
        location: body.location.map(|location| checked_text("location", location)).transpose()?,
        cause: body.cause.map(|cause| checked_text("cause", cause)).transpose()?,
        size_kg_s: body.size_kg_s,
    })
}

/// Whoever takes something out of sight says why.
pub(crate) fn without_reason() -> Problem {
    Problem::unprocessable("reason: say why").in_chinese("请填写原因")
}

/// Free text of an operator within its bound.
pub(crate) fn checked_text(field: &str, text: String) -> Result<String, Problem> {
    if text.chars().count() > TEXT_MAX_CHARS {
        return Err(Problem::unprocessable(format!("{field}: at most {TEXT_MAX_CHARS} characters"))
            .in_chinese(format!("填写的文字过长，最多 {TEXT_MAX_CHARS} 字")));
    }
    Ok(text)
}

/// The action's word in metrics and logs.
pub(crate) const fn word(action: &Action) -> &'static str {
    match action {
        Action::Acknowledge { .. } => "acknowledge",
        Action::Shelve { .. } => "shelve",
        Action::Unshelve { .. } => "unshelve",
        Action::Work { .. } => "work",
        Action::Repaired { .. } => "repaired",
        Action::Season { .. } => "season",
        Action::MaintenanceBegin { .. } => "maintenance_begin",
        Action::MaintenanceEnd { .. } => "maintenance_end",
        Action::FollowUp { .. } => "follow_up",
    }
}

/// What became of a command on an incident.
#[derive(Debug)]
pub(crate) enum Carried {
    /// The processor has carried it out; the state after it.
    Out(Box<Incident>),
    /// It is durable; the processor has not answered yet.
    Pending,
}

/// Appends the command, waits for the processor's answer, and says what became of it.
pub(crate) async fn command(
    state: &ApiState,
    user: &User,
    incident: IncidentId,
    action: Action,
) -> Result<Carried, Problem> {
    let network = lock(&state.board).get(incident).map(|held| held.incident.network.clone());
    let network = network.filter(|network| state.sight(user).of(network)).ok_or_else(|| unknown(incident))?;
    let word = word(&action);
    let body = Body::Command(Command { user: user.name.as_ref().to_owned(), action });
    let command = submit(state, word, &network, &body).await?;
    tracing::info!(user = %user.name, action = word, incident = %incident, "a command is in the log");
    let outcome = state.outcomes.wait(command, &user.name, incident).await;
    let count = |outcome: &str| state.metrics.commands.with_label_values(&[word, outcome]).inc();
    match outcome {
        Some(Outcome::Applied { incident, .. }) => {
            count("applied");
            Ok(Carried::Out(incident))
        }
        Some(Outcome::Refused(refusal)) => {
            count("refused");
            Err(refused(&refusal.reason))
        }
        None => {
            count("unanswered");
            Ok(Carried::Pending)
        }
    }
}

async fn answer(
    state: &ApiState,
    user: &User,
    incident: IncidentId,
    action: Action,
) -> Result<Response, Problem> {
    match command(state, user, incident, action).await? {
        Carried::Out(incident) => {
            let answer = CommandAnswer { applied: true, incident: (&*incident).into() };
            Ok((StatusCode::OK, Json(answer)).into_response())
        }
        Carried::Pending => {
            let view = lock(&state.board).get(incident).map(|held| IncidentView::from(&held.incident));
            let incident = view.ok_or_else(|| unknown(incident))?;
            Ok((StatusCode::ACCEPTED, Json(CommandAnswer { applied: false, incident })).into_response())
        }
    }
}

/// Appends a command that is about no incident. The processor says something of it only when it refuses it.
pub(crate) async fn take(
    state: &ApiState,
    user: &User,
    network: &NetworkId,
    action: Action,
) -> Result<TakenAnswer, Problem> {
    if blinds_a_whole(&action) && !user.role.governs() {
        state.metrics.refused.with_label_values(&["role"]).inc();
        let detail = "a circuit's season, and a maintenance window without a place, are an admin's to set";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
            .in_chinese("更改供热阶段、不指定地点的检修，须由管理员操作"));
    }
    let word = word(&action);
    let body = Body::Command(Command { user: user.name.as_ref().to_owned(), action });
    submit(state, word, network, &body).await?;
    tracing::info!(user = %user.name, action = word, network = %network, "a command is in the log");
    state.metrics.commands.with_label_values(&[word, "taken"]).inc();
    Ok(TakenAnswer { network: network.clone() })
}

/// Whether detection rests for a whole network or circuit after it.
const fn blinds_a_whole(action: &Action) -> bool {
    matches!(action, Action::Season { .. } | Action::MaintenanceBegin { place: None, .. })
}

fn refused(reason: &RefusalReason) -> Problem {
    let kind = match reason {
        RefusalReason::StaleVersion { .. } => "stale-version",
        RefusalReason::NeedsSecondUser => "needs-second-user",
        RefusalReason::UnknownIncident
        | RefusalReason::NotInThisState { .. }
        | RefusalReason::EndOutOfBounds { .. }
        | RefusalReason::NoNetwork
        | RefusalReason::UnknownWindow
        | RefusalReason::TooMany { .. }
        | RefusalReason::UnknownModel(_) => "refused",
    };
    Problem::new(StatusCode::CONFLICT, kind, "The processor refused the command", reason.to_string())
        .in_chinese(words::refusal(reason))
}

async fn submit(
    state: &ApiState,
    word: &str,
    network: &NetworkId,
    body: &Body,
) -> Result<CommandId, Problem> {
    state.commander.submit(network, body, state.clock.now()).await.map_err(|error| {
        state.metrics.commands.with_label_values(&[word, "not_durable"]).inc();
        tracing::warn!(error = %Chain(&error), action = word, "a command is not durable");
        match error {
            SubmitError::Slow { .. } => Problem::unavailable(error.to_string())
                .in_chinese("指令尚未写入日志，稍后仍可能生效，请刷新页面查看"),
            SubmitError::Append(_) => Problem::unavailable("the log does not take commands at present")
                .in_chinese("日志暂时不接受指令，请稍后再试"),
        }
    })
}

pub(crate) async fn ticket(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, Problem> {
    let answer = accept_ticket(&state, &user, &bytes).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Takes a ticket in the interface's JSON, whoever wrote it.
pub(crate) async fn accept_ticket(
    state: &ApiState,
    user: &User,
    bytes: &[u8],
) -> Result<TicketAnswer, Problem> {
    let decoded = ticket::decode(bytes, state.settings.ticket_text);
    let placed = decoded.map_err(|reject| ticket_problem(&reject)).and_then(|decoded| {
        ticket::check_time(&decoded.ticket, state.clock.now()).map_err(|reject| ticket_problem(&reject))?;
        let network = ticket_network(state, user, &decoded)?;
        Ok((network, decoded.ticket))
    });
    let (network, ticket) = placed.inspect_err(|_| {
        state.metrics.commands.with_label_values(&["ticket", "refused"]).inc();
    })?;
    let id = ticket.id.clone();
    submit(state, "ticket", &network, &Body::Ticket(ticket)).await?;
    state.metrics.commands.with_label_values(&["ticket", "applied"]).inc();
    Ok(TicketAnswer { id, network })
}

/// Where a ticket goes, by the rule that the gateway goes by too; what readings are of, all API's tables tell.
fn ticket_network(state: &ApiState, user: &User, decoded: &DecodedTicket) -> Result<NetworkId, Problem> {
    let plant = state.plant();
    let site = decoded.ticket.site.as_ref();
    let only = || {
        let mut networks = super::networks::summaries(state, &state.sight(user)).into_iter();
        match (networks.next(), networks.next()) {
            (Some(only), None) => Some(only.id),
            _ => None,
        }
    };
    let network = plant.places.network_of(decoded.network.as_ref(), site, only).map_err(|_| {
        Problem::unprocessable("network: name one; neither the site nor the plant model tells it")
            .in_chinese("请选择热网：仅凭站点无法确定")
    })?;
    if !state.sight(user).of(&network) {
        return Err(Problem::unprocessable("network: none that this user sees has this id")
            .in_chinese("热网：没有这个编号，或您无权查看"));
    }
    let sends = |site: Option<&SiteId>| {
        state.tables.iter().any(|table| {
            lock(table).network(&network).is_some_and(|live| {
                site.is_none_or(|site| live.signals(None).any(|(entry, _)| entry.id.site == *site))
            })
        })
    };
    plant.places.check(&network, site, sends).map_err(|reject| ticket_problem(&reject))?;
    Ok(network)
}

/// The reject of a ticket names the field and never quotes it.
fn ticket_problem(reject: &Reject) -> Problem {
    let field = reject.place.trim_start_matches('/');
    let (english, chinese) = words::ticket_fault(reject.reason);
    let place = if field.is_empty() { "body" } else { field };
    Problem::unprocessable(format!("{place}: {english} ({})", reject.reason))
        .in_chinese(format!("{}：{chinese}", words::ticket_field(field)))
}
