//! The routes: one table, from which the router is made and the OpenAPI document is checked.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};

use crate::{
    auth::{User, is_loopback_host, limit::origin_of},
    console,
    problem::Problem,
    serve::Peer,
    state::ApiState,
};

mod city;
pub(crate) mod commands;
pub(crate) mod desk;
pub(crate) mod incidents;
mod letters;
pub(crate) mod networks;
mod runbooks;
pub(crate) mod service;
pub(crate) mod signals;

/// Path of the event stream, whose duration is no answer time.
const EVENTS: &str = "/api/v1/events";
/// The city's feed may be a stream as well.
const CITY: &str = "/api/v1/feeds/city";

/// Everything comes from here, nothing runs that stands inside a page.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                              connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Path, methods in lower case, handlers.
pub(crate) type Route = (&'static str, &'static [&'static str], MethodRouter<ApiState>);

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
        ("/api/v1/tickets", &["get", "post"], get(desk::tickets).post(commands::ticket)),
        ("/api/v1/tickets/{id}/follow-up", &["post"], post(desk::follow_up)),
        ("/api/v1/maintenance", &["get"], get(desk::windows)),
        ("/api/v1/networks/{id}/maintenance", &["post"], post(desk::begin_window)),
        ("/api/v1/networks/{id}/maintenance/{window}/end", &["post"], post(desk::end_window)),
        ("/api/v1/circuits/{id}/season", &["post"], post(desk::season)),
        ("/api/v1/repairs.csv", &["get"], get(desk::repairs)),
        (CITY, &["get"], get(city::feed)),
        ("/api/v1/rejected", &["get"], get(letters::list)),
        ("/api/v1/rejected/requeue", &["post"], post(letters::requeue)),
        ("/api/v1/rejected/{id}", &["get"], get(letters::one)),
        (EVENTS, &["get"], get(service::events)),
        ("/api/v1/audit", &["get"], get(service::audit)),
        ("/api/v1/openapi.json", &["get"], get(service::openapi)),
    ]
}

pub(crate) fn router(state: ApiState) -> Router {
    let mut router = Router::new();
    for (path, _, handlers) in routes().into_iter().chain(console::routes()) {
        router = router.route(path, handlers);
    }
    router
        .route(runbooks::PATH, get(runbooks::page))
        .fallback(|uri: Uri| async move {
            // A signal's id has slashes of its own.
            let hint =
                if uri.path().starts_with("/api/v1/signals/") { ", write / within an id as %2F" } else { "" };
            Problem::not_found(format!("no route has this path; see /api/v1/openapi.json{hint}"))
        })
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
        Err(refused) => *refused,
    };
    let class = match response.status().as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    state.metrics.requests.with_label_values(&[route, class]).inc();
    if route != EVENTS && route != CITY {
        state.metrics.request_seconds.observe(state.clock.instant().duration_since(begun).as_secs_f64());
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        // With none at all, browsers would send no usable Origin with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

static PATHS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| routes().into_iter().chain(console::routes()).map(|(path, _, _)| path).collect());

/// The route as a label from a closed list.
fn matched(path: &MatchedPath) -> &'static str {
    PATHS.iter().find(|known| **known == path.as_str()).copied().unwrap_or("none")
}

/// Lets a request in with its user, or answers it.
fn admit(state: &ApiState, mut request: Request) -> Result<Request, Box<Response>> {
    let refuse = |reason: &str, problem: Problem| {
        state.metrics.refused.with_label_values(&[reason]).inc();
        Box::new(problem.into_response())
    };
    if state.users.is_empty() && !is_loopback_host(request.headers()) {
        let detail = "without users the API answers under localhost and 127.0.0.1 only";
        let title = "This host name is not served";
        return Err(refuse("host", Problem::new(StatusCode::FORBIDDEN, "host", title, detail)));
    }
    if is_from_elsewhere(&request) {
        let detail = "a browser may change something from the console's own pages only";
        let title = "Another site asks";
        return Err(refuse("site", Problem::new(StatusCode::FORBIDDEN, "site", title, detail)));
    }
    let path = request.uri().path();
    if console::is_open(path) {
        return Ok(request);
    }
    let Some(user) = who(state, &request).map_err(|problem| refuse("wrong_tokens", problem))? else {
        if !path.starts_with("/api/") {
            return Err(Box::new(console::login_first(&request)));
        }
        let detail = "send the header authorization: Bearer TOKEN";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Nobody known asks", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer");
        return Err(refuse("token", problem));
    };
    if !state.requests.take(&user.name, state.clock.instant()) {
        return Err(refuse(
            "rate",
            Problem::too_many("this user asks more often than api.requests_per_second"),
        ));
    }
    if !user.may(request.method(), path) {
        let detail = "this user's role or scope does not allow it";
        return Err(refuse("role", Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)));
    }
    request.extensions_mut().insert(user);
    Ok(request)
}

/// Who asks, by token or session. A right token is always heard: behind a proxy everybody comes from one address, and a
/// script with a wrong one must not close the door to the duty desk. Guessing a long random token needs no other guard.
fn who(state: &ApiState, request: &Request) -> Result<Option<User>, Problem> {
    let headers = request.headers();
    let now = state.clock.instant();
    if !headers.contains_key(header::AUTHORIZATION) || state.users.is_empty() {
        let local = || state.users.authenticate(headers);
        return Ok(state.sessions.find(headers, now).or_else(local));
    }
    match state.users.authenticate(headers) {
        Some(user) => Ok(Some(user)),
        None => wrong_token(state, peer(request)).map(|()| None),
    }
}

/// Counts a wrong token; after many from one place on the net, the answer is to wait.
pub(crate) fn wrong_token(state: &ApiState, peer: IpAddr) -> Result<(), Problem> {
    if state.wrong_tokens.take(&origin_of(peer), state.clock.instant()) {
        Ok(())
    } else {
        Err(Problem::too_many("too many wrong tokens came from this address"))
    }
}

/// The address at the other end of the connection.
pub(crate) fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip())
}

/// Whether a browser sends this for a page of another site: it says so by `Sec-Fetch-Site`, an older one by `Origin`.
/// What carries a token of its own was not sent by a browser's habit.
fn is_from_elsewhere(request: &Request) -> bool {
    let headers = request.headers();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || headers.contains_key(header::AUTHORIZATION) {
        return false;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    authority.is_none() || authority != text("host")
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
