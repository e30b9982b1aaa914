//! Temperatures, sensors and stations, told by what other signals say of them.

use heat_detect::DetectSettings;
use heat_model::{
    incident::{AlarmState, Class},
    plant::{Network, PlantModel, Site, SiteKind},
};

use crate::{
    quality::{of_class, swing, value},
    world::{CALM, Device, Feed, START, noise, plant},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SCAN: i64 = 900;

pub(crate) fn swap(list: &mut [Device], site: &str, a: &str, b: &str) {
    let (hot, cold) = (*value(list, site, a), *value(list, site, b));
    (*value(list, site, a), *value(list, site, b)) = (cold, hot);
}

/// A source with its set point, which it holds.
pub(crate) fn controlled(at: i64, list: &mut [Device]) {
    swing(at, list);
    let supply = *value(list, "source", "supply_temperature");
    list[0].2.push(("set_point_temperature", "degC", (supply * 2.0).round() / 2.0));
}

/// What becomes of the town with that source until a time, where a quarter hour's readings are changed.
fn controlled_town(until: i64, change: impl Fn(i64, &mut Vec<Device>)) -> Feed {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        until,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            change(at, list);
        },
    );
    feed
}

#[test]
fn swapped_sensors_of_a_source_are_named_and_neither_plant_nor_sensor_is_blamed_then_or_later() {
    let (from, until) = (5 * DAY, 8 * DAY);
    let feed = controlled_town(until + 2 * DAY, |at, list| {
        if (from..until).contains(&at) {
            swap(list, "source", "supply_temperature", "return_temperature");
        }
    });
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("swapped")));
    assert_eq!(found[0].place.as_deref(), Some("town/source/main/supply_temperature"));
    assert!(found[0].opened.second() <= START + from + 2 * HOUR, "{:?}", found[0].opened);
    assert_eq!(found[0].alarm, AlarmState::Cleared);
}

#[test]
fn swapped_sensors_of_a_station_are_no_water_that_arrives_cold() {
    let from = 6 * DAY;
    let feed = controlled_town(from + 2 * DAY, |at, list| {
        controlled_station(at, list, 1.0);
        if at >= from {
            swap(list, "b1", "primary_supply_temperature", "primary_return_temperature");
        }
    });
    assert_eq!(of_class(&feed, Class::ConsumerThermal), []);
    let found = of_class(&feed, Class::SensorFault);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind.as_deref(), Some("swapped"));
}

#[test]
fn sensors_of_a_source_that_come_back_swapped_after_a_silence_are_named_too() {
    let back = 5 * DAY;
    let feed = controlled_town(back + 2 * DAY, |at, list| {
        list.retain(|(_, device, _)| *device != "main" || !(back - 4 * HOUR..back).contains(&at));
        if at >= back {
            swap(list, "source", "supply_temperature", "return_temperature");
        }
    });
    let found = of_class(&feed, Class::SensorFault);
    assert_eq!(found.len(), 1, "{:?}", feed.incidents());
    assert_eq!(found[0].kind.as_deref(), Some("swapped"), "{found:?}");
    assert!(of_class(&feed, Class::NetworkThermal).is_empty(), "{:?}", feed.incidents());
}

#[test]
fn a_station_that_is_shut_off_by_day_blames_none_of_its_sensors() {
    for standstill in [0.0, 0.001] {
        let shut = 5 * DAY + 12 * HOUR;
        let mut feed = Feed::new(DetectSettings::default(), plant());
        feed.run_with(
            0,
            shut + DAY,
            SCAN,
            |_| CALM,
            |at, list| {
                controlled(at, list);
                if at >= shut {
                    let left = (-((at - shut) as f64) / (8 * HOUR) as f64).exp();
                    let digit = 0.05 * ((at / SCAN * 7) % 5) as f64;
                    *value(list, "b1", "primary_supply_flow") = standstill;
                    *value(list, "b1", "primary_supply_temperature") = 20.0 + 64.0 * left + digit;
                    *value(list, "b1", "primary_return_temperature") = 20.0 + 25.0 * left + digit;
                }
            },
        );
        let found = of_class(&feed, Class::SensorFault);
        assert!(found.is_empty(), "{standstill}: {found:?}");
    }
}

/// A station behind its controller, in weather that swings by the day; it gives `times` the heat that it should.
pub(crate) fn controlled_station(at: i64, list: &mut Vec<Device>, times: f64) {
    let angle = at as f64 / DAY as f64 * std::f64::consts::TAU;
    let digit = |of: i64| 0.05 * ((at / SCAN * 7 + of) % 5) as f64;
    let load = 1.0 - 0.2 * angle.sin();
    list.push((
        "source",
        "weather",
        vec![("outdoor_temperature", "degC", -2.0 + 4.0 * angle.sin() + digit(1))],
    ));
    *value(list, "b1", "primary_supply_flow") *= load * times;
    let back = 36.0 + 2.0 * times;
    list.push((
        "b1",
        "secondary",
        vec![
            ("secondary_supply_temperature", "degC", back + 10.0 * load * times + digit(2)),
            ("secondary_return_temperature", "degC", back + digit(3)),
            ("secondary_set_point_temperature", "degC", 38.0 + 10.0 * load),
        ],
    ));
}

#[test]
fn too_much_heat_is_told_with_its_strength_and_what_it_costs() {
    let onset = 6 * DAY;
    let feed = controlled_town(onset + DAY, |at, list| {
        controlled_station(at, list, if at < onset { 1.0 } else { 1.6 });
    });
    let found = of_class(&feed, Class::ConsumerThermal);
    let told = found.iter().find(|incident| incident.kind.as_deref() == Some("overheating"));
    let told = told.unwrap_or_else(|| panic!("{:?}", feed.incidents()));
    assert!(told.strength > 5.0, "{told:?}");
    // 5 kg/s cooled by 39 K are 0.82 MW, of which six tenths come on top.
    let cost = told.evidence.iter().find(|evidence| evidence.what == "excess_heat").unwrap();
    assert!((3e5..7e5).contains(&cost.value), "{cost:?}");
}

#[test]
fn a_gauge_that_reads_far_below_nothing_cuts_no_station_off() {
    let feed = controlled_town(DAY + 6 * HOUR, |at, list| {
        if at >= DAY {
            *value(list, "a1", "primary_supply_pressure") = -5e6 + 1e3 * ((at / SCAN) % 3) as f64;
        }
    });
    let found = of_class(&feed, Class::ConsumerThermal);
    assert!(found.is_empty(), "{found:?}");
}

/// A second source with a heat meter, beside the one of [`plant`]; `heat` and `supply` are what its meter says of its heat,
/// and how far its supply is from its set point, K.
fn works(at: i64, list: &mut Vec<Device>, heat: f64, supply: f64) {
    let set_point = *value(list, "source", "set_point_temperature");
    let (hot, cold) = (*value(list, "source", "supply_temperature") + supply, 46.0 + noise(at, 91) * 0.1);
    let flow = 8.0 + 0.04 * noise(at, 92);
    list.push((
        "works",
        "main",
        vec![
            ("supply_temperature", "degC", hot),
            ("return_temperature", "degC", cold),
            ("supply_flow", "kg/s", flow),
            ("set_point_temperature", "degC", set_point),
            ("heat_power", "W", heat * flow * 4_190.0 * (hot - cold) * (1.0 + 0.002 * noise(at, 93))),
        ],
    ));
}

fn with_works(until: i64, heat: impl Fn(i64) -> f64, supply: impl Fn(i64) -> f64) -> Feed {
    with_works_metered(until, heat, supply, |_| 1.0)
}

/// The town with the works beside its source.
fn two_sources() -> PlantModel {
    let mut plant = plant();
    let first = plant.sites.iter().position(|site| site.kind == Some(SiteKind::Source)).unwrap();
    let second = Site { node: None, ..plant.sites[first].clone() };
    plant.sites.insert(first + 1, Site { id: "works".parse().unwrap(), ..second });
    plant
}

/// `flow` is how many times what flows the second source's meter says.
fn with_works_metered(
    until: i64,
    heat: impl Fn(i64) -> f64,
    supply: impl Fn(i64) -> f64,
    flow: impl Fn(i64) -> f64,
) -> Feed {
    let mut feed = Feed::new(DetectSettings::default(), two_sources());
    feed.run_with(
        0,
        until,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            works(at, list, heat(at), supply(at));
            *value(list, "works", "supply_flow") *= flow(at);
            // The stations draw what both give.
            let stations = list.iter_mut().filter(|(site, _, _)| !["source", "works"].contains(site));
            for (_, _, values) in stations {
                for (_, _, value) in values.iter_mut().filter(|(name, _, _)| *name == "primary_supply_flow") {
                    *value *= 28.0 / 20.0;
                }
            }
        },
    );
    feed
}

#[test]
fn the_heat_meter_of_a_second_source_is_named_by_its_own_flow_and_temperatures() {
    let onset = 6 * DAY;
    let feed = with_works(onset + DAY, |at| if at < onset { 1.0 } else { 1.08 }, |_| 0.0);
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("bias")));
    assert_eq!(found[0].place.as_deref(), Some("town/works/main/heat_power"));
}

#[test]
fn a_second_source_that_falls_below_its_set_point_is_named_as_the_cold_one() {
    let onset = 6 * DAY;
    let feed = with_works(onset + DAY, |_| 1.0, |at| if at < onset { 0.0 } else { -9.0 });
    let found = feed.incidents();
    let cold = found.iter().find(|incident| incident.class == Class::NetworkThermal);
    let cold = cold.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!((cold.kind.as_deref(), cold.place.as_deref()), (Some("cold_supply"), Some("works")));
    assert_eq!(of_class(&feed, Class::SensorFault), [], "its sensors agree with its heat meter");
}

#[test]
fn the_flow_meter_of_a_second_source_is_told_from_its_heat_meter_by_what_the_stations_draw() {
    let onset = 6 * DAY;
    let wrong = |at: i64| if at < onset { 1.0 } else { 1.08 };
    let feed = with_works_metered(onset + DAY, |_| 1.0, |_| 0.0, wrong);
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("bias")));
    assert_eq!(found[0].place.as_deref(), Some("town/works/main/supply_flow"));
}

/// What a station's heat meter sees of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    /// Added to what it gives, as a share.
    pub(crate) off: f64,
    /// Step of its counter, J; it gives its power where there is none.
    pub(crate) counter: Option<f64>,
}

/// A controlled station with a heat meter that has sensors of its own.
pub(crate) fn metered_station(at: i64, list: &mut Vec<Device>, meter: Meter) {
    controlled_station(at, list, 1.0);
    let digit = |of: i64| 0.05 * ((at / SCAN * 11 + of) % 7) as f64;
    let cooling =
        *value(list, "b1", "primary_supply_temperature") - *value(list, "b1", "primary_return_temperature");
    let watts = *value(list, "b1", "primary_supply_flow") * 4_190.0 * cooling;
    *value(list, "b1", "primary_return_temperature") += digit(1);
    // The same since the start: 5 kg/s that swing by a fifth the one way, cooled by 39 K that swing by 1.8 K the other way.
    let (angle, day) = (at as f64 / DAY as f64 * std::f64::consts::TAU, DAY as f64 / std::f64::consts::TAU);
    let squares = at as f64 / 2.0 - day / 4.0 * (2.0 * angle).sin();
    let joules = 5.0 * 4_190.0 * (39.0 * at as f64 - 6.0 * day * (1.0 - angle.cos()) - 0.36 * squares);
    let shown = match meter.counter {
        None => ("heat_power", "W", watts * (1.0 + meter.off) * (1.0 + 2e-3 * digit(2))),
        Some(step) => ("heat_energy", "J", (joules * (1.0 + meter.off) / step).floor() * step + 5e12),
    };
    list.push(("b1", "heat_meter", vec![shown]));
}

pub(crate) const FINE: Meter = Meter { off: 0.0, counter: None };

#[test]
fn a_heat_meter_that_shifts_is_named_and_not_what_it_is_held_against() {
    let onset = 8 * DAY;
    let off = |at: i64| if at < onset { 0.0 } else { 0.06 };
    let feed = controlled_town(onset + DAY, |at, list| {
        metered_station(at, list, Meter { off: off(at), ..FINE });
    });
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("bias")));
    assert_eq!(found[0].place.as_deref(), Some("town/b1/heat_meter/heat_power"));
    let off = found[0].evidence.iter().find(|evidence| evidence.what == "heat_meter_off").unwrap();
    assert!((off.value - 0.06_f64.ln_1p()).abs() < 0.02, "{off:?}");
}

#[test]
fn a_counter_of_heat_that_drifts_is_named_by_its_counts() {
    let onset = 8 * DAY;
    // What was counted too much since the onset, a tenth of all that was.
    let feed = controlled_town(onset + 2 * DAY, |at, list| {
        metered_station(at, list, Meter { counter: Some(3.6e6), ..FINE });
        let since = (at - onset).max(0) as f64;
        *value(list, "b1", "heat_energy") += (0.1 * 5.0 * 4_190.0 * 39.0 * since / 3.6e6).floor() * 3.6e6;
    });
    let found = of_class(&feed, Class::SensorFault);
    assert_eq!(found.len(), 1, "{:?}", feed.incidents());
    assert_eq!(found[0].place.as_deref(), Some("town/b1/heat_meter/heat_energy"));
}

#[test]
fn a_return_sensor_is_told_from_water_that_comes_back_warm_by_the_heat_meter() {
    let onset = 8 * DAY;
    for (has_meter, warm) in [(true, false), (true, true)] {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        feed.run_with(
            0,
            onset + DAY,
            SCAN,
            |_| CALM,
            |at, list| {
                controlled(at, list);
                metered_station(at, list, FINE);
                if at >= onset {
                    *value(list, "b1", "primary_return_temperature") += 4.0;
                    if warm {
                        // The same heat with more water.
                        *value(list, "b1", "primary_supply_flow") *= 39.0 / 35.0;
                    }
                }
                if !has_meter {
                    list.retain(|(_, device, _)| *device != "heat_meter");
                }
            },
        );
        let class = if warm { Class::ConsumerThermal } else { Class::SensorFault };
        let found = of_class(&feed, class);
        assert_eq!(found.len(), 1, "{warm}: {:?}", feed.incidents());
        if !warm {
            assert_eq!(found[0].place.as_deref(), Some("town/b1/meter/primary_return_temperature"));
        }
    }
}

#[test]
fn a_controller_whose_sensors_all_read_too_much_is_told_as_one_and_calls_no_station_overheated() {
    let onset = 8 * DAY;
    let feed = controlled_town(onset + 3 * DAY, |at, list| {
        controlled_station(at, list, 1.0);
        let is_off = (onset..onset + DAY).contains(&at);
        if is_off {
            *value(list, "b1", "secondary_supply_temperature") += 66.0;
            *value(list, "b1", "secondary_return_temperature") += 70.0;
        }
        let outdoor = 0.05 * ((at / SCAN * 3) % 7) as f64 + if is_off { 110.0 } else { -2.0 };
        let device = list.iter_mut().find(|(_, device, _)| *device == "secondary").unwrap();
        device.2.push(("outdoor_temperature", "degC", outdoor));
    });
    let (of_outdoor, found): (Vec<_>, Vec<_>) = feed.incidents().into_iter().partition(|incident| {
        incident.place.as_deref().is_some_and(|place| place.ends_with("outdoor_temperature"))
    });
    assert_eq!(found.len(), 1, "{found:?}");
    // It was found a little sooner, and is the device's from then on.
    assert!(of_outdoor.iter().all(|incident| incident.alarm == AlarmState::Cleared), "{of_outdoor:?}");
    assert_eq!(found[0].effects, ["town/b1/secondary/outdoor_temperature: range"]);
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("impossible")));
    assert_eq!(found[0].place.as_deref(), Some("town/b1/secondary"));
    let signals: Vec<&str> = found[0].evidence.iter().map(|evidence| evidence.place.as_str()).collect();
    assert!(signals.contains(&"town/b1/secondary/secondary_return_temperature"), "{signals:?}");
    assert!(found[0].opened.second() <= START + onset + 2 * HOUR, "{:?}", found[0].opened);
    assert_eq!(found[0].alarm, AlarmState::Cleared);
}

#[test]
fn a_second_source_that_stands_by_and_cools_is_none_too_cold() {
    let stops = 6 * DAY;
    let stands = |at: i64| at >= stops;
    let feed = with_works_metered(
        stops + DAY,
        |at| if stands(at) { 0.0 } else { 1.0 },
        |at| if stands(at) { -30.0 } else { 0.0 },
        |at| if stands(at) { 0.0 } else { 1.0 },
    );
    assert_eq!(of_class(&feed, Class::NetworkThermal), []);
}

#[test]
fn while_the_first_source_stands_by_the_second_is_the_boundary_and_its_meters_are_judged() {
    let onset = 6 * DAY;
    let mut feed = Feed::new(DetectSettings::default(), two_sources());
    feed.run_with(
        0,
        onset + DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            works(at, list, 20.0 / 8.0, 0.0);
            let flow = 20.0 + 0.1 * noise(at, 92);
            *value(list, "works", "supply_flow") = flow * if at < onset { 1.0 } else { 1.08 };
            *value(list, "source", "supply_flow") = 0.0;
            *value(list, "source", "return_flow") = 0.0;
            *value(list, "source", "supply_temperature") -= 50.0;
        },
    );
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].kind.as_deref()), (Class::SensorFault, Some("bias")));
    assert_eq!(found[0].place.as_deref(), Some("town/works/main/supply_flow"));
}

/// An office whose set point falls at weekends; what it gives follows, but when it `heats` through one.
fn office(zone: Option<&str>, until: i64, heats: impl Fn(i64) -> bool) -> Feed {
    let mut plant = plant();
    let id = plant.circuits[0].network.clone();
    plant.networks.push(Network {
        id,
        name: None,
        medium: None,
        time_zone: zone.map(str::to_owned),
        operator: None,
        district: None,
    });
    let mut feed = Feed::new(DetectSettings::default(), plant);
    feed.run_with(
        0,
        until,
        SCAN,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            // The first day is a Tuesday in Shanghai.
            let rests = matches!((at / DAY) % 7, 4 | 5);
            controlled_station(at, list, if rests && !heats(at) { 0.6 } else { 1.0 });
            if rests {
                let load = 1.0 - 0.2 * (at as f64 / DAY as f64 * std::f64::consts::TAU).sin();
                let set_point = (37.2 + 6.0 * load).round();
                *value(list, "b1", "secondary_set_point_temperature") = set_point;
            }
        },
    );
    feed
}

#[test]
fn an_office_that_rests_at_weekends_is_told_when_it_heats_through_one() {
    let until = 27 * DAY;
    let kinds = |zone: Option<&str>, heats: bool| -> Vec<String> {
        let feed = office(zone, until, |at| heats && at >= 21 * DAY);
        feed.incidents().into_iter().map(|found| format!("{:?} {:?}", found.class, found.kind)).collect()
    };
    assert!(kinds(Some("Asia/Shanghai"), false).is_empty());
    let overheats = format!("{:?} {:?}", Class::ConsumerThermal, Some("overheating"));
    assert_eq!(kinds(Some("Asia/Shanghai"), true), std::slice::from_ref(&overheats));
    let without = kinds(None, true);
    assert_ne!(without, [overheats], "without the zone no day is a weekend");
}

#[test]
fn an_outdoor_sensor_that_leaps_is_named_within_two_hours_and_a_front_is_none() {
    let onset = 6 * DAY;
    let outdoors = |at: i64, list: &mut Vec<Device>, off: f64, front: f64| {
        let celsius = 3.0 * (at as f64 / DAY as f64 * std::f64::consts::TAU).sin() + front;
        for (index, site) in ["source", "a1", "a2", "b1"].into_iter().enumerate() {
            let off = if site == "a2" { off } else { 0.0 };
            let own = celsius + off + 0.1 * noise(at, 60 + index);
            list.push((site, "weather", vec![("outdoor_temperature", "degC", own)]));
        }
    };
    let leaps = controlled_town(onset + DAY, |at, list| {
        outdoors(at, list, if at >= onset { 25.0 } else { 0.0 }, 0.0);
    });
    let found = of_class(&leaps, Class::SensorFault);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind.as_deref(), Some("rate"));
    assert_eq!(found[0].place.as_deref(), Some("town/a2/weather/outdoor_temperature"));
    assert!(found[0].opened.second() <= START + onset + 2 * HOUR, "{:?}", found[0].opened);
    let front = controlled_town(onset + DAY, |at, list| {
        outdoors(at, list, 0.0, if at >= onset { -15.0 } else { 0.0 });
    });
    assert_eq!(of_class(&front, Class::SensorFault), []);
}
