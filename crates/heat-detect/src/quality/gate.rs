//! One signal against its own past: values that stand for "no measurement", values that stand still, values that leave
//! and come back at once, factors of wrong units, counters that begin anew.
//!
//! How far a value is off is said by the burst rule's tracker, in standard deviations of the signal's own changes at
//! its scan rate. How long a value may stand still follows from how often this signal repeats itself, so a coarse or
//! slow signal is not taken for a stuck one.

use serde::{Deserialize, Serialize};

use super::{
    Fault,
    company::Company,
    peaks::{Peak, Peaks},
    range::Beyond,
    steps::Steps,
};
use crate::{
    bins::BIN_US,
    layout::Role,
    tracker::{Step, Tracker},
};

/// A value so many standard deviations off is odd.
const ODD_Z: f64 = 8.0;
/// Quarter hours after an odd value in which an event of the plant is still under way.
const ODD_BINS: u8 = 3;
/// And, for a temperature, at least so far off, K.
const ODD_KELVIN: f64 = 4.0;
/// And, for a pressure that may mean "no measurement", Pa: the swings of a loss or a pump are smaller, and a coarse meter
/// repeats its values in them.
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
/// How long a value must stand still at least, in time and in quarter hours with readings, and the chance that is left
/// to it: a slow scan has few readings, and each of them says more.
const STUCK_US: i64 = 3 * 3_600_000_000;
const STUCK_BINS: u16 = 5;
/// What a signal's longest rest loses with each quarter hour with readings.
const REST_FADES: f32 = 1.0 / 1_500.0;
const STUCK_LOG_CHANCE: f64 = -15.0;
/// Memory of the habit of repeating, quarter hours.
const HABIT_BINS: f32 = 2_000.0;
/// Weight of a look in the habit of the last day, and how much calmer than usual that must be to count.
const CALM_WEIGHT: f32 = 1.0 / 24.0;
const CALMER: f32 = 0.1;
/// Where it has moved by less than this share of its usual stride, it must stand still so many times longer.
const CALM_STRIDE: f32 = 0.25;
const CALM_LOOKS: f64 = 3.0;
/// Quarter hours before that habit is known, and those in which it must have moved: what never did has no habit.
const HABIT_KNOWN: u16 = 96;
const MOVED_MIN: u16 = 24;
/// Readings off in a row that may still be a spike.
const SPIKE_MAX: u8 = 2;
/// A value within so many standard deviations is back.
const BACK_Z: f64 = 3.0;
/// Days over which spikes are counted; and what a signal is taken to have by nature, per day.
const SPIKE_DAYS: f32 = 14.0;
const SPIKES_PRIOR: f32 = 0.02;
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

/// Whether a signal of this role may rightly stand still for hours.
pub(crate) const fn may_stand_still(role: Role) -> bool {
    match role {
        Role::SupplyFlow
        | Role::ReturnFlow
        | Role::SupplyPressure
        | Role::ReturnPressure
        | Role::DifferentialPressure
        | Role::SupplyTemperature
        | Role::ReturnTemperature
        | Role::HeatPower
        | Role::OutdoorTemperature
        | Role::IndoorTemperature
        | Role::SteamFlow
        | Role::SteamPressure
        | Role::SteamTemperature
        | Role::CondensateFlow
        | Role::CondensateTemperature
        | Role::SecondarySupplyTemperature
        | Role::SecondaryReturnTemperature
        | Role::SecondarySupplyPressure
        | Role::SecondaryReturnPressure
        | Role::SecondarySupplyFlow
        | Role::SecondaryReturnFlow => false,
        Role::MakeUpFlow
        | Role::MakeUpTemperature
        | Role::MakeUpVolume
        | Role::ReliefFlow
        | Role::MakeUpTankLevel
        | Role::PlannedHeatPower
        | Role::AvailableHeatPower
        | Role::HeatEnergy
        | Role::Volume
        | Role::SetPointTemperature
        | Role::PumpRunning
        | Role::PumpSpeed
        | Role::MakeUpPumpRunning
        | Role::PowerSupply
        | Role::ValveOpening
        | Role::ChamberWaterLevel
        | Role::LeakWireResistance
        | Role::SecondarySetPointTemperature
        | Role::SecondaryMakeUpFlow
        | Role::SecondaryMakeUpVolume => true,
    }
}

/// Whether it is a flow, or the heat that goes with it: they may stand for as long as the plant does.
const fn is_stream(role: Role) -> bool {
    matches!(
        role,
        Role::SupplyFlow
            | Role::ReturnFlow
            | Role::HeatPower
            | Role::SteamFlow
            | Role::CondensateFlow
            | Role::SecondarySupplyFlow
            | Role::SecondaryReturnFlow
    )
}

const fn is_counter(role: Role) -> bool {
    matches!(role, Role::MakeUpVolume | Role::HeatEnergy | Role::Volume | Role::SecondaryMakeUpVolume)
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
    /// Quarter hours for which the value has stood still; the longest such time that ended, and the one that just did.
    still: u16,
    longest: f32,
    rested: u16,
    moved_us: i64,
    /// Quarter hours with readings since then, whatever the site did.
    rests: u16,
    bins: u16,
    /// Mean of the quarter hours' last values over a day or so.
    level: f64,
    moved: u16,
    /// What it reaches when it is lively, slowly forgotten.
    high: f64,
    /// Quarter hours in which the site moved, and the share of them without a change.
    looks: u16,
    repeats: f32,
    /// The same over the last day or so, and how far it moves from one quarter hour to the next, usually and over the last
    /// day or so: a circuit that comes to rest grows calm.
    calm: f32,
    closed: f64,
    stride: f32,
    recent_stride: f32,
    /// The odd value that may mean "no measurement".
    odd: f64,
    hits: u16,
    odd_values: u16,
    was_in_line: bool,
    first_hit_us: i64,
    hit_us: i64,
    is_known_word: bool,
    off: u8,
    slips: u8,
    slip: u8,
    /// Quarter hours for which it still counts as odd.
    pub(super) odd_for: u8,
    /// Whether it slipped, and whether a counter began anew, since the last quarter hour ended.
    pub(super) slipped: bool,
    pub(super) reset: bool,
    /// What was told of it and still holds, and when it last showed.
    pub(super) fault: Option<Fault>,
    pub(super) shown_us: i64,
    /// Spikes a day by nature, and those of the last day.
    spike_rate: f32,
    spikes: f32,
    spiked_us: i64,
    peaks: Peaks,
    steps: Steps,
    pub(super) beyond: Beyond,
    pub(super) company: Company,
    /// The last value that was a measurement.
    pub(super) measured_us: i64,
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
        if self.hits >= KNOWN_HITS { self.odd } else { self.last }
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
            self.reset |= falls && !rolled_over(role, self.last, value);
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
        if self.is_sentinel(role, at_us, value, tracker, prior) {
            return Judgement::NoMeasurement;
        }
        if self.beyond.take(role, at_us, value) {
            // A wrong unit has a name of its own.
            self.note_slip(role, value, tracker.reference);
            return Judgement::NoMeasurement;
        }
        self.measured_us = at_us;
        Judgement::Measurement
    }

    fn is_sentinel(&mut self, role: Role, at_us: i64, value: f64, tracker: &Tracker, prior: f64) -> bool {
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
            self.hits > 0 && (value.to_bits() == self.odd.to_bits() || (is_impossible && self.is_known_word));
        if is_again {
            // A coarse signal repeats its values by itself; a word comes and goes.
            if is_word || std::mem::take(&mut self.was_in_line) {
                self.hits = self.hits.saturating_add(1);
            }
        } else if !self.is_told_sentinel() {
            self.odd = value;
            self.hits = 1;
            // What else was odd before does not speak against a value that cannot be.
            if is_word {
                self.odd_values = 1;
            }
            self.first_hit_us = at_us;
            self.is_known_word = is_word;
            self.was_in_line = false;
        } else {
            return false;
        }
        self.hit_us = at_us;
        is_impossible || (is_again && self.fault == Some(Fault::Sentinel))
    }

    fn is_told_sentinel(&self) -> bool {
        self.fault == Some(Fault::Sentinel)
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
            let reference = value - step.change;
            self.note_slip(role, value, reference);
            return false;
        }
        if step.z.abs() < BACK_Z {
            let was_off = std::mem::take(&mut self.off);
            self.slips = 0;
            return (1..=SPIKE_MAX).contains(&was_off);
        }
        false
    }

    /// Takes a measurement of a slow temperature; the peak that it ends.
    pub(super) fn peaked(&mut self, role: Role, at_us: i64, value: f64) -> Option<Peak> {
        if role.is_temperature() && !may_stand_still(role) { self.peaks.take(at_us, value) } else { None }
    }

    fn note_slip(&mut self, role: Role, value: f64, reference: f64) {
        let found = SLIPS.iter().position(|&factor| {
            (value / reference / factor - 1.0).abs() < SLIP_NEAR && self.is_at(factor, value)
        });
        match found.and_then(|index| u8::try_from(index + 1).ok()) {
            // Make-up goes from a trickle to filling and back.
            Some(slip) if !role.is_temperature() && role != Role::MakeUpFlow => {
                self.slips = if slip == self.slip { self.slips.saturating_add(1) } else { 1 };
                self.slip = slip;
                self.slipped |= self.slips >= SLIP_HITS;
            }
            _ => self.slips = 0,
        }
    }

    /// Whether a value lies at so many times the level of the last day.
    fn is_at(&self, factor: f64, value: f64) -> bool {
        (value / self.level / factor).ln().abs() < SLIP_OF_LEVEL
    }

    /// A spike of this signal was no event of the plant.
    pub(super) fn spiked(&mut self, at_us: i64) {
        self.fade(at_us);
        self.spikes += 1.0;
        self.spike_rate += 1.0 / SPIKE_DAYS;
    }

    /// Lets spikes of a day, and the natural rate of two weeks, fade.
    fn fade(&mut self, at_us: i64) {
        if self.spiked_us != 0 {
            let days = (at_us - self.spiked_us) as f32 / 86_400e6;
            self.spikes *= (-days).exp();
            self.spike_rate *= (-days / SPIKE_DAYS).exp();
        }
        self.spiked_us = at_us;
    }

    /// Whether a reading came since the last quarter hour ended, and one of them differed.
    pub(super) const fn has_moved(&self) -> Option<bool> {
        if self.came { Some(self.changed) } else { None }
    }

    /// A quarter hour ends. `site_moves`: whether the other signals of the site moved in it. Only then does a value that
    /// stands still say anything: a station at rest, or one whose gateway repeats what it last had, stands still as a whole.
    pub(super) fn close_bin(&mut self, site_moves: bool) {
        self.fresh = self.came;
        if !self.came {
            return;
        }
        self.bins = self.bins.saturating_add(1);
        let stands = |slip: u8| {
            SLIPS.get(usize::from(slip).wrapping_sub(1)).is_some_and(|&factor| self.is_at(factor, self.last))
        };
        self.slipped = self.slipped && stands(self.slip);
        self.level += (self.last - self.level) / f64::from(self.bins.min(LEVEL_BINS));
        self.high = (self.high * (1.0 - HIGH_FADES)).max(self.last.abs());
        self.rests = if self.changed { 0 } else { self.rests.saturating_add(1) };
        if self.changed {
            self.company = Company::default();
            self.rested = self.still;
            self.still = 0;
            self.moved = self.moved.saturating_add(1);
        } else if site_moves {
            self.still = self.still.saturating_add(1);
        }
        if site_moves {
            self.looks = self.looks.saturating_add(1);
            let weight = 1.0 / f32::from(self.looks).min(HABIT_BINS);
            // The first has nothing before it.
            let stride = if self.bins > 1 { (self.last - self.closed).abs() as f32 } else { 0.0 };
            self.stride += weight * (stride - self.stride);
            if self.still < STUCK_BINS {
                // One start of the plant does not make the day lively.
                self.recent_stride += CALM_WEIGHT * (stride.min(2.0 * self.stride) - self.recent_stride);
            }
            // What is held against it does not become its habit.
            if self.changed {
                self.repeats -= weight * self.repeats;
                self.calm -= CALM_WEIGHT * self.calm;
            } else if self.still < STUCK_BINS {
                self.repeats += weight * (1.0 - self.repeats);
                self.calm += CALM_WEIGHT * (1.0 - self.calm);
            }
        }
        self.closed = self.last;
        self.came = false;
        self.changed = false;
    }

    /// A rest that ended while the rest of its site moved is how this signal is; one that was its fault is not.
    pub(super) fn note_rest(&mut self, site_moves: bool) {
        self.longest *= 1.0 - REST_FADES;
        let rested = std::mem::take(&mut self.rested);
        if site_moves && self.fault != Some(Fault::Stuck) {
            self.longest = self.longest.max(f32::from(rested));
        }
    }

    /// Whether it has moved often enough to be known for it.
    pub(super) const fn is_known_to_move(&self) -> bool {
        self.moved >= MOVED_MIN
    }

    /// Logarithm of the chance that it repeats itself for as long as it has.
    pub(super) fn log_chance_of_rest(&self) -> f64 {
        f64::from(self.rests) * f64::from(self.repeats.max(0.05)).ln().min(-1e-3)
    }

    /// When its value last changed; `None` before the first live reading.
    pub(super) fn moved_us(&self) -> Option<i64> {
        self.seen.then_some(self.moved_us)
    }

    /// Whether its newest quarter hour had a reading.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether the value has stood still for an hour's worth of looks.
    pub(super) const fn is_still(&self) -> bool {
        self.still >= 4
    }

    /// Of a flow: whether it is more than a standstill, where a meter cuts off.
    pub(super) fn flows(&self) -> bool {
        self.last.abs() >= STANDS_SHARE * self.high
    }

    pub(super) fn shows_stuck(&self, role: Role, at_us: i64) -> bool {
        let is_known = self.looks >= HABIT_KNOWN && self.moved >= MOVED_MIN;
        let stands = is_stream(role) && !self.flows();
        if may_stand_still(role) || !is_known || stands || (self.last == 0.0 && !role.is_temperature()) {
            return false;
        }
        let repeats = if self.calm > 2.0 * self.repeats + CALMER { self.calm } else { self.repeats };
        let slows = if self.recent_stride < CALM_STRIDE * self.stride { CALM_LOOKS } else { 1.0 };
        let habit = f64::from(repeats.max(0.05)).ln();
        let by_chance = STUCK_LOG_CHANCE / habit.min(-1e-3);
        at_us - self.moved_us >= STUCK_US
            && f64::from(self.still)
                >= slows * by_chance.max(f64::from(STUCK_BINS)).max(2.0 * f64::from(self.longest))
    }

    /// Whether the odd value is one that cannot be a measurement.
    pub(super) const fn is_known_word(&self) -> bool {
        self.is_known_word
    }

    pub(super) fn shows_sentinel(&self, at_us: i64) -> bool {
        let needed = if self.is_known_word { KNOWN_HITS } else { SENTINEL_HITS };
        // Nearly all that is odd about the signal is this one value.
        self.hits >= needed
            && 4 * u32::from(self.odd_values) <= 5 * u32::from(self.hits) + 4
            && at_us - self.hit_us <= 2 * BIN_US
    }

    /// Whether it spiked now, and more often in the last day than this signal does by nature.
    pub(super) fn shows_spikes(&self, at_us: i64) -> bool {
        let natural = f64::from((self.spike_rate - self.spikes / SPIKE_DAYS).max(SPIKES_PRIOR));
        // A Poisson count of this mean passes that once in some thousand days.
        at_us == self.spiked_us && f64::from(self.spikes) > 1.9 + natural + 3.7 * natural.sqrt()
    }

    /// Whether it moves in coarser steps than it used to.
    pub(super) const fn shows_steps(&self) -> bool {
        self.steps.is_coarse()
    }

    /// When a fault that shows now began.
    pub(super) fn onset_us(&self, fault: Fault, at_us: i64) -> i64 {
        match fault {
            Fault::Sentinel => self.first_hit_us,
            Fault::Stuck => self.moved_us,
            Fault::Range => self.beyond.since_us(),
            Fault::Spikes
            | Fault::UnitSlip
            | Fault::CounterReset
            | Fault::Swapped
            | Fault::Bias
            | Fault::Drift
            | Fault::Quantised => at_us,
        }
    }
}

/// Whether a counter went from just below its top to just above zero: a power of ten of what it counts in. Values here are
/// SI, so the tops of kWh and MWh are 3.6 times a power of ten J.
fn rolled_over(role: Role, before: f64, after: f64) -> bool {
    let units: &[f64] = if role == Role::HeatEnergy { &[1.0, 3.6] } else { &[1.0] };
    units.iter().any(|unit| {
        let top = unit * 10_f64.powf((before / unit).max(1e-9).log10().ceil());
        before > 0.95 * top && after < 0.05 * top
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: f64 = 1.0;

    fn feed(gate: &mut Gate, tracker: &mut Tracker, bin: i64, value: f64) -> Judgement {
        let at_us = (bin + 1) * BIN_US;
        let judgement = gate.admit(Role::SupplyTemperature, at_us, value, tracker, PRIOR);
        if judgement == Judgement::Measurement
            && let Some(step) = tracker.observe(at_us, value, PRIOR)
            && gate.stepped(Role::SupplyTemperature, value, step)
        {
            gate.spiked(at_us);
        }
        gate.close_bin(true);
        gate.note_rest(true);
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
        assert!(gate.shows_sentinel(203 * BIN_US));
    }

    #[test]
    fn an_unknown_word_is_learned_by_its_exact_repeats() {
        let (mut gate, mut tracker) = ordinary(200);
        for bin in 0..3 {
            assert_eq!(feed(&mut gate, &mut tracker, 200 + 2 * bin, 33.3), Judgement::Measurement);
            feed(&mut gate, &mut tracker, 201 + 2 * bin, 80.1);
        }
        assert!(gate.shows_sentinel(206 * BIN_US));
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
        assert!(gate.shows_sentinel(204 * BIN_US));
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
        assert!(!gate.shows_spikes(207 * BIN_US));
        feed(&mut gate, &mut tracker, 210, 105.0);
        feed(&mut gate, &mut tracker, 211, 80.2);
        assert!(gate.shows_spikes(212 * BIN_US));
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
                gate.close_bin(true);
            }
        }
    }

    #[test]
    fn a_tenth_is_a_slip_and_the_way_back_from_a_burst_is_not() {
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        pressures(&mut gate, &mut tracker, 0..90_000, 300_000.0);
        pressures(&mut gate, &mut tracker, 90_000..97_200, 29_000.0);
        assert!(gate.slipped, "told also where the tracker has taken the new level for normal since");
        let (mut gate, mut tracker) = (Gate::default(), Tracker::default());
        pressures(&mut gate, &mut tracker, 0..90_000, 300_000.0);
        pressures(&mut gate, &mut tracker, 90_000..97_200, 20_000.0);
        assert!(!gate.slipped);
        pressures(&mut gate, &mut tracker, 97_200..97_260, 200_000.0);
        assert!(!gate.slipped, "ten times the burst's level is no more than it was");
    }

    #[test]
    fn a_counter_that_rolls_over_is_not_reset() {
        assert!(rolled_over(Role::Volume, 99_999.0, 3.0));
        assert!(!rolled_over(Role::Volume, 51_000.0, 3.0));
        assert!(!rolled_over(Role::Volume, 35_999.0, 3.0), "no counter of volume ends there");
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
