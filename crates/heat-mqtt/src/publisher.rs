//! A small publishing client for tools, on rumqttc (MQTT 5, QoS 1). It keeps every message until it is acknowledged and
//! publishes again, in order, what was not acknowledged when a connection ended. It is not made for the last bit of
//! speed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rumqttc::v5::{
    self,
    mqttbytes::{
        QoS,
        v5::{Packet, PubAckReason},
    },
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    reconnect::{Backoff, chain, is_loopback, jitter},
    settings::Secret,
    subscribe::transport,
    tls::ClientTls,
};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
const PACKET_MAX_BYTES: u32 = 16 << 20;
/// Time for the farewell.
const FAREWELL: Duration = Duration::from_secs(2);

/// Messages on the wire without acknowledgement, unless set: a group commit's worth.
const IN_FLIGHT_MAX: u16 = 1_000;

/// Where and how to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherSettings {
    /// The server's host name or address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// Client id.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// TLS; none: a bare connection.
    pub tls: Option<ClientTls>,
    /// Messages without acknowledgement at most; the server's receive maximum bounds those on the wire besides. At
    /// least 1.
    pub in_flight_max: u16,
}

impl PublisherSettings {
    /// Without credentials, and with room for a fast server.
    pub fn new(host: impl Into<String>, port: u16, client_id: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            client_id: client_id.into(),
            credentials: None,
            tls: None,
            in_flight_max: IN_FLIGHT_MAX,
        }
    }
}

/// What a publisher did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublisherCounts {
    /// Messages taken from the caller.
    pub published: u64,
    /// Messages the server acknowledged.
    pub acknowledged: u64,
    /// Messages the server refused; they are not sent again.
    pub refused: u64,
    /// Messages sent again after a connection ended.
    pub resent: u64,
    /// Connections established.
    pub connections: u64,
    /// Connections lost or not established.
    pub failures: u64,
}

/// Why a message could not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The driver has ended; so many messages are not acknowledged.
    #[error("publish: the publisher has ended with {unacknowledged} messages unacknowledged{}", .last_error.as_ref().map(|error| format!("; last error: {error}")).unwrap_or_default())]
    Ended {
        /// Messages without acknowledgement.
        unacknowledged: usize,
        /// Why there was no connection, if that was so.
        last_error: Option<String>,
    },
    /// The topic can't be published to.
    #[error("publish to {topic:?}: not a topic of 1 to 65,535 bytes without wildcards")]
    Topic {
        /// The topic.
        topic: String,
    },
}

/// Publishes messages; clones share one connection.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// Connects, sends and listens; must run for the publisher to get anywhere.
#[derive(Debug)]
pub struct PublisherDriver {
    settings: PublisherSettings,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    in_flight_max: usize,
    state: Mutex<State>,
    /// There is something to send.
    work: Notify,
    /// Something was acknowledged, or the driver has ended.
    progress: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Everything without acknowledgement, in order.
    outstanding: VecDeque<Message>,
    /// How many of them were passed to the current connection.
    passed: usize,
    /// How many of those have their packet id.
    numbered: usize,
    /// A packet id that is taken still, and the message that waits for it.
    waits_for_id: Option<u16>,
    counts: PublisherCounts,
    last_error: Option<String>,
    has_ended: bool,
}

#[derive(Debug)]
struct Message {
    topic: Arc<str>,
    payload: Bytes,
    packet_id: Option<u16>,
    is_done: bool,
    was_sent: bool,
}

impl Publisher {
    /// A publisher and what drives it.
    pub fn new(settings: PublisherSettings) -> (Self, PublisherDriver) {
        let shared = Arc::new(Shared {
            in_flight_max: usize::from(settings.in_flight_max.max(1)),
            state: Mutex::default(),
            work: Notify::new(),
            progress: Notify::new(),
        });
        (Self { shared: Arc::clone(&shared) }, PublisherDriver { settings, shared })
    }

    /// Takes a message; waits while `in_flight_max` are unacknowledged.
    ///
    /// # Errors
    /// When the topic is none, or the driver has ended.
    pub async fn publish(&self, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        if topic.is_empty() || topic.len() > usize::from(u16::MAX) || topic.contains(['+', '#', '\0']) {
            return Err(PublishError::Topic { topic: topic.to_owned() });
        }
        loop {
            let progress = self.shared.progress.notified();
            {
                let mut state = self.shared.state();
                state.check_running()?;
                if state.outstanding.len() < self.shared.in_flight_max {
                    state.counts.published += 1;
                    state.outstanding.push_back(Message {
                        topic: topic.into(),
                        payload,
                        packet_id: None,
                        is_done: false,
                        was_sent: false,
                    });
                    drop(state);
                    self.shared.work.notify_one();
                    return Ok(());
                }
            }
            progress.await;
        }
    }

    /// Waits until everything published so far is acknowledged or refused.
    ///
    /// # Errors
    /// When the driver ends before.
    pub async fn acknowledged(&self) -> Result<(), PublishError> {
        let published = self.counts().published;
        loop {
            let progress = self.shared.progress.notified();
            {
                let state = self.shared.state();
                if state.counts.acknowledged + state.counts.refused >= published {
                    return Ok(());
                }
                state.check_running()?;
            }
            progress.await;
        }
    }

    /// What it did so far.
    pub fn counts(&self) -> PublisherCounts {
        self.shared.state().counts
    }

    /// Why the latest connection ended or could not be made; none while connected.
    pub fn last_error(&self) -> Option<String> {
        self.shared.state().last_error.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_running(&self) -> Result<(), PublishError> {
        if self.has_ended {
            return Err(PublishError::Ended {
                unacknowledged: self.outstanding.len(),
                last_error: self.last_error.clone(),
            });
        }
        Ok(())
    }

    /// The next message for the connection.
    fn next_to_pass(&mut self) -> Option<(Arc<str>, Bytes)> {
        // What is done already needs no sending again, although something before it does.
        while self.outstanding.get(self.passed).is_some_and(|message| message.is_done) {
            self.passed += 1;
        }
        let message = self.outstanding.get(self.passed)?;
        self.passed += 1;
        Some((Arc::clone(&message.topic), message.payload.clone()))
    }

    /// The connection gave the next message its packet id.
    fn number(&mut self, packet_id: u16) {
        while self.outstanding.get(self.numbered).is_some_and(|message| message.is_done) {
            self.numbered += 1;
        }
        if let Some(message) = self.outstanding.get_mut(self.numbered) {
            message.packet_id = Some(packet_id);
            self.counts.resent += u64::from(message.was_sent);
            message.was_sent = true;
            self.numbered += 1;
        }
    }

    /// The server answered.
    fn settle(&mut self, packet_id: u16, is_refused: bool) {
        let answered = self
            .outstanding
            .iter_mut()
            .take(self.numbered)
            .find(|message| message.packet_id == Some(packet_id) && !message.is_done);
        let Some(message) = answered else { return };
        message.is_done = true;
        if is_refused {
            self.counts.refused += 1;
        } else {
            self.counts.acknowledged += 1;
        }
        while self.outstanding.front().is_some_and(|message| message.is_done) {
            self.outstanding.pop_front();
            self.passed = self.passed.saturating_sub(1);
            self.numbered = self.numbered.saturating_sub(1);
        }
    }

    /// A connection ended: everything outstanding goes to the next one.
    fn start_over(&mut self) {
        self.passed = 0;
        self.numbered = 0;
        self.waits_for_id = None;
        for message in &mut self.outstanding {
            message.packet_id = None;
        }
    }
}

impl PublisherDriver {
    /// Sends until `shutdown` completes; wait for [`Publisher::acknowledged`] before that, if nothing may be left.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let settings = &self.settings;
        if settings.credentials.is_some() && settings.tls.is_none() && !is_loopback(&settings.host) {
            tracing::warn!(host = %settings.host, "the password goes to the server unencrypted");
        }
        let mut pause = Backoff::new(BACKOFF);
        loop {
            let connections_before = self.shared.state().counts.connections;
            let error = match transport(self.settings.tls.as_ref()).await {
                Err(error) => Some(chain(&error)),
                Ok(transport) => {
                    let mut options = self.options();
                    options.set_transport(transport);
                    let (client, connection) = v5::AsyncClient::new(options, 16);
                    tokio::select! {
                        error = self.poll(connection, &client, shutdown.as_mut()) => error,
                        error = self.pass(&client) => error,
                    }
                }
            };
            if !self.end_connection(error, connections_before, &mut pause) {
                break;
            }
            tokio::select! {
                () = sleep(pause.next(jitter())) => {}
                () = shutdown.as_mut() => break,
            }
        }
        self.shared.state().has_ended = true;
        self.shared.progress.notify_waiters();
    }

    /// Makes everything outstanding wait for the next connection; false when there shall be none.
    fn end_connection(&self, error: Option<String>, connections_before: u64, pause: &mut Backoff) -> bool {
        let mut state = self.shared.state();
        state.start_over();
        let Some(error) = error else { return false };
        state.counts.failures += 1;
        if state.counts.connections > connections_before {
            *pause = Backoff::new(BACKOFF);
        }
        tracing::warn!(%error, host = %self.settings.host, port = self.settings.port, "no connection to publish by");
        state.last_error = Some(error);
        true
    }

    fn options(&self) -> v5::MqttOptions {
        let mut options =
            v5::MqttOptions::new(&self.settings.client_id, &self.settings.host, self.settings.port);
        options.set_clean_start(true);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(Some(PACKET_MAX_BYTES));
        options.set_outgoing_inflight_upper_limit(self.settings.in_flight_max.max(1));
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some((user, password)) = &self.settings.credentials {
            options.set_credentials(user, password.reveal());
        }
        options
    }

    /// Polls until the connection ends with an error, or `shutdown` completes and the farewell is written.
    async fn poll(
        &self,
        mut connection: v5::EventLoop,
        client: &v5::AsyncClient,
        shutdown: std::pin::Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Option<String> {
        let polling = async {
            loop {
                match connection.poll().await {
                    Ok(event) => self.observe(&event),
                    Err(error) => return chain(&error),
                }
            }
        };
        let mut polling = std::pin::pin!(polling);
        tokio::select! {
            error = polling.as_mut() => return Some(error),
            () = shutdown => {}
        }
        if client.try_disconnect().is_ok() {
            // The server closes the connection then, which ends the polling.
            match timeout(FAREWELL, polling).await {
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    fn observe(&self, event: &v5::Event) {
        let mut state = self.shared.state();
        match event {
            v5::Event::Incoming(Packet::ConnAck(_)) => {
                state.counts.connections += 1;
                state.last_error = None;
                drop(state);
                self.shared.work.notify_one();
            }
            // A packet whose id is still taken is reported twice, when it waits and when it is sent.
            v5::Event::Outgoing(rumqttc::Outgoing::AwaitAck(packet_id)) => {
                state.number(*packet_id);
                state.waits_for_id = Some(*packet_id);
            }
            v5::Event::Outgoing(rumqttc::Outgoing::Publish(packet_id)) => {
                if state.waits_for_id == Some(*packet_id) {
                    state.waits_for_id = None;
                } else {
                    state.number(*packet_id);
                }
            }
            v5::Event::Incoming(Packet::PubAck(puback)) => {
                let is_refused =
                    !matches!(puback.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                if is_refused {
                    tracing::warn!(reason = ?puback.reason, "the server refused a message");
                }
                state.settle(puback.pkid, is_refused);
                drop(state);
                self.shared.progress.notify_waiters();
            }
            v5::Event::Incoming(_) | v5::Event::Outgoing(_) => {}
        }
    }

    /// Passes messages to the connection, in order.
    async fn pass(&self, client: &v5::AsyncClient) -> Option<String> {
        loop {
            let next = self.shared.state().next_to_pass();
            let Some((topic, payload)) = next else {
                self.shared.work.notified().await;
                continue;
            };
            if let Err(error) = client.publish_bytes(topic.as_ref(), QoS::AtLeastOnce, false, payload).await {
                return Some(chain(&error));
            }
        }
    }
}
