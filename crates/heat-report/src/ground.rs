//! What there is, by the plant tables: the denominators, and which operator and district something belongs to.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    CircuitId, NetworkId, NodeId, PipeId, SiteId,
    plant::{PlantModel, Side, Site, SiteKind},
};
use serde::Serialize;

/// What a part of the report is about. Ordered as it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    City,
    /// A heating company.
    Operator(String),
    /// A district.
    District(String),
    /// A network.
    Network(NetworkId),
}

/// Answers questions about a plant model.
#[derive(Debug)]
pub struct Ground<'a> {
    plant: &'a PlantModel,
    sites: BTreeMap<&'a SiteId, &'a Site>,
    only_network: Option<&'a NetworkId>,
    circuits: BTreeMap<&'a CircuitId, &'a NetworkId>,
}

impl<'a> Ground<'a> {
    /// Of a plant model.
    pub fn new(plant: &'a PlantModel) -> Self {
        Self {
            plant,
            sites: plant.sites.iter().map(|site| (&site.id, site)).collect(),
            only_network: match plant.networks.as_slice() {
                [only] => Some(&only.id),
                _ => None,
            },
            circuits: plant.circuits.iter().map(|circuit| (&circuit.id, &circuit.network)).collect(),
        }
    }

    /// The tables.
    pub fn plant(&self) -> &'a PlantModel {
        self.plant
    }

    /// A site's row.
    pub fn site(&self, id: &SiteId) -> Option<&'a Site> {
        self.sites.get(id).copied()
    }

    /// What people call a site.
    pub fn site_name(&self, id: &str) -> Option<&'a str> {
        let id = SiteId::new(id).ok()?;
        self.site(&id)?.name.as_deref()
    }

    /// The station that feeds a site: itself, or the first above it.
    pub fn station_of(&self, id: &SiteId) -> Option<&'a SiteId> {
        let mut site = self.site(id)?;
        for _ in 0..4 {
            if site.kind == Some(SiteKind::Station) {
                return Some(&site.id);
            }
            site = self.site(site.parent.as_ref()?)?;
        }
        None
    }

    /// The community (小区) of homes: the station that feeds them; where the tables name none, the site above them, or
    /// the building itself.
    pub fn community_of(&self, id: &SiteId) -> Option<&'a SiteId> {
        let row = self.site(id)?;
        let itself = (row.kind != Some(SiteKind::Household)).then_some(&row.id);
        self.station_of(id).or(row.parent.as_ref()).or(itself)
    }

    /// The scopes of what happens in a network at large.
    pub fn scopes_of_network(&self, network: &NetworkId) -> BTreeSet<Scope> {
        let row = self.plant.networks.iter().find(|row| row.id == *network);
        let mut scopes = BTreeSet::from([Scope::City, Scope::Network(network.clone())]);
        scopes.extend(row.and_then(|row| row.operator.clone()).map(Scope::Operator));
        scopes.extend(row.and_then(|row| row.district.clone()).map(Scope::District));
        scopes
    }

    /// The scopes of what happens at a site: its own operator and district, else its network's.
    pub fn scopes_of_site(&self, network: &NetworkId, site: Option<&SiteId>) -> BTreeSet<Scope> {
        let mut scopes = self.scopes_of_network(network);
        let Some(row) = site.and_then(|site| self.site(site)) else { return scopes };
        if let Some(operator) = &row.operator {
            scopes.retain(|scope| !matches!(scope, Scope::Operator(_)));
            scopes.insert(Scope::Operator(operator.clone()));
        }
        if let Some(district) = &row.district {
            scopes.retain(|scope| !matches!(scope, Scope::District(_)));
            scopes.insert(Scope::District(district.clone()));
        }
        scopes
    }

    /// The network of a site's row.
    pub fn network_of(&self, site: &'a Site) -> Option<&'a NetworkId> {
        site.network.as_ref().or(self.only_network)
    }

    fn sites_of(&self, network: &NetworkId) -> impl Iterator<Item = &'a Site> {
        self.plant.sites.iter().filter(move |site| self.network_of(site) == Some(network))
    }

    /// The heated area of a network: that of its stations, else of its buildings, else of its sources.
    pub fn area_m2(&self, network: &NetworkId) -> Option<f64> {
        by_kind(|kind| {
            let of_kind = self.sites_of(network).filter(|site| site.kind == Some(kind));
            of_kind.filter_map(|site| site.heated_area_m2).reduce(|sum, area| sum + area)
        })
    }

    /// A station's heated area.
    pub fn station_area_m2(&self, station: &SiteId) -> Option<f64> {
        self.site(station)?.heated_area_m2.filter(|area| *area > 0.0)
    }

    /// Stations of a network.
    pub fn stations(&self, network: &NetworkId) -> impl Iterator<Item = &'a SiteId> {
        self.sites_of(network).filter(|site| site.kind == Some(SiteKind::Station)).map(|site| &site.id)
    }

    /// Length of trench, km: supply and return share one.
    pub fn trench_km(&self, network: &NetworkId) -> Option<f64> {
        let of_network = |pipe: &&heat_model::plant::Pipe| {
            self.circuits.get(&pipe.circuit) == Some(&network) && pipe.side != Some(Side::Return)
        };
        let lengths = self.plant.pipes.iter().filter(of_network).filter_map(|pipe| pipe.length_m);
        lengths.reduce(|sum, length| sum + length).map(|metres| metres / 1_000.0)
    }

    /// Households by scope: those that stations name, else buildings, else sources, else the household sites themselves.
    pub fn households(&self) -> BTreeMap<Scope, f64> {
        let mut households: BTreeMap<Scope, f64> = BTreeMap::new();
        for network in self.plant.networks.iter().map(|row| &row.id) {
            let kind = by_kind(|kind| {
                let counts = |site: &&Site| site.kind == Some(kind) && site.households.is_some();
                self.sites_of(network).any(|site| counts(&site)).then_some(kind)
            });
            for site in self.sites_of(network) {
                let homes = match kind {
                    Some(kind) if site.kind == Some(kind) => site.households.map(f64::from),
                    None if site.kind == Some(SiteKind::Household) => Some(1.0),
                    Some(_) | None => None,
                };
                let Some(homes) = homes else { continue };
                for scope in self.scopes_of_site(network, Some(&site.id)) {
                    *households.entry(scope).or_default() += homes;
                }
            }
        }
        households
    }

    /// Stations whose node lies on a circuit's pipes.
    pub fn stations_on(&self, circuit: &CircuitId) -> BTreeSet<&'a SiteId> {
        let on = self.plant.pipes.iter().filter(|pipe| pipe.circuit == *circuit);
        let nodes: BTreeSet<&NodeId> = on.flat_map(|pipe| [&pipe.from, &pipe.to]).collect();
        let stations = self.plant.sites.iter().filter(|site| site.kind == Some(SiteKind::Station));
        stations
            .filter(|site| site.node.as_ref().is_some_and(|node| nodes.contains(node)))
            .map(|site| &site.id)
            .collect()
    }

    /// A pipe's row.
    pub fn pipe(&self, id: &PipeId) -> Option<&'a heat_model::plant::Pipe> {
        self.plant.pipes.iter().find(|pipe| pipe.id == *id)
    }
}

/// The first kind of sites that answers, from the best place to know a network's customers.
fn by_kind<T>(answer: impl Fn(SiteKind) -> Option<T>) -> Option<T> {
    [SiteKind::Station, SiteKind::Building, SiteKind::Source].into_iter().find_map(answer)
}
