//! Events on the clock: what is going on now, and what the labels say about it.

use std::f64::consts::PI;

use heat_model::{
    EventTime, NetworkId, SignalId, SiteId,
    label::Label,
    plant::{PlantModel, Side},
    time::MICROS_PER_SECOND,
};

use crate::{
    assembly::{pipe_id, station_id},
    device::{Device, Signal},
    event::{Happening, LeakSize, Script, ScriptError, ScriptedEvent, SensorFault},
    network::Network,
    plan::{CityPlan, NetworkPlan},
    plug::density_kg_m3,
};

const DISCHARGE: f64 = 0.62;
/// How long after a sudden event's onset or end the physics keeps steps of a second.
const FAST_S: i64 = 180;

/// How a hole's area grows from onset to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    AtOnce,
    WithinAMinute,
    OverItsLife,
}

#[derive(Debug, Clone)]
struct Breach {
    node: usize,
    is_supply: bool,
    position: f64,
    size: LeakSize,
    growth: Growth,
    /// Full area, known from onset.
    area_m2: Option<f64>,
}

#[derive(Debug, Clone)]
enum Effect {
    Breach(Breach),
    Exchanger { station: usize, loss_kg_s: f64 },
    PumpTrip,
    PowerFailure,
    Fault { device: usize, signal: usize, fault: SensorFault, swapped: Option<Signal> },
    Silence { devices: Vec<usize> },
    StuckValve { station: usize, opening: f64 },
    Draining { station: usize, loss_kg_s: f64 },
    SteamLeak { loss_kg_s: f64 },
    CondensateLost { station: usize, share: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Active,
    Over,
}

#[derive(Debug, Clone)]
struct Planned {
    name: String,
    class: String,
    place: String,
    side: &'static str,
    network: usize,
    start_s: i64,
    end_s: i64,
    effect: Effect,
    phase: Phase,
    size_kg_s: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    events: Vec<Planned>,
}

impl Schedule {
    pub(crate) fn add(
        &mut self,
        script: &Script,
        zero_s: i64,
        now_s: i64,
        plan: &CityPlan,
        plant: &PlantModel,
        devices: &[Device],
    ) -> Result<(), ScriptError> {
        let mut added = Vec::with_capacity(script.events.len());
        for event in &script.events {
            let number = self.events.len() + added.len() + 1;
            let name = event.name.clone().unwrap_or_else(|| format!("e{number:03}"));
            let seconds =
                |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 8);
            let start_s = zero_s + seconds(event.after);
            if start_s < now_s {
                return Err(ScriptError::InThePast { event: name });
            }
            added.push(
                Lookup { event, name: &name, plan, plant, devices }
                    .plan(start_s, start_s + seconds(event.lasts))?,
            );
        }
        self.events.extend(added);
        Ok(())
    }

    /// Ends the leaks that a network has now; says how many there were.
    pub(crate) fn mend(&mut self, network: usize, now_s: i64) -> usize {
        let is_leak = |effect: &Effect| {
            matches!(effect, Effect::Breach(_) | Effect::Exchanger { .. } | Effect::SteamLeak { .. })
        };
        let mut mended = 0;
        for event in self.events.iter_mut().filter(|event| event.network == network) {
            if event.phase == Phase::Active && event.end_s > now_s && is_leak(&event.effect) {
                event.end_s = now_s;
                mended += 1;
            }
        }
        mended
    }

    /// Seconds until the next onset or end.
    pub(crate) fn next_change(&self, now_s: i64) -> Option<i64> {
        let times = self.events.iter().flat_map(|event| [event.start_s, event.end_s]);
        times.filter(|&time| time > now_s).map(|time| time - now_s).min()
    }

    /// Whether something sudden began or ended just before.
    pub(crate) fn is_fast(&self, now_s: i64) -> bool {
        self.events.iter().any(|event| {
            let is_sudden = match &event.effect {
                Effect::Breach(breach) => breach.growth != Growth::OverItsLife,
                Effect::PumpTrip | Effect::PowerFailure => true,
                Effect::Exchanger { .. }
                | Effect::Fault { .. }
                | Effect::Silence { .. }
                | Effect::StuckValve { .. }
                | Effect::Draining { .. }
                | Effect::SteamLeak { .. }
                | Effect::CondensateLost { .. } => false,
            };
            let near = |time: i64| (0..FAST_S).contains(&(now_s - time));
            is_sudden && (near(event.start_s) || near(event.end_s))
        })
    }

    /// Begins and ends events, and sets the holes, for the step that begins now.
    pub(crate) fn apply(&mut self, now_s: i64, networks: &mut [Network], devices: &mut [Device]) {
        for (number, event) in self.events.iter_mut().enumerate() {
            if event.phase == Phase::Waiting && event.start_s <= now_s {
                event.phase = Phase::Active;
                event.begin(number, networks, devices);
            }
            if event.phase == Phase::Active && event.end_s <= now_s {
                event.phase = Phase::Over;
                event.end(number, networks, devices);
            }
        }
        networks.iter_mut().for_each(Network::close_holes);
        for event in self.events.iter().filter(|event| event.phase == Phase::Active) {
            if let Effect::Breach(breach) = &event.effect {
                let area_m2 =
                    breach.area_m2.unwrap_or(0.0) * breach.growth.share(now_s, event.start_s, event.end_s);
                networks[event.network].add_hole(breach.node, breach.is_supply, breach.position, area_m2);
            }
        }
    }

    /// Notes the size of leaks, after a step that ended now.
    pub(crate) fn observe(&mut self, now_s: i64, networks: &[Network]) {
        for event in self.events.iter_mut().filter(|event| event.phase == Phase::Active) {
            let Effect::Breach(breach) = &event.effect else { continue };
            let node = &networks[event.network].nodes[breach.node];
            let loss = if breach.is_supply { node.supply.hole.loss_kg_s } else { node.back.hole.loss_kg_s };
            let settles_s = match breach.growth {
                Growth::AtOnce => 5,
                Growth::WithinAMinute => 90,
                Growth::OverItsLife => i64::MAX,
            };
            if now_s - event.start_s <= settles_s {
                event.size_kg_s = Some(event.size_kg_s.unwrap_or(0.0).max(loss));
            }
        }
    }

    pub(crate) fn labels(&self, plan: &CityPlan) -> Vec<Label> {
        let begun = self.events.iter().filter(|event| event.phase != Phase::Waiting);
        begun
            .map(|event| Label {
                event: event.name.clone(),
                class: event.class.clone(),
                network: plan.networks[event.network].id.clone(),
                start: EventTime::from_micros(event.start_s * MICROS_PER_SECOND),
                end: EventTime::from_micros(event.end_s * MICROS_PER_SECOND),
                place: event.place.clone(),
                side: event.side.into(),
                size_kg_s: event.size_kg_s,
            })
            .collect()
    }
}

impl Growth {
    fn share(self, now_s: i64, start_s: i64, end_s: i64) -> f64 {
        let seconds = |value: i64| f64::from(i32::try_from(value).unwrap_or(i32::MAX));
        let into = seconds(now_s - start_s);
        match self {
            Self::AtOnce => 1.0,
            Self::WithinAMinute => ((into + 1.0) / 60.0).min(1.0),
            Self::OverItsLife => (into / seconds(end_s - start_s).max(1.0)).clamp(0.0, 1.0),
        }
    }
}

impl Planned {
    fn begin(&mut self, number: usize, networks: &mut [Network], devices: &mut [Device]) {
        let network = &mut networks[self.network];
        match &mut self.effect {
            Effect::Breach(breach) => breach.area_m2 = Some(breach.full_area_m2(network)),
            Effect::Exchanger { station, loss_kg_s } => {
                network.stations[*station].faults.exchanger_leak_kg_s = *loss_kg_s;
                self.size_kg_s = Some(*loss_kg_s);
            }
            Effect::PumpTrip => network.source.is_tripped = true,
            Effect::PowerFailure => network.source.has_power = false,
            Effect::Fault { device, signal, fault, swapped } => {
                let seconds = |value: i64| EventTime::from_micros(value * MICROS_PER_SECOND).as_seconds();
                let span = (seconds(self.start_s), seconds(self.end_s));
                devices[*device].add_fault(number, *signal, fault.clone(), span, swapped.clone());
            }
            Effect::Silence { devices: silent } => {
                silent.iter().for_each(|&index| devices[index].silenced += 1)
            }
            Effect::StuckValve { station, opening } => {
                network.stations[*station].faults.stuck_opening = Some(*opening);
            }
            Effect::Draining { station, loss_kg_s } => {
                network.stations[*station].faults.draining_kg_s += *loss_kg_s;
                self.size_kg_s = Some(*loss_kg_s);
            }
            Effect::SteamLeak { loss_kg_s } => {
                if let Some(steam) = &mut network.steam {
                    steam.leak_kg_s += *loss_kg_s;
                    self.size_kg_s = Some(*loss_kg_s);
                }
            }
            Effect::CondensateLost { station, share } => {
                if let Some(steam) = &mut network.stations[*station].steam {
                    steam.dumped_share = *share;
                }
            }
        }
    }

    fn end(&mut self, number: usize, networks: &mut [Network], devices: &mut [Device]) {
        let network = &mut networks[self.network];
        match &self.effect {
            Effect::Breach(_) => {}
            Effect::Exchanger { station, .. } => network.stations[*station].faults.exchanger_leak_kg_s = 0.0,
            Effect::PumpTrip => network.source.is_tripped = false,
            Effect::PowerFailure => network.source.has_power = true,
            Effect::Fault { device, .. } => devices[*device].remove_faults(number),
            Effect::Silence { devices: silent } => {
                silent.iter().for_each(|&index| devices[index].silenced -= 1)
            }
            Effect::StuckValve { station, .. } => network.stations[*station].faults.stuck_opening = None,
            Effect::Draining { station, loss_kg_s } => {
                network.stations[*station].faults.draining_kg_s -= loss_kg_s;
            }
            Effect::SteamLeak { loss_kg_s } => {
                if let Some(steam) = &mut network.steam {
                    steam.leak_kg_s -= loss_kg_s;
                }
            }
            Effect::CondensateLost { station, .. } => {
                if let Some(steam) = &mut network.stations[*station].steam {
                    steam.dumped_share = 0.0;
                }
            }
        }
    }
}

impl Breach {
    /// The hole's area with its discharge coefficient, from the pressure at onset.
    fn full_area_m2(&self, network: &Network) -> f64 {
        match self.size {
            LeakSize::HoleMm(mm) => DISCHARGE * PI / 4.0 * (mm / 1e3) * (mm / 1e3),
            LeakSize::ShareOfCirculation(share) => {
                let (pressure, _) = network.pressure_at(self.node, self.is_supply, self.position);
                let node = &network.nodes[self.node];
                let celsius = if self.is_supply { node.supply.node_celsius } else { node.back.node_celsius };
                share * network.supply_kg_s / (2.0 * density_kg_m3(celsius) * pressure.max(1e4)).sqrt()
            }
        }
    }
}

/// Finds what an event names.
struct Lookup<'a> {
    event: &'a ScriptedEvent,
    name: &'a str,
    plan: &'a CityPlan,
    plant: &'a PlantModel,
    devices: &'a [Device],
}

impl Lookup<'_> {
    fn plan(&self, start_s: i64, end_s: i64) -> Result<Planned, ScriptError> {
        let network = self.plan.networks.iter().position(|plan| plan.id == self.event.network);
        let network = network.ok_or_else(|| self.missing("network", self.event.network.as_str()))?;
        let plan = &self.plan.networks[network];
        let (effect, place, side) = match &self.event.what {
            Happening::Burst { pipe, position, size } => {
                self.breach(plan, pipe.as_str(), (*position, *size, Growth::AtOnce))?
            }
            Happening::LeakAbrupt { pipe, position, size } => {
                self.breach(plan, pipe.as_str(), (*position, *size, Growth::WithinAMinute))?
            }
            Happening::LeakIncipient { pipe, position, size } => {
                self.breach(plan, pipe.as_str(), (*position, *size, Growth::OverItsLife))?
            }
            Happening::ExchangerLeak { site, loss_kg_s } => {
                self.within("loss_kg_s", *loss_kg_s, 0.0, 50.0, "0 to 50")?;
                let station = self.station(plan, site)?;
                (Effect::Exchanger { station, loss_kg_s: *loss_kg_s }, site.to_string(), "")
            }
            Happening::PumpTrip => (Effect::PumpTrip, String::new(), ""),
            Happening::PowerFailure => (Effect::PowerFailure, String::new(), ""),
            Happening::SensorFault { signal, fault } => {
                let (device, index) = self.signal(signal)?;
                let swapped = match fault {
                    SensorFault::Swap { with } => {
                        let (other, at) = self.signal(with)?;
                        Some(self.devices[other].signals[at].clone())
                    }
                    SensorFault::Stuck
                    | SensorFault::Drift { .. }
                    | SensorFault::Bias { .. }
                    | SensorFault::Spike { .. }
                    | SensorFault::Sentinel { .. } => None,
                };
                (
                    Effect::Fault { device, signal: index, fault: fault.clone(), swapped },
                    signal.to_string(),
                    "",
                )
            }
            Happening::Silence { site, device } => {
                let of_site = |d: &Device| d.network() == &plan.id && d.site() == site;
                let of_device = |d: &Device| device.as_ref().is_none_or(|device| d.device() == device);
                let found = self.devices.iter().enumerate().filter(|(_, d)| of_site(d) && of_device(d));
                let devices: Vec<usize> = found.map(|(index, _)| index).collect();
                if devices.is_empty() {
                    return Err(self.missing("device or site", site.as_str()));
                }
                let place = match device {
                    Some(device) => format!("{}/{site}/{device}", plan.id),
                    None => site.to_string(),
                };
                (Effect::Silence { devices }, place, "")
            }
            Happening::ColdStation { site, opening } => {
                self.within("opening", *opening, 0.0, 1.0, "0 to 1")?;
                let station = self.station(plan, site)?;
                (Effect::StuckValve { station, opening: *opening }, site.to_string(), "")
            }
            Happening::Draining { site, loss_kg_s } => {
                self.within("loss_kg_s", *loss_kg_s, 0.0, 50.0, "0 to 50")?;
                let station = self.station(plan, site)?;
                (Effect::Draining { station, loss_kg_s: *loss_kg_s }, site.to_string(), "")
            }
            Happening::SteamLeak { loss_kg_s } => {
                self.within("loss_kg_s", *loss_kg_s, 0.0, 50.0, "0 to 50")?;
                if plan.steam.is_none() {
                    return Err(self.missing("steam circuit", plan.id.as_str()));
                }
                (Effect::SteamLeak { loss_kg_s: *loss_kg_s }, String::new(), "")
            }
            Happening::CondensateLost { site, share } => {
                self.within("share", *share, 0.0, 1.0, "0 to 1")?;
                let station = self.station(plan, site)?;
                if plan.steam.is_none() {
                    return Err(self.missing("steam circuit", plan.id.as_str()));
                }
                (Effect::CondensateLost { station, share: *share }, site.to_string(), "")
            }
        };
        Ok(Planned {
            name: self.name.to_owned(),
            class: self.event.what.class(),
            place,
            side,
            network,
            start_s,
            end_s,
            effect,
            phase: Phase::Waiting,
            size_kg_s: None,
        })
    }

    fn breach(
        &self,
        plan: &NetworkPlan,
        pipe: &str,
        (position, size, growth): (f64, LeakSize, Growth),
    ) -> Result<(Effect, String, &'static str), ScriptError> {
        self.within("position", position, 0.0, 1.0, "0 to 1")?;
        match size {
            LeakSize::ShareOfCirculation(share) => {
                self.within("share_of_circulation", share, 0.0, 0.5, "0 to 0.5")?
            }
            LeakSize::HoleMm(mm) => self.within("hole_mm", mm, 0.0, 500.0, "0 to 500")?,
        }
        let nodes = self.plant.nodes.iter().filter(|node| node.network.as_ref() == Some(&plan.id)).count();
        let sides = [Side::Supply, Side::Return];
        let found = (1..nodes)
            .flat_map(|node| sides.map(|side| (node, side)))
            .find(|&(node, side)| pipe_id(plan, node, side).as_str() == pipe);
        let (node, side) = found.ok_or_else(|| self.missing("pipe", pipe))?;
        let is_supply = side == Side::Supply;
        let breach = Breach { node, is_supply, position, size, growth, area_m2: None };
        Ok((Effect::Breach(breach), pipe.to_owned(), side.as_str()))
    }

    fn station(&self, plan: &NetworkPlan, site: &SiteId) -> Result<usize, ScriptError> {
        let found = (0..plan.stations).find(|&station| station_id(plan, station) == *site);
        found.ok_or_else(|| self.missing("station", site.as_str()))
    }

    fn signal(&self, signal: &SignalId) -> Result<(usize, usize), ScriptError> {
        let network: &NetworkId = &signal.network;
        let found = self
            .devices
            .iter()
            .position(|d| d.network() == network && d.site() == &signal.site && d.device() == &signal.device)
            .and_then(|device| {
                let names = &self.devices[device].names;
                Some((device, names.iter().position(|declared| declared.name == signal.name)?))
            });
        found.ok_or_else(|| self.missing("signal", &signal.to_string()))
    }

    fn missing(&self, kind: &'static str, place: &str) -> ScriptError {
        ScriptError::NoSuchPlace {
            event: self.name.to_owned(),
            network: self.event.network.to_string(),
            kind,
            place: place.to_owned(),
        }
    }

    fn within(
        &self,
        what: &'static str,
        value: f64,
        low: f64,
        high: f64,
        range: &'static str,
    ) -> Result<(), ScriptError> {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(ScriptError::OutOfRange { event: self.name.to_owned(), what, value, range })
        }
    }
}
