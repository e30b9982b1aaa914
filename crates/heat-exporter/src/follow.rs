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
use heat_model::{IngestTime, PartitionId, plant::PlantModel};
use heat_runtime::{Shutdown, admin::CatchUp, tasks::Chain};
use heat_view::{
    Applied, IncidentBoard, Privacy, RoomTable,
    feed::{self, InputFeed, PlantFeed, State},
};

use crate::{
    metrics::RoleMetrics,
    pager::Pager,
    plant::{Shard, lock},
};

/// Records applied under one lock of a table, so that a scrape waits for a few milliseconds at most.
const CHUNK_RECORDS: usize = 512;

/// What the tasks that read share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    pub(crate) shards: Arc<[Shard]>,
    pub(crate) board: Arc<Mutex<IncidentBoard>>,
    pub(crate) rooms: Arc<Mutex<RoomTable>>,
    pub(crate) pager: Option<Pager>,
    pub(crate) metrics: RoleMetrics,
    pub(crate) catch_up: CatchUp,
    pub(crate) shutdown: Shutdown,
}

impl Follower {
    pub(crate) async fn input(self, mut follow: Follow) -> Result<(), ReadError> {
        let mut feeds: BTreeMap<PartitionId, InputFeed> = BTreeMap::new();
        while let Some(event) = next(&mut follow, &self.shutdown).await? {
            match event {
                FollowEvent::Records { partition, records } => {
                    let Some(shard) = self.shards.get(partition.0 as usize) else { continue };
                    let feed = feeds.entry(partition).or_insert_with(|| InputFeed::new(partition));
                    for chunk in records.chunks(CHUNK_RECORDS) {
                        self.apply_input(shard, feed, chunk);
                        tokio::task::yield_now().await;
                    }
                    if let Some(beat) = feed.last_heartbeat() {
                        let beat = IngestTime::from_micros(beat.as_micros());
                        *lock(&shard.last_heartbeat) = beat;
                    }
                }
                FollowEvent::CaughtUp => self.catch_up.caught_up(topics::INPUT),
                FollowEvent::Trouble(error) => self.trouble(topics::INPUT, &error),
            }
        }
        Ok(())
    }

    fn apply_input(&self, shard: &Shard, feed: &mut InputFeed, chunk: &[Record]) {
        let (mut table, mut rooms) = (lock(&shard.table), lock(&self.rooms));
        let before = table.counts();
        let mut undecodable = 0;
        for record in chunk {
            let applied = feed.apply(&mut table, record.offset, record.append_time, record.payload.clone());
            match applied {
                Ok(envelope) => rooms.apply(record.append_time, &envelope),
                Err(error) => {
                    undecodable += 1;
                    let (partition, offset) = (shard.partition.0, record.offset.0);
                    tracing::debug!(error = %Chain(&error), partition, offset, "a record cannot be decoded");
                }
            }
        }
        self.metrics.add_live(before, table.counts());
        drop((table, rooms));
        self.count(topics::INPUT, chunk.len() - undecodable, undecodable);
    }

    pub(crate) async fn incidents(self, mut follow: Follow, topic: &'static str) -> Result<(), ReadError> {
        while let Some(event) = next(&mut follow, &self.shutdown).await? {
            match event {
                FollowEvent::Records { partition, records } => {
                    for record in records {
                        self.apply_incident(topic, partition, &record);
                    }
                }
                FollowEvent::CaughtUp => {
                    self.catch_up.caught_up(topic);
                    if topic == topics::INCIDENTS
                        && let Some(pager) = &self.pager
                    {
                        pager.caught_up();
                    }
                }
                FollowEvent::Trouble(error) => self.trouble(topic, &error),
            }
        }
        Ok(())
    }

    fn apply_incident(&self, topic: &str, partition: PartitionId, record: &Record) {
        let applied = self.apply_output(topic, record);
        match applied {
            Ok(applied) => {
                self.count(topic, 1, 0);
                self.metrics.incidents_refused.inc_by(u64::from(applied == Applied::Refused));
            }
            Err(error) => {
                self.count(topic, 0, 1);
                let (partition, offset) = (partition.0, record.offset.0);
                tracing::warn!(error = %Chain(&error), partition, offset, "an incident cannot be read");
            }
        }
    }

    /// Pages go by the topic of states alone: there, states of one incident come in order.
    fn apply_output(&self, topic: &str, record: &Record) -> Result<Applied, feed::FeedError> {
        let applied = if topic == topics::INCIDENTS {
            let state = feed::state(record.key.as_deref(), &record.payload)?;
            if let (Some(pager), State::Is(incident)) = (&self.pager, &state) {
                pager.observe(incident);
            }
            lock(&self.board).apply_record(&state)
        } else {
            let output = feed::output(&record.payload)?;
            lock(&self.board).apply(&output)
        };
        let held = lock(&self.board).len();
        self.metrics.incidents.set(i64::try_from(held).unwrap_or(i64::MAX));
        Ok(applied)
    }

    /// Follows which plant model is in force: it tells which sites are homes, and which station feeds them.
    pub(crate) async fn plant(self, mut follow: Follow) -> Result<(), ReadError> {
        let mut feed = PlantFeed::default();
        while let Some(event) = next(&mut follow, &self.shutdown).await? {
            match event {
                FollowEvent::Records { records, .. } => {
                    for record in records {
                        let Some(key) = &record.key else { continue };
                        match feed.apply(key, &record.payload) {
                            Ok(model) => {
                                if let Some((model, plant)) = model {
                                    tracing::info!(%model, "another plant model is in force");
                                    self.set_plant(&plant);
                                }
                                self.count(topics::PLANT, 1, 0);
                            }
                            Err(error) => {
                                self.count(topics::PLANT, 0, 1);
                                tracing::warn!(error = %Chain(&error), "a plant model cannot be used; the one before stays");
                            }
                        }
                    }
                }
                FollowEvent::CaughtUp => self.catch_up.caught_up(topics::PLANT),
                FollowEvent::Trouble(error) => self.trouble(topics::PLANT, &error),
            }
        }
        Ok(())
    }

    fn set_plant(&self, plant: &PlantModel) {
        let privacy = Privacy::new(plant);
        for shard in self.shards.iter() {
            lock(&shard.table).set_privacy(privacy.clone());
        }
        lock(&self.rooms).set_plant(plant);
    }

    fn count(&self, topic: &str, applied: usize, undecodable: usize) {
        self.metrics.records.with_label_values(&[topic, "applied"]).inc_by(applied as u64);
        self.metrics.records.with_label_values(&[topic, "undecodable"]).inc_by(undecodable as u64);
    }

    fn trouble(&self, topic: &str, error: &ReadError) {
        self.metrics.trouble.with_label_values(&[topic]).inc();
        tracing::warn!(error = %Chain(error), topic, "reading met an error and goes on");
    }
}

/// The next event, none once shutdown has begun.
async fn next(follow: &mut Follow, shutdown: &Shutdown) -> Result<Option<FollowEvent>, ReadError> {
    tokio::select! {
        () = shutdown.begun() => Ok(None),
        event = follow.next() => event.map(Some),
    }
}

pub(crate) async fn open(log: &Log, topic: &str, back: ReadBack) -> Result<Follow, ReadError> {
    Follow::open(log, topic, back, ConsumerSettings::default()).await
}
