//! The MQTT server that devices connect to: MQTT 3.1.1 and 5 over TCP, for ingest only. Its PUBACK means that the
//! receiver has proved the message durable.
//!
//! | packet | what we do |
//! |---|---|
//! | CONNECT | user and password where users are listed; an older connection of the same user and client id is taken over |
//! | PUBLISH | handed to the receiver; PUBACK or PUBREC when durable, in one write for all that are ready |
//! | PUBREL | PUBCOMP; from then on the packet id may come anew |
//! | SUBSCRIBE | commands for one Sparkplug node only, QoS 0; anything else is refused filter by filter |
//! | DISCONNECT | discards the last will, unless it says otherwise (0x04) |
//!
//! Sessions live in memory. Wills with a delay wait for the client's return; they then come by a link of their own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    link::{DownReason, Inlet, LinkEvent},
    settings::ListenSettings,
    stats::{ListenCounters, ListenStats},
};
use connection::{Shared, will_delivery};
use session::Command;
use sessions::{DueWill, Sessions};

mod connect;
mod connection;
mod filters;
mod machine;
mod session;
mod sessions;
mod wire;

/// How often kept sessions and delayed wills are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Pause after a failed accept, which is nearly always a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener's socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("bind the MQTT listener to {address}; is the port taken by another broker?")]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// Why it could not.
    pub source: io::Error,
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
    /// Nothing can be published to such a topic.
    #[error("send a command to {topic:?}: not a topic of 1 to 65,535 bytes without wildcards")]
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
        let is_topic =
            !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && !topic.contains(['+', '#', '\0']);
        if is_topic { Ok(()) } else { Err(Self::Topic { topic: topic.to_owned() }) }
    }
}

/// The MQTT server that devices connect to, bound but not yet running.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Listener {
    /// Binds the address; connections are accepted from [`Listener::run`] on.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn bind(settings: ListenSettings, inlet: Inlet) -> Result<Self, BindError> {
        let address = settings.address;
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let counters = Arc::new(ListenCounters::default());
        let sessions = Sessions::new(&settings, Arc::clone(inlet.table()), Arc::clone(&counters));
        let shared = Arc::new(Shared { settings: Arc::new(settings), inlet, sessions, counters });
        Ok(Self { listener, address, shared })
    }

    /// Where it listens; tells the port where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Counters and commands, also while it runs.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves devices until `shutdown` completes. Then reads nothing more, waits up to `drain_timeout` for the
    /// acknowledgements of what was handed in, and disconnects everybody.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accepted(stream, peer, &mut connections, &stopped),
                    Err(error) => {
                        self.shared.counters.accept_errors.increment();
                        tracing::warn!(%error, "accepting an MQTT connection failed; more file descriptors may help");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => self.ended(ended),
                _ = housekeeping.tick() => self.keep_house().await,
                () = shutdown.as_mut() => break,
            }
        }
        drop(self.listener);
        stop.send_replace(true);
        let counters = Arc::clone(&self.shared.counters);
        let drained = timeout(self.shared.settings.drain_timeout, async {
            while let Some(ended) = connections.join_next().await {
                count_end(&counters, ended);
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

    fn accepted(
        &self,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        connections: &mut JoinSet<()>,
        stopped: &watch::Receiver<bool>,
    ) {
        if connections.len() >= self.shared.settings.connections_max {
            self.shared.counters.refused.full.increment();
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "the connection ended before it was served");
            return;
        }
        self.shared.counters.connections.increment();
        // TLS goes here, around the stream.
        connections.spawn(connection::serve(stream, peer, Arc::clone(&self.shared), stopped.clone()));
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
    /// When no device took it.
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
