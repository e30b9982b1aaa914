//! Homes: cold ones are told for their station, as a share, and no household ever.

use heat_detect::DetectSettings;
use heat_model::{
    incident::{AlarmState, Class, Incident},
    plant::{PlantModel, Site, SiteKind},
};

use crate::{
    quality::{of_class, value},
    temps::controlled,
    world::{CALM, Device, Feed, Now, noise, plant},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SCAN: i64 = 900;

const HOMES: [&str; 12] = [
    "li-1-101",
    "li-1-102",
    "li-1-201",
    "li-1-202",
    "wang-2-101",
    "wang-2-102",
    "wang-2-201",
    "zhao-3-101",
    "zhao-3-102",
    "zhao-3-201",
    "zhao-3-202",
    "zhao-3-301",
];

/// The plant with homes in buildings without signals, behind stations by `station`.
pub(crate) fn inhabited(homes: usize, station: impl Fn(usize) -> &'static str) -> PlantModel {
    let mut plant = plant();
    let blank = plant.sites[0].clone();
    let site = |id: &str, kind: SiteKind, parent: &str| Site {
        id: id.parse().unwrap(),
        kind: Some(kind),
        node: None,
        parent: Some(parent.parse().unwrap()),
        ..blank.clone()
    };
    for (number, home) in HOMES.iter().take(homes).enumerate() {
        let building = format!("house-{number}");
        plant.sites.push(site(&building, SiteKind::Building, station(number)));
        plant.sites.push(site(home, SiteKind::Household, &building));
    }
    plant
}

pub(crate) fn rooms(at: i64, list: &mut Vec<Device>, homes: usize, celsius: impl Fn(usize) -> f64) {
    for (number, home) in HOMES.iter().take(homes).enumerate() {
        let room = celsius(number) + 0.2 * noise(at, 900 + number);
        list.push((home, "room", vec![("indoor_temperature", "degC", room)]));
    }
}

fn run(feed: &mut Feed, until: i64, homes: usize, celsius: impl Fn(i64, usize) -> f64) {
    feed.run_with(
        0,
        until,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            rooms(at, list, homes, |number| celsius(at, number));
        },
    );
}

/// No home's name, and none of the temperatures that one had.
fn assert_names_nobody(said: &[Incident], celsius: &str) {
    for incident in said {
        let text = format!("{incident:?}");
        assert!(!HOMES.iter().any(|home| text.contains(home)) && !text.contains(celsius), "{text}");
    }
}

#[test]
fn cold_homes_are_told_for_their_station_as_a_share_and_end_when_they_are_warm() {
    let mut feed = Feed::new(DetectSettings::default(), inhabited(12, |_| "a1"));
    let is_cold = |at: i64, number: usize| number < 4 && (DAY..2 * DAY).contains(&at);
    run(&mut feed, 3 * DAY, 12, |at, number| if is_cold(at, number) { 14.3 } else { 20.6 });
    let cold = of_class(&feed, Class::Underheating);
    assert_eq!(cold.len(), 1, "{:?}", feed.incidents());
    assert_eq!(cold[0].place.as_deref(), Some("a1"));
    let facts: Vec<_> =
        cold[0].evidence.iter().map(|fact| (fact.what.as_str(), fact.value, fact.unit.as_str())).collect();
    assert_eq!(facts, [("homes_below_promise", 33.0, "%")]);
    assert!(cold[0].text_en.contains("33 %"), "{}", cold[0].text_en);
    assert_eq!(cold[0].alarm, AlarmState::Cleared);
    assert_names_nobody(&cold, "14.");
}

#[test]
fn a_window_that_stands_open_is_one_homes_own_matter() {
    let mut feed = Feed::new(DetectSettings::default(), inhabited(12, |_| "a1"));
    run(&mut feed, 2 * DAY, 12, |at, number| if number == 3 && at >= DAY { 9.0 } else { 20.0 });
    assert!(of_class(&feed, Class::Underheating).is_empty(), "{:?}", feed.incidents());
}

#[test]
fn of_fewer_than_five_homes_nothing_is_told_and_of_fewer_than_ten_no_figure() {
    let all_cold = |at: i64, _: usize| if at >= DAY { 14.3 } else { 20.0 };
    let mut four = Feed::new(DetectSettings::default(), inhabited(4, |_| "a1"));
    run(&mut four, 2 * DAY, 4, all_cold);
    assert!(of_class(&four, Class::Underheating).is_empty(), "{:?}", four.incidents());

    let mut seven = Feed::new(DetectSettings::default(), inhabited(7, |_| "a1"));
    run(&mut seven, 2 * DAY, 7, all_cold);
    let cold = of_class(&seven, Class::Underheating);
    assert_eq!(cold.len(), 1, "{:?}", seven.incidents());
    assert!(cold[0].evidence.is_empty() && cold[0].place.as_deref() == Some("a1"), "{cold:?}");
    assert_names_nobody(&cold, "14.");
}

#[test]
fn homes_whose_station_nobody_knows_are_told_nowhere() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 2 * DAY, 12, |at, _| if at >= DAY { 14.3 } else { 20.0 });
    assert!(of_class(&feed, Class::Underheating).is_empty(), "{:?}", feed.incidents());
}

#[test]
fn while_the_supply_is_off_its_target_cold_homes_are_no_stations_matter() {
    let cold = 5 * DAY;
    let mut feed = Feed::new(DetectSettings::default(), inhabited(12, |_| "a1"));
    feed.run_with(
        0,
        cold + DAY,
        SCAN,
        |at| if at < cold { CALM } else { Now { supply_celsius: 65.0, arrived_celsius: 64.0, ..CALM } },
        |at, list| {
            controlled(at, list);
            *value(list, "source", "set_point_temperature") = 85.0;
            rooms(at, list, 12, |_| if at < cold + 4 * HOUR { 20.0 } else { 15.0 });
        },
    );
    assert_eq!(of_class(&feed, Class::NetworkThermal).len(), 1, "{:?}", feed.incidents());
    assert!(of_class(&feed, Class::Underheating).is_empty(), "{:?}", feed.incidents());
}

/// Homes by the length of pipe to their station, `b1` and `b2` ten times as far.
fn stretched(homes: usize) -> PlantModel {
    let mut plant = inhabited(homes, |number| ["a1", "a2", "b1", "b2"][number % 4]);
    for pipe in plant.pipes.iter_mut().filter(|pipe| pipe.id.as_str().starts_with("PB")) {
        pipe.length_m = Some(3_000.0);
    }
    // A building's sensor stands for all that live there.
    plant.sites.retain(|site| site.kind != Some(SiteKind::Household));
    for site in plant.sites.iter_mut().filter(|site| site.kind == Some(SiteKind::Building)) {
        site.households = Some(30);
    }
    for (site, home) in plant.sites.iter_mut().filter(|site| site.kind == Some(SiteKind::Building)).zip(HOMES)
    {
        site.id = home.parse().unwrap();
    }
    plant
}

#[test]
fn near_homes_hot_and_far_homes_cold_are_an_imbalance_until_they_are_alike() {
    let is_far = |number: usize| number % 4 >= 2;
    let mut feed = Feed::new(DetectSettings::default(), stretched(12));
    run(&mut feed, 4 * DAY, 12, |at, number| if at < DAY && is_far(number) { 19.0 } else { 22.5 });
    let told = of_class(&feed, Class::Underheating);
    assert_eq!(told.len(), 1, "{:?}", feed.incidents());
    assert_eq!((told[0].kind.as_deref(), told[0].place.as_deref()), (Some("imbalance"), None));
    assert_eq!(told[0].alarm, AlarmState::Cleared);
}
