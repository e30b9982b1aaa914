//! What every station takes: as metered, else its usual share.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, Role, Site};

/// Memory of the shares, bins: a day.
const SHARE_BINS: f64 = 96.0;
/// Silent stations may take up to this part of the whole; beyond, there is no sum.
const SILENT_MAX: f64 = 0.3;

/// Mass flow that a site's meter shows.
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

/// What the sources give, where they stand at a node and are metered.
pub(crate) fn gives(layout: &Layout, value: &impl Fn(u32) -> Option<f64>) -> Vec<(u32, f64)> {
    layout
        .of_kind(SiteKind::Source)
        .filter_map(|(_, source)| Some((source.node?, station_flow(layout, source, value)?)))
        .collect()
}

/// Flows that stations take.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Takes {
    /// By node, of stations that stand at one.
    pub(crate) at: Vec<(u32, f64)>,
    /// Of all stations, kg/s.
    pub(crate) total: f64,
    /// Share of the total that is no station's own metered value.
    pub(crate) assumed: f64,
}

impl Takes {
    /// The total where it is a witness: nearly all of it metered.
    pub(crate) fn metered_total(&self) -> Option<f64> {
        (self.total > 0.0 && self.assumed <= SILENT_MAX).then_some(self.total)
    }
}

/// Usual share of the whole, by site; learned on quiet days.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    shares: Vec<f64>,
    bins: u32,
}

impl Shares {
    /// What every station takes now. One without a meter, or silent, takes its usual share; until that is known, the
    /// unmetered divide what the metered leave of the source's flow.
    pub(crate) fn takes(&self, layout: &Layout, value: &impl Fn(u32) -> Option<f64>) -> Takes {
        let flows: Vec<(u32, &Site, Option<f64>)> = layout
            .of_kind(SiteKind::Station)
            .map(|(index, site)| (index, site, station_flow(layout, site, value)))
            .collect();
        let known = |index: u32| self.shares.get(index as usize).copied().filter(|share| *share > 0.0);
        let metered: f64 = flows.iter().filter_map(|(_, _, flow)| *flow).sum();
        let silent: f64 = flows.iter().filter(|f| f.2.is_none()).filter_map(|f| known(f.0)).sum();
        let supposed = metered / (1.0 - silent.min(0.9));
        let strangers = flows.iter().filter(|f| f.2.is_none() && known(f.0).is_none()).count();
        let supply: f64 = layout
            .of_kind(SiteKind::Source)
            .filter_map(|(_, source)| station_flow(layout, source, value))
            .sum();
        let each = ((supply - supposed) / strangers.max(1) as f64).max(0.0);
        let mut takes = Takes::default();
        for (index, site, flow) in flows {
            let taken = flow.unwrap_or_else(|| known(index).map_or(each, |share| share * supposed));
            takes.total += taken;
            if flow.is_none() {
                takes.assumed += taken;
            }
            takes.at.extend(site.node.map(|node| (node, taken)));
        }
        takes.assumed /= takes.total.max(1e-9);
        takes
    }

    /// Learns what stations take on a quiet day.
    pub(crate) fn learn(&mut self, layout: &Layout, value: &impl Fn(u32) -> Option<f64>, total: f64) {
        if total <= 0.0 {
            return;
        }
        self.bins = self.bins.saturating_add(1);
        self.shares.resize(layout.sites.len(), 0.0);
        let weight = 1.0 / f64::from(self.bins).min(SHARE_BINS);
        for (index, site) in layout.of_kind(SiteKind::Station) {
            if let Some(flow) = station_flow(layout, site, value) {
                let share = &mut self.shares[index as usize];
                let weight = if *share > 0.0 { weight } else { 1.0 };
                *share += weight * (flow.max(0.0) / total - *share);
            }
        }
    }
}
