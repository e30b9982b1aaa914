//! The plant tables as files: found, told apart from what they were, read whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use heat_codec::plant::{PlantFault, PlantFaults, PlantReport};

/// Largest file that is read: a city's table of signals is a tenth of it.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// Files by path, with time of change and size: equal while nobody wrote to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, u128, u64)>);

/// The plant tables at a path: a folder with CSV and TOML files, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantFiles {
    path: PathBuf,
}

impl PlantFiles {
    /// At this path.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the files are at present, without reading them.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        let mut files = Vec::new();
        for path in self.list()? {
            let metadata = fs::metadata(&path)?;
            let changed = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            files.push((path, changed, metadata.len()));
        }
        Ok(Fingerprint(files))
    }

    /// Reads and checks all tables; every fault and warning at once, those of the files themselves included.
    pub fn read(&self) -> PlantReport {
        let mut faults = Vec::new();
        let texts = match self.list() {
            Ok(paths) if paths.is_empty() => {
                let remedy =
                    "put networks.csv, sites.csv, pipes.csv, signals.csv ... there, or correct the path";
                faults.push(fault(&self.path, "there is no plant table (.csv or .toml)".to_owned(), remedy));
                Vec::new()
            }
            Ok(paths) => paths.iter().filter_map(|path| text_of(path, &mut faults)).collect(),
            Err(error) => {
                let remedy = "correct plant.directory, or let this user read it";
                faults.push(fault(&self.path, format!("it cannot be read: {error}"), remedy));
                Vec::new()
            }
        };
        if faults.is_empty() {
            return heat_codec::plant::report(&texts);
        }
        let mut report = heat_codec::plant::report(&texts);
        let mut kept = report.outcome.err().unwrap_or_else(|| PlantFaults { faults: Vec::new(), more: 0 });
        faults.append(&mut kept.faults);
        report.outcome = Err(PlantFaults { faults, more: kept.more });
        report
    }

    fn list(&self) -> io::Result<Vec<PathBuf>> {
        if !fs::metadata(&self.path)?.is_dir() {
            return Ok(vec![self.path.clone()]);
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let is_table =
                path.extension().is_some_and(|extension| extension == "csv" || extension == "toml");
            // What editors and copying tools put beside a file while they write it.
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if is_table && !is_hidden {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn fault(path: &Path, problem: String, remedy: &str) -> PlantFault {
    let (file, remedy) = (path.display().to_string(), remedy.to_owned());
    PlantFault { file, line: 0, column: String::new(), problem, remedy }
}

fn text_of(path: &Path, faults: &mut Vec<PlantFault>) -> Option<(String, String)> {
    let read = fs::metadata(path).and_then(|metadata| {
        if metadata.len() > FILE_MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {} MiB", FILE_MAX_BYTES >> 20)));
        }
        fs::read(path)
    });
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            faults.push(fault(path, format!("it cannot be read: {error}"), "let this user read it"));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some((name_of(path), text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
            faults.push(PlantFault {
                file: name_of(path),
                line: line as u64,
                column: String::new(),
                problem: "it is not UTF-8 (GBK, perhaps, or another code page)".to_owned(),
                remedy: "save it as UTF-8, in a spreadsheet as \"CSV UTF-8\"".to_owned(),
            });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PlantFiles) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let files = PlantFiles::new(folder.path().to_path_buf());
        (folder, files)
    }

    fn faults(files: &PlantFiles) -> Vec<PlantFault> {
        files.read().outcome.unwrap_err().faults
    }

    #[test]
    fn tables_are_read_and_what_lies_beside_them_is_not() {
        let (_folder, files) = folder(&[
            ("networks.csv", b"id\nnorth\n"),
            ("README.md", b"no table"),
            (".sites.csv.swp", b"x"),
            (".sites.csv", b"half-writ"),
        ]);
        assert_eq!(files.read().outcome.unwrap().networks.len(), 1);
    }

    #[test]
    fn a_file_of_another_code_page_is_named_with_its_line_beside_the_faults_of_the_others() {
        let (_folder, files) = folder(&[
            ("networks.csv", b"id,name\nn1,\xb1\xb1\xbe\xa9\n"),
            ("nodes.csv", b"id,x_m\nN1,far\n"),
        ]);
        let found: Vec<_> = faults(&files).into_iter().map(|fault| (fault.file, fault.line)).collect();
        assert_eq!(found, [("networks.csv".to_owned(), 2), ("nodes.csv".to_owned(), 2)]);
    }

    #[test]
    fn an_empty_folder_and_none_at_all_are_faults() {
        let (folder, files) = folder(&[]);
        assert!(faults(&files)[0].problem.contains("no plant table"));
        let gone = PlantFiles::new(folder.path().join("gone"));
        assert!(faults(&gone)[0].problem.contains("cannot be read"));
    }

    #[test]
    fn the_fingerprint_tells_an_added_a_changed_and_a_removed_file() {
        let (folder, files) = folder(&[("networks.csv", b"id\nnorth\n")]);
        let first = files.fingerprint().unwrap();
        assert_eq!(files.fingerprint().unwrap(), first);
        fs::write(folder.path().join("nodes.csv"), "id\nN1\n").unwrap();
        let second = files.fingerprint().unwrap();
        fs::write(folder.path().join("nodes.csv"), "id\nN1\nN2\n").unwrap();
        let third = files.fingerprint().unwrap();
        fs::remove_file(folder.path().join("nodes.csv")).unwrap();
        assert!(first != second && second != third && files.fingerprint().unwrap() == first);
    }
}
