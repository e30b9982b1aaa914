//! Incidents that have been over for long leave the topic of states, on both engines.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use heat_archive::Archive;
use heat_codec::envelope::Draft;
use heat_ledger::repeats::RepeatSettings;
use heat_log::{
    Appender, AppenderSettings, EmbeddedSettings, KafkaSettings, Log, Record,
    topics::{self, Retention, product_topics},
};
use heat_model::{
    AppendTime, Body, EventTime, IncidentId, NetworkId, PartitionId,
    incident::{AlarmState, Class, Incident},
    plant::PlantModel,
    record::{Heartbeat, Origin},
};
use heat_processor::{Processor, ProcessorSettings, RawProcessor};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use heat_tests::kafka::Kafka;

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITION: PartitionId = PartitionId(0);
const DAY_US: i64 = 24 * 3_600_000_000;

/// The n-th incident, of which the last was said so many days ago.
fn incident(number: u64, alarm: AlarmState, days_ago: i64) -> Incident {
    let network: NetworkId = "town".parse().unwrap();
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: number };
    let at = Clock.now().as_micros() - days_ago * DAY_US;
    let id = IncidentId::derive(&network, &origin, 0);
    let opened = AppendTime::from_micros(at);
    Incident {
        version: 2,
        alarm,
        updated: opened,
        cleared: (alarm == AlarmState::Cleared).then_some(opened),
        ..Incident::new(id, network, Class::Burst, EventTime::from_micros(at), opened)
    }
}

async fn append(appender: &Appender, topic: &str, key: &str, payload: Bytes) {
    appender.append(topic, PARTITION, Some(Bytes::copy_from_slice(key.as_bytes())), payload).await.unwrap();
    assert!(appender.flush(PATIENCE).await.unwrap());
}

/// A processor that takes over what is published, and hears heartbeats until the last word of the topic of states is what is
/// looked for.
async fn ends_what_is_over(log: &Log, folder: &std::path::Path) {
    let specs = product_topics(1, Retention::default());
    if let Log::Kafka(kafka) = log {
        let plan = kafka.plan_topics(&specs, 1).await.unwrap();
        kafka.apply_topics(&plan).await.unwrap();
    }
    let making = async {
        // Kafka may need a moment until all of a new topic is known.
        while log.ensure_topics(&specs).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, making).await.expect("the topics are made");
    let appender =
        log.appender(&[topics::INPUT, topics::INCIDENTS], AppenderSettings::default()).await.unwrap();
    let (long_over, open, just_over) = (
        incident(1, AlarmState::Cleared, 401),
        incident(2, AlarmState::Unacknowledged, 500),
        incident(3, AlarmState::Cleared, 399),
    );
    for state in [&long_over, &open, &just_over] {
        let payload = serde_json::to_vec(state).unwrap().into();
        append(&appender, topics::INCIDENTS, &state.id.to_string(), payload).await;
    }
    let settings = ProcessorSettings::from_raw(RawProcessor::default(), RepeatSettings::default()).unwrap();
    let archive = Archive::open(folder.to_str().unwrap()).await.unwrap();
    let plant = Arc::new(PlantModel::default());
    let metrics = Metrics::default();
    let processor =
        Processor::build(settings, plant, log.clone(), Clock, &metrics, Health::default()).await.unwrap();
    let processor = processor.rebuilding_from(archive);
    let shutdown = Shutdown::default();
    let states = async || -> Vec<Record> { log.whole_in_time(topics::INCIDENTS, PARTITION).await.unwrap() };
    let looking = async {
        for beat in 0.. {
            let draft = Draft::of(None, Clock.now(), 0, &Body::Heartbeat(Heartbeat::default()));
            append(&appender, topics::INPUT, "town", draft.encode(&"gw".parse().unwrap(), 1, beat)).await;
            let gone: Vec<Bytes> = states()
                .await
                .into_iter()
                .filter(|record| record.payload.is_empty())
                .filter_map(|record| record.key)
                .collect();
            if !gone.is_empty() {
                assert_eq!(gone, [Bytes::from(long_over.id.to_string())]);
                shutdown.begin();
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let both = async { tokio::join!(processor.run(shutdown.clone()), looking) };
    let (ended, ()) = tokio::time::timeout(PATIENCE, both).await.expect("the state goes");
    ended.unwrap();
    assert_eq!(states().await.last().unwrap().key, Some(Bytes::from(long_over.id.to_string())));
    log.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_an_incident_that_was_over_400_days_ago_is_taken_out_of_the_embedded_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    ends_what_is_over(&log, &dir.path().join("archive")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_an_incident_that_was_over_400_days_ago_is_taken_out_of_kafka() {
    let Some(kafka) = Kafka::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = Log::connect_kafka(KafkaSettings::new(&kafka.brokers())).await.unwrap();
    ends_what_is_over(&log, &dir.path().join("archive")).await;
}
