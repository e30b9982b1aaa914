//! The water account under all the ways in which plants meter and feed: a calm week, then a leak found within a day.

use std::{cell::RefCell, time::Duration};

use heat_detect::DetectSettings;
use heat_model::{
    incident::{Class, Incident},
    plant::{Circuit, CircuitKind, PlantModel, SeasonState},
    record::Action,
};

use crate::world::{CALM, Device, Feed, Now, START, plant};

pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Scan of the slow plant.
pub(crate) const SCAN: i64 = 900;
/// When the leak begins.
pub(crate) const ON: i64 = 7 * DAY + 5 * HOUR;
/// Places in the list of devices.
pub(crate) const MAIN: usize = 0;
pub(crate) const MAKE_UP: usize = 1;

/// The slow plant's scans.
pub(crate) fn scans(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (0..(to - from) / SCAN).map(move |scan| from + scan * SCAN)
}

pub(crate) fn settings() -> DetectSettings {
    DetectSettings { learning: Duration::from_secs(3 * 86_400), ..DetectSettings::default() }
}

/// What is lost all the time: it wanders by a tenth within days.
pub(crate) fn base(kg_s: f64, at: i64) -> f64 {
    kg_s * (1.0 + 0.1 * (at as f64 / (0.7 * DAY as f64)).sin())
}

pub(crate) fn leaking(kg_s: f64, base_kg_s: f64) -> impl Fn(i64) -> Now {
    move |at| Now { leak: (at >= ON).then_some((1, kg_s)), feed: base(base_kg_s, at), ..CALM }
}

/// What was said of the water and of its meter; silences and the like are other detectors' to tell.
pub(crate) fn of_water(incidents: Vec<Incident>) -> Vec<Incident> {
    let is_of_water = |incident: &Incident| {
        let of_its_meter = incident.place.as_deref().is_some_and(|place| place.contains("make_up"));
        matches!(
            incident.class,
            Class::Burst
                | Class::LeakAbrupt
                | Class::LeakIncipient
                | Class::StandingLoss
                | Class::Draining
                | Class::ExchangerLeak
        ) || (incident.class == Class::SensorFault && of_its_meter)
    };
    incidents.into_iter().filter(is_of_water).collect()
}

/// Runs a week without a leak and a day with one; what was said of the water in each.
pub(crate) fn week_and_day(
    feed: &mut Feed,
    now: impl Fn(i64) -> Now,
    spoil: impl Fn(i64, &mut Vec<Device>),
) -> (Vec<Incident>, Vec<Incident>) {
    feed.run_with(0, ON, SCAN, &now, &spoil);
    let calm = of_water(feed.incidents());
    feed.run_with(ON, ON + DAY, SCAN, &now, &spoil);
    let all = of_water(feed.incidents());
    let new = all[calm.len()..].to_vec();
    (calm, new)
}

pub(crate) fn assert_found(calm: &[Incident], new: &[Incident], class: Class) {
    assert!(calm.is_empty(), "{calm:?}");
    assert_eq!(new.iter().map(|incident| incident.class).collect::<Vec<_>>(), [class], "{new:?}");
}

fn assert_size(new: &[Incident], kg_s: f64) {
    let said = new[0].loss_kg_s.unwrap();
    assert!((said - kg_s).abs() < 0.3 * kg_s, "said {said}, lost {kg_s}");
}

#[test]
fn leaks_are_found_on_top_of_what_is_lost_all_the_time() {
    for (base_kg_s, leak_kg_s) in [(0.02, 0.06), (0.1, 0.08), (0.2, 0.12)] {
        let limit = DetectSettings { standing_loss_ratio: 0.02, ..settings() };
        let mut feed = Feed::new(limit, plant());
        let (calm, new) = week_and_day(&mut feed, leaking(leak_kg_s, base_kg_s), |_, _| {});
        assert_found(&calm, &new, Class::LeakAbrupt);
        assert_size(&new, leak_kg_s);
    }
}

#[test]
fn what_is_lost_from_the_start_is_a_standing_loss_and_no_leak() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON, SCAN, leaking(0.0, 0.2));
    let classes: Vec<Class> = feed.incidents().iter().map(|incident| incident.class).collect();
    assert_eq!(classes, [Class::StandingLoss]);
}

/// Turns a flow into batches: nothing until so much is missing, then all of it within one scan.
fn in_batches(kilograms: f64) -> impl Fn(i64, &mut Vec<Device>) {
    let missing = RefCell::new(0.0);
    move |_, devices| {
        let mut missing = missing.borrow_mut();
        let flow = &mut devices[MAKE_UP].2[0].2;
        *missing += *flow * SCAN as f64;
        *flow = 0.0;
        if *missing > kilograms {
            *flow = *missing / SCAN as f64;
            *missing = 0.0;
        }
    }
}

#[test]
fn a_leak_is_found_where_make_up_comes_in_batches() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.1, 0.02), in_batches(150.0));
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert_size(&new, 0.1);
}

#[test]
fn a_leak_is_found_by_a_counter_of_one_cubic_metre() {
    let mut feed = Feed::new(settings(), plant());
    let counted = RefCell::new(0.0);
    let (calm, new) = week_and_day(&mut feed, leaking(0.15, 0.04), |_, devices| {
        *counted.borrow_mut() += devices[MAKE_UP].2[0].2 * SCAN as f64 / 999.1;
        devices[MAKE_UP].2[0] = ("make_up_volume", "m3", counted.borrow().floor());
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert_size(&new, 0.15);
}

#[test]
fn a_leak_is_found_by_the_run_time_of_the_make_up_pump_and_its_size_is_called_rough() {
    let mut feed = Feed::new(settings(), plant());
    let missing = RefCell::new(0.0);
    let (calm, new) = week_and_day(&mut feed, leaking(0.15, 0.04), |_, devices| {
        let mut missing = missing.borrow_mut();
        *missing += devices[MAKE_UP].2[0].2;
        // The pump feeds half a kilogram a second, and runs whole scans.
        let runs = *missing >= 0.5;
        *missing -= if runs { 0.5 } else { 0.0 };
        devices[MAKE_UP].2[0] = ("make_up_pump_running", "1", f64::from(u8::from(runs)));
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert!(new[0].lacked.iter().any(|lacked| lacked == "make_up_flow"), "{:?}", new[0].lacked);
}

#[test]
fn a_leak_is_found_by_the_level_of_the_make_up_tank() {
    let mut feed = Feed::new(settings(), plant());
    let level = RefCell::new(2.0);
    let (calm, new) = week_and_day(&mut feed, leaking(0.15, 0.04), |_, devices| {
        let mut level = level.borrow_mut();
        // A tank of 4 m2, filled again below half a metre.
        *level -= devices[MAKE_UP].2[0].2 * SCAN as f64 / 4_000.0;
        if *level < 0.5 {
            *level = 2.0;
        }
        devices[MAKE_UP].2[0] = ("make_up_tank_level", "m", *level);
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
}

#[test]
fn a_leak_is_found_by_supply_less_return_where_no_make_up_is_metered() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.2, 0.02), |_, devices| {
        devices.remove(MAKE_UP);
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert_size(&new, 0.2);
}

#[test]
fn a_leak_is_found_by_what_the_stations_do_not_take_where_only_the_inflow_is_metered() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.3, 0.02), |_, devices| {
        devices.remove(MAKE_UP);
        devices[MAIN].2.remove(1);
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
}

#[test]
fn two_sources_share_one_account() {
    let mut both = plant();
    let mut boiler = both.sites[0].clone();
    boiler.id = "boiler".parse().unwrap();
    both.sites.push(boiler);
    let mut feed = Feed::new(settings(), both);
    let (calm, new) = week_and_day(&mut feed, leaking(0.1, 0.02), |_, devices| {
        let mut second = devices[MAIN].clone();
        second.0 = "boiler";
        for (device, share) in [(&mut second, 0.3), (&mut devices[MAIN], 0.7)] {
            device.2[0].2 *= share;
            device.2[1].2 *= share;
        }
        let mut feeds = devices[MAKE_UP].clone();
        feeds.0 = "boiler";
        for device in [&mut feeds, &mut devices[MAKE_UP]] {
            device.2[0].2 *= 0.5;
        }
        devices.extend([second, feeds]);
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert_size(&new, 0.1);
}

#[test]
fn a_leak_that_is_half_filled_unmetered_is_sized_by_the_big_meters() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.4, 0.02), |at, devices| {
        if at >= ON {
            devices[MAKE_UP].2[0].2 -= 0.2;
        }
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
    assert!(new[0].evidence.iter().any(|evidence| evidence.what == "unmetered_filling"), "{new:?}");
    assert_size(&new, 0.4);
}

#[test]
fn a_make_up_that_feeds_all_it_can_while_pressure_falls_gives_a_loss_of_at_least_so_much() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(1.2, 0.02), |at, devices| {
        let fed = &mut devices[MAKE_UP].2[0].2;
        *fed = fed.min(0.8);
        if at >= ON {
            devices[MAIN].2[3].2 -= 60_000.0;
        }
    });
    assert!(calm.is_empty(), "{calm:?}");
    let says = |incident: &Incident| {
        incident.class == Class::Burst
            || incident.evidence.iter().any(|evidence| evidence.what == "make_up_at_its_limit")
    };
    assert!(new.iter().any(says), "{new:?}");
}

/// A model whose station `a1` has a secondary that the primary tops up.
fn topped_up() -> PlantModel {
    let mut plant = plant();
    let primary = plant.circuits[0].clone();
    plant.circuits.push(Circuit {
        id: "a1-secondary".parse().unwrap(),
        kind: Some(CircuitKind::Secondary),
        topped_up_from: Some(primary.id.clone()),
        water_volume_m3: None,
        ..primary
    });
    plant.networks.push(heat_model::plant::Network {
        id: "town".parse().unwrap(),
        name: None,
        medium: None,
        time_zone: Some("Asia/Shanghai".to_owned()),
        operator: None,
        district: None,
    });
    plant
}

fn evening(at: i64) -> bool {
    let local = (START + at + 8 * HOUR).rem_euclid(DAY);
    (19 * HOUR..21 * HOUR).contains(&local) && at > 4 * DAY
}

#[test]
fn an_evening_s_draining_is_no_leak_and_a_leak_beside_it_is_found() {
    let mut feed = Feed::new(settings(), topped_up());
    let now =
        |at| Now { feed: base(0.02, at) + if evening(at) { 0.12 } else { 0.0 }, ..leaking(0.1, 0.0)(at) };
    let (calm, new) = week_and_day(&mut feed, now, |_, _| {});
    assert!(!calm.is_empty() && calm.iter().all(|incident| incident.class == Class::Draining), "{calm:?}");
    let leaks: Vec<Class> =
        new.iter().map(|incident| incident.class).filter(|class| *class != Class::Draining).collect();
    assert!(matches!(leaks[..], [Class::LeakAbrupt | Class::LeakIncipient]), "{new:?}");
}

fn with_secondary(devices: &mut Vec<Device>, fed: f64, pressure: f64) {
    devices.push((
        "a1",
        "secondary",
        vec![
            ("secondary_make_up_flow", "kg/s", fed),
            ("secondary_return_pressure", "Pa", pressure),
            ("secondary_supply_temperature", "degC", 50.0),
        ],
    ));
}

#[test]
fn what_tops_a_secondary_up_is_the_secondary_s_leak_and_not_the_primary_s() {
    let mut feed = Feed::new(settings(), topped_up());
    let topped = |at: i64| 0.02 + if at >= ON { 0.15 } else { 0.0 };
    let now = |at| Now { feed: base(0.02, at) + topped(at), ..CALM };
    feed.run_with(0, ON + 3 * DAY, SCAN, now, |at, devices| with_secondary(devices, topped(at), 300_000.0));
    let found = of_water(feed.incidents());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind.as_deref(), found[0].place.as_deref()), (Some("secondary"), Some("a1")));
}

#[test]
fn an_exchanger_that_leaks_into_its_secondary_is_named_and_nothing_is_dug_up() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.1, 0.02), |at, devices| {
        let batch = if (at / SCAN) % 8 == 0 { 0.1 } else { 0.0 };
        let (fed, pressure) = if at >= ON { (0.0, 380_000.0) } else { (batch, 300_000.0) };
        with_secondary(devices, fed, pressure);
    });
    assert!(calm.is_empty(), "{calm:?}");
    let last = new.last().unwrap();
    assert_eq!((last.class, last.place.as_deref()), (Class::ExchangerLeak, Some("a1")), "{new:?}");
    assert_eq!(new.len(), 1, "one cause is one incident: {new:?}");
}

#[test]
fn a_circuit_that_is_being_filled_by_command_is_not_judged_and_says_so() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON, SCAN, leaking(0.0, 0.02));
    let circuit = "primary".parse().unwrap();
    feed.command(START + ON, "anna", Action::Season { circuit, state: SeasonState::Filling });
    feed.run(ON, ON + 12 * HOUR, SCAN, |_| Now { feed: 1.5, ..CALM });
    assert!(feed.incidents().iter().all(|incident| incident.class != Class::LeakAbrupt));
    let status = feed.core.status();
    let balance = status[0].detectors.iter().find(|d| d.detector == "water_balance").unwrap();
    assert_eq!(
        balance.state,
        heat_detect::DetectorState::OutOfSeason { season: SeasonState::Filling, suggested: false }
    );
}

#[test]
fn a_secondary_that_is_being_filled_by_command_has_no_leak_and_is_judged_again_afterwards() {
    let filled = |is_said: bool, later: f64| {
        let mut feed = Feed::new(settings(), topped_up());
        let fills = |at: i64| (ON..ON + DAY).contains(&at);
        let topped = move |at: i64| {
            if fills(at) {
                0.3
            } else if at < ON {
                0.02
            } else {
                0.02 + later
            }
        };
        let run = |feed: &mut Feed, from: i64, to: i64| {
            let now = |at| Now { feed: base(0.02, at) + topped(at), ..CALM };
            feed.run_with(from, to, SCAN, now, |at, list| with_secondary(list, topped(at), 300_000.0));
        };
        let circuit: heat_model::CircuitId = "a1-secondary".parse().unwrap();
        let say = |feed: &mut Feed, at: i64, state: SeasonState| {
            if is_said {
                feed.command(START + at, "anna", Action::Season { circuit: circuit.clone(), state });
            }
        };
        run(&mut feed, 0, ON);
        say(&mut feed, ON, SeasonState::Filling);
        run(&mut feed, ON, ON + DAY);
        say(&mut feed, ON + DAY, SeasonState::Heating);
        run(&mut feed, ON + DAY, ON + 4 * DAY);
        let leaks = of_water(feed.incidents());
        leaks.into_iter().filter(|leak| leak.kind.as_deref() == Some("secondary")).count()
    };
    assert_eq!([filled(true, 0.0), filled(false, 0.0), filled(true, 0.15)], [0, 1, 1]);
}
