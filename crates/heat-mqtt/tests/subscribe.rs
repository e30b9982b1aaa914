//! The client of the user's broker, against a real mosquitto.
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::{
    future::pending,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use common::{PATIENCE, acknowledge, eventually, messages, next};
use heat_mqtt::{
    Acknowledger, CommandError, Delivery, DownReason, LinkEvent, ProtocolVersion, Publisher,
    PublisherSettings, QueueBounds, StateMessage, StatePayloads, SubscribeSettings, Subscriber,
    SubscriberHandle, Way, links,
};
use heat_tests::mosquitto::{Mosquitto, client};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

mod common;

struct Subscribed {
    handle: SubscriberHandle,
    events: mpsc::Receiver<LinkEvent>,
    acknowledger: Acknowledger,
    stop: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

impl Subscribed {
    fn acknowledger(&self) -> &Acknowledger {
        &self.acknowledger
    }

    async fn stop(mut self) {
        self.stop.send(()).unwrap();
        assert!(timeout(PATIENCE, self.tasks.join_next()).await.unwrap().unwrap().is_ok());
    }
}

fn settings(port: u16, version: ProtocolVersion) -> SubscribeSettings {
    SubscribeSettings {
        host: "127.0.0.1".to_owned(),
        port,
        version,
        client_id: "gateway-1".to_owned(),
        filters: vec!["heat/v1/#".to_owned()],
        acknowledged: true,
        credentials: None,
        tls: None,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(3600),
        in_flight_max: 500,
        packet_max_bytes: 2 << 20,
        backoff: (Duration::from_millis(20), Duration::from_millis(200)),
        liveness_topic: Some("gateways/gateway-1".to_owned()),
    }
}

async fn subscribed(settings: SubscribeSettings) -> Subscribed {
    subscribed_announcing(settings, None).await
}

async fn subscribed_announcing(settings: SubscribeSettings, state: Option<StateMessage>) -> Subscribed {
    let (inlet, mut events, acknowledger) = links(QueueBounds::default());
    let client_id = settings.client_id.clone();
    let mut subscriber = Subscriber::new(settings, inlet);
    if let Some(state) = state {
        subscriber = subscriber.announcing(state);
    }
    let handle = subscriber.handle();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(subscriber.run(async move {
        stopped.await.ok();
    }));
    match next(&mut events).await {
        LinkEvent::Up(_, source) => {
            assert_eq!((source.way, source.client_id.as_str()), (Way::Subscribe, client_id.as_str()))
        }
        other @ (LinkEvent::Messages(_) | LinkEvent::Down(..)) => panic!("{other:?} before the link is up"),
    }
    Subscribed { handle, events, acknowledger, stop, tasks }
}

fn publisher(port: u16, tasks: &mut JoinSet<()>) -> Publisher {
    let (publisher, driver) = Publisher::new(PublisherSettings {
        host: "127.0.0.1".to_owned(),
        port,
        client_id: "city".to_owned(),
        credentials: None,
        tls: None,
        in_flight_max: 200,
    });
    tasks.spawn(driver.run(pending()));
    publisher
}

async fn publish(publisher: &Publisher, numbers: std::ops::Range<u32>) {
    for number in numbers {
        publisher.publish("heat/v1/n/s/d", Bytes::from(number.to_string())).await.unwrap();
    }
    timeout(PATIENCE, publisher.acknowledged()).await.expect("the broker acknowledges").unwrap();
}

fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries
        .iter()
        .map(|delivery| std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap())
        .collect()
}

/// Publishes one marker at a time until the subscription, which takes effect at some moment, lets one through.
async fn until_heard(publisher: &Publisher, subscribed: &mut Subscribed) {
    loop {
        publish(publisher, 0..1).await;
        if let Ok(Some(LinkEvent::Messages(batch))) =
            timeout(Duration::from_millis(200), subscribed.events.recv()).await
        {
            acknowledge(&subscribed.acknowledger, batch.into_deliveries());
            return;
        }
    }
}

/// Receives so many messages that are no markers; acknowledges the markers.
async fn numbered(subscribed: &mut Subscribed, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        for delivery in messages(&mut subscribed.events, 1).await {
            if delivery.payload == "0" {
                acknowledge(&subscribed.acknowledger, vec![delivery]);
            } else {
                received.push(delivery);
            }
        }
    }
    received
}

#[tokio::test]
async fn messages_come_in_order_and_are_acknowledged_in_both_versions() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let Some(broker) = Mosquitto::start("max_queued_messages 0") else { return };
        let mut subscribed = subscribed(settings(broker.port(), version)).await;
        let mut tasks = JoinSet::new();
        let publisher = publisher(broker.port(), &mut tasks);
        until_heard(&publisher, &mut subscribed).await;

        publish(&publisher, 1..301).await;
        let mut seen = Vec::new();
        while seen.len() < 300 {
            let more = numbered(&mut subscribed, 1).await;
            seen.extend(numbers(&more));
            acknowledge(&subscribed.acknowledger, more);
        }
        assert_eq!(seen, (1..301).collect::<Vec<_>>(), "{version:?}");
        eventually("all is acknowledged", || subscribed.handle.stats().acknowledged >= 300).await;
        subscribed.stop().await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_the_gateway_or_the_broker_restarts() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let Some(mut broker) = Mosquitto::start("max_queued_messages 0") else { return };
        let mut tasks = JoinSet::new();
        let mut first = subscribed(settings(broker.port(), version)).await;
        {
            let publisher = publisher(broker.port(), &mut tasks);
            until_heard(&publisher, &mut first).await;
            publish(&publisher, 1..11).await;
        }
        let mut received = numbered(&mut first, 10).await;
        let unacknowledged = received.split_off(4);
        assert_eq!(numbers(&received), [1, 2, 3, 4]);
        acknowledge(&first.acknowledger, received);
        // No proof of these comes any more; the farewell gives up waiting for it.
        drop(unacknowledged);
        first.stop().await;
        tasks.shutdown().await;

        broker.stop();
        broker.start_again();
        let mut second = subscribed(settings(broker.port(), version)).await;
        let again = numbered(&mut second, 6).await;
        assert_eq!(numbers(&again), [5, 6, 7, 8, 9, 10], "{version:?}");
        assert!(again.iter().all(|delivery| !delivery.retain));
        acknowledge(&second.acknowledger, again);
        second.stop().await;
    }
}

#[tokio::test]
async fn a_broker_that_goes_and_comes_is_found_again_and_old_acknowledgements_are_dropped() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let mut subscribed = subscribed(settings(broker.port(), ProtocolVersion::V5)).await;
    let mut tasks = JoinSet::new();
    let publisher = publisher(broker.port(), &mut tasks);
    until_heard(&publisher, &mut subscribed).await;
    publish(&publisher, 1..2).await;
    let before = numbered(&mut subscribed, 1).await;

    broker.stop();
    while !matches!(next(&mut subscribed.events).await, LinkEvent::Down(_, DownReason::Closed)) {}
    let stale_before = subscribed.acknowledger.counts().stale;
    acknowledge(&subscribed.acknowledger, before);
    assert!(subscribed.acknowledger.counts().stale > stale_before);
    broker.start_again();

    let again = numbered(&mut subscribed, 1).await;
    assert_eq!(numbers(&again), [1]);
    acknowledge(&subscribed.acknowledger, again);
    publish(&publisher, 2..4).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&3) {
        let more = numbered(&mut subscribed, 1).await;
        seen.extend(numbers(&more));
        acknowledge(&subscribed.acknowledger, more);
    }
    assert!(subscribed.handle.stats().connections >= 2);
    subscribed.stop().await;
}

#[tokio::test]
async fn the_publisher_sends_again_in_order_what_a_killed_broker_did_not_acknowledge() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let mut tasks = JoinSet::new();
    let publisher = publisher(broker.port(), &mut tasks);
    publish(&publisher, 0..50).await;
    broker.kill();
    for number in 50..150u32 {
        publisher.publish("heat/v1/n/s/d", Bytes::from(number.to_string())).await.unwrap();
    }
    eventually("the failure is told", || publisher.last_error().is_some()).await;
    assert_eq!(publisher.counts().acknowledged, 50);
    broker.start_again();
    timeout(PATIENCE, publisher.acknowledged()).await.unwrap().unwrap();
    let counts = publisher.counts();
    assert_eq!((counts.published, counts.acknowledged, counts.refused), (150, 150, 0));
}

#[tokio::test]
async fn the_liveness_topic_says_online_then_offline() {
    let Some(broker) = Mosquitto::start("") else { return };
    let Some(mut listener) = client("mosquitto_sub", broker.port()) else { return };
    let mut listener = listener
        .args(["-t", "gateways/gateway-1", "-C", "2", "-W", "30"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(listener.stdout.take().unwrap()).lines();
    let subscribed = subscribed(settings(broker.port(), ProtocolVersion::V5)).await;
    eventually("connected", || subscribed.handle.stats().connected == 1).await;
    let mut tasks = JoinSet::new();

    // Heard before the farewell, or the retained second word would be all that a slow listener hears.
    tasks.spawn_blocking(move || {
        assert_eq!(words.next().unwrap().unwrap(), "online");
        words
    });
    let mut words = timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap();
    subscribed.stop().await;
    tasks.spawn_blocking(move || {
        assert_eq!(words.next().unwrap().unwrap(), "offline");
        listener.wait().unwrap();
        words
    });
    assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().is_ok());
}

/// Runs a command of mosquitto's to its end; returns what it said.
async fn run(mut command: std::process::Command) -> String {
    let mut tasks = JoinSet::new();
    tasks.spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output =
        timeout(PATIENCE, tasks.join_next()).await.expect("mosquitto's client ends").unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What is stored under a topic.
async fn stored(port: u16, topic: &str) -> String {
    let mut probe = client("mosquitto_sub", port).unwrap();
    probe.args(["-t", topic, "-C", "1", "-W", "30"]);
    run(probe).await.trim_end().to_owned()
}

#[tokio::test]
async fn content_type_and_user_properties_come_through_a_broker() {
    let Some(broker) = Mosquitto::start("") else { return };
    let mut subscribed = subscribed(settings(broker.port(), ProtocolVersion::V5)).await;
    let mut tasks = JoinSet::new();
    let publisher = publisher(broker.port(), &mut tasks);
    until_heard(&publisher, &mut subscribed).await;
    let mut command = client("mosquitto_pub", broker.port()).unwrap();
    command.args(["-V", "5", "-q", "1", "-t", "heat/v1/n/s/d", "-m", "1"]);
    command.args(["-D", "publish", "content-type", "application/json"]);
    command.args(["-D", "publish", "user-property", "schema", "2"]);
    run(command).await;

    let received = numbered(&mut subscribed, 1).await;

    let properties = received[0].properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.user_properties, [("schema".to_owned(), "2".to_owned())]);
}

#[tokio::test]
async fn the_broker_sends_no_more_than_the_receive_maximum_before_acknowledgements() {
    let Some(broker) = Mosquitto::start("") else { return };
    let settings = SubscribeSettings { in_flight_max: 3, ..settings(broker.port(), ProtocolVersion::V5) };
    let mut subscribed = subscribed(settings).await;
    let mut tasks = JoinSet::new();
    let publisher = publisher(broker.port(), &mut tasks);
    until_heard(&publisher, &mut subscribed).await;
    // What until_heard published more than once is acknowledged, and so out of the way, when this comes.
    publish(&publisher, 1..11).await;
    let mut received = numbered(&mut subscribed, 3).await;
    let mut marker = client("mosquitto_pub", broker.port()).unwrap();
    marker.args(["-q", "0", "-t", "heat/v1/n/s/d", "-m", "99"]);
    run(marker).await;

    // QoS 0 is outside the bound, so the marker overtakes what the broker holds back.
    received.extend(numbered(&mut subscribed, 1).await);
    assert_eq!(numbers(&received), [1, 2, 3, 99]);

    acknowledge(&subscribed.acknowledger, received);
    let mut seen = Vec::new();
    while seen.len() < 7 {
        let more = numbered(&mut subscribed, 1).await;
        seen.extend(numbers(&more));
        acknowledge(&subscribed.acknowledger, more);
    }
    assert_eq!(seen, [4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn gateways_that_share_a_subscription_get_every_message_once_between_them() {
    let Some(broker) = Mosquitto::start("max_queued_messages 0") else { return };
    let share = |client_id: &str| SubscribeSettings {
        client_id: client_id.to_owned(),
        filters: vec!["$share/gateways/heat/v1/#".to_owned()],
        liveness_topic: None,
        ..settings(broker.port(), ProtocolVersion::V5)
    };
    let mut first = subscribed(share("gateway-1")).await;
    let mut second = subscribed(share("gateway-2")).await;
    let mut tasks = JoinSet::new();
    let publisher = publisher(broker.port(), &mut tasks);
    until_heard(&publisher, &mut first).await;
    until_heard(&publisher, &mut second).await;

    publish(&publisher, 1..201).await;
    let (mut seen, mut shares) = (Vec::new(), [0, 0]);
    while seen.len() < 200 {
        let (index, event) = tokio::select! {
            event = next(&mut first.events) => (0, event),
            event = next(&mut second.events) => (1, event),
        };
        let LinkEvent::Messages(batch) = event else { panic!("{event:?} of gateway {index}") };
        let deliveries = batch.into_deliveries();
        let fresh: Vec<u32> = numbers(&deliveries).into_iter().filter(|&number| number > 0).collect();
        shares[index] += fresh.len();
        seen.extend(fresh);
        acknowledge([&first, &second][index].acknowledger(), deliveries);
    }

    seen.sort_unstable();
    assert_eq!(seen, (1..201).collect::<Vec<_>>());
    assert!(shares[0] > 0 && shares[1] > 0, "{shares:?}");
}

#[tokio::test]
async fn commands_for_nodes_go_by_the_broker_and_nothing_else_does() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let Some(broker) = Mosquitto::start("") else { return };
        let subscribed = subscribed(settings(broker.port(), version)).await;
        let mut node = client("mosquitto_sub", broker.port()).unwrap();
        node.args(["-t", "#", "-R", "-v", "-C", "1", "-W", "30"]);
        let mut tasks = JoinSet::new();
        tasks.spawn(run(node));

        for topic in ["heat/v1/n/s/d", "spBv1.0/g/NDATA/n", "spBv1.0/g/NCMD/+", "spBv1.0/STATE/h", ""] {
            let refused = Err(CommandError::Topic { topic: topic.to_owned() });
            assert_eq!(subscribed.handle.command(topic, Bytes::from_static(b"x")), refused);
        }
        // Until the node's subscription takes effect, commands reach nobody.
        let heard = loop {
            subscribed.handle.command("spBv1.0/g/NCMD/n", Bytes::from_static(b"rebirth")).unwrap();
            if let Ok(heard) = timeout(Duration::from_millis(100), tasks.join_next()).await {
                break heard.unwrap().unwrap();
            }
        };
        assert_eq!(heard, "spBv1.0/g/NCMD/n rebirth\n", "{version:?}");
        subscribed.stop().await;
    }
}

#[tokio::test]
async fn a_sparkplug_hosts_state_is_stored_online_and_its_will_says_offline() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let Some(broker) = Mosquitto::start("") else { return };
        let state = || {
            let count = std::sync::atomic::AtomicU64::new(0);
            let payloads = move || {
                let time = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                StatePayloads { online: format!("on {time}").into(), offline: format!("off {time}").into() }
            };
            StateMessage::new("city", payloads).unwrap()
        };
        let topic = "spBv1.0/STATE/city";

        let vanishing = subscribed_announcing(settings(broker.port(), version), Some(state())).await;
        assert_eq!(stored(broker.port(), topic).await, "on 0", "{version:?}");
        assert_eq!(stored(broker.port(), "gateways/gateway-1").await, "online");
        drop(vanishing);
        while stored(broker.port(), topic).await != "off 0" {}
        assert_eq!(stored(broker.port(), "gateways/gateway-1").await, "online", "a connection has one will");

        let orderly = subscribed_announcing(settings(broker.port(), version), Some(state())).await;
        while stored(broker.port(), topic).await != "on 0" {}
        orderly.stop().await;
        assert_eq!(stored(broker.port(), topic).await, "off 0");
        assert_eq!(stored(broker.port(), "gateways/gateway-1").await, "offline");
    }
}

#[tokio::test]
async fn a_broker_that_says_nothing_any_more_is_given_up_by_the_keep_alive() {
    // The shortest that rumqttc takes.
    let keep_alive = Duration::from_secs(5);
    let mute = async |version, connack: &'static [u8]| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                stream.write_all(connack).await.unwrap();
                held.push(stream);
            }
        });
        let mut subscribed = subscribed(SubscribeSettings { keep_alive, ..settings(port, version) }).await;

        while !matches!(next(&mut subscribed.events).await, LinkEvent::Down(_, DownReason::Closed)) {}
        assert!(
            matches!(next(&mut subscribed.events).await, LinkEvent::Up(..)),
            "{version:?}: it tries again"
        );
    };
    tokio::join!(
        mute(ProtocolVersion::V311, &[0x20, 2, 0, 0]),
        mute(ProtocolVersion::V5, &[0x20, 3, 0, 0, 0])
    );
}
