//! The circuits that a network's sources feed: which carry water and which steam, and their calendars.

use std::collections::BTreeMap;

use heat_model::{
    CircuitId, EventTime, NetworkId,
    plant::{Circuit, CircuitKind, Medium, PlantModel, SeasonState},
};

/// The primary circuits of a network that carry a medium, in the order of the tables.
pub(crate) fn primaries<'a>(
    network: &'a NetworkId,
    plant: &'a PlantModel,
    medium: Medium,
) -> impl Iterator<Item = &'a Circuit> {
    plant.circuits.iter().filter(move |circuit| {
        circuit.network == *network
            && circuit.kind.unwrap_or_default() == CircuitKind::Primary
            && plant.medium(circuit) == medium
    })
}

type Calendar = Vec<(EventTime, SeasonState)>;

/// When circuits change their state, by the plant tables.
#[derive(Debug, Default)]
pub(crate) struct Calendars {
    circuits: BTreeMap<CircuitId, Calendar>,
    network: Calendar,
}

impl Calendars {
    pub(super) fn new(network: &NetworkId, plant: &PlantModel) -> Self {
        let own = plant.circuits.iter().filter(|circuit| circuit.network == *network);
        let circuits = own.map(|circuit| (circuit.id.clone(), plant.calendar(network, Some(circuit))));
        Self { circuits: circuits.collect(), network: plant.calendar(network, None) }
    }

    /// Of a circuit, or of what a network without circuits has.
    pub(crate) fn of(&self, circuit: Option<&CircuitId>) -> &[(EventTime, SeasonState)] {
        match circuit {
            None => &self.network,
            Some(circuit) => self.circuits.get(circuit).map_or(&[], Vec::as_slice),
        }
    }
}
