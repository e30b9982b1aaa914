//! Texts for the duty desk: what happened, where, how sure, what to do first. Chinese and English, in the units that
//! operators read.

use heat_model::{
    incident::{Class, Incident},
    plant::Side,
};

/// Writes both texts from the incident's state.
pub(crate) fn fill(incident: &mut Incident) {
    incident.text_zh = chinese(incident);
    incident.text_en = english(incident);
}

fn percent(probability: f64) -> String {
    format!("{:.0} %", 100.0 * probability)
}

/// A difference in the unit that operators read.
fn shown(value: f64, unit: &str) -> (f64, &str) {
    match unit {
        "Pa" => (value / 1e6, "MPa"),
        "kg/s" => (value * 3.6, "t/h"),
        "m3/s" => (value * 3_600.0, "m³/h"),
        "degC" => (value, "K"),
        "W" => (value / 1e6, "MW"),
        // A counter of heat is judged by its rate.
        "J" => (value / 1e6, "MW"),
        "m3" => (value * 3_600.0, "m³/h"),
        other => (value, other),
    }
}

fn evidence_line(incident: &Incident, zh: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    for evidence in incident.evidence.iter().take(4) {
        let (what, figure) = match (evidence.what.as_str(), evidence.unit.as_str()) {
            ("pressure_drop", _) => {
                (if zh { "压力下降" } else { "pressure down" }, format!("{:.3} MPa", evidence.value / 1e6))
            }
            ("make_up_surge", _) => {
                (if zh { "补水突增" } else { "make-up up" }, format!("{:.1} t/h", evidence.value * 3.6))
            }
            ("flow_step", _) => (
                if zh { "供回水流量差突增" } else { "supply-return difference up" },
                format!("{:.1} t/h", evidence.value * 3.6),
            ),
            ("make_up_excess", _) => (
                if zh { "补水量高于基线" } else { "make-up above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("loss_found", _) => (
                if zh { "现场实测漏量" } else { "loss found on site" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("tickets", _) => (if zh { "投诉工单" } else { "complaints" }, format!("{:.0}", evidence.value)),
            ("tickets_usual", _) => {
                (if zh { "常态工单" } else { "complaints usually" }, format!("{:.1}", evidence.value))
            }
            ("off_its_usual", unit) => {
                let (value, unit) = shown(evidence.value, unit);
                (
                    if zh {
                        "偏离与其他测点的常态关系"
                    } else {
                        "off what the others say of it by"
                    },
                    { format!("{value:+.3} {unit}").trim_end().to_owned() },
                )
            }
            (other, unit) => (other, format!("{:.3} {unit}", evidence.value)),
        };
        parts.push(format!("{} {what} {figure}", evidence.place).trim_start().to_owned());
    }
    parts.join(if zh { "；" } else { "; " })
}

fn chinese(incident: &Incident) -> String {
    let mut text = format!("【{}】{}", incident.class.chinese(), incident.network);
    let side = match incident.side {
        Some(Side::Supply) => "（供水侧）",
        Some(Side::Return) => "（回水侧）",
        None => "",
    };
    match (incident.candidates.first(), &incident.place) {
        (Some(best), _) => {
            text.push_str(&format!("，疑似管段 {}{side}，概率 {}", best.pipe, percent(best.probability)));
            if incident.candidates.len() > 1 {
                let others: Vec<&str> =
                    incident.candidates.iter().skip(1).take(3).map(|c| c.pipe.as_str()).collect();
                text.push_str(&format!("；其次 {}", others.join("、")));
            }
        }
        (None, Some(place)) => {
            text.push_str(&format!("，位置 {place}{side}"));
        }
        (None, None) if !incident.branch.is_empty() => {
            let sites: Vec<&str> = incident.branch.iter().take(5).map(heat_model::SiteId::as_str).collect();
            text.push_str(&format!("，位于 {} 一侧的支线", sites.join("、")));
        }
        (None, None) => text.push_str("，位置暂不能确定"),
    }
    if let Some(loss) = incident.loss_m3_h {
        text.push_str(&format!("。估计失水 {loss:.1} m³/h"));
    }
    if !incident.affected.is_empty() {
        text.push_str(&format!("，影响热力站 {} 座", incident.affected.len()));
    }
    let evidence = evidence_line(incident, true);
    if !evidence.is_empty() {
        text.push_str(&format!("。依据：{evidence}"));
    }
    if !incident.lacked.is_empty() {
        text.push_str(&format!("。缺少：{}", incident.lacked.join("、")));
    }
    let first = match incident.class {
        Class::Burst => "。先做：派抢修到疑似管段，备好关阀，盯住回水压力和补水能力",
        Class::LeakAbrupt => "。先做：当班巡查疑似管段的检查室和地面，核对补水表",
        Class::LeakIncipient => "。先做：列入次日巡线，优先疑似管段",
        Class::SensorFault => "。先做：校核该表计",
        Class::StandingLoss => "。先做：列入隐患台账",
        Class::ConsumerThermal => "。先做：查看该站一次侧压差和阀门",
        Class::TicketCluster => "。先做：核对该处供热参数，派人上门测温，查明是站、支线还是户内原因",
        Class::Unknown => "。先做：现场或远程核对所列测点，确认是仪表、阀门还是运行方式变化",
        Class::Draining
        | Class::ExchangerLeak
        | Class::PressureRegime
        | Class::PumpTrip
        | Class::PowerFailure
        | Class::NetworkThermal
        | Class::Underheating
        | Class::FrostRisk
        | Class::ClockFault
        | Class::Silence => "",
    };
    text.push_str(first);
    if !incident.valves.is_empty() {
        let valves: Vec<&str> = incident.valves.iter().take(6).map(heat_model::ValveId::as_str).collect();
        text.push_str(&format!("；关断阀 {}", valves.join("、")));
    }
    text.push('。');
    text
}

fn english(incident: &Incident) -> String {
    let name = match incident.class {
        Class::Burst => "Burst",
        Class::LeakAbrupt => "Sudden leak",
        Class::LeakIncipient => "Growing leak",
        Class::StandingLoss => "Standing loss",
        Class::SensorFault => "Sensor fault",
        Class::ConsumerThermal => "Station abnormal",
        Class::Unknown => "Signals out of their usual relation",
        Class::TicketCluster => "Complaints cluster",
        Class::Draining
        | Class::ExchangerLeak
        | Class::PressureRegime
        | Class::PumpTrip
        | Class::PowerFailure
        | Class::NetworkThermal
        | Class::Underheating
        | Class::FrostRisk
        | Class::ClockFault
        | Class::Silence => incident.class.as_str(),
    };
    let mut text = format!("{name} in {}", incident.network);
    let side = match incident.side {
        Some(Side::Supply) => " (supply)",
        Some(Side::Return) => " (return)",
        None => "",
    };
    match (incident.candidates.first(), &incident.place) {
        (Some(best), _) => {
            text.push_str(&format!(", probably pipe {}{side}, {}", best.pipe, percent(best.probability)));
            if incident.candidates.len() > 1 {
                let others: Vec<&str> =
                    incident.candidates.iter().skip(1).take(3).map(|c| c.pipe.as_str()).collect();
                text.push_str(&format!("; then {}", others.join(", ")));
            }
        }
        (None, Some(place)) => {
            text.push_str(&format!(" at {place}{side}"));
        }
        (None, None) if !incident.branch.is_empty() => {
            let sites: Vec<&str> = incident.branch.iter().take(5).map(heat_model::SiteId::as_str).collect();
            text.push_str(&format!(", on the branch of {}", sites.join(", ")));
        }
        (None, None) => text.push_str(", place not yet known"),
    }
    if let Some(loss) = incident.loss_m3_h {
        text.push_str(&format!(". Estimated loss {loss:.1} m³/h"));
    }
    if !incident.affected.is_empty() {
        text.push_str(&format!(", {} stations affected", incident.affected.len()));
    }
    let evidence = evidence_line(incident, false);
    if !evidence.is_empty() {
        text.push_str(&format!(". Because: {evidence}"));
    }
    if !incident.lacked.is_empty() {
        text.push_str(&format!(". Lacking: {}", incident.lacked.join(", ")));
    }
    let first = match incident.class {
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
        Class::TicketCluster => {
            ". First: check what is supplied there, measure in some homes, tell whether station, branch or home is at fault"
        }
        Class::Unknown => {
            ". First: check the signals named, whether it is a meter, a valve, or another way of running"
        }
        Class::Draining
        | Class::ExchangerLeak
        | Class::PressureRegime
        | Class::PumpTrip
        | Class::PowerFailure
        | Class::NetworkThermal
        | Class::Underheating
        | Class::FrostRisk
        | Class::ClockFault
        | Class::Silence => "",
    };
    text.push_str(first);
    if !incident.valves.is_empty() {
        let valves: Vec<&str> = incident.valves.iter().take(6).map(heat_model::ValveId::as_str).collect();
        text.push_str(&format!("; valves {}", valves.join(", ")));
    }
    text.push('.');
    text
}
