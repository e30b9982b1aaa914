//! A checked mapping, as the decoder uses it.

use std::collections::BTreeMap;

use heat_model::{Lane, Quality};

use super::plan::Source;
use crate::mapping::{Absent, TimeFormat};

/// Texts and what they mean; short enough to be searched from the front.
pub(super) type Words<T> = Vec<(Box<str>, T)>;

/// The word's meaning.
pub(super) fn meaning<T: Copy>(words: &Words<T>, word: &str) -> Option<T> {
    words.iter().find(|(known, _)| **known == *word).map(|(_, meaning)| *meaning)
}

/// A text made of constants and of what topic and payload say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(pub(super) Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    /// A capture of the topic, by number.
    Topic(usize),
    /// A scalar of the payload.
    Payload(Source),
    /// Neuron's node.
    Node,
    /// Neuron's group.
    Group,
}

impl Template {
    /// Whether the topic alone decides it.
    pub(super) fn is_of_topic(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Topic(_)))
    }

    /// The first scalar of the payload that it needs.
    pub(super) fn source(&self) -> Option<&Source> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Payload(source) => Some(source),
            Piece::Text(_) | Piece::Topic(_) | Piece::Node | Piece::Group => None,
        })
    }
}

/// Whose readings they are: templates, and what their texts stand for where they are no ids themselves.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    /// Network, site, device.
    pub(super) templates: [Template; 3],
    /// Translations of each.
    pub(super) ids: [BTreeMap<String, String>; 3],
    /// Whether the topic alone decides it.
    pub(super) is_of_topic: bool,
}

/// When.
#[derive(Debug, Clone)]
pub(super) struct TimeRule {
    /// `None`: only the entries of `tall` have times.
    pub(super) source: Option<Source>,
    pub(super) format: TimeFormat,
    pub(super) optional: bool,
}

#[derive(Debug, Clone)]
pub(super) enum LaneRule {
    Undeclared,
    Always(Lane),
    Said(Source, Words<Lane>),
}

#[derive(Debug, Clone)]
pub(super) struct QualityRule {
    pub(super) source: Source,
    pub(super) words: Words<Quality>,
    pub(super) optional: bool,
}

/// How a scalar becomes a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Meaning {
    pub(super) absent: Absent,
    pub(super) words: Words<f64>,
    pub(super) number_as_text: bool,
}

/// One wide value.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) slot: u32,
    /// Name and unit, one behind the other.
    pub(super) text: Box<str>,
    pub(super) name_len: u32,
    pub(super) has_unit: bool,
    pub(super) pointer: Box<str>,
    pub(super) optional: bool,
    pub(super) meaning: Meaning,
    pub(super) quality: Option<QualityRule>,
}

/// What to do with a name that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unknown {
    #[default]
    Take,
    Refuse,
    /// Counted with the unknown fields.
    Ignore,
}

/// What a name of the payload stands for.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: Box<str>,
    pub(super) unit: Option<Box<str>>,
    pub(super) meaning: Meaning,
}

/// The table of names.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) known: BTreeMap<String, Named>,
    pub(super) unknown: Unknown,
    /// For names that are taken as they come.
    pub(super) meaning: Meaning,
}

/// Entries that name their values themselves.
#[derive(Debug, Clone)]
pub(super) struct Tall {
    /// Their level; the item's own if every item is one entry.
    pub(super) level: u32,
    pub(super) name: Template,
    pub(super) value: Source,
    pub(super) unit: Option<Source>,
    pub(super) time: Option<Source>,
    pub(super) quality: Option<QualityRule>,
    pub(super) names: Names,
}

/// How the elements of one level become items.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) level: u32,
    pub(super) speaker: Speaker,
    pub(super) time: Option<TimeRule>,
    pub(super) seq: Option<Source>,
    pub(super) boot: Option<Source>,
    pub(super) lane: LaneRule,
    pub(super) columns: Vec<Column>,
    pub(super) tall: Option<Tall>,
    /// Units as the payload writes them, and as we do.
    pub(super) units: BTreeMap<String, String>,
}

/// How Neuron's payloads become items.
#[derive(Debug, Clone)]
pub(super) struct NeuronRule {
    pub(super) speaker: Speaker,
    pub(super) names: Names,
    pub(super) lane: Option<Lane>,
}
