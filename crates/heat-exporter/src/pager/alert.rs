//! An incident as an alert of Alertmanager's API v2.

use std::collections::BTreeMap;

use heat_model::{
    IncidentId,
    incident::{Class, Incident, Priority},
};
use heat_view::board::{alarm_word, priority_word};
use serde::Serialize;

/// The name under which all incidents are told; routes and silences match it.
pub const ALERT_NAME: &str = "HeatIncident";
/// Sites and pipes that an annotation names; the rest is counted.
const NAMED_MAX: usize = 10;

/// What tells one alert from another. It never changes while the alert lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertKey {
    /// The incident.
    pub incident: IncidentId,
    /// Its class.
    pub class: Class,
    /// Its priority.
    pub priority: Priority,
}

impl AlertKey {
    /// The first key that an incident could have, for ranges.
    pub(crate) fn first(incident: IncidentId) -> Self {
        Self { incident, class: Class::ALL[0], priority: Priority::P1 }
    }

    /// The key of a state.
    pub fn of(incident: &Incident) -> Self {
        Self { incident: incident.id, class: incident.class, priority: incident.priority }
    }
}

/// Prometheus's customary word for how urgent it is.
pub const fn severity(priority: Priority) -> &'static str {
    match priority {
        Priority::P1 => "critical",
        Priority::P2 => "warning",
        Priority::P3 => "info",
        Priority::P4 => "none",
    }
}

/// Where links lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The page of an incident is this with its id behind it.
    pub incident: String,
    /// The runbook of incidents.
    pub runbook: String,
}

/// An alert without its times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// What identifies it and what routes match.
    pub labels: BTreeMap<&'static str, String>,
    /// What people read.
    pub annotations: BTreeMap<&'static str, String>,
    /// The incident's page.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

impl Alert {
    /// The alert of a state.
    pub fn of(incident: &Incident, links: &Links) -> Self {
        let labels = BTreeMap::from([
            ("alertname", ALERT_NAME.to_owned()),
            ("incident", incident.id.to_string()),
            ("network", incident.network.to_string()),
            ("class", incident.class.as_str().to_owned()),
            ("priority", priority_word(incident.priority).to_owned()),
            ("severity", severity(incident.priority).to_owned()),
        ]);
        Self {
            labels,
            annotations: annotations(incident, links),
            generator_url: format!("{}{}", links.incident, incident.id),
        }
    }
}

fn annotations(incident: &Incident, links: &Links) -> BTreeMap<&'static str, String> {
    let priority = priority_word(incident.priority);
    let place = incident.place.as_deref();
    let at = place.map(|place| format!(" {place}")).unwrap_or_default();
    let class = incident.class;
    let summary = format!("{priority} {} {}{at}", class.as_str().replace('_', " "), incident.network);
    let mut all = BTreeMap::from([
        ("summary", summary),
        ("summary_zh", format!("{priority} {} {}{at}", class.chinese(), incident.network)),
        ("description", incident.text_en.clone()),
        ("description_zh", incident.text_zh.clone()),
        ("state", alarm_word(incident.alarm).to_owned()),
        ("runbook_url", links.runbook.clone()),
    ]);
    if let Some(place) = place {
        all.insert("place", place.to_owned());
    }
    if let Some(loss) = incident.loss_m3_h {
        all.insert("loss_m3_h", format!("{loss:.1}"));
    }
    if !incident.affected.is_empty() {
        all.insert("affected", some_of(&incident.affected));
    }
    if !incident.valves.is_empty() {
        all.insert("valves", some_of(&incident.valves));
    }
    all
}

/// The first names and how many more there are: a page is read on a telephone.
fn some_of(names: &[impl ToString]) -> String {
    let mut text = names.iter().take(NAMED_MAX).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX {
        text.push_str(&format!(" + {}", names.len() - NAMED_MAX));
    }
    text
}
