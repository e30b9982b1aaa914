//! Speaks to one Alertmanager: blocking calls, each with an end.

use std::{path::Path, sync::Arc, time::Duration};

use heat_model::{EventTime, IncidentId, IngestTime};
use heat_runtime::config::Secret;
use tokio_rustls::rustls::crypto::ring;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::{
    alert::ALERT_NAME,
    book::Post,
    settings::AlertmanagerSettings,
    silences::{self, Act, Found},
};

/// Longest time of one call: Alertmanager answers in milliseconds, and a page that waits for one that hangs is late.
const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Largest list of silences that is read.
const LIST_MAX_BYTES: u64 = 16 << 20;
/// Of an answer that refuses, so much is told.
const REASON_MAX_CHARS: usize = 300;

/// A file of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read exporter.alertmanager.{key} {path}")]
    Read {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It should hold certificates.
    #[error("exporter.alertmanager.ca_file {path} holds no certificate in PEM")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// It should hold a token.
    #[error("exporter.alertmanager.token_file {path} is empty, or more than one line")]
    NoToken {
        /// The file.
        path: String,
    },
}

/// A call did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer, or one that says nothing about what was sent: it may be tried again.
    #[error("no answer from Alertmanager")]
    Unreachable(#[source] ureq::Error),
    /// It has a fault of its own.
    #[error("Alertmanager answered {status}")]
    Server { status: u16 },
    /// It will not take this, now or later.
    #[error("Alertmanager refused with {status}: {reason}")]
    Refused { status: u16, reason: String },
    /// What is to be sent cannot be written as JSON.
    #[error("cannot write JSON for Alertmanager")]
    Encode(#[source] serde_json::Error),
    /// Its answer is not what the API says.
    #[error("Alertmanager's list of silences is not the JSON of API v2")]
    Answer(#[source] serde_json::Error),
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<Secret>,
}

impl Client {
    /// Reads token and certificates.
    pub(crate) async fn open(settings: &AlertmanagerSettings, url: &str) -> Result<Self, FileError> {
        let authorization = match &settings.token_file {
            Some(path) => Some(Secret::new(format!("Bearer {}", token(path).await?))),
            None => None,
        };
        let tls = if url.starts_with("https://") { Some(tls(settings).await?) } else { None };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("heatstream/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(CALL));
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        Ok(Self { agent: config.build().into(), base: format!("{url}/api/v2"), authorization })
    }

    pub(crate) fn post_alerts(&self, posts: &[Post]) -> Result<(), CallError> {
        let bodies: Vec<_> = posts.iter().map(|post| &post.body).collect();
        let json = serde_json::to_vec(&bodies).map_err(CallError::Encode)?;
        self.post("alerts", &json)
    }

    /// Our silences in force.
    pub(crate) fn silences(&self) -> Result<Vec<Found>, CallError> {
        let request = self.agent.get(format!("{}/silences", self.base));
        let request = request.query("filter", format!("alertname=\"{ALERT_NAME}\""));
        let answer = self.authorized(request).call();
        let body = accepted(answer)?.body_mut().with_config().limit(LIST_MAX_BYTES).read_to_vec();
        silences::from_json(&body.map_err(CallError::Unreachable)?).map_err(CallError::Answer)
    }

    pub(crate) fn act(&self, act: &Act, now: IngestTime) -> Result<(), CallError> {
        match act {
            Act::Set { id, incident, ends, comment } => {
                self.set_silence(id.as_deref(), *incident, now, *ends, comment)
            }
            Act::Expire { id } => {
                let request = self.agent.delete(format!("{}/silence/{id}", self.base));
                accepted(self.authorized(request).call()).map(drop)
            }
        }
    }

    fn set_silence(
        &self,
        id: Option<&str>,
        incident: IncidentId,
        now: IngestTime,
        ends: EventTime,
        comment: &str,
    ) -> Result<(), CallError> {
        let json = silences::to_json(id, incident, now, ends, comment).map_err(CallError::Encode)?;
        self.post("silences", &json)
    }

    fn post(&self, path: &str, json: &[u8]) -> Result<(), CallError> {
        let request = self.agent.post(format!("{}/{path}", self.base)).content_type("application/json");
        accepted(self.authorized(request).send(json)).map(drop)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(secret) => request.header("Authorization", secret.expose()),
            None => request,
        }
    }
}

type Answer = ureq::http::Response<ureq::Body>;

fn accepted(answer: Result<Answer, ureq::Error>) -> Result<Answer, CallError> {
    let mut answer = answer.map_err(CallError::Unreachable)?;
    let status = answer.status().as_u16();
    match status {
        200..=299 => Ok(answer),
        // Too many requests is no judgement of what was sent; neither are a proxy's words about itself.
        400..=499 if !matches!(status, 401 | 403 | 404 | 407 | 408 | 429) => {
            let reason = answer.body_mut().read_to_string().unwrap_or_default();
            Err(CallError::Refused { status, reason: reason.chars().take(REASON_MAX_CHARS).collect() })
        }
        _ => Err(CallError::Server { status }),
    }
}

async fn read(key: &'static str, path: &Path) -> Result<String, FileError> {
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|source| FileError::Read { key, path: path.display().to_string(), source })
}

async fn token(path: &Path) -> Result<String, FileError> {
    let text = read("token_file", path).await?;
    let token = text.trim();
    if token.is_empty() || token.chars().any(|character| !character.is_ascii_graphic()) {
        return Err(FileError::NoToken { path: path.display().to_string() });
    }
    Ok(token.to_owned())
}

async fn tls(settings: &AlertmanagerSettings) -> Result<TlsConfig, FileError> {
    let certificates: Vec<Certificate<'static>> = match &settings.ca_file {
        Some(path) => {
            let text = read("ca_file", path).await?;
            let found = ureq::tls::parse_pem(text.as_bytes()).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            });
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                return Err(FileError::NoCertificate { path: path.display().to_string() });
            }
            found
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            system.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build())
}
