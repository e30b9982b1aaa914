//! Settings of our own listener.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Check, Fault, RawListenTls, RawUser, SecretSource, TlsListenSettings, User, tls, users,
    users::AnyCertificate,
};
use crate::{rights::Rights, tls::ClientCertificate};

/// Every device answers a CONNECT at once; a slow line needs a few seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that reads nothing for this long holds memory for nobody.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Long enough for a device's power cut, short enough to bound what is kept.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(24 * 3600);
/// Clients without keep-alive, or with a longer one, are held to this.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(1200);
/// Time for acknowledgements still to come when the process ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 1883);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The listener's settings as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListen {
    /// `host:port` to bind for connections without TLS, an address, not a name. Default `127.0.0.1:1883`; with a table
    /// `tls` and without an address there are only connections by TLS.
    pub address: Option<String>,
    /// Serve TLS, on an address of its own.
    pub tls: Option<RawListenTls>,
    /// Who may connect. Without users everybody may, on loopback or with a certificate.
    pub users: Vec<RawUser>,
    /// Connections at most.
    pub connections_max: Option<usize>,
    /// Connections of one user name at most.
    pub connections_per_user_max: Option<usize>,
    /// Disconnected sessions that are kept at most.
    pub sessions_kept_max: Option<usize>,
    /// Longest time a disconnected session is kept.
    pub session_expiry_max: Option<String>,
    /// Longest time between two packets of a client.
    pub keep_alive_max: Option<String>,
    /// Time from accepting a connection to its CONNECT, the TLS handshake included.
    pub connect_timeout: Option<String>,
    /// Time a client may refuse to read what we write.
    pub write_timeout: Option<String>,
    /// Time for acknowledgements still to come at shutdown.
    pub drain_timeout: Option<String>,
    /// Largest packet; what is larger ends the connection.
    pub packet_max_bytes: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages of one connection at most.
    pub in_flight_max: Option<u16>,
    /// Topic filters of one session at most.
    pub subscriptions_max: Option<usize>,
}

/// The listener's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where to listen without TLS.
    pub address: Option<SocketAddr>,
    /// Where and how to listen with TLS.
    pub tls: Option<TlsListenSettings>,
    /// Who may connect; without users and `any_certificate`: everybody.
    pub users: Vec<User>,
    /// Whether, and for what, devices may connect whose certificate names none of the users.
    pub any_certificate: Option<AnyCertificate>,
    /// Connections at most.
    pub connections_max: usize,
    /// Connections of one user name at most.
    pub connections_per_user_max: usize,
    /// Disconnected sessions that are kept at most; the one that expires first goes first.
    pub sessions_kept_max: usize,
    /// Longest time a disconnected session is kept.
    pub session_expiry_max: Duration,
    /// Longest keep-alive; clients without one are held to it.
    pub keep_alive_max: Duration,
    /// Time from accepting a connection to its CONNECT, the TLS handshake included.
    pub connect_timeout: Duration,
    /// Time a client may refuse to read what we write.
    pub write_timeout: Duration,
    /// Time for acknowledgements still to come at shutdown.
    pub drain_timeout: Duration,
    /// Largest packet.
    pub packet_max_bytes: u32,
    /// Unacknowledged QoS 1 and 2 messages of one connection at most (MQTT 5: receive maximum).
    pub in_flight_max: u16,
    /// Topic filters of one session at most.
    pub subscriptions_max: usize,
}

impl ListenSettings {
    /// What somebody of this name may speak for: `None` is everything; whoever may not connect speaks for nothing.
    pub fn rights_of(&self, name: &str) -> Option<Arc<Rights>> {
        if let Some(user) = self.users.iter().find(|user| user.name == name) {
            return user.rights.clone();
        }
        match &self.any_certificate {
            Some(any) => any.rights(name).unwrap_or_else(|_| Some(Arc::default())),
            None if self.users.is_empty() => None,
            None => Some(Arc::default()),
        }
    }
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            address: Some(SocketAddr::from(ADDRESS)),
            tls: None,
            users: Vec::new(),
            any_certificate: None,
            connections_max: 20_000,
            connections_per_user_max: 20_000,
            sessions_kept_max: 20_000,
            session_expiry_max: SESSION_EXPIRY_MAX,
            keep_alive_max: KEEP_ALIVE_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            // A payload of 1 MiB with its topic and properties.
            packet_max_bytes: (1 << 20) + (64 << 10),
            in_flight_max: 1000,
            subscriptions_max: 16,
        }
    }
}

impl ListenSettings {
    /// Checks settings as written; `path` is their table's key path, for the faults.
    ///
    /// # Errors
    /// Every fault found.
    pub fn check(raw: &RawListen, path: &str, secrets: SecretSource<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut check = Check::new(path, &mut faults);
        let default = Self::default();
        let address = match (&raw.address, &raw.tls) {
            (None, Some(_)) => None,
            (None, None) => default.address,
            (Some(written), _) => check.address("address", written),
        };
        let tls = raw.tls.as_ref().and_then(|tls| tls::listen(tls, path, &mut check, secrets));
        let has_certificates =
            tls.as_ref().is_some_and(|tls| tls.client_certificate != ClientCertificate::None);
        let (users, any_certificate) = users::check(&raw.users, &mut check, secrets, has_certificates);
        check_exposure(raw, address, tls.as_ref(), &mut check);
        let connections_max =
            check.number("connections_max", raw.connections_max, default.connections_max, (1, 1_000_000));
        let settings = Self {
            address,
            tls,
            users,
            any_certificate,
            connections_max,
            connections_per_user_max: check.number(
                "connections_per_user_max",
                raw.connections_per_user_max,
                connections_max,
                (1, 1_000_000),
            ),
            sessions_kept_max: check.number(
                "sessions_kept_max",
                raw.sessions_kept_max,
                connections_max,
                (0, 1_000_000),
            ),
            session_expiry_max: check.duration(
                "session_expiry_max",
                raw.session_expiry_max.as_deref(),
                SESSION_EXPIRY_MAX,
                (Duration::ZERO, 30 * 24 * HOUR),
            ),
            keep_alive_max: check.duration(
                "keep_alive_max",
                raw.keep_alive_max.as_deref(),
                KEEP_ALIVE_MAX,
                (SECOND, 12 * HOUR),
            ),
            connect_timeout: check.duration(
                "connect_timeout",
                raw.connect_timeout.as_deref(),
                CONNECT_TIMEOUT,
                (SECOND, HOUR),
            ),
            write_timeout: check.duration(
                "write_timeout",
                raw.write_timeout.as_deref(),
                WRITE_TIMEOUT,
                (SECOND, HOUR),
            ),
            drain_timeout: check.duration(
                "drain_timeout",
                raw.drain_timeout.as_deref(),
                DRAIN_TIMEOUT,
                (Duration::ZERO, HOUR),
            ),
            packet_max_bytes: check.number(
                "packet_max_bytes",
                raw.packet_max_bytes,
                default.packet_max_bytes,
                (4096, 16 << 20),
            ),
            in_flight_max: check.number(
                "in_flight_max",
                raw.in_flight_max,
                default.in_flight_max,
                (1, u16::MAX),
            ),
            subscriptions_max: check.number(
                "subscriptions_max",
                raw.subscriptions_max,
                default.subscriptions_max,
                (0, 1000),
            ),
        };
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

/// Nobody may be reached from elsewhere without asking who comes.
fn check_exposure(
    raw: &RawListen,
    address: Option<SocketAddr>,
    tls: Option<&TlsListenSettings>,
    check: &mut Check<'_>,
) {
    let has_password = |user: &RawUser| user.password_file.is_some() || user.password_env.is_some();
    if !raw.users.is_empty() {
        if address.is_some() && tls.is_some() && !raw.users.iter().any(has_password) {
            check.fault(
                "address",
                "no user has a password, so nobody can connect without TLS: remove the address",
            );
        }
        return;
    }
    if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
        check.fault(
            "address",
            format!("{address} can be reached from elsewhere: list users, or bind 127.0.0.1"),
        );
    }
    if let Some(tls) = tls
        && !tls.address.ip().is_loopback()
        && tls.client_certificate != ClientCertificate::Required
    {
        check.fault(
            "tls.address",
            format!(
                "{} can be reached from elsewhere: set client_certificate = \"required\", list users, or bind 127.0.0.1",
                tls.address
            ),
        );
    }
}
