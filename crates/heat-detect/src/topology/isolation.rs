//! Which valves shut a place off, and who is without water then.

use std::collections::BTreeSet;

use heat_model::ValveId;

use super::Topology;

/// What shutting a trench off takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Isolation {
    /// Valves to close, sorted; empty where none are known.
    pub(crate) valves: Vec<ValveId>,
    /// Whether a source stands in what the valves enclose: it has to stop as well.
    pub(crate) takes_a_source: bool,
    /// Nodes that no source reaches once they are closed.
    pub(crate) cut_off: Vec<u32>,
}

impl Topology {
    /// The valves around a trench: from either end outwards, whatever way the water flows, up to the first valve on each
    /// way. A valve whose place in its pipe is not known is taken to sit at the end towards the source, and the pipe
    /// beyond it to be spared.
    pub(crate) fn isolation(&self, trench: u32) -> Isolation {
        let own = &self.trenches[trench as usize];
        let mut around: Vec<Vec<u32>> = vec![Vec::new(); self.nodes()];
        for (index, trench) in (0_u32..).zip(&self.trenches) {
            around[trench.upper as usize].push(index);
            around[trench.lower as usize].push(index);
        }
        let mut valves = BTreeSet::new();
        let mut shut = BTreeSet::from([trench]);
        let mut inside = BTreeSet::new();
        let mut stack = Vec::new();
        for end in [own.upper, own.lower] {
            let here = own.valves.iter().filter(|valve| valve.at.unwrap_or(own.upper) == end);
            let known = valves.len();
            valves.extend(here.map(|valve| valve.id.clone()));
            if valves.len() == known {
                stack.push(end);
            }
        }
        while let Some(node) = stack.pop() {
            if !inside.insert(node) {
                continue;
            }
            for &index in &around[node as usize] {
                let next = &self.trenches[index as usize];
                if !shut.insert(index) || next.is_closed {
                    continue;
                }
                if next.valves.is_empty() {
                    stack.push(if next.upper == node { next.lower } else { next.upper });
                } else {
                    valves.extend(next.valves.iter().map(|valve| valve.id.clone()));
                }
            }
        }
        if valves.is_empty() {
            // Nothing to close is known: what hangs on this pipe alone is without water while it is dug up.
            inside.clear();
            shut = BTreeSet::from([trench]);
        }
        Isolation {
            takes_a_source: self.sources.iter().any(|source| inside.contains(source)),
            cut_off: self.unreached(&shut, &inside),
            valves: valves.into_iter().collect(),
        }
    }

    /// Fed nodes that no source reaches without these trenches and nodes.
    fn unreached(&self, shut: &BTreeSet<u32>, inside: &BTreeSet<u32>) -> Vec<u32> {
        let mut around: Vec<Vec<u32>> = vec![Vec::new(); self.nodes()];
        for (index, trench) in (0_u32..).zip(&self.trenches) {
            if !trench.is_closed && !shut.contains(&index) {
                around[trench.upper as usize].push(trench.lower);
                around[trench.lower as usize].push(trench.upper);
            }
        }
        let mut reached = vec![false; self.nodes()];
        let mut stack: Vec<u32> =
            self.sources.iter().copied().filter(|node| !inside.contains(node)).collect();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut reached[node as usize], true) {
                stack.extend(around[node as usize].iter().filter(|next| !inside.contains(next)));
            }
        }
        (0_u32..)
            .zip(reached)
            .filter(|&(node, reached)| !reached && self.reference(node).is_some())
            .map(|(node, _)| node)
            .collect()
    }
}
