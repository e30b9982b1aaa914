//! Dead letters: what could not be taken, with its bytes and why. Topic `heat.rejected.v1`.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use heat_model::{GatewayId, IngestTime, Offset, Origin, PartitionId};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::{
    envelope::{DecodeError, pb},
    ticket::masked,
    topic::carries_tickets,
};

pub mod archived;

/// Longest detail of a reject, in characters.
pub const DETAIL_MAX_CHARS: usize = 200;

/// The name by which people refer to a dead letter: its place in the topic, written `partition-offset`. The archive's
/// row keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// Partition of `heat.rejected.v1`.
    pub partition: PartitionId,
    /// Offset in it.
    pub offset: Offset,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition.0, self.offset.0)
    }
}

/// The text is no name of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dead letter is named PARTITION-OFFSET, such as 0-17")]
pub struct LetterIdError;

impl FromStr for LetterId {
    type Err = LetterIdError;

    fn from_str(text: &str) -> Result<Self, LetterIdError> {
        let (partition, offset) = text.split_once('-').ok_or(LetterIdError)?;
        // One spelling a letter: no sign, no leading zero.
        let plain = |digits: &str| {
            !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'))
        };
        if !plain(partition) || !plain(offset) {
            return Err(LetterIdError);
        }
        Ok(Self {
            partition: PartitionId(partition.parse().map_err(|_| LetterIdError)?),
            offset: Offset(offset.parse().map_err(|_| LetterIdError)?),
        })
    }
}

/// Most MQTT 5 user properties that are kept.
pub const USER_PROPERTIES_MAX: usize = 32;
/// Longest name or value of one of them, in characters.
pub const USER_PROPERTY_MAX_CHARS: usize = 256;

/// An MQTT 5 user property. Names may repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProperty {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl UserProperty {
    /// The first [`USER_PROPERTIES_MAX`] of a message, cut to their bounds.
    pub fn kept<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Self> {
        let cut = |text: &str| text.chars().take(USER_PROPERTY_MAX_CHARS).collect();
        let pairs = pairs.into_iter().take(USER_PROPERTIES_MAX);
        pairs.map(|(name, value)| Self { name: cut(name), value: cut(value) }).collect()
    }

    pub(crate) fn from_pb(properties: Vec<pb::UserProperty>) -> Vec<Self> {
        properties.into_iter().map(|pb::UserProperty { name, value }| Self { name, value }).collect()
    }

    pub(crate) fn to_pb(properties: &[Self]) -> Vec<pb::UserProperty> {
        let one = |Self { name, value }: &Self| pb::UserProperty { name: name.clone(), value: value.clone() };
        properties.iter().map(one).collect()
    }
}

/// One fault of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A word of the closed list of reasons.
    pub reason: String,
    /// JSON pointer or byte position; empty for the whole payload.
    pub place: String,
    /// What was found, shortened to [`DETAIL_MAX_CHARS`].
    pub detail: String,
}

/// What could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Who numbered it; the seq counts within the topic's partition.
    pub origin: Origin,
    /// When it was received.
    pub ingest_time: IngestTime,
    /// MQTT topic.
    pub topic: String,
    /// MQTT client id.
    pub client: String,
    /// MQTT user; empty if none.
    pub user: String,
    /// MQTT 5 content type; empty if none.
    pub content_type: String,
    /// MQTT 5 user properties; none of tickets.
    pub user_properties: Vec<UserProperty>,
    /// The payload as received; empty for tickets.
    pub payload: Bytes,
    /// xxh3-64 of the payload.
    pub payload_hash: u64,
    /// What was wrong, in the order found.
    pub faults: Vec<Fault>,
    /// 1 if nothing of the message was logged, else 0.
    pub messages: u32,
    /// Readings that were rejected.
    pub readings: u32,
    /// The dead letter that was taken again and became this one.
    pub requeued_from: Option<LetterId>,
    /// Whether it was a broker's stored copy.
    pub retained: bool,
}

impl DeadLetter {
    /// Whether its payload must not be kept: it may tell of a person.
    pub fn is_private(&self) -> bool {
        carries_tickets(&self.topic)
    }

    /// Of a private letter, keeps what tells nothing of a person: no payload, no properties, and no run of digits in any text.
    #[must_use]
    pub fn without_person(mut self) -> Self {
        if !self.is_private() {
            return self;
        }
        self.payload = Bytes::new();
        self.user_properties.clear();
        for text in [&mut self.topic, &mut self.client] {
            *text = masked(text);
        }
        for fault in &mut self.faults {
            fault.place = masked(&fault.place);
            fault.detail = masked(&fault.detail);
        }
        self
    }

    /// The network that the topic names, of topics that do.
    pub fn network(&self) -> Option<&str> {
        let levels = self.topic.strip_prefix(crate::topic::PREFIX).or(self.topic.strip_prefix("spBv1.0/"))?;
        let (network, rest) = levels.split_once('/')?;
        (!rest.is_empty()).then_some(network)
    }

    /// To bytes.
    pub fn encode(&self) -> Bytes {
        let letter = pb::DeadLetter {
            gateway: self.origin.gateway.as_str().to_owned(),
            epoch: self.origin.epoch,
            seq: self.origin.seq,
            ingest_time_us: self.ingest_time.as_micros(),
            topic: self.topic.clone(),
            client: self.client.clone(),
            user: self.user.clone(),
            payload: self.payload.clone(),
            payload_hash: self.payload_hash,
            rejects: self
                .faults
                .iter()
                .map(|fault| pb::Reject {
                    reason: fault.reason.clone(),
                    place: fault.place.clone(),
                    detail: fault.detail.clone(),
                })
                .collect(),
            messages: self.messages,
            readings: self.readings,
            content_type: self.content_type.clone(),
            user_properties: UserProperty::to_pb(&self.user_properties),
            requeued_from: self.requeued_from.map(|id| id.to_string()).unwrap_or_default(),
            retained: self.retained,
        };
        letter.encode_to_vec().into()
    }

    /// From bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let letter = pb::DeadLetter::decode(bytes)?;
        let gateway =
            GatewayId::new(&letter.gateway).map_err(|source| DecodeError::Id { field: "gateway", source })?;
        Ok(Self {
            origin: Origin { gateway, epoch: letter.epoch, seq: letter.seq },
            ingest_time: IngestTime::from_micros(letter.ingest_time_us),
            topic: letter.topic,
            client: letter.client,
            user: letter.user,
            content_type: letter.content_type,
            user_properties: UserProperty::from_pb(letter.user_properties),
            payload: letter.payload,
            payload_hash: letter.payload_hash,
            faults: letter
                .rejects
                .into_iter()
                .map(|reject| Fault { reason: reject.reason, place: reject.place, detail: reject.detail })
                .collect(),
            messages: letter.messages,
            readings: letter.readings,
            requeued_from: letter.requeued_from.parse().ok(),
            retained: letter.retained,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 2 },
            ingest_time: IngestTime::from_micros(3),
            topic: "heat/v1/a/b/c".to_owned(),
            client: "c".to_owned(),
            user: String::new(),
            content_type: String::new(),
            user_properties: UserProperty::kept([("plant", "north"), ("plant", "south")]),
            payload: Bytes::from_static(b"\x00\xff{"),
            payload_hash: 4,
            faults: vec![Fault {
                reason: "not_json".to_owned(),
                place: "2".to_owned(),
                detail: "{".to_owned(),
            }],
            messages: 1,
            readings: 0,
            requeued_from: Some("3-17".parse().unwrap()),
            retained: true,
        }
    }

    #[test]
    fn a_dead_letter_comes_back_byte_for_byte() {
        assert_eq!(DeadLetter::decode(letter().encode()).unwrap(), letter());
    }

    #[test]
    fn a_name_has_one_spelling() {
        let id: LetterId = "12-345".parse().unwrap();
        assert_eq!((id.partition.0, id.offset.0, id.to_string().as_str()), (12, 345, "12-345"));
        for wrong in ["", "1", "-1", "1-", "01-2", "1-02", "+1-2", "1-2-3", "a-b", "1-99999999999999999999"] {
            assert_eq!(wrong.parse::<LetterId>(), Err(LetterIdError), "{wrong}");
        }
    }

    #[test]
    fn a_ticket_keeps_no_payload_and_no_number_whatever_its_topic_or_its_keys_are() {
        for topic in ["heat/v1/tickets", "heat/v1/tickets/13812345678", "heat/v1/ticket"] {
            let mut private = letter();
            private.topic = topic.to_owned();
            private.payload = Bytes::from_static(b"13812345678");
            private.client = "13812345678".to_owned();
            private.faults[0].place = "/13812345678".to_owned();
            private.faults[0].detail = "138 1234 5678".to_owned();
            let kept = private.without_person();
            assert!(!String::from_utf8_lossy(&kept.encode()).contains("12345678"), "{kept:?}");
            assert!(!kept.faults[0].detail.contains("1234") && kept.payload.is_empty(), "{kept:?}");
            assert_eq!(kept.payload_hash, 4);
        }
        assert_eq!(letter().without_person(), letter(), "others are kept as they are");
    }

    #[test]
    fn the_network_is_what_the_topic_says() {
        for (topic, network) in [
            ("heat/v1/town/st01/meter", Some("town")),
            ("heat/v1/tickets", None),
            ("spBv1.0/town/NDATA/node", Some("town")),
            ("zigbee2mqtt/kitchen", None),
        ] {
            let letter = DeadLetter { topic: topic.to_owned(), ..letter() };
            assert_eq!(letter.network(), network, "{topic}");
        }
    }
}
