//! What one quarter hour says about the water of a network.
//!
//! The mass of water in the pipes changes with temperature: a front that leaves the source as water of one density
//! pushes out water of another until it has arrived. With q the volume flow:
//!
//! `dM/dt = q_s (rho(T_s,source) - rho(T_s,stations)) + q_r (rho(T_r,stations) - rho(T_r,source))`
//!
//! with station temperatures weighted by flow. No network volume is needed, and the whole transit is covered. Heat
//! loss of the pipes makes a near-constant offset, which the baseline takes. (After Niemyjski & Zwierzchowski,
//! Energies 14 (2021) 2060.)

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::{Side, SiteKind};
use serde::{Deserialize, Serialize};

use super::make_up::{self, Metering};
use crate::{
    bins::Bins,
    layout::{Layout, Role, Site},
};

/// Stations that must report temperatures, as a share of those that have a flow, for a weighted mean.
const STATIONS_MIN_SHARE: f64 = 0.5;
/// Silent stations may take so much of the flow, by what they usually take, for the sum to be a witness.
const FILLED_MAX_SHARE: f64 = 0.3;
/// Memory of what a station usually takes, bins: two days.
const SHARE_BINS: f32 = 192.0;
/// A return flow further from the supply flow than this share is a meter's fault, or a burst, which is not judged here.
const RETURN_MAX_DIFFERENCE: f64 = 0.25;

/// One quarter hour's water.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Features {
    /// What tells the make-up.
    pub(crate) metering: Metering,
    /// Make-up less what went out through the relief valve and into metered secondaries, kg/s; for run-time a share, for
    /// a tank its level in m.
    pub(crate) make_up: Option<f64>,
    /// Supply flow of all sources, kg/s.
    pub(crate) supply: Option<f64>,
    /// The same where nothing flows too, as of a district whose pump fills a tank and rests.
    pub(crate) inflow: Option<f64>,
    /// Return flow of all sources, kg/s.
    pub(crate) back: Option<f64>,
    /// Flow of all stations, kg/s; of silent ones what they usually take.
    pub(crate) stations: Option<f64>,
    /// Mass that thermal contraction takes up, supply and return side, kg/s.
    pub(crate) contraction: Option<[f64; 2]>,
    /// Source temperatures, for where stations have none.
    pub(crate) source_supply_celsius: Option<f64>,
    pub(crate) source_return_celsius: Option<f64>,
    /// Pressure that the make-up holds, Pa.
    pub(crate) hold_pa: Option<f64>,
    /// Whether a source is equipped with a return meter.
    pub(crate) has_return_meter: bool,
}

/// What each station usually takes, as a share of the supply flow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    /// By site index: share, and bins it rests on.
    stations: Vec<(f32, f32)>,
}

impl Shares {
    fn of(&self, site: u32) -> Option<f64> {
        self.stations.get(site as usize).filter(|(_, bins)| *bins > 0.0).map(|(share, _)| f64::from(*share))
    }

    /// Learns from the lower open bin.
    pub(crate) fn learn(&mut self, layout: &Layout, bins: &Bins, supply: f64) {
        if supply <= 0.0 {
            return;
        }
        self.stations.resize(layout.sites.len(), (0.0, 0.0));
        for (index, station) in layout.of_kind(SiteKind::Station) {
            if let Some(flow) = station_flow(layout, bins, station) {
                let (share, bins) = &mut self.stations[index as usize];
                *bins = (*bins + 1.0).min(SHARE_BINS);
                *share += ((flow / supply) as f32 - *share) / *bins;
            }
        }
    }
}

/// Temperature of water in a network that reports none: cold water, degC.
const PLAIN_CELSIUS: f64 = 10.0;

/// Mass flow of a signal, kg/s, from its mean and the temperature of the side where its meter sits.
fn mass_flow(layout: &Layout, bins: &Bins, site: &Site, role: Role) -> Option<f64> {
    let signal = site.signal(role)?;
    let mean = bins.mean(signal)?;
    let placed = layout.placed[signal as usize];
    if placed.is_mass {
        return Some(mean);
    }
    let side = placed.side.unwrap_or(if role == Role::ReturnFlow { Side::Return } else { Side::Supply });
    let role = match side {
        Side::Supply => Role::SupplyTemperature,
        Side::Return => Role::ReturnTemperature,
    };
    let celsius = match site.signal(role) {
        Some(signal) => bins.mean(signal)?,
        None if layout.is_plain_water() => PLAIN_CELSIUS,
        None => return None,
    };
    Some(mean * density_kg_m3(celsius))
}

pub(crate) fn temperature(bins: &Bins, site: &Site, role: Role) -> Option<f64> {
    site.signal(role).and_then(|signal| bins.mean(signal)).filter(|celsius| (1.0..=180.0).contains(celsius))
}

/// Sums over the sources; a sum over some of them is no sum.
#[derive(Debug, Default)]
struct Sources {
    count: u32,
    /// All supply flows are known.
    complete: bool,
    /// All temperatures are, too.
    warm: bool,
    supply: f64,
    back: f64,
    back_count: u32,
    supply_volume: f64,
    return_volume: f64,
    return_mass: f64,
}

impl Sources {
    fn take(&mut self, layout: &Layout, bins: &Bins, source: &Site, features: &mut Features) {
        let supply_celsius = temperature(bins, source, Role::SupplyTemperature);
        let return_celsius = temperature(bins, source, Role::ReturnTemperature);
        features.source_supply_celsius = features.source_supply_celsius.or(supply_celsius);
        features.source_return_celsius = features.source_return_celsius.or(return_celsius);
        let pressure = source.signal(Role::ReturnPressure).and_then(|signal| bins.mean(signal));
        features.hold_pa = features.hold_pa.or(pressure);
        features.has_return_meter |= source.signal(Role::ReturnFlow).is_some();
        self.count += 1;
        let Some(supply) = mass_flow(layout, bins, source, Role::SupplyFlow) else {
            self.complete = false;
            return;
        };
        self.supply += supply;
        // A return meter may be missing: what leaves comes back, but for the leak.
        let back = mass_flow(layout, bins, source, Role::ReturnFlow)
            .filter(|back| (back - supply).abs() < RETURN_MAX_DIFFERENCE * supply);
        self.back += back.unwrap_or(0.0);
        self.back_count += u32::from(back.is_some());
        let (Some(hot), Some(cold)) = (supply_celsius, return_celsius) else {
            self.warm = false;
            return;
        };
        self.supply_volume += supply / density_kg_m3(hot);
        self.return_mass += back.unwrap_or(supply);
        self.return_volume += back.unwrap_or(supply) / density_kg_m3(cold);
    }
}

/// What the sources' meters say of make-up. Metering is the least of all sources that feed: sums need one unit.
fn make_up_of_sources(layout: &Layout, bins: &Bins, features: &mut Features) {
    let fed = || layout.of_kind(SiteKind::Source).filter(|(_, s)| make_up::equipment(s) != Metering::Nothing);
    let best = fed().map(|(_, source)| make_up::equipment(source)).min().unwrap_or_default();
    if best == Metering::TankLevel && layout.stores_water() {
        return;
    }
    features.metering = best;
    let is_mass = features.metering.is_mass();
    features.make_up = fed()
        .filter(|(_, source)| make_up::equipment(source).is_mass() == is_mass)
        .map(|(_, source)| {
            let relief = if is_mass { make_up::relief(layout, bins, source) } else { 0.0 };
            make_up::shown(layout, bins, source).map(|shown| shown - relief)
        })
        .reduce(|a, b| Some(a? + b?))
        .flatten();
    if is_mass {
        // What tops a secondary up is metered there and is not lost here.
        let topped: f64 = layout
            .of_kind(SiteKind::Station)
            .filter(|(index, _)| layout.is_topped_up(*index))
            .filter_map(|(_, station)| make_up::secondary(layout, bins, station))
            .sum();
        features.make_up = features.make_up.map(|make_up| make_up - topped);
    }
}

pub(crate) fn features(layout: &Layout, bins: &Bins, shares: &Shares) -> Features {
    let mut features = Features::default();
    make_up_of_sources(layout, bins, &mut features);
    let mut sources = Sources { complete: true, warm: true, ..Sources::default() };
    for (_, source) in layout.of_kind(SiteKind::Source) {
        if source.signal(Role::SupplyFlow).is_some() {
            sources.take(layout, bins, source, &mut features);
        }
    }
    if sources.count == 0 || !sources.complete {
        return features;
    }
    features.inflow = Some(sources.supply);
    if sources.supply > 0.0 {
        features.supply = Some(sources.supply);
    }
    if sources.back_count == sources.count {
        features.back = Some(sources.back);
    }
    let stations = station_means(layout, bins, shares, sources.supply);
    features.stations = stations.flow;
    if let (true, Some((supply_density, return_density))) =
        (sources.warm && sources.supply_volume > 0.0, stations.densities)
    {
        features.contraction = Some([
            sources.supply - sources.supply_volume * supply_density,
            sources.return_volume * return_density - sources.return_mass,
        ]);
    }
    features
}

struct StationMeans {
    flow: Option<f64>,
    /// Flow-weighted densities at the stations, supply and return.
    densities: Option<(f64, f64)>,
}

fn station_flow(layout: &Layout, bins: &Bins, station: &Site) -> Option<f64> {
    let role = if station.signal(Role::SupplyFlow).is_some() { Role::SupplyFlow } else { Role::ReturnFlow };
    mass_flow(layout, bins, station, role).filter(|flow| *flow >= 0.0)
}

fn station_means(layout: &Layout, bins: &Bins, shares: &Shares, source: f64) -> StationMeans {
    let (mut metered, mut reporting) = (0_u32, 0_u32);
    let (mut flow_sum, mut filled, mut known) = (0.0, 0.0, true);
    let (mut weight, mut supply, mut back) = (0.0, 0.0, 0.0);
    for (index, station) in layout.of_kind(SiteKind::Station) {
        if station.signal(Role::SupplyFlow).or(station.signal(Role::ReturnFlow)).is_none() {
            continue;
        }
        metered += 1;
        let Some(flow) = station_flow(layout, bins, station) else {
            match shares.of(index) {
                Some(share) => filled += share * source,
                None => known = false,
            }
            continue;
        };
        flow_sum += flow;
        let (Some(hot), Some(cold)) = (
            temperature(bins, station, Role::SupplyTemperature),
            temperature(bins, station, Role::ReturnTemperature),
        ) else {
            continue;
        };
        reporting += 1;
        weight += flow;
        supply += flow * density_kg_m3(hot);
        back += flow * density_kg_m3(cold);
    }
    let enough =
        metered > 0 && f64::from(reporting) >= STATIONS_MIN_SHARE * f64::from(metered) && weight > 0.0;
    let sum = flow_sum + filled;
    StationMeans {
        // One station in fifty moves the sum by more than any leak: each one counts, reporting or as usual.
        flow: (metered > 0 && known && filled <= FILLED_MAX_SHARE * sum).then_some(sum),
        densities: enough.then(|| (supply / weight, back / weight)),
    }
}
