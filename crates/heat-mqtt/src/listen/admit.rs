//! From an accepted socket to a connection: TLS handshake, CONNECT, refusal. All of it within one deadline.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connect::{self, Connect, Proven, Refusal, authenticate},
    connection::{Connection, FAREWELL, Shared},
    reader::{Reader, Received},
    wire::{self, Frame, Version},
};
use crate::{settings::ListenSettings, tls::ServerTls};

/// Largest CONNECT: client id, user, password, will of 64 KiB each.
const CONNECT_MAX_BYTES: usize = 320 << 10;

/// Serves one connection by TLS to its end.
pub(crate) async fn serve_tls(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Arc<ServerTls>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let deadline = Instant::now() + shared.settings.connect_timeout;
    // In a box, because a connection's task is as large as its largest part for all its life.
    let handshake = Box::pin(timeout_at(deadline, tls.handshake(stream)));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let counters = &shared.counters.tls;
    match shaken {
        Ok(Ok((stream, certificate))) => {
            counters.handshakes.increment();
            let entrance = Entrance { peer, certificate, deadline };
            serve(stream, entrance, shared, stop).await;
        }
        Ok(Err(error)) => {
            counters.failed(&error).increment();
            shared.warn_of_handshake(&error, peer);
        }
        Err(_elapsed) => counters.timeout.increment(),
    }
}

/// How a connection came in.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) peer: SocketAddr,
    /// The name in its certificate, if it showed one.
    pub(crate) certificate: Option<String>,
    /// When its CONNECT must have come.
    pub(crate) deadline: Instant,
}

/// Serves one connection to its end. `stream` is TCP, or whatever lies upon it.
pub(crate) async fn serve<S>(
    stream: S,
    entrance: Entrance,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut reader = Reader { stream, partial: BytesMut::new() };
    let certificate = entrance.certificate.as_deref();
    let reading =
        Box::pin(timeout_at(entrance.deadline, read_connect(&mut reader, certificate, &shared.settings)));
    let connect = tokio::select! {
        connect = reading => connect,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let (connect, proven) = match connect {
        Ok(Ok(connect)) => connect,
        Ok(Err(None)) => {
            shared.counters.refused.malformed.increment();
            return;
        }
        Ok(Err(Some((version, refusal)))) => return refuse(reader.stream, version, refusal, &shared).await,
        Err(_elapsed) => {
            shared.counters.refused.timeout.increment();
            return;
        }
    };
    let version = connect.version;
    match Connection::open(reader, entrance.peer, connect, proven, shared) {
        Ok(connection) => connection.run(stop).await,
        Err((stream, refusal, shared)) => refuse(stream, version, refusal, &shared).await,
    }
}

/// Reads the CONNECT. An error without a refusal closes the connection without a word.
async fn read_connect<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    certificate: Option<&str>,
    settings: &ListenSettings,
) -> Result<(Connect, Proven), Option<(Version, Refusal)>> {
    loop {
        let chunk = match reader.chunk(CONNECT_MAX_BYTES).await {
            Ok(Received::Chunk(chunk)) => chunk,
            // What can't become a CONNECT need not be waited for.
            Ok(Received::Part)
                if reader.partial.first().is_some_and(|&first| first >> 4 != wire::CONNECT) =>
            {
                return Err(None);
            }
            Ok(Received::Part) => continue,
            Ok(Received::End) | Err(_) => return Err(None),
        };
        let Ok(Some(frame)) = wire::frame(&chunk) else { return Err(None) };
        if frame.packet_type() != wire::CONNECT || frame.end > chunk.len() {
            return Err(None);
        }
        let Frame { first, body_at, end } = frame;
        let body = &chunk[body_at..end];
        let version = match connect::version(body) {
            Ok(version) => version,
            // Whatever it speaks, the older form of refusal is the one it may know.
            Err(Refusal::Version) => return Err(Some((Version::V311, Refusal::Version))),
            Err(_) => return Err(None),
        };
        let mut connect =
            connect::parse(first, body, settings).map_err(|refusal| Some((version, refusal)))?;
        let proven =
            authenticate(&mut connect, certificate, settings).map_err(|refusal| Some((version, refusal)))?;
        if end < chunk.len() {
            reader.keep(&chunk[end..]);
        }
        return Ok((connect, proven));
    }
}

async fn refuse<S: AsyncWrite + Unpin>(mut stream: S, version: Version, refusal: Refusal, shared: &Shared) {
    let refused = &shared.counters.refused;
    let counter = match refusal {
        Refusal::Malformed => &refused.malformed,
        Refusal::Version => &refused.version,
        Refusal::ClientId => &refused.client_id,
        Refusal::Credentials => &refused.credentials,
        Refusal::NotAuthorized => &refused.not_authorized,
        Refusal::ClientIdRule => &refused.client_id_rule,
        Refusal::AuthenticationMethod => &refused.authentication_method,
        Refusal::UserFull => &refused.user_full,
    };
    counter.increment();
    let Some(connack) = refusal.connack(version) else { return };
    let farewell = async {
        stream.write_all(&connack).await?;
        stream.shutdown().await
    };
    match timeout(FAREWELL, farewell).await {
        // The client is refused either way, whether it hears why or not.
        Ok(Ok(()) | Err(_)) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests;
