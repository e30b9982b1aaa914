//! Factors of wrong units.

use serde::{Deserialize, Serialize};

use crate::layout::Role;

/// Factors that come of wrong units or a shifted decimal point.
const SLIPS: [f64; 10] =
    [10.0, 100.0, 1_000.0, 3.6, 1_000.0 / 3.6, 0.1, 0.01, 0.001, 1.0 / 3.6, 3.6 / 1_000.0];
/// How near to such a factor the ratio must be, and for how many readings.
const SLIP_NEAR: f64 = 0.04;
const SLIP_HITS: u8 = 4;
/// Logarithm of how near the value must also be to that factor of its level of the last day: a value that comes back to
/// where it was, after a burst say, has not slipped.
const SLIP_OF_LEVEL: f64 = 0.5;
const LEVEL_BINS: u16 = 96;

/// The same of a counter, which goes on where it was.
const SLIP_OF_COUNTER: f64 = 0.002;

/// Whether a counter that goes from one value to another goes on in another unit.
pub(super) fn is_of_counter(from: f64, to: f64) -> bool {
    SLIPS.iter().any(|factor| (to / from / factor - 1.0).abs() < SLIP_OF_COUNTER)
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Slips {
    /// Mean of the quarter hours' last values over a day or so, and how many there were.
    level: f64,
    bins: u16,
    hits: u8,
    /// Number of the factor in [`SLIPS`], from 1.
    slip: u8,
    slipped: bool,
}

impl Slips {
    /// A value left its course.
    pub(super) fn note(&mut self, role: Role, value: f64, reference: f64) {
        let found = SLIPS.iter().position(|&factor| {
            (value / reference / factor - 1.0).abs() < SLIP_NEAR && self.is_at(factor, value)
        });
        match found.and_then(|index| u8::try_from(index + 1).ok()) {
            // Make-up goes from a trickle to filling and back.
            Some(slip) if !role.is_temperature() && role != Role::MakeUpFlow => {
                self.hits = if slip == self.slip { self.hits.saturating_add(1) } else { 1 };
                self.slip = slip;
                self.slipped |= self.hits >= SLIP_HITS;
            }
            _ => self.hits = 0,
        }
    }

    /// A value is back on its course.
    pub(super) const fn in_line(&mut self) {
        self.hits = 0;
    }

    /// A quarter hour with readings ends.
    pub(super) fn close_bin(&mut self, last: f64) {
        let factor = SLIPS.get(usize::from(self.slip).wrapping_sub(1));
        self.slipped = self.slipped && factor.is_some_and(|&factor| self.is_at(factor, last));
        self.bins = self.bins.saturating_add(1);
        self.level += (last - self.level) / f64::from(self.bins.min(LEVEL_BINS));
    }

    /// Whether a value lies at so many times the level of the last day.
    fn is_at(&self, factor: f64, value: f64) -> bool {
        (value / self.level / factor).ln().abs() < SLIP_OF_LEVEL
    }

    /// It counts in another unit.
    pub(super) const fn counter_slipped(&mut self) {
        self.slipped = true;
    }

    /// Whether it has slipped since this was last asked.
    pub(super) const fn take(&mut self) -> bool {
        std::mem::replace(&mut self.slipped, false)
    }
}
