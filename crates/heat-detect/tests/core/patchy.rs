//! Data as they come: values missing, devices silent for hours, records out of order.

use std::time::Duration;

use heat_detect::DetectSettings;
use heat_model::incident::{Class, Incident};

use crate::world::{CALM, Device, Feed, Now, START, devices, noise, plant};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn settings() -> DetectSettings {
    DetectSettings { learning: Duration::from_secs(2 * 86_400), ..DetectSettings::default() }
}

const fn is_loss(class: Class) -> bool {
    matches!(class, Class::Burst | Class::LeakAbrupt | Class::LeakIncipient)
}

fn losses(feed: &Feed) -> Vec<Incident> {
    feed.incidents().into_iter().filter(|incident| is_loss(incident.class)).collect()
}

/// Every tenth value is missing, and for six hours of the fourth day all but the stations' controllers are silent.
fn with_holes(at: i64, list: &mut Vec<Device>) {
    let in_hole = (3 * DAY + 2 * HOUR..3 * DAY + 8 * HOUR).contains(&at);
    list.retain(|(_, device, _)| !in_hole || *device == "controller");
    let mut number = 100;
    for (_, _, values) in list {
        for (_, _, value) in values {
            number += 1;
            if noise(at, number) < -0.8 {
                *value = f64::NAN;
            }
        }
    }
}

#[test]
fn gaps_alone_make_no_loss() {
    let mut feed = Feed::new(settings(), plant());
    feed.run_with(0, 5 * DAY, 900, |_| CALM, with_holes);
    assert!(losses(&feed).is_empty(), "{:?}", losses(&feed));
}

#[test]
fn a_leak_in_patchy_data_is_found_and_says_what_was_missing() {
    let on = 3 * DAY + 10 * HOUR;
    let world = |at: i64| if at >= on { Now { leak: Some((1, 0.2)), ..CALM } } else { CALM };
    let mut feed = Feed::new(settings(), plant());
    feed.run_with(0, on + 12 * HOUR, 900, world, |at, list| {
        with_holes(at, list);
        if at >= on {
            list.retain(|(site, device, _)| (*site, *device) != ("a2", "meter"));
        }
    });

    let found = losses(&feed);
    assert_eq!(found.len(), 1, "{found:?}");
    let lacked = &found[0].lacked;
    assert!(lacked.iter().any(|lacked| lacked == "a2 (silent)"), "{lacked:?}");
    assert!(
        found[0].text_en.contains("Lacking: ") && found[0].text_zh.contains("缺少"),
        "{}",
        found[0].text_en
    );
}

#[test]
fn a_leak_whose_make_up_was_known_only_in_part_says_in_which_part() {
    let on = 3 * DAY;
    let world = |at: i64| if at >= on { Now { leak: Some((1, 0.1)), ..CALM } } else { CALM };
    let mut feed = Feed::new(settings(), plant());
    feed.run_with(0, on + 12 * HOUR, 900, world, |at, list| {
        if at >= on && at / 900 % 4 == 1 {
            list.retain(|(_, device, _)| *device != "makeup");
        }
    });

    let found = losses(&feed);
    assert_eq!(found.len(), 1, "{found:?}");
    let lacked = &found[0].lacked;
    assert!(lacked.iter().any(|lacked| lacked.starts_with("water_balance (2")), "{lacked:?}");
}

/// Feeds the world with one device's record in twenty late by up to 110 s, which is within the lateness bound.
fn reordered(from: i64, until: i64, every: i64, world: impl Fn(i64) -> Now) -> Feed {
    let mut records: Vec<(i64, i64, Device)> = Vec::new();
    let mut at = from;
    while at < until {
        for (number, device) in devices(at, world(at)).into_iter().enumerate() {
            let is_late = noise(at, 1_000 + number) > 0.9;
            let late = if is_late { 1 + (7 * at + 37 * i64::try_from(number).unwrap()) % 110 } else { 0 };
            records.push((at + late, at, device));
        }
        at += every;
    }
    records.sort_by_key(|(arrives, at, _)| (*arrives, *at));
    let mut feed = Feed::new(settings(), plant());
    for (arrives, at, device) in &records {
        feed.device(START + arrives, START + at, device);
    }
    feed
}

fn told(feed: &Feed) -> Vec<(Class, Option<String>)> {
    let mut told: Vec<_> =
        feed.incidents().into_iter().map(|incident| (incident.class, incident.place)).collect();
    told.sort();
    told
}

#[test]
fn records_out_of_order_within_the_lateness_bound_tell_the_same_leak() {
    let on = 3 * DAY + 5 * HOUR;
    let world = |at: i64| if at >= on { Now { leak: Some((1, 0.4)), ..CALM } } else { CALM };
    let mut straight = Feed::new(settings(), plant());
    straight.run(0, on + 12 * HOUR, 900, world);

    let told_straight = told(&straight);
    assert_eq!(told_straight.len(), 1, "{told_straight:?}");
    assert_eq!(told(&reordered(0, on + 12 * HOUR, 900, world)), told_straight);
}

#[test]
fn records_out_of_order_within_the_lateness_bound_tell_the_same_burst() {
    let world = |at: i64| {
        let grown = ((at - 4 * HOUR) as f64 / 30.0).clamp(0.0, 1.0);
        if grown > 0.0 { Now { leak: Some((1, 5.0 * grown)), ..CALM } } else { CALM }
    };
    let mut straight = Feed::new(settings(), plant());
    straight.run(3 * HOUR, 4 * HOUR + 900, 10, world);

    assert_eq!(told(&straight).len(), 1, "{:?}", told(&straight));
    assert_eq!(told(&reordered(3 * HOUR, 4 * HOUR + 900, 10, world)), told(&straight));
}
