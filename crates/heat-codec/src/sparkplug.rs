//! Sparkplug B (specification 3.0): payloads of edge nodes, and the state without which they mean nothing.
//!
//! ```text
//! spBv1.0/{group}/{NBIRTH|NDEATH|NDATA}/{node}             a node and its own metrics
//! spBv1.0/{group}/{DBIRTH|DDEATH|DDATA}/{node}/{device}    a device of it
//! spBv1.0/{group}/{NCMD|DCMD}/..., spBv1.0/STATE/{host}    said by hosts: passed over and counted
//! ```
//!
//! Payloads are protobuf, `schemas/sparkplug_b.proto`. A birth names each metric with data type, alias, unit and value;
//! data carry aliases and values only. So this decoder keeps, per node, what its births said:
//!
//! - Data whose birth was not seen are rejected as `not_born`, an alias that no birth announced as `unknown_alias`. A gap
//!   in the node's count (0..255 since its birth) may have swallowed a birth, after which old aliases name other
//!   metrics: from a gap to the next birth data are rejected, too. Each of these asks the node for a rebirth
//!   ([`Sparkplug::take_rebirths`]), with a cool-down. Births name all that they say, so their readings always count.
//!   (If as many messages were lost with the birth as make the counts fit, one case in 256, nobody can tell.)
//! - A death ends the connection that its `bdSeq` names. A birth that its death or a later birth overtook does not
//!   revive the node; the birth or death of a device that overtook the node's birth takes its place behind it.
//! - A message that comes again (the same bytes) gives its readings again, for the first copy may not be durable yet;
//!   repeats fall behind the log, by what a reading is.
//!
//! # Readings
//! `network/site/device/name` come from the topic by templates ([`RawSparkplug`]) and from the metric's name
//! ([`signal_name`]: `/` becomes `.`) or a table. The unit is that of the settings, else of the property `engUnit` or
//! `Units`. Properties, like values, are sent on change: unit and quality hold until a live metric states another.
//! A metric's time is its own, else the payload's. `is_historical` makes the value `backfill`; `is_null` is a bad value.
//! Numbers are taken exactly or rejected (`number_out_of_range`); texts, data sets, templates, arrays are
//! `unsupported_data_type`. `bdSeq`, `Node Control/...` and `Device Control/...` are protocol, not readings.
//!
//! The node's state is itself a fact: a birth gives the reading [`ONLINE`] = 1 of the node's or device's own id, a death
//! 0. The death of a node gives 0 for each of its devices as well, untimed, because its will is older than its death.
//!
//! # Bounds
//! [`NODES_MAX`] nodes, [`DEVICES_MAX`] devices (nodes included), [`METRICS_MAX`] metrics over all of them, 64 waiting
//! messages a node. What goes beyond is rejected as `too_many_devices`, or not kept and counted
//! ([`SparkplugCounts::metrics_not_kept`]).
//!
//! All messages of a node must come to one decoder, in the order in which they were received: no shared subscription.

mod address;
mod metrics;
mod names;
mod node;
mod number;
mod rebirth;
mod session;
mod settings;
mod wire;

pub use address::{FILTER, PREFIX, state_payload, state_topic};
pub use names::{ONLINE, metric_name, signal_name};
pub use rebirth::Rebirth;
pub use settings::{RawSparkplug, SparkplugSettings};

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use heat_model::IngestTime;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    decoded::{Decoded, Limits},
    reject::{Reject, RejectReason},
    topic::DeviceTopic,
};
use address::Address;
use metrics::{Items, Metrics, Slots};
use node::{Message, Node};
use wire::{Wire, WireFault};

/// Most nodes whose state is kept.
pub const NODES_MAX: usize = 16_384;
/// Most devices, nodes included, that speak for themselves.
pub const DEVICES_MAX: usize = 65_536;
/// Most metrics of all births that are kept; about 250 bytes each.
pub const METRICS_MAX: usize = 1_000_000;

/// What was seen since the start; each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SparkplugCounts {
    /// Births of nodes that count.
    pub node_births: u64,
    /// Births of devices that count.
    pub device_births: u64,
    /// Deaths of nodes.
    pub node_deaths: u64,
    /// Deaths of devices, those by their node's death not included.
    pub device_deaths: u64,
    /// Births that their death or a later birth overtook.
    pub late_births: u64,
    /// Deaths of connections that do not live.
    pub stale_deaths: u64,
    /// Data that were published before the birth that counts.
    pub late_data: u64,
    /// Messages that came again.
    pub repeats: u64,
    /// Gaps in a node's count: at least one message was lost each time, before it came to us.
    pub gaps: u64,
    /// Requests for a rebirth.
    pub rebirths_asked: u64,
    /// Occasions for a request that fell into the cool-down.
    pub rebirths_held_back: u64,
    /// Messages that no node said: commands, states of hosts.
    pub messages_ignored: u64,
    /// Values of metrics that the settings pass over.
    pub metrics_ignored: u64,
    /// Metrics beyond [`METRICS_MAX`]: their data are rejected as `unknown_alias`.
    pub metrics_not_kept: u64,
}

impl SparkplugCounts {
    /// All counts with their words for metrics.
    pub const fn by_word(&self) -> [(&'static str, u64); 14] {
        [
            ("node_birth", self.node_births),
            ("device_birth", self.device_births),
            ("node_death", self.node_deaths),
            ("device_death", self.device_deaths),
            ("late_birth", self.late_births),
            ("stale_death", self.stale_deaths),
            ("late_data", self.late_data),
            ("repeat", self.repeats),
            ("gap", self.gaps),
            ("rebirth_asked", self.rebirths_asked),
            ("rebirth_held_back", self.rebirths_held_back),
            ("message_ignored", self.messages_ignored),
            ("metric_ignored", self.metrics_ignored),
            ("metric_not_kept", self.metrics_not_kept),
        ]
    }
}

/// Follows the state of all nodes, and decodes what they say.
#[derive(Debug)]
pub struct Sparkplug {
    limits: Limits,
    wire: Wire,
    nodes: HashMap<NodeKey, Node, FixedState>,
    shared: Shared,
}

impl Sparkplug {
    /// No node is known yet.
    pub fn new(settings: SparkplugSettings, limits: Limits) -> Self {
        Self {
            limits,
            wire: Wire::default(),
            nodes: HashMap::default(),
            shared: Shared {
                settings,
                decoded: Decoded::default(),
                slots: Slots::default(),
                serial: 0,
                counts: SparkplugCounts::default(),
                rebirths: Vec::new(),
                devices: Vec::new(),
                by_topic: HashMap::default(),
                metrics_len: 0,
            },
        }
    }

    /// Whether a topic is of Sparkplug B.
    pub fn is_topic(topic: &str) -> bool {
        topic.starts_with(PREFIX)
    }

    /// Takes one message. What it returns holds until the next call; every item has a device, see [`Self::device`].
    ///
    /// A message may come to neither an item nor a reject: those that no node said, and those of protocol only.
    pub fn take(&mut self, topic: &str, payload: &[u8], received: IngestTime) -> &Decoded {
        self.shared.decoded.clear();
        if let Err(reject) = self.message(topic, payload, received) {
            self.shared.decoded.reject_whole(reject);
        }
        &self.shared.decoded
    }

    /// Whom a message of this topic speaks for: the node, or the one of its devices that the topic names. `None` where
    /// no node speaks, or where no ids come of the names; [`Self::take`] says so then.
    pub fn speaker(&self, topic: &str) -> Option<DeviceTopic> {
        let Address { group, node, device, .. } = Address::parse(topic).ok()??;
        self.shared.settings.identity(group, node, device).ok()
    }

    /// What the last call found.
    pub fn decoded(&self) -> &Decoded {
        &self.shared.decoded
    }

    /// Device of an item's index. The table only grows.
    ///
    /// # Panics
    /// If the index is not one of this decoder's items.
    pub fn device(&self, index: u32) -> &DeviceTopic {
        &self.shared.devices[index as usize]
    }

    /// Devices in the table.
    pub fn devices_len(&self) -> usize {
        self.shared.devices.len()
    }

    /// Nodes whose state is kept.
    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// Metrics that are kept of births.
    pub fn metrics_len(&self) -> usize {
        self.shared.metrics_len
    }

    /// Requests for rebirth that the last messages call for; each to be sent once.
    pub fn take_rebirths(&mut self) -> Vec<Rebirth> {
        std::mem::take(&mut self.shared.rebirths)
    }

    /// What was seen since the start.
    pub fn counts(&self) -> SparkplugCounts {
        self.shared.counts
    }

    fn message(&mut self, topic: &str, payload: &[u8], received: IngestTime) -> Result<(), Reject> {
        let found = |reason| Reject::whole(reason).found(topic);
        let Some(address) = Address::parse(topic).map_err(found)? else {
            self.shared.counts.messages_ignored += 1;
            return Ok(());
        };
        if payload.is_empty() {
            return Err(Reject::whole(RejectReason::Empty));
        }
        if payload.len() > self.limits.payload_max_bytes {
            return Err(Reject::whole(RejectReason::TooLarge));
        }
        self.wire.read(payload, self.limits.values_max).map_err(|fault| match fault {
            WireFault::Broken(at) => Reject::at(RejectReason::BadSparkplug, format!("byte {at}"), 0),
            WireFault::TooMany => Reject::whole(RejectReason::TooManyValues),
        })?;
        let Address { group, node, device, kind } = address;
        let hash = xxh3_64_with_seed(payload, xxh3_64(topic.as_bytes()));
        let message = Message { kind, device, wire: &self.wire, payload, hash, received };
        let known = self.nodes.get_mut(&NodeName { group, node });
        let node = match known {
            Some(node) => node,
            None => {
                if self.nodes.len() >= NODES_MAX {
                    return Err(found(RejectReason::TooManyDevices));
                }
                let index = self.shared.identity(group, node, None).map_err(found)?;
                let new = Node::new(group, node, index, &self.shared);
                let key = NodeKey { group: group.into(), node: node.into() };
                self.nodes.entry(key).or_insert(new)
            }
        };
        node.take(&message, &mut self.shared)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NodeKey {
    group: Box<str>,
    node: Box<str>,
}

/// A [`NodeKey`] that is not owned.
#[derive(Debug, Hash)]
struct NodeName<'a> {
    group: &'a str,
    node: &'a str,
}

impl Equivalent<NodeKey> for NodeName<'_> {
    fn equivalent(&self, key: &NodeKey) -> bool {
        *self.group == *key.group && *self.node == *key.node
    }
}

/// What all nodes have in common.
#[derive(Debug)]
struct Shared {
    settings: SparkplugSettings,
    decoded: Decoded,
    /// Scratch: where the metrics of the payload are among the known ones.
    slots: Slots,
    serial: u64,
    counts: SparkplugCounts,
    rebirths: Vec<Rebirth>,
    devices: Vec<DeviceTopic>,
    by_topic: HashMap<DeviceTopic, u32, FixedState>,
    metrics_len: usize,
}

impl Shared {
    /// Index of a device in the table. Nodes that speak for the same device, as a spare does, share one.
    fn identity(&mut self, group: &str, node: &str, device: Option<&str>) -> Result<u32, RejectReason> {
        let topic = self.settings.identity(group, node, device)?;
        if let Some(&index) = self.by_topic.get(&topic) {
            return Ok(index);
        }
        if self.devices.len() >= DEVICES_MAX {
            return Err(RejectReason::TooManyDevices);
        }
        let index = u32::try_from(self.devices.len()).map_err(|_| RejectReason::TooManyDevices)?;
        self.devices.push(topic.clone());
        self.by_topic.insert(topic, index);
        Ok(index)
    }

    /// Counts metrics that are kept; none of a birth is if they go beyond the bound.
    fn keep(&mut self, metrics: Metrics) -> Metrics {
        if self.metrics_len + metrics.len() > METRICS_MAX {
            self.counts.metrics_not_kept += metrics.len() as u64;
            return Metrics::default();
        }
        self.metrics_len += metrics.len();
        metrics
    }

    fn items(&mut self, device: u32) -> Items<'_> {
        Items {
            out: &mut self.decoded,
            device,
            serial: &mut self.serial,
            ignored: &mut self.counts.metrics_ignored,
        }
    }

    /// Requests that nobody takes are at most one a node.
    fn rebirth(&mut self, command: impl FnOnce() -> Rebirth) {
        if self.rebirths.len() < NODES_MAX {
            self.counts.rebirths_asked += 1;
            self.rebirths.push(command());
        } else {
            self.counts.rebirths_held_back += 1;
        }
    }
}

/// Generated from `schemas/sparkplug_b.proto`: what the tests speak with.
#[cfg(test)]
#[expect(unreachable_pub, clippy::all, reason = "generated from the schema")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/heatstream.sparkplug.v1.rs"));
}

#[cfg(test)]
mod tests;
