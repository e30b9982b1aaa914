//! Counters that advance by more than can have passed them.
//!
//! A meter that was exchanged, a digit that was garbled: the counter leaps, and whoever takes the difference of two
//! readings sees water or heat that never was. Make-up cannot be more than circulates, and is judged at once; of other
//! counters, and where the circulation is unknown, only their own past tells, and a leap is told apart from a plant that
//! begins to work by the next reading: the plant goes on. Either way the rise is left out, so that the counter is
//! passed on as if it had not leapt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::slips;

/// A rise of so many times the fastest one seen is looked at, and of so many after it the counter works as it did.
const LEAP: f64 = 30.0;
const AS_BEFORE: f64 = 3.0;
/// And of more than so many of the counter's own steps.
const STEPS: f64 = 3.0;
/// Rises that the fastest is known from; what it loses with each reading, so that a season outlasts a summer.
const KNOWN: u32 = 48;
const FADES: f64 = 1.0 / 50_000.0;

/// What a counter leapt by, in its unit in SI.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Leap {
    pub(super) rise: f64,
    /// Whether it goes on in another unit.
    pub(super) is_slip: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    at_us: i64,
    value: f64,
    /// Fastest rise, per second, and the smallest.
    top: f64,
    step: f64,
    rises: u32,
    /// What all leaps together have added.
    shift: f64,
    /// A rise that the next reading tells of.
    doubted: Option<Leap>,
    /// The leap since the last quarter hour ended.
    leapt: Option<Leap>,
}

impl Counter {
    fn take(&mut self, at_us: i64, value: f64, most: Option<f64>) -> f64 {
        let seconds = (at_us - self.at_us) as f64 / 1e6;
        if self.at_us != 0 && seconds <= 0.0 {
            return value - self.shift;
        }
        let rise = value - self.value;
        let leap = Leap { rise, is_slip: slips::is_of_counter(self.value, value) };
        let is_first = self.at_us == 0;
        (self.at_us, self.value) = (at_us, value);
        if is_first {
            return value;
        }
        if rise < 0.0 {
            // It began anew: what came before says nothing of it.
            (self.shift, self.doubted) = (0.0, None);
            return value;
        }
        let rate = rise / seconds;
        if let Some(doubted) = self.doubted.take() {
            // In another unit it goes on at another rate.
            if rate <= AS_BEFORE * self.top || doubted.is_slip {
                self.leapt = Some(doubted);
            } else {
                self.top = self.top.max(rate);
            }
        }
        let is_large = self.step > 0.0 && rise > STEPS * self.step;
        match most {
            Some(most) if is_large && rate > most => {
                self.shift += rise;
                self.leapt = Some(leap);
            }
            None if is_large && self.rises >= KNOWN && rate > LEAP * self.top => {
                self.shift += rise;
                self.doubted = Some(leap);
            }
            Some(_) | None => self.learn(rise, rate),
        }
        value - self.shift
    }

    fn learn(&mut self, rise: f64, rate: f64) {
        if rise <= 0.0 {
            return;
        }
        self.rises = self.rises.saturating_add(1);
        self.step = if self.step > 0.0 { self.step.min(rise) } else { rise };
        self.top = (self.top * (1.0 - FADES)).max(rate);
    }
}

/// The counters of a network by signal; at most one for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaps(BTreeMap<u32, Counter>);

impl Leaps {
    /// Takes a reading, SI; what the counter would read without its leaps. `most`: the most that it can count in a second.
    pub(super) fn take(&mut self, signal: u32, at_us: i64, value: f64, most: Option<f64>) -> f64 {
        self.0.entry(signal).or_default().take(at_us, value, most)
    }

    /// What a counter has leapt by since this was last asked.
    pub(super) fn since(&mut self, signal: u32) -> Option<Leap> {
        self.0.get_mut(&signal)?.leapt.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    /// A counter read every minute: its readings as passed on, and what was told.
    fn run(values: &[f64], most: Option<f64>) -> (Vec<f64>, Vec<f64>) {
        let mut leaps = Leaps::default();
        let mut told = Vec::new();
        let passed = (1..).zip(values).map(|(minute, value)| {
            let passed = leaps.take(0, minute * MINUTE_US, *value, most);
            told.extend(leaps.since(0).map(|leap| leap.rise));
            passed
        });
        (passed.collect(), told)
    }

    /// `count` readings that rise by `by`, from `from` on.
    fn rising(from: f64, by: f64, count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(move |nth| from + by * nth as f64)
    }

    #[test]
    fn water_beyond_what_circulates_is_a_leap_at_once_and_a_burst_is_none() {
        let readings: Vec<f64> = rising(100.0, 0.01, 60).chain(rising(1_100.6, 0.01, 5)).collect();
        let (passed, told) = run(&readings, Some(0.02));
        assert_eq!(told.len(), 1);
        assert!((told[0] - 1_000.01).abs() < 1e-6, "{told:?}");
        let last = passed.last().unwrap();
        assert!((last - 100.63).abs() < 1e-6, "it goes on where it was: {last}");
        let burst: Vec<f64> = rising(100.0, 0.01, 60).chain(rising(101.6, 1.0, 5)).collect();
        let (passed, told) = run(&burst, Some(0.02));
        assert!(passed == burst && told.is_empty(), "{told:?}");
    }

    #[test]
    fn a_counter_that_leaps_and_goes_on_as_before_is_told_and_a_plant_that_begins_to_work_is_not() {
        let leaps: Vec<f64> = rising(1e9, 1e6, 100).chain(rising(9e9, 1e6, 3)).collect();
        let (passed, told) = run(&leaps, None);
        assert_eq!(told, [9e9 - 1.099e9]);
        assert!((passed[102] - 1.101e9).abs() < 1.0, "{}", passed[102]);
        let begins: Vec<f64> = rising(1e9, 1e4, 100).chain(rising(1.01e9, 1e6, 30)).collect();
        let (passed, told) = run(&begins, None);
        assert!(told.is_empty(), "{told:?}");
        assert!((passed[129] - passed[110] - 19.0 * 1e6).abs() < 1.0, "{passed:?}");
    }

    #[test]
    fn a_counter_that_goes_on_in_another_unit_has_slipped() {
        let (mut leaps, kwh) = (Leaps::default(), rising(4_000.0, 2.0, 100));
        let megajoules = rising(4_200.0, 2.0, 5).map(|kwh| 3.6 * kwh);
        let told: Vec<bool> = (1..)
            .zip(kwh.chain(megajoules))
            .filter_map(|(minute, value)| {
                leaps.take(0, minute * MINUTE_US, value, None);
                Some(leaps.since(0)?.is_slip)
            })
            .collect();
        assert_eq!(told, [true]);
    }

    #[test]
    fn a_counter_of_coarse_steps_and_one_that_begins_anew_do_not_leap() {
        let coarse: Vec<f64> = (0..3_000).map(|minute| f64::from(minute / 50)).collect();
        for most in [Some(0.002), None] {
            let (passed, told) = run(&coarse, most);
            assert!(passed == coarse && told.is_empty(), "{most:?}: {told:?}");
        }
        let anew: Vec<f64> = rising(5_000.0, 0.01, 100).chain(rising(0.0, 0.01, 10)).collect();
        let (passed, told) = run(&anew, Some(0.02));
        assert!(passed == anew && told.is_empty(), "{told:?}");
    }
}
