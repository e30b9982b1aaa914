//! The road: devices, perhaps a broker, bridges, Kafka, and proxies between them.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use super::{Report, Scene, report::Cost, tail::Tail};
use crate::{
    bridge::{self, Bridge, BridgeSettings, Product, Source},
    disk::SmallDisk,
    fleet::{Fleet, FleetSettings},
    free_port,
    heatstream::error_lines,
    kafka::Kafka,
    mosquitto::Mosquitto,
    now_us, pace,
    proxy::Proxy,
    python::Python,
    repository, wait_until,
};

mod acts;

const PARTITIONS: u32 = 4;
/// From measuring to Kafka on a healthy road, with room to spare.
const UNDER_WAY_US: i64 = 500_000;
const TAMPERED: &str = "tampered";
/// Everything measured must be acknowledged, and the bridge drained, within this time after the last act.
const FINISH: Duration = Duration::from_secs(180);

/// What a road is like.
#[derive(Debug, Clone)]
pub struct RoadSettings {
    /// What is said in tables.
    pub title: String,
    /// Whose bridges.
    pub product: Product,
    /// Devices connect to the bridges themselves, not to a broker.
    pub direct: bool,
    /// Bridges side by side; with a broker, they share its subscription.
    pub bridges: usize,
    /// How many devices.
    pub devices: usize,
    /// Of all devices.
    pub messages_per_second: u64,
    /// Messages of a device under way.
    pub window: usize,
    /// A device that hears nothing for so long connects anew.
    pub device_patience: Duration,
    /// Of bridges' MQTT connections.
    pub keep_alive: Duration,
    /// How long the road may take to recover from an act.
    pub recovery: Duration,
    /// Whether heatstream's bridges buffer on disk; on disks of their own, of so many MiB.
    pub buffer_mebibytes: Option<u32>,
    /// What is older goes from the buffer behind what is fresh, in an order of its own; heatstream's default if none.
    pub live_max_age: Option<Duration>,
}

impl RoadSettings {
    /// The load of the proof: 2,000 messages a second of 200 devices.
    pub fn new(title: &str, product: Product, direct: bool) -> Self {
        Self {
            title: title.to_owned(),
            product,
            direct,
            bridges: 1,
            devices: 200,
            messages_per_second: 2_000,
            window: 20,
            device_patience: Duration::from_secs(10),
            keep_alive: Duration::from_secs(30),
            recovery: Duration::from_secs(120),
            buffer_mebibytes: None,
            live_max_age: None,
        }
    }
}

/// A road under load.
#[derive(Debug)]
pub struct Road {
    settings: RoadSettings,
    python: Python,
    tail: Tail,
    fleet: Fleet,
    bridges: Vec<Bridge>,
    mqtt_links: Vec<Proxy>,
    kafka_link: Proxy,
    mosquitto: Option<Mosquitto>,
    kafka: Kafka,
    windows: Vec<(String, i64, i64)>,
    unrecovered: Vec<String>,
    restarts: u64,
    disks: Vec<SmallDisk>,
    cost: Option<Cost>,
    folder: TempDir,
}

impl Road {
    /// Starts everything and waits until messages flow; `None`, with a line that says how to get it, where a server is
    /// missing.
    pub fn start(settings: RoadSettings) -> Option<Self> {
        let python = Python::find()?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mosquitto = if settings.direct { None } else { Some(Mosquitto::start(&limits_of_example())?) };
        let kafka_link = Proxy::start(free_port());
        let kafka = Kafka::start_behind(kafka_link.port())?;
        kafka_link.aim_at(kafka.port_behind());
        let mut bridges = Vec::new();
        let mut mqtt_links = Vec::new();
        let mut disks = Vec::new();
        for number in 0..settings.bridges {
            let (source, link) = match &mosquitto {
                Some(mosquitto) => {
                    let link = Proxy::start(mosquitto.port());
                    let shared = if settings.bridges > 1 { "$share/heatstream/" } else { "" };
                    (Source::Broker { port: link.port(), filter: format!("{shared}heat/v1/#") }, link)
                }
                None => {
                    let port = free_port();
                    (Source::Devices { port }, Proxy::start(port))
                }
            };
            let name = format!("bridge-{number}");
            let bridge = BridgeSettings {
                product: settings.product,
                name,
                source,
                brokers: format!("127.0.0.1:{}", kafka_link.port()),
                partitions: PARTITIONS,
                keep_alive: settings.keep_alive,
                buffers: settings.buffer_mebibytes.is_some(),
                live_max_age: settings.live_max_age,
            };
            let bridge = Bridge::new(bridge, folder.path())?;
            if let Some(mebibytes) = settings.buffer_mebibytes {
                disks.push(SmallDisk::mount(&bridge.buffer(), mebibytes)?);
            }
            bridges.push(bridge);
            mqtt_links.push(link);
        }
        if settings.product == Product::Heatstream {
            bridge::apply_topics(&bridges[0]);
        } else {
            let partitions = PARTITIONS.to_string();
            python.run("kafka_topic.py", [kafka.brokers().as_str(), topic(settings.product), &partitions]);
        }
        let tail = Tail::start(
            &python,
            &kafka.brokers(),
            topic(settings.product),
            form(settings.product),
            folder.path(),
        );
        for bridge in &mut bridges {
            bridge.spawn();
            bridge.wait_until_ready();
        }
        let ports = match &mosquitto {
            Some(mosquitto) => vec![mosquitto.port()],
            None => mqtt_links.iter().map(Proxy::port).collect(),
        };
        if mosquitto.is_some() {
            // The sessions at the broker must be there before the first message is; no bridge tells.
            pace(Duration::from_secs(3));
        }
        let fleet = Fleet::start(FleetSettings {
            devices: settings.devices,
            messages_per_second: settings.messages_per_second,
            window: settings.window,
            patience: settings.device_patience,
            ports,
        });
        let road = Self {
            settings,
            python,
            tail,
            fleet,
            bridges,
            mqtt_links,
            kafka_link,
            mosquitto,
            kafka,
            windows: vec![("begin".to_owned(), now_us(), now_us())],
            unrecovered: Vec::new(),
            restarts: 0,
            disks,
            cost: None,
            folder,
        };
        let flows = road.tail.recovers_within(road.settings.recovery, || {});
        assert!(flows, "messages do not flow; the bridge says:\n{}", road.bridges[0].log_tail());
        Some(road)
    }

    /// The first bridge.
    pub fn bridge(&mut self) -> &mut Bridge {
        &mut self.bridges[0]
    }

    /// Kafka itself.
    pub fn kafka(&mut self) -> &mut Kafka {
        &mut self.kafka
    }

    /// The devices.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Plays a scene and waits until the road has recovered.
    pub fn play(&mut self, scene: Scene) {
        self.act(scene.act.name(), |road| road.perform(scene));
    }

    /// The same for an act of the test's own.
    pub fn act(&mut self, name: &str, act: impl FnOnce(&mut Self)) {
        // What is under way when it begins belongs to it.
        let start = now_us() - UNDER_WAY_US;
        self.windows.push((name.to_owned(), start, start));
        act(self);
        self.windows.last_mut().expect("just pushed").2 = now_us();
        if !self.recovers() {
            self.unrecovered.push(name.to_owned());
            // As a person would at last: what the broker still holds is not lost.
            for bridge in &mut self.bridges {
                bridge.kill();
                bridge.spawn();
            }
            self.recovers();
        }
        // Calm between acts, so that what is under way when the next one begins is not this one's.
        pace(Duration::from_micros(2 * UNDER_WAY_US.unsigned_abs()));
    }

    /// What the first bridge uses meanwhile; nothing if it does not live through it.
    fn cost_of(&mut self, meanwhile: impl FnOnce(&mut Self)) -> Option<Cost> {
        let look = |road: &Self| Some((road.bridges[0].usage()?, road.fleet.acknowledged(), Instant::now()));
        let before = look(self);
        meanwhile(self);
        let ((used, acknowledged, begun), (now_used, now_acknowledged, _)) = (before?, look(self)?);
        let messages = now_acknowledged - acknowledged;
        Some(Cost {
            messages,
            seconds: begun.elapsed().as_secs_f64(),
            cpu_s_per_million: (now_used.cpu_s - used.cpu_s) * 1e6 / messages as f64,
            peak_mib: now_used.peak_mib,
        })
    }

    fn recovers(&mut self) -> bool {
        let Self { tail, bridges, restarts, .. } = self;
        tail.recovers_within(self.settings.recovery, || *restarts += supervise(bridges))
    }

    /// Lets time pass, as a supervisor lives through it.
    fn pass(&mut self, lasts: Duration) {
        let end = Instant::now() + lasts;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.restarts += supervise(&mut self.bridges);
            pace(left.min(Duration::from_millis(500)));
        }
    }

    /// Ends the load, lets everything that is under way arrive, and asks the checker.
    pub fn finish(self) -> Report {
        self.end().report
    }

    /// The same, and keeps Kafka for further questions.
    pub fn end(mut self) -> Ended {
        let log = self.fleet.finish(FINISH);
        settle(&self.tail);
        let mut errors = Vec::new();
        for bridge in &mut self.bridges {
            if bridge.settings().product == Product::Heatstream {
                let code = bridge.stop(FINISH);
                if code != 0 {
                    errors.push(format!(
                        "{} ended with {code}: {}",
                        bridge.settings().name,
                        bridge.log_tail()
                    ));
                }
                errors.extend(error_lines(&bridge.log()));
            } else {
                bridge.kill();
            }
        }
        let sent = self.folder.path().join("sent.csv");
        log.write(&sent).expect("the temporary folder can be written");
        let windows: Vec<_> = self
            .windows
            .iter()
            .map(|(name, start_us, end_us)| json!({"name": name, "start_us": start_us, "end_us": end_us}))
            .collect();
        fs::write(sent.with_file_name("windows.json"), json!(windows).to_string())
            .expect("the temporary folder can be written");
        let report = Report {
            title: self.settings.title,
            unrecovered: self.unrecovered,
            restarts: self.restarts,
            cost: self.cost,
            errors,
            ..Report::default()
        };
        let product = self.settings.product;
        let mut ended =
            Ended { report, product, python: self.python, kafka: self.kafka, folder: self.folder };
        let old = self.settings.live_max_age.map(|age| age.as_secs().to_string());
        let more: Vec<&str> = old.iter().flat_map(|seconds| ["--old-seconds", seconds]).collect();
        ended.report = ended.check(topic(product), &more);
        keep_logs(&ended.report, &self.bridges, &sent);
        ended
    }
}

/// A road after its run: Kafka is still there.
#[derive(Debug)]
pub struct Ended {
    /// What the checker found.
    pub report: Report,
    product: Product,
    python: Python,
    kafka: Kafka,
    folder: TempDir,
}

impl Ended {
    /// Copies the topic with these deeds of `kafka_tamper.py`; the copy's name.
    pub fn tamper(&self, acts: &str) -> &'static str {
        self.python.run("kafka_tamper.py", [&self.kafka.brokers(), topic(self.product), TAMPERED, acts]);
        TAMPERED
    }

    /// What the checker finds in such a copy, for readers that remember so many records.
    pub fn check_copy(&self, copy: &str, window_records: u64) -> Report {
        self.check(copy, &["--window", &window_records.to_string()])
    }

    fn check(&self, topic: &str, more: &[&str]) -> Report {
        let form = form(self.product);
        let mut arguments: Vec<OsString> =
            [&self.kafka.brokers(), topic, form].into_iter().map(Into::into).collect();
        arguments
            .extend(["sent.csv", "windows.json"].map(|file| self.folder.path().join(file).into_os_string()));
        if self.product == Product::Heatstream {
            arguments.extend(["--letters".into(), "heat.rejected.v1".into()]);
        }
        arguments.extend(more.iter().map(OsString::from));
        let found = self.python.run("kafka_check.py", arguments);
        Report {
            spans: serde_json::from_value(found["spans"].clone()).expect("the checker names all findings"),
            malformed: found["malformed"].as_u64().unwrap_or(0),
            examples: found["examples"].clone(),
            ..self.report.clone()
        }
    }
}

/// Starts bridges again that ended by themselves, as systemd or Kubernetes does; how many.
fn supervise(bridges: &mut [Bridge]) -> u64 {
    let mut restarts = 0;
    for bridge in bridges {
        if bridge.has_ended() {
            bridge.spawn();
            restarts += 1;
        }
    }
    restarts
}

/// With `HEATSTREAM_TEST_KEEP=DIR`, what a person needs to look into a finding.
fn keep_logs(report: &Report, bridges: &[Bridge], sent: &Path) {
    let Some(target) = std::env::var_os("HEATSTREAM_TEST_KEEP") else { return };
    let target = Path::new(&target).join(report.title.replace([' ', ','], "-"));
    fs::create_dir_all(&target).expect("HEATSTREAM_TEST_KEEP can be written");
    for file in ["sent.csv", "windows.json"] {
        fs::copy(sent.with_file_name(file), target.join(file)).expect("HEATSTREAM_TEST_KEEP can be written");
    }
    let text = serde_json::to_string_pretty(report).expect("a report is plain data");
    fs::write(target.join("report.json"), text).expect("HEATSTREAM_TEST_KEEP can be written");
    for bridge in bridges {
        let log = target.join(format!("{}.log", bridge.settings().name));
        fs::write(log, bridge.log()).expect("HEATSTREAM_TEST_KEEP can be written");
    }
}

/// Waits until no more messages come.
fn settle(tail: &Tail) {
    let (mut last, mut quiet) = (tail.messages(), 0);
    wait_until("messages stop coming", FINISH, || {
        pace(Duration::from_millis(500));
        let messages = tail.messages();
        quiet = if messages == last { quiet + 1 } else { 0 };
        last = messages;
        quiet >= 6
    });
}

fn topic(product: Product) -> &'static str {
    if product == Product::Heatstream { "heat.input.v1" } else { "raw" }
}

fn form(product: Product) -> &'static str {
    if product == Product::Heatstream { "envelope" } else { "raw" }
}

/// What the example of mosquitto's configuration sets beside its address and folder.
fn limits_of_example() -> String {
    let text = fs::read_to_string(repository().join("deploy/mosquitto/mosquitto.conf"))
        .expect("the repository holds an example of mosquitto's configuration");
    let own = ["listener ", "allow_anonymous ", "persistence ", "persistence_location "];
    text.lines()
        .filter(|line| !line.starts_with('#') && !own.iter().any(|key| line.starts_with(key)))
        .collect::<Vec<_>>()
        .join("\n")
}
