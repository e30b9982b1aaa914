//! The packets that come and go by the thousand, by hand: framing, PUBLISH in, acknowledgements out. Everything else is
//! parsed and built by `mqtt-protocol-core`; its PUBLISH parser is what this one is tested against.
//!
//! Layout (both versions): type and flags (1 byte), remaining length (1 to 4 bytes of 7 bits each), body. PUBLISH body:
//! topic (2 bytes length, UTF-8), packet id (2 bytes, unless QoS 0), in version 5 properties (length as above, then
//! themselves), payload up to the end.
//!
//! Not `mqtt-protocol-core`'s connection: it sends PUBREC for a repeated QoS 2 PUBLISH by itself, whether the first is
//! durable or not, and it allocates several times per packet.

use std::ops::Range;

use crate::link::Qos;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

/// The bytes are no MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The protocol version a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

/// Where a packet's parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Type and flags.
    pub(crate) first: u8,
    /// Where the body begins.
    pub(crate) body_at: usize,
    /// Where the packet ends.
    pub(crate) end: usize,
}

impl Frame {
    pub(crate) fn packet_type(self) -> u8 {
        self.first >> 4
    }
}

/// Reads a fixed header; none while it is incomplete. The body may be incomplete still.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Frame>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    Ok(length(rest)?.map(|(length, taken)| Frame { first, body_at: 1 + taken, end: 1 + taken + length }))
}

/// Reads a length of 1 to 4 bytes; returns it and the bytes it took.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0;
    for index in 0..4 {
        let Some(&byte) = bytes.get(index) else { return Ok(None) };
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    Err(Malformed)
}

/// A PUBLISH, as places in its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) qos: Qos,
    pub(crate) dup: bool,
    /// Zero for QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) topic: Range<usize>,
    /// Version 5: the properties with their length in front, where there are any.
    pub(crate) properties: Option<Range<usize>>,
    pub(crate) payload_at: usize,
}

/// Finds a PUBLISH's parts. The topic is valid UTF-8 without wildcards and NUL; it is empty only in version 5, where an
/// alias may stand for it.
pub(crate) fn publish(first: u8, body: &[u8], version: Version) -> Result<Publish, Malformed> {
    let qos = match (first >> 1) & 3 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        _ => return Err(Malformed),
    };
    let dup = first & 8 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Malformed);
    }
    let topic_end = 2 + usize::from(number(body, 0)?);
    let topic = body.get(2..topic_end).ok_or(Malformed)?;
    if !is_topic(topic) || (topic.is_empty() && version == Version::V311) {
        return Err(Malformed);
    }
    let mut at = topic_end;
    let mut packet_id = 0;
    if qos != Qos::AtMostOnce {
        packet_id = number(body, at)?;
        if packet_id == 0 {
            return Err(Malformed);
        }
        at += 2;
    }
    let mut properties = None;
    if version == Version::V5 {
        let (length, taken) = length(body.get(at..).ok_or(Malformed)?)?.ok_or(Malformed)?;
        let end = at + taken + length;
        if end > body.len() {
            return Err(Malformed);
        }
        if length > 0 {
            properties = Some(at..end);
        }
        at = end;
    }
    Ok(Publish { qos, dup, packet_id, topic: 2..topic_end, properties, payload_at: at })
}

fn is_topic(topic: &[u8]) -> bool {
    !topic.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)) && std::str::from_utf8(topic).is_ok()
}

/// A big-endian number of two bytes.
pub(crate) fn number(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        Some(_) | None => Err(Malformed),
    }
}

/// Writes PUBACK, PUBREC or PUBCOMP with success; four bytes in both versions.
pub(crate) fn write_ack(packet_type: u8, packet_id: u16, to: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    to.extend_from_slice(&[packet_type << 4, 2, high, low]);
}

/// Writes PUBCOMP for a packet id that the session does not know (version 5, 0x92).
pub(crate) fn write_unknown_pubcomp(packet_id: u16, to: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    to.extend_from_slice(&[PUBCOMP << 4, 3, high, low, 0x92]);
}

/// Writes PINGRESP.
pub(crate) fn write_pingresp(to: &mut Vec<u8>) {
    to.extend_from_slice(&[0xd0, 0]);
}

/// Writes DISCONNECT with a reason code (version 5).
pub(crate) fn write_disconnect(code: u8, to: &mut Vec<u8>) {
    to.extend_from_slice(&[DISCONNECT << 4, 1, code]);
}

/// Writes a QoS 0 PUBLISH; `retain` marks what was there before the subscription. The topic must have at most 65,535
/// bytes.
pub(crate) fn write_publish(version: Version, topic: &str, payload: &[u8], retain: bool, to: &mut Vec<u8>) {
    let topic_length = u16::try_from(topic.len()).expect("the caller checked the topic's length");
    let properties = usize::from(version == Version::V5);
    to.push(PUBLISH << 4 | u8::from(retain));
    write_length(2 + topic.len() + properties + payload.len(), to);
    to.extend_from_slice(&topic_length.to_be_bytes());
    to.extend_from_slice(topic.as_bytes());
    if version == Version::V5 {
        to.push(0);
    }
    to.extend_from_slice(payload);
}

fn write_length(mut length: usize, to: &mut Vec<u8>) {
    debug_assert!(length < 1 << 28, "a packet has at most 256 MiB");
    loop {
        let seven_bits = u8::try_from(length & 0x7f).expect("seven bits fit a byte");
        length >>= 7;
        if length == 0 {
            to.push(seven_bits);
            return;
        }
        to.push(seven_bits | 0x80);
    }
}

#[cfg(test)]
mod tests;
