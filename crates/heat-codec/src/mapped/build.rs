//! The rule of one kind of item, from its keys.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{Lane, Quality, unit::conversion};

use super::{
    check::{CHECKS, Shared, one_meaning},
    plan::{At, DOCUMENT, Plan, SLOTS_MAX, Source},
    raw::{Format, OneOrMany, RawItem, RawLane, RawName, RawQuality, RawTall, RawTime, RawValue, Word},
    rule::{
        Column, LaneRule, Meaning, Named, Names, Piece, QualityRule, Rule, Speaker, Tall, Template, TimeRule,
        Unknown, Words,
    },
};
use crate::mapping::{Absent, Faults, TimeFormat};

/// Builds the rule of one kind of item.
pub(super) struct Builder<'b, 'a> {
    /// Before the keys of its faults.
    pub(super) key: String,
    pub(super) shared: &'b Shared<'a>,
    pub(super) plan: &'b mut Plan,
    pub(super) faults: &'b mut Faults,
}

impl Builder<'_, '_> {
    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(format!("{}{key}", self.key), problem);
    }

    fn keep<T>(&mut self, key: &str, found: Result<T, String>) -> Option<T> {
        found.map_err(|problem| self.fault(key, problem)).ok()
    }

    /// `top` has what the item leaves out.
    pub(super) fn rule(&mut self, item: &RawItem, top: &RawItem) -> Option<Rule> {
        let level = self.each(item)?;
        let speaker = self.speaker(level, item, top);
        let time = item.time.as_ref().or(top.time.as_ref()).and_then(|raw| self.time(level, raw));
        let seq = self.optional_source(level, "seq", item.seq.as_ref().or(top.seq.as_ref()));
        let boot = self.optional_source(level, "boot", item.boot.as_ref().or(top.boot.as_ref()));
        let lane = self.lane(level, item.lane.as_ref().or(top.lane.as_ref()));
        let columns = self.columns(level, &item.values);
        let tall = item.tall.as_ref().and_then(|raw| self.tall(level, raw, item, time.as_ref()));
        match &item.tall {
            None if item.values.is_empty() => {
                self.fault("values", "it is missing: list [[values]], or say how [tall] entries name theirs");
            }
            None if !item.names.is_empty() => self.fault("names", "it is for [tall], which is not there"),
            None if item.unknown.is_some() => self.fault("unknown", "it is for [tall], which is not there"),
            _ => {}
        }
        if time.as_ref().is_some_and(|time| time.source.is_none())
            && item.tall.as_ref().is_none_or(|tall| tall.time.is_none())
        {
            self.fault("time.pointer", "it is missing: say where the time is");
        }
        let units = self.shared.units.clone();
        Some(Rule { level, speaker, time, seq, boot, lane, columns, tall, units })
    }

    fn each(&mut self, item: &RawItem) -> Option<u32> {
        let mut level = DOCUMENT;
        for pointer in item.each.as_ref().map(OneOrMany::as_slice).unwrap_or_default() {
            let found = self.plan.each(level, pointer, item.optional.unwrap_or(false));
            level = self.keep("each", found)?;
        }
        Some(level)
    }

    pub(super) fn speaker(&mut self, level: u32, item: &RawItem, top: &RawItem) -> Speaker {
        let templates = [
            (0, "network", item.network.as_ref().or(top.network.as_ref())),
            (1, "site", item.site.as_ref().or(top.site.as_ref())),
            (2, "device", item.device.as_ref().or(top.device.as_ref())),
        ];
        let templates = templates.map(|(part, key, text)| {
            let Some(text) = text else {
                self.fault(key, "it is missing: a constant, or a {capture} of topic or payload");
                return Template(Vec::new());
            };
            let template = self.template(level, key, text);
            if let [Piece::Text(constant)] = &*template.0
                && !self.shared.ids[part].contains_key(&**constant)
                && let Err(fault) = CHECKS[part](constant)
            {
                self.fault(key, fault.to_string());
            }
            template
        });
        let is_of_topic = templates.iter().all(Template::is_of_topic);
        Speaker { templates, ids: self.shared.ids.clone(), is_of_topic }
    }

    fn template(&mut self, level: u32, key: &str, text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let Some((name, behind)) = behind.split_once('}') else {
                self.fault(key, format!("{text:?}: a {{ without }}"));
                return Template(pieces);
            };
            let piece = self.piece(level, name);
            pieces.extend(self.keep(key, piece));
            rest = behind;
        }
        if !rest.is_empty() || text.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Template(pieces)
    }

    fn piece(&mut self, level: u32, name: &str) -> Result<Piece, String> {
        let is_word = !name.is_empty() && !name.starts_with(['/', '^']) && name != "key";
        let capture = match self.shared.pattern {
            Some(pattern) => pattern.capture(name),
            None => is_word.then_some(0),
        };
        if let Some(capture) = capture {
            return Ok(Piece::Topic(capture));
        }
        match (self.shared.format, name) {
            (Format::Neuron, "node") => Ok(Piece::Node),
            (Format::Neuron, "group") => Ok(Piece::Group),
            (Format::Neuron, _) => {
                Err(format!("{{{name}}} is neither a capture of the topic nor {{node}} or {{group}}"))
            }
            (Format::Json, _) if name.trim_start_matches('^') == "key" => {
                self.plan.key(level, name).map(Piece::Payload)
            }
            (Format::Json, _) if !is_word => self.plan.source(level, name).map(Piece::Payload),
            (Format::Json, _) => {
                Err(format!("{{{name}}} is neither a capture of the topic, nor a /pointer, nor {{key}}"))
            }
        }
    }

    fn source(&mut self, level: u32, key: &str, pointer: &str) -> Option<Source> {
        let found = self.plan.source(level, pointer);
        self.keep(key, found)
    }

    fn optional_source(&mut self, level: u32, key: &str, pointer: Option<&String>) -> Option<Source> {
        pointer.and_then(|pointer| self.source(level, key, pointer))
    }

    fn time(&mut self, level: u32, raw: &RawTime) -> Option<TimeRule> {
        let source = self.optional_source(level, "time.pointer", raw.pointer.as_ref());
        match TimeFormat::new(&raw.format, raw.zone.as_deref()) {
            Ok(format) => Some(TimeRule { source, format, optional: raw.optional }),
            Err((part, problem)) => {
                self.fault(&format!("time.{part}"), problem);
                None
            }
        }
    }

    fn lane(&mut self, level: u32, raw: Option<&RawLane>) -> LaneRule {
        match raw {
            None => LaneRule::Undeclared,
            Some(RawLane::Always(lane)) => LaneRule::Always(*lane),
            Some(RawLane::Said(raw)) => {
                let lists = [("live", &raw.live, Lane::Live), ("backfill", &raw.backfill, Lane::Backfill)];
                let words = self.words("lane", lists);
                match self.source(level, "lane.pointer", &raw.pointer) {
                    Some(source) => LaneRule::Said(source, words),
                    None => LaneRule::Undeclared,
                }
            }
        }
    }

    fn words<T: Copy, const N: usize>(&mut self, key: &str, lists: [(&str, &Vec<Word>, T); N]) -> Words<T> {
        let mut words: Words<T> = Vec::new();
        for (list, given, meaning) in lists {
            for word in given {
                let text = word.text();
                if words.iter().any(|(known, _)| **known == *text) {
                    self.fault(&format!("{key}.{list}"), format!("{text:?} is there twice"));
                }
                words.push((text.into(), meaning));
            }
        }
        if words.is_empty() {
            self.fault(key, "it has no words: list what the payload says");
        }
        words
    }

    fn quality(&mut self, level: u32, key: &str, raw: &RawQuality) -> Option<QualityRule> {
        let words = self.words(
            key,
            [
                ("good", &raw.good, Quality::Good),
                ("uncertain", &raw.uncertain, Quality::Uncertain),
                ("bad", &raw.bad, Quality::Bad),
            ],
        );
        let source = self.source(level, &format!("{key}.pointer"), &raw.pointer)?;
        Some(QualityRule { source, words, optional: raw.optional })
    }

    fn columns(&mut self, level: u32, values: &[RawValue]) -> Vec<Column> {
        let mut names = BTreeSet::new();
        let mut columns = Vec::new();
        if values.len() > SLOTS_MAX {
            self.fault("values", format!("more than {SLOTS_MAX} values"));
        }
        for (at, raw) in values.iter().take(SLOTS_MAX).enumerate() {
            let key = format!("values[{at}]");
            if !names.insert(&raw.name) {
                self.fault(&format!("{key}.name"), "another value has this name");
            }
            let quality =
                raw.quality.as_ref().and_then(|raw| self.quality(level, &format!("{key}.quality"), raw));
            let meaning = self.meaning(
                &format!("{key}."),
                raw.number_as_text,
                [&raw.missing, &raw.nulls],
                raw.sentinels.as_ref(),
                &raw.words,
            );
            self.signal(&key, &raw.name, raw.unit.as_deref());
            let found = self.plan.source(level, &raw.pointer).and_then(own_slot);
            let Some((slot, pointer)) = self.keep(&format!("{key}.pointer"), found) else { continue };
            let column = column(slot, pointer, &raw.name, raw.unit.as_deref());
            columns.push(Column { optional: raw.optional, meaning, quality, ..column });
        }
        columns
    }

    /// Name and unit must go together.
    fn signal(&mut self, key: &str, name: &str, unit: Option<&str>) {
        if let Err((part, problem)) = check_signal(name, unit) {
            self.fault(&format!("{key}.{part}"), problem);
        }
    }

    fn meaning(
        &mut self,
        key: &str,
        number_as_text: Option<bool>,
        [missing, nulls]: [&Option<Vec<String>>; 2],
        sentinels: Option<&Vec<f64>>,
        words: &BTreeMap<String, f64>,
    ) -> Meaning {
        let default = &self.shared.meaning;
        let absent = Absent {
            missing: missing.as_ref().unwrap_or(&default.absent.missing).clone(),
            nulls: nulls.as_ref().unwrap_or(&default.absent.nulls).clone(),
            sentinels: sentinels.unwrap_or(&default.absent.sentinels).clone(),
        };
        if missing.is_some() || nulls.is_some() {
            one_meaning(&format!("{}{key}", self.key), &absent, self.faults);
        }
        for word in words.keys().filter(|&word| absent.missing.contains(word) || absent.nulls.contains(word))
        {
            self.fault(&format!("{key}words"), format!("{word:?} is in missing or nulls, too"));
        }
        Meaning {
            absent,
            words: words.iter().map(|(word, &number)| (word.as_str().into(), number)).collect(),
            number_as_text: number_as_text.unwrap_or(default.number_as_text),
        }
    }

    fn tall(&mut self, level: u32, raw: &RawTall, item: &RawItem, time: Option<&TimeRule>) -> Option<Tall> {
        let entries = match &raw.each {
            None => level,
            Some(pointer) => {
                let found = self.plan.each(level, pointer, raw.optional);
                self.keep("tall.each", found)?
            }
        };
        let name = self.template(entries, "tall.name", &raw.name);
        let value = self.source(entries, "tall.value", &raw.value);
        let unit = self.optional_source(entries, "tall.unit", raw.unit.as_ref());
        let at = self.optional_source(entries, "tall.time", raw.time.as_ref());
        if at.is_some() && time.is_none() {
            self.fault("time.format", "it is missing: tall.time is written in some format");
        }
        let quality = raw.quality.as_ref().and_then(|raw| self.quality(entries, "tall.quality", raw));
        let names = self.names(item);
        Some(Tall { level: entries, name, value: value?, unit, time: at, quality, names })
    }

    pub(super) fn names(&mut self, item: &RawItem) -> Names {
        let mut known = BTreeMap::new();
        for (from, raw) in &item.names {
            let key = format!("names.{from:?}");
            let named = match raw {
                RawName::Name(name) => {
                    Named { name: name.as_str().into(), unit: None, meaning: self.shared.meaning.clone() }
                }
                RawName::Full(raw) => Named {
                    name: raw.name.as_str().into(),
                    unit: raw.unit.as_deref().map(Into::into),
                    meaning: self.meaning(
                        &format!("{key}."),
                        raw.number_as_text,
                        [&raw.missing, &raw.nulls],
                        raw.sentinels.as_ref(),
                        &raw.words,
                    ),
                },
            };
            let texts = !named.meaning.words.is_empty()
                || named.meaning.number_as_text
                || !named.meaning.absent.missing.is_empty()
                || !named.meaning.absent.nulls.is_empty();
            if self.shared.format == Format::Neuron && texts {
                self.fault(&key, "Neuron's text values are rejected: only sentinels can be given");
            }
            self.signal(&key, &named.name, named.unit.as_deref());
            known.insert(from.clone(), named);
        }
        let unknown = item.unknown.unwrap_or_default();
        if unknown != Unknown::Take && known.is_empty() {
            self.fault("unknown", "no name is known: list [names], or take them");
        }
        Names { known, unknown, meaning: self.shared.meaning.clone() }
    }
}

/// Name and unit must be an id and go together; the fault names the part that is wrong.
pub(super) fn check_signal(name: &str, unit: Option<&str>) -> Result<(), (&'static str, String)> {
    heat_model::SignalName::new(name).map_err(|fault| ("name", fault.to_string()))?;
    conversion(name, unit).map(drop).map_err(|fault| ("unit", fault.explain(name, unit.unwrap_or(""))))
}

/// A value's slot, which must be its own element's.
pub(super) fn own_slot(source: Source) -> Result<(u32, Box<str>), String> {
    match source {
        Source { up: 0, at: At::Slot(slot), pointer } => Ok((slot, pointer)),
        _ => Err("a value is its element's own: take it up in [[items]] without this `each`".to_owned()),
    }
}

/// A value that must be there and says nothing but its number.
pub(super) fn column(slot: u32, pointer: Box<str>, name: &str, unit: Option<&str>) -> Column {
    let text = format!("{name}{}", unit.unwrap_or(""));
    Column {
        slot,
        text: text.into(),
        name_len: u32::try_from(name.len()).unwrap_or(u32::MAX),
        has_unit: unit.is_some(),
        pointer,
        optional: false,
        meaning: Meaning::default(),
        quality: None,
    }
}
