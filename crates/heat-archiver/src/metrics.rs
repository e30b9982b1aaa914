//! The archiver's metrics.

use std::sync::{Arc, Mutex};

use heat_ledger::devices::{DeviceTracker, Sequence};
use heat_model::PartitionId;
use heat_runtime::{canary::CanaryWatch, metrics::Metrics};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Readings read from the log, by outcome: archived, duplicate.
pub const READINGS: &str = "heat_archiver_readings_total";
/// Archived readings that give another value for a time already archived; the highest offset counts.
pub const CORRECTIONS: &str = "heat_archiver_corrections_total";
/// Records that a gateway appended again; their readings count as duplicates.
pub const REDELIVERED: &str = "heat_archiver_redelivered_records_total";
/// Records that could not be decoded.
pub const UNDECODABLE: &str = "heat_archiver_undecodable_records_total";
/// Commits published.
pub const COMMITS: &str = "heat_archiver_commits_total";
/// Bytes of published files.
pub const BYTES: &str = "heat_archiver_published_bytes_total";
/// 1 while the store refuses what is written.
pub const STALLED: &str = "heat_archiver_store_stalled";
/// Records of the log not yet archived, by topic and partition.
pub const LAG: &str = "heat_archiver_lag_records";
/// When a partition's last commit was published.
pub const LAST_COMMIT: &str = "heat_archiver_last_commit_timestamp_seconds";
/// Numbers that gateways assigned and that never arrived.
pub const HOLES: &str = "heat_archiver_missing_records";
/// Numbers of devices' own sequences by what became of them: missing, late (had been missing), repeated; and restarts.
pub const DEVICE_NUMBERS: &str = "heat_archiver_device_numbers_total";
/// Devices whose sequence is followed, by partition.
pub const DEVICES: &str = "heat_archiver_devices";
/// Devices that the bound made forgotten, by partition; one that speaks again is new.
pub const DEVICES_FORGOTTEN: &str = "heat_archiver_devices_forgotten";

/// Rows in files that compaction wrote.
pub const COMPACTED_ROWS: &str = "heat_archiver_compacted_rows_total";
/// Files that compaction replaced.
pub const COMPACTED_FILES: &str = "heat_archiver_compacted_files_total";
/// Rows that compaction left out because they repeat others.
pub const COMPACTION_REPEATS: &str = "heat_archiver_compaction_repeats_total";
/// Files of closed dates that are damaged or gone: set aside, and their rows missing until they are put back.
pub const COMPACTION_UNREADABLE: &str = "heat_archiver_compaction_unreadable_files";
/// Runs of compaction that failed.
pub const COMPACTION_FAILURES: &str = "heat_archiver_compaction_failures_total";
/// When the last run of compaction ended well.
pub const LAST_COMPACTION: &str = "heat_archiver_last_compaction_timestamp_seconds";

/// Handles of the archiver's metrics.
#[derive(Debug, Clone)]
pub struct ArchiverMetrics {
    pub(crate) archived: IntCounter,
    pub(crate) duplicate: IntCounter,
    pub(crate) corrections: IntCounter,
    pub(crate) redelivered: IntCounter,
    pub(crate) undecodable: IntCounter,
    pub(crate) commits: IntCounterVec,
    pub(crate) bytes: IntCounter,
    pub(crate) stalled: IntGauge,
    pub(crate) lag: IntGaugeVec,
    pub(crate) last_commit: IntGaugeVec,
    pub(crate) holes: IntGaugeVec,
    pub(crate) compacted_rows: IntCounter,
    pub(crate) compacted_files: IntCounter,
    pub(crate) compaction_repeats: IntCounter,
    pub(crate) compaction_unreadable: IntGauge,
    pub(crate) compaction_failures: IntCounter,
    pub(crate) last_compaction: IntGauge,
    pub(crate) canaries: Arc<Mutex<CanaryWatch>>,
    /// missing, late, repeated, restart.
    device_numbers: [IntCounter; 4],
    devices: IntGaugeVec,
    devices_forgotten: IntGaugeVec,
}

impl ArchiverMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let numbers = metrics.counters(
            DEVICE_NUMBERS,
            "Numbers of devices' own sequences, by outcome: missing - late was lost before the gateway.",
            &["outcome"],
        );
        let readings = metrics.counters(READINGS, "Readings read from the log, by outcome.", &["outcome"]);
        Self {
            archived: readings.with_label_values(&["archived"]),
            duplicate: readings.with_label_values(&["duplicate"]),
            corrections: metrics.counter(
                CORRECTIONS,
                "Archived readings that give another value for a time already archived.",
            ),
            redelivered: metrics.counter(
                REDELIVERED,
                "Records that a gateway appended again; their readings count as duplicates.",
            ),
            undecodable: metrics.counter(UNDECODABLE, "Records of the log that could not be decoded."),
            commits: metrics.counters(COMMITS, "Commits published.", &["topic"]),
            bytes: metrics.counter(BYTES, "Bytes of published files."),
            stalled: metrics.gauge(STALLED, "1 while the archive's store refuses what is written."),
            lag: metrics.gauges(LAG, "Records of the log not yet archived.", &["topic", "partition"]),
            last_commit: metrics.gauges(
                LAST_COMMIT,
                "When the last commit was published.",
                &["topic", "partition"],
            ),
            holes: metrics.gauges(
                HOLES,
                "Numbers that gateways assigned and that never arrived, as far as proven.",
                &["partition"],
            ),
            compacted_rows: metrics.counter(COMPACTED_ROWS, "Rows in files that compaction wrote."),
            compacted_files: metrics.counter(COMPACTED_FILES, "Files that compaction replaced."),
            compaction_repeats: metrics
                .counter(COMPACTION_REPEATS, "Rows that compaction left out because they repeat others."),
            compaction_unreadable: metrics.gauge(
                COMPACTION_UNREADABLE,
                "Files of closed dates that are damaged or gone, and whose rows are missing.",
            ),
            compaction_failures: metrics.counter(COMPACTION_FAILURES, "Runs of compaction that failed."),
            last_compaction: metrics.gauge(LAST_COMPACTION, "When the last run of compaction ended well."),
            canaries: Arc::new(Mutex::new(CanaryWatch::register(
                metrics,
                "archiver",
                "that lies in a published commit",
            ))),
            device_numbers: ["missing", "late", "repeated", "restart"]
                .map(|outcome| numbers.with_label_values(&[outcome])),
            devices: metrics.gauges(DEVICES, "Devices whose own sequence is followed.", &["partition"]),
            devices_forgotten: metrics.gauges(
                DEVICES_FORGOTTEN,
                "Devices whose own sequence was forgotten at the bound.",
                &["partition"],
            ),
        }
    }

    /// Counts what the number of a device's message said.
    pub(crate) fn count_device(&self, sequence: Sequence) {
        let [missing, late, repeated, restart] = &self.device_numbers;
        match sequence {
            Sequence::First | Sequence::Due => {}
            Sequence::Gap { missing: count } => missing.inc_by(count),
            Sequence::Late => late.inc(),
            Sequence::Repeated => repeated.inc(),
            Sequence::Restarted => restart.inc(),
        }
    }

    /// Says how many devices a partition's tracker remembers.
    pub(crate) fn tracked(&self, partition: PartitionId, devices: &DeviceTracker) {
        let label = partition.0.to_string();
        let known = i64::try_from(devices.len()).unwrap_or(i64::MAX);
        self.devices.with_label_values(&[&label]).set(known);
        let forgotten = i64::try_from(devices.forgotten()).unwrap_or(i64::MAX);
        self.devices_forgotten.with_label_values(&[&label]).set(forgotten);
    }
}

/// Registers every metric of the role, for the metric reference.
pub fn describe(metrics: &Metrics) {
    ArchiverMetrics::register(metrics);
}
