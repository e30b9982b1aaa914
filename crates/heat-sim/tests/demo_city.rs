//! The demo city as others see it: plant tables, messages, labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use heat_hydraulics::plant::NetworkTree;
use heat_model::{
    EventTime, Quality,
    incident::Class,
    plant::{CircuitKind, SiteKind},
    unit,
};
use heat_sim::{
    City, CityPlan, PlanError, Scan, Script, ScriptError,
    campaign::BurstCampaign,
    event::{Happening, LeakSize, ScriptedEvent, SensorFault},
    script::{self, RandomScript},
};

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> EventTime {
    EventTime::from_micros(1_767_974_400_000_000)
}

fn demo() -> City {
    City::new(CityPlan::demo(), 1, start()).expect("the demo plan is sound")
}

/// The class without its kind.
fn class_of(text: &str) -> Class {
    text.split('(').next().expect("a split gives one part").parse().expect("a class")
}

fn signals(city: &City, name: &str) -> Vec<heat_model::SignalId> {
    city.plant().signals.iter().filter(|row| row.name.as_str() == name).map(|row| row.id.clone()).collect()
}

#[test]
fn the_demo_city_is_as_large_as_promised_and_its_tables_hang_together() {
    let city = demo();
    let plant = city.plant();

    assert!(plant.networks.len() >= 3);
    assert!(plant.networks.iter().all(|network| network.id.as_str().starts_with("demo-")));
    assert!(plant.sites.iter().filter(|site| site.kind == Some(SiteKind::Station)).count() >= 100);
    assert!(plant.signals.len() >= 2_000, "{}", plant.signals.len());
    let unique = |ids: Vec<String>| {
        let count = ids.len();
        assert_eq!(BTreeSet::from_iter(ids).len(), count);
    };
    unique(plant.signals.iter().map(|row| row.id.to_string()).collect());
    unique(plant.sites.iter().map(|row| row.id.to_string()).collect());
    unique(plant.pipes.iter().map(|row| row.id.to_string()).collect());
    unique(plant.nodes.iter().map(|row| row.id.to_string()).collect());
    unique(plant.valves.iter().map(|row| row.id.to_string()).collect());
    for circuit in plant.circuits.iter().filter(|row| row.kind == Some(CircuitKind::Primary)) {
        let tree = NetworkTree::from_plant(plant, &circuit.id).unwrap();
        let stations = tree.stations_behind(tree.tree.root()).count();
        let planned = city.plan().networks.iter().find(|row| row.id == circuit.network).unwrap().stations;
        assert_eq!(stations, planned);
    }
    assert!(plant.circuits.iter().any(|row| row.topped_up_from.is_some()));
}

#[test]
fn every_signal_has_a_standard_name_and_a_unit_that_fits_it() {
    for row in &demo().plant().signals {
        let name = row.name.as_str();
        assert!(unit::standard_dimensions(name).is_some(), "{name}");
        assert!(unit::conversion(name, row.unit.as_deref()).is_ok(), "{name} in {:?}", row.unit);
    }
}

#[test]
fn good_values_stay_in_the_ranges_of_the_plant_tables() {
    let mut city = demo();
    let ranges: BTreeMap<String, (f64, f64)> = city
        .plant()
        .signals
        .iter()
        .map(|row| (row.id.to_string(), (row.range_min.unwrap(), row.range_max.unwrap())))
        .collect();
    let (mut outside, mut bad, mut all) = (0, 0, 0);
    let mut seen = BTreeSet::new();
    city.advance(start().plus(Duration::from_secs(86_400)), Scan::HISTORY, &mut |message| {
        for (signal, value) in message.values() {
            let id = format!("{}/{}/{}/{}", message.network, message.site, message.device, signal.name);
            let (low, high) = ranges[&id];
            all += 1;
            match value.quality {
                Quality::Bad => bad += 1,
                Quality::Good | Quality::Uncertain if (low..=high).contains(&value.raw) => {}
                Quality::Good | Quality::Uncertain => {
                    assert!((value.raw - -999.0).abs() < 1e-9, "{id} is {}", value.raw);
                    outside += 1;
                }
            }
            seen.insert(id);
        }
    });
    assert_eq!(seen.len(), ranges.len(), "a signal never spoke");
    assert!(all > 200_000 && outside + bad < all / 10_000, "{outside} sentinels, {bad} nulls in {all}");
}

#[test]
fn the_demo_script_bursts_half_a_minute_after_going_live_and_is_labelled() {
    let mut city = demo();
    let live = start().plus(30 * MINUTE);
    city.schedule(&script::demo(city.plant()), live).unwrap();
    city.advance(live, Scan::HISTORY, &mut |_| {});
    assert!(city.labels().is_empty());
    let mut by_minute: BTreeMap<u64, f64> = BTreeMap::new();

    city.advance(live.plus(20 * MINUTE), Scan::Live, &mut |message| {
        if message.network.as_str() == "demo-north" && message.device.as_str() == "makeup" {
            by_minute.insert(message.time.since(live).as_secs() / 60, message.raw[0].raw);
        }
    });

    let labels = city.labels();
    let burst = &labels[0];
    assert_eq!((burst.class.as_str(), burst.network.as_str()), ("burst", "demo-north"));
    assert_eq!(burst.start, live.plus(Duration::from_secs(30)));
    assert!(burst.size_kg_s.unwrap() > 20.0 && !burst.place.is_empty() && burst.side == "supply");
    assert!(by_minute[&3] > 60.0, "make-up is {} m3/h in the burst", by_minute[&3]);
    assert!(by_minute[&19] < 20.0, "make-up is {} m3/h long after the repair", by_minute[&19]);
}

#[test]
fn a_burst_that_a_crew_mends_loses_no_more_water_and_is_labelled_so() {
    let make_up = |mends: bool| {
        let mut city = demo();
        let network = "demo-north".parse().unwrap();
        city.schedule(&script::demo(city.plant()), start()).unwrap();
        city.advance(start().plus(2 * MINUTE), Scan::Live, &mut |_| {});
        assert_eq!(city.mend(&"demo-east".parse().unwrap()), 0, "nothing is broken there");
        if mends {
            assert_eq!((city.mend(&network), city.mend(&network)), (1, 0));
        }
        let mut last = 0.0;
        city.advance(start().plus(6 * MINUTE), Scan::Live, &mut |message| {
            if *message.network == network && message.device.as_str() == "makeup" {
                last = message.raw[0].raw;
            }
        });
        (last, city.labels()[0].end)
    };
    let (lost, end) = make_up(false);
    let (mended, mended_end) = make_up(true);
    assert!(mended < lost / 2.0, "{mended} m3/h after the repair, {lost} without");
    assert_eq!((mended_end, end > mended_end), (start().plus(2 * MINUTE), true));
}

#[test]
fn pressure_loggers_report_by_exception_within_two_seconds_of_a_burst() {
    let mut city = demo();
    let onset = start().plus(Duration::from_secs(95));
    city.schedule(&script::demo(city.plant()), start().plus(Duration::from_secs(65))).unwrap();
    city.advance(onset, Scan::Live, &mut |_| {});
    let mut sites = BTreeSet::new();

    city.advance(onset.plus(Duration::from_secs(2)), Scan::Live, &mut |message| {
        if message.network.as_str() == "demo-north" && matches!(message.device.as_str(), "pressure" | "rtu") {
            assert!(message.time >= onset);
            sites.insert(message.site.clone());
        }
    });

    // A fifth of them is due in two seconds anyhow.
    assert!(sites.len() > 20, "only {} sites reported", sites.len());
}

#[test]
fn each_sensor_fault_and_silence_shows_as_it_says_and_ends() {
    let mut city = demo();
    let pressure = signals(&city, "primary_supply_pressure");
    let (supply, back) =
        (signals(&city, "primary_supply_temperature"), signals(&city, "primary_return_temperature"));
    let flow = signals(&city, "primary_supply_flow");
    let faults = [
        (pressure[0].clone(), SensorFault::Bias { by: 0.2 }),
        (pressure[1].clone(), SensorFault::Sentinel { value: -9_999.0 }),
        (supply[2].clone(), SensorFault::Swap { with: back[2].clone() }),
        (flow[3].clone(), SensorFault::Stuck),
        (flow[4].clone(), SensorFault::Drift { by: 50.0 }),
    ];
    let (after, lasts) = (10 * MINUTE, 20 * MINUTE);
    let event = |what, network: &heat_model::NetworkId| ScriptedEvent {
        name: None,
        network: network.clone(),
        after,
        lasts,
        what,
    };
    let mut events: Vec<ScriptedEvent> = faults
        .iter()
        .map(|(signal, fault)| {
            event(Happening::SensorFault { signal: signal.clone(), fault: fault.clone() }, &signal.network)
        })
        .collect();
    let silent = flow[6].clone();
    let silence = Happening::Silence { site: silent.site.clone(), device: Some(silent.device.clone()) };
    events.push(event(silence, &silent.network));
    city.schedule(&Script { events }, start()).unwrap();

    let mut series: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    city.advance(start().plus(40 * MINUTE), Scan::Live, &mut |message| {
        for (signal, value) in message.values() {
            let id = format!("{}/{}/{}/{}", message.network, message.site, message.device, signal.name);
            series.entry(id).or_default().push((message.time.since(start()).as_secs(), value.raw));
        }
    });
    let during = |id: &heat_model::SignalId, from: u64, to: u64| -> Vec<f64> {
        series[&id.to_string()]
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .map(|&(_, raw)| raw)
            .collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap());
    let step = |id: &heat_model::SignalId| mean(&during(id, 605, 900)) - mean(&during(id, 300, 600));
    assert!((step(&pressure[0]) - 0.2).abs() < 0.01, "{}", step(&pressure[0]));
    assert!(during(&pressure[1], 605, 1_800).iter().all(|raw| (raw + 9_999.0).abs() < 1e-9));
    assert!(step(&supply[2]) < -30.0, "{}", step(&supply[2]));
    assert_eq!(BTreeSet::from_iter(during(&flow[3], 605, 1_800).iter().map(|v| v.to_bits())).len(), 1);
    let drift = mean(&during(&flow[4], 1_700, 1_800)) - mean(&during(&flow[4], 500, 600));
    assert!((drift - 48.6).abs() < 5.0, "{drift}");
    assert!(during(&silent, 605, 1_800).is_empty() && !during(&silent, 1_805, 2_400).is_empty());
    assert!(mean(&during(&pressure[1], 1_815, 2_400)) > 0.2, "the sentinel ends");
}

#[test]
fn a_campaign_has_its_bursts_on_many_pipes_and_both_sides_with_recovery_between() {
    let mut city = demo();
    let campaign = BurstCampaign::default();
    let script = campaign.script(city.plant(), 9);
    assert_eq!(script.events.len(), 200);
    let pipes: BTreeSet<String> = script
        .events
        .iter()
        .map(|event| {
            let Happening::Burst { pipe, .. } = &event.what else {
                panic!("{event:?} in a campaign of bursts")
            };
            pipe.to_string()
        })
        .collect();
    assert!(pipes.len() > 60, "{} pipes", pipes.len());
    assert!(pipes.iter().any(|pipe| pipe.ends_with('r')) && pipes.iter().any(|pipe| pipe.ends_with('s')));

    let few = BurstCampaign { bursts: 12, ..campaign };
    city.schedule(&few.script(city.plant(), 9), start()).unwrap();
    for event in few.script(city.plant(), 9).events {
        // In the minutes before the onset the network has recovered from its last burst.
        city.advance(start().plus(event.after - 4 * MINUTE), Scan::HISTORY, &mut |_| {});
        let before = city.account(&event.network).unwrap();
        city.advance(start().plus(event.after - MINUTE), Scan::HISTORY, &mut |_| {});
        let after = city.account(&event.network).unwrap();
        let row = city.plant().circuits.iter().find(|row| row.network == event.network).unwrap();
        let ratio = (after.make_up_kg - before.make_up_kg) / 180.0 / row.design_flow_kg_s.unwrap();
        assert!(ratio < 0.015, "{} is still refilling: {ratio}", event.network);
    }
    city.advance(start().plus(few.duration()), Scan::HISTORY, &mut |_| {});
    let labels = city.labels();
    assert_eq!(labels.len(), 12);
    for label in labels {
        assert_eq!(class_of(&label.class), Class::Burst);
        assert!(label.size_kg_s.unwrap() > 5.0, "{label:?}");
    }
}

#[test]
fn a_script_survives_toml_and_its_faults_name_what_is_missing() {
    let city = demo();
    let demo_script = script::demo(city.plant());
    assert!(demo_script.events.len() >= 8);
    let text = toml::to_string(&demo_script).unwrap();
    assert_eq!(Script::from_toml(&text).unwrap(), demo_script);
    for label in RandomScript::EVERYDAY.script(city.plant(), 600 * MINUTE, 4).events {
        class_of(&label.what.class());
    }

    let mut city = city;
    let mut wrong = Script { events: vec![demo_script.events[0].clone()] };
    let pipe = "demo-P999s".parse().unwrap();
    wrong.events[0].what = Happening::Burst { pipe, position: 0.5, size: LeakSize::HoleMm(80.0) };
    let fault = city.schedule(&wrong, start()).unwrap_err();
    assert!(matches!(&fault, ScriptError::NoSuchPlace { kind: "pipe", .. }), "{fault}");
    let fault = city.schedule(&demo_script, start().minus(MINUTE)).unwrap_err();
    assert!(matches!(fault, ScriptError::InThePast { .. }));
}

#[test]
fn a_plan_survives_toml_and_a_senseless_one_is_refused_with_its_key() {
    let plan = CityPlan::demo();
    assert_eq!(CityPlan::from_toml(&toml::to_string(&plan).unwrap()).unwrap(), plan);

    let mut senseless = plan.clone();
    senseless.networks[1].base_loss_share = 0.5;
    let fault = City::new(senseless, 1, start()).unwrap_err();
    assert!(fault.to_string().contains("networks[1].base_loss_share"), "{fault}");
    let mut twice = plan;
    twice.networks[1].id = twice.networks[0].id.clone();
    assert!(matches!(City::new(twice, 1, start()), Err(PlanError::Twice(_))));
}
