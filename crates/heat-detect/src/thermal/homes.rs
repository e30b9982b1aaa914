//! Homes below what they were promised while the supply is normal, and far homes cold where near ones are warm.
//!
//! One home may have a window open; a station's homes are told when a share of them is cold for hours. What is kept and
//! told is per station: no household appears anywhere.

use heat_model::{incident::Class, plant::SiteKind};
use serde::{Deserialize, Serialize};

use super::values::{Means, Smooth};
use crate::{
    layout::{Layout, Role},
    network::statements::{Fact, Place, Statement},
};

/// Time constant of a home's temperature here, quarter hours.
const HOME_BINS: f64 = 8.0;
/// Quarter hours a home must be below the promise, and above it for the finding to end.
const COLD_BINS: u16 = 8;
/// Hysteresis, K.
const MARGIN_KELVIN: f64 = 0.2;
/// Share of a station's homes that must be cold.
const COLD_SHARE: f64 = 0.25;
/// Stations with homes that a comparison of near and far needs, and what it takes to be told.
const IMBALANCE_STATIONS: usize = 9;
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
    is_warm: bool,
}

impl Home {
    fn take(&mut self, bin: i64, celsius: f64, promised: f64) {
        self.celsius = self.now.take(bin, celsius, HOME_BINS);
        self.slow_celsius = self.slow.take(bin, celsius, IMBALANCE_BINS);
        self.is_warm = self.celsius >= promised;
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

/// How many homes are warm enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compliance {
    /// The station that feeds them; `None` for the whole network.
    pub(crate) station: Option<u32>,
    pub(crate) homes: u32,
    pub(crate) warm: u32,
}

/// Fewer homes than these are not told apart from the rest: a share of two homes is somebody's temperature.
const HOMES_MIN: u32 = 5;
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

    /// Homes by the station that feeds them, and of the network as a whole first.
    pub(super) fn compliance(&self, layout: &Layout) -> Vec<Compliance> {
        let newest = self.homes.iter().map(|home| home.at_bin).max().unwrap_or_default();
        let mut all: Vec<(u32, bool)> = self
            .fresh(layout, newest)
            .map(|(site, home)| (layout.parent(site).unwrap_or(site), home.is_warm))
            .collect();
        all.sort_unstable();
        let count = |homes: &[(u32, bool)], station: Option<u32>| Compliance {
            station,
            homes: u32::try_from(homes.len()).unwrap_or(u32::MAX),
            warm: u32::try_from(homes.iter().filter(|(_, warm)| *warm).count()).unwrap_or(u32::MAX),
        };
        let by_station =
            all.chunk_by(|a, b| a.0 == b.0).map(|homes| count(homes, homes.first().map(|home| home.0)));
        let mut shares = vec![count(&all, None)];
        shares.extend(by_station);
        shares.retain(|share| share.homes >= HOMES_MIN);
        shares
    }

    /// Stations whose homes became cold or warm. `supply_is_normal` is what makes it the station's own matter.
    pub(super) fn judge(
        &mut self,
        means: Means<'_>,
        bin: i64,
        at_us: i64,
        supply_is_normal: bool,
    ) -> Vec<Statement> {
        let mut by_station: Vec<(u32, bool, f64)> = self
            .fresh(means.layout, bin)
            .map(|(site, home)| (means.layout.parent(site).unwrap_or(site), home.is_cold, home.celsius))
            .collect();
        by_station.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        let mut said = Vec::new();
        for homes in by_station.chunk_by(|a, b| a.0 == b.0) {
            let station = homes[0].0;
            let cold = homes.iter().filter(|home| home.1).count();
            let is_cold = cold as f64 >= (COLD_SHARE * homes.len() as f64).max(1.0);
            let was = self.said.binary_search(&station);
            let coldest = homes.iter().map(|home| home.2).fold(f64::INFINITY, f64::min);
            match (is_cold, was) {
                (true, Err(at)) if supply_is_normal => {
                    self.said.insert(at, station);
                    said.push(cold_homes(station, at_us, coldest, cold, true));
                }
                (false, Ok(at)) => {
                    self.said.remove(at);
                    said.push(cold_homes(station, at_us, coldest, cold, false));
                }
                (true, _) | (false, Err(_)) => {}
            }
        }
        said.extend(self.imbalance(means, bin, at_us));
        said
    }

    /// Near homes warm, far homes cold: the thirds of the stations by the length of pipe to them.
    fn imbalance(&mut self, means: Means<'_>, bin: i64, at_us: i64) -> Option<Statement> {
        let layout = means.layout;
        let mut by_distance: Vec<(f64, f64)> = self
            .fresh(means.layout, bin)
            .filter_map(|(site, home)| {
                let station = layout.parent(site).unwrap_or(site);
                let node = layout.sites[station as usize].node?;
                let length: f64 = layout
                    .topology
                    .path(node)
                    .map(|trench| layout.topology.trenches[trench as usize].length_m)
                    .sum();
                Some((length, home.slow_celsius))
            })
            .collect();
        if by_distance.len() < IMBALANCE_STATIONS || layout.of_kind(SiteKind::Source).next().is_none() {
            return None;
        }
        by_distance.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let third = by_distance.len() / 3;
        let mean = |homes: &[(f64, f64)]| homes.iter().map(|home| home.1).sum::<f64>() / homes.len() as f64;
        let difference = mean(&by_distance[..third]) - mean(&by_distance[by_distance.len() - third..]);
        let is_told = if self.said_imbalance {
            difference > 0.5 * IMBALANCE_KELVIN
        } else {
            difference > IMBALANCE_KELVIN
        };
        if is_told == self.said_imbalance {
            return None;
        }
        self.said_imbalance = is_told;
        Some(Statement {
            detector: "homes",
            class: Class::Underheating,
            kind: Some("imbalance"),
            place: Place::Network,
            onset_us: at_us,
            active: is_told,
            facts: vec![Fact { signal: None, what: "near_less_far", value: difference, unit: "K" }],
            strength: difference,
            affected: Vec::new(),
        })
    }
}

fn cold_homes(station: u32, at_us: i64, coldest: f64, cold: usize, active: bool) -> Statement {
    Statement {
        detector: "homes",
        class: Class::Underheating,
        kind: None,
        place: Place::Site(station),
        onset_us: at_us,
        active,
        facts: vec![
            Fact { signal: None, what: "coldest_home", value: coldest, unit: "degC" },
            Fact { signal: None, what: "cold_homes", value: cold as f64, unit: "1" },
        ],
        strength: cold as f64,
        affected: vec![station],
    }
}
