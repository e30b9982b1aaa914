//! From what the walk found to items of values.

use heat_model::{EventTime, Lane, Quality, QualityCode, ids::ID_MAX_BYTES};

use super::{
    devices::{Devices, Stranger},
    document::{Document, Refused, fault_of, shortened},
    plan::{DOCUMENT, Source},
    reading::{Meant, Reading, meant_by},
    rule::{Column, LaneRule, QualityRule, Rule, Speaker, Tall, TimeRule, Words, meaning},
    scan::Found,
};
use crate::{
    decoded::{Decoded, DecodedValue, Item, Limits, Span},
    reject::{Reject, RejectReason},
};

/// Texts that are put together, used again.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) scratch: String,
    /// Network, site and device, or a name.
    pub(super) word: String,
}

/// The items of one payload.
pub(super) struct Assembly<'a> {
    pub(super) document: Document<'a>,
    pub(super) rules: &'a [Rule],
    /// Number of the mapping.
    pub(super) mapping: u32,
    pub(super) decoded: &'a mut Decoded,
    pub(super) devices: &'a mut Devices,
    /// Devices of the rules whose speaker the topic decides, once they are known.
    pub(super) of_topic: &'a mut [Option<u32>],
    pub(super) texts: &'a mut Texts,
    pub(super) limits: Limits,
}

impl Assembly<'_> {
    /// False if the bound on values is passed.
    pub(super) fn all(&mut self) -> bool {
        let document = self.document;
        for (at, element) in (0..).zip(&document.scan.elements) {
            let level = &document.plan.levels[element.level as usize];
            let root = &document.plan.nodes[level.root as usize];
            let is_of_rule = |rule: &&Rule| rule.level == element.level;
            if element.is_scalar && !root.is_leaf() && root.slot.is_none() {
                let mut place = String::new();
                document.push_base(at, &mut place);
                self.decoded.reject(Reject::at(RejectReason::WrongType, place, 0));
                continue;
            }
            for &(inner, optional) in &level.inner {
                self.container(at, inner, optional);
            }
            for (number, rule) in self.rules.iter().enumerate().filter(|(_, rule)| is_of_rule(rule)) {
                self.item(at, number, rule);
                if self.is_full() {
                    return false;
                }
            }
        }
        true
    }

    fn is_full(&self) -> bool {
        self.decoded.values.len() + self.decoded.rejects.len() > self.limits.values_max
    }

    /// An `each` must find an array or an object.
    fn container(&mut self, at: u32, inner: u32, optional: bool) {
        let document = self.document;
        let level = &document.plan.levels[inner as usize];
        let slot = document.scan.slot(document.element(at), level.container);
        let reason = match slot.found {
            Found::Composite => return,
            Found::Nothing | Found::Null if optional => return,
            other @ (Found::Nothing
            | Found::Null
            | Found::Number
            | Found::Bool(_)
            | Found::Text
            | Found::Faulty(_)) => fault_of(other),
        };
        let mut place = String::new();
        document.push_base(at, &mut place);
        place.push_str(&level.pointer);
        self.decoded.reject(Reject::at(reason, place, 0).found(document.written(slot)));
    }

    fn item(&mut self, at: u32, number: usize, rule: &Rule) {
        let mark = self.decoded.mark();
        let base = (rule.level != DOCUMENT).then(|| {
            let start = self.decoded.place_text.len();
            self.document.push_base(at, &mut self.decoded.place_text);
            Span::since(&self.decoded.place_text, start)
        });
        for column in &rule.columns {
            self.column(at, column);
        }
        if let Some(tall) = &rule.tall {
            self.entries(at, rule, tall);
        }
        let end = self.decoded.mark();
        if end.counts() == mark.counts() {
            return;
        }
        match self.header(at, number, rule) {
            Ok(item) => self.decoded.close_item(mark, Item { base, ..item }, mark.text()..end.text()),
            Err(refused) => {
                self.decoded.reject_item(mark, refused.reason, refused.place, &refused.detail);
            }
        }
    }

    fn header(&mut self, at: u32, number: usize, rule: &Rule) -> Result<Item, Refused> {
        let mut item = Item::default();
        if let Some(TimeRule { source: Some(source), optional, .. }) = &rule.time {
            item.time = self.time(at, source, rule)?;
            if item.time.is_none() && !optional {
                return Err(self.document.refused(RejectReason::PointerMissing, at, source));
            }
        }
        if let Some(source) = &rule.seq {
            item.seq = self.seq(at, source)?;
        }
        item.lane = match &rule.lane {
            LaneRule::Undeclared => None,
            LaneRule::Always(lane) => Some(*lane),
            LaneRule::Said(source, words) => self.lane(at, source, words)?,
        };
        item.device = Some(self.device(at, number, &rule.speaker)?);
        if let Some(source) = &rule.boot {
            item.boot = self.boot(at, source)?;
        }
        Ok(item)
    }

    fn time(&mut self, at: u32, source: &Source, rule: &Rule) -> Result<Option<EventTime>, Refused> {
        let Some(slot) = self.document.slot(at, source) else { return Ok(None) };
        let reason = match slot.found {
            Found::Nothing | Found::Null => return Ok(None),
            Found::Text | Found::Number => {
                let format = &rule.time.as_ref().expect("a time has a format: the mapping is checked").format;
                match format.read(self.document.text(slot, &mut self.texts.scratch), None) {
                    Ok(time) => return Ok(Some(time.time)),
                    Err(fault) => fault.reason(),
                }
            }
            other @ (Found::Bool(_) | Found::Composite | Found::Faulty(_)) => fault_of(other),
        };
        Err(self.document.refused(reason, at, source))
    }

    fn seq(&mut self, at: u32, source: &Source) -> Result<Option<u64>, Refused> {
        let Some(slot) = self.document.slot(at, source) else { return Ok(None) };
        let reason = match slot.found {
            Found::Nothing | Found::Null => return Ok(None),
            Found::Text | Found::Number => {
                let text = self.document.text(slot, &mut self.texts.scratch);
                let digits = text.strip_prefix('-').unwrap_or(text);
                match text.parse() {
                    Ok(seq) => return Ok(Some(seq)),
                    Err(_) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                        RejectReason::NumberOutOfRange
                    }
                    Err(_) => RejectReason::WrongType,
                }
            }
            other @ (Found::Bool(_) | Found::Composite | Found::Faulty(_)) => fault_of(other),
        };
        Err(self.document.refused(reason, at, source))
    }

    fn boot(&mut self, at: u32, source: &Source) -> Result<Option<Span>, Refused> {
        let Some(slot) = self.document.slot(at, source) else { return Ok(None) };
        let reason = match slot.found {
            Found::Nothing | Found::Null => return Ok(None),
            Found::Text | Found::Number => {
                let text = self.document.text(slot, &mut self.texts.scratch);
                if is_short(text) {
                    return Ok(Some(self.decoded.push_text(text)));
                }
                RejectReason::InvalidId
            }
            other @ (Found::Bool(_) | Found::Composite | Found::Faulty(_)) => fault_of(other),
        };
        Err(self.document.refused(reason, at, source))
    }

    fn lane(&mut self, at: u32, source: &Source, words: &Words<Lane>) -> Result<Option<Lane>, Refused> {
        match self.word(at, source, words) {
            Ok(lane) => Ok(lane),
            Err(reason) => Err(self.document.refused(reason, at, source)),
        }
    }

    /// What a word means; `None` where the payload has none.
    fn word<T: Copy>(
        &mut self,
        at: u32,
        source: &Source,
        words: &Words<T>,
    ) -> Result<Option<T>, RejectReason> {
        let Some(slot) = self.document.slot(at, source) else { return Ok(None) };
        match slot.found {
            Found::Nothing | Found::Null => Ok(None),
            Found::Text | Found::Number | Found::Bool(_) => {
                let word = self.document.text(slot, &mut self.texts.scratch);
                meaning(words, word).map(Some).ok_or(RejectReason::UnknownWord)
            }
            other @ (Found::Composite | Found::Faulty(_)) => Err(fault_of(other)),
        }
    }

    fn device(&mut self, at: u32, number: usize, speaker: &Speaker) -> Result<u32, Refused> {
        if let Some(device) = self.of_topic[number] {
            return Ok(device);
        }
        let Texts { scratch, word } = &mut *self.texts;
        word.clear();
        let mut ends = [0; 3];
        for (template, end) in speaker.templates.iter().zip(&mut ends) {
            self.document.fill(at, template, word, scratch)?;
            *end = word.len();
        }
        let (network, rest) = word.split_at(ends[0]);
        let (site, device) = rest.split_at(ends[1] - ends[0]);
        match self.devices.index(self.mapping, speaker, [network, site, device]) {
            Ok(index) => {
                if speaker.is_of_topic {
                    self.of_topic[number] = Some(index);
                }
                Ok(index)
            }
            Err(Stranger::Invalid(part, detail)) => {
                let source = speaker.templates[part].source();
                let place = source.map_or_else(String::new, |source| self.document.place(at, source));
                Err(Refused { reason: RejectReason::InvalidId, place, detail: shortened(&detail) })
            }
            Err(Stranger::TooMany) => Err(Refused {
                reason: RejectReason::TooManyDevices,
                place: String::new(),
                detail: shortened(word),
            }),
        }
    }

    #[inline]
    fn column(&mut self, at: u32, column: &Column) {
        let element = self.document.element(at);
        let slot = self.document.scan.slot(element, column.slot);
        let refused = match self.document.reading(slot, &column.meaning, &mut self.texts.scratch) {
            Reading::Absent if column.optional || slot.found != Found::Nothing => return,
            Reading::Absent => RejectReason::PointerMissing,
            Reading::Refused(reason) => reason,
            Reading::Value { raw, quality, code } => {
                let judged = match &column.quality {
                    None => Ok((quality, code)),
                    Some(rule) => self.judge(at, rule, raw, (quality, code)),
                };
                match judged {
                    Ok((quality, code)) => {
                        let (name, unit) = self.decoded.push_text(&column.text).split(column.name_len);
                        let unit = column.has_unit.then_some(unit);
                        let place = Span::push(&mut self.decoded.place_text, &column.pointer);
                        self.decoded.places.push(place);
                        self.decoded.values.push(DecodedValue { name, unit, raw, quality, code, time: None });
                    }
                    Err(refused) => self.decoded.reject(refused.into_reject(1)),
                }
                return;
            }
        };
        let mut place = String::new();
        self.document.push_base(at, &mut place);
        place.push_str(&column.pointer);
        self.decoded.reject(Reject::at(refused, place, 1).found(self.document.written(slot)));
    }

    /// The payload's word stands, unless the value says worse.
    fn judge(
        &mut self,
        at: u32,
        rule: &QualityRule,
        raw: f64,
        (quality, code): (Quality, QualityCode),
    ) -> Result<(Quality, QualityCode), Refused> {
        let said = match self.word(at, &rule.source, &rule.words) {
            Ok(None) if rule.optional => Quality::Good,
            Ok(None) => return Err(self.document.refused(RejectReason::PointerMissing, at, &rule.source)),
            Ok(Some(said)) => said,
            Err(reason) => return Err(self.document.refused(reason, at, &rule.source)),
        };
        debug_assert!(raw.is_finite() || quality == Quality::Bad, "a value without a number is bad");
        Ok(match said {
            _ if quality != Quality::Good => (quality, code),
            Quality::Good => (Quality::Good, QualityCode::None),
            Quality::Uncertain => (Quality::Uncertain, QualityCode::DeviceUncertain),
            Quality::Bad => (Quality::Bad, QualityCode::DeviceBad),
        })
    }

    fn entries(&mut self, at: u32, rule: &Rule, tall: &Tall) {
        if tall.level == rule.level {
            return self.entry(at, at, rule, tall);
        }
        for inner in at + 1..self.document.element(at).end {
            let element = self.document.element(inner);
            if element.level == tall.level && element.parent == at {
                self.entry(at, inner, rule, tall);
            }
        }
    }

    fn entry(&mut self, item: u32, at: u32, rule: &Rule, tall: &Tall) {
        let mark = self.decoded.mark();
        match self.entry_value(at, rule, tall) {
            Ok(None) => self.decoded.forget_text(mark),
            Ok(Some(value)) => {
                let start = self.decoded.place_text.len();
                if item != at {
                    self.document.push_step(self.document.element(at), &mut self.decoded.place_text);
                }
                self.decoded.place_text.push_str(&tall.value.pointer);
                self.decoded.places.push(Span::since(&self.decoded.place_text, start));
                self.decoded.values.push(value);
            }
            Err(refused) => {
                self.decoded.forget_text(mark);
                self.decoded.reject(refused.into_reject(1));
            }
        }
    }

    /// `None` where nothing was reported, or nobody asks.
    fn entry_value(&mut self, at: u32, rule: &Rule, tall: &Tall) -> Result<Option<DecodedValue>, Refused> {
        let Texts { scratch, word } = &mut *self.texts;
        word.clear();
        self.document.fill(at, &tall.name, word, scratch)?;
        let Some(Meant { name, unit: named_unit, how }) =
            meant_by(&tall.names, word).map_err(|reason| Refused {
                reason,
                place: tall.name.source().map_or_else(String::new, |source| self.document.place(at, source)),
                detail: shortened(word),
            })?
        else {
            self.decoded.unknown_fields += 1;
            return Ok(None);
        };
        let name = self.decoded.push_text(name);
        let slot = self.document.slot(at, &tall.value).expect("tall.value is a pointer");
        let (raw, quality, code) = match self.document.reading(slot, how, &mut self.texts.scratch) {
            Reading::Absent if slot.found != Found::Nothing => return Ok(None),
            Reading::Absent => {
                return Err(self.document.refused(RejectReason::PointerMissing, at, &tall.value));
            }
            Reading::Refused(reason) => return Err(self.document.refused(reason, at, &tall.value)),
            Reading::Value { raw, quality, code } => (raw, quality, code),
        };
        let said = tall.unit.as_ref().map_or(Ok(None), |source| self.unit(at, source, rule))?;
        let unit = said.or_else(|| named_unit.map(|unit| self.decoded.push_text(unit)));
        let (quality, code) = match &tall.quality {
            None => (quality, code),
            Some(rule) => self.judge(at, rule, raw, (quality, code))?,
        };
        let time = tall.time.as_ref().map_or(Ok(None), |source| self.time(at, source, rule))?;
        Ok(Some(DecodedValue { name, unit, raw, quality, code, time }))
    }

    fn unit(&mut self, at: u32, source: &Source, rule: &Rule) -> Result<Option<Span>, Refused> {
        let Some(slot) = self.document.slot(at, source) else { return Ok(None) };
        let reason = match slot.found {
            Found::Nothing | Found::Null => return Ok(None),
            Found::Text => {
                let text = self.document.text(slot, &mut self.texts.scratch);
                if is_short(text) {
                    let text = rule.units.get(text).map_or(text, String::as_str);
                    return Ok(Some(self.decoded.push_text(text)));
                }
                RejectReason::InvalidId
            }
            other @ (Found::Number | Found::Bool(_) | Found::Composite | Found::Faulty(_)) => fault_of(other),
        };
        Err(self.document.refused(reason, at, source))
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= ID_MAX_BYTES && !text.chars().any(char::is_control)
}
