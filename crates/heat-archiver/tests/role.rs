//! The archiver on the embedded log.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use heat_archive::Archive;
use heat_archiver::{Archiver, ArchiverSettings, RawArchive, RunError};
use heat_codec::envelope::Draft;
use heat_ledger::repeats::RepeatSettings;
use heat_log::{
    AppenderSettings, EmbeddedSettings, Log,
    topics::{self, Retention, product_topics},
};
use heat_model::{
    AppendTime, Body, EventTime, IncidentId, NetworkId, PartitionId,
    incident::{Class, Incident},
    plant::PlantModel,
    record::{Heartbeat, NextOffset, Origin},
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};

const PARTITIONS: u32 = 4;

/// A log that holds so many heartbeats in each partition.
async fn log_with(folder: &Path, beats: u64) -> Log {
    let log = Log::open_embedded(EmbeddedSettings::new(folder.to_path_buf())).unwrap();
    log.ensure_topics(&product_topics(PARTITIONS, Retention::default())).await.unwrap();
    let appender = log.appender(&[topics::INPUT], AppenderSettings::default()).await.unwrap();
    for partition in (0..PARTITIONS).map(PartitionId) {
        for beat in 0..beats {
            let draft = Draft::of(None, Clock.now(), 0, &Body::Heartbeat(Heartbeat::default()));
            let draft = draft.encode(
                &"gw".parse().unwrap(),
                1,
                beat * u64::from(PARTITIONS) + u64::from(partition.0),
            );
            appender.append(topics::INPUT, partition, None, draft).await.unwrap();
        }
    }
    assert!(appender.flush(Duration::from_secs(20)).await.unwrap());
    log
}

/// Archives what is in the log.
async fn archive(log: &Log, folder: PathBuf) -> Result<(), RunError> {
    let settings =
        ArchiverSettings::from_raw(RawArchive::default(), folder, RepeatSettings::default()).unwrap();
    let (plant, metrics) = (PlantModel::default(), Metrics::default());
    let archiver =
        Archiver::build(settings, log.clone(), Clock, &plant, &metrics, Health::default()).await.unwrap();
    let shutdown = Shutdown::default();
    shutdown.begin();
    archiver.run(shutdown).await
}

async fn archived(folder: &Path) -> Vec<Option<NextOffset>> {
    let archive = Archive::open(folder.to_str().unwrap()).await.unwrap();
    let mut ends = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        ends.push(archive.resume(topics::INPUT, partition).await.unwrap().next_offset);
    }
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_is_archived_even_if_the_stop_comes_before_a_partition_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&dir.path().join("log"), 1).await;

    archive(&log, dir.path().join("archive")).await.unwrap();

    assert_eq!(archived(&dir.path().join("archive")).await, [Some(NextOffset(1)); PARTITIONS as usize]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_replaced_is_refused_whether_or_not_it_has_grown_past_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("archive");
    archive(&log_with(&dir.path().join("log"), 3).await, folder.clone()).await.unwrap();
    for (name, beats) in [("empty", 0), ("shorter", 2), ("longer", 5)] {
        let log = log_with(&dir.path().join(name), beats).await;

        let error = archive(&log, folder.clone()).await.unwrap_err();

        assert!(matches!(error, RunError::Replaced { archived: 3, .. }), "{name}: {error}");
        assert_eq!(
            archived(&folder).await,
            [Some(NextOffset(3)); PARTITIONS as usize],
            "{name}: nothing is added"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archives_own_log_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = (log_with(&dir.path().join("log"), 3).await, dir.path().join("archive"));
    archive(&log, folder.clone()).await.unwrap();
    archive(&log, folder.clone()).await.unwrap();
    assert!(log.close(Duration::from_secs(20)).await);
    drop(log);

    let log = log_with(&dir.path().join("log"), 2).await;
    archive(&log, folder.clone()).await.unwrap();

    assert_eq!(archived(&folder).await, [Some(NextOffset(5)); PARTITIONS as usize]);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_archive_that_moved_to_another_machine_go_on_where_they_ended() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = log_with(&before.path().join("log"), 3).await;
    archive(&log, before.path().join("archive")).await.unwrap();
    assert!(log.close(Duration::from_secs(20)).await);
    drop(log);

    heat_tests::copy_folder(before.path(), after.path());
    drop(before);
    let log = log_with(&after.path().join("log"), 2).await;
    archive(&log, after.path().join("archive")).await.unwrap();

    let folder = after.path().join("archive");
    assert_eq!(archived(&folder).await, [Some(NextOffset(5)); PARTITIONS as usize]);
    let report = Archive::open(folder.to_str().unwrap()).await.unwrap().verify().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.faults);
    let partitions = report.partitions.iter().filter(|found| found.topic == topics::INPUT);
    assert!(
        partitions.map(|found| (found.first_offset, found.commits)).eq(vec![(0, 2); PARTITIONS as usize])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_the_log_no_longer_keeps_stays_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = (log_with(&dir.path().join("log"), 0).await, dir.path().join("archive"));
    let appender = log.appender(&[topics::INCIDENTS], AppenderSettings::default()).await.unwrap();
    let network: NetworkId = "town".parse().unwrap();
    let origin = Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 1 };
    let id = IncidentId::derive(&network, &origin, 0);
    let (onset, opened) = (EventTime::from_micros(1), AppendTime::from_micros(2));
    let incident = Incident::new(id, network, Class::Burst, onset, opened);
    for payload in [serde_json::to_vec(&incident).unwrap(), Vec::new()] {
        let key = Some(id.to_string().into());
        appender.append(topics::INCIDENTS, PartitionId(0), key, payload.into()).await.unwrap();
    }
    assert!(appender.flush(Duration::from_secs(20)).await.unwrap());

    archive(&log, folder.clone()).await.unwrap();

    let archive = Archive::open(folder.to_str().unwrap()).await.unwrap();
    let manifests = archive.manifests(topics::INCIDENTS, PartitionId(0)).await.unwrap();
    let mut rows = 0;
    for file in manifests.iter().flat_map(|manifest| &manifest.files) {
        rows += archive.table_rows(&file.path).await.unwrap().len();
    }
    let resume = archive.resume(topics::INCIDENTS, PartitionId(0)).await.unwrap().next_offset;
    assert_eq!((rows, resume), (1, Some(NextOffset(2))));
    assert!(manifests.iter().all(|manifest| manifest.undecodable.is_empty()), "{manifests:?}");
}
