//! Pressures that the pipe model does not explain, gathered for locating.
//!
//! For every site with a pressure, each quarter hour: pressure less the source's, with the head that the measured
//! flows lose on the way put back. Its mean over quiet days is the gauge's offset and the model's error; a leak shifts
//! it by what it adds on the common path. Averages over hours make up for what one reading cannot tell.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::{Side, SiteKind};
use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    burst::locate::{Case, Residual, head_loss, trench_flows},
    layout::{Layout, Role, Site},
};

/// Memory of the quiet mean, bins: two days.
const MEMORY_BINS: f64 = 192.0;
/// Bins before a shift can be told.
const KNOWN_BINS: u32 = 48;
/// Errors of gauges and flows are alike over this many bins; beyond, averages gain.
const CORRELATED_BINS: f64 = 8.0;
/// Noise floor of a mean, Pa.
const FLOOR_PA: f64 = 150.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Gauge {
    mean: f64,
    square: f64,
    bins: u32,
    sum: f64,
    count: u32,
}

/// Gathered residuals by site and side, and flows since suspicion.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    gauges: Vec<[Gauge; 2]>,
    flows: Vec<(f64, u32)>,
    suspect: bool,
}

/// The source's pressures by side in a picture of the network.
pub(crate) fn source_pressure(
    layout: &Layout,
    role: Role,
    value: &impl Fn(u32) -> Option<f64>,
) -> Option<f64> {
    layout.of_kind(SiteKind::Source).find_map(|(_, source)| value(source.signal(role)?))
}

/// Mass flow that a station takes.
pub(crate) fn station_flow(layout: &Layout, site: &Site, value: &impl Fn(u32) -> Option<f64>) -> Option<f64> {
    let (signal, temperature, assumed) = match (site.signal(Role::SupplyFlow), site.signal(Role::ReturnFlow))
    {
        (Some(signal), _) => (signal, Role::SupplyTemperature, 85.0),
        (None, Some(signal)) => (signal, Role::ReturnTemperature, 45.0),
        (None, None) => return None,
    };
    let flow = value(signal)?;
    if layout.placed[signal as usize].is_mass {
        return Some(flow);
    }
    let celsius =
        site.signal(temperature).and_then(value).filter(|t| (0.0..=180.0).contains(t)).unwrap_or(assumed);
    Some(flow * density_kg_m3(celsius))
}

/// What every station takes; those without a meter share what the metered leave of the source's flow.
pub(crate) fn takes(layout: &Layout, value: &impl Fn(u32) -> Option<f64>) -> Vec<(u32, f64)> {
    let mut takes = Vec::new();
    let mut unmetered = Vec::new();
    let mut metered_sum = 0.0;
    for (_, site) in layout.of_kind(SiteKind::Station) {
        let Some(node) = site.node else { continue };
        match station_flow(layout, site, value) {
            Some(flow) => {
                metered_sum += flow;
                takes.push((node, flow));
            }
            None => unmetered.push(node),
        }
    }
    if !unmetered.is_empty() {
        let supply: f64 = layout
            .of_kind(SiteKind::Source)
            .filter_map(|(_, source)| station_flow(layout, source, value))
            .sum();
        let each = ((supply - metered_sum) / unmetered.len() as f64).max(0.0);
        takes.extend(unmetered.into_iter().map(|node| (node, each)));
    }
    takes
}

pub(crate) const SIDES: [(Side, Role); 2] =
    [(Side::Supply, Role::SupplyPressure), (Side::Return, Role::ReturnPressure)];

impl Places {
    /// Takes the lower open bin; while `suspect`, it counts as after, else as quiet.
    pub(crate) fn learn(&mut self, layout: &Layout, bins: &Bins, suspect: Option<i64>) {
        if !layout.topology.has_pipes() {
            return;
        }
        self.gauges.resize(layout.sites.len(), <[Gauge; 2]>::default());
        self.flows.resize(layout.topology.trenches.len(), (0.0, 0));
        if suspect.is_some() != self.suspect {
            self.suspect = suspect.is_some();
            for gauge in self.gauges.iter_mut().flatten() {
                (gauge.sum, gauge.count) = (0.0, 0);
            }
            self.flows.fill((0.0, 0));
        }
        let value = |signal: u32| bins.mean(signal);
        let flows = trench_flows(&layout.topology, takes(layout, &value));
        if self.suspect {
            for ((sum, count), flow) in self.flows.iter_mut().zip(&flows) {
                *sum += flow;
                *count += 1;
            }
        }
        for (side_index, (side, role)) in SIDES.into_iter().enumerate() {
            let Some(source) = source_pressure(layout, role, &value) else { continue };
            for (site, gauges) in layout.sites.iter().zip(&mut self.gauges) {
                let (Some(node), Some(pressure)) = (site.node, site.signal(role).and_then(value)) else {
                    continue;
                };
                if site.kind == SiteKind::Source {
                    continue;
                }
                let head = head_loss(&layout.topology, &flows, node);
                let residual = match side {
                    Side::Supply => pressure - source + head,
                    Side::Return => pressure - source - head,
                };
                gauges[side_index].take(residual, self.suspect);
            }
        }
    }

    /// The case as the averages since suspicion tell it; `None` until they can.
    pub(crate) fn case(
        &self,
        layout: &Layout,
        loss_kg_s: f64,
        supply_side: Option<(f64, f64)>,
    ) -> Option<Case> {
        let flows: Vec<f64> =
            self.flows.iter().map(|(sum, count)| sum / f64::from((*count).max(1))).collect();
        if flows.len() != layout.topology.trenches.len() || !self.suspect {
            return None;
        }
        let mut residuals = Vec::new();
        for (site, gauges) in layout.sites.iter().zip(&self.gauges) {
            let Some(node) = site.node else { continue };
            for (gauge, (side, _)) in gauges.iter().zip(SIDES) {
                if gauge.bins < KNOWN_BINS || gauge.count == 0 {
                    continue;
                }
                let variance = (gauge.square - gauge.mean * gauge.mean).max(0.0);
                let independent = (f64::from(gauge.count) / CORRELATED_BINS).max(1.0);
                residuals.push(Residual {
                    node,
                    side,
                    value: gauge.sum / f64::from(gauge.count) - gauge.mean,
                    sigma: (variance / independent).sqrt().hypot(FLOOR_PA),
                });
            }
        }
        Some(Case { flows, residuals, loss_kg_s, loss_error: 0.2, supply_side })
    }
}

impl Gauge {
    fn take(&mut self, residual: f64, suspect: bool) {
        if suspect {
            self.sum += residual;
            self.count += 1;
            return;
        }
        self.bins = self.bins.saturating_add(1);
        let weight = 1.0 / f64::from(self.bins).min(MEMORY_BINS);
        self.mean += weight * (residual - self.mean);
        self.square += weight * (residual * residual - self.square);
    }
}
