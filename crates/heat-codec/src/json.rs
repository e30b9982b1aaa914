//! A pull reader of JSON (RFC 8259) that goes on behind a value it cannot take.
//!
//! serde_json gives up the whole document at the first `NaN` or `1e999`, and one such value must not cost its
//! neighbours. So this reader knows the literals that programs write for "not a number" (`NaN`, `Infinity`, `inf`,
//! with sign, in any case) as a kind of value of their own. In all else it takes what serde_json takes, which a
//! property test holds; numbers have the exact value that the standard library gives their text.
//!
//! Bounds: nesting up to [`DEPTH_MAX`]; no memory but the caller's scratch text.

use crate::reject::RejectReason;

/// Deepest nesting of arrays and objects.
pub(crate) const DEPTH_MAX: u32 = 32;

/// What the next value is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::Text => "text",
            Self::Number => "number",
            Self::Bool => "boolean",
            Self::Null => "null",
        }
    }
}

/// A number as it stands in the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// An integer that fits.
    Integer(i64),
    /// Any other finite number.
    Float(f64),
    /// Not finite by its literal.
    NotFinite,
    /// Finite in the document, but beyond `f64`.
    OutOfRange,
}

/// The document ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    Syntax,
    TooDeep,
}

impl JsonFault {
    pub(crate) const fn reason(self) -> RejectReason {
        match self {
            Self::Syntax => RejectReason::BadJson,
            Self::TooDeep => RejectReason::TooDeep,
        }
    }
}

type Read<T> = Result<T, JsonFault>;

/// Reads a document from front to back.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Where it stands, in bytes.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The document's text between two positions.
    pub(crate) fn text_between(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        self.skip_space();
        self.byte()
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Read<()> {
        if self.next_byte() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(JsonFault::Syntax)
        }
    }

    /// What comes next. Does not say that it is well formed.
    #[inline]
    pub(crate) fn kind(&mut self) -> Read<Kind> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') if self.rest().starts_with(b"null") => Ok(Kind::Null),
            Some(b'0'..=b'9' | b'-' | b'+' | b'n' | b'N' | b'i' | b'I') => Ok(Kind::Number),
            _ => Err(JsonFault::Syntax),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    fn enter(&mut self, open: u8) -> Read<()> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(JsonFault::TooDeep) } else { Ok(()) }
    }

    /// Enters an object. [`Self::next_key`] follows.
    #[inline]
    pub(crate) fn enter_object(&mut self) -> Read<()> {
        self.enter(b'{')
    }

    /// Enters an array. [`Self::next_item`] follows.
    #[inline]
    pub(crate) fn enter_array(&mut self) -> Read<()> {
        self.enter(b'[')
    }

    /// The next key of the entered object, up to its value; `None` behind the object. `first` must be true for the
    /// first call.
    #[inline]
    pub(crate) fn next_key<'s>(&mut self, first: bool, scratch: &'s mut String) -> Read<Option<&'s str>>
    where
        'a: 's,
    {
        if !self.goes_on(first, b'}')? {
            return Ok(None);
        }
        let key = self.text(scratch)?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Whether the entered array has another item; stands before it then, else behind the array.
    #[inline]
    pub(crate) fn next_item(&mut self, first: bool) -> Read<bool> {
        self.goes_on(first, b']')
    }

    #[inline]
    fn goes_on(&mut self, first: bool, close: u8) -> Read<bool> {
        match self.next_byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                if self.next_byte() == Some(close) { Err(JsonFault::Syntax) } else { Ok(true) }
            }
            Some(_) if first => Ok(true),
            _ => Err(JsonFault::Syntax),
        }
    }

    /// A text. Borrowed from the document unless it has escapes; those are resolved into `scratch`.
    #[inline]
    pub(crate) fn text<'s>(&mut self, scratch: &'s mut String) -> Read<&'s str>
    where
        'a: 's,
    {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.byte() {
                Some(b'"') => {
                    let text = self.text_between(start, self.at);
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => break,
                Some(0x20..) => self.at += 1,
                _ => return Err(JsonFault::Syntax),
            }
        }
        scratch.clear();
        scratch.push_str(self.text_between(start, self.at));
        self.escaped_text(scratch)?;
        Ok(scratch)
    }

    fn escaped_text(&mut self, out: &mut String) -> Read<()> {
        loop {
            let start = self.at;
            while matches!(self.byte(), Some(byte) if byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            out.push_str(self.text_between(start, self.at));
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(JsonFault::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let byte = self.byte().ok_or(JsonFault::Syntax)?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(JsonFault::Syntax),
        })
    }

    fn unicode(&mut self) -> Read<char> {
        let high = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&high) {
            if !self.rest().starts_with(b"\\u") {
                return Err(JsonFault::Syntax);
            }
            self.at += 2;
            let low = self.hex4()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(JsonFault::Syntax);
            }
            0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or(JsonFault::Syntax)
    }

    fn hex4(&mut self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(JsonFault::Syntax)?;
        let mut code = 0;
        for &digit in digits {
            code = code * 16 + char::from(digit).to_digit(16).ok_or(JsonFault::Syntax)?;
        }
        self.at += 4;
        Ok(code)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Read<bool> {
        match self.next_byte() {
            Some(b't') => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    /// `null`.
    pub(crate) fn null(&mut self) -> Read<()> {
        self.skip_space();
        self.word(b"null")
    }

    fn word(&mut self, word: &[u8]) -> Read<()> {
        if !self.rest().starts_with(word) {
            return Err(JsonFault::Syntax);
        }
        self.at += word.len();
        match self.byte() {
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_') => Err(JsonFault::Syntax),
            _ => Ok(()),
        }
    }

    /// A number, or a literal that means "not a number".
    #[inline]
    pub(crate) fn number(&mut self) -> Read<Number> {
        self.skip_space();
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let mut digits = Digits::default();
        match self.byte() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.byte(), Some(b'0'..=b'9')) {
                    return Err(JsonFault::Syntax);
                }
            }
            Some(b'1'..=b'9') => self.digits(&mut digits),
            _ => {
                self.at = start;
                return self.not_finite();
            }
        }
        let mut exponent = 0_i32;
        let mut integer = true;
        if self.byte() == Some(b'.') {
            integer = false;
            self.at += 1;
            let before = self.at;
            self.digits(&mut digits);
            let decimals = self.at - before;
            if decimals == 0 {
                return Err(JsonFault::Syntax);
            }
            exponent = -i32::try_from(decimals).unwrap_or(i32::MAX);
        }
        if let Some(b'e' | b'E') = self.byte() {
            integer = false;
            exponent = exponent.saturating_add(self.exponent()?);
        }
        Ok(digits.finish(negative, integer, exponent, self.text_between(start, self.at)))
    }

    #[inline]
    fn digits(&mut self, digits: &mut Digits) {
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            digits.push(byte - b'0');
            self.at += 1;
        }
    }

    fn exponent(&mut self) -> Read<i32> {
        self.at += 1;
        let negative = self.byte() == Some(b'-');
        if let Some(b'+' | b'-') = self.byte() {
            self.at += 1;
        }
        let start = self.at;
        let mut value = 0_i32;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            value = value.saturating_mul(10).saturating_add(i32::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == start {
            return Err(JsonFault::Syntax);
        }
        Ok(if negative { -value } else { value })
    }

    fn not_finite(&mut self) -> Read<Number> {
        let start = self.at;
        if let Some(b'+' | b'-') = self.byte() {
            self.at += 1;
        }
        let word_start = self.at;
        while let Some(b'a'..=b'z' | b'A'..=b'Z') = self.byte() {
            self.at += 1;
        }
        let word = self.text_between(word_start, self.at);
        if ["nan", "inf", "infinity"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
            return Ok(Number::NotFinite);
        }
        self.at = start;
        Err(JsonFault::Syntax)
    }

    /// Skips one value of any kind.
    pub(crate) fn skip(&mut self, scratch: &mut String) -> Read<()> {
        match self.kind()? {
            Kind::Object => {
                self.enter_object()?;
                let mut first = true;
                while self.next_key(first, scratch)?.is_some() {
                    first = false;
                    self.skip(scratch)?;
                }
                Ok(())
            }
            Kind::Array => {
                self.enter_array()?;
                let mut first = true;
                while self.next_item(first)? {
                    first = false;
                    self.skip(scratch)?;
                }
                Ok(())
            }
            Kind::Text => self.text(scratch).map(|_| ()),
            Kind::Number => self.number().map(|_| ()),
            Kind::Bool => self.boolean().map(|_| ()),
            Kind::Null => self.null(),
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        if self.next_byte().is_none() { Ok(()) } else { Err(JsonFault::Syntax) }
    }
}

/// The significant digits of a number, as far as they fit.
#[derive(Debug, Default)]
struct Digits {
    mantissa: u64,
    overflow: bool,
}

impl Digits {
    #[inline]
    fn push(&mut self, digit: u8) {
        match self.mantissa.checked_mul(10).and_then(|shifted| shifted.checked_add(u64::from(digit))) {
            Some(mantissa) => self.mantissa = mantissa,
            None => self.overflow = true,
        }
    }

    /// Clinger's fast path: a mantissa below 2^53 and a power of ten up to 22 are both exact, so that one operation
    /// rounds once. Everything else goes to the standard library.
    #[inline]
    fn finish(&self, negative: bool, integer: bool, exponent: i32, text: &str) -> Number {
        const EXACT_MAX: u64 = 1 << 53;
        let fits = integer && !self.overflow && !(negative && self.mantissa == 0);
        if fits && let Ok(value) = i64::try_from(self.mantissa) {
            return Number::Integer(if negative { -value } else { value });
        }
        let power = usize::try_from(exponent.unsigned_abs()).ok().and_then(|at| POWERS_OF_TEN.get(at));
        let value = match power {
            Some(power) if !self.overflow && self.mantissa < EXACT_MAX => {
                let mantissa = self.mantissa as f64;
                let magnitude = if exponent < 0 { mantissa / power } else { mantissa * power };
                if negative { -magnitude } else { magnitude }
            }
            _ => match text.parse::<f64>() {
                Ok(value) => value,
                Err(_) => return Number::OutOfRange,
            },
        };
        if value.is_finite() { Number::Float(value) } else { Number::OutOfRange }
    }
}

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A whole document in memory, for the small payloads that are not readings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    Number(Number),
    Bool,
    Null,
}

impl Node {
    /// Reads a document; a name that an object has twice is a fault.
    pub(crate) fn parse(text: &str) -> Result<Self, (RejectReason, usize)> {
        let mut reader = Reader::new(text);
        let mut scratch = String::new();
        let node = Self::read(&mut reader, &mut scratch).map_err(|reason| (reason, reader.position()))?;
        reader.end().map_err(|fault| (fault.reason(), reader.position()))?;
        Ok(node)
    }

    fn read(reader: &mut Reader<'_>, scratch: &mut String) -> Result<Self, RejectReason> {
        let fault = JsonFault::reason;
        Ok(match reader.kind().map_err(fault)? {
            Kind::Object => {
                reader.enter_object().map_err(fault)?;
                let mut entries: Vec<(String, Self)> = Vec::new();
                while let Some(key) = reader.next_key(entries.is_empty(), scratch).map_err(fault)? {
                    if entries.iter().any(|(known, _)| known == key) {
                        return Err(RejectReason::DuplicateKey);
                    }
                    let key = key.to_owned();
                    let value = Self::read(reader, scratch)?;
                    entries.push((key, value));
                }
                Self::Object(entries)
            }
            Kind::Array => {
                reader.enter_array().map_err(fault)?;
                let mut items = Vec::new();
                while reader.next_item(items.is_empty()).map_err(fault)? {
                    items.push(Self::read(reader, scratch)?);
                }
                Self::Array(items)
            }
            Kind::Text => Self::Text(reader.text(scratch).map_err(fault)?.to_owned()),
            Kind::Number => Self::Number(reader.number().map_err(fault)?),
            Kind::Bool => {
                reader.boolean().map_err(fault)?;
                Self::Bool
            }
            Kind::Null => {
                reader.null().map_err(fault)?;
                Self::Null
            }
        })
    }
}

/// The payload as text, or why it is none.
pub(crate) fn text_of(payload: &[u8], max_bytes: usize) -> Result<&str, RejectReason> {
    if payload.is_empty() {
        return Err(RejectReason::Empty);
    }
    if payload.len() > max_bytes {
        return Err(RejectReason::TooLarge);
    }
    let is_control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    match str::from_utf8(payload) {
        Ok(text) => match text.trim_ascii_start().as_bytes().first() {
            None => Err(RejectReason::Empty),
            Some(b'{' | b'[') => Ok(text),
            Some(_) if payload.iter().any(is_control) => Err(RejectReason::Binary),
            Some(_) => Ok(text),
        },
        Err(_) if payload.iter().any(is_control) => Err(RejectReason::Binary),
        Err(_) => Err(RejectReason::BadUtf8),
    }
}

#[cfg(test)]
mod tests;
