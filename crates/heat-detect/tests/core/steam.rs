//! The steam account: a boiler, five stations and their condensate, with and without one meter's fault.

use std::sync::Arc;

use heat_detect::{DetectorState, PartitionCore, Snapshot};
use heat_model::{
    NetworkId,
    incident::{Class, Incident, Priority},
    plant::{Circuit, CircuitKind, Medium, PlantModel, SeasonState, Site, SiteKind},
    record::Action,
};

use crate::{
    account::{DAY, HOUR, SCAN, scans, settings},
    world::{self, Device, Feed, START, noise},
};

const ON: i64 = 8 * DAY + 5 * HOUR;
const STATIONS: [(&str, f64, f64); 5] =
    [("s1", 0.30, 0.80), ("s2", 0.25, 0.70), ("s3", 0.20, 0.90), ("s4", 0.15, 0.75), ("s5", 0.10, 0.85)];

fn circuit(id: &str, medium: Medium) -> Circuit {
    Circuit {
        kind: Some(CircuitKind::Primary),
        medium: Some(medium),
        ..Circuit::new(id.parse().unwrap(), NetworkId::new("town").unwrap())
    }
}

fn site(id: &str, kind: SiteKind) -> Site {
    Site {
        network: Some(NetworkId::new("town").unwrap()),
        kind: Some(kind),
        ..Site::new(id.parse().unwrap())
    }
}

/// Adds the steam side to a town.
fn with_steam(mut plant: PlantModel) -> PlantModel {
    plant.circuits.push(circuit("steam", Medium::Steam));
    plant.sites.push(site("boiler", SiteKind::Source));
    plant.sites.extend(STATIONS.iter().map(|(id, _, _)| site(id, SiteKind::Station)));
    plant
}

/// What happens on the steam side at one moment, kg/s.
#[derive(Debug, Clone, Copy, Default)]
struct Steam {
    lost: f64,
    /// Condensate that s2 lets go, share of its own.
    dumped: f64,
    /// Factor on the load, less one.
    load: f64,
}

/// The boiler's meters and feed, then the stations'.
fn devices(at: i64, now: Steam) -> Vec<Device> {
    let day = at as f64 / DAY as f64;
    let load = (10.0 + 2.0 * (day * std::f64::consts::TAU).sin() + (day / 3.0).sin()) * (1.0 + now.load);
    let mut n = 900;
    let mut metered = |truth: f64| {
        n += 1;
        truth * (1.0 + 0.004 * noise(at, n))
    };
    let sent = load * 1.01 + 0.3 + now.lost;
    let mut returned = 0.0;
    let mut stations = Vec::new();
    for (id, share, back) in STATIONS {
        let (flow, kept) = (load * share, if id == "s2" { 1.0 - now.dumped } else { 1.0 });
        let condensate = flow * back * kept;
        returned += condensate;
        let values =
            vec![("steam_flow", "kg/s", metered(flow)), ("condensate_flow", "kg/s", metered(condensate))];
        stations.push((id, "meter", values));
    }
    let fed = sent - returned;
    let mut all: Vec<Device> = vec![
        (
            "boiler",
            "main",
            vec![("steam_flow", "kg/s", metered(sent)), ("condensate_flow", "kg/s", metered(returned))],
        ),
        ("boiler", "feed", vec![("make_up_flow", "kg/s", metered(fed))]),
    ];
    all.extend(stations);
    all
}

fn run(feed: &mut Feed, from: i64, to: i64, now: impl Fn(i64) -> Steam, spoil: impl Fn(&mut Vec<Device>)) {
    for at in scans(from, to) {
        let mut list = devices(at, now(at));
        spoil(&mut list);
        for device in &list {
            feed.device(START + at, START + at, device);
        }
    }
}

fn calm(_: i64) -> Steam {
    Steam::default()
}

fn well(_: &mut Vec<Device>) {}

/// Eight calm days, then what is asked for; what was said of steam, condensate and their meters.
fn after_a_week(
    lasts: i64,
    now: impl Fn(i64) -> Steam,
    always: impl Fn(&mut Vec<Device>),
    then: impl Fn(&mut Vec<Device>),
) -> (Feed, Vec<Incident>) {
    let mut feed = Feed::new(settings(), with_steam(PlantModel::default()));
    run(&mut feed, 0, ON, calm, &always);
    assert!(of_steam(&feed).is_empty(), "{:?}", of_steam(&feed));
    run(&mut feed, ON, ON + lasts, now, |list| {
        always(list);
        then(list);
    });
    let said = of_steam(&feed);
    (feed, said)
}

fn of_steam(feed: &Feed) -> Vec<Incident> {
    let incidents = feed.incidents().into_iter();
    incidents.filter(|incident| !matches!(incident.class, Class::Silence | Class::Unknown)).collect()
}

fn without_feed(list: &mut Vec<Device>) {
    list.retain(|(_, device, _)| *device != "feed");
}

#[test]
fn a_month_of_changing_load_without_a_loss_says_nothing() {
    let mut feed = Feed::new(settings(), with_steam(PlantModel::default()));
    run(&mut feed, 0, 30 * DAY, calm, well);
    assert!(of_steam(&feed).is_empty(), "{:?}", of_steam(&feed));
    let status = feed.core.status();
    let steam = status[0].detectors.iter().find(|detector| detector.detector == "steam_balance").unwrap();
    assert_eq!(steam.state, DetectorState::Ready);
}

#[test]
fn a_sudden_loss_of_steam_that_the_feed_confirms_pages_within_the_shift_and_clears_when_it_is_mended() {
    let (mut feed, said) = after_a_week(2 * HOUR, |_| Steam { lost: 1.2, ..Steam::default() }, well, well);
    let [leak] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((leak.class, leak.kind.as_deref()), (Class::LeakAbrupt, Some("steam")));
    assert_eq!(leak.priority, Priority::P2);
    assert!((leak.loss_kg_s.unwrap() - 1.2).abs() < 0.4, "{:?}", leak.loss_kg_s);
    assert!(leak.loss_m3_h.is_none(), "steam is told in t/h");
    assert!(leak.text_zh.contains("蒸汽") && leak.text_zh.contains("t/h"), "{}", leak.text_zh);
    assert!(leak.text_en.contains("Steam lost") && leak.text_en.contains("t/h"), "{}", leak.text_en);

    run(&mut feed, ON + 2 * HOUR, ON + 8 * HOUR, calm, well);
    let said = of_steam(&feed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].cleared.is_some());
}

#[test]
fn a_loss_of_steam_that_grows_is_listed_for_the_next_day_and_never_pages() {
    let grows = |at: i64| Steam { lost: 0.8 * (at - ON) as f64 / (4 * DAY) as f64, ..Steam::default() };
    let (_, said) = after_a_week(4 * DAY, grows, well, well);
    let [leak] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((leak.class, leak.kind.as_deref()), (Class::LeakIncipient, Some("steam")));
    assert_eq!(leak.priority, Priority::P3);
}

#[test]
fn a_sudden_loss_that_one_meter_alone_shows_pages_nobody_and_says_what_it_lacks() {
    let (_, said) = after_a_week(DAY, |_| Steam { lost: 1.2, ..Steam::default() }, without_feed, well);
    let [leak] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((leak.class, leak.priority), (Class::LeakIncipient, Priority::P3));
    assert!(leak.lacked.iter().any(|lacked| lacked == "boiler_feed"), "{:?}", leak.lacked);
}

/// Multiplies one value of one device.
fn scaled(site: &'static str, name: &'static str, by: f64) -> impl Fn(&mut Vec<Device>) {
    move |list| {
        for (_, _, values) in list.iter_mut().filter(|(id, _, _)| *id == site) {
            for value in values.iter_mut().filter(|value| value.0 == name) {
                value.2 *= by;
            }
        }
    }
}

#[test]
fn one_meter_s_fault_is_named_and_is_no_loss() {
    for (site, name, by) in [
        ("s1", "steam_flow", 0.75),
        ("s2", "steam_flow", 1.3),
        ("boiler", "steam_flow", 1.05),
        ("boiler", "condensate_flow", 0.93),
    ] {
        let (_, said) = after_a_week(3 * DAY, calm, well, scaled(site, name, by));
        let place = format!("town/{site}/");
        let told = said.iter().any(|incident| {
            incident.class == Class::SensorFault
                && incident.place.as_deref().is_some_and(|at| at.starts_with(&place) && at.ends_with(name))
        });
        assert!(told, "{site} {name} x {by}: {said:?}");
        assert!(said.iter().all(|incident| incident.class == Class::SensorFault), "{site} {name}: {said:?}");
    }
}

#[test]
fn condensate_that_a_station_lets_go_is_listed_with_that_station() {
    let (_, said) = after_a_week(3 * DAY, |_| Steam { dumped: 0.6, ..Steam::default() }, well, well);
    let [leak] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((leak.class, leak.kind.as_deref()), (Class::LeakIncipient, Some("condensate")));
    assert_eq!((leak.place.as_deref(), leak.priority), (Some("s2"), Priority::P3));
    assert!(leak.text_zh.contains("凝结水"), "{}", leak.text_zh);
    let ratio = leak.evidence.iter().find(|evidence| evidence.what == "condensate_return").unwrap();
    assert!(ratio.value < 0.72, "{ratio:?}");
}

#[test]
fn stations_that_are_converted_fall_silent_and_a_loss_is_found_without_them() {
    let gone = ["s1", "s3"];
    let half = |list: &mut Vec<Device>| {
        let of = |list: &[Device], name: &str| -> f64 {
            let theirs =
                list.iter().filter(|(site, _, _)| gone.contains(site)).flat_map(|(_, _, values)| values);
            theirs.filter(|value| value.0 == name).map(|value| value.2).sum()
        };
        let (steam, condensate) = (of(list, "steam_flow"), of(list, "condensate_flow"));
        list.retain(|(site, _, _)| !gone.contains(site));
        for (_, _, values) in list.iter_mut().filter(|(site, _, _)| *site == "boiler") {
            for value in values {
                value.2 -= match value.0 {
                    "steam_flow" => steam,
                    "condensate_flow" => condensate,
                    _ => steam - condensate,
                };
            }
        }
    };
    let (mut feed, said) = after_a_week(3 * DAY, calm, well, half);
    assert!(said.is_empty(), "{said:?}");
    run(&mut feed, ON + 3 * DAY, ON + 3 * DAY + 3 * HOUR, |_| Steam { lost: 0.9, ..Steam::default() }, half);
    let said = of_steam(&feed);
    let [leak] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((leak.class, leak.kind.as_deref()), (Class::LeakAbrupt, Some("steam")));
}

#[test]
fn a_station_whose_steam_meter_is_silent_is_filled_in_and_is_no_loss() {
    let silent = |list: &mut Vec<Device>| list.retain(|(site, _, _)| *site != "s2");
    let (_, said) = after_a_week(5 * DAY, calm, well, silent);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn nothing_is_said_below_the_turndown_of_the_meters() {
    let low = |_| Steam { load: -0.85, lost: 0.5, dumped: 0.0 };
    let (_, said) = after_a_week(DAY, low, well, well);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn what_the_boiler_is_fed_stays_out_of_the_hot_water_s_account() {
    let mut feed = Feed::new(settings(), with_steam(world::plant()));
    let mut both = |from: i64, to: i64, dumped: f64| {
        for at in scans(from, to) {
            let mut list = world::devices(at, world::CALM);
            list.extend(devices(at, Steam { dumped, ..Steam::default() }));
            for device in &list {
                feed.device(START + at, START + at, device);
            }
        }
    };
    both(0, ON, 0.0);
    both(ON, ON + DAY, 0.6);
    let losses: Vec<_> =
        feed.incidents().into_iter().filter(|incident| incident.loss_kg_s.is_some()).collect();
    assert!(losses.iter().all(|incident| incident.kind.as_deref() == Some("condensate")), "{losses:?}");
    assert!(!losses.is_empty());
}

#[test]
fn a_steam_circuit_that_is_out_of_operation_is_not_judged_and_the_hot_water_is() {
    let mut feed = Feed::new(settings(), with_steam(world::plant()));
    let off = Action::Season { circuit: "steam".parse().unwrap(), state: SeasonState::Off };
    run(&mut feed, 0, SCAN, calm, well);
    feed.command(START + SCAN, "anna", off);
    for at in scans(SCAN, 2 * HOUR) {
        for device in world::devices(at, world::CALM).iter().chain(&devices(at, Steam::default())) {
            feed.device(START + at, START + at, device);
        }
    }
    let state = |name: &str| {
        let status = feed.core.status();
        status[0].detectors.iter().find(|detector| detector.detector == name).unwrap().state.clone()
    };
    assert_eq!(
        state("steam_balance"),
        DetectorState::OutOfSeason { season: SeasonState::Off, suggested: false }
    );
    assert!(matches!(state("water_balance"), DetectorState::Learning { .. }));
}

#[test]
fn a_case_that_the_utility_closes_makes_the_loss_usual() {
    let lost = |_| Steam { lost: 1.2, ..Steam::default() };
    let (mut feed, said) = after_a_week(6 * HOUR, lost, well, well);
    let action = Action::Work { incident: said[0].id, state: heat_model::incident::WorkState::Closed };
    feed.command(START + ON + 6 * HOUR, "anna", action);
    run(&mut feed, ON + 6 * HOUR, ON + 3 * DAY, lost, well);
    assert_eq!(of_steam(&feed).len(), 1, "{:?}", of_steam(&feed));
}

#[test]
fn a_snapshot_restored_in_the_middle_of_a_loss_gives_the_same_outputs_byte_for_byte() {
    let lost = |at: i64| Steam { lost: if at >= ON { 1.2 } else { 0.0 }, ..Steam::default() };
    let mut straight = Feed::new(settings(), with_steam(PlantModel::default()));
    run(&mut straight, 0, ON + 4 * HOUR, lost, well);
    assert!(!of_steam(&straight).is_empty());
    let mut cut = Feed::new(settings(), with_steam(PlantModel::default()));
    run(&mut cut, 0, ON - 2 * DAY, lost, well);
    for at in scans(ON - 2 * DAY, ON + 4 * HOUR) {
        let stored = postcard::to_stdvec(&cut.core.snapshot()).unwrap();
        let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
        cut.core = PartitionCore::new(settings(), Arc::new(with_steam(PlantModel::default())));
        cut.core.restore(snapshot).unwrap();
        run(&mut cut, at, at + SCAN, lost, well);
    }
    assert!(postcard::to_stdvec(&cut.out).unwrap() == postcard::to_stdvec(&straight.out).unwrap());
}
