use heat_codec::{
    envelope::EnvelopeDecoder,
    sparkplug::{RawSparkplug, SparkplugSettings},
};
use heat_model::{
    Body, Lane, Quality, QualityCode,
    record::{DeviceSeq, Readings},
    time::MICROS_PER_SECOND,
};

use super::*;

const NOW: IngestTime = IngestTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);

fn take(topic: &str, payload: &str) -> Outcome {
    take_by(&mut Intake::new(IntakeSettings::default(), 4), topic, payload, None, NOW)
}

fn take_by(
    intake: &mut Intake,
    topic: &str,
    payload: &str,
    rights: Option<&Rights>,
    received: IngestTime,
) -> Outcome {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    intake.take(&Message {
        topic: &topic.into(),
        payload: &payload,
        retained: false,
        rights,
        received,
        again: None,
    })
}

fn records(outcome: Outcome) -> Vec<(u32, Readings)> {
    let gateway = "gw".parse().unwrap();
    let mut decoder = EnvelopeDecoder::default();
    outcome
        .drafts
        .into_iter()
        .map(|(_, draft)| {
            let envelope = decoder.decode(draft.encode(&gateway, 1, 0)).unwrap();
            let Body::Readings(readings) = envelope.body else { panic!("readings") };
            (envelope.messages, readings)
        })
        .collect()
}

#[test]
fn a_good_message_becomes_one_record_in_si_units() {
    let outcome = take(
        "heat/v1/north/st1/meter",
        r#"{"time":1763942400000,"seq":7,"boot":"a","values":{"supply_pressure":{"value":0.8,"unit":"MPa"},"x":2}}"#,
    );
    assert_eq!((outcome.readings_logged, outcome.readings_rejected, outcome.faults.len()), (2, 0, 0));
    let records = records(outcome);
    let (messages, readings) = &records[0];
    assert_eq!((*messages, readings.lane, readings.readings.len()), (1, Lane::Live, 2));
    assert_eq!(readings.readings[0].raw.to_bits(), 0.8f64.to_bits());
    assert!((readings.readings[0].value - 8e5).abs() < 1e-6);
    assert_eq!(readings.device_seq, Some(DeviceSeq { boot: "a".into(), seq: 7 }));
}

#[test]
fn one_bad_value_costs_only_itself() {
    let outcome = take(
        "heat/v1/n/s/d",
        r#"{"time":1763942400000,"values":{"supply_temperature":{"value":1,"unit":"bar"},"a":1}}"#,
    );
    assert_eq!((outcome.readings_logged, outcome.readings_rejected), (1, 1));
    assert_eq!(outcome.faults[0].reason, "wrong_dimension");
    assert_eq!(outcome.faults[0].place, "/values/supply_temperature/unit");
}

#[test]
fn what_cannot_be_read_is_rejected_whole_with_a_reason() {
    for (topic, payload, reason) in [
        ("heat/v1/n/s/d", "", "empty"),
        ("heat/v1/n/s/d", "{", "bad_json"),
        ("other/topic", "{}", "unknown_topic"),
        ("heat/v1/n/s/ d", "{}", "invalid_id"),
    ] {
        let outcome = take(topic, payload);
        assert!(outcome.drafts.is_empty(), "{payload:?}");
        assert_eq!(outcome.faults[0].reason, reason, "{payload:?}");
    }
}

#[test]
fn a_wrong_clock_is_kept_and_marked_and_moves_nothing() {
    let outcome = take("heat/v1/n/s/d", r#"{"time":1764028800000,"values":{"a":1}}"#);
    let records = records(outcome);
    let reading = records[0].1.readings[0];
    assert_eq!((reading.quality, reading.code), (Quality::Uncertain, QualityCode::ClockAhead));
}

#[test]
fn old_values_are_history_and_an_array_of_them_shares_records() {
    let outcome = take(
        "heat/v1/n/s/d",
        r#"[{"time":1763900000000,"values":{"a":1}},{"time":1763900060000,"values":{"a":2}},{"time":1763942400000,"values":{"a":3}}]"#,
    );
    let records = records(outcome);
    let shapes: Vec<_> =
        records.iter().map(|(messages, record)| (*messages, record.lane, record.readings.len())).collect();
    assert_eq!(shapes, [(1, Lane::Backfill, 2), (0, Lane::Live, 1)]);
}

#[test]
fn a_payload_without_time_gets_the_time_of_its_arrival() {
    let records = records(take("heat/v1/n/s/d", r#"{"values":{"a":1}}"#));
    let reading = records[0].1.readings[0];
    assert_eq!((reading.event_time.as_micros(), reading.code), (NOW.as_micros(), QualityCode::Untimed));
}

#[test]
fn a_device_speaks_only_for_what_it_may() {
    let rights = Rights::parse(&[], &["n/s1".to_owned()]).unwrap();
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    let mut take =
        |topic: &str| take_by(&mut intake, topic, r#"{"values":{"a":1,"b":2}}"#, Some(&rights), NOW);

    assert_eq!(take("heat/v1/n/s1/d").readings_logged, 2);
    let refused = take("heat/v1/n/s2/d");
    assert_eq!((refused.readings_logged, refused.readings_rejected, refused.drafts.len()), (0, 2, 0));
    assert_eq!((&*refused.faults[0].reason, &*refused.faults[0].detail), ("unauthorised", "n/s2"));

    let forecast = r#"{"issued":"2025-11-24T00:00:00Z","outdoor_temperature":[{"time":"2025-11-24T03:00:00Z","value":-7.5}]}"#;
    let everybody = take_by(&mut intake, "heat/v1/forecast", forecast, Some(&rights), NOW);
    assert!(everybody.drafts.is_empty(), "a forecast for all networks needs the right to all of them");
}

fn index(table: &str) -> Arc<SignalIndex> {
    let model = heat_codec::plant::read(&[("signals.csv", table)]).unwrap();
    Arc::new(SignalIndex::new(&model, heat_codec::plant::UnknownPolicy::default()))
}

#[test]
fn the_plant_model_gives_unit_and_range_from_the_message_after_it_took_effect() {
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    let payload = r#"{"time":1763942400000,"values":{"supply_pressure":0.8}}"#;
    let pressure = |intake: &mut Intake| {
        let records = records(take_by(intake, "heat/v1/n/s/d", payload, None, NOW));
        let reading = records[0].1.readings[0];
        (reading.value, reading.quality, reading.code)
    };

    assert_eq!(pressure(&mut intake), (0.8, Quality::Good, QualityCode::None));
    intake.adopt(index("id,unit,range_min,range_max\nn/s/d/supply_pressure,MPa,0,1.6\n"), Vec::new());
    assert_eq!(pressure(&mut intake), (0.8e6, Quality::Good, QualityCode::None));
    intake.adopt(index("id,unit,range_min,range_max\nn/s/d/supply_pressure,MPa,0,0.5\n"), Vec::new());
    assert_eq!(pressure(&mut intake), (0.8e6, Quality::Uncertain, QualityCode::OutOfRange));
}

#[test]
fn a_clock_that_goes_wrong_is_told_once_with_its_device() {
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    for minute in 0..20 {
        let received = IngestTime::from_micros(NOW.as_micros() + minute * 60 * MICROS_PER_SECOND);
        let event_ms = received.as_micros() / 1_000 + 8 * 3_600_000;
        let payload = format!(r#"{{"time":{event_ms},"values":{{"a":1}}}}"#);
        take_by(&mut intake, "heat/v1/n/s/d", &payload, None, received);
    }

    let changes = intake.take_clock_changes();
    let told: Vec<_> = changes.iter().map(|change| (change.device.to_string(), change.change.to)).collect();
    assert_eq!(told, [("heat/v1/n/s/d".to_owned(), ClockState::LocalTimeAsUtc)]);
    assert!(intake.clocks().contains(&(ClockState::LocalTimeAsUtc, 1)));

    intake.adopt(index("id\nn/s/d/a\n"), Vec::new());
    assert!(intake.clocks().contains(&(ClockState::LocalTimeAsUtc, 1)), "another model changes no clock");
}

#[test]
fn a_letter_taken_again_brings_only_what_was_not_taken_with_its_first_arrival() {
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    let topic: Arc<str> = "heat/v1/n/s/d".into();
    let payload = Bytes::from_static(br#"{"values":{"a":1,"b":{"value":2,"unit":"bar"},"ab":3}}"#);
    let first_received = IngestTime::from_micros(NOW.as_micros() - 3_600 * MICROS_PER_SECOND);
    let request = Request {
        letter: "0-0".parse().unwrap(),
        first_received,
        topic: topic.to_string(),
        payload: payload.clone(),
        client: String::new(),
        user: String::new(),
        content_type: String::new(),
        user_properties: Vec::new(),
        retained: false,
        untaken: vec!["/values/b/unit".to_owned()],
        asked_by: String::new(),
        asked: NOW,
    };

    let outcome = intake.take(&Message {
        topic: &topic,
        payload: &payload,
        retained: false,
        rights: None,
        received: NOW,
        again: Some(&request),
    });

    let records = records(outcome);
    let readings = &records[0].1;
    assert_eq!((records.len(), readings.readings.len(), readings.lane), (1, 1, Lane::Backfill));
    assert_eq!(readings.readings[0].event_time.as_micros(), first_received.as_micros());
}

/// The session of an edge node and its device in `schemas/examples`.
fn sparkplug_session() -> Vec<(Arc<str>, Bytes)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/examples/sparkplug.hex");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let bytes = |hex: &str| {
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect::<Vec<u8>>()
    };
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(topic, hex)| (topic.into(), bytes(hex).into()))
        .collect()
}

#[test]
fn who_may_not_speak_for_a_sparkplug_node_changes_nothing_of_it() {
    let settings = || IntakeSettings {
        sparkplug: Some(SparkplugSettings::from_raw(RawSparkplug::default()).unwrap()),
        ..IntakeSettings::default()
    };
    let gateway = "gw".parse().unwrap();
    let (mut alone, mut beset) = (Intake::new(settings(), 4), Intake::new(settings(), 4));
    let own = Rights::parse(&[], &["north/st01".to_owned()]).unwrap();
    let foreign = Rights::parse(&[], &["north/st02".to_owned()]).unwrap();
    let session = sparkplug_session();
    let take = |intake: &mut Intake, at: usize, rights: &Rights| {
        let (topic, payload) = &session[at];
        let received = NOW;
        intake.take(&Message { topic, payload, retained: false, rights: Some(rights), received, again: None })
    };

    for at in 0..session.len() {
        // Births that would give aliases another meaning, data that would take a number, deaths.
        for (foreigners, (topic, _)) in session.iter().enumerate() {
            let outcome = take(&mut beset, foreigners, &foreign);
            assert!(outcome.drafts.is_empty(), "{topic}");
            let reasons: Vec<&str> = outcome.faults.iter().map(|fault| fault.reason.as_str()).collect();
            assert_eq!(reasons, ["unauthorised"], "{topic}");
        }
        let [expected, found] = [&mut alone, &mut beset].map(|intake| take(intake, at, &own));
        assert!(expected.readings_logged > 0, "{}", session[at].0);
        assert_eq!(found.faults, expected.faults);
        // As bytes, for they hold values that are not numbers.
        let [expected, found] = [expected, found].map(|outcome| {
            let encode = |(partition, draft): (PartitionId, Draft)| (partition, draft.encode(&gateway, 1, 0));
            outcome.drafts.into_iter().map(encode).collect::<Vec<_>>()
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn a_brokers_stored_copy_is_history_and_marked() {
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    let topic: Arc<str> = "heat/v1/n/s/d".into();
    let payload = Bytes::from(format!(
        r#"{{"time":{},"lane":"live","values":{{"supply_temperature":80}}}}"#,
        NOW.as_micros() / 1_000
    ));

    let outcome = intake.take(&Message {
        topic: &topic,
        payload: &payload,
        retained: true,
        rights: None,
        received: NOW,
        again: None,
    });

    assert_eq!(outcome.readings_backfill, 1);
    let readings = &records(outcome)[0].1;
    let reading = &readings.readings[0];
    assert_eq!(
        (readings.lane, reading.quality, reading.code),
        (Lane::Backfill, Quality::Uncertain, QualityCode::Retained)
    );
}

/// What became of a ticket: the network it went to, or reason and place.
fn ticket(intake: &mut Intake, place: &str) -> String {
    let payload = format!(r#"{{"id":"T1","time":1763942400000,"kind":"cold"{place}}}"#);
    let outcome = take_by(intake, "heat/v1/tickets", &payload, None, NOW);
    if let Some(fault) = outcome.faults.first() {
        assert!(outcome.drafts.is_empty() && fault.detail.is_empty(), "{fault:?}");
        return format!("{} {}", fault.reason, fault.place);
    }
    let mut drafts = outcome.drafts.into_iter();
    let (Some((_, draft)), None) = (drafts.next(), drafts.next()) else { panic!("one record") };
    let gateway = "gw".parse().unwrap();
    let envelope = EnvelopeDecoder::default().decode(draft.encode(&gateway, 1, 0)).unwrap();
    envelope.network.expect("a ticket goes to one network").to_string()
}

#[test]
fn a_ticket_for_a_place_that_nobody_knows_is_refused_and_one_that_sends_readings_is_known() {
    let tables = [("networks.csv", "id\nnorth\nsouth\n"), ("sites.csv", "id,network\nst1,north\n")];
    let model = heat_codec::plant::read(&tables).unwrap();
    let index = SignalIndex::new(&model, heat_codec::plant::UnknownPolicy::default());
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    intake.adopt(Arc::new(index), Vec::new());
    assert_eq!(ticket(&mut intake, r#","network":"north","site":"st1""#), "north");
    assert_eq!(ticket(&mut intake, r#","site":"st1""#), "north", "its site tells its network");
    assert_eq!(ticket(&mut intake, r#","network":"norht""#), "unknown_network /network");
    assert_eq!(ticket(&mut intake, r#","network":"north","site":"st2""#), "unknown_site /site");
    assert_eq!(ticket(&mut intake, r#","area":"Block 5""#), "missing_field /network");

    let rights = Rights::parse(&["south".to_owned()], &[]).unwrap();
    take_by(&mut intake, "heat/v1/north/st2/meter", r#"{"values":{"a":1}}"#, Some(&rights), NOW);
    assert_eq!(
        ticket(&mut intake, r#","network":"north","site":"st2""#),
        "unknown_site /site",
        "what may not speak for it does not make it known"
    );
    take_by(&mut intake, "heat/v1/north/st2/meter", r#"{"values":{"a":1}}"#, None, NOW);
    assert_eq!(ticket(&mut intake, r#","network":"north","site":"st2""#), "north");
}

#[test]
fn without_a_plant_model_a_ticket_that_names_no_network_goes_to_the_only_one_that_sends() {
    let mut intake = Intake::new(IntakeSettings::default(), 4);
    assert_eq!(ticket(&mut intake, ""), "missing_field /network");
    assert_eq!(ticket(&mut intake, r#","network":"anywhere","site":"at-all""#), "anywhere");
    take_by(&mut intake, "heat/v1/town/st1/meter", r#"{"values":{"a":1}}"#, None, NOW);
    assert_eq!(ticket(&mut intake, ""), "town");
    take_by(&mut intake, "heat/v1/village/st1/meter", r#"{"values":{"a":1}}"#, None, NOW);
    assert_eq!(ticket(&mut intake, ""), "missing_field /network");
}
