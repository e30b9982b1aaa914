//! States of circuits by command, by the calendar, and as their data suggest.

use std::sync::Arc;

use heat_detect::{DetectSettings, DetectorState, PartitionCore, SeasonSuggestion, Snapshot};
use heat_model::{
    EventTime,
    plant::{PlantModel, SeasonPlan, SeasonState},
    record::Action,
};

use crate::{
    account::{DAY, HOUR, SCAN, scans},
    world::{CALM, Device, Feed, START, devices, plant},
};

fn time(at: i64) -> EventTime {
    EventTime::from_micros((START + at) * 1_000_000)
}

fn with_calendar(rows: &[(i64, SeasonState)]) -> PlantModel {
    let mut plant = plant();
    plant.seasons = rows
        .iter()
        .map(|(at, state)| SeasonPlan {
            network: "town".parse().unwrap(),
            circuit: None,
            state: *state,
            from: time(*at),
        })
        .collect();
    plant
}

/// The season that keeps the water from being judged, and whether only the data say so.
fn resting(feed: &Feed) -> Option<(SeasonState, bool)> {
    let status = feed.core.status();
    let balance = status[0].detectors.iter().find(|detector| detector.detector == "water_balance")?;
    match balance.state {
        DetectorState::OutOfSeason { season, suggested } => Some((season, suggested)),
        DetectorState::Ready | DetectorState::Learning { .. } | DetectorState::Lacking { .. } => None,
    }
}

fn suggested(feed: &Feed) -> Vec<SeasonSuggestion> {
    feed.core.status()[0].seasons.clone()
}

fn say(feed: &mut Feed, at: i64, state: SeasonState) {
    feed.command(START + at, "anna", Action::Season { circuit: "primary".parse().unwrap(), state });
}

/// The circulation runs at this share of the usual one.
fn at_share(share: f64) -> impl Fn(i64, &mut Vec<Device>) {
    move |_, list| {
        for (_, _, values) in list.iter_mut() {
            for value in values.iter_mut().filter(|value| value.0.ends_with("_flow")) {
                value.2 *= share;
            }
        }
    }
}

#[test]
fn the_calendar_takes_effect_by_the_log_s_own_time_and_a_later_command_overrides_it() {
    let rows =
        [(0, SeasonState::Heating), (4 * HOUR, SeasonState::Filling), (20 * HOUR, SeasonState::Heating)];
    let mut feed = Feed::new(DetectSettings::default(), with_calendar(&rows));
    feed.run(0, 4 * HOUR, SCAN, |_| CALM);
    assert_eq!(resting(&feed), None);
    feed.run(4 * HOUR, 8 * HOUR, SCAN, |_| CALM);
    assert_eq!(resting(&feed), Some((SeasonState::Filling, false)));

    say(&mut feed, 8 * HOUR, SeasonState::Heating);
    feed.run(8 * HOUR, 12 * HOUR, SCAN, |_| CALM);
    assert_eq!(resting(&feed), None);

    say(&mut feed, 12 * HOUR, SeasonState::Repair);
    feed.run(12 * HOUR, 20 * HOUR, SCAN, |_| CALM);
    assert_eq!(resting(&feed), Some((SeasonState::Repair, false)));
    // The calendar's next row is later than the command.
    feed.run(20 * HOUR, 22 * HOUR, SCAN, |_| CALM);
    assert_eq!(resting(&feed), None);
}

#[test]
fn a_circuit_that_stands_for_hours_while_it_is_said_to_heat_is_suggested_and_changes_nothing_by_itself() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, DAY, SCAN, |_| CALM);
    assert_eq!(suggested(&feed), []);
    feed.run_with(DAY, DAY + 4 * HOUR, SCAN, |_| CALM, at_share(0.01));
    assert_eq!(suggested(&feed), [], "four hours may be a trip");
    feed.run_with(DAY + 4 * HOUR, DAY + 8 * HOUR, SCAN, |_| CALM, at_share(0.01));

    let [other] = suggested(&feed).try_into().unwrap();
    assert_eq!(other.circuit.as_ref().unwrap().as_str(), "primary");
    assert_eq!((other.state, other.suggested), (SeasonState::Heating, SeasonState::WetLayup));
    assert_eq!(other.since, time(DAY));
    let said = feed.out.iter().any(
        |output| matches!(output, heat_detect::Output::Status(status) if status.seasons == [other.clone()]),
    );
    assert!(said, "it is told when it changes");

    say(&mut feed, DAY + 8 * HOUR, SeasonState::WetLayup);
    feed.run_with(DAY + 8 * HOUR, DAY + 9 * HOUR, SCAN, |_| CALM, at_share(0.01));
    assert_eq!(suggested(&feed), [], "it is answered");
}

#[test]
fn a_circuit_that_runs_hot_for_hours_while_it_is_said_to_be_off_suggests_heating() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, DAY, SCAN, |_| CALM);
    say(&mut feed, DAY, SeasonState::Off);
    feed.run(DAY, DAY + 8 * HOUR, SCAN, |_| CALM);
    let [other] = suggested(&feed).try_into().unwrap();
    assert_eq!((other.state, other.suggested), (SeasonState::Off, SeasonState::Heating));
    assert_eq!(resting(&feed), Some((SeasonState::Off, false)), "the state that was said still holds");
}

#[test]
fn a_snapshot_restored_at_any_quarter_hour_keeps_calendar_command_and_suggestion() {
    let rows = [(2 * HOUR, SeasonState::ColdCirculation), (12 * HOUR, SeasonState::Off)];
    let run = |every: Option<i64>| {
        let settings = DetectSettings::default();
        let mut feed = Feed::new(settings.clone(), with_calendar(&rows));
        for at in scans(0, DAY) {
            if at == 3 * HOUR {
                say(&mut feed, at, SeasonState::Heating);
            }
            for device in devices(at, CALM) {
                feed.device(START + at, START + at, &device);
            }
            if every.is_some_and(|every| at % every == 0) {
                let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
                let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
                feed.core = PartitionCore::new(settings.clone(), Arc::new(with_calendar(&rows)));
                feed.core.restore(snapshot).unwrap();
            }
        }
        assert_eq!(suggested(&feed).len(), 1);
        postcard::to_stdvec(&feed.out).unwrap()
    };
    let straight = run(None);
    assert!(run(Some(SCAN)) == straight);
    assert!(run(Some(5 * HOUR)) == straight);
}
