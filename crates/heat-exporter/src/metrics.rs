//! The role's metrics: names, and the handles to them.

use heat_runtime::metrics::Metrics;
use heat_view::live::LiveCounts;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// Records read, by topic and outcome (applied, undecodable).
pub const RECORDS_TOTAL: &str = "heat_exporter_records_total";
/// Live readings, by outcome (applied, older).
pub const READINGS_TOTAL: &str = "heat_exporter_readings_total";
/// Signals held.
pub const SIGNALS: &str = "heat_exporter_signals";
/// Signals kept out, by reason (bound, private), each time that their set was looked at.
pub const SIGNALS_REFUSED_TOTAL: &str = "heat_exporter_signals_refused_total";
/// Signals forgotten after long silence.
pub const SIGNALS_FORGOTTEN_TOTAL: &str = "heat_exporter_signals_forgotten_total";
/// Series of plant values at the last scrape.
pub const SERIES: &str = "heat_exporter_series";
/// Series that the cap kept out of the last scrape.
pub const SERIES_DROPPED: &str = "heat_exporter_series_dropped";
/// Whether age and quality of each signal were left out of the last scrape, because there are too many signals.
pub const FRESHNESS_OMITTED: &str = "heat_exporter_freshness_omitted";
/// Time to write plant values at a scrape.
pub const RENDER_SECONDS: &str = "heat_exporter_render_seconds";
/// Times that reading a topic met an error and went on, by topic.
pub const READ_TROUBLE_TOTAL: &str = "heat_exporter_read_trouble_total";
/// Incidents held.
pub const INCIDENTS: &str = "heat_exporter_incidents";
/// Incidents that a bound kept out.
pub const INCIDENTS_REFUSED_TOTAL: &str = "heat_exporter_incidents_refused_total";

/// Names and help of the families that are written as text, for the metric reference. Plant values of standard names
/// follow [`crate::families`].
pub const TEXT_FAMILIES: &[(&str, &str)] = &[
    (crate::families::GENERIC, "Last current value of a signal without a standard name."),
    ("heat_signal_age_seconds", "Seconds since a current value was measured, by the device's clock."),
    ("heat_signal_quality", "Quality of a signal's current value: 0 good, 1 uncertain, 2 bad."),
    (
        "heat_pipeline_heartbeat_age_seconds",
        "Seconds since a gateway's last heartbeat in a partition, wall time.",
    ),
    ("heat_incidents_active", "Incidents that are not cleared."),
    ("heat_incident_info", "One series for each open incident of priority P1 or P2, at most 200."),
];

/// The handles.
#[derive(Debug, Clone)]
pub(crate) struct RoleMetrics {
    pub(crate) records: IntCounterVec,
    pub(crate) readings: IntCounterVec,
    pub(crate) signals: IntGauge,
    pub(crate) signals_refused: IntCounterVec,
    pub(crate) signals_forgotten: IntCounter,
    pub(crate) series: IntGauge,
    pub(crate) series_dropped: IntGauge,
    pub(crate) freshness_omitted: IntGauge,
    pub(crate) render_seconds: Histogram,
    pub(crate) trouble: IntCounterVec,
    pub(crate) incidents: IntGauge,
    pub(crate) incidents_refused: IntCounter,
}

impl RoleMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            records: metrics.counters(
                RECORDS_TOTAL,
                "Records read, by topic and outcome.",
                &["topic", "outcome"],
            ),
            readings: metrics.counters(READINGS_TOTAL, "Live readings, by outcome.", &["outcome"]),
            signals: metrics.gauge(SIGNALS, "Signals held."),
            signals_refused: metrics.counters(
                SIGNALS_REFUSED_TOTAL,
                "Signals kept out, by reason, each time that their set was looked at.",
                &["reason"],
            ),
            signals_forgotten: metrics
                .counter(SIGNALS_FORGOTTEN_TOTAL, "Signals forgotten after long silence."),
            series: metrics.gauge(SERIES, "Series of plant values at the last scrape."),
            series_dropped: metrics.gauge(SERIES_DROPPED, "Series that the cap kept out of the last scrape."),
            freshness_omitted: metrics.gauge(
                FRESHNESS_OMITTED,
                "Whether age and quality of each signal were left out, because there are too many signals.",
            ),
            render_seconds: metrics.histogram(
                RENDER_SECONDS,
                "Time to write plant values at a scrape.",
                &[0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0],
            ),
            trouble: metrics.counters(
                READ_TROUBLE_TOTAL,
                "Times that reading a topic met an error and went on.",
                &["topic"],
            ),
            incidents: metrics.gauge(INCIDENTS, "Incidents held."),
            incidents_refused: metrics.counter(INCIDENTS_REFUSED_TOTAL, "Incidents that a bound kept out."),
        }
    }

    /// Counts what a table counted since `before`.
    pub(crate) fn add_live(&self, before: LiveCounts, after: LiveCounts) {
        self.readings.with_label_values(&["applied"]).inc_by(after.applied - before.applied);
        self.readings.with_label_values(&["older"]).inc_by(after.older - before.older);
        self.signals_refused.with_label_values(&["bound"]).inc_by(after.over_bound - before.over_bound);
        self.signals_refused.with_label_values(&["private"]).inc_by(after.private - before.private);
        self.signals_forgotten.inc_by(after.forgotten - before.forgotten);
    }
}
