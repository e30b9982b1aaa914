//! A circuit of the plant tables as a rooted tree.
//!
//! A trench is the pair of nodes that a supply and a return pipe join; either may be missing in the tables. The
//! direction of `from` and `to` says nothing. The root is the node of the network's source.

use std::collections::BTreeMap;

use heat_model::{
    CircuitId, NodeId, PipeId, SiteId,
    plant::{Pipe, PlantModel, Side, SiteKind},
};

use crate::tree::{RootedTree, TreeError};

/// Why a circuit cannot be seen as a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlantTreeError {
    /// The tables have no such circuit.
    #[error("circuit {0} is not in the table of circuits")]
    NoSuchCircuit(CircuitId),
    /// The circuit has no pipes.
    #[error("circuit {0} has no pipes")]
    NoPipes(CircuitId),
    /// No source stands at a node of the circuit's pipes.
    #[error("circuit {0} has no site of kind source at a node of its pipes")]
    NoSource(CircuitId),
    /// The pipes form no tree.
    #[error("circuit {circuit}, node {node}: {fault}")]
    NotATree {
        /// The circuit.
        circuit: CircuitId,
        /// The node named by the fault.
        node: NodeId,
        /// What is wrong.
        fault: TreeError,
    },
}

/// The pipes of a trench.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trench {
    /// Supply pipe; also the pipe without a side.
    pub supply: Option<PipeId>,
    /// Return pipe.
    pub back: Option<PipeId>,
    /// Length, m, where the tables have it.
    pub length_m: Option<f64>,
}

/// A circuit as a tree of trenches; a trench has the number of its node away from the source.
#[derive(Debug, Clone)]
pub struct NetworkTree {
    /// The tree.
    pub tree: RootedTree,
    /// The nodes' ids.
    pub nodes: Vec<NodeId>,
    /// The trench of each node; at the root an empty one.
    pub trenches: Vec<Trench>,
    /// Stations, chambers and the source with the node they stand at, in the order of the table.
    pub sites: Vec<(SiteId, SiteKind, usize)>,
    pipes: BTreeMap<PipeId, (usize, Side)>,
}

impl NetworkTree {
    /// Builds the tree of a circuit.
    pub fn from_plant(plant: &PlantModel, circuit: &CircuitId) -> Result<Self, PlantTreeError> {
        let row = plant.circuits.iter().find(|row| row.id == *circuit);
        let network = &row.ok_or_else(|| PlantTreeError::NoSuchCircuit(circuit.clone()))?.network;
        let pipes: Vec<&Pipe> = plant.pipes.iter().filter(|pipe| pipe.circuit == *circuit).collect();
        let mut numbers: BTreeMap<&NodeId, usize> = BTreeMap::new();
        for pipe in &pipes {
            for node in [&pipe.from, &pipe.to] {
                let next = numbers.len();
                numbers.entry(node).or_insert(next);
            }
        }
        if pipes.is_empty() {
            return Err(PlantTreeError::NoPipes(circuit.clone()));
        }
        let mut nodes: Vec<(usize, NodeId)> =
            numbers.iter().map(|(id, &number)| (number, (*id).clone())).collect();
        nodes.sort_unstable();
        let nodes: Vec<NodeId> = nodes.into_iter().map(|(_, id)| id).collect();

        // The same node ids may stand in several networks.
        let of_network =
            |site: &&heat_model::plant::Site| site.network.as_ref().is_none_or(|id| id == network);
        let sites: Vec<(SiteId, SiteKind, usize)> = plant
            .sites
            .iter()
            .filter(of_network)
            .filter_map(|site| Some((site.id.clone(), site.kind?, *numbers.get(site.node.as_ref()?)?)))
            .collect();
        let root = sites.iter().find(|(_, kind, _)| *kind == SiteKind::Source).map(|&(_, _, node)| node);
        let root = root.ok_or_else(|| PlantTreeError::NoSource(circuit.clone()))?;

        let mut edges: BTreeMap<(usize, usize), Trench> = BTreeMap::new();
        for pipe in &pipes {
            let (a, b) = (numbers[&pipe.from], numbers[&pipe.to]);
            let trench = edges.entry((a.min(b), a.max(b))).or_default();
            trench.length_m = trench.length_m.or(pipe.length_m);
            match pipe.side {
                Some(Side::Return) => trench.back = Some(pipe.id.clone()),
                Some(Side::Supply) | None => trench.supply = Some(pipe.id.clone()),
            }
        }
        let ends: Vec<(usize, usize)> = edges.keys().copied().collect();
        let tree = RootedTree::new(nodes.len(), root, &ends).map_err(|fault| {
            let (TreeError::Mesh { node }
            | TreeError::Unconnected { node }
            | TreeError::NoSuchNode { node, .. }) = fault;
            PlantTreeError::NotATree { circuit: circuit.clone(), node: nodes[node].clone(), fault }
        })?;

        let mut trenches = vec![Trench::default(); nodes.len()];
        let mut by_pipe = BTreeMap::new();
        for ((a, b), trench) in edges {
            let lower = if tree.parent(a) == Some(b) { a } else { b };
            by_pipe.extend(trench.supply.clone().map(|id| (id, (lower, Side::Supply))));
            by_pipe.extend(trench.back.clone().map(|id| (id, (lower, Side::Return))));
            trenches[lower] = trench;
        }
        Ok(Self { tree, nodes, trenches, sites, pipes: by_pipe })
    }

    /// The trench (by lower node) and side of a pipe.
    pub fn trench_of(&self, pipe: &PipeId) -> Option<(usize, Side)> {
        self.pipes.get(pipe).copied()
    }

    /// The node of a site.
    pub fn node_of(&self, site: &SiteId) -> Option<usize> {
        self.sites.iter().find(|(id, _, _)| id == site).map(|&(_, _, node)| node)
    }

    /// Stations behind a trench, in the order of the table.
    pub fn stations_behind(&self, trench: usize) -> impl Iterator<Item = &SiteId> {
        self.sites.iter().filter_map(move |(id, kind, node)| {
            (*kind == SiteKind::Station && self.tree.is_behind(*node, trench)).then_some(id)
        })
    }

    /// The trench of the smallest branch that holds all these sites; `None` if none of them is known.
    pub fn smallest_branch(&self, sites: &[SiteId]) -> Option<usize> {
        let nodes: Vec<usize> = sites.iter().filter_map(|site| self.node_of(site)).collect();
        self.tree.smallest_branch(&nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant() -> PlantModel {
        let text = serde_json::json!({
            "circuits": [{"id": "p", "network": "n"}],
            "sites": [
                {"id": "source", "kind": "source", "node": "A"},
                {"id": "st1", "kind": "station", "node": "C"},
                {"id": "st2", "kind": "station", "node": "D"},
                {"id": "elsewhere", "network": "other", "kind": "source", "node": "D"}
            ],
            "pipes": [
                {"id": "P1s", "circuit": "p", "from": "B", "to": "A", "side": "supply", "length_m": 10.0},
                {"id": "P1r", "circuit": "p", "from": "A", "to": "B", "side": "return"},
                {"id": "P2s", "circuit": "p", "from": "B", "to": "C", "side": "supply"},
                {"id": "P3s", "circuit": "p", "from": "B", "to": "D", "side": "supply"}
            ]
        });
        serde_json::from_value(text).unwrap()
    }

    fn circuit() -> CircuitId {
        CircuitId::new("p").unwrap()
    }

    #[test]
    fn a_pipe_finds_its_trench_side_and_the_stations_behind_it() {
        let tree = NetworkTree::from_plant(&plant(), &circuit()).unwrap();

        let (trench, side) = tree.trench_of(&PipeId::new("P1r").unwrap()).unwrap();
        assert_eq!(side, Side::Return);
        assert_eq!(tree.trenches[trench].supply.as_ref().unwrap().as_str(), "P1s");
        assert_eq!(tree.stations_behind(trench).map(SiteId::as_str).collect::<Vec<_>>(), ["st1", "st2"]);
        let both = [SiteId::new("st1").unwrap(), SiteId::new("st2").unwrap()];
        assert_eq!(tree.smallest_branch(&both), Some(trench));
        assert_ne!(tree.smallest_branch(&both[..1]), Some(trench));
    }

    #[test]
    fn a_mesh_names_its_node_and_a_missing_source_is_said() {
        let mut mesh = plant();
        let mut ring = mesh.pipes[3].clone();
        ring.id = PipeId::new("P4s").unwrap();
        ring.from = NodeId::new("C").unwrap();
        mesh.pipes.push(ring);
        assert!(matches!(
            NetworkTree::from_plant(&mesh, &circuit()),
            Err(PlantTreeError::NotATree { fault: TreeError::Mesh { .. }, .. })
        ));

        let mut headless = plant();
        headless.sites.remove(0);
        assert!(matches!(NetworkTree::from_plant(&headless, &circuit()), Err(PlantTreeError::NoSource(_))));
    }
}
