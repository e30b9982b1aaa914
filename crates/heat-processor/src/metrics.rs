//! The processor's metrics.

use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// Readings by what became of them: taken, repeated.
pub const READINGS: &str = "heat_processor_readings_total";
/// Outputs by kind: event, status, refused.
pub const OUTPUTS: &str = "heat_processor_outputs_total";
/// Outputs not published again after a restart.
pub const SUPPRESSED: &str = "heat_processor_suppressed_outputs_total";
/// Records that could not be decoded.
pub const UNDECODABLE: &str = "heat_processor_undecodable_records_total";
/// Snapshots stored.
pub const SNAPSHOTS: &str = "heat_processor_snapshots_total";
/// Size of a partition's last snapshot.
pub const SNAPSHOT_BYTES: &str = "heat_processor_snapshot_bytes";
/// When a partition's last snapshot was stored.
pub const LAST_SNAPSHOT: &str = "heat_processor_last_snapshot_timestamp_seconds";
/// Records of the log not yet processed.
pub const LAG: &str = "heat_processor_lag_records";

/// Incidents opened, by priority: what the alarm budget is held against.
pub const OPENED: &str = "heat_processor_incidents_opened_total";
/// Networks watched, by partition.
pub const NETWORKS: &str = "heat_processor_networks";
/// False alarms per thousand network-months (P1 and P2 together, P3) or station-months (P4) that the settings allow.
pub const BUDGET: &str = "heat_processor_false_alarms_promised_per_thousand_months";

/// Handles of the processor's metrics.
#[derive(Debug, Clone)]
pub struct ProcessorMetrics {
    pub(crate) taken: IntCounter,
    pub(crate) repeated: IntCounter,
    pub(crate) outputs: IntCounterVec,
    pub(crate) suppressed: IntCounter,
    pub(crate) undecodable: IntCounter,
    pub(crate) snapshots: IntCounter,
    pub(crate) snapshot_bytes: IntGaugeVec,
    pub(crate) last_snapshot: IntGaugeVec,
    pub(crate) lag: IntGaugeVec,
    pub(crate) opened: IntCounterVec,
    pub(crate) networks: IntGaugeVec,
    pub(crate) budget: IntGaugeVec,
}

impl ProcessorMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let readings = metrics.counters(READINGS, "Readings read from the log, by outcome.", &["outcome"]);
        Self {
            taken: readings.with_label_values(&["taken"]),
            repeated: readings.with_label_values(&["repeated"]),
            outputs: metrics.counters(OUTPUTS, "Outputs published, by kind.", &["kind"]),
            suppressed: metrics.counter(SUPPRESSED, "Outputs not published again after a restart."),
            undecodable: metrics.counter(UNDECODABLE, "Records of the log that could not be decoded."),
            snapshots: metrics.counter(SNAPSHOTS, "Snapshots stored."),
            snapshot_bytes: metrics.gauges(SNAPSHOT_BYTES, "Size of the last snapshot.", &["partition"]),
            last_snapshot: metrics.gauges(
                LAST_SNAPSHOT,
                "When the last snapshot was stored.",
                &["partition"],
            ),
            lag: metrics.gauges(LAG, "Records of the log not yet processed.", &["partition"]),
            opened: metrics.counters(OPENED, "Incidents opened or reopened.", &["priority"]),
            networks: metrics.gauges(NETWORKS, "Networks watched.", &["partition"]),
            budget: metrics.gauges(
                BUDGET,
                "False alarms that the settings allow per thousand network-months; P4: station-months.",
                &["priority"],
            ),
        }
    }
}

/// Tells what the settings promise.
pub(crate) fn promise(metrics: &ProcessorMetrics, settings: &heat_detect::DetectSettings) {
    let budget = heat_detect::budget::Budget::of(settings);
    let rows = [("P1+P2", budget.pages), ("P3", budget.next_day), ("P4", budget.listed_per_station)];
    for (priority, promised) in rows {
        #[expect(clippy::cast_possible_truncation, reason = "settings bound it to 100,000")]
        metrics.budget.with_label_values(&[priority]).set((1_000.0 * promised).round() as i64);
    }
}
