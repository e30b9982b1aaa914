//! A difference of steam meters as a line over the load, and the tests on what is off it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{balance::sequential::Bank, bins::BINS_PER_DAY};

/// Quarter hours of a block.
pub(super) const BLOCK_BINS: i64 = 4;
const BLOCKS_PER_DAY: usize = 24;
/// Memory of what is usual, quarter hours: a week.
pub(super) const MEMORY_BINS: f64 = 7.0 * BINS_PER_DAY as f64;
/// Blocks that thresholds rest on at most: 30 days.
const CLEAN_MAX: usize = 30 * BLOCKS_PER_DAY;
/// Blocks that tell what has changed since an onset: a week.
const RECENT_MAX: usize = 7 * BLOCKS_PER_DAY;
/// Blocks that tell whether something is off at present: 6 h.
const PRESENT_BLOCKS: i64 = 6;
/// Reference shifts of the CUSUMs, standard deviations.
const REFERENCES: [f64; 2] = [0.25, 0.75];
/// A day settles the line; before, its residuals test nothing.
const LINE_BINS: u32 = BINS_PER_DAY as u32;
/// Residuals beyond so many standard deviations teach no more than that.
const CLIP_SIGMA: f64 = 4.0;
/// A load that has varied by less than this share tells no slope.
const VARIES_SHARE: f64 = 0.05;

/// An excess of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excess {
    /// Block in which it began.
    pub(super) since: i64,
    pub(super) kg_s: f64,
    pub(super) strength: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    bins: u32,
    load: f64,
    mean: f64,
    load_square: f64,
    product: f64,
    /// Mean absolute residual of quarter hours.
    deviation: f64,
    /// The open block: its number, sum and quarter hours.
    block: (i64, f64, u32),
    bank: Bank,
    /// Residuals of blocks that nothing was suspicious in.
    clean: VecDeque<f64>,
    recent: VecDeque<(i64, f64)>,
    since_calibration: u32,
    /// Quarter hours in a row that are off by a sudden loss, and what they are off by on average.
    sudden: (u32, f64),
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            bins: 0,
            load: 0.0,
            mean: 0.0,
            load_square: 0.0,
            product: 0.0,
            deviation: 0.0,
            block: (0, 0.0, 0),
            bank: Bank::new(&REFERENCES),
            clean: VecDeque::new(),
            recent: VecDeque::new(),
            since_calibration: 0,
            sudden: (0, 0.0),
        }
    }

    /// Quarter hours it rests on.
    pub(super) const fn bins(&self) -> u32 {
        self.bins
    }

    pub(super) fn is_settled(&self, learning_bins: u32) -> bool {
        self.bins >= learning_bins && self.bank.is_calibrated()
    }

    /// Standard deviation of a quarter hour, kg/s.
    pub(super) fn sigma(&self) -> f64 {
        1.25 * self.deviation
    }

    /// What is usual at a load, once that is known.
    pub(super) fn expected(&self, load: f64) -> Option<f64> {
        (self.bins > LINE_BINS).then(|| -self.residual(load, 0.0))
    }

    fn residual(&self, load: f64, value: f64) -> f64 {
        let room = (VARIES_SHARE * self.load).powi(2).max(1e-12);
        // Where nothing else is known all is in proportion to the load.
        let proportional = self.mean / self.load.max(1e-9);
        let gain = (self.product + room * proportional) / (self.load_square + room);
        value - self.mean - gain * (load - self.load)
    }

    /// Takes a quarter hour: tests it, and learns from it where it may. True where it closed a block.
    pub(super) fn take(
        &mut self,
        bin: i64,
        (load, value): (f64, f64),
        least_sudden: impl Fn(f64) -> f64,
        learns: bool,
    ) -> bool {
        let off = self.residual(load, value);
        let mut closed = false;
        if self.bins > LINE_BINS {
            closed = self.close_block(bin, learns);
            self.block.1 += off;
            self.block.2 += 1;
            let (count, mean) = self.sudden;
            self.sudden = if off > least_sudden(self.sigma()) {
                (count + 1, mean + (off - mean) / f64::from(count + 1))
            } else {
                (0, 0.0)
            };
        }
        if learns {
            self.learn(load, value, off);
        }
        closed
    }

    fn learn(&mut self, load: f64, value: f64, off: f64) {
        let limit = CLIP_SIGMA * self.sigma();
        let off = if self.bins > LINE_BINS { off.clamp(-limit, limit) } else { off };
        let value = if self.bins > LINE_BINS { value - self.residual(load, value) + off } else { value };
        self.bins = self.bins.saturating_add(1);
        let weight = 1.0 / f64::from(self.bins).min(MEMORY_BINS);
        let (from_load, from_mean) = (load - self.load, value - self.mean);
        self.load += weight * from_load;
        self.mean += weight * from_mean;
        self.load_square += weight * (from_load * (load - self.load) - self.load_square);
        self.product += weight * (from_load * (value - self.mean) - self.product);
        if self.bins > 2 {
            self.deviation += weight * (off.abs() - self.deviation);
        }
    }

    /// Ends the open block where another has begun.
    fn close_block(&mut self, bin: i64, learns: bool) -> bool {
        let block = bin.div_euclid(BLOCK_BINS);
        if self.block.0 == block {
            return false;
        }
        let (number, sum, count) = std::mem::replace(&mut self.block, (block, 0.0, 0));
        if count == 0 {
            return false;
        }
        let mean = sum / f64::from(count);
        self.bank.observe(number, mean);
        push(&mut self.recent, (number, mean), RECENT_MAX);
        if learns {
            push(&mut self.clean, mean, CLEAN_MAX);
            self.since_calibration += 1;
        }
        true
    }

    /// Whether something at least half as large as what is said is going on: it must not become usual.
    pub(super) fn is_suspicious(&self, least: f64) -> bool {
        let present = self.recent.back().and_then(|(newest, _)| self.mean_since(newest - PRESENT_BLOCKS));
        self.sudden.0 > 0 || (self.bank.suspicion() > 0.5 && present.is_some_and(|off| off > 0.5 * least))
    }

    pub(super) fn calibrate(&mut self, alarms_per_month: f64) {
        let due = self.since_calibration >= BLOCKS_PER_DAY as u32 || !self.bank.is_calibrated();
        if due && self.clean.len() >= 2 * BLOCKS_PER_DAY {
            self.since_calibration = 0;
            self.bank.calibrate(self.clean.make_contiguous(), BLOCKS_PER_DAY, alarms_per_month);
        }
    }

    /// An excess that two quarter hours in a row show.
    pub(super) fn sudden(&self) -> Option<Excess> {
        let (count, kg_s) = self.sudden;
        (count >= 2).then(|| Excess {
            since: self.block.0 - i64::from(count - 1).div_euclid(BLOCK_BINS),
            kg_s,
            strength: kg_s / self.sigma().max(1e-9),
        })
    }

    /// An excess that the blocks show.
    pub(super) fn slow(&self, least: f64) -> Option<Excess> {
        let cusum = self.bank.alarm()?;
        let kg_s = self.mean_since(cusum.since).filter(|kg_s| *kg_s > least)?;
        Some(Excess { since: cusum.since, kg_s, strength: self.bank.suspicion() })
    }

    /// Mean residual of the blocks since one, the open one included.
    pub(super) fn mean_since(&self, block: i64) -> Option<f64> {
        let closed = self.recent.iter().filter(|(at, _)| *at >= block).map(|(_, off)| *off);
        let open = (self.block.2 > 0).then(|| self.block.1 / f64::from(self.block.2));
        let (sum, count) = closed.chain(open).fold((0.0, 0_u32), |(sum, count), off| (sum + off, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Mean residual of the last two closed blocks.
    pub(super) fn lately(&self) -> Option<f64> {
        let (sum, count) = self
            .recent
            .iter()
            .rev()
            .take(2)
            .fold((0.0, 0_u32), |(sum, count), (_, off)| (sum + off, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// What is tested begins anew; `by` of what is off is usual from here on.
    pub(super) fn begin_anew(&mut self, by: f64) {
        self.mean += by;
        self.bank.reset();
        self.recent.clear();
        self.block = (self.block.0, 0.0, 0);
        self.sudden = (0, 0.0);
    }
}

fn push<T>(list: &mut VecDeque<T>, value: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(value);
}
