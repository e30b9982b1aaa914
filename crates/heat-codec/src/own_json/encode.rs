//! Writing the own JSON: for the simulator, replay and the bench.

use heat_model::{EventTime, Lane, Quality, QualityCode};

use super::DEVICE_CODES;
use crate::time_text::push_rfc3339;

/// One value to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutValue<'a> {
    /// Its name.
    pub name: &'a str,
    /// The number in `unit`; `None`, or a number that is not finite, is written as null.
    pub raw: Option<f64>,
    /// Its unit, where it is not the standard one.
    pub unit: Option<&'a str>,
    /// Its trust.
    pub quality: Quality,
    /// Why; written where a device may state it.
    pub code: QualityCode,
    /// Its own time.
    pub time: Option<EventTime>,
}

impl<'a> OutValue<'a> {
    /// A good value.
    pub const fn good(name: &'a str, raw: f64, unit: Option<&'a str>) -> Self {
        Self { name, raw: Some(raw), unit, quality: Quality::Good, code: QualityCode::None, time: None }
    }
}

/// One item to write.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OutItem<'a> {
    /// Its time.
    pub time: Option<EventTime>,
    /// The device's sequence.
    pub seq: Option<u64>,
    /// This run of the device.
    pub boot: Option<&'a str>,
    /// Declared lane.
    pub lane: Option<Lane>,
    /// Its values.
    pub values: &'a [OutValue<'a>],
}

/// Appends one item as an object. Every finite number is read back as the same number.
pub fn encode(out: &mut Vec<u8>, item: &OutItem<'_>) {
    out.push(b'{');
    if let Some(time) = item.time {
        out.extend_from_slice(b"\"time\":");
        push_time(out, time);
        out.push(b',');
    }
    if let Some(seq) = item.seq {
        out.extend_from_slice(b"\"seq\":");
        push_json(out, &seq);
        out.push(b',');
    }
    if let Some(boot) = item.boot {
        out.extend_from_slice(b"\"boot\":");
        push_json(out, boot);
        out.push(b',');
    }
    if let Some(lane) = item.lane {
        out.extend_from_slice(b"\"lane\":");
        push_json(out, lane.as_str());
        out.push(b',');
    }
    out.extend_from_slice(b"\"values\":{");
    for (at, value) in item.values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_json(out, value.name);
        out.push(b':');
        push_value(out, value);
    }
    out.extend_from_slice(b"}}");
}

/// Appends items as an array.
pub fn encode_array(out: &mut Vec<u8>, items: &[OutItem<'_>]) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode(out, item);
    }
    out.push(b']');
}

fn push_value(out: &mut Vec<u8>, value: &OutValue<'_>) {
    let plain = value.unit.is_none() && value.quality == Quality::Good && value.time.is_none();
    if plain {
        push_raw(out, value.raw);
        return;
    }
    out.extend_from_slice(b"{\"value\":");
    push_raw(out, value.raw);
    if let Some(unit) = value.unit {
        out.extend_from_slice(b",\"unit\":");
        push_json(out, unit);
    }
    if value.quality != Quality::Good {
        out.extend_from_slice(b",\"quality\":");
        push_json(out, value.quality.as_str());
        if DEVICE_CODES.contains(&value.code) {
            out.extend_from_slice(b",\"code\":");
            push_json(out, value.code.as_str());
        }
    }
    if let Some(time) = value.time {
        out.extend_from_slice(b",\"time\":");
        push_time(out, time);
    }
    out.push(b'}');
}

fn push_raw(out: &mut Vec<u8>, raw: Option<f64>) {
    // serde_json writes NaN and infinities as null, and all else so that it reads back the same.
    match raw {
        Some(raw) => push_json(out, &raw),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_time(out: &mut Vec<u8>, time: EventTime) {
    out.push(b'"');
    push_rfc3339(out, time);
    out.push(b'"');
}

fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a vector takes what texts and numbers become");
}
