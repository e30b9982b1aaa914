//! From records of one partition to the files of one commit.

use std::collections::BTreeMap;

use heat_ledger::{
    commit::{CommitLedger, Fate},
    devices::Sequence,
};
use heat_model::{
    AppendTime, Body, Envelope, Offset, PartitionId, Position,
    record::{NextOffset, Readings},
    time::MICROS_PER_DAY,
};
use parquet::errors::ParquetError;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    archive::Resume,
    buffer::{Buffer, FileRows, Households},
    encode,
    layout::{Dataset, Stretch},
    manifest::{COMMIT_FORMAT, FileEntry, LedgerEntry, Manifest},
    rotation::{Fill, RotationSettings},
    schema,
    table::{self, PlacedRow, TableRow},
};

/// Level of zstd where nothing else is set: nearly all of the ratio at the least cost.
pub const ZSTD_LEVEL: i32 = 1;

/// Which readings of a record are to be kept.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'a> {
    /// All.
    All,
    /// Those that are true here, one for each reading; the others repeat earlier ones.
    Mask(&'a [bool]),
    /// None: the whole record is a redelivery.
    Redelivered,
}

impl Keep<'_> {
    pub(crate) fn keeps(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Mask(mask) => mask[index],
            Self::Redelivered => false,
        }
    }
}

/// Why a record cannot be taken. The commit is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The record does not follow the one before it.
    #[error("offset {found} of {topic}-{partition} came where {expected} or later was due", partition = .partition.0)]
    Order {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// The lowest offset that may come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The record belongs to another partition.
    #[error("a record of partition {found} came to the writer of {topic}-{expected}")]
    Partition {
        /// The topic.
        topic: String,
        /// The writer's.
        expected: u32,
        /// The record's.
        found: u32,
    },
    /// A reading refers to a signal that its set does not have, or the mask has another length than the readings.
    #[error("the record at offset {offset} of {topic} is malformed: {what}")]
    Malformed {
        /// The topic.
        topic: String,
        /// The record.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// A commit could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("encode {path}")]
pub struct SealError {
    path: String,
    source: ParquetError,
}

/// Takes the records of one partition in order and makes commits of them.
///
/// Before each record ask [`Self::should_close_before`]; if so, [`Self::seal`] and publish what comes out, then go
/// on. Heartbeats close commits like all records do, so a quiet partition's readings do not wait.
#[derive(Debug)]
pub struct CommitWriter {
    topic: String,
    partition: PartitionId,
    rotation: RotationSettings,
    zstd_level: i32,
    /// Where the open commit begins.
    first: NextOffset,
    /// The lowest offset that may come.
    next: NextOffset,
    /// Of the last record taken.
    last_append_time: Option<AppendTime>,
    fill: Fill,
    buffer: Buffer,
    tables: BTreeMap<Dataset, Vec<PlacedRow>>,
    ledger: CommitLedger,
}

/// A commit ready to be published: its files in memory, compressed, and its manifest.
#[derive(Debug)]
pub struct SealedCommit {
    pub(crate) manifest: Manifest,
    /// In the order of the manifest's files.
    pub(crate) files: Vec<bytes::Bytes>,
    pub(crate) ledger: bytes::Bytes,
}

impl SealedCommit {
    /// What will be published.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Size of all files.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.iter().map(|file| file.bytes).sum()
    }
}

impl CommitWriter {
    /// Begins where the archive ends, or at `log_start` if it has nothing of the partition yet.
    pub fn new(resume: &Resume, log_start: NextOffset, rotation: RotationSettings) -> Self {
        let first = resume.next_offset.unwrap_or(log_start);
        Self {
            topic: resume.topic.clone(),
            partition: resume.partition,
            rotation,
            zstd_level: ZSTD_LEVEL,
            first,
            next: first,
            last_append_time: None,
            fill: Fill::default(),
            buffer: Buffer::new(),
            tables: BTreeMap::new(),
            ledger: CommitLedger::default(),
        }
    }

    /// Compresses with another level of zstd, 1 to 22.
    #[must_use]
    pub fn with_zstd_level(mut self, level: i32) -> Self {
        self.zstd_level = level;
        self
    }

    /// The lowest offset that may come next; what was taken ends here.
    pub fn next_offset(&self) -> NextOffset {
        self.next
    }

    /// How full the open commit is.
    pub fn fill(&self) -> &Fill {
        &self.fill
    }

    /// Whether the open commit must be sealed before it takes this record. `readings` is the number of readings in
    /// the record, kept or not (0 for any other record): the answer depends on the log alone.
    pub fn should_close_before(&self, position: &Position, readings: usize) -> bool {
        self.rotation.closes_before(&self.fill, position, readings, Buffer::bytes_of(readings))
    }

    /// Whether the log's time has left the open commit's cell of the grid. For readers that learn the time by other
    /// means than a record.
    pub fn is_past(&self, now: AppendTime) -> bool {
        self.rotation.is_past(&self.fill, now)
    }

    /// Says which signals are those of homes: their readings go to `households`. `None`: of none.
    #[must_use]
    pub fn with_households(mut self, households: Option<Households>) -> Self {
        self.buffer.set_households(households);
        self
    }

    /// The same from the next record on.
    pub fn set_households(&mut self, households: Option<Households>) {
        self.buffer.set_households(households);
    }

    /// Takes a record of the input topic. Readings go to `readings`, those of homes to `households`, commands, tickets, forecasts and activations to
    /// `inputs`, heartbeats to the ledger only.
    pub fn append(
        &mut self,
        position: &Position,
        envelope: &Envelope,
        keep: Keep<'_>,
    ) -> Result<(), AppendError> {
        self.check(position)?;
        let (kept, readings, bytes) = match &envelope.body {
            Body::Readings(readings) => {
                let total = readings.readings.len();
                self.check_readings(position, readings, keep)?;
                let kept = self.buffer.append(position, envelope, readings, keep);
                (kept, total, Buffer::bytes_of(total))
            }
            Body::Command(_) | Body::Ticket(_) | Body::Forecast(_) | Body::ModelActivated(_) => {
                let bytes = match keep {
                    Keep::Redelivered => 0,
                    Keep::All | Keep::Mask(_) => {
                        let row =
                            TableRow::of_input(envelope).expect("heartbeats and readings are handled apart");
                        self.push_row(position, Dataset::Inputs, row)
                    }
                };
                (0, 0, bytes)
            }
            Body::Heartbeat(_) => (0, 0, 0),
        };
        let fate = match keep {
            Keep::Redelivered => Fate::Redelivered,
            Keep::All | Keep::Mask(_) => Fate::New { kept },
        };
        self.ledger.count(envelope, fate);
        self.took(position, readings, bytes);
        Ok(())
    }

    /// Counts what the number of a device's message said; the message's record was taken just before.
    pub fn count_device(&mut self, envelope: &Envelope, readings: &Readings, sequence: Sequence) {
        self.ledger.count_device(envelope.ingest_time, sequence, || {
            let network = envelope.network.as_ref().map_or("", |network| network.as_str());
            format!("{network}/{}/{}", readings.set.site, readings.set.device)
        });
    }

    /// Takes a record that could not be decoded: it is counted, and its dead letter is another record's matter.
    pub fn append_undecodable(&mut self, position: &Position) -> Result<(), AppendError> {
        self.check(position)?;
        self.ledger.count_undecodable(position.append_time);
        self.took(position, 0, 0);
        Ok(())
    }

    /// Takes a record that says only that its key is gone: there is nothing to keep of it.
    pub fn append_tombstone(&mut self, position: &Position) -> Result<(), AppendError> {
        self.check(position)?;
        self.took(position, 0, 0);
        Ok(())
    }

    /// Takes a record of a topic other than the input as a row of a small table.
    pub fn append_row(
        &mut self,
        position: &Position,
        dataset: Dataset,
        row: TableRow,
    ) -> Result<(), AppendError> {
        self.check(position)?;
        let bytes = self.push_row(position, dataset, row);
        self.took(position, 0, bytes);
        Ok(())
    }

    /// Closes the open commit, whether or not a bound is reached, and begins the next. `None` if it took nothing.
    /// After an error the commit is still open and whole.
    pub fn seal(&mut self) -> Result<Option<SealedCommit>, SealError> {
        if self.fill.records == 0 {
            return Ok(None);
        }
        self.buffer.rank_signals();
        let sealed = self.encode()?;
        self.buffer.clear();
        self.tables.clear();
        self.ledger = CommitLedger::default();
        self.fill = Fill::default();
        self.first = self.next;
        Ok(Some(sealed))
    }

    fn check(&self, position: &Position) -> Result<(), AppendError> {
        if position.partition != self.partition {
            return Err(AppendError::Partition {
                topic: self.topic.clone(),
                expected: self.partition.0,
                found: position.partition.0,
            });
        }
        if position.offset.0 < self.next.0 {
            return Err(AppendError::Order {
                topic: self.topic.clone(),
                partition: self.partition,
                expected: self.next.0,
                found: position.offset.0,
            });
        }
        Ok(())
    }

    fn check_readings(
        &self,
        position: &Position,
        readings: &Readings,
        keep: Keep<'_>,
    ) -> Result<(), AppendError> {
        let malformed =
            |what| Err(AppendError::Malformed { topic: self.topic.clone(), offset: position.offset.0, what });
        let signals = readings.set.signals.len();
        if readings.readings.iter().any(|reading| reading.signal as usize >= signals) {
            return malformed("a reading's signal is not in its set");
        }
        if matches!(keep, Keep::Mask(mask) if mask.len() != readings.readings.len()) {
            return malformed("the mask of kept readings has another length than the readings");
        }
        Ok(())
    }

    fn push_row(&mut self, position: &Position, dataset: Dataset, row: TableRow) -> usize {
        let bytes = row.buffer_bytes();
        self.tables.entry(dataset).or_default().push(PlacedRow { row, position: position.clone() });
        bytes
    }

    fn took(&mut self, position: &Position, readings: usize, bytes: usize) {
        self.next = position.offset.next();
        self.last_append_time = Some(position.append_time);
        self.fill.records += 1;
        self.fill.readings += readings;
        self.fill.buffer_bytes += bytes;
        self.fill.first_append_time.get_or_insert(position.append_time);
    }

    fn ledger_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.ledger).expect("a ledger has string keys only")
    }

    fn encode(&self) -> Result<SealedCommit, SealError> {
        let last = Offset(self.next.0 - 1);
        let stretch =
            Stretch { topic: &self.topic, partition: self.partition, first: Offset(self.first.0), last };
        let mut files = Vec::new();
        let gateways: Vec<&str> = self.buffer.gateways().collect();
        let shared = encode::Shared {
            messages: self.buffer.messages(),
            gateways: &gateways,
            partition: self.partition.0,
            zstd_level: self.zstd_level,
            weighs: false,
        };
        let mut zstd = encode::Zstd::new(self.zstd_level)
            .map_err(|source| SealError { path: stretch.ledger_path(), source })?;
        for rows in self.buffer.files() {
            let path = stretch.readings_path(rows.dataset, rows.day, rows.network);
            let metadata = schema::metadata(&stretch, rows.rows.len() as u64);
            let bytes = encode::readings_file(&shared, &mut zstd, &rows, metadata)
                .map_err(|source| SealError { path: path.clone(), source })?;
            files.push((readings_entry(path, &rows, bytes.len()), bytes::Bytes::from(bytes)));
        }
        for (&dataset, rows) in &self.tables {
            for of_day in table::by_day(rows) {
                let day = of_day[0].position.append_time.as_micros().div_euclid(MICROS_PER_DAY);
                let path = stretch.table_path(dataset, day);
                let metadata = schema::metadata(&stretch, of_day.len() as u64);
                let bytes = table::encode(of_day, metadata, self.zstd_level)
                    .map_err(|source| SealError { path: path.clone(), source })?;
                files.push((table::entry(dataset, path, of_day, bytes.len()), bytes::Bytes::from(bytes)));
            }
        }
        files.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        let (entries, files) = files.into_iter().unzip();
        let ledger = self.ledger_bytes();
        let manifest = Manifest {
            format: COMMIT_FORMAT,
            topic: self.topic.clone(),
            partition: self.partition,
            first_offset: Offset(self.first.0),
            last_offset: last,
            next_offset: self.next,
            last_append_time_us: self.last_append_time.map(AppendTime::as_micros),
            records: self.fill.records,
            hours: self.ledger.hours(),
            undecodable: self.ledger.undecodable.clone(),
            files: entries,
            ledger: LedgerEntry { path: stretch.ledger_path(), xxh3: format!("{:016x}", xxh3_64(&ledger)) },
            chapter: None,
        };
        Ok(SealedCommit { manifest, files, ledger: ledger.into() })
    }
}

fn readings_entry(path: String, rows: &FileRows<'_>, bytes: usize) -> FileEntry {
    let times = || rows.rows.iter().map(|row| row.event_time);
    FileEntry {
        dataset: rows.dataset,
        path,
        network: Some(rows.network.clone()),
        bytes: bytes as u64,
        rows: rows.rows.len() as u64,
        min_event_time_us: times().min().expect("a file has rows"),
        max_event_time_us: times().max().expect("a file has rows"),
        hours: rows.hours.0.clone(),
        offsets: None,
    }
}
