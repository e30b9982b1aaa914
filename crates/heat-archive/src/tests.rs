//! The archive as a whole, over a folder.

mod aside;
mod bucket;
mod city;
mod compact;
mod crash;
mod evolution;
mod fixtures;
mod households;
mod kill;
mod late;
mod questions;
mod tamper;

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use city::{City, Sent};
use heat_ledger::commit::CommitLedger;
use heat_model::{
    Body, Envelope, PartitionId, Position, QualityCode, Reading, record::NextOffset, time::MICROS_PER_HOUR,
};
use proptest::prelude::*;

use crate::{
    Archive, ArchiveError, ArchivedReading, CommitWriter, Dataset, Keep, RotationSettings, Scan, layout,
    writer::AppendError,
};

const TOPIC: &str = "heat.input.v1";

/// Commits of so many readings, whatever the time.
fn rotation(max_readings: usize) -> RotationSettings {
    RotationSettings { max_readings, grid: Duration::from_secs(86_400), ..RotationSettings::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn open(folder: &tempfile::TempDir) -> Archive {
    Archive::open(folder.path().to_str().unwrap()).await.unwrap()
}

async fn writer(archive: &Archive, rotation: RotationSettings) -> CommitWriter {
    let resume = archive.resume(TOPIC, PartitionId(0)).await.unwrap();
    CommitWriter::new(&resume, NextOffset(0), rotation)
}

/// Archives records from where the archive ends, as the archiver does.
async fn archive_all(archive: &Archive, sent: &[Sent], rotation: RotationSettings) {
    let mut writer = writer(archive, rotation).await;
    let start = writer.next_offset().0;
    for sent in sent.iter().skip_while(|sent| sent.position.offset.0 < start) {
        if writer.should_close_before(&sent.position, sent.readings()) {
            let published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
            assert_eq!(published.next_offset(), writer.next_offset());
        }
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
    }
    if let Some(sealed) = writer.seal().unwrap() {
        assert_eq!(archive.publish(&sealed).await.unwrap().next_offset(), writer.next_offset());
    }
}

async fn read_all(archive: &Archive, scan: &Scan) -> Vec<ArchivedReading> {
    let mut rows = Vec::new();
    let mut collect = |row| {
        rows.push(row);
        ControlFlow::Continue(())
    };
    archive.scan(scan, &mut collect).await.unwrap();
    rows
}

/// The whole partition, piece by piece.
async fn replay_all(archive: &Archive) -> Vec<(Position, Envelope)> {
    let mut replayed = Vec::new();
    for piece in archive.pieces(TOPIC, PartitionId(0)).await.unwrap() {
        replayed.extend(archive.replay(TOPIC, PartitionId(0), piece.offsets).await.unwrap());
    }
    replayed
}

/// Rows as text, in one order, so that two sets can be compared and a difference read.
fn canonical(rows: &[ArchivedReading]) -> Vec<String> {
    let mut texts: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    texts.sort();
    texts
}

#[test]
fn what_goes_in_comes_out_once_whatever_the_rotation() {
    let sent = City::new(7).with_faults().records(300);
    for max_readings in [1, 17, 400, 1_000_000] {
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;

            archive_all(&archive, &sent, rotation(max_readings)).await;

            let expected: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
            assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound(), "{:?}", report.faults);
            assert_eq!(report.orphans, Vec::<String>::new());
        });
    }
}

#[test]
fn two_runs_over_the_same_log_make_the_same_commits() {
    let sent = City::new(3).with_faults().records(200);
    let rotation = rotation(150);
    let manifests = |cut: usize| {
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;
            let mut writer = writer(&archive, rotation).await;
            for (records, sent) in sent.iter().enumerate() {
                if writer.should_close_before(&sent.position, sent.readings()) {
                    let sealed = writer.seal().unwrap().unwrap();
                    let _published = archive.publish(&sealed).await.unwrap();
                    // A restart: everything in memory is lost.
                    if records >= cut {
                        writer = self::writer(&archive, rotation).await;
                    }
                }
                writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
            }
            archive.manifests(TOPIC, PartitionId(0)).await.unwrap()
        })
    };

    let straight = manifests(usize::MAX);

    assert!(straight.len() > 3, "the rotation makes several commits");
    assert_eq!(straight, manifests(0));
    assert_eq!(straight, manifests(90));
}

#[test]
fn a_clock_fault_is_filed_by_its_ingest_date_and_everything_else_by_its_event_date() {
    let mut city = City::new(1);
    let mut ahead = city.next();
    ahead.set_reading(0, |reading| {
        reading.event_time = heat_model::EventTime::from_micros(i64::MAX / 2);
        reading.code = QualityCode::ClockAhead;
    });
    let mut late = city.next();
    late.set_reading(0, |reading| {
        reading.event_time = reading.event_time.minus(Duration::from_secs(3 * 86_400));
    });
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;

        archive_all(&archive, &[ahead.clone(), late.clone()], rotation(1_000_000)).await;

        let day = ahead.envelope.ingest_time.day();
        let expected = [day - 3, day].map(|day| format!("readings/date={}/", layout::date_of_day(day)));
        let files = archive.files().await.unwrap();
        assert_eq!(files.len(), 2);
        assert!(files.iter().zip(&expected).all(|(file, folder)| file.path.starts_with(folder)), "{files:?}");
    });
}

#[test]
fn a_scan_gives_exactly_what_was_asked_for() {
    let sent = City::new(5).with_faults().records(400);
    let all: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
    let signals = [all[0].signal.id.clone(), all[all.len() / 2].signal.id.clone()].into();
    let (from, to) = (all[all.len() / 4].event_time, all[all.len() / 2].event_time);
    let scans = [
        Scan { signals: Some(signals), ..Scan::default() },
        Scan { from: Some(from), to: Some(to), ..Scan::default() },
        Scan { networks: Some([all[0].signal.id.network.clone()].into()), to: Some(to), ..Scan::default() },
    ];
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(500)).await;

        for scan in scans {
            let wanted: Vec<ArchivedReading> = all
                .iter()
                .filter(|row| {
                    scan.networks.as_ref().is_none_or(|networks| networks.contains(&row.signal.id.network))
                        && scan.signals.as_ref().is_none_or(|signals| signals.contains(&row.signal.id))
                        && scan.from.is_none_or(|from| row.event_time >= from)
                        && scan.to.is_none_or(|to| row.event_time < to)
                })
                .cloned()
                .collect();
            assert!(!wanted.is_empty() && wanted.len() < all.len(), "the scan selects");
            assert_eq!(canonical(&read_all(&archive, &scan).await), canonical(&wanted), "{scan:?}");
        }
    });
}

#[test]
fn files_are_sorted_by_signal_and_event_time() {
    let sent = City::new(11).with_faults().records(400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(1_000_000)).await;

        for file in archive.files().await.unwrap() {
            let mut keys = Vec::new();
            let mut collect = |row: ArchivedReading| {
                keys.push((row.signal.id.to_string(), row.event_time));
                ControlFlow::Continue(())
            };
            let end = archive.scan_file(&file.path, &Scan::default(), &mut collect).await.unwrap();
            assert!(end.is_continue() && keys.is_sorted(), "{}", file.path);
        }
    });
}

#[test]
fn commands_and_tickets_are_archived_beside_the_readings_and_replay_in_order() {
    let sent = City::new(13).with_inputs().records(300);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(700)).await;

        let replayed = replay_all(&archive).await;

        let expected: Vec<&Sent> = sent.iter().filter(|sent| sent.leaves_a_row()).collect();
        assert_eq!(replayed.len(), expected.len());
        for ((position, envelope), sent) in replayed.iter().zip(expected) {
            assert_eq!(*position, sent.position);
            assert_eq!(envelope.origin, sent.envelope.origin);
            assert_eq!(envelope.ingest_time, sent.envelope.ingest_time);
            assert!(sent.replays_as(&envelope.body), "{:?} for {:?}", envelope.body, sent.envelope.body);
        }
        assert!(archive.files().await.unwrap().iter().any(|file| file.dataset == Dataset::Inputs));
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

#[test]
fn a_redelivered_record_leaves_counts_and_no_rows() {
    let mut city = City::new(2);
    let first = city.next();
    let mut again = city.next();
    again.envelope = first.envelope.clone();
    again.keep_mask = None;
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        let mut writer = writer(&archive, rotation(1_000_000)).await;

        writer.append(&first.position, &first.envelope, Keep::All).unwrap();
        writer.append(&again.position, &again.envelope, Keep::Redelivered).unwrap();
        let sealed = writer.seal().unwrap().unwrap();
        let published = archive.publish(&sealed).await.unwrap();

        let found = published.manifest().hours[0];
        let readings = first.readings() as u64;
        assert_eq!((found.records, found.readings, found.archived), (2, readings, readings));
        assert_eq!((found.redelivered_records, found.redelivered_readings), (1, readings));
        assert_eq!(published.manifest().rows(Dataset::Readings), readings);
        let ledger = std::fs::read(folder.path().join(&published.manifest().ledger.path)).unwrap();
        let ledger: CommitLedger = serde_json::from_slice(&ledger).unwrap();
        assert_eq!(ledger.hours(), published.manifest().hours);
    });
}

#[test]
fn records_out_of_order_and_of_other_partitions_are_refused() {
    let mut city = City::new(2);
    let first = city.next();
    let mut other = city.next();
    other.position.partition = PartitionId(9);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let mut writer = writer(&open(&folder).await, rotation(1_000_000)).await;
        writer.append(&first.position, &first.envelope, Keep::All).unwrap();

        let again = writer.append(&first.position, &first.envelope, Keep::All).unwrap_err();
        let foreign = writer.append(&other.position, &other.envelope, Keep::All).unwrap_err();

        assert!(matches!(again, AppendError::Order { expected: 1, found: 0, .. }), "{again}");
        assert!(matches!(foreign, AppendError::Partition { found: 9, .. }), "{foreign}");
    });
}

#[test]
fn an_unsupported_location_is_refused_with_the_remedy() {
    let error = block_on(Archive::open("ftp://key:secret@server/heat")).unwrap_err();

    assert!(matches!(error, ArchiveError::Location { .. }));
    let told = error.to_string();
    assert!(told.contains("s3://bucket/prefix") && !told.contains("secret"), "{told}");
}

#[test]
fn a_commit_over_many_dates_and_networks_needs_no_more_than_its_rows() {
    let sent = City::new(17).spread_over_days(60).records(600);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;

        archive_all(&archive, &sent, rotation(1_000_000)).await;

        let expected: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
        let files = archive.files().await.unwrap();
        assert!(files.len() > 60, "{} files", files.len());
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
    });
}

/// Records of many readings of one device, `value` and number of messages as asked for.
fn many(rows: usize, per_record: usize, raw: impl Fn(usize) -> f64) -> Vec<Sent> {
    let mut city = City::new(1);
    (0..rows / per_record)
        .map(|record| {
            let mut sent = city.next();
            if let Body::Readings(readings) = &mut sent.envelope.body {
                let first = readings.readings[0];
                readings.readings.clear();
                readings.readings.extend((0..per_record).map(|index| {
                    let place = record * per_record + index;
                    let raw = raw(place);
                    Reading { signal: u32::try_from(place % 3).unwrap(), raw, value: raw * 2.0, ..first }
                }));
            }
            sent
        })
        .collect()
}

#[test]
fn many_pages_of_few_and_of_many_distinct_values_and_messages_read_back() {
    // More than a page has, and than 16 bits tell apart.
    const ROWS: usize = 70_500;
    let few = |place: usize| (place % 700) as f64 / 10.0;
    let all_different = |place: usize| (place as f64).sqrt();
    let some_null = |place: usize| if place.is_multiple_of(11) { f64::NAN } else { few(place) };
    for sent in [
        many(ROWS, 500, few),
        many(ROWS, 500, all_different),
        many(ROWS, 3, few),
        many(ROWS, 500, |place| (place % 70_000) as f64),
        many(ROWS, 500, some_null),
    ] {
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;

            archive_all(&archive, &sent, rotation(1_000_000)).await;

            // The reader's digests are made from what it decoded, the manifest's from what was appended.
            let report = archive.verify().await.unwrap();
            assert!(report.is_sound(), "{:?}", report.faults);
            assert_eq!(report.rows, ROWS as u64);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rows_hours_and_offsets_are_conserved(seed in 1_u64.., records in 1_usize..120, max_readings in 1_usize..400) {
        let sent = City::new(seed).with_faults().with_inputs().records(records);
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;
            archive_all(&archive, &sent, rotation(max_readings)).await;

            let expected: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
            assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
            let mut archived: BTreeMap<i64, u64> = BTreeMap::new();
            let manifests = archive.manifests(TOPIC, PartitionId(0)).await.unwrap();
            for hour in manifests.iter().flat_map(|manifest| &manifest.hours) {
                assert_eq!(hour.readings, hour.archived + hour.duplicates);
                *archived.entry(hour.hour_start_us).or_default() += hour.archived;
            }
            archived.retain(|_, rows| *rows > 0);
            let mut by_hour: BTreeMap<i64, u64> = BTreeMap::new();
            for row in &expected {
                assert_eq!(row.ingest_time.hour_start() % MICROS_PER_HOUR, 0);
                *by_hour.entry(row.ingest_time.hour_start()).or_default() += 1;
            }
            assert_eq!(archived, by_hour);
            assert_eq!(manifests.last().unwrap().next_offset.0, records as u64);
            assert!(archive.verify().await.unwrap().is_sound());
        });
    }
}
