//! A record of readings as this product writes it, read from its bytes without a copy.
//!
//! Each field at most once, columns packed. Whatever else protobuf allows, and all other bodies, is left to prost, which
//! makes a dozen allocations of a record: this is for the log's millions, that for the rest.

use heat_model::{EventTime, Quality, QualityCode, Reading};

use super::Conversion;

/// A record of readings; texts and columns lie in the record's bytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) network: &'a str,
    pub(super) gateway: &'a str,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) ingest_time_us: i64,
    pub(super) messages: u32,
    pub(super) readings: Columns<'a>,
}

/// Its columns, packed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Columns<'a> {
    pub(super) signal_set: &'a [u8],
    pub(super) lane: u64,
    pub(super) base_time_us: i64,
    /// Varints, zigzag.
    pub(super) time_deltas: &'a [u8],
    /// Varints.
    pub(super) signals: &'a [u8],
    /// Eight bytes each, little-endian.
    pub(super) raw: &'a [u8],
    pub(super) quality: &'a [u8],
    pub(super) code: &'a [u8],
    pub(super) device_seq: Option<u64>,
    pub(super) boot: &'a str,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// A field's key where number and type fit one byte, as all here do.
const fn key(number: u8, kind: u8) -> u8 {
    number << 3 | kind
}

/// Reads a record of readings; `None` if it is another body, or not in the plain form.
pub(super) fn read(bytes: &[u8]) -> Option<Record<'_>> {
    const NETWORK: u8 = key(1, BYTES);
    const GATEWAY: u8 = key(2, BYTES);
    const EPOCH: u8 = key(3, VARINT);
    const SEQ: u8 = key(4, VARINT);
    const INGEST_TIME: u8 = key(5, FIXED64);
    const MESSAGES: u8 = key(6, VARINT);
    const READINGS: u8 = key(10, BYTES);
    let mut fields = Fields::new(bytes);
    let mut record = Record::default();
    while let Some(key) = fields.key()? {
        match key {
            NETWORK => record.network = fields.text()?,
            GATEWAY => record.gateway = fields.text()?,
            EPOCH => record.epoch = fields.varint()?,
            SEQ => record.seq = fields.varint()?,
            INGEST_TIME => record.ingest_time_us = fields.fixed64()?,
            MESSAGES => record.messages = u32::try_from(fields.varint()?).ok()?,
            READINGS => record.readings = columns(fields.bytes()?)?,
            _ => return None,
        }
    }
    fields.has(READINGS).then_some(record)
}

fn columns(bytes: &[u8]) -> Option<Columns<'_>> {
    const SIGNAL_SET: u8 = key(1, BYTES);
    const LANE: u8 = key(2, VARINT);
    const BASE_TIME: u8 = key(3, FIXED64);
    const TIME_DELTAS: u8 = key(4, BYTES);
    const SIGNALS: u8 = key(5, BYTES);
    const RAW: u8 = key(6, BYTES);
    const QUALITY: u8 = key(7, BYTES);
    const CODE: u8 = key(8, BYTES);
    const DEVICE_SEQ: u8 = key(9, VARINT);
    const BOOT: u8 = key(10, BYTES);
    let mut fields = Fields::new(bytes);
    let mut columns = Columns::default();
    while let Some(key) = fields.key()? {
        match key {
            SIGNAL_SET => columns.signal_set = fields.bytes()?,
            LANE => columns.lane = fields.varint()?,
            BASE_TIME => columns.base_time_us = fields.fixed64()?,
            TIME_DELTAS => columns.time_deltas = fields.bytes()?,
            SIGNALS => columns.signals = fields.bytes()?,
            RAW => columns.raw = fields.bytes()?,
            QUALITY => columns.quality = fields.bytes()?,
            CODE => columns.code = fields.bytes()?,
            DEVICE_SEQ => columns.device_seq = Some(fields.varint()?),
            BOOT => columns.boot = fields.text()?,
            _ => return None,
        }
    }
    columns.raw.len().is_multiple_of(8).then_some(columns)
}

/// The fields of one message, each at most once.
struct Fields<'a> {
    rest: &'a [u8],
    /// Field numbers seen, by bit.
    seen: u32,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, seen: 0 }
    }

    /// The next field's key, `Some(None)` at the end; `None` if the field was seen or its key is long.
    #[expect(clippy::option_option, reason = "`?` ends the plain form, the inner end is the message's")]
    fn key(&mut self) -> Option<Option<u8>> {
        let Some((&key, rest)) = self.rest.split_first() else { return Some(None) };
        let bit = 1 << (key >> 3);
        if key >= 0x80 || self.seen & bit != 0 {
            return None;
        }
        self.seen |= bit;
        self.rest = rest;
        Some(Some(key))
    }

    fn has(&self, key: u8) -> bool {
        self.seen & 1 << (key >> 3) != 0
    }

    fn varint(&mut self) -> Option<u64> {
        varint(&mut self.rest)
    }

    fn fixed64(&mut self) -> Option<i64> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// Takes a number of at most nine bytes; longer ones have bits to lose.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, &byte) in rest.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Some(number);
        }
    }
    None
}

/// The rows of plain columns, whose set has a conversion for each signal; `None` where the other way names a fault.
pub(super) fn rows(conversions: &[Conversion], columns: &Columns<'_>) -> Option<Vec<Reading>> {
    let expected = columns.raw.len() / size_of::<f64>();
    let numbers = [count(columns.time_deltas)?, count(columns.signals)?];
    let found = [numbers[0], numbers[1], columns.quality.len(), columns.code.len()];
    if !found.iter().all(|&found| found == 0 || found == expected)
        || (columns.signals.is_empty() && expected > conversions.len())
    {
        return None;
    }
    let mut deltas = varints(columns.time_deltas);
    let mut signals = varints(columns.signals);
    let mut rows = Vec::with_capacity(expected);
    let (raw, _) = columns.raw.as_chunks();
    for (index, raw) in raw.iter().enumerate() {
        let signal = match signals.next() {
            Some(signal) => u32::try_from(signal?).ok()?,
            None => u32::try_from(index).ok()?,
        };
        let delta = match deltas.next() {
            Some(delta) => zigzag(delta?),
            None => 0,
        };
        let raw = f64::from_le_bytes(*raw);
        rows.push(Reading {
            signal,
            event_time: EventTime::from_micros(columns.base_time_us.saturating_add(delta)),
            raw,
            value: conversions.get(signal as usize)?.value_of(raw),
            quality: Quality::from_number(columns.quality.get(index).copied().unwrap_or(0))?,
            code: QualityCode::from_number(columns.code.get(index).copied().unwrap_or(0))?,
        });
    }
    Some(rows)
}

/// The numbers of a packed column of varints; `None` among them where the plain form ends.
fn varints(mut column: &[u8]) -> impl Iterator<Item = Option<u64>> {
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken || column.is_empty() {
            return None;
        }
        let number = varint(&mut column);
        broken = number.is_none();
        Some(number)
    })
}

/// How many varints a column has: as many as bytes that end one. `None` if it ends within one.
fn count(column: &[u8]) -> Option<usize> {
    let is_whole = column.last().is_none_or(|&byte| byte < 0x80);
    is_whole.then(|| column.iter().filter(|&&byte| byte < 0x80).count())
}

/// The signed number that a zigzag varint stands for.
const fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}
