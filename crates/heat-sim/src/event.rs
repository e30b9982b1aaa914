//! What goes wrong: scripted events. A script is TOML or built in code; each event becomes labels.
//!
//! ```toml
//! [[events]]
//! name = "burst-main"
//! network = "demo-north"
//! after = "30s"
//! lasts = "6m"
//! what = { kind = "burst", pipe = "P007s", size = { share_of_circulation = 0.12 } }
//! ```

use std::time::Duration;

use heat_model::{DeviceId, NetworkId, PipeId, SignalId, SiteId};
use serde::{Deserialize, Serialize};

/// A list of events, in any order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The events.
    #[serde(default)]
    pub events: Vec<ScriptedEvent>,
}

/// The script could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not TOML, or not of this form.
    #[error("read the script of events: {0}")]
    Read(#[from] toml::de::Error),
    /// The event names something that the city does not have.
    #[error("event {event}: {network} has no {kind} {place:?}; `City::plant` lists what there is")]
    NoSuchPlace {
        /// The event's name or number.
        event: String,
        /// Network named.
        network: String,
        /// What was looked for: network, pipe, site, device or signal.
        kind: &'static str,
        /// Its id.
        place: String,
    },
    /// A number of the event makes no sense.
    #[error("event {event}: {what} is {value}, it must lie in {range}")]
    OutOfRange {
        /// The event's name or number.
        event: String,
        /// Which number.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The event would begin before the city's present.
    #[error("event {event} would begin before the city's present; schedule it before advancing past it")]
    InThePast {
        /// The event's name or number.
        event: String,
    },
}

impl Script {
    /// Reads a script from TOML.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        Ok(toml::from_str(text)?)
    }
}

/// One event of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedEvent {
    /// Name in the labels; numbered where missing.
    #[serde(default)]
    pub name: Option<String>,
    /// Network.
    pub network: NetworkId,
    /// Onset after the time that the script is scheduled at.
    #[serde(with = "duration_text")]
    pub after: Duration,
    /// How long until it is repaired.
    #[serde(with = "duration_text")]
    pub lasts: Duration,
    /// What happens.
    pub what: Happening,
}

/// How large a leak is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakSize {
    /// The hole is such that it loses this share of the circulation under the pressure at onset.
    ShareOfCirculation(f64),
    /// A round hole of this diameter, discharge coefficient 0.62.
    HoleMm(f64),
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Happening {
    /// A pipe breaks within a second.
    Burst {
        /// Pipe; its side is the side of the leak.
        pipe: PipeId,
        /// Place along the pipe, 0 to 1.
        #[serde(default = "middle")]
        position: f64,
        /// Hole.
        size: LeakSize,
    },
    /// A leak that is there within a minute.
    LeakAbrupt {
        /// Pipe.
        pipe: PipeId,
        /// Place along the pipe, 0 to 1.
        #[serde(default = "middle")]
        position: f64,
        /// Hole.
        size: LeakSize,
    },
    /// A leak whose hole grows evenly for its whole life.
    LeakIncipient {
        /// Pipe.
        pipe: PipeId,
        /// Place along the pipe, 0 to 1.
        #[serde(default = "middle")]
        position: f64,
        /// Hole at the end.
        size: LeakSize,
    },
    /// Primary water passes into the station's secondary.
    ExchangerLeak {
        /// Station.
        site: SiteId,
        /// Flow while the pressures are normal.
        loss_kg_s: f64,
    },
    /// The circulation pumps stop.
    PumpTrip,
    /// The source has no power: circulation and make-up stop.
    PowerFailure,
    /// A sensor is wrong.
    SensorFault {
        /// Signal.
        signal: SignalId,
        /// How.
        fault: SensorFault,
    },
    /// A device, or all of a site, says nothing.
    Silence {
        /// Site.
        site: SiteId,
        /// One device only.
        #[serde(default)]
        device: Option<DeviceId>,
    },
    /// The station's primary valve is stuck nearly closed: its homes go cold.
    ColdStation {
        /// Station.
        site: SiteId,
        /// Opening at which it sticks, 0 to 1.
        opening: f64,
    },
    /// The steam main has a hole.
    SteamLeak {
        /// Steam lost.
        loss_kg_s: f64,
    },
    /// A station on steam lets its condensate go.
    CondensateLost {
        /// Station.
        site: SiteId,
        /// Share of what would come back, 0 to 1.
        share: f64,
    },
    /// Households drain water from radiators of this station's secondary.
    Draining {
        /// Station.
        site: SiteId,
        /// Flow drained.
        loss_kg_s: f64,
    },
}

const fn middle() -> f64 {
    0.5
}

/// How a sensor is wrong. Numbers are in the signal's own unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SensorFault {
    /// Repeats the value it had at onset.
    Stuck,
    /// Grows away evenly; `by` at the end.
    Drift {
        /// Error at the end.
        by: f64,
    },
    /// Off by a constant.
    Bias {
        /// The constant.
        by: f64,
    },
    /// One reading in `every` is off by `by`.
    Spike {
        /// Size.
        by: f64,
        /// One in how many.
        every: u32,
    },
    /// Sends this value, which means "no measurement".
    Sentinel {
        /// The value.
        value: f64,
    },
    /// Has changed places with another signal of its site.
    Swap {
        /// The other.
        with: SignalId,
    },
}

impl SensorFault {
    /// The kind's word in labels.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Drift { .. } => "drift",
            Self::Bias { .. } => "bias",
            Self::Spike { .. } => "spike",
            Self::Sentinel { .. } => "sentinel",
            Self::Swap { .. } => "swap",
        }
    }
}

impl Happening {
    /// Class in the labels.
    pub fn class(&self) -> String {
        match self {
            Self::Burst { .. } => "burst".into(),
            Self::LeakAbrupt { .. } => "leak_abrupt".into(),
            Self::LeakIncipient { .. } => "leak_incipient".into(),
            Self::ExchangerLeak { .. } => "exchanger_leak".into(),
            Self::PumpTrip => "pump_trip".into(),
            Self::PowerFailure => "power_failure".into(),
            Self::SensorFault { fault, .. } => format!("sensor_fault({})", fault.word()),
            Self::Silence { .. } => "silence".into(),
            Self::ColdStation { .. } => "consumer_thermal(valve_stuck)".into(),
            Self::SteamLeak { .. } => "leak_abrupt(steam)".into(),
            Self::CondensateLost { .. } => "leak_incipient(condensate)".into(),
            Self::Draining { .. } => "draining".into(),
        }
    }
}

/// Durations as people write them: `30s`, `5m`, `2h`, `1d`.
mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", duration.as_secs()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        UNITS
            .iter()
            .find_map(|(suffix, seconds)| {
                let count: u64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
                count.checked_mul(*seconds).map(Duration::from_secs)
            })
            .ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration such as 30s, 5m, 2h or 1d")))
    }
}
