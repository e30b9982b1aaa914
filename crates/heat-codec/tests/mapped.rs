//! Holds `deploy/mappings/mqtt-*.toml`, `schemas/examples/mapped/` and the decoder of mapped payloads together.
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
    decoded::Limits,
    mapped::{Decoder, JsonMapping},
};
use heat_model::{Lane, Quality};
use serde_json::{Value, json};

const EXAMPLES: &str = "schemas/examples/mapped";
const MAPPINGS: &str = "deploy/mappings";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(repository(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mapping(name: &str) -> JsonMapping {
    JsonMapping::parse(&text(&format!("{MAPPINGS}/{name}")))
        .unwrap_or_else(|faults| panic!("{name}: {faults:?}"))
}

/// What the decoder makes of a payload, as JSON.
fn as_json(decoder: &mut Decoder, topic: &str, payload: &[u8]) -> Value {
    decoder.decode(topic, payload);
    let decoded = decoder.decoded();
    assert_eq!(decoded.rejects(), [], "{topic}");
    let items = decoded.items().iter().map(|item| {
        let device = decoder.device(item.device.unwrap());
        let values = decoded.values(item).iter().map(|value| {
            assert_eq!(value.raw.is_nan(), value.quality == Quality::Bad && !value.raw.is_finite());
            json!({
                "name": decoded.name(value), "raw": value.raw, "unit": decoded.unit(value),
                "quality": value.quality.as_str(), "code": value.code.as_str(),
                "time": value.time.map(|time| time.as_micros()), "place": decoded.place(item, value),
            })
        });
        json!({
            "network": device.network.as_str(), "site": device.site.as_str(), "device": device.device.as_str(),
            "time": item.time.map(|time| time.as_micros()), "seq": item.seq, "boot": decoded.boot(item),
            "lane": item.lane.map(Lane::as_str), "values": values.collect::<Vec<_>>(),
        })
    });
    items.collect()
}

#[test]
fn golden_payloads_decode_as_expected_by_the_mappings_we_ship() {
    let index: Value = serde_json::from_str(&text(&format!("{EXAMPLES}/index.json"))).unwrap();
    let mut files = BTreeSet::from(["index.json".to_owned()]);
    let mut mappings = BTreeSet::new();
    for entry in index.as_array().unwrap() {
        let word = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"));
        let stem = word("file");
        let (payload, expected) = (format!("{stem}.json"), format!("{stem}.expected.json"));
        let mut decoder = Decoder::new(vec![mapping(word("mapping"))], Limits::default());
        let found = as_json(&mut decoder, word("topic"), text(&format!("{EXAMPLES}/{payload}")).as_bytes());
        let wanted: Value = serde_json::from_str(&text(&format!("{EXAMPLES}/{expected}"))).unwrap();
        assert_eq!(found, wanted, "{stem}: found\n{}", serde_json::to_string_pretty(&found).unwrap());
        files.extend([payload, expected]);
        mappings.insert(word("mapping").to_owned());
    }
    assert_eq!(files, names(EXAMPLES), "every file is listed");
    let shipped = names(MAPPINGS).into_iter().filter(|name| name.starts_with("mqtt-"));
    assert_eq!(mappings, shipped.collect(), "every mapping for MQTT has an example");
}
