//! A dead letter as the archive's data set `rejected` keeps it: JSON, with the payload as text where it is text, else
//! as hexadecimal digits.

use std::fmt::Write as _;

use bytes::Bytes;
use heat_model::{IngestTime, Origin};
use serde::{Deserialize, Serialize};

use super::{DeadLetter, Fault, LetterId, UserProperty};

/// The row's JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Archived {
    id: String,
    topic: String,
    client: String,
    user: String,
    content_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<UserProperty>,
    faults: Vec<Fault>,
    messages: u32,
    readings: u32,
    payload: Option<String>,
    payload_hex: Option<String>,
    payload_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requeued_from: Option<String>,
    #[serde(default)]
    retained: bool,
}

/// A row is not as the archiver writes it.
#[derive(Debug, thiserror::Error)]
pub enum ArchivedFault {
    /// It is not the JSON of a dead letter.
    #[error("the archived dead letter is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    /// A field is not as it is written.
    #[error("the archived dead letter has a bad {0}")]
    Field(&'static str),
}

impl DeadLetter {
    /// The JSON that the archive keeps.
    pub fn to_archived(&self, id: LetterId) -> String {
        let (payload, payload_hex) = match std::str::from_utf8(&self.payload) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(hex(&self.payload))),
        };
        let archived = Archived {
            id: id.to_string(),
            topic: self.topic.clone(),
            client: self.client.clone(),
            user: self.user.clone(),
            content_type: self.content_type.clone(),
            user_properties: self.user_properties.clone(),
            faults: self.faults.clone(),
            messages: self.messages,
            readings: self.readings,
            payload,
            payload_hex,
            payload_hash: format!("{:016x}", self.payload_hash),
            requeued_from: self.requeued_from.map(|id| id.to_string()),
            retained: self.retained,
        };
        serde_json::to_string(&archived).expect("a dead letter has string keys only")
    }

    /// From the archive's JSON, and what its row holds beside it.
    pub fn from_archived(json: &str, origin: Origin, ingest_time: IngestTime) -> Result<Self, ArchivedFault> {
        let archived: Archived = serde_json::from_str(json)?;
        let payload = match (archived.payload, archived.payload_hex) {
            (Some(text), _) => Bytes::from(text),
            (None, Some(digits)) => unhex(&digits).ok_or(ArchivedFault::Field("payload_hex"))?.into(),
            (None, None) => return Err(ArchivedFault::Field("payload")),
        };
        Ok(Self {
            origin,
            ingest_time,
            topic: archived.topic,
            client: archived.client,
            user: archived.user,
            content_type: archived.content_type,
            user_properties: archived.user_properties,
            payload,
            payload_hash: u64::from_str_radix(&archived.payload_hash, 16)
                .map_err(|_| ArchivedFault::Field("payload_hash"))?,
            faults: archived.faults,
            messages: archived.messages,
            readings: archived.readings,
            requeued_from: archived
                .requeued_from
                .map(|id| id.parse())
                .transpose()
                .map_err(|_| ArchivedFault::Field("requeued_from"))?,
            retained: archived.retained,
        })
    }
}

/// Two lower-case digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("writing to a string succeeds");
    }
    digits
}

/// The bytes of hexadecimal digits; `None` if they are none.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_letter_comes_back_from_the_archive_as_it_was(
            payload in proptest::collection::vec(any::<u8>(), 0..40),
            texts in proptest::collection::vec(".{0,12}", 6),
            hash in any::<u64>(),
            requeued in any::<Option<u32>>(),
            retained in any::<bool>(),
        ) {
            let letter = DeadLetter {
                origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 2 },
                ingest_time: IngestTime::from_micros(3),
                topic: texts[0].clone(),
                client: texts[1].clone(),
                user: texts[2].clone(),
                content_type: texts[3].clone(),
                user_properties: UserProperty::kept([(texts[4].as_str(), texts[5].as_str())]),
                payload: payload.into(),
                payload_hash: hash,
                faults: vec![Fault {
                    reason: "bad_json".to_owned(),
                    place: texts[4].clone(),
                    detail: texts[5].clone(),
                }],
                messages: 1,
                readings: 4,
                requeued_from: requeued.map(|offset| format!("1-{offset}").parse().unwrap()),
                retained,
            };
            let json = letter.to_archived("0-9".parse().unwrap());
            let back = DeadLetter::from_archived(&json, letter.origin.clone(), letter.ingest_time).unwrap();
            prop_assert_eq!(back, letter);
        }
    }

    #[test]
    fn a_row_without_a_payload_or_with_odd_digits_is_a_fault() {
        let origin = || Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 2 };
        let row = |payload: &str| {
            format!(
                "{{\"id\":\"0-1\",\"topic\":\"t\",\"client\":\"\",\"user\":\"\",\"content_type\":\"\",\"faults\":[],\
                 \"messages\":1,\"readings\":0,{payload}\"payload_hash\":\"00\"}}"
            )
        };
        let read =
            |payload: &str| DeadLetter::from_archived(&row(payload), origin(), IngestTime::from_micros(0));
        assert!(read("\"payload\":\"x\",").is_ok(), "a row of an earlier version lacks the newer fields");
        assert!(matches!(read(""), Err(ArchivedFault::Field("payload"))));
        for digits in ["0", "0g", "é"] {
            let found = read(&format!("\"payload_hex\":\"{digits}\","));
            assert!(matches!(found, Err(ArchivedFault::Field("payload_hex"))), "{digits}");
        }
    }
}
