use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet;
use proptest::prelude::*;

use super::*;

/// What the reference parser makes of the same body, reduced to what we use.
fn reference(first: u8, body: &[u8], version: Version) -> Option<(Qos, u16, String, Vec<u8>)> {
    let flags = first & 0x0f;
    let data: Arc<[u8]> = Arc::from(body);
    let (qos, id, topic, payload) = match version {
        Version::V311 => {
            let (publish, _) = packet::v3_1_1::Publish::parse(flags, data).ok()?;
            let payload = publish.payload().as_slice().to_vec();
            (publish.qos(), publish.packet_id(), publish.topic_name().to_owned(), payload)
        }
        Version::V5 => {
            let (publish, _) = packet::v5_0::Publish::parse(flags, data).ok()?;
            let payload = publish.payload().as_slice().to_vec();
            (publish.qos(), publish.packet_id(), publish.topic_name().to_owned(), payload)
        }
    };
    let qos = match qos {
        packet::Qos::AtMostOnce => Qos::AtMostOnce,
        packet::Qos::AtLeastOnce => Qos::AtLeastOnce,
        packet::Qos::ExactlyOnce => Qos::ExactlyOnce,
    };
    Some((qos, id.unwrap_or(0), topic, payload))
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

fn body_of(topic: &str, id: Option<u16>, version: Version, payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if let Some(id) = id {
        body.extend_from_slice(&id.to_be_bytes());
    }
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    body
}

proptest! {
    #[test]
    fn a_publish_is_read_as_the_reference_reads_it(
        topic in "[a-zA-Z0-9/_\\-\u{4e00}-\u{4eff}]{1,60}",
        qos in 0u8..3,
        dup: bool,
        id in 1u16..,
        version in versions(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let first = (PUBLISH << 4) | (u8::from(dup && qos > 0) << 3) | (qos << 1);
        let body = body_of(&topic, (qos > 0).then_some(id), version, &payload);

        let publish = publish(first, &body, version).unwrap();

        let ours = (
            publish.qos,
            publish.packet_id,
            String::from_utf8(body[publish.topic.clone()].to_vec()).unwrap(),
            body[publish.payload_at..].to_vec(),
        );
        prop_assert_eq!(Some(ours), reference(first, &body, version));
    }

    #[test]
    fn whatever_the_bytes_what_we_accept_the_reference_accepts_alike(
        flags in 0u8..16,
        version in versions(),
        body in proptest::collection::vec(prop_oneof![Just(0u8), 1u8..12, any::<u8>()], 0..40),
    ) {
        let first = (PUBLISH << 4) | flags;
        if let Ok(publish) = publish(first, &body, version)
            && publish.properties.is_none()
        {
            let ours = (
                publish.qos,
                publish.packet_id,
                String::from_utf8(body[publish.topic.clone()].to_vec()).unwrap(),
                body[publish.payload_at..].to_vec(),
            );
            prop_assert_eq!(Some(ours), reference(first, &body, version));
        }
    }

    #[test]
    fn lengths_round_trip(value in 0usize..(1 << 28)) {
        let mut bytes = Vec::new();
        write_length(value, &mut bytes);
        prop_assert_eq!(length(&bytes), Ok(Some((value, bytes.len()))));
        prop_assert_eq!(length(&bytes[..bytes.len() - 1]), Ok(None));
    }
}

#[test]
fn acknowledgements_are_written_as_the_reference_writes_them() {
    let mut ours = Vec::new();
    write_ack(PUBACK, 0x1234, &mut ours);
    write_ack(PUBREC, 7, &mut ours);
    write_ack(PUBCOMP, 9, &mut ours);
    write_unknown_pubcomp(9, &mut ours);
    write_pingresp(&mut ours);

    let mut theirs =
        packet::v5_0::Puback::builder().packet_id(0x1234u16).build().unwrap().to_continuous_buffer();
    theirs.extend(packet::v5_0::Pubrec::builder().packet_id(7u16).build().unwrap().to_continuous_buffer());
    theirs.extend(packet::v3_1_1::Pubcomp::builder().packet_id(9u16).build().unwrap().to_continuous_buffer());
    let not_found = mqtt_protocol_core::mqtt::result_code::PubcompReasonCode::PacketIdentifierNotFound;
    theirs.extend(
        packet::v5_0::Pubcomp::builder()
            .packet_id(9u16)
            .reason_code(not_found)
            .build()
            .unwrap()
            .to_continuous_buffer(),
    );
    theirs.extend(packet::v5_0::Pingresp::new().to_continuous_buffer());
    assert_eq!(ours, theirs);
}

#[test]
fn a_length_of_five_bytes_is_malformed() {
    assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
    assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff]), Ok(None));
    assert_eq!(frame(&[]), Ok(None));
}

#[test]
fn wildcards_nul_bad_utf8_and_packet_id_zero_are_malformed() {
    for topic in [&b"a/+"[..], b"a/#", b"a\0b", b"\xff\xfe", b""] {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        assert_eq!(publish(0x30, &body, Version::V311), Err(Malformed), "{topic:?}");
    }
    let body = body_of("a", Some(0), Version::V311, b"");
    assert_eq!(publish(0x32, &body, Version::V311), Err(Malformed));
}
