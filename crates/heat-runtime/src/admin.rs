//! The admin port: `/livez`, `/readyz`, `/metrics`, `/state`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    Shutdown,
    metrics::{Metrics, TextFamily},
};

/// Where Prometheus scrapes, unless configured.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// Readiness of each part.
pub const READY: TextFamily = TextFamily {
    name: "heat_part_ready",
    kind: "gauge",
    labels: &["part"],
    help: "1 while a part of the process is ready to work, as /readyz says.",
};

/// What a process says of its health. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    ready: bool,
    state: String,
}

impl Health {
    /// Says whether a part is ready to work, and its state as JSON text.
    pub fn set(&self, part: &'static str, ready: bool, state: impl Into<String>) {
        self.lock().insert(part, Part { ready, state: state.into() });
    }

    /// Parts that are not ready.
    pub fn unready(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, part)| !part.ready).map(|(name, _)| *name).collect()
    }

    /// The parts' readiness as exposition text.
    fn write(&self, out: &mut String) {
        let parts = self.lock();
        if parts.is_empty() {
            return;
        }
        out.push_str(&READY.head());
        for (name, part) in parts.iter() {
            let ready = u8::from(part.ready);
            writeln!(out, "{}{{part=\"{name}\"}} {ready}", READY.name).expect("a string takes all");
        }
    }

    fn state(&self) -> String {
        let parts: Vec<String> = self
            .lock()
            .iter()
            .map(|(name, part)| {
                let state = if part.state.is_empty() { "{}" } else { part.state.as_str() };
                format!("\"{name}\":{{\"ready\":{},\"state\":{state}}}", part.ready)
            })
            .collect();
        format!("{{{}}}", parts.join(","))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Part>> {
        self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The readiness of a part that first reads topics up to where they ended at its start. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct CatchUp {
    health: Health,
    part: &'static str,
    behind: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl CatchUp {
    /// Says that the part is not ready, and reads these topics back.
    pub fn new(health: Health, part: &'static str, topics: impl IntoIterator<Item = &'static str>) -> Self {
        let behind = Arc::new(Mutex::new(topics.into_iter().collect()));
        let catch_up = Self { health, part, behind };
        catch_up.say(&catch_up.lock());
        catch_up
    }

    /// A topic is read up to there; with the last one the part is ready.
    pub fn caught_up(&self, topic: &str) {
        // Said under the lock, so that of two topics that catch up at once the later one's word stays.
        let mut behind = self.lock();
        behind.remove(topic);
        self.say(&behind);
    }

    /// Whether all are.
    pub fn is_caught_up(&self) -> bool {
        self.lock().is_empty()
    }

    fn say(&self, behind: &BTreeSet<&'static str>) {
        let names: Vec<String> = behind.iter().map(|topic| format!("\"{topic}\"")).collect();
        let state = format!("{{\"reading_back\":[{}]}}", names.join(","));
        self.health.set(self.part, behind.is_empty(), state);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.behind.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The admin server cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address} for metrics and health; free it or set another [admin] address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It stopped serving.
    #[error("the admin server failed")]
    Serve(#[source] std::io::Error),
}

/// Bound, not yet serving.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the address, and adds the parts' readiness to the metrics.
    pub async fn bind(address: SocketAddr, metrics: Metrics, health: Health) -> Result<Self, AdminError> {
        let listener =
            TcpListener::bind(address).await.map_err(|source| AdminError::Bind { address, source })?;
        let parts = health.clone();
        metrics.add_source(&[READY], move |out| parts.write(out));
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .route("/state", get(state))
            .with_state((metrics, health));
        Ok(Self { listener, router })
    }

    /// The address it listens on.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), AdminError> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(async move { shutdown.begun().await })
            .await
            .map_err(AdminError::Serve)
    }
}

async fn readyz(State((_, health)): State<(Metrics, Health)>) -> Response {
    let unready = health.unready();
    if unready.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", unready.join(", "))).into_response()
    }
}

async fn scrape(State((metrics, _)): State<(Metrics, Health)>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

async fn state(State((_, health)): State<(Metrics, Health)>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], health.state()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_ready_with_the_last_topic_that_it_has_caught_up_with_and_says_which_are_behind() {
        let health = Health::default();
        let catch_up = CatchUp::new(health.clone(), "api", ["input", "plant"]);
        assert_eq!(health.state(), r#"{"api":{"ready":false,"state":{"reading_back":["input","plant"]}}}"#);

        catch_up.caught_up("input");
        assert!(!catch_up.is_caught_up() && health.unready() == ["api"]);
        catch_up.caught_up("plant");

        assert!(catch_up.is_caught_up());
        assert_eq!(health.state(), r#"{"api":{"ready":true,"state":{"reading_back":[]}}}"#);
    }

    #[test]
    fn readiness_is_a_metric() {
        let health = Health::default();
        health.set("gateway", true, "");
        health.set("processor", false, "");
        let mut text = String::new();

        health.write(&mut text);

        assert!(
            text.ends_with("heat_part_ready{part=\"gateway\"} 1\nheat_part_ready{part=\"processor\"} 0\n")
        );
    }
}
