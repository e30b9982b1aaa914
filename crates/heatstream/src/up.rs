//! `heatstream up`: everything in one process.
//!
//! Stages end one after the other, each when it has drained: the simulated city, the gateway, processor and archiver,
//! then what people look at. What the audit then says is the proof.

mod demo;
mod watch;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::select_all;
use heat_api::Api;
use heat_archive::{Archive, Location};
use heat_archiver::{Archiver, ArchiverSettings};
use heat_exporter::Exporter;
use heat_gateway::Gateway;
use heat_ledger::repeats::RepeatSettings;
use heat_log::Log;
use heat_mqtt::settings::RawListen;
use heat_processor::Processor;
use heat_runtime::{
    Clock, ExitStatus, Shutdown, Tasks,
    admin::{Admin, Health},
    logging,
    metrics::Metrics,
    supervisor,
    tasks::{Chain, TaskError},
};

use crate::{
    Failure, audit,
    cli::{SimChoice, StateArguments, UpArguments},
    config::{Config, Defaults, RawConfig, Shared},
    data_dir::DataDir,
    out::{complain, say},
    single::{DRAIN, StopSignals},
    up::demo::Demo,
};

/// A small town in one process: windows and buffers that suit a few hundred megabytes.
const SMALL: &str = "[archive]\nbuffer_max_bytes = 33554432\ncommit_max_readings = 250000\n\
                     [logging]\nfilter = \"warn\"\n";

/// The window of repeats of `up` where nothing is configured: minutes of a small town's data.
pub(crate) const REPEATS: RepeatSettings =
    RepeatSettings { block_records: 1 << 16, block_readings_max: 1 << 17 };

/// Tasks that end together.
struct Stage {
    name: &'static str,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl Stage {
    fn new(name: &'static str) -> Self {
        let shutdown = Shutdown::default();
        Self { name, tasks: Tasks::new(shutdown.clone()), shutdown }
    }
}

/// Where things are, once they are bound.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    mqtt: Option<SocketAddr>,
    api: SocketAddr,
    admin: SocketAddr,
}

pub(crate) async fn run(arguments: UpArguments) -> Result<ExitStatus, Failure> {
    let signals = StopSignals::install()?;
    let clock = Clock;
    let is_simulated = arguments.sim != SimChoice::Off;
    let dir = DataDir::of(&arguments.data_dir, arguments.sim);
    dir.create()?;
    let (repaired, repairs) = tokio::sync::mpsc::channel(demo::REPAIRS_MAX);
    let demo = if is_simulated { Some(Demo::prepare(&dir, &arguments, clock, repairs)?) } else { None };
    let config = read_config(&arguments, &dir)?;
    logging::start(&config.shared.logging)
        .map_err(|error| Failure::new(ExitStatus::Configuration, error.to_string()))?;
    let log = config.shared.open_log().await?;
    let (archive, repeats) = (config.archiver.location.clone(), config.shared.repeats);

    let mut city = Stage::new("simulated city");
    let mut gate = Stage::new("gateway");
    let mut workers = Stage::new("processor and archiver");
    let mut windows = Stage::new("exporter and API");
    let stages = (&mut gate, &mut workers, &mut windows);
    let addresses = build(config, arguments.state, &log, clock, stages).await?;
    greet(&dir, &archive, addresses, arguments.sim);

    let live = Arc::new(tokio::sync::Notify::new());
    let labels = demo.as_ref().map(Demo::labels).unwrap_or_default();
    let watcher = watch::Watcher::new(&log, labels, repaired).await?;
    windows.tasks.spawn("incident watcher", watcher.run(windows.shutdown.clone()));
    match demo {
        Some(demo) => {
            let address = addresses.mqtt.ok_or_else(|| {
                Failure::new(ExitStatus::Configuration, "the simulated city needs [gateway.listen]")
            })?;
            demo.spawn(address, clock, Arc::clone(&live), &city.shutdown, &mut city.tasks);
        }
        None => {
            live.notify_one();
            let waiting = city.shutdown.clone();
            city.tasks.spawn("no simulated city", async move {
                waiting.begun().await;
                Ok::<(), std::io::Error>(())
            });
        }
    }

    let stop = stop(signals, arguments.duration, &live);
    let ended = run_stages(vec![city, gate, workers, windows], stop).await;
    let balance = audit::of_log(&archive, repeats, Some(&log)).await;
    log.close(Duration::from_secs(5)).await;
    let balance = balance?;
    audit::show(&balance, false);
    ended?;
    Ok(if balance.balances() { ExitStatus::Done } else { ExitStatus::Data })
}

fn read_config(arguments: &UpArguments, dir: &DataDir) -> Result<Config, Failure> {
    let mut raw = match &arguments.config {
        Some(path) => RawConfig::read(path)?,
        None => RawConfig::parse(SMALL)
            .map_err(|fault| Failure::new(ExitStatus::Configuration, fault.to_string()))?,
    };
    if raw.gateway.listen.is_none() && raw.gateway.subscribe.is_none() {
        raw.gateway.listen = Some(RawListen::default());
    }
    let plant = dir.plant();
    let defaults =
        Defaults { log: dir.log(), archive: dir.archive(), plant: plant.is_dir().then_some(plant) };
    raw.check_with(None, &defaults, REPEATS)
}

async fn build(
    config: Config,
    state: StateArguments,
    log: &Log,
    clock: Clock,
    (gate, workers, windows): (&mut Stage, &mut Stage, &mut Stage),
) -> Result<Addresses, Failure> {
    let (metrics, health) = (Metrics::default(), Health::default());
    metrics.describe_process(env!("CARGO_PKG_VERSION"), "up");
    crate::log_metrics::register(log, &metrics);
    let settings = config
        .gateway
        .ok_or_else(|| Failure::new(ExitStatus::Configuration, "`up` needs a [gateway] table"))?;
    let admin = Admin::bind(config.shared.admin, metrics.clone(), health.clone()).await?;
    let deps = api_deps(&config.shared, &config.archiver, log.clone(), &metrics, health.clone()).await?;
    let api = Api::build(config.api, deps).await?;
    let plant = config.shared.plant_source();
    let gateway = Gateway::build(settings, plant, log, clock, &metrics, health.clone()).await?;
    let plant = Arc::clone(&config.shared.plant);
    let processor =
        Processor::build(config.processor, plant, log.clone(), clock, &metrics, health.clone()).await?;
    let processor = with_state(processor, state, &config.archiver).await?;
    let plant = &config.shared.plant;
    let archiver =
        Archiver::build(config.archiver, log.clone(), clock, plant, &metrics, health.clone()).await?;
    let deps = exporter_deps(&config.shared, log.clone(), &metrics, health.clone());
    let exporter = Exporter::build(config.exporter, deps).await?;
    let addresses = Addresses { mqtt: gateway.mqtt_address(), api: api.address()?, admin: admin.address()? };

    gate.tasks.spawn("gateway", gateway.run(gate.shutdown.clone()));
    workers.tasks.spawn("processor", processor.run(workers.shutdown.clone()));
    workers.tasks.spawn("archiver", archiver.run(workers.shutdown.clone()));
    windows.tasks.spawn("exporter", exporter.run(windows.shutdown.clone()));
    windows.tasks.spawn("api", api.run(windows.shutdown.clone()));
    windows.tasks.spawn("supervisor", supervisor::report(health, windows.shutdown.clone()));
    windows.tasks.spawn("admin", admin.run(windows.shutdown.clone()));
    Ok(addresses)
}

/// The processor, with its state from where it is asked for.
pub(crate) async fn with_state(
    processor: Processor,
    state: StateArguments,
    archiver: &ArchiverSettings,
) -> Result<Processor, Failure> {
    if !state.rebuild_from_archive {
        return Ok(processor);
    }
    Ok(processor.rebuilding_from(Archive::open(&archiver.location).await?))
}

/// What the API is given; `up` and the role of its own give the same.
pub(crate) async fn api_deps(
    shared: &Shared,
    archiver: &ArchiverSettings,
    log: Log,
    metrics: &Metrics,
    health: Health,
) -> Result<heat_api::Deps, Failure> {
    let audit = audit::source(archiver.location.clone(), shared.repeats, log.clone());
    Ok(heat_api::Deps {
        log,
        metrics: metrics.clone(),
        health,
        clock: Clock,
        plant: Arc::clone(&shared.plant),
        archive: Some(Archive::open(&archiver.location).await?),
        audit: Some(audit),
    })
}

/// What the exporter is given.
pub(crate) fn exporter_deps(
    shared: &Shared,
    log: Log,
    metrics: &Metrics,
    health: Health,
) -> heat_exporter::Deps {
    let plant = Arc::clone(&shared.plant);
    heat_exporter::Deps { log, metrics: metrics.clone(), health, clock: Clock, plant }
}

/// Ends at a signal, or so long after going live.
async fn stop(mut signals: StopSignals, duration: Option<Duration>, live: &tokio::sync::Notify) {
    let elapsed = async {
        match duration {
            Some(duration) => {
                live.notified().await;
                tokio::time::sleep(duration).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.asked() => {}
        () = elapsed => {}
    }
}

/// Runs all stages until `stop` or the first failure, then ends them in order.
async fn run_stages(stages: Vec<Stage>, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let shutdowns: Vec<(&str, Shutdown)> =
        stages.iter().map(|stage| (stage.name, stage.shutdown.clone())).collect();
    let mut joins: Vec<_> = stages.into_iter().map(|stage| Some(Box::pin(stage.tasks.join(DRAIN)))).collect();
    let mut first: Option<TaskError> = None;
    {
        let running = joins.iter_mut().flatten();
        let mut running: Vec<_> = running.collect();
        tokio::select! {
            () = stop => {}
            (ended, index, _) = select_all(running.iter_mut()) => {
                if let Err(error) = ended {
                    complain(format!("{} ended: {}", shutdowns[index].0, Chain(&error)));
                    first = Some(error);
                }
                drop(running);
                joins[index] = None;
            }
        }
    }
    for ((name, shutdown), join) in shutdowns.iter().zip(joins) {
        shutdown.begin();
        let Some(join) = join else { continue };
        if let Err(error) = join.await {
            complain(format!("{name} did not drain: {}", Chain(&error)));
            first.get_or_insert(error);
        }
    }
    match first {
        None => Ok(()),
        Some(error @ TaskError::DrainTimedOut(_)) => {
            Err(Failure::new(ExitStatus::DrainTimedOut, error.to_string()))
        }
        Some(error) => Err(Failure::of(&error)),
    }
}

fn greet(dir: &DataDir, archive: &Location, addresses: Addresses, sim: SimChoice) {
    let (network, site) = match sim {
        SimChoice::Demo => ("demo-north", "my-site"),
        SimChoice::Conversion => ("demo-works", "my-site"),
        SimChoice::Off => ("my-network", "my-site"),
    };
    say(format!("heatstream 暖流 is up; data in {}", dir.root().display()));
    if let Some(mqtt) = addresses.mqtt {
        say(format!("  MQTT      {mqtt}"));
        say(format!(
            "            mosquitto_pub -h {} -p {} -q 1 -t heat/v1/{network}/{site}/meter \
             -m '{{\"values\": {{\"supply_temperature\": 81.2}}}}'",
            mqtt.ip(),
            mqtt.port()
        ));
    }
    say(format!("  API       http://{}   (a page for people at /)", addresses.api));
    say(format!("            curl http://{}/api/v1/incidents", addresses.api));
    say(format!("  metrics   http://{}/metrics", addresses.admin));
    say(format!("            curl -s http://{}/metrics | grep my-site", addresses.admin));
    say(format!("  archive   {archive}"));
    say(format!(
        "            duckdb -c \"SELECT network, count(*), max(event_time) FROM \
         read_parquet('{archive}/readings/**/*.parquet', hive_partitioning = false) GROUP BY network\""
    ));
    say("  stop      Ctrl-C: drains, then proves that nothing was lost");
}
