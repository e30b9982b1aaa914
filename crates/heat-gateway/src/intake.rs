//! From a received message to records and a dead letter: pure, and the same for every way in.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_codec::{
    dead_letter::Fault,
    decoded::{Decoded, DecodedValue, Item, Limits},
    envelope::Draft,
    own_json::Decoder,
    reject::{Reject, RejectReason},
    shape::{DeviceShapes, Shape, reject_of},
    ticket::FreeText,
    topic::Topic,
};
use heat_model::{
    EventTime, IngestTime, Lane, PartitionId, Quality, QualityCode, Reading, record::DeviceSeq,
};

use crate::clock_guard::ClockBounds;

/// Devices whose shapes are kept; beyond, all are worked out anew.
const DEVICES_MAX: usize = 65_536;

/// One message as a link received it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a Arc<str>,
    /// Its payload.
    pub payload: &'a Bytes,
    /// A broker's stored copy: says nothing about now.
    pub retained: bool,
    /// When it was received.
    pub received: IngestTime,
}

/// What a message came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records, each for its partition, in order.
    pub drafts: Vec<(PartitionId, Draft)>,
    /// What was not taken; not empty means a dead letter.
    pub faults: Vec<Fault>,
    /// Readings in the records.
    pub readings_logged: u32,
    /// Readings not taken.
    pub readings_rejected: u32,
}

impl Outcome {
    fn reject(&mut self, reject: &Reject) {
        self.readings_rejected = self.readings_rejected.saturating_add(reject.readings);
        self.faults.push(Fault {
            reason: reject.reason.as_str().to_owned(),
            place: reject.place.clone(),
            detail: reject.detail.clone(),
        });
    }

    fn reject_whole(&mut self, reason: RejectReason, detail: &str) {
        self.reject(&Reject::whole(reason).found(detail));
    }
}

#[derive(Debug)]
struct Device {
    partition: PartitionId,
    shapes: DeviceShapes,
}

/// Makes records of messages.
#[derive(Debug)]
pub struct Intake {
    bounds: ClockBounds,
    partitions: u32,
    decoder: Decoder,
    devices: HashMap<Arc<str>, Device, FixedState>,
}

impl Intake {
    /// For a log of so many partitions.
    pub fn new(bounds: ClockBounds, limits: Limits, partitions: u32) -> Self {
        Self {
            bounds,
            partitions,
            decoder: Decoder::new(limits),
            devices: HashMap::with_hasher(FixedState::default()),
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: &Message<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        if !self.devices.contains_key(message.topic) {
            match Topic::parse(message.topic) {
                Ok(Topic::Device(topic)) => self.learn(message.topic, topic),
                Ok(Topic::Tickets) => {
                    self.ticket(message, &mut outcome);
                    return outcome;
                }
                Ok(Topic::Forecast) => {
                    self.forecast(message, &mut outcome);
                    return outcome;
                }
                Err(reason) => {
                    outcome.reject_whole(reason, message.topic);
                    return outcome;
                }
            }
        }
        let device = self.devices.get_mut(message.topic).expect("known or just learned");
        let decoded = self.decoder.decode(message.payload);
        for reject in decoded.rejects() {
            outcome.reject(reject);
        }
        Records { bounds: self.bounds, message, decoded, device, outcome: &mut outcome }.all();
        outcome
    }

    fn learn(&mut self, name: &Arc<str>, topic: heat_codec::topic::DeviceTopic) {
        if self.devices.len() >= DEVICES_MAX {
            self.devices.clear();
        }
        let partition = heat_log::partition_of(topic.network.as_str().as_bytes(), self.partitions);
        self.devices.insert(Arc::clone(name), Device { partition, shapes: DeviceShapes::new(topic) });
    }

    /// Tickets carry people's words: the dead letter of a refused one keeps no payload (see the outbox).
    fn ticket(&mut self, message: &Message<'_>, outcome: &mut Outcome) {
        match heat_codec::ticket::decode(message.payload, FreeText::Drop) {
            Ok(decoded) => {
                let body = heat_model::Body::Ticket(decoded.ticket);
                self.spread(decoded.network.as_ref(), message.received, &body, outcome);
            }
            Err(reject) => outcome.reject(&reject),
        }
    }

    fn forecast(&mut self, message: &Message<'_>, outcome: &mut Outcome) {
        match heat_codec::forecast::decode(message.payload) {
            Ok(decoded) => {
                let body = heat_model::Body::Forecast(decoded.forecast);
                self.spread(decoded.network.as_ref(), message.received, &body, outcome);
            }
            Err(reject) => outcome.reject(&reject),
        }
    }

    /// Into the partition of its network, or into all partitions if it names none: it may concern any of them.
    fn spread(
        &self,
        network: Option<&heat_model::NetworkId>,
        received: IngestTime,
        body: &heat_model::Body,
        outcome: &mut Outcome,
    ) {
        let partitions = match network {
            Some(network) => {
                let PartitionId(number) =
                    heat_log::partition_of(network.as_str().as_bytes(), self.partitions);
                number..number + 1
            }
            None => 0..self.partitions,
        };
        for (index, number) in partitions.enumerate() {
            let messages = u32::from(index == 0);
            outcome.drafts.push((PartitionId(number), Draft::of(network, received, messages, body)));
        }
    }
}

/// The records of one payload of readings.
struct Records<'a> {
    bounds: ClockBounds,
    message: &'a Message<'a>,
    decoded: &'a Decoded,
    device: &'a mut Device,
    outcome: &'a mut Outcome,
}

/// Items of one payload that one record can carry.
struct Open {
    shape: Arc<Shape>,
    lane: Lane,
    device_seq: Option<DeviceSeq>,
    readings: Vec<Reading>,
}

impl Records<'_> {
    fn all(mut self) {
        let mut open: Option<Open> = None;
        let decoded = self.decoded;
        for item in decoded.items() {
            let shape = self.device.shapes.resolve(decoded, item, |_| Ok(None));
            let device_seq =
                item.seq.map(|seq| DeviceSeq { boot: decoded.boot(item).unwrap_or("").into(), seq });
            let lane = self.lane(item);
            let fits = open.as_ref().is_some_and(|open| {
                Arc::ptr_eq(&open.shape, &shape)
                    && open.lane == lane
                    && open.device_seq.is_none()
                    && device_seq.is_none()
            });
            if !fits {
                self.close(open.take());
                open = Some(Open {
                    shape: Arc::clone(&shape),
                    lane,
                    device_seq,
                    readings: Vec::with_capacity(shape.signals.len()),
                });
            }
            let open = open.as_mut().expect("opened above");
            for (value, slot) in decoded.values(item).iter().zip(&shape.slots) {
                match slot {
                    Ok(signal) => open.readings.push(self.reading(item, value, *signal, &shape)),
                    Err(reason) => self.outcome.reject(&reject_of(decoded, item, value, *reason)),
                }
            }
        }
        self.close(open);
    }

    /// As declared; else history if its newest value is older than the bound. A stored copy is never live.
    fn lane(&self, item: &Item) -> Lane {
        if self.message.retained {
            return Lane::Backfill;
        }
        item.lane.unwrap_or_else(|| {
            let newest = self.decoded.values(item).iter().filter_map(|value| value.time).max();
            let time = newest.max(item.time).unwrap_or(self.message.received.as_event_of_untimed());
            self.bounds.lane(time, self.message.received)
        })
    }

    fn reading(&self, item: &Item, value: &DecodedValue, signal: u32, shape: &Shape) -> Reading {
        let received = self.message.received;
        let stated = value.time.or(item.time);
        let event_time = stated.unwrap_or(received.as_event_of_untimed());
        let (quality, code) = self.quality(value, stated, received);
        let decl = &shape.signals[signal as usize];
        Reading { signal, event_time, raw: value.raw, value: decl.value_of(value.raw), quality, code }
    }

    /// The device's own word stands where it is worse than what receipt adds.
    fn quality(
        &self,
        value: &DecodedValue,
        stated: Option<EventTime>,
        received: IngestTime,
    ) -> (Quality, QualityCode) {
        if value.quality != Quality::Good {
            return (value.quality, value.code);
        }
        let mark = match stated {
            None => Some(QualityCode::Untimed),
            Some(time) => self.bounds.fault(time, received),
        };
        match mark {
            // Arrival time is good enough for a device that has no clock.
            Some(QualityCode::Untimed) if !self.message.retained => (Quality::Good, QualityCode::Untimed),
            Some(code) => (Quality::Uncertain, code),
            None if self.message.retained => (Quality::Uncertain, QualityCode::Retained),
            None => (value.quality, value.code),
        }
    }

    fn close(&mut self, open: Option<Open>) {
        let Some(open) = open.filter(|open| !open.readings.is_empty()) else { return };
        let count = u32::try_from(open.readings.len()).unwrap_or(u32::MAX);
        self.outcome.readings_logged = self.outcome.readings_logged.saturating_add(count);
        let first = self.outcome.drafts.is_empty();
        let draft = Draft::readings(
            &self.device.shapes.topic().network,
            self.message.received,
            open.shape.set.clone(),
            open.lane,
            open.device_seq,
            &open.readings,
        );
        self.outcome.drafts.push((self.device.partition, draft.with_messages(u32::from(first))));
    }
}

#[cfg(test)]
mod tests;
