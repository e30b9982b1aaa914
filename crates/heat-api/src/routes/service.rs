//! Events, audit, the OpenAPI document, and the start page.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use heat_view::board::OutputPosition;
use serde::Deserialize;

use super::networks::summaries;
use crate::{
    events::Subscription,
    extract::StrictQuery,
    page::{self, Language},
    problem::Problem,
    state::{ApiState, lock},
};

pub(crate) async fn events(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Problem> {
    if !state.readiness.is_caught_up() {
        return Err(Problem::unavailable("the API has just started and reads the log back"));
    }
    let last = match headers.get("last-event-id") {
        Some(value) => {
            let position = value.to_str().ok().and_then(|text| text.parse::<OutputPosition>().ok());
            Some(position.ok_or_else(|| Problem::bad_request("last-event-id: partition:offset:ordinal"))?)
        }
        None => None,
    };
    let subscription = lock(&state.hub).subscribe(last);
    match subscription {
        Subscription::Stream(client) => {
            let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
            Ok((headers, Body::from_stream(client.frames())).into_response())
        }
        Subscription::Full => Err(Problem::unavailable("no more clients of events are taken")),
    }
}

pub(crate) async fn audit(State(state): State<ApiState>) -> Result<Response, Problem> {
    let Some(audit) = &state.audit else {
        return Err(Problem::unavailable("this process has no audit at hand; run `heatstream audit`"));
    };
    match audit().await {
        Ok(report) => Ok(axum::Json(report).into_response()),
        Err(error) => {
            tracing::warn!(%error, "the audit could not be made");
            Err(Problem::unavailable("the audit could not be made; the log says why"))
        }
    }
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::OPENAPI).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    lang: Option<String>,
}

pub(crate) async fn start(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<PageQuery>,
) -> Response {
    let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::of(query.lang.as_deref(), accept);
    let networks = summaries(&state);
    Html(page::start(&state, &networks, language)).into_response()
}
