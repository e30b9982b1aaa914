//! Silences: what there should be, against what an Alertmanager has.
//!
//! Nothing is remembered from one look to the next: a restart on either side, a second exporter, or a silence that
//! somebody removed end in the same state.

use std::{collections::BTreeMap, time::Duration};

use heat_codec::time_text::{parse_rfc3339, rfc3339};
use heat_model::{EventTime, IncidentId, IngestTime, incident::AlarmState};
use heat_view::board::alarm_word;
use serde::{Deserialize, Serialize};

use super::{alert::ALERT_NAME, book::Quiet};

/// Who sets the silences; only what this name set is taken back.
pub const CREATED_BY: &str = "heatstream";

/// A silence for an incident that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Alertmanager's id.
    pub id: String,
    /// The incident.
    pub incident: IncidentId,
    /// Its end.
    pub ends: EventTime,
}

/// Something to do about silences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Make one, or set another end to one.
    Set {
        /// The one to change; none makes one.
        id: Option<String>,
        /// The incident.
        incident: IncidentId,
        /// Its end.
        ends: EventTime,
        /// Why.
        comment: String,
    },
    /// End one.
    Expire {
        /// Which.
        id: String,
    },
}

impl Act {
    /// The word in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Set { id: None, .. } => "created",
            Self::Set { id: Some(_), .. } => "extended",
            Self::Expire { .. } => "expired",
        }
    }
}

/// What is to be done so that exactly the incidents of `wanted` are silenced. Silences of incidents that are not `known`
/// may be another heatstream's: they are left to lapse.
pub fn reconcile(
    found: &[Found],
    wanted: &BTreeMap<IncidentId, Quiet>,
    known: impl Fn(IncidentId) -> bool,
    now: IngestTime,
    hold: Duration,
) -> Vec<Act> {
    let mut best: BTreeMap<IncidentId, &Found> = BTreeMap::new();
    for silence in found {
        let held = best.entry(silence.incident).or_insert(silence);
        if (silence.ends, &silence.id) > (held.ends, &held.id) {
            *held = silence;
        }
    }
    let mut acts = Vec::new();
    for (&incident, &quiet) in wanted {
        let held = best.get(&incident).copied();
        if let Some(ends) = new_end(quiet, held.map(|held| held.ends), now, hold) {
            let id = held.map(|held| held.id.clone());
            acts.push(Act::Set { id, incident, ends, comment: comment(quiet) });
        }
    }
    for silence in found {
        let is_kept = wanted.contains_key(&silence.incident)
            && best.get(&silence.incident).is_some_and(|best| best.id == silence.id);
        if !is_kept && known(silence.incident) {
            acts.push(Act::Expire { id: silence.id.clone() });
        }
    }
    acts
}

/// The end that a silence is to get, if it is not to stay as it is.
fn new_end(quiet: Quiet, held: Option<EventTime>, now: IngestTime, hold: Duration) -> Option<EventTime> {
    let now = EventTime::from_micros(now.as_micros());
    match quiet {
        // The processor unshelves it; a silence that would end in the past cannot be made.
        Quiet::Until(until) if until <= now => None,
        Quiet::Until(until) => {
            let second = |time: EventTime| time.second();
            held.is_none_or(|held| second(held) != second(until)).then_some(until)
        }
        Quiet::WhileItLasts(_) => {
            let lasts = held.is_some_and(|held| held > now.plus(hold / 2) && held <= now.plus(hold));
            (!lasts).then(|| now.plus(hold))
        }
    }
}

fn comment(quiet: Quiet) -> String {
    let state = match quiet {
        Quiet::Until(until) => return format!("shelved in heatstream until {}", rfc3339(until)),
        Quiet::WhileItLasts(state) => state,
    };
    let word = alarm_word(state);
    match state {
        AlarmState::OutOfService => "in a maintenance window of heatstream".to_owned(),
        AlarmState::Unacknowledged
        | AlarmState::Acknowledged
        | AlarmState::Shelved
        | AlarmState::AwaitingVerification
        | AlarmState::Cleared => format!("{} in heatstream", word.replace('_', " ")),
    }
}

/// A matcher of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Matcher {
    name: String,
    value: String,
    #[serde(rename = "isRegex")]
    is_regex: bool,
    #[serde(rename = "isEqual", default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// A silence as it is sent.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    matchers: [Matcher; 2],
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "createdBy")]
    created_by: &'static str,
    comment: &'a str,
}

/// A silence as it is read; what is not needed is left out.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    status: Status,
    matchers: Vec<Matcher>,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "createdBy")]
    created_by: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
}

/// The JSON that sets a silence.
pub fn to_json(
    id: Option<&str>,
    incident: IncidentId,
    now: IngestTime,
    ends: EventTime,
    comment: &str,
) -> serde_json::Result<Vec<u8>> {
    let equal =
        |name: &str, value: String| Matcher { name: name.to_owned(), value, is_regex: false, is_equal: true };
    serde_json::to_vec(&Sent {
        id,
        matchers: [equal("alertname", ALERT_NAME.to_owned()), equal("incident", incident.to_string())],
        starts_at: rfc3339(EventTime::from_micros(now.as_micros())),
        ends_at: rfc3339(ends),
        created_by: CREATED_BY,
        comment,
    })
}

/// The silences in force for incidents, set by us; others are left out.
pub fn from_json(json: &[u8]) -> serde_json::Result<Vec<Found>> {
    let listed: Vec<Listed> = serde_json::from_slice(json)?;
    Ok(listed.into_iter().filter_map(ours).collect())
}

fn ours(listed: Listed) -> Option<Found> {
    if listed.status.state == "expired" || listed.created_by != CREATED_BY {
        return None;
    }
    let value = |name: &str| {
        let mut matchers = listed.matchers.iter().filter(|matcher| matcher.is_equal && !matcher.is_regex);
        matchers.find(|matcher| matcher.name == name).map(|matcher| matcher.value.as_str())
    };
    if value("alertname") != Some(ALERT_NAME) {
        return None;
    }
    let incident = value("incident")?.parse().ok()?;
    let ends = parse_rfc3339(&listed.ends_at).ok()?;
    Some(Found { id: listed.id, incident, ends })
}

#[cfg(test)]
mod tests;
