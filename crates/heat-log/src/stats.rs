//! What a role exports about its log: a plain snapshot, so that this crate knows no metrics library.

/// Counters (since opening) and gauges of one log, over all its appenders and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Gauge: records taken but not yet durable.
    pub queued_records: u64,
    /// Gauge: their bytes.
    pub queued_bytes: u64,
    /// Counter: records made durable.
    pub appended_records: u64,
    /// Counter: their bytes, keys and payloads.
    pub appended_bytes: u64,
    /// Counter: records handed to consumers.
    pub read_records: u64,
    /// Counter: their bytes, keys and payloads.
    pub read_bytes: u64,
    /// Counter: groups of records made durable together (embedded), or batches of delivery reports (Kafka).
    pub groups: u64,
    /// Counter: fdatasync calls (embedded).
    pub syncs: u64,
    /// Counter: failed writes and syncs, each tried again (embedded).
    pub write_errors: u64,
    /// Gauge: segment files (embedded).
    pub segments: u64,
    /// Gauge: their bytes (embedded).
    pub segment_bytes: u64,
    /// Counter: segments unlinked by retention, trim and compaction (embedded).
    pub segments_removed: u64,
    /// Counter: bytes cut from torn tails at opening (embedded).
    pub torn_bytes: u64,
    /// Counter: damaged places found in the middle of segments, at opening or reading (embedded).
    pub damaged_places: u64,
    /// Counter: bytes that could not be read there (embedded).
    pub damaged_bytes: u64,
    /// Counter: times that an appender became stalled.
    pub stalls: u64,
    /// Gauge: appenders stalled now.
    pub stalled_appenders: u64,
    /// Counter: producers built anew after a fatal error (Kafka).
    pub producer_restarts: u64,
    /// Counter: records sent again by them (Kafka).
    pub records_resent: u64,
    /// Counter: consumers built anew by the watchdog (Kafka).
    pub consumer_restarts: u64,
    /// Counter: errors that librdkafka reported (Kafka).
    pub broker_errors: u64,
    /// Counter: commits that the group's coordinator refused (Kafka).
    pub commit_errors: u64,
}

/// Defines the live counters behind [`LogStats`]; a macro, because a field forgotten in one of three lists would read 0.
macro_rules! live {
    ($($field:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Live {
            $(pub(crate) $field: Counter,)*
        }

        impl Live {
            pub(crate) fn snapshot(&self) -> LogStats {
                LogStats { $($field: self.$field.get(),)* }
            }
        }
    };
}

live!(
    queued_records,
    queued_bytes,
    appended_records,
    appended_bytes,
    read_records,
    read_bytes,
    groups,
    syncs,
    write_errors,
    segments,
    segment_bytes,
    segments_removed,
    torn_bytes,
    damaged_places,
    damaged_bytes,
    stalls,
    stalled_appenders,
    producer_restarts,
    records_resent,
    consumer_restarts,
    broker_errors,
    commit_errors,
);

/// A number that threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(std::sync::atomic::AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, by: u64) {
        self.0.fetch_sub(by, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}
