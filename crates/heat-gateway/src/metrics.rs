//! The gateway's metrics.

use heat_codec::{reject::RejectReason, sparkplug::SparkplugCounts};
use heat_model::{IngestTime, record::HourCounts};
use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::{
    clock_guard::ClockState, commands::Commands, link_metrics::LinkMetrics, outbox::Status,
    plant::PlantMetrics, requeue::RequeueMetrics,
};

/// Messages by what became of them: received, logged, rejected.
pub const MESSAGES: &str = "heat_gateway_messages_total";
/// Readings by what became of them: received, logged, rejected.
pub const READINGS: &str = "heat_gateway_readings_total";
/// Readings taken, by lane: live, backfill.
pub const LANE_READINGS: &str = "heat_gateway_lane_readings_total";
/// When a message last became durable.
pub const LAST_LOGGED: &str = "heat_gateway_last_logged_timestamp_seconds";
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
/// Where new records go: 0 straight to Kafka, 1 to the buffer.
pub const BUFFERING: &str = "heat_gateway_buffering";
/// Buffered records that are not yet durable in Kafka.
pub const BUFFER_RECORDS: &str = "heat_gateway_buffer_records";
/// Bytes of the buffer on disk.
pub const BUFFER_BYTES: &str = "heat_gateway_buffer_bytes";
/// Age of the oldest buffered record that is not yet durable in Kafka.
pub const BUFFER_AGE: &str = "heat_gateway_buffer_oldest_age_seconds";
/// 1 while the buffer is full and senders wait.
pub const BUFFER_FULL: &str = "heat_gateway_buffer_full";
/// 1 while the buffer's disk takes nothing.
pub const BUFFER_FAILING: &str = "heat_gateway_buffer_failing";
/// Records given to the buffer.
pub const BUFFER_SPILLED: &str = "heat_gateway_buffer_spilled_records_total";
/// Records handed from the buffer to Kafka.
pub const BUFFER_FORWARDED: &str = "heat_gateway_buffer_forwarded_records_total";
/// Buffered records that were lost by damage of the disk.
pub const BUFFER_DAMAGED: &str = "heat_gateway_buffer_damaged_records_total";
/// Links that are up.
pub const LINKS: &str = "heat_gateway_links";
/// What Sparkplug nodes did, and what was done about it.
pub const SPARKPLUG: &str = "heat_gateway_sparkplug_events_total";
/// Known devices by the state of their clocks.
pub const CLOCKS: &str = "heat_gateway_devices_by_clock";

/// Handles of the gateway's metrics.
#[derive(Debug)]
pub struct GatewayMetrics {
    received: [IntCounter; 2],
    logged: [IntCounter; 2],
    rejected: [IntCounter; 2],
    /// live, backfill.
    lanes: [IntCounter; 2],
    last_logged: IntGauge,
    /// Messages logged when that was last looked at.
    logged_before: u64,
    rejects: Vec<(RejectReason, IntCounter)>,
    pub(crate) waiting: IntGauge,
    pub(crate) queued_records: IntGauge,
    pub(crate) queued_bytes: IntGauge,
    pub(crate) stalled: IntGauge,
    pub(crate) links: IntGauge,
    pub(crate) buffer: BufferMetrics,
    pub(crate) sparkplug: SparkplugMetrics,
    clocks: IntGaugeVec,
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
        let lanes = metrics.counters(LANE_READINGS, "Readings taken, by lane: live, backfill.", &["lane"]);
        let pair = |outcome: &str| both(&messages, &readings, outcome);
        Self {
            received: pair("received"),
            logged: pair("logged"),
            rejected: pair("rejected"),
            lanes: ["live", "backfill"].map(|lane| lanes.with_label_values(&[lane])),
            last_logged: metrics.gauge(LAST_LOGGED, "When a message last became durable."),
            logged_before: 0,
            rejects: RejectReason::ALL
                .iter()
                .map(|reason| (*reason, rejects.with_label_values(&[reason.as_str()])))
                .collect(),
            waiting: metrics.gauge(WAITING, "Messages whose acknowledgement waits for the log."),
            queued_records: metrics.gauge(QUEUED_RECORDS, "Records that wait to become durable."),
            queued_bytes: metrics.gauge(QUEUED_BYTES, "Bytes of records that wait to become durable."),
            stalled: metrics.gauge(STALLED, "1 while the log does not make records durable."),
            links: metrics.gauge(LINKS, "MQTT connections that are up."),
            buffer: BufferMetrics::register(metrics),
            sparkplug: SparkplugMetrics {
                events: metrics.counters(
                    SPARKPLUG,
                    "What Sparkplug nodes did, and what was done about it.",
                    &["event"],
                ),
            },
            clocks: metrics.gauges(CLOCKS, "Known devices by the state of their clocks.", &["clock"]),
            said: HourCounts::default(),
        }
    }

    /// Counts readings that were taken, `backfill` of them as history.
    pub(crate) fn lanes(&self, readings: u32, backfill: u32) {
        self.lanes[0].inc_by(u64::from(readings.saturating_sub(backfill)));
        self.lanes[1].inc_by(u64::from(backfill));
    }

    /// Notes the time if messages became durable since it was last called.
    pub(crate) fn logged_at(&mut self, now: IngestTime) {
        if self.said.messages_logged > self.logged_before {
            self.logged_before = self.said.messages_logged;
            self.last_logged.set(now.second());
        }
    }

    /// Counts a fault by its word.
    pub(crate) fn reject(&self, word: &str) {
        if let Some((_, counter)) = self.rejects.iter().find(|(reason, _)| reason.as_str() == word) {
            counter.inc();
        }
    }

    /// Shows how many devices have which clock.
    pub(crate) fn clocks(&self, clocks: impl IntoIterator<Item = (ClockState, usize)>) {
        for (state, devices) in clocks {
            let devices = i64::try_from(devices).unwrap_or(i64::MAX);
            self.clocks.with_label_values(&[state.as_str()]).set(devices);
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

/// Handle of the metrics of Sparkplug.
#[derive(Debug)]
pub(crate) struct SparkplugMetrics {
    events: IntCounterVec,
}

impl SparkplugMetrics {
    pub(crate) fn show(&self, counts: Option<SparkplugCounts>) {
        for (event, count) in counts.iter().flat_map(SparkplugCounts::by_word) {
            let counter = self.events.with_label_values(&[event]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

/// Handles of the buffer's metrics.
#[derive(Debug)]
pub(crate) struct BufferMetrics {
    buffering: IntGauge,
    records: IntGauge,
    bytes: IntGauge,
    age: IntGauge,
    full: IntGauge,
    failing: IntGauge,
    spilled: IntCounter,
    forwarded: IntCounter,
    damaged: IntCounter,
}

impl BufferMetrics {
    fn register(metrics: &Metrics) -> Self {
        Self {
            buffering: metrics.gauge(BUFFERING, "1 while new records go to the gateway's buffer on disk."),
            records: metrics.gauge(BUFFER_RECORDS, "Buffered records that Kafka does not have yet."),
            bytes: metrics.gauge(BUFFER_BYTES, "Bytes of the gateway's buffer on disk."),
            age: metrics.gauge(BUFFER_AGE, "Age of the oldest buffered record that Kafka does not have yet."),
            full: metrics.gauge(BUFFER_FULL, "1 while the buffer is full and senders wait."),
            failing: metrics.gauge(BUFFER_FAILING, "1 while the buffer's disk takes nothing."),
            spilled: metrics.counter(BUFFER_SPILLED, "Records given to the buffer."),
            forwarded: metrics.counter(BUFFER_FORWARDED, "Records handed from the buffer to Kafka."),
            damaged: metrics.counter(BUFFER_DAMAGED, "Buffered records lost by damage of the disk."),
        }
    }

    pub(crate) fn show(&self, status: &Status) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.buffering.set(i64::from(status.is_buffering));
        self.records.set(number(status.records));
        self.bytes.set(number(status.bytes));
        self.age.set(status.oldest_age_seconds);
        self.full.set(i64::from(status.is_full));
        self.failing.set(i64::from(status.buffer_fails));
        self.spilled.inc_by(status.moved.spilled.saturating_sub(self.spilled.get()));
        self.forwarded.inc_by(status.moved.forwarded.saturating_sub(self.forwarded.get()));
        self.damaged.inc_by(status.damaged_records.saturating_sub(self.damaged.get()));
    }
}

fn both(messages: &IntCounterVec, readings: &IntCounterVec, outcome: &str) -> [IntCounter; 2] {
    [messages.with_label_values(&[outcome]), readings.with_label_values(&[outcome])]
}

fn add([messages, readings]: &[IntCounter; 2], more_messages: u64, more_readings: u64) {
    messages.inc_by(more_messages);
    readings.inc_by(more_readings);
}

/// Registers every metric of the role, for the metric reference.
pub fn describe(metrics: &Metrics) {
    GatewayMetrics::register(metrics);
    LinkMetrics::register(None, None, metrics);
    PlantMetrics::register(metrics);
    RequeueMetrics::register(metrics);
    drop(Commands::new(None, None, metrics));
}
