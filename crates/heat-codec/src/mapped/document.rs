//! A payload that was walked over: looking scalars up, and naming places.

use super::{
    plan::{At, DOCUMENT, Plan, Source},
    rule::{Piece, Template},
    scan::{Element, Found, Scan, Slot},
};
use crate::{
    json::Reader,
    reject::{Reject, RejectReason, push_number, push_pointer},
};

/// Why an item or a value is not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: RejectReason,
    pub(super) place: String,
    pub(super) detail: String,
}

impl Refused {
    pub(super) fn into_reject(self, readings: u32) -> Reject {
        Reject::at(self.reason, self.place, readings).found(&self.detail)
    }
}

/// One payload beside what was found in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) plan: &'a Plan,
    pub(super) scan: &'a Scan,
    pub(super) payload: &'a str,
    /// What the topic's captures hold.
    pub(super) captures: &'a [Box<str>],
}

impl<'a> Document<'a> {
    pub(super) fn element(&self, at: u32) -> &'a Element {
        &self.scan.elements[at as usize]
    }

    fn ancestor(&self, at: u32, up: u32) -> u32 {
        (0..up).fold(at, |at, _| self.element(at).parent)
    }

    /// The slot of a scalar, as seen from an element; `None` for a key.
    #[inline]
    pub(super) fn slot(&self, at: u32, source: &Source) -> Option<&'a Slot> {
        match source.at {
            At::Slot(slot) => Some(self.scan.slot(self.element(self.ancestor(at, source.up)), slot)),
            At::Key => None,
        }
    }

    /// The payload's text of a slot.
    pub(super) fn written(&self, slot: &Slot) -> &'a str {
        self.payload.get(slot.start as usize..slot.end as usize).unwrap_or("")
    }

    /// The scalar as text: a text's content, else what the payload writes.
    #[inline]
    pub(super) fn text<'s>(&self, slot: &Slot, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        let written = self.written(slot);
        if slot.found != Found::Text {
            return written;
        }
        match written.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) if !text.contains('\\') => text,
            _ => Reader::new(written).text(scratch).expect("the walk has read it as a text"),
        }
    }

    /// The text of an id or word: a text or number of the payload, or a key.
    fn push_word(
        &self,
        at: u32,
        source: &Source,
        out: &mut String,
        scratch: &mut String,
    ) -> Result<(), Refused> {
        let Some(slot) = self.slot(at, source) else {
            self.push_key(self.ancestor(at, source.up), out);
            return Ok(());
        };
        let reason = match slot.found {
            Found::Text | Found::Number => {
                out.push_str(self.text(slot, scratch));
                return Ok(());
            }
            other @ (Found::Nothing | Found::Null | Found::Bool(_) | Found::Composite | Found::Faulty(_)) => {
                fault_of(other)
            }
        };
        Err(self.refused(reason, at, source))
    }

    /// Appends a template's text.
    pub(super) fn fill(
        &self,
        at: u32,
        template: &Template,
        out: &mut String,
        scratch: &mut String,
    ) -> Result<(), Refused> {
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Topic(capture) => out.push_str(self.captures.get(*capture).map_or("", |text| text)),
                Piece::Payload(source) => self.push_word(at, source, out, scratch)?,
                Piece::Node | Piece::Group => debug_assert!(false, "only Neuron's payloads have these"),
            }
        }
        Ok(())
    }

    fn push_key(&self, at: u32, out: &mut String) {
        let element = self.element(at);
        match element.key {
            Some(key) => out.push_str(self.scan.key(key)),
            None => push_number(out, element.index),
        }
    }

    /// Appends the place of an element.
    pub(super) fn push_base(&self, at: u32, out: &mut String) {
        let element = self.element(at);
        if element.level == DOCUMENT {
            return;
        }
        self.push_base(element.parent, out);
        self.push_step(element, out);
    }

    /// Appends the way from the element around it.
    pub(super) fn push_step(&self, element: &Element, out: &mut String) {
        out.push_str(&self.plan.levels[element.level as usize].pointer);
        match element.key {
            Some(key) => push_pointer(out, self.scan.key(key)),
            None => {
                out.push('/');
                push_number(out, element.index);
            }
        }
    }

    /// Place of a scalar, as seen from an element.
    pub(super) fn place(&self, at: u32, source: &Source) -> String {
        let mut place = String::new();
        self.push_base(self.ancestor(at, source.up), &mut place);
        place.push_str(&source.pointer);
        place
    }

    /// The scalar is refused for this reason.
    pub(super) fn refused(&self, reason: RejectReason, at: u32, source: &Source) -> Refused {
        let detail = self.slot(at, source).map_or("", |slot| self.written(slot));
        Refused { reason, place: self.place(at, source), detail: shortened(detail) }
    }
}

/// Why something that is not the wanted scalar is refused.
pub(super) const fn fault_of(found: Found) -> RejectReason {
    match found {
        Found::Nothing => RejectReason::PointerMissing,
        Found::Faulty(reason) => reason,
        Found::Null | Found::Text | Found::Number | Found::Bool(_) | Found::Composite => {
            RejectReason::WrongType
        }
    }
}

pub(super) fn shortened(detail: &str) -> String {
    detail.chars().take(crate::reject::DETAIL_MAX_CHARS).collect()
}
