//! The mass that thermal contraction takes up, supply and return side.
//!
//! Where the stations report no temperatures, water of the source's is on its way for as long as the network's volume lasts
//! at most, and leaves at every moment before that: what leaves has the mean density of what entered over that time. Of
//! recorded volumes tens of percent are wrong, so the account's own fronts say how much of it shows: a ridge regression
//! with the record as prior.

use std::collections::VecDeque;

use heat_hydraulics::water::density_kg_m3;
use serde::{Deserialize, Serialize};

use super::features::Features;
use crate::{bins::BIN_SECONDS, regression::Regression};

/// Bins of source temperatures kept for networks whose stations report none.
const TRANSIT_MAX: usize = 48;
/// Standard deviation of a recorded volume, share.
const PRIOR_SHARE: f64 = 0.3;
/// Bounds of what is learned of it.
const SCALE_MIN: f64 = 0.3;
const SCALE_MAX: f64 = 2.0;
/// Memory, bins: 14 days.
const MEMORY_BINS: f64 = 14.0 * 96.0;
/// Quarter hours that tell as much as one independent one.
const CORRELATED_BINS: f64 = 24.0;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Contraction {
    last: Option<[f64; 2]>,
    /// Supply and return of the source, oldest first.
    transit: VecDeque<(f64, f64)>,
    /// Whether the last one rests on a volume; what the account made of those, and its noise then, kg/s.
    by_volume: bool,
    line: Regression,
    noise: f64,
}

impl Contraction {
    /// By station temperatures, or else by the source's temperatures over the water's transit; kg/s.
    pub(crate) fn of(
        &mut self,
        features: &Features,
        volume_m3: Option<f64>,
        slow_scan: bool,
    ) -> Option<[f64; 2]> {
        self.by_volume = features.contraction.is_none();
        let scale = self.scale();
        let by_transit = |own: &mut Self| own.by_transit(features, volume_m3?);
        let now =
            features.contraction.or_else(|| by_transit(self).map(|sides| sides.map(|side| side * scale)));
        let before = std::mem::replace(&mut self.last, now);
        // A slow scan is one sample at the start of the bin, while its make-up is the mean over the bin before.
        if slow_scan {
            // Where one end of the bin is missing, the other stands for both.
            let (before, now) = (before.or(now)?, now.or(before)?);
            Some([f64::midpoint(before[0], now[0]), f64::midpoint(before[1], now[1])])
        } else {
            now
        }
    }

    /// Learns from a clean quarter hour: what it was corrected by, what was fed, and how far that is off by chance; kg/s.
    pub(crate) fn learn(&mut self, corrected: Option<f64>, fed: f64, noise: f64) {
        if let Some(corrected) = corrected.filter(|_| self.by_volume) {
            self.line.learn(MEMORY_BINS, corrected / self.scale(), fed);
            self.noise = noise;
        }
    }

    /// How much of the correction by the recorded volume shows.
    fn scale(&self) -> f64 {
        if self.line.weight() <= 0.0 || self.noise <= 0.0 {
            return 1.0;
        }
        let variance = self.noise.powi(2) * CORRELATED_BINS;
        let prior = PRIOR_SHARE.powi(-2);
        let told = self.line.covariance() / variance + prior;
        (told / (self.line.spread() / variance + prior)).clamp(SCALE_MIN, SCALE_MAX)
    }

    fn by_transit(&mut self, features: &Features, volume_m3: f64) -> Option<[f64; 2]> {
        let (hot, cold) = features.source_supply_celsius.zip(features.source_return_celsius)?;
        if self.transit.len() == TRANSIT_MAX {
            self.transit.pop_front();
        }
        self.transit.push_back((hot, cold));
        let volume_flow = features.supply? / density_kg_m3(hot);
        let bins = (volume_m3 / volume_flow.max(1e-6) / BIN_SECONDS as f64).min(TRANSIT_MAX as f64);
        let supplies = self.transit.iter().rev().map(|(hot, _)| density_kg_m3(*hot));
        let returns = self.transit.iter().rev().map(|(_, cold)| density_kg_m3(*cold));
        Some([
            volume_flow * (density_kg_m3(hot) - mean_over(supplies, bins)),
            -volume_flow * (density_kg_m3(cold) - mean_over(returns, bins)),
        ])
    }
}

/// Mean over the newest `bins` of values that are a bin apart, newest first, joined by straight lines; what is older than the
/// oldest is as it.
fn mean_over(values: impl Iterator<Item = f64>, bins: f64) -> f64 {
    let mut values = values.peekable();
    let newest = values.peek().copied().unwrap_or_default();
    let (mut area, mut left) = (0.0, bins);
    while let (Some(later), true) = (values.next(), left > 0.0) {
        let earlier = values.peek().copied();
        let part = if earlier.is_some() { left.min(1.0) } else { left };
        let end = later + part * (earlier.unwrap_or(later) - later);
        area += part * f64::midpoint(later, end);
        left -= part;
    }
    if bins > 0.0 { area / bins } else { newest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_runs_along_straight_lines_and_holds_the_oldest_value() {
        let mean = |bins: f64| mean_over([4.0, 2.0, 0.0].into_iter(), bins);
        for (bins, expected) in [(0.0, 4.0), (0.5, 3.5), (1.0, 3.0), (2.0, 2.0), (4.0, 1.0)] {
            assert!((mean(bins) - expected).abs() < 1e-12, "{bins}: {}", mean(bins));
        }
    }

    /// What is learned of a recorded volume in two weeks of fronts, in a network of 200 m3.
    fn learned(recorded_m3: f64) -> f64 {
        let (mut told, mut truth) = (Contraction::default(), Contraction::default());
        for bin in 0..14 * 96_i64 {
            let features = Features {
                supply: Some(20.0),
                source_supply_celsius: Some(85.0 + if bin % 96 < 30 { 8.0 } else { 0.0 }),
                source_return_celsius: Some(45.0),
                ..Features::default()
            };
            let sum = |sides: [f64; 2]| sides[0] + sides[1];
            let taken = sum(truth.of(&features, Some(200.0), false).unwrap());
            let by = sum(told.of(&features, Some(recorded_m3), false).unwrap());
            let noise = 0.002 * ((bin * 7_919 % 13) as f64 - 6.0) / 6.0;
            told.learn(Some(by), 0.05 + taken + noise, 0.002);
        }
        told.scale()
    }

    #[test]
    fn a_volume_that_is_recorded_wrong_is_found_out_by_the_fronts() {
        assert!((learned(200.0) - 1.0).abs() < 0.02, "{}", learned(200.0));
        assert!((0.5..0.9).contains(&learned(300.0)), "{}", learned(300.0));
        assert!((1.05..1.6).contains(&learned(140.0)), "{}", learned(140.0));
    }
}
