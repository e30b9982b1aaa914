//! Homes below what they were promised while the supply is normal, and far homes cold where near ones are warm.
//!
//! One home may have a window open; a station's homes are told when a share of them is cold for hours. What is told is
//! per station and a share in percent, never a home, its place or its temperature. Nothing is told of fewer than
//! [`HOMES_MIN`] homes: of so few, their neighbours know whose it is. Their share is told from [`SHARE_MIN`] on, as the
//! console and the reports do. A home whose station the plant model does not tell counts nowhere. A building's own sensor
//! stands for the homes that the plant model counts there, and for enough of them where it counts none.

use std::collections::BTreeMap;

use heat_model::{incident::Class, plant::SiteKind};
use serde::{Deserialize, Serialize};

use super::values::{Means, Smooth};
use crate::{
    layout::{Layout, Role},
    network::statements::{Fact, Place, Statement, Telling},
};

/// Time constant of a home's temperature here, quarter hours.
const HOME_BINS: f64 = 8.0;
/// Quarter hours a home must be below the promise, and above it for the finding to end.
const COLD_BINS: u16 = 8;
/// Hysteresis, K.
const MARGIN_KELVIN: f64 = 0.2;
/// Share of a station's homes that must be cold.
const COLD_SHARE: f64 = 0.25;
/// Fewest homes that anything is said of, and that a figure may stand for.
const HOMES_MIN: u32 = 5;
const SHARE_MIN: u32 = 10;
/// Sensors in homes or buildings that a comparison of near and far needs, and what it takes to be told.
const IMBALANCE_SENSORS: usize = 9;
const IMBALANCE_KELVIN: f64 = 2.0;
/// Days a home's temperature is averaged over for it, quarter hours.
const IMBALANCE_BINS: f64 = 96.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Home {
    now: Smooth,
    celsius: f64,
    slow: Smooth,
    slow_celsius: f64,
    at_bin: i64,
    cold_bins: u16,
    warm_bins: u16,
    is_cold: bool,
}

impl Home {
    fn take(&mut self, bin: i64, celsius: f64, promised: f64) {
        self.celsius = self.now.take(bin, celsius, HOME_BINS);
        self.slow_celsius = self.slow.take(bin, celsius, IMBALANCE_BINS);
        let bins = u16::try_from((bin - self.at_bin).clamp(1, 8)).unwrap_or(1);
        self.at_bin = bin;
        if self.celsius < promised - MARGIN_KELVIN {
            self.cold_bins = self.cold_bins.saturating_add(bins);
            self.warm_bins = 0;
        } else if self.celsius > promised + MARGIN_KELVIN {
            self.warm_bins = self.warm_bins.saturating_add(bins);
            self.cold_bins = 0;
        }
        if self.cold_bins >= COLD_BINS {
            self.is_cold = true;
        } else if self.warm_bins >= COLD_BINS {
            self.is_cold = false;
        }
    }
}

/// Homes by signal, and the stations told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Homes {
    /// By site; only sites with an indoor temperature are used.
    homes: Vec<Home>,
    /// Stations whose homes were told to be cold, in order.
    said: Vec<u32>,
    said_imbalance: bool,
}

/// Newest values older than this are not counted, quarter hours.
const FRESH_BINS: i64 = 16;

impl Homes {
    pub(super) fn take(&mut self, means: Means<'_>, bin: i64, promised: f64) {
        self.homes.resize(means.layout.sites.len(), Home::default());
        for (home, site) in self.homes.iter_mut().zip(&means.layout.sites) {
            if let Some(celsius) = means.of(site, Role::IndoorTemperature) {
                home.take(bin, celsius, promised);
            }
        }
    }

    fn fresh<'a>(&'a self, layout: &'a Layout, bin: i64) -> impl Iterator<Item = (u32, &'a Home)> {
        (0_u32..).zip(&self.homes).filter(move |(site, home)| {
            bin - home.at_bin <= FRESH_BINS
                && layout.sites[*site as usize].signal(Role::IndoorTemperature).is_some()
        })
    }

    /// Stations whose homes became cold or warm. `supply_is_normal` is what makes it the station's own matter.
    pub(super) fn judge(
        &mut self,
        means: Means<'_>,
        bin: i64,
        at_us: i64,
        supply_is_normal: bool,
    ) -> Vec<Statement> {
        let layout = means.layout;
        let mut by_station: BTreeMap<u32, Count> = BTreeMap::new();
        for (site, home) in self.fresh(layout, bin) {
            let Some(station) = layout.station_of(site) else { continue };
            let homes = layout.homes_of(site).unwrap_or(SHARE_MIN);
            let count = by_station.entry(station).or_default();
            count.homes = count.homes.saturating_add(homes);
            count.cold = count.cold.saturating_add(if home.is_cold { homes } else { 0 });
        }
        let mut said = Vec::new();
        for (station, count) in by_station.into_iter().filter(|(_, count)| count.homes >= HOMES_MIN) {
            match (count.is_cold(), self.said.binary_search(&station)) {
                (true, Err(at)) if supply_is_normal => {
                    self.said.insert(at, station);
                    said.push(cold_homes(station, at_us, count, true));
                }
                (false, Ok(at)) => {
                    self.said.remove(at);
                    said.push(cold_homes(station, at_us, count, false));
                }
                (true, _) | (false, Err(_)) => {}
            }
        }
        said.extend(self.imbalance(means, bin, at_us));
        said
    }

    /// Heating has ended, and with it the promise.
    pub(super) fn end_all(&mut self, at_us: i64) -> Vec<Statement> {
        let stations = std::mem::take(&mut self.said);
        let cold = stations.into_iter().map(|station| cold_homes(station, at_us, Count::default(), false));
        let imbalance = std::mem::take(&mut self.said_imbalance).then(|| imbalance(at_us, None));
        cold.chain(imbalance).collect()
    }

    /// Near homes warm, far homes cold: the thirds of the stations by the length of pipe to them.
    fn imbalance(&mut self, means: Means<'_>, bin: i64, at_us: i64) -> Option<Statement> {
        let layout = means.layout;
        let mut by_distance: Vec<(f64, f64, u32)> = self
            .fresh(means.layout, bin)
            .filter_map(|(site, home)| {
                let node = layout.sites[layout.station_of(site)? as usize].node?;
                let length: f64 = layout
                    .topology
                    .path(node)
                    .map(|trench| layout.topology.trenches[trench as usize].length_m)
                    .sum();
                Some((length, home.slow_celsius, layout.homes_of(site).unwrap_or(SHARE_MIN)))
            })
            .collect();
        if by_distance.len() < IMBALANCE_SENSORS || layout.of_kind(SiteKind::Source).next().is_none() {
            return None;
        }
        by_distance.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let third = by_distance.len() / 3;
        let (near, far) = (&by_distance[..third], &by_distance[by_distance.len() - third..]);
        let homes = |part: &[(f64, f64, u32)]| part.iter().map(|home| home.2).fold(0, u32::saturating_add);
        if homes(near) < SHARE_MIN || homes(far) < SHARE_MIN {
            return None;
        }
        let mean =
            |homes: &[(f64, f64, u32)]| homes.iter().map(|home| home.1).sum::<f64>() / homes.len() as f64;
        let difference = mean(near) - mean(far);
        let is_told = if self.said_imbalance {
            difference > 0.5 * IMBALANCE_KELVIN
        } else {
            difference > IMBALANCE_KELVIN
        };
        if is_told == self.said_imbalance {
            return None;
        }
        self.said_imbalance = is_told;
        Some(Statement { active: is_told, ..imbalance(at_us, Some(difference)) })
    }
}

fn imbalance(at_us: i64, difference: Option<f64>) -> Statement {
    let fact = |value| Fact { signal: None, what: "near_less_far", value, unit: "K" };
    Statement {
        detector: "homes",
        class: Class::Underheating,
        kind: Some("imbalance"),
        place: Place::Network,
        onset_us: at_us,
        active: false,
        facts: difference.map(fact).into_iter().collect(),
        strength: difference.unwrap_or(0.0),
        affected: Vec::new(),
        telling: Telling::Anew,
    }
}

/// Homes of a station, and those of them that are cold.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    homes: u32,
    cold: u32,
}

impl Count {
    fn is_cold(self) -> bool {
        f64::from(self.cold) >= (COLD_SHARE * f64::from(self.homes)).max(1.0)
    }

    /// Percent that are cold, where that may be told.
    fn percent(self) -> Option<f64> {
        (self.homes >= SHARE_MIN).then(|| (100.0 * f64::from(self.cold) / f64::from(self.homes)).round())
    }
}

fn cold_homes(station: u32, at_us: i64, count: Count, active: bool) -> Statement {
    let fact = |value| Fact { signal: None, what: "homes_below_promise", value, unit: "%" };
    Statement {
        detector: "homes",
        class: Class::Underheating,
        kind: None,
        place: Place::Site(station),
        onset_us: at_us,
        active,
        facts: count.percent().map(fact).into_iter().collect(),
        // Of few homes only that it is enough of them.
        strength: count.percent().map_or(COLD_SHARE, |percent| percent / 100.0),
        affected: vec![station],
        telling: Telling::Anew,
    }
}
