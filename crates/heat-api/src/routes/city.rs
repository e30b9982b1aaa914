//! `feeds/city`: a snapshot as JSON, or a stream of server-sent events, by what the client accepts.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;

use super::service::last_event;
use crate::{
    auth::User,
    city::{CityFilter, snapshot},
    events::Subscription,
    extract::StrictQuery,
    problem::Problem,
    state::{ApiState, lock},
};

/// How often a stream carries the whole state.
const STATE_EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CityQuery {
    operator: Option<String>,
    district: Option<String>,
}

pub(crate) async fn feed(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<CityQuery>,
) -> Result<Response, Problem> {
    let filter = CityFilter { operator: query.operator, district: query.district };
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !accepts.contains("text/event-stream") {
        return Ok(Json(snapshot(&state, &state.sight(&user), &filter)).into_response());
    }
    if !state.catch_up.is_caught_up() {
        return Err(Problem::unavailable("the API has just started and reads the log back"));
    }
    let last = last_event(&headers)?;
    let plant = state.plant();
    let subscription = lock(&state.city).subscribe(last, &user.scope, &plant);
    match subscription {
        Subscription::Stream(client) => {
            let incidents = client.frames();
            let states = states(Arc::clone(&state), user, filter);
            let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
            Ok((headers, Body::from_stream(until_first_ends(incidents, states))).into_response())
        }
        Subscription::Full => Err(Problem::unavailable("no more clients of the city's feed are taken")),
    }
}

type Frame = Result<Bytes, Infallible>;

/// The whole state, at once and then again and again.
fn states(state: ApiState, user: User, filter: CityFilter) -> impl Stream<Item = Frame> + Send {
    stream::unfold((state, user, filter, true), |(state, user, filter, is_first)| async move {
        if !is_first {
            tokio::time::sleep(STATE_EVERY).await;
        }
        let now = snapshot(&state, &state.sight(&user), &filter);
        let data = serde_json::to_string(&now).expect("a snapshot has string keys only");
        // No id: a client that resumes does so behind an incident.
        let frame = Bytes::from(format!("event: state\ndata: {data}\n\n"));
        Some((Ok(frame), (state, user, filter, false)))
    })
}

/// Both, until the first ends: that one knows of shutdown and of clients that do not keep up.
fn until_first_ends(
    first: impl Stream<Item = Frame> + Send,
    second: impl Stream<Item = Frame> + Send,
) -> impl Stream<Item = Frame> + Send {
    let marked = first.map(Some).chain(stream::iter([None]));
    let both = stream::select(Box::pin(marked), Box::pin(second.map(Some)));
    both.take_while(|frame| std::future::ready(frame.is_some())).filter_map(std::future::ready)
}
