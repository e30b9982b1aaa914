//! What requests share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use heat_archive::Archive;
use heat_log::Log;
use heat_model::{
    NetworkId, SiteId,
    plant::{Network, PlantModel, Site},
};
use heat_runtime::{Clock, admin::Health};
use heat_view::{IncidentBoard, LiveTable};
use tokio::sync::Semaphore;

use crate::{
    auth::Users,
    commands::{Commander, Outcomes},
    events::EventHub,
    letters::{LetterIndex, requeue::Requeuer},
    metrics::RoleMetrics,
    role::AuditSource,
    settings::Settings,
};

/// Everything behind the routes; cheap to clone.
pub(crate) type ApiState = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    /// Replaced whole when another plant model is in force.
    pub(crate) plant: Mutex<Arc<PlantIndex>>,
    /// One table a partition of the input.
    pub(crate) tables: Vec<Mutex<LiveTable>>,
    pub(crate) board: Mutex<IncidentBoard>,
    pub(crate) hub: Mutex<EventHub>,
    pub(crate) outcomes: Outcomes,
    pub(crate) commander: Commander,
    pub(crate) log: Log,
    pub(crate) letters: Mutex<LetterIndex>,
    pub(crate) requeuer: Requeuer,
    pub(crate) archive: Option<Archive>,
    pub(crate) history: Arc<Semaphore>,
    pub(crate) audit: Option<AuditSource>,
    pub(crate) metrics: RoleMetrics,
    pub(crate) clock: Clock,
    pub(crate) readiness: Readiness,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// The plant model in force.
    pub(crate) fn plant(&self) -> Arc<PlantIndex> {
        Arc::clone(&lock(&self.plant))
    }
}

/// Which topics have been read up to where they ended at the start.
#[derive(Debug)]
pub(crate) struct Readiness {
    health: Health,
    parts: [(&'static str, AtomicBool); 6],
}

impl Readiness {
    pub(crate) fn new(health: Health, topics: [&'static str; 6]) -> Self {
        Self { health, parts: topics.map(|topic| (topic, AtomicBool::new(false))) }
    }

    pub(crate) fn say(&self) {
        let behind: Vec<_> = self.behind().collect();
        let state = serde_json::json!({ "reading_back": behind }).to_string();
        self.health.set("api", behind.is_empty(), state);
    }

    pub(crate) fn caught_up(&self, topic: &str) {
        for (name, done) in &self.parts {
            if *name == topic {
                done.store(true, Ordering::Release);
            }
        }
        self.say();
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.behind().next().is_none()
    }

    fn behind(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter(|(_, done)| !done.load(Ordering::Acquire)).map(|(name, _)| *name)
    }
}

/// The plant model's rows by id.
#[derive(Debug, Default)]
pub(crate) struct PlantIndex {
    pub(crate) networks: BTreeMap<NetworkId, Network>,
    pub(crate) sites: BTreeMap<SiteId, Site>,
}

impl PlantIndex {
    pub(crate) fn new(plant: &PlantModel) -> Self {
        Self {
            networks: plant.networks.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            sites: plant.sites.iter().map(|row| (row.id.clone(), row.clone())).collect(),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
