//! The `[processor]` table, and what it means once checked.

use std::time::Duration;

use heat_detect::DetectSettings;
use heat_ledger::repeats::RepeatSettings;
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProcessor {
    /// How often the state is stored; default "30s".
    pub snapshot_interval: Option<String>,
    /// How late a live reading may come and still be used; default "2min".
    pub lateness: Option<String>,
    /// The alarm budget: false pages that one network may have in 30 days; default 1.
    pub false_pages_per_month: Option<f64>,
    /// Data that a water balance needs before it judges; default "3d".
    pub learning: Option<String>,
}

/// The processor's settings.
#[derive(Debug, Clone)]
pub struct ProcessorSettings {
    /// Of the cores.
    pub detect: DetectSettings,
    /// The window of repeats; the same for all readers of the log.
    pub repeats: RepeatSettings,
    /// How often, by the log's time, the state is stored.
    pub snapshot_interval: Duration,
    /// How long draining may take.
    pub drain: Duration,
}

impl ProcessorSettings {
    /// Checks the table; all faults at once.
    pub fn from_raw(raw: RawProcessor, repeats: RepeatSettings) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut detect = DetectSettings::default();
        let mut snapshot_interval = Duration::from_secs(30);
        take("snapshot_interval", raw.snapshot_interval, &mut snapshot_interval, &mut faults);
        take("lateness", raw.lateness, &mut detect.lateness, &mut faults);
        take("learning", raw.learning, &mut detect.learning, &mut faults);
        match raw.false_pages_per_month {
            None => {}
            Some(pages) if (0.01..=100.0).contains(&pages) => detect.false_pages_per_month = pages,
            Some(_) => {
                faults.push(Fault::new("processor.false_pages_per_month", "must lie between 0.01 and 100"));
            }
        }
        if faults.is_empty() {
            Ok(Self { detect, repeats, snapshot_interval, drain: Duration::from_secs(10) })
        } else {
            Err(faults)
        }
    }
}

fn take(key: &str, text: Option<String>, value: &mut Duration, faults: &mut Vec<Fault>) {
    match text.as_deref().map(parse_duration) {
        None => {}
        Some(Ok(duration)) => *value = duration,
        Some(Err(problem)) => faults.push(Fault::new(format!("processor.{key}"), problem)),
    }
}
