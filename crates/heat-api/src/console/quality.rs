//! Data quality: which signals are silent, bad or uncertain, and where.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use heat_model::{NetworkId, Quality, SignalId, canary};
use maud::{Markup, html};

use super::{
    View,
    map::site_path,
    overview::{BareQuery, last},
    site::quality,
    words,
};
use crate::{
    extract::StrictQuery,
    json::SignalView,
    problem::Problem,
    routes::signals,
    state::{ApiState, lock},
};

/// Signals listed.
const SHOWN: usize = 150;

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    silent: usize,
    bad: usize,
    uncertain: usize,
}

#[derive(Debug, Default)]
struct Survey {
    by_network: BTreeMap<NetworkId, Counts>,
    worst: Vec<(SignalId, SignalView)>,
    further: usize,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    StrictQuery(BareQuery { .. }): StrictQuery<BareQuery>,
) -> Result<Response, Problem> {
    let survey = survey(&state, &view)?;
    let body = html! {
        h1 { (view.t("数据质量", "Data quality")) }
        section.card #counts data-live { (counts(&view, &state, &survey)) }
        section.card #signals data-live { (list(&view, &state, &survey)) }
    };
    Ok(view.page(view.t("数据质量", "Data quality"), &body))
}

fn survey(state: &ApiState, view: &View) -> Result<Survey, Problem> {
    let sight = state.sight(view.user()?);
    let now = state.clock.now();
    let mut survey = Survey::default();
    for table in &state.tables {
        let table = lock(table);
        let is_plant = |network: &NetworkId| network.as_str() != canary::NETWORK && sight.of(network);
        for live in table.networks().filter(|live| is_plant(live.id())) {
            let counts = survey.by_network.entry(live.id().clone()).or_default();
            for (entry, current) in live.signals(None) {
                counts.all += 1;
                let is_silent = current.is_none_or(|current| current.is_expired(now, table.settings()));
                let quality = current.map(|current| current.quality);
                let fault = match quality {
                    _ if is_silent => &mut counts.silent,
                    Some(Quality::Bad) => &mut counts.bad,
                    Some(Quality::Uncertain) => &mut counts.uncertain,
                    Some(Quality::Good) | None => continue,
                };
                *fault += 1;
                if survey.worst.len() < SHOWN {
                    let signal = signals::view(entry, current, table.settings(), now);
                    survey.worst.push((entry.id.clone(), signal));
                } else {
                    survey.further += 1;
                }
            }
        }
    }
    Ok(survey)
}

fn counts(view: &View, state: &ApiState, survey: &Survey) -> Markup {
    let plant = state.plant();
    html! {
        div.scroll tabindex="0" { table.dense {
            thead { tr {
                th { (view.t("热网", "Network")) }
                th.num { (view.t("测点", "Signals")) }
                th.num { (view.t("无新数据", "Silent")) }
                th.num { (view.t("坏值", "Bad")) }
                th.num { (view.t("可疑", "Uncertain")) }
                th { (view.t("有效率", "In order")) }
            } }
            tbody {
                @for (network, counts) in &survey.by_network {
                    @let good = counts.all - counts.silent - counts.bad;
                    tr {
                        th scope="row" { (plant.network_name(network)) }
                        td.num { (counts.all) } td.num { (counts.silent) } td.num { (counts.bad) } td.num { (counts.uncertain) }
                        td { meter value=(good) min="0" max=(counts.all.max(1)) {} " " (share(good, counts.all)) }
                    }
                }
            }
        } }
    }
}

fn share(part: usize, whole: usize) -> String {
    // Rounded down: what is not whole is not shown as whole.
    format!("{} %", (part * 100).checked_div(whole).unwrap_or(100))
}

fn list(view: &View, state: &ApiState, survey: &Survey) -> Markup {
    let plant = state.plant();
    html! {
        h2 { (view.t("无新数据或质量不佳的测点", "Signals that are silent, bad or uncertain")) }
        @if survey.worst.is_empty() {
            p.calm { (view.t("全部测点正常。", "All signals are in order.")) }
        } @else {
            div.scroll tabindex="0" { table.dense {
                thead { tr {
                    th { (view.t("站点", "Site")) } th { (view.t("测点", "Signal")) }
                    th.num { (view.t("最后值", "Last value")) } th { (view.t("测量时间", "Measured")) } th { (view.t("质量", "Quality")) }
                } }
                tbody {
                    @for (id, signal) in &survey.worst {
                        tr {
                            th scope="row" { a href=(site_path(&id.network, &id.site)) { (plant.site_name(&id.site)) } }
                            td { (words::signal(view.lang, id.name.as_str())) " " span.quiet { (id.device) } }
                            td.num { (last(view, id.name.as_str(), signal)) }
                            td { @if let Some(last) = &signal.last { (view.time(last.time.0)) } @else { (view.t("从未", "never")) } }
                            td { @match &signal.last { Some(last) => (quality(view, last.quality, last.current)), None => (quality(view, Quality::Bad, false)) } }
                        }
                    }
                }
            } }
            @if survey.further > 0 { p.quiet { (view.t("另有：", "And further: ")) (survey.further) } }
        }
    }
}
