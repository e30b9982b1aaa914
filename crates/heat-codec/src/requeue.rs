//! Dead letters that are taken again. Topic `heat.requeue.v1`.
//!
//! A request holds all that a gateway needs; the gateway that took it appends a mark into the same partition once all
//! that the message became is durable. So what is still to be done can be told from the topic alone, on any engine and
//! by any gateway: requests without a mark.

use bytes::Bytes;
use heat_model::{GatewayId, IngestTime, Offset};
use prost::Message as _;

use crate::{
    dead_letter::{LetterId, UserProperty},
    envelope::{DecodeError, pb},
};

/// One record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// A dead letter is to be taken again.
    Request(Request),
    /// It was.
    Done(Done),
}

/// A message as it was first received, and who wants it taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its dead letter.
    pub letter: LetterId,
    /// When it was first received: the time of values that have none of their own.
    pub first_received: IngestTime,
    /// MQTT topic.
    pub topic: String,
    /// The payload as received.
    pub payload: Bytes,
    /// MQTT client id.
    pub client: String,
    /// MQTT user, whose rights hold; empty if none.
    pub user: String,
    /// MQTT 5 content type; empty if none.
    pub content_type: String,
    /// MQTT 5 user properties.
    pub user_properties: Vec<UserProperty>,
    /// Whether it was a broker's stored copy.
    pub retained: bool,
    /// Places in the payload that were not taken, where the rest of it was; empty: nothing was taken.
    pub untaken: Vec<String>,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked: IngestTime,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The request's offset, in the same partition.
    pub request: Offset,
    /// The dead letter.
    pub letter: LetterId,
    /// Readings that became records.
    pub readings_logged: u32,
    /// Readings that were rejected again.
    pub readings_rejected: u32,
    /// Faults found this time; more than 0 means a new dead letter that names the old one.
    pub faults: u32,
    /// Who took it.
    pub gateway: GatewayId,
    /// When.
    pub done: IngestTime,
}

/// The record is none of this topic.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// It cannot be decoded.
    #[error("cannot decode a record of the requeue topic")]
    Decode(#[from] DecodeError),
    /// It names no dead letter, or has no body that this version knows.
    #[error("a record of the requeue topic lacks its {0}")]
    Missing(&'static str),
}

impl Requeue {
    /// To bytes.
    pub fn encode(&self) -> Bytes {
        let body = match self {
            Self::Request(request) => pb::requeue::Body::Request(pb::RequeueRequest {
                letter: request.letter.to_string(),
                first_received_us: request.first_received.as_micros(),
                topic: request.topic.clone(),
                payload: request.payload.clone(),
                client: request.client.clone(),
                user: request.user.clone(),
                content_type: request.content_type.clone(),
                user_properties: UserProperty::to_pb(&request.user_properties),
                retained: request.retained,
                untaken: request.untaken.clone(),
                asked_by: request.asked_by.clone(),
                asked_us: request.asked.as_micros(),
            }),
            Self::Done(done) => pb::requeue::Body::Done(pb::RequeueDone {
                request_offset: done.request.0,
                letter: done.letter.to_string(),
                readings_logged: done.readings_logged,
                readings_rejected: done.readings_rejected,
                faults: done.faults,
                gateway: done.gateway.as_str().to_owned(),
                done_us: done.done.as_micros(),
            }),
        };
        pb::Requeue { body: Some(body) }.encode_to_vec().into()
    }

    /// From bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, RequeueError> {
        let record = pb::Requeue::decode(bytes).map_err(DecodeError::from)?;
        let letter = |text: &str| text.parse().map_err(|_| RequeueError::Missing("dead letter"));
        match record.body.ok_or(RequeueError::Missing("body"))? {
            pb::requeue::Body::Request(request) => Ok(Self::Request(Request {
                letter: letter(&request.letter)?,
                first_received: IngestTime::from_micros(request.first_received_us),
                topic: request.topic,
                payload: request.payload,
                client: request.client,
                user: request.user,
                content_type: request.content_type,
                user_properties: UserProperty::from_pb(request.user_properties),
                retained: request.retained,
                untaken: request.untaken,
                asked_by: request.asked_by,
                asked: IngestTime::from_micros(request.asked_us),
            })),
            pb::requeue::Body::Done(done) => Ok(Self::Done(Done {
                request: Offset(done.request_offset),
                letter: letter(&done.letter)?,
                readings_logged: done.readings_logged,
                readings_rejected: done.readings_rejected,
                faults: done.faults,
                gateway: GatewayId::new(&done.gateway)
                    .map_err(|source| DecodeError::Id { field: "gateway", source })?,
                done: IngestTime::from_micros(done.done_us),
            })),
        }
    }
}

impl Request {
    /// Whether the value at this place of the payload is wanted: all are, unless a part of the message was taken before;
    /// then only what was not.
    pub fn wants(&self, place: &str) -> bool {
        self.untaken.is_empty() || self.untaken.iter().any(|untaken| are_nested(untaken, place))
    }
}

/// Whether one JSON pointer lies at or beneath the other. A pointer that was cut ends in `…`.
fn are_nested(one: &str, other: &str) -> bool {
    match one.strip_suffix('…') {
        Some(cut) => other.starts_with(cut),
        None => is_beneath(one, other) || is_beneath(other, one),
    }
}

fn is_beneath(place: &str, outer: &str) -> bool {
    place.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(untaken: &[&str]) -> Request {
        Request {
            letter: "1-2".parse().unwrap(),
            first_received: IngestTime::from_micros(3),
            topic: "heat/v1/a/b/c".to_owned(),
            payload: Bytes::from_static(b"\x00\xff{"),
            client: "c".to_owned(),
            user: "u".to_owned(),
            content_type: "application/json".to_owned(),
            user_properties: UserProperty::kept([("plant", "north")]),
            retained: true,
            untaken: untaken.iter().map(|&place| place.to_owned()).collect(),
            asked_by: "duty".to_owned(),
            asked: IngestTime::from_micros(4),
        }
    }

    #[test]
    fn requests_and_marks_come_back_as_they_were() {
        let done = Done {
            request: Offset(9),
            letter: "1-2".parse().unwrap(),
            readings_logged: 3,
            readings_rejected: 1,
            faults: 1,
            gateway: "gw".parse().unwrap(),
            done: IngestTime::from_micros(5),
        };
        for record in [Requeue::Request(request(&["/values/a"])), Requeue::Done(done)] {
            assert_eq!(Requeue::decode(record.encode()).unwrap(), record);
        }
        assert!(matches!(Requeue::decode(Bytes::new()), Err(RequeueError::Missing("body"))));
        assert!(Requeue::decode(Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn of_a_message_taken_in_part_only_the_rest_is_wanted() {
        let partly = request(&["/1", "/0/values/flow/unit", "/0/values/long…"]);
        for (place, wanted) in [
            ("/0/values/flow", true),
            ("/0/values/flow2", false),
            ("/0/values/pressure", false),
            ("/0/values/longest", true),
            ("/1/values/anything", true),
            ("/10/values/anything", false),
        ] {
            assert_eq!(partly.wants(place), wanted, "{place}");
        }
        assert!(request(&[]).wants("/0/values/flow"), "nothing of it was taken before");
    }
}
