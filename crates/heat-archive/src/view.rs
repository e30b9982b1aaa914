//! What the archive has of a partition now: the files that hold its rows, out of commits and revisions.
//!
//! A view is taken up where it was left: commits and revisions never change, so only what is new is read.

use std::collections::BTreeMap;

use heat_model::{AppendTime, Offset, PartitionId, record::NextOffset};

use crate::{
    digest::HourDigest,
    layout::{COMPACTED, Dataset},
    manifest::{FileEntry, Manifest, OffsetSpan},
    revision::{Change, Reason, Revision, SetAside},
};

/// Rows and digest by data set and ingest hour.
pub(crate) type Sums = BTreeMap<(Dataset, i64), HourDigest>;

/// Adds rows of one hour.
pub(crate) fn add_to(sums: &mut Sums, dataset: Dataset, hour: &HourDigest) {
    let empty = HourDigest { rows: 0, digest: Default::default(), ..*hour };
    let sum = sums.entry((dataset, hour.hour_start_us)).or_insert(empty);
    sum.rows += hour.rows;
    sum.digest.add(hour.digest);
}

/// A file that holds rows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// What is known of it.
    pub entry: FileEntry,
    /// Where in the log its rows come from.
    pub offsets: OffsetSpan,
    /// The revision that made it; absent if a commit did.
    pub revision: Option<u64>,
}

/// A file whose rows are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// What it was.
    pub file: LiveFile,
    /// Where its bytes lie now; absent if nothing was found.
    pub to: Option<String>,
    /// What was wrong.
    pub reason: String,
}

/// The files of one data set's date, and network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folder {
    /// By path.
    pub(crate) live: BTreeMap<String, LiveFile>,
    /// Those that were set aside, by the path at which they are awaited.
    pub(crate) lost: BTreeMap<String, LostFile>,
    /// Files of commits up to here are replaced.
    commits_up_to: NextOffset,
    /// But for these.
    except: Vec<String>,
    /// When the last revision changed it.
    pub(crate) changed_us: Option<i64>,
}

impl Folder {
    /// Whether a file of a commit with this last offset is replaced.
    pub(crate) fn replaces(&self, last: Offset, path: &str) -> bool {
        last.next() <= self.commits_up_to && !self.excepts(path)
    }

    fn excepts(&self, path: &str) -> bool {
        self.except.iter().any(|except| except == path)
    }

    /// Whether files wait in `compacted/`, so that those that they replace are still in view.
    pub(crate) fn has_waiting(&self) -> bool {
        self.live.values().any(|file| is_waiting(&file.entry.path))
    }
}

/// Whether a path lies where compacted files wait.
pub(crate) fn is_waiting(path: &str) -> bool {
    path.strip_prefix(COMPACTED).is_some_and(|rest| rest.starts_with('/'))
}

/// One partition's files.
#[derive(Debug, Clone)]
pub struct View {
    topic: String,
    partition: PartitionId,
    first_offset: Option<Offset>,
    next_offset: Option<NextOffset>,
    last_record: Option<(Offset, AppendTime)>,
    commits: u64,
    next_revision: u64,
    folders: BTreeMap<String, Folder>,
    written: Sums,
    removed: BTreeMap<(Reason, Dataset, i64), HourDigest>,
    /// Whether digests of single files are kept; they take most of the room.
    keeps_hours: bool,
}

impl View {
    pub(crate) fn new(topic: &str, partition: PartitionId, keeps_hours: bool) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            first_offset: None,
            next_offset: None,
            last_record: None,
            commits: 0,
            next_revision: 0,
            folders: BTreeMap::new(),
            written: Sums::new(),
            removed: BTreeMap::new(),
            keeps_hours,
        }
    }

    /// Begins anew.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(&self.topic, self.partition, self.keeps_hours);
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The first offset covered; `None` if nothing is.
    pub fn first_offset(&self) -> Option<Offset> {
        self.first_offset
    }

    /// The first offset not covered; `None` if nothing is.
    pub fn next_offset(&self) -> Option<NextOffset> {
        self.next_offset
    }

    /// The last record covered and when the log took it; `None` if nothing is, or an earlier version archived it.
    pub fn last_record(&self) -> Option<(Offset, AppendTime)> {
        self.last_record
    }

    /// Commits.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// The number that the next revision gets: how many there are.
    pub fn next_revision(&self) -> u64 {
        self.next_revision
    }

    /// The files that together hold every row once, in order of folder and path.
    pub fn live(&self) -> impl Iterator<Item = &LiveFile> {
        self.folders.values().flat_map(|folder| folder.live.values())
    }

    /// The files that were set aside, and whose rows are missing until they are put back.
    pub fn lost(&self) -> impl Iterator<Item = &LostFile> {
        self.folders.values().flat_map(|folder| folder.lost.values())
    }

    /// All files that hold rows or would, if they were put back.
    pub(crate) fn files(&self) -> impl Iterator<Item = &LiveFile> {
        self.live().chain(self.lost().map(|lost| &lost.file))
    }

    /// Rows that are missing because their files were set aside.
    pub fn rows_set_aside(&self) -> u64 {
        let written = self.lost().filter(|lost| lost.file.entry.dataset != Dataset::Rollups);
        written.map(|lost| lost.file.entry.rows).sum()
    }

    /// Rows that the files hold.
    pub fn rows(&self) -> u64 {
        self.live().filter(|file| file.entry.dataset != Dataset::Rollups).map(|file| file.entry.rows).sum()
    }

    /// Rows of readings that commits wrote, by ingest hour.
    pub fn written_readings(&self) -> BTreeMap<i64, u64> {
        let mut hours = BTreeMap::new();
        for ((dataset, hour), sum) in &self.written {
            if dataset.holds_readings() {
                *hours.entry(*hour).or_default() += sum.rows;
            }
        }
        hours
    }

    /// Rows of readings that revisions left out for a reason, by ingest hour.
    pub fn removed_readings(&self, reason: Reason) -> BTreeMap<i64, u64> {
        let mut hours = BTreeMap::new();
        for ((of, dataset, hour), sum) in &self.removed {
            if *of == reason && dataset.holds_readings() {
                *hours.entry(*hour).or_default() += sum.rows;
            }
        }
        hours
    }

    /// Rows of all data sets that revisions left out for a reason.
    pub fn rows_removed(&self, reason: Reason) -> u64 {
        let of = self.removed.iter().filter(|((of, _, _), _)| *of == reason);
        of.map(|(_, hour)| hour.rows).sum()
    }

    pub(crate) fn folders(&self) -> &BTreeMap<String, Folder> {
        &self.folders
    }

    pub(crate) fn written(&self) -> &Sums {
        &self.written
    }

    pub(crate) fn removed(&self) -> Sums {
        let mut sums = Sums::new();
        self.removed.iter().for_each(|((_, dataset, _), hour)| add_to(&mut sums, *dataset, hour));
        sums
    }

    pub(crate) fn apply_manifest(&mut self, manifest: &Manifest) {
        self.first_offset.get_or_insert(manifest.first_offset);
        self.next_offset = Some(manifest.next_offset);
        let last = manifest.last_append_time_us.map(AppendTime::from_micros);
        self.last_record = last.map(|at| (manifest.last_offset, at));
        self.commits += manifest.commits();
        for (dataset, hour) in manifest.written() {
            add_to(&mut self.written, dataset, hour);
        }
        let stretch = OffsetSpan { first: manifest.first_offset, last: manifest.last_offset };
        for file in &manifest.files {
            let offsets = file.offsets.unwrap_or(stretch);
            let folder = self.folders.entry(file.folder().to_owned()).or_default();
            if !folder.replaces(offsets.last, &file.path) && !folder.lost.contains_key(&file.path) {
                let live = LiveFile { entry: kept(self.keeps_hours, file), offsets, revision: None };
                folder.live.insert(file.path.clone(), live);
            }
        }
    }

    pub(crate) fn apply_revision(&mut self, revision: &Revision) {
        self.next_revision = revision.number + 1;
        for change in &revision.changes {
            self.apply_change(revision, change);
        }
    }

    fn apply_change(&mut self, revision: &Revision, change: &Change) {
        let folder = self.folders.entry(change.folder.clone()).or_default();
        folder.changed_us = Some(revision.at_us);
        if let Some(up_to) = change.commits_up_to {
            folder.commits_up_to = folder.commits_up_to.max(up_to);
            folder.except.clone_from(&change.except);
        }
        let mut live = std::mem::take(&mut folder.live);
        live.retain(|path, file| match file.revision {
            None => !folder.replaces(file.offsets.last, path),
            Some(_) => !change.inputs.contains(path),
        });
        for output in &change.outputs {
            let Some(offsets) = output.offsets else { continue };
            let number = Some(revision.number);
            let file = LiveFile { entry: kept(self.keeps_hours, output), offsets, revision: number };
            live.insert(output.path.clone(), file);
        }
        folder.lost.retain(|path, _| !change.inputs.contains(path));
        for aside in &change.set_aside {
            let Some(lost) = lost_of(self.keeps_hours, aside) else { continue };
            live.remove(&aside.file.path);
            folder.lost.insert(aside.file.path.clone(), lost);
        }
        folder.live = live;
        let Some(dataset) = Dataset::of_path(&change.folder) else { return };
        for removed in &change.removed {
            for hour in &removed.hours {
                let empty = HourDigest { rows: 0, digest: Default::default(), ..*hour };
                let key = (removed.reason, dataset, hour.hour_start_us);
                let sum = self.removed.entry(key).or_insert(empty);
                sum.rows += hour.rows;
                sum.digest.add(hour.digest);
            }
        }
    }
}

fn lost_of(keeps_hours: bool, aside: &SetAside) -> Option<LostFile> {
    let entry = kept(keeps_hours, &aside.file);
    let file = LiveFile { offsets: aside.file.offsets?, entry, revision: aside.revision };
    Some(LostFile { file, to: aside.to.clone(), reason: aside.reason.clone() })
}

fn kept(keeps_hours: bool, file: &FileEntry) -> FileEntry {
    if keeps_hours { file.clone() } else { FileEntry { hours: Vec::new(), ..file.clone() } }
}
