//! The other meters, as witnesses of an excess of make-up.
//!
//! Source supply less the stations (supply side) and the stations less source return (return side), each corrected for
//! its side's contraction and against its own baseline, are independent of the make-up meter. An excess q of make-up
//! moves them by (q, 0) if water is lost on the supply side, by (0, q) on the return side, and not at all if the
//! make-up meter is at fault. Where no station sum is known their sum, source supply less return, is one witness.
//!
//! Meters wander together with load and weather. So the spread of a shift is taken from the witnesses' own past: the
//! covariance of their six-hour means over quiet weeks, with a floor.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::series::Series;
use crate::bins::BINS_PER_DAY;

/// Bins of a block: 6 h.
const BLOCK_BINS: u32 = 24;
/// Blocks kept: 28 days.
const BLOCKS_MAX: usize = 112;
/// Blocks before they are believed.
const BLOCKS_MIN: usize = 8;
/// Meters wander together with load by about this share of circulation within days.
const WANDER_SHARE: f64 = 0.001;
/// Noise of one quarter hour's sum, share of circulation, until it is learned: two class 2 meters.
const WHITE_SHARE: f64 = 0.004;
/// Share of the excess that a witness must have heard, to be asked.
const HEARD_MIN: f64 = 0.5;

/// What the witnesses say of an excess.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Testimony {
    /// Log likelihood of a leak less that of a faulty make-up meter.
    pub(crate) log_odds: f64,
    /// Share of the loss on the supply side, and its standard deviation; without station sums it is unknown.
    pub(crate) supply_side: Option<(f64, f64)>,
    /// Mean shift of supply less return since the onset, share of circulation, and its standard deviation.
    pub(crate) imbalance: (f64, f64),
}

/// A symmetric 2x2 matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Covariance {
    ss: f64,
    sr: f64,
    rr: f64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Witness {
    /// Source supply less stations, and stations less source return, share of circulation.
    sides: [Series; 2],
    /// Source supply less return, share of circulation.
    imbalance: Series,
    blocks: VecDeque<[f32; 2]>,
    block: [f64; 2],
    block_bins: u32,
    imbalance_blocks: VecDeque<f32>,
    imbalance_block: f64,
    imbalance_bins: u32,
    /// Mean square of the change between neighbouring bins, halved: what averages gain upon.
    white: Covariance,
    imbalance_white: f64,
    last: Option<(i64, [f64; 2])>,
    last_imbalance: Option<(i64, f64)>,
}

/// A quarter hour's sums, shares of circulation, corrected for contraction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) sides: Option<[f64; 2]>,
    pub(crate) imbalance: Option<f64>,
}

fn weight(bins: u32) -> f64 {
    1.0 / f64::from(bins).clamp(1.0, 7.0 * BINS_PER_DAY as f64)
}

impl Witness {
    /// Takes a quarter hour; `learns` while nothing is suspected.
    pub(crate) fn observe(&mut self, bin: i64, sums: Sums, settled: bool, learns: bool) {
        let cap = WANDER_SHARE / BINS_PER_DAY as f64;
        if let Some(values) = sums.sides {
            let residuals = [0, 1].map(|side| self.sides[side].residual(bin, values[side]));
            for (series, residual) in self.sides.iter_mut().zip(residuals) {
                series.note(bin, residual);
            }
            if learns {
                for (series, value) in self.sides.iter_mut().zip(values) {
                    series.learn(bin, value, None, settled, cap);
                }
                self.learn_sides(bin, residuals);
            }
        }
        if let Some(value) = sums.imbalance {
            let residual = self.imbalance.residual(bin, value);
            self.imbalance.note(bin, residual);
            if learns {
                self.imbalance.learn(bin, value, None, settled, cap);
                self.learn_imbalance(bin, residual);
            }
        }
    }

    /// What the sums have shown since a bin is usual from here on.
    pub(crate) fn accept(&mut self, from: i64) {
        for series in self.sides.iter_mut().chain([&mut self.imbalance]) {
            series.accept(from);
        }
        (self.last, self.last_imbalance) = (None, None);
        (self.block, self.block_bins) = ([0.0; 2], 0);
        (self.imbalance_block, self.imbalance_bins) = (0.0, 0);
    }

    fn learn_sides(&mut self, bin: i64, residuals: [f64; 2]) {
        if let Some((_, before)) = self.last.replace((bin, residuals)).filter(|(last, _)| last + 1 == bin) {
            let change = [residuals[0] - before[0], residuals[1] - before[1]];
            let weight = weight(self.sides[0].learned);
            self.white.ss += weight * (change[0] * change[0] / 2.0 - self.white.ss);
            self.white.sr += weight * (change[0] * change[1] / 2.0 - self.white.sr);
            self.white.rr += weight * (change[1] * change[1] / 2.0 - self.white.rr);
        }
        self.block[0] += residuals[0];
        self.block[1] += residuals[1];
        self.block_bins += 1;
        if self.block_bins == BLOCK_BINS {
            if self.blocks.len() == BLOCKS_MAX {
                self.blocks.pop_front();
            }
            self.blocks.push_back(self.block.map(|sum| (sum / f64::from(BLOCK_BINS)) as f32));
            (self.block, self.block_bins) = ([0.0; 2], 0);
        }
    }

    fn learn_imbalance(&mut self, bin: i64, residual: f64) {
        let last = self.last_imbalance.replace((bin, residual)).filter(|(last, _)| last + 1 == bin);
        if let Some((_, before)) = last {
            let square = (residual - before).powi(2) / 2.0;
            self.imbalance_white += weight(self.imbalance.learned) * (square - self.imbalance_white);
        }
        self.imbalance_block += residual;
        self.imbalance_bins += 1;
        if self.imbalance_bins == BLOCK_BINS {
            if self.imbalance_blocks.len() == BLOCKS_MAX {
                self.imbalance_blocks.pop_front();
            }
            self.imbalance_blocks.push_back((self.imbalance_block / f64::from(BLOCK_BINS)) as f32);
            (self.imbalance_block, self.imbalance_bins) = (0.0, 0);
        }
    }

    /// Heard about an excess of make-up of `share` of circulation, over `bins` quarter hours since `onset`; `None` where
    /// no witness heard most of it.
    pub(crate) fn ask(&self, onset: i64, share: f64, bins: u32) -> Option<Testimony> {
        let heard = |series: &Series| {
            let (shift, count) = series.mean_since(onset)?;
            let enough = f64::from(count) >= HEARD_MIN * f64::from(bins)
                && series.learned >= u32::try_from(BINS_PER_DAY).unwrap_or(u32::MAX);
            enough.then_some((shift, count))
        };
        let total = heard(&self.imbalance).map(|(shift, count)| {
            let variance = self.imbalance_variance(count);
            (shift, variance)
        });
        let both = heard(&self.sides[0]).zip(heard(&self.sides[1]));
        let imbalance = total.map_or((0.0, f64::INFINITY), |(shift, variance)| (shift, variance.sqrt()));
        if let Some(((supply, count), (back, _))) = both {
            return Some(self.weigh_sides([supply, back], self.covariance(count), share, imbalance));
        }
        let (shift, variance) = total?;
        let log_odds = log_likelihood((shift - share).powi(2) / variance, 1.0)
            - log_likelihood(shift * shift / variance, 1.0);
        Some(Testimony { log_odds, supply_side: None, imbalance })
    }

    fn weigh_sides(
        &self,
        shift: [f64; 2],
        spread: Covariance,
        share: f64,
        imbalance: (f64, f64),
    ) -> Testimony {
        let distance = |expected: [f64; 2]| spread.distance([shift[0] - expected[0], shift[1] - expected[1]]);
        let none = distance([0.0, 0.0]);
        // A leak lies on one side; which one is not known.
        let log = |expected: [f64; 2]| log_likelihood(distance(expected), 2.0) - log_likelihood(none, 2.0);
        let (supply, back) = (log([share, 0.0]), log([0.0, share]));
        let most = supply.max(back);
        let log_odds = most + (0.5 * ((supply - most).exp() + (back - most).exp())).ln();
        // Generalised least squares of (s q, (1 - s) q).
        let direction = spread.solve([share, -share]);
        let information = direction[0] * share - direction[1] * share;
        let supply_side = (information > 0.0).then(|| {
            let estimate = (direction[0] * shift[0] + direction[1] * (shift[1] - share)) / information;
            (estimate, information.sqrt().recip())
        });
        Testimony { log_odds, supply_side, imbalance }
    }

    fn covariance(&self, bins: u32) -> Covariance {
        let count = self.blocks.len();
        let bins = f64::from(bins.max(1));
        let mut six_hours = Covariance {
            ss: WHITE_SHARE * WHITE_SHARE / f64::from(BLOCK_BINS),
            sr: 0.0,
            rr: WHITE_SHARE * WHITE_SHARE / f64::from(BLOCK_BINS),
        };
        let mut white = Covariance { ss: WHITE_SHARE.powi(2), sr: 0.0, rr: WHITE_SHARE.powi(2) };
        if count >= BLOCKS_MIN {
            six_hours = Covariance::default();
            for [supply, back] in self.blocks.iter().map(|block| block.map(f64::from)) {
                six_hours.ss += supply * supply / count as f64;
                six_hours.sr += supply * back / count as f64;
                six_hours.rr += back * back / count as f64;
            }
            white = self.white;
        }
        let extra = (1.0 / bins - 1.0 / f64::from(BLOCK_BINS)).max(0.0);
        let gain = longer(bins);
        let floor = WANDER_SHARE * WANDER_SHARE / 2.0;
        Covariance {
            ss: gain * six_hours.ss + extra * white.ss + floor,
            // One station's meter moves water from one side's sum to the other's.
            sr: gain * six_hours.sr + extra * white.sr - floor / 2.0,
            rr: gain * six_hours.rr + extra * white.rr + floor,
        }
    }

    fn imbalance_variance(&self, bins: u32) -> f64 {
        let count = self.imbalance_blocks.len();
        let bins = f64::from(bins.max(1));
        let (mut six_hours, mut white) =
            (WHITE_SHARE * WHITE_SHARE / f64::from(BLOCK_BINS), WHITE_SHARE * WHITE_SHARE);
        if count >= BLOCKS_MIN {
            six_hours = self.imbalance_blocks.iter().map(|block| f64::from(*block).powi(2)).sum::<f64>()
                / count as f64;
            white = self.imbalance_white;
        }
        let extra = (1.0 / bins - 1.0 / f64::from(BLOCK_BINS)).max(0.0);
        longer(bins) * six_hours + extra * white + WANDER_SHARE * WANDER_SHARE / 2.0
    }
}

/// Of a squared distance in standard deviations, by Student's distribution of 4 degrees of freedom: where meters have
/// moved by what neither hypothesis explains, they say little.
fn log_likelihood(distance: f64, dimensions: f64) -> f64 {
    const FREEDOM: f64 = 4.0;
    -0.5 * (FREEDOM + dimensions) * (distance / FREEDOM).ln_1p()
}

/// What a mean over more than one block still varies by: half of a block's variance is slow and stays.
fn longer(bins: f64) -> f64 {
    0.5 + 0.5 * (f64::from(BLOCK_BINS) / bins).min(1.0)
}

impl Covariance {
    fn solve(self, v: [f64; 2]) -> [f64; 2] {
        let determinant = (self.ss * self.rr - self.sr * self.sr).max(1e-24);
        [(self.rr * v[0] - self.sr * v[1]) / determinant, (self.ss * v[1] - self.sr * v[0]) / determinant]
    }

    fn distance(self, v: [f64; 2]) -> f64 {
        let solved = self.solve(v);
        v[0] * solved[0] + v[1] * solved[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::sequential::SplitMix;

    fn witness(on: [f64; 2]) -> Witness {
        let mut random = SplitMix::new(3);
        let mut witness = Witness::default();
        let mut noise = |size: f64| size * (random.unit() + random.unit() + random.unit() - 1.5);
        for bin in 0..10 * 96 + 24 {
            let is_on = bin >= 960;
            let shift = if is_on { on } else { [0.0; 2] };
            let sides = [0.002 + shift[0] + noise(0.004), -0.001 + shift[1] + noise(0.004)];
            let sums = Sums { sides: Some(sides), imbalance: Some(sides[0] + sides[1]) };
            witness.observe(bin, sums, bin > 288, !is_on);
        }
        witness
    }

    #[test]
    fn a_leak_is_confirmed_by_the_side_that_it_is_on() {
        let supply = witness([0.006, 0.0]).ask(960, 0.006, 24).unwrap();
        assert!(supply.log_odds > 3.0, "{supply:?}");
        let (share, sigma) = supply.supply_side.unwrap();
        assert!((share - 1.0).abs() < 3.0 * sigma && share > 0.6, "{supply:?}");

        let back = witness([0.0, 0.006]).ask(960, 0.006, 24).unwrap();
        assert!(back.log_odds > 3.0 && back.supply_side.unwrap().0 < 0.4, "{back:?}");
    }

    #[test]
    fn a_make_up_meter_alone_is_contradicted() {
        let alone = witness([0.0, 0.0]).ask(960, 0.006, 24).unwrap();
        assert!(alone.log_odds < -3.0, "{alone:?}");
    }

    #[test]
    fn a_station_s_meter_that_moves_both_sums_apart_neither_confirms_nor_hides_a_leak() {
        let station = witness([0.004, -0.004]).ask(960, 0.006, 24).unwrap();
        assert!(station.log_odds < 0.0, "{station:?}");
        let both = witness([0.006 + 0.003, -0.003]).ask(960, 0.006, 24).unwrap();
        assert!(both.log_odds > 0.0, "{both:?}");
    }
}
