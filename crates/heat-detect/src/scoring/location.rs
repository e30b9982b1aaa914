//! How near, in metres of trench: supply and return of one trench are dug once.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use heat_model::{
    NetworkId,
    plant::{CircuitKind, PlantModel, Side},
};

/// Length of a pipe whose table says none, metres.
const DEFAULT_LENGTH_M: f64 = 50.0;

/// One trench.
#[derive(Debug, Clone, PartialEq)]
pub struct Trench {
    /// Its ends, by number of the node.
    pub ends: [usize; 2],
    /// Metres.
    pub length_m: f64,
    /// Laid in, where known; of several pipes the oldest.
    pub laid_year: Option<u32>,
}

/// The trenches of one network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trenches {
    /// In order of the table.
    pub list: Vec<Trench>,
    nodes: BTreeMap<String, usize>,
    of_pipe: BTreeMap<String, (usize, Option<Side>)>,
    around: Vec<Vec<usize>>,
}

impl Trenches {
    /// The primary pipes of a network. Pipes between the same two nodes lie in one trench, unless they are of one side.
    pub fn new(plant: &PlantModel, network: &NetworkId) -> Self {
        let mut trenches = Self::default();
        let primary = |pipe: &&heat_model::plant::Pipe| {
            plant.circuits.iter().any(|circuit| {
                circuit.id == pipe.circuit
                    && circuit.network == *network
                    && circuit.kind.unwrap_or_default() == CircuitKind::Primary
            })
        };
        let mut by_ends: BTreeMap<([usize; 2], usize), usize> = BTreeMap::new();
        let mut of_side: BTreeMap<([usize; 2], Option<Side>), usize> = BTreeMap::new();
        for pipe in plant.pipes.iter().filter(primary) {
            let mut ends = [trenches.node(pipe.from.as_str()), trenches.node(pipe.to.as_str())];
            ends.sort_unstable();
            let parallel = of_side.entry((ends, pipe.side)).or_default();
            let next = trenches.list.len();
            let index = *by_ends.entry((ends, *parallel)).or_insert(next);
            *parallel += 1;
            if index == next {
                let length_m = pipe.length_m.unwrap_or(DEFAULT_LENGTH_M).max(0.1);
                trenches.list.push(Trench { ends, length_m, laid_year: pipe.laid_year });
                for end in ends {
                    trenches.around[end].push(index);
                }
            }
            let year = &mut trenches.list[index].laid_year;
            *year = [*year, pipe.laid_year].into_iter().flatten().min();
            trenches.of_pipe.insert(pipe.id.as_str().to_owned(), (index, pipe.side));
        }
        trenches
    }

    fn node(&mut self, id: &str) -> usize {
        if let Some(&node) = self.nodes.get(id) {
            return node;
        }
        let node = self.around.len();
        self.nodes.insert(id.to_owned(), node);
        self.around.push(Vec::new());
        node
    }

    /// Whether the plant model describes no pipe of the network.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Trench of a pipe.
    pub fn of(&self, pipe: &str) -> Option<usize> {
        self.of_pipe.get(pipe).map(|(trench, _)| *trench)
    }

    /// Side of a pipe, as the table says.
    pub fn side_of(&self, pipe: &str) -> Option<Side> {
        self.of_pipe.get(pipe).and_then(|(_, side)| *side)
    }

    /// Metres of all trenches.
    pub fn total_m(&self) -> f64 {
        self.list.iter().map(|trench| trench.length_m).sum()
    }

    /// Trenches of ranked pipes, each once, in their order.
    pub fn ranked<'a>(&self, pipes: impl Iterator<Item = &'a str>) -> Vec<usize> {
        let mut trenches = Vec::new();
        for trench in pipes.filter_map(|pipe| self.of(pipe)) {
            if !trenches.contains(&trench) {
                trenches.push(trench);
            }
        }
        trenches
    }

    /// Metres along the trenches from the middle of one to the middle of another; 0 within one, `None` where no way
    /// joins them.
    pub fn distance_m(&self, from: usize, to: usize) -> Option<f64> {
        if from == to {
            return Some(0.0);
        }
        let mut distance = vec![f64::INFINITY; self.around.len()];
        let mut queue = BinaryHeap::new();
        for end in self.list[from].ends {
            distance[end] = self.list[from].length_m / 2.0;
            // Non-negative floats order as their bits.
            queue.push(Reverse((distance[end].to_bits(), end)));
        }
        while let Some(Reverse((bits, node))) = queue.pop() {
            let so_far = f64::from_bits(bits);
            if so_far > distance[node] {
                continue;
            }
            for &index in &self.around[node] {
                let trench = &self.list[index];
                let other = if trench.ends[0] == node { trench.ends[1] } else { trench.ends[0] };
                let through = so_far + trench.length_m;
                if through < distance[other] {
                    distance[other] = through;
                    queue.push(Reverse((through.to_bits(), other)));
                }
            }
        }
        let nearest = self.list[to].ends.iter().map(|&end| distance[end]).fold(f64::INFINITY, f64::min);
        (nearest + self.list[to].length_m / 2.0).is_finite().then(|| nearest + self.list[to].length_m / 2.0)
    }

    /// Share of all trenches that is dug before the true one is reached, following the ranking: half of the true
    /// trench's own length counts, unranked ones come in random order after the ranked. Chance is 0.5.
    pub fn search_fraction(&self, ranked: &[usize], truth: usize) -> f64 {
        let total = self.total_m();
        let mut length = 0.0;
        for &trench in ranked {
            if trench == truth {
                return (length + 0.5 * self.list[trench].length_m) / total;
            }
            length += self.list[trench].length_m;
        }
        f64::midpoint(length, total) / total
    }

    /// The ranking by what a utility knows without any sensor: failures are taken to grow with length and with age in
    /// `year`; where no age is known, with length alone.
    pub fn prior(&self, year: u32) -> Vec<usize> {
        let known: Vec<f64> =
            self.list.iter().filter_map(|t| t.laid_year).map(|laid| age(laid, year)).collect();
        let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let weight =
            |trench: &Trench| trench.length_m * trench.laid_year.map_or(mean, |laid| age(laid, year));
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by(|&a, &b| weight(&self.list[b]).total_cmp(&weight(&self.list[a])).then(a.cmp(&b)));
        order
    }
}

fn age(laid: u32, year: u32) -> f64 {
    f64::from(year.saturating_sub(laid)).max(1.0)
}

/// How near one ranking came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// Metres of trench from the first of the ranking; `None` where nothing was ranked or no way leads there.
    pub distance_m: Option<f64>,
    /// Place of the true trench in the ranking, from 1; `None` where it is not in it.
    pub rank: Option<usize>,
    /// Share of the trenches to dig.
    pub search_fraction: f64,
}

/// Judges a ranking of trenches.
pub fn locate(trenches: &Trenches, ranked: &[usize], truth: usize) -> Located {
    Located {
        distance_m: ranked.first().and_then(|&first| trenches.distance_m(first, truth)),
        rank: ranked.iter().position(|&trench| trench == truth).map(|at| at + 1),
        search_fraction: trenches.search_fraction(ranked, truth),
    }
}
