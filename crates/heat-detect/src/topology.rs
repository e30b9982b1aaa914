//! The pipes of a network: trenches, which way the water comes, which valves shut a place off.
//!
//! Where every part has one source and no loop, the way to a node is the one path there is. Otherwise the network
//! [is meshed](Topology::is_meshed): flows and heads then come from the solver ([`flows`]), and the shortest-path tree by
//! resistance only orders the nodes. A pipe with a valve that is normally closed carries nothing: rings run open there.

pub(crate) mod flows;
mod isolation;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use heat_model::{
    NetworkId, NodeId, PipeId, ValveId,
    plant::{Medium, PlantModel, Side, SiteKind, ValveState},
};

use crate::layout::circuits::primaries;

/// A supply and a return pipe between the same nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Trench {
    /// Node nearer to the source.
    pub(crate) upper: u32,
    /// Node farther from it.
    pub(crate) lower: u32,
    pub(crate) length_m: f64,
    pub(crate) diameter_m: f64,
    /// Pressure loss per squared mass flow of one pipe, Pa/(kg/s)2.
    pub(crate) resistance: f64,
    pub(crate) supply: Option<PipeId>,
    pub(crate) back: Option<PipeId>,
    /// Laid in, where known.
    pub(crate) laid_year: Option<u32>,
    pub(crate) valves: Vec<Valve>,
    /// A valve in it is normally closed.
    pub(crate) is_closed: bool,
}

/// A valve of a trench that can be worked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Valve {
    pub(crate) id: ValveId,
    /// Node at whose end it sits, where the table names its chamber.
    pub(crate) at: Option<u32>,
}

impl Trench {
    pub(crate) fn pipe(&self, side: Side) -> Option<&PipeId> {
        match side {
            Side::Supply => self.supply.as_ref().or(self.back.as_ref()),
            Side::Return => self.back.as_ref().or(self.supply.as_ref()),
        }
    }
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Topology {
    nodes: BTreeMap<NodeId, u32>,
    elevations_m: Vec<Option<f64>>,
    pub(crate) trenches: Vec<Trench>,
    /// Trench towards the source, per node; `None` at a root and at what no pipe joins.
    parent: Vec<Option<u32>>,
    /// Source that a node's heads are counted from, per node: the first of its part.
    reference: Vec<Option<u32>>,
    /// Nodes that a source reaches, nearest first: each after the one its water comes from.
    order: Vec<u32>,
    sources: Vec<u32>,
    meshed: bool,
    elevations_and_valves: bool,
    volume_m3: f64,
}

/// Friction factor of a rough pipe in turbulent flow, where bursts live; water velocity changes it little.
const FRICTION: f64 = 0.02;
const MEAN_DENSITY_KG_M3: f64 = 975.0;
/// Where a table has no diameter or length: DN 150 and 50 m only scale candidates against each other.
const DEFAULT_DIAMETER_M: f64 = 0.15;
const DEFAULT_LENGTH_M: f64 = 50.0;

impl Topology {
    pub(crate) fn new(network: &NetworkId, plant: &PlantModel) -> Self {
        // Steam in its pipes obeys other laws than water.
        let circuits: Vec<_> = primaries(network, plant, Medium::Water).map(|circuit| &circuit.id).collect();
        let mut topology = Self::default();
        let mut by_ends: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        let mut pipe_trench: BTreeMap<&PipeId, u32> = BTreeMap::new();
        for pipe in plant.pipes.iter().filter(|pipe| circuits.contains(&&pipe.circuit)) {
            let (from, to) = (topology.intern(&pipe.from), topology.intern(&pipe.to));
            let ends = (from.min(to), from.max(to));
            let next =
                u32::try_from(topology.trenches.len()).expect("a plant table has fewer rows than 2^32");
            let free = by_ends.get(&ends).copied().filter(|&index| {
                let trench = &topology.trenches[index as usize];
                match pipe.side.unwrap_or(Side::Supply) {
                    Side::Supply => trench.supply.is_none(),
                    Side::Return => trench.back.is_none(),
                }
            });
            let index = free.unwrap_or(next);
            if index == next {
                let length_m = pipe.length_m.unwrap_or(DEFAULT_LENGTH_M).max(0.1);
                let diameter_m = pipe.inner_diameter_mm.map_or(DEFAULT_DIAMETER_M, |mm| mm / 1e3).max(0.01);
                topology.trenches.push(Trench {
                    upper: ends.0,
                    lower: ends.1,
                    length_m,
                    diameter_m,
                    resistance: resistance(length_m, diameter_m, pipe.roughness_mm),
                    laid_year: pipe.laid_year,
                    ..Trench::default()
                });
                by_ends.insert(ends, next);
            }
            if let Some((length_m, mm)) = pipe.length_m.zip(pipe.inner_diameter_mm) {
                topology.volume_m3 += length_m * std::f64::consts::PI / 4.0 * (mm / 1e3).powi(2);
            }
            let trench = &mut topology.trenches[index as usize];
            match pipe.side.unwrap_or(Side::Supply) {
                Side::Supply => trench.supply = Some(pipe.id.clone()),
                Side::Return => trench.back = Some(pipe.id.clone()),
            }
            pipe_trench.insert(&pipe.id, index);
        }
        for valve in &plant.valves {
            let Some(&trench) = pipe_trench.get(&valve.pipe) else { continue };
            let chamber = valve
                .chamber
                .as_ref()
                .and_then(|chamber| plant.sites.iter().find(|site| site.id == *chamber)?.node.as_ref());
            let at = chamber.and_then(|node| topology.node(node));
            let trench = &mut topology.trenches[trench as usize];
            trench.is_closed |= valve.normal_state == Some(ValveState::Closed);
            if valve.operable != Some(false) {
                let at = at.filter(|node| [trench.upper, trench.lower].contains(node));
                trench.valves.push(Valve { id: valve.id.clone(), at });
            }
        }
        topology.sources = plant
            .sites
            .iter()
            .filter(|site| site.kind == Some(SiteKind::Source))
            .filter(|site| site.network.as_ref().is_none_or(|of| of == network))
            .filter_map(|site| site.node.as_ref().and_then(|node| topology.node(node)))
            .collect();
        topology.find_ways();
        topology.elevations_m = vec![None; topology.nodes.len()];
        for node in &plant.nodes {
            if let Some(index) = topology.node(&node.id) {
                topology.elevations_m[index as usize] = node.elevation_m;
            }
        }
        topology.elevations_and_valves = !topology.trenches.is_empty()
            && topology.trenches.iter().any(|trench| !trench.valves.is_empty())
            && plant
                .nodes
                .iter()
                .any(|node| topology.nodes.contains_key(&node.id) && node.elevation_m.is_some());
        topology
    }

    fn intern(&mut self, node: &NodeId) -> u32 {
        let next = u32::try_from(self.nodes.len()).expect("a plant table has fewer rows than 2^32");
        *self.nodes.entry(node.clone()).or_insert(next)
    }

    /// Shortest paths by resistance from all sources at once (Dijkstra), ties by index.
    fn find_ways(&mut self) {
        let count = self.nodes.len();
        let around = self.around();
        self.parent = vec![None; count];
        let (mut distance, mut done) = (vec![f64::INFINITY; count], vec![false; count]);
        let mut queue = BinaryHeap::new();
        for &source in &self.sources {
            distance[source as usize] = 0.0;
            queue.push(Reverse((0_u64, source)));
        }
        while let Some(Reverse((bits, node))) = queue.pop() {
            // Non-negative floats order as their bits.
            let so_far = f64::from_bits(bits);
            if so_far > distance[node as usize] || std::mem::replace(&mut done[node as usize], true) {
                continue;
            }
            self.order.push(node);
            for &index in &around[node as usize] {
                let trench = &self.trenches[index as usize];
                let other = if trench.upper == node { trench.lower } else { trench.upper };
                let through = so_far + trench.resistance;
                if through < distance[other as usize] {
                    distance[other as usize] = through;
                    self.parent[other as usize] = Some(index);
                    queue.push(Reverse((through.to_bits(), other)));
                }
            }
        }
        for (index, trench) in (0_u32..).zip(&mut self.trenches) {
            let is_way_to = |node: u32| self.parent[node as usize] == Some(index);
            let nearer = distance[trench.lower as usize] < distance[trench.upper as usize];
            if is_way_to(trench.upper) || (nearer && !is_way_to(trench.lower)) {
                std::mem::swap(&mut trench.upper, &mut trench.lower);
            }
        }
        self.find_references(&around);
    }

    /// Parts that are joined, whatever source feeds them; more than one source or a loop makes a mesh.
    fn find_references(&mut self, around: &[Vec<u32>]) {
        self.reference = vec![None; self.nodes.len()];
        for &source in &self.sources {
            if self.reference[source as usize].is_some() {
                continue;
            }
            self.reference[source as usize] = Some(source);
            let mut stack = vec![source];
            while let Some(node) = stack.pop() {
                for &index in &around[node as usize] {
                    let trench = &self.trenches[index as usize];
                    self.meshed |= !self.is_in_tree(index);
                    let other = if trench.upper == node { trench.lower } else { trench.upper };
                    if self.reference[other as usize].is_none() {
                        self.reference[other as usize] = Some(source);
                        stack.push(other);
                    }
                }
            }
        }
    }

    /// Trenches that meet at each node, but for those that a normally closed valve parts.
    pub(crate) fn around(&self) -> Vec<Vec<u32>> {
        let mut around: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        for (index, trench) in (0_u32..).zip(&self.trenches).filter(|(_, trench)| !trench.is_closed) {
            around[trench.upper as usize].push(index);
            around[trench.lower as usize].push(index);
        }
        around
    }

    /// Elevation of a node, m; `None` where the plant model does not say.
    pub(crate) fn elevation_m(&self, node: u32) -> Option<f64> {
        self.elevations_m.get(node as usize).copied().flatten()
    }

    /// Whether the plant model says how high any node lies.
    pub(crate) fn has_elevations(&self) -> bool {
        self.elevations_m.iter().any(Option::is_some)
    }

    pub(crate) fn node(&self, id: &NodeId) -> Option<u32> {
        self.nodes.get(id).copied()
    }

    /// Water in the pipes whose length and diameter are known; `None` where there are none.
    pub(crate) fn volume_m3(&self) -> Option<f64> {
        (self.volume_m3 > 0.0).then_some(self.volume_m3)
    }

    /// Number of nodes.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn has_pipes(&self) -> bool {
        self.parent.iter().any(Option::is_some)
    }

    pub(crate) const fn has_elevations_and_valves(&self) -> bool {
        self.elevations_and_valves
    }

    /// Whether water reaches some node in more than one way, or from more than one source.
    pub(crate) const fn is_meshed(&self) -> bool {
        self.meshed
    }

    /// Source that the heads of a node are counted from; `None` where no source reaches it.
    pub(crate) fn reference(&self, node: u32) -> Option<u32> {
        self.reference[node as usize]
    }

    /// Whether a source's water stands in the trench.
    pub(crate) fn is_fed(&self, trench: u32) -> bool {
        self.reference[self.trenches[trench as usize].upper as usize].is_some()
    }

    /// Nodes that a source reaches, each after the one its water comes from.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Trench towards the source.
    pub(crate) fn parent(&self, node: u32) -> Option<u32> {
        self.parent[node as usize]
    }

    /// Trenches from a node up to its source.
    pub(crate) fn path(&self, mut node: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::from_fn(move || {
            let index = self.parent(node)?;
            node = self.trenches[index as usize].upper;
            Some(index)
        })
    }

    /// Whether the trench joins its lower node to the source, so that water reaches that node through it.
    pub(crate) fn is_in_tree(&self, trench: u32) -> bool {
        self.parent[self.trenches[trench as usize].lower as usize] == Some(trench)
    }
}

/// Darcy-Weisbach with Haaland's fully rough limit where the roughness is known.
fn resistance(length_m: f64, diameter_m: f64, roughness_mm: Option<f64>) -> f64 {
    let friction = roughness_mm.filter(|mm| *mm > 0.0).map_or(FRICTION, |mm| {
        let relative = mm / 1e3 / diameter_m;
        // Finite Reynolds number of 2e5 keeps smooth pipes from looking too smooth.
        let inverse_root = -1.8 * ((relative / 3.7).powf(1.11) + 6.9 / 2e5).log10();
        1.0 / (inverse_root * inverse_root)
    });
    let area = std::f64::consts::PI / 4.0 * diameter_m * diameter_m;
    friction * length_m / diameter_m / (2.0 * MEAN_DENSITY_KG_M3 * area * area)
}

#[cfg(test)]
mod tests;
