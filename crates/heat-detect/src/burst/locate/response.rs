//! How far pressures fall where water is lost.
//!
//! Tree: the exact difference `sum K ((Q+q)^2 - Q^2)` on the part that a gauge's way shares with the way to the break. Mesh:
//! the solver's sensitivities say how the loss divides over the ways; in a network small enough each trench's loss of head is
//! then taken exactly at the flow so found, in a larger one the linear answer stands. Where several sources feed the mesh,
//! ways lie nearly at rest between them, and the loss turns their flow round: no straight line follows that, so a small
//! enough network is solved for a loss at every node.

use heat_model::plant::Side;

use super::Case;
use crate::topology::{
    Topology,
    flows::{Mesh, slope},
};

/// A mesh of up to this many nodes is judged from sensitivities of every node.
const EXACT_NODES_MAX: usize = 1_200;
/// A mesh of several sources and up to this many nodes is solved for a loss at every node: half a second's work.
const SOLVED_NODES_MAX: usize = 400;

/// A place to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) trench: u32,
    /// From 0 at the upper to 1 at the lower node.
    pub(crate) position: f64,
    pub(crate) loss_kg_s: f64,
}

/// Answers of one side's gauges.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    topology: &'a Topology,
    case: &'a Case,
    side: Side,
    gauges: &'a [u32],
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tree {
        /// Nodes from each gauge's source down to it.
        ways: Vec<Vec<u32>>,
        extra: Vec<f64>,
        marked: Vec<u32>,
        mark: u32,
    },
    /// Falls of all nodes per kg/s, by the node where it is lost; and room for one place's falls.
    Exact { columns: Vec<Vec<f64>>, linear: Vec<f64>, exact: Vec<f64> },
    /// Falls of the gauges by the node where the case's loss is; and per kg/s taken at the further sources.
    Solved { columns: Vec<Vec<f64>>, given: Vec<(u32, Vec<f64>)> },
    /// Falls per kg/s by gauge, of losses at all nodes.
    Linear { rows: Vec<Vec<f64>> },
}

impl<'a> Model<'a> {
    /// `None` where the solver has no answer.
    pub(crate) fn new(topology: &'a Topology, case: &'a Case, side: Side, gauges: &'a [u32]) -> Option<Self> {
        let kind = if topology.is_meshed() {
            let mut mesh = Mesh::new(topology)?;
            let mut responses = mesh.linear(&case.flows, case.loss_kg_s)?;
            if !case.given.is_empty() && topology.nodes() <= SOLVED_NODES_MAX {
                let at_gauges =
                    |falls: Vec<f64>| gauges.iter().map(|&gauge| falls[gauge as usize]).collect::<Vec<f64>>();
                let given =
                    case.given.iter().map(|&(node, _)| (node, at_gauges(responses.falls(node)))).collect();
                Kind::Solved { columns: solved(topology, case, side, gauges)?, given }
            } else if topology.nodes() <= EXACT_NODES_MAX {
                let nodes = u32::try_from(topology.nodes()).expect("node indexes are u32");
                let columns = (0..nodes).map(|node| responses.falls(node)).collect();
                let room = vec![0.0; topology.nodes()];
                Kind::Exact { columns, linear: room.clone(), exact: room }
            } else {
                Kind::Linear { rows: gauges.iter().map(|&gauge| responses.falls(gauge)).collect() }
            }
        } else {
            let ways = gauges.iter().map(|&gauge| way_to(topology, gauge)).collect();
            Kind::Tree {
                ways,
                extra: vec![0.0; topology.nodes()],
                marked: vec![0; topology.nodes()],
                mark: 0,
            }
        };
        Some(Self { topology, case, side, gauges, kind })
    }

    /// Fall of every gauge per kg/s taken at a node, Pa s/kg; `None` in a tree, where no source but the one gives.
    pub(crate) fn falls_per_kg_s(&self, node: u32) -> Option<Vec<f64>> {
        let node = node as usize;
        match &self.kind {
            Kind::Tree { .. } => None,
            Kind::Exact { columns, .. } => {
                Some(self.gauges.iter().map(|&gauge| columns[node][gauge as usize]).collect())
            }
            Kind::Solved { given, .. } => {
                given.iter().find(|(at, _)| *at as usize == node).map(|(_, falls)| falls.clone())
            }
            Kind::Linear { rows } => Some(rows.iter().map(|row| row[node]).collect()),
        }
    }

    /// Fall of every gauge, Pa, where this much is lost at this place.
    pub(crate) fn falls(&mut self, place: Place, falls: &mut [f64]) {
        let Self { topology, case, side, gauges, kind } = self;
        let trench = &topology.trenches[place.trench as usize];
        let (upper, lower) = (trench.upper as usize, trench.lower as usize);
        match kind {
            Kind::Tree { ways, extra, marked, mark } => {
                *mark += 1;
                mark_way(topology, case, *side, place, extra, marked, *mark);
                for (fall, way) in falls.iter_mut().zip(ways) {
                    // The common part of the two ways comes first.
                    let common = way.partition_point(|node| marked[*node as usize] == *mark);
                    *fall = common.checked_sub(1).map_or(0.0, |last| extra[way[last] as usize]);
                }
            }
            Kind::Exact { columns, linear, exact } => {
                let ends = columns[upper].iter().zip(&columns[lower]);
                for (fall, (near, far)) in linear.iter_mut().zip(ends) {
                    *fall = place.loss_kg_s * (near + place.position * (far - near));
                }
                make_exact(topology, case, *side, place.loss_kg_s, linear, exact);
                for (fall, &gauge) in falls.iter_mut().zip(*gauges) {
                    *fall = exact[gauge as usize];
                }
            }
            Kind::Solved { columns, .. } => {
                // Of a loss a little larger or smaller than the one that was solved.
                let scale = place.loss_kg_s / case.loss_kg_s.max(1e-9);
                let ends = columns[upper].iter().zip(&columns[lower]);
                for (fall, (near, far)) in falls.iter_mut().zip(ends) {
                    *fall = scale * (near + place.position * (far - near));
                }
            }
            Kind::Linear { rows } => {
                for (fall, row) in falls.iter_mut().zip(rows) {
                    *fall = place.loss_kg_s * (row[upper] + place.position * (row[lower] - row[upper]));
                }
            }
        }
    }
}

/// Falls of the gauges by the node where the case's loss is, Pa. A loss in the return is taken from what flows back, on the
/// same ways.
fn solved(topology: &Topology, case: &Case, side: Side, gauges: &[u32]) -> Option<Vec<Vec<f64>>> {
    let taken_kg_s = match side {
        Side::Supply => case.loss_kg_s,
        Side::Return => -case.loss_kg_s,
    };
    let mut columns = topology.heads_grown(&case.flows, taken_kg_s, gauges)?;
    if side == Side::Return {
        columns.iter_mut().flatten().for_each(|grown| *grown = -*grown);
    }
    Some(columns)
}

/// Extra loss of head of a trench whose flow towards its lower node changes by `more` on the supply side; on the return
/// side the same trench carries that much less.
fn change(resistance: f64, flow: f64, more: f64, side: Side) -> f64 {
    let loss = |flow: f64| resistance * flow * flow.abs();
    match side {
        Side::Supply => loss(flow + more) - loss(flow),
        Side::Return => loss(flow) - loss(flow - more),
    }
}

/// Extra fall at every node of the way from the source to the place, Pa.
fn mark_way(
    topology: &Topology,
    case: &Case,
    side: Side,
    place: Place,
    extra: &mut [f64],
    marked: &mut [u32],
    mark: u32,
) {
    let upper = topology.trenches[place.trench as usize].upper;
    let mut way: Vec<u32> = std::iter::once(place.trench).chain(topology.path(upper)).collect();
    way.reverse();
    let root = topology.trenches[way[0] as usize].upper as usize;
    (extra[root], marked[root]) = (0.0, mark);
    let mut sum = 0.0;
    for index in way {
        let trench = &topology.trenches[index as usize];
        let flow = case.flows[index as usize];
        let more = change(trench.resistance, flow, place.loss_kg_s, side);
        sum += if index == place.trench { place.position * more } else { more };
        // A closed trench ends at its valve: what lies beyond hangs on another way.
        if index != place.trench || topology.is_in_tree(index) {
            (extra[trench.lower as usize], marked[trench.lower as usize]) = (sum, mark);
        }
    }
}

/// Nodes from the source down to a node, both included.
fn way_to(topology: &Topology, node: u32) -> Vec<u32> {
    let mut way = vec![node];
    way.extend(topology.path(node).map(|trench| topology.trenches[trench as usize].upper));
    way.reverse();
    way
}

/// From the linear network's falls to those of the quadratic one: the changes of flow are kept, the heads follow along
/// the shortest ways.
fn make_exact(
    topology: &Topology,
    case: &Case,
    side: Side,
    loss_kg_s: f64,
    linear: &[f64],
    exact: &mut [f64],
) {
    exact.copy_from_slice(linear);
    for &node in topology.order() {
        let Some(index) = topology.parent(node) else { continue };
        let trench = &topology.trenches[index as usize];
        let (upper, flow) = (trench.upper as usize, case.flows[index as usize]);
        let more = (linear[node as usize] - linear[upper]) / slope(trench.resistance, flow, loss_kg_s);
        exact[node as usize] = exact[upper] + change(trench.resistance, flow, more, side);
    }
}
