//! Recorded CSV files as the log would have held them: merged by arrival, one record per device and time.
//!
//! A row arrives when its `[received]` column says, or else when it was measured. The lane follows as at a gateway: as
//! declared, or history if it is older than the bound at arrival; so do marks of wrong clocks. Rows of one arrival are
//! ordered by device and by the order in which the files were named, readings of a record by name as an archive has
//! them, so the outcome depends neither on how files are split nor on the order of columns. Memory holds one row ahead per file that is being read, never a file (but for those with the newest row
//! first, which the mapping bounds).

mod devices;
mod file;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use heat_codec::{
    mapping::Mapping,
    recorded::{CellFault, RecordedFault},
};
use heat_gateway::clock_guard::ClockBounds;
use heat_model::{
    AppendTime, Body, Envelope, EventTime, GatewayId, IngestTime, Lane, Offset, Origin, PartitionId,
    Position, Quality, Reading, record::Readings,
};

use self::{
    devices::Devices,
    file::{Head, OneFile},
};
use crate::Span;

/// Readings of one instant that are held before they are given out.
const INSTANT_READINGS_MAX: usize = 1 << 20;
/// A longer silence of all files is taken for a wrong time: 400 days.
const JUMP_MAX_US: i64 = 400 * 86_400_000_000;
/// Faults of cells and rows that are kept to be shown; all are counted.
const FAULTS_KEPT: usize = 20;

/// Files of one kind.
#[derive(Debug, Clone)]
pub struct FileSet {
    /// Name of the mapping, for messages.
    pub mapping_name: String,
    /// How they are read.
    pub mapping: Mapping,
    /// The files; `-` is standard input.
    pub files: Vec<PathBuf>,
}

/// Recorded data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The file cannot be opened or read.
    #[error("cannot read {file}: {source}")]
    Open {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not what its mapping says.
    #[error("{fault}; {mapping} describes it: {remedy}")]
    Mapping {
        /// What is wrong.
        fault: Box<RecordedFault>,
        /// Name of the mapping.
        mapping: String,
        /// What to write there.
        remedy: &'static str,
    },
    /// The rows are in no order of time.
    #[error(
        "{file}: {rows} of the first {of} rows come more than 15 min after later ones (such as line {line}): sort the file by \
         its time, or name the column of arrival under [received]; order = \"descending\" reads newest rows first"
    )]
    Unordered {
        /// Which.
        file: String,
        /// Rows out of order.
        rows: u64,
        /// Rows read.
        of: u64,
        /// The newest of them.
        line: u64,
    },
    /// Time leaps.
    #[error(
        "{file}:{line}: the time leaps by {days} days: remove the row, split the data there, or use --from and --to"
    )]
    Jump {
        /// Which.
        file: String,
        /// The row behind the leap.
        line: u64,
        /// How far.
        days: i64,
    },
    /// Nothing could be read.
    #[error("no reading in {files} file(s){first}: look at columns, times and `missing` of the mapping")]
    Nothing {
        /// How many files.
        files: usize,
        /// The first fault, if there was one.
        first: String,
    },
}

/// What was odd about the data, but did not stop them from being read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Oddities {
    /// Rows read.
    pub rows: u64,
    /// Rows that could not be read.
    pub bad_rows: u64,
    /// Cells that could not be taken.
    pub bad_cells: u64,
    /// The first of these faults.
    pub faults: Vec<String>,
    /// Rows that came after later ones of their file.
    pub out_of_order: u64,
    /// Rows whose time lies ahead of the rows behind them.
    pub ahead: u64,
    /// Local times of an hour that occurred twice.
    pub repeated_hour: u64,
    /// Local times of an hour that did not occur.
    pub skipped_hour: u64,
}

impl Oddities {
    fn note(&mut self, fault: String) {
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(fault);
        }
    }

    fn bad_row(&mut self, fault: &RecordedFault) {
        self.bad_rows += 1;
        self.note(fault.to_string());
    }

    fn bad_cell(&mut self, file: &str, fault: &CellFault) {
        self.bad_cells += 1;
        self.note(format!(
            "{file}:{}, column {}: {:?}: {}",
            fault.line, fault.column, fault.found, fault.reason
        ));
    }
}

/// Readings of one device and time.
#[derive(Debug)]
struct Group {
    device: u32,
    file: usize,
    lane: Lane,
    event_time: EventTime,
    readings: Vec<Reading>,
}

/// Recorded data as a log of one partition.
#[derive(Debug)]
pub struct Recorded {
    files: Vec<OneFile>,
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    devices: Devices,
    bounds: ClockBounds,
    gateway: GatewayId,
    span: Span,
    ready: VecDeque<Envelope>,
    groups: Vec<Group>,
    scratch: Vec<(u32, Reading)>,
    now_us: Option<i64>,
    next_offset: u64,
    readings: u64,
    oddities: Oddities,
    read: Arc<AtomicU64>,
    total: u64,
}

/// What stands for the gateway of recorded data.
fn gateway() -> GatewayId {
    GatewayId::new("recorded").expect("the word is an id")
}

impl Recorded {
    /// Opens all files far enough to know their columns and first times.
    pub fn open(sets: &[FileSet], span: Span) -> Result<Self, RecordedError> {
        let read = Arc::new(AtomicU64::new(0));
        let mut recorded = Self {
            files: Vec::new(),
            heads: BinaryHeap::new(),
            devices: Devices::default(),
            bounds: ClockBounds::default(),
            gateway: gateway(),
            span,
            ready: VecDeque::new(),
            groups: Vec::new(),
            scratch: Vec::new(),
            now_us: None,
            next_offset: 0,
            readings: 0,
            oddities: Oddities::default(),
            read: Arc::clone(&read),
            total: 0,
        };
        for set in sets {
            for path in &set.files {
                let mut file = OneFile::new(set, path, Arc::clone(&read));
                let mut ignored = Oddities::default();
                // A regular file is opened again when its turn comes: a winter of daily files needs few descriptors.
                let head = if file.can_reopen()? {
                    let mut peeked = OneFile::new(set, path, Arc::default());
                    let head = peeked.open(&mut recorded.devices, &mut ignored)?;
                    recorded.total += std::fs::metadata(path).map_or(0, |metadata| metadata.len());
                    head
                } else {
                    file.open(&mut recorded.devices, &mut recorded.oddities)?
                };
                if let Some(head) = head {
                    recorded.heads.push(Reverse((head.arrival_us, recorded.files.len())));
                } else {
                    recorded.oddities.faults.append(&mut ignored.faults);
                    recorded.oddities.bad_rows += ignored.bad_rows;
                }
                recorded.files.push(file);
            }
        }
        Ok(recorded)
    }

    /// Bytes read and bytes there are, of files whose size is known.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed).min(self.total), self.total)
    }

    /// What was odd so far.
    pub fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    /// The next record of the log.
    pub fn next_record(&mut self) -> Result<Option<(Position, Envelope)>, RecordedError> {
        while self.ready.is_empty() {
            if !self.next_instant()? {
                self.count_times();
                return if self.readings == 0 { Err(self.nothing()) } else { Ok(None) };
            }
        }
        let envelope = self.ready.pop_front().expect("it is not empty");
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(envelope.origin.seq),
            append_time: AppendTime::from_micros(envelope.ingest_time.as_micros()),
        };
        Ok(Some((position, envelope)))
    }

    fn nothing(&self) -> RecordedError {
        let first = self.oddities.faults.first().map(|fault| format!("; {fault}")).unwrap_or_default();
        RecordedError::Nothing { files: self.files.len(), first }
    }

    fn count_times(&mut self) {
        for file in &mut self.files {
            file.finish(&mut self.oddities);
        }
    }

    /// Gathers all rows of the earliest arrival. False at the end.
    fn next_instant(&mut self) -> Result<bool, RecordedError> {
        let Some(&Reverse((arrival_us, first))) = self.heads.peek() else { return Ok(false) };
        if self.span.is_over(arrival_us) {
            self.heads.clear();
            return Ok(false);
        }
        let mut gathered = 0;
        while let Some(&Reverse((at_us, index))) = self.heads.peek() {
            if at_us != arrival_us || gathered >= INSTANT_READINGS_MAX {
                break;
            }
            self.heads.pop();
            let Some(head) = self.files[index].take(&mut self.devices, &mut self.oddities)? else { continue };
            if self.span.has_begun(arrival_us) {
                self.leap(arrival_us, first, head.line)?;
                gathered += head.values.len();
                self.place(index, &head);
            }
            if let Some(next_us) = self.files[index].head_arrival_us() {
                self.heads.push(Reverse((next_us, index)));
            }
        }
        self.emit(arrival_us);
        Ok(true)
    }

    fn leap(&mut self, arrival_us: i64, file: usize, line: u64) -> Result<(), RecordedError> {
        let before = self.now_us.replace(arrival_us).unwrap_or(arrival_us);
        if arrival_us - before > JUMP_MAX_US {
            let days = (arrival_us - before) / 86_400_000_000;
            return Err(RecordedError::Jump { file: self.files[file].name().to_owned(), line, days });
        }
        Ok(())
    }

    /// Splits a row by device.
    fn place(&mut self, file: usize, head: &Head) {
        let arrival = IngestTime::from_micros(head.arrival_us);
        self.oddities.rows += 1;
        self.readings += head.values.len() as u64;
        self.scratch.clear();
        for value in &head.values {
            let (device, signal) = self.files[file].places()[value.signal as usize];
            let si =
                if value.raw.is_nan() { f64::NAN } else { self.devices.value_of(device, signal, value.raw) };
            let reading = Reading {
                signal,
                event_time: head.event_time,
                raw: value.raw,
                value: si,
                quality: value.quality,
                code: value.code,
            };
            self.scratch.push((device, reading));
        }
        self.scratch.sort_by_key(|(device, _)| *device);
        for readings in self.scratch.chunk_by(|a, b| a.0 == b.0) {
            let device = readings[0].0;
            let lane = head.lane.unwrap_or_else(|| self.bounds.lane(head.event_time, arrival));
            let mark = self.devices.clock_fault(device, self.bounds, head.event_time, arrival, head.lane);
            let marked = |reading: &Reading| match mark {
                Some(code) if reading.quality == Quality::Good => {
                    Reading { quality: Quality::Uncertain, code, ..*reading }
                }
                _ => *reading,
            };
            let readings = readings.iter().map(|(_, reading)| marked(reading)).collect();
            self.groups.push(Group { device, file, lane, event_time: head.event_time, readings });
        }
    }

    /// Turns the gathered groups into records.
    fn emit(&mut self, arrival_us: i64) {
        self.devices.order();
        let devices = &mut self.devices;
        let rank = |group: &Group| (devices.rank(group.device), group.file, group.event_time, group.lane);
        self.groups.sort_by_key(rank);
        let mut groups = self.groups.drain(..).peekable();
        while let Some(mut group) = groups.next() {
            let same = |next: &Group| {
                (next.device, next.file, next.event_time, next.lane)
                    == (group.device, group.file, group.event_time, group.lane)
            };
            let mut more = Vec::new();
            while let Some(next) = groups.next_if(same) {
                more.extend(next.readings);
            }
            group.readings.append(&mut more);
            let set = devices.set(group.device);
            devices.sort(group.device, &mut group.readings);
            self.ready.push_back(Envelope {
                network: Some(set.network.clone()),
                origin: Origin { gateway: self.gateway.clone(), epoch: 1, seq: self.next_offset },
                ingest_time: IngestTime::from_micros(arrival_us),
                messages: 1,
                body: Body::Readings(Readings {
                    set,
                    lane: group.lane,
                    device_seq: None,
                    readings: group.readings,
                }),
            });
            self.next_offset += 1;
        }
    }
}

/// A file's name for messages.
fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
