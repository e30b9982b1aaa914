//! A network of nodes and links, meshed or not: what the solver solves.
//!
//! Pressures are gauge pressures at the node, flows are mass flows along a link from its first to its second node. A
//! station whose flow is known takes it at its supply node and gives it back at its return node ([`Network::set_demand`]);
//! one that is known by its valve is a link between the two. Every connected part needs a node whose pressure is held:
//! the vessel or pump that holds the static pressure. The water of each link has its own density and viscosity, so supply
//! and return columns weigh what they weigh.

use crate::{
    pipe::{Geometry, Resistance},
    water,
};

/// Density and viscosity of the water in a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Water {
    /// kg/m3.
    pub density_kg_m3: f64,
    /// Dynamic, Pa s.
    pub viscosity_pa_s: f64,
}

impl Water {
    /// Water of this temperature.
    pub fn at_celsius(celsius: f64) -> Self {
        Self { density_kg_m3: water::density_kg_m3(celsius), viscosity_pa_s: water::viscosity_pa_s(celsius) }
    }
}

/// A pump's lift: `shutoff - coefficient * flow ^ exponent`, falling with the flow. It passes no water backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pump {
    /// Lift without flow, Pa.
    pub shutoff_pa: f64,
    /// Fall of the lift at 1 kg/s, Pa; 0 for a pump that keeps its lift.
    pub coefficient: f64,
    /// Of the flow in kg/s.
    pub exponent: f64,
}

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    /// A pipe.
    Pipe(Geometry),
    /// A valve, a station, or a pipe with a constant coefficient.
    Resistance(Resistance),
    /// A pump that lifts from the first node to the second.
    Pump(Pump),
    /// An opening to the air at the first node, `Cd A` in m2, through which nothing flows in. The second node is where
    /// the air is: the solver holds it at no pressure.
    Opening {
        /// Effective area, m2.
        effective_area_m2: f64,
    },
}

/// Slope of what must not flow backwards, Pa s/kg: a bar lets a tenth of a gram pass.
const BACKWARDS_PA_S_KG: f64 = 1e9;
/// Flow below which a slope is taken as if it were this, kg/s: a quadratic loss has none at rest.
const REST_KG_S: f64 = 1e-5;

/// Least slope, Pa s/kg: a link without any loss would make its two nodes one. A tenth of a pascal at 100 kg/s; less
/// would leave its flow to the rounding of the pressures.
const SLOPE_MIN_PA_S_KG: f64 = 1e-3;

impl Element {
    /// Loss along the flow and its derivative; the derivative is positive.
    pub(crate) fn loss_and_slope(&self, flow_kg_s: f64, water: Water) -> (f64, f64) {
        let quadratic = |resistance: Resistance| {
            let slope = resistance.slope_pa_s_kg(flow_kg_s.abs().max(REST_KG_S));
            (resistance.loss_pa(flow_kg_s), slope.max(SLOPE_MIN_PA_S_KG))
        };
        match *self {
            Self::Pipe(geometry) => {
                let (loss, slope) =
                    geometry.loss_and_slope(flow_kg_s, water.density_kg_m3, water.viscosity_pa_s);
                // Tables have pipes of no length.
                (SLOPE_MIN_PA_S_KG.mul_add(flow_kg_s, loss), slope + SLOPE_MIN_PA_S_KG)
            }
            Self::Resistance(resistance) => quadratic(resistance),
            Self::Pump(pump) if flow_kg_s >= 0.0 => {
                let fall = pump.coefficient * flow_kg_s.powf(pump.exponent);
                let slope = pump.exponent * fall / flow_kg_s.max(REST_KG_S);
                (SLOPE_MIN_PA_S_KG.mul_add(flow_kg_s, fall - pump.shutoff_pa), slope + SLOPE_MIN_PA_S_KG)
            }
            Self::Pump(pump) => (BACKWARDS_PA_S_KG.mul_add(flow_kg_s, -pump.shutoff_pa), BACKWARDS_PA_S_KG),
            Self::Opening { .. } if flow_kg_s < 0.0 => (BACKWARDS_PA_S_KG * flow_kg_s, BACKWARDS_PA_S_KG),
            Self::Opening { effective_area_m2 } => quadratic(Resistance {
                pa_s2_kg2: 1.0 / (2.0 * water.density_kg_m3 * effective_area_m2 * effective_area_m2),
            }),
        }
    }

    /// A flow to begin with: half a metre a second, or what a tenth of a bar drives.
    pub(crate) fn first_flow(&self, water: Water) -> f64 {
        let driven = |resistance: f64| (1e4 / resistance.max(1e-9)).sqrt().min(1e3);
        match *self {
            Self::Pipe(geometry) => 0.5 * geometry.area_m2() * water.density_kg_m3,
            Self::Resistance(resistance) => driven(resistance.pa_s2_kg2),
            Self::Pump(pump) if pump.coefficient > 0.0 => {
                (0.5 * pump.shutoff_pa.max(1.0) / pump.coefficient).powf(1.0 / pump.exponent)
            }
            Self::Pump(_) => 1.0,
            Self::Opening { effective_area_m2 } => {
                driven(1.0 / (2.0 * water.density_kg_m3 * effective_area_m2 * effective_area_m2))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    pub(crate) elevation_m: f64,
    pub(crate) held_pa: Option<f64>,
    pub(crate) demand_kg_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) element: Element,
    pub(crate) water: Water,
    pub(crate) is_open: bool,
}

impl Link {
    /// Weight of the water column from the first node up to the second, Pa.
    pub(crate) fn lift_pa(&self, nodes: &[Node]) -> f64 {
        let rise = nodes[self.to].elevation_m - nodes[self.from].elevation_m;
        self.water.density_kg_m3 * water::GRAVITY_M_S2 * rise
    }
}

/// Nodes and links. Nodes and links are numbered in the order in which they are added; numbers out of range panic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
}

impl Network {
    /// Adds a node whose pressure follows from the rest; its number.
    pub fn add_node(&mut self, elevation_m: f64) -> usize {
        self.nodes.push(Node { elevation_m, held_pa: None, demand_kg_s: 0.0 });
        self.nodes.len() - 1
    }

    /// Adds a node at which the pressure is held; its number.
    pub fn add_held_node(&mut self, elevation_m: f64, pressure_pa: f64) -> usize {
        let node = self.add_node(elevation_m);
        self.nodes[node].held_pa = Some(pressure_pa);
        node
    }

    /// Adds an open link; its number.
    pub fn add_link(&mut self, from: usize, to: usize, element: Element, water: Water) -> usize {
        assert!(from.max(to) < self.nodes.len(), "a link joins nodes that were added before");
        self.links.push(Link { from, to, element, water, is_open: true });
        self.links.len() - 1
    }

    /// Adds a leak at a node, an opening of effective area `Cd A`; the number of its link, whose flow is the loss.
    pub fn add_leak(&mut self, node: usize, effective_area_m2: f64, water: Water) -> usize {
        let air = self.add_held_node(self.nodes[node].elevation_m, 0.0);
        self.add_link(node, air, Element::Opening { effective_area_m2 }, water)
    }

    /// Sets what is taken out at a node, kg/s; negative is given in.
    pub fn set_demand(&mut self, node: usize, demand_kg_s: f64) {
        self.nodes[node].demand_kg_s = demand_kg_s;
    }

    /// What is taken out at a node, kg/s.
    pub fn demand(&self, node: usize) -> f64 {
        self.nodes[node].demand_kg_s
    }

    /// Sets the pressure of a held node, Pa; of another node it changes nothing and says so by `false`.
    pub fn set_pressure(&mut self, node: usize, pressure_pa: f64) -> bool {
        let held = &mut self.nodes[node].held_pa;
        let is_held = held.is_some();
        if is_held {
            *held = Some(pressure_pa);
        }
        is_held
    }

    /// Opens or closes a link: a valve, a pump at rest, a broken pipe shut off.
    pub fn set_open(&mut self, link: usize, is_open: bool) {
        self.links[link].is_open = is_open;
    }

    /// Changes what a link is.
    pub fn set_element(&mut self, link: usize, element: Element) {
        self.links[link].element = element;
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Ends of a link.
    pub fn ends(&self, link: usize) -> (usize, usize) {
        (self.links[link].from, self.links[link].to)
    }
}
