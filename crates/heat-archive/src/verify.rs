//! Proof, without the log, that the archive holds what its manifests say: offsets without hole or overlap, files that
//! open, rows and digests hour by hour.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use heat_model::{PartitionId, time::MICROS_PER_HOUR};
use parquet::file::{
    metadata::KeyValue,
    reader::{FileReader, SerializedFileReader},
};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    archive::{Archive, ArchiveError, ChainFault, chain_fault},
    digest::{HourDigest, HourDigests},
    layout::{self, COMPACTED, Dataset, MANIFESTS},
    manifest::{FileEntry, Manifest},
    read::{RowHasher, Scan, read_readings, rollups, tables},
    revise::is_replaced,
    revision::Reason,
    schema::keys,
    store::{BoxError, Found},
    view::{LiveFile, LostFile, View},
};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The manifests of a partition do not form one chain.
    Chain {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// How.
        #[serde(flatten)]
        chain: ChainFault,
    },
    /// A manifest cannot be used, so neither can the chain it belongs to.
    Manifest {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// What a manifest names is not there.
    Missing {
        /// What.
        path: String,
    },
    /// A file cannot be read: not Parquet, torn, or not with the archive's columns.
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file has another size than its manifest says.
    Size {
        /// Which.
        path: String,
        /// By the manifest.
        expected_bytes: u64,
        /// In the archive.
        found_bytes: u64,
    },
    /// A file's metadata name another stretch of the log than its manifest.
    Metadata {
        /// Which.
        path: String,
        /// Which entry.
        key: &'static str,
    },
    /// Rows of one ingest hour are missing, too many, or altered.
    Rows {
        /// Which file.
        path: String,
        /// Start of the UTC hour of ingest, microseconds since the epoch.
        hour_start_us: i64,
        /// By the manifest.
        expected_rows: u64,
        /// In the file. As many as expected means that at least one is altered.
        found_rows: u64,
    },
    /// Rows are missing because their file was set aside: it was damaged, or gone. One for each hour.
    SetAside {
        /// The file: put back here, it counts again.
        path: String,
        /// Where its bytes lie; absent if nothing was found.
        to: Option<String>,
        /// What was wrong.
        reason: String,
        /// Start of the UTC hour of ingest, microseconds since the epoch; of roll-ups, of the hour that they sum up.
        hour_start_us: i64,
        /// Rows that are missing.
        rows: u64,
    },
    /// A ledger is not the one its manifest names.
    Ledger {
        /// Which.
        path: String,
    },
    /// What commits wrote is not what files hold and revisions left out: a revision is missing, or one too many.
    Balance {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// The data set.
        dataset: Dataset,
        /// Start of the UTC hour of ingest, microseconds since the epoch.
        hour_start_us: i64,
        /// Rows that commits wrote.
        written_rows: u64,
        /// Rows that files hold, by manifests and revisions.
        held_rows: u64,
        /// Rows that revisions left out.
        removed_rows: u64,
    },
}

/// One partition as its manifests tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Commits.
    pub commits: u64,
    /// Revisions of their files.
    pub revisions: u64,
    /// The first offset covered.
    pub first_offset: u64,
    /// The first offset not covered.
    pub next_offset: u64,
    /// Rows over all files, without roll-ups.
    pub rows: u64,
    /// Rows that commits wrote.
    pub written: u64,
    /// Rows left out as repeats.
    pub repeats: u64,
    /// Rows that retention gave up.
    pub expired: u64,
    /// Rows erased on request.
    pub erased: u64,
    /// Rows whose files were set aside.
    pub set_aside: u64,
}

/// What [`Archive::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// Partitions, in order.
    pub partitions: Vec<PartitionReport>,
    /// Files read.
    pub files: usize,
    /// Rows read.
    pub rows: u64,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
    /// Files in the data sets' folders that neither manifest nor revision names. After a crash there may be some; they do
    /// not count.
    pub orphans: Vec<String>,
    /// Files that revisions replaced and that still wait for their grace time to pass.
    pub replaced: usize,
}

impl VerifyReport {
    /// Whether nothing is wrong. Orphans are not wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Archive {
    /// Reads the whole archive and holds it against its manifests and revisions. Faults are in the report; an error
    /// means that the archive could not be looked at.
    pub async fn verify(&self) -> Result<VerifyReport, ArchiveError> {
        let mut report = VerifyReport::default();
        let mut views = Vec::new();
        let mut folders: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for found in self.list(MANIFESTS).await? {
            if layout::manifest_span(&found.path).is_none() {
                report.orphans.push(found.path);
                continue;
            }
            let folder = layout::parent_of(&found.path);
            folders.entry(folder.to_owned()).or_default().push(found);
        }
        for found in folders.into_values() {
            views.extend(self.verify_steadily(&mut report, found).await?);
        }
        self.find_unnamed(&mut report, &views).await?;
        Ok(report)
    }

    /// Files in the data sets' folders that neither manifest nor revision names, nor is about to.
    pub async fn orphans(&self) -> Result<Vec<String>, ArchiveError> {
        let mut views = Vec::new();
        for (topic, partition) in self.partitions().await? {
            views.push(View::clone(self.view(&topic, partition).await?.as_ref()));
        }
        let mut report = VerifyReport::default();
        self.find_unnamed(&mut report, &views).await?;
        Ok(report.orphans)
    }

    /// The files that together hold every row once, in order: what a reader that needs an atomic set should open. They
    /// stay at least for compaction's grace time.
    pub async fn files(&self) -> Result<Vec<FileEntry>, ArchiveError> {
        let mut files = Vec::new();
        for (topic, partition) in self.partitions().await? {
            let view = self.view_with_hours(&topic, partition).await?;
            files.extend(view.live().map(|file| file.entry.clone()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Verifies one partition; looks again at what seems wrong if the partition changed meanwhile, as a live one does.
    async fn verify_steadily(
        &self,
        report: &mut VerifyReport,
        listed: Vec<Found>,
    ) -> Result<Option<View>, ArchiveError> {
        const ROUNDS_MAX: usize = 5;
        let known = self.known(&listed).await?;
        let mut round = 1;
        loop {
            let before = self.names(known.as_ref()).await?;
            let mut found = VerifyReport::default();
            let view = self.verify_partition(&mut found, known.as_ref(), listed.clone()).await?;
            let is_settled = found.is_sound() || self.names(known.as_ref()).await? == before;
            if is_settled || round == ROUNDS_MAX {
                report.absorb(found);
                return Ok(view);
            }
            round += 1;
        }
    }

    /// Which partition these manifests are of; `None` if none of them can be used.
    async fn known(&self, listed: &[Found]) -> Result<Option<(String, PartitionId)>, ArchiveError> {
        for found in listed {
            match self.manifest(&found.path).await {
                Ok(manifest) => return Ok(Some((manifest.topic, manifest.partition))),
                Err(ArchiveError::Manifest { .. } | ArchiveError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// What names files of a partition.
    async fn names(&self, known: Option<&(String, PartitionId)>) -> Result<Vec<String>, ArchiveError> {
        let mut names = Vec::new();
        let Some((topic, partition)) = known else { return Ok(names) };
        for of in [MANIFESTS, layout::REVISIONS] {
            let listed = self.list(&layout::partition_folder(of, topic, *partition)).await?;
            names.extend(listed.into_iter().map(|found| found.path));
        }
        Ok(names)
    }

    /// Verifies one partition, of which these manifests were listed; `None` if none of them can be used.
    async fn verify_partition(
        &self,
        report: &mut VerifyReport,
        known: Option<&(String, PartitionId)>,
        mut listed: Vec<Found>,
    ) -> Result<Option<View>, ArchiveError> {
        let mut revised = None;
        if let Some((topic, partition)) = known {
            // Revisions first: the commits whose files they replace are then certainly listed afterwards.
            let mut view = View::new(topic, *partition, true);
            self.apply_revisions(report, &mut view).await?;
            revised = Some(view);
            listed = self.list(&layout::partition_folder(MANIFESTS, topic, *partition)).await?;
            listed.retain(|found| layout::manifest_span(&found.path).is_some());
        }
        let mut manifests: Vec<Manifest> = Vec::new();
        for found in listed {
            let manifest = match self.manifest(&found.path).await {
                Ok(manifest) => manifest,
                Err(ArchiveError::Manifest { path, source }) => {
                    report.faults.push(Fault::Manifest { path, reason: chain_of(&source) });
                    continue;
                }
                // A chapter stands for it since the folder was listed.
                Err(ArchiveError::Missing { .. }) => continue,
                Err(error) => return Err(error),
            };
            if report.accept_manifest(&found.path, &manifest) {
                manifests.push(manifest);
            }
        }
        let Some(mut view) = revised.filter(|_| !manifests.is_empty()) else { return Ok(None) };
        manifests.sort_by_key(|manifest| (manifest.first_offset, manifest.chapter.is_none()));
        let mut last: Option<Manifest> = None;
        let mut chapters_end = 0;
        for manifest in manifests {
            if manifest.chapter.is_some() {
                chapters_end = chapters_end.max(manifest.next_offset.0);
            } else if manifest.first_offset.0 < chapters_end {
                continue;
            }
            if let Some(chain) = last.as_ref().and_then(|last| chain_fault(last, &manifest)) {
                let (topic, partition) = (manifest.topic.clone(), manifest.partition);
                report.faults.push(Fault::Chain { topic, partition, chain });
            }
            self.verify_ledger(report, &manifest).await?;
            view.apply_manifest(&manifest);
            last = Some(manifest);
        }
        for file in view.live() {
            self.verify_file(report, &view, file).await?;
        }
        for lost in view.lost() {
            self.verify_lost(report, &view, lost).await?;
        }
        report.compare_sums(&view);
        report.partitions.push(PartitionReport::of(&view));
        Ok(Some(view))
    }

    async fn apply_revisions(&self, report: &mut VerifyReport, view: &mut View) -> Result<(), ArchiveError> {
        let (topic, partition) = (view.topic().to_owned(), view.partition());
        let listed = self.list(&layout::partition_folder(layout::REVISIONS, &topic, partition)).await?;
        let mut due = 0;
        for found in listed {
            let Some((number, _)) = layout::manifest_span(&found.path) else { continue };
            for missing in due..number.0 {
                let path = layout::revision_path(&topic, partition, missing);
                report.faults.push(Fault::Missing { path });
            }
            due = number.0 + 1;
            match self.revision(&topic, partition, number.0).await {
                Ok(revision) => view.apply_revision(&revision),
                Err(ArchiveError::Manifest { path, source }) => {
                    report.faults.push(Fault::Manifest { path, reason: chain_of(&source) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks for files that hold nothing: left by a crash, foreign, or replaced.
    async fn find_unnamed(&self, report: &mut VerifyReport, views: &[View]) -> Result<(), ArchiveError> {
        let of = |view: &View| format!("{}/{}", layout::escaped(view.topic()), view.partition().0);
        let views: BTreeMap<String, &View> = views.iter().map(|view| (of(view), view)).collect();
        let named: BTreeSet<&str> =
            views.values().flat_map(|view| view.files()).map(|file| file.entry.path.as_str()).collect();
        for top in Dataset::ALL.map(Dataset::folder).into_iter().chain([COMPACTED]) {
            for Found { path, .. } in self.list(top).await? {
                if named.contains(path.as_str()) {
                    continue;
                }
                let view = layout::file_name(&path).and_then(|name| views.get(&name.of));
                let folder =
                    view.and_then(|view| Some((view, view.folders().get(layout::folder_of(&path))?)));
                if folder.is_some_and(|(view, folder)| is_replaced(view, folder, &path)) {
                    report.replaced += 1;
                } else {
                    report.orphans.push(path);
                }
            }
        }
        Ok(())
    }

    async fn verify_file(
        &self,
        report: &mut VerifyReport,
        view: &View,
        live: &LiveFile,
    ) -> Result<(), ArchiveError> {
        let file = &live.entry;
        let path = file.path.clone();
        let bytes = match self.bytes(&path).await {
            Ok(bytes) => bytes,
            Err(ArchiveError::Missing { path }) => {
                report.faults.push(Fault::Missing { path });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 != file.bytes {
            let (expected_bytes, found_bytes) = (file.bytes, bytes.len() as u64);
            report.faults.push(Fault::Size { path: path.clone(), expected_bytes, found_bytes });
        }
        report.files += 1;
        match check_metadata(&bytes, view, live) {
            Ok(None) => {}
            Ok(Some(key)) => report.faults.push(Fault::Metadata { path: path.clone(), key }),
            Err(error) => {
                report.faults.push(Fault::Unreadable { path, reason: chain_of(error.as_ref()) });
                return Ok(());
            }
        }
        match digest_file(bytes, file.dataset) {
            Ok(hours) => {
                if file.dataset != Dataset::Rollups {
                    report.rows += hours.0.iter().map(|hour| hour.rows).sum::<u64>();
                }
                report.compare_hours(&path, &file.hours, &hours.0);
            }
            Err(error) => report.faults.push(Fault::Unreadable { path, reason: chain_of(error.as_ref()) }),
        }
        Ok(())
    }

    /// A file that was set aside and is put back is sound before compaction knows.
    async fn verify_lost(
        &self,
        report: &mut VerifyReport,
        view: &View,
        lost: &LostFile,
    ) -> Result<(), ArchiveError> {
        let mut found = VerifyReport::default();
        self.verify_file(&mut found, view, &lost.file).await?;
        if found.is_sound() {
            report.absorb(found);
            return Ok(());
        }
        let of = |hour: &HourDigest| Fault::SetAside {
            path: lost.file.entry.path.clone(),
            to: lost.to.clone(),
            reason: lost.reason.clone(),
            hour_start_us: hour.hour_start_us,
            rows: hour.rows,
        };
        report.faults.extend(lost.file.entry.hours.iter().map(of));
        Ok(())
    }

    async fn verify_ledger(
        &self,
        report: &mut VerifyReport,
        manifest: &Manifest,
    ) -> Result<(), ArchiveError> {
        let path = manifest.ledger.path.clone();
        match self.bytes(&path).await {
            Ok(bytes) if format!("{:016x}", xxh3_64(&bytes)) == manifest.ledger.xxh3 => {}
            Ok(_) => report.faults.push(Fault::Ledger { path }),
            Err(ArchiveError::Missing { path }) => report.faults.push(Fault::Missing { path }),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl VerifyReport {
    /// Takes up what was found in one partition.
    fn absorb(&mut self, found: Self) {
        self.partitions.extend(found.partitions);
        self.files += found.files;
        self.rows += found.rows;
        self.faults.extend(found.faults);
    }

    /// Takes up a manifest; `false` if it stands where it does not belong.
    fn accept_manifest(&mut self, path: &str, manifest: &Manifest) -> bool {
        let Manifest { topic, partition, first_offset, next_offset, .. } = manifest;
        let expected = match manifest.chapter {
            None => layout::manifest_path(topic, *partition, *first_offset),
            Some(_) => layout::chapter_path(topic, *partition, *first_offset, *next_offset),
        };
        if expected != path {
            let reason = "its name is not that of the commit it describes".to_owned();
            self.faults.push(Fault::Manifest { path: path.to_owned(), reason });
        }
        expected == path
    }

    /// Holds written against held and removed, by data set and hour.
    fn compare_sums(&mut self, view: &View) {
        let mut accounted = view.removed();
        let removed = accounted.clone();
        for file in view.files().filter(|file| file.entry.dataset != Dataset::Rollups) {
            let dataset = file.entry.dataset;
            file.entry.hours.iter().for_each(|hour| crate::view::add_to(&mut accounted, dataset, hour));
        }
        let keys: BTreeSet<_> = view.written().keys().chain(accounted.keys()).copied().collect();
        for (dataset, hour_start_us) in keys {
            let key = (dataset, hour_start_us);
            let (written, accounted) = (view.written().get(&key), accounted.get(&key));
            if written != accounted {
                let removed_rows = removed.get(&key).map_or(0, |hour| hour.rows);
                self.faults.push(Fault::Balance {
                    topic: view.topic().to_owned(),
                    partition: view.partition(),
                    dataset,
                    hour_start_us,
                    written_rows: written.map_or(0, |hour| hour.rows),
                    held_rows: accounted.map_or(0, |hour| hour.rows).saturating_sub(removed_rows),
                    removed_rows,
                });
            }
        }
    }

    /// Both lists are in order of the hour.
    fn compare_hours(&mut self, path: &str, expected: &[HourDigest], found: &[HourDigest]) {
        let hours: BTreeSet<i64> = expected.iter().chain(found).map(|hour| hour.hour_start_us).collect();
        for hour_start_us in hours {
            debug_assert_eq!(hour_start_us.rem_euclid(MICROS_PER_HOUR), 0, "an hour starts at its start");
            let of_hour =
                |list: &[HourDigest]| list.iter().find(|h| h.hour_start_us == hour_start_us).copied();
            let (expected, found) = (of_hour(expected), of_hour(found));
            if expected != found {
                self.faults.push(Fault::Rows {
                    path: path.to_owned(),
                    hour_start_us,
                    expected_rows: expected.map_or(0, |hour| hour.rows),
                    found_rows: found.map_or(0, |hour| hour.rows),
                });
            }
        }
    }
}

impl PartitionReport {
    fn of(view: &View) -> Self {
        Self {
            topic: view.topic().to_owned(),
            partition: view.partition(),
            commits: view.commits(),
            revisions: view.next_revision(),
            first_offset: view.first_offset().map_or(0, |offset| offset.0),
            next_offset: view.next_offset().map_or(0, |offset| offset.0),
            rows: view.rows(),
            written: view.written().values().map(|hour| hour.rows).sum(),
            repeats: view.rows_removed(Reason::Repeat),
            expired: view.rows_removed(Reason::Expired),
            erased: view.rows_removed(Reason::Erased),
            set_aside: view.rows_set_aside(),
        }
    }
}

/// The digests of a file's rows, from the file alone.
pub(crate) fn digest_file(bytes: bytes::Bytes, dataset: Dataset) -> Result<HourDigests, BoxError> {
    let mut hours = HourDigests::default();
    match dataset {
        Dataset::Readings | Dataset::Households => {
            let mut hasher = RowHasher::default();
            let end = read_readings(bytes, &Scan::default(), &mut |row| {
                hours.add_row(row.ingest_time.hour_start(), hasher.hash(&row));
                ControlFlow::Continue(())
            })?;
            debug_assert!(end.is_continue(), "the visitor never breaks");
        }
        Dataset::Incidents | Dataset::IncidentEvents | Dataset::Inputs | Dataset::Rejected => {
            for row in tables::read_table(bytes)? {
                hours.add_row(row.row.ingest_time.hour_start(), row.hash());
            }
        }
        Dataset::Rollups => {
            for row in rollups::read(bytes)? {
                hours.add_row(row.hour_us, row.hash());
            }
        }
    }
    Ok(hours)
}

/// Names the first entry of a file's metadata that does not match what manifest or revision says.
fn check_metadata(
    bytes: &bytes::Bytes,
    view: &View,
    live: &LiveFile,
) -> Result<Option<&'static str>, BoxError> {
    let file = SerializedFileReader::new(bytes.clone())?;
    let metadata = file.metadata().file_metadata();
    let no_entries = Vec::new();
    let entries: &Vec<KeyValue> = metadata.key_value_metadata().unwrap_or(&no_entries);
    let expected = [
        (keys::TOPIC, view.topic().to_owned()),
        (keys::PARTITION, view.partition().0.to_string()),
        (keys::FIRST_OFFSET, live.offsets.first.0.to_string()),
        (keys::LAST_OFFSET, live.offsets.last.0.to_string()),
    ];
    let differs = |(key, value): &&(&'static str, String)| {
        entries.iter().find(|entry| entry.key == *key).and_then(|entry| entry.value.as_ref()) != Some(value)
    };
    Ok(expected.iter().find(differs).map(|(key, _)| *key))
}

/// An error and all that caused it, on one line.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
