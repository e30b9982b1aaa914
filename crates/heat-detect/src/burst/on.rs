//! A burst that is on: its size, its end, and when its place is judged again.

use heat_model::incident::Evidence;
use serde::{Deserialize, Serialize};

use super::{
    several::may_be_on,
    view::{View, imbalance_value, make_up_value, total},
};
use crate::tracker::Tracker;

/// Time constant with which an open burst's loss is averaged, seconds.
const LOSS_SECONDS: f64 = 30.0;
/// Seconds after the opening at which the place is judged again, with more data each time.
const LOCATE_AT_SECONDS: [i64; 6] = [10, 30, 60, 180, 420, 600];
/// By then what it moves has settled: what moves later is another matter.
pub(super) const SETTLES_US: i64 = LOCATE_AT_SECONDS[5] * 1_000_000;
/// A burst of which less than this share is left is over.
const LEFT_SHARE: f64 = 0.3;

/// A burst that is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenBurst {
    pub(crate) opened_us: i64,
    pub(crate) onset_us: i64,
    /// Loss now, kg/s.
    pub(crate) loss_kg_s: f64,
    pub(crate) peak_kg_s: f64,
    /// Imbalance of the big meters and make-up before it, and before any that was on when it came, kg/s.
    pub(super) imbalance_before: Option<f64>,
    pub(super) make_up_before: Option<f64>,
    /// Value of every signal before it.
    pub(crate) before: Vec<f32>,
    /// Sum and number of values since.
    pub(crate) after: Vec<(f64, u32)>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) votes: u32,
    /// Signals that showed it.
    pub(super) voters: Vec<u32>,
    /// By how much its data came late; `None` once that is said, or where they came in time.
    pub(crate) late_us: Option<i64>,
    pub(super) below_since_us: Option<i64>,
    pub(super) averaged_us: i64,
    pub(super) located: usize,
}

/// Follows the sizes and ends of all that are on, in order of opening; once a second. `now_us` is the time up to which the data
/// tell.
pub(super) fn follow(
    open: &mut [OpenBurst],
    view: View<'_>,
    now_us: i64,
    clear_seconds: f64,
) -> Vec<Progress> {
    let Some((loss, rise)) = open.first().and_then(|first| first.rise(view)) else {
        return vec![Progress::None; open.len()];
    };
    let is_on = if let [only] = open {
        only.average(now_us, loss);
        vec![rise >= LEFT_SHARE * only.peak_kg_s]
    } else {
        let newest = open.len() - 1;
        // What those before the newest lose was known when it came; one that was over by then has no size.
        let sizes: Vec<f64> = open
            .iter()
            .enumerate()
            .map(|(nth, burst)| if nth == newest { burst.peak_kg_s } else { burst.left_kg_s() })
            .collect();
        let is_on = may_be_on(&sizes, rise);
        // While one of them may be over, what is lost says nothing of the newest.
        if open.iter().zip(&is_on).all(|(burst, is_on)| *is_on || burst.left_kg_s() <= 0.0) {
            open[newest].average(now_us, loss - sizes[..newest].iter().sum::<f64>());
        }
        is_on
    };
    open.iter_mut().zip(is_on).map(|(burst, is_on)| burst.progress(now_us, clear_seconds, !is_on)).collect()
}

/// What a second brings to an open burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    None,
    /// Time to judge the place and size again.
    Locate,
    /// The evidence is gone.
    Over,
}

impl OpenBurst {
    pub(crate) fn note(&mut self, signal: u32, value: f64) {
        if let Some((sum, count)) = self.after.get_mut(signal as usize) {
            *sum += value;
            *count += 1;
        }
    }

    /// What is lost more than before, kg/s, and the same by the big meters alone, where there are any: make-up refills for
    /// long after.
    fn rise(&self, view: View<'_>) -> Option<(f64, f64)> {
        let imbalance =
            total(view, imbalance_value).zip(self.imbalance_before).map(|(now, before)| now - before);
        let make_up = total(view, make_up_value).zip(self.make_up_before).map(|(now, before)| now - before);
        // The make-up may be at its limit, the big meters' difference carries their noise: the larger speaks.
        let loss = match (imbalance, make_up) {
            (Some(imbalance), Some(make_up)) if imbalance > make_up + 0.02 * view.circulation => imbalance,
            (_, Some(make_up)) => make_up,
            (Some(imbalance), None) => imbalance,
            (None, None) => return None,
        };
        Some((loss, imbalance.or(make_up)?))
    }

    /// What it loses, kg/s; 0 of one of which hardly anything is left.
    fn left_kg_s(&self) -> f64 {
        if self.loss_kg_s < LEFT_SHARE * self.peak_kg_s { 0.0 } else { self.loss_kg_s }
    }

    fn average(&mut self, now_us: i64, loss: f64) {
        let elapsed = (now_us - self.averaged_us).max(0) as f64 / 1e6;
        self.averaged_us = self.averaged_us.max(now_us);
        self.loss_kg_s += (1.0 - (-elapsed / LOSS_SECONDS).exp()) * (loss - self.loss_kg_s);
        self.peak_kg_s = self.peak_kg_s.max(self.loss_kg_s);
    }

    fn progress(&mut self, now_us: i64, clear_seconds: f64, gone: bool) -> Progress {
        if gone {
            let since = *self.below_since_us.get_or_insert(now_us);
            if (now_us - since) as f64 / 1e6 >= clear_seconds {
                return Progress::Over;
            }
        } else {
            self.below_since_us = None;
        }
        match LOCATE_AT_SECONDS.get(self.located) {
            Some(at) if now_us - self.opened_us >= at * 1_000_000 => {
                self.located += 1;
                Progress::Locate
            }
            _ => Progress::None,
        }
    }

    /// Time up to which the data have told of it.
    pub(crate) fn averaged_until_us(&self) -> i64 {
        self.averaged_us.max(self.opened_us)
    }

    /// Whether the newest data show it no more.
    pub(crate) const fn is_gone(&self) -> bool {
        self.below_since_us.is_some()
    }

    /// Event time up to which all signals that showed it have come since.
    pub(crate) fn voters_until_us(&self, trackers: &[Tracker]) -> i64 {
        self.voters.iter().map(|signal| trackers[*signal as usize].at_us).min().unwrap_or(i64::MAX)
    }
}
