//! MQTT in, two ways with one interface, and a small publisher.
//!
//! [`Listener`] is the MQTT server that devices connect to; [`Subscriber`] is a client of the user's broker. Both hand
//! [`Delivery`]s in batches to one bounded queue ([`links`]) and acknowledge to their sources what the receiver proves
//! durable ([`Acknowledger`]). [`Publisher`] is for tools: it publishes with QoS 1 and re-publishes what was not
//! acknowledged.
//!
//! What it is not: no broker (what a device publishes reaches the receiver, never another client; only commands for
//! devices go out), no parser of payloads, no store. It opens sockets and keeps sessions in memory: after a restart,
//! devices are told that there is no session and send what was not acknowledged again.
//!
//! Invariants:
//! - PUBACK and PUBREC are written only for a `Durable<AckToken>`.
//! - Per link, deliveries are in order of receipt, and so are acknowledgements, if the receiver keeps the order.
//! - Everything is bounded: queue, in-flight messages, packet size, connections, sessions, filters, output per
//!   connection. A full queue stops reading from sockets.
//! - An acknowledgement never crosses connections: link ids are not reused.
//! - Within a session a QoS 2 packet id is delivered once, also across connections.
//! - A device is who it proves to be, by a password or a certificate; what it may speak for comes with every message
//!   ([`Source::rights`]), and the receiver, who knows what a message says, decides by it.
//! - Nothing is sent but commands for Sparkplug nodes and devices and a Sparkplug host's STATE; a [`Publisher`] is a tool,
//!   not a part of the gateway.
//!
//! Start reading at [`link`], then `listen/admit.rs` (from a socket to a connection), `listen/machine.rs` (what the server
//! answers), `listen/connection.rs` (one device's socket), `subscribe.rs` and `tls.rs`.

#![warn(missing_docs)]

pub use link::{
    AckCounts, AckToken, Acknowledger, Batch, Delivery, DownReason, Inlet, LinkEvent, LinkId, Properties,
    Qos, QueueBounds, Source, Way, links,
};
pub use listen::{BindError, CommandError, Commands, Listener, ListenerHandle};
pub use publisher::{PublishError, Publisher, PublisherCounts, PublisherDriver, PublisherSettings};
pub use rights::Rights;
pub use settings::{
    AnyCertificate, ClientIdRule, Fault, ListenSettings, ProtocolVersion, RawClientTls, RawListen,
    RawListenTls, RawSubscribe, RawUser, Secret, SecretSource, SubscribeSettings, TlsListenSettings, User,
};
pub use state::{HostIdError, StateMessage, StatePayloads};
pub use stats::{ListenStats, RefusedStats, SubscribeStats, TlsStats};
pub use subscribe::{Subscriber, SubscriberHandle};
pub use tls::{CertificateIdentity, ClientCertificate, ClientTls, IdentityError, ServerFiles, TlsError};

#[doc(hidden)]
pub mod fuzz {
    //! The listener's packet path, for `tests/fuzz`.
    pub use crate::listen::fuzz_packets;
}
pub mod link;
mod listen;
mod publisher;
mod reconnect;
mod rights;
pub mod settings;
mod state;
mod stats;
mod subscribe;
mod tls;

#[cfg(test)]
#[path = "../tests/common/certificates.rs"]
mod certificates;
