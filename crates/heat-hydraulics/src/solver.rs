//! Steady state of a [`Network`]: the global gradient algorithm (Todini & Pilati, 1988), which is Newton's method on
//! flows and pressures together, with the flows eliminated.
//!
//! Each step solves one symmetric positive definite system over the nodes whose pressure is not held, by a sparse
//! factorisation `L D L'`. Which numbers of it can be non-zero depends on which nodes are joined alone, so the fill-reducing
//! order is found once, in [`Solver::new`]. After each step the flows balance at every node to rounding; what is left
//! to converge are the losses along the links.
//!
//! The same factorisation gives sensitivities: how far every pressure falls where a kilogram a second more is taken
//! ([`Linear`]).

mod matrix;

use crate::network::{Link, Network};
use matrix::Matrix;

/// Why a network has no solution.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SolveError {
    /// No node has a held pressure.
    #[error("no pressure is held at any node: hold the static pressure at one, or at a source")]
    NoReference,
    /// A part of the network is cut off from all held pressures.
    #[error(
        "{nodes} nodes, node {node} among them, are joined by no open link to a node with held pressure: open a valve or leave them out"
    )]
    Island {
        /// The first of them.
        node: usize,
        /// How many.
        nodes: usize,
    },
    /// A number is not finite or cannot be.
    #[error("{what} of number {index} is not a usable number")]
    NotUsable {
        /// What: a demand, a pressure, a link.
        what: &'static str,
        /// Its number.
        index: usize,
    },
    /// The system could not be factorised.
    #[error("the equations are singular at step {step}: conductances differ too much")]
    Singular {
        /// Step of the iteration.
        step: usize,
    },
    /// The iteration did not end.
    #[error("not converged after {steps} steps: link {link} is still {worst_pa:.1} Pa off")]
    NotConverged {
        /// Steps done.
        steps: usize,
        /// Link with the worst residual.
        link: usize,
        /// Its residual, Pa.
        worst_pa: f64,
    },
}

/// Steady pressures and flows.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Pressure of every node, Pa gauge.
    pub pressures_pa: Vec<f64>,
    /// Flow of every link from its first to its second node, kg/s; 0 where closed.
    pub flows_kg_s: Vec<f64>,
    /// Steps of the iteration.
    pub steps: usize,
    /// Largest difference, over the open links, between the pressure lost and the loss of the flow, Pa.
    pub residual_pa: f64,
}

/// Largest residual of a link, Pa: 0.01 mm of water.
const TOLERANCE_PA: f64 = 0.1;
/// And largest change of a flow in the last step, as a share of the largest flow.
const TOLERANCE_SHARE: f64 = 1e-6;
const STEPS_MAX: usize = 100;
/// From this step on only part of each is taken: what still alternates settles.
const DAMPED_FROM: usize = 25;
const DAMPING: f64 = 0.6;

/// Solves one network again and again.
#[derive(Debug)]
pub struct Solver {
    network: Network,
    matrix: Matrix,
    /// Per link: what its loss and slope are at the flow in hand.
    conductances: Vec<f64>,
    constants: Vec<f64>,
    rhs: Vec<f64>,
}

impl Solver {
    /// Takes a network; finds the order of elimination.
    pub fn new(network: Network) -> Result<Self, SolveError> {
        if network.nodes.iter().all(|node| node.held_pa.is_none()) {
            return Err(SolveError::NoReference);
        }
        let ends: Vec<(usize, usize)> = network.links.iter().map(|link| (link.from, link.to)).collect();
        let held: Vec<bool> = network.nodes.iter().map(|node| node.held_pa.is_some()).collect();
        let matrix = Matrix::new(&held, &ends);
        let (links, free) = (network.links.len(), matrix.free());
        Ok(Self {
            network,
            matrix,
            conductances: vec![0.0; links],
            constants: vec![0.0; links],
            rhs: vec![0.0; free],
        })
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Changes demands, pressures and what is open. Nodes or links added here are an error of the caller: make a new
    /// solver for them.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Solves, from a state near the solution where one is known.
    pub fn solve(&mut self, start: Option<&State>) -> Result<State, SolveError> {
        assert_eq!(self.network.links.len(), self.conductances.len(), "a solver keeps its links");
        self.check()?;
        let mut state = self.first(start);
        for step in 1..=STEPS_MAX {
            self.linearise(&state.flows_kg_s);
            if !self.matrix.factorise(&self.conductances) {
                return Err(SolveError::Singular { step });
            }
            let change = self.advance(&mut state, if step < DAMPED_FROM { 1.0 } else { DAMPING });
            let (link, worst_pa) = self.worst(&state);
            state.steps = step;
            state.residual_pa = worst_pa;
            if !worst_pa.is_finite() {
                return Err(SolveError::Singular { step });
            }
            if worst_pa <= TOLERANCE_PA && change <= TOLERANCE_SHARE {
                return Ok(state);
            }
            if step == STEPS_MAX {
                return Err(SolveError::NotConverged { steps: step, link, worst_pa });
            }
        }
        unreachable!("the last step returns")
    }

    /// The network made linear around a state: for sensitivities.
    pub fn linear(&mut self, state: &State) -> Result<Linear<'_>, SolveError> {
        self.linearise(&state.flows_kg_s);
        if !self.matrix.factorise(&self.conductances) {
            return Err(SolveError::Singular { step: state.steps });
        }
        Ok(Linear { solver: self })
    }

    fn check(&self) -> Result<(), SolveError> {
        let Network { nodes, links } = &self.network;
        let bad = nodes.iter().position(|node| !node.demand_kg_s.is_finite());
        if let Some(index) = bad {
            return Err(SolveError::NotUsable { what: "the demand at the node", index });
        }
        let bad = nodes.iter().position(|node| !node.held_pa.unwrap_or(0.0).is_finite());
        if let Some(index) = bad {
            return Err(SolveError::NotUsable { what: "the pressure of the node", index });
        }
        let usable = |link: &Link| {
            let (loss, slope) = link.element.loss_and_slope(1.0, link.water);
            loss.is_finite() && slope.is_finite() && slope > 0.0
        };
        if let Some(index) = links.iter().position(|link| !usable(link)) {
            return Err(SolveError::NotUsable { what: "the loss of the link", index });
        }
        self.find_islands()
    }

    fn find_islands(&self) -> Result<(), SolveError> {
        let Network { nodes, links } = &self.network;
        let mut reached: Vec<bool> = nodes.iter().map(|node| node.held_pa.is_some()).collect();
        let mut around: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for link in links.iter().filter(|link| link.is_open) {
            around[link.from].push(link.to);
            around[link.to].push(link.from);
        }
        let mut stack: Vec<usize> = (0..nodes.len()).filter(|&node| reached[node]).collect();
        while let Some(node) = stack.pop() {
            for &next in &around[node] {
                if !std::mem::replace(&mut reached[next], true) {
                    stack.push(next);
                }
            }
        }
        let lost = reached.iter().filter(|reached| !**reached).count();
        match reached.iter().position(|reached| !reached) {
            Some(node) => Err(SolveError::Island { node, nodes: lost }),
            None => Ok(()),
        }
    }

    fn first(&self, start: Option<&State>) -> State {
        let Network { nodes, links } = &self.network;
        let known = start.filter(|state| state.flows_kg_s.len() == links.len());
        let flow = |(index, link): (usize, &Link)| match known {
            // A link that was closed has no flow to begin with.
            Some(state) if state.flows_kg_s[index].abs() > 0.0 => state.flows_kg_s[index],
            Some(_) | None => link.element.first_flow(link.water),
        };
        State {
            pressures_pa: nodes.iter().map(|node| node.held_pa.unwrap_or(0.0)).collect(),
            flows_kg_s: links
                .iter()
                .enumerate()
                .map(|(index, link)| if link.is_open { flow((index, link)) } else { 0.0 })
                .collect(),
            steps: 0,
            residual_pa: f64::INFINITY,
        }
    }

    fn linearise(&mut self, flows: &[f64]) {
        let Network { nodes, links } = &self.network;
        for (index, (link, flow)) in links.iter().zip(flows).enumerate() {
            let (conductance, constant) = if link.is_open {
                let (loss, slope) = link.element.loss_and_slope(*flow, link.water);
                let conductance = 1.0 / slope;
                (conductance, flow - conductance * (loss + link.lift_pa(nodes)))
            } else {
                (0.0, 0.0)
            };
            self.conductances[index] = conductance;
            self.constants[index] = constant;
        }
    }

    /// One step; the largest change of a flow as a share of the largest flow.
    fn advance(&mut self, state: &mut State, part: f64) -> f64 {
        let Network { nodes, links } = &self.network;
        let free = self.matrix.numbers();
        self.rhs.fill(0.0);
        for (node, number) in nodes.iter().zip(free) {
            if let Some(number) = *number {
                self.rhs[number] = -node.demand_kg_s;
            }
        }
        for (index, link) in links.iter().enumerate() {
            let (constant, conductance) = (self.constants[index], self.conductances[index]);
            if let Some(to) = free[link.to] {
                self.rhs[to] += constant + conductance * nodes[link.from].held_pa.unwrap_or(0.0);
            }
            if let Some(from) = free[link.from] {
                self.rhs[from] += conductance * nodes[link.to].held_pa.unwrap_or(0.0) - constant;
            }
        }
        self.matrix.solve(&mut self.rhs);
        for (pressure, number) in state.pressures_pa.iter_mut().zip(self.matrix.numbers()) {
            if let Some(number) = *number {
                *pressure = self.rhs[number];
            }
        }
        let (mut change, mut largest) = (0.0_f64, 1e-9_f64);
        for (index, link) in links.iter().enumerate() {
            let drop = state.pressures_pa[link.from] - state.pressures_pa[link.to];
            let next = self.constants[index] + self.conductances[index] * drop;
            let flow = &mut state.flows_kg_s[index];
            change = change.max((next - *flow).abs());
            *flow += part * (next - *flow);
            largest = largest.max(flow.abs());
        }
        change / largest
    }

    fn worst(&self, state: &State) -> (usize, f64) {
        let Network { nodes, links } = &self.network;
        let mut worst = (0, 0.0_f64);
        for (index, link) in links.iter().enumerate().filter(|(_, link)| link.is_open) {
            let (loss, _) = link.element.loss_and_slope(state.flows_kg_s[index], link.water);
            let drop = state.pressures_pa[link.from] - state.pressures_pa[link.to];
            let residual = (drop - loss - link.lift_pa(nodes)).abs();
            // Not a number counts as the worst there is.
            if residual > worst.1 || !residual.is_finite() {
                worst = (index, if residual.is_finite() { residual } else { f64::INFINITY });
            }
        }
        worst
    }
}

/// A network made linear around a state, factorised.
#[derive(Debug)]
pub struct Linear<'a> {
    solver: &'a mut Solver,
}

impl Linear<'_> {
    /// Fall of every node's pressure per kg/s more taken at `node`, Pa s/kg; by reciprocity as well the fall of this
    /// node's pressure per kg/s more taken at every node. Held nodes have 0.
    pub fn falls_pa_s_kg(&mut self, node: usize) -> Vec<f64> {
        let Solver { matrix, rhs, .. } = &mut *self.solver;
        rhs.fill(0.0);
        if let Some(number) = matrix.numbers()[node] {
            rhs[number] = 1.0;
            matrix.solve(rhs);
        }
        matrix.numbers().iter().map(|number| number.map_or(0.0, |number| rhs[number])).collect()
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
