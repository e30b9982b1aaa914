//! Another plant model takes effect while the network runs.

use std::time::Duration;

use heat_detect::{DetectSettings, PartitionCore};
use heat_model::{
    incident::{AlarmState, Class},
    plant::{PlantHash, PlantModel, SiteKind},
};

use crate::world::{CALM, Feed, Now, START, plant};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn settings() -> DetectSettings {
    DetectSettings { learning: Duration::from_secs(2 * 86_400), ..DetectSettings::default() }
}

/// The plant before its newest station and the pipes to it were entered.
fn without_b2() -> PlantModel {
    let mut plant = plant();
    plant.sites.retain(|site| site.id.as_str() != "b2");
    plant.pipes.retain(|pipe| !pipe.id.as_str().starts_with("Pb2"));
    plant
}

#[test]
fn a_new_station_raises_nothing_and_what_was_learned_still_finds_a_leak() {
    let mut feed = Feed::new(settings(), without_b2());
    let (changed, on) = (3 * DAY, 4 * DAY);
    feed.run_with(0, changed, 900, |_| CALM, |_, devices| devices.retain(|(site, ..)| *site != "b2"));
    feed.activate(START + changed, 2, plant());
    feed.run(changed, on, 900, |_| CALM);
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());

    feed.run(on, on + 8 * HOUR, 900, |_| Now { leak: Some((1, 0.1)), ..CALM });
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].class, Class::LeakAbrupt);
}

#[test]
fn a_burst_that_is_on_keeps_its_incident_and_clears_under_the_new_model() {
    let mut feed = Feed::new(DetectSettings::default(), without_b2());
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, HOUR + 60, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    let opened = feed.incidents();
    assert_eq!(opened.len(), 1, "{opened:?}");

    feed.activate(START + HOUR + 60, 2, plant());
    feed.run(HOUR + 60, HOUR + 1_200, 10, |_| Now { leak: Some((1, 5.0)), ..CALM });
    feed.run(HOUR + 1_200, 3 * HOUR, 10, |_| CALM);

    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].id, found[0].alarm), (opened[0].id, AlarmState::Cleared));
}

#[test]
fn a_new_source_with_its_own_make_up_is_learned_and_not_taken_for_a_leak() {
    let mut feed = Feed::new(settings(), plant());
    let changed = 3 * DAY;
    feed.run(0, changed, 900, |_| CALM);
    let mut with_boiler = plant();
    let mut boiler = with_boiler.sites[0].clone();
    boiler.id = "boiler".parse().unwrap();
    assert_eq!(boiler.kind, Some(SiteKind::Source));
    with_boiler.sites.push(boiler);

    feed.activate(START + changed, 2, with_boiler);
    feed.run(changed, changed + HOUR, 900, |_| CALM);
    feed.run_with(
        changed + HOUR,
        changed + 4 * DAY,
        900,
        |_| CALM,
        |_, devices| {
            devices.push(("boiler", "meter", vec![("make_up_flow", "kg/s", 0.05)]));
        },
    );

    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_model_that_was_withdrawn_must_be_offered_again_and_the_one_in_use_stays() {
    let mut feed = Feed::new(DetectSettings::default(), without_b2());
    feed.activate(START, 2, plant());
    feed.activate(START + 1, 3, without_b2());
    feed.core.withdraw_models();
    assert_eq!(feed.core.model(), Some(PlantHash(3)));

    let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
    let snapshot: heat_detect::Snapshot = postcard::from_bytes(&stored).unwrap();
    assert_eq!(snapshot.model(), Some(PlantHash(3)));
    feed.core.restore(snapshot).unwrap();

    let snapshot: heat_detect::Snapshot = postcard::from_bytes(&stored).unwrap();
    let mut other = PartitionCore::new(DetectSettings::default(), PlantModel::default().into());
    assert!(other.restore(snapshot).unwrap_err().to_string().contains("0000000000000003"));
}
