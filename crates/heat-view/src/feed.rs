//! From a record's bytes into the tables: one partition of the input, and the topics of incidents.

use bytes::Bytes;
use heat_codec::envelope::{DecodeError, EnvelopeDecoder};
use heat_detect::Output;
use heat_model::{AppendTime, Body, Envelope, FreshMask, Offset, PartitionId, Position, incident::Incident};

use crate::live::LiveTable;

/// One partition of `heat.input.v1`.
#[derive(Debug)]
pub struct InputFeed {
    partition: PartitionId,
    decoder: EnvelopeDecoder,
    last_heartbeat: Option<AppendTime>,
}

impl InputFeed {
    /// Nothing read yet.
    pub fn new(partition: PartitionId) -> Self {
        Self { partition, decoder: EnvelopeDecoder::default(), last_heartbeat: None }
    }

    /// Takes the next record into the table and returns it, decoded.
    pub fn apply(
        &mut self,
        table: &mut LiveTable,
        offset: Offset,
        append_time: AppendTime,
        payload: Bytes,
    ) -> Result<Envelope, DecodeError> {
        let envelope = self.decoder.decode(payload)?;
        match &envelope.body {
            Body::Heartbeat(_) => {
                self.last_heartbeat = self.last_heartbeat.max(Some(append_time));
            }
            Body::Readings(_) => {
                let position = Position { partition: self.partition, offset, append_time };
                // The table orders by event time, so repeats change nothing: a window of them is not needed here.
                table.apply(&position, &envelope, &FreshMask::all());
            }
            Body::Command(_) | Body::Ticket(_) | Body::Forecast(_) | Body::ModelActivated(_) => {}
        }
        Ok(envelope)
    }

    /// When the last heartbeat was appended.
    pub fn last_heartbeat(&self) -> Option<AppendTime> {
        self.last_heartbeat
    }
}

/// A record of an incident topic is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("a record of {topic} is not the JSON of {expected}")]
pub struct FeedError {
    topic: &'static str,
    expected: &'static str,
    source: serde_json::Error,
}

/// Reads a record of `heat.incident-events.v1`.
pub fn output(payload: &[u8]) -> Result<Output, FeedError> {
    serde_json::from_slice(payload).map_err(|source| FeedError {
        topic: "heat.incident-events.v1",
        expected: "an output of the processor",
        source,
    })
}

/// Reads a record of `heat.incidents.v1`; an empty one says that the key was deleted.
pub fn state(payload: &[u8]) -> Result<Option<Incident>, FeedError> {
    if payload.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(payload).map(Some).map_err(|source| FeedError {
        topic: "heat.incidents.v1",
        expected: "an incident",
        source,
    })
}
