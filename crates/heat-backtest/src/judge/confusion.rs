//! The confusion matrix: what each event was called first, and what was called something without an event.

use std::collections::BTreeSet;

use heat_detect::scoring::{
    Event,
    confusion::{Family, concerns, in_time, wilson},
    deadline_us,
};
use heat_model::{label::Label, plant::SiteKind};

use super::Judged;
use crate::inject::{InjectedFault, SHOWS_KELVIN};
use crate::report::{Confusion, ConfusionEvent, ConfusionRow, Proportion};

/// What was named of one event.
struct Named {
    truth: Family,
    first: Option<(Family, usize)>,
    also: Vec<Family>,
}

pub(super) fn proportion(part: usize, whole: usize) -> Proportion {
    let interval = wilson(part, whole);
    Proportion {
        part,
        whole,
        share: (whole > 0).then(|| part as f64 / whole as f64),
        low95: interval.map(|(low, _)| low),
        high95: interval.map(|(_, high)| high),
    }
}

pub(super) fn confusion(judged: &Judged<'_>) -> Option<Confusion> {
    judged.case.labels?;
    let sources: BTreeSet<&str> = judged
        .case
        .plant
        .sites
        .iter()
        .filter(|site| site.kind == Some(SiteKind::Source))
        .map(|site| site.id.as_str())
        .collect();
    let is_source = |site: &str| sources.contains(site) || site == "source";
    let mut used = BTreeSet::new();
    let named: Vec<(usize, Named)> = judged
        .scored_events
        .iter()
        .filter_map(|&event| Some((event, named(judged, event, &is_source, &mut used)?)))
        .collect();
    let events: Vec<ConfusionEvent> =
        named.iter().map(|(event, named)| event_report(judged, *event, named)).collect();
    let mut rows: Vec<ConfusionRow> =
        Family::ALL.iter().map(|truth| row(truth.as_str(), &named, &events, *truth)).collect();
    rows.push(of_no_event(judged, &used));
    let said = named.iter().filter(|(_, named)| named.first.is_some()).count();
    let right = named.iter().filter(|(_, n)| n.first.is_some_and(|(said, _)| said == n.truth)).count();
    let hidden = events.iter().filter(|event| event.not_judgeable.is_some()).count();
    let crossed = |is_leak: bool| {
        let all =
            |n: &Named| n.first.map(|(said, _)| said).into_iter().chain(n.also.iter().copied()).collect();
        named
            .iter()
            .filter(|(_, n)| {
                let said: Vec<Family> = all(n);
                (n.truth == Family::Leak) == is_leak && said.iter().any(|s| (*s == Family::Leak) != is_leak)
            })
            .count()
    };
    Some(Confusion {
        rows,
        named: proportion(said, named.len()),
        named_of_judgeable: proportion(said, named.len() - hidden),
        right: proportion(right, said),
        leak_for_temperature: crossed(false),
        temperature_for_leak: crossed(true),
        events,
    })
}

fn named(
    judged: &Judged<'_>,
    event: usize,
    is_source: &impl Fn(&str) -> bool,
    used: &mut BTreeSet<usize>,
) -> Option<Named> {
    let truth = Family::of(&judged.events[event].class)?;
    let about: &Event = &judged.events[event];
    let mut first: Option<(Family, usize)> = None;
    let mut also = Vec::new();
    for &alarm in &judged.scored_alarms {
        let said = &judged.alarms[alarm];
        let Some(family) = Family::of(&said.class) else { continue };
        let is_another_s = judged.event_of[alarm].is_some_and(|other| other != event);
        if is_another_s || !concerns(about, said, is_source) {
            continue;
        }
        // Late, it neither counts for the event nor against the detectors.
        if (about.on_us..=about.off_us.max(deadline_us(about))).contains(&said.emitted_us) {
            used.insert(alarm);
        }
        if !in_time(about, said) {
            continue;
        }
        match first {
            None => first = Some((family, alarm)),
            Some((known, _)) if known != family && !also.contains(&family) => also.push(family),
            Some(_) => {}
        }
    }
    Some(Named { truth, first, also })
}

fn event_report(judged: &Judged<'_>, index: usize, named: &Named) -> ConfusionEvent {
    let label = judged.labels[index];
    ConfusionEvent {
        event: label.event.clone(),
        class: label.class.clone(),
        network: label.network.as_str().to_owned(),
        place: label.place.clone(),
        truth: named.truth.as_str(),
        said: named.first.map(|(family, _)| family.as_str()),
        alarm: named.first.map(|(_, alarm)| judged.case.record.alarms[judged.order[alarm]].id.to_string()),
        also: named.also.iter().map(|family| family.as_str()).collect(),
        not_judgeable: if named.first.is_none() { not_judgeable(judged, label) } else { None },
    }
}

/// Why a wrong signal could not be seen: it read what it should have, or nothing in the network says what it should read,
/// or only roughly.
fn not_judgeable(judged: &Judged<'_>, label: &Label) -> Option<String> {
    let is_it =
        |fault: &&InjectedFault| fault.label.event == label.event && fault.label.network == label.network;
    let injected = judged.case.injection.and_then(|injection| injection.faults.iter().find(is_it));
    if injected.is_some_and(|fault| !fault.shows) {
        return Some(format!("it read what it would have read anyway, to within {SHOWS_KELVIN} K"));
    }
    if !(label.class.contains("bias") || label.class.contains("drift")) {
        return None;
    }
    let network = judged.case.record.networks.get(&label.network)?;
    let signal = label.place.strip_prefix(label.network.as_str())?.strip_prefix('/')?;
    let Some((from, unit)) = network.redundancy.get(signal) else {
        return Some("no other signal says what it should read".to_owned());
    };
    let size = injected?.shift?;
    (size.abs() < *from)
        .then(|| format!("{size:+.2} {unit} is below {from:.2} {unit}, the least that the others can tell"))
}

fn row(
    truth: &'static str,
    named: &[(usize, Named)],
    events: &[ConfusionEvent],
    family: Family,
) -> ConfusionRow {
    let of = |said: Option<Family>| {
        named.iter().filter(|(_, n)| n.truth == family && n.first.map(|(first, _)| first) == said).count()
    };
    ConfusionRow {
        truth,
        events: named.iter().filter(|(_, n)| n.truth == family).count(),
        sensor: of(Some(Family::Sensor)),
        consumer: of(Some(Family::Consumer)),
        network: of(Some(Family::Network)),
        leak: of(Some(Family::Leak)),
        none: of(None),
        not_judgeable: events.iter().filter(|e| e.truth == truth && e.not_judgeable.is_some()).count(),
    }
}

/// Alarms that concern no event.
fn of_no_event(judged: &Judged<'_>, used: &BTreeSet<usize>) -> ConfusionRow {
    let count = |family: Family| {
        judged
            .scored_alarms
            .iter()
            .filter(|alarm| !used.contains(alarm) && judged.event_of[**alarm].is_none())
            .filter(|alarm| Family::of(&judged.alarms[**alarm].class) == Some(family))
            .count()
    };
    let [sensor, consumer, network, leak] = Family::ALL.map(count);
    ConfusionRow {
        truth: "none",
        events: sensor + consumer + network + leak,
        sensor,
        consumer,
        network,
        leak,
        none: 0,
        not_judgeable: 0,
    }
}
