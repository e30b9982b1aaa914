//! Metrics of the pages; one set for each Alertmanager, told apart by its address.

use heat_runtime::metrics::Metrics;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Messages to an Alertmanager, by outcome: accepted, refused (4xx), failed.
pub(crate) const POSTS_TOTAL: &str = "heat_exporter_alertmanager_posts_total";
/// Alerts held.
pub(crate) const ALERTS: &str = "heat_exporter_alertmanager_alerts";
/// Alerts whose last change an Alertmanager has not taken.
pub(crate) const WAITING: &str = "heat_exporter_alertmanager_waiting_alerts";
/// How long the oldest of these changes waits.
pub(crate) const WAITING_SECONDS: &str = "heat_exporter_alertmanager_oldest_waiting_seconds";
/// When an Alertmanager last took something.
pub(crate) const LAST_SUCCESS: &str = "heat_exporter_alertmanager_last_success_timestamp_seconds";
/// Silences, by what was done.
pub(crate) const SILENCES_TOTAL: &str = "heat_exporter_alertmanager_silences_total";
/// Alerts that a bound kept out or made go before they were told.
pub(crate) const DROPPED_TOTAL: &str = "heat_exporter_alertmanager_dropped_alerts_total";
/// From an incident's opening on the log to the first Alertmanager's acceptance.
pub(crate) const DELAY_SECONDS: &str = "heat_exporter_alertmanager_delay_seconds";

/// The handles that all Alertmanagers share.
#[derive(Debug, Clone)]
pub(crate) struct PagerMetrics {
    posts: IntCounterVec,
    waiting: IntGaugeVec,
    waiting_seconds: IntGaugeVec,
    last_success: IntGaugeVec,
    silences: IntCounterVec,
    pub(crate) alerts: IntGauge,
    pub(crate) dropped: IntCounter,
    pub(crate) delay: Histogram,
}

/// The handles of one Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct TargetMetrics {
    pub(crate) accepted: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) waiting_seconds: IntGauge,
    pub(crate) last_success: IntGauge,
    pub(crate) silences: IntCounterVec,
    pub(crate) address: String,
}

impl PagerMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let by = &["alertmanager"];
        Self {
            posts: metrics.counters(
                POSTS_TOTAL,
                "Messages to an Alertmanager, by outcome: accepted, refused, failed.",
                &["alertmanager", "outcome"],
            ),
            waiting: metrics.gauges(WAITING, "Alerts whose last change an Alertmanager has not taken.", by),
            waiting_seconds: metrics.gauges(
                WAITING_SECONDS,
                "How long the oldest change that an Alertmanager has not taken waits.",
                by,
            ),
            last_success: metrics.gauges(LAST_SUCCESS, "When an Alertmanager last answered well.", by),
            silences: metrics.counters(
                SILENCES_TOTAL,
                "Silences, by what was done: created, extended, expired.",
                &["alertmanager", "act"],
            ),
            alerts: metrics.gauge(ALERTS, "Incidents held as alerts, ended ones for a while."),
            dropped: metrics.counter(
                DROPPED_TOTAL,
                "Alerts that a bound kept out, or made go before their end was told.",
            ),
            delay: metrics.histogram(
                DELAY_SECONDS,
                "From an incident's opening on the log to the first acceptance by an Alertmanager.",
                &[0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0],
            ),
        }
    }

    pub(crate) fn of(&self, address: &str) -> TargetMetrics {
        let posts = |outcome: &str| self.posts.with_label_values(&[address, outcome]);
        TargetMetrics {
            accepted: posts("accepted"),
            refused: posts("refused"),
            failed: posts("failed"),
            waiting: self.waiting.with_label_values(&[address]),
            waiting_seconds: self.waiting_seconds.with_label_values(&[address]),
            last_success: self.last_success.with_label_values(&[address]),
            silences: self.silences.clone(),
            address: address.to_owned(),
        }
    }
}
