//! The `[api]` table.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use heat_codec::ticket::FreeText;
use heat_model::GatewayId;
use heat_runtime::config::{Fault, parse_duration};
use heat_view::{BoardSettings, DeskSettings, LiveSettings};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::{tls::TlsFiles, work::Deadlines};

/// Where the API listens, unless configured.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// What the log needs when it is loaded; a person at a form waits no longer.
const DURABLE_MAX_WAIT: Duration = Duration::from_secs(5);
/// The processor answers within milliseconds, or it is behind and may be so for minutes.
const OUTCOME_MAX_WAIT: Duration = Duration::from_secs(2);

/// The table as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawApi {
    /// `host:port` to listen on.
    pub address: Option<String>,
    /// File of users: a line each, `name role sha256-of-the-token`, then `operator=` and `district=` where a user sees
    /// those only.
    pub tokens_file: Option<PathBuf>,
    /// Certificate and key; without them the API speaks plain HTTP.
    pub tls: Option<RawTls>,
    /// How long a login to the console lasts, such as "12h".
    pub session: Option<String>,
    /// Whether browsers keep the session's cookie for HTTPS alone; as `tls` has it unless set. A proxy that ends TLS needs
    /// true.
    pub secure_cookies: Option<bool>,
    /// Requests a second that one user may make, with bursts of twice as many.
    pub requests_per_second: Option<usize>,
    /// Most connections at once; further ones wait.
    pub connections_max: Option<usize>,
    /// Time zone of the console for networks whose plant table names none, such as "Asia/Shanghai".
    pub time_zone: Option<String>,
    /// How soon after its opening an incident's repair work is to reach a step, by priority and step, such as
    /// `P1 = { dispatched = "10m", on_site = "1h" }`. What is named replaces the default of that priority whole.
    pub deadlines: BTreeMap<String, BTreeMap<String, String>>,
    /// Newest readings kept at hand for plots, over all partitions.
    pub recent_readings_max: Option<usize>,
    /// Newest files of the archive's inputs read at the start for tickets, repairs and maintenance windows.
    pub desk_files_max: Option<usize>,
    /// Tells several API processes on one log apart; commands carry `api-<instance>`.
    pub instance: Option<String>,
    /// Whether tickets keep their free text (masked).
    pub ticket_text: bool,
    /// Whether the city's feed is also written to the topic `heat.city.v1`.
    pub city_topic: bool,
    /// Most signals held per partition.
    pub signals_max: Option<usize>,
    /// Records of each input partition read back at start.
    pub read_back_records: Option<u64>,
    /// Incident events kept for clients that resume, over all partitions.
    pub events_kept: Option<usize>,
    /// Dead letters kept at hand, over all partitions; older ones are read from the archive.
    pub letters_kept: Option<usize>,
    /// Most clients of server-sent events.
    pub event_clients_max: Option<usize>,
    /// Most events that wait for one client.
    pub event_buffer: Option<usize>,
    /// Most history requests at work.
    pub history_concurrent_max: Option<usize>,
    /// Most points in one answer of history.
    pub history_points_max: Option<usize>,
}

/// The `[api.tls]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// The certificate, followed by its chain (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// The table's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// File of users.
    pub tokens_file: Option<PathBuf>,
    /// Certificate and key.
    pub tls: Option<TlsFiles>,
    /// How long a login to the console lasts.
    pub session: Duration,
    /// Whether browsers keep the session's cookie for HTTPS alone.
    pub secure_cookies: bool,
    /// Requests a second that one user may make.
    pub requests_per_second: usize,
    /// Most connections at once.
    pub connections_max: usize,
    /// Time zone for people where a network names none.
    pub time_zone: TimeZone,
    /// When repair work is due.
    pub deadlines: Deadlines,
    /// Newest readings kept at hand.
    pub recent_readings_max: usize,
    /// Newest files of the archive's inputs read at the start.
    pub desk_files_max: usize,
    /// Bounds of what is kept of tickets and commands.
    pub desk: DeskSettings,
    /// What commands are numbered under.
    pub gateway: GatewayId,
    /// How long what is appended for a user may take to become durable.
    pub durable_max_wait: Duration,
    /// How long the processor's answer to a command is waited for.
    pub outcome_max_wait: Duration,
    /// Whether tickets keep their free text.
    pub ticket_text: FreeText,
    /// Whether the city's feed is also written to its topic.
    pub city_topic: bool,
    /// Bounds of each live table.
    pub live: LiveSettings,
    /// Bounds of the incident board.
    pub board: BoardSettings,
    /// Records of each input partition read back at start.
    pub read_back_records: u64,
    /// Incident events kept for clients that resume.
    pub events_kept: usize,
    /// Dead letters kept at hand.
    pub letters_kept: usize,
    /// Most clients of server-sent events.
    pub event_clients_max: usize,
    /// Most events that wait for one client.
    pub event_buffer: usize,
    /// Most history requests at work.
    pub history_concurrent_max: usize,
    /// Most points in one answer of history.
    pub history_points_max: usize,
}

impl Settings {
    /// Checks the table; all faults at once.
    pub fn from_raw(raw: &RawApi) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let address = address(raw, &mut faults);
        let instance = raw.instance.as_deref().unwrap_or("1");
        let gateway = GatewayId::new(&format!("api-{instance}")).ok();
        if gateway.is_none() {
            faults.push(fault("instance", "must be a short name such as \"1\" or \"site-a\""));
        }
        let live = LiveSettings {
            signals_max: count(
                "signals_max",
                raw.signals_max,
                LiveSettings::default().signals_max,
                &mut faults,
            ),
            ..LiveSettings::default()
        };
        let settings = Self {
            address,
            tokens_file: raw.tokens_file.clone(),
            tls: raw
                .tls
                .as_ref()
                .map(|tls| TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }),
            session: session(raw, &mut faults),
            secure_cookies: secure_cookies(raw, &mut faults),
            requests_per_second: count("requests_per_second", raw.requests_per_second, 500, &mut faults),
            connections_max: count("connections_max", raw.connections_max, 12_000, &mut faults),
            time_zone: time_zone(raw, &mut faults),
            deadlines: Deadlines::from_raw(&raw.deadlines).unwrap_or_else(|problem| {
                faults.push(fault("deadlines", problem));
                Deadlines::default()
            }),
            recent_readings_max: count("recent_readings_max", raw.recent_readings_max, 400_000, &mut faults),
            desk_files_max: raw.desk_files_max.unwrap_or(2_000),
            desk: DeskSettings::default(),
            gateway: gateway.unwrap_or_else(|| GatewayId::new("api-1").expect("a constant id")),
            durable_max_wait: DURABLE_MAX_WAIT,
            outcome_max_wait: OUTCOME_MAX_WAIT,
            ticket_text: if raw.ticket_text { FreeText::KeepMasked } else { FreeText::Drop },
            city_topic: raw.city_topic,
            live,
            board: BoardSettings::default(),
            read_back_records: raw.read_back_records.unwrap_or(200_000),
            events_kept: count("events_kept", raw.events_kept, 5_000, &mut faults),
            letters_kept: count("letters_kept", raw.letters_kept, 5_000, &mut faults),
            event_clients_max: count("event_clients_max", raw.event_clients_max, 10_000, &mut faults),
            event_buffer: count("event_buffer", raw.event_buffer, 256, &mut faults),
            history_concurrent_max: count(
                "history_concurrent_max",
                raw.history_concurrent_max,
                2,
                &mut faults,
            ),
            history_points_max: count("history_points_max", raw.history_points_max, 20_000, &mut faults),
        };
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

fn address(raw: &RawApi, faults: &mut Vec<Fault>) -> SocketAddr {
    let Some(text) = raw.address.as_deref() else { return DEFAULT_ADDRESS };
    let Ok(address) = text.parse::<SocketAddr>() else {
        faults.push(fault("address", format!("{text:?} is not an address; write \"127.0.0.1:8080\"")));
        return DEFAULT_ADDRESS;
    };
    if !address.ip().is_loopback() && raw.tokens_file.is_none() {
        faults.push(fault(
            "address",
            format!(
                "{address} can be reached from outside, but there are no users; set api.tokens_file, or listen on \
                 127.0.0.1:{}",
                address.port()
            ),
        ));
    }
    address
}

fn session(raw: &RawApi, faults: &mut Vec<Fault>) -> Duration {
    const DEFAULT: Duration = Duration::from_hours(12);
    let Some(text) = raw.session.as_deref() else { return DEFAULT };
    match parse_duration(text) {
        Ok(session) if (Duration::from_mins(1)..=Duration::from_hours(31 * 24)).contains(&session) => session,
        Ok(_) => {
            faults.push(fault("session", "must lie between \"1m\" and \"31d\""));
            DEFAULT
        }
        Err(problem) => {
            faults.push(fault("session", problem));
            DEFAULT
        }
    }
}

fn secure_cookies(raw: &RawApi, faults: &mut Vec<Fault>) -> bool {
    if raw.tls.is_some() && raw.secure_cookies == Some(false) {
        faults.push(fault(
            "secure_cookies",
            "must not be false beside api.tls: the cookie would also go over plain HTTP",
        ));
    }
    raw.secure_cookies.unwrap_or(raw.tls.is_some())
}

/// China has one time zone, so it is the default.
fn time_zone(raw: &RawApi, faults: &mut Vec<Fault>) -> TimeZone {
    let name = raw.time_zone.as_deref().unwrap_or("Asia/Shanghai");
    TimeZone::get(name).unwrap_or_else(|_| {
        faults.push(fault("time_zone", format!("{name:?} is not a time zone; write \"Asia/Shanghai\"")));
        TimeZone::UTC
    })
}

fn count(key: &str, number: Option<usize>, default: usize, faults: &mut Vec<Fault>) -> usize {
    match number {
        Some(0) => {
            faults.push(fault(key, "must be at least 1"));
            default
        }
        Some(number) => number,
        None => default,
    }
}

fn fault(key: &str, problem: impl Into<String>) -> Fault {
    Fault::new(format!("api.{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_needs_users_and_the_fault_names_the_remedy() {
        let mut raw = RawApi { address: Some("0.0.0.0:8080".to_owned()), ..RawApi::default() };
        let faults = Settings::from_raw(&raw).unwrap_err();
        assert_eq!(faults[0].key, "api.address");
        assert!(faults[0].problem.contains("api.tokens_file"), "{}", faults[0].problem);

        raw.tokens_file = Some("tokens".into());
        assert!(Settings::from_raw(&raw).is_ok());
    }

    #[test]
    fn all_faults_come_at_once() {
        let raw = RawApi {
            address: Some("somewhere".to_owned()),
            instance: Some("a/b".to_owned()),
            events_kept: Some(0),
            session: Some("long".to_owned()),
            tls: Some(RawTls { certificate: "c".into(), key: "k".into() }),
            secure_cookies: Some(false),
            time_zone: Some("Mars".to_owned()),
            deadlines: [("P9".to_owned(), BTreeMap::new())].into(),
            ..RawApi::default()
        };
        let keys: Vec<_> = Settings::from_raw(&raw).unwrap_err().into_iter().map(|fault| fault.key).collect();
        let expected = [
            "api.address",
            "api.instance",
            "api.session",
            "api.secure_cookies",
            "api.time_zone",
            "api.deadlines",
            "api.events_kept",
        ];
        assert_eq!(keys, expected);
    }
}
