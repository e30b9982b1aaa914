//! The routes: one table, from which the router is made and the OpenAPI document is checked.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};

use crate::{auth::is_loopback_host, problem::Problem, state::ApiState};

mod commands;
mod incidents;
mod letters;
mod networks;
mod runbooks;
mod service;
mod signals;

/// Path of the event stream, whose duration is no answer time.
const EVENTS: &str = "/api/v1/events";

/// Path, methods in lower case, handlers.
type Route = (&'static str, &'static [&'static str], MethodRouter<ApiState>);

/// Every route under `/api/v1`.
fn routes() -> Vec<Route> {
    vec![
        ("/api/v1/networks", &["get"], get(networks::list)),
        ("/api/v1/networks/{id}", &["get"], get(networks::one)),
        ("/api/v1/signals", &["get"], get(signals::list)),
        ("/api/v1/signals/{id}/history", &["get"], get(signals::history)),
        ("/api/v1/incidents", &["get"], get(incidents::list)),
        ("/api/v1/incidents/{id}", &["get"], get(incidents::one)),
        ("/api/v1/incidents/{id}/acknowledge", &["post"], post(commands::acknowledge)),
        ("/api/v1/incidents/{id}/shelve", &["post"], post(commands::shelve)),
        ("/api/v1/incidents/{id}/unshelve", &["post"], post(commands::unshelve)),
        ("/api/v1/incidents/{id}/work", &["post"], post(commands::work)),
        ("/api/v1/incidents/{id}/repaired", &["post"], post(commands::repaired)),
        ("/api/v1/tickets", &["post"], post(commands::ticket)),
        ("/api/v1/rejected", &["get"], get(letters::list)),
        ("/api/v1/rejected/requeue", &["post"], post(letters::requeue)),
        ("/api/v1/rejected/{id}", &["get"], get(letters::one)),
        (EVENTS, &["get"], get(service::events)),
        ("/api/v1/audit", &["get"], get(service::audit)),
        ("/api/v1/openapi.json", &["get"], get(service::openapi)),
    ]
}

pub(crate) fn router(state: ApiState) -> Router {
    let mut router = Router::new().route("/", get(service::start));
    for (path, _, handlers) in routes() {
        router = router.route(path, handlers);
    }
    router
        .route(runbooks::PATH, get(runbooks::page))
        .fallback(|| async { Problem::not_found("no route has this path; see /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async {
            let detail = "this path has other methods; see /api/v1/openapi.json";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed", detail)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guard))
        .with_state(state)
}

/// Counts, lets in or not, and sets the headers that every answer has.
async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let begun = state.clock.instant();
    let route = request.extensions().get::<MatchedPath>().map_or("none", matched);
    let mut response = match admit(&state, request) {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let class = match response.status().as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    state.metrics.requests.with_label_values(&[route, class]).inc();
    if route != EVENTS {
        state.metrics.request_seconds.observe(state.clock.instant().duration_since(begun).as_secs_f64());
    }
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

static PATHS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| routes().into_iter().map(|(path, _, _)| path).chain(["/"]).collect());

/// The route as a label from a closed list.
fn matched(path: &MatchedPath) -> &'static str {
    PATHS.iter().find(|known| **known == path.as_str()).copied().unwrap_or("none")
}

fn admit(state: &ApiState, mut request: Request) -> Result<Request, Problem> {
    let refuse = |reason: &str, problem: Problem| {
        state.metrics.refused.with_label_values(&[reason]).inc();
        Err(problem)
    };
    if state.users.is_empty() && !is_loopback_host(request.headers()) {
        let detail = "without users the API answers under localhost and 127.0.0.1 only";
        let title = "This host name is not served";
        return refuse("host", Problem::new(StatusCode::FORBIDDEN, "host", title, detail));
    }
    let Some(user) = state.users.authenticate(request.headers()) else {
        let detail = "send the header authorization: Bearer TOKEN";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Nobody known asks", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer");
        return refuse("token", problem);
    };
    if !user.role.may(request.method(), request.uri().path()) {
        let detail = "this user's role does not allow it";
        return refuse("role", Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail));
    }
    request.extensions_mut().insert(user);
    Ok(request)
}

/// Items in one page.
fn limit(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("query: limit must lie between 1 and {max}"))),
    }
}

fn bad_cursor() -> Problem {
    Problem::bad_request("query: the cursor is not, or no longer, one of this list: begin without it")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_every_documented_one_is_a_route() {
        let document: serde_json::Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
            })
            .collect();

        let routed: BTreeSet<(String, String)> = routes()
            .into_iter()
            .flat_map(|(path, methods, _)| {
                methods.iter().map(move |method| (path.to_owned(), (*method).to_owned()))
            })
            .collect();

        assert_eq!(documented, routed);
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        fn references<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
            match value {
                serde_json::Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(|text| text.as_str()));
                    map.values().for_each(|value| references(value, found));
                }
                serde_json::Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => {}
            }
        }
        let document: serde_json::Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
