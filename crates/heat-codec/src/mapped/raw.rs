//! A mapping as it is written.

use std::collections::BTreeMap;

use heat_model::Lane;
use serde::Deserialize;

use super::rule::Unknown;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Neuron,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMapping {
    pub(super) format: Format,
    pub(super) topic: String,
    #[serde(default)]
    pub(super) network_ids: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) site_ids: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) device_ids: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) units: BTreeMap<String, String>,
    pub(super) number_as_text: Option<bool>,
    pub(super) missing: Option<Vec<String>>,
    pub(super) nulls: Option<Vec<String>>,
    pub(super) sentinels: Option<Vec<f64>>,
    #[serde(default)]
    pub(super) items: Vec<RawItem>,

    // The only kind of item, or what `items` leaves out.
    pub(super) each: Option<OneOrMany>,
    pub(super) optional: Option<bool>,
    pub(super) network: Option<String>,
    pub(super) site: Option<String>,
    pub(super) device: Option<String>,
    pub(super) time: Option<RawTime>,
    pub(super) seq: Option<String>,
    pub(super) boot: Option<String>,
    pub(super) lane: Option<RawLane>,
    #[serde(default)]
    pub(super) values: Vec<RawValue>,
    pub(super) tall: Option<RawTall>,
    #[serde(default)]
    pub(super) names: BTreeMap<String, RawName>,
    pub(super) unknown: Option<Unknown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawItem {
    pub(super) each: Option<OneOrMany>,
    pub(super) optional: Option<bool>,
    pub(super) network: Option<String>,
    pub(super) site: Option<String>,
    pub(super) device: Option<String>,
    pub(super) time: Option<RawTime>,
    pub(super) seq: Option<String>,
    pub(super) boot: Option<String>,
    pub(super) lane: Option<RawLane>,
    #[serde(default)]
    pub(super) values: Vec<RawValue>,
    pub(super) tall: Option<RawTall>,
    #[serde(default)]
    pub(super) names: BTreeMap<String, RawName>,
    pub(super) unknown: Option<Unknown>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTime {
    pub(super) pointer: Option<String>,
    pub(super) format: String,
    pub(super) zone: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum RawLane {
    Always(Lane),
    Said(RawLaneWords),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLaneWords {
    pub(super) pointer: String,
    #[serde(default)]
    pub(super) live: Vec<Word>,
    #[serde(default)]
    pub(super) backfill: Vec<Word>,
}

/// A scalar of the payload, compared by its text there.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Text(String),
    Integer(i64),
    Bool(bool),
}

impl Word {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bool(bool) => bool.to_string(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuality {
    pub(super) pointer: String,
    #[serde(default)]
    pub(super) good: Vec<Word>,
    #[serde(default)]
    pub(super) uncertain: Vec<Word>,
    #[serde(default)]
    pub(super) bad: Vec<Word>,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValue {
    pub(super) pointer: String,
    pub(super) name: String,
    pub(super) unit: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) quality: Option<RawQuality>,
    pub(super) number_as_text: Option<bool>,
    pub(super) missing: Option<Vec<String>>,
    pub(super) nulls: Option<Vec<String>>,
    pub(super) sentinels: Option<Vec<f64>>,
    #[serde(default)]
    pub(super) words: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTall {
    pub(super) each: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) unit: Option<String>,
    pub(super) time: Option<String>,
    pub(super) quality: Option<RawQuality>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawName {
    Name(String),
    Full(RawNamed),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamed {
    pub(super) name: String,
    pub(super) unit: Option<String>,
    pub(super) number_as_text: Option<bool>,
    pub(super) missing: Option<Vec<String>>,
    pub(super) nulls: Option<Vec<String>>,
    pub(super) sentinels: Option<Vec<f64>>,
    #[serde(default)]
    pub(super) words: BTreeMap<String, f64>,
}
