//! Digests of rows that do not depend on the rows' order, encoding or file.
//!
//! The digest of a row of readings is xxh3-128 (seed 0) over these 112 bytes, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | xxh3-64 of network, site, device, name, unit, raw_unit, each as UTF-8 followed by a zero byte |
//! | 8..16 | xxh3-64 of the gateway's id, UTF-8 |
//! | 16..24, 24..32, 32..40 | event_time, ingest_time, append_time in microseconds |
//! | 40..48 | bits of `value`; all ones if null |
//! | 48..56 | bits of `raw_value`; all ones if null |
//! | 56..64 | epoch |
//! | 64..72 | seq |
//! | 72..80 | kafka_offset |
//! | 80..84 | kafka_partition |
//! | 84, 85, 86 | quality, quality_code, lane, by their numbers |
//! | 87..112 | zero |
//!
//! Rows of the small tables: xxh3-128 over each text column (network, kind, id, gateway, json) as its length in 8
//! bytes and its UTF-8, then event_time, ingest_time, append_time, epoch, seq, kafka_offset in 8 bytes each and
//! kafka_partition in 4.
//!
//! A set of rows has the sum of its rows' low halves and the sum of their high halves, both modulo 2^64. One row
//! deleted, altered or added changes them but for a chance of 2^-128. They prove against accident and carelessness,
//! not against somebody who sets out to forge.

use std::fmt;

use heat_model::SignalSet;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The digest of a set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest {
    low: u64,
    high: u64,
}

impl Digest {
    /// Adds one row's hash.
    pub(crate) fn add_row(&mut self, hash: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let (low, high) = (hash as u64, (hash >> 64) as u64);
        self.low = self.low.wrapping_add(low);
        self.high = self.high.wrapping_add(high);
    }

    /// Adds another set of rows.
    pub fn add(&mut self, other: Self) {
        self.low = self.low.wrapping_add(other.low);
        self.high = self.high.wrapping_add(other.high);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.low, self.high)
    }
}

/// The text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 hexadecimal digits")]
pub struct InvalidDigest;

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let half = |range| {
            let digits: &str = text.get(range).ok_or(InvalidDigest)?;
            u64::from_str_radix(digits, 16).map_err(|_| InvalidDigest)
        };
        if text.len() != 32 {
            return Err(InvalidDigest);
        }
        Ok(Self { low: half(0..16)?, high: half(16..32)? })
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Rows and digest of one ingest hour within one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourDigest {
    /// Start of the UTC hour of ingest, microseconds since the epoch.
    pub hour_start_us: i64,
    /// How many rows.
    pub rows: u64,
    /// Their digest.
    pub digest: Digest,
}

/// Digests by ingest hour, in order of the hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HourDigests(pub(crate) Vec<HourDigest>);

impl HourDigests {
    pub(crate) fn add_row(&mut self, hour_start_us: i64, hash: u128) {
        let entry = self.entry(hour_start_us);
        entry.rows += 1;
        entry.digest.add_row(hash);
    }

    pub(crate) fn add(&mut self, other: &HourDigest) {
        let entry = self.entry(other.hour_start_us);
        entry.rows += other.rows;
        entry.digest.add(other.digest);
    }

    fn entry(&mut self, hour_start_us: i64) -> &mut HourDigest {
        let list = &mut self.0;
        let place = match list.last() {
            Some(last) if last.hour_start_us == hour_start_us => list.len() - 1,
            _ => list.partition_point(|entry| entry.hour_start_us < hour_start_us),
        };
        if list.get(place).is_none_or(|entry| entry.hour_start_us != hour_start_us) {
            list.insert(place, HourDigest { hour_start_us, rows: 0, digest: Digest::default() });
        }
        &mut list[place]
    }
}

/// The part of a row's digest that names its signal.
pub(crate) fn signal_hash([network, site, device, name, unit, raw_unit]: [&str; 6]) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    for text in [network, site, device, name, unit, raw_unit] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    xxh3_64(&bytes)
}

/// [`signal_hash`] of one signal of a set.
pub(crate) fn signal_hash_of(set: &SignalSet, index: usize) -> u64 {
    let signal = &set.signals[index];
    signal_hash([
        set.network.as_str(),
        set.site.as_str(),
        set.device.as_str(),
        signal.name.as_str(),
        &signal.unit,
        &signal.raw_unit,
    ])
}

/// The part of a row's digest that names its gateway.
pub(crate) fn gateway_hash(gateway: &str) -> u64 {
    xxh3_64(gateway.as_bytes())
}

/// Lays out one row after another in the same bytes; what a message's rows share is set once.
#[derive(Debug)]
pub(crate) struct RowLayout([u8; 112]);

/// What stands for null in the layout: a NaN that no measurement yields.
const NULL_BITS: u64 = u64::MAX;

/// What all rows of a record share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedFields {
    pub(crate) gateway_hash: u64,
    pub(crate) ingest_time: i64,
    pub(crate) append_time: i64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) partition: u32,
    pub(crate) lane: u8,
}

impl RowLayout {
    pub(crate) fn new(shared: &SharedFields) -> Self {
        let mut bytes = [0; 112];
        bytes[8..16].copy_from_slice(&shared.gateway_hash.to_le_bytes());
        bytes[24..32].copy_from_slice(&shared.ingest_time.to_le_bytes());
        bytes[32..40].copy_from_slice(&shared.append_time.to_le_bytes());
        bytes[56..64].copy_from_slice(&shared.epoch.to_le_bytes());
        bytes[64..72].copy_from_slice(&shared.seq.to_le_bytes());
        bytes[72..80].copy_from_slice(&shared.offset.to_le_bytes());
        bytes[80..84].copy_from_slice(&shared.partition.to_le_bytes());
        bytes[86] = shared.lane;
        Self(bytes)
    }

    /// The hash of one row.
    pub(crate) fn hash(
        &mut self,
        signal_hash: u64,
        event_time: i64,
        value: Option<f64>,
        raw_value: Option<f64>,
        [quality, code]: [u8; 2],
    ) -> u128 {
        let bytes = &mut self.0;
        bytes[0..8].copy_from_slice(&signal_hash.to_le_bytes());
        bytes[16..24].copy_from_slice(&event_time.to_le_bytes());
        bytes[40..48].copy_from_slice(&value.map_or(NULL_BITS, f64::to_bits).to_le_bytes());
        bytes[48..56].copy_from_slice(&raw_value.map_or(NULL_BITS, f64::to_bits).to_le_bytes());
        bytes[84] = quality;
        bytes[85] = code;
        xxh3_128(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_order_and_round_trips_as_text() {
        let hashes = [1_u128 << 70, u128::MAX, 77, 3 << 64];
        let mut forth = Digest::default();
        let mut back = Digest::default();
        hashes.iter().for_each(|&hash| forth.add_row(hash));
        hashes.iter().rev().for_each(|&hash| back.add_row(hash));

        assert_eq!(forth, back);
        assert_eq!(forth.to_string().parse(), Ok(forth));
        assert_eq!("zz".parse::<Digest>(), Err(InvalidDigest));
    }

    #[test]
    fn each_field_of_a_row_changes_its_hash() {
        let shared = SharedFields {
            gateway_hash: 1,
            ingest_time: 2,
            append_time: 3,
            epoch: 4,
            seq: 5,
            offset: 6,
            partition: 7,
            lane: 0,
        };
        let hash = |shared: &SharedFields| RowLayout::new(shared).hash(1, 2, Some(3.0), Some(4.0), [0, 0]);
        let base = hash(&shared);

        let altered = [
            SharedFields { gateway_hash: 9, ..shared },
            SharedFields { ingest_time: 9, ..shared },
            SharedFields { append_time: 9, ..shared },
            SharedFields { epoch: 9, ..shared },
            SharedFields { seq: 9, ..shared },
            SharedFields { offset: 9, ..shared },
            SharedFields { partition: 9, ..shared },
            SharedFields { lane: 1, ..shared },
        ];
        assert!(altered.iter().all(|shared| hash(shared) != base));
        let mut layout = RowLayout::new(&shared);
        let rows = [
            layout.hash(9, 2, Some(3.0), Some(4.0), [0, 0]),
            layout.hash(1, 9, Some(3.0), Some(4.0), [0, 0]),
            layout.hash(1, 2, None, Some(4.0), [0, 0]),
            layout.hash(1, 2, Some(3.0), Some(4.5), [0, 0]),
            layout.hash(1, 2, Some(3.0), Some(4.0), [1, 0]),
            layout.hash(1, 2, Some(3.0), Some(4.0), [0, 1]),
        ];
        assert!(rows.iter().all(|&row| row != base));
    }
}
