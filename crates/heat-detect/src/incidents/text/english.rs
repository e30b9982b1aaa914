//! What the duty desk reads in English.

use heat_model::incident::{Class, Incident};

use super::{
    deviations, evidence_line, lacking, meter_at_fault, minutes_late, percent, place, steam_lost_t_h,
};
use crate::incidents::{CONDENSATE, SECONDARY, STEAM};

pub(super) fn text(incident: &Incident) -> String {
    let name = match incident.class {
        Class::Burst => "Burst",
        Class::LeakAbrupt if incident.kind.as_deref() == Some(STEAM) => "Steam lost suddenly",
        Class::LeakIncipient if incident.kind.as_deref() == Some(STEAM) => "Steam lost",
        Class::LeakIncipient if incident.kind.as_deref() == Some(CONDENSATE) => "Condensate lost",
        Class::LeakAbrupt => "Sudden leak",
        Class::LeakIncipient => "Growing leak",
        Class::StandingLoss => "Standing loss",
        Class::SensorFault => "Sensor fault",
        Class::ConsumerThermal => "Station abnormal",
        Class::PumpTrip => "Circulation pump stopped",
        Class::PowerFailure => "Power failure",
        Class::PressureRegime => match incident.kind.as_deref() {
            Some("flashing") => "Water close to flashing",
            Some("emptying") => "Pipes emptying",
            Some("overpressure") => "Overpressure",
            _ => "Pressure beyond its limits",
        },
        Class::FrostRisk => "Frost risk",
        Class::NetworkThermal => "Supply temperature off",
        Class::Underheating => "Homes too cold",
        Class::ClockFault => "Clock wrong",
        Class::Silence => "No data",
        Class::ExchangerLeak => "Exchanger leak",
        Class::Draining => "Radiators drained",
        Class::Unknown => "Signals out of their usual relation",
        Class::TicketCluster => "Complaints cluster",
    };
    let mut text = format!("{name} in {}", incident.network);
    if let Some(minutes) = minutes_late(incident) {
        text.push_str(&format!(" (found in data about {minutes:.0} min late: it began before it is told)"));
    }
    if let Some((_, kind)) = incident.kind.as_deref().and_then(deviations::kind) {
        text.push_str(&format!(": {kind}"));
    }
    text.push_str(&place::clause(incident, false));
    if let Some(loss) = incident.loss_m3_h {
        text.push_str(&format!(". Estimated loss {loss:.1} m³/h"));
    }
    if let Some(loss) = steam_lost_t_h(incident) {
        text.push_str(&format!(". Estimated loss {loss:.1} t/h"));
    }
    if !incident.affected.is_empty() {
        text.push_str(&format!(", {} stations affected", incident.affected.len()));
        if let Some(households) = incident.affected_households {
            text.push_str(&format!(" ({households} households)"));
        }
    }
    if let Some(length) = incident.search_length_m {
        text.push_str(&format!(". To search: {length:.0} m of trench"));
    }
    let evidence = evidence_line(incident, false);
    if !evidence.is_empty() {
        text.push_str(&format!(". Because: {evidence}"));
    }
    if let Some(probability) = meter_at_fault(incident) {
        text.push_str(&format!("; or the make-up meter is wrong: {}", percent(probability)));
    }
    if !incident.lacked.is_empty() {
        text.push_str(&format!(". Lacking: {}", lacking::list(&incident.lacked, false)));
    }
    let first = match incident.class {
        Class::LeakAbrupt | Class::LeakIncipient if incident.kind.as_deref() == Some(SECONDARY) => {
            ". First: look for it in that station's secondary circuit, its make-up and its valves"
        }
        Class::LeakAbrupt | Class::LeakIncipient if incident.kind.as_deref() == Some(STEAM) => {
            ". First: walk along the steam pipes for escaping steam, check traps and chambers, and the steam meters"
        }
        Class::LeakIncipient if incident.kind.as_deref() == Some(CONDENSATE) => {
            ". First: look for drains left open, at condensate pumps and pipes, and check the condensate meters"
        }
        Class::Burst if place::is_unknown(incident) => {
            ". First: have the stations' pressures read, watch return pressure and make-up, make the crew ready"
        }
        Class::LeakAbrupt if place::is_unknown(incident) => {
            ". First: check the make-up meter, have the stations' pressures read, then look into the chambers this shift"
        }
        Class::LeakIncipient if place::is_unknown(incident) => {
            ". First: have the stations' pressures read and the make-up meter checked before anybody digs"
        }
        Class::Burst => {
            ". First: send the crew to that pipe, get ready to close valves, watch return pressure and make-up"
        }
        Class::LeakAbrupt => {
            ". First: look at chambers and ground along that pipe this shift, check the make-up meter"
        }
        Class::LeakIncipient => ". First: put that pipe first on tomorrow's inspection",
        Class::SensorFault => ". First: check that meter",
        Class::StandingLoss => ". First: enter it in the defect register",
        Class::ConsumerThermal => ". First: look at the station's primary differential pressure and valve",
        Class::PumpTrip => {
            ". First: find why it stopped, start the spare pump; raise the pressure slowly, watch the highest point"
        }
        Class::PowerFailure => {
            ". First: restore power or start the spare supply; keep up the static pressure, prepare against frost"
        }
        Class::PressureRegime => match incident.kind.as_deref() {
            Some("flashing") => {
                ". First: hold the static pressure, lower the supply temperature before raising the flow; do not feed \
                 cold water into it at once"
            }
            Some("emptying") => {
                ". First: look for lost water and at the make-up; shut off high branches if it goes on"
            }
            _ => {
                ". First: lower the pump speed or relieve; look at the pressure holding, relief and shut valves"
            }
        },
        Class::FrostRisk => ". First: restore the circulation before that time; else heat or drain the pipes",
        Class::NetworkThermal => {
            ". First: ask the source for its outlet temperature, fuel, pumps and mixing; the front reaches far stations hours later"
        }
        Class::Underheating => {
            ". First: look at the station's strainer, control valve and secondary circulation; tell its homes"
        }
        Class::ClockFault => {
            ". First: set the device's clock (time zone, time service); until then its data decide nothing"
        }
        Class::Silence => ". First: check power, link and data collection there",
        Class::ExchangerLeak => {
            ". First: nothing to dig; shut that station's primary side and pressure-test the exchanger"
        }
        Class::Draining => ". First: visit the cold ends in the evening and balance their heating",
        Class::TicketCluster => {
            ". First: check what is supplied there, measure in some homes, tell whether station, branch or home is at fault"
        }
        Class::Unknown => {
            ". First: check the signals named, whether it is a meter, a valve, or another way of running"
        }
    };
    text.push_str(first);
    if !incident.valves.is_empty() {
        let valves: Vec<&str> = incident.valves.iter().take(6).map(heat_model::ValveId::as_str).collect();
        text.push_str(&format!("; valves {}", valves.join(", ")));
    }
    text.push('.');
    text
}
