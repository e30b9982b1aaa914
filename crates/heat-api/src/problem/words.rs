//! What went wrong with something a person filled in, in both languages.

use heat_codec::reject::RejectReason;
use heat_detect::RefusalReason;

/// Why the processor refused a command, in Chinese; the reason itself says it in English.
pub(crate) fn refusal(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::UnknownIncident => "该热网没有这一事件，或已超过保留期限".to_owned(),
        RefusalReason::StaleVersion { seen, current } => {
            format!("事件已更新到第 {current} 版，您看到的是第 {seen} 版")
        }
        RefusalReason::NotInThisState { .. } => "事件的当前状态不允许这一操作".to_owned(),
        RefusalReason::EndOutOfBounds { max_seconds } => {
            format!("结束时间须晚于现在，且最长 {} 分钟", max_seconds / 60)
        }
        RefusalReason::NeedsSecondUser => "请另一位值班员在 10 分钟内提交同样的搁置".to_owned(),
        RefusalReason::NoNetwork => "指令没有指明热网".to_owned(),
        RefusalReason::UnknownWindow => "没有这个名称的检修".to_owned(),
        RefusalReason::TooMany { limit, .. } => format!("最多保留 {limit} 项，请先结束一些"),
        RefusalReason::UnknownModel(_) => "处理器没有这个管网模型".to_owned(),
    }
}

/// What is wrong with a field of a ticket, and what helps.
pub(crate) fn ticket_fault(reason: RejectReason) -> (&'static str, &'static str) {
    const FAULTS: [(RejectReason, &str, &str); 13] = [
        (RejectReason::UnknownNetwork, "the plant model has no such network", "管网模型中没有这个热网"),
        (
            RejectReason::UnknownSite,
            "the plant model has no such site in this network",
            "该热网中没有这个站点，请核对编号",
        ),
        (
            RejectReason::PersonalData,
            "names a person or a telephone or identity number: leave it out",
            "不得包含姓名、电话或证件号码，请删去",
        ),
        (RejectReason::MissingField, "a ticket needs it", "必须填写"),
        (RejectReason::BadJson, "no JSON", "不是 JSON"),
        (RejectReason::WrongType, "has another type; see Ticket in /api/v1/openapi.json", "类型有误"),
        (RejectReason::NumberOutOfRange, "lies beyond its range", "超出范围"),
        (
            RejectReason::UnknownField,
            "no field of a ticket; see Ticket in /api/v1/openapi.json",
            "工单没有这一项",
        ),
        (RejectReason::UnknownWord, "not one of the words that it may be", "不在可选范围之内"),
        (
            RejectReason::InvalidId,
            "an id has 1 to 128 bytes, none of them a control character or /",
            "编号为 1 到 128 字节，不含 / 和控制字符",
        ),
        (
            RejectReason::BadTime,
            "a time is RFC 3339, such as 2026-11-24T08:00:00+08:00, or Unix milliseconds",
            "时间格式有误，例如 2026-11-24T08:00:00+08:00",
        ),
        (
            RejectReason::TimeWithoutOffset,
            "a time without offset says no instant: add Z or +08:00",
            "时间缺少时区",
        ),
        (
            RejectReason::TimeOutOfRange,
            "lies in the future, or beyond the calendar",
            "时间晚于现在，或超出范围",
        ),
    ];
    let known = FAULTS.into_iter().find(|(known, ..)| *known == reason);
    known.map_or(("cannot be taken", "无法接受"), |(_, english, chinese)| (english, chinese))
}

/// What the form calls a field of a ticket.
pub(crate) fn ticket_field(field: &str) -> &str {
    match field {
        "network" => "热网",
        "site" => "站点编号",
        "area" => "区域",
        "kind" => "类型",
        "time" => "时间",
        "text" => "说明",
        "external_id" => "热线编号",
        "" => "工单",
        other => other,
    }
}
