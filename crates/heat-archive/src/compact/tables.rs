//! Reads and writes files of the small tables for compaction.

use super::{
    aside::OTHER_ROWS,
    cursor::{MergeError, refuse_newer},
    merge::Target,
};
use crate::{
    archive::{Archive, ArchiveError},
    digest::{Digest, HourDigests},
    layout::Stretch,
    manifest::{FileEntry, OffsetSpan},
    read::tables::read_table,
    schema,
    table::{self, PlacedRow},
    verify::chain_of,
    view::LiveFile,
};

/// Rows of a table's file take no more than this in memory, and a little.
pub(super) const FILE_BYTES: usize = 32 << 20;

/// The rows of a file, if they are those that were written.
pub(super) async fn read(archive: &Archive, file: &LiveFile) -> Result<Vec<PlacedRow>, MergeError> {
    let path = || file.entry.path.clone();
    let bytes = match archive.bytes(&file.entry.path).await {
        Err(error @ ArchiveError::Missing { .. }) => {
            return Err(MergeError::Damaged { path: path(), reason: error.to_string() });
        }
        bytes => bytes?,
    };
    refuse_newer(file, &bytes)?;
    let rows = read_table(bytes)
        .map_err(|error| MergeError::Damaged { path: path(), reason: chain_of(error.as_ref()) })?;
    let mut hours = HourDigests::default();
    rows.iter().for_each(|placed| hours.add_row(placed.row.ingest_time.hour_start(), placed.hash()));
    if hours.0 != file.entry.hours {
        return Err(MergeError::Damaged { path: path(), reason: OTHER_ROWS.to_owned() });
    }
    Ok(rows)
}

fn ends(rows: &[PlacedRow]) -> OffsetSpan {
    let (first, last) = (rows.first().expect("a file has rows"), rows.last().expect("a file has rows"));
    OffsetSpan { first: first.position.offset, last: last.position.offset }
}

/// Writes rows, at least one, in order of the log.
pub(super) async fn write(
    archive: &Archive,
    target: &Target<'_>,
    mut rows: Vec<PlacedRow>,
) -> Result<FileEntry, ArchiveError> {
    rows.sort_by_key(|placed| placed.position.offset);
    let offsets = ends(&rows);
    let Target { topic, partition, .. } = *target;
    let stretch = Stretch { topic, partition, first: offsets.first, last: offsets.last };
    let mut entry = table::entry(target.dataset, String::new(), &rows, 0);
    let mut digest = Digest::default();
    entry.hours.iter().for_each(|hour| digest.add(hour.digest));
    let path = stretch.compacted_path(target.folder, target.revision, &digest.to_string());
    let metadata = schema::metadata(&stretch, entry.rows);
    let bytes = table::encode(&rows, metadata, target.settings.zstd_level)
        .map_err(|source| ArchiveError::Encode { path: path.clone(), source: source.into() })?;
    entry.path.clone_from(&path);
    entry.bytes = bytes.len() as u64;
    entry.offsets = Some(offsets);
    archive.put(&path, bytes.into()).await?;
    Ok(entry)
}
