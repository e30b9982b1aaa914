//! Events, audit, and the OpenAPI document.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use heat_view::board::OutputPosition;

use crate::{
    auth::User,
    events::Subscription,
    problem::Problem,
    state::{ApiState, lock},
};

pub(crate) async fn events(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !state.catch_up.is_caught_up() {
        return Err(Problem::unavailable("the API has just started and reads the log back"));
    }
    let last = last_event(&headers)?;
    let plant = state.plant();
    let subscription = lock(&state.hub).subscribe(last, &user.scope, &plant);
    match subscription {
        Subscription::Stream(client) => {
            let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
            Ok((headers, Body::from_stream(client.frames())).into_response())
        }
        Subscription::Full => Err(Problem::unavailable("no more clients of events are taken")),
    }
}

/// What a client that returns saw last.
pub(crate) fn last_event(headers: &HeaderMap) -> Result<Option<OutputPosition>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.parse::<OutputPosition>().ok());
    position.map(Some).ok_or_else(|| Problem::bad_request("last-event-id: partition:offset:ordinal"))
}

pub(crate) async fn audit(State(state): State<ApiState>) -> Result<Response, Problem> {
    audited(&state).await.map(|report| axum::Json(report).into_response())
}

/// The audit's report.
pub(crate) async fn audited(state: &ApiState) -> Result<serde_json::Value, Problem> {
    let Some(audit) = &state.audit else {
        return Err(Problem::unavailable("this process has no audit at hand; run `heatstream audit`"));
    };
    audit().await.map_err(|error| {
        tracing::warn!(%error, "the audit could not be made");
        Problem::unavailable("the audit could not be made; the log says why")
    })
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::OPENAPI).into_response()
}
