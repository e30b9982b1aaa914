//! How far the buffer is forwarded: a hint. Without it, or with an older one, records are forwarded again with the same
//! numbers, and readers drop them.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    ops::Range,
    path::Path,
};

use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const NAME: &str = "FORWARDED";

/// What is still to be forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hint {
    format: u32,
    /// The buffer's end when this was written; everything from there on is pending, too.
    end: u64,
    /// Rising ranges of offsets below the end.
    pending: Vec<Range<u64>>,
    /// No epoch begun so far is later.
    pub(crate) last_epoch: u64,
}

impl Hint {
    pub(crate) fn new(end: u64, pending: Vec<Range<u64>>, last_epoch: u64) -> Self {
        Self { format: FORMAT, end, pending, last_epoch }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What was pending below the end.
    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.pending
    }

    /// Reads it; none if there is none that can be used, which is said unless the buffer is new.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read how far the buffer is forwarded; forwarding all of it again");
                return None;
            }
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(hint) if hint.is_sound() => Some(hint),
            Ok(_) | Err(_) => {
                tracing::warn!(path = %path.display(), "the note how far the buffer is forwarded is damaged; forwarding all of it again");
                None
            }
        }
    }

    fn is_sound(&self) -> bool {
        self.format == FORMAT
            && self.pending.iter().all(|range| range.start < range.end && range.end <= self.end)
            && self.pending.is_sorted_by(|a, b| a.end <= b.start)
    }

    /// What is pending in a buffer with these bounds. A buffer that ends earlier is not the one that this was written
    /// for: all of it is pending.
    pub(crate) fn pending(&self, first: u64, end: u64) -> Vec<Range<u64>> {
        if self.end > end {
            return vec![first..end];
        }
        let known = self.pending.iter().map(|range| range.start.max(first)..range.end);
        let mut pending: Vec<Range<u64>> = Vec::new();
        for range in known.chain(std::iter::once(self.end.max(first)..end)).filter(|range| !range.is_empty())
        {
            match pending.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                Some(_) | None => pending.push(range),
            }
        }
        pending
    }

    /// Writes it so that a crash leaves the old or the new one.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(format!("{NAME}.writing"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(NAME))?;
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_what_came_after_it_is_pending_too() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Hint::read(dir.path()), None);
        let hint = Hint::new(100, vec![10..40, 90..100], 7);
        hint.write(dir.path()).unwrap();

        let read = Hint::read(dir.path()).unwrap();

        assert_eq!(read, hint);
        assert_eq!(read.pending(20, 130), [20..40, 90..130]);
        assert_eq!(read.pending(0, 100), [10..40, 90..100]);
        assert_eq!(Hint::new(50, Vec::new(), 0).pending(0, 50), []);
    }

    #[test]
    fn one_that_cannot_be_true_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Hint::new(100, Vec::new(), 0).pending(5, 60), [5..60], "the buffer is another one");
        for hint in [
            Hint::new(10, vec![5..20], 0),
            Hint::new(100, vec![30..40, 20..25], 0),
            Hint { format: 2, ..Hint::new(0, Vec::new(), 0) },
        ] {
            hint.write(dir.path()).unwrap();
            assert_eq!(Hint::read(dir.path()), None, "{hint:?}");
        }
        fs::write(dir.path().join(NAME), b"{").unwrap();
        assert_eq!(Hint::read(dir.path()), None);
    }
}
