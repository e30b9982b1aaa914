//! Opening a partition: everything is derived from the segments themselves.
//!
//! Closed segments are taken as they are; damage in them is found and reported when it is read. The newest segment is
//! read whole: damage with whole frames behind it is reported and stays a hole; what follows the last whole frame is a
//! torn tail and is cut off. Then the next segment begins beyond any offset that the torn bytes could have held, for a
//! reader may have seen them before the damage.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use heat_model::PartitionId;
use tokio::sync::Notify;

use super::{
    frame::HEADER_BYTES,
    partition::{Partition, create_segment},
    segment::{self, ChunkLimits, Segment, parse_file_name},
};
use crate::{OpenError, stats::Live};

fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.display().to_string();
    move |source| OpenError::Io { act, path, source }
}

/// Opens or begins the partition in `dir`, and tells its newest append time.
pub(super) fn open_partition(
    topic: Arc<str>,
    id: PartitionId,
    dir: PathBuf,
    grown: Arc<Notify>,
    live: Arc<Live>,
) -> Result<(Partition, i64), OpenError> {
    let mut segments = list_segments(&dir)?;
    if segments.is_empty() {
        let segment = create_segment(&dir, 0).map_err(io_error("create a segment in", &dir))?;
        segments.push_back(Arc::new(segment));
    }
    let ends: Vec<_> = segments.iter().skip(1).map(|segment| segment.base).collect();
    for (segment, end) in segments.iter().zip(ends) {
        segment.seal(end);
    }
    let newest = Arc::clone(segments.back().expect("at least one segment was found or created"));
    let before = segments.len().checked_sub(2).map(|index| Arc::clone(&segments[index]));
    let partition = Partition::new(topic, id, dir, segments, newest.base, grown, live);
    let mut last_us = recover_newest(&partition, &newest)?;
    if last_us == i64::MIN
        && let Some(before) = before
    {
        last_us = last_time_us(&before).map_err(io_error("read", &before.path))?;
    }
    Ok((partition, last_us))
}

/// The segments of a directory in order, without leftovers.
fn list_segments(dir: &Path) -> Result<VecDeque<Arc<Segment>>, OpenError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".rewriting") {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            continue;
        }
        let Some((base, salt)) = parse_file_name(name) else {
            tracing::warn!(path = %path.display(), "a file that is not the log's lies in its directory; left alone");
            continue;
        };
        let file = File::options().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let length = file.metadata().map_err(io_error("inspect", &path))?.len();
        found.push(Segment::new(base, salt, path, file, length));
    }
    // An empty file beside one of the same base is left over from a failed attempt to begin a segment, or was merged.
    found.sort_by_key(|segment| (segment.base, segment.length()));
    let mut segments: VecDeque<Arc<Segment>> = VecDeque::new();
    for segment in found {
        if let Some(last) = segments.back()
            && last.base == segment.base
        {
            if last.length() > 0 {
                return Err(OpenError::Io {
                    act: "make sense of",
                    path: segment.path.display().to_string(),
                    source: io::Error::other(format!(
                        "it begins at the same offset as {}",
                        last.path.display()
                    )),
                });
            }
            fs::remove_file(&last.path).map_err(io_error("remove", &last.path))?;
            segments.pop_back();
        }
        segments.push_back(Arc::new(segment));
    }
    Ok(segments)
}

/// Reads the newest segment, cuts its torn tail, and sets the partition's end.
fn recover_newest(partition: &Partition, newest: &Segment) -> Result<i64, OpenError> {
    let length = newest.length();
    let limits = ChunkLimits { records: usize::MAX, bytes: 1 << 20 };
    let (mut position, mut expected, mut last_time_us) = (0, newest.base, i64::MIN);
    let mut torn = None;
    while position < length {
        let chunk = newest
            .read_chunk(position, length, expected, 0, limits)
            .map_err(io_error("read", &newest.path))?;
        last_time_us =
            chunk.records.iter().map(|record| record.append_time.as_micros()).fold(last_time_us, i64::max);
        match chunk.damage {
            Some(damage) if chunk.is_tail => torn = Some(damage),
            Some(damage) => partition.report_damage(newest, damage, "opening"),
            None => {}
        }
        (position, expected) = (chunk.position, chunk.expected);
    }
    partition.set_end(expected);
    if let Some(torn) = torn {
        cut(partition, newest, torn)?;
    }
    Ok(last_time_us)
}

fn cut(partition: &Partition, newest: &Segment, torn: segment::Damage) -> Result<(), OpenError> {
    tracing::warn!(
        topic = %partition.topic,
        partition = partition.id.0,
        path = %newest.path.display(),
        position = torn.position,
        bytes = torn.bytes,
        "cut the torn end of a segment; nothing in it had been acknowledged unless the disk is failing"
    );
    partition.live.torn_bytes.add(torn.bytes);
    partition.live.segment_bytes.subtract(torn.bytes);
    // The next segment first: were the cut durable without it, a second crash would forget to leave the gap.
    newest.set_length(torn.position);
    let most = torn.bytes.div_ceil(HEADER_BYTES as u64);
    partition.set_end(partition.end() + most);
    partition.roll().map_err(io_error("create a segment in", &partition.dir))?;
    newest.file.set_len(torn.position).map_err(io_error("cut", &newest.path))?;
    newest.file.sync_all().map_err(io_error("sync", &newest.path))
}

fn last_time_us(segment: &Segment) -> io::Result<i64> {
    let (length, mut last) = (segment.length(), i64::MIN);
    let (mut position, mut expected) = (0, segment.base);
    while position < length {
        let limits = ChunkLimits { records: usize::MAX, bytes: 1 << 20 };
        let chunk = segment.read_chunk(position, length, expected, 0, limits)?;
        last = chunk.records.iter().map(|record| record.append_time.as_micros()).fold(last, i64::max);
        (position, expected) = (chunk.position, chunk.expected);
    }
    Ok(last)
}
