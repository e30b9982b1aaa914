//! Supply less return, where no make-up is metered: two meters that differ by a share of the load.

use std::f64::consts::TAU;

use heat_detect::DetectSettings;
use heat_model::incident::{Incident, Priority};

use crate::{
    account::{DAY, HOUR, MAIN, MAKE_UP, SCAN, of_water},
    world::{CALM, Device, Feed, Now, plant},
};

/// Load against its mean: the hour and the weather, together 30 % up and down.
fn demand(at: i64) -> f64 {
    let turn = |days: f64| (at as f64 / (days * DAY as f64) * TAU).sin();
    1.0 + 0.08 * turn(1.0) + 0.22 * turn(6.3)
}

/// The return meter shows 2 % too little, and make-up is not metered.
fn meters(_: i64, devices: &mut Vec<Device>) {
    devices.remove(MAKE_UP);
    devices[MAIN].2[1].2 *= 0.98;
}

fn run(days: i64, leak: impl Fn(i64) -> f64) -> Vec<Incident> {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let now = |at| {
        let lost = leak(at);
        Now { leak: (lost > 0.0).then_some((1, lost)), demand: demand(at), ..CALM }
    };
    feed.run_with(0, days * DAY, SCAN, now, meters);
    of_water(feed.incidents())
}

#[test]
fn load_swings_between_two_meters_that_differ_are_no_leak() {
    let said = run(28, |_| 0.0);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_real_leak_between_such_meters_is_found_and_pages() {
    let on = 16 * DAY + 7 * HOUR;
    let said = run(18, |at| if at >= on { 0.25 } else { 0.0 });
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].priority, Priority::P2);
    assert!(said[0].opened.second() - (crate::world::START + on) < 12 * HOUR, "{:?}", said[0].opened);
    assert!((said[0].loss_kg_s.unwrap() - 0.25).abs() < 0.08, "{:?}", said[0].loss_kg_s);
}

#[test]
fn what_shows_at_a_load_never_seen_before_is_listed_and_does_not_page() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let cold = 8 * DAY;
    let now = |at: i64| {
        let demand = if at < cold { 1.0 + 0.02 * (at as f64 / DAY as f64 * TAU).sin() } else { 1.35 };
        Now { demand, leak: (at >= cold).then_some((1, 0.45)), ..CALM }
    };
    feed.run_with(0, cold + 2 * DAY, SCAN, now, meters);
    let said = of_water(feed.incidents());
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].priority, Priority::P3);
    assert!(said.iter().all(|i| i.lacked.iter().any(|lacked| lacked == "load_range")), "{said:?}");
}
