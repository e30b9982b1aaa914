//! The mass that thermal contraction takes up, supply and return side.

use std::collections::VecDeque;

use heat_hydraulics::water::density_kg_m3;
use serde::{Deserialize, Serialize};

use super::features::Features;

/// Bins of source temperatures kept for networks whose stations report none.
const TRANSIT_MAX: usize = 48;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Contraction {
    last: Option<[f64; 2]>,
    transit: VecDeque<(f64, f64)>,
}

impl Contraction {
    /// By station temperatures, or else by the source's temperatures over the water's transit; kg/s.
    pub(crate) fn of(
        &mut self,
        features: &Features,
        volume_m3: Option<f64>,
        slow_scan: bool,
    ) -> Option<[f64; 2]> {
        let now = features.contraction.or_else(|| self.by_transit(features, volume_m3?));
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

    fn by_transit(&mut self, features: &Features, volume_m3: f64) -> Option<[f64; 2]> {
        let (hot, cold) = features.source_supply_celsius.zip(features.source_return_celsius)?;
        if self.transit.len() == TRANSIT_MAX {
            self.transit.pop_front();
        }
        self.transit.push_back((hot, cold));
        let supply = features.supply?;
        let volume_flow = supply / density_kg_m3(hot);
        // Half of the water is on each side.
        let bins = (volume_m3 / 2.0 / volume_flow.max(1e-6) / 900.0).clamp(1.0, TRANSIT_MAX as f64) as usize;
        let window = self.transit.iter().rev().take(bins);
        let count = window.len() as f64;
        let (hot_mean, cold_mean) =
            window.fold((0.0, 0.0), |(h, c), (hot, cold)| (h + hot / count, c + cold / count));
        // Each side's mass follows the mean over its transit; its change is what enters less what that mean was.
        Some([
            volume_flow * (density_kg_m3(hot) - density_kg_m3(hot_mean)),
            -volume_flow * (density_kg_m3(cold) - density_kg_m3(cold_mean)),
        ])
    }
}
