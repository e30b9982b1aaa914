//! The session of `schemas/examples/sparkplug.hex` decodes to what stands beside it.

use std::path::Path;

use heat_codec::{
    decoded::Limits,
    sparkplug::{RawSparkplug, Sparkplug, SparkplugSettings},
};
use heat_model::{IngestTime, Lane};
use serde_json::{Value, json};

fn schemas(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).expect("a hexadecimal digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte")).collect()
}

/// What a message comes to, as JSON; times in Unix microseconds.
fn seen(sparkplug: &Sparkplug, topic: &str) -> Value {
    let decoded = sparkplug.decoded();
    let items = decoded.items().iter().map(|item| {
        let values = decoded.values(item).iter().map(|value| {
            json!({
                "name": decoded.name(value), "raw": value.raw, "unit": decoded.unit(value),
                "quality": value.quality.as_str(), "code": value.code.as_str(),
                "time": value.time.map(|time| time.as_micros()),
            })
        });
        json!({
            "device": sparkplug.device(item.device.expect("every item has a device")).to_string(),
            "lane": item.lane.map(Lane::as_str),
            "values": values.collect::<Vec<_>>(),
        })
    });
    let rejects = decoded.rejects().iter().map(
        |reject| json!({"reason": reject.reason.as_str(), "place": reject.place, "detail": reject.detail}),
    );
    json!({"topic": topic, "items": items.collect::<Vec<_>>(), "rejects": rejects.collect::<Vec<_>>()})
}

#[test]
fn the_example_session_decodes_as_expected() {
    let mut sparkplug = Sparkplug::new(SparkplugSettings::default(), Limits::default());
    let session = schemas("examples/sparkplug.hex");
    let mut found = Vec::new();
    for line in session.lines().filter(|line| !line.starts_with('#')) {
        let (topic, hex) = line.split_once(' ').expect("a topic and a payload");
        assert!(Sparkplug::is_topic(topic));
        sparkplug.take(topic, &bytes_of(hex), IngestTime::from_micros(1_795_478_405_000_000));
        found.push(seen(&sparkplug, topic));
    }
    let expected: Value = serde_json::from_str(&schemas("examples/sparkplug.expected.json")).expect("JSON");
    let found = Value::Array(found);
    assert_eq!(found, expected, "found:\n{found:#}");
    // As another implementation writes the command.
    let command = "0888ffe8d6a03412210a144e6f646520436f6e74726f6c2f526562697274681888ffe8d6a034200b7001";
    let [rebirth] = &sparkplug.take_rebirths()[..] else {
        panic!("one, for the alias that nobody announced")
    };
    assert_eq!((rebirth.topic.as_str(), &rebirth.payload), ("spBv1.0/north/NCMD/st01", &bytes_of(command)));
    assert_eq!(sparkplug.counts().gaps, 0);
}

#[test]
fn the_settings_that_the_documentation_shows_are_taken() {
    let text = schemas("README.md");
    let sample = text.split("```toml\n").find(|block| block.starts_with("[gateway.sparkplug]"));
    let sample = sample.and_then(|block| block.split("```").next()).expect("a sample of the settings");
    let config: toml::Table = toml::from_str(sample).expect("TOML");
    let raw: RawSparkplug = config["gateway"]["sparkplug"].clone().try_into().expect("keys that are known");
    let settings = SparkplugSettings::from_raw(raw).expect("no faults");
    assert_eq!(settings.host(), Some("heatstream"));
}
