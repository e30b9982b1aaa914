//! The last reading of every signal.
//!
//! A device's signal set is resolved to slots once; after that a reading costs one index. Per network the slots' values
//! lie in one vector, so that a reader copies them out at memory speed and formats them without holding the table.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_model::{
    AppendTime, Body, DeviceId, Envelope, EventTime, FreshMask, IngestTime, Lane, NetworkId, Position,
    Quality, QualityCode, Reading, SignalId, SignalName, SignalSet, SignalSetId, SiteId, record::Readings,
};

use crate::{interval::Interval, privacy::Privacy};

/// Resolved sets kept before they are resolved anew; more than one process's devices.
const SETS_MAX: usize = 65_536;
/// A set's signal without a slot: refused by the bound, or private.
const NO_SLOT: u32 = u32::MAX;

/// Bounds of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSettings {
    /// Most signals; further ones are refused and counted.
    pub signals_max: usize,
    /// A value stays current for at least this long after its arrival.
    pub deadline_min: Duration,
    /// How many of its own intervals a value stays current.
    pub deadline_intervals: u32,
    /// Deadline of a signal that arrived once, whose interval nobody knows yet.
    pub deadline_unlearned: Duration,
    /// A signal silent for this long is forgotten by [`LiveTable::forget_silent`].
    pub forget_after: Duration,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            signals_max: 1_000_000,
            deadline_min: Duration::from_mins(1),
            deadline_intervals: 3,
            deadline_unlearned: Duration::from_mins(20),
            forget_after: Duration::from_hours(24),
        }
    }
}

/// What stays the same of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalEntry {
    /// Its id.
    pub id: SignalId,
    /// SI unit of its values.
    pub unit: Box<str>,
}

/// A signal's last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Current {
    /// In SI; NaN where the payload carried null.
    pub value: f64,
    /// When it was measured, by the device.
    pub event_time: EventTime,
    /// When the gateway received it.
    pub ingest_time: IngestTime,
    /// When the log appended it.
    pub append_time: AppendTime,
    /// Trust.
    pub quality: Quality,
    /// Why.
    pub code: QualityCode,
    /// The signal's own interval.
    pub interval: Interval,
}

impl Current {
    /// How long after its arrival it stays current.
    pub fn deadline(&self, settings: &LiveSettings) -> Duration {
        match self.interval.learned() {
            Some(interval) => interval.saturating_mul(settings.deadline_intervals).max(settings.deadline_min),
            None => settings.deadline_unlearned,
        }
    }

    /// Whether it is past its deadline at `now`, by wall time.
    pub fn is_expired(&self, now: IngestTime, settings: &LiveSettings) -> bool {
        let arrived = IngestTime::from_micros(self.append_time.as_micros());
        now.since(arrived) > self.deadline(settings)
    }

    /// Seconds from its measurement to `now`; negative where the device's clock is ahead.
    pub fn age_seconds(&self, now: IngestTime) -> f64 {
        now.as_seconds() - self.event_time.as_seconds()
    }
}

/// Counts since the table was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounts {
    /// Readings that became a signal's last.
    pub applied: u64,
    /// Readings not newer than the one held.
    pub older: u64,
    /// Signals that the bound keeps out, each time that their set is looked at anew.
    pub over_bound: u64,
    /// Signals of homes kept out, likewise.
    pub private: u64,
    /// Signals forgotten after long silence.
    pub forgotten: u64,
}

type SignalKey = (SiteId, DeviceId, SignalName);

/// One network's signals.
#[derive(Debug)]
pub struct NetworkTable {
    id: NetworkId,
    order: BTreeMap<SignalKey, u32>,
    entries: Vec<Arc<SignalEntry>>,
    values: Vec<Option<Current>>,
}

impl NetworkTable {
    /// The network.
    pub fn id(&self) -> &NetworkId {
        &self.id
    }

    /// Its signals by slot; a slot keeps its signal until [`LiveTable::forget_silent`] or [`LiveTable::set_privacy`]
    /// forgets one.
    pub fn entries(&self) -> &[Arc<SignalEntry>] {
        &self.entries
    }

    /// Their last readings by slot; none where only back-filled ones came.
    pub fn values(&self) -> &[Option<Current>] {
        &self.values
    }

    /// The last reading of one signal.
    pub fn get(&self, id: &SignalId) -> Option<(&Arc<SignalEntry>, Option<&Current>)> {
        let key = (id.site.clone(), id.device.clone(), id.name.clone());
        self.order.get(&key).map(|&slot| self.at(slot))
    }

    /// Signals in order of site, device and name, after `after` if given.
    pub fn signals<'a>(
        &'a self,
        after: Option<&SignalId>,
    ) -> impl Iterator<Item = (&'a Arc<SignalEntry>, Option<&'a Current>)> {
        let from = match after {
            Some(id) => Bound::Excluded((id.site.clone(), id.device.clone(), id.name.clone())),
            None => Bound::Unbounded,
        };
        self.order.range((from, Bound::Unbounded)).map(|(_, &slot)| self.at(slot))
    }

    fn at(&self, slot: u32) -> (&Arc<SignalEntry>, Option<&Current>) {
        (&self.entries[slot as usize], self.values[slot as usize].as_ref())
    }

    fn slot(&mut self, set: &SignalSet, index: usize, room: bool) -> Option<(u32, bool)> {
        let decl = &set.signals[index];
        let key = (set.site.clone(), set.device.clone(), decl.name.clone());
        if let Some(&slot) = self.order.get(&key) {
            let entry = &mut self.entries[slot as usize];
            if entry.unit != decl.unit {
                *entry = Arc::new(SignalEntry { id: entry.id.clone(), unit: decl.unit.clone() });
                self.values[slot as usize] = None;
            }
            return Some((slot, false));
        }
        let slot = u32::try_from(self.entries.len()).ok().filter(|&slot| room && slot != NO_SLOT)?;
        self.entries.push(Arc::new(SignalEntry { id: set.signal_id(index), unit: decl.unit.clone() }));
        self.values.push(None);
        self.order.insert(key, slot);
        Some((slot, true))
    }

    fn forget(&mut self, keep: impl Fn(&SignalEntry, Option<&Current>) -> bool) -> u64 {
        let before = self.entries.len();
        let entries = std::mem::take(&mut self.entries);
        let values = std::mem::take(&mut self.values);
        self.order.clear();
        for (entry, value) in entries.into_iter().zip(values) {
            if keep(&entry, value.as_ref()) {
                let id = &entry.id;
                let key = (id.site.clone(), id.device.clone(), id.name.clone());
                let slot = u32::try_from(self.entries.len()).expect("no more slots than before");
                self.order.insert(key, slot);
                self.entries.push(entry);
                self.values.push(value);
            }
        }
        (before - self.entries.len()) as u64
    }
}

/// A set's signals as slots of its network.
#[derive(Debug)]
struct Resolved {
    network: usize,
    slots: Box<[u32]>,
}

/// The last reading of every signal of some partitions.
#[derive(Debug)]
pub struct LiveTable {
    settings: LiveSettings,
    privacy: Privacy,
    index: BTreeMap<NetworkId, usize>,
    networks: Vec<NetworkTable>,
    sets: HashMap<SignalSetId, Resolved, FixedState>,
    signals: usize,
    counts: LiveCounts,
}

impl LiveTable {
    /// An empty table.
    pub fn new(settings: LiveSettings, privacy: Privacy) -> Self {
        Self {
            settings,
            privacy,
            index: BTreeMap::new(),
            networks: Vec::new(),
            sets: HashMap::default(),
            signals: 0,
            counts: LiveCounts::default(),
        }
    }

    /// Its bounds.
    pub fn settings(&self) -> &LiveSettings {
        &self.settings
    }

    /// Counts since it was made.
    pub fn counts(&self) -> LiveCounts {
        self.counts
    }

    /// Signals held.
    pub fn signals(&self) -> usize {
        self.signals
    }

    /// The networks, in order of their ids.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkTable> {
        self.index.values().map(|&index| &self.networks[index])
    }

    /// One network.
    pub fn network(&self, id: &NetworkId) -> Option<&NetworkTable> {
        self.index.get(id).map(|&index| &self.networks[index])
    }

    /// Takes a record. Only live readings become a signal's last; what is not newer than the one held is counted, so
    /// records may be read again and in any order.
    pub fn apply(&mut self, position: &Position, envelope: &Envelope, fresh: &FreshMask) {
        let Body::Readings(readings) = &envelope.body else { return };
        if readings.lane != Lane::Live {
            return;
        }
        if !self.sets.contains_key(&readings.set.id) {
            self.resolve(readings);
        }
        let Some(resolved) = self.sets.get(&readings.set.id) else { return };
        let network = &mut self.networks[resolved.network];
        for (index, reading) in readings.readings.iter().enumerate() {
            let slot = resolved.slots[reading.signal as usize];
            if slot == NO_SLOT || !fresh.is_fresh(index) || reading.code == QualityCode::Retained {
                continue;
            }
            let held = &mut network.values[slot as usize];
            if replace(held, reading, position.append_time, envelope.ingest_time) {
                self.counts.applied += 1;
            } else {
                self.counts.older += 1;
            }
        }
    }

    /// Other homes are kept out from here on: what is known of them is forgotten at once. Slots change.
    pub fn set_privacy(&mut self, privacy: Privacy) {
        if privacy == self.privacy {
            return;
        }
        self.privacy = privacy;
        let hidden = |entry: &SignalEntry| self.privacy.covers(&entry.id.site, &entry.id.name);
        for network in &mut self.networks {
            if network.entries.iter().any(|entry| hidden(entry)) {
                network.forget(|entry, _| !hidden(entry));
            }
        }
        // Sets are resolved anew, so that signals that are private no longer come in.
        self.sets.clear();
        self.signals = self.networks.iter().map(|network| network.entries.len()).sum();
    }

    /// Forgets signals that have been silent for longer than `forget_after`; frees their place. Slots change.
    pub fn forget_silent(&mut self, now: IngestTime) {
        let after = self.settings.forget_after;
        let keep =
            |current: &Current| now.since(IngestTime::from_micros(current.append_time.as_micros())) <= after;
        let stale = |value: &Option<Current>| !value.as_ref().is_some_and(keep);
        let mut forgotten = 0;
        for network in &mut self.networks {
            if network.values.iter().any(stale) {
                forgotten += network.forget(|_, value| value.is_some_and(keep));
            }
        }
        if forgotten > 0 {
            self.sets.clear();
            self.signals = self.networks.iter().map(|network| network.entries.len()).sum();
            self.counts.forgotten += forgotten;
        }
    }

    fn resolve(&mut self, readings: &Readings) {
        let set = &readings.set;
        if self.sets.len() >= SETS_MAX {
            self.sets.clear();
        }
        let network = match self.index.get(&set.network) {
            Some(&network) => network,
            None if self.signals >= self.settings.signals_max => {
                self.counts.over_bound += set.signals.len() as u64;
                return;
            }
            None => {
                let network = self.networks.len();
                self.networks.push(NetworkTable {
                    id: set.network.clone(),
                    order: BTreeMap::new(),
                    entries: Vec::new(),
                    values: Vec::new(),
                });
                self.index.insert(set.network.clone(), network);
                network
            }
        };
        let mut slots = Vec::with_capacity(set.signals.len());
        for index in 0..set.signals.len() {
            if self.privacy.is_private(set, index) {
                self.counts.private += 1;
                slots.push(NO_SLOT);
                continue;
            }
            let room = self.signals < self.settings.signals_max;
            match self.networks[network].slot(set, index, room) {
                Some((slot, new)) => {
                    self.signals += usize::from(new);
                    slots.push(slot);
                }
                None => {
                    self.counts.over_bound += 1;
                    slots.push(NO_SLOT);
                }
            }
        }
        self.sets.insert(set.id, Resolved { network, slots: slots.into() });
    }
}

/// Puts the reading in place of the one held if it is newer; true if it did.
///
/// Newer is decided by event time, but for a clock that is known to be wrong on either side the order of the log
/// decides: a device that was a day ahead must not block its own corrected values for a day.
fn replace(held: &mut Option<Current>, reading: &Reading, append: AppendTime, ingest: IngestTime) -> bool {
    let mut interval = Interval::default();
    if let Some(old) = held {
        let by_log = old.code.is_clock_fault() || reading.code.is_clock_fault();
        let newer = if by_log {
            append > old.append_time
        } else {
            reading.event_time > old.event_time
                || (reading.event_time == old.event_time && append > old.append_time && differs(old, reading))
        };
        if !newer {
            return false;
        }
        interval = old.interval;
        // The larger of both distances: a device that buffers is as slow as its sending, and a queue that is emptied
        // at once does not make its signals look fast.
        let arrived = append.as_micros() - old.append_time.as_micros();
        let measured = if by_log { 0 } else { reading.event_time.as_micros() - old.event_time.as_micros() };
        if arrived > 0 {
            interval.observe_micros(arrived.max(measured));
        }
    }
    *held = Some(Current {
        value: reading.value,
        event_time: reading.event_time,
        ingest_time: ingest,
        append_time: append,
        quality: reading.quality,
        code: reading.code,
        interval,
    });
    true
}

fn differs(old: &Current, new: &Reading) -> bool {
    old.value.to_bits() != new.value.to_bits() || old.quality != new.quality
}

#[cfg(test)]
mod tests;
