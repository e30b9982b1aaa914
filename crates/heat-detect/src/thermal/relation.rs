//! One relation between signals that physics holds constant, and how far it is off.
//!
//! The residual is measured less modelled. Its median over three quarter hours, so that a spike is nothing, is smoothed
//! over three spans; each mean is told in standard deviations of its own past, which takes the noise's correlation into
//! account. The threshold follows from the budget: [`Tail`] holds the largest deviations of each day over all stations,
//! and Gumbel's law through their median and 90 % quantile gives the level that is passed as seldom as the budget says.
//! (Quantiles, because some of those days hold real faults.) Baseline and scale stand still while a relation is off, so
//! that neither learns the fault. What has been off for [`ACCEPT_BINS`] is the new normal, unless a case that is open
//! explains it: that one lasts until the relation is back, however long that takes.

use serde::{Deserialize, Serialize};

use super::{
    hypothesis::CHANNELS,
    rls::{Inputs, Rls},
};

/// Spans of the means, quarter hours.
pub(super) const SPANS: [f64; 3] = [4.0, 20.0, 80.0];
pub(super) const SCALES: usize = SPANS.len();
/// Readings before a relation is judged: three days of quarter hours.
pub(super) const KNOWN: u32 = 288;
/// Relations and spans of a station, which share its budget.
const SHARERS: f64 = (CHANNELS * SCALES) as f64;
/// Threshold until the tail is known, and its bounds, in standard deviations.
const THRESHOLD_UNKNOWN: f64 = 6.5;
const THRESHOLD_MIN: f64 = 5.0;
const THRESHOLD_MAX: f64 = 14.0;
/// Beyond this many standard deviations a relation is under suspicion and teaches nothing.
const SUSPECT: f64 = 3.5;
/// Quarter hours under suspicion after which what a relation says is the new normal.
pub(super) const ACCEPT_BINS: u32 = 14 * 96;
/// Memory of scales, quarter hours.
const SCALE_BINS: f64 = 14.0 * 96.0;
/// A prediction beyond what was learned is in doubt: its variance by the model, times how much the correlation of the
/// residuals and the bends of the physics make it worse. Leverage up to so many times the mean one is inside.
const DOUBT: f64 = 16.0;
const INSIDE: f64 = 5.0;
/// Memory of the model, quarter hours.
const MODEL_BINS: f64 = 2_000.0;
/// Huber's constant.
const HUBER: f64 = 2.0;
/// Longest gap over which means are carried, quarter hours.
const GAP_MAX: i64 = 32;
/// Longest step that one reading stands for, quarter hours: after a night at rest one value is no more than one value.
const STEP_MAX: i64 = 4;
/// After so long a rest what was off before is past, and a day's readings confirm the model first, quarter hours.
pub(super) const REST_BINS: i64 = 3 * 96;
const CONFIRM: u32 = 96;
/// Spacing and number of the kept course.
const COURSE_EVERY: i64 = 12;
const COURSE: usize = 20;

/// Thresholds of one kind of relation by span, standard deviations.
pub(super) type Thresholds = [f64; SCALES];

/// Largest deviations of a day, over all stations, in quarter octaves from 2^-1 up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    counts: [[u32; 24]; SCALES],
}

impl Tail {
    fn add(&mut self, scale: usize, z: f64) {
        let slot = (4.0 * (z.max(0.5).log2() + 1.0)).floor().clamp(0.0, 23.0);
        self.counts[scale][slot as usize] += 1;
    }

    fn quantile(&self, scale: usize, share: f64) -> f64 {
        let counts = &self.counts[scale];
        let all: u32 = counts.iter().sum();
        let wanted = share * f64::from(all);
        let mut below = 0.0;
        for (slot, count) in counts.iter().enumerate() {
            let with = below + f64::from(*count);
            if with >= wanted && *count > 0 {
                let part = (wanted - below) / f64::from(*count);
                return 2.0_f64.powf((slot as f64 + part) / 4.0 - 1.0);
            }
            below = with;
        }
        THRESHOLD_UNKNOWN
    }

    /// Standard deviations, by span, that a station's relations together pass so often in 30 days by chance.
    pub(super) fn thresholds(&self, per_month: f64) -> Thresholds {
        let return_days = 30.0 / per_month * SHARERS;
        std::array::from_fn(|scale| self.threshold(scale, return_days))
    }

    fn threshold(&self, scale: usize, return_days: f64) -> f64 {
        let days: u32 = self.counts[scale].iter().sum();
        if days < 60 {
            return THRESHOLD_UNKNOWN;
        }
        let (middle, high) = (self.quantile(scale, 0.5), self.quantile(scale, 0.9));
        let slope = (high - middle) / 1.883_86;
        (middle + slope * (return_days.ln() - 0.366_51)).clamp(THRESHOLD_MIN, THRESHOLD_MAX)
    }
}

/// How a deviation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Step,
    Ramp,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Relation {
    model: Rls,
    /// Standard deviation of the single residual.
    scale: f64,
    learned: u32,
    suspect: u32,
    at_bin: i64,
    before: [f64; 2],
    means: [f64; SCALES],
    variances: [f64; SCALES],
    /// Variance of the predictions that the means rest on, as far as it lies beyond what was learned.
    doubts: [f64; SCALES],
    /// Largest deviation of the day under way.
    peaks: [f64; SCALES],
    day: i64,
    course: [f32; COURSE],
    course_bin: i64,
}

/// What a relation is judged with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take<'a> {
    pub(super) bin: i64,
    pub(super) inputs: &'a Inputs,
    pub(super) target: f64,
    /// What all relations of this kind share now, by the median of [`Relation::residual`].
    pub(super) common: f64,
    /// Smallest standard deviation of a mean that makes sense, from what sensors can do.
    pub(super) floor: f64,
    /// Whether the model may learn, and of what: an open case explains what the relation shows, then nothing is learned
    /// and nothing forgotten.
    pub(super) learns: Learns,
}

/// What a model may learn of a quarter hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learns {
    Yes,
    /// All but what its kind shares: that is the fault of what feeds them.
    Apart,
    No,
    /// Nothing, and what is off does not become normal either: a case that is open explains it.
    Held,
}

impl Take<'_> {
    /// What of the target is not the relation's to learn.
    fn others(&self) -> f64 {
        if self.learns == Learns::Apart { self.common } else { 0.0 }
    }
}

fn median(a: f64, b: f64, c: f64) -> f64 {
    a.max(b).min(a.min(b).max(c))
}

impl Relation {
    pub(super) fn is_known(&self) -> bool {
        self.learned >= KNOWN
    }

    /// Quarter hours with data until it is judged.
    pub(super) const fn learning_left(&self) -> u32 {
        KNOWN.saturating_sub(self.learned)
    }

    pub(super) fn slope(&self, input: usize) -> f64 {
        self.model.slope(input)
    }

    /// What the model expects.
    pub(super) fn predict(&self, inputs: &Inputs) -> f64 {
        self.model.predict(inputs)
    }

    /// Variance of the prediction beyond what was learned, in units of the residual's.
    fn doubt(&self, inputs: &Inputs) -> f64 {
        let used = inputs.iter().filter(|input| **input != 0.0).count() as f64;
        let inside = INSIDE * used / f64::from(self.learned.max(1)).min(MODEL_BINS);
        DOUBT * (self.model.leverage(inputs) - inside).max(0.0)
    }

    /// Whether these inputs lie beyond all that the model knows.
    pub(super) fn is_beyond(&self, inputs: &Inputs) -> bool {
        self.doubt(inputs) > 1.0
    }

    /// Measured less modelled, median of three; `None` until the model is known.
    pub(super) fn residual(&self, bin: i64, inputs: &Inputs, target: f64) -> Option<f64> {
        if !self.is_known() {
            return None;
        }
        let now = target - self.model.predict(inputs);
        Some(if bin - self.at_bin > GAP_MAX { now } else { median(now, self.before[0], self.before[1]) })
    }

    /// Takes a quarter hour.
    pub(super) fn take(&mut self, take: Take<'_>, tail: &mut Tail) {
        let Take { bin, inputs, target, common, floor, learns } = take;
        let error = target - self.model.predict(inputs);
        let has_gap = bin - self.at_bin > GAP_MAX;
        if self.learned == 0 {
            self.before = [error; 2];
        } else if bin - self.at_bin > REST_BINS && learns != Learns::Held {
            self.rested(error);
        } else if has_gap {
            // The first value after a rest says nothing yet: it may be a spike.
            self.before = [self.means[0] + common; 2];
        }
        let robust = median(error, self.before[0], self.before[1]) - common;
        self.before = [error, self.before[0]];
        let elapsed = (bin - self.at_bin).clamp(1, STEP_MAX) as f64;
        self.at_bin = bin;
        if !self.is_known() {
            self.begin(take, error, robust, elapsed);
            return;
        }
        let doubt = self.doubt(inputs) * self.scale.max(floor).powi(2);
        for ((mean, variance), span) in self.means.iter_mut().zip(&mut self.doubts).zip(SPANS) {
            let weight = 1.0 - (-elapsed / span).exp();
            *mean += weight * (robust - *mean);
            *variance += weight * (doubt - *variance);
        }
        let most = (0..SCALES).map(|scale| self.z(scale, floor).abs()).fold(0.0, f64::max);
        self.note_day(bin, floor, tail);
        self.note_course(bin);
        if learns == Learns::Held {
            self.suspect = 0;
            return;
        }
        if most > SUSPECT {
            self.suspect += 1;
            if self.suspect > ACCEPT_BINS {
                *self = Self { at_bin: bin, day: self.day, ..Self::default() };
            }
            return;
        }
        self.suspect = 0;
        if learns != Learns::No {
            let others = take.others();
            self.learn(inputs, target - others, error - others);
            self.spread(robust);
        }
    }

    fn rested(&mut self, error: f64) {
        self.before = [error; 2];
        self.means = [0.0; SCALES];
        self.doubts = [0.0; SCALES];
        self.suspect = 0;
        self.course = [0.0; COURSE];
        self.learned = self.learned.min(KNOWN - CONFIRM);
    }

    fn begin(&mut self, take: Take<'_>, error: f64, robust: f64, elapsed: f64) {
        if matches!(take.learns, Learns::No | Learns::Held) {
            return;
        }
        self.learned += 1;
        // The first day's errors are those of a model that knows nothing.
        if self.learned == 96 {
            self.scale = error.abs().max(take.floor);
            self.means = [0.0; SCALES];
            self.variances = [0.0; SCALES];
        }
        let others = take.others();
        self.learn(take.inputs, take.target - others, error - others);
        if self.learned > 96 {
            for (mean, span) in self.means.iter_mut().zip(SPANS) {
                *mean += (1.0 - (-elapsed / span).exp()) * (robust - *mean);
            }
            self.spread(robust);
        }
    }

    fn learn(&mut self, inputs: &Inputs, target: f64, error: f64) {
        let weight = if self.learned > 96 && self.scale > 0.0 {
            (HUBER * self.scale / error.abs().max(1e-12)).min(1.0)
        } else {
            1.0
        };
        self.model.learn(inputs, target, weight);
    }

    /// Learns the scales of the residual and of its means.
    fn spread(&mut self, robust: f64) {
        self.learned = self.learned.saturating_add(1);
        let count = f64::from(self.learned.saturating_sub(95)).min(SCALE_BINS);
        let deviation = (1.25 * robust.abs()).min(4.0 * self.scale.max(1e-12));
        self.scale += (deviation - self.scale) / count.max(8.0);
        for (variance, mean) in self.variances.iter_mut().zip(&self.means) {
            let square = (mean * mean).min(9.0 * variance.max(self.scale * self.scale * 0.1));
            *variance += (square - *variance) / count.max(8.0);
        }
    }

    /// Standard deviation of a mean.
    pub(super) fn sigma(&self, scale: usize, floor: f64) -> f64 {
        self.variances[scale].sqrt().max(floor).hypot(self.doubts[scale].sqrt())
    }

    pub(super) fn mean(&self, scale: usize) -> f64 {
        self.means[scale]
    }

    pub(super) fn z(&self, scale: usize, floor: f64) -> f64 {
        self.means[scale] / self.sigma(scale, floor)
    }

    /// What was off is over: the long means forget it.
    pub(super) fn settle(&mut self) {
        self.means = [self.means[0]; SCALES];
        self.suspect = 0;
    }

    /// What was off is forgotten at once: it was of readings that meant something else.
    pub(super) fn dismiss(&mut self) {
        self.before = [0.0; 2];
        self.means = [0.0; SCALES];
        self.doubts = [0.0; SCALES];
        self.suspect = 0;
        self.course = [0.0; COURSE];
    }

    /// Whether its newest value stands for this quarter hour.
    pub(super) fn is_fresh(&self, bin: i64) -> bool {
        self.is_known() && bin - self.at_bin < STEP_MAX
    }

    /// Whether it was judged within the last hours.
    pub(super) fn is_current(&self, bin: i64) -> bool {
        self.is_known() && bin - self.at_bin <= GAP_MAX
    }

    fn note_day(&mut self, bin: i64, floor: f64, tail: &mut Tail) {
        let day = bin.div_euclid(96);
        if day != self.day {
            for (scale, peak) in self.peaks.iter_mut().enumerate() {
                if *peak > 0.0 {
                    tail.add(scale, *peak);
                }
                *peak = 0.0;
            }
            self.day = day;
        }
        for scale in 0..SCALES {
            self.peaks[scale] = self.peaks[scale].max(self.z(scale, floor).abs());
        }
    }

    fn note_course(&mut self, bin: i64) {
        if bin - self.course_bin >= COURSE_EVERY {
            self.course_bin = bin;
            self.course.rotate_left(1);
            self.course[COURSE - 1] = self.means[0] as f32;
        }
    }

    /// Whether the deviation of the last two and a half days came at once or grew: the better of the best step and the
    /// best ramp, by squares.
    pub(super) fn course(&self) -> Course {
        let values = self.course.map(f64::from);
        let squares = |shape: &dyn Fn(usize, usize) -> f64| {
            (0..COURSE - 1)
                .map(|onset| {
                    let (mut xx, mut xy) = (0.0, 0.0);
                    for (at, y) in values.iter().enumerate() {
                        let x = shape(at, onset);
                        xx += x * x;
                        xy += x * y;
                    }
                    let factor = if xx > 0.0 { xy / xx } else { 0.0 };
                    let square = |(at, y): (usize, &f64)| (y - factor * shape(at, onset)).powi(2);
                    values.iter().enumerate().map(square).sum::<f64>()
                })
                .fold(f64::INFINITY, f64::min)
        };
        let step = squares(&|at, onset| f64::from(at > onset));
        let ramp = squares(&|at, onset| if at > onset { (at - onset) as f64 } else { 0.0 });
        if ramp < 0.8 * step { Course::Ramp } else { Course::Step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(step: i64) -> f64 {
        let mixed = (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        mixed as f64 / f64::from(u32::MAX >> 1) - 0.5
    }

    fn run(
        relation: &mut Relation,
        tail: &mut Tail,
        bins: std::ops::Range<i64>,
        offset: impl Fn(i64) -> f64,
    ) {
        for bin in bins {
            let x = (bin as f64 / 40.0).sin();
            let inputs = [1.0, x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
            let target = 50.0 + 3.0 * x + 0.2 * noise(bin) + offset(bin);
            let learns = Learns::Yes;
            relation.take(Take { bin, inputs: &inputs, target, common: 0.0, floor: 0.02, learns }, tail);
        }
    }

    #[test]
    fn a_step_stands_out_and_is_not_learned() {
        let (mut relation, mut tail) = (Relation::default(), Tail::default());
        run(&mut relation, &mut tail, 0..1_344, |_| 0.0);
        let quiet = relation.z(1, 0.02).abs();
        run(&mut relation, &mut tail, 1_344..1_344 + 200, |_| 1.0);
        assert!(quiet < 4.0, "{quiet}");
        assert!(relation.z(1, 0.02) > 10.0, "{}", relation.z(1, 0.02));
        assert!((relation.mean(2) - 1.0).abs() < 0.15, "{}", relation.mean(2));
        assert_eq!(relation.course(), Course::Step);
    }

    #[test]
    fn a_ramp_is_told_from_a_step() {
        let (mut relation, mut tail) = (Relation::default(), Tail::default());
        run(&mut relation, &mut tail, 0..1_344, |_| 0.0);
        run(&mut relation, &mut tail, 1_344..1_344 + 192, |bin| (bin - 1_344) as f64 / 96.0);
        assert_eq!(relation.course(), Course::Ramp);
    }

    #[test]
    fn the_threshold_rises_with_the_tail() {
        let mut tail = Tail::default();
        for day in 0..100 {
            tail.add(0, if day % 10 == 0 { 3.0 } else { 2.0 });
            tail.add(1, if day % 5 == 0 { 3.0 } else { 2.0 });
        }
        let [quarter, day, _] = tail.thresholds(0.02);
        assert!(THRESHOLD_MIN <= quarter && quarter < day && day < THRESHOLD_MAX, "{quarter} {day}");
        assert!(day < tail.thresholds(0.002)[1], "a smaller budget asks for a larger deviation");
    }
}
