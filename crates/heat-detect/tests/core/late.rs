//! Live readings that come late, but in order: after an outage of the log, or over a slow uplink.

use heat_detect::DetectSettings;
use heat_model::{
    Lane,
    incident::{AlarmState, ChangeKind, Class, Incident},
};

use crate::world::{CALM, Feed, Now, START, devices, plant};

const HOUR: i64 = 3_600;
/// The log takes nothing from here on, for ten minutes.
const OUT: i64 = HOUR;
const BACK: i64 = OUT + 600;

fn burst_between(on: i64, off: i64) -> impl Fn(i64) -> Now + Copy {
    move |at| if (on..off).contains(&at) { Now { leak: Some((1, 5.0)), ..CALM } } else { CALM }
}

/// An hour of calm, an outage whose readings come within two seconds of its end, and what follows in time.
fn through_an_outage(lane: Lane, world: impl Fn(i64) -> Now + Copy) -> Feed {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, OUT, 10, world);
    feed.lane = lane;
    for event in (OUT..BACK).step_by(10) {
        let at = BACK + i64::from(event > OUT + 300);
        for device in devices(event, world(event)) {
            feed.device(START + at, START + event, &device);
        }
    }
    feed.lane = Lane::Live;
    feed.run(BACK + 10, BACK + 1_200, 10, world);
    feed
}

fn is_marked_late(incident: &Incident) -> bool {
    incident.evidence.iter().any(|evidence| evidence.what == "found_late" && evidence.value > 120.0)
        && incident.text_zh.contains("迟到")
        && incident.text_en.contains("min late")
}

#[test]
fn a_burst_during_an_outage_of_the_log_pages_once_the_data_have_caught_up_and_is_marked_late() {
    let feed = through_an_outage(Lane::Live, burst_between(OUT + 120, i64::MAX));

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let burst = &incidents[0];
    assert_eq!((burst.class, burst.alarm), (Class::Burst, AlarmState::Unacknowledged));
    assert!(is_marked_late(burst), "{} {:?}", burst.text_en, burst.evidence);
    let delay = burst.opened.second() - (START + BACK);
    assert!((0..=15).contains(&delay), "said {delay} s after the log was back");
    assert!((burst.onset.second() - (START + OUT + 120)).abs() <= 20, "the onset is that of the water");
    assert!(feed.core.counters().late_judged > 1_000, "{:?}", feed.core.counters());
}

#[test]
fn a_burst_that_was_over_before_its_readings_came_is_listed_and_never_pages() {
    let feed = through_an_outage(Lane::Live, burst_between(OUT + 120, OUT + 300));

    let events = feed.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].change.kind, ChangeKind::Opened);
    assert_eq!((events[0].incident.class, events[0].incident.alarm), (Class::Burst, AlarmState::Cleared));
    assert!(is_marked_late(&events[0].incident), "{:?}", events[0].incident.evidence);
}

#[test]
fn the_same_readings_back_filled_page_nobody() {
    let feed = through_an_outage(Lane::Backfill, burst_between(OUT + 120, OUT + 590));

    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn over_an_uplink_that_is_always_five_minutes_late_a_burst_pages_a_minute_after_its_readings() {
    let world = burst_between(HOUR, i64::MAX);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    for event in (0..HOUR + 900).step_by(10) {
        for device in devices(event, world(event)) {
            feed.device(START + event + 300, START + event, &device);
        }
    }

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert!(is_marked_late(&incidents[0]));
    let delay = incidents[0].opened.second() - (START + HOUR + 300);
    assert!((55..=90).contains(&delay), "{delay} s after the readings came");
}

#[test]
fn late_readings_that_come_behind_newer_ones_of_their_signal_are_counted_and_not_judged() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, HOUR, 10, |_| CALM);
    for event in (HOUR - 900..HOUR - 300).step_by(10) {
        for device in devices(event, Now { leak: Some((1, 5.0)), ..CALM }) {
            feed.device(START + HOUR, START + event, &device);
        }
    }
    feed.run(HOUR + 10, HOUR + 600, 10, |_| CALM);

    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
    assert!(feed.core.counters().late > 1_000);
    assert_eq!(feed.core.counters().late_judged, 0);
}
