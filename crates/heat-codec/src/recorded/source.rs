//! Rows from front to back, or from back to front.

use std::io::{Cursor, Read};

use csv::{Position, StringRecord};

use super::RecordedFault;
use crate::mapping::Mapping;

/// Largest file that has its newest row first.
pub const DESCENDING_MAX_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Debug)]
pub(super) enum Source<R> {
    Forward {
        reader: csv::Reader<R>,
        /// The first row of a file without header, read to count the columns.
        first: Option<StringRecord>,
    },
    Backward {
        reader: csv::Reader<Cursor<Vec<u8>>>,
        /// Places of the rows that are still to be given out; the next one is the last.
        rows: Vec<Position>,
        /// Cells of every row.
        width: usize,
    },
}

fn builder(mapping: &Mapping) -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(mapping.separator).has_headers(false);
    builder
}

fn fault(file: &str, fault: csv::Error) -> RecordedFault {
    let file = file.to_owned();
    let line = fault.position().map_or(0, Position::line);
    let problem = fault.to_string();
    if let csv::ErrorKind::Io(source) = fault.into_kind() {
        RecordedFault::Read { file, source }
    } else {
        RecordedFault::Row { file, line, problem }
    }
}

/// Names of the columns, from the first row.
fn names(mapping: &Mapping, first: &StringRecord) -> Vec<String> {
    if mapping.header {
        first.iter().map(|name| name.trim().trim_start_matches('\u{feff}').to_owned()).collect()
    } else {
        (1..=first.len()).map(|number| number.to_string()).collect()
    }
}

impl<R: Read> Source<R> {
    /// The rows in the file's order, and the names of its columns.
    pub(super) fn forward(
        mapping: &Mapping,
        file: &str,
        input: R,
    ) -> Result<(Self, Vec<String>), RecordedFault> {
        let mut reader = builder(mapping).from_reader(input);
        let mut first = StringRecord::new();
        if !reader.read_record(&mut first).map_err(|error| fault(file, error))? {
            return Err(RecordedFault::Empty { file: file.to_owned() });
        }
        let names = names(mapping, &first);
        let first = if mapping.header { None } else { Some(first) };
        Ok((Self::Forward { reader, first }, names))
    }

    /// The rows from the file's end, and the names of its columns. Reads the whole file.
    pub(super) fn backward(
        mapping: &Mapping,
        file: &str,
        input: R,
    ) -> Result<(Self, Vec<String>), RecordedFault> {
        let mut bytes = Vec::new();
        let read = input.take(DESCENDING_MAX_BYTES + 1).read_to_end(&mut bytes);
        let read = read.map_err(|source| RecordedFault::Read { file: file.to_owned(), source })?;
        if u64::try_from(read).unwrap_or(u64::MAX) > DESCENDING_MAX_BYTES {
            return Err(RecordedFault::TooLarge { file: file.to_owned(), max_bytes: DESCENDING_MAX_BYTES });
        }
        // A small buffer: each row is sought by itself.
        let mut reader =
            builder(mapping).flexible(true).buffer_capacity(4_096).from_reader(Cursor::new(bytes));
        let mut first = StringRecord::new();
        if !reader.read_record(&mut first).map_err(|error| fault(file, error))? {
            return Err(RecordedFault::Empty { file: file.to_owned() });
        }
        let names = names(mapping, &first);
        let mut rows =
            if mapping.header { Vec::new() } else { first.position().cloned().into_iter().collect() };
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| fault(file, error))? {
            rows.extend(record.position().cloned());
        }
        Ok((Self::Backward { reader, rows, width: first.len() }, names))
    }

    /// Reads the next row; false at the end.
    pub(super) fn read(&mut self, file: &str, record: &mut StringRecord) -> Result<bool, RecordedFault> {
        match self {
            Self::Forward { reader, first } => {
                if let Some(first) = first.take() {
                    *record = first;
                    return Ok(true);
                }
                reader.read_record(record).map_err(|error| fault(file, error))
            }
            Self::Backward { reader, rows, width } => {
                let Some(position) = rows.pop() else { return Ok(false) };
                let line = position.line();
                reader.seek(position).map_err(|error| fault(file, error))?;
                reader.read_record(record).map_err(|error| fault(file, error))?;
                if record.len() != *width {
                    let problem = format!("{} cells under a header of {width}", record.len());
                    return Err(RecordedFault::Row { file: file.to_owned(), line, problem });
                }
                Ok(true)
            }
        }
    }
}
