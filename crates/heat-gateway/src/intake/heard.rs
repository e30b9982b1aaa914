//! Which sites have sent readings to this gateway: what the plant model leaves out exists all the same.

use std::collections::{BTreeMap, BTreeSet};

use heat_codec::topic::DeviceTopic;
use heat_model::{NetworkId, SiteId, canary};

/// Sites that are noted, as many as devices are kept; further ones must be in the plant model to get tickets.
const SITES_MAX: usize = 65_536;

/// Networks and sites.
#[derive(Debug, Default)]
pub(super) struct Heard {
    networks: BTreeMap<NetworkId, BTreeSet<SiteId>>,
    sites: usize,
}

impl Heard {
    /// Notes a device's site. The gateways' own canaries live nowhere.
    pub(super) fn note(&mut self, device: &DeviceTopic) {
        if device.network.as_str() == canary::NETWORK || self.sites >= SITES_MAX {
            return;
        }
        let sites = self.networks.entry(device.network.clone()).or_default();
        self.sites += usize::from(sites.insert(device.site.clone()));
    }

    /// Whether a network, or a site of it, has sent readings.
    pub(super) fn sends(&self, network: &NetworkId, site: Option<&SiteId>) -> bool {
        self.networks.get(network).is_some_and(|sites| site.is_none_or(|site| sites.contains(site)))
    }

    /// The only network there is, of these and of those that have sent readings.
    pub(super) fn only<'a>(&'a self, entered: impl Iterator<Item = &'a NetworkId>) -> Option<NetworkId> {
        let networks: BTreeSet<&NetworkId> = entered.chain(self.networks.keys()).collect();
        let mut networks = networks.into_iter();
        match (networks.next(), networks.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }
}
