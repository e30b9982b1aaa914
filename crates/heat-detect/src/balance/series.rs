//! A baseline that knows the hour and cannot learn a leak, and the residuals against it.
//!
//! `y = level + profile(hour) + residual`. The level follows the residuals slowly; once learned it moves per day by no
//! more than a cap below the slowest leak sought, and not at all under suspicion. The profile over the hours of the
//! (UTC) day is shrunk towards zero, so that a few days of data do not make one up.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bins::BINS_PER_DAY;

/// Time constant of the level, bins: three days.
const LEVEL_BINS: f64 = 3.0 * BINS_PER_DAY as f64;
/// Time constant of an hour's profile, in bins of that hour: ten days.
const PROFILE_BINS: f64 = 40.0;
/// Clean residuals kept for thresholds: 28 days.
const HISTORY_MAX: usize = 28 * BINS_PER_DAY;
/// All residuals kept for size and shape of a leak: 14 days, the longest an incipient leak may take.
const RECENT_MAX: usize = 14 * BINS_PER_DAY;
/// Residuals beyond this many scales teach no more than this.
const WINSOR: f64 = 4.0;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Series {
    /// Bins learned from.
    pub(crate) learned: u32,
    level: f64,
    profile: Vec<f64>,
    profile_count: Vec<u32>,
    /// Mean absolute residual times 1.25: a standard deviation that one outlier does not move.
    pub(crate) scale: f64,
    /// Clean residuals, oldest first.
    pub(crate) history: VecDeque<f32>,
    /// (bin, residual), oldest first.
    pub(crate) recent: VecDeque<(i64, f32)>,
}

impl Series {
    fn hour(bin: i64) -> usize {
        (bin.rem_euclid(BINS_PER_DAY as i64) / 4) as usize
    }

    pub(crate) fn expected(&self, bin: i64) -> f64 {
        let hour = Self::hour(bin);
        let profile = match (self.profile.get(hour), self.profile_count.get(hour)) {
            (Some(profile), Some(&count)) => profile * f64::from(count) / (f64::from(count) + 12.0),
            _ => 0.0,
        };
        self.level + profile
    }

    /// Level without the profile: what is lost all the time.
    pub(crate) const fn level(&self) -> f64 {
        self.level
    }

    /// Residual of a value; nothing is learned.
    pub(crate) fn residual(&self, bin: i64, value: f64) -> f64 {
        value - self.expected(bin)
    }

    /// Notes a residual for size and shape.
    pub(crate) fn note(&mut self, bin: i64, residual: f64) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((bin, residual as f32));
    }

    /// Learns from a clean value. `cap_per_bin` bounds the level's move once `settled`. `judged` is what a test makes
    /// of it, where that is not the residual itself.
    pub(crate) fn learn(
        &mut self,
        bin: i64,
        value: f64,
        judged: Option<f64>,
        settled: bool,
        cap_per_bin: f64,
    ) {
        if self.profile.is_empty() {
            self.profile = vec![0.0; 24];
            self.profile_count = vec![0; 24];
            self.level = value;
        }
        let residual = self.residual(bin, value);
        self.learned = self.learned.saturating_add(1);
        let count = f64::from(self.learned);
        let clipped = if count > 16.0 && self.scale > 0.0 {
            residual.clamp(-WINSOR * self.scale, WINSOR * self.scale)
        } else {
            residual
        };
        let step = clipped / count.min(LEVEL_BINS);
        self.level += if settled { step.clamp(-cap_per_bin, cap_per_bin) } else { step };
        let hour = Self::hour(bin);
        self.profile_count[hour] = self.profile_count[hour].saturating_add(1);
        self.profile[hour] += clipped / f64::from(self.profile_count[hour]).min(PROFILE_BINS);
        let weight = 1.0 / count.min(LEVEL_BINS);
        let deviation = 1.25 * residual.abs();
        let deviation =
            if count > 16.0 && self.scale > 0.0 { deviation.min(8.0 * self.scale) } else { deviation };
        self.scale += weight * (deviation - self.scale);
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(judged.unwrap_or(residual) as f32);
    }

    /// Takes what the residuals have been since a bin as usual from here on; what was noted of it is forgotten.
    pub(crate) fn accept(&mut self, from: i64) {
        if let Some((mean, _)) = self.mean_since(from) {
            self.shift(mean);
        }
    }

    /// Moves the level along with a change of what the values are counted from; the residuals stay as they are.
    pub(crate) fn nudge(&mut self, by: f64) {
        self.level += by;
    }

    /// Moves the level at once; the residuals against the old one are forgotten.
    pub(crate) fn shift(&mut self, by: f64) {
        self.level += by;
        self.recent.clear();
    }

    /// Mean residual of the bins from `from` on, and their number.
    pub(crate) fn mean_since(&self, from: i64) -> Option<(f64, u32)> {
        let mut sum = 0.0;
        let mut count = 0_u32;
        for (_, residual) in self.recent.iter().rev().take_while(|(bin, _)| *bin >= from) {
            sum += f64::from(*residual);
            count += 1;
        }
        (count > 0).then(|| (sum / f64::from(count), count))
    }

    /// Whether the residuals have stayed above a level for longer than a plant draws in normal operation (sampling,
    /// filters, blow-down: under an hour): in at least six of the last eight quarter hours, or, where make-up comes in
    /// batches, in the mean of each of the last three times four hours.
    pub(crate) fn persists(&self, level: f64) -> bool {
        let newest =
            |count: usize| self.recent.iter().rev().take(count).map(|(_, residual)| f64::from(*residual));
        let above = self.newest_above(8, level);
        let blocks: Vec<f64> = newest(48).collect();
        above > 5
            || (blocks.len() == 48
                && blocks.chunks_exact(16).all(|block| block.iter().sum::<f64>() / 16.0 > level))
    }

    /// Mean residual of the bins `from..=to`.
    pub(crate) fn mean_of(&self, from: i64, to: i64) -> Option<f64> {
        let inside =
            self.recent.iter().rev().skip_while(|(bin, _)| *bin > to).take_while(|(bin, _)| *bin >= from);
        let (sum, count) = inside.fold((0.0, 0_u32), |(sum, count), (_, r)| (sum + f64::from(*r), count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Number of the bins `from..=to` that were noted.
    pub(crate) fn count_of(&self, from: i64, to: i64) -> u32 {
        let inside = |bin: i64| bin >= from && bin <= to;
        let newest = self.recent.iter().rev().take_while(|(bin, _)| *bin >= from);
        newest.filter(|(bin, _)| inside(*bin)).count().try_into().unwrap_or(u32::MAX)
    }

    /// How many of the newest residuals are above a level.
    pub(crate) fn newest_above(&self, count: usize, level: f64) -> usize {
        self.recent.iter().rev().take(count).filter(|(_, residual)| f64::from(*residual) > level).count()
    }

    /// Least of the newest residuals.
    pub(crate) fn least_of(&self, count: usize) -> f64 {
        self.recent
            .iter()
            .rev()
            .take(count)
            .map(|(_, residual)| f64::from(*residual))
            .fold(f64::INFINITY, f64::min)
    }
}
