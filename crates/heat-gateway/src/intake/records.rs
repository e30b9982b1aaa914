//! The records of one decoded payload.

use std::sync::Arc;

use heat_codec::{
    decoded::{Decoded, DecodedValue, Item},
    envelope::Draft,
    reject::{Reject, RejectReason},
    shape::{Shape, reject_of},
    topic::DeviceTopic,
};
use heat_model::{EventTime, Lane, NetworkId, PartitionId, Quality, QualityCode, Reading, record::DeviceSeq};

use super::{
    CLOCK_CHANGES_MAX, Context, DeviceClockChange, Message, Outcome,
    devices::{Device, Devices},
};

/// Makes the records of one payload.
pub(super) struct Records<'a> {
    context: &'a mut Context,
    message: &'a Message<'a>,
    outcome: &'a mut Outcome,
}

/// Items of one payload that one record can carry.
struct Open {
    device: usize,
    network: NetworkId,
    partition: PartitionId,
    shape: Arc<Shape>,
    lane: Lane,
    device_seq: Option<DeviceSeq>,
    readings: Vec<Reading>,
}

impl<'a> Records<'a> {
    pub(super) fn new(context: &'a mut Context, message: &'a Message<'a>, outcome: &'a mut Outcome) -> Self {
        Self { context, message, outcome }
    }

    /// Of a payload whose items each name their device.
    pub(super) fn all<'b>(
        self,
        decoded: &Decoded,
        devices: &mut Devices,
        topic_of: impl Fn(u32) -> &'b DeviceTopic,
    ) {
        // Decoders number their devices in u32.
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        self.all_of(decoded, devices, 0, |index| topic_of(number(index)));
    }

    /// Of a payload whose items are of one device unless they name another.
    pub(super) fn all_of<'b>(
        mut self,
        decoded: &Decoded,
        devices: &mut Devices,
        device: usize,
        topic_of: impl Fn(usize) -> &'b DeviceTopic,
    ) {
        for reject in decoded.rejects() {
            self.outcome.reject(reject);
        }
        let mut open: Option<Open> = None;
        for item in decoded.items() {
            let index = item.device.map_or(device, |index| index as usize);
            let device = devices.get(index, &topic_of, self.context);
            if !self.may_speak(device.shapes.topic()) {
                self.refuse(decoded, item, device.shapes.topic());
                continue;
            }
            if !device.is_heard {
                device.is_heard = true;
                self.context.heard.note(device.shapes.topic());
            }
            self.item(decoded, item, index, device, &mut open);
        }
        self.close(open);
    }

    fn item(
        &mut self,
        decoded: &Decoded,
        item: &Item,
        index: usize,
        device: &mut Device,
        open: &mut Option<Open>,
    ) {
        let shape = device.shapes.resolve(decoded, item, &device.facts);
        let device_seq = item.seq.map(|seq| DeviceSeq { boot: decoded.boot(item).unwrap_or("").into(), seq });
        let lane = self.lane(decoded, item, device);
        let fits = open.as_ref().is_some_and(|open| {
            open.device == index
                && Arc::ptr_eq(&open.shape, &shape)
                && open.lane == lane
                && open.device_seq.is_none()
                && device_seq.is_none()
        });
        if !fits {
            self.close(open.take());
        }
        let open = open.get_or_insert_with(|| Open {
            device: index,
            network: device.shapes.topic().network.clone(),
            partition: device.partition,
            shape: Arc::clone(&shape),
            lane,
            device_seq,
            readings: Vec::with_capacity(shape.signals.len()),
        });
        for (value, slot) in decoded.values(item).iter().zip(&shape.slots) {
            if self.was_taken(decoded, item, value) {
                continue;
            }
            match slot {
                Ok(signal) => open.readings.push(self.reading(item, value, *signal, &shape, device)),
                Err(reason) => self.outcome.reject(&reject_of(decoded, item, value, *reason)),
            }
        }
    }

    /// Whether the value was taken when the message first came.
    fn was_taken(&self, decoded: &Decoded, item: &Item, value: &DecodedValue) -> bool {
        self.message.again.is_some_and(|request| !request.wants(&decoded.place(item, value)))
    }

    fn may_speak(&self, topic: &DeviceTopic) -> bool {
        self.message.rights.is_none_or(|rights| rights.may_speak_for(&topic.network, &topic.site))
    }

    fn refuse(&mut self, decoded: &Decoded, item: &Item, topic: &DeviceTopic) {
        let readings = u32::try_from(decoded.values(item).len()).unwrap_or(u32::MAX);
        let whose = format!("{}/{}", topic.network, topic.site);
        let place = decoded.place_of_item(item);
        self.outcome.reject(&Reject::at(RejectReason::Unauthorised, place, readings).found(&whose));
    }

    /// As declared; else history if its newest value is older than the bound. A stored copy is never live.
    fn lane(&mut self, decoded: &Decoded, item: &Item, device: &mut Device) -> Lane {
        if self.message.retained {
            return Lane::Backfill;
        }
        let newest = decoded.values(item).iter().filter_map(|value| value.time).max().max(item.time);
        if item.lane != Some(Lane::Backfill)
            && let Some(newest) = newest
            && let Some(change) = device.clock.observe(self.context.bounds, newest, self.message.received)
            && (change.to.is_fault() || change.from.is_fault())
            && self.context.clock_changes.len() < CLOCK_CHANGES_MAX
        {
            let device = device.shapes.topic().clone();
            self.context.clock_changes.push(DeviceClockChange { device, change });
        }
        item.lane.unwrap_or_else(|| {
            let time = newest.unwrap_or(self.message.arrival());
            self.context.bounds.lane(time, self.message.received)
        })
    }

    fn reading(
        &self,
        item: &Item,
        value: &DecodedValue,
        signal: u32,
        shape: &Shape,
        device: &Device,
    ) -> Reading {
        let stated = value.time.or(item.time);
        let event_time = stated.unwrap_or(self.message.arrival());
        let index = signal as usize;
        let si = shape.signals[index].value_of(value.raw);
        let (mut quality, mut code) = self.quality(value, stated, device);
        if quality == Quality::Good && shape.ranges.as_ref().is_some_and(|ranges| !ranges[index].holds(si)) {
            (quality, code) = (Quality::Uncertain, QualityCode::OutOfRange);
        }
        Reading { signal, event_time, raw: value.raw, value: si, quality, code }
    }

    /// The device's own word stands where it is worse than what receipt adds.
    fn quality(
        &self,
        value: &DecodedValue,
        stated: Option<EventTime>,
        device: &Device,
    ) -> (Quality, QualityCode) {
        if value.quality != Quality::Good {
            return (value.quality, value.code);
        }
        let mark = match stated {
            None => Some(QualityCode::Untimed),
            Some(time) => device.clock.fault(self.context.bounds, time, self.message.received),
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
        if open.lane == Lane::Backfill {
            self.outcome.readings_backfill = self.outcome.readings_backfill.saturating_add(count);
        }
        let first = self.outcome.drafts.is_empty();
        let draft = Draft::readings(
            &open.network,
            self.message.received,
            open.shape.set.clone(),
            open.lane,
            open.device_seq,
            &open.readings,
        );
        self.outcome.drafts.push((open.partition, draft.with_messages(u32::from(first))));
    }
}
