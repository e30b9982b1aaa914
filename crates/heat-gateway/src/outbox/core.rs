//! The outbox's decisions, without I/O and clock: which number a record gets, where it goes, when that changes, what is
//! forwarded next, and what may be acknowledged.
//!
//! Two modes. *Direct*: records go to Kafka, numbered in the main epoch. *Buffering*: records go to the buffer, numbered
//! in chunks. A chunk is an epoch of its own, closed by heartbeats that say good-bye, so that chunks can be forwarded in
//! any order while the numbers of each arrive in order, and a record sent again after a crash carries the number that it
//! had. Kafka's appender being given up on ([`Core::spill`]), what it holds is copied to the buffer with its numbers,
//! and the main epoch says good-bye there. While the backlog is forwarded, a main epoch of heartbeats only lets time move;
//! when all fresh records are handed over, it ends and another begins, of direct records.
//!
//! Laws:
//! - A closing heartbeat is handed to Kafka only when everything of its epoch before it is durable there, so that what
//!   it says is true for whoever reads it.
//! - While buffering, new records go behind all older ones; direct records are numbered only when all fresh ones were
//!   handed to the same queue before. Order per device and lane holds within the fresh part and what follows it, and
//!   within each old part.
//! - Old parts go only while Kafka's queue is short.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use heat_ledger::{
    counts::MessageAccount,
    durable::{AckQueue, Durable, Marks, StreamId, Ticket},
};
use heat_log::AppendError;
use heat_model::{GatewayId, IngestTime, record::HourCounts};

use super::{
    backlog::Backlog,
    entry::Entry,
    epoch::{Beat, Epoch},
    in_flight::InFlight,
};

mod modes;
mod terms;

pub(crate) use terms::{BufferState, Buffered, Message, Mode, Moved, Queued, Rules, Sink};
use terms::{Cut, Out, Waiting};

/// Least chunks in the time within which records are fresh. A cut by age falls between chunks, so it is as exact as that.
const CHUNKS_IN_FRESH: u32 = 15;
/// Bounds of how long a chunk lasts at least: shorter ones would be too many numberings, longer ones too coarse.
const CHUNK_MIN: Range<Duration> = Duration::from_secs(10)..Duration::from_secs(60);
/// A longer outage has longer chunks: this many chunks at first, and about seven times as many in a week. Readers keep
/// 1,024 epochs.
const CHUNKS_BEFORE_LONGER: u32 = 128;
/// A chunk ends with so many records, whatever its age.
const CHUNK_RECORDS_MAX: u64 = 1 << 20;

/// The outbox's state. `L` names a link, `T` is what acknowledges a message.
#[derive(Debug)]
pub(crate) struct Core<L, T, K, B> {
    gateway: GatewayId,
    partitions: u32,
    rules: Rules,
    kafka: K,
    buffer: Option<B>,
    mode: Mode,
    cut: Cut,
    main: Option<Epoch>,
    retiring: Option<Epoch>,
    chunk: Option<Epoch>,
    last_epoch: u64,
    outgoing: VecDeque<Out<L, T>>,
    /// Of the message at the front of `outgoing`, as far as it was taken.
    tickets: Vec<Ticket>,
    in_flight: InFlight,
    last_look: Option<Instant>,
    is_stuck: bool,
    blocked_since: Option<Instant>,
    waiting: BTreeMap<L, AckQueue<Waiting<T>>>,
    waiting_len: usize,
    totals: HourCounts,
    /// What is durable in Kafka.
    kafka_marks: Marks,
    /// What may be acknowledged: durable in Kafka, or in the buffer.
    ack_marks: Marks,
    buffer_marks: Marks,
    buffer_taken: u64,
    buffer_state: BufferState,
    /// Copies: how many records the buffer must hold, and what is durable then, by stream.
    copied: VecDeque<(u64, Vec<u64>)>,
    /// By stream: how much must be durable in Kafka before anything is forwarded.
    awaited: Vec<u64>,
    /// By epoch, spill and stream: numbers that Kafka's appender delivers by itself.
    left: BTreeMap<u64, Vec<Vec<Range<u64>>>>,
    backlog: Backlog,
    ready: VecDeque<Buffered>,
    ready_end: u64,
    /// The epoch whose closing heartbeats may go.
    closing: Option<u64>,
    /// Old records forwarded in the present tenth of a second.
    pace: Option<(Instant, u64)>,
    is_ending: bool,
    moved: Moved,
}

impl<L: Ord + Copy, T, K: Sink, B: Sink> Core<L, T, K, B> {
    /// `least_epoch` lies above every epoch that may be in the buffer; `backlog` is what an earlier process left there,
    /// already cut by age. With a fresh part it begins buffering, for what comes belongs behind it.
    #[expect(clippy::too_many_arguments, reason = "a constructor of what does not belong together otherwise")]
    pub(crate) fn new(
        gateway: GatewayId,
        partitions: u32,
        rules: Rules,
        (kafka, buffer): (K, Option<B>),
        least_epoch: u64,
        backlog: Backlog,
        buffer_state: BufferState,
        now: Instant,
    ) -> Self {
        let is_fresh = backlog.fresh.is_some();
        Self {
            gateway,
            partitions,
            rules,
            kafka,
            buffer,
            mode: if is_fresh { Mode::Buffering { since: now, switching: None } } else { Mode::Direct },
            cut: Cut::Done(now),
            main: None,
            retiring: None,
            chunk: None,
            last_epoch: least_epoch.saturating_sub(1),
            outgoing: VecDeque::new(),
            tickets: Vec::new(),
            in_flight: InFlight::default(),
            last_look: None,
            is_stuck: false,
            blocked_since: None,
            waiting: BTreeMap::new(),
            waiting_len: 0,
            totals: HourCounts::default(),
            kafka_marks: Marks::default(),
            ack_marks: Marks::default(),
            buffer_marks: Marks::default(),
            buffer_taken: 0,
            buffer_state,
            copied: VecDeque::new(),
            awaited: Vec::new(),
            left: BTreeMap::new(),
            backlog,
            ready: VecDeque::new(),
            ready_end: 0,
            closing: None,
            pace: None,
            is_ending: false,
            moved: Moved::default(),
        }
    }

    /// Whether the next message may begin. False while the one before waits for room, while the buffer is full, and for
    /// moments while a chunk must be closed.
    pub(crate) fn accepts(&self) -> bool {
        self.outgoing.is_empty()
            && match self.mode {
                Mode::Direct => true,
                Mode::Buffering { switching, .. } => {
                    switching.is_none() && self.cut != Cut::Closing && !self.buffer_state.is_full
                }
            }
    }

    /// Takes a message: numbers its records and hands them over as far as there is room. Only when [`Self::accepts`].
    pub(crate) fn begin(
        &mut self,
        message: Message<L, T>,
        now: Instant,
        clock: IngestTime,
    ) -> Result<(), AppendError> {
        debug_assert!(self.accepts(), "the message before must have been taken");
        if self.is_buffering() && self.is_chunk_due(now) {
            self.close_chunk(clock);
        }
        let number = self.epoch(now, clock).number;
        let Message { link, token, account, drafts, letter } = message;
        let gateway = self.gateway.clone();
        let epoch = if self.is_buffering() { &mut self.chunk } else { &mut self.main };
        let epoch = epoch.as_mut().expect("it was begun above");
        epoch.ledger.receive(&account);
        account.receive_in(&mut self.totals);
        for (partition, draft) in drafts {
            self.outgoing.push_back(Out::Part(epoch.record(&gateway, partition, draft)));
        }
        if let Some(letter) = letter {
            self.outgoing.push_back(Out::Part(epoch.letter(letter)));
        }
        self.outgoing.push_back(Out::End(link, Waiting { token, account, epoch: number }));
        self.pump(now, clock)
    }

    /// A heartbeat into every partition of the input, unless there is no way for it at present.
    pub(crate) fn beat(&mut self, now: Instant, clock: IngestTime) -> Result<(), AppendError> {
        if self.is_ending || self.retiring.is_some() {
            return Ok(());
        }
        let gateway = self.gateway.clone();
        match self.mode {
            Mode::Direct if self.outgoing.is_empty() => {
                let beats = self.main_epoch(now, clock).beat(&gateway, clock, Beat::Everywhere);
                self.outgoing.extend(beats.into_iter().map(Out::Alone));
                self.pump(now, clock)
            }
            Mode::Direct => Ok(()),
            Mode::Buffering { .. } => {
                // Time must move for readers as soon as Kafka takes records, long before the backlog is through.
                if self.can_forward() && !self.kafka.is_stalled() && self.kafka.queued().is_half_empty {
                    self.beat_beside_the_buffer(now, clock, &gateway)?;
                }
                Ok(())
            }
        }
    }

    fn beat_beside_the_buffer(
        &mut self,
        now: Instant,
        clock: IngestTime,
        gateway: &GatewayId,
    ) -> Result<(), AppendError> {
        let mut unfit = Vec::new();
        for beat in self.main_epoch(now, clock).beat(gateway, clock, Beat::Everywhere) {
            match self.kafka.try_take(&beat)? {
                Some(ticket) => self.in_flight.push(ticket, beat),
                None => unfit.push(beat),
            }
        }
        if !unfit.is_empty() {
            // What has a number must follow its predecessors: all of this epoch goes by way of the buffer.
            self.spill(now, clock, unfit);
        }
        Ok(())
    }

    /// Looks at what has become durable, changes the mode if it is time, hands over what waits, and forwards.
    /// Acknowledgeable tokens are added to `acknowledged`.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        clock: IngestTime,
        buffer_state: BufferState,
        acknowledged: &mut Vec<Durable<T>>,
    ) -> Result<(), AppendError> {
        self.buffer_state = buffer_state;
        self.settle(acknowledged);
        if self.buffer.is_some() {
            // Also where nothing more comes: what is new must not make an old chunk count as fresh.
            if self.is_chunk_due(now) {
                self.close_chunk(clock);
            }
            self.change_mode(now, clock);
        }
        self.pump(now, clock)?;
        self.forward(now)
    }

    fn settle(&mut self, acknowledged: &mut Vec<Durable<T>>) {
        self.kafka.read_marks(&mut self.kafka_marks);
        self.kafka.read_marks(&mut self.ack_marks);
        if let Some(buffer) = &self.buffer {
            buffer.read_marks(&mut self.buffer_marks);
            self.ack_marks.raise(self.buffer_stream(), self.buffer_durable());
            while let Some((count, streams)) = self.copied.front()
                && *count <= self.buffer_durable()
            {
                for (stream, &count) in (0..).zip(streams) {
                    self.ack_marks.raise(StreamId(stream), count);
                }
                self.copied.pop_front();
            }
        }
        self.in_flight.settle(&self.kafka_marks);
        self.backlog.settle(&self.kafka_marks);
        if self.backlog.is_empty() {
            self.left.clear();
        }
        let Self { waiting, ack_marks, main, chunk, totals, waiting_len, .. } = self;
        waiting.retain(|_, queue| {
            while let Some(durable) = queue.pop_durable(ack_marks) {
                *waiting_len -= 1;
                acknowledged.push(durable.map(|Waiting { token, account, epoch }| {
                    account.settle_in(totals);
                    // An epoch that was closed has counted it already.
                    let open = main.iter_mut().chain(chunk.iter_mut()).find(|open| open.number == epoch);
                    if let Some(open) = open {
                        open.ledger.settle(&account);
                    }
                    token
                }));
            }
            !queue.is_empty()
        });
    }

    /// Hands over what waits, in order, until a bound is reached.
    fn pump(&mut self, now: Instant, clock: IngestTime) -> Result<(), AppendError> {
        while let Some(out) = self.outgoing.pop_front() {
            match out {
                Out::Part(entry) => match self.hand_over(entry, now)? {
                    Ok(ticket) => self.tickets.push(ticket),
                    Err(entry) => {
                        self.outgoing.push_front(Out::Part(entry));
                        break;
                    }
                },
                Out::Alone(entry) => {
                    if let Err(entry) = self.hand_over(entry, now)? {
                        self.outgoing.push_front(Out::Alone(entry));
                        break;
                    }
                }
                Out::Copied(streams) => self.copied.push_back((self.buffer_taken, streams)),
                Out::End(link, waiting) => {
                    self.waiting.entry(link).or_default().push(waiting, &self.tickets);
                    self.waiting_len += 1;
                    self.tickets.clear();
                }
                Out::Retire => {
                    if let Some(epoch) = self.retiring.take() {
                        let none = std::iter::empty();
                        let beats = epoch.close(&self.gateway, clock, Beat::Last, none);
                        self.outgoing.extend(beats.into_iter().map(Out::Alone));
                    }
                }
            }
        }
        Ok(())
    }

    /// To where the mode says; the entry comes back where there is no room.
    fn hand_over(&mut self, entry: Entry, now: Instant) -> Result<Result<Ticket, Entry>, AppendError> {
        if let (Mode::Buffering { .. }, Some(buffer)) = (self.mode, &mut self.buffer) {
            let Some(ticket) = buffer.try_take(&entry)? else { return Ok(Err(entry)) };
            self.buffer_taken = ticket.number + 1;
            self.moved.spilled += 1;
            return Ok(Ok(Ticket { stream: self.buffer_stream(), number: ticket.number }));
        }
        match self.kafka.try_take(&entry)? {
            Some(ticket) => {
                if self.buffer.is_some() {
                    self.in_flight.push(ticket, entry);
                }
                Ok(Ok(ticket))
            }
            None => {
                self.blocked_since.get_or_insert(now);
                Ok(Err(entry))
            }
        }
    }

    /// The epoch that new records are numbered in.
    fn epoch(&mut self, now: Instant, clock: IngestTime) -> &mut Epoch {
        if !self.is_buffering() {
            return self.main_epoch(now, clock);
        }
        if self.chunk.is_none() {
            let number = self.next_epoch(clock);
            self.chunk = Some(Epoch::new(number, self.partitions, now));
        }
        self.chunk.as_mut().expect("it was begun above")
    }

    fn main_epoch(&mut self, now: Instant, clock: IngestTime) -> &mut Epoch {
        if self.main.is_none() {
            let number = self.next_epoch(clock);
            self.main = Some(Epoch::new(number, self.partitions, now));
        }
        self.main.as_mut().expect("it was begun above")
    }

    /// The time in microseconds, so that no state has to survive to number the next epoch; always rising.
    fn next_epoch(&mut self, clock: IngestTime) -> u64 {
        let by_clock = u64::try_from(clock.as_micros()).unwrap_or(0);
        self.last_epoch = by_clock.max(self.last_epoch + 1);
        self.last_epoch
    }

    fn is_chunk_due(&self, now: Instant) -> bool {
        let Mode::Buffering { since, .. } = self.mode else { return false };
        let least = (self.rules.live_max_age / CHUNKS_IN_FRESH).clamp(CHUNK_MIN.start, CHUNK_MIN.end);
        let age = (now.saturating_duration_since(since) / CHUNKS_BEFORE_LONGER).max(least);
        self.chunk.as_ref().is_some_and(|chunk| {
            chunk.records() >= CHUNK_RECORDS_MAX || now.saturating_duration_since(chunk.began) >= age
        })
    }

    /// The chunk says good-bye where it spoke. Its heartbeats are buffered behind everything of it.
    fn close_chunk(&mut self, clock: IngestTime) {
        let Some(chunk) = self.chunk.take() else { return };
        let open = open_accounts(&self.waiting, &self.outgoing, chunk.number);
        let beats = chunk.close(&self.gateway, clock, Beat::LastWhereUsed, open);
        self.outgoing.extend(beats.into_iter().map(Out::Alone));
    }

    /// The buffer's tickets stand behind all of Kafka's streams.
    fn buffer_stream(&self) -> StreamId {
        StreamId(2 * self.partitions)
    }

    fn buffer_durable(&self) -> u64 {
        self.buffer_marks.count(StreamId(0))
    }

    pub(crate) fn is_buffering(&self) -> bool {
        matches!(self.mode, Mode::Buffering { .. })
    }

    pub(crate) fn kafka(&self) -> &K {
        &self.kafka
    }

    pub(crate) fn buffer(&self) -> Option<&B> {
        self.buffer.as_ref()
    }

    pub(crate) fn stall_after(&self) -> Duration {
        self.rules.stall_after
    }

    /// Messages whose acknowledgement waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_len
    }

    /// Counts over all epochs; a message is logged when it is durable, in Kafka or in the buffer.
    pub(crate) fn totals(&self) -> HourCounts {
        self.totals
    }

    pub(crate) fn moved(&self) -> Moved {
        self.moved
    }

    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(crate) fn last_epoch(&self) -> u64 {
        self.last_epoch
    }
}

/// Accounts of the messages of an epoch that are not acknowledged yet.
fn open_accounts<'a, L, T>(
    waiting: &'a BTreeMap<L, AckQueue<Waiting<T>>>,
    outgoing: &'a VecDeque<Out<L, T>>,
    epoch: u64,
) -> impl Iterator<Item = &'a MessageAccount> {
    let taken = waiting.values().flat_map(AckQueue::items);
    let coming = outgoing.iter().filter_map(|out| match out {
        Out::End(_, waiting) => Some(waiting),
        Out::Part(_) | Out::Alone(_) | Out::Copied(_) | Out::Retire => None,
    });
    taken.chain(coming).filter(move |item| item.epoch == epoch).map(|item| &item.account)
}

#[cfg(test)]
mod tests;
