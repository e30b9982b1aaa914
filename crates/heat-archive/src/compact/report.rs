//! What a run of compaction did, and could not do.

use serde::Serialize;

/// A file that is not as it was written, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
    /// Where its bytes lie now; absent if nothing was found.
    pub to: Option<String>,
}

/// A file that the store does not give now: nothing says that it is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CompactReport {
    /// Folders (a date and network, or a date of a small data set) that were compacted.
    pub folders: usize,
    /// Files that are replaced.
    pub files_before: usize,
    /// Their size.
    pub bytes_before: u64,
    /// Files in place of them, without roll-ups.
    pub files_after: usize,
    /// Their size.
    pub bytes_after: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows left out because they repeat others.
    pub repeats: u64,
    /// Rows of hourly roll-ups written.
    pub rollup_rows: u64,
    /// Commits whose manifests were folded into chapters.
    pub commits_folded: u64,
    /// Files deleted after their grace time.
    pub deleted: usize,
    /// Files that were found damaged or gone, and are set aside: `verify` names them until they are put back.
    pub unreadable: Vec<Unreadable>,
    /// Files that this run and earlier ones set aside, and that are still missing.
    pub missing_files: u64,
    /// Rows in them.
    pub missing_rows: u64,
    /// Files that were set aside, are put back, and count again.
    pub restored: Vec<String>,
    /// Files that could not be read, whose folders wait for the next run: it did not do all that it should.
    pub unread: Vec<Unread>,
    /// Files of a later version, whose folders are left as they are: this one would drop what it does not know.
    pub newer: Vec<String>,
    /// Foreign files that were moved to `set_aside/`.
    pub set_aside: Vec<String>,
}
