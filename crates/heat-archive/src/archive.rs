//! The archive as a whole: where a partition resumes, and publishing.

use std::ops::ControlFlow;

use heat_ledger::commit::CommitLedger;
use heat_model::{Offset, PartitionId, record::NextOffset};

use crate::{
    layout::{self, MANIFESTS},
    manifest::{Manifest, ManifestError},
    store::{BoxError, Created, Store},
    writer::SealedCommit,
};

/// An archive: a folder with files that manifests name.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Store,
}

/// Where a partition's archive ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Where the next commit begins; `None` if the archive has nothing of the partition.
    pub next_offset: Option<NextOffset>,
    /// How many commits there are.
    pub commits: usize,
}

/// Proof that everything before its offset is archived, durable and named by a manifest: whoever holds it may commit
/// that offset upstream.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a published commit lets the log move on"]
pub struct Published {
    next_offset: NextOffset,
    manifest: Manifest,
}

impl Published {
    /// The offset to commit.
    pub fn next_offset(&self) -> NextOffset {
        self.next_offset
    }

    /// What was published.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// The steps of publishing a commit, as an observer sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishStep {
    /// Nothing is written.
    BeforeWrite,
    /// So many files are written and synced; more are to come.
    MidWrite(usize),
    /// All files are written and synced.
    FilesWritten,
    /// The ledger is written and synced; the manifest is next.
    BeforeManifest,
    /// The manifest is written and synced: the commit counts.
    AfterManifest,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The store may recover: keep the commit and try again.
    Retry,
    /// A person must act.
    Stop,
}

/// How the manifests of a partition fail to form a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ChainFault {
    /// Offsets that no commit covers.
    #[error("offsets {from}..{to} are in no commit: a manifest is missing")]
    Hole {
        /// First of them.
        from: u64,
        /// The first offset after them.
        to: u64,
    },
    /// Offsets that two commits cover.
    #[error("offsets {from}..{to} are in two commits: one manifest does not belong here")]
    Overlap {
        /// First of them.
        from: u64,
        /// The first offset after them.
        to: u64,
    },
}

/// Why the archive did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The location is of a kind that is not supported.
    #[error(
        "cannot archive to {location}: give a folder of the local file system, as a path or a file:// URL"
    )]
    Location {
        /// As given.
        location: String,
    },
    /// The folder cannot be opened.
    #[error("open the archive's folder {location}: create it, or make it writable for this user")]
    Open {
        /// As given.
        location: String,
        /// Why.
        source: BoxError,
    },
    /// Something could not be written. Nothing of the commit counts yet.
    #[error("write {path} in the archive: free space on its disk or make it writable; the commit waits")]
    Write {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// Something could not be read.
    #[error("read {path} in the archive")]
    Read {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// A file that a manifest names is not there.
    #[error("{path} is named by a manifest but is not in the archive: restore it from a backup")]
    Missing {
        /// What.
        path: String,
    },
    /// A file is not Parquet, is torn, or does not have the archive's columns.
    #[error(
        "{path} cannot be read as a file of the archive: restore it from a backup, or run `heatstream archive verify`"
    )]
    Unreadable {
        /// What.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// A manifest cannot be used.
    #[error("the manifest {path} cannot be used: restore it from a backup")]
    Manifest {
        /// Which.
        path: String,
        /// Why.
        source: ManifestError,
    },
    /// The manifests of a partition do not form one chain.
    #[error("the manifests of {topic}-{partition} do not form a chain: run `heatstream archive verify`", partition = .partition.0)]
    Chain {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// How.
        source: ChainFault,
    },
    /// Another archiver has published from the same offset on.
    #[error(
        "another archiver has published {path}: run one archiver for a partition; this one must give way"
    )]
    Fenced {
        /// The manifest that is there.
        path: String,
    },
    /// The observer ended the publishing.
    #[error("publishing was ended at {step:?}")]
    Ended {
        /// Where.
        step: PublishStep,
    },
}

impl ArchiveError {
    /// Whether trying again can help.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Open { .. } | Self::Write { .. } | Self::Read { .. } => Disposition::Retry,
            Self::Location { .. }
            | Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::Manifest { .. }
            | Self::Chain { .. }
            | Self::Fenced { .. }
            | Self::Ended { .. } => Disposition::Stop,
        }
    }
}

impl Archive {
    /// Opens the archive at a path or `file://` URL; creates the folder if it is not there.
    pub async fn open(location: &str) -> Result<Self, ArchiveError> {
        let path = match location.split_once("://") {
            None => location.to_owned(),
            Some(("file", path)) => path.to_owned(),
            Some(_) => return Err(ArchiveError::Location { location: location.to_owned() }),
        };
        let opened = tokio::task::spawn_blocking(move || Store::local(path.as_ref())).await;
        let store = opened
            .map_err(BoxError::from)
            .and_then(|store| store)
            .map_err(|source| ArchiveError::Open { location: location.to_owned(), source })?;
        Ok(Self { store })
    }

    /// The folder.
    pub fn root(&self) -> &std::path::Path {
        self.store.root()
    }

    /// Where a partition resumes, by its manifests alone. What they list is made durable first, so the answer may be
    /// committed upstream.
    pub async fn resume(&self, topic: &str, partition: PartitionId) -> Result<Resume, ArchiveError> {
        let folder = layout::partition_folder(MANIFESTS, topic, partition);
        let sync = self.store.sync_folder(&folder).await;
        sync.map_err(|source| ArchiveError::Write { path: folder, source })?;
        let manifests = self.manifests(topic, partition).await?;
        Ok(Resume {
            topic: topic.to_owned(),
            partition,
            next_offset: manifests.last().map(|manifest| manifest.next_offset),
            commits: manifests.len(),
        })
    }

    /// All manifests of a partition, in order, checked to form one chain.
    pub async fn manifests(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Vec<Manifest>, ArchiveError> {
        let folder = layout::partition_folder(MANIFESTS, topic, partition);
        let found = self.list(&folder).await?;
        let mut manifests: Vec<Manifest> = Vec::with_capacity(found.len());
        for found in found {
            let manifest = self.manifest(&found.path).await?;
            if let Some(source) = manifests.last().and_then(|last| chain_fault(last, &manifest)) {
                return Err(ArchiveError::Chain { topic: topic.to_owned(), partition, source });
            }
            manifests.push(manifest);
        }
        Ok(manifests)
    }

    /// Where each commit of a partition begins, in order, without reading its manifest.
    pub async fn commits(&self, topic: &str, partition: PartitionId) -> Result<Vec<Offset>, ArchiveError> {
        let found = self.list(&layout::partition_folder(MANIFESTS, topic, partition)).await?;
        Ok(found.iter().filter_map(|found| layout::first_offset(&found.path)).collect())
    }

    /// The manifest of the commit that begins at this offset.
    pub async fn commit_at(
        &self,
        topic: &str,
        partition: PartitionId,
        first: Offset,
    ) -> Result<Manifest, ArchiveError> {
        self.manifest(&layout::manifest_path(topic, partition, first)).await
    }

    /// All partitions of which there are manifests, in order.
    pub async fn partitions(&self) -> Result<Vec<(String, PartitionId)>, ArchiveError> {
        let mut partitions = Vec::new();
        let mut last_folder = String::new();
        for found in self.list(MANIFESTS).await? {
            let folder = found.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if folder != last_folder {
                last_folder = folder.to_owned();
                let manifest = self.manifest(&found.path).await?;
                partitions.push((manifest.topic, manifest.partition));
            }
        }
        partitions.sort();
        Ok(partitions)
    }

    /// Publishes a commit: its files, its ledger, then the manifest, if there is none for its first offset yet.
    ///
    /// After an error that [`ArchiveError::disposition`] calls `Retry` the same commit may be published again; what
    /// was written before then is written anew under the same names.
    pub async fn publish(&self, commit: &SealedCommit) -> Result<Published, ArchiveError> {
        self.publish_observed(commit, &mut |_| ControlFlow::Continue(())).await
    }

    /// Like [`Self::publish`], with an observer that sees each step and may end there, as a crash would.
    pub async fn publish_observed(
        &self,
        commit: &SealedCommit,
        observe: &mut (dyn FnMut(PublishStep) -> ControlFlow<()> + Send),
    ) -> Result<Published, ArchiveError> {
        let mut at = |step| match observe(step) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ArchiveError::Ended { step }),
        };
        let manifest = &commit.manifest;
        // Who is late must not touch the files of who was first.
        if let Some(published) = self.published_already(manifest).await? {
            return Ok(published);
        }
        at(PublishStep::BeforeWrite)?;
        for (written, (entry, bytes)) in (1..).zip(manifest.files.iter().zip(&commit.files)) {
            self.put(&entry.path, bytes.clone()).await?;
            if written < manifest.files.len() {
                at(PublishStep::MidWrite(written))?;
            }
        }
        at(PublishStep::FilesWritten)?;
        self.put(&manifest.ledger.path, commit.ledger.clone()).await?;
        at(PublishStep::BeforeManifest)?;
        self.put_manifest(manifest).await?;
        at(PublishStep::AfterManifest)?;
        Ok(Published { next_offset: manifest.next_offset, manifest: manifest.clone() })
    }

    /// The proof, if this very commit is published; an error, if another one from the same offset on is.
    async fn published_already(&self, manifest: &Manifest) -> Result<Option<Published>, ArchiveError> {
        let path = layout::manifest_path(&manifest.topic, manifest.partition, manifest.first_offset);
        let there = match self.manifest(&path).await {
            Ok(there) => there,
            Err(ArchiveError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Either an answer was lost and this is our own manifest, or somebody else's: equal ones are the same commit,
        // whoever wrote it.
        if there != *manifest {
            return Err(ArchiveError::Fenced { path });
        }
        let folder = layout::partition_folder(MANIFESTS, &manifest.topic, manifest.partition);
        self.store.sync_folder(&folder).await.map_err(|source| ArchiveError::Write { path, source })?;
        Ok(Some(Published { next_offset: there.next_offset, manifest: there }))
    }

    async fn put_manifest(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let path = layout::manifest_path(&manifest.topic, manifest.partition, manifest.first_offset);
        let put = self.store.put_if_absent(&path, manifest.to_bytes().into()).await;
        match put.map_err(|source| ArchiveError::Write { path: path.clone(), source })? {
            Created::Created => Ok(()),
            Created::AlreadyThere => match self.published_already(manifest).await? {
                Some(_) => Ok(()),
                None => Err(ArchiveError::Missing { path }),
            },
        }
    }

    async fn put(&self, path: &str, bytes: bytes::Bytes) -> Result<(), ArchiveError> {
        // The names are deterministic and the rows under a name always the same, so replacing what an earlier
        // attempt left is safe, and makes it durable.
        let put = self.store.put(path, bytes).await;
        put.map_err(|source| ArchiveError::Write { path: path.to_owned(), source })
    }

    pub(crate) async fn manifest(&self, path: &str) -> Result<Manifest, ArchiveError> {
        let bytes = self.bytes(path).await?;
        Manifest::from_bytes(&bytes)
            .map_err(|source| ArchiveError::Manifest { path: path.to_owned(), source })
    }

    /// The ledger of a commit: what was found in its stretch of the log.
    pub async fn ledger(&self, manifest: &Manifest) -> Result<CommitLedger, ArchiveError> {
        let path = &manifest.ledger.path;
        let bytes = self.bytes(path).await?;
        serde_json::from_slice(&bytes).map_err(|source| {
            let source = ManifestError::Parse(source);
            ArchiveError::Manifest { path: path.clone(), source }
        })
    }

    pub(crate) async fn bytes(&self, path: &str) -> Result<bytes::Bytes, ArchiveError> {
        let got = self.store.get(path).await;
        got.map_err(|source| ArchiveError::Read { path: path.to_owned(), source })?
            .ok_or_else(|| ArchiveError::Missing { path: path.to_owned() })
    }

    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<crate::store::Found>, ArchiveError> {
        let listed = self.store.list(folder).await;
        listed.map_err(|source| ArchiveError::Read { path: folder.to_owned(), source })
    }
}

/// How the second of two manifests fails to follow the first.
pub(crate) fn chain_fault(before: &Manifest, after: &Manifest) -> Option<ChainFault> {
    let (end, begin) = (before.next_offset.0, after.first_offset);
    match begin.cmp(&Offset(end)) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(ChainFault::Hole { from: end, to: begin.0 }),
        std::cmp::Ordering::Less => {
            Some(ChainFault::Overlap { from: begin.0, to: end.min(after.next_offset.0) })
        }
    }
}
