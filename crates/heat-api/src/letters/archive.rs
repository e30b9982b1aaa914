//! Older letters from the archive's data set `rejected`, newest first: files are read from the last backwards, as far as a
//! page needs. A file's letters follow those of the file before it in the log, compacted or not.

use std::collections::BTreeMap;

use heat_archive::{Archive, ArchiveError, Dataset, TableRow, view::LiveFile};
use heat_codec::dead_letter::{DeadLetter, LetterId, archived::ArchivedFault};
use heat_log::topics;
use heat_model::{GatewayId, InvalidId, Origin, PartitionId, Position};

use super::{Filter, LetterKey, Summary};

/// Most files read for one page; a page that finds too little in them ends early, with a cursor.
const FILES_MAX: usize = 400;

/// The archive's letters cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LettersError {
    /// A file cannot be read.
    #[error("the archive's dead letters cannot be read")]
    Archive(#[from] ArchiveError),
    /// A row is not as it should be.
    #[error("the archived dead letter {id} cannot be used")]
    Row { id: LetterId, source: ArchivedFault },
    /// A row names no gateway.
    #[error("the archived dead letter {id} names no gateway")]
    Gateway { id: LetterId, source: InvalidId },
}

/// Letters that are wanted, and where to go on, if there may be more.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) letters: Vec<Summary>,
    pub(crate) next: Option<LetterKey>,
}

/// The newest letters before a place of the order; at most `limit`.
pub(crate) async fn page(
    archive: &Archive,
    before: LetterKey,
    filter: &Filter,
    limit: usize,
) -> Result<Found, LettersError> {
    let mut budget = FILES_MAX;
    let mut backs: BTreeMap<PartitionId, Back<'_>> = BTreeMap::new();
    for (topic, partition) in archive.partitions().await? {
        if topic == topics::REJECTED {
            backs.insert(partition, Back::seek(archive, partition, before).await?);
        }
    }
    let mut found = Found::default();
    let mut last = before;
    loop {
        let mut newest: Option<(LetterKey, PartitionId)> = None;
        for (&partition, back) in &mut backs {
            if let Some(key) = back.head(&mut budget).await? {
                newest = newest.max(Some((key, partition)));
            }
        }
        let Some((key, partition)) = newest.filter(|(key, _)| !filter.is_past(*key)) else {
            // A partition may have more than the budget let it show.
            let more = backs.values().any(Back::has_more);
            found.next = (budget == 0 && more).then_some(last);
            return Ok(found);
        };
        if budget == 0 && backs.values().any(|back| back.rows.is_empty() && back.has_more()) {
            found.next = Some(last);
            return Ok(found);
        }
        let Some((position, row)) = backs.get_mut(&partition).and_then(|back| back.rows.pop()) else {
            return Ok(found);
        };
        let summary = Summary::of(key, &letter_of(&position, &row)?);
        if filter.wants(&summary) {
            if found.letters.len() == limit {
                found.next = Some(last);
                return Ok(found);
            }
            found.letters.push(summary);
        }
        last = key;
    }
}

/// One letter by its name.
pub(crate) async fn one(
    archive: &Archive,
    id: LetterId,
) -> Result<Option<(LetterKey, DeadLetter)>, LettersError> {
    let mut rows = Vec::new();
    for file in files_of(archive, id.partition).await?.iter().filter(|file| file.offsets.contains(id.offset))
    {
        rows.extend(rows_of(archive, file).await?);
    }
    match rows.into_iter().find(|(position, _)| position.offset == id.offset) {
        Some((position, row)) => Ok(Some((key_of(&position), letter_of(&position, &row)?))),
        None => Ok(None),
    }
}

/// One partition, read backwards.
struct Back<'a> {
    archive: &'a Archive,
    before: LetterKey,
    /// Files not read yet, in order.
    files: Vec<LiveFile>,
    /// Rows of the file at hand, in order; the last is next.
    rows: Vec<(Position, TableRow)>,
}

impl<'a> Back<'a> {
    /// Stands behind the last file that may hold letters before `before`.
    async fn seek(
        archive: &'a Archive,
        partition: PartitionId,
        before: LetterKey,
    ) -> Result<Self, LettersError> {
        let mut files = files_of(archive, partition).await?;
        // The first file of which all letters lie at or behind `before`: append times only rise along a partition.
        let (mut low, mut high) = (0, files.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let rows = rows_of(archive, &files[middle]).await?;
            match rows.first() {
                Some((position, _)) if key_of(position) >= before => high = middle,
                // A file without letters says nothing; looking at more than is needed does no harm.
                Some(_) | None => low = middle + 1,
            }
        }
        files.truncate(low);
        Ok(Self { archive, before, files, rows: Vec::new() })
    }

    /// The next letter's place.
    async fn head(&mut self, budget: &mut usize) -> Result<Option<LetterKey>, LettersError> {
        while self.rows.is_empty() && *budget > 0 {
            let Some(file) = self.files.pop() else { return Ok(None) };
            *budget -= 1;
            self.rows = rows_of(self.archive, &file).await?;
            self.rows.retain(|(position, _)| key_of(position) < self.before);
        }
        Ok(self.rows.last().map(|(position, _)| key_of(position)))
    }

    fn has_more(&self) -> bool {
        !self.files.is_empty() || !self.rows.is_empty()
    }
}

/// The files of a partition's letters, in order of the log.
async fn files_of(archive: &Archive, partition: PartitionId) -> Result<Vec<LiveFile>, ArchiveError> {
    let view = archive.view(topics::REJECTED, partition).await?;
    let of_letters = view.live().filter(|file| file.entry.dataset == Dataset::Rejected);
    let mut files: Vec<LiveFile> = of_letters.cloned().collect();
    files.sort_by_key(|file| file.offsets.first);
    Ok(files)
}

async fn rows_of(archive: &Archive, file: &LiveFile) -> Result<Vec<(Position, TableRow)>, ArchiveError> {
    let mut rows = archive.table_rows(&file.entry.path).await?;
    rows.sort_by_key(|(position, _)| position.offset);
    Ok(rows)
}

fn key_of(position: &Position) -> LetterKey {
    let id = LetterId { partition: position.partition, offset: position.offset };
    LetterKey { append_time: position.append_time, id }
}

fn letter_of(position: &Position, row: &TableRow) -> Result<DeadLetter, LettersError> {
    let id = key_of(position).id;
    let gateway = GatewayId::new(&row.gateway).map_err(|source| LettersError::Gateway { id, source })?;
    let origin = Origin { gateway, epoch: row.epoch, seq: row.seq };
    DeadLetter::from_archived(&row.json, origin, row.ingest_time)
        .map_err(|source| LettersError::Row { id, source })
}
