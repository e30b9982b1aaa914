//! The steps in which a signal moves: one that came in tenths and comes in whole degrees was mapped or scaled anew.
//!
//! Changes are looked at in windows of [`CHANGES`]. A window has a step if all its changes are whole multiples of the
//! smallest change of the window before; noise has none. Coarse is a step [`COARSER`] times the finest that the signal
//! was ever known by, in two windows in a row. What was coarse from the start is how the signal is, and not told: also
//! not when it comes back to that, after a fault or a computed value had made it look finer for a while.

use serde::{Deserialize, Serialize};

const CHANGES: u8 = 64;
const COARSER: f32 = 5.0;
/// How near to a whole multiple a change must be, in steps.
const NEAR: f64 = 0.02;
/// A step up to so many times the signal's own is that one, met by chance in a multiple.
const OWN: f32 = 2.5;
/// Windows before the finest step is known.
const KNOWN: u8 = 3;
const TOLD: u8 = 2;
/// A step below this share of the level matters only if the signal hardly moves by more.
const OF_LEVEL: f32 = 1e-4;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Steps {
    /// Smallest change of this window and of the one before.
    least: f32,
    candidate: f32,
    /// Finest step or change ever known.
    finest: f32,
    /// The step that it has had while nothing was coarse; 0 if none.
    own: f32,
    /// Finest step ever known, in units of the power of ten below the value.
    finest_of_decade: f32,
    /// Smallest and largest value of this window, and the sum of its changes.
    low: f32,
    high: f32,
    moved: f32,
    changes: u8,
    multiples: u8,
    windows: u8,
    coarse: u8,
}

impl Steps {
    /// Takes a change and the value that it led to.
    pub(super) fn changed(&mut self, by: f64, value: f64) {
        let size = value.abs() as f32;
        let by = by.abs();
        if by <= 0.0 || !by.is_finite() {
            return;
        }
        let steps = by / f64::from(self.candidate);
        self.multiples += u8::from(steps >= 0.5 && (steps - steps.round()).abs() < NEAR);
        if self.changes == 0 {
            (self.least, self.low, self.high, self.moved) = (f32::INFINITY, f32::INFINITY, 0.0, 0.0);
        }
        self.least = self.least.min(by as f32);
        self.low = self.low.min(size);
        self.high = self.high.max(size);
        self.moved += by as f32;
        self.changes += 1;
        if self.changes == CHANGES {
            self.end_window();
        }
    }

    fn end_window(&mut self) {
        let has_step = self.multiples == CHANGES;
        let now = if has_step { self.candidate } else { self.least };
        let of_decade = now / self.decade();
        let matters = now >= OF_LEVEL * self.high || now >= self.moved / f32::from(CHANGES);
        let is_coarse = now >= COARSER * self.finest && of_decade >= COARSER * self.finest_of_decade;
        if self.windows < KNOWN {
            self.windows += 1;
            if self.windows == 1 {
                (self.finest, self.finest_of_decade) = (now, of_decade);
            }
            self.finest = self.finest.min(now);
            self.finest_of_decade = self.finest_of_decade.min(of_decade);
        } else if has_step && is_coarse && matters && now > OWN * self.own {
            self.coarse = self.coarse.saturating_add(1);
        } else {
            self.coarse = 0;
            self.finest = self.finest.min(now);
            self.finest_of_decade = self.finest_of_decade.min(of_decade);
        }
        if has_step && now <= 2.0 * self.finest {
            self.own = self.own.max(now);
        }
        self.candidate = self.least;
        self.changes = 0;
        self.multiples = 0;
    }

    /// Power of ten below the window's smallest value, where its steps are finest; of a window across zero that of its bulk.
    fn decade(&self) -> f32 {
        10.0_f32.powf(self.low.max(self.high / 10.0).max(f32::MIN_POSITIVE).log10().floor())
    }

    pub(super) const fn is_coarse(&self) -> bool {
        self.coarse >= TOLD
    }

    /// The step that it moves in, where it has one.
    pub(super) fn step(&self) -> f64 {
        f64::from(self.candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &mut Steps, values: std::ops::Range<u64>, step: f64) {
        let mut last = 0.0;
        for index in values {
            let wave =
                (index as f64 / 9.0).sin() * 5.0 + (index.wrapping_mul(0x9E37_79B9) % 97) as f64 / 60.0;
            let value = if step > 0.0 { (wave / step).round() * step } else { wave };
            if (value - last).abs() > 0.0 {
                steps.changed(value - last, value);
            }
            last = value;
        }
    }

    #[test]
    fn tenths_that_become_whole_degrees_are_coarse_and_fine_again_are_not() {
        let mut steps = Steps::default();
        run(&mut steps, 0..600, 0.1);
        assert!(!steps.is_coarse());
        run(&mut steps, 600..1_400, 1.0);
        assert!(steps.is_coarse());
        run(&mut steps, 1_400..1_700, 0.1);
        assert!(!steps.is_coarse());
    }

    #[test]
    fn a_signal_that_comes_back_to_its_own_step_is_not_coarse() {
        let mut steps = Steps::default();
        run(&mut steps, 0..1_000, 0.1);
        run(&mut steps, 1_000..1_400, 0.0);
        run(&mut steps, 1_400..3_000, 0.1);
        assert!(!steps.is_coarse());
        run(&mut steps, 3_000..4_000, 1.0);
        assert!(steps.is_coarse());
    }

    #[test]
    fn six_significant_digits_around_a_power_of_ten_are_not_coarse() {
        let mut steps = Steps::default();
        let mut last = 0.0;
        for index in 0..6_000_u64 {
            // It wanders across 1.0: a millionth is the step below, a hundred-thousandth above.
            let level = if index % 2_000 < 1_000 { 0.999_8 } else { 1.000_3 };
            let wave = (index.wrapping_mul(0x9E37_79B9) % 41) as f64 * 2e-6;
            let value: f64 = level + wave;
            let digits = if value < 1.0 { 1e6 } else { 1e5 };
            let shown = (value * digits).round() / digits;
            if (shown - last).abs() > 0.0 {
                steps.changed(shown - last, shown);
            }
            last = shown;
            assert!(!steps.is_coarse(), "{index}: {steps:?}");
        }
    }

    #[test]
    fn noise_and_what_was_coarse_from_the_start_are_not_told() {
        for step in [0.0, 1.0] {
            let mut steps = Steps::default();
            run(&mut steps, 0..4_000, step);
            assert!(!steps.is_coarse(), "{step}");
        }
    }
}
