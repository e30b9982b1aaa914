//! A real Apache Kafka: one node in KRaft mode, with its own ports and directory.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, find_program, free_port, repository, require, wait_until};

/// A Kafka that ends with the test.
#[derive(Debug)]
pub struct Kafka {
    process: Option<Process>,
    libs: PathBuf,
    dir: TempDir,
    port: u16,
    /// Where clients of a second listener are sent, and its own port.
    behind: Option<u16>,
}

impl Kafka {
    /// Starts one; `None`, with a line that says how to get it, where it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// The same with a second listener, on [`Kafka::port_behind`], whose clients are sent to `proxy`'s port: who comes
    /// through the proxy stays with it.
    pub fn start_behind(proxy: u16) -> Option<Self> {
        Self::start_with(Some(proxy))
    }

    fn start_with(proxy: Option<u16>) -> Option<Self> {
        let libs = require(
            find_libs(),
            "Apache Kafka",
            "run tests/servers/install-kafka (needs Java 17 and Maven: openjdk-17-jre-headless, maven)",
        )?;
        require(find_program("java"), "java", "install Java 17 (Debian: openjdk-17-jre-headless)")?;
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let port = free_port();
        let mut ports = vec![port];
        while ports.len() < 3 {
            let other = free_port();
            if !ports.contains(&other) {
                ports.push(other);
            }
        }
        let behind = proxy.map(|_| ports[2]);
        let second = proxy.zip(behind);
        fs::write(dir.path().join("server.properties"), properties(dir.path(), port, ports[1], second))
            .expect("the temporary directory can be written");
        let mut kafka = Self { process: None, libs, dir, port, behind };
        kafka.format();
        kafka.launch();
        Some(kafka)
    }

    /// `host:port` for clients.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port that a proxy in front of the second listener must aim at.
    pub fn port_behind(&self) -> u16 {
        self.behind.expect("Kafka was started behind a proxy")
    }

    /// The broker's process id, for tests that stop and continue it.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.0.id())
    }

    /// Ends the broker the hard way; its data stay.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the broker again after [`Kafka::kill`], and waits until it serves clients.
    pub fn launch(&mut self) {
        let mut command = self.java("-Xmx1g", "kafka.Kafka");
        command.arg(self.dir.path().join("server.properties"));
        self.process = Some(Process(command.spawn().expect("java starts")));
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_until(&format!("Kafka listens; its log: {}", self.log_tail()), Duration::from_secs(180), || {
            let ended =
                self.process.as_mut().is_some_and(|process| process.0.try_wait().is_ok_and(|s| s.is_some()));
            assert!(!ended, "Kafka ended at start: {}", self.log_tail());
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                && self.log().contains("Kafka Server started")
        });
    }

    /// Freezes the broker: it neither answers nor refuses. [`Kafka::thaw`] ends it.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.process_id().expect("the broker runs");
        let status =
            Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().expect("kill starts");
        assert!(status.success(), "kill -{name} {id}");
    }

    fn java(&self, memory: &str, class: &str) -> Command {
        // The log of this start only: a broker started again must not look ready from its earlier life.
        let log = File::create(self.log_path()).expect("the temporary directory can be written");
        let errors = log.try_clone().expect("a file handle can be doubled");
        let mut command = Command::new("java");
        command
            .args([memory, "-cp", &format!("{}/*", self.libs.display()), class])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        command.current_dir(self.dir.path());
        command
    }

    fn format(&self) {
        // Any 16 bytes in URL-safe base64 are a cluster id.
        let status = self
            .java("-Xmx256m", "kafka.tools.StorageTool")
            .args(["format", "-t", "aGVhdHN0cmVhbS10ZXN0MQ", "-c"])
            .arg(self.dir.path().join("server.properties"))
            .status()
            .expect("java starts");
        assert!(status.success(), "Kafka's storage can be formatted: {}", self.log_tail());
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("kafka.out")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn find_libs() -> Option<PathBuf> {
    let cache =
        std::env::var_os("HEATSTREAM_SERVERS").map_or_else(|| repository().join(".cache"), PathBuf::from);
    let libs = cache.join("kafka/libs");
    libs.join(".complete").is_file().then_some(libs)
}

/// `second` is the port of a second listener, after the port that it sends its clients to.
fn properties(dir: &Path, port: u16, controller_port: u16, second: Option<(u16, u16)>) -> String {
    let [listener, advertised, protocol] = second.map_or_else(Default::default, |(proxy, behind)| {
        [
            format!(",BEHIND://127.0.0.1:{behind}"),
            format!(",BEHIND://127.0.0.1:{proxy}"),
            ",BEHIND:PLAINTEXT".to_owned(),
        ]
    });
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{listener}
advertised.listeners=CLIENT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=16777216
",
        dir.display()
    )
}
