//! One record on disk.
//!
//! | at | bytes | what (little-endian) |
//! |---|---|---|
//! | 0 | 4 | magic `HSF1` |
//! | 4 | 4 | CRC32C of everything from byte 8 to the frame's end, continued from the segment's salt |
//! | 8 | 4 | length of the key plus 1; 0 where there is no key |
//! | 12 | 4 | length of the payload |
//! | 16 | 8 | offset |
//! | 24 | 8 | append time, signed, microseconds since 1970 |
//! | 32 | | key, then payload |
//!
//! Frames follow one another without padding. The salt stands in the segment's file name: bytes of another segment,
//! left over on the disk or carried inside a payload, never pass for a frame when the reader looks for the next whole
//! frame behind a damaged place.

use bytes::{Buf, Bytes};

use crate::appender::Queued;

/// Bytes before the key.
pub(super) const HEADER_BYTES: usize = 32;
/// Longest frame; a longer one is damage.
pub(super) const FRAME_MAX_BYTES: usize = 64 << 20;
/// What a frame begins with.
pub(super) const MAGIC: [u8; 4] = *b"HSF1";

/// A frame's fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    crc: u32,
    pub(super) key_bytes: Option<usize>,
    pub(super) payload_bytes: usize,
    pub(super) offset: u64,
    pub(super) append_time_us: i64,
}

impl Header {
    /// Reads the fixed part; `None` if no frame can begin so.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEADER_BYTES)?.strip_prefix(&MAGIC)?;
        let crc = rest.get_u32_le();
        let header = Self {
            crc,
            key_bytes: (rest.get_u32_le() as usize).checked_sub(1),
            payload_bytes: rest.get_u32_le() as usize,
            offset: rest.get_u64_le(),
            append_time_us: rest.get_i64_le(),
        };
        (header.frame_bytes() <= FRAME_MAX_BYTES).then_some(header)
    }

    /// Length of the whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.key_bytes.unwrap_or(0) + self.payload_bytes
    }

    /// Whether the frame is whole and belongs to the segment; `frame` has [`Header::frame_bytes`].
    pub(super) fn is_intact(&self, frame: &[u8], salt: u32) -> bool {
        crc32c::crc32c_append(salt, &frame[8..]) == self.crc
    }
}

/// Appends one frame to the buffer.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    salt: u32,
    offset: u64,
    append_time_us: i64,
    key: Option<&[u8]>,
    payload: &[u8],
) {
    let length = |bytes: usize| u32::try_from(bytes).expect("appenders refuse records over FRAME_MAX_BYTES");
    let start = buffer.len();
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&key.map_or(0, |key| length(key.len()) + 1).to_le_bytes());
    header[12..16].copy_from_slice(&length(payload.len()).to_le_bytes());
    header[16..24].copy_from_slice(&offset.to_le_bytes());
    header[24..].copy_from_slice(&append_time_us.to_le_bytes());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(key.unwrap_or_default());
    buffer.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(salt, &buffer[start + 8..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Length of the frame that a record becomes.
pub(super) fn frame_bytes(record: &Queued) -> usize {
    HEADER_BYTES + record.size_bytes()
}

/// Key and payload of the intact frame that `frame` holds, without copying.
pub(super) fn split(header: &Header, frame: &Bytes) -> (Option<Bytes>, Bytes) {
    let payload_at = HEADER_BYTES + header.key_bytes.unwrap_or(0);
    (
        header.key_bytes.map(|_| frame.slice(HEADER_BYTES..payload_at)),
        frame.slice(payload_at..header.frame_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_round_trips_and_only_in_its_own_segment() {
        for (key, payload) in [(None, &b""[..]), (Some(&b""[..]), b"x"), (Some(b"demo-north"), &[7; 300])] {
            let mut buffer = Vec::new();
            encode(&mut buffer, 9, 42, -5, key, payload);

            let header = Header::parse(&buffer).unwrap();

            assert_eq!((header.offset, header.append_time_us, header.frame_bytes()), (42, -5, buffer.len()));
            assert!(header.is_intact(&buffer, 9));
            assert!(!header.is_intact(&buffer, 8));
            let (read_key, read_payload) = split(&header, &Bytes::from(buffer));
            assert_eq!((read_key.as_deref(), &*read_payload), (key, payload));
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut buffer = Vec::new();
        encode(&mut buffer, 1, 7, 8, Some(b"key"), b"payload");
        for bit in 0..buffer.len() * 8 {
            let mut damaged = buffer.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let intact = Header::parse(&damaged)
                .is_some_and(|header| header.frame_bytes() == damaged.len() && header.is_intact(&damaged, 1));
            assert!(!intact, "bit {bit}");
        }
    }
}
