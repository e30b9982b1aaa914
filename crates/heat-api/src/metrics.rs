//! The role's metrics: names, and the handles to them.

use std::sync::{Arc, Mutex};

use heat_runtime::{canary::CanaryWatch, metrics::Metrics};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// Requests answered, by route and status class.
pub const REQUESTS_TOTAL: &str = "heat_api_requests_total";
/// Time to answer a request, without server-sent events.
pub const REQUEST_SECONDS: &str = "heat_api_request_seconds";
/// Requests refused for a missing or wrong token, a role or a host name.
pub const REFUSED_TOTAL: &str = "heat_api_refused_total";
/// Commands and tickets, by action and outcome.
pub const COMMANDS_TOTAL: &str = "heat_api_commands_total";
/// Connections open.
pub const CONNECTIONS: &str = "heat_api_connections";
/// TLS handshakes that failed.
pub const HANDSHAKES_FAILED_TOTAL: &str = "heat_api_tls_handshakes_failed_total";
/// Tickets kept at hand.
pub const TICKETS_KEPT: &str = "heat_api_tickets_kept";
/// Clients of server-sent events.
pub const EVENT_CLIENTS: &str = "heat_api_event_clients";
/// Clients cut because they did not keep up.
pub const EVENT_CLIENTS_CUT_TOTAL: &str = "heat_api_event_clients_cut_total";
/// Records of the city's topic, by kind and outcome.
pub const CITY_RECORDS_TOTAL: &str = "heat_api_city_records_total";
/// History requests at work.
pub const HISTORY_RUNNING: &str = "heat_api_history_running";
/// Records read, by topic and outcome.
pub const RECORDS_TOTAL: &str = "heat_api_records_total";
/// Times that reading a topic met an error and went on.
pub const READ_TROUBLE_TOTAL: &str = "heat_api_read_trouble_total";
/// Signals and incidents that a bound kept out.
pub const OVER_BOUND_TOTAL: &str = "heat_api_over_bound_total";
/// Dead letters, and requests to take one again, kept at hand.
pub const LETTERS_KEPT: &str = "heat_api_letters_kept";

/// The handles.
#[derive(Debug, Clone)]
pub(crate) struct RoleMetrics {
    pub(crate) requests: IntCounterVec,
    pub(crate) request_seconds: Histogram,
    pub(crate) refused: IntCounterVec,
    pub(crate) commands: IntCounterVec,
    pub(crate) connections: IntGauge,
    pub(crate) handshakes_failed: IntCounter,
    pub(crate) tickets: IntGauge,
    pub(crate) event_clients: IntGauge,
    pub(crate) event_clients_cut: IntCounter,
    pub(crate) city_records: IntCounterVec,
    pub(crate) history_running: IntGauge,
    pub(crate) records: IntCounterVec,
    pub(crate) trouble: IntCounterVec,
    pub(crate) over_bound: IntCounterVec,
    pub(crate) letters: IntGauge,
    pub(crate) requeued: IntGauge,
    pub(crate) canaries: Arc<Mutex<CanaryWatch>>,
}

impl RoleMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let buckets = [0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0];
        let kept = metrics.gauges(
            LETTERS_KEPT,
            "Dead letters, and requests to take one again, kept at hand.",
            &["what"],
        );
        let seconds = "Time to answer a request, without server-sent events.";
        Self {
            requests: metrics.counters(
                REQUESTS_TOTAL,
                "Requests answered, by route and status class.",
                &["route", "status"],
            ),
            request_seconds: metrics.histogram(REQUEST_SECONDS, seconds, &buckets),
            refused: metrics.counters(
                REFUSED_TOTAL,
                "Requests refused before they were looked at.",
                &["reason"],
            ),
            commands: metrics.counters(
                COMMANDS_TOTAL,
                "Commands and tickets, by action and outcome.",
                &["action", "outcome"],
            ),
            connections: metrics.gauge(CONNECTIONS, "Connections open."),
            handshakes_failed: metrics.counter(HANDSHAKES_FAILED_TOTAL, "TLS handshakes that failed."),
            tickets: metrics.gauge(TICKETS_KEPT, "Tickets kept at hand."),
            event_clients: metrics.gauge(EVENT_CLIENTS, "Clients of server-sent events."),
            event_clients_cut: metrics
                .counter(EVENT_CLIENTS_CUT_TOTAL, "Clients cut because they did not keep up."),
            city_records: metrics.counters(
                CITY_RECORDS_TOTAL,
                "Records of the city's topic, by kind and outcome.",
                &["kind", "outcome"],
            ),
            history_running: metrics.gauge(HISTORY_RUNNING, "History requests at work."),
            records: metrics.counters(
                RECORDS_TOTAL,
                "Records read, by topic and outcome.",
                &["topic", "outcome"],
            ),
            trouble: metrics.counters(
                READ_TROUBLE_TOTAL,
                "Times that reading a topic met an error and went on.",
                &["topic"],
            ),
            over_bound: metrics.counters(
                OVER_BOUND_TOTAL,
                "Signals and incidents that a bound kept out.",
                &["what"],
            ),
            letters: kept.with_label_values(&["letter"]),
            requeued: kept.with_label_values(&["request"]),
            canaries: Arc::new(Mutex::new(CanaryWatch::register(metrics, "api", "that the API shows"))),
        }
    }
}

/// Registers every metric of the role, for the metric reference.
pub fn describe(metrics: &Metrics) {
    RoleMetrics::register(metrics);
}
