//! The listener, against raw bytes and against other people's clients.
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::{future::pending, process::Stdio};

use bytes::Bytes;
use common::{PATIENCE, acknowledge, eventually, messages, next};
use heat_mqtt::{
    Acknowledger, CommandError, DownReason, LinkEvent, ListenSettings, Listener, ListenerHandle, Publisher,
    PublisherSettings, Qos, QueueBounds, Secret, StateMessage, StatePayloads, User, links,
};
use heat_tests::mosquitto::client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

mod common;

struct Server {
    port: u16,
    handle: ListenerHandle,
    events: mpsc::Receiver<LinkEvent>,
    acknowledger: Acknowledger,
    _tasks: JoinSet<()>,
}

async fn server(change: impl FnOnce(&mut ListenSettings), bounds: QueueBounds) -> Server {
    let mut settings =
        ListenSettings { address: Some(([127, 0, 0, 1], 0).into()), ..ListenSettings::default() };
    change(&mut settings);
    let (inlet, events, acknowledger) = links(bounds);
    let listener = Listener::bind(settings, inlet).await.unwrap();
    let (port, handle) = (listener.local_addr().port(), listener.handle());
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(pending()));
    Server { port, handle, events, acknowledger, _tasks: tasks }
}

async fn default_server() -> Server {
    server(|_| {}, QueueBounds::default()).await
}

/// A client that says exactly what a test wants.
struct Raw(TcpStream);

impl Raw {
    async fn open(server: &Server) -> Self {
        Self(TcpStream::connect(("127.0.0.1", server.port)).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        timeout(PATIENCE, self.0.read_exact(&mut received)).await.expect("an answer in time").unwrap();
        assert_eq!(received, bytes);
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        // A reset is an end, too.
        timeout(PATIENCE, self.0.read_to_end(&mut received)).await.expect("an end in time").ok();
        received
    }

    /// Whatever has arrived until a PINGRESP, which everything before it precedes.
    async fn until_pong(&mut self) -> Vec<u8> {
        self.send(&[0xc0, 0]).await;
        let mut received = Vec::new();
        while !received.ends_with(&[0xd0, 0]) {
            let mut byte = [0];
            timeout(PATIENCE, self.0.read_exact(&mut byte)).await.expect("an answer in time").unwrap();
            received.push(byte[0]);
        }
        received.truncate(received.len() - 2);
        received
    }

    async fn connect311(server: &Server, id: &str, clean: bool) -> (Self, bool) {
        let mut raw = Self::open(server).await;
        raw.send(&connect(4, u8::from(clean) << 1, 60, id, &[])).await;
        let mut connack = [0; 4];
        raw.0.read_exact(&mut connack).await.unwrap();
        assert_eq!((connack[0], connack[3]), (0x20, 0));
        (raw, connack[2] == 1)
    }

    async fn connect5(server: &Server, id: &str) -> Self {
        let mut raw = Self::open(server).await;
        raw.send(&connect(5, 2, 60, id, &[])).await;
        let mut head = [0; 2];
        raw.0.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(head[1])];
        raw.0.read_exact(&mut body).await.unwrap();
        assert_eq!((head[0], body[1]), (0x20, 0));
        raw
    }
}

fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn connect(level: u8, flags: u8, keep_alive: u16, id: &str, after_id: &[u8]) -> Vec<u8> {
    let mut body = [string("MQTT").as_slice(), &[level, flags], &keep_alive.to_be_bytes()].concat();
    if level == 5 {
        body.push(0);
    }
    body.extend(string(id));
    body.extend_from_slice(after_id);
    packet(0x10, &body)
}

fn publish(qos: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = string(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(0x30 | (qos << 1), &body)
}

#[tokio::test]
async fn puback_comes_after_the_proof_and_never_before() {
    let mut server = default_server().await;
    let (mut raw, _) = Raw::connect311(&server, "device", true).await;
    raw.send(&publish(1, 1, "heat/v1/a", b"one")).await;
    raw.send(&publish(1, 2, "heat/v1/a", b"two")).await;

    let received = messages(&mut server.events, 2).await;
    assert_eq!(
        received.iter().map(|delivery| delivery.payload.as_ref()).collect::<Vec<_>>(),
        [b"one", b"two"]
    );
    assert_eq!(raw.until_pong().await, b"", "nothing is durable yet");

    acknowledge(&server.acknowledger, received);
    raw.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
}

#[tokio::test]
async fn mosquitto_pub_gets_its_acknowledgements_in_both_versions_and_all_qualities() {
    let mut server = default_server().await;
    let mut tasks = JoinSet::new();
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            let Some(mut command) = client("mosquitto_pub", server.port) else { return };
            command.args(["-V", version, "-q", qos, "-t", "heat/v1/n/s/d", "-m", "hello", "-i", "pub"]);
            let child = command.stdout(Stdio::null()).spawn().unwrap();
            let received = messages(&mut server.events, 1).await;
            assert_eq!(
                (received[0].topic.as_ref(), received[0].payload.as_ref()),
                ("heat/v1/n/s/d", &b"hello"[..])
            );
            assert_eq!(received[0].source.client_id, "pub");
            acknowledge(&server.acknowledger, received);
            tasks.spawn_blocking(move || child.wait_with_output().unwrap().status.success());
            assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap(), "{version} {qos}");
        }
    }
    eventually("all links are down", || server.handle.stats().connections == 0).await;
    let stats = server.handle.stats();
    assert_eq!((stats.accepted, stats.messages, stats.acknowledged, stats.protocol_errors), (6, 6, 4, 0));
}

#[tokio::test]
async fn our_publisher_gets_everything_through_in_order() {
    let mut server = default_server().await;
    let (publisher, driver) = Publisher::new(PublisherSettings {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        client_id: "city".to_owned(),
        credentials: None,
        tls: None,
        in_flight_max: 100,
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run(pending()));
    tasks.spawn({
        let publisher = publisher.clone();
        async move {
            for number in 0..2000u32 {
                publisher.publish("heat/v1/a", Bytes::from(number.to_string())).await.unwrap();
            }
        }
    });
    let mut expected = 0;
    while expected < 2000 {
        let received = messages(&mut server.events, 1).await;
        for delivery in &received {
            assert_eq!(delivery.payload, expected.to_string());
            expected += 1;
        }
        acknowledge(&server.acknowledger, received);
    }
    timeout(PATIENCE, publisher.acknowledged()).await.unwrap().unwrap();
    let counts = publisher.counts();
    assert_eq!(
        (counts.published, counts.acknowledged, counts.refused, counts.connections),
        (2000, 2000, 0, 1)
    );
}

#[tokio::test]
async fn a_newer_connection_takes_over_and_acknowledgements_of_the_older_are_dropped() {
    let mut server = default_server().await;
    let mut older = Raw::connect5(&server, "device").await;
    let mut body = string("a");
    body.extend([0, 1, 0, b'x']);
    older.send(&packet(0x32, &body)).await;
    let received = messages(&mut server.events, 1).await;

    let mut newer = Raw::connect5(&server, "device").await;
    assert_eq!(older.rest().await, [0xe0, 1, 0x8e], "session taken over");
    acknowledge(&server.acknowledger, received);

    assert_eq!(newer.until_pong().await, b"");
    assert_eq!(server.acknowledger.counts().stale, 1);
    assert_eq!(server.handle.stats().take_overs, 1);
}

#[tokio::test]
async fn a_qos_2_message_is_delivered_once_across_connections() {
    let mut server = default_server().await;
    let (mut raw, present) = Raw::connect311(&server, "device", false).await;
    assert!(!present);
    raw.send(&publish(2, 5, "a", b"once")).await;
    let received = messages(&mut server.events, 1).await;
    drop(raw);
    while !matches!(next(&mut server.events).await, LinkEvent::Down(_, DownReason::Closed)) {}

    let (mut raw, present) = Raw::connect311(&server, "device", false).await;
    assert!(present);
    let mut again = publish(2, 5, "a", b"once");
    again[0] |= 8;
    raw.send(&again).await;
    assert_eq!(raw.until_pong().await, b"", "it is not durable yet");
    acknowledge(&server.acknowledger, received);
    raw.expect(&[0x50, 2, 0, 5]).await;
    raw.send(&[0x62, 2, 0, 5]).await;
    raw.expect(&[0x70, 2, 0, 5]).await;

    raw.send(&publish(2, 5, "a", b"another")).await;
    assert_eq!(messages(&mut server.events, 1).await[0].payload.as_ref(), b"another");
    assert_eq!(server.handle.stats().repeats, 1);
}

#[tokio::test]
async fn the_last_will_comes_when_a_device_vanishes_and_not_when_it_says_goodbye() {
    let mut server = default_server().await;
    let will = [string("spBv1.0/g/NDEATH/n"), string("dead")].concat();
    for says_goodbye in [true, false] {
        let mut raw = Raw::open(&server).await;
        raw.send(&connect(4, 0b110, 60, "device", &will)).await;
        raw.expect(&[0x20, 2, 0, 0]).await;
        if says_goodbye {
            raw.send(&[0xe0, 0]).await;
        }
    }
    let received = messages(&mut server.events, 1).await;
    assert_eq!(
        (received[0].topic.as_ref(), received[0].payload.as_ref()),
        ("spBv1.0/g/NDEATH/n", &b"dead"[..])
    );
    assert!(received[0].will && received[0].qos == Qos::AtMostOnce);
    let stats = server.handle.stats();
    assert_eq!((stats.wills_delivered, stats.wills_discarded), (1, 1));
}

#[tokio::test]
async fn silence_for_one_and_a_half_times_the_keep_alive_ends_a_connection() {
    let mut server = default_server().await;
    let mut raw = Raw::open(&server).await;
    raw.send(&connect(5, 2, 1, "device", &[])).await;
    let rest = raw.rest().await;
    assert!(rest.ends_with(&[0xe0, 1, 0x8d]), "{rest:?}");
    while !matches!(next(&mut server.events).await, LinkEvent::Down(_, DownReason::KeepAlive)) {}
    assert_eq!(server.handle.stats().keep_alive_expired, 1);
}

#[tokio::test]
async fn a_large_payload_is_handed_up_and_a_larger_one_ends_the_connection() {
    let mut server = default_server().await;
    let mut raw = Raw::connect5(&server, "device").await;
    let mut body = string("a");
    body.extend([0, 1, 0]);
    body.resize(body.len() + (1 << 20), b'x');
    raw.send(&packet(0x32, &body)).await;
    let received = messages(&mut server.events, 1).await;
    assert_eq!(received[0].payload.len(), 1 << 20);

    body.resize(2 << 20, b'x');
    raw.0.write_all(&packet(0x32, &body)).await.ok();
    raw.rest().await;
    while !matches!(next(&mut server.events).await, LinkEvent::Down(_, DownReason::Oversized)) {}
    assert_eq!(server.handle.stats().oversized, 1);
}

#[tokio::test]
async fn users_are_checked_and_counted() {
    let users = vec![User::with_password("meter", Secret::new("s3cret"))];
    let server = server(
        |settings| {
            settings.users = users;
            settings.connections_per_user_max = 1;
        },
        QueueBounds::default(),
    )
    .await;
    for (name, password, code) in [("meter", "wrong", 4), ("other", "s3cret", 4), ("other", "", 4)] {
        let mut raw = Raw::open(&server).await;
        raw.send(&connect(4, 0b1100_0010, 60, "a", &[string(name), string(password)].concat())).await;
        assert_eq!(raw.rest().await, [0x20, 2, 0, code]);
    }
    let mut anonymous = Raw::open(&server).await;
    anonymous.send(&connect(5, 2, 60, "a", &[])).await;
    assert_eq!(anonymous.rest().await, [0x20, 3, 0, 0x86, 0]);

    let login = [string("meter"), string("s3cret")].concat();
    let mut first = Raw::open(&server).await;
    first.send(&connect(4, 0b1100_0010, 60, "a", &login)).await;
    first.expect(&[0x20, 2, 0, 0]).await;
    let mut second = Raw::open(&server).await;
    second.send(&connect(4, 0b1100_0010, 60, "b", &login)).await;
    assert_eq!(second.rest().await, [0x20, 2, 0, 3]);
    let refused = server.handle.stats().refused;
    assert_eq!((refused.credentials, refused.user_full), (4, 1));
}

#[tokio::test]
async fn what_is_no_mqtt_is_refused() {
    let server = server(|settings| settings.connections_max = 2, QueueBounds::default()).await;
    let mut http = Raw::open(&server).await;
    http.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(http.rest().await, b"");
    let mut old = Raw::open(&server).await;
    old.send(&connect(3, 2, 60, "a", &[])).await;
    assert_eq!(old.rest().await, [0x20, 2, 0, 1]);
    eventually("both are gone", || server.handle.stats().connections == 0).await;

    let (_first, _) = Raw::connect311(&server, "a", true).await;
    let (_second, _) = Raw::connect311(&server, "b", true).await;
    assert_eq!(Raw::open(&server).await.rest().await, b"");
    let refused = server.handle.stats().refused;
    assert_eq!((refused.malformed, refused.version, refused.full), (1, 1, 1));
}

#[tokio::test]
async fn a_receiver_that_does_not_receive_stops_the_socket_and_loses_nothing() {
    let mut server = server(|_| {}, QueueBounds { messages: 50, bytes: 1 << 20 }).await;
    let (mut raw, _) = Raw::connect311(&server, "device", true).await;
    let payload = vec![b'x'; 4000];
    let total = 20_000;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for _ in 0..total {
            raw.send(&publish(0, 0, "a", &payload)).await;
        }
        raw
    });
    // 80 MB can't lie in the sockets' buffers: the sender is stuck until somebody receives.
    eventually("the queue is full", || server.handle.stats().messages >= 50).await;
    assert!(server.handle.stats().messages < total);

    assert_eq!(messages(&mut server.events, usize::try_from(total).unwrap()).await.len(), 20_000);
    assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn commands_reach_the_devices_that_subscribed_to_them() {
    let server = default_server().await;
    let commands = server.handle.commands();
    let rebirth = Bytes::from_static(b"rebirth");
    let topic = "spBv1.0/g/NCMD/node";
    assert_eq!(commands.send(topic, &rebirth), Err(CommandError::NobodyListens { topic: topic.to_owned() }));
    let (mut raw, _) = Raw::connect311(&server, "node", true).await;
    raw.send(&packet(0x82, &[&[0, 1], string(topic).as_slice(), &[1]].concat())).await;
    raw.expect(&[0x90, 3, 0, 1, 0]).await;

    assert_eq!(commands.send(topic, &rebirth), Ok(1));
    raw.expect(&packet(0x30, &[string(topic).as_slice(), b"rebirth"].concat())).await;
}

#[tokio::test]
async fn shutting_down_waits_for_acknowledgements_and_says_so() {
    let settings = ListenSettings { address: Some(([127, 0, 0, 1], 0).into()), ..ListenSettings::default() };
    let (inlet, mut events, acknowledger) = links(QueueBounds::default());
    let listener = Listener::bind(settings, inlet).await.unwrap();
    let (port, handle) = (listener.local_addr().port(), listener.handle());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(async move {
        stopped.await.ok();
    }));
    let mut raw = Raw(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    raw.send(&connect(5, 2, 60, "device", &[])).await;
    let mut body = string("a");
    body.extend([0, 1, 0, b'x']);
    raw.send(&packet(0x32, &body)).await;
    let received = messages(&mut events, 1).await;

    stop.send(()).unwrap();
    eventually("the port is closed", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    acknowledge(&acknowledger, received);

    let rest = raw.rest().await;
    assert!(rest.ends_with(&[0x40, 2, 0, 1, 0xe0, 1, 0x8b]), "{rest:?}");
    assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().is_ok());
    assert_eq!(handle.stats().connections, 0);
}

#[tokio::test]
async fn content_type_and_user_properties_come_with_the_message() {
    let mut server = default_server().await;
    let Some(mut command) = client("mosquitto_pub", server.port) else { return };
    command.args(["-V", "5", "-q", "0", "-t", "heat/v1/n/s/d", "-m", "{}"]);
    command.args(["-D", "publish", "content-type", "application/json"]);
    command.args(["-D", "publish", "user-property", "schema", "1"]);
    command.args(["-D", "publish", "user-property", "schema", "2"]);
    let mut child = command.spawn().unwrap();

    let received = messages(&mut server.events, 1).await;

    let properties = received[0].properties.as_ref().unwrap();
    let pair = |value: &str| ("schema".to_owned(), value.to_owned());
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.user_properties, [pair("1"), pair("2")]);
    child.wait().unwrap();
}

#[tokio::test]
async fn a_wills_properties_come_with_it() {
    let mut server = default_server().await;
    let mut raw = Raw::open(&server).await;
    let properties = [&[3][..], &string("text/plain")].concat();
    let length = u8::try_from(properties.len()).unwrap();
    let will = [&[length][..], &properties, &string("spBv1.0/g/NDEATH/n"), &string("dead")].concat();
    raw.send(&connect(5, 0b110, 60, "device", &will)).await;
    drop(raw);

    let received = messages(&mut server.events, 1).await;

    assert!(received[0].will);
    assert_eq!(received[0].properties.as_ref().unwrap().content_type.as_deref(), Some("text/plain"));
}

#[tokio::test]
async fn nothing_but_commands_of_sparkplug_is_sent_to_devices() {
    let server = default_server().await;
    let (mut raw, _) = Raw::connect311(&server, "node", true).await;
    raw.send(&packet(0x82, &[&[0, 1], string("spBv1.0/g/DCMD/n/#").as_slice(), &[0]].concat())).await;
    raw.expect(&[0x90, 3, 0, 1, 0]).await;
    let commands = server.handle.commands();

    for topic in ["heat/v1/n/s/d", "spBv1.0/g/DCMD/n", "spBv1.0/g/NDATA/n", "spBv1.0/STATE/host", "#", ""] {
        let refused = Err(CommandError::Topic { topic: topic.to_owned() });
        assert_eq!(commands.send(topic, &Bytes::from_static(b"x")), refused);
    }
    assert_eq!(commands.send("spBv1.0/g/DCMD/n/d", &Bytes::from_static(b"x")), Ok(1));
    raw.expect(&packet(0x30, &[string("spBv1.0/g/DCMD/n/d").as_slice(), b"x"].concat())).await;
}

#[tokio::test]
async fn a_node_that_subscribes_to_the_hosts_state_gets_it_at_once_and_hears_of_its_end() {
    let (inlet, mut events, _acknowledger) = links(QueueBounds::default());
    let settings = ListenSettings { address: Some(([127, 0, 0, 1], 0).into()), ..ListenSettings::default() };
    let payloads =
        || StatePayloads { online: Bytes::from_static(b"on"), offline: Bytes::from_static(b"off") };
    let listener = Listener::bind(settings, inlet).await.unwrap();
    let listener = listener.announcing(StateMessage::new("city", payloads).unwrap());
    let port = listener.local_addr().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(async move {
        stopped.await.ok();
    }));
    let mut raw = Raw(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    raw.send(&connect(4, 2, 60, "node", &[])).await;
    raw.expect(&[0x20, 2, 0, 0]).await;
    assert!(matches!(next(&mut events).await, LinkEvent::Up(..)));
    let topic = string("spBv1.0/STATE/city");

    for id in [1, 2] {
        raw.send(&packet(0x82, &[&[0, id], topic.as_slice(), &[1]].concat())).await;
        raw.expect(&[0x90, 3, 0, id, 0]).await;
        raw.expect(&packet(0x31, &[topic.as_slice(), b"on"].concat())).await;
    }
    stop.send(()).unwrap();

    assert_eq!(raw.rest().await, packet(0x30, &[topic.as_slice(), b"off"].concat()));
    assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_thousand_devices_that_come_back_all_at_once_are_all_served() {
    const DEVICES: usize = 1000;
    let mut server = default_server().await;
    let port = server.port;
    let mut held = Vec::new();
    // The second time the first connections are still there, as after a fault of the network.
    for round in 0..2 {
        let mut tasks = JoinSet::new();
        for number in 0..DEVICES {
            tasks.spawn(async move {
                let mut raw = Raw(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                let hello = connect(4, 2, 60, &format!("device-{number}"), &[]);
                raw.send(&[hello, publish(1, 1, "heat/v1/n/s/d", b"{}")].concat()).await;
                raw.expect(&[0x20, 2, 0, 0]).await;
                raw
            });
        }
        let mut received = Vec::new();
        while received.len() < DEVICES {
            received.extend(messages(&mut server.events, 1).await);
        }
        acknowledge(&server.acknowledger, received);
        while let Some(raw) = tasks.join_next().await {
            let mut raw = raw.unwrap();
            raw.expect(&[0x40, 2, 0, 1]).await;
            held.push(raw);
        }
        let stats = server.handle.stats();
        assert_eq!(stats.accepted, (DEVICES * (round + 1)) as u64);
        assert_eq!(stats.refused, heat_mqtt::RefusedStats::default());
    }
    assert_eq!(server.handle.stats().take_overs, DEVICES as u64);
}
