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

use crate::{
    bins::{BIN_SECONDS, Bins},
    layout::{Layout, Role, Site},
};

/// Temperature assumed for make-up water without a sensor, degC; 10 K are 0.2 % of its density.
const MAKE_UP_CELSIUS: f64 = 15.0;
/// Stations that must report temperatures, as a share of those that have a flow, for a weighted mean.
const STATIONS_MIN_SHARE: f64 = 0.5;

/// A return flow further from the supply flow than this share is a meter's fault, or a burst, which is not judged here.
const RETURN_MAX_DIFFERENCE: f64 = 0.25;

/// One quarter hour's water.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Features {
    /// Make-up, kg/s.
    pub(crate) make_up: Option<f64>,
    /// Supply flow of all sources, kg/s.
    pub(crate) supply: Option<f64>,
    /// Return flow of all sources, kg/s.
    pub(crate) back: Option<f64>,
    /// Flow of all stations, kg/s; only where nearly all report.
    pub(crate) stations: Option<f64>,
    /// Mass that thermal contraction takes up, kg/s.
    pub(crate) contraction: Option<f64>,
    /// Source temperatures, for where stations have none.
    pub(crate) source_supply_celsius: Option<f64>,
    pub(crate) source_return_celsius: Option<f64>,
}

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
    let celsius = site.signal(role).and_then(|signal| bins.mean(signal))?;
    Some(mean * density_kg_m3(celsius))
}

fn temperature(bins: &Bins, site: &Site, role: Role) -> Option<f64> {
    site.signal(role).and_then(|signal| bins.mean(signal)).filter(|celsius| (1.0..=180.0).contains(celsius))
}

/// Make-up of a site from its meters or its counter, kg/s.
fn make_up(layout: &Layout, bins: &Bins, site: &Site) -> Option<f64> {
    let celsius = temperature(bins, site, Role::MakeUpTemperature).unwrap_or(MAKE_UP_CELSIUS);
    let density = density_kg_m3(celsius);
    let metered = site
        .signal(Role::MakeUpFlow)
        .into_iter()
        .chain(site.more_make_up.iter().copied())
        .map(|signal| {
            bins.mean(signal)
                .map(|mean| if layout.placed[signal as usize].is_mass { mean } else { mean * density })
        })
        .reduce(|a, b| Some(a? + b?))
        .flatten();
    metered.or_else(|| {
        let volume_m3 = bins.sum(site.signal(Role::MakeUpVolume)?)?;
        Some(volume_m3 * density / BIN_SECONDS as f64)
    })
}

pub(crate) fn features(layout: &Layout, bins: &Bins) -> Features {
    let mut features = Features::default();
    let add = |sum: &mut Option<f64>, value: f64| *sum = Some(sum.unwrap_or(0.0) + value);

    let (mut supply_density_flow, mut return_density_flow) = (0.0, 0.0);
    let (mut supply_volume, mut return_volume) = (0.0, 0.0);
    let mut complete = true;
    for (_, source) in layout.of_kind(SiteKind::Source) {
        if let Some(flow) = make_up(layout, bins, source) {
            add(&mut features.make_up, flow);
        } else if source.signal(Role::MakeUpFlow).or(source.signal(Role::MakeUpVolume)).is_some() {
            complete = false;
        }
        if source.signal(Role::SupplyFlow).is_none() {
            continue;
        }
        let supply_celsius = temperature(bins, source, Role::SupplyTemperature);
        let return_celsius = temperature(bins, source, Role::ReturnTemperature);
        features.source_supply_celsius = features.source_supply_celsius.or(supply_celsius);
        features.source_return_celsius = features.source_return_celsius.or(return_celsius);
        match (mass_flow(layout, bins, source, Role::SupplyFlow), supply_celsius) {
            (Some(flow), Some(celsius)) => {
                add(&mut features.supply, flow);
                supply_density_flow += flow;
                supply_volume += flow / density_kg_m3(celsius);
            }
            _ => complete = false,
        }
        // A return meter may be missing: what leaves comes back, but for the leak.
        let own = features.supply.filter(|_| complete);
        let back = mass_flow(layout, bins, source, Role::ReturnFlow)
            .filter(|back| own.is_none_or(|supply| (back - supply).abs() < RETURN_MAX_DIFFERENCE * supply));
        if let Some(flow) = back {
            add(&mut features.back, flow);
        }
        match (back.or(features.supply), return_celsius) {
            (Some(flow), Some(celsius)) => {
                return_density_flow += flow;
                return_volume += flow / density_kg_m3(celsius);
            }
            _ => complete = false,
        }
    }
    if !complete {
        // A sum over some of the sources is no sum.
        let sources = layout.of_kind(SiteKind::Source).count();
        if sources > 1 {
            return Features::default();
        }
    }

    let stations = station_means(layout, bins);
    features.stations = stations.flow;
    if let (true, Some((supply_density, return_density))) =
        (complete && supply_volume > 0.0, stations.densities)
    {
        features.contraction = Some(
            supply_density_flow - supply_volume * supply_density + return_volume * return_density
                - return_density_flow,
        );
    }
    features
}

struct StationMeans {
    flow: Option<f64>,
    /// Flow-weighted densities at the stations, supply and return.
    densities: Option<(f64, f64)>,
}

fn station_means(layout: &Layout, bins: &Bins) -> StationMeans {
    let (mut metered, mut reporting) = (0_u32, 0_u32);
    let (mut flow_sum, mut weight, mut supply, mut back) = (0.0, 0.0, 0.0, 0.0);
    for (_, station) in layout.of_kind(SiteKind::Station) {
        let role = if station.signal(Role::SupplyFlow).is_some() {
            Role::SupplyFlow
        } else if station.signal(Role::ReturnFlow).is_some() {
            Role::ReturnFlow
        } else {
            continue;
        };
        metered += 1;
        let Some(flow) = mass_flow(layout, bins, station, role).filter(|flow| *flow >= 0.0) else { continue };
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
    StationMeans {
        // One missing station in fifty moves the sum by more than any leak: only the complete sum is a witness.
        flow: (metered > 0 && reporting == metered).then_some(flow_sum),
        densities: enough.then(|| (supply / weight, back / weight)),
    }
}
