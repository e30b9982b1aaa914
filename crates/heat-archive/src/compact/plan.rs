//! What a run has to do, and what follows from it.

use std::collections::BTreeMap;

use super::{
    CompactSettings,
    aside::{Sizes, Suspects, Unsound},
    late::{self, Extent},
    merge::Merged,
    rollup,
};
use crate::{
    layout,
    revision::{Change, Reason, Removed},
    view::{Folder, LiveFile, View},
};

/// What is to be published of a folder, and the files that are to go afterwards since they were copied to `set_aside/`.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) changes: Vec<Change>,
    pub(super) moved: Vec<String>,
}

/// Folders with what is suspect in them.
pub(super) type Plan = BTreeMap<String, Suspects>;

/// By closed date the folders to which commits have added since they were compacted, that are to be renewed, or in which
/// something looks damaged or was put back.
pub(super) fn plan(view: &View, settings: &CompactSettings, sizes: &Sizes) -> BTreeMap<i64, Plan> {
    let mut plan: BTreeMap<i64, Plan> = BTreeMap::new();
    for (path, folder) in view.folders() {
        let Some(day) = layout::day_of(path).filter(|day| *day < settings.before_day) else { continue };
        let suspects = Suspects::of(path, folder, sizes, settings);
        if has_work(view, path, folder, settings, |_| false) || !suspects.is_empty() {
            plan.entry(day).or_default().insert(path.clone(), suspects);
        }
    }
    plan
}

/// Whether there is something to merge in a folder.
pub(super) fn has_work(
    view: &View,
    path: &str,
    folder: &Folder,
    settings: &CompactSettings,
    is_damaged: impl Fn(&LiveFile) -> bool,
) -> bool {
    folder.live.values().any(|file| file.revision.is_none() && !is_damaged(file))
        || late::waits_no_longer(view, path, folder, settings)
        || late::lacks_rollups(view, path, folder)
}

/// The changes that a merge means.
pub(super) fn changes_of(
    view: &View,
    path: &str,
    folder: &Folder,
    (extent, files): (Extent, &[&LiveFile]),
    merged: Merged,
    unsound: &Unsound,
    sums_up: bool,
) -> Vec<Change> {
    // Also of a commit's file that was set aside: it is awaited no longer.
    let is_known = |file: &&&LiveFile| file.revision.is_some() || unsound.back.contains(&file.entry.path);
    let removed = [(Reason::Repeat, merged.repeats), (Reason::Erased, merged.erased)]
        .into_iter()
        .filter(|(_, hours)| !hours.0.is_empty())
        .map(|(reason, hours)| Removed { reason, hours: hours.0 })
        .collect();
    let set_aside = unsound.set_aside(folder);
    if extent == Extent::Nothing && set_aside.is_empty() {
        return Vec::new();
    }
    let mut changes = vec![Change {
        folder: path.to_owned(),
        commits_up_to: view.next_offset().filter(|_| extent != Extent::Nothing),
        except: Vec::new(),
        inputs: files.iter().filter(is_known).map(|file| file.entry.path.clone()).collect(),
        outputs: merged.files,
        set_aside,
        removed,
    }];
    let rollups = rollup::folder_of(path);
    let before = view.folders().get(&rollups).filter(|_| path != rollups);
    let known = |folder: &Folder| folder.live.keys().chain(folder.lost.keys()).cloned().collect();
    let inputs: Vec<String> = before.map(known).unwrap_or_default();
    if sums_up && !(inputs.is_empty() && merged.rollups.is_empty()) {
        changes.push(Change {
            folder: rollups,
            commits_up_to: None,
            except: Vec::new(),
            inputs,
            outputs: merged.rollups,
            set_aside: Vec::new(),
            removed: Vec::new(),
        });
    }
    changes
}
