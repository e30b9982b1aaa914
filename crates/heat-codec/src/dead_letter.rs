//! Dead letters: what could not be taken, with its bytes and why. Topic `heat.rejected.v1`.

use bytes::Bytes;
use heat_model::{GatewayId, IngestTime, Origin};
use prost::Message as _;
use serde::Serialize;

use crate::envelope::{DecodeError, pb};

/// Longest detail of a reject, in characters.
pub const DETAIL_MAX_CHARS: usize = 200;

/// One fault of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
}

impl DeadLetter {
    /// The name by which people refer to it: `gateway-epoch-seq`.
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.origin.gateway, self.origin.epoch, self.origin.seq)
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
            payload: letter.payload,
            payload_hash: letter.payload_hash,
            faults: letter
                .rejects
                .into_iter()
                .map(|reject| Fault { reason: reject.reason, place: reject.place, detail: reject.detail })
                .collect(),
            messages: letter.messages,
            readings: letter.readings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_comes_back_byte_for_byte() {
        let letter = DeadLetter {
            origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 2 },
            ingest_time: IngestTime::from_micros(3),
            topic: "heat/v1/a/b/c".to_owned(),
            client: "c".to_owned(),
            user: String::new(),
            content_type: String::new(),
            payload: Bytes::from_static(b"\x00\xff{"),
            payload_hash: 4,
            faults: vec![Fault {
                reason: "not_json".to_owned(),
                place: "2".to_owned(),
                detail: "{".to_owned(),
            }],
            messages: 1,
            readings: 0,
        };
        assert_eq!(DeadLetter::decode(letter.encode()).unwrap(), letter);
    }
}
