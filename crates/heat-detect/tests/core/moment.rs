//! How soon a burst is said, and what looks like one for a moment.

use heat_detect::{DetectSettings, Output};
use heat_model::incident::{ChangeKind, Class};

use crate::world::{CALM, Device, Feed, Now, START, devices, plant};

const HOUR: i64 = 3_600;

/// First opening of a burst, seconds after the start.
fn raised_at(feed: &Feed) -> Option<i64> {
    let is_opening = |kind: ChangeKind, class: Class| kind == ChangeKind::Opened && class == Class::Burst;
    let events = feed.events();
    let opened = events.iter().find(|event| is_opening(event.change.kind, event.incident.class))?;
    Some(opened.at.second() - START)
}

/// Grows to `loss` within two seconds of `on`.
fn broken(on: i64, loss: f64) -> impl Fn(i64) -> Now {
    move |at| {
        let grown = ((at - on + 1) as f64 / 2.0).clamp(0.0, 1.0);
        if at >= on { Now { leak: Some((1, loss * grown)), ..CALM } } else { CALM }
    }
}

#[test]
fn from_the_onset_a_burst_takes_two_scans_at_most_at_any_scan_rate() {
    for (every, on) in [(1, 601), (10, 1_201), (60, HOUR + 1), (300, 6 * HOUR + 1), (900, 12 * HOUR + 1)] {
        for loss in [1.0, 2.0, 6.0] {
            let mut feed = Feed::new(DetectSettings::default(), plant());
            feed.run(0, on + 4 * every, every, broken(on, loss));
            let raised = raised_at(&feed);
            let took = raised.map(|at| at - on);
            assert!(took.is_some_and(|took| took <= 2 * every), "scans of {every} s, {loss} kg/s: {took:?}");
        }
    }
}

/// Every device on its own second of the scan: the source's each second, the stations' each tenth.
fn run_apart(
    feed: &mut Feed,
    to: i64,
    world: impl Fn(i64) -> Now,
    mut each: impl FnMut(&Feed, i64, &Device),
) {
    for at in 0..to {
        for (phase, device) in (0..).zip(devices(at, world(at))) {
            if device.0 == "source" || (at + 3 * phase) % 10 == 0 {
                feed.device(START + at, START + at, &device);
                each(feed, at, &device);
            }
        }
    }
}

#[test]
fn a_burst_is_said_within_two_seconds_of_the_second_devices_reading_that_shows_it() {
    for (on, loss, pumps_sag) in (0..20).map(|n| (300 + 7 * n, 1.0 + 0.3 * n as f64, n % 2 == 0)) {
        // A pump that gives more loses head, and the return rises by part of it until the pressure holding gives way.
        let world = |at: i64| {
            let since = (at - on) as f64;
            let sags = pumps_sag && since >= 0.0;
            let now = broken(on, loss)(at);
            if sags {
                let sag = 6_000.0 * loss;
                Now { lift: -sag, hold: (0.3 * sag + 6_000.0 * loss) * (-since / 3.0).exp(), ..now }
            } else {
                now
            }
        };
        let mut shown: Vec<(&str, &str)> = Vec::new();
        let mut second = None;
        let mut feed = Feed::new(DetectSettings::default(), plant());
        run_apart(&mut feed, on + 30, world, |_, at, device| {
            let calm =
                devices(at, CALM).into_iter().find(|calm| (calm.0, calm.1) == (device.0, device.1)).unwrap();
            let differs = device.2.iter().zip(&calm.2).any(|((name, _, is), (_, _, was))| match *name {
                "supply_pressure"
                | "return_pressure"
                | "primary_supply_pressure"
                | "primary_return_pressure" => is - was <= -10_000.0,
                "supply_flow" | "make_up_flow" => is - was >= 0.035 * 20.0,
                "return_flow" => is - was <= -0.035 * 20.0,
                _ => false,
            });
            if differs && !shown.contains(&(device.0, device.1)) {
                shown.push((device.0, device.1));
                if shown.len() == 2 {
                    second = Some(at);
                }
            }
        });
        let took = raised_at(&feed).zip(second).map(|(raised, second)| raised - second);
        assert!(took.is_some_and(|took| took < 2), "{loss} kg/s at {on}: {took:?}, {shown:?}");
    }
}

#[test]
fn the_order_of_the_readings_in_a_record_changes_nothing() {
    let outputs = |turn: bool| {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        feed.run_with(0, HOUR + 900, 10, broken(HOUR + 7, 5.0), |_, list| {
            if turn {
                list.iter_mut().for_each(|(.., values)| values.reverse());
            }
        });
        assert_eq!(raised_at(&feed), Some(HOUR + 10));
        feed.out
    };
    let bytes = |outputs: &[Output]| postcard::to_stdvec(outputs).unwrap();
    assert!(bytes(&outputs(false)) == bytes(&outputs(true)));
}

#[test]
fn a_valve_that_shuts_off_a_branch_is_no_burst() {
    for every in [1, 10] {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        feed.run_with(
            0,
            HOUR + 900,
            every,
            |_| CALM,
            |at, list| {
                let shut = ((at - HOUR) as f64 / 30.0).clamp(0.0, 1.0);
                for (site, _, values) in list.iter_mut() {
                    for (name, _, value) in values.iter_mut() {
                        match (*site, *name) {
                            ("source", "supply_flow" | "return_flow") => *value -= 10.0 * shut,
                            ("a1" | "a2", "primary_supply_flow") => *value *= 1.0 - shut,
                            ("a1" | "a2", "primary_supply_pressure") => *value -= 150_000.0 * shut,
                            ("a1" | "a2", "primary_return_pressure") => *value += 100_000.0 * shut,
                            ("b1" | "b2", "primary_supply_pressure") => *value += 20_000.0 * shut,
                            _ => {}
                        }
                    }
                }
            },
        );
        assert!(feed.incidents().is_empty(), "scans of {every} s: {:?}", feed.incidents());
    }
}

#[test]
fn demand_that_jumps_is_no_burst() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, HOUR, 1, |_| CALM);
    feed.run(HOUR, HOUR + 600, 1, |at| {
        let risen = ((at - HOUR) as f64 / 5.0).min(1.0);
        // More flow, less head, and warmer water that takes up room until it has arrived.
        Now { demand: 1.0 + 0.3 * risen, lift: -40_000.0 * risen, hold: 8_000.0 * risen, ..CALM }
    });
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn what_one_source_gives_up_and_another_takes_over_is_no_burst() {
    let mut two = plant();
    let mut boiler = two.sites[0].clone();
    boiler.id = "boiler".parse().unwrap();
    two.sites.push(boiler);
    let mut feed = Feed::new(DetectSettings::default(), two);
    feed.run_with(
        0,
        HOUR + 600,
        1,
        |_| CALM,
        |at, list| {
            // Water that leaves at the one comes back at the other; the pressures near both sag while the pumps are balanced.
            let moved = 3.0 * ((at - HOUR) as f64 / 20.0).clamp(0.0, 1.0);
            list[0].2[0].2 += moved;
            for (site, _, values) in list.iter_mut() {
                for (name, _, value) in values.iter_mut() {
                    if *site == "a1" && name.ends_with("pressure") {
                        *value -= 8_000.0 * moved;
                    }
                }
            }
            list.push((
                "boiler",
                "main",
                vec![("supply_flow", "kg/s", 30.0), ("return_flow", "kg/s", 30.0 + moved)],
            ));
        },
    );
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}
