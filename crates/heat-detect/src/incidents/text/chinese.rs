//! What the duty desk reads in Chinese.

use heat_model::incident::{Class, Incident};

use super::{
    deviations, evidence_line, lacking, meter_at_fault, minutes_late, percent, place, steam_lost_t_h,
};
use crate::incidents::{CONDENSATE, SECONDARY, STEAM};

/// What the class is called, with its kind where that says more.
fn name_zh(incident: &Incident) -> &str {
    match (incident.class, incident.kind.as_deref()) {
        (Class::PressureRegime, Some("flashing")) => "汽化",
        (Class::PressureRegime, Some("emptying")) => "倒空",
        (Class::PressureRegime, Some("overpressure")) => "超压",
        (Class::LeakAbrupt, Some(STEAM)) => "蒸汽突发损失",
        (Class::LeakIncipient, Some(STEAM)) => "蒸汽损失",
        (Class::LeakIncipient, Some(CONDENSATE)) => "凝结水损失",
        (class, _) => class.chinese(),
    }
}

pub(super) fn text(incident: &Incident) -> String {
    let mut text = format!("【{}】{}", name_zh(incident), incident.network);
    if let Some(minutes) = minutes_late(incident) {
        text.push_str(&format!("（数据迟到约 {minutes:.0} 分钟，事件早于报出时间）"));
    }
    if let Some((kind, _)) = incident.kind.as_deref().and_then(deviations::kind) {
        text.push_str(&format!("，{kind}"));
    }
    text.push_str(&place::clause(incident, true));
    if let Some(loss) = incident.loss_m3_h {
        text.push_str(&format!("。估计失水 {loss:.1} m³/h"));
    }
    if let Some(loss) = steam_lost_t_h(incident) {
        text.push_str(&format!("。估计损失 {loss:.1} t/h"));
    }
    if !incident.affected.is_empty() {
        text.push_str(&format!("，影响热力站 {} 座", incident.affected.len()));
        if let Some(households) = incident.affected_households {
            text.push_str(&format!("（{households} 户）"));
        }
    }
    if let Some(length) = incident.search_length_m {
        text.push_str(&format!("。需排查管沟约 {length:.0} m"));
    }
    let evidence = evidence_line(incident, true);
    if !evidence.is_empty() {
        text.push_str(&format!("。依据：{evidence}"));
    }
    if let Some(probability) = meter_at_fault(incident) {
        text.push_str(&format!("；也可能是补水表不准：{}", percent(probability)));
    }
    if !incident.lacked.is_empty() {
        text.push_str(&format!("。缺少：{}", lacking::list(&incident.lacked, true)));
    }
    let first = match incident.class {
        Class::LeakAbrupt | Class::LeakIncipient if incident.kind.as_deref() == Some(SECONDARY) => {
            "。先做：查该站二次网失水点、二次补水和阀门"
        }
        Class::LeakAbrupt | Class::LeakIncipient if incident.kind.as_deref() == Some(STEAM) => {
            "。先做：沿蒸汽管查冒汽、疏水器和检查室，核对热源与各站蒸汽表"
        }
        Class::LeakIncipient if incident.kind.as_deref() == Some(CONDENSATE) => {
            "。先做：查站内排放、凝结水泵和凝结水管，核对凝结水表"
        }
        Class::Burst if place::is_unknown(incident) => {
            "。先做：逐站核读压力，盯住回水压力和补水能力，抢修队待命"
        }
        Class::LeakAbrupt if place::is_unknown(incident) => {
            "。先做：核对补水表，逐站核读压力，当班巡查检查室"
        }
        Class::LeakIncipient if place::is_unknown(incident) => {
            "。先做：逐站核读压力、核对补水表，定位前不开挖"
        }
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
