//! From causes to statements: class, kind, place, what it costs.

use heat_model::incident::Class;
use serde::{Deserialize, Serialize};

use super::{
    bank::Case,
    source,
    station::{self, Station},
};
use crate::{
    incidents::text::TOLD_PROBABILITY,
    layout::{Role, Site},
    network::statements::{Fact, Place, Statement, Telling},
    quality::Fault,
};

/// Heat that must be missing for homes to grow cold, as the logarithm of its share.
const SHORT_OF_HEAT: f64 = -0.1;
/// Where heat is not metered: a secondary supply so far below its set point leaves homes cold, K.
const SHORT_OF_KELVIN: f64 = -4.0;
/// A return warmer than expected by this share of the cooling is a bypass, not a dirty exchanger.
const BYPASS_SHARE: f64 = 0.6;

/// How a statement was made, so that it ends as it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    Sensor(u32, Fault),
    Kind(Kind),
}

/// Kinds that are no sensor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    HighReturn,
    Fouled,
    ShortCircuit,
    StuckValve,
    Overheating,
    BelowSetPoint,
    PumpFailure,
    Underheating,
    BlockedStrainer,
    Hunting,
    SetbackLost,
    ColdArrival,
    ColdSupply,
    HotSupply,
    BelowPlan,
    AbovePlan,
    CapacityReserve,
}

impl Said {
    /// Whether it is of the same class, so that one may turn out to be the other.
    pub(super) fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Sensor(one, _), Self::Sensor(other, _)) => one == other,
            (Self::Kind(one), Self::Kind(other)) => one.class() == other.class(),
            (Self::Sensor(..), Self::Kind(_)) | (Self::Kind(_), Self::Sensor(..)) => false,
        }
    }
}

impl Kind {
    const fn class(self) -> Class {
        match self {
            Self::HighReturn
            | Self::Fouled
            | Self::ShortCircuit
            | Self::StuckValve
            | Self::Overheating
            | Self::BelowSetPoint
            | Self::PumpFailure
            | Self::Hunting
            | Self::SetbackLost
            | Self::ColdArrival => Class::ConsumerThermal,
            Self::Underheating | Self::BlockedStrainer => Class::Underheating,
            Self::ColdSupply
            | Self::HotSupply
            | Self::BelowPlan
            | Self::AbovePlan
            | Self::CapacityReserve => Class::NetworkThermal,
        }
    }

    const fn word(self) -> Option<&'static str> {
        match self {
            Self::HighReturn => Some("high_return"),
            Self::Fouled => Some("fouled"),
            Self::ShortCircuit => Some("short_circuit"),
            Self::StuckValve => Some("stuck_valve"),
            Self::Overheating => Some("overheating"),
            Self::BelowSetPoint => Some("below_set_point"),
            Self::PumpFailure => Some("pump_failure"),
            Self::Underheating => None,
            Self::BlockedStrainer => Some("blocked_strainer"),
            Self::Hunting => Some("hunting"),
            Self::SetbackLost => Some("setback_lost"),
            Self::ColdArrival => Some("cold_arrival"),
            Self::ColdSupply => Some("cold_supply"),
            Self::HotSupply => Some("hot_supply"),
            Self::BelowPlan => Some("below_heat_plan"),
            Self::AbovePlan => Some("above_heat_plan"),
            Self::CapacityReserve => Some("capacity_reserve"),
        }
    }
}

/// What a site's heat meter is known by: its power, else its counter.
fn heat_meter(site: &Site) -> Option<u32> {
    site.signal(Role::HeatPower).or(site.signal(Role::HeatEnergy))
}

/// The signal that a station's cause blames, where it is a sensor.
pub(super) fn station_sensor(site: &Site, cause: station::Cause) -> Option<u32> {
    use station::Cause;
    let signal = |role: Role| site.signal(role);
    match cause {
        Cause::SupplySensor => signal(Role::SupplyTemperature),
        Cause::ReturnSensor => signal(Role::ReturnTemperature),
        Cause::FlowSensor => signal(Role::SupplyFlow).or(signal(Role::ReturnFlow)),
        Cause::SecondarySupplySensor => signal(Role::SecondarySupplyTemperature),
        Cause::SecondaryReturnSensor => signal(Role::SecondaryReturnTemperature),
        Cause::SupplyPressureSensor => signal(Role::SupplyPressure),
        Cause::ReturnPressureSensor => signal(Role::ReturnPressure),
        Cause::HeatMeter => heat_meter(site),
        Cause::HighReturn
        | Cause::Shortfall
        | Cause::Blocked
        | Cause::Surplus
        | Cause::SecondaryPump
        | Cause::Demand
        | Cause::Hydraulics
        | Cause::ColdArrival => None,
    }
}

/// What to say of a station's cause; `None` where the signal that it blames is not there.
pub(super) fn of_station(site: &Site, station: &Station, case: Case, bin: i64) -> Option<Said> {
    use station::Cause;
    let fault = if case.grew { Fault::Drift } else { Fault::Bias };
    let cause = station::CAUSES[usize::from(case.rule)];
    match cause {
        Cause::SupplySensor
        | Cause::ReturnSensor
        | Cause::FlowSensor
        | Cause::SecondarySupplySensor
        | Cause::SecondaryReturnSensor
        | Cause::SupplyPressureSensor
        | Cause::ReturnPressureSensor
        | Cause::HeatMeter => station_sensor(site, cause).map(|signal| Said::Sensor(signal, fault)),
        Cause::HighReturn => {
            let off = station.bank.off_by(station::PINCH);
            let cooling = station.context.map_or(f64::INFINITY, |context| context.cooling);
            Some(Said::Kind(if off > BYPASS_SHARE * (cooling + off) {
                Kind::ShortCircuit
            } else if case.grew {
                Kind::Fouled
            } else {
                Kind::HighReturn
            }))
        }
        Cause::Shortfall if station.is_valve_still() => Some(Said::Kind(Kind::StuckValve)),
        Cause::Shortfall => {
            Some(Said::Kind(if is_short(station, bin) { Kind::Underheating } else { Kind::BelowSetPoint }))
        }
        Cause::Blocked => {
            Some(Said::Kind(if is_short(station, bin) { Kind::BlockedStrainer } else { Kind::BelowSetPoint }))
        }
        Cause::Surplus if station.is_valve_still() => Some(Said::Kind(Kind::StuckValve)),
        Cause::Surplus => Some(Said::Kind(Kind::Overheating)),
        Cause::SecondaryPump => Some(Said::Kind(Kind::PumpFailure)),
        Cause::ColdArrival => Some(Said::Kind(Kind::ColdArrival)),
        Cause::Demand | Cause::Hydraulics => None,
    }
}

/// Whether a station gives so little heat that its homes will be cold.
fn is_short(station: &Station, bin: i64) -> bool {
    if station.bank.is_current(station::HEAT, bin) {
        station.bank.off_by(station::HEAT) < SHORT_OF_HEAT
    } else {
        station.bank.off_by(station::CONTROL) < SHORT_OF_KELVIN
    }
}

/// The signal that a source's cause blames, where it is a sensor.
pub(super) fn source_sensor(site: &Site, cause: source::Cause) -> Option<u32> {
    use source::Cause;
    if cause == Cause::HeatMeter {
        return heat_meter(site);
    }
    site.signal(match cause {
        Cause::SupplySensor => Role::SupplyTemperature,
        Cause::ReturnSensor => Role::ReturnTemperature,
        Cause::SupplyFlowSensor => Role::SupplyFlow,
        Cause::ReturnFlowSensor => Role::ReturnFlow,
        Cause::SupplyPressureSensor => Role::SupplyPressure,
        Cause::ReturnPressureSensor => Role::ReturnPressure,
        Cause::Swapped => Role::SupplyTemperature,
        Cause::HeatMeter | Cause::TooCold | Cause::TooHot | Cause::Water => return None,
    })
}

/// What to say of a source's cause; `None` where it is another detector's.
pub(super) fn of_source(site: &Site, case: Case) -> Option<Said> {
    use source::Cause;
    let fault = if case.grew { Fault::Drift } else { Fault::Bias };
    let cause = source::CAUSES[usize::from(case.rule)];
    match cause {
        Cause::SupplySensor
        | Cause::ReturnSensor
        | Cause::SupplyFlowSensor
        | Cause::ReturnFlowSensor
        | Cause::HeatMeter
        | Cause::SupplyPressureSensor
        | Cause::ReturnPressureSensor => source_sensor(site, cause).map(|signal| Said::Sensor(signal, fault)),
        Cause::TooCold => Some(Said::Kind(Kind::ColdSupply)),
        Cause::TooHot => Some(Said::Kind(Kind::HotSupply)),
        Cause::Swapped => source_sensor(site, cause).map(|signal| Said::Sensor(signal, Fault::Swapped)),
        Cause::Water => None,
    }
}

/// The competing cause, where it is worth a word: what was named is a sensor's fault or not.
pub(super) fn or_else(is_sensor: bool, probability: f64) -> Option<Fact> {
    let what = if is_sensor { "plant_at_fault" } else { "sensor_at_fault" };
    (probability >= TOLD_PROBABILITY).then_some(Fact { signal: None, what, value: probability, unit: "1" })
}

/// The statement, without its reasons.
pub(super) fn statement(said: Said, site: u32, onset_us: i64, active: bool) -> Statement {
    let (class, kind, place, affected) = match said {
        Said::Sensor(signal, fault) => {
            (Class::SensorFault, Some(fault.kind()), Place::Signal(signal), Vec::new())
        }
        Said::Kind(kind) => {
            let touches_homes = kind.class() == Class::Underheating;
            let affected = if touches_homes { vec![site] } else { Vec::new() };
            (kind.class(), kind.word(), Place::Site(site), affected)
        }
    };
    Statement {
        detector: "thermal",
        class,
        kind,
        place,
        onset_us,
        active,
        facts: Vec::new(),
        strength: 0.0,
        affected,
        telling: Telling::Anew,
    }
}
