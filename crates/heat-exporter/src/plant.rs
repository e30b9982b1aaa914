//! Writes plant values as exposition text.
//!
//! A network's values are copied under its table's lock, then written without it. The label text of each signal is kept
//! between scrapes, so a scrape formats one number a series. A metric's series must stand together in the text: each
//! family is written into a buffer of its own, and these are joined.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heat_model::{IngestTime, PartitionId, Quality};
use heat_view::{Current, LiveSettings, LiveTable, SignalEntry};

use crate::{
    families::{Family, Kind},
    metrics::{SIGNAL_AGE, SIGNAL_QUALITY},
};

/// One partition's share of what the exporter knows.
#[derive(Debug)]
pub struct Shard {
    /// The partition.
    pub partition: PartitionId,
    /// Its signals.
    pub table: Mutex<LiveTable>,
    /// When its last heartbeat was appended; when the process started if none came since.
    pub last_heartbeat: Mutex<IngestTime>,
}

/// How a scrape went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Series of plant values written, without age and quality.
    pub series: usize,
    /// Series kept out by the cap.
    pub dropped: usize,
    /// Signals held.
    pub signals: usize,
    /// Whether age and quality were left out.
    pub freshness_omitted: bool,
}

/// Bounds of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextBounds {
    /// Most series of plant values.
    pub series_max: usize,
    /// Signals up to which age and quality are written for each.
    pub freshness_signals_max: usize,
}

/// A signal's text up to its value.
#[derive(Debug)]
struct Prefix {
    entry: Arc<SignalEntry>,
    family: usize,
    text: Box<str>,
    /// Where the labels begin in `text`.
    labels: usize,
}

#[derive(Debug)]
struct FamilyText {
    head: String,
    body: String,
}

/// Writes; keeps label texts and buffers between scrapes.
#[derive(Debug)]
pub struct PlantWriter {
    bounds: TextBounds,
    prefixes: Vec<Vec<Vec<Prefix>>>,
    family_index: BTreeMap<String, usize>,
    families: Vec<FamilyText>,
    values: Vec<Option<Current>>,
    ages: String,
    qualities: String,
}

impl PlantWriter {
    /// Nothing kept yet.
    pub fn new(bounds: TextBounds) -> Self {
        Self {
            bounds,
            prefixes: Vec::new(),
            family_index: BTreeMap::new(),
            families: Vec::new(),
            values: Vec::new(),
            ages: String::new(),
            qualities: String::new(),
        }
    }

    /// Appends the plant values of all shards that are current at `now`.
    pub fn write(&mut self, shards: &[Shard], now: IngestTime, out: &mut String) -> Written {
        let signals = shards.iter().map(|shard| lock(&shard.table).signals()).sum();
        let mut written = Written {
            signals,
            freshness_omitted: signals > self.bounds.freshness_signals_max,
            ..Written::default()
        };
        self.prefixes.resize_with(shards.len(), Vec::new);
        for (index, shard) in shards.iter().enumerate() {
            for network in 0.. {
                // A statement of its own, so that the lock ends with it.
                let copied = self.copy(index, network, &lock(&shard.table));
                let Some(settings) = copied else { break };
                self.write_network(index, network, &settings, now, &mut written);
            }
        }
        self.join(out);
        written
    }

    /// Copies a network's values and renews label texts of slots whose signal changed; none if there is no such network.
    fn copy(&mut self, shard: usize, network: usize, table: &LiveTable) -> Option<LiveSettings> {
        let source = table.networks().nth(network)?;
        self.values.clear();
        self.values.extend_from_slice(source.values());
        let networks = &mut self.prefixes[shard];
        if networks.len() <= network {
            networks.push(Vec::new());
        }
        let prefixes = &mut networks[network];
        prefixes.truncate(source.entries().len());
        for (slot, entry) in source.entries().iter().enumerate() {
            if prefixes.get(slot).is_some_and(|prefix| Arc::ptr_eq(&prefix.entry, entry)) {
                continue;
            }
            let prefix = prefix(entry, &mut self.family_index, &mut self.families);
            match prefixes.get_mut(slot) {
                Some(old) => *old = prefix,
                None => prefixes.push(prefix),
            }
        }
        Some(*table.settings())
    }

    fn write_network(
        &mut self,
        shard: usize,
        network: usize,
        settings: &LiveSettings,
        now: IngestTime,
        written: &mut Written,
    ) {
        for (prefix, current) in self.prefixes[shard][network].iter().zip(&self.values) {
            let Some(current) = current.as_ref().filter(|current| !current.is_expired(now, settings)) else {
                continue;
            };
            if written.series >= self.bounds.series_max {
                written.dropped += 1;
                continue;
            }
            if !written.freshness_omitted {
                let labels = &prefix.text[prefix.labels..];
                let name = prefix.entry.id.name.as_str();
                sample(&mut self.ages, SIGNAL_AGE.name, labels, name, current.age_seconds(now));
                let quality = f64::from(current.quality as u8);
                sample(&mut self.qualities, SIGNAL_QUALITY.name, labels, name, quality);
            }
            if current.quality != Quality::Bad && current.value.is_finite() {
                let body = &mut self.families[prefix.family].body;
                body.push_str(&prefix.text);
                push_number(body, current.value);
                body.push('\n');
                written.series += 1;
            }
        }
    }

    fn join(&mut self, out: &mut String) {
        for &index in self.family_index.values() {
            let family = &mut self.families[index];
            if !family.body.is_empty() {
                out.push_str(&family.head);
                out.push_str(&family.body);
                family.body.clear();
            }
        }
        for (family, body) in [(SIGNAL_AGE, &mut self.ages), (SIGNAL_QUALITY, &mut self.qualities)] {
            if !body.is_empty() {
                out.push_str(&family.head());
                out.push_str(body);
                body.clear();
            }
        }
    }
}

fn prefix(
    entry: &Arc<SignalEntry>,
    index: &mut BTreeMap<String, usize>,
    families: &mut Vec<FamilyText>,
) -> Prefix {
    let family = Family::of(&entry.id.name, &entry.unit);
    let mut text = family.metric.clone();
    let labels = text.len();
    text.push('{');
    label(&mut text, "network", entry.id.network.as_str());
    label(&mut text, "site", entry.id.site.as_str());
    label(&mut text, "device", entry.id.device.as_str());
    if let Some(circuit) = family.circuit {
        label(&mut text, "circuit", circuit);
    }
    if family.generic {
        label(&mut text, "name", entry.id.name.as_str());
        label(&mut text, "unit", &entry.unit);
    }
    text.pop();
    text.push_str("} ");
    let family = match index.entry(family.metric) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(new) => {
            families
                .push(FamilyText { head: head(new.key(), &family.help, family.kind), body: String::new() });
            *new.insert(families.len() - 1)
        }
    };
    Prefix { entry: Arc::clone(entry), family, text: text.into(), labels }
}

/// A sample of a family that every signal has; the signal's name is its further label unless the labels say it.
fn sample(out: &mut String, metric: &str, labels: &str, name: &str, value: f64) {
    out.push_str(metric);
    if labels.contains(",name=\"") {
        out.push_str(labels);
    } else {
        out.push_str(labels.trim_end_matches("} "));
        out.push(',');
        label(out, "name", name);
        out.pop();
        out.push_str("} ");
    }
    push_number(out, value);
    out.push('\n');
}

/// Appends `name="value",`.
pub(crate) fn label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push_str("\",");
}

/// A number as Prometheus reads it; the exponent keeps tiny and huge ones short.
pub(crate) fn push_number(out: &mut String, value: f64) {
    let magnitude = value.abs();
    let written = if magnitude != 0.0 && !(1e-6..1e15).contains(&magnitude) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
    written.expect("writing to a string does not fail");
}

fn head(name: &str, help: &str, kind: Kind) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
