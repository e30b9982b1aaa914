//! The product's topics, and which partition a key belongs to.

use std::time::Duration;

use heat_model::PartitionId;

/// Readings, commands, tickets, forecasts, model activations, heartbeats: the one input per network.
pub const INPUT: &str = "heat.input.v1";
/// Dead letters: original bytes and reason.
pub const REJECTED: &str = "heat.rejected.v1";
/// Dead letters that are to be taken again, and the marks that they were; partitions and keys as of [`REJECTED`].
pub const REQUEUE: &str = "heat.requeue.v1";
/// Current state of each incident.
pub const INCIDENTS: &str = "heat.incidents.v1";
/// History of incidents.
pub const INCIDENT_EVENTS: &str = "heat.incident-events.v1";
/// Snapshots of the cores.
pub const STATE: &str = "heat.state.v1";
/// What a city's management centre may see: networks, sites, incidents; written where `[api] city_topic` is on.
pub const CITY: &str = "heat.city.v1";
/// Plant models: parts, heads, and which one was activated last. One partition, for all who read need all of it.
pub const PLANT: &str = "heat.plant.v1";

const DAY: Duration = Duration::from_hours(24);

/// How long a topic keeps its records; whichever bound is reached first. Without bounds it keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Keep at least this long, then drop.
    pub age: Option<Duration>,
    /// Keep at most about this many bytes per partition.
    pub bytes: Option<u64>,
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name: lower-case letters, digits, dots and hyphens.
    pub name: String,
    /// Number of partitions; changing it later is a migration.
    pub partitions: u32,
    /// How long records are kept. A compacted topic keeps the newest record of each key regardless.
    pub retention: Retention,
    /// Whether only the newest record of each key needs to stay. An empty payload deletes its key.
    pub compacted: bool,
}

impl TopicSpec {
    /// A topic that keeps everything.
    pub fn new(name: &str, partitions: u32) -> Self {
        Self { name: name.to_owned(), partitions, retention: Retention::default(), compacted: false }
    }

    /// With a retention.
    #[must_use]
    pub fn retained(mut self, age: Option<Duration>, bytes: Option<u64>) -> Self {
        self.retention = Retention { age, bytes };
        self
    }

    /// Compacted.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compacted = true;
        self
    }
}

/// The product's topics with their default retentions. Dead letters are keyed like the input, so they share its number
/// of partitions, as do the outputs.
pub fn product_topics(partitions: u32, input: Retention) -> Vec<TopicSpec> {
    vec![
        TopicSpec { retention: input, ..TopicSpec::new(INPUT, partitions) },
        TopicSpec::new(REJECTED, partitions).retained(Some(30 * DAY), None),
        TopicSpec::new(REQUEUE, partitions).retained(Some(30 * DAY), None),
        TopicSpec::new(INCIDENTS, partitions).compacted(),
        TopicSpec::new(INCIDENT_EVENTS, partitions),
        TopicSpec::new(STATE, partitions).compacted(),
        TopicSpec::new(CITY, partitions).compacted(),
        TopicSpec::new(PLANT, 1).compacted(),
    ]
}

/// Why a topic is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// It is missing.
    #[error("topic {topic} is missing; create it with `heatstream topics apply --config F`")]
    Missing {
        /// The topic.
        topic: String,
    },
    /// It has another number of partitions.
    #[error(
        "topic {topic} has {found} partitions, the configuration says {wanted}; set the number to {found} (changing it \
         is a migration, because keys would change their partition)"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// What it has.
        found: u32,
        /// What it should have.
        wanted: u32,
    },
    /// Its name or number of partitions cannot be.
    #[error("{topic:?} with {partitions} partitions cannot be a topic: {rule}")]
    Invalid {
        /// The topic.
        topic: String,
        /// The wanted number of partitions.
        partitions: u32,
        /// The broken rule.
        rule: &'static str,
    },
    /// Its records are stamped by the producer.
    #[error(
        "topic {topic} stamps records with {found}; it must be LogAppendTime (one fast device clock could otherwise stop \
         a gateway): `heatstream topics apply --config F` sets it"
    )]
    TimestampType {
        /// The topic.
        topic: String,
        /// Its `message.timestamp.type`.
        found: String,
    },
    /// The engine could not be asked, or refused.
    #[error("cannot {act} topic {topic}: {reason}")]
    Engine {
        /// What was tried.
        act: &'static str,
        /// The topic.
        topic: String,
        /// The engine's words.
        reason: String,
    },
    /// A file operation failed.
    #[error("cannot {act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}

/// Largest number of partitions of a topic; an appender keeps a little state for each.
pub const PARTITIONS_MAX: u32 = 4096;

pub(crate) fn check_spec(spec: &TopicSpec) -> Result<(), TopicError> {
    let invalid =
        |rule| Err(TopicError::Invalid { topic: spec.name.clone(), partitions: spec.partitions, rule });
    if spec.partitions == 0 || spec.partitions > PARTITIONS_MAX {
        return invalid("a topic has 1 to 4096 partitions");
    }
    if spec.name.is_empty() || spec.name.len() > 200 || spec.name.starts_with('.') {
        return invalid("a name has 1 to 200 characters and does not begin with a dot");
    }
    if !spec.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-')) {
        return invalid("a name has only lower-case letters, digits, dots and hyphens");
    }
    Ok(())
}

/// The partition of a key: what Java clients and librdkafka's `murmur2_random` choose for a key that is not null.
/// `partitions` must not be 0.
pub fn partition_of(key: &[u8], partitions: u32) -> PartitionId {
    PartitionId((murmur2(key) & 0x7fff_ffff) % partitions)
}

/// MurmurHash2 of 32 bits with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks have four bytes")).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_java() {
        let vectors: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, expected) in vectors {
            assert_eq!(murmur2(key).cast_signed(), expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_key_keeps_its_partition_and_stays_in_range() {
        assert_eq!(
            partition_of(b"foobar", 12),
            PartitionId(((-790_332_482_i32) & 0x7fff_ffff).cast_unsigned() % 12)
        );
        for partitions in 1..20 {
            assert!(partition_of("一网".as_bytes(), partitions).0 < partitions);
        }
    }

    #[test]
    fn names_that_kafka_or_a_file_system_would_mix_up_are_refused() {
        for (name, partitions) in
            [("a_b", 1), ("", 1), ("A", 1), ("../x", 1), (".x", 1), ("a", 0), ("a", 5000)]
        {
            assert!(check_spec(&TopicSpec::new(name, partitions)).is_err(), "{name} {partitions}");
        }
        for spec in product_topics(12, Retention::default()) {
            assert!(check_spec(&spec).is_ok());
        }
    }
}
