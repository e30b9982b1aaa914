//! The `[gateway]` table, and what it means once checked.

use std::time::Duration;

use heat_codec::decoded::Limits;
use heat_model::GatewayId;
use heat_mqtt::{
    link::QueueBounds,
    settings::{ListenSettings, RawListen, RawSubscribe, SecretSource, SubscribeSettings},
};
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

use crate::clock_guard::ClockBounds;

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGateway {
    /// Name of this gateway, unique among all that append to the log.
    pub id: Option<String>,
    /// Older than this at receipt is history, unless declared; default "15min".
    pub live_max_age: Option<String>,
    /// Further ahead of the gateway's clock is a clock fault; default "2min".
    pub clock_ahead_max: Option<String>,
    /// Largest payload that is decoded; larger ones become dead letters; default 262144.
    pub payload_max_bytes: Option<usize>,
    /// Most values in one payload; default 4096.
    pub values_max: Option<usize>,
    /// Be the MQTT server that devices connect to.
    pub listen: Option<RawListen>,
    /// Be a client of the user's broker.
    pub subscribe: Option<RawSubscribe>,
}

impl RawGateway {
    /// Whether nothing at all is written.
    pub fn is_empty(&self) -> bool {
        let Self { id, live_max_age, clock_ahead_max, payload_max_bytes, values_max, listen, subscribe } =
            self;
        id.is_none()
            && live_max_age.is_none()
            && clock_ahead_max.is_none()
            && payload_max_bytes.is_none()
            && values_max.is_none()
            && listen.is_none()
            && subscribe.is_none()
    }
}

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Its name.
    pub id: GatewayId,
    /// Bounds on devices' clocks.
    pub clock: ClockBounds,
    /// Bounds on payloads.
    pub limits: Limits,
    /// Bounds of the queue between links and gateway.
    pub queue: QueueBounds,
    /// How often a heartbeat goes to every partition.
    pub heartbeat: Duration,
    /// How long draining may take.
    pub drain: Duration,
    /// The MQTT server, if it is one.
    pub listen: Option<ListenSettings>,
    /// The client of a broker, if it is one.
    pub subscribe: Option<SubscribeSettings>,
}

impl GatewaySettings {
    /// Checks the table; all faults at once.
    pub fn from_raw(raw: RawGateway, secrets: SecretSource<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let id = match GatewayId::new(raw.id.as_deref().unwrap_or("gateway")) {
            Ok(id) => Some(id),
            Err(problem) => {
                faults.push(Fault::new("gateway.id", problem.to_string()));
                None
            }
        };
        let default = ClockBounds::default();
        let clock = ClockBounds {
            live_max_age: duration("live_max_age", raw.live_max_age, default.live_max_age, &mut faults),
            ahead_max: duration("clock_ahead_max", raw.clock_ahead_max, default.ahead_max, &mut faults),
        };
        let limits = Limits {
            payload_max_bytes: raw.payload_max_bytes.unwrap_or(Limits::default().payload_max_bytes),
            values_max: raw.values_max.unwrap_or(Limits::default().values_max),
        };
        let listen = raw.listen.map(|listen| ListenSettings::check(&listen, "gateway.listen", secrets));
        let listen = keep(listen, &mut faults);
        let subscribe =
            raw.subscribe.map(|subscribe| SubscribeSettings::check(&subscribe, "gateway.subscribe", secrets));
        let subscribe = keep(subscribe, &mut faults);
        if listen.is_none() && subscribe.is_none() && faults.is_empty() {
            faults.push(Fault::new("gateway", "needs [gateway.listen], [gateway.subscribe] or both"));
        }
        match id {
            Some(id) if faults.is_empty() => Ok(Self {
                id,
                clock,
                limits,
                queue: QueueBounds::default(),
                heartbeat: Duration::from_secs(1),
                drain: Duration::from_secs(10),
                listen,
                subscribe,
            }),
            _ => Err(faults),
        }
    }
}

fn duration(key: &str, text: Option<String>, default: Duration, faults: &mut Vec<Fault>) -> Duration {
    match text.as_deref().map(parse_duration) {
        None => default,
        Some(Ok(duration)) => duration,
        Some(Err(problem)) => {
            faults.push(Fault::new(format!("gateway.{key}"), problem));
            default
        }
    }
}

fn keep<T>(
    checked: Option<Result<T, Vec<heat_mqtt::settings::Fault>>>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    match checked {
        None => None,
        Some(Ok(settings)) => Some(settings),
        Some(Err(found)) => {
            faults.extend(found.into_iter().map(|fault| Fault::new(fault.key, fault.problem)));
            None
        }
    }
}
