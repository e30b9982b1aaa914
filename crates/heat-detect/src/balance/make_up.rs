//! Make-up of one source from what there is to tell it: meters, a counter, the pump's run-time, the tank's level.
//!
//! A counter counts in steps of up to 1 m3 and a pump fills in batches: [`super::batches`] spreads both over the time
//! that they stand for. Run-time and level know no kg/s; their account is in units of its own, and what it says is a
//! multiple of what is lost all the time.

use heat_hydraulics::water::density_kg_m3;
use serde::{Deserialize, Serialize};

use super::features::temperature;
use crate::{
    bins::{BIN_SECONDS, Bins},
    layout::{Layout, Role, Site},
};

/// Temperature assumed for make-up water without a sensor, degC; 10 K are 0.2 % of its density.
const MAKE_UP_CELSIUS: f64 = 15.0;

/// What tells the make-up, best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Metering {
    /// Flow meters, kg/s.
    Meter,
    /// A counter of volume, kg/s.
    Counter,
    /// Share of the time in which the make-up pump runs.
    RunTime,
    /// Fall of the make-up tank's level, m per quarter hour.
    TankLevel,
    /// Nothing.
    #[default]
    Nothing,
}

impl Metering {
    /// Whether its values are kg/s.
    pub(crate) const fn is_mass(self) -> bool {
        matches!(self, Self::Meter | Self::Counter)
    }
}

/// Best metering that a site is equipped with.
pub(crate) fn equipment(site: &Site) -> Metering {
    let has = |role| site.signal(role).is_some();
    if has(Role::MakeUpFlow) {
        Metering::Meter
    } else if has(Role::MakeUpVolume) {
        Metering::Counter
    } else if has(Role::MakeUpPumpRunning) {
        Metering::RunTime
    } else if has(Role::MakeUpTankLevel) {
        Metering::TankLevel
    } else {
        Metering::Nothing
    }
}

/// What a site's metering shows in the lower open bin: kg/s, share of the time, or the tank's level in m.
pub(crate) fn shown(layout: &Layout, bins: &Bins, site: &Site) -> Option<f64> {
    let celsius = temperature(bins, site, Role::MakeUpTemperature).unwrap_or(MAKE_UP_CELSIUS);
    let density = density_kg_m3(celsius);
    match equipment(site) {
        Metering::Meter => site
            .signal(Role::MakeUpFlow)
            .into_iter()
            .chain(site.more_make_up.iter().copied())
            .map(|signal| mass(layout, bins, signal, density))
            .reduce(|a, b| Some(a? + b?))
            .flatten(),
        Metering::Counter => Some(bins.sum(site.signal(Role::MakeUpVolume)?)? * density / BIN_SECONDS as f64),
        Metering::RunTime => {
            bins.mean(site.signal(Role::MakeUpPumpRunning)?).map(|share| share.clamp(0.0, 1.0))
        }
        Metering::TankLevel => bins.mean(site.signal(Role::MakeUpTankLevel)?),
        Metering::Nothing => None,
    }
}

/// What the relief valve lets out, kg/s; 0 without a meter.
pub(crate) fn relief(layout: &Layout, bins: &Bins, site: &Site) -> f64 {
    let celsius = temperature(bins, site, Role::ReturnTemperature).unwrap_or(45.0);
    site.signal(Role::ReliefFlow)
        .and_then(|signal| mass(layout, bins, signal, density_kg_m3(celsius)))
        .map_or(0.0, |flow| flow.max(0.0))
}

/// What a station's secondary is fed with, kg/s.
pub(crate) fn secondary(layout: &Layout, bins: &Bins, site: &Site) -> Option<f64> {
    let density = density_kg_m3(MAKE_UP_CELSIUS);
    match (site.signal(Role::SecondaryMakeUpFlow), site.signal(Role::SecondaryMakeUpVolume)) {
        (Some(signal), _) => mass(layout, bins, signal, density),
        (None, Some(signal)) => Some(bins.sum(signal)? * density / BIN_SECONDS as f64),
        (None, None) => None,
    }
}

fn mass(layout: &Layout, bins: &Bins, signal: u32, density: f64) -> Option<f64> {
    let mean = bins.mean(signal)?;
    Some(if layout.placed[signal as usize].is_mass { mean } else { mean * density })
}
