//! Secondaries by their own make-up: leaks, evenings of draining, and exchangers that leak into them.
//!
//! Physical model: a secondary loses a little all the time and is fed in small batches, so what counts is its make-up
//! over six hours. Statistic: a CUSUM of those, with Siegmund's threshold; a bootstrap like the primary's would cost a
//! city's worth of history for a leak that is listed, not paged. Households that drain radiators show as a rush in the
//! evening that ends by itself. Where an exchanger leaks, the primary's pressure feeds the secondary: its make-up falls
//! silent for longer than it ever did, its pressure stands higher than usual or its relief opens, while the primary's
//! make-up rises; nothing is to be dug up.
//!
//! Cold start: two days. It clears when six hours lie below 30 % of the leak again.

use serde::{Deserialize, Serialize};

use crate::{
    balance::{make_up, sequential::siegmund},
    bins::{BINS_PER_DAY, Bins},
    budget::{Budget, Test},
    layout::{Layout, Role, Site},
    settings::DetectSettings,
};
use heat_model::{SiteId, plant::SiteKind};

/// Bins of a block: 6 h.
const BLOCK_BINS: u32 = 24;
/// Blocks in 30 days.
const BLOCKS_PER_MONTH: f64 = 120.0;
/// Blocks before anything is judged: two days.
const BLOCKS_MIN: u32 = 8;
/// Memory of the mean, blocks: a week.
const MEMORY_BLOCKS: f64 = 28.0;
/// Reference shift of the CUSUM, standard deviations.
const REFERENCE: f64 = 0.5;
/// Upper clip of a block's deviation.
const CLIP: f64 = 4.0;
/// A quarter hour beyond so many times the usual make-up and spread is a rush.
const RUSH: f64 = 4.0;
/// Bins that an evening's rush lasts at least and at most.
const RUSH_BINS: std::ops::RangeInclusive<i64> = 2..=20;
/// Bins of silent make-up that say anything: 4 h; and how much longer than the longest seen.
const DRY_BINS: f64 = 16.0;
const DRY_LONGER: f64 = 2.0;
/// Rise of a secondary's pressure that is unusual: Pa, and standard deviations.
const HIGH_PA: f64 = 20_000.0;
const HIGH_SIGMA: f64 = 6.0;
/// Bins that it must last.
const HIGH_BINS: i64 = 4;
/// An exchanger's signs may come so many bins before the primary's, or after: 12 h.
const TOGETHER_BINS: i64 = 48;

/// What a station's secondary shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sign {
    /// It leaks, first said or still: since a bin, kg/s, strength.
    Leak { site: u32, since: i64, loss_kg_s: f64, strength: f64 },
    /// It leaks no longer.
    LeakOver { site: u32 },
    /// Radiators are drained: since a bin, kg/s.
    Draining { site: u32, since: i64, loss_kg_s: f64 },
    /// They are no longer.
    DrainingOver { site: u32 },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Secondary {
    blocks: u32,
    /// Mean make-up, kg/s, and mean absolute deviation of blocks.
    mean: f64,
    deviation: f64,
    sum: f64,
    count: u32,
    cusum: f64,
    since: i64,
    excess: f64,
    excess_blocks: u32,
    leak: Option<f64>,
    /// Run of a rush, if one is on, and whether it was said.
    rush: Option<(i64, f64)>,
    draining: bool,
    /// The last quarter hour was one of a rush: what goes on since the afternoon is no evening's draw.
    rushed: bool,
    /// First bin of the present silence; longest silence seen, bins, fading.
    dry_since: Option<i64>,
    longest_dry: f64,
    /// Usual pressure and its mean absolute deviation, Pa.
    pressure: f64,
    pressure_deviation: f64,
    pressures: u32,
    high_since: Option<i64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Secondaries {
    /// By site index.
    stations: Vec<Secondary>,
}

/// The quarter hour that a station is watched in.
#[derive(Debug, Clone, Copy)]
struct Quarter {
    site: u32,
    bin: i64,
    is_evening: bool,
}

impl Secondaries {
    /// Takes the lower open bin. `resting` are stations, in order, whose circuit is not judged now.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        is_evening: bool,
        resting: &[SiteId],
    ) -> Vec<Sign> {
        self.stations.resize(layout.sites.len(), Secondary::default());
        let share = Budget::of(settings).share(Test::Secondary).max(1e-4);
        let threshold = siegmund(REFERENCE, BLOCKS_PER_MONTH / share);
        let mut signs = Vec::new();
        for (site, station) in layout.of_kind(SiteKind::Station) {
            let secondary = &mut self.stations[site as usize];
            if resting.binary_search(&station.id).is_ok() {
                secondary.rest(site, &mut signs);
                continue;
            }
            if let Some(pressure) = pressure(bins, station) {
                secondary.press(bin, pressure);
            }
            if let Some(fed) = make_up::secondary(layout, bins, station) {
                let quarter = Quarter { site, bin, is_evening };
                secondary.feed(quarter, fed.max(0.0), threshold, &mut signs);
            }
        }
        signs
    }

    /// The station whose exchanger explains a loss of the primary since a bin.
    pub(crate) fn leaking_exchanger(&self, onset: i64, now: i64) -> Option<u32> {
        (0_u32..).zip(&self.stations).find_map(|(site, station)| {
            let near = |since: i64| (since - onset).abs() <= TOGETHER_BINS;
            let dry = station.dry_since.filter(|since| near(*since) && station.is_unusually_dry(now - since));
            let high = station.high_since.filter(|since| near(*since) && now - since >= HIGH_BINS);
            let fed = station.blocks >= BLOCKS_MIN && station.mean > 0.0;
            let pressed = station.pressures > BLOCKS_MIN * BLOCK_BINS;
            let shown = (!fed || dry.is_some()) && (!pressed || high.is_some());
            ((fed || pressed) && shown).then_some(site)
        })
    }
}

/// Pressure of the secondary at a site, Pa.
fn pressure(bins: &Bins, site: &Site) -> Option<f64> {
    site.signal(Role::SecondaryReturnPressure)
        .and_then(|signal| bins.mean(signal))
        .or_else(|| bins.mean(site.signal(Role::SecondarySupplyPressure)?))
}

impl Secondary {
    fn is_unusually_dry(&self, bins: i64) -> bool {
        bins as f64 > DRY_BINS.max(DRY_LONGER * self.longest_dry)
    }

    /// Its circuit is not judged: what was gathered of its make-up goes, what is usual stays. A leak that is open is judged again
    /// afterwards.
    fn rest(&mut self, site: u32, signs: &mut Vec<Sign>) {
        (self.sum, self.count, self.cusum) = (0.0, 0, 0.0);
        (self.rush, self.rushed) = (None, false);
        (self.dry_since, self.high_since) = (None, None);
        if std::mem::take(&mut self.draining) {
            signs.push(Sign::DrainingOver { site });
        }
    }

    fn press(&mut self, bin: i64, pressure: f64) {
        if self.pressures == 0 {
            self.pressure = pressure;
        }
        let above = pressure - self.pressure;
        let known = self.pressures >= BLOCKS_MIN * BLOCK_BINS;
        if known && above > HIGH_PA.max(HIGH_SIGMA * 1.25 * self.pressure_deviation) {
            self.high_since.get_or_insert(bin);
            return;
        }
        self.high_since = None;
        self.pressures = self.pressures.saturating_add(1);
        let weight = 1.0 / f64::from(self.pressures).min(7.0 * BINS_PER_DAY as f64);
        self.pressure += weight * above;
        self.pressure_deviation += weight * (above.abs() - self.pressure_deviation);
    }

    fn feed(&mut self, at: Quarter, fed: f64, threshold: f64, signs: &mut Vec<Sign>) {
        self.note_silence(at.bin, fed);
        let is_rush = self.blocks >= BLOCKS_MIN && fed > RUSH * (self.mean + self.deviation);
        if self.follow_rush(at, fed, is_rush, signs) {
            return;
        }
        self.sum += fed;
        self.count += 1;
        if self.count == BLOCK_BINS {
            let mean = self.sum / f64::from(self.count);
            (self.sum, self.count) = (0.0, 0);
            self.close_block(at, mean, threshold, signs);
        }
    }

    fn note_silence(&mut self, bin: i64, fed: f64) {
        if fed > 0.1 * self.mean {
            if let Some(since) = self.dry_since.take() {
                self.longest_dry = (0.999 * self.longest_dry).max((bin - since) as f64);
            }
        } else {
            self.dry_since.get_or_insert(bin);
        }
    }

    /// A rush in the evening; whether this quarter hour belongs to one and to no block.
    fn follow_rush(&mut self, at: Quarter, fed: f64, is_rush: bool, signs: &mut Vec<Sign>) -> bool {
        let rushed = std::mem::replace(&mut self.rushed, is_rush);
        let Some((since, sum)) = self.rush else {
            let begins = is_rush && !rushed && at.is_evening;
            if begins {
                self.rush = Some((at.bin, fed));
            }
            return begins;
        };
        let lasted = at.bin - since;
        if is_rush && RUSH_BINS.contains(&(lasted + 1)) {
            self.rush = Some((since, sum + fed));
            self.draining = true;
            let loss_kg_s = (sum + fed) / (lasted + 1) as f64 - self.mean;
            signs.push(Sign::Draining { site: at.site, since, loss_kg_s });
            return true;
        }
        self.rush = None;
        if std::mem::take(&mut self.draining) {
            signs.push(Sign::DrainingOver { site: at.site });
        }
        false
    }

    fn close_block(&mut self, at: Quarter, block: f64, threshold: f64, signs: &mut Vec<Sign>) {
        let above = block - self.mean;
        if self.blocks < BLOCKS_MIN {
            self.learn(above);
            return;
        }
        if let Some(loss) = self.leak {
            if above < 0.3 * loss {
                self.leak = None;
                self.cusum = 0.0;
                signs.push(Sign::LeakOver { site: at.site });
            } else {
                let loss_kg_s = loss + (above - loss) / 4.0;
                self.leak = Some(loss_kg_s);
                signs.push(Sign::Leak { site: at.site, since: self.since, loss_kg_s, strength: self.cusum });
            }
            return;
        }
        // Few blocks tell a spread only roughly: it is taken half as large again at first.
        let few = 1.0 + 4.0 / f64::from(self.blocks);
        let sigma = (1.25 * self.deviation * few).max(0.2 * self.mean).max(1e-9);
        if self.cusum <= 0.0 {
            self.since = at.bin - i64::from(BLOCK_BINS);
            (self.excess, self.excess_blocks) = (0.0, 0);
        }
        self.cusum = (self.cusum + (above / sigma).min(CLIP) - REFERENCE).max(0.0);
        self.excess += above;
        self.excess_blocks += 1;
        if self.cusum > threshold {
            let loss_kg_s = self.excess / f64::from(self.excess_blocks);
            self.leak = Some(loss_kg_s);
            signs.push(Sign::Leak { site: at.site, since: self.since, loss_kg_s, strength: self.cusum });
        } else if self.cusum < 0.5 * threshold {
            self.learn(above.min(CLIP * sigma));
        }
    }

    fn learn(&mut self, above: f64) {
        self.blocks = self.blocks.saturating_add(1);
        let weight = 1.0 / f64::from(self.blocks).min(MEMORY_BLOCKS);
        self.mean += weight * above;
        self.deviation += weight * (above.abs() - self.deviation);
    }
}
