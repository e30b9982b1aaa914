//! Reads the files of one earlier state, one after the other, row by row in order of (signal, event time).

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::aside::OTHER_ROWS;
use crate::{
    archive::{Archive, ArchiveError},
    digest::HourDigests,
    read::{ArchivedReading, ArchivedSignal, RowHasher, Scan, read_batch, reader},
    schema,
    verify::chain_of,
    view::LiveFile,
};

/// Why a merge cannot go on.
#[derive(Debug)]
pub(super) enum MergeError {
    /// This file is not as it was written: leave it out and begin anew.
    Damaged { path: String, reason: String },
    /// The archive does not do what it should.
    Archive(ArchiveError),
}

impl From<ArchiveError> for MergeError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// A row and its hash.
pub(super) type HashedRow = (ArchivedReading, u128);

/// One chain of files.
pub(super) struct Cursor<'a> {
    archive: &'a Archive,
    files: VecDeque<&'a LiveFile>,
    open: Option<Open<'a>>,
    /// Decoded, the next one first.
    rows: VecDeque<HashedRow>,
    /// Signal of the next row, as files are sorted by it.
    head: Option<(Arc<ArchivedSignal>, String)>,
    hasher: RowHasher,
}

/// The file at hand.
struct Open<'a> {
    file: &'a LiveFile,
    batches: ParquetRecordBatchReader,
    hours: HourDigests,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(archive: &'a Archive, files: impl IntoIterator<Item = &'a LiveFile>) -> Self {
        Self {
            archive,
            files: files.into_iter().collect(),
            open: None,
            rows: VecDeque::new(),
            head: None,
            hasher: RowHasher::default(),
        }
    }

    /// The signal of the next row; `None` at the end.
    pub(super) fn head(&self) -> Option<&str> {
        self.head.as_ref().map(|(_, text)| text.as_str())
    }

    /// Stands at the first row. To be called once.
    pub(super) async fn start(&mut self) -> Result<(), MergeError> {
        self.fill().await
    }

    /// Moves all rows of the next signal to `out`.
    pub(super) async fn take_signal(&mut self, out: &mut Vec<HashedRow>) -> Result<(), MergeError> {
        let Some((mut signal, text)) = self.head.take() else { return Ok(()) };
        loop {
            while let Some((row, _)) = self.rows.front() {
                if !Arc::ptr_eq(&row.signal, &signal) {
                    // Another batch, or another unit of the same signal.
                    let next = row.signal.id.to_string();
                    if next != text {
                        self.head = Some((Arc::clone(&row.signal), next));
                        return self.check_order(&text);
                    }
                    signal = Arc::clone(&row.signal);
                }
                out.extend(self.rows.pop_front());
            }
            self.fill().await?;
            if self.rows.is_empty() {
                self.head = None;
                return Ok(());
            }
        }
    }

    fn check_order(&self, before: &str) -> Result<(), MergeError> {
        match (self.head(), &self.open) {
            (Some(next), Some(open)) if next < before => {
                Err(damaged(open.file, "its rows are not in order of the signal".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Decodes the next batch, of the next file if need be; leaves no rows at the end.
    async fn fill(&mut self) -> Result<(), MergeError> {
        while self.rows.is_empty() {
            let Some(mut open) = self.open.take() else {
                let Some(file) = self.files.pop_front() else { return Ok(()) };
                self.open = Some(open_file(self.archive, file).await?);
                continue;
            };
            let Some(batch) = open.batches.next() else {
                if open.hours.0 != open.file.entry.hours {
                    return Err(damaged(open.file, OTHER_ROWS.to_owned()));
                }
                continue;
            };
            let batch = batch.map_err(|error| damaged(open.file, chain_of(&error)))?;
            let (rows, hasher, hours) = (&mut self.rows, &mut self.hasher, &mut open.hours);
            let end = read_batch(&batch, &mut |row| {
                let hash = hasher.hash(&row);
                hours.add_row(row.ingest_time.hour_start(), hash);
                rows.push_back((row, hash));
                ControlFlow::Continue(())
            });
            let end = end.map_err(|error| damaged(open.file, chain_of(&error)))?;
            debug_assert!(end.is_continue(), "the visitor never breaks");
            self.open = Some(open);
        }
        if self.head.is_none() {
            self.head =
                self.rows.front().map(|(row, _)| (Arc::clone(&row.signal), row.signal.id.to_string()));
        }
        Ok(())
    }
}

async fn open_file<'a>(archive: &Archive, file: &'a LiveFile) -> Result<Open<'a>, MergeError> {
    let bytes = match archive.bytes(&file.entry.path).await {
        Err(error @ ArchiveError::Missing { .. }) => return Err(damaged(file, error.to_string())),
        bytes => bytes?,
    };
    refuse_newer(file, &bytes)?;
    let batches = reader(bytes, &Scan::default()).map_err(|error| damaged(file, chain_of(error.as_ref())))?;
    Ok(Open { file, batches, hours: HourDigests::default() })
}

/// What a later version wrote may have columns that would be lost.
pub(super) fn refuse_newer(file: &LiveFile, bytes: &bytes::Bytes) -> Result<(), ArchiveError> {
    let newer = |found| ArchiveError::NewerFile { path: file.entry.path.clone(), found };
    schema::newer(bytes).map_or(Ok(()), |found| Err(newer(found)))
}

fn damaged(file: &LiveFile, reason: String) -> MergeError {
    MergeError::Damaged { path: file.entry.path.clone(), reason }
}
