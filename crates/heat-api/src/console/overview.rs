//! The city at a glance: what calls for somebody, and every network with its map and key figures.

use axum::{extract::State, response::Response};
use heat_model::{EventTime, IncidentId, NetworkId, incident::Incident, plant::SiteKind};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    View,
    incidents::{row, table_head},
    map::{self, Detail, Marks, SiteMark, segment},
    words,
};
use crate::{
    extract::StrictQuery,
    json::{NetworkSummary, SignalView},
    problem::Problem,
    routes::{networks::summaries, signals},
    state::{ApiState, PlantIndex, lock},
};

/// Networks with a map on one page, those with incidents first; the others are a list.
const MAPS_MAX: usize = 4;
/// Open incidents shown before the list of all.
const INCIDENTS_MAX: usize = 12;
/// Networks listed without a map.
const LISTED_MAX: usize = 300;

/// The key figures of a heat source, in the order of the desk's questions.
const KEY_NAMES: [&str; 8] = [
    "supply_temperature",
    "return_temperature",
    "supply_pressure",
    "return_pressure",
    "supply_flow",
    "return_flow",
    "make_up_flow",
    "heat_power",
];

/// The query of a page that has no parameters but the language and what was done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BareQuery {
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    done: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    StrictQuery(BareQuery { .. }): StrictQuery<BareQuery>,
) -> Result<Response, Problem> {
    let sight = state.sight(view.user()?);
    let mut networks = summaries(&state, &sight);
    let incidents: Vec<Incident> = {
        let board = lock(&state.board);
        board.open().filter(|incident| sight.of(&incident.network)).cloned().collect()
    };
    networks.sort_by_key(|network| {
        (network.worst_priority.is_none(), network.worst_priority, network.id.clone())
    });
    let (drawn, listed) = networks.split_at(networks.len().min(MAPS_MAX));
    let plant = state.plant();
    let details =
        Detail::shared(&drawn.iter().map(|network| map::size(&plant, &network.id)).collect::<Vec<_>>());
    let body = html! {
        h1.quiet { (view.t("供热网总览", "Heat networks")) }
        section #calls-list data-live { (calling(&view, &state, &incidents)) }
        div.networks {
            @for (network, detail) in drawn.iter().zip(details) {
                section.card #{ "network-" (network.id) } data-live { (card(&view, &state, network, &incidents, detail)) }
            }
        }
        @if !listed.is_empty() { section.card #networks data-live { (list(&view, listed)) } }
        @if networks.is_empty() {
            p.card { (view.t("还没有热网：向 MQTT 发送第一条测量数据，它就会出现在这里。", "No network yet: send the first reading over MQTT, and it appears here.")) }
        }
    };
    Ok(view.page(view.t("总览", "Overview"), &body))
}

fn calling(view: &View, state: &ApiState, incidents: &[Incident]) -> Markup {
    let urgent: Vec<&Incident> =
        incidents.iter().filter(|it| it.priority != heat_model::incident::Priority::P4).collect();
    let daily = incidents.len() - urgent.len();
    html! {
        @if urgent.is_empty() {
            p.calm { (view.t("没有需要处理的事件。", "Nothing calls for action.")) }
        } @else {
            div.scroll tabindex="0" { table.incidents {
                (table_head(view))
                tbody { @for incident in urgent.iter().take(INCIDENTS_MAX) { (row(view, state, incident)) } }
            } }
        }
        @if urgent.len() > INCIDENTS_MAX || daily > 0 {
            p.more { a href="/incidents" {
                @if urgent.len() > INCIDENTS_MAX { (view.t("全部未结事件", "All open incidents")) " (" (urgent.len()) ")" }
                @else { (view.t("每日清单（四级）", "Daily list (P4)")) " (" (daily) ")" }
            } }
        }
    }
}

fn card(
    view: &View,
    state: &ApiState,
    network: &NetworkSummary,
    incidents: &[Incident],
    detail: Detail,
) -> Markup {
    let id = &network.id;
    let plant = state.plant();
    let marks = marks(state, id, incidents.iter().filter(|incident| incident.network == *id));
    html! {
        header.cardhead {
            h2 { a href={ "/networks/" (segment(id.as_str())) } { (plant.network_name(id)) } }
            (condition(view, network))
        }
        (key_figures(view, state, id))
        @match map::map(view.lang, &plant, id, &marks, detail) {
            Some(map) => { (map) (legend(view, &marks)) }
            None => p.quiet { (view.t("没有管网模型，无示意图。", "No plant model, so no map.")) }
        }
    }
}

/// What a network's colour says, in words.
pub(crate) fn condition(view: &View, network: &NetworkSummary) -> Markup {
    let silent = network.signals - network.signals_current;
    html! {
        p.condition {
            @match network.worst_priority {
                Some(priority) => span.badge.(heat_view::board::priority_word(priority)) {
                    (network.incidents_open) " " (view.t("起未结事件", if network.incidents_open == 1 { "open incident" } else { "open incidents" }))
                },
                None => span.badge.good { (view.t("正常", "In order")) },
            }
            " "
            @if silent > 0 {
                a.badge.silent href="/quality" { (silent) " " (view.t("个测点无新数据", if silent == 1 { "silent signal" } else { "silent signals" })) }
            }
        }
    }
}

fn list(view: &View, networks: &[NetworkSummary]) -> Markup {
    html! {
        h2 { (view.t("其他热网", "Other networks")) }
        ul.plain {
            @for network in networks.iter().take(LISTED_MAX) {
                li {
                    a href={ "/networks/" (segment(network.id.as_str())) } { (network.name.as_deref().unwrap_or(network.id.as_str())) }
                    (condition(view, network))
                }
            }
        }
        @if networks.len() > LISTED_MAX {
            p { (view.t("更多热网见接口：", "More by the API: ")) a href="/api/v1/networks" { "/api/v1/networks" } }
        }
    }
}

/// The heat source's figures.
pub(crate) fn key_figures(view: &View, state: &ApiState, network: &NetworkId) -> Markup {
    let figures = source_signals(state, network);
    html! {
        @if !figures.is_empty() {
            dl.figures {
                @for (name, signal) in &figures {
                    div { dt { (words::signal(view.lang, name)) } dd { (last(view, name, signal)) } }
                }
            }
        }
    }
}

/// The first heat source's signals among the key figures, in their order.
fn source_signals(state: &ApiState, network: &NetworkId) -> Vec<(&'static str, SignalView)> {
    let plant = state.plant();
    let mut sources: Vec<_> = plant
        .sites_of(network)
        .filter(|site| site.kind == Some(SiteKind::Source))
        .map(|site| &site.id)
        .collect();
    sources.sort();
    let now = state.clock.now();
    for table in &state.tables {
        let table = lock(table);
        let Some(live) = table.network(network) else { continue };
        let Some(source) = sources.first() else { return Vec::new() };
        let of_source: Vec<_> = live.signals(None).filter(|(entry, _)| entry.id.site == **source).collect();
        return KEY_NAMES
            .into_iter()
            .filter_map(|name| {
                let (entry, current) = of_source.iter().find(|(entry, _)| entry.id.name.as_str() == name)?;
                Some((name, signals::view(entry, *current, table.settings(), now)))
            })
            .collect();
    }
    Vec::new()
}

/// A signal's last value, marked where it is old or bad.
pub(crate) fn last(view: &View, name: &str, signal: &SignalView) -> Markup {
    let Some(last) = &signal.last else { return html! { span.missing { "–" } } };
    let shown = last.value.map(|value| super::format::value(view.lang, name, value, &signal.unit));
    let age = view.span(last.age_seconds);
    html! {
        @if last.current && last.quality != heat_model::Quality::Bad {
            span.value { (shown.as_deref().unwrap_or("–")) }
        } @else {
            span.value.old title=(view.t("超时或坏值", "too old, or bad")) { (shown.as_deref().unwrap_or("–")) }
            " " span.age { (age) (view.t("前", " ago")) }
        }
    }
}

/// What is known of a network's parts, from these incidents, the maintenance windows and silence.
pub(crate) fn marks<'a>(
    state: &ApiState,
    network: &NetworkId,
    incidents: impl Iterator<Item = &'a Incident>,
) -> Marks {
    let plant = state.plant();
    let mut marks = Marks::default();
    // The daily list says nothing that anybody must see from afar.
    for incident in incidents.filter(|incident| incident.priority != heat_model::incident::Priority::P4) {
        add_incident(&mut marks, &plant, incident);
    }
    let now = state.clock.now();
    for site in silent_sites(state, network, now) {
        marks.site(&site, SiteMark::Silent);
    }
    let desk = lock(&state.desk);
    let now = EventTime::from_micros(now.as_micros());
    for place in desk.windows(now).filter(|it| it.network == *network).filter_map(|it| it.place.as_deref()) {
        if let Ok(pipe) = heat_model::PipeId::new(place) {
            marks.maintenance.insert(pipe);
        }
        if let Ok(site) = heat_model::SiteId::new(place) {
            marks.site(&site, SiteMark::Maintenance);
        }
    }
    marks
}

/// The stations to speak of: those that are affected, else those of the branch where the place is sought.
pub(crate) fn concerned(incident: &Incident) -> &[heat_model::SiteId] {
    if incident.affected.is_empty() { &incident.branch } else { &incident.affected }
}

/// What one incident says of its network's parts.
pub(crate) fn add_incident(marks: &mut Marks, plant: &PlantIndex, incident: &Incident) {
    for candidate in &incident.candidates {
        let share = marks.candidates.entry(candidate.pipe.clone()).or_insert(0.0);
        *share = share.max(candidate.probability);
    }
    for site in concerned(incident) {
        marks.site(site, SiteMark::Affected);
    }
    let place = incident.place.as_deref().map(|place| place.split('/').nth(1).unwrap_or(place));
    if incident.priority != heat_model::incident::Priority::P4
        && let Some(site) = place.and_then(|place| heat_model::SiteId::new(place).ok())
        && plant.sites.contains_key(&site)
    {
        marks.site(&site, SiteMark::Incident);
    }
}

/// Sites of which nothing is current.
fn silent_sites(
    state: &ApiState,
    network: &NetworkId,
    now: heat_model::IngestTime,
) -> Vec<heat_model::SiteId> {
    let mut silent = Vec::new();
    for table in &state.tables {
        let table = lock(table);
        let Some(live) = table.network(network) else { continue };
        // Signals come in the order of their ids, so those of a site follow one another.
        let mut last_site: Option<(&heat_model::SiteId, bool)> = None;
        for (entry, last) in live.signals(None) {
            let is_current = last.is_some_and(|last| !last.is_expired(now, table.settings()));
            match &mut last_site {
                Some((site, any)) if **site == entry.id.site => *any |= is_current,
                _ => {
                    silent.extend(last_site.filter(|(_, any)| !any).map(|(site, _)| site.clone()));
                    last_site = Some((&entry.id.site, is_current));
                }
            }
        }
        silent.extend(last_site.filter(|(_, any)| !any).map(|(site, _)| site.clone()));
    }
    silent
}

/// What the map's shapes and colours mean; only what is on it.
pub(crate) fn legend(view: &View, marks: &Marks) -> Markup {
    let has = |mark: SiteMark| marks.sites.values().any(|held| *held == mark);
    let entries = [
        (true, "well", view.t("热力站", "Station")),
        (!marks.candidates.is_empty(), "likely", view.t("疑似管段", "Candidate pipe")),
        (has(SiteMark::Affected), "affected", view.t("受影响的站", "Station affected")),
        (has(SiteMark::Incident), "struck", view.t("事件所在", "Incident here")),
        (has(SiteMark::Silent), "silent", view.t("数据中断", "Silent")),
        (
            has(SiteMark::Maintenance) || !marks.maintenance.is_empty(),
            "paused",
            view.t("检修停用", "Out of service"),
        ),
    ];
    html! {
        ul.legend aria-label=(view.t("图例", "Legend")) {
            @for (_, class, name) in entries.into_iter().filter(|(shown, _, _)| *shown) {
                li {
                    svg.key viewBox="0 0 24 24" aria-hidden="true" {
                        @match class {
                            "likely" => line class="likely high" x1="2" y1="12" x2="22" y2="12" {},
                            "affected" | "struck" => path class={ "site " (class) } d="M12 2l10 18h-20z" {},
                            _ => circle class={ "site " (class) } cx="12" cy="12" r="8" {},
                        }
                    }
                    (name)
                }
            }
        }
    }
}

/// Address of an incident's page.
pub(crate) fn incident_path(id: IncidentId) -> String {
    format!("/incidents/{id}")
}
