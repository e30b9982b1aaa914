//! Settings of the client of the user's broker.

use std::time::Duration;

use serde::Deserialize;

use super::{Check, Fault, RawClientTls, Secret, SecretSource, tls};
use crate::tls::ClientTls;

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What the broker keeps for us while we are away; a broker's own queue bound usually bites first.
const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// MQTT version that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ProtocolVersion {
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
    /// 5.
    #[default]
    #[serde(rename = "5")]
    V5,
}

/// The client's settings as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSubscribe {
    /// The broker's host name or address.
    pub host: Option<String>,
    /// The broker's port. Default 1883, with TLS 8883.
    pub port: Option<u16>,
    /// Connect by TLS.
    pub tls: Option<RawClientTls>,
    /// `"5"` (default) or `"3.1.1"`.
    pub version: ProtocolVersion,
    /// Our client id; fixed, because the broker keeps our session under it.
    pub client_id: Option<String>,
    /// Topic filters, also shared ones: `$share/group/heat/v1/#`.
    pub filters: Vec<String>,
    /// 0 or 1 (default). With 1 the broker also hands QoS 2 messages over with acknowledgement.
    pub qos: Option<u8>,
    /// User name.
    pub user: Option<String>,
    /// File that holds the password; a line end at its end does not count.
    pub password_file: Option<String>,
    /// Environment variable that holds the password.
    pub password_env: Option<String>,
    /// Keep-alive.
    pub keep_alive: Option<String>,
    /// How long the broker keeps our session while we are away (MQTT 5; 3.1.1 brokers decide themselves).
    pub session_expiry: Option<String>,
    /// Unacknowledged messages the broker may send at most (MQTT 5; 3.1.1 brokers decide themselves).
    pub in_flight_max: Option<u16>,
    /// Largest packet. A larger one ends the connection.
    pub packet_max_bytes: Option<u32>,
    /// First pause before connecting again; it doubles up to `backoff_max`.
    pub backoff_min: Option<String>,
    /// Longest pause before connecting again.
    pub backoff_max: Option<String>,
    /// Topic that tells whether this gateway lives: `online` (retained) while connected, `offline` by last will. A
    /// connection has one will only: where a Sparkplug host's STATE has it ([`crate::Subscriber::announcing`]), `offline`
    /// is published at an orderly end and not when the gateway vanishes.
    pub liveness_topic: Option<String>,
}

/// The client's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeSettings {
    /// The broker's host name or address.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// TLS; none: a bare connection.
    pub tls: Option<ClientTls>,
    /// MQTT version to speak.
    pub version: ProtocolVersion,
    /// Our client id.
    pub client_id: String,
    /// Topic filters.
    pub filters: Vec<String>,
    /// Whether to ask for acknowledged delivery (QoS 1); else QoS 0.
    pub acknowledged: bool,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// Keep-alive.
    pub keep_alive: Duration,
    /// How long the broker keeps our session while we are away.
    pub session_expiry: Duration,
    /// Unacknowledged messages the broker may send at most.
    pub in_flight_max: u16,
    /// Largest packet.
    pub packet_max_bytes: u32,
    /// First and longest pause before connecting again.
    pub backoff: (Duration, Duration),
    /// Topic of our own liveness.
    pub liveness_topic: Option<String>,
}

impl SubscribeSettings {
    /// Checks settings as written; `path` is their table's key path, for the faults.
    ///
    /// # Errors
    /// Every fault found.
    pub fn check(raw: &RawSubscribe, path: &str, secrets: SecretSource<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut check = Check::new(path, &mut faults);
        let host = required(&mut check, "host", raw.host.as_deref(), "the broker's host name or address");
        let client_id = required(
            &mut check,
            "client_id",
            raw.client_id.as_deref(),
            "a name of this gateway's own, the same at every start: the broker keeps our session under it",
        );
        check_filters(&mut check, &raw.filters);
        if !matches!(raw.qos, None | Some(0 | 1)) {
            check
                .fault("qos", "0 or 1: repeats are removed by what a reading is, so QoS 2 would add nothing");
        }
        if let Some(topic) = &raw.liveness_topic
            && (topic.is_empty() || topic.contains(['+', '#', '\0']) || topic.starts_with('$'))
        {
            check.fault("liveness_topic", format!("{topic:?} is not a topic to publish to"));
        }
        let backoff_min = check.duration(
            "backoff_min",
            raw.backoff_min.as_deref(),
            BACKOFF_MIN,
            (Duration::from_millis(10), HOUR),
        );
        let backoff_max = check.duration(
            "backoff_max",
            raw.backoff_max.as_deref(),
            BACKOFF_MAX,
            (Duration::from_millis(10), HOUR),
        );
        if backoff_max < backoff_min {
            check.fault("backoff_max", format!("shorter than backoff_min, {backoff_min:?}"));
        }
        let tls = raw.tls.as_ref().and_then(|tls| tls::client(tls, &host, path, &mut check, secrets));
        let settings = Self {
            host,
            port: raw.port.unwrap_or(if raw.tls.is_some() { 8883 } else { 1883 }),
            tls,
            version: raw.version,
            client_id,
            filters: raw.filters.clone(),
            acknowledged: raw.qos != Some(0),
            credentials: credentials(raw, &mut check, secrets),
            keep_alive: check.duration(
                "keep_alive",
                raw.keep_alive.as_deref(),
                KEEP_ALIVE,
                (Duration::from_secs(5), 12 * HOUR),
            ),
            session_expiry: check.duration(
                "session_expiry",
                raw.session_expiry.as_deref(),
                SESSION_EXPIRY,
                (Duration::from_secs(1), 365 * 24 * HOUR),
            ),
            in_flight_max: check.number("in_flight_max", raw.in_flight_max, 2000, (1, u16::MAX)),
            packet_max_bytes: check.number(
                "packet_max_bytes",
                raw.packet_max_bytes,
                (1 << 20) + (64 << 10),
                (4096, 16 << 20),
            ),
            backoff: (backoff_min, backoff_max),
            liveness_topic: raw.liveness_topic.clone(),
        };
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

fn required(check: &mut Check<'_>, key: &str, written: Option<&str>, what: &str) -> String {
    match written {
        Some(text) if !text.is_empty() => text.to_owned(),
        Some(_) | None => {
            check.fault(key, format!("missing: {what}"));
            String::new()
        }
    }
}

fn check_filters(check: &mut Check<'_>, filters: &[String]) {
    if filters.is_empty() {
        check.fault("filters", "missing: which topics to receive, e.g. [\"heat/v1/#\"]");
    }
    for (index, filter) in filters.iter().enumerate() {
        if let Some(problem) = filter_problem(filter) {
            check.fault(&format!("filters[{index}]"), format!("{filter:?}: {problem}"));
        }
    }
}

/// What is wrong with a topic filter, if anything.
pub(crate) fn filter_problem(filter: &str) -> Option<&'static str> {
    let levels = match filter.strip_prefix("$share/") {
        Some(shared) => match shared.split_once('/') {
            Some((group, levels)) if !group.is_empty() && !group.contains(['+', '#']) => levels,
            Some(_) | None => return Some("a shared subscription is $share/GROUP/FILTER"),
        },
        None => filter,
    };
    if levels.is_empty() || levels.len() > usize::from(u16::MAX) || levels.contains('\0') {
        return Some("a filter has 1 to 65,535 bytes and no NUL");
    }
    let mut parts = levels.split('/').peekable();
    while let Some(level) = parts.next() {
        if level.contains('#') && (level != "#" || parts.peek().is_some()) {
            return Some("# stands alone, as the last level");
        }
        if level.contains('+') && level != "+" {
            return Some("+ stands alone in its level");
        }
    }
    None
}

fn credentials(
    raw: &RawSubscribe,
    check: &mut Check<'_>,
    secrets: SecretSource<'_>,
) -> Option<(String, Secret)> {
    let secret = check.secret(
        "",
        raw.password_file.as_deref(),
        raw.password_env.as_deref(),
        secrets,
        raw.user.is_some(),
    );
    match (&raw.user, secret) {
        (Some(user), Some(secret)) => Some((user.clone(), secret)),
        (None, Some(_)) => {
            check.fault("user", "a password needs a user");
            None
        }
        (_, None) => None,
    }
}
