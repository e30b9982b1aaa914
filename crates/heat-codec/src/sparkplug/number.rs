//! A metric's value as a number, by its data type (Sparkplug 3.0, 6.4.16).

use heat_model::{Quality, QualityCode};

use super::wire::{Raw, Stated};
use crate::reject::RejectReason;

const BOOLEAN: u32 = 11;
const DATE_TIME: u32 = 13;

/// Whether values of a data type are numbers: `Int8` to `Double`, `Boolean` (1 and 0) and `DateTime`.
pub(super) const fn is_number(datatype: u32) -> bool {
    matches!(datatype, 1..=BOOLEAN | DATE_TIME)
}

/// Unit of a data type's values where nobody names one: a `DateTime` is in milliseconds since 1970.
pub(super) const fn unit_of(datatype: u32) -> Option<&'static str> {
    if datatype == DATE_TIME { Some("ms") } else { None }
}

/// The value, exactly: what an f64 cannot hold is refused, not rounded.
///
/// Signed integers of up to 32 bits come as unsigned ones in two's complement, of 32 bits or of the type's own width;
/// both are read. Some encoders put a `UInt32` or smaller into `long_value`, a `Float` into `double_value` or the other
/// way round; nothing is lost by reading those.
pub(super) fn number(datatype: u32, raw: Raw) -> Result<f64, RejectReason> {
    match (datatype, raw) {
        (_, Raw::Absent) => Err(RejectReason::MissingField),
        (1, raw) => signed(integer(raw)?, 8),
        (2, raw) => signed(integer(raw)?, 16),
        (3, raw) => signed(integer(raw)?, 32),
        (4, Raw::Long(value)) => exact(i128::from(value.cast_signed())),
        (5, raw) => unsigned(integer(raw)?, 8),
        (6, raw) => unsigned(integer(raw)?, 16),
        (7, raw) => unsigned(integer(raw)?, 32),
        (8 | DATE_TIME, Raw::Long(value)) => exact(i128::from(value)),
        (9 | 10, Raw::Float(value)) => finite(f64::from(value)),
        (9 | 10, Raw::Double(value)) => finite(value),
        (BOOLEAN, Raw::Bool(value)) => Ok(f64::from(u8::from(value))),
        (datatype, _) if is_number(datatype) => Err(RejectReason::WrongType),
        _ => Err(RejectReason::UnsupportedDataType),
    }
}

fn integer(raw: Raw) -> Result<u64, RejectReason> {
    match raw {
        Raw::Int(value) => Ok(u64::from(value)),
        Raw::Long(value) => Ok(value),
        Raw::Absent | Raw::Float(_) | Raw::Double(_) | Raw::Bool(_) | Raw::NoNumber => {
            Err(RejectReason::WrongType)
        }
    }
}

fn unsigned(value: u64, bits: u32) -> Result<f64, RejectReason> {
    if value >> bits == 0 { exact(i128::from(value)) } else { Err(RejectReason::NumberOutOfRange) }
}

fn signed(value: u64, bits: u32) -> Result<f64, RejectReason> {
    let half = 1_i64 << (bits - 1);
    let fits = |value: &i64| (-half..half).contains(value);
    // In two's complement of 64 bits, of 32, or of the type's own: no number fits in two ways that differ.
    let of_32 = u32::try_from(value).ok().map(|low| i64::from(low.cast_signed()));
    let of_own = i64::try_from(value).ok().map(|own| own - 2 * half);
    let ways = [Some(value.cast_signed()), of_32, of_own.filter(|own| *own < 0)];
    let found = ways.into_iter().flatten().find(fits).ok_or(RejectReason::NumberOutOfRange)?;
    exact(i128::from(found))
}

fn exact(value: i128) -> Result<f64, RejectReason> {
    let magnitude = value.unsigned_abs();
    let significant = (u128::BITS - magnitude.leading_zeros()).saturating_sub(magnitude.trailing_zeros());
    // With no more significant bits than an f64 has, the conversion below is exact.
    if significant <= f64::MANTISSA_DIGITS { Ok(value as f64) } else { Err(RejectReason::NumberOutOfRange) }
}

fn finite(value: f64) -> Result<f64, RejectReason> {
    if value.is_finite() { Ok(value) } else { Err(RejectReason::NotFinite) }
}

/// A quality code as hosts read it; `None`: nothing is said.
///
/// Sparkplug 3.0 knows 0 (bad), 192 (good) and 500 (stale). Real nodes also send OPC qualities (bits 6 and 7: 0 bad,
/// 1 uncertain, 3 good) and Ignition's codes, whose highest two bits say bad (10) or uncertain (01), and whose older
/// ones from 256 to 511 are all bad. A stale value is bad: it says nothing about its time.
pub(super) const fn quality(stated: Stated) -> Option<(Quality, QualityCode)> {
    const GOOD: (Quality, QualityCode) = (Quality::Good, QualityCode::None);
    const UNCERTAIN: (Quality, QualityCode) = (Quality::Uncertain, QualityCode::DeviceUncertain);
    const BAD: (Quality, QualityCode) = (Quality::Bad, QualityCode::DeviceBad);
    match stated {
        Stated::Nothing => None,
        Stated::Null | Stated::Code(192..=255) => Some(GOOD),
        Stated::Code(64..=127) => Some(UNCERTAIN),
        Stated::Code(..=191 | 256..=511 | 0x8000_0000..) => Some(BAD),
        Stated::Code(_) | Stated::Unreadable => Some(UNCERTAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_and_sign_are_read_exactly() {
        for (datatype, raw, value) in [
            (1, Raw::Int(0xFFFF_FFFF), -1.0),
            (1, Raw::Int(0xFF), -1.0),
            (1, Raw::Int(0x80), -128.0),
            (1, Raw::Int(127), 127.0),
            (1, Raw::Long(u64::MAX), -1.0),
            (2, Raw::Int(0x8000), -32_768.0),
            (2, Raw::Int(0xFFFF_8000), -32_768.0),
            (3, Raw::Int(0x8000_0000), -2_147_483_648.0),
            (3, Raw::Long((-5_i64).cast_unsigned()), -5.0),
            (3, Raw::Long(0xFFFF_FFFB), -5.0),
            (4, Raw::Long(u64::MAX), -1.0),
            (4, Raw::Long(1 << 63), -9_223_372_036_854_775_808.0),
            (5, Raw::Int(255), 255.0),
            (7, Raw::Int(u32::MAX), 4_294_967_295.0),
            (7, Raw::Long(4_294_967_295), 4_294_967_295.0),
            (8, Raw::Long(1 << 53), 9_007_199_254_740_992.0),
            (8, Raw::Long(1 << 63), 9_223_372_036_854_775_808.0),
            (9, Raw::Float(0.5), 0.5),
            (10, Raw::Double(81.2), 81.2),
            (11, Raw::Bool(true), 1.0),
            (13, Raw::Long(1_795_478_400_000), 1_795_478_400_000.0),
        ] {
            assert_eq!(number(datatype, raw), Ok(value), "{datatype} {raw:?}");
        }
    }

    #[test]
    fn what_a_type_or_an_f64_cannot_hold_is_refused() {
        for (datatype, raw, reason) in [
            (1, Raw::Int(256), RejectReason::NumberOutOfRange),
            (2, Raw::Int(0x1_0000), RejectReason::NumberOutOfRange),
            (3, Raw::Long(1 << 32), RejectReason::NumberOutOfRange),
            (4, Raw::Long((1 << 53) + 1), RejectReason::NumberOutOfRange),
            (5, Raw::Int(256), RejectReason::NumberOutOfRange),
            (8, Raw::Long(u64::MAX), RejectReason::NumberOutOfRange),
            (9, Raw::Float(f32::NAN), RejectReason::NotFinite),
            (10, Raw::Double(f64::INFINITY), RejectReason::NotFinite),
            (10, Raw::Int(1), RejectReason::WrongType),
            (4, Raw::Int(1), RejectReason::WrongType),
            (11, Raw::Int(1), RejectReason::WrongType),
            (1, Raw::NoNumber, RejectReason::WrongType),
            (10, Raw::Absent, RejectReason::MissingField),
            (12, Raw::NoNumber, RejectReason::UnsupportedDataType),
            (0, Raw::Int(1), RejectReason::UnsupportedDataType),
            (31, Raw::NoNumber, RejectReason::UnsupportedDataType),
        ] {
            assert_eq!(number(datatype, raw), Err(reason), "{datatype} {raw:?}");
        }
    }

    #[test]
    fn quality_codes_are_read_as_hosts_read_them() {
        let of = |code| quality(Stated::Code(code)).map(|(quality, _)| quality);
        for good in [192, 216] {
            assert_eq!(of(good), Some(Quality::Good), "{good}");
        }
        for bad in [0, 24, 128, 500, 410, -2_147_483_136, 0x8000_0200] {
            assert_eq!(of(bad), Some(Quality::Bad), "{bad}");
        }
        for uncertain in [64, 0x4000_0100, 1_000] {
            assert_eq!(of(uncertain), Some(Quality::Uncertain), "{uncertain}");
        }
        assert_eq!(quality(Stated::Nothing), None);
    }
}
