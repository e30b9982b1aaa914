//! Water balance: leaks by what the make-up says beyond its baseline.
//!
//! Physical model: what is fed in is what leaks, plus what thermal contraction takes up ([`features`]), plus what the
//! network always loses. Statistic: CUSUMs on whitened residuals of corrected make-up, on quarter hours and on hours
//! side by side ([`sequential`]). Not a limit on the make-up ratio: with variable flow the ratio doubles in mild
//! weather. Not a Shewhart chart: a leak of half a standard deviation would never cross it.
//!
//! Make-up and source supply-minus-return are one piece of evidence, for mass is conserved, but two instruments: where
//! the make-up rises and the difference of the big meters does not, the make-up meter is the likelier fault.
//!
//! Cold start: it learns for the time of the settings and says so. Suspicion freezes the baseline. It clears when the
//! residual has stayed below 30 % of the leak for two hours.

pub(crate) mod features;
pub(crate) mod sequential;
pub(crate) mod series;
pub(crate) mod shape;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    DetectSettings,
    balance::{features::Features, sequential::Bank, series::Series, shape::Shape},
    bins::{BIN_US, BINS_PER_DAY},
    probe::BalanceStep,
};

/// Slowest leak that must not be learned, share of circulation per day; the level's drift is capped at a fifth of it.
const SLOWEST_LEAK_PER_DAY: f64 = 0.0015;
/// Smallest leak worth an incident, share of circulation: what good networks lose all the time wanders by as much.
const LEAK_MIN_SHARE: f64 = 0.0008;
/// From this share of circulation on, two quarter hours are enough: no sampling, blow-down or filter draws as much.
const LEAK_FAST_SHARE: f64 = 0.008;
/// Below this share of circulation a leak's shape is looked at for a while before it is said.
const ABRUPT_MIN_SHARE: f64 = 0.003;
/// For so many bins: 6 h.
const SMALL_WAIT_BINS: i64 = 24;
/// A step to so many times the leak already said is another leak.
const SECOND_LEAK: f64 = 3.0;
/// Prior odds of a leak against a faulty make-up meter, before the other meters are heard.
const PRIOR_ODDS_LEAK: f64 = 3.0;
/// Big meters wander together with load by about this share of circulation within days.
const METER_WANDER_SHARE: f64 = 0.001;
/// Bins between an alarm and the latest decision on its shape: 8 h.
const SHAPE_WAIT_BINS: i64 = 32;
/// Bins below 30 % before a leak is over.
const CLEAR_BINS: u32 = 8;
/// Bins after a burst in which refilling looks like a leak: 3 h.
const REFILL_BINS: i64 = 12;
/// Bins of source temperatures kept for networks whose stations report none.
const TRANSIT_MAX: usize = 48;
/// Bins between calibrations: a day.
const CALIBRATE_BINS: u32 = BINS_PER_DAY as u32;
/// Quarter hours kept for onlookers; no more than this end between two readings.
const STEPS_MAX: usize = 4;

/// What the balance says after a quarter hour.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing to say.
    Quiet,
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Balance {
    /// Corrected make-up, kg/s; or the corrected difference of the big meters where no make-up is metered.
    loss: Series,
    /// The same without the correction for contraction.
    raw: Series,
    /// Source supply less return less make-up, as a share of circulation: tests the meters.
    meters: Series,
    /// Source supply less stations, as a share of circulation: tells the side.
    side: Series,
    quarter: Bank,
    hour: Bank,
    hour_sum: f64,
    hour_count: u32,
    /// Mean circulation, kg/s.
    pub(crate) circulation: f64,
    bins_seen: u32,
    since_calibration: u32,
    last_contraction: Option<f64>,
    transit: VecDeque<(f64, f64)>,
    /// The leak said, if one is.
    pub(crate) open: Option<Leak>,
    below: u32,
    /// First bin in alarm while its shape is undecided.
    waiting_since: Option<i64>,
    /// No judgement before this bin: the network refills.
    quiet_until: i64,
    /// Largest clean residual over two bins in a row, for the fast path.
    clean_pair_max: f64,
    previous: Option<f64>,
    /// Bin from which the residuals are suspect, for locating.
    pub(crate) suspect_since: Option<i64>,
    fault_until: i64,
    has_make_up: bool,
    /// What the newest quarter hours said, for onlookers only: no verdict depends on it, so a restore may forget it.
    #[serde(skip)]
    steps: VecDeque<BalanceStep>,
}

impl Balance {
    pub(crate) fn new() -> Self {
        Self {
            loss: Series::default(),
            raw: Series::default(),
            meters: Series::default(),
            side: Series::default(),
            quarter: Bank::new(&[0.5, 1.0]),
            hour: Bank::new(&[0.25, 0.5]),
            hour_sum: 0.0,
            hour_count: 0,
            circulation: 0.0,
            bins_seen: 0,
            since_calibration: 0,
            last_contraction: None,
            transit: VecDeque::new(),
            open: None,
            below: 0,
            waiting_since: None,
            quiet_until: i64::MIN,
            clean_pair_max: 0.0,
            previous: None,
            suspect_since: None,
            fault_until: i64::MIN,
            has_make_up: false,
            steps: VecDeque::new(),
        }
    }

    /// Seconds of data still to be learned from before it judges.
    pub(crate) fn learning_left_s(&self, settings: &DetectSettings) -> u64 {
        settings.learning.as_secs().saturating_sub(u64::from(self.loss.learned) * 900)
    }

    /// What is lost all the time, kg/s, once that is known.
    pub(crate) fn standing_loss(&self, settings: &DetectSettings) -> Option<f64> {
        (self.learning_left_s(settings) == 0 && self.has_make_up).then(|| self.loss.level())
    }

    /// A burst is on, or was: nothing is judged or learned until the network has refilled.
    pub(crate) fn pause(&mut self, bin: i64) {
        self.quiet_until = bin + REFILL_BINS;
        self.forget_suspicion();
        self.open = None;
    }

    /// The utility has closed the case: what is lost from here on is a new baseline question.
    pub(crate) fn close_case(&mut self) {
        self.open = None;
        self.forget_suspicion();
    }

    fn forget_suspicion(&mut self) {
        self.quarter.reset();
        self.hour.reset();
        self.hour_sum = 0.0;
        self.hour_count = 0;
        self.waiting_since = None;
        self.suspect_since = None;
        self.previous = None;
        self.below = 0;
    }

    /// Takes a quarter hour. `judges` is false for back-filled data: they only teach.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        volume_m3: Option<f64>,
        bin: i64,
        features: &Features,
        slow_scan: bool,
        judges: bool,
    ) -> Verdict {
        if let Some(supply) = features.supply.filter(|flow| *flow > 0.0) {
            self.bins_seen = self.bins_seen.saturating_add(1);
            self.circulation += (supply - self.circulation) / f64::from(self.bins_seen).min(7.0 * 96.0);
        }
        let contraction = self.contraction(features, volume_m3, slow_scan);
        let imbalance = features.supply.zip(features.back).map(|(supply, back)| supply - back);
        self.has_make_up |= features.make_up.is_some();
        let water = if self.has_make_up { features.make_up } else { imbalance };
        let Some(water) = water else { return self.unseen() };
        let loss = water - contraction.unwrap_or(0.0);

        // A leak shows with and without the correction: a front or a wrong thermometer in one of them only.
        let corrected = self.loss.residual(bin, loss);
        let residual = corrected.min(self.raw.residual(bin, water));
        let settled = self.learning_left_s(settings) == 0;
        let expected_kg_s = self.loss.expected(bin);
        let scale = self.circulation.max(1e-6);
        let meters =
            imbalance.zip(features.make_up).map(|(imbalance, make_up)| (imbalance - make_up) / scale);
        let side =
            features.supply.zip(features.stations).map(|(supply, stations)| (supply - stations) / scale);
        let paused = bin < self.quiet_until;

        let mut verdict = Verdict::Quiet;
        if settled {
            self.loss.note(bin, residual);
            for (series, value) in [(&mut self.meters, meters), (&mut self.side, side)] {
                if let Some(value) = value {
                    let residual = series.residual(bin, value);
                    series.note(bin, residual);
                }
            }
            if judges && !paused {
                self.test(bin, residual);
                verdict = self.judge(bin, residual);
            }
        }
        let suspicious = self.open.is_some() || self.quarter.suspicion().max(self.hour.suspicion()) > 0.5;
        self.suspect_since = match (suspicious, self.suspect_since) {
            (true, since) => since.or(Some(bin)),
            (false, _) => None,
        };
        if !suspicious && !paused && bin >= self.fault_until {
            let cap = 0.2 * SLOWEST_LEAK_PER_DAY * scale / BINS_PER_DAY as f64;
            self.loss.learn(bin, loss, Some(residual), settled, cap);
            self.raw.learn(bin, water, None, settled, cap);
            if let Some(pair) = self.previous.map(|previous| previous.min(residual)) {
                self.clean_pair_max = (self.clean_pair_max * 0.9997).max(pair);
            }
            for (series, value) in [(&mut self.meters, meters), (&mut self.side, side)] {
                if let Some(value) = value {
                    series.learn(bin, value, None, settled, METER_WANDER_SHARE / BINS_PER_DAY as f64);
                }
            }
            self.since_calibration += 1;
        }
        self.previous = Some(residual);
        let step = BalanceStep {
            bin_start_us: bin * BIN_US,
            water_kg_s: water,
            contraction_kg_s: contraction.unwrap_or(0.0),
            expected_kg_s,
            residual_kg_s: corrected,
            circulation_kg_s: self.circulation,
            statistic: self.quarter.suspicion().max(self.hour.suspicion()),
            judged: settled && judges && !paused,
            learns: !settled,
        };
        self.show(step);
        if settled
            && (self.since_calibration >= CALIBRATE_BINS || !self.quarter.is_calibrated())
            && !suspicious
        {
            self.calibrate(settings);
        }
        verdict
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

    fn unseen(&mut self) -> Verdict {
        self.previous = None;
        match &self.open {
            Some(leak) => Verdict::Leak(leak.clone()),
            None => Verdict::Quiet,
        }
    }

    /// Contraction by station temperatures, or else by the source's temperatures over the water's transit.
    fn contraction(&mut self, features: &Features, volume_m3: Option<f64>, slow_scan: bool) -> Option<f64> {
        let now = features.contraction.or_else(|| self.contraction_by_transit(features, volume_m3?));
        let before = std::mem::replace(&mut self.last_contraction, now);
        // A slow scan is one sample at the start of the bin, while its make-up is the mean over the bin before.
        if slow_scan { Some(f64::midpoint(before?, now?)) } else { now }
    }

    fn contraction_by_transit(&mut self, features: &Features, volume_m3: f64) -> Option<f64> {
        use heat_hydraulics::water::density_kg_m3;
        let (hot, cold) = features.source_supply_celsius.zip(features.source_return_celsius)?;
        if self.transit.len() == TRANSIT_MAX {
            self.transit.pop_front();
        }
        self.transit.push_back((hot, cold));
        let supply = features.supply?;
        let volume_flow = supply / density_kg_m3(hot);
        // Half of the water is on each side.
        let bins = (volume_m3 / 2.0 / volume_flow.max(1e-6) / 900.0).clamp(1.0, TRANSIT_MAX as f64) as usize;
        let window = self.transit.iter().rev().take(bins);
        let count = window.len() as f64;
        let (hot_mean, cold_mean) =
            window.fold((0.0, 0.0), |(h, c), (hot, cold)| (h + hot / count, c + cold / count));
        // Each side's mass follows the mean over its transit; its change is what enters less what that mean was.
        Some(
            volume_flow * (density_kg_m3(hot) - density_kg_m3(hot_mean))
                - volume_flow * (density_kg_m3(cold) - density_kg_m3(cold_mean)),
        )
    }

    fn test(&mut self, bin: i64, residual: f64) {
        if self.open.is_some() {
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

    fn judge(&mut self, bin: i64, residual: f64) -> Verdict {
        if self.open.is_some() {
            return self.follow(bin);
        }
        let fast = self.previous.is_some_and(|previous| {
            let pair = previous.min(residual);
            self.quarter.is_calibrated()
                && pair > 8.0 * self.quarter.sigma().max(self.loss.scale)
                && pair > 1.5 * self.clean_pair_max
                && pair > LEAK_FAST_SHARE * self.circulation
                && self.loss.mean_of(bin - 5, bin - 2).is_some_and(|before| before < 0.3 * pair)
        });
        let (onset, strength) = if fast {
            (bin - 1, residual / self.quarter.sigma().max(1e-9))
        } else if let Some(test) =
            self.quarter.alarm().into_iter().chain(self.hour.alarm()).min_by_key(|t| t.since)
        {
            (test.since, test.sum)
        } else {
            self.waiting_since = None;
            return Verdict::Quiet;
        };
        let Some((mean, count)) = self.loss.mean_since(onset) else { return Verdict::Quiet };
        if mean < LEAK_MIN_SHARE * self.circulation {
            return Verdict::Quiet;
        }
        let recent = self.loss.mean_since(bin - 3).map_or(mean, |(recent, _)| recent);
        if !fast && !self.loss.persists(0.5 * mean.max(recent)) {
            return Verdict::Quiet;
        }
        let fault_probability = self.fault_probability(onset, mean, count);
        if fault_probability > 0.5 {
            self.fault_until = bin + 8;
            return Verdict::MeterFault { onset_bin: onset, excess_kg_s: mean };
        }
        let since = *self.waiting_since.get_or_insert(bin);
        let shape = shape::of(&self.loss.recent, onset, self.loss.scale);
        let abrupt = match shape {
            _ if fast => true,
            // A sudden leak shows its full size at once; one this small can wait for the data to show whether it grows.
            _ if recent < ABRUPT_MIN_SHARE * self.circulation && bin - since < SMALL_WAIT_BINS => {
                return Verdict::Quiet;
            }
            Shape::Step => true,
            Shape::Ramp => false,
            Shape::Undecided if bin - since < SHAPE_WAIT_BINS => return Verdict::Quiet,
            Shape::Undecided => shape::is_likelier_step(&self.loss.recent, onset),
        };
        self.waiting_since = None;
        self.below = 0;
        let loss_kg_s = self.loss.mean_since(bin - 3).map_or(mean, |(recent, _)| recent.max(mean));
        let leak = Leak {
            abrupt,
            onset_bin: onset,
            loss_kg_s,
            strength,
            fault_probability,
            share: loss_kg_s / self.circulation.max(1e-6),
            supply_side: self.side_of(onset, mean),
        };
        self.open = Some(leak.clone());
        Verdict::Leak(leak)
    }

    /// The leak is said: its size is followed, and its end.
    fn follow(&mut self, bin: i64) -> Verdict {
        let Some(mut leak) = self.open.clone() else { return Verdict::Quiet };
        let window = if leak.abrupt { 8 } else { 16 };
        let Some((recent, _)) = self.loss.mean_since(bin - window + 1) else { return Verdict::Leak(leak) };
        if recent < 0.3 * leak.loss_kg_s {
            self.below += 1;
            if self.below >= CLEAR_BINS {
                self.open = None;
                self.forget_suspicion();
                return Verdict::Over;
            }
            return Verdict::Leak(leak);
        }
        self.below = 0;
        if self.loss.least_of(4) > SECOND_LEAK * leak.loss_kg_s
            && self.loss.least_of(4) > ABRUPT_MIN_SHARE * self.circulation
        {
            self.open = None;
            self.forget_suspicion();
            return Verdict::Over;
        }
        leak.loss_kg_s += (recent - leak.loss_kg_s) / 8.0;
        leak.share = leak.loss_kg_s / self.circulation.max(1e-6);
        if let Some((mean, count)) = self.loss.mean_since(leak.onset_bin) {
            leak.fault_probability = self.fault_probability(leak.onset_bin, mean, count);
            leak.supply_side = self.side_of(leak.onset_bin, mean);
        }
        self.open = Some(leak.clone());
        Verdict::Leak(leak)
    }

    /// Probability that the make-up meter is at fault: a leak leaves `imbalance - make-up` where it was, a meter that
    /// shows `excess` too much lowers it by just that.
    fn fault_probability(&self, onset: i64, excess: f64, count: u32) -> f64 {
        let prior = 1.0 / (1.0 + PRIOR_ODDS_LEAK);
        let Some((shift, seen)) = self.meters.mean_since(onset) else { return prior };
        if seen < count / 2 || self.meters.learned < BINS_PER_DAY as u32 {
            return prior;
        }
        let excess = excess / self.circulation.max(1e-6);
        let sigma = self.meters.mean_sigma(seen).hypot(METER_WANDER_SHARE);
        let log_odds =
            PRIOR_ODDS_LEAK.ln() + ((shift + excess).powi(2) - shift.powi(2)) / (2.0 * sigma * sigma);
        1.0 / (1.0 + log_odds.clamp(-50.0, 50.0).exp())
    }

    /// How much of the loss the supply side shows, and its standard deviation.
    fn side_of(&self, onset: i64, loss: f64) -> Option<(f64, f64)> {
        let (shift, seen) = self.side.mean_since(onset)?;
        let share = loss / self.circulation.max(1e-6);
        if self.side.learned < BINS_PER_DAY as u32 || share <= 0.0 {
            return None;
        }
        Some((shift / share, self.side.mean_sigma(seen).hypot(METER_WANDER_SHARE) / share))
    }

    fn calibrate(&mut self, settings: &DetectSettings) {
        self.since_calibration = 0;
        let residuals: Vec<f64> = self.loss.history.iter().map(|r| f64::from(*r)).collect();
        // A page budget is shared: bursts and operators' surprises need their part.
        let share = 0.1 * settings.false_pages_per_month;
        self.quarter.calibrate(&residuals, BINS_PER_DAY, share);
        let hours: Vec<f64> = residuals.chunks_exact(4).map(|hour| hour.iter().sum::<f64>() / 4.0).collect();
        self.hour.calibrate(&hours, 24, share);
    }
}
