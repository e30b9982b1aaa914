//! One file: opened when its turn comes, one row ahead.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use heat_codec::{
    mapping::Mapping,
    recorded::{RecordedFault, RecordedReader, Row, RowValue},
};
use heat_model::{EventTime, Lane};

use super::{FileSet, Oddities, RecordedError, devices::Devices, name_of};

/// A row this far ahead of the row behind it has a wrong time, not a late neighbour.
const AHEAD_US: i64 = 3_600_000_000;
/// Rows later than this against the file's own are out of order.
const LATE_US: i64 = 15 * 60_000_000;
/// So many rows out of order may be late data; more, and a twentieth of all, are a file in no order of time.
const UNORDERED_MIN: u64 = 1_000;
const UNORDERED_SHARE: u64 = 20;
const BUFFER: usize = 1 << 16;

type Input = Box<dyn Read + Send>;

/// A row with its time of arrival.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) line: u64,
    pub(super) arrival_us: i64,
    pub(super) event_time: EventTime,
    pub(super) lane: Option<Lane>,
    pub(super) values: Vec<RowValue>,
}

struct Reading {
    reader: RecordedReader<Input>,
    /// Given out next.
    head: Option<Head>,
    /// The row behind it.
    behind: Option<Head>,
    /// Arrival of the row given out before.
    floor_us: i64,
    row: Row,
    rows: u64,
    out_of_order: u64,
}

enum State {
    Closed,
    Open(Box<Reading>),
    Done,
}

pub(super) struct OneFile {
    name: String,
    path: PathBuf,
    mapping: Mapping,
    mapping_name: String,
    state: State,
    places: Vec<(u32, u32)>,
    read: Arc<AtomicU64>,
}

impl std::fmt::Debug for OneFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Counts what is read of a file.
struct Counted {
    input: Input,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl OneFile {
    pub(super) fn new(set: &FileSet, path: &Path, read: Arc<AtomicU64>) -> Self {
        Self {
            name: name_of(path),
            path: path.to_owned(),
            mapping: set.mapping.clone(),
            mapping_name: set.mapping_name.clone(),
            state: State::Closed,
            places: Vec::new(),
            read,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a regular file, which may be opened twice.
    pub(super) fn can_reopen(&self) -> Result<bool, RecordedError> {
        if self.path == Path::new("-") {
            return Ok(false);
        }
        let metadata = std::fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        Ok(metadata.is_file())
    }

    fn unreadable(&self, source: io::Error) -> RecordedError {
        RecordedError::Open { file: self.name.clone(), source }
    }

    fn input(&self) -> io::Result<Input> {
        let plain: Input = if self.path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&self.path)?)
        };
        let counted = Counted { input: plain, read: Arc::clone(&self.read) };
        let mut buffered = BufReader::with_capacity(BUFFER, counted);
        match buffered.fill_buf()? {
            [0x1f, 0x8b, ..] => Ok(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(buffered)))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "it is zstd: unpack it, or pack it with gzip"))
            }
            _ => Ok(Box::new(buffered)),
        }
    }

    /// Opens it and reads its first rows; its signals are placed among the devices.
    pub(super) fn open(
        &mut self,
        devices: &mut Devices,
        oddities: &mut Oddities,
    ) -> Result<Option<Head>, RecordedError> {
        let input = self.input().map_err(|source| self.unreadable(source))?;
        let reader =
            RecordedReader::new(&self.mapping, &self.name, input).map_err(|fault| self.misfit(fault))?;
        self.state = State::Open(Box::new(Reading {
            reader,
            head: None,
            behind: None,
            floor_us: i64::MIN,
            row: Row::default(),
            rows: 0,
            out_of_order: 0,
        }));
        self.places.clear();
        self.place_signals(devices);
        let head = self.read_row(devices, oddities)?;
        let State::Open(reading) = &mut self.state else { return Ok(None) };
        reading.head = head;
        self.read_behind(devices, oddities)?;
        let State::Open(reading) = &self.state else { return Ok(None) };
        Ok(reading.head.clone())
    }

    fn misfit(&self, fault: RecordedFault) -> RecordedError {
        let remedy = match &fault {
            RecordedFault::Column { .. } => "write the header's own word as `column`, or take that entry out",
            RecordedFault::FileName { .. } => {
                "give `file_name` a pattern that fits, or name network, site and device"
            }
            RecordedFault::Empty { .. } => {
                "leave the file out, or set `header = false` if its rows begin at once"
            }
            RecordedFault::Read { .. }
            | RecordedFault::TooLarge { .. }
            | RecordedFault::TooManySignals { .. }
            | RecordedFault::Row { .. }
            | RecordedFault::Time { .. } => "compare the two",
        };
        RecordedError::Mapping { fault: Box::new(fault), mapping: self.mapping_name.clone(), remedy }
    }

    fn place_signals(&mut self, devices: &mut Devices) {
        let State::Open(reading) = &self.state else { return };
        for signal in &reading.reader.signals()[self.places.len()..] {
            self.places.push(devices.place(signal));
        }
    }

    /// Device and signal of each of the file's signals.
    pub(super) fn places(&self) -> &[(u32, u32)] {
        &self.places
    }

    /// Takes the row that is first; opens the file if that was not done.
    pub(super) fn take(
        &mut self,
        devices: &mut Devices,
        oddities: &mut Oddities,
    ) -> Result<Option<Head>, RecordedError> {
        if matches!(self.state, State::Closed) {
            self.open(devices, oddities)?;
        }
        let State::Open(reading) = &mut self.state else { return Ok(None) };
        let taken = reading.head.take();
        reading.floor_us = taken.as_ref().map_or(reading.floor_us, |head| head.arrival_us);
        reading.head = reading.behind.take();
        self.read_behind(devices, oddities)?;
        Ok(taken)
    }

    /// Arrival of the row that is first.
    pub(super) fn head_arrival_us(&self) -> Option<i64> {
        match &self.state {
            State::Open(reading) => reading.head.as_ref().map(|head| head.arrival_us),
            State::Closed | State::Done => None,
        }
    }

    /// Reads the row behind the first one, and settles which of the two has the wrong time if they contradict.
    fn read_behind(&mut self, devices: &mut Devices, oddities: &mut Oddities) -> Result<(), RecordedError> {
        let mut behind = self.read_row(devices, oddities)?;
        let State::Open(reading) = &mut self.state else { return Ok(()) };
        if let (Some(head), Some(behind)) = (&mut reading.head, &mut behind) {
            let back_us = head.arrival_us - behind.arrival_us;
            if back_us > AHEAD_US && behind.arrival_us >= reading.floor_us {
                head.arrival_us = behind.arrival_us;
                oddities.ahead += 1;
            } else if back_us > 0 {
                behind.arrival_us = head.arrival_us;
                if back_us > LATE_US {
                    reading.out_of_order += 1;
                    oddities.out_of_order += 1;
                }
            }
        }
        reading.behind = behind;
        if reading.out_of_order > UNORDERED_MIN && reading.out_of_order * UNORDERED_SHARE > reading.rows {
            return Err(RecordedError::Unordered {
                file: self.name.clone(),
                rows: reading.out_of_order,
                of: reading.rows,
                line: reading.row.line,
            });
        }
        Ok(())
    }

    /// The next row that has a value.
    fn read_row(
        &mut self,
        devices: &mut Devices,
        oddities: &mut Oddities,
    ) -> Result<Option<Head>, RecordedError> {
        let State::Open(reading) = &mut self.state else { return Ok(None) };
        loop {
            match reading.reader.read_row(&mut reading.row) {
                Ok(true) => {
                    for fault in &reading.row.faults {
                        oddities.bad_cell(&self.name, fault);
                    }
                    if !reading.row.values.is_empty() {
                        break;
                    }
                }
                Ok(false) => return Ok(None),
                Err(fault) if fault.is_of_one_row() => oddities.bad_row(&fault),
                Err(fault) => return Err(self.misfit(fault)),
            }
        }
        reading.rows += 1;
        let row = &mut reading.row;
        let head = Head {
            line: row.line,
            arrival_us: row.received.map_or(row.time.as_micros(), |received| received.as_micros()),
            event_time: row.time,
            lane: row.lane,
            values: std::mem::take(&mut row.values),
        };
        self.place_signals(devices);
        Ok(Some(head))
    }

    /// Closes it and adds up what its reader counted.
    pub(super) fn finish(&mut self, oddities: &mut Oddities) {
        if let State::Open(reading) = std::mem::replace(&mut self.state, State::Done) {
            let counts = reading.reader.time_counts();
            oddities.repeated_hour += counts.repeated_hour;
            oddities.skipped_hour += counts.skipped_hour;
        }
    }
}
