//! The role: build opens, run reads, a scrape writes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use heat_log::{
    Log, ReadError, TopicError,
    follow::{Follow, ReadBack},
    topics,
};
use heat_model::{PartitionId, plant::PlantModel};
use heat_runtime::{
    Clock, Shutdown, Tasks,
    admin::{CatchUp, Health},
    metrics::Metrics,
    tasks::TaskError,
};
use heat_view::{IncidentBoard, LiveTable, Privacy, RoomTable};

use crate::{
    figures::{write_heartbeats, write_incidents, write_rooms},
    follow::{self, Follower},
    metrics::{RoleMetrics, TEXT_FAMILIES},
    pager::{FileError, Pager},
    plant::{PlantWriter, Shard, TextBounds, lock},
    settings::Settings,
};

/// How often silent signals are looked for.
const FORGET_INTERVAL: Duration = Duration::from_mins(5);
/// Time to end after shutdown has begun.
const DRAIN: Duration = Duration::from_secs(5);
/// The name in health reports.
const PART: &str = "exporter";

/// What the role is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The log.
    pub log: Log,
    /// The process's metrics; the role adds its own and the plant values.
    pub metrics: Metrics,
    /// The process's health.
    pub health: Health,
    /// The clock.
    pub clock: Clock,
    /// The plant model that tells homes until the log names one.
    pub plant: Arc<PlantModel>,
}

/// The role could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A topic is missing or cannot be asked about.
    #[error("the exporter cannot use topic {topic}")]
    Topic {
        /// Which.
        topic: &'static str,
        /// Why.
        source: TopicError,
    },
    /// A topic cannot be read.
    #[error("the exporter cannot read topic {topic}")]
    Read {
        /// Which.
        topic: &'static str,
        /// Why.
        source: ReadError,
    },
    /// A file of the Alertmanager's settings cannot be used.
    #[error("the exporter cannot tell Alertmanager of incidents")]
    Alertmanager(#[from] FileError),
}

/// The role ended badly.
#[derive(Debug, thiserror::Error)]
#[error("the exporter ended")]
pub struct RunError(#[from] TaskError);

/// Built, not yet running.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    shards: Arc<[Shard]>,
    board: Arc<Mutex<IncidentBoard>>,
    rooms: Arc<Mutex<RoomTable>>,
    pager: Option<Pager>,
    metrics: RoleMetrics,
    catch_up: CatchUp,
    clock: Clock,
    input: Follow,
    states: Follow,
    events: Follow,
    plant: Follow,
}

impl Exporter {
    /// Opens the topics and registers the plant values with the metrics; reads nothing yet.
    pub async fn build(settings: Settings, deps: Deps) -> Result<Self, BuildError> {
        let topic = topics::INPUT;
        let partitions =
            deps.log.partitions(topic).await.map_err(|source| BuildError::Topic { topic, source })?;
        let privacy = Privacy::new(&deps.plant);
        let started = deps.clock.now();
        let shards: Arc<[Shard]> = (0..partitions)
            .map(|partition| Shard {
                partition: PartitionId(partition),
                table: Mutex::new(LiveTable::new(settings.live, privacy.clone())),
                last_heartbeat: Mutex::new(started),
            })
            .collect();
        let back = ReadBack::Last(settings.read_back_records);
        let input = open(&deps.log, topics::INPUT, back).await?;
        let states = open(&deps.log, topics::INCIDENTS, ReadBack::All).await?;
        // States come from the compacted topic; the events' topic brings statuses and what is new.
        let events = open(&deps.log, topics::INCIDENT_EVENTS, ReadBack::Last(1_000)).await?;
        let plant = open(&deps.log, topics::PLANT, ReadBack::All).await?;
        let pager = match settings.alertmanager.clone() {
            Some(alertmanager) => Some(Pager::open(alertmanager, &deps.metrics, deps.clock).await?),
            None => None,
        };
        let mut rooms = RoomTable::default();
        rooms.set_plant(&deps.plant);
        let topics = [topics::INPUT, topics::INCIDENTS, topics::INCIDENT_EVENTS, topics::PLANT];
        let exporter = Self {
            shards,
            rooms: Arc::new(Mutex::new(rooms)),
            pager,
            board: Arc::new(Mutex::new(IncidentBoard::new(settings.board))),
            metrics: RoleMetrics::register(&deps.metrics),
            catch_up: CatchUp::new(deps.health, PART, topics),
            clock: deps.clock,
            settings,
            input,
            states,
            events,
            plant,
        };
        exporter.add_source(&deps.metrics);
        Ok(exporter)
    }

    fn add_source(&self, registry: &Metrics) {
        let writer = Mutex::new(PlantWriter::new(TextBounds {
            series_max: self.settings.series_max,
            freshness_signals_max: self.settings.freshness_signals_max,
        }));
        let (shards, board, rooms) =
            (Arc::clone(&self.shards), Arc::clone(&self.board), Arc::clone(&self.rooms));
        let (metrics, clock) = (self.metrics.clone(), self.clock);
        registry.add_source(TEXT_FAMILIES, move |out| {
            let begun = clock.instant();
            let now = clock.now();
            let written = lock(&writer).write(&shards, now, out);
            write_heartbeats(&shards, now, out);
            let counts = {
                let board = lock(&board);
                write_incidents(&board, now, out);
                board.counts()
            };
            let rooms = lock(&rooms);
            write_rooms(&rooms, now, out);
            metrics.bring_up_to(counts, rooms.refused());
            let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            metrics.series.set(gauge(written.series));
            metrics.series_dropped.set(gauge(written.dropped));
            metrics.signals.set(gauge(written.signals));
            metrics.freshness_omitted.set(i64::from(written.freshness_omitted));
            metrics.render_seconds.observe(clock.instant().duration_since(begun).as_secs_f64());
        });
    }

    /// Reads until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let mut tasks = Tasks::new(shutdown.child());
        let stop = tasks.shutdown().clone();
        let metrics = self.metrics;
        let follower = Follower {
            shards: Arc::clone(&self.shards),
            board: self.board,
            rooms: Arc::clone(&self.rooms),
            pager: self.pager,
            metrics: metrics.clone(),
            catch_up: self.catch_up,
            shutdown: stop.clone(),
        };
        tasks.spawn("exporter: input", follower.clone().input(self.input));
        tasks.spawn("exporter: incidents", follower.clone().incidents(self.states, topics::INCIDENTS));
        tasks.spawn("exporter: incidents", follower.clone().incidents(self.events, topics::INCIDENT_EVENTS));
        if let Some(pager) = &follower.pager {
            pager.spawn(&mut tasks);
        }
        tasks.spawn("exporter: plant model", follower.plant(self.plant));
        let forgetting = Forgetting { shards: self.shards, rooms: self.rooms, clock: self.clock, metrics };
        tasks.spawn("exporter: forgetting", forgetting.run(stop));
        tasks.join(DRAIN).await?;
        Ok(())
    }
}

async fn open(log: &Log, topic: &'static str, back: ReadBack) -> Result<Follow, BuildError> {
    follow::open(log, topic, back).await.map_err(|source| BuildError::Read { topic, source })
}

struct Forgetting {
    shards: Arc<[Shard]>,
    rooms: Arc<Mutex<RoomTable>>,
    clock: Clock,
    metrics: RoleMetrics,
}

impl Forgetting {
    async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let mut interval = tokio::time::interval(FORGET_INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.begun() => return Ok(()),
                _ = interval.tick() => {}
            }
            let now = self.clock.now();
            for shard in self.shards.iter() {
                let mut table = lock(&shard.table);
                let before = table.counts();
                table.forget_silent(now);
                self.metrics.add_live(before, table.counts());
            }
            lock(&self.rooms).forget(now);
        }
    }
}
