//! The `[processor]` table, and what it means once checked.

use std::time::Duration;

use heat_detect::DetectSettings;
use heat_ledger::repeats::RepeatSettings;
use heat_log::ConsumerSettings;
use heat_runtime::config::{Fault, parse_duration};
use serde::Deserialize;

/// Shortest retention of incidents that are over: tickets of the days after are still linked to them.
const RETENTION_MIN: Duration = Duration::from_hours(7 * 24);
/// A fraction of what a disk or network takes that a log can live on: the gateways' records have the rest. 5,000 stations
/// (120 MB) take 15 s.
const SNAPSHOT_BYTES_PER_SECOND: u32 = 8 << 20;

/// The table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProcessor {
    /// How often the state is stored, at the most; default "30s".
    pub snapshot_interval: Option<String>,
    /// How late a live reading may come and still count as in time; what later ones show is marked late. Default "2min".
    pub lateness: Option<String>,
    /// The alarm budget: false pages that one network may have in 30 days; default 1.
    pub false_pages_per_month: Option<f64>,
    /// Station findings that may be listed wrongly for one station in 30 days, and never page; default 0.05.
    pub listed_per_station_month: Option<f64>,
    /// Share of circulation lost all the time that is worth a note; default 0.005.
    pub standing_loss_ratio: Option<f64>,
    /// Data that a water balance needs before it judges; default "3d".
    pub learning: Option<String>,
    /// How long a burst's evidence must be gone before it clears, or its repair is verified; default "10min".
    pub burst_clear: Option<String>,
    /// How long after the last word on it an incident that is over stays in `heat.incidents.v1`; default "400d".
    pub incident_retention: Option<String>,
    /// Limits of pressures and of cooling water.
    pub limits: RawLimits,
}

/// The `[processor.limits]` table as written; its defaults are those of [`DetectSettings`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Absolute pressure of the supply above saturation, at the least.
    pub saturation_margin_pascals: Option<f64>,
    /// Gauge pressure of the return at its highest point, at the least.
    pub return_pressure_min_pascals: Option<f64>,
    /// Gauge pressure anywhere in the primary circuit, at the most.
    pub pressure_max_pascals: Option<f64>,
    /// How long a pressure must be beyond its limit.
    pub pressure_delay: Option<String>,
    /// How long it must be inside again.
    pub pressure_clear: Option<String>,
    /// Time constant of standing water in the most exposed pipe.
    pub frost_time_constant: Option<String>,
}

impl RawLimits {
    fn apply(self, detect: &mut DetectSettings, faults: &mut Vec<Fault>) {
        for (key, text, duration) in [
            ("limits.pressure_delay", self.pressure_delay, &mut detect.pressure_delay),
            ("limits.pressure_clear", self.pressure_clear, &mut detect.pressure_clear),
            ("limits.frost_time_constant", self.frost_time_constant, &mut detect.frost_time_constant),
        ] {
            take(key, text, duration, faults);
        }
        for (key, value, (min, max), limit) in [
            (
                "saturation_margin_pascals",
                self.saturation_margin_pascals,
                (0.0, 1e6),
                &mut detect.saturation_margin_pa,
            ),
            (
                "return_pressure_min_pascals",
                self.return_pressure_min_pascals,
                (-50e3, 1e6),
                &mut detect.return_pressure_min_pa,
            ),
            ("pressure_max_pascals", self.pressure_max_pascals, (1e5, 1e7), &mut detect.pressure_max_pa),
        ] {
            match value {
                None => {}
                Some(value) if (min..=max).contains(&value) => *limit = value,
                Some(value) => faults.push(Fault::new(
                    format!("processor.limits.{key}"),
                    format!("is {value} Pa, must lie between {min} and {max}"),
                )),
            }
        }
    }
}

/// The processor's settings.
#[derive(Debug, Clone)]
pub struct ProcessorSettings {
    /// Of the cores.
    pub detect: DetectSettings,
    /// The window of repeats; the same for all readers of the log.
    pub repeats: RepeatSettings,
    /// How often, by the log's time, the state is stored; more seldom where that takes long.
    pub snapshot_interval: Duration,
    /// How fast a snapshot is written while records go on, bytes a second.
    pub snapshot_bytes_per_second: u32,
    /// Bounds of what is read at once.
    pub reading: ConsumerSettings,
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
        take("burst_clear", raw.burst_clear, &mut detect.burst_clear, &mut faults);
        if !(Duration::from_secs(10)..=Duration::from_hours(24)).contains(&detect.burst_clear) {
            faults.push(Fault::new("processor.burst_clear", "must lie between \"10s\" and \"24h\""));
        }
        take("incident_retention", raw.incident_retention, &mut detect.incident_retention, &mut faults);
        if detect.incident_retention < RETENTION_MIN {
            faults.push(Fault::new("processor.incident_retention", "must be at least \"7d\""));
        }
        raw.limits.apply(&mut detect, &mut faults);
        for (key, value, (min, max), setting) in [
            (
                "false_pages_per_month",
                raw.false_pages_per_month,
                (0.01, 100.0),
                &mut detect.false_pages_per_month,
            ),
            (
                "listed_per_station_month",
                raw.listed_per_station_month,
                (0.001, 10.0),
                &mut detect.listed_per_station_month,
            ),
            ("standing_loss_ratio", raw.standing_loss_ratio, (0.0005, 0.2), &mut detect.standing_loss_ratio),
        ] {
            match value {
                None => {}
                Some(value) if (min..=max).contains(&value) => *setting = value,
                Some(_) => {
                    let problem = format!("must lie between {min} and {max}");
                    faults.push(Fault::new(format!("processor.{key}"), problem));
                }
            }
        }
        if faults.is_empty() {
            Ok(Self {
                detect,
                repeats,
                snapshot_interval,
                snapshot_bytes_per_second: SNAPSHOT_BYTES_PER_SECOND,
                reading: ConsumerSettings::default(),
                drain: Duration::from_secs(10),
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(raw: RawProcessor) -> Result<ProcessorSettings, Vec<Fault>> {
        ProcessorSettings::from_raw(raw, RepeatSettings::default())
    }

    #[test]
    fn the_alarm_budget_and_what_counts_as_standing_loss_are_the_utility_s_to_set() {
        let raw = RawProcessor {
            false_pages_per_month: Some(0.2),
            listed_per_station_month: Some(0.02),
            standing_loss_ratio: Some(0.01),
            ..RawProcessor::default()
        };
        let detect = checked(raw).expect("all lie within their bounds").detect;
        assert_eq!(
            (detect.false_pages_per_month, detect.listed_per_station_month, detect.standing_loss_ratio),
            (0.2, 0.02, 0.01)
        );
    }

    #[test]
    fn budgets_beyond_all_sense_are_faults_all_told_at_once() {
        let raw = RawProcessor {
            false_pages_per_month: Some(0.0),
            listed_per_station_month: Some(f64::NAN),
            standing_loss_ratio: Some(1.0),
            ..RawProcessor::default()
        };
        assert_eq!(checked(raw).expect_err("none lies within its bounds").len(), 3);
    }
}
