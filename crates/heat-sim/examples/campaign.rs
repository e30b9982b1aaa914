//! Runs a campaign of bursts with the live scan, as fast as it goes, and prints what each did to the source in its
//! first ten seconds: CSV on standard output, speed on standard error.
//!
//! `cargo run --release -p heat-sim --example campaign -- [BURSTS] [SEED] > bursts.csv`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program to look at")]
#![expect(clippy::disallowed_methods, reason = "it measures its own speed")]

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use heat_model::EventTime;
use heat_sim::{City, CityPlan, Scan, campaign::BurstCampaign};

/// 2026-01-10T00:00:00+08:00.
const START: EventTime = EventTime::from_micros(1_767_974_400_000_000);
const WATCHED: [(&str, &str); 5] = [
    ("pt-supply", "supply_pressure"),
    ("pt-return", "return_pressure"),
    ("main", "supply_flow"),
    ("main", "return_flow"),
    ("makeup", "make_up_flow"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bursts: usize = arguments.first().map_or(Ok(200), |text| text.parse())?;
    let seed: u64 = arguments.get(1).map_or(Ok(1), |text| text.parse())?;

    let mut city = City::new(CityPlan::demo(), seed, START)?;
    let campaign = BurstCampaign { bursts, ..BurstCampaign::default() };
    let script = campaign.script(city.plant(), seed);
    city.schedule(&script, START)?;

    let begun = Instant::now();
    let mut readings = 0_u64;
    let mut latest: BTreeMap<(String, &str), f64> = BTreeMap::new();
    println!(
        "event,network,place,size_kg_s,{}",
        WATCHED.map(|(_, name)| format!("{name}_before,{name}_after")).join(",")
    );
    for event in &script.events {
        let mut rows = Vec::new();
        for until in [event.after, event.after + Duration::from_secs(10)] {
            city.advance(START.plus(until), Scan::Live, &mut |message| {
                readings += u64::try_from(message.raw.len()).unwrap_or(0);
                for (device, name) in WATCHED.iter().filter(|(device, _)| *device == message.device.as_str())
                {
                    for (_, value) in message.values().filter(|(signal, _)| signal.name.as_str() == *name) {
                        latest.insert((format!("{}/{device}", message.network), name), value.raw);
                    }
                }
            });
            rows.push(
                WATCHED.map(|(device, name)| {
                    latest.get(&(format!("{}/{device}", event.network), name)).copied()
                }),
            );
        }
        let labels = city.labels();
        let Some(label) = labels.last() else { continue };
        let pairs: Vec<String> = rows[0]
            .iter()
            .zip(&rows[1])
            .map(|(before, after)| format!("{},{}", before.unwrap_or(f64::NAN), after.unwrap_or(f64::NAN)))
            .collect();
        let size = label.size_kg_s.unwrap_or(f64::NAN);
        println!("{},{},{},{size:.2},{}", label.event, label.network, label.place, pairs.join(","));
    }
    let took = begun.elapsed().as_secs_f64();
    let simulated = city.now().since(START).as_secs_f64();
    eprintln!(
        "{bursts} bursts in {simulated:.0} simulated s, {took:.1} s: {:.0} times real time, {:.0} readings/s",
        simulated / took,
        readings as f64 / took
    );
    Ok(())
}
