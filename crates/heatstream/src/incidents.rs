//! `heatstream incidents`: through the API, also while `up` runs.

use std::time::Duration;

use heat_api::json::IncidentView;
use heat_model::incident::AlarmState;
use heat_runtime::ExitStatus;
use serde_json::{Value, json};

use crate::{
    Failure,
    cli::{ApiArguments, IncidentsCommand},
    out::say,
};

pub(crate) fn run(command: IncidentsCommand) -> Result<ExitStatus, Failure> {
    match command {
        IncidentsCommand::List { all, api } => list(&Client::new(api)?, all),
        IncidentsCommand::Show { id, api } => {
            let client = Client::new(api)?;
            let body = client.get(&format!("incidents/{}", segment(&id)?))?;
            say(serde_json::to_string_pretty(&body)?);
            Ok(ExitStatus::Done)
        }
        IncidentsCommand::Ack { id, api } => act(api, &id, "acknowledge", &json!({})),
        IncidentsCommand::Shelve { id, until, reason, api } => {
            act(api, &id, "shelve", &json!({ "until": until, "reason": reason }))
        }
        IncidentsCommand::Unshelve { id, api } => act(api, &id, "unshelve", &json!({})),
        IncidentsCommand::Work { id, state, api } => act(api, &id, "work", &json!({ "state": state })),
        IncidentsCommand::Repaired { id, pipe, location, cause, size_kg_s, api } => {
            let body = json!({ "pipe": pipe, "location": location, "cause": cause, "size_kg_s": size_kg_s });
            act(api, &id, "repaired", &body)
        }
    }
}

fn list(client: &Client, all: bool) -> Result<ExitStatus, Failure> {
    let body = client.get(if all { "incidents?limit=200" } else { "incidents?state=open&limit=200" })?;
    if client.json {
        say(serde_json::to_string_pretty(&body)?);
        return Ok(ExitStatus::Done);
    }
    let items = body.get("items").cloned().unwrap_or(Value::Array(Vec::new()));
    let incidents: Vec<IncidentView> = serde_json::from_value(items)?;
    if incidents.is_empty() {
        say(if all { "no incidents" } else { "no open incidents" });
    }
    for incident in &incidents {
        say(line(incident));
    }
    Ok(ExitStatus::Done)
}

/// One incident as one line.
pub(crate) fn line(incident: &IncidentView) -> String {
    let place = match (&incident.place, incident.branch.as_slice()) {
        (Some(place), _) => place.clone(),
        (None, []) => "place unknown".to_owned(),
        (None, sites) => format!("branch with {} stations", sites.len()),
    };
    let loss = incident.loss_m3_h.map_or_else(String::new, |loss| format!("  {loss:.1} m3/h"));
    let state = match incident.state {
        AlarmState::Unacknowledged => "UNACKNOWLEDGED",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Shelved => "shelved",
        AlarmState::OutOfService => "out of service",
        AlarmState::AwaitingVerification => "repaired, to be verified",
        AlarmState::Cleared => "cleared",
    };
    format!(
        "{}  {:?}  {:<16} {}  {place}{loss}  {} stations affected  {state}",
        incident.id,
        incident.priority,
        incident.class.as_str(),
        incident.network,
        incident.affected.len(),
    )
}

fn act(api: ApiArguments, id: &str, action: &str, body: &Value) -> Result<ExitStatus, Failure> {
    let client = Client::new(api)?;
    let answer = client.post(&format!("incidents/{}/{action}", segment(id)?), body)?;
    if client.json {
        say(serde_json::to_string_pretty(&answer)?);
    } else {
        say("done");
    }
    Ok(ExitStatus::Done)
}

fn segment(id: &str) -> Result<&str, Failure> {
    id.parse::<heat_model::IncidentId>()
        .map(|_| id)
        .map_err(|error| Failure::new(ExitStatus::Usage, format!("{id:?}: {error}")))
}

/// A client of the API.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    pub(crate) json: bool,
}

impl Client {
    pub(crate) fn new(arguments: ApiArguments) -> Result<Self, Failure> {
        let token = match &arguments.token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::new(ExitStatus::Usage, format!("cannot read {}: {error}", path.display()))
            })?),
            None => None,
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        Ok(Self {
            agent: config.into(),
            base: format!("{}/api/v1", arguments.api.trim_end_matches('/')),
            token: token.map(|token| token.trim().to_owned()),
            json: arguments.json,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let mut request = self.agent.post(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.send_json(body))
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let mut answer = answer.map_err(|error| {
            Failure::new(
                ExitStatus::Failed,
                format!(
                    "the API at {} does not answer: {error}; is `heatstream up` or `api` running?",
                    self.base
                ),
            )
        })?;
        let status = answer.status();
        let body: Value = answer.body_mut().read_json().unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(body);
        }
        let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or("");
        Err(Failure::new(ExitStatus::Failed, format!("{status}: {} {}", word("title"), word("detail"))))
    }
}
