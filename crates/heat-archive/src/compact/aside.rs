//! Files that are not as they were written: taken out of the way of those who read whole folders, and never deleted.
//!
//! A damaged file moves to `set_aside/`, under its own path, and the revision that takes it out keeps what it held; its
//! rows are missing from then on, and `verify` and `audit` say so. Moving comes last: a run that dies before leaves a
//! file that the next one moves. Who mends a file, or has it in a backup, puts it where it was: `verify` is content at
//! once, and the next run merges it.

use std::collections::BTreeMap;

use super::{CompactSettings, Unreadable};
use crate::{
    archive::{Archive, ArchiveError},
    layout::{self, COMPACTED, Dataset, SET_ASIDE},
    revision::SetAside,
    schema,
    verify::{chain_of, digest_file},
    view::{Folder, LiveFile, View},
};

/// So few files of a partition may be gone even if they are most of it.
const GONE_MAX: usize = 8;

/// What lies in the data sets' folders: size by path.
pub(super) type Sizes = BTreeMap<String, u64>;

/// Files of a folder to look at.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// They count, and are gone or have another size (or all are to be checked).
    live: Vec<String>,
    /// They were set aside, and something lies again where they are awaited.
    back: Vec<String>,
}

/// What became of suspects, and of what a merge met.
#[derive(Debug, Default)]
pub(super) struct Unsound {
    /// Damaged, or gone.
    pub(super) damaged: Vec<Unreadable>,
    /// Set aside by an earlier run, and whole again.
    pub(super) back: Vec<String>,
}

impl Suspects {
    pub(super) fn of(path: &str, folder: &Folder, sizes: &Sizes, settings: &CompactSettings) -> Self {
        let is_odd = |file: &&LiveFile| sizes.get(&file.entry.path) != Some(&file.entry.bytes);
        let live = folder.live.values().filter(|file| settings.check || is_odd(file));
        // Roll-ups are not merged but written anew.
        let awaited = folder.lost.keys().filter(|_| Dataset::of_path(path) != Some(Dataset::Rollups));
        Self {
            live: live.map(|file| file.entry.path.clone()).collect(),
            back: awaited.filter(|path| sizes.contains_key(*path)).cloned().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.back.is_empty()
    }
}

impl Unsound {
    pub(super) fn is_sound(&self, path: &str) -> bool {
        !self.damaged.iter().any(|bad| bad.path == path)
    }

    pub(super) fn add(&mut self, path: String, reason: String) {
        self.back.retain(|back| *back != path);
        self.damaged.push(Unreadable { path, reason, to: None });
    }

    /// What the revision is to say of files that counted until now.
    pub(super) fn set_aside(&self, folder: &Folder) -> Vec<SetAside> {
        let of = |bad: &Unreadable| {
            let live = folder.live.get(&bad.path)?;
            let mut file = live.entry.clone();
            file.offsets = Some(live.offsets);
            let (to, reason) = (bad.to.clone(), bad.reason.clone());
            Some(SetAside { file, revision: live.revision, to, reason })
        };
        self.damaged.iter().filter_map(of).collect()
    }
}

impl Archive {
    /// What lies where rows are.
    pub(super) async fn sizes(&self) -> Result<Sizes, ArchiveError> {
        let mut sizes = Sizes::new();
        for top in Dataset::ALL.map(Dataset::folder).into_iter().chain([COMPACTED]) {
            sizes.extend(self.list(top).await?.into_iter().map(|found| (found.path, found.bytes)));
        }
        Ok(sizes)
    }

    /// Refuses an archive of which most is gone.
    pub(super) fn refuse_gone(view: &View, sizes: &Sizes) -> Result<(), ArchiveError> {
        let files = view.live().count();
        let gone = view.live().filter(|file| !sizes.contains_key(&file.entry.path)).count();
        if gone <= GONE_MAX || gone * 2 <= files {
            return Ok(());
        }
        Err(ArchiveError::Gone { topic: view.topic().to_owned(), partition: view.partition(), gone, files })
    }

    /// Reads the suspects of a folder.
    pub(super) async fn look_at(
        &self,
        folder: &Folder,
        suspects: &Suspects,
    ) -> Result<Unsound, ArchiveError> {
        let mut unsound = Unsound::default();
        for path in &suspects.live {
            let Some(file) = folder.live.get(path) else { continue };
            if let Some(reason) = self.damage(file).await? {
                unsound.add(path.clone(), reason);
            }
        }
        for path in &suspects.back {
            let Some(lost) = folder.lost.get(path) else { continue };
            match self.damage(&lost.file).await? {
                Some(reason) => unsound.add(path.clone(), reason),
                None => unsound.back.push(path.clone()),
            }
        }
        Ok(unsound)
    }

    /// What is wrong with a file; nothing, if it holds the rows that were written, or only a later version can tell.
    async fn damage(&self, file: &LiveFile) -> Result<Option<String>, ArchiveError> {
        let bytes = match self.bytes(&file.entry.path).await {
            Err(error @ ArchiveError::Missing { .. }) => return Ok(Some(error.to_string())),
            bytes => bytes?,
        };
        if schema::newer(&bytes).is_some() {
            return Ok(None);
        }
        Ok(match digest_file(bytes, file.entry.dataset) {
            Ok(hours) if hours.0 == file.entry.hours => None,
            Ok(_) => Some(OTHER_ROWS.to_owned()),
            Err(error) => Some(chain_of(error.as_ref())),
        })
    }

    /// Copies damaged files to `set_aside/` and notes where. Gives the paths from which they are to go, once a revision
    /// says so.
    pub(super) async fn copy_aside(&self, unsound: &mut Unsound) -> Result<Vec<String>, ArchiveError> {
        let mut moved = Vec::new();
        for bad in &mut unsound.damaged {
            if let Some(to) = self.set_aside(&bad.path).await? {
                bad.to = Some(to);
                moved.push(bad.path.clone());
            }
        }
        Ok(moved)
    }

    /// Copies a file to `set_aside/`, under its own path, numbered where another one of that path lies already. Gives
    /// where it is; nothing if there is no such file.
    pub(crate) async fn set_aside(&self, path: &str) -> Result<Option<String>, ArchiveError> {
        let bytes = match self.bytes(path).await {
            Err(ArchiveError::Missing { .. }) => return Ok(None),
            bytes => bytes?,
        };
        let there = self.list(layout::parent_of(&format!("{SET_ASIDE}/{path}"))).await?;
        let numbered = (2_u64..).map(|number| format!("{SET_ASIDE}/{path}.{number}"));
        for to in std::iter::once(format!("{SET_ASIDE}/{path}")).chain(numbered) {
            match there.iter().find(|found| found.path == to) {
                // What a run that died has copied is not copied again.
                Some(found) if found.bytes == bytes.len() as u64 && self.bytes(&to).await? == bytes => {
                    return Ok(Some(to));
                }
                Some(_) => {}
                None => {
                    let copied = self.store.copy(path, &to).await;
                    copied.map_err(|source| ArchiveError::Write { path: to.clone(), source })?;
                    return Ok(Some(to));
                }
            }
        }
        unreachable!("numbers do not end")
    }
}

/// What is wrong with a file that can be read.
pub(super) const OTHER_ROWS: &str = "its rows are not those that were written";
