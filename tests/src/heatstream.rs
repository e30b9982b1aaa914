//! The program under test, as anybody starts it: by its command line.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Process, wait_until};

/// How long a command that ends by itself may take on a busy machine.
const COMMAND: Duration = Duration::from_secs(120);

/// The binary: `HEATSTREAM_BIN`, or the one that cargo put beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HEATSTREAM_BIN") {
        return PathBuf::from(path);
    }
    // target/PROFILE/deps/TEST-HASH -> target/PROFILE/heatstream; a program of ours lies there already.
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    let binary = profile.expect("the test lies in target/PROFILE/deps").join("heatstream");
    assert!(binary.is_file(), "{} is missing: run `cargo build -p heatstream`", binary.display());
    binary
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Running::start("command", arguments).ended(COMMAND)
}

/// A running `heatstream`. It ends with the test; where the test fails, its standard error is shown.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Process,
    output: TempDir,
    errors_expected: Vec<&'static str>,
    is_checked: bool,
}

impl Running {
    /// Starts it; `name` is for messages.
    pub fn start<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        let output = tempfile::tempdir().expect("a temporary folder can be made");
        let file =
            |name: &str| File::create(output.path().join(name)).expect("the temporary folder can be written");
        let child = Command::new(binary())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be run: {error}", binary().display()));
        Self {
            name: name.to_owned(),
            process: Process(child),
            output,
            errors_expected: Vec::new(),
            is_checked: false,
        }
    }

    /// An ERROR line with this text does not fail the test.
    pub fn expecting_error(mut self, text: &'static str) -> Self {
        self.errors_expected.push(text);
        self
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.output.path().join("stdout")).unwrap_or_default()
    }

    /// Standard error so far, without colours.
    pub fn stderr(&self) -> String {
        let text = fs::read(self.output.path().join("stderr")).unwrap_or_default();
        without_colours(&String::from_utf8_lossy(&text))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.0.try_wait().expect("the process can be asked").is_some()
    }

    /// Waits for a condition while it runs; fails at once if it ends meanwhile.
    #[track_caller]
    pub fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) {
        wait_until(&format!("{}: {what}", self.name), deadline, || {
            if condition(self) {
                return true;
            }
            if self.has_ended() {
                panic!("{} ended before: {what}", self.name);
            }
            false
        });
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(status.expect("kill can be run").success(), "kill -{name} of {}", self.name);
    }

    /// Ends it the hard way, and checks its log.
    pub fn kill(mut self) {
        self.process.kill();
        self.check_log();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self, deadline: Duration) -> Output {
        let mut status = None;
        wait_until(&format!("{} ends", self.name), deadline, || {
            status = self.process.0.try_wait().expect("the process can be asked");
            status.is_some()
        });
        self.check_log();
        let code = status.and_then(|status| status.code()).unwrap_or(-1);
        Output { code, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Asks it to stop (Ctrl-C) and waits for its end.
    #[track_caller]
    pub fn stop(self) -> Output {
        self.signal("INT");
        self.ended(Duration::from_secs(90))
    }

    /// An ERROR line fails a test that does not expect it: it says that data are lost or a person must act.
    fn check_log(&mut self) {
        self.is_checked = true;
        let unexpected: Vec<String> = error_lines(&self.stderr())
            .into_iter()
            .filter(|line| !self.errors_expected.iter().any(|expected| line.contains(expected)))
            .collect();
        assert!(unexpected.is_empty(), "{} logged errors:\n{}", self.name, unexpected.join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- {}: stdout\n{}\n--- {}: stderr\n{}",
                self.name,
                self.stdout(),
                self.name,
                self.stderr()
            );
        } else if !self.is_checked {
            self.check_log();
        }
    }
}

/// ERROR lines of a log in text or JSON.
pub fn error_lines(log: &str) -> Vec<String> {
    let is_error = |line: &&str| match serde_json::from_str::<Value>(line) {
        Ok(line) => line.get("level").and_then(Value::as_str) == Some("ERROR"),
        // Time, level, message.
        Err(_) => line.split_whitespace().nth(1) == Some("ERROR") || line.contains("panicked at"),
    };
    log.lines().filter(is_error).map(str::to_owned).collect()
}

fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find('m').map_or(rest.len(), |end| end + 1);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_are_found_in_text_and_json_with_and_without_colours() {
        let log = "\u{1b}[2m2026-01-01T00:00:00Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m lost\n\
                   2026-01-01T00:00:00Z  WARN an ERROR in a message is none\n\
                   {\"timestamp\":\"2026\",\"level\":\"ERROR\",\"fields\":{\"message\":\"gone\"}}\n\
                   {\"timestamp\":\"2026\",\"level\":\"INFO\",\"fields\":{\"message\":\"ERROR\"}}\n\
                   thread 'x' panicked at src/lib.rs:1\n";

        let found = error_lines(&without_colours(log));

        assert_eq!(found.len(), 3, "{found:?}");
    }
}
