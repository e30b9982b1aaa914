//! The tasks that read: the input, the incidents' states, their events, and which plant model is in force.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use heat_log::{
    ConsumerSettings, Log, ReadError, Record,
    follow::{Follow, FollowEvent, ReadBack},
    topics,
};
use heat_model::{IngestTime, PartitionId};
use heat_runtime::{Shutdown, tasks::Chain};
use heat_view::{
    Applied, IncidentBoard, Privacy,
    feed::{self, InputFeed, PlantFeed},
};

use crate::{
    metrics::RoleMetrics,
    plant::{Shard, lock},
    role::Readiness,
};

/// Records applied under one lock of a table, so that a scrape waits for a few milliseconds at most.
const CHUNK_RECORDS: usize = 512;

pub(crate) async fn input(
    mut follow: Follow,
    shards: Arc<[Shard]>,
    metrics: RoleMetrics,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), ReadError> {
    let mut feeds: BTreeMap<PartitionId, InputFeed> = BTreeMap::new();
    while let Some(event) = next(&mut follow, &shutdown).await? {
        match event {
            FollowEvent::Records { partition, records } => {
                let Some(shard) = shards.get(partition.0 as usize) else { continue };
                let feed = feeds.entry(partition).or_insert_with(|| InputFeed::new(partition));
                for chunk in records.chunks(CHUNK_RECORDS) {
                    apply_input(&metrics, shard, feed, chunk);
                    tokio::task::yield_now().await;
                }
                if let Some(beat) = feed.last_heartbeat() {
                    let beat = IngestTime::from_micros(beat.as_micros());
                    *lock(&shard.last_heartbeat) = beat;
                }
            }
            FollowEvent::CaughtUp => readiness.caught_up(topics::INPUT),
            FollowEvent::Trouble(error) => trouble(&metrics, topics::INPUT, &error),
        }
    }
    Ok(())
}

fn apply_input(metrics: &RoleMetrics, shard: &Shard, feed: &mut InputFeed, chunk: &[Record]) {
    let mut table = lock(&shard.table);
    let before = table.counts();
    let mut undecodable = 0;
    for record in chunk {
        let applied = feed.apply(&mut table, record.offset, record.append_time, record.payload.clone());
        if let Err(error) = applied {
            undecodable += 1;
            let (partition, offset) = (shard.partition.0, record.offset.0);
            tracing::debug!(error = %Chain(&error), partition, offset, "a record cannot be decoded");
        }
    }
    metrics.add_live(before, table.counts());
    drop(table);
    count(metrics, topics::INPUT, chunk.len() - undecodable, undecodable);
}

pub(crate) async fn incidents(
    mut follow: Follow,
    topic: &'static str,
    board: Arc<Mutex<IncidentBoard>>,
    metrics: RoleMetrics,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), ReadError> {
    while let Some(event) = next(&mut follow, &shutdown).await? {
        match event {
            FollowEvent::Records { partition, records } => {
                for record in records {
                    let applied = {
                        let mut board = lock(&board);
                        let applied = apply(&mut board, topic, &record.payload);
                        metrics.incidents.set(i64::try_from(board.len()).unwrap_or(i64::MAX));
                        applied
                    };
                    match applied {
                        Ok(applied) => {
                            count(&metrics, topic, 1, 0);
                            metrics.incidents_refused.inc_by(u64::from(applied == Applied::Refused));
                        }
                        Err(error) => {
                            count(&metrics, topic, 0, 1);
                            let (partition, offset) = (partition.0, record.offset.0);
                            tracing::warn!(error = %Chain(&error), partition, offset, "an incident cannot be read");
                        }
                    }
                }
            }
            FollowEvent::CaughtUp => readiness.caught_up(topic),
            FollowEvent::Trouble(error) => trouble(&metrics, topic, &error),
        }
    }
    Ok(())
}

fn apply(board: &mut IncidentBoard, topic: &str, payload: &[u8]) -> Result<Applied, feed::FeedError> {
    if topic == topics::INCIDENTS {
        Ok(feed::state(payload)?.map_or(Applied::Stale, |incident| board.apply_state(&incident)))
    } else {
        feed::output(payload).map(|output| board.apply(&output))
    }
}

/// Follows which plant model is in force: it tells which sites are homes.
pub(crate) async fn plant(
    mut follow: Follow,
    shards: Arc<[Shard]>,
    metrics: RoleMetrics,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), ReadError> {
    let mut feed = PlantFeed::default();
    while let Some(event) = next(&mut follow, &shutdown).await? {
        match event {
            FollowEvent::Records { records, .. } => {
                for record in records {
                    let Some(key) = &record.key else { continue };
                    match feed.apply(key, &record.payload) {
                        Ok(Some((model, plant))) => {
                            tracing::info!(%model, "another plant model is in force");
                            let privacy = Privacy::new(&plant);
                            for shard in shards.iter() {
                                lock(&shard.table).set_privacy(privacy.clone());
                            }
                            count(&metrics, topics::PLANT, 1, 0);
                        }
                        Ok(None) => count(&metrics, topics::PLANT, 1, 0),
                        Err(error) => {
                            count(&metrics, topics::PLANT, 0, 1);
                            tracing::warn!(error = %Chain(&error), "a plant model cannot be used; the one before stays");
                        }
                    }
                }
            }
            FollowEvent::CaughtUp => readiness.caught_up(topics::PLANT),
            FollowEvent::Trouble(error) => trouble(&metrics, topics::PLANT, &error),
        }
    }
    Ok(())
}

/// The next event, none once shutdown has begun.
async fn next(follow: &mut Follow, shutdown: &Shutdown) -> Result<Option<FollowEvent>, ReadError> {
    tokio::select! {
        () = shutdown.begun() => Ok(None),
        event = follow.next() => event.map(Some),
    }
}

fn count(metrics: &RoleMetrics, topic: &str, applied: usize, undecodable: usize) {
    metrics.records.with_label_values(&[topic, "applied"]).inc_by(applied as u64);
    metrics.records.with_label_values(&[topic, "undecodable"]).inc_by(undecodable as u64);
}

fn trouble(metrics: &RoleMetrics, topic: &str, error: &ReadError) {
    metrics.trouble.with_label_values(&[topic]).inc();
    tracing::warn!(error = %Chain(error), topic, "reading met an error and goes on");
}

pub(crate) async fn open(log: &Log, topic: &str, back: ReadBack) -> Result<Follow, ReadError> {
    Follow::open(log, topic, back, ConsumerSettings::default()).await
}
