//! One station or source: every signal with its last value, plots, and what happened here.

use axum::{
    extract::{Path, State},
    response::Response,
};
use heat_model::{EventTime, IngestTime, NetworkId, SignalId, SiteId, incident::Incident, plant::SiteKind};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    View,
    incidents::{row, table_head},
    map::{segment, site_path},
    overview::last,
    plot, words,
};
use crate::{
    extract::StrictQuery,
    json::SignalView,
    problem::Problem,
    routes::{desk::known_network, signals},
    state::{ApiState, lock},
};

/// Signals listed.
const SIGNALS_MAX: usize = 300;
/// Signals with a plot.
const PLOTS_MAX: usize = 12;
/// Spans of the plots to choose from.
const SPANS: [(&str, i64, &str, &str); 4] = [
    ("1h", 1, "1 小时", "1 h"),
    ("6h", 6, "6 小时", "6 h"),
    ("24h", 24, "24 小时", "24 h"),
    ("7d", 168, "7 天", "7 days"),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteQuery {
    span: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    Path((network, site)): Path<(String, String)>,
    StrictQuery(query): StrictQuery<SiteQuery>,
) -> Result<Response, Problem> {
    let found = known_network(&state, view.user()?, &network)
        .and_then(|network| Ok((known_site(&state, &network, &site)?, network)));
    let (site, network) = match found {
        Ok(found) => found,
        Err(problem) => return Ok(view.failed(&problem, "/")),
    };
    let view = view.at(&state, &network);
    let plant = state.plant();
    let signals = signals_of(&state, &network, &site, state.clock.now());
    let wanted = query.span.as_deref().unwrap_or("6h");
    let span = SPANS.into_iter().find(|(word, ..)| *word == wanted).unwrap_or(SPANS[1]);
    let incidents = incidents_at(&state, &network, &site);
    let name = plant.site_name(&site).to_owned();
    let row_of = plant.sites.get(&site);
    let body = html! {
        section.card #site data-live {
            header.cardhead {
                h1 { (name) }
                p.quiet {
                    (words::site_kind(view.lang, row_of.and_then(|row| row.kind))) " · "
                    a href={ "/networks/" (segment(network.as_str())) } { (plant.network_name(&network)) }
                    @if let Some(area) = row_of.and_then(|row| row.heated_area_m2) { " · " (format!("{:.2}", area / 10_000.0)) " 万㎡" }
                    @if let Some(homes) = row_of.and_then(|row| row.households) { " · " (homes) " " (view.t("户", "homes")) }
                }
            }
            (values(&view, &signals))
        }
        section #incidents data-live {
            @if !incidents.is_empty() {
                div.scroll tabindex="0" { table.incidents { (table_head(&view)) tbody { @for incident in &incidents { (row(&view, &state, incident)) } } } }
            }
        }
        section.card {
            header.cardhead { h2 { (view.t("曲线", "Curves")) }
                nav.spans aria-label=(view.t("时段", "Time")) {
                    @for (word, _, chinese, english) in SPANS {
                        a href={ (site_path(&network, &site)) "?span=" (word) } aria-current=[(word == span.0).then_some("true")] { (view.t(chinese, english)) }
                    }
                }
            }
            (plots(&view, &signals, span.1))
        }
    };
    Ok(view.page(&name, &body))
}

fn known_site(state: &ApiState, network: &NetworkId, site: &str) -> Result<SiteId, Problem> {
    let unknown = || Problem::not_found("this network has no such site");
    let site = SiteId::new(site).map_err(|_| unknown())?;
    let plant = state.plant();
    let row = plant.sites.get(&site);
    if row.is_some_and(|row| row.kind == Some(SiteKind::Household)) {
        return Err(unknown());
    }
    let is_described = row.is_some_and(|row| row.network.as_ref() == Some(network));
    let speaks = || {
        state.tables.iter().any(|table| {
            let table = lock(table);
            table
                .network(network)
                .is_some_and(|live| live.signals(None).any(|(entry, _)| entry.id.site == site))
        })
    };
    if is_described || speaks() { Ok(site) } else { Err(unknown()) }
}

fn signals_of(
    state: &ApiState,
    network: &NetworkId,
    site: &SiteId,
    now: IngestTime,
) -> Vec<(SignalId, SignalView)> {
    let mut found = Vec::new();
    for table in &state.tables {
        let table = lock(table);
        let Some(live) = table.network(network) else { continue };
        let of_site = live.signals(None).filter(|(entry, _)| entry.id.site == *site);
        found.extend(of_site.take(SIGNALS_MAX).map(|(entry, current)| {
            (entry.id.clone(), signals::view(entry, current, table.settings(), now))
        }));
    }
    found
}

fn incidents_at(state: &ApiState, network: &NetworkId, site: &SiteId) -> Vec<Incident> {
    let is_here = |incident: &&Incident| {
        let place = incident.place.as_deref().map(|place| place.split('/').nth(1).unwrap_or(place));
        incident.network == *network
            && (incident.affected.contains(site)
                || incident.branch.contains(site)
                || place == Some(site.as_str()))
    };
    lock(&state.board).list(None).filter(is_here).take(20).cloned().collect()
}

fn values(view: &View, signals: &[(SignalId, SignalView)]) -> Markup {
    html! {
        @if signals.is_empty() { p.quiet { (view.t("没有测点。", "It has no signals.")) } }
        div.scroll tabindex="0" { table.dense {
            thead { tr {
                th { (view.t("测点", "Signal")) }
                th { (view.t("设备", "Device")) }
                th.num { (view.t("最新值", "Last value")) }
                th { (view.t("测量时间", "Measured")) }
                th { (view.t("质量", "Quality")) }
            } }
            tbody {
                @for (id, signal) in signals {
                    tr {
                        th scope="row" { (words::signal(view.lang, id.name.as_str())) }
                        td.quiet { (id.device) }
                        td.num { (last(view, id.name.as_str(), signal)) }
                        td { @if let Some(last) = &signal.last { (view.time(last.time.0)) } }
                        td { @if let Some(last) = &signal.last { (quality(view, last.quality, last.current)) } }
                    }
                }
            }
        } }
    }
}

pub(crate) fn quality(view: &View, quality: heat_model::Quality, current: bool) -> Markup {
    use heat_model::Quality;
    html! {
        @match (quality, current) {
            (_, false) => span.badge.silent { (view.t("超时", "old")) },
            (Quality::Good, true) => span.quiet { (view.t("良好", "good")) },
            (Quality::Uncertain, true) => span.badge.P3 { (view.t("可疑", "uncertain")) },
            (Quality::Bad, true) => span.badge.P2 { (view.t("坏值", "bad")) },
        }
    }
}

fn plots(view: &View, signals: &[(SignalId, SignalView)], hours: i64) -> Markup {
    let from = EventTime::from_micros(view.now.as_micros() - hours * 3_600_000_000);
    html! {
        div.plots {
            @for (id, _) in signals.iter().take(PLOTS_MAX) {
                (plot::figure(id, &words::signal(view.lang, id.name.as_str()), (from, view.now), None))
            }
        }
        @if signals.len() > PLOTS_MAX { p.quiet { (view.t("其余测点的历史见接口。", "History of the other signals: by the API.")) } }
    }
}
