//! What was lost before it reached a gateway, as far as devices number their messages. No imbalance of ours: it says
//! where to look for a bad link or a full buffer in the field.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Evidence;
use crate::devices::{DeviceGaps, DeviceHour};

/// Gaps in devices' own sequences.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Upstream {
    /// By hour, in order.
    pub hours: Vec<DeviceHour>,
    /// Messages that had a number.
    pub messages: u64,
    /// Numbers that were passed over and did not come after all.
    pub lost: u64,
    /// Of how many devices; at least, where `more_devices` says so.
    pub devices: u64,
    /// Whether there are further devices that no commit had room to name.
    pub more_devices: bool,
    /// The devices that lost most, worst first.
    pub worst: Vec<DeviceGaps>,
    /// Messages of which nothing was taken: their numbers are in dead letters, and among the lost.
    pub rejected_messages: u64,
}

/// Devices shown.
const WORST_MAX: usize = 10;

impl Upstream {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut hours: BTreeMap<i64, DeviceHour> = BTreeMap::new();
        for hour in evidence.stretches.iter().flat_map(|stretch| &stretch.ledger.devices) {
            hours
                .entry(hour.hour_start_us)
                .or_insert_with(|| DeviceHour { hour_start_us: hour.hour_start_us, ..DeviceHour::default() })
                .add(hour);
        }
        let mut rejected: BTreeMap<i64, u64> = BTreeMap::new();
        for ((_, _, hour), letters) in &evidence.letters {
            *rejected.entry(*hour).or_default() += letters.messages;
        }
        let mut upstream = Self { hours: hours.into_values().collect(), ..Self::default() };
        upstream.sum(rejected.values().sum());
        upstream
    }

    pub(super) fn keep_hours(&mut self, inside: impl Fn(i64) -> bool, rejected_messages: u64) {
        self.hours.retain(|hour| inside(hour.hour_start_us));
        self.sum(rejected_messages);
    }

    fn sum(&mut self, rejected_messages: u64) {
        let mut devices: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let (mut missing, mut late, mut more) = (0, 0, false);
        self.messages = 0;
        for hour in &self.hours {
            self.messages += hour.messages;
            missing += hour.missing;
            late += hour.late;
            more |= hour.missing_of_others > 0;
            for gaps in &hour.devices {
                let sums = devices.entry(&gaps.device).or_default();
                sums.0 += gaps.missing;
                sums.1 += gaps.late;
            }
        }
        let mut worst: Vec<DeviceGaps> = devices
            .into_iter()
            .filter(|(_, (missing, late))| missing > late)
            .map(|(device, (missing, late))| DeviceGaps { device: device.to_owned(), missing, late })
            .collect();
        worst.sort_by(|a, b| (b.missing - b.late).cmp(&(a.missing - a.late)).then(a.device.cmp(&b.device)));
        self.lost = u64::saturating_sub(missing, late);
        self.devices = worst.len() as u64;
        self.more_devices = more;
        worst.truncate(WORST_MAX);
        self.worst = worst;
        self.rejected_messages = rejected_messages;
    }
}
