//! A numbered record on its way, and its form in the buffer.
//!
//! | at | bytes | what (little-endian) |
//! |---|---|---|
//! | 0 | 1 | format, 1 |
//! | 1 | 1 | topic: 0 input, 1 dead letters |
//! | 2 | 1 | 1 for a closing heartbeat, else 0 |
//! | 3 | 1 | 0 |
//! | 4 | 4 | partition |
//! | 8 | 8 | epoch |
//! | 16 | 8 | number within epoch and partition |
//! | 24 | | the record's payload as Kafka gets it |
//!
//! The buffer's key is the record's key. Length and checksum are the buffer log's.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use heat_log::topics;
use heat_model::PartitionId;

const FORMAT: u8 = 1;
/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 24;

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Input,
    Rejected,
}

impl Topic {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Input => topics::INPUT,
            Self::Rejected => topics::REJECTED,
        }
    }
}

/// A numbered, encoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: Topic,
    pub(crate) partition: PartitionId,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// A heartbeat that says good-bye: it speaks for all records of its epoch, so it goes last.
    pub(crate) is_closing: bool,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Bytes,
}

/// A record of the buffer that this program did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a buffered record has format {0:?}, this release reads format 1")]
pub struct UnknownFormat(Option<u8>);

impl Entry {
    /// As the buffer holds it: key and payload.
    pub(crate) fn to_buffer(&self) -> (Option<Bytes>, Bytes) {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.put_u8(FORMAT);
        bytes.put_u8(u8::from(self.topic == Topic::Rejected));
        bytes.put_u8(u8::from(self.is_closing));
        bytes.put_u8(0);
        bytes.put_u32_le(self.partition.0);
        bytes.put_u64_le(self.epoch);
        bytes.put_u64_le(self.seq);
        bytes.put_slice(&self.payload);
        (self.key.clone(), bytes.freeze())
    }

    /// From what the buffer holds, without copying.
    pub(crate) fn from_buffer(key: Option<Bytes>, mut payload: Bytes) -> Result<Self, UnknownFormat> {
        let format = payload.first().copied();
        if format != Some(FORMAT) || payload.len() < HEADER_BYTES {
            return Err(UnknownFormat(format));
        }
        payload.advance(1);
        let topic = if payload.get_u8() == 0 { Topic::Input } else { Topic::Rejected };
        let is_closing = payload.get_u8() == 1;
        payload.advance(1);
        let partition = PartitionId(payload.get_u32_le());
        let (epoch, seq) = (payload.get_u64_le(), payload.get_u64_le());
        Ok(Self { topic, partition, epoch, seq, is_closing, key, payload })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_entry_that_says_the_same_again_or_are_refused(
            head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..HEADER_BYTES + 8),
            has_format in proptest::prelude::any::<bool>(),
        ) {
            let mut bytes = head;
            if has_format && !bytes.is_empty() {
                bytes[0] = FORMAT;
            }
            if let Ok(entry) = Entry::from_buffer(None, bytes.into()) {
                let (key, payload) = entry.to_buffer();
                proptest::prop_assert_eq!(Entry::from_buffer(key, payload), Ok(entry));
            }
        }
    }

    #[test]
    fn an_entry_comes_back_from_the_buffer_as_it_was() {
        for (topic, is_closing, key) in
            [(Topic::Input, true, None), (Topic::Rejected, false, Some(Bytes::from_static(b"heat/v1/a/b/c")))]
        {
            let entry = Entry {
                topic,
                partition: PartitionId(1_023),
                epoch: u64::MAX - 1,
                seq: 7,
                is_closing,
                key,
                payload: Bytes::from_static(b"payload"),
            };
            let (key, payload) = entry.to_buffer();
            assert_eq!(Entry::from_buffer(key, payload), Ok(entry));
        }
    }

    #[test]
    fn a_record_of_another_release_is_refused() {
        assert_eq!(Entry::from_buffer(None, Bytes::from_static(&[2; 40])), Err(UnknownFormat(Some(2))));
        assert_eq!(Entry::from_buffer(None, Bytes::from_static(&[1; 9])), Err(UnknownFormat(Some(1))));
        assert_eq!(Entry::from_buffer(None, Bytes::new()), Err(UnknownFormat(None)));
    }
}
