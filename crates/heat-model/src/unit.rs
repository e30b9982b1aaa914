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

const fn unit(dimension: Dimension, scale: f64) -> Option<Unit> {
    Some(Unit { dimension, scale, offset: 0.0 })
}

impl Unit {
    /// Looks a unit up as people write it; `None` if it is not known.
    ///
    /// Upper and lower case count (MW is not mW); surrounding spaces do not. `³`, `^3` and `℃`, `°C` are understood.
    pub fn parse(text: &str) -> Option<Self> {
        use Dimension as D;
        match text.trim() {
            "degC" | "°C" | "℃" | "C" | "Cel" | "celsius" => unit(D::Temperature, 1.0),
            "K" | "kelvin" => Some(Self { dimension: D::Temperature, scale: 1.0, offset: -273.15 }),
            "degF" | "°F" | "F" => {
                Some(Self { dimension: D::Temperature, scale: 5.0 / 9.0, offset: -160.0 / 9.0 })
            }
            "Pa" => unit(D::Pressure, 1.0),
            "hPa" | "mbar" => unit(D::Pressure, 100.0),
            "kPa" => unit(D::Pressure, 1e3),
            "MPa" => unit(D::Pressure, 1e6),
            "bar" | "barg" | "bar(g)" => unit(D::Pressure, 1e5),
            "kgf/cm2" | "kgf/cm²" | "at" => unit(D::Pressure, 98_066.5),
            "mH2O" | "mWC" | "mWS" => unit(D::Pressure, 9_806.65),
            "kg/s" => unit(D::MassFlow, 1.0),
            "kg/h" => unit(D::MassFlow, 1.0 / 3_600.0),
            "t/h" => unit(D::MassFlow, 1_000.0 / 3_600.0),
            "m3/s" | "m³/s" | "m^3/s" => unit(D::VolumeFlow, 1.0),
            "m3/h" | "m³/h" | "m^3/h" => unit(D::VolumeFlow, 1.0 / 3_600.0),
            "L/s" | "l/s" => unit(D::VolumeFlow, 1e-3),
            "L/min" | "l/min" => unit(D::VolumeFlow, 1e-3 / 60.0),
            "L/h" | "l/h" => unit(D::VolumeFlow, 1e-3 / 3_600.0),
            "W" => unit(D::Power, 1.0),
            "kW" => unit(D::Power, 1e3),
            "MW" => unit(D::Power, 1e6),
            "GJ/h" => unit(D::Power, 1e9 / 3_600.0),
            "J" => unit(D::Energy, 1.0),
            "kJ" => unit(D::Energy, 1e3),
            "MJ" => unit(D::Energy, 1e6),
            "GJ" => unit(D::Energy, 1e9),
            "Wh" => unit(D::Energy, 3.6e3),
            "kWh" => unit(D::Energy, 3.6e6),
            "MWh" => unit(D::Energy, 3.6e9),
            "GWh" => unit(D::Energy, 3.6e12),
            "Gcal" => unit(D::Energy, 4.184e9),
            "m3" | "m³" | "m^3" => unit(D::Volume, 1.0),
            "L" | "l" => unit(D::Volume, 1e-3),
            "m" => unit(D::Length, 1.0),
            "cm" => unit(D::Length, 1e-2),
            "mm" => unit(D::Length, 1e-3),
            "1" | "" => unit(D::Ratio, 1.0),
            "%" => unit(D::Ratio, 1e-2),
            "ohm" | "Ohm" | "Ω" => unit(D::Resistance, 1.0),
            "kohm" | "kOhm" | "kΩ" => unit(D::Resistance, 1e3),
            "Mohm" | "MOhm" | "MΩ" => unit(D::Resistance, 1e6),
            "kg" => unit(D::Mass, 1.0),
            "t" => unit(D::Mass, 1e3),
            "m/s2" | "m/s²" => unit(D::Acceleration, 1.0),
            "g" => unit(D::Acceleration, 9.806_65),
            "A" => unit(D::Current, 1.0),
            "mA" => unit(D::Current, 1e-3),
            "V" => unit(D::Voltage, 1.0),
            "mV" => unit(D::Voltage, 1e-3),
            "s" => unit(D::Time, 1.0),
            "min" => unit(D::Time, 60.0),
            "h" => unit(D::Time, 3_600.0),
            "Hz" => unit(D::Frequency, 1.0),
            _ => None,
        }
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
    fn another_name_keeps_its_unknown_unit() {
        assert_eq!(conversion("vibration", Some("furlong")), Ok(("furlong".into(), 1.0, 0.0)));
    }
}
