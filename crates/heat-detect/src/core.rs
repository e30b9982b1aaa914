//! The core of one partition: all networks whose records meet there.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use heat_model::{
    AppendTime, Body, Envelope, GatewayId, Lane, NetworkId, Offset, Origin, Position, QualityCode, SignalSet,
    SignalSetId, canary,
    incident::Incident,
    plant::{PlantHash, PlantModel},
    record::{Action, Command, Readings},
    ticket::Ticket,
};
use serde::{Deserialize, Serialize};

use crate::{
    Counters, DetectSettings, FreshMask, NetworkStatus, Output, Refusal, RefusalReason,
    layout::{self, SignalKey},
    network::{Network, NetworkState, Sample},
    probe::NetworkProbe,
};

/// Signal sets whose resolution is kept; beyond, all are resolved anew.
const BINDINGS_MAX: usize = 65_536;

/// Version of the snapshot's layout; a change of any type in it raises it.
pub const SNAPSHOT_VERSION: u32 = 13;

/// A snapshot cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was written by another version of the core.
    #[error(
        "the snapshot has layout {found}, this program reads {SNAPSHOT_VERSION}: rebuild the state with --rebuild-from-archive"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// It was taken under a plant model that was not offered.
    #[error("the snapshot was taken with plant model {0}, which was not offered: offer it before restoring")]
    UnknownModel(PlantHash),
}

/// What survives a restart, beside the networks.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Partition {
    now: AppendTime,
    last: LastRecord,
    model: Option<PlantHash>,
}

/// The record whose place the outputs take; those of a tick follow the record before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LastRecord {
    offset: Offset,
    origin: Origin,
    next_ordinal: u32,
}

/// State of a core, borrowed, to be serialised.
#[derive(Debug, Serialize)]
pub struct SnapshotRef<'a> {
    version: u32,
    partition: &'a Partition,
    networks: Vec<&'a NetworkState>,
}

/// State of a core, owned, as it was deserialised.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    partition: Partition,
    networks: Vec<NetworkState>,
}

impl SnapshotRef<'_> {
    /// A copy, to be serialised while the core goes on: the same bytes.
    pub fn copied(&self) -> Snapshot {
        Snapshot {
            version: self.version,
            partition: self.partition.clone(),
            networks: self.networks.iter().map(|state| (*state).clone()).collect(),
        }
    }
}

impl Snapshot {
    /// The model that must be offered before restoring; `None` if the core's first one held.
    pub fn model(&self) -> Option<PlantHash> {
        self.partition.model
    }
}

/// Where outputs go: numbers and dates them.
#[derive(Debug)]
pub(crate) struct Emitter<'a> {
    last: &'a mut LastRecord,
    now: AppendTime,
    out: &'a mut Vec<Output>,
    dropped: u64,
}

impl Emitter<'_> {
    pub(crate) const fn now(&self) -> AppendTime {
        self.now
    }

    pub(crate) const fn origin(&self) -> &Origin {
        &self.last.origin
    }

    pub(crate) const fn next_ordinal(&self) -> u32 {
        self.last.next_ordinal
    }

    /// Emits what `make` makes of offset, ordinal and time.
    pub(crate) fn push(&mut self, make: impl FnOnce(Offset, u32, AppendTime) -> Output) {
        let ordinal = self.last.next_ordinal;
        self.last.next_ordinal += 1;
        self.out.push(make(self.last.offset, ordinal, self.now));
    }

    pub(crate) fn count_dropped(&mut self) {
        self.dropped += 1;
    }
}

/// Where the readings of a signal set go.
#[derive(Debug)]
struct Binding {
    network: usize,
    /// Signal in the network, by index in the set; `None` for what no detector uses.
    signals: Box<[Option<u32>]>,
    /// Signal in the behaviour of its site, likewise.
    behaviour: Box<[Option<u32>]>,
}

/// The core of one partition.
#[derive(Debug)]
pub struct PartitionCore {
    settings: DetectSettings,
    base: Arc<PlantModel>,
    offered: BTreeMap<PlantHash, Arc<PlantModel>>,
    plant: Arc<PlantModel>,
    partition: Partition,
    /// In order of their first record.
    networks: Vec<Network>,
    index: BTreeMap<NetworkId, usize>,
    /// Looked up only, never walked; a cache, so not part of the state.
    bindings: HashMap<SignalSetId, Binding, foldhash::fast::FixedState>,
    /// Empty between records; kept for its room.
    samples: Vec<Sample>,
    behaved: Vec<Sample>,
    counters: Counters,
}

impl PartitionCore {
    /// A core without any history. `plant` holds until the first `ModelActivated`; an empty model is L0.
    pub fn new(settings: DetectSettings, plant: Arc<PlantModel>) -> Self {
        let origin = Origin { gateway: GatewayId::new("none").expect("the word is an id"), epoch: 0, seq: 0 };
        Self {
            settings,
            base: Arc::clone(&plant),
            offered: BTreeMap::new(),
            plant,
            partition: Partition {
                now: AppendTime::default(),
                last: LastRecord { offset: Offset(0), origin, next_ordinal: 0 },
                model: None,
            },
            networks: Vec::new(),
            index: BTreeMap::new(),
            bindings: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            samples: Vec::new(),
            behaved: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Makes a plant model known, so that a later `ModelActivated` (or a restore) can switch to it.
    pub fn offer_model(&mut self, hash: PlantHash, plant: Arc<PlantModel>) {
        self.offered.insert(hash, plant);
    }

    /// Forgets the offered models but the one in use.
    pub fn withdraw_models(&mut self) {
        let used = self.partition.model;
        self.offered.retain(|model, _| Some(*model) == used);
    }

    /// Whether an activation of this model can be taken.
    pub fn has_model(&self, hash: PlantHash) -> bool {
        self.offered.contains_key(&hash)
    }

    /// The model activated last; `None` while the first one holds.
    pub fn model(&self) -> Option<PlantHash> {
        self.partition.model
    }

    /// Takes one record. Ticks up to its append time's second must have been given before.
    pub fn observe(
        &mut self,
        position: &Position,
        envelope: &Envelope,
        fresh: &FreshMask,
        out: &mut Vec<Output>,
    ) {
        self.partition.now = self.partition.now.max(position.append_time);
        self.partition.last =
            LastRecord { offset: position.offset, origin: envelope.origin.clone(), next_ordinal: 0 };
        match &envelope.body {
            Body::Readings(readings) => self.readings(readings, fresh, out),
            Body::Command(command) => self.command(envelope.network.as_ref(), command, out),
            Body::ModelActivated(hash) => self.activate(*hash, out),
            Body::Ticket(ticket) => self.ticket(envelope.network.as_ref(), ticket, out),
            Body::Forecast(forecast) => {
                if let Some(index) = envelope.network.as_ref().and_then(|network| self.index.get(network)) {
                    self.networks[*index].forecast(forecast);
                }
            }
            // Heartbeats only move time.
            Body::Heartbeat(_) => {}
        }
    }

    fn readings(&mut self, readings: &Readings, fresh: &FreshMask, out: &mut Vec<Output>) {
        self.counters.readings += readings.readings.len() as u64;
        if readings.set.network.as_str() == canary::NETWORK {
            self.counters.unused += readings.readings.len() as u64;
            return;
        }
        if !self.bindings.contains_key(&readings.set.id) {
            let Some(binding) = self.bind(&readings.set) else {
                self.counters.over_bound += readings.readings.len() as u64;
                return;
            };
            if self.bindings.len() >= BINDINGS_MAX {
                self.bindings.clear();
            }
            self.bindings.insert(readings.set.id, binding);
        }
        let binding = &self.bindings[&readings.set.id];
        let network = &mut self.networks[binding.network];
        let counters = &mut self.counters;
        let (samples, behaved) = (&mut self.samples, &mut self.behaved);
        samples.clear();
        behaved.clear();
        let now_us = self.partition.now.as_micros();
        for (index, reading) in readings.readings.iter().enumerate() {
            if !fresh.is_fresh(index) {
                counters.repeats += 1;
                continue;
            }
            let bound = |to: &[Option<u32>]| to.get(reading.signal as usize).copied().flatten();
            let (signal, behaviour) = (bound(&binding.signals), bound(&binding.behaviour));
            if signal.is_none() && behaviour.is_none() {
                counters.unused += 1;
                continue;
            }
            if let Some(signal) = signal.filter(|_| readings.lane == Lane::Live) {
                network.arrived(signal, now_us);
            }
            if reading.code.is_clock_fault() {
                counters.clock += 1;
                if let Some(signal) = signal {
                    network.clock_marked(signal, reading.code, now_us);
                }
                continue;
            }
            let Some(value) = reading.usable().filter(|_| reading.code != QualityCode::Retained) else {
                counters.bad += 1;
                continue;
            };
            let at_us = reading.event_time.as_micros().min(now_us);
            samples.extend(signal.map(|signal| Sample { signal, at_us, value }));
            behaved.extend(behaviour.map(|signal| Sample { signal, at_us, value }));
        }
        // The archive does not keep the order within a record, so nothing may depend on it.
        for samples in [&mut *samples, &mut *behaved] {
            samples.sort_unstable_by_key(|sample| (sample.at_us, sample.signal, sample.value.to_bits()));
        }
        let mut emit = Emitter { last: &mut self.partition.last, now: self.partition.now, out, dropped: 0 };
        network.observe(&self.settings, readings.lane, samples, &mut emit, counters);
        for sample in behaved {
            network.observe_behaviour(&self.settings, readings.lane, *sample, &mut emit);
        }
        counters.incidents_dropped += emit.dropped;
    }

    fn bind(&mut self, set: &SignalSet) -> Option<Binding> {
        let network = self.network_index(&set.network)?;
        let (mut signals, mut behaviour) = (vec![None; set.signals.len()], vec![None; set.signals.len()]);
        // Numbered by name, not by their order in the set, which the archive does not keep.
        let mut by_name: Vec<_> = set.signals.iter().zip(signals.iter_mut().zip(&mut behaviour)).collect();
        by_name.sort_unstable_by(|(a, _), (b, _)| (&a.name, &a.unit).cmp(&(&b.name, &b.unit)));
        for (signal, (slot, behaviour)) in by_name {
            let key = SignalKey {
                site: set.site.clone(),
                device: set.device.clone(),
                name: signal.name.clone(),
                unit: signal.unit.clone(),
            };
            *behaviour = self.networks[network].register_behaviour(&key, &self.settings);
            *slot = if layout::is_used(signal.name.as_str()) {
                let index = self.networks[network].register(key, &self.settings);
                if index.is_none() {
                    self.counters.over_bound += 1;
                }
                index
            } else {
                None
            };
        }
        Some(Binding {
            network,
            signals: signals.into_boxed_slice(),
            behaviour: behaviour.into_boxed_slice(),
        })
    }

    fn network_index(&mut self, id: &NetworkId) -> Option<usize> {
        if let Some(index) = self.index.get(id) {
            return Some(*index);
        }
        if self.networks.len() >= self.settings.networks_max {
            return None;
        }
        self.networks.push(Network::new(id.clone(), &self.plant));
        let index = self.networks.len() - 1;
        self.index.insert(id.clone(), index);
        Some(index)
    }

    fn command(&mut self, network: Option<&NetworkId>, command: &Command, out: &mut Vec<Output>) {
        let mut emit = Emitter { last: &mut self.partition.last, now: self.partition.now, out, dropped: 0 };
        let result = match network.map(|id| (id, self.index.get(id))) {
            None => Err(RefusalReason::NoNetwork),
            // Also where the detectors know nothing of its network.
            Some(_) if matches!(command.action, Action::FollowUp { .. }) => Ok(()),
            Some((_, None)) => Err(RefusalReason::UnknownIncident),
            Some((_, Some(index))) => {
                self.networks[*index].command(&self.settings, &command.user, &command.action, &mut emit)
            }
        };
        if let Err(reason) = result {
            let network = network.cloned();
            let incident = command.action.incident();
            let user = Some(command.user.clone());
            emit.push(|input_offset, ordinal, at| {
                Output::Refused(Refusal { input_offset, ordinal, at, network, incident, user, reason })
            });
        }
    }

    fn ticket(&mut self, network: Option<&NetworkId>, ticket: &Ticket, out: &mut Vec<Output>) {
        self.counters.tickets += 1;
        let Some(index) = network.and_then(|network| self.network_index(network)) else {
            self.counters.tickets_over_bound += 1;
            return;
        };
        let mut emit = Emitter { last: &mut self.partition.last, now: self.partition.now, out, dropped: 0 };
        let within = self.networks[index].ticket(&self.settings, ticket, &mut emit);
        self.counters.tickets_over_bound += u64::from(!within);
        self.counters.incidents_dropped += emit.dropped;
    }

    fn activate(&mut self, hash: PlantHash, out: &mut Vec<Output>) {
        let Some(plant) = self.offered.get(&hash) else {
            let mut emit =
                Emitter { last: &mut self.partition.last, now: self.partition.now, out, dropped: 0 };
            emit.push(|input_offset, ordinal, at| {
                let reason = RefusalReason::UnknownModel(hash);
                Output::Refused(Refusal {
                    input_offset,
                    ordinal,
                    at,
                    network: None,
                    incident: None,
                    user: None,
                    reason,
                })
            });
            return;
        };
        if self.partition.model == Some(hash) {
            return;
        }
        self.partition.model = Some(hash);
        self.plant = Arc::clone(plant);
        for network in &mut self.networks {
            network.use_plant(&self.plant);
        }
    }

    /// Time passes: one call for every second of append time crossed, before the record that crosses it.
    pub fn tick(&mut self, second: i64, out: &mut Vec<Output>) {
        let now = AppendTime::from_micros(second.saturating_mul(heat_model::time::MICROS_PER_SECOND));
        self.partition.now = self.partition.now.max(now);
        let mut emit = Emitter { last: &mut self.partition.last, now: self.partition.now, out, dropped: 0 };
        for network in &mut self.networks {
            network.tick(&self.settings, second, &mut emit);
        }
        self.counters.incidents_dropped += emit.dropped;
    }

    /// The state, to be serialised with any serde format that keeps NaN and map order (postcard).
    pub fn snapshot(&self) -> SnapshotRef<'_> {
        SnapshotRef {
            version: SNAPSHOT_VERSION,
            partition: &self.partition,
            networks: self.networks.iter().map(|network| &network.state).collect(),
        }
    }

    /// Continues where a snapshot was taken; models must have been offered before.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<(), RestoreError> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(RestoreError::Version { found: snapshot.version });
        }
        self.plant = match snapshot.partition.model {
            None => Arc::clone(&self.base),
            Some(hash) => Arc::clone(self.offered.get(&hash).ok_or(RestoreError::UnknownModel(hash))?),
        };
        self.partition = snapshot.partition;
        self.networks =
            snapshot.networks.into_iter().map(|state| Network::restored(state, &self.plant)).collect();
        self.index = self
            .networks
            .iter()
            .enumerate()
            .map(|(index, network)| (network.state.id.clone(), index))
            .collect();
        self.bindings.clear();
        Ok(())
    }

    /// Takes over incidents as they were published, in place of those that a rebuilt core found for itself: people know
    /// them by these ids. Those of networks not seen are taken too.
    pub fn adopt_incidents(&mut self, incidents: impl IntoIterator<Item = Incident>) {
        let mut by_network: BTreeMap<NetworkId, Vec<Incident>> = BTreeMap::new();
        for incident in incidents {
            by_network.entry(incident.network.clone()).or_default().push(incident);
        }
        for network in self.index.keys() {
            by_network.entry(network.clone()).or_default();
        }
        for (network, incidents) in by_network {
            if let Some(index) = self.network_index(&network) {
                self.networks[index].state.book.adopt(&self.settings, incidents);
            } else {
                self.counters.incidents_dropped += incidents.len() as u64;
            }
        }
    }

    /// *Now*: the running maximum of append time.
    pub fn now(&self) -> AppendTime {
        self.partition.now
    }

    /// Counts since the core was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Networks seen so far, in order of their first record.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkId> {
        self.networks.iter().map(|network| &network.state.id)
    }

    /// What the detectors of a network hold now, for onlookers; `None` for a network not seen yet.
    pub fn probe(&self, network: &NetworkId) -> Option<NetworkProbe<'_>> {
        self.index.get(network).map(|index| NetworkProbe { network: &self.networks[*index] })
    }

    /// What every network's detectors can judge now.
    pub fn status(&self) -> Vec<NetworkStatus> {
        self.networks.iter().map(|network| network.now_status(&self.settings, self.partition.now)).collect()
    }
}
