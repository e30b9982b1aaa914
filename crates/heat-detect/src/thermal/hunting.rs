//! Control that hunts: a valve, or the secondary supply that it makes, that swings to and fro.
//!
//! A turn is counted where a signal has gone back from its last extreme by [`VALVE_STEP`] or [`KELVIN_STEP`], so noise
//! and slow loads count nothing. [`TURNS`] turns an hour for [`HOURS`] hours wear a valve out, whatever is usual there:
//! a limit, not a statistic, since a loop may hunt from its first day. The valve is judged where a station reports one,
//! the secondary supply elsewhere. It takes readings at least every five minutes: a slower scan shows swings that are
//! not there, and hides those that are, so such a signal is not judged.
//!
//! It clears after as many calm hours.

use serde::{Deserialize, Serialize};

use crate::layout::{Layout, Role};

/// Way back that makes a turn: share of the valve's stroke, K.
const VALVE_STEP: f64 = 0.1;
const KELVIN_STEP: f64 = 3.0;
/// Turns in an hour, and hours in a row, that are hunting. Half of the turns or fewer are calm.
const TURNS: u16 = 6;
const HOURS: u8 = 3;
/// Readings of an hour that show turns.
const READINGS_MIN: u16 = 12;
const HOUR_US: i64 = 3_600_000_000;

/// One signal's way to and fro.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Swing {
    signal: u32,
    hour: i64,
    extreme: f64,
    rises: bool,
    readings: u16,
    turns: u16,
    /// Turns of the last whole hour.
    before: u16,
    hunts: u8,
    calm: u8,
    said: bool,
    /// Whether the last whole hour was read often enough.
    is_judged: bool,
}

impl Swing {
    fn take(&mut self, at_us: i64, value: f64, step: f64) {
        let hour = at_us.div_euclid(HOUR_US);
        if hour > self.hour {
            self.end_hour(hour - self.hour);
            self.hour = hour;
        }
        self.readings = self.readings.saturating_add(1);
        if self.readings == 1 && !self.is_judged {
            self.extreme = value;
            return;
        }
        let back = if self.rises { self.extreme - value } else { value - self.extreme };
        if back <= 0.0 {
            self.extreme = value;
        } else if back >= step {
            self.extreme = value;
            self.rises = !self.rises;
            self.turns = self.turns.saturating_add(1);
        }
    }

    fn end_hour(&mut self, passed: i64) {
        self.is_judged = passed == 1 && self.readings >= READINGS_MIN;
        self.before = self.turns;
        if !self.is_judged {
            self.hunts = 0;
        } else if self.turns >= TURNS {
            self.hunts = self.hunts.saturating_add(1);
            self.calm = 0;
        } else if 2 * self.turns <= TURNS {
            self.calm = self.calm.saturating_add(1);
            self.hunts = 0;
        }
        self.readings = 0;
        self.turns = 0;
    }
}

/// A station that began or ceased to hunt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hunt {
    pub(super) signal: u32,
    pub(super) since_us: i64,
    pub(super) turns_by_hour: f64,
    pub(super) active: bool,
}

/// All control loops of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hunting {
    /// In order of signals.
    swings: Vec<Swing>,
}

impl Hunting {
    /// Whether a signal of this role shows how control moves.
    pub(super) const fn uses(role: Role) -> bool {
        matches!(role, Role::ValveOpening | Role::SecondarySupplyTemperature)
    }

    pub(super) fn take(&mut self, signal: u32, role: Role, at_us: i64, value: f64) {
        let at = match self.swings.binary_search_by_key(&signal, |swing| swing.signal) {
            Ok(at) => at,
            Err(at) => {
                let hour = at_us.div_euclid(HOUR_US);
                self.swings.insert(at, Swing { signal, hour, extreme: value, ..Swing::default() });
                at
            }
        };
        let step = if role.is_temperature() { KELVIN_STEP } else { VALVE_STEP };
        self.swings[at].take(at_us, value, step);
    }

    /// What changed since it was last asked.
    pub(super) fn judge(&mut self, layout: &Layout, at_us: i64) -> Vec<Hunt> {
        let mut found = Vec::new();
        for swing in &mut self.swings {
            let placed = layout.placed[swing.signal as usize];
            let has_valve = layout.sites[placed.site as usize].signal(Role::ValveOpening).is_some();
            if placed.role.is_temperature() && has_valve && !swing.said {
                continue;
            }
            let begins = !swing.said && swing.hunts >= HOURS;
            let ends = swing.said && (swing.calm >= HOURS || at_us.div_euclid(HOUR_US) - swing.hour > 24);
            if begins || ends {
                swing.said = begins;
                found.push(Hunt {
                    signal: swing.signal,
                    since_us: at_us - i64::from(HOURS) * HOUR_US,
                    turns_by_hour: f64::from(swing.before),
                    active: begins,
                });
            }
        }
        found
    }

    /// Nothing is controlled any longer; signals whose loop was said to hunt.
    pub(super) fn end_all(&mut self) -> Vec<u32> {
        let said = self.swings.iter_mut().filter_map(|swing| {
            swing.hunts = 0;
            std::mem::take(&mut swing.said).then_some(swing.signal)
        });
        said.collect()
    }

    /// Whether any loop is read often enough to be judged.
    pub(super) fn is_judging(&self) -> bool {
        self.swings.iter().any(|swing| swing.is_judged)
    }

    /// Whether there is any loop.
    pub(super) fn has_any(&self) -> bool {
        !self.swings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(every_s: i64, hours: i64, value: impl Fn(i64) -> f64) -> Swing {
        let mut swing = Swing::default();
        for at_s in (0..=hours * 3_600).step_by(every_s as usize) {
            swing.take(at_s * 1_000_000, value(at_s), VALVE_STEP);
        }
        swing
    }

    fn sine(at_s: i64, period_s: f64, amplitude: f64) -> f64 {
        0.5 + amplitude * (at_s as f64 / period_s * std::f64::consts::TAU).sin()
    }

    #[test]
    fn a_valve_that_swings_every_ten_minutes_hunts_after_three_hours() {
        assert_eq!(hours(60, 3, |at| sine(at, 600.0, 0.15)).hunts, 3);
        assert_eq!(hours(60, 3, |at| sine(at, 600.0, 0.03)).hunts, 0, "a small swing wears nothing");
        assert_eq!(hours(60, 6, |at| sine(at, 86_400.0, 0.4)).hunts, 0, "a day's load is no swing");
    }

    #[test]
    fn a_slow_scan_is_not_judged() {
        let swing = hours(900, 6, |at| sine(at, 1_700.0, 0.3));
        assert!(!swing.is_judged && swing.hunts == 0);
    }
}
