//! Ready-made scripts: the demo's, and random ones for long runs.

use std::time::Duration;

use heat_hydraulics::plant::NetworkTree;
use heat_model::{
    CircuitId, DeviceId, NetworkId, PipeId, SignalId, SiteId,
    plant::{CircuitKind, PlantModel, SiteKind},
};

use crate::{
    arithmetic::{Random, mix},
    event::{Happening, LeakSize, Script, ScriptedEvent, SensorFault},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// How many events of each kind a random script has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "one field a kind of event, named as it")]
pub struct RandomScript {
    pub bursts: usize,
    pub abrupt_leaks: usize,
    pub incipient_leaks: usize,
    pub exchanger_leaks: usize,
    pub pump_trips: usize,
    pub power_failures: usize,
    pub sensor_faults: usize,
    pub silences: usize,
    pub cold_stations: usize,
    pub drainings: usize,
}

/// What happens live in a city that is half converted: half a minute after going live the steam main of the first network
/// begins to leak, for a day or until it is mended.
pub fn conversion(plant: &PlantModel) -> Script {
    let events = plant.networks.first().map(|network| ScriptedEvent {
        name: Some("steam-main".into()),
        network: network.id.clone(),
        after: Duration::from_secs(30),
        lasts: 24 * HOUR,
        what: Happening::SteamLeak { loss_kg_s: 1.2 },
    });
    Script { events: events.into_iter().collect() }
}

impl RandomScript {
    /// Only what every network has all the time: faulty sensors and silence.
    pub const EVERYDAY: Self = Self {
        bursts: 0,
        abrupt_leaks: 0,
        incipient_leaks: 0,
        exchanger_leaks: 0,
        pump_trips: 0,
        power_failures: 0,
        sensor_faults: 4,
        silences: 5,
        cold_stations: 0,
        drainings: 0,
    };

    /// Spreads the events over `span` and all networks.
    pub fn script(&self, plant: &PlantModel, span: Duration, seed: u64) -> Script {
        let mut random = Random::new(mix(seed ^ 0x5C1F));
        let mut maker = Maker { plant, span, random: &mut random, events: Vec::new() };
        maker.make(self);
        Script { events: maker.events }
    }
}

struct Maker<'a> {
    plant: &'a PlantModel,
    span: Duration,
    random: &'a mut Random,
    events: Vec<ScriptedEvent>,
}

impl Maker<'_> {
    fn make(&mut self, counts: &RandomScript) {
        for (count, make) in [
            (counts.bursts, Self::burst as fn(&mut Self)),
            (counts.abrupt_leaks, Self::abrupt),
            (counts.incipient_leaks, Self::incipient),
            (counts.exchanger_leaks, Self::exchanger),
            (counts.pump_trips, Self::pump_trip),
            (counts.power_failures, Self::power_failure),
            (counts.sensor_faults, Self::sensor_fault),
            (counts.silences, Self::silence),
            (counts.cold_stations, Self::cold_station),
            (counts.drainings, Self::draining),
        ] {
            for _ in 0..count {
                make(self);
            }
        }
    }

    fn network(&mut self) -> NetworkId {
        let at = self.random.below(self.plant.networks.len());
        self.plant.networks[at].id.clone()
    }

    fn station(&mut self, network: &NetworkId) -> SiteId {
        let is_station = |site: &&heat_model::plant::Site| {
            site.network.as_ref() == Some(network) && site.kind == Some(SiteKind::Station)
        };
        let stations: Vec<_> = self.plant.sites.iter().filter(is_station).collect();
        stations[self.random.below(stations.len())].id.clone()
    }

    fn pipe(&mut self, network: &NetworkId, diameter_min_mm: f64) -> PipeId {
        let circuit = primary(self.plant, network);
        let fits = |pipe: &&heat_model::plant::Pipe| {
            Some(&pipe.circuit) == circuit.as_ref() && pipe.inner_diameter_mm >= Some(diameter_min_mm)
        };
        let pipes: Vec<_> = self.plant.pipes.iter().filter(fits).collect();
        pipes[self.random.below(pipes.len())].id.clone()
    }

    fn seconds(&mut self, low: f64, high: f64) -> Duration {
        Duration::from_secs_f64(self.random.between(low, high).floor())
    }

    fn push(&mut self, network: NetworkId, lasts: Duration, what: Happening) {
        let room = self.span.saturating_sub(lasts).as_secs_f64();
        let after = self.seconds(0.0, room.max(1.0));
        let name = Some(format!("r{:03}-{}", self.events.len() + 1, what.class()));
        self.events.push(ScriptedEvent { name, network, after, lasts, what });
    }

    fn burst(&mut self) {
        let network = self.network();
        let (pipe, share) = (self.pipe(&network, 250.0), self.random.between(0.05, 0.25));
        let (position, lasts) = (self.random.between(0.1, 0.9), self.seconds(120.0, 1_200.0));
        let size = LeakSize::ShareOfCirculation(share);
        self.push(network, lasts, Happening::Burst { pipe, position, size });
    }

    fn abrupt(&mut self) {
        let network = self.network();
        let (pipe, share) = (self.pipe(&network, 80.0), self.random.between(0.004, 0.02));
        let (position, lasts) = (self.random.between(0.1, 0.9), self.seconds(20_000.0, 130_000.0));
        let size = LeakSize::ShareOfCirculation(share);
        self.push(network, lasts, Happening::LeakAbrupt { pipe, position, size });
    }

    fn incipient(&mut self) {
        let network = self.network();
        let (pipe, share) = (self.pipe(&network, 80.0), self.random.between(0.005, 0.02));
        let (position, lasts) = (self.random.between(0.1, 0.9), self.seconds(400_000.0, 1_000_000.0));
        let size = LeakSize::ShareOfCirculation(share);
        self.push(network, lasts, Happening::LeakIncipient { pipe, position, size });
    }

    fn exchanger(&mut self) {
        let network = self.network();
        let (site, loss_kg_s) = (self.station(&network), self.random.between(0.2, 1.0));
        let lasts = self.seconds(80_000.0, 260_000.0);
        self.push(network, lasts, Happening::ExchangerLeak { site, loss_kg_s });
    }

    fn pump_trip(&mut self) {
        let (network, lasts) = (self.network(), self.seconds(300.0, 2_400.0));
        self.push(network, lasts, Happening::PumpTrip);
    }

    fn power_failure(&mut self) {
        let (network, lasts) = (self.network(), self.seconds(300.0, 2_400.0));
        self.push(network, lasts, Happening::PowerFailure);
    }

    fn sensor_fault(&mut self) {
        let network = self.network();
        let site = self.station(&network);
        let signal = |name: &str, device: &str| SignalId {
            network: network.clone(),
            site: site.clone(),
            device: DeviceId::new(device).expect("a literal id"),
            name: heat_model::SignalName::new(name).expect("a literal id"),
        };
        let (signal, fault) = match self.random.below(6) {
            0 => (signal("primary_supply_flow", "meter"), SensorFault::Stuck),
            1 => (signal("primary_supply_flow", "meter"), SensorFault::Drift { by: 12.0 }),
            2 => (signal("primary_return_temperature", "meter"), SensorFault::Bias { by: 6.0 }),
            3 => (signal("primary_supply_pressure", "pressure"), SensorFault::Spike { by: 0.3, every: 20 }),
            4 => (
                signal("secondary_supply_temperature", "controller"),
                SensorFault::Sentinel { value: -999.0 },
            ),
            _ => {
                let with = signal("primary_return_temperature", "meter");
                (signal("primary_supply_temperature", "meter"), SensorFault::Swap { with })
            }
        };
        let lasts = self.seconds(40_000.0, 250_000.0);
        self.push(network, lasts, Happening::SensorFault { signal, fault });
    }

    fn silence(&mut self) {
        let network = self.network();
        let (site, whole) = (self.station(&network), self.random.chance(0.5));
        let device = (!whole).then(|| DeviceId::new("meter").expect("a literal id"));
        let lasts = self.seconds(4_000.0, 30_000.0);
        self.push(network, lasts, Happening::Silence { site, device });
    }

    fn cold_station(&mut self) {
        let network = self.network();
        let (site, opening) = (self.station(&network), self.random.between(0.04, 0.10));
        let lasts = self.seconds(90_000.0, 260_000.0);
        self.push(network, lasts, Happening::ColdStation { site, opening });
    }

    fn draining(&mut self) {
        let network = self.network();
        let (site, loss_kg_s) = (self.station(&network), self.random.between(0.3, 0.9));
        let lasts = self.seconds(1_800.0, 7_200.0);
        self.push(network, lasts, Happening::Draining { site, loss_kg_s });
    }
}

fn primary(plant: &PlantModel, network: &NetworkId) -> Option<CircuitId> {
    let is_primary = |circuit: &&heat_model::plant::Circuit| {
        circuit.network == *network && circuit.kind == Some(CircuitKind::Primary)
    };
    plant.circuits.iter().find(is_primary).map(|circuit| circuit.id.clone())
}

/// The supply pipe of a network with a share of its stations behind it that is nearest to `share`.
fn pipe_with_share_behind(plant: &PlantModel, network: &NetworkId, share: f64) -> Option<PipeId> {
    let tree = NetworkTree::from_plant(plant, &primary(plant, network)?).ok()?;
    let all = tree.stations_behind(tree.tree.root()).count();
    let wanted = share * f64::from(u32::try_from(all).ok()?);
    let behind = |trench: usize| tree.stations_behind(trench).count();
    let distance =
        |trench: usize| (f64::from(u32::try_from(behind(trench)).unwrap_or(u32::MAX)) - wanted).abs();
    let trenches = (0..tree.nodes.len()).filter(|&trench| tree.trenches[trench].supply.is_some());
    let best = trenches.min_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
    tree.trenches[best].supply.clone()
}

/// The demo, counted from going live: a burst after half a minute, repaired after six; more of everything in the hours
/// after, so that whoever stays sees more.
///
/// Works on any city: a network takes the part of a missing one.
pub fn demo(plant: &PlantModel) -> Script {
    let network = |at: usize| plant.networks.get(at % plant.networks.len()).map(|row| row.id.clone());
    let station = |network: &NetworkId, at: usize| {
        let stations = plant
            .sites
            .iter()
            .filter(|site| site.network.as_ref() == Some(network) && site.kind == Some(SiteKind::Station));
        stations.map(|site| site.id.clone()).nth(at)
    };
    let mut events = Vec::new();
    let mut push = |name: &str, network: NetworkId, after: Duration, lasts: Duration, what: Happening| {
        events.push(ScriptedEvent { name: Some(name.into()), network, after, lasts, what });
    };
    let (Some(first), Some(second), Some(third)) = (network(0), network(1), network(2)) else {
        return Script::default();
    };
    if let Some(pipe) = pipe_with_share_behind(plant, &first, 0.23) {
        let size = LeakSize::ShareOfCirculation(0.12);
        let what = Happening::Burst { pipe, position: 0.4, size };
        push("demo-burst", first.clone(), Duration::from_secs(30), 6 * MINUTE, what);
    }
    if let Some(site) = station(&third, 6) {
        push(
            "demo-silence",
            third.clone(),
            12 * MINUTE,
            90 * MINUTE,
            Happening::Silence { site, device: None },
        );
    }
    if let Some(site) = station(&second, 9) {
        push(
            "demo-cold-station",
            second.clone(),
            20 * MINUTE,
            20 * HOUR,
            Happening::ColdStation { site, opening: 0.06 },
        );
    }
    push("demo-pump-trip", second.clone(), 45 * MINUTE, 10 * MINUTE, Happening::PumpTrip);
    if let Some(pipe) = pipe_with_share_behind(plant, &third, 0.1) {
        let size = LeakSize::ShareOfCirculation(0.015);
        let what = Happening::LeakAbrupt { pipe, position: 0.6, size };
        push("demo-leak", third.clone(), 80 * MINUTE, 10 * HOUR, what);
    }
    if let Some(site) = station(&first, 3) {
        let what = Happening::Draining { site, loss_kg_s: 0.7 };
        push("demo-draining", first.clone(), 100 * MINUTE, HOUR, what);
    }
    if let Some(pipe) = pipe_with_share_behind(plant, &second, 0.3) {
        let size = LeakSize::ShareOfCirculation(0.2);
        let what = Happening::Burst { pipe, position: 0.7, size };
        push("demo-second-burst", second.clone(), 3 * HOUR, 8 * MINUTE, what);
    }
    if let Some(site) = station(&first, 12) {
        let signal = SignalId {
            network: first.clone(),
            site,
            device: DeviceId::new("meter").expect("a literal id"),
            name: heat_model::SignalName::new("primary_supply_flow").expect("a literal id"),
        };
        let what = Happening::SensorFault { signal, fault: SensorFault::Stuck };
        push("demo-stuck-meter", first, 4 * HOUR, 12 * HOUR, what);
    }
    if let Some(site) = station(&third, 2) {
        let what = Happening::ExchangerLeak { site, loss_kg_s: 0.6 };
        push("demo-exchanger-leak", third, 6 * HOUR, 30 * HOUR, what);
    }
    Script { events }
}
