use proptest::prelude::*;
use tokio::sync::Notify;

use super::{
    super::{connect, session::SessionKey},
    *,
};
use crate::link::{QueueBounds, Settle as _, Way, links};

fn machine(version: Version) -> (Machine, Arc<Session>) {
    let (inlet, _events, _acknowledger) = links(QueueBounds::default());
    let link = inlet.table().next_id();
    let source = Arc::new(Source {
        way: Way::Listen,
        client_id: "device".to_owned(),
        user: None,
        rights: None,
        peer: None,
        name: String::new(),
    });
    let key = SessionKey { user: None, client_id: "device".to_owned() };
    let session = Arc::new(Session::new(key, Arc::clone(inlet.table())));
    session.attach(link, version, None, Arc::new(Notify::new()));
    let settings = Arc::new(ListenSettings { in_flight_max: 4, ..ListenSettings::default() });
    let machine = Machine::new(version, link, source, Arc::clone(&session), settings, Arc::default());
    (machine, session)
}

struct Outcome {
    result: Result<usize, End>,
    topics: Vec<String>,
    output: Vec<u8>,
}

fn feed(machine: &mut Machine, bytes: &[u8]) -> Outcome {
    let (mut deliveries, mut output) = (Vec::new(), Vec::new());
    let result = machine.receive(&Bytes::copy_from_slice(bytes), &mut deliveries, &mut output);
    let topics = deliveries.iter().map(|delivery| delivery.topic.to_string()).collect();
    Outcome { result, topics, output }
}

fn publish(version: Version, qos: u8, id: u16, topic: &str) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(b"payload");
    let mut packet = vec![0x30 | (qos << 1), u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

fn durable(session: &Session, link: LinkId, packet_id: u16, qos: Qos) {
    assert_eq!(session.settle(link, &[Ticked { packet_id, qos }]), 0);
}

fn written(machine: &mut Machine, session: &Session) -> Vec<u8> {
    let (mut ready, mut output) = (Vec::new(), Vec::new());
    session.take_output(machine.link, &mut ready, &mut output);
    machine.acknowledge(&ready, &mut output);
    output
}

#[test]
fn a_message_is_acknowledged_only_when_durable() {
    for version in [Version::V311, Version::V5] {
        let (mut machine, session) = machine(version);

        let outcome = feed(&mut machine, &publish(version, 1, 7, "a"));

        assert_eq!((outcome.topics.as_slice(), outcome.output.len()), (&["a".to_owned()][..], 0));
        assert!(written(&mut machine, &session).is_empty());
        durable(&session, machine.link, 7, Qos::AtLeastOnce);
        assert_eq!(written(&mut machine, &session), [0x40, 2, 0, 7]);
    }
}

#[test]
fn a_qos_2_message_is_delivered_once_and_received_only_when_durable() {
    let (mut machine, session) = machine(Version::V311);
    let packet = publish(Version::V311, 2, 7, "a");
    assert_eq!(feed(&mut machine, &packet).topics, ["a"]);

    let again = feed(&mut machine, &packet);
    assert_eq!((again.topics.len(), again.output.len()), (0, 0), "repeated before it is durable: silence");

    durable(&session, machine.link, 7, Qos::ExactlyOnce);
    assert_eq!(written(&mut machine, &session), [0x50, 2, 0, 7]);

    let again = feed(&mut machine, &packet);
    assert_eq!((again.topics.len(), again.output), (0, vec![0x50, 2, 0, 7]));

    assert_eq!(feed(&mut machine, &[0x62, 2, 0, 7]).output, [0x70, 2, 0, 7]);
    assert_eq!(feed(&mut machine, &packet).topics, ["a"], "released: the id stands for a new message");
}

#[test]
fn releasing_what_was_not_received_ends_the_connection() {
    let (mut machine, _session) = machine(Version::V5);
    feed(&mut machine, &publish(Version::V5, 2, 7, "a"));
    assert_eq!(feed(&mut machine, &[0x62, 2, 0, 7]).result, Err(End::PROTOCOL));
}

#[test]
fn releasing_an_unknown_id_completes() {
    let (mut machine, _session) = machine(Version::V5);
    assert_eq!(feed(&mut machine, &[0x62, 2, 0, 9]).output, [0x70, 3, 0, 9, 0x92]);
}

#[test]
fn more_than_the_receive_maximum_ends_a_version_5_connection_and_pauses_an_older_one() {
    let (mut machine5, _session) = machine(Version::V5);
    let packets: Vec<u8> = (1..=5).flat_map(|id| publish(Version::V5, 1, id, "a")).collect();
    let outcome = feed(&mut machine5, &packets);
    assert_eq!(outcome.topics.len(), 4, "what came before the fault is delivered");
    assert_eq!(
        outcome.result.map_err(|end| (end.reason, end.code)),
        Err((DownReason::ReceiveMaximum, Some(0x93)))
    );

    let (mut machine4, session) = machine(Version::V311);
    let packets: Vec<u8> = (1..=5).flat_map(|id| publish(Version::V311, 1, id, "a")).collect();
    assert_eq!(feed(&mut machine4, &packets).topics.len(), 5);
    assert!(machine4.is_full());
    for id in [1, 2] {
        durable(&session, machine4.link, id, Qos::AtLeastOnce);
    }
    written(&mut machine4, &session);
    assert!(!machine4.is_full());
}

#[test]
fn an_alias_stands_for_its_topic_on_its_connection() {
    let (mut machine, _session) = machine(Version::V5);
    // Topic "ab" with alias 3, then alias 3 alone, then alias 4 alone.
    let with_topic = [0x30, 8, 0, 2, b'a', b'b', 3, 0x23, 0, 3];
    let alone = [0x30, 6, 0, 0, 3, 0x23, 0, 3];
    let unknown = [0x30, 6, 0, 0, 3, 0x23, 0, 4];
    assert_eq!(feed(&mut machine, &[with_topic.as_slice(), &alone].concat()).topics, ["ab", "ab"]);
    assert_eq!(feed(&mut machine, &unknown).result, Err(End::PROTOCOL));
    let too_high = [0x30, 8, 0, 2, b'a', b'b', 3, 0x23, 1, 0];
    assert_eq!(feed(&mut machine, &too_high).result.map_err(|end| end.code), Err(Some(0x94)));
}

#[test]
fn an_oversized_packet_is_refused_by_its_header() {
    let (mut machine, _session) = machine(Version::V5);
    let outcome = feed(&mut machine, &[0x30, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(
        outcome.result.map_err(|end| (end.reason, end.code)),
        Err((DownReason::Oversized, Some(0x95)))
    );
}

#[test]
fn subscriptions_are_granted_for_own_commands_only() {
    let (mut machine5, _session) = machine(Version::V5);
    let mut body = vec![0, 5, 0];
    for filter in ["spBv1.0/g/NCMD/n/#", "heat/v1/#"] {
        body.extend(u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(1);
    }
    let packet = [&[0x82, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    assert_eq!(feed(&mut machine5, &packet).output, [0x90, 5, 0, 5, 0, 0x00, 0x87]);

    let (mut machine4, _session) = machine(Version::V311);
    body.remove(2);
    let packet = [&[0x82, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    assert_eq!(feed(&mut machine4, &packet).output, [0x90, 4, 0, 5, 0x00, 0x80]);
}

#[test]
fn an_acknowledgement_of_an_older_connection_is_dropped_but_settles_a_qos_2_message() {
    let (mut machine, session) = machine(Version::V311);
    feed(&mut machine, &publish(Version::V311, 1, 1, "a"));
    feed(&mut machine, &publish(Version::V311, 2, 2, "b"));
    let older = machine.link;
    let newer = LinkId(older.0 + 1);
    session.attach(newer, Version::V311, None, Arc::new(Notify::new()));
    machine.link = newer;
    machine.at_least_once = 0;

    let stale = session.settle(
        older,
        &[Ticked { packet_id: 1, qos: Qos::AtLeastOnce }, Ticked { packet_id: 2, qos: Qos::ExactlyOnce }],
    );

    assert_eq!(stale, 1);
    assert!(written(&mut machine, &session).is_empty(), "the newer connection did not ask yet");
    let again = feed(&mut machine, &publish(Version::V311, 2, 2, "b"));
    assert_eq!((again.topics.len(), again.output), (0, vec![0x50, 2, 0, 2]));
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

/// Bytes that look like MQTT for a while.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let packet = (
        any::<u8>(),
        proptest::collection::vec(prop_oneof![Just(0u8), 1u8..6, Just(0x23), Just(38), any::<u8>()], 0..60),
    )
        .prop_map(|(first, body)| [&[first, u8::try_from(body.len()).unwrap()], body.as_slice()].concat());
    let honest =
        (versions(), 0u8..3, 1u16..9).prop_map(|(version, qos, id)| publish(version, qos, id, "topic"));
    proptest::collection::vec(prop_oneof![packet, honest], 0..20).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_it_may(version in versions(), bytes in packets()) {
        let (mut machine, _session) = machine(version);
        let outcome = feed(&mut machine, &bytes);
        prop_assert!(outcome.result.is_err() || outcome.result.is_ok_and(|taken| taken <= bytes.len()));
        prop_assert!(version == Version::V311 || outcome.topics.len() <= bytes.len() / 4);
        prop_assert!(outcome.output.len() <= 4 * bytes.len());
    }

    #[test]
    fn it_says_the_same_however_the_bytes_are_cut(version in versions(), bytes in packets(), cut in any::<prop::sample::Index>()) {
        let whole = feed(&mut machine(version).0, &bytes);

        let (mut pieces, _session) = machine(version);
        let cut = cut.index(bytes.len() + 1);
        let mut first = feed(&mut pieces, &bytes[..cut]);
        if let Ok(taken) = first.result {
            let second = feed(&mut pieces, &bytes[taken..]);
            first.topics.extend(second.topics);
            first.output.extend(second.output);
            first.result = second.result.map(|more| taken + more);
        }

        prop_assert_eq!(first.result, whole.result);
        prop_assert_eq!(first.topics, whole.topics);
        prop_assert_eq!(first.output, whole.output);
    }

    #[test]
    fn no_connect_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..80), level in 3u8..7, flags: u8) {
        let settings = ListenSettings::default();
        let bytes = [&[0, 4, b'M', b'Q', b'T', b'T', level, flags][..], &body].concat();
        if let Ok(connect) = connect::parse(0x10, &bytes, &settings) {
            prop_assert!(connect.session_expiry <= settings.session_expiry_max);
        }
    }
}
