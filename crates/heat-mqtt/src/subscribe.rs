//! A client of the user's broker, on rumqttc: fixed client id and a session that outlives us, acknowledgement by hand
//! and in order of receipt, connecting again with a growing pause.
//!
//! QoS 1 is the most it asks for, so a broker hands QoS 2 messages over with QoS 1. rumqttc forgets which QoS 2 packets
//! it received when a connection ends and takes their PUBREL for an error at every connection after that; and QoS 2
//! would add nothing, because repeats are removed by what a reading is.
//!
//! What rumqttc does at its default, and what is done about it here: packets above 10 KiB loop (size is set); pending
//! requests and events of an older connection leak into a newer one, a collision can last for ever (everything is made
//! anew for every connection); requests awaited by the task that polls never end (one part polls, another requests);
//! `poll` must not be dropped half-way (what was dropped is not polled again).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    link::{AckToken, Delivery, DownReason, Inlet, LinkEvent, ReceiverGone, Source, Way},
    listen::CommandError,
    reconnect::{Backoff, chain, is_loopback, jitter},
    settings::SubscribeSettings,
    state::{HostState, StateMessage},
    stats::{SubscribeCounters, SubscribeStats},
};
use broker_link::BrokerLink;
pub(crate) use client::transport;
use client::{Client, Connection, Event, Failure, Gone, Message};

mod broker_link;
mod client;

/// A PUBACK that the connection does not take for this long means that the client is stuck.
const WATCHDOG: Duration = Duration::from_secs(60);
/// A connection that lived this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
/// Time at shutdown for the acknowledgements of what was handed in, and for the farewell.
const DRAIN: Duration = Duration::from_secs(5);

/// Whether the filters must be asked for: at the first connection they may have changed since the session began.
const fn must_subscribe(is_first: bool, session_present: bool) -> bool {
    is_first || !session_present
}

/// A client of the user's broker, not yet connected.
#[derive(Debug)]
pub struct Subscriber {
    settings: SubscribeSettings,
    inlet: Inlet,
    source: Arc<Source>,
    state: Option<StateMessage>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    counters: SubscribeCounters,
    client: Mutex<Option<Client>>,
    /// The broker has accepted us; commands can go.
    is_accepted: AtomicBool,
}

/// What others may ask of a subscriber.
#[derive(Debug, Clone)]
pub struct SubscriberHandle {
    shared: Arc<Shared>,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error(transparent)]
    ClientGone(#[from] Gone),
    #[error("acknowledge to the broker: the client took nothing for {WATCHDOG:?}; it is made anew")]
    Stuck,
    #[error("the gateway no longer receives")]
    ReceiverGone,
    #[error("shut down")]
    Farewell,
}

impl From<ReceiverGone> for Over {
    fn from(ReceiverGone: ReceiverGone) -> Self {
        Self::ReceiverGone
    }
}

impl Subscriber {
    /// Takes settings; connects from [`Subscriber::run`] on.
    pub fn new(settings: SubscribeSettings, inlet: Inlet) -> Self {
        let source = Arc::new(Source {
            way: Way::Subscribe,
            client_id: settings.client_id.clone(),
            user: settings.credentials.as_ref().map(|(user, _)| user.clone()),
            // Who publishes is the broker's to know and to check.
            rights: None,
            peer: None,
            name: format!("{}:{}", settings.host, settings.port),
        });
        Self { settings, inlet, source, state: None, shared: Arc::default() }
    }

    /// Tells nodes that a Sparkplug host lives here: `online`, retained, at every connection, and `offline` as the last
    /// will and before a farewell. A connection has one will, so the liveness topic keeps `online` when we vanish; it says
    /// `offline` at an orderly end as ever. One gateway of a group may announce a host, not each: the first that left
    /// would take it offline for all.
    #[must_use]
    pub fn announcing(mut self, state: StateMessage) -> Self {
        self.state = Some(state);
        self
    }

    /// Counters and commands, also while it runs.
    pub fn handle(&self) -> SubscriberHandle {
        SubscriberHandle { shared: Arc::clone(&self.shared) }
    }

    /// Receives until `shutdown` completes, connecting again whenever the connection is lost. Then takes no more
    /// messages, waits a few seconds for the acknowledgements of those it handed in, and says farewell; the broker
    /// keeps the session.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        self.warn_of_bare_passwords();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let connections = self.keep_connected(stopped);
        let mut connections = std::pin::pin!(connections);
        tokio::select! {
            () = connections.as_mut() => return,
            () = shutdown => {}
        }
        stop.send_replace(true);
        if timeout(2 * DRAIN, connections).await.is_err() {
            tracing::warn!(broker = %self.source.name, "the broker did not take our farewell in time");
        }
    }

    fn warn_of_bare_passwords(&self) {
        let settings = &self.settings;
        if settings.credentials.is_some() && settings.tls.is_none() && !is_loopback(&settings.host) {
            tracing::warn!(
                broker = %self.source.name,
                "the password goes to the broker unencrypted; set up the table tls if the broker can"
            );
        }
    }

    async fn keep_connected(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut pause = Backoff::new(self.settings.backoff);
        let mut is_first = true;
        while !*stop.borrow() {
            let begun = Instant::now();
            let (over, was_connected) = self.connection(is_first, stop.clone()).await;
            is_first &= !was_connected;
            match over {
                Over::Farewell | Over::ReceiverGone => return,
                Over::Stuck => self.shared.counters.watchdog_rebuilds.increment(),
                Over::Failed(_) | Over::ClientGone(_) => {}
            }
            self.shared.counters.failures.increment();
            if was_connected && begun.elapsed() >= GOOD_CONNECTION {
                pause = Backoff::new(self.settings.backoff);
            }
            let wait = pause.next(jitter());
            tracing::warn!(
                error = %chain(&over), broker = %self.source.name, pause_ms = wait.as_millis(),
                "no connection to the MQTT broker; trying again"
            );
            tokio::select! {
                () = sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// One connection from beginning to end; tells whether the broker accepted it.
    async fn connection(&self, is_first: bool, stop: tokio::sync::watch::Receiver<bool>) -> (Over, bool) {
        let state = self.state.as_ref().map(StateMessage::make);
        let (client, connection) = match client::connect(&self.settings, state.as_ref()).await {
            Ok(connecting) => connecting,
            Err(failure) => return (failure.into(), false),
        };
        let table = self.inlet.table();
        let broker = Arc::new(BrokerLink::new(table.next_id()));
        let sink = Arc::clone(&broker);
        table.insert(broker.link, sink);
        *self.client_slot() = Some(client.clone());

        let over = {
            let mut handing_in = std::pin::pin!(self.hand_in(&broker));
            let over = tokio::select! {
                over = self.poll(connection, &broker, is_first, stop.clone()) => over,
                over = self.request(&client, &broker, Manner { is_first, state: state.as_ref() }, stop) => over,
                over = handing_in.as_mut() => over,
            };
            broker.close();
            self.shared.is_accepted.store(false, Ordering::Relaxed);
            *self.client_slot() = None;
            // What is being handed in must not be lost half-way: nobody sends a QoS 0 message again.
            if !matches!(over, Over::ReceiverGone) {
                handing_in.await;
            }
            over
        };
        table.remove(broker.link);
        let was_connected = broker.session_present().is_some();
        if broker.is_subscribed() {
            self.shared.counters.connected.decrement();
        }
        if was_connected {
            let reason =
                if matches!(over, Over::Farewell) { DownReason::ShuttingDown } else { DownReason::Closed };
            if self.inlet.tell(LinkEvent::Down(broker.link, reason)).await.is_err() {
                return (Over::ReceiverGone, was_connected);
            }
        }
        (over, was_connected)
    }

    fn client_slot(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.shared.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only polls; never waits for a request of its own.
    async fn poll(
        &self,
        mut connection: Connection,
        broker: &BrokerLink,
        is_first: bool,
        stop: tokio::sync::watch::Receiver<bool>,
    ) -> Over {
        let counters = &self.shared.counters;
        // Before that nothing comes, and without a session what devices send meanwhile is nobody's.
        let subscribed = || {
            if broker.subscribed() {
                counters.connected.increment();
            }
        };
        let mut is_leaving = false;
        loop {
            match connection.poll().await {
                Ok(Event::Connected { session_present }) => {
                    counters.connections.increment();
                    if !must_subscribe(is_first, session_present) {
                        subscribed();
                    }
                    tracing::info!(broker = %self.source.name, session_present, "connected to the MQTT broker");
                    self.shared.is_accepted.store(true, Ordering::Relaxed);
                    broker.connected(session_present);
                }
                Ok(Event::Message(message)) => {
                    // Once we are to stop, the broker keeps what it sends: it gets no acknowledgement.
                    if *stop.borrow() {
                        continue;
                    }
                    self.stage(message, broker);
                    while broker.is_full() {
                        broker.room.notified().await;
                    }
                }
                Ok(Event::Subscribed { refused }) => {
                    if refused < self.settings.filters.len() {
                        subscribed();
                    }
                    if refused > 0 {
                        counters.filters_refused.add(refused);
                        tracing::error!(
                            refused, filters = ?self.settings.filters, broker = %self.source.name,
                            "the MQTT broker refused topic filters: nothing comes by them; check its access rules"
                        );
                    }
                }
                Ok(Event::Disconnecting) => is_leaving = true,
                Ok(Event::Other) => {}
                Err(_) if is_leaving => return Over::Farewell,
                Err(failure) => return failure.into(),
            }
            if is_leaving {
                return Over::Farewell;
            }
        }
    }

    fn stage(&self, message: Message, broker: &BrokerLink) {
        // A message without a topic can be neither used nor dead-lettered by topic; it must not stop the rest.
        let topic = message.topic.unwrap_or_else(|| {
            self.shared.counters.invalid_topics.increment();
            Arc::from("")
        });
        broker.stage(Delivery {
            link: broker.link,
            source: Arc::clone(&self.source),
            topic,
            payload: message.payload,
            qos: message.qos,
            retain: message.retain,
            dup: message.dup,
            will: false,
            token: AckToken { link: broker.link, packet_id: message.packet_id, qos: message.qos },
            properties: message.properties,
        });
    }

    /// Only requests: subscriptions, liveness, acknowledgements, farewell.
    async fn request(
        &self,
        client: &Client,
        broker: &BrokerLink,
        Manner { is_first, state }: Manner<'_>,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) -> Over {
        let requests = async {
            while broker.session_present().is_none() {
                broker.work.notified().await;
            }
            let session_present = broker.session_present() == Some(true);
            if !session_present && !is_first {
                self.shared.counters.sessions_lost.increment();
                tracing::warn!(broker = %self.source.name, "the MQTT broker kept no session for us");
            }
            if must_subscribe(is_first, session_present) {
                client.subscribe(&self.settings).await?;
            }
            self.tell_presence(client, state, true).await?;
            loop {
                self.write_ready(client, broker).await?;
                if *stop.borrow() {
                    break;
                }
                tokio::select! {
                    () = broker.work.notified() => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
            self.leave(client, broker, state).await
        };
        match requests.await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    /// Says, by every topic there is for it, that we are there or that we go.
    async fn tell_presence(
        &self,
        client: &Client,
        state: Option<&HostState>,
        is_online: bool,
    ) -> Result<(), Gone> {
        if let Some(HostState { topic, payloads }) = state {
            let payload = if is_online { &payloads.online } else { &payloads.offline };
            client.tell(topic, payload.clone()).await?;
        }
        if let Some(topic) = &self.settings.liveness_topic {
            let word = if is_online { client::ONLINE } else { client::OFFLINE };
            client.tell(topic, Bytes::from_static(word.as_bytes())).await?;
        }
        Ok(())
    }

    async fn write_ready(&self, client: &Client, broker: &BrokerLink) -> Result<(), Over> {
        while let Some(packet_id) = broker.take_ready() {
            timeout(WATCHDOG, client.acknowledge(packet_id)).await.map_err(|_elapsed| Over::Stuck)??;
            self.shared.counters.acknowledged.increment();
        }
        Ok(())
    }

    /// Lets the acknowledgements of what was handed in leave, then says farewell; the part that polls ends then.
    async fn leave(
        &self,
        client: &Client,
        broker: &BrokerLink,
        state: Option<&HostState>,
    ) -> Result<std::convert::Infallible, Over> {
        let settle = async {
            while !broker.is_settled() {
                self.write_ready(client, broker).await?;
                if !broker.is_settled() {
                    broker.work.notified().await;
                }
            }
            Ok::<(), Over>(())
        };
        // What is not durable by then stays unacknowledged, and the broker sends it again.
        match timeout(DRAIN, settle).await {
            Ok(settled) => settled?,
            Err(_elapsed) => {}
        }
        // A farewell suppresses the last will, so we say ourselves that we are gone.
        self.tell_presence(client, state, false).await?;
        client.disconnect().await?;
        std::future::pending().await
    }

    /// Hands in what was received, in batches as large as they have become.
    async fn hand_in(&self, broker: &BrokerLink) -> Over {
        while broker.session_present().is_none() {
            if broker.is_closed() {
                return Over::Farewell;
            }
            broker.staged.notified().await;
        }
        let handing_in = async {
            self.inlet.tell(LinkEvent::Up(broker.link, Arc::clone(&self.source))).await?;
            while let Some(batch) = broker.take_staged() {
                if batch.is_empty() {
                    broker.staged.notified().await;
                    continue;
                }
                let bytes: usize =
                    batch.iter().map(|delivery| delivery.topic.len() + delivery.payload.len()).sum();
                self.shared.counters.messages.add(batch.len());
                self.shared.counters.bytes.add(bytes);
                self.inlet.clone().hand_in(batch).await?;
                broker.room.notify_one();
            }
            Ok::<(), ReceiverGone>(())
        };
        match handing_in.await {
            Ok(()) => Over::Farewell,
            Err(gone) => gone.into(),
        }
    }
}

impl SubscriberHandle {
    /// What it did so far.
    pub fn stats(&self) -> SubscribeStats {
        self.shared.counters.snapshot()
    }

    /// Publishes a command for a Sparkplug node or device by the broker, with QoS 0. Never waits.
    ///
    /// # Errors
    /// When the topic is no command's, when there is no connection, or when its queue is full.
    pub fn command(&self, topic: &str, payload: Bytes) -> Result<(), CommandError> {
        CommandError::check_topic(topic)?;
        let client = self.shared.client.lock().unwrap_or_else(PoisonError::into_inner);
        let is_accepted = self.shared.is_accepted.load(Ordering::Relaxed);
        match client.as_ref() {
            Some(client) if is_accepted && client.try_publish(topic, payload).is_ok() => Ok(()),
            Some(_) | None => {
                self.shared.counters.commands_dropped.increment();
                Err(CommandError::NotConnected { topic: topic.to_owned() })
            }
        }
    }
}

/// How a connection begins.
#[derive(Debug, Clone, Copy)]
struct Manner<'a> {
    /// No connection before it was accepted.
    is_first: bool,
    state: Option<&'a HostState>,
}
