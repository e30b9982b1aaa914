use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use super::*;
use crate::outbox::entry::Topic;

const PATIENCE: Duration = Duration::from_secs(30);

fn settings(dir: &Path) -> BufferSettings {
    BufferSettings { bytes_max: 1 << 20, ..BufferSettings::new(dir) }
}

fn entry(epoch: u64, seq: u64) -> Entry {
    Entry {
        topic: Topic::Input,
        partition: PartitionId(0),
        epoch,
        seq,
        is_closing: false,
        key: None,
        payload: Bytes::from(vec![7; 300]),
    }
}

async fn append(buffer: &Buffer, entries: impl IntoIterator<Item = Entry>) {
    for entry in entries {
        let (key, payload) = entry.to_buffer();
        buffer.appender.append(TOPIC, P, key, payload).await.unwrap();
    }
    assert!(buffer.appender.flush(PATIENCE).await.unwrap());
}

fn now_us() -> u64 {
    u64::try_from(heat_runtime::Clock.now().as_micros()).unwrap()
}

/// Epochs are begun by the clock, as the outbox does.
async fn append_chunk(buffer: &Buffer, records: u64) -> u64 {
    let epoch = now_us();
    append(buffer, (0..records).map(|seq| entry(epoch, seq))).await;
    epoch
}

async fn close(buffer: Buffer) {
    assert!(buffer.close(PATIENCE).await);
}

async fn read_all(buffer: &mut Buffer, mut from: u64, end: u64) -> Vec<Buffered> {
    let mut all = Vec::new();
    while from < end {
        let read = tokio::time::timeout(PATIENCE, buffer.reader.read(from)).await.unwrap().unwrap();
        assert_eq!(read.from, from);
        from = read.end;
        all.extend(read.records);
    }
    all
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join(TOPIC).join("0");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

const ALL_FRESH: AppendTime = AppendTime::from_micros(0);
const ALL_OLD: AppendTime = AppendTime::from_micros(i64::MAX);

#[tokio::test]
async fn what_an_earlier_process_left_is_found_and_cut_between_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, found) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    assert!(found.backlog.fresh.is_none() && found.backlog.old.is_empty(), "a new buffer holds nothing");
    append_chunk(&buffer, 50).await;
    let second = append_chunk(&buffer, 30).await;
    let third = append_chunk(&buffer, 20).await;
    close(buffer).await;

    let (buffer, found) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    assert_eq!(found.backlog.pending(100), [0..100]);
    assert!(found.backlog.old.is_empty());
    assert_eq!(found.least_epoch, third + 1, "no epoch begins twice");
    close(buffer).await;

    // A moment within the second chunk: all of that chunk is fresh.
    let within = AppendTime::from_micros(i64::try_from(second).unwrap() + 1);
    let (buffer, found) = Buffer::open(settings(dir.path()), within).await.unwrap();
    assert_eq!(found.backlog.pending(100), [0..50, 50..100]);
    assert_eq!(found.backlog.old.len(), 1);
    close(buffer).await;

    let (buffer, found) = Buffer::open(settings(dir.path()), ALL_OLD).await.unwrap();
    assert!(found.backlog.fresh.is_none(), "nothing holds live records back");
    assert_eq!(found.backlog.pending(100), [0..100]);
    let oldest = found.backlog.oldest(100).unwrap();
    assert!(oldest.as_micros() > 0, "its age is known");
    close(buffer).await;
}

#[tokio::test]
async fn what_the_note_says_is_forwarded_is_not_found_again_and_its_space_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    for _ in 0..10 {
        append_chunk(&buffer, 50).await;
    }
    let before = buffer.bytes();
    buffer.keep_house(Hint::new(500, vec![450..500], 9), 450).await;
    assert!(buffer.bytes() < before, "whole segments before offset 450 are gone");
    append_chunk(&buffer, 10).await;
    close(buffer).await;

    let (mut buffer, found) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();

    assert_eq!(found.backlog.pending(510), [450..510]);
    let offsets: Vec<u64> =
        read_all(&mut buffer, 450, 510).await.iter().map(|record| record.offset).collect();
    assert!(offsets.iter().copied().eq(450..510));
    close(buffer).await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_costs_its_record_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    for _ in 0..10 {
        append_chunk(&buffer, 50).await;
    }
    close(buffer).await;
    let oldest = &segments(dir.path())[0];
    let mut bytes = fs::read(oldest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(oldest, bytes).unwrap();

    let (mut buffer, found) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    assert_eq!(found.backlog.pending(500), [0..500]);
    let records = read_all(&mut buffer, 0, 500).await;

    assert_eq!(records.len(), 499, "the readable rest is kept");
    assert_eq!(buffer.damaged_records(), 1);
    close(buffer).await;
}

#[tokio::test]
async fn a_torn_end_was_never_acknowledged_and_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    append_chunk(&buffer, 50).await;
    close(buffer).await;
    let newest = segments(dir.path()).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 100]).unwrap();

    let (mut buffer, _) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    append_chunk(&buffer, 10).await;
    let end = buffer.end().await.unwrap();
    let records = read_all(&mut buffer, 0, end).await;

    assert_eq!(records.len(), 49 + 10);
    assert!(end > 60, "the offsets of the torn record are not given again");
    assert_eq!(buffer.damaged_records(), 0);
    close(buffer).await;
}

#[tokio::test]
async fn two_gateways_cannot_share_a_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap();
    let refused = Buffer::open(settings(dir.path()), ALL_FRESH).await.unwrap_err();
    assert!(matches!(refused, BufferError::Open(OpenError::InUse { .. })), "{refused}");
    close(buffer).await;
}
