//! Which network a ticket belongs to, and whether anybody looks there: one rule for the gateway and the API.
//!
//! A mistyped id would leave a ticket where no detector and no dispatcher looks, so that a citizen waits for nothing.
//! What the plant model leaves out but sends readings exists as well; without a table of networks, or of a network's
//! sites, nobody can tell.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{NetworkId, SiteId, plant::PlantModel};

use crate::reject::{Reject, RejectReason};

/// Networks and sites of a plant model; the default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    networks: BTreeSet<NetworkId>,
    /// A site without a network lies in any.
    sites: BTreeMap<SiteId, Option<NetworkId>>,
}

impl Places {
    /// Of a checked model.
    pub fn new(model: &PlantModel) -> Self {
        Self {
            networks: model.networks.iter().map(|row| row.id.clone()).collect(),
            sites: model.sites.iter().map(|row| (row.id.clone(), row.network.clone())).collect(),
        }
    }

    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkId> {
        self.networks.iter()
    }

    /// The network that a ticket names, else its site's, else the only one there is.
    pub fn network_of(
        &self,
        named: Option<&NetworkId>,
        site: Option<&SiteId>,
        only: impl FnOnce() -> Option<NetworkId>,
    ) -> Result<NetworkId, Reject> {
        let of_site = || self.sites.get(site?).cloned().flatten();
        named
            .cloned()
            .or_else(of_site)
            .or_else(only)
            .ok_or_else(|| at(RejectReason::MissingField, "/network"))
    }

    /// Whether a network, and a site within it, exist; `sends` says whether readings of them have come.
    pub fn check(
        &self,
        network: &NetworkId,
        site: Option<&SiteId>,
        sends: impl Fn(Option<&SiteId>) -> bool,
    ) -> Result<(), Reject> {
        if !self.networks.is_empty() && !self.networks.contains(network) && !sends(None) {
            return Err(at(RejectReason::UnknownNetwork, "/network"));
        }
        let Some(site) = site else { return Ok(()) };
        let lies_here = |of: &Option<NetworkId>| of.as_ref().is_none_or(|of| of == network);
        if self.sites.values().any(lies_here)
            && !self.sites.get(site).is_some_and(lies_here)
            && !sends(Some(site))
        {
            return Err(at(RejectReason::UnknownSite, "/site"));
        }
        Ok(())
    }
}

/// A reject of a ticket never quotes it.
fn at(reason: RejectReason, place: &str) -> Reject {
    Reject::at(reason, place.to_owned(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(tables: &[(&str, &str)]) -> Places {
        Places::new(&crate::plant::read(tables).unwrap())
    }

    fn verdict(places: &Places, network: &str, site: Option<&str>, sends: &[&str]) -> &'static str {
        let site: Option<SiteId> = site.map(|site| site.parse().unwrap());
        let heard = |asked: Option<&SiteId>| match asked {
            None => !sends.is_empty(),
            Some(asked) => sends.contains(&asked.as_str()),
        };
        let checked = places.check(&network.parse().unwrap(), site.as_ref(), heard);
        checked.map_or_else(|reject| reject.reason.as_str(), |()| "taken")
    }

    #[test]
    fn a_place_exists_where_the_model_has_it_or_where_it_sends_readings() {
        let places =
            places(&[("networks.csv", "id\nnorth\nsouth\n"), ("sites.csv", "id,network\nst1,north\n")]);
        assert_eq!(verdict(&places, "north", Some("st1"), &[]), "taken");
        assert_eq!(verdict(&places, "north", None, &[]), "taken");
        assert_eq!(verdict(&places, "norht", Some("st1"), &[]), "unknown_network");
        assert_eq!(verdict(&places, "north", Some("st2"), &[]), "unknown_site");
        assert_eq!(verdict(&places, "north", Some("st2"), &["st2"]), "taken");
        assert_eq!(verdict(&places, "west", None, &["st9"]), "taken");
        assert_eq!(verdict(&places, "south", Some("st1"), &[]), "taken", "no site of the south is entered");
    }

    #[test]
    fn without_a_plant_model_every_place_is_taken() {
        assert_eq!(verdict(&Places::default(), "anywhere", Some("at-all"), &[]), "taken");
    }

    #[test]
    fn a_ticket_belongs_to_the_network_it_names_else_to_its_sites_else_to_the_only_one() {
        let places =
            places(&[("networks.csv", "id\nnorth\nsouth\n"), ("sites.csv", "id,network\nst1,north\n")]);
        let (south, st1): (NetworkId, SiteId) = ("south".parse().unwrap(), "st1".parse().unwrap());
        let of = |named: Option<&NetworkId>, site: Option<&SiteId>, only: Option<&NetworkId>| {
            let found = places.network_of(named, site, || only.cloned());
            found.map_or_else(|reject| reject.reason.to_string(), |network| network.to_string())
        };
        assert_eq!(of(Some(&south), Some(&st1), None), "south");
        assert_eq!(of(None, Some(&st1), Some(&south)), "north");
        assert_eq!(of(None, None, Some(&south)), "south");
        assert_eq!(of(None, None, None), "missing_field");
    }
}
