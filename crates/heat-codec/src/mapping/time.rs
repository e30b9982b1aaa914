//! Times of recorded data: a column, its format and its zone.

use heat_model::EventTime;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::time_text::{from_unix_millis, parse_rfc3339};

#[derive(Debug, Clone)]
enum Format {
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    /// strptime with an offset in the text.
    Offset(String),
    /// strptime of a local time.
    Local(String, TimeZone),
}

/// A column of times.
#[derive(Debug, Clone)]
pub struct TimeColumn {
    /// Its name in the header, or its number from 1.
    pub column: String,
    format: Format,
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
        let bare = |format| match zone {
            None => Ok(format),
            Some(_) => Err(("zone", "the format says the offset itself: leave the zone out".to_owned())),
        };
        let format = match format {
            "rfc3339" => bare(Format::Rfc3339)?,
            "unix_s" => bare(Format::UnixSeconds)?,
            "unix_ms" => bare(Format::UnixMillis)?,
            text if text.contains("%z") || text.contains("%:z") || text.contains("%s") => {
                bare(Format::Offset(text.to_owned()))?
            }
            text if !text.contains('%') => {
                return Err(("format", format!("{text:?} is neither strptime, rfc3339, unix_s nor unix_ms")));
            }
            text => {
                let zone =
                    zone.ok_or_else(|| ("zone", "it is missing: the format carries no offset".to_owned()))?;
                let zone = TimeZone::get(zone)
                    .map_err(|_| ("zone", format!("{zone:?} is not a time zone such as Asia/Shanghai")))?;
                Format::Local(text.to_owned(), zone)
            }
        };
        Ok(Self { column: column.to_owned(), format })
    }

    /// Reads a time. `after`, the time of the row before, tells which of the two a repeated hour means: the first one
    /// unless that would not be later. `None` if the text does not fit the format.
    pub fn read(&self, text: &str, after: Option<EventTime>) -> Option<RowTime> {
        let certain = |time| RowTime { time, ambiguity: Ambiguity::None };
        match &self.format {
            Format::Rfc3339 => parse_rfc3339(text).ok().map(certain),
            Format::UnixMillis => {
                text.parse().ok().and_then(|millis| from_unix_millis(millis).ok()).map(certain)
            }
            Format::UnixSeconds => unix_seconds(text).map(certain),
            Format::Offset(format) => {
                let time = Timestamp::strptime(format, text).ok()?;
                Some(certain(EventTime::from_micros(time.as_microsecond())))
            }
            Format::Local(format, zone) => {
                let local = match format.as_str() {
                    "%Y-%m-%d %H:%M:%S" => {
                        usual_local(text).or_else(|| DateTime::strptime(format, text).ok())?
                    }
                    _ => DateTime::strptime(format, text).ok()?,
                };
                in_zone(local, zone, after)
            }
        }
    }
}

/// Seconds with up to 6 decimals, exactly.
fn unix_seconds(text: &str) -> Option<EventTime> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{decimals:0<6}").parse().ok()?;
    let seconds: i64 = whole.parse().ok()?;
    let micros = if whole.starts_with('-') { -micros } else { micros };
    from_unix_millis(seconds.checked_mul(1_000)?).ok()?;
    Some(EventTime::from_micros(seconds * 1_000_000 + micros))
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
