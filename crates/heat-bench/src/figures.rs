//! One run: its options, its scratch directory, and the figures so far.

use std::path::PathBuf;

use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    arguments::Options,
    engine::Engine,
    error::BenchError,
    percentiles::Percentiles,
    report::Report,
    usage::{Machine, Usage},
};

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Its name: what, on which engine.
    pub(crate) name: String,
    /// What was measured, in words.
    pub(crate) what: String,
    /// What is counted: messages or readings.
    pub(crate) unit: &'static str,
    /// How many were measured, without the warm-up.
    pub(crate) count: u64,
    /// Wall time.
    pub(crate) seconds: f64,
    /// Of the measured process.
    pub(crate) cpu_seconds: f64,
    /// Of the measured process, its whole life.
    pub(crate) peak_memory_bytes: u64,
    /// Units a second of wall time.
    pub(crate) per_second: f64,
    /// CPU seconds for a million units.
    pub(crate) cpu_seconds_per_million: f64,
    /// Units a second that one core would carry if it did nothing else.
    pub(crate) per_core_second: f64,
    /// Latencies by name.
    pub(crate) latencies: Vec<(&'static str, Percentiles)>,
    /// Other numbers by name.
    pub(crate) details: Vec<(&'static str, f64)>,
    /// Against what it stands.
    pub(crate) baseline: Option<Comparison>,
}

/// A figure beside its baseline of the same run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// The baseline's name.
    pub(crate) name: String,
    /// Wall rate, figure over baseline.
    pub(crate) rate_ratio: f64,
    /// CPU seconds per million, figure over baseline.
    pub(crate) cpu_ratio: f64,
}

/// What was measured of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
}

impl Figure {
    pub(crate) fn new(name: String, what: &str, unit: &'static str, measured: Measured) -> Self {
        let count = measured.count as f64;
        let cpu_seconds = measured.after.cpu_seconds - measured.before.cpu_seconds;
        Self {
            name,
            what: what.to_owned(),
            unit,
            count: measured.count,
            seconds: measured.seconds,
            cpu_seconds,
            peak_memory_bytes: measured.after.peak_bytes,
            per_second: count / measured.seconds,
            cpu_seconds_per_million: cpu_seconds * 1e6 / count,
            per_core_second: count / cpu_seconds,
            latencies: Vec::new(),
            details: Vec::new(),
            baseline: None,
        }
    }

    pub(crate) fn with_latency(mut self, name: &'static str, latency: Option<Percentiles>) -> Self {
        self.latencies.extend(latency.map(|latency| (name, latency)));
        self
    }

    pub(crate) fn with_detail(mut self, name: &'static str, value: f64) -> Self {
        self.details.push((name, value));
        self
    }

    /// Puts a baseline beside it.
    pub(crate) fn against(mut self, baseline: &Self) -> Self {
        self.baseline = Some(Comparison {
            name: baseline.name.clone(),
            rate_ratio: self.per_second / baseline.per_second,
            cpu_ratio: self.cpu_seconds_per_million / baseline.cpu_seconds_per_million,
        });
        self
    }
}

/// Latencies that belong to no throughput.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Delays {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) latencies: Vec<(&'static str, Percentiles)>,
    pub(crate) details: Vec<(&'static str, f64)>,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) figures: Vec<Figure>,
    pub(crate) delays: Vec<Delays>,
    /// What was not measured, and why.
    pub(crate) notes: Vec<String>,
    machine: Machine,
    scratch: TempDir,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self, BenchError> {
        let base = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&base).map_err(BenchError::file("create", &base))?;
        let scratch = tempfile::Builder::new()
            .prefix("heatstream-bench-")
            .tempdir_in(&base)
            .map_err(BenchError::file("create a folder in", &base))?;
        let machine = Machine::look();
        Ok(Self { options, figures: Vec::new(), delays: Vec::new(), notes: Vec::new(), machine, scratch })
    }

    pub(crate) fn scratch_path(&self) -> PathBuf {
        self.scratch.path().to_path_buf()
    }

    /// A folder of the run's own.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.scratch.path().join(name);
        std::fs::create_dir_all(&path).map_err(BenchError::file("create", &path))?;
        Ok(path)
    }

    /// Removes a folder that is no longer needed, so that a run does not fill the disk.
    pub(crate) fn remove(&self, name: &str) -> Result<(), BenchError> {
        let path = self.scratch.path().join(name);
        std::fs::remove_dir_all(&path).map_err(BenchError::file("remove", &path))
    }

    /// Kafka, where it is asked for.
    pub(crate) fn kafka(&self) -> Option<Engine> {
        self.options.kafka.clone().map(Engine::Kafka)
    }

    /// Waits for a future, from the thread that measures.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        Handle::current().block_on(future)
    }

    /// Says on standard error what is being measured; a run takes minutes.
    pub(crate) fn progress(&self, what: &str) {
        use std::io::Write as _;
        drop(writeln!(std::io::stderr().lock(), "bench: {what}"));
    }

    pub(crate) fn into_report(self) -> Report {
        let Self { options, figures, delays, notes, machine, .. } = self;
        Report::new(machine, &options, figures, delays, notes)
    }
}
