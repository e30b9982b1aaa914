use futures_util::StreamExt as _;
use heat_model::{
    EventTime, IncidentId, NetworkId, Offset, PartitionId,
    incident::{Change, ChangeKind, Class, Incident, IncidentEvent},
    record::Origin,
};

use super::*;
use crate::json::IncidentEventView;

fn publish(hub: &mut EventHub, position: OutputPosition, event: &IncidentEvent) -> u64 {
    let network = &event.incident.network;
    hub.publish(
        position,
        About::network(network),
        event.at,
        &IncidentEventView::from(event),
        &PlantIndex::default(),
    )
}

fn event(offset: u64, at_seconds: i64) -> IncidentEvent {
    let network: NetworkId = "town".parse().unwrap();
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: offset };
    let at = AppendTime::from_micros(at_seconds * 1_000_000);
    IncidentEvent {
        input_offset: Offset(offset),
        ordinal: 0,
        at,
        change: Change { kind: ChangeKind::Opened, by: "burst".to_owned(), reason: None },
        incident: Incident {
            version: 1,
            text_zh: "换行\n与 <b>".to_owned(),
            ..Incident::new(
                IncidentId::derive(&network, &origin, 0),
                network,
                Class::Burst,
                EventTime::from_micros(0),
                at,
            )
        },
    }
}

fn position(partition: u32, offset: u64) -> OutputPosition {
    OutputPosition { partition: PartitionId(partition), input_offset: Offset(offset), ordinal: 0 }
}

fn hub(kept: usize, clients: usize, buffer: usize) -> EventHub {
    EventHub::new(kept, clients, buffer, IntGauge::new("clients", "test").unwrap())
}

fn stream(hub: &mut EventHub, last: Option<OutputPosition>) -> ClientStream {
    match hub.subscribe(last, &Scope::default(), &PlantIndex::default()) {
        Subscription::Stream(client) => client,
        Subscription::Full => panic!("there is room"),
    }
}

/// All that a client gets until its stream ends.
async fn ids(client: ClientStream) -> Vec<String> {
    let text: Vec<u8> =
        client.frames().map(|frame| frame.unwrap().to_vec()).collect::<Vec<_>>().await.concat();
    let text = String::from_utf8(text).unwrap();
    let wanted =
        |line: &&str| line.starts_with("id: ") || line.starts_with("event: reset") || line.contains("cut");
    text.lines().filter(wanted).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_client_that_returns_gets_what_it_missed_and_what_other_partitions_said_shortly_before() {
    let mut hub = hub(100, 10, 10);
    for (partition, offset, at) in [(0, 1, 0), (1, 5, 55), (0, 2, 60), (1, 6, 61), (0, 3, 62)] {
        publish(&mut hub, position(partition, offset), &event(offset, at));
    }
    let client = stream(&mut hub, Some(position(0, 2)));
    publish(&mut hub, position(0, 4), &event(4, 70));
    hub.close();

    assert_eq!(ids(client).await, ["id: 1:5:0", "id: 1:6:0", "id: 0:3:0", "id: 0:4:0"]);
}

#[tokio::test]
async fn a_client_whose_last_event_is_gone_is_told_to_load_anew() {
    let mut hub = hub(2, 10, 10);
    for offset in 1..=5 {
        publish(&mut hub, position(0, offset), &event(offset, 0));
    }
    let client = stream(&mut hub, Some(position(0, 1)));
    hub.close();

    assert_eq!(ids(client).await, ["event: reset"]);
}

#[tokio::test]
async fn a_slow_client_is_cut_with_a_comment_and_counted_and_others_go_on() {
    let mut hub = hub(100, 10, 2);
    let slow = stream(&mut hub, None);
    let mut cut = 0;
    for offset in 0..4 {
        cut += publish(&mut hub, position(0, offset), &event(offset, 0));
    }

    assert_eq!((cut, hub.clients()), (1, 0));
    let got = ids(slow).await;
    assert_eq!(got[..2], ["id: 0:0:0", "id: 0:1:0"]);
    assert!(got[2].contains("cut"), "{got:?}");
}

#[tokio::test]
async fn clients_are_bounded_and_one_that_left_makes_room() {
    let mut hub = hub(100, 1, 2);
    let first = stream(&mut hub, None);
    let full = hub.subscribe(None, &Scope::default(), &PlantIndex::default());
    assert!(matches!(full, Subscription::Full));
    drop(first);
    let room = hub.subscribe(None, &Scope::default(), &PlantIndex::default());
    assert!(matches!(room, Subscription::Stream(_)));
}

#[tokio::test(start_paused = true)]
async fn silence_is_filled_with_comments() {
    let mut hub = hub(100, 1, 2);
    let mut frames = Box::pin(stream(&mut hub, None).frames());
    assert_eq!(&frames.next().await.unwrap().unwrap()[..], b": heatstream\n\n");
    assert_eq!(&frames.next().await.unwrap().unwrap()[..], b": keep-alive\n\n");
}

#[test]
fn an_event_is_one_line_of_data_whatever_its_text() {
    let frame = frame(position(0, 1), &IncidentEventView::from(&event(1, 0)));
    let text = std::str::from_utf8(&frame).unwrap();
    assert_eq!(text.trim_end().lines().count(), 3, "{text}");
    assert!(text.contains("\"at\":\"1970-01-01T00:00:00Z\""), "{text}");
}
