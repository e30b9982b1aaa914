//! The MQTT listener's packet path.

/// Any bytes as the stream of one connection.
pub fn listener(data: &[u8]) {
    heat_mqtt::fuzz::fuzz_packets(data);
}
