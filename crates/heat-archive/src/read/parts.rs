//! Of a file only its footer and the row groups that can hold what a scan wants: a signal is little of a city's day, and a
//! bucket is far away.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use bytes::{Buf as _, Bytes};
use parquet::{
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        reader::{ChunkReader, Length},
        statistics::Statistics,
    },
};

use super::Scan;
use crate::{
    archive::{Archive, ArchiveError},
    manifest::FileEntry,
    store::BoxError,
};

/// So much of a file's end holds its footer nearly always.
const TAIL_BYTES: u64 = 64 << 10;

/// The parts of a file that were loaded, each with its place.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    length: u64,
    loaded: Arc<Vec<(u64, Bytes)>>,
}

/// A file as far as a scan needs it.
pub(crate) struct Wanted {
    pub(crate) parts: Parts,
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// Row groups, in order.
    pub(crate) groups: Vec<usize>,
}

impl Parts {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let inside = |(begin, bytes): &&(u64, Bytes)| (*begin..*begin + bytes.len() as u64).contains(&start);
        let (begin, bytes) =
            self.loaded.iter().find(inside).ok_or_else(|| {
                ParquetError::EOF(format!("nothing was loaded at {start} of {}", self.length))
            })?;
        let place = usize::try_from(start - begin).map_err(|error| ParquetError::External(error.into()))?;
        Ok(bytes.slice(place..))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Parts {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are cut off")));
        }
        Ok(bytes.slice(..length))
    }
}

impl Archive {
    /// Loads what a scan needs of a file.
    pub(super) async fn load(&self, file: &FileEntry, scan: &Scan) -> Result<Wanted, ArchiveError> {
        let unreadable = |source: BoxError| ArchiveError::Unreadable { path: file.path.clone(), source };
        let metadata = self.load_footer(file).await?;
        let ids: Option<BTreeSet<String>> =
            scan.signals.as_ref().map(|signals| signals.iter().map(ToString::to_string).collect());
        let holds = |group: &usize| may_hold(metadata.row_group(*group), scan, ids.as_ref());
        let groups: Vec<usize> = (0..metadata.num_row_groups()).filter(holds).collect();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for group in &groups {
            let range = range_of(metadata.row_group(*group)).ok_or_else(|| {
                unreadable(format!("its row group {group} lies nowhere in the file").into())
            })?;
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        let bytes = self.byte_ranges(&file.path, &ranges).await?;
        let loaded = ranges.iter().map(|range| range.start).zip(bytes).collect();
        Ok(Wanted { parts: Parts { length: file.bytes, loaded: Arc::new(loaded) }, metadata, groups })
    }

    /// The first and the last signal of a file, by its statistics; nothing if they do not tell, or it cannot be read.
    pub(crate) async fn signals_in(
        &self,
        file: &FileEntry,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, ArchiveError> {
        let metadata = match self.load_footer(file).await {
            Err(ArchiveError::Unreadable { .. } | ArchiveError::Missing { .. }) => return Ok(None),
            metadata => metadata?,
        };
        let (first, last) = (metadata.row_groups().first(), metadata.row_groups().last());
        let least = first.and_then(signals_of).map(|(least, _)| least.to_vec());
        let greatest = last.and_then(signals_of).map(|(_, greatest)| greatest.to_vec());
        Ok(least.zip(greatest))
    }

    async fn load_footer(&self, file: &FileEntry) -> Result<Arc<ParquetMetaData>, ArchiveError> {
        let unreadable = |source: BoxError| ArchiveError::Unreadable { path: file.path.clone(), source };
        let mut tail_bytes = TAIL_BYTES;
        loop {
            let start = file.bytes.saturating_sub(tail_bytes);
            let tail = self.byte_ranges(&file.path, std::slice::from_ref(&(start..file.bytes))).await?;
            let tail = tail.into_iter().next().unwrap_or_default();
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, file.bytes) {
                Ok(()) => {
                    let metadata = reader.finish().map_err(|error| unreadable(error.into()))?;
                    return Ok(Arc::new(metadata));
                }
                Err(ParquetError::NeedMoreData(needed)) if start > 0 && needed as u64 > tail_bytes => {
                    tail_bytes = needed as u64;
                }
                Err(error) => return Err(unreadable(error.into())),
            }
        }
    }

    async fn byte_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let got = self.store.get_ranges(path, ranges).await;
        got.map_err(|source| ArchiveError::Read { path: path.to_owned(), source })?
            .ok_or_else(|| ArchiveError::Missing { path: path.to_owned() })
    }
}

/// Where a row group's columns lie.
fn range_of(group: &RowGroupMetaData) -> Option<Range<u64>> {
    let ranges = || group.columns().iter().map(parquet::file::metadata::ColumnChunkMetaData::byte_range);
    let start = ranges().map(|(start, _)| start).min()?;
    let end = ranges().map(|(start, length)| start.saturating_add(length)).max()?;
    (start < end).then_some(start..end)
}

fn statistics<'a>(group: &'a RowGroupMetaData, name: &str) -> Option<&'a Statistics> {
    group.columns().iter().find(|column| column.column_path().string() == name)?.statistics()
}

/// The least and the greatest signal of a row group.
fn signals_of(group: &RowGroupMetaData) -> Option<(&[u8], &[u8])> {
    let Some(Statistics::ByteArray(of)) = statistics(group, "signal") else { return None };
    Some((of.min_opt()?.data(), of.max_opt()?.data()))
}

/// Whether a row group can hold what is wanted, by its statistics; without statistics it can.
fn may_hold(group: &RowGroupMetaData, scan: &Scan, ids: Option<&BTreeSet<String>>) -> bool {
    let numbers = |name: &str| {
        let Some(Statistics::Int64(of)) = statistics(group, name) else { return None };
        of.min_opt().copied().zip(of.max_opt().copied())
    };
    let signal_inside = |ids: &BTreeSet<String>| {
        signals_of(group)
            .is_none_or(|(least, greatest)| ids.iter().any(|id| (least..=greatest).contains(&id.as_bytes())))
    };
    ids.is_none_or(signal_inside)
        && numbers("event_time").is_none_or(|(first, last)| {
            scan.from.is_none_or(|from| last >= from.as_micros())
                && scan.to.is_none_or(|to| first < to.as_micros())
        })
        && numbers("kafka_offset").is_none_or(|(first, last)| {
            scan.offsets.is_none_or(|wanted| {
                first.cast_unsigned() <= wanted.last.0 && wanted.first.0 <= last.cast_unsigned()
            })
        })
}
