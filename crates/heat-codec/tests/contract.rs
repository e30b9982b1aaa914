//! Holds `schemas/` and `deploy/mappings/` and the decoders together.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests; clippy knows only the test functions themselves"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use heat_codec::{
    forecast,
    mapping::Mapping,
    neuron,
    own_json::{self, Decoder},
    plant::DeviceFacts,
    reject::{Reject, RejectReason},
    shape::{DeviceShapes, reject_of},
    ticket::{self, Crs, FreeText},
    topic::{DeviceTopic, FORECAST, TICKETS},
};
use heat_model::{Lane, Quality};
use serde_json::{Value, json};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn bytes(path: &str) -> Vec<u8> {
    fs::read(repository(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn keys(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let object = schema.pointer(pointer).and_then(Value::as_object);
    object.unwrap_or_else(|| panic!("{pointer} is an object")).keys().cloned().collect()
}

/// The words of an `enum`, without null.
fn words(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let words = schema.pointer(pointer).and_then(Value::as_array);
    let words = words.unwrap_or_else(|| panic!("{pointer} is an array"));
    words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_schema_of_the_own_json_has_the_decoders_fields_and_words() {
    let schema = json_of("schemas/own-json.schema.json");
    let value = "/$defs/value/oneOf/1/properties";
    assert_eq!(keys(&schema, "/$defs/item/properties"), set(own_json::ITEM_FIELDS));
    assert_eq!(keys(&schema, value), set(own_json::VALUE_FIELDS));
    assert_eq!(
        words(&schema, "/$defs/item/properties/lane/enum"),
        set([Lane::Live, Lane::Backfill].map(Lane::as_str))
    );
    let qualities = [Quality::Good, Quality::Uncertain, Quality::Bad].map(Quality::as_str);
    assert_eq!(words(&schema, &format!("{value}/quality/enum")), set(qualities));
    let codes = own_json::DEVICE_CODES.map(heat_model::QualityCode::as_str);
    assert_eq!(words(&schema, &format!("{value}/code/enum")), set(codes));
}

#[test]
fn the_schemas_of_ticket_and_forecast_have_the_decoders_fields_and_words() {
    let ticket = json_of("schemas/ticket.schema.json");
    assert_eq!(keys(&ticket, "/properties"), set(ticket::FIELDS));
    assert_eq!(keys(&ticket, "/properties/location/properties"), set(ticket::LOCATION_FIELDS));
    assert_eq!(words(&ticket, "/properties/location/properties/crs/enum"), set(Crs::ALL.map(Crs::as_str)));
    for kind in words(&ticket, "/properties/kind/enum") {
        let payload = json!({"id": "1", "time": 1, "kind": kind}).to_string();
        assert!(ticket::decode(payload.as_bytes(), FreeText::Drop).is_ok(), "{kind}");
    }
    let forecast = json_of("schemas/forecast.schema.json");
    assert_eq!(keys(&forecast, "/properties"), set(forecast::FIELDS));
    let points = "/properties/outdoor_temperature/items/properties";
    assert_eq!(keys(&forecast, points), set(forecast::POINT_FIELDS));
}

/// What the own JSON decoder makes of a payload, as JSON.
fn own_json_as_json(payload: &[u8]) -> (Value, Vec<Reject>) {
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(payload);
    let items = decoded.items().iter().map(|item| {
        let values = decoded.values(item).iter().map(|value| {
            json!({
                "name": decoded.name(value), "raw": value.raw, "unit": decoded.unit(value),
                "quality": value.quality.as_str(), "code": value.code.as_str(),
                "time": value.time.map(|time| time.as_micros()),
            })
        });
        json!({
            "time": item.time.map(|time| time.as_micros()), "seq": item.seq, "boot": decoded.boot(item),
            "lane": item.lane.map(Lane::as_str), "values": values.collect::<Vec<_>>(),
        })
    });
    (items.collect(), decoded.rejects().to_vec())
}

/// Rejects of the payload and of its names and units, and how many readings are kept.
fn judged(payload: &[u8]) -> (Vec<Reject>, usize) {
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(payload);
    let id = "any";
    let mut shapes = DeviceShapes::new(DeviceTopic {
        network: id.parse().unwrap(),
        site: id.parse().unwrap(),
        device: id.parse().unwrap(),
    });
    let mut rejects = decoded.rejects().to_vec();
    let mut kept = 0;
    for item in decoded.items() {
        let shape = shapes.resolve(decoded, item, &DeviceFacts::default());
        for (value, slot) in decoded.values(item).iter().zip(&shape.slots) {
            match slot {
                Ok(_) => kept += 1,
                Err(reason) => rejects.push(reject_of(decoded, item, value, *reason)),
            }
        }
    }
    (rejects, kept)
}

#[test]
fn golden_payloads_decode_as_expected() {
    let mut seen = BTreeSet::new();
    for name in names("schemas/examples") {
        let Some(stem) = name.strip_suffix(".json").filter(|stem| !stem.ends_with(".expected")) else {
            continue;
        };
        let payload = bytes(&format!("schemas/examples/{name}"));
        let format = if stem.starts_with("own-json") { "own-json" } else { stem };
        match format {
            "own-json" => {
                let (found, rejects) = own_json_as_json(&payload);
                assert_eq!(rejects, [], "{name}");
                assert_eq!(found, json_of(&format!("schemas/examples/{stem}.expected.json")), "{name}");
                let (rejects, kept) = judged(&payload);
                assert!(rejects.is_empty() && kept > 0, "{name}: {rejects:?}");
            }
            "ticket" => {
                let decoded = ticket::decode(&payload, FreeText::KeepMasked).unwrap();
                assert_eq!(decoded.ticket.text.as_deref(), Some("暖气不热，请回电 *** **** ****"));
            }
            "forecast" => {
                assert_eq!(forecast::decode(&payload).unwrap().forecast.outdoor_celsius.len(), 2);
            }
            "neuron" => {
                let mut decoder = neuron::Decoder::default();
                let decoded = decoder.decode(&payload);
                assert_eq!((decoded.values_len(), decoded.rejects()), (4, &[][..]));
                assert_eq!((decoder.node(), decoder.group()), ("modbus-1", "meter"));
            }
            other => panic!("schemas/examples/{name}: no decoder for {other}"),
        }
        seen.insert(format.to_owned());
    }
    assert_eq!(seen, set(["own-json", "ticket", "forecast", "neuron"]));
}

#[test]
fn malformed_payloads_give_the_stated_reason() {
    let index = json_of("schemas/examples/malformed/index.json");
    let entries = index.as_array().unwrap();
    let mut listed = set(["index.json"]);
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"));
        let payload = bytes(&format!("schemas/examples/malformed/{}", text("file")));
        let (rejects, kept) = match text("format") {
            "own-json" => judged(&payload),
            "ticket" => (vec![ticket::decode(&payload, FreeText::KeepMasked).unwrap_err()], 0),
            "forecast" => (vec![forecast::decode(&payload).unwrap_err()], 0),
            "neuron" => {
                let mut decoder = neuron::Decoder::default();
                let decoded = decoder.decode(&payload);
                (decoded.rejects().to_vec(), decoded.values_len())
            }
            other => panic!("no decoder for {other}"),
        };
        let found: Vec<_> =
            rejects.iter().map(|reject| (reject.reason.as_str(), reject.place.as_str())).collect();
        assert_eq!(found, [(text("reason"), text("place"))], "{entry}");
        assert_eq!(Some(kept as u64), entry["kept"].as_u64(), "{entry}");
        assert!(RejectReason::from_word(text("reason")).is_some());
        listed.insert(text("file").to_owned());
    }
    assert_eq!(listed, names("schemas/examples/malformed").into_iter().collect(), "every file is listed");
}

#[test]
fn asyncapi_names_the_topics_and_refers_to_files_that_are_there() {
    let text = String::from_utf8(bytes("schemas/asyncapi.yaml")).unwrap();
    for topic in ["heat/v1/{network}/{site}/{device}", TICKETS, FORECAST, "heat.input.v1", "heat.rejected.v1"]
    {
        assert!(text.contains(&format!("address: {topic}\n")), "{topic}");
    }
    let files: BTreeSet<_> =
        text.split("$ref: './").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for reference in files {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        assert!(!bytes(&format!("schemas/{file}")).is_empty());
        if !pointer.is_empty() {
            assert!(json_of(&format!("schemas/{file}")).pointer(pointer).is_some(), "{reference}");
        }
    }
    let local: BTreeSet<_> =
        text.split("$ref: '#/").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    for pointer in local {
        let key = pointer.rsplit('/').next().unwrap();
        assert!(text.contains(&format!(" {key}:\n")), "{pointer}");
    }
}

#[test]
fn the_mappings_we_ship_are_read() {
    let recorded = |name: &String| !name.starts_with("mqtt-");
    for name in names("deploy/mappings").into_iter().filter(recorded) {
        let text = String::from_utf8(bytes(&format!("deploy/mappings/{name}"))).unwrap();
        if let Err(faults) = Mapping::parse(&text) {
            panic!("{name}: {faults:?}");
        }
    }
}
