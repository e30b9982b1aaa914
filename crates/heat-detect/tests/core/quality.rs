use std::{cell::RefCell, sync::Arc};

use heat_detect::{DetectSettings, PartitionCore, Snapshot};
use heat_model::{
    QualityCode,
    incident::{AlarmState, Class, Incident},
};

use crate::world::{CALM, Device, Feed, Now, START, devices, plant};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SCAN: i64 = 900;

/// The supply swings by the day, and every sensor has its own last digit.
pub(crate) fn swing(at: i64, list: &mut [Device]) {
    let swing = 2.0 * (at as f64 / DAY as f64 * std::f64::consts::TAU).sin();
    for (index, (_, _, values)) in list.iter_mut().enumerate() {
        for (name, _, value) in values.iter_mut().filter(|(name, _, _)| name.ends_with("temperature")) {
            let digit = (at / SCAN * 7 + index as i64 * 3 + name.len() as i64) % 5;
            let share = if name.ends_with("supply_temperature") { 1.0 } else { 0.1 };
            *value += share * swing + 0.05 * digit as f64;
        }
    }
}

pub(crate) fn value<'a>(list: &'a mut [Device], site: &str, name: &str) -> &'a mut f64 {
    let device = list
        .iter_mut()
        .find(|(of, _, values)| *of == site && values.iter().any(|(known, _, _)| *known == name))
        .unwrap();
    &mut device.2.iter_mut().find(|(known, _, _)| *known == name).unwrap().2
}

pub(crate) fn of_class(feed: &Feed, class: Class) -> Vec<Incident> {
    feed.incidents().into_iter().filter(|incident| incident.class == class).collect()
}

#[test]
fn a_silent_device_is_one_finding_and_clears_when_it_speaks() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let is_silent = |at: i64| (2 * DAY..2 * DAY + 3 * HOUR).contains(&at);
    feed.run_with(
        0,
        2 * DAY + 4 * HOUR,
        SCAN,
        |_| CALM,
        |at, list| {
            swing(at, list);
            list.retain(|(site, device, _)| !(is_silent(at) && *site == "b1" && *device == "meter"));
        },
    );
    let silences = of_class(&feed, Class::Silence);
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!(silences[0].place.as_deref(), Some("town/b1/meter"));
    assert_eq!(silences[0].alarm, AlarmState::Cleared);
}

#[test]
fn a_site_whose_devices_fall_silent_by_rhythms_of_their_own_is_told_once() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let silent = 2 * DAY;
    feed.run_with(
        0,
        silent + 5 * HOUR,
        300,
        |_| CALM,
        |at, list| {
            swing(at, list);
            // The meter is read every ten minutes, its controller every five.
            list.retain(|(site, device, _)| {
                *site != "b1" || at < silent && (*device != "meter" || at % 600 == 0)
            });
        },
    );
    let silences = of_class(&feed, Class::Silence);
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!(silences[0].place.as_deref(), Some("b1"));
}

#[test]
fn a_device_whose_clock_is_wrong_is_one_finding_and_is_not_silent() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(0, 2 * DAY, SCAN, |_| CALM, swing_list);
    for at in (2 * DAY..2 * DAY + 4 * HOUR).step_by(900) {
        let mut list = devices(at, CALM);
        swing(at, &mut list);
        for device in &list {
            let is_wrong = device.0 == "a2" && device.1 == "controller";
            feed.code = if is_wrong { QualityCode::ClockAhead } else { QualityCode::None };
            feed.device(START + at, START + at + if is_wrong { DAY } else { 0 }, device);
        }
    }
    let clocks = of_class(&feed, Class::ClockFault);
    assert_eq!(clocks.len(), 1, "{clocks:?}");
    assert_eq!(clocks[0].place.as_deref(), Some("town/a2/controller"));
    assert_eq!(clocks[0].kind.as_deref(), Some("clock_ahead"));
    assert!(of_class(&feed, Class::Silence).is_empty());
}

fn swing_list(at: i64, list: &mut Vec<Device>) {
    swing(at, list);
}

#[test]
fn a_code_for_no_value_is_named_and_reaches_no_detector() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        2 * DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            swing(at, list);
            if at >= 2 * DAY - 6 * HOUR && (at / SCAN) % 3 != 0 {
                *value(list, "source", "supply_temperature") = -39.9;
            }
        },
    );
    let faults = of_class(&feed, Class::SensorFault);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].place.as_deref(), Some("town/source/main/supply_temperature"));
    assert_eq!(faults[0].kind.as_deref(), Some("sentinel"));
    assert!(feed.core.counters().no_measurement >= 16, "{:?}", feed.core.counters());
    assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
}

#[test]
fn a_biased_sensor_is_named_and_no_cut_of_the_log_changes_a_byte() {
    let biased = |at: i64, list: &mut Vec<Device>| {
        swing(at, list);
        if at >= 4 * DAY {
            *value(list, "a1", "primary_supply_temperature") += 3.0;
        }
    };
    let end = 4 * DAY + 12 * HOUR;
    let mut straight = Feed::new(DetectSettings::default(), plant());
    straight.run_with(0, end, SCAN, |_| CALM, biased);
    let faults = of_class(&straight, Class::SensorFault);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].place.as_deref(), Some("town/a1/meter/primary_supply_temperature"));
    assert!(faults[0].onset.as_micros() >= (START + 4 * DAY - HOUR) * 1_000_000);

    let mut cut = Feed::new(DetectSettings::default(), plant());
    for from in (0..end).step_by(18_000) {
        cut.run_with(from, end.min(from + 5 * HOUR), SCAN, |_| CALM, biased);
        let stored = postcard::to_stdvec(&cut.core.snapshot()).unwrap();
        let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
        cut.core = PartitionCore::new(DetectSettings::default(), Arc::new(plant()));
        cut.core.restore(snapshot).unwrap();
        assert!(postcard::to_stdvec(&cut.core.snapshot()).unwrap() == stored);
    }
    assert!(postcard::to_stdvec(&cut.out).unwrap() == postcard::to_stdvec(&straight.out).unwrap());
}

#[test]
fn a_meter_that_stands_still_is_named_set_aside_and_never_becomes_a_leak() {
    let frozen_at = 7 * DAY;
    // From the night's least demand it rises by a fifth until noon: what a frozen station does not show seems lost.
    let demand = |at: i64| 1.0 - 0.1 * (at as f64 / DAY as f64 * std::f64::consts::TAU).cos();
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        frozen_at + DAY,
        SCAN,
        |at| Now { demand: demand(at), ..CALM },
        |at, list| {
            swing(at, list);
            // Only the inflow and the stations' flows tell of a loss.
            list.retain(|(_, device, _)| *device != "makeup");
            list[0].2.retain(|(name, _, _)| *name != "return_flow");
            if at >= frozen_at {
                *value(list, "b1", "primary_supply_flow") = 4.5;
            }
        },
    );
    let faults = of_class(&feed, Class::SensorFault);
    assert_eq!(faults.len(), 1, "{:?}", feed.incidents());
    assert_eq!(faults[0].place.as_deref(), Some("town/b1/meter/primary_supply_flow"));
    assert_eq!(faults[0].kind.as_deref(), Some("stuck"));
    let is_water = |incident: &Incident| matches!(incident.class, Class::LeakAbrupt | Class::LeakIncipient);
    assert!(!feed.incidents().iter().any(is_water), "{:?}", feed.incidents());
}

#[test]
fn a_site_that_only_repeats_itself_is_told_as_such_and_none_of_its_sensors_is_blamed() {
    let (from, until) = (5 * DAY, 7 * DAY);
    let demand = |at: i64| 1.0 - 0.1 * (at as f64 / DAY as f64 * std::f64::consts::TAU).cos();
    let kept: RefCell<Vec<Device>> = RefCell::new(Vec::new());
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        until + DAY,
        SCAN,
        |at| Now { demand: demand(at), ..CALM },
        |at, list| {
            swing(at, list);
            let mut kept = kept.borrow_mut();
            if (from..until).contains(&at) {
                list.retain(|(site, _, _)| *site != "b1");
                list.extend(kept.iter().cloned());
            } else {
                *kept = list.iter().filter(|(site, _, _)| *site == "b1").cloned().collect();
            }
        },
    );
    let silences = of_class(&feed, Class::Silence);
    assert_eq!(silences.len(), 1, "{:?}", feed.incidents());
    assert_eq!(silences[0].place.as_deref(), Some("b1"));
    assert_eq!(silences[0].kind.as_deref(), Some("frozen"));
    assert_eq!(silences[0].alarm, AlarmState::Cleared);
    assert_eq!(feed.incidents().len(), 1, "no sensor is blamed and no water missed: {:?}", feed.incidents());
}

#[test]
fn a_station_that_is_shut_off_is_not_frozen_and_a_network_that_repeats_itself_is_told_once() {
    let (shut, from, until) = (3 * DAY, 5 * DAY, 6 * DAY);
    let demand = |at: i64| 1.0 - 0.1 * (at as f64 / DAY as f64 * std::f64::consts::TAU).cos();
    let kept: RefCell<Vec<Device>> = RefCell::new(Vec::new());
    let off: RefCell<Vec<Device>> = RefCell::new(Vec::new());
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let run = |feed: &mut Feed, begin: i64, end: i64| {
        feed.run_with(
            begin,
            end,
            SCAN,
            |at| Now { demand: demand(at), ..CALM },
            |at, list| {
                swing(at, list);
                for (site, _, values) in list.iter_mut() {
                    values.retain(|(name, _, _)| *site != "b1" || !name.ends_with("_pressure"));
                }
                let mut off = off.borrow_mut();
                if at < shut {
                    *off = list.iter().filter(|(site, _, _)| *site == "b1").cloned().collect();
                } else {
                    list.retain(|(site, _, _)| *site != "b1");
                    list.extend(off.iter().cloned());
                    *value(list, "b1", "primary_supply_flow") = 0.0;
                }
                let mut kept = kept.borrow_mut();
                if (from..until).contains(&at) {
                    list.clone_from(&kept);
                } else {
                    kept.clone_from(list);
                }
            },
        );
    };
    run(&mut feed, 0, from);
    assert!(of_class(&feed, Class::Silence).is_empty(), "{:?}", feed.incidents());
    run(&mut feed, from, until);
    let silences = of_class(&feed, Class::Silence);
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!((silences[0].place.as_deref(), silences[0].kind.as_deref()), (None, Some("frozen")));
}

#[test]
fn heating_up_with_unmetered_relief_and_a_late_return_blames_no_sensor() {
    let up = 5 * DAY;
    // The supply rises by 30 K within six hours; it arrives after 1.5 h, and comes back warmer after 3 and 5.5 h.
    let share = |at: i64| ((at - up) as f64 / (6 * HOUR) as f64).clamp(0.0, 1.0);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        up + 2 * DAY,
        SCAN,
        |at| Now {
            supply_celsius: 70.0 + 30.0 * share(at),
            arrived_celsius: 69.0 + 30.0 * share(at - 5_400),
            ..CALM
        },
        |at, list| {
            swing(at, list);
            *value(list, "source", "return_temperature") += 10.0 * share(at - 19_800);
            for station in ["a1", "a2", "b1", "b2"] {
                *value(list, station, "primary_return_temperature") += 10.0 * share(at - 10_800);
            }
            // What expands leaves through a valve without a meter, and nothing is fed.
            let fed = value(list, "source", "make_up_flow");
            *fed = fed.max(0.0);
        },
    );
    assert!(of_class(&feed, Class::SensorFault).is_empty(), "{:?}", of_class(&feed, Class::SensorFault));
}

#[test]
fn what_has_a_name_is_listed_no_second_time_without_one() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let onset = 20 * DAY;
    feed.run_with(
        0,
        onset + 3 * DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            swing(at, list);
            if at >= onset {
                *value(list, "b1", "primary_return_temperature") += 6.0;
            }
        },
    );
    let found = feed.incidents();
    let classes: Vec<Class> = found.iter().map(|incident| incident.class).collect();
    assert_eq!(classes, [Class::Unknown, Class::SensorFault], "{found:?}");
    assert_eq!(found[0].cleared, Some(found[1].opened), "the name takes the nameless entry's place");
    assert_eq!(found[1].cleared, None);
}

#[test]
fn a_room_that_cannot_be_so_hot_is_a_sensor_fault_and_reaches_no_detector() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        2 * DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            swing(at, list);
            let room = 21.0 + 0.1 * ((at / SCAN * 7) % 5) as f64;
            let shown = if at >= DAY { 150.0 + room } else { room };
            list.push(("a1", "room", vec![("indoor_temperature", "degC", shown)]));
        },
    );
    let faults = of_class(&feed, Class::SensorFault);
    assert_eq!(faults.len(), 1, "{:?}", feed.incidents());
    assert_eq!(faults[0].place.as_deref(), Some("town/a1/room/indoor_temperature"));
    assert_eq!(faults[0].kind.as_deref(), Some("range"));
    assert_eq!(feed.core.counters().no_measurement, 96);
}

#[test]
fn a_sensor_that_falls_silent_with_its_fault_has_it_still_when_it_comes_back() {
    let (fails, silent, back, mends) = (DAY, DAY + 6 * HOUR, 2 * DAY, 2 * DAY + 6 * HOUR);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let run = |feed: &mut Feed, begin: i64, end: i64| {
        feed.run_with(
            begin,
            end,
            SCAN,
            |_| CALM,
            |at, list| {
                swing(at, list);
                let room = 21.0 + 0.1 * ((at / SCAN * 7) % 5) as f64;
                let shown = if (fails..mends).contains(&at) { 150.0 + room } else { room };
                if !(silent..back).contains(&at) {
                    list.push(("a1", "room", vec![("indoor_temperature", "degC", shown)]));
                }
            },
        );
    };
    let told = |feed: &Feed| -> Vec<AlarmState> {
        of_class(feed, Class::SensorFault).iter().map(|fault| fault.alarm).collect()
    };
    run(&mut feed, 0, mends);
    assert_eq!(told(&feed), [AlarmState::Unacknowledged], "{:?}", feed.incidents());
    run(&mut feed, mends, mends + 8 * HOUR);
    assert_eq!(told(&feed), [AlarmState::Cleared], "{:?}", feed.incidents());
}

#[test]
fn a_return_that_stands_still_is_stuck_once_its_supply_has_risen_and_not_while_that_cools() {
    let (rests, warms) = (7 * DAY, 7 * DAY + 18 * HOUR);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let run = |feed: &mut Feed, begin: i64, end: i64| {
        feed.run_with(
            begin,
            end,
            SCAN,
            |_| CALM,
            |at, list| {
                swing(at, list);
                for (_, _, values) in list.iter_mut() {
                    values.retain(|(name, _, _)| name.ends_with("temperature"));
                }
                // Nothing but the station itself says what its supply should be.
                list.retain(|(site, _, values)| *site == "b1" && !values.is_empty());
                if at >= rests {
                    *value(list, "b1", "primary_return_temperature") = 21.8;
                    let cooling = -((at - rests) as f64) / (6.0 * HOUR as f64);
                    let supply = if at < warms { 26.0 + 50.0 * cooling.exp() } else { 80.0 };
                    *value(list, "b1", "primary_supply_temperature") = supply;
                }
            },
        );
    };
    let stuck = |feed: &Feed| {
        let faults = of_class(feed, Class::SensorFault);
        faults.into_iter().filter(|fault| fault.kind.as_deref() == Some("stuck")).count()
    };
    run(&mut feed, 0, warms);
    assert_eq!(stuck(&feed), 0, "{:?}", feed.incidents());
    run(&mut feed, warms, warms + HOUR);
    assert_eq!(stuck(&feed), 1, "{:?}", feed.incidents());
}

#[test]
fn a_network_that_stops_is_told_once_and_what_comes_back_late_is_told_after_its_own_limit() {
    let (dead, stops, back) = (2 * DAY + HOUR, 3 * DAY, 3 * DAY + 6 * HOUR);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let run = |feed: &mut Feed, begin: i64, end: i64| {
        feed.run_with(
            begin,
            end,
            SCAN,
            |_| CALM,
            |at, list| {
                swing(at, list);
                // Each device loses a scan now and then, so that their limits differ by minutes.
                for (index, (_, _, values)) in list.iter_mut().enumerate() {
                    let scan = at / SCAN;
                    values.retain(|_| scan % (7 + index as i64) != 0);
                    // Of the first scan after the stop much is missing.
                    values.retain(|_| at != back || index < 3);
                }
                list.retain(|(site, device, values)| {
                    let is_stopped = (stops..back).contains(&at);
                    let is_dead = at >= dead && *site == "a2" && *device == "controller";
                    let is_late =
                        (back..back + 3 * HOUR).contains(&at) && *site == "b2" && *device == "meter";
                    !(values.is_empty() || is_stopped || is_dead || is_late)
                });
            },
        );
    };
    run(&mut feed, 0, stops);
    let places = |feed: &Feed| -> Vec<Option<String>> {
        of_class(feed, Class::Silence).into_iter().map(|incident| incident.place).collect()
    };
    let of_dead = Some("town/a2/controller".to_owned());
    assert_eq!(places(&feed), std::slice::from_ref(&of_dead));
    run(&mut feed, stops, back + HOUR);
    assert_eq!(places(&feed), [of_dead.clone(), None], "the network once, and none of its parts");
    let states: Vec<AlarmState> =
        of_class(&feed, Class::Silence).into_iter().map(|incident| incident.alarm).collect();
    assert_eq!(states[1], AlarmState::Cleared);
    assert_ne!(states[0], AlarmState::Cleared, "what was dead before the network stopped still is");
    run(&mut feed, back + HOUR, back + 4 * HOUR);
    assert_eq!(places(&feed), [of_dead, None, Some("town/b2/meter".to_owned())]);
}

/// A town whose make-up and one secondary's are counted, 50 l at a time; the counter of a site leaps by `m3` in the end.
fn counted_town(leaps: &str, m3: f64) -> Feed {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let leap = 6 * DAY;
    feed.run_with(
        0,
        leap + DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            swing(at, list);
            let volume = |name: &'static str, site: &'static str, rate: f64| {
                let more = if at >= leap && leaps == site { m3 } else { 0.0 };
                let counted = 700.0 + (at as f64 * rate / 0.05).floor() * 0.05 + more;
                (site, "counter", vec![(name, "m3", counted)])
            };
            list.retain(|(_, device, _)| *device != "makeup");
            list.push(volume("make_up_volume", "source", 2e-5));
            list.push(volume("secondary_make_up_volume", "a1", 5e-6));
        },
    );
    feed
}

#[test]
fn a_counter_that_leaps_is_named_and_what_it_leapt_by_is_no_water() {
    for (site, name) in [("source", "make_up_volume"), ("a1", "secondary_make_up_volume")] {
        let feed = counted_town(site, 1_000.0);
        let found = feed.incidents();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("rate")));
        assert_eq!(found[0].place, Some(format!("town/{site}/counter/{name}")));
        let leap = found[0].evidence.iter().find(|evidence| evidence.what == "rate").unwrap();
        assert!((leap.value - 1_000.0).abs() < 1.0 && leap.unit == "m3", "{leap:?}");
        assert_eq!(found[0].alarm, AlarmState::Cleared);
    }
    assert_eq!(counted_town("", 0.0).incidents(), []);
}
