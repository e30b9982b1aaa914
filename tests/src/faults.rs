//! Faults on the road from devices to Kafka, injected under a steady load, and judged from outside.
//!
//! One run is one load over a list of acts: each act lasts as long as it is told, then the road must recover before the
//! next one begins. The checker (`tests/python/kafka_check.py`) attributes what it finds to the act during which a
//! message was measured. It knows the public schema and the fleet's log, none of our code.
//!
//! Start reading at [`Road`]; `tests/tests/faults.rs` runs the short form, the program `faults` the long one.

use std::time::Duration;

pub use report::{Report, Span};
pub use road::{Ended, Road, RoadSettings};

mod report;
mod road;
mod tail;

/// What happens to the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Calm,
    /// One message in a hundred is malformed, in ten ways.
    Malformed,
    /// The bridge is killed (SIGKILL) and started again at once.
    BridgeKilled,
    /// The same three times, a second apart.
    BridgeKilledThrice,
    /// Kafka hangs (SIGSTOP); in the middle of it the bridge is killed and started again.
    BridgeKilledInHang,
    /// Kafka hangs; right after it is back, while the bridge forwards what waited, the bridge is killed and started again.
    BridgeKilledInDrain,
    /// Of two bridges the first is killed and stays away for the act.
    OneOfTwoKilled,
    /// mosquitto is told to stop, and started again: its sessions are stored.
    BrokerRestarted,
    /// Kafka is killed (SIGKILL) and stays away for the act.
    KafkaKilled,
    /// Kafka hangs (SIGSTOP).
    KafkaStopped,
    /// Between bridge and Kafka nothing passes, nothing is closed.
    KafkaHeld,
    /// Kafka gets everything, its answers do not come back.
    KafkaAnswersHeld,
    /// 100 ms each way and 1 % loss between bridge and Kafka.
    KafkaSlow,
    /// All connections between bridge and Kafka are reset, each second.
    KafkaReset,
    /// Kafka's side of its connections is closed, the bridge is not told.
    KafkaHalfOpen,
    /// Between MQTT clients and server nothing passes: bridge and broker, or devices and listener.
    MqttHeld,
    /// The server's acknowledgements (and what else it sends) do not come back.
    MqttAnswersHeld,
    /// 100 ms each way and 1 % loss between MQTT clients and server.
    MqttSlow,
    /// The clients' side is closed, the server is not told: the client comes again beside its own shadow.
    MqttHalfOpen,
    /// The server's side is closed, the clients are not told: only their own patience ends it.
    MqttServerGone,
    /// All MQTT connections are reset at once, and the clients come back at once.
    MqttReset,
    /// While Kafka hangs, the disk of the bridge's buffer fills up, and is freed again.
    BufferDiskFull,
    /// While Kafka hangs, the bridge is killed, and its buffer ends in half a record.
    BufferTorn,
    /// While Kafka hangs, the bridge is killed, and a byte in the middle of its buffer is altered: what it held is lost,
    /// and must be reported.
    BufferDamaged,
}

impl Act {
    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Malformed => "1 % malformed, ten kinds",
            Self::BridgeKilled => "bridge kill -9",
            Self::BridgeKilledThrice => "bridge kill -9, three times",
            Self::BridgeKilledInHang => "kill -9 inside a Kafka hang",
            Self::BridgeKilledInDrain => "kill -9 in the drain after a Kafka hang",
            Self::OneOfTwoKilled => "one of two bridges killed",
            Self::BrokerRestarted => "mosquitto restarted",
            Self::KafkaKilled => "Kafka killed",
            Self::KafkaStopped => "Kafka SIGSTOP",
            Self::KafkaHeld => "Kafka link black-holed",
            Self::KafkaAnswersHeld => "Kafka's answers black-holed",
            Self::KafkaSlow => "Kafka link 100 ms, 1 % loss",
            Self::KafkaReset => "Kafka link reset each second",
            Self::KafkaHalfOpen => "Kafka's side gone, bridge not told",
            Self::MqttHeld => "MQTT link black-holed",
            Self::MqttAnswersHeld => "MQTT answers black-holed",
            Self::MqttSlow => "MQTT link 100 ms, 1 % loss",
            Self::MqttHalfOpen => "MQTT client gone, server not told",
            Self::MqttServerGone => "MQTT server's side gone, clients not told",
            Self::MqttReset => "all MQTT links reset at once",
            Self::BufferDiskFull => "buffer disk full, then freed",
            Self::BufferTorn => "buffer's end torn",
            Self::BufferDamaged => "buffer damaged in the middle",
        }
    }
}

/// An act and how long it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// What happens.
    pub act: Act,
    /// From its begin to its end.
    pub lasts: Duration,
}

impl Scene {
    /// A scene of so many seconds.
    pub fn new(act: Act, seconds: u64) -> Self {
        Self { act, lasts: Duration::from_secs(seconds) }
    }
}
