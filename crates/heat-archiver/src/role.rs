//! The archiver's wiring: one feed a topic.

use std::sync::{Arc, atomic::AtomicI64};

use heat_archive::{Archive, ArchiveError, Households};
use heat_log::Log;
use heat_model::plant::PlantModel;
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use tokio::sync::watch;

use crate::{
    deps::Deps,
    feed::{Feed, Kind},
    homes,
    maintain::{Maintenance, Own},
    metrics::ArchiverMetrics,
    settings::ArchiverSettings,
};

pub use crate::feed::FeedError as RunError;

pub(crate) const PART: &str = "archiver";

/// The archiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The archive cannot be opened.
    #[error("the archiver cannot open the archive")]
    Archive(#[from] ArchiveError),
}

/// Opened, not yet running.
pub struct Archiver {
    deps: Deps,
    homes: watch::Sender<Households>,
}

impl std::fmt::Debug for Archiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archiver").field("settings", &self.deps.settings).finish_non_exhaustive()
    }
}

impl Archiver {
    /// Opens the archive. `plant` tells homes until the log names a model.
    pub async fn build(
        settings: ArchiverSettings,
        log: Log,
        clock: Clock,
        plant: &PlantModel,
        metrics: &Metrics,
        health: Health,
    ) -> Result<Self, BuildError> {
        let archive = Archive::open(settings.location.clone()).await?;
        health.set(PART, false, "");
        let metrics = ArchiverMetrics::register(metrics);
        let log_time = Arc::new(AtomicI64::new(0));
        let (homes, homes_now) = watch::channel(homes::households(plant));
        let own = Own::default();
        let deps = Deps { settings, log, archive, metrics, health, clock, log_time, own, homes: homes_now };
        Ok(Self { deps, homes })
    }

    /// Runs until shutdown, then publishes what is open.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        self.deps.health.set(PART, true, "");
        let [input, rejected, events, incidents] =
            Kind::ALL.map(|kind| Feed::new(kind, self.deps.clone()).run(shutdown.clone()));
        let homes = homes::follow(self.deps.log.clone(), self.homes, shutdown.clone());
        let maintenance = self.deps.settings.compaction.clone().map(|settings| Maintenance {
            settings,
            archive: self.deps.archive.clone(),
            own: Arc::clone(&self.deps.own),
            metrics: self.deps.metrics.clone(),
            clock: self.deps.clock,
        });
        let maintained = async {
            if let Some(maintenance) = maintenance {
                maintenance.run(shutdown.clone()).await;
            }
            Ok(())
        };
        let homes = async { homes.await.map_err(RunError::from) };
        let ended = tokio::try_join!(input, rejected, events, incidents, homes, maintained);
        self.deps.health.set(PART, false, "");
        ended.map(|_| ())
    }
}
