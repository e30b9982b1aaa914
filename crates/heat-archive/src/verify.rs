//! Proof, without the log, that the archive holds what its manifests say: offsets without hole or overlap, files that
//! open, rows and digests hour by hour.

use std::{collections::BTreeSet, ops::ControlFlow};

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
    layout::{self, Dataset, MANIFESTS},
    manifest::{FileEntry, Manifest},
    read::{Scan, read_readings, tables},
    schema::keys,
    store::BoxError,
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
    /// A ledger is not the one its manifest names.
    Ledger {
        /// Which.
        path: String,
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
    pub commits: usize,
    /// The first offset covered.
    pub first_offset: u64,
    /// The first offset not covered.
    pub next_offset: u64,
    /// Rows over all files.
    pub rows: u64,
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
    /// Files in the data sets' folders that no manifest names. After a crash there may be some; they do not count.
    pub orphans: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong. Orphans are not wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Archive {
    /// Reads the whole archive and holds it against its manifests. Faults are in the report; an error means that the
    /// archive could not be looked at.
    pub async fn verify(&self) -> Result<VerifyReport, ArchiveError> {
        let mut report = VerifyReport::default();
        let mut named = BTreeSet::new();
        let mut last: Option<Manifest> = None;
        for found in self.list(MANIFESTS).await? {
            let manifest = match self.manifest(&found.path).await {
                Ok(manifest) => manifest,
                Err(ArchiveError::Manifest { path, source }) => {
                    report.faults.push(Fault::Manifest { path, reason: chain_of(&source) });
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !report.accept_manifest(&found.path, &manifest, last.as_ref()) {
                continue;
            }
            for file in &manifest.files {
                named.insert(file.path.clone());
                self.verify_file(&mut report, &manifest, file).await?;
            }
            self.verify_ledger(&mut report, &manifest).await?;
            last = Some(manifest);
        }
        report.orphans = self.unnamed(&named).await?;
        Ok(report)
    }

    /// Files in the data sets' folders that no manifest names.
    pub async fn orphans(&self) -> Result<Vec<String>, ArchiveError> {
        let mut named = BTreeSet::new();
        for (topic, partition) in self.partitions().await? {
            for manifest in self.manifests(&topic, partition).await? {
                named.extend(manifest.files.into_iter().map(|file| file.path));
            }
        }
        self.unnamed(&named).await
    }

    /// The files that manifests name, in order: what a reader that needs an atomic set should open.
    pub async fn files(&self) -> Result<Vec<FileEntry>, ArchiveError> {
        let mut files = Vec::new();
        for (topic, partition) in self.partitions().await? {
            let manifests = self.manifests(&topic, partition).await?;
            files.extend(manifests.into_iter().flat_map(|manifest| manifest.files));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    async fn unnamed(&self, named: &BTreeSet<String>) -> Result<Vec<String>, ArchiveError> {
        let mut unnamed = Vec::new();
        for dataset in Dataset::ALL {
            let found = self.list(dataset.folder()).await?;
            unnamed.extend(found.into_iter().map(|found| found.path).filter(|path| !named.contains(path)));
        }
        Ok(unnamed)
    }

    async fn verify_file(
        &self,
        report: &mut VerifyReport,
        manifest: &Manifest,
        file: &FileEntry,
    ) -> Result<(), ArchiveError> {
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
        match check_metadata(&bytes, manifest) {
            Ok(None) => {}
            Ok(Some(key)) => report.faults.push(Fault::Metadata { path: path.clone(), key }),
            Err(error) => {
                report.faults.push(Fault::Unreadable { path, reason: chain_of(error.as_ref()) });
                return Ok(());
            }
        }
        match digest_file(bytes, file.dataset) {
            Ok(hours) => report.compare_hours(&path, &file.hours, &hours.0),
            Err(error) => report.faults.push(Fault::Unreadable { path, reason: chain_of(error.as_ref()) }),
        }
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
    /// Takes up a manifest in the order of their paths; `false` if it stands where it does not belong.
    fn accept_manifest(&mut self, path: &str, manifest: &Manifest, last: Option<&Manifest>) -> bool {
        if layout::manifest_path(&manifest.topic, manifest.partition, manifest.first_offset) != path {
            let reason = "its name is not that of the commit it describes".to_owned();
            self.faults.push(Fault::Manifest { path: path.to_owned(), reason });
            return false;
        }
        let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
        let same = last.filter(|last| last.topic == manifest.topic && last.partition == manifest.partition);
        match (same, self.partitions.last_mut()) {
            (Some(last), Some(report)) => {
                report.commits += 1;
                report.next_offset = manifest.next_offset.0;
                report.rows += rows;
                if let Some(chain) = chain_fault(last, manifest) {
                    let (topic, partition) = (manifest.topic.clone(), manifest.partition);
                    self.faults.push(Fault::Chain { topic, partition, chain });
                }
            }
            _ => self.partitions.push(PartitionReport {
                topic: manifest.topic.clone(),
                partition: manifest.partition,
                commits: 1,
                first_offset: manifest.first_offset.0,
                next_offset: manifest.next_offset.0,
                rows,
            }),
        }
        true
    }

    /// Both lists are in order of the hour.
    fn compare_hours(&mut self, path: &str, expected: &[HourDigest], found: &[HourDigest]) {
        self.rows += found.iter().map(|hour| hour.rows).sum::<u64>();
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

/// The digests of a file's rows, from the file alone.
pub(crate) fn digest_file(bytes: bytes::Bytes, dataset: Dataset) -> Result<HourDigests, BoxError> {
    let mut hours = HourDigests::default();
    match dataset {
        Dataset::Readings => {
            let end = read_readings(bytes, &Scan::default(), &mut |row| {
                hours.add_row(row.ingest_time.hour_start(), row.hash());
                ControlFlow::Continue(())
            })?;
            debug_assert!(end.is_continue(), "the visitor never breaks");
        }
        Dataset::Incidents | Dataset::IncidentEvents | Dataset::Inputs | Dataset::Rejected => {
            for row in tables::read_table(bytes)? {
                hours.add_row(row.row.ingest_time.hour_start(), row.hash());
            }
        }
    }
    Ok(hours)
}

/// Names the first entry of a file's metadata that does not match the manifest.
fn check_metadata(bytes: &bytes::Bytes, manifest: &Manifest) -> Result<Option<&'static str>, BoxError> {
    let file = SerializedFileReader::new(bytes.clone())?;
    let metadata = file.metadata().file_metadata();
    let no_entries = Vec::new();
    let entries: &Vec<KeyValue> = metadata.key_value_metadata().unwrap_or(&no_entries);
    let expected = [
        (keys::TOPIC, manifest.topic.clone()),
        (keys::PARTITION, manifest.partition.0.to_string()),
        (keys::FIRST_OFFSET, manifest.first_offset.0.to_string()),
        (keys::LAST_OFFSET, manifest.last_offset.0.to_string()),
    ];
    let differs = |(key, value): &&(&'static str, String)| {
        entries.iter().find(|entry| entry.key == *key).and_then(|entry| entry.value.as_ref()) != Some(value)
    };
    Ok(expected.iter().find(differs).map(|(key, _)| *key))
}

/// An error and all that caused it, on one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
