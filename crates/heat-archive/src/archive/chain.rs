//! Commits and revisions of a partition, in order.

use std::sync::Arc;

use heat_model::{Offset, PartitionId, record::NextOffset};

use super::{Archive, ArchiveError, ChainFault};
use crate::{
    layout::{self, MANIFESTS, REVISIONS, SET_ASIDE},
    manifest::{Manifest, ManifestError},
    revision::Revision,
    view::View,
};

/// One manifest of a partition's chain, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) first: Offset,
    /// Known of a chapter.
    pub(crate) next: Option<NextOffset>,
}

/// How far a view was brought.
enum Progress {
    Done,
    /// A chapter begins inside what the view knows.
    Anew,
}

impl Archive {
    /// The files that hold a partition's rows now. Two calls without a change between them give the same view.
    pub async fn view(&self, topic: &str, partition: PartitionId) -> Result<Arc<View>, ArchiveError> {
        let mut views = self.views.lock().await;
        let view = views
            .entry((topic.to_owned(), partition))
            .or_insert_with(|| Arc::new(View::new(topic, partition, false)));
        let known = view.rows_set_aside();
        self.bring_up(Arc::make_mut(view)).await?;
        let (rows, folder) = (view.rows_set_aside(), SET_ASIDE);
        if rows > known {
            tracing::warn!(
                topic,
                partition = partition.0,
                rows,
                "rows of the archive are missing: their files were damaged and lie in {folder}; `heatstream archive verify` names them"
            );
        }
        Ok(Arc::clone(view))
    }

    /// The same with the digests of each file.
    pub(crate) async fn view_with_hours(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<View, ArchiveError> {
        let mut view = View::new(topic, partition, true);
        self.bring_up(&mut view).await?;
        Ok(view)
    }

    async fn bring_up(&self, view: &mut View) -> Result<(), ArchiveError> {
        // Chapters replace commits while somebody reads; each round sees a later state, so few rounds are enough.
        const ROUNDS_MAX: usize = 5;
        let mut last = None;
        for _ in 0..ROUNDS_MAX {
            match self.bring_up_once(view).await {
                Ok(Progress::Done) => return Ok(()),
                Ok(Progress::Anew) => view.forget(),
                Err(error @ ArchiveError::Missing { .. }) => last = Some(error),
                Err(error) => {
                    view.forget();
                    return Err(error);
                }
            }
        }
        view.forget();
        Err(last.unwrap_or_else(|| ArchiveError::Busy {
            topic: view.topic().to_owned(),
            partition: view.partition(),
        }))
    }

    async fn bring_up_once(&self, view: &mut View) -> Result<Progress, ArchiveError> {
        let (topic, partition) = (view.topic().to_owned(), view.partition());
        // Revisions first: the commits whose files they replace are then certainly listed afterwards.
        for number in self.revision_numbers(&topic, partition, view.next_revision()).await? {
            let revision = self.revision(&topic, partition, number).await?;
            view.apply_revision(&revision);
        }
        let start = view.next_offset();
        for link in self.chain(&topic, partition).await? {
            if let Some(start) = start.filter(|start| link.first.0 < start.0) {
                if link.next.is_some_and(|next| next > start) {
                    return Ok(Progress::Anew);
                }
                continue;
            }
            let source = match view.next_offset() {
                Some(next) if next.0 < link.first.0 => ChainFault::Hole { from: next.0, to: link.first.0 },
                Some(next) if next.0 > link.first.0 => ChainFault::Overlap { from: link.first.0, to: next.0 },
                Some(_) | None => {
                    view.apply_manifest(&self.manifest(&link.path).await?);
                    continue;
                }
            };
            return Err(ArchiveError::Chain { topic, partition, source });
        }
        Ok(Progress::Done)
    }

    /// The manifests of a partition that are to be read, in order: chapters, and the commits that none stands for.
    pub(crate) async fn chain(&self, topic: &str, partition: PartitionId) -> Result<Vec<Link>, ArchiveError> {
        let listed = self.list(&layout::partition_folder(MANIFESTS, topic, partition)).await?;
        let mut chain: Vec<Link> = listed
            .into_iter()
            .filter_map(|found| {
                let (first, next) = layout::manifest_span(&found.path)?;
                Some(Link { path: found.path, first, next })
            })
            .collect();
        // A chapter before the commits that it stands for.
        chain.sort_by_key(|link| (link.first, link.next.is_none()));
        let mut covered = NextOffset(0);
        chain.retain(|link| {
            let is_covered = link.first.0 < covered.0;
            if let Some(next) = link.next {
                covered = covered.max(next);
            }
            !is_covered
        });
        Ok(chain)
    }

    /// All manifests of a partition, chapters in place of the commits that they stand for, checked to form one chain.
    pub async fn manifests(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Vec<Manifest>, ArchiveError> {
        let chain = self.chain(topic, partition).await?;
        let mut manifests: Vec<Manifest> = Vec::with_capacity(chain.len());
        for link in chain {
            let manifest = self.manifest(&link.path).await?;
            if let Some(source) = manifests.last().and_then(|last| super::chain_fault(last, &manifest)) {
                return Err(ArchiveError::Chain { topic: topic.to_owned(), partition, source });
            }
            manifests.push(manifest);
        }
        Ok(manifests)
    }

    /// The numbers of a partition's revisions from `from` on, in order, without a gap.
    pub(crate) async fn revision_numbers(
        &self,
        topic: &str,
        partition: PartitionId,
        from: u64,
    ) -> Result<std::ops::Range<u64>, ArchiveError> {
        let listed = self.list(&layout::partition_folder(REVISIONS, topic, partition)).await?;
        let mut next = from;
        let number = |path: &str| layout::manifest_span(path).map(|(number, _)| number.0);
        for number in listed.iter().filter_map(|found| number(&found.path)).filter(|number| *number >= from) {
            if number != next {
                let path = layout::revision_path(topic, partition, next);
                return Err(ArchiveError::Missing { path });
            }
            next += 1;
        }
        Ok(from..next)
    }

    /// One revision.
    pub async fn revision(
        &self,
        topic: &str,
        partition: PartitionId,
        number: u64,
    ) -> Result<Revision, ArchiveError> {
        let path = layout::revision_path(topic, partition, number);
        let bytes = self.bytes(&path).await?;
        let unusable = |source| ArchiveError::Manifest { path: path.clone(), source };
        let revision = Revision::from_bytes(&bytes).map_err(unusable)?;
        if revision.number != number {
            let what = "the revision's number is not that of its name";
            return Err(ArchiveError::Manifest { path, source: ManifestError::Contradiction(what) });
        }
        Ok(revision)
    }
}
