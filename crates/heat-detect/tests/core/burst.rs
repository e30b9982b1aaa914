use heat_detect::DetectSettings;
use heat_model::{
    incident::{AlarmState, ChangeKind, Class},
    plant::{PlantModel, Side},
};

use crate::world::{CALM, Feed, Now, START, plant};

const HOUR: i64 = 3_600;
const ON: i64 = HOUR + 7;

fn burst_on(trench: usize, loss: f64) -> impl Fn(i64) -> Now {
    move |at| {
        let grown = ((at - ON) as f64 / 30.0).clamp(0.0, 1.0);
        if at >= ON { Now { leak: Some((trench, loss * grown)), ..CALM } } else { CALM }
    }
}

fn feed() -> Feed {
    Feed::new(DetectSettings::default(), plant())
}

#[test]
fn a_burst_is_raised_within_half_a_minute_in_the_first_hours_and_names_the_right_branch() {
    for every in [1, 10] {
        let mut feed = feed();
        feed.run(0, ON + 700, every, burst_on(1, 5.0));

        let events = feed.events();
        let opened = events.first().expect("the burst is seen");
        assert_eq!((opened.change.kind, opened.incident.class), (ChangeKind::Opened, Class::Burst));
        let delay = opened.at.second() - (START + ON);
        assert!((0..=30).contains(&delay), "scans of {every} s: raised {delay} s after the onset");

        let incidents = feed.incidents();
        assert_eq!(incidents.len(), 1, "one burst, one incident");
        let burst = &incidents[0];
        assert_eq!(burst.place.as_deref(), Some("PAs"), "{:?}", burst.candidates);
        assert_eq!(burst.side, Some(Side::Supply));
        assert!((burst.loss_kg_s.unwrap() - 5.0).abs() < 0.5, "{:?}", burst.loss_kg_s);
        let affected: Vec<&str> = burst.affected.iter().map(heat_model::SiteId::as_str).collect();
        assert!(affected.contains(&"a1") && affected.contains(&"a2"), "{affected:?}");
        assert!(
            burst.text_zh.contains("爆管") && burst.text_zh.contains("PAs") && burst.text_en.contains("m³/h")
        );
        assert!((burst.onset.second() - (START + ON)).abs() <= 2 * every + 15);
    }
}

#[test]
fn without_a_plant_model_a_burst_is_still_raised_and_says_what_it_lacks() {
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    feed.run(0, ON + 300, 10, burst_on(1, 5.0));

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].class, Class::Burst);
    assert!(incidents[0].candidates.is_empty() && incidents[0].lacked.contains(&"pipes".to_owned()));
}

#[test]
fn where_stations_measure_only_differential_pressure_a_burst_shows_in_slow_scans_too() {
    let on = 4 * HOUR + 100;
    let world = |at: i64| if at >= on { Now { leak: Some((1, 5.0)), ..CALM } } else { CALM };
    let mut feed = Feed::new(DetectSettings::default(), PlantModel::default());
    feed.run_with(0, on + HOUR, 900, world, |_, list| {
        for (_, device, values) in list {
            if *device == "main" {
                // A pump that holds its pressures whatever flows.
                values.retain(|(name, _, _)| !name.ends_with("pressure"));
            }
            if *device == "controller" {
                let differential = values[0].2 - values[1].2;
                *values = vec![("primary_differential_pressure", "Pa", differential)];
            }
        }
    });

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].class, Class::Burst);
    assert!(incidents[0].opened.second() - (START + on) <= 900, "with the first scan that shows it");
}

#[test]
fn stations_cut_off_by_a_burst_are_its_effects_and_not_incidents() {
    let mut feed = feed();
    feed.run(0, 4 * HOUR, 60, |_| CALM);
    feed.run(4 * HOUR, 5 * HOUR, 10, |_| Now { leak: Some((1, 14.0)), ..CALM });

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert!(
        incidents[0].effects.iter().any(|effect| effect.starts_with("a1: ")),
        "{:?}",
        incidents[0].effects
    );
    assert!(
        !incidents[0].effects.iter().any(|effect| effect.starts_with("b1: ")),
        "{:?}",
        incidents[0].effects
    );
}

#[test]
fn a_burst_clears_when_its_evidence_is_gone_and_its_refilling_is_no_leak() {
    let mut feed = feed();
    feed.run(0, ON + 1_800, 10, burst_on(1, 5.0));
    feed.run(ON + 1_803, ON + 2 * HOUR, 10, |_| Now { feed: 0.8, ..CALM });

    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].alarm, AlarmState::Cleared);
}

#[test]
fn a_pump_trip_is_no_burst() {
    let mut feed = feed();
    feed.run(0, HOUR, 1, |_| CALM);
    feed.run(HOUR, HOUR + 600, 1, |at| {
        let gone = ((at - HOUR) as f64 / 20.0).min(1.0);
        Now { lift: -390_000.0 * gone, hold: 60_000.0 * gone, demand: 1.0 - 0.95 * gone, ..CALM }
    });
    let classes: Vec<Class> = feed.incidents().iter().map(|incident| incident.class).collect();
    assert_eq!(classes, [Class::PumpTrip]);
}

#[test]
fn a_pump_start_and_new_set_points_are_no_burst() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, 2 * HOUR, 10, |_| Now { lift: 80_000.0, demand: 1.1, ..CALM });
    feed.run(2 * HOUR, 3 * HOUR, 10, |_| Now { hold: -20_000.0, feed: 0.0, ..CALM });
    feed.run(3 * HOUR, 4 * HOUR, 10, |at| Now {
        hold: 20_000.0,
        feed: if at < 3 * HOUR + 300 { 1.5 } else { 0.02 },
        ..CALM
    });
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_refill_is_no_burst() {
    let mut feed = feed();
    feed.run(0, HOUR, 10, |_| CALM);
    feed.run(HOUR, 2 * HOUR, 10, |at| {
        let filling = (HOUR + 600..HOUR + 900).contains(&at);
        Now { feed: if filling { 2.0 } else { 0.02 }, hold: if filling { 12_000.0 } else { 0.0 }, ..CALM }
    });
    assert!(feed.incidents().is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_single_broken_sensor_is_no_burst_whichever_it_is() {
    for (site, device, name) in [
        ("source", "main", "return_flow"),
        ("source", "main", "supply_pressure"),
        ("source", "main", "return_pressure"),
        ("source", "makeup", "make_up_flow"),
        ("a1", "controller", "primary_supply_pressure"),
    ] {
        for factor in [0.0, 0.5, 30.0] {
            let mut feed = feed();
            feed.run_with(
                0,
                2 * HOUR,
                10,
                |_| CALM,
                |at, list| {
                    if at < HOUR {
                        return;
                    }
                    for (of, at_device, values) in list {
                        for value in values.iter_mut().filter(|_| *of == site && *at_device == device) {
                            if value.0 == name {
                                value.2 *= factor;
                            }
                        }
                    }
                },
            );
            let bursts =
                feed.incidents().into_iter().filter(|incident| incident.class == Class::Burst).count();
            assert_eq!(bursts, 0, "{site}/{device}/{name} times {factor}");
        }
    }
}

/// A burst on one branch, a second one on the other half an hour later, and the crew shuts off the first.
fn two_bursts(sizes: [f64; 2], shut: [Option<i64>; 2], until: i64) -> Feed {
    let mut feed = feed();
    feed.run(0, until, 10, move |at| {
        let of = |nth: usize, trench: usize| {
            let on = ON + 1_800 * nth as i64;
            let grown = ((at - on) as f64 / 30.0).clamp(0.0, 1.0);
            let is_on = at >= on && shut[nth].is_none_or(|shut| at < shut);
            is_on.then_some((trench, sizes[nth] * grown))
        };
        Now { leak: of(0, 1), further: of(1, 2), ..CALM }
    });
    feed
}

#[test]
fn a_second_burst_on_another_branch_is_an_incident_of_its_own_and_each_ends_with_its_own_water() {
    let (first_shut, second_shut) = (ON + 2 * HOUR, ON + 3 * HOUR);
    let second_on = ON + 1_800;
    let feed = two_bursts([5.0, 2.5], [Some(first_shut), Some(second_shut)], second_shut + HOUR);
    let incidents = feed.incidents();
    let told: Vec<_> = incidents.iter().map(|burst| (burst.class, burst.place.as_deref())).collect();
    assert_eq!(told, [(Class::Burst, Some("PAs")), (Class::Burst, Some("PBs"))], "{incidents:?}");
    let delay = incidents[1].opened.second() - (START + second_on);
    assert!((0..=30).contains(&delay), "{delay}");
    assert!((incidents[1].loss_kg_s.unwrap() - 2.5).abs() < 0.5, "{:?}", incidents[1].loss_kg_s);
    for (burst, shut) in incidents.iter().zip([first_shut, second_shut]) {
        let cleared = burst.cleared.expect("it is over").second() - (START + shut);
        assert!((600..900).contains(&cleared), "{:?}: {cleared}", burst.place);
    }
}

#[test]
fn a_small_burst_that_goes_on_after_a_large_one_was_shut_off_stays_open() {
    let feed = two_bursts([8.0, 1.2], [Some(ON + 2 * HOUR), None], ON + 5 * HOUR);
    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 2, "{incidents:?}");
    assert_eq!(incidents[0].alarm, AlarmState::Cleared);
    assert_eq!(incidents[1].alarm, AlarmState::Unacknowledged);
}

#[test]
fn a_burst_that_comes_minutes_after_another_was_shut_off_has_its_own_size_and_stays_open() {
    let feed = two_bursts([5.0, 3.0], [Some(ON + 1_400), None], ON + 2 * HOUR);
    let incidents = feed.incidents();
    assert_eq!(incidents.len(), 2, "{incidents:?}");
    assert_eq!(incidents[0].alarm, AlarmState::Cleared);
    assert_eq!(
        (incidents[1].alarm, incidents[1].place.as_deref()),
        (AlarmState::Unacknowledged, Some("PBs"))
    );
    assert!((incidents[1].loss_kg_s.unwrap() - 3.0).abs() < 0.5, "{:?}", incidents[1].loss_kg_s);
}

#[test]
fn a_station_on_another_branch_than_a_small_burst_has_an_incident_of_its_own() {
    let mut feed = feed();
    feed.run(0, 4 * HOUR, 60, |_| CALM);
    let on = 4 * HOUR;
    feed.run_with(
        on,
        on + 2 * HOUR,
        10,
        |_| Now { leak: Some((3, 1.6)), ..CALM },
        |at, list| {
            for (site, device, values) in list.iter_mut() {
                // Its own strainer is blocked: nothing that the burst does to it.
                if at >= on + HOUR && *site == "b1" && *device == "controller" {
                    values[0].2 = values[1].2 + 10_000.0;
                }
            }
        },
    );
    let incidents = feed.incidents();
    let burst = &incidents[0];
    assert_eq!((burst.class, burst.place.as_deref()), (Class::Burst, Some("Pa1s")), "{incidents:?}");
    assert!(burst.effects.is_empty(), "{:?}", burst.effects);
    let own = incidents.iter().find(|incident| incident.place.as_deref() == Some("b1"));
    assert_eq!(own.map(|own| own.class), Some(Class::ConsumerThermal), "{incidents:?}");
}
