//! Letters with their payloads, by name: from the log, and behind its retention from the archive.

use std::collections::BTreeMap;

use heat_archive::Archive;
use heat_codec::dead_letter::{DeadLetter, LetterId};
use heat_log::{ConsumerSettings, Log, ReadError, StartFrom, TopicError, topics};
use heat_model::{Offset, PartitionId, record::NextOffset};

use super::{LetterKey, archive, archive::LettersError};

/// Letters that lie so close are read in one go.
const SPAN_MAX: u64 = 2_000;

/// Where a letter was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Log,
    Archive,
}

/// A letter with its payload.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) key: LetterKey,
    pub(crate) letter: DeadLetter,
    pub(crate) place: Place,
}

/// Letters cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The topic cannot be asked about.
    #[error("the topic of dead letters cannot be used")]
    Topic(#[from] TopicError),
    /// The log cannot be read.
    #[error("dead letters cannot be read from the log")]
    Log(#[from] ReadError),
    /// The archive cannot be read.
    #[error("dead letters cannot be read from the archive")]
    Letters(#[from] LettersError),
}

/// The letters of these names, as far as there are such.
pub(crate) async fn fetch(
    log: &Log,
    archive: Option<&Archive>,
    ids: &[LetterId],
) -> Result<BTreeMap<LetterId, Read>, FetchError> {
    let partitions = log.partitions(topics::REJECTED).await?;
    let mut wanted: BTreeMap<PartitionId, Vec<Offset>> = BTreeMap::new();
    for id in ids.iter().filter(|id| id.partition.0 < partitions) {
        wanted.entry(id.partition).or_default().push(id.offset);
    }
    let mut found = BTreeMap::new();
    for (partition, mut offsets) in wanted {
        offsets.sort_unstable();
        let bounds = log.bounds(topics::REJECTED, partition).await?;
        let trimmed = offsets.partition_point(|offset| offset.0 < bounds.first.0);
        let ended = offsets.partition_point(|offset| offset.0 < bounds.end.0);
        for span in spans(&offsets[trimmed..ended]) {
            from_log(log, partition, span, &mut found).await?;
        }
        let Some(archive) = archive else { continue };
        for &offset in &offsets[..trimmed] {
            let id = LetterId { partition, offset };
            if let Some((key, letter)) = archive::one(archive, id).await? {
                found.insert(id, Read { key, letter, place: Place::Archive });
            }
        }
    }
    Ok(found)
}

/// Groups of offsets that lie close.
fn spans(mut offsets: &[Offset]) -> impl Iterator<Item = &[Offset]> {
    std::iter::from_fn(move || {
        let first = offsets.first()?;
        let end = offsets.partition_point(|offset| offset.0 - first.0 < SPAN_MAX);
        let (span, rest) = offsets.split_at(end);
        offsets = rest;
        Some(span)
    })
}

async fn from_log(
    log: &Log,
    partition: PartitionId,
    span: &[Offset],
    found: &mut BTreeMap<LetterId, Read>,
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (span.first(), span.last()) else { return Ok(()) };
    let from = StartFrom::Offset(NextOffset(first.0));
    let settings = ConsumerSettings { read_ahead_batches: 1, ..ConsumerSettings::default() };
    let mut scan = log.scan(topics::REJECTED, partition, from, last.next(), settings).await?;
    while let Some(records) = scan.next().await? {
        for record in records {
            let Ok(at) = span.binary_search(&record.offset) else { continue };
            let id = LetterId { partition, offset: span[at] };
            // One that cannot be decoded is none that could be shown.
            if let Ok(letter) = DeadLetter::decode(record.payload) {
                let key = LetterKey { append_time: record.append_time, id };
                found.insert(id, Read { key, letter, place: Place::Log });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_lie_close_are_read_in_one_go() {
        let offsets = [0, 5, 1_999, 2_000, 9_000].map(Offset);
        let found: Vec<Vec<u64>> =
            spans(&offsets).map(|span| span.iter().map(|offset| offset.0).collect()).collect();
        assert_eq!(found, [vec![0, 5, 1_999], vec![2_000], vec![9_000]]);
    }
}
