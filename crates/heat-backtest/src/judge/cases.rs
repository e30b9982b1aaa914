//! Alarms and events, one by one.

use std::collections::BTreeMap;

use heat_detect::scoring::{
    Event, HOUR_US, base,
    delay::lost_m3,
    detectability::{HOURS_AT_ONE, Noise},
    is_loss, is_sudden,
    location::{Trenches, locate},
    matching::is_about,
};
use heat_model::{
    NetworkId,
    incident::{Candidate, Priority},
    label::Label,
    plant::Side,
};

use super::{Judged, networks, text};
use crate::report::{AlarmReport, AlarmVerdict, CandidateReport, EventReport, EventVerdict, LocatedReport};

pub(super) fn alarms(judged: &Judged<'_>) -> Vec<AlarmReport> {
    judged
        .order
        .iter()
        .enumerate()
        .map(|(at, &index)| {
            let raised = &judged.case.record.alarms[index];
            AlarmReport {
                id: raised.id.to_string(),
                class: raised.class.as_str().to_owned(),
                kind: raised.kind.clone(),
                priority: priority(raised.priority).to_owned(),
                network: raised.network.as_str().to_owned(),
                emitted: text(raised.emitted_us),
                from: text(raised.onset_us),
                to: raised.cleared_us.map(text),
                place: raised.place.clone(),
                side: raised.side.map(|side| side.as_str().to_owned()),
                candidates: candidates(&raised.candidates),
                later: candidates(&raised.later),
                size_kg_s: raised.size_kg_s,
                strength: raised.strength,
                detector: raised.detector.clone(),
                affected: raised.affected,
                level: format!("{:?}", raised.level),
                lacked: raised.lacked.clone(),
                verdict: judged.alarm_verdicts[at],
                event: judged.event_of[at].map(|event| judged.labels[event].event.clone()),
                during: during(judged, at),
                text_zh: raised.text_zh.clone(),
                text_en: raised.text_en.clone(),
                emitted_us: raised.emitted_us,
                cleared_us: raised.cleared_us,
            }
        })
        .collect()
}

/// What else was on when a false alarm was raised.
fn during(judged: &Judged<'_>, alarm: usize) -> Vec<String> {
    if judged.alarm_verdicts[alarm] != AlarmVerdict::False {
        return Vec::new();
    }
    let raised = &judged.alarms[alarm];
    let on = |label: &&&Label| {
        label.network.as_str() == raised.network
            && base(&label.class) != "silence"
            && (label.start.as_micros()..=label.end.as_micros()).contains(&raised.emitted_us)
    };
    let told = |label: &&Label| format!("{} {} {}", label.event, label.class, label.place);
    judged.labels.iter().filter(on).map(told).collect()
}

const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::P1 => "P1",
        Priority::P2 => "P2",
        Priority::P3 => "P3",
        Priority::P4 => "P4",
    }
}

fn candidates(candidates: &[Candidate]) -> Vec<CandidateReport> {
    candidates
        .iter()
        .map(|candidate| CandidateReport {
            pipe: candidate.pipe.as_str().to_owned(),
            probability: candidate.probability,
        })
        .collect()
}

/// What is known of a network beside its events.
struct Known {
    trenches: Trenches,
    prior: Vec<usize>,
    noise: Option<Noise>,
    circulation_kg_s: f64,
}

pub(super) fn events(judged: &Judged<'_>) -> Vec<EventReport> {
    let mut known: BTreeMap<NetworkId, Known> = BTreeMap::new();
    for label in &judged.labels {
        known.entry(label.network.clone()).or_insert_with(|| know(judged, &label.network));
    }
    (0..judged.events.len())
        .map(|event| event_report(judged, event, &known[&judged.labels[event].network]))
        .collect()
}

fn know(judged: &Judged<'_>, network: &NetworkId) -> Known {
    let trenches = Trenches::new(judged.case.plant, network);
    let record = judged.case.record.networks.get(network);
    let year = record.map_or(0, |record| year_of(record.last_us));
    Known {
        prior: trenches.prior(year),
        trenches,
        noise: networks::noise_of(judged, network),
        circulation_kg_s: record.map_or(0.0, |record| record.circulation_kg_s),
    }
}

fn year_of(at_us: i64) -> u32 {
    text(at_us).get(..4).and_then(|year| year.parse().ok()).unwrap_or(0)
}

fn event_report(judged: &Judged<'_>, index: usize, known: &Known) -> EventReport {
    let (label, event) = (judged.labels[index], &judged.events[index]);
    let alarm = judged.alarm_of[index];
    let raised = alarm.map(|alarm| &judged.case.record.alarms[judged.order[alarm]]);
    let delay_us = raised.map(|raised| raised.emitted_us - event.on_us);
    let loss = is_loss(&event.class);
    let side = side_of(label.side.as_str());
    let lasted_us = delay_us.unwrap_or(event.off_us - event.on_us);
    let detectability =
        event.size_kg_s.filter(|_| loss).zip(known.noise).map(|(size, noise)| noise.detectability(size));
    let delay_h = delay_us.map(|us| us as f64 / HOUR_US as f64);
    // A growing loss is taken to grow in proportion to time.
    let sudden = is_sudden(&event.class);
    let lasts_h = ((event.off_us - event.on_us).max(1)) as f64 / HOUR_US as f64;
    let places = raised.filter(|_| loss).zip(known.trenches.of(&label.place));
    let located = |candidates: &[Candidate], said: Option<Side>, truth: usize| {
        let ranked = known.trenches.ranked(candidates.iter().map(|c| c.pipe.as_str()));
        located(known, &ranked, truth, said.zip(side).map(|(said, side)| said == side))
    };
    EventReport {
        event: label.event.clone(),
        class: label.class.clone(),
        network: event.network.clone(),
        start: text(event.on_us),
        end: text(event.off_us),
        place: label.place.clone(),
        side: label.side.clone(),
        size_kg_s: label.size_kg_s,
        share: label
            .size_kg_s
            .filter(|_| loss && known.circulation_kg_s > 0.0)
            .map(|s| s / known.circulation_kg_s),
        verdict: judged.event_verdicts[index],
        alarm: raised.map(|raised| raised.id.to_string()),
        found_as: found_as(judged, index),
        delay_h,
        said_kg_s: raised.and_then(|raised| raised.size_kg_s),
        said_later_kg_s: raised.and_then(|raised| raised.later_size_kg_s),
        lost_m3: if loss { lost_m3(event, lasted_us, side) } else { None },
        detectability,
        delay_since_detectable_h: delay_h
            .zip(detectability.filter(|s| *s >= 1.0))
            .map(|(hours, s)| hours - if sudden { 0.0 } else { lasts_h / s }),
        size_when_found_kg_s: delay_h
            .zip(event.size_kg_s.filter(|_| loss))
            .map(|(hours, size)| if sudden { size } else { size * (hours / lasts_h).min(1.0) }),
        delay_over_theory: delay_h
            .zip(detectability.filter(|_| sudden))
            .map(|(hours, s)| hours / (HOURS_AT_ONE / (s * s))),
        located: places.map(|(raised, truth)| located(&raised.candidates, raised.side, truth)),
        located_later: places.map(|(raised, truth)| located(&raised.later, raised.later_side, truth)),
        located_prior: places.map(|(_, truth)| self::located(known, &known.prior, truth, None)),
        on_us: event.on_us,
        off_us: event.off_us,
    }
}

fn located(known: &Known, ranked: &[usize], truth: usize, side_right: Option<bool>) -> LocatedReport {
    let located = locate(&known.trenches, ranked, truth);
    LocatedReport {
        distance_m: located.distance_m,
        rank: located.rank,
        search_fraction: located.search_fraction,
        side_right,
    }
}

fn side_of(word: &str) -> Option<Side> {
    [Side::Supply, Side::Return].into_iter().find(|side| side.as_str() == word)
}

/// Another loss's class under which a missed loss was alarmed while it lasted.
fn found_as(judged: &Judged<'_>, index: usize) -> Option<String> {
    let event = &judged.events[index];
    if judged.event_verdicts[index] != EventVerdict::Missed || !is_loss(&event.class) {
        return None;
    }
    judged
        .scored_alarms
        .iter()
        .map(|&alarm| &judged.alarms[alarm])
        .find(|alarm| {
            let renamed = Event { class: alarm.class.clone(), ..event.clone() };
            is_loss(&alarm.class)
                && is_about(&renamed, alarm)
                && (event.on_us..=event.off_us).contains(&alarm.emitted_us)
        })
        .map(|alarm| alarm.class.clone())
}
