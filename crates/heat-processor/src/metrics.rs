//! The processor's metrics.

use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// Readings by what became of them: taken, repeated.
pub const READINGS: &str = "heat_processor_readings_total";
/// Outputs by kind: event, status, refused, ticket.
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
        }
    }
}
