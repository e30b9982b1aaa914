//! Payloads of other makers, from MQTT to Parquet: JSON by mapping, Neuron and Sparkplug B. What the examples in
//! `schemas/` are said to mean is what the archive must hold, no more and no less.

use std::{collections::BTreeSet, fs, time::Duration};

use heat_tests::{
    mqtt,
    python::Python,
    repository,
    site::{Site, assert_balanced, series},
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

fn example(name: &str) -> String {
    let path = repository().join("schemas/examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&example(name)).unwrap()
}

/// Network, site, device, name, raw value, unit and quality of a value.
type Row = (String, String, String, String, String, String, String);

fn row(whose: [&str; 3], value: &Value) -> Row {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [network, site, device] = whose.map(str::to_owned);
    let raw = value["raw"].as_f64().map_or_else(|| "null".to_owned(), |raw| raw.to_string());
    (network, site, device, text(&value["name"]), raw, text(&value["unit"]), text(&value["quality"]))
}

/// The same of the archive's rows.
fn archived(python: &Python, site: &Site) -> BTreeSet<Row> {
    let sql = "SELECT network, site, device, name, raw_value AS raw, raw_unit AS unit, quality FROM readings";
    python
        .query(&site.archive(), sql)
        .iter()
        .map(|found| row(["network", "site", "device"].map(|key| found[key].as_str().unwrap()), found))
        .collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn mapped_payloads_become_the_readings_that_their_examples_say() {
    let Some(python) = Python::find() else { return };
    let index = json("mapped/index.json");
    let mappings: BTreeSet<String> = array(&index)
        .map(|entry| repository().join("deploy/mappings").join(entry["mapping"].as_str().unwrap()))
        .map(|path| format!("{:?}", path.display().to_string()))
        .collect();
    let mappings = mappings.into_iter().collect::<Vec<_>>().join(", ");
    let site = Site::new(&format!("[gateway]\nmappings = [{mappings}]"));
    let up = site.start();
    let mut expected = BTreeSet::new();

    let mut client = mqtt::Client::connect(site.mqtt, "scada", true).unwrap();
    for entry in array(&index) {
        let (file, topic) = (entry["file"].as_str().unwrap(), entry["topic"].as_str().unwrap());
        client.publish_acknowledged(topic, example(&format!("mapped/{file}.json")).as_bytes(), SOON).unwrap();
        let said = json(&format!("mapped/{file}.expected.json"));
        for item in array(&said).filter(|item| item["values"].is_array()) {
            let whose = ["network", "site", "device"].map(|key| item[key].as_str().unwrap());
            expected.extend(array(&item["values"]).map(|value| row(whose, value)));
        }
    }

    assert_balanced(&up.stop().ended_with(0).stdout);
    assert!(expected.len() > 20, "the examples say little: {expected:?}");
    assert_eq!(archived(&python, &site), expected);
}

#[test]
fn a_sparkplug_session_becomes_the_readings_that_its_example_says() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("[gateway.sparkplug]");
    let up = site.start();
    let mut expected = BTreeSet::new();
    let said = json("sparkplug.expected.json");

    let mut client = mqtt::Client::connect(site.mqtt, "st01", true).unwrap();
    for (line, said) in
        example("sparkplug.hex").lines().filter(|line| !line.starts_with('#')).zip(array(&said))
    {
        let (topic, hex) = line.split_once(' ').unwrap();
        assert_eq!(said["topic"], topic);
        client.publish_acknowledged(topic, &unhex(hex), SOON).unwrap();
        for item in array(&said["items"]) {
            let device = item["device"].as_str().unwrap().strip_prefix("heat/v1/").unwrap();
            let whose: Vec<_> = device.split('/').collect();
            expected.extend(array(&item["values"]).map(|value| row([whose[0], whose[1], whose[2]], value)));
        }
    }

    assert_balanced(&up.stop().ended_with(0).stdout);
    assert!(expected.len() > 15, "the example says little: {expected:?}");
    assert_eq!(archived(&python, &site), expected);
}

#[test]
fn a_node_whose_birth_was_missed_is_asked_for_one_and_its_data_wait_among_the_dead_letters() {
    let site = Site::new("[gateway.sparkplug]\nhost = \"city\"");
    let mut up = site.start();
    let session: Vec<(String, Vec<u8>)> = example("sparkplug.hex")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(topic, hex)| (topic.to_owned(), unhex(hex)))
        .collect();
    let (birth, data) = (&session[0], &session[2]);
    let mut node = mqtt::Client::connect(site.mqtt, "st01", true).unwrap();

    node.subscribe("spBv1.0/STATE/city", SOON).unwrap();
    let (topic, state) = node.message(SOON).unwrap().expect("the host's state comes at once");
    assert_eq!(topic, "spBv1.0/STATE/city");
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["online"], true);

    node.subscribe("spBv1.0/north/NCMD/st01", SOON).unwrap();
    node.publish(&data.0, &data.1, false).unwrap();
    let mut asked = None;
    // The acknowledgement and the command come in either order.
    while asked.is_none() {
        match node.message(SOON) {
            Ok(message) => asked = Some(message.expect("a command comes")),
            Err(error) => assert!(error.to_string().contains("0x40"), "{error}"),
        }
    }
    let (topic, command) = asked.unwrap();
    assert_eq!(topic, "spBv1.0/north/NCMD/st01");
    let name = b"Node Control/Rebirth";
    assert!(command.windows(name.len()).any(|window| window == name), "{command:?}");

    // The birth after the command counts; the number of the data before it is another life's.
    let mut node = mqtt::Client::connect(site.mqtt, "st01", true).unwrap();
    node.publish_acknowledged(&birth.0, &birth.1, SOON).unwrap();
    up.wait_until("the birth counts", SOON, |_| {
        let births = [("event", "node_birth")];
        series(&site.metrics(), "heat_gateway_sparkplug_events_total", &births) == Some(1.0)
    });
    let rejects = [("reason", "not_born")];
    assert_eq!(series(&site.metrics(), "heat_gateway_rejects_total", &rejects), Some(1.0));
    assert_balanced(&up.stop().ended_with(0).stdout);
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.trim().chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
