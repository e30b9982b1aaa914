//! Rooted trees: path and branch queries, and networks solved in closed form.
//!
//! Every node but the root has one edge, to its parent; an edge is named by its lower node. Sums over subtrees (flows)
//! and along paths (heads) are one pass each.

use crate::pipe::Resistance;

/// Why the edges make no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A node's number is not below the number of nodes.
    #[error("an edge or the root names node {node} of {nodes}")]
    NoSuchNode {
        /// The node.
        node: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The edges close a ring: a mesh, not a tree.
    #[error("node {node} is reached twice from the root: the network has a mesh")]
    Mesh {
        /// A node of the ring.
        node: usize,
    },
    /// Some nodes cannot be reached from the root.
    #[error("node {node} is not connected to the root")]
    Unconnected {
        /// The first such node.
        node: usize,
    },
}

/// A tree over nodes `0..len`, with one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootedTree {
    /// Parent of each node; of the root, itself.
    parents: Vec<usize>,
    /// Nodes, each before its children, each subtree in one run.
    order: Vec<usize>,
    /// Where a node stands in `order`.
    places: Vec<usize>,
    /// End of the node's run in `order`.
    ends: Vec<usize>,
}

impl RootedTree {
    /// Builds the tree of `nodes` nodes from undirected edges.
    pub fn new(nodes: usize, root: usize, edges: &[(usize, usize)]) -> Result<Self, TreeError> {
        if let Some(node) = edges.iter().flat_map(|&(a, b)| [a, b]).chain([root]).find(|&node| node >= nodes)
        {
            return Err(TreeError::NoSuchNode { node, nodes });
        }
        let mut neighbours = vec![Vec::new(); nodes];
        for (edge, &(a, b)) in edges.iter().enumerate() {
            neighbours[a].push((b, edge));
            neighbours[b].push((a, edge));
        }
        let mut parents = vec![usize::MAX; nodes];
        let (mut order, mut places) = (Vec::with_capacity(nodes), vec![0; nodes]);
        let mut stack = vec![(root, root, usize::MAX)];
        while let Some((node, parent, via)) = stack.pop() {
            if parents[node] != usize::MAX {
                return Err(TreeError::Mesh { node });
            }
            parents[node] = parent;
            places[node] = order.len();
            order.push(node);
            stack.extend(
                neighbours[node].iter().rev().filter(|&&(_, edge)| edge != via).map(|&(n, e)| (n, node, e)),
            );
        }
        if let Some(node) = parents.iter().position(|&parent| parent == usize::MAX) {
            return Err(TreeError::Unconnected { node });
        }
        let mut ends: Vec<usize> = places.iter().map(|place| place + 1).collect();
        for &node in order.iter().skip(1).rev() {
            ends[parents[node]] = ends[parents[node]].max(ends[node]);
        }
        Ok(Self { parents, order, places, ends })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there is no node: never, since a tree has a root.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The root.
    pub fn root(&self) -> usize {
        self.order[0]
    }

    /// The node's parent; `None` for the root.
    pub fn parent(&self, node: usize) -> Option<usize> {
        (node != self.root()).then(|| self.parents[node])
    }

    /// All nodes, each before its children.
    pub fn downwards(&self) -> &[usize] {
        &self.order
    }

    /// The node and its ancestors, up to and including the root.
    pub fn path_up(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(node), move |&node| self.parent(node))
    }

    /// The node and everything behind it.
    pub fn subtree(&self, node: usize) -> &[usize] {
        &self.order[self.places[node]..self.ends[node]]
    }

    /// Whether `node` lies in the subtree of `ancestor`; a node lies in its own.
    pub fn is_behind(&self, node: usize, ancestor: usize) -> bool {
        (self.places[ancestor]..self.ends[ancestor]).contains(&self.places[node])
    }

    /// The lowest node whose subtree holds all of `nodes`; `None` without any.
    pub fn smallest_branch(&self, nodes: &[usize]) -> Option<usize> {
        let (&first, rest) = nodes.split_first()?;
        self.path_up(first).find(|&candidate| rest.iter().all(|&node| self.is_behind(node, candidate)))
    }

    /// For each node the sum of `values` over its subtree.
    pub fn subtree_sums(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = values.to_vec();
        for &node in self.order.iter().skip(1).rev() {
            sums[self.parents[node]] += sums[node];
        }
        sums
    }

    /// For each node the sum of `edge_values` on the path from the root; the root's own edge value does not count.
    pub fn path_sums(&self, edge_values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.len()];
        for &node in self.order.iter().skip(1) {
            sums[node] = sums[self.parents[node]] + edge_values[node];
        }
        sums
    }
}

/// Water lost inside a pipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// Edge, named by its lower node.
    pub edge: usize,
    /// Place, from 0 at the parent to 1 at the lower node.
    pub position: f64,
    /// Loss, kg/s.
    pub loss_kg_s: f64,
}

/// Supply and return trees over the same trenches.
#[derive(Debug, Clone, PartialEq)]
pub struct TwinTree {
    /// The trenches.
    pub tree: RootedTree,
    /// Resistance of each edge's supply pipe, by lower node.
    pub supply: Vec<Resistance>,
    /// Resistance of each edge's return pipe, by lower node.
    pub back: Vec<Resistance>,
    /// Weight of the water column from the root up to each node, Pa.
    pub lift_pa: Vec<f64>,
}

/// What enters a solution.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Pressure of the supply at the root, Pa gauge.
    pub supply_pa: f64,
    /// Pressure of the return at the root, Pa gauge.
    pub return_pa: f64,
    /// Flow that each node takes from the supply and gives to the return, kg/s.
    pub demand_kg_s: &'a [f64],
    /// Leaks of supply pipes.
    pub supply_leaks: &'a [Leak],
    /// Leaks of return pipes.
    pub return_leaks: &'a [Leak],
}

/// Flows and pressures of a twin tree. Flows are of edges, by lower node; at the root's place stands the source's.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Supply flow at the parent's end, away from the root, kg/s.
    pub supply_kg_s: Vec<f64>,
    /// Return flow at the parent's end, towards the root, kg/s.
    pub return_kg_s: Vec<f64>,
    /// Supply pressure of each node, Pa gauge.
    pub supply_pa: Vec<f64>,
    /// Return pressure of each node, Pa gauge.
    pub return_pa: Vec<f64>,
}

impl TwinTree {
    /// Solves flows by sums over subtrees and pressures by sums along paths. All slices are by node.
    pub fn solve(&self, load: &Load<'_>) -> Solution {
        let mut supply = load.demand_kg_s.to_vec();
        let mut back = load.demand_kg_s.to_vec();
        for leak in load.supply_leaks {
            supply[leak.edge] += leak.loss_kg_s;
        }
        for leak in load.return_leaks {
            back[leak.edge] -= leak.loss_kg_s;
        }
        let (supply_kg_s, return_kg_s) = (self.tree.subtree_sums(&supply), self.tree.subtree_sums(&back));
        let supply_loss = self.losses(&self.supply, &supply_kg_s, load.supply_leaks, -1.0);
        let return_loss = self.losses(&self.back, &return_kg_s, load.return_leaks, 1.0);
        let drops = self.tree.path_sums(&supply_loss);
        let rises = self.tree.path_sums(&return_loss);
        let pressures = |at_root: f64, sums: &[f64], sign: f64| {
            sums.iter().zip(&self.lift_pa).map(|(sum, lift)| at_root + sign * sum - lift).collect()
        };
        Solution {
            supply_pa: pressures(load.supply_pa, &drops, -1.0),
            return_pa: pressures(load.return_pa, &rises, 1.0),
            supply_kg_s,
            return_kg_s,
        }
    }

    /// Loss of each edge, where `flow` is that of the parent's end and the part beyond the leak carries `beyond` times
    /// the leak more.
    fn losses(&self, pipes: &[Resistance], flow: &[f64], leaks: &[Leak], beyond: f64) -> Vec<f64> {
        let mut losses: Vec<f64> = pipes.iter().zip(flow).map(|(pipe, &flow)| pipe.loss_pa(flow)).collect();
        let mut sorted: Vec<&Leak> = leaks.iter().collect();
        sorted.sort_by(|a, b| a.edge.cmp(&b.edge).then(a.position.total_cmp(&b.position)));
        for run in sorted.chunk_by(|a, b| a.edge == b.edge) {
            let edge = run[0].edge;
            let (mut done, mut now, mut loss) = (0.0, flow[edge], 0.0);
            for leak in run {
                loss += (leak.position - done) * pipes[edge].loss_pa(now);
                done = leak.position;
                now += beyond * leak.loss_kg_s;
            }
            losses[edge] = loss + (1.0 - done) * pipes[edge].loss_pa(now);
        }
        losses
    }
}

#[cfg(test)]
mod tests;
