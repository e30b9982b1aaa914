//! Flows and heads of the trenches from what the stations take: path sums in a tree, the solver in a mesh.

use heat_hydraulics::{
    network::{Element, Network, Water},
    pipe::Resistance,
    solver::{Linear, Solver, State},
};

use super::{Topology, Trench};

/// Temperature of the water whose weight does not matter here: heads are counted without elevations, degC.
const CELSIUS: f64 = 65.0;
/// Least resistance of a trench in the solver, Pa/(kg/s)2.
const RESISTANCE_MIN: f64 = 1e-6;
/// Part of a loss of water that one way typically carries, for the slope of ways at rest.
const LOSS_PART: f64 = 0.3;

/// Slope of a trench's loss of head, as far as a loss of water of this size sees it: where little flows, the loss itself
/// sets it. Pa s/kg.
pub(crate) fn slope(resistance: f64, flow_kg_s: f64, loss_kg_s: f64) -> f64 {
    2.0 * resistance.max(RESISTANCE_MIN) * flow_kg_s.hypot(LOSS_PART * loss_kg_s)
}

/// What a moment's flows do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// Flow of every trench from its upper to its lower node, kg/s.
    pub(crate) flows: Vec<f64>,
    /// Head lost from the reference source to every node, Pa.
    pub(crate) heads: Vec<f64>,
}

impl Topology {
    /// The supply side's picture; the return's is its mirror. `takes` is what stations take at nodes, `gives` what
    /// sources give at nodes, for networks with several; the first source of a part gives the rest. `None` where the
    /// solver finds no solution.
    pub(crate) fn picture(&self, takes: &[(u32, f64)], gives: &[(u32, f64)]) -> Option<Picture> {
        if !self.meshed {
            return Some(self.tree_picture(takes));
        }
        let mut mesh = Mesh::new(self)?;
        for (node, flow) in
            takes.iter().map(|&(node, flow)| (node, flow)).chain(gives.iter().map(|g| (g.0, -g.1)))
        {
            mesh.add_demand(self, node, flow);
        }
        let state = mesh.solver.solve(None).ok()?;
        let mut picture = Picture { flows: vec![0.0; self.trenches.len()], heads: vec![0.0; self.nodes()] };
        for (trench, flow) in mesh.trenches.iter().zip(&state.flows_kg_s) {
            picture.flows[*trench as usize] = *flow;
        }
        for (head, number) in picture.heads.iter_mut().zip(&mesh.numbers) {
            *head = number.map_or(0.0, |number| -state.pressures_pa[number]);
        }
        Some(picture)
    }

    /// What the trenches carry away from a node more than they bring, kg/s.
    pub(crate) fn outflow(&self, node: u32, flows: &[f64]) -> f64 {
        let away = |trench: &Trench, flow: f64| match node {
            node if trench.upper == node => flow,
            node if trench.lower == node => -flow,
            _ => 0.0,
        };
        self.trenches.iter().zip(flows).map(|(trench, flow)| away(trench, *flow)).sum()
    }

    /// By how much more head is lost to some nodes, Pa, where this much more (kg/s) is taken at a node than these flows bring
    /// it, for every node; nothing for a node at which it cannot be taken. `None` where these flows have no solution.
    pub(crate) fn heads_grown(&self, flows: &[f64], taken_kg_s: f64, to: &[u32]) -> Option<Vec<Vec<f64>>> {
        let mut mesh = Mesh::new(self)?;
        let nodes = u32::try_from(self.nodes()).expect("node indexes are u32");
        for node in 0..nodes {
            mesh.add_demand(self, node, -self.outflow(node, flows));
        }
        let sound = mesh.solver.solve(None).ok()?;
        let mut grown = Vec::with_capacity(self.nodes());
        for node in 0..nodes {
            if self.reference(node).is_none_or(|reference| reference == node) {
                grown.push(vec![0.0; to.len()]);
                continue;
            }
            mesh.add_demand(self, node, taken_kg_s);
            let broken = mesh.solver.solve(Some(&sound));
            mesh.add_demand(self, node, -taken_kg_s);
            // One place without a solution must not silence what the gauges say of all others.
            let fall = |number: usize| {
                broken.as_ref().map_or(0.0, |broken| sound.pressures_pa[number] - broken.pressures_pa[number])
            };
            grown.push(to.iter().map(|&at| mesh.numbers[at as usize].map_or(0.0, fall)).collect());
        }
        Some(grown)
    }

    fn tree_picture(&self, takes: &[(u32, f64)]) -> Picture {
        let mut through = vec![0.0; self.nodes()];
        for &(node, flow) in takes {
            through[node as usize] += flow;
        }
        let mut picture = Picture { flows: vec![0.0; self.trenches.len()], heads: vec![0.0; self.nodes()] };
        for &node in self.order.iter().rev() {
            if let Some(index) = self.parent(node) {
                let flow = through[node as usize];
                picture.flows[index as usize] = flow;
                through[self.trenches[index as usize].upper as usize] += flow;
            }
        }
        for &node in &self.order {
            if let Some(index) = self.parent(node) {
                let (trench, flow) = (&self.trenches[index as usize], picture.flows[index as usize]);
                let loss = trench.resistance * flow * flow.abs();
                picture.heads[node as usize] = picture.heads[trench.upper as usize] + loss;
            }
        }
        picture
    }
}

/// The fed part of a meshed network, for the solver.
#[derive(Debug)]
pub(crate) struct Mesh {
    solver: Solver,
    /// Solver's number of every node.
    numbers: Vec<Option<usize>>,
    /// Trench of every link.
    trenches: Vec<u32>,
}

impl Mesh {
    pub(crate) fn new(topology: &Topology) -> Option<Self> {
        let mut network = Network::default();
        let numbers: Vec<Option<usize>> = (0_u32..)
            .zip(&topology.reference)
            .map(|(node, reference)| {
                (*reference).map(|source| {
                    if source == node { network.add_held_node(0.0, 0.0) } else { network.add_node(0.0) }
                })
            })
            .collect();
        let mut trenches = Vec::new();
        let water = Water::at_celsius(CELSIUS);
        for (index, trench) in (0_u32..).zip(&topology.trenches).filter(|(_, trench)| !trench.is_closed) {
            if let (Some(upper), Some(lower)) =
                (numbers[trench.upper as usize], numbers[trench.lower as usize])
            {
                let resistance = Resistance { pa_s2_kg2: trench.resistance.max(RESISTANCE_MIN) };
                network.add_link(upper, lower, Element::Resistance(resistance), water);
                trenches.push(index);
            }
        }
        Some(Self { solver: Solver::new(network).ok()?, numbers, trenches })
    }

    /// Something more is taken at a node; what a reference source gives follows from the rest.
    fn add_demand(&mut self, topology: &Topology, node: u32, flow: f64) {
        if let Some(number) = self.numbers[node as usize]
            && topology.reference(node) != Some(node)
        {
            let demand = self.solver.network().demand(number) + flow;
            self.solver.network_mut().set_demand(number, demand);
        }
    }

    /// Made linear around the flows of the trenches, with the [`slope`] of each.
    pub(crate) fn linear(&mut self, flows: &[f64], loss_kg_s: f64) -> Option<Responses<'_>> {
        let flows_kg_s =
            self.trenches.iter().map(|trench| flows[*trench as usize].hypot(LOSS_PART * loss_kg_s)).collect();
        let pressures_pa = vec![0.0; self.solver.network().nodes()];
        let state = State { pressures_pa, flows_kg_s, steps: 0, residual_pa: 0.0 };
        Some(Responses { linear: self.solver.linear(&state).ok()?, numbers: &self.numbers })
    }
}

/// How pressures answer to water taken out.
#[derive(Debug)]
pub(crate) struct Responses<'a> {
    linear: Linear<'a>,
    numbers: &'a [Option<usize>],
}

impl Responses<'_> {
    /// Fall of every node's pressure per kg/s taken at a node, Pa s/kg; as well the fall of this one's for every other.
    pub(crate) fn falls(&mut self, node: u32) -> Vec<f64> {
        let Some(number) = self.numbers[node as usize] else { return vec![0.0; self.numbers.len()] };
        let falls = self.linear.falls_pa_s_kg(number);
        self.numbers.iter().map(|number| number.map_or(0.0, |number| falls[number])).collect()
    }
}
