//! One signal against its own past: values that stand for "no measurement" ([`words`](super::words)), values that stand
//! still ([`habit`](super::habit)), values that leave and come back at once, factors of wrong units, counters that begin anew.

use serde::{Deserialize, Serialize};

use super::{
    Fault,
    company::Company,
    habit::Habit,
    nature::{is_counter, is_stream, may_stand_still, rolled_over},
    peaks::{Peak, Peaks},
    range::Beyond,
    slips::{self, Slips},
    spikes::Spikes,
    steps::Steps,
    words::Words,
};
use crate::{
    layout::Role,
    tracker::{Step, Tracker},
};

/// A value so many standard deviations off is odd.
pub(super) const ODD_Z: f64 = 8.0;
/// And, for a temperature, at least so far off, K.
pub(super) const ODD_KELVIN: f64 = 4.0;
/// Quarter hours after an odd value in which an event of the plant is still under way.
const ODD_BINS: u8 = 3;
/// How long a value must stand still at least.
const STUCK_US: i64 = 3 * 3_600_000_000;
/// Readings off in a row that may still be a spike.
const SPIKE_MAX: u8 = 2;
/// A value within so many standard deviations is back.
const BACK_Z: f64 = 3.0;
/// A flow below this share of what it reaches is a standstill, where a meter cuts off, and not stuck; and what that loses
/// with each quarter hour: a summer's rest does not become the measure.
const STANDS_SHARE: f64 = 0.01;
const HIGH_FADES: f64 = 1.0 / 20_000.0;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Measurement,
    NoMeasurement,
}

/// What is known of one signal's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gate {
    last: f64,
    seen: bool,
    /// Whether a reading came, and whether one differed, since the last quarter hour ended.
    came: bool,
    changed: bool,
    fresh: bool,
    moved_us: i64,
    /// What it reaches when it is lively, slowly forgotten.
    high: f64,
    off: u8,
    /// Quarter hours for which it still counts as odd.
    pub(super) odd_for: u8,
    /// Whether a counter began anew since the last quarter hour ended.
    pub(super) reset: bool,
    /// What was told of it and still holds, and when it last showed.
    pub(super) fault: Option<Fault>,
    pub(super) shown_us: i64,
    /// The last value that was a measurement.
    pub(super) measured_us: i64,
    pub(super) habit: Habit,
    pub(super) company: Company,
    pub(super) words: Words,
    pub(super) slips: Slips,
    pub(super) spikes: Spikes,
    peaks: Peaks,
    steps: Steps,
    pub(super) beyond: Beyond,
}

impl Gate {
    /// The last value, whatever it was.
    pub(super) const fn last_seen(&self) -> f64 {
        self.last
    }

    /// The value that a fault of this kind is told with.
    pub(crate) fn told_value(&self, fault: Fault) -> f64 {
        if fault == Fault::Quantised {
            return self.steps.step();
        }
        if fault == Fault::Range {
            return self.beyond.value();
        }
        self.words.value().unwrap_or(self.last)
    }

    pub(super) fn admit(
        &mut self,
        role: Role,
        at_us: i64,
        value: f64,
        tracker: &Tracker,
        prior: f64,
    ) -> Judgement {
        if is_counter(role) {
            let falls = self.seen && value < self.last - 1e-9 * self.last.abs();
            let slips = falls && slips::is_of_counter(self.last, value);
            if slips {
                self.slips.counter_slipped();
            }
            self.reset |= falls && !slips && !rolled_over(role, self.last, value);
        }
        let has_moved = !self.seen || value.to_bits() != self.last.to_bits();
        if has_moved && self.seen && !may_stand_still(role) {
            self.steps.changed(value - self.last, value);
        }
        self.changed |= has_moved;
        if has_moved {
            self.moved_us = at_us;
        }
        self.last = value;
        self.seen = true;
        self.came = true;
        let is_told = self.fault == Some(Fault::Sentinel);
        if self.words.take(role, (at_us, value), tracker, prior, is_told) {
            return Judgement::NoMeasurement;
        }
        if self.beyond.take(role, at_us, value) {
            // A wrong unit has a name of its own.
            self.slips.note(role, value, tracker.reference);
            return Judgement::NoMeasurement;
        }
        self.measured_us = at_us;
        Judgement::Measurement
    }

    /// Takes a value's step; whether it ends a spike.
    pub(super) fn stepped(&mut self, role: Role, value: f64, step: Step) -> bool {
        if may_stand_still(role) && role != Role::MakeUpFlow {
            return false;
        }
        let floor = if role.is_temperature() { ODD_KELVIN } else { 0.0 };
        if step.z.abs() >= ODD_Z && step.change.abs() >= floor {
            self.off = self.off.saturating_add(1);
            self.odd_for = ODD_BINS;
            self.slips.note(role, value, value - step.change);
            return false;
        }
        if step.z.abs() < BACK_Z {
            let was_off = std::mem::take(&mut self.off);
            self.slips.in_line();
            return (1..=SPIKE_MAX).contains(&was_off);
        }
        false
    }

    /// Takes a measurement of a slow temperature; the peak that it ends.
    pub(super) fn peaked(&mut self, role: Role, at_us: i64, value: f64) -> Option<Peak> {
        if role.is_temperature() && !may_stand_still(role) { self.peaks.take(at_us, value) } else { None }
    }

    /// Whether a reading came since the last quarter hour ended, and one of them differed.
    pub(super) const fn has_moved(&self) -> Option<bool> {
        if self.came { Some(self.changed) } else { None }
    }

    /// A quarter hour ends. `site_moves`: whether the other signals of the site moved in it. Only then does a value that
    /// stands still say anything: a station at rest, or one whose gateway repeats what it last had, stands still as a whole.
    pub(super) fn close_bin(&mut self, role: Role, site_moves: bool) {
        self.fresh = self.came;
        if !self.came {
            return;
        }
        if !is_counter(role) {
            self.slips.close_bin(self.last);
        }
        self.high = (self.high * (1.0 - HIGH_FADES)).max(self.last.abs());
        if self.changed {
            self.company = Company::default();
        }
        self.habit.close_bin(self.last, self.changed, site_moves);
        self.came = false;
        self.changed = false;
    }

    /// When its value last changed; `None` before the first live reading.
    pub(super) fn moved_us(&self) -> Option<i64> {
        self.seen.then_some(self.moved_us)
    }

    /// Whether its newest quarter hour had a reading.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// What it reaches when it is lively.
    pub(super) const fn high(&self) -> f64 {
        self.high
    }

    /// Of a flow: whether it is more than a standstill, where a meter cuts off.
    pub(super) fn flows(&self) -> bool {
        self.last.abs() >= STANDS_SHARE * self.high
    }

    pub(super) fn shows_stuck(&self, role: Role, at_us: i64) -> bool {
        let stands = is_stream(role) && !self.flows();
        if may_stand_still(role) || stands || (self.last == 0.0 && !role.is_temperature()) {
            return false;
        }
        at_us - self.moved_us >= STUCK_US && self.habit.is_broken() && self.company.has_gone(role)
    }

    /// Whether it moves in coarser steps than it used to.
    pub(super) const fn shows_steps(&self) -> bool {
        self.steps.is_coarse()
    }

    /// When a fault that shows now began.
    pub(super) fn onset_us(&self, fault: Fault, at_us: i64) -> i64 {
        match fault {
            Fault::Sentinel => self.words.since_us(),
            Fault::Stuck => self.moved_us,
            Fault::Range => self.beyond.since_us(),
            Fault::Spikes
            | Fault::UnitSlip
            | Fault::CounterReset
            | Fault::Rate
            | Fault::Swapped
            | Fault::Bias
            | Fault::Drift
            | Fault::Quantised
            | Fault::Impossible => at_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::BIN_US;

    const PRIOR: f64 = 1.0;

    fn feed(gate: &mut Gate, tracker: &mut Tracker, bin: i64, value: f64) -> Judgement {
        let at_us = (bin + 1) * BIN_US;
        let judgement = gate.admit(Role::SupplyTemperature, at_us, value, tracker, PRIOR);
        if judgement == Judgement::Measurement
            && let Some(step) = tracker.observe(at_us, value, PRIOR)
            && gate.stepped(Role::SupplyTemperature, value, step)
        {
            gate.spikes.note(at_us);
        }
        gate.close_bin(Role::SupplyTemperature, true);
        gate.habit.note_rest(true);
        judgement
    }

    fn ordinary(bins: i64) -> (Gate, Tracker) {
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        for bin in 0..bins {
            feed(&mut gate, &mut tracker, bin, 80.0 + 0.1 * (bin * 7 % 5) as f64);
        }
        (gate, tracker)
    }

    #[test]
    fn a_known_word_for_no_value_is_no_measurement_at_first_sight() {
        let (mut gate, mut tracker) = ordinary(200);
        assert_eq!(feed(&mut gate, &mut tracker, 200, -39.9), Judgement::NoMeasurement);
        assert_eq!(feed(&mut gate, &mut tracker, 201, 80.2), Judgement::Measurement);
        assert_eq!(feed(&mut gate, &mut tracker, 202, -39.9), Judgement::NoMeasurement);
        assert!(gate.words.shows(203 * BIN_US));
    }

    #[test]
    fn an_unknown_word_is_learned_by_its_exact_repeats() {
        let (mut gate, mut tracker) = ordinary(200);
        for bin in 0..3 {
            assert_eq!(feed(&mut gate, &mut tracker, 200 + 2 * bin, 33.3), Judgement::Measurement);
            feed(&mut gate, &mut tracker, 201 + 2 * bin, 80.1);
        }
        assert!(gate.words.shows(206 * BIN_US));
        gate.fault = Some(Fault::Sentinel);
        assert_eq!(feed(&mut gate, &mut tracker, 206, 33.3), Judgement::NoMeasurement);
    }

    #[test]
    fn readings_that_cannot_be_are_one_word_however_they_differ() {
        let (mut gate, mut tracker) = ordinary(200);
        for bin in 200..204 {
            let value = -7.0 - 0.1 * (bin % 5) as f64;
            assert_eq!(feed(&mut gate, &mut tracker, bin, value), Judgement::NoMeasurement);
        }
        assert!(gate.words.shows(204 * BIN_US));
        gate.fault = Some(Fault::Sentinel);
        assert_eq!(feed(&mut gate, &mut tracker, 204, 850.0), Judgement::NoMeasurement);
    }

    #[test]
    fn a_value_stands_still_longer_than_its_habit_before_it_is_stuck() {
        let (mut gate, mut tracker) = ordinary(200);
        let mut told = None;
        for bin in 200..240 {
            feed(&mut gate, &mut tracker, bin, 80.3);
            if told.is_none() && gate.shows_stuck(Role::SupplyTemperature, (bin + 1) * BIN_US) {
                told = Some(bin - 200);
            }
        }
        assert!(told.is_some_and(|bins| (11..16).contains(&bins)), "{told:?}");
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        for bin in 0..400 {
            feed(&mut gate, &mut tracker, bin, f64::from((bin as i32 / 10) % 3));
        }
        assert!(!gate.shows_stuck(Role::SupplyTemperature, 401 * BIN_US), "a coarse signal repeats itself");
    }

    #[test]
    fn three_spikes_in_a_day_are_told_and_two_are_not() {
        let (mut gate, mut tracker) = ordinary(200);
        feed(&mut gate, &mut tracker, 200, 110.0);
        feed(&mut gate, &mut tracker, 201, 80.2);
        feed(&mut gate, &mut tracker, 205, 60.0);
        feed(&mut gate, &mut tracker, 206, 80.2);
        assert!(!gate.spikes.shows(207 * BIN_US));
        feed(&mut gate, &mut tracker, 210, 105.0);
        feed(&mut gate, &mut tracker, 211, 80.2);
        assert!(gate.spikes.shows(212 * BIN_US));
    }

    fn pressures(gate: &mut Gate, tracker: &mut Tracker, seconds: std::ops::Range<i64>, level_pa: f64) {
        for at in seconds.step_by(10) {
            let (at_us, value) = (at * 1_000_000, level_pa + 1_000.0 * (at / 10 % 3) as f64);
            if gate.admit(Role::ReturnPressure, at_us, value, tracker, 1_500.0) == Judgement::Measurement
                && let Some(step) = tracker.observe(at_us, value, 1_500.0)
            {
                gate.stepped(Role::ReturnPressure, value, step);
            }
            if at % 900 == 0 {
                gate.close_bin(Role::ReturnPressure, true);
            }
        }
    }

    #[test]
    fn a_tenth_is_a_slip_and_the_way_back_from_a_burst_is_not() {
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        pressures(&mut gate, &mut tracker, 0..90_000, 300_000.0);
        pressures(&mut gate, &mut tracker, 90_000..97_200, 29_000.0);
        assert!(gate.slips.take(), "told also where the tracker has taken the new level for normal since");
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        pressures(&mut gate, &mut tracker, 0..90_000, 300_000.0);
        pressures(&mut gate, &mut tracker, 90_000..97_200, 20_000.0);
        assert!(!gate.slips.take());
        pressures(&mut gate, &mut tracker, 97_200..97_260, 200_000.0);
        assert!(!gate.slips.take(), "ten times the burst's level is no more than it was");
    }

    #[test]
    fn a_counter_of_heat_rolls_over_at_the_nines_of_its_own_unit() {
        let (kwh, mwh, gj) = (3.6e6, 3.6e9, 1e9);
        for (unit, last, first) in [
            (kwh, 99_999_999.0, 0.0),
            (kwh, 999_999.0, 12.0),
            (mwh, 9_999.0, 0.0),
            (mwh, 99_999.9, 0.1),
            (gj, 999_999.0, 1.0),
        ] {
            assert!(rolled_over(Role::HeatEnergy, last * unit, first * unit), "{last} of {unit} J");
            assert!(
                !rolled_over(Role::HeatEnergy, 0.6 * last * unit, first * unit),
                "0.6 x {last} of {unit} J"
            );
        }
        let mut gate = Gate::default();
        for value in [9_998.0, 9_999.0, 0.0, 1.0] {
            gate.admit(Role::HeatEnergy, 0, value * mwh, &Tracker::default(), PRIOR);
        }
        assert!(!gate.reset);
        for value in [5_000.0, 3.0] {
            gate.admit(Role::HeatEnergy, 0, value * mwh, &Tracker::default(), PRIOR);
        }
        assert!(gate.reset, "a counter that begins anew in the middle of its range was reset");
    }
}
