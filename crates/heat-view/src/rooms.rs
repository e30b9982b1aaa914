//! Room temperatures as counts: how many homes are below the promised temperature, and never which.
//!
//! Readings of homes stay in here; what comes out is a figure of a network or of the station that feeds the homes, and
//! only where it stands for at least [`HOMES_MIN`] of them.

use std::{collections::BTreeMap, time::Duration};

use heat_model::{
    AppendTime, Body, DeviceId, Envelope, IngestTime, Lane, NetworkId, Quality, SiteId,
    plant::{PlantModel, Site, SiteKind},
};

/// Fewest homes that a figure may stand for.
pub const HOMES_MIN: usize = 10;
/// What homes are promised, degC; where a contract says otherwise, its share is read from the percentiles.
pub const PROMISED_CELSIUS: f64 = 18.0;
/// A room's temperature counts for so long after it arrived: rooms change slowly, and their sensors send seldom.
const CURRENT_FOR: Duration = Duration::from_hours(2);
/// Most homes followed.
const HOMES_MAX: usize = 500_000;
const NAME: &str = "indoor_temperature";
/// Levels from a home to its station that are climbed at most.
const PARENTS_MAX: usize = 8;

/// The network, and the station if it is about one.
pub type Place = (NetworkId, Option<SiteId>);

/// What can be said of a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoomFigures {
    /// Homes with a current temperature.
    pub homes: usize,
    /// Those below [`PROMISED_CELSIUS`].
    pub below: usize,
    /// Their 10th, 50th and 90th percentile, degC.
    pub celsius: [f64; 3],
}

#[derive(Debug, Clone, Copy)]
struct Room {
    celsius: f64,
    arrived: AppendTime,
}

/// The last temperature of every home.
#[derive(Debug, Default)]
pub struct RoomTable {
    stations: BTreeMap<SiteId, SiteId>,
    rooms: BTreeMap<(NetworkId, SiteId, DeviceId), Room>,
    refused: u64,
}

impl RoomTable {
    /// Learns which station feeds which home, through the buildings between them.
    pub fn set_plant(&mut self, plant: &PlantModel) {
        let rows: BTreeMap<&SiteId, &Site> = plant.sites.iter().map(|site| (&site.id, site)).collect();
        let station = |site: &Site| {
            let mut row = site;
            for _ in 0..PARENTS_MAX {
                if row.kind == Some(SiteKind::Station) {
                    return Some((site.id.clone(), row.id.clone()));
                }
                row = rows.get(row.parent.as_ref()?)?;
            }
            None
        };
        self.stations = plant.sites.iter().filter_map(station).collect();
    }

    /// Takes a record's live room temperatures.
    pub fn apply(&mut self, append_time: AppendTime, envelope: &Envelope) {
        let Body::Readings(readings) = &envelope.body else { return };
        let set = &readings.set;
        let name = |signal: u32| set.signals.get(signal as usize).map(|decl| decl.name.as_str());
        if readings.lane != Lane::Live {
            return;
        }
        for reading in readings.readings.iter().filter(|reading| name(reading.signal) == Some(NAME)) {
            if reading.quality != Quality::Good || !reading.value.is_finite() || reading.code.is_clock_fault()
            {
                continue;
            }
            let key = (set.network.clone(), set.site.clone(), set.device.clone());
            let room = Room { celsius: reading.value, arrived: append_time };
            let is_full = self.rooms.len() >= HOMES_MAX;
            match self.rooms.get_mut(&key) {
                Some(held) => *held = room,
                None if is_full => self.refused += 1,
                None => {
                    self.rooms.insert(key, room);
                }
            }
        }
    }

    /// Homes that the bound kept out.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Forgets what is no longer current.
    pub fn forget(&mut self, now: IngestTime) {
        self.rooms.retain(|_, room| is_current(room, now));
    }

    /// The figures at `now` of networks and stations with at least [`HOMES_MIN`] current homes.
    pub fn figures(&self, now: IngestTime) -> BTreeMap<Place, RoomFigures> {
        let mut temperatures: BTreeMap<Place, Vec<f64>> = BTreeMap::new();
        for ((network, site, _), room) in self.rooms.iter().filter(|(_, room)| is_current(room, now)) {
            temperatures.entry((network.clone(), None)).or_default().push(room.celsius);
            if let Some(station) = self.stations.get(site) {
                let place = (network.clone(), Some(station.clone()));
                temperatures.entry(place).or_default().push(room.celsius);
            }
        }
        temperatures.retain(|_, homes| homes.len() >= HOMES_MIN);
        temperatures.into_iter().map(|(place, homes)| (place, figures(homes))).collect()
    }
}

fn is_current(room: &Room, now: IngestTime) -> bool {
    now.since(IngestTime::from_micros(room.arrived.as_micros())) <= CURRENT_FOR
}

fn figures(mut celsius: Vec<f64>) -> RoomFigures {
    celsius.sort_by(f64::total_cmp);
    let at = |tenths: usize| celsius[(celsius.len() - 1) * tenths / 10];
    RoomFigures {
        homes: celsius.len(),
        below: celsius.partition_point(|celsius| *celsius < PROMISED_CELSIUS),
        celsius: [at(1), at(5), at(9)],
    }
}

#[cfg(test)]
mod tests;
