//! The world around the core: Kafka behind its appender, the buffer's disk, senders, and what readers make of it all.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use heat_codec::{
    dead_letter::{DeadLetter, Fault},
    envelope::{Draft, EnvelopeDecoder},
};
use heat_ledger::{
    audit::{Evidence, Letters, Stretch, audit},
    commit::{CommitLedger, Fate},
    counts::MessageAccount,
    durable::{Durable, Marks, StreamId, Ticket},
    redelivery::{Arrival, RedeliveryFilter},
};
use heat_log::AppendError;
use heat_model::{AppendTime, Body, IngestTime, Origin, PartitionId, plant::PlantHash};
use heat_runtime::Clock;
use proptest::prelude::*;

use super::{BufferState, Buffered, Core, Message, Queued, Rules, Sink};
use crate::{
    buffer::Hint,
    outbox::{
        backlog::{Backlog, Part},
        entry::{Entry, Topic},
    },
};

pub(super) const PARTITIONS: u32 = 2;
pub(super) const DEVICES: u64 = 6;
pub(super) const STALL_AFTER: Duration = Duration::from_secs(5);
pub(super) const START_US: i64 = 1_790_000_000_000_000;

/// Kafka, with the appender in front of it.
#[derive(Debug, Default)]
pub(super) struct Kafka {
    /// Taken by the appender, in order, with their streams.
    pub(super) queue: VecDeque<(u32, Entry)>,
    pub(super) taken: Vec<u64>,
    pub(super) durable: Vec<u64>,
    /// What readers see, by stream.
    pub(super) log: BTreeMap<u32, Vec<Entry>>,
    /// On its way when its process was killed; may still arrive.
    pub(super) ghosts: VecDeque<(u32, Entry)>,
    pub(super) is_frozen: bool,
    pub(super) is_stalled: bool,
    pub(super) idle_seconds: u64,
    pub(super) queue_max: usize,
    /// Chooses among streams; seeded by nothing, so that a failure repeats itself.
    pub(super) dice: u64,
}

impl Kafka {
    /// Partitions have leaders of their own: only the order within each is certain.
    pub(super) fn next_of_any_stream(&mut self) -> Option<(u32, Entry)> {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pick = usize::try_from(self.dice >> 33).unwrap() % self.queue.len().max(1);
        let stream = self.queue.get(pick)?.0;
        let first = self.queue.iter().position(|(other, _)| *other == stream)?;
        self.queue.remove(first)
    }

    pub(super) fn deliver(&mut self, count: usize) {
        if self.is_frozen {
            return;
        }
        for _ in 0..count {
            let Some((stream, entry)) = self.next_of_any_stream() else { break };
            self.durable[stream as usize] += 1;
            self.log.entry(stream).or_default().push(entry);
            self.is_stalled = false;
            self.idle_seconds = 0;
        }
    }

    /// The process is killed: some of what it held arrives all the same, from the oldest of each stream on.
    pub(super) fn lose_appender(&mut self, ghosts: usize) {
        for _ in 0..ghosts {
            let Some(ghost) = self.next_of_any_stream() else { break };
            self.ghosts.push_back(ghost);
        }
        *self = Self {
            log: std::mem::take(&mut self.log),
            ghosts: std::mem::take(&mut self.ghosts),
            is_frozen: self.is_frozen,
            queue_max: self.queue_max,
            dice: self.dice,
            ..Self::default()
        };
    }

    pub(super) fn haunt(&mut self) {
        for (stream, entry) in self.ghosts.drain(..) {
            self.log.entry(stream).or_default().push(entry);
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct KafkaPort(Rc<RefCell<Kafka>>);

impl Sink for KafkaPort {
    fn try_take(&mut self, entry: &Entry) -> Result<Option<Ticket>, AppendError> {
        let mut kafka = self.0.borrow_mut();
        if kafka.queue.len() >= kafka.queue_max {
            return Ok(None);
        }
        let stream = entry.partition.0 + if entry.topic == Topic::Input { 0 } else { PARTITIONS };
        kafka.taken.resize(2 * PARTITIONS as usize, 0);
        kafka.durable.resize(2 * PARTITIONS as usize, 0);
        let number = kafka.taken[stream as usize];
        kafka.taken[stream as usize] += 1;
        kafka.queue.push_back((stream, entry.clone()));
        Ok(Some(Ticket { stream: StreamId(stream), number }))
    }

    fn queued(&self) -> Queued {
        let kafka = self.0.borrow();
        let records = kafka.queue.len();
        Queued { records, bytes: records, is_half_empty: records <= kafka.queue_max / 2 }
    }

    fn read_marks(&self, marks: &mut Marks) {
        for (stream, &count) in (0..).zip(&self.0.borrow().durable) {
            marks.raise(StreamId(stream), count);
        }
    }

    fn is_stalled(&self) -> bool {
        self.0.borrow().is_stalled
    }
}

/// The buffer's disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) records: Vec<(AppendTime, Option<bytes::Bytes>, bytes::Bytes)>,
    pub(super) synced: usize,
    /// Of the present process.
    pub(super) taken: u64,
    pub(super) base: usize,
    pub(super) time_us: i64,
    pub(super) queue_max: usize,
}

impl Disk {
    pub(super) fn entry(&self, index: usize) -> Entry {
        let (_, key, payload) = &self.records[index];
        Entry::from_buffer(key.clone(), payload.clone()).unwrap()
    }

    /// Start of the chunk that holds the first synced record of this time.
    pub(super) fn chunk_at(&self, time: AppendTime) -> (u64, AppendTime) {
        let at = self.records[..self.synced].partition_point(|(at, ..)| *at < time);
        if at == self.synced {
            return (at as u64, time);
        }
        let epoch = self.entry(at).epoch;
        let first = (0..=at).find(|&index| self.entry(index).epoch == epoch).unwrap();
        (first as u64, self.records[first].0)
    }
}

#[derive(Debug, Clone)]
pub(super) struct DiskPort(Rc<RefCell<Disk>>);

impl Sink for DiskPort {
    fn try_take(&mut self, entry: &Entry) -> Result<Option<Ticket>, AppendError> {
        let mut disk = self.0.borrow_mut();
        if disk.records.len() - disk.synced >= disk.queue_max {
            return Ok(None);
        }
        let (key, payload) = entry.to_buffer();
        let time = AppendTime::from_micros(disk.time_us);
        disk.records.push((time, key, payload));
        let number = disk.taken;
        disk.taken += 1;
        Ok(Some(Ticket { stream: StreamId(0), number }))
    }

    fn queued(&self) -> Queued {
        let disk = self.0.borrow();
        let records = disk.records.len() - disk.synced;
        Queued { records, bytes: records, is_half_empty: records == 0 }
    }

    fn read_marks(&self, marks: &mut Marks) {
        let disk = self.0.borrow();
        marks.raise(StreamId(0), (disk.synced - disk.base) as u64);
    }

    fn is_stalled(&self) -> bool {
        false
    }
}

pub(super) type TestCore = Core<u64, u64, KafkaPort, DiskPort>;

/// What may happen.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Send(u64),
    Sync,
    Deliver(usize),
    Freeze,
    Thaw,
    Seconds(u64),
    Read(usize),
    Note,
    Beat,
    Fill(bool),
    /// Killed; what Kafka still gets of its queue, and whether the note survives.
    Kill(usize, bool),
    Haunt,
    Audit,
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        30 => (0..DEVICES).prop_map(Act::Send),
        12 => Just(Act::Sync),
        12 => (1usize..30).prop_map(Act::Deliver),
        4 => Just(Act::Freeze),
        4 => Just(Act::Thaw),
        9 => prop_oneof![5 => 1u64..8, 2 => 60u64..1_500].prop_map(Act::Seconds),
        12 => (1usize..20).prop_map(Act::Read),
        3 => Just(Act::Note),
        6 => Just(Act::Beat),
        1 => any::<bool>().prop_map(Act::Fill),
        1 => ((0usize..30), any::<bool>()).prop_map(|(ghosts, note)| Act::Kill(ghosts, note)),
        1 => Just(Act::Haunt),
        2 => Just(Act::Audit),
    ];
    prop::collection::vec(act, 20..250)
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) kafka: Rc<RefCell<Kafka>>,
    pub(super) disk: Rc<RefCell<Disk>>,
    pub(super) core: TestCore,
    pub(super) rules: Rules,
    pub(super) began: Instant,
    pub(super) elapsed: Duration,
    pub(super) is_full: bool,
    pub(super) note: Option<Hint>,
    /// By device: the message under way, and the next one's number.
    pub(super) under_way: BTreeMap<u64, u64>,
    pub(super) next: BTreeMap<u64, u64>,
    pub(super) acknowledged: BTreeSet<u64>,
    /// How often the core took each message.
    pub(super) taken: BTreeMap<u64, u64>,
}

/// Message numbers say whose they are.
pub(super) const PER_DEVICE: u64 = 1_000_000;

impl World {
    pub(super) fn new(queue_max: usize, live_max_age: Duration) -> Self {
        let kafka = Rc::new(RefCell::new(Kafka { queue_max, ..Kafka::default() }));
        let disk = Rc::new(RefCell::new(Disk { queue_max: 40, time_us: START_US, ..Disk::default() }));
        let rules = Rules {
            stall_after: STALL_AFTER,
            live_max_age,
            drain_records_per_second_max: None,
            switch_max_records: 3,
        };
        let began = Clock.instant();
        let state = BufferState { end: 0, is_full: false, time: AppendTime::from_micros(START_US) };
        let core = Core::new(
            "gw".parse().unwrap(),
            PARTITIONS,
            rules.clone(),
            (KafkaPort(Rc::clone(&kafka)), Some(DiskPort(Rc::clone(&disk)))),
            0,
            Backlog::default(),
            state,
            began,
        );
        Self {
            kafka,
            disk,
            core,
            rules,
            began,
            elapsed: Duration::ZERO,
            is_full: false,
            note: None,
            under_way: BTreeMap::new(),
            next: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            taken: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.began + self.elapsed
    }

    pub(super) fn clock(&self) -> IngestTime {
        IngestTime::from_micros(START_US + i64::try_from(self.elapsed.as_micros()).unwrap())
    }

    pub(super) fn state(&self) -> BufferState {
        let end = self.disk.borrow().synced as u64;
        BufferState { end, is_full: self.is_full, time: AppendTime::from_micros(self.clock().as_micros()) }
    }

    pub(super) fn advance(&mut self) {
        // No two moments are the same.
        self.elapsed += Duration::from_micros(10);
        self.disk.borrow_mut().time_us = self.clock().as_micros();
        let mut acknowledged = Vec::new();
        self.core.advance(self.now(), self.clock(), self.state(), &mut acknowledged).unwrap();
        for message in acknowledged.into_iter().map(Durable::into_inner) {
            self.acknowledged.insert(message);
            let device = message / PER_DEVICE;
            if self.under_way.get(&device) == Some(&message) {
                self.under_way.remove(&device);
            }
        }
        if let Some(limit) = self.core.wants_cut(self.now(), self.clock()) {
            let (at, since) = self.disk.borrow().chunk_at(limit);
            self.core.cut(at, since, self.now());
        }
    }

    /// A device sends its next message, unless one is under way; then that one again, if its process was killed.
    pub(super) fn send(&mut self, device: u64) {
        if !self.core.accepts() || self.under_way.contains_key(&device) {
            return;
        }
        let next = self.next.entry(device).or_default();
        let message = device * PER_DEVICE + *next;
        *next += 1;
        self.under_way.insert(device, message);
        self.hand_in(message);
    }

    pub(super) fn hand_in(&mut self, message: u64) {
        let (device, received) = (message / PER_DEVICE, self.clock());
        let partition = PartitionId(u32::try_from(device).unwrap() % PARTITIONS);
        let draft = |messages| Draft::of(None, received, messages, &Body::ModelActivated(PlantHash(message)));
        // Some messages become records in both partitions, some a dead letter, some both.
        let (mut drafts, mut letter) = (vec![(partition, draft(1))], None);
        if message % 7 == 3 {
            drafts.push((PartitionId(1 - partition.0), draft(0)));
        }
        if message % 5 == 2 {
            drafts.truncate(usize::from(message.is_multiple_of(2)) * 2);
            letter = Some(dead_letter(message, received, drafts.is_empty()));
        }
        let account = MessageAccount::new(received, !drafts.is_empty(), 0, 0, letter.is_some());
        let message_in = Message { link: device, token: message, account, drafts, letter };
        *self.taken.entry(message).or_default() += 1;
        self.core.begin(message_in, self.now(), received).unwrap();
    }

    pub(super) fn read(&mut self, count: usize) {
        let Some(from) = self.core.wants_records() else { return };
        let start = usize::try_from(from).unwrap();
        let records: Vec<Buffered> = {
            let disk = self.disk.borrow();
            let end = (start + count).min(disk.synced);
            (start..end)
                .map(|index| Buffered {
                    offset: index as u64,
                    time: disk.records[index].0,
                    entry: disk.entry(index),
                })
                .collect()
        };
        let end = from + records.len() as u64;
        self.core.take_records(from, records, end);
    }

    pub(super) fn note(&mut self) {
        let end = self.disk.borrow().synced as u64;
        self.note = Some(Hint::new(end, self.core.backlog().pending(end), self.core.last_epoch()));
    }

    pub(super) fn kill(&mut self, ghosts: usize, note_survives: bool) {
        self.kafka.borrow_mut().lose_appender(ghosts);
        let end = {
            let mut disk = self.disk.borrow_mut();
            let synced = disk.synced;
            disk.records.truncate(synced);
            (disk.taken, disk.base) = (0, synced);
            synced as u64
        };
        if !note_survives {
            self.note = None;
        }
        let mut pending = match &self.note {
            Some(note) => note.pending(0, end),
            None => std::iter::once(0..end).filter(|range| !range.is_empty()).collect(),
        };
        let limit = self.state().time.minus(self.rules.live_max_age);
        let mut backlog = Backlog::default();
        if let Some(newest) = pending.pop() {
            let since = AppendTime::from_micros(START_US);
            let closed = pending.into_iter().map(|range| Part::new(range.start, Some(range.end), since));
            backlog.old.extend(closed);
            let (at, time) = self.disk.borrow().chunk_at(limit);
            if at >= newest.end {
                backlog.old.push_back(Part::new(newest.start, Some(newest.end), since));
            } else {
                backlog.fresh = Some(Part::new(newest.start, None, since));
                backlog.split(at, time);
            }
        }
        let least = self.note.as_ref().map_or(0, |note| note.last_epoch + 1);
        self.core = Core::new(
            "gw".parse().unwrap(),
            PARTITIONS,
            self.rules.clone(),
            (KafkaPort(Rc::clone(&self.kafka)), Some(DiskPort(Rc::clone(&self.disk)))),
            least,
            backlog,
            self.state(),
            self.now(),
        );
        self.advance();
        self.send_again();
    }

    /// Senders send again what was not acknowledged by the process that was killed.
    pub(super) fn send_again(&mut self) {
        let under_way: Vec<u64> = self.under_way.values().copied().collect();
        for message in under_way {
            if self.core.accepts() {
                self.hand_in(message);
            } else {
                // It will, as soon as it may; for the model it is the device's next message.
                let device = message / PER_DEVICE;
                self.under_way.remove(&device);
                *self.next.get_mut(&device).unwrap() -= 1;
            }
        }
    }

    pub(super) fn act(&mut self, act: &Act) {
        match *act {
            Act::Send(device) => self.send(device),
            Act::Sync => {
                let mut disk = self.disk.borrow_mut();
                disk.synced = disk.records.len();
            }
            Act::Deliver(count) => self.kafka.borrow_mut().deliver(count),
            Act::Freeze => self.kafka.borrow_mut().is_frozen = true,
            Act::Thaw => self.kafka.borrow_mut().is_frozen = false,
            Act::Seconds(count) => {
                self.elapsed += Duration::from_secs(count);
                let mut kafka = self.kafka.borrow_mut();
                if !kafka.queue.is_empty() {
                    kafka.idle_seconds += count;
                    kafka.is_stalled |= kafka.idle_seconds >= STALL_AFTER.as_secs();
                }
            }
            Act::Read(count) => self.read(count),
            Act::Note => self.note(),
            Act::Beat => self.core.beat(self.now(), self.clock()).unwrap(),
            Act::Fill(is_full) => self.is_full = is_full,
            Act::Kill(ghosts, note) => self.kill(ghosts, note),
            Act::Haunt => self.kafka.borrow_mut().haunt(),
            Act::Audit => self.audit(),
        }
        self.advance();
    }

    /// Everything works again until nothing is left to do.
    pub(super) fn settle(&mut self) {
        self.is_full = false;
        for round in 0.. {
            assert!(round < 10_000, "it never comes to rest: {:?}", self.core);
            for act in [Act::Thaw, Act::Haunt, Act::Sync, Act::Read(50), Act::Deliver(50), Act::Seconds(1)] {
                self.act(&act);
            }
            let is_at_rest = !self.core.is_buffering()
                && self.core.waiting() == 0
                && self.core.backlog().records(self.state().end) == 0
                && self.kafka.borrow().queue.is_empty();
            if is_at_rest {
                break;
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.core.end(self.now(), self.clock()).unwrap();
        self.core.say_good_bye(self.now(), self.clock()).unwrap();
        for _ in 0..20 {
            self.act(&Act::Deliver(50));
        }
        assert!(self.core.is_through());
    }

    /// What a reader takes of a stream.
    pub(super) fn arrivals(&self, stream: u32) -> Vec<Entry> {
        let mut filter = RedeliveryFilter::default();
        let kafka = self.kafka.borrow();
        let entries = kafka.log.get(&stream).into_iter().flatten();
        entries
            .filter(|Entry { epoch, seq, .. }| {
                let origin = Origin { gateway: "gw".parse().unwrap(), epoch: *epoch, seq: *seq };
                filter.observe(&origin) == Arrival::First
            })
            .cloned()
            .collect()
    }

    pub(super) fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        for stream in 0..PARTITIONS {
            let mut ledger = CommitLedger::default();
            let mut decoder = EnvelopeDecoder::default();
            for entry in self.arrivals(stream) {
                ledger.count(&decoder.decode(entry.payload).unwrap(), Fate::New { kept: 0 });
            }
            let partition = PartitionId(stream);
            evidence.stretches.push(Stretch { partition, ledger, archived: false });
        }
        for stream in PARTITIONS..2 * PARTITIONS {
            for entry in self.arrivals(stream) {
                let letter = DeadLetter::decode(entry.payload).unwrap();
                assert_eq!((letter.origin.epoch, letter.origin.seq), (entry.epoch, entry.seq));
                let key = (letter.origin.gateway, letter.origin.epoch, letter.ingest_time.hour_start());
                let letters: &mut Letters = evidence.letters.entry(key).or_default();
                letters.letters += 1;
                letters.messages += u64::from(letter.messages);
            }
        }
        evidence
    }

    pub(super) fn audit(&self) {
        let report = audit(&self.evidence());
        assert_eq!(report.differences, [], "the audit balances at every moment");
    }

    /// Messages in the order in which readers meet them first, by partition; with how often each arrived as a record.
    pub(super) fn messages(&self) -> (Vec<Vec<u64>>, BTreeMap<u64, u64>) {
        let (mut orders, mut counts) = (Vec::new(), BTreeMap::new());
        for stream in 0..PARTITIONS {
            let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
            let mut decoder = EnvelopeDecoder::default();
            for entry in self.arrivals(stream) {
                let envelope = decoder.decode(entry.payload).unwrap();
                let Body::ModelActivated(PlantHash(message)) = envelope.body else { continue };
                if envelope.messages == 1 {
                    *counts.entry(message).or_default() += 1;
                    if seen.insert(message) {
                        order.push(message);
                    }
                }
            }
            orders.push(order);
        }
        for stream in PARTITIONS..2 * PARTITIONS {
            for entry in self.arrivals(stream) {
                let letter = DeadLetter::decode(entry.payload).unwrap();
                if letter.messages == 1 {
                    *counts.entry(letter.payload_hash).or_default() += 1;
                }
            }
        }
        (orders, counts)
    }

    /// A number never stands for two things.
    pub(super) fn assert_numbers_are_unique(&self) {
        let kafka = self.kafka.borrow();
        for entries in kafka.log.values() {
            let mut known: BTreeMap<(u64, u64), &bytes::Bytes> = BTreeMap::new();
            for Entry { epoch, seq, payload, .. } in entries {
                let first = known.entry((*epoch, *seq)).or_insert(payload);
                assert_eq!(*first, payload, "{epoch}/{seq} stands for two records");
            }
        }
    }
}

pub(super) fn dead_letter(message: u64, received: IngestTime, is_whole: bool) -> DeadLetter {
    DeadLetter {
        origin: Origin { gateway: "gw".parse().unwrap(), epoch: 0, seq: 0 },
        ingest_time: received,
        topic: format!("heat/v1/a/b/{}", message / PER_DEVICE),
        client: String::new(),
        user: String::new(),
        content_type: String::new(),
        user_properties: Vec::new(),
        payload: bytes::Bytes::new(),
        payload_hash: message,
        faults: vec![Fault { reason: "not_json".to_owned(), place: String::new(), detail: String::new() }],
        messages: u32::from(is_whole),
        readings: 0,
        requeued_from: None,
        retained: false,
    }
}
