//! Which metric a signal becomes.
//!
//! A standard name becomes `heat_<name>_<base unit>`: `supply_temperature` in degC is
//! `heat_supply_temperature_celsius{network,site,device}`. The prefixes `primary_` and `secondary_` become the label
//! `circuit`, so that one query spans both; without a prefix the label is absent. A name that begins with `heat_` does
//! not repeat the prefix (`heat_power_watts`). States (`pump_running`, `make_up_pump_running`, `power_supply`) are 0 or 1
//! and carry no unit. Meters' registers (`heat_energy`, `volume`, `make_up_volume`) are counters and end in `_total`.
//! Every other name is `heat_signal_value{network,site,device,name,unit}`, in the unit that it has.

use heat_model::{
    SignalName,
    unit::{Unit, standard_dimensions},
};

/// The family of names without a standard.
pub const GENERIC: &str = "heat_signal_value";

/// The standard names, without the prefixes of circuits.
pub const STANDARD_NAMES: [&str; 30] = [
    "supply_temperature",
    "return_temperature",
    "outdoor_temperature",
    "indoor_temperature",
    "set_point_temperature",
    "make_up_temperature",
    "steam_temperature",
    "condensate_temperature",
    "supply_pressure",
    "return_pressure",
    "differential_pressure",
    "steam_pressure",
    "supply_flow",
    "return_flow",
    "make_up_flow",
    "relief_flow",
    "steam_flow",
    "condensate_flow",
    "heat_power",
    "heat_energy",
    "volume",
    "make_up_volume",
    "make_up_tank_level",
    "chamber_water_level",
    "valve_opening",
    "pump_speed",
    "pump_running",
    "make_up_pump_running",
    "power_supply",
    "leak_wire_resistance",
];

/// What Prometheus is told of a metric's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// A meter's register.
    Counter,
}

impl Kind {
    /// The word in `# TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// A signal's place among the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The metric's name.
    pub metric: String,
    /// Its type.
    pub kind: Kind,
    /// Its help.
    pub help: String,
    /// The label `circuit`, where the name tells it.
    pub circuit: Option<&'static str>,
    /// Whether name and unit are labels, because the metric's name does not say them.
    pub generic: bool,
}

impl Family {
    /// The family of a signal by its name and the SI unit of its values.
    pub fn of(name: &SignalName, unit: &str) -> Self {
        let text = name.as_str();
        let (circuit, base) = match (text.strip_prefix("primary_"), text.strip_prefix("secondary_")) {
            (Some(base), _) => (Some("primary"), base),
            (None, Some(base)) => (Some("secondary"), base),
            (None, None) => (None, text),
        };
        let standard = standard_dimensions(base)
            .zip(Unit::parse(unit))
            .is_some_and(|(dimensions, unit)| dimensions.contains(&unit.dimension));
        let suffix = base_unit(unit).filter(|_| standard);
        let Some(suffix) = suffix else { return Self::generic() };
        let is_state = matches!(base, "pump_running" | "make_up_pump_running" | "power_supply");
        let is_register = matches!(base, "heat_energy" | "volume" | "make_up_volume");
        let stem = base.strip_prefix("heat_").unwrap_or(base);
        let words = base.replace('_', " ");
        let (metric, help) = if is_state {
            (format!("heat_{stem}"), format!("Last current state of {words}: 0 or 1."))
        } else {
            let total = if is_register { "_total" } else { "" };
            (format!("heat_{stem}_{suffix}{total}"), format!("Last current value of {words}, {unit}."))
        };
        let kind = if is_register { Kind::Counter } else { Kind::Gauge };
        Self { metric, kind, help, circuit, generic: false }
    }

    fn generic() -> Self {
        Self {
            metric: GENERIC.to_owned(),
            kind: Kind::Gauge,
            help: "Last current value of a signal without a standard name, in the unit of its label."
                .to_owned(),
            circuit: None,
            generic: true,
        }
    }
}

/// Prometheus's word for an SI unit.
fn base_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "degC" => "celsius",
        "Pa" => "pascals",
        "kg/s" => "kilograms_per_second",
        "m3/s" => "cubic_meters_per_second",
        "W" => "watts",
        "J" => "joules",
        "m3" => "cubic_meters",
        "m" => "meters",
        "1" => "ratio",
        "ohm" => "ohms",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, unit: &str) -> (String, Option<&'static str>) {
        let family = Family::of(&name.parse().unwrap(), unit);
        (family.metric, family.circuit)
    }

    #[test]
    fn standard_names_carry_their_base_unit_and_prefixes_become_a_label() {
        for (name, unit, expected, circuit) in [
            ("supply_temperature", "degC", "heat_supply_temperature_celsius", None),
            ("primary_return_pressure", "Pa", "heat_return_pressure_pascals", Some("primary")),
            ("secondary_supply_flow", "kg/s", "heat_supply_flow_kilograms_per_second", Some("secondary")),
            ("supply_flow", "m3/s", "heat_supply_flow_cubic_meters_per_second", None),
            ("heat_power", "W", "heat_power_watts", None),
            ("heat_energy", "J", "heat_energy_joules_total", None),
            ("make_up_volume", "m3", "heat_make_up_volume_cubic_meters_total", None),
            ("pump_running", "1", "heat_pump_running", None),
            ("valve_opening", "1", "heat_valve_opening_ratio", None),
        ] {
            assert_eq!(metric(name, unit), (expected.to_owned(), circuit), "{name}");
        }
    }

    #[test]
    fn every_standard_name_has_a_metric_of_its_own_in_each_of_its_units() {
        for name in STANDARD_NAMES {
            let dimensions = standard_dimensions(name).unwrap();
            for dimension in dimensions {
                assert!(!Family::of(&name.parse().unwrap(), dimension.si()).generic, "{name}");
            }
        }
    }

    #[test]
    fn other_names_and_units_that_do_not_fit_are_generic() {
        for (name, unit) in [("vibration", "m/s2"), ("supply_temperature", "Pa"), ("", "1")] {
            if let Ok(name) = name.parse() {
                let family = Family::of(&name, unit);
                assert!(family.generic && family.metric == GENERIC, "{name}");
            }
        }
    }
}
