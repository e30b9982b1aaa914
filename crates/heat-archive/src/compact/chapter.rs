//! Chapters: the manifests of many commits as one, so that years of commits stay quick to list and to read.
//!
//! Commits are folded when (almost) all their files have been replaced by revisions. The newest commits keep their
//! manifests, since archivers meet there.

use heat_ledger::commit::{CommitLedger, Found, Undecodable};
use heat_model::PartitionId;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    archive::{Archive, ArchiveError},
    compact::CompactSettings,
    layout::{self, LEDGER, MANIFESTS, Stretch},
    manifest::{CHAPTER_FORMAT, Chapter, DatasetHours, FileEntry, LedgerEntry, Manifest, OffsetSpan},
    revise::{Observe, ReviseStep, at},
    store::Created,
    view::{Sums, View, add_to},
};

/// Files that a chapter may still list.
const FILES_MAX: usize = 1_000;

/// Commits on their way into a chapter.
struct Fold<'a> {
    view: &'a View,
    manifests: Vec<Manifest>,
    files: Vec<FileEntry>,
    ledger: CommitLedger,
    written: Sums,
}

impl Archive {
    /// Folds what can be folded and says how many commits that was; deletes the manifests that an earlier
    /// run folded.
    pub(super) async fn fold(
        &self,
        topic: &str,
        partition: PartitionId,
        settings: &CompactSettings,
        observe: &mut Observe<'_>,
    ) -> Result<u64, ArchiveError> {
        self.delete_folded(topic, partition, observe).await?;
        let view = self.view_with_hours(topic, partition).await?;
        let chain = self.chain(topic, partition).await?;
        let single: Vec<&str> =
            chain.iter().filter(|link| link.next.is_none()).map(|link| link.path.as_str()).collect();
        let mut folded = 0;
        let foldable = single.len().saturating_sub(settings.commits_kept);
        for paths in single[..foldable].chunks_exact(settings.chapter_commits.max(2)) {
            let mut fold = Fold::new(&view);
            for path in paths {
                let manifest = self.manifest(path).await?;
                let ledger = self.ledger(&manifest).await?;
                fold.add(manifest, &ledger);
            }
            if fold.files.len() > FILES_MAX {
                break;
            }
            self.put_chapter(fold.finish()).await?;
            folded += paths.len() as u64;
            at(observe, ReviseStep::AfterChapter).await?;
        }
        Ok(folded)
    }

    async fn put_chapter(&self, (manifest, ledger): (Manifest, Vec<u8>)) -> Result<(), ArchiveError> {
        self.put(&manifest.ledger.path, ledger.into()).await?;
        let Manifest { topic, partition, first_offset, next_offset, .. } = &manifest;
        let path = layout::chapter_path(topic, *partition, *first_offset, *next_offset);
        let put = self.store.put_if_absent(&path, manifest.to_bytes().into()).await;
        match put.map_err(|source| ArchiveError::Write { path: path.clone(), source })? {
            // Of one that is there already the counts are the same, though files may have been replaced since.
            Created::Created | Created::AlreadyThere => Ok(()),
        }
    }

    /// Deletes manifests and ledgers of commits that an earlier run folded. A run lies between, for those who read.
    async fn delete_folded(
        &self,
        topic: &str,
        partition: PartitionId,
        observe: &mut Observe<'_>,
    ) -> Result<(), ArchiveError> {
        let chapters: Vec<(u64, u64)> = self
            .chain(topic, partition)
            .await?
            .iter()
            .filter_map(|link| Some((link.first.0, link.next?.0)))
            .collect();
        let covers = |first: u64| chapters.iter().any(|(from, to)| (*from..*to).contains(&first));
        for of in [MANIFESTS, LEDGER] {
            for found in self.list(&layout::partition_folder(of, topic, partition)).await? {
                let Some((first, end)) = layout::manifest_span(&found.path) else { continue };
                // A ledger's name has the last offset, a chapter's manifest the next; a chapter's ledger is told by both.
                let is_chapters = chapters.iter().any(|(from, to)| {
                    *from == first.0 && end.is_some_and(|end| end.0 == *to || end.0 + 1 == *to)
                });
                if covers(first.0) && !is_chapters {
                    self.delete(&found.path, observe).await?;
                }
            }
        }
        Ok(())
    }
}

impl<'a> Fold<'a> {
    fn new(view: &'a View) -> Self {
        Self {
            view,
            manifests: Vec::new(),
            files: Vec::new(),
            ledger: CommitLedger::default(),
            written: Sums::new(),
        }
    }

    fn add(&mut self, mut manifest: Manifest, ledger: &CommitLedger) {
        manifest.written().for_each(|(dataset, hour)| add_to(&mut self.written, dataset, hour));
        let stretch = OffsetSpan { first: manifest.first_offset, last: manifest.last_offset };
        for file in std::mem::take(&mut manifest.files) {
            let folder = self.view.folders().get(file.folder());
            if folder.is_some_and(|folder| folder.live.contains_key(&file.path)) {
                self.files.push(FileEntry { offsets: Some(file.offsets.unwrap_or(stretch)), ..file });
            }
        }
        self.ledger.absorb(ledger);
        self.manifests.push(manifest);
    }

    fn finish(mut self) -> (Manifest, Vec<u8>) {
        let (first, last) =
            (self.manifests.first().expect("commits"), self.manifests.last().expect("commits"));
        let (first_offset, last_offset, next_offset) =
            (first.first_offset, last.last_offset, last.next_offset);
        let (topic, partition) = (first.topic.clone(), first.partition);
        let last_append_time_us = last.last_append_time_us;
        let ledger = serde_json::to_vec_pretty(&self.ledger).expect("a ledger has string keys only");
        let stretch = Stretch { topic: &topic, partition, first: first_offset, last: last_offset };
        let path = stretch.ledger_path();
        let hours: Vec<Found> = self.ledger.hours();
        let undecodable: Vec<Undecodable> = self.ledger.undecodable.clone();
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest {
            format: CHAPTER_FORMAT,
            topic: topic.clone(),
            partition,
            first_offset,
            last_offset,
            next_offset,
            last_append_time_us,
            records: self.manifests.iter().map(|manifest| manifest.records).sum(),
            hours,
            undecodable,
            files: self.files,
            ledger: LedgerEntry { path, xxh3: format!("{:016x}", xxh3_64(&ledger)) },
            chapter: Some(Chapter {
                commits: self.manifests.iter().map(Manifest::commits).sum(),
                written: by_dataset(self.written),
            }),
        };
        (manifest, ledger)
    }
}

fn by_dataset(sums: Sums) -> Vec<DatasetHours> {
    let mut written: Vec<DatasetHours> = Vec::new();
    for ((dataset, _), hour) in sums {
        match written.last_mut() {
            Some(last) if last.dataset == dataset => last.hours.push(hour),
            Some(_) | None => written.push(DatasetHours { dataset, hours: vec![hour] }),
        }
    }
    written
}
