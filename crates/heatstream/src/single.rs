//! One role in a process of its own, on Kafka.

use std::{sync::Arc, time::Duration};

use heat_api::Api;
use heat_archiver::Archiver;
use heat_exporter::Exporter;
use heat_gateway::{Gateway, GatewaySettings};
use heat_log::{Log, TopicError};
use heat_processor::Processor;
use heat_runtime::{
    Clock, ExitStatus, Shutdown, Tasks,
    admin::{Admin, Health},
    logging,
    metrics::Metrics,
    supervisor,
    tasks::TaskError,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    Failure,
    cli::{RoleArguments, StateArguments},
    config::{Config, Defaults, RawConfig, Shared},
};

/// How long a role may take to drain.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Processor(StateArguments),
    Archiver,
    Exporter,
    Api,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Processor(_) => "processor",
            Self::Archiver => "archiver",
            Self::Exporter => "exporter",
            Self::Api => "api",
        }
    }
}

pub(crate) async fn run(role: Role, arguments: RoleArguments) -> Result<ExitStatus, Failure> {
    // First of all: who asks for the end while a start takes its time is heard, too.
    let mut signals = StopSignals::install()?;
    let config = RawConfig::read(&arguments.config)?.check(Some(role), &Defaults::default())?;
    logging::start(&config.shared.logging)
        .map_err(|error| Failure::new(ExitStatus::Configuration, error.to_string()))?;
    let (mut tasks, log) = tokio::select! {
        started = start(role, config) => started?,
        () = signals.asked() => return Ok(ExitStatus::Done),
    };
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("signals", async move {
        tokio::select! {
            () = signals.asked() => shutdown.begin(),
            () = shutdown.begun() => {}
        }
        Ok::<(), std::io::Error>(())
    });
    let ended = tasks.join(DRAIN).await;
    log.close(Duration::from_secs(5)).await;
    match ended {
        Ok(()) => Ok(ExitStatus::Done),
        Err(error @ TaskError::DrainTimedOut(_)) => {
            Err(Failure::new(ExitStatus::DrainTimedOut, error.to_string()))
        }
        Err(error) => Err(Failure::of(&error)),
    }
}

/// The role's tasks, running, and the log to close behind them.
async fn start(role: Role, config: Config) -> Result<(Tasks, Log), Failure> {
    let (metrics, health, clock) = (Metrics::default(), Health::default(), Clock);
    let admin = Admin::bind(config.shared.admin, metrics.clone(), health.clone()).await?;
    let buffers = role == Role::Gateway
        && config.gateway.as_ref().is_some_and(|gateway: &GatewaySettings| gateway.buffer.is_some());
    metrics.describe_process(env!("CARGO_PKG_VERSION"), role.as_str());
    let reported = health.clone();
    let (log, is_trusted) = if buffers {
        config.shared.open_log_of_gateway().await?
    } else {
        (config.shared.open_log().await?, false)
    };
    crate::log_metrics::register(&log, &metrics);
    let mut tasks = Tasks::new(Shutdown::default());
    let shutdown = tasks.shutdown().clone();
    match role {
        Role::Gateway => {
            let settings = config.gateway.ok_or_else(|| {
                Failure::new(ExitStatus::Configuration, "the gateway needs a [gateway] table")
            })?;
            let plant = config.shared.plant_source();
            let gateway = Gateway::build(settings, plant, &log, clock, &metrics, health).await?;
            tasks.spawn("gateway", gateway.run(shutdown.clone()));
        }
        Role::Processor(state) => {
            let plant = Arc::clone(&config.shared.plant);
            let processor =
                Processor::build(config.processor, plant, log.clone(), clock, &metrics, health).await?;
            let processor = crate::up::with_state(processor, state, &config.archiver).await?;
            tasks.spawn("processor", processor.run(shutdown.clone()));
        }
        Role::Archiver => {
            let plant = &config.shared.plant;
            let archiver =
                Archiver::build(config.archiver, log.clone(), clock, plant, &metrics, health).await?;
            tasks.spawn("archiver", archiver.run(shutdown.clone()));
        }
        Role::Exporter => {
            let exporter = Exporter::build(
                config.exporter,
                crate::up::exporter_deps(&config.shared, log.clone(), &metrics, health),
            )
            .await?;
            tasks.spawn("exporter", exporter.run(shutdown.clone()));
        }
        Role::Api => {
            let deps =
                crate::up::api_deps(&config.shared, &config.archiver, log.clone(), &metrics, health).await?;
            let api = Api::build(config.api, deps).await?;
            tasks.spawn("api", api.run(shutdown.clone()));
        }
    }
    if is_trusted {
        let (topics, log, shutdown) = (config.shared.topics.clone(), log.clone(), shutdown.clone());
        tasks.spawn("topics", async move {
            tokio::select! {
                confirmed = Shared::confirm_topics(topics, log) => confirmed?,
                () = shutdown.begun() => {}
            }
            shutdown.begun().await;
            Ok::<(), TopicError>(())
        });
    }
    tasks.spawn("admin", admin.run(shutdown.clone()));
    tasks.spawn("supervisor", supervisor::report(reported, shutdown));
    Ok((tasks, log))
}

/// SIGINT and SIGTERM, caught from [`StopSignals::install`] on.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns when one of them has come, also before the call.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for SIGINT, SIGTERM or shutdown.
pub(crate) async fn stop_asked(shutdown: &Shutdown) -> std::io::Result<()> {
    let mut signals = StopSignals::install()?;
    tokio::select! {
        () = signals.asked() => {}
        () = shutdown.begun() => {}
    }
    Ok(())
}
