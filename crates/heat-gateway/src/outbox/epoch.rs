//! One epoch: contiguous numbers in every partition, and the account by ingest hour that its heartbeats carry.

use std::time::Instant;

use bytes::Bytes;
use heat_codec::{dead_letter::DeadLetter, envelope::Draft};
use heat_ledger::counts::{HourLedger, MessageAccount};
use heat_model::{Body, GatewayId, IngestTime, PartitionId, record::Heartbeat};

use super::entry::{Entry, Topic};

/// A partition of the input as this epoch numbers it.
#[derive(Debug, Default, Clone)]
struct Stream {
    next_seq: u64,
    readings: u64,
}

/// Numbers and counts.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) ledger: HourLedger,
    input: Vec<Stream>,
    rejected: Vec<u64>,
    records: u64,
}

/// The partitions that a heartbeat goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// All: time moves everywhere.
    Everywhere,
    /// All, and it says good-bye.
    Last,
    /// Those that the epoch used, saying good-bye; the first partition if it used none.
    LastWhereUsed,
}

impl Epoch {
    pub(crate) fn new(number: u64, partitions: u32, began: Instant) -> Self {
        let partitions = partitions as usize;
        Self {
            number,
            began,
            ledger: HourLedger::default(),
            input: vec![Stream::default(); partitions],
            rejected: vec![0; partitions],
            records: 0,
        }
    }

    /// Records numbered so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Numbers a record of the input.
    pub(crate) fn record(&mut self, gateway: &GatewayId, partition: PartitionId, draft: Draft) -> Entry {
        let stream = &mut self.input[partition.0 as usize];
        stream.readings += draft.readings_len() as u64;
        let seq = stream.next_seq;
        stream.next_seq += 1;
        self.records += 1;
        let key = (!draft.network().is_empty()).then(|| Bytes::copy_from_slice(draft.network().as_bytes()));
        let payload = draft.encode(gateway, self.number, seq);
        Entry { topic: Topic::Input, partition, epoch: self.number, seq, is_closing: false, key, payload }
    }

    /// Numbers a dead letter; its origin's epoch and number are set here.
    pub(crate) fn letter(&mut self, mut letter: DeadLetter) -> Entry {
        let partitions = u32::try_from(self.rejected.len()).expect("partitions are counted in u32");
        let partition = heat_log::partition_of(letter.topic.as_bytes(), partitions);
        let next = &mut self.rejected[partition.0 as usize];
        letter.origin.epoch = self.number;
        letter.origin.seq = *next;
        *next += 1;
        self.records += 1;
        let key = Some(Bytes::copy_from_slice(letter.topic.as_bytes()));
        Entry {
            topic: Topic::Rejected,
            partition,
            epoch: self.number,
            seq: letter.origin.seq,
            is_closing: false,
            key,
            payload: letter.encode(),
        }
    }

    /// Heartbeats with all hours whose counts changed since the last.
    pub(crate) fn beat(&mut self, gateway: &GatewayId, now: IngestTime, kind: Beat) -> Vec<Entry> {
        let hours = self.ledger.take_changed();
        let is_last = kind != Beat::Everywhere;
        let used_none = self.input.iter().all(|stream| stream.next_seq == 0);
        let mut beats = Vec::new();
        for index in 0..self.input.len() {
            let stream = &self.input[index];
            let is_used = stream.next_seq > 0 || (used_none && index == 0);
            if kind == Beat::LastWhereUsed && !is_used {
                continue;
            }
            let beat = Heartbeat {
                hours: hours.clone(),
                records_in_partition: stream.next_seq,
                readings_in_partition: stream.readings,
                last: is_last,
            };
            let partition = PartitionId(u32::try_from(index).expect("partitions are counted in u32"));
            let draft = Draft::of(None, now, 0, &Body::Heartbeat(beat));
            let mut entry = self.record(gateway, partition, draft);
            entry.is_closing = is_last;
            beats.push(entry);
        }
        beats
    }

    /// The last heartbeats, as they are true once everything before them is durable: with these accounts, still open,
    /// counted as settled.
    pub(crate) fn close<'a>(
        mut self,
        gateway: &GatewayId,
        now: IngestTime,
        kind: Beat,
        open: impl Iterator<Item = &'a MessageAccount>,
    ) -> Vec<Entry> {
        open.for_each(|account| self.ledger.settle(account));
        self.beat(gateway, now, kind)
    }
}
