//! How the signals of one site usually move together, and how far they are off.
//!
//! A frame holds one value of every signal. Each signal is compared with what the others say of it: the residual of its
//! linear regression on them, read off the inverse of the correlation matrix (which shrinkage keeps invertible: with few
//! frames it is the identity and every signal stands for itself). Weather, hour and load move all signals along the
//! subspace that they share and leave the residuals alone; a fault leaves it. The mean residual of a window of
//! [`WINDOW`] frames less its long mean is the error, and errors are judged by their own past: what they were, window
//! by window, before each was learned. A signal that drifts has large errors, and few independent ones: Student's t with
//! the effective number of windows as its degrees of freedom makes a modest claim of it, where a normal law would
//! alarm for ever. Why not the two statistics of plain PCA (T2, SPE): they need a number of components, their limits take
//! frames for independent, and on recorded test-bed data that costs a false alarm in two of three quiet frames.
//!
//! Cold start: nothing is judged before [`LEARN_FRAMES`]. While a site is off, nothing is learned; one that stays off
//! for [`RELEARN_FRAMES`] is accepted as its new self and learned anew.

use serde::{Deserialize, Serialize};

use super::{
    alone::Shape,
    matrix::{at, inverse, packed, shrinkage},
};

/// Frames whose mean is judged.
pub(super) const WINDOW: usize = 8;
/// Frames that means and variances remember: 30 days of quarter hours.
const MEMORY: f64 = 2_880.0;
/// Frames before anything is judged: 48 windows, four days of quarter hours.
pub(crate) const LEARN_FRAMES: u32 = 384;
/// Frames before a mean is good enough for errors against it to count.
const SETTLED_FRAMES: u32 = 56;
/// Frames at which the correlations are first used; then at every doubling, at last every 720.
const FIRST_FIT: u32 = 48;
const FIT_EVERY: u32 = 720;
/// A signal that changed less often says nothing yet.
const CHANGES_MIN: u16 = 12;
/// Standard deviations at which a site of eight signals is off, and at which it is well again.
const ON: f64 = 3.0;
const OFF: f64 = 2.5;
const SIGNALS_OF_ON: f64 = 8.0;
/// Share of its signals beyond which a site is run in another way.
const MOST: f64 = 0.5;
/// Frames off after which a site is learned anew: eleven days of quarter hours.
pub(super) const RELEARN_FRAMES: u32 = 1_024;
/// A gap of so many frames breaks the window.
pub(super) const GAP_FRAMES: i64 = 32;

/// What one frame says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    /// Largest error of a signal as a normal deviate.
    pub(crate) deviate: f64,
    /// The same over its threshold: 1 and more is off.
    pub(crate) statistic: f64,
    /// The signal that has it.
    pub(crate) signal: usize,
    /// Whether the site is off, with hysteresis.
    pub(crate) off: bool,
    /// Whether most of its signals are: it is run in another way, and no signal is at fault.
    pub(crate) most: bool,
    /// It was off for so long that it is learned anew.
    pub(crate) relearns: bool,
}

/// A signal that moved on its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shift {
    pub(crate) signal: usize,
    pub(crate) deviate: f64,
    /// How far, in the signal's unit.
    pub(crate) shift: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    shape: Shape,
    /// Columns of a frame.
    signals: usize,
    /// Frames in mean and covariance.
    learned: u32,
    /// First values; all else is relative to them.
    origin: Vec<f64>,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    /// Row by row: a signal's residual as a combination of all signals; its own weight is 1.
    weights: Vec<f32>,
    fit_at: u32,
    last: Vec<f64>,
    changes: Vec<u16>,
    /// The last frames; NaN where a signal was silent.
    ring: Vec<f32>,
    ring_next: usize,
    ring_filled: usize,
    /// Errors seen before each was learned.
    errors: u32,
    square: Vec<f64>,
    /// Products of errors a window apart, and their scale.
    lagged: Vec<f64>,
    unlagged: Vec<f64>,
    previous: Vec<f32>,
    off: bool,
    off_frames: u32,
    most_frames: u32,
    /// Sums of squared errors since it went off.
    off_square: Vec<f64>,
    /// Error of each signal in the last frame, in its unit.
    #[serde(skip)]
    error: Vec<f64>,
    /// What explains the errors of the last frame that was off.
    #[serde(skip)]
    shifts: Vec<Shift>,
}

impl Model {
    pub(super) fn new(shape: Shape) -> Self {
        let signals = shape.columns();
        let mut weights = vec![0.0; signals * signals];
        for signal in 0..signals {
            weights[signal * signals + signal] = 1.0;
        }
        Self {
            shape,
            signals,
            learned: 0,
            origin: vec![f64::NAN; signals],
            mean: vec![0.0; signals],
            covariance: vec![0.0; packed(signals)],
            weights,
            fit_at: FIRST_FIT,
            last: vec![f64::NAN; signals],
            changes: vec![0; signals],
            ring: vec![f32::NAN; signals * WINDOW],
            ring_next: 0,
            ring_filled: 0,
            errors: 0,
            square: vec![0.0; signals],
            lagged: vec![0.0; signals],
            unlagged: vec![0.0; signals],
            previous: vec![f32::NAN; signals],
            off: false,
            off_frames: 0,
            most_frames: 0,
            off_square: vec![0.0; signals],
            error: Vec::new(),
            shifts: Vec::new(),
        }
    }

    /// Frames still to be learned before it judges.
    pub(crate) fn learning_left(&self) -> u32 {
        LEARN_FRAMES.saturating_sub(self.learned)
    }

    /// The signals that explain why the site is off in this frame, the strongest first; none while most of them are off.
    pub(crate) fn shifts(&self) -> &[Shift] {
        &self.shifts
    }

    /// How far a signal is from what is expected of it, by the last window; 0 where that is not known.
    pub(super) fn error(&self, signal: usize) -> f64 {
        self.error.get(signal).copied().filter(|error| !error.is_nan()).unwrap_or(0.0)
    }

    /// Frames for which the site has been off.
    pub(super) fn off_frames(&self) -> u32 {
        self.off_frames
    }

    /// Time was lost: the window begins anew.
    pub(crate) fn break_window(&mut self) {
        self.ring_filled = 0;
        self.ring_next = 0;
        self.previous.fill(f32::NAN);
    }

    /// The site rested: what it was is a prior, and it is learned again before it is judged.
    pub(crate) fn resume(&mut self) {
        self.break_window();
        self.learned = self.learned.min(LEARN_FRAMES / 2);
        self.fit_at = self.fit_at.min(LEARN_FRAMES);
        self.off = false;
        self.off_frames = 0;
        self.most_frames = 0;
        self.off_square.fill(0.0);
    }

    /// Takes a frame; NaN for a silent signal. `None` while it learns or the window fills.
    pub(crate) fn take(&mut self, frame: &[f64]) -> Option<Judged> {
        debug_assert_eq!(frame.len(), self.signals);
        let begins = |(value, origin): (&f64, &f64)| origin.is_nan() && !value.is_nan();
        if self.learned > 0 && frame.iter().zip(&self.origin).any(begins) {
            // A signal that was announced long ago and has its first value now: what was learned without it is learned anew.
            *self = Self::new(self.shape);
        }
        for (signal, &value) in frame.iter().enumerate() {
            if value.is_nan() {
                continue;
            }
            if self.origin[signal].is_nan() {
                self.origin[signal] = value;
            }
            if !self.last[signal].is_nan() && value.to_bits() != self.last[signal].to_bits() {
                self.changes[signal] = self.changes[signal].saturating_add(1);
            }
            self.last[signal] = value;
        }
        let leaving = self.push(frame);
        if self.ring_filled < WINDOW {
            return None;
        }
        self.measure();
        let off_frames = self.off_frames;
        let judged = (self.learned >= LEARN_FRAMES).then(|| self.judge());
        if judged.is_some_and(|judged| judged.off) {
            for (sum, error) in
                self.off_square.iter_mut().zip(&self.error).filter(|(_, error)| !error.is_nan())
            {
                *sum += error * error;
            }
            return judged;
        }
        if off_frames > 0 {
            self.absorb(off_frames);
        }
        if let Some(leaving) = leaving {
            self.learn(&leaving);
        }
        judged
    }

    /// Puts a frame into the ring and gives the one that leaves it.
    fn push(&mut self, frame: &[f64]) -> Option<Vec<f32>> {
        let start = self.ring_next * self.signals;
        let slot = &mut self.ring[start..start + self.signals];
        let leaving = (self.ring_filled == WINDOW).then(|| slot.to_vec());
        for ((kept, value), origin) in slot.iter_mut().zip(frame).zip(&self.origin) {
            *kept = (value - origin) as f32;
        }
        self.ring_next = (self.ring_next + 1) % WINDOW;
        self.ring_filled = (self.ring_filled + 1).min(WINDOW);
        leaving
    }

    /// The window's mean residual less its long mean, signal by signal.
    fn measure(&mut self) {
        let offset: Vec<f64> = (0..self.signals)
            .map(|signal| {
                let (mut sum, mut count) = (0.0, 0_u32);
                for row in 0..WINDOW {
                    let value = f64::from(self.ring[row * self.signals + signal]);
                    if !value.is_nan() {
                        sum += value;
                        count += 1;
                    }
                }
                if count == 0 { f64::NAN } else { sum / f64::from(count) - self.mean[signal] }
            })
            .collect();
        // A silent signal is taken to be where the mean says, so that it accuses no other.
        let known: Vec<f64> = offset.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect();
        self.error = (0..self.signals)
            .map(|signal| {
                if offset[signal].is_nan() {
                    return f64::NAN;
                }
                let row = &self.weights[signal * self.signals..(signal + 1) * self.signals];
                row.iter().zip(&known).map(|(weight, value)| f64::from(*weight) * value).sum()
            })
            .collect();
    }

    fn judge(&mut self) -> Judged {
        let judged: Vec<usize> = (0..self.signals)
            .filter(|signal| {
                self.shape.is_judged(*signal)
                    && !self.error[*signal].is_nan()
                    && self.changes[*signal] >= CHANGES_MIN
                    && self.square[*signal] > 0.0
            })
            .collect();
        let (signal, deviate) = self.worst(&judged, &self.error).unwrap_or((0, 0.0));
        // Twice the logarithm of the number of signals is how the largest of their squares grows.
        let on = (ON * ON + 2.0 * (judged.len().max(1) as f64 / SIGNALS_OF_ON).ln()).sqrt();
        let limit = if self.off { on - (ON - OFF) } else { on };
        self.off = deviate > limit;
        self.off_frames = if self.off { self.off_frames.saturating_add(1) } else { 0 };
        let most = self.off && !self.isolate(&judged, limit);
        self.most_frames = if most { self.most_frames.saturating_add(1) } else { 0 };
        let relearns = self.off_frames > RELEARN_FRAMES || self.most_frames > LEARN_FRAMES;
        let verdict = Judged { deviate, statistic: deviate / on, signal, off: self.off, most, relearns };
        if relearns {
            *self = Self::new(self.shape);
        }
        verdict
    }

    /// The signal of `judged` whose error is the least probable, and its deviate.
    fn worst(&self, judged: &[usize], error: &[f64]) -> Option<(usize, f64)> {
        let windows = f64::from(self.errors).min(MEMORY) / WINDOW as f64;
        let deviate = |signal: usize| {
            let correlation = if self.unlagged[signal] > 0.0 {
                (self.lagged[signal] / self.unlagged[signal]).clamp(0.0, 0.95)
            } else {
                0.0
            };
            let freedom = (windows * (1.0 - correlation) / (1.0 + correlation)).max(1.0);
            normal_deviate(error[signal] * error[signal] / self.square[signal], freedom)
        };
        judged
            .iter()
            .map(|signal| (*signal, deviate(*signal)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
    }

    /// Finds the signals whose shift explains the errors of all: a shift of one disturbs what the others expect of it,
    /// but its own deviate is the largest, because no partial correlation exceeds one; and its error is the shift
    /// (reconstruction-based contribution: Alcala & Qin, Automatica 45:1593, 2009). False if it takes more than half of
    /// them.
    fn isolate(&mut self, judged: &[usize], limit: f64) -> bool {
        let mut error = self.error.clone();
        self.shifts.clear();
        while let Some((signal, deviate)) = self.worst(judged, &error).filter(|(_, deviate)| *deviate > limit)
        {
            if self.shifts.len() >= 2 && (self.shifts.len() + 1) as f64 > MOST * judged.len() as f64 {
                self.shifts.clear();
                return false;
            }
            let shift = error[signal];
            self.shifts.push(Shift { signal, deviate, shift });
            for (row, error) in error.iter_mut().enumerate() {
                *error -= f64::from(self.weights[row * self.signals + signal]) * shift;
            }
        }
        true
    }

    fn learn(&mut self, leaving: &[f32]) {
        if self.learned >= SETTLED_FRAMES {
            self.learn_errors();
        }
        self.learned = self.learned.saturating_add(1);
        let weight = 1.0 / f64::from(self.learned).min(MEMORY);
        let change: Vec<f64> =
            leaving.iter().zip(&self.mean).map(|(value, mean)| f64::from(*value) - mean).collect();
        for row in 0..self.signals {
            if change[row].is_nan() {
                continue;
            }
            self.mean[row] += weight * change[row];
            for column in 0..=row {
                if !change[column].is_nan() {
                    let kept = &mut self.covariance[at(row, column)];
                    *kept = (1.0 - weight) * (*kept + weight * change[row] * change[column]);
                }
            }
        }
        if self.learned >= self.fit_at {
            self.fit_at = self.learned.saturating_add(self.learned.min(FIT_EVERY));
            self.fit();
        }
    }

    /// What came and went by itself is how the site behaves: errors as large are expected from now on.
    fn absorb(&mut self, frames: u32) {
        let weight = f64::from(frames) / (f64::from(self.errors).min(MEMORY) + f64::from(frames));
        for (square, sum) in self.square.iter_mut().zip(&mut self.off_square) {
            *square += weight * (*sum / f64::from(frames) - *square);
            *sum = 0.0;
        }
        self.errors = self.errors.saturating_add(frames);
    }

    fn learn_errors(&mut self) {
        let at_window = self.errors.is_multiple_of(WINDOW as u32);
        self.errors = self.errors.saturating_add(1);
        let weight = 1.0 / f64::from(self.errors).min(MEMORY);
        let windows = (f64::from(self.errors).min(MEMORY) / WINDOW as f64).max(1.0);
        for signal in 0..self.signals {
            let error = self.error[signal];
            if error.is_nan() {
                continue;
            }
            self.square[signal] += weight * (error * error - self.square[signal]);
            if at_window {
                let previous = f64::from(self.previous[signal]);
                if !previous.is_nan() {
                    self.lagged[signal] += (error * previous - self.lagged[signal]) / windows;
                    let scale = f64::midpoint(error * error, previous * previous);
                    self.unlagged[signal] += (scale - self.unlagged[signal]) / windows;
                }
                self.previous[signal] = error as f32;
            }
        }
    }

    /// Regresses every signal on the others.
    fn fit(&mut self) {
        for group in self.shape.groups() {
            self.fit_group(group);
        }
    }

    fn fit_group(&mut self, group: std::ops::Range<usize>) {
        let live: Vec<usize> = group
            .filter(|signal| {
                self.changes[*signal] >= CHANGES_MIN && self.covariance[at(*signal, *signal)] > 0.0
            })
            .collect();
        let scale: Vec<f64> =
            live.iter().map(|signal| self.covariance[at(*signal, *signal)].sqrt()).collect();
        let size = live.len();
        if size < 2 {
            return;
        }
        let mut correlation = vec![0.0; packed(size)];
        for row in 0..size {
            for column in 0..=row {
                correlation[at(row, column)] =
                    self.covariance[at(live[row], live[column])] / (scale[row] * scale[column]);
            }
        }
        let windows = f64::from(self.learned).min(MEMORY) / WINDOW as f64;
        let shrink = shrinkage(&correlation, size, windows);
        for row in 0..size {
            for column in 0..row {
                correlation[at(row, column)] *= 1.0 - shrink;
            }
        }
        let Some(precision) = inverse(&correlation, size) else { return };
        let before: Vec<f64> = live.iter().map(|signal| self.residual_variance(*signal)).collect();
        for row in 0..size {
            for column in 0..size {
                let weight = precision[at(row, column)] / precision[at(row, row)];
                self.weights[live[row] * self.signals + live[column]] =
                    (weight * scale[row] / scale[column]) as f32;
            }
        }
        // Errors under the new weights were not kept; they are as much larger as the residuals are.
        for (row, signal) in live.iter().enumerate() {
            if before[row] > 0.0 {
                let ratio = self.residual_variance(*signal) / before[row];
                self.square[*signal] *= ratio;
                self.lagged[*signal] *= ratio;
                self.unlagged[*signal] *= ratio;
                self.previous[*signal] *= ratio.sqrt() as f32;
            }
        }
    }

    fn residual_variance(&self, signal: usize) -> f64 {
        let row = &self.weights[signal * self.signals..(signal + 1) * self.signals];
        let mut variance = 0.0;
        for (a, weight_a) in row.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            for (b, weight_b) in row.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                variance += f64::from(*weight_a) * f64::from(*weight_b) * self.covariance[at(a, b)];
            }
        }
        variance.max(0.0)
    }
}

/// The normal deviate that is as improbable as a squared Student's t (Wallace, Ann. Math. Stat. 30:1124, 1959).
pub(super) fn normal_deviate(t_square: f64, freedom: f64) -> f64 {
    (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * (freedom * (t_square / freedom).ln_1p()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_whose_first_value_comes_late_is_learned_before_it_is_judged() {
        let mut model = Model::new(Shape::together(4));
        let frame = |number: u32, late: f64| {
            let load = f64::from(number * 37 % 101) / 100.0;
            let own = |signal: u32| f64::from((number * (11 + signal) + signal) % 17) / 100.0;
            [load + own(1), 2.0 * load + own(2), own(3) - load, late + load]
        };
        let early = (0..2 * LEARN_FRAMES).filter_map(|number| model.take(&frame(number, f64::NAN))).count();
        assert!(early > 0, "three signals are judged without the fourth");
        let silent = (0..LEARN_FRAMES).all(|number| model.take(&frame(number, 300.0)).is_none());
        assert!(silent, "nothing is judged before the fourth is known");
        let later = (0..LEARN_FRAMES).filter_map(|number| model.take(&frame(number, 300.0)));
        assert!(later.map(|judged| judged.off).collect::<Vec<_>>().iter().any(|off| !off));
        assert_eq!(model.learning_left(), 0);
    }
}
