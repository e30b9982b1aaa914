//! Twelve stations of like size and one large one, 40 days.

use heat_model::{DeviceId, EventTime, plant::PlantModel, time::MICROS_PER_HOUR};
use jiff::tz::TimeZone;

use super::*;
use crate::{Span, hours::Hour};

const DAYS: i64 = 40;

fn network() -> NetworkId {
    NetworkId::new("n").unwrap()
}

fn plant(stations: usize) -> PlantModel {
    let mut sites: Vec<serde_json::Value> = (0..stations)
        .map(|n| serde_json::json!({"id": format!("st{n:02}"), "kind": "station", "heated_area_m2": 9_000 + 400 * n}))
        .collect();
    sites.push(serde_json::json!({"id": "vast", "kind": "station", "heated_area_m2": 900_000}));
    serde_json::from_value(serde_json::json!({"networks": [{"id": "n"}], "sites": sites})).unwrap()
}

/// What a station's meters show.
#[derive(Debug, Clone, Copy)]
struct Shows {
    /// K above what every station has on that day, by the day.
    warmer: fn(i64) -> f64,
    /// K that its return sensor reads too much.
    bias: f64,
    flow: bool,
    heat: bool,
}

const WELL: Shows = Shows { warmer: |_| 0.0, bias: 0.0, flow: true, heat: true };

fn told(stations: usize, shows: impl Fn(usize) -> Shows) -> Peers {
    let span = Span {
        from: EventTime::from_micros(0),
        to: EventTime::from_micros(DAYS * 24 * MICROS_PER_HOUR),
        zone: TimeZone::UTC,
    };
    let mut hours = Hours::new(span, 18.0);
    let device = DeviceId::new("d").unwrap();
    for at in 0..=stations {
        let name = if at == stations { "vast".to_owned() } else { format!("st{at:02}") };
        let site = SiteId::new(&name).unwrap();
        let shows = shows(at);
        for hour in 0..DAYS * 24 {
            let day = hour / 24;
            // The weather moves all; each station has a habit of its own.
            let supply = 80.0 + (day % 7) as f64;
            let usual = 42.0 + 0.5 * (day % 5) as f64 + 0.3 * (at % 4) as f64;
            let back = usual + (shows.warmer)(day);
            let heat = 2e5;
            let flow = heat / HEAT_CAPACITY_J_KG_K / (supply - back);
            let mut add = |quantity, unit, value: f64| {
                hours.add(&Hour {
                    network: &network(),
                    site: &site,
                    device: &device,
                    quantity,
                    unit,
                    hour_us: hour * MICROS_PER_HOUR,
                    min: value,
                    mean: value,
                    max: value,
                });
            };
            add(Quantity::SupplyTemperature, "degC", supply);
            add(Quantity::ReturnTemperature, "degC", back + shows.bias);
            if shows.flow {
                add(Quantity::SupplyFlow, "kg/s", flow);
            }
            if shows.heat {
                add(Quantity::HeatPower, "W", heat);
            }
        }
    }
    let plant = plant(stations);
    peers(std::iter::once(&network()), &hours, &Ground::new(&plant))
}

fn with(own: Shows) -> Peers {
    told(12, |at| if at == 3 { own } else { WELL })
}

#[test]
fn a_return_that_stood_above_its_peers_all_season_is_told_with_the_flow_that_it_cost() {
    let peers = with(Shows { warmer: |_| 8.0, ..WELL });

    let [row] = peers.ranking.rows.as_slice() else { panic!("{peers:?}") };
    assert_eq!((row.station.as_str(), row.peers, row.days), ("st03", 11, 40));
    assert!((row.above_kelvin - 8.4).abs() < 0.3, "{row:?}");
    // 8.4 K of the 40 K that the peers' return would have left.
    let share = row.excess_flow_t.unwrap() / row.flow_t.unwrap();
    assert!((share - 8.4 / 40.0).abs() < 0.01, "{share}");
    assert!((row.heat_gj.unwrap() - 2e5 * 86_400.0 * 40.0 / 1e9).abs() < 1e-6);
    let excess = row.flow_per_heat.unwrap() / row.peers_flow_per_heat.unwrap();
    assert!((1.2..1.35).contains(&excess), "{excess}");
    assert_eq!((peers.judged, peers.not_judged), (12, 1), "the large one has no peers");
}

#[test]
fn a_station_without_a_flow_meter_is_told_by_its_heat_and_one_with_neither_without_a_cost() {
    let by_heat = with(Shows { warmer: |_| 8.0, flow: false, ..WELL });
    assert!(by_heat.ranking.rows[0].excess_flow_t.unwrap() > 1_000.0, "{by_heat:?}");
    let bare = with(Shows { warmer: |_| 8.0, flow: false, heat: false, ..WELL });
    assert_eq!(bare.ranking.rows[0].excess_flow_t, None);
    assert!((bare.ranking.rows[0].above_kelvin - 8.4).abs() < 0.3, "{bare:?}");
}

#[test]
fn a_return_that_only_its_own_sensor_calls_warm_is_the_sensors() {
    let peers = with(Shows { bias: 8.0, ..WELL });
    assert!(peers.ranking.rows.is_empty(), "{peers:?}");
}

#[test]
fn what_began_within_the_season_or_is_within_what_peers_differ_by_is_not_told() {
    let late = with(Shows { warmer: |day| if day > 24 { 20.0 } else { 0.0 }, ..WELL });
    assert!(late.ranking.rows.is_empty(), "{late:?}");
    let scattered = told(12, |at| Shows { warmer: [|_| 0.0, |_| 3.0, |_| 6.0, |_| 9.0][at % 4], ..WELL });
    assert!(scattered.ranking.rows.is_empty(), "{scattered:?}");
}

#[test]
fn seven_peers_are_too_few() {
    let peers = told(8, |at| Shows { warmer: if at == 3 { |_| 8.0 } else { |_| 0.0 }, ..WELL });
    assert!(peers.ranking.rows.is_empty() && peers.judged == 0, "{peers:?}");
}
