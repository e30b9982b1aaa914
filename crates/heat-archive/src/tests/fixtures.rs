//! Archives that earlier versions wrote, kept in `tests/fixtures/archive`: this version reads them all.
//!
//! Whoever raises a version in the archive's formats adds a fixture by
//! `cargo test -p heat-archive --lib writes_a_fixture -- --ignored`, and leaves the others as they are.
#![expect(clippy::disallowed_methods, reason = "a test's own folders")]

use std::path::{Path, PathBuf};

use heat_model::{EventTime, IngestTime, PartitionId, record::NextOffset};
use serde_json::{Value, json};

use super::{
    City, TOPIC, archive_all, block_on,
    compact::{at_once, without_repeats},
    read_all, replay_all, rotation,
};
use crate::{
    Archive, ArchivedReading, CommitWriter, CompactSettings, Dataset, Scan, TableRow,
    manifest::CHAPTER_FORMAT, revise::unobserved, revision::REVISION_FORMAT, schema::SCHEMA_VERSION,
};

const INCIDENTS: &str = "heat.incidents.v1";

fn folder() -> PathBuf {
    heat_tests::repository().join("tests/fixtures/archive")
}

/// What a row says, apart from how this version's types show it.
fn told(row: &ArchivedReading) -> Value {
    let bits = |value: Option<f64>| value.map(|value| format!("{:016x}", value.to_bits()));
    json!({
        "signal": row.signal.id.to_string(),
        "unit": row.signal.unit,
        "raw_unit": row.signal.raw_unit,
        "event_time": row.event_time.as_micros(),
        "ingest_time": row.ingest_time.as_micros(),
        "append_time": row.append_time.as_micros(),
        "value": bits(row.value),
        "raw_value": bits(row.raw_value),
        "quality": format!("{:?}", row.quality),
        "code": format!("{:?}", row.code),
        "lane": format!("{:?}", row.lane),
        "gateway": row.gateway.to_string(),
        "epoch": row.epoch,
        "seq": row.seq,
        "partition": row.partition.0,
        "offset": row.offset.0,
    })
}

fn lines(rows: &[ArchivedReading]) -> Vec<String> {
    let mut lines: Vec<String> = rows.iter().map(|row| told(row).to_string()).collect();
    lines.sort();
    lines
}

/// A commit of another topic, whose rows are a small table's.
async fn publish_incidents(archive: &Archive) {
    let resume = archive.resume(INCIDENTS, PartitionId(0)).await.unwrap();
    let mut writer = CommitWriter::new(&resume, NextOffset(0), rotation(100));
    for sent in City::new(5).records(3) {
        let row = TableRow {
            network: "demo-south".to_owned(),
            kind: "burst".to_owned(),
            id: format!("{:016x}", sent.position.offset.0),
            event_time: EventTime::from_micros(sent.envelope.ingest_time.as_micros()),
            ingest_time: IngestTime::from_micros(sent.envelope.ingest_time.as_micros()),
            json: "{\"class\":\"burst\",\"area\":\"东区\"}".to_owned(),
            gateway: String::new(),
            epoch: 0,
            seq: sent.position.offset.0,
        };
        writer.append_row(&sent.position, Dataset::Incidents, row).unwrap();
    }
    let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
}

#[test]
#[ignore = "writes into the repository, once for each version of the formats"]
fn writes_a_fixture() {
    let name = format!("schema-{SCHEMA_VERSION}-manifest-{CHAPTER_FORMAT}-revision-{REVISION_FORMAT}");
    let root = folder().join(name);
    assert!(!root.exists(), "{} is there: a fixture is never written anew", root.display());
    let sent = City::new(5).with_faults().with_inputs().records(60);
    block_on(async {
        let archive = Archive::open(root.to_str().unwrap()).await.unwrap();
        archive_all(&archive, &sent[..40], rotation(40)).await;
        publish_incidents(&archive).await;
        let settings =
            CompactSettings { file_rows: 1 << 20, chapter_commits: 2, commits_kept: 1, ..at_once() };
        // One file is damaged, set aside, put back and taken again.
        let file = archive.files().await.unwrap().into_iter().find(|file| file.dataset == Dataset::Readings);
        let file = root.join(file.unwrap().path);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let report = archive.compact(&settings, &mut unobserved).await.unwrap();
        assert_eq!(report.missing_files, 1);
        std::fs::write(&file, whole).unwrap();
        let report = archive.compact(&settings, &mut unobserved).await.unwrap();
        assert_eq!((report.missing_files, report.restored.len()), (0, 1));
        archive_all(&archive, &sent, rotation(40)).await;
    });
    let mut expected = without_repeats(&sent[..40]);
    expected.extend(sent[40..].iter().flat_map(super::Sent::expected));
    std::fs::write(root.join("rows.jsonl"), lines(&expected).join("\n") + "\n").unwrap();
}

/// Opens a copy: opening may write.
async fn opened(root: &Path, copy: &tempfile::TempDir) -> Archive {
    heat_tests::copy_folder(root, copy.path());
    super::open(copy).await
}

#[test]
fn archives_of_every_earlier_version_are_read_verified_replayed_and_compacted() {
    let mut versions = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let (root, copy) = (entry.unwrap().path(), heat_tests::memory_folder());
        let expected = std::fs::read_to_string(root.join("rows.jsonl")).unwrap();
        let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        block_on(async {
            let archive = opened(&root, &copy).await;
            let what = root.display();
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound() && report.orphans.is_empty(), "{what}: {report:?}");
            assert_eq!(lines(&read_all(&archive, &Scan::default()).await), expected, "{what}");
            assert!(!replay_all(&archive).await.is_empty(), "{what}");
            let files = archive.files().await.unwrap();
            for dataset in [Dataset::Readings, Dataset::Rollups, Dataset::Inputs, Dataset::Incidents] {
                assert!(files.iter().any(|file| file.dataset == dataset), "{what}: {dataset:?}");
            }

            archive.compact(&at_once(), &mut unobserved).await.unwrap();

            assert!(archive.verify().await.unwrap().is_sound(), "{what}");
            let compacted = lines(&read_all(&archive, &Scan::default()).await);
            assert!(!compacted.is_empty() && compacted.iter().all(|row| expected.contains(row)), "{what}");
            let resume = archive.resume(TOPIC, PartitionId(0)).await.unwrap();
            assert_eq!(resume.next_offset, Some(NextOffset(60)), "{what}");
        });
        versions += 1;
    }
    assert!(versions >= 1, "the repository has fixtures");
}

#[test]
fn this_versions_formats_have_a_fixture() {
    let name = format!("schema-{SCHEMA_VERSION}-manifest-{CHAPTER_FORMAT}-revision-{REVISION_FORMAT}");
    assert!(
        folder().join(&name).is_dir(),
        "write {name} by writes_a_fixture, and leave the others as they are"
    );
}
