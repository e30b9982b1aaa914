//! Work on closed dates: compaction, retention and old manifests, at a bounded share of one core, for the partitions that
//! this archiver has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use heat_archive::{
    Archive, ArchiveError, CompactReport, CompactSettings, archive::Disposition, compact::RetentionSettings,
    revise::ReviseStep,
};
use heat_model::{PartitionId, time::MICROS_PER_DAY};
use heat_runtime::{Clock, Shutdown, tasks::Chain};

use crate::{metrics::ArchiverMetrics, settings::CompactionSettings};

/// Partitions that this archiver has, by topic.
pub(crate) type Own = Arc<Mutex<BTreeSet<(String, PartitionId)>>>;

/// Longest rest after a step, whatever the share; a shutdown is heard meanwhile.
const REST_MAX: Duration = Duration::from_hours(24);

pub(crate) struct Maintenance {
    pub(crate) settings: CompactionSettings,
    pub(crate) archive: Archive,
    pub(crate) own: Own,
    pub(crate) metrics: ArchiverMetrics,
    pub(crate) clock: Clock,
}

impl Maintenance {
    /// Runs until shutdown. What fails is tried again the next time; only a fault that no waiting mends is an error of
    /// the archive, and is told each time: archiving goes on without compaction.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(self.settings.every) => {}
            }
            match self.once(&shutdown).await {
                Ok(report) => self.count(&report),
                Err(ArchiveError::Stopped { .. }) => return,
                Err(error) => {
                    self.metrics.compaction_failures.inc();
                    if error.disposition() == Disposition::Retry {
                        tracing::warn!(error = %Chain(&error), "compaction is tried again later");
                    } else {
                        tracing::error!(error = %Chain(&error), "closed dates cannot be compacted");
                    }
                }
            }
        }
    }

    async fn once(&self, shutdown: &Shutdown) -> Result<CompactReport, ArchiveError> {
        let settings = self.compact_settings();
        let retention = RetentionSettings {
            before_day: self.before_days(settings.now_us),
            now_us: settings.now_us,
            partitions: settings.partitions.clone(),
            dry_run: false,
        };
        let (archive, clock, shutdown) = (self.archive.clone(), self.clock, shutdown.clone());
        let share = self.settings.cpu_share_max;
        // Decoding and encoding take seconds: they have a thread of their own.
        let work = move || {
            tokio::runtime::Handle::current().block_on(async move {
                let mut paced = paced(clock, share, shutdown);
                if !retention.before_day.is_empty() {
                    archive.retain(&retention, &mut paced).await?;
                }
                archive.compact(&settings, &mut paced).await
            })
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn compact_settings(&self) -> CompactSettings {
        let now_us = self.clock.now().as_micros();
        let closes_after = i64::try_from(self.settings.closes_after.as_micros()).unwrap_or(i64::MAX);
        let before_day = now_us.saturating_sub(closes_after).div_euclid(MICROS_PER_DAY);
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        CompactSettings {
            grace: self.settings.grace,
            renew_after: self.settings.renew_after,
            partitions: Some(own),
            ..CompactSettings::new(before_day, now_us)
        }
    }

    fn before_days(&self, now_us: i64) -> BTreeMap<heat_archive::Dataset, i64> {
        let today = now_us.div_euclid(MICROS_PER_DAY);
        self.settings.retention_days.iter().map(|(dataset, days)| (*dataset, today - days)).collect()
    }

    fn count(&self, report: &CompactReport) {
        let metrics = &self.metrics;
        metrics.compacted_rows.inc_by(report.rows);
        metrics.compacted_files.inc_by(report.files_before as u64);
        metrics.compaction_repeats.inc_by(report.repeats);
        metrics.compaction_unreadable.set(i64::try_from(report.missing_files).unwrap_or(i64::MAX));
        if report.unread.is_empty() {
            metrics.last_compaction.set(self.clock.now().second());
        } else {
            metrics.compaction_failures.inc();
        }
        for file in &report.unread {
            tracing::warn!(
                path = file.path,
                reason = file.reason,
                "a file of the archive cannot be read: its date is compacted later"
            );
        }
        for bad in &report.unreadable {
            tracing::error!(
                path = bad.path,
                reason = bad.reason,
                moved_to = bad.to,
                "a file of the archive is damaged or gone, and its rows are missing: put it back from a backup, where it was"
            );
        }
        for path in &report.restored {
            tracing::info!(path, "a file of the archive is whole again, and its rows count");
        }
        for path in &report.newer {
            tracing::error!(
                path,
                "a file of the archive is of a later version: its folder is not compacted by this one"
            );
        }
        for path in &report.set_aside {
            tracing::warn!(path, "a foreign file in the archive was moved to set_aside");
        }
        if report.folders > 0 {
            let (before, after, repeats) = (report.files_before, report.files_after, report.repeats);
            tracing::info!(before, after, rows = report.rows, repeats, "closed dates are compacted");
        }
    }
}

/// Rests after each step as long as the share asks for, and ends at a shutdown.
fn paced(
    clock: Clock,
    share: f64,
    shutdown: Shutdown,
) -> impl FnMut(ReviseStep) -> futures_util::future::BoxFuture<'static, ControlFlow<()>> + Send {
    let mut since = clock.instant();
    move |_| {
        let worked = clock.instant().saturating_duration_since(since);
        let rest = rest_after(worked, share);
        since = clock.instant() + rest;
        let shutdown = shutdown.clone();
        Box::pin(async move {
            tokio::select! {
                () = shutdown.begun() => ControlFlow::Break(()),
                () = tokio::time::sleep(rest) => ControlFlow::Continue(()),
            }
        })
    }
}

/// The rest with which so much work is a share of all time.
fn rest_after(worked: Duration, share: f64) -> Duration {
    let rest = Duration::try_from_secs_f64(worked.as_secs_f64() * (1.0 / share - 1.0));
    rest.map_or(REST_MAX, |rest| rest.min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_step_of_any_length_the_work_is_no_more_than_its_share() {
        for share in [0.01, 0.25, 0.5, 1.0] {
            for worked in [1, 900, 20_000, 600_000].map(Duration::from_millis) {
                let rest = rest_after(worked, share);
                let found = worked.as_secs_f64() / (worked + rest).as_secs_f64();
                assert!((found - share).abs() < 1e-6, "{worked:?}, then {rest:?}: {found} of {share}");
            }
        }
        assert_eq!(rest_after(Duration::from_secs(1), 1e-300), REST_MAX);
    }
}
