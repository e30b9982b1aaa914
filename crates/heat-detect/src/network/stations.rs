//! Stations that are cut off: differential pressure far below what they usually have.
//!
//! While a burst is on, this lists its effects at once; alone, only what lasts is told.

use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    layout::{Layout, Role, Site},
    tracker::Tracker,
};

/// Share of its usual differential pressure below which a station is cut off.
const LOW_SHARE: f64 = 0.4;
/// Share above which it is well again.
const WELL_SHARE: f64 = 0.6;
/// How long it must last without a burst, microseconds.
const ALONE_US: i64 = 45 * 60_000_000;
/// Bins before the usual is known.
const KNOWN_BINS: u32 = 8;
/// Memory of the usual, bins.
const MEMORY_BINS: f64 = 192.0;

pub(crate) const LOW_DIFFERENTIAL: &str = "low_differential_pressure";

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Station {
    usual_pa: f64,
    bins: u32,
    low_since_us: Option<i64>,
    said: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct StationWatch {
    /// By site index.
    stations: Vec<Station>,
}

/// What two gauges of the same pressure may differ by, Pa. A differential farther below 0 is a broken gauge's, unless a
/// burst draws the supply below the return.
const NOISE_PASCAL: f64 = 20_000.0;

fn differential(site: &Site, value: impl Fn(u32) -> Option<f64>) -> Option<f64> {
    // What no gauge can read does not come so far.
    let of = |role: Role| value(site.signal(role)?);
    let apart = || Some(of(Role::SupplyPressure)? - of(Role::ReturnPressure)?);
    of(Role::DifferentialPressure).or_else(apart)
}

impl StationWatch {
    pub(crate) fn learn(&mut self, layout: &Layout, bins: &Bins) {
        self.stations.resize(layout.sites.len(), Station::default());
        for (index, site) in layout.of_kind(SiteKind::Station) {
            let station = &mut self.stations[index as usize];
            if station.low_since_us.is_some() {
                continue;
            }
            let mean = differential(site, |signal| bins.mean(signal));
            if let Some(now) = mean.filter(|pa| *pa >= -NOISE_PASCAL) {
                station.bins = station.bins.saturating_add(1);
                station.usual_pa += (now - station.usual_pa) / f64::from(station.bins).min(MEMORY_BINS);
            }
        }
    }

    /// Sites that became cut off or well: (site, kind, since, active).
    pub(crate) fn watch(
        &mut self,
        layout: &Layout,
        trackers: &[Tracker],
        now_us: i64,
        urgent: bool,
        is_aside: impl Fn(u32) -> bool,
    ) -> Vec<(u32, &'static str, i64, bool)> {
        self.stations.resize(layout.sites.len(), Station::default());
        let mut found = Vec::new();
        for (index, site) in layout.of_kind(SiteKind::Station) {
            let station = &mut self.stations[index as usize];
            if station.bins < KNOWN_BINS || station.usual_pa <= 0.0 {
                continue;
            }
            let current = |signal: u32| {
                let tracker = &trackers[signal as usize];
                (tracker.is_current(now_us) && !is_aside(signal)).then_some(tracker.value)
            };
            let Some(now) = differential(site, current) else { continue };
            if now < -NOISE_PASCAL && !urgent {
                continue;
            }
            if now < LOW_SHARE * station.usual_pa {
                let since = *station.low_since_us.get_or_insert(now_us);
                if !station.said && (urgent || now_us - since >= ALONE_US) {
                    station.said = true;
                    found.push((index, LOW_DIFFERENTIAL, since, true));
                }
            } else if now > WELL_SHARE * station.usual_pa {
                let since = station.low_since_us.take();
                if station.said {
                    station.said = false;
                    found.push((index, LOW_DIFFERENTIAL, since.unwrap_or(now_us), false));
                }
            }
        }
        found
    }

    /// Differential pressure of a site now, as a share of its usual one; `None` until that is known.
    pub(crate) fn share_of_usual(&self, site: u32, layout: &Layout, trackers: &[Tracker]) -> Option<f64> {
        let station = self.stations.get(site as usize)?;
        if station.bins < KNOWN_BINS || station.usual_pa <= 0.0 {
            return None;
        }
        let latest = |signal: u32| trackers.get(signal as usize).filter(|t| t.seen).map(|t| t.value);
        Some(differential(&layout.sites[site as usize], latest)? / station.usual_pa)
    }
}
