//! The `[gateway]` table, and what it means once checked.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use heat_codec::{
    decoded::Limits,
    mapped::JsonMapping,
    plant::{UnknownPolicy, UnknownSignals},
    sparkplug::{self, RawSparkplug, SparkplugSettings},
    topic,
};
use heat_model::{GatewayId, NetworkId};
use heat_mqtt::{
    link::QueueBounds,
    settings::{ListenSettings, RawListen, RawSubscribe, SecretSource, SubscribeSettings},
};
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

use crate::{
    buffer::settings::{BufferSettings, RawBuffer},
    clock_guard::ClockBounds,
    intake::IntakeSettings,
};

/// A canary more often than heartbeats would tell nothing more.
const CANARY_MIN: Duration = Duration::from_secs(1);
/// Longer than a leader's election takes, shorter than a sender's patience.
const STALL_AFTER: Duration = Duration::from_secs(5);
/// Kafka's own round trips and pauses must not look like an outage.
const STALL_AFTER_MIN: Duration = Duration::from_secs(1);

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
    /// A device whose clock is steadily further behind than this is named; default "2min".
    pub clock_behind_max: Option<String>,
    /// Largest payload that is decoded; larger ones become dead letters; default 262144.
    pub payload_max_bytes: Option<usize>,
    /// Most values in one payload; default 4096.
    pub values_max: Option<usize>,
    /// Files that say how payloads of other formats are read; the first whose topic fits counts.
    pub mappings: Vec<PathBuf>,
    /// What happens to a signal that the plant model does not have: `take` (default) or `refuse`.
    pub unknown_signals: Option<UnknownSignals>,
    /// The same by network.
    pub unknown_signals_of: BTreeMap<NetworkId, UnknownSignals>,
    /// How often this gateway sends a reading of its own, such as "10s"; default: never.
    pub canary_interval: Option<String>,
    /// Take Sparkplug B.
    pub sparkplug: Option<RawSparkplug>,
    /// How long Kafka may keep a record waiting before records go to the buffer; default "5s".
    pub stall_after: Option<String>,
    /// Where records go while Kafka takes none.
    pub buffer: Option<RawBuffer>,
    /// Be the MQTT server that devices connect to.
    pub listen: Option<RawListen>,
    /// Be a client of the user's broker.
    pub subscribe: Option<RawSubscribe>,
}

impl RawGateway {
    /// Whether nothing at all is written.
    pub fn is_empty(&self) -> bool {
        let Self {
            id,
            live_max_age,
            clock_ahead_max,
            clock_behind_max,
            payload_max_bytes,
            values_max,
            mappings,
            unknown_signals,
            unknown_signals_of,
            canary_interval,
            sparkplug,
            stall_after,
            buffer,
            listen,
            subscribe,
        } = self;
        id.is_none()
            && mappings.is_empty()
            && unknown_signals.is_none()
            && unknown_signals_of.is_empty()
            && canary_interval.is_none()
            && stall_after.is_none()
            && buffer.is_none()
            && sparkplug.is_none()
            && live_max_age.is_none()
            && clock_ahead_max.is_none()
            && clock_behind_max.is_none()
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
    /// What messages become.
    pub intake: IntakeSettings,
    /// What happens to signals that the plant model does not have.
    pub unknown_signals: UnknownPolicy,
    /// How often the gateway sends a reading of its own.
    pub canary: Option<Duration>,
    /// Bounds of the queue between links and gateway.
    pub queue: QueueBounds,
    /// How often a heartbeat goes to every partition.
    pub heartbeat: Duration,
    /// How long draining may take.
    pub drain: Duration,
    /// How long Kafka may keep a record waiting.
    pub stall_after: Duration,
    /// Where records go while Kafka takes none; not used with the embedded log, which is a disk itself.
    pub buffer: Option<BufferSettings>,
    /// The MQTT server, if it is one.
    pub listen: Option<ListenSettings>,
    /// The client of a broker, if it is one.
    pub subscribe: Option<SubscribeSettings>,
}

impl GatewaySettings {
    /// Checks the table; all faults at once. Mapping files are read through `secrets`, like other files.
    pub fn from_raw(mut raw: RawGateway, secrets: SecretSource<'_>) -> Result<Self, Vec<Fault>> {
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
            behind_max: duration("clock_behind_max", raw.clock_behind_max, default.behind_max, &mut faults),
        };
        let limits = Limits {
            payload_max_bytes: raw.payload_max_bytes.unwrap_or(Limits::default().payload_max_bytes),
            values_max: raw.values_max.unwrap_or(Limits::default().values_max),
        };
        let canary = raw.canary_interval.map(|text| {
            let interval = duration("canary_interval", Some(text), CANARY_MIN, &mut faults);
            if interval < CANARY_MIN {
                faults.push(Fault::new("gateway.canary_interval", "must be at least 1s"));
            }
            interval
        });
        let stall_after = duration("stall_after", raw.stall_after, STALL_AFTER, &mut faults);
        if stall_after < STALL_AFTER_MIN {
            faults.push(Fault::new("gateway.stall_after", "must be at least 1s"));
        }
        let buffer = BufferSettings::from_raw(raw.buffer.unwrap_or_default(), &mut faults);
        let mappings = mappings(&raw.mappings, secrets, &mut faults);
        let sparkplug = raw.sparkplug.and_then(|raw| match SparkplugSettings::from_raw(raw) {
            Ok(settings) => Some(settings),
            Err(found) => {
                let fault = |(key, problem)| Fault::new(format!("gateway.sparkplug.{key}"), problem);
                faults.extend(found.into_iter().map(fault));
                None
            }
        });
        if let Some(subscribe) = &mut raw.subscribe
            && subscribe.filters.is_empty()
        {
            subscribe.filters = filters(&mappings, sparkplug.is_some());
        }
        if sparkplug.is_some()
            && let Some(filter) = raw.subscribe.iter().flat_map(|raw| &raw.filters).find(|filter| {
                filter.starts_with("$share/") && filter.contains(sparkplug::PREFIX.trim_end_matches('/'))
            })
        {
            faults.push(Fault::new(
                "gateway.subscribe.filters",
                format!(
                    "{filter:?}: one gateway must see all messages of a Sparkplug node, so do not share them"
                ),
            ));
        }
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
                intake: IntakeSettings { clock, limits, mappings, sparkplug },
                unknown_signals: UnknownPolicy {
                    default: raw.unknown_signals.unwrap_or_default(),
                    networks: raw.unknown_signals_of,
                },
                canary,
                queue: QueueBounds::default(),
                heartbeat: Duration::from_secs(1),
                drain: Duration::from_secs(10),
                stall_after,
                buffer,
                listen,
                subscribe,
            }),
            _ => Err(faults),
        }
    }
}

/// Reads the mapping files; a fault names the file.
fn mappings(paths: &[PathBuf], files: SecretSource<'_>, faults: &mut Vec<Fault>) -> Vec<JsonMapping> {
    let mut mappings = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let key = format!("gateway.mappings[{index}]");
        let text = match (files.file)(path) {
            Ok(text) => text,
            Err(error) => {
                faults.push(Fault::new(key, format!("cannot read {}: {error}", path.display())));
                continue;
            }
        };
        match JsonMapping::parse(&text) {
            Ok(mapping) => mappings.push(mapping),
            Err(found) => faults.extend(
                found.iter().map(|fault| Fault::new(key.clone(), format!("{}: {fault}", path.display()))),
            ),
        }
    }
    mappings
}

/// What a subscriber asks its broker for, unless it is told.
fn filters(mappings: &[JsonMapping], sparkplug: bool) -> Vec<String> {
    let own = topic::FILTERS.iter().map(|filter| (*filter).to_owned());
    let mapped = mappings.iter().map(JsonMapping::filter);
    let sparkplug = sparkplug.then(|| sparkplug::FILTER.to_owned());
    let mut filters: Vec<String> = Vec::new();
    for filter in own.chain(mapped).chain(sparkplug) {
        if !filters.contains(&filter) {
            filters.push(filter);
        }
    }
    filters
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
