//! From what the detectors saw to findings: place, size, stations, valves, evidence.

use heat_hydraulics::water::density_kg_m3;
use std::time::Duration;

use heat_model::{
    AppendTime, EventTime, SiteId,
    incident::{Candidate, Class, Evidence},
    plant::{ModelLevel, Side, SiteKind},
};

use super::place::{self, Places};
use crate::{
    Finding,
    balance::Leak,
    bins::BIN_US,
    burst::{
        OpenBurst, View,
        locate::{Case, Ranked, Residual, head_loss, rank, trench_flows},
    },
    layout::{Layout, Role},
    topology::Topology,
};

/// Pipes listed on an incident.
const CANDIDATES_MAX: usize = 60;
/// Pipes below this probability are not listed.
const CANDIDATE_MIN: f64 = 0.001;
/// A place is named from this probability on; below, the branch is.
const PLACE_MIN: f64 = 0.05;
/// Share of the probability that the smallest branch must hold.
const BRANCH_SHARE: f64 = 0.8;
/// Noise floor of a change of pressure, Pa.
const CHANGE_FLOOR_PA: f64 = 800.0;
/// Temperatures that turn kg/s into m3/h, degC.
const SUPPLY_CELSIUS: f64 = 85.0;
const RETURN_CELSIUS: f64 = 45.0;

pub(crate) fn empty(detector: &str, class: Class, onset: EventTime, level: ModelLevel) -> Finding {
    Finding {
        detector: detector.to_owned(),
        class,
        kind: None,
        onset,
        active: true,
        place: None,
        side: None,
        candidates: Vec::new(),
        branch: Vec::new(),
        loss_kg_s: None,
        loss_m3_h: None,
        affected: Vec::new(),
        valves: Vec::new(),
        evidence: Vec::new(),
        strength: 0.0,
        level,
        lacked: Vec::new(),
    }
}

fn bin_start(bin: i64) -> EventTime {
    EventTime::from_micros(bin.saturating_mul(BIN_US))
}

fn volume_flow_m3_h(loss_kg_s: f64, side: Option<Side>) -> f64 {
    let celsius = match side {
        Some(Side::Supply) => SUPPLY_CELSIUS,
        Some(Side::Return) => RETURN_CELSIUS,
        None => f64::midpoint(SUPPLY_CELSIUS, RETURN_CELSIUS),
    };
    loss_kg_s / density_kg_m3(celsius) * 3_600.0
}

/// An open burst, judged with what is known now.
pub(crate) fn burst(layout: &Layout, view: View<'_>, open: &OpenBurst, now: AppendTime) -> Finding {
    let mut finding = empty("burst", Class::Burst, EventTime::from_micros(open.onset_us), layout.level());
    finding.evidence.clone_from(&open.evidence);
    finding.strength = f64::from(open.votes);
    let before = |signal: u32| open.before.get(signal as usize).map(|value| f64::from(*value));
    let since_open = now.as_event_now().since(EventTime::from_micros(open.opened_us));
    let after = |signal: u32| {
        let tracker = &view.trackers[signal as usize];
        if !tracker.seen || tracker.at_us < open.onset_us {
            return None;
        }
        // The ramp of the first half minute is no steady state; after it, the mean since is quieter than one value.
        match open.after.get(signal as usize) {
            Some((sum, count)) if *count >= 3 && since_open > Duration::from_secs(90) => {
                Some(sum / f64::from(*count))
            }
            _ => Some(tracker.value),
        }
    };
    if layout.topology.has_pipes() {
        let case = burst_case(layout, view, open.loss_kg_s, &before, &after);
        place_by_pipes(layout, &case, &mut finding);
    } else {
        place_by_drops(layout, &before, &after, &mut finding);
    }
    lost_pressure(layout, &before, &after, &mut finding.affected);
    finding.loss_kg_s = Some(open.loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(open.loss_kg_s, finding.side));
    finding
}

fn burst_case(
    layout: &Layout,
    view: View<'_>,
    loss_kg_s: f64,
    before: &impl Fn(u32) -> Option<f64>,
    after: &impl Fn(u32) -> Option<f64>,
) -> Case {
    let topology = &layout.topology;
    // Silent stations take what they took.
    let latest = |signal: u32| after(signal).or_else(|| before(signal));
    let flows_before = trench_flows(topology, place::takes(layout, before));
    let flows_after = trench_flows(topology, place::takes(layout, &latest));
    let mut residuals = Vec::new();
    for (side, role) in place::SIDES {
        let change = |signal: u32| Some(after(signal)? - before(signal)?);
        let Some(source) = place::source_pressure(layout, role, &change) else { continue };
        for site in layout.sites.iter().filter(|site| site.kind != SiteKind::Source) {
            let (Some(node), Some(signal)) = (site.node, site.signal(role)) else { continue };
            let Some(changed) = change(signal) else { continue };
            let head = head_loss(topology, &flows_after, node) - head_loss(topology, &flows_before, node);
            let value = match side {
                Side::Supply => changed - source + head,
                Side::Return => changed - source - head,
            };
            let noise = view.trackers[signal as usize].sigma(CHANGE_FLOOR_PA).min(4_000.0);
            // What the stations' own changes of flow move is known to a tenth.
            residuals.push(Residual {
                node,
                side,
                value,
                sigma: noise.hypot(CHANGE_FLOOR_PA).hypot(0.1 * head),
            });
        }
    }
    let total = |of: &dyn Fn(u32) -> Option<f64>, kind: SiteKind| -> f64 {
        layout.of_kind(kind).filter_map(|(_, site)| place::station_flow(layout, site, &of)).sum()
    };
    let rise = total(&latest, SiteKind::Source) - total(before, SiteKind::Source);
    let taken = total(&latest, SiteKind::Station) - total(before, SiteKind::Station);
    let supply_side =
        (loss_kg_s > 0.0).then(|| ((rise - taken) / loss_kg_s, 0.012 * view.circulation / loss_kg_s));
    Case { flows: flows_after, residuals, loss_kg_s, loss_error: 0.15, supply_side }
}

/// Ranks the pipes and takes place, side, branch, stations and valves from the ranking.
fn place_by_pipes(layout: &Layout, case: &Case, finding: &mut Finding) {
    let topology = &layout.topology;
    let ranked = rank(topology, case);
    finding.candidates = ranked
        .iter()
        .filter(|ranked| ranked.probability >= CANDIDATE_MIN)
        .take(CANDIDATES_MAX)
        .filter_map(|ranked| {
            let pipe = topology.trenches[ranked.trench as usize].pipe(ranked.side)?;
            Some(Candidate { pipe: pipe.clone(), probability: ranked.probability })
        })
        .collect();
    let Some(best) = ranked.first() else { return };
    let on_side: f64 = ranked.iter().filter(|r| r.side == best.side).map(|r| r.probability).sum();
    finding.side = (on_side > 0.6).then_some(best.side);
    if best.probability >= PLACE_MIN {
        finding.place = finding.candidates.first().map(|candidate| candidate.pipe.as_str().to_owned());
    }
    finding.branch = sites_behind(layout, smallest_branch(topology, &ranked));
    finding.affected = sites_behind(layout, Some(best.trench));
    finding.valves = topology.isolating_valves(best.trench);
}

/// Lowest trench below (and with) which most of the probability lies; `None` for the whole network.
fn smallest_branch(topology: &Topology, ranked: &[Ranked]) -> Option<u32> {
    let mut below = vec![0.0; topology.trenches.len()];
    for ranked in ranked {
        let lower = topology.trenches[ranked.trench as usize].lower;
        for trench in topology.path(lower) {
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

/// Without pipes: the stations whose pressures fell furthest beyond the common fall are nearest.
fn place_by_drops(
    layout: &Layout,
    before: &impl Fn(u32) -> Option<f64>,
    after: &impl Fn(u32) -> Option<f64>,
    finding: &mut Finding,
) {
    let mut worst: Vec<(f64, Side, &SiteId)> = Vec::new();
    for (side, role) in place::SIDES {
        for (_, site) in layout.of_kind(SiteKind::Station) {
            let Some(signal) = site.signal(role) else { continue };
            if let Some(change) = after(signal).zip(before(signal)).map(|(after, before)| before - after) {
                worst.push((change, side, &site.id));
            }
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.cmp(b.2)));
    let Some((most, side, _)) = worst.first().copied() else {
        finding.lacked.push("primary_supply_pressure".to_owned());
        return;
    };
    let mut changes: Vec<f64> =
        worst.iter().filter(|(_, s, _)| *s == side).map(|(change, _, _)| *change).collect();
    changes.sort_by(f64::total_cmp);
    let common = changes[changes.len() / 2];
    if most - common > 10_000.0_f64.max(0.2 * common.abs()) {
        finding.side = Some(side);
        finding.branch = worst
            .iter()
            .filter(|(change, s, _)| *s == side && *change > f64::midpoint(common, most))
            .map(|(_, _, site)| (*site).clone())
            .collect();
        finding.branch.sort();
    }
    finding.lacked.push("pipes".to_owned());
}

/// Adds stations that lost more than half of their differential pressure.
fn lost_pressure(
    layout: &Layout,
    before: &impl Fn(u32) -> Option<f64>,
    after: &impl Fn(u32) -> Option<f64>,
    affected: &mut Vec<SiteId>,
) {
    for (_, site) in layout.of_kind(SiteKind::Station) {
        let head = |value: &dyn Fn(u32) -> Option<f64>| {
            Some(value(site.signal(Role::SupplyPressure)?)? - value(site.signal(Role::ReturnPressure)?)?)
        };
        if let (Some(was), Some(is)) = (head(before), head(after))
            && is < 0.5 * was
            && !affected.contains(&site.id)
        {
            affected.push(site.id.clone());
        }
    }
    affected.sort();
}

/// A leak that the balance says.
pub(crate) fn leak(layout: &Layout, places: &Places, leak: &Leak, circulation: f64) -> Finding {
    let class = if leak.abrupt { Class::LeakAbrupt } else { Class::LeakIncipient };
    let onset = bin_start(leak.onset_bin);
    let mut finding = empty("water_balance", class, onset, layout.level());
    finding.strength = leak.strength;
    finding.evidence.push(evidence(layout, "make_up_excess", leak.loss_kg_s, "kg/s", onset));
    finding.evidence.push(evidence(
        layout,
        "share_of_circulation",
        leak.loss_kg_s / circulation.max(1e-9),
        "1",
        onset,
    ));
    finding.evidence.push(evidence(layout, "make_up_meter_at_fault", leak.fault_probability, "1", onset));
    match places.case(layout, leak.loss_kg_s, leak.supply_side) {
        Some(case) => place_by_pipes(layout, &case, &mut finding),
        None => finding.lacked.push("pipes".to_owned()),
    }
    finding.loss_kg_s = Some(leak.loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(leak.loss_kg_s, finding.side));
    finding
}

fn evidence(layout: &Layout, what: &str, value: f64, unit: &str, at: EventTime) -> Evidence {
    let place = layout.of_kind(SiteKind::Source).next().map_or("", |(_, source)| source.id.as_str());
    Evidence {
        detector: "water_balance".to_owned(),
        place: place.to_owned(),
        what: what.to_owned(),
        value,
        unit: unit.to_owned(),
        at,
    }
}

/// The leak is over.
pub(crate) fn leak_over(bin: i64) -> Finding {
    let mut finding = empty("water_balance", Class::LeakAbrupt, bin_start(bin), ModelLevel::L0);
    finding.active = false;
    finding
}

/// The make-up meter contradicts the big meters.
pub(crate) fn make_up_fault(layout: &Layout, onset_bin: i64, excess_kg_s: f64) -> Finding {
    let onset = bin_start(onset_bin);
    let mut finding = empty("water_balance", Class::SensorFault, onset, layout.level());
    finding.kind = Some("bias".to_owned());
    finding.place = layout
        .of_kind(SiteKind::Source)
        .find(|(_, source)| source.signal(Role::MakeUpFlow).is_some())
        .map(|(_, source)| format!("{} make_up_flow", source.id));
    finding.evidence.push(evidence(layout, "make_up_excess", excess_kg_s, "kg/s", onset));
    finding
}

/// What is lost all the time.
pub(crate) fn standing(layout: &Layout, bin: i64, loss_kg_s: f64, circulation: f64) -> Finding {
    let at = bin_start(bin);
    let mut finding = empty("water_balance", Class::StandingLoss, at, layout.level());
    finding.loss_kg_s = Some(loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(loss_kg_s, None));
    finding.evidence.push(evidence(
        layout,
        "share_of_circulation",
        loss_kg_s / circulation.max(1e-9),
        "1",
        at,
    ));
    finding
}

/// A station is cut off, or well again.
pub(crate) fn station(layout: &Layout, site: u32, kind: &str, since_us: i64, active: bool) -> Finding {
    let id = &layout.sites[site as usize].id;
    let mut finding =
        empty("station_pressure", Class::ConsumerThermal, EventTime::from_micros(since_us), layout.level());
    finding.kind = Some(kind.to_owned());
    finding.active = active;
    finding.place = Some(id.as_str().to_owned());
    finding.affected.push(id.clone());
    finding
}
