//! What the signals of a network are: which site and side each one belongs to, and where its site stands in the pipes.
//!
//! Derived from the signals' names and the plant model alone, so a restored core rebuilds it and never stores it.

pub(crate) mod circuits;
mod homes;
mod secondaries;

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    CircuitId, DeviceId, NetworkId, SignalName, SiteId,
    plant::{Medium, ModelLevel, PlantModel, Side, SiteKind},
};
use serde::{Deserialize, Serialize};

use self::{circuits::Calendars, homes::Homes};
use crate::topology::Topology;

/// Defines the roles with their standard names (without the prefix `primary_`) in one place.
macro_rules! roles {
    ($($name:ident, $word:literal;)*) => {
        /// What a signal measures at its site. Without a prefix, or with `primary_`, it is of the circuit that the
        /// sources feed; a station's other side has roles of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Role { $($name,)* }

        pub(crate) const ROLES: usize = [$(Role::$name,)*].len();

        impl Role {
            fn of_bare(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$name),)* _ => None }
            }

            /// Its standard name, without a prefix.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

roles! {
    SupplyFlow, "supply_flow";
    ReturnFlow, "return_flow";
    SupplyPressure, "supply_pressure";
    ReturnPressure, "return_pressure";
    DifferentialPressure, "differential_pressure";
    SupplyTemperature, "supply_temperature";
    ReturnTemperature, "return_temperature";
    MakeUpFlow, "make_up_flow";
    MakeUpTemperature, "make_up_temperature";
    MakeUpVolume, "make_up_volume";
    ReliefFlow, "relief_flow";
    MakeUpTankLevel, "make_up_tank_level";
    HeatPower, "heat_power";
    PlannedHeatPower, "planned_heat_power";
    AvailableHeatPower, "available_heat_power";
    HeatEnergy, "heat_energy";
    Volume, "volume";
    OutdoorTemperature, "outdoor_temperature";
    IndoorTemperature, "indoor_temperature";
    SetPointTemperature, "set_point_temperature";
    PumpRunning, "pump_running";
    PumpSpeed, "pump_speed";
    MakeUpPumpRunning, "make_up_pump_running";
    PowerSupply, "power_supply";
    ValveOpening, "valve_opening";
    ChamberWaterLevel, "chamber_water_level";
    LeakWireResistance, "leak_wire_resistance";
    SteamFlow, "steam_flow";
    SteamPressure, "steam_pressure";
    SteamTemperature, "steam_temperature";
    CondensateFlow, "condensate_flow";
    CondensateTemperature, "condensate_temperature";
    SecondarySupplyTemperature, "secondary_supply_temperature";
    SecondaryReturnTemperature, "secondary_return_temperature";
    SecondarySetPointTemperature, "secondary_set_point_temperature";
    SecondarySupplyPressure, "secondary_supply_pressure";
    SecondaryReturnPressure, "secondary_return_pressure";
    SecondarySupplyFlow, "secondary_supply_flow";
    SecondaryReturnFlow, "secondary_return_flow";
    SecondaryMakeUpFlow, "secondary_make_up_flow";
    SecondaryMakeUpVolume, "secondary_make_up_volume";
}

impl Role {
    /// From a standard name; the flag says that the name carries a prefix, so its site is a station.
    fn of(name: &str) -> Option<(Self, bool)> {
        if let Some(bare) = name.strip_prefix("primary_") {
            return Self::of_bare(bare).filter(|role| !role.is_secondary()).map(|role| (role, true));
        }
        Self::of_bare(name).map(|role| (role, role.is_secondary()))
    }

    /// Of the circuit that a station feeds.
    pub(crate) const fn is_secondary(self) -> bool {
        self as u8 >= Self::SecondarySupplyTemperature as u8
    }

    /// A water flow of the circuit that the sources feed.
    pub(crate) const fn is_flow(self) -> bool {
        matches!(self, Self::SupplyFlow | Self::ReturnFlow | Self::MakeUpFlow)
    }

    /// Says only on or off, often when it changes only.
    pub(crate) const fn is_status(self) -> bool {
        matches!(self, Self::PumpRunning | Self::MakeUpPumpRunning | Self::PowerSupply)
    }

    /// A temperature, degC.
    pub(crate) const fn is_temperature(self) -> bool {
        matches!(
            self,
            Self::SupplyTemperature
                | Self::ReturnTemperature
                | Self::MakeUpTemperature
                | Self::OutdoorTemperature
                | Self::IndoorTemperature
                | Self::SetPointTemperature
                | Self::SteamTemperature
                | Self::CondensateTemperature
                | Self::SecondarySupplyTemperature
                | Self::SecondaryReturnTemperature
                | Self::SecondarySetPointTemperature
        )
    }

    /// A pressure of the circuit that the sources feed.
    pub(crate) const fn is_pressure(self) -> bool {
        matches!(self, Self::SupplyPressure | Self::ReturnPressure | Self::DifferentialPressure)
    }
}

/// Name and unit of a signal that detectors use; part of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SignalKey {
    pub(crate) site: SiteId,
    pub(crate) device: DeviceId,
    pub(crate) name: SignalName,
    /// SI unit of the values.
    pub(crate) unit: Box<str>,
}

/// Levels from a home to its station that are climbed at most.
const PARENTS_MAX: usize = 8;

/// Whether any detector uses a signal of this name.
pub(crate) fn is_used(name: &str) -> bool {
    Role::of(name).is_some()
}

/// A signal's place in the layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) site: u32,
    pub(crate) role: Role,
    /// Index of the device, unique in the network.
    pub(crate) device: u32,
    /// The values are kg/s, not m3/s.
    pub(crate) is_mass: bool,
    /// Side on which the meter sits, where the plant model says it.
    pub(crate) side: Option<Side>,
    /// It is what a boiler is fed with, and no make-up of hot water.
    pub(crate) is_feed: bool,
}

/// A site of the network and its signals.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) kind: SiteKind,
    kind_is_known: bool,
    /// Index of its node in the topology.
    pub(crate) node: Option<u32>,
    /// Signal of each role; the first device that carries a role has it.
    pub(crate) signals: [Option<u32>; ROLES],
    /// Make-up meters beyond the first.
    pub(crate) more_make_up: Vec<u32>,
    /// What the boiler of a site that sends steam and no water is fed with: no make-up of any hot water.
    pub(crate) feed: Option<u32>,
}

impl Site {
    /// Where steam is sent and no water, what is fed goes to the boiler; whatever the order in which signals came.
    /// Gives the signal that has changed its meaning, and whether it is a feed now.
    fn part_feed(&mut self) -> Option<(u32, bool)> {
        let has = |role: Role| self.signals[role as usize].is_some();
        let is_boiler = has(Role::SteamFlow) && !has(Role::SupplyFlow);
        let make_up = Role::MakeUpFlow as usize;
        if is_boiler && self.feed.is_none() {
            self.feed = self.signals[make_up].take();
            return self.feed.map(|feed| (feed, true));
        }
        let feed = if is_boiler { None } else { self.feed.take() }?;
        self.signals[make_up] = Some(feed);
        Some((feed, false))
    }

    pub(crate) fn signal(&self, role: Role) -> Option<u32> {
        self.signals[role as usize]
    }
}

/// The layout of one network.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) placed: Vec<Placed>,
    pub(crate) sites: Vec<Site>,
    site_index: BTreeMap<SiteId, u32>,
    device_index: BTreeMap<(u32, String), u32>,
    known: BTreeMap<SiteId, (Option<SiteKind>, Option<u32>)>,
    /// The site that feeds each site, where the plant model tells it.
    pub(crate) parents: BTreeMap<SiteId, SiteId>,
    sides: BTreeMap<(SiteId, DeviceId, SignalName), Side>,
    pub(crate) topology: Topology,
    pub(crate) water_volume_m3: Option<f64>,
    /// Hot-water circuits that the sources feed.
    pub(crate) primaries: Vec<CircuitId>,
    /// Steam circuits that they feed.
    pub(crate) steam_circuits: Vec<CircuitId>,
    pub(crate) calendars: Calendars,
    /// Design flow of the first hot-water circuit that tells one, kg/s.
    pub(crate) design_flow_kg_s: Option<f64>,
    /// Stations whose secondary is topped up from the primary.
    /// The stations' own circuits.
    pub(crate) secondaries: Vec<secondaries::Fed>,
    topped_up: BTreeSet<SiteId>,
    /// Signals of a water temperature.
    temperatures: u32,
    pub(crate) homes: Homes,
    /// Local time less UTC, hours, where the plant model names a zone that is known here.
    pub(crate) zone_hours: Option<i64>,
}

impl Layout {
    pub(crate) fn new(network: &NetworkId, plant: &PlantModel, keys: &[SignalKey]) -> Self {
        let topology = Topology::new(network, plant);
        let secondaries = secondaries::of(network, plant);
        let known = plant
            .sites
            .iter()
            .filter(|site| site.network.as_ref().is_none_or(|of| of == network))
            .map(|site| {
                let node = site.node.as_ref().and_then(|node| topology.node(node));
                (site.id.clone(), (site.kind, node))
            })
            .collect();
        let primary = || circuits::primaries(network, plant, Medium::Water);
        let steam = circuits::primaries(network, plant, Medium::Steam);
        let mut layout = Self {
            placed: Vec::new(),
            sites: Vec::new(),
            homes: Homes::new(network, plant),
            site_index: BTreeMap::new(),
            device_index: BTreeMap::new(),
            known,
            sides: plant
                .signals
                .iter()
                .filter(|signal| signal.id.network == *network)
                .filter_map(|signal| {
                    Some((
                        (signal.site.clone(), signal.device.clone(), signal.name.clone()),
                        signal.sensor_side?,
                    ))
                })
                .collect(),
            parents: plant
                .sites
                .iter()
                .filter(|site| site.network.as_ref().is_none_or(|of| of == network))
                .filter_map(|site| Some((site.id.clone(), site.parent.clone()?)))
                .collect(),
            water_volume_m3: primary()
                .find_map(|circuit| circuit.water_volume_m3)
                .or_else(|| topology.volume_m3()),
            topology,
            primaries: primary().map(|circuit| circuit.id.clone()).collect(),
            steam_circuits: steam.map(|circuit| circuit.id.clone()).collect(),
            calendars: Calendars::new(network, plant),
            design_flow_kg_s: primary().find_map(|circuit| circuit.design_flow_kg_s),
            topped_up: secondaries
                .iter()
                .filter(|fed| fed.is_topped_up)
                .map(|fed| fed.station.clone())
                .collect(),
            secondaries,
            temperatures: 0,
            zone_hours: plant
                .networks
                .iter()
                .find(|row| row.id == *network)
                .and_then(|row| secondaries::standard_hours(row.time_zone.as_deref()?)),
        };
        for key in keys {
            layout.add(key);
        }
        layout
    }

    /// Adds a signal whose name [`is_used`].
    pub(crate) fn add(&mut self, key: &SignalKey) {
        let (role, is_prefixed) = Role::of(key.name.as_str()).expect("only used names are registered");
        let site = self.site_of(&key.site);
        let devices = u32::try_from(self.device_index.len())
            .expect("devices are fewer than signals, which are bounded");
        let device = *self.device_index.entry((site, key.device.as_str().to_owned())).or_insert(devices);
        let index = u32::try_from(self.placed.len()).expect("signals are bounded by the settings");
        let side = self.sides.get(&(key.site.clone(), key.device.clone(), key.name.clone())).copied();
        self.placed.push(Placed { site, role, device, is_mass: &*key.unit == "kg/s", side, is_feed: false });

        self.temperatures += u32::from(matches!(role, Role::SupplyTemperature | Role::ReturnTemperature));

        let entry = &mut self.sites[site as usize];
        match &mut entry.signals[role as usize] {
            slot @ None => *slot = Some(index),
            Some(_) if role == Role::MakeUpFlow => entry.more_make_up.push(index),
            Some(_) => {}
        }
        if let Some((signal, is_feed)) = entry.part_feed() {
            self.placed[signal as usize].is_feed = is_feed;
        }
        if !entry.kind_is_known {
            entry.kind = if is_prefixed {
                SiteKind::Station
            } else if role.is_flow() || role == Role::MakeUpVolume {
                SiteKind::Source
            } else {
                entry.kind
            };
        }
    }

    fn site_of(&mut self, id: &SiteId) -> u32 {
        if let Some(index) = self.site_index.get(id) {
            return *index;
        }
        let index = u32::try_from(self.sites.len()).expect("sites are fewer than signals, which are bounded");
        let (kind, node) = self.known.get(id).copied().unwrap_or_default();
        self.sites.push(Site {
            id: id.clone(),
            kind: kind.unwrap_or(SiteKind::Chamber),
            kind_is_known: kind.is_some(),
            node,
            signals: [None; ROLES],
            more_make_up: Vec::new(),
            feed: None,
        });
        self.site_index.insert(id.clone(), index);
        index
    }

    /// Devices seen.
    pub(crate) fn devices(&self) -> usize {
        self.device_index.len()
    }

    /// The station that feeds a site, if it has signals: itself, or the first above it, past buildings that have none.
    pub(crate) fn station_of(&self, site: u32) -> Option<u32> {
        let mut id = &self.sites[site as usize].id;
        for _ in 0..PARENTS_MAX {
            let known = self.site_index.get(id).copied();
            if let Some(site) = known.filter(|at| self.sites[*at as usize].kind == SiteKind::Station) {
                return Some(site);
            }
            id = self.parents.get(id)?;
        }
        None
    }

    /// Whether the plant model calls a site a household.
    pub(crate) fn is_household(&self, site: &SiteId) -> bool {
        self.known.get(site).is_some_and(|(kind, _)| *kind == Some(SiteKind::Household))
    }

    /// Homes that an indoor temperature of a site stands for, where that is known: one of a household, all those of a
    /// building.
    pub(crate) fn homes_of(&self, site: u32) -> Option<u32> {
        let site = &self.sites[site as usize];
        match site.kind {
            SiteKind::Station => None,
            SiteKind::Building => self.homes.of(std::slice::from_ref(&site.id)),
            SiteKind::Household | SiteKind::Chamber | SiteKind::Source => Some(1),
        }
    }

    /// Whether no water temperature is reported: a water network, or one that nothing thermal is known of.
    pub(crate) const fn is_plain_water(&self) -> bool {
        self.temperatures == 0
    }

    /// Whether the levels of tanks are those of stored water and no make-up: nothing is heated, and nothing flows back.
    pub(crate) fn stores_water(&self) -> bool {
        self.is_plain_water()
            && !self.of_kind(SiteKind::Source).any(|(_, site)| site.signal(Role::ReturnFlow).is_some())
    }

    /// Signals of stored water's levels, in the order in which they came.
    pub(crate) fn tank_levels(&self) -> impl Iterator<Item = u32> {
        let is_level = |role: Role| matches!(role, Role::MakeUpTankLevel | Role::ChamberWaterLevel);
        let stores = self.stores_water();
        (0_u32..)
            .zip(&self.placed)
            .filter(move |(_, placed)| stores && is_level(placed.role))
            .map(|(signal, _)| signal)
    }

    /// Whether a station's secondary is topped up from the primary.
    pub(crate) fn is_topped_up(&self, site: u32) -> bool {
        self.topped_up.contains(&self.sites[site as usize].id)
    }

    /// Whether households can draw the sources' water: through topped-up secondaries, or because no exchanger is known.
    pub(crate) fn is_open_to_households(&self) -> bool {
        !self.topped_up.is_empty()
            || !self.of_kind(SiteKind::Station).any(|(_, site)| {
                site.signals[Role::SecondarySupplyTemperature as usize..].iter().any(Option::is_some)
            })
    }

    /// Whether the plant model calls the site a source or a station.
    pub(crate) fn is_known_plant(&self, site: &SiteId) -> bool {
        let kind = self.known.get(site).and_then(|(kind, _)| *kind);
        matches!(kind, Some(SiteKind::Source | SiteKind::Station))
    }

    /// Stations of the plant model, each with its node.
    pub(crate) fn known_stations(&self) -> impl Iterator<Item = (&SiteId, Option<u32>)> {
        self.known
            .iter()
            .filter(|(_, (kind, _))| *kind == Some(SiteKind::Station))
            .map(|(site, (_, node))| (site, *node))
    }

    /// Level of the plant model as far as locating can use it.
    pub(crate) fn level(&self) -> ModelLevel {
        if self.topology.has_pipes() {
            if self.topology.has_elevations_and_valves() { ModelLevel::L3 } else { ModelLevel::L2 }
        } else if self.known.is_empty() {
            ModelLevel::L0
        } else {
            ModelLevel::L1
        }
    }

    /// Whether a signal is a meter of the water account at a site that the plant model calls a source.
    pub(crate) fn is_of_known_source(&self, signal: u32) -> bool {
        let Placed { site, role, .. } = self.placed[signal as usize];
        let site = &self.sites[site as usize];
        let counts = role.is_flow() || matches!(role, Role::MakeUpVolume | Role::SteamFlow);
        counts && site.kind_is_known && site.kind == SiteKind::Source
    }

    /// Whether pressures and flows stand where they stood: what was gathered against the pipes still holds.
    pub(crate) fn has_same_places(&self, before: &Self) -> bool {
        let places =
            |layout: &Self| -> Vec<_> { layout.sites.iter().map(|site| (site.kind, site.node)).collect() };
        self.topology == before.topology && places(self) == places(before)
    }

    /// Whether the same meters make up the water account: a baseline of its sums still holds.
    pub(crate) fn has_same_account(&self, before: &Self) -> bool {
        let account = |layout: &Self| -> Vec<_> {
            let meters = |site: &Site| {
                let signals = site.signals.iter().flatten().chain(&site.more_make_up);
                signals.map(|signal| (*signal, layout.placed[*signal as usize].side)).collect::<Vec<_>>()
            };
            layout.of_kind(SiteKind::Source).map(|(index, site)| (index, meters(site))).collect()
        };
        account(self) == account(before)
    }

    /// Whether a source sends steam that is metered.
    pub(crate) fn sends_steam(&self) -> bool {
        self.of_kind(SiteKind::Source).any(|(_, site)| site.signal(Role::SteamFlow).is_some())
    }

    pub(crate) fn of_kind(&self, kind: SiteKind) -> impl Iterator<Item = (u32, &Site)> {
        (0_u32..).zip(&self.sites).filter(move |(_, site)| site.kind == kind)
    }
}
