//! A state is stored while records go on, and a crash in the middle falls back to the one before.

use std::collections::BTreeSet;

use bytes::Bytes;
use heat_log::Log;
use heat_processor::{
    ProcessorSettings,
    metrics::{SNAPSHOTS, SUPPRESSED},
    snapshot::Pointer,
};

use super::{Metrics, World, append, close, has_caught_up, published, settings, stored, tells_a_burst};

/// Settings with which no snapshot comes to its end.
fn stuck() -> ProcessorSettings {
    ProcessorSettings { snapshot_bytes_per_second: 1, ..settings(100) }
}

/// A log whose first half was processed and stored; the second half, with a burst, has come since.
async fn half_way(world: &World, name: &str) -> Pointer {
    let (first, second) = world.records.split_at(world.records.len() / 2);
    let log = world.log(name).await;
    append(&log, first).await;
    close(log).await;
    world.processed(name, settings(100)).await;
    let log = world.log(name).await;
    let (pointer, _) = stored(&log).await;
    assert!(!tells_a_burst(&published(&log).await));
    append(&log, second).await;
    close(log).await;
    pointer.unwrap()
}

/// Whether all records are taken and a snapshot newer than `before` has begun.
async fn is_under_way(log: &Log, before: Pointer, metrics: &Metrics) -> bool {
    has_caught_up(metrics) && stored(log).await.1.last().is_some_and(|newest| *newest > before.generation)
}

/// What a processor publishes that takes the same records without a break.
async fn straight(world: &World, of: &str) -> Vec<(&'static str, Option<Bytes>, Bytes)> {
    world.copy(of, "straight");
    world.processed("straight", settings(1_000)).await;
    published(&world.log("straight").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_told_while_a_snapshot_is_written_and_a_crash_then_restarts_from_the_one_before() {
    let world = World::new();
    let before = half_way(&world, "log").await;

    let log = world.log("log").await;
    let is_begun = async |metrics: &Metrics| is_under_way(&log, before, metrics).await;
    world.crashed_once(&log, stuck(), is_begun).await;
    close(log).await;
    let log = world.log("log").await;
    let told = published(&log).await;
    assert!(tells_a_burst(&told), "{told:?}");
    let (pointer, chunks) = stored(&log).await;
    assert_eq!(pointer, Some(before), "the snapshot under way has chunks and no pointer");
    let given_up = *chunks.last().unwrap();
    close(log).await;

    let metrics = world.processed("log", settings(1_000)).await;

    let log = world.log("log").await;
    assert!(published(&log).await == told, "all of it was said before the crash");
    assert!(!metrics.render().contains(&format!("{SUPPRESSED} 0\n")), "it read from the snapshot before");
    let (pointer, chunks) = stored(&log).await;
    let pointer = pointer.unwrap();
    assert_eq!(pointer.input_next.0, world.records.len() as u64);
    assert!(pointer.generation > given_up && !chunks.contains(&given_up), "{pointer:?}, {chunks:?}");
    close(log).await;
    assert!(told == straight(&world, "log").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_up_the_snapshot_under_way_and_stores_the_last_state() {
    let world = World::new();
    let before = half_way(&world, "log").await;

    let log = world.log("log").await;
    let is_begun = async |metrics: &Metrics| is_under_way(&log, before, metrics).await;
    let metrics = world.stopped_once(&log, stuck(), is_begun).await;
    close(log).await;

    assert!(metrics.render().contains(&format!("{SNAPSHOTS} 1\n")), "the last one only");
    let log = world.log("log").await;
    let (pointer, chunks) = stored(&log).await;
    let pointer = pointer.unwrap();
    assert_eq!(pointer.input_next.0, world.records.len() as u64);
    assert_eq!(chunks, BTreeSet::from([before.generation, pointer.generation]));
    let told = published(&log).await;
    close(log).await;
    assert!(told == straight(&world, "log").await);
}
