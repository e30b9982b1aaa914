//! Measures decoding and encoding of the own JSON: nanoseconds per message of 10 values, on one core.
//!
//! `cargo run --release -p heat-codec --example own_json_speed [MESSAGES]`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and reads its argument")]

use std::{hint::black_box, time::Instant};

use heat_codec::{
    own_json::{Decoder, OutItem, OutValue, encode},
    plant::DeviceFacts,
    shape::DeviceShapes,
    topic::DeviceTopic,
};
use heat_model::{EventTime, Lane, Quality, QualityCode};

const NAMES: [(&str, Option<&str>); 10] = [
    ("primary_supply_temperature", None),
    ("primary_return_temperature", None),
    ("primary_supply_pressure", Some("MPa")),
    ("primary_return_pressure", Some("MPa")),
    ("primary_supply_flow", Some("m3/h")),
    ("make_up_flow", Some("m3/h")),
    ("secondary_supply_temperature", None),
    ("secondary_return_temperature", None),
    ("valve_opening", Some("%")),
    ("heat_power", Some("kW")),
];

/// Values that differ from message to message, quantised as meters do it.
fn payload(n: u32, units: bool) -> Vec<u8> {
    let values: Vec<_> = NAMES
        .iter()
        .zip(0_u32..)
        .map(|(&(name, unit), at)| {
            let raw = f64::from((n.wrapping_mul(2_654_435_761).wrapping_add(at * 97)) % 100_000) / 1_000.0;
            let unit = if units { unit } else { None };
            OutValue {
                name,
                raw: Some(raw),
                unit,
                quality: Quality::Good,
                code: QualityCode::None,
                time: None,
            }
        })
        .collect();
    let time = EventTime::from_micros(1_795_478_400_000_000 + i64::from(n) * 1_000_000);
    let mut out = Vec::new();
    let item = OutItem {
        time: Some(time),
        seq: Some(n.into()),
        boot: Some("a1"),
        lane: Some(Lane::Live),
        values: &values,
    };
    encode(&mut out, &item);
    out
}

fn report(what: &str, messages: u32, bytes: usize, started: Instant) {
    let nanos = started.elapsed().as_secs_f64() * 1e9 / f64::from(messages);
    println!("{what:<44} {bytes:>5} B {nanos:>8.0} ns/message {:>8.2} M readings/s", 1e4 / nanos);
}

fn main() {
    let messages: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    for units in [false, true] {
        let payloads: Vec<_> = (0..1_024).map(|n| payload(n, units)).collect();
        let bytes = payloads[0].len();
        let with = if units { "with units" } else { "plain" };
        let of = |n: u32| payloads[n as usize % payloads.len()].as_slice();

        let mut decoder = Decoder::default();
        let started = Instant::now();
        for n in 0..messages {
            let decoded = decoder.decode(of(n));
            assert_eq!((decoded.values_len(), decoded.rejects().len()), (10, 0));
        }
        report(&format!("decode, {with}"), messages, bytes, started);

        let mut shapes = DeviceShapes::new(DeviceTopic {
            network: "demo-north".parse().expect("an id"),
            site: "st01".parse().expect("an id"),
            device: "meter".parse().expect("an id"),
        });
        let started = Instant::now();
        let mut sum = 0.0;
        for n in 0..messages {
            let decoded = decoder.decode(of(n));
            for item in decoded.items() {
                let shape = shapes.resolve(decoded, item, &DeviceFacts::default());
                for (value, slot) in decoded.values(item).iter().zip(&shape.slots) {
                    let signal = slot.expect("good names and units") as usize;
                    sum += shape.signals[signal].value_of(value.raw);
                }
            }
        }
        black_box(sum);
        report(&format!("decode, signals and SI values, {with}"), messages, bytes, started);

        let started = Instant::now();
        for n in 0..messages {
            let value: serde_json::Value = serde_json::from_slice(of(n)).expect("JSON");
            black_box(value);
        }
        report(&format!("(serde_json::Value, {with})"), messages, bytes, started);

        let started = Instant::now();
        for n in 0..messages {
            serde_json::from_slice::<serde::de::IgnoredAny>(of(n)).expect("JSON");
        }
        report(&format!("(serde_json skipping all, {with})"), messages, bytes, started);
    }

    let values: Vec<_> = NAMES.iter().map(|&(name, unit)| OutValue::good(name, 81.25, unit)).collect();
    let mut out = Vec::new();
    let started = Instant::now();
    for n in 0..messages {
        out.clear();
        let time = EventTime::from_micros(1_795_478_400_000_000 + i64::from(n));
        encode(
            &mut out,
            &OutItem { time: Some(time), seq: Some(n.into()), values: &values, ..OutItem::default() },
        );
        black_box(&out);
    }
    report("encode, with units", messages, out.len(), started);
}
