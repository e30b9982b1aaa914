//! Bytes of a Sparkplug B payload (protobuf, `schemas/sparkplug_b.proto`) to metrics.
//!
//! A small reader of our own: it keeps no copies, looks only at what a reading needs, and has read the whole payload
//! before any of it counts. Values that are no numbers (texts, data sets, templates) are seen, not read.
//! As protobuf demands: fields come in any order, the last of several wins, unknown fields are passed over. Groups
//! (wire types 3 and 4) are not part of Sparkplug and refused.

/// A part of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The text, which was checked when the payload was read.
    pub(super) fn text(self, payload: &[u8]) -> &str {
        let bytes = payload.get(self.start..self.end).unwrap_or_default();
        std::str::from_utf8(bytes).expect("the span was read as UTF-8 from this payload")
    }
}

/// A value as the wire has it; which number it is depends on the data type.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Raw {
    /// None at all.
    #[default]
    Absent,
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Bool(bool),
    /// A text, bytes, a data set, a template or an extension.
    NoNumber,
}

/// What a metric says of its quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stated {
    /// Nothing.
    #[default]
    Nothing,
    /// That it has none.
    Null,
    Code(i64),
    /// Something that is no code.
    Unreadable,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Metric {
    pub(super) name: Option<Span>,
    pub(super) alias: Option<u64>,
    /// Unix milliseconds.
    pub(super) time: Option<u64>,
    pub(super) datatype: Option<u32>,
    pub(super) historical: bool,
    pub(super) null: bool,
    pub(super) raw: Raw,
    pub(super) unit: Option<Span>,
    pub(super) quality: Stated,
}

/// Why a payload is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireFault {
    /// It breaks off or is no protobuf of this schema at this byte.
    Broken(usize),
    /// It has more metrics than the bound.
    TooMany,
}

/// One payload; used again for each.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Unix milliseconds.
    pub(super) time: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) metrics: Vec<Metric>,
}

impl Wire {
    /// Reads a payload of at most so many metrics. After a fault, nothing that is in `self` counts.
    pub(super) fn read(&mut self, payload: &[u8], metrics_max: usize) -> Result<(), WireFault> {
        self.time = None;
        self.seq = None;
        self.metrics.clear();
        let mut reader = Reader { bytes: payload, at: 0, end: payload.len() };
        while let Some((field, kind)) = reader.field()? {
            match field {
                1 => self.time = Some(reader.varint_of(kind)?),
                2 => {
                    let metric = reader.inner(kind)?;
                    if self.metrics.len() >= metrics_max {
                        return Err(WireFault::TooMany);
                    }
                    self.metrics.push(metric_of(metric)?);
                }
                3 => self.seq = Some(reader.varint_of(kind)?),
                4 => _ = reader.text(kind)?,
                5 => _ = reader.inner(kind)?,
                _ => reader.skip(kind)?,
            }
        }
        Ok(())
    }
}

fn metric_of(mut reader: Reader<'_>) -> Result<Metric, WireFault> {
    let mut metric = Metric::default();
    while let Some((field, kind)) = reader.field()? {
        match field {
            1 => metric.name = Some(reader.text(kind)?),
            2 => metric.alias = Some(reader.varint_of(kind)?),
            3 => metric.time = Some(reader.varint_of(kind)?),
            4 => metric.datatype = Some(low_half(reader.varint_of(kind)?)),
            5 => metric.historical = reader.varint_of(kind)? != 0,
            7 => metric.null = reader.varint_of(kind)? != 0,
            // A transient metric is not to be stored by the host as a tag; its value is a value like any other.
            6 => _ = reader.varint_of(kind)?,
            8 => _ = reader.inner(kind)?,
            9 => properties(reader.inner(kind)?, &mut metric)?,
            10 => metric.raw = Raw::Int(low_half(reader.varint_of(kind)?)),
            11 => metric.raw = Raw::Long(reader.varint_of(kind)?),
            12 => metric.raw = Raw::Float(f32::from_bits(reader.fixed32_of(kind)?)),
            13 => metric.raw = Raw::Double(f64::from_bits(reader.fixed64_of(kind)?)),
            14 => metric.raw = Raw::Bool(reader.varint_of(kind)? != 0),
            15 => {
                reader.text(kind)?;
                metric.raw = Raw::NoNumber;
            }
            16..=19 => {
                reader.inner(kind)?;
                metric.raw = Raw::NoNumber;
            }
            _ => reader.skip(kind)?,
        }
    }
    Ok(metric)
}

/// Names of the property that carries a metric's unit, in any case: Ignition's, and what others write.
const UNIT_KEYS: [&str; 4] = ["engUnit", "Units", "Unit", "Engineering Units"];
/// Name of the property that carries a metric's quality (Sparkplug 3.0, 6.4.9.1).
const QUALITY_KEY: &str = "Quality";

/// A property set is two lists side by side, of keys and of values.
fn properties(set: Reader<'_>, metric: &mut Metric) -> Result<(), WireFault> {
    let (mut unit_at, mut quality_at) = (None, None);
    let mut reader = set;
    let mut index = 0_usize;
    while let Some((field, kind)) = reader.field()? {
        match field {
            1 => {
                let span = reader.text(kind)?;
                let key = span.text(reader.bytes);
                if UNIT_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
                    unit_at = unit_at.or(Some(index));
                } else if key.eq_ignore_ascii_case(QUALITY_KEY) {
                    quality_at = Some(index);
                }
                index += 1;
            }
            2 => _ = reader.inner(kind)?,
            _ => reader.skip(kind)?,
        }
    }
    if unit_at.is_none() && quality_at.is_none() {
        return Ok(());
    }
    let mut reader = set;
    let mut index = 0_usize;
    while let Some((field, kind)) = reader.field()? {
        if field != 2 {
            reader.skip(kind)?;
            continue;
        }
        let value = reader.inner(kind)?;
        if unit_at == Some(index) {
            metric.unit = property(value)?.text;
        } else if quality_at == Some(index) {
            metric.quality = property(value)?.quality();
        }
        index += 1;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Property {
    null: bool,
    raw: Raw,
    text: Option<Span>,
}

impl Property {
    fn quality(&self) -> Stated {
        match self.raw {
            _ if self.null => Stated::Null,
            Raw::Int(code) => Stated::Code(i64::from(code.cast_signed())),
            Raw::Long(code) => Stated::Code(code.cast_signed()),
            Raw::Absent | Raw::Float(_) | Raw::Double(_) | Raw::Bool(_) | Raw::NoNumber => Stated::Unreadable,
        }
    }
}

fn property(mut reader: Reader<'_>) -> Result<Property, WireFault> {
    let mut property = Property::default();
    while let Some((field, kind)) = reader.field()? {
        match field {
            2 => property.null = reader.varint_of(kind)? != 0,
            3 => property.raw = Raw::Int(low_half(reader.varint_of(kind)?)),
            4 => property.raw = Raw::Long(reader.varint_of(kind)?),
            8 => property.text = Some(reader.text(kind)?),
            _ => reader.skip(kind)?,
        }
    }
    Ok(property)
}

/// How a field's bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Varint,
    Fixed64,
    Sized,
    Fixed32,
}

/// Reads a part of the payload; positions are of the whole payload, so that faults name a byte of it.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    const fn broken<T>(&self) -> Result<T, WireFault> {
        Err(WireFault::Broken(self.at))
    }

    /// The next field's number and kind; `None` at the end.
    #[inline]
    fn field(&mut self) -> Result<Option<(u32, Kind)>, WireFault> {
        if self.at >= self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let Ok(field) = u32::try_from(tag >> 3) else { return self.broken() };
        let kind = match tag & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed64,
            2 => Kind::Sized,
            5 => Kind::Fixed32,
            _ => return self.broken(),
        };
        // Field numbers have 29 bits and start at 1.
        if field == 0 || field >= 1 << 29 {
            return self.broken();
        }
        Ok(Some((field, kind)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireFault> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.at >= self.end {
                return self.broken();
            }
            let byte = self.bytes[self.at];
            // The tenth byte holds the last bit of 64.
            if shift == 63 && byte > 1 {
                return self.broken();
            }
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.broken()
    }

    fn varint_of(&mut self, kind: Kind) -> Result<u64, WireFault> {
        if kind == Kind::Varint { self.varint() } else { self.broken() }
    }

    fn fixed32_of(&mut self, kind: Kind) -> Result<u32, WireFault> {
        if kind == Kind::Fixed32 { self.array().map(u32::from_le_bytes) } else { self.broken() }
    }

    fn fixed64_of(&mut self, kind: Kind) -> Result<u64, WireFault> {
        if kind == Kind::Fixed64 { self.array().map(u64::from_le_bytes) } else { self.broken() }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireFault> {
        let found = self.bytes[self.at..self.end].first_chunk::<N>().copied();
        let Some(found) = found else { return self.broken() };
        self.at += N;
        Ok(found)
    }

    /// What a field with a length holds.
    #[inline]
    fn inner(&mut self, kind: Kind) -> Result<Self, WireFault> {
        if kind != Kind::Sized {
            return self.broken();
        }
        let len = self.varint()?;
        let rest = self.end - self.at;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= rest) else { return self.broken() };
        let inner = Self { bytes: self.bytes, at: self.at, end: self.at + len };
        self.at += len;
        Ok(inner)
    }

    fn text(&mut self, kind: Kind) -> Result<Span, WireFault> {
        let Self { bytes, at, end } = self.inner(kind)?;
        match std::str::from_utf8(&bytes[at..end]) {
            Ok(_) => Ok(Span { start: at, end }),
            Err(fault) => Err(WireFault::Broken(at + fault.valid_up_to())),
        }
    }

    fn skip(&mut self, kind: Kind) -> Result<(), WireFault> {
        match kind {
            Kind::Varint => self.varint().map(drop),
            Kind::Fixed64 => self.array::<8>().map(drop),
            Kind::Sized => self.inner(kind).map(drop),
            Kind::Fixed32 => self.array::<4>().map(drop),
        }
    }
}

/// Protobuf reads a 32-bit field from a longer varint by its lower half.
fn low_half(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("the upper half is cut off")
}

#[cfg(test)]
mod tests;
