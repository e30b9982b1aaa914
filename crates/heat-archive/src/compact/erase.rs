//! Erasing the readings of homes: out of every file, at once, and provably nothing else with them.

use std::collections::BTreeMap;

use heat_model::{EventTime, NetworkId, SiteId};
use serde::Serialize;

use super::{CompactReport, CompactSettings, aside::Unsound, late::Extent};
use crate::{
    archive::{Archive, ArchiveError},
    layout::{self, COMPACTED, Dataset},
    manifest::FileEntry,
    read::{ArchivedReading, Scan},
    revise::{Observe, ReviseStep, at, is_replaced},
    revision::{Change, Reason, RevisionKind},
    table::TableRow,
    view::{LiveFile, View, is_waiting},
};

/// Which readings are to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Of this network.
    pub network: NetworkId,
    /// Of this site.
    pub site: SiteId,
    /// Only those measured at this time or later.
    pub from: Option<EventTime>,
    /// Only those measured before this.
    pub to: Option<EventTime>,
}

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EraseReport {
    /// Rows of readings that are erased.
    pub rows: u64,
    /// Files that were written anew without them.
    pub files: usize,
    /// Files deleted: those that held them, earlier states of them too.
    pub deleted: usize,
    /// Damaged files in `set_aside/` that may hold such rows; nobody deletes them but people.
    pub set_aside: Vec<String>,
    /// Rows of the small tables that name the site, by data set: dead letters, tickets and commands, incidents. They stay
    /// until their retention ends, since counts and decisions are proved by them.
    pub named_elsewhere: BTreeMap<Dataset, u64>,
}

/// Whether a reading is to be erased.
pub(super) type Erased<'a> = dyn Fn(&ArchivedReading) -> bool + Send + Sync + 'a;

impl Erasure {
    fn covers(&self, row: &ArchivedReading) -> bool {
        row.signal.id.network == self.network
            && row.signal.id.site == self.site
            && self.from.is_none_or(|from| row.event_time >= from)
            && self.to.is_none_or(|to| row.event_time < to)
    }

    /// Whether a row of a small table names the site, in whatever form its JSON does.
    fn is_named_in(&self, row: &TableRow) -> bool {
        let site = self.site.as_str();
        let in_hex =
            || row.json.contains(&site.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")));
        (row.network.is_empty() || row.network == self.network.as_str())
            && (has_word(&row.json, site) || in_hex())
    }

    fn may_be_in(&self, path: &str) -> bool {
        let network = format!("/network={}", layout::escaped(self.network.as_str()));
        Dataset::of_path(path).is_some_and(Dataset::holds_readings) && path.ends_with(&network)
    }
}

impl Archive {
    /// Erases readings from the archive: the files that hold some are written anew without them, and deleted with all
    /// their earlier states, without a grace time. The numbers and digests of what is gone stay, so `verify` and `audit`
    /// can tell an erasure from a loss. Files of commits that are published later may hold such readings again.
    pub async fn erase(
        &self,
        erasure: &Erasure,
        settings: &CompactSettings,
        observe: &mut Observe<'_>,
    ) -> Result<EraseReport, ArchiveError> {
        let mut report = EraseReport::default();
        for (topic, partition) in self.partitions().await? {
            let view = self.view_with_hours(&topic, partition).await?;
            let mut changes = Vec::new();
            self.count_elsewhere(erasure, &view, &mut report).await?;
            for (path, folder) in view.folders().iter().filter(|(path, _)| erasure.may_be_in(path)) {
                report.set_aside.extend(folder.lost.values().filter_map(|lost| lost.to.clone()));
                if !self.holds_any(erasure, folder.live.values()).await? {
                    continue;
                }
                at(observe, ReviseStep::BeforeMerge).await?;
                let covers = |row: &ArchivedReading| erasure.covers(row);
                let mut compacted = CompactReport::default();
                let whole = (Extent::All, Some(&covers as &Erased<'_>));
                let unsound = Unsound::default();
                let made = self
                    .compact_folder(&view, (path, folder), whole, unsound, settings, &mut compacted)
                    .await?
                    .changes;
                if let Some(bad) = compacted.unreadable.pop() {
                    let source = bad.reason.into();
                    return Err(ArchiveError::Unreadable { path: bad.path, source });
                }
                changes.extend(made);
            }
            if changes.is_empty() {
                continue;
            }
            changes.sort_by(|a, b| a.folder.cmp(&b.folder));
            report.files += changes.iter().map(|change| change.outputs.len()).sum::<usize>();
            self.put_in_view(&mut changes).await?;
            let folders: Vec<String> = changes.iter().map(|change| change.folder.clone()).collect();
            let kind = RevisionKind::Erasure;
            let revision = self.put_revision(&view, kind, settings.now_us, changes, observe).await?;
            report.rows += revision.rows_removed(Reason::Erased);
            report.deleted += self.delete_replaced(&view, &folders, observe).await?;
        }
        Ok(report)
    }

    /// Counts the rows of small tables that name the site.
    async fn count_elsewhere(
        &self,
        erasure: &Erasure,
        view: &View,
        report: &mut EraseReport,
    ) -> Result<(), ArchiveError> {
        for file in view.live() {
            let dataset = file.entry.dataset;
            if dataset.holds_readings() || dataset == Dataset::Rollups {
                continue;
            }
            let rows = self.table_rows(&file.entry.path).await?;
            let named = rows.iter().filter(|(_, row)| erasure.is_named_in(row)).count() as u64;
            if named > 0 {
                *report.named_elsewhere.entry(dataset).or_default() += named;
            }
        }
        Ok(())
    }

    async fn holds_any(
        &self,
        erasure: &Erasure,
        files: impl Iterator<Item = &LiveFile>,
    ) -> Result<bool, ArchiveError> {
        let scan = Scan { from: erasure.from, to: erasure.to, ..Scan::default() };
        for file in files {
            let mut found = false;
            let mut look = |row: ArchivedReading| {
                found = erasure.covers(&row);
                if found { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
            };
            let end = self.scan_file(&file.entry.path, &scan, &mut look).await?;
            if end.is_break() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Copies files to where everybody looks, before the revision names them there.
    async fn put_in_view(&self, changes: &mut [Change]) -> Result<(), ArchiveError> {
        for output in changes.iter_mut().flat_map(|change| &mut change.outputs) {
            if is_waiting(&output.path) {
                let to = output.path[COMPACTED.len() + 1..].to_owned();
                let copied = self.store.copy(&output.path, &to).await;
                copied.map_err(|source| ArchiveError::Write { path: to.clone(), source })?;
                *output = FileEntry { path: to, ..output.clone() };
            }
        }
        Ok(())
    }

    /// Deletes everything in these folders, and what waits for them, that no longer holds rows.
    async fn delete_replaced(
        &self,
        before: &View,
        folders: &[String],
        observe: &mut Observe<'_>,
    ) -> Result<usize, ArchiveError> {
        let view = self.view(before.topic(), before.partition()).await?;
        let mut deleted = 0;
        for path in folders {
            let Some(folder) = view.folders().get(path) else { continue };
            for place in [path.clone(), format!("{COMPACTED}/{path}")] {
                for found in self.list(&place).await? {
                    if is_replaced(&view, folder, &found.path) {
                        self.delete(&found.path, observe).await?;
                        deleted += 1;
                    }
                }
            }
        }
        Ok(deleted)
    }
}

/// Whether a text has an id as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices(word).any(|(place, _)| {
        !text[..place].ends_with(is_part) && !text[place + word.len()..].starts_with(is_part)
    })
}
