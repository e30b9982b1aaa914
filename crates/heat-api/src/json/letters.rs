//! Dead letters as clients see them.

use heat_codec::{
    dead_letter::{DeadLetter, Fault, UserProperty, archived::hex},
    place::locate,
};
use serde::{Deserialize, Serialize};

use super::ApiTime;
use crate::letters::{
    Requeued, Summary,
    read::{Place, Read},
};

/// Most bytes of a payload that an answer shows.
pub const PAYLOAD_SHOWN_MAX_BYTES: usize = 64 * 1024;

/// A dead letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterView {
    /// Its name: `partition-offset` of its place in the log.
    pub id: String,
    /// When the gateway received the message.
    pub received: ApiTime,
    /// When the log took the letter; lists are in this order.
    pub logged: ApiTime,
    /// MQTT topic, shortened.
    pub topic: String,
    /// The network that the topic names, of topics that do.
    pub network: Option<String>,
    /// MQTT client id, shortened.
    pub client: String,
    /// MQTT user, shortened; empty if none.
    pub user: String,
    /// The first faults, in the order found.
    pub faults: Vec<FaultView>,
    /// How many there are.
    pub faults_total: usize,
    /// Whether nothing of the message was taken.
    pub whole: bool,
    /// Readings that were rejected; 0 where nobody can count them.
    pub readings: u32,
    /// Size of the payload that is kept.
    pub payload_bytes: usize,
    /// xxh3-64 of the payload as received, 16 hexadecimal digits.
    pub payload_hash: String,
    /// The dead letter that was taken again and became this one.
    pub requeued_from: Option<String>,
    /// Whether, and with what outcome, it was asked to be taken again.
    pub requeued: Option<RequeuedView>,
}

/// A fault of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// A word of the closed list of reasons.
    pub reason: String,
    /// JSON pointer or `byte N`; empty for the whole payload.
    pub place: String,
    /// What was found, shortened.
    pub detail: String,
}

/// The wish to take a letter again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeuedView {
    /// When it was asked for last.
    pub asked: ApiTime,
    /// By whom.
    pub asked_by: String,
    /// How often.
    pub times: u32,
    /// What it came to; absent until a gateway took it.
    pub taken: Option<TakenView>,
}

/// What taking a letter again came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenView {
    /// When.
    pub at: ApiTime,
    /// By which gateway.
    pub gateway: String,
    /// Readings that became records.
    pub readings_logged: u32,
    /// Readings that were rejected again.
    pub readings_rejected: u32,
    /// Faults found; more than 0 means a new dead letter that names this one.
    pub faults: u32,
}

/// A dead letter with its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterDetail {
    /// As in a list, but with all faults.
    #[serde(flatten)]
    pub letter: LetterView,
    /// The gateway that received it.
    pub gateway: String,
    /// MQTT 5 content type; empty if none.
    pub content_type: String,
    /// MQTT 5 user properties.
    pub user_properties: Vec<UserProperty>,
    /// Whether it was a broker's stored copy.
    pub retained: bool,
    /// Where it was read from: `log` or `archive`.
    pub source: String,
    /// The payload where it is text, up to [`PAYLOAD_SHOWN_MAX_BYTES`]; never of a ticket.
    pub payload: Option<String>,
    /// The payload where it is not text, as hexadecimal digits, up to [`PAYLOAD_SHOWN_MAX_BYTES`].
    pub payload_hex: Option<String>,
    /// Whether more of the payload is kept than is shown.
    pub payload_cut: bool,
    /// Where the faults are in the payload, one for each fault.
    pub marks: Vec<Option<Mark>>,
}

/// Bytes of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The first.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

/// Which letters to take again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequeueBody {
    /// Their names.
    pub ids: Vec<String>,
    /// Those too that were asked for before.
    #[serde(default)]
    pub again: bool,
}

/// What became of the wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueAnswer {
    /// Letters that a gateway will take again; their requests are durable.
    pub requeued: Vec<String>,
    /// Those that will not be.
    pub refused: Vec<RefusedLetter>,
}

/// A letter that is not taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLetter {
    /// Its name.
    pub id: String,
    /// `not_found`, `ticket`, `sparkplug`, `asked_before` or `too_large`.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        Self { reason: fault.reason.clone(), place: fault.place.clone(), detail: fault.detail.clone() }
    }
}

impl From<&Requeued> for RequeuedView {
    fn from(requeued: &Requeued) -> Self {
        Self {
            asked: ApiTime::from_micros(requeued.asked.as_micros()),
            asked_by: requeued.asked_by.clone(),
            times: requeued.times,
            taken: requeued.taken.as_ref().map(|taken| TakenView {
                at: ApiTime::from_micros(taken.at.as_micros()),
                gateway: taken.gateway.to_string(),
                readings_logged: taken.readings_logged,
                readings_rejected: taken.readings_rejected,
                faults: taken.faults,
            }),
        }
    }
}

impl LetterView {
    pub(crate) fn of(summary: &Summary, requeued: Option<&Requeued>) -> Self {
        Self {
            id: summary.key.id.to_string(),
            received: ApiTime::from_micros(summary.received.as_micros()),
            logged: ApiTime::from_micros(summary.key.append_time.as_micros()),
            topic: summary.topic.clone(),
            network: summary.network.clone(),
            client: summary.client.clone(),
            user: summary.user.clone(),
            faults: summary.faults.iter().map(FaultView::from).collect(),
            faults_total: summary.faults_total,
            whole: summary.whole,
            readings: summary.readings,
            payload_bytes: summary.payload_bytes,
            payload_hash: format!("{:016x}", summary.payload_hash),
            requeued_from: summary.requeued_from.map(|id| id.to_string()),
            requeued: requeued.map(RequeuedView::from),
        }
    }
}

impl LetterDetail {
    pub(crate) fn of(read: &Read, requeued: Option<&Requeued>) -> Self {
        let letter = &read.letter;
        let (payload, payload_hex) = shown(letter);
        Self {
            letter: LetterView {
                faults: letter.faults.iter().map(FaultView::from).collect(),
                ..LetterView::of(&Summary::of(read.key, letter), requeued)
            },
            gateway: letter.origin.gateway.to_string(),
            content_type: letter.content_type.clone(),
            user_properties: letter.user_properties.clone(),
            retained: letter.retained,
            source: match read.place {
                Place::Log => "log",
                Place::Archive => "archive",
            }
            .to_owned(),
            payload,
            payload_hex,
            payload_cut: letter.payload.len() > PAYLOAD_SHOWN_MAX_BYTES,
            marks: letter
                .faults
                .iter()
                .map(|fault| locate(&letter.payload, &fault.place))
                .map(|range| range.map(|range| Mark { start: range.start, end: range.end }))
                .collect(),
        }
    }
}

/// The payload as text or as digits, bounded.
fn shown(letter: &DeadLetter) -> (Option<String>, Option<String>) {
    let payload = &letter.payload;
    if payload.is_empty() {
        return (None, None);
    }
    let head = &payload[..payload.len().min(PAYLOAD_SHOWN_MAX_BYTES)];
    match std::str::from_utf8(payload) {
        Ok(text) => (Some(text[..text.floor_char_boundary(head.len())].to_owned()), None),
        Err(_) => (None, Some(hex(head))),
    }
}
