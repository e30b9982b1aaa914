use heat_codec::envelope::EnvelopeDecoder;
use heat_model::{Body, record::Readings, time::MICROS_PER_SECOND};

use super::*;

const NOW: IngestTime = IngestTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);

fn take(topic: &str, payload: &str) -> Outcome {
    let mut intake = Intake::new(ClockBounds::default(), Limits::default(), 4);
    intake.take(&Message {
        topic: &topic.into(),
        payload: &Bytes::copy_from_slice(payload.as_bytes()),
        retained: false,
        received: NOW,
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
