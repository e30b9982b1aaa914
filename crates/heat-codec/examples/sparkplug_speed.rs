//! Measures decoding of Sparkplug B: nanoseconds per message, on one core.
//!
//! `cargo run --release -p heat-codec --example sparkplug_speed [MESSAGES]`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and reads its argument")]

use std::{hint::black_box, time::Instant};

use heat_codec::{
    decoded::Limits,
    plant::DeviceFacts,
    shape::DeviceShapes,
    sparkplug::{Sparkplug, SparkplugSettings},
};
use heat_model::IngestTime;

const T0_MS: u64 = 1_795_478_400_000;
const NAMES: [(&str, &str); 10] = [
    ("Primary/Supply Temperature", "degC"),
    ("Primary/Return Temperature", "degC"),
    ("Primary/Supply Pressure", "MPa"),
    ("Primary/Return Pressure", "MPa"),
    ("Primary/Flow", "m3/h"),
    ("Make-up/Flow", "m3/h"),
    ("Secondary/Supply Temperature", "degC"),
    ("Secondary/Return Temperature", "degC"),
    ("Valve/Opening", "%"),
    ("Heat/Power", "kW"),
];

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn sized(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn double(out: &mut Vec<u8>, value: f64) {
    out.push(13 << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn payload(time_ms: u64, seq: u64, metrics: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, time_ms);
    for metric in metrics {
        sized(&mut out, 2, &metric);
    }
    number(&mut out, 3, seq);
    out
}

fn birth() -> Vec<u8> {
    let metrics = NAMES.iter().zip(1..).map(|(&(name, unit), alias)| {
        let (mut value, mut properties, mut metric) = (Vec::new(), Vec::new(), Vec::new());
        sized(&mut value, 8, unit.as_bytes());
        sized(&mut properties, 1, b"engUnit");
        sized(&mut properties, 2, &value);
        sized(&mut metric, 1, name.as_bytes());
        number(&mut metric, 2, alias);
        number(&mut metric, 4, 10);
        sized(&mut metric, 9, &properties);
        double(&mut metric, 1.0);
        metric
    });
    payload(T0_MS, 0, metrics)
}

/// A message of ten metrics that carries only aliases, times where asked for, and values.
fn data(n: u64, times: bool) -> Vec<u8> {
    let time_ms = T0_MS + 1_000 * n;
    let metrics = (0..10_u32).map(|at| {
        let mut metric = Vec::new();
        number(&mut metric, 2, u64::from(at) + 1);
        if times {
            number(&mut metric, 3, time_ms - u64::from(at));
        }
        let raw = u32::try_from(n % 4_096).expect("below 4,096").wrapping_mul(2_654_435_761);
        double(&mut metric, f64::from((raw + at * 97) % 100_000) / 1_000.0);
        metric
    });
    payload(time_ms, n % 256, metrics)
}

fn report(what: &str, messages: u64, bytes: usize, started: Instant) {
    let nanos = started.elapsed().as_secs_f64() * 1e9 / messages as f64;
    println!("{what:<44} {bytes:>5} B {nanos:>8.0} ns/message {:>8.2} M readings/s", 1e4 / nanos);
}

fn main() {
    let messages: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    for times in [false, true] {
        // The count goes round in 256 messages, so a round of 1,024 can be sent again and again.
        let payloads: Vec<_> = (1..=1_024).map(|n| data(n, times)).collect();
        let with = if times { "a time each" } else { "the payload's time" };
        let start = |nodes: usize| {
            let mut sparkplug = Sparkplug::new(SparkplugSettings::default(), Limits::default());
            let topics: Vec<_> = (0..nodes).map(|node| format!("spBv1.0/city/NDATA/st{node:04}")).collect();
            for topic in &topics {
                let born = topic.replace("NDATA", "NBIRTH");
                sparkplug.take(&born, &birth(), IngestTime::from_micros(0));
            }
            (sparkplug, topics)
        };
        for nodes in [1, 5_000] {
            let (mut sparkplug, topics) = start(nodes);
            let started = Instant::now();
            for n in 0..messages {
                let at = usize::try_from(n).expect("messages fit the memory");
                let payload = &payloads[at / nodes % payloads.len()];
                let decoded = sparkplug.take(&topics[at % nodes], payload, IngestTime::from_micros(0));
                assert_eq!((decoded.values_len(), decoded.rejects().len()), (10, 0));
            }
            report(&format!("decode, {with}, {nodes} nodes"), messages, payloads[0].len(), started);
        }

        let (mut sparkplug, topics) = start(1);
        let mut shapes = DeviceShapes::new(sparkplug.device(0).clone());
        let facts = DeviceFacts::default();
        let (mut sum, started) = (0.0, Instant::now());
        for payload in payloads.iter().cycle().zip(0..messages).map(|(payload, _)| payload) {
            let decoded = sparkplug.take(&topics[0], payload, IngestTime::from_micros(0));
            for item in decoded.items() {
                let shape = shapes.resolve(decoded, item, &facts);
                for (value, slot) in decoded.values(item).iter().zip(&shape.slots) {
                    let signal = slot.expect("good names and units") as usize;
                    sum += shape.signals[signal].value_of(value.raw);
                }
            }
        }
        black_box(sum);
        report(&format!("decode, signals and SI values, {with}"), messages, payloads[0].len(), started);
    }

    let birth = birth();
    let mut sparkplug = Sparkplug::new(SparkplugSettings::default(), Limits::default());
    let (births, started) = (messages / 10, Instant::now());
    for n in 0..births {
        let topic = format!("spBv1.0/city/DBIRTH/st/d{}", n % 1_000);
        black_box(sparkplug.take(&topic, &birth, IngestTime::from_micros(0)));
    }
    report("birth of a device", births, birth.len(), started);
}
