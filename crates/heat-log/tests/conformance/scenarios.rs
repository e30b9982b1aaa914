//! What both engines promise.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use heat_ledger::durable::{Marks, StreamId};
use heat_log::{
    AppendError, AppendRecord, Appender, AppenderSettings, Consumer, ConsumerSettings, LogEvent, Membership,
    ReadError, Record, StartFrom, TryAppendError,
};
use heat_model::{Offset, PartitionId, record::NextOffset};

use super::{Bench, PATIENCE, Scenario, within};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

pub(super) const ALL: &[(&str, Scenario)] = &[
    ("order_and_marks", |bench| Box::pin(order_and_marks(bench))),
    ("progress_is_seen_by_every_clone", |bench| Box::pin(progress_is_seen_by_every_clone(bench))),
    ("back_pressure", |bench| Box::pin(back_pressure(bench))),
    ("refusals", |bench| Box::pin(refusals(bench))),
    ("empty_and_absent", |bench| Box::pin(empty_and_absent(bench))),
    ("resume", |bench| Box::pin(resume(bench))),
    ("restart_elsewhere", |bench| Box::pin(restart_elsewhere(bench))),
    ("restart_amid_what_was_read_ahead", |bench| Box::pin(restart_amid_what_was_read_ahead(bench))),
    ("bounds_and_errors", |bench| Box::pin(bounds_and_errors(bench))),
    ("tail", |bench| Box::pin(tail(bench))),
    ("scan", |bench| Box::pin(scan(bench))),
    ("offset_of_a_time", |bench| Box::pin(offset_of_a_time(bench))),
    ("trim", |bench| Box::pin(trim(bench))),
    ("cancelled_next", |bench| Box::pin(cancelled_next(bench))),
    ("group_handover", |bench| Box::pin(group_handover(bench))),
    ("slow_reader", |bench| Box::pin(slow_reader(bench))),
    ("large_records", |bench| Box::pin(large_records(bench))),
    ("reopened", |bench| Box::pin(reopened(bench))),
    ("hundred_thousand", |bench| Box::pin(hundred_thousand(bench))),
    ("closed_appender", |bench| Box::pin(closed_appender(bench))),
];

fn payload(number: u64) -> Bytes {
    format!("record {number} ").repeat(10).into()
}

fn record(partition: PartitionId, number: u64) -> AppendRecord {
    AppendRecord { partition, key: Some(format!("key-{number}").into()), payload: payload(number) }
}

async fn appender(bench: &Bench, topic: &str) -> Appender {
    bench.log.appender(&[topic], AppenderSettings::default()).await.unwrap()
}

/// Appends records with these numbers and waits until they are durable.
async fn fill(bench: &Bench, topic: &str, partition: PartitionId, numbers: std::ops::Range<u64>) {
    append(&appender(bench, topic).await, topic, partition, numbers).await;
}

async fn append(appender: &Appender, topic: &str, partition: PartitionId, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let AppendRecord { key, payload, .. } = record(partition, number);
        appender.append(topic, partition, key, payload).await.unwrap();
    }
    assert!(appender.flush(PATIENCE).await.unwrap());
}

async fn reader(bench: &Bench, topic: &str, partitions: &[PartitionId], from: StartFrom) -> Consumer {
    let membership = Membership::Only(partitions.to_vec());
    let mut consumer = bench.log.consumer(topic, membership, ConsumerSettings::default()).await.unwrap();
    for _ in partitions {
        let LogEvent::Assigned(partition) = within(consumer.next()).await.unwrap() else {
            panic!("an assignment")
        };
        consumer.start(partition, from).await.unwrap();
    }
    consumer
}

/// Reads so many records of one partition.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < count {
        match within(consumer.next()).await.unwrap() {
            LogEvent::Records { records, end, .. } => {
                if let Some(last) = records.last() {
                    assert_eq!(end, last.offset.next());
                }
                all.extend(records);
            }
            other @ (LogEvent::Assigned(_) | LogEvent::Revoked(_)) => panic!("unexpected {other:?}"),
        }
    }
    all
}

fn assert_numbers(records: &[Record], numbers: std::ops::Range<u64>) {
    assert_eq!(records.len() as u64, numbers.end - numbers.start);
    for (read, number) in records.iter().zip(numbers) {
        let expected = record(P0, number);
        assert_eq!((&read.key, &read.payload), (&expected.key, &expected.payload), "record {number}");
    }
    assert!(records.is_sorted_by(|a, b| a.offset < b.offset), "offsets rise");
    assert!(records.is_sorted_by(|a, b| a.append_time <= b.append_time), "append times do not fall");
}

async fn order_and_marks(bench: Bench) {
    let topic = bench.topic(2).await;
    let appender = appender(&bench, &topic).await;
    assert_eq!(appender.stream(&topic, P1).unwrap(), StreamId(1));
    let (mut taken, mut marks) = ([0; 2], Marks::default());

    for number in 0..1000 {
        let partition = PartitionId(u32::try_from(number % 2).unwrap());
        let AppendRecord { key, payload, .. } = record(P0, number / 2);
        let ticket = appender.append(&topic, partition, key, payload).await.unwrap();
        assert_eq!((ticket.stream.0, ticket.number), (partition.0, taken[partition.0 as usize]));
        taken[partition.0 as usize] += 1;
        let before = marks.clone();
        appender.read_marks(&mut marks);
        for stream in [StreamId(0), StreamId(1)] {
            assert!(
                before.count(stream) <= marks.count(stream)
                    && marks.count(stream) <= taken[stream.0 as usize]
            );
        }
    }
    while marks.count(StreamId(0)) < 500 || marks.count(StreamId(1)) < 500 {
        within(appender.progressed()).await.unwrap();
        appender.read_marks(&mut marks);
    }

    assert_eq!(appender.queued(), (0, 0));
    for partition in [P0, P1] {
        let mut consumer = reader(&bench, &topic, &[partition], StartFrom::Beginning).await;
        assert_numbers(&read(&mut consumer, 500).await, 0..500);
    }
    let stats = bench.log.stats();
    assert_eq!((stats.appended_records, stats.read_records, stats.queued_records), (1000, 1000, 0));
}

async fn progress_is_seen_by_every_clone(bench: Bench) {
    let topic = bench.topic(1).await;
    let first = appender(&bench, &topic).await;
    let second = first.clone();

    let ticket = first.append(&topic, P0, None, payload(0)).await.unwrap();

    for clone in [&first, &second] {
        let mut marks = Marks::default();
        while !marks.covers(ticket) {
            within(clone.progressed()).await.unwrap();
            clone.read_marks(&mut marks);
        }
    }
}

async fn back_pressure(bench: Bench) {
    let topic = bench.topic(1).await;
    let settings =
        AppenderSettings { queue_max_records: 10, queue_max_bytes: 2000, ..AppenderSettings::default() };
    let appender = bench.log.appender(&[&topic], settings).await.unwrap();
    let (mut number, mut was_full) = (0, false);

    while !was_full || number < 100 {
        let mut next = record(P0, number);
        while let Err(error) = appender.try_append(&topic, next) {
            let TryAppendError::Full(back) = error else { panic!("{error}") };
            was_full = true;
            within(appender.ready(back.size_bytes())).await.unwrap();
            next = back;
        }
        number += 1;
        let (records, bytes) = appender.queued();
        assert!(records <= 10 && bytes <= 2000, "{records} records of {bytes} bytes");
        assert!(number < 1_000_000, "the queue is never full");
    }
    // Over the bound by itself, it is taken when nothing else is queued.
    within(appender.append(&topic, P0, None, vec![1; 5000].into())).await.unwrap();
    assert!(appender.flush(PATIENCE).await.unwrap());

    let count = usize::try_from(number).unwrap();
    let mut all = read(&mut reader(&bench, &topic, &[P0], StartFrom::Beginning).await, count + 1).await;
    assert_eq!(all.pop().unwrap().payload.len(), 5000);
    assert_numbers(&all, 0..number);
}

async fn refusals(bench: Bench) {
    let topic = bench.topic(2).await;
    let appender = appender(&bench, &topic).await;
    let refused = |error| match error {
        TryAppendError::Refused(error) => error,
        TryAppendError::Full(_) => panic!("it is not full"),
    };

    let error = refused(appender.try_append("test.unknown", record(P0, 0)).unwrap_err());
    assert!(matches!(error, AppendError::UnknownTopic { .. }), "{error}");
    let error = refused(appender.try_append(&topic, record(PartitionId(2), 0)).unwrap_err());
    assert!(matches!(error, AppendError::UnknownPartition { partitions: 2, .. }), "{error}");
    let long = AppendRecord { partition: P0, key: None, payload: vec![0; 2 << 20].into() };
    let mut batch = VecDeque::from([record(P0, 0), long, record(P0, 1)]);
    let mut tickets = Vec::new();
    let error = appender.try_append_batch(&topic, &mut batch, &mut tickets).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { .. }), "{error}");
    assert_eq!(
        (batch.len(), tickets.len()),
        (2, 1),
        "what stood before it is taken, the refused one stays in front"
    );
    let missing = bench.log.appender(&["test.missing"], AppenderSettings::default()).await.unwrap_err();
    assert!(matches!(missing, AppendError::Open(_)), "{missing}");
    let missing =
        bench.log.consumer("test.missing", Membership::All, ConsumerSettings::default()).await.unwrap_err();
    assert!(matches!(missing, ReadError::Topic(_)), "{missing}");
}

async fn empty_and_absent(bench: Bench) {
    let topic = bench.topic(1).await;
    let appender = appender(&bench, &topic).await;
    let cases = [(None, ""), (None, "x"), (Some(""), "y"), (Some("gone"), "")];
    for (key, payload) in cases {
        appender.append(&topic, P0, key.map(Bytes::from), payload.into()).await.unwrap();
    }
    assert!(appender.flush(PATIENCE).await.unwrap());

    let all = read(&mut reader(&bench, &topic, &[P0], StartFrom::Beginning).await, 4).await;

    let found = all.iter().map(|record| (record.key.as_deref(), &*record.payload));
    assert!(found.eq(cases.iter().map(|(key, payload)| (key.map(str::as_bytes), payload.as_bytes()))));
}

async fn resume(bench: Bench) {
    let topic = bench.topic(1).await;
    fill(&bench, &topic, P0, 0..500).await;
    let settings = ConsumerSettings { batch_max_records: 70, ..ConsumerSettings::default() };
    let mut consumer = bench.log.consumer(&topic, Membership::All, settings).await.unwrap();
    assert_eq!(within(consumer.next()).await.unwrap(), LogEvent::Assigned(P0));
    consumer.start(P0, StartFrom::Beginning).await.unwrap();
    let mut all = Vec::new();
    let mut resume_at = NextOffset(0);
    while all.len() < 200 {
        let LogEvent::Records { records, end, .. } = within(consumer.next()).await.unwrap() else { panic!() };
        assert!(records.len() <= 70, "batches are bounded");
        all.extend(records);
        resume_at = end;
    }
    assert!(consumer.close(PATIENCE).await);

    let mut again = reader(&bench, &topic, &[P0], StartFrom::Offset(resume_at)).await;

    let rest = 500 - all.len();
    all.extend(read(&mut again, rest).await);
    assert_numbers(&all, 0..500);
}

async fn restart_elsewhere(bench: Bench) {
    let topic = bench.topic(1).await;
    fill(&bench, &topic, P0, 0..300).await;
    let mut consumer = reader(&bench, &topic, &[P0], StartFrom::Beginning).await;
    let first = read(&mut consumer, 300).await;

    consumer.start(P0, StartFrom::Offset(NextOffset(first[100].offset.0))).await.unwrap();

    // The first batch after a restart is of the new place: nothing read before it is delivered any more.
    assert_numbers(&read(&mut consumer, 200).await, 100..300);
    let other = consumer.start(PartitionId(7), StartFrom::Beginning).await.unwrap_err();
    assert!(matches!(other, ReadError::NotAssigned { .. }), "{other}");
}

async fn restart_amid_what_was_read_ahead(bench: Bench) {
    let topic = bench.topic(1).await;
    fill(&bench, &topic, P0, 0..300).await;
    let settings =
        ConsumerSettings { batch_max_records: 10, read_ahead_batches: 8, ..ConsumerSettings::default() };
    let mut consumer = bench.log.consumer(&topic, Membership::All, settings).await.unwrap();
    assert_eq!(within(consumer.next()).await.unwrap(), LogEvent::Assigned(P0));
    consumer.start(P0, StartFrom::Beginning).await.unwrap();
    let LogEvent::Records { records, .. } = within(consumer.next()).await.unwrap() else { panic!() };
    assert_eq!(records[0].offset.0, 0);
    // Kafka's reader reads further batches ahead, and they wait before those of the next start.
    let read_ahead = async {
        while !bench.is_embedded() && bench.log.stats().read_records <= records.len() as u64 {
            tokio::task::yield_now().await;
        }
    };
    within(read_ahead).await;

    for from in [200, 50] {
        consumer.start(P0, StartFrom::Offset(NextOffset(from))).await.unwrap();
    }

    assert_numbers(&read(&mut consumer, 250).await, 50..300);
}

async fn bounds_and_errors(bench: Bench) {
    let topic = bench.topic(2).await;
    let empty = bench.log.bounds(&topic, P1).await.unwrap();
    assert_eq!((empty.first, empty.end), (NextOffset(0), NextOffset(0)));
    fill(&bench, &topic, P0, 0..10).await;
    let bounds = bench.log.bounds(&topic, P0).await.unwrap();
    assert_eq!((bounds.first, bounds.end), (NextOffset(0), NextOffset(10)));

    let mut consumer = reader(&bench, &topic, &[P0], StartFrom::End).await;
    let error = consumer.start(P0, StartFrom::Offset(NextOffset(11))).await.unwrap_err();

    assert!(matches!(error, ReadError::BeyondEnd { end: NextOffset(10), .. }), "{error}");
}

async fn tail(bench: Bench) {
    let topic = bench.topic(2).await;
    fill(&bench, &topic, P0, 0..5).await;
    let mut consumer = reader(&bench, &topic, &[P0, P1], StartFrom::End).await;
    let appender = appender(&bench, &topic).await;
    for round in 0..20_u64 {
        append(&appender, &topic, P0, round * 3..round * 3 + 3).await;
        assert_numbers(&read(&mut consumer, 3).await, round * 3..round * 3 + 3);
    }
}

async fn scan(bench: Bench) {
    let topic = bench.topic(1).await;
    fill(&bench, &topic, P0, 0..1000).await;
    for (from, to) in [(0, 1000), (10, 20), (999, 1000), (5, 5), (0, 1)] {
        let range = StartFrom::Offset(NextOffset(from));
        let mut scan =
            bench.log.scan(&topic, P0, range, NextOffset(to), ConsumerSettings::default()).await.unwrap();
        let mut all = Vec::new();
        while let Some(records) = within(scan.next()).await.unwrap() {
            all.extend(records);
        }
        assert_numbers(&all, from..to);
    }
    let beyond = bench
        .log
        .scan(&topic, P0, StartFrom::Beginning, NextOffset(1001), ConsumerSettings::default())
        .await
        .unwrap_err();
    assert!(matches!(beyond, ReadError::BeyondEnd { .. }), "{beyond}");
}

/// Times of whole milliseconds apart, so that both engines can tell the records' groups from one another.
async fn offset_of_a_time(mut bench: Bench) {
    let topic = bench.topic(1).await;
    let appender = appender(&bench, &topic).await;
    for group in 0..40 {
        append(&appender, &topic, P0, group * 20..(group + 1) * 20).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    drop(appender);
    for _ in 0..2 {
        let bounds = bench.log.bounds(&topic, P0).await.unwrap();
        let mut scan = bench
            .log
            .scan(&topic, P0, StartFrom::Beginning, bounds.end, ConsumerSettings::default())
            .await
            .unwrap();
        let mut firsts = BTreeMap::new();
        while let Some(records) = scan.next().await.unwrap() {
            for record in records {
                firsts.entry(record.append_time).or_insert(NextOffset(record.offset.0));
            }
        }
        // It keeps the log open.
        drop(scan);
        assert!(firsts.len() >= 20, "the groups have times of their own: {}", firsts.len());

        for (&time, &first) in &firsts {
            assert_eq!(bench.log.offset_at(&topic, P0, time).await.unwrap(), first);
        }
        let (&oldest, &newest) = (firsts.keys().next().unwrap(), firsts.keys().last().unwrap());
        let day = Duration::from_hours(24);
        assert_eq!(bench.log.offset_at(&topic, P0, oldest.minus(day)).await.unwrap(), bounds.first);
        assert_eq!(bench.log.offset_at(&topic, P0, newest.plus(day)).await.unwrap(), bounds.end);
        bench.reopen().await;
    }
}

async fn trim(bench: Bench) {
    let topic = bench.topic(1).await;
    // In several steps, because a segment of the embedded engine is closed only between groups.
    let appender = appender(&bench, &topic).await;
    for step in 0..20 {
        append(&appender, &topic, P0, step * 100..step * 100 + 100).await;
    }
    let mut behind = reader(&bench, &topic, &[P0], StartFrom::Beginning).await;
    assert_numbers(&read(&mut behind, 2000).await, 0..2000);

    bench.log.trim(&topic, P0, NextOffset(1500)).await.unwrap();

    let bounds = bench.log.bounds(&topic, P0).await.unwrap();
    assert!(bounds.first > NextOffset(0) && bounds.first <= NextOffset(1500), "{bounds:?}");
    assert_eq!(bounds.end, NextOffset(2000));
    let error = behind.start(P0, StartFrom::Offset(NextOffset(0))).await.unwrap_err();
    assert!(matches!(error, ReadError::Trimmed { first, .. } if first == bounds.first), "{error}");
    let started = behind.start(P0, StartFrom::Beginning).await.unwrap();
    assert_eq!(started, bounds.first);
    let rest = read(&mut behind, usize::try_from(2000 - started.0).unwrap()).await;
    assert_numbers(&rest, started.0..2000);
}

async fn cancelled_next(bench: Bench) {
    let topic = bench.topic(2).await;
    let mut consumer = reader(&bench, &topic, &[P0], StartFrom::Beginning).await;
    let mut all = Vec::new();
    let appender = appender(&bench, &topic).await;
    for number in 0..2000 {
        let AppendRecord { key, payload, .. } = record(P0, number);
        appender.append(&topic, P0, key, payload).await.unwrap();
        // Polled once, then dropped, whatever it was waiting for.
        tokio::select! {
            biased;
            event = consumer.next() => {
                let LogEvent::Records { records, .. } = event.unwrap() else { panic!() };
                all.extend(records);
            }
            () = std::future::ready(()) => {}
        }
    }
    assert!(appender.flush(PATIENCE).await.unwrap());
    let rest = 2000 - all.len();
    all.extend(read(&mut consumer, rest).await);
    assert_numbers(&all, 0..2000);
}

/// One member's work: where each of its partitions stands.
#[derive(Default)]
struct Share {
    positions: BTreeMap<PartitionId, NextOffset>,
}

impl Share {
    /// Handles one event; partitions begin where `handed_over` says, and are put there when they go.
    async fn handle(
        &mut self,
        consumer: &mut Consumer,
        event: LogEvent,
        handed_over: &mut BTreeMap<PartitionId, NextOffset>,
        seen: &mut BTreeMap<(PartitionId, Offset), u32>,
    ) {
        match event {
            LogEvent::Assigned(partition) => {
                let from = handed_over.remove(&partition).expect("a partition has one owner at a time");
                consumer.start(partition, StartFrom::Offset(from)).await.unwrap();
                self.positions.insert(partition, from);
            }
            LogEvent::Revoked(partition) => {
                let position = self.positions.remove(&partition).expect("only what was assigned is revoked");
                consumer.commit(partition, position).unwrap();
                handed_over.insert(partition, position);
            }
            LogEvent::Records { partition, records, end } => {
                for record in records {
                    *seen.entry((partition, record.offset)).or_default() += 1;
                }
                *self.positions.get_mut(&partition).expect("records come of assigned partitions") = end;
            }
        }
    }
}

async fn group_handover(bench: Bench) {
    const PARTITIONS: u32 = 4;
    let topic = bench.topic(PARTITIONS).await;
    let all_partitions = (0..PARTITIONS).map(PartitionId);
    for partition in all_partitions.clone() {
        fill(&bench, &topic, partition, 0..100).await;
    }
    let join = || {
        let group = Membership::Group("test.group".to_owned());
        bench.log.consumer(&topic, group, ConsumerSettings::default())
    };
    let mut handed_over: BTreeMap<_, _> = all_partitions.clone().map(|p| (p, NextOffset(0))).collect();
    let mut seen = BTreeMap::new();
    let (mut first, mut first_share) = (join().await.unwrap(), Share::default());
    while first_share.positions.len() < 4 || seen.len() < 400 {
        let event = within(first.next()).await.unwrap();
        first_share.handle(&mut first, event, &mut handed_over, &mut seen).await;
    }

    let (mut second, mut second_share) = (join().await.unwrap(), Share::default());
    while second_share.positions.len() != 2 || first_share.positions.len() != 2 {
        let (is_first, event) = within(async {
            tokio::select! {
                event = first.next() => (true, event),
                event = second.next() => (false, event),
            }
        })
        .await;
        let (share, consumer) =
            if is_first { (&mut first_share, &mut first) } else { (&mut second_share, &mut second) };
        share.handle(consumer, event.unwrap(), &mut handed_over, &mut seen).await;
    }
    for partition in all_partitions.clone() {
        fill(&bench, &topic, partition, 100..150).await;
    }
    while seen.len() < 600 {
        let (is_first, event) = within(async {
            tokio::select! {
                event = first.next() => (true, event),
                event = second.next() => (false, event),
            }
        })
        .await;
        let (share, consumer) =
            if is_first { (&mut first_share, &mut first) } else { (&mut second_share, &mut second) };
        share.handle(consumer, event.unwrap(), &mut handed_over, &mut seen).await;
    }
    assert!(seen.values().all(|&times| times == 1), "nothing twice");

    // The first leaves without a word, as one that is killed does; the second takes over from what it knows.
    handed_over.extend(first_share.positions);
    assert!(first.close(PATIENCE).await);
    for partition in all_partitions {
        fill(&bench, &topic, partition, 150..160).await;
    }
    while seen.len() < 640 || second_share.positions.len() < 4 {
        let event = within(second.next()).await.unwrap();
        second_share.handle(&mut second, event, &mut handed_over, &mut seen).await;
    }
    assert!(seen.values().all(|&times| times == 1), "nothing twice");
    assert!(second.close(PATIENCE).await);
}

async fn slow_reader(bench: Bench) {
    let topic = bench.topic(1).await;
    let settings =
        ConsumerSettings { batch_max_records: 10, read_ahead_batches: 1, ..ConsumerSettings::default() };
    let mut consumer = bench.log.consumer(&topic, Membership::All, settings).await.unwrap();
    assert_eq!(within(consumer.next()).await.unwrap(), LogEvent::Assigned(P0));
    consumer.start(P0, StartFrom::Beginning).await.unwrap();
    fill(&bench, &topic, P0, 0..3000).await;
    let mut all = read(&mut consumer, 100).await;
    // Long enough to be paused on Kafka: the reader does something else meanwhile.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let rest = 3000 - all.len();
    all.extend(read(&mut consumer, rest).await);
    assert_numbers(&all, 0..3000);
}

async fn large_records(bench: Bench) {
    let topic = bench.topic(1).await;
    let appender = appender(&bench, &topic).await;
    let sizes = [1 << 20, 1, 700_000, (1 << 20) - 1, 300_000, 10];
    for (fill, &size) in (0_u8..).zip(&sizes) {
        appender.append(&topic, P0, Some("k".into()), vec![fill; size].into()).await.unwrap();
    }
    assert!(appender.flush(PATIENCE).await.unwrap());

    let all = read(&mut reader(&bench, &topic, &[P0], StartFrom::Beginning).await, sizes.len()).await;

    for ((fill, size), record) in (0_u8..).zip(sizes).zip(all) {
        assert!(record.payload.len() == size && record.payload.iter().all(|&byte| byte == fill));
    }
}

async fn reopened(mut bench: Bench) {
    let topic = bench.topic(2).await;
    fill(&bench, &topic, P0, 0..1000).await;
    let before = bench.log.bounds(&topic, P0).await.unwrap();

    bench.reopen().await;

    assert_eq!(bench.log.bounds(&topic, P0).await.unwrap(), before);
    assert_eq!(bench.log.partitions(&topic).await.unwrap(), 2);
    fill(&bench, &topic, P0, 1000..1200).await;
    let all = read(&mut reader(&bench, &topic, &[P0], StartFrom::Beginning).await, 1200).await;
    assert_numbers(&all, 0..1200);
    if bench.is_embedded() {
        assert_eq!(bench.log.stats().torn_bytes, 0, "a clean end leaves no torn tail");
    }
}

async fn hundred_thousand(bench: Bench) {
    const COUNT: u64 = 100_000;
    let topic = bench.topic(2).await;
    let appender = appender(&bench, &topic).await;
    let (mut waiting, mut tickets) = (VecDeque::new(), Vec::new());
    for number in 0..COUNT {
        waiting.push_back(record(PartitionId(u32::try_from(number % 2).unwrap()), number / 2));
        if waiting.len() == 512 || number + 1 == COUNT {
            appender.try_append_batch(&topic, &mut waiting, &mut tickets).unwrap();
            while let Some(front) = waiting.front() {
                within(appender.ready(front.size_bytes())).await.unwrap();
                appender.try_append_batch(&topic, &mut waiting, &mut tickets).unwrap();
            }
        }
    }
    assert!(appender.flush(PATIENCE).await.unwrap());
    assert_eq!(tickets.len() as u64, COUNT);
    let mut marks = Marks::default();
    appender.read_marks(&mut marks);
    assert!(tickets.iter().all(|&ticket| marks.covers(ticket)));

    let mut consumer = reader(&bench, &topic, &[P0, P1], StartFrom::Beginning).await;
    let mut read = [Vec::new(), Vec::new()];
    while read[0].len() + read[1].len() < 100_000 {
        let LogEvent::Records { partition, records, .. } = within(consumer.next()).await.unwrap() else {
            panic!()
        };
        read[partition.0 as usize].extend(records);
    }
    for records in read {
        assert_numbers(&records, 0..COUNT / 2);
    }
}

async fn closed_appender(bench: Bench) {
    let topic = bench.topic(1).await;
    let appender = appender(&bench, &topic).await;
    appender.append(&topic, P0, None, payload(0)).await.unwrap();
    assert!(appender.close(PATIENCE).await.unwrap());
    let error = appender.append(&topic, P0, None, payload(1)).await.unwrap_err();
    assert!(matches!(error, AppendError::Closed { .. }), "{error}");
    // Progress that was made is still told, then the end.
    let mut last = appender.progressed().await;
    if last.is_ok() {
        last = within(appender.progressed()).await;
    }
    assert!(matches!(last, Err(AppendError::Closed { .. })));
    let other = bench.log.appender(&[&topic], AppenderSettings::default()).await.unwrap();
    assert!(bench.log.close(PATIENCE).await);
    let error = within(other.append(&topic, P0, None, payload(2))).await.unwrap_err();
    assert!(matches!(error, AppendError::Closed { .. }), "{error}");
}
