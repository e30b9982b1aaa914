//! Pairs of sensors on the wrong pipes, or wired to each other's input.
//!
//! A return warmer than its supply is no proof: a primary at rest cools below its return, a bypass warms it. Three things
//! tell an exchange. Both took the other's level within one step between readings ([`Crossing::step`]), which no plant
//! does: where the supply falls, the return does not rise to where the supply was. Or the return reads what the network's
//! supply should read here (a source's: its set point, or what its stations receive). Or, of a secondary, its return has
//! been the warmer one while its station delivers heat.
//!
//! While a source's pair is under suspicion its temperatures are left out of everything: what follows them would blame the
//! plant or the stations for what is two wires. Needs no past. It is over when the supply has been the warmer one for as long as it took to tell.

use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use super::{
    BIN_US, Fault, Layout, PEERS_MIN, Quality, Role, Statement, Station, Thermal, median_of, say, say::Said,
};
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
/// Longest time between the two readings of an exchange, quarter hours; and with one between them that is a mean of both
/// sides of the exchange, as fast scans give.
const STEP_BINS_MAX: i64 = 10;
const THROUGH_BINS_MAX: i64 = 3;

/// Supply and return of a circuit, by how they stand to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crossing {
    bin: i64,
    hot: f64,
    cold: f64,
    /// The reading before, with its quarter hour.
    older: (i64, f64, f64),
    /// Readings for which the return has been warmer, or, of a pair that is told, the supply.
    count: u8,
    /// Whether it began with an exchange.
    exchanged: bool,
}

impl Crossing {
    /// Takes a reading of both; whether they exchanged their levels since the last one.
    fn step(&mut self, bin: i64, hot: f64, cold: f64) -> bool {
        let newest = (self.bin, self.hot, self.cold);
        let before = std::mem::replace(self, Self { bin, hot, cold, older: newest, ..*self });
        if bin - before.bin > STEP_BINS_MAX {
            self.begin();
            return false;
        }
        let (older_bin, older_hot, older_cold) = before.older;
        is_exchanged((before.hot, before.cold), (hot, cold))
            || (bin - older_bin <= THROUGH_BINS_MAX && is_exchanged((older_hot, older_cold), (hot, cold)))
    }

    /// Counts the readings for which something has held; whether it has for long enough.
    fn holds(&mut self, it_does: bool) -> bool {
        self.count = if it_does { self.count.saturating_add(1) } else { 0 };
        self.count >= CROSSED_BINS
    }

    /// Whether a pair that nothing is said of looks swapped by now, however short.
    pub(super) const fn is_suspect(&self) -> bool {
        self.count > 0
    }

    fn begin(&mut self) {
        (self.count, self.exchanged) = (0, false);
    }
}

/// Whether each took the other's level: (supply, return) before and after.
fn is_exchanged(before: (f64, f64), after: (f64, f64)) -> bool {
    let apart = before.0 - before.1;
    let near = (EXCHANGED_SHARE * apart.abs()).max(EXCHANGED_NEAR_KELVIN);
    apart >= EXCHANGED_KELVIN
        && after.1 - after.0 >= EXCHANGED_KELVIN
        && (after.1 - before.0).abs() <= near
        && (after.0 - before.1).abs() <= near
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
    /// Pairs of sensors on the wrong pipes. Gives the sources whose pair is under suspicion.
    pub(super) fn find_swapped(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        quality: &mut Quality,
        said: &mut Vec<Statement>,
    ) -> Vec<u32> {
        let (mut doubted, mut mended) = (Vec::new(), Vec::new());
        let at_stations = median_of(
            layout.of_kind(SiteKind::Station).filter_map(|(_, site)| {
                site.signal(PAIRS[0].0)
                    .filter(|signal| quality.is_trusted(*signal))
                    .and_then(|s| bins.measured(s))
            }),
            PEERS_MIN,
        );
        for (index, crossings) in &mut self.crossed {
            if quality.is_frozen(*index) {
                continue;
            }
            let site = &layout.sites[*index as usize];
            let read = |role: Role| site.signal(role).and_then(|signal| bins.measured(signal));
            let cooling = read(PAIRS[0].0).zip(read(PAIRS[0].1)).map(|(hot, cold)| hot - cold);
            let is_source = site.kind == SiteKind::Source;
            let known = self.stations.binary_search_by_key(index, |(site, _)| *site).ok();
            let station = known.map(|at| &self.stations[at].1);
            let (delivers, arrives) = if is_source {
                let flow = read(Role::SupplyFlow).or_else(|| read(Role::ReturnFlow));
                (flow.is_some_and(|flow| flow > 0.0), read(Role::SetPointTemperature).or(at_stations))
            } else {
                (station.is_some_and(|station| station.delivers), station.and_then(Station::arrived))
            };
            for (circuit, (pair, crossing)) in PAIRS.into_iter().zip(crossings).enumerate() {
                let signals = site.signal(pair.0).zip(site.signal(pair.1));
                let (Some((supply, back)), Some((hot, cold))) = (signals, read(pair.0).zip(read(pair.1)))
                else {
                    continue;
                };
                let is_primary = circuit == 0;
                let beside = Beside {
                    delivers,
                    arrives: arrives.filter(|_| is_primary),
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
                if is_source && is_primary && !is_told && crossing.is_suspect() {
                    doubted.push(*index);
                }
                if changes {
                    crossing.begin();
                    let pair = Pair { site: *index, supply, back, hot, cold };
                    if is_told {
                        mended.push(*index);
                        said.extend(pair.over(bin, quality));
                    } else {
                        said.extend(pair.told(bin, quality));
                    }
                }
            }
        }
        for site in mended {
            match self.station_mut(site) {
                Some(station) => station.bank.dismiss(),
                None => self.source.bank.dismiss(),
            }
        }
        doubted
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
    fn an_exchange_within_a_quarter_hour_is_seen_through_its_mean() {
        for part in [0.1, 0.4, 0.5, 0.6, 0.9] {
            let mixed = (80.0 - 38.0 * part, 42.0 + 38.0 * part);
            let mut crossing = Crossing::default();
            let readings = [(80.0, 42.0), (80.0, 42.0), mixed, (42.0, 80.0), (42.0, 80.0), (42.0, 80.0)];
            let told = readings
                .into_iter()
                .zip(1_i64..)
                .any(|((hot, cold), bin)| crossing.is_swapped(bin, hot, cold, ALONE));
            assert!(told, "{part}");
        }
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
