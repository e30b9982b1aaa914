//! One incident: what is known, why, what to do, what was done; for the desk and for a crew's phone.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State},
    response::Response,
};
use heat_model::{
    EventTime, SignalId, SiteId,
    incident::{AlarmState, Incident, Priority, WorkState},
    plant::Side,
};
use heat_view::board::{Held, is_cleared, priority_word};
use maud::{Markup, html};

use super::{
    View,
    act::{actions, repaired_form, shelve_form, work_form},
    format,
    incidents::{place, state_words},
    map::{self, Detail, Marks, segment, site_path},
    overview::{BareQuery, add_incident, legend},
    plot, words,
};
use crate::{
    extract::StrictQuery,
    json::IncidentDetail,
    problem::Problem,
    routes::incidents::{detail, parse_id},
    state::{ApiState, lock},
    work::WorkStep,
};

/// Signals with a plot.
const PLOTS_MAX: usize = 6;
/// Candidates listed.
const CANDIDATES_MAX: usize = 12;
/// Effects and affected stations listed.
const LISTED_MAX: usize = 80;
/// What a plot shows before and after the onset.
const BEFORE_US: i64 = 30 * 60_000_000;
const AFTER_US: i64 = 60 * 60_000_000;

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    StrictQuery(BareQuery { .. }): StrictQuery<BareQuery>,
) -> Result<Response, Problem> {
    let found = parse_id(&id).and_then(|id| Ok((id, detail(&state, view.user()?, id)?)));
    let (id, detail) = match found {
        Ok(found) => found,
        Err(problem) => return Ok(view.failed(&problem, "/incidents")),
    };
    let held = lock(&state.board).get(id).cloned();
    let held = held.ok_or_else(|| Problem::not_found("the incident has just been forgotten"))?;
    let incident = &held.incident;
    let view = view.at(&state, &incident.network);
    let title = words::class(view.lang, incident.class);
    let body = html! {
        article.incident {
            section #summary data-live { (summary(&view, &state, incident)) }
            @if view.commands() {
                section.actions #actions data-live aria-label=(view.t("操作", "Actions")) { (actions(&view, incident)) }
                div.forms {
                    @if !is_cleared(incident) {
                        (work_form(&view, incident))
                        (repaired_form(&view, &state, incident))
                        (shelve_form(&view, incident))
                    }
                }
            }
            div.columns {
                div {
                    section.card #place data-live { (where_it_is(&view, &state, incident)) }
                    section.card #close data-live { (to_close(&view, &state, incident)) }
                    section.card #effects data-live { (affected(&view, &state, incident)) }
                }
                div {
                    section.card #work data-live { (steps(&view, &detail)) }
                    section.card #evidence data-live { (evidence(&view, &state, incident)) }
                }
            }
            section.card #plots { (plots(&view, &state, incident)) }
            section.card #tickets data-live { (tickets(&view, &detail)) }
            section.card #history data-live { (history(&view, &held)) }
        }
    };
    Ok(view.page(title, &body))
}

fn summary(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let priority = priority_word(incident.priority);
    let plant = state.plant();
    let text = view.t(&incident.text_zh, &incident.text_en).to_owned();
    html! {
        header.headline.(priority) {
            h1 { span.badge.(priority) { (priority) } " " (words::class(view.lang, incident.class)) @if let Some(kind) = &incident.kind { " (" (words::kind(view.lang, kind)) ")" } }
            p {
                a href={ "/networks/" (segment(incident.network.as_str())) } { (plant.network_name(&incident.network)) }
                " · " (state_words(view, incident))
                @if let Some(until) = incident.shelved_until.filter(|_| incident.alarm == AlarmState::Shelved) {
                    " " (view.t("至", "until")) " " (view.time(until))
                }
            }
        }
        dl.figures {
            div { dt { (view.t("疑似位置", "Likely place")) } dd { (place(view, state, incident)) } }
            @if let Some(side) = incident.side { div { dt { (view.t("供/回水", "Side")) } dd { (side_word(view, side)) } } }
            @if let Some(loss) = incident.loss_m3_h { div { dt { (view.t("估计失水", "Estimated loss")) } dd { (format::quantity(loss, "m3/h")) } } }
            div { dt { (view.t("影响热力站", "Stations affected")) } dd { (incident.affected.len()) } }
            @if let Some(households) = incident.affected_households { div { dt { (view.t("影响户数", "Households affected")) } dd { (households) } } }
            @if let Some(length) = incident.search_length_m { div { dt { (view.t("排查管沟", "Trench to search")) } dd { (format!("{length:.0} m")) } } }
            div { dt { (view.t("估计起始", "Estimated onset")) } dd { (view.time(incident.onset)) } }
            div { dt { (view.t("发现", "Opened")) } dd { (view.time(incident.opened.as_event_now())) } }
            @if let Some(cleared) = incident.cleared { div { dt { (view.t("解除", "Cleared")) } dd { (view.time(cleared.as_event_now())) } } }
        }
        p.text { (text) }
        p.quiet.fine { (view.t("编号", "Id")) " " code { (incident.id) } " · " (view.t("版本", "version")) " " (incident.version) " · " (view.t("模型等级", "model level")) " " (format!("{:?}", incident.level)) }
        @if !incident.lacked.is_empty() {
            p.lacked { (view.t("判断时缺少：", "Judged without: ")) (incident.lacked.iter().map(|what| words::lacked(view.lang, what)).collect::<Vec<_>>().join(view.t("、", ", "))) }
        }
    }
}

fn side_word(view: &View, side: Side) -> &'static str {
    match (side, view.lang) {
        (Side::Supply, super::Lang::Chinese) => "供水",
        (Side::Supply, super::Lang::English) => "supply",
        (Side::Return, super::Lang::Chinese) => "回水",
        (Side::Return, super::Lang::English) => "return",
    }
}

/// Candidates with their probabilities, and the map.
fn where_it_is(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    let mut marks = Marks::default();
    add_incident(&mut marks, &plant, incident);
    html! {
        h2 { (view.t("疑似管段", "Candidate pipes")) }
        @if incident.candidates.is_empty() {
            p.quiet { (view.t("没有可排序的管段。", "No pipe can be named.")) }
        } @else {
            div.scroll tabindex="0" {
                table.candidates {
                    thead { tr {
                        th { (view.t("管段", "Pipe")) }
                        th.num { (view.t("概率", "Probability")) }
                        th { (view.t("供/回水", "Side")) }
                        th.num { (view.t("长度", "Length")) }
                        th.num { (view.t("口径", "Bore")) }
                    } }
                    tbody {
                        @for candidate in incident.candidates.iter().take(CANDIDATES_MAX) {
                            @let row = plant.pipes.get(&candidate.pipe);
                            tr {
                                td.name { code { (candidate.pipe) } }
                                td.num { meter value=(format!("{:.3}", candidate.probability)) min="0" max="1" { } " " (format::percent(candidate.probability)) }
                                td { @if let Some(side) = row.and_then(|row| row.side) { (side_word(view, side)) } }
                                td.num { @if let Some(length) = row.and_then(|row| row.length_m) { (format!("{length:.0} m")) } }
                                td.num { @if let Some(bore) = row.and_then(|row| row.inner_diameter_mm) { (format!("{bore:.0} mm")) } }
                            }
                        }
                    }
                }
            }
            @if incident.candidates.len() > CANDIDATES_MAX {
                p.quiet.fine { (view.t("另有管段数：", "And further pipes: ")) (incident.candidates.len() - CANDIDATES_MAX) }
            }
        }
        @if let Some(map) = map::map(view.lang, &plant, &incident.network, &marks, Detail::PAGE) { (map) (legend(view, &marks)) }
    }
}

fn to_close(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    html! {
        h2 { (view.t("关断阀", "Valves to close")) }
        @if incident.valves.is_empty() {
            p.quiet { (view.t("模型中没有可关的阀门。", "The plant model names none.")) }
        } @else {
            ul.valves {
                @for id in &incident.valves {
                    @let row = plant.valves.iter().find(|row| row.id == *id);
                    li {
                        b { (id) }
                        @if let Some(row) = row {
                            " · " (view.t("管段", "pipe")) " " (row.pipe)
                            @if let Some(chamber) = &row.chamber { " · " (view.t("检查室", "chamber")) " " (plant.site_name(chamber)) (position(state, chamber)) }
                            @if row.operable == Some(false) { " " b.warn { (view.t("不可操作", "not operable")) } }
                        }
                    }
                }
            }
        }
    }
}

/// Where a site is, in its own coordinate system.
fn position(state: &ApiState, site: &SiteId) -> Markup {
    let plant = state.plant();
    let row = plant.sites.get(site).and_then(|row| Some((row.lon?, row.lat?, row.crs.as_deref())));
    html! {
        @if let Some((lon, lat, crs)) = row {
            " " span.quiet { (format!("{lon:.5}, {lat:.5} {}", crs.unwrap_or("WGS84"))) }
        }
    }
}

fn affected(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    let sites: BTreeSet<&SiteId> = super::overview::concerned(incident).iter().collect();
    html! {
        h2 { (view.t("影响", "Effects")) }
        @if sites.is_empty() && incident.effects.is_empty() {
            p.quiet { (view.t("尚未看到影响。", "None seen yet.")) }
        }
        @if !sites.is_empty() {
            ul.sites {
                @for site in sites.iter().take(LISTED_MAX) {
                    li { a href=(site_path(&incident.network, site)) { (plant.site_name(site)) } }
                }
            }
        }
        @if !incident.effects.is_empty() {
            details {
                summary { (view.t("由此引起的现象（不单独报警）", "Findings that it explains (not paged)")) " (" (incident.effects.len()) ")" }
                ul { @for effect in incident.effects.iter().take(LISTED_MAX) { li { (effect) } } }
            }
        }
    }
}

fn evidence(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    html! {
        h2 { (view.t("依据", "Evidence")) }
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (view.t("现象", "What")) }
                th { (view.t("位置", "Where")) }
                th.num { (view.t("数值", "Value")) }
                th { (view.t("时间", "When")) }
            } }
            tbody {
                @for evidence in &incident.evidence {
                    tr {
                        td { (words::evidence(view.lang, &evidence.what)) @if evidence.detector != "burst" { " " span.quiet.fine { (words::detector(view.lang, &evidence.detector)) } } }
                        td.name { (evidence_place(view, state, &evidence.place)) }
                        td.num { (format::quantity(evidence.value, &evidence.unit)) }
                        td { (view.time(evidence.at)) }
                    }
                }
            }
        } }
    }
}

/// A signal, site or circuit by what people call it.
fn evidence_place(view: &View, state: &ApiState, place: &str) -> Markup {
    let plant = state.plant();
    html! {
        @if let Ok(signal) = place.parse::<SignalId>() {
            a href=(site_path(&signal.network, &signal.site)) { (plant.site_name(&signal.site)) }
            " " (words::signal(view.lang, signal.name.as_str()))
        } @else if let Some(site) = SiteId::new(place).ok().filter(|site| plant.sites.contains_key(site)) {
            (plant.site_name(&site))
        } @else {
            (place)
        }
    }
}

/// Curves of what shows the incident: the signals that the evidence names, else those of the sites that it names.
fn plots(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let onset = incident.onset.as_micros();
    let to = view.now.as_micros().min(onset.saturating_add(AFTER_US)).max(onset + 60_000_000);
    let span = (EventTime::from_micros(onset.saturating_sub(BEFORE_US)), EventTime::from_micros(to));
    let signals = plotted(state, incident);
    let plant = state.plant();
    html! {
        h2 { (view.t("曲线", "Curves")) }
        @if signals.is_empty() { p.quiet { (view.t("依据没有对应的测点。", "The evidence names no signal.")) } }
        div.plots {
            @for signal in &signals {
                @let title = format!("{} · {}", plant.site_name(&signal.site), words::signal(view.lang, signal.name.as_str()));
                (plot::figure(signal, &title, span, Some(incident.onset)))
            }
        }
    }
}

fn plotted(state: &ApiState, incident: &Incident) -> Vec<SignalId> {
    let mut signals: Vec<SignalId> = Vec::new();
    let mut add = |signal: SignalId| {
        if signals.len() < PLOTS_MAX && !signals.contains(&signal) {
            signals.push(signal);
        }
    };
    for evidence in &incident.evidence {
        if let Ok(signal) = evidence.place.parse::<SignalId>() {
            add(signal);
            continue;
        }
        let Ok(site) = SiteId::new(&evidence.place) else { continue };
        for table in &state.tables {
            let table = lock(table);
            let Some(live) = table.network(&incident.network) else { continue };
            let of_site = live.signals(None).filter(|(entry, _)| entry.id.site == site);
            of_site
                .filter(|(entry, _)| shows(&evidence.what, entry.id.name.as_str()))
                .take(2)
                .for_each(|(entry, _)| add(entry.id.clone()));
        }
    }
    signals
}

/// Whether a signal of this name shows a finding of this kind.
fn shows(what: &str, name: &str) -> bool {
    let bare = name.strip_prefix("primary_").unwrap_or(name);
    if what.contains("pressure") {
        bare.ends_with("_pressure") && !name.starts_with("secondary_")
    } else if what.contains("make_up") {
        bare == "make_up_flow"
    } else if what.contains("flow") {
        matches!(bare, "supply_flow" | "return_flow")
    } else {
        false
    }
}

fn steps(view: &View, detail: &IncidentDetail) -> Markup {
    html! {
        h2 { (view.t("抢修工单", "Repair order")) }
        ol.steps {
            @for step in &detail.work_steps {
                @let is_now = detail.incident.work == step.state;
                li.reached[step.reached.is_some()].late[step.late].now[is_now] aria-current=[is_now.then_some("step")] { (step_line(view, step)) }
            }
        }
        @if let Some(repair) = &detail.repair {
            h3 { (view.t("现场结果", "Found on site")) }
            dl.figures {
                @if let Some(pipe) = &repair.pipe { div { dt { (view.t("管段", "Pipe")) } dd { code { (pipe) } } } }
                @if let Some(location) = &repair.location { div { dt { (view.t("位置", "Location")) } dd { (location) } } }
                @if let Some(cause) = &repair.cause { div { dt { (view.t("原因", "Cause")) } dd { (cause) } } }
                @if let Some(size) = repair.size_kg_s { div { dt { (view.t("失水量", "Loss")) } dd { (format::quantity(size, "kg/s")) } } }
                div { dt { (view.t("报告人", "Reported by")) } dd { (repair.by) } }
            }
        }
    }
}

fn step_line(view: &View, step: &WorkStep) -> Markup {
    html! {
        span.name { (words::work(view.lang, step.state)) }
        @if let (Some(reached), Some(by)) = (step.reached, &step.by) {
            " " span.when { (view.time(reached.0)) " " (by) @if step.late { " " b.warn { (view.t("超时", "late")) } } }
        } @else if let Some(due) = step.due {
            " " span.due { (view.t("期限", "due")) " " (view.time(due.0)) @if step.late { " " b.warn { (view.t("已超时", "overdue")) } } }
        }
    }
}

fn tickets(view: &View, detail: &IncidentDetail) -> Markup {
    html! {
        h2 { (view.t("相关工单", "Tickets that it explains")) }
        @if detail.tickets.is_empty() {
            p.quiet { (view.t("没有。", "None.")) }
        } @else {
            p { (detail.tickets.len()) " " (view.t("件：", "of them: "))
                @for (index, id) in detail.tickets.iter().take(LISTED_MAX).enumerate() { @if index > 0 { ", " } code { (id) } }
            }
            p { a href={ "/tickets?network=" (segment(detail.incident.network.as_str())) } { (view.t("查看工单", "See the tickets")) } }
        }
    }
}

fn history(view: &View, held: &Held) -> Markup {
    html! {
        h2 { (view.t("经过", "What happened")) }
        ol.log reversed {
            @for entry in held.changes.iter().rev() {
                li {
                    (view.time(entry.at.as_event_now())) " "
                    b { (words::change(view.lang, entry.change.kind)) }
                    @if entry.change.kind == heat_model::incident::ChangeKind::WorkMoved { " " (words::work(view.lang, entry.work)) }
                    " · " (words::detector(view.lang, &entry.change.by))
                    @if let Some(reason) = &entry.change.reason { " · " (reason) }
                }
            }
        }
    }
}

/// Whether its repair work may go on to this state.
pub(crate) fn may_move_to(incident: &Incident, state: WorkState) -> bool {
    state > incident.work && !matches!(state, WorkState::Repaired | WorkState::AwaitingVerification)
}

/// Whether shelving it takes two users.
pub(crate) fn takes_two(incident: &Incident) -> bool {
    incident.priority == Priority::P1
}
