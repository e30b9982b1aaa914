//! Pressures that the pipe model does not explain, gathered for locating.
//!
//! For every site with a pressure, each quarter hour: pressure less its source's, with the head that the measured flows
//! lose on the way put back. What is left on quiet days is the gauge's offset and, growing with the square of the load, the
//! error of the pipe table's roughness: both are learned for every gauge ([`baseline`]). A leak shifts the rest by what it
//! adds on the common way. Averages over hours make up for what one reading cannot tell; of a growing leak the late hours
//! count most.
//!
//! Beside the pressures stands the side's witness: source supply less stations, and stations less source return.
//! A silent station counts with its usual share.
//!
//! The newest day stays apart, so that a leak that is found only after hours has not been learned before.

pub(crate) mod baseline;
pub(crate) mod takes;

use std::collections::VecDeque;

use heat_model::plant::{Side, SiteKind};
use serde::{Deserialize, Serialize};

use crate::{
    balance::{Leak, features::Features},
    bins::Bins,
    burst::locate::{Case, Residual},
    layout::{Layout, Role, Site},
};
use baseline::Baseline;
use takes::{Shares, Takes};

/// Bins that are not learned yet: a day.
const FINE_MAX: usize = 96;
/// Bins in one column of what is older, while a loss is suspected.
const COARSE_BINS: u16 = 16;
/// Columns of these: 14 days, the longest a leak may grow.
const COARSE_MAX: usize = 84;
/// Bins before a suspicion began in which a leak may already have been: half a day.
const MARGIN_BINS: i64 = 48;
/// Memory of the mean flows, bins: a day.
const FLOW_BINS: f64 = 96.0;
/// Noise floor of a mean pressure, Pa.
const FLOOR_PA: f64 = 150.0;
/// Error of the loss as the balance tells it.
const LOSS_ERROR: f64 = 0.2;
/// How far a source's flow meter strays from what it showed on quiet days, share of its flow: a quarter of the error that
/// class 2 allows it.
const METER_SHARE: f64 = 0.005;

pub(crate) const SIDES: [(Side, Role); 2] =
    [(Side::Supply, Role::SupplyPressure), (Side::Return, Role::ReturnPressure)];

/// One quarter hour, or the mean of some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Column {
    /// First bin.
    bin: i64,
    bins: u16,
    /// Square of the load, against its mean.
    load: f32,
    /// Circulation, kg/s.
    circulation: f32,
    /// In the order of [`Places::baselines`]; NaN where missing.
    values: Vec<f32>,
    /// A leak was on.
    spoiled: bool,
}

/// What the balance thinks of a bin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Suspicion<'a> {
    /// Bin from which on a loss is suspected.
    pub(crate) since: Option<i64>,
    /// The leak that is said.
    pub(crate) leak: Option<&'a Leak>,
}

/// What was gathered for locating.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    fine: VecDeque<Column>,
    coarse: VecDeque<Column>,
    /// The witness of the side first, then by site: supply, return.
    baselines: Vec<Baseline>,
    /// What the gauges of a side have in common.
    common: [Baseline; 2],
    shares: Shares,
    /// Mean flow of every trench, kg/s, and the mean circulation and load that go with it.
    flows: Vec<f64>,
    circulation: f64,
    load: f64,
    bins: u32,
    /// Onset of the leak that is on.
    leak_since: Option<i64>,
}

/// The source's pressures by side in a picture of the network: of the source that the node's heads are counted from.
pub(crate) fn source_pressure(
    layout: &Layout,
    role: Role,
    node: u32,
    value: &impl Fn(u32) -> Option<f64>,
) -> Option<f64> {
    let reference = layout.topology.reference(node)?;
    layout
        .of_kind(SiteKind::Source)
        .filter(|(_, source)| source.node == Some(reference))
        .find_map(|(_, source)| value(source.signal(role)?))
}

/// Whether the heads of other nodes are counted from this site, so that its own pressure says nothing beside them. A
/// further source gives what its meter shows, and its pressure follows from the network as a station's does.
pub(crate) fn is_reference(layout: &Layout, site: &Site) -> bool {
    site.kind == SiteKind::Source
        && site.node.is_some_and(|node| layout.topology.reference(node) == Some(node))
}

/// Node of every further source, and the standard deviation of what it gives where its meter strays by this share, kg/s.
pub(crate) fn given(layout: &Layout, flows: &[f64], meter_share: f64) -> Vec<(u32, f64)> {
    layout
        .of_kind(SiteKind::Source)
        .filter(|(_, source)| !is_reference(layout, source))
        .filter_map(|(_, source)| source.node)
        .map(|node| (node, meter_share * layout.topology.outflow(node, flows).abs()))
        .collect()
}

impl Places {
    /// Takes the lower open bin. Under suspicion nothing young is learned.
    pub(crate) fn learn(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        features: &Features,
        suspicion: Suspicion<'_>,
    ) {
        let Suspicion { since: suspect, leak } = suspicion;
        if !layout.topology.has_pipes() {
            return;
        }
        match (leak, suspect) {
            (Some(leak), _) => {
                let since = self.leak_since.map_or(leak.onset_bin, |since| since.min(leak.onset_bin));
                self.leak_since = Some(since);
            }
            (None, None) => self.end_suspicion(),
            (None, Some(_)) => {}
        }
        if let Some(column) = self.column(layout, bins, bin, features, suspect.is_none()) {
            self.fine.push_back(column);
        }
        while self.fine.len() > FINE_MAX {
            let Some(oldest) = self.fine.pop_front() else { break };
            let from = self.leak_since.or(suspect);
            if from.is_some_and(|from| oldest.bin >= from - MARGIN_BINS) {
                self.keep(oldest);
            } else if !oldest.spoiled {
                self.settle(layout, &oldest);
            }
        }
    }

    fn end_suspicion(&mut self) {
        self.coarse.clear();
        if let Some(since) = self.leak_since.take() {
            for column in self.fine.iter_mut().filter(|column| column.bin >= since - MARGIN_BINS) {
                column.spoiled = true;
            }
        }
    }

    fn column(
        &mut self,
        layout: &Layout,
        bins: &Bins,
        bin: i64,
        features: &Features,
        quiet: bool,
    ) -> Option<Column> {
        let value = |signal: u32| bins.mean(signal);
        let takes = self.shares.takes(layout, &value);
        let circulation = takes.total;
        if circulation <= 0.0 {
            return None;
        }
        if quiet {
            self.shares.learn(layout, &value, circulation);
        }
        let picture = layout.topology.picture(&takes.at, &self.shares.gives(layout, &value, takes.total))?;
        self.bins = self.bins.saturating_add(1);
        let weight = 1.0 / f64::from(self.bins).min(FLOW_BINS);
        self.flows.resize(layout.topology.trenches.len(), 0.0);
        for (mean, flow) in self.flows.iter_mut().zip(&picture.flows) {
            *mean += weight * (flow - *mean);
        }
        self.circulation += weight * (circulation - self.circulation);
        if self.bins <= FINE_MAX as u32 {
            // A scale only; it stays, so that what was learned against it holds.
            self.load += (circulation * circulation - self.load) / f64::from(self.bins);
        }
        let mut values = vec![f32::NAN; 1 + 2 * layout.sites.len()];
        values[0] = witness(features, &takes).map_or(f32::NAN, |share| share as f32);
        for (site, slots) in layout.sites.iter().zip(values[1..].chunks_exact_mut(2)) {
            if is_reference(layout, site) {
                continue;
            }
            for ((side, role), slot) in SIDES.into_iter().zip(slots) {
                let (Some(node), Some(pressure)) = (site.node, site.signal(role).and_then(value)) else {
                    continue;
                };
                let Some(source) = source_pressure(layout, role, node, &value) else { continue };
                let head = picture.heads[node as usize];
                let residual = match side {
                    Side::Supply => pressure - source + head,
                    Side::Return => pressure - source - head,
                };
                *slot = residual as f32;
            }
        }
        let load = (circulation * circulation / self.load) as f32;
        Some(Column { bin, bins: 1, load, circulation: circulation as f32, values, spoiled: false })
    }

    /// A column that is old and quiet: the baselines learn it.
    fn settle(&mut self, layout: &Layout, column: &Column) {
        self.baselines.resize(1 + 2 * layout.sites.len(), Baseline::default());
        let load = f64::from(column.load);
        let mut common = [None, None];
        for (side, common) in common.iter_mut().enumerate() {
            let gauges = self.baselines[1..].iter().zip(&column.values[1..]).skip(side).step_by(2);
            let (mut sum, mut count) = (0.0, 0_u32);
            for (baseline, value) in gauges.filter(|(_, value)| value.is_finite()) {
                if let Some(expected) = baseline.expected(load) {
                    sum += f64::from(*value) - expected;
                    count += 1;
                }
            }
            // Half of a lone gauge's change is taken for the source's.
            *common = (count > 0).then(|| sum / f64::from(count + 1));
        }
        for (side, value) in common.iter().enumerate() {
            if let Some(value) = value {
                self.common[side].learn(*value, 1.0, 0.0);
            }
        }
        for (slot, (baseline, value)) in self.baselines.iter_mut().zip(&column.values).enumerate() {
            if value.is_finite() {
                let shared = if slot == 0 { 0.0 } else { common[(slot - 1) % 2].unwrap_or(0.0) };
                baseline.learn(f64::from(*value), load, shared);
            }
        }
    }

    /// A column that is old and suspect: kept as a mean of hours.
    fn keep(&mut self, column: Column) {
        match self.coarse.back_mut() {
            Some(last) if last.bins < COARSE_BINS && last.values.len() == column.values.len() => {
                let weight = 1.0 / f32::from(last.bins + 1);
                let mix = |mean: &mut f32, value: f32| {
                    if value.is_finite() {
                        *mean = if mean.is_finite() { *mean + weight * (value - *mean) } else { value };
                    }
                };
                for (mean, value) in last.values.iter_mut().zip(&column.values) {
                    mix(mean, *value);
                }
                mix(&mut last.load, column.load);
                mix(&mut last.circulation, column.circulation);
                last.bins += 1;
            }
            Some(_) | None => {
                if self.coarse.len() == COARSE_MAX {
                    self.coarse.pop_front();
                }
                self.coarse.push_back(column);
            }
        }
    }

    /// What every station takes at values of this moment.
    pub(crate) fn takes(&self, layout: &Layout, value: &impl Fn(u32) -> Option<f64>) -> Takes {
        self.shares.takes(layout, value)
    }

    /// What every further source gives then.
    pub(crate) fn gives(
        &self,
        layout: &Layout,
        value: &impl Fn(u32) -> Option<f64>,
        takes: &Takes,
    ) -> Vec<(u32, f64)> {
        self.shares.gives(layout, value, takes.total)
    }

    /// The case of a leak as the averages since its onset tell it; without any, the flows alone. `None` where no pipes
    /// are described.
    pub(crate) fn case(&self, layout: &Layout, leak: &Leak) -> Option<Case> {
        if !layout.topology.has_pipes() {
            return None;
        }
        let mut columns: Vec<&Column> =
            self.coarse.iter().chain(&self.fine).filter(|column| column.bin >= leak.onset_bin).collect();
        if columns.is_empty() {
            columns.extend(self.fine.back());
        }
        // What a growing leak shows grows with it: weighted by its size, its late hours say most.
        let last = columns.last().map_or(leak.onset_bin, |column| column.bin);
        let span = (last - leak.onset_bin + 1).max(1) as f64;
        let grown = |column: &Column| {
            let age = (column.bin - leak.onset_bin) as f64 + 0.5 * f64::from(column.bins);
            if leak.abrupt { 1.0 } else { (age / span).clamp(0.0, 1.0) }
        };
        let weights: Vec<f64> = columns.iter().map(|column| grown(column) * f64::from(column.bins)).collect();
        let total: f64 = weights.iter().sum();
        let share: f64 =
            columns.iter().zip(&weights).map(|(column, weight)| weight * grown(column)).sum::<f64>()
                / total.max(1e-9);
        let loss_kg_s = leak.loss_kg_s * if total > 0.0 { share } else { 1.0 };
        let mean = |slot: usize, baseline: &Baseline| mean_off(&columns, &weights, slot, baseline);
        let floored = |(value, sigma): (f64, f64)| (value, sigma.hypot(FLOOR_PA));

        let mut residuals = Vec::new();
        for (index, site) in layout.sites.iter().enumerate() {
            let Some(node) = site.node else { continue };
            for (number, (side, _)) in SIDES.into_iter().enumerate() {
                let slot = 1 + 2 * index + number;
                let Some((value, sigma)) = self.baselines.get(slot).and_then(|b| mean(slot, b)).map(floored)
                else {
                    continue;
                };
                residuals.push(Residual { node, side, value, sigma });
            }
        }
        let count: f64 = columns.iter().map(|column| f64::from(column.bins)).sum();
        let circulation =
            columns.iter().zip(&weights).map(|(c, w)| f64::from(c.circulation) * w).sum::<f64>()
                / total.max(1e-9);
        let scale =
            if self.circulation > 0.0 && circulation > 0.0 { circulation / self.circulation } else { 1.0 };
        // The witness stands at plus the loss for the supply side and at minus for the return.
        let supply_side = self.baselines.first().and_then(|b| mean(0, b)).filter(|_| loss_kg_s > 0.0).map(
            |(value, sigma)| {
                let size = loss_kg_s / circulation.max(1e-9);
                (0.5 + 0.5 * value / size, 0.5 * sigma / size)
            },
        );
        let flows: Vec<f64> = self.flows.iter().map(|flow| flow * scale).collect();
        Some(Case {
            given: given(layout, &flows, METER_SHARE),
            flows,
            residuals,
            common_sigma: self.common.each_ref().map(|common| common.sigma(count).max(FLOOR_PA)),
            loss_kg_s,
            loss_error: LOSS_ERROR,
            supply_side,
        })
    }
}

/// Source supply less stations, less what stations give back and the source does not get, as a share of circulation: a
/// loss on the supply side raises it by itself, one on the return side lowers it by itself.
fn witness(features: &Features, takes: &Takes) -> Option<f64> {
    let (supply, total) = (features.supply?, takes.metered_total()?);
    let back = features.back.or_else(|| Some(supply - features.make_up?))?;
    Some((supply + back - 2.0 * total) / total)
}

/// Mean of a slot over columns beyond what its baseline expects, and its standard deviation.
fn mean_off(columns: &[&Column], weights: &[f64], slot: usize, baseline: &Baseline) -> Option<(f64, f64)> {
    let (mut sum, mut weight_sum, mut square_sum) = (0.0, 0.0, 0.0);
    for (column, &weight) in columns.iter().zip(weights) {
        let Some(value) = column.values.get(slot).filter(|value| value.is_finite()) else { continue };
        sum += weight * (f64::from(*value) - baseline.expected(f64::from(column.load))?);
        weight_sum += weight;
        square_sum += weight * weight / f64::from(column.bins);
    }
    let bins = weight_sum * weight_sum / square_sum;
    (weight_sum > 0.0).then(|| (sum / weight_sum, baseline.sigma(bins)))
}
