//! The symmetric matrix of conductances over the nodes whose pressure is free, and its factorisation `L D L'`.
//!
//! The order of elimination is that of least degree: the node with the fewest neighbours left goes first, and its neighbours
//! become neighbours of each other. A tree needs nothing beyond its own links then, a pipe network little. What is
//! eliminated is remembered, so a factorisation is arithmetic on known places.
//!
//! Why not a library: what pipe networks need is this page, in one order of operations that no machine's vector
//! instructions change (the law of determinism). faer was weighed: thirty crates, minutes of every build, and dense kernels
//! that choose by CPU, for matrices that have none of their use.

use std::collections::BTreeSet;

/// Where a link's conductance goes.
#[derive(Debug, Clone, Copy)]
struct Slots {
    diagonals: [Option<usize>; 2],
    between: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Matrix {
    /// Row of every node, in order of elimination; `None` where held.
    numbers: Vec<Option<usize>>,
    slots: Vec<Slots>,
    /// Where each column's entries below the diagonal start.
    starts: Vec<usize>,
    rows: Vec<usize>,
    /// Below the diagonal: the matrix, then its factor.
    lower: Vec<f64>,
    diagonal: Vec<f64>,
}

impl Matrix {
    pub(super) fn new(held: &[bool], ends: &[(usize, usize)]) -> Self {
        let (numbers, columns) = eliminate(held, ends);
        let mut starts = vec![0; columns.len() + 1];
        for (column, rows) in columns.iter().enumerate() {
            starts[column + 1] = starts[column] + rows.len();
        }
        let rows: Vec<usize> = columns.into_iter().flatten().collect();
        let between = |a: usize, b: usize| {
            let (column, row) = (a.min(b), a.max(b));
            let own = &rows[starts[column]..starts[column + 1]];
            own.binary_search(&row).ok().map(|at| starts[column] + at)
        };
        let slots = ends
            .iter()
            .map(|&(from, to)| match (numbers[from], numbers[to]) {
                // A link from a node to itself moves nothing.
                (Some(a), Some(b)) if a == b => Slots { diagonals: [None; 2], between: None },
                (Some(a), Some(b)) => Slots { diagonals: [Some(a), Some(b)], between: between(a, b) },
                (a, b) => Slots { diagonals: [a, b], between: None },
            })
            .collect();
        let (lower, diagonal) = (vec![0.0; rows.len()], vec![0.0; starts.len() - 1]);
        Self { numbers, slots, starts, rows, lower, diagonal }
    }

    pub(super) fn numbers(&self) -> &[Option<usize>] {
        &self.numbers
    }

    pub(super) fn free(&self) -> usize {
        self.diagonal.len()
    }

    /// Factorises for these conductances; false where the matrix is not positive definite.
    pub(super) fn factorise(&mut self, conductances: &[f64]) -> bool {
        self.lower.fill(0.0);
        self.diagonal.fill(0.0);
        for (slots, conductance) in self.slots.iter().zip(conductances) {
            for node in slots.diagonals.iter().flatten() {
                self.diagonal[*node] += conductance;
            }
            if let Some(slot) = slots.between {
                self.lower[slot] -= conductance;
            }
        }
        for column in 0..self.diagonal.len() {
            let pivot = self.diagonal[column];
            if !(pivot > 0.0 && pivot.is_finite()) {
                return false;
            }
            let own = self.starts[column]..self.starts[column + 1];
            for first in own.clone() {
                let (row, value) = (self.rows[first], self.lower[first]);
                let factor = value / pivot;
                self.diagonal[row] -= factor * value;
                // Both lists of rows are sorted, and this one's rest is part of that one.
                let mut target = self.starts[row];
                for second in first + 1..own.end {
                    while self.rows[target] != self.rows[second] {
                        target += 1;
                    }
                    self.lower[target] -= factor * self.lower[second];
                }
            }
            for at in own {
                self.lower[at] /= pivot;
            }
        }
        true
    }

    /// Solves with the newest factorisation, in place; in order of elimination.
    pub(super) fn solve(&self, rhs: &mut [f64]) {
        for column in 0..rhs.len() {
            let value = rhs[column];
            for at in self.starts[column]..self.starts[column + 1] {
                rhs[self.rows[at]] -= self.lower[at] * value;
            }
        }
        for column in (0..rhs.len()).rev() {
            let mut value = rhs[column] / self.diagonal[column];
            for at in self.starts[column]..self.starts[column + 1] {
                value -= self.lower[at] * rhs[self.rows[at]];
            }
            rhs[column] = value;
        }
    }
}

/// Numbers of the free nodes in order of elimination, and the rows of each column below the diagonal, sorted.
fn eliminate(held: &[bool], ends: &[(usize, usize)]) -> (Vec<Option<usize>>, Vec<Vec<usize>>) {
    let mut around: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); held.len()];
    for &(a, b) in ends.iter().filter(|(a, b)| a != b && !held[*a] && !held[*b]) {
        around[a].insert(b);
        around[b].insert(a);
    }
    let mut waiting: BTreeSet<(usize, usize)> =
        (0..held.len()).filter(|&node| !held[node]).map(|node| (around[node].len(), node)).collect();
    let mut numbers = vec![None; held.len()];
    let mut columns: Vec<Vec<usize>> = Vec::with_capacity(waiting.len());
    while let Some((_, node)) = waiting.pop_first() {
        numbers[node] = Some(columns.len());
        let neighbours: Vec<usize> = std::mem::take(&mut around[node]).into_iter().collect();
        for &neighbour in &neighbours {
            waiting.remove(&(around[neighbour].len(), neighbour));
            around[neighbour].remove(&node);
            around[neighbour].extend(neighbours.iter().filter(|&&other| other != neighbour));
            waiting.insert((around[neighbour].len(), neighbour));
        }
        columns.push(neighbours);
    }
    for column in &mut columns {
        for row in column.iter_mut() {
            *row = numbers[*row].expect("every free node is eliminated");
        }
        column.sort_unstable();
    }
    (numbers, columns)
}
