//! Prints a day of one network of the demo city as CSV, one line a minute, and then the speed of generation.
//!
//! `cargo run --release -p heat-sim --example day -- [NETWORK] [DAYS] [SEED] > day.csv`; figures go to standard error.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program to look at")]
#![expect(clippy::disallowed_methods, reason = "it measures its own speed")]

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use heat_model::EventTime;
use heat_sim::{City, CityPlan, Scan, script};

/// 2026-01-10T00:00:00+08:00.
const START: EventTime = EventTime::from_micros(1_767_974_400_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let network = arguments.first().map_or("demo-north", String::as_str).to_owned();
    let days: u32 = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let seed: u64 = arguments.get(2).map_or(Ok(1), |text| text.parse())?;

    print_network(&network, days, seed)?;
    measure(seed)
}

fn print_network(network: &str, days: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut city = City::new(CityPlan::demo(), seed, START)?;
    city.schedule(&script::demo(city.plant()), START.plus(Duration::from_secs(3_600)))?;
    let mut columns: BTreeMap<String, f64> = BTreeMap::new();
    let mut is_first = true;
    for minute in 1..=days * 1_440 {
        city.advance(START.plus(Duration::from_secs(60) * minute), Scan::Live, &mut |message| {
            if message.network.as_str() == network {
                for (signal, value) in message.values() {
                    let name = format!("{}.{}.{}", message.site, message.device, signal.name);
                    columns.insert(name, value.raw);
                }
            }
        });
        // Home loggers report every five minutes: from then on all columns are there.
        if minute < 6 {
            continue;
        }
        if is_first {
            println!("minute,{}", columns.keys().cloned().collect::<Vec<_>>().join(","));
            is_first = false;
        }
        let values: Vec<String> = columns.values().map(f64::to_string).collect();
        println!("{minute},{}", values.join(","));
    }
    for label in city.labels() {
        eprintln!("{:?}", label);
    }
    Ok(())
}

fn measure(seed: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut city = City::new(CityPlan::demo(), seed, START)?;
    let signals = city.plant().signals.len();
    eprintln!(
        "demo city: {signals} signals, {} devices, built in {:?}",
        city.devices().len(),
        begun.elapsed()
    );

    let (mut readings, mut messages) = (0_u64, 0_u64);
    let mut count = |message: &heat_sim::DeviceMessage<'_>| {
        messages += 1;
        readings += u64::try_from(message.raw.len()).unwrap_or(0);
    };
    let history_end = START.plus(Duration::from_secs(21 * 86_400));
    let begun = Instant::now();
    city.advance(history_end, Scan::HISTORY, &mut count);
    report("21 days of history", begun.elapsed(), readings, messages);

    let (mut readings, mut messages) = (0_u64, 0_u64);
    let begun = Instant::now();
    city.advance(history_end.plus(Duration::from_secs(3_600)), Scan::Live, &mut |message| {
        messages += 1;
        readings += u64::try_from(message.raw.len()).unwrap_or(0);
    });
    let took = begun.elapsed();
    report("an hour of live", took, readings, messages);
    eprintln!("live costs {:.3} % of a core", 100.0 * took.as_secs_f64() / 3_600.0);
    Ok(())
}

fn report(what: &str, took: Duration, readings: u64, messages: u64) {
    let per_second = readings as f64 / took.as_secs_f64();
    eprintln!("{what}: {readings} readings in {messages} messages, {took:?}, {per_second:.0} readings/s");
}
