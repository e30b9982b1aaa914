//! What only the embedded engine promises.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use heat_log::{
    AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, OpenError, ReadError, Record, StartFrom,
    TopicError, TopicSpec,
};
use heat_model::{PartitionId, record::NextOffset};

const P: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(dir: &Path) -> EmbeddedSettings {
    let mut settings = EmbeddedSettings::new(dir);
    settings.segment_max_bytes = 64 << 10;
    settings.upkeep_interval = Duration::from_millis(20);
    settings
}

async fn append(log: &Log, topic: &str, records: impl IntoIterator<Item = (Option<Bytes>, Bytes)>) {
    let appender = log.appender(&[topic], AppenderSettings::default()).await.unwrap();
    for (key, payload) in records {
        appender.append(topic, P, key, payload).await.unwrap();
    }
    assert!(appender.flush(PATIENCE).await.unwrap());
}

async fn try_read_all(log: &Log, topic: &str) -> Result<Vec<Record>, ReadError> {
    let end = log.bounds(topic, P).await?.end;
    let mut scan = log.scan(topic, P, StartFrom::Beginning, end, ConsumerSettings::default()).await?;
    let mut all = Vec::new();
    while let Some(records) = scan.next().await? {
        all.extend(records);
    }
    Ok(all)
}

async fn read_all(log: &Log, topic: &str) -> Vec<Record> {
    try_read_all(log, topic).await.unwrap()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let all = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "waited in vain: {what}");
}

#[tokio::test]
async fn two_processes_cannot_open_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(settings(dir.path())).unwrap();
    // A second handle on the lock file conflicts like another process does.
    let error = Log::open_embedded(settings(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(log);
    Log::open_embedded(settings(dir.path())).unwrap();
}

#[tokio::test]
async fn another_version_and_foreign_directories_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    drop(Log::open_embedded(settings(dir.path())).unwrap());
    fs::write(dir.path().join("VERSION"), "heatstream-log 99\n").unwrap();
    let error = Log::open_embedded(settings(dir.path())).unwrap_err();
    assert!(error.to_string().contains("heatstream-log 99"), "{error}");
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.doc"), "do not touch").unwrap();
    let error = Log::open_embedded(settings(foreign.path())).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_number_of_partitions_never_changes_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(settings(dir.path())).unwrap();
    log.ensure_topics(&[TopicSpec::new("t", 3)]).await.unwrap();
    let error = log.ensure_topics(&[TopicSpec::new("t", 4)]).await.unwrap_err();
    assert!(matches!(error, TopicError::Partitions { found: 3, wanted: 4, .. }), "{error}");
}

#[tokio::test]
async fn retention_by_bytes_keeps_whole_segments_and_moves_the_first_offset() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(settings(dir.path())).unwrap();
    log.ensure_topics(&[TopicSpec::new("t", 1).retained(None, Some(200 << 10))]).await.unwrap();
    for _ in 0..50 {
        append(&log, "t", [(None, vec![1; 20_000].into())]).await;
    }
    until("retention has bitten", async || log.stats().segment_bytes < 300 << 10).await;
    let stats = log.stats();
    assert!(stats.segment_bytes >= 200 << 10, "{stats:?}");
    assert!(log.bounds("t", P).await.unwrap().first > NextOffset(20));
    assert!(stats.segments_removed > 0);
    let all = read_all(&log, "t").await;
    assert_eq!(all.last().unwrap().offset.0, 49);
}

#[tokio::test]
async fn retention_by_age_drops_old_segments_even_on_a_quiet_topic() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(settings(dir.path())).unwrap();
    log.ensure_topics(&[TopicSpec::new("t", 1).retained(Some(Duration::from_millis(400)), None)])
        .await
        .unwrap();
    append(&log, "t", [(None, "old".into())]).await;
    until("the old record is gone", async || {
        append(&log, "t", [(None, "new".into())]).await;
        log.bounds("t", P).await.unwrap().first > NextOffset(0)
    })
    .await;
    // What it reads grows old meanwhile.
    let rest = loop {
        match try_read_all(&log, "t").await {
            Err(ReadError::Trimmed { .. }) => {}
            read => break read.unwrap(),
        }
    };
    assert!(rest.iter().all(|record| &*record.payload == b"new"));
}

#[tokio::test]
async fn compaction_keeps_the_newest_record_of_each_key_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open_embedded(settings(dir.path())).unwrap();
    let spec = [TopicSpec::new("t", 1).compacted()];
    log.ensure_topics(&spec).await.unwrap();
    let key = |number: u32| Some(Bytes::from(format!("k{number}")));
    append(&log, "t", [(key(1000), "only once".into()), (None, "without a key".into())]).await;
    for round in 0..60_u32 {
        append(
            &log,
            "t",
            (0..10).map(|number| (key(number), Bytes::from(vec![u8::try_from(round).unwrap(); 1000]))),
        )
        .await;
    }
    until("compaction has bitten", async || log.stats().segment_bytes < 300 << 10).await;

    for _ in 0..2 {
        let all = read_all(&log, "t").await;
        let newest = |wanted: &Option<Bytes>| all.iter().rev().find(|record| record.key == *wanted).unwrap();
        assert_eq!(&*newest(&key(1000)).payload, b"only once");
        assert_eq!(&*newest(&None).payload, b"without a key");
        for number in 0..10 {
            assert_eq!(newest(&key(number)).payload[0], 59);
        }
        assert!(all.is_sorted_by(|a, b| a.offset < b.offset));
        assert_eq!(log.stats().damaged_places, 0);
        assert_eq!(log.bounds("t", P).await.unwrap().first, NextOffset(0), "compaction trims nothing");
        drop(log);
        log = Log::open_embedded(settings(dir.path())).unwrap();
        log.ensure_topics(&spec).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_in_a_compacted_or_trimmed_segment_goes_on_or_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(settings(dir.path())).unwrap();
    log.ensure_topics(&[TopicSpec::new("t", 1)]).await.unwrap();
    for _ in 0..10 {
        append(&log, "t", [(None, vec![1; 70_000].into())]).await;
    }
    let settings = ConsumerSettings { batch_max_records: 1, batch_max_bytes: 1, read_ahead_batches: 1 };
    let mut scan = log.scan("t", P, StartFrom::Beginning, NextOffset(10), settings).await.unwrap();
    assert_eq!(scan.next().await.unwrap().unwrap()[0].offset.0, 0);

    log.trim("t", P, NextOffset(8)).await.unwrap();

    // What was read ahead still comes; then the loss is an error, not a jump.
    let mut last = 0;
    let error = loop {
        match scan.next().await {
            Ok(Some(records)) => {
                assert_eq!(records[0].offset.0, last + 1);
                last += 1;
            }
            Ok(None) => panic!("it jumped"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Trimmed { .. }), "{error}");
}
