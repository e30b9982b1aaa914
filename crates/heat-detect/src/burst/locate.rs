//! Where is it? Ranks pipes by how well a loss there explains the changes of pressure.
//!
//! On a tree the loss q flows from the source to the break on one path, on top of what the stations take. So the supply
//! pressure of a station falls by the extra loss of head on what its own path shares with that path,
//! `sum K ((Q+q)^2 - Q^2)`; a break in the return takes q out of what flows back, and the return
//! pressures of the stations beyond fall likewise. Station flows before and after are measured, so what they
//! change by themselves is taken out first. Residuals are judged by a Student t likelihood, so that one wrong gauge
//! does not decide; the share of the loss that the supply side shows (source less stations) tells the side. The prior
//! is length and age. Meshed pipes are judged over their shortest-path tree ([`crate::topology`]).

use heat_model::plant::Side;

use crate::topology::Topology;

/// Degrees of freedom of the residuals' distribution.
const STUDENT: f64 = 4.0;
/// Errors of the pipe model are alike along a path: the likelihood counts only in part.
const TEMPER: f64 = 0.6;
/// Relative error of a predicted change of head (roughness, lengths, flows).
const MODEL_ERROR: f64 = 0.12;
/// Failures grow with age: weight per year beyond a new pipe.
const AGE_PER_YEAR: f64 = 0.03;
/// Year against which age counts; only differences matter.
const AGE_REFERENCE_YEAR: f64 = 2030.0;
/// Beyond this many trenches each is judged at its middle only.
const FINE_MAX: usize = 1_000;

/// One pressure's change that the stations' own flows do not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Residual {
    pub(crate) node: u32,
    pub(crate) side: Side,
    /// Pa, relative to the source's own change.
    pub(crate) value: f64,
    pub(crate) sigma: f64,
}

/// Everything a ranking needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// Flow of every trench without the loss, kg/s.
    pub(crate) flows: Vec<f64>,
    pub(crate) residuals: Vec<Residual>,
    pub(crate) loss_kg_s: f64,
    /// Relative uncertainty of the loss.
    pub(crate) loss_error: f64,
    /// Share of the loss seen on the supply side, and its standard deviation.
    pub(crate) supply_side: Option<(f64, f64)>,
}

/// A pipe and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranked {
    pub(crate) trench: u32,
    pub(crate) side: Side,
    pub(crate) probability: f64,
}

/// Flow of every trench from the flows taken at nodes.
pub(crate) fn trench_flows(topology: &Topology, takes: impl IntoIterator<Item = (u32, f64)>) -> Vec<f64> {
    let mut flows = vec![0.0; topology.trenches.len()];
    for (node, flow) in takes {
        for trench in topology.path(node) {
            flows[trench as usize] += flow;
        }
    }
    flows
}

/// Loss of head from the source to a node, Pa.
pub(crate) fn head_loss(topology: &Topology, flows: &[f64], node: u32) -> f64 {
    topology
        .path(node)
        .map(|trench| {
            let flow = flows[trench as usize];
            topology.trenches[trench as usize].resistance * flow * flow.abs()
        })
        .sum()
}

/// Pipes by falling probability; they sum to 1.
pub(crate) fn rank(topology: &Topology, case: &Case) -> Vec<Ranked> {
    let mut depth_of_node = vec![0.0_f64; topology.nodes()];
    let mut marked = vec![u32::MAX; topology.nodes()];
    let positions: &[f64] = if topology.trenches.len() <= FINE_MAX { &[0.15, 0.5, 0.85] } else { &[0.5] };
    let factors: &[f64] = if topology.trenches.len() <= FINE_MAX { &[-1.0, 0.0, 1.0] } else { &[0.0] };
    let mut scored: Vec<(u32, Side, f64)> = Vec::new();
    for (index, trench) in (0_u32..).zip(&topology.trenches) {
        if !topology.is_in_tree(index) {
            continue;
        }
        for side in [Side::Supply, Side::Return] {
            if (match side {
                Side::Supply => &trench.supply,
                Side::Return => &trench.back,
            })
            .is_none()
            {
                continue;
            }
            let mut best = f64::NEG_INFINITY;
            for position in positions {
                for factor in factors {
                    let loss = case.loss_kg_s * (1.0 + factor * case.loss_error);
                    let place = Place { trench: index, side, position: *position, loss };
                    mark(topology, case, place, &mut depth_of_node, &mut marked);
                    let fit = fit(topology, case, place, &depth_of_node, &marked) - 0.5 * factor * factor;
                    best = best.max(fit);
                }
            }
            scored.push((index, side, TEMPER * best + side_fit(case, side) + prior(trench).ln()));
        }
    }
    let highest = scored.iter().map(|(_, _, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scored.iter().map(|(_, _, score)| (score - highest).exp()).sum();
    let mut ranked: Vec<Ranked> = scored
        .into_iter()
        .map(|(trench, side, score)| Ranked { trench, side, probability: (score - highest).exp() / total })
        .collect();
    ranked.sort_by(|a, b| {
        b.probability.total_cmp(&a.probability).then(a.trench.cmp(&b.trench)).then(a.side.cmp(&b.side))
    });
    ranked
}

#[derive(Debug, Clone, Copy)]
struct Place {
    trench: u32,
    side: Side,
    position: f64,
    loss: f64,
}

/// Extra fall of pressure at every node of the path from the source to the place, Pa.
fn mark(topology: &Topology, case: &Case, place: Place, extra: &mut [f64], marked: &mut [u32]) {
    let mut path: Vec<u32> = std::iter::once(place.trench)
        .chain(topology.path(topology.trenches[place.trench as usize].upper))
        .collect();
    path.reverse();
    let mut sum = 0.0;
    if let Some(first) = path.first() {
        let root = topology.trenches[*first as usize].upper as usize;
        extra[root] = 0.0;
        marked[root] = place.trench;
    }
    for index in path {
        let trench = &topology.trenches[index as usize];
        let flow = case.flows[index as usize];
        let with = match place.side {
            Side::Supply => flow + place.loss,
            Side::Return => flow - place.loss,
        };
        let change = trench.resistance * (with * with.abs() - flow * flow.abs()).abs();
        sum += if index == place.trench { place.position * change } else { change };
        extra[trench.lower as usize] = sum;
        marked[trench.lower as usize] = place.trench;
    }
}

fn fit(topology: &Topology, case: &Case, place: Place, extra: &[f64], marked: &[u32]) -> f64 {
    let mut score = 0.0;
    for residual in &case.residuals {
        let expected = if residual.side == place.side {
            // Where the way to this node leaves the way to the place.
            let mut node = residual.node;
            while marked[node as usize] != place.trench {
                match topology.parent(node) {
                    Some(trench) => node = topology.trenches[trench as usize].upper,
                    None => break,
                }
            }
            if marked[node as usize] == place.trench { -extra[node as usize] } else { 0.0 }
        } else {
            0.0
        };
        let sigma = residual.sigma.hypot(MODEL_ERROR * expected);
        let z = (residual.value - expected) / sigma;
        score -= f64::midpoint(STUDENT, 1.0) * (1.0 + z * z / STUDENT).ln() + (sigma / residual.sigma).ln();
    }
    score
}

fn side_fit(case: &Case, side: Side) -> f64 {
    case.supply_side.map_or(0.0, |(share, sigma)| {
        let expected = match side {
            Side::Supply => 1.0,
            Side::Return => 0.0,
        };
        // Never more certain than 50 to 1: station meters fail, too.
        (-0.5 * ((share - expected) / sigma.max(0.2)).powi(2)).max(-3.9)
    })
}

fn prior(trench: &crate::topology::Trench) -> f64 {
    let age = trench.laid_year.map_or(0.0, |year| (AGE_REFERENCE_YEAR - f64::from(year)).clamp(0.0, 60.0));
    trench.length_m * (1.0 + AGE_PER_YEAR * age)
}
