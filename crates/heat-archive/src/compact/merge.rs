//! The files of one date and network as few: rows in order of (signal, event time), repeats left out, and the hours
//! summed up.
//!
//! Memory: a batch of 8,192 rows and the compressed bytes of each file that is open at once, the rows of one signal, one
//! row group, and the file being written.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use heat_model::{GatewayId, NetworkId, Offset, QualityCode};

use super::{
    CompactSettings,
    cursor::{Cursor, HashedRow, MergeError},
    rollup::{self, HourSum},
};
use crate::{
    archive::{Archive, ArchiveError},
    buffer::{Message, Row, Signal},
    digest::{Digest, HourDigests},
    encode::{ReadingsFile, Shared, Zstd},
    layout::{Dataset, Stretch},
    manifest::{FileEntry, OffsetSpan},
    read::{ArchivedReading, ArchivedSignal},
    schema,
    view::LiveFile,
};

/// Where merged rows go.
pub(super) struct Target<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: heat_model::PartitionId,
    /// The folder of the rows, such as `readings/date=…/network=…`.
    pub(super) folder: &'a str,
    pub(super) dataset: Dataset,
    /// The revision that is to name the files.
    pub(super) revision: u64,
    pub(super) settings: &'a CompactSettings,
    /// Rows to leave out because they are to be erased.
    pub(super) erased: Option<&'a (dyn Fn(&ArchivedReading) -> bool + Send + Sync)>,
    /// Whether to sum up the hours.
    pub(super) sums_up: bool,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) files: Vec<FileEntry>,
    pub(super) rollups: Vec<FileEntry>,
    pub(super) repeats: HourDigests,
    pub(super) erased: HourDigests,
}

/// Merges chains of files. What it writes counts for nothing until a revision names it.
pub(super) async fn merge(
    archive: &Archive,
    target: &Target<'_>,
    chains: &[Vec<&LiveFile>],
) -> Result<Merged, MergeError> {
    let mut cursors: Vec<Cursor<'_>> =
        chains.iter().map(|files| Cursor::new(archive, files.iter().copied())).collect();
    for cursor in &mut cursors {
        cursor.start().await?;
    }
    let mut writer = Writer::new(archive, target);
    let mut rows = Vec::new();
    while let Some(next) = cursors.iter().filter_map(Cursor::head).min().map(str::to_owned) {
        for cursor in &mut cursors {
            if cursor.head() == Some(next.as_str()) {
                cursor.take_signal(&mut rows).await?;
            }
        }
        writer.take_signal(&mut rows).await?;
    }
    writer.finish().await
}

/// The file being written.
struct OpenFile {
    file: ReadingsFile,
    zstd: Zstd,
    rows: u64,
    hours: HourDigests,
    offsets: OffsetSpan,
    event_times: (i64, i64),
}

/// Rows of one row group.
#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    runs: Vec<(Signal, usize)>,
    messages: Vec<Message>,
    message_of: HashMap<Offset, u32, FixedState>,
    gateways: Vec<GatewayId>,
}

struct Writer<'a> {
    archive: &'a Archive,
    target: &'a Target<'a>,
    network: Option<NetworkId>,
    open: Option<OpenFile>,
    group: Group,
    sums: Vec<HourSum>,
    merged: Merged,
}

impl<'a> Writer<'a> {
    fn new(archive: &'a Archive, target: &'a Target<'a>) -> Self {
        Self {
            archive,
            target,
            network: None,
            open: None,
            group: Group::default(),
            sums: Vec::new(),
            merged: Merged::default(),
        }
    }

    /// Takes all rows of one signal, in any order, and empties the list.
    async fn take_signal(&mut self, rows: &mut Vec<HashedRow>) -> Result<(), MergeError> {
        self.leave_out(rows);
        if self.target.sums_up {
            rollup::add_signal(rows, &mut self.sums);
            if self.sums.len() >= rollup::FILE_ROWS {
                self.finish_rollups().await?;
            }
        }
        let group_rows = self.target.settings.group_rows;
        if self.group.rows.len() + rows.len() > group_rows && !self.group.rows.is_empty() {
            self.finish_group().await?;
        }
        for (row, hash) in rows.drain(..) {
            if self.group.rows.len() >= group_rows {
                self.finish_group().await?;
            }
            self.push(&row, hash)?;
        }
        Ok(())
    }

    /// Sorts the rows of a signal and takes out those that repeat one before them in the log, or are to be erased.
    fn leave_out(&mut self, rows: &mut Vec<HashedRow>) {
        if let Some(erased) = self.target.erased {
            let hours = &mut self.merged.erased;
            rows.retain(|(row, hash)| {
                let goes = erased(row);
                if goes {
                    hours.add_row(row.ingest_time.hour_start(), *hash);
                }
                !goes
            });
        }
        rows.sort_by_key(|(row, _)| (row.event_time, row.offset));
        let mut seen: HashSet<(u64, u8), FixedState> = HashSet::default();
        let mut time = None;
        let repeats = &mut self.merged.repeats;
        rows.retain(|(row, hash)| {
            if time != Some(row.event_time) {
                time = Some(row.event_time);
                seen.clear();
            }
            let what = (row.raw_value.map_or(u64::MAX, f64::to_bits), row.quality as u8);
            let is_repeat = !seen.insert(what) && !has_arrival_time(row);
            if is_repeat {
                repeats.add_row(row.ingest_time.hour_start(), *hash);
            }
            !is_repeat
        });
    }

    fn push(&mut self, row: &ArchivedReading, hash: u128) -> Result<(), ArchiveError> {
        if self.open.is_none() {
            let file = ReadingsFile::new().map_err(|error| self.encode(error))?;
            let zstd = Zstd::new(self.target.settings.zstd_level).map_err(|error| self.encode(error))?;
            let offsets = OffsetSpan { first: row.offset, last: row.offset };
            let time = row.event_time.as_micros();
            let event_times = (time, time);
            let hours = HourDigests::default();
            self.open = Some(OpenFile { file, zstd, rows: 0, hours, offsets, event_times });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let time = row.event_time.as_micros();
        open.rows += 1;
        open.hours.add_row(row.ingest_time.hour_start(), hash);
        open.offsets.first = open.offsets.first.min(row.offset);
        open.offsets.last = open.offsets.last.max(row.offset);
        open.event_times = (open.event_times.0.min(time), open.event_times.1.max(time));
        self.network.get_or_insert_with(|| row.signal.id.network.clone());
        self.group.push(row);
        Ok(())
    }

    async fn finish_group(&mut self) -> Result<(), ArchiveError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.group.rows.is_empty() {
            return Ok(());
        }
        self.group.sort_messages();
        let gateways: Vec<&str> = self.group.gateways.iter().map(GatewayId::as_str).collect();
        let shared = Shared {
            messages: &self.group.messages,
            gateways: &gateways,
            partition: self.target.partition.0,
            zstd_level: self.target.settings.zstd_level,
            weighs: true,
        };
        let runs: Vec<(&Signal, usize)> =
            self.group.runs.iter().map(|(signal, rows)| (signal, *rows)).collect();
        let written = open.file.write_group(&shared, &mut open.zstd, &runs, &self.group.rows);
        let is_full = open.rows >= self.target.settings.file_rows;
        written.map_err(|error| self.encode(error))?;
        self.group.clear();
        if is_full { self.finish_file().await } else { Ok(()) }
    }

    async fn finish_file(&mut self) -> Result<(), ArchiveError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let stretch = self.stretch(open.offsets);
        let metadata = schema::metadata(&stretch, open.rows);
        let bytes = open.file.finish(metadata).map_err(|error| self.encode(error))?;
        let digest = sum_of(&open.hours).to_string();
        let path = stretch.compacted_path(self.target.folder, self.target.revision, &digest);
        self.merged.files.push(FileEntry {
            dataset: self.target.dataset,
            path: path.clone(),
            network: self.network.clone(),
            bytes: bytes.len() as u64,
            rows: open.rows,
            min_event_time_us: open.event_times.0,
            max_event_time_us: open.event_times.1,
            hours: open.hours.0,
            offsets: Some(open.offsets),
        });
        self.archive.put(&path, bytes.into()).await
    }

    async fn finish_rollups(&mut self) -> Result<(), ArchiveError> {
        if self.sums.is_empty() {
            return Ok(());
        }
        let sums = std::mem::take(&mut self.sums);
        let offsets = rollup::offsets(&sums);
        let stretch = self.stretch(offsets);
        let hours = rollup::digests(&sums);
        let folder = rollup::folder_of(self.target.folder);
        let path = stretch.compacted_path(&folder, self.target.revision, &sum_of(&hours).to_string());
        let metadata = schema::metadata(&stretch, sums.len() as u64);
        let bytes = rollup::encode(&sums, metadata, self.target.settings.zstd_level)
            .map_err(|source| ArchiveError::Encode { path: path.clone(), source: source.into() })?;
        let (min_event_time_us, max_event_time_us) = rollup::times(&sums);
        self.merged.rollups.push(FileEntry {
            dataset: Dataset::Rollups,
            path: path.clone(),
            network: self.network.clone(),
            bytes: bytes.len() as u64,
            rows: sums.len() as u64,
            min_event_time_us,
            max_event_time_us,
            hours: hours.0,
            offsets: Some(offsets),
        });
        self.archive.put(&path, bytes.into()).await
    }

    async fn finish(mut self) -> Result<Merged, MergeError> {
        self.finish_group().await?;
        self.finish_file().await?;
        self.finish_rollups().await?;
        Ok(self.merged)
    }

    fn stretch(&self, offsets: OffsetSpan) -> Stretch<'a> {
        let Target { topic, partition, .. } = *self.target;
        Stretch { topic, partition, first: offsets.first, last: offsets.last }
    }

    fn encode(&self, source: parquet::errors::ParquetError) -> ArchiveError {
        ArchiveError::Encode { path: self.target.folder.to_owned(), source: source.into() }
    }
}

impl Group {
    fn push(&mut self, row: &ArchivedReading) {
        let next = u32::try_from(self.messages.len()).expect("a row group has fewer messages than rows");
        let message = *self.message_of.entry(row.offset).or_insert(next);
        if message == next {
            let known = self.gateways.iter().rposition(|gateway| *gateway == row.gateway);
            let gateway = known.unwrap_or_else(|| {
                self.gateways.push(row.gateway.clone());
                self.gateways.len() - 1
            });
            self.messages.push(Message {
                ingest_time: row.ingest_time.as_micros(),
                append_time: row.append_time.as_micros(),
                epoch: row.epoch,
                seq: row.seq,
                offset: row.offset.0,
                gateway: u32::try_from(gateway).expect("fewer gateways than messages"),
                lane: row.lane as u8,
            });
        }
        match self.runs.last_mut() {
            Some((signal, rows)) if is_same(signal, &row.signal) => *rows += 1,
            Some(_) | None => self.runs.push((signal_of(&row.signal), 1)),
        }
        self.rows.push(Row::of_file(row, message));
    }

    /// Messages in order of the log, so that the columns that depend on them rise.
    fn sort_messages(&mut self) {
        let mut order: Vec<u32> = (0..).take(self.messages.len()).collect();
        order.sort_unstable_by_key(|&message| self.messages[message as usize].offset);
        let mut place = vec![0_u32; order.len()];
        for (to, &from) in (0_u32..).zip(&order) {
            place[from as usize] = to;
        }
        self.messages = order.iter().map(|&message| self.messages[message as usize]).collect();
        self.rows.iter_mut().for_each(|row| row.message = place[row.message as usize]);
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.runs.clear();
        self.messages.clear();
        self.message_of.clear();
        self.gateways.clear();
    }
}

fn is_same(signal: &Signal, archived: &ArchivedSignal) -> bool {
    let id = &archived.id;
    *signal.name == *id.name.as_str()
        && *signal.unit == *archived.unit
        && *signal.raw_unit == *archived.raw_unit
        && *signal.device == *id.device.as_str()
        && *signal.site == *id.site.as_str()
        && signal.network == id.network
}

fn signal_of(archived: &ArchivedSignal) -> Signal {
    let id = &archived.id;
    Signal {
        network: id.network.clone(),
        id: id.to_string().into(),
        site: id.site.as_str().into(),
        device: id.device.as_str().into(),
        name: id.name.as_str().into(),
        unit: archived.unit.as_str().into(),
        raw_unit: archived.raw_unit.as_str().into(),
    }
}

/// Whether arrival stands in for an untimed value's own time: then equal ones are no proof of a repeat (the archiver's
/// own rule).
fn has_arrival_time(row: &ArchivedReading) -> bool {
    row.code == QualityCode::Untimed && row.event_time == row.ingest_time.as_event_of_untimed()
}

fn sum_of(hours: &HourDigests) -> Digest {
    let mut sum = Digest::default();
    hours.0.iter().for_each(|hour| sum.add(hour.digest));
    sum
}

/// Rows of small tables, in order of the log.
pub(super) async fn merge_tables(
    archive: &Archive,
    target: &Target<'_>,
    files: &[&LiveFile],
) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    let mut in_order: Vec<&LiveFile> = files.to_vec();
    in_order.sort_by_key(|file| (file.offsets.first, &file.entry.path));
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for file in in_order {
        let read = super::tables::read(archive, file).await?;
        bytes += read.iter().map(|placed| placed.row.buffer_bytes()).sum::<usize>();
        rows.extend(read);
        if bytes >= super::tables::FILE_BYTES {
            merged.files.push(super::tables::write(archive, target, std::mem::take(&mut rows)).await?);
            bytes = 0;
        }
    }
    if !rows.is_empty() {
        merged.files.push(super::tables::write(archive, target, rows).await?);
    }
    Ok(merged)
}
