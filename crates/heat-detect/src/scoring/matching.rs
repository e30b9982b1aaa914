//! Pairs of alarms and events, and the rates that follow.

use std::collections::BTreeMap;

use super::{Alarm, DAY_US, Event, HOUR_US, base, deadline_us, is_loss, is_of_a_place, site_of};

/// An event that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Index of the event.
    pub event: usize,
    /// Index of the alarm.
    pub alarm: usize,
    /// Onset to emission, microseconds.
    pub delay_us: i64,
}

/// The outcome of matching.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// One-to-one pairs, in order of events.
    pub matches: Vec<Match>,
    /// Alarms that match nothing, in order of emission.
    pub false_alarms: Vec<usize>,
    /// Further alarms inside a matched live event: reported, not scored.
    pub repeats: Vec<usize>,
}

/// Merges alarms of one class and network (and site, where the class speaks of one) within 6 h (losses of water) or
/// 24 h (others); the first one stands. Gives the indexes that stand, in order of emission.
pub fn merge(alarms: &[Alarm]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..alarms.len()).collect();
    order.sort_by_key(|&index| (alarms[index].emitted_us, index));
    let mut last: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
    order.retain(|&index| {
        let alarm = &alarms[index];
        let span = if is_loss(&alarm.class) { 6 * HOUR_US } else { DAY_US };
        let site = if is_of_a_place(&alarm.class) { site_of(&alarm.place, &alarm.network) } else { "" };
        let key = (base(&alarm.class), alarm.network.as_str(), site);
        let stands = last.get(&key).is_none_or(|&first| alarm.emitted_us - first >= span);
        if stands {
            last.insert(key, alarm.emitted_us);
        }
        stands
    });
    order
}

/// Whether an alarm is about this event's class, network and place, whatever the time.
pub fn is_about(event: &Event, alarm: &Alarm) -> bool {
    base(&event.class) == base(&alarm.class) && event.network == alarm.network && {
        let (said, true_place) =
            (site_of(&alarm.place, &alarm.network), site_of(&event.place, &event.network));
        !is_of_a_place(&event.class) || said.is_empty() || true_place.is_empty() || said == true_place
    }
}

/// Whether an alarm may be an event's.
pub fn may_match(event: &Event, alarm: &Alarm) -> bool {
    event.on_us <= alarm.emitted_us && alarm.emitted_us <= deadline_us(event) && is_about(event, alarm)
}

/// One-to-one maximum matching; among equals, earlier alarms go first.
pub fn match_alarms(events: &[Event], alarms: &[Alarm]) -> Matching {
    let mut order: Vec<usize> = (0..alarms.len()).collect();
    order.sort_by_key(|&index| (alarms[index].emitted_us, &alarms[index].class, &alarms[index].place, index));
    let by_deadline = events_by_deadline(events);
    let fits: Vec<Vec<usize>> = alarms
        .iter()
        .map(|alarm| by_deadline.iter().copied().filter(|&event| may_match(&events[event], alarm)).collect())
        .collect();
    let alarm_of = pair(&order, &fits, events.len());
    let mut matching = Matching::default();
    let mut used = vec![false; alarms.len()];
    for (event, alarm) in alarm_of.iter().enumerate() {
        if let Some(alarm) = *alarm {
            used[alarm] = true;
            let delay_us = alarms[alarm].emitted_us - events[event].on_us;
            matching.matches.push(Match { event, alarm, delay_us });
        }
    }
    for &alarm in order.iter().filter(|&&alarm| !used[alarm]) {
        let inside = matching.matches.iter().any(|found| {
            let event = &events[found.event];
            is_about(event, &alarms[alarm])
                && (event.on_us..=event.off_us).contains(&alarms[alarm].emitted_us)
        });
        if inside { matching.repeats.push(alarm) } else { matching.false_alarms.push(alarm) }
    }
    matching
}

/// Events in an order that does not depend on how they were given: those whose window ends first come first.
fn events_by_deadline(events: &[Event]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|&index| {
        let event = &events[index];
        (deadline_us(event), event.on_us, event.off_us, &event.class, &event.network, &event.place, index)
    });
    order
}

/// Alarm of each event. `fits` holds each alarm's possible events; alarms that come first in `order` are preferred.
pub(super) fn pair(order: &[usize], fits: &[Vec<usize>], events: usize) -> Vec<Option<usize>> {
    let mut alarm_of: Vec<Option<usize>> = vec![None; events];
    let mut seen = vec![0_usize; events];
    for (round, &alarm) in order.iter().enumerate() {
        augment(fits, alarm, &mut alarm_of, &mut seen, round + 1);
    }
    alarm_of
}

/// Kuhn's augmenting path. It is never deeper than there are events.
fn augment(
    fits: &[Vec<usize>],
    alarm: usize,
    alarm_of: &mut [Option<usize>],
    seen: &mut [usize],
    round: usize,
) -> bool {
    for &event in &fits[alarm] {
        if std::mem::replace(&mut seen[event], round) == round {
            continue;
        }
        let free = match alarm_of[event] {
            None => true,
            Some(other) => augment(fits, other, alarm_of, seen, round),
        };
        if free {
            alarm_of[event] = Some(alarm);
            return true;
        }
    }
    false
}

/// Precision, recall and their means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// True alarms of all scored; `None` where none was raised.
    pub precision: Option<f64>,
    /// Found events of all; `None` where there was none.
    pub recall: Option<f64>,
    /// Precision counts twice; 0 where nothing was found, `None` where there was nothing to find.
    pub f05: Option<f64>,
    /// Both count alike.
    pub f1: Option<f64>,
}

/// Rates of so many events, found ones and false alarms.
pub fn rates(events: usize, found: usize, false_alarms: usize) -> Rates {
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let (precision, recall) = (share(found, found + false_alarms), share(found, events));
    let f = |beta: f64| {
        let weight = beta * beta;
        let (precision, recall) = (precision.unwrap_or(0.0), recall?);
        let below = weight * precision + recall;
        Some(if below > 0.0 { (1.0 + weight) * precision * recall / below } else { 0.0 })
    };
    Rates { precision, recall, f05: f(0.5), f1: f(1.0) }
}
