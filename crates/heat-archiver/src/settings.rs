//! The `[archive]` table, and what it means once checked.

use std::{path::PathBuf, time::Duration};

use heat_archive::RotationSettings;
use heat_ledger::repeats::RepeatSettings;
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawArchive {
    /// Folder or URL; default: `archive` in the data directory.
    pub location: Option<String>,
    /// Longest time from the log to a published file; default "60s".
    pub rotation: Option<String>,
    /// Most readings in one commit; default 1000000.
    pub commit_max_readings: Option<usize>,
    /// Most bytes that an open commit buffers, per partition; default 134217728 (128 MiB).
    pub buffer_max_bytes: Option<usize>,
}

/// The archiver's settings.
#[derive(Debug, Clone)]
pub struct ArchiverSettings {
    /// Folder or URL.
    pub location: String,
    /// When commits close.
    pub rotation: RotationSettings,
    /// The window of repeats; the same for all readers of the log.
    pub repeats: RepeatSettings,
    /// Longest wait between attempts while the store fails.
    pub retry_max_interval: Duration,
    /// How long draining may take.
    pub drain: Duration,
}

impl ArchiverSettings {
    /// Checks the table; all faults at once.
    pub fn from_raw(
        raw: RawArchive,
        default_location: PathBuf,
        repeats: RepeatSettings,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rotation = RotationSettings::default();
        match raw.rotation.as_deref().map(parse_duration) {
            None => {}
            Some(Ok(grid)) if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&grid) => {
                rotation.grid = grid;
            }
            Some(Ok(_)) => faults.push(Fault::new("archive.rotation", "must lie between 1s and 24h")),
            Some(Err(problem)) => faults.push(Fault::new("archive.rotation", problem)),
        }
        match raw.commit_max_readings {
            None => {}
            Some(readings @ 1_000..=10_000_000) => rotation.max_readings = readings,
            Some(_) => {
                faults.push(Fault::new("archive.commit_max_readings", "must lie between 1000 and 10000000"));
            }
        }
        match raw.buffer_max_bytes {
            None => {}
            Some(bytes) if bytes >= 1 << 20 => rotation.max_buffer_bytes = bytes,
            Some(_) => {
                faults.push(Fault::new("archive.buffer_max_bytes", "must be at least 1048576 (1 MiB)"))
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            location: raw.location.unwrap_or_else(|| default_location.to_string_lossy().into_owned()),
            rotation,
            repeats,
            retry_max_interval: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        })
    }
}
