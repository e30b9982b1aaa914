//! Values that stand for "no measurement": known ones at first sight, others once they come back exactly.
//!
//! How far a value is off is said by the burst rule's tracker, in standard deviations of the signal's own changes at its
//! scan rate.

use serde::{Deserialize, Serialize};

use super::{
    gate::{ODD_KELVIN, ODD_Z},
    nature::may_stand_still,
};
use crate::{bins::BIN_US, layout::Role, tracker::Tracker};

/// How far off a pressure that may mean "no measurement" must be at least, Pa: the swings of a loss or a pump are smaller,
/// and a coarse meter repeats its values in them.
const ODD_PASCAL: f64 = 50_000.0;
/// Exact repeats after which an odd value is one that means "no measurement".
const SENTINEL_HITS: u16 = 3;
/// Known ones need fewer: they can be no measurement.
const KNOWN_HITS: u16 = 2;
/// Hits older than this count no longer, microseconds.
const SENTINEL_US: i64 = 24 * 3_600_000_000;
/// What temperature sensors and gateways send when they have no value, degC (a broken or shorted element, an empty
/// register), beside 0.
const NO_TEMPERATURE: [f64; 11] =
    [-39.9, -40.0, -50.0, -99.0, -99.9, -127.0, -200.0, 850.0, 999.0, 999.9, 9_999.0];
/// Temperatures that nothing in or above a heating network has, degC.
const COLDEST: f64 = -60.0;
const HOTTEST: f64 = 400.0;
/// Below this a pipe of a heating network may really be at 0 degC.
const WARM_CELSIUS: f64 = 12.0;

/// Whether a value of this role is one that stands for "no value", or that no water and no weather can have.
fn is_word(role: Role, value: f64) -> bool {
    let is_water =
        role.is_temperature() && !matches!(role, Role::OutdoorTemperature | Role::IndoorTemperature);
    let hottest = if role == Role::SteamTemperature { f64::INFINITY } else { HOTTEST };
    value == 0.0
        || role.is_temperature()
            && (NO_TEMPERATURE.iter().any(|word| (value - word).abs() < 1e-6)
                || !(COLDEST..=hottest).contains(&value)
                || is_water && value < 0.0)
}

/// The odd value of a signal that may mean "no measurement".
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Words {
    odd: f64,
    hits: u16,
    odd_values: u16,
    was_in_line: bool,
    first_hit_us: i64,
    hit_us: i64,
    is_known: bool,
}

impl Words {
    /// Takes a value; whether it is no measurement. `is_told`: the signal is known to send such values now.
    pub(super) fn take(
        &mut self,
        role: Role,
        (at_us, value): (i64, f64),
        tracker: &Tracker,
        prior: f64,
        is_told: bool,
    ) -> bool {
        if at_us - self.hit_us > SENTINEL_US {
            self.hits = 0;
            self.odd_values = 0;
        }
        if may_stand_still(role) || !tracker.seen {
            return false;
        }
        let off = (value - tracker.reference).abs();
        let is_word = is_word(role, value);
        let is_impossible =
            is_word && role.is_temperature() && (value != 0.0 || tracker.reference > WARM_CELSIUS);
        let floor = if role.is_temperature() {
            ODD_KELVIN
        } else if role.is_pressure() {
            ODD_PASCAL.min(0.5 * tracker.reference.abs())
        } else {
            0.0
        };
        let least_z = if is_impossible { 0.0 } else { ODD_Z };
        if off < (least_z * tracker.sigma(prior)).max(floor) {
            self.was_in_line = true;
            return false;
        }
        self.odd_values = self.odd_values.saturating_add(1);
        // Values that cannot be are one word, however they differ.
        let is_again =
            self.hits > 0 && (value.to_bits() == self.odd.to_bits() || (is_impossible && self.is_known));
        if is_again {
            // A coarse signal repeats its values by itself; a word comes and goes.
            if is_word || std::mem::take(&mut self.was_in_line) {
                self.hits = self.hits.saturating_add(1);
            }
        } else if !is_told {
            self.odd = value;
            self.hits = 1;
            // What else was odd before does not speak against a value that cannot be.
            if is_word {
                self.odd_values = 1;
            }
            self.first_hit_us = at_us;
            self.is_known = is_word;
            self.was_in_line = false;
        } else {
            return false;
        }
        self.hit_us = at_us;
        is_impossible || (is_again && is_told)
    }

    /// Whether the odd value is one that cannot be a measurement.
    pub(super) const fn is_known(&self) -> bool {
        self.is_known
    }

    pub(super) fn shows(&self, at_us: i64) -> bool {
        let needed = if self.is_known { KNOWN_HITS } else { SENTINEL_HITS };
        // Nearly all that is odd about the signal is this one value.
        self.hits >= needed
            && 4 * u32::from(self.odd_values) <= 5 * u32::from(self.hits) + 4
            && at_us - self.hit_us <= 2 * BIN_US
    }

    /// The odd value, once it has come again.
    pub(super) const fn value(&self) -> Option<f64> {
        if self.hits >= KNOWN_HITS { Some(self.odd) } else { None }
    }

    pub(super) const fn since_us(&self) -> i64 {
        self.first_hit_us
    }
}
