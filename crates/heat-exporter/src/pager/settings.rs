//! The `[exporter.alertmanager]` table.

use std::{path::PathBuf, time::Duration};

use heat_model::incident::Priority;
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

use super::{
    alert::Links,
    book::{BookSettings, SHOWN_MIN},
};

/// Most Alertmanagers; a cluster has two or three.
const URLS_MAX: usize = 8;
/// Most alerts held; as many as open incidents.
const ALERTS_MAX: usize = 20_000;
/// How often an active alert is told again: as Prometheus does by default.
const RESEND: Duration = Duration::from_mins(1);
/// How far ahead its end is set: longer than an upgrade or a restart of the exporter takes.
const HOLD: Duration = Duration::from_hours(1);
const INCIDENT_URL: &str = "http://127.0.0.1:8080/incidents/";
const RUNBOOK_URL: &str = "http://127.0.0.1:8080/runbooks/HeatIncident";

/// The table as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAlertmanager {
    /// Alertmanagers; all members of a cluster, as for Prometheus.
    pub urls: Vec<String>,
    /// File with a bearer token, where a proxy asks for one.
    pub token_file: Option<PathBuf>,
    /// Certificates that an `https` URL is trusted by; the system's by default.
    pub ca_file: Option<PathBuf>,
    /// The least urgent priority that is told: P1, P2 or P3.
    pub lowest_priority: Option<String>,
    /// How often an active alert is told again.
    pub resend: Option<String>,
    /// How long an alert outlives the exporter.
    pub hold: Option<String>,
    /// Address of an incident's page, without its id.
    pub incident_url: Option<String>,
    /// Address of the runbook of incidents.
    pub runbook_url: Option<String>,
}

/// The table's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerSettings {
    /// Addresses, without a slash at their ends.
    pub urls: Vec<String>,
    /// File with a bearer token.
    pub token_file: Option<PathBuf>,
    /// Certificates that an `https` URL is trusted by.
    pub ca_file: Option<PathBuf>,
    /// What is told, and how.
    pub book: BookSettings,
}

impl AlertmanagerSettings {
    /// Checks the table; all faults at once.
    pub fn from_raw(raw: &RawAlertmanager) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let urls: Vec<String> = raw.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        if urls.is_empty() || urls.len() > URLS_MAX {
            faults.push(fault("urls", format!("must name 1 to {URLS_MAX} Alertmanagers")));
        }
        if urls.iter().any(|url| !is_url(url)) {
            faults.push(fault(
                "urls",
                "must be addresses such as \"http://127.0.0.1:9093\", without user names",
            ));
        }
        let mut link = |key: &str, text: &Option<String>, default: &str| {
            let text = text.as_deref().unwrap_or(default);
            if !is_url(text) {
                faults.push(fault(key, "must be an address that begins with http:// or https://"));
            }
            text.to_owned()
        };
        let links = Links {
            incident: link("incident_url", &raw.incident_url, INCIDENT_URL),
            runbook: link("runbook_url", &raw.runbook_url, RUNBOOK_URL),
        };
        let lowest = lowest(raw, &mut faults);
        let resend = duration("resend", raw.resend.as_deref(), RESEND, &mut faults);
        let hold = duration("hold", raw.hold.as_deref(), HOLD, &mut faults);
        if hold < resend * 3 || hold < SHOWN_MIN {
            faults.push(fault("hold", "must be at least three times resend, and 2min or more"));
        }
        let targets = urls.len();
        let book = BookSettings { lowest, resend, hold, alerts_max: ALERTS_MAX, targets, links };
        let settings = Self { urls, token_file: raw.token_file.clone(), ca_file: raw.ca_file.clone(), book };
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

/// An address with a host and without user name, query or fragment.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(['@', '?', '#', '"', '\\'])
            && rest.chars().all(|character| character.is_ascii_graphic())
    })
}

fn lowest(raw: &RawAlertmanager, faults: &mut Vec<Fault>) -> Priority {
    match raw.lowest_priority.as_deref() {
        None | Some("P3") => Priority::P3,
        Some("P2") => Priority::P2,
        Some("P1") => Priority::P1,
        Some(_) => {
            faults
                .push(fault("lowest_priority", "must be P1, P2 or P3; P4 is the daily list and never pages"));
            Priority::P3
        }
    }
}

fn duration(key: &str, text: Option<&str>, default: Duration, faults: &mut Vec<Fault>) -> Duration {
    match text.map(parse_duration) {
        None => default,
        Some(Ok(duration)) if duration >= Duration::from_secs(1) => duration,
        Some(Ok(_)) => {
            faults.push(fault(key, "must be at least 1s"));
            default
        }
        Some(Err(problem)) => {
            faults.push(fault(key, problem));
            default
        }
    }
}

fn fault(key: &str, problem: impl Into<String>) -> Fault {
    Fault::new(format!("exporter.alertmanager.{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_one_address_is_enough() {
        let raw = RawAlertmanager { urls: vec!["http://am:9093/".to_owned()], ..RawAlertmanager::default() };
        let settings = AlertmanagerSettings::from_raw(&raw).unwrap();
        assert_eq!(settings.urls, ["http://am:9093"]);
        assert_eq!(settings.book.lowest, Priority::P3);
    }

    #[test]
    fn all_faults_come_at_once_and_a_password_in_an_address_is_one() {
        let raw = RawAlertmanager {
            urls: vec!["http://user:secret@am:9093".to_owned()],
            lowest_priority: Some("P4".to_owned()),
            resend: Some("1h".to_owned()),
            incident_url: Some("incidents".to_owned()),
            ..RawAlertmanager::default()
        };
        let faults = AlertmanagerSettings::from_raw(&raw).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.rsplit('.').next().unwrap()).collect();
        assert_eq!(keys, ["urls", "incident_url", "lowest_priority", "hold"]);
        assert!(faults.iter().all(|fault| !fault.problem.contains("secret")));
    }
}
