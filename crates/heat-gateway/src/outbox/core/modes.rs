//! When the mode changes, and what is forwarded.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use heat_ledger::durable::StreamId;
use heat_log::AppendError;
use heat_model::{AppendTime, IngestTime};

use super::{Beat, BufferState, Buffered, Core, Cut, Mode, Out, Sink, open_accounts};
use crate::outbox::{
    backlog::Part,
    entry::{Entry, Topic},
};

/// How often Kafka's oldest records are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Kafka's queue while the fresh part is forwarded: as much as keeps its batches full.
const DEEP: Depth = Depth { records: 16_384, bytes: 16 << 20 };
/// The same while old parts go beside live records, which wait behind what is queued: about a tenth of a second.
const SHORT: Depth = Depth { records: 4_096, bytes: 4 << 20 };
/// A rate is kept in steps of this.
const PACE_INTERVAL: Duration = Duration::from_millis(100);
/// Another cut by age after another outage, but not after each stumble.
const CUT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Depth {
    records: usize,
    bytes: usize,
}

impl<L: Ord + Copy, T, K: Sink, B: Sink> Core<L, T, K, B> {
    pub(super) fn change_mode(&mut self, now: Instant, clock: IngestTime) {
        self.look(now);
        let is_held_up = self.is_stuck || self.kafka.is_stalled();
        match self.mode {
            Mode::Direct => {
                if is_held_up || self.is_crowded(now) {
                    self.spill(now, clock, Vec::new());
                }
            }
            Mode::Buffering { .. } => {
                if is_held_up && (self.main.is_some() || !self.in_flight.is_empty()) {
                    self.spill(now, clock, Vec::new());
                }
                self.switch_if_caught_up(now, clock);
            }
        }
    }

    fn look(&mut self, now: Instant) {
        let is_due = self.last_look.is_none_or(|last| now.saturating_duration_since(last) >= LOOK_INTERVAL);
        if is_due {
            self.last_look = Some(now);
            self.is_stuck = self.in_flight.is_stuck(now, self.rules.stall_after);
        }
    }

    /// Whether messages have been kept waiting by a full queue for so long, though Kafka takes some.
    fn is_crowded(&mut self, now: Instant) -> bool {
        if self.outgoing.is_empty() && self.kafka.queued().is_half_empty {
            self.blocked_since = None;
        }
        let stall_after = self.rules.stall_after;
        self.blocked_since.is_some_and(|since| now.saturating_duration_since(since) >= stall_after)
    }

    /// Gives up on what Kafka's appender holds: copies of it go to the buffer with their numbers, then what else is
    /// numbered in the main epoch (`more`, and the rest of the message that is being handed over), and the main epoch
    /// says good-bye behind them.
    ///
    /// Epochs never interleave in the buffer, so that a cut between two of them cuts none: an open chunk is closed first.
    pub(in crate::outbox) fn spill(&mut self, now: Instant, clock: IngestTime, more: Vec<Entry>) {
        let left = self.in_flight.leave();
        self.awaited.resize(left.counts.len().max(self.awaited.len()), 0);
        for (awaited, &count) in self.awaited.iter_mut().zip(&left.counts) {
            *awaited = (*awaited).max(count);
        }
        if let Some(mut main) = self.main.take() {
            for account in open_accounts(&self.waiting, &self.outgoing, main.number) {
                main.ledger.settle(account);
            }
            self.retiring = Some(main);
        }
        for (epoch, numbers) in left.numbers {
            self.left.entry(epoch).or_default().push(numbers);
        }
        let mut rest = VecDeque::new();
        if self.is_buffering() {
            self.close_chunk(clock);
        } else {
            std::mem::swap(&mut rest, &mut self.outgoing);
        }
        self.outgoing.extend(left.entries.into_iter().map(Out::Alone));
        self.outgoing.push_back(Out::Copied(left.counts));
        self.outgoing.extend(rest);
        self.outgoing.extend(more.into_iter().map(Out::Alone));
        self.outgoing.push_back(Out::Retire);
        self.blocked_since = None;
        self.is_stuck = false;
        match self.mode {
            Mode::Direct => {
                self.mode = Mode::Buffering { since: now, switching: None };
                self.cut = Cut::Due;
                self.ready.clear();
                let BufferState { end, time, .. } = self.buffer_state;
                self.backlog.fresh = Some(Part::new(end, None, time));
            }
            Mode::Buffering { since, .. } => {
                self.mode = Mode::Buffering { since, switching: None };
                if let Cut::Done(done) = self.cut
                    && now.saturating_duration_since(done) >= CUT_INTERVAL
                {
                    self.cut = Cut::Due;
                }
            }
        }
    }

    /// Whether Kafka has made durable all that it was given up on for. With an empty queue nothing can tell that it
    /// works but a try.
    pub(crate) fn can_forward(&self) -> bool {
        let has_delivered =
            (0..).zip(&self.awaited).all(|(id, &count)| self.kafka_marks.count(StreamId(id)) >= count);
        has_delivered && (!self.kafka.is_stalled() || self.kafka.queued().records == 0)
    }

    /// The append time before which buffered records are old, once that must be known: find the first record of the
    /// chunk that holds it, and [`Self::cut`] there.
    pub(crate) fn wants_cut(&mut self, now: Instant, clock: IngestTime) -> Option<AppendTime> {
        if !self.is_buffering() || !self.can_forward() {
            return None;
        }
        let limit = AppendTime::from_micros(clock.as_micros()).minus(self.rules.live_max_age);
        let is_at_rest = self.outgoing.is_empty() && self.buffer_taken == self.buffer_durable();
        match self.cut {
            Cut::Due if self.backlog.fresh.as_ref().is_none_or(|fresh| fresh.since >= limit) => {
                self.cut = Cut::Done(now);
                None
            }
            Cut::Due => {
                self.cut = Cut::Closing;
                self.close_chunk(clock);
                None
            }
            Cut::Closing if is_at_rest => {
                self.cut = Cut::Asked;
                Some(limit)
            }
            Cut::Closing | Cut::Asked | Cut::Done(_) => None,
        }
    }

    /// What was buffered before this offset waits until the fresh part and what follows it is forwarded.
    pub(crate) fn cut(&mut self, at: u64, since: AppendTime, now: Instant) {
        self.cut = Cut::Done(now);
        self.backlog.split(at, since);
        self.ready.clear();
    }

    /// Back to direct mode in two steps: near the end nothing new is taken, and when all is handed over, what follows
    /// goes behind it in the same queue.
    fn switch_if_caught_up(&mut self, now: Instant, clock: IngestTime) {
        let Mode::Buffering { since, switching } = self.mode else { return };
        let Some(next) = self.backlog.fresh.as_ref().map(|fresh| fresh.next) else { return };
        let can_switch = matches!(self.cut, Cut::Done(_))
            && self.can_forward()
            && !self.kafka.is_stalled()
            && self.retiring.is_none()
            && !self.is_ending;
        let unsynced = self.buffer_taken - self.buffer_durable();
        let end = self.buffer_state.end;
        match switching {
            None => {
                let is_near = end.saturating_sub(next) + unsynced <= self.rules.switch_max_records;
                if can_switch && self.outgoing.is_empty() && is_near {
                    self.mode = Mode::Buffering { since, switching: Some(now) };
                    self.close_chunk(clock);
                }
            }
            Some(began) => {
                let is_through = self.outgoing.is_empty() && unsynced == 0 && next >= end;
                if can_switch && is_through {
                    self.mode = Mode::Direct;
                    self.backlog.close_fresh(end);
                    self.ready.clear();
                    // The newest number belongs to the epoch that runs: the one that only beat ends here.
                    if let Some(main) = self.main.take() {
                        let beats = main.close(&self.gateway, clock, Beat::Last, std::iter::empty());
                        self.outgoing.extend(beats.into_iter().map(Out::Alone));
                    }
                } else if !can_switch || now.saturating_duration_since(began) >= self.rules.stall_after {
                    self.mode = Mode::Buffering { since, switching: None };
                }
            }
        }
    }

    /// Where to read the buffer next, if something of it can be forwarded at once.
    pub(crate) fn wants_records(&self) -> Option<u64> {
        if !self.ready.is_empty() || !self.can_forward() || self.is_ending {
            return None;
        }
        let queued = self.kafka.queued();
        let (depth, part) = match self.mode {
            Mode::Buffering { .. } if !matches!(self.cut, Cut::Done(_)) => return None,
            Mode::Buffering { .. } => (DEEP, self.backlog.fresh.as_ref()),
            Mode::Direct => (SHORT, self.backlog.old()),
        };
        let end = self.buffer_state.end;
        let next = part.filter(|part| part.next < part.end.unwrap_or(end))?.next;
        (queued.records < depth.records && queued.bytes < depth.bytes).then_some(next)
    }

    /// Takes what was read of the buffer from `from` up to `end`; holes may lie between the records.
    pub(crate) fn take_records(&mut self, from: u64, records: Vec<Buffered>, end: u64) {
        let part = match self.mode {
            Mode::Buffering { .. } => self.backlog.fresh.as_mut(),
            Mode::Direct => self.backlog.old_mut(),
        };
        // Read for a part whose turn is over.
        let Some(part) = part.filter(|part| part.next == from) else { return };
        self.ready = records.into();
        if let Some(part_end) = part.end {
            self.ready.retain(|record| record.offset < part_end);
        }
        self.ready_end = end;
        if self.ready.is_empty() {
            part.skip_to(end);
        }
    }

    /// Hands over what was read, as far as Kafka's queue should be filled.
    pub(super) fn forward(&mut self, now: Instant) -> Result<(), AppendError> {
        if self.ready.is_empty() || !self.can_forward() || self.is_ending {
            return Ok(());
        }
        let is_old = !self.is_buffering();
        let depth = if is_old { SHORT } else { DEEP };
        let mut queued = self.kafka.queued();
        while queued.records < depth.records
            && queued.bytes < depth.bytes
            && !(is_old && self.is_paced(now))
            && let Some(record) = self.ready.front()
        {
            let is_left = self.is_left(&record.entry);
            let part = if is_old { self.backlog.old_mut() } else { self.backlog.fresh.as_mut() };
            let Some(part) = part else {
                self.ready.clear();
                break;
            };
            let entry = &record.entry;
            if entry.is_closing && self.closing != Some(entry.epoch) {
                if !part.is_settled() {
                    break;
                }
                self.closing = Some(entry.epoch);
            }
            let (next, time) = (record.offset + 1, record.time);
            if is_left {
                part.pass(next, time, &[]);
            } else {
                let Some(ticket) = self.kafka.try_take(entry)? else { break };
                queued.records += 1;
                queued.bytes += entry.size_bytes();
                self.moved.forwarded += 1;
                part.pass(next, time, &[ticket]);
                if is_old && let Some((_, count)) = &mut self.pace {
                    *count += 1;
                }
            }
            self.ready.pop_front();
            if self.ready.is_empty() {
                part.skip_to(self.ready_end);
            }
        }
        Ok(())
    }

    /// Whether Kafka's appender delivered it by itself.
    fn is_left(&self, Entry { epoch, topic, partition, seq, .. }: &Entry) -> bool {
        let stream = self.stream_of(*topic, *partition);
        self.left.get(epoch).is_some_and(|left| {
            left.iter().any(|numbers| numbers.get(stream).is_some_and(|numbers| numbers.contains(seq)))
        })
    }

    /// Whether the rate of old records is used up for the moment.
    fn is_paced(&mut self, now: Instant) -> bool {
        let Some(most) = self.rules.drain_records_per_second_max else { return false };
        let is_over =
            self.pace.is_none_or(|(began, _)| now.saturating_duration_since(began) >= PACE_INTERVAL);
        if is_over {
            self.pace = Some((now, 0));
        }
        self.pace.is_some_and(|(_, count)| count >= (most / 10).max(1))
    }

    /// Whether time alone may change something: look again soon.
    pub(crate) fn is_impatient(&self) -> bool {
        self.is_buffering()
            || !self.outgoing.is_empty()
            || !self.ready.is_empty()
            || self.blocked_since.is_some()
    }

    /// No further message comes: the chunk is closed. What Kafka does not take by the time that [`Self::give_up`] is
    /// called goes to the buffer.
    pub(crate) fn end(&mut self, now: Instant, clock: IngestTime) -> Result<(), AppendError> {
        self.is_ending = true;
        self.close_chunk(clock);
        if self.is_buffering() {
            self.spill(now, clock, Vec::new());
        }
        self.pump(now, clock)
    }

    /// In direct mode: the main epoch says good-bye, everything before it being durable.
    pub(crate) fn say_good_bye(&mut self, now: Instant, clock: IngestTime) -> Result<(), AppendError> {
        if let Some(main) = self.main.take() {
            let open = open_accounts(&self.waiting, &self.outgoing, main.number);
            let beats = main.close(&self.gateway, clock, Beat::Last, open);
            self.outgoing.extend(beats.into_iter().map(Out::Alone));
        }
        self.pump(now, clock)
    }

    /// Kafka does not take what it should before the end: the buffer keeps it.
    pub(crate) fn give_up(&mut self, now: Instant, clock: IngestTime) -> Result<(), AppendError> {
        if self.buffer.is_some() && !self.is_buffering() {
            self.spill(now, clock, Vec::new());
        }
        self.pump(now, clock)
    }

    /// Whether everything taken is durable and acknowledged.
    pub(crate) fn is_through(&self) -> bool {
        let is_empty = self.outgoing.is_empty() && self.waiting_len == 0;
        is_empty
            && if self.is_buffering() {
                self.buffer_taken == self.buffer_durable()
            } else {
                self.kafka.queued().records == 0
            }
    }

    /// Kafka's stream of a topic partition, in the order of the appender's topics.
    pub(super) fn stream_of(&self, topic: Topic, partition: heat_model::PartitionId) -> usize {
        let before = if topic == Topic::Input { 0 } else { self.partitions };
        (before + partition.0) as usize
    }
}
