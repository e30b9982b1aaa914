//! Why something received was not taken: a closed list, stable on the wire, in metrics and in the archive.

use std::fmt::{self, Write};

/// Longest place of a reject in bytes; a longer one is cut and ends in `…`.
pub const PLACE_MAX_BYTES: usize = 256;
/// Longest detail of a reject in characters.
pub const DETAIL_MAX_CHARS: usize = 80;

/// Defines the closed list with its words in one place.
macro_rules! reject_reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// Why a payload, or a part of it, was not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RejectReason { $($(#[$doc])* $name,)* }

        impl RejectReason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for dead letters, metrics and the archive.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// From its word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reject_reasons! {
    /// Nothing is subscribed under this topic, or its levels do not fit the pattern.
    UnknownTopic = "unknown_topic";
    /// The payload has no bytes.
    Empty = "empty";
    /// The payload is larger than the bound.
    TooLarge = "too_large";
    /// The payload is not text.
    Binary = "binary";
    /// The payload is text, but not UTF-8.
    BadUtf8 = "bad_utf8";
    /// The payload is not JSON.
    BadJson = "bad_json";
    /// The payload nests deeper than the bound.
    TooDeep = "too_deep";
    /// The payload has more values than the bound.
    TooManyValues = "too_many_values";
    /// A field that must be there is missing.
    MissingField = "missing_field";
    /// A field that nobody knows, where it could change the meaning of a value.
    UnknownField = "unknown_field";
    /// The same name twice.
    DuplicateKey = "duplicate_key";
    /// A value of another type than the field has.
    WrongType = "wrong_type";
    /// A number sent as text.
    NumberAsText = "number_as_text";
    /// NaN or an infinity.
    NotFinite = "not_finite";
    /// A number that does not fit its type.
    NumberOutOfRange = "number_out_of_range";
    /// A word that is not of the field's list.
    UnknownWord = "unknown_word";
    /// A time that is not RFC 3339.
    BadTime = "bad_time";
    /// A time without an offset: nobody knows which instant is meant.
    TimeWithoutOffset = "time_without_offset";
    /// A time beyond the calendar's bounds.
    TimeOutOfRange = "time_out_of_range";
    /// A text that is not an id.
    InvalidId = "invalid_id";
    /// A unit that is not known, of a standard name.
    UnknownUnit = "unknown_unit";
    /// A unit that measures something else than the standard name.
    WrongDimension = "wrong_dimension";
    /// A signal that the plant model does not have, where the policy refuses those.
    UnknownSignal = "unknown_signal";
    /// A network that the plant model does not have, in a ticket.
    UnknownNetwork = "unknown_network";
    /// A site that the plant model does not have in that network, in a ticket.
    UnknownSite = "unknown_site";
    /// An MQTT retained message, where the policy refuses those.
    Retained = "retained";
    /// The device may not speak for this network or site.
    Unauthorised = "unauthorised";
    /// A name, telephone number or the like in a ticket.
    PersonalData = "personal_data";
    /// A mapping's pointer finds nothing in the payload.
    PointerMissing = "pointer_missing";
    /// More devices speak than the decoder keeps.
    TooManyDevices = "too_many_devices";
    /// The payload is not a Sparkplug B payload.
    BadSparkplug = "bad_sparkplug";
    /// A Sparkplug data type that carries no number.
    UnsupportedDataType = "unsupported_data_type";
    /// A Sparkplug alias that no birth announced.
    UnknownAlias = "unknown_alias";
    /// Data of a Sparkplug node whose birth was not seen.
    NotBorn = "not_born";
    /// A Sparkplug message that is taken again, out of its place in its node's count.
    OutOfSequence = "out_of_sequence";
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// JSON pointer into the payload, or `byte N` where the payload is not JSON; empty for the whole payload.
    pub place: String,
    /// What was found there, shortened; empty where the reason says it all.
    pub detail: String,
    /// Readings that went with it; 0 where nobody can count them.
    pub readings: u32,
}

impl Reject {
    /// Of the whole payload.
    pub const fn whole(reason: RejectReason) -> Self {
        Self { reason, place: String::new(), detail: String::new(), readings: 0 }
    }

    /// At a place, which is cut to [`PLACE_MAX_BYTES`].
    pub fn at(reason: RejectReason, mut place: String, readings: u32) -> Self {
        cut(&mut place);
        Self { reason, place, detail: String::new(), readings }
    }

    /// Says what was found, cut to [`DETAIL_MAX_CHARS`].
    #[must_use]
    pub fn found(mut self, detail: &str) -> Self {
        self.detail = detail.chars().take(DETAIL_MAX_CHARS).collect();
        self
    }
}

fn cut(place: &mut String) {
    const ELLIPSIS: &str = "…";
    if place.len() > PLACE_MAX_BYTES {
        let end = place.floor_char_boundary(PLACE_MAX_BYTES - ELLIPSIS.len());
        place.truncate(end);
        place.push_str(ELLIPSIS);
    }
}

/// Appends a number in decimal.
pub(crate) fn push_number(text: &mut String, number: u32) {
    write!(text, "{number}").expect("a String takes all that is written");
}

/// Appends `/key` to a JSON pointer (RFC 6901).
pub(crate) fn push_pointer(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_word_of_its_own() {
        for &reason in RejectReason::ALL {
            assert_eq!(RejectReason::from_word(reason.as_str()), Some(reason));
        }
        assert_eq!(RejectReason::from_word("because"), None);
    }

    #[test]
    fn a_long_place_is_cut_at_a_character() {
        let reject = Reject::at(RejectReason::InvalidId, format!("/values/{}", "温".repeat(200)), 1);
        assert!(
            reject.place.len() <= PLACE_MAX_BYTES && reject.place.ends_with('…'),
            "{}",
            reject.place.len()
        );
    }

    #[test]
    fn a_pointer_escapes_tilde_and_slash() {
        let mut pointer = String::new();
        push_pointer(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/a~1b~0c");
    }
}
