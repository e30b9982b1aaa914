//! Where is it? Ranks pipes by how well a loss there explains the changes of pressure.
//!
//! A loss q flows from the source to the break on top of what the stations take, so the supply pressure of a station
//! falls by the extra loss of head on what its own way shares with that way; a break in the return takes q out of what
//! flows back, and the return pressures of the stations beyond fall likewise. How far each gauge falls is what
//! [`response`] computes, in a tree exactly, in a mesh from the solver's sensitivities. What the stations' own flows
//! change by themselves is taken out before.
//!
//! The posterior over pipes is prior x pressures x side. The prior is length and age, and how large a hole the loss needs
//! in this bore. Pressures are judged by a Student t likelihood, so that one wrong gauge does not decide, around what
//! all gauges of a side share ([`mod@fit`]: the source's own gauge errs, and so does a further source's meter); place
//! within the pipe and size of the loss are averaged over, not chosen. The side is told by the sums of the flows. Without
//! evidence the prior is what remains, so a ranking is never worse than it for lack of data.

mod fit;
pub(crate) mod response;

use heat_model::plant::Side;

use crate::topology::{Topology, Trench};
use fit::{SHIFTS_MAX, Shift, fit};
use response::Model;

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
/// Beyond this many trenches each is judged at its middle and for the likeliest loss only.
const FINE_MAX: usize = 1_000;
/// Gauges of one side that are judged: each costs a look per pipe, and a city has thousands of both.
const GAUGES_MAX: usize = 200;
/// Places within a trench.
const POSITIONS: [f64; 3] = [0.15, 0.5, 0.85];
/// Losses, in standard deviations of its error, with their weights.
const LOSSES: [(f64, f64); 3] = [(-1.0, 0.27), (0.0, 0.46), (1.0, 0.27)];
/// Pressure that drives a loss out of the pipe where none is measured, Pa.
const DRIVING_PA: f64 = 5e5;
/// Discharge coefficient of a hole.
const DISCHARGE: f64 = 0.62;
/// A hole of this share of the bore halves the prior: most breaks are small against their pipe.
const HOLE_SHARE: f64 = 0.25;
/// Flow meters of stations fail, too: the side is never more certain than 50 to 1.
const SIDE_MAX: f64 = 3.9;
/// Density of the water lost, kg/m3.
const DENSITY_KG_M3: f64 = 975.0;

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
    /// Flow of every trench without the loss, kg/s, from its upper to its lower node.
    pub(crate) flows: Vec<f64>,
    pub(crate) residuals: Vec<Residual>,
    /// Standard deviation of what all residuals of a side have in common, Pa: supply, return.
    pub(crate) common_sigma: [f64; 2],
    /// Node of every source but those that heads are counted from, and the standard deviation of what it gives, kg/s.
    pub(crate) given: Vec<(u32, f64)>,
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

/// Pipes by their probability.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ranking {
    /// By falling probability; they sum to 1.
    pub(crate) pipes: Vec<Ranked>,
    /// Nats by which the evidence moved the prior over trenches: near 0 it told nothing about the place.
    pub(crate) information: f64,
    /// The solver had no answer for this mesh: pressures did not count.
    pub(crate) unsolved: bool,
}

const SIDES: [Side; 2] = [Side::Supply, Side::Return];

/// Ranks all fed pipes.
pub(crate) fn rank(topology: &Topology, case: &Case) -> Ranking {
    let is_fine = topology.trenches.len() <= FINE_MAX;
    let positions: &[f64] = if is_fine { &POSITIONS } else { &POSITIONS[1..2] };
    let losses: &[(f64, f64)] = if is_fine { &LOSSES } else { &[(0.0, 1.0)] };
    let mut scored: Vec<(u32, Side, f64, f64)> = Vec::new();
    let mut unsolved = false;
    for (number, side) in SIDES.into_iter().enumerate() {
        let gauges = most_telling(case.residuals.iter().copied().filter(|r| r.side == side).collect());
        let nodes: Vec<u32> = gauges.iter().map(|gauge| gauge.node).collect();
        let model = (!gauges.is_empty()).then(|| Model::new(topology, case, side, &nodes));
        unsolved |= matches!(model, Some(None));
        let mut model = model.flatten();
        let mut falls = vec![0.0; nodes.len()];
        let shifts = shifts(case, case.common_sigma[number], nodes.len(), model.as_ref());
        // What these gauges say of a loss elsewhere: on the other side, or none they feel.
        let nothing = fit(&gauges, &falls, &shifts);
        for (index, trench) in (0_u32..).zip(&topology.trenches) {
            if !topology.is_fed(index) || pipe_of(trench, side).is_none() {
                continue;
            }
            let mut fits = Vec::with_capacity(positions.len() * losses.len());
            if let Some(model) = &mut model {
                for position in positions {
                    for (deviation, weight) in losses {
                        let loss_kg_s = case.loss_kg_s * (1.0 + deviation * case.loss_error).max(0.05);
                        model.falls(
                            response::Place { trench: index, position: *position, loss_kg_s },
                            &mut falls,
                        );
                        let fit = TEMPER * (fit(&gauges, &falls, &shifts) - nothing);
                        fits.push(fit + (weight / positions.len() as f64).ln());
                    }
                }
            }
            let pressures = if fits.is_empty() { 0.0 } else { log_sum(&fits) };
            let prior = prior(trench, case.loss_kg_s).ln();
            scored.push((index, side, prior, pressures + side_fit(case, side)));
        }
    }
    let mut ranking = normalised(topology, &scored);
    ranking.unsolved = unsolved;
    ranking
}

/// What all gauges of a side may share: an error of the reference's gauge, and errors of what further sources give.
fn shifts(case: &Case, common_sigma: f64, gauges: usize, model: Option<&Model<'_>>) -> Vec<Shift> {
    let mut shifts = vec![vec![common_sigma.max(1.0); gauges]];
    let Some(model) = model else { return shifts };
    let mut given = case.given.clone();
    given.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (node, sigma_kg_s) in given.into_iter().take(SHIFTS_MAX - 1) {
        shifts.extend(
            model.falls_per_kg_s(node).map(|falls| falls.iter().map(|fall| fall * sigma_kg_s).collect()),
        );
    }
    shifts
}

/// At most [`GAUGES_MAX`] gauges: half of them those furthest from the middle one, in standard deviations, which tell
/// where the loss is; the others spread evenly over the rest, which tell where it is not.
fn most_telling(gauges: Vec<Residual>) -> Vec<Residual> {
    if gauges.len() <= GAUGES_MAX {
        return gauges;
    }
    let mut values: Vec<f64> = gauges.iter().map(|gauge| gauge.value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    let off = |gauge: &Residual| (gauge.value - middle).abs() / gauge.sigma;
    let mut order: Vec<usize> = (0..gauges.len()).collect();
    order.sort_by(|&a, &b| off(&gauges[b]).total_cmp(&off(&gauges[a])).then(a.cmp(&b)));
    let mut rest = order.split_off(GAUGES_MAX / 2);
    rest.sort_unstable();
    let spread = GAUGES_MAX - order.len();
    order.extend((0..spread).map(|number| rest[number * rest.len() / spread]));
    order.sort_unstable();
    order.into_iter().map(|index| gauges[index]).collect()
}

fn normalised(topology: &Topology, scored: &[(u32, Side, f64, f64)]) -> Ranking {
    let log_prior = log_sum(&scored.iter().map(|(_, _, prior, _)| *prior).collect::<Vec<_>>());
    let log_posterior = log_sum(&scored.iter().map(|(_, _, prior, fit)| prior + fit).collect::<Vec<_>>());
    let mut of_trench = vec![(0.0, 0.0); topology.trenches.len()];
    let mut pipes: Vec<Ranked> = scored
        .iter()
        .map(|&(trench, side, prior, fit)| {
            let probability = (prior + fit - log_posterior).exp();
            let entry: &mut (f64, f64) = &mut of_trench[trench as usize];
            *entry = (entry.0 + (prior - log_prior).exp(), entry.1 + probability);
            Ranked { trench, side, probability }
        })
        .collect();
    pipes.sort_by(|a, b| {
        b.probability.total_cmp(&a.probability).then(a.trench.cmp(&b.trench)).then(a.side.cmp(&b.side))
    });
    let information = of_trench
        .iter()
        .filter(|(prior, posterior)| *prior > 0.0 && *posterior > 0.0)
        .map(|(prior, posterior)| posterior * (posterior / prior).ln())
        .sum();
    Ranking { pipes, information, unsolved: false }
}

fn pipe_of(trench: &Trench, side: Side) -> Option<&heat_model::PipeId> {
    match side {
        Side::Supply => trench.supply.as_ref(),
        Side::Return => trench.back.as_ref(),
    }
}

fn log_sum(logs: &[f64]) -> f64 {
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest.is_finite() {
        highest + logs.iter().map(|log| (log - highest).exp()).sum::<f64>().ln()
    } else {
        highest
    }
}

fn side_fit(case: &Case, side: Side) -> f64 {
    case.supply_side.map_or(0.0, |(share, sigma)| {
        let log = |expected: f64| -0.5 * ((share - expected) / sigma.max(0.2)).powi(2);
        let (supply, back) = (log(1.0), log(0.0));
        let (own, other) = match side {
            Side::Supply => (supply, back),
            Side::Return => (back, supply),
        };
        0.5 * (own - other).clamp(-SIDE_MAX, SIDE_MAX)
    })
}

/// What a utility knows without any sensor, and that the hole must fit the bore.
fn prior(trench: &Trench, loss_kg_s: f64) -> f64 {
    let age = trench.laid_year.map_or(0.0, |year| (AGE_REFERENCE_YEAR - f64::from(year)).clamp(0.0, 60.0));
    let bore = std::f64::consts::PI / 4.0 * trench.diameter_m * trench.diameter_m;
    let hole = loss_kg_s.max(0.0) / (DISCHARGE * (2.0 * DENSITY_KG_M3 * DRIVING_PA).sqrt());
    trench.length_m * (1.0 + AGE_PER_YEAR * age) / (1.0 + (hole / (HOLE_SHARE * bore)).powi(2))
}

#[cfg(test)]
mod tests;
