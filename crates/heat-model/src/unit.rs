//! Units as they are written in payloads and tables, and their linear conversion to SI.
//!
//! `value = raw * scale + offset`. A volume flow stays a volume flow: turning it into kg/s needs the temperature at
//! the meter, which is another signal. Pressures are gauge. Factors: BIPM, The International System of Units (SI
//! Brochure), 9th edition; calorie (thermochemical) 4.184 J; kgf from standard gravity 9.80665 m/s2.

/// What kind of quantity a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// degC.
    Temperature,
    /// Pa.
    Pressure,
    /// kg/s.
    MassFlow,
    /// m3/s.
    VolumeFlow,
    /// W.
    Power,
    /// J.
    Energy,
    /// m3.
    Volume,
    /// m.
    Length,
    /// Ratio, 1.
    Ratio,
    /// Ohm.
    Resistance,
    /// kg.
    Mass,
    /// m/s2.
    Acceleration,
    /// A.
    Current,
    /// V.
    Voltage,
    /// s.
    Time,
    /// Hz.
    Frequency,
}

impl Dimension {
    /// The SI unit of `value`.
    pub const fn si(self) -> &'static str {
        match self {
            Self::Temperature => "degC",
            Self::Pressure => "Pa",
            Self::MassFlow => "kg/s",
            Self::VolumeFlow => "m3/s",
            Self::Power => "W",
            Self::Energy => "J",
            Self::Volume => "m3",
            Self::Length => "m",
            Self::Ratio => "1",
            Self::Resistance => "ohm",
            Self::Mass => "kg",
            Self::Acceleration => "m/s2",
            Self::Current => "A",
            Self::Voltage => "V",
            Self::Time => "s",
            Self::Frequency => "Hz",
        }
    }
}

/// A unit that we know: its dimension and conversion to SI.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// What it measures.
    pub dimension: Dimension,
    /// Factor to SI.
    pub scale: f64,
    /// Summand to SI.
    pub offset: f64,
}

/// Units as people write them, the plainest spelling first, with factor and summand to SI.
const UNITS: [(&[&str], Dimension, f64, f64); 53] = {
    use Dimension as D;
    [
        (&["degC", "°C", "℃", "C", "Cel", "celsius"], D::Temperature, 1.0, 0.0),
        (&["K", "kelvin"], D::Temperature, 1.0, -273.15),
        (&["degF", "°F", "F"], D::Temperature, 5.0 / 9.0, -160.0 / 9.0),
        (&["Pa"], D::Pressure, 1.0, 0.0),
        (&["hPa", "mbar"], D::Pressure, 100.0, 0.0),
        (&["kPa"], D::Pressure, 1e3, 0.0),
        (&["MPa"], D::Pressure, 1e6, 0.0),
        (&["bar", "barg", "bar(g)"], D::Pressure, 1e5, 0.0),
        (&["kgf/cm2", "kgf/cm²", "at"], D::Pressure, 98_066.5, 0.0),
        (&["mH2O", "mWC", "mWS"], D::Pressure, 9_806.65, 0.0),
        (&["kg/s"], D::MassFlow, 1.0, 0.0),
        (&["kg/h"], D::MassFlow, 1.0 / 3_600.0, 0.0),
        (&["t/h"], D::MassFlow, 1_000.0 / 3_600.0, 0.0),
        (&["m3/s", "m³/s", "m^3/s"], D::VolumeFlow, 1.0, 0.0),
        (&["m3/h", "m³/h", "m^3/h"], D::VolumeFlow, 1.0 / 3_600.0, 0.0),
        (&["L/s", "l/s"], D::VolumeFlow, 1e-3, 0.0),
        (&["L/min", "l/min"], D::VolumeFlow, 1e-3 / 60.0, 0.0),
        (&["L/h", "l/h"], D::VolumeFlow, 1e-3 / 3_600.0, 0.0),
        (&["W"], D::Power, 1.0, 0.0),
        (&["kW"], D::Power, 1e3, 0.0),
        (&["MW"], D::Power, 1e6, 0.0),
        (&["GJ/h"], D::Power, 1e9 / 3_600.0, 0.0),
        (&["J"], D::Energy, 1.0, 0.0),
        (&["kJ"], D::Energy, 1e3, 0.0),
        (&["MJ"], D::Energy, 1e6, 0.0),
        (&["GJ"], D::Energy, 1e9, 0.0),
        (&["Wh"], D::Energy, 3.6e3, 0.0),
        (&["kWh"], D::Energy, 3.6e6, 0.0),
        (&["MWh"], D::Energy, 3.6e9, 0.0),
        (&["GWh"], D::Energy, 3.6e12, 0.0),
        (&["Gcal"], D::Energy, 4.184e9, 0.0),
        (&["m3", "m³", "m^3"], D::Volume, 1.0, 0.0),
        (&["L", "l"], D::Volume, 1e-3, 0.0),
        (&["m"], D::Length, 1.0, 0.0),
        (&["cm"], D::Length, 1e-2, 0.0),
        (&["mm"], D::Length, 1e-3, 0.0),
        (&["1", ""], D::Ratio, 1.0, 0.0),
        (&["%"], D::Ratio, 1e-2, 0.0),
        (&["ohm", "Ohm", "Ω"], D::Resistance, 1.0, 0.0),
        (&["kohm", "kOhm", "kΩ"], D::Resistance, 1e3, 0.0),
        (&["Mohm", "MOhm", "MΩ"], D::Resistance, 1e6, 0.0),
        (&["kg"], D::Mass, 1.0, 0.0),
        (&["t"], D::Mass, 1e3, 0.0),
        (&["m/s2", "m/s²"], D::Acceleration, 1.0, 0.0),
        (&["g"], D::Acceleration, 9.806_65, 0.0),
        (&["A"], D::Current, 1.0, 0.0),
        (&["mA"], D::Current, 1e-3, 0.0),
        (&["V"], D::Voltage, 1.0, 0.0),
        (&["mV"], D::Voltage, 1e-3, 0.0),
        (&["s"], D::Time, 1.0, 0.0),
        (&["min"], D::Time, 60.0, 0.0),
        (&["h"], D::Time, 3_600.0, 0.0),
        (&["Hz"], D::Frequency, 1.0, 0.0),
    ]
};

impl Unit {
    /// Looks a unit up as people write it; `None` if it is not known.
    ///
    /// Upper and lower case count (MW is not mW); surrounding spaces do not. `³`, `^3` and `℃`, `°C` are understood.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (_, dimension, scale, offset) = UNITS.into_iter().find(|(names, ..)| names.contains(&text))?;
        Some(Self { dimension, scale, offset })
    }

    /// The plainest spellings of the units that measure one of these.
    pub fn spellings(dimensions: &[Dimension]) -> impl Iterator<Item = &'static str> {
        UNITS.iter().filter(|(_, dimension, ..)| dimensions.contains(dimension)).map(|(names, ..)| names[0])
    }
}

/// A standard signal name without the prefix `primary_` or `secondary_`, and the dimensions that its unit may have;
/// the first is the one assumed where no unit is given.
pub fn standard_dimensions(name: &str) -> Option<&'static [Dimension]> {
    use Dimension as D;
    let base = name.strip_prefix("primary_").or_else(|| name.strip_prefix("secondary_")).unwrap_or(name);
    Some(match base {
        "supply_temperature"
        | "return_temperature"
        | "outdoor_temperature"
        | "indoor_temperature"
        | "set_point_temperature"
        | "make_up_temperature"
        | "steam_temperature"
        | "condensate_temperature" => &[D::Temperature],
        "supply_pressure" | "return_pressure" | "differential_pressure" | "steam_pressure" => &[D::Pressure],
        "supply_flow" | "return_flow" | "make_up_flow" | "relief_flow" | "flow" => {
            &[D::VolumeFlow, D::MassFlow]
        }
        "steam_flow" | "condensate_flow" => &[D::MassFlow, D::VolumeFlow],
        "heat_power" | "planned_heat_power" | "available_heat_power" => &[D::Power],
        "heat_energy" => &[D::Energy],
        "volume" | "make_up_volume" => &[D::Volume],
        "make_up_tank_level" | "chamber_water_level" => &[D::Length],
        "valve_opening" | "pump_speed" | "pump_running" | "make_up_pump_running" | "power_supply" => {
            &[D::Ratio]
        }
        "leak_wire_resistance" => &[D::Resistance],
        _ => return None,
    })
}

/// Why a value's unit cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFault {
    /// Nobody knows this unit for a standard name.
    Unknown,
    /// The unit measures something else than the standard name says.
    WrongDimension,
}

impl UnitFault {
    /// What is wrong with the unit of a standard name, and what may stand in its place.
    pub fn explain(self, name: &str, unit: &str) -> String {
        let dimensions = standard_dimensions(name).unwrap_or_default();
        let fits = Unit::spellings(dimensions).collect::<Vec<_>>().join(", ");
        let problem = match self {
            Self::Unknown => format!("{unit:?} is not a known unit"),
            Self::WrongDimension => format!("{unit:?} does not measure a {name}"),
        };
        let is_head = dimensions == [Dimension::Pressure]
            && Unit::parse(unit).is_some_and(|unit| unit.dimension == Dimension::Length);
        let head = if is_head { "; a head in metres of water is mH2O" } else { "" };
        format!("{problem}: write one of {fits}{head}")
    }
}

/// How a raw value of this name and unit becomes SI: `(SI unit, scale, offset)`.
///
/// A standard name demands a unit of its dimension. Any other name keeps an unknown unit as it is, unconverted.
pub fn conversion(name: &str, raw_unit: Option<&str>) -> Result<(Box<str>, f64, f64), UnitFault> {
    match (standard_dimensions(name), raw_unit) {
        (Some(dimensions), None) => Ok((dimensions[0].si().into(), 1.0, 0.0)),
        (Some(dimensions), Some(text)) => {
            let unit = Unit::parse(text).ok_or(UnitFault::Unknown)?;
            if !dimensions.contains(&unit.dimension) {
                return Err(UnitFault::WrongDimension);
            }
            Ok((unit.dimension.si().into(), unit.scale, unit.offset))
        }
        (None, None) => Ok(("".into(), 1.0, 0.0)),
        (None, Some(text)) => Ok(match Unit::parse(text) {
            Some(unit) => (unit.dimension.si().into(), unit.scale, unit.offset),
            None => (text.into(), 1.0, 0.0),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn si(name: &str, unit: &str, raw: f64) -> f64 {
        let (_, scale, offset) = conversion(name, Some(unit)).unwrap();
        raw * scale + offset
    }

    #[test]
    fn common_units_become_si() {
        for (name, unit, raw, expected) in [
            ("make_up_flow", "m3/h", 3.6, 0.001),
            ("supply_pressure", "MPa", 0.8, 8e5),
            ("supply_temperature", "K", 373.15, 100.0),
            ("supply_temperature", "degF", 212.0, 100.0),
            ("heat_power", "GJ/h", 3.6, 1e6),
            ("steam_flow", "t/h", 3.6, 1.0),
        ] {
            assert!((si(name, unit, raw) - expected).abs() < 1e-9 * expected.abs().max(1.0), "{name} {unit}");
        }
    }

    #[test]
    fn a_standard_name_refuses_a_unit_of_another_dimension() {
        assert_eq!(conversion("supply_temperature", Some("bar")), Err(UnitFault::WrongDimension));
        assert_eq!(conversion("supply_temperature", Some("furlong")), Err(UnitFault::Unknown));
    }

    #[test]
    fn a_wrong_unit_is_told_with_those_that_fit() {
        let told = UnitFault::WrongDimension.explain("primary_supply_pressure", "m");
        assert_eq!(
            told,
            "\"m\" does not measure a primary_supply_pressure: write one of Pa, hPa, kPa, MPa, bar, kgf/cm2, mH2O; a head in \
             metres of water is mH2O"
        );
        let told = UnitFault::Unknown.explain("supply_flow", "tph");
        assert!(
            told.starts_with("\"tph\" is not a known unit: write one of kg/s, kg/h, t/h, m3/s"),
            "{told}"
        );
    }

    #[test]
    fn no_spelling_stands_for_two_units() {
        let mut all: Vec<&str> = UNITS.iter().flat_map(|(names, ..)| names.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn another_name_keeps_its_unknown_unit() {
        assert_eq!(conversion("vibration", Some("furlong")), Ok(("furlong".into(), 1.0, 0.0)));
    }
}
