//! One large network through one core: cost per reading, size and time of a snapshot and of its copy, time to place a loss.
//!
//! `cargo run --release -p heat-detect --example large_network -- [STATIONS] [HOURS]`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use heat_detect::{DetectSettings, Output, PartitionCore, Snapshot};
use heat_model::{
    AppendTime, Body, Envelope, EventTime, FreshMask, GatewayId, IngestTime, Lane, NetworkId, Offset, Origin,
    PartitionId, Position, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId,
    plant::{Circuit, Pipe, PlantModel, Side, Site, SiteKind},
    record::Readings,
};

const START: i64 = 1_764_000_000;
/// Water of one station, kg/s.
const STATION_KG_S: f64 = 1.0;
/// Signals of a station that no rule names.
const OTHERS: usize = 18;

/// A tree of junctions with one station at each, in closed form.
struct City {
    stations: usize,
    /// Junction above each junction.
    above: Vec<usize>,
    /// Stations behind each junction.
    behind: Vec<f64>,
}

fn hash(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 29;
    (x >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
}

impl City {
    fn new(stations: usize) -> Self {
        // Each junction hangs on one some dozen before it: ways of some hundred trenches, as in a city.
        let above = (0..stations)
            .map(|j| if j == 0 { 0 } else { j - 1 - ((hash(j as u64, 7).abs() * 40.0) as usize).min(j - 1) })
            .collect::<Vec<usize>>();
        let mut behind = vec![1.0; stations];
        for j in (1..stations).rev() {
            behind[above[j]] += behind[j];
        }
        Self { stations, above, behind }
    }

    fn plant(&self, network: &NetworkId) -> PlantModel {
        let mut plant = PlantModel::default();
        plant.circuits.push(Circuit {
            water_volume_m3: Some(40.0 * self.stations as f64),
            ..Circuit::new("primary".parse().unwrap(), network.clone())
        });
        let mut lay = |id: String, from: String, to: String, length: f64, mm: f64| {
            for (suffix, side) in [("s", Side::Supply), ("r", Side::Return)] {
                plant.pipes.push(Pipe {
                    length_m: Some(length),
                    inner_diameter_mm: Some(mm),
                    side: Some(side),
                    ..Pipe::new(
                        format!("{id}{suffix}").parse().unwrap(),
                        "primary".parse().unwrap(),
                        from.parse().unwrap(),
                        to.parse().unwrap(),
                    )
                });
            }
        };
        for j in 0..self.stations {
            let upper = if j == 0 { "src".to_owned() } else { format!("j{}", self.above[j]) };
            let length = 60.0 + 30.0 * hash(j as u64, 1);
            lay(format!("J{j}"), upper, format!("j{j}"), length, self.bore_mm(self.behind[j]));
            lay(format!("S{j}"), format!("j{j}"), format!("n{j}"), 20.0, self.bore_mm(1.0));
        }
        let site = |id: String, kind, node: String| Site {
            network: Some(network.clone()),
            kind: Some(kind),
            node: Some(node.parse().unwrap()),
            ..Site::new(id.parse().unwrap())
        };
        plant.sites.push(site("source".to_owned(), SiteKind::Source, "src".to_owned()));
        for j in 0..self.stations {
            plant.sites.push(site(format!("st{j}"), SiteKind::Station, format!("n{j}")));
        }
        plant
    }

    /// Bore that loses about 50 Pa/m at this many stations' water.
    fn bore_mm(&self, stations: f64) -> f64 {
        let flow = stations * STATION_KG_S;
        1e3 * (0.02 * 8.0 * flow * flow / (975.0 * std::f64::consts::PI.powi(2) * 50.0)).powf(0.2)
    }

    /// Extra fall of a junction's pressure, Pa, where so much is lost at another.
    fn fall(&self, at: usize, leak: usize, loss: f64) -> f64 {
        let way = |mut j: usize| {
            let mut way = vec![j];
            while j != 0 {
                j = self.above[j];
                way.push(j);
            }
            way.reverse();
            way
        };
        way(at)
            .iter()
            .zip(&way(leak))
            .take_while(|(a, b)| a == b)
            .map(|(&j, _)| 50.0 * 60.0 * ((1.0 + loss / self.behind[j] / STATION_KG_S).powi(2) - 1.0))
            .sum::<f64>()
            .min(3e5)
    }
}

struct Feed {
    core: PartitionCore,
    sets: Vec<(Arc<SignalSet>, usize)>,
    offset: u64,
    second: i64,
    out: Vec<Output>,
    readings: u64,
    slowest: Duration,
}

fn set(
    network: &NetworkId,
    number: usize,
    site: &str,
    device: &str,
    names: &[(String, &str)],
) -> Arc<SignalSet> {
    Arc::new(SignalSet {
        id: SignalSetId(number as u64 + 1),
        network: network.clone(),
        site: site.parse().unwrap(),
        device: device.parse().unwrap(),
        signals: names
            .iter()
            .map(|(name, unit)| SignalDecl {
                name: name.parse().unwrap(),
                unit: (*unit).into(),
                raw_unit: (*unit).into(),
                scale: 1.0,
                offset: 0.0,
            })
            .collect(),
    })
}

fn sets(network: &NetworkId, stations: usize) -> Vec<(Arc<SignalSet>, usize)> {
    let named = |list: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        list.iter().map(|(name, unit)| ((*name).to_owned(), *unit)).collect()
    };
    let source = named(&[
        ("supply_flow", "kg/s"),
        ("return_flow", "kg/s"),
        ("supply_pressure", "Pa"),
        ("return_pressure", "Pa"),
        ("supply_temperature", "degC"),
        ("return_temperature", "degC"),
        ("make_up_flow", "kg/s"),
        ("outdoor_temperature", "degC"),
    ]);
    let mut station = named(&[
        ("primary_supply_flow", "kg/s"),
        ("primary_supply_temperature", "degC"),
        ("primary_return_temperature", "degC"),
        ("primary_supply_pressure", "Pa"),
        ("primary_return_pressure", "Pa"),
        ("heat_power", "W"),
        ("valve_opening", "1"),
        ("secondary_supply_temperature", "degC"),
        ("secondary_return_temperature", "degC"),
        ("secondary_supply_pressure", "Pa"),
        ("secondary_return_pressure", "Pa"),
        ("secondary_make_up_flow", "kg/s"),
    ]);
    station.extend((0..OTHERS).map(|n| (format!("extra_{n}"), "1")));
    let mut sets = vec![(set(network, 0, "source", "main", &source), usize::MAX)];
    sets.extend((0..stations).map(|j| (set(network, j + 1, &format!("st{j}"), "rtu", &station), j)));
    sets
}

impl Feed {
    /// One scan of the whole network; the loss is at a junction, kg/s.
    fn scan(&mut self, city: &City, at: i64, leak: Option<(usize, f64)>) {
        let loss = leak.map_or(0.0, |(_, loss)| loss);
        let daily = 1.0 + 0.05 * (at as f64 / 86_400.0 * std::f64::consts::TAU).sin();
        let total = city.stations as f64 * STATION_KG_S * daily;
        for index in 0..self.sets.len() {
            let (set, station) = self.sets[index].clone();
            let wobble = |signal: usize, size: f64| size * hash(at as u64, (index * 64 + signal) as u64);
            let values: Vec<f64> = if station == usize::MAX {
                vec![
                    total + loss + wobble(0, 0.001 * total),
                    total + wobble(1, 0.001 * total),
                    1.3e6 + wobble(2, 900.0),
                    3e5 - 60.0 * loss + wobble(3, 900.0),
                    85.0 + wobble(4, 0.05),
                    45.0 + wobble(5, 0.05),
                    (0.002 * total + loss + wobble(6, 0.0003 * total)).max(0.0),
                    -3.0,
                ]
            } else {
                let fall = leak.map_or(0.0, |(node, loss)| city.fall(station, node, loss));
                let common = wobble(60, 1.0);
                let mut values = vec![
                    STATION_KG_S * daily * (1.0 + wobble(0, 0.01)),
                    84.0 + wobble(1, 0.1),
                    45.0 + wobble(2, 0.1),
                    1.1e6 - 60.0 * loss - fall + wobble(3, 900.0),
                    5e5 - 60.0 * loss + wobble(4, 900.0),
                    1.6e5 * daily,
                    0.5 + wobble(6, 0.01),
                    60.0 + wobble(7, 0.1),
                    45.0 + wobble(8, 0.1),
                    4e5 + wobble(9, 900.0),
                    3e5 + wobble(10, 900.0),
                    0.002 + wobble(11, 0.0005),
                ];
                values.extend((0..OTHERS).map(|n| 10.0 + common + wobble(12 + n, 0.3)));
                values
            };
            let readings = (0_u32..)
                .zip(&values)
                .map(|(signal, value)| Reading {
                    signal,
                    event_time: EventTime::from_micros(at * 1_000_000),
                    raw: *value,
                    value: *value,
                    quality: Quality::Good,
                    code: QualityCode::None,
                })
                .collect::<Vec<_>>();
            self.readings += readings.len() as u64;
            self.append(at, set, readings);
        }
    }

    fn append(&mut self, at: i64, set: Arc<SignalSet>, readings: Vec<Reading>) {
        while self.second < at {
            self.second += 1;
            let begun = Instant::now();
            self.core.tick(self.second, &mut self.out);
            self.slowest = self.slowest.max(begun.elapsed());
        }
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(self.offset),
            append_time: AppendTime::from_micros(at * 1_000_000),
        };
        let envelope = Envelope {
            network: Some(set.network.clone()),
            origin: Origin { gateway: GatewayId::new("g").unwrap(), epoch: 1, seq: self.offset },
            ingest_time: IngestTime::from_micros(at * 1_000_000),
            messages: 1,
            body: Body::Readings(Readings { set, lane: Lane::Live, device_seq: None, readings }),
        };
        self.offset += 1;
        self.core.observe(&position, &envelope, &FreshMask::all(), &mut self.out);
    }

    fn told(&mut self, what: &str, begun: Instant, readings: u64) {
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{what}: {} readings, {:.0} ns each with making them, slowest second {:.0} ms, {} outputs",
            self.readings - readings,
            1e9 * seconds / (self.readings - readings).max(1) as f64,
            1e3 * self.slowest.as_secs_f64(),
            self.out.len(),
        );
        for output in self.out.drain(..) {
            if let Output::Event(event) = output
                && event.incident.loss_kg_s.is_some()
            {
                let incident = &event.incident;
                println!(
                    "  {} {:?}: place {:?}, {:.1} kg/s, {} candidates, lacking {:?}",
                    incident.class.as_str(),
                    event.change.kind,
                    incident.place,
                    incident.loss_kg_s.unwrap_or_default(),
                    incident.candidates.len(),
                    incident.lacked
                );
            }
        }
        self.slowest = Duration::ZERO;
    }
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let stations: usize = arguments.next().map_or(5_000, |text| text.parse().unwrap());
    let hours: i64 = arguments.next().map_or(80, |text| text.parse().unwrap());
    let network = NetworkId::new("city").unwrap();
    let city = City::new(stations);
    let plant = Arc::new(city.plant(&network));
    let before = resident_mb();
    let core = PartitionCore::new(DetectSettings::default(), Arc::clone(&plant));
    let sets = sets(&network, stations);
    let mut feed =
        Feed { core, sets, offset: 0, second: START, out: Vec::new(), readings: 0, slowest: Duration::ZERO };

    let begun = Instant::now();
    let until = START + hours * 3_600;
    let mut at = START;
    while at < until {
        feed.scan(&city, at, None);
        at += 900;
    }
    feed.told("calm, scans of 15 min", begun, 0);
    println!("resident: {:.0} MB, of which {:.0} MB before the core", resident_mb(), before);

    let begun = Instant::now();
    let stored = postcard::to_stdvec(&feed.core.snapshot()).unwrap();
    println!("snapshot: {:.1} MB in {:.2} s", stored.len() as f64 / 1e6, begun.elapsed().as_secs_f64());
    let (begun, before) = (Instant::now(), resident_mb());
    let copied = feed.core.snapshot().copied();
    let seconds = begun.elapsed().as_secs_f64();
    println!("copied in {seconds:.2} s: {:.0} MB", resident_mb() - before);
    let begun = Instant::now();
    drop(copied);
    println!("given back in {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let snapshot: Snapshot = postcard::from_bytes(&stored).unwrap();
    feed.core = PartitionCore::new(DetectSettings::default(), plant);
    feed.core.restore(snapshot).unwrap();
    println!("restored in {:.2} s", begun.elapsed().as_secs_f64());

    let node = stations * 2 / 3;
    let (begun, readings) = (Instant::now(), feed.readings);
    for _ in 0..16 {
        feed.scan(&city, at, Some((node, 0.01 * stations as f64)));
        at += 900;
    }
    feed.told("a leak of 1 %, four hours", begun, readings);

    let (begun, readings) = (Instant::now(), feed.readings);
    for step in 0..90 {
        let leak = (step >= 30).then_some((node / 2, 0.08 * stations as f64));
        feed.scan(&city, at, leak);
        at += 10;
    }
    feed.told("scans of 10 s with a burst of 8 %", begun, readings);
}
