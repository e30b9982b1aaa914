//! Rows of the small tables, from the bytes of topics that carry no readings.

use bytes::Bytes;
use heat_archive::TableRow;
use heat_codec::dead_letter::{DeadLetter, LetterId};
use heat_model::{EventTime, IngestTime, Position, incident::Incident};
use serde_json::Value;

/// A dead letter, under the name by which people refer to it.
pub(crate) fn rejected(position: &Position, payload: Bytes) -> Option<TableRow> {
    let letter = DeadLetter::decode(payload).ok()?;
    let id = LetterId { partition: position.partition, offset: position.offset };
    Some(TableRow {
        network: letter.network().unwrap_or("").to_owned(),
        kind: letter.faults.first().map(|fault| fault.reason.clone()).unwrap_or_default(),
        id: id.to_string(),
        event_time: EventTime::from_micros(letter.ingest_time.as_micros()),
        ingest_time: letter.ingest_time,
        json: letter.to_archived(id),
        gateway: letter.origin.gateway.to_string(),
        epoch: letter.origin.epoch,
        seq: letter.origin.seq,
    })
}

/// An incident's current state.
pub(crate) fn incident(payload: &[u8]) -> Option<TableRow> {
    let incident: Incident = serde_json::from_slice(payload).ok()?;
    Some(TableRow {
        network: incident.network.to_string(),
        kind: incident.class.as_str().to_owned(),
        id: incident.id.to_string(),
        event_time: incident.onset,
        ingest_time: IngestTime::from_micros(incident.updated.as_micros()),
        json: String::from_utf8_lossy(payload).into_owned(),
        gateway: String::new(),
        epoch: 0,
        seq: u64::from(incident.version),
    })
}

/// One output of a processor: its kind is the JSON object's one key.
pub(crate) fn output(payload: &[u8]) -> Option<TableRow> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let (kind, body) = value.as_object()?.iter().next()?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let at = body.get("at").and_then(Value::as_i64).unwrap_or(0);
    let network = [text("/incident/network"), text("/network")].into_iter().find(|text| !text.is_empty());
    Some(TableRow {
        network: network.unwrap_or_default(),
        kind: kind.to_lowercase(),
        id: text("/incident/id"),
        event_time: EventTime::from_micros(at),
        ingest_time: IngestTime::from_micros(at),
        json: String::from_utf8_lossy(payload).into_owned(),
        gateway: String::new(),
        epoch: 0,
        seq: body.get("ordinal").and_then(Value::as_u64).unwrap_or(0),
    })
}
