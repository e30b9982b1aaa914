//! Metrics of the MQTT links: what the listener and the client of a broker count.

use heat_mqtt::{ListenStats, Listener, ListenerHandle, SubscribeStats, Subscriber, SubscriberHandle};
use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge};

/// Connections of devices that are open.
pub const CONNECTIONS: &str = "heat_gateway_mqtt_connections";
/// Sessions of devices, connected or kept.
pub const SESSIONS: &str = "heat_gateway_mqtt_sessions";
/// Connections refused, by reason.
pub const REFUSED: &str = "heat_gateway_mqtt_refused_connections_total";
/// TLS handshakes, by how they ended.
pub const HANDSHAKES: &str = "heat_gateway_mqtt_tls_handshakes_total";
/// Certificates taken into use, or not, after their files changed.
pub const CERTIFICATES: &str = "heat_gateway_mqtt_certificate_reloads_total";
/// Connections that the listener ended, by reason.
pub const ENDED: &str = "heat_gateway_mqtt_ended_connections_total";
/// 1 while connected to the broker and subscribed.
pub const BROKER_CONNECTED: &str = "heat_gateway_broker_connected";
/// What happened on the link to the broker.
pub const BROKER_EVENTS: &str = "heat_gateway_broker_events_total";

/// Brings the metrics up to what the links count.
#[derive(Debug)]
pub(crate) struct LinkMetrics {
    listener: Option<ListenerHandle>,
    subscriber: Option<SubscriberHandle>,
    connections: IntGauge,
    sessions: IntGauge,
    refused: IntCounterVec,
    handshakes: IntCounterVec,
    certificates: IntCounterVec,
    ended: IntCounterVec,
    broker_connected: IntGauge,
    broker_events: IntCounterVec,
}

impl LinkMetrics {
    pub(crate) fn register(
        listener: Option<&Listener>,
        subscriber: Option<&Subscriber>,
        metrics: &Metrics,
    ) -> Self {
        let reason = &["reason"];
        Self {
            listener: listener.map(Listener::handle),
            subscriber: subscriber.map(Subscriber::handle),
            connections: metrics.gauge(CONNECTIONS, "Connections of devices that are open."),
            sessions: metrics.gauge(SESSIONS, "Sessions of devices, connected or kept."),
            refused: metrics.counters(REFUSED, "Connections refused, by reason.", reason),
            handshakes: metrics.counters(HANDSHAKES, "TLS handshakes, by how they ended.", &["outcome"]),
            certificates: metrics.counters(
                CERTIFICATES,
                "Changed certificates, by whether they could be used.",
                &["outcome"],
            ),
            ended: metrics.counters(ENDED, "Connections that the listener ended, by reason.", reason),
            broker_connected: metrics
                .gauge(BROKER_CONNECTED, "1 while connected to the broker and subscribed."),
            broker_events: metrics.counters(
                BROKER_EVENTS,
                "What happened on the link to the broker.",
                &["event"],
            ),
        }
    }

    /// Whether messages can come in: a client of a broker must be connected and subscribed.
    pub(crate) fn are_up(&self) -> bool {
        self.subscriber.as_ref().is_none_or(|subscriber| subscriber.stats().connected > 0)
    }

    pub(crate) fn show(&self) {
        if let Some(listener) = &self.listener {
            self.show_listener(&listener.stats());
        }
        if let Some(subscriber) = &self.subscriber {
            self.show_subscriber(&subscriber.stats());
        }
    }

    fn show_listener(&self, stats: &ListenStats) {
        self.connections.set(level(stats.connections));
        self.sessions.set(level(stats.sessions));
        let refused = &stats.refused;
        for (reason, count) in [
            ("full", refused.full),
            ("user_full", refused.user_full),
            ("credentials", refused.credentials),
            ("not_authorized", refused.not_authorized),
            ("version", refused.version),
            ("client_id", refused.client_id),
            ("client_id_rule", refused.client_id_rule),
            ("authentication_method", refused.authentication_method),
            ("timeout", refused.timeout),
            ("malformed", refused.malformed),
            ("accept_error", stats.accept_errors),
        ] {
            raise(&self.refused.with_label_values(&[reason]), count);
        }
        let tls = &stats.tls;
        for (outcome, count) in [
            ("completed", tls.handshakes),
            ("timeout", tls.timeout),
            ("closed", tls.closed),
            ("not_tls", tls.not_tls),
            ("incompatible", tls.incompatible),
            ("no_certificate", tls.no_certificate),
            ("certificate", tls.certificate),
            ("alert", tls.alert),
            ("identity", tls.identity),
            ("other", tls.other),
        ] {
            raise(&self.handshakes.with_label_values(&[outcome]), count);
        }
        raise(&self.certificates.with_label_values(&["used"]), tls.reloads);
        raise(&self.certificates.with_label_values(&["refused"]), tls.reload_failures);
        for (reason, count) in [
            ("oversized", stats.oversized),
            ("protocol_error", stats.protocol_errors),
            ("receive_maximum", stats.receive_maximum_exceeded),
            ("keep_alive", stats.keep_alive_expired),
            ("write_stalled", stats.write_stalled),
            ("taken_over", stats.take_overs),
            ("task_failure", stats.task_failures),
        ] {
            raise(&self.ended.with_label_values(&[reason]), count);
        }
    }

    fn show_subscriber(&self, stats: &SubscribeStats) {
        self.broker_connected.set(level(stats.connected));
        for (event, count) in [
            ("connected", stats.connections),
            ("failed", stats.failures),
            ("session_lost", stats.sessions_lost),
            ("filter_refused", stats.filters_refused),
            ("invalid_topic", stats.invalid_topics),
            ("watchdog_rebuild", stats.watchdog_rebuilds),
            ("command_dropped", stats.commands_dropped),
        ] {
            raise(&self.broker_events.with_label_values(&[event]), count);
        }
    }
}

fn level(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
