//! The MQTT server that devices connect to: MQTT 3.1.1 and 5 over TCP and TLS, side by side, for ingest only. Its PUBACK
//! means that the receiver has proved the message durable.
//!
//! | packet | what we do |
//! |---|---|
//! | CONNECT | user and password, or a certificate; an older connection of the same user and client id is taken over |
//! | PUBLISH | handed to the receiver; PUBACK or PUBREC when durable, in one write for all that are ready |
//! | PUBREL | PUBCOMP; from then on the packet id may come anew |
//! | SUBSCRIBE | commands for one Sparkplug node, and the host's STATE, QoS 0; anything else is refused filter by filter |
//! | DISCONNECT | discards the last will, unless it says otherwise (0x04) |
//!
//! Sessions live in memory. Wills with a delay wait for the client's return; they then come by a link of their own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    link::{DownReason, Inlet, LinkEvent},
    settings::ListenSettings,
    state::{HostState, StateMessage},
    stats::{ListenCounters, ListenStats},
    tls::{ServerTls, TlsError},
};
use admit::Entrance;
use connection::{Shared, will_delivery};
pub use fuzz::fuzz_packets;
use session::Command;
use sessions::{DueWill, Sessions};

mod admit;
mod connect;
mod connection;
mod filters;
mod fuzz;
mod machine;
mod output;
mod reader;
mod session;
mod sessions;
mod wire;

/// How often kept sessions and delayed wills are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often the files of certificates are looked at.
const CERTIFICATES_LOOKED_AT: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted: a city's devices come back all at once. The system may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// Pause after a failed accept, which is nearly always a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A socket could not be bound.
    #[error("bind the MQTT listener to {address}; is the port taken by another broker?")]
    Address {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it could not.
        source: io::Error,
    },
    /// The certificates can't be used.
    #[error("set up TLS of the MQTT listener")]
    Tls(#[from] TlsError),
    /// Neither an address without TLS nor one with it is set.
    #[error("bind the MQTT listener: it has neither `address` nor the table `tls`")]
    Nowhere,
}

/// A command could not be handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No connected device has subscribed to the topic.
    #[error("send a command to {topic:?}: no connected device listens to it")]
    NobodyListens {
        /// The command's topic.
        topic: String,
    },
    /// Those who listen read too slowly, or take no packet of this size.
    #[error("send a command to {topic:?}: its {devices} listeners have no room for it")]
    NoRoom {
        /// The command's topic.
        topic: String,
        /// How many listen.
        devices: usize,
    },
    /// Nothing but commands for Sparkplug nodes and devices is ever sent: this is monitoring.
    #[error("send a command to {topic:?}: not the topic of an NCMD or DCMD of Sparkplug B")]
    Topic {
        /// The command's topic.
        topic: String,
    },
    /// The broker is not connected, or its queue is full.
    #[error("send a command to {topic:?}: the broker is not connected or its queue is full")]
    NotConnected {
        /// The command's topic.
        topic: String,
    },
}

impl CommandError {
    pub(crate) fn check_topic(topic: &str) -> Result<(), Self> {
        if filters::is_command_topic(topic) { Ok(()) } else { Err(Self::Topic { topic: topic.to_owned() }) }
    }
}

/// The MQTT server that devices connect to, bound but not yet running.
#[derive(Debug)]
pub struct Listener {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, Arc<ServerTls>)>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    state: Option<StateMessage>,
    shared: Arc<Shared>,
}

impl Listener {
    /// Binds the addresses and reads the certificates; connections are accepted from [`Listener::run`] on.
    ///
    /// # Errors
    /// When an address can't be bound, or the certificates can't be used.
    #[expect(clippy::unused_async, reason = "binding needs the runtime that the caller awaits this on")]
    pub async fn bind(settings: ListenSettings, inlet: Inlet) -> Result<Self, BindError> {
        let plain = settings.address.map(bind).transpose()?;
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let server = ServerTls::open(tls)?;
                let (listener, address) = bind(tls.address)?;
                Some((listener, Arc::new(server), address))
            }
        };
        let tls_address = tls.as_ref().map(|(_, _, address)| *address);
        let address =
            plain.as_ref().map(|(_, address)| *address).or(tls_address).ok_or(BindError::Nowhere)?;
        let counters = Arc::new(ListenCounters::default());
        let sessions = Sessions::new(&settings, Arc::clone(inlet.table()), Arc::clone(&counters));
        let tls = tls.map(|(listener, server, _)| (listener, server));
        let server = tls.as_ref().map(|(_, server)| Arc::clone(server));
        let shared = Arc::new(Shared::new(settings, inlet, sessions, counters, server));
        let plain = plain.map(|(listener, _)| listener);
        Ok(Self { plain, tls, address, tls_address, state: None, shared })
    }

    /// Tells nodes that a Sparkplug host lives here: whoever subscribes to the STATE topic gets it at once. Its payloads
    /// are made when the listener runs.
    #[must_use]
    pub fn announcing(mut self, state: StateMessage) -> Self {
        self.state = Some(state);
        self
    }

    /// Where it listens, without TLS if it does so at all; tells the port where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens with TLS, if it does.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Counters and commands, also while it runs.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves devices until `shutdown` completes. Then reads nothing more, waits up to `drain_timeout` for the
    /// acknowledgements of what was handed in, and disconnects everybody.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        self.warn_of_bare_passwords();
        let state = self.state.as_ref().map(|state| Arc::new(state.make()));
        if let Some(state) = &state
            && self.shared.state.set(Arc::clone(state)).is_err()
        {
            unreachable!("a listener runs once");
        }
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        self.serve(&mut connections, &stopped, shutdown).await;
        let Self { plain, tls, shared, .. } = self;
        drop((plain, tls));
        if let Some(state) = state {
            tell_offline(&shared, &state);
        }
        stop.send_replace(true);
        let drained = timeout(shared.settings.drain_timeout, async {
            while let Some(ended) = connections.join_next().await {
                count_end(&shared.counters, ended);
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "MQTT connections were cut with messages unacknowledged; their devices will send them again"
            );
            connections.shutdown().await;
        }
    }

    async fn serve(
        &self,
        connections: &mut JoinSet<()>,
        stopped: &watch::Receiver<bool>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut certificates = interval(CERTIFICATES_LOOKED_AT);
        certificates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = accept(self.plain.as_ref()) => self.accepted(accepted, None, connections, stopped).await,
                accepted = accept(self.tls.as_ref().map(|(listener, _)| listener)) => {
                    let tls = self.tls.as_ref().map(|(_, tls)| Arc::clone(tls));
                    self.accepted(accepted, tls, connections, stopped).await;
                }
                Some(ended) = connections.join_next() => self.ended(ended),
                _ = housekeeping.tick() => self.keep_house().await,
                _ = certificates.tick(), if self.tls.is_some() => self.look_at_certificates().await,
                () = shutdown.as_mut() => return,
            }
        }
    }

    async fn accepted(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        tls: Option<Arc<ServerTls>>,
        connections: &mut JoinSet<()>,
        stopped: &watch::Receiver<bool>,
    ) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.shared.counters.accept_errors.increment();
                tracing::warn!(%error, "accepting an MQTT connection failed; more file descriptors may help");
                return sleep(ACCEPT_PAUSE).await;
            }
        };
        if connections.len() >= self.shared.settings.connections_max {
            self.shared.counters.refused.full.increment();
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "the connection ended before it was served");
            return;
        }
        self.shared.counters.connections.increment();
        let (shared, stopped) = (Arc::clone(&self.shared), stopped.clone());
        match tls {
            Some(tls) => connections.spawn(admit::serve_tls(stream, peer, tls, shared, stopped)),
            None => {
                let deadline = Instant::now() + shared.settings.connect_timeout;
                let entrance = Entrance { peer, certificate: None, deadline };
                connections.spawn(admit::serve(stream, entrance, shared, stopped))
            }
        };
    }

    fn warn_of_bare_passwords(&self) {
        let settings = &self.shared.settings;
        if let Some(address) = settings.address
            && !address.ip().is_loopback()
            && !settings.users.is_empty()
        {
            tracing::warn!(
                %address,
                "devices send their passwords unencrypted to this address; set up the table tls for those that can"
            );
        }
    }

    /// Files are looked at on a thread that may wait for a disk.
    async fn look_at_certificates(&self) {
        let Some((_, tls)) = &self.tls else { return };
        let tls = Arc::clone(tls);
        match tokio::task::spawn_blocking(move || tls.reload_if_changed()).await {
            Ok(Some(reloaded)) => self.shared.reloaded(&reloaded),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "looking at the MQTT listener's certificates died"),
        }
    }

    fn ended(&self, ended: Result<(), JoinError>) {
        count_end(&self.shared.counters, ended);
    }

    /// Ends expired sessions and hands in delayed wills, each by a link of its own: the client's is down already.
    async fn keep_house(&self) {
        for DueWill { will, source } in self.shared.sessions.expire(Instant::now()) {
            let inlet = &self.shared.inlet;
            let link = inlet.table().next_id();
            let delivery = will_delivery(will, link, &source);
            let told = async {
                inlet.tell(LinkEvent::Up(link, source)).await?;
                inlet.clone().hand_in(vec![delivery]).await?;
                inlet.tell(LinkEvent::Down(link, DownReason::Closed)).await
            };
            if told.await.is_ok() {
                self.shared.counters.wills_delivered.increment();
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As servers do, so that a restart finds its port free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen().map_err(|source| BindError::Address { address, source })
}

/// The next connection; never, where there is no socket.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Tells whoever listens to the STATE that the host goes.
fn tell_offline(shared: &Shared, state: &HostState) {
    for session in shared.sessions.connected() {
        match session.command(&state.topic, &state.payloads.offline) {
            // Who does not read learns it from the end of the connection.
            Command::Taken | Command::Dropped | Command::NotListening => {}
        }
    }
}

fn count_end(counters: &ListenCounters, ended: Result<(), JoinError>) {
    counters.connections.decrement();
    if let Err(error) = ended
        && error.is_panic()
    {
        counters.task_failures.increment();
        tracing::error!(%error, "a connection's task died");
    }
}

/// What others may ask of a listener.
#[derive(Debug, Clone)]
pub struct ListenerHandle {
    shared: Arc<Shared>,
}

impl ListenerHandle {
    /// What it did so far.
    pub fn stats(&self) -> ListenStats {
        self.shared.counters.snapshot()
    }

    /// Reads certificates and keys anew, where there are any. New connections see them, and those that are open stay. It
    /// happens by itself within seconds after a file has changed. Reads files: not for a task that must not wait.
    ///
    /// # Errors
    /// When they can't be used; then everything stays as it is.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        let Some(tls) = &self.shared.tls else { return Ok(()) };
        let reloaded = tls.reload();
        self.shared.reloaded(&reloaded);
        reloaded
    }

    /// Sends commands to devices.
    pub fn commands(&self) -> Commands {
        Commands { shared: Arc::clone(&self.shared) }
    }
}

/// Sends commands to connected devices.
#[derive(Debug, Clone)]
pub struct Commands {
    shared: Arc<Shared>,
}

impl Commands {
    /// Sends a command (QoS 0) to every connected device that subscribed to its topic; returns how many. Never waits.
    ///
    /// # Errors
    /// When the topic is no command's, or no device took it.
    pub fn send(&self, topic: &str, payload: &Bytes) -> Result<usize, CommandError> {
        CommandError::check_topic(topic)?;
        let mut sent = 0;
        let mut dropped = 0;
        for session in self.shared.sessions.connected() {
            match session.command(topic, payload) {
                Command::Taken => sent += 1,
                Command::Dropped => dropped += 1,
                Command::NotListening => {}
            }
        }
        self.shared.counters.commands_sent.add(sent);
        self.shared.counters.commands_dropped.add(dropped);
        match (sent, dropped) {
            (0, 0) => Err(CommandError::NobodyListens { topic: topic.to_owned() }),
            (0, devices) => Err(CommandError::NoRoom { topic: topic.to_owned(), devices }),
            (sent, _) => Ok(sent),
        }
    }
}
