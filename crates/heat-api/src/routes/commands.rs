//! What changes something: commands on incidents, and tickets.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use heat_codec::ticket::{self, DecodedTicket};
use heat_detect::RefusalReason;
use heat_model::{
    Body, IncidentId, NetworkId, SiteId,
    incident::Incident,
    plant::Site,
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
    problem::Problem,
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
        return Err(Problem::unprocessable("reason: say why"));
    }
    Ok(Action::Shelve { incident, until: body.until.0, reason })
}

/// What a crew reports. A pipe must be one of the incident's network, where the plant model knows any: it is the ground
/// truth that detectors are judged by.
pub(crate) fn repair(state: &ApiState, incident: IncidentId, body: RepairedBody) -> Result<Action, Problem> {
    if body.size_kg_s.is_some_and(|size| !size.is_finite() || size < 0.0) {
        return Err(Problem::unprocessable("size_kg_s: a mass flow in kg/s, not negative"));
    }
    if let Some(pipe) = &body.pipe {
        let plant = state.plant();
        let network = lock(&state.board).get(incident).map(|held| held.incident.network.clone());
        let unknown = network.is_some_and(|network| {
            plant.pipes_of(&network).next().is_some() && !plant.has_pipe(&network, pipe)
        });
        if unknown {
            return Err(Problem::unprocessable("pipe: the plant model has no such pipe in this network"));
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

/// Free text of an operator within its bound.
pub(crate) fn checked_text(field: &str, text: String) -> Result<String, Problem> {
    if text.chars().count() > TEXT_MAX_CHARS {
        return Err(Problem::unprocessable(format!("{field}: at most {TEXT_MAX_CHARS} characters")));
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
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail));
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
            SubmitError::Slow { .. } => Problem::unavailable(error.to_string()),
            SubmitError::Append(_) => Problem::unavailable("the log does not take commands at present"),
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
    let decoded = ticket::decode(bytes, state.settings.ticket_text).map_err(|reject| {
        state.metrics.commands.with_label_values(&["ticket", "refused"]).inc();
        // The reject of a ticket names the field and never quotes it.
        Problem::unprocessable(format!("{} {}", reject.reason.as_str(), reject.place).trim().to_owned())
    })?;
    let network = network_of(state, user, &decoded).ok_or_else(|| {
        Problem::unprocessable("network: name one; neither the site nor the plant model tells it")
    })?;
    if !state.sight(user).of(&network) {
        return Err(Problem::unprocessable("network: none that this user sees has this id"));
    }
    check_place(state, &network, decoded.ticket.site.as_ref()).inspect_err(|_| {
        state.metrics.commands.with_label_values(&["ticket", "refused"]).inc();
    })?;
    let id = decoded.ticket.id.clone();
    submit(state, "ticket", &network, &Body::Ticket(decoded.ticket)).await?;
    state.metrics.commands.with_label_values(&["ticket", "applied"]).inc();
    Ok(TicketAnswer { id, network })
}

/// Whether a ticket's network, and its site within it, exist: a mistyped id would leave the ticket where no detector and no
/// dispatcher looks. What the plant model leaves out, but sends readings, exists as well; without a plant model
/// nobody can tell.
fn check_place(state: &ApiState, network: &NetworkId, site: Option<&SiteId>) -> Result<(), Problem> {
    let plant = state.plant();
    let sends = |site: Option<&SiteId>| {
        state.tables.iter().any(|table| {
            lock(table).network(network).is_some_and(|live| {
                site.is_none_or(|site| live.signals(None).any(|(entry, _)| entry.id.site == *site))
            })
        })
    };
    if !plant.networks.is_empty() && !plant.networks.contains_key(network) && !sends(None) {
        return Err(Problem::unprocessable("network: the plant model has no such network"));
    }
    let Some(site) = site else { return Ok(()) };
    let lies_here = |row: &Site| row.network.as_ref().is_none_or(|of| of == network);
    if plant.sites.values().any(lies_here)
        && !plant.sites.get(site).is_some_and(lies_here)
        && !sends(Some(site))
    {
        return Err(Problem::unprocessable("site: the plant model has no such site in this network"));
    }
    Ok(())
}

/// The network that a ticket names, else its site's, else the only one there is.
fn network_of(state: &ApiState, user: &User, ticket: &DecodedTicket) -> Option<NetworkId> {
    let of_site = || {
        let plant = state.plant();
        plant.sites.get(ticket.ticket.site.as_ref()?)?.network.clone()
    };
    let only = || {
        let mut networks = super::networks::summaries(state, &state.sight(user)).into_iter();
        match (networks.next(), networks.next()) {
            (Some(only), None) => Some(only.id),
            _ => None,
        }
    };
    ticket.network.clone().or_else(of_site).or_else(only)
}
