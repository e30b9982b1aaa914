//! Any JSON by mapping: how the payloads under one topic pattern become readings. TOML, one file a pattern.
//!
//! ```toml
//! format = "json"                             # or "neuron", see below
//! topic = "plant/{site}/+/{device}/data"      # whole levels: {capture}, +, and # at the end
//! network = "north"                           # network, site and device are templates: constants, {captures} of the
//! site = "{site}"                             # topic, scalars of the payload by {/pointer}, and the {key} or index
//! device = "{device}-{/meter/id}"             # of an element of `each`
//! each = ["/stations", "/meters"]             # one item an element of that array or object; inner ones may follow
//! optional = false                            # true: it may be missing
//! seq = "/n"                                  # the device's own number of the message, where there is one
//! boot = "/boot"                              # the word that tells its runs apart, where there is one
//! lane = "backfill"                           # or { pointer = "/hist", live = [0], backfill = [1] }
//! missing = ["", "--"]                        # texts: nothing was reported
//! nulls = ["null"]                            # texts: reported as null, a bad value
//! sentinels = [-39.9, 9999]                   # numbers that mean "no measurement": bad, the number is kept
//! number_as_text = false                      # true: "81.2" is a number
//!
//! [time]                                      # absent: arrival time, marked untimed
//! pointer = "//ts"
//! format = "%Y-%m-%d %H:%M:%S"                # strptime, or rfc3339, unix_s, unix_ms, unix_us
//! zone = "Asia/Shanghai"                      # where the format carries no offset; of a repeated hour the first
//! optional = false                            # true: a message without it is untimed
//!
//! [site_ids]                                  # optional, as [network_ids] and [device_ids]: what the texts stand for
//! "1号站" = "st-1"
//!
//! [[values]]                                  # wide: each value has its place
//! pointer = "/t1"
//! name = "supply_temperature"
//! unit = "degC"                               # missing, nulls, sentinels, number_as_text may be given here instead
//! optional = false                            # true: it may be missing
//! words = { "ON" = 1, "OFF" = 0 }             # texts that are numbers
//! quality = { pointer = "/q1", good = ["ok", 192], uncertain = ["old"], bad = [0], optional = false }
//!
//! [tall]                                      # and, or instead: entries that name their values themselves
//! each = "/points"                            # array or object; left out: each item is one entry
//! name = "{/id}"                              # a template, as above
//! value = "/v"                                # "": the entry itself
//! unit = "/u"                                 # these three are optional, and so is what they find
//! time = "/t"                                 # in the format of [time]
//! quality = { pointer = "/q", bad = [1], good = [0], optional = true }
//!
//! [names]                                     # what the entries' names stand for
//! T1 = "supply_temperature"
//! P1 = { name = "supply_pressure", unit = "MPa" }   # missing, nulls, sentinels, number_as_text, words as in values
//!
//! [units]                                     # units as the payload writes them, and as we do
//! "度" = "degC"
//!
//! [[items]]                                   # several kinds of items in one payload: each with keys of its own from
//! each = "/pumps"                             # each, optional, network, site, device, time, seq, boot, lane, values,
//!                                             # tall, names, unknown
//! ```
//!
//! *Pointers* are JSON pointers (RFC 6901). `/a` begins at the item's (in `tall`: the entry's) own element, `//a` at
//! the document, `^/a` at the element around its own, `^^/a` one further out; `{^key}` is that element's key.
//!
//! `unknown = "take"` (the default), `"refuse"` or `"ignore"` says what becomes of names that are not in `[names]`.
//! A payload that comes to nothing at all is rejected, also where every name in it is ignored.
//!
//! What goes down with a fault: a fault of the text takes the payload; a fault of ids, time, `seq`, `boot` or lane
//! takes the item; a fault of one value takes that value. Nothing becomes 0. What no pointer names is passed over.
//!
//! *Neuron*: `format = "neuron"` reads [`crate::neuron`]'s payloads. The templates have `{node}` and `{group}` instead
//! of pointers; keys are `topic`, `network`, `site`, `device`, the tables of ids, `lane` (a constant), `sentinels`,
//! `names` and `unknown`.

mod assembly;
mod build;
mod check;
mod devices;
mod document;
mod pattern;
mod plan;
mod plant;
mod raw;
mod reading;
mod rule;
mod scan;
mod tags;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_model::plant::PlantModel;

use crate::{
    decoded::{Decoded, Limits},
    json::{Reader, text_of},
    mapping::MappingFault,
    neuron,
    reject::{Reject, RejectReason},
    topic::DeviceTopic,
};
use assembly::{Assembly, Texts};
use devices::Devices;
use document::Document;
use pattern::Pattern;
use plan::Plan;
use rule::{NeuronRule, Rule};
use scan::{Scan, Stop};
use tags::Tags;

/// Most devices that a decoder keeps apart.
pub const DEVICES_MAX: usize = 65_536;
/// Topics whose mapping is remembered; beyond, all are looked for anew.
const TOPICS_MAX: usize = 65_536;

/// How the payloads under one topic pattern become readings. Checked.
#[derive(Debug, Clone)]
pub struct JsonMapping {
    pattern: Pattern,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Json { plan: Plan, rules: Vec<Rule> },
    Neuron(Box<NeuronRule>),
}

impl JsonMapping {
    /// Reads a mapping; all faults at once.
    pub fn parse(text: &str) -> Result<Self, Vec<MappingFault>> {
        check::parse(text)
    }

    /// What to subscribe to: the topic pattern with `+` for every capture.
    pub fn filter(&self) -> String {
        self.pattern.filter()
    }

    /// Whether a topic fits its pattern.
    pub fn matches(&self, topic: &str) -> bool {
        self.pattern.captures(topic).is_some()
    }

    fn rules_len(&self) -> usize {
        match &self.form {
            Form::Json { rules, .. } => rules.len(),
            Form::Neuron(_) => 1,
        }
    }
}

/// The mappings that the plant model's `signals` table describes: one for each topic, from the rows that have both
/// `topic` and `pointer`. Their values are untimed and optional: a signal's silence is watched by its interval.
pub fn from_plant(plant: &PlantModel) -> Result<Vec<JsonMapping>, Vec<MappingFault>> {
    plant::from_plant(plant)
}

/// A topic that was seen.
#[derive(Debug)]
struct KnownTopic {
    mapping: u32,
    captures: Box<[Box<str>]>,
    /// Devices of the mapping's rules, where the topic alone decides them and they spoke.
    devices: Box<[Option<u32>]>,
}

/// Decodes payloads by the first mapping whose pattern fits the topic; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Decoder {
    mappings: Vec<JsonMapping>,
    /// Mappings for one topic only.
    literal: HashMap<Box<str>, u32, FixedState>,
    /// The others, in their order.
    patterns: Vec<u32>,
    limits: Limits,
    topics: HashMap<Box<str>, u32, FixedState>,
    known: Vec<KnownTopic>,
    devices: Devices,
    scan: Scan,
    texts: Texts,
    neuron: neuron::Decoder,
    decoded: Decoded,
}

impl Decoder {
    /// For these mappings; where several fit a topic, the first one counts.
    pub fn new(mappings: Vec<JsonMapping>, limits: Limits) -> Self {
        let mut decoder = Self { limits, neuron: neuron::Decoder::new(limits), ..Self::default() };
        for (number, mapping) in (0..).zip(&mappings) {
            match mapping.pattern.literal() {
                Some(topic) => {
                    decoder.literal.entry(topic.into()).or_insert(number);
                }
                None => decoder.patterns.push(number),
            }
        }
        Self { mappings, ..decoder }
    }

    /// Whether a mapping has this topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.mapping_of(topic).is_some()
    }

    fn mapping_of(&self, topic: &str) -> Option<u32> {
        let literal = self.literal.get(topic).copied();
        let before = literal.unwrap_or(u32::MAX);
        let fits = |number: &&u32| self.mappings[**number as usize].matches(topic);
        self.patterns.iter().take_while(|number| **number < before).find(fits).copied().or(literal)
    }

    fn topic(&mut self, topic: &str) -> Option<u32> {
        if let Some(&known) = self.topics.get(topic) {
            return Some(known);
        }
        let number = self.mapping_of(topic)?;
        if self.known.len() >= TOPICS_MAX {
            self.known.clear();
            self.topics.clear();
        }
        let mapping = &self.mappings[number as usize];
        let captures = mapping.pattern.captures(topic)?.into_iter().map(Into::into).collect();
        let devices = vec![None; mapping.rules_len()].into();
        let known = u32::try_from(self.known.len()).expect("topics are bounded by TOPICS_MAX");
        self.known.push(KnownTopic { mapping: number, captures, devices });
        self.topics.insert(topic.into(), known);
        Some(known)
    }

    /// Decodes one payload. Every item has a device; see [`Self::device`]. What it returns holds until the next call.
    pub fn decode(&mut self, topic: &str, payload: &[u8]) -> &Decoded {
        self.decoded.clear();
        let Some(known) = self.topic(topic) else {
            self.decoded.reject_whole(Reject::whole(RejectReason::UnknownTopic).found(topic));
            return &self.decoded;
        };
        let mapping = self.known[known as usize].mapping;
        let whole = match self.mappings[mapping as usize].form {
            Form::Json { .. } => self.json(known, payload).err(),
            Form::Neuron(_) => {
                self.neuron(known, payload);
                None
            }
        };
        if let Some(reject) = whole {
            self.decoded.reject_whole(reject);
        } else if self.decoded.items.is_empty() && self.decoded.rejects.is_empty() {
            // A message is logged or rejected, whatever a mapping passes over.
            let only_ignored = self.decoded.unknown_fields > 0;
            let reason = if only_ignored { RejectReason::UnknownSignal } else { RejectReason::MissingField };
            self.decoded.reject_whole(Reject::whole(reason));
        }
        &self.decoded
    }

    fn json(&mut self, known: u32, payload: &[u8]) -> Result<(), Reject> {
        let KnownTopic { mapping, captures, devices } = &mut self.known[known as usize];
        let Form::Json { plan, rules } = &self.mappings[*mapping as usize].form else { return Ok(()) };
        let text = text_of(payload, self.limits.payload_max_bytes).map_err(Reject::whole)?;
        let mut reader = Reader::new(text);
        match self.scan.walk(plan, &mut reader, &mut self.texts.scratch, self.limits) {
            Ok(()) => {}
            Err(Stop::TooMany) => return Err(Reject::whole(RejectReason::TooManyValues)),
            Err(Stop::Json(fault)) => {
                let at = reader.position();
                let context = text.get(text.floor_char_boundary(at)..).unwrap_or("");
                return Err(Reject::at(fault.reason(), format!("byte {at}"), 0).found(context));
            }
        }
        let mut assembly = Assembly {
            document: Document { plan, scan: &self.scan, payload: text, captures },
            rules,
            mapping: *mapping,
            decoded: &mut self.decoded,
            devices: &mut self.devices,
            of_topic: devices,
            texts: &mut self.texts,
            limits: self.limits,
        };
        if assembly.all() { Ok(()) } else { Err(Reject::whole(RejectReason::TooManyValues)) }
    }

    fn neuron(&mut self, known: u32, payload: &[u8]) {
        let KnownTopic { mapping, captures, devices } = &mut self.known[known as usize];
        let Form::Neuron(rule) = &self.mappings[*mapping as usize].form else { return };
        self.neuron.decode(payload);
        let tags = Tags {
            rule,
            mapping: *mapping,
            captures,
            devices: &mut self.devices,
            of_topic: &mut devices[0],
            word: &mut self.texts.word,
        };
        tags.take(&mut self.neuron, &mut self.decoded);
    }

    /// What the last call found.
    pub fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// Device of an item's index. The table only grows, to at most [`DEVICES_MAX`].
    ///
    /// # Panics
    /// If the index is not of one of this decoder's items.
    pub fn device(&self, index: u32) -> &DeviceTopic {
        self.devices.get(index)
    }

    /// Devices in the table.
    pub fn devices_len(&self) -> usize {
        self.devices.len()
    }
}

#[cfg(test)]
mod tests;
