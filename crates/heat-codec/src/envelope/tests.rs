use heat_model::{
    incident::WorkState,
    record::Action,
    ticket::{Ticket, TicketKind},
};
use proptest::prelude::*;

use super::*;

fn decode(bytes: Bytes) -> Envelope {
    EnvelopeDecoder::default().decode(bytes).unwrap()
}

fn decl(name: &str, scale: f64, offset: f64) -> SignalDecl {
    SignalDecl { name: name.parse().unwrap(), unit: "degC".into(), raw_unit: "K".into(), scale, offset }
}

fn envelope(body: Body) -> Envelope {
    let network = (!matches!(body, Body::Heartbeat(_))).then(|| "demo-north".parse().unwrap());
    Envelope {
        network,
        origin: Origin { gateway: "gw-1".parse().unwrap(), epoch: 7, seq: 42 },
        ingest_time: IngestTime::from_micros(1_763_000_000_000_001),
        messages: 1,
        body,
    }
}

fn readings_body(readings: Vec<Reading>) -> Body {
    let network: NetworkId = "demo-north".parse().unwrap();
    let (site, device) = ("st-1".parse().unwrap(), "meter".parse().unwrap());
    let signals = vec![decl("supply_temperature", 1.0, -273.15), decl("return_temperature", 1.0, 0.0)];
    let id = set_id(&network, &encode_set(&site, &device, &signals), &mut Vec::new());
    let set = Arc::new(SignalSet { id, network, site, device, signals });
    let device_seq = Some(DeviceSeq { boot: "a1".into(), seq: 3 });
    Body::Readings(Readings { set, lane: Lane::Backfill, device_seq, readings })
}

fn reading(signal: u32, micros: i64, raw: f64, quality: Quality, code: QualityCode) -> Reading {
    let (scale, offset) = if signal == 0 { (1.0, -273.15) } else { (1.0, 0.0) };
    let value = raw * scale + offset;
    Reading { signal, event_time: EventTime::from_micros(micros), raw, value, quality, code }
}

#[test]
fn every_kind_of_body_comes_back_as_it_went() {
    let incident = "00000000000000ff".parse().unwrap();
    let bodies = [
        readings_body(vec![reading(0, 5, 350.0, Quality::Good, QualityCode::None)]),
        Body::Command(Command {
            user: "ma".to_owned(),
            action: Action::Work { incident, state: WorkState::OnSite },
        }),
        Body::Ticket(Ticket {
            id: "t-1".to_owned(),
            time: EventTime::from_micros(9),
            kind: TicketKind::Cold,
            site: None,
            area: Some("东区".to_owned()),
            external_id: None,
            text: None,
        }),
        Body::Forecast(Forecast {
            issued: EventTime::from_micros(1),
            outdoor_celsius: vec![(EventTime::from_micros(2), -12.5)],
        }),
        Body::ModelActivated(PlantHash(0xfeed)),
        Body::Heartbeat(Heartbeat {
            hours: vec![HourCounts {
                hour_start_us: 3_600_000_000,
                messages_received: 4,
                ..HourCounts::default()
            }],
            records_in_partition: 5,
            readings_in_partition: 6,
            last: true,
        }),
    ];
    for body in bodies {
        let sent = envelope(body);
        assert_eq!(decode(encode(&sent)), sent);
    }
}

#[test]
fn a_null_value_stays_null() {
    let sent = envelope(readings_body(vec![reading(1, 5, f64::NAN, Quality::Bad, QualityCode::Null)]));
    let Body::Readings(back) = decode(encode(&sent)).body else { panic!("readings") };
    assert!(back.readings[0].raw.is_nan() && back.readings[0].value.is_nan());
    assert_eq!(back.readings[0].usable(), None);
}

#[test]
fn a_known_set_is_shared_and_another_network_never_gets_it() {
    let mut decoder = EnvelopeDecoder::default();
    let sent = envelope(readings_body(vec![reading(0, 5, 350.0, Quality::Good, QualityCode::None)]));
    let mut other = sent.clone();
    other.network = Some("demo-east".parse().unwrap());

    let sets: Vec<_> = [&sent, &sent, &other]
        .map(|envelope| {
            let Body::Readings(readings) = decoder.decode(encode(envelope)).unwrap().body else {
                panic!("readings")
            };
            readings.set
        })
        .into();

    assert!(Arc::ptr_eq(&sets[0], &sets[1]));
    assert_eq!(sets[2].network.as_str(), "demo-east");
    assert_ne!(sets[0].id, sets[2].id);
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let sent = envelope(readings_body(vec![reading(0, 5, 350.0, Quality::Good, QualityCode::None)]));
    let mut wire = pb::Envelope::decode(encode(&sent)).unwrap();
    let Some(pb::envelope::Body::Readings(readings)) = &mut wire.body else { panic!("readings") };
    readings.quality = Bytes::from_static(&[0, 0]);
    let error = EnvelopeDecoder::default().decode(wire.encode_to_vec().into()).unwrap_err();
    assert!(matches!(error, DecodeError::Column { column: "quality", found: 2, expected: 1 }), "{error}");
}

/// Both ways to read a record say the same, or the plain one leaves it to the other.
fn both_ways_agree(bytes: &Bytes) -> bool {
    let plain = EnvelopeDecoder::default().decode_plain(bytes);
    let any = EnvelopeDecoder::default().decode_any(bytes.clone());
    if let Some(plain) = &plain {
        let any = any.expect("what is plain is valid");
        // As text: a value may be NaN.
        assert_eq!(format!("{plain:?}"), format!("{any:?}"));
    }
    plain.is_some()
}

#[test]
fn a_record_of_readings_as_we_write_it_is_plain_and_a_heartbeat_is_not() {
    let rows = |times: [i64; 2], quality| {
        let rows = [0, 1].map(|i| reading(i, times[i as usize], 350.0, quality, QualityCode::None));
        encode(&envelope(readings_body(rows.into())))
    };
    assert!(both_ways_agree(&rows([5, 5], Quality::Good)));
    assert!(both_ways_agree(&rows([1_763_000_000_000_000, -5], Quality::Bad)));
    assert!(both_ways_agree(&encode(&envelope(readings_body(Vec::new())))));
    let beat =
        Heartbeat { hours: Vec::new(), records_in_partition: 1, readings_in_partition: 2, last: false };
    assert!(!both_ways_agree(&encode(&envelope(Body::Heartbeat(beat)))));
}

#[test]
fn what_protobuf_allows_beside_the_plain_form_is_read_all_the_same() {
    let sent = envelope(readings_body(vec![reading(0, 5, 350.0, Quality::Good, QualityCode::None)]));
    let plain = encode(&sent);
    // An unknown field, and a field twice: the last counts.
    let later: [&[u8]; 2] = [&[9 << 3, 9], &[4 << 3, 43]];
    for (fields, seq) in later.into_iter().zip([42, 43]) {
        let bytes = Bytes::from([&plain[..], fields].concat());
        assert!(!both_ways_agree(&bytes));
        assert_eq!(decode(bytes).origin.seq, seq);
    }
}

#[test]
fn the_schema_only_grew_since_its_release() {
    let fields = |text: &str| -> Vec<String> {
        let mut message = String::new();
        let mut found = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            if let Some(name) = line.strip_prefix("message ").or_else(|| line.strip_prefix("enum ")) {
                message = name.trim_end_matches([' ', '{']).to_owned();
            } else if line.ends_with(';') && line.contains('=') && !line.starts_with("syntax") {
                found.push(format!("{message}: {line}"));
            }
        }
        found
    };
    let released = fields(include_str!("../../../../schemas/released/envelope.proto"));
    let current = fields(include_str!("../../../../schemas/envelope.proto"));
    assert!(released.len() > 40, "the released schema was read");
    for field in &released {
        assert!(current.contains(field), "released field changed or gone: {field}");
    }
}

proptest! {
    #[test]
    fn readings_come_back_exactly(rows in prop::collection::vec(
        (0u32..2, -10i64..10_000_000_000_000_000, -1e12f64..1e12, 0u8..3, 0u8..12), 0..50))
    {
        let rows: Vec<Reading> = rows.into_iter().map(|(signal, micros, raw, quality, code)| {
            let quality = Quality::from_number(quality).unwrap();
            reading(signal, micros, raw, quality, QualityCode::from_number(code).unwrap())
        }).collect();
        let sent = envelope(readings_body(rows));
        prop_assert_eq!(decode(encode(&sent)), sent);
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _outcome = EnvelopeDecoder::default().decode(bytes.into()).is_ok();
    }

    #[test]
    fn damaged_records_are_read_the_same_both_ways(
        rows in prop::collection::vec((0u32..3, 0i64..10_000_000_000, 0u8..3, 0u8..12), 0..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..3))
    {
        let rows = rows.into_iter().map(|(signal, micros, quality, code)| {
            let quality = Quality::from_number(quality).unwrap();
            reading(signal, micros, 1.5, quality, QualityCode::from_number(code).unwrap())
        }).collect();
        let mut bytes = encode(&envelope(readings_body(rows))).to_vec();
        for (place, byte, kind) in damage {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => { bytes.remove(place); }
            }
        }
        both_ways_agree(&bytes.into());
    }
}
