//! From a case to the place that a finding names: ranked pipes, side, branch, valves to close, stations without water.

use std::collections::BTreeSet;

use heat_model::{
    SiteId,
    incident::Candidate,
    plant::{Side, SiteKind},
};

use super::place::{self, Places, takes::station_flow};
use crate::{
    Finding,
    burst::{
        View,
        locate::{Case, Ranked, Residual, rank},
    },
    layout::Layout,
    topology::Topology,
};

/// Pipes listed on an incident: what a small town has; of a city those that matter.
const CANDIDATES_MAX: usize = 200;
/// Share of the probability that the listed pipes hold, if that takes no more of them.
const LISTED_SHARE: f64 = 0.998;
/// A place is named from this probability on; below, the branch is.
const PLACE_MIN: f64 = 0.05;
/// Below so many nats the evidence tells nothing about the place that length and age do not.
const INFORMATION_MIN: f64 = 0.2;
/// Share of the probability that the smallest branch must hold.
const BRANCH_SHARE: f64 = 0.8;
/// Share of the probability that the trench to search must hold.
const SEARCH_SHARE: f64 = 0.8;
/// Probability from which on a side is said.
const SIDE_MIN: f64 = 0.6;
/// Noise floor of a change of pressure, and the most that is believed of a scatter learned in calmer times, Pa.
const CHANGE_FLOOR_PA: f64 = 800.0;
const CHANGE_MOST_PA: f64 = 4_000.0;
/// Error of the loss as a burst's own meters tell it.
const LOSS_ERROR: f64 = 0.15;
/// Error of what the stations' own changes of flow move.
const HEAD_ERROR: f64 = 0.1;
/// Wander of the big meters within a burst, share of circulation (of a source's own meter: of its flow).
const METER_SHARE: f64 = 0.012;

/// The case of a burst, from values before and after it. `None` where the solver has no answer for the mesh.
pub(super) fn burst_case(
    layout: &Layout,
    places: &Places,
    view: View<'_>,
    loss_kg_s: f64,
    before: &impl Fn(u32) -> Option<f64>,
    after: &impl Fn(u32) -> Option<f64>,
) -> Option<Case> {
    let topology = &layout.topology;
    // Silent stations take what they took; unmetered ones as well, or they would seem to take the loss.
    let latest = |signal: u32| after(signal).or_else(|| before(signal));
    let takes_before = places.takes(layout, before);
    let takes_after = places.takes(layout, &latest);
    // What a further source feeds of the loss is on its own meter: the reference's feeds the rest.
    let picture_before = topology.picture(&takes_before.at, &places.gives(layout, before, &takes_before))?;
    let picture_after = topology.picture(&takes_after.at, &places.gives(layout, &latest, &takes_after))?;
    let noise = |signal: u32| {
        view.trackers[signal as usize].sigma(CHANGE_FLOOR_PA).min(CHANGE_MOST_PA).hypot(CHANGE_FLOOR_PA)
    };
    let change = |signal: u32| Some(after(signal)? - before(signal)?);
    let mut residuals = Vec::new();
    let mut common_sigma = [CHANGE_FLOOR_PA; 2];
    for (number, (side, role)) in place::SIDES.into_iter().enumerate() {
        let sources = layout.of_kind(SiteKind::Source).filter_map(|(_, source)| source.signal(role));
        common_sigma[number] = sources.map(noise).fold(CHANGE_FLOOR_PA, f64::max);
        for site in layout.sites.iter().filter(|site| !place::is_reference(layout, site)) {
            let (Some(node), Some(signal)) = (site.node, site.signal(role)) else { continue };
            let Some(source) = place::source_pressure(layout, role, node, &change) else { continue };
            let Some(changed) = change(signal) else { continue };
            let head = picture_after.heads[node as usize] - picture_before.heads[node as usize];
            let value = match side {
                Side::Supply => changed - source + head,
                Side::Return => changed - source - head,
            };
            residuals.push(Residual { node, side, value, sigma: noise(signal).hypot(HEAD_ERROR * head) });
        }
    }
    let supplied = |of: &dyn Fn(u32) -> Option<f64>| -> f64 {
        layout.of_kind(SiteKind::Source).filter_map(|(_, site)| station_flow(layout, site, &of)).sum()
    };
    let rise = supplied(&latest) - supplied(before);
    let taken = takes_after.total - takes_before.total;
    let supply_side =
        (loss_kg_s > 0.0).then(|| ((rise - taken) / loss_kg_s, METER_SHARE * view.circulation / loss_kg_s));
    let flows = picture_after.flows;
    let given = place::given(layout, &flows, METER_SHARE);
    Some(Case { flows, residuals, common_sigma, given, loss_kg_s, loss_error: LOSS_ERROR, supply_side })
}

/// Ranks the pipes and takes place, side, branch, stations and valves from the ranking. Where the evidence tells nothing about
/// the place, it says so and names none: the ranking is then that of length and age.
pub(super) fn place_by_pipes(layout: &Layout, case: &Case, finding: &mut Finding) {
    let topology = &layout.topology;
    let ranking = rank(topology, case);
    let mut listed = 0.0;
    for ranked in ranking.pipes.iter().take(CANDIDATES_MAX) {
        if listed > LISTED_SHARE {
            break;
        }
        listed += ranked.probability;
        if let Some(pipe) = topology.trenches[ranked.trench as usize].pipe(ranked.side) {
            finding.candidates.push(Candidate { pipe: pipe.clone(), probability: ranked.probability });
        }
    }
    finding.search_length_m = search_length(topology, &ranking.pipes);
    if ranking.unsolved {
        finding.lacked.push("hydraulic_solution".to_owned());
    }
    let Some(best) = ranking.pipes.first() else { return };
    let on_side: f64 = ranking.pipes.iter().filter(|r| r.side == best.side).map(|r| r.probability).sum();
    finding.side = match best.side {
        side if on_side > SIDE_MIN => Some(side),
        Side::Supply if on_side < 1.0 - SIDE_MIN => Some(Side::Return),
        Side::Return if on_side < 1.0 - SIDE_MIN => Some(Side::Supply),
        Side::Supply | Side::Return => None,
    };
    if ranking.information < INFORMATION_MIN {
        finding.lacked.push("pressure_evidence".to_owned());
        return;
    }
    if best.probability >= PLACE_MIN {
        finding.place = finding.candidates.first().map(|candidate| candidate.pipe.as_str().to_owned());
    }
    finding.branch = sites_behind(layout, smallest_branch(topology, &ranking.pipes));
    let isolation = topology.isolation(best.trench);
    finding.affected = layout
        .of_kind(SiteKind::Station)
        .filter(|(_, site)| site.node.is_some_and(|node| isolation.cut_off.binary_search(&node).is_ok()))
        .map(|(_, site)| site.id.clone())
        .collect();
    finding.valves = isolation.valves;
}

/// Trench that holds most of the probability, m, whichever of its pipes.
fn search_length(topology: &Topology, ranked: &[Ranked]) -> Option<f64> {
    let mut trenches = BTreeSet::new();
    let mut held = 0.0;
    for ranked in ranked {
        if held >= SEARCH_SHARE {
            break;
        }
        held += ranked.probability;
        trenches.insert(ranked.trench);
    }
    let length: f64 = trenches.iter().map(|trench| topology.trenches[*trench as usize].length_m).sum();
    (length > 0.0).then_some(length)
}

/// Lowest trench below (and with) which most of the probability lies; `None` for the whole network.
fn smallest_branch(topology: &Topology, ranked: &[Ranked]) -> Option<u32> {
    let mut below = vec![0.0; topology.trenches.len()];
    for ranked in ranked {
        let trench = &topology.trenches[ranked.trench as usize];
        // A trench that closes a loop lies in no branch but that of its upper end.
        let end = if topology.is_in_tree(ranked.trench) { trench.lower } else { trench.upper };
        for trench in topology.path(end) {
            below[trench as usize] += ranked.probability;
        }
    }
    // Depth grows as the probability below can only fall: the deepest that still holds enough.
    (0_u32..)
        .zip(&below)
        .filter(|(index, share)| **share >= BRANCH_SHARE && topology.is_in_tree(*index))
        .max_by_key(|(index, _)| topology.path(topology.trenches[*index as usize].lower).count())
        .map(|(index, _)| index)
}

/// Stations whose water passes the trench.
fn sites_behind(layout: &Layout, trench: Option<u32>) -> Vec<SiteId> {
    let Some(trench) = trench else { return Vec::new() };
    layout
        .of_kind(SiteKind::Station)
        .filter(|(_, site)| {
            site.node.is_some_and(|node| layout.topology.path(node).any(|index| index == trench))
        })
        .map(|(_, site)| site.id.clone())
        .collect()
}
