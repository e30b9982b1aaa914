//! Tickets with the incidents that explain them, and a form for new ones.

use axum::{extract::State, response::Response};
use heat_model::NetworkId;
use maud::{Markup, html};
use serde::Deserialize;

use super::{View, overview::incident_path, words};
use crate::{
    extract::StrictQuery,
    json::desk::TicketView,
    problem::Problem,
    routes::networks::summaries,
    state::{ApiState, lock},
    tickets::Linker,
};

/// Tickets on one page.
const SHOWN: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketsQuery {
    network: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    done: Option<String>,
}

pub(crate) async fn page(
    view: View,
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<TicketsQuery>,
) -> Result<Response, Problem> {
    let network = match query.network.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            Some(NetworkId::new(text).map_err(|error| Problem::bad_request(format!("network: {error}")))?)
        }
        None => None,
    };
    let shown = shown(&view, &state, network.as_ref())?;
    let body = html! {
        h1 { (view.t("报修、投诉工单", "Tickets")) }
        @if view.commands() { div.forms { (form(&view, &state)?) } }
        section #tickets data-live { (list(&view, &state, &shown)) }
    };
    Ok(view.page(view.t("工单", "Tickets"), &body))
}

fn shown(view: &View, state: &ApiState, network: Option<&NetworkId>) -> Result<Vec<TicketView>, Problem> {
    let (sight, plant) = (state.sight(view.user()?), state.plant());
    let board = lock(&state.board);
    let desk = lock(&state.desk);
    let linker = Linker::new(&board, &desk, &plant);
    Ok(desk
        .tickets_newest_first(None)
        .filter(|entry| sight.of(&entry.network))
        .filter(|entry| network.is_none_or(|wanted| entry.network == *wanted))
        .take(SHOWN)
        .map(|entry| TicketView::of(entry, &linker, &plant))
        .collect())
}

fn list(view: &View, state: &ApiState, tickets: &[TicketView]) -> Markup {
    let plant = state.plant();
    html! {
        @if tickets.is_empty() { p.calm { (view.t("没有工单。", "There is no ticket.")) } }
        @for ticket in tickets {
            article.card.ticket {
                header.cardhead {
                    h2 { (words::ticket_kind(view.lang, ticket.kind)) " " span.quiet { (ticket.external_id.as_deref().unwrap_or(&ticket.id)) } }
                    p { span.badge.work { (words::ticket_status(view.lang, ticket.status)) } }
                }
                p {
                    (view.time(ticket.time.0)) " · " (plant.network_name(&ticket.network))
                    @if let Some(site) = &ticket.site { " · " (plant.site_name(site)) }
                    @if let Some(area) = &ticket.area { " · " (area) }
                }
                @if let Some(text) = &ticket.text { p { (text) } }
                @if !ticket.incidents.is_empty() {
                    p { (view.t("原因：", "Explained by: "))
                        @for (index, link) in ticket.incidents.iter().enumerate() {
                            @if index > 0 { "; " }
                            a href=(incident_path(link.incident)) { (words::class(view.lang, link.class)) }
                            " " span.quiet { (words::link_by(view.lang, link.by)) }
                        }
                    }
                }
                p.answer { span.quiet { (view.t("可答复来电人：", "Tell the caller: ")) } (view.t(&ticket.answer_zh, &ticket.answer_en)) }
            }
        }
    }
}

fn form(view: &View, state: &ApiState) -> Result<Markup, Problem> {
    let networks = summaries(state, &state.sight(view.user()?));
    let keeps_text = state.settings.ticket_text == heat_codec::ticket::FreeText::KeepMasked;
    Ok(html! {
        details.card {
            summary { (view.t("登记工单", "Enter a ticket")) }
            form.stacked method="post" action="/tickets" {
                label { (view.t("类型", "Kind"))
                    select name="kind" { @for (kind, word) in words::TICKET_KINDS { option value=(word) { (words::ticket_kind(view.lang, kind)) } } }
                }
                label { (view.t("热网", "Network"))
                    select name="network" {
                        @if networks.len() != 1 { option value="" { (view.t("由站点确定", "By its site")) } }
                        @for network in networks.iter().take(500) { option value=(network.id) { (network.name.as_deref().unwrap_or(network.id.as_str())) } }
                    }
                }
                label { (view.t("站点编号", "Site id")) input name="site" autocomplete="off" spellcheck="false"; }
                label { (view.t("区域（小区、楼号）", "Area (estate, block)")) input name="area" maxlength="200" autocomplete="off"; }
                label { (view.t("热线编号", "The hotline's number")) input name="external_id" maxlength="64" autocomplete="off"; }
                label { (view.t("说明", "Text")) textarea name="text" maxlength="2000" rows="3" {} }
                p.quiet {
                    (view.t("不要填写姓名和电话；七位以上的数字会被遮盖。", "No names, no telephone numbers; runs of seven or more digits are masked."))
                    @if !keeps_text { " " (view.t("按当前配置，说明不会保存。", "As configured, the text is not kept.")) }
                }
                button.primary { (view.t("提交", "Submit")) }
            }
        }
    })
}
