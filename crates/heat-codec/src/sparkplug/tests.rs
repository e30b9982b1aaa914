use heat_model::{EventTime, Lane, Quality};
use prost::Message as _;

use super::*;
use pb::{Metric, Payload, metric::Value};

mod model;
mod readings;
mod state;

/// 2026-11-24T00:00:00Z, Unix milliseconds.
const T0: i64 = 1_795_478_400_000;

const BOOLEAN: u32 = 11;
const DOUBLE: u32 = 10;
const INT64: u32 = 4;

fn stamp(ms: i64) -> Option<u64> {
    Some(u64::try_from(T0 + ms).unwrap())
}

fn metric(name: &str, alias: u64, value: f64) -> Metric {
    Metric {
        name: Some(name.to_owned()),
        alias: Some(alias),
        datatype: Some(DOUBLE),
        value: Some(Value::DoubleValue(value)),
        ..Metric::default()
    }
}

/// A value as data carry it.
fn datum(alias: u64, value: f64) -> Metric {
    Metric { alias: Some(alias), value: Some(Value::DoubleValue(value)), ..Metric::default() }
}

fn bd_seq(number: u64) -> Metric {
    Metric {
        name: Some("bdSeq".to_owned()),
        datatype: Some(INT64),
        value: Some(Value::LongValue(number)),
        ..Metric::default()
    }
}

fn rebirth_control() -> Metric {
    Metric {
        name: Some("Node Control/Rebirth".to_owned()),
        datatype: Some(BOOLEAN),
        value: Some(Value::BooleanValue(false)),
        ..Metric::default()
    }
}

fn payload(seq: u64, ms: i64, metrics: impl IntoIterator<Item = Metric>) -> Vec<u8> {
    let metrics = metrics.into_iter().collect();
    Payload { timestamp: stamp(ms), metrics, seq: Some(seq), ..Payload::default() }.encode_to_vec()
}

fn birth(number: u64, ms: i64, metrics: impl IntoIterator<Item = Metric>) -> Vec<u8> {
    payload(0, ms, [bd_seq(number), rebirth_control()].into_iter().chain(metrics))
}

/// The will of a connection: no time and no place in the count.
fn death(number: u64) -> Vec<u8> {
    Payload { metrics: vec![bd_seq(number)], ..Payload::default() }.encode_to_vec()
}

/// A host that listens, and what it makes of each message.
struct Host(Sparkplug);

impl Host {
    fn new() -> Self {
        Self::with(&RawSparkplug::default())
    }

    fn with(raw: &RawSparkplug) -> Self {
        Self(Sparkplug::new(SparkplugSettings::from_raw(raw.clone()).unwrap(), Limits::default()))
    }

    /// Readings as `site/device/name=raw unit quality lane`, good and live left out, and rejects as `reason place`.
    fn take(&mut self, topic: &str, ms: i64, payload: &[u8]) -> Vec<String> {
        self.0.take(&format!("spBv1.0/{topic}"), payload, IngestTime::from_micros((T0 + ms) * 1_000));
        let (sparkplug, decoded) = (&self.0, self.0.decoded());
        let mut seen = Vec::new();
        for item in decoded.items() {
            let device = sparkplug.device(item.device.expect("every item has a device"));
            for value in decoded.values(item) {
                let mut line =
                    format!("{}/{}/{}={}", device.site, device.device, decoded.name(value), value.raw);
                line.extend(decoded.unit(value).map(|unit| format!(" {unit}")));
                if value.quality != Quality::Good {
                    line.push_str(&format!(" {}:{}", value.quality.as_str(), value.code.as_str()));
                }
                if item.lane == Some(Lane::Backfill) {
                    line.push_str(" backfill");
                }
                seen.push(line);
            }
        }
        seen.extend(
            decoded
                .rejects()
                .iter()
                .map(|reject| format!("{} {}", reject.reason, reject.place).trim().to_owned()),
        );
        seen
    }

    /// Times of the last message's values, milliseconds from `T0`.
    fn times(&self) -> Vec<Option<i64>> {
        let decoded = self.0.decoded();
        let values = decoded.items().iter().flat_map(|item| decoded.values(item));
        values.map(|value| value.time.map(|time: EventTime| time.as_micros() / 1_000 - T0)).collect()
    }

    /// Topics of the rebirths asked since the last call.
    fn asked(&mut self) -> Vec<String> {
        self.0.take_rebirths().into_iter().map(|rebirth| rebirth.topic).collect()
    }
}

/// A node `g/n` with metric `a` (alias 1), and its device `d` with metric `b` (alias 2); two messages of its count.
fn born() -> Host {
    let mut host = Host::new();
    assert_eq!(
        host.take("g/NBIRTH/n", 0, &birth(0, 0, [metric("a", 1, 1.0)])),
        ["n/node/online=1", "n/node/a=1"]
    );
    let device = payload(1, 1, [metric("b", 2, 2.0)]);
    assert_eq!(host.take("g/DBIRTH/n/d", 1, &device), ["n/d/online=1", "n/d/b=2"]);
    host
}
