//! Measures decoding of mapped JSON and of Neuron's payloads beside the own JSON: nanoseconds per reading of messages
//! of 10 values, on one core.
//!
//! `cargo run --release -p heat-codec --example mapped_speed [MESSAGES]`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and reads its argument")]

use std::{fmt::Write, time::Instant};

use heat_codec::{
    decoded::Limits,
    mapped::{Decoder, JsonMapping},
    own_json,
};

const NAMES: [(&str, &str); 10] = [
    ("primary_supply_temperature", "degC"),
    ("primary_return_temperature", "degC"),
    ("primary_supply_pressure", "MPa"),
    ("primary_return_pressure", "MPa"),
    ("primary_supply_flow", "m3/h"),
    ("make_up_flow", "m3/h"),
    ("secondary_supply_temperature", "degC"),
    ("secondary_return_temperature", "degC"),
    ("valve_opening", "%"),
    ("heat_power", "kW"),
];
/// Payloads of each kind; their values differ.
const PAYLOADS: u32 = 1_024;
const TIME: &str = "[time]\npointer = \"//ts\"\nformat = \"unix_ms\"\n";

/// A value as meters send it.
fn raw(n: u32, at: u32) -> f64 {
    f64::from((n.wrapping_mul(2_654_435_761).wrapping_add(at * 97)) % 100_000) / 1_000.0
}

fn mapping(head: &str, rest: &str) -> JsonMapping {
    let text = format!("topic = \"plant/{{site}}/{{device}}\"\nnetwork = \"north\"\n{head}\n{rest}");
    JsonMapping::parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn wide_columns(pointer: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for (at, (name, unit)) in NAMES.iter().enumerate() {
        let pointer = pointer(at);
        writeln!(text, "[[values]]\npointer = {pointer:?}\nname = {name:?}\nunit = {unit:?}")
            .expect("a String takes all that is written");
    }
    text
}

fn names() -> String {
    let mut text = "[names]\n".to_owned();
    for (at, (name, unit)) in NAMES.iter().enumerate() {
        writeln!(text, "tag{at} = {{ name = {name:?}, unit = {unit:?} }}")
            .expect("a String takes all that is written");
    }
    text
}

fn joined(values: impl Fn(u32) -> String) -> String {
    (0..10).map(values).collect::<Vec<_>>().join(",")
}

fn payload(kind: &str, n: u32) -> String {
    let ts = 1_795_478_400_000_u64 + u64::from(n) * 1_000;
    match kind {
        "own JSON" => {
            let values = joined(|at| format!("{:?}:{}", NAMES[at as usize].0, raw(n, at)));
            format!(r#"{{"time":{ts},"values":{{{values}}}}}"#)
        }
        "wide" => format!(r#"{{"ts":{ts},{}}}"#, joined(|at| format!(r#""v{at}":{}"#, raw(n, at)))),
        "wide, deeper" => {
            let values = joined(|at| format!(r#""v{at}":{{"x":"text","val":{},"q":192}}"#, raw(n, at)));
            format!(r#"{{"ts":{ts},"d":{{{values}}}}}"#)
        }
        "nested, 5 x 2" => {
            let meters = |m: u32| format!(r#"{{"id":"m{m}","v0":{},"v1":{}}}"#, raw(n, m), raw(n, m + 5));
            let meters = (0..5).map(meters).collect::<Vec<_>>().join(",");
            format!(r#"{{"ts":{ts},"stations":[{{"name":"s","meters":[{meters}]}}]}}"#)
        }
        "tall" => {
            let entries = joined(|at| format!(r#"{{"id":"tag{at}","v":{}}}"#, raw(n, at)));
            format!(r#"{{"ts":{ts},"points":[{entries}]}}"#)
        }
        "Neuron" => {
            let values = joined(|at| format!(r#""tag{at}":{}"#, raw(n, at)));
            format!(r#"{{"node":"n1","group":"g1","timestamp":{ts},"values":{{{values}}}}}"#)
        }
        other => panic!("no payloads for {other}"),
    }
}

fn mapping_for(kind: &str) -> Option<JsonMapping> {
    let json = "format = \"json\"\nsite = \"{site}\"\ndevice = \"{device}\"";
    Some(match kind {
        "wide" => mapping(json, &format!("{TIME}{}", wide_columns(|at| format!("/v{at}")))),
        "wide, deeper" => mapping(json, &format!("{TIME}{}", wide_columns(|at| format!("/d/v{at}/val")))),
        "nested, 5 x 2" => mapping(
            "format = \"json\"\nsite = \"{^/name}\"\ndevice = \"{/id}\"\neach = [\"/stations\", \"/meters\"]",
            &format!(
                "{TIME}[[values]]\npointer=\"/v0\"\nname=\"supply_temperature\"\n\
                 [[values]]\npointer=\"/v1\"\nname=\"return_temperature\"\n"
            ),
        ),
        "tall" => mapping(
            json,
            &format!("{TIME}[tall]\neach=\"/points\"\nname=\"{{/id}}\"\nvalue=\"/v\"\n{}", names()),
        ),
        "Neuron" => mapping("format = \"neuron\"\nsite = \"{node}\"\ndevice = \"{group}\"", &names()),
        _ => return None,
    })
}

fn main() {
    let messages: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(500_000);
    for kind in ["own JSON", "wide", "wide, deeper", "nested, 5 x 2", "tall", "Neuron"] {
        let payloads: Vec<_> = (0..PAYLOADS).map(|n| payload(kind, n).into_bytes()).collect();
        let mut own = own_json::Decoder::default();
        let mut mapped = Decoder::new(mapping_for(kind).into_iter().collect(), Limits::default());
        let is_mapped = mapped.matches("plant/s/d");
        let started = Instant::now();
        for n in 0..messages {
            let payload = &payloads[(n % PAYLOADS) as usize];
            let decoded = if is_mapped { mapped.decode("plant/s/d", payload) } else { own.decode(payload) };
            assert_eq!((decoded.values_len(), decoded.rejects().len()), (10, 0));
        }
        let nanos = started.elapsed().as_secs_f64() * 1e9 / f64::from(messages) / 10.0;
        let bytes = payloads[0].len();
        println!("{kind:<14} {bytes:>4} B {nanos:>7.1} ns/reading {:>7.2} M readings/s", 1e3 / nanos);
    }
}
