//! What a site of one or two signals is held against: it has no others that would tell what a signal should be.
//!
//! Two things of each signal are judged. Where it is: against the same quarter hour of yesterday, the mean of the last day,
//! and the site's other signal. And how far it moved within a window: against how far it moved at that time yesterday. A
//! fault that lasts shows in the first, and one that comes and goes within hours, or comes to a signal that wanders, in the
//! second. [`super::model`] weighs and judges them as it does several signals. What was off is remembered as it should
//! have been, or it would come again a day later; what lasts for a day, as it is.

use serde::{Deserialize, Serialize};

use super::model::WINDOW;
use crate::bins::{BIN_US, BINS_PER_DAY};

/// Quarter hours of a day.
const SLOTS: i64 = BINS_PER_DAY as i64;
pub(super) const DAY_US: i64 = SLOTS * BIN_US;
/// Frames that the mean of the last day rests on, at least and at most: fast signals have other rhythms than days.
const SLOW_FRAMES: (i64, i64) = (24, 288);

/// What one signal was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Past {
    /// Means of the last day's slots; NaN where it was silent.
    day: Vec<f32>,
    /// Newest slot and what it is the mean of.
    slot: i64,
    sum: f64,
    count: u32,
    /// Mean of the last day, and frames in it.
    slow: f64,
    frames: u32,
    /// The last frames.
    recent: [f32; WINDOW],
}

impl Past {
    fn new() -> Self {
        Self {
            day: vec![f32::NAN; SLOTS as usize],
            slot: i64::MIN,
            sum: 0.0,
            count: 0,
            slow: f64::NAN,
            frames: 0,
            recent: [f32::NAN; WINDOW],
        }
    }

    /// The mean of the slot of a day before.
    fn yesterday(&self, at_us: i64) -> f64 {
        let slot = (at_us - DAY_US).div_euclid(BIN_US);
        let is_kept = slot < self.slot && slot >= self.slot.saturating_sub(SLOTS);
        if is_kept { f64::from(self.day[slot.rem_euclid(SLOTS) as usize]) } else { f64::NAN }
    }

    fn take(&mut self, start_us: i64, step_us: i64, value: f64) {
        self.recent.rotate_left(1);
        self.recent[WINDOW - 1] = value as f32;
        if value.is_nan() {
            return;
        }
        let slot = start_us.div_euclid(BIN_US);
        if slot != self.slot {
            if self.count > 0 {
                self.day[self.slot.rem_euclid(SLOTS) as usize] = (self.sum / f64::from(self.count)) as f32;
            }
            // What was between was silent.
            let before = self.slot.max(slot - SLOTS);
            for silent in before + 1..slot {
                self.day[silent.rem_euclid(SLOTS) as usize] = f32::NAN;
            }
            (self.slot, self.sum, self.count) = (slot, 0.0, 0);
        }
        self.sum += value;
        self.count += 1;
        self.frames = self.frames.saturating_add(1);
        let memory = (DAY_US / step_us).clamp(SLOW_FRAMES.0, SLOW_FRAMES.1);
        if self.frames == 1 {
            self.slow = value;
        }
        self.slow += (value - self.slow) / f64::from(self.frames).min(memory as f64);
    }
}

/// The past of a site's signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alone(Vec<Past>);

impl Alone {
    pub(super) fn new(signals: usize) -> Self {
        Self(vec![Past::new(); signals])
    }

    /// The frame that the model judges: values, yesterday's, means; then moves and yesterday's.
    pub(super) fn frame(&self, start_us: i64, step_us: i64, values: &[f64]) -> Vec<f64> {
        let each = |of: &dyn Fn(&Past, f64) -> f64| {
            self.0.iter().zip(values).map(|(past, value)| of(past, *value)).collect::<Vec<f64>>()
        };
        let window_us = WINDOW as i64 * step_us;
        [
            values.to_vec(),
            each(&|past, _| past.yesterday(start_us)),
            each(&|past, _| past.slow),
            each(&|past, value| value - f64::from(past.recent[0])),
            each(&|past, _| past.yesterday(start_us) - past.yesterday(start_us - window_us)),
        ]
        .concat()
    }

    /// Takes the values of a frame, as they are or as they should have been.
    pub(super) fn take(&mut self, start_us: i64, step_us: i64, values: impl Iterator<Item = f64>) {
        for (past, value) in self.0.iter_mut().zip(values) {
            past.take(start_us, step_us, value);
        }
    }

    /// Time was lost: how far a signal moved meanwhile is not known.
    pub(super) fn break_window(&mut self) {
        for past in &mut self.0 {
            past.recent = [f32::NAN; WINDOW];
        }
    }
}

/// Which columns of a frame stand together, and which are judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    signals: u8,
    is_alone: bool,
}

impl Shape {
    /// Signals that tell of each other.
    pub(super) fn together(signals: usize) -> Self {
        Self { signals: u8::try_from(signals).unwrap_or(u8::MAX), is_alone: false }
    }

    /// Signals with their own past: the columns of [`Alone::frame`].
    pub(super) fn alone(signals: usize) -> Self {
        Self { is_alone: true, ..Self::together(signals) }
    }

    pub(super) fn columns(self) -> usize {
        usize::from(self.signals) * if self.is_alone { 5 } else { 1 }
    }

    /// Columns that are regressed on each other, group by group.
    pub(super) fn groups(self) -> Vec<std::ops::Range<usize>> {
        let all = self.columns();
        if self.is_alone {
            let moves = 3 * usize::from(self.signals);
            vec![0..moves, moves..all]
        } else {
            vec![0..all; 1]
        }
    }

    pub(super) fn is_judged(self, column: usize) -> bool {
        let signals = usize::from(self.signals);
        !self.is_alone || matches!(column / signals, 0 | 3)
    }

    /// The signal that a column is of.
    pub(super) fn signal(self, column: usize) -> usize {
        column % usize::from(self.signals)
    }
}
