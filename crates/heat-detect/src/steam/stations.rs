//! What each station takes of the steam, and what comes back from it: which one is off where the sums are.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use super::account::MEMORY_BINS;
use crate::{
    bins::Bins,
    layout::{Layout, Role, Site},
};

/// Silent stations may take so much of the steam, by what they usually take.
const FILLED_MAX_SHARE: f64 = 0.3;
/// Memory of a station's deviation from its share, quarter hours: shorter than an alarm takes.
const RECENT_BINS: f64 = 3.0;
/// Silent stations are gone when the pipes lose so much less than usual, share of what is filled in for them.
const GONE_SHARE: f64 = 0.6;
/// A station that takes this much of all has no others to be compared with.
const ALONE_SHARE: f64 = 0.95;
/// Temperature assumed for condensate without a sensor, degC.
const CONDENSATE_CELSIUS: f64 = 80.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Station {
    /// Usual share of what all take, and quarter hours it rests on.
    share: f64,
    bins: u32,
    /// What it took less than its share says, kg/s, lately.
    missing: f64,
    /// Usual share of its steam that comes back; quarter hours; what came back less than that, kg/s, lately.
    returned: f64,
    returned_bins: u32,
    unreturned: f64,
}

/// By site index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stations(Vec<Station>);

/// What the stations take together, and what usually comes back of it, kg/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taken {
    pub(super) all: f64,
    /// `None` where some station does not meter its condensate.
    pub(super) comes_back: Option<f64>,
}

impl Stations {
    /// Takes the lower open bin, in which the sources sent so much; `lost` is what the pipes usually lose of what all take.
    /// Silent stations count with what they usually take.
    pub(super) fn take(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        (sent, lost): (f64, &dyn Fn(f64) -> Option<f64>),
        learns: bool,
    ) -> Option<Taken> {
        self.0.resize(layout.sites.len(), Station::default());
        let metered: Vec<_> =
            layout.of_kind(SiteKind::Station).filter(|(_, site)| is_metered(layout, site)).collect();
        let shares = metered.iter().map(|(index, _)| self.0[*index as usize].share).sum::<f64>();
        let usual = |station: &Station| if shares > 0.0 { station.share / shares } else { 0.0 };
        let (mut known, mut silent) = (0.0, 0.0);
        let mut flows = Vec::new();
        for (index, site) in &metered {
            match steam(layout, bins, site) {
                Some(flow) => {
                    known += flow.max(0.0);
                    flows.push((*index, flow.max(0.0), condensate(layout, bins, site)));
                }
                None => silent += usual(&self.0[*index as usize]),
            }
        }
        if flows.is_empty() {
            return None;
        }
        let all = known / (1.0 - silent.min(ALONE_SHARE));
        // Filled in, they take what the pipes do not: who is silent no longer takes what it did; converted, or cut off.
        let are_gone = lost(all).is_some_and(|lost| sent - all < lost - GONE_SHARE * (all - known));
        if are_gone && silent > 0.0 {
            for (index, site) in &metered {
                if steam(layout, bins, site).is_none() {
                    self.0[*index as usize] = Station::default();
                }
            }
            return self.take(layout, bins, (sent, lost), learns);
        }
        let (mut comes_back, mut all_return) = (0.0, true);
        for (index, site) in &metered {
            let station = &self.0[*index as usize];
            let flow = flows.iter().find(|(known, _, _)| known == index).map(|(_, flow, _)| *flow);
            comes_back += station.returned * flow.unwrap_or(usual(station) * all);
            all_return &= site.signal(Role::CondensateFlow).is_some();
        }
        let was_known = flows.iter().all(|(index, _, _)| self.0[*index as usize].returned_bins > 0);
        for (index, flow, back) in flows {
            let station = &mut self.0[index as usize];
            let share = usual(station);
            station.take(share, flow, all, back, learns);
        }
        if silent > FILLED_MAX_SHARE || (all_return && !was_known) {
            return None;
        }
        Some(Taken { all, comes_back: all_return.then_some(comes_back) })
    }

    /// The one station that takes so much less than its share, or more; none where there are several.
    pub(super) fn off(&self, less_kg_s: f64) -> Option<u32> {
        let is_off = |station: &Station| station.missing * less_kg_s.signum() > less_kg_s.abs();
        let mut off = (0_u32..).zip(&self.0).filter(|(_, station)| is_off(station));
        let first = off.next()?.0;
        off.next().is_none().then_some(first)
    }

    /// The station from which so much less condensate comes back than usual.
    pub(super) fn unreturned(&self, least_kg_s: f64) -> Option<u32> {
        (0_u32..).zip(&self.0).find(|(_, station)| station.unreturned > least_kg_s).map(|(site, _)| site)
    }
}

impl Station {
    /// Takes what flowed, beside its usual share of what all take.
    fn take(&mut self, share: f64, flow: f64, all: f64, back: Option<f64>, learns: bool) {
        if all <= 0.0 {
            return;
        }
        // By what the others take: a meter that reads low lowers the sum, too.
        let expected = if share < ALONE_SHARE { (all - flow) * share / (1.0 - share) } else { flow };
        let missing = if self.bins > 0 { expected - flow } else { 0.0 };
        self.missing += (missing - self.missing) / RECENT_BINS;
        if learns {
            self.bins = self.bins.saturating_add(1);
            self.share += (flow / all - self.share) / f64::from(self.bins).min(MEMORY_BINS);
        }
        let Some(back) = back.filter(|_| flow > 0.0) else { return };
        let unreturned = if self.returned_bins > 0 { self.returned * flow - back } else { 0.0 };
        self.unreturned += (unreturned - self.unreturned) / RECENT_BINS;
        if learns {
            self.returned_bins = self.returned_bins.saturating_add(1);
            self.returned += (back / flow - self.returned) / f64::from(self.returned_bins).min(MEMORY_BINS);
        }
    }
}

/// Steam meters of volume tell no mass: their density hangs on a pressure and a superheat that few report.
fn is_metered(layout: &Layout, site: &Site) -> bool {
    site.signal(Role::SteamFlow).is_some_and(|signal| layout.placed[signal as usize].is_mass)
}

/// Steam through a site's meter, kg/s.
pub(super) fn steam(layout: &Layout, bins: &Bins, site: &Site) -> Option<f64> {
    let signal = site.signal(Role::SteamFlow)?;
    bins.mean(signal).filter(|_| layout.placed[signal as usize].is_mass)
}

/// Condensate through a site's meter, kg/s.
pub(super) fn condensate(layout: &Layout, bins: &Bins, site: &Site) -> Option<f64> {
    let celsius = site.signal(Role::CondensateTemperature).and_then(|signal| bins.mean(signal));
    let celsius = celsius.filter(|celsius| (1.0..=180.0).contains(celsius)).unwrap_or(CONDENSATE_CELSIUS);
    water(layout, bins, site.signal(Role::CondensateFlow)?, celsius)
}

/// Water through a meter, kg/s.
pub(super) fn water(layout: &Layout, bins: &Bins, signal: u32, celsius: f64) -> Option<f64> {
    let mean = bins.mean(signal)?;
    Some(if layout.placed[signal as usize].is_mass { mean } else { mean * density_kg_m3(celsius) })
}
