//! What is private: homes. They never reach a table that `/metrics` or the operators' lists read.

use std::collections::BTreeSet;

use heat_model::{
    SignalName, SignalSet, SiteId,
    plant::{PlantModel, SiteKind},
};

/// Decides which signals belong to a home.
///
/// A site that the plant model calls a household is private. `indoor_temperature` is private too at a site that the
/// plant model does not describe: it is measured in homes, and whoever measures it elsewhere can say so there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privacy {
    households: BTreeSet<SiteId>,
    described: BTreeSet<SiteId>,
}

impl Privacy {
    /// From the plant model; the default knows no site.
    pub fn new(plant: &PlantModel) -> Self {
        let mut privacy = Self::default();
        for site in &plant.sites {
            match site.kind {
                Some(SiteKind::Household) => privacy.households.insert(site.id.clone()),
                Some(SiteKind::Source | SiteKind::Station | SiteKind::Chamber | SiteKind::Building) => {
                    privacy.described.insert(site.id.clone())
                }
                None => false,
            };
        }
        privacy
    }

    /// Whether the signal at `index` of the set is private.
    ///
    /// # Panics
    /// If `index` is not below the number of signals.
    pub fn is_private(&self, set: &SignalSet, index: usize) -> bool {
        self.covers(&set.site, &set.signals[index].name)
    }

    /// Whether a signal of this name at this site is private.
    pub fn covers(&self, site: &SiteId, name: &SignalName) -> bool {
        let indoor = || name.as_str().ends_with("indoor_temperature");
        self.households.contains(site) || (indoor() && !self.described.contains(site))
    }
}
