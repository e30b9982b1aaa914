//! Gaps in devices' own sequences: what was lost before it reached a gateway.
//!
//! A device may number its messages (`seq`, and `boot` for the run that the numbers belong to). [`DeviceTracker`] sees
//! them in the log's order and counts, by ingest hour, the numbers that were passed over and those of them that came
//! late after all: `missing - late` is lost, or not yet come. What it claims, it claims with care:
//! - Loss is claimed only of a device that has sent two messages with successive numbers in this run: one that numbers
//!   by time stamps, or counts something else, is none that numbers messages.
//! - Numbers before the first that was seen, and those after the last of a run, are not known.
//! - A new `boot` is a restart. Without one, a live number far below the last is a restart too, and so is a leap of more
//!   than [`LEAP_MAX`]; the step from 255, 65,535 or 4,294,967,295 to 0 is a counter that turned over.
//! - A message that the gateway rejected has its number in a dead letter, if anywhere: the audit shows both counts.
//!
//! Memory is bounded by devices in two generations: when the younger is full, the older is forgotten, with those devices
//! that were silent since the change before. A device that was forgotten is new when it speaks again.

use std::mem;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_model::{Lane, NetworkId, SignalSet, SignalSetId, record::Readings};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A leap of more numbers than this is a restart, not a loss.
pub const LEAP_MAX: u64 = 100_000;
/// Ranges of missing numbers remembered for each device, the newest; numbers of older ones are lost for good.
pub const RANGES_MAX: usize = 8;
/// How far a live number may lie below the last without being a restart: late, or sent again.
pub const LATE_MAX: u64 = 64;
/// Devices named in one hour of one commit; further ones are counted together.
pub const NAMED_MAX: usize = 64;
/// Names that take no more bytes are hashed in one go.
const HASHED_AT_ONCE_MAX: usize = 192;
/// Sets whose devices are kept; beyond, they are hashed anew.
const SETS_MAX: usize = 65_536;
/// Devices remembered, unless configured.
pub const DEVICES_MAX: usize = 65_536;

/// One device's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Device {
    /// Hash of the run's name, and of the one before.
    boot: u64,
    previous_boot: u64,
    /// The number that is due.
    next: u64,
    /// Two successive numbers were seen in this run.
    is_counting: bool,
    /// Numbers passed over, from..to, in order.
    missing: Vec<(u64, u64)>,
}

/// What a message's number said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// The first of a device, or of one that was forgotten.
    First,
    /// The one that was due.
    Due,
    /// So many before it were passed over. Only counted once the device is known to count.
    Gap {
        /// How many.
        missing: u64,
    },
    /// One that had been missing.
    Late,
    /// One that was seen, or is too old to tell.
    Repeated,
    /// The device's numbers began anew.
    Restarted,
}

/// Counts of one ingest hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceHour {
    /// Start of the UTC hour of ingest, microseconds since the epoch.
    pub hour_start_us: i64,
    /// Messages with a number.
    pub messages: u64,
    /// Numbers that were passed over.
    pub missing: u64,
    /// Numbers that had been passed over, in this hour or before, and came after all.
    pub late: u64,
    /// Numbers that came again.
    pub repeated: u64,
    /// Times that a device's numbers began anew.
    pub restarts: u64,
    /// The devices with missing or late numbers, in order of their names; at most [`NAMED_MAX`].
    pub devices: Vec<DeviceGaps>,
    /// Numbers missing of devices beyond those named.
    pub missing_of_others: u64,
    /// Numbers that came late of devices beyond those named.
    pub late_of_others: u64,
}

/// One device's gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceGaps {
    /// `network/site/device`.
    pub device: String,
    /// Numbers that were passed over.
    pub missing: u64,
    /// Numbers that came after all.
    pub late: u64,
}

impl DeviceHour {
    /// Counts one message.
    pub fn count(&mut self, sequence: Sequence, device: impl FnOnce() -> String) {
        self.messages += 1;
        match sequence {
            Sequence::First | Sequence::Due => {}
            Sequence::Repeated => self.repeated += 1,
            Sequence::Restarted => self.restarts += 1,
            Sequence::Gap { missing } => self.name(&device(), missing, 0),
            Sequence::Late => self.name(&device(), 0, 1),
        }
    }

    /// Adds the counts of another stretch of the same hour.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.repeated += other.repeated;
        self.restarts += other.restarts;
        self.missing += other.missing_of_others;
        self.late += other.late_of_others;
        self.missing_of_others += other.missing_of_others;
        self.late_of_others += other.late_of_others;
        for gaps in &other.devices {
            self.name(&gaps.device, gaps.missing, gaps.late);
        }
    }

    fn name(&mut self, device: &str, missing: u64, late: u64) {
        self.missing += missing;
        self.late += late;
        let place = self.devices.binary_search_by(|gaps| gaps.device.as_str().cmp(device));
        match place {
            Ok(place) => {
                self.devices[place].missing += missing;
                self.devices[place].late += late;
            }
            Err(place) if self.devices.len() < NAMED_MAX => {
                self.devices.insert(place, DeviceGaps { device: device.to_owned(), missing, late });
            }
            Err(_) => {
                self.missing_of_others += missing;
                self.late_of_others += late;
            }
        }
    }
}

type Devices = HashMap<u64, Device, FixedState>;

/// The numbers of all devices of a partition.
#[derive(Debug)]
pub struct DeviceTracker {
    generation_max: usize,
    young: Devices,
    old: Devices,
    forgotten: u64,
    /// The last message that had a number, for its further records.
    last: Option<(u64, u64, u64)>,
    /// The device of each set that was seen: a set names one device, and to read its names costs more than all else.
    keys: HashMap<SignalSetId, u64, FixedState>,
}

/// A tracker's state, in an order of its own: equal trackers have equal snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSnapshot {
    generation_max: usize,
    young: Vec<(u64, Device)>,
    old: Vec<(u64, Device)>,
    forgotten: u64,
    last: Option<(u64, u64, u64)>,
}

impl Default for DeviceTracker {
    fn default() -> Self {
        Self::new(DEVICES_MAX)
    }
}

impl DeviceTracker {
    /// Remembers at most so many devices.
    pub fn new(devices_max: usize) -> Self {
        Self {
            generation_max: (devices_max / 2).max(1),
            young: Devices::default(),
            old: Devices::default(),
            forgotten: 0,
            last: None,
            keys: HashMap::default(),
        }
    }

    /// Judges the next record of the partition that is no redelivery; `None` if it has no number of its own. `messages`
    /// is the record's: a further record of a message says nothing new.
    pub fn observe(&mut self, network: &NetworkId, readings: &Readings, messages: u32) -> Option<Sequence> {
        let numbered = readings.device_seq.as_ref()?;
        let key = self.key(network, &readings.set);
        let this = (key, hash(&[&numbered.boot]), numbered.seq);
        if messages == 0 && self.last == Some(this) {
            return None;
        }
        self.last = Some(this);
        let (_, boot, seq) = this;
        let Some(device) = self.device(key) else {
            self.insert(key, Device::new(boot, seq));
            return Some(Sequence::First);
        };
        Some(device.take(boot, seq, readings.lane))
    }

    /// Devices remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether no device is remembered.
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Devices forgotten at the bound; one that speaks again is new.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The state, to go on from later.
    pub fn snapshot(&self) -> DeviceSnapshot {
        let sorted = |devices: &Devices| {
            let mut list: Vec<_> = devices.iter().map(|(key, device)| (*key, device.clone())).collect();
            list.sort_unstable_by_key(|(key, _)| *key);
            list
        };
        DeviceSnapshot {
            generation_max: self.generation_max,
            young: sorted(&self.young),
            old: sorted(&self.old),
            forgotten: self.forgotten,
            last: self.last,
        }
    }

    /// Goes on from a snapshot.
    pub fn restore(snapshot: DeviceSnapshot) -> Self {
        Self {
            generation_max: snapshot.generation_max.max(1),
            young: snapshot.young.into_iter().collect(),
            old: snapshot.old.into_iter().collect(),
            forgotten: snapshot.forgotten,
            last: snapshot.last,
            keys: HashMap::default(),
        }
    }

    fn key(&mut self, network: &NetworkId, set: &SignalSet) -> u64 {
        if self.keys.len() >= SETS_MAX && !self.keys.contains_key(&set.id) {
            self.keys.clear();
        }
        let of_names = || hash(&[network.as_str(), set.site.as_str(), set.device.as_str()]);
        *self.keys.entry(set.id).or_insert_with(of_names)
    }

    /// A device that is remembered; it is young then.
    fn device(&mut self, key: u64) -> Option<&mut Device> {
        if !self.old.is_empty()
            && !self.young.contains_key(&key)
            && let Some(device) = self.old.remove(&key)
        {
            self.insert(key, device);
        }
        self.young.get_mut(&key)
    }

    fn insert(&mut self, key: u64, device: Device) {
        if self.young.len() >= self.generation_max {
            let forgotten = mem::replace(&mut self.old, mem::take(&mut self.young));
            self.forgotten += forgotten.len() as u64;
        }
        self.young.insert(key, device);
    }
}

impl Device {
    fn new(boot: u64, seq: u64) -> Self {
        Self { boot, previous_boot: boot, next: seq.wrapping_add(1), is_counting: false, missing: Vec::new() }
    }

    fn take(&mut self, boot: u64, seq: u64, lane: Lane) -> Sequence {
        if boot != self.boot {
            if boot == self.previous_boot {
                return Sequence::Repeated;
            }
            *self = Self { previous_boot: self.boot, ..Self::new(boot, seq) };
            return Sequence::Restarted;
        }
        if seq == self.next {
            self.next = seq.wrapping_add(1);
            self.is_counting = true;
            return Sequence::Due;
        }
        if seq == 0 && [1 << 8, 1 << 16, 1 << 32].contains(&self.next) {
            *self = Self { previous_boot: self.previous_boot, is_counting: true, ..Self::new(boot, 0) };
            return Sequence::Due;
        }
        if seq > self.next {
            return self.leap(seq);
        }
        if self.recover(seq) {
            return Sequence::Late;
        }
        if lane == Lane::Live && self.next - seq > LATE_MAX {
            *self = Self { previous_boot: self.previous_boot, ..Self::new(boot, seq) };
            return Sequence::Restarted;
        }
        Sequence::Repeated
    }

    fn leap(&mut self, seq: u64) -> Sequence {
        let missing = seq - self.next;
        let from = mem::replace(&mut self.next, seq.wrapping_add(1));
        if missing > LEAP_MAX {
            self.is_counting = false;
            self.missing.clear();
            return Sequence::Restarted;
        }
        if !self.is_counting {
            return Sequence::Gap { missing: 0 };
        }
        if self.missing.len() == RANGES_MAX {
            self.missing.remove(0);
        }
        self.missing.push((from, seq));
        Sequence::Gap { missing }
    }

    /// Takes a number out of those that are missing; false if it is none of them.
    fn recover(&mut self, seq: u64) -> bool {
        let Some(at) = self.missing.iter().position(|&(from, to)| (from..to).contains(&seq)) else {
            return false;
        };
        let (from, to) = self.missing[at];
        match (seq == from, seq + 1 == to) {
            (true, true) => drop(self.missing.remove(at)),
            (true, false) => self.missing[at] = (seq + 1, to),
            (false, true) => self.missing[at] = (from, seq),
            (false, false) => {
                self.missing[at] = (from, seq);
                self.missing.insert(at + 1, (seq + 1, to));
                if self.missing.len() > RANGES_MAX {
                    self.missing.remove(0);
                }
            }
        }
        true
    }
}

/// xxh3-64 of the parts, each followed by a byte that no text holds.
fn hash(parts: &[&str]) -> u64 {
    let mut bytes = [0; HASHED_AT_ONCE_MAX];
    let mut end = 0;
    for part in parts {
        let Some(place) = bytes.get_mut(end..=end + part.len()) else { return hash_of_long(parts) };
        let (last, text) = place.split_last_mut().expect("it has a byte more than the part");
        text.copy_from_slice(part.as_bytes());
        *last = 0xFF;
        end += part.len() + 1;
    }
    xxh3_64(&bytes[..end])
}

/// The same in pieces: setting that up costs more than to hash a name.
fn hash_of_long(parts: &[&str]) -> u64 {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0xFF]);
    }
    hasher.digest()
}

#[cfg(test)]
mod tests;
