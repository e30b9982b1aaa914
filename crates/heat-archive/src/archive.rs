//! The archive as a whole: where a partition resumes, and publishing.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use futures_util::{StreamExt, stream::FuturesOrdered};
use heat_ledger::commit::CommitLedger;
use heat_model::{AppendTime, Offset, PartitionId, record::NextOffset};
use tokio::sync::Mutex;

use crate::{
    layout::{self, MANIFESTS},
    location::Location,
    manifest::{Manifest, ManifestError},
    store::{Created, Store},
    view::View,
    writer::SealedCommit,
};

mod chain;
mod error;

pub use error::{ArchiveError, ChainFault, Disposition};

/// What is known of each partition of each topic.
type Views = BTreeMap<(String, PartitionId), Arc<View>>;

/// An archive: a folder or bucket with files that manifests name. Clones share what they know of it.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) store: Store,
    views: Arc<Mutex<Views>>,
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
    /// The archive's last record, and when the log took it, where the newest manifest says it.
    pub last_record: Option<(Offset, AppendTime)>,
    /// How many commits there are.
    pub commits: u64,
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

impl Archive {
    /// Opens the archive at a path or URL; creates the folder if it is not there. An object store is not asked yet.
    pub async fn open(location: impl Into<Location>) -> Result<Self, ArchiveError> {
        let store = Store::open(&location.into()).await?;
        Ok(Self { store, views: Arc::default() })
    }

    /// Where a file of the archive is to be found by others.
    pub fn address(&self, path: &str) -> String {
        self.store.address(path)
    }

    /// Where a partition resumes, by its manifests alone. What they list is made durable first, so the answer may be
    /// committed upstream.
    ///
    /// Asks an object store once whether it refuses a second conditional put, without which two archivers by mistake
    /// could both count.
    pub async fn resume(&self, topic: &str, partition: PartitionId) -> Result<Resume, ArchiveError> {
        self.prove_put_if_absent().await?;
        let folder = layout::partition_folder(MANIFESTS, topic, partition);
        let sync = self.store.sync_folder(&folder).await;
        sync.map_err(|source| ArchiveError::Write { path: folder, source })?;
        let view = self.view(topic, partition).await?;
        Ok(Resume {
            topic: topic.to_owned(),
            partition,
            next_offset: view.next_offset(),
            last_record: view.last_record(),
            commits: view.commits(),
        })
    }

    pub(crate) async fn prove_put_if_absent(&self) -> Result<(), ArchiveError> {
        match self.store.refuses_second_put().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ArchiveError::Unconditional { location: self.store.address("") }),
            Err(source) => Err(ArchiveError::Write { path: "probe".to_owned(), source }),
        }
    }

    /// All partitions of which there are manifests, in order.
    pub async fn partitions(&self) -> Result<Vec<(String, PartitionId)>, ArchiveError> {
        let mut partitions = Vec::new();
        let mut last_folder = String::new();
        for found in self.list(MANIFESTS).await? {
            // What is no manifest of ours by its name is foreign: `verify` names it, and nothing depends on it.
            if layout::manifest_span(&found.path).is_none() {
                continue;
            }
            let folder = layout::parent_of(&found.path);
            if folder != last_folder {
                last_folder = folder.to_owned();
                let manifest = match self.manifest(&found.path).await {
                    // A chapter stands for it by now; the folder's next entry says the same.
                    Err(ArchiveError::Missing { .. }) => {
                        last_folder.clear();
                        continue;
                    }
                    manifest => manifest?,
                };
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
        let files = manifest.files.iter().zip(&commit.files);
        let mut puts = files.map(|(entry, bytes)| self.put(&entry.path, bytes.clone()));
        let mut under_way = FuturesOrdered::new();
        let (mut outcome, mut written) = (Ok(()), 0);
        loop {
            if outcome.is_ok() {
                let free = self.store.puts_at_once() - under_way.len();
                under_way.extend(puts.by_ref().take(free));
            }
            // After a failure those under way are waited for: the same file written again meanwhile could be renamed when half
            // of it is there.
            let Some(put) = under_way.next().await else { break };
            if outcome.is_ok() {
                written += 1;
                let is_last = written == manifest.files.len();
                outcome =
                    put.and_then(|()| if is_last { Ok(()) } else { at(PublishStep::MidWrite(written)) });
            }
        }
        outcome?;
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

    pub(crate) async fn put(&self, path: &str, bytes: bytes::Bytes) -> Result<(), ArchiveError> {
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
