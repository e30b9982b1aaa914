//! The pipeline's own health: what is read and how far, dead letters, who is connected, and the audit's proof.

use axum::{extract::State, response::Response};
use heat_model::EventTime;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{View, words};
use crate::{
    extract::StrictQuery,
    problem::Problem,
    routes::service::audited,
    state::{ApiState, lock},
};

/// Commands listed.
const COMMANDS_SHOWN: usize = 40;
/// Gateways listed.
const CANARIES_SHOWN: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthQuery {
    /// `now`: make the audit, which reads archive and log.
    audit: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<HealthQuery>,
) -> Result<Response, Problem> {
    let audit = match query.audit.as_deref() {
        Some("now") => Some(audited(&state).await),
        Some(_) | None => None,
    };
    let body = html! {
        h1 { (view.t("系统运行", "Pipeline")) }
        section.card #state data-live { (figures(&view, &state)) }
        // Not live: an audit takes its time, so it is made when somebody asks.
        section.card #audit { (proof(&view, audit.as_ref())) }
        section.card #commands data-live { (commands(&view, &state)) }
    };
    Ok(view.page(view.t("系统运行", "Pipeline"), &body))
}

fn figures(view: &View, state: &ApiState) -> Markup {
    let (letters, _) = lock(&state.letters).len();
    let newest = newest_reading(state);
    let count = |number: i64| number.to_string();
    html! {
        h2 { (view.t("现在", "Now")) }
        dl.figures {
            div { dt { (view.t("日志读取", "Reading the log")) } dd {
                @if state.catch_up.is_caught_up() { span.badge.good { (view.t("已追上", "caught up")) } }
                @else { span.badge.P2 { (view.t("正在追赶", "reading back")) } }
            } }
            div { dt { (view.t("最新数据", "Newest reading")) } dd {
                @match newest {
                    Some(at) => { (view.time(at)) " " span.quiet { (view.span((view.now.as_micros() - at.as_micros()) as f64 / 1e6)) (view.t("前", " ago")) } },
                    None => (view.t("没有", "none")),
                }
            } }
            div { dt { (view.t("测点", "Signals")) } dd { (state.tables.iter().map(|table| lock(table).signals()).sum::<usize>()) } }
            div { dt { (view.t("死信（近期）", "Dead letters at hand")) } dd { (letters) } }
            div { dt { (view.t("在线观看", "Live clients")) } dd { (count(state.metrics.event_clients.get())) } }
            div { dt { (view.t("连接", "Connections")) } dd { (count(state.metrics.connections.get())) } }
        }
        (canaries(view, state))
        @if letters > 0 {
            p.quiet { (view.t("死信的内容与原因：", "What the dead letters hold, and why: ")) code { "heatstream rejected list" } " · " a href="/api/v1/rejected" { "/api/v1/rejected" } }
        }
    }
}

/// What came of the readings that gateways send of their own.
fn canaries(view: &View, state: &ApiState) -> Markup {
    let watch = lock(&state.metrics.canaries);
    html! {
        @if watch.newest().next().is_some() {
            h3 { (view.t("金丝雀读数", "Canaries")) }
            p.quiet { (view.t("网关自己发出的读数走完与真实读数相同的路；归档进度见指标 ", "Readings that gateways send of their own go the way of all others; how far the archive is, say the metrics ")) code { "heat_archiver_canary_*" } }
            table {
                thead { tr { th { (view.t("网关", "Gateway")) } th { (view.t("发出", "Sent")) } th { (view.t("到此用时", "Time to here")) } } }
                tbody {
                    @for (gateway, canary) in watch.newest().take(CANARIES_SHOWN) {
                        tr {
                            td { (gateway) }
                            td { (view.time(EventTime::from_micros(canary.sent.as_micros()))) " " span.quiet { (view.span((view.now.as_micros() - canary.sent.as_micros()) as f64 / 1e6)) (view.t("前", " ago")) } }
                            td { (format!("{:.2} s", (canary.arrived.as_micros() - canary.sent.as_micros()) as f64 / 1e6)) }
                        }
                    }
                }
            }
        }
    }
}

fn newest_reading(state: &ApiState) -> Option<EventTime> {
    let newest = |table: &std::sync::Mutex<heat_view::LiveTable>| {
        let table = lock(table);
        let of_network = |live: &heat_view::live::NetworkTable| {
            live.values().iter().flatten().map(|current| current.append_time.as_micros()).max()
        };
        table.networks().filter_map(of_network).max()
    };
    state.tables.iter().filter_map(newest).max().map(EventTime::from_micros)
}

/// Conservation: what came is what the archive holds.
fn proof(view: &View, audit: Option<&Result<Value, Problem>>) -> Markup {
    html! {
        h2 { (view.t("守恒审计", "Conservation audit")) }
        p.quiet { (view.t("逐小时核对：收到的每个测量值都在日志与归档中，不多不少。", "Hour by hour: every reading received is in log and archive, once.")) }
        @match audit {
            None => {},
            Some(Ok(report)) => {
                @let balances = report.get("balances").and_then(Value::as_bool);
                p { @if balances == Some(true) { span.badge.good { (view.t("平衡", "It balances")) } } @else { span.badge.P1 { (view.t("不平衡", "It does not balance")) } } }
                (report_figures(report))
            }
            Some(Err(problem)) => p.lacked { (words::problem(view.lang, problem.kind())) " " (view.t(problem.chinese().unwrap_or(problem.detail()), problem.detail())) },
        }
        form method="get" action="/health" { input type="hidden" name="audit" value="now"; button { (view.t("立即审计", "Audit now")) } }
    }
}

/// The report's plain numbers, by their own names.
fn report_figures(report: &Value) -> Markup {
    let numbers: Vec<(String, String)> = report
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(key, value)| match value {
            Value::Object(inner) => inner
                .iter()
                .filter(|(_, value)| value.is_number())
                .map(|(name, value)| (format!("{key} {name}").replace('_', " "), value.to_string()))
                .collect(),
            Value::Number(number) => vec![(key.replace('_', " "), number.to_string())],
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => Vec::new(),
        })
        .take(40)
        .collect();
    html! { dl.figures { @for (name, number) in &numbers { div { dt { (name) } dd { (number) } } } } }
}

/// Who did what: every command is on the log with its user.
fn commands(view: &View, state: &ApiState) -> Markup {
    let desk = lock(&state.desk);
    let entries: Vec<_> = desk.commands_newest_first().take(COMMANDS_SHOWN).collect();
    html! {
        h2 { (view.t("操作记录", "Commands")) }
        @if entries.is_empty() { p.quiet { (view.t("还没有操作。", "None yet.")) } }
        ol.log reversed {
            @for (at, entry) in &entries {
                li {
                    (view.time(at.as_event_now())) " " b { (entry.command.user) } " "
                    (words::action(view.lang, &entry.command.action))
                    @if let Some(incident) = entry.command.action.incident() {
                        " " a href=(super::overview::incident_path(incident)) { (incident) }
                    }
                    @if entry.refused { " " span.badge.P3 { (view.t("被拒绝", "refused")) } }
                }
            }
        }
    }
}
