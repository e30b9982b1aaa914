//! Dead letters from end to end: found, shown, mended and taken again; nothing of a person in them.

use std::{fs, path::Path, time::Duration};

use heat_tests::{
    heatstream::{self, Output, Running},
    mosquitto,
    mqtt::Client,
    python::Python,
    site::{Site, assert_balanced, audit_total},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const TOPIC: &str = "heat/v1/town/st01/meter";
const FOREIGN: &str = "plc/st01/meter7/data";

/// Topic, payload, reason, place.
type Bad = (&'static str, &'static [u8], &'static str, &'static str);

const KINDS: [Bad; 10] = [
    (TOPIC, b"", "empty", ""),
    (TOPIC, &[0x00, 0xFF, 0x10, 0x80, 0x7F], "binary", ""),
    (TOPIC, b"8\xB0C", "bad_utf8", ""),
    (TOPIC, br#"{"values": {"supply_temperature": 81.2"#, "bad_json", "byte 38"),
    (FOREIGN, br#"{"t": 81.5, "ts": 1764028800000}"#, "unknown_topic", ""),
    (TOPIC, br#"{"values": {"supply_temperature": NaN}}"#, "not_finite", "/values/supply_temperature"),
    (TOPIC, br#"{"values": {"supply_temperature": [1]}}"#, "wrong_type", "/values/supply_temperature"),
    (TOPIC, br#"{"values": {"supply_temperature": "81.2"}}"#, "number_as_text", "/values/supply_temperature"),
    (
        TOPIC,
        br#"{"values": {"supply_pressure": {"value": 1, "unit": "furlong"}}}"#,
        "unknown_unit",
        "/values/supply_pressure/unit",
    ),
    (TOPIC, br#"{"time": "yesterday", "values": {"supply_temperature": 1}}"#, "bad_time", "/time"),
];

const MAPPING: &str = r#"
format = "json"
topic = "plc/{site}/{device}/data"
network = "town"
site = "{site}"
device = "{device}"

[time]
pointer = "/ts"
format = "unix_ms"

[[values]]
pointer = "/t"
name = "supply_temperature"
unit = "degC"
"#;

fn rejected(site: &Site, arguments: &[&str]) -> Output {
    let api = format!("http://127.0.0.1:{}", site.api);
    heatstream::run(["rejected"].iter().chain(arguments).copied().chain(["--api", &api]))
}

fn listed(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = rejected(site, &[&["list", "--json"], arguments].concat()).ended_with(0);
    let page: Value = serde_json::from_str(&output.stdout).unwrap();
    page["items"].as_array().unwrap().clone()
}

fn wait_for_letters(site: &Site, up: &mut Running, count: usize) -> Vec<Value> {
    up.wait_until("the letters are listed", SOON, |_| listed(site, &[]).len() == count);
    listed(site, &[])
}

fn send(site: &Site, messages: &[(&str, &[u8])]) {
    let mut client = Client::connect(site.mqtt, "field", true).unwrap();
    for (topic, payload) in messages {
        client.publish_acknowledged(topic, payload, SOON).unwrap();
    }
}

/// Adds a mapping for [`FOREIGN`] to a stopped deployment.
fn mend(site: &Site) {
    let mapping = site.data_dir().join("plc.toml");
    fs::write(&mapping, MAPPING).unwrap();
    let config = fs::read_to_string(site.config()).unwrap();
    let line = format!("[gateway]\nmappings = [{:?}]\n[gateway.listen]", mapping.display().to_string());
    fs::write(site.config(), config.replace("[gateway.listen]", &line)).unwrap();
}

#[test]
fn ten_kinds_of_malformed_payloads_are_found_with_reason_and_place_and_shown() {
    let site = Site::new("");
    let mut up = site.start();
    send(&site, &KINDS.map(|(topic, payload, ..)| (topic, payload)));

    let letters = wait_for_letters(&site, &mut up, KINDS.len());
    for (topic, payload, reason, place) in KINDS {
        let fits = |letter: &&Value| {
            letter["topic"] == topic
                && letter["faults"][0]["reason"] == reason
                && letter["faults"][0]["place"] == place
                && letter["payload_bytes"] == payload.len()
        };
        let letter = letters.iter().find(fits).unwrap_or_else(|| panic!("{reason} at {place}: {letters:#?}"));
        assert_eq!((&letter["client"], &letter["whole"]), (&json!("field"), &json!(true)), "{letter}");
        assert_eq!(listed(&site, &["--reason", reason]).len(), 1, "{reason}");
        let id = letter["id"].as_str().unwrap();
        let shown = rejected(&site, &["show", id]).ended_with(0).stdout;
        assert!(shown.contains(reason) && shown.contains(topic), "{shown}");
        match std::str::from_utf8(payload) {
            Ok(text) => assert!(shown.contains(text), "{text} is printed: {shown}"),
            Err(_) => assert!(shown.contains(&format!("{:02x} {:02x}", payload[0], payload[1])), "{shown}"),
        }
        if !place.is_empty() && place != "byte 38" {
            assert!(shown.contains(&format!("^ {reason}")), "the place is marked: {shown}");
        }
    }
    let text = rejected(&site, &["list", "--topic", "plc/#"]).ended_with(0).stdout;
    assert!(text.contains("unknown_topic") && text.contains(FOREIGN), "{text}");
    rejected(&site, &["show", "0-999999"]).ended_with(1);
    rejected(&site, &["show", "x"]).ended_with(2);
    assert_balanced(&up.stop().ended_with(0).stdout);
}

#[test]
fn what_a_sender_says_beside_the_payload_is_kept_with_its_letter() {
    let Some(mut publish) = mosquitto::client("mosquitto_pub", 0) else { return };
    let site = Site::new("");
    let mut up = site.start();

    // The last of two ports counts.
    publish.args(["-p", &site.mqtt.to_string(), "-V", "mqttv5", "-q", "1", "-t", FOREIGN, "-m", "8 C"]);
    publish.args(["-D", "publish", "content-type", "text/plain"]);
    publish.args(["-D", "publish", "user-property", "plant", "north works"]);
    assert!(publish.status().unwrap().success());

    let letters = wait_for_letters(&site, &mut up, 1);
    let shown = rejected(&site, &["show", letters[0]["id"].as_str().unwrap()]).ended_with(0).stdout;
    assert!(shown.contains("text/plain") && shown.contains("plant = north works"), "{shown}");
    assert_balanced(&up.stop().ended_with(0).stdout);
}

#[test]
fn once_the_mapping_is_mended_letters_are_taken_again_once_though_all_is_killed_meanwhile() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let mut up = site.start();
    let good = br#"{"values": {"supply_temperature": 70}}"#;
    let partly =
        br#"{"values": {"supply_temperature": 71, "supply_pressure": {"value": 1, "unit": "furlong"}}}"#;
    send(&site, &[(FOREIGN, KINDS[4].1), (TOPIC, good), (TOPIC, partly)]);
    let letters = wait_for_letters(&site, &mut up, 2);
    let id = |topic: &str| {
        let letter = letters.iter().find(|letter| letter["topic"] == topic).unwrap();
        letter["id"].as_str().unwrap().to_owned()
    };
    let (foreign, partly) = (id(FOREIGN), id(TOPIC));
    up.stop().ended_with(0);
    mend(&site);

    let mut up = site.start();
    up.wait_until("the API has read the letters back", SOON, |_| listed(&site, &[]).len() == 2);
    rejected(&site, &["requeue", &foreign, &partly]).ended_with(0);
    up.kill();
    let mut up = site.start();
    let letter =
        |id: &str| listed(&site, &[]).into_iter().find(|letter| letter["id"] == id).unwrap_or_default();
    up.wait_until("both are taken again", SOON, |_| {
        [&foreign, &partly].iter().all(|id| letter(id)["requeued"]["taken"].is_object())
    });
    assert_eq!(letter(&foreign)["requeued"]["taken"]["readings_logged"], 1);
    // What was good of it is not taken twice; what was not is rejected again, and names its first letter.
    assert_eq!(letter(&partly)["requeued"]["taken"]["readings_logged"], 0);
    let again: Vec<Value> =
        listed(&site, &[]).into_iter().filter(|letter| letter["requeued_from"] == partly.as_str()).collect();
    assert!(!again.is_empty() && again[0]["faults"][0]["reason"] == "unknown_unit", "{again:?}");
    rejected(&site, &["requeue", &foreign]).ended_with(65);
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    site.audit().ended_with(0);

    let rows = python.query(
        &site.archive(),
        "SELECT device, name, raw_value, lane, event_time, count(*) AS rows FROM readings \
         GROUP BY ALL ORDER BY raw_value",
    );
    let values: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["raw_value"], &row["rows"])).collect();
    let expected = [70.0, 71.0, 81.5].map(|value| (json!(value), json!(1)));
    assert_eq!(values, expected.iter().map(|(value, rows)| (value, rows)).collect::<Vec<_>>(), "{rows:#?}");
    let mended = &rows[2];
    assert_eq!(mended["event_time"], 1_764_028_800_000_000_i64, "{mended}");
    assert_eq!((&mended["device"], &mended["lane"]), (&json!("meter7"), &json!("backfill")), "{mended}");
}

#[test]
fn a_telephone_number_in_a_ticket_is_nowhere() {
    let site = Site::new("");
    let mut up = site.start();
    let tickets: [(&str, &[u8]); 4] = [
        ("heat/v1/tickets", br#"{"id": "a", "kind": "cold", "phone": "13812345678"}"#),
        ("heat/v1/tickets", br#"{"id": "b", "kind": "cold", "13812345678": 1}"#),
        ("heat/v1/tickets", br#"{"id": "c", "text": "138 1234 5678"#),
        ("heat/v1/ticket", br#"{"id": "d", "kind": "cold", "phone": "13812345678"}"#),
    ];
    send(&site, &tickets);
    let letters = wait_for_letters(&site, &mut up, tickets.len());
    let mut said = String::new();
    for letter in &letters {
        let id = letter["id"].as_str().unwrap();
        said += &letter.to_string();
        said += &rejected(&site, &["show", id, "--full"]).ended_with(0).stdout;
        said += &rejected(&site, &["show", id, "--json"]).ended_with(0).stdout;
        let refused = rejected(&site, &["requeue", id]).ended_with(65).stdout;
        assert!(refused.contains("ticket") && refused.contains("send it again"), "{refused}");
        assert_ne!(letter["payload_hash"], "0000000000000000");
    }
    let reasons: Vec<&str> =
        letters.iter().map(|letter| letter["faults"][0]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "personal_data").count(), 1, "{reasons:?}");
    let ended = up.stop().ended_with(0);
    assert_eq!(audit_total(&ended.stdout)[..4], [4, 0, 4, 0]);
    said += &ended.stdout;
    said += &ended.stderr;

    if let Some(python) = Python::find() {
        let rows = python.query(&site.archive(), "SELECT * FROM rejected");
        assert_eq!(rows.len(), tickets.len());
        said += &Value::from(rows).to_string();
    }

    for digits in ["13812345678", "138 1234 5678", "12345678"] {
        assert!(!said.contains(digits), "{said}");
        let found = files_with(&site.data_dir(), digits.as_bytes());
        assert!(found.is_empty(), "{digits} lies in {found:?}");
    }
}

/// Files of the log and the archive that hold these bytes as they are; Parquet's rows are compressed.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if fs::read(&path).unwrap().windows(wanted.len()).any(|window| window == wanted) {
            found.push(path);
        }
    }
    found
}
