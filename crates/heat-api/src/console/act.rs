//! What people do on the console: forms, and the commands that they become. A form is answered by going back to its
//! page, so that reloading repeats nothing.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use heat_model::{
    CircuitId, EventTime, IncidentId, NetworkId, PipeId,
    incident::{AlarmState, Incident, WorkState},
    plant::SeasonState,
    record::Action,
    ticket::FollowUpOutcome,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::{
    View, format,
    incident::{may_move_to, takes_two},
    map::segment,
    overview::incident_path,
    words,
};
use crate::{
    extract::StrictForm,
    json::{
        ApiTime, RepairedBody, ShelveBody,
        desk::{FollowUpBody, WindowBody},
    },
    problem::Problem,
    routes::{
        commands::{Carried, accept_ticket, command, repair, shelving, take},
        desk::{call_back, end, known_network, window_action},
        incidents::parse_id,
    },
    state::ApiState,
    work::{STEPS, work_word},
};

/// Causes that crews name most; others are typed.
const CAUSES: [(&str, &str); 7] = [
    ("外壁腐蚀", "outer corrosion"),
    ("内壁腐蚀", "inner corrosion"),
    ("焊缝开裂", "weld failure"),
    ("补偿器损坏", "compensator failure"),
    ("阀门或法兰泄漏", "valve or flange"),
    ("第三方施工破坏", "damage by others' works"),
    ("地面沉降", "subsidence"),
];
/// Minutes that something may be shelved for; a P1 for an hour at most.
const SHELVE_MINUTES: [(i64, &str, &str); 6] = [
    (15, "15 分钟", "15 min"),
    (30, "30 分钟", "30 min"),
    (55, "55 分钟", "55 min"),
    (240, "4 小时", "4 h"),
    (1_440, "1 天", "1 day"),
    (10_080, "7 天", "7 days"),
];
/// A ton an hour in kg/s.
const TON_PER_HOUR_KG_S: f64 = 1.0 / 3.6;

/// The fields of all forms on an incident's page; an empty one was left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IncidentForm {
    version: Option<u32>,
    minutes: Option<i64>,
    reason: String,
    state: Option<WorkState>,
    pipe: String,
    location: String,
    cause: String,
    size_t_h: String,
}

pub(crate) async fn incident(
    view: View,
    State(state): State<ApiState>,
    Path((id, action)): Path<(String, String)>,
    form: Result<StrictForm<IncidentForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(form) = form?;
        let incident = parse_id(&id)?;
        let wanted = wanted(&view, &state, incident, &action, form)?;
        command(&state, view.user()?, incident, wanted).await
    };
    // An id of ours is hexadecimal; whatever else came here goes nowhere.
    let path = id.parse::<IncidentId>().map_or_else(|_| "/incidents".to_owned(), incident_path);
    match outcome.await {
        Ok(Carried::Out(_)) => Redirect::to(&format!("{path}?done={}", segment(&action))).into_response(),
        Ok(Carried::Pending) => Redirect::to(&format!("{path}?done=pending")).into_response(),
        Err(problem) => view.failed(&problem, &path),
    }
}

fn wanted(
    view: &View,
    state: &ApiState,
    incident: IncidentId,
    action: &str,
    form: IncidentForm,
) -> Result<Action, Problem> {
    match action {
        "acknowledge" => Ok(Action::Acknowledge { incident, version: form.version }),
        "unshelve" => Ok(Action::Unshelve { incident }),
        "shelve" => {
            let minutes = form.minutes.ok_or_else(|| {
                Problem::unprocessable("minutes: say for how long").in_chinese("请选择搁置多久")
            })?;
            let until = view.now.as_micros().saturating_add(minutes.saturating_mul(60_000_000));
            let body = ShelveBody { until: ApiTime::from_micros(until), reason: form.reason };
            shelving(incident, body)
        }
        "work" => {
            let state = form
                .state
                .ok_or_else(|| Problem::unprocessable("state: say which").in_chinese("请选择抢修进展"))?;
            Ok(Action::Work { incident, state })
        }
        "repaired" => repair(state, incident, repaired(form)?),
        _ => Err(Problem::not_found("nothing of this name can be done")),
    }
}

fn repaired(form: IncidentForm) -> Result<RepairedBody, Problem> {
    let filled = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let pipe = filled(form.pipe)
        .map(|pipe| {
            PipeId::new(&pipe).map_err(|error| {
                Problem::unprocessable(format!("pipe: {error}")).in_chinese("管段：编号有误，请从列表中选择")
            })
        })
        .transpose()?;
    let size_kg_s = filled(form.size_t_h)
        .map(|size| {
            let wrong = || {
                Problem::unprocessable("size: a number of tons an hour, such as 12.5")
                    .in_chinese("失水量：请填写以 t/h 为单位的数，例如 12.5")
            };
            size.replace(',', ".").parse::<f64>().map(|size| size * TON_PER_HOUR_KG_S).map_err(|_| wrong())
        })
        .transpose()?;
    Ok(RepairedBody { pipe, location: filled(form.location), cause: filled(form.cause), size_kg_s })
}

/// What can be done with one touch.
pub(crate) fn actions(view: &View, incident: &Incident) -> Markup {
    let path = incident_path(incident.id);
    let next = STEPS.into_iter().find(|step| may_move_to(incident, *step));
    let is_over = incident.alarm == AlarmState::Cleared;
    html! {
        @if incident.alarm == AlarmState::Unacknowledged {
            form method="post" action={ (path) "/acknowledge" } {
                input type="hidden" name="version" value=(incident.version);
                button.primary { (view.t("确认", "Acknowledge")) }
            }
        }
        @if incident.alarm == AlarmState::Shelved {
            form method="post" action={ (path) "/unshelve" } { button { (view.t("取消搁置", "End shelving")) } }
        }
        @if let Some(next) = next.filter(|next| !is_over && *next < WorkState::Repaired) {
            form method="post" action={ (path) "/work" } {
                input type="hidden" name="state" value=(work_word(next));
                button { (view.t("抢修：", "Repair: ")) (words::work(view.lang, next)) }
            }
        }
        @if is_over { p.quiet { (view.t("事件已解除。", "The incident is cleared.")) } }
    }
}

pub(crate) fn work_form(view: &View, incident: &Incident) -> Markup {
    let path = incident_path(incident.id);
    html! {
        details.card {
            summary { (view.t("抢修进展", "Move the repair order on")) }
            form.stacked method="post" action={ (path) "/work" } {
                label { (view.t("当前步骤", "Step reached"))
                    select name="state" {
                        @for step in STEPS.into_iter().filter(|step| may_move_to(incident, *step)) {
                            option value=(work_word(step)) { (words::work(view.lang, step)) }
                        }
                    }
                }
                button { (view.t("提交", "Submit")) }
            }
        }
    }
}

pub(crate) fn shelve_form(view: &View, incident: &Incident) -> Markup {
    let can =
        matches!(incident.alarm, AlarmState::Unacknowledged | AlarmState::Acknowledged | AlarmState::Shelved);
    let longest = if takes_two(incident) { 60 } else { i64::MAX };
    html! {
        @if can {
            details.card {
                summary { (view.t("限时搁置", "Shelve for a time")) }
                form.stacked method="post" action={ (incident_path(incident.id)) "/shelve" } {
                    @if takes_two(incident) {
                        p.quiet { (view.t("一级事件最多搁置一小时，需要两位值班员先后提交。", "A P1 is shelved for an hour at most, by two users one after the other.")) }
                    }
                    label { (view.t("时长", "For"))
                        select name="minutes" {
                            @for (minutes, chinese, english) in SHELVE_MINUTES.into_iter().filter(|(minutes, _, _)| *minutes <= longest) {
                                option value=(minutes) { (view.t(chinese, english)) }
                            }
                        }
                    }
                    label { (view.t("原因（必填）", "Reason (required)")) input name="reason" required maxlength="500"; }
                    button { (view.t("搁置", "Shelve")) }
                }
            }
        }
    }
}

pub(crate) fn repaired_form(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    let known: Vec<_> =
        incident.candidates.iter().filter_map(|candidate| plant.pipes.get(&candidate.pipe)).collect();
    html! {
        details.card {
            summary { (view.t("报告已修复", "Report it repaired")) }
            form.stacked method="post" action={ (incident_path(incident.id)) "/repaired" } {
                label { (view.t("破损管段", "Pipe found broken"))
                    input name="pipe" list="pipes" autocomplete="off" spellcheck="false";
                }
                datalist #pipes {
                    @for pipe in &known { option value=(pipe.id) {} }
                }
                label { (view.t("具体位置", "Location")) input name="location" maxlength="500"; }
                label { (view.t("原因", "Cause")) input name="cause" list="causes" maxlength="500" autocomplete="off"; }
                datalist #causes { @for (chinese, english) in CAUSES { option value=(view.t(chinese, english)) {} } }
                label { (view.t("失水量（t/h）", "Loss found (t/h)")) input name="size_t_h" inputmode="decimal" autocomplete="off"; }
                p.quiet { (view.t("修复由数据验证：补水量回到基线后自动解除，否则重开。", "The data verify it: the incident is cleared once make-up is back at its baseline, and reopened if not.")) }
                button.primary { (view.t("提交", "Submit")) }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowForm {
    id: String,
    place: String,
    until: String,
    reason: String,
}

pub(crate) async fn begin_window(
    view: View,
    State(state): State<ApiState>,
    Path(network): Path<String>,
    form: Result<StrictForm<WindowForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(form) = form?;
        let user = view.user()?;
        let network = known_network(&state, user, &network)?;
        let until = format::input_time(&form.until, &state.time_zone(&network));
        let until = until
            .ok_or_else(|| Problem::unprocessable("until: say until when").in_chinese("请填写截止时间"))?;
        let place = Some(form.place).filter(|place| !place.trim().is_empty());
        let body = WindowBody { id: form.id, place, until: ApiTime(until), reason: form.reason };
        let action = window_action(&state, &network, body)?;
        take(&state, user, &network, action).await
    };
    back_to_network(&view, outcome.await.map(|_| ()), &network, "maintenance")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowEndForm {
    id: String,
}

pub(crate) async fn end_window(
    view: View,
    State(state): State<ApiState>,
    Path(network): Path<String>,
    form: Result<StrictForm<WindowEndForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(form) = form?;
        let user = view.user()?;
        let network = known_network(&state, user, &network)?;
        end(&state, user, &network, form.id).await
    };
    back_to_network(&view, outcome.await.map(|_| ()), &network, "maintenance-end")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeasonForm {
    circuit: CircuitId,
    state: SeasonState,
}

pub(crate) async fn season(
    view: View,
    State(state): State<ApiState>,
    Path(network): Path<String>,
    form: Result<StrictForm<SeasonForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(form) = form?;
        let user = view.user()?;
        let network = known_network(&state, user, &network)?;
        let is_ours = state.plant().circuits.get(&form.circuit).is_some_and(|row| row.network == network);
        if !is_ours {
            return Err(
                Problem::unprocessable("circuit: none of this network").in_chinese("回路：不属于该热网")
            );
        }
        let action = Action::Season { circuit: form.circuit, state: form.state };
        take(&state, user, &network, action).await
    };
    back_to_network(&view, outcome.await.map(|_| ()), &network, "season")
}

fn back_to_network(view: &View, outcome: Result<(), Problem>, network: &str, done: &str) -> Response {
    let path = format!("/networks/{}", segment(network));
    match outcome {
        Ok(()) => Redirect::to(&format!("{path}?done={done}")).into_response(),
        Err(problem) => view.failed(&problem, &path),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketForm {
    kind: String,
    network: String,
    site: String,
    area: String,
    external_id: String,
    text: String,
}

/// The form becomes the interface's JSON, so that it is checked and masked like every other ticket.
pub(crate) async fn ticket(
    view: View,
    State(state): State<ApiState>,
    form: Result<StrictForm<TicketForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(form) = form?;
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let ticket = json!({
            "id": ticket_id(&view, view.now)?,
            "time": ApiTime(view.now).to_string(),
            "kind": form.kind,
            "network": filled(&form.network),
            "site": filled(&form.site),
            "area": filled(&form.area),
            "external_id": filled(&form.external_id),
            "text": filled(&form.text),
        });
        accept_ticket(&state, view.user()?, ticket.to_string().as_bytes()).await
    };
    match outcome.await {
        Ok(_) => Redirect::to("/tickets?done=ticket").into_response(),
        Err(problem) => view.failed(&problem, "/tickets"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowUpForm {
    network: NetworkId,
    ticket: String,
    outcome: FollowUpOutcome,
    note: String,
}

pub(crate) async fn follow_up(
    view: View,
    State(state): State<ApiState>,
    form: Result<StrictForm<FollowUpForm>, Problem>,
) -> Response {
    let outcome = async {
        let StrictForm(FollowUpForm { network, ticket, outcome, note }) = form?;
        let body = FollowUpBody { outcome, note: Some(note), network: Some(network) };
        call_back(&state, view.user()?, ticket, body).await
    };
    match outcome.await {
        Ok(_) => Redirect::to("/tickets?done=follow-up").into_response(),
        Err(problem) => view.failed(&problem, "/tickets"),
    }
}

/// Two of one microsecond and user would be one ticket.
fn ticket_id(view: &View, now: EventTime) -> Result<String, Problem> {
    Ok(format!("console-{}-{}", view.user()?.name, now.as_micros()))
}
