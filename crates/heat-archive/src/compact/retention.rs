//! Retention: whole dates go when they are older than asked for, and are remembered as gone.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::PartitionId;
use serde::Serialize;

use crate::{
    archive::{Archive, ArchiveError},
    digest::HourDigests,
    layout::{self, Dataset},
    revise::Observe,
    revision::{Change, Reason, Removed, RevisionKind},
};

/// What is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    /// By data set: dates before this day (counted from 1970-01-01, UTC) go. What is not named stays.
    pub before_day: BTreeMap<Dataset, i64>,
    /// Wall time, microseconds since the epoch.
    pub now_us: i64,
    /// Only these partitions; all if absent.
    pub partitions: Option<BTreeSet<(String, PartitionId)>>,
    /// Say what would go, and do nothing.
    pub dry_run: bool,
}

/// What goes, or would go, of one data set and date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// The data set.
    pub dataset: Dataset,
    /// The date.
    pub date: String,
    /// Files.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
}

impl Archive {
    /// Gives up dates beyond their age. Their files are deleted by the next [`Archive::compact`] after the grace time.
    pub async fn retain(
        &self,
        settings: &RetentionSettings,
        observe: &mut Observe<'_>,
    ) -> Result<Vec<RetentionReport>, ArchiveError> {
        let mut gone: BTreeMap<(Dataset, String), RetentionReport> = BTreeMap::new();
        for (topic, partition) in self.partitions_among(settings.partitions.as_ref()).await? {
            let view = self.view_with_hours(&topic, partition).await?;
            let mut changes = Vec::new();
            for (path, folder) in view.folders() {
                let Some(dataset) = Dataset::of_path(path) else { continue };
                let Some(day) = layout::day_of(path) else { continue };
                let is_old = settings.before_day.get(&dataset).is_some_and(|before| day < *before);
                if !is_old || folder.live.is_empty() && folder.lost.is_empty() {
                    continue;
                }
                let date = layout::date_of_day(day);
                let fresh = RetentionReport { dataset, date: date.clone(), files: 0, rows: 0, bytes: 0 };
                let sum = gone.entry((dataset, date)).or_insert(fresh);
                let mut hours = HourDigests::default();
                // What was set aside is waited for no longer.
                let lost = || folder.lost.values().map(|lost| &lost.file);
                for file in folder.live.values().chain(lost()) {
                    sum.files += 1;
                    sum.rows += file.entry.rows;
                    sum.bytes += file.entry.bytes;
                    file.entry.hours.iter().for_each(|hour| hours.add(hour));
                }
                let of_revisions = folder.live.values().filter(|file| file.revision.is_some()).chain(lost());
                let removed = Removed { reason: Reason::Expired, hours: hours.0 };
                changes.push(Change {
                    folder: path.clone(),
                    commits_up_to: view.next_offset(),
                    except: Vec::new(),
                    inputs: of_revisions.map(|file| file.entry.path.clone()).collect(),
                    outputs: Vec::new(),
                    set_aside: Vec::new(),
                    removed: if dataset == Dataset::Rollups { Vec::new() } else { vec![removed] },
                });
            }
            if !settings.dry_run && !changes.is_empty() {
                self.put_revision(&view, RevisionKind::Retention, settings.now_us, changes, observe).await?;
            }
        }
        Ok(gone.into_values().collect())
    }
}
