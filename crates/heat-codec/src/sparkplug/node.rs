//! One edge node with its devices: what its messages do to what is known of it.

use hashbrown::HashMap;
use heat_model::{EventTime, IngestTime};

use super::{
    Shared,
    address::Kind,
    metrics::{Metrics, event_time},
    names::BD_SEQ,
    rebirth::{CoolDown, command},
    session::{Arrival, Birth, Death, Order, Session},
    wire::{Raw, Wire},
};
use crate::reject::{Reject, RejectReason};

/// Messages kept per node until the birth they belong to comes.
const WAITING_MAX: usize = 64;

/// Why data are refused as `not_born`.
const UNSEEN: &str = "no birth of the node was seen";
const DEVICE_UNSEEN: &str = "no birth of the device was seen";
const GAP: &str = "messages are missing since the node's birth: its aliases may have changed";
const OLDER: &str = "it was published before the birth that counts";

/// One message of a node, read as far as its bytes go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: Kind,
    pub(super) device: Option<&'a str>,
    pub(super) wire: &'a Wire,
    pub(super) payload: &'a [u8],
    /// Of topic and payload.
    pub(super) hash: u64,
    pub(super) received: IngestTime,
}

impl Message<'_> {
    /// The payload's time, where it can be one.
    fn time(&self) -> Option<EventTime> {
        self.wire.time.and_then(|time| event_time(time).ok())
    }

    fn time_ms(&self) -> Option<i64> {
        self.time().map(|time| time.as_micros().div_euclid(1_000))
    }

    fn seq(&self) -> Result<u8, Reject> {
        let seq = self.wire.seq.ok_or_else(|| self.refuse(RejectReason::MissingField, "seq", ""))?;
        u8::try_from(seq).map_err(|_| {
            self.refuse(RejectReason::NumberOutOfRange, "seq", &format!("{seq} is not 0 to 255"))
        })
    }

    /// The number of the connection; only its last eight bits count, for some nodes do not wrap it.
    fn bd_seq(&self) -> Option<u8> {
        let named = |name: &str| name == BD_SEQ;
        let found = self
            .wire
            .metrics
            .iter()
            .find(|metric| metric.name.is_some_and(|name| named(name.text(self.payload))));
        let number = match found?.raw {
            Raw::Int(number) => u64::from(number),
            Raw::Long(number) => number,
            Raw::Absent | Raw::Float(_) | Raw::Double(_) | Raw::Bool(_) | Raw::NoNumber => return None,
        };
        Some(number.to_le_bytes()[0])
    }

    fn refuse(&self, reason: RejectReason, place: &str, detail: &str) -> Reject {
        let readings = u32::try_from(self.wire.metrics.len()).unwrap_or(u32::MAX);
        Reject::at(reason, place.to_owned(), readings).found(detail)
    }
}

/// The node itself, or one of its devices.
#[derive(Debug)]
struct Device {
    /// In the decoder's table.
    index: u32,
    born: bool,
    /// By the node's clock, Unix milliseconds.
    born_ms: Option<i64>,
    /// The node died while it was born.
    fell: bool,
    metrics: Metrics,
}

impl Device {
    fn new(index: u32) -> Self {
        Self { index, born: false, born_ms: None, fell: false, metrics: Metrics::default() }
    }

    fn be_born(&mut self, metrics: Metrics, time_ms: Option<i64>, shared: &mut Shared) {
        self.forget(shared);
        self.metrics = shared.keep(metrics);
        self.born = true;
        self.born_ms = time_ms;
        self.fell = false;
    }

    fn forget(&mut self, shared: &mut Shared) {
        shared.metrics_len -= self.metrics.len();
        self.metrics = Metrics::default();
        self.born = false;
    }
}

/// What a message that came before its node's birth does once the birth is there.
#[derive(Debug)]
enum Then {
    /// Nothing but to be counted: its readings were refused.
    Data,
    DeviceBirth {
        slot: u32,
        time: Option<EventTime>,
        metrics: Metrics,
    },
    DeviceDeath {
        slot: u32,
    },
}

/// A message that waits for its node's birth.
#[derive(Debug)]
struct Waiting {
    seq: u8,
    hash: u64,
    time_ms: Option<i64>,
    then: Then,
}

/// One edge node.
#[derive(Debug)]
pub(super) struct Node {
    group: Box<str>,
    name: Box<str>,
    session: Session,
    own: Device,
    devices: Vec<Device>,
    by_name: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
    waiting: Vec<Waiting>,
    cool_down: CoolDown,
}

impl Node {
    /// A node of which nothing was seen; `index` is its own in the decoder's table.
    pub(super) fn new(group: &str, name: &str, index: u32, shared: &Shared) -> Self {
        Self {
            group: group.into(),
            name: name.into(),
            session: Session::new(),
            own: Device::new(index),
            devices: Vec::new(),
            by_name: HashMap::default(),
            waiting: Vec::new(),
            cool_down: CoolDown::new(&shared.settings),
        }
    }

    /// Takes one message. An error rejects the message as a whole.
    pub(super) fn take(&mut self, message: &Message<'_>, shared: &mut Shared) -> Result<(), Reject> {
        match (message.kind, message.device) {
            (Kind::Birth, None) => self.node_birth(message, shared),
            (Kind::Birth, Some(device)) => self.device_birth(device, message, shared),
            (Kind::Death, None) => {
                self.node_death(message, shared);
                Ok(())
            }
            (Kind::Death, Some(device)) => self.device_death(device, message, shared),
            (Kind::Data, device) => self.data(device, message, shared),
        }
    }

    fn node_birth(&mut self, message: &Message<'_>, shared: &mut Shared) -> Result<(), Reject> {
        let (seq, time) = (message.seq()?, message.time());
        let birth = Birth { bd_seq: message.bd_seq(), time: message.time_ms(), hash: message.hash };
        let arrival = self.session.birth(birth, seq, message.received);
        let mut slots = std::mem::take(&mut shared.slots);
        let mut metrics = Metrics::of_birth(message.wire, message.payload, &shared.settings, &mut slots);
        let mut items = shared.items(self.own.index);
        match arrival {
            Arrival::New | Arrival::Again => items.online(true, time),
            Arrival::Late => {}
        }
        items.readings(message.wire, message.payload, &slots, &mut metrics);
        shared.slots = slots;
        match arrival {
            Arrival::New => {
                shared.counts.node_births += 1;
                for device in &mut self.devices {
                    device.forget(shared);
                    device.fell = false;
                }
                self.own.be_born(metrics, message.time_ms(), shared);
                self.cool_down.helped(&shared.settings);
                self.catch_up(shared);
            }
            Arrival::Again => shared.counts.repeats += 1,
            Arrival::Late => {
                shared.counts.late_births += 1;
                if !self.session.is_born() {
                    self.ask(message.received, shared);
                }
            }
        }
        Ok(())
    }

    /// Messages that overtook the birth take their places behind it.
    fn catch_up(&mut self, shared: &mut Shared) {
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(at) =
            waiting.iter().position(|next| self.session.catch_up(next.seq, next.hash, next.time_ms))
        {
            let Waiting { time_ms, then, .. } = waiting.swap_remove(at);
            match then {
                Then::Data => {}
                Then::DeviceBirth { slot, time, metrics } => {
                    shared.metrics_len -= metrics.len();
                    shared.counts.device_births += 1;
                    let device = &mut self.devices[slot as usize];
                    device.be_born(metrics, time_ms, shared);
                    shared.items(device.index).online(true, time);
                }
                Then::DeviceDeath { slot } => self.devices[slot as usize].forget(shared),
            }
        }
        for waiting in waiting {
            discard(waiting, shared);
        }
    }

    fn device_birth(&mut self, name: &str, message: &Message<'_>, shared: &mut Shared) -> Result<(), Reject> {
        let (seq, time) = (message.seq()?, message.time());
        let order = self.place(seq, message, shared);
        let slot = self.slot_of(name, message, shared)?;
        let mut slots = std::mem::take(&mut shared.slots);
        let mut metrics = Metrics::of_birth(message.wire, message.payload, &shared.settings, &mut slots);
        let mut items = shared.items(self.devices[slot as usize].index);
        match order {
            Order::Next | Order::Again => items.online(true, time),
            Order::Early | Order::Gap | Order::Unborn => {}
        }
        // A birth names all that it says: its readings are good whatever is known of the node.
        items.readings(message.wire, message.payload, &slots, &mut metrics);
        shared.slots = slots;
        match order {
            Order::Next => {
                shared.counts.device_births += 1;
                self.devices[slot as usize].be_born(metrics, message.time_ms(), shared);
            }
            Order::Again => {}
            Order::Early => shared.counts.late_births += 1,
            Order::Gap | Order::Unborn => {
                let metrics = shared.keep(metrics);
                self.wait(seq, message, Then::DeviceBirth { slot, time, metrics }, shared);
                self.ask(message.received, shared);
            }
        }
        Ok(())
    }

    fn node_death(&mut self, message: &Message<'_>, shared: &mut Shared) {
        let death = self.session.death(message.bd_seq(), message.time_ms(), message.received);
        match death {
            Death::Now => shared.counts.node_deaths += 1,
            Death::Again => shared.counts.repeats += 1,
            Death::Stale => {
                shared.counts.stale_deaths += 1;
                return;
            }
            Death::Unmatched => {
                shared.counts.stale_deaths += 1;
                self.ask(message.received, shared);
                return;
            }
        }
        // The will was made when the node connected: its time says nothing about its death.
        self.own.forget(shared);
        shared.items(self.own.index).online(false, None);
        for device in &mut self.devices {
            device.fell |= device.born;
            device.forget(shared);
            if device.fell {
                shared.items(device.index).online(false, None);
            }
        }
    }

    fn device_death(&mut self, name: &str, message: &Message<'_>, shared: &mut Shared) -> Result<(), Reject> {
        let (seq, time) = (message.seq()?, message.time());
        let order = self.place(seq, message, shared);
        let slot = self.slot_of(name, message, shared)?;
        match order {
            Order::Next => {
                shared.counts.device_deaths += 1;
                self.devices[slot as usize].forget(shared);
            }
            Order::Again => {}
            Order::Early => shared.counts.stale_deaths += 1,
            Order::Gap | Order::Unborn => {
                shared.counts.device_deaths += 1;
                self.wait(seq, message, Then::DeviceDeath { slot }, shared);
                self.ask(message.received, shared);
            }
        }
        let device = &mut self.devices[slot as usize];
        device.fell = false;
        shared.items(device.index).online(false, time);
        Ok(())
    }

    fn data(&mut self, name: Option<&str>, message: &Message<'_>, shared: &mut Shared) -> Result<(), Reject> {
        let seq = message.seq()?;
        let not_born = |detail| message.refuse(RejectReason::NotBorn, "", detail);
        let order = self.place(seq, message, shared);
        match order {
            Order::Next | Order::Again => {}
            Order::Early => {
                shared.counts.late_data += 1;
                self.ask(message.received, shared);
                return Err(not_born(OLDER));
            }
            Order::Gap | Order::Unborn => {
                self.wait(seq, message, Then::Data, shared);
                self.ask(message.received, shared);
                let born = self.session.is_born();
                return Err(not_born(if born { GAP } else { UNSEEN }));
            }
        }
        let slot = name.map(|name| self.by_name.get(name).copied());
        let device = match slot {
            None => Some(&mut self.own),
            Some(slot) => {
                slot.and_then(|slot| self.devices.get_mut(slot as usize)).filter(|device| device.born)
            }
        };
        let Some(device) = device else {
            self.ask(message.received, shared);
            return Err(not_born(DEVICE_UNSEEN));
        };
        // Aliases of a repeat are those of its time.
        let since = message.time_ms().zip(device.born_ms).is_some_and(|(time, born)| time > born);
        if order == Order::Again && !since {
            shared.counts.late_data += 1;
            return Err(not_born(OLDER));
        }
        let mut slots = std::mem::take(&mut shared.slots);
        let known = device.metrics.find(message.wire, message.payload, &mut slots);
        shared.items(device.index).readings(message.wire, message.payload, &slots, &mut device.metrics);
        shared.slots = slots;
        if !known {
            self.ask(message.received, shared);
        }
        Ok(())
    }

    /// Where a message with a number stands in the node's count.
    fn place(&mut self, seq: u8, message: &Message<'_>, shared: &mut Shared) -> Order {
        let order = self.session.order(seq, message.hash, message.time_ms(), message.received);
        match order {
            Order::Again => shared.counts.repeats += 1,
            Order::Gap => shared.counts.gaps += 1,
            Order::Next | Order::Early | Order::Unborn => {}
        }
        order
    }

    fn slot_of(&mut self, name: &str, message: &Message<'_>, shared: &mut Shared) -> Result<u32, Reject> {
        if let Some(&slot) = self.by_name.get(name) {
            return Ok(slot);
        }
        let refuse = |reason| message.refuse(reason, "topic", name);
        let index = shared.identity(&self.group, &self.name, Some(name)).map_err(refuse)?;
        // Another name is another index: the templates have {device}. But it may be the name that the node goes by.
        if index == self.own.index {
            return Err(refuse(RejectReason::DuplicateKey));
        }
        let slot = u32::try_from(self.devices.len()).map_err(|_| refuse(RejectReason::TooManyDevices))?;
        self.devices.push(Device::new(index));
        self.by_name.insert(name.into(), slot);
        Ok(slot)
    }

    fn wait(&mut self, seq: u8, message: &Message<'_>, then: Then, shared: &mut Shared) {
        if self.waiting.len() >= WAITING_MAX {
            discard(self.waiting.remove(0), shared);
        }
        self.waiting.push(Waiting { seq, hash: message.hash, time_ms: message.time_ms(), then });
    }

    fn ask(&mut self, now: IngestTime, shared: &mut Shared) {
        if self.cool_down.ask(now, &shared.settings) {
            shared.rebirth(|| command(&self.group, &self.name, now));
        } else {
            shared.counts.rebirths_held_back += 1;
        }
    }
}

fn discard(waiting: Waiting, shared: &mut Shared) {
    if let Then::DeviceBirth { metrics, .. } = waiting.then {
        shared.metrics_len -= metrics.len();
    }
}
