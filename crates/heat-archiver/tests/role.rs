//! The archiver on the embedded log.

use std::time::Duration;

use heat_archive::Archive;
use heat_archiver::{Archiver, ArchiverSettings, RawArchive};
use heat_codec::envelope::Draft;
use heat_ledger::repeats::RepeatSettings;
use heat_log::{
    AppenderSettings, EmbeddedSettings, Log,
    topics::{self, Retention, product_topics},
};
use heat_model::{Body, PartitionId, plant::PlantModel, record::Heartbeat};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};

const PARTITIONS: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_is_archived_even_if_the_stop_comes_before_a_partition_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    log.ensure_topics(&product_topics(PARTITIONS, Retention::default())).await.unwrap();
    let appender = log.appender(&[topics::INPUT], AppenderSettings::default()).await.unwrap();
    for partition in (0..PARTITIONS).map(PartitionId) {
        let beat = Draft::of(None, Clock.now(), 0, &Body::Heartbeat(Heartbeat::default()));
        let beat = beat.encode(&"gw".parse().unwrap(), 1, partition.0.into());
        appender.append(topics::INPUT, partition, None, beat).await.unwrap();
    }
    assert!(appender.flush(Duration::from_secs(20)).await.unwrap());

    let settings = RawArchive::default();
    let settings =
        ArchiverSettings::from_raw(settings, dir.path().join("archive"), RepeatSettings::default()).unwrap();
    let location = settings.location.clone();
    let plant = PlantModel::default();
    let metrics = Metrics::default();
    let archiver =
        Archiver::build(settings, log.clone(), Clock, &plant, &metrics, Health::default()).await.unwrap();
    let shutdown = Shutdown::default();
    shutdown.begin();
    archiver.run(shutdown).await.unwrap();

    let archive = Archive::open(location).await.unwrap();
    for partition in (0..PARTITIONS).map(PartitionId) {
        let end = log.bounds(topics::INPUT, partition).await.unwrap().end;
        let resume = archive.resume(topics::INPUT, partition).await.unwrap();
        assert_eq!(resume.next_offset, Some(end), "{partition:?}");
    }
}
