//! Times of recorded data: a column, its format and its zone.

use heat_model::EventTime;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::time_text::{TimeFault, from_unix_millis, parse_rfc3339};

#[derive(Debug, Clone)]
enum Format {
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    UnixMicros,
    /// strptime with an offset in the text.
    Offset(String),
    /// strptime of a local time.
    Local(String, TimeZone),
}

/// How a text says a time.
#[derive(Debug, Clone)]
pub struct TimeFormat(Format);

/// A column of times.
#[derive(Debug, Clone)]
pub struct TimeColumn {
    /// Its name in the header, or its number from 1.
    pub column: String,
    format: TimeFormat,
}

/// How a local time became an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// There is one such instant.
    None,
    /// The hour occurs twice, when summer time ends.
    Repeated,
    /// The hour does not occur, when summer time begins; taken as if the clock had not been set forward yet.
    Skipped,
}

/// An instant of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowTime {
    /// When.
    pub time: EventTime,
    /// Whether the text meant it for certain.
    pub ambiguity: Ambiguity,
}

impl TimeColumn {
    /// `zone` is needed where the format carries no offset. The error names the key that is wrong.
    pub fn new(column: &str, format: &str, zone: Option<&str>) -> Result<Self, (&'static str, String)> {
        Ok(Self { column: column.to_owned(), format: TimeFormat::new(format, zone)? })
    }

    /// Reads a time. `after`, the time of the row before, tells which of the two a repeated hour means: the first one
    /// unless that would not be later. `None` if the text does not fit the format.
    pub fn read(&self, text: &str, after: Option<EventTime>) -> Option<RowTime> {
        self.format.read(text, after).ok()
    }
}

impl TimeFormat {
    /// `rfc3339`, `unix_s`, `unix_ms`, `unix_us` or strptime; `zone` is needed where the format carries no offset. The
    /// error names the key that is wrong.
    pub fn new(format: &str, zone: Option<&str>) -> Result<Self, (&'static str, String)> {
        let bare = |format| match zone {
            None => Ok(Self(format)),
            Some(_) => Err(("zone", "the format says the offset itself: leave the zone out".to_owned())),
        };
        match format {
            "rfc3339" => bare(Format::Rfc3339),
            "unix_s" => bare(Format::UnixSeconds),
            "unix_ms" => bare(Format::UnixMillis),
            "unix_us" => bare(Format::UnixMicros),
            text if text.contains("%z") || text.contains("%:z") || text.contains("%s") => {
                bare(Format::Offset(text.to_owned()))
            }
            text if !text.contains('%') => {
                let known = "strptime, rfc3339, unix_s, unix_ms nor unix_us";
                Err(("format", format!("{text:?} is neither {known}")))
            }
            text => {
                let zone =
                    zone.ok_or_else(|| ("zone", "it is missing: the format carries no offset".to_owned()))?;
                let zone = TimeZone::get(zone)
                    .map_err(|_| ("zone", format!("{zone:?} is not a time zone such as Asia/Shanghai")))?;
                Ok(Self(Format::Local(text.to_owned(), zone)))
            }
        }
    }

    /// Reads a time; `after` as in [`TimeColumn::read`].
    pub fn read(&self, text: &str, after: Option<EventTime>) -> Result<RowTime, TimeFault> {
        let certain = |time| RowTime { time, ambiguity: Ambiguity::None };
        match &self.0 {
            Format::Rfc3339 => parse_rfc3339(text).map(certain),
            Format::UnixSeconds => unix(text, 6).map(certain),
            Format::UnixMillis => unix(text, 3).map(certain),
            Format::UnixMicros => unix(text, 0).map(certain),
            Format::Offset(format) => {
                let time = Timestamp::strptime(format, text).map_err(|_| TimeFault::Malformed)?;
                Ok(certain(EventTime::from_micros(time.as_microsecond())))
            }
            Format::Local(format, zone) => {
                let usual = match format.as_str() {
                    "%Y-%m-%d %H:%M:%S" => usual_local(text),
                    _ => None,
                };
                let local = match usual {
                    Some(local) => local,
                    None => DateTime::strptime(format, text).map_err(|_| TimeFault::Malformed)?,
                };
                in_zone(local, zone, after).ok_or(TimeFault::OutOfRange)
            }
        }
    }
}

/// A Unix time of a unit that has so many decimals to the microsecond, exactly; digits beyond are cut.
fn unix(text: &str, decimals_to_micros: u32) -> Result<EventTime, TimeFault> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeFault::Malformed);
    }
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeFault::Malformed);
    }
    let mut micros: i64 = whole.parse().map_err(|_| TimeFault::OutOfRange)?;
    let mut decimals = decimals.bytes();
    for _ in 0..decimals_to_micros {
        let digit = i64::from(decimals.next().unwrap_or(b'0') - b'0');
        let digit = if whole.starts_with('-') { -digit } else { digit };
        micros = micros
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(digit))
            .ok_or(TimeFault::OutOfRange)?;
    }
    from_unix_millis(micros.div_euclid(1_000))?;
    Ok(EventTime::from_micros(micros))
}

/// `YYYY-MM-DD HH:MM:SS`, by hand: most recorded data have it.
fn usual_local(text: &str) -> Option<DateTime> {
    let bytes: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let digits = |at: usize| {
        let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
        if tens > 9 || ones > 9 { None } else { i8::try_from(tens * 10 + ones).ok() }
    };
    if (bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]) != (b'-', b'-', b' ', b':', b':') {
        return None;
    }
    let year = i16::from(digits(0)?) * 100 + i16::from(digits(2)?);
    DateTime::new(year, digits(5)?, digits(8)?, digits(11)?, digits(14)?, digits(17)?, 0).ok()
}

fn in_zone(local: DateTime, zone: &TimeZone, after: Option<EventTime>) -> Option<RowTime> {
    let instant = |offset: jiff::tz::Offset| {
        offset.to_timestamp(local).ok().map(|time| EventTime::from_micros(time.as_microsecond()))
    };
    let (time, ambiguity) = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => (instant(offset)?, Ambiguity::None),
        AmbiguousOffset::Gap { before, .. } => (instant(before)?, Ambiguity::Skipped),
        AmbiguousOffset::Fold { before, after: behind } => {
            let first = instant(before)?;
            let is_later = after.is_none_or(|after| first > after);
            (if is_later { first } else { instant(behind)? }, Ambiguity::Repeated)
        }
    };
    Some(RowTime { time, ambiguity })
}
