//! A tree of seven trenches and four stations, in closed form: enough water to see what the rules see.

use std::sync::Arc;

use heat_detect::{DetectSettings, Output, PartitionCore};
use heat_model::{
    AppendTime, Body, Envelope, EventTime, FreshMask, GatewayId, IngestTime, Lane, NetworkId, Offset, Origin,
    PartitionId, Position, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId,
    incident::{Incident, IncidentEvent},
    plant::{Circuit, Pipe, PlantHash, PlantModel, Side, Site, SiteKind},
    record::{Action, Command, Forecast, Readings},
    ticket::Ticket,
};

pub(crate) const START: i64 = 1_764_000_000;

/// (name, from, to, length m, diameter mm).
const TRENCHES: [(&str, &str, &str, f64, f64); 7] = [
    ("P0", "n0", "n1", 400.0, 150.0),
    ("PA", "n1", "n2", 300.0, 100.0),
    ("PB", "n1", "n3", 300.0, 100.0),
    ("Pa1", "n2", "n4", 60.0, 80.0),
    ("Pa2", "n2", "n5", 60.0, 80.0),
    ("Pb1", "n3", "n6", 60.0, 80.0),
    ("Pb2", "n3", "n7", 60.0, 80.0),
];
/// Trenches from the source to each station.
const STATIONS: [(&str, &str, [usize; 3]); 4] =
    [("a1", "n4", [0, 1, 3]), ("a2", "n5", [0, 1, 4]), ("b1", "n6", [0, 2, 5]), ("b2", "n7", [0, 2, 6])];

pub(crate) fn plant() -> PlantModel {
    let network = NetworkId::new("town").unwrap();
    let mut plant = PlantModel::default();
    plant.circuits.push(Circuit {
        water_volume_m3: Some(40.0),
        ..Circuit::new("primary".parse().unwrap(), network.clone())
    });
    for (name, from, to, length, diameter) in TRENCHES {
        for (suffix, side) in [("s", Side::Supply), ("r", Side::Return)] {
            plant.pipes.push(Pipe {
                length_m: Some(length),
                inner_diameter_mm: Some(diameter),
                side: Some(side),
                ..Pipe::new(
                    format!("{name}{suffix}").parse().unwrap(),
                    "primary".parse().unwrap(),
                    from.parse().unwrap(),
                    to.parse().unwrap(),
                )
            });
        }
    }
    let site = |id: &str, kind: SiteKind, node: &str| Site {
        network: Some(network.clone()),
        kind: Some(kind),
        node: Some(node.parse().unwrap()),
        ..Site::new(id.parse().unwrap())
    };
    plant.sites.push(site("source", SiteKind::Source, "n0"));
    for (id, node, _) in STATIONS {
        plant.sites.push(site(id, SiteKind::Station, node));
    }
    plant
}

fn resistance(trench: usize) -> f64 {
    let (_, _, _, length, mm) = TRENCHES[trench];
    let diameter = mm / 1e3;
    let area = std::f64::consts::PI / 4.0 * diameter * diameter;
    0.02 * length / diameter / (2.0 * 975.0 * area * area)
}

/// What the operators and the pipes do at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Loss in kg/s and its trench, on the supply side; and another one.
    pub(crate) leak: Option<(usize, f64)>,
    pub(crate) further: Option<(usize, f64)>,
    /// Change of all pressures, Pa (static pressure).
    pub(crate) hold: f64,
    /// Change of the pump's lift, Pa.
    pub(crate) lift: f64,
    /// Factor on every station's flow.
    pub(crate) demand: f64,
    /// Make-up beyond the loss, kg/s.
    pub(crate) feed: f64,
    pub(crate) supply_celsius: f64,
    /// Temperature that has arrived at the stations.
    pub(crate) arrived_celsius: f64,
}

pub(crate) const CALM: Now = Now {
    leak: None,
    further: None,
    hold: 0.0,
    lift: 0.0,
    demand: 1.0,
    feed: 0.02,
    supply_celsius: 85.0,
    arrived_celsius: 84.0,
};

/// A device's name and values in SI.
pub(crate) type Device = (&'static str, &'static str, Vec<(&'static str, &'static str, f64)>);

/// Small, deterministic, different for every signal and scan.
pub(crate) fn noise(at: i64, signal: usize) -> f64 {
    let mut x = at.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (signal as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 29;
    (x >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
}

pub(crate) fn devices(at: i64, now: Now) -> Vec<Device> {
    let station = 5.0 * now.demand;
    let total = 20.0 * now.demand;
    let path_to = |trench: usize| match trench {
        0 => vec![0],
        1 | 2 => vec![0, trench],
        3 | 4 => vec![0, 1, trench],
        _ => vec![0, 2, trench],
    };
    let losses: Vec<(Vec<usize>, f64)> =
        [now.leak, now.further].into_iter().flatten().map(|(trench, loss)| (path_to(trench), loss)).collect();
    let loss: f64 = losses.iter().map(|(_, loss)| loss).sum();
    let flow_of = |index: usize| match index {
        0 => total,
        1 | 2 => 2.0 * station,
        _ => station,
    };
    let drop_supply = |path: &[usize]| -> f64 {
        path.iter()
            .map(|&index| {
                let lost = losses.iter().filter(|(path, _)| path.contains(&index));
                let extra: f64 = lost.map(|(_, loss)| loss).sum();
                resistance(index) * (flow_of(index) + extra).powi(2)
            })
            .sum()
    };
    let drop_return =
        |path: &[usize]| -> f64 { path.iter().map(|&i| resistance(i) * flow_of(i).powi(2)).sum() };
    // The static pressure gives way by what the make-up valve needs to open.
    let base = 300_000.0 + now.hold - 6_000.0 * loss;
    let lift = 400_000.0 + now.lift;
    let mut n = 0;
    let mut wobble = |size: f64| {
        n += 1;
        size * noise(at, n)
    };
    let rho = 968.0;
    let contraction = total / rho
        * (density(now.supply_celsius) - density(now.arrived_celsius) - density(85.0) + density(84.0));
    let mut list: Vec<Device> = vec![
        (
            "source",
            "main",
            vec![
                ("supply_flow", "kg/s", total + loss + wobble(0.05)),
                ("return_flow", "kg/s", total - now.feed - contraction + wobble(0.05)),
                ("supply_pressure", "Pa", base + lift + wobble(900.0)),
                ("return_pressure", "Pa", base + wobble(900.0)),
                ("supply_temperature", "degC", now.supply_celsius),
                ("return_temperature", "degC", 45.0),
            ],
        ),
        (
            "source",
            "makeup",
            vec![
                ("make_up_flow", "kg/s", (loss + now.feed + contraction + wobble(0.004)).max(0.0)),
                ("make_up_temperature", "degC", 15.0),
            ],
        ),
    ];
    for (id, _, path) in STATIONS {
        list.push((
            id,
            "meter",
            vec![
                ("primary_supply_flow", "kg/s", station + wobble(0.02)),
                ("primary_supply_temperature", "degC", now.arrived_celsius),
                ("primary_return_temperature", "degC", 45.0),
            ],
        ));
        list.push((
            id,
            "controller",
            vec![
                ("primary_supply_pressure", "Pa", base + lift - drop_supply(&path) + wobble(900.0)),
                ("primary_return_pressure", "Pa", base + drop_return(&path) + wobble(900.0)),
            ],
        ));
    }
    list
}

fn density(celsius: f64) -> f64 {
    // Near enough to water between 70 and 100 degC for a front of ten kelvin.
    968.65 - 0.66 * (celsius - 85.0)
}

/// Feeds a core and keeps what it says.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) core: PartitionCore,
    pub(crate) out: Vec<Output>,
    pub(crate) lane: Lane,
    /// What the gateway marks readings with.
    pub(crate) code: QualityCode,
    seq: u64,
    now: i64,
}

impl Feed {
    pub(crate) fn new(settings: DetectSettings, plant: PlantModel) -> Self {
        Self {
            core: PartitionCore::new(settings, Arc::new(plant)),
            out: Vec::new(),
            lane: Lane::Live,
            code: QualityCode::None,
            seq: 0,
            now: START,
        }
    }

    pub(crate) const fn records(&self) -> u64 {
        self.seq
    }

    pub(crate) fn pass(&mut self, until: i64) {
        while self.now < until {
            self.now += 1;
            self.core.tick(self.now, &mut self.out);
        }
    }

    fn append(&mut self, at: i64, body: Body) {
        self.pass(at);
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(self.seq),
            append_time: AppendTime::from_micros(at * 1_000_000),
        };
        let envelope = Envelope {
            network: Some(NetworkId::new("town").unwrap()),
            origin: Origin { gateway: GatewayId::new("g").unwrap(), epoch: 1, seq: self.seq },
            ingest_time: IngestTime::from_micros(at * 1_000_000),
            messages: 1,
            body,
        };
        self.seq += 1;
        self.core.observe(&position, &envelope, &FreshMask::all(), &mut self.out);
    }

    pub(crate) fn command(&mut self, at: i64, user: &str, action: Action) {
        self.append(at, Body::Command(Command { user: user.to_owned(), action }));
    }

    pub(crate) fn ticket(&mut self, at: i64, ticket: Ticket) {
        self.append(at, Body::Ticket(ticket));
    }

    /// Outdoor temperatures by the hour from `at` on.
    pub(crate) fn forecast(&mut self, at: i64, celsius: &[f64]) {
        let time = |hour: i64| EventTime::from_micros((at + 3_600 * hour) * 1_000_000);
        let outdoor_celsius = (0..).zip(celsius).map(|(hour, celsius)| (time(hour), *celsius)).collect();
        self.append(at, Body::Forecast(Forecast { issued: time(0), outdoor_celsius }));
    }

    /// Offers a model and activates it.
    pub(crate) fn activate(&mut self, at: i64, hash: u64, plant: PlantModel) {
        self.core.offer_model(PlantHash(hash), Arc::new(plant));
        self.append(at, Body::ModelActivated(PlantHash(hash)));
    }

    /// One device's values; `event` may lie before `at`.
    pub(crate) fn device(&mut self, at: i64, event: i64, device: &Device) {
        let (site, name, values) = device;
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in site.bytes().chain([b'/']).chain(name.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        let set = SignalSet {
            id: SignalSetId(hash),
            network: NetworkId::new("town").unwrap(),
            site: site.parse().unwrap(),
            device: name.parse().unwrap(),
            signals: values
                .iter()
                .map(|(name, unit, _)| SignalDecl {
                    name: name.parse().unwrap(),
                    unit: (*unit).into(),
                    raw_unit: (*unit).into(),
                    scale: 1.0,
                    offset: 0.0,
                })
                .collect(),
        };
        let readings = (0_u32..)
            .zip(values)
            .map(|(signal, (_, _, value))| Reading {
                signal,
                event_time: EventTime::from_micros(event * 1_000_000),
                raw: *value,
                value: *value,
                quality: Quality::Good,
                code: self.code,
            })
            .collect();
        let body = Readings { set: Arc::new(set), lane: self.lane, device_seq: None, readings };
        self.append(at, Body::Readings(body));
    }

    /// Scans the world from `from` to `to` seconds after the start.
    pub(crate) fn run(&mut self, from: i64, to: i64, every: i64, now: impl Fn(i64) -> Now) {
        self.run_with(from, to, every, now, |_, _| {});
    }

    pub(crate) fn run_with(
        &mut self,
        from: i64,
        to: i64,
        every: i64,
        now: impl Fn(i64) -> Now,
        spoil: impl Fn(i64, &mut Vec<Device>),
    ) {
        let mut at = from;
        while at < to {
            let mut list = devices(at, now(at));
            spoil(at, &mut list);
            for device in &list {
                self.device(START + at, START + at, device);
            }
            at += every;
        }
    }

    pub(crate) fn events(&self) -> Vec<&IncidentEvent> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                Output::Status(_) | Output::Refused(_) | Output::Ticket(_) | Output::Forgotten(_) => None,
            })
            .collect()
    }

    /// Last state of every incident, in order of opening.
    pub(crate) fn incidents(&self) -> Vec<Incident> {
        let mut list: Vec<Incident> = Vec::new();
        for event in self.events() {
            match list.iter_mut().find(|known| known.id == event.incident.id) {
                Some(known) => *known = event.incident.clone(),
                None => list.push(event.incident.clone()),
            }
        }
        list
    }
}
