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
    Body, IncidentId, NetworkId,
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
        WorkBody,
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
    command(&state, &user, incident, Action::Acknowledge { incident, version: body.version }).await
}

pub(crate) async fn shelve(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<ShelveBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    let reason = text("reason", body.reason)?;
    if reason.trim().is_empty() {
        return Err(Problem::unprocessable("reason: say why"));
    }
    command(&state, &user, incident, Action::Shelve { incident, until: body.until.0, reason }).await
}

pub(crate) async fn unshelve(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(UnshelveBody {}): StrictJson<UnshelveBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    command(&state, &user, incident, Action::Unshelve { incident }).await
}

pub(crate) async fn work(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<WorkBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    command(&state, &user, incident, Action::Work { incident, state: body.state }).await
}

pub(crate) async fn repaired(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<RepairedBody>,
) -> Result<Response, Problem> {
    let incident = parse_id(&id)?;
    if body.size_kg_s.is_some_and(|size| !size.is_finite() || size < 0.0) {
        return Err(Problem::unprocessable("size_kg_s: a mass flow in kg/s, not negative"));
    }
    let action = Action::Repaired {
        incident,
        pipe: body.pipe,
        location: body.location.map(|location| text("location", location)).transpose()?,
        cause: body.cause.map(|cause| text("cause", cause)).transpose()?,
        size_kg_s: body.size_kg_s,
    };
    command(&state, &user, incident, action).await
}

fn text(field: &str, text: String) -> Result<String, Problem> {
    if text.chars().count() > TEXT_MAX_CHARS {
        return Err(Problem::unprocessable(format!("{field}: at most {TEXT_MAX_CHARS} characters")));
    }
    Ok(text)
}

/// The action's word in metrics and logs.
const fn word(action: &Action) -> &'static str {
    match action {
        Action::Acknowledge { .. } => "acknowledge",
        Action::Shelve { .. } => "shelve",
        Action::Unshelve { .. } => "unshelve",
        Action::Work { .. } => "work",
        Action::Repaired { .. } => "repaired",
        Action::Season { .. } => "season",
        Action::MaintenanceBegin { .. } => "maintenance_begin",
        Action::MaintenanceEnd { .. } => "maintenance_end",
    }
}

/// Appends the command, waits for the processor's answer, and says what became of it.
async fn command(
    state: &ApiState,
    user: &User,
    incident: IncidentId,
    action: Action,
) -> Result<Response, Problem> {
    let network = lock(&state.board).get(incident).map(|held| held.incident.network.clone());
    let network = network.ok_or_else(|| unknown(incident))?;
    let word = word(&action);
    let body = Body::Command(Command { user: user.name.as_ref().to_owned(), action });
    let command = submit(state, word, &network, &body).await?;
    tracing::info!(user = %user.name, action = word, incident = %incident, "a command is in the log");
    let outcome = state.outcomes.wait(command, &user.name, incident).await;
    let count = |outcome: &str| state.metrics.commands.with_label_values(&[word, outcome]).inc();
    match outcome {
        Some(Outcome::Applied { incident, .. }) => {
            count("applied");
            let answer = CommandAnswer { applied: true, incident: (&*incident).into() };
            Ok((StatusCode::OK, Json(answer)).into_response())
        }
        Some(Outcome::Refused(refusal)) => {
            count("refused");
            Err(refused(&refusal.reason))
        }
        None => {
            count("unanswered");
            let view = lock(&state.board).get(incident).map(|held| IncidentView::from(&held.incident));
            let incident = view.ok_or_else(|| unknown(incident))?;
            Ok((StatusCode::ACCEPTED, Json(CommandAnswer { applied: false, incident })).into_response())
        }
    }
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
            SubmitError::Slow => Problem::unavailable(error.to_string()),
            SubmitError::Append(_) => Problem::unavailable("the log does not take commands at present"),
        }
    })
}

pub(crate) async fn ticket(
    State(state): State<ApiState>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, Problem> {
    let decoded = ticket::decode(&bytes, state.settings.ticket_text).map_err(|reject| {
        state.metrics.commands.with_label_values(&["ticket", "refused"]).inc();
        // The reject of a ticket names the field and never quotes it.
        Problem::unprocessable(format!("{} {}", reject.reason.as_str(), reject.place).trim().to_owned())
    })?;
    let network = network_of(&state, &decoded).ok_or_else(|| {
        Problem::unprocessable("network: name one; neither the site nor the plant model tells it")
    })?;
    let id = decoded.ticket.id.clone();
    submit(&state, "ticket", &network, &Body::Ticket(decoded.ticket)).await?;
    state.metrics.commands.with_label_values(&["ticket", "applied"]).inc();
    Ok((StatusCode::ACCEPTED, Json(TicketAnswer { id, network })).into_response())
}

/// The network that a ticket names, else its site's, else the only one there is.
fn network_of(state: &ApiState, ticket: &DecodedTicket) -> Option<NetworkId> {
    let of_site = || {
        let plant = state.plant();
        plant.sites.get(ticket.ticket.site.as_ref()?)?.network.clone()
    };
    let only = || {
        let mut networks = super::networks::summaries(state).into_iter();
        match (networks.next(), networks.next()) {
            (Some(only), None) => Some(only.id),
            _ => None,
        }
    };
    ticket.network.clone().or_else(of_site).or_else(only)
}
