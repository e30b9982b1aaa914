//! Values that a quantity cannot have, whatever its past: a room at 150 degC, a pressure below nothing.
//!
//! The bounds are those of physics and of what heating networks are built for, wide enough that no plant reaches them. A
//! value beyond is no measurement from the first one on; the signal is told when it has come more than once or twice, for a
//! single one is a hiccup. What stands for "no value" is a word of its own and told as such.

use serde::{Deserialize, Serialize};

use crate::{bins::BIN_US, layout::Role};

/// Values beyond within a day after which it is told.
const HITS: u8 = 3;
const DAY_US: i64 = 24 * 3_600_000_000;

/// Smallest and largest value that a quantity can have, SI; `None` where nothing is too much. Openings may be shares or
/// percent; pressures are gauge pressures, those of old networks and test pumps included.
const fn bounds(role: Role) -> Option<(f64, f64)> {
    if matches!(role, Role::OutdoorTemperature) {
        Some((-60.0, 60.0))
    } else if matches!(role, Role::IndoorTemperature) {
        Some((-10.0, 60.0))
    } else if matches!(role, Role::ValveOpening) {
        Some((-0.1, 110.0))
    } else if role.is_pressure()
        || matches!(role, Role::SecondarySupplyPressure | Role::SecondaryReturnPressure)
    {
        let least = if matches!(role, Role::DifferentialPressure) { -2_000_000.0 } else { -110_000.0 };
        Some((least, 4_000_000.0))
    } else if role.is_flow()
        || matches!(role, Role::SecondarySupplyFlow | Role::SecondaryReturnFlow | Role::SecondaryMakeUpFlow)
    {
        // kg/s: the largest mains carry a tenth of it.
        Some((-50_000.0, 50_000.0))
    } else if matches!(role, Role::SteamTemperature) {
        // Boilers of power plants superheat to 600 degC.
        Some((-60.0, 700.0))
    } else if role.is_temperature() {
        // Water networks are built for 200 degC at most; pipes that stand empty follow the weather.
        Some((-60.0, 220.0))
    } else if matches!(role, Role::HeatPower | Role::PlannedHeatPower | Role::AvailableHeatPower) {
        // W: the largest networks as a whole have a tenth of it.
        Some((-5e10, 5e10))
    } else if matches!(role, Role::MakeUpTankLevel | Role::ChamberWaterLevel) {
        Some((-10.0, 100.0))
    } else {
        None
    }
}

/// What a signal had beyond what it can have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Beyond {
    hits: u8,
    first_us: i64,
    at_us: i64,
    value: f64,
}

impl Beyond {
    /// Takes a value; whether it lies beyond what the quantity can have.
    pub(super) fn take(&mut self, role: Role, at_us: i64, value: f64) -> bool {
        let is_beyond = bounds(role).is_some_and(|(least, most)| !(least..=most).contains(&value));
        if is_beyond {
            if self.hits == 0 || at_us - self.at_us > DAY_US {
                (self.hits, self.first_us) = (0, at_us);
            }
            self.hits = self.hits.saturating_add(1);
            self.at_us = at_us;
            self.value = value;
        }
        is_beyond
    }

    /// Whether it shows now, more often than by a hiccup.
    pub(super) const fn shows(&self, at_us: i64) -> bool {
        self.hits >= HITS && at_us - self.at_us <= 2 * BIN_US
    }

    pub(super) const fn since_us(&self) -> i64 {
        self.first_us
    }

    pub(super) const fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_quantity_cannot_have_is_beyond_and_its_extremes_are_not() {
        let is_beyond = |role: Role, value: f64| Beyond::default().take(role, 0, value);
        for (role, possible, impossible) in [
            (Role::IndoorTemperature, [-9.0, 45.0], [-20.0, 150.0]),
            (Role::OutdoorTemperature, [-55.0, 50.0], [-70.0, 85.0]),
            (Role::SupplyPressure, [-1e5, 2.5e6], [-5e6, 5e6]),
            (Role::ValveOpening, [0.0, 100.0], [-1.0, 4_095.0]),
            (Role::SupplyFlow, [-1.0, 4_000.0], [-1e6, 1e6]),
            (Role::SupplyTemperature, [-20.0, 180.0], [-80.0, 350.0]),
            (Role::SecondaryReturnTemperature, [5.0, 90.0], [-80.0, 350.0]),
            (Role::SteamTemperature, [20.0, 540.0], [-80.0, 900.0]),
            (Role::HeatPower, [-1e6, 2e9], [-1e12, 1e12]),
            (Role::MakeUpTankLevel, [0.0, 12.0], [-50.0, 4_095.0]),
        ] {
            assert!(possible.iter().all(|value| !is_beyond(role, *value)), "{role:?}");
            assert!(impossible.iter().all(|value| is_beyond(role, *value)), "{role:?}");
        }
        assert!(!is_beyond(Role::HeatEnergy, 1e15), "a counter counts on");
    }

    #[test]
    fn one_value_beyond_is_a_hiccup_and_three_in_a_day_are_told() {
        let mut beyond = Beyond::default();
        for day in 0..5 {
            beyond.take(Role::IndoorTemperature, 2 * day * DAY_US, 150.0);
            assert!(!beyond.shows(2 * day * DAY_US), "once in two days");
        }
        for minute in 0..3 {
            beyond.take(Role::IndoorTemperature, 20 * DAY_US + minute * 60_000_000, 150.0);
        }
        assert!(beyond.shows(20 * DAY_US + BIN_US) && !beyond.shows(20 * DAY_US + 3 * BIN_US));
    }
}
