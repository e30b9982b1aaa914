//! The listener's packet path without sockets, for fuzzing: any bytes in, no panic, no more memory than the bytes are
//! worth.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::{
    connect::{self, authenticate},
    machine::Machine,
    session::{Hold, Session, SessionKey},
    wire::{self, Version},
};
use crate::{
    link::{Qos, QueueBounds, Settle as _, Source, Ticked, Way, links},
    settings::ListenSettings,
};

/// Drives the server's side of one connection with `bytes` and checks what it promises: input that it waits for is
/// bounded by the largest packet, payloads hold no more bytes than came, answers are no longer than four times the
/// input, a QoS 2 packet id is delivered once until it is released.
///
/// The first byte chooses: bit 0 the version of a stream that does not begin with CONNECT (5 if set), bit 1 whether
/// every message becomes durable at once, bits 2 to 7 how long the pieces are that the stream is cut in (0: one piece).
/// The rest is the stream.
///
/// # Panics
/// When a promise is broken.
pub fn fuzz_packets(bytes: &[u8]) {
    let Some((&choice, stream)) = bytes.split_first() else { return };
    let settings = Arc::new(ListenSettings {
        in_flight_max: 16,
        packet_max_bytes: 1 << 16,
        ..ListenSettings::default()
    });
    let fallback = if choice & 1 == 0 { Version::V311 } else { Version::V5 };
    let Some((version, stream)) = connected(stream, fallback, &settings) else { return };
    let mut peer = Peer::new(version, settings);
    let piece = match usize::from(choice >> 2) {
        0 => stream.len().max(1),
        length => length,
    };
    for piece in stream.chunks(piece) {
        if !peer.receive(piece, choice & 2 != 0) {
            break;
        }
    }
    assert!(
        peer.payload_bytes <= stream.len(),
        "payloads of {} bytes from {}",
        peer.payload_bytes,
        stream.len()
    );
    assert!(peer.output_bytes <= 4 * stream.len(), "{} bytes answer {}", peer.output_bytes, stream.len());
}

/// Takes a CONNECT off the stream, if there is one; none where the client would be refused.
fn connected<'a>(
    stream: &'a [u8],
    fallback: Version,
    settings: &ListenSettings,
) -> Option<(Version, &'a [u8])> {
    let frame = wire::frame(stream).ok().flatten();
    let Some(frame) = frame.filter(|frame| frame.packet_type() == wire::CONNECT) else {
        return Some((fallback, stream));
    };
    let body = stream.get(frame.body_at..frame.end)?;
    let version = connect::version(body).ok()?;
    let mut connect = connect::parse(frame.first, body, settings).ok()?;
    authenticate(&mut connect, None, settings).ok()?;
    assert!(connect.session_expiry <= settings.session_expiry_max, "a session is kept longer than allowed");
    Some((version, &stream[frame.end..]))
}

/// A connection without a socket.
struct Peer {
    machine: Machine,
    session: Arc<Session>,
    link: crate::LinkId,
    partial: BytesMut,
    packet_max_bytes: usize,
    payload_bytes: usize,
    output_bytes: usize,
    unreleased: std::collections::BTreeSet<u16>,
}

impl Peer {
    fn new(version: Version, settings: Arc<ListenSettings>) -> Self {
        let (inlet, _events, _acknowledger) = links(QueueBounds::default());
        let link = inlet.table().next_id();
        let source = Arc::new(Source {
            way: Way::Listen,
            client_id: "fuzz".to_owned(),
            user: None,
            rights: None,
            peer: None,
            name: String::new(),
        });
        let key = SessionKey { user: None, client_id: "fuzz".to_owned() };
        let session = Arc::new(Session::new(key, Arc::clone(inlet.table())));
        session.attach(link, version, None, Arc::new(Notify::new()));
        let packet_max_bytes = settings.packet_max_bytes as usize;
        let machine = Machine::new(version, link, source, Arc::clone(&session), settings, Arc::default());
        Self {
            machine,
            session,
            link,
            partial: BytesMut::new(),
            packet_max_bytes,
            payload_bytes: 0,
            output_bytes: 0,
            unreleased: std::collections::BTreeSet::new(),
        }
    }

    /// Takes a piece of the stream; false when the connection is over.
    fn receive(&mut self, piece: &[u8], is_durable: bool) -> bool {
        self.partial.extend_from_slice(piece);
        let chunk: Bytes = self.partial.split().freeze();
        let (mut deliveries, mut output) = (Vec::new(), Vec::new());
        let taken = self.machine.receive(&chunk, &mut deliveries, &mut output);
        let mut receipts = Vec::new();
        for delivery in &deliveries {
            self.payload_bytes += delivery.payload.len();
            assert!(
                delivery.token.is_awaited() == (delivery.qos != Qos::AtMostOnce),
                "every QoS above 0 is answered"
            );
            if delivery.qos == Qos::ExactlyOnce && !is_durable {
                let is_first = self.unreleased.insert(delivery.token.packet_id);
                assert!(is_first, "packet id {} was delivered twice", delivery.token.packet_id);
            }
            receipts.push(Ticked { packet_id: delivery.token.packet_id, qos: delivery.qos });
        }
        receipts.retain(|receipt| receipt.qos != Qos::AtMostOnce);
        let Ok(taken) = taken else { return false };
        assert!(taken <= chunk.len(), "took more than there was");
        let rest = &chunk[taken..];
        assert!(rest.len() <= self.packet_max_bytes + piece.len(), "waits for {} bytes", rest.len());
        self.partial.extend_from_slice(rest);
        if is_durable {
            self.session.settle(self.link, &receipts);
            let mut ready = Vec::new();
            let hold = self.session.take_output(self.link, &mut ready, &mut output);
            assert!(hold == Hold::Mine, "nobody else took the session");
            self.machine.acknowledge(&ready, &mut output);
        }
        self.output_bytes += output.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            fuzz_packets(&bytes);
        }

        #[test]
        fn publishes_of_all_qualities_keep_the_promises(
            choice: u8,
            packets in proptest::collection::vec((0u8..3, 1u8..4, any::<bool>()), 0..40),
        ) {
            let mut bytes = vec![choice & !1];
            for (qos, id, is_release) in packets {
                if is_release {
                    bytes.extend_from_slice(&[0x62, 2, 0, id]);
                } else if qos == 0 {
                    bytes.extend_from_slice(&[0x30, 4, 0, 1, b'a', b'x']);
                } else {
                    bytes.extend_from_slice(&[0x30 | (qos << 1), 6, 0, 1, b'a', 0, id, b'x']);
                }
            }
            fuzz_packets(&bytes);
        }
    }

    #[test]
    fn a_connect_in_front_chooses_the_version() {
        let stream = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0, 0xc0, 0];

        let (version, rest) = connected(&stream, Version::V311, &ListenSettings::default()).unwrap();

        assert_eq!((version, rest), (Version::V5, &[0xc0, 0][..]));
    }
}
