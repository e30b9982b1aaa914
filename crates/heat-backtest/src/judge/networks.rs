//! Network by network: noise, smallest losses, false pages.

use heat_detect::scoring::{
    DAY_US, Event, HOUR_US, base,
    detectability::{Noise, noise},
    is_loss, is_sudden, site_of,
};
use heat_model::{NetworkId, incident::Priority};

use super::{Judged, figures::found_within, months};
use crate::{
    report::{AlarmVerdict, EventReport, EventVerdict, NetworkScore},
    run::{NetworkRecord, TraceStep},
};

/// Before an event's onset and behind its end so much is no noise either: clocks differ, and networks refill.
const LEAD_US: i64 = HOUR_US;
const REFILL_US: i64 = 6 * HOUR_US;

/// kg/s to t/h.
const T_H: f64 = 3.6;

pub(super) fn scores(judged: &Judged<'_>, events: &[EventReport]) -> Vec<NetworkScore> {
    judged
        .case
        .record
        .networks
        .iter()
        .map(|(id, network)| {
            let noise = noise_of(judged, id);
            let (from, to) = judged.span(id.as_str()).unwrap_or_default();
            let circulation = network.circulation_kg_s;
            let share = |kg_s: f64| (circulation > 0.0).then(|| kg_s / circulation);
            let smallest = noise.map(|noise| noise.smallest_kg_s(24.0));
            let sizes = |found: bool| {
                events
                    .iter()
                    .filter(move |event| {
                        event.network == id.as_str()
                            && is_sudden(&event.class)
                            && event.verdict != EventVerdict::Unscored
                            && found_within(event, 24.0) == found
                    })
                    .filter_map(|event| event.size_kg_s)
            };
            let smallest_found = sizes(true).reduce(f64::min);
            NetworkScore {
                network: id.as_str().to_owned(),
                months: months(to - from),
                circulation_kg_s: circulation,
                noise_kg_s: noise.map(|noise| noise.sigma_kg_s),
                noise_correlation: noise.map(|noise| noise.correlation),
                noise_hours: noise.map_or(0, |noise| noise.hours),
                smallest_by_noise_share: smallest.and_then(share),
                smallest_by_noise_t_h: smallest.map(|kg_s| kg_s * T_H),
                smallest_found_share: smallest_found.and_then(share),
                smallest_found_t_h: smallest_found.map(|kg_s| kg_s * T_H),
                largest_missed_t_h: sizes(false).reduce(f64::max).map(|kg_s| kg_s * T_H),
                false_pages: false_pages(judged, id),
            }
        })
        .collect()
}

/// Pages that match nothing; without labels, all pages.
fn false_pages(judged: &Judged<'_>, network: &NetworkId) -> usize {
    judged
        .scored_alarms
        .iter()
        .filter(|&&alarm| {
            let raised = &judged.case.record.alarms[judged.order[alarm]];
            raised.network == *network
                && raised.priority <= Priority::P2
                && matches!(judged.alarm_verdicts[alarm], AlarmVerdict::False | AlarmVerdict::Unlabelled)
        })
        .count()
}

/// Whether an event is a wrong sensor at a source, which is no noise of the network either.
fn blurs(event: &Event, network: &NetworkRecord) -> bool {
    let site = site_of(&event.place, &event.network);
    base(&event.class) == "sensor_fault" && !network.stations.iter().any(|station| station.as_str() == site)
}

/// Noise of a network's hours in which, as far as is known, nothing was lost: of the corrected make-up itself, because a
/// detector's baseline may stand still under suspicion.
pub(super) fn noise_of(judged: &Judged<'_>, id: &NetworkId) -> Option<Noise> {
    let network = judged.case.record.networks.get(id)?;
    let (from, _) = judged.span(id.as_str())?;
    let lost: Vec<(i64, i64)> = match judged.case.labels {
        Some(_) => judged
            .events
            .iter()
            .filter(|event| event.network == id.as_str() && (is_loss(&event.class) || blurs(event, network)))
            .map(|event| (event.on_us - LEAD_US, event.off_us + REFILL_US))
            .collect(),
        // Without labels what was alarmed counts as lost.
        None => judged
            .order
            .iter()
            .map(|&index| &judged.case.record.alarms[index])
            .filter(|raised| raised.network == *id && is_loss(base(raised.class.as_str())))
            .map(|raised| {
                let end = raised.cleared_us.unwrap_or(raised.emitted_us + DAY_US);
                (raised.onset_us - LEAD_US, end + REFILL_US)
            })
            .collect(),
    };
    let clean = |step: &&TraceStep| {
        step.at_us >= from && !step.learns && !lost.iter().any(|(on, off)| (*on..*off).contains(&step.at_us))
    };
    let steps: Vec<&TraceStep> = network.trace.iter().filter(clean).collect();
    let hour = |step: &TraceStep| step.at_us.div_euclid(HOUR_US);
    let hourly: Vec<(i64, f64)> = steps
        .chunk_by(|a, b| hour(a) == hour(b))
        .filter(|quarters| quarters.len() >= 3)
        .map(|quarters| {
            let sum: f64 = quarters.iter().map(|step| f64::from(step.corrected_kg_s)).sum();
            (hour(quarters[0]), sum / quarters.len() as f64)
        })
        .collect();
    noise(&hourly)
}
