//! What the feeds of all topics share, and their patience with the store.

use std::{
    sync::{Arc, PoisonError, atomic::AtomicI64},
    time::Duration,
};

use heat_archive::{Archive, ArchiveError, Households, archive::Disposition};
use heat_log::Log;
use heat_model::{GatewayId, IngestTime};
use heat_runtime::{Clock, Shutdown, admin::Health, tasks::Chain};
use tokio::sync::watch;

use crate::{maintain::Own, metrics::ArchiverMetrics, role::PART, settings::ArchiverSettings};

/// What a feed needs.
#[derive(Clone)]
pub(crate) struct Deps {
    pub(crate) settings: ArchiverSettings,
    pub(crate) log: Log,
    pub(crate) archive: Archive,
    pub(crate) metrics: ArchiverMetrics,
    pub(crate) health: Health,
    pub(crate) clock: Clock,
    /// The log's time as the input's heartbeats tell it: closes commits of topics where nothing happens.
    pub(crate) log_time: Arc<AtomicI64>,
    /// What this archiver has, for the work on closed dates.
    pub(crate) own: Own,
    /// Which signals belong to homes.
    pub(crate) homes: watch::Receiver<Households>,
}

impl Deps {
    /// Says that these canaries lie in a published commit.
    pub(crate) fn canaries_archived(&self, canaries: impl Iterator<Item = (GatewayId, IngestTime)>) {
        let now = self.clock.now();
        let mut watch = self.metrics.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        canaries.for_each(|(gateway, sent)| watch.seen(&gateway, sent, now, true));
    }

    /// Tries until the store answers; gives up only when shutdown comes and it still does not, or when no waiting helps.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, ArchiveError>>>(
        &self,
        shutdown: &Shutdown,
        attempt: impl Fn() -> F,
    ) -> Result<T, ArchiveError> {
        let mut wait = Duration::from_millis(250);
        loop {
            let too_late = async {
                shutdown.begun().await;
                tokio::time::sleep(self.settings.drain).await;
            };
            let attempted = tokio::select! {
                done = attempt() => done,
                () = too_late => Err(ArchiveError::Silent),
            };
            let error = match attempted {
                Ok(done) => {
                    self.metrics.stalled.set(0);
                    self.health.set(PART, true, "");
                    return Ok(done);
                }
                Err(error) => error,
            };
            if error.disposition() != Disposition::Retry {
                return Err(error);
            }
            tracing::warn!(error = %Chain(&error), "the archive takes nothing; the log keeps what waits");
            self.metrics.stalled.set(1);
            self.health.set(PART, false, "{\"store\":\"stalled\"}");
            if shutdown.has_begun() {
                return Err(error);
            }
            tokio::select! {
                () = shutdown.begun() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(self.settings.retry_max_interval);
        }
    }
}
