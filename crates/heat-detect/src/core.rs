//! The core of one partition: all networks whose records meet there.

use std::{collections::BTreeMap, sync::Arc};

use heat_model::{
    AppendTime, Body, Envelope, NetworkId, Offset, Origin, Position,
    plant::{PlantHash, PlantModel},
};
use serde::{Deserialize, Serialize};

use crate::{Counters, DetectSettings, FreshMask, Output};

/// Version of the snapshot's layout; a change of any type in it raises it.
pub const SNAPSHOT_VERSION: u32 = 1;

/// A snapshot cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was written by another version of the core.
    #[error(
        "the snapshot has layout {found}, this program reads {SNAPSHOT_VERSION}: rebuild the state from the archive"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// It was taken under a plant model that was not offered.
    #[error("the snapshot was taken with plant model {0}, which was not offered: offer it before restoring")]
    UnknownModel(PlantHash),
}

/// What survives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    now: AppendTime,
    last: Option<LastRecord>,
    model: Option<PlantHash>,
}

/// The record whose place the outputs take; those of a tick follow the record before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LastRecord {
    offset: Offset,
    origin: Origin,
    next_ordinal: u32,
}

/// State of a core, borrowed, to be serialised.
#[derive(Debug, Serialize)]
pub struct SnapshotRef<'a> {
    version: u32,
    state: &'a State,
}

/// State of a core, owned, as it was deserialised.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    state: State,
}

/// The core of one partition.
#[derive(Debug)]
pub struct PartitionCore {
    settings: DetectSettings,
    base: Arc<PlantModel>,
    offered: BTreeMap<PlantHash, Arc<PlantModel>>,
    plant: Arc<PlantModel>,
    state: State,
    counters: Counters,
}

impl PartitionCore {
    /// A core without any history. `plant` holds until the first `ModelActivated`; an empty model is L0.
    pub fn new(settings: DetectSettings, plant: Arc<PlantModel>) -> Self {
        Self {
            settings,
            base: Arc::clone(&plant),
            offered: BTreeMap::new(),
            plant,
            state: State::default(),
            counters: Counters::default(),
        }
    }

    /// Makes a plant model known, so that a later `ModelActivated` (or a restore) can switch to it.
    pub fn offer_model(&mut self, hash: PlantHash, plant: Arc<PlantModel>) {
        self.offered.insert(hash, plant);
    }

    /// Takes one record. Ticks up to its append time's second must have been given before.
    pub fn observe(&mut self, position: &Position, envelope: &Envelope, fresh: &FreshMask, out: &mut Vec<Output>) {
        let _ = (&self.settings, fresh, out);
        self.state.now = self.state.now.max(position.append_time);
        self.state.last =
            Some(LastRecord { offset: position.offset, origin: envelope.origin.clone(), next_ordinal: 0 });
        if let Body::Readings(readings) = &envelope.body {
            self.counters.readings += readings.readings.len() as u64;
        }
    }

    /// Time passes: one call for every second of append time crossed, before the record that crosses it.
    pub fn tick(&mut self, second: i64, out: &mut Vec<Output>) {
        let _ = out;
        let now = AppendTime::from_micros(second.saturating_mul(heat_model::time::MICROS_PER_SECOND));
        self.state.now = self.state.now.max(now);
    }

    /// The state, to be serialised with any serde format that keeps NaN out of its way (postcard, JSON).
    pub fn snapshot(&self) -> SnapshotRef<'_> {
        SnapshotRef { version: SNAPSHOT_VERSION, state: &self.state }
    }

    /// Continues where a snapshot was taken; models must have been offered before.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<(), RestoreError> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(RestoreError::Version { found: snapshot.version });
        }
        self.plant = match snapshot.state.model {
            None => Arc::clone(&self.base),
            Some(hash) => Arc::clone(self.offered.get(&hash).ok_or(RestoreError::UnknownModel(hash))?),
        };
        self.state = snapshot.state;
        Ok(())
    }

    /// *Now*: the running maximum of append time.
    pub fn now(&self) -> AppendTime {
        self.state.now
    }

    /// Counts since the core was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Networks seen so far, in order of their first record.
    pub fn networks(&self) -> Vec<NetworkId> {
        Vec::new()
    }
}
