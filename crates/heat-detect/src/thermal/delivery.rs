//! Whether a station delivers heat, and how much by its counter.
//!
//! A station that is shut off for the night, or for the summer, still reports temperatures: those of pipes that cool. No
//! relation holds between them, so nothing is learned or judged from them, nor for [`SETTLES_BINS`] after it began
//! again. The flow tells, else the heat meter's counter, else the temperatures: a supply that is warmer than its
//! return in both circuits.

use serde::{Deserialize, Serialize};

use super::values::Readings;
use crate::bins::BIN_SECONDS;

/// Share of the usual flow or heat below which a station rests.
const RESTS_SHARE: f64 = 0.25;
/// Share below which it stands: what meters cut off at, and what their zero wanders by.
const STANDS_SHARE: f64 = 0.01;
const MEMORY: f64 = 2_000.0;
/// Least difference of supply and return, K.
const DELIVERS_KELVIN: f64 = 2.0;
/// Quarter hours of delivery before temperatures follow their relations.
const SETTLES_BINS: i64 = 8;
/// Longest time between two values of a counter that still gives a rate, quarter hours.
const RATE_BINS_MAX: i64 = 16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    mean: f64,
    count: u32,
}

impl Usual {
    fn take(&mut self, value: f64) {
        if value > 0.0 {
            self.count = self.count.saturating_add(1);
            self.mean += (value - self.mean) / f64::from(self.count).min(MEMORY);
        }
    }

    /// Whether it is nothing beside the usual: a standstill, however long, is not learned.
    fn stands(&self, value: f64) -> bool {
        value < STANDS_SHARE * self.mean
    }

    fn is_rest(&self, value: f64) -> bool {
        value < RESTS_SHARE * self.mean
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivery {
    flow: Usual,
    power: Usual,
    energy: f64,
    energy_bin: Option<i64>,
    since: Option<i64>,
}

/// What was found of a quarter hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Delivered {
    /// Whether relations hold.
    pub(super) settled: bool,
    /// Heat by the counter over its usual, where there is a counter.
    pub(super) share: Option<f64>,
}

impl Delivery {
    pub(super) fn take(&mut self, bin: i64, own: &Readings) -> Delivered {
        let power = self.power(bin, own.energy);
        if let Some(flow) = own.stream.filter(|flow| !self.flow.stands(*flow)) {
            self.flow.take(flow);
        }
        if let Some(power) = power {
            self.power.take(power);
        }
        let differs = |supply: Option<f64>, back: Option<f64>, signed: bool| {
            supply.zip(back).is_none_or(|(supply, back)| {
                let difference = supply - back;
                (if signed { difference } else { difference.abs() }) >= DELIVERS_KELVIN
            })
        };
        // Sensors on the wrong pipes differ as well, so the sign of the primary's does not count.
        let is_warm = differs(own.supply, own.back, false)
            && (own.stream.is_some()
                || power.is_some()
                || differs(own.secondary_supply, own.secondary_return, true));
        if self.rests(own.stream, power) == Some(true) || !is_warm {
            self.since = None;
            return Delivered { settled: false, share: None };
        }
        let since = *self.since.get_or_insert(bin);
        Delivered {
            settled: bin - since >= SETTLES_BINS,
            share: power.filter(|_| self.power.mean > 0.0).map(|power| power / self.power.mean),
        }
    }

    fn rests(&self, stream: Option<f64>, power: Option<f64>) -> Option<bool> {
        match (stream, power) {
            (Some(flow), _) => Some(self.flow.is_rest(flow)),
            (None, Some(power)) => Some(self.power.is_rest(power)),
            (None, None) => None,
        }
    }

    /// Whether heat is drawn in a quarter hour that is not taken yet, by flow or counter; `None` where neither tells.
    pub(super) fn draws(&self, bin: i64, own: &Readings) -> Option<bool> {
        self.rests(own.stream, own.energy.and_then(|energy| self.rate(bin, energy))).map(|rests| !rests)
    }

    /// W since the counter's value before; none over a long gap or a reset.
    fn power(&mut self, bin: i64, energy: Option<f64>) -> Option<f64> {
        let energy = energy?;
        let power = self.rate(bin, energy);
        self.energy_bin = Some(bin);
        self.energy = energy;
        power
    }

    fn rate(&self, bin: i64, energy: f64) -> Option<f64> {
        let passed = bin - self.energy_bin?;
        ((1..=RATE_BINS_MAX).contains(&passed) && energy >= self.energy)
            .then(|| (energy - self.energy) / (passed * BIN_SECONDS) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(power_w: f64, energy: &mut f64, secondary: f64) -> Readings {
        *energy += power_w * 3_600.0;
        Readings {
            supply: Some(70.0),
            back: Some(40.0),
            energy: Some(*energy),
            secondary_supply: Some(secondary),
            secondary_return: Some(secondary - 3.0),
            ..Readings::default()
        }
    }

    #[test]
    fn a_station_that_is_shut_off_for_the_night_is_judged_again_two_hours_after_it_began() {
        let (mut delivery, mut energy) = (Delivery::default(), 1e12);
        let settled: Vec<bool> = (0..4 * 24)
            .map(|at| {
                let heats = (6..22).contains(&(at % 24));
                let own = hour(if heats { 2e5 } else { 500.0 }, &mut energy, if heats { 45.0 } else { 30.0 });
                delivery.take(at * 4, &own).settled
            })
            .collect();
        let last: Vec<usize> = (72..96).filter(|at| settled[*at]).map(|at| at % 24).collect();
        assert_eq!(last, (8..22).collect::<Vec<_>>());
    }

    #[test]
    fn a_station_whose_flow_stands_delivers_nothing_though_its_pipes_are_still_warm() {
        for standstill in [0.0, 0.001, -0.001] {
            let mut delivery = Delivery::default();
            let with = |flow: f64, supply: f64| Readings {
                supply: Some(supply),
                back: Some(40.0),
                stream: Some(flow),
                flow: Some(flow).filter(|flow| *flow > 0.0),
                ..Readings::default()
            };
            let before: Vec<bool> =
                (0..400).map(|bin| delivery.take(bin, &with(2.0, 80.0)).settled).collect();
            assert!(before[10..].iter().all(|settled| *settled));
            let cooling = |bin: i64| 42.0 + 38.0 * (-((bin - 400) as f64) / 20.0).exp();
            assert!((400..6_000).all(|bin| !delivery.take(bin, &with(standstill, cooling(bin))).settled));
            assert!(!delivery.take(6_000, &with(2.0, 80.0)).settled);
            assert!(
                delivery.take(6_010, &with(2.0, 80.0)).settled,
                "the usual flow was kept over two months"
            );
        }
    }

    #[test]
    fn pipes_that_cool_deliver_nothing() {
        let mut delivery = Delivery::default();
        let own = Readings { supply: Some(30.0), back: Some(29.5), ..Readings::default() };
        assert!((0..40).all(|bin| !delivery.take(bin, &own).settled));
    }
}
