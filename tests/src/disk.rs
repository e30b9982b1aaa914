//! A small disk that can be filled, and a hand that damages files.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system in memory; unmounted at the end.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, with a line that says why, where it cannot be mounted.
    pub fn mount(path: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(path).expect("a folder can be made");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(path);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!(
                "skipped: a small file system cannot be mounted here; run as root, where mount is allowed"
            );
            return None;
        }
        Some(Self(path.to_path_buf()))
    }

    /// Fills it to the last page with a file of this name, which it returns.
    pub fn fill(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let mut file = File::create(&path).expect("an empty file needs no space");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// The files below a folder with this ending, by name.
pub fn files_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Adds the beginning of the file's own bytes to its end, as a write that was cut off would leave them: `bytes` of them.
pub fn tear(path: &Path, bytes: usize) {
    let whole = fs::read(path).expect("the file can be read");
    let mut file = OpenOptions::new().append(true).open(path).expect("the file can be opened");
    file.write_all(&whole[..bytes.min(whole.len())]).expect("the file can be written");
}

/// Turns the bits of the first byte of a word: where it comes first in the second half of the file.
pub fn damage(path: &Path, word: &str) {
    let whole = fs::read(path).expect("the file can be read");
    let middle = whole.len() / 2;
    let place = whole[middle..].windows(word.len()).position(|window| window == word.as_bytes());
    let place =
        middle + place.unwrap_or_else(|| panic!("the second half of {} has no {word:?}", path.display()));
    let file = OpenOptions::new().write(true).open(path).expect("the file can be opened");
    file.write_all_at(&[!whole[place]], place as u64).expect("the file can be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_where_it_should_be_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.segment");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "abababab").unwrap();
        assert_eq!(files_ending(folder.path(), ".segment"), std::slice::from_ref(&path));

        damage(&path, "ba");
        tear(&path, 2);

        assert_eq!(fs::read(&path).unwrap(), [b"ababa", &[!b'b'][..], b"ab", b"ab"].concat());
    }
}
