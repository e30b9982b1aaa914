//! What a station's named fault costs, summed over the season: the order in which summer maintenance begins.
//!
//! A return that is too warm makes the station draw flow that carries no heat; too much heat is burnt for nothing.
//! Both are kept as they are, and as the capacity that they take from the network: excess flow times what it could have
//! carried at the station's own cooling, plus excess heat. Stations are ranked by that.

use serde::{Deserialize, Serialize};

use super::{
    say::{Kind, Said},
    station::{self, Station},
};
use crate::{bins::BIN_SECONDS, network::statements::Fact};

const HEAT_CAPACITY_J_KG_K: f64 = 4_190.0;

/// Sums of one station.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Water that was pumped for nothing, kg.
    pub(crate) excess_kg: f64,
    /// Heat that was delivered for nothing, J.
    pub(crate) excess_j: f64,
    /// Capacity of the network that both took, J.
    pub(crate) capacity_j: f64,
    /// Quarter hours with a named fault that costs.
    pub(crate) bins: u32,
}

/// What a fault costs now: kg/s and W.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Excess {
    pub(super) kg_s: f64,
    pub(super) watts: f64,
}

impl Excess {
    /// As evidence: what costs nothing is left out.
    pub(super) fn facts(self) -> Vec<Fact> {
        [("excess_flow", self.kg_s, "kg/s"), ("excess_heat", self.watts, "W")]
            .into_iter()
            .filter(|(_, value, _)| *value > 0.0)
            .map(|(what, value, unit)| Fact { signal: None, what, value, unit })
            .collect()
    }
}

/// What one case has cost: water that was pumped for nothing, kg, and heat that was delivered for nothing, J.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spent {
    kg: f64,
    joules: f64,
}

impl Spent {
    /// Adds a quarter hour.
    pub(super) fn add(&mut self, excess: Excess) {
        self.kg += excess.kg_s * BIN_SECONDS as f64;
        self.joules += excess.watts * BIN_SECONDS as f64;
    }

    /// Adds heat, J.
    pub(super) fn add_heat(&mut self, joules: f64) {
        self.joules += joules;
    }

    /// As evidence: what costs nothing is left out.
    pub(super) fn facts(self) -> Vec<Fact> {
        [("excess_flow_total", self.kg, "kg"), ("excess_heat_total", self.joules, "J")]
            .into_iter()
            .filter(|(_, value, _)| *value > 0.0)
            .map(|(what, value, unit)| Fact { signal: None, what, value, unit })
            .collect()
    }
}

/// What a fault of a station costs now, as far as it is measured now.
pub(super) fn excess(station: &Station, said: Said, bin: i64) -> Excess {
    let Said::Kind(kind) = said else { return Excess::default() };
    let is_measured = |channel: usize| station.bank.is_fresh(channel, bin);
    let kg_s = match (kind, station.context) {
        (Kind::HighReturn | Kind::Fouled | Kind::ShortCircuit | Kind::StuckValve, Some(context))
            if is_measured(station::PINCH) =>
        {
            let warmer = station.bank.off_by(station::PINCH).max(0.0);
            context.flow * warmer / (context.cooling + warmer).max(1.0)
        }
        _ => 0.0,
    };
    let off = station.bank.off_by(station::HEAT);
    let watts = match kind {
        Kind::Overheating | Kind::StuckValve if is_measured(station::HEAT) => {
            station.usual_heat() * (off.exp() - 1.0).max(0.0)
        }
        Kind::Overheating
        | Kind::StuckValve
        | Kind::HighReturn
        | Kind::Fouled
        | Kind::ShortCircuit
        | Kind::BelowSetPoint
        | Kind::PumpFailure
        | Kind::Underheating
        | Kind::BlockedStrainer
        | Kind::Hunting
        | Kind::SetbackLost
        | Kind::ColdArrival
        | Kind::ColdSupply
        | Kind::HotSupply
        | Kind::BelowPlan
        | Kind::AbovePlan
        | Kind::CapacityReserve => 0.0,
    };
    Excess { kg_s, watts }
}

impl Costs {
    /// Adds a quarter hour.
    pub(super) fn add(&mut self, excess: Excess, cooling: f64) {
        if excess == Excess::default() {
            return;
        }
        let seconds = BIN_SECONDS as f64;
        self.bins = self.bins.saturating_add(1);
        self.excess_kg += excess.kg_s * seconds;
        self.excess_j += excess.watts * seconds;
        self.capacity_j += (excess.kg_s * HEAT_CAPACITY_J_KG_K * cooling.max(0.0) + excess.watts) * seconds;
    }

    /// Adds heat that was delivered for nothing, J.
    pub(super) fn add_heat(&mut self, joules: f64) {
        self.bins = self.bins.saturating_add(96);
        self.excess_j += joules;
        self.capacity_j += joules;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_flow_is_ranked_by_the_heat_that_it_could_have_carried() {
        let (mut flow, mut heat) = (Costs::default(), Costs::default());
        flow.add(Excess { kg_s: 1.0, watts: 0.0 }, 40.0);
        heat.add(Excess { kg_s: 0.0, watts: 100_000.0 }, 40.0);
        assert!((flow.excess_kg - 900.0).abs() < 1e-9);
        assert!(flow.capacity_j > heat.capacity_j, "4.19 kJ times 40 K is 168 kW");
    }
}
