//! The processor's metrics.

use heat_detect::Counters;
use heat_runtime::metrics::Metrics;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};

/// Readings by what became of them: taken, repeated.
pub const READINGS: &str = "heat_processor_readings_total";
/// Live readings beyond the lateness bound, by whether they were judged: those in order are, and their findings marked.
pub const LATE: &str = "heat_processor_late_readings_total";
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
/// How long a partition's last snapshot took, from the cut until it was durable.
pub const SNAPSHOT_SECONDS: &str = "heat_processor_snapshot_seconds";
/// How long records waited for a partition's last cut.
pub const SNAPSHOT_PAUSE: &str = "heat_processor_snapshot_pause_seconds";
/// When a partition's last snapshot was stored.
pub const LAST_SNAPSHOT: &str = "heat_processor_last_snapshot_timestamp_seconds";
/// Records of the log not yet processed.
pub const LAG: &str = "heat_processor_lag_records";
/// Readings that no detector used, by reason: bad, clock, late, unused, bound.
pub const SET_ASIDE: &str = "heat_processor_set_aside_readings_total";
/// Incidents dropped by the bound on incidents kept.
pub const INCIDENTS_DROPPED: &str = "heat_processor_dropped_incidents_total";
/// The alarm budget: false pages that one network may have in 30 days.
pub const BUDGET: &str = "heat_processor_false_pages_budget";

/// Incidents opened, by priority: what the alarm budget is held against.
pub const OPENED: &str = "heat_processor_incidents_opened_total";
/// Networks watched, by partition.
pub const NETWORKS: &str = "heat_processor_networks";
/// False alarms per thousand network-months (P1 and P2 together, P3) or station-months (P4) that the settings allow.
pub const PROMISED: &str = "heat_processor_false_alarms_promised_per_thousand_months";

/// Handles of the processor's metrics.
#[derive(Debug, Clone)]
pub struct ProcessorMetrics {
    pub(crate) taken: IntCounter,
    pub(crate) repeated: IntCounter,
    pub(crate) late_judged: IntCounter,
    pub(crate) late_unjudged: IntCounter,
    pub(crate) outputs: IntCounterVec,
    pub(crate) suppressed: IntCounter,
    pub(crate) undecodable: IntCounter,
    pub(crate) snapshots: IntCounter,
    pub(crate) snapshot_bytes: IntGaugeVec,
    pub(crate) snapshot_seconds: GaugeVec,
    pub(crate) snapshot_pause: GaugeVec,
    pub(crate) last_snapshot: IntGaugeVec,
    pub(crate) lag: IntGaugeVec,
    /// bad, clock, late, unused, bound.
    set_aside: [IntCounter; 5],
    incidents_dropped: IntCounter,
    pub(crate) budget: Gauge,
    pub(crate) opened: IntCounterVec,
    pub(crate) networks: IntGaugeVec,
    pub(crate) promised: IntGaugeVec,
}

impl ProcessorMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let readings = metrics.counters(READINGS, "Readings read from the log, by outcome.", &["outcome"]);
        let set_aside = metrics.counters(
            SET_ASIDE,
            "Live readings that no detector used, by reason: bad quality, wrong clock, late, unused name, bound.",
            &["reason"],
        );
        let late = metrics.counters(LATE, "Live readings beyond the lateness bound.", &["outcome"]);
        Self {
            late_judged: late.with_label_values(&["judged"]),
            late_unjudged: late.with_label_values(&["behind_newer"]),
            taken: readings.with_label_values(&["taken"]),
            repeated: readings.with_label_values(&["repeated"]),
            outputs: metrics.counters(OUTPUTS, "Outputs published, by kind.", &["kind"]),
            suppressed: metrics.counter(SUPPRESSED, "Outputs not published again after a restart."),
            undecodable: metrics.counter(UNDECODABLE, "Records of the log that could not be decoded."),
            snapshots: metrics.counter(SNAPSHOTS, "Snapshots stored."),
            snapshot_bytes: metrics.gauges(SNAPSHOT_BYTES, "Size of the last snapshot.", &["partition"]),
            snapshot_seconds: metrics.numbers(
                SNAPSHOT_SECONDS,
                "From the cut of the last snapshot until it was durable; records go on meanwhile.",
                &["partition"],
            ),
            snapshot_pause: metrics.numbers(
                SNAPSHOT_PAUSE,
                "How long records waited while the state was copied for the last snapshot.",
                &["partition"],
            ),
            last_snapshot: metrics.gauges(
                LAST_SNAPSHOT,
                "When the last snapshot was stored.",
                &["partition"],
            ),
            lag: metrics.gauges(LAG, "Records of the log not yet processed.", &["partition"]),
            set_aside: ["bad", "clock", "late", "unused", "bound"]
                .map(|reason| set_aside.with_label_values(&[reason])),
            incidents_dropped: metrics.counter(
                INCIDENTS_DROPPED,
                "Incidents that the bound on open incidents of a network kept out or gave up.",
            ),
            budget: metrics
                .number(BUDGET, "The alarm budget: false pages that one network may have in 30 days."),
            opened: metrics.counters(OPENED, "Incidents opened, reopened or escalated.", &["priority"]),
            networks: metrics.gauges(NETWORKS, "Networks watched.", &["partition"]),
            promised: metrics.gauges(
                PROMISED,
                "False alarms that the settings allow per thousand network-months; P4: station-months.",
                &["priority"],
            ),
        }
    }

    /// Adds what a core counted since `before`.
    pub(crate) fn add_counters(&self, before: Counters, after: Counters) {
        let [bad, clock, late, unused, bound] = &self.set_aside;
        bad.inc_by(after.bad - before.bad);
        clock.inc_by(after.clock - before.clock);
        late.inc_by(after.late - before.late);
        unused.inc_by(after.unused - before.unused);
        bound.inc_by(after.over_bound - before.over_bound);
        self.incidents_dropped.inc_by(after.incidents_dropped - before.incidents_dropped);
    }
}

/// Registers every metric of the role, for the metric reference.
pub fn describe(metrics: &Metrics) {
    ProcessorMetrics::register(metrics);
}

/// Tells what the settings promise.
pub(crate) fn promise(metrics: &ProcessorMetrics, settings: &heat_detect::DetectSettings) {
    let budget = heat_detect::budget::Budget::of(settings);
    let rows = [("P1+P2", budget.pages), ("P3", budget.next_day), ("P4", budget.listed_per_station)];
    for (priority, promised) in rows {
        #[expect(clippy::cast_possible_truncation, reason = "settings bound it to 100,000")]
        metrics.promised.with_label_values(&[priority]).set((1_000.0 * promised).round() as i64);
    }
}
