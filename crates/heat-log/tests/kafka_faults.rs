//! Kafka when it fails: a broker that hangs, is killed, or lacks a topic. One broker serves all, one after the other.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

use std::{collections::BTreeMap, time::Duration};

use heat_ledger::durable::Marks;
use heat_log::{
    Appender, AppenderSettings, ConsumerSettings, Health, KafkaSettings, Log, LogEvent, Membership,
    OpenError, ReadError, Retention, StartFrom, TopicChange, TopicError, TopicSpec, topics,
};
use heat_model::PartitionId;
use heat_tests::{kafka::Kafka, proxy::Proxy, wait_until};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

const P: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(120);
const TOPIC: &str = "test.faults";

async fn connect(kafka: &Kafka) -> Log {
    let mut settings = KafkaSettings::new(&kafka.brokers());
    settings.connect_timeout = Duration::from_secs(60);
    Log::connect_kafka(settings).await.unwrap()
}

async fn apply(log: &Log, specs: &[TopicSpec]) -> heat_log::TopicPlan {
    let Log::Kafka(log) = log else { panic!("Kafka is asked for") };
    let plan = log.plan_topics(specs, 3).await.unwrap();
    log.apply_topics(&plan).await.unwrap();
    plan
}

async fn health(appender: &Appender, what: &str, wanted: fn(&Health) -> bool) -> Health {
    let mut watch = appender.health();
    let found =
        tokio::time::timeout(PATIENCE, watch.wait_for(wanted)).await.unwrap_or_else(|_| panic!("{what}"));
    found.unwrap().clone()
}

async fn count_in_order(log: &Log, expected: u64) {
    let mut consumer = log.consumer(TOPIC, Membership::All, ConsumerSettings::default()).await.unwrap();
    assert_eq!(consumer.next().await.unwrap(), LogEvent::Assigned(P));
    consumer.start(P, StartFrom::Beginning).await.unwrap();
    let mut next = 0_u64;
    while next < expected {
        let event = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
        let LogEvent::Records { records, .. } = event else { panic!("{event:?}") };
        for record in records {
            assert_eq!(*record.payload, next.to_le_bytes(), "in order, none lost, none doubled");
            next += 1;
        }
    }
    assert!(consumer.close(PATIENCE).await);
}

async fn append(appender: &Appender, numbers: std::ops::Range<u64>) {
    for number in numbers {
        appender.append(TOPIC, P, None, number.to_le_bytes().to_vec().into()).await.unwrap();
    }
}

#[test]
fn kafka_is_down_at_start() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut settings = KafkaSettings::new(&format!("127.0.0.1:{}", heat_tests::free_port()));
    settings.connect_timeout = Duration::from_secs(1);
    let error = runtime.block_on(Log::connect_kafka(settings)).unwrap_err();
    assert!(matches!(error, OpenError::KafkaUnreachable { .. }), "{error}");
    let mut settings = KafkaSettings::new("127.0.0.1:1");
    settings.librdkafka.insert("no.such.setting".to_owned(), "1".to_owned());
    let error = runtime.block_on(Log::connect_kafka(settings)).unwrap_err();
    assert!(
        matches!(error, OpenError::KafkaSettings { .. }) && error.to_string().contains("no.such.setting"),
        "{error}"
    );
}

/// The broker sends its clients to a proxy that leads nowhere: whoever is new is answered at the door, and no member finds
/// the group's coordinator. In librdkafka 2.12 a member was seen to stay in that state after a broker had hung, alone of five.
#[test]
fn a_member_that_does_not_find_its_coordinator_is_built_anew_and_one_that_rests_is_not() {
    let nowhere = heat_tests::free_port();
    let proxy = Proxy::start(nowhere);
    let Some(kafka) = Kafka::start_behind(proxy.port()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = connect(&kafka).await;
        apply(&log, &[TopicSpec::new(TOPIC, 1)]).await;
        while log.partitions(TOPIC).await.is_err() {
            tokio::task::yield_now().await;
        }
        let appender = log.appender(&[TOPIC], AppenderSettings::default()).await.unwrap();
        append(&appender, 0..100).await;
        assert!(appender.flush(PATIENCE).await.unwrap());

        let mut settings = KafkaSettings::new(&format!("127.0.0.1:{}", kafka.port_behind()));
        settings.watchdog_after = Duration::from_secs(2);
        // A client that has been told where the broker is may ask there, in vain; the watchdog asks again with another.
        settings.connect_timeout = Duration::from_secs(5);
        let member = Log::trust_kafka(settings, &[TopicSpec::new(TOPIC, 1)]).unwrap();
        let group = Membership::Group("astray".to_owned());
        let mut consumer = member.consumer(TOPIC, group, ConsumerSettings::default()).await.unwrap();
        wait_until("it was built anew twice", PATIENCE, || member.stats().consumer_restarts >= 2);
        proxy.aim_at(kafka.port_behind());

        let assigned = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
        assert_eq!(assigned, LogEvent::Assigned(P));
        consumer.start(P, StartFrom::Beginning).await.unwrap();
        let restarts = member.stats().consumer_restarts;
        let mut next = 0_u64;
        while next < 100 {
            let event = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
            let LogEvent::Records { records, .. } = event else { panic!("{event:?}") };
            for record in records {
                assert_eq!(*record.payload, next.to_le_bytes(), "in order, none lost, none doubled");
                next += 1;
            }
        }
        // Nothing comes any more, for as long as four watchdogs wait.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(member.stats().consumer_restarts, restarts, "a member that has read all may rest");
        append(&appender, 100..101).await;
        let event = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
        assert!(matches!(event, LogEvent::Records { .. }), "{event:?}");
        assert!(consumer.close(PATIENCE).await);
    });
}

#[test]
fn a_broker_may_fail_in_any_way() {
    let Some(mut kafka) = Kafka::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        topics_are_created_on_purpose_only(&kafka).await;
        a_member_that_starts_what_it_was_assigned_does_not_hold_up_one_that_joins(&kafka).await;
        a_broker_that_hangs_stalls_the_appender_and_nothing_is_lost(&kafka).await;
        a_broker_that_is_killed_is_waited_for(&mut kafka).await;
    });
}

async fn topics_are_created_on_purpose_only(kafka: &Kafka) {
    let log = connect(kafka).await;
    let specs = topics::product_topics(3, Retention { age: Some(Duration::from_secs(86_400)), bytes: None });
    let error = log.ensure_topics(&specs).await.unwrap_err();
    assert!(matches!(&error, TopicError::Missing { topic } if topic == topics::INPUT), "{error}");
    assert!(error.to_string().contains("heatstream topics apply"), "{error}");

    let plan = apply(&log, &specs).await;
    assert_eq!(plan.changes.len(), specs.len());
    assert!(plan.warnings.iter().any(|warning| warning.contains("replication 1")), "{:?}", plan.warnings);
    while log.ensure_topics(&specs).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(apply(&log, &specs).await.changes, [], "applied once, nothing is left to do");

    let mut other = specs;
    other[0].retention.age = Some(Duration::from_secs(3600));
    other[1].partitions = 4;
    let Log::Kafka(inner) = &log else { panic!() };
    let plan = inner.plan_topics(&other, 1).await.unwrap();
    assert!(matches!(&plan.changes[..], [TopicChange::Alter { .. }, TopicChange::Refuse { .. }]), "{plan:?}");
    assert!(inner.apply_topics(&plan).await.is_err(), "a plan with a refusal does nothing");
    apply(&log, &other[..1]).await;
    assert_eq!(inner.plan_topics(&other[..1], 1).await.unwrap().changes, []);
    let error = log.ensure_topics(&other[1..2]).await.unwrap_err();
    assert!(matches!(error, TopicError::Partitions { found: 3, wanted: 4, .. }), "{error}");
}

/// Members of a group, once all of them have heard who reads what.
fn members(kafka: &Kafka, group: &str) -> usize {
    let mut config = ClientConfig::new();
    let client: BaseConsumer = config.set("bootstrap.servers", kafka.brokers()).create().unwrap();
    let groups = client.fetch_group_list(Some(group), PATIENCE).unwrap();
    let stable = groups.groups().iter().find(|group| group.state() == "Stable");
    stable.map_or(0, |group| group.members().len())
}

async fn a_member_that_starts_what_it_was_assigned_does_not_hold_up_one_that_joins(kafka: &Kafka) {
    const PARTITIONS: u32 = 6;
    const SHARED: &str = "test.shared";
    let mut settings = KafkaSettings::new(&kafka.brokers());
    settings.connect_timeout = Duration::from_secs(60);
    // Waited for in vain, it would end the test.
    settings.revoke_max_wait = 2 * PATIENCE;
    let log = Log::connect_kafka(settings).await.unwrap();
    apply(&log, &[TopicSpec::new(SHARED, PARTITIONS)]).await;
    while log.partitions(SHARED).await.is_err() {
        tokio::task::yield_now().await;
    }
    let appender = log.appender(&[SHARED], AppenderSettings::default()).await.unwrap();
    for partition in (0..PARTITIONS).map(PartitionId) {
        appender.append(SHARED, partition, None, partition.0.to_le_bytes().to_vec().into()).await.unwrap();
    }
    assert!(appender.flush(PATIENCE).await.unwrap());
    let join = || log.consumer(SHARED, Membership::Group("shared".to_owned()), ConsumerSettings::default());

    // The first is at its first partition when the other joins, and takes half of them away.
    let mut first = join().await.unwrap();
    let LogEvent::Assigned(begun) = tokio::time::timeout(PATIENCE, first.next()).await.unwrap().unwrap()
    else {
        panic!("it is alone")
    };
    let mut second = join().await.unwrap();
    wait_until("both are members", PATIENCE, || members(kafka, "shared") == 2);
    let mut read = BTreeMap::new();
    let mut waiting = Some(begun);
    while read.len() < PARTITIONS as usize || !read.values().any(|member| *member == 2) {
        if let Some(partition) = waiting.take() {
            let started = first.start(partition, StartFrom::Beginning);
            match tokio::time::timeout(PATIENCE, started)
                .await
                .expect("an answer comes while it gives up others")
            {
                Ok(_) | Err(ReadError::NotAssigned { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let (member, event) = tokio::select! {
            event = first.next() => (1, event.unwrap()),
            event = second.next() => (2, event.unwrap()),
            () = tokio::time::sleep(PATIENCE) => panic!("some partition is not read, or none by the other: {read:?}"),
        };
        match (member, event) {
            (1, LogEvent::Assigned(partition)) => waiting = Some(partition),
            (_, LogEvent::Assigned(partition)) => {
                second.start(partition, StartFrom::Beginning).await.unwrap();
            }
            (_, LogEvent::Revoked(_)) => {}
            (member, LogEvent::Records { partition, records, .. }) => {
                for record in records {
                    assert_eq!(*record.payload, partition.0.to_le_bytes());
                    read.insert(partition, member);
                }
            }
        }
    }
    assert!(first.close(PATIENCE).await && second.close(PATIENCE).await);
}

async fn a_broker_that_hangs_stalls_the_appender_and_nothing_is_lost(kafka: &Kafka) {
    let log = connect(kafka).await;
    apply(&log, &[TopicSpec::new(TOPIC, 1)]).await;
    let bounds = AppenderSettings {
        queue_max_records: 500,
        stalled_after: Duration::from_secs(1),
        ..Default::default()
    };
    while log.partitions(TOPIC).await.is_err() {
        tokio::task::yield_now().await;
    }
    let appender = log.appender(&[TOPIC], bounds).await.unwrap();
    append(&appender, 0..1000).await;
    assert!(appender.flush(PATIENCE).await.unwrap());

    kafka.freeze();
    append(&appender, 1000..1400).await;
    let stalled =
        health(&appender, "a silent broker is noticed", |h| matches!(h, Health::Stalled { .. })).await;
    assert!(matches!(stalled, Health::Stalled { .. }));
    let mut marks = Marks::default();
    appender.read_marks(&mut marks);
    assert_eq!(marks.count(heat_ledger::durable::StreamId(0)), 1000, "nothing is acknowledged meanwhile");
    assert_eq!(appender.queued().0, 400);
    kafka.thaw();

    health(&appender, "it recovers by itself", |h| *h == Health::Healthy).await;
    append(&appender, 1400..2000).await;
    assert!(appender.flush(PATIENCE).await.unwrap());
    assert!(log.stats().stalls >= 1);
    count_in_order(&log, 2000).await;
}

async fn a_broker_that_is_killed_is_waited_for(kafka: &mut Kafka) {
    let log = connect(kafka).await;
    let bounds = AppenderSettings { stalled_after: Duration::from_secs(1), ..Default::default() };
    let appender = log.appender(&[TOPIC], bounds).await.unwrap();
    append(&appender, 2000..3000).await;
    assert!(appender.flush(PATIENCE).await.unwrap());

    kafka.kill();
    append(&appender, 3000..5000).await;
    health(&appender, "its absence is noticed", |h| matches!(h, Health::Stalled { .. })).await;
    kafka.launch();

    assert!(appender.flush(PATIENCE).await.unwrap(), "everything is delivered after its return");
    health(&appender, "it is healthy again", |h| *h == Health::Healthy).await;
    count_in_order(&log, 5000).await;
}
