//! Recorded data, row by row, as a [`Mapping`] says.
//!
//! Is: a stream over a file that the caller opened (and decompressed). Is not: a merge of several files.
//! Raw values are exactly the numbers of the file's texts. What a cell says becomes a value, a bad value, nothing (it
//! is `missing`), or a fault with line and column; it never becomes something else.

mod source;

use std::{
    collections::HashMap,
    io::{self, Read},
};

use csv::StringRecord;
use heat_model::{
    DeviceId, EventTime, IngestTime, Lane, NetworkId, Quality, QualityCode, SignalName, SiteId,
    unit::conversion,
};

use crate::{
    mapping::{Absent, Ambiguity, FileIds, Layout, Mapping, Order, TimeColumn},
    reject::RejectReason,
};
use source::Source;

pub use source::DESCENDING_MAX_BYTES;

/// Most signals of one file.
pub const SIGNALS_MAX: usize = 100_000;

/// A signal of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSignal {
    /// Network.
    pub network: NetworkId,
    /// Site.
    pub site: SiteId,
    /// Device.
    pub device: DeviceId,
    /// Name.
    pub name: SignalName,
    /// Unit as recorded; `None`: the name's standard one.
    pub unit: Option<Box<str>>,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowValue {
    /// Index in [`RecordedReader::signals`].
    pub signal: u32,
    /// As in the file; NaN for null.
    pub raw: f64,
    /// Trust.
    pub quality: Quality,
    /// Why.
    pub code: QualityCode,
}

/// A cell that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellFault {
    /// Line in the file, from 1.
    pub line: u64,
    /// Its column.
    pub column: String,
    /// What stands there.
    pub found: String,
    /// Why it was not taken.
    pub reason: RejectReason,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// Line in the file, from 1.
    pub line: u64,
    /// When it was measured.
    pub time: EventTime,
    /// When it arrived, if the file tells.
    pub received: Option<IngestTime>,
    /// Lane, if the mapping or the row declares one.
    pub lane: Option<Lane>,
    /// The values. Empty if all cells are missing.
    pub values: Vec<RowValue>,
    /// Cells that could not be taken; the others were.
    pub faults: Vec<CellFault>,
}

/// What was odd, but not wrong, about the times so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeCounts {
    /// Rows whose time is before that of the row before.
    pub out_of_order: u64,
    /// Local times of an hour that occurred twice.
    pub repeated_hour: u64,
    /// Local times of an hour that did not occur.
    pub skipped_hour: u64,
}

/// Why a file, or a row of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordedFault {
    /// The name does not fit the mapping's `file_name`.
    #[error("{file}: the name does not fit the mapping's file_name")]
    FileName {
        /// The file.
        file: String,
    },
    /// A column of the mapping is missing or there twice.
    #[error("{file}: the header has the column {column:?} {count} times instead of once; it has {header}")]
    Column {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// How often it is there.
        count: usize,
        /// What the header has.
        header: String,
    },
    /// The file has no header row.
    #[error("{file}: it is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// Reading failed.
    #[error("{file}: read it")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A descending file does not fit into memory.
    #[error(
        "{file}: a file with the newest row first is read into memory, up to {max_bytes} bytes; turn it round or split it"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// The bound.
        max_bytes: u64,
    },
    /// There are too many signals.
    #[error("{file}:{line}: more than {SIGNALS_MAX} signals; is {column:?} the column of names?")]
    TooManySignals {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column of names.
        column: String,
    },
    /// A row is not text of the format; the next one may be.
    #[error("{file}:{line}: {problem}")]
    Row {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A row's time cannot be read; the next one may be.
    #[error("{file}:{line}, column {column}: {found:?} is not a time of the mapping's format")]
    Time {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// What stands there.
        found: String,
    },
}

impl RecordedFault {
    /// Whether reading may go on with the next row.
    pub const fn is_of_one_row(&self) -> bool {
        matches!(self, Self::Row { .. } | Self::Time { .. })
    }
}

#[derive(Debug)]
struct WideCell {
    index: usize,
    signal: u32,
    column: String,
    absent: Absent,
}

#[derive(Debug)]
struct TallCells {
    site: Option<usize>,
    device: Option<usize>,
    name: usize,
    unit: Option<usize>,
    value: usize,
    lane: Option<usize>,
    quality: Option<usize>,
}

#[derive(Debug)]
enum Cells {
    Wide(Vec<WideCell>),
    Tall(TallCells),
}

/// Reads the rows of one file.
#[derive(Debug)]
pub struct RecordedReader<R> {
    file: String,
    source: Source<R>,
    record: StringRecord,
    mapping: Mapping,
    network: NetworkId,
    ids: FileIds,
    cells: Cells,
    time: usize,
    received: Option<usize>,
    dead_rows: Vec<(usize, Vec<f64>)>,
    signals: Vec<RecordedSignal>,
    known: HashMap<String, u32>,
    before: Option<EventTime>,
    counts: TimeCounts,
    done: bool,
}

impl<R: Read> RecordedReader<R> {
    /// Opens a file by its header. `file` is its name, for `file_name` and for faults.
    pub fn new(mapping: &Mapping, file: &str, input: R) -> Result<Self, RecordedFault> {
        let owned = || file.to_owned();
        let ids = match &mapping.file_name {
            None => FileIds::default(),
            Some(pattern) => pattern.ids(file).ok_or_else(|| RecordedFault::FileName { file: owned() })?,
        };
        let network = mapping.network.clone().or_else(|| ids.network.clone());
        let network = network.ok_or_else(|| RecordedFault::FileName { file: owned() })?;
        let (source, header) = match mapping.order {
            Order::Ascending => Source::forward(mapping, file, input)?,
            Order::Descending => Source::backward(mapping, file, input)?,
        };
        let header = Header { file, names: header };
        let mut signals = Vec::new();
        let cells = match &mapping.layout {
            Layout::Wide(columns) => {
                let mut cells = Vec::with_capacity(columns.len());
                for (column, signal) in columns.iter().zip(0_u32..) {
                    let site = column.site.clone().or_else(|| ids.site.clone());
                    let device = column.device.clone().or_else(|| ids.device.clone());
                    let (Some(site), Some(device)) = (site, device) else {
                        return Err(RecordedFault::FileName { file: owned() });
                    };
                    let (name, unit) = (column.name.clone(), column.unit.clone());
                    signals.push(RecordedSignal { network: network.clone(), site, device, name, unit });
                    let (index, absent) = (header.index(&column.column)?, column.absent.clone());
                    cells.push(WideCell { index, signal, column: column.column.clone(), absent });
                }
                Cells::Wide(cells)
            }
            Layout::Tall(columns) => Cells::Tall(TallCells {
                site: header.maybe(columns.site.as_deref())?,
                device: header.maybe(columns.device.as_deref())?,
                name: header.index(&columns.name)?,
                unit: header.maybe(columns.unit.as_deref())?,
                value: header.index(&columns.value)?,
                lane: header.maybe(columns.lane.as_deref())?,
                quality: header.maybe(columns.quality.as_deref())?,
            }),
        };
        let dead_rows = mapping.dead_rows.iter();
        let dead_rows = dead_rows.map(|dead| Ok((header.index(&dead.column)?, dead.values.clone())));
        Ok(Self {
            time: header.index(&mapping.time.column)?,
            received: header.maybe(mapping.received.as_ref().map(|received| received.column.as_str()))?,
            dead_rows: dead_rows.collect::<Result<_, RecordedFault>>()?,
            file: owned(),
            source,
            record: StringRecord::new(),
            mapping: mapping.clone(),
            network,
            ids,
            cells,
            signals,
            known: HashMap::new(),
            before: None,
            counts: TimeCounts::default(),
            done: false,
        })
    }

    /// The signals found so far; of a wide file all.
    pub fn signals(&self) -> &[RecordedSignal] {
        &self.signals
    }

    /// What was odd about the times so far.
    pub const fn time_counts(&self) -> TimeCounts {
        self.counts
    }

    /// Reads the next row in order of time into `row`; false at the end. After a fault that is not of one row, the
    /// file has ended.
    pub fn read_row(&mut self, row: &mut Row) -> Result<bool, RecordedFault> {
        if self.done {
            return Ok(false);
        }
        let outcome = self.next_row(row);
        self.done = match &outcome {
            Ok(more) => !more,
            Err(fault) => !fault.is_of_one_row(),
        };
        outcome
    }

    fn next_row(&mut self, row: &mut Row) -> Result<bool, RecordedFault> {
        row.values.clear();
        row.faults.clear();
        if !self.source.read(&self.file, &mut self.record)? {
            return Ok(false);
        }
        row.line = self.record.position().map_or(0, csv::Position::line);
        row.lane = self.mapping.lane;
        let ordered = matches!(self.cells, Cells::Wide(_));
        let after = if ordered { self.before } else { None };
        let time = self.time_at(self.time, &self.mapping.time, after, row.line)?;
        row.time = time.0;
        self.count(time);
        row.received = match (&self.mapping.received, self.received) {
            (Some(column), Some(index)) => {
                let received = self.time_at(index, column, None, row.line)?;
                Some(IngestTime::from_micros(received.0.as_micros()))
            }
            _ => None,
        };
        match &self.cells {
            Cells::Wide(cells) => wide(cells, &self.record, self.mapping.decimal, row),
            Cells::Tall(_) => self.tall(row)?,
        }
        if self.is_dead() {
            for value in row.values.iter_mut().filter(|value| value.code != QualityCode::Null) {
                (value.quality, value.code) = (Quality::Bad, QualityCode::Sentinel);
            }
        }
        Ok(true)
    }

    fn time_at(
        &self,
        index: usize,
        column: &TimeColumn,
        after: Option<EventTime>,
        line: u64,
    ) -> Result<(EventTime, Ambiguity), RecordedFault> {
        let text = self.record.get(index).unwrap_or("").trim();
        column.read(text, after).map(|time| (time.time, time.ambiguity)).ok_or_else(|| RecordedFault::Time {
            file: self.file.clone(),
            line,
            column: column.column.clone(),
            found: text.chars().take(80).collect(),
        })
    }

    fn count(&mut self, (time, ambiguity): (EventTime, Ambiguity)) {
        match ambiguity {
            Ambiguity::None => {}
            Ambiguity::Repeated => self.counts.repeated_hour += 1,
            Ambiguity::Skipped => self.counts.skipped_hour += 1,
        }
        if self.before.is_some_and(|before| time < before) {
            self.counts.out_of_order += 1;
        }
        self.before = Some(time);
    }

    fn is_dead(&self) -> bool {
        self.dead_rows.iter().any(|(index, values)| {
            let cell = number(self.record.get(*index).unwrap_or("").trim(), self.mapping.decimal);
            cell.is_ok_and(|number| values.iter().any(|value| value.to_bits() == number.to_bits()))
        })
    }

    fn tall(&mut self, row: &mut Row) -> Result<(), RecordedFault> {
        let Cells::Tall(cells) = &self.cells else { return Ok(()) };
        let Layout::Tall(columns) = &self.mapping.layout else { return Ok(()) };
        let cell = |index: usize| self.record.get(index).unwrap_or("").trim();
        let fault = |column: &str, found: &str, reason| cell_fault(row.line, column, found, reason);
        if let Some(index) = cells.lane {
            match cell(index) {
                "" => {}
                "live" => row.lane = Some(Lane::Live),
                "backfill" => row.lane = Some(Lane::Backfill),
                other => {
                    let column = columns.lane.as_deref().unwrap_or("");
                    row.faults.push(fault(column, other, RejectReason::UnknownWord));
                    return Ok(());
                }
            }
        }
        let taken = match read_cell(cell(cells.value), &self.mapping.absent, self.mapping.decimal) {
            Ok(None) => return Ok(()),
            Ok(Some(taken)) => taken,
            Err(reason) => {
                row.faults.push(fault(&columns.value, cell(cells.value), reason));
                return Ok(());
            }
        };
        let Some(taken) = with_quality(taken, cells.quality.map(cell)) else {
            let (column, found) = (columns.quality.as_deref().unwrap_or(""), cells.quality.map_or("", cell));
            row.faults.push(fault(column, found, RejectReason::UnknownWord));
            return Ok(());
        };
        match self.signal(row.line)? {
            Ok(signal) => {
                let (raw, quality, code) = taken;
                row.values.push(RowValue { signal, raw, quality, code });
            }
            Err(fault) => row.faults.push(fault),
        }
        Ok(())
    }

    /// The signal that a tall row names.
    fn signal(&mut self, line: u64) -> Result<Result<u32, CellFault>, RecordedFault> {
        let Cells::Tall(cells) = &self.cells else { return Ok(Ok(0)) };
        let Layout::Tall(columns) = &self.mapping.layout else { return Ok(Ok(0)) };
        let cell =
            |index: Option<usize>| index.map_or("", |index| self.record.get(index).unwrap_or("").trim());
        let (site, device) = (cell(cells.site), cell(cells.device));
        let (name, unit) = (cell(Some(cells.name)), cell(cells.unit));
        let key = format!("{site}\0{device}\0{name}\0{unit}");
        if let Some(&signal) = self.known.get(&key) {
            return Ok(Ok(signal));
        }
        if self.signals.len() >= SIGNALS_MAX {
            let (file, column) = (self.file.clone(), columns.name.clone());
            return Err(RecordedFault::TooManySignals { file, line, column });
        }
        let fault = |column: Option<&str>, found: &str, reason| {
            Ok(Err(cell_fault(line, column.unwrap_or("file_name"), found, reason)))
        };
        let site_id = if cells.site.is_some() { site.parse().ok() } else { self.ids.site.clone() };
        let device_id = if cells.device.is_some() { device.parse().ok() } else { self.ids.device.clone() };
        let Some(site_id) = site_id else {
            return fault(columns.site.as_deref(), site, RejectReason::InvalidId);
        };
        let Some(device_id) = device_id else {
            return fault(columns.device.as_deref(), device, RejectReason::InvalidId);
        };
        let Ok(name_id) = name.parse() else {
            return fault(Some(&columns.name), name, RejectReason::InvalidId);
        };
        let unit = (!unit.is_empty()).then_some(unit);
        if conversion(name, unit).is_err() {
            return fault(columns.unit.as_deref(), unit.unwrap_or(""), RejectReason::UnknownUnit);
        }
        let signal = RecordedSignal {
            network: self.network.clone(),
            site: site_id,
            device: device_id,
            name: name_id,
            unit: unit.map(Into::into),
        };
        let index = u32::try_from(self.signals.len()).unwrap_or(u32::MAX);
        self.signals.push(signal);
        self.known.insert(key, index);
        Ok(Ok(index))
    }
}

impl<R: Read> Iterator for RecordedReader<R> {
    type Item = Result<Row, RecordedFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Row::default();
        match self.read_row(&mut row) {
            Ok(true) => Some(Ok(row)),
            Ok(false) => None,
            Err(fault) => Some(Err(fault)),
        }
    }
}

/// The names of a file's columns.
struct Header<'a> {
    file: &'a str,
    names: Vec<String>,
}

impl Header<'_> {
    fn index(&self, column: &str) -> Result<usize, RecordedFault> {
        let mut found =
            self.names.iter().enumerate().filter(|(_, name)| *name == column).map(|(index, _)| index);
        match (found.next(), found.count()) {
            (Some(index), 0) => Ok(index),
            (first, others) => Err(RecordedFault::Column {
                file: self.file.to_owned(),
                column: column.to_owned(),
                count: usize::from(first.is_some()) + others,
                header: self.names.join(", ").chars().take(500).collect(),
            }),
        }
    }

    fn maybe(&self, column: Option<&str>) -> Result<Option<usize>, RecordedFault> {
        column.map(|column| self.index(column)).transpose()
    }
}

/// A value with its trust.
type Taken = (f64, Quality, QualityCode);

fn wide(cells: &[WideCell], record: &StringRecord, decimal: char, row: &mut Row) {
    for cell in cells {
        let text = record.get(cell.index).unwrap_or("").trim();
        match read_cell(text, &cell.absent, decimal) {
            Ok(None) => {}
            Ok(Some((raw, quality, code))) => {
                row.values.push(RowValue { signal: cell.signal, raw, quality, code });
            }
            Err(reason) => row.faults.push(cell_fault(row.line, &cell.column, text, reason)),
        }
    }
}

fn cell_fault(line: u64, column: &str, found: &str, reason: RejectReason) -> CellFault {
    CellFault { line, column: column.to_owned(), found: found.chars().take(80).collect(), reason }
}

/// `None` where nothing was reported.
fn read_cell(text: &str, absent: &Absent, decimal: char) -> Result<Option<Taken>, RejectReason> {
    if absent.missing.iter().any(|missing| missing == text) {
        return Ok(None);
    }
    if absent.nulls.iter().any(|null| null == text) {
        return Ok(Some((f64::NAN, Quality::Bad, QualityCode::Null)));
    }
    let raw = number(text, decimal)?;
    let is_sentinel = absent.sentinels.iter().any(|sentinel| sentinel.to_bits() == raw.to_bits());
    Ok(Some(if is_sentinel {
        (raw, Quality::Bad, QualityCode::Sentinel)
    } else {
        (raw, Quality::Good, QualityCode::None)
    }))
}

fn number(text: &str, decimal: char) -> Result<f64, RejectReason> {
    let parsed = if decimal == '.' { text.parse::<f64>() } else { text.replace(decimal, ".").parse() };
    match parsed {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) if text.contains(|c: char| c.is_ascii_digit()) => Err(RejectReason::NumberOutOfRange),
        Ok(_) => Err(RejectReason::NotFinite),
        Err(_) => Err(RejectReason::WrongType),
    }
}

/// Lowers the trust to what the row says; `None` if it says an unknown word.
fn with_quality(taken: Taken, word: Option<&str>) -> Option<Taken> {
    let (raw, quality, code) = taken;
    let (stated, stated_code) = match word {
        None | Some("" | "good") => (Quality::Good, QualityCode::None),
        Some("uncertain") => (Quality::Uncertain, QualityCode::DeviceUncertain),
        Some("bad") => (Quality::Bad, QualityCode::DeviceBad),
        Some(_) => return None,
    };
    Some(if stated > quality { (raw, stated, stated_code) } else { (raw, quality, code) })
}

#[cfg(test)]
mod tests;
