//! Households behind sites, as the plant model tells them.

use std::collections::BTreeMap;

use heat_model::{NetworkId, SiteId, plant::PlantModel};

/// Households by site: its own, or else those of the sites that it feeds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Homes {
    by_site: BTreeMap<SiteId, u32>,
}

impl Homes {
    pub(crate) fn new(network: &NetworkId, plant: &PlantModel) -> Self {
        let of_network =
            || plant.sites.iter().filter(|site| site.network.as_ref().is_none_or(|of| of == network));
        let mut by_site: BTreeMap<SiteId, u32> = BTreeMap::new();
        for site in of_network() {
            if let (Some(parent), Some(households)) = (&site.parent, site.households) {
                let sum = by_site.entry(parent.clone()).or_default();
                *sum = sum.saturating_add(households);
            }
        }
        for site in of_network() {
            if let Some(households) = site.households {
                by_site.insert(site.id.clone(), households);
            }
        }
        Self { by_site }
    }

    /// Households of these sites together; `None` where none of them has any that are known.
    pub(crate) fn of(&self, sites: &[SiteId]) -> Option<u32> {
        sites.iter().filter_map(|site| self.by_site.get(site).copied()).reduce(u32::saturating_add)
    }
}
