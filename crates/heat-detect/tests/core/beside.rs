//! What is told beside a station's relations: plan and reserve of the sources, hunting control, lost set-backs.

use heat_detect::DetectSettings;
use heat_model::incident::{AlarmState, Class, Incident};

use crate::{
    quality::of_class,
    temps::controlled,
    world::{CALM, Device, Feed, START, noise, plant},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SCAN: i64 = 900;
/// What the source gives: 20 kg/s that are cooled by 40 K.
const DELIVERED_W: f64 = 20.0 * 4_190.0 * 40.0;

fn run(feed: &mut Feed, from: i64, to: i64, every: i64, more: impl Fn(i64, &mut Vec<Device>)) {
    feed.run_with(
        from,
        to,
        every,
        |_| CALM,
        |at, list| {
            controlled(at, list);
            more(at, list);
        },
    );
}

/// The one incident of a class, which has this kind and place.
fn only(feed: &Feed, class: Class, kind: &str, place: &str) -> Incident {
    let mut found = of_class(feed, class);
    assert_eq!(found.len(), 1, "{:?}", feed.incidents());
    assert_eq!((found[0].kind.as_deref(), found[0].place.as_deref()), (Some(kind), Some(place)));
    found.remove(0)
}

#[test]
fn a_source_that_gives_less_than_its_plan_is_told_until_it_gives_it() {
    let (onset, ends) = (2 * DAY, 3 * DAY);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let planned = |at: i64, list: &mut Vec<Device>| {
        let times = if (onset..ends).contains(&at) { 1.3 } else { 1.0 };
        list.push(("source", "plan", vec![("planned_heat_power", "W", times * DELIVERED_W)]));
    };
    run(&mut feed, 0, ends, SCAN, planned);
    let told = only(&feed, Class::NetworkThermal, "below_heat_plan", "source");
    assert!(told.opened.second() >= START + onset, "{told:?}");
    assert_eq!(told.alarm, AlarmState::Unacknowledged);
    run(&mut feed, ends, ends + DAY, SCAN, planned);
    assert_eq!(only(&feed, Class::NetworkThermal, "below_heat_plan", "source").alarm, AlarmState::Cleared);
    assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
}

#[test]
fn a_cold_day_that_is_forecast_and_needs_more_than_the_sources_have_is_told() {
    let forecast = 5 * DAY;
    let mut feed = Feed::new(DetectSettings::default(), plant());
    let sources = |_: i64, list: &mut Vec<Device>| {
        let outdoor = ("outdoor_temperature", "degC", 0.0);
        list.push(("source", "plan", vec![("available_heat_power", "W", 1.5 * DELIVERED_W), outdoor]));
    };
    run(&mut feed, 0, forecast, SCAN, sources);
    assert_eq!(feed.incidents(), []);
    feed.forecast(START + forecast, &[-15.0; 72]);
    run(&mut feed, forecast, forecast + 2 * HOUR, SCAN, sources);
    let told = only(&feed, Class::NetworkThermal, "capacity_reserve", "source");
    let coldest = told.evidence.iter().find(|evidence| evidence.what == "coldest_day").unwrap();
    assert!((coldest.value + 15.0).abs() < 0.1, "{told:?}");
    feed.forecast(START + forecast + 2 * HOUR, &[0.0; 72]);
    run(&mut feed, forecast + 2 * HOUR, forecast + 4 * HOUR, SCAN, sources);
    assert_eq!(only(&feed, Class::NetworkThermal, "capacity_reserve", "source").alarm, AlarmState::Cleared);
    assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
}

#[test]
fn control_that_hunts_is_told_by_the_valve_and_where_there_is_none_by_the_secondary() {
    let (from, ends) = (12 * HOUR, 17 * HOUR);
    for (name, unit, middle, swing) in
        [("valve_opening", "1", 0.5, 0.15), ("secondary_supply_temperature", "degC", 48.0, 3.0)]
    {
        let mut feed = Feed::new(DetectSettings::default(), plant());
        let swings = |at: i64, list: &mut Vec<Device>| {
            let angle = at as f64 / 900.0 * std::f64::consts::TAU;
            let size = if (from..ends).contains(&(at % DAY)) { swing } else { 0.02 * swing };
            list.push(("b1", "secondary", vec![(name, unit, middle + size * angle.sin())]));
        };
        run(&mut feed, 0, ends, 150, swings);
        let told = only(&feed, Class::ConsumerThermal, "hunting", "b1");
        assert!(told.opened.second() <= START + from + 5 * HOUR, "{told:?}");
        assert_eq!(told.alarm, AlarmState::Unacknowledged);
        run(&mut feed, ends, from + DAY, 150, swings);
        assert_eq!(only(&feed, Class::ConsumerThermal, "hunting", "b1").alarm, AlarmState::Cleared);
        run(&mut feed, from + DAY, from + DAY + 5 * HOUR, 150, swings);
        let again = only(&feed, Class::ConsumerThermal, "hunting", "b1");
        assert_eq!(again.alarm, AlarmState::Unacknowledged, "the next day it is the same matter");
        assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
    }
}

/// A secondary that goes down by 8 K at night, but for those from `lost` on until `back`. The first day begins at midnight
/// in Shanghai.
pub(crate) fn nights(at: i64, list: &mut Vec<Device>, lost: i64, back: i64) {
    let is_night = !(5 * HOUR..22 * HOUR).contains(&(at % DAY));
    let down = if is_night && !(lost..back).contains(&at) { 8.0 } else { 0.0 };
    let supply = 46.0 - down + 0.1 * noise(at, 410);
    list.push(("b1", "secondary", vec![("secondary_supply_temperature", "degC", supply)]));
}

#[test]
fn a_night_set_back_that_is_lost_is_told_and_ends_with_what_it_cost() {
    let (lost, back) = (26 * DAY + 12 * HOUR, 33 * DAY + 12 * HOUR);
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, back + 2 * DAY, SCAN, |at, list| nights(at, list, lost, back));
    let told = only(&feed, Class::ConsumerThermal, "setback_lost", "b1");
    assert!(told.opened.second() < START + lost + 6 * DAY, "{told:?}");
    assert_eq!(told.alarm, AlarmState::Cleared);
    let shown = |what: &str| {
        let evidence = told.evidence.iter().find(|evidence| evidence.what == what);
        evidence.unwrap_or_else(|| panic!("{what}: {told:?}")).value
    };
    // It was told after the fourth of seven nights.
    let days = shown("excess_heat_total") / (shown("excess_heat") * DAY as f64);
    assert!((3.0..=5.0).contains(&days), "{days}: {told:?}");
    assert_eq!(feed.incidents().len(), 1, "{:?}", feed.incidents());
}
