//! Late readings of a closed date: they gather in one file beside the large ones, and only once in a while, or when they
//! are many, is the date merged whole and its hours summed up anew. A week of late readings would otherwise rewrite seven
//! days of a city with every run.

use std::collections::{BTreeMap, BTreeSet};

use super::{CompactSettings, rollup};
use crate::{
    layout::{self, Dataset},
    view::{Folder, LiveFile, View},
};

/// Late rows beyond this part of a date's rows are no trickle: the date is merged whole.
const TRICKLE_PART: u64 = 8;

/// Which files of a folder a run merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// All but those of the last whole merge.
    Late,
    /// None: a damaged file is taken out, and the others stay as they are.
    Nothing,
}

/// The revision that made a file, wherever it was moved since; `None` of a commit's file.
pub(super) fn made_by(file: &LiveFile) -> Option<u64> {
    file.revision?;
    layout::file_name(&file.entry.path)?.revision
}

/// Whether one merge made all files of a folder.
pub(crate) fn is_merged_whole(folder: &Folder) -> bool {
    let makers: BTreeSet<Option<u64>> = folder.live.values().map(made_by).collect();
    makers.len() == 1 && !makers.contains(&None)
}

/// The revision that made the most rows of a folder, and how many.
fn main_revision(folder: &Folder) -> Option<(u64, u64)> {
    let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
    for file in folder.live.values() {
        if let Some(revision) = made_by(file) {
            *rows.entry(revision).or_default() += file.entry.rows;
        }
    }
    rows.into_iter().max_by_key(|(revision, rows)| (*rows, std::cmp::Reverse(*revision)))
}

/// How much a run that finds something new in a folder merges.
pub(super) fn extent(view: &View, path: &str, folder: &Folder, settings: &CompactSettings) -> Extent {
    let Some((main, main_rows)) = main_revision(folder) else { return Extent::All };
    if Dataset::of_path(path) != Some(Dataset::Readings)
        || is_due(view, path, settings)
        || lacks_rollups(view, path, folder)
    {
        return Extent::All;
    }
    let late = folder.live.values().filter(|file| made_by(file) != Some(main));
    let late_rows: u64 = late.map(|file| file.entry.rows).sum();
    if late_rows.saturating_mul(TRICKLE_PART) > main_rows { Extent::All } else { Extent::Late }
}

/// Whether late readings wait in a folder for a whole merge whose time has come.
pub(super) fn waits_no_longer(view: &View, path: &str, folder: &Folder, settings: &CompactSettings) -> bool {
    let makers: BTreeSet<u64> = folder.live.values().filter_map(made_by).collect();
    Dataset::of_path(path) == Some(Dataset::Readings) && makers.len() > 1 && is_due(view, path, settings)
}

/// Whether roll-ups were damaged that can be written anew, since all readings are there.
pub(super) fn lacks_rollups(view: &View, path: &str, folder: &Folder) -> bool {
    let rollups = view.folders().get(&rollup::folder_of(path));
    Dataset::of_path(path) == Some(Dataset::Readings)
        && folder.lost.is_empty()
        && rollups.is_some_and(|rollups| !rollups.lost.is_empty())
}

/// Whether the date's last whole merge, which sums up its hours, is long ago.
fn is_due(view: &View, path: &str, settings: &CompactSettings) -> bool {
    let summed_up = view.folders().get(&rollup::folder_of(path)).and_then(|hours| hours.changed_us);
    let renew_after = i64::try_from(settings.renew_after.as_micros()).unwrap_or(i64::MAX);
    summed_up.is_none_or(|at| at.saturating_add(renew_after) <= settings.now_us)
}

impl Extent {
    /// The files that a run merges.
    pub(super) fn of(self, folder: &Folder) -> Vec<&LiveFile> {
        let main = match self {
            Self::Nothing => return Vec::new(),
            Self::All => None,
            Self::Late => main_revision(folder).map(|(revision, _)| revision),
        };
        folder.live.values().filter(|file| main.is_none() || made_by(file) != main).collect()
    }
}
