//! The walk over a payload: every wanted scalar into its slot, in one pass.

use super::plan::{Node, Plan};
use crate::{
    decoded::{Limits, Span},
    json::{JsonFault, Kind, Number, Reader},
    reject::RejectReason,
};

/// Slots for each value that a payload may have: elements of which most pointers find nothing still fit.
const SLOTS_PER_VALUE: usize = 16;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Null,
    Number,
    Bool(bool),
    Text,
    /// An object or an array.
    Composite,
    /// No number, or there twice.
    Faulty(RejectReason),
}

/// One scalar of the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) found: Found,
    /// Its text in the payload.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The number, if it is one.
    pub(super) number: f64,
}

const EMPTY: Slot = Slot { found: Found::Nothing, start: 0, end: 0, number: 0.0 };

/// The document, or one element of an `each`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub(super) level: u32,
    /// The element around it; its own for the document.
    pub(super) parent: u32,
    /// Behind its last inner element.
    pub(super) end: u32,
    /// Its number within its array or object.
    pub(super) index: u32,
    /// Its key, if it is in an object.
    pub(super) key: Option<Span>,
    /// Its first slot.
    pub(super) slots: u32,
    /// Neither object nor array.
    pub(super) is_scalar: bool,
}

/// Why the walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Json(JsonFault),
    /// More elements or slots than the bounds allow.
    TooMany,
}

impl From<JsonFault> for Stop {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

type Walk<T> = Result<T, Stop>;

/// What a walk found; its buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) elements: Vec<Element>,
    slots: Vec<Slot>,
    keys: String,
}

impl Scan {
    /// Walks over a payload, to its end.
    pub(super) fn walk(
        &mut self,
        plan: &Plan,
        reader: &mut Reader<'_>,
        scratch: &mut String,
        limits: Limits,
    ) -> Walk<()> {
        self.elements.clear();
        self.slots.clear();
        self.keys.clear();
        let mut walker = Walker { plan, reader, scan: self, scratch, limits };
        walker.element(super::plan::DOCUMENT, 0, 0, None)?;
        walker.reader.end()?;
        Ok(())
    }

    pub(super) fn slot(&self, element: &Element, slot: u32) -> &Slot {
        &self.slots[(element.slots + slot) as usize]
    }

    pub(super) fn key(&self, span: Span) -> &str {
        span.of(&self.keys)
    }
}

struct Walker<'w, 'p> {
    plan: &'w Plan,
    reader: &'w mut Reader<'p>,
    scan: &'w mut Scan,
    scratch: &'w mut String,
    limits: Limits,
}

impl Walker<'_, '_> {
    fn element(&mut self, level: u32, parent: u32, index: u32, key: Option<Span>) -> Walk<()> {
        let (at, slots) = (self.scan.elements.len(), self.scan.slots.len());
        let shape = &self.plan.levels[level as usize];
        let slots_max = self.limits.values_max.saturating_mul(SLOTS_PER_VALUE);
        let width = shape.width as usize;
        // The document itself always fits; the elements are the payload's to multiply.
        if at > 0 && (at > self.limits.values_max || slots + width > slots_max) {
            return Err(Stop::TooMany);
        }
        self.scan.slots.resize(slots + width, EMPTY);
        let (element, slots) = (offset(at), offset(slots));
        let kind = self.reader.kind()?;
        let is_scalar = !matches!(kind, Kind::Object | Kind::Array);
        self.scan.elements.push(Element { level, parent, end: 0, index, key, slots, is_scalar });
        self.value(shape.root, slots, element)?;
        self.scan.elements[at].end = offset(self.scan.elements.len());
        Ok(())
    }

    fn value(&mut self, node: u32, slots: u32, element: u32) -> Walk<()> {
        let node = &self.plan.nodes[node as usize];
        let kind = self.reader.kind()?;
        let start = self.reader.position();
        let mut number = 0.0;
        let found = match kind {
            Kind::Number => match self.reader.number()? {
                // Beyond 2^53 the nearest f64, as for every other number.
                Number::Integer(integer) => {
                    number = integer as f64;
                    Found::Number
                }
                Number::Float(float) => {
                    number = float;
                    Found::Number
                }
                Number::NotFinite => Found::Faulty(RejectReason::NotFinite),
                Number::OutOfRange => Found::Faulty(RejectReason::NumberOutOfRange),
            },
            Kind::Text => {
                self.reader.text(self.scratch)?;
                Found::Text
            }
            Kind::Bool => Found::Bool(self.reader.boolean()?),
            Kind::Null => {
                self.reader.null()?;
                Found::Null
            }
            Kind::Object | Kind::Array if node.is_leaf() => {
                self.reader.skip(self.scratch)?;
                Found::Composite
            }
            Kind::Object => {
                self.object(node, slots, element)?;
                Found::Composite
            }
            Kind::Array => {
                self.array(node, slots, element)?;
                Found::Composite
            }
        };
        if let Some(slot) = node.slot {
            let slot = &mut self.scan.slots[(slots + slot) as usize];
            let is_first = slot.found == Found::Nothing;
            let found = if is_first { found } else { Found::Faulty(RejectReason::DuplicateKey) };
            *slot = Slot { found, start: offset(start), end: offset(self.reader.position()), number };
        }
        Ok(())
    }

    fn object(&mut self, node: &Node, slots: u32, element: u32) -> Walk<()> {
        self.reader.enter_object()?;
        let (mut first, mut hint, mut index) = (true, 0, 0);
        while let Some(key) = self.reader.next_key(first, self.scratch)? {
            first = false;
            if let Some(level) = node.each {
                let key = Span::push(&mut self.scan.keys, key);
                self.element(level, element, index, Some(key))?;
                index += 1;
            } else if let Some((child, next)) = node.child(key, hint) {
                hint = next;
                self.value(child, slots, element)?;
            } else {
                self.reader.skip(self.scratch)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, node: &Node, slots: u32, element: u32) -> Walk<()> {
        self.reader.enter_array()?;
        let mut index = 0;
        while self.reader.next_item(index == 0)? {
            if let Some(level) = node.each {
                self.element(level, element, index, None)?;
            } else if let Some(child) = node.item(index) {
                self.value(child, slots, element)?;
            } else {
                self.reader.skip(self.scratch)?;
            }
            index += 1;
        }
        Ok(())
    }
}

/// Payloads, and all that is kept of one, are bounded far below 4 GiB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
