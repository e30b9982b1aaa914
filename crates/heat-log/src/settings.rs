//! Settings: what a configuration file says (raw), and what it means once checked.
//!
//! Durations are strings with a unit; sizes carry the unit in the key.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::Deserialize;

/// 64 MiB: trimming and retention work on whole segments, and a file of this size reads back in about 50 ms.
pub const SEGMENT_MAX_BYTES: u64 = 64 << 20;
/// 1 MiB and some: the largest record (a state chunk has at most 512 KiB, an MQTT packet 1 MiB).
pub const RECORD_MAX_BYTES: usize = (1 << 20) + (64 << 10);

/// A fault in the log's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct SettingsFault {
    /// Key, relative to the log's table.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub fault: String,
}

fn fault(key: &'static str, fault: impl Into<String>) -> SettingsFault {
    SettingsFault { key, fault: fault.into() }
}

/// Bounds of one appender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppenderSettings {
    /// Most records taken and not yet durable.
    pub queue_max_records: usize,
    /// Most bytes (keys and payloads) taken and not yet durable; at least one record is always taken.
    pub queue_max_bytes: usize,
    /// A longer record is refused.
    pub record_max_bytes: usize,
    /// How long nothing may become durable while something is queued, before the appender counts as stalled.
    pub stalled_after: Duration,
}

impl Default for AppenderSettings {
    fn default() -> Self {
        Self {
            queue_max_records: 100_000,
            queue_max_bytes: 64 << 20,
            record_max_bytes: RECORD_MAX_BYTES,
            stalled_after: Duration::from_secs(5),
        }
    }
}

/// Bounds of one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Most records in one batch.
    pub batch_max_records: usize,
    /// Most bytes in one batch; at least one record is always delivered.
    pub batch_max_bytes: usize,
    /// Most batches read ahead.
    pub read_ahead_batches: usize,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self { batch_max_records: 8_192, batch_max_bytes: 1 << 20, read_ahead_batches: 4 }
    }
}

/// The embedded engine, as a configuration file says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawEmbedded {
    /// The log's directory.
    pub dir: Option<PathBuf>,
    /// Size at which a segment is closed.
    pub segment_max_bytes: Option<u64>,
}

/// The embedded engine's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The log's directory; created if missing.
    pub dir: PathBuf,
    /// Size at which a segment is closed.
    pub segment_max_bytes: u64,
    /// Longest wait between attempts to write while the disk is full or failing.
    pub retry_max_interval: Duration,
    /// How often retention and compaction are looked after.
    pub upkeep_interval: Duration,
}

impl EmbeddedSettings {
    /// The defaults, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_max_bytes: SEGMENT_MAX_BYTES,
            retry_max_interval: Duration::from_secs(10),
            upkeep_interval: Duration::from_secs(10),
        }
    }

    /// Checks the raw settings; all faults at once. `default_dir` is used where none is named.
    pub fn from_raw(raw: RawEmbedded, default_dir: PathBuf) -> Result<Self, Vec<SettingsFault>> {
        let mut settings = Self::new(raw.dir.unwrap_or(default_dir));
        if let Some(bytes) = raw.segment_max_bytes {
            if !(64 << 10..=1 << 30).contains(&bytes) {
                return Err(vec![fault(
                    "segment_max_bytes",
                    "must lie between 65536 (64 KiB) and 1073741824 (1 GiB)",
                )]);
            }
            settings.segment_max_bytes = bytes;
        }
        Ok(settings)
    }
}

/// The Kafka engine, as a configuration file says it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKafka {
    /// Addresses of brokers: `host:port`, several separated by commas.
    pub brokers: String,
    /// `lz4` (default), `zstd`, `gzip`, `snappy` or `none`.
    pub compression: Option<String>,
    /// Plain librdkafka settings (`security.protocol`, `sasl.username`, ...), for producers and consumers alike.
    pub librdkafka: BTreeMap<String, String>,
}

impl fmt::Debug for RawKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawKafka")
            .field("brokers", &self.brokers)
            .field("compression", &self.compression)
            .field("librdkafka", &Masked(&self.librdkafka))
            .finish()
    }
}

/// The Kafka engine's settings.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Addresses of brokers.
    pub brokers: String,
    /// The producers' compression.
    pub compression: String,
    /// Plain librdkafka settings.
    pub librdkafka: BTreeMap<String, String>,
    /// How long to wait for a broker when connecting and asking about topics.
    pub connect_timeout: Duration,
    /// How long a consumer may make no progress although there are records, before it is built anew.
    pub watchdog_after: Duration,
    /// How long a member keeps a revoked partition at most, to finish and commit.
    pub revoke_max_wait: Duration,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("compression", &self.compression)
            .field("librdkafka", &Masked(&self.librdkafka))
            .field("connect_timeout", &self.connect_timeout)
            .field("watchdog_after", &self.watchdog_after)
            .field("revoke_max_wait", &self.revoke_max_wait)
            .finish()
    }
}

/// Settings that the engine's promises rest upon; they cannot be overridden.
const OWNED_KEYS: &[&str] = &[
    "acks",
    "request.required.acks",
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "group.id",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "partition.assignment.strategy",
    "partitioner",
    "transactional.id",
    "compression.codec",
    "compression.type",
];

impl KafkaSettings {
    /// The defaults, for these brokers.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            compression: "lz4".to_owned(),
            librdkafka: BTreeMap::new(),
            connect_timeout: Duration::from_secs(10),
            watchdog_after: Duration::from_secs(60),
            revoke_max_wait: Duration::from_secs(20),
        }
    }

    /// Checks the raw settings; all faults at once. Whether librdkafka knows a key, it says at connecting.
    pub fn from_raw(raw: RawKafka) -> Result<Self, Vec<SettingsFault>> {
        let mut faults = Vec::new();
        if raw.brokers.split(',').any(|broker| broker.trim().is_empty()) {
            faults.push(fault("brokers", "must be host:port, several separated by commas"));
        }
        let compression = raw.compression.unwrap_or_else(|| "lz4".to_owned());
        if !["lz4", "zstd", "gzip", "snappy", "none"].contains(&compression.as_str()) {
            faults.push(fault(
                "compression",
                format!("{compression:?} is not one of lz4, zstd, gzip, snappy, none"),
            ));
        }
        for key in raw.librdkafka.keys() {
            if OWNED_KEYS.contains(&key.as_str()) {
                faults.push(fault(
                    "librdkafka",
                    format!("{key} is set by heatstream and cannot be overridden"),
                ));
            }
        }
        if faults.is_empty() {
            Ok(Self { compression, librdkafka: raw.librdkafka, ..Self::new(&raw.brokers) })
        } else {
            Err(faults)
        }
    }
}

/// Shows a map of librdkafka settings without its secrets.
struct Masked<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |key: &str| {
            ["password", "secret", "jaas", "key.pem", "token", "oauthbearer.config"]
                .iter()
                .any(|part| key.contains(part))
        };
        f.debug_map()
            .entries(
                self.0.iter().map(|(key, value)| (key, if secret(key) { "***" } else { value.as_str() })),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawKafka {
        RawKafka { brokers: "kafka-1:9092,kafka-2:9092".to_owned(), ..RawKafka::default() }
    }

    #[test]
    fn secrets_never_reach_a_log_line() {
        let mut raw = raw();
        for key in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            raw.librdkafka.insert(key.to_owned(), "hunter2".to_owned());
        }
        raw.librdkafka.insert("sasl.username".to_owned(), "gateway".to_owned());

        let settings = KafkaSettings::from_raw(raw.clone()).unwrap();

        for shown in [format!("{raw:?}"), format!("{settings:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("gateway"), "{shown}");
        }
    }

    #[test]
    fn what_the_promises_rest_upon_cannot_be_overridden_and_all_faults_come_at_once() {
        let mut raw = raw();
        raw.brokers = "a:1,,".to_owned();
        raw.compression = Some("rar".to_owned());
        raw.librdkafka.insert("acks".to_owned(), "1".to_owned());

        let faults = KafkaSettings::from_raw(raw).unwrap_err();

        assert_eq!(
            faults.iter().map(|fault| fault.key).collect::<Vec<_>>(),
            ["brokers", "compression", "librdkafka"]
        );
    }
}
