//! Circulation that stops, pressures that boil or empty the pipes, and frost.

use heat_detect::DetectSettings;
use heat_model::{
    incident::{AlarmState, Class, Incident, Priority},
    plant::{Node, PlantModel, SeasonState},
    record::Action,
};

use crate::world::{CALM, Device, Feed, Now, START, plant};

const HOUR: i64 = 3_600;

fn feed() -> Feed {
    Feed::new(DetectSettings::default(), plant())
}

/// The pumps run down from `from` and up again from `to` on, over twenty seconds.
pub(crate) fn tripped(from: i64, to: i64) -> impl Fn(i64) -> Now {
    move |at| {
        let down = ((at - from) as f64 / 20.0).clamp(0.0, 1.0);
        let up = ((at - to) as f64 / 20.0).clamp(0.0, 1.0);
        let gone = down - up;
        Now { lift: -390_000.0 * gone, hold: 60_000.0 * gone, demand: 1.0 - 0.95 * gone, ..CALM }
    }
}

/// A device of the source that reports one status.
fn status(device: &'static str, name: &'static str, value: bool) -> Device {
    ("source", device, vec![(name, "1", if value { 1.0 } else { 0.0 })])
}

fn weather(celsius: f64) -> Device {
    ("source", "weather", vec![("outdoor_temperature", "degC", celsius)])
}

/// The plant with one height for every node, m.
fn with_heights(height_m: impl Fn(&str) -> f64) -> PlantModel {
    let mut plant = plant();
    for id in ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"] {
        plant.nodes.push(Node {
            id: id.parse().unwrap(),
            network: Some("town".parse().unwrap()),
            x_m: None,
            y_m: None,
            elevation_m: Some(height_m(id)),
        });
    }
    plant
}

fn of(incidents: &[Incident], class: Class) -> Vec<&Incident> {
    incidents.iter().filter(|incident| incident.class == class).collect()
}

#[test]
fn a_pump_trip_is_one_incident_that_explains_the_cold_stations_and_clears_when_the_pumps_are_back() {
    let mut feed = feed();
    let (from, to) = (4 * HOUR, 5 * HOUR);
    feed.run(0, from, 60, |_| CALM);
    feed.run(from, to + 600, 5, tripped(from, to));

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let trip = &incidents[0];
    assert_eq!((trip.class, trip.priority), (Class::PumpTrip, Priority::P1));
    assert_eq!(trip.place.as_deref(), Some("source"));
    assert!((0..=30).contains(&(trip.opened.second() - START - from)), "{:?}", trip.opened);
    assert!(trip.effects.iter().any(|effect| effect.starts_with("a1: ")), "{:?}", trip.effects);
    assert!(trip.text_zh.contains("停泵") && trip.text_zh.contains("备用泵"), "{}", trip.text_zh);
    assert_eq!(trip.alarm, AlarmState::Cleared);
}

#[test]
fn a_trip_whose_power_signal_follows_turns_out_to_be_a_power_failure_and_stays_one_incident() {
    let mut feed = feed();
    feed.run_with(0, HOUR + 300, 5, tripped(HOUR, i64::MAX / 2), |at, list| {
        list.push(status("power", "power_supply", at < HOUR + 60))
    });

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].class, Class::PowerFailure);
    assert!(incidents[0].text_en.contains("no power"), "{}", incidents[0].text_en);
}

#[test]
fn a_status_that_is_sent_only_when_it_changes_is_the_second_device() {
    let trip = |says: bool| {
        let mut feed = feed();
        let on = 3 * HOUR;
        for at in (0..on).step_by(60).chain((on..on + 120).step_by(5)) {
            let mut list = crate::world::devices(at, tripped(on, i64::MAX / 2)(at));
            list.retain(|(site, ..)| *site == "source");
            if at == 0 || (says && at == on + 5) {
                list.push(status("pump-1", "pump_running", at == 0));
            }
            for device in &list {
                feed.device(START + at, START + at, device);
            }
        }
        feed.incidents()
    };
    let incidents = trip(true);
    assert_eq!(of(&incidents, Class::PumpTrip).len(), 1, "{incidents:?}");
    assert!(trip(false).is_empty(), "one device alone makes no trip");
}

#[test]
fn a_change_of_pumps_a_spare_pump_and_a_wrong_status_are_no_trip() {
    let mut feed = feed();
    feed.run_with(
        0,
        2 * HOUR,
        5,
        |_| CALM,
        |at, list| {
            list.push(status("pump-1", "pump_running", at < HOUR));
            list.push(status("pump-2", "pump_running", at >= HOUR));
            list.push(status("power", "power_supply", at < HOUR + 600));
        },
    );
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn head_that_falls_while_the_sources_water_goes_on_is_no_trip() {
    let mut feed = feed();
    feed.run(0, 2 * HOUR, 10, |at| {
        let gone = ((at - HOUR) as f64 / 20.0).clamp(0.0, 1.0);
        Now { lift: -300_000.0 * gone, hold: 20_000.0 * gone, demand: 1.0 - 0.2 * gone, ..CALM }
    });
    let incidents = feed.incidents();
    assert!(of(&incidents, Class::PumpTrip).is_empty(), "{incidents:?}");
}

#[test]
fn a_lighter_load_and_a_night_setback_are_no_trip() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, 2 * HOUR, 10, |at| {
        let eased = ((at - HOUR) as f64 / 900.0).min(1.0);
        Now { demand: 1.0 - 0.7 * eased, lift: -200_000.0 * eased, ..CALM }
    });
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_source_that_falls_silent_with_its_power_is_spoken_for_by_its_stations() {
    let mut feed = feed();
    feed.run_with(0, HOUR + 300, 5, tripped(HOUR, i64::MAX / 2), |at, list| {
        if at >= HOUR {
            list.retain(|(site, ..)| *site != "source");
        }
    });

    let incidents = feed.incidents();
    assert_eq!(of(&incidents, Class::PumpTrip).len(), 1, "{incidents:?}");
    assert!(incidents[0].lacked.iter().any(|lacked| lacked.contains("silent")), "{:?}", incidents[0].lacked);
}

#[test]
fn a_burst_that_empties_the_network_is_one_incident_with_the_emptying_as_its_effect() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, HOUR + 900, 10, |at| {
        let emptied = ((at - HOUR) as f64 / 300.0).min(1.0);
        Now { leak: Some((1, 8.0)), hold: -230_000.0 * emptied, ..CALM }
    });

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].class, Class::Burst);
    assert!(
        incidents[0].effects.iter().any(|effect| effect.ends_with(": emptying")),
        "{:?}",
        incidents[0].effects
    );
}

#[test]
fn a_growing_leak_that_at_last_empties_the_network_does_not_hide_it() {
    let settings =
        DetectSettings { learning: std::time::Duration::from_secs(2 * 86_400), ..DetectSettings::default() };
    let mut feed = Feed::new(settings, plant());
    let on = 72 * HOUR;
    feed.run(0, on + 10 * HOUR, 900, |at| if at < on { CALM } else { Now { leak: Some((1, 0.1)), ..CALM } });
    assert_eq!(of(&feed.incidents(), Class::LeakAbrupt).len(), 1, "{:?}", feed.incidents());
    feed.run(on + 10 * HOUR, on + 12 * HOUR, 10, |at| {
        let fallen = ((at - on - 10 * HOUR) as f64 / 3_600.0).min(1.0);
        Now { leak: Some((1, 0.1)), hold: -270_000.0 * fallen, ..CALM }
    });

    let emptying = feed.incidents();
    let emptying = of(&emptying, Class::PressureRegime);
    assert_eq!(emptying.len(), 1);
    assert_eq!((emptying[0].priority, emptying[0].alarm), (Priority::P1, AlarmState::Unacknowledged));
}

#[test]
fn a_network_that_empties_is_said_once_and_its_end_waits_for_the_deadband() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    // Falls to 40 kPa, trembles about the limit of 50 kPa, and is filled up again.
    feed.run(HOUR, 3 * HOUR, 10, |at| {
        let fallen = ((at - HOUR) as f64 / 600.0).min(1.0);
        let tremble = if (at / 600) % 2 == 0 { 14_000.0 } else { 0.0 };
        Now { hold: -260_000.0 * fallen + tremble * fallen, ..CALM }
    });
    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!((incidents[0].class, incidents[0].kind.as_deref()), (Class::PressureRegime, Some("emptying")));
    assert_eq!(incidents[0].alarm, AlarmState::Unacknowledged);
    assert!(incidents[0].text_zh.starts_with("【倒空】"), "{}", incidents[0].text_zh);

    feed.run(3 * HOUR, 4 * HOUR, 10, |_| CALM);
    let incidents = feed.incidents();
    assert_eq!((incidents.len(), incidents[0].alarm), (1, AlarmState::Cleared));
}

#[test]
fn water_flashes_first_where_the_pipe_lies_high() {
    // Water of 110 degC boils at 42 kPa above the atmosphere; with a lift of 100 kPa the far stations have 308 kPa.
    let eased = |at: i64| {
        let eased = ((at - HOUR) as f64 / 3_600.0).clamp(0.0, 1.0);
        Now { lift: -300_000.0 * eased, supply_celsius: 110.0, arrived_celsius: 110.0, ..CALM }
    };
    let mut flat = Feed::new(DetectSettings::default(), with_heights(|_| 40.0));
    flat.run(0, 2 * HOUR + 600, 10, eased);
    assert!(flat.incidents().is_empty(), "{:?}", flat.incidents());

    // The node above a1 lies 32 m higher than its gauge, which is the nearest to it.
    let mut hilly =
        Feed::new(DetectSettings::default(), with_heights(|node| if node == "n2" { 72.0 } else { 40.0 }));
    hilly.run(0, 2 * HOUR + 600, 10, eased);
    let incidents = hilly.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!((incidents[0].class, incidents[0].kind.as_deref()), (Class::PressureRegime, Some("flashing")));
    let affected: Vec<&str> = incidents[0].affected.iter().map(heat_model::SiteId::as_str).collect();
    assert_eq!(affected, ["a1"]);
}

#[test]
fn pressure_beyond_what_the_equipment_stands_is_said() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, HOUR + 300, 10, |_| Now { hold: 950_000.0, ..CALM });
    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].kind.as_deref(), Some("overpressure"));
}

#[test]
fn one_broken_gauge_is_neither_emptying_nor_flashing_nor_overpressure_whichever_it_is() {
    for (site, device, name) in [
        ("source", "main", "supply_pressure"),
        ("source", "main", "return_pressure"),
        ("a1", "controller", "primary_supply_pressure"),
        ("a1", "controller", "primary_return_pressure"),
    ] {
        for factor in [0.0, 0.1, 30.0] {
            let mut feed = feed();
            feed.run_with(
                0,
                2 * HOUR,
                10,
                |_| CALM,
                |at, list| {
                    let broken =
                        list.iter_mut().filter(|(of, by, _)| at >= HOUR && *of == site && *by == device);
                    for value in broken.flat_map(|(.., values)| values).filter(|value| value.0 == name) {
                        value.2 *= factor;
                    }
                },
            );
            // The gauge itself may be named.
            let mut said = feed.incidents();
            said.retain(|incident| incident.class != Class::SensorFault);
            assert!(said.is_empty(), "{site}/{device}/{name} times {factor}: {said:?}");
        }
    }
}

#[test]
fn circulation_that_stands_in_frost_has_a_deadline_and_an_incident_of_its_own() {
    let mut feed = feed();
    feed.run_with(0, 3 * HOUR, 10, tripped(HOUR, i64::MAX / 2), |_, list| list.push(weather(-10.0)));

    let incidents = feed.incidents();
    assert_eq!(of(&incidents, Class::PumpTrip).len(), 1, "{incidents:?}");
    let frost = of(&incidents, Class::FrostRisk);
    assert_eq!(frost.len(), 1, "{incidents:?}");
    assert_eq!(frost[0].priority, Priority::P1);
    assert!((590..=660).contains(&(frost[0].opened.second() - START - HOUR)), "{:?}", frost[0].opened);
    // From 45 degC: 9 h x ln(55 / 15) = 11.7 h, of which nearly two have passed when it was last said.
    let hours =
        frost[0].evidence.iter().find(|evidence| evidence.what == "hours_to_5_celsius").unwrap().value;
    assert!((9.5..11.0).contains(&hours), "{hours}");
    assert!(
        frost[0].text_zh.contains("冻损风险") && frost[0].text_zh.contains("降到 5 ℃"),
        "{}",
        frost[0].text_zh
    );
}

#[test]
fn circulation_that_stands_in_mild_weather_is_no_frost_risk_and_one_cold_thermometer_neither() {
    let mut feed = feed();
    feed.run_with(0, 3 * HOUR, 10, tripped(HOUR, i64::MAX / 2), |_, list| list.push(weather(3.0)));
    assert!(of(&feed.incidents(), Class::FrostRisk).is_empty());

    let mut feed = self::feed();
    feed.run_with(
        0,
        2 * HOUR,
        10,
        |_| CALM,
        |_, list| {
            list.push(weather(-10.0));
            let meter =
                list.iter_mut().find(|(site, device, _)| *site == "a1" && *device == "meter").unwrap();
            meter.2.iter_mut().find(|value| value.0 == "primary_return_temperature").unwrap().2 = 2.0;
        },
    );
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_station_that_two_of_its_devices_find_cold_in_frost_is_at_risk_until_it_is_warm() {
    let mut feed = feed();
    feed.run_with(
        0,
        2 * HOUR,
        10,
        |_| CALM,
        |at, list| {
            let celsius = if (HOUR..HOUR + 1_800).contains(&at) { 9.0 } else { 45.0 };
            list.push(weather(-10.0));
            list.push(("a1", "secondary", vec![("secondary_return_temperature", "degC", celsius - 5.0)]));
            let meter =
                list.iter_mut().find(|(site, device, _)| *site == "a1" && *device == "meter").unwrap();
            meter.2.iter_mut().find(|value| value.0 == "primary_return_temperature").unwrap().2 = celsius;
        },
    );

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!((incidents[0].class, incidents[0].place.as_deref()), (Class::FrostRisk, Some("a1")));
    assert_eq!(incidents[0].alarm, AlarmState::Cleared);
}

/// One control unit has all of a station's signals.
fn one_unit(list: &mut Vec<Device>, flow_kg_s: f64, celsius: [f64; 2]) {
    let (_, _, values) =
        list.iter_mut().find(|(site, device, _)| *site == "a1" && *device == "meter").unwrap();
    for (name, _, value) in values.iter_mut() {
        match *name {
            "primary_supply_flow" => *value = flow_kg_s,
            "primary_return_temperature" => *value = celsius[0],
            _ => {}
        }
    }
    values.push(("secondary_return_temperature", "degC", celsius[1]));
    list.push(weather(-8.0));
}

#[test]
fn a_station_with_one_device_is_at_risk_where_its_flow_stands_or_its_temperatures_move() {
    let warm = [45.0, 40.0];
    let moving = |at: i64| 0.1 * (at / 600 % 5) as f64;
    let told = |cold: &dyn Fn(i64) -> (f64, [f64; 2])| {
        let mut feed = feed();
        feed.run_with(
            0,
            3 * HOUR,
            10,
            |_| CALM,
            |at, list| {
                let (flow, celsius) = if at < HOUR { (5.0, warm) } else { cold(at) };
                one_unit(list, flow, celsius);
            },
        );
        let incidents = feed.incidents();
        of(&incidents, Class::FrostRisk).iter().filter(|frost| frost.place.as_deref() == Some("a1")).count()
    };
    assert_eq!(told(&|_| (0.0, [5.0, 5.0])), 1, "nothing flows");
    assert_eq!(told(&|at| (5.0, [6.0 + moving(at), 4.0 + moving(at + 600)])), 1, "two that measure agree");
    assert_eq!(told(&|at| (5.0, [6.0 + moving(at), 40.0])), 0, "one thermometer may be wrong");
}

#[test]
fn two_registers_that_stand_at_the_same_cold_value_are_no_frost() {
    let mut feed = feed();
    feed.run_with(0, 5 * HOUR, 60, |_| CALM, |_, list| one_unit(list, 5.0, [5.0, 5.0]));
    assert!(of(&feed.incidents(), Class::FrostRisk).is_empty(), "{:?}", feed.incidents());
}

#[test]
fn in_a_season_out_of_operation_neither_standing_nor_empty_pipes_alarm() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    let action = Action::Season { circuit: "primary".parse().unwrap(), state: SeasonState::ShuttingDown };
    feed.command(START + HOUR, "li", action);
    feed.run_with(
        HOUR + 10,
        3 * HOUR,
        10,
        |at| {
            let gone = ((at - HOUR) as f64 / 600.0).min(1.0);
            Now { lift: -390_000.0 * gone, hold: -280_000.0 * gone, demand: 1.0 - 0.95 * gone, ..CALM }
        },
        |_, list| list.push(weather(-10.0)),
    );
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}
