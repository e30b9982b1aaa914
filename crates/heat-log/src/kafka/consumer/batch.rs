//! Batches: the records of one partition, their bytes copied into one buffer.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use heat_model::{AppendTime, Offset};
use rdkafka::message::{BorrowedMessage, Message};

use crate::{
    consumer::{LogEvent, Record},
    kafka::{next_offset, partition_id},
    settings::ConsumerSettings,
};

#[derive(Debug)]
struct Place {
    offset: u64,
    append_time_us: i64,
    key: Option<Range<usize>>,
    payload: Range<usize>,
}

#[derive(Debug, Default)]
struct Batch {
    places: Vec<Place>,
    bytes: Vec<u8>,
    next: i64,
}

/// Batches being filled.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: BTreeMap<i32, Batch>,
    records: usize,
    bytes: usize,
}

impl Batches {
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let batch = self.open.entry(message.partition()).or_default();
        let mut copy = |bytes: &[u8]| {
            let start = batch.bytes.len();
            batch.bytes.extend_from_slice(bytes);
            start..batch.bytes.len()
        };
        let place = Place {
            offset: u64::try_from(message.offset()).unwrap_or(0),
            append_time_us: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1000),
            key: message.key().map(&mut copy),
            payload: copy(message.payload().unwrap_or_default()),
        };
        batch.places.push(place);
        batch.next = message.offset() + 1;
        self.records += 1;
        self.bytes += message.payload_len() + message.key_len();
    }

    pub(super) fn is_full(&self, settings: &ConsumerSettings) -> bool {
        self.records >= settings.batch_max_records || self.bytes >= settings.batch_max_bytes
    }

    pub(super) fn forget(&mut self, partition: i32) {
        if let Some(batch) = self.open.remove(&partition) {
            self.records -= batch.places.len();
            self.bytes -= batch.bytes.len();
        }
    }

    /// Takes everything out as events, each with its partition.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (i32, LogEvent)> + use<> {
        (self.records, self.bytes) = (0, 0);
        std::mem::take(&mut self.open).into_iter().map(|(partition, batch)| {
            let bytes = Bytes::from(batch.bytes);
            let records = batch.places.into_iter().map(|place| Record {
                offset: Offset(place.offset),
                append_time: AppendTime::from_micros(place.append_time_us),
                key: place.key.map(|range| bytes.slice(range)),
                payload: bytes.slice(place.payload),
            });
            let (records, end) = (records.collect(), next_offset(batch.next));
            (partition, LogEvent::Records { partition: partition_id(partition), records, end })
        })
    }
}
