//! Measures what idle devices cost the listener: resident memory per connection.
//!
//! ```text
//! cargo run --release -p heat-mqtt --example idle_connections -- [CONNECTIONS] [plain|tls|mutual]
//! ```
//! The devices are this program started once more: each connects, with `mutual` by a certificate of its authority, and
//! says nothing any more. What is measured is the growth of the listening process from before the first connection.
//! Twice as many file descriptors as connections must be allowed (`ulimit -n`), half of them in each process.

use std::{
    env,
    error::Error,
    fs,
    future::pending,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use heat_mqtt::{
    CertificateIdentity, ClientCertificate, ListenSettings, Listener, QueueBounds, ServerFiles,
    TlsListenSettings, links,
};
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::{runtime::Builder, task::JoinSet, time::Instant};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

type Failure = Box<dyn Error + Send + Sync>;

/// Connecting threads: as many as keep two cores busy with handshakes.
const WORKERS: usize = 4;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [mode, port, connections, way, folder] = arguments.as_slice()
        && mode == "devices"
    {
        return devices(port.parse()?, connections.parse()?, way, Path::new(folder));
    }
    let connections = arguments.first().map_or(Ok(10_000), |text| text.parse())?;
    let way = arguments.get(1).map_or("plain", String::as_str);
    // As many threads as a small machine has cores: each has a buffer of its own.
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(listen(connections, way))
}

async fn listen(connections: usize, way: &str) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    certificates(folder.path())?;
    let address = ([127, 0, 0, 1], 0).into();
    let tls = |client_certificate| TlsListenSettings {
        address,
        files: ServerFiles {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
            client_ca: Some(folder.path().join("server.pem")),
            client_crl: None,
        },
        client_certificate,
        identity: CertificateIdentity::CommonName,
        handshakes_max: 500,
    };
    let settings = match way {
        "plain" => ListenSettings { address: Some(address), ..ListenSettings::default() },
        "tls" => ListenSettings {
            address: None,
            tls: Some(tls(ClientCertificate::None)),
            ..ListenSettings::default()
        },
        "mutual" => ListenSettings {
            address: None,
            tls: Some(tls(ClientCertificate::Required)),
            ..ListenSettings::default()
        },
        _ => return Err(format!("{way:?} is none of plain, tls, mutual").into()),
    };
    let (inlet, mut events, _acknowledger) = links(QueueBounds::default());
    let listener = Listener::bind(settings, inlet).await?;
    let (port, handle) = (listener.local_addr().port(), listener.handle());
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(pending()));

    let (before, begun) = (resident_kib()?, Instant::now());
    let mut child = Command::new(env::current_exe()?)
        .args(["devices", &port.to_string(), &connections.to_string(), way])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .spawn()?;
    while handle.stats().accepted < connections as u64 {
        events.recv().await.ok_or("the listener lives")?;
        if let Some(status) = child.try_wait()? {
            return Err(format!("the devices ended: {status}").into());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = resident_kib()?;
    let line = format!(
        "{connections} idle connections, {way}: {:.1} MB more resident, {} bytes each; {:.1} MB in all; all connected \
         after {seconds:.1} s",
        (after - before) as f64 / 1024.0,
        (after - before) * 1024 / connections,
        after as f64 / 1024.0,
    );
    writeln!(std::io::stdout(), "{line}")?;
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// One self-signed certificate serves both sides; each is the other's authority.
fn certificates(folder: &Path) -> Result<(), Failure> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "station");
    let key = KeyPair::generate()?;
    fs::write(folder.join("server.pem"), params.self_signed(&key)?.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem())?;
    Ok(())
}

fn resident_kib() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("a status tells VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("VmRSS has a number")?.parse()?)
}

/// A device's connection, which ends when it is dropped.
enum Held {
    Plain { _stream: TcpStream },
    Tls { _stream: Box<StreamOwned<ClientConnection, TcpStream>> },
}

fn devices(port: u16, connections: usize, way: &str, folder: &Path) -> Result<(), Failure> {
    let config = if way == "plain" { None } else { Some(client_config(folder, way == "mutual")?) };
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let config = config.clone();
            thread::spawn(move || {
                let numbers = (worker..connections).step_by(WORKERS);
                numbers
                    .map(|number| connect(port, number, config.as_ref()))
                    .collect::<Result<Vec<_>, Failure>>()
            })
        })
        .collect();
    let mut held = Vec::new();
    for worker in workers {
        held.push(worker.join().map_err(|_panic| "a worker died")??);
    }
    // Holds them until the parent ends this process, or its own standard input.
    std::io::stdin().read_exact(&mut [0]).ok();
    drop(held);
    Ok(())
}

fn client_config(folder: &Path, shows_certificate: bool) -> Result<Arc<ClientConfig>, Failure> {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem"))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(if shows_certificate {
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
        builder.with_client_auth_cert(vec![certificate], key)?
    } else {
        builder.with_no_client_auth()
    }))
}

fn connect(port: u16, number: usize, config: Option<&Arc<ClientConfig>>) -> Result<Held, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let Some(config) = config else {
        greet(&mut stream, number)?;
        return Ok(Held::Plain { _stream: stream });
    };
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    let mut stream = Box::new(StreamOwned::new(connection, stream));
    greet(&mut stream, number)?;
    Ok(Held::Tls { _stream: stream })
}

/// CONNECT of MQTT 3.1.1 without keep-alive, and its answer.
fn greet(stream: &mut (impl Read + Write), number: usize) -> Result<(), Failure> {
    let id = format!("station-{number:06}");
    let mut packet = vec![0x10, u8::try_from(12 + id.len())?, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0];
    packet.push(u8::try_from(id.len())?);
    packet.extend_from_slice(id.as_bytes());
    stream.write_all(&packet)?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack)?;
    if connack[3] == 0 { Ok(()) } else { Err(format!("refused: {connack:?}").into()) }
}
