//! From residuals to verdicts: is it a leak, what kind, how large, is it over.
//!
//! Two ways lead to a leak. A rush, two quarter hours in a row beyond everything seen in quiet times, is said at once. All
//! else must pass a sequential test ([`super::sequential`]), last longer than a plant draws in normal operation, be
//! believed against the other meters ([`super::witness`]), and show whether it began at once or grows
//! ([`super::shape`]); each of these may make it wait, and none for longer than half a day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    Balance, Input, Leak, Verdict,
    make_up::Metering,
    on_top::{OnTop, Step},
    sequential::Bank,
    shape::{self, Shape},
};
use crate::{
    DetectSettings,
    bins::BINS_PER_DAY,
    budget::{Budget, Test},
};

/// Smallest leak worth an incident, share of circulation: what good networks lose all the time wanders by as much.
const LEAK_MIN_SHARE: f64 = 0.001;
/// And as a share of what is always lost, for a step and for a ramp: base losses wander by a tenth within hours and by
/// as much as they are within a week.
const STEP_MIN_OF_LEVEL: f64 = 0.35;
const RAMP_MIN_OF_LEVEL: f64 = 0.8;
/// From this share of circulation on, two quarter hours are enough: no sampling, blow-down or filter draws as much.
pub(super) const FAST_SHARE: f64 = 0.008;
/// Below this share of circulation a leak's shape is looked at for a while before it is said.
pub(super) const ABRUPT_MIN_SHARE: f64 = 0.003;
/// Below this share of circulation nothing pages: it goes to the list for tomorrow.
const PAGE_MIN_SHARE: f64 = 0.0015;
/// For so many bins: 6 h.
const SMALL_WAIT_BINS: i64 = 24;
/// A leak just said that shows to be so many times as large is of that size at once.
const RESIZED: f64 = 3.0;
/// Prior log odds of a leak against a faulty make-up meter, before the other meters are heard: 5 to 1.
const PRIOR_LOG_ODDS: f64 = 1.6;
/// Log odds at which the witnesses have decided: 20 to 1.
const DECIDED: f64 = 3.0;
/// Log likelihood ratio at which step or ramp is decided: 55 to 1.
const SHAPE_DECIDED: f64 = 4.0;
/// The same for a small step.
const SMALL_STEP_DECIDED: f64 = 14.0;
/// Steps below this share of circulation must be that clear.
const STEP_CLEAR_SHARE: f64 = 0.005;
/// Hours since its start before anything is called growing.
const RAMP_HOURS: f64 = 4.0;
/// Bins between an alarm and the latest decision on its shape or its meter: 12 h.
const WAIT_BINS: i64 = 48;
/// Where no make-up is metered: standard deviations of the account that an excess must exceed to be said, and to page; and
/// the bins since its onset in which it can, for what takes longer to show may be the meters' wander: a day.
const DOUBT_MAX: f64 = 3.0;
/// Below so many it is learned.
const LEARN_DOUBT_MAX: f64 = 1.8;
pub(super) const PAGE_DOUBT_MAX: f64 = 5.0;
const PAGE_AGE_BINS: i64 = BINS_PER_DAY as i64;
/// Bins below 30 % before a leak is over.
const CLEAR_BINS: u32 = 8;
/// Bins that an evening's draw may last: 5 h.
const EVENING_BINS: i64 = 20;
/// Fall of the held pressure that shows a make-up at its limit, Pa.
pub(super) const HOLD_DROP_PA: f64 = 20_000.0;

/// A make-up meter that contradicts the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Fault {
    onset: i64,
    excess: f64,
    below: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Judge {
    quarter: Bank,
    hour: Bank,
    hour_sum: f64,
    hour_count: u32,
    /// The leak said, if one is.
    pub(super) open: Option<Leak>,
    pub(super) on_top: OnTop,
    fault: Option<Fault>,
    below: u32,
    /// First bin in alarm while something is undecided.
    waiting_since: Option<i64>,
    /// What lies before is another leak's.
    pub(super) fresh_since: i64,
    /// Onset and first bin in alarm of what may be an evening's draw.
    evening: Option<(i64, i64)>,
    /// Largest clean residual over two bins in a row, for the fast path.
    clean_pair_max: f64,
    previous: Option<(i64, f64)>,
    before: f64,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self {
            quarter: Bank::new(&[0.5, 1.0]),
            hour: Bank::new(&[0.25, 0.5]),
            hour_sum: 0.0,
            hour_count: 0,
            open: None,
            on_top: OnTop::default(),
            fault: None,
            below: 0,
            waiting_since: None,
            fresh_since: i64::MIN,
            evening: None,
            clean_pair_max: 0.0,
            previous: None,
            before: 0.0,
        }
    }

    pub(super) fn forget(&mut self) {
        self.quarter.reset();
        self.hour.reset();
        self.hour_sum = 0.0;
        self.hour_count = 0;
        self.waiting_since = None;
        self.evening = None;
        self.previous = None;
        self.below = 0;
    }

    pub(super) fn suspicion(&self) -> f64 {
        self.quarter.suspicion().max(self.hour.suspicion())
    }

    pub(super) fn is_suspicious(&self) -> bool {
        self.open.is_some() || self.fault.is_some() || self.suspicion() > 0.5
    }

    pub(super) fn is_calibrated(&self) -> bool {
        self.quarter.is_calibrated()
    }

    pub(super) fn calibrate(&mut self, history: &VecDeque<f32>, settings: &DetectSettings) {
        let budget = Budget::of(settings);
        let residuals: Vec<f64> = history.iter().map(|r| f64::from(*r)).collect();
        self.quarter.calibrate(&residuals, BINS_PER_DAY, budget.share(Test::BalanceQuarters));
        let hours: Vec<f64> = residuals.chunks_exact(4).map(|hour| hour.iter().sum::<f64>() / 4.0).collect();
        self.hour.calibrate(&hours, 24, budget.share(Test::BalanceHours));
    }

    pub(super) fn test(&mut self, bin: i64, residual: f64) {
        if self.open.is_some() || self.fault.is_some() {
            return;
        }
        self.quarter.observe(bin, residual);
        self.hour_sum += residual;
        self.hour_count += 1;
        if bin.rem_euclid(4) == 3 {
            self.hour.observe(bin, self.hour_sum / f64::from(self.hour_count));
            self.hour_sum = 0.0;
            self.hour_count = 0;
        }
    }

    fn shape(&self, recent: &VecDeque<(i64, f32)>, onset: i64) -> Option<Shape> {
        let noise = shape::Noise { correlation: self.hour.correlation(), sigma: self.hour.sigma() };
        shape::fit(recent, onset, self.fresh_since, noise)
    }
}

impl Balance {
    /// Whether this and the last quarter hour, as they were fed, are beyond what quiet times show.
    pub(super) fn is_rush(&mut self, bin: i64, residual: f64) -> bool {
        let scale = self.full_scale();
        let judge = &mut self.judge;
        let before = judge.before;
        let previous = judge.previous.replace((bin, residual));
        let Some((_, last)) = previous.filter(|(last, _)| last + 1 == bin) else {
            judge.before = residual;
            return false;
        };
        let pair = last.min(residual);
        judge.before += (last - judge.before) / 4.0;
        let is_rush = judge.quarter.is_calibrated()
            && pair > 8.0 * judge.quarter.sigma().max(self.loss.scale)
            && pair > 1.5 * judge.clean_pair_max
            && pair > FAST_SHARE * scale
            && before < 0.3 * pair;
        if !judge.is_suspicious() && !is_rush {
            judge.clean_pair_max = (judge.clean_pair_max * 0.9997).max(pair);
        }
        is_rush
    }

    /// Says a rush, unless the other meters contradict it.
    pub(super) fn say_rush(
        &mut self,
        settings: &DetectSettings,
        input: &Input<'_>,
        verdicts: &mut Vec<Verdict>,
    ) {
        for quarter in self.batches.flush() {
            self.step(settings, input, &quarter, verdicts);
        }
        let onset = input.bin - 1;
        let Some((mean, count)) = self.loss.mean_since(onset) else { return };
        let is_doubtful = mean < PAGE_DOUBT_MAX * self.doubt(count).total();
        if self.is_leaking() || is_doubtful || self.log_odds(onset, mean, count) < PRIOR_LOG_ODDS {
            return;
        }
        let strength = mean / self.judge.quarter.sigma().max(1e-9);
        self.say(true, onset, mean, strength, verdicts);
    }

    /// Asks what the tests make of the account up to a bin.
    pub(super) fn ask_judge(
        &mut self,
        _settings: &DetectSettings,
        input: &Input<'_>,
        bin: i64,
        verdicts: &mut Vec<Verdict>,
    ) {
        if self.judge.open.is_some() {
            self.follow(input, bin, verdicts);
            return;
        }
        if self.judge.fault.is_some() {
            self.follow_fault(bin, verdicts);
            return;
        }
        let tests = self.judge.quarter.alarm().into_iter().chain(self.judge.hour.alarm());
        let Some(test) = tests.min_by_key(|test| test.since) else {
            self.judge.waiting_since = None;
            self.end_evening(bin, verdicts);
            return;
        };
        let onset = test.since;
        let Some((mean, count)) = self.loss.mean_since(onset) else { return };
        let scale = self.full_scale();
        let recent = self.loss.mean_since(bin - 3).map_or(mean, |(recent, _)| recent);
        let doubt = self.doubt(count);
        if recent.max(mean) < self.least(STEP_MIN_OF_LEVEL).max(DOUBT_MAX * doubt.total()) {
            return;
        }
        if input.may_drain && self.judge.evening.is_none() && recent < FAST_SHARE * scale {
            self.judge.evening = Some((onset, bin));
        }
        if let Some((_, since)) = self.judge.evening {
            if recent < 0.3 * mean {
                self.end_evening(bin, verdicts);
                return;
            }
            if bin - since < EVENING_BINS {
                return;
            }
            self.judge.evening = None;
        }
        if !self.loss.persists(0.5 * mean.max(recent)) {
            return;
        }
        let since = *self.judge.waiting_since.get_or_insert(bin);
        let waited = bin - since;
        let log_odds = self.log_odds(onset, mean, count);
        if log_odds < -DECIDED || (log_odds < 0.0 && waited >= 2 * WAIT_BINS) {
            self.judge.waiting_since = None;
            self.judge.fault = Some(Fault { onset, excess: mean, below: 0 });
            verdicts.push(Verdict::MeterFault { onset_bin: onset, excess_kg_s: mean });
            return;
        }
        // Witnesses who lean the other way are given an hour to make up their mind, and half a day if they insist.
        let needed = match waited {
            ..4 => PRIOR_LOG_ODDS,
            4..WAIT_BINS => 0.0,
            _ => -0.5 * DECIDED,
        };
        if log_odds < needed {
            return;
        }
        let Some(abrupt) = self.is_step(onset, recent / scale, waited) else { return };
        let pages = mean.max(recent) > PAGE_DOUBT_MAX * doubt.total() && bin - onset <= PAGE_AGE_BINS;
        let abrupt = abrupt && (pages || self.metering != Metering::Nothing);
        if !abrupt && recent < self.least(RAMP_MIN_OF_LEVEL) {
            return;
        }
        self.say(abrupt, onset, mean, test.sum, verdicts);
    }

    /// Whether what the tests suspect is, over the newest bins, no more than the big meters' wander may be.
    pub(super) fn is_within_doubt(&self, bins: i64) -> bool {
        if self.metering != Metering::Nothing || self.judge.open.is_some() {
            return false;
        }
        let newest = self.loss.recent.back().map_or(i64::MIN, |(bin, _)| *bin);
        let recent = self.loss.mean_since(newest.saturating_sub(bins - 1));
        recent.is_some_and(|(mean, count)| mean < LEARN_DOUBT_MAX * self.doubt(count).total())
    }

    /// Smallest excess that counts, in the unit of the account.
    fn least(&self, of_level: f64) -> f64 {
        (LEAK_MIN_SHARE * self.full_scale()).max(of_level * self.loss.level())
    }

    /// Whether it began at once; `None` while that is worth waiting for.
    fn is_step(&self, onset: i64, share: f64, waited: i64) -> Option<bool> {
        let is_small = share < ABRUPT_MIN_SHARE;
        // A sudden leak shows its full size at once; one this small can wait for the data to show whether it grows.
        if is_small && waited < SMALL_WAIT_BINS {
            return None;
        }
        let clear = if share < STEP_CLEAR_SHARE { SMALL_STEP_DECIDED } else { SHAPE_DECIDED };
        match self.judge.shape(&self.loss.recent, onset) {
            Some(Shape { ramp_over_step, .. }) if ramp_over_step < -clear => Some(share >= PAGE_MIN_SHARE),
            // What grows within hours is a break, not a crack.
            Some(Shape { ramp_over_step, ramp_hours })
                if ramp_over_step > SHAPE_DECIDED && ramp_hours >= RAMP_HOURS =>
            {
                Some(false)
            }
            _ if waited < WAIT_BINS => None,
            // What is small and not clearly sudden goes to the list for tomorrow, not to the pager.
            shape => Some(!is_small && shape.is_some_and(|shape| shape.ramp_over_step < 0.0)),
        }
    }

    fn say(&mut self, abrupt: bool, onset: i64, mean: f64, strength: f64, verdicts: &mut Vec<Verdict>) {
        self.judge.waiting_since = None;
        self.judge.evening = None;
        self.judge.below = 0;
        let newest = self.loss.recent.back().map_or(onset, |(bin, _)| *bin);
        let size = self.loss.mean_since(newest - 3).map_or(mean, |(recent, _)| recent.max(mean));
        let mut leak = Leak {
            abrupt,
            onset_bin: onset,
            loss_kg_s: size,
            strength,
            fault_probability: 0.0,
            share: 0.0,
            supply_side: None,
            at_least: false,
            unmetered_kg_s: None,
            rough: !(self.metering.is_mass() || self.metering == Metering::Nothing),
            heard: 1.0,
            has_witness: false,
            step: None,
            unsure_load: false,
        };
        self.fill(&mut leak);
        verdicts.push(Verdict::Leak(self.told(&leak)));
        self.judge.on_top.begin(&self.judge.quarter);
        self.judge.open = Some(leak);
    }

    /// The leak as it is told: in kg/s, also where the account has a unit of its own.
    fn told(&self, leak: &Leak) -> Leak {
        let mut told = leak.clone();
        told.loss_kg_s = leak.share * self.circulation;
        if leak.rough {
            let scale = self.circulation / self.full_scale();
            told.step = told.step.map(|step| Step { height: step.height * scale, ..step });
        } else {
            told.loss_kg_s = leak.loss_kg_s + leak.unmetered_kg_s.unwrap_or(0.0);
        }
        told
    }

    /// What the other meters add to a leak.
    fn fill(&self, leak: &mut Leak) {
        let scale = self.full_scale();
        leak.share = leak.loss_kg_s / scale;
        leak.at_least = self.saturated;
        let Some((mean, count)) = self.loss.mean_since(leak.onset_bin) else { return };
        let newest = self.loss.recent.back().map_or(leak.onset_bin, |(bin, _)| *bin);
        leak.heard = (f64::from(count) / (newest - leak.onset_bin + 1).max(1) as f64).min(1.0);
        let share = mean / scale;
        let testimony =
            self.metering.is_mass().then(|| self.witness.ask(leak.onset_bin, share, count)).flatten();
        let log_odds = PRIOR_LOG_ODDS + testimony.map_or(0.0, |testimony| testimony.log_odds);
        leak.fault_probability =
            if self.metering.is_mass() { 1.0 / (1.0 + log_odds.clamp(-50.0, 50.0).exp()) } else { 0.0 };
        leak.has_witness = testimony.is_some();
        let doubt = self.doubt(count);
        leak.unsure_load = leak.loss_kg_s < PAGE_DOUBT_MAX * doubt.load && doubt.load > 0.5 * doubt.wander;
        if let Some(testimony) = testimony {
            leak.supply_side = testimony.supply_side;
            let (shift, sigma) = testimony.imbalance;
            let more = shift - share;
            leak.unmetered_kg_s = (more > 3.0 * sigma && more > 0.5 * share).then_some(more * scale);
        }
    }

    /// Log odds of a leak against a faulty make-up meter.
    pub(super) fn log_odds(&self, onset: i64, excess: f64, bins: u32) -> f64 {
        if !self.metering.is_mass() {
            return PRIOR_LOG_ODDS;
        }
        let testimony = self.witness.ask(onset, excess / self.full_scale(), bins);
        PRIOR_LOG_ODDS + testimony.map_or(0.0, |testimony| testimony.log_odds)
    }

    /// An evening's draw that has ended is told as such.
    fn end_evening(&mut self, bin: i64, verdicts: &mut Vec<Verdict>) {
        let Some((onset, _)) = self.judge.evening.take() else { return };
        let until = bin - 1;
        if let Some(mean) = self.loss.mean_of(onset, until) {
            verdicts.push(Verdict::Drained { onset_bin: onset, loss_kg_s: mean.max(0.0) });
        }
        self.judge.quarter.reset();
        self.judge.hour.reset();
    }

    /// The leak is said: its size is followed, and its end.
    fn follow(&mut self, input: &Input<'_>, bin: i64, verdicts: &mut Vec<Verdict>) {
        let Some(mut leak) = self.judge.open.clone() else { return };
        let window = if leak.abrupt { 8 } else { 16 };
        let Some((recent, _)) = self.loss.mean_since(bin - window + 1) else {
            verdicts.push(Verdict::Leak(self.told(&leak)));
            return;
        };
        if recent < 0.3 * leak.loss_kg_s {
            self.judge.below += 1;
            if self.judge.below >= CLEAR_BINS {
                self.judge.fresh_since = bin - i64::from(CLEAR_BINS);
                self.end(verdicts);
            } else {
                verdicts.push(Verdict::Leak(self.told(&leak)));
            }
            return;
        }
        self.judge.below = 0;
        if let Some(step) = self.step_on_top(input, &leak) {
            leak.abrupt = true;
            leak.onset_bin = step.onset_bin;
            leak.loss_kg_s = self.loss.mean_since(bin - 3).map_or(recent, |(newest, _)| newest);
            leak.step = Some(step);
            self.judge.on_top.begin(&self.judge.quarter);
        }
        let least = self.loss.least_of(4);
        if least > RESIZED * leak.loss_kg_s && least > ABRUPT_MIN_SHARE * self.full_scale() {
            leak.loss_kg_s = least;
        }
        leak.loss_kg_s += (recent - leak.loss_kg_s) / 8.0;
        self.fill(&mut leak);
        verdicts.push(Verdict::Leak(self.told(&leak)));
        self.judge.open = Some(leak);
    }

    fn end(&mut self, verdicts: &mut Vec<Verdict>) {
        self.judge.open = None;
        self.judge.forget();
        self.suspect_since = None;
        verdicts.push(Verdict::Over);
    }

    /// A meter's fault is said: it ends when the excess does, or when the others come to confirm a leak.
    fn follow_fault(&mut self, bin: i64, verdicts: &mut Vec<Verdict>) {
        let Some(mut fault) = self.judge.fault else { return };
        let Some((recent, _)) = self.loss.mean_since(bin - 7) else { return };
        fault.below = if recent < 0.3 * fault.excess { fault.below + 1 } else { 0 };
        fault.excess = fault.excess.max(recent);
        self.judge.fault = Some(fault);
        if fault.below >= CLEAR_BINS {
            self.judge.fault = None;
            self.judge.forget();
            verdicts.push(Verdict::MeterWell);
            return;
        }
        let Some((mean, count)) = self.loss.mean_since(fault.onset) else { return };
        if self.log_odds(fault.onset, mean, count) > DECIDED {
            self.judge.fault = None;
            verdicts.push(Verdict::MeterWell);
            let abrupt = self
                .judge
                .shape(&self.loss.recent, fault.onset)
                .is_some_and(|shape| shape.ramp_over_step < 0.0);
            self.say(abrupt, fault.onset, mean, DECIDED, verdicts);
        }
    }
}
