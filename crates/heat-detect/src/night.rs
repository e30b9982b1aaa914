//! Minimum night flow, for water networks that know only what flows in.
//!
//! Physical model: at night next to nothing is drawn, so inflow then is leakage and little else (Lambert & Hirner,
//! Losses from Water Supply Systems, IWA 2000). The quiet hours are found in the data: the three hours on end of the
//! mean day with the least inflow. Statistic: each night's mean there against the nights before, by CUSUM; its threshold
//! is Siegmund's for the budget, and a single night beyond five deviations is a sudden leak. Not the whole day's inflow:
//! by day demand varies by more than any leak.
//!
//! Cold start: five nights. It clears when a night lies below 30 % of the leak again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    balance::sequential::siegmund,
    bins::BINS_PER_DAY,
    budget::{Budget, Test},
    settings::DetectSettings,
};

/// Bins of the quiet hours.
const QUIET_BINS: usize = 12;
/// Of them, those that a night must have.
const QUIET_MIN: u32 = 8;
/// Nights kept.
const NIGHTS_MAX: usize = 21;
/// Nights before one is judged.
const NIGHTS_MIN: usize = 5;
/// Nights in 30 days.
const NIGHTS_PER_MONTH: f64 = 30.0;
/// Reference shift of the CUSUM, standard deviations.
const REFERENCE: f64 = 0.5;
/// One night so many deviations beyond the usual is a sudden leak.
const SUDDEN: f64 = 5.0;
/// Least excess that counts, share of the usual night flow.
const EXCESS_MIN: f64 = 0.1;
/// Memory of the mean day, days.
const DAY_MEMORY: f64 = 7.0;

/// What a night says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Night {
    /// A leak, first said or still there.
    Leak { abrupt: bool, since: i64, loss_kg_s: f64, strength: f64 },
    /// It is over.
    Over,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NightFlow {
    /// Mean inflow by quarter hour of the (UTC) day, kg/s, and days it rests on.
    day: Vec<(f64, u32)>,
    /// Clean nights' flow, kg/s, oldest first.
    nights: VecDeque<f64>,
    sum: f64,
    count: u32,
    first_bin: i64,
    cusum: f64,
    since: i64,
    last_night: f64,
    open: Option<(bool, f64)>,
}

impl NightFlow {
    /// Nights still to be learned from.
    pub(crate) fn nights_left(&self) -> usize {
        NIGHTS_MIN.saturating_sub(self.nights.len())
    }

    /// Takes a quarter hour's inflow, kg/s.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        bin: i64,
        inflow: f64,
        judges: bool,
    ) -> Option<Night> {
        if self.day.is_empty() {
            self.day = vec![(0.0, 0); BINS_PER_DAY];
        }
        let start = self.quiet_start();
        let of_day = usize::try_from(bin.rem_euclid(BINS_PER_DAY as i64)).unwrap_or(0);
        if self.open.is_none() {
            let (mean, days) = &mut self.day[of_day];
            *days = days.saturating_add(1);
            *mean += (inflow - *mean) / f64::from(*days).min(DAY_MEMORY);
        }
        let start = start?;
        let into = (of_day + BINS_PER_DAY - start) % BINS_PER_DAY;
        if into < QUIET_BINS {
            if self.count == 0 {
                self.first_bin = bin;
            }
            self.sum += inflow;
            self.count += 1;
            return None;
        }
        let count = std::mem::take(&mut self.count);
        let mean = std::mem::take(&mut self.sum) / f64::from(count.max(1));
        (count >= QUIET_MIN).then(|| self.judge(settings, mean, judges)).flatten()
    }

    /// First quarter hour of the quiet hours, once a whole day is known. It moves with the mean day; while a night is on
    /// it may not, so a night is summed by the start that it began with.
    fn quiet_start(&self) -> Option<usize> {
        if self.day.iter().any(|(_, days)| *days == 0) {
            return None;
        }
        let sum = |start: usize| -> f64 {
            (start..start + QUIET_BINS).map(|bin| self.day[bin % BINS_PER_DAY].0).sum()
        };
        (0..BINS_PER_DAY).min_by(|a, b| sum(*a).total_cmp(&sum(*b)))
    }

    fn judge(&mut self, settings: &DetectSettings, night: f64, judges: bool) -> Option<Night> {
        let last_night = std::mem::replace(&mut self.last_night, night);
        if self.nights.len() < NIGHTS_MIN {
            self.keep(night);
            return None;
        }
        let (usual, deviation) = self.usual();
        let above = night - usual;
        if let Some((abrupt, loss)) = self.open {
            if above < 0.3 * loss {
                self.open = None;
                self.cusum = 0.0;
                return Some(Night::Over);
            }
            let loss_kg_s = loss + (above - loss) / 2.0;
            self.open = Some((abrupt, loss_kg_s));
            return Some(Night::Leak { abrupt, since: self.since, loss_kg_s, strength: self.cusum });
        }
        if self.cusum <= 0.0 {
            self.since = self.first_bin;
        }
        let z = above / deviation;
        self.cusum = (self.cusum + z.min(SUDDEN + REFERENCE) - REFERENCE).max(0.0);
        let share = Budget::of(settings).share(Test::NightFlow).max(1e-3);
        let threshold = siegmund(REFERENCE, NIGHTS_PER_MONTH / share);
        // What grew over nights is no sudden leak, however large it has become.
        let is_sudden = z > SUDDEN && night - last_night > 0.5 * above;
        if judges && above > EXCESS_MIN * usual && (is_sudden || self.cusum > threshold) {
            self.open = Some((is_sudden, above));
            return Some(Night::Leak {
                abrupt: is_sudden,
                since: if is_sudden { self.first_bin } else { self.since },
                loss_kg_s: above,
                strength: self.cusum,
            });
        }
        if self.cusum < 0.5 * threshold {
            self.keep(night);
        }
        None
    }

    fn keep(&mut self, night: f64) {
        if self.nights.len() == NIGHTS_MAX {
            self.nights.pop_front();
        }
        self.nights.push_back(night);
    }

    /// Median of the nights, and their spread: 1.48 times the median deviation, larger while nights are few.
    fn usual(&self) -> (f64, f64) {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let usual = median(self.nights.iter().copied().collect());
        let spread = median(self.nights.iter().map(|night| (night - usual).abs()).collect());
        let few = 1.0 + 3.0 / self.nights.len() as f64;
        (usual, (1.48 * spread * few).max(0.02 * usual.abs()).max(1e-9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::sequential::SplitMix;

    /// Inflow with a morning and an evening peak, noise, and a leak from a bin on.
    fn run(nights: &mut NightFlow, from: i64, to: i64, leak: impl Fn(i64) -> f64) -> Vec<(i64, Night)> {
        let settings = DetectSettings::default();
        let mut random = SplitMix::new(from.unsigned_abs());
        (from..to)
            .filter_map(|bin| {
                let hour = bin.rem_euclid(96) as f64 / 4.0;
                let peak = |at: f64| (-((hour - at) / 2.5).powi(2)).exp();
                let demand = 2.0 + 20.0 * peak(8.0) + 15.0 * peak(19.0) + 6.0 * (hour / 24.0);
                let inflow = demand * (0.95 + 0.1 * random.unit()) + leak(bin);
                nights.observe(&settings, bin, inflow, true).map(|night| (bin, night))
            })
            .collect()
    }

    #[test]
    fn a_sudden_leak_is_found_the_next_morning_and_is_over_after_its_repair() {
        let mut nights = NightFlow::default();
        assert_eq!(run(&mut nights, 0, 20 * 96, |_| 0.0), []);

        let found = run(&mut nights, 20 * 96, 22 * 96, |_| 2.0);
        let (bin, Night::Leak { abrupt, loss_kg_s, .. }) = found[0] else { panic!("{found:?}") };
        assert!(abrupt && (loss_kg_s - 2.0).abs() < 0.5 && bin < 21 * 96, "{found:?}");

        let after = run(&mut nights, 22 * 96, 25 * 96, |_| 0.0);
        assert_eq!(after.last().map(|(_, night)| *night), Some(Night::Over), "{after:?}");
    }

    #[test]
    fn a_leak_that_grows_is_found_by_many_nights_and_a_year_without_one_is_quiet() {
        let mut nights = NightFlow::default();
        assert_eq!(run(&mut nights, 0, 365 * 96, |_| 0.0), []);

        let on = 365 * 96;
        let found = run(&mut nights, on, on + 20 * 96, |bin| 0.06 * (bin - on) as f64 / 96.0);
        assert!(matches!(found.first(), Some((_, Night::Leak { abrupt: false, .. }))), "{found:?}");
    }
}
