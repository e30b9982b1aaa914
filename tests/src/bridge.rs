//! What carries messages from MQTT to Kafka: our gateway, or a peer in its place, as a process of its own.

use std::{
    fmt,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Process, free_port, heatstream, repository, require, site, wait_until};

const START: Duration = Duration::from_secs(90);

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// `heatstream gateway`.
    Heatstream,
    /// Telegraf as `tests/peers/telegraf.conf` sets it up.
    Telegraf,
    /// Telegraf that parses, as `tests/peers/telegraf-parsing.conf` says.
    TelegrafParsing,
    /// Benthos as `tests/peers/benthos.yaml` sets it up.
    Benthos,
    /// Benthos that parses, as `tests/peers/benthos-parsing.yaml` says.
    BenthosParsing,
}

impl fmt::Display for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Heatstream => "heatstream",
            Self::Telegraf => "Telegraf",
            Self::TelegrafParsing => "Telegraf, parsing",
            Self::Benthos => "Benthos",
            Self::BenthosParsing => "Benthos, parsing",
        })
    }
}

/// Where its messages come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A broker on this port, with this filter.
    Broker {
        /// On 127.0.0.1.
        port: u16,
        /// Topic filter, shared or not.
        filter: String,
    },
    /// Devices that connect to this port of its own. Heatstream only.
    Devices {
        /// On 127.0.0.1.
        port: u16,
    },
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu_s: f64,
    /// Largest resident memory, MiB.
    pub peak_mib: f64,
}

/// How it is set up.
#[derive(Debug, Clone)]
pub struct BridgeSettings {
    /// Whose.
    pub product: Product,
    /// Its name among several.
    pub name: String,
    /// Where messages come from.
    pub source: Source,
    /// Kafka's address, or a proxy's.
    pub brokers: String,
    /// Partitions of the input topic.
    pub partitions: u32,
    /// How soon a silent MQTT connection is noticed, roughly.
    pub keep_alive: Duration,
    /// Whether it has a buffer on disk; heatstream only.
    pub buffers: bool,
    /// What counts as fresh; its default if none; heatstream only.
    pub live_max_age: Option<Duration>,
}

/// A bridge; it ends with the test.
#[derive(Debug)]
pub struct Bridge {
    settings: BridgeSettings,
    program: PathBuf,
    folder: PathBuf,
    admin: u16,
    process: Option<Process>,
}

impl Bridge {
    /// Writes its configuration into the folder; `None`, with a line that says how to get it, where a peer is missing.
    pub fn new(settings: BridgeSettings, folder: &Path) -> Option<Self> {
        let program = match settings.product {
            Product::Heatstream => heatstream::binary(),
            Product::Telegraf | Product::TelegrafParsing => peer("telegraf")?,
            Product::Benthos | Product::BenthosParsing => peer("benthos")?,
        };
        let folder = folder.join(&settings.name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let bridge = Self { settings, program, folder, admin: free_port(), process: None };
        fs::write(bridge.config(), bridge.configuration()).expect("the temporary folder can be written");
        Some(bridge)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// Where it keeps what Kafka does not take; heatstream only.
    pub fn buffer(&self) -> PathBuf {
        self.folder.join("buffer")
    }

    /// How it is set up.
    pub fn settings(&self) -> &BridgeSettings {
        &self.settings
    }

    /// Starts it, without waiting. Its log goes on where it was.
    pub fn spawn(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the temporary folder can be written");
        let errors = log.try_clone().expect("a file handle can be doubled");
        let mut command = Command::new(&self.program);
        match self.settings.product {
            Product::Heatstream => command.args(["gateway", "--config"]).arg(self.config()),
            Product::Telegraf | Product::TelegrafParsing => command.arg("--config").arg(self.config()),
            Product::Benthos | Product::BenthosParsing => command.arg("-c").arg(self.config()),
        };
        // What it writes beside its configuration lies in a folder of its own.
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{} cannot run: {error}", self.program.display()));
        self.process = Some(Process(child));
    }

    /// Waits until it says that it is ready, where it can say so.
    pub fn wait_until_ready(&mut self) {
        let url = match self.settings.product {
            Product::Heatstream => format!("http://127.0.0.1:{}/readyz", self.admin),
            Product::Benthos | Product::BenthosParsing => format!("http://127.0.0.1:{}/ready", self.admin),
            Product::Telegraf | Product::TelegrafParsing => return,
        };
        wait_until(&format!("{} is ready; its log: {}", self.settings.name, self.log_tail()), START, || {
            assert!(!self.has_ended(), "{} ended at start: {}", self.settings.name, self.log_tail());
            site::is_ok(&url)
        });
    }

    /// Ends it the hard way.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to stop and waits for its end; the exit code, -1 if a signal ended it.
    pub fn stop(&mut self, within: Duration) -> i32 {
        let Some(mut process) = self.process.take() else { return -1 };
        Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().expect("kill can be run");
        let mut status = None;
        wait_until(&format!("{} ends", self.settings.name), within, || {
            status = process.0.try_wait().expect("the process can be asked");
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.0.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// The text of /metrics; heatstream only.
    pub fn metrics(&self) -> String {
        site::get(&format!("http://127.0.0.1:{}/metrics", self.admin)).unwrap_or_default()
    }

    /// What it used so far, as the kernel tells; nothing while it is down.
    pub fn usage(&self) -> Option<Usage> {
        let process = self.process.as_ref()?.0.id();
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        // utime and stime, fields 14 and 15, counted behind the name, which may hold anything.
        let stat = read("stat")?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let cpu_s = (ticks()? + ticks()?) as f64 / rustix::param::clock_ticks_per_second() as f64;
        let status = read("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib: u64 = peak.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Usage { cpu_s, peak_mib: peak_kib as f64 / 1024.0 })
    }

    /// All that it logged, over its restarts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Its last lines.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn configuration(&self) -> String {
        let BridgeSettings { product, name, source, brokers, partitions, keep_alive, buffers, live_max_age } =
            &self.settings;
        let seconds = keep_alive.as_secs();
        if *product == Product::Heatstream {
            let source = match source {
                Source::Broker { port, filter } => format!(
                    "[gateway.subscribe]\nhost = \"127.0.0.1\"\nport = {port}\nversion = \"5\"\nclient_id = \
                     \"{name}\"\nfilters = [\"{filter}\"]\nqos = 1\nkeep_alive = \"{seconds}s\"\nsession_expiry = \
                     \"7d\"\nin_flight_max = 2000\npacket_max_bytes = 1114112\n"
                ),
                Source::Devices { port } => format!("[gateway.listen]\naddress = \"127.0.0.1:{port}\"\n"),
            };
            let age = live_max_age.map(|age| format!("live_max_age = \"{}s\"\n", age.as_secs()));
            let age = age.unwrap_or_default();
            let buffer = if *buffers {
                format!(
                    "stall_after = \"2s\"\n[gateway.buffer]\ndirectory = \"{}\"\n",
                    self.buffer().display()
                )
            } else {
                String::new()
            };
            return format!(
                "[log]\nengine = \"kafka\"\npartitions = {partitions}\n[log.kafka]\nbrokers = \
                 \"{brokers}\"\ncompression = \"lz4\"\n[gateway]\nid = \"{name}\"\n{age}{buffer}{source}[admin]\naddress = \
                 \"127.0.0.1:{}\"\n[logging]\nfilter = \"info\"\nformat = \"json\"\n",
                self.admin
            );
        }
        let Source::Broker { port, filter } = source else { panic!("{product} is no MQTT server") };
        let file = match product {
            Product::Heatstream => unreachable!("its configuration is written above"),
            Product::Telegraf => "telegraf.conf",
            Product::TelegrafParsing => "telegraf-parsing.conf",
            Product::Benthos => "benthos.yaml",
            Product::BenthosParsing => "benthos-parsing.yaml",
        };
        let path = repository().join("tests/peers").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        [
            ("@NAME@", name.clone()),
            ("@MQTT_PORT@", port.to_string()),
            ("@FILTER@", filter.clone()),
            ("@KEEP_ALIVE_SECONDS@", seconds.to_string()),
            ("@BROKERS@", brokers.clone()),
            ("@ADMIN_PORT@", self.admin.to_string()),
            ("@FOLDER@", self.folder.display().to_string()),
        ]
        .into_iter()
        .fold(text, |text, (from, to)| text.replace(from, &to))
    }
}

/// Makes the topics as the gateway wants them; for one broker.
pub fn apply_topics(bridge: &Bridge) {
    let arguments = ["topics", "apply", "--replication", "1", "--config"].map(Into::into);
    heatstream::run(arguments.into_iter().chain([bridge.config().into_os_string()])).ended_with(0);
}

fn peer(name: &str) -> Option<PathBuf> {
    let cache =
        std::env::var_os("HEATSTREAM_SERVERS").map_or_else(|| repository().join(".cache"), PathBuf::from);
    let program = cache.join("peers").join(name);
    require(
        Some(program).filter(|program| program.is_file()),
        name,
        "run tests/peers/build.sh (needs Go 1.25)",
    )
}
