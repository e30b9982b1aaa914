//! The `[exporter]` table.

use std::time::Duration;

use heat_runtime::config::{Fault, parse_duration};
use heat_view::{BoardSettings, LiveSettings};
use serde::Deserialize;

use crate::pager::{AlertmanagerSettings, RawAlertmanager};

/// Records read back per partition: a minute or more of a large network, so that values are there after a restart.
pub const READ_BACK_RECORDS: u64 = 200_000;
/// Series of plant values: 100,000 take about 20 MB and 0.1 s a scrape.
pub const SERIES_MAX: usize = 200_000;
/// Signals up to which age and quality are written for each.
pub const FRESHNESS_SIGNALS_MAX: usize = 20_000;

/// The table as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawExporter {
    /// Most signals held per partition.
    pub signals_max: Option<usize>,
    /// Most series of plant values.
    pub series_max: Option<usize>,
    /// Signals up to which age and quality are written for each.
    pub freshness_signals_max: Option<usize>,
    /// Records of each partition read back at start.
    pub read_back_records: Option<u64>,
    /// A value stays current for at least this long.
    pub deadline_min: Option<String>,
    /// Deadline of a signal that arrived once.
    pub deadline_unlearned: Option<String>,
    /// A signal silent for this long is forgotten.
    pub forget_after: Option<String>,
    /// Where incidents are told; nowhere without it.
    pub alertmanager: Option<RawAlertmanager>,
}

/// The table's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bounds of each partition's live table.
    pub live: LiveSettings,
    /// Bounds of the incident board.
    pub board: BoardSettings,
    /// Most series of plant values.
    pub series_max: usize,
    /// Signals up to which age and quality are written for each.
    pub freshness_signals_max: usize,
    /// Records of each partition read back at start.
    pub read_back_records: u64,
    /// Where incidents are told.
    pub alertmanager: Option<AlertmanagerSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            live: LiveSettings::default(),
            board: BoardSettings { changes_max: 1, ..BoardSettings::default() },
            series_max: SERIES_MAX,
            freshness_signals_max: FRESHNESS_SIGNALS_MAX,
            read_back_records: READ_BACK_RECORDS,
            alertmanager: None,
        }
    }
}

impl Settings {
    /// Checks the table; all faults at once.
    pub fn from_raw(raw: &RawExporter) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut settings = Self::default();
        let live = &mut settings.live;
        duration("deadline_min", raw.deadline_min.as_deref(), &mut live.deadline_min, &mut faults);
        duration(
            "deadline_unlearned",
            raw.deadline_unlearned.as_deref(),
            &mut live.deadline_unlearned,
            &mut faults,
        );
        duration("forget_after", raw.forget_after.as_deref(), &mut live.forget_after, &mut faults);
        if live.forget_after < live.deadline_min.max(live.deadline_unlearned) {
            faults
                .push(fault("forget_after", "must not be shorter than deadline_min and deadline_unlearned"));
        }
        count("signals_max", raw.signals_max, &mut live.signals_max, &mut faults);
        count("series_max", raw.series_max, &mut settings.series_max, &mut faults);
        settings.freshness_signals_max = raw.freshness_signals_max.unwrap_or(settings.freshness_signals_max);
        settings.read_back_records = raw.read_back_records.unwrap_or(settings.read_back_records);
        match raw.alertmanager.as_ref().map(AlertmanagerSettings::from_raw) {
            None => {}
            Some(Ok(alertmanager)) => settings.alertmanager = Some(alertmanager),
            Some(Err(found)) => faults.extend(found),
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

fn fault(key: &str, problem: impl Into<String>) -> Fault {
    Fault::new(format!("exporter.{key}"), problem)
}

fn duration(key: &str, text: Option<&str>, into: &mut Duration, faults: &mut Vec<Fault>) {
    match text.map(parse_duration) {
        Some(Ok(duration)) if duration.is_zero() => faults.push(fault(key, "must be longer than nothing")),
        Some(Ok(duration)) => *into = duration,
        Some(Err(problem)) => faults.push(fault(key, problem)),
        None => {}
    }
}

fn count(key: &str, number: Option<usize>, into: &mut usize, faults: &mut Vec<Fault>) {
    match number {
        Some(0) => faults.push(fault(key, "must be at least 1")),
        Some(number) => *into = number,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_with_their_keys() {
        let raw = RawExporter {
            series_max: Some(0),
            deadline_min: Some("30".to_owned()),
            forget_after: Some("1s".to_owned()),
            ..RawExporter::default()
        };
        let faults = Settings::from_raw(&raw).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["exporter.deadline_min", "exporter.forget_after", "exporter.series_max"]);
    }
}
