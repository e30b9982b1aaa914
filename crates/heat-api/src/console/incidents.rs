//! The list of incidents.

use axum::{extract::State, response::Response};
use heat_model::{
    IncidentId, NetworkId,
    incident::{Class, Incident},
};
use heat_view::board::{ListKey, is_cleared, priority_word};
use maud::{Markup, html};
use serde::Deserialize;

use super::{View, format, overview::incident_path, words};
use crate::{
    extract::StrictQuery,
    problem::Problem,
    routes::networks::summaries,
    state::{ApiState, lock},
};

/// Incidents on one page.
const SHOWN: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Empty: the open ones.
    state: Option<String>,
    network: Option<String>,
    class: Option<String>,
    after: Option<IncidentId>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Response, Problem> {
    let sight = state.sight(view.user()?);
    let word = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let class: Option<Class> = match word(&query.class) {
        Some(text) => {
            Some(text.parse().map_err(|_| Problem::bad_request("query: class is not one of the classes"))?)
        }
        None => None,
    };
    let network = match word(&query.network) {
        Some(text) => {
            Some(NetworkId::new(&text).map_err(|error| Problem::bad_request(format!("network: {error}")))?)
        }
        None => None,
    };
    let all = query.state.as_deref() == Some("all");
    let mut found: Vec<Incident> = {
        let board = lock(&state.board);
        let after = query.after.and_then(|id| board.get(id)).map(|held| ListKey::of(&held.incident));
        board
            .list(after)
            .filter(|incident| all || !is_cleared(incident))
            .filter(|incident| sight.of(&incident.network))
            .filter(|incident| network.as_ref().is_none_or(|wanted| incident.network == *wanted))
            .filter(|incident| class.is_none_or(|wanted| incident.class == wanted))
            .take(SHOWN + 1)
            .cloned()
            .collect()
    };
    let next = (found.len() > SHOWN).then(|| found[SHOWN - 1].id);
    found.truncate(SHOWN);
    let body = html! {
        h1 { (view.t("事件", "Incidents")) }
        (filters(&view, &state, &query, all)?)
        section #list data-live {
            @if found.is_empty() {
                p.calm { (view.t("没有符合条件的事件。", "No incident fits.")) }
            } @else {
                div.scroll tabindex="0" { table.incidents {
                    (table_head(&view))
                    tbody { @for incident in &found { (row(&view, &state, incident)) } }
                } }
            }
            @if let Some(next) = next {
                p.more { a href={ "/incidents?" (further(&query, next)) } { (view.t("下一页", "Next page")) } }
            }
        }
        p.more { a href="/api/v1/repairs.csv" { (view.t("导出已修复记录（标签 CSV）", "Repairs as labels (CSV)")) } }
    };
    Ok(view.page(view.t("事件", "Incidents"), &body))
}

fn further(query: &ListQuery, next: IncidentId) -> String {
    let next = next.to_string();
    let parts = [
        ("state", query.state.as_deref()),
        ("network", query.network.as_deref()),
        ("class", query.class.as_deref()),
        ("after", Some(next.as_str())),
    ];
    let parts: Vec<(&str, &str)> = parts.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    serde_urlencoded::to_string(parts).unwrap_or_default()
}

fn filters(view: &View, state: &ApiState, query: &ListQuery, all: bool) -> Result<Markup, Problem> {
    let networks = summaries(state, &state.sight(view.user()?));
    let chosen = query.network.as_deref().unwrap_or("");
    Ok(html! {
        form.filters method="get" action="/incidents" {
            label { (view.t("状态", "State")) " "
                select name="state" {
                    option value="open" selected[!all] { (view.t("未结", "Open")) }
                    option value="all" selected[all] { (view.t("全部", "All")) }
                }
            }
            label { (view.t("热网", "Network")) " "
                select name="network" {
                    option value="" { (view.t("全部", "All")) }
                    @for network in &networks {
                        option value=(network.id) selected[chosen == network.id.as_str()] { (network.name.as_deref().unwrap_or(network.id.as_str())) }
                    }
                }
            }
            label { (view.t("类型", "Class")) " "
                select name="class" {
                    option value="" { (view.t("全部", "All")) }
                    @for class in Class::ALL {
                        option value=(class.as_str()) selected[query.class.as_deref() == Some(class.as_str())] { (words::class(view.lang, *class)) }
                    }
                }
            }
            button { (view.t("筛选", "Filter")) }
        }
    })
}

pub(crate) fn table_head(view: &View) -> Markup {
    html! {
        thead { tr {
            th { (view.t("级别", "Priority")) }
            th { (view.t("事件", "Incident")) }
            th { (view.t("热网", "Network")) }
            th { (view.t("位置", "Place")) }
            th.num { (view.t("失水", "Loss")) }
            th.num { (view.t("影响站", "Stations")) }
            th { (view.t("状态", "State")) }
            th { (view.t("发现", "Opened")) }
        } }
    }
}

/// One incident as a row; narrow screens show it as a block.
pub(crate) fn row(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    let priority = priority_word(incident.priority);
    html! {
        tr.calls[words::calls(incident)] {
            td { span.badge.(priority) { (priority) } }
            td.what { a href=(incident_path(incident.id)) { (words::class(view.lang, incident.class)) } }
            td { (plant.network_name(&incident.network)) }
            td { (place(view, state, incident)) }
            td.num { @if let Some(loss) = incident.loss_m3_h { (format::quantity(loss, "m3/h")) } }
            td.num { @if !incident.affected.is_empty() { (incident.affected.len()) span.unit { (view.t(" 站", " stations")) } } }
            td { (state_words(view, incident)) }
            td { (view.time(incident.opened.as_event_now())) }
        }
    }
}

/// Alarm state, and the repair work's if it has begun.
pub(crate) fn state_words(view: &View, incident: &Incident) -> Markup {
    use heat_model::incident::WorkState;
    html! {
        span.state.(heat_view::board::alarm_word(incident.alarm)) { (words::alarm(view.lang, incident.alarm)) }
        @if incident.work != WorkState::AwaitingDispatch {
            " " span.work { (words::work(view.lang, incident.work)) }
        }
    }
}

/// The most probable place in words.
pub(crate) fn place(view: &View, state: &ApiState, incident: &Incident) -> Markup {
    let plant = state.plant();
    html! {
        @match (&incident.place, incident.branch.as_slice()) {
            (Some(place), _) => {
                @let site = place.split('/').nth(1).unwrap_or(place);
                @match heat_model::SiteId::new(site) {
                    Ok(site) if plant.sites.contains_key(&site) => (plant.site_name(&site)),
                    Ok(_) | Err(_) => (place),
                }
                @if let Some(candidate) = incident.candidates.first().filter(|it| it.pipe.as_str() == place) {
                    " " span.share { (format::percent(candidate.probability)) }
                }
            }
            (None, []) => span.quiet { (view.t("未知", "unknown")) },
            (None, sites) => { (view.t("分支，站数 ", "branch with ")) (sites.len()) (view.t("", " stations")) }
        }
    }
}
