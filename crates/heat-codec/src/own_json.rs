//! The own JSON: readings of one device, one object or an array of them.
//!
//! ```json
//! {"time": "2026-11-24T08:00:00+08:00", "seq": 17, "boot": "a1", "lane": "live",
//!  "values": {"supply_temperature": 81.2,
//!             "make_up_flow": {"value": 0.42, "unit": "m3/h", "quality": "good"},
//!             "return_pressure": {"value": null, "quality": "bad"}}}
//! ```
//!
//! - `time`: RFC 3339 with an offset, or integer Unix milliseconds; a value may have its own.
//! - `values`: numbers, booleans (1 and 0), null (bad), or objects of `value`, `unit`, `quality`, `code`, `time`.
//! - `null` in an optional field is the same as its absence.
//!
//! What goes down with a fault: a fault of the text itself takes the payload, a fault of what holds for all values
//! (`time`, `seq`, `boot`, `lane`, `values`) takes the item, a fault of one value takes that value. An unknown field
//! beside `values` is passed over and counted, so that devices may say more than this version knows; within a value it
//! rejects the value, because a misspelt `quality` must not turn a bad value into a good one.

mod encode;

pub use encode::{OutItem, OutValue, encode, encode_array};

use heat_model::{EventTime, Lane, Quality, QualityCode, ids::ID_MAX_BYTES};

use crate::{
    decoded::{Decoded, DecodedValue, Item, Limits, item_place},
    json::{JsonFault, Kind, Number, Reader, text_of},
    reject::{Reject, RejectReason, push_pointer},
    time_text::{from_unix_millis, parse_rfc3339},
};

/// Fields of an item that the decoder knows.
pub const ITEM_FIELDS: [&str; 5] = ["time", "seq", "boot", "lane", "values"];
/// Fields of a value object that the decoder knows.
pub const VALUE_FIELDS: [&str; 5] = ["value", "unit", "quality", "code", "time"];
/// Codes that a device may state; all others are the gateway's to find.
pub const DEVICE_CODES: [QualityCode; 4] =
    [QualityCode::DeviceBad, QualityCode::DeviceUncertain, QualityCode::OutOfRange, QualityCode::Sentinel];

/// A fault of one field: the rest can still be read.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) reason: RejectReason,
    pub(crate) field: &'static str,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(reason: RejectReason, field: &'static str, detail: &str) -> Self {
        Self { reason, field, detail: detail.chars().take(crate::reject::DETAIL_MAX_CHARS).collect() }
    }
}

/// A field's value, or its fault; the outer error ends the payload.
pub(crate) type Field<T> = Result<Result<T, Fault>, JsonFault>;

/// Decodes payloads; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    decoded: Decoded,
    scratch: String,
}

impl Decoder {
    /// With bounds of your own.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Decodes one payload. What it returns holds until the next call.
    pub fn decode(&mut self, payload: &[u8]) -> &Decoded {
        self.decoded.clear();
        let text = match text_of(payload, self.limits.payload_max_bytes) {
            Ok(text) => text,
            Err(reason) => {
                self.decoded.reject_whole(Reject::whole(reason));
                return &self.decoded;
            }
        };
        let mut reader = Reader::new(text);
        let outcome = self.document(&mut reader);
        let whole = match outcome {
            Ok(true) => None,
            Ok(false) => Some(Reject::whole(RejectReason::TooManyValues)),
            Err(fault) => {
                let at = reader.position();
                let context = text.get(text.floor_char_boundary(at)..).unwrap_or("");
                Some(Reject::at(fault.reason(), format!("byte {at}"), 0).found(context))
            }
        };
        if let Some(reject) = whole {
            self.decoded.reject_whole(reject);
        } else if self.decoded.items.is_empty() && self.decoded.rejects.is_empty() {
            self.decoded.reject_whole(Reject::whole(RejectReason::MissingField));
        }
        &self.decoded
    }

    /// What the last call found.
    pub fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// False if the bound on values is passed.
    fn document(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonFault> {
        if reader.kind()? != Kind::Array {
            return Ok(self.item(reader, None)? && reader.end().map(|()| true)?);
        }
        reader.enter_array()?;
        let mut index = 0;
        while reader.next_item(index == 0)? {
            if index as usize >= self.limits.values_max || !self.item(reader, Some(index))? {
                return Ok(false);
            }
            index += 1;
        }
        reader.end().map(|()| true)
    }

    fn item(&mut self, reader: &mut Reader<'_>, index: Option<u32>) -> Result<bool, JsonFault> {
        let mark = self.decoded.mark();
        let kind = reader.kind()?;
        if kind != Kind::Object {
            reader.skip(&mut self.scratch)?;
            self.decoded.reject_item(mark, RejectReason::WrongType, item_place(index), kind.word());
            return Ok(true);
        }
        let mut item = Item { index, ..Item::default() };
        let mut text = None;
        let mut fault: Option<Fault> = None;
        let mut seen = 0_u8;
        let mut first = true;
        reader.enter_object()?;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            let Some(field) = ITEM_FIELDS.iter().position(|known| *known == key) else {
                reader.skip(&mut self.scratch)?;
                self.decoded.unknown_fields += 1;
                continue;
            };
            let name = ITEM_FIELDS[field];
            let found = if seen & 1 << field != 0 {
                reader.skip(&mut self.scratch)?;
                Err(Fault::new(RejectReason::DuplicateKey, name, ""))
            } else if name == "values" {
                let start = self.decoded.text.len();
                match self.values(reader, index)? {
                    Some(found) => {
                        text = Some(start..self.decoded.text.len());
                        found
                    }
                    None => return Ok(false),
                }
            } else {
                self.item_field(reader, field, &mut item)?
            };
            seen |= 1 << field;
            fault = fault.or(found.err());
        }
        if fault.is_none() && text.is_none() {
            fault = Some(Fault::new(RejectReason::MissingField, "values", ""));
        }
        match fault {
            None => self.decoded.close_item(mark, item, text.unwrap_or_default()),
            Some(fault) => {
                let place = format!("{}/{}", item_place(index), fault.field);
                self.decoded.reject_item(mark, fault.reason, place, &fault.detail);
            }
        }
        Ok(true)
    }

    fn item_field(&mut self, reader: &mut Reader<'_>, field: usize, item: &mut Item) -> Field<()> {
        if reader.kind()? == Kind::Null {
            return reader.null().map(Ok);
        }
        Ok(match ITEM_FIELDS[field] {
            "time" => time(reader, &mut self.scratch)?.map(|time| item.time = Some(time)),
            "seq" => sequence(reader, &mut self.scratch)?.map(|seq| item.seq = Some(seq)),
            "lane" => word(reader, &mut self.scratch, "lane", lane_of)?.map(|lane| item.lane = Some(lane)),
            _ => match short_text(reader, &mut self.scratch, "boot")? {
                Ok(boot) => {
                    item.boot = Some(self.decoded.push_text(boot));
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
        })
    }

    /// `None` if the bound on values is passed.
    fn values(
        &mut self,
        reader: &mut Reader<'_>,
        index: Option<u32>,
    ) -> Result<Option<Result<(), Fault>>, JsonFault> {
        let kind = reader.kind()?;
        if kind != Kind::Object {
            reader.skip(&mut self.scratch)?;
            return Ok(Some(Err(Fault::new(RejectReason::WrongType, "values", kind.word()))));
        }
        reader.enter_object()?;
        let mut first = true;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            if self.decoded.values.len() + self.decoded.rejects.len() >= self.limits.values_max {
                return Ok(None);
            }
            let mark = self.decoded.mark();
            let name = self.decoded.push_text(key);
            let mut value = DecodedValue {
                name,
                unit: None,
                raw: f64::NAN,
                quality: Quality::Good,
                code: QualityCode::None,
                time: None,
            };
            match self.value(reader, &mut value)? {
                Ok(()) => self.decoded.values.push(value),
                Err(fault) => {
                    let mut place = item_place(index);
                    place.push_str("/values");
                    push_pointer(&mut place, self.decoded.resolve(name));
                    if !fault.field.is_empty() {
                        push_pointer(&mut place, fault.field);
                    }
                    self.decoded.forget_text(mark);
                    self.decoded.reject(Reject::at(fault.reason, place, 1).found(&fault.detail));
                }
            }
        }
        let empty = first.then(|| Fault::new(RejectReason::MissingField, "values", "{}"));
        Ok(Some(empty.map_or(Ok(()), Err)))
    }

    #[inline]
    fn value(&mut self, reader: &mut Reader<'_>, value: &mut DecodedValue) -> Field<()> {
        if reader.kind()? == Kind::Object {
            return self.value_object(reader, value);
        }
        let raw = scalar(reader, &mut self.scratch, "")?;
        Ok(raw.map(|raw| set_raw(value, raw)))
    }

    fn value_object(&mut self, reader: &mut Reader<'_>, value: &mut DecodedValue) -> Field<()> {
        reader.enter_object()?;
        let mut fault: Option<Fault> = None;
        let (mut raw, mut quality, mut code) = (None, None, None);
        let mut seen = 0_u8;
        let mut first = true;
        while let Some(key) = reader.next_key(first, &mut self.scratch)? {
            first = false;
            let Some(field) = VALUE_FIELDS.iter().position(|known| *known == key) else {
                fault = fault.or_else(|| Some(Fault::new(RejectReason::UnknownField, "", key)));
                reader.skip(&mut self.scratch)?;
                continue;
            };
            let name = VALUE_FIELDS[field];
            let found = if seen & 1 << field != 0 {
                reader.skip(&mut self.scratch)?;
                Err(Fault::new(RejectReason::DuplicateKey, name, ""))
            } else if name == "value" {
                scalar(reader, &mut self.scratch, "value")?.map(|found| raw = Some(found))
            } else if reader.kind()? == Kind::Null {
                reader.null().map(Ok)?
            } else {
                match name {
                    "unit" => match short_text(reader, &mut self.scratch, "unit")? {
                        Ok(unit) => {
                            value.unit = Some(self.decoded.push_text(unit));
                            Ok(())
                        }
                        Err(fault) => Err(fault),
                    },
                    "quality" => word(reader, &mut self.scratch, "quality", quality_of)?
                        .map(|found| quality = Some(found)),
                    "code" => {
                        word(reader, &mut self.scratch, "code", code_of)?.map(|found| code = Some(found))
                    }
                    _ => time(reader, &mut self.scratch)?.map(|found| value.time = Some(found)),
                }
            };
            seen |= 1 << field;
            fault = fault.or(found.err());
        }
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        let Some(raw) = raw else { return Ok(Err(Fault::new(RejectReason::MissingField, "value", ""))) };
        Ok(judge(value, raw, quality, code))
    }
}

/// A number, or null.
pub(crate) type Raw = Option<f64>;

pub(crate) fn set_raw(value: &mut DecodedValue, raw: Raw) {
    match raw {
        Some(raw) => value.raw = raw,
        None => (value.quality, value.code) = (Quality::Bad, QualityCode::Null),
    }
}

/// Puts value, quality and code together. A code without quality makes the value bad; a good value has no code.
fn judge(
    value: &mut DecodedValue,
    raw: Raw,
    quality: Option<Quality>,
    code: Option<QualityCode>,
) -> Result<(), Fault> {
    let quality = quality.unwrap_or(if code.is_some() { Quality::Bad } else { Quality::Good });
    value.code = match (quality, code) {
        (Quality::Good, Some(code)) => {
            return Err(Fault::new(RejectReason::UnknownWord, "code", code.as_str()));
        }
        (Quality::Good, None) => QualityCode::None,
        (_, Some(code)) => code,
        (Quality::Uncertain, None) => QualityCode::DeviceUncertain,
        (Quality::Bad, None) => QualityCode::DeviceBad,
    };
    value.quality = quality;
    set_raw(value, raw);
    Ok(())
}

#[inline]
pub(crate) fn scalar(reader: &mut Reader<'_>, scratch: &mut String, field: &'static str) -> Field<Raw> {
    let kind = reader.kind()?;
    let start = reader.position();
    let reason = match kind {
        Kind::Number => match reader.number()? {
            // Beyond 2^53 the nearest f64, as for every other number.
            Number::Integer(raw) => return Ok(Ok(Some(raw as f64))),
            Number::Float(raw) => return Ok(Ok(Some(raw))),
            Number::NotFinite => RejectReason::NotFinite,
            Number::OutOfRange => RejectReason::NumberOutOfRange,
        },
        Kind::Bool => return Ok(Ok(Some(f64::from(u8::from(reader.boolean()?))))),
        Kind::Null => return reader.null().map(|()| Ok(None)),
        Kind::Text => match reader.text(scratch)?.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => RejectReason::NumberAsText,
            Ok(_) => RejectReason::NotFinite,
            Err(_) => RejectReason::WrongType,
        },
        Kind::Array | Kind::Object => {
            reader.skip(scratch)?;
            RejectReason::WrongType
        }
    };
    Ok(Err(Fault::new(reason, field, reader.text_between(start, reader.position()))))
}

fn wrong_type<T>(reader: &mut Reader<'_>, scratch: &mut String, field: &'static str) -> Field<T> {
    let start = reader.position();
    reader.skip(scratch)?;
    Ok(Err(Fault::new(RejectReason::WrongType, field, reader.text_between(start, reader.position()))))
}

pub(crate) fn time(reader: &mut Reader<'_>, scratch: &mut String) -> Field<EventTime> {
    let kind = reader.kind()?;
    let start = reader.position();
    let outcome = match kind {
        Kind::Text => {
            let text = reader.text(scratch)?;
            parse_rfc3339(text).map_err(|fault| fault.reason())
        }
        Kind::Number => match reader.number()? {
            Number::Integer(millis) => from_unix_millis(millis).map_err(|fault| fault.reason()),
            Number::OutOfRange => Err(RejectReason::TimeOutOfRange),
            Number::Float(_) | Number::NotFinite => Err(RejectReason::WrongType),
        },
        Kind::Object | Kind::Array | Kind::Bool | Kind::Null => return wrong_type(reader, scratch, "time"),
    };
    Ok(outcome.map_err(|reason| Fault::new(reason, "time", reader.text_between(start, reader.position()))))
}

fn sequence(reader: &mut Reader<'_>, scratch: &mut String) -> Field<u64> {
    if reader.kind()? != Kind::Number {
        return wrong_type(reader, scratch, "seq");
    }
    let start = reader.position();
    let number = reader.number()?;
    let text = reader.text_between(start, reader.position());
    Ok(match number {
        Number::Integer(seq) if seq >= 0 => Ok(seq.unsigned_abs()),
        Number::Float(_) if text.parse::<u64>().is_ok() => Ok(text.parse().unwrap_or(u64::MAX)),
        Number::Float(_) | Number::NotFinite => Err(Fault::new(RejectReason::WrongType, "seq", text)),
        Number::Integer(_) | Number::OutOfRange => {
            Err(Fault::new(RejectReason::NumberOutOfRange, "seq", text))
        }
    })
}

fn word<T>(
    reader: &mut Reader<'_>,
    scratch: &mut String,
    field: &'static str,
    known: fn(&str) -> Option<T>,
) -> Field<T> {
    if reader.kind()? != Kind::Text {
        return wrong_type(reader, scratch, field);
    }
    let text = reader.text(scratch)?;
    Ok(known(text).ok_or_else(|| Fault::new(RejectReason::UnknownWord, field, text)))
}

pub(crate) fn short_text<'s, 'a: 's>(
    reader: &mut Reader<'a>,
    scratch: &'s mut String,
    field: &'static str,
) -> Field<&'s str> {
    if reader.kind()? != Kind::Text {
        return wrong_type(reader, scratch, field);
    }
    let text = reader.text(scratch)?;
    if text.len() > ID_MAX_BYTES || text.chars().any(char::is_control) {
        return Ok(Err(Fault::new(RejectReason::InvalidId, field, text)));
    }
    Ok(Ok(text))
}

fn lane_of(word: &str) -> Option<Lane> {
    [Lane::Live, Lane::Backfill].into_iter().find(|lane| lane.as_str() == word)
}

fn quality_of(word: &str) -> Option<Quality> {
    [Quality::Good, Quality::Uncertain, Quality::Bad].into_iter().find(|quality| quality.as_str() == word)
}

fn code_of(word: &str) -> Option<QualityCode> {
    DEVICE_CODES.into_iter().find(|code| code.as_str() == word)
}

#[cfg(test)]
mod tests;
