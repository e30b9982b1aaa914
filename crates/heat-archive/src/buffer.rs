//! The readings of an open commit, in the order of the log, with what is needed to sort them into files.
//!
//! A row is 32 bytes; names stand once per signal, what a message's rows share once per message. Rows are put into
//! buckets of one signal and one day; files are made of whole buckets. What a row needs of its signal lies apart from the
//! names, in 24 bytes: a city's rows touch every signal in turn.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use heat_model::{
    Envelope, GatewayId, NetworkId, Position, Quality, QualityCode, Reading, SignalSet, SignalSetId,
    record::Readings, time::MICROS_PER_DAY,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    digest::{self, HourDigests, RowLayout, SharedFields},
    layout::Dataset,
    read::ArchivedReading,
    writer::Keep,
};

mod files;

pub(crate) use files::FileRows;

/// Signals remembered from one commit to the next; beyond it the memory starts afresh.
const REMEMBERED_SIGNALS_MAX: usize = 200_000;
/// The same for what sets name, each signal as often as it stands in one.
const REMEMBERED_IN_SETS_MAX: usize = 5 * REMEMBERED_SIGNALS_MAX;

/// Names of one signal, with its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) network: NetworkId,
    /// `network/site/device/name`.
    pub(crate) id: Arc<str>,
    pub(crate) site: Arc<str>,
    pub(crate) device: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) unit: Arc<str>,
    pub(crate) raw_unit: Arc<str>,
}

impl Signal {
    fn is_of(&self, set: &SignalSet, index: usize) -> bool {
        let decl = &set.signals[index];
        *self.name == *decl.name.as_str()
            && *self.unit == *decl.unit
            && *self.raw_unit == *decl.raw_unit
            && *self.device == *set.device.as_str()
            && *self.site == *set.site.as_str()
            && self.network == set.network
    }
}

/// Texts that many signals share, each once: a city has thousands of signals to a name or a unit.
#[derive(Debug, Default)]
struct Texts(HashTable<Arc<str>>);

impl Texts {
    fn shared(&mut self, text: &str) -> Arc<str> {
        let hash = xxh3_64(text.as_bytes());
        if let Some(known) = self.0.find(hash, |known| **known == *text) {
            return Arc::clone(known);
        }
        let known: Arc<str> = text.into();
        self.0.insert_unique(hash, Arc::clone(&known), |known| xxh3_64(known.as_bytes()));
        known
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// What the rows of one message share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) ingest_time: i64,
    pub(crate) append_time: i64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    /// Index into [`Buffer::gateways`].
    pub(crate) gateway: u32,
    pub(crate) lane: u8,
}

/// One reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) event_time: i64,
    /// NaN if null.
    pub(crate) raw: f64,
    /// NaN if null.
    pub(crate) value: f64,
    pub(crate) message: u32,
    /// Its bucket, then quality and code in [`FLAG_BITS`] bits.
    bucket_and_flags: u32,
}

const QUALITY_BITS: u32 = 2;
const FLAG_BITS: u32 = 6;
const _: () = assert!(QualityCode::ALL.len() <= 1 << (FLAG_BITS - QUALITY_BITS), "codes fit the flags");
/// Buckets of a commit: far more than readings may be configured for one.
const BUCKETS_MAX: usize = 1 << (u32::BITS - FLAG_BITS);

/// Rows of one signal on one day.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    signal: u32,
    file: u32,
}

/// The file of one data set, network and day.
#[derive(Debug)]
struct Folder {
    dataset: Dataset,
    network: NetworkId,
    day: i64,
    hours: HourDigests,
}

/// Names of a signal that the buffer knows.
#[derive(Debug)]
struct Known {
    signal: Signal,
    dataset: Dataset,
}

/// What a row needs of its signal.
#[derive(Debug, Clone, Copy)]
struct Filing {
    hash: u64,
    /// Day, bucket and file of its last row in this commit; [`NOWHERE`] if it has none.
    day: i64,
    bucket: u32,
    file: u32,
}

const NOWHERE: u32 = u32::MAX;

/// Tells for each signal of a set whether it belongs to a home.
pub type Households = Arc<dyn Fn(&SignalSet, usize) -> bool + Send + Sync>;

pub(crate) struct Buffer {
    households: Option<Households>,
    /// Those of the next commit: what a signal is does not change within one.
    next_households: Option<Option<Households>>,
    rows: Vec<Row>,
    messages: Vec<Message>,
    gateways: Vec<(GatewayId, u64)>,
    buckets: Vec<Bucket>,
    bucket_of: HashMap<(u32, i64), u32, FixedState>,
    folders: Vec<Folder>,
    folder_of: HashMap<(Dataset, NetworkId, i64), u32, FixedState>,
    known: Vec<Known>,
    /// Of each known signal.
    filings: Vec<Filing>,
    /// Places of the known signals in the order of files; of those known when it was last asked for.
    ranks: Vec<u32>,
    /// The known signals by the hash of their names; the names stand in `known` alone.
    signal_of: HashTable<u32>,
    texts: Texts,
    /// The signals of all sets; where a set's begin.
    set_signals: Vec<u32>,
    set_of: HashMap<SignalSetId, usize, FixedState>,
    last_set: Option<(SignalSetId, usize)>,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            households: None,
            next_households: None,
            rows: Vec::new(),
            messages: Vec::new(),
            gateways: Vec::new(),
            buckets: Vec::new(),
            bucket_of: HashMap::with_hasher(FixedState::default()),
            folders: Vec::new(),
            folder_of: HashMap::with_hasher(FixedState::default()),
            known: Vec::new(),
            filings: Vec::new(),
            ranks: Vec::new(),
            signal_of: HashTable::new(),
            texts: Texts::default(),
            set_signals: Vec::new(),
            set_of: HashMap::with_hasher(FixedState::default()),
            last_set: None,
        }
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = &str> {
        self.gateways.iter().map(|(gateway, _)| gateway.as_str())
    }

    /// Bytes that so many readings of one message take here.
    pub(crate) const fn bytes_of(readings: usize) -> usize {
        readings * size_of::<Row>() + size_of::<Message>()
    }

    /// Takes the readings that are to be kept and says how many those are.
    pub(crate) fn append(
        &mut self,
        position: &Position,
        envelope: &Envelope,
        readings: &Readings,
        keep: Keep<'_>,
    ) -> u64 {
        let signals = self.place_of_set(&readings.set);
        let message = u32::try_from(self.messages.len()).expect("rotation bounds the messages of a commit");
        let gateway = self.gateway_index(&envelope.origin.gateway);
        let shared = SharedFields {
            gateway_hash: self.gateways[gateway as usize].1,
            ingest_time: envelope.ingest_time.as_micros(),
            append_time: position.append_time.as_micros(),
            epoch: envelope.origin.epoch,
            seq: envelope.origin.seq,
            offset: position.offset.0,
            partition: position.partition.0,
            lane: readings.lane as u8,
        };
        let hour = envelope.ingest_time.hour_start();
        let mut layout = RowLayout::new(&shared);
        let before = self.rows.len();
        for (index, reading) in readings.readings.iter().enumerate() {
            if keep.keeps(index) {
                let signal = self.set_signals[signals + reading.signal as usize];
                self.append_row(signal, reading, message, &shared, hour, &mut layout);
            }
        }
        let kept = self.rows.len() - before;
        if kept > 0 {
            self.messages.push(Message {
                ingest_time: shared.ingest_time,
                append_time: shared.append_time,
                epoch: shared.epoch,
                seq: shared.seq,
                offset: shared.offset,
                gateway,
                lane: shared.lane,
            });
        }
        kept as u64
    }

    fn append_row(
        &mut self,
        signal: u32,
        reading: &Reading,
        message: u32,
        shared: &SharedFields,
        hour: i64,
        layout: &mut RowLayout,
    ) {
        let day = archive_day(reading, shared.ingest_time);
        let mut filing = self.filings[signal as usize];
        if filing.day != day || filing.bucket == NOWHERE {
            filing = self.file(signal, day);
        }
        let usable = reading.usable();
        let raw = (!reading.raw.is_nan()).then_some(reading.raw);
        let (quality, code) = (reading.quality as u8, reading.code as u8);
        let event_time = reading.event_time.as_micros();
        let hash = layout.hash(filing.hash, event_time, usable, raw, [quality, code]);
        self.folders[filing.file as usize].hours.add_row(hour, hash);
        self.rows.push(Row {
            event_time,
            raw: reading.raw,
            value: usable.unwrap_or(f64::NAN),
            message,
            bucket_and_flags: filing.bucket << FLAG_BITS | flags(quality, code),
        });
    }

    fn gateway_index(&mut self, gateway: &GatewayId) -> u32 {
        let found = self.gateways.iter().rposition(|(known, _)| known == gateway);
        let index = found.unwrap_or_else(|| {
            self.gateways.push((gateway.clone(), digest::gateway_hash(gateway.as_str())));
            self.gateways.len() - 1
        });
        u32::try_from(index).expect("a commit has fewer gateways than messages")
    }

    /// Finds or makes the bucket of a signal's day, and remembers it for the signal's next row.
    fn file(&mut self, signal: u32, day: i64) -> Filing {
        assert!(self.buckets.len() < BUCKETS_MAX, "rotation bounds the buckets of a commit");
        let next = u32::try_from(self.buckets.len()).expect("there are fewer than BUCKETS_MAX");
        let bucket = *self.bucket_of.entry((signal, day)).or_insert(next);
        if bucket == next {
            let file = self.folder(signal, day);
            self.buckets.push(Bucket { signal, file });
        }
        let file = self.buckets[bucket as usize].file;
        let filing = &mut self.filings[signal as usize];
        *filing = Filing { hash: filing.hash, day, bucket, file };
        *filing
    }

    fn folder(&mut self, signal: u32, day: i64) -> u32 {
        let Known { signal: Signal { network, .. }, dataset } = &self.known[signal as usize];
        let next = u32::try_from(self.folders.len()).expect("a commit has no more files than buckets");
        let folder = *self.folder_of.entry((*dataset, network.clone(), day)).or_insert(next);
        if folder == next {
            let hours = HourDigests::default();
            self.folders.push(Folder { dataset: *dataset, network: network.clone(), day, hours });
        }
        folder
    }

    /// Where the set's signals begin in `set_signals`.
    fn place_of_set(&mut self, set: &SignalSet) -> usize {
        if let Some((id, place)) = self.last_set
            && id == set.id
        {
            return place;
        }
        let place = match self.set_of.get(&set.id) {
            Some(&place) => place,
            None => {
                let place = self.set_signals.len();
                for index in 0..set.signals.len() {
                    let signal = self.signal_index(set, index);
                    self.set_signals.push(signal);
                }
                self.set_of.insert(set.id, place);
                place
            }
        };
        self.last_set = Some((set.id, place));
        place
    }

    fn signal_index(&mut self, set: &SignalSet, index: usize) -> u32 {
        let hash = digest::signal_hash_of(set, index);
        let is_it = |&known: &u32| self.known[known as usize].signal.is_of(set, index);
        if let Some(&known) = self.signal_of.find(hash, is_it) {
            return known;
        }
        let next = u32::try_from(self.known.len()).expect("the memory of signals is bounded far below");
        let decl = &set.signals[index];
        let signal = Signal {
            network: set.network.clone(),
            id: set.signal_id(index).to_string().into(),
            site: self.texts.shared(set.site.as_str()),
            device: self.texts.shared(set.device.as_str()),
            name: self.texts.shared(decl.name.as_str()),
            unit: self.texts.shared(&decl.unit),
            raw_unit: self.texts.shared(&decl.raw_unit),
        };
        let is_private = self.households.as_ref().is_some_and(|households| households(set, index));
        let dataset = if is_private { Dataset::Households } else { Dataset::Readings };
        self.known.push(Known { signal, dataset });
        self.filings.push(Filing { hash, day: 0, bucket: NOWHERE, file: NOWHERE });
        self.signal_of.insert_unique(hash, next, |&known| self.filings[known as usize].hash);
        next
    }

    /// Forgets the rows; names stay known.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.messages.clear();
        self.gateways.clear();
        self.bucket_of.clear();
        self.folders.clear();
        self.folder_of.clear();
        for bucket in self.buckets.drain(..) {
            self.filings[bucket.signal as usize].bucket = NOWHERE;
        }
        if self.known.len() > REMEMBERED_SIGNALS_MAX || self.set_signals.len() > REMEMBERED_IN_SETS_MAX {
            self.forget_signals();
        }
        if let Some(households) = self.next_households.take() {
            self.households = households;
            self.forget_signals();
        }
    }

    /// Takes effect with the next commit, or at once if this one is empty.
    pub(crate) fn set_households(&mut self, households: Option<Households>) {
        self.next_households = Some(households);
        if self.rows.is_empty() {
            self.clear();
        }
    }

    fn forget_signals(&mut self) {
        self.known.clear();
        self.filings.clear();
        self.ranks.clear();
        self.signal_of.clear();
        self.texts.clear();
        self.set_signals.clear();
        self.set_of.clear();
        self.last_set = None;
    }
}

/// The day under which a reading is filed: of its event time, but of its ingest time where the device's clock is
/// known to be wrong, so that a fault cannot scatter files over the centuries.
fn archive_day(reading: &Reading, ingest_time: i64) -> i64 {
    let time = if reading.code.is_clock_fault() { ingest_time } else { reading.event_time.as_micros() };
    time.div_euclid(MICROS_PER_DAY)
}

fn flags(quality: u8, code: u8) -> u32 {
    u32::from(quality) | u32::from(code) << QUALITY_BITS
}

impl Row {
    /// A row that comes from a file, not from the log: no bucket holds it.
    pub(crate) fn of_file(reading: &ArchivedReading, message: u32) -> Self {
        Self {
            event_time: reading.event_time.as_micros(),
            raw: reading.raw_value.unwrap_or(f64::NAN),
            value: reading.value.unwrap_or(f64::NAN),
            message,
            bucket_and_flags: flags(reading.quality as u8, reading.code as u8),
        }
    }

    fn bucket(&self) -> usize {
        (self.bucket_and_flags >> FLAG_BITS) as usize
    }

    /// The numbers of its quality and code.
    pub(crate) fn flags(&self) -> (u8, u8) {
        let flags = self.bucket_and_flags.to_le_bytes()[0] & ((1 << FLAG_BITS) - 1);
        (flags & ((1 << QUALITY_BITS) - 1), flags >> QUALITY_BITS)
    }

    /// The words of its quality and code.
    pub(crate) fn words(quality: u8, code: u8) -> (&'static str, &'static str) {
        let quality = Quality::from_number(quality).expect("written from a Quality");
        let code = QualityCode::from_number(code).expect("written from a QualityCode");
        (quality.as_str(), code.as_str())
    }
}
