//! The words of the trade in both languages; glossary terms where there are some.

mod terms;

use heat_model::{
    incident::{AlarmState, ChangeKind, Class, Incident, Priority, WorkState},
    plant::{CircuitKind, SeasonState, SiteKind},
    record::Action,
    ticket::{FollowUpOutcome, TicketKind},
};

use serde::Serialize;
use serde_json::Value;

pub(crate) use terms::{detector, evidence, kind, lacked};

use crate::tickets::{FollowUpState, LinkBy, TicketStatus};

/// The word that a value has in payloads.
pub(crate) fn in_payloads(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        other => unreachable!("a value of a closed list is one word, not {other:?}"),
    }
}

/// Name of the cookie that keeps the language.
pub(crate) const COOKIE: &str = "heatstream_lang";

/// A reader's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    Chinese,
    English,
}

impl Lang {
    pub(crate) const fn pick<'a>(self, chinese: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The first of both that a browser names; Chinese where it names neither.
    pub(crate) fn accepted(header: Option<&str>) -> Self {
        let known = |range: &str| match range.trim().get(..2)?.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        };
        header.unwrap_or("").split(',').find_map(known).unwrap_or(Self::Chinese)
    }

    pub(crate) const fn cookie(self) -> &'static str {
        match self {
            Self::Chinese => "heatstream_lang=zh; Path=/; SameSite=Lax; Max-Age=31536000",
            Self::English => "heatstream_lang=en; Path=/; SameSite=Lax; Max-Age=31536000",
        }
    }
}

/// Whether somebody has to look at it now.
pub(crate) fn calls(incident: &Incident) -> bool {
    incident.alarm == AlarmState::Unacknowledged && incident.priority != Priority::P4
}

pub(crate) const fn class(lang: Lang, class: Class) -> &'static str {
    lang.pick(class.chinese(), class.english())
}

pub(crate) const fn alarm(lang: Lang, state: AlarmState) -> &'static str {
    match state {
        AlarmState::Unacknowledged => lang.pick("未确认", "Unacknowledged"),
        AlarmState::Acknowledged => lang.pick("已确认", "Acknowledged"),
        AlarmState::Shelved => lang.pick("限时搁置", "Shelved"),
        AlarmState::OutOfService => lang.pick("检修停用", "Out of service"),
        AlarmState::AwaitingVerification => lang.pick("已修复待验证", "Repaired, to be verified"),
        AlarmState::Cleared => lang.pick("已解除", "Cleared"),
    }
}

pub(crate) const fn work(lang: Lang, state: WorkState) -> &'static str {
    match state {
        WorkState::AwaitingDispatch => lang.pick("待派单", "Awaiting dispatch"),
        WorkState::Dispatched => lang.pick("已派单", "Dispatched"),
        WorkState::Accepted => lang.pick("已接单", "Accepted"),
        WorkState::OnSite => lang.pick("已到场", "On site"),
        WorkState::ValvesClosed => lang.pick("已关阀", "Valves closed"),
        WorkState::Excavating => lang.pick("开挖", "Excavating"),
        WorkState::Repaired => lang.pick("已修复", "Repaired"),
        WorkState::Refilled => lang.pick("已注水", "Refilled"),
        WorkState::Restored => lang.pick("已恢复", "Restored"),
        WorkState::AwaitingVerification => lang.pick("待验证", "Being verified"),
        WorkState::Closed => lang.pick("关闭", "Closed"),
    }
}

pub(crate) const fn change(lang: Lang, kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Opened => lang.pick("发现", "Opened"),
        ChangeKind::Updated => lang.pick("更新", "Updated"),
        ChangeKind::Escalated => lang.pick("加重", "Escalated"),
        ChangeKind::Acknowledged => lang.pick("确认", "Acknowledged"),
        ChangeKind::Shelved => lang.pick("搁置", "Shelved"),
        ChangeKind::Unshelved => lang.pick("取消搁置", "Unshelved"),
        ChangeKind::OutOfService => lang.pick("检修停用", "Out of service"),
        ChangeKind::BackInService => lang.pick("恢复监测", "Back in service"),
        ChangeKind::WorkMoved => lang.pick("工单进展", "Repair order moved on"),
        ChangeKind::Repaired => lang.pick("报告已修复", "Reported repaired"),
        ChangeKind::Verified => lang.pick("修复已验证", "Repair verified"),
        ChangeKind::Reopened => lang.pick("复发重开", "Reopened"),
        ChangeKind::Cleared => lang.pick("解除", "Cleared"),
    }
}

pub(crate) const fn site_kind(lang: Lang, kind: Option<SiteKind>) -> &'static str {
    match kind {
        Some(SiteKind::Source) => lang.pick("热源", "Heat source"),
        Some(SiteKind::Station) => lang.pick("热力站", "Heat-exchange station"),
        Some(SiteKind::Chamber) => lang.pick("检查室", "Valve chamber"),
        Some(SiteKind::Building) => lang.pick("楼栋", "Building"),
        Some(SiteKind::Household) | None => lang.pick("站点", "Site"),
    }
}

pub(crate) const fn circuit_kind(lang: Lang, kind: Option<CircuitKind>) -> &'static str {
    match kind {
        Some(CircuitKind::Secondary) => lang.pick("二级网", "Secondary network"),
        Some(CircuitKind::Primary) | None => lang.pick("一级网", "Primary network"),
    }
}

/// Seasons in the order of the year.
pub(crate) const SEASONS: [SeasonState; 9] = [
    SeasonState::Off,
    SeasonState::WetLayup,
    SeasonState::Filling,
    SeasonState::PressureTest,
    SeasonState::ColdCirculation,
    SeasonState::HeatingUp,
    SeasonState::Heating,
    SeasonState::ShuttingDown,
    SeasonState::Repair,
];

pub(crate) const fn season(lang: Lang, state: SeasonState) -> &'static str {
    match state {
        SeasonState::Off => lang.pick("停运", "Off"),
        SeasonState::WetLayup => lang.pick("湿保养", "Wet lay-up"),
        SeasonState::Filling => lang.pick("注水", "Filling"),
        SeasonState::PressureTest => lang.pick("打压", "Pressure test"),
        SeasonState::ColdCirculation => lang.pick("冷态循环", "Cold circulation"),
        SeasonState::HeatingUp => lang.pick("升温", "Heating up"),
        SeasonState::Heating => lang.pick("供热", "Heating"),
        SeasonState::ShuttingDown => lang.pick("降温停运", "Shutting down"),
        SeasonState::Repair => lang.pick("检修", "Repair"),
    }
}

/// Kinds of tickets with their words in payloads.
pub(crate) const TICKET_KINDS: [TicketKind; 5] =
    [TicketKind::Cold, TicketKind::Leak, TicketKind::Noise, TicketKind::WaterQuality, TicketKind::Other];

pub(crate) const fn ticket_kind(lang: Lang, kind: TicketKind) -> &'static str {
    match kind {
        TicketKind::Cold => lang.pick("不热", "Cold home"),
        TicketKind::Leak => lang.pick("漏水", "Leak"),
        TicketKind::Noise => lang.pick("噪声", "Noise"),
        TicketKind::WaterQuality => lang.pick("水质", "Water quality"),
        TicketKind::Other => lang.pick("其他", "Other"),
    }
}

pub(crate) const fn ticket_status(lang: Lang, status: TicketStatus) -> &'static str {
    match status {
        TicketStatus::Received => lang.pick("已受理", "Received"),
        TicketStatus::NotThePlant => lang.pick("系统无异常", "No fault in the plant"),
        TicketStatus::Suspected => lang.pick("正在排查", "Being looked into"),
        TicketStatus::Known => lang.pick("原因已知", "Cause known"),
        TicketStatus::CrewOnItsWay => lang.pick("抢修在途", "Crew on its way"),
        TicketStatus::OnSite => lang.pick("抢修在场", "Crew on site"),
        TicketStatus::Repaired => lang.pick("已修复", "Repaired"),
        TicketStatus::Resolved => lang.pick("已恢复", "Resolved"),
        TicketStatus::Reopened => lang.pick("重新受理", "Open again"),
    }
}

pub(crate) const FOLLOW_UPS: [FollowUpState; 3] =
    [FollowUpState::Due, FollowUpState::Reopened, FollowUpState::Done];

pub(crate) const fn follow_up(lang: Lang, state: FollowUpState) -> &'static str {
    match state {
        FollowUpState::Due => lang.pick("待回访", "To be called back"),
        FollowUpState::Reopened => lang.pick("回访未解决", "Called back: not resolved"),
        FollowUpState::Done => lang.pick("回访满意", "Called back: satisfied"),
    }
}

pub(crate) const OUTCOMES: [FollowUpOutcome; 3] =
    [FollowUpOutcome::Satisfied, FollowUpOutcome::NotResolved, FollowUpOutcome::NotReached];

pub(crate) const fn outcome(lang: Lang, outcome: FollowUpOutcome) -> &'static str {
    match outcome {
        FollowUpOutcome::Satisfied => lang.pick("满意", "Satisfied"),
        FollowUpOutcome::NotResolved => lang.pick("未解决", "Not resolved"),
        FollowUpOutcome::NotReached => lang.pick("未接通", "Not reached"),
    }
}

pub(crate) const fn link_by(lang: Lang, by: LinkBy) -> &'static str {
    match by {
        LinkBy::Processor => lang.pick("系统判定", "as detected"),
        LinkBy::Site => lang.pick("按站点", "by site"),
        LinkBy::Area => lang.pick("按区域", "by area"),
        LinkBy::Network => lang.pick("按全网", "by network"),
    }
}

const NAMES: [(&str, &str, &str); 31] = [
    ("supply_temperature", "供水温度", "supply temperature"),
    ("return_temperature", "回水温度", "return temperature"),
    ("outdoor_temperature", "室外温度", "outdoor temperature"),
    ("indoor_temperature", "室温", "indoor temperature"),
    ("set_point_temperature", "设定温度", "set-point temperature"),
    ("make_up_temperature", "补水温度", "make-up temperature"),
    ("steam_temperature", "蒸汽温度", "steam temperature"),
    ("condensate_temperature", "凝结水温度", "condensate temperature"),
    ("supply_pressure", "供水压力", "supply pressure"),
    ("return_pressure", "回水压力", "return pressure"),
    ("differential_pressure", "压差", "differential pressure"),
    ("steam_pressure", "蒸汽压力", "steam pressure"),
    ("supply_flow", "供水流量", "supply flow"),
    ("return_flow", "回水流量", "return flow"),
    ("make_up_flow", "补水量", "make-up flow"),
    ("relief_flow", "泄水流量", "relief flow"),
    ("steam_flow", "蒸汽流量", "steam flow"),
    ("condensate_flow", "凝结水流量", "condensate flow"),
    ("heat_power", "热功率", "heat power"),
    ("heat_energy", "累计热量", "heat energy"),
    ("volume", "累计流量", "volume"),
    ("make_up_volume", "累计补水", "make-up volume"),
    ("make_up_tank_level", "补水箱液位", "make-up tank level"),
    ("chamber_water_level", "检查室水位", "chamber water level"),
    ("valve_opening", "阀门开度", "valve opening"),
    ("pump_speed", "泵转速", "pump speed"),
    ("pump_running", "循环泵运行", "pump running"),
    ("make_up_pump_running", "补水泵运行", "make-up pump running"),
    ("power_supply", "供电", "power supply"),
    ("leak_wire_resistance", "泄漏监测线电阻", "leak wire resistance"),
    ("supply_return_difference", "供回水流量差", "supply-return difference"),
];

/// What a signal is called.
pub(crate) fn signal(lang: Lang, name: &str) -> String {
    let (side, bare) = if let Some(bare) = name.strip_prefix("primary_") {
        (lang.pick("一次", "primary "), bare)
    } else if let Some(bare) = name.strip_prefix("secondary_") {
        (lang.pick("二次", "secondary "), bare)
    } else {
        ("", name)
    };
    match NAMES.iter().find(|(word, _, _)| *word == bare) {
        Some((_, chinese, english)) => format!("{side}{}", lang.pick(chinese, english)),
        None => name.to_owned(),
    }
}

/// What a problem is called on a page.
pub(crate) fn problem(lang: Lang, kind: &str) -> &'static str {
    match kind {
        "stale-version" => lang.pick(
            "事件已有新变化，请重新查看后再操作",
            "The incident has changed meanwhile: look at it again",
        ),
        "needs-second-user" => lang.pick(
            "一级事件的搁置需要第二位值班员在 10 分钟内确认",
            "Shelving a P1 takes a second user within 10 minutes",
        ),
        "refused" => lang.pick("操作未被接受", "The command was refused"),
        "not-found" => lang.pick("没有找到", "Not found"),
        "unprocessable" | "bad-request" => lang.pick("填写内容有误", "Something in the form is wrong"),
        "too-many" => lang.pick("请求过于频繁，请稍候", "Too many requests: wait a moment"),
        "forbidden" => lang.pick("没有权限", "Not allowed"),
        _ => lang.pick("暂时无法完成", "It cannot be done at present"),
    }
}

/// What a command does.
pub(crate) const fn action(lang: Lang, action: &Action) -> &'static str {
    match action {
        Action::Acknowledge { .. } => lang.pick("确认", "acknowledged"),
        Action::Shelve { .. } => lang.pick("搁置", "shelved"),
        Action::Unshelve { .. } => lang.pick("取消搁置", "unshelved"),
        Action::Work { state, .. } => work(lang, *state),
        Action::Repaired { .. } => lang.pick("报告已修复", "reported repaired"),
        Action::Season { .. } => lang.pick("更改供热阶段", "changed a season"),
        Action::MaintenanceBegin { .. } => lang.pick("开始检修", "began maintenance"),
        Action::MaintenanceEnd { .. } => lang.pick("结束检修", "ended maintenance"),
        Action::FollowUp { .. } => lang.pick("登记回访", "took down a call back"),
    }
}

/// What was just done.
pub(crate) fn done(lang: Lang, word: &str) -> Option<&'static str> {
    Some(match word {
        "acknowledge" => lang.pick("已确认。", "Acknowledged."),
        "shelve" => lang.pick("已搁置。", "Shelved."),
        "unshelve" => lang.pick("已取消搁置。", "No longer shelved."),
        "work" => lang.pick("抢修工单已更新。", "The repair order has moved on."),
        "repaired" => {
            lang.pick("已记录修复，将由数据验证。", "The repair is recorded; the data will verify it.")
        }
        "pending" => lang.pick(
            "命令已写入日志，处理程序尚未答复。",
            "The command is in the log; the processor has not answered yet.",
        ),
        "ticket" => lang.pick("工单已受理。", "The ticket is taken."),
        "follow-up" => lang.pick("回访已登记。", "The call back is taken down."),
        "maintenance" => lang.pick("检修停用已登记。", "The maintenance window is taken."),
        "maintenance-end" => lang.pick("检修停用已结束。", "The maintenance window is ended."),
        "season" => lang.pick("运行状态已登记。", "The season is taken."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_first_that_the_browser_names_and_chinese_without_one() {
        for (header, expected) in [
            (None, Lang::Chinese),
            (Some("en-GB,en;q=0.9"), Lang::English),
            (Some("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Chinese),
            (Some("de-DE, en;q=0.5"), Lang::English),
            (Some("é"), Lang::Chinese),
        ] {
            assert_eq!(Lang::accepted(header), expected, "{header:?}");
        }
    }

    #[test]
    fn every_class_has_an_english_name_that_is_no_identifier() {
        for class in Class::ALL {
            let name = super::class(Lang::English, *class);
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_'), "{name}");
        }
    }

    #[test]
    fn a_signal_is_called_by_its_side_and_name_or_as_it_calls_itself() {
        assert_eq!(signal(Lang::Chinese, "secondary_supply_temperature"), "二次供水温度");
        assert_eq!(signal(Lang::English, "make_up_flow"), "make-up flow");
        assert_eq!(signal(Lang::English, "primary_thing"), "primary_thing");
    }
}
