//! What both ways in have in common: links that come up and go down, batches of messages, and acknowledgements.
//!
//! A link is one connection, never reused: an [`AckToken`] of an older connection names a link that is gone, so it can
//! acknowledge nothing of a newer one.
//!
//! Only what is durable can be acknowledged; the wrong order does not compile:
//!
//! ```compile_fail,E0308
//! fn acknowledge_on_receipt(acknowledger: &heat_mqtt::Acknowledger, delivery: heat_mqtt::Delivery) {
//!     acknowledger.acknowledge([delivery.token]);
//! }
//! ```
//!
//! The only maker of the proof is the ledger:
//!
//! ```
//! use heat_ledger::durable::{AckQueue, Marks};
//!
//! fn acknowledge_what_is_durable(
//!     acknowledger: &heat_mqtt::Acknowledger,
//!     waiting: &mut AckQueue<heat_mqtt::AckToken>,
//!     marks: &Marks,
//! ) {
//!     acknowledger.acknowledge(std::iter::from_fn(|| waiting.pop_durable(marks)));
//! }
//! ```

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::rights::Rights;
pub use acknowledge::{AckCounts, Acknowledger};
pub(crate) use acknowledge::{Settle, SinkTable, Ticked};

mod acknowledge;

/// One connection, of a device to our listener or of ours to a broker. Unique for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// MQTT quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// At most once: never acknowledged.
    AtMostOnce,
    /// At least once: PUBACK.
    AtLeastOnce,
    /// Exactly once within a session: PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce,
}

/// How messages of a source come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The device is connected to our listener: the source is the device.
    Listen,
    /// We are a client of a broker: the source is the broker, not the device.
    Subscribe,
}

/// Who speaks on a link, as far as the connection itself proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How its messages come in.
    pub way: Way,
    /// The device's client id, or ours at the broker.
    pub client_id: String,
    /// The user name that was checked, or the name in the certificate; none where anonymous connections are allowed. On
    /// `Subscribe`, ours.
    pub user: Option<String>,
    /// What it may speak for; none: everything. Whoever knows what a message says decides by it: topics alone don't
    /// always tell.
    pub rights: Option<Arc<Rights>>,
    /// The other end of the connection; none where it is known by name only.
    pub peer: Option<SocketAddr>,
    /// The broker's `host:port` on `Subscribe`, the peer's address otherwise.
    pub name: String,
}

/// What acknowledges one delivery; worth something only as `Durable<AckToken>`. Small, and cheap to move about.
#[derive(Debug, PartialEq, Eq)]
pub struct AckToken {
    pub(crate) link: LinkId,
    pub(crate) packet_id: u16,
    pub(crate) qos: Qos,
}

impl AckToken {
    /// The connection that the message came by.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Whether the source waits for this acknowledgement; false for QoS 0, where acknowledging does nothing.
    pub fn is_awaited(&self) -> bool {
        self.qos != Qos::AtMostOnce
    }
}

/// MQTT 5 properties that matter to a receiver; absent on nearly all messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Content type, e.g. `application/json`.
    pub content_type: Option<String>,
    /// User properties in order of receipt; names may repeat.
    pub user_properties: Vec<(String, String)>,
}

/// One message, in order of receipt on its link.
#[derive(Debug)]
pub struct Delivery {
    /// The connection it came by.
    pub link: LinkId,
    /// Who sent it.
    pub source: Arc<Source>,
    /// Topic name: valid UTF-8 without wildcards; aliases are resolved.
    pub topic: Arc<str>,
    /// Payload as received. Payloads of one read share one allocation: a holder that keeps a single small payload for
    /// long should copy it.
    pub payload: Bytes,
    /// Quality of service it was sent with.
    pub qos: Qos,
    /// Set when this is a broker's stored copy, sent because we subscribed: never live. A device's own wish to have
    /// its message retained does not set it.
    pub retain: bool,
    /// The sender says it may have sent this before. Says nothing about whether we have it.
    pub dup: bool,
    /// Set when this is a device's last will, delivered because its connection ended without DISCONNECT.
    pub will: bool,
    /// What acknowledges it. Every delivery has one, also where nobody waits for it.
    pub token: AckToken,
    /// Content type and user properties, where present.
    pub properties: Option<Box<Properties>>,
}

/// Why a link went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DownReason {
    /// The client said DISCONNECT.
    Disconnected,
    /// The other end closed or reset the connection without DISCONNECT.
    Closed,
    /// Nothing came for one and a half times the keep-alive.
    KeepAlive,
    /// The same client connected again.
    TakenOver,
    /// The other end broke the protocol.
    ProtocolError,
    /// A packet above the limit.
    Oversized,
    /// More unacknowledged messages than the receive maximum.
    ReceiveMaximum,
    /// The other end did not read what we wrote.
    WriteStalled,
    /// We are shutting down.
    ShuttingDown,
}

/// Messages of one link, in order of receipt. While it lives, it counts against the queue's bounds: take the deliveries
/// out as soon as the receiver has room of its own.
#[derive(Debug)]
pub struct Batch {
    deliveries: Vec<Delivery>,
    _room: Option<Room>,
}

impl Batch {
    pub(crate) fn new(deliveries: Vec<Delivery>, room: Option<Room>) -> Self {
        Self { deliveries, _room: room }
    }

    /// The messages, in order of receipt; frees the room they took in the queue.
    pub fn into_deliveries(self) -> Vec<Delivery> {
        self.deliveries
    }

    /// The messages, in order of receipt.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }
}

/// What comes in. Per link: `Up`, then messages in order of receipt, then `Down`.
#[derive(Debug)]
pub enum LinkEvent {
    /// A connection is established.
    Up(LinkId, Arc<Source>),
    /// Messages of one connection.
    Messages(Batch),
    /// A connection has ended; its unacknowledged messages will be sent again, if the source keeps a session.
    Down(LinkId, DownReason),
}

/// Bounds of the queue between all links and their one receiver. When one is reached, sockets are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Messages that wait for the receiver.
    pub messages: u32,
    /// Bytes of topics and payloads that wait for the receiver.
    pub bytes: u32,
}

impl Default for QueueBounds {
    /// A second of full load, and room for a few of the largest payloads.
    fn default() -> Self {
        Self { messages: 50_000, bytes: 64 << 20 }
    }
}

/// Makes the queue that all links of a process feed: the inlet for [`crate::Listener`] and [`crate::Subscriber`], the
/// receiving end, and what acknowledges.
pub fn links(bounds: QueueBounds) -> (Inlet, mpsc::Receiver<LinkEvent>, Acknowledger) {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let table = Arc::new(SinkTable::default());
    let inlet = Inlet {
        events,
        messages: Arc::new(Semaphore::new(bounds.messages as usize)),
        bytes: Arc::new(Semaphore::new(bounds.bytes as usize)),
        bounds,
        table: Arc::clone(&table),
    };
    (inlet, receiver, Acknowledger::new(table))
}

/// Events that wait at most; batches are bounded by messages and bytes besides.
const EVENTS_MAX: usize = 4096;

/// Where links hand in what they receive.
#[derive(Debug, Clone)]
pub struct Inlet {
    events: mpsc::Sender<LinkEvent>,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bounds: QueueBounds,
    table: Arc<SinkTable>,
}

/// A batch's share of the queue's bounds.
#[derive(Debug)]
pub(crate) struct Room {
    _messages: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The receiver of the links' events is gone.
#[derive(Debug, thiserror::Error)]
#[error("hand in what a link received: the receiver is gone")]
pub(crate) struct ReceiverGone;

impl Inlet {
    /// How much waits for the receiver: messages and bytes.
    pub fn queued(&self) -> (usize, usize) {
        let messages = (self.bounds.messages as usize).saturating_sub(self.messages.available_permits());
        let bytes = (self.bounds.bytes as usize).saturating_sub(self.bytes.available_permits());
        (messages, bytes)
    }

    pub(crate) fn table(&self) -> &Arc<SinkTable> {
        &self.table
    }

    /// Hands a batch in if there is room for it at once; gives it back otherwise.
    pub(crate) fn try_hand_in(&self, deliveries: Vec<Delivery>) -> Result<(), Vec<Delivery>> {
        let (messages, bytes) = self.share(&deliveries);
        let Ok(event) = self.events.try_reserve() else { return Err(deliveries) };
        let Ok(messages) = Arc::clone(&self.messages).try_acquire_many_owned(messages) else {
            return Err(deliveries);
        };
        let Ok(bytes) = Arc::clone(&self.bytes).try_acquire_many_owned(bytes) else { return Err(deliveries) };
        let room = Room { _messages: messages, _bytes: bytes };
        event.send(LinkEvent::Messages(Batch::new(deliveries, Some(room))));
        Ok(())
    }

    /// Hands a batch in, waiting for room.
    pub(crate) async fn hand_in(self, deliveries: Vec<Delivery>) -> Result<(), ReceiverGone> {
        let (messages, bytes) = self.share(&deliveries);
        let messages = self.messages.acquire_many_owned(messages).await.map_err(|_closed| ReceiverGone)?;
        let bytes = self.bytes.acquire_many_owned(bytes).await.map_err(|_closed| ReceiverGone)?;
        let room = Room { _messages: messages, _bytes: bytes };
        let batch = Batch::new(deliveries, Some(room));
        self.events.send(LinkEvent::Messages(batch)).await.map_err(|_closed| ReceiverGone)
    }

    /// Tells that a link came up or went down, waiting for room.
    pub(crate) async fn tell(&self, event: LinkEvent) -> Result<(), ReceiverGone> {
        self.events.send(event).await.map_err(|_closed| ReceiverGone)
    }

    /// A batch's share of the bounds; one above a whole bound takes all of it.
    fn share(&self, deliveries: &[Delivery]) -> (u32, u32) {
        let messages = u32::try_from(deliveries.len()).unwrap_or(u32::MAX).min(self.bounds.messages);
        let bytes: usize =
            deliveries.iter().map(|delivery| delivery.payload.len() + delivery.topic.len()).sum();
        (messages, u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bounds.bytes))
    }
}
