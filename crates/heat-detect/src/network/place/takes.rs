//! What every station takes and every further source gives: as metered, else its usual share.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use super::is_reference;
use crate::layout::{Layout, Role, Site};

/// Memory of the shares, bins: a day.
const SHARE_BINS: f64 = 96.0;
/// The share of who was heard and takes nothing.
const HEARD: f64 = 1e-6;
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

/// Usual share of what the stations take together, by site: what a station takes of it, or a source gives. Learned on
/// quiet days.
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

    /// What the further sources give, from which the network's divide follows. A silent one gives its usual share: if it
    /// gave nothing, all its water would seem to come from elsewhere. One that was never heard gives as much as each would, one
    /// without a meter nothing.
    pub(crate) fn gives(
        &self,
        layout: &Layout,
        value: &impl Fn(u32) -> Option<f64>,
        total: f64,
    ) -> Vec<(u32, f64)> {
        let each = 1.0 / layout.of_kind(SiteKind::Source).count().max(1) as f64;
        let share = |index: u32| {
            self.shares.get(index as usize).copied().filter(|share| *share > 0.0).unwrap_or(each)
        };
        layout
            .of_kind(SiteKind::Source)
            .filter(|(_, source)| !is_reference(layout, source))
            .filter_map(|(index, source)| {
                let has_meter =
                    [Role::SupplyFlow, Role::ReturnFlow].iter().any(|role| source.signal(*role).is_some());
                let usual = has_meter.then(|| share(index) * total);
                Some((source.node?, station_flow(layout, source, value).or(usual)?))
            })
            .collect()
    }

    /// Learns what stations take, and sources give, on a quiet day.
    pub(crate) fn learn(&mut self, layout: &Layout, value: &impl Fn(u32) -> Option<f64>, total: f64) {
        if total <= 0.0 {
            return;
        }
        self.bins = self.bins.saturating_add(1);
        self.shares.resize(layout.sites.len(), 0.0);
        let weight = 1.0 / f64::from(self.bins).min(SHARE_BINS);
        let sources = layout.of_kind(SiteKind::Source);
        for (index, site) in layout.of_kind(SiteKind::Station).chain(sources) {
            if let Some(flow) = station_flow(layout, site, value) {
                let share = &mut self.shares[index as usize];
                let weight = if *share > 0.0 { weight } else { 1.0 };
                *share += weight * (flow.max(0.0) / total - *share);
                *share = share.max(HEARD);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use heat_model::{NetworkId, plant::PlantModel};

    use super::*;
    use crate::layout::SignalKey;

    /// Two sources at the ends of a street, and a station between them.
    fn layout() -> Layout {
        let plant: PlantModel = serde_json::from_value(serde_json::json!({
            "circuits": [{"id": "p", "network": "n"}],
            "sites": [
                {"id": "east", "network": "n", "kind": "source", "node": "A"},
                {"id": "west", "network": "n", "kind": "source", "node": "C"},
                {"id": "st", "network": "n", "kind": "station", "node": "B"},
            ],
            "pipes": [
                {"id": "ABs", "circuit": "p", "from": "A", "to": "B", "side": "supply"},
                {"id": "BCs", "circuit": "p", "from": "B", "to": "C", "side": "supply"},
            ]
        }))
        .unwrap();
        let key = |site: &str, name: &str| SignalKey {
            site: site.parse().unwrap(),
            device: "meter".parse().unwrap(),
            name: name.parse().unwrap(),
            unit: "kg/s".into(),
        };
        let keys = [key("east", "supply_flow"), key("west", "supply_flow"), key("st", "primary_supply_flow")];
        Layout::new(&NetworkId::new("n").unwrap(), &plant, &keys)
    }

    #[test]
    fn a_further_source_whose_meter_is_silent_gives_its_usual_share() {
        let layout = layout();
        let west = layout.topology.node(&"C".parse().unwrap()).unwrap();
        let heard = |signal: u32| Some([6.0, 4.0, 10.0][signal as usize]);
        let silent = |signal: u32| heard(signal).filter(|_| signal != 1);
        let mut shares = Shares::default();

        assert_eq!(
            shares.gives(&layout, &silent, 10.0),
            [(west, 5.0)],
            "as much as each, until its share is known"
        );
        for _ in 0..96 {
            shares.learn(&layout, &heard, 10.0);
        }

        assert_eq!(shares.gives(&layout, &heard, 10.0), [(west, 4.0)]);
        let given = shares.gives(&layout, &silent, 20.0);
        assert!(given.len() == 1 && (given[0].1 - 8.0).abs() < 1e-9, "{given:?}");
    }
}
