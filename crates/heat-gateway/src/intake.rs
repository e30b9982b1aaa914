//! From a received message to records and a dead letter: pure, and the same for every way in and every format.
//!
//! A topic has one *route*, worked out once: own JSON, Sparkplug B, a mapping of the user's, tickets or forecasts. The
//! format's decoder says what a payload holds; `records` makes records of it, with what the plant model knows of the
//! device (`devices`) and what its clock is worth ([`crate::clock_guard`]).

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_codec::{
    dead_letter::Fault,
    decoded::{Decoded, Limits},
    envelope::Draft,
    mapped::{self, JsonMapping},
    own_json,
    plant::SignalIndex,
    reject::{Reject, RejectReason},
    requeue::Request,
    sparkplug::{Rebirth, Sparkplug, SparkplugCounts, SparkplugSettings},
    ticket::{DecodedTicket, FreeText},
    topic::{DeviceTopic, Topic},
};
use heat_model::{Body, EventTime, IngestTime, NetworkId, PartitionId, SiteId};
use heat_mqtt::Rights;

use crate::clock_guard::{ClockBounds, ClockChange, ClockState};
use devices::Devices;
use heard::Heard;
use records::Records;

mod devices;
mod heard;
mod records;

/// Topics and devices whose route and shapes are kept; beyond, all are worked out anew.
const TOPICS_MAX: usize = 65_536;
/// Changes of devices' clocks that are told at a time.
const CLOCK_CHANGES_MAX: usize = 64;

/// One message as a link received it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a Arc<str>,
    /// Its payload.
    pub payload: &'a Bytes,
    /// A broker's stored copy: says nothing about now.
    pub retained: bool,
    /// What its sender may speak for; `None`: everything.
    pub rights: Option<&'a Rights>,
    /// When it was received.
    pub received: IngestTime,
    /// Set where it is a dead letter taken again: when it first came, and what of it was not taken then.
    pub again: Option<&'a Request>,
}

impl Message<'_> {
    /// The time of values that have none of their own.
    fn arrival(&self) -> EventTime {
        self.again.map_or(self.received, |request| request.first_received).as_event_of_untimed()
    }
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
    /// Of these, such as were declared or found to be history.
    pub readings_backfill: u32,
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

/// What the intake goes by.
#[derive(Debug, Clone, Default)]
pub struct IntakeSettings {
    /// Bounds on devices' clocks.
    pub clock: ClockBounds,
    /// Bounds on payloads.
    pub limits: Limits,
    /// The user's mappings; the first that fits a topic counts, before those of the plant model.
    pub mappings: Vec<JsonMapping>,
    /// Sparkplug B, if it is taken.
    pub sparkplug: Option<SparkplugSettings>,
}

/// A device's clock turned out to be something else than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClockChange {
    /// Whose.
    pub device: DeviceTopic,
    /// What changed.
    pub change: ClockChange,
}

/// What holds for all devices.
#[derive(Debug)]
struct Context {
    bounds: ClockBounds,
    partitions: u32,
    signals: Arc<SignalIndex>,
    heard: Heard,
    clock_changes: Vec<DeviceClockChange>,
}

impl Context {
    fn partition_of(&self, network: &NetworkId) -> PartitionId {
        heat_log::partition_of(network.as_str().as_bytes(), self.partitions)
    }

    /// The network that a ticket goes to.
    fn network_of(&self, named: Option<&NetworkId>, site: Option<&SiteId>) -> Result<NetworkId, Reject> {
        let places = self.signals.places();
        let network = places.network_of(named, site, || self.heard.only(places.networks()))?;
        places.check(&network, site, |site| self.heard.sends(&network, site))?;
        Ok(network)
    }
}

#[derive(Debug, Clone, Copy)]
enum Route {
    /// Own JSON of the device of this index.
    Own(usize),
    Mapped,
    Sparkplug,
    Tickets,
    Forecast,
}

/// Makes records of messages.
#[derive(Debug)]
pub struct Intake {
    settings: IntakeSettings,
    context: Context,
    routes: HashMap<Arc<str>, Route, FixedState>,
    own: own_json::Decoder,
    own_topics: Vec<DeviceTopic>,
    own_devices: Devices,
    mapped: mapped::Decoder,
    mapped_devices: Devices,
    sparkplug: Option<Sparkplug>,
    sparkplug_devices: Devices,
}

impl Intake {
    /// For a log of so many partitions; no plant model yet.
    pub fn new(settings: IntakeSettings, partitions: u32) -> Self {
        let context = Context {
            bounds: settings.clock,
            partitions,
            signals: Arc::default(),
            heard: Heard::default(),
            clock_changes: Vec::new(),
        };
        Self {
            context,
            routes: HashMap::with_hasher(FixedState::default()),
            own: own_json::Decoder::new(settings.limits),
            own_topics: Vec::new(),
            own_devices: Devices::default(),
            mapped: mapped::Decoder::new(settings.mappings.clone(), settings.limits),
            mapped_devices: Devices::default(),
            sparkplug: settings.sparkplug.clone().map(|sparkplug| Sparkplug::new(sparkplug, settings.limits)),
            sparkplug_devices: Devices::default(),
            settings,
        }
    }

    /// From the next message on, this is what is known of signals and what the plant model maps.
    pub fn adopt(&mut self, signals: Arc<SignalIndex>, plant_mappings: Vec<JsonMapping>) {
        self.context.signals = signals;
        let mappings = self.settings.mappings.iter().cloned().chain(plant_mappings).collect();
        self.mapped = mapped::Decoder::new(mappings, self.settings.limits);
        self.mapped_devices.clear();
        self.routes.retain(|_, route| !matches!(route, Route::Mapped));
        for devices in [&mut self.own_devices, &mut self.sparkplug_devices] {
            devices.adopt(&self.context.signals);
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: &Message<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let route = match self.route(message.topic) {
            Ok(route) => route,
            Err(reason) => {
                outcome.reject_whole(reason, message.topic);
                return outcome;
            }
        };
        match route {
            Route::Own(index) => self.take_own(index, message, &mut outcome),
            Route::Mapped => {
                self.mapped.decode(message.topic, message.payload);
                let (decoder, devices) = (&self.mapped, &mut self.mapped_devices);
                let records = Records::new(&mut self.context, message, &mut outcome);
                records.all(decoder.decoded(), devices, |index| decoder.device(index));
            }
            // Out of its place in its node's count a message says nothing: aliases may mean other metrics by then.
            Route::Sparkplug if message.again.is_some() => {
                outcome.reject_whole(RejectReason::OutOfSequence, "");
            }
            Route::Sparkplug => {
                let sparkplug = self.sparkplug.as_mut().expect("routed because it is configured");
                // Before it is taken: a birth, a death, even a number says what later messages of the node mean.
                if let Some(speaker) =
                    message.rights.and_then(|rights| foreign(sparkplug, message.topic, rights))
                {
                    outcome.reject_whole(RejectReason::Unauthorised, &speaker);
                    return outcome;
                }
                sparkplug.take(message.topic, message.payload, message.received);
                let (sparkplug, devices) = (&*sparkplug, &mut self.sparkplug_devices);
                let records = Records::new(&mut self.context, message, &mut outcome);
                records.all(sparkplug.decoded(), devices, |index| sparkplug.device(index));
            }
            Route::Tickets => self.ticket(message, &mut outcome),
            Route::Forecast => self.forecast(message, &mut outcome),
        }
        outcome
    }

    /// Requests for rebirth that the last messages call for; each to be sent once.
    pub fn take_rebirths(&mut self) -> Vec<Rebirth> {
        self.sparkplug.as_mut().map(Sparkplug::take_rebirths).unwrap_or_default()
    }

    /// What Sparkplug nodes did so far; `None` where Sparkplug is not taken.
    pub fn sparkplug_counts(&self) -> Option<SparkplugCounts> {
        self.sparkplug.as_ref().map(Sparkplug::counts)
    }

    /// Devices whose clocks turned out to be something else since the last call.
    pub fn take_clock_changes(&mut self) -> Vec<DeviceClockChange> {
        std::mem::take(&mut self.context.clock_changes)
    }

    /// Known devices by the state of their clocks.
    pub fn clocks(&self) -> [(ClockState, usize); ClockState::ALL.len()] {
        let mut counts = ClockState::ALL.map(|state| (state, 0));
        for devices in [&self.own_devices, &self.mapped_devices, &self.sparkplug_devices] {
            for state in devices.clocks() {
                counts[state as usize].1 += 1;
            }
        }
        counts
    }

    fn route(&mut self, topic: &Arc<str>) -> Result<Route, RejectReason> {
        if let Some(route) = self.routes.get(topic) {
            return Ok(*route);
        }
        if self.routes.len() >= TOPICS_MAX {
            self.routes.clear();
            self.own_topics.clear();
            self.own_devices.clear();
        }
        let route = match Topic::parse(topic) {
            Ok(Topic::Device(device)) => {
                self.own_topics.push(device);
                Route::Own(self.own_topics.len() - 1)
            }
            Ok(Topic::Tickets) => Route::Tickets,
            Ok(Topic::Forecast) => Route::Forecast,
            Err(_) if self.mapped.matches(topic) => Route::Mapped,
            Err(_) if self.sparkplug.is_some() && Sparkplug::is_topic(topic) => Route::Sparkplug,
            Err(reason) => return Err(reason),
        };
        self.routes.insert(Arc::clone(topic), route);
        Ok(route)
    }

    fn take_own(&mut self, index: usize, message: &Message<'_>, outcome: &mut Outcome) {
        let topics = &self.own_topics;
        let decoded: &Decoded = self.own.decode(message.payload);
        let records = Records::new(&mut self.context, message, outcome);
        // The topic names the one device of all items.
        records.all_of(decoded, &mut self.own_devices, index, |index| &topics[index]);
    }

    /// Tickets carry people's words: the dead letter of a refused one keeps no payload (see the outbox).
    fn ticket(&self, message: &Message<'_>, outcome: &mut Outcome) {
        match heat_codec::ticket::decode(message.payload, FreeText::Drop) {
            Ok(DecodedTicket { network, ticket, .. }) => {
                let timely = heat_codec::ticket::check_time(&ticket, message.received);
                match timely.and_then(|()| self.context.network_of(network.as_ref(), ticket.site.as_ref())) {
                    Ok(network) => self.spread(Some(&network), message, &Body::Ticket(ticket), outcome),
                    Err(reject) => outcome.reject(&reject),
                }
            }
            Err(reject) => outcome.reject(&reject),
        }
    }

    fn forecast(&self, message: &Message<'_>, outcome: &mut Outcome) {
        match heat_codec::forecast::decode(message.payload) {
            Ok(decoded) => {
                self.spread(decoded.network.as_ref(), message, &Body::Forecast(decoded.forecast), outcome);
            }
            Err(reject) => outcome.reject(&reject),
        }
    }

    /// Into the partition of its network, or into all partitions if it names none: it may concern any of them.
    fn spread(&self, network: Option<&NetworkId>, message: &Message<'_>, body: &Body, outcome: &mut Outcome) {
        if message.rights.is_some_and(|rights| !rights.may_speak_for_network(network)) {
            outcome
                .reject_whole(RejectReason::Unauthorised, network.map_or("all networks", NetworkId::as_str));
            return;
        }
        let partitions = match network {
            Some(network) => {
                let PartitionId(number) = self.context.partition_of(network);
                number..number + 1
            }
            None => 0..self.context.partitions,
        };
        for (index, number) in partitions.enumerate() {
            let messages = u32::from(index == 0);
            let draft = Draft::of(network, message.received, messages, body);
            outcome.drafts.push((PartitionId(number), draft));
        }
    }
}

/// Whom a Sparkplug message speaks for, if its sender may not.
fn foreign(sparkplug: &Sparkplug, topic: &str, rights: &Rights) -> Option<String> {
    let speaker = sparkplug.speaker(topic)?;
    let may = rights.may_speak_for(&speaker.network, &speaker.site);
    (!may).then(|| format!("{}/{}", speaker.network, speaker.site))
}

#[cfg(test)]
mod tests;
