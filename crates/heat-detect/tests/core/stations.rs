//! What can be the matter with a station, each as its physics shows it: named as what it is, at its place, and nothing
//! else.

use heat_detect::DetectSettings;
use heat_model::incident::{Class, Incident};

use crate::{
    quality::value,
    temps::controlled,
    world::{CALM, Device, Feed, START, noise, plant},
};

const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const SCAN: i64 = 900;
const ONSET: i64 = 8 * DAY;

/// What is the matter with a station. Nothing, by default.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    /// How much warmer the primary comes back, K: the valve gives the same heat with more water.
    pub(crate) back: f64,
    /// How much colder the water arrives, K.
    pub(crate) cold: f64,
    /// What the valve lets through, of what its opening gives.
    pub(crate) through: f64,
    /// Opening at which the valve is stuck.
    pub(crate) stuck: Option<f64>,
    /// Heat that the controller gives, of what is needed, and how much colder it keeps the secondary, K.
    pub(crate) heat: f64,
    pub(crate) cooler: f64,
    /// Circulation of the secondary, of its usual.
    pub(crate) pump: f64,
}

pub(crate) const WELL: Trouble =
    Trouble { back: 0.0, cold: 0.0, through: 1.0, stuck: None, heat: 1.0, cooler: 0.0, pump: 1.0 };

/// Outdoor temperature, degC: days, and fronts that are no multiple of them.
pub(crate) fn outdoor(at: i64) -> f64 {
    let wave = |days: f64| (at as f64 / DAY as f64 / days * std::f64::consts::TAU).sin();
    -2.0 + 3.0 * wave(1.0) + 3.0 * wave(5.3) + 2.0 * wave(1.9)
}

/// A town whose station b1 is all metered: its exchanger, valve and houses in closed form. What it draws and sends back is
/// what the source gives and takes.
pub(crate) fn metered(at: i64, list: &mut Vec<Device>, trouble: Trouble) {
    controlled(at, list);
    let n = |of: usize| noise(at, 300 + of);
    let hot = *value(list, "b1", "primary_supply_temperature") - trouble.cold;
    let load = (20.0 - outdoor(at)) / 22.0;
    // Of 5 kg/s that are cooled by 39 K; the primary comes back at 42 degC and 3 K more at full load.
    let most = trouble.stuck.unwrap_or(0.9) / 0.4 * trouble.through;
    let heat_of = |flow: f64, warm: f64| flow * (hot - 42.0 - warm) / (39.0 + 3.0 * flow);
    let wanted = load * trouble.heat;
    let given = if trouble.stuck.is_some() {
        heat_of(most, trouble.back)
    } else {
        wanted.min(heat_of(most, trouble.back))
    };
    // A slow secondary takes up less, and leaves the exchanger at its own temperature.
    let given = if trouble.pump < 1.0 { given * (0.4 + 0.6 * trouble.pump) } else { given };
    let mean = 38.0 + 5.0 * given - trouble.cooler;
    let (supply, back) = (mean + 5.0 * given / trouble.pump, mean - 5.0 * given / trouble.pump);
    let pinch = if trouble.pump < 1.0 { 1.0 } else { 4.0 + 3.0 * given };
    let cold = back + pinch + trouble.back;
    let flow = given * 39.0 / (hot - cold);
    let opening = trouble.stuck.unwrap_or((flow * 0.4 / trouble.through).min(0.9));
    list.push(("source", "weather", vec![("outdoor_temperature", "degC", outdoor(at) + 0.05 * n(1))]));
    list.push((
        "b1",
        "controller_2",
        vec![
            ("secondary_supply_temperature", "degC", supply + 0.05 * n(2)),
            ("secondary_return_temperature", "degC", back + 0.05 * n(3)),
            ("secondary_set_point_temperature", "degC", 38.0 + 10.0 * load),
            ("valve_opening", "1", opening + 0.002 * n(4)),
        ],
    ));
    *value(list, "b1", "primary_supply_temperature") = hot + 0.05 * n(5);
    *value(list, "b1", "primary_return_temperature") = cold + 0.05 * n(6);
    *value(list, "b1", "primary_supply_flow") = 5.0 * flow * (1.0 + 0.002 * n(7));
    let stations = ["a1", "a2", "b1", "b2"];
    let flows = stations.map(|station| *value(list, station, "primary_supply_flow"));
    let warmth: f64 = stations
        .iter()
        .zip(flows)
        .map(|(station, flow)| flow * *value(list, station, "primary_return_temperature"))
        .sum();
    let all: f64 = flows.iter().sum();
    *value(list, "source", "supply_flow") += all - 20.0;
    *value(list, "source", "return_flow") += all - 20.0;
    *value(list, "source", "return_temperature") = warmth / all + 0.05 * n(8);
}

/// Runs the town, where b1 has a trouble by time.
pub(crate) fn run(feed: &mut Feed, from: i64, to: i64, trouble: impl Fn(i64) -> Trouble) {
    feed.run_with(from, to, SCAN, |_| CALM, |at, list| metered(at, list, trouble(at)));
}

fn incidents_of(days: i64, trouble: impl Fn(i64) -> Trouble) -> Vec<Incident> {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    run(&mut feed, 0, ONSET + days * DAY, |at| if at < ONSET { WELL } else { trouble(at - ONSET) });
    feed.incidents()
}

#[test]
fn nothing_is_the_matter_with_a_station_in_order() {
    assert_eq!(incidents_of(8, |_| WELL), []);
}

/// Class, kind, and the trouble by seconds since its onset.
type Case = (Class, Option<&'static str>, fn(i64) -> Trouble);

fn dirt(since: i64) -> f64 {
    2.0 * (since as f64 / DAY as f64).min(3.0)
}

#[test]
fn each_trouble_of_a_station_is_one_incident_of_its_kind() {
    let troubles: [Case; 10] = [
        (Class::ConsumerThermal, Some("high_return"), |_| Trouble { back: 4.0, ..WELL }),
        (Class::ConsumerThermal, Some("fouled"), |since| Trouble { back: dirt(since), ..WELL }),
        (Class::ConsumerThermal, Some("short_circuit"), |_| Trouble { back: 26.0, ..WELL }),
        (Class::ConsumerThermal, Some("stuck_valve"), |_| Trouble { stuck: Some(0.2), ..WELL }),
        (Class::ConsumerThermal, Some("overheating"), |_| Trouble { heat: 1.5, cooler: -3.0, ..WELL }),
        (Class::ConsumerThermal, Some("below_set_point"), |_| Trouble { heat: 0.93, cooler: 2.5, ..WELL }),
        (Class::ConsumerThermal, Some("pump_failure"), |_| Trouble { pump: 0.3, ..WELL }),
        (Class::ConsumerThermal, Some("cold_arrival"), |_| Trouble { cold: 5.0, ..WELL }),
        (Class::Underheating, Some("blocked_strainer"), |_| Trouble { through: 0.25, ..WELL }),
        (Class::Underheating, None, |_| Trouble { heat: 0.7, cooler: 1.0, ..WELL }),
    ];
    let mut wrong = Vec::new();
    for (class, kind, trouble) in troubles {
        let found = incidents_of(4, trouble);
        let [told] = found.as_slice() else {
            wrong.push(format!("{kind:?}: {found:#?}"));
            continue;
        };
        if (told.class, told.kind.as_deref(), told.place.as_deref()) != (class, kind, Some("b1")) {
            wrong.push(format!("{kind:?}: {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_supply_sensor_that_reads_too_little_is_no_water_that_arrives_cold() {
    let mut feed = Feed::new(DetectSettings::default(), plant());
    feed.run_with(
        0,
        ONSET + 2 * DAY,
        SCAN,
        |_| CALM,
        |at, list| {
            metered(at, list, WELL);
            if at >= ONSET {
                *value(list, "b1", "primary_supply_temperature") -= 5.0;
            }
        },
    );
    let found = feed.incidents();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].class, Class::SensorFault);
    assert_eq!(found[0].place.as_deref(), Some("town/b1/meter/primary_supply_temperature"));
    assert!(found[0].opened.second() < START + ONSET + 4 * HOUR, "{found:?}");
}
