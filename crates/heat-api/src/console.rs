//! The console: pages for people, made here, with a script and a style sheet of our own inside the binary.
//!
//! Every page works without its script; the script keeps what is marked `data-live` up to date: at once when an
//! incident changes, else every few seconds. Text is escaped by the templates, and the content policy lets nothing run
//! that stands inside a page.

use axum::{
    extract::{FromRequestParts, Path, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use heat_model::{EventTime, NetworkId};
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use crate::{
    auth::{User, session::cookie_in},
    problem::Problem,
    routes::Route,
    state::{ApiState, lock},
};

mod act;
mod assets;
mod format;
mod health;
mod incident;
mod incidents;
mod login;
pub(crate) mod map;
mod network;
pub(crate) mod overview;
mod plot;
mod quality;
#[cfg(test)]
pub(crate) mod samples;
mod site;
mod tickets;
mod words;

pub(crate) use words::Lang;

/// Every page and asset.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/", &["get"], get(overview::page)),
        ("/incidents", &["get"], get(incidents::page)),
        ("/incidents/{id}", &["get"], get(incident::page)),
        ("/incidents/{id}/{action}", &["post"], post(act::incident)),
        ("/networks/{id}", &["get"], get(network::page)),
        ("/networks/{id}/maintenance", &["post"], post(act::begin_window)),
        ("/networks/{id}/maintenance-end", &["post"], post(act::end_window)),
        ("/networks/{id}/season", &["post"], post(act::season)),
        ("/networks/{id}/sites/{site}", &["get"], get(site::page)),
        ("/tickets", &["get", "post"], get(tickets::page).post(act::ticket)),
        ("/tickets/follow-up", &["post"], post(act::follow_up)),
        ("/quality", &["get"], get(quality::page)),
        ("/health", &["get"], get(health::page)),
        ("/login", &["get", "post"], get(login::page).post(login::begin)),
        ("/logout", &["post"], post(login::end)),
        ("/plots/{signal}", &["get"], get(plot::of_signal)),
        ("/assets/{name}", &["get"], get(asset)),
    ]
}

/// What is served before anybody has said who asks.
pub(crate) fn is_open(path: &str) -> bool {
    path == "/login" || path.starts_with("/assets/")
}

/// Sends a browser to the login, and back afterwards.
pub(crate) fn login_first(request: &Request) -> Response {
    let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let next = serde_urlencoded::to_string([("next", wanted)]).unwrap_or_default();
    Redirect::to(&format!("/login?{next}")).into_response()
}

async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    assets::serve(&name).ok_or_else(|| Problem::not_found("no asset has this name"))
}

/// Who looks, in which language, at what.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) lang: Lang,
    /// Nobody on the login page.
    pub(crate) user: Option<User>,
    pub(crate) path: String,
    pub(crate) now: EventTime,
    pub(crate) zone: TimeZone,
    unacknowledged: usize,
    chosen: bool,
    /// What was just done, by a word of `act`.
    done: Option<String>,
}

impl FromRequestParts<ApiState> for View {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or("");
        let asked = |key: &str| {
            let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
            pairs.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
        };
        let chosen = asked("lang").and_then(|word| Lang::of_word(&word));
        let kept = cookie_in(&parts.headers, words::COOKIE).and_then(Lang::of_word);
        let accepted = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let user = parts.extensions.get::<User>().cloned();
        let unacknowledged = user.as_ref().map_or(0, |user| {
            let sight = state.sight(user);
            let board = lock(&state.board);
            board.open().filter(|incident| sight.of(&incident.network)).filter(|it| words::calls(it)).count()
        });
        Ok(Self {
            lang: chosen.or(kept).unwrap_or_else(|| Lang::accepted(accepted)),
            user,
            path: parts.uri.path().to_owned(),
            now: state.now(),
            zone: state.settings.time_zone.clone(),
            unacknowledged,
            chosen: chosen.is_some(),
            done: asked("done"),
        })
    }
}

impl View {
    /// The text of the reader's language.
    pub(crate) const fn t<'a>(&self, chinese: &'a str, english: &'a str) -> &'a str {
        self.lang.pick(chinese, english)
    }

    /// Whether the user may command.
    pub(crate) fn commands(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.role.commands())
    }

    /// Whether the reader may command what concerns a whole network or circuit.
    pub(crate) fn governs(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.role.governs())
    }

    /// The same reader at a network's own clock.
    pub(crate) fn at(mut self, state: &ApiState, network: &NetworkId) -> Self {
        self.zone = state.time_zone(network);
        self
    }

    /// The user behind a page that only users see.
    pub(crate) fn user(&self) -> Result<&User, Problem> {
        self.user.as_ref().ok_or_else(|| Problem::not_found("this page needs a user"))
    }

    /// A page.
    pub(crate) fn page(&self, title: &str, body: &Markup) -> Response {
        self.answer(StatusCode::OK, title, body)
    }

    /// A page that says what went wrong.
    pub(crate) fn failed(&self, problem: &Problem, back: &str) -> Response {
        let title = words::problem(self.lang, problem.kind());
        let body = html! {
            section.card.problem role="alert" {
                h1 { (title) }
                p { (self.t(problem.chinese().unwrap_or(problem.detail()), problem.detail())) }
                p { a.button href=(back) { (self.t("返回", "Back")) } }
            }
        };
        self.answer(problem.status(), title, &body)
    }

    fn answer(&self, status: StatusCode, title: &str, body: &Markup) -> Response {
        let html = self.frame(title, body).into_string();
        let mut response =
            (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
        if self.chosen {
            let cookie = self.lang.cookie();
            response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        response
    }

    fn frame(&self, title: &str, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang=(self.t("zh-CN", "en")) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · " (self.t("暖流", "heatstream")) }
                    link rel="stylesheet" href=(assets::style());
                    link rel="icon" href=(assets::icon()) type="image/svg+xml";
                    @if self.user.is_some() { script src=(assets::script()) defer {} }
                }
                body data-lost=(self.t("与服务器的连接中断，正在重连……", "The connection to the server is lost; reconnecting…")) {
                    a.skip href="#main" { (self.t("跳到正文", "Skip to content")) }
                    (self.banner())
                    main #main tabindex="-1" {
                        @if let Some(done) = self.done.as_deref().and_then(|word| words::done(self.lang, word)) {
                            p.done role="status" { (done) }
                        }
                        (body)
                    }
                }
            }
        }
    }

    fn banner(&self) -> Markup {
        let links = [
            ("/", self.t("总览", "Overview")),
            ("/incidents", self.t("事件", "Incidents")),
            ("/tickets", self.t("工单", "Tickets")),
            ("/quality", self.t("数据质量", "Data quality")),
            ("/health", self.t("系统运行", "Pipeline")),
        ];
        let is_here = |to: &str| {
            if to == "/" {
                self.path == "/" || self.path.starts_with("/networks")
            } else {
                self.path.starts_with(to)
            }
        };
        html! {
            header.bar {
                a.brand href="/" { b { "暖流" } " heatstream" }
                @if let Some(user) = &self.user {
                    nav aria-label=(self.t("主菜单", "Main")) {
                        @for (to, name) in links {
                            a href=(to) aria-current=[is_here(to).then_some("page")] {
                                (name)
                                @if to == "/incidents" {
                                    span #calls data-live {
                                        @if self.unacknowledged > 0 {
                                            " " span.count aria-label=(self.t("未确认", "unacknowledged")) { (self.unacknowledged) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    div.who {
                        (self.languages())
                        span.user { (user.name) }
                        @if *user.name != *"local" {
                            form method="post" action="/logout" { button.link { (self.t("退出", "Log out")) } }
                        }
                    }
                } @else {
                    div.who { (self.languages()) }
                }
            }
        }
    }

    fn languages(&self) -> Markup {
        html! {
            span.lang {
                a href={ (self.path) "?lang=zh" } lang="zh" hreflang="zh" aria-current=[(self.lang == Lang::Chinese).then_some("true")] { "中文" }
                " "
                a href={ (self.path) "?lang=en" } lang="en" hreflang="en" aria-current=[(self.lang == Lang::English).then_some("true")] { "English" }
            }
        }
    }
}
