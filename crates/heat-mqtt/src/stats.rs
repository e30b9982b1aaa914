//! Counters as plain snapshots; the role exports them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_rustls::rustls::Error as RustlsError;

use crate::tls::Handshake;

/// A counter, or a level that rises and falls.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections that were refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusedStats {
    /// As many connections as allowed, closed before CONNECT.
    pub full: u64,
    /// As many connections of that user as allowed.
    pub user_full: u64,
    /// Unknown user, wrong or missing password.
    pub credentials: u64,
    /// A valid certificate that names none of the users.
    pub not_authorized: u64,
    /// A protocol version other than 3.1.1 and 5.
    pub version: u64,
    /// A client id that can't be used.
    pub client_id: u64,
    /// A client id that the user may not use.
    pub client_id_rule: u64,
    /// An authentication method that is not offered.
    pub authentication_method: u64,
    /// No CONNECT in time.
    pub timeout: u64,
    /// Something else than a well-formed CONNECT.
    pub malformed: u64,
}

/// TLS of the listener: handshakes by how they ended, and certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlsStats {
    /// Handshakes completed.
    pub handshakes: u64,
    /// Not completed in time.
    pub timeout: u64,
    /// The peer closed the connection.
    pub closed: u64,
    /// The peer does not speak TLS: it may be a device set up without it.
    pub not_tls: u64,
    /// The peer offers no version or cipher that is accepted.
    pub incompatible: u64,
    /// The peer showed no certificate where one is required.
    pub no_certificate: u64,
    /// The peer's certificate is expired, or of another authority, or otherwise not valid.
    pub certificate: u64,
    /// The peer refused us, mostly because it does not trust our certificate.
    pub alert: u64,
    /// The peer's certificate has no single name of the kind that identifies devices.
    pub identity: u64,
    /// Anything else.
    pub other: u64,
    /// Times that new certificates were taken into use.
    pub reloads: u64,
    /// Times that new certificates could not be used; the former stay in use.
    pub reload_failures: u64,
}

/// What the listener did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenStats {
    /// Connections that are open (a level).
    pub connections: u64,
    /// Sessions, connected or kept (a level).
    pub sessions: u64,
    /// Connections whose CONNECT was accepted.
    pub accepted: u64,
    /// Connections that were refused.
    pub refused: RefusedStats,
    /// Handshakes and certificates.
    pub tls: TlsStats,
    /// Accepting failed, e.g. for want of file descriptors.
    pub accept_errors: u64,
    /// Messages handed to the receiver.
    pub messages: u64,
    /// Bytes of their topics and payloads.
    pub bytes: u64,
    /// PUBACK and PUBREC written.
    pub acknowledged: u64,
    /// QoS 2 messages that the session had already: not handed to the receiver again.
    pub repeats: u64,
    /// Packets above the size limit; they ended their connections and are outside the balance.
    pub oversized: u64,
    /// Connections ended for breaking the protocol.
    pub protocol_errors: u64,
    /// Connections ended for more unacknowledged messages than the receive maximum.
    pub receive_maximum_exceeded: u64,
    /// Connections ended by the keep-alive.
    pub keep_alive_expired: u64,
    /// Connections ended because the client did not read.
    pub write_stalled: u64,
    /// Connections ended by a newer one of the same client.
    pub take_overs: u64,
    /// Last wills handed to the receiver.
    pub wills_delivered: u64,
    /// Last wills discarded: the client said DISCONNECT, or came back within the will's delay.
    pub wills_discarded: u64,
    /// Topic filters granted.
    pub filters_granted: u64,
    /// Topic filters refused.
    pub filters_refused: u64,
    /// Kept sessions that expired.
    pub sessions_expired: u64,
    /// Kept sessions dropped for want of room.
    pub sessions_evicted: u64,
    /// Commands written to devices.
    pub commands_sent: u64,
    /// Commands dropped because a device read too slowly.
    pub commands_dropped: u64,
    /// Connection tasks that died of a fault of our own.
    pub task_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct RefusedCounters {
    pub(crate) full: Counter,
    pub(crate) user_full: Counter,
    pub(crate) credentials: Counter,
    pub(crate) not_authorized: Counter,
    pub(crate) version: Counter,
    pub(crate) client_id: Counter,
    pub(crate) client_id_rule: Counter,
    pub(crate) authentication_method: Counter,
    pub(crate) timeout: Counter,
    pub(crate) malformed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct TlsCounters {
    pub(crate) handshakes: Counter,
    pub(crate) timeout: Counter,
    pub(crate) closed: Counter,
    pub(crate) not_tls: Counter,
    pub(crate) incompatible: Counter,
    pub(crate) no_certificate: Counter,
    pub(crate) certificate: Counter,
    pub(crate) alert: Counter,
    pub(crate) identity: Counter,
    pub(crate) other: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
}

impl TlsCounters {
    /// The counter of a failed handshake.
    pub(crate) fn failed(&self, error: &Handshake) -> &Counter {
        let error = match error {
            Handshake::Closed(_) => return &self.closed,
            Handshake::Identity(_) => return &self.identity,
            Handshake::Failed(error) => error,
        };
        if matches!(error, RustlsError::InvalidMessage(_)) {
            &self.not_tls
        } else if matches!(error, RustlsError::PeerIncompatible(_)) {
            &self.incompatible
        } else if matches!(error, RustlsError::NoCertificatesPresented) {
            &self.no_certificate
        } else if matches!(error, RustlsError::InvalidCertificate(_)) {
            &self.certificate
        } else if matches!(error, RustlsError::AlertReceived(_)) {
            &self.alert
        } else {
            &self.other
        }
    }

    fn snapshot(&self) -> TlsStats {
        TlsStats {
            handshakes: self.handshakes.get(),
            timeout: self.timeout.get(),
            closed: self.closed.get(),
            not_tls: self.not_tls.get(),
            incompatible: self.incompatible.get(),
            no_certificate: self.no_certificate.get(),
            certificate: self.certificate.get(),
            alert: self.alert.get(),
            identity: self.identity.get(),
            other: self.other.get(),
            reloads: self.reloads.get(),
            reload_failures: self.reload_failures.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ListenCounters {
    pub(crate) connections: Counter,
    pub(crate) sessions: Counter,
    pub(crate) accepted: Counter,
    pub(crate) refused: RefusedCounters,
    pub(crate) tls: TlsCounters,
    pub(crate) accept_errors: Counter,
    pub(crate) messages: Counter,
    pub(crate) bytes: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) repeats: Counter,
    pub(crate) oversized: Counter,
    pub(crate) protocol_errors: Counter,
    pub(crate) receive_maximum_exceeded: Counter,
    pub(crate) keep_alive_expired: Counter,
    pub(crate) write_stalled: Counter,
    pub(crate) take_overs: Counter,
    pub(crate) wills_delivered: Counter,
    pub(crate) wills_discarded: Counter,
    pub(crate) filters_granted: Counter,
    pub(crate) filters_refused: Counter,
    pub(crate) sessions_expired: Counter,
    pub(crate) sessions_evicted: Counter,
    pub(crate) commands_sent: Counter,
    pub(crate) commands_dropped: Counter,
    pub(crate) task_failures: Counter,
}

impl ListenCounters {
    pub(crate) fn snapshot(&self) -> ListenStats {
        ListenStats {
            connections: self.connections.get(),
            sessions: self.sessions.get(),
            accepted: self.accepted.get(),
            refused: RefusedStats {
                full: self.refused.full.get(),
                user_full: self.refused.user_full.get(),
                credentials: self.refused.credentials.get(),
                not_authorized: self.refused.not_authorized.get(),
                version: self.refused.version.get(),
                client_id: self.refused.client_id.get(),
                client_id_rule: self.refused.client_id_rule.get(),
                authentication_method: self.refused.authentication_method.get(),
                timeout: self.refused.timeout.get(),
                malformed: self.refused.malformed.get(),
            },
            tls: self.tls.snapshot(),
            accept_errors: self.accept_errors.get(),
            messages: self.messages.get(),
            bytes: self.bytes.get(),
            acknowledged: self.acknowledged.get(),
            repeats: self.repeats.get(),
            oversized: self.oversized.get(),
            protocol_errors: self.protocol_errors.get(),
            receive_maximum_exceeded: self.receive_maximum_exceeded.get(),
            keep_alive_expired: self.keep_alive_expired.get(),
            write_stalled: self.write_stalled.get(),
            take_overs: self.take_overs.get(),
            wills_delivered: self.wills_delivered.get(),
            wills_discarded: self.wills_discarded.get(),
            filters_granted: self.filters_granted.get(),
            filters_refused: self.filters_refused.get(),
            sessions_expired: self.sessions_expired.get(),
            sessions_evicted: self.sessions_evicted.get(),
            commands_sent: self.commands_sent.get(),
            commands_dropped: self.commands_dropped.get(),
            task_failures: self.task_failures.get(),
        }
    }
}

/// What the client of the user's broker did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubscribeStats {
    /// 1 while connected and subscribed (a level).
    pub connected: u64,
    /// Times a connection was established.
    pub connections: u64,
    /// Times it could not be established, or was lost.
    pub failures: u64,
    /// Connections that found no session at the broker: what it kept for us, if anything, is lost.
    pub sessions_lost: u64,
    /// Filters the broker refused.
    pub filters_refused: u64,
    /// Messages handed to the receiver.
    pub messages: u64,
    /// Bytes of their topics and payloads.
    pub bytes: u64,
    /// PUBACKs passed to the connection.
    pub acknowledged: u64,
    /// Messages with a topic that is no UTF-8 or is empty: acknowledged and dropped.
    pub invalid_topics: u64,
    /// Client rebuilt by the watchdog, because acknowledgements did not leave.
    pub watchdog_rebuilds: u64,
    /// Commands that could not be sent.
    pub commands_dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SubscribeCounters {
    pub(crate) connected: Counter,
    pub(crate) connections: Counter,
    pub(crate) failures: Counter,
    pub(crate) sessions_lost: Counter,
    pub(crate) filters_refused: Counter,
    pub(crate) messages: Counter,
    pub(crate) bytes: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) invalid_topics: Counter,
    pub(crate) watchdog_rebuilds: Counter,
    pub(crate) commands_dropped: Counter,
}

impl SubscribeCounters {
    pub(crate) fn snapshot(&self) -> SubscribeStats {
        SubscribeStats {
            connected: self.connected.get(),
            connections: self.connections.get(),
            failures: self.failures.get(),
            sessions_lost: self.sessions_lost.get(),
            filters_refused: self.filters_refused.get(),
            messages: self.messages.get(),
            bytes: self.bytes.get(),
            acknowledged: self.acknowledged.get(),
            invalid_topics: self.invalid_topics.get(),
            watchdog_rebuilds: self.watchdog_rebuilds.get(),
            commands_dropped: self.commands_dropped.get(),
        }
    }
}
