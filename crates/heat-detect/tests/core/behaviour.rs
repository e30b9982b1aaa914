//! Signals of any name that cease to move together, and complaints that cluster.

use std::sync::Arc;

use heat_detect::{DetectSettings, Output, PartitionCore, Snapshot, TicketCause};
use heat_model::{
    EventTime, Lane,
    incident::{AlarmState, Class},
    plant::PlantModel,
    ticket::{Ticket, TicketKind},
};

use crate::world::{CALM, Device, Feed, Now, START, noise, plant};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn rig(at: i64, shift: [f64; 5]) -> Device {
    rig_of("rig", 0, at, shift)
}

/// Five signals of a test rig in arbitrary units: a common load, and each its own noise.
fn rig_of(site: &'static str, number: usize, at: i64, shift: [f64; 5]) -> Device {
    let load = (at as f64 / 5_000.0).sin() + 0.5 * (at as f64 / 1_700.0).sin();
    let value =
        |signal: usize, gain: f64| gain * load + 0.1 * noise(at, 100 + 10 * number + signal) + shift[signal];
    let values = vec![
        ("spindle", "rpm", 900.0 + 40.0 * value(0, 1.0)),
        ("torque", "", value(1, 2.0)),
        ("oil", "degC", 60.0 + value(2, -1.0)),
        ("hum", "g", value(3, 0.5)),
        ("feed", "mm", value(4, 0.0)),
    ];
    (site, "plc", values)
}

fn run(feed: &mut Feed, from: i64, to: i64, shift: impl Fn(i64) -> [f64; 5]) {
    for at in (from..to).step_by(60) {
        feed.device(START + at, START + at, &rig(at, shift(at)));
    }
}

const USUAL: [f64; 5] = [0.0; 5];

#[test]
fn a_signal_of_any_name_that_leaves_the_others_is_listed_with_its_name_and_cleared_when_it_is_back() {
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    run(&mut feed, 0, 1_600 * MINUTE, |_| USUAL);
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());

    // Well within what torque usually is, but not at this load.
    run(&mut feed, 1_600 * MINUTE, 1_840 * MINUTE, |_| [0.0, 2.0, 0.0, 0.0, 0.0]);
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].place.as_deref()), (Class::Unknown, Some("rig")));
    assert_eq!(found[0].evidence[0].place, "rig/plc/torque");
    assert!((found[0].evidence[0].value - 2.0).abs() < 0.5, "{:?}", found[0].evidence);
    assert!(found[0].text_zh.contains("rig/plc/torque") && found[0].text_en.contains("rig/plc/torque"));

    run(&mut feed, 1_840 * MINUTE, 1_840 * MINUTE + 3 * DAY, |_| USUAL);
    assert_eq!(feed.incidents()[0].alarm, AlarmState::Cleared);
    assert_eq!(feed.incidents().len(), 1);
}

#[test]
fn what_no_thermometer_can_tell_is_not_listed_however_regular_the_others_are() {
    let listed = |kelvin: f64| {
        let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
        for at in (0..1_840 * MINUTE).step_by(60) {
            let shift = if at < 1_600 * MINUTE { 0.0 } else { 2.0 };
            let (site, device, mut values) = rig(at, [0.0, shift, 0.0, 0.0, 0.0]);
            for (signal, (_, unit, value)) in values.iter_mut().enumerate() {
                let centre = [900.0, 0.0, 60.0, 0.0, 0.0][signal];
                let size = if signal == 0 { 40.0 } else { 1.0 };
                (*unit, *value) = ("degC", 60.0 + kelvin * (*value - centre) / size);
            }
            feed.device(START + at, START + at, &(site, device, values));
        }
        feed.incidents().len()
    };
    assert_eq!([listed(1.0), listed(0.02)], [1, 0]);
}

#[test]
fn a_load_beyond_all_that_was_seen_moves_all_signals_and_is_not_listed() {
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    run(&mut feed, 0, 1_600 * MINUTE, |_| USUAL);
    run(&mut feed, 1_600 * MINUTE, 1_900 * MINUTE, |_| [2.5, 5.0, -2.5, 1.25, 0.0]);
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn what_began_at_several_sites_at_once_is_none_s_fault_and_not_listed_at_the_one_where_it_lasts() {
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    let mut run = |minutes: std::ops::Range<i64>, shifts: [f64; 3]| {
        for at in minutes.map(|minute| minute * MINUTE) {
            for (number, site) in ["north", "east", "south"].into_iter().enumerate() {
                let shift = [0.0, shifts[number], 0.0, 0.0, 0.0];
                feed.device(START + at, START + at, &rig_of(site, number, at, shift));
            }
        }
        feed.incidents().iter().filter_map(|incident| incident.place.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(0..1_600, [0.0; 3]), [""; 0]);
    assert_eq!(run(1_600..1_640, [2.0; 3]), [""; 0]);
    assert_eq!(run(1_640..1_880, [2.0, 0.0, 0.0]), [""; 0], "north began with the others");

    assert_eq!(run(1_880..2_000, [0.0; 3]), [""; 0]);
    assert_eq!(run(2_000..2_240, [0.0, 2.0, 0.0]), ["east"], "what begins at one alone is its own");
}

#[test]
fn back_filled_signals_train_and_open_nothing() {
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    feed.lane = Lane::Backfill;
    run(&mut feed, 0, 1_600 * MINUTE, |_| USUAL);
    run(&mut feed, 1_600 * MINUTE, 1_840 * MINUTE, |_| [0.0, 2.0, 0.0, 0.0, 0.0]);
    assert!(feed.incidents().is_empty());

    run(&mut feed, 1_840 * MINUTE, 1_900 * MINUTE, |_| USUAL);
    feed.lane = Lane::Live;
    run(&mut feed, 1_900 * MINUTE, 2_140 * MINUTE, |_| [0.0, 0.0, 3.0, 0.0, 0.0]);
    assert_eq!(feed.incidents().len(), 1, "what was back-filled is known");
}

fn complaint(number: usize, at: i64, site: &str) -> Ticket {
    Ticket {
        id: format!("t{number}"),
        time: EventTime::from_micros((START + at) * 1_000_000),
        kind: TicketKind::Cold,
        site: Some(site.parse().unwrap()),
        area: None,
        external_id: Some(format!("12345-{number}")),
        text: None,
    }
}

fn answers(feed: &Feed) -> Vec<(String, TicketCause, bool)> {
    feed.out
        .iter()
        .filter_map(|output| match output {
            Output::Ticket(link) => Some((link.ticket.clone(), link.cause, link.incident.is_some())),
            Output::Event(_) | Output::Status(_) | Output::Refused(_) | Output::Forgotten(_) => None,
        })
        .collect()
}

/// A week in which somebody complains every seven hours, somewhere.
fn usual_complaints(feed: &mut Feed, from: i64, to: i64) {
    for (number, at) in (from..to).step_by(25_200).enumerate() {
        let site = ["a1", "a2", "b1", "b2"][number % 4];
        feed.ticket(START + at, complaint(number, at, site));
    }
}

#[test]
fn complaints_that_cluster_open_an_incident_that_names_the_station_and_is_their_answer() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let on = 20 * DAY + 9 * HOUR;
    usual_complaints(&mut feed, 0, on);
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
    assert!(answers(&feed).iter().all(|(_, cause, linked)| *cause == TicketCause::NoneFound && !linked));

    for number in 0..8 {
        let at = on + i64::try_from(number).unwrap() * 20 * MINUTE;
        feed.ticket(START + at, complaint(1_000 + number, at, "b1"));
    }
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].place.as_deref()), (Class::TicketCluster, Some("b1")));
    let linked = answers(&feed);
    let of = |number: usize| linked.iter().find(|(ticket, ..)| *ticket == format!("t{number}")).cloned();
    assert_eq!(of(1_000), Some(("t1000".to_owned(), TicketCause::Suspected, true)));
    assert_eq!(of(1_007), Some(("t1007".to_owned(), TicketCause::Suspected, true)));

    feed.pass(START + on + DAY);
    assert_eq!(feed.incidents()[0].alarm, AlarmState::Cleared);
}

#[test]
fn complaints_behind_a_burst_are_answered_by_the_burst_and_open_nothing() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    usual_complaints(&mut feed, 0, 8 * DAY);
    let leak = |_| Now { leak: Some((5, 12.0)), ..CALM };
    feed.run(8 * DAY, 8 * DAY + HOUR, 10, |_| CALM);
    feed.run(8 * DAY + HOUR, 8 * DAY + HOUR + 300, 10, leak);
    let burst = feed.incidents()[0].clone();
    assert_eq!(burst.class, Class::Burst);
    let site = burst.affected.first().or(burst.branch.first()).unwrap().clone();

    for number in 0..8 {
        let at = 8 * DAY + HOUR + 300 + i64::try_from(number).unwrap() * 60;
        feed.ticket(START + at, complaint(2_000 + number, at, site.as_str()));
    }
    let found = feed.incidents();
    assert_eq!(
        found.iter().filter(|incident| incident.class == Class::TicketCluster).count(),
        0,
        "{found:?}"
    );
    assert!(
        answers(&feed).iter().any(|(ticket, cause, _)| ticket == "t2007" && *cause == TicketCause::Plant)
    );
    assert!(found[0].evidence.iter().any(|evidence| evidence.what == "tickets"), "{:?}", found[0].evidence);
}

#[test]
fn behaviour_and_tickets_restored_at_any_scan_go_on_byte_for_byte() {
    let run_with = |every: Option<usize>| {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        let on = 8 * DAY;
        usual_complaints(&mut feed, 0, on);
        for (step, at) in (on..on + 1_600 * MINUTE).step_by(60).enumerate() {
            let shift = if at > on + 1_450 * MINUTE { [0.0, 2.0, 0.0, 0.0, 0.0] } else { USUAL };
            feed.device(START + at, START + at, &rig(at, shift));
            if step > 1_450 && step % 10 == 0 {
                feed.ticket(START + at, complaint(step, at, "a2"));
            }
            if every.is_some_and(|every| step % every == 0) {
                let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
                let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
                feed.core = PartitionCore::new(DetectSettings::default(), Arc::new(plant()));
                feed.core.restore(snapshot).unwrap();
                assert_eq!(postcard::to_stdvec(&feed.core.snapshot()).unwrap(), stored);
            }
        }
        assert!(feed.incidents().len() >= 2, "{:?}", feed.incidents());
        postcard::to_stdvec(&feed.out).unwrap()
    };

    let straight = run_with(None);
    for every in [7, 97] {
        assert!(run_with(Some(every)) == straight, "restored every {every} scans");
    }
}

/// A signal that has its site for itself: it follows the hour, and wanders.
fn alone(name: &'static str, at: i64, shift: f64) -> Device {
    let hour = (at as f64 / DAY as f64 * std::f64::consts::TAU).sin();
    let wander = (at as f64 / 200_000.0).sin() + 0.5 * (at as f64 / 61_000.0).sin();
    ("kiosk", "logger", vec![(name, "V", 230.0 + 3.0 * hour + wander + 0.2 * noise(at, 7) + shift)])
}

#[test]
fn a_signal_alone_at_its_site_is_listed_when_it_leaves_its_own_past_unless_its_name_has_a_detector() {
    let onset = 20 * DAY;
    for (name, listed) in
        [("mains_voltage", vec!["kiosk/logger/mains_voltage"]), ("leak_wire_resistance", vec![])]
    {
        let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
        let mut run = |from: i64, to: i64, shift: f64| {
            for at in (from..to).step_by(300) {
                feed.device(START + at, START + at, &alone(name, at, shift));
            }
        };
        run(0, onset, 0.0);
        run(onset, onset + DAY / 2, -8.0);
        run(onset + DAY / 2, onset + 4 * DAY, 0.0);
        let found = feed.incidents();
        let places: Vec<&str> = found.iter().map(|incident| incident.evidence[0].place.as_str()).collect();
        assert_eq!(places, listed);
        for incident in found {
            assert!(incident.opened.second() >= START + onset, "the past alone lists nothing: {incident:?}");
            assert_eq!((incident.class, incident.alarm), (Class::Unknown, AlarmState::Cleared));
        }
    }
}
