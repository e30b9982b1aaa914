//! TLS both ways, against mosquitto's clients, a real mosquitto and peers that do it wrong.
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use certificates::{Authority, Pair};
use common::{PATIENCE, acknowledge, eventually, messages, next};
use heat_mqtt::{
    Acknowledger, CertificateIdentity, ClientCertificate, ClientTls, LinkEvent, ListenSettings, Listener,
    ListenerHandle, ProtocolVersion, Publisher, PublisherSettings, QueueBounds, Rights, Secret, ServerFiles,
    SubscribeSettings, Subscriber, TlsListenSettings, TlsStats, User, links,
};
use heat_tests::{
    free_port,
    mosquitto::{Mosquitto, client},
    repository,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

#[path = "common/certificates.rs"]
mod certificates;
mod common;

/// A folder with an authority, a server's certificate and devices' certificates.
struct World {
    folder: TempDir,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new("city authority"));
        let world = Self { folder, authority };
        world.write("ca.pem", &world.authority.pem());
        world.write_pair("server", &world.authority.issue("gateway", &["localhost", "127.0.0.1"]));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As tools do that replace files, so that a change is seen however coarse the file system's times are.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.pem"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }

    fn server_files(&self) -> ServerFiles {
        ServerFiles {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
            client_crl: None,
        }
    }

    fn tls(&self, client_certificate: ClientCertificate) -> TlsListenSettings {
        TlsListenSettings {
            address: ([127, 0, 0, 1], 0).into(),
            files: self.server_files(),
            client_certificate,
            identity: CertificateIdentity::CommonName,
            handshakes_max: 10,
        }
    }

    /// The TLS of a device whose certificate bears the name.
    fn device(&self, name: &str) -> ClientTls {
        self.write_pair(name, &self.authority.issue(name, &[]));
        ClientTls {
            ca_file: Some(self.path("ca.pem")),
            certificate: Some((self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))),
            server_name: None,
        }
    }
}

struct Server {
    plain: u16,
    tls: u16,
    handle: ListenerHandle,
    events: mpsc::Receiver<LinkEvent>,
    acknowledger: Acknowledger,
    tasks: JoinSet<()>,
}

async fn server(tls: TlsListenSettings, change: impl FnOnce(&mut ListenSettings)) -> Server {
    let mut settings = ListenSettings {
        address: Some(([127, 0, 0, 1], 0).into()),
        tls: Some(tls),
        ..ListenSettings::default()
    };
    change(&mut settings);
    let (inlet, events, acknowledger) = links(QueueBounds::default());
    let listener = Listener::bind(settings, inlet).await.unwrap();
    let (plain, tls) = (listener.local_addr().port(), listener.tls_addr().unwrap().port());
    let handle = listener.handle();
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(pending()));
    Server { plain, tls, handle, events, acknowledger, tasks }
}

impl Server {
    fn publisher(&mut self, client_id: &str, tls: Option<ClientTls>) -> Publisher {
        let port = if tls.is_some() { self.tls } else { self.plain };
        let settings = PublisherSettings { tls, ..PublisherSettings::new("127.0.0.1", port, client_id) };
        let (publisher, driver) = Publisher::new(settings);
        self.tasks.spawn(driver.run(pending()));
        publisher
    }

    /// One message through the publisher; returns who sent it.
    async fn one(&mut self, publisher: &Publisher) -> Arc<heat_mqtt::Source> {
        publisher.publish("heat/v1/n/s/d", Bytes::from_static(b"{}")).await.unwrap();
        let received = messages(&mut self.events, 1).await;
        let source = Arc::clone(&received[0].source);
        acknowledge(&self.acknowledger, received);
        timeout(PATIENCE, publisher.acknowledged()).await.unwrap().unwrap();
        source
    }

    async fn until(&self, what: &str, condition: impl Fn(&TlsStats) -> bool) {
        eventually(what, || condition(&self.handle.stats().tls)).await;
    }
}

fn client_config(trusts: &str, pair: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap(),
    }
}

async fn connect_with(config: Arc<ClientConfig>, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// A bare TLS client.
async fn tls_client(
    server: &Server,
    trusts: &str,
    pair: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_with(Arc::new(client_config(trusts, pair)), server.tls).await
}

/// CONNECT of MQTT 3.1.1 with the client id `d`.
const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'd'];

#[tokio::test]
async fn a_certificate_names_the_device_and_its_rights_go_with_its_messages() {
    let world = World::new();
    let rights = Rights::parse(&[], &["n1/s1".to_owned()]).unwrap();
    let user = User {
        name: "station-1".to_owned(),
        password: None,
        rights: Some(Arc::new(rights)),
        client_id: heat_mqtt::ClientIdRule::Prefix,
    };
    let mut server =
        server(world.tls(ClientCertificate::Required), |settings| settings.users = vec![user]).await;
    let publisher = server.publisher("station-1-meter", Some(world.device("station-1")));

    let source = server.one(&publisher).await;

    assert_eq!(source.user.as_deref(), Some("station-1"));
    let rights = source.rights.as_ref().unwrap();
    assert!(rights.may_speak_for(&"n1".parse().unwrap(), &"s1".parse().unwrap()));
    assert!(!rights.may_speak_for(&"n1".parse().unwrap(), &"s2".parse().unwrap()));

    let stranger = server.publisher("station-2", Some(world.device("station-2")));
    eventually("a certificate that names no user is refused", || stranger.last_error().is_some()).await;
    let impostor = server.publisher("other", Some(world.device("station-1")));
    eventually("a client id of somebody else is refused", || impostor.last_error().is_some()).await;
    eventually("both are counted", || {
        let refused = server.handle.stats().refused;
        refused.not_authorized >= 1 && refused.client_id_rule >= 1
    })
    .await;
    assert_eq!(stranger.counts().acknowledged + impostor.counts().acknowledged, 0);
}

#[tokio::test]
async fn mosquitto_pub_gets_through_with_its_certificate_in_both_versions() {
    let world = World::new();
    let device = world.device("station-1");
    let mut server = server(world.tls(ClientCertificate::Required), |_| {}).await;
    let mut tasks = JoinSet::new();
    for (version, tls) in [("311", "tlsv1.2"), ("5", "tlsv1.3")] {
        let Some(mut command) = client("mosquitto_pub", server.tls) else { return };
        let (certificate, key) = device.certificate.as_ref().unwrap();
        command
            .arg("--cafile")
            .arg(world.path("ca.pem"))
            .arg("--cert")
            .arg(certificate)
            .arg("--key")
            .arg(key);
        command.args(["--tls-version", tls, "-V", version, "-q", "1", "-t", "heat/v1/n/s/d", "-m", "hello"]);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let received = messages(&mut server.events, 1).await;
        assert_eq!(received[0].source.user.as_deref(), Some("station-1"));
        acknowledge(&server.acknowledger, received);
        tasks.spawn_blocking(move || child.wait_with_output().unwrap().status.success());
        assert!(timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap(), "{version} {tls}");
    }
    assert_eq!(server.handle.stats().tls.handshakes, 2);
}

#[tokio::test]
async fn devices_with_and_without_tls_are_served_side_by_side() {
    let world = World::new();
    let users = vec![User::with_password("meter", Secret::new("s3cret"))];
    let mut server = server(world.tls(ClientCertificate::Optional), |settings| settings.users = users).await;
    let trusting = ClientTls { ca_file: Some(world.path("ca.pem")), ..ClientTls::default() };
    for (client_id, tls) in [("plain", None), ("by-tls", Some(trusting))] {
        let port = if tls.is_some() { server.tls } else { server.plain };
        let settings = PublisherSettings {
            tls,
            credentials: Some(("meter".to_owned(), Secret::new("s3cret"))),
            ..PublisherSettings::new("localhost", port, client_id)
        };
        let (publisher, driver) = Publisher::new(settings);
        server.tasks.spawn(driver.run(pending()));

        let source = server.one(&publisher).await;

        assert_eq!((source.client_id.as_str(), source.user.as_deref()), (client_id, Some("meter")));
    }
}

#[tokio::test]
async fn a_hundred_kilobytes_come_through_in_one_piece() {
    let world = World::new();
    let mut server = server(world.tls(ClientCertificate::None), |_| {}).await;
    let trusting = ClientTls { ca_file: Some(world.path("ca.pem")), ..ClientTls::default() };
    let publisher = server.publisher("large", Some(trusting));
    let payload: Bytes = (0..100_000u32).map(|number| number.to_le_bytes()[0]).collect();

    publisher.publish("heat/v1/n/s/d", payload.clone()).await.unwrap();

    let received = messages(&mut server.events, 1).await;
    assert_eq!(received[0].payload, payload);
}

#[tokio::test]
async fn failed_handshakes_are_counted_by_reason() {
    let world = World::new();
    let impatient = server(world.tls(ClientCertificate::Required), |settings| {
        settings.connect_timeout = Duration::from_millis(500);
    })
    .await;
    let _silent = TcpStream::connect(("127.0.0.1", impatient.tls)).await.unwrap();
    impatient.until("silence ends", |tls| tls.timeout == 1).await;

    let server = server(world.tls(ClientCertificate::Required), |_| {}).await;
    let (ours, other) = (world.authority.pem(), Authority::new("another authority"));

    let mut plain = TcpStream::connect(("127.0.0.1", server.tls)).await.unwrap();
    plain.write_all(&CONNECT).await.unwrap();
    server.until("bare MQTT is seen", |tls| tls.not_tls == 1).await;

    drop(TcpStream::connect(("127.0.0.1", server.tls)).await.unwrap());
    server.until("a peer that goes is seen", |tls| tls.closed == 1).await;

    // In TLS 1.3 the client may believe that it is connected before the server has seen its certificate.
    tls_client(&server, &ours, None).await.ok();
    server.until("no certificate is seen", |tls| tls.no_certificate == 1).await;
    tls_client(&server, &ours, Some(&other.issue("station-1", &[]))).await.ok();
    server.until("another authority is seen", |tls| tls.certificate == 1).await;
    tls_client(&server, &ours, Some(&world.authority.issue_until(2000, "station-1", &[]))).await.ok();
    server.until("an expired certificate is seen", |tls| tls.certificate == 2).await;
    tls_client(&server, &ours, Some(&world.authority.issue("", &[]))).await.ok();
    server.until("a certificate without a name is seen", |tls| tls.identity == 1).await;
    assert!(tls_client(&server, &other.pem(), None).await.is_err(), "the server is not trusted");
    server.until("distrust is seen", |tls| tls.alert == 1).await;

    let stats = server.handle.stats();
    assert_eq!((stats.tls.handshakes, stats.accepted), (0, 0));
    eventually("nothing is left open", || server.handle.stats().connections == 0).await;
}

#[tokio::test]
async fn new_certificates_are_taken_into_use_and_open_connections_stay() {
    let world = World::new();
    let mut server = server(world.tls(ClientCertificate::Required), |_| {}).await;
    let open = server.publisher("open", Some(world.device("station-1")));
    server.one(&open).await;
    let (before, next_authority) = (world.authority.pem(), Authority::new("next authority"));

    world.write_pair("server", &next_authority.issue("gateway", &["localhost", "127.0.0.1"]));
    world.write("ca.pem", &next_authority.pem());
    server.handle.reload_certificates().unwrap();

    let device = next_authority.issue("station-2", &[]);
    assert!(
        tls_client(&server, &before, Some(&device)).await.is_err(),
        "the former authority signed nothing"
    );
    let mut newcomer = tls_client(&server, &next_authority.pem(), Some(&device)).await.unwrap();
    newcomer.write_all(&CONNECT).await.unwrap();
    let mut connack = [0; 4];
    timeout(PATIENCE, newcomer.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    server.one(&open).await;
    assert_eq!(open.counts().connections, 1, "the open connection has stayed");
    // The listener's own look at the files may have come at the same moment.
    assert!(matches!(server.handle.stats().tls.reloads, 1 | 2));
}

#[tokio::test]
async fn a_certificate_that_the_list_names_is_refused_and_the_others_are_not() {
    let world = World::new();
    let (lost, kept) = (world.authority.issue("st1", &[]), world.authority.issue("st2", &[]));
    world.write("lists.pem", &world.authority.revoke(&[]));
    let mut tls = world.tls(ClientCertificate::Required);
    tls.files.client_crl = Some(world.path("lists.pem"));
    let server = server(tls, |_| {}).await;
    let served = async |pair: &Pair| {
        // In TLS 1.3 a client learns that it is refused when it reads.
        let stream = tls_client(&server, &world.authority.pem(), Some(pair)).await;
        let Ok(mut stream) = stream else { return false };
        stream.write_all(&CONNECT).await.is_ok() && timeout(PATIENCE, stream.read_u8()).await.unwrap().is_ok()
    };
    assert!(served(&lost).await, "nothing has been revoked yet");

    world.write("lists.pem", &world.authority.revoke(&[&lost]));
    server.handle.reload_certificates().unwrap();

    assert!(!served(&lost).await);
    assert!(served(&kept).await);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_change_nothing() {
    let world = World::new();
    let server = server(world.tls(ClientCertificate::None), |_| {}).await;
    world.write("server.key", &world.authority.issue("gateway", &[]).key);

    // Nobody asks for it: the changed file is seen.
    server.until("the change is seen", |tls| tls.reload_failures == 1).await;

    let error = server.handle.reload_certificates().unwrap_err();
    assert!(error.to_string().contains("server.key"), "{error}");
    assert!(tls_client(&server, &world.authority.pem(), None).await.is_ok());
    assert_eq!(server.handle.stats().tls.reloads, 0);
}

fn secure_broker(world: &World, certificate: &Pair, config: &str) -> Option<(Mosquitto, u16)> {
    world.write_pair("broker", certificate);
    let port = free_port();
    let path = |name: &str| world.path(name).display().to_string();
    let broker = Mosquitto::start(&format!(
        "listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
         use_identity_as_username true\n{config}",
        path("ca.pem"),
        path("broker.pem"),
        path("broker.key"),
    ))?;
    Some((broker, port))
}

fn subscribe(port: u16, version: ProtocolVersion, tls: ClientTls) -> SubscribeSettings {
    SubscribeSettings {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Some(tls),
        version,
        client_id: "gateway-1".to_owned(),
        filters: vec!["heat/v1/#".to_owned()],
        acknowledged: true,
        credentials: None,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(3600),
        in_flight_max: 500,
        packet_max_bytes: 2 << 20,
        backoff: (Duration::from_millis(20), Duration::from_millis(200)),
        liveness_topic: None,
    }
}

#[tokio::test]
async fn a_broker_that_asks_for_certificates_is_subscribed_to_in_both_versions() {
    let world = World::new();
    let certificate = world.authority.issue("broker", &["broker.heat.example"]);
    let Some((_broker, port)) = secure_broker(&world, &certificate, "") else { return };
    let name = Some(ServerName::try_from("broker.heat.example").unwrap());
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let tls = ClientTls { server_name: name.clone(), ..world.device("gateway-1") };
        let (inlet, mut events, _acknowledger) = links(QueueBounds::default());
        let subscriber = Subscriber::new(subscribe(port, version, tls), inlet);
        let mut tasks = JoinSet::new();
        tasks.spawn(subscriber.run(pending()));
        assert!(matches!(next(&mut events).await, LinkEvent::Up(..)), "{version:?}");

        let (publisher, driver) = Publisher::new(PublisherSettings {
            tls: Some(ClientTls { server_name: name.clone(), ..world.device("station-1") }),
            ..PublisherSettings::new("127.0.0.1", port, "station-1")
        });
        tasks.spawn(driver.run(pending()));
        // The subscription takes effect at some moment after the connection.
        loop {
            publisher.publish("heat/v1/n/s/d", Bytes::from_static(b"{}")).await.unwrap();
            if timeout(Duration::from_millis(200), messages(&mut events, 1)).await.is_ok() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_broker_with_another_name_or_authority_is_not_connected_to() {
    let world = World::new();
    let certificate = world.authority.issue("broker", &["broker.heat.example"]);
    let Some((_broker, port)) = secure_broker(&world, &certificate, "") else { return };
    let device = world.device("gateway-1");
    world.write("stranger.pem", &Authority::new("stranger").pem());
    let wrong = [
        ClientTls { server_name: None, ..device.clone() },
        ClientTls { server_name: Some(ServerName::try_from("other.example").unwrap()), ..device.clone() },
        ClientTls { ca_file: Some(world.path("stranger.pem")), ..device.clone() },
        ClientTls { ca_file: Some(Path::new("/missing/ca.pem").to_owned()), ..device },
    ];
    for tls in wrong {
        let (inlet, _events, _acknowledger) = links(QueueBounds::default());
        let subscriber = Subscriber::new(subscribe(port, ProtocolVersion::V5, tls.clone()), inlet);
        let handle = subscriber.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(subscriber.run(pending()));

        eventually("it fails again and again", || handle.stats().failures >= 2).await;

        assert_eq!(handle.stats().connections, 0, "{tls:?}");
    }
}

#[tokio::test]
async fn devices_that_come_back_all_at_once_wait_for_their_handshakes_and_are_all_served() {
    const DEVICES: usize = 300;
    let world = World::new();
    let server = server(world.tls(ClientCertificate::Required), |settings| {
        // Longer than the last of them may wait for its handshake.
        settings.connect_timeout = 2 * PATIENCE;
    })
    .await;
    let (ours, device) = (world.authority.pem(), world.authority.issue("station-1", &[]));
    let config = Arc::new(client_config(&ours, Some(&device)));
    let mut tasks = JoinSet::new();
    for number in 0..DEVICES {
        let (config, port) = (Arc::clone(&config), server.tls);
        tasks.spawn(async move {
            let mut stream = connect_with(config, port).await.unwrap();
            let id = format!("{number:03}");
            let mut hello = CONNECT.to_vec();
            hello.truncate(13);
            hello[1] = 15;
            hello.push(3);
            hello.extend_from_slice(id.as_bytes());
            stream.write_all(&hello).await.unwrap();
            let mut connack = [0; 4];
            timeout(PATIENCE, stream.read_exact(&mut connack)).await.unwrap().unwrap();
            assert_eq!(connack, [0x20, 2, 0, 0]);
            stream
        });
    }
    let held = timeout(PATIENCE, tasks.join_all()).await.unwrap();

    let stats = server.handle.stats();
    assert_eq!((held.len(), stats.accepted, stats.tls.timeout), (DEVICES, DEVICES as u64, 0));
}

#[tokio::test]
async fn with_the_example_of_access_rules_a_device_speaks_for_its_own_site_only() {
    let world = World::new();
    let certificate = world.authority.issue("broker", &["127.0.0.1"]);
    let rules = repository().join("deploy/mosquitto/acl");
    let config = format!("acl_file {}", rules.display());
    let Some((_broker, port)) = secure_broker(&world, &certificate, &config) else { return };
    let (inlet, mut events, acknowledger) = links(QueueBounds::default());
    let gateway = subscribe(port, ProtocolVersion::V5, world.device("heatstream-gateway-1"));
    let liveness_topic = Some("heat/gateways/gateway-1".to_owned());
    let subscriber = Subscriber::new(SubscribeSettings { liveness_topic, ..gateway }, inlet);
    let handle = subscriber.handle();
    let mut tasks = JoinSet::new();
    tasks.spawn(subscriber.run(pending()));
    let (publisher, driver) = Publisher::new(PublisherSettings {
        tls: Some(world.device("station-1")),
        ..PublisherSettings::new("127.0.0.1", port, "station-1")
    });
    tasks.spawn(driver.run(pending()));
    assert!(matches!(next(&mut events).await, LinkEvent::Up(..)));

    // The subscription takes effect at some moment after the connection.
    let mut seen = 0;
    while seen < 3 {
        for site in ["station-2", "station-1"] {
            let topic = format!("heat/v1/n/{site}/meter");
            publisher.publish(&topic, Bytes::from_static(b"{}")).await.unwrap();
        }
        timeout(PATIENCE, publisher.acknowledged()).await.unwrap().unwrap();
        while let Ok(received) = timeout(Duration::from_millis(100), messages(&mut events, 1)).await {
            assert!(received.iter().all(|delivery| delivery.topic.as_ref() == "heat/v1/n/station-1/meter"));
            seen += received.len();
            acknowledge(&acknowledger, received);
        }
    }
    let counts = publisher.counts();
    assert_eq!(counts.refused, counts.acknowledged, "the broker refuses every other message");
    assert_eq!(handle.stats().filters_refused, 0);
}
