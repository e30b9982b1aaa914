//! The gateway's metrics.

use heat_codec::reject::RejectReason;
use heat_model::record::HourCounts;
use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge};

/// Messages by what became of them: received, logged, rejected.
pub const MESSAGES: &str = "heat_gateway_messages_total";
/// Readings by what became of them: received, logged, rejected.
pub const READINGS: &str = "heat_gateway_readings_total";
/// Faults found in payloads, by reason.
pub const REJECTS: &str = "heat_gateway_rejects_total";
/// Messages whose acknowledgement waits for the log.
pub const WAITING: &str = "heat_gateway_waiting_messages";
/// Records that wait to become durable.
pub const QUEUED_RECORDS: &str = "heat_gateway_queued_records";
/// Their bytes.
pub const QUEUED_BYTES: &str = "heat_gateway_queued_bytes";
/// 1 while the log does not take records.
pub const STALLED: &str = "heat_gateway_log_stalled";
/// Links that are up.
pub const LINKS: &str = "heat_gateway_links";

/// Handles of the gateway's metrics.
#[derive(Debug)]
pub struct GatewayMetrics {
    received: [IntCounter; 2],
    logged: [IntCounter; 2],
    rejected: [IntCounter; 2],
    rejects: Vec<(RejectReason, IntCounter)>,
    pub(crate) waiting: IntGauge,
    pub(crate) queued_records: IntGauge,
    pub(crate) queued_bytes: IntGauge,
    pub(crate) stalled: IntGauge,
    pub(crate) links: IntGauge,
    said: HourCounts,
}

impl GatewayMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let messages = metrics.counters(
            MESSAGES,
            "Messages by outcome; received = logged + rejected + waiting.",
            &["outcome"],
        );
        let readings = metrics.counters(
            READINGS,
            "Readings by outcome; received = logged + rejected + on their way.",
            &["outcome"],
        );
        let rejects = metrics.counters(REJECTS, "Faults found in payloads, by reason.", &["reason"]);
        let pair = |outcome: &str| both(&messages, &readings, outcome);
        Self {
            received: pair("received"),
            logged: pair("logged"),
            rejected: pair("rejected"),
            rejects: RejectReason::ALL
                .iter()
                .map(|reason| (*reason, rejects.with_label_values(&[reason.as_str()])))
                .collect(),
            waiting: metrics.gauge(WAITING, "Messages whose acknowledgement waits for the log."),
            queued_records: metrics.gauge(QUEUED_RECORDS, "Records that wait to become durable."),
            queued_bytes: metrics.gauge(QUEUED_BYTES, "Bytes of records that wait to become durable."),
            stalled: metrics.gauge(STALLED, "1 while the log does not make records durable."),
            links: metrics.gauge(LINKS, "MQTT connections that are up."),
            said: HourCounts::default(),
        }
    }

    /// Counts a fault by its word.
    pub(crate) fn reject(&self, word: &str) {
        if let Some((_, counter)) = self.rejects.iter().find(|(reason, _)| reason.as_str() == word) {
            counter.inc();
        }
    }

    /// Brings the counters up to the ledger's totals.
    pub(crate) fn bring_up_to(&mut self, total: HourCounts) {
        let said = std::mem::replace(&mut self.said, total);
        add(
            &self.received,
            total.messages_received - said.messages_received,
            total.readings_received - said.readings_received,
        );
        add(
            &self.logged,
            total.messages_logged - said.messages_logged,
            total.readings_logged - said.readings_logged,
        );
        add(
            &self.rejected,
            total.messages_rejected - said.messages_rejected,
            total.readings_rejected - said.readings_rejected,
        );
    }
}

fn both(messages: &IntCounterVec, readings: &IntCounterVec, outcome: &str) -> [IntCounter; 2] {
    [messages.with_label_values(&[outcome]), readings.with_label_values(&[outcome])]
}

fn add([messages, readings]: &[IntCounter; 2], more_messages: u64, more_readings: u64) {
    messages.inc_by(more_messages);
    readings.inc_by(more_readings);
}
