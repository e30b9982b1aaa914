//! Recall and delay of injected faults, by kind and size.

use heat_detect::scoring::{HOUR_US, base, chance_line};

use super::{Judged, confusion::proportion, figures::median};
use crate::{
    inject::{FaultKind, InjectedFault, SIZES},
    report::{Confusion, EventVerdict, Injected, InjectedRow},
};

pub(super) fn injected(judged: &Judged<'_>, confusion: Option<&Confusion>) -> Option<Injected> {
    let injection = judged.case.injection?;
    let faults: Vec<(usize, &InjectedFault)> = judged
        .scored_events
        .iter()
        .filter_map(|&event| {
            let label = judged.labels[event];
            let is_it = |fault: &&InjectedFault| {
                fault.label.event == label.event && fault.label.network == label.network
            };
            Some((event, injection.faults.iter().find(is_it)?))
        })
        .collect();
    let mut rows = Vec::new();
    for kind in FaultKind::ALL {
        let of_kind: Vec<(usize, &InjectedFault)> =
            faults.iter().filter(|(_, fault)| fault.kind == kind).copied().collect();
        rows.push(row(judged, confusion, kind, None, &of_kind));
        for &size in SIZES[kind as usize] {
            let of_size: Vec<(usize, &InjectedFault)> =
                of_kind.iter().filter(|(_, fault)| fault.size.total_cmp(&size).is_eq()).copied().collect();
            rows.push(row(judged, confusion, kind, Some(size), &of_size));
        }
    }
    Some(Injected { seeds: injection.seeds.clone(), empty_slots: injection.empty_slots, rows })
}

fn row(
    judged: &Judged<'_>,
    confusion: Option<&Confusion>,
    kind: FaultKind,
    size: Option<f64>,
    faults: &[(usize, &InjectedFault)],
) -> InjectedRow {
    let class = if kind == FaultKind::Gap { "silence" } else { "sensor_fault" };
    let events: Vec<usize> = faults.iter().map(|(event, _)| *event).collect();
    let alarms: Vec<usize> = judged
        .scored_alarms
        .iter()
        .copied()
        .filter(|&alarm| base(&judged.alarms[alarm].class) == class)
        .collect();
    let chance = chance_line(&judged.pick_events(&events), &judged.pick_alarms(&alarms), |network| {
        judged.span(network).unwrap_or_default()
    });
    let found: Vec<(usize, usize)> = events
        .iter()
        .filter(|&&event| judged.event_verdicts[event] == EventVerdict::Found)
        .filter_map(|&event| Some((event, judged.alarm_of[event]?)))
        .collect();
    let raised = |alarm: usize| &judged.case.record.alarms[judged.order[alarm]];
    let is_called = |alarm: usize| match kind {
        FaultKind::Gap => true,
        FaultKind::Stuck
        | FaultKind::Bias
        | FaultKind::Drift
        | FaultKind::Spikes
        | FaultKind::Swapped
        | FaultKind::Sentinel => raised(alarm).kind.as_deref() == Some(kind.as_str()),
    };
    let told = |event: usize| {
        let label = judged.labels[event];
        confusion?
            .events
            .iter()
            .find(|told| told.event == label.event && told.network == label.network.as_str())
    };
    InjectedRow {
        kind: kind.as_str(),
        size,
        unit: kind.unit(),
        found: proportion(found.len(), events.len()),
        kind_right: found.iter().filter(|(_, alarm)| is_called(*alarm)).count(),
        misnamed: events
            .iter()
            .filter(|&&event| told(event).and_then(|told| told.said).is_some_and(|said| said != "sensor"))
            .count(),
        not_judgeable: events
            .iter()
            .filter(|&&event| told(event).is_some_and(|told| told.not_judgeable.is_some()))
            .count(),
        chance_mean: chance.map(|line| line.mean),
        chance_quantile95: chance.map(|line| line.quantile95),
        median_delay_h: median(found.iter().map(|(event, alarm)| {
            (judged.alarms[*alarm].emitted_us - judged.events[*event].on_us) as f64 / HOUR_US as f64
        })),
    }
}
