//! From the mapping as written to the checked one.

use std::collections::BTreeMap;

use heat_model::{DeviceId, InvalidId, NetworkId, SiteId};

use super::{
    Form, JsonMapping,
    build::Builder,
    pattern::Pattern,
    plan::{DOCUMENT, Plan},
    raw::{Format, RawItem, RawLane, RawMapping},
    rule::{Meaning, NeuronRule, Words},
};
use crate::mapping::{Absent, Faults, MappingFault, toml_of};

/// Most kinds of items of one mapping file.
const ITEMS_MAX: usize = 256;

pub(super) fn parse(text: &str) -> Result<JsonMapping, Vec<MappingFault>> {
    let raw: RawMapping = toml_of(text)?;
    let mut faults = Faults::default();
    let pattern = Pattern::parse(&raw.topic).map_err(|problem| faults.push("topic", problem)).ok();
    let form = match raw.format {
        Format::Json => json(raw, pattern.as_ref(), &mut faults),
        Format::Neuron => neuron(raw, pattern.as_ref(), &mut faults),
    };
    match pattern {
        Some(pattern) if faults.0.is_empty() => Ok(JsonMapping { pattern, form }),
        _ => Err(faults.0),
    }
}

/// What holds for all items of a mapping.
pub(super) struct Shared<'a> {
    /// `None`: it is faulty, and what it captures is unknown.
    pub(super) pattern: Option<&'a Pattern>,
    pub(super) format: Format,
    pub(super) ids: [BTreeMap<String, String>; 3],
    pub(super) units: BTreeMap<String, String>,
    pub(super) meaning: Meaning,
}

impl<'a> Shared<'a> {
    fn new(raw: &RawMapping, pattern: Option<&'a Pattern>, faults: &mut Faults) -> Self {
        let meaning = Meaning {
            absent: Absent {
                missing: raw.missing.clone().unwrap_or_default(),
                nulls: raw.nulls.clone().unwrap_or_default(),
                sentinels: raw.sentinels.clone().unwrap_or_default(),
            },
            words: Words::new(),
            number_as_text: raw.number_as_text.unwrap_or(false),
        };
        one_meaning("", &meaning.absent, faults);
        let ids = [raw.network_ids.clone(), raw.site_ids.clone(), raw.device_ids.clone()];
        for ((key, table), check) in
            ["network_ids", "site_ids", "device_ids"].into_iter().zip(&ids).zip(CHECKS)
        {
            for (from, to) in table {
                if let Err(fault) = check(to) {
                    faults.push(format!("{key}.{from:?}"), fault.to_string());
                }
            }
        }
        Self { pattern, format: raw.format, ids, units: raw.units.clone(), meaning }
    }
}

type Check = fn(&str) -> Result<(), InvalidId>;

/// Whether a text is the id of a network, a site, a device.
pub(super) const CHECKS: [Check; 3] = [
    |text| NetworkId::new(text).map(drop),
    |text| SiteId::new(text).map(drop),
    |text| DeviceId::new(text).map(drop),
];

fn json(mut raw: RawMapping, pattern: Option<&Pattern>, faults: &mut Faults) -> Form {
    let shared = Shared::new(&raw, pattern, faults);
    let top = RawItem {
        each: raw.each.take(),
        optional: raw.optional,
        network: raw.network.take(),
        site: raw.site.take(),
        device: raw.device.take(),
        time: raw.time.take(),
        seq: raw.seq.take(),
        boot: raw.boot.take(),
        lane: raw.lane.take(),
        values: std::mem::take(&mut raw.values),
        tall: raw.tall.take(),
        names: std::mem::take(&mut raw.names),
        unknown: raw.unknown,
    };
    let mut plan = Plan::new();
    let mut rules = Vec::new();
    if raw.items.is_empty() {
        rules.extend(
            Builder { key: String::new(), shared: &shared, plan: &mut plan, faults }.rule(&top, &top),
        );
    } else {
        for (key, given) in [
            ("each", top.each.is_some()),
            ("optional", top.optional.is_some()),
            ("values", !top.values.is_empty()),
            ("tall", top.tall.is_some()),
            ("names", !top.names.is_empty()),
            ("unknown", top.unknown.is_some()),
        ] {
            if given {
                faults.push(key, "it belongs into [[items]], which this mapping has");
            }
        }
        if raw.items.len() > ITEMS_MAX {
            faults.push("items", format!("more than {ITEMS_MAX} kinds of items"));
        }
        for (at, item) in raw.items.iter().take(ITEMS_MAX).enumerate() {
            let key = format!("items[{at}].");
            rules.extend(Builder { key, shared: &shared, plan: &mut plan, faults }.rule(item, &top));
        }
    }
    Form::Json { plan, rules }
}

fn neuron(raw: RawMapping, pattern: Option<&Pattern>, faults: &mut Faults) -> Form {
    for (key, given) in [
        ("each", raw.each.is_some()),
        ("optional", raw.optional.is_some()),
        ("time", raw.time.is_some()),
        ("seq", raw.seq.is_some()),
        ("boot", raw.boot.is_some()),
        ("values", !raw.values.is_empty()),
        ("tall", raw.tall.is_some()),
        ("items", !raw.items.is_empty()),
        ("units", !raw.units.is_empty()),
        ("number_as_text", raw.number_as_text.is_some()),
        ("missing", raw.missing.is_some()),
        ("nulls", raw.nulls.is_some()),
    ] {
        if given {
            faults.push(key, "Neuron's payloads have a form of their own: leave it out");
        }
    }
    let shared = Shared::new(&raw, pattern, faults);
    let mut plan = Plan::new();
    let mut builder = Builder { key: String::new(), shared: &shared, plan: &mut plan, faults };
    let top = RawItem {
        network: raw.network,
        site: raw.site,
        device: raw.device,
        lane: raw.lane,
        names: raw.names,
        unknown: raw.unknown,
        ..RawItem::default()
    };
    let speaker = builder.speaker(DOCUMENT, &top, &top);
    let names = builder.names(&top);
    let lane = match &top.lane {
        None => None,
        Some(RawLane::Always(lane)) => Some(*lane),
        Some(RawLane::Said(_)) => {
            builder.fault("lane", "Neuron's payloads have none: it can be \"live\" or \"backfill\"");
            None
        }
    };
    Form::Neuron(Box::new(NeuronRule { speaker, names, lane }))
}

pub(super) fn one_meaning(key: &str, absent: &Absent, faults: &mut Faults) {
    if let Some(both) = absent.missing.iter().find(|text| absent.nulls.contains(text)) {
        faults.push(format!("{key}nulls"), format!("{both:?} is in missing too: it can mean one thing only"));
    }
}
