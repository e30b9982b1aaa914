//! From a record's bytes into the tables: one partition of the input, and the topics of incidents.

use bytes::Bytes;
use heat_codec::{
    envelope::{DecodeError, EnvelopeDecoder},
    plant::published::{Active, PublishedError, Shelf, Shelved},
};
use heat_detect::Output;
use heat_model::{
    AppendTime, Body, Envelope, FreshMask, IncidentId, Offset, PartitionId, Position,
    incident::Incident,
    plant::{PlantHash, PlantModel},
};

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

/// The topic of plant models: follows which model was activated last.
#[derive(Debug, Default)]
pub struct PlantFeed {
    shelf: Shelf,
    active: Option<PlantHash>,
}

impl PlantFeed {
    /// Takes the next record of `heat.plant.v1`. Gives a model when another one than before was activated.
    pub fn apply(
        &mut self,
        key: &[u8],
        payload: &Bytes,
    ) -> Result<Option<(PlantHash, PlantModel)>, PublishedError> {
        if self.shelf.apply(key, payload) != Shelved::Pointer {
            return Ok(None);
        }
        let Some(hash) = self.shelf.active()?.as_ref().and_then(Active::model) else { return Ok(None) };
        if self.active == Some(hash) {
            return Ok(None);
        }
        let model = self.shelf.model(hash)?.ok_or(PublishedError::Damaged(hash))?;
        self.active = Some(hash);
        Ok(Some((hash, model)))
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

/// What a record of `heat.incidents.v1` says.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// The incident is so.
    Is(Box<Incident>),
    /// It has been over for long and is no longer kept.
    Gone(IncidentId),
}

/// Reads a record of `heat.incidents.v1`; an empty one takes its key away.
pub fn state(key: Option<&[u8]>, payload: &[u8]) -> Result<State, FeedError> {
    let of = |expected| move |source| FeedError { topic: "heat.incidents.v1", expected, source };
    if payload.is_empty() {
        let key = String::from_utf8_lossy(key.unwrap_or_default());
        let id = serde_json::from_value(key.into()).map_err(of("an incident's id as its key"))?;
        return Ok(State::Gone(id));
    }
    serde_json::from_slice(payload).map(State::Is).map_err(of("an incident"))
}

#[cfg(test)]
mod tests {
    use heat_codec::plant::published::{self, ACTIVE_KEY};

    use super::*;

    fn model(rows: &str) -> PlantModel {
        heat_codec::plant::read(&[("sites.csv", format!("id,network\n{rows}"))]).unwrap()
    }

    #[test]
    fn a_model_is_told_when_it_is_activated_and_not_when_it_is_published() {
        let mut feed = PlantFeed::default();
        let (first, second) = (published::encode(&model("a,n\n")), published::encode(&model("b,n\n")));
        for encoded in [&first, &second] {
            for (key, payload) in encoded.parts.iter().chain([&encoded.head]) {
                assert_eq!(feed.apply(key.as_bytes(), payload).unwrap(), None);
            }
        }
        let mut pointer: Option<Active> = None;
        let mut told = Vec::new();
        for hash in [first.model, first.model, second.model, first.model] {
            let next = Active::after(pointer.as_ref(), hash);
            let change = feed.apply(ACTIVE_KEY.as_bytes(), &next.encode()).unwrap();
            told.push(change.map(|(_, model)| model.sites[0].id.to_string()));
            pointer = Some(next);
        }
        assert_eq!(told, [Some("a".to_owned()), None, Some("b".to_owned()), Some("a".to_owned())]);
    }

    #[test]
    fn an_activated_model_that_is_not_there_is_an_error_and_comes_when_it_is_published_and_activated_again() {
        let mut feed = PlantFeed::default();
        let encoded = published::encode(&model("a,n\n"));
        let pointer = Active::after(None, encoded.model).encode();
        assert!(feed.apply(ACTIVE_KEY.as_bytes(), &pointer).is_err());
        for (key, payload) in encoded.parts.iter().chain([&encoded.head]) {
            assert_eq!(feed.apply(key.as_bytes(), payload).unwrap(), None);
        }
        assert!(feed.apply(ACTIVE_KEY.as_bytes(), &pointer).unwrap().is_some());
    }
}
