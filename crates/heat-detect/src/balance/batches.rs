//! Make-up that comes in batches, or is counted in coarse steps, spread over the time that it stands for.
//!
//! What a batch feeds was lost since the batch before; a counter's step of 1 m3 was fed since the step before. So where
//! quarter hours without make-up are usual, they are held until the next batch has ended, and share it. The price is
//! that the account waits for a batch; a leak shortens the wait, for batches come sooner. Water beyond twice the usual
//! batch is a rush of its own and stays where it was fed. A make-up that runs on is not held.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bins::BINS_PER_DAY;

/// Quarter hours held at most: a day.
const HELD_MAX: usize = BINS_PER_DAY;
/// Memory of what is usual, bins: three days.
const MEMORY_BINS: f64 = 3.0 * BINS_PER_DAY as f64;
/// Bins seen before anything is held.
const SEEN_MIN: u32 = 48;
/// Share of dry quarter hours from which make-up counts as coming in batches, and below which no longer.
const BATCHY: f64 = 0.25;
const STEADY: f64 = 0.1;
/// A quarter hour is dry below this share of the mean.
const DRY_SHARE: f64 = 0.1;
/// Feeding for more bins than this, and than half again the usual batch, is no batch.
const RUN_MIN: f64 = 3.0;
/// Batches that the usual one rests on.
const BATCHES: f64 = 20.0;

/// One quarter hour of the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quarter {
    pub(crate) bin: i64,
    /// Water fed; `None` while a counter is silent: its next value covers this one.
    pub(crate) water: Option<f64>,
    /// Mass that contraction takes up, kg/s.
    pub(crate) contraction: Option<f64>,
    /// Source supply less return, kg/s.
    pub(crate) imbalance: Option<f64>,
    /// Supply flow, kg/s, where it moves the account.
    pub(crate) load: Option<f64>,
    pub(crate) judges: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Batches {
    held: VecDeque<Quarter>,
    /// Feeding bins at the end of what is held.
    run: u32,
    /// Feeding went on for longer than a batch does.
    runs_on: bool,
    seen: u32,
    mean: f64,
    dry: f64,
    batchy: bool,
    batches: f64,
    /// Usual batch: water times bins, and bins.
    usual: f64,
    usual_run: f64,
}

impl Batches {
    /// Forgets what is held; what is usual stays.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.run = 0;
        self.runs_on = false;
    }

    /// All that is held, as it was fed.
    pub(crate) fn flush(&mut self) -> Vec<Quarter> {
        self.runs_on = self.batchy;
        self.run = 0;
        self.held.drain(..).collect()
    }

    /// Takes a quarter hour and gives those that can be judged, oldest first.
    pub(crate) fn take(&mut self, quarter: Quarter) -> Vec<Quarter> {
        let is_dry = self.learn(quarter.water);
        if !self.batchy && quarter.water.is_some() && self.held.is_empty() {
            return vec![quarter];
        }
        let mut released = Vec::new();
        if is_dry && self.run > 0 {
            self.note_batch();
            released = self.spread();
        }
        self.held.push_back(quarter);
        if is_dry {
            self.runs_on = false;
            if self.held.len() > HELD_MAX {
                released.extend(self.held.pop_front());
            }
            return released;
        }
        self.run += 1;
        let long = RUN_MIN.max(1.5 * self.usual_run);
        if self.runs_on || !self.batchy || f64::from(self.run) >= long {
            self.runs_on |= self.batchy;
            released.extend(self.spread());
        }
        released
    }

    /// Learns what is usual; whether the quarter hour is dry.
    fn learn(&mut self, water: Option<f64>) -> bool {
        let Some(water) = water else { return true };
        let is_dry = water < DRY_SHARE * self.mean;
        self.seen = self.seen.saturating_add(1);
        let weight = 1.0 / f64::from(self.seen).min(MEMORY_BINS);
        self.mean += weight * (water.max(0.0) - self.mean);
        self.dry += weight * (f64::from(u8::from(is_dry)) - self.dry);
        if self.seen >= SEEN_MIN {
            self.batchy = self.dry > if self.batchy { STEADY } else { BATCHY };
        }
        is_dry
    }

    fn run_water(&self) -> f64 {
        let run = self.held.iter().rev().take(self.run as usize);
        run.filter_map(|quarter| quarter.water).sum()
    }

    fn note_batch(&mut self) {
        self.batches = (self.batches + 1.0).min(BATCHES);
        let water = self.run_water();
        let water = if self.batches > 5.0 { water.min(3.0 * self.usual) } else { water };
        self.usual += (water - self.usual) / self.batches;
        self.usual_run += (f64::from(self.run) - self.usual_run) / self.batches;
    }

    /// All that is held, with the run at its end spread over it.
    fn spread(&mut self) -> Vec<Quarter> {
        let water = self.run_water();
        let shared = if self.batches > 5.0 { water.min(2.0 * self.usual) } else { water };
        let each = shared / self.held.len().max(1) as f64;
        let rush = (water - shared) / f64::from(self.run.max(1));
        let dry = self.held.len() - self.run as usize;
        self.run = 0;
        let mut all: Vec<Quarter> = self.held.drain(..).collect();
        for (index, quarter) in all.iter_mut().enumerate() {
            quarter.water = Some(if index < dry { each } else { each + rush });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(batches: &mut Batches, from: i64, water: &[Option<f64>]) -> Vec<f64> {
        (from..)
            .zip(water)
            .flat_map(|(bin, &water)| {
                batches.take(Quarter { bin, water, judges: true, ..Quarter::default() })
            })
            .map(|quarter| quarter.water.unwrap_or(0.0))
            .collect()
    }

    fn pattern(bins: usize, every: usize, water: f64) -> Vec<Option<f64>> {
        (0..bins).map(|bin| Some(if bin % every == every - 1 { water } else { 0.0 })).collect()
    }

    #[test]
    fn a_batch_is_shared_by_the_dry_time_before_it_and_no_water_is_lost() {
        let mut batches = Batches::default();
        feed(&mut batches, 0, &pattern(400, 8, 0.8));
        let out = feed(&mut batches, 400, &pattern(400, 8, 0.8));
        assert!(out.iter().all(|water| (water - 0.1).abs() < 1e-9), "{out:?}");
        assert!(out.len() > 380);
    }

    #[test]
    fn a_silent_counter_catches_up() {
        let mut batches = Batches::default();
        let out = feed(&mut batches, 0, &[Some(0.1), None, None, Some(0.3), Some(0.1)]);
        assert_eq!(out.iter().map(|w| (w * 1e6).round()).collect::<Vec<_>>(), [1e5, 1e5, 1e5, 1e5, 1e5]);
    }

    #[test]
    fn make_up_that_never_stops_is_passed_on_at_once() {
        let mut batches = Batches::default();
        let water: Vec<Option<f64>> = (0..200).map(|bin| Some(0.1 + 0.01 * f64::from(bin % 7))).collect();
        let out = feed(&mut batches, 0, &water);
        assert_eq!(out, water.into_iter().flatten().collect::<Vec<f64>>());
    }

    #[test]
    fn a_leak_that_feeds_on_and_on_is_not_held() {
        let mut batches = Batches::default();
        feed(&mut batches, 0, &pattern(400, 8, 0.8));
        let out = feed(&mut batches, 400, &[Some(1.0); 12]);
        assert!(out.len() >= 12, "{out:?}");
        assert!(out.last().is_some_and(|water| (water - 1.0).abs() < 1e-9), "{out:?}");
    }
}
