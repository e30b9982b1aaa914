//! What is no leak: repairs and their refilling, weather, fronts, gaps, clocks, new stations, missing and reordered
//! data; and yet a leak beside it is found.

use heat_model::{
    incident::{Class, Incident},
    record::Action,
};

use crate::{
    account::{DAY, HOUR, MAKE_UP, ON, SCAN, assert_found, base, leaking, settings, week_and_day},
    world::{CALM, Device, Feed, Now, START, devices, plant},
};

fn is_leak(incident: &&Incident) -> bool {
    matches!(incident.class, Class::LeakAbrupt | Class::LeakIncipient | Class::Burst)
}

#[test]
fn refilling_after_a_repair_is_no_second_leak() {
    let mut feed = Feed::new(settings(), plant());
    feed.run(0, ON + 10 * HOUR, SCAN, leaking(0.2, 0.02));
    let incident = feed.incidents()[0].id;
    let repaired = Action::Repaired { incident, pipe: None, location: None, cause: None, size_kg_s: None };
    feed.command(START + ON + 10 * HOUR, "anna", repaired);
    feed.run(ON + 10 * HOUR, ON + 2 * DAY, SCAN, |at| {
        let refill = if at < ON + 12 * HOUR { 0.8 } else { 0.0 };
        Now { feed: base(0.02, at) + refill, ..CALM }
    });
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].cleared.is_some(), "{:?}", found[0].alarm);
}

#[test]
fn relief_during_heating_up_is_no_negative_make_up() {
    let mut feed = Feed::new(settings(), plant());
    // The supply rises by 15 K; what expands goes out through the relief valve, and make-up stands still.
    let front = 5 * DAY;
    let supply = |at: i64| if at >= front { 100.0 } else { 85.0 };
    let now = |at| Now {
        supply_celsius: supply(at),
        arrived_celsius: supply(at - 5_400) - 1.0,
        ..leaking(0.1, 0.02)(at)
    };
    let (calm, new) = week_and_day(&mut feed, now, |at, devices| {
        let metered: f64 = if (front..front + 5_400).contains(&at) { 0.2 } else { 0.0 };
        devices[MAKE_UP].2.push(("relief_flow", "kg/s", metered));
        let fed = &mut devices[MAKE_UP].2[0].2;
        *fed = fed.max(0.0);
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
}

#[test]
fn a_cold_snap_is_no_leak_and_a_leak_in_it_is_found() {
    let mut feed = Feed::new(settings(), plant());
    let cold = |at: i64| ((at - 5 * DAY) as f64 / DAY as f64).clamp(0.0, 1.0);
    let supply = move |at: i64| 85.0 + 10.0 * cold(at);
    let now = |at| Now {
        demand: 1.0 + 0.5 * cold(at),
        supply_celsius: supply(at),
        arrived_celsius: supply(at - 5_400) - 1.0,
        ..leaking(0.12, 0.04)(at)
    };
    let (calm, new) = week_and_day(&mut feed, now, |_, _| {});
    assert!(!calm.iter().any(|incident| is_leak(&incident)), "{calm:?}");
    assert_eq!(new.iter().filter(is_leak).count(), 1, "{new:?}");
}

#[test]
fn a_hole_of_six_hours_and_a_tenth_missing_open_nothing_and_hide_no_leak() {
    let mut feed = Feed::new(settings(), plant());
    let (calm, new) = week_and_day(&mut feed, leaking(0.1, 0.02), |at, devices| {
        if (4 * DAY..4 * DAY + 6 * HOUR).contains(&at) {
            devices.clear();
        }
        let mut place = 0;
        devices.retain(|_| {
            place += 1;
            (at / SCAN * 7 + place * 13) % 10 != 3
        });
    });
    assert_found(&calm, &new, Class::LeakAbrupt);
}

#[test]
fn a_device_that_stamps_a_day_ahead_for_some_hours_opens_nothing() {
    let mut feed = Feed::new(settings(), plant());
    let off = 5 * DAY..5 * DAY + 6 * HOUR;
    let mut at = 0;
    while at < ON + DAY {
        for device in devices(at, leaking(0.1, 0.02)(at)) {
            let ahead = if device.1 == "makeup" && off.contains(&at) { DAY } else { 0 };
            feed.device(START + at, START + at + ahead, &device);
        }
        at += SCAN;
    }
    let found = feed.incidents();
    assert_eq!(found.iter().filter(is_leak).count(), 1, "{found:?}");
    assert!(found[0].opened.second() >= START + ON, "{found:?}");
}

#[test]
fn a_new_station_that_is_filled_is_no_leak_and_one_afterwards_is_found() {
    let joined = 6 * DAY;
    let mut without = plant();
    without.sites.retain(|site| site.id.as_str() != "b2");
    let mut feed = Feed::new(settings(), without);
    let now = |at| {
        let filling = if (joined..joined + 4 * HOUR).contains(&at) { 0.4 } else { 0.0 };
        Now { feed: base(0.02, at) + filling, ..leaking(0.1, 0.0)(at) }
    };
    let skip = |at: i64, devices: &mut Vec<Device>| {
        if at < joined {
            devices.retain(|(site, ..)| *site != "b2");
        }
    };
    feed.run_with(0, joined, SCAN, now, skip);
    feed.activate(START + joined, 2, plant());
    feed.run_with(joined, ON, SCAN, now, skip);
    let calm = feed.incidents();
    feed.run_with(ON, ON + DAY, SCAN, now, skip);
    assert_found(&calm, &feed.incidents()[calm.len()..], Class::LeakAbrupt);
}

#[test]
fn reordering_within_the_lateness_bound_changes_neither_class_nor_place() {
    let said = |reorders: bool| {
        let mut feed = Feed::new(settings(), plant());
        let mut at = 0;
        while at < ON + DAY {
            let mut list = devices(at, leaking(0.15, 0.02)(at));
            let count = list.len();
            if reorders && (at / SCAN) % 4 == 0 {
                // One device in twenty comes after those behind it, a minute and a half late.
                list.rotate_left(usize::try_from(at / SCAN).unwrap() % count);
                let late = list.remove(0);
                for device in &list {
                    feed.device(START + at, START + at, device);
                }
                feed.device(START + at + 90, START + at, &late);
            } else {
                for device in &list {
                    feed.device(START + at, START + at, device);
                }
            }
            at += SCAN;
        }
        let incidents = feed.incidents();
        let mut said: Vec<_> =
            incidents.into_iter().map(|incident| (incident.class, incident.place)).collect();
        said.sort();
        said
    };
    let straight = said(false);
    assert_eq!(straight.len(), 1, "{straight:?}");
    assert_eq!(said(true), straight);
}
