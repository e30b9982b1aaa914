//! A further loss on top of a leak that is said: a crack that tears, or a second pipe.
//!
//! Statistic: the tests of the quarter hours go on against what the leak lost three to six hours ago and would lose now if it
//! grew on as it did in the hours before; what they find counts if the newest quarter hours stand above that by as much as a
//! sudden leak that pages. Not against the size said: that follows the residuals within hours, and would hide a step as it
//! follows. Such a step is no second incident: the leak's own is raised, and tells the step.

use serde::{Deserialize, Serialize};

use super::{
    Balance, Input, Leak,
    judge::{ABRUPT_MIN_SHARE, FAST_SHARE, PAGE_DOUBT_MAX},
    sequential::Bank,
};

/// Bins between what a step is measured against and now.
const GAP_BINS: i64 = 12;
/// Bins that it is measured against, and the fewest of them.
const BEFORE_BINS: i64 = 12;
const BEFORE_MIN: u32 = 4;
/// Newest bins, and how many of them must stand above.
const NEWEST_BINS: usize = 8;
const ABOVE_MIN: usize = 6;

/// A further loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) onset_bin: i64,
    /// In the unit of the account.
    pub(crate) height: f64,
}

/// Tests beside an open leak.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct OnTop {
    bank: Bank,
    /// What was lost before a step that is not decided yet.
    trend: Option<Trend>,
}

/// A loss that stands or grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Trend {
    value: f64,
    at: i64,
    per_bin: f64,
}

impl Trend {
    fn at(self, bin: i64) -> f64 {
        self.value + self.per_bin * (bin - self.at) as f64
    }
}

impl OnTop {
    /// A leak, or a step of one, is said: the tests begin anew.
    pub(super) fn begin(&mut self, quarter: &Bank) {
        self.bank = quarter.clone();
        self.bank.reset();
        self.trend = None;
    }
}

impl Balance {
    /// Tests a quarter hour of an open leak.
    pub(super) fn test_on_top(&mut self, bin: i64, residual: f64) {
        let Some(trend) = self.judge.on_top.trend.or_else(|| self.trend(bin)) else { return };
        self.judge.on_top.bank.observe(bin, residual - trend.at(bin));
        let is_high = self.judge.on_top.bank.alarm().is_some()
            && self.loss.newest_above(NEWEST_BINS / 2, trend.at(bin) + self.step_min()) > 0;
        // What it is measured against goes on as it went while it is looked at.
        self.judge.on_top.trend = is_high.then_some(trend);
    }

    /// What the open leak lost some hours ago, and by how much it grew; `None` while it is too young to tell.
    fn trend(&self, bin: i64) -> Option<Trend> {
        let leak = self.judge.open.as_ref()?;
        let mean_until = |until: i64| {
            let from = (until - BEFORE_BINS + 1).max(leak.onset_bin);
            let count = self.loss.count_of(from, until);
            let mean = self.loss.mean_of(from, until).filter(|_| count >= BEFORE_MIN)?;
            Some((mean, i64::midpoint(from, until)))
        };
        let (value, at) = mean_until(bin - GAP_BINS)?;
        let per_bin = match mean_until(bin - 2 * GAP_BINS) {
            Some((earlier, then)) if then < at => (value - earlier).max(0.0) / (at - then) as f64,
            // What began at once stands; what grows must have shown by how much.
            _ if leak.abrupt => 0.0,
            _ => return None,
        };
        Some(Trend { value, at, per_bin })
    }

    fn step_min(&self) -> f64 {
        ABRUPT_MIN_SHARE * self.full_scale()
    }

    /// The step on top of the open leak, once it has lasted and the other meters do not contradict it.
    pub(super) fn step_on_top(&self, input: &Input<'_>, leak: &Leak) -> Option<Step> {
        let trend = self.judge.on_top.trend?;
        let alarm = self.judge.on_top.bank.alarm()?;
        let newest = self.loss.recent.back()?.0;
        let before = trend.at(newest);
        let above = self.loss.newest_above(NEWEST_BINS, before + self.step_min());
        let onset_bin = alarm.since.max(newest - GAP_BINS).max(leak.onset_bin);
        let (mean, count) = self.loss.mean_since(onset_bin)?;
        let (recent, _) = self.loss.mean_since(newest - 3)?;
        let height = recent - before;
        // Households draw as much for an evening.
        let may_be_drawn = input.may_drain && height < FAST_SHARE * self.full_scale();
        let is_step = above >= ABOVE_MIN
            && height > self.step_min().max(PAGE_DOUBT_MAX * self.doubt(count).total())
            && !may_be_drawn
            && self.log_odds(onset_bin, mean, count) > 0.0;
        is_step.then_some(Step { onset_bin, height })
    }
}
