//! A site's heat meter against its own flow and temperatures.
//!
//! Where the meter gives its power, that is held against flow and temperatures of the same quarter hour. Where it only
//! counts, what it counted is, over as long as it takes for the counter's own step to be small: both the counted heat and
//! that of flow and temperatures are summed with the same forgetting, so that a step which comes late is in the next
//! sum, and never lost. A counter that moves by fewer than [`STEPS`] of its steps in a day says nothing worth waiting for: a
//! station of 200 kW with a counter of whole MWh would need three weeks for half a percent.
//!
//! Whether the meter has sensors of its own or shares those that are reported, nothing says; see
//! [`PerOrZero`](super::hypothesis::Want::PerOrZero).

use serde::{Deserialize, Serialize};

use super::values::Readings;
use crate::bins::BIN_SECONDS;

/// Steps of a counter after which its own rounding is a small part of what it counted.
const STEPS: f64 = 100.0;
/// Longest sum, quarter hours: a day.
const SPAN_MAX: f64 = 96.0;
/// Longest time between two readings over which the heat between them is taken for their mean, quarter hours.
const GAP_MAX: i64 = 4;
/// Sums that are this far behind the full span are still filling.
const FULL: f64 = 0.9;
/// Readings from which its step is known: a counter that stands still later is no coarser for it.
const LEARNS: u32 = 288;
/// What arithmetic makes of equal rises, as a share of the counter.
const ROUNDING: f64 = 1e-9;
/// Memory of the usual rise, readings.
const USUAL: f64 = 96.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    bin: i64,
    energy: f64,
    /// Heat of flow and temperatures at the last reading, W.
    heat: f64,
    /// Smallest rise, or difference of two rises, J: its step, or more. 0 until there was one.
    step: f64,
    /// Most heat that came without a rise, J: its step, or less; and the heat since the last rise.
    waited: f64,
    idle: f64,
    rise: f64,
    /// Usual rise of a quarter hour, J.
    usual: f64,
    readings: u32,
    counted: f64,
    measured: f64,
    /// How full the sums are, 0 to 1.
    full: f64,
}

impl Counted {
    fn begin(&mut self, bin: i64, energy: f64, heat: f64) {
        (self.bin, self.energy, self.heat) = (bin, energy, heat);
        (self.counted, self.measured, self.full) = (0.0, 0.0, 0.0);
    }

    fn take(&mut self, bin: i64, energy: f64, heat: f64) -> Option<f64> {
        let (passed, rise) = (bin - self.bin, energy - self.energy);
        if self.readings == 0 || !(1..=GAP_MAX).contains(&passed) || rise < 0.0 {
            self.readings = self.readings.max(1);
            self.begin(bin, energy, heat);
            return None;
        }
        let bins = passed as f64;
        let between = f64::midpoint(heat, self.heat) * bins * BIN_SECONDS as f64;
        self.readings = self.readings.saturating_add(1);
        if self.readings <= LEARNS {
            self.learn_step(rise, between);
        }
        self.usual += (rise / bins - self.usual) / f64::from(self.readings - 1).min(USUAL);
        let span = (STEPS * self.step.max(self.waited) / self.usual.max(1e-9)).max(1.0);
        let keeps = (-bins / span).exp();
        self.counted = keeps * self.counted + rise;
        self.measured = keeps * self.measured + between;
        self.full = keeps * self.full + (1.0 - keeps);
        (self.bin, self.energy, self.heat) = (bin, energy, heat);
        let is_sensible = span <= SPAN_MAX && self.full >= FULL;
        (is_sensible && self.counted > 0.0 && self.measured > 0.0)
            .then(|| (self.counted / self.measured).ln())
    }

    fn learn_step(&mut self, rise: f64, heat: f64) {
        if rise <= 0.0 {
            self.idle += heat;
            self.waited = self.waited.max(self.idle);
            return;
        }
        self.idle = 0.0;
        for by in [rise, (rise - self.rise).abs()] {
            if by > ROUNDING * self.energy {
                self.step = if self.step > 0.0 { self.step.min(by) } else { by };
            }
        }
        self.rise = rise;
    }
}

/// What is kept of a heat meter: nothing, unless it only counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct HeatMeter {
    counted: Option<Box<Counted>>,
}

impl HeatMeter {
    /// The logarithm of metered heat over `heat`, that of flow and temperatures, W; none where either is missing, or the
    /// meter too coarse.
    pub(super) fn off(&mut self, bin: i64, own: &Readings, heat: Option<f64>) -> Option<f64> {
        let heat = heat?;
        if own.has_power {
            return own.power.map(|power| (power / heat).ln());
        }
        let energy = own.energy?;
        self.counted.get_or_insert_default().take(bin, energy, heat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KWH: f64 = 3.6e6;

    /// What a counter of this step shows of a load that swings by the day, `off` too much, quarter hour by quarter hour.
    fn told(step: f64, usual_w: f64, off: f64, bins: i64) -> Vec<Option<f64>> {
        let (mut meter, mut energy) = (HeatMeter::default(), 7e12);
        let load = |bin: i64| usual_w * (1.0 + 0.3 * (bin as f64 / 96.0 * std::f64::consts::TAU).sin());
        (0..bins)
            .map(|bin| {
                energy += (1.0 + off) * f64::midpoint(load(bin), load(bin - 1)) * BIN_SECONDS as f64;
                let own = Readings { energy: Some((energy / step).floor() * step), ..Readings::default() };
                meter.off(bin, &own, Some(load(bin)))
            })
            .collect()
    }

    #[test]
    fn a_counter_is_summed_for_as_long_as_its_step_needs() {
        for (step, least) in [(0.01 * KWH, 1), (KWH, 1), (10.0 * KWH, 30)] {
            let told = told(step, 2e5, 0.05, 96 * 10);
            let first = told.iter().position(Option::is_some).unwrap();
            assert!((least..96 * 3).contains(&first), "{step}: {first}");
            let late: Vec<f64> = told[96 * 4..].iter().map(|off| off.unwrap()).collect();
            let worst = late.iter().map(|off| (off - 0.05_f64.ln_1p()).abs()).fold(0.0, f64::max);
            let mean = late.iter().sum::<f64>() / late.len() as f64;
            assert!(worst < 0.02 && (mean - 0.05_f64.ln_1p()).abs() < 0.002, "{step}: {worst} {mean}");
        }
    }

    #[test]
    fn a_counter_that_would_need_weeks_says_nothing() {
        assert!(told(1_000.0 * KWH, 2e5, 0.05, 96 * 30).iter().all(Option::is_none));
    }

    #[test]
    fn a_reset_or_a_gap_begins_anew() {
        let mut counted = Counted::default();
        let mut at = |bin: i64, energy: f64| counted.take(bin, energy, 1e5);
        assert!(at(0, 1e9).is_none());
        let wobbles = |bin: i64| 1e9 + bin as f64 * 9e7 + (bin % 3) as f64 * 1e5;
        assert!((1..40).filter_map(|bin| at(bin, wobbles(bin))).count() > 30);
        assert!(at(40, 5e7).is_none(), "it began to count anew");
        assert!(at(80, 9e9).is_none(), "nobody knows what flowed meanwhile");
    }

    #[test]
    fn what_has_no_heat_meter_keeps_nothing() {
        let mut meter = HeatMeter::default();
        let own = Readings::default();
        assert!(meter.off(0, &own, Some(1e5)).is_none());
        assert_eq!(meter.counted, None);
    }
}
