//! What a night's flow usually is: by the nights before it, and by its day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::tanks::uptake;

/// Nights kept: four weeks, so that every weekday has its own.
const NIGHTS_MAX: usize = 28;
/// Nights before one is predicted, and predictions before one is judged.
const NIGHTS_MIN: usize = 7;
const MISSES_MIN: usize = 4;
/// Nights that a weekday's own offset is weighed against.
const WEEKDAY_PRIOR: f64 = 2.0;
/// A night's share of its day counts up to here: with more the day says nothing that the night does not.
const SHARE_MAX: f64 = 0.7;
/// Least deviation, share of the usual night: what meters wander by.
const DEVIATION_MIN: f64 = 0.01;
/// Of the misses, the largest share that is left out.
const MISSES_LEFT_OUT: f64 = 0.05;

/// Mean inflow of a night, and of the hours between it and the night before, kg/s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NightAndDay {
    pub(super) night: f64,
    /// `None` where too little of it was heard.
    pub(super) day: Option<f64>,
    /// What a tank of 1 m2 took up in the night, kg/s, by tank: over whole days it takes up next to nothing.
    pub(super) slopes: Vec<f64>,
    /// Days since the epoch, modulo 7.
    pub(super) weekday: u8,
}

impl NightAndDay {
    /// Without a loss that lasts day and night.
    pub(super) fn less(self, loss: f64) -> Self {
        Self { night: self.night - loss, day: self.day.map(|day| day - loss), ..self }
    }
}

/// How much a night has more than usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Excess {
    /// Over the nights before; and over its share of the day, as the loss that would explain it. kg/s.
    by: [Option<f64>; 2],
    deviation: [f64; 2],
    /// The lesser of the two, kg/s.
    pub(super) least: f64,
}

impl Excess {
    /// By how many deviations it exceeds a loss, by the lesser of its two.
    pub(super) fn over(&self, loss: f64) -> f64 {
        let both = self.by.iter().zip(self.deviation);
        both.filter_map(|(by, deviation)| Some((by.as_ref()? - loss) / deviation))
            .fold(f64::INFINITY, f64::min)
    }

    /// Over the nights before, kg/s.
    pub(super) fn by_nights(&self) -> f64 {
        self.by[0].unwrap_or(self.least)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Usual {
    /// Clean nights, oldest first.
    nights: VecDeque<NightAndDay>,
    /// By how much the newest predictions missed clean nights, kg/s.
    misses: [VecDeque<f64>; 2],
}

impl Usual {
    pub(super) fn nights_left(&self) -> usize {
        (NIGHTS_MIN + MISSES_MIN).saturating_sub(self.nights.len())
    }

    /// Mean inflow, kg/s.
    pub(super) fn mean_inflow(&self) -> f64 {
        median(self.nights.iter().map(|night| night.day.unwrap_or(night.night))).unwrap_or(0.0)
    }

    /// Takes a clean night.
    pub(super) fn learn(&mut self, flow: NightAndDay) {
        if self.nights.len() >= NIGHTS_MIN && self.misses[0].len() < MISSES_MIN {
            let by = self.missed(&flow);
            self.note_misses(by);
        }
        push(&mut self.nights, flow);
    }

    /// Nights that were learned less a leak are moved to where the nights after it lie, by the median of what those have
    /// above them.
    pub(super) fn shift(&mut self, above: &[f64]) {
        let by = median(above.iter().copied()).unwrap_or(0.0);
        for night in &mut self.nights {
            night.night += by;
            night.day = night.day.map(|day| day + by);
        }
    }

    /// The nights as they would have been by areas that are larger by so many m2.
    pub(super) fn move_areas(&mut self, by: &[f64]) {
        for night in &mut self.nights {
            night.night -= uptake(by, &night.slopes);
        }
    }

    /// Notes what a clean night had more than usual.
    pub(super) fn note(&mut self, excess: Excess) {
        self.note_misses(excess.by);
    }

    fn note_misses(&mut self, by: [Option<f64>; 2]) {
        for (misses, by) in self.misses.iter_mut().zip(by) {
            if let Some(by) = by {
                push(misses, by.abs());
            }
        }
    }

    /// What a night has more than usual; `None` while that is not known.
    pub(super) fn excess(&self, flow: &NightAndDay) -> Option<Excess> {
        if self.nights.len() < NIGHTS_MIN || self.misses[0].len() < MISSES_MIN {
            return None;
        }
        let mut by = self.missed(flow);
        if self.misses[1].len() < MISSES_MIN {
            by[1] = None;
        }
        let least = by.into_iter().flatten().reduce(f64::min)?;
        let floor = (DEVIATION_MIN * median(self.nights.iter().map(|night| night.night))?.abs()).max(1e-9);
        Some(Excess { by, deviation: [0, 1].map(|of| self.deviation(of).max(floor)), least })
    }

    /// Standard deviation of the predictions: 1.25 times the mean miss, larger while they are few.
    fn deviation(&self, of: usize) -> f64 {
        let mut misses: Vec<f64> = self.misses[of].iter().copied().collect();
        misses.sort_by(f64::total_cmp);
        let kept = ((misses.len() as f64 * (1.0 - MISSES_LEFT_OUT)) as usize).max(1);
        let mean = misses.iter().take(kept).sum::<f64>() / kept as f64;
        1.25 * mean * (1.0 + 3.0 / misses.len().max(1) as f64)
    }

    fn missed(&self, flow: &NightAndDay) -> [Option<f64>; 2] {
        let nights = self.nights.iter().map(|night| (night.night, night.weekday));
        let by_nights = above(nights, flow.night, flow.weekday);
        let by_day = || {
            let day = flow.day?;
            let known = || self.nights.iter().filter_map(|night| Some((night, night.day?)));
            let share =
                median(known().map(|(night, day)| night.night / day.max(1e-9)))?.clamp(0.0, SHARE_MAX);
            let left = known().map(|(night, day)| (night.night - share * day, night.weekday));
            // A loss adds to the day as much as to the night.
            above(left, flow.night - share * day, flow.weekday).map(|above| above / (1.0 - share))
        };
        [by_nights, by_day()]
    }
}

fn push<T>(kept: &mut VecDeque<T>, value: T) {
    if kept.len() == NIGHTS_MAX {
        kept.pop_front();
    }
    kept.push_back(value);
}

/// By how much a value lies above the median of others, with the weekday's own offset as far as it is known.
fn above(others: impl Iterator<Item = (f64, u8)> + Clone, value: f64, weekday: u8) -> Option<f64> {
    let usual = median(others.clone().map(|(other, _)| other))?;
    let same = || others.clone().filter(|(_, of)| *of == weekday).map(|(other, _)| other - usual);
    let count = same().count() as f64;
    let offset = median(same()).unwrap_or(0.0) * count / (count + WEEKDAY_PRIOR);
    Some(value - usual - offset)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
