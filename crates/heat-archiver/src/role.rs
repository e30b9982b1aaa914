//! The archiver's wiring: one feed a topic.

use std::sync::{Arc, atomic::AtomicI64};

use heat_archive::{Archive, ArchiveError};
use heat_log::Log;
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};

use crate::{
    feed::{Deps, Feed, Kind},
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
#[derive(Debug)]
pub struct Archiver {
    deps: Deps,
}

impl Archiver {
    /// Opens the archive.
    pub async fn build(
        settings: ArchiverSettings,
        log: Log,
        clock: Clock,
        metrics: &Metrics,
        health: Health,
    ) -> Result<Self, BuildError> {
        let archive = Archive::open(&settings.location).await?;
        health.set(PART, false, "");
        let metrics = ArchiverMetrics::register(metrics);
        let log_time = Arc::new(AtomicI64::new(0));
        Ok(Self { deps: Deps { settings, log, archive, metrics, health, clock, log_time } })
    }

    /// Runs until shutdown, then publishes what is open.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        self.deps.health.set(PART, true, "");
        let [input, rejected, events, incidents] =
            Kind::ALL.map(|kind| Feed::new(kind, self.deps.clone()).run(shutdown.clone()));
        let ended = tokio::try_join!(input, rejected, events, incidents);
        self.deps.health.set(PART, false, "");
        ended.map(|_| ())
    }
}
