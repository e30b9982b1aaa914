//! Login by token: the cookie names a session, the token itself is not kept.

use axum::{
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use serde::Deserialize;

use super::View;
use crate::{
    extract::{StrictForm, StrictQuery},
    problem::Problem,
    routes::{peer, wrong_token},
    state::ApiState,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginQuery {
    next: Option<String>,
    /// The token was not known.
    wrong: Option<String>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
}

pub(crate) async fn page(view: View, StrictQuery(query): StrictQuery<LoginQuery>) -> Response {
    let next = within(query.next.as_deref().unwrap_or("/"));
    let body = html! {
        section.card.login {
            h1 { (view.t("登录", "Log in")) }
            @if query.wrong.is_some() { p.lacked role="alert" { (view.t("令牌无效。", "This token is not known.")) } }
            form.stacked method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label { (view.t("访问令牌", "Access token")) input type="password" name="token" required autofocus autocomplete="current-password"; }
                button.primary { (view.t("登录", "Log in")) }
            }
        }
    };
    view.page(view.t("登录", "Log in"), &body)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginForm {
    token: String,
    next: String,
}

pub(crate) async fn begin(
    view: View,
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let peer = peer(&request);
    let StrictForm(form) =
        <StrictForm<LoginForm> as axum::extract::FromRequest<ApiState>>::from_request(request, &state)
            .await?;
    let next = within(&form.next);
    let Some(user) = state.users.of_token(&form.token) else {
        state.metrics.refused.with_label_values(&["login"]).inc();
        if let Err(problem) = wrong_token(&state, peer) {
            return Ok(view.failed(&problem, "/login"));
        }
        let query = serde_urlencoded::to_string([("wrong", "1"), ("next", next)]).unwrap_or_default();
        return Ok(Redirect::to(&format!("/login?{query}")).into_response());
    };
    tracing::info!(user = %user.name, "a user logged in to the console");
    let name = state.sessions.begin(user, state.clock.instant()).map_err(|error| {
        tracing::error!(%error, "no session can begin");
        Problem::unavailable("no session can begin at present")
    })?;
    let mut response = Redirect::to(next).into_response();
    let cookie = state.sessions.cookie(&name, state.settings.secure_cookies);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

pub(crate) async fn end(State(state): State<ApiState>, request: Request) -> Response {
    state.sessions.end(request.headers());
    let mut response = Redirect::to("/login").into_response();
    let cookie = state.sessions.cookie("", state.settings.secure_cookies);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// A path of this console and of nobody else.
fn within(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n', '\t'])
        && next.is_ascii();
    if is_ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_login_a_browser_stays_here() {
        assert_eq!(within("/incidents?state=all"), "/incidents?state=all");
        for elsewhere in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nset-cookie: x"]
        {
            assert_eq!(within(elsewhere), "/", "{elsewhere}");
        }
    }
}
