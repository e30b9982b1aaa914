//! The part of a difference of big meters that grows with the load.
//!
//! Where no make-up is metered, the account is supply less return, or less what the stations take. Two meters of class 2
//! differ by up to 3 % of what flows: `y = level + gain (load - pivot) + profile(hour)`. The gain comes before the
//! profile, for weather moves the load as much as the hour does and tells the two apart only in time. It is the ridge
//! regression of the clean account on the load, with the meters' error limit as prior; the profile takes what is left.
//!
//! Meters wander by tenths of a percent within days. What a mean of the account is good for is told by six-hour means of
//! what the fit leaves, which start from what such meters do; and, beyond the load that was seen, by how well the gain is
//! known: until then a load swing may be what looks like a leak. Within that doubt the account goes on learning, or its
//! spread would know only the calm days.

use serde::{Deserialize, Serialize};

use crate::regression::Regression;

/// Standard deviation of the gain before anything is known: two meters of class 2.
const PRIOR_GAIN: f64 = 0.03;
/// No gain is better known than this: meters' curves are no straight lines.
const GAIN_FLOOR: f64 = 0.003;
/// Bins of a day.
const DAY_BINS: f64 = 96.0;
/// Memory of the fit, bins: 14 days.
const MEMORY_BINS: f64 = 14.0 * DAY_BINS;
/// Bins of a block: 6 h; and blocks that the spread of their means rests on: a week.
const BLOCK_BINS: u32 = 24;
const BLOCKS: f64 = 28.0;
/// Spread of a block before it is learned, share of the load, and blocks that this counts for.
const BLOCK_SHARE: f64 = 0.0025;
const BLOCKS_ASSUMED: f64 = 28.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    line: Regression,
    /// Mean load that the gain turns about.
    pivot: f64,
    gain: f64,
    block_sum: f64,
    block_bins: u32,
    blocks: u32,
    /// Variance of the means of blocks.
    slow: f64,
    /// Load of the newest quarter hour.
    newest: f64,
}

/// Standard deviations of a mean of the account, kg/s.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Doubt {
    /// By what meters wander.
    pub(crate) wander: f64,
    /// By what the load, as it is now, may make of an unsure gain.
    pub(crate) load: f64,
}

impl Doubt {
    pub(crate) fn total(self) -> f64 {
        self.wander.hypot(self.load)
    }
}

impl Load {
    /// What the gain makes of a load, against the pivot.
    pub(crate) fn part(&mut self, load: f64) -> f64 {
        self.newest = load;
        if self.line.weight() <= 0.0 {
            self.pivot = load;
        }
        self.gain * (load - self.pivot)
    }

    /// Learns from a clean value, its part included. Gives what the account's level must move by to stay on the same line.
    pub(crate) fn learn(&mut self, load: f64, value: f64) -> f64 {
        self.line.learn(MEMORY_BINS, load, value);
        let pivot = self.line.mean_load();
        let moved = self.gain * (pivot - self.pivot);
        self.pivot = pivot;
        self.gain = self.line.covariance() / self.noise() / self.information();
        moved
    }

    /// Notes what the account left of a value.
    pub(crate) fn note(&mut self, residual: f64) {
        self.block_sum += residual;
        self.block_bins += 1;
        if self.block_bins == BLOCK_BINS {
            let mean = self.block_sum / f64::from(BLOCK_BINS);
            self.blocks = self.blocks.saturating_add(1);
            self.slow += (mean * mean - self.slow) / f64::from(self.blocks).min(BLOCKS);
            (self.block_sum, self.block_bins) = (0.0, 0);
        }
    }

    /// Variance of a block's mean: as assumed at first, as seen after some days.
    fn block_variance(&self) -> f64 {
        let assumed = (BLOCK_SHARE * self.pivot).powi(2);
        let known = f64::from(self.blocks).min(2.0 * BLOCKS);
        (BLOCKS_ASSUMED * assumed + known * self.slow) / (BLOCKS_ASSUMED + known)
    }

    /// Variance of one quarter hour in the fit, as if only whole days were independent: one cold morning proves little.
    fn noise(&self) -> f64 {
        (self.block_variance() * DAY_BINS).max(1e-12)
    }

    fn information(&self) -> f64 {
        let spread = if self.line.weight() > 0.0 { self.line.spread() } else { 0.0 };
        spread / self.noise() + PRIOR_GAIN.powi(-2)
    }

    /// What a mean over so many bins, at the load as it is now, is good for.
    pub(crate) fn doubt(&self, bins: u32) -> Doubt {
        let bins = f64::from(bins.max(1));
        // Half of a block's variance is slow and stays, as for the witnesses.
        let longer = 0.5 + 0.5 * f64::from(BLOCK_BINS) / bins.max(f64::from(BLOCK_BINS));
        let wander = (longer * self.block_variance()).sqrt();
        let gain = self.information().powf(-0.5).max(GAIN_FLOOR);
        Doubt { wander, load: gain * (self.newest - self.pivot).abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small and different every time.
    fn wobble(bin: u32) -> f64 {
        f64::from(bin.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5
    }

    fn learned(days: u32, swing: f64) -> Load {
        let mut load = Load::default();
        let mut level = 0.0;
        for bin in 0..days * 96 {
            let flow = 20.0 * (1.0 + swing * (f64::from(bin) / 480.0 * std::f64::consts::TAU).sin());
            let value = 0.1 + 0.02 * flow + 0.02 * wobble(bin);
            let part = load.part(flow);
            if bin == 0 {
                level = value;
            }
            let residual = value - part - level;
            level += residual / f64::from(bin + 1).min(288.0);
            load.note(residual);
            level += load.learn(flow, value);
        }
        load
    }

    #[test]
    fn the_gain_between_two_meters_is_learned_from_the_load_s_own_swings() {
        let load = learned(14, 0.3);
        assert!((load.gain - 0.02).abs() < 0.002, "{load:?}");
    }

    #[test]
    fn a_load_never_seen_before_leaves_a_doubt_as_large_as_the_meters_error_makes_it() {
        let mut calm = learned(14, 0.005);
        let mut swung = learned(14, 0.3);
        for load in [&mut calm, &mut swung] {
            load.part(28.0);
        }
        assert!(calm.doubt(24).load > 0.1, "{:?}", calm.doubt(24));
        assert!(swung.doubt(24).load < 0.04, "{:?}", swung.doubt(24));
    }
}
