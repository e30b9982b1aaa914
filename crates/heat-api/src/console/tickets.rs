//! Tickets with the incidents that explain them, what calls back gave, and forms for both.

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
    tickets::{FollowUpState, Linker},
};

/// Tickets on one page.
const SHOWN: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketsQuery {
    network: Option<String>,
    /// Empty: all tickets.
    follow_up: Option<String>,
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
    let follow_up = match query.follow_up.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let known = words::FOLLOW_UPS.into_iter().find(|state| words::in_payloads(state) == text);
            Some(known.ok_or_else(|| Problem::bad_request("query: follow_up is due, reopened or done"))?)
        }
        None => None,
    };
    let shown = shown(&view, &state, network.as_ref(), follow_up)?;
    let body = html! {
        h1 { (view.t("报修、投诉工单", "Tickets")) }
        @if view.commands() { div.forms { (form(&view, &state)?) } }
        (filters(&view, &query, follow_up))
        section #tickets data-live { (list(&view, &state, &shown)) }
    };
    Ok(view.page(view.t("工单", "Tickets"), &body))
}

fn filters(view: &View, query: &TicketsQuery, chosen: Option<FollowUpState>) -> Markup {
    html! {
        form.filters method="get" action="/tickets" {
            @if let Some(network) = &query.network { input type="hidden" name="network" value=(network); }
            label { (view.t("回访", "Call back")) " "
                select name="follow_up" {
                    option value="" { (view.t("全部", "All")) }
                    @for state in words::FOLLOW_UPS {
                        option value=(words::in_payloads(&state)) selected[chosen == Some(state)] { (words::follow_up(view.lang, state)) }
                    }
                }
            }
            button { (view.t("筛选", "Filter")) }
        }
    }
}

fn shown(
    view: &View,
    state: &ApiState,
    network: Option<&NetworkId>,
    follow_up: Option<FollowUpState>,
) -> Result<Vec<TicketView>, Problem> {
    let (sight, plant) = (state.sight(view.user()?), state.plant());
    let board = lock(&state.board);
    let desk = lock(&state.desk);
    let linker = Linker::new(&board, &desk, &plant);
    Ok(desk
        .tickets_newest_first(None)
        .filter(|entry| sight.of(&entry.network))
        .filter(|entry| network.is_none_or(|wanted| entry.network == *wanted))
        .filter(|entry| follow_up.is_none_or(|wanted| linker.case(entry).follow_up == Some(wanted)))
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
                    p {
                        span.badge.work { (words::ticket_status(view.lang, ticket.status)) }
                        @if let Some(call) = &ticket.follow_up {
                            " " span.badge.good[call.state == FollowUpState::Done] { (words::follow_up(view.lang, call.state)) }
                        }
                    }
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
                (follow_up(view, ticket))
                p.answer { span.quiet { (view.t("可答复来电人：", "Tell the caller: ")) } (view.t(&ticket.answer_zh, &ticket.answer_en)) }
            }
        }
    }
}

/// The last call back, and the form for the next one.
fn follow_up(view: &View, ticket: &TicketView) -> Markup {
    let Some(call) = &ticket.follow_up else { return html! {} };
    html! {
        @if let (Some(outcome), Some(at)) = (call.outcome, &call.at) {
            p { (view.t("回访：", "Called back: ")) (words::outcome(view.lang, outcome)) " · " (view.time(at.0))
                @if let Some(by) = &call.by { " · " (by) }
                @if let Some(note) = &call.note { " · " (note) }
            }
        }
        @if view.commands() && call.state != FollowUpState::Done {
            details {
                summary { (view.t("登记回访", "Take down a call back")) }
                form.stacked method="post" action="/tickets/follow-up" {
                    input type="hidden" name="network" value=(ticket.network);
                    input type="hidden" name="ticket" value=(ticket.id);
                    label { (view.t("结果", "Outcome"))
                        select name="outcome" { @for outcome in words::OUTCOMES { option value=(words::in_payloads(&outcome)) { (words::outcome(view.lang, outcome)) } } }
                    }
                    label { (view.t("备注（不填姓名和电话）", "Note (no names, no telephone numbers)")) input name="note" maxlength="500" autocomplete="off"; }
                    button { (view.t("提交", "Submit")) }
                }
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
                    select name="kind" { @for kind in words::TICKET_KINDS { option value=(words::in_payloads(&kind)) { (words::ticket_kind(view.lang, kind)) } } }
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
