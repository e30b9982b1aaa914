//! `heatstream check`: every fault at once, without starting anything.

use heat_runtime::ExitStatus;

use crate::{
    Failure,
    cli::RoleArguments,
    config::{Defaults, LogSettings, RawConfig},
    out::say,
};

pub(crate) fn run(arguments: &RoleArguments) -> Result<ExitStatus, Failure> {
    let config = RawConfig::read(&arguments.config)?.check(None, &Defaults::default())?;
    let engine = match config.shared.log {
        LogSettings::Embedded(_) => "embedded",
        LogSettings::Kafka(_) => "kafka",
    };
    let plant = &config.shared.plant;
    say(format!(
        "ok: {engine} log with {} topics; plant model {} with {} networks, {} sites, {} pipes, {} signals",
        config.shared.topics.len(),
        heat_codec::plant::hash(plant),
        plant.networks.len(),
        plant.sites.len(),
        plant.pipes.len(),
        plant.signals.len(),
    ));
    Ok(ExitStatus::Done)
}
