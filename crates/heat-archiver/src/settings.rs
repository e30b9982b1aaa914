//! The `[archive]` table, and what it means once checked.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use heat_archive::{Access, Dataset, Location, RotationSettings};
use heat_ledger::repeats::RepeatSettings;
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawArchive {
    /// Folder or URL; default: `archive` in the data directory.
    pub location: Option<String>,
    /// How an object store is reached.
    pub store: RawStore,
    /// Longest time from the log to a published file; default "60s".
    pub rotation: Option<String>,
    /// Most readings in one commit; default 500000.
    pub commit_max_readings: Option<usize>,
    /// Most bytes that an open commit buffers, per partition; default 134217728 (128 MiB).
    pub buffer_max_bytes: Option<usize>,
    /// Compaction of closed dates.
    pub compaction: RawCompaction,
    /// How long data sets are kept, such as `readings = "3650d"`; what is not named is kept for ever.
    pub retention: BTreeMap<Dataset, String>,
}

/// The `[archive.store]` table as written: for a location in a bucket.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStore {
    /// Where the store listens; default: the vendor's own address, or what the environment says.
    pub endpoint: Option<String>,
    /// Its region; default: what the environment says.
    pub region: Option<String>,
    /// File of `NAME=value` lines; default: the environment alone.
    pub credentials_file: Option<PathBuf>,
    /// Longest silence of the store; default "30s".
    pub request_timeout: Option<String>,
}

/// The `[archive.compaction]` table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCompaction {
    /// Whether the archiver compacts; default true.
    pub enabled: Option<bool>,
    /// How often it looks for closed dates; default "1h".
    pub every: Option<String>,
    /// A date is closed so long after its end (UTC); default "6h".
    pub closes_after: Option<String>,
    /// How long replaced files stay; default "15m".
    pub grace: Option<String>,
    /// How often a date that late readings trickle into is merged whole and summed up anew; default "24h".
    pub renew_after: Option<String>,
    /// Share of one core; default 0.25.
    pub cpu_share_max: Option<f64>,
}

/// When and how the archiver works on closed dates.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionSettings {
    /// How often.
    pub every: Duration,
    /// A date is closed so long after its end.
    pub closes_after: Duration,
    /// How long replaced files stay.
    pub grace: Duration,
    /// How often a date that late readings trickle into is merged whole.
    pub renew_after: Duration,
    /// Share of one core, above 0 and at most 1.
    pub cpu_share_max: f64,
    /// Days that data sets are kept.
    pub retention_days: BTreeMap<Dataset, i64>,
}

/// The archiver's settings.
#[derive(Debug, Clone)]
pub struct ArchiverSettings {
    /// The folder.
    pub location: Location,
    /// When commits close.
    pub rotation: RotationSettings,
    /// The window of repeats; the same for all readers of the log.
    pub repeats: RepeatSettings,
    /// Longest wait between attempts while the store fails.
    pub retry_max_interval: Duration,
    /// How long draining may take.
    pub drain: Duration,
    /// Work on closed dates; none if it is left to `heatstream archive compact`.
    pub compaction: Option<CompactionSettings>,
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
        let location = raw.location.unwrap_or_else(|| default_location.to_string_lossy().into_owned());
        let location = Location::from(location).with_access(access(raw.store, &mut faults));
        if location.place().is_none() {
            let remedy = "must be a folder, as a path or a file:// URL, or a bucket: s3://bucket/prefix, gs://…, az://…";
            faults.push(Fault::new("archive.location", remedy));
        } else if location.folder().is_some() && *location.access() != Access::default() {
            faults.push(Fault::new(
                "archive.store",
                "is for a location in a bucket, such as s3://bucket/prefix",
            ));
        }
        let compaction = compaction(raw.compaction, raw.retention, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            location,
            rotation,
            repeats,
            retry_max_interval: Duration::from_secs(10),
            // Reading and publishing may each take so long, leaving the group 5 s, and a process has 30 s.
            drain: Duration::from_secs(12),
            compaction,
        })
    }
}

fn access(raw: RawStore, faults: &mut Vec<Fault>) -> Access {
    if raw.endpoint.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        faults.push(Fault::new(
            "archive.store.endpoint",
            "must begin with https:// (or http://, in the clear)",
        ));
    }
    let request_timeout = match raw.request_timeout.as_deref().map(parse_duration) {
        None => None,
        Some(Ok(timeout)) if (Duration::from_secs(1)..=Duration::from_mins(10)).contains(&timeout) => {
            Some(timeout)
        }
        Some(Ok(_)) => {
            faults.push(Fault::new("archive.store.request_timeout", "must lie between 1s and 10m"));
            None
        }
        Some(Err(problem)) => {
            faults.push(Fault::new("archive.store.request_timeout", problem));
            None
        }
    };
    let RawStore { endpoint, region, credentials_file, .. } = raw;
    Access { endpoint, region, credentials_file, request_timeout }
}

fn compaction(
    raw: RawCompaction,
    retention: BTreeMap<Dataset, String>,
    faults: &mut Vec<Fault>,
) -> Option<CompactionSettings> {
    let mut time =
        |key: &str, text: Option<&str>, default: &str, range: std::ops::RangeInclusive<Duration>| {
            let key = format!("archive.compaction.{key}");
            match parse_duration(text.unwrap_or(default)) {
                Ok(time) if range.contains(&time) => time,
                Ok(_) => {
                    let bounds = format!("must lie between {:?} and {:?}", range.start(), range.end());
                    faults.push(Fault::new(key, bounds));
                    *range.start()
                }
                Err(problem) => {
                    faults.push(Fault::new(key, problem));
                    *range.start()
                }
            }
        };
    let day = Duration::from_hours(24);
    let every = time("every", raw.every.as_deref(), "1h", Duration::from_secs(1)..=day);
    let closes_after = time("closes_after", raw.closes_after.as_deref(), "6h", Duration::ZERO..=30 * day);
    let grace = time("grace", raw.grace.as_deref(), "15m", Duration::ZERO..=30 * day);
    let renew_after = time("renew_after", raw.renew_after.as_deref(), "24h", Duration::ZERO..=30 * day);
    let cpu_share_max = raw.cpu_share_max.unwrap_or(0.25);
    if !(cpu_share_max > 0.0 && cpu_share_max <= 1.0) {
        faults.push(Fault::new("archive.compaction.cpu_share_max", "must be above 0 and at most 1"));
    }
    let mut retention_days = BTreeMap::new();
    for (dataset, text) in retention {
        match parse_duration(&text) {
            Ok(age) if age >= day => {
                let days = age.as_secs().div_ceil(day.as_secs());
                retention_days.insert(dataset, i64::try_from(days).unwrap_or(i64::MAX));
            }
            Ok(_) => faults.push(Fault::new(retention_key(dataset), "must be at least \"1d\"")),
            Err(problem) => faults.push(Fault::new(retention_key(dataset), problem)),
        }
    }
    let is_on = raw.enabled.unwrap_or(true);
    if !is_on && !retention_days.is_empty() {
        let remedy = "retention is part of compaction: enable it, or run `heatstream archive retain`";
        faults.push(Fault::new("archive.compaction.enabled", remedy));
    }
    is_on.then_some(CompactionSettings {
        every,
        closes_after,
        grace,
        renew_after,
        cpu_share_max,
        retention_days,
    })
}

fn retention_key(dataset: Dataset) -> String {
    format!("archive.retention.{}", dataset.folder())
}
