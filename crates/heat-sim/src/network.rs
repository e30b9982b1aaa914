//! One network: trenches, stations and source, advanced together.
//!
//! A step: controllers move; flows and pressures are found by sums over the tree, a few sweeps of Newton's method a
//! station at a time; then water and heat are transported with flows that balance exactly. All is quasi-steady but
//! the transport, the controllers and the pressure holding, whose laws are integrated exactly or in steps of 1 s.

mod account;
mod transport;

use heat_hydraulics::{pipe::Geometry, water};

pub use account::Account;

use crate::{
    arithmetic::{mix, smooth_noise},
    layout::{By, Layout},
    plan::NetworkPlan,
    plug::{HEAT_CAPACITY_J_KG_K as CP, PlugPipe, density_kg_m3, volume_m3_kg},
    source::{RETURN_SET_PA, Source},
    station::{OPEN_LOSS_PA, Station, Surroundings},
    steam::SteamSide,
};

const GROUND_CELSIUS: f64 = 4.0;
const SWEEPS: usize = 3;
/// Over how long a pipe's unfilled rest is filled; the longest step, so that the flow is the same at every step.
const REST_S: f64 = 60.0;

/// A hole in a pipe. `area_m2` includes the discharge coefficient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    pub(crate) area_m2: f64,
    pub(crate) position: f64,
    pub(crate) loss_kg_s: f64,
}

const NO_HOLE: Hole = Hole { area_m2: 0.0, position: 0.5, loss_kg_s: 0.0 };

/// One pipe of a trench.
#[derive(Debug, Clone)]
pub(crate) struct PipeState {
    resistance_pa_s2_kg2: f64,
    pub(crate) water: PlugPipe,
    /// For the present step: volume at the entering over the leaving end, and what fills the unfilled rest.
    ratio: f64,
    rest_kg_s: f64,
    /// Share of the network's base loss lost at the lower node.
    base_kg_s: f64,
    pub(crate) hole: Hole,
    /// Flow at the upper and at the lower end; the supply's positive away from the source, the return's towards it.
    pub(crate) upper_kg_s: f64,
    pub(crate) lower_kg_s: f64,
    /// Water at the lower node, and what last left the pipe.
    pub(crate) node_celsius: f64,
    out_celsius: f64,
    /// Pressure at the lower node, Pa gauge.
    pub(crate) node_pa: f64,
}

impl PipeState {
    fn loss_pa(&self) -> f64 {
        let part = |flow: f64| self.resistance_pa_s2_kg2 * flow * flow.abs();
        self.hole.position * part(self.upper_kg_s) + (1.0 - self.hole.position) * part(self.lower_kg_s)
    }

    /// Prepares the flow balance of a step, for water that enters at one and leaves at the other temperature.
    fn prepare(&mut self, entering_celsius: f64, leaving_celsius: f64, filled_celsius: f64) {
        self.ratio = volume_m3_kg(leaving_celsius) / volume_m3_kg(entering_celsius);
        self.rest_kg_s = self.water.free_m3() / (volume_m3_kg(filled_celsius) * REST_S);
    }
}

/// Node with the trench above it.
#[derive(Debug, Clone)]
pub(crate) struct NodeState {
    pub(crate) parent: usize,
    pub(crate) station: Option<usize>,
    lift_pa: f64,
    pub(crate) supply: PipeState,
    pub(crate) back: PipeState,
    /// Mass and mass times temperature that reach the return node in a step.
    mixed: (f64, f64),
}

#[derive(Debug, Clone)]
pub(crate) struct Network {
    seed: u64,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) stations: Vec<Station>,
    /// Node of each station.
    pub(crate) station_nodes: Vec<usize>,
    pub(crate) source: Source,
    pub(crate) steam: Option<SteamSide>,
    pub(crate) around: Surroundings,
    pub(crate) supply_kg_s: f64,
    pub(crate) return_kg_s: f64,
    pub(crate) volume_m3: f64,
    pub(crate) design_kg_s: f64,
    base_wander: f64,
    pub(crate) account: Account,
    holes: Vec<usize>,
}

impl Network {
    pub(crate) fn new(plan: &NetworkPlan, layout: &Layout, seed: u64, around: Surroundings) -> Self {
        let design_kg_s = layout.design_kg_s[0];
        // Where steam alone goes no water pipe is laid; the model has one that holds cold water and never moves.
        let is_laid = |index: usize| layout.behind[index] != Some(By::Steam);
        let weights: Vec<f64> = layout
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let weight = node.pipe.length_m * f64::from(2_030 - node.laid_year);
                if is_laid(index) { weight } else { 0.0 }
            })
            .collect();
        let base_total = plan.base_loss_share * design_kg_s / weights.iter().sum::<f64>();
        let mut nodes: Vec<NodeState> = Vec::with_capacity(layout.nodes.len());
        for (index, node) in layout.nodes.iter().enumerate() {
            let base = base_total * weights[index];
            let is_laid = is_laid(index);
            let pipe = |celsius: f64, share: f64| {
                let celsius = if is_laid { celsius } else { GROUND_CELSIUS };
                PipeState {
                    resistance_pa_s2_kg2: resistance(&node.pipe, layout.design_kg_s[index], index > 0),
                    water: PlugPipe::new(
                        node.pipe.volume_m3(),
                        cooling_s(&node.pipe),
                        GROUND_CELSIUS,
                        celsius,
                    ),
                    ratio: 1.0,
                    rest_kg_s: 0.0,
                    base_kg_s: base * share,
                    hole: NO_HOLE,
                    upper_kg_s: 0.0,
                    lower_kg_s: 0.0,
                    node_celsius: celsius,
                    out_celsius: celsius,
                    node_pa: RETURN_SET_PA,
                }
            };
            nodes.push(NodeState {
                parent: node.parent,
                station: node.station,
                lift_pa: 970.0 * water::GRAVITY_M_S2 * (node.elevation_m - layout.nodes[0].elevation_m),
                supply: pipe(85.0, 0.6),
                back: pipe(45.0, 0.4),
                mixed: (0.0, 0.0),
            });
        }
        let laid = (1..layout.nodes.len()).filter(|index| is_laid(*index));
        let volume_m3 = 2.0 * laid.map(|index| layout.nodes[index].pipe.volume_m3()).sum::<f64>();
        let head = design_head_pa(&nodes, layout);
        let on_steam = layout.stations.iter().filter(|station| station.by != By::Water);
        let steam = plan.steam.as_ref().map(|_| SteamSide::new(on_steam.map(|s| s.design_w).sum(), seed));
        let stations = layout
            .stations
            .iter()
            .zip(0_u64..)
            .map(|(station, index)| {
                Station::new(station, mix(seed ^ (1_000 + index)), around.outdoor_celsius)
            })
            .collect();
        let source = Source::new(seed, plan.make_up, head, design_kg_s, volume_m3, around.outdoor_celsius);
        Self {
            seed,
            nodes,
            stations,
            station_nodes: layout.stations.iter().map(|station| station.node).collect(),
            source,
            steam,
            around,
            supply_kg_s: 0.0,
            return_kg_s: 0.0,
            volume_m3,
            design_kg_s,
            base_wander: 1.0,
            account: Account::default(),
            holes: Vec::new(),
        }
    }

    /// Opens a hole further, at this place of a pipe. [`Network::close_holes`] closes all.
    pub(crate) fn add_hole(&mut self, node: usize, is_supply: bool, position: f64, area_m2: f64) {
        let pipe = if is_supply { &mut self.nodes[node].supply } else { &mut self.nodes[node].back };
        pipe.hole.area_m2 += area_m2;
        pipe.hole.position = position;
        if !self.holes.contains(&node) {
            self.holes.push(node);
        }
    }

    /// Sets the area of all holes to nothing, keeping what they lose at present as the start of the next solution.
    pub(crate) fn close_holes(&mut self) {
        for &node in &self.holes {
            self.nodes[node].supply.hole.area_m2 = 0.0;
            self.nodes[node].back.hole.area_m2 = 0.0;
        }
    }

    /// Turns the stations that are converted over to hot water; `stations` are their numbers.
    pub(crate) fn convert(&mut self, stations: &[usize]) {
        for &station in stations {
            if let Some(steam) = &mut self.stations[station].steam {
                steam.is_on = false;
            }
        }
    }

    /// Pressure at a place in a pipe, Pa gauge, and how much it falls for each kg/s lost there.
    pub(crate) fn pressure_at(&self, node: usize, is_supply: bool, position: f64) -> (f64, f64) {
        let lower = &self.nodes[node];
        let upper = &self.nodes[lower.parent];
        let lift = position * (lower.lift_pa - upper.lift_pa);
        let pipe = if is_supply { &lower.supply } else { &lower.back };
        let loss = position * pipe.resistance_pa_s2_kg2 * pipe.upper_kg_s * pipe.upper_kg_s.abs();
        let mut slope = 2.0 * position * pipe.resistance_pa_s2_kg2 * pipe.upper_kg_s.abs();
        let mut at = lower.parent;
        while at != 0 {
            let pipe = if is_supply { &self.nodes[at].supply } else { &self.nodes[at].back };
            slope += 2.0 * pipe.resistance_pa_s2_kg2 * pipe.upper_kg_s.abs();
            at = self.nodes[at].parent;
        }
        if is_supply {
            (upper.supply.node_pa - loss - lift, slope + self.source.head_slope(self.supply_kg_s))
        } else {
            (upper.back.node_pa + loss - lift, slope)
        }
    }

    /// Advances by `dt_s`, at most [`REST_S`].
    pub(crate) fn step(&mut self, dt_s: f64, around: Surroundings) {
        self.around = around;
        self.base_wander = 1.0 + 0.12 * smooth_noise(self.seed ^ 31, around.second / 21_600.0);
        self.source.control(dt_s, around.second, around.outdoor_celsius, self.supply_kg_s);
        for (station, &node) in self.stations.iter_mut().zip(&self.station_nodes) {
            let node = &self.nodes[node];
            station.control(dt_s, &around, node.supply.node_pa - node.back.node_pa);
            station.keep_water(dt_s, 0.5 * (node.supply.node_pa + node.back.node_pa));
        }
        self.prepare_pipes();
        for _ in 0..SWEEPS {
            self.add_up_flows();
            self.find_pressures();
            self.correct_flows();
        }
        self.add_up_flows();
        self.find_pressures();
        self.transport_supply(dt_s);
        let second = self.around;
        for (station, &node) in self.stations.iter_mut().zip(&self.station_nodes) {
            station.exchange(dt_s, &second, self.nodes[node].supply.node_celsius);
        }
        self.transport_return(dt_s);
        self.balance(dt_s);
        if let Some(steam) = &mut self.steam {
            let uses = self.stations.iter().filter_map(|station| station.steam.as_ref());
            let (taken, back) =
                uses.fold((0.0, 0.0), |(a, b), one| (a + one.taken_kg_s, b + one.returned_kg_s));
            steam.balance(around.second, taken, back);
        }
        self.holes.retain(|&node| {
            let node = &self.nodes[node];
            node.supply.hole.area_m2 > 0.0 || node.back.hole.area_m2 > 0.0
        });
    }

    fn prepare_pipes(&mut self) {
        for index in 1..self.nodes.len() {
            let entering = self.nodes[self.nodes[index].parent].supply.node_celsius;
            let NodeState { supply, back, .. } = &mut self.nodes[index];
            supply.prepare(entering, supply.out_celsius, entering);
            back.prepare(back.node_celsius, back.out_celsius, back.out_celsius);
        }
    }

    /// Flows by sums from the ends to the source. A pipe takes in what leaves it, corrected for the densities at its
    /// ends, and what its contraction left free.
    fn add_up_flows(&mut self) {
        let wander = self.base_wander;
        for node in &mut self.nodes {
            let (taken, given) = match node.station {
                Some(index) => {
                    let station = &self.stations[index];
                    let flow = station.flow_kg_s;
                    (flow, flow - station.top_up_kg_s - station.exchanger_kg_s)
                }
                None => (0.0, 0.0),
            };
            node.supply.lower_kg_s = taken + node.supply.base_kg_s * wander;
            node.back.lower_kg_s = given - node.back.base_kg_s * wander;
        }
        for index in (1..self.nodes.len()).rev() {
            let (parents, rest) = self.nodes.split_at_mut(index);
            let node = &mut rest[0];
            let parent = &mut parents[node.parent];
            let supply = &mut node.supply;
            let leaving_kg_s = supply.lower_kg_s + supply.hole.loss_kg_s;
            let ratio = if leaving_kg_s > 0.0 { supply.ratio } else { 1.0 };
            supply.upper_kg_s = leaving_kg_s * ratio + supply.rest_kg_s;
            parent.supply.lower_kg_s += supply.upper_kg_s;

            let back = &mut node.back;
            let ratio = if back.lower_kg_s > 0.0 { back.ratio } else { 1.0 };
            back.upper_kg_s = back.lower_kg_s / ratio - back.rest_kg_s - back.hole.loss_kg_s;
            parent.back.lower_kg_s += back.upper_kg_s;
        }
        self.supply_kg_s = self.nodes[0].supply.lower_kg_s;
        self.return_kg_s = self.nodes[0].back.lower_kg_s;
    }

    /// Pressures by sums from the source to the ends.
    fn find_pressures(&mut self) {
        self.source.head_pa = self.source.head_at(self.supply_kg_s);
        let return_pa = self.source.return_pa();
        self.nodes[0].back.node_pa = return_pa;
        self.nodes[0].supply.node_pa = return_pa + self.source.head_pa;
        for index in 1..self.nodes.len() {
            let (parents, rest) = self.nodes.split_at_mut(index);
            let node = &mut rest[0];
            let parent = &parents[node.parent];
            let lift = node.lift_pa - parent.lift_pa;
            node.supply.node_pa = parent.supply.node_pa - node.supply.loss_pa() - lift;
            node.back.node_pa = parent.back.node_pa + node.back.loss_pa() - lift;
        }
    }

    /// Moves each station's flow and each leak towards what its pressure gives, by one step of Newton's method in which
    /// all stations are taken to move alike.
    fn correct_flows(&mut self) {
        let available =
            self.source.head_pa + 0.5 * self.source.head_slope(self.supply_kg_s) * self.supply_kg_s;
        for (station, &node) in self.stations.iter_mut().zip(&self.station_nodes) {
            let node = &self.nodes[node];
            let across = node.supply.node_pa - node.back.node_pa;
            let share = (across / available.max(1.0)).clamp(0.05, 1.0);
            station.flow_kg_s += (station.flow_at(across) - station.flow_kg_s) * share;
        }
        for at in 0..self.holes.len() {
            let node = self.holes[at];
            for is_supply in [true, false] {
                let pipe = if is_supply { &self.nodes[node].supply } else { &self.nodes[node].back };
                let (hole, density) = (pipe.hole, density_kg_m3(pipe.out_celsius));
                let (pressure, slope) = self.pressure_at(node, is_supply, hole.position);
                let loss = outflow_kg_s(hole.area_m2, density, pressure + slope * hole.loss_kg_s, slope);
                let pipe = if is_supply { &mut self.nodes[node].supply } else { &mut self.nodes[node].back };
                pipe.hole.loss_kg_s = loss;
            }
        }
    }

    /// What a node loses all the time from supply and return, kg/s.
    #[cfg(test)]
    pub(crate) fn base_loss_kg_s(&self, node: usize) -> (f64, f64) {
        let node = &self.nodes[node];
        (node.supply.base_kg_s * self.base_wander, node.back.base_kg_s * self.base_wander)
    }

    /// Largest number of parcels in a pipe; a bound that tests hold.
    #[cfg(test)]
    pub(crate) fn parcels_max(&self) -> usize {
        self.nodes.iter().flat_map(|n| [n.supply.water.parcels(), n.back.water.parcels()]).max().unwrap_or(0)
    }
}

/// Outflow of a hole where the pressure is `still_pa` less `slope` for each kg/s that it loses.
fn outflow_kg_s(area_m2: f64, density_kg_m3: f64, still_pa: f64, slope_pa_s_kg: f64) -> f64 {
    if still_pa <= 0.0 || area_m2 <= 0.0 {
        return 0.0;
    }
    let square = density_kg_m3 * area_m2 * area_m2;
    let half = square * slope_pa_s_kg;
    (half * half + 2.0 * square * still_pa).sqrt() - half
}

/// Resistance at the design flow. Rounded to 24 bits, so that differences in the last bits of the systems' logarithms
/// do not reach the simulation.
fn resistance(pipe: &Geometry, design_kg_s: f64, is_pipe: bool) -> f64 {
    if !is_pipe {
        return 0.0;
    }
    let exact =
        pipe.resistance(design_kg_s, water::density_kg_m3(70.0), water::viscosity_pa_s(70.0)).pa_s2_kg2;
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is the purpose")]
    let rounded = exact as f32;
    f64::from(rounded)
}

/// Time constant of the cooling of standing water in a pre-insulated pipe.
fn cooling_s(pipe: &Geometry) -> f64 {
    let loss_w_m_k = 0.18 + 0.55 * pipe.inner_diameter_m;
    970.0 * CP * pipe.area_m2() / loss_w_m_k
}

/// Head that gives the worst station its pressure at design, rounded up to 10 kPa.
fn design_head_pa(nodes: &[NodeState], layout: &Layout) -> f64 {
    let mut drops = vec![0.0_f64; nodes.len()];
    for index in 1..nodes.len() {
        let flow = layout.design_kg_s[index];
        let resistance = nodes[index].supply.resistance_pa_s2_kg2 + nodes[index].back.resistance_pa_s2_kg2;
        drops[index] = drops[nodes[index].parent] + resistance * flow * flow;
    }
    let worst = drops.iter().copied().fold(0.0, f64::max);
    ((worst + OPEN_LOSS_PA + 20e3) / 1e4).ceil() * 1e4
}
