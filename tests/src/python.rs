//! Readers of the archive that know nothing of us: DuckDB and Arrow in Python, from the environment that
//! `.ci/install` makes. The scripts lie in `tests/python`.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{Process, repository, require};

/// A Python with the libraries of `tests/requirements.txt`.
#[derive(Debug, Clone)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// Finds it; `None`, with a line that says how to get it, where it is missing.
    pub fn find() -> Option<Self> {
        let cache =
            std::env::var_os("HEATSTREAM_SERVERS").map_or_else(|| repository().join(".cache"), PathBuf::from);
        let program = cache.join("venv/bin/python");
        let program = require(
            Some(program).filter(|program| program.is_file()),
            "Python with the libraries of tests/requirements.txt",
            "run .ci/install, or: python3 -m venv .cache/venv && .cache/venv/bin/python -m pip install --no-deps \
             -r tests/requirements.txt",
        )?;
        Some(Self { program })
    }

    /// A command that runs one of its modules.
    pub fn module(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-B", "-m", name]);
        command
    }

    /// A program that came with one of the libraries.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.program.with_file_name(name)
    }

    /// The text of a file that one of the libraries brought, by its path below their folder.
    pub fn brought(&self, path: &str) -> Option<String> {
        let libraries = self.program.parent()?.parent()?.join("lib");
        let versions = std::fs::read_dir(libraries).ok()?.flatten();
        versions
            .map(|version| version.path().join("site-packages").join(path))
            .find_map(|file| std::fs::read_to_string(file).ok())
    }

    /// Runs a script of `tests/python`, which prints one JSON value.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, script: &str, arguments: impl IntoIterator<Item = S>) -> Value {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let output = Command::new(&self.program)
            .arg("-B")
            .arg(repository().join("tests/python").join(script))
            .args(&arguments)
            .output()
            .expect("python can be run");
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script} {arguments:?} failed:\n{text}\n{errors}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{script}: {error}\n{text}\n{errors}"))
    }

    /// Starts a script of `tests/python` that runs until the test ends it.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        script: &str,
        arguments: impl IntoIterator<Item = S>,
        output: File,
        errors: File,
    ) -> Process {
        let child = Command::new(&self.program)
            .arg("-B")
            .arg(repository().join("tests/python").join(script))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("python can be run");
        Process(child)
    }

    /// The rows of a query over an archive's data sets, each an object.
    #[track_caller]
    pub fn query(&self, archive: &Path, sql: &str) -> Vec<Value> {
        match self.run("query.py", [archive.as_os_str(), OsStr::new(sql)]) {
            Value::Array(rows) => rows,
            other => panic!("query.py gave {other}"),
        }
    }
}
