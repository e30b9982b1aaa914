//! Publishing revisions, and what follows from them: compacted files come into view, replaced ones go.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use heat_model::PartitionId;

use crate::{
    archive::{Archive, ArchiveError},
    layout::{self, COMPACTED, Dataset},
    manifest::FileEntry,
    revision::{Change, Revision, RevisionKind},
    store::Created,
    view::{Folder, View, is_waiting},
};

/// The steps of work on files, as an observer sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviseStep {
    /// The files of one more folder are to be read.
    BeforeMerge,
    /// Files of one folder are written and synced; none counts yet.
    FilesWritten,
    /// The revision is next.
    BeforeRevision,
    /// The revision is written and synced: its files count.
    AfterRevision,
    /// One more file is to come into view.
    BeforeCopy,
    /// One more file is to be deleted.
    BeforeDelete,
    /// A chapter is written; the manifests that it stands for are still there.
    AfterChapter,
}

/// Sees each step before the next one begins; may wait, to leave room for others, or end the work, as a crash would.
pub type Observe<'a> = dyn FnMut(ReviseStep) -> BoxFuture<'static, ControlFlow<()>> + Send + 'a;

/// An observer that lets everything pass.
pub fn unobserved(_: ReviseStep) -> BoxFuture<'static, ControlFlow<()>> {
    Box::pin(std::future::ready(ControlFlow::Continue(())))
}

pub(crate) async fn at(observe: &mut Observe<'_>, step: ReviseStep) -> Result<(), ArchiveError> {
    match observe(step).await {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ArchiveError::Stopped { step }),
    }
}

/// When files go that revisions replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grace {
    /// Wall time, microseconds since the epoch.
    pub(crate) now_us: i64,
    /// How long replaced files stay, for readers that work with a list made before.
    pub(crate) grace: Duration,
}

impl Grace {
    fn is_over(self, folder: &Folder) -> bool {
        let grace = i64::try_from(self.grace.as_micros()).unwrap_or(i64::MAX);
        folder.changed_us.is_some_and(|changed| changed.saturating_add(grace) <= self.now_us)
    }
}

/// What [`Archive::sweep`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Swept {
    pub(crate) deleted: usize,
    pub(crate) set_aside: Vec<String>,
}

impl Archive {
    /// Publishes the next revision of a partition; an error, if somebody else was faster.
    pub(crate) async fn put_revision(
        &self,
        view: &View,
        kind: RevisionKind,
        at_us: i64,
        changes: Vec<Change>,
        observe: &mut Observe<'_>,
    ) -> Result<Revision, ArchiveError> {
        let revision = Revision {
            format: Revision::format_of(&changes),
            topic: view.topic().to_owned(),
            partition: view.partition(),
            number: view.next_revision(),
            kind,
            at_us,
            changes,
        };
        self.prove_put_if_absent().await?;
        at(observe, ReviseStep::BeforeRevision).await?;
        let path = layout::revision_path(view.topic(), view.partition(), revision.number);
        let put = self.store.put_if_absent(&path, revision.to_bytes().into()).await;
        match put.map_err(|source| ArchiveError::Write { path: path.clone(), source })? {
            Created::Created => {}
            // Our own, if the answer to an earlier attempt was lost.
            Created::AlreadyThere => {
                if self.revision(view.topic(), view.partition(), revision.number).await? != revision {
                    return Err(ArchiveError::Revised { path });
                }
            }
        }
        at(observe, ReviseStep::AfterRevision).await?;
        Ok(revision)
    }

    /// Brings compacted files into view that have waited long enough, in place of the files that they replace.
    pub(crate) async fn promote(
        &self,
        topic: &str,
        partition: PartitionId,
        grace: Grace,
        observe: &mut Observe<'_>,
    ) -> Result<(), ArchiveError> {
        let view = self.view(topic, partition).await?;
        let mut by_day: BTreeMap<Option<i64>, Vec<&str>> = BTreeMap::new();
        for (path, folder) in view.folders() {
            if folder.has_waiting() && grace.is_over(folder) {
                by_day.entry(layout::day_of(path)).or_default().push(path);
            }
        }
        if by_day.is_empty() {
            return Ok(());
        }
        // Digests are needed for the entries; each revision brings the view forward.
        let mut brought = self.view_with_hours(topic, partition).await?;
        for folders in by_day.into_values() {
            let view = &brought;
            let mut changes = Vec::with_capacity(folders.len());
            for path in folders {
                let Some(folder) = view.folders().get(path) else { continue };
                changes.push(self.promote_folder(view, path, folder, observe).await?);
            }
            let kind = RevisionKind::Promotion;
            let revision = self.put_revision(view, kind, grace.now_us, changes, observe).await?;
            brought.apply_revision(&revision);
        }
        Ok(())
    }

    async fn promote_folder(
        &self,
        view: &View,
        path: &str,
        folder: &Folder,
        observe: &mut Observe<'_>,
    ) -> Result<Change, ArchiveError> {
        let mut change = Change {
            folder: path.to_owned(),
            commits_up_to: None,
            except: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            set_aside: Vec::new(),
            removed: Vec::new(),
        };
        for file in folder.live.values().filter(|file| is_waiting(&file.entry.path)) {
            let from = &file.entry.path;
            let to = from[COMPACTED.len() + 1..].to_owned();
            at(observe, ReviseStep::BeforeCopy).await?;
            let copied = self.store.copy(from, &to).await;
            copied.map_err(|source| ArchiveError::Write { path: to.clone(), source })?;
            change.inputs.push(from.clone());
            change.outputs.push(FileEntry { path: to, offsets: Some(file.offsets), ..file.entry.clone() });
        }
        for found in self.list(path).await? {
            let is_output = change.outputs.iter().any(|output| output.path == found.path);
            if !is_output && is_replaced(view, folder, &found.path) {
                self.delete(&found.path, observe).await?;
            }
        }
        Ok(change)
    }

    /// Deletes what revisions replaced longer ago than the grace time, and moves away what nobody of us wrote.
    pub(crate) async fn sweep(
        &self,
        partitions: &[(String, PartitionId)],
        grace: Grace,
        observe: &mut Observe<'_>,
    ) -> Result<Swept, ArchiveError> {
        let mut views: BTreeMap<String, Arc<View>> = BTreeMap::new();
        for (topic, partition) in partitions {
            let view = self.view(topic, *partition).await?;
            views.insert(format!("{}/{}", layout::escaped(topic), partition.0), view);
        }
        let mut swept = Swept::default();
        let folders = Dataset::ALL.map(Dataset::folder).into_iter().chain([COMPACTED]);
        for top in folders {
            for found in self.list(top).await? {
                let Some(name) = layout::file_name(&found.path) else {
                    if self.set_aside(&found.path).await?.is_some() {
                        self.delete(&found.path, observe).await?;
                        swept.set_aside.push(found.path);
                    }
                    continue;
                };
                let Some(view) = views.get(&name.of) else { continue };
                let Some(folder) = view.folders().get(layout::folder_of(&found.path)) else { continue };
                let may_go = grace.is_over(folder) && (is_waiting(&found.path) || !folder.has_waiting());
                if may_go && is_replaced(view, folder, &found.path) {
                    self.delete(&found.path, observe).await?;
                    swept.deleted += 1;
                }
            }
        }
        Ok(swept)
    }

    pub(crate) async fn delete(&self, path: &str, observe: &mut Observe<'_>) -> Result<(), ArchiveError> {
        at(observe, ReviseStep::BeforeDelete).await?;
        let deleted = self.store.delete(path).await;
        deleted.map_err(|source| ArchiveError::Write { path: path.to_owned(), source })
    }
}

/// Whether a file of ours, found in a folder or waiting for it, holds nothing any more: other files stand in for it.
/// What is still to be named by a commit or a revision on its way is not replaced.
pub(crate) fn is_replaced(view: &View, folder: &Folder, path: &str) -> bool {
    let Some(name) = layout::file_name(path) else { return false };
    let of_view = format!("{}/{}", layout::escaped(view.topic()), view.partition().0);
    if name.of != of_view || folder.live.contains_key(path) || folder.lost.contains_key(path) {
        return false;
    }
    match name.revision {
        Some(revision) => revision < view.next_revision(),
        None => folder.replaces(name.last, path),
    }
}
