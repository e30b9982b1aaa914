//! From what was said and what really happened to the report.
//!
//! All rules of matching, rates and location are those of [`heat_detect::scoring`]; what stands here is which alarms
//! and events they are applied to. Of each network the first 14 days are not scored: an alarm then, and one about an
//! event that began then, is neither true nor false.

mod cases;
mod confusion;
mod coverage;
mod figures;
mod injected;
mod networks;

use std::collections::BTreeMap;

use heat_codec::time_text::rfc3339;
use heat_detect::{
    DetectSettings,
    scoring::{
        Alarm, Event, Matching, WARM_UP_US, base, chance_line, deadline_us, event_rate, is_loss,
        is_of_a_place, match_alarms, matching::is_about, merge, rates,
    },
};
use heat_model::{EventTime, label::Label, plant::PlantModel};

use crate::{
    inject::InjectedFault,
    recorded::Oddities,
    report::{AlarmVerdict, CostReport, EventVerdict, GroupScore, RateReport, Report, Scores, SpanText},
    run::Record,
};

/// Number of the report's layout.
const FORMAT: u32 = 1;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What the detectors said.
    pub record: &'a Record,
    /// What really happened, if anybody knows.
    pub labels: Option<&'a [Label]>,
    /// The plant model that the detectors had.
    pub plant: &'a PlantModel,
    /// Settings of the detectors.
    pub settings: &'a DetectSettings,
    /// What was odd about recorded files.
    pub oddities: Option<&'a Oddities>,
    /// Faults that were put in; they are among the labels too.
    pub injection: Option<&'a Injection>,
}

/// Faults that were put into the data.
#[derive(Debug, Clone, Default)]
pub struct Injection {
    /// The faults.
    pub faults: Vec<InjectedFault>,
    /// Seeds that they were drawn from.
    pub seeds: Vec<u64>,
    /// Times at which a site should have got one and delivered no heat.
    pub empty_slots: u64,
}

fn text(at_us: i64) -> String {
    rfc3339(EventTime::from_micros(at_us))
}

/// Alarms and events with their verdicts, before anything is told.
#[derive(Debug)]
struct Judged<'a> {
    case: Case<'a>,
    /// Order of emission; by index of the record's alarms.
    order: Vec<usize>,
    alarms: Vec<Alarm>,
    alarm_verdicts: Vec<AlarmVerdict>,
    /// Event that an alarm found.
    event_of: Vec<Option<usize>>,
    labels: Vec<&'a Label>,
    events: Vec<Event>,
    event_verdicts: Vec<EventVerdict>,
    alarm_of: Vec<Option<usize>>,
    /// Scored time of each network.
    spans: BTreeMap<String, (i64, i64)>,
    /// Indexes of scored events and alarms.
    scored_events: Vec<usize>,
    scored_alarms: Vec<usize>,
}

/// Judges a run.
pub fn judge(case: Case<'_>) -> Report {
    let judged = Judged::new(case);
    let events = cases::events(&judged);
    let networks = networks::scores(&judged, &events);
    let alarms = cases::alarms(&judged);
    let scores = scores(&judged, &events, networks);
    let record = case.record;
    let first = record.networks.values().filter_map(|network| network.first_us).min();
    let confusion = confusion::confusion(&judged);
    let injected = injected::injected(&judged, confusion.as_ref());
    let last = record.networks.values().filter(|n| n.first_us.is_some()).map(|n| n.last_us).max();
    Report {
        format: FORMAT,
        span: first.zip(last).map(|(from, to)| SpanText { from: text(from), to: text(to) }),
        labelled: case.labels.is_some(),
        alarms,
        events,
        scores,
        confusion,
        injected,
        costs: costs(record),
        coverage: coverage::coverage(&judged),
    }
}

impl<'a> Judged<'a> {
    fn new(case: Case<'a>) -> Self {
        let record = case.record;
        let mut order: Vec<usize> = (0..record.alarms.len()).collect();
        order.sort_by_key(|&index| {
            let alarm = &record.alarms[index];
            (alarm.emitted_us, &alarm.network, alarm.class, alarm.id)
        });
        let alarms: Vec<Alarm> = order
            .iter()
            .map(|&index| {
                let raised = &record.alarms[index];
                Alarm {
                    class: raised.class.as_str().to_owned(),
                    network: raised.network.as_str().to_owned(),
                    emitted_us: raised.emitted_us,
                    place: raised.place.clone().unwrap_or_default(),
                }
            })
            .collect();
        let spans = record
            .networks
            .iter()
            .filter_map(|(id, network)| {
                let from = network.first_us? + WARM_UP_US;
                Some((id.as_str().to_owned(), (from, network.last_us.max(from))))
            })
            .collect();
        let mut labels: Vec<&Label> = case.labels.unwrap_or_default().iter().collect();
        labels.sort_by(|a, b| (a.start, &a.network, &a.event).cmp(&(b.start, &b.network, &b.event)));
        let events: Vec<Event> = labels.iter().map(|label| event_of(label)).collect();
        let mut judged = Self {
            case,
            order,
            alarm_verdicts: vec![AlarmVerdict::Unlabelled; alarms.len()],
            event_of: vec![None; alarms.len()],
            alarms,
            labels,
            event_verdicts: vec![EventVerdict::Unscored; events.len()],
            alarm_of: vec![None; events.len()],
            events,
            spans,
            scored_events: Vec::new(),
            scored_alarms: Vec::new(),
        };
        judged.sort_out();
        judged.pair();
        judged
    }

    fn span(&self, network: &str) -> Option<(i64, i64)> {
        self.spans.get(network).copied()
    }

    /// What is scored at all.
    fn sort_out(&mut self) {
        let inside = |network: &str, at_us: i64| {
            self.spans.get(network).is_some_and(|(from, to)| (*from..=*to).contains(&at_us))
        };
        self.scored_events = (0..self.events.len())
            .filter(|&e| inside(&self.events[e].network, self.events[e].on_us))
            .collect();
        let began_early: Vec<&Event> =
            self.events.iter().filter(|event| !inside(&event.network, event.on_us)).collect();
        let counts = |alarm: &Alarm| {
            inside(&alarm.network, alarm.emitted_us)
                && !began_early.iter().any(|event| {
                    is_about(event, alarm)
                        && event.on_us <= alarm.emitted_us
                        && alarm.emitted_us <= event.off_us
                })
        };
        let counted: Vec<usize> = (0..self.alarms.len()).filter(|&a| counts(&self.alarms[a])).collect();
        let of_counted: Vec<Alarm> = counted.iter().map(|&a| self.alarms[a].clone()).collect();
        self.scored_alarms = merge(&of_counted).into_iter().map(|at| counted[at]).collect();
        let first = if self.case.labels.is_some() { AlarmVerdict::False } else { AlarmVerdict::Unlabelled };
        self.alarm_verdicts.fill(AlarmVerdict::Unscored);
        for &alarm in &counted {
            self.alarm_verdicts[alarm] = AlarmVerdict::Merged;
        }
        for &alarm in &self.scored_alarms {
            self.alarm_verdicts[alarm] = first;
        }
    }

    fn pair(&mut self) {
        if self.case.labels.is_none() {
            return;
        }
        let (events, alarms) = self.scored(|_| true);
        let matching = self.matching(&events, &alarms);
        for &event in &events {
            self.event_verdicts[event] = EventVerdict::Missed;
        }
        for found in &matching.matches {
            let (event, alarm) = (events[found.event], alarms[found.alarm]);
            self.event_verdicts[event] = EventVerdict::Found;
            self.alarm_verdicts[alarm] = AlarmVerdict::True;
            self.alarm_of[event] = Some(alarm);
            self.event_of[alarm] = Some(event);
        }
        for &repeat in &matching.repeats {
            self.alarm_verdicts[alarms[repeat]] = AlarmVerdict::Repeat;
        }
    }

    /// Scored events and alarms whose class is of a group.
    fn scored(&self, of_group: impl Fn(&str) -> bool) -> (Vec<usize>, Vec<usize>) {
        let events =
            self.scored_events.iter().copied().filter(|&e| of_group(&self.events[e].class)).collect();
        let alarms =
            self.scored_alarms.iter().copied().filter(|&a| of_group(&self.alarms[a].class)).collect();
        (events, alarms)
    }

    fn matching(&self, events: &[usize], alarms: &[usize]) -> Matching {
        match_alarms(&self.pick_events(events), &self.pick_alarms(alarms))
    }

    fn pick_events(&self, indexes: &[usize]) -> Vec<Event> {
        indexes.iter().map(|&event| self.events[event].clone()).collect()
    }

    fn pick_alarms(&self, indexes: &[usize]) -> Vec<Alarm> {
        indexes.iter().map(|&alarm| self.alarms[alarm].clone()).collect()
    }

    /// Scored time summed over networks, and over stations, microseconds.
    fn exposure_us(&self) -> (i64, i64) {
        self.case.record.networks.iter().fold((0, 0), |(networks, stations), (id, network)| {
            let (from, to) = self.span(id.as_str()).unwrap_or_default();
            let time = to - from;
            let count = i64::try_from(network.stations.len()).unwrap_or(i64::MAX);
            (networks + time, stations + time.saturating_mul(count))
        })
    }

    /// End of the time in which an event could have been found.
    fn given_up_us(&self, event: &Event) -> i64 {
        let end = self.span(&event.network).map_or(event.off_us, |(_, to)| to);
        deadline_us(event).min(end)
    }

    fn group(&self, name: &str, of_group: impl Fn(&str) -> bool) -> GroupScore {
        let (events, alarms) = self.scored(&of_group);
        let found = events.iter().filter(|&&e| self.event_verdicts[e] == EventVerdict::Found).count();
        let count = |verdict| alarms.iter().filter(|&&a| self.alarm_verdicts[a] == verdict).count();
        let labelled = self.case.labels.is_some();
        let false_alarms = if labelled { count(AlarmVerdict::False) } else { alarms.len() };
        let rates = rates(events.len(), found, false_alarms);
        let chance = chance_line(&self.pick_events(&events), &self.pick_alarms(&alarms), |network| {
            self.span(network).unwrap_or_default()
        });
        let per_station = is_of_a_place(name);
        let (networks_us, stations_us) = self.exposure_us();
        GroupScore {
            class: name.to_owned(),
            events: events.len(),
            found,
            false_alarms,
            repeats: count(AlarmVerdict::Repeat),
            precision: rates.precision.filter(|_| labelled),
            recall: rates.recall,
            f05: rates.f05,
            f1: rates.f1,
            chance_mean: chance.map(|line| line.mean),
            chance_quantile95: chance.map(|line| line.quantile95),
            above_chance: chance.zip(rates.recall).map(|(line, recall)| recall > line.quantile95),
            false_rate: rate(false_alarms, if per_station { stations_us } else { networks_us }),
            per: if per_station { "station" } else { "network" },
        }
    }
}

fn costs(record: &Record) -> Vec<CostReport> {
    let mut costs: Vec<CostReport> = record
        .networks
        .iter()
        .flat_map(|(id, network)| {
            network.costs.iter().cloned().map(|cost| CostReport { network: id.as_str().to_owned(), ..cost })
        })
        .collect();
    costs.sort_by(|a, b| b.capacity_gj.total_cmp(&a.capacity_gj).then_with(|| a.site.cmp(&b.site)));
    costs
}

fn event_of(label: &Label) -> Event {
    Event {
        class: label.class.clone(),
        network: label.network.as_str().to_owned(),
        on_us: label.start.as_micros(),
        off_us: label.end.as_micros(),
        place: label.place.clone(),
        size_kg_s: label.size_kg_s,
    }
}

fn months(exposure_us: i64) -> f64 {
    exposure_us as f64 / heat_detect::scoring::MONTH_US as f64
}

fn rate(count: usize, exposure_us: i64) -> RateReport {
    let rate = event_rate(count, exposure_us);
    RateReport {
        count,
        months: months(exposure_us),
        per_month: rate.map(|rate| rate.per_month),
        low95: rate.map(|rate| rate.low),
        high95: rate.map(|rate| rate.high),
    }
}

fn scores(
    judged: &Judged<'_>,
    events: &[crate::report::EventReport],
    networks: Vec<crate::report::NetworkScore>,
) -> Scores {
    let mut classes: Vec<String> = judged
        .scored_events
        .iter()
        .map(|&event| judged.events[event].class.as_str())
        .chain(judged.scored_alarms.iter().map(|&alarm| judged.alarms[alarm].class.as_str()))
        .map(|class| base(class).to_owned())
        .collect();
    classes.sort();
    classes.dedup();
    let (networks_us, stations_us) = judged.exposure_us();
    Scores {
        warm_up_days: months(WARM_UP_US) * 30.0,
        warm_up_pages: figures::warm_up_pages(judged).count(),
        warm_up_pages_unexplained: figures::warm_up_pages(judged).filter(|explained| !explained).count(),
        network_months: months(networks_us),
        station_months: months(stations_us),
        losses: judged.group("losses", is_loss),
        classes: classes.iter().map(|class| judged.group(class, |other| base(other) == class)).collect(),
        delay_abrupt: figures::delay(judged, heat_detect::scoring::is_sudden),
        delay_incipient: figures::delay(judged, |class| base(class) == "leak_incipient"),
        lost_before_detection_m3: figures::lost(events, EventVerdict::Found),
        lost_undetected_m3: figures::lost(events, EventVerdict::Missed),
        smallest_found: figures::smallest(events),
        sizes: figures::sizes(events),
        incipient_share_when_found: figures::incipient_share(events),
        told_once: figures::told_once(judged, is_loss).filter(|once| *once).count(),
        told: figures::told_once(judged, is_loss).count(),
        causes_told_once: figures::told_once(judged, |_| true).filter(|once| *once).count(),
        causes_told: figures::told_once(judged, |_| true).count(),
        delay_over_theory_median: figures::median(events.iter().filter_map(|e| e.delay_over_theory)),
        detectable: figures::detectable(events).count(),
        detectable_found_24h: figures::detectable(events)
            .filter(|event| event.delay_since_detectable_h.is_some_and(|hours| hours <= 24.0))
            .count(),
        location: figures::location(events),
        budget: figures::budget(judged),
        networks,
    }
}

#[cfg(test)]
mod tests;
