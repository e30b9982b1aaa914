//! HTTP to an object store: hyper with rustls, and the roots that this machine trusts (or `SSL_CERT_FILE` names).

use std::{error::Error, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpService,
    },
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Idle connections are kept so long; servers close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(20);
/// Idle connections at most.
const IDLE_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Connector {
    /// Longest silence of the server.
    pub(super) timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let tls = HttpsConnectorBuilder::new().with_tls_config(trusting_this_machine()?);
        let is_http_allowed =
            options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let tls = if is_http_allowed { tls.https_or_http() } else { tls.https_only() };
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(tls.enable_http1().wrap_connector(tcp));
        Ok(HttpClient::new(Service { client, timeout: self.timeout }))
    }
}

fn trusting_this_machine() -> object_store::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| object_store::Error::Generic { store: "TLS", source: error.into() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[derive(Debug)]
struct Service {
    client: legacy::Client<HttpsConnector<Tcp>, HttpRequestBody>,
    timeout: Duration,
}

#[async_trait]
impl HttpService for Service {
    /// The whole answer: what is lost half-way counts as not answered, so that the caller's retries cover it.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.in_time(self.client.request(request)).await?.map_err(failed)?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.in_time(body.frame()).await? {
            let frame = frame.map_err(|error| HttpError::new(kind_of(&error), error))?;
            if let Some(data) = frame.data_ref() {
                bytes.extend_from_slice(data);
            }
        }
        Ok(HttpResponse::from_parts(head, bytes.freeze().into()))
    }
}

impl Service {
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, HttpError> {
        let done = tokio::time::timeout(self.timeout, future).await;
        done.map_err(|_| HttpError::new(HttpErrorKind::Timeout, Silent { timeout: self.timeout }))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store said nothing for {timeout:?}")]
struct Silent {
    timeout: Duration,
}

fn failed(error: legacy::Error) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { kind_of(&error) };
    HttpError::new(kind, error)
}

/// By the deepest cause that tells.
fn kind_of(error: &(dyn Error + 'static)) -> HttpErrorKind {
    let mut kind = HttpErrorKind::Unknown;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
            if hyper.is_timeout() {
                kind = HttpErrorKind::Timeout;
            } else if hyper.is_closed()
                || hyper.is_canceled()
                || hyper.is_incomplete_message()
                || hyper.is_body_write_aborted()
            {
                kind = HttpErrorKind::Request;
            }
        } else if let Some(io) = error.downcast_ref::<io::Error>() {
            let broken = [
                io::ErrorKind::ConnectionAborted,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
                io::ErrorKind::UnexpectedEof,
            ];
            if broken.contains(&io.kind()) {
                kind = HttpErrorKind::Interrupted;
            } else if io.kind() == io::ErrorKind::TimedOut {
                kind = HttpErrorKind::Timeout;
            }
        }
        cause = error.source();
    }
    kind
}
