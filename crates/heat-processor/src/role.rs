//! The processor's loop: reads, publishes, stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use heat_archive::{Archive, ArchiveError};
use heat_detect::{Counters, Forgotten, Output, RestoreError};
use heat_log::{
    AppendError, Appender, AppenderSettings, Consumer, Log, LogEvent, Membership, ReadError, Record, topics,
};
use heat_model::{
    PartitionId, Position,
    incident::{ChangeKind, Priority},
    plant::PlantModel,
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use tokio::time::MissedTickBehavior;

use crate::{
    metrics::{ProcessorMetrics, promise},
    models::Models,
    part::{Part, Taken},
    settings::ProcessorSettings,
    snapshot::SnapshotError,
};

mod store;
mod take_up;

use store::{States, next_written};
use take_up::TakeUp;

const PART: &str = "processor";

/// The processor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The log takes no records.
    #[error("the processor cannot append to the log")]
    Append(#[from] AppendError),
}

/// The processor ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log cannot be read.
    #[error("the processor cannot read the log")]
    Read(#[from] ReadError),
    /// The log takes no outputs.
    #[error("the processor cannot publish")]
    Append(#[from] AppendError),
    /// The stored state cannot be used.
    #[error("the processor cannot restore the state of partition {}", .partition.0)]
    Snapshot {
        /// Of which partition.
        partition: PartitionId,
        /// Why.
        source: SnapshotError,
    },
    /// The archive cannot be read.
    #[error("the processor cannot rebuild the state of partition {} from the archive", .partition.0)]
    Rebuild {
        /// Of which partition.
        partition: PartitionId,
        /// Why.
        source: ArchiveError,
    },
    /// The stored state is not this core's.
    #[error("the processor cannot restore the state of partition {}", .partition.0)]
    Restore {
        /// Of which partition.
        partition: PartitionId,
        /// Why.
        source: RestoreError,
    },
}

/// One partition in work.
struct Running {
    part: Part,
    states: States,
    counted: (u64, u64),
    /// Late readings already counted, not judged and judged.
    late: (u64, u64),
    suppressed: u64,
    counters: Counters,
    /// Shutdown began while a plant model was waited for: nothing behind that record may be taken.
    halted: bool,
}

/// Opened, not yet running.
#[derive(Debug)]
pub struct Processor {
    settings: ProcessorSettings,
    plant: Arc<PlantModel>,
    log: Log,
    models: Models,
    /// Of outputs.
    appender: Appender,
    /// Of snapshots.
    states: Appender,
    clock: Clock,
    metrics: ProcessorMetrics,
    health: Health,
    rebuild: Option<Rebuild>,
}

/// Where states are rebuilt from, and which were.
#[derive(Debug)]
struct Rebuild {
    archive: Archive,
    done: Mutex<BTreeSet<PartitionId>>,
}

impl Processor {
    /// Opens the log for appending.
    pub async fn build(
        settings: ProcessorSettings,
        plant: Arc<PlantModel>,
        log: Log,
        clock: Clock,
        metrics: &Metrics,
        health: Health,
    ) -> Result<Self, BuildError> {
        let outputs = [topics::INCIDENT_EVENTS, topics::INCIDENTS];
        let appender = log.appender(&outputs, AppenderSettings::default()).await?;
        let states = log.appender(&[topics::STATE], store::appender_settings()).await?;
        health.set(PART, false, "");
        let metrics = ProcessorMetrics::register(metrics);
        metrics.budget.set(settings.detect.false_pages_per_month);
        promise(&metrics, &settings.detect);
        let models = Models::new(log.clone());
        Ok(Self { settings, plant, log, models, appender, states, clock, metrics, health, rebuild: None })
    }

    /// Takes no stored state, but rebuilds it from this archive, once for each partition that it takes up.
    #[must_use]
    pub fn rebuilding_from(self, archive: Archive) -> Self {
        Self { rebuild: Some(Rebuild { archive, done: Mutex::default() }), ..self }
    }

    /// Runs until shutdown, then stores the state of every partition.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let group = Membership::Group("heat-processor".to_owned());
        let mut consumer = self.log.consumer(topics::INPUT, group, self.settings.reading.clone()).await?;
        let mut parts: BTreeMap<PartitionId, Running> = BTreeMap::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.health.set(PART, true, "");
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => break,
                _ = tick.tick() => self.count(&mut parts).await?,
                written = next_written(&mut parts) => {
                    let (partition, written) = written?;
                    let running = parts.get_mut(&partition).expect("its task was one of these");
                    self.stored(&mut consumer, partition, running, &written)?;
                }
                event = consumer.next_in_time() => match event? {
                    LogEvent::Assigned(partition) => {
                        match self.assigned_in_time(&mut consumer, partition, &shutdown).await? {
                            TakeUp::Ready(running) => {
                                parts.insert(partition, *running);
                            }
                            TakeUp::Gone => {}
                            TakeUp::GivenUp => break,
                        }
                    }
                    LogEvent::Revoked(partition) => {
                        if let Some(mut running) = parts.remove(&partition) {
                            self.store(&mut consumer, partition, &mut running).await?;
                        }
                    }
                    LogEvent::Records { partition, records, .. } => {
                        if let Some(running) = parts.get_mut(&partition) {
                            self.records(partition, running, records, &shutdown).await?;
                        }
                        self.store_if_due(partition, &mut parts);
                    }
                },
            }
        }
        self.drain(&mut consumer, &mut parts, &shutdown).await
    }

    async fn drain(
        &self,
        consumer: &mut Consumer,
        parts: &mut BTreeMap<PartitionId, Running>,
        shutdown: &Shutdown,
    ) -> Result<(), RunError> {
        self.health.set(PART, false, "{\"draining\":true}");
        let mut ends = BTreeMap::new();
        let deadline = self.clock.instant() + self.settings.drain;
        for partition in parts.keys() {
            let left = deadline.saturating_duration_since(self.clock.instant());
            // A log that does not answer in time keeps what waits.
            if let Ok(bounds) =
                tokio::time::timeout(left, self.log.bounds_in_time(topics::INPUT, *partition)).await
            {
                ends.insert(*partition, bounds?.end);
            }
        }
        while parts.iter().any(|(id, running)| {
            !running.halted && ends.get(id).is_some_and(|end| running.part.next_offset() < *end)
        }) {
            let left = deadline.saturating_duration_since(self.clock.instant());
            let Ok(event) = tokio::time::timeout(left, consumer.next()).await else { break };
            if let LogEvent::Records { partition, records, .. } = event?
                && let Some(running) = parts.get_mut(&partition)
            {
                self.records(partition, running, records, shutdown).await?;
            }
        }
        for (partition, running) in parts {
            self.store(consumer, *partition, running).await?;
        }
        Ok(())
    }

    async fn records(
        &self,
        partition: PartitionId,
        running: &mut Running,
        records: Vec<Record>,
        shutdown: &Shutdown,
    ) -> Result<(), RunError> {
        let mut out = Vec::new();
        for Record { offset, append_time, payload, .. } in records {
            if running.halted {
                return Ok(());
            }
            let position = Position { partition, offset, append_time };
            let mut taken = running.part.take(&position, payload.clone(), &mut out);
            if let Ok(Taken::LacksModel(hash)) = taken {
                let Some(model) = self.models.get(hash, (&self.health, PART), shutdown).await? else {
                    running.halted = true;
                    return Ok(());
                };
                running.part.offer_model(hash, model);
                tracing::info!(partition = partition.0, offset = offset.0, model = %hash, "plant model activated");
                taken = running.part.take(&position, payload, &mut out);
            }
            if let Err(error) = taken {
                tracing::error!(partition = partition.0, offset = offset.0, %error, "undecodable record");
                self.metrics.undecodable.inc();
            }
            for output in out.drain(..) {
                self.publish(partition, &output).await?;
            }
        }
        Ok(())
    }

    async fn publish(&self, partition: PartitionId, output: &Output) -> Result<(), RunError> {
        let json =
            |value: serde_json::Result<Vec<u8>>| Bytes::from(value.expect("outputs have string keys only"));
        let (kind, key) = match output {
            Output::Event(event) => ("event", Some(event.incident.network.to_string())),
            Output::Status(status) => ("status", Some(status.network.to_string())),
            Output::Refused(refusal) => ("refused", refusal.network.as_ref().map(ToString::to_string)),
            Output::Ticket(link) => ("ticket", Some(link.network.to_string())),
            Output::Forgotten(forgotten) => return self.forget(partition, forgotten).await,
        };
        self.metrics.outputs.with_label_values(&[kind]).inc();
        if let Output::Event(event) = output
            && matches!(event.change.kind, ChangeKind::Opened | ChangeKind::Reopened | ChangeKind::Escalated)
        {
            let priority = match event.incident.priority {
                Priority::P1 => "P1",
                Priority::P2 => "P2",
                Priority::P3 => "P3",
                Priority::P4 => "P4",
            };
            self.metrics.opened.with_label_values(&[priority]).inc();
        }
        let payload = json(serde_json::to_vec(output));
        self.appender.append(topics::INCIDENT_EVENTS, partition, key.map(Bytes::from), payload).await?;
        if let Output::Event(event) = output {
            let key = Bytes::from(event.incident.id.to_string());
            let payload = json(serde_json::to_vec(&event.incident));
            self.appender.append(topics::INCIDENTS, partition, Some(key), payload).await?;
            tracing::info!(
                incident = %event.incident.id,
                class = event.incident.class.as_str(),
                network = %event.incident.network,
                change = ?event.change.kind,
                "{}", event.incident.text_en
            );
        }
        Ok(())
    }

    /// Takes an incident's state out of its topic, which else would grow for ever.
    async fn forget(&self, partition: PartitionId, forgotten: &Forgotten) -> Result<(), RunError> {
        self.metrics.outputs.with_label_values(&["forgotten"]).inc();
        let key = Bytes::from(forgotten.incident.to_string());
        self.appender.append(topics::INCIDENTS, partition, Some(key), Bytes::new()).await?;
        Ok(())
    }

    async fn count(&self, parts: &mut BTreeMap<PartitionId, Running>) -> Result<(), RunError> {
        for (partition, running) in parts {
            let admitted = running.part.admitted();
            let repeated = admitted.repeated_readings + admitted.redelivered_readings;
            self.metrics.taken.inc_by(admitted.readings - running.counted.0);
            self.metrics.repeated.inc_by(repeated - running.counted.1);
            running.counted = (admitted.readings, repeated);
            let Counters { late, late_judged, .. } = running.part.core().counters();
            self.metrics.late_unjudged.inc_by(late - running.late.0);
            self.metrics.late_judged.inc_by(late_judged - running.late.1);
            running.late = (late, late_judged);
            self.metrics.suppressed.inc_by(running.part.suppressed() - running.suppressed);
            running.suppressed = running.part.suppressed();
            let counters = running.part.core().counters();
            self.metrics.add_counters(running.counters, counters);
            running.counters = counters;
            let end = match self.log.bounds(topics::INPUT, *partition).await {
                Ok(bounds) => bounds.end,
                // The lag is not known then; reading itself goes on or waits.
                Err(error) if error.is_passing() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let lag = end.0.saturating_sub(running.part.next_offset().0);
            let number = partition.0.to_string();
            let networks = i64::try_from(running.part.core().networks().count()).unwrap_or(i64::MAX);
            self.metrics.networks.with_label_values(&[&number]).set(networks);
            self.metrics.lag.with_label_values(&[&number]).set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
