use heat_detect::scoring::{DAY_US, HOUR_US};
use heat_model::{
    EventTime, GatewayId, IncidentId, NetworkId, Origin,
    incident::{Candidate, Class},
    plant::{Circuit, ModelLevel, Pipe, PlantModel, Side},
};

use super::*;
use crate::{
    report::EventReport,
    run::{Raised, TraceStep},
};

fn network() -> NetworkId {
    "n".parse().unwrap()
}

/// An alarm so many hours after the network's first reading.
fn raised(class: Class, at_h: i64, number: u64) -> Raised {
    let origin = Origin { gateway: GatewayId::new("g").unwrap(), epoch: 1, seq: number };
    Raised {
        id: IncidentId::derive(&network(), &origin, 0),
        class,
        kind: None,
        network: network(),
        priority: class.priority(),
        emitted_us: at_h * HOUR_US,
        onset_us: (at_h - 1) * HOUR_US,
        cleared_us: None,
        place: None,
        side: Some(Side::Supply),
        candidates: vec![Candidate { pipe: "as".parse().unwrap(), probability: 0.6 }],
        later: vec![Candidate { pipe: "br".parse().unwrap(), probability: 0.9 }],
        later_side: Some(Side::Return),
        size_kg_s: Some(1.0),
        later_size_kg_s: Some(1.5),
        strength: 5.0,
        detector: "water_balance".to_owned(),
        affected: 0,
        level: ModelLevel::L2,
        lacked: Vec::new(),
        text_zh: "漏水 <管>".to_owned(),
        text_en: "leak & more".to_owned(),
    }
}

/// Sixty days of one network whose hours alternate by +-0.1 kg/s.
fn record(alarms: Vec<Raised>) -> Record {
    let mut record = Record { alarms, ..Record::default() };
    let known = record.networks.entry(network()).or_default();
    known.first_us = Some(0);
    known.last_us = 60 * DAY_US;
    known.circulation_kg_s = 50.0;
    known.trace = (0..60 * 96)
        .map(|quarter| TraceStep {
            at_us: quarter * 900_000_000,
            water_kg_s: 0.2,
            corrected_kg_s: if quarter / 4 % 2 == 0 { 0.3 } else { 0.1 },
            residual_kg_s: 0.0,
            statistic: 0.0,
            learns: quarter < 288,
        })
        .collect();
    record
}

fn label(event: &str, class: &str, on_h: i64, off_h: i64, size_kg_s: f64) -> Label {
    Label {
        event: event.to_owned(),
        class: class.to_owned(),
        network: network(),
        start: EventTime::from_micros(on_h * HOUR_US),
        end: EventTime::from_micros(off_h * HOUR_US),
        place: "bs".to_owned(),
        side: "return".to_owned(),
        size_kg_s: Some(size_kg_s),
    }
}

/// Trenches a (100 m) and b (300 m) in a row.
fn plant() -> PlantModel {
    let mut plant = PlantModel::default();
    plant.circuits.push(Circuit::new("c".parse().unwrap(), network()));
    for (id, from, to, length_m, side) in [
        ("as", "1", "2", 100.0, Side::Supply),
        ("ar", "1", "2", 100.0, Side::Return),
        ("bs", "2", "3", 300.0, Side::Supply),
        ("br", "2", "3", 300.0, Side::Return),
    ] {
        plant.pipes.push(Pipe {
            length_m: Some(length_m),
            side: Some(side),
            ..Pipe::new(id.parse().unwrap(), "c".parse().unwrap(), from.parse().unwrap(), to.parse().unwrap())
        });
    }
    plant
}

fn judged(alarms: Vec<Raised>, labels: Option<&[Label]>) -> Report {
    let (record, plant, settings) = (record(alarms), plant(), DetectSettings::default());
    judge(Case {
        record: &record,
        labels,
        plant: &plant,
        settings: &settings,
        oddities: None,
        injection: None,
    })
}

fn event<'a>(report: &'a Report, name: &str) -> &'a EventReport {
    report.events.iter().find(|event| event.event == name).unwrap()
}

const DAY_H: i64 = 24;

#[test]
fn every_alarm_and_event_gets_the_verdict_that_the_rules_give() {
    let on = 20 * DAY_H;
    let labels = [
        label("early", "leak_abrupt", 13 * DAY_H, 16 * DAY_H, 1.0),
        label("found", "leak_abrupt", on, on + 40, 1.0),
        label("missed", "burst", 40 * DAY_H, 40 * DAY_H + 5, 1.0),
        label("renamed", "leak_incipient", 30 * DAY_H, 33 * DAY_H, 1.0),
    ];
    let alarms = vec![
        raised(Class::LeakAbrupt, 5 * DAY_H, 0),      // while it learned
        raised(Class::LeakAbrupt, 15 * DAY_H, 1),     // about what began then
        raised(Class::LeakAbrupt, on - 1, 2),         // before the onset
        raised(Class::LeakAbrupt, on + 1, 3),         // within 6 h of the one before
        raised(Class::LeakAbrupt, on + 6, 4),         // true
        raised(Class::LeakAbrupt, on + 14, 5),        // again
        raised(Class::LeakAbrupt, 30 * DAY_H + 2, 6), // of another class
    ];

    let report = judged(alarms, Some(&labels));

    let verdicts: Vec<AlarmVerdict> = report.alarms.iter().map(|alarm| alarm.verdict).collect();
    assert_eq!(verdicts, {
        use AlarmVerdict::{False, Merged, Repeat, True, Unscored};
        [Unscored, Unscored, False, Merged, True, Repeat, False]
    });
    let verdict = |name| event(&report, name).verdict;
    assert_eq!(
        [verdict("early"), verdict("found"), verdict("missed"), verdict("renamed")],
        [EventVerdict::Unscored, EventVerdict::Found, EventVerdict::Missed, EventVerdict::Missed]
    );
    assert_eq!(event(&report, "renamed").found_as.as_deref(), Some("leak_abrupt"));
    assert_eq!(event(&report, "found").delay_h, Some(6.0));
    let losses = &report.scores.losses;
    assert_eq!((losses.events, losses.found, losses.false_alarms, losses.repeats), (3, 1, 2, 1));
    // What the live product would have paged meanwhile is told, and not scored.
    assert_eq!((report.scores.warm_up_pages, report.scores.warm_up_pages_unexplained), (1, 1));
    // 46 scored days, two false pages (P2).
    assert!((report.scores.network_months - 46.0 / 30.0).abs() < 1e-9);
    assert!((report.scores.budget.measured.per_month.unwrap() - 2.0 * 30.0 / 46.0).abs() < 1e-9);
}

#[test]
fn a_loss_is_told_once_where_nothing_else_reaches_the_desk_while_it_lasts() {
    let labels = [
        label("alone", "burst", 20 * DAY_H, 20 * DAY_H + 10, 5.0),
        label("echoed", "burst", 30 * DAY_H, 30 * DAY_H + 10, 5.0),
        label("listed", "burst", 40 * DAY_H, 40 * DAY_H + 10, 5.0),
    ];
    let report = judged(
        vec![
            raised(Class::Burst, 20 * DAY_H, 0),
            raised(Class::Burst, 30 * DAY_H, 1),
            raised(Class::Underheating, 30 * DAY_H + 2, 2),
            raised(Class::Burst, 40 * DAY_H, 3),
            raised(Class::SensorFault, 40 * DAY_H + 2, 4),
        ],
        Some(&labels),
    );
    assert_eq!((report.scores.told_once, report.scores.told), (2, 3));
    assert_eq!((report.scores.causes_told_once, report.scores.causes_told), (2, 3));
}

#[test]
fn a_perfect_detector_scores_one_and_a_silent_one_nothing() {
    let labels = [
        label("a", "burst", 20 * DAY_H, 20 * DAY_H + 3, 5.0),
        label("b", "leak_incipient", 30 * DAY_H, 36 * DAY_H, 2.0),
    ];
    let perfect = judged(
        vec![raised(Class::Burst, 20 * DAY_H, 0), raised(Class::LeakIncipient, 31 * DAY_H, 1)],
        Some(&labels),
    );
    let losses = &perfect.scores.losses;
    assert_eq!((losses.precision, losses.recall, losses.f1), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(losses.above_chance, Some(true));
    assert_eq!(perfect.scores.budget.kept, Some(true));
    assert_eq!(perfect.scores.delay_abrupt.median_h, Some(0.0));

    let silent = judged(Vec::new(), Some(&labels));
    assert_eq!((silent.scores.losses.recall, silent.scores.losses.precision), (Some(0.0), None));
    assert_eq!(silent.scores.losses.above_chance, Some(false));
    assert_eq!(silent.scores.delay_abrupt.median_h, None);
    assert!(silent.scores.lost_undetected_m3.unwrap() > 5.0 * 3.0 * 3.6);
    assert_eq!(silent.coverage.classes_never_raised, ["burst", "leak_incipient"]);
}

#[test]
fn sizes_noise_and_places_are_those_computed_by_hand() {
    let on = 20 * DAY_H;
    let labels = [
        label("step", "leak_abrupt", on, on + 100, 0.5),
        label("ramp", "leak_incipient", 30 * DAY_H, 30 * DAY_H + 100, 1.0),
    ];
    let alarms =
        vec![raised(Class::LeakAbrupt, on + 10, 0), raised(Class::LeakIncipient, 30 * DAY_H + 50, 1)];

    let report = judged(alarms, Some(&labels));

    // Hours of +-0.1 kg/s, whose correlation is not positive: sd 0.1, so s = 5 and 13 h / 25.
    let network = &report.scores.networks[0];
    assert!((network.noise_kg_s.unwrap() - 0.1).abs() < 1e-3, "{network:?}");
    assert!((network.smallest_by_noise_t_h.unwrap() - (13.0_f64 / 24.0).sqrt() * 0.36).abs() < 1e-2);
    let step = event(&report, "step");
    assert!((step.share.unwrap() - 0.01).abs() < 1e-12);
    assert!((step.detectability.unwrap() - 5.0).abs() < 0.05);
    assert!((step.delay_over_theory.unwrap() - 10.0 / (13.0 / 25.0)).abs() < 0.5);
    // 0.5 kg/s for 10 h at 45 degC.
    assert!((step.lost_m3.unwrap() - 18.0 / 0.9902).abs() < 0.05, "{:?}", step.lost_m3);
    // It reaches s = 1, 0.1 kg/s, after 10 of 100 h; at 50 h it is half its size.
    let ramp = event(&report, "ramp");
    assert!((ramp.delay_since_detectable_h.unwrap() - 40.0).abs() < 0.2);
    assert!((ramp.size_when_found_kg_s.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(ramp.delay_over_theory, None);

    assert_eq!((step.said_kg_s, step.said_later_kg_s), (Some(1.0), Some(1.5)));
    let size = &report.scores.sizes[1];
    assert_eq!((size.events, size.at_emission, size.later), (1, Some(2.0), Some(3.0)));

    // First named a, which is 50 + 150 m off; a day later b itself.
    let (first, later) = (step.located.unwrap(), step.located_later.unwrap());
    assert_eq!((first.distance_m, first.rank, first.side_right), (Some(200.0), None, Some(false)));
    assert_eq!((later.distance_m, later.rank, later.side_right), (Some(0.0), Some(1), Some(true)));
    assert!((first.search_fraction - 0.625).abs() < 1e-12 && (later.search_fraction - 0.375).abs() < 1e-12);
    let places = &report.scores.location[1];
    assert_eq!((places.later.top_1, places.later.median_distance_m), (Some(1.0), Some(0.0)));
    // The longest pipe is the prior's first guess.
    assert_eq!(places.prior.median_distance_m, Some(0.0));
}

#[test]
fn without_labels_alarms_stay_unjudged_and_their_rate_is_told() {
    let report =
        judged(vec![raised(Class::Burst, 20 * DAY_H, 0), raised(Class::Silence, 20 * DAY_H, 1)], None);

    assert!(report.alarms.iter().all(|alarm| alarm.verdict == AlarmVerdict::Unlabelled));
    let budget = &report.scores.budget;
    assert_eq!((budget.measured.count, budget.kept), (1, None), "P4 does not page");
    assert_eq!((report.scores.losses.precision, report.scores.losses.recall), (None, None));
}

#[test]
fn texts_of_the_data_are_escaped_in_the_page() {
    let (record, plant, settings) =
        (record(vec![raised(Class::Burst, 20 * DAY_H, 0)]), plant(), DetectSettings::default());
    let labels = [label("<e>", "burst", 20 * DAY_H, 20 * DAY_H + 3, 5.0)];
    let report = judge(Case {
        record: &record,
        labels: Some(&labels),
        plant: &plant,
        settings: &settings,
        oddities: None,
        injection: None,
    });

    let page = crate::report::html::html(&report, &record, &plant);

    assert!(page.contains("&lt;e&gt;") && page.contains("漏水 &lt;管&gt;") && !page.contains("<e>"));
}

fn at(place: &str, mut alarm: Raised) -> Raised {
    alarm.place = Some(place.to_owned());
    alarm
}

fn labelled(event: &str, class: &str, place: &str, on_h: i64) -> Label {
    Label { place: place.to_owned(), size_kg_s: None, ..label(event, class, on_h, on_h + 40, 0.0) }
}

#[test]
fn the_first_name_of_an_event_counts_and_a_leak_named_for_a_sensor_is_told() {
    let days = |day: i64| day * DAY_H;
    let labels = [
        labelled("right", "sensor_fault(stuck)", "n/a/meter/primary_supply_temperature", days(20)),
        labelled("dug up", "sensor_fault(bias)", "n/a/meter/primary_supply_flow", days(25)),
        labelled("cold", "underheating", "b", days(30)),
        labelled("missed", "sensor_fault(drift)", "n/b/meter/indoor_temperature", days(35)),
        labelled("leak", "leak_abrupt", "bs", days(40)),
    ];
    let alarms = vec![
        at("n/a/meter/primary_supply_temperature", raised(Class::SensorFault, days(20) + 5, 0)),
        raised(Class::LeakAbrupt, days(25) + 3, 1),
        at("n/a/meter/primary_supply_flow", raised(Class::SensorFault, days(25) + 9, 2)),
        at("b", raised(Class::ConsumerThermal, days(30) + 2, 3)),
        // A station's own finding during a leak sends nobody to dig.
        at("b", raised(Class::ConsumerThermal, days(40) + 1, 4)),
        raised(Class::LeakAbrupt, days(40) + 2, 5),
        at("a", raised(Class::ConsumerThermal, days(50), 6)),
    ];

    let confusion = judged(alarms, Some(&labels)).confusion.unwrap();

    let row = |truth: &str| *confusion.rows.iter().find(|row| row.truth == truth).unwrap();
    assert_eq!((row("sensor").sensor, row("sensor").leak, row("sensor").none), (1, 1, 1));
    assert_eq!((row("consumer").consumer, row("leak").leak, row("leak").consumer), (1, 1, 0));
    assert_eq!((row("none").consumer, row("none").leak), (2, 0));
    assert_eq!((confusion.named.part, confusion.named.whole), (4, 5));
    assert_eq!((confusion.right.part, confusion.right.whole), (3, 4));
    assert_eq!((confusion.leak_for_temperature, confusion.temperature_for_leak), (1, 0));
    let missed = confusion.events.iter().find(|event| event.event == "missed").unwrap();
    assert!(missed.not_judgeable.is_some(), "nothing says what an indoor sensor should read");
    assert_eq!((confusion.named_of_judgeable.part, confusion.named_of_judgeable.whole), (4, 4));
}
