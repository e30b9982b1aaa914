//! The readings of an open commit, in the order of the log, with what is needed to sort them into files.
//!
//! A row is 40 bytes; names stand once per signal, what a message's rows share once per message. Rows are put into
//! buckets of one signal and one day; files are made of whole buckets.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use heat_model::{
    Envelope, GatewayId, NetworkId, Position, Quality, QualityCode, Reading, SignalSet, SignalSetId,
    record::Readings, time::MICROS_PER_DAY,
};

use crate::{
    digest::{self, HourDigests, RowLayout, SharedFields},
    layout::Dataset,
    read::ArchivedReading,
    writer::Keep,
};

/// Signals remembered from one commit to the next; beyond it the memory starts afresh.
const REMEMBERED_SIGNALS_MAX: usize = 200_000;

/// Names of one signal, with its units.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    bucket: u32,
    pub(crate) message: u32,
    pub(crate) quality: u8,
    pub(crate) code: u8,
}

/// Rows of one signal on one day.
#[derive(Debug, Clone)]
struct Bucket {
    signal: u32,
    day: i64,
    rows: usize,
    hours: HourDigests,
}

/// What the buffer knows of a signal.
#[derive(Debug, Clone)]
struct Known {
    signal: Signal,
    hash: u64,
    dataset: Dataset,
    /// The bucket of its last row in this commit.
    last: Option<(i64, u32)>,
}

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
    known: Vec<Known>,
    signal_of: HashMap<Signal, u32, FixedState>,
    set_of: HashMap<SignalSetId, Arc<[u32]>, FixedState>,
    last_set: Option<(SignalSetId, Arc<[u32]>)>,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// Rows of one file: buckets of one data set, network and day, in order of the signal.
#[derive(Debug)]
pub(crate) struct FileRows {
    pub(crate) dataset: Dataset,
    pub(crate) network: NetworkId,
    pub(crate) day: i64,
    /// The signals in order, each with its number of rows.
    pub(crate) runs: Vec<(Signal, usize)>,
    /// The rows in order of (signal, event time).
    pub(crate) rows: Vec<Row>,
    pub(crate) hours: HourDigests,
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
            known: Vec::new(),
            signal_of: HashMap::with_hasher(FixedState::default()),
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
        let signals = self.signals_of(&readings.set);
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
                let signal = signals[reading.signal as usize];
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
        let bucket = match self.known[signal as usize].last {
            Some((last_day, bucket)) if last_day == day => bucket,
            _ => self.bucket_index(signal, day),
        };
        let usable = reading.usable();
        let raw = (!reading.raw.is_nan()).then_some(reading.raw);
        let flags = [reading.quality as u8, reading.code as u8];
        let event_time = reading.event_time.as_micros();
        let hash = layout.hash(self.known[signal as usize].hash, event_time, usable, raw, flags);
        let entry = &mut self.buckets[bucket as usize];
        entry.rows += 1;
        entry.hours.add_row(hour, hash);
        self.rows.push(Row {
            event_time,
            raw: reading.raw,
            value: usable.unwrap_or(f64::NAN),
            bucket,
            message,
            quality: flags[0],
            code: flags[1],
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

    fn bucket_index(&mut self, signal: u32, day: i64) -> u32 {
        let next = u32::try_from(self.buckets.len()).expect("a commit has no more buckets than rows");
        let bucket = *self.bucket_of.entry((signal, day)).or_insert(next);
        if bucket == next {
            self.buckets.push(Bucket { signal, day, rows: 0, hours: HourDigests::default() });
        }
        self.known[signal as usize].last = Some((day, bucket));
        bucket
    }

    fn signals_of(&mut self, set: &SignalSet) -> Arc<[u32]> {
        if let Some((id, signals)) = &self.last_set
            && *id == set.id
        {
            return Arc::clone(signals);
        }
        let signals = match self.set_of.get(&set.id) {
            Some(signals) => Arc::clone(signals),
            None => {
                let signals: Arc<[u32]> = (0..set.signals.len()).map(|i| self.signal_index(set, i)).collect();
                self.set_of.insert(set.id, Arc::clone(&signals));
                signals
            }
        };
        self.last_set = Some((set.id, Arc::clone(&signals)));
        signals
    }

    fn signal_index(&mut self, set: &SignalSet, index: usize) -> u32 {
        let decl = &set.signals[index];
        let signal = Signal {
            network: set.network.clone(),
            id: set.signal_id(index).to_string().into(),
            site: set.site.as_str().into(),
            device: set.device.as_str().into(),
            name: decl.name.as_str().into(),
            unit: (&*decl.unit).into(),
            raw_unit: (&*decl.raw_unit).into(),
        };
        if let Some(&known) = self.signal_of.get(&signal) {
            return known;
        }
        let next = u32::try_from(self.known.len()).expect("the memory of signals is bounded far below");
        let hash = digest::signal_hash_of(set, index);
        let is_private = self.households.as_ref().is_some_and(|households| households(set, index));
        let dataset = if is_private { Dataset::Households } else { Dataset::Readings };
        self.known.push(Known { signal: signal.clone(), hash, dataset, last: None });
        self.signal_of.insert(signal, next);
        next
    }

    /// The rows, file by file, in order of (data set, network, day); each file's rows sorted by signal and event time. The
    /// buffer keeps them until [`Self::clear`].
    pub(crate) fn files(&self) -> impl Iterator<Item = FileRows> {
        let mut order: Vec<u32> =
            (0..u32::try_from(self.buckets.len()).expect("checked at insertion")).collect();
        order.sort_unstable_by_key(|&bucket| {
            let bucket = &self.buckets[bucket as usize];
            let Known { signal, dataset, .. } = &self.known[bucket.signal as usize];
            (*dataset, &signal.network, bucket.day, &signal.id, &signal.unit, &signal.raw_unit)
        });
        let sorted = self.sorted_rows(&order);
        let mut at = 0;
        let groups: Vec<std::ops::Range<usize>> = order
            .chunk_by(|&a, &b| self.file_of(a) == self.file_of(b))
            .map(|group| {
                let start = at;
                at += group.len();
                start..at
            })
            .collect();
        let mut row = 0;
        groups.into_iter().map(move |group| {
            let buckets = &order[group];
            let rows: usize = buckets.iter().map(|&bucket| self.buckets[bucket as usize].rows).sum();
            let places = &sorted[row..row + rows];
            row += rows;
            self.file_rows(buckets, places)
        })
    }

    fn file_of(&self, bucket: u32) -> (Dataset, &NetworkId, i64) {
        let bucket = &self.buckets[bucket as usize];
        let known = &self.known[bucket.signal as usize];
        (known.dataset, &known.signal.network, bucket.day)
    }

    /// Places of the rows, bucket by bucket in the given order (a counting sort); the log's order within a bucket.
    fn sorted_rows(&self, order: &[u32]) -> Vec<u32> {
        let mut starts = vec![0_usize; self.buckets.len()];
        let mut at = 0;
        for &bucket in order {
            starts[bucket as usize] = at;
            at += self.buckets[bucket as usize].rows;
        }
        let mut sorted = vec![0_u32; self.rows.len()];
        for (place, row) in (0_u32..).zip(&self.rows) {
            let start = &mut starts[row.bucket as usize];
            sorted[*start] = place;
            *start += 1;
        }
        sorted
    }

    fn file_rows(&self, buckets: &[u32], places: &[u32]) -> FileRows {
        let mut rows: Vec<Row> = Vec::with_capacity(places.len());
        let mut runs = Vec::with_capacity(buckets.len());
        let mut hours = HourDigests::default();
        let mut places = places.iter();
        for &bucket in buckets {
            let bucket = &self.buckets[bucket as usize];
            let start = rows.len();
            rows.extend(places.by_ref().take(bucket.rows).map(|&place| self.rows[place as usize]));
            let of_signal = &mut rows[start..];
            if !of_signal.is_sorted_by_key(|row| row.event_time) {
                of_signal.sort_by_key(|row| row.event_time);
            }
            bucket.hours.0.iter().for_each(|hour| hours.add(hour));
            runs.push((self.known[bucket.signal as usize].signal.clone(), bucket.rows));
        }
        let (dataset, network, day) = self.file_of(buckets[0]);
        FileRows { dataset, network: network.clone(), day, runs, rows, hours }
    }

    /// Forgets the rows; names stay known.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.messages.clear();
        self.gateways.clear();
        self.bucket_of.clear();
        for bucket in self.buckets.drain(..) {
            self.known[bucket.signal as usize].last = None;
        }
        if self.known.len() > REMEMBERED_SIGNALS_MAX || self.set_of.len() > REMEMBERED_SIGNALS_MAX {
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
        self.signal_of.clear();
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

impl Row {
    /// A row that comes from a file, not from the log: no bucket holds it.
    pub(crate) fn of_file(reading: &ArchivedReading, message: u32) -> Self {
        Self {
            event_time: reading.event_time.as_micros(),
            raw: reading.raw_value.unwrap_or(f64::NAN),
            value: reading.value.unwrap_or(f64::NAN),
            bucket: 0,
            message,
            quality: reading.quality as u8,
            code: reading.code as u8,
        }
    }

    /// The words of its quality and code.
    pub(crate) fn words(quality: u8, code: u8) -> (&'static str, &'static str) {
        let quality = Quality::from_number(quality).expect("written from a Quality");
        let code = QualityCode::from_number(code).expect("written from a QualityCode");
        (quality.as_str(), code.as_str())
    }
}
