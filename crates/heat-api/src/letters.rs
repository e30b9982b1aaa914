//! Dead letters: the newest of them in memory, the older ones in the archive, and which were asked to be taken again.
//!
//! The index holds everything from its horizon on, by the time of the log; what lies before is read from the archive.
//! Payloads are read when somebody looks at one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    str::FromStr,
};

use heat_codec::{
    dead_letter::{DeadLetter, Fault, LetterId},
    reject::RejectReason,
    requeue::Requeue,
};
use heat_model::{AppendTime, EventTime, GatewayId, IngestTime, Offset, PartitionId};

pub(crate) mod archive;
pub(crate) mod read;
pub(crate) mod requeue;

/// Faults of a letter that lists show.
const FAULTS_SHOWN_MAX: usize = 8;
/// Longest topic, client and user that lists show, in characters.
const TEXT_SHOWN_MAX_CHARS: usize = 200;

/// A letter's place in the order of lists: by the time of the log, then by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LetterKey {
    pub(crate) append_time: AppendTime,
    pub(crate) id: LetterId,
}

impl fmt::Display for LetterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.append_time.as_micros(), self.id)
    }
}

impl FromStr for LetterKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (micros, id) = text.split_once('-').ok_or(())?;
        let append_time = AppendTime::from_micros(micros.parse().map_err(|_| ())?);
        Ok(Self { append_time, id: id.parse().map_err(|_| ())? })
    }
}

/// A letter without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) key: LetterKey,
    pub(crate) received: IngestTime,
    pub(crate) topic: String,
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) network: Option<String>,
    /// The first of them.
    pub(crate) faults: Vec<Fault>,
    pub(crate) faults_total: usize,
    pub(crate) whole: bool,
    pub(crate) readings: u32,
    pub(crate) payload_bytes: usize,
    pub(crate) payload_hash: u64,
    pub(crate) requeued_from: Option<LetterId>,
    reasons: Vec<String>,
}

impl Summary {
    pub(crate) fn of(key: LetterKey, letter: &DeadLetter) -> Self {
        let short = |text: &str| text.chars().take(TEXT_SHOWN_MAX_CHARS).collect::<String>();
        let mut reasons: Vec<String> = letter.faults.iter().map(|fault| fault.reason.clone()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        Self {
            key,
            received: letter.ingest_time,
            topic: short(&letter.topic),
            client: short(&letter.client),
            user: short(&letter.user),
            network: letter.network().map(short),
            faults: letter.faults.iter().take(FAULTS_SHOWN_MAX).cloned().collect(),
            faults_total: letter.faults.len(),
            whole: letter.messages > 0,
            readings: letter.readings,
            payload_bytes: letter.payload.len(),
            payload_hash: letter.payload_hash,
            requeued_from: letter.requeued_from,
            reasons,
        }
    }
}

/// Which letters are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) reason: Option<RejectReason>,
    pub(crate) network: Option<String>,
    /// A topic, or an MQTT filter with `+` and `#`.
    pub(crate) topic: Option<String>,
    pub(crate) from: Option<EventTime>,
    pub(crate) to: Option<EventTime>,
}

impl Filter {
    pub(crate) fn wants(&self, letter: &Summary) -> bool {
        let received = letter.received.as_micros();
        self.reason.is_none_or(|reason| letter.reasons.iter().any(|word| word == reason.as_str()))
            && self.network.as_ref().is_none_or(|network| letter.network.as_ref() == Some(network))
            && self.topic.as_ref().is_none_or(|filter| topic_fits(filter, &letter.topic))
            && self.from.is_none_or(|from| received >= from.as_micros())
            && self.to.is_none_or(|to| received < to.as_micros())
    }

    /// Whether no letter at or before this one can be wanted: what is received is logged later, but for an hour in
    /// which the clocks of gateway and log may differ.
    pub(crate) fn is_past(&self, key: LetterKey) -> bool {
        const SLACK_MICROS: i64 = 3_600_000_000;
        let logged = key.append_time.as_micros();
        self.from.is_some_and(|from| logged < from.as_micros().saturating_sub(SLACK_MICROS))
    }
}

/// Whether an MQTT topic filter covers a topic.
fn topic_fits(filter: &str, topic: &str) -> bool {
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// What became of the wish to take a letter again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requeued {
    pub(crate) asked: IngestTime,
    pub(crate) asked_by: String,
    /// How often it was asked.
    pub(crate) times: u32,
    /// The newest request's outcome.
    pub(crate) taken: Option<Taken>,
    request: (PartitionId, Offset),
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) at: IngestTime,
    pub(crate) gateway: GatewayId,
    pub(crate) readings_logged: u32,
    pub(crate) readings_rejected: u32,
    pub(crate) faults: u32,
}

/// The newest letters and requests.
#[derive(Debug)]
pub(crate) struct LetterIndex {
    letters_max: usize,
    letters: BTreeMap<LetterKey, Summary>,
    /// Everything from here on is held; nothing before.
    horizon: Option<LetterKey>,
    /// Partitions of which something was read.
    begun: BTreeSet<PartitionId>,
    requeued: BTreeMap<LetterId, Requeued>,
    requeued_order: VecDeque<LetterId>,
}

impl LetterIndex {
    pub(crate) fn new(letters_max: usize) -> Self {
        Self {
            letters_max: letters_max.max(1),
            letters: BTreeMap::new(),
            horizon: None,
            begun: BTreeSet::new(),
            requeued: BTreeMap::new(),
            requeued_order: VecDeque::new(),
        }
    }

    /// Takes the next record of a partition of the rejected topic; `None` for one that cannot be decoded.
    pub(crate) fn add(&mut self, key: LetterKey, letter: Option<&DeadLetter>) {
        // A partition that is not read from its very beginning has earlier letters in the archive only.
        if self.begun.insert(key.id.partition) && key.id.offset.0 > 0 {
            self.raise_horizon(key);
        }
        let Some(letter) = letter else { return };
        if self.horizon.is_some_and(|horizon| key < horizon) {
            return;
        }
        self.letters.insert(key, Summary::of(key, letter));
        if self.letters.len() > self.letters_max {
            self.letters.pop_first();
            if let Some((&oldest, _)) = self.letters.first_key_value() {
                self.raise_horizon(oldest);
            }
        }
    }

    fn raise_horizon(&mut self, key: LetterKey) {
        self.horizon = self.horizon.max(Some(key));
        self.letters = self.letters.split_off(&key);
    }

    /// Takes the next record of the requeue topic.
    pub(crate) fn add_requeue(&mut self, partition: PartitionId, offset: Offset, record: &Requeue) {
        match record {
            Requeue::Request(request) => {
                let times = self.requeued.get(&request.letter).map_or(0, |before| before.times);
                if times == 0 {
                    self.requeued_order.push_back(request.letter);
                }
                let requeued = Requeued {
                    asked: request.asked,
                    asked_by: request.asked_by.clone(),
                    times: times + 1,
                    taken: None,
                    request: (partition, offset),
                };
                self.requeued.insert(request.letter, requeued);
                if self.requeued_order.len() > self.letters_max
                    && let Some(oldest) = self.requeued_order.pop_front()
                {
                    self.requeued.remove(&oldest);
                }
            }
            Requeue::Done(done) => {
                let Some(requeued) = self.requeued.get_mut(&done.letter) else { return };
                if requeued.request == (partition, done.request) {
                    requeued.taken = Some(Taken {
                        at: done.done,
                        gateway: done.gateway.clone(),
                        readings_logged: done.readings_logged,
                        readings_rejected: done.readings_rejected,
                        faults: done.faults,
                    });
                }
            }
        }
    }

    /// What became of the wish to take this letter again, if anybody had it.
    pub(crate) fn requeued(&self, id: LetterId) -> Option<&Requeued> {
        self.requeued.get(&id)
    }

    /// The letters held before a place of the order, newest first.
    pub(crate) fn newest_first(&self, before: Option<LetterKey>) -> impl Iterator<Item = &Summary> {
        let end = before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.letters.range((std::ops::Bound::Unbounded, end)).rev().map(|(_, letter)| letter)
    }

    /// Where the archive takes over; `None`: everything is held.
    pub(crate) fn horizon(&self) -> Option<LetterKey> {
        self.horizon
    }

    /// Letters and requests held.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.letters.len(), self.requeued.len())
    }
}

#[cfg(test)]
mod tests;
