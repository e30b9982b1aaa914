//! From what the detectors saw to findings: place, size, stations, valves, evidence.

use heat_hydraulics::water::density_kg_m3;
use std::time::Duration;

use heat_model::{
    AppendTime, EventTime, SiteId,
    incident::{Class, Evidence},
    plant::{ModelLevel, Side, SiteKind},
};

use super::{
    located::{burst_case, place_by_pipes},
    place::{self, Places},
};
use crate::{
    Finding,
    balance::Leak,
    bins::BIN_US,
    burst::{OpenBurst, View},
    incidents::{FURTHER_LOSS, METER_AT_FAULT, SHARE_OF_CIRCULATION},
    layout::{Layout, Role},
};

/// Temperatures that turn kg/s into m3/h, degC.
const SUPPLY_CELSIUS: f64 = 85.0;
const RETURN_CELSIUS: f64 = 45.0;

/// Below this share of its quarter hours a leak says how many were missing.
const HEARD_SHARE: f64 = 0.97;

/// A finding of a class, with nothing in it yet.
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
        affected_households: None,
        search_length_m: None,
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

pub(super) fn volume_flow_m3_h(loss_kg_s: f64, side: Option<Side>) -> f64 {
    let celsius = match side {
        Some(Side::Supply) => SUPPLY_CELSIUS,
        Some(Side::Return) => RETURN_CELSIUS,
        None => f64::midpoint(SUPPLY_CELSIUS, RETURN_CELSIUS),
    };
    loss_kg_s / density_kg_m3(celsius) * 3_600.0
}

/// An open burst, judged with what is known now.
pub(crate) fn burst(
    layout: &Layout,
    places: &Places,
    view: View<'_>,
    open: &OpenBurst,
    now: AppendTime,
) -> Finding {
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
        match burst_case(layout, places, view, open.loss_kg_s, &before, &after) {
            Some(case) => place_by_pipes(layout, &case, &mut finding),
            None => finding.lacked.push("hydraulic_solution".to_owned()),
        }
    } else {
        place_by_drops(layout, &before, &after, &mut finding);
    }
    lost_pressure(layout, &before, &after, &mut finding.affected);
    let share = open.loss_kg_s / view.circulation.max(1e-9);
    let share = evidence(layout, SHARE_OF_CIRCULATION, share, "1", finding.onset);
    finding.evidence.push(Evidence { detector: finding.detector.clone(), ..share });
    finding.loss_kg_s = Some(open.loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(open.loss_kg_s, finding.side));
    finding
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

/// What a loss is called by how it began.
pub(crate) const fn leak_class(abrupt: bool) -> Class {
    if abrupt { Class::LeakAbrupt } else { Class::LeakIncipient }
}

/// A leak that the balance says.
pub(crate) fn leak(layout: &Layout, places: &Places, leak: &Leak, circulation: f64) -> Finding {
    let onset = bin_start(leak.onset_bin);
    let mut finding = empty("water_balance", leak_class(leak.abrupt), onset, layout.level());
    finding.strength = leak.strength;
    finding.evidence.push(evidence(layout, "make_up_excess", leak.loss_kg_s, "kg/s", onset));
    finding.evidence.push(evidence(
        layout,
        SHARE_OF_CIRCULATION,
        leak.loss_kg_s / circulation.max(1e-9),
        "1",
        onset,
    ));
    if leak.fault_probability > 0.0 {
        finding.evidence.push(evidence(layout, METER_AT_FAULT, leak.fault_probability, "1", onset));
    }
    if let Some(step) = leak.step {
        let at = bin_start(step.onset_bin);
        finding.evidence.push(evidence(layout, FURTHER_LOSS, step.height, "kg/s", at));
    }
    if leak.at_least {
        finding.evidence.push(evidence(layout, "make_up_at_its_limit", leak.loss_kg_s, "kg/s", onset));
    }
    if let Some(unmetered) = leak.unmetered_kg_s {
        finding.evidence.push(evidence(layout, "unmetered_filling", unmetered, "kg/s", onset));
    }
    if leak.rough {
        finding.lacked.push("make_up_flow".to_owned());
    } else if !leak.has_witness {
        finding.lacked.push("witness_flows".to_owned());
    }
    if leak.unsure_load {
        finding.lacked.push("load_range".to_owned());
    }
    if leak.heard < HEARD_SHARE {
        finding
            .lacked
            .push(format!("water_balance ({:.0} % of its quarter hours)", 100.0 * (1.0 - leak.heard)));
    }
    match places.case(layout, leak) {
        Some(case) => place_by_pipes(layout, &case, &mut finding),
        None => finding.lacked.push("pipes".to_owned()),
    }
    if leak.loss_kg_s > 0.0 {
        finding.loss_kg_s = Some(leak.loss_kg_s);
        finding.loss_m3_h = Some(volume_flow_m3_h(leak.loss_kg_s, finding.side));
    }
    finding
}

pub(super) fn evidence(layout: &Layout, what: &str, value: f64, unit: &str, at: EventTime) -> Evidence {
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
