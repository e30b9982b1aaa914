//! One network: map, key figures, stations, what its detectors can judge, maintenance and seasons.

use axum::{
    extract::{Path, State},
    response::Response,
};
use heat_detect::{DetectorState, DetectorStatus};
use heat_model::{
    EventTime, NetworkId, SiteId,
    incident::Incident,
    plant::{Medium, SiteKind},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    View, format,
    incidents::{row, table_head},
    map::{self, Detail, segment, site_path},
    overview::{condition, key_figures, last, legend, marks},
    plot, words,
};
use crate::{
    extract::StrictQuery,
    json::{Page, SignalView, SiteDetail, desk::CircuitView},
    problem::Problem,
    routes::{
        desk::known_network,
        networks::{circuits, sites, summaries},
    },
    state::{ApiState, lock},
};

/// Sites on one page.
const SITES: usize = 60;
/// Circuits of which nothing is said, up to which each has a line.
const UNSAID_MAX: usize = 6;
/// What the plots show.
const PLOT_US: i64 = 6 * 3_600_000_000;
/// Plots of the heat source.
const PLOTTED: [&str; 4] = ["supply_temperature", "supply_flow", "supply_pressure", "make_up_flow"];
/// A station's columns: what each is called, and the names that a signal of it may have, the best first.
const COLUMNS: [(&str, [&str; 2]); 6] = [
    ("supply_temperature", ["primary_supply_temperature", "supply_temperature"]),
    ("return_temperature", ["primary_return_temperature", "return_temperature"]),
    ("supply_pressure", ["primary_supply_pressure", "supply_pressure"]),
    ("return_pressure", ["primary_return_pressure", "return_pressure"]),
    ("supply_flow", ["primary_supply_flow", "supply_flow"]),
    ("secondary_supply_temperature", ["secondary_supply_temperature", "secondary_return_temperature"]),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkQuery {
    after: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    done: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<NetworkQuery>,
) -> Result<Response, Problem> {
    let id = match known_network(&state, view.user()?, &id) {
        Ok(id) => id,
        Err(problem) => return Ok(view.failed(&problem, "/")),
    };
    let after = match query.after.as_deref() {
        Some(text) => Some(SiteId::new(text).map_err(|_| Problem::bad_request("query: after is no site"))?),
        None => None,
    };
    let view = view.at(&state, &id);
    let plant = state.plant();
    let name = plant.network_name(&id).to_owned();
    let incidents: Vec<Incident> = {
        let board = lock(&state.board);
        board.open().filter(|incident| incident.network == id).cloned().collect()
    };
    let stations = sites(&state, &id, after.as_ref(), SITES, state.clock.now());
    let marks = marks(&state, &id, incidents.iter());
    let body = html! {
        section.card #network data-live {
            header.cardhead { h1 { (name) } (heading(&view, &state, &id)?) }
            (key_figures(&view, &state, &id))
            @if let Some(map) = map::map(view.lang, &plant, &id, &marks, Detail::PAGE) { (map) (legend(&view, &marks)) }
        }
        section #incidents data-live {
            @if !incidents.is_empty() {
                div.scroll tabindex="0" { table.incidents { (table_head(&view)) tbody { @for incident in incidents.iter().take(30) { (row(&view, &state, incident)) } } } }
            }
        }
        section.card #sites data-live { (table(&view, &id, &stations)) }
        section.card #curves { (curves(&view, &state, &id)) }
        section.card #detectors data-live { (detectors(&view, &state, &id)) }
        section.card #desk data-live { (desk(&view, &state, &id)) }
        @if view.commands() { div.forms { (window_form(&view, &id)) @if view.governs() { (season_form(&view, &state, &id)) } } }
    };
    Ok(view.page(&name, &body))
}

fn heading(view: &View, state: &ApiState, id: &NetworkId) -> Result<Markup, Problem> {
    let sight = state.sight(view.user()?);
    let summary = summaries(state, &sight).into_iter().find(|network| network.id == *id);
    Ok(html! { @if let Some(summary) = summary {
        @if let Some(operator) = &summary.operator { p.quiet { (operator) @if let Some(district) = &summary.district { " · " (district) } } }
        (condition(view, &summary))
    } })
}

fn table(view: &View, network: &NetworkId, stations: &Page<SiteDetail>) -> Markup {
    let of = |site: &SiteDetail, names: [&str; 2]| -> Option<(String, SignalView)> {
        names.into_iter().find_map(|name| {
            let suffix = format!("/{name}");
            let signal = site.signals.iter().find(|signal| signal.id.ends_with(&suffix))?;
            Some((name.to_owned(), signal.clone()))
        })
    };
    // A chamber or building with nothing to show would only hide the stations between.
    let is_listed = |site: &&SiteDetail| {
        !matches!(site.kind, Some(SiteKind::Chamber | SiteKind::Building))
            || COLUMNS.iter().any(|(_, names)| of(site, *names).is_some())
    };
    html! {
        h2 { (view.t("站点", "Sites")) }
        div.scroll tabindex="0" { table.dense {
            thead { tr {
                th { (view.t("站点", "Site")) }
                @for (name, _) in COLUMNS { th.num { (words::signal(view.lang, name)) } }
            } }
            tbody {
                @for site in stations.items.iter().filter(is_listed) {
                    tr {
                        th scope="row" { a href=(site_path(network, &site.id)) { (site.name.as_deref().unwrap_or(site.id.as_str())) } }
                        @for (_, names) in COLUMNS {
                            td.num { @if let Some((name, signal)) = of(site, names) { (last(view, &name, &signal)) } }
                        }
                    }
                }
            }
        } }
        @if let Some(next) = &stations.next {
            p.more { a href={ "/networks/" (segment(network.as_str())) "?after=" (segment(next)) "#sites" } { (view.t("下一页", "Next page")) } }
        }
    }
}

fn curves(view: &View, state: &ApiState, network: &NetworkId) -> Markup {
    let plant = state.plant();
    let mut sources: Vec<SiteId> = plant
        .sites_of(network)
        .filter(|site| site.kind == Some(SiteKind::Source))
        .map(|site| site.id.clone())
        .collect();
    sources.sort();
    let mut signals = Vec::new();
    for table in &state.tables {
        let table = lock(table);
        let Some(live) = table.network(network) else { continue };
        for (entry, _) in live.signals(None) {
            let is_source = sources.first() == Some(&entry.id.site);
            if is_source && PLOTTED.contains(&entry.id.name.as_str()) {
                signals.push(entry.id.clone());
            }
        }
    }
    let span = (EventTime::from_micros(view.now.as_micros() - PLOT_US), view.now);
    html! {
        h2 { (view.t("热源曲线（6 小时）", "Heat source, 6 hours")) }
        @if signals.is_empty() { p.quiet { (view.t("没有热源测点。", "No signals of a heat source.")) } }
        div.plots {
            @for signal in signals.iter().take(PLOTTED.len()) {
                (plot::figure(signal, &words::signal(view.lang, signal.name.as_str()), span, None))
            }
        }
    }
}

/// What each detector can judge: a detector that lacks something says so.
fn detectors(view: &View, state: &ApiState, network: &NetworkId) -> Markup {
    let status = lock(&state.board).status(network).cloned();
    html! {
        h2 { (view.t("检测能力", "What is watched")) }
        @match status {
            None => p.quiet { (view.t("处理程序尚未报告。", "The processor has not said yet.")) },
            Some(status) => {
                p.quiet.fine { (view.t("模型等级", "Model level")) " " (format!("{:?}", status.level)) " · " (view.time(status.at.as_event_now())) }
                ul.detectors { @for detector in &status.detectors { (detector_line(view, detector)) } }
            }
        }
    }
}

pub(crate) fn detector_line(view: &View, detector: &DetectorStatus) -> Markup {
    let name = words::detector(view.lang, &detector.detector);
    html! {
        @match &detector.state {
            DetectorState::Ready => li { span.dot.good {} " " (name) " " span.quiet { (view.t("工作中", "judges")) } },
            DetectorState::Learning { seconds_left } => li {
                span.dot.learning {} " " (name) " "
                span.quiet { (view.t("学习中，还需", "learns, needs another")) " " (format::span(view.lang, f64::from(u32::try_from(*seconds_left).unwrap_or(u32::MAX)))) }
            },
            DetectorState::Lacking { signals } => li {
                span.dot.lacking {} " " (name) " "
                details { summary { (view.t("缺少", "lacks")) " " (signals.len()) " " (view.t("项", "items")) } ul { @for signal in signals.iter().take(40) { li { (signal) } } } }
            },
            DetectorState::OutOfSeason { season, suggested } => li {
                span.dot.learning {} " " (name) " "
                span.quiet {
                    (view.t("本季节状态不判断：", "rests in this season: ")) (words::season(view.lang, *season))
                    @if *suggested { (view.t("（数据推断）", " (the data suggest it)")) }
                }
            },
        }
    }
}

/// Maintenance windows that hold, and the circuits' seasons.
fn desk(view: &View, state: &ApiState, network: &NetworkId) -> Markup {
    let circuits = circuits(state, network);
    let is_said = |circuit: &&CircuitView| circuit.season.is_some() || circuit.suggested.is_some();
    let unsaid = circuits.iter().filter(|circuit| !is_said(circuit)).count();
    let listed: Vec<_> = circuits.iter().filter(|circuit| unsaid <= UNSAID_MAX || is_said(circuit)).collect();
    let desk = lock(&state.desk);
    let windows: Vec<_> = desk.windows(view.now).filter(|window| window.network == *network).collect();
    html! {
        h2 { (view.t("检修停用与运行状态", "Maintenance and seasons")) }
        @if windows.is_empty() { p.quiet { (view.t("没有检修停用。", "Nothing is out of service.")) } }
        ul.plain {
            @for window in &windows {
                li {
                    b { (window.id) } " · " (window.place.as_deref().unwrap_or(view.t("全网", "whole network")))
                    " · " (view.t("至", "until")) " " (view.time(window.until)) " · " (window.reason) " · " (window.user)
                    @if view.commands() {
                        form.inline method="post" action={ "/networks/" (segment(network.as_str())) "/maintenance-end" } {
                            input type="hidden" name="id" value=(window.id);
                            button { (view.t("结束", "End")) }
                        }
                    }
                }
            }
        }
        @if !listed.is_empty() {
            table.dense { tbody {
                @for circuit in listed.iter().take(200) {
                    tr {
                        th scope="row" {
                            (circuit.id) " " span.quiet {
                                (words::circuit_kind(view.lang, circuit.kind))
                                @if circuit.medium == Medium::Steam { " · " (view.t("蒸汽", "steam")) }
                                @if let Some(on) = &circuit.converted_on { " · " (view.t("汽改水", "converted")) " " (on) }
                            }
                        }
                        td { @match &circuit.season {
                            Some(season) => {
                                (words::season(view.lang, season.state)) " · " (view.time(season.since.0)) " · "
                                (season.by.as_deref().unwrap_or(view.t("日历", "calendar")))
                            },
                            None => span.quiet { (view.t("未登记（按供热处理）", "not said (taken as heating)")) },
                        } }
                        td { @if let Some(other) = &circuit.suggested {
                            (view.t("数据显示：", "the data show: ")) b { (words::season(view.lang, other.state)) } " · "
                            (view.t("自", "since")) " " (view.time(other.since.0)) " · "
                            code { "heatstream season " (circuit.id) " " (other.state.as_str()) }
                        } }
                    }
                }
            } }
        }
        @if listed.len() < circuits.len() {
            p.quiet { (unsaid) (view.t(" 个回路未登记（按供热处理）。", " circuits of which nothing is said (taken as heating).")) }
        }
    }
}

fn window_form(view: &View, network: &NetworkId) -> Markup {
    let until = EventTime::from_micros(view.now.as_micros().saturating_add(4 * 3_600_000_000));
    html! {
        details.card {
            summary { (view.t("登记检修停用", "Take something out of service")) }
            form.stacked method="post" action={ "/networks/" (segment(network.as_str())) "/maintenance" } {
                label { (view.t("名称", "Name")) input name="id" required maxlength="64" autocomplete="off"; }
                @if view.governs() {
                    label { (view.t("站点或管段（空：全网）", "Site or pipe (empty: whole network)")) input name="place" autocomplete="off" spellcheck="false"; }
                } @else {
                    label { (view.t("站点或管段", "Site or pipe")) input name="place" required autocomplete="off" spellcheck="false"; }
                }
                label { (view.t("至", "Until")) input type="datetime-local" name="until" required value=(format::input_text(until, &view.zone)); }
                label { (view.t("原因", "Reason")) input name="reason" required maxlength="500"; }
                button { (view.t("登记", "Submit")) }
            }
        }
    }
}

fn season_form(view: &View, state: &ApiState, network: &NetworkId) -> Markup {
    let circuits = circuits(state, network);
    html! {
        @if !circuits.is_empty() {
            details.card {
                summary { (view.t("登记运行状态", "Say a circuit's season")) }
                form.stacked method="post" action={ "/networks/" (segment(network.as_str())) "/season" } {
                    label { (view.t("环路", "Circuit"))
                        select name="circuit" { @for circuit in circuits.iter().take(500) { option value=(circuit.id) { (circuit.id) } } }
                    }
                    label { (view.t("状态", "State"))
                        select name="state" { @for season in words::SEASONS { option value=(season.as_str()) { (words::season(view.lang, season)) } } }
                    }
                    button { (view.t("登记", "Submit")) }
                }
            }
        }
    }
}
