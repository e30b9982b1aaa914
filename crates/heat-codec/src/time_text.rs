//! Times as text: RFC 3339 with an offset, read and written.
//!
//! The usual shapes (`2026-11-24T08:00:00+08:00`, `...:00.123Z`) are read by hand, because every message carries one;
//! whatever else jiff takes as an instant is left to jiff. Digits beyond the microsecond are cut.

use heat_model::{EventTime, time::MICROS_PER_SECOND};

use crate::reject::RejectReason;

/// Longest text that is looked at.
pub const TEXT_MAX_BYTES: usize = 64;

/// Why a text is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    /// It is not a time.
    #[error("not an RFC 3339 time such as 2026-11-24T08:00:00+08:00")]
    Malformed,
    /// It is a local time.
    #[error("a time without offset says no instant: add Z or +08:00")]
    NoOffset,
    /// It is beyond the bounds.
    #[error("a time beyond the calendar's bounds")]
    OutOfRange,
}

impl TimeFault {
    /// Its word of the closed list.
    pub const fn reason(self) -> RejectReason {
        match self {
            Self::Malformed => RejectReason::BadTime,
            Self::NoOffset => RejectReason::TimeWithoutOffset,
            Self::OutOfRange => RejectReason::TimeOutOfRange,
        }
    }
}

/// Reads RFC 3339.
#[inline]
pub fn parse_rfc3339(text: &str) -> Result<EventTime, TimeFault> {
    match usual_shape(text.as_bytes()) {
        Some(micros) => Ok(EventTime::from_micros(micros)),
        None => by_jiff(text),
    }
}

/// From Unix milliseconds.
pub fn from_unix_millis(millis: i64) -> Result<EventTime, TimeFault> {
    // Years 1 to 9998: what the text form can write, too.
    const MIN: i64 = -62_135_596_800_000;
    const MAX: i64 = 253_370_764_800_000;
    if (MIN..MAX).contains(&millis) {
        Ok(EventTime::from_micros(millis * 1_000))
    } else {
        Err(TimeFault::OutOfRange)
    }
}

fn by_jiff(text: &str) -> Result<EventTime, TimeFault> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(TimeFault::Malformed);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        let micros = instant.as_nanosecond().div_euclid(1_000);
        return i64::try_from(micros).map(EventTime::from_micros).map_err(|_| TimeFault::OutOfRange);
    }
    match text.parse::<jiff::civil::DateTime>() {
        Ok(_) if ends_with_offset(text) => Err(TimeFault::OutOfRange),
        Ok(_) => Err(TimeFault::NoOffset),
        Err(_) => Err(TimeFault::Malformed),
    }
}

fn ends_with_offset(text: &str) -> bool {
    text.ends_with(['Z', 'z']) || text.rfind(['+', '-']).is_some_and(|at| at > 10)
}

/// `YYYY-MM-DDTHH:MM:SS[.digits](Z|+HH:MM|-HH:MM)`.
fn usual_shape(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let digits2 = |at: usize| -> Option<i64> {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    if head[4] != b'-' || head[7] != b'-' || head[10] != b'T' || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = digits2(0)? * 100 + digits2(2)?;
    let (month, day) = (digits2(5)?, digits2(8)?);
    let (hour, minute, second) = (digits2(11)?, digits2(14)?, digits2(17)?);
    let in_calendar = (1..=9998).contains(&year) && (1..=12).contains(&month) && day >= 1;
    if !in_calendar || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = fraction(tail)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_seconds(zone)?) * MICROS_PER_SECOND + micros)
}

fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = tail.split_first() else { return Some((0, tail)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 9 {
        return None;
    }
    let (fraction, zone) = rest.split_at(digits);
    let mut micros = 0;
    for at in 0..6 {
        micros = micros * 10 + fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((micros, zone))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] if [a, b, c, d].iter().all(u8::is_ascii_digit) => {
            let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let (hours, minutes) = (two(a, b), two(c, d));
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3_600 + minutes * 60;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Appends the time as RFC 3339 in UTC, with as many decimals (0, 3 or 6) as it needs.
///
/// Times outside the years 1 to 9998 have no RFC 3339 text; they are written at that bound.
pub fn push_rfc3339(out: &mut Vec<u8>, time: EventTime) {
    const MIN: i64 = -62_135_596_800_000_000;
    const MAX: i64 = 253_370_764_799_999_999;
    let micros = time.as_micros().clamp(MIN, MAX);
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    push_digits(out, year, 4);
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day, 2);
    out.push(b'T');
    push_digits(out, second_of_day / 3_600, 2);
    out.push(b':');
    push_digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    push_digits(out, second_of_day % 60, 2);
    if fraction % 1_000 != 0 {
        out.push(b'.');
        push_digits(out, fraction, 6);
    } else if fraction != 0 {
        out.push(b'.');
        push_digits(out, fraction / 1_000, 3);
    }
    out.push(b'Z');
}

fn push_digits(out: &mut Vec<u8>, number: i64, width: usize) {
    let start = out.len();
    let mut rest = number;
    for _ in 0..width {
        out.push(b'0' + u8::try_from(rest % 10).expect("a decimal digit of a number that is not negative"));
        rest /= 10;
    }
    out[start..].reverse();
}

/// The time as RFC 3339 in UTC.
pub fn rfc3339(time: EventTime) -> String {
    let mut out = Vec::with_capacity(27);
    push_rfc3339(&mut out, time);
    String::from_utf8(out).expect("digits and punctuation are ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> Result<i64, TimeFault> {
        parse_rfc3339(text).map(EventTime::as_micros)
    }

    #[test]
    fn each_fault_of_a_time_is_named() {
        assert_eq!(micros("2026-11-24T08:00:00"), Err(TimeFault::NoOffset));
        assert_eq!(micros("yesterday"), Err(TimeFault::Malformed));
        assert_eq!(micros("2026-02-30T08:00:00Z"), Err(TimeFault::Malformed));
        assert_eq!(micros("2026-11-24T24:00:01Z"), Err(TimeFault::Malformed));
        assert_eq!(micros(""), Err(TimeFault::Malformed));
        assert_eq!(from_unix_millis(i64::MAX), Err(TimeFault::OutOfRange));
    }

    #[test]
    fn the_usual_shapes_need_no_library() {
        for text in [
            "2026-11-24T08:00:00Z",
            "2026-11-24T08:00:00+08:00",
            "1969-12-31T23:59:59.5-11:30",
            "2024-02-29T23:59:59.123456789Z",
        ] {
            assert!(usual_shape(text.as_bytes()).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_hand_reader_agrees_with_jiff(
            year in 1_i16..=9998, month in 1_i8..=12, day in 1_i8..=31, hour in 0..=24, minute in 0..=60,
            second in 0..=61, fraction in "(\\.[0-9]{1,9})?", zone in "Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]"
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let jiff = text.parse::<jiff::Timestamp>().ok().map(|t| t.as_nanosecond().div_euclid(1_000));
            match usual_shape(text.as_bytes()) {
                Some(micros) => prop_assert_eq!(Some(i128::from(micros)), jiff, "{}", text),
                // A leap second is left to jiff.
                None => prop_assert!(jiff.is_none() || second == 60, "{}", text),
            }
        }

        #[test]
        fn what_is_written_is_read(micros in -62_135_596_800_000_000_i64..253_370_764_799_999_999) {
            let text = rfc3339(EventTime::from_micros(micros));
            prop_assert_eq!(parse_rfc3339(&text).map(EventTime::as_micros), Ok(micros), "{}", text);
        }

        #[test]
        fn whatever_text_is_taken_as_a_time_says_the_same_when_written_again(text in ".{0,70}") {
            if let Ok(time) = parse_rfc3339(&text) {
                prop_assert_eq!(parse_rfc3339(&rfc3339(time)), Ok(time), "{}", text);
            }
        }

        #[test]
        fn what_nearly_is_a_time_is_judged_as_jiff_judges_it(text in "[0-9T:.Z+ -]{15,35}") {
            let by_hand = usual_shape(text.as_bytes()).map(i128::from);
            if let Some(by_hand) = by_hand {
                let jiff = text.parse::<jiff::Timestamp>().map(|t| t.as_nanosecond().div_euclid(1_000));
                prop_assert_eq!(Ok(by_hand), jiff.map_err(|_| ()), "{}", text);
            }
        }
    }
}
