//! A network's devices and its rows in the plant tables.

use heat_model::{
    CircuitId, DeviceId, NodeId, PipeId, SignalId, SignalName, SiteId, ValveId,
    plant::{
        Circuit, CircuitKind, Medium, Network as NetworkRow, Node, Pipe, PlantModel, Side, SignalSpec, Site,
        SiteKind, Valve, ValveState,
    },
};

use crate::{
    arithmetic::{hash_text, mix},
    catalogue,
    device::{Device, SignalRow},
    layout::{By, DESIGN_SECONDARY_CELSIUS, Layout},
    network::Network,
    plan::{CityPlan, NetworkPlan},
    plug::HEAT_CAPACITY_J_KG_K,
};

/// Where the first demo network's source stands, for maps: somewhere on the plain.
const ORIGIN_LON_LAT: (f64, f64) = (125.3, 43.9);

pub(crate) struct Assembly<'a> {
    pub(crate) index: usize,
    pub(crate) city: &'a CityPlan,
    pub(crate) plan: &'a NetworkPlan,
    pub(crate) layout: &'a Layout,
    pub(crate) network: &'a Network,
    pub(crate) seed: u64,
}

/// The part of a network's id that its sites, nodes and pipes begin with, so that their ids are unique in the city.
fn prefix(plan: &NetworkPlan) -> &str {
    plan.id.as_str().rsplit('-').next().unwrap_or(plan.id.as_str())
}

pub(crate) fn node_id(plan: &NetworkPlan, node: usize) -> NodeId {
    NodeId::new(&format!("{}-N{:03}", prefix(plan), node + 1)).expect("a network's id and digits")
}

pub(crate) fn pipe_id(plan: &NetworkPlan, node: usize, side: Side) -> PipeId {
    let letter = match side {
        Side::Supply => 's',
        Side::Return => 'r',
    };
    PipeId::new(&format!("{}-P{node:03}{letter}", prefix(plan))).expect("a network's id and digits")
}

pub(crate) fn station_id(plan: &NetworkPlan, station: usize) -> SiteId {
    site_id(plan, &format!("st{:02}", station + 1))
}

fn site_id(plan: &NetworkPlan, name: &str) -> SiteId {
    SiteId::new(&format!("{}-{name}", prefix(plan))).expect("a network's id and a literal")
}

fn primary_circuit(plan: &NetworkPlan) -> CircuitId {
    circuit_id(plan, "primary")
}

/// Circuit of a network: `primary`, `converted` or `steam`.
fn circuit_id(plan: &NetworkPlan, name: &str) -> CircuitId {
    CircuitId::new(&format!("{}-{name}", plan.id)).expect("a network's id and a literal")
}

impl Assembly<'_> {
    /// Adds the network's rows to the tables and its devices to the list.
    pub(crate) fn add_to(&self, plant: &mut PlantModel, devices: &mut Vec<Device>) {
        self.add_network(plant);
        self.add_pipes(plant);
        if self.plan.steam.is_some() {
            self.add_steam(plant, devices);
        }
        self.add_source(plant, devices);
        self.add_chambers(plant, devices);
        for station in 0..self.layout.stations.len() {
            self.add_station(station, plant, devices);
        }
    }

    fn add_network(&self, plant: &mut PlantModel) {
        let plan = self.plan;
        plant.networks.push(NetworkRow {
            id: plan.id.clone(),
            name: Some(plan.name.clone()),
            medium: Some(Medium::Water),
            time_zone: Some(self.city.time_zone.clone()),
            operator: None,
            district: Some(plan.district.clone()),
        });
        plant.circuits.push(Circuit {
            kind: Some(CircuitKind::Primary),
            medium: Some(Medium::Water),
            water_volume_m3: Some(self.network.volume_m3.round()),
            design_flow_kg_s: Some(self.network.design_kg_s.round()),
            ..Circuit::new(primary_circuit(plan), plan.id.clone())
        });
        let Some(steam) = &plan.steam else { return };
        for (name, medium, converted_on) in
            [("converted", Medium::Water, Some(steam.converted_on.clone())), ("steam", Medium::Steam, None)]
        {
            plant.circuits.push(Circuit {
                kind: Some(CircuitKind::Primary),
                medium: Some(medium),
                converted_on,
                ..Circuit::new(circuit_id(plan, name), plan.id.clone())
            });
        }
    }

    /// The boiler house with its node beside the source, and the steam and condensate pipes to the stations that stay on
    /// steam.
    fn add_steam(&self, plant: &mut PlantModel, devices: &mut Vec<Device>) {
        let plan = self.plan;
        let at = NodeId::new(&format!("{}-NB", prefix(plan))).expect("a network's id and a literal");
        let root = &self.layout.nodes[0];
        plant.nodes.push(Node {
            id: at.clone(),
            network: Some(plan.id.clone()),
            x_m: Some(root.x_m - 60.0),
            y_m: Some(root.y_m),
            elevation_m: Some(root.elevation_m),
        });
        let id = site_id(plan, "boiler");
        let name = format!("{}蒸汽锅炉房", plan.district);
        let site = self.site(id.clone(), SiteKind::Source, 0, name);
        plant.sites.push(Site { node: Some(at.clone()), ..site });
        self.add_device(plant, devices, (&id, "steam"), (10, false), (catalogue::BOILER, 0));
        self.add_device(plant, devices, (&id, "feed"), (10, false), (catalogue::BOILER_FEED, 0));
        let mut leads = vec![false; self.layout.nodes.len()];
        for index in (1..self.layout.nodes.len()).rev() {
            let node = &self.layout.nodes[index];
            leads[index] |= node.station.is_some_and(|s| self.layout.stations[s].by == By::Steam);
            leads[node.parent] |= leads[index];
        }
        let ways = (1..leads.len()).filter(|index| leads[*index]).map(|index| {
            let node = &self.layout.nodes[index];
            (index, node_id(plan, node.parent), node.pipe.length_m)
        });
        for (index, from, length_m) in std::iter::once((0, at, 60.0)).chain(ways) {
            for (side, letter) in [(Side::Supply, 's'), (Side::Return, 'r')] {
                plant.pipes.push(Pipe {
                    id: PipeId::new(&format!("{}-S{index:03}{letter}", prefix(plan)))
                        .expect("a network's id and digits"),
                    circuit: circuit_id(plan, "steam"),
                    from: from.clone(),
                    to: node_id(plan, index),
                    length_m: Some(length_m),
                    inner_diameter_mm: None,
                    roughness_mm: None,
                    side: Some(side),
                    material: Some("steel, in a trench".into()),
                    laid_year: None,
                    depth_m: None,
                });
            }
        }
    }

    /// The circuit of a node's trench; `None` where no water pipe is laid.
    fn circuit_of(&self, node: usize) -> Option<CircuitId> {
        match self.layout.behind[node] {
            Some(By::Steam) => None,
            Some(By::Converted) => Some(circuit_id(self.plan, "converted")),
            Some(By::Water) | None => Some(primary_circuit(self.plan)),
        }
    }

    fn add_pipes(&self, plant: &mut PlantModel) {
        let plan = self.plan;
        for (index, node) in self.layout.nodes.iter().enumerate() {
            plant.nodes.push(Node {
                id: node_id(plan, index),
                network: Some(plan.id.clone()),
                x_m: Some(node.x_m),
                y_m: Some(node.y_m),
                elevation_m: Some(node.elevation_m),
            });
            let Some(circuit) = self.circuit_of(index).filter(|_| index > 0) else { continue };
            for side in [Side::Supply, Side::Return] {
                plant.pipes.push(Pipe {
                    id: pipe_id(plan, index, side),
                    circuit: circuit.clone(),
                    from: node_id(plan, node.parent),
                    to: node_id(plan, index),
                    length_m: Some(node.pipe.length_m),
                    inner_diameter_mm: Some((node.pipe.inner_diameter_m * 1e4).round() / 10.0),
                    roughness_mm: Some((node.pipe.roughness_m * 1e6).round() / 1e3),
                    side: Some(side),
                    material: Some("steel, pre-insulated".into()),
                    laid_year: Some(node.laid_year),
                    depth_m: Some(node.depth_m),
                });
                // A branch or a main can be shut off at the chamber that it leaves.
                if self.layout.nodes[node.parent].is_chamber {
                    let pipe = pipe_id(plan, index, side);
                    plant.valves.push(Valve {
                        id: ValveId::new(&pipe.as_str().replace("-P", "-V")).expect("a pipe's id"),
                        pipe,
                        chamber: Some(self.chamber_id(node.parent)),
                        normal_state: Some(ValveState::Open),
                        operable: Some(true),
                    });
                }
            }
        }
    }

    fn chamber_id(&self, node: usize) -> SiteId {
        site_id(self.plan, &format!("ch{:03}", node + 1))
    }

    fn site(&self, id: SiteId, kind: SiteKind, node: usize, name: String) -> Site {
        let place = &self.layout.nodes[node];
        let shift = 0.12 * f64::from(u32::try_from(self.index).expect("few networks"));
        let degrees = |value: f64| (value * 1e6).round() / 1e6;
        Site {
            network: Some(self.plan.id.clone()),
            kind: Some(kind),
            node: Some(node_id(self.plan, node)),
            name: Some(name),
            district: Some(self.plan.district.clone()),
            lon: Some(degrees(ORIGIN_LON_LAT.0 + shift + place.x_m / 80_200.0)),
            lat: Some(degrees(ORIGIN_LON_LAT.1 + place.y_m / 111_100.0)),
            crs: Some("CGCS2000".into()),
            ..Site::new(id)
        }
    }

    fn add_source(&self, plant: &mut PlantModel, devices: &mut Vec<Device>) {
        let id = site_id(self.plan, "source");
        plant.sites.push(self.site(id.clone(), SiteKind::Source, 0, format!("{}热源", self.plan.district)));
        for (device, interval_s, rows) in [
            ("main", 1, catalogue::SOURCE_MAIN),
            ("pt-supply", 1, catalogue::SOURCE_SUPPLY_PRESSURE),
            ("pt-return", 1, catalogue::SOURCE_RETURN_PRESSURE),
            ("makeup", 1, catalogue::SOURCE_MAKE_UP),
            ("pumps", 1, catalogue::SOURCE_PUMPS),
            ("control", 10, catalogue::SOURCE_CONTROL),
            ("weather", 60, catalogue::SOURCE_WEATHER),
        ] {
            self.add_device(plant, devices, (&id, device), (interval_s, false), (rows, 0));
        }
    }

    fn add_chambers(&self, plant: &mut PlantModel, devices: &mut Vec<Device>) {
        for (index, _) in self.layout.nodes.iter().enumerate().filter(|(_, node)| node.is_chamber) {
            if self.circuit_of(index).is_none() {
                continue;
            }
            let id = self.chamber_id(index);
            let name = format!("{}{}号检查室", self.plan.district, index + 1);
            plant.sites.push(self.site(id.clone(), SiteKind::Chamber, index, name));
            self.add_device(plant, devices, (&id, "rtu"), (10, true), (catalogue::CHAMBER, index));
        }
    }

    fn add_station(&self, station: usize, plant: &mut PlantModel, devices: &mut Vec<Device>) {
        let layout = &self.layout.stations[station];
        let id = station_id(self.plan, station);
        let name = format!("{}{}号热力站", self.plan.district, station + 1);
        plant.sites.push(Site {
            heated_area_m2: Some(layout.heated_area_m2),
            households: Some(layout.households),
            ..self.site(id.clone(), SiteKind::Station, layout.node, name)
        });
        let span = DESIGN_SECONDARY_CELSIUS.0 - DESIGN_SECONDARY_CELSIUS.1;
        plant.circuits.push(Circuit {
            id: CircuitId::new(&format!("{id}-secondary")).expect("a site's id and a literal"),
            network: self.plan.id.clone(),
            kind: Some(CircuitKind::Secondary),
            medium: Some(Medium::Water),
            converted_on: None,
            water_volume_m3: Some((layout.heated_area_m2 * 1.1e-3).round()),
            design_flow_kg_s: Some((layout.design_w / (HEAT_CAPACITY_J_KG_K * span)).round()),
            topped_up_from: self.network.stations[station]
                .topped_up_from_primary
                .then(|| primary_circuit(self.plan)),
        });
        let reports_by_exception = station.is_multiple_of(2);
        let (has_water, has_steam) = (layout.by != By::Steam, layout.by != By::Water);
        if has_water {
            self.add_device(plant, devices, (&id, "meter"), (10, false), (catalogue::STATION_METER, station));
            let pressure = (catalogue::STATION_PRESSURE, station);
            self.add_device(plant, devices, (&id, "pressure"), (10, reports_by_exception), pressure);
        }
        if has_steam {
            self.add_device(plant, devices, (&id, "steam"), (10, false), (catalogue::STATION_STEAM, station));
        }
        let controller =
            if has_water { catalogue::STATION_CONTROLLER } else { &catalogue::STATION_CONTROLLER[1..] };
        self.add_device(plant, devices, (&id, "controller"), (10, false), (controller, station));
        if layout.has_secondary_meter {
            let secondary = (catalogue::STATION_SECONDARY, station);
            self.add_device(plant, devices, (&id, "secondary"), (10, false), secondary);
        }
        for home in 0..layout.homes.min(catalogue::HOMES_PER_STATION_MAX) {
            let home_id = site_id(self.plan, &format!("st{:02}-b{}", station + 1, home + 1));
            let name = format!("{}{}号站{}号楼", self.plan.district, station + 1, home + 1);
            plant.sites.push(Site {
                parent: Some(id.clone()),
                ..self.site(home_id.clone(), SiteKind::Building, layout.node, name)
            });
            let place = station * catalogue::HOMES_PER_STATION_MAX + home;
            self.add_device(plant, devices, (&home_id, "logger"), (300, false), (catalogue::HOME, place));
        }
    }

    fn add_device(
        &self,
        plant: &mut PlantModel,
        devices: &mut Vec<Device>,
        (site, device): (&SiteId, &str),
        reporting: (u32, bool),
        (rows, place): (&[SignalRow], usize),
    ) {
        for row in rows {
            let (device, name) = (
                DeviceId::new(device).expect("a literal id"),
                SignalName::new(row.name).expect("a literal id"),
            );
            plant.signals.push(SignalSpec {
                id: SignalId {
                    network: self.plan.id.clone(),
                    site: site.clone(),
                    device: device.clone(),
                    name: name.clone(),
                },
                site: site.clone(),
                device,
                name,
                unit: Some(row.unit.into()),
                topic: None,
                pointer: None,
                interval_s: Some(f64::from(reporting.0)),
                range_min: Some(row.range.0),
                range_max: Some(row.range.1),
                accuracy_class: row.instrument.class().map(Into::into),
                sensor_side: side_of(row.name),
            });
        }
        let rows: Vec<(&SignalRow, usize)> = rows.iter().map(|row| (row, place)).collect();
        let seed = mix(hash_text(hash_text(self.seed, site.as_str()), device));
        devices.push(Device::new(self.index, &self.plan.id, (site, device), reporting, &rows, seed));
    }
}

/// The side that a flow, volume or pressure sensor sits on.
fn side_of(name: &str) -> Option<Side> {
    if name == "primary_volume" || name.contains("supply_") {
        Some(Side::Supply)
    } else if name.contains("return_") {
        Some(Side::Return)
    } else {
        None
    }
}
