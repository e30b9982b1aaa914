//! Taking a partition up: its stored state, or one rebuilt from the archive, and what was said already.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use heat_archive::Archive;
use heat_detect::{Counters, Output, PartitionCore};
use heat_ledger::admission::Admission;
use heat_log::{Consumer, ConsumerSettings, Log, ReadError, Record, Scan, StartFrom, topics};
use heat_model::{Body, IncidentId, PartitionId, incident::Incident, record::NextOffset};
use heat_runtime::Shutdown;

use super::{
    PART, Processor, Rebuild, RunError, Running,
    store::{Said, States},
};
use crate::{
    part::{OutputPlace, Part, place},
    snapshot::{self, POINTER_KEY, Pointer, chunk_place},
};

/// A core to go on with.
struct TakenUp {
    core: PartitionCore,
    /// The stored state that it was restored from.
    from: Option<Pointer>,
    /// Where the input goes on; the log's beginning without.
    resume: Option<NextOffset>,
}

/// What the state topic holds of a partition.
struct Stored {
    pointer: Option<Bytes>,
    /// By generation and number.
    chunks: BTreeMap<(u64, u32), Bytes>,
    /// The newest generation of which anything was written.
    generation: u64,
}

/// How taking a partition up ended.
pub(super) enum TakeUp {
    /// It is in work.
    Ready(Box<Running>),
    /// It went to another member meanwhile; if it comes back, it is assigned again.
    Gone,
    /// Shutdown began before it could.
    GivenUp,
}

impl Processor {
    /// Takes a partition up, however long Kafka does not answer.
    pub(super) async fn assigned_in_time(
        &self,
        consumer: &mut Consumer,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<TakeUp, RunError> {
        loop {
            match self.assigned(consumer, partition, shutdown).await {
                Err(RunError::Read(error)) if error.is_passing() => {
                    tracing::warn!(%error, partition = partition.0, "Kafka does not answer; asking again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn assigned(
        &self,
        consumer: &mut Consumer,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<TakeUp, RunError> {
        let stored = Stored::read(&self.log, partition).await?;
        // Numbered on by the clock: an owner that lost the partition and does not know it yet gives others.
        let generation = stored.generation.max(u64::try_from(self.clock.now().as_micros()).unwrap_or(0));
        let chunks = stored.counts();
        let taken_up = match self.rebuilds(partition) {
            Some(archive) => {
                drop(stored);
                self.rebuild(archive, partition, shutdown).await?
            }
            None => self.restored(stored, partition, shutdown).await?,
        };
        let Some(TakenUp { core, from: pointer, resume }) = taken_up else {
            return Ok(TakeUp::GivenUp);
        };
        // Of a log that was replaced, everything below would pass for taken.
        let reached = resume.unwrap_or_default();
        let bounds = self.log.bounds_reaching(topics::INPUT, partition, reached).await?;
        let resume = resume.unwrap_or(bounds.first);
        let outputs_from = pointer.map(|pointer| pointer.outputs_next).unwrap_or_default();
        let (said, outputs_next) = self.said_since(partition, outputs_from).await?;
        let from = Admission::read_back(&self.settings.repeats, resume).max(bounds.first);
        if resume < bounds.first {
            let (topic, asked, first) = (topics::INPUT.to_owned(), resume, bounds.first);
            return Err(ReadError::Trimmed { topic, partition, asked, first }.into());
        }
        match consumer.start_in_time(partition, StartFrom::Offset(from)).await {
            Ok(_) => {}
            Err(ReadError::NotAssigned { .. }) => return Ok(TakeUp::Gone),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(partition = partition.0, resume = resume.0, from = from.0, "processing");
        let whole = pointer.map(|pointer| (pointer.generation, pointer.input_next));
        Ok(TakeUp::Ready(Box::new(Running {
            states: States::new(
                chunks,
                whole,
                generation,
                (said.map(|(last, _)| Said { last, from: outputs_from }), outputs_next),
                core.now(),
            ),
            part: Part::new(core, self.settings.repeats, resume, said),
            counted: (0, 0),
            late: (0, 0),
            suppressed: 0,
            counters: Counters::default(),
            halted: false,
        })))
    }

    async fn restored(
        &self,
        stored: Stored,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<Option<TakenUp>, RunError> {
        let mut core = PartitionCore::new(self.settings.detect.clone(), Arc::clone(&self.plant));
        let Some(pointer) = &stored.pointer else {
            return Ok(Some(TakenUp { core, from: None, resume: None }));
        };
        let failed = |source| RunError::Snapshot { partition, source };
        let pointer = snapshot::read_pointer(pointer).map_err(failed)?;
        let chunk = |number| stored.chunks.get(&(pointer.generation, number)).cloned();
        let state = snapshot::decode(&pointer, chunk).map_err(failed)?;
        if let Some(hash) = state.model() {
            let Some(model) = self.models.get(hash, (&self.health, PART), shutdown).await? else {
                return Ok(None);
            };
            core.offer_model(hash, model);
        }
        core.restore(state).map_err(|source| RunError::Restore { partition, source })?;
        Ok(Some(TakenUp { core, from: Some(pointer), resume: Some(pointer.input_next) }))
    }

    /// The last output that was published, at or after `from`, and where the outputs end.
    async fn said_since(
        &self,
        partition: PartitionId,
        from: NextOffset,
    ) -> Result<(Option<OutputPlace>, NextOffset), RunError> {
        let bounds = self.log.bounds(topics::INCIDENT_EVENTS, partition).await?;
        let from = from.max(bounds.first);
        let mut scan = scan(&self.log, topics::INCIDENT_EVENTS, partition, from, bounds.end).await?;
        let mut said = None;
        while let Some(records) = scan.next().await? {
            for record in records {
                if let Ok(output) = serde_json::from_slice::<Output>(&record.payload) {
                    said = said.max(place(&output));
                }
            }
        }
        Ok((said, bounds.end))
    }

    /// Whether this partition's state is to be rebuilt: once.
    fn rebuilds(&self, partition: PartitionId) -> Option<&Archive> {
        let Rebuild { archive, done } = self.rebuild.as_ref()?;
        let is_done = done.lock().unwrap_or_else(PoisonError::into_inner).contains(&partition);
        (!is_done).then_some(archive)
    }

    /// A core that has seen what the archive holds of the partition, and knows the incidents as they were published.
    ///
    /// The archive keeps no heartbeats, so the rebuilt core's clock ticks from reading to reading. What it would say
    /// anew about the past is not said; incidents are those that people know, by their ids.
    async fn rebuild(
        &self,
        archive: &Archive,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<Option<TakenUp>, RunError> {
        let failed = |source| RunError::Rebuild { partition, source };
        let core = PartitionCore::new(self.settings.detect.clone(), Arc::clone(&self.plant));
        let mut part = Part::new(core, self.settings.repeats, NextOffset(0), None);
        let pieces = archive.pieces(topics::INPUT, partition).await.map_err(failed)?;
        tracing::info!(partition = partition.0, "rebuilding the state from the archive");
        let (mut unsaid, mut resume) = (Vec::new(), None);
        for piece in &pieces {
            let records = archive.replay(topics::INPUT, partition, piece.offsets).await.map_err(failed)?;
            for (position, envelope) in records {
                if let Body::ModelActivated(hash) = envelope.body
                    && !part.core().has_model(hash)
                {
                    let Some(model) = self.models.get(hash, (&self.health, PART), shutdown).await? else {
                        return Ok(None);
                    };
                    part.offer_model(hash, model);
                }
                part.take_envelope(&position, &envelope, &mut unsaid);
                unsaid.clear();
            }
            resume = Some(piece.offsets.last.next());
            if shutdown.has_begun() {
                return Ok(None);
            }
        }
        let mut core = part.into_core();
        core.adopt_incidents(self.published(partition).await?);
        if let Some(Rebuild { done, .. }) = &self.rebuild {
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(partition);
        }
        Ok(Some(TakenUp { core, from: None, resume }))
    }

    /// The partition's incidents as readers know them.
    async fn published(&self, partition: PartitionId) -> Result<Vec<Incident>, RunError> {
        let bounds = self.log.bounds(topics::INCIDENTS, partition).await?;
        let mut scan = scan(&self.log, topics::INCIDENTS, partition, bounds.first, bounds.end).await?;
        let mut incidents: BTreeMap<IncidentId, Incident> = BTreeMap::new();
        while let Some(records) = scan.next().await? {
            for record in records {
                if record.payload.is_empty() {
                    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
                    if let Some(gone) = key.and_then(|key| key.parse().ok()) {
                        incidents.remove(&gone);
                    }
                    continue;
                }
                match serde_json::from_slice::<Incident>(&record.payload) {
                    Ok(incident) => {
                        incidents.insert(incident.id, incident);
                    }
                    Err(error) => tracing::warn!(%error, offset = record.offset.0, "not an incident"),
                }
            }
        }
        Ok(incidents.into_values().collect())
    }
}

impl Stored {
    async fn read(log: &Log, partition: PartitionId) -> Result<Self, RunError> {
        let bounds = log.bounds(topics::STATE, partition).await?;
        let mut scan = scan(log, topics::STATE, partition, bounds.first, bounds.end).await?;
        let mut stored = Self { pointer: None, chunks: BTreeMap::new(), generation: 0 };
        while let Some(records) = scan.next().await? {
            for Record { key, payload, .. } in records {
                let Some(key) = key else { continue };
                if key == POINTER_KEY.as_bytes() {
                    stored.pointer = Some(payload);
                    continue;
                }
                let Some(place) = chunk_place(&key) else { continue };
                stored.generation = stored.generation.max(place.0);
                if payload.is_empty() {
                    stored.chunks.remove(&place);
                } else {
                    stored.chunks.insert(place, Bytes::copy_from_slice(&payload));
                }
            }
        }
        Ok(stored)
    }

    /// How many chunks of each generation there may be.
    fn counts(&self) -> BTreeMap<u64, u32> {
        self.chunks.keys().map(|(generation, number)| (*generation, number + 1)).collect()
    }
}

async fn scan(
    log: &Log,
    topic: &str,
    partition: PartitionId,
    from: NextOffset,
    to: NextOffset,
) -> Result<Scan, ReadError> {
    log.scan(topic, partition, StartFrom::Offset(from), to, ConsumerSettings::default()).await
}
