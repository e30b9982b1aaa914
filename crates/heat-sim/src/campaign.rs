//! Many bursts one after the other, for measuring how soon they are found.

use std::time::Duration;

use heat_model::{
    NetworkId, PipeId,
    plant::{CircuitKind, PlantModel},
};

use crate::{
    arithmetic::{Random, mix},
    event::{Happening, LeakSize, Script, ScriptedEvent},
};

/// What bursts there shall be. Networks take turns, so that each has its recovery between two bursts.
#[derive(Debug, Clone, PartialEq)]
pub struct BurstCampaign {
    /// How many.
    pub bursts: usize,
    /// Before the first one.
    pub quiet: Duration,
    /// From one onset to the next in the city. Times the number of networks, it is the time that one network has for
    /// burst and recovery: 30 minutes are enough for both.
    pub every: Duration,
    /// How long a burst lasts until it is shut off.
    pub lasts: Duration,
    /// Smallest and largest size, as shares of the circulation.
    pub shares: (f64, f64),
}

impl Default for BurstCampaign {
    fn default() -> Self {
        Self {
            bursts: 200,
            quiet: Duration::from_secs(1_200),
            every: Duration::from_secs(720),
            lasts: Duration::from_secs(150),
            shares: (0.05, 0.30),
        }
    }
}

/// Water in a broken pipe does not run faster than this, m/s: it bounds what a thin pipe can lose.
const VELOCITY_MAX_M_S: f64 = 4.0;

impl BurstCampaign {
    /// The script: random pipes of all networks, both sides, with the wanted sizes. A pipe too thin for the size
    /// drawn is not taken.
    pub fn script(&self, plant: &PlantModel, seed: u64) -> Script {
        let mut random = Random::new(mix(seed ^ 0xB0057));
        let networks: Vec<NetworkPipes> =
            plant.networks.iter().map(|row| NetworkPipes::new(plant, &row.id)).collect();
        let events = (0..self.bursts).filter_map(|number| {
            let network = networks.get(number % networks.len().max(1))?;
            let share = random.between(self.shares.0, self.shares.1);
            let fitting: Vec<&PipeChoice> =
                network.pipes.iter().filter(|pipe| pipe.limit_kg_s >= share * network.design_kg_s).collect();
            let pipe = fitting.get(random.below(fitting.len().max(1)))?;
            let position = random.between(0.05, 0.95);
            let after = self.quiet + self.every * u32::try_from(number).ok()?;
            // Not on the full minute, as real bursts are not.
            let after = after + Duration::from_secs(u64::try_from(random.below(50)).ok()?);
            Some(ScriptedEvent {
                name: Some(format!("burst-{:03}", number + 1)),
                network: network.id.clone(),
                after,
                lasts: self.lasts,
                what: Happening::Burst {
                    pipe: pipe.id.clone(),
                    position,
                    size: LeakSize::ShareOfCirculation(share),
                },
            })
        });
        Script { events: events.collect() }
    }

    /// From the script's zero until the last burst is recovered from.
    pub fn duration(&self) -> Duration {
        self.quiet + self.every * u32::try_from(self.bursts + 2).unwrap_or(u32::MAX)
    }
}

struct PipeChoice {
    id: PipeId,
    limit_kg_s: f64,
}

struct NetworkPipes {
    id: NetworkId,
    design_kg_s: f64,
    pipes: Vec<PipeChoice>,
}

impl NetworkPipes {
    fn new(plant: &PlantModel, id: &NetworkId) -> Self {
        let primary = plant
            .circuits
            .iter()
            .find(|circuit| circuit.network == *id && circuit.kind == Some(CircuitKind::Primary));
        let circuit = primary.map(|circuit| &circuit.id);
        let pipes = plant.pipes.iter().filter(|pipe| Some(&pipe.circuit) == circuit).map(|pipe| {
            let diameter = pipe.inner_diameter_mm.unwrap_or(0.0) / 1e3;
            let area = std::f64::consts::PI / 4.0 * diameter * diameter;
            PipeChoice { id: pipe.id.clone(), limit_kg_s: area * 970.0 * VELOCITY_MAX_M_S }
        });
        Self {
            id: id.clone(),
            design_kg_s: primary.and_then(|circuit| circuit.design_flow_kg_s).unwrap_or(0.0),
            pipes: pipes.collect(),
        }
    }
}
