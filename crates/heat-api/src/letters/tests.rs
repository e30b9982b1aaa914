use bytes::Bytes;
use heat_codec::requeue::{Done, Request};
use heat_model::Origin;

use super::*;

fn key(micros: i64, partition: u32, offset: u64) -> LetterKey {
    let id = LetterId { partition: PartitionId(partition), offset: Offset(offset) };
    LetterKey { append_time: AppendTime::from_micros(micros), id }
}

fn letter(topic: &str, reasons: &[&str]) -> DeadLetter {
    let fault = |reason: &&str| Fault {
        reason: (*reason).to_owned(),
        place: "/values/a".to_owned(),
        detail: String::new(),
    };
    DeadLetter {
        origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: 2 },
        ingest_time: IngestTime::from_micros(5_000_000),
        topic: topic.to_owned(),
        client: "c".to_owned(),
        user: String::new(),
        content_type: String::new(),
        user_properties: Vec::new(),
        payload: Bytes::from_static(b"{}"),
        payload_hash: 4,
        faults: reasons.iter().map(fault).collect(),
        messages: 1,
        readings: 0,
        requeued_from: None,
        retained: false,
    }
}

fn offsets(index: &LetterIndex, before: Option<LetterKey>) -> Vec<(u32, u64)> {
    let id = |letter: &Summary| (letter.key.id.partition.0, letter.key.id.offset.0);
    index.newest_first(before).map(id).collect()
}

#[test]
fn letters_of_all_partitions_are_listed_newest_first_and_a_cursor_goes_on_behind_it() {
    let mut index = LetterIndex::new(10);
    for (micros, partition, offset) in [(10, 0, 0), (30, 0, 1), (20, 1, 0), (30, 1, 1)] {
        index.add(key(micros, partition, offset), Some(&letter("t", &[])));
    }

    assert_eq!(offsets(&index, None), [(1, 1), (0, 1), (1, 0), (0, 0)]);
    assert_eq!(offsets(&index, Some(key(30, 0, 1))), [(1, 0), (0, 0)]);
    assert_eq!(index.horizon(), None, "all of the log was read from its beginning");
}

#[test]
fn beyond_its_bound_the_oldest_go_and_the_horizon_says_where_the_archive_takes_over() {
    let mut index = LetterIndex::new(2);
    for offset in 0..4 {
        index.add(key(10 + i64::try_from(offset).unwrap(), 0, offset), Some(&letter("t", &[])));
    }

    assert_eq!(offsets(&index, None), [(0, 3), (0, 2)]);
    assert_eq!(index.horizon(), Some(key(12, 0, 2)));
}

#[test]
fn a_partition_read_from_its_middle_raises_the_horizon_for_all() {
    let mut index = LetterIndex::new(10);
    index.add(key(10, 0, 0), Some(&letter("t", &[])));
    index.add(key(20, 1, 500), None);
    index.add(key(15, 0, 1), Some(&letter("t", &[])));
    index.add(key(25, 0, 2), Some(&letter("t", &[])));

    assert_eq!(offsets(&index, None), [(0, 2)], "before it, letters of partition 1 may be missing here");
    assert_eq!(index.horizon(), Some(key(20, 1, 500)));
}

#[test]
fn filters_look_at_any_reason_the_topic_the_network_and_the_time_of_receipt() {
    let found =
        Summary::of(key(9_000_000, 0, 0), &letter("heat/v1/town/st01/meter", &["bad_time", "wrong_type"]));
    let at = |micros| Some(EventTime::from_micros(micros));
    let wants = |filter: Filter| filter.wants(&found);

    assert!(wants(Filter { reason: Some(RejectReason::WrongType), ..Filter::default() }));
    assert!(!wants(Filter { reason: Some(RejectReason::BadJson), ..Filter::default() }));
    assert!(wants(Filter { network: Some("town".to_owned()), ..Filter::default() }));
    assert!(!wants(Filter { network: Some("tow".to_owned()), ..Filter::default() }));
    assert!(wants(Filter { from: at(5_000_000), to: at(5_000_001), ..Filter::default() }));
    assert!(!wants(Filter { to: at(5_000_000), ..Filter::default() }));
    assert!(!wants(Filter { from: at(5_000_001), ..Filter::default() }));
    for (filter, fits) in [
        ("heat/v1/town/st01/meter", true),
        ("heat/v1/+/st01/+", true),
        ("heat/#", true),
        ("#", true),
        ("heat/v1/town/st01", false),
        ("heat/v1/town/st01/meter/x", false),
        ("heat/v1/+/st02/+", false),
    ] {
        assert_eq!(wants(Filter { topic: Some(filter.to_owned()), ..Filter::default() }), fits, "{filter}");
    }
}

#[test]
fn a_request_is_open_until_its_own_mark_and_asking_again_opens_it_anew() {
    let mut index = LetterIndex::new(10);
    let id = key(0, 1, 7).id;
    let request = Requeue::Request(Request {
        letter: id,
        first_received: IngestTime::from_micros(1),
        topic: "t".to_owned(),
        payload: Bytes::new(),
        client: String::new(),
        user: String::new(),
        content_type: String::new(),
        user_properties: Vec::new(),
        retained: false,
        untaken: Vec::new(),
        asked_by: "duty".to_owned(),
        asked: IngestTime::from_micros(2),
    });
    let done = |request| {
        Requeue::Done(Done {
            request: Offset(request),
            letter: id,
            readings_logged: 3,
            readings_rejected: 0,
            faults: 0,
            gateway: "gw".parse().unwrap(),
            done: IngestTime::from_micros(3),
        })
    };

    index.add_requeue(PartitionId(1), Offset(0), &request);
    assert!(index.requeued(id).unwrap().taken.is_none());
    index.add_requeue(PartitionId(1), Offset(1), &done(0));
    assert_eq!(index.requeued(id).unwrap().taken.as_ref().unwrap().readings_logged, 3);
    index.add_requeue(PartitionId(1), Offset(2), &request);
    index.add_requeue(PartitionId(1), Offset(3), &done(0));
    let again = index.requeued(id).unwrap();
    assert_eq!((again.times, again.taken.is_none()), (2, true), "a mark of the first answers not the second");
}

#[test]
fn a_cursor_comes_back_as_it_was() {
    let cursor = key(1_700_000_000_000_000, 3, 9);
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    for wrong in ["", "1", "1-2", "x-1-2", "1-1-2-3"] {
        assert_eq!(wrong.parse::<LetterKey>(), Err(()), "{wrong}");
    }
}
