//! Figures over all events: delays, losses, sizes, places.

use heat_detect::budget;
use heat_detect::scoring::{
    HOUR_US, base,
    delay::{curve, quantile_us, smallest_found_by_half},
    is_loss, is_of_a_place, is_sudden,
    matching::is_about,
};

use heat_model::incident::Priority;

use super::{Judged, rate};
use crate::report::{
    AlarmVerdict, Budget, DelayScore, EventReport, EventVerdict, LocatedReport, Location, LocationScore,
    PriorityBudget, SizeScore, SmallestFound,
};

fn hours(us: i64) -> f64 {
    us as f64 / HOUR_US as f64
}

pub(super) fn delay(judged: &Judged<'_>, of_group: impl Fn(&str) -> bool) -> DelayScore {
    let (events, _) = judged.scored(|class| is_loss(class) && of_group(class));
    let (mut observed, mut censored) = (Vec::new(), Vec::new());
    for event in events {
        let (truth, alarm) = (&judged.events[event], judged.alarm_of[event]);
        match alarm {
            Some(alarm) => observed.push(judged.alarms[alarm].emitted_us - truth.on_us),
            None => censored.push(judged.given_up_us(truth) - truth.on_us),
        }
    }
    let curve = curve(&observed, &censored);
    let quantile = |share| quantile_us(&curve, share).map(hours);
    DelayScore {
        found: observed.len(),
        missed: censored.len(),
        median_h: quantile(0.5),
        p90_h: quantile(0.9),
        curve: curve.iter().map(|step| (hours(step.at_us), step.found)).collect(),
    }
}

fn losses(events: &[EventReport]) -> impl Iterator<Item = &EventReport> {
    events.iter().filter(|event| is_loss(&event.class) && event.verdict != EventVerdict::Unscored)
}

/// Water lost by losses of one verdict, m3; `None` where no size is known.
pub(super) fn lost(events: &[EventReport], verdict: EventVerdict) -> Option<f64> {
    losses(events)
        .filter(|event| event.verdict == verdict)
        .filter_map(|event| event.lost_m3)
        .reduce(|a, b| a + b)
}

pub(super) fn found_within(event: &EventReport, hours: f64) -> bool {
    event.delay_h.is_some_and(|delay| delay <= hours)
}

/// Losses that come to stand out of the noise by one standard deviation or more.
pub(super) fn detectable(events: &[EventReport]) -> impl Iterator<Item = &EventReport> {
    losses(events).filter(|event| event.detectability.is_some_and(|s| s >= 1.0))
}

/// Median share of circulation that growing losses had reached when they were found.
pub(super) fn incipient_share(events: &[EventReport]) -> Option<f64> {
    median(losses(events).filter(|event| !is_sudden(&event.class)).filter_map(|event| {
        Some(event.share? * event.size_when_found_kg_s? / event.size_kg_s.filter(|size| *size > 0.0)?)
    }))
}

pub(super) fn smallest(events: &[EventReport]) -> Vec<SmallestFound> {
    [1.0, 24.0, 168.0]
        .into_iter()
        .map(|within_h| {
            let trials: Vec<(f64, bool)> = losses(events)
                .filter(|event| is_sudden(&event.class))
                .filter_map(|event| Some((event.share?, found_within(event, within_h))))
                .collect();
            SmallestFound {
                within_h,
                events: trials.len(),
                found: trials.iter().filter(|(_, found)| *found).count(),
                share: smallest_found_by_half(&trials),
            }
        })
        .collect()
}

/// Of sudden losses: one that grows has no one size.
pub(super) fn sizes(events: &[EventReport]) -> Vec<SizeScore> {
    ["burst", "leak_abrupt"]
        .into_iter()
        .map(|class| {
            let of_class = || losses(events).filter(|event| base(&event.class) == class);
            let ratio = |said: fn(&EventReport) -> Option<f64>| -> Vec<f64> {
                of_class()
                    .filter_map(|event| Some(said(event)? / event.size_kg_s.filter(|s| *s > 0.0)?))
                    .collect()
            };
            let (first, later) = (ratio(|event| event.said_kg_s), ratio(|event| event.said_later_kg_s));
            SizeScore {
                class: class.to_owned(),
                events: first.len(),
                at_emission: median(first.into_iter()),
                later: median(later.into_iter()),
            }
        })
        .collect()
}

/// Of each found event of a kind, whether its duty desk read of one incident while it lasted: of what concerns a whole
/// network no other that is to be seen to (P1 to P3), of what concerns a site no other about that site.
pub(super) fn told_once(judged: &Judged<'_>, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = bool> {
    let of_kind = judged.scored_events.iter().filter(move |&&event| wanted(&judged.events[event].class));
    of_kind.filter_map(|&event| {
        judged.alarm_of[event]?;
        let truth = &judged.events[event];
        let is_other = |alarm: usize, priority: Priority| {
            let is_about = if is_of_a_place(&truth.class) {
                site_of(&judged.alarms[alarm].place) == site_of(&truth.place)
            } else {
                priority <= Priority::P3
            };
            is_about && judged.event_of[alarm].is_none()
        };
        let mut incidents: Vec<_> = (0..judged.alarms.len())
            .filter(|&alarm| {
                let raised = &judged.case.record.alarms[judged.order[alarm]];
                judged.alarms[alarm].network == truth.network
                    && (truth.on_us..=truth.off_us).contains(&raised.emitted_us)
                    && (judged.event_of[alarm] == Some(event) || is_other(alarm, raised.priority))
            })
            .map(|alarm| judged.case.record.alarms[judged.order[alarm]].id)
            .collect();
        incidents.sort_unstable();
        incidents.dedup();
        Some(incidents.len() == 1)
    })
}

/// Site of a place, which may be a signal or device of it.
fn site_of(place: &str) -> &str {
    place.split('/').nth(1).unwrap_or(place)
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.is_empty() {
        None
    } else if values.len() % 2 == 1 {
        Some(values[middle])
    } else {
        Some(f64::midpoint(values[middle - 1], values[middle]))
    }
}

type Which = fn(&EventReport) -> Option<LocatedReport>;

/// Bursts and leaks apart: one is judged within minutes, the other within a day.
pub(super) fn location(events: &[EventReport]) -> Vec<Location> {
    [("burst", true), ("leak", false)]
        .into_iter()
        .map(|(class, is_burst)| {
            let located: Vec<&EventReport> = losses(events)
                .filter(|event| (base(&event.class) == "burst") == is_burst)
                .filter(|event| event.located.is_some())
                .collect();
            let score =
                |which: Which| location_score(located.iter().filter_map(|event| which(event)).collect());
            Location {
                class: class.to_owned(),
                at_emission: score(|event| event.located),
                later: score(|event| event.located_later),
                prior: score(|event| event.located_prior),
            }
        })
        .collect()
}

fn location_score(located: Vec<LocatedReport>) -> LocationScore {
    let share = |count: usize, of: usize| (of > 0).then(|| count as f64 / of as f64);
    let within = |metres: f64| {
        share(located.iter().filter(|l| l.distance_m.is_some_and(|d| d <= metres)).count(), located.len())
    };
    let top =
        |k: usize| share(located.iter().filter(|l| l.rank.is_some_and(|r| r <= k)).count(), located.len());
    let sides: Vec<bool> = located.iter().filter_map(|l| l.side_right).collect();
    LocationScore {
        events: located.len(),
        // A ranking without a place is as far off as it can be.
        median_distance_m: median(located.iter().map(|l| l.distance_m.unwrap_or(f64::INFINITY)))
            .filter(|distance| distance.is_finite()),
        hit_100m: within(100.0),
        hit_300m: within(300.0),
        top_1: top(1),
        top_3: top(3),
        top_5: top(5),
        side_right: share(sides.iter().filter(|right| **right).count(), sides.len()),
        side_said: share(sides.len(), located.len()),
        median_search_fraction: median(located.iter().map(|l| l.search_fraction)),
    }
}

/// Pages of the time that is not scored, each with whether a labelled event was on that explains it.
pub(super) fn warm_up_pages(judged: &Judged<'_>) -> impl Iterator<Item = bool> {
    (0..judged.alarms.len()).filter_map(|index| {
        let alarm = &judged.alarms[index];
        let (scored_from, _) = judged.span(&alarm.network)?;
        let is_page = judged.case.record.alarms[judged.order[index]].priority <= Priority::P2;
        (is_page && alarm.emitted_us < scored_from).then(|| {
            judged.events.iter().any(|event| {
                is_about(event, alarm) && (event.on_us..=event.off_us).contains(&alarm.emitted_us)
            })
        })
    })
}

/// What was promised and what was measured, by priority.
pub(super) fn budget(judged: &Judged<'_>) -> Budget {
    let promise = budget::Budget::of(judged.case.settings);
    let (networks_us, stations_us) = judged.exposure_us();
    let labelled = judged.case.labels.is_some();
    let count = |of: &dyn Fn(Priority) -> bool| {
        judged
            .scored_alarms
            .iter()
            .filter(|&&alarm| {
                of(judged.case.record.alarms[judged.order[alarm]].priority)
                    && matches!(judged.alarm_verdicts[alarm], AlarmVerdict::False | AlarmVerdict::Unlabelled)
            })
            .count()
    };
    let of = |priority, per, promised: f64, count, exposure_us| {
        let measured = rate(count, exposure_us);
        let kept = measured.low95.map(|low| low <= promised).filter(|_| labelled);
        PriorityBudget { priority, per, promised, measured, kept }
    };
    let pages =
        of("P1+P2", "network", promise.pages, count(&|priority| priority <= Priority::P2), networks_us);
    Budget {
        promised_per_network_month: pages.promised,
        measured: pages.measured,
        kept: pages.kept,
        by_priority: vec![
            pages,
            of("P3", "network", promise.next_day, count(&|p| p == Priority::P3), networks_us),
            of("P4", "station", promise.listed_per_station, count(&|p| p == Priority::P4), stations_us),
        ],
    }
}
