//! Settings of our own listener.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::{Check, Fault, Secret, SecretSource};

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

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The listener's settings as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListen {
    /// `host:port` to bind, an address, not a name. Default `127.0.0.1:1883`.
    pub address: Option<String>,
    /// Who may connect. Without users everybody may, on loopback only.
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
    /// Time from accepting a connection to its CONNECT.
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

/// A user as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUser {
    /// User name.
    pub name: String,
    /// File that holds the password; a line end at its end does not count.
    pub password_file: Option<String>,
    /// Environment variable that holds the password.
    pub password_env: Option<String>,
}

/// One who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Password.
    pub password: Secret,
}

/// The listener's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Who may connect; empty: everybody.
    pub users: Vec<User>,
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
    /// Time from accepting a connection to its CONNECT.
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

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 1883)),
            users: Vec::new(),
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
        let address = match raw.address.as_deref().map(str::parse) {
            None => default.address,
            Some(Ok(address)) => address,
            Some(Err(_)) => {
                check.fault(
                    "address",
                    "not an address with port, such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
                );
                default.address
            }
        };
        let users = users(&raw.users, &mut check, secrets);
        if raw.users.is_empty() && !address.ip().is_loopback() {
            check.fault(
                "address",
                format!("{address} can be reached from elsewhere: list users, or bind 127.0.0.1"),
            );
        }
        let connections_max =
            check.number("connections_max", raw.connections_max, default.connections_max, (1, 1_000_000));
        let settings = Self {
            address,
            users,
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

fn users(raw: &[RawUser], check: &mut Check<'_>, secrets: SecretSource<'_>) -> Vec<User> {
    let mut names = HashSet::new();
    let mut users = Vec::new();
    for (index, user) in raw.iter().enumerate() {
        let prefix = format!("users[{index}].");
        if user.name.is_empty() {
            check.fault(&format!("{prefix}name"), "a user needs a name");
        } else if !names.insert(&user.name) {
            check.fault(&format!("{prefix}name"), format!("{:?} is listed twice", user.name));
        }
        let password =
            check.secret(&prefix, user.password_file.as_deref(), user.password_env.as_deref(), secrets, true);
        if let Some(password) = password {
            users.push(User { name: user.name.clone(), password });
        }
    }
    users
}
