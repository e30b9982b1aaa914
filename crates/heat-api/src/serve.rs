//! Connections: accepted within a bound, over TLS if configured, served until shutdown.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use heat_runtime::Shutdown;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tower_service::Service as _;

use crate::{metrics::RoleMetrics, tls::ServerTls};

/// A client that has not sent the head of its next request within this time is cut.
const HEAD_MAX_WAIT: Duration = Duration::from_secs(30);
/// Longest TLS handshake.
const HANDSHAKE_MAX_WAIT: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, as when it is out of file descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// How often the certificate's files are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(60);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What connections are accepted by.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) connections_max: usize,
    pub(crate) metrics: RoleMetrics,
}

/// Serves until shutdown begins, then lets requests under way end.
pub(crate) async fn serve(mut door: Door, router: Router, shutdown: Shutdown) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(door.connections_max));
    let mut connections: JoinSet<()> = JoinSet::new();
    let mut certificate = interval(CERTIFICATE_EVERY);
    certificate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Without room nobody is accepted: connections wait in the system's queue.
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            door.listener.accept().await.map(|(stream, peer)| (stream, peer, permit))
        };
        tokio::select! {
            () = shutdown.begun() => break,
            accepted = accepted => match accepted {
                Ok((stream, peer, permit)) => {
                    let connection = Connection {
                        stream,
                        peer,
                        permit,
                        tls: door.tls.as_ref().map(ServerTls::acceptor),
                        metrics: door.metrics.clone(),
                    };
                    connections.spawn(connection.serve(router.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            },
            _ = certificate.tick() => {
                if let Some(tls) = &mut door.tls {
                    tls.refresh().await;
                }
            }
            Some(ended) = connections.join_next() => said_if_panicked(ended),
        }
    }
    drop(door);
    while let Some(ended) = connections.join_next().await {
        said_if_panicked(ended);
    }
    Ok(())
}

fn said_if_panicked(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serving a connection ended badly");
    }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    tls: Option<tokio_rustls::TlsAcceptor>,
    metrics: RoleMetrics,
}

impl Connection {
    async fn serve(self, router: Router, shutdown: Shutdown) {
        let Self { stream, peer, permit, tls, metrics } = self;
        metrics.connections.inc();
        match tls {
            None => speak(stream, peer, router, &shutdown).await,
            Some(acceptor) => match timeout(HANDSHAKE_MAX_WAIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => speak(stream, peer, router, &shutdown).await,
                Ok(Err(error)) => {
                    metrics.handshakes_failed.inc();
                    tracing::debug!(%error, %peer, "a TLS handshake failed");
                }
                Err(_) => metrics.handshakes_failed.inc(),
            },
        }
        metrics.connections.dec();
        drop(permit);
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    shutdown: &Shutdown,
) {
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        async move {
            let response: Result<Response, Infallible> = router.call(request).await;
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX_WAIT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}
