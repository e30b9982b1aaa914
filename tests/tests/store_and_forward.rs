//! A Kafka that hangs: the gateway acknowledges from its buffer, and everything comes to Kafka when it is back, once,
//! through kills and stops of the gateway in the middle. Judged by the archive and the audit.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use heat_tests::{
    free_port,
    heatstream::{Running, run},
    kafka::Kafka,
    load::{Load, write_expected},
    mqtt::Client,
    now_us, pace,
    python::Python,
    site::{assert_balanced, audit_total, get, is_ok, sum},
    wait_until,
};
use tempfile::TempDir;

/// A role on a busy machine, Kafka's group included.
const READY: Duration = Duration::from_secs(120);
/// Everything is forwarded and archived.
const ARCHIVED: Duration = Duration::from_secs(300);
const DEVICES: usize = 6;

/// One gateway with a buffer, and an archiver.
struct City {
    folder: TempDir,
    mqtt: u16,
    gateway_admin: u16,
    archiver_admin: u16,
}

impl City {
    fn new(kafka: &Kafka) -> Self {
        let city = Self {
            folder: tempfile::tempdir().unwrap(),
            mqtt: free_port(),
            gateway_admin: free_port(),
            archiver_admin: free_port(),
        };
        let log = format!(
            "[log]\nengine = \"kafka\"\npartitions = 3\n[log.kafka]\nbrokers = \"{}\"\n[logging]\nfilter = \"info\"\n",
            kafka.brokers()
        );
        let gateway = format!(
            "{log}[gateway]\nstall_after = \"2s\"\n[gateway.buffer]\ndirectory = \"{}\"\n[gateway.listen]\n\
             address = \"127.0.0.1:{}\"\n[admin]\naddress = \"127.0.0.1:{}\"\n",
            city.folder.path().join("buffer").display(),
            city.mqtt,
            city.gateway_admin
        );
        let archiver = format!(
            "{log}[archive]\nlocation = \"{}\"\nrotation = \"1s\"\n[admin]\naddress = \"127.0.0.1:{}\"\n",
            city.archive().display(),
            city.archiver_admin
        );
        fs::write(city.config("gateway"), gateway).unwrap();
        fs::write(city.config("archiver"), archiver).unwrap();
        let arguments = ["topics", "apply", "--replication", "1", "--config"].map(Into::into);
        run(arguments.into_iter().chain([city.config("gateway").into_os_string()])).ended_with(0);
        city
    }

    fn config(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("{role}.toml"))
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn start(&self, role: &'static str, admin: u16) -> Running {
        let mut running =
            Running::start(role, [role.as_ref(), "--config".as_ref(), self.config(role).as_os_str()]);
        let url = format!("http://127.0.0.1:{admin}/readyz");
        running.wait_until("/readyz says ready", READY, |_| is_ok(&url));
        running
    }

    fn gateway(&self) -> Running {
        let mut gateway = self.start("gateway", self.gateway_admin);
        gateway.wait_until("MQTT listens", READY, |_| TcpStream::connect(("127.0.0.1", self.mqtt)).is_ok());
        gateway
    }

    fn metric(&self, name: &str) -> f64 {
        let text = get(&format!("http://127.0.0.1:{}/metrics", self.gateway_admin));
        text.map_or(f64::NAN, |text| sum(&text, name, &[]))
    }

    fn wait_until_buffering(&self, gateway: &mut Running) {
        gateway.wait_until("it buffers", READY, |_| self.metric("heat_gateway_buffering") == 1.0);
    }

    fn wait_until_drained(&self, gateway: &mut Running) {
        gateway.wait_until("the backlog is drained", ARCHIVED, |_| {
            self.metric("heat_gateway_buffering") == 0.0 && self.metric("heat_gateway_buffer_records") == 0.0
        });
    }
}

/// A device that sends a message only when the one before is acknowledged.
struct Cautious {
    thread: JoinHandle<()>,
    is_ended: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
}

impl Cautious {
    fn start(port: u16) -> Self {
        let (is_ended, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, count) = (Arc::clone(&is_ended), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(port, "cautious", true).unwrap();
            while !ended.load(Ordering::Relaxed) {
                let payload = format!("{{\"time\": {}, \"values\": {{\"x\": 1}}}}", now_us() / 1_000);
                client
                    .publish_acknowledged("heat/v1/cautious/site/meter", payload.as_bytes(), READY)
                    .expect("each message is acknowledged");
                count.fetch_add(1, Ordering::Relaxed);
                pace(Duration::from_millis(50));
            }
            client.disconnect();
        });
        Self { thread, is_ended, acknowledged }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn finish(self) {
        self.is_ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Ends everything and holds archive, senders' memory and audit against one another. Readings of others than the load may
/// be in the archive.
fn judge(city: &City, python: &Python, load: Load, mut gateway: Running, archiver: Running) {
    let sent = load.finish();
    let missing: usize = sent.iter().map(|device| device.unacknowledged).sum();
    assert_eq!(missing, 0, "messages were never acknowledged");
    city.wait_until_drained(&mut gateway);
    let audit = || run(["audit".as_ref(), "--config".as_ref(), city.config("archiver").as_os_str()]);
    // After a Kafka that hung, the archiver's group has to find together again first; and the gateway's heartbeats are
    // what moves time, so that the last commit is made.
    wait_until("everything is archived", ARCHIVED, || {
        let said = audit().stdout;
        said.contains("BALANCES") && audit_total(&said)[10] == 0
    });
    gateway.signal("TERM");
    gateway.ended(READY).ended_with(0);
    archiver.signal("TERM");
    archiver.ended(READY).ended_with(0);
    assert_balanced(&audit().ended_with(0).stdout);
    let expected = city.folder.path().join("sent.csv");
    let readings = write_expected(&expected, &sent);
    assert!(readings > 1_000, "too little load for a test: {readings} readings");
    let report = python.run("compare.py", [city.archive().as_path(), expected.as_path()]);
    for fault in ["lost", "doubled", "disordered"] {
        assert_eq!(report[fault], 0, "{fault}: {report:#}");
    }
}

#[test]
fn while_kafka_hangs_senders_are_acknowledged_and_everything_comes_to_it_afterwards() {
    let Some(python) = Python::find() else { return };
    let Some(kafka) = Kafka::start() else { return };
    let city = City::new(&kafka);
    let mut gateway = city.gateway();
    let archiver = city.start("archiver", city.archiver_admin);
    let load = Load::start(city.mqtt, DEVICES, Duration::from_millis(10));
    wait_until("messages are acknowledged", READY, || load.acknowledged() > 200);

    kafka.freeze();
    let cautious = Cautious::start(city.mqtt);
    city.wait_until_buffering(&mut gateway);
    let (before, cautious_before) = (load.acknowledged(), cautious.acknowledged());
    pace(Duration::from_secs(20));
    let (during, cautious_during) = (load.acknowledged(), cautious.acknowledged());
    kafka.thaw();

    assert!(during > before + 200, "senders go on: {before}, {during}");
    assert!(cautious_during > cautious_before + 20, "one at a time, too: {cautious_during}");
    city.wait_until_drained(&mut gateway);
    cautious.finish();
    assert!(city.metric("heat_gateway_buffer_forwarded_records_total") > 0.0);
    let report = gateway.stderr();
    let lines = ["buffering to disk", "draining the buffer", "direct again", "backlog is drained"];
    let places =
        lines.map(|line| report.find(line).unwrap_or_else(|| panic!("{line:?} is missing in: {report}")));
    assert!(places.is_sorted(), "an operator reads it in the order in which it happened: {report}");
    judge(&city, &python, load, gateway, archiver);
}

#[test]
fn a_gateway_that_is_killed_or_stopped_while_kafka_hangs_loses_and_doubles_nothing() {
    let Some(python) = Python::find() else { return };
    let Some(kafka) = Kafka::start() else { return };
    let city = City::new(&kafka);
    let archiver = city.start("archiver", city.archiver_admin);
    let load = Load::start(city.mqtt, DEVICES, Duration::from_millis(10));
    let mut gateway = city.gateway();
    wait_until("messages are acknowledged", READY, || load.acknowledged() > 200);

    // Killed while it buffers, and once more while it drains.
    kafka.freeze();
    city.wait_until_buffering(&mut gateway);
    pace(Duration::from_secs(5));
    gateway.kill();
    gateway = city.gateway();
    let before = load.acknowledged();
    let goes_on = || load.acknowledged() > before + 100;
    wait_until("a gateway that started while Kafka hangs acknowledges", READY, goes_on);
    kafka.thaw();
    let forwarded = || city.metric("heat_gateway_buffer_forwarded_records_total");
    gateway.wait_until("it forwards", READY, |_| forwarded() > 0.0);
    gateway.kill();

    // Asked to stop while it buffers: what is in the buffer is durable, so it need not wait for Kafka.
    gateway = city.gateway();
    city.wait_until_drained(&mut gateway);
    kafka.freeze();
    city.wait_until_buffering(&mut gateway);
    gateway.signal("TERM");
    gateway.ended(READY).ended_with(0);
    kafka.thaw();
    gateway = city.gateway();

    judge(&city, &python, load, gateway, archiver);
}
