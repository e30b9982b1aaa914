//! Texts for the duty desk: what happened, where, how sure, what to do first. Chinese and English, in the units that
//! operators read.

mod deviations;

use heat_model::{
    incident::{Class, Incident},
    plant::Side,
};

use crate::{network::arrival::FOUND_LATE, pressure::frost::HOURS_LEFT};

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
            ("make_up_at_its_limit", _) => (
                if zh {
                    "补水已达上限，失水不少于"
                } else {
                    "make-up at its limit, loss at least"
                },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("unmetered_filling", _) => (
                if zh { "未计量补水" } else { "unmetered filling" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("night_flow_excess", _) => (
                if zh { "夜间最小流量高于基线" } else { "night flow above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("secondary_make_up_excess", _) => (
                if zh { "二次侧补水高于基线" } else { "secondary make-up above baseline" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("loss_found", _) => (
                if zh { "现场实测漏量" } else { "loss found on site" },
                format!("{:.2} t/h", evidence.value * 3.6),
            ),
            ("head_lost", _) => {
                (if zh { "供回水压差损失" } else { "head lost" }, format!("{:.3} MPa", evidence.value / 1e6))
            }
            ("flow_lost", _) => {
                (if zh { "循环流量减少" } else { "flow down" }, format!("{:.1} t/h", evidence.value * 3.6))
            }
            ("pump_stands", _) => (if zh { "循环泵停" } else { "pump stands" }, String::new()),
            ("power_lost", _) => (if zh { "失电" } else { "no power" }, String::new()),
            ("above_saturation", _) => (
                if zh { "高于汽化压力" } else { "above saturation" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("gauge_at_top", _) => (
                if zh { "最高点表压" } else { "gauge pressure at the highest point" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("gauge_at_bottom", _) => (
                if zh { "最低点表压" } else { "gauge pressure at the lowest point" },
                format!("{:.3} MPa", evidence.value / 1e6),
            ),
            ("outdoor", _) => (if zh { "室外" } else { "outdoors" }, format!("{:.1} ℃", evidence.value)),
            ("circulation_stands", _) => (
                if zh { "循环停止，水温" } else { "circulation stands, water at" },
                format!("{:.1} ℃", evidence.value),
            ),
            ("return_cold", _) => {
                (if zh { "回水温度" } else { "return at" }, format!("{:.1} ℃", evidence.value))
            }
            (HOURS_LEFT, _) => {
                (if zh { "降到 5 ℃ 约剩" } else { "until 5 ℃ about" }, format!("{:.1} h", evidence.value))
            }
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
            (FOUND_LATE, _) => continue,
            (other, unit) => match deviations::words(other) {
                Some((chinese, english)) => {
                    (if zh { chinese } else { english }, deviations::figure(evidence.value, unit))
                }
                None => (other, format!("{:.3} {unit}", evidence.value)),
            },
        };
        parts.push(format!("{} {what} {figure}", evidence.place).trim().to_owned());
    }
    parts.join(if zh { "；" } else { "; " })
}

/// By how many minutes the data that showed it were late.
fn minutes_late(incident: &Incident) -> Option<f64> {
    let late = incident.evidence.iter().find(|evidence| evidence.what == FOUND_LATE)?;
    Some((late.value / 60.0).ceil())
}

/// What the class is called, with its kind where that says more.
fn name_zh(incident: &Incident) -> &str {
    match (incident.class, incident.kind.as_deref()) {
        (Class::PressureRegime, Some("flashing")) => "汽化",
        (Class::PressureRegime, Some("emptying")) => "倒空",
        (Class::PressureRegime, Some("overpressure")) => "超压",
        (class, _) => class.chinese(),
    }
}

fn chinese(incident: &Incident) -> String {
    let mut text = format!("【{}】{}", name_zh(incident), incident.network);
    if let Some(minutes) = minutes_late(incident) {
        text.push_str(&format!("（数据迟到约 {minutes:.0} 分钟，事件早于报出时间）"));
    }
    if let Some((kind, _)) = incident.kind.as_deref().and_then(deviations::kind) {
        text.push_str(&format!("，{kind}"));
    }
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
        Class::PumpTrip => "。先做：查明停泵原因，启备用泵；缓慢升压，盯住最高点，防汽化",
        Class::PowerFailure => "。先做：恢复供电或投备用电源；保住定压补水，防倒空、汽化，做好防冻",
        Class::PressureRegime => match incident.kind.as_deref() {
            Some("flashing") => "。先做：稳住定压，先降供水温度再升流量；不要向汽化管段猛补冷水",
            Some("emptying") => "。先做：查失水和补水定压，必要时关断高处支线",
            _ => "。先做：降泵速或泄压，查定压点、安全阀和误关的阀门",
        },
        Class::FrostRisk => "。先做：在期限前恢复循环；做不到就伴热或泄水",
        Class::NetworkThermal => "。先做：联系热源核对出水温度和燃料、泵、混水，估计冷热前锋到达各站的时间",
        Class::Underheating => "。先做：查看该站过滤器、调节阀和二次侧循环，通知受影响小区",
        Class::ClockFault => "。先做：校准该设备时钟（时区、对时服务），校准前其数据不参与判断",
        Class::Silence => "。先做：检查该处供电、通信和采集设备",
        Class::ExchangerLeak => "。先做：不必开挖；关断该站一次侧，对换热器试压",
        Class::Draining => "。先做：傍晚入户查看末端用户放水，调平该片供热",
        Class::TicketCluster => "。先做：核对该处供热参数，派人上门测温，查明是站、支线还是户内原因",
        Class::Unknown => "。先做：现场或远程核对所列测点，确认是仪表、阀门还是运行方式变化",
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
