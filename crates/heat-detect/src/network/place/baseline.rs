//! What one gauge shows on quiet days: an offset and a part that grows with the square of the load, and how far
//! it strays from them from one quarter hour to the next and over hours.

use serde::{Deserialize, Serialize};

use crate::regression::Regression;

/// Memory, bins: four days, against the drift of gauges.
const MEMORY_BINS: f64 = 384.0;
/// Memory of the variances, bins: two days.
const NOISE_BINS: f64 = 192.0;
/// Bins before anything can be expected.
const KNOWN_BINS: u32 = 48;
/// Bins in a block for the slow part of the noise: four hours.
const BLOCK_BINS: u32 = 16;
/// Weight with which the load's part is held near nothing, in bins of a variance of one.
const RIDGE: f64 = 0.5;
/// A value further off than this many standard deviations teaches no more than this: a spike is not the gauge.
const CLIP: f64 = 5.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    line: Regression,
    /// Variance from bin to bin, and that of blocks beyond it.
    fast: f64,
    slow: f64,
    block_sum: f64,
    block_bins: u32,
    blocks: u32,
    bins: u32,
}

impl Baseline {
    /// What is expected at this load; `None` until enough was learned.
    pub(crate) fn expected(&self, load: f64) -> Option<f64> {
        (self.bins >= KNOWN_BINS).then(|| {
            let slope = self.line.covariance() / (self.line.spread() + RIDGE);
            self.line.mean_value() + slope * (load - self.line.mean_load())
        })
    }

    /// Learns a quiet value; `shared` is the part of its deviation that all gauges of its side have.
    pub(crate) fn learn(&mut self, value: f64, load: f64, shared: f64) {
        let mut learned = value - shared;
        if let Some(expected) = self.expected(load) {
            let limit = if self.fast > 0.0 { CLIP * self.fast.sqrt() } else { f64::INFINITY };
            let off = (learned - expected).clamp(-limit, limit);
            learned = expected + off;
            let known = f64::from(self.bins - KNOWN_BINS + 1);
            self.fast += (off * off - self.fast) / known.min(NOISE_BINS);
            self.block_sum += off;
            self.block_bins += 1;
            if self.block_bins == BLOCK_BINS {
                let mean = self.block_sum / f64::from(BLOCK_BINS);
                let beyond = (mean * mean - self.fast / f64::from(BLOCK_BINS)).max(0.0);
                self.blocks += 1;
                let memory = f64::from(self.blocks).min(NOISE_BINS / f64::from(BLOCK_BINS));
                self.slow += (beyond - self.slow) / memory;
                (self.block_sum, self.block_bins) = (0.0, 0);
            }
        }
        self.bins = self.bins.saturating_add(1);
        self.line.learn(MEMORY_BINS, load, learned);
    }

    /// Standard deviation of a mean over so many bins from what is expected.
    pub(crate) fn sigma(&self, bins: f64) -> f64 {
        (self.slow + self.fast / bins.max(1.0) + self.fast / self.line.weight().max(1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small and different every time.
    fn wobble(bin: u32) -> f64 {
        f64::from(bin.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5
    }

    #[test]
    fn an_offset_and_a_part_of_the_load_are_told_apart_and_the_noise_of_means_shrinks() {
        let mut baseline = Baseline::default();
        for bin in 0..600 {
            let load = 1.0 + 0.3 * (f64::from(bin) / 96.0 * std::f64::consts::TAU).sin();
            baseline.learn(2_000.0 + 900.0 * load + 400.0 * wobble(bin), load, 0.0);
        }
        for load in [0.7, 1.0, 1.3] {
            let expected = baseline.expected(load).unwrap();
            assert!((expected - 2_000.0 - 900.0 * load).abs() < 60.0, "{load}: {expected}");
        }
        assert!(baseline.sigma(1.0) > 80.0 && baseline.sigma(100.0) < 0.5 * baseline.sigma(1.0));
    }

    #[test]
    fn a_spike_moves_what_is_expected_no_more_than_the_noise_allows_and_nothing_is_expected_early() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.expected(1.0), None);
        for bin in 0..200 {
            baseline.learn(1_000.0 + 100.0 * wobble(bin), 1.0, 0.0);
        }
        let before = baseline.expected(1.0).unwrap();
        baseline.learn(200_000.0, 1.0, 0.0);
        assert!((baseline.expected(1.0).unwrap() - before).abs() < 5.0);
    }
}
