//! Compaction: the many small and late files of a closed day become one for each network, sorted, without repeats.
//!
//! A date has one file (or, beyond [`CompactSettings::file_rows`], a few that share its signals) for each network and
//! partition, and at most one more in which late readings gather until the date is merged whole again. Nothing that is written counts before the revision that names it; a run that dies leaves files that the next one
//! deletes. A file that cannot be read, or holds other rows than its manifest says, is left out, stays where it is, and
//! is named in the report.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use heat_model::{Offset, PartitionId};
use serde::Serialize;

use crate::{
    archive::{Archive, ArchiveError},
    digest::HourDigests,
    layout::{self, Dataset},
    manifest::FileEntry,
    revise::{Grace, Observe, ReviseStep, at},
    revision::{Change, Reason, Removed, RevisionKind},
    view::{Folder, LiveFile, View},
};

mod chapter;
mod cursor;
mod erase;
mod late;
mod merge;
mod retention;
pub(crate) mod rollup;
mod tables;

pub use erase::{EraseReport, Erasure};
pub(crate) use late::is_merged_whole;
pub use retention::{RetentionReport, RetentionSettings};

use cursor::MergeError;
use late::Extent;
use merge::{Merged, Target, merge, merge_tables};

/// Compaction's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactSettings {
    /// Dates before this day (counted from 1970-01-01, UTC) are closed.
    pub before_day: i64,
    /// Wall time, microseconds since the epoch.
    pub now_us: i64,
    /// How long replaced files stay, for readers that work with a list made before. Until then compacted files wait in
    /// `compacted/`, so that who reads a whole folder sees each row once.
    pub grace: Duration,
    /// A date that late readings trickle into is merged whole, and its hours are summed up anew, so long after the last
    /// time; until then they gather in one file.
    pub renew_after: Duration,
    /// Only these partitions; all if absent.
    pub partitions: Option<BTreeSet<(String, PartitionId)>>,
    /// Files read at once; more are merged in several rounds.
    pub fan_in: usize,
    /// Rows of a row group at most.
    pub group_rows: usize,
    /// Rows after which a file is closed.
    pub file_rows: u64,
    /// Level of zstd.
    pub zstd_level: i32,
    /// Commits whose manifests become one chapter, at least 2.
    pub chapter_commits: usize,
    /// The newest commits, whose manifests stay: archivers meet there.
    pub commits_kept: usize,
}

impl CompactSettings {
    /// Dates before `before_day` are closed and merged whole; a quarter of an hour of grace, and bounds that keep a run within 100 MB.
    pub fn new(before_day: i64, now_us: i64) -> Self {
        Self {
            before_day,
            now_us,
            grace: Duration::from_mins(15),
            renew_after: Duration::ZERO,
            partitions: None,
            fan_in: 64,
            group_rows: 1 << 17,
            file_rows: 4 << 20,
            zstd_level: 3,
            chapter_commits: 512,
            commits_kept: 64,
        }
    }

    fn grace(&self) -> Grace {
        Grace { now_us: self.now_us, grace: self.grace }
    }
}

/// A file that compaction left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CompactReport {
    /// Folders (a date and network, or a date of a small data set) that were compacted.
    pub folders: usize,
    /// Files that are replaced.
    pub files_before: usize,
    /// Their size.
    pub bytes_before: u64,
    /// Files in place of them, without roll-ups.
    pub files_after: usize,
    /// Their size.
    pub bytes_after: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows left out because they repeat others.
    pub repeats: u64,
    /// Rows of hourly roll-ups written.
    pub rollup_rows: u64,
    /// Commits whose manifests were folded into chapters.
    pub commits_folded: u64,
    /// Files deleted after their grace time.
    pub deleted: usize,
    /// Files that could not be read: they stay, and `verify` names them.
    pub unreadable: Vec<Unreadable>,
    /// Foreign files that were moved to `set_aside/`.
    pub set_aside: Vec<String>,
}

impl Archive {
    /// Compacts all closed dates, brings into view what waited long enough, deletes what it replaces, and folds old
    /// manifests. Decodes and encodes on the calling thread.
    pub async fn compact(
        &self,
        settings: &CompactSettings,
        observe: &mut Observe<'_>,
    ) -> Result<CompactReport, ArchiveError> {
        self.prove_put_if_absent().await?;
        let mut report = CompactReport::default();
        let partitions = self.partitions_among(settings.partitions.as_ref()).await?;
        for (topic, partition) in partitions.iter().map(|(topic, partition)| (topic, *partition)) {
            self.compact_dates(topic, partition, settings, &mut report, observe).await?;
            self.promote(topic, partition, settings.grace(), observe).await?;
            report.commits_folded += self.fold(topic, partition, settings, observe).await?;
        }
        let swept = self.sweep(&partitions, settings.grace(), observe).await?;
        report.deleted = swept.deleted;
        report.set_aside = swept.set_aside;
        Ok(report)
    }

    async fn partitions_among(
        &self,
        wanted: Option<&BTreeSet<(String, PartitionId)>>,
    ) -> Result<Vec<(String, PartitionId)>, ArchiveError> {
        let mut partitions = self.partitions().await?;
        partitions.retain(|partition| wanted.is_none_or(|wanted| wanted.contains(partition)));
        Ok(partitions)
    }

    async fn compact_dates(
        &self,
        topic: &str,
        partition: PartitionId,
        settings: &CompactSettings,
        report: &mut CompactReport,
        observe: &mut Observe<'_>,
    ) -> Result<(), ArchiveError> {
        let plan = plan(self.view(topic, partition).await?.as_ref(), settings);
        if plan.is_empty() {
            return Ok(());
        }
        // Read once and brought forward by each revision: a backlog has thousands of dates.
        let mut view = self.view_with_hours(topic, partition).await?;
        for folders in plan.into_values() {
            let mut changes: BTreeMap<String, Change> = BTreeMap::new();
            for path in folders {
                let Some(folder) = view.folders().get(&path) else { continue };
                at(observe, ReviseStep::BeforeMerge).await?;
                let extent = late::extent(&view, &path, folder, settings);
                let made =
                    self.compact_folder(&view, &path, folder, (extent, None), settings, report).await?;
                for change in made {
                    changes.insert(change.folder.clone(), change);
                }
                at(observe, ReviseStep::FilesWritten).await?;
            }
            let changes: Vec<Change> = changes.into_values().collect();
            let kind = RevisionKind::Compaction;
            let revision = self.put_revision(&view, kind, settings.now_us, changes, observe).await?;
            view.apply_revision(&revision);
        }
        Ok(())
    }

    /// Merges the files of one folder; writes, but does not publish. Gives the change of the folder, and of that of its
    /// roll-ups.
    async fn compact_folder(
        &self,
        view: &View,
        path: &str,
        folder: &Folder,
        (extent, erased): (Extent, Option<&erase::Erased<'_>>),
        settings: &CompactSettings,
        report: &mut CompactReport,
    ) -> Result<Vec<Change>, ArchiveError> {
        let Some(dataset) = Dataset::of_path(path) else { return Ok(Vec::new()) };
        let mut except: Vec<Unreadable> = Vec::new();
        let sums_up = dataset == Dataset::Readings && extent == Extent::All;
        let (merged, files) = loop {
            let readable = |file: &&LiveFile| !except.iter().any(|bad| bad.path == file.entry.path);
            let files: Vec<&LiveFile> = extent.of(folder).into_iter().filter(readable).collect();
            let target = Target {
                topic: view.topic(),
                partition: view.partition(),
                folder: path,
                dataset,
                revision: view.next_revision(),
                settings,
                erased,
                sums_up,
            };
            let outcome = if dataset.holds_readings() {
                self.merge_in_rounds(&target, &files).await
            } else {
                merge_tables(self, &target, &files).await
            };
            match outcome {
                Ok(merged) => break (merged, files),
                Err(MergeError::Archive(error)) => return Err(error),
                Err(MergeError::Damaged { path, reason }) if !except.iter().any(|bad| bad.path == path) => {
                    except.push(Unreadable { path, reason });
                }
                Err(MergeError::Damaged { path, reason }) => {
                    return Err(ArchiveError::Unreadable { path, source: reason.into() });
                }
            }
        };
        report.folders += 1;
        report.files_before += files.len();
        report.bytes_before += files.iter().map(|file| file.entry.bytes).sum::<u64>();
        report.files_after += merged.files.len();
        report.bytes_after += merged.files.iter().map(|file| file.bytes).sum::<u64>();
        report.rows += merged.files.iter().map(|file| file.rows).sum::<u64>();
        report.repeats += merged.repeats.0.iter().map(|hour| hour.rows).sum::<u64>();
        report.rollup_rows += merged.rollups.iter().map(|file| file.rows).sum::<u64>();
        let changes = changes_of(view, path, &files, merged, &except, sums_up);
        report.unreadable.extend(except);
        Ok(changes)
    }

    /// Merges files, in several rounds if there are more than may be open at once.
    async fn merge_in_rounds(&self, target: &Target<'_>, files: &[&LiveFile]) -> Result<Merged, MergeError> {
        let mut chains = chains_of(files.iter().map(|file| (*file).clone()));
        let mut temporary: Vec<String> = Vec::new();
        let (mut repeats, mut erased) = (HourDigests::default(), HourDigests::default());
        let round = Target { sums_up: false, ..*target };
        while chains.len() > target.settings.fan_in.max(2) {
            let mut next: Vec<Vec<LiveFile>> = Vec::new();
            for part in chains.chunks(target.settings.fan_in.max(2)) {
                let open: Vec<Vec<&LiveFile>> = part.iter().map(|chain| chain.iter().collect()).collect();
                let merged = merge(self, &round, &open).await?;
                merged.repeats.0.iter().for_each(|hour| repeats.add(hour));
                merged.erased.0.iter().for_each(|hour| erased.add(hour));
                temporary.extend(merged.files.iter().map(|file| file.path.clone()));
                next.push(
                    merged.files.into_iter().filter_map(|entry| live(entry, target.revision)).collect(),
                );
            }
            chains = next;
        }
        let open: Vec<Vec<&LiveFile>> = chains.iter().map(|chain| chain.iter().collect()).collect();
        let mut merged = merge(self, target, &open).await?;
        repeats.0.iter().for_each(|hour| merged.repeats.add(hour));
        erased.0.iter().for_each(|hour| merged.erased.add(hour));
        for path in temporary {
            if !merged.files.iter().any(|file| file.path == path) {
                let deleted = self.store.delete(&path).await;
                deleted.map_err(|source| ArchiveError::Write { path, source })?;
            }
        }
        Ok(merged)
    }
}

fn live(entry: FileEntry, revision: u64) -> Option<LiveFile> {
    Some(LiveFile { offsets: entry.offsets?, entry, revision: Some(revision) })
}

/// Files that follow each other in order of their signals: those of one revision. A commit's file stands alone.
fn chains_of(files: impl Iterator<Item = LiveFile>) -> Vec<Vec<LiveFile>> {
    let mut revised: BTreeMap<u64, Vec<LiveFile>> = BTreeMap::new();
    let mut alone: BTreeMap<(Offset, String), LiveFile> = BTreeMap::new();
    for file in files {
        match late::made_by(&file) {
            Some(revision) => revised.entry(revision).or_default().push(file),
            None => drop(alone.insert((file.offsets.first, file.entry.path.clone()), file)),
        }
    }
    revised.into_values().chain(alone.into_values().map(|file| vec![file])).collect()
}

/// The folders of each closed date to which commits have added since they were compacted, or that are to be renewed.
fn plan(view: &View, settings: &CompactSettings) -> BTreeMap<i64, Vec<String>> {
    let mut plan: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (path, folder) in view.folders() {
        let day = layout::day_of(path).filter(|day| *day < settings.before_day);
        let is_new = |file: &LiveFile| file.revision.is_none() && !folder.excepts(&file.entry.path);
        let has_work =
            |_: &i64| folder.live.values().any(is_new) || late::waits_no_longer(view, path, folder, settings);
        if let Some(day) = day.filter(has_work) {
            plan.entry(day).or_default().push(path.clone());
        }
    }
    plan
}

/// The changes that a merge means.
fn changes_of(
    view: &View,
    path: &str,
    files: &[&LiveFile],
    merged: Merged,
    except: &[Unreadable],
    sums_up: bool,
) -> Vec<Change> {
    let of_revisions = |file: &&&LiveFile| file.revision.is_some();
    let removed = [(Reason::Repeat, merged.repeats), (Reason::Erased, merged.erased)]
        .into_iter()
        .filter(|(_, hours)| !hours.0.is_empty())
        .map(|(reason, hours)| Removed { reason, hours: hours.0 })
        .collect();
    let mut changes = vec![Change {
        folder: path.to_owned(),
        commits_up_to: view.next_offset(),
        except: except.iter().map(|bad| bad.path.clone()).collect(),
        inputs: files.iter().filter(of_revisions).map(|file| file.entry.path.clone()).collect(),
        outputs: merged.files,
        removed,
    }];
    let rollups = rollup::folder_of(path);
    let before = view.folders().get(&rollups).filter(|_| path != rollups);
    let inputs: Vec<String> = before.map(|folder| folder.live.keys().cloned().collect()).unwrap_or_default();
    if sums_up && !(inputs.is_empty() && merged.rollups.is_empty()) {
        changes.push(Change {
            folder: rollups,
            commits_up_to: None,
            except: Vec::new(),
            inputs,
            outputs: merged.rollups,
            removed: Vec::new(),
        });
    }
    changes
}
