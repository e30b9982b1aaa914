//! The command line's shape. The names are the interface's contract.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use heat_archive::{Access, Dataset, Location};

/// heatstream (暖流): telemetry of district heating, from MQTT through the log to incidents, Parquet and metrics.
#[derive(Debug, Parser)]
#[command(name = "heatstream", version, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: MQTT, log, detection, Parquet, metrics, API, and a simulated city or your sensors.
    #[command(
        after_help = "Examples:\n  heatstream up                        the simulated city, until Ctrl-C\n  heatstream up --for 90s              the same, for 90 s after it went live\n  heatstream up --sim off              your own sensors over MQTT\n  heatstream up --sim conversion       a network half converted from steam to hot water"
    )]
    Up(UpArguments),
    /// The MQTT gateway alone.
    Gateway(RoleArguments),
    /// The stream processor alone.
    Processor(ProcessorArguments),
    /// The Parquet archiver alone.
    Archiver(RoleArguments),
    /// The Prometheus exporter alone.
    Exporter(RoleArguments),
    /// The HTTP API alone.
    Api(RoleArguments),
    /// Every fault of configuration and plant model, with key and line; exit code 64 if there is one.
    Check(RoleArguments),
    /// Every metric that the roles and tools export, as Markdown: `deploy/prometheus/METRICS.md` is its output.
    Metrics,
    /// A simulated city over MQTT.
    Sim(SimArguments),
    /// Recorded history over MQTT.
    Replay(ReplayArguments),
    /// What would have been found in a recorded past, where, when, and at what rate of false alarms; judged by labels.
    #[command(
        after_help = "Examples:\n  heatstream backtest --mapping winter.toml winter/*.csv --plant plant --labels repairs.csv\n  heatstream backtest --archive heatstream-data/archive --format html --output winter.html"
    )]
    Backtest(crate::backtest::BacktestArguments),
    /// Conservation: proves that no reading was lost, invented or doubled; exit code 0 only when it balances.
    Audit(AuditArguments),
    /// Lists and verifies the archive.
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Plans and creates the topics of the log.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Lists incidents and changes their state, through the API.
    #[command(subcommand)]
    Incidents(IncidentsCommand),
    /// Maintenance windows: takes a place out of service for a time, so that nothing there pages.
    #[command(
        subcommand,
        after_help = "Examples:\n  heatstream maintenance add valve-7 --network north --place north-st07 --until 2026-11-28T18:00:00+08:00 --reason \"new valve\"\n  heatstream maintenance end valve-7 --network north"
    )]
    Maintenance(MaintenanceCommand),
    /// Says where a circuit is in its year: off, wet_layup, filling, pressure_test, cold_circulation, heating_up,
    /// heating, shutting_down or repair.
    Season(SeasonArguments),
    /// Dead letters: what could not be taken, why and where, and taking it again once the mapping is mended.
    #[command(
        subcommand,
        after_help = "Examples:\n  heatstream rejected list --reason unknown_unit\n  heatstream rejected show 0-17\n  heatstream rejected requeue 0-17 0-18     once mapping or plant model has what was missing"
    )]
    Rejected(RejectedCommand),
    /// What failed, what it cost, what was repaired, and how the city was heated: each figure with its denominator.
    #[command(
        subcommand,
        after_help = "Examples:\n  heatstream report season --config archiver.toml --output season.html\n  heatstream report day --data-dir heatstream-data --lang en --format csv\n  heatstream report season --archive /data/archive --plant plant --from 2026-11-15 --to 2027-03-16"
    )]
    Report(crate::report::ReportCommand),
    /// Measures throughput, cost and latency on this machine.
    Bench(heat_bench::BenchArguments),
}

impl Command {
    /// Whether it is a process that stays.
    pub(crate) const fn runs_on(&self) -> bool {
        matches!(
            self,
            Self::Up(_)
                | Self::Gateway(_)
                | Self::Processor(_)
                | Self::Archiver(_)
                | Self::Exporter(_)
                | Self::Api(_)
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where log, archive and plant model lie.
    #[arg(long, value_name = "DIR", default_value = "heatstream-data")]
    pub(crate) data_dir: PathBuf,
    /// The simulated city, or none.
    #[arg(long, value_enum, default_value_t = SimChoice::Demo)]
    pub(crate) sim: SimChoice,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// Stop so long after going live, such as 90s.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Days of history that the simulated city loads at its first start.
    #[arg(long, value_name = "DAYS", default_value_t = 21)]
    pub(crate) history_days: u32,
    /// Seed of the simulated city.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimChoice {
    /// Three hot-water networks; a pipe bursts within a minute.
    Demo,
    /// A network half converted from steam to hot water, ten days after its history begins; a steam main leaks within a
    /// minute.
    Conversion,
    /// None: your own sensors.
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct RoleArguments {
    /// Configuration file (TOML); `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ProcessorArguments {
    #[command(flatten)]
    pub(crate) role: RoleArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

/// Where the processor's state comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct StateArguments {
    /// Take no stored state: rebuild it from the archive ([archive] location), after an upgrade that cannot read the old one or
    /// where it is damaged. Incidents keep their ids.
    #[arg(long)]
    pub(crate) rebuild_from_archive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SimArguments {
    /// Plan of the city (TOML); the demo city by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) city: Option<PathBuf>,
    /// Scripted events (TOML); a random everyday script by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// MQTT broker or gateway.
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) mqtt: String,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Start this many times faster than real time in the past, loaded as history, then live at 1x: 60x, 3600x, ...
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = speed)]
    pub(crate) speed: f64,
    /// How long the city's time runs, such as 1d.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Write what really happened into this file (CSV).
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Write the city's plant tables into this folder and end.
    #[arg(long, value_name = "DIR")]
    pub(crate) plant: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// Mapping of the columns (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: PathBuf,
    /// Recorded files (CSV); `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// MQTT broker or gateway.
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) mqtt: String,
    /// Pace: `max`, or so many times faster than it was recorded, such as 60x.
    #[arg(long, value_name = "FACTOR", default_value = "max", value_parser = pace)]
    pub(crate) speed: Pace,
    /// Send as live data; history by default.
    #[arg(long)]
    pub(crate) live: bool,
}

/// How fast recorded data go out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    Max,
    Times(f64),
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory of `up`.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// First hour of receipt (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Hour of receipt to stop before (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Judge by archive and ledger alone: the log is out of reach, or in use by a running `up`.
    #[arg(long)]
    pub(crate) without_log: bool,
    /// Show each gateway's hours too.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) by: Option<AuditBy>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditBy {
    Gateway,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// What the archive holds.
    List {
        #[command(flatten)]
        archive: ArchiveLocation,
        /// The files that together hold every row once: an atomic set for readers.
        #[arg(long)]
        files: bool,
        /// The data set whose files are listed.
        #[arg(long, value_name = "NAME", default_value = "readings", value_parser = dataset)]
        dataset: Dataset,
    },
    /// Proves that the archive is whole: no hole, no overlap, every row as it was written.
    Verify {
        #[command(flatten)]
        archive: ArchiveLocation,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes one sorted file of the many of each closed date and network, leaves repeats out, and sums up the hours.
    Compact {
        #[command(flatten)]
        archive: ArchiveLocation,
        /// Dates before this one are closed; default: those that ended 6 hours ago, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        before: Option<i64>,
        /// How long replaced files stay for readers that work with an older list.
        #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
        grace: Duration,
        /// Reads every file of closed dates, and sets aside what is damaged; otherwise what is merged is read, and what is
        /// gone or has another size.
        #[arg(long)]
        check: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gives up dates that are older than asked for; the next compaction deletes their files.
    Retain {
        #[command(flatten)]
        archive: ArchiveLocation,
        /// What to keep, such as readings=3650d; data sets that are not named are kept whole.
        #[arg(long, value_name = "NAME=TIME", required = true, value_parser = kept)]
        keep: Vec<(Dataset, i64)>,
        /// Say what would go, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Erases the readings of one site from every file, at once and for good.
    Erase {
        #[command(flatten)]
        archive: ArchiveLocation,
        /// Its network.
        #[arg(long, value_name = "ID")]
        network: String,
        /// The site.
        #[arg(long, value_name = "ID")]
        site: String,
        /// Only what was measured at this time or later (RFC 3339).
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only what was measured before this.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ArchiveLocation {
    /// The archive: a folder, or a bucket such as s3://bucket/prefix.
    #[arg(long = "archive", value_name = "URL")]
    pub(crate) url: String,
    /// Where the bucket's store listens; default: the vendor's own address, or what the environment says.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The store's region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// File of NAME=value lines with the store's credentials; default: the environment.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
}

impl ArchiveLocation {
    pub(crate) fn location(&self) -> Location {
        let (endpoint, region) = (self.endpoint.clone(), self.region.clone());
        let credentials_file = self.credentials_file.clone();
        Location::from(&self.url).with_access(Access {
            endpoint,
            region,
            credentials_file,
            request_timeout: None,
        })
    }
}

fn dataset(text: &str) -> Result<Dataset, String> {
    let names = || Dataset::ALL.map(Dataset::folder).join(", ");
    let found = Dataset::ALL.into_iter().find(|dataset| dataset.folder() == text);
    found.ok_or_else(|| format!("the data sets are {}", names()))
}

fn date(text: &str) -> Result<i64, String> {
    heat_archive::layout::day_of_date(text).ok_or_else(|| "write a date as 2026-11-24".to_owned())
}

/// A data set and how many days of it are kept.
fn kept(text: &str) -> Result<(Dataset, i64), String> {
    let (name, age) = text.split_once('=').ok_or("write NAME=TIME, such as readings=3650d")?;
    let days = duration(age)?.as_secs().div_ceil(86_400);
    Ok((dataset(name)?, i64::try_from(days).unwrap_or(i64::MAX)))
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// What would be created or changed.
    Plan(TopicsArguments),
    /// Creates and changes.
    Apply(TopicsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TopicsArguments {
    /// Configuration file (TOML); `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Replication factor of topics that are created.
    #[arg(long, default_value_t = 3)]
    pub(crate) replication: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ApiArguments {
    /// The API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", global = true)]
    pub(crate) api: String,
    /// File with the API token.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// As JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// Open incidents, worst first.
    List {
        /// Closed ones too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// One incident with its evidence and history.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Acknowledge it.
    Ack {
        /// Its id.
        id: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Silence it for a time.
    Shelve {
        /// Its id.
        id: String,
        /// Until when (RFC 3339).
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// End a shelving early.
    Unshelve {
        /// Its id.
        id: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Move its repair work on.
    Work {
        /// Its id.
        id: String,
        /// dispatched, accepted, on_site, valves_closed, excavating, repaired, refilled, restored, closed, ...
        state: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Say that it is repaired; the data will verify it.
    Repaired {
        /// Its id.
        id: String,
        /// The pipe that was broken.
        #[arg(long)]
        pipe: Option<String>,
        /// Where on it, in words.
        #[arg(long)]
        location: Option<String>,
        /// Why it broke.
        #[arg(long)]
        cause: Option<String>,
        /// Loss found, in kg/s.
        #[arg(long, value_name = "KG_S")]
        size_kg_s: Option<f64>,
        #[command(flatten)]
        api: ApiArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Begins a window; one of the same name is replaced.
    Add {
        /// Its name, unique in its network.
        name: String,
        /// The network.
        #[arg(long, value_name = "ID")]
        network: String,
        /// A site or pipe; the whole network without it.
        #[arg(long, value_name = "ID")]
        place: Option<String>,
        /// Until when (RFC 3339), at most 30 days ahead.
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// The windows that hold now.
    List {
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Ends a window before its time.
    End {
        /// Its name.
        name: String,
        /// The network.
        #[arg(long, value_name = "ID")]
        network: String,
        #[command(flatten)]
        api: ApiArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SeasonArguments {
    /// The circuit.
    pub(crate) circuit: String,
    /// Its new state.
    pub(crate) state: String,
    #[command(flatten)]
    pub(crate) api: ApiArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RejectedCommand {
    /// The newest dead letters: time, topic, client, reason and place, and whether they were taken again since.
    List(RejectedListArguments),
    /// One of them with its payload, each fault's place marked.
    Show {
        /// Its id, PARTITION-OFFSET.
        id: String,
        /// All of the payload.
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Take them again, with today's mapping and plant model; exit code 65 if one is refused.
    Requeue {
        /// Their ids, PARTITION-OFFSET.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Those too that were asked for before.
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        api: ApiArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RejectedListArguments {
    /// With this reason.
    #[arg(long, value_name = "WORD")]
    pub(crate) reason: Option<String>,
    /// Of this network, as far as the topic names it.
    #[arg(long, value_name = "ID")]
    pub(crate) network: Option<String>,
    /// Under this MQTT topic; `+` and `#` as in a filter.
    #[arg(long, value_name = "FILTER")]
    pub(crate) topic: Option<String>,
    /// Received at or after (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Received before (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Most to list.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) api: ApiArguments,
}

fn duration(text: &str) -> Result<Duration, String> {
    heat_runtime::config::parse_duration(text)
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(factor) if factor >= 1.0 && factor.is_finite() => Ok(factor),
        _ => Err(format!("{text:?} is not a factor of at least 1; write \"60x\"")),
    }
}

fn pace(text: &str) -> Result<Pace, String> {
    if text == "max" { Ok(Pace::Max) } else { speed(text).map(Pace::Times) }
}
