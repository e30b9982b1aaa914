//! Watches Kafka while a run goes on: whether records flow, and how late they come.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Process, pace, python::Python, wait_until};

/// A Python process that follows a topic.
#[derive(Debug)]
pub(super) struct Tail {
    _process: Process,
    output: PathBuf,
}

impl Tail {
    pub(super) fn start(python: &Python, brokers: &str, topic: &str, form: &str, folder: &Path) -> Self {
        let output = folder.join("tail");
        let errors = folder.join("tail.errors");
        let create = |path| File::create(path).expect("the temporary folder can be written");
        let arguments = [brokers, topic, form].map(OsStr::new);
        let process = python.spawn("kafka_tail.py", arguments, create(&output), create(&errors));
        let tail = Self { _process: process, output };
        wait_until("the tail has begun", Duration::from_secs(60), || !tail.lines().is_empty());
        tail
    }

    /// Waits until live messages flow and come within a second, in three lines in a row; false if they do not in time.
    /// Meanwhile does what else is to be done.
    pub(super) fn recovers_within(&self, patience: Duration, mut meanwhile: impl FnMut()) -> bool {
        let deadline = Instant::now() + patience;
        let before = self.lines().len();
        loop {
            let lines = self.lines();
            let fresh = &lines[before.min(lines.len())..];
            let is_well = |line: &Value| line["lag_s"].as_f64().is_some_and(|lag| lag < 1.0);
            if fresh.len() >= 3 && fresh[fresh.len() - 3..].iter().all(is_well) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            meanwhile();
            pace(Duration::from_millis(200));
        }
    }

    /// Messages seen so far, copies counted.
    pub(super) fn messages(&self) -> u64 {
        self.lines().last().and_then(|line| line["messages"].as_u64()).unwrap_or(0)
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}
