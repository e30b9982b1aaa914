//! What a device may speak for.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{NetworkId, SiteId};

/// The networks and sites that readings of a device may belong to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    everything: bool,
    networks: BTreeMap<NetworkId, Sites>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sites {
    All,
    Some(BTreeSet<SiteId>),
}

impl Rights {
    /// Rights as written: network ids, and sites as `network/site`; `*` stands for all networks, or for all sites.
    ///
    /// # Errors
    /// Every entry that names nothing: where it stands (`networks[1]`) and what is wrong with it.
    pub fn parse(networks: &[String], sites: &[String]) -> Result<Self, Vec<(String, String)>> {
        let mut rights = Self::default();
        let mut faults = Vec::new();
        for (index, network) in networks.iter().enumerate() {
            if let Err(problem) = rights.add_network(network) {
                faults.push((format!("networks[{index}]"), format!("{network:?}: {problem}")));
            }
        }
        for (index, site) in sites.iter().enumerate() {
            if let Err(problem) = rights.add_site(site) {
                faults.push((format!("sites[{index}]"), format!("{site:?}: {problem}")));
            }
        }
        if faults.is_empty() { Ok(rights) } else { Err(faults) }
    }

    /// Whether a reading of this site may come from the device.
    pub fn may_speak_for(&self, network: &NetworkId, site: &SiteId) -> bool {
        self.everything
            || match self.networks.get(network) {
                Some(Sites::All) => true,
                Some(Sites::Some(sites)) => sites.contains(site),
                None => false,
            }
    }

    /// Whether something about the whole network, or about all networks for `None`, may come from the device.
    pub fn may_speak_for_network(&self, network: Option<&NetworkId>) -> bool {
        self.everything
            || network.is_some_and(|network| matches!(self.networks.get(network), Some(Sites::All)))
    }

    fn add_network(&mut self, network: &str) -> Result<(), String> {
        if network == "*" {
            self.everything = true;
        } else {
            let network = network.parse::<NetworkId>().map_err(|error| error.to_string())?;
            self.networks.insert(network, Sites::All);
        }
        Ok(())
    }

    fn add_site(&mut self, written: &str) -> Result<(), String> {
        if written == "*" {
            self.everything = true;
            return Ok(());
        }
        let (network, site) =
            written.split_once('/').ok_or_else(|| "a site is written network/site".to_owned())?;
        if site == "*" {
            return self.add_network(network);
        }
        if network == "*" {
            return Err("a site belongs to one network: name it".to_owned());
        }
        let network = network.parse::<NetworkId>().map_err(|error| error.to_string())?;
        let site = site.parse::<SiteId>().map_err(|error| error.to_string())?;
        match self.networks.entry(network).or_insert_with(|| Sites::Some(BTreeSet::new())) {
            Sites::All => {}
            Sites::Some(sites) => {
                sites.insert(site);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(networks: &[&str], sites: &[&str]) -> Result<Rights, Vec<(String, String)>> {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Rights::parse(&own(networks), &own(sites))
    }

    fn may(rights: &Rights, network: &str, site: &str) -> bool {
        rights.may_speak_for(&network.parse().unwrap(), &site.parse().unwrap())
    }

    #[test]
    fn a_network_stands_for_all_its_sites_and_a_site_for_itself() {
        let rights = rights(&["n1"], &["n1/s1", "n2/s1", "n2/s2", "n3/*"]).unwrap();

        for (network, site) in [("n1", "s1"), ("n1", "s9"), ("n2", "s1"), ("n2", "s2"), ("n3", "s9")] {
            assert!(may(&rights, network, site), "{network}/{site}");
        }
        for (network, site) in [("n2", "s3"), ("n4", "s1")] {
            assert!(!may(&rights, network, site), "{network}/{site}");
        }
    }

    #[test]
    fn a_star_stands_for_everything_and_nothing_written_for_nothing() {
        assert!(may(&rights(&["*"], &[]).unwrap(), "n", "s"));
        assert!(may(&rights(&[], &["*"]).unwrap(), "n", "s"));
        assert!(may(&rights(&[], &["*/*"]).unwrap(), "n", "s"));
        assert!(!may(&rights(&[], &[]).unwrap(), "n", "s"));
    }

    #[test]
    fn every_entry_that_names_nothing_is_reported() {
        let faults = rights(&["n1", ""], &["n1", "n1/a/b", "n1/s", "*/s"]).unwrap_err();

        let places: Vec<_> = faults.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["networks[1]", "sites[0]", "sites[1]", "sites[3]"]);
    }
}
