//! The sources: their meters against each other and against all stations, their supply against its target.
//!
//! What all stations share shows here: when the supply temperatures of half the stations do not follow the source's, the
//! source's sensor is wrong; when they do follow and the supply is off its target, the network is too cold or too hot.
//! A sum of flows off its balance may be a loss of water; that is the water balance's to tell.

use heat_hydraulics::water::{density_kg_m3, heat_capacity_j_kg_k};
use serde::{Deserialize, Serialize};

use super::{
    bank::{Bank, Instant, Instants, Limit, Limits},
    hypothesis::{CHANNELS, Rule, Want},
    meter::HeatMeter,
    relation::ACCEPT_BINS,
    rls::INPUTS,
    values::{Readings, Surround},
};

/// Supply temperature that has arrived at the stations against what should have, K.
const ARRIVED: usize = 0;
/// Logarithm of metered heat over flow and temperatures.
const POWER: usize = 1;
/// Logarithm of supply flow over the sum of the stations'.
const SUM: usize = 2;
/// Supply less return less make-up, as a share of supply.
const DIFFERENCE: usize = 3;
/// Pressures against those of the stations, 10 kPa.
const SUPPLY_PRESSURE: usize = 4;
const RETURN_PRESSURE: usize = 5;
/// Supply temperature less its target, K.
pub(super) const TARGET: usize = 6;
/// Return temperature against those of the stations, K.
const RETURN: usize = 7;
/// Relations of a source: one fewer than of a station.
const OWN: usize = 8;

const fn limit(what: &'static str, si: f64, unit: &'static str, floor: f64, smallest: f64) -> Limit {
    Limit { what, si, unit, floor, smallest }
}

/// A network is not too cold by less than an operator's hand and a controller's swing, 4.5 K; the rest as at stations.
pub(super) const LIMITS: Limits = [
    limit("arrived_temperature_off", 1.0, "K", 0.05, 0.6),
    limit("heat_meter_off", 1.0, "1", 0.003, 0.015),
    limit("supply_flow_against_stations_off", 1.0, "1", 0.003, 0.015),
    limit("supply_less_return_off", 1.0, "1", 0.0015, 0.012),
    limit("supply_pressure_off", 1e4, "Pa", 0.05, 0.5),
    limit("return_pressure_off", 1e4, "Pa", 0.05, 0.5),
    limit("supply_off_target", 1.0, "K", 0.3, 4.5),
    limit("return_temperature_off", 1.0, "K", 0.1, 0.8),
    limit("", 1.0, "1", 1.0, f64::INFINITY),
];

/// A supply that has missed its target for longer is how the network is run: by then what it did to the stations is their
/// new normal, and two days later all of them have come to it.
const OFF_TARGET_MAX: i64 = ACCEPT_BINS as i64 + 2 * 96;

/// What can be the matter with a source; the order is that of [`Source::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    SupplySensor,
    ReturnSensor,
    SupplyFlowSensor,
    ReturnFlowSensor,
    HeatMeter,
    SupplyPressureSensor,
    ReturnPressureSensor,
    TooCold,
    TooHot,
    /// Water is lost between source and stations, or drawn, or fed unmetered: not told here.
    Water,
    /// Supply and return sensors on each other's pipe, where the exchange itself was not seen.
    Swapped,
}

pub(super) const CAUSES: [Cause; 11] = [
    Cause::SupplySensor,
    Cause::ReturnSensor,
    Cause::SupplyFlowSensor,
    Cause::ReturnFlowSensor,
    Cause::HeatMeter,
    Cause::SupplyPressureSensor,
    Cause::ReturnPressureSensor,
    Cause::TooCold,
    Cause::TooHot,
    Cause::Water,
    Cause::Swapped,
];

/// What all stations say together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stations {
    /// Medians of the stations' deviations.
    pub(super) supply: Option<f64>,
    pub(super) supply_pressure: Option<f64>,
    pub(super) return_pressure: Option<f64>,
    /// Sum of flows, kg/s, those that are silent by their usual share.
    pub(super) flow: Option<f64>,
    /// Return temperature weighted by flow, degC.
    pub(super) back: Option<f64>,
    /// Density weighted by flow, of what arrives and of what leaves, kg/m3.
    pub(super) densities: Option<(f64, f64)>,
}

/// Quarter hours for which the stations' return is kept: the way back takes hours in a large network.
const WAYS: usize = 17;
/// Quarter hours before at which it is looked at.
const LOOKS: [usize; 5] = [1, 2, 4, 8, 16];

/// What the stations' return was, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct WayBack {
    celsius: Vec<f64>,
    bin: i64,
}

impl WayBack {
    /// Takes the newest value; how much it was off before, in 5 K, at [`LOOKS`].
    fn take(&mut self, bin: i64, celsius: f64) -> [f64; LOOKS.len()] {
        let passed = usize::try_from(bin - self.bin).unwrap_or(WAYS).clamp(1, WAYS);
        self.bin = bin;
        self.celsius.resize(WAYS, celsius);
        self.celsius.rotate_right(passed);
        self.celsius[..passed].fill(celsius);
        LOOKS.map(|ago| (self.celsius[ago] - celsius) / 5.0)
    }
}

/// What the sources' plant feeds and lets go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fed {
    /// Metered make-up, kg/s.
    pub(super) make_up: Option<f64>,
    /// Metered relief, kg/s; `None` where none is metered.
    pub(super) relief: Option<f64>,
}

impl Fed {
    /// Net feed, kg/s. Water that expands leaves unmetered where no relief is metered: while nothing is fed, what the
    /// temperatures say of it stands in.
    fn net(self, uptake: Option<f64>, supply: f64) -> f64 {
        let fed = self.make_up.unwrap_or(0.0);
        match self.relief {
            Some(relief) => fed - relief,
            None if fed < STANDS_STILL_SHARE * supply => fed + uptake.unwrap_or(0.0).min(0.0),
            None => fed,
        }
    }
}

/// Make-up below this share of the supply stands still.
const STANDS_STILL_SHARE: f64 = 2e-4;

/// Mass that the water in the pipes takes up as it contracts, kg/s; negative while it expands.
fn uptake(own: &Readings, stations: &Stations) -> Option<f64> {
    let (arriving, leaving) = stations.densities?;
    let (hot, cold) = (density_kg_m3(own.supply?), density_kg_m3(own.back?));
    let flow = own.flow?;
    Some(flow * (1.0 - arriving / hot) + own.return_flow.unwrap_or(flow) * (leaving / cold - 1.0))
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) bank: Bank,
    cooling: f64,
    /// Whether its heat is reckoned with the flow of its supply, for the return's is not metered.
    by_supply: bool,
    meter: HeatMeter,
    way_back: WayBack,
    pub(super) said: Option<super::say::Said>,
    off_target_since: Option<i64>,
}

impl Source {
    pub(super) fn instants(
        &mut self,
        surround: &Surround,
        own: &Readings,
        fed: Fed,
        stations: &Stations,
    ) -> Instants {
        let constant = {
            let mut inputs = [0.0; INPUTS];
            inputs[0] = 1.0;
            inputs
        };
        let with = |more: &[f64]| {
            let mut inputs = constant;
            inputs[1..=more.len()].copy_from_slice(more);
            inputs
        };
        let mut instants: Instants = [None; CHANNELS];
        let mut set = |channel: usize, target: Option<f64>, inputs| {
            instants[channel] = target.map(|target| Instant { inputs, target });
        };
        // Where the source's own is missing, the stations were held against their median.
        set(ARRIVED, stations.supply.filter(|_| !surround.by_peers), constant);
        let heat = own.supply.zip(own.back).and_then(|(hot, cold)| {
            let flow = own.heat_flow?;
            (hot - cold > 3.0 && flow > 0.0)
                .then(|| flow * heat_capacity_j_kg_k(f64::midpoint(hot, cold)) * (hot - cold))
        });
        set(POWER, self.meter.off(surround.bin, own, heat), constant);
        let share = surround.circulation.unwrap_or(1.0);
        set(
            SUM,
            own.flow.zip(stations.flow).map(|(source, sum)| (source / sum).ln()),
            with(&[1.0 / share.max(0.1) - 1.0]),
        );
        let net = own.flow.map_or(0.0, |supply| fed.net(uptake(own, stations), supply));
        let difference = own.flow.zip(own.return_flow).map(|(supply, back)| (supply - back - net) / supply);
        set(DIFFERENCE, difference, constant);
        set(SUPPLY_PRESSURE, stations.supply_pressure.map(|shared| -shared), constant);
        set(RETURN_PRESSURE, stations.return_pressure.map(|shared| -shared), constant);
        if own.has_set_point {
            set(TARGET, own.supply.zip(own.set_point).map(|(is, should)| is - should), constant);
        } else if let Some((now, walls)) = surround.outdoor {
            // Without its set point, the weather compensation that this source was seen to follow.
            let (cos, sin) = (surround.angle.cos(), surround.angle.sin());
            set(TARGET, own.supply, with(&[walls / 10.0, now / 10.0, cos, sin]));
        }
        if let Some(back) = stations.back {
            let before = self.way_back.take(surround.bin, back);
            let slowness = 1.0 / share.max(0.1) - 1.0;
            set(
                RETURN,
                own.back.map(|own| own - back),
                with(&[before[0], before[1], before[2], before[3], before[4], slowness]),
            );
        }
        self.by_supply = !own.has_return_flow;
        if let (Some(hot), Some(cold)) = (own.supply, own.back) {
            self.cooling = hot - cold;
        }
        instants
    }

    /// Whether the source's heat is metered and known to agree with flow and temperatures.
    pub(super) fn has_heat_meter(&self, bin: i64) -> bool {
        self.bank.is_current(POWER, bin)
    }

    /// Whether its own heat meter tells an error of its supply's flow meter from one of another source's.
    pub(super) fn knows_its_flow(&self, bin: i64) -> bool {
        self.by_supply && self.has_heat_meter(bin)
    }

    /// Whether the supply is far from its target, so that stations show no fault of their own; not for longer than
    /// [`OFF_TARGET_MAX`].
    pub(super) fn is_off_target(&self, bin: i64) -> bool {
        self.misses_target(bin) && self.off_target_since.is_none_or(|since| bin - since <= OFF_TARGET_MAX)
    }

    fn misses_target(&self, bin: i64) -> bool {
        self.bank.is_current(TARGET, bin) && self.bank.off_by(TARGET).abs() > LIMITS[TARGET].smallest
    }

    /// Notes since when the supply has missed its target, once a quarter hour.
    pub(super) fn note_target(&mut self, bin: i64) {
        self.off_target_since = self.misses_target(bin).then(|| self.off_target_since.unwrap_or(bin));
    }

    /// What each cause does to the relations, in the order of [`CAUSES`].
    pub(super) fn rules(&self) -> [Rule; CAUSES.len()] {
        let per_kelvin = 1.0 / self.cooling.max(5.0);
        let is_crossed = self.cooling < 0.0;
        CAUSES.map(|cause| rule(cause, per_kelvin, is_crossed, self.by_supply))
    }
}

/// `is_crossed`: the return reads more than the supply. `by_supply`: see [`Source`].
fn rule(cause: Cause, per_kelvin: f64, is_crossed: bool, by_supply: bool) -> Rule {
    use Want::{Above, Any, Below, May, Per, Zero};
    let own: [Want; OWN] = match cause {
        Cause::SupplySensor => [Per(-1.0), Per(-per_kelvin), Zero, Zero, Zero, Zero, Per(1.0), Zero],
        Cause::ReturnSensor => [Zero, Per(per_kelvin), Zero, Zero, Zero, Zero, Zero, Per(1.0)],
        Cause::SupplyFlowSensor if by_supply => [Zero, Per(-1.0), Per(1.0), Per(1.0), Zero, Zero, Zero, Zero],
        Cause::SupplyFlowSensor => [Zero, Zero, Per(1.0), Per(1.0), Zero, Zero, Zero, Zero],
        Cause::ReturnFlowSensor => [Zero, Per(-1.0), Zero, Per(-1.0), Zero, Zero, Zero, Zero],
        Cause::HeatMeter => [Zero, Per(1.0), Zero, Zero, Zero, Zero, Zero, Zero],
        Cause::SupplyPressureSensor => [Zero, Zero, Zero, Zero, Per(1.0), Zero, Zero, Zero],
        Cause::ReturnPressureSensor => [Zero, Zero, Zero, Zero, Zero, Per(1.0), Zero, Zero],
        // Every valve opens or closes: flows and the heads that they cost leave what was learned.
        Cause::TooCold => [Any, Any, Any, Any, May, May, Below, Any],
        Cause::TooHot => [Any, Any, Any, Any, May, May, Above, Any],
        Cause::Water => [Zero, Zero, Any, Any, Any, Any, Zero, Zero],
        // What arrives is held against the wrong supply, and meters of volume take the wrong density.
        Cause::Swapped if is_crossed => [Any, Any, Any, Any, Zero, Zero, Per(-1.0), Per(1.0)],
        Cause::Swapped => [Zero; OWN],
    };
    let mut wants = [Zero; CHANNELS];
    wants[..OWN].copy_from_slice(&own);
    let is_sensor = !matches!(cause, Cause::TooCold | Cause::TooHot | Cause::Water);
    Rule { wants, sign: (cause == Cause::Swapped).then_some(1.0), is_sensor, rare: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thermal::hypothesis::{Deviations, rank};

    fn named(values: [f64; OWN]) -> Cause {
        let sigmas = [0.1, 0.004, 0.004, 0.002, 0.08, 0.08, 0.6, 0.3];
        let mut seen: Deviations = [None; CHANNELS];
        for (index, (value, sigma)) in values.into_iter().zip(sigmas).enumerate() {
            seen[index] = Some((value, sigma));
        }
        let is_crossed = values[TARGET] < -20.0;
        let rules = CAUSES.map(|cause| rule(cause, 1.0 / 35.0, is_crossed, false));
        CAUSES[rank(&rules, &seen).unwrap().0.rule]
    }

    #[test]
    fn a_cold_network_is_told_from_a_cold_reading_by_what_arrives() {
        assert_eq!(named([0.4, 0.0, 0.0, 0.0, 0.0, 0.0, -9.0, -0.5]), Cause::TooCold);
        assert_eq!(named([4.0, 0.11, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0]), Cause::SupplySensor);
    }

    #[test]
    fn a_cold_network_whose_stations_draw_more_than_was_ever_seen_is_not_taken_for_a_pressure_sensor() {
        assert_eq!(named([0.4, 0.0, 0.01, 0.0, 0.9, -0.7, -10.0, -0.5]), Cause::TooCold);
        assert_eq!(named([0.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0]), Cause::SupplyPressureSensor);
    }

    #[test]
    fn a_supply_that_reads_the_return_is_told_from_a_cold_network_by_the_return() {
        assert_eq!(named([20.0, 0.0, 0.01, 0.01, 0.0, 0.0, -31.9, 31.5]), Cause::Swapped);
        assert_eq!(named([0.4, 0.0, 0.0, 0.0, 0.0, 0.0, -31.9, -0.5]), Cause::TooCold);
    }

    #[test]
    fn the_meters_of_the_big_flows_are_told_apart_and_from_a_loss() {
        assert_eq!(named([0.0, 0.0, 0.04, 0.04, 0.0, 0.0, 0.0, 0.0]), Cause::SupplyFlowSensor);
        assert_eq!(named([0.0, 0.05, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0]), Cause::ReturnFlowSensor);
        assert_eq!(named([0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0]), Cause::Water);
    }
}
