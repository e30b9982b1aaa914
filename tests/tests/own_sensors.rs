//! A user's own sensors, without any plant model: from MQTT to /metrics and Parquet, and through a restart.

use std::time::Duration;

use heat_tests::{
    mosquitto, mqtt, now_us, pace,
    python::Python,
    site::{Site, assert_balanced, audit_total, series},
    wait_until,
};
use serde_json::Value;

/// Seconds in an idle house; more on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// `expected` may be of a product of inexact factors.
#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= expected.abs() * 1e-12, "{found} is not {expected}");
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row} is no number"))
}

#[test]
fn readings_reach_metrics_in_si_within_seconds_and_parquet_as_they_came() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let mut up = site.start();
    let time_us = now_us() / 1_000 * 1_000;
    let payload = format!(
        r#"{{"time": {}, "seq": 17, "boot": "a1", "values": {{"supply_temperature": 81.2,
            "make_up_flow": {{"value": 0.42, "unit": "m3/h", "quality": "good"}},
            "primary_supply_pressure": {{"value": 0.6, "unit": "MPa"}},
            "vibration": {{"value": 3.25, "unit": "mm/s"}},
            "return_pressure": {{"value": null, "quality": "bad"}}}}}}"#,
        time_us / 1_000
    );

    let mut client = mqtt::Client::connect(site.mqtt, "meter-1", true).unwrap();
    client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();

    let of = |metrics: &str, name: &str| series(metrics, name, &[("network", "town"), ("site", "st01")]);
    up.wait_until("the readings are in /metrics", SOON, |_| {
        of(&site.metrics(), "heat_supply_temperature_celsius").is_some()
    });
    let metrics = site.metrics();
    assert_close(of(&metrics, "heat_supply_temperature_celsius").unwrap(), 81.2);
    assert_close(of(&metrics, "heat_make_up_flow_cubic_meters_per_second").unwrap(), 0.42 / 3_600.0);
    assert_close(series(&metrics, "heat_supply_pressure_pascals", &[("circuit", "primary")]).unwrap(), 6e5);
    let vibration = [("name", "vibration"), ("unit", "mm/s")];
    assert_close(series(&metrics, "heat_signal_value", &vibration).unwrap(), 3.25);
    assert_eq!(of(&metrics, "heat_return_pressure_pascals"), None, "a null has no value: {metrics}");

    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    let rows = python.query(&site.archive(), "SELECT * FROM readings ORDER BY name");
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            [&row["name"], &row["unit"], &row["raw_unit"], &row["quality"]].map(|word| word.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        found,
        [
            ["make_up_flow", "m3/s", "m3/h", "good"],
            ["primary_supply_pressure", "Pa", "MPa", "good"],
            ["return_pressure", "Pa", "", "bad"],
            ["supply_temperature", "degC", "", "good"],
            ["vibration", "mm/s", "mm/s", "good"],
        ]
    );
    for (row, (raw, value)) in rows.iter().zip([
        (Some(0.42), Some(0.42 / 3_600.0)),
        (Some(0.6), Some(6e5)),
        (None, None),
        (Some(81.2), Some(81.2)),
        (Some(3.25), Some(3.25)),
    ]) {
        assert_eq!(row["raw_value"].as_f64(), raw, "as it came: {row}");
        assert_eq!(row["value"].is_null(), value.is_none(), "{row}");
        if let Some(value) = value {
            assert_close(number(row, "value"), value);
        }
        assert_eq!(row["event_time"], time_us, "{row}");
        assert_eq!(row["lane"], "live", "{row}");
        assert_eq!(row["signal"], format!("town/st01/meter/{}", row["name"].as_str().unwrap()));
    }
}

#[test]
fn mosquitto_pub_needs_no_time_and_no_plant_model() {
    let (Some(python), Some(mut publish)) = (Python::find(), mosquitto::client("mosquitto_pub", 0)) else {
        return;
    };
    let site = Site::new("");
    let mut up = site.start();
    let before_us = now_us();

    // The last of two ports counts.
    publish.args(["-p", &site.mqtt.to_string(), "-q", "1", "-t", "heat/v1/my-network/my-site/meter"]);
    let status = publish.args(["-m", r#"{"values": {"supply_temperature": 81.2}}"#]).status().unwrap();
    assert!(status.success(), "mosquitto_pub: {status}");

    up.wait_until("the value is in /metrics", SOON, |_| {
        series(&site.metrics(), "heat_supply_temperature_celsius", &[("site", "my-site")]) == Some(81.2)
    });
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    let rows = python.query(&site.archive(), "SELECT * FROM readings");
    let [row] = rows.as_slice() else { panic!("one reading was sent: {rows:?}") };
    assert_eq!((number(row, "value"), &row["quality_code"]), (81.2, &Value::from("untimed")));
    let event_us = row["event_time"].as_i64().unwrap();
    assert!((before_us..=now_us()).contains(&event_us), "the time of arrival: {row}");
}

#[test]
fn a_restart_keeps_everything_and_counts_on() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let base_ms = now_us() / 1_000;

    for round in 0..3_i64 {
        let up = site.start();
        let mut client = mqtt::Client::connect(site.mqtt, "meter-1", true).unwrap();
        for item in 0..20 {
            let seq = round * 20 + item;
            let payload = format!(
                r#"{{"time": {}, "seq": {seq}, "values": {{"supply_temperature": {seq}}}}}"#,
                base_ms + seq
            );
            client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();
        }
        client.disconnect();
        let ended = up.stop().ended_with(0);
        assert_balanced(&ended.stdout);
        let sent = u64::try_from(round + 1).unwrap() * 20;
        assert_eq!(audit_total(&ended.stdout)[..4], [sent, sent, 0, 0], "{}", ended.stdout);
        let rows = python.query(&site.archive(), "SELECT raw_value FROM readings ORDER BY kafka_offset");
        let values: Vec<_> = rows.iter().map(|row| number(row, "raw_value")).collect();
        assert_eq!(values, (0..sent).map(|seq| seq as f64).collect::<Vec<_>>());
    }
    site.audit().ended_with(0);
}

#[test]
fn a_silent_sensors_value_leaves_metrics_while_another_goes_on() {
    let site = Site::new("[exporter]\ndeadline_min = \"2s\"\n");
    let up = site.start();
    let mut client = mqtt::Client::connect(site.mqtt, "meters", true).unwrap();
    let mut send = |device: &str, value: u32| {
        let payload =
            format!(r#"{{"time": {}, "values": {{"supply_temperature": {value}}}}}"#, now_us() / 1_000);
        let topic = format!("heat/v1/town/st01/{device}");
        client.publish_acknowledged(&topic, payload.as_bytes(), SOON).unwrap();
    };
    let value =
        |device: &str| series(&site.metrics(), "heat_supply_temperature_celsius", &[("device", device)]);

    for round in 0..10 {
        send("speaks", round);
        send("falls-silent", round);
        pace(Duration::from_millis(200));
    }
    wait_until("both values are in /metrics", SOON, || {
        send("speaks", 11);
        send("falls-silent", 11);
        value("speaks").is_some() && value("falls-silent").is_some()
    });
    wait_until("the silent sensor's value leaves /metrics", SOON, || {
        send("speaks", 12);
        value("falls-silent").is_none()
    });

    wait_until("the other one is there", SOON, || {
        send("speaks", 13);
        value("speaks").is_some()
    });
    up.stop().ended_with(0);
}
