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

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Steps {
    /// Smallest change of this window and of the one before.
    least: f32,
    candidate: f32,
    /// Finest step or change ever known.
    finest: f32,
    /// The step that it has had while nothing was coarse; 0 if none.
    own: f32,
    changes: u8,
    multiples: u8,
    windows: u8,
    coarse: u8,
}

impl Steps {
    pub(super) fn changed(&mut self, by: f64) {
        let by = by.abs();
        if by <= 0.0 || !by.is_finite() {
            return;
        }
        let steps = by / f64::from(self.candidate);
        self.multiples += u8::from(steps >= 0.5 && (steps - steps.round()).abs() < NEAR);
        self.least = if self.changes == 0 { by as f32 } else { self.least.min(by as f32) };
        self.changes += 1;
        if self.changes == CHANGES {
            self.end_window();
        }
    }

    fn end_window(&mut self) {
        let has_step = self.multiples == CHANGES;
        let now = if has_step { self.candidate } else { self.least };
        if self.windows < KNOWN {
            self.windows += 1;
            self.finest = if self.windows == 1 { now } else { self.finest.min(now) };
        } else if has_step && now >= COARSER * self.finest && now > OWN * self.own {
            self.coarse = self.coarse.saturating_add(1);
        } else {
            self.coarse = 0;
            self.finest = self.finest.min(now);
        }
        if has_step && now <= 2.0 * self.finest {
            self.own = self.own.max(now);
        }
        self.candidate = self.least;
        self.changes = 0;
        self.multiples = 0;
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
                steps.changed(value - last);
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
    fn noise_and_what_was_coarse_from_the_start_are_not_told() {
        for step in [0.0, 1.0] {
            let mut steps = Steps::default();
            run(&mut steps, 0..4_000, step);
            assert!(!steps.is_coarse(), "{step}");
        }
    }
}
