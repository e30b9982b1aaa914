//! Bad input: nothing of it disappears, and nothing good goes down with it.

use std::time::Duration;

use heat_tests::{
    mqtt::Client,
    now_us,
    python::Python,
    site::{Site, assert_balanced, audit_total, series, sum},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const GOOD_TOPIC: &str = "heat/v1/town/st01/good";

/// One bad message: topic, payload, the reasons that its dead letter must give, and whether any of it is good.
struct Bad {
    topic: &'static str,
    payload: Vec<u8>,
    reasons: &'static [&'static str],
    good_values: &'static [f64],
}

fn bad(topic: &'static str, payload: impl Into<Vec<u8>>, reasons: &'static [&'static str]) -> Bad {
    Bad { topic, payload: payload.into(), reasons, good_values: &[] }
}

fn partly(
    topic: &'static str,
    payload: &str,
    reasons: &'static [&'static str],
    good_values: &'static [f64],
) -> Bad {
    Bad { topic, payload: payload.into(), reasons, good_values }
}

fn kinds() -> Vec<Bad> {
    let topic = "heat/v1/town/st01/bad";
    let mut large = br#"{"values": {"note": ""#.to_vec();
    large.resize(300 * 1024, b'x');
    large.extend_from_slice(br#""}}"#);
    vec![
        bad(topic, r#"{"values": {"supply_temperature": 81.2"#, &["bad_json"]),
        bad(topic, "supply_temperature=81.2", &["bad_json"]),
        bad("heat/v1/town/st01", r#"{"values": {"supply_temperature": 1}}"#, &["unknown_topic"]),
        bad("zigbee2mqtt/kitchen", r#"{"temperature": 21}"#, &["unknown_topic"]),
        bad(topic, "", &["empty"]),
        bad(topic, vec![0x00, 0xFF, 0x10, 0x80, 0x7F, 0x00], &["binary"]),
        bad(topic, vec![b'8', b'1', 0xB0, b'C'], &["bad_utf8"]),
        bad(topic, large, &["too_large"]),
        bad(topic, r#"{"values": {"supply_temperature": NaN}}"#, &["not_finite"]),
        bad(topic, r#"{"values": {"supply_temperature": [1]}}"#, &["wrong_type"]),
        bad(topic, r#"{"values": 5}"#, &["wrong_type"]),
        bad(topic, r#"{"values": {"supply_temperature": "81.2"}}"#, &["number_as_text"]),
        bad(
            topic,
            r#"{"values": {"supply_temperature": {"value": 1, "unit": "furlong"}}}"#,
            &["unknown_unit"],
        ),
        bad(topic, r#"{"values": {"supply_pressure": {"value": 1, "unit": "degC"}}}"#, &["wrong_dimension"]),
        bad(
            topic,
            r#"{"time": "2026-11-24T08:00:00", "values": {"supply_temperature": 1}}"#,
            &["time_without_offset"],
        ),
        bad(topic, r#"{"time": "yesterday", "values": {"supply_temperature": 1}}"#, &["bad_time"]),
        partly(
            topic,
            r#"{"values": {"a": 101, "b": Infinity, "c": 1e999, "d": 102, "e": {"value": 1, "qualty": "bad"}}}"#,
            &["not_finite", "number_out_of_range|not_finite", "unknown_field"],
            &[101.0, 102.0],
        ),
        partly(
            topic,
            r#"[{"values": {"a": 103}}, {"time": "now", "values": {"a": 1, "b": 2}}, 7, {"values": {"a": 104}}]"#,
            &["bad_time", "wrong_type"],
            &[103.0, 104.0],
        ),
    ]
}

/// The bytes that the dead letter keeps.
fn bytes_of(letter: &Value) -> Vec<u8> {
    if let Some(text) = letter["payload"].as_str() {
        return text.as_bytes().to_vec();
    }
    let digits = letter["payload_hex"].as_str().expect("text or hexadecimal digits").as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn each_malformed_payload_is_a_dead_letter_with_reason_and_bytes_and_what_is_good_survives() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let up = site.start();
    let kinds = kinds();
    let mut client = Client::connect(site.mqtt, "garbage", true).unwrap();

    for (number, bad) in kinds.iter().enumerate() {
        let good = format!(r#"{{"values": {{"supply_temperature": {number}}}}}"#);
        client.publish_acknowledged(GOOD_TOPIC, good.as_bytes(), SOON).unwrap();
        client.publish_acknowledged(bad.topic, &bad.payload, SOON).unwrap_or_else(|error| {
            panic!("{:?} must be acknowledged: it is kept as a dead letter: {error}", bad.reasons)
        });
    }

    let counted = sum(&site.metrics(), "heat_gateway_rejects_total", &[]);
    let reasons: usize = kinds.iter().map(|bad| bad.reasons.len()).sum();
    assert_eq!(counted, reasons as f64, "each reject is counted in /metrics");
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    let sent = kinds.len() as u64;
    let wholly_bad = kinds.iter().filter(|bad| bad.good_values.is_empty()).count() as u64;
    assert_eq!(
        audit_total(&ended.stdout)[..4],
        [2 * sent, 2 * sent - wholly_bad, wholly_bad, 0],
        "{}",
        ended.stdout
    );
    site.audit().ended_with(0);

    let rows =
        python.query(&site.archive(), "SELECT * FROM rejected ORDER BY ingest_time, kafka_partition, seq");
    let mut letters: Vec<Value> =
        rows.iter().map(|row| serde_json::from_str(row["json"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(letters.len(), kinds.len(), "one dead letter a message: {letters:#?}");
    for bad in &kinds {
        let at =
            letters.iter().position(|letter| letter["topic"] == bad.topic && bytes_of(letter) == bad.payload);
        let letter =
            letters.remove(at.unwrap_or_else(|| panic!("no dead letter holds {:?}'s bytes", bad.reasons)));
        let found: Vec<_> =
            letter["faults"].as_array().unwrap().iter().map(|fault| &fault["reason"]).collect();
        assert_eq!(found.len(), bad.reasons.len(), "{letter}");
        for (found, expected) in found.iter().zip(bad.reasons) {
            assert!(expected.split('|').any(|word| **found == word), "{expected} expected: {letter}");
        }
        assert_eq!(letter["client"], "garbage");
        assert_eq!(letter["messages"], u64::from(bad.good_values.is_empty()), "{letter}");
    }

    let rows = python.query(&site.archive(), "SELECT device, raw_value FROM readings ORDER BY kafka_offset");
    let of = |device: &str| {
        rows.iter()
            .filter(|row| row["device"] == device)
            .map(|row| row["raw_value"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("good"), (0..sent).map(|number| number as f64).collect::<Vec<_>>());
    assert_eq!(of("bad"), kinds.iter().flat_map(|bad| bad.good_values).copied().collect::<Vec<_>>());
}

#[test]
fn wrong_clocks_are_archived_with_both_times_and_named_and_move_nobody_elses_time() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let mut up = site.start();
    let mut client = Client::connect(site.mqtt, "clocks", true).unwrap();
    let now_ms = now_us() / 1_000;
    let hour_ms = 3_600_000;
    let clocks = [
        ("a-day-ahead", now_ms + 24 * hour_ms + 300_000, "clock_ahead"),
        ("eight-hours-ahead", now_ms + 8 * hour_ms, "local_time_as_utc"),
        ("in-1970", 5_000, "clock_reset"),
        ("in-seconds", now_ms / 1_000, "seconds_as_milliseconds"),
    ];

    for (device, time, _) in clocks {
        let payload = json!({"time": time, "values": {"supply_temperature": 70}}).to_string();
        client
            .publish_acknowledged(&format!("heat/v1/town/st01/{device}"), payload.as_bytes(), SOON)
            .unwrap();
    }
    let payload = json!({"time": now_ms, "values": {"supply_temperature": 71}}).to_string();
    client.publish_acknowledged(GOOD_TOPIC, payload.as_bytes(), SOON).unwrap();

    up.wait_until("the honest device is in /metrics", SOON, |_| {
        series(&site.metrics(), "heat_supply_temperature_celsius", &[("device", "good")]) == Some(71.0)
    });
    assert_balanced(&up.stop().ended_with(0).stdout);
    let rows = python.query(&site.archive(), "SELECT * FROM readings");
    assert_eq!(rows.len(), clocks.len() + 1);
    let row = |device: &str| rows.iter().find(|row| row["device"] == device).unwrap();
    for (device, time, code) in clocks {
        let row = row(device);
        assert_eq!((&row["quality"], &row["quality_code"]), (&json!("uncertain"), &json!(code)), "{row}");
        assert_eq!(row["event_time"], time * 1_000, "the device's own time is kept: {row}");
        let ingest_us = row["ingest_time"].as_i64().unwrap();
        assert!((now_ms * 1_000..=now_us()).contains(&ingest_us), "{row}");
    }
    let good = row("good");
    assert_eq!((&good["quality"], &good["lane"]), (&json!("good"), &json!("live")), "{good}");
    let days = "SELECT DISTINCT regexp_extract(filename, 'date=([0-9-]+)', 1) AS day FROM \
                read_parquet(getvariable('root') || '/readings/**/*.parquet', filename = true) ORDER BY day";
    let today = python.query(
        &site.archive(),
        &days.replace("getvariable('root')", &format!("'{}'", site.archive().display())),
    );
    let expected =
        "SELECT DISTINCT strftime(make_timestamp(ingest_time), '%Y-%m-%d') AS day FROM readings ORDER BY day";
    assert_eq!(
        today,
        python.query(&site.archive(), expected),
        "a clock fault lies with the day of its receipt"
    );
}

#[test]
fn over_one_mebibyte_ends_that_connection_only() {
    let site = Site::new("");
    let up = site.start();
    let mut large = Client::connect(site.mqtt, "large", true).unwrap();
    let mut other = Client::connect(site.mqtt, "other", true).unwrap();

    // The server may close before all is written.
    large.publish(GOOD_TOPIC, &vec![b'x'; 1_400_000], false).ok();

    assert!(large.is_closed_within(SOON), "a packet over the bound must end its connection");
    other.publish_acknowledged(GOOD_TOPIC, br#"{"values": {"supply_temperature": 1}}"#, SOON).unwrap();
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    assert_eq!(audit_total(&ended.stdout)[..4], [1, 1, 0, 0], "outside the balance: {}", ended.stdout);
}
