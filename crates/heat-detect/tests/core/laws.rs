use std::sync::Arc;

use heat_detect::{DetectSettings, Output, PartitionCore, Snapshot};
use heat_model::{EventTime, Lane, plant::PlantModel};

use crate::world::{CALM, Feed, Now, START, devices, plant};

const HOUR: i64 = 3_600;

fn bytes(outputs: &[Output]) -> Vec<u8> {
    postcard::to_stdvec(outputs).unwrap()
}

fn world(at: i64) -> Now {
    if (HOUR..HOUR + 900).contains(&at) { Now { leak: Some((1, 5.0)), ..CALM } } else { CALM }
}

#[test]
fn a_snapshot_restored_at_any_record_gives_the_same_outputs_byte_for_byte() {
    let straight = {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        feed.run(0, 2 * HOUR, 30, world);
        assert!(!feed.events().is_empty());
        bytes(&feed.out)
    };
    for every in [1, 7, 100, 1_000] {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        let mut next = every;
        for at in (0..2 * HOUR).step_by(30) {
            for device in devices(at, world(at)) {
                feed.device(START + at, START + at, &device);
                if feed.records() >= next {
                    next += every;
                    let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
                    let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
                    feed.core = PartitionCore::new(DetectSettings::default(), Arc::new(plant()));
                    feed.core.restore(snapshot).unwrap();
                    assert_eq!(postcard::to_stdvec(&feed.core.snapshot()).unwrap(), stored);
                }
            }
        }
        assert!(bytes(&feed.out) == straight, "restored every {every} records");
    }
}

#[test]
fn a_snapshot_of_another_layout_is_refused() {
    let core = PartitionCore::new(DetectSettings::default(), Arc::new(PlantModel::default()));
    let mut stored = postcard::to_stdvec(&core.snapshot()).unwrap();
    stored[0] = 99;
    let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
    let mut core = PartitionCore::new(DetectSettings::default(), Arc::new(PlantModel::default()));
    assert!(core.restore(snapshot).unwrap_err().to_string().contains("99"));
}

#[test]
fn a_live_reading_beyond_the_lateness_bound_is_counted_and_not_applied() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, HOUR, 10, |_| CALM);
    let before = postcard::to_stdvec(&feed.core.snapshot()).unwrap().len();
    for device in devices(HOUR, Now { leak: Some((1, 5.0)), ..CALM }) {
        feed.device(START + HOUR, START + HOUR - 600, &device);
    }
    assert!(feed.core.counters().late > 20, "{:?}", feed.core.counters());
    assert!(feed.incidents().is_empty());
    assert_eq!(postcard::to_stdvec(&feed.core.snapshot()).unwrap().len(), before);
}

#[test]
fn a_device_whose_clock_is_ahead_moves_no_time() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run(0, 600, 10, |_| CALM);
    let now = feed.core.now();
    for device in devices(600, CALM) {
        feed.device(START + 600, START + 600 + 86_400, &device);
    }
    assert_eq!(feed.core.now().second(), START + 600);
    assert!(feed.core.now() > now);
    assert_eq!(feed.core.now().as_event_now(), EventTime::from_micros((START + 600) * 1_000_000));
}

#[test]
fn a_burst_in_back_filled_data_opens_nothing() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.lane = Lane::Backfill;
    feed.run(0, 2 * HOUR, 10, world);
    assert!(feed.incidents().is_empty());
}
