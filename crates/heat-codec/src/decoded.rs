//! What any format's decoder makes of a payload: items of values, and what was rejected. One struct, used again for
//! each payload, so that decoding allocates nothing in steady state.

use std::ops::Range;

use heat_model::{EventTime, Lane, Quality, QualityCode};

use crate::reject::{Reject, RejectReason, push_pointer};

/// Bounds of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload in bytes.
    pub payload_max_bytes: usize,
    /// Most values, and most items, in one payload.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_max_bytes: 256 * 1024, values_max: 4_096 }
    }
}

/// A piece of the decoder's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// One value as received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodedValue {
    pub(crate) name: Span,
    pub(crate) unit: Option<Span>,
    /// As received; NaN where it was null.
    pub raw: f64,
    /// As the device says; bad for null.
    pub quality: Quality,
    /// Why it is not good.
    pub code: QualityCode,
    /// Its own time, where it has one beside the item's.
    pub time: Option<EventTime>,
}

/// One object of a payload: values that share time, lane and sequence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// Time of the values that have none of their own; `None`: the payload says none.
    pub time: Option<EventTime>,
    /// As declared.
    pub lane: Option<Lane>,
    /// The device's own number.
    pub seq: Option<u64>,
    /// Which device of the decoder's table speaks; `None`: the one that the topic names.
    pub device: Option<u32>,
    pub(crate) boot: Option<Span>,
    pub(crate) index: Option<u32>,
    pub(crate) values: Range<usize>,
    pub(crate) text: Range<usize>,
    /// Its place in the payload, where `index` does not say it.
    pub(crate) base: Option<Span>,
}

/// What was found in a payload.
#[derive(Debug, Default)]
pub struct Decoded {
    pub(crate) text: String,
    pub(crate) values: Vec<DecodedValue>,
    pub(crate) items: Vec<Item>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) unknown_fields: u32,
    /// Places of the values within their items, one a value; empty: the own JSON's.
    pub(crate) places: Vec<Span>,
    pub(crate) place_text: String,
}

/// A point to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    text: usize,
    values: usize,
    rejects: usize,
}

impl Mark {
    /// Values and rejects before it.
    pub(crate) const fn counts(self) -> (usize, usize) {
        (self.values, self.rejects)
    }

    pub(crate) const fn text(self) -> usize {
        self.text
    }
}

impl Decoded {
    /// The items that have at least one value, in the payload's order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The values of an item of this payload, in the payload's order. Names are not yet checked; see
    /// [`crate::shape`].
    pub fn values(&self, item: &Item) -> &[DecodedValue] {
        self.values.get(item.values.clone()).unwrap_or(&[])
    }

    /// Name of a value of this payload.
    pub fn name(&self, value: &DecodedValue) -> &str {
        self.resolve(value.name)
    }

    /// Unit that came with a value of this payload.
    pub fn unit(&self, value: &DecodedValue) -> Option<&str> {
        value.unit.map(|unit| self.resolve(unit))
    }

    /// The word that tells this run of the device from its earlier ones.
    pub fn boot(&self, item: &Item) -> Option<&str> {
        item.boot.map(|boot| self.resolve(boot))
    }

    /// What was not taken, in the payload's order. If the payload has no item, nothing was.
    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// Values that were taken, over all items.
    pub fn values_len(&self) -> usize {
        self.items.iter().map(|item| item.values.len()).sum()
    }

    /// Readings that were rejected, over all rejects.
    pub fn rejected_readings(&self) -> u64 {
        self.rejects.iter().map(|reject| u64::from(reject.readings)).sum()
    }

    /// Fields that nobody knows and that were passed over.
    pub fn unknown_fields(&self) -> u32 {
        self.unknown_fields
    }

    /// JSON pointer to a value of this payload.
    pub fn place(&self, item: &Item, value: &DecodedValue) -> String {
        let mut place = self.place_of_item(item);
        let own = || self.values(item).iter().position(|known| known.name == value.name);
        if let Some(within) = own().and_then(|at| self.places.get(item.values.start + at)) {
            place.push_str(within.of(&self.place_text));
        } else {
            place.push_str("/values");
            push_pointer(&mut place, self.name(value));
        }
        place
    }

    /// JSON pointer to an item of this payload; empty where it is all of it.
    pub fn place_of_item(&self, item: &Item) -> String {
        item.base.map_or_else(|| item_place(item.index), |base| base.of(&self.place_text).to_owned())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
        self.items.clear();
        self.rejects.clear();
        self.unknown_fields = 0;
        self.places.clear();
        self.place_text.clear();
    }

    /// The whole payload is rejected: nothing else of it counts.
    pub(crate) fn reject_whole(&mut self, reject: Reject) {
        self.clear();
        self.rejects.push(reject);
    }

    pub(crate) fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }

    #[inline]
    pub(crate) fn push_text(&mut self, text: &str) -> Span {
        Span::push(&mut self.text, text)
    }

    pub(crate) fn resolve(&self, span: Span) -> &str {
        span.of(&self.text)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), values: self.values.len(), rejects: self.rejects.len() }
    }

    /// The beginning of the payload.
    pub(crate) const fn mark_of_all(&self) -> Mark {
        Mark { text: 0, values: 0, rejects: 0 }
    }

    /// Forgets texts since the mark: those of a value that is rejected.
    pub(crate) fn forget_text(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
    }

    /// Closes an item: all since the mark are its values.
    pub(crate) fn close_item(&mut self, mark: Mark, mut item: Item, text: Range<usize>) {
        item.values = mark.values..self.values.len();
        item.text = text;
        if !item.values.is_empty() {
            self.items.push(item);
        }
    }

    /// Rejects an item with all its values, those included that were rejected one by one.
    pub(crate) fn reject_item(&mut self, mark: Mark, reason: RejectReason, place: String, detail: &str) {
        let taken = self.values.len() - mark.values;
        let refused: u32 = self.rejects[mark.rejects..].iter().map(|reject| reject.readings).sum();
        self.text.truncate(mark.text);
        self.values.truncate(mark.values);
        self.places.truncate(mark.values);
        self.rejects.truncate(mark.rejects);
        let readings = u32::try_from(taken).unwrap_or(u32::MAX).saturating_add(refused);
        self.rejects.push(Reject::at(reason, place, readings).found(detail));
    }

    /// The texts of an item's names and units, one behind the other: with their lengths, its shape.
    pub(crate) fn shape_text(&self, item: &Item) -> &str {
        self.text.get(item.text.clone()).unwrap_or("")
    }
}

impl Span {
    /// Appends a piece to a text.
    #[inline]
    pub(crate) fn push(text: &mut String, piece: &str) -> Self {
        // Payloads are bounded far below 4 GiB, and so is what is kept of one.
        let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        text.push_str(piece);
        Self { start, len }
    }

    /// All of a text from a byte on.
    pub(crate) fn since(text: &str, start: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(text.len() - start).unwrap_or(u32::MAX),
        }
    }

    /// The first `at` bytes of what was pushed with [`Self::push`], and the rest.
    #[inline]
    pub(crate) const fn split(self, at: u32) -> (Self, Self) {
        (Self { start: self.start, len: at }, Self { start: self.start + at, len: self.len - at })
    }

    pub(crate) fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        text.get(start..start + self.len as usize).unwrap_or("")
    }

    pub(crate) const fn len(self) -> u32 {
        self.len
    }
}

/// JSON pointer to an item: empty for the only one, `/3` in an array.
pub(crate) fn item_place(index: Option<u32>) -> String {
    index.map_or_else(String::new, |index| format!("/{index}"))
}
