//! What a process's log counts, on its scrape.

use std::fmt::Write as _;

use heat_log::{Log, stats::LogStats};
use heat_runtime::metrics::{Metrics, TextFamily};

type Family = (TextFamily, fn(&LogStats) -> u64);

const fn counter(name: &'static str, help: &'static str) -> TextFamily {
    TextFamily { name, kind: "counter", labels: &[], help }
}

const fn gauge(name: &'static str, help: &'static str) -> TextFamily {
    TextFamily { name, kind: "gauge", labels: &[], help }
}

const FAMILIES: [Family; 18] = [
    (counter("heat_log_appended_records_total", "Records made durable."), |stats| stats.appended_records),
    (counter("heat_log_appended_bytes_total", "Bytes made durable, keys and payloads."), |stats| {
        stats.appended_bytes
    }),
    (counter("heat_log_read_records_total", "Records handed to readers."), |stats| stats.read_records),
    (counter("heat_log_read_bytes_total", "Bytes handed to readers, keys and payloads."), |stats| {
        stats.read_bytes
    }),
    (
        counter("heat_log_stalls_total", "Times that a writer got nothing made durable for a while."),
        |stats| stats.stalls,
    ),
    (gauge("heat_log_stalled_writers", "Writers of the log that get nothing made durable now."), |stats| {
        stats.stalled_appenders
    }),
    (counter("heat_log_syncs_total", "Calls of fdatasync by the embedded log."), |stats| stats.syncs),
    (
        counter(
            "heat_log_write_errors_total",
            "Writes and syncs of the embedded log that failed, each tried again.",
        ),
        |stats| stats.write_errors,
    ),
    (gauge("heat_log_segments", "Segment files of the embedded log."), |stats| stats.segments),
    (gauge("heat_log_segment_bytes", "Bytes of the embedded log's segment files."), |stats| {
        stats.segment_bytes
    }),
    (
        counter(
            "heat_log_torn_bytes_total",
            "Bytes of records never acknowledged, cut off the embedded log at its opening.",
        ),
        |stats| stats.torn_bytes,
    ),
    (
        counter(
            "heat_log_damaged_places_total",
            "Damaged places found in the embedded log since the process started.",
        ),
        |stats| stats.damaged_places,
    ),
    (counter("heat_log_damaged_bytes_total", "Bytes at these places that cannot be read."), |stats| {
        stats.damaged_bytes
    }),
    (
        counter(
            "heat_log_producer_restarts_total",
            "Kafka producers built anew after an error that they do not outlive.",
        ),
        |stats| stats.producer_restarts,
    ),
    (counter("heat_log_records_resent_total", "Records sent again by producers built anew."), |stats| {
        stats.records_resent
    }),
    (
        counter(
            "heat_log_consumer_restarts_total",
            "Kafka consumers built anew because they did not come back by themselves.",
        ),
        |stats| stats.consumer_restarts,
    ),
    (counter("heat_log_broker_errors_total", "Errors that the Kafka client reported."), |stats| {
        stats.broker_errors
    }),
    (
        counter("heat_log_commit_errors_total", "Commits that the group's coordinator did not take."),
        |stats| stats.commit_errors,
    ),
];

/// Shows a log's counters in a process's metrics.
pub(crate) fn register(log: &Log, metrics: &Metrics) {
    let log = log.clone();
    metrics.add_source(&FAMILIES.map(|(family, _)| family), move |out| {
        let stats = log.stats();
        for (family, value) in FAMILIES {
            out.push_str(&family.head());
            writeln!(out, "{} {}", family.name, value(&stats)).expect("a string takes all");
        }
    });
}

/// Names them for the metric reference.
pub(crate) fn describe(metrics: &Metrics) {
    metrics.add_source(&FAMILIES.map(|(family, _)| family), |_| {});
}
