//! Which station feeds a site, and which stations hang on the same branch.

use std::collections::BTreeMap;

use heat_model::SiteId;

use crate::layout::Layout;

/// Steps from a household to its station.
const PARENTS_MAX: usize = 8;

/// Derived from the plant model.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// Station of each site that has one above it.
    stations_of: BTreeMap<SiteId, SiteId>,
    /// Node of each station, where it is known.
    nodes: BTreeMap<SiteId, Option<u32>>,
    /// Stations behind each trench.
    behind: Vec<Vec<SiteId>>,
    depth: usize,
}

impl Tree {
    pub(super) fn new(layout: &Layout) -> Self {
        let nodes: BTreeMap<SiteId, Option<u32>> =
            layout.known_stations().map(|(site, node)| (site.clone(), node)).collect();
        let mut stations_of = BTreeMap::new();
        for site in layout.parents.keys() {
            let mut above = site;
            for _ in 0..PARENTS_MAX {
                if nodes.contains_key(above) {
                    stations_of.insert(site.clone(), above.clone());
                    break;
                }
                match layout.parents.get(above) {
                    Some(parent) => above = parent,
                    None => break,
                }
            }
        }
        let mut behind = vec![Vec::new(); layout.topology.trenches.len()];
        let mut depth = 0;
        for (site, node) in &nodes {
            let Some(node) = node else { continue };
            let mut steps = 0;
            for trench in layout.topology.path(*node) {
                behind[trench as usize].push(site.clone());
                steps += 1;
            }
            depth = depth.max(steps);
        }
        Self { stations_of, nodes, behind, depth }
    }

    /// The station that feeds a site; the site itself where the plant model knows of none.
    pub(super) fn station_of<'a>(&'a self, site: &'a SiteId) -> &'a SiteId {
        self.stations_of.get(site).unwrap_or(site)
    }

    /// Stations of the plant model.
    pub(super) fn stations(&self) -> usize {
        self.nodes.len()
    }

    /// Longest way from a station to a source, trenches.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Branches that a station hangs on, smallest first, each with more stations than the one before.
    pub(super) fn branches(&self, layout: &Layout, station: &SiteId) -> Vec<Vec<SiteId>> {
        let Some(Some(node)) = self.nodes.get(station) else { return Vec::new() };
        let mut branches: Vec<Vec<SiteId>> = Vec::new();
        for trench in layout.topology.path(*node) {
            let behind = &self.behind[trench as usize];
            let before = branches.last().map_or(1, Vec::len);
            // The whole network is counted apart.
            if behind.len() > before && behind.len() < self.nodes.len() {
                branches.push(behind.clone());
            }
        }
        branches
    }
}
