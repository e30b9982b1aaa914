//! The long form of the fault tests, for a quiet machine: durations as an operator would meet them, and a table.
//!
//! `cargo run -p heat-tests --bin faults -- [--long] [--products heatstream,telegraf,benthos] [--roads broker,direct,buffer,two]
//! [--only ACT,...] [--json FILE] [--pace MESSAGES_PER_SECOND] [--calm SECONDS]`. The binary under test: `HEATSTREAM_BIN`, or target/PROFILE/heatstream.

use std::process::ExitCode;

use heat_tests::{
    bridge::Product,
    faults::{Act, Report, Road, RoadSettings, Scene},
};

const USAGE: &str = "faults [--long] [--products LIST] [--roads LIST] [--only LIST] [--json FILE] [--pace MESSAGES_PER_SECOND] [--calm SECONDS]";
/// What the peers' road and ours have in common.
const COMMON: [Act; 9] = [
    Act::Calm,
    Act::BridgeKilled,
    Act::BridgeKilledInHang,
    Act::BrokerRestarted,
    Act::KafkaKilled,
    Act::KafkaStopped,
    Act::KafkaHeld,
    Act::KafkaSlow,
    Act::MqttHeld,
];
const OURS: [Act; 7] = [
    Act::KafkaAnswersHeld,
    Act::KafkaReset,
    Act::KafkaHalfOpen,
    Act::MqttHalfOpen,
    Act::MqttServerGone,
    Act::MqttReset,
    Act::Malformed,
];
const DIRECT: [Act; 13] = [
    Act::Calm,
    Act::BridgeKilled,
    Act::BridgeKilledInHang,
    Act::KafkaKilled,
    Act::KafkaStopped,
    Act::KafkaHeld,
    Act::MqttHeld,
    Act::MqttAnswersHeld,
    Act::MqttSlow,
    Act::MqttHalfOpen,
    Act::MqttServerGone,
    Act::MqttReset,
    Act::Malformed,
];

const BUFFER: [Act; 7] = [
    Act::Calm,
    Act::KafkaStopped,
    Act::BridgeKilledInHang,
    Act::BridgeKilledInDrain,
    Act::BufferDiskFull,
    Act::BufferTorn,
    Act::BufferDamaged,
];

#[derive(Debug, Default)]
struct Options {
    is_long: bool,
    products: Vec<String>,
    roads: Vec<String>,
    only: Vec<String>,
    json: Option<String>,
    pace: Option<u64>,
    calm_seconds: Option<u64>,
}

fn options() -> Option<Options> {
    let list = |text: Option<String>| text.map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => options.is_long = true,
            "--products" => options.products = list(arguments.next())?,
            "--roads" => options.roads = list(arguments.next())?,
            "--only" => options.only = list(arguments.next())?,
            "--json" => options.json = Some(arguments.next()?),
            "--pace" => options.pace = Some(arguments.next()?.parse().ok()?),
            "--calm" => options.calm_seconds = Some(arguments.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(options)
}

/// How long an act lasts, in seconds.
fn lasts(act: Act, is_long: bool) -> u64 {
    let (short, long) = match act {
        Act::Calm | Act::Malformed => (5, 30),
        Act::BridgeKilled | Act::BridgeKilledThrice | Act::MqttReset => (2, 10),
        Act::BridgeKilledInHang | Act::BridgeKilledInDrain => (10, 40),
        Act::BrokerRestarted => (2, 5),
        Act::KafkaKilled | Act::OneOfTwoKilled => (8, 30),
        Act::KafkaStopped | Act::KafkaHeld | Act::KafkaAnswersHeld | Act::MqttHeld | Act::MqttAnswersHeld => {
            (10, 60)
        }
        Act::KafkaSlow | Act::MqttSlow => (10, 60),
        Act::KafkaReset => (3, 10),
        Act::KafkaHalfOpen | Act::MqttHalfOpen | Act::MqttServerGone => (5, 30),
        Act::BufferDiskFull | Act::BufferTorn | Act::BufferDamaged => (1, 10),
    };
    if is_long { long } else { short }
}

fn run(mut settings: RoadSettings, acts: &[Act], options: &Options) -> Option<Report> {
    let chosen =
        |act: &&Act| options.only.is_empty() || options.only.iter().any(|word| format!("{act:?}") == *word);
    let acts: Vec<Act> = acts.iter().filter(chosen).copied().collect();
    if acts.is_empty() {
        return None;
    }
    settings.messages_per_second = options.pace.unwrap_or(settings.messages_per_second);
    eprintln!("{} ...", settings.title);
    let mut road = Road::start(settings)?;
    for act in acts {
        eprintln!("  {}", act.name());
        let seconds = options.calm_seconds.filter(|_| act == Act::Calm);
        let seconds = seconds.unwrap_or_else(|| lasts(act, options.is_long));
        road.play(Scene::new(act, seconds));
    }
    let report = road.finish();
    println!("{}", report.markdown());
    if report.malformed > 0 {
        println!("{} malformed messages were sent.\n", report.malformed);
    }
    for error in &report.errors {
        println!("{error}");
    }
    Some(report)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let wants = |list: &[String], word: &str| list.is_empty() || list.iter().any(|item| item == word);
    let mut reports = Vec::new();
    let mut add = |settings, acts: &[Act]| reports.extend(run(settings, acts, &options));
    if wants(&options.products, "heatstream") {
        if wants(&options.roads, "broker") {
            let settings = RoadSettings::new("heatstream, mosquitto", Product::Heatstream, false);
            add(settings, &[COMMON.as_slice(), OURS.as_slice()].concat());
        }
        if wants(&options.roads, "direct") {
            let mut settings = RoadSettings::new("heatstream, own listener", Product::Heatstream, true);
            settings.devices = 1_000;
            add(settings, &DIRECT);
        }
        if wants(&options.roads, "buffer") {
            let mut settings =
                RoadSettings::new("heatstream, buffer on a small disk", Product::Heatstream, true);
            settings.buffer_mebibytes = Some(256);
            add(settings, &BUFFER);
        }
        if wants(&options.roads, "two") {
            for direct in [true, false] {
                let name = if direct { "own listeners" } else { "shared subscription" };
                let title = format!("two heatstreams, {name}");
                let mut settings = RoadSettings::new(&title, Product::Heatstream, direct);
                settings.bridges = 2;
                add(settings, &[Act::OneOfTwoKilled]);
            }
        }
    }
    for (word, products) in [
        ("telegraf", [Product::Telegraf, Product::TelegrafParsing]),
        ("benthos", [Product::Benthos, Product::BenthosParsing]),
    ] {
        if wants(&options.products, word) && wants(&options.roads, "broker") {
            add(RoadSettings::new(&format!("{}, mosquitto", products[0]), products[0], false), &COMMON);
            add(
                RoadSettings::new(&format!("{}, mosquitto", products[1]), products[1], false),
                &[Act::Malformed],
            );
        }
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&reports).expect("a report is plain data");
        std::fs::write(path, text).unwrap_or_else(|error| panic!("{path} cannot be written: {error}"));
    }
    ExitCode::SUCCESS
}
