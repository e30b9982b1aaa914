//! Consuming the embedded log.
//!
//! One read is under way at a time, on a blocking thread, and kept across cancellations; while its records are worked
//! on, the next one is read ahead. Small reads at the tail come from the page cache and are done in place: cheaper than
//! handing them over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use heat_model::{PartitionId, record::NextOffset};
use tokio::task::JoinHandle;

use super::{
    EmbeddedLog, Topic,
    group::{Change, Group, Member},
    partition::{Cursor, Partition},
    segment::{Chunk, ChunkLimits},
};
use crate::{
    consumer::{LogEvent, ReadError, StartFrom},
    settings::ConsumerSettings,
};

/// What was just written can be read in place if it is no more than this.
const IN_PLACE_MAX_BYTES: u64 = 64 << 10;

/// Reads a topic of the embedded log.
#[derive(Debug)]
pub struct EmbeddedConsumer {
    /// Keeps the log open.
    log: EmbeddedLog,
    topic: Arc<Topic>,
    limits: ChunkLimits,
    member: Option<Member>,
    events: VecDeque<LogEvent>,
    assigned: BTreeMap<PartitionId, Slot>,
    /// Partitions take turns; this one had the last.
    last: PartitionId,
    starts: u64,
    reading: Option<Reading>,
}

/// An assigned partition.
#[derive(Debug)]
struct Slot {
    partition: Arc<Partition>,
    /// `None` until started, and after an error.
    cursor: Option<Cursor>,
    /// Which start the cursor stems from; a read begun before another start is dropped.
    start: u64,
}

/// A read under way.
#[derive(Debug)]
struct Reading {
    id: PartitionId,
    start: u64,
    task: JoinHandle<(Result<Chunk, ReadError>, Cursor)>,
}

impl EmbeddedConsumer {
    fn new(log: &EmbeddedLog, topic: Arc<Topic>, settings: ConsumerSettings) -> Self {
        Self {
            log: log.clone(),
            topic,
            limits: ChunkLimits {
                records: settings.batch_max_records.max(1),
                bytes: settings.batch_max_bytes,
            },
            member: None,
            events: VecDeque::new(),
            assigned: BTreeMap::new(),
            last: PartitionId(u32::MAX),
            starts: 0,
            reading: None,
        }
    }

    pub(super) fn fixed(
        log: &EmbeddedLog,
        topic: Arc<Topic>,
        partitions: Vec<PartitionId>,
        settings: ConsumerSettings,
    ) -> Result<Self, ReadError> {
        for &id in &partitions {
            topic.partition(id)?;
        }
        let mut consumer = Self::new(log, topic, settings);
        for id in partitions {
            consumer.assign(id)?;
        }
        Ok(consumer)
    }

    pub(super) fn member(
        log: &EmbeddedLog,
        topic: Arc<Topic>,
        group: Arc<Group>,
        settings: ConsumerSettings,
    ) -> Self {
        let mut consumer = Self::new(log, topic, settings);
        consumer.member = Some(Member::join(group));
        consumer
    }

    fn assign(&mut self, id: PartitionId) -> Result<(), ReadError> {
        let partition = Arc::clone(self.topic.partition(id)?);
        self.assigned.insert(id, Slot { partition, cursor: None, start: 0 });
        self.events.push_back(LogEvent::Assigned(id));
        Ok(())
    }

    pub(crate) async fn next(&mut self) -> Result<LogEvent, ReadError> {
        let topic = Arc::clone(&self.topic);
        loop {
            let grown = topic.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if let Some(event) = self.next_change()? {
                return Ok(event);
            }
            if let Some(reading) = &mut self.reading {
                let finished = (&mut reading.task).await;
                let Reading { id, start, .. } = self.reading.take().expect("it was there before the wait");
                let (outcome, cursor) =
                    finished.map_err(|error| ReadError::Closed { cause: error.to_string() })?;
                if let Some(event) = self.finish(id, start, outcome, cursor)? {
                    self.read_ahead();
                    return Ok(event);
                }
                continue;
            }
            if let Some(event) = self.read_in_place()? {
                return Ok(event);
            }
            if !self.read_ahead() {
                grown.await;
            }
        }
    }

    fn next_change(&mut self) -> Result<Option<LogEvent>, ReadError> {
        while let Some(change) = self.member.as_mut().and_then(Member::poll) {
            match change {
                Change::Assigned(id) => self.assign(id)?,
                Change::Revoked(id) => {
                    self.assigned.remove(&id);
                    self.events.push_back(LogEvent::Revoked(id));
                    // The next poll gives it up, and that must wait until the caller has seen the event.
                    break;
                }
            }
        }
        Ok(self.events.pop_front())
    }

    /// The next started partition, in turn, that has something to read, with the bytes known to lie ahead.
    fn ready(&self) -> Option<(PartitionId, Option<u64>)> {
        let after = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        self.assigned.range(after).chain(self.assigned.range(..=self.last)).find_map(|(&id, slot)| {
            let cursor = slot.cursor.as_ref()?;
            (cursor.next().0 < slot.partition.end()).then(|| (id, slot.partition.bytes_ahead(cursor)))
        })
    }

    fn read_in_place(&mut self) -> Result<Option<LogEvent>, ReadError> {
        let Some((id, Some(1..=IN_PLACE_MAX_BYTES))) = self.ready() else { return Ok(None) };
        let slot = self.assigned.get_mut(&id).expect("ready partitions are assigned");
        let mut cursor = slot.cursor.take().expect("ready partitions are started");
        self.last = id;
        let (start, outcome) = (slot.start, slot.partition.read(&mut cursor, self.limits));
        self.finish(id, start, outcome, cursor)
    }

    /// Begins the next read if there is something to read and none is under way.
    fn read_ahead(&mut self) -> bool {
        if self.reading.is_some() {
            return true;
        }
        let Some((id, _)) = self.ready() else { return false };
        let slot = &self.assigned[&id];
        let (partition, limits) = (Arc::clone(&slot.partition), self.limits);
        let mut cursor = slot.cursor.clone().expect("ready partitions are started");
        let task = tokio::task::spawn_blocking(move || (partition.read(&mut cursor, limits), cursor));
        self.last = id;
        self.reading = Some(Reading { id, start: slot.start, task });
        true
    }

    /// Takes over what a read has found, unless the partition went away or was started anew meanwhile.
    fn finish(
        &mut self,
        id: PartitionId,
        start: u64,
        outcome: Result<Chunk, ReadError>,
        cursor: Cursor,
    ) -> Result<Option<LogEvent>, ReadError> {
        let Some(slot) = self.assigned.get_mut(&id).filter(|slot| slot.start == start) else {
            return Ok(None);
        };
        let before = slot.cursor.take().map(|cursor| cursor.next());
        let records = outcome?.records;
        let end = cursor.next();
        slot.cursor = Some(cursor);
        if records.is_empty() && before == Some(end) {
            return Ok(None);
        }
        let live = &slot.partition.live;
        live.read_records.add(records.len() as u64);
        live.read_bytes.add(records.iter().map(|record| record.size_bytes() as u64).sum());
        Ok(Some(LogEvent::Records { partition: id, records, end }))
    }

    pub(crate) fn start(&mut self, id: PartitionId, from: StartFrom) -> Result<NextOffset, ReadError> {
        let Some(slot) = self.assigned.get_mut(&id) else {
            return Err(ReadError::NotAssigned { topic: self.topic.name.to_string(), partition: id });
        };
        self.starts += 1;
        slot.start = self.starts;
        slot.cursor = None;
        let cursor = slot.partition.cursor(from)?;
        let next = cursor.next();
        slot.cursor = Some(cursor);
        Ok(next)
    }

    /// The log that is read.
    pub fn log(&self) -> &EmbeddedLog {
        &self.log
    }
}
