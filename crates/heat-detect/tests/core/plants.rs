//! What plants do beside leaking: make-up at its limit, trips and refills, plain water; and restarts while a leak is open.

use std::{cell::RefCell, f64::consts::TAU, sync::Arc};

use heat_detect::{Output, PartitionCore, Snapshot};
use heat_model::incident::{Class, Incident};

use crate::{
    account::{DAY, HOUR, MAIN, MAKE_UP, ON, SCAN, base, leaking, of_water, settings},
    pressure::tripped,
    world::{CALM, Device, Feed, Now, START, devices, noise, plant},
};

/// [`SCAN`] as a step.
const SCAN_STEP: usize = 900;

fn leaks(feed: &Feed) -> Vec<Incident> {
    of_water(feed.incidents()).into_iter().filter(|incident| incident.class != Class::StandingLoss).collect()
}

#[test]
fn a_make_up_at_its_limit_below_a_burst_says_that_the_loss_is_at_least_so_much() {
    let mut feed = Feed::new(settings(), plant());
    feed.run_with(0, ON + DAY, SCAN, leaking(0.35, 0.02), |at, list| {
        let fed = &mut list[MAKE_UP].2[0].2;
        *fed = fed.min(0.25);
        // What is not made up comes out of the pressure that the make-up holds.
        let fallen = if at >= ON { 25_000.0 } else { 0.0 };
        for (_, _, values) in list {
            for (_, _, value) in values.iter_mut().filter(|(name, _, _)| name.ends_with("pressure")) {
                *value -= fallen;
            }
        }
    });
    let said = leaks(&feed);
    assert_eq!(
        said.iter().map(|incident| incident.class).collect::<Vec<_>>(),
        [Class::LeakAbrupt],
        "{said:?}"
    );
    let limit = said[0].evidence.iter().find(|evidence| evidence.what == "make_up_at_its_limit");
    assert!(limit.is_some_and(|limit| limit.value > 0.2), "{:?}", said[0].evidence);
    assert!(said[0].text_en.contains("loss at least"), "{}", said[0].text_en);
}

#[test]
fn a_pump_trip_of_two_hours_its_restart_and_refilling_are_no_leak() {
    let mut feed = Feed::new(settings(), plant());
    let (trip, restart) = (3 * DAY + 6 * HOUR, 3 * DAY + 8 * HOUR);
    let stopped = tripped(trip, restart);
    let now = |at: i64| {
        // The water cooled where it stood, and shrank; what is missing is fed once the pumps run.
        let feed = match at - restart {
            i64::MIN..0 => CALM.feed,
            0..HOUR => 0.6,
            _ if at < restart + 2 * HOUR => 0.2,
            _ => CALM.feed,
        };
        Now { feed, ..stopped(at) }
    };
    feed.run(0, trip - HOUR, 300, now);
    feed.run(trip - HOUR, restart + 2 * HOUR, 20, now);
    feed.run(restart + 2 * HOUR, restart + DAY, 300, now);
    assert!(feed.incidents().iter().any(|incident| incident.class == Class::PumpTrip));
    let said: Vec<_> =
        leaks(&feed).into_iter().map(|leak| (leak.class, leak.opened.second() - START)).collect();
    assert!(said.is_empty(), "{said:?}, restarted {restart}");
}

#[test]
fn a_plain_water_network_s_leak_is_found_by_its_night_flow_and_told_as_a_share_of_its_inflow() {
    let mut feed = Feed::new(settings(), heat_model::plant::PlantModel::default());
    let on = 14 * DAY;
    for at in (0..20 * DAY).step_by(SCAN_STEP) {
        let hour = (at.rem_euclid(DAY)) as f64 / HOUR as f64;
        let drawn = 6.0 - 4.5 * ((hour - 3.0) / 24.0 * TAU).cos();
        let lost = if at >= on { 1.2 } else { 0.0 };
        let inflow = drawn + lost + 0.1 * noise(at, 1);
        let device: Device = ("works", "meter", vec![("supply_flow", "kg/s", inflow)]);
        feed.device(START + at, START + at, &device);
    }
    let said = leaks(&feed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(matches!(said[0].class, Class::LeakAbrupt | Class::LeakIncipient), "{said:?}");
    assert!((said[0].loss_kg_s.unwrap() - 1.2).abs() < 0.4, "{said:?}");
    let share = said[0].evidence.iter().find(|evidence| evidence.what == "share_of_inflow").unwrap();
    assert!((share.value - 1.2 / 6.4).abs() < 0.06, "{share:?}");
    assert!(said[0].text_en.contains("share of the mean inflow"), "{}", said[0].text_en);
}

/// A district whose pump fills a tank of 150 m2 between 1 m and 3 m and rests; a leak from day 40 on. The core is stored and
/// restored after every so many scans.
fn tank_district(every: usize) -> Feed {
    let mut feed = Feed::new(settings(), heat_model::plant::PlantModel::default());
    let (mut level, mut runs) = (2.0_f64, false);
    for (scan, at) in (0..46 * DAY).step_by(2 * SCAN_STEP).enumerate() {
        let hour = at.rem_euclid(DAY) as f64 / HOUR as f64;
        let drawn = (6.0 - 4.5 * ((hour - 3.0) / 24.0 * TAU).cos()) * (1.0 + 0.02 * noise(at, 1));
        let lost = if at >= 40 * DAY { 1.0 } else { 0.0 };
        runs = if runs { level < 3.0 } else { level < 1.0 };
        let fed = if runs { 18.0 } else { 0.0 };
        for device in [
            ("works", "meter", vec![("supply_flow", "kg/s", fed)]),
            ("tank", "logger", vec![("make_up_tank_level", "m", level)]),
        ] {
            feed.device(START + at, START + at, &device);
        }
        level += (fed - drawn - lost) * 1_800.0 / 1_000.0 / 150.0;
        if (scan + 1) % every == 0 {
            let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
            let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
            feed.core = PartitionCore::new(settings(), Arc::new(heat_model::plant::PlantModel::default()));
            feed.core.restore(snapshot).unwrap();
        }
    }
    feed
}

#[test]
fn a_leak_behind_a_tank_whose_level_is_metered_is_found_and_says_what_the_tank_took_up() {
    let feed = tank_district(usize::MAX);
    let said = leaks(&feed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!((said[0].loss_kg_s.unwrap() - 1.0).abs() < 0.4, "{said:?}");
    let told = |what: &str| said[0].evidence.iter().find(|evidence| evidence.what == what).unwrap();
    assert_eq!((told("tank_uptake").unit.as_str(), told("tank_area").place.as_str()), ("kg/s", "tank"));
    assert!((told("tank_area").value - 150.0).abs() < 8.0, "{said:?}");
    assert!(said[0].text_en.contains("tank"), "{}", said[0].text_en);

    let restored = tank_district(100);
    assert!(postcard::to_stdvec(&feed.out).unwrap() == postcard::to_stdvec(&restored.out).unwrap());
}

/// What is put out over a leak, with the core stored and restored after every so many records.
fn outputs(every: u64, now: &dyn Fn(i64) -> Now, spoil: &dyn Fn(i64, &mut Vec<Device>)) -> Vec<u8> {
    let mut feed = Feed::new(settings(), plant());
    let mut next = every;
    for at in (0..ON + 2 * DAY).step_by(SCAN_STEP) {
        let mut list = devices(at, now(at));
        spoil(at, &mut list);
        for device in list {
            feed.device(START + at, START + at, &device);
            if feed.records() >= next {
                next += every;
                let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
                let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
                feed.core = PartitionCore::new(settings(), Arc::new(plant()));
                feed.core.restore(snapshot).unwrap();
            }
        }
    }
    let events: Vec<&Output> = feed.out.iter().filter(|output| matches!(output, Output::Event(_))).collect();
    assert!(!events.is_empty() && !leaks(&feed).is_empty(), "a leak is open");
    postcard::to_stdvec(&feed.out).unwrap()
}

#[test]
fn a_restart_at_every_thousandth_record_of_an_open_growing_leak_changes_no_byte() {
    let now = |at: i64| {
        let lost = 0.3 * (at - ON).max(0) as f64 / (2 * DAY) as f64;
        // It tears in its second day.
        let torn = if at >= ON + DAY + 6 * HOUR { 0.15 } else { 0.0 };
        Now { leak: (at >= ON).then_some((1, lost + torn)), feed: base(0.02, at), ..CALM }
    };
    let calm = |_: i64, _: &mut Vec<Device>| {};
    assert!(outputs(1_000, &now, &calm) == outputs(u64::MAX, &now, &calm));
}

#[test]
fn a_restart_at_every_thousandth_record_of_a_leak_filled_in_batches_changes_no_byte() {
    let now = leaking(0.1, 0.02);
    let run = |every: u64| {
        let missing = RefCell::new(0.0);
        outputs(every, &now, &|_, list| {
            let mut missing = missing.borrow_mut();
            let flow = &mut list[MAKE_UP].2[0].2;
            *missing += *flow * SCAN as f64;
            *flow = if *missing > 150.0 { std::mem::take(&mut *missing) / SCAN as f64 } else { 0.0 };
        })
    };
    assert!(run(1_000) == run(u64::MAX));
}

#[test]
fn a_restart_where_no_make_up_is_metered_changes_no_byte_either() {
    let now = leaking(0.3, 0.02);
    let unmetered = |_: i64, list: &mut Vec<Device>| {
        list.remove(MAKE_UP);
        list[MAIN].2[1].2 *= 0.99;
    };
    assert!(outputs(1_000, &now, &unmetered) == outputs(u64::MAX, &now, &unmetered));
}
