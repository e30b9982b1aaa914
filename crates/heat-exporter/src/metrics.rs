//! The role's metrics: names, and the handles to them.

use heat_runtime::metrics::{Metrics, TextFamily};
use heat_view::{board::BoardCounts, live::LiveCounts};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::{families, pager::PagerMetrics};

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
/// Cleared incidents that a bound made forgotten: figures of long windows miss them.
pub const INCIDENTS_FORGOTTEN_TOTAL: &str = "heat_exporter_incidents_forgotten_total";
/// Homes that a bound kept out.
pub const ROOMS_REFUSED_TOTAL: &str = "heat_exporter_rooms_refused_total";
/// Incidents that a bound kept out.
pub const INCIDENTS_REFUSED_TOTAL: &str = "heat_exporter_incidents_refused_total";

/// Values of signals without a standard name.
pub const SIGNAL_VALUE: TextFamily = TextFamily {
    name: families::GENERIC,
    kind: "gauge",
    labels: &["network", "site", "device", "name", "unit"],
    help: "Last current value of a signal without a standard name, in the unit that it has.",
};
/// Ages of current values.
pub const SIGNAL_AGE: TextFamily = TextFamily {
    name: "heat_signal_age_seconds",
    kind: "gauge",
    labels: &["network", "site", "device", "circuit", "name"],
    help: "Seconds since a current value was measured, by the device's clock.",
};
/// Qualities of current values.
pub const SIGNAL_QUALITY: TextFamily = TextFamily {
    name: "heat_signal_quality",
    kind: "gauge",
    labels: &["network", "site", "device", "circuit", "name"],
    help: "Quality of a signal's current value: 0 good, 1 uncertain, 2 bad.",
};
/// Ages of heartbeats.
pub const HEARTBEAT_AGE: TextFamily = TextFamily {
    name: "heat_pipeline_heartbeat_age_seconds",
    kind: "gauge",
    labels: &["partition"],
    help: "Seconds since a gateway's last heartbeat in a partition, wall time; since the start if none came.",
};
/// Open incidents, counted.
pub const INCIDENTS_ACTIVE: TextFamily = TextFamily {
    name: "heat_incidents_active",
    kind: "gauge",
    labels: &["network", "class", "priority", "state"],
    help: "Incidents that are not cleared.",
};
/// Open incidents, one by one.
pub const INCIDENT_INFO: TextFamily = TextFamily {
    name: "heat_incident_info",
    kind: "gauge",
    labels: &["network", "incident", "class", "priority", "state", "place"],
    help: "One series for each open incident of priority P1 or P2, at most 200.",
};
/// Alarm rate.
pub const ALARMS_RAISED: TextFamily = TextFamily {
    name: "heat_alarms_raised",
    kind: "gauge",
    labels: &["network", "priority", "window"],
    help: "Incidents raised within the window before the scrape: 10m, 1h, 24h, 30d.",
};
/// Alarm flood.
pub const ALARM_FLOOD: TextFamily = TextFamily {
    name: "heat_alarm_flood",
    kind: "gauge",
    labels: &[],
    help: "1 while more than ten pages (P1, P2) were raised in ten minutes, over all networks.",
};
/// Chattering alarms.
pub const ALARMS_CHATTERING: TextFamily = TextFamily {
    name: "heat_alarms_chattering",
    kind: "gauge",
    labels: &["network"],
    help: "Alarms (class and place) raised three times or more within 24 hours.",
};
/// Standing alarms.
pub const ALARMS_STANDING: TextFamily = TextFamily {
    name: "heat_alarms_standing",
    kind: "gauge",
    labels: &["network"],
    help: "Incidents active for more than 24 hours, without shelved ones and those in maintenance.",
};
/// Pages without a repair.
pub const PAGES_UNCONFIRMED: TextFamily = TextFamily {
    name: "heat_pages_unconfirmed",
    kind: "gauge",
    labels: &["network"],
    help: "Pages (P1, P2) cleared within 30 days without a repair: an upper bound of the false ones.",
};
/// Homes with a room temperature.
pub const ROOMS: TextFamily = TextFamily {
    name: "heat_rooms",
    kind: "gauge",
    labels: &["network", "station"],
    help: "Homes with a current room temperature; places with fewer than ten are left out.",
};
/// Homes below the promised temperature.
pub const ROOMS_COLD: TextFamily = TextFamily {
    name: "heat_rooms_below_promise",
    kind: "gauge",
    labels: &["network", "station"],
    help: "Homes below 18 degrees Celsius; places with fewer than ten are left out.",
};
/// Percentiles of room temperatures.
pub const ROOM_TEMPERATURE: TextFamily = TextFamily {
    name: "heat_room_temperature_celsius",
    kind: "gauge",
    labels: &["network", "station", "percentile"],
    help: "Percentiles (10, 50, 90) of the room temperatures of homes; never one home's.",
};

/// The families that are written as text, for the metric reference. Plant values of standard names follow
/// [`crate::families`].
pub const TEXT_FAMILIES: &[TextFamily] = &[
    SIGNAL_VALUE,
    SIGNAL_AGE,
    SIGNAL_QUALITY,
    HEARTBEAT_AGE,
    INCIDENTS_ACTIVE,
    INCIDENT_INFO,
    ALARMS_RAISED,
    ALARM_FLOOD,
    ALARMS_CHATTERING,
    ALARMS_STANDING,
    PAGES_UNCONFIRMED,
    ROOMS,
    ROOMS_COLD,
    ROOM_TEMPERATURE,
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
    incidents_forgotten: IntCounter,
    rooms_refused: IntCounter,
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
            incidents_forgotten: metrics.counter(
                INCIDENTS_FORGOTTEN_TOTAL,
                "Cleared incidents that a bound made forgotten; figures of long windows miss them.",
            ),
            rooms_refused: metrics
                .counter(ROOMS_REFUSED_TOTAL, "Room temperatures of homes that a bound kept out."),
        }
    }

    /// Brings the counters up to what board and rooms count.
    pub(crate) fn bring_up_to(&self, board: BoardCounts, rooms_refused: u64) {
        self.incidents_forgotten.inc_by(board.forgotten.saturating_sub(self.incidents_forgotten.get()));
        self.rooms_refused.inc_by(rooms_refused.saturating_sub(self.rooms_refused.get()));
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

/// Registers every metric of the role and names every family that it writes, for the metric reference.
pub fn describe(metrics: &Metrics) {
    RoleMetrics::register(metrics);
    PagerMetrics::register(metrics);
    metrics.add_source(TEXT_FAMILIES, |_| {});
}
