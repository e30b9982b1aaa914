//! Compaction: the many small and late files of a closed day become one for each network, sorted, without repeats.
//!
//! A date has one file (or, beyond [`CompactSettings::file_rows`], a few that share its signals) for each network and
//! partition, and at most one more in which late readings gather until the date is merged whole again. Nothing that is
//! written counts before the revision that names it; a run that dies leaves files that the next one deletes. A file that
//! cannot be read, or holds other rows than its manifest says, is set aside.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use heat_model::{Offset, PartitionId};

use crate::{
    archive::{Archive, ArchiveError},
    digest::HourDigests,
    layout::Dataset,
    manifest::FileEntry,
    revise::{Grace, Observe, ReviseStep, at},
    revision::{Change, RevisionKind},
    verify::chain_of,
    view::{Folder, LiveFile, View},
};

mod aside;
mod chapter;
mod cursor;
mod erase;
mod late;
mod merge;
mod plan;
mod report;
mod retention;
pub(crate) mod rollup;
mod tables;

pub use erase::{EraseReport, Erasure};
pub(crate) use late::is_merged_whole;
pub use report::{CompactReport, Unread, Unreadable};
pub use retention::{RetentionReport, RetentionSettings};

use aside::{Suspects, Unsound};
use cursor::MergeError;
use late::Extent;
use merge::{Merged, Target, merge, merge_tables};
use plan::{Made, changes_of, has_work, plan};

/// A run that cannot read more files than this ends: then it is the store, and not a file.
const UNREAD_MAX: usize = 8;

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
    /// Whether every file of closed dates is read, so that damage is found wherever it is; otherwise what is merged is read,
    /// and a file that is gone or has another size.
    pub check: bool,
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
            check: false,
        }
    }

    fn grace(&self) -> Grace {
        Grace { now_us: self.now_us, grace: self.grace }
    }
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
        let sizes = self.sizes().await?;
        for (topic, partition) in partitions.iter().map(|(topic, partition)| (topic, *partition)) {
            self.compact_dates(topic, partition, settings, &sizes, &mut report, observe).await?;
            self.promote(topic, partition, settings.grace(), observe).await?;
            report.commits_folded += self.fold(topic, partition, settings, observe).await?;
        }
        let swept = self.sweep(&partitions, settings.grace(), observe).await?;
        report.deleted = swept.deleted;
        report.set_aside = swept.set_aside;
        for (topic, partition) in &partitions {
            for lost in self.view(topic, *partition).await?.lost() {
                report.missing_files += 1;
                report.missing_rows += lost.file.entry.rows;
            }
        }
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
        sizes: &aside::Sizes,
        report: &mut CompactReport,
        observe: &mut Observe<'_>,
    ) -> Result<(), ArchiveError> {
        let seen = self.view(topic, partition).await?;
        Self::refuse_gone(&seen, sizes)?;
        let plan = plan(&seen, settings, sizes);
        if plan.is_empty() {
            return Ok(());
        }
        // Read once and brought forward by each revision: a backlog has thousands of dates.
        let mut view = self.view_with_hours(topic, partition).await?;
        for folders in plan.into_values() {
            let mut changes: BTreeMap<String, Change> = BTreeMap::new();
            let mut moved: Vec<String> = Vec::new();
            for (path, suspects) in folders {
                // Roll-ups that are written anew need no more.
                if changes.contains_key(&path) {
                    continue;
                }
                let Some(folder) = view.folders().get(&path) else { continue };
                at(observe, ReviseStep::BeforeMerge).await?;
                let made =
                    self.compact_if_readable(&view, &path, folder, &suspects, settings, report).await?;
                for change in made.changes {
                    changes.insert(change.folder.clone(), change);
                }
                moved.extend(made.moved);
                at(observe, ReviseStep::FilesWritten).await?;
            }
            if !changes.is_empty() {
                let changes: Vec<Change> = changes.into_values().collect();
                let kind = RevisionKind::Compaction;
                let revision = self.put_revision(&view, kind, settings.now_us, changes, observe).await?;
                view.apply_revision(&revision);
            }
            for path in moved {
                self.delete(&path, observe).await?;
            }
        }
        Ok(())
    }

    /// Merges what a folder has to merge. Leaves alone what a later version wrote, and, until the next run, what the store
    /// does not give.
    async fn compact_if_readable(
        &self,
        view: &View,
        path: &str,
        folder: &Folder,
        suspects: &Suspects,
        settings: &CompactSettings,
        report: &mut CompactReport,
    ) -> Result<Made, ArchiveError> {
        match self.compact_suspected(view, path, folder, suspects, settings, report).await {
            Err(ArchiveError::NewerFile { path, .. }) => report.newer.push(path),
            Err(ArchiveError::Read { path, source }) if report.unread.len() < UNREAD_MAX => {
                report.unread.push(Unread { path, reason: chain_of(source.as_ref()) });
            }
            made => return made,
        }
        Ok(Made::default())
    }

    /// Looks at the suspects of a folder, and merges what there is to merge.
    async fn compact_suspected(
        &self,
        view: &View,
        path: &str,
        folder: &Folder,
        suspects: &Suspects,
        settings: &CompactSettings,
        report: &mut CompactReport,
    ) -> Result<Made, ArchiveError> {
        let unsound = self.look_at(folder, suspects).await?;
        let is_damaged = |file: &LiveFile| unsound.damaged.iter().any(|bad| bad.path == file.entry.path);
        let has_work = has_work(view, path, folder, settings, is_damaged);
        let extent = match (has_work, unsound.back.is_empty()) {
            (true, true) => late::extent(view, path, folder, settings),
            (true | false, false) => Extent::All,
            (false, true) => Extent::Nothing,
        };
        self.compact_folder(view, (path, folder), (extent, None), unsound, settings, report).await
    }

    /// Merges the files of one folder; writes, but does not publish. Gives the change of the folder, and of that of its
    /// roll-ups.
    async fn compact_folder(
        &self,
        view: &View,
        (path, folder): (&str, &Folder),
        (extent, erased): (Extent, Option<&erase::Erased<'_>>),
        mut unsound: Unsound,
        settings: &CompactSettings,
        report: &mut CompactReport,
    ) -> Result<Made, ArchiveError> {
        let Some(dataset) = Dataset::of_path(path) else { return Ok(Made::default()) };
        let rollups = view.folders().get(&rollup::folder_of(path));
        let has_rollups = rollups.is_some_and(|rollups| !rollups.live.is_empty());
        let (merged, files, sums_up) = loop {
            let readable = |file: &&LiveFile| unsound.is_sound(&file.entry.path);
            let back = unsound.back.iter().filter_map(|path| folder.lost.get(path)).map(|lost| &lost.file);
            let files: Vec<&LiveFile> = extent.of(folder).into_iter().chain(back).filter(readable).collect();
            // What roll-ups know of rows that are missing now is not to be had again.
            let knows_all = unsound.damaged.is_empty() && unsound.back.len() == folder.lost.len();
            let may_sum_up = knows_all || !has_rollups || erased.is_some();
            let sums_up = dataset == Dataset::Readings && extent == Extent::All && may_sum_up;
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
                Ok(merged) => break (merged, files, sums_up),
                Err(MergeError::Archive(error)) => return Err(error),
                Err(MergeError::Damaged { path, reason }) if unsound.is_sound(&path) => {
                    unsound.add(path, reason);
                }
                Err(MergeError::Damaged { path, reason }) => {
                    return Err(ArchiveError::Unreadable { path, source: reason.into() });
                }
            }
        };
        // An erasure that meets damage ends without effect.
        let moved = if erased.is_none() { self.copy_aside(&mut unsound).await? } else { Vec::new() };
        if extent != Extent::Nothing {
            report.folders += 1;
        }
        report.files_before += files.len();
        report.bytes_before += files.iter().map(|file| file.entry.bytes).sum::<u64>();
        report.files_after += merged.files.len();
        report.bytes_after += merged.files.iter().map(|file| file.bytes).sum::<u64>();
        report.rows += merged.files.iter().map(|file| file.rows).sum::<u64>();
        report.repeats += merged.repeats.0.iter().map(|hour| hour.rows).sum::<u64>();
        report.rollup_rows += merged.rollups.iter().map(|file| file.rows).sum::<u64>();
        let changes = changes_of(view, path, folder, (extent, &files), merged, &unsound, sums_up);
        report.restored.extend(unsound.back);
        report.unreadable.extend(unsound.damaged);
        Ok(Made { changes, moved })
    }

    /// Files that follow each other in order of their signals: those that one merge made. Any other file stands alone.
    async fn chains_of(&self, files: &[&LiveFile]) -> Result<Vec<Vec<LiveFile>>, ArchiveError> {
        let mut revised: BTreeMap<u64, Vec<LiveFile>> = BTreeMap::new();
        let mut alone: BTreeMap<(Offset, String), LiveFile> = BTreeMap::new();
        for file in files.iter().map(|file| (*file).clone()) {
            match late::made_by(&file) {
                Some(revision) => revised.entry(revision).or_default().push(file),
                None => drop(alone.insert((file.offsets.first, file.entry.path.clone()), file)),
            }
        }
        let mut chains = Vec::new();
        for files in revised.into_values() {
            // Names tell offsets; which signals come first is in the files.
            let mut in_order = Vec::new();
            let is_one = files.len() == 1;
            for file in files {
                match if is_one { None } else { self.signals_in(&file.entry).await? } {
                    Some(signals) => in_order.push((signals, file)),
                    None => chains.push(vec![file]),
                }
            }
            in_order.sort_by(|(a, _), (b, _)| a.cmp(b));
            if !in_order.is_empty() {
                chains.push(in_order.into_iter().map(|(_, file)| file).collect());
            }
        }
        chains.extend(alone.into_values().map(|file| vec![file]));
        Ok(chains)
    }

    /// Merges files, in several rounds if there are more than may be open at once.
    async fn merge_in_rounds(&self, target: &Target<'_>, files: &[&LiveFile]) -> Result<Merged, MergeError> {
        let mut chains = self.chains_of(files).await?;
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
