//! The files of the repository, read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::TidyError;

/// Folders that hold what is built, fetched or produced; `.gitignore` names them too. Read without git, because a
/// source archive has none.
const NOT_OURS: &[&str] =
    &[".git", ".cache", "target", "heatstream-data", "node_modules", ".venv", "__pycache__", ".pytest_cache"];

/// All files, and the text of those that are text.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    texts: BTreeMap<String, String>,
    paths: BTreeSet<String>,
}

impl Repository {
    /// Reads all files below the root.
    pub(crate) fn read(root: &Path) -> Result<Self, TidyError> {
        let mut repository = Self::default();
        repository.read_folder(root, "")?;
        Ok(repository)
    }

    /// Files by path and text, in order of their paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// A file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or folder of this path; the empty path is the root.
    pub(crate) fn contains(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<(), TidyError> {
        let unreadable = |path: &str| {
            let path = path.to_owned();
            move |source| TidyError::Read { path, source }
        };
        for entry in fs::read_dir(root.join(folder)).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().map_err(unreadable(&path))?;
            if kind.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    self.read_folder(root, &path)?;
                    self.paths.insert(path);
                }
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).map_err(unreadable(&path))?;
                // What is not UTF-8 is a picture, an archive or a fixture: it has a path, but no text to check.
                if let Ok(text) = String::from_utf8(bytes) {
                    self.texts.insert(path.clone(), text);
                }
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    /// A repository of these files, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut repository = Self::default();
        for (path, text) in files {
            repository.texts.insert((*path).to_owned(), (*text).to_owned());
            let mut rest = *path;
            repository.paths.insert(rest.to_owned());
            while let Some((folder, _)) = rest.rsplit_once('/') {
                repository.paths.insert(folder.to_owned());
                rest = folder;
            }
        }
        repository
    }
}
