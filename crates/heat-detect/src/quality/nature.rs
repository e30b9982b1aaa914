//! What a signal of a role does by nature.

use crate::layout::Role;

/// Whether a signal of this role may rightly stand still for hours.
pub(crate) const fn may_stand_still(role: Role) -> bool {
    match role {
        Role::SupplyFlow
        | Role::ReturnFlow
        | Role::SupplyPressure
        | Role::ReturnPressure
        | Role::DifferentialPressure
        | Role::SupplyTemperature
        | Role::ReturnTemperature
        | Role::HeatPower
        | Role::OutdoorTemperature
        | Role::IndoorTemperature
        | Role::SteamFlow
        | Role::SteamPressure
        | Role::SteamTemperature
        | Role::CondensateFlow
        | Role::CondensateTemperature
        | Role::SecondarySupplyTemperature
        | Role::SecondaryReturnTemperature
        | Role::SecondarySupplyPressure
        | Role::SecondaryReturnPressure
        | Role::SecondarySupplyFlow
        | Role::SecondaryReturnFlow => false,
        Role::MakeUpFlow
        | Role::MakeUpTemperature
        | Role::MakeUpVolume
        | Role::ReliefFlow
        | Role::MakeUpTankLevel
        | Role::PlannedHeatPower
        | Role::AvailableHeatPower
        | Role::HeatEnergy
        | Role::Volume
        | Role::SetPointTemperature
        | Role::PumpRunning
        | Role::PumpSpeed
        | Role::MakeUpPumpRunning
        | Role::PowerSupply
        | Role::ValveOpening
        | Role::ChamberWaterLevel
        | Role::LeakWireResistance
        | Role::SecondarySetPointTemperature
        | Role::SecondaryMakeUpFlow
        | Role::SecondaryMakeUpVolume => true,
    }
}

/// Whether it is a flow, or the heat that goes with it: they may stand for as long as the plant does.
pub(super) const fn is_stream(role: Role) -> bool {
    matches!(
        role,
        Role::SupplyFlow
            | Role::ReturnFlow
            | Role::HeatPower
            | Role::SteamFlow
            | Role::CondensateFlow
            | Role::SecondarySupplyFlow
            | Role::SecondaryReturnFlow
    )
}

/// Whether it counts water that is fed: what it counted since its last value is of use, and not where it stands.
pub(crate) const fn counts_feed(role: Role) -> bool {
    matches!(role, Role::MakeUpVolume | Role::SecondaryMakeUpVolume)
}

pub(super) const fn is_counter(role: Role) -> bool {
    counts_feed(role) || matches!(role, Role::HeatEnergy | Role::Volume)
}

/// Whether a counter went from just below its top to just above zero: a power of ten of what it counts in. Values here are
/// SI, so the tops of kWh and MWh are 3.6 times a power of ten J.
pub(super) fn rolled_over(role: Role, before: f64, after: f64) -> bool {
    let units: &[f64] = if role == Role::HeatEnergy { &[1.0, 3.6] } else { &[1.0] };
    units.iter().any(|unit| {
        let top = unit * 10_f64.powf((before / unit).max(1e-9).log10().ceil());
        before > 0.95 * top && after < 0.05 * top
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_rolls_over_is_not_reset() {
        assert!(rolled_over(Role::Volume, 99_999.0, 3.0));
        assert!(!rolled_over(Role::Volume, 51_000.0, 3.0));
        assert!(!rolled_over(Role::Volume, 35_999.0, 3.0), "no counter of volume ends there");
    }
}
