//! Water balance: leaks by what the make-up says beyond its baseline.
//!
//! Physical model: what is fed in is what leaks, plus what thermal contraction takes up ([`features`], [`contraction`]),
//! plus what the network always loses. Make-up is what its meters, counter, pump or tank show ([`make_up`]), spread
//! over the time that it stands for ([`batches`]); without any of them it is what the sources send out and do not get
//! back, and without a return meter what the stations do not take. Statistic: CUSUMs on whitened residuals of corrected
//! make-up, on quarter hours and on hours side by side ([`sequential`]). Not a limit on the make-up ratio: with variable
//! flow the ratio doubles in mild weather. Not a Shewhart chart: a leak of half a standard deviation would never cross
//! it.
//!
//! Make-up and source supply-minus-return are one piece of evidence, for mass is conserved, but two instruments; the
//! supply-side and return-side sums say which of them to believe, and on which side the water goes ([`witness`]).
//!
//! Cold start: it learns for the time of the settings and says so. Suspicion freezes the baseline. It clears when the
//! residual has stayed below 30 % of the leak for two hours.

pub(crate) mod batches;
pub(crate) mod contraction;
pub(crate) mod features;
mod judge;
pub(crate) mod load;
pub(crate) mod make_up;
pub(crate) mod on_top;
pub(crate) mod sequential;
pub(crate) mod series;
pub(crate) mod shape;
pub(crate) mod witness;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    DetectSettings,
    balance::{
        batches::{Batches, Quarter},
        contraction::Contraction,
        features::Features,
        judge::Judge,
        load::{Doubt, Load},
        make_up::Metering,
        on_top::Step,
        series::Series,
        witness::{Sums, Witness},
    },
    bins::{BIN_US, BINS_PER_DAY},
    probe::BalanceStep,
};

/// Slowest leak that must not be learned, share of circulation per day; the level's drift is capped at a fifth of it.
const SLOWEST_LEAK_PER_DAY: f64 = 0.0015;
/// What is lost all the time wanders by its own size: so much of it per day the level may always follow.
const WANDER_PER_DAY: f64 = 0.04;
/// Bins in which refilling looks like a leak: 3 h after a burst.
const REFILL_BINS: i64 = 12;
/// Bins in which an extension may still be filling: 12 h.
const EXTENSION_BINS: i64 = 48;
/// Bins without a correction after which the account goes on without one: a day.
const UNCORRECTED_BINS: u32 = BINS_PER_DAY as u32;
/// Bins between calibrations: a day.
const CALIBRATE_BINS: u32 = BINS_PER_DAY as u32;
/// Quarter hours kept for onlookers; a released batch gives up to a day of them.
const STEPS_MAX: usize = BINS_PER_DAY + 4;
/// Bins that tell what a leak whose case is closed loses now, and whether an accepted one has ended: 2 h.
const ACCEPTED_BINS: i64 = 8;
/// Without metered make-up an excess must last for so many bins before the level stops to follow, and the gain: 6 h, 1 h.
const WANDER_BINS: i64 = 24;
const GAIN_BINS: i64 = 4;
/// Without metered make-up the level follows the wander of the big meters, share of circulation per day, as that of the
/// witnesses does.
const METERS_WANDER_PER_DAY: f64 = 0.001;
/// What networks lose all the time, share of circulation, between 0.1 and 1 %: the unit where make-up is known by
/// run-time or tank level only.
const USUAL_LOSS_SHARE: f64 = 0.003;

/// What the balance says after a quarter hour.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// A leak, first said or still there.
    Leak(Leak),
    /// The leak said before is over.
    Over,
    /// The make-up meter contradicts the others.
    MeterFault {
        /// Bin of onset.
        onset_bin: i64,
        /// What the meter shows too much, kg/s.
        excess_kg_s: f64,
    },
    /// The make-up meter agrees with the others again.
    MeterWell,
    /// Water was drawn for an evening, and no longer.
    Drained {
        /// Bin of onset.
        onset_bin: i64,
        /// Mean draw, kg/s.
        loss_kg_s: f64,
    },
}

/// A leak as the balance sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Leak {
    pub(crate) abrupt: bool,
    pub(crate) onset_bin: i64,
    pub(crate) loss_kg_s: f64,
    /// CUSUM over threshold, or standard deviations for the fast path.
    pub(crate) strength: f64,
    /// Probability that the make-up meter is at fault instead.
    pub(crate) fault_probability: f64,
    /// Share of circulation.
    pub(crate) share: f64,
    /// Change of the sum "source less stations" per change of make-up: 1 on the supply side, 0 on the return side.
    pub(crate) supply_side: Option<(f64, f64)>,
    /// The make-up feeds all it can and the pressure falls: the loss is at least this.
    pub(crate) at_least: bool,
    /// Supply less return rose by so much more than the make-up, kg/s: some filling is not metered.
    pub(crate) unmetered_kg_s: Option<f64>,
    /// Size by run-time or tank level, which know no kg/s.
    pub(crate) rough: bool,
    /// Share of the quarter hours since its onset whose water is known.
    pub(crate) heard: f64,
    /// Another meter than the make-up's was heard.
    pub(crate) has_witness: bool,
    /// What last came on top of it at once.
    pub(crate) step: Option<Step>,
    /// The load is beyond what the meters' difference was learned at.
    pub(crate) unsure_load: bool,
}

/// What may be judged now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judging {
    /// Everything.
    All,
    /// Only what is sudden and large: the circuit warms up or cools down, is vented and refilled.
    SuddenOnly,
    /// Nothing, and nothing is learned: the circuit is filled, tested, repaired or off.
    Nothing,
    /// Only learning: back-filled data.
    Teaching,
}

/// A quarter hour and how to take it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) bin: i64,
    pub(crate) features: &'a Features,
    pub(crate) volume_m3: Option<f64>,
    /// Source flows are one sample a bin.
    pub(crate) slow_scan: bool,
    pub(crate) judging: Judging,
    /// It is evening, and households can draw this water.
    pub(crate) may_drain: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Balance {
    metering: Metering,
    /// Corrected make-up, kg/s; or the corrected difference of the big meters where no make-up is metered.
    loss: Series,
    /// The same without the correction for contraction.
    raw: Series,
    /// What the load makes of a difference of the big meters.
    load: Load,
    witness: Witness,
    batches: Batches,
    contraction: Contraction,
    judge: Judge,
    tank_level_m: Option<f64>,
    /// Mean circulation, kg/s.
    pub(crate) circulation: f64,
    bins_seen: u32,
    since_calibration: u32,
    /// Bins in a row without a correction for contraction.
    uncorrected: u32,
    /// No judgement before this bin: the network refills.
    quiet_until: i64,
    /// Usual pressure that the make-up holds, Pa, and the most that was ever fed, kg/s.
    hold_pa: Option<f64>,
    most_fed: f64,
    /// The make-up feeds all it can and the pressure falls.
    saturated: bool,
    /// Bin from which the residuals are suspect, for locating.
    pub(crate) suspect_since: Option<i64>,
    /// Loss that the utility has accepted and the level was raised by; 0 once it has ended.
    accepted: f64,
    /// What the newest quarter hours said, for onlookers only: no verdict depends on it, so a restore may forget it.
    #[serde(skip)]
    steps: VecDeque<BalanceStep>,
}

impl Balance {
    pub(crate) fn new() -> Self {
        Self {
            metering: Metering::Nothing,
            loss: Series::default(),
            raw: Series::default(),
            load: Load::default(),
            witness: Witness::default(),
            batches: Batches::default(),
            contraction: Contraction::default(),
            judge: Judge::new(),
            tank_level_m: None,
            circulation: 0.0,
            bins_seen: 0,
            since_calibration: 0,
            uncorrected: UNCORRECTED_BINS,
            quiet_until: i64::MIN,
            hold_pa: None,
            most_fed: 0.0,
            saturated: false,
            suspect_since: None,
            accepted: 0.0,
            steps: VecDeque::new(),
        }
    }

    /// Seconds of data still to be learned from before it judges.
    pub(crate) fn learning_left_s(&self, settings: &DetectSettings) -> u64 {
        settings.learning.as_secs().saturating_sub(u64::from(self.loss.learned) * 900)
    }

    /// What is lost all the time, kg/s, once that is known.
    pub(crate) fn standing_loss(&self, settings: &DetectSettings) -> Option<f64> {
        (self.learning_left_s(settings) == 0 && self.metering.is_mass()).then(|| self.loss.level())
    }

    /// The leak that is said.
    pub(crate) const fn leak(&self) -> Option<&Leak> {
        self.judge.open.as_ref()
    }

    /// Whether a leak is said.
    pub(crate) const fn is_leaking(&self) -> bool {
        self.judge.open.is_some()
    }

    /// A burst is on, or was: nothing is judged or learned until the network has refilled.
    pub(crate) fn pause(&mut self, bin: i64) {
        self.refilling(bin);
        self.forget_suspicion();
        self.judge.open = None;
    }

    /// A repair is reported: the network is refilled, which is no other leak.
    pub(crate) fn refilling(&mut self, bin: i64) {
        self.quiet_until = self.quiet_until.max(bin + REFILL_BINS);
        // What a burst took would outweigh every hour that tells whether the next leak began at once or grows.
        self.judge.fresh_since = self.judge.fresh_since.max(self.quiet_until);
    }

    /// The network grew: filling the new part is no leak, and the sums over stations begin anew.
    pub(crate) fn extended(&mut self, bin: i64) {
        self.witness = Witness::default();
        if self.loss.learned > 0 {
            self.quiet_until = self.quiet_until.max(bin + EXTENSION_BINS);
        }
    }

    /// The utility has closed the case: what is lost now is usual from here on. Of a leak that has just stopped nothing
    /// is left to accept.
    pub(crate) fn close_case(&mut self) {
        let newest = self.loss.recent.back().map(|(bin, _)| *bin);
        if let Some((leak, bin)) = self.judge.open.take().zip(newest) {
            let since = leak.onset_bin.max(bin - ACCEPTED_BINS);
            let now = self.loss.mean_since(bin - ACCEPTED_BINS).map_or(0.0, |(recent, _)| recent);
            let accepted = now.min(leak.loss_kg_s).max(0.0);
            self.shift_level(accepted);
            self.accepted += accepted;
            if accepted > 0.0 {
                self.witness.accept(since);
            }
            self.judge.fresh_since = bin + 1;
        }
        self.forget_suspicion();
    }

    fn shift_level(&mut self, by: f64) {
        self.loss.shift(by);
        self.raw.shift(by);
    }

    /// An accepted loss that has ended is no longer usual, or the next leak would hide in its room.
    fn watch_accepted(&mut self, bin: i64) {
        let Some((mean, count)) = self.loss.mean_since(bin - ACCEPTED_BINS) else { return };
        if self.accepted > 0.0 && i64::from(count) > ACCEPTED_BINS / 2 && mean < -0.5 * self.accepted {
            let accepted = std::mem::take(&mut self.accepted);
            self.shift_level(-accepted);
            self.judge.fresh_since = bin + 1;
            self.forget_suspicion();
        }
    }

    fn forget_suspicion(&mut self) {
        self.judge.forget();
        self.batches.clear();
        self.suspect_since = None;
    }

    /// What the whole circulation is in the unit of the account.
    fn full_scale(&self) -> f64 {
        if self.metering.is_mass() || self.metering == Metering::Nothing {
            self.circulation.max(1e-6)
        } else {
            (self.loss.level() / USUAL_LOSS_SHARE).max(1e-9)
        }
    }

    /// Takes a quarter hour.
    pub(crate) fn observe(&mut self, settings: &DetectSettings, input: &Input<'_>) -> Vec<Verdict> {
        let features = input.features;
        if let Some(supply) = features.supply.filter(|flow| *flow > 0.0) {
            self.bins_seen = self.bins_seen.saturating_add(1);
            self.circulation += (supply - self.circulation) / f64::from(self.bins_seen).min(7.0 * 96.0);
        }
        let contraction = self.contraction.of(features, input.volume_m3, input.slow_scan);
        let Some(quarter) = self.account(input, contraction) else { return Vec::new() };
        self.uncorrected = if quarter.contraction.is_some() { 0 } else { self.uncorrected.saturating_add(1) };
        if input.judging == Judging::Nothing {
            self.forget_suspicion();
            return Vec::new();
        }
        let settled = self.learning_left_s(settings) == 0;
        let suspicious = self.is_suspicious();
        self.listen(input, contraction, settled, !suspicious);
        self.watch_hold(features, quarter.water);
        let mut verdicts = Vec::new();
        let now = quarter.water.map(|water| self.residual(input.bin, water, quarter.contraction));
        let rush = settled
            && input.judging != Judging::Teaching
            && input.bin >= self.quiet_until
            && now.is_some_and(|now| self.is_rush(input.bin, now));
        // A difference of big meters knows no batches: where it is negative, nothing would ever be fed.
        let released = match self.metering {
            Metering::Nothing => vec![quarter],
            Metering::Meter | Metering::Counter | Metering::RunTime | Metering::TankLevel => {
                self.batches.take(quarter)
            }
        };
        for quarter in released {
            self.step(settings, input, &quarter, &mut verdicts);
        }
        if rush && !self.is_leaking() {
            self.say_rush(settings, input, &mut verdicts);
        }
        verdicts
    }

    /// The quarter hour's water, by the best that tells it; `None` where nothing does.
    fn account(&mut self, input: &Input<'_>, contraction: Option<[f64; 2]>) -> Option<Quarter> {
        let features = input.features;
        let imbalance = features.supply.zip(features.back).map(|(supply, back)| supply - back);
        let total = contraction.map(|[supply, back]| supply + back);
        let mut quarter = Quarter {
            bin: input.bin,
            water: None,
            contraction: total,
            imbalance,
            load: None,
            judges: input.judging != Judging::Teaching,
        };
        if features.make_up.is_some() && features.metering < self.metering {
            if self.metering != Metering::Nothing || self.loss.learned > 0 {
                // Another way of metering is another account.
                (self.loss, self.raw) = (Series::default(), Series::default());
                self.judge = Judge::new();
                self.accepted = 0.0;
                self.load = Load::default();
                self.uncorrected = UNCORRECTED_BINS;
            }
            self.metering = features.metering;
        }
        match self.metering {
            Metering::Meter | Metering::RunTime => quarter.water = Some(features.make_up?),
            Metering::Counter => quarter.water = features.make_up,
            Metering::TankLevel => {
                let level = features.make_up?;
                let fall = self.tank_level_m.replace(level)? - level;
                // A level that rises is the tank's own filling.
                quarter.water = Some(fall).filter(|fall| *fall >= 0.0);
                quarter.water?;
            }
            Metering::Nothing if features.has_return_meter => quarter.water = Some(imbalance?),
            Metering::Nothing => {
                quarter.water = Some(features.supply? - features.stations?);
                quarter.contraction = contraction.map(|[supply, _]| supply);
            }
        }
        if self.metering == Metering::Nothing {
            let load = features.supply?;
            quarter.load = Some(load);
            quarter.water = quarter.water.map(|water| water - self.load.part(load));
        } else if !self.metering.is_mass() {
            quarter.contraction = None;
        }
        Some(quarter)
    }

    fn is_suspicious(&self) -> bool {
        self.judge.is_suspicious()
    }

    /// Hears the witnesses.
    fn listen(&mut self, input: &Input<'_>, contraction: Option<[f64; 2]>, settled: bool, learns: bool) {
        let Features { supply: Some(supply), back, stations, .. } = *input.features else { return };
        if self.circulation <= 0.0 {
            return;
        }
        let [cold_supply, cold_back] = contraction.unwrap_or_default();
        let share = |flow: f64| flow / self.circulation;
        let sums = Sums {
            sides: back.zip(stations).map(|(back, stations)| {
                [share(supply - stations - cold_supply), share(stations - back - cold_back)]
            }),
            imbalance: back.map(|back| share(supply - back - cold_supply - cold_back)),
        };
        self.witness.observe(input.bin, sums, settled, learns && input.bin >= self.quiet_until);
    }

    /// Whether the make-up feeds all it can while the pressure that it holds falls.
    fn watch_hold(&mut self, features: &Features, water: Option<f64>) {
        let (Some(pressure), Some(water)) = (features.hold_pa, water) else { return };
        let usual = *self.hold_pa.get_or_insert(pressure);
        self.saturated = water > 0.97 * self.most_fed
            && water > judge::FAST_SHARE * self.circulation
            && pressure < usual - judge::HOLD_DROP_PA;
        self.most_fed = self.most_fed.max(water);
        if !self.is_suspicious() && !self.saturated {
            self.hold_pa = Some(usual + (pressure - usual) / BINS_PER_DAY as f64);
        }
    }

    /// A leak shows with and without the correction: a front or a wrong thermometer in one of them only. Where the
    /// correction is missing for a while, the account without one stands alone.
    fn residual(&self, bin: i64, water: f64, contraction: Option<f64>) -> f64 {
        if contraction.is_none() && self.uncorrected < UNCORRECTED_BINS {
            return self.raw.residual(bin, water);
        }
        let loss = water - contraction.unwrap_or(0.0);
        self.loss.residual(bin, loss).min(self.raw.residual(bin, water))
    }

    /// Judges and learns one quarter hour of the account.
    fn step(
        &mut self,
        settings: &DetectSettings,
        input: &Input<'_>,
        quarter: &Quarter,
        verdicts: &mut Vec<Verdict>,
    ) {
        let Some(water) = quarter.water else { return };
        let bin = quarter.bin;
        let loss = water - quarter.contraction.unwrap_or(0.0);
        let corrected = self.loss.residual(bin, loss);
        let residual = self.residual(bin, water, quarter.contraction);
        let expected_kg_s = self.loss.expected(bin);
        let settled = self.learning_left_s(settings) == 0;
        let paused = bin < self.quiet_until;
        // A leak that was said is followed to its end also while nothing new but a rush is looked for.
        let is_asked = match input.judging {
            Judging::All => true,
            Judging::SuddenOnly => self.is_leaking(),
            Judging::Nothing | Judging::Teaching => false,
        };
        let judged = settled && quarter.judges && !paused && is_asked;
        if settled {
            self.loss.note(bin, residual);
            self.watch_accepted(bin);
            if judged {
                self.judge.test(bin, residual);
                self.test_on_top(bin, residual);
                self.ask_judge(settings, input, bin, verdicts);
            }
        }
        let suspicious = self.is_suspicious() && !self.is_within_doubt(WANDER_BINS);
        self.suspect_since = match (suspicious, self.suspect_since) {
            (true, since) => since.or(Some(bin)),
            (false, _) => None,
        };
        if !suspicious && !paused {
            let scale = self.full_scale();
            let per_day = match self.metering {
                Metering::Nothing => METERS_WANDER_PER_DAY * scale,
                Metering::Meter | Metering::Counter | Metering::RunTime | Metering::TankLevel => {
                    (0.2 * SLOWEST_LEAK_PER_DAY * scale).max(WANDER_PER_DAY * self.loss.level().abs())
                }
            };
            let cap = per_day / BINS_PER_DAY as f64;
            self.learn_load(quarter, loss, corrected);
            if settled {
                self.contraction.learn(quarter.contraction, water, self.loss.scale);
            }
            if quarter.contraction.is_some() || self.uncorrected >= UNCORRECTED_BINS {
                self.loss.learn(bin, loss, Some(residual), settled, cap);
            }
            self.raw.learn(bin, water, None, settled, cap);
            self.since_calibration += 1;
        }
        self.show(BalanceStep {
            bin_start_us: bin * BIN_US,
            water_kg_s: water,
            contraction_kg_s: quarter.contraction.unwrap_or(0.0),
            expected_kg_s,
            residual_kg_s: corrected,
            circulation_kg_s: self.circulation,
            statistic: self.judge.suspicion(),
            judged,
            learns: !settled,
        });
        if settled && (self.since_calibration >= CALIBRATE_BINS || !self.judge.is_calibrated()) && !suspicious
        {
            self.since_calibration = 0;
            self.judge.calibrate(&self.loss.history, settings);
        }
    }

    /// Learns what the load makes of the account; a value far off teaches no more than what is usual.
    fn learn_load(&mut self, quarter: &Quarter, loss: f64, corrected: f64) {
        let Some(load) = quarter.load else { return };
        let part = self.load.part(load);
        let limit = if self.loss.scale > 0.0 { 4.0 * self.loss.scale } else { f64::INFINITY };
        let off = corrected.clamp(-limit, limit);
        self.load.note(off);
        // One cold morning must not pass for the meters' gain while it may be a leak.
        if self.is_suspicious() && !self.is_within_doubt(GAIN_BINS) {
            return;
        }
        let moved = self.load.learn(load, loss - corrected + off + part);
        self.loss.nudge(moved);
        self.raw.nudge(moved);
    }

    /// What a mean over so many bins is good for; no doubt where make-up is metered, which has witnesses instead.
    fn doubt(&self, bins: u32) -> Doubt {
        if self.metering == Metering::Nothing { self.load.doubt(bins) } else { Doubt::default() }
    }

    fn show(&mut self, step: BalanceStep) {
        if self.steps.len() == STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// What the newest quarter hours said, oldest first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &BalanceStep> {
        self.steps.iter()
    }
}
