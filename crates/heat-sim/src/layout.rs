//! The lie of a network: two mains from the source, branches off them, stations at the ends of service pipes. Sized as
//! an engineer would: the smallest standard pipe within a gradient at the design flow.

use heat_hydraulics::{pipe::Geometry, water};

use crate::{
    arithmetic::{Random, hash_text, smooth_noise},
    plan::NetworkPlan,
    plug::HEAT_CAPACITY_J_KG_K,
};

/// Outdoor temperature that everything is sized for, degC.
pub(crate) const DESIGN_OUTDOOR_CELSIUS: f64 = -18.0;
/// Indoor temperature that everything is sized for, degC.
pub(crate) const DESIGN_INDOOR_CELSIUS: f64 = 21.0;
/// Primary supply and return at design, degC.
pub(crate) const DESIGN_PRIMARY_CELSIUS: (f64, f64) = (110.0, 52.0);
/// Secondary supply and return at design, degC.
pub(crate) const DESIGN_SECONDARY_CELSIUS: (f64, f64) = (60.0, 47.0);
const DESIGN_GRADIENT_PA_M: f64 = 60.0;
/// Inner diameters of pre-insulated steel pipes DN65 to DN1200, mm.
const DIAMETERS_MM: [f64; 18] = [
    70.3, 82.5, 100.8, 125.0, 150.0, 207.0, 257.0, 309.0, 359.0, 408.0, 458.0, 508.0, 612.0, 702.0, 804.0,
    904.0, 1_004.0, 1_200.0,
];

/// A node with the trench that leads to it from its parent; a parent stands before its children.
#[derive(Debug, Clone)]
pub(crate) struct LayoutNode {
    pub(crate) parent: usize,
    pub(crate) x_m: f64,
    pub(crate) y_m: f64,
    pub(crate) elevation_m: f64,
    pub(crate) pipe: Geometry,
    pub(crate) laid_year: u32,
    pub(crate) depth_m: f64,
    /// A valve chamber stands here: the foot of a branch.
    pub(crate) is_chamber: bool,
    /// Station at this node.
    pub(crate) station: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct StationLayout {
    pub(crate) node: usize,
    pub(crate) heated_area_m2: f64,
    pub(crate) households: u32,
    pub(crate) design_w: f64,
    /// Its secondary is topped up from the primary return (一补二).
    pub(crate) topped_up_from_primary: bool,
    /// Has a make-up meter in its secondary.
    pub(crate) has_secondary_meter: bool,
    /// Sampled homes.
    pub(crate) homes: usize,
    /// What it is heated by.
    pub(crate) by: By,
}

/// What a station is heated by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Water,
    /// Steam until the conversion, then hot water.
    Converted,
    Steam,
}

impl StationLayout {
    pub(crate) fn design_flow_kg_s(&self) -> f64 {
        self.design_w / (HEAT_CAPACITY_J_KG_K * (DESIGN_PRIMARY_CELSIUS.0 - DESIGN_PRIMARY_CELSIUS.1))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) nodes: Vec<LayoutNode>,
    pub(crate) stations: Vec<StationLayout>,
    /// Design flow of each node's trench; at the root that of the source.
    pub(crate) design_kg_s: Vec<f64>,
    /// What all stations behind a node's trench are heated by, where that is one thing.
    pub(crate) behind: Vec<Option<By>>,
}

impl Layout {
    pub(crate) fn new(plan: &NetworkPlan, seed: u64) -> Self {
        let seed = hash_text(seed, plan.id.as_str());
        let mut grower =
            Grower { random: Random::new(seed), seed, base_m: plan.elevation_m, nodes: Vec::new() };
        let stations = grower.grow(plan.stations, plan.steam.is_some());
        let behind = behind(&grower.nodes, &stations);
        let design_kg_s = vec![0.0; grower.nodes.len()];
        let mut layout = Self { design_kg_s, nodes: grower.nodes, stations, behind };
        for station in &layout.stations {
            layout.design_kg_s[station.node] = station.design_flow_kg_s();
        }
        for node in (1..layout.nodes.len()).rev() {
            let parent = layout.nodes[node].parent;
            layout.design_kg_s[parent] += layout.design_kg_s[node];
        }
        for (node, &flow) in layout.nodes.iter_mut().zip(&layout.design_kg_s).skip(1) {
            node.pipe.inner_diameter_m = diameter_m(&node.pipe, flow);
        }
        layout
    }
}

/// What the stations behind each node are heated by; at a node that leads to several kinds, and at the root, nothing.
fn behind(nodes: &[LayoutNode], stations: &[StationLayout]) -> Vec<Option<By>> {
    // Nothing known yet, one kind, or several.
    let mut known: Vec<Option<Option<By>>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        let own = node.station.map(|station| Some(stations[station].by));
        let join = |a: Option<Option<By>>, b: Option<Option<By>>| match (a, b) {
            (Some(a), Some(b)) => Some(if a == b { a } else { None }),
            (a, b) => a.or(b),
        };
        known[index] = join(known[index], own);
        if index > 0 {
            known[node.parent] = join(known[node.parent], known[index]);
        }
    }
    known.into_iter().map(Option::flatten).collect()
}

/// The smallest standard diameter within the design gradient; the largest where none is.
fn diameter_m(pipe: &Geometry, flow_kg_s: f64) -> f64 {
    let fits = |mm: &&f64| {
        let trial = Geometry { inner_diameter_m: **mm / 1e3, local_loss: 0.0, ..*pipe };
        trial.loss_pa(flow_kg_s, water::density_kg_m3(75.0), water::viscosity_pa_s(75.0))
            < DESIGN_GRADIENT_PA_M * pipe.length_m
    };
    DIAMETERS_MM.iter().find(fits).unwrap_or(&DIAMETERS_MM[DIAMETERS_MM.len() - 1]) / 1e3
}

struct Grower {
    random: Random,
    seed: u64,
    base_m: f64,
    nodes: Vec<LayoutNode>,
}

impl Grower {
    fn grow(&mut self, count: usize, has_steam: bool) -> Vec<StationLayout> {
        self.add(0, (0.0, 0.0), 0.0, 2010);
        self.nodes[0].is_chamber = false;
        let fork = self.walk(0, 0.0, 350.0, 2004);
        self.nodes[fork].is_chamber = true;
        let mut feet = Vec::new();
        // About as many branches on a main as stations on a branch keep the longest way short.
        let per_branch = (5..).find(|side| side * side * 16 >= count * 9).unwrap_or(5);
        let branches = count.div_ceil(per_branch);
        for (arm, heading) in [(0_usize, 0.12), (1, -0.14)] {
            let mut at = fork;
            let mut direction = heading;
            for number in 0..branches.div_ceil(2) {
                direction += self.random.between(-0.04, 0.04);
                let length = self.random.between(220.0, 420.0);
                let year = 1996 + u32::try_from(self.random.below(26)).expect("below 26");
                at = self.walk(at, direction, length, year);
                self.nodes[at].is_chamber = true;
                let side = if (number + arm) % 2 == 0 { 0.25 } else { -0.25 };
                feet.push((at, direction + side));
            }
        }
        let mut stations = Vec::with_capacity(count);
        for index in 0..count {
            // Branches in turn, so that all grow alike.
            let branch = index % feet.len();
            let (foot, direction) = feet[branch];
            let length = self.random.between(110.0, 230.0);
            let year = 1998 + u32::try_from(self.random.below(24)).expect("below 24");
            let on_branch = self.walk(foot, direction, length, year);
            feet[branch].0 = on_branch;
            let service = self.random.between(25.0, 90.0);
            let turn = if self.random.chance(0.5) { 0.25 } else { -0.25 };
            let node = self.walk(on_branch, direction + turn, service, year);
            self.nodes[node].station = Some(index);
            let by = match branch % 3 {
                1 if has_steam => By::Converted,
                2 if has_steam => By::Steam,
                _ => By::Water,
            };
            stations.push(StationLayout { by, ..self.station(node, index) });
        }
        stations
    }

    fn station(&mut self, node: usize, index: usize) -> StationLayout {
        let area = (self.random.between(35.0, 125.0)).round() * 1e3;
        let homes = area / 95.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
        let households = homes as u32;
        StationLayout {
            node,
            heated_area_m2: area,
            households,
            design_w: area * self.random.between(40.0, 48.0),
            topped_up_from_primary: index % 7 == 3,
            has_secondary_meter: index % 5 != 4,
            // One station with so many that some speak soon: ten are told of as a station.
            homes: match index {
                0 => 32,
                _ if index.is_multiple_of(3) => 2,
                _ => 0,
            },
            by: By::Water,
        }
    }

    /// Adds a node this far from another, towards a heading in turns.
    fn walk(&mut self, from: usize, heading: f64, length_m: f64, year: u32) -> usize {
        let (dx, dy) = (
            crate::arithmetic::sin_turns(heading + 0.25) * length_m,
            crate::arithmetic::sin_turns(heading) * length_m,
        );
        let at = (self.nodes[from].x_m + dx, self.nodes[from].y_m + dy);
        // Trenches follow streets: longer than the straight line.
        let length_m = (length_m * self.random.between(1.02, 1.15)).round();
        self.add(from, at, length_m, year)
    }

    fn add(&mut self, parent: usize, (x, y): (f64, f64), length_m: f64, laid_year: u32) -> usize {
        let hill = |seed: u64, scale: f64| smooth_noise(seed, x / scale) + smooth_noise(seed ^ 9, y / scale);
        let elevation = self.base_m + 4.0 * hill(self.seed ^ 11, 900.0) + 1.5 * hill(self.seed ^ 12, 300.0);
        let age = f64::from(2026_u32.saturating_sub(laid_year));
        self.nodes.push(LayoutNode {
            parent,
            x_m: (x * 10.0).round() / 10.0,
            y_m: (y * 10.0).round() / 10.0,
            elevation_m: (elevation * 10.0).round() / 10.0,
            pipe: Geometry {
                length_m,
                inner_diameter_m: 0.1,
                roughness_m: (0.15 + 0.012 * age) / 1e3,
                local_loss: 1.5,
            },
            laid_year,
            depth_m: (self.random.between(0.9, 2.2) * 10.0).round() / 10.0,
            is_chamber: false,
            station: None,
        });
        self.nodes.len() - 1
    }
}
