//! The devices of all files, each with one signal set.

use std::{collections::BTreeMap, sync::Arc};

use heat_codec::{envelope::encode_set, recorded::RecordedSignal};
use heat_gateway::clock_guard::{ClockBounds, DeviceClock};
use heat_model::{
    DeviceId, EventTime, IngestTime, Lane, NetworkId, QualityCode, Reading, SignalDecl, SignalSet,
    SignalSetId, SiteId, unit::conversion,
};
use xxhash_rust::xxh3::xxh3_64;

type Key = (NetworkId, SiteId, DeviceId);

#[derive(Debug)]
struct Device {
    key: Key,
    signals: Vec<SignalDecl>,
    clock: DeviceClock,
    /// Made anew when a signal is added.
    set: Option<Arc<SignalSet>>,
    /// Place of each signal in the order of name and unit; made with the set.
    ranks: Vec<u32>,
}

/// All devices, in order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct Devices {
    list: Vec<Device>,
    index: BTreeMap<Key, u32>,
    /// Place of each device in the order of its key; empty when it must be made anew.
    ranks: Vec<u32>,
}

impl Devices {
    /// Device and signal of a file's signal.
    pub(super) fn place(&mut self, signal: &RecordedSignal) -> (u32, u32) {
        let key = (signal.network.clone(), signal.site.clone(), signal.device.clone());
        let next = u32::try_from(self.list.len()).expect("signals of a file are bounded");
        let device = *self.index.entry(key.clone()).or_insert(next);
        if device == next {
            self.list.push(Device {
                key,
                signals: Vec::new(),
                clock: DeviceClock::default(),
                set: None,
                ranks: Vec::new(),
            });
            self.ranks.clear();
        }
        let raw_unit = signal.unit.clone().unwrap_or_default();
        let entry = &mut self.list[device as usize];
        let known =
            entry.signals.iter().position(|decl| decl.name == signal.name && decl.raw_unit == raw_unit);
        let at = known.unwrap_or_else(|| {
            let (unit, scale, offset) = conversion(signal.name.as_str(), signal.unit.as_deref())
                .expect("mappings and tall rows refuse units that do not convert");
            entry.signals.push(SignalDecl { name: signal.name.clone(), unit, raw_unit, scale, offset });
            entry.set = None;
            entry.signals.len() - 1
        });
        (device, u32::try_from(at).expect("signals of a file are bounded"))
    }

    pub(super) fn value_of(&self, device: u32, signal: u32, raw: f64) -> f64 {
        self.list[device as usize].signals[signal as usize].value_of(raw)
    }

    /// What the device's clock is guilty of, as a gateway would judge it.
    pub(super) fn clock_fault(
        &mut self,
        device: u32,
        bounds: ClockBounds,
        event: EventTime,
        arrival: IngestTime,
        declared: Option<Lane>,
    ) -> Option<QualityCode> {
        let clock = &mut self.list[device as usize].clock;
        if declared != Some(Lane::Backfill) {
            // Somebody should set such a clock; the marks on the readings say so.
            let _change = clock.observe(bounds, event, arrival);
        }
        clock.fault(bounds, event, arrival)
    }

    /// Place of a device in the order of network, site and name.
    pub(super) fn rank(&self, device: u32) -> u32 {
        self.ranks[device as usize]
    }

    /// Makes the ranks anew if a device was added.
    pub(super) fn order(&mut self) {
        if self.ranks.len() == self.list.len() {
            return;
        }
        self.ranks = vec![0; self.list.len()];
        for (rank, device) in (0_u32..).zip(self.index.values()) {
            self.ranks[*device as usize] = rank;
        }
    }

    /// Puts readings of a device into the order in which an archive has them: by name, then by time.
    pub(super) fn sort(&self, device: u32, readings: &mut [Reading]) {
        let ranks = &self.list[device as usize].ranks;
        readings.sort_by_key(|reading| (ranks[reading.signal as usize], reading.event_time));
    }

    pub(super) fn set(&mut self, device: u32) -> Arc<SignalSet> {
        let device = &mut self.list[device as usize];
        if device.set.is_none() {
            let key = |at: &u32| {
                let signal = &device.signals[*at as usize];
                (signal.name.clone(), signal.raw_unit.clone())
            };
            let mut order: Vec<u32> = (0_u32..).take(device.signals.len()).collect();
            order.sort_by_key(key);
            device.ranks = vec![0; order.len()];
            for (rank, at) in (0_u32..).zip(order) {
                device.ranks[at as usize] = rank;
            }
        }
        let set = device.set.get_or_insert_with(|| {
            let (network, site, name) = &device.key;
            let mut content = encode_set(site, name, &device.signals).to_vec();
            content.extend_from_slice(network.as_str().as_bytes());
            Arc::new(SignalSet {
                id: SignalSetId(xxh3_64(&content)),
                network: network.clone(),
                site: site.clone(),
                device: name.clone(),
                signals: device.signals.clone(),
            })
        });
        Arc::clone(set)
    }
}
