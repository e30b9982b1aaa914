//! The one configuration document: a table a role, all faults at once.

use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use heat_api::{RawApi, Settings as ApiSettings};
use heat_archiver::{ArchiverSettings, RawArchive};
use heat_codec::plant::{NetworkLevel, PlantFault};
use heat_detect::DetectSettings;
use heat_exporter::{RawExporter, Settings as ExporterSettings};
use heat_gateway::{GatewaySettings, RawGateway, plant::PlantFiles};
use heat_ledger::repeats::RepeatSettings;
use heat_log::{
    EmbeddedSettings, KafkaSettings, Log, OpenError, Retention, TopicError, TopicSpec,
    settings::{RawEmbedded, RawKafka},
    topics::{CITY, product_topics},
};
use heat_model::plant::PlantModel;
use heat_mqtt::settings::SecretSource;
use heat_processor::{ProcessorSettings, RawProcessor};
use heat_runtime::{
    ExitStatus, admin,
    config::{Document, Fault, environment, parse_duration},
    logging::RawLogging,
};
use serde::Deserialize;

use crate::{Failure, single::Role};

const TABLES: [&str; 9] =
    ["log", "plant", "gateway", "processor", "archive", "exporter", "api", "admin", "logging"];
const PARTITIONS: u32 = 4;
const PARTITIONS_MAX: u32 = 1_024;
/// How often a Kafka that did not answer at the start is asked about its topics.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// The `[log]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    /// `embedded` or `kafka`.
    engine: Engine,
    /// Partitions of the input; changing it is a migration.
    partitions: Option<u32>,
    /// How long the input is kept, such as "14d".
    retention: Option<String>,
    /// Records in a block of the window of repeats.
    repeat_block_records: Option<u64>,
    /// Readings after which a block is cut early.
    repeat_block_readings_max: Option<usize>,
    embedded: RawEmbedded,
    kafka: RawKafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    #[default]
    Embedded,
    Kafka,
}

/// The `[plant]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPlant {
    /// Folder with the plant tables (CSV), or one TOML file.
    directory: Option<PathBuf>,
}

/// The `[admin]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAdmin {
    /// Address of metrics and health.
    address: Option<String>,
    /// Allows an address that is neither loopback nor private: something else keeps others away from it.
    any_address: bool,
}

/// The document's tables as written.
#[derive(Debug, Default)]
pub(crate) struct RawConfig {
    document: Document,
    log: RawLog,
    plant: RawPlant,
    pub(crate) gateway: RawGateway,
    processor: RawProcessor,
    pub(crate) archive: RawArchive,
    exporter: RawExporter,
    api: RawApi,
    admin: RawAdmin,
    logging: RawLogging,
    faults: Vec<Fault>,
}

/// Which log.
#[derive(Debug, Clone)]
pub(crate) enum LogSettings {
    Embedded(EmbeddedSettings),
    Kafka(KafkaSettings),
}

/// What the plant tables leave unsaid, and what that leaves to be said of each network.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlantNotes {
    pub(crate) warnings: Vec<PlantFault>,
    /// Warnings beyond those.
    pub(crate) more: usize,
    pub(crate) levels: Vec<NetworkLevel>,
}

/// What several roles share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) log: LogSettings,
    pub(crate) topics: Vec<TopicSpec>,
    pub(crate) repeats: RepeatSettings,
    pub(crate) plant: Arc<PlantModel>,
    /// Where the plant tables are, if there are any.
    pub(crate) plant_path: Option<PathBuf>,
    /// What they leave unsaid.
    pub(crate) plant_notes: PlantNotes,
    pub(crate) admin: SocketAddr,
    pub(crate) logging: RawLogging,
}

/// Everything, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) shared: Shared,
    pub(crate) gateway: Option<GatewaySettings>,
    pub(crate) processor: ProcessorSettings,
    pub(crate) archiver: ArchiverSettings,
    pub(crate) exporter: ExporterSettings,
    pub(crate) api: ApiSettings,
}

/// Folders that defaults point into.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) log: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) plant: Option<PathBuf>,
}

impl Default for Defaults {
    fn default() -> Self {
        let base = PathBuf::from("heatstream-data");
        Self { log: base.join("log"), archive: base.join("archive"), plant: None }
    }
}

impl RawConfig {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.map_err(|error| {
            Failure::new(ExitStatus::Configuration, format!("cannot read {}: {error}", path.display()))
        })?;
        Self::parse(&text).map_err(|fault| failure(&[fault]))
    }

    /// Reads the document's tables; faults of shape are kept for [`Self::check`].
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let document = Document::parse(text)?;
        let mut faults = document.unknown_tables(&TABLES);
        Ok(Self {
            log: document.table("log", &mut faults),
            plant: document.table("plant", &mut faults),
            gateway: document.table("gateway", &mut faults),
            processor: document.table("processor", &mut faults),
            archive: document.table("archive", &mut faults),
            exporter: document.table("exporter", &mut faults),
            api: document.table("api", &mut faults),
            admin: document.table("admin", &mut faults),
            logging: document.table("logging", &mut faults),
            document,
            faults,
        })
    }

    /// Checks everything that this role (or `up`, for `None`) needs; all faults at once.
    pub(crate) fn check(self, role: Option<Role>, defaults: &Defaults) -> Result<Config, Failure> {
        self.check_with(role, defaults, RepeatSettings::default())
    }

    /// The same with another window of repeats where none is configured.
    pub(crate) fn check_with(
        self,
        role: Option<Role>,
        defaults: &Defaults,
        default_repeats: RepeatSettings,
    ) -> Result<Config, Failure> {
        let Self { document, mut faults, .. } = self;
        let repeats = repeats(&self.log, default_repeats, &mut faults);
        let mut topics = topics(&self.log, &mut faults);
        // Whoever does not write it needs no such topic.
        topics.retain(|topic| self.api.city_topic || topic.name != CITY);
        let log = log(&self.log, defaults, role.is_some(), &mut faults);
        let plant_path = self.plant.directory.or_else(|| defaults.plant.clone());
        let (plant, plant_notes) = plant(plant_path.as_deref(), &mut faults);
        let admin = admin_address(&self.admin, &mut faults);
        // A file of another role has no gateway table, and `check` takes it as it is.
        let gateway = if role == Some(Role::Gateway) || !self.gateway.is_empty() {
            keep(GatewaySettings::from_raw(self.gateway, secrets()), &mut faults)
        } else {
            None
        };
        let processor = keep(ProcessorSettings::from_raw(self.processor, repeats), &mut faults);
        let archiver =
            keep(ArchiverSettings::from_raw(self.archive, defaults.archive.clone(), repeats), &mut faults);
        let exporter = keep(ExporterSettings::from_raw(&self.exporter), &mut faults);
        let api = keep(ApiSettings::from_raw(&self.api), &mut faults);
        if faults.is_empty()
            && let (Some(log), Some(processor), Some(archiver), Some(exporter), Some(api)) =
                (log, processor, archiver, exporter, api)
        {
            let shared = Shared {
                log,
                topics,
                repeats,
                plant: Arc::new(plant),
                plant_path,
                plant_notes,
                admin,
                logging: self.logging,
            };
            return Ok(Config { shared, gateway, processor, archiver, exporter, api });
        }
        document.locate(&mut faults);
        faults.sort_by_key(|fault| fault.line);
        Err(failure(&faults))
    }
}

impl RawConfig {
    /// What the detectors are set to; of the rest of the document only its shape is checked, as no role runs.
    pub(crate) fn detect_settings(self) -> Result<DetectSettings, Failure> {
        let Self { document, mut faults, .. } = self;
        let processor =
            keep(ProcessorSettings::from_raw(self.processor, RepeatSettings::default()), &mut faults);
        if let Some(processor) = processor.filter(|_| faults.is_empty()) {
            return Ok(processor.detect);
        }
        document.locate(&mut faults);
        faults.sort_by_key(|fault| fault.line);
        Err(failure(&faults))
    }
}

/// The faults as one failure, a line each.
fn failure(faults: &[Fault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
    Failure::new(
        ExitStatus::Configuration,
        format!("{} fault(s) in the configuration:\n{}", faults.len(), lines.join("\n")),
    )
}

fn keep<T>(checked: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    match checked {
        Ok(settings) => Some(settings),
        Err(found) => {
            faults.extend(found);
            None
        }
    }
}

fn secrets() -> SecretSource<'static> {
    SecretSource { environment: &environment, file: &|path| std::fs::read_to_string(path) }
}

fn repeats(log: &RawLog, mut repeats: RepeatSettings, faults: &mut Vec<Fault>) -> RepeatSettings {
    match log.repeat_block_records {
        None => {}
        Some(records @ 1_024..=0x1000_0000) => repeats.block_records = records,
        Some(_) => faults.push(Fault::new("log.repeat_block_records", "must lie between 1024 and 268435456")),
    }
    match log.repeat_block_readings_max {
        None => {}
        Some(readings @ 10_000..=0x1000_0000) => repeats.block_readings_max = readings,
        Some(_) => {
            faults.push(Fault::new("log.repeat_block_readings_max", "must lie between 10000 and 268435456"));
        }
    }
    repeats
}

fn topics(log: &RawLog, faults: &mut Vec<Fault>) -> Vec<TopicSpec> {
    let partitions = log.partitions.unwrap_or(PARTITIONS);
    if partitions == 0 || partitions > PARTITIONS_MAX {
        faults.push(Fault::new("log.partitions", format!("must lie between 1 and {PARTITIONS_MAX}")));
    }
    let age = match log.retention.as_deref().unwrap_or("14d") {
        "forever" => None,
        text => match parse_duration(text) {
            Ok(age) => Some(age),
            Err(problem) => {
                faults.push(Fault::new("log.retention", problem));
                None
            }
        },
    };
    product_topics(partitions.clamp(1, PARTITIONS_MAX), Retention { age, bytes: None })
}

fn log(log: &RawLog, defaults: &Defaults, single: bool, faults: &mut Vec<Fault>) -> Option<LogSettings> {
    let prefixed = |table: &str, found: Vec<heat_log::settings::SettingsFault>| {
        found.into_iter().map(|fault| Fault::new(format!("log.{table}.{}", fault.key), fault.fault)).collect()
    };
    match log.engine {
        Engine::Embedded if single => {
            faults.push(Fault::new(
                "log.engine",
                "roles in processes of their own share Kafka: set engine = \"kafka\" and [log.kafka] brokers; \
                 the embedded log serves one process, `heatstream up`",
            ));
            None
        }
        Engine::Embedded => {
            let checked = EmbeddedSettings::from_raw(log.embedded.clone(), defaults.log.clone());
            keep(checked.map_err(|found| prefixed("embedded", found)), faults).map(LogSettings::Embedded)
        }
        Engine::Kafka => {
            let checked = KafkaSettings::from_raw(log.kafka.clone());
            keep(checked.map_err(|found| prefixed("kafka", found)), faults).map(LogSettings::Kafka)
        }
    }
}

/// Reads the plant tables of a folder, or one file; no path is no plant model.
fn plant(path: Option<&Path>, faults: &mut Vec<Fault>) -> (PlantModel, PlantNotes) {
    let Some(path) = path else { return Default::default() };
    let report = PlantFiles::new(path.to_path_buf()).read();
    let notes = PlantNotes { warnings: report.warnings, more: report.more_warnings, levels: report.levels };
    match report.outcome {
        Ok(model) => (model, notes),
        Err(found) => {
            for PlantFault { file, line, column, problem, remedy } in found.faults {
                let place = match (line, column.as_str()) {
                    (0, "") => format!("plant {file}"),
                    (line, "") => format!("plant {file}:{line}"),
                    (0, column) => format!("plant {file}: {column}"),
                    (line, column) => format!("plant {file}:{line}: {column}"),
                };
                faults.push(Fault::new(place, format!("{problem}; {remedy}")));
            }
            if found.more > 0 {
                faults.push(Fault::new("plant", format!("{} more faults; mend these first", found.more)));
            }
            (PlantModel::default(), notes)
        }
    }
}

fn admin_address(raw: &RawAdmin, faults: &mut Vec<Fault>) -> SocketAddr {
    let Some(text) = &raw.address else { return admin::DEFAULT_ADDRESS };
    match text.parse::<SocketAddr>() {
        Ok(address) if raw.any_address || is_private(address.ip()) => address,
        Ok(_) => {
            faults.push(Fault::new(
                "admin.address",
                "metrics and health have no users: bind them to loopback or a private address (10/8, 172.16/12, \
                 192.168/16, fc00::/7) that only your monitoring reaches; in a container whose network keeps others \
                 away, any_address = true allows 0.0.0.0",
            ));
            admin::DEFAULT_ADDRESS
        }
        Err(_) => {
            faults.push(Fault::new(
                "admin.address",
                format!("{text:?} is not an address; write \"127.0.0.1:9464\""),
            ));
            admin::DEFAULT_ADDRESS
        }
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

impl Shared {
    /// The plant tables and what they were read as.
    pub(crate) fn plant_source(&self) -> Option<(PathBuf, Arc<PlantModel>)> {
        self.plant_path.clone().map(|path| (path, Arc::clone(&self.plant)))
    }

    /// Opens the log; the embedded one creates its topics, Kafka's must be there.
    pub(crate) async fn open_log(&self) -> Result<Log, Failure> {
        let log = match &self.log {
            LogSettings::Embedded(settings) => Log::open_embedded(settings.clone())?,
            LogSettings::Kafka(settings) => Log::connect_kafka(settings.clone()).await?,
        };
        log.ensure_topics(&self.topics).await?;
        Ok(log)
    }

    /// The same for a gateway with a buffer, which takes messages while no broker answers. `true`: its topics are taken
    /// on trust, and [`Self::confirm_topics`] has to follow.
    pub(crate) async fn open_log_of_gateway(&self) -> Result<(Log, bool), Failure> {
        let LogSettings::Kafka(settings) = &self.log else { return Ok((self.open_log().await?, false)) };
        match Log::connect_kafka(settings.clone()).await {
            Ok(log) => {
                log.ensure_topics(&self.topics).await?;
                Ok((log, false))
            }
            Err(error @ OpenError::KafkaUnreachable { .. }) => {
                tracing::warn!(%error, "starting without Kafka: messages go to the buffer until it answers");
                Ok((Log::trust_kafka(settings.clone(), &self.topics)?, true))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a broker, and fails if the topics are not as they were taken to be.
    pub(crate) async fn confirm_topics(topics: Vec<TopicSpec>, log: Log) -> Result<(), TopicError> {
        loop {
            match log.ensure_topics(&topics).await {
                Err(TopicError::Engine { .. }) => tokio::time::sleep(CONFIRM_EVERY).await,
                outcome => return outcome,
            }
        }
    }
}
