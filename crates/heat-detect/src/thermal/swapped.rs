//! Pairs of sensors on the wrong pipes, or wired to each other's input.
//!
//! A return warmer than its supply is no proof: a primary at rest cools below its return, a bypass warms it. Three things
//! tell an exchange. Both took the other's level within one step between readings ([`Crossing::step`]), which no plant
//! does: where the supply falls, the return does not rise to where the supply was. Or the return reads what the network's
//! supply should read here. Or, of a secondary, its return has been the warmer one while its station delivers heat.
//!
//! Needs no past. It is over when the supply has been the warmer one for as long as it took to tell.

use serde::{Deserialize, Serialize};

use super::{BIN_US, Fault, Layout, Quality, Role, Statement, Thermal, say, say::Said};
use crate::{bins::Bins, network::statements::Fact};

/// Readings for which the return must be warmer.
const CROSSED_BINS: u8 = 3;
/// By how much, K: without any other sign, and where both took the other's level at once.
const CROSSED_KELVIN: f64 = 3.0;
const EXCHANGED_KELVIN: f64 = 2.0;
/// The return reads what should have arrived to within so much, K.
const NEAR_KELVIN: f64 = 6.0;
/// Each takes the other's level to within this share of what they differed by, or so much, K.
const EXCHANGED_SHARE: f64 = 0.35;
const EXCHANGED_NEAR_KELVIN: f64 = 1.0;
/// A station whose primary is cooled by so much delivers heat, K.
const COOLS_KELVIN: f64 = 8.0;
/// Longest time between the two readings of an exchange, quarter hours.
const STEP_BINS_MAX: i64 = 10;

/// Supply and return of a circuit, by how they stand to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crossing {
    bin: i64,
    hot: f64,
    cold: f64,
    /// Readings for which the return has been warmer, or, of a pair that is told, the supply.
    count: u8,
    /// Whether it began with an exchange.
    exchanged: bool,
}

impl Crossing {
    /// Takes a reading of both; whether they exchanged their levels since the last one.
    fn step(&mut self, bin: i64, hot: f64, cold: f64) -> bool {
        let before = std::mem::replace(self, Self { bin, hot, cold, ..*self });
        if bin - before.bin > STEP_BINS_MAX {
            self.begin();
            return false;
        }
        let apart = before.hot - before.cold;
        let near = (EXCHANGED_SHARE * apart.abs()).max(EXCHANGED_NEAR_KELVIN);
        apart >= EXCHANGED_KELVIN
            && cold - hot >= EXCHANGED_KELVIN
            && (cold - before.hot).abs() <= near
            && (hot - before.cold).abs() <= near
    }

    /// Counts the readings for which something has held; whether it has for long enough.
    fn holds(&mut self, it_does: bool) -> bool {
        self.count = if it_does { self.count.saturating_add(1) } else { 0 };
        self.count >= CROSSED_BINS
    }

    fn begin(&mut self) {
        (self.count, self.exchanged) = (0, false);
    }
}

/// What else is known of the station whose pair it is.
#[derive(Debug, Clone, Copy)]
struct Beside {
    delivers: bool,
    /// What its supply should read.
    arrives: Option<f64>,
    /// Difference of the primary's temperatures, for its secondary.
    cooling: Option<f64>,
}

impl Crossing {
    /// Takes a reading of a pair that nothing is said of; whether it is swapped.
    fn is_swapped(&mut self, bin: i64, hot: f64, cold: f64, beside: Beside) -> bool {
        self.exchanged |= self.step(bin, hot, cold);
        let arrived = beside.delivers
            && beside.arrives.is_some_and(|arrives| (cold - arrives).abs() < NEAR_KELVIN)
            && cold - hot > CROSSED_KELVIN;
        let cools =
            beside.cooling.is_some_and(|cooling| cooling.abs() > COOLS_KELVIN) && cold - hot > CROSSED_KELVIN;
        let holds = self.holds(arrived || cools || (self.exchanged && cold - hot > EXCHANGED_KELVIN));
        self.exchanged &= self.count > 0;
        holds
    }
}

/// Supply and return of both circuits.
const PAIRS: [(Role, Role); 2] = [
    (Role::SupplyTemperature, Role::ReturnTemperature),
    (Role::SecondarySupplyTemperature, Role::SecondaryReturnTemperature),
];

impl Thermal {
    /// Pairs of sensors on the wrong pipes.
    pub(super) fn find_swapped(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        quality: &mut Quality,
        said: &mut Vec<Statement>,
    ) {
        for ((index, station), crossings) in self.stations.iter().zip(&mut self.crossed) {
            if quality.is_frozen(*index) {
                continue;
            }
            let site = &layout.sites[*index as usize];
            let read = |role: Role| site.signal(role).and_then(|signal| bins.measured(signal));
            let cooling = read(PAIRS[0].0).zip(read(PAIRS[0].1)).map(|(hot, cold)| hot - cold);
            for (circuit, (pair, crossing)) in PAIRS.into_iter().zip(crossings).enumerate() {
                let signals = site.signal(pair.0).zip(site.signal(pair.1));
                let (Some((supply, back)), Some((hot, cold))) = (signals, read(pair.0).zip(read(pair.1)))
                else {
                    continue;
                };
                let is_primary = circuit == 0;
                let beside = Beside {
                    delivers: station.delivers,
                    arrives: station.arrived().filter(|_| is_primary),
                    cooling: cooling.filter(|_| !is_primary),
                };
                let is_told = quality.fault(supply) == Some(Fault::Swapped);
                if !is_told && quality.fault(supply).is_some() {
                    continue;
                }
                let changes = if is_told {
                    crossing.step(bin, hot, cold);
                    crossing.holds(hot > cold)
                } else {
                    crossing.is_swapped(bin, hot, cold, beside)
                };
                if changes {
                    crossing.begin();
                    let pair = Pair { site: *index, supply, back, hot, cold };
                    said.extend(if is_told { pair.over(bin, quality) } else { pair.told(bin, quality) });
                }
            }
        }
    }
}

/// A pair whose state changes.
#[derive(Debug, Clone, Copy)]
struct Pair {
    site: u32,
    supply: u32,
    back: u32,
    hot: f64,
    cold: f64,
}

impl Pair {
    fn told(self, bin: i64, quality: &mut Quality) -> Option<Statement> {
        let at_us = (bin + 1) * BIN_US;
        quality.opens(self.supply, Fault::Swapped, at_us)?;
        quality.opens(self.back, Fault::Swapped, at_us);
        let onset_us = at_us - i64::from(CROSSED_BINS) * BIN_US;
        let mut statement =
            say::statement(Said::Sensor(self.supply, Fault::Swapped), self.site, onset_us, true);
        let fact = |signal, what, value| Fact { signal: Some(signal), what, value, unit: "degC" };
        statement.facts =
            vec![fact(self.supply, "supply_reads", self.hot), fact(self.back, "return_reads", self.cold)];
        statement.strength = self.cold - self.hot;
        Some(statement)
    }

    fn over(self, bin: i64, quality: &mut Quality) -> Option<Statement> {
        quality.closes(self.supply);
        quality.closes_if(self.back, Fault::Swapped);
        let at_us = (bin + 1) * BIN_US;
        Some(say::statement(Said::Sensor(self.supply, Fault::Swapped), self.site, at_us, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Beside = Beside { delivers: true, arrives: None, cooling: None };

    fn told_after(readings: &[(f64, f64)], beside: Beside) -> Option<usize> {
        let mut crossing = Crossing::default();
        readings
            .iter()
            .zip(1_i64..)
            .position(|((hot, cold), hour)| crossing.is_swapped(4 * hour, *hot, *cold, beside))
    }

    #[test]
    fn a_pair_that_takes_each_others_levels_at_once_is_swapped_whatever_else_is_known() {
        let primary = [(80.0, 41.0), (79.0, 41.0), (42.0, 77.0), (42.0, 78.0), (43.0, 79.0)];
        assert_eq!(told_after(&primary, ALONE), Some(4));
        let secondary = [(46.0, 40.0), (46.0, 40.5), (40.0, 45.8), (40.2, 45.0), (40.1, 45.2)];
        assert_eq!(told_after(&secondary, ALONE), Some(4));
    }

    #[test]
    fn a_supply_that_cools_below_its_return_is_at_rest_and_not_swapped() {
        let rests = [(80.0, 41.0), (60.0, 40.0), (40.0, 38.0), (30.0, 36.0), (28.0, 35.0), (27.0, 34.0)];
        assert_eq!(told_after(&rests, ALONE), None);
    }

    #[test]
    fn a_secondary_return_that_is_warmer_while_heat_is_taken_is_swapped_from_the_start() {
        let readings = [(40.0, 46.0); 4];
        assert_eq!(told_after(&readings, ALONE), None);
        assert_eq!(told_after(&readings, Beside { cooling: Some(30.0), ..ALONE }), Some(2));
        assert_eq!(told_after(&readings, Beside { cooling: Some(2.0), ..ALONE }), None);
    }
}
