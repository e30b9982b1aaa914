//! What becomes of what was told of a station: it lasts as long as it lasts, through silence, comes back as itself, and
//! ends with heating.

use heat_detect::DetectSettings;
use heat_model::{
    incident::{AlarmState, ChangeKind, Class, Incident, WorkState},
    plant::SeasonState,
    record::Action,
};

use crate::{
    quality::{of_class, value},
    stations::{DAY, SCAN, Trouble, WELL, metered, run},
    temps::controlled,
    world::{CALM, Feed, START, plant},
};

const HOUR: i64 = 3_600;
const ONSET: i64 = 6 * DAY;
const BYPASS: Trouble = Trouble { back: 5.0, ..WELL };

/// What happened to the incidents of a class, in order.
fn changes(feed: &Feed, class: Class) -> Vec<ChangeKind> {
    let events = feed.events().into_iter().filter(|event| event.incident.class == class);
    events.map(|event| event.change.kind).filter(|kind| *kind != ChangeKind::Updated).collect()
}

fn shown(incident: &Incident, what: &str) -> Option<f64> {
    incident.evidence.iter().find(|evidence| evidence.what == what).map(|evidence| evidence.value)
}

fn only(feed: &Feed, class: Class) -> Incident {
    let mut found = of_class(feed, class);
    assert_eq!(found.len(), 1, "{:?}", feed.incidents());
    found.remove(0)
}

#[test]
fn a_fault_of_a_station_is_open_for_as_long_as_it_lasts() {
    let mended = ONSET + 24 * DAY;
    let bypass = |at: i64| if (ONSET..mended).contains(&at) { BYPASS } else { WELL };
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, mended, bypass);
    let told = only(&feed, Class::ConsumerThermal);
    assert_ne!(told.alarm, AlarmState::Cleared, "{:?}", changes(&feed, Class::ConsumerThermal));
    // 5 K of 39 are a flow of 15 % for nothing, of 5 kg/s.
    let spent = shown(&told, "excess_flow_total").unwrap() / (0.15 * 5.0 * DAY as f64);
    assert!((9.0..=24.0).contains(&spent), "days by the last sum: {spent}");
    run(&mut feed, mended, mended + DAY, bypass);
    assert_eq!(
        changes(&feed, Class::ConsumerThermal),
        [ChangeKind::Opened, ChangeKind::Cleared],
        "{:?}",
        feed.incidents()
    );
    assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
}

#[test]
fn a_meter_of_a_source_is_wrong_until_it_is_right_and_its_stations_are_judged_meanwhile() {
    let (mended, bypassed) = (ONSET + 20 * DAY, ONSET + 18 * DAY);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        mended + DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            metered(at, list, if at >= bypassed { BYPASS } else { WELL });
            if (ONSET..mended).contains(&at) {
                *value(list, "source", "supply_flow") *= 1.08;
            }
        },
    );
    let meter = only(&feed, Class::SensorFault);
    assert_eq!(meter.place.as_deref(), Some("town/source/main/supply_flow"));
    assert_eq!(changes(&feed, Class::SensorFault), [ChangeKind::Opened, ChangeKind::Cleared]);
    assert!(meter.cleared.unwrap().as_micros() >= (START + mended) * 1_000_000, "{meter:?}");
    assert_eq!(only(&feed, Class::ConsumerThermal).kind.as_deref(), Some("high_return"));
}

#[test]
fn a_network_that_is_run_too_cold_stays_told_and_its_stations_are_judged_again_after_a_while() {
    let (onset, bypassed) = (ONSET, ONSET + 21 * DAY);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let until = bypassed + 2 * DAY;
    feed.run_with(
        0,
        until,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            if at >= onset {
                for (_, _, values) in list.iter_mut() {
                    for value in values.iter_mut().filter(|value| value.0.ends_with("supply_temperature")) {
                        value.2 -= 9.0;
                    }
                }
            }
            if at >= bypassed {
                *value(list, "b1", "primary_return_temperature") += 6.0;
            }
        },
    );
    let cold = only(&feed, Class::NetworkThermal);
    assert_eq!(cold.kind.as_deref(), Some("cold_supply"));
    assert_ne!(cold.alarm, AlarmState::Cleared, "{:?}", changes(&feed, Class::NetworkThermal));
    let later = feed.incidents().into_iter().find(|incident| incident.class != Class::NetworkThermal);
    let later = later.expect("b1's return is told");
    assert!(later.place.as_deref().is_some_and(|place| place.contains("b1")), "{later:?}");
    assert!(later.opened.second() >= START + bypassed, "{later:?}");
}

#[test]
fn silence_ends_no_fault_until_nothing_was_heard_for_two_weeks() {
    let (silent, pulled_down) = (ONSET + 2 * DAY, ONSET + 5 * DAY);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let hears = |at: i64| !(silent..silent + 4 * DAY / 3).contains(&at) && at < pulled_down;
    let scan = |feed: &mut Feed, from: i64, to: i64| {
        feed.run_with(
            from,
            to,
            SCAN,
            |_| CALM,
            |at, list| {
                metered(at, list, if at < ONSET { WELL } else { BYPASS });
                list.retain(|(site, _, _)| *site != "b1" || hears(at));
            },
        );
    };
    scan(&mut feed, 0, pulled_down + 13 * DAY);
    assert_eq!(changes(&feed, Class::ConsumerThermal), [ChangeKind::Opened]);
    scan(&mut feed, pulled_down + 13 * DAY, pulled_down + 15 * DAY);
    assert_eq!(changes(&feed, Class::ConsumerThermal), [ChangeKind::Opened, ChangeKind::Cleared]);
    let told = only(&feed, Class::ConsumerThermal);
    assert_eq!(shown(&told, "not_judged"), Some(14.0), "{told:?}");
    assert!(told.text_en.contains("nothing was heard of it for 14 d"), "{}", told.text_en);
}

#[test]
fn a_sensor_that_is_silent_is_not_right() {
    let silent = 8 * DAY + DAY;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        silent + 3 * DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            metered(at, list, WELL);
            if at >= 8 * DAY {
                *value(list, "b1", "secondary_supply_temperature") += 4.0;
            }
            // The primary is heard, and in line all the while.
            list.retain(|(site, device, _)| (*site, *device) != ("b1", "controller_2") || at < silent);
        },
    );
    let sensor = only(&feed, Class::SensorFault);
    assert_eq!(sensor.place.as_deref(), Some("town/b1/controller_2/secondary_supply_temperature"));
    assert_ne!(sensor.alarm, AlarmState::Cleared, "{sensor:?}");
}

#[test]
fn a_fault_that_comes_back_is_the_same_incident_again() {
    let again = ONSET + 6 * DAY;
    let has = |at: i64| (ONSET..ONSET + 2 * DAY).contains(&at) || at >= again;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, again + DAY, |at| if has(at) { BYPASS } else { WELL });
    let told = only(&feed, Class::ConsumerThermal);
    let both = [ChangeKind::Opened, ChangeKind::Cleared, ChangeKind::Reopened];
    assert_eq!(changes(&feed, Class::ConsumerThermal), both);
    assert_eq!(told.alarm, AlarmState::Unacknowledged);
    assert!(shown(&told, "excess_flow_total").is_some(), "what it cost before counts: {told:?}");
}

#[test]
fn a_repair_that_did_not_hold_is_told_with_the_incident_that_it_was_said_of() {
    let (repaired, again) = (ONSET + 2 * DAY, ONSET + 5 * DAY);
    let has = |at: i64| (ONSET..repaired).contains(&at) || at >= again;
    let trouble = |at: i64| if has(at) { BYPASS } else { WELL };
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, repaired, trouble);
    let incident = only(&feed, Class::ConsumerThermal).id;
    feed.command(START + repaired, "li", Action::Work { incident, state: WorkState::Repaired });
    run(&mut feed, repaired, again, trouble);
    assert_eq!(only(&feed, Class::ConsumerThermal).work, WorkState::Closed);
    run(&mut feed, again, again + DAY, trouble);
    let told = [ChangeKind::Opened, ChangeKind::Repaired, ChangeKind::Verified, ChangeKind::Reopened];
    assert_eq!(changes(&feed, Class::ConsumerThermal), told);
}

#[test]
fn what_comes_and_goes_by_the_day_is_one_line_that_stays_open() {
    let gone = ONSET + 8 * DAY;
    let has = |at: i64| (ONSET..gone).contains(&at) && (at / (12 * HOUR)) % 2 == 0;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, gone + 2 * DAY, |at| if has(at) { BYPASS } else { WELL });
    only(&feed, Class::ConsumerThermal);
    let told = [ChangeKind::Opened, ChangeKind::Cleared, ChangeKind::Reopened, ChangeKind::Cleared];
    assert_eq!(changes(&feed, Class::ConsumerThermal), told);
}

#[test]
fn the_end_of_heating_ends_what_is_the_matter_with_a_station_and_says_what_it_cost() {
    let ends = ONSET + 4 * DAY;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let trouble = |at: i64| if at < ONSET { WELL } else { BYPASS };
    run(&mut feed, 0, ends, trouble);
    let circuit = "primary".parse().unwrap();
    feed.command(START + ends, "anna", Action::Season { circuit, state: SeasonState::Off });
    run(&mut feed, ends, ends + 2 * DAY, trouble);
    let told = only(&feed, Class::ConsumerThermal);
    assert_ne!(told.alarm, AlarmState::Cleared, "a stop for repairs ends nothing");
    run(&mut feed, ends + 2 * DAY, ends + 5 * DAY, trouble);
    let told = only(&feed, Class::ConsumerThermal);
    assert_eq!(told.alarm, AlarmState::Cleared);
    assert_eq!(shown(&told, "heating_ended"), Some(3.0));
    let spent = shown(&told, "excess_flow_total").unwrap();
    let now = shown(&told, "excess_flow").unwrap();
    assert!((3.0..=4.2).contains(&(spent / (0.15 * 5.0 * DAY as f64))), "{spent} at {now}");
    assert!(told.text_en.contains("heating has ended"), "{}", told.text_en);
    assert!(told.text_zh.contains("停止供热"), "{}", told.text_zh);
}

#[test]
fn a_wrong_sensor_stays_wrong_over_the_summer() {
    let ends = 9 * DAY;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let mut scan = |from: i64, to: i64, has_ended: bool| {
        if has_ended {
            let circuit = "primary".parse().unwrap();
            feed.command(START + from, "anna", Action::Season { circuit, state: SeasonState::Off });
        }
        feed.run_with(
            from,
            to,
            SCAN,
            |_| CALM,
            |at, list| {
                metered(at, list, WELL);
                if at >= 8 * DAY {
                    *value(list, "b1", "secondary_supply_temperature") += 4.0;
                }
            },
        );
        only(&feed, Class::SensorFault)
    };
    scan(0, ends, false);
    let sensor = scan(ends, ends + 5 * DAY, true);
    assert_ne!(sensor.alarm, AlarmState::Cleared, "{sensor:?}");
}
