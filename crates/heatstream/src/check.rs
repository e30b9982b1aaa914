//! `heatstream check`: every fault at once, without starting anything.

use heat_codec::plant::UnknownSignals;
use heat_runtime::ExitStatus;

use crate::{
    Failure,
    cli::RoleArguments,
    config::{Config, Defaults, LogSettings, RawConfig},
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
    let notes = &config.shared.plant_notes;
    for warning in &notes.warnings {
        say(format!("warning: {warning}"));
    }
    if notes.more > 0 {
        say(format!("and {} more warnings", notes.more));
    }
    if let Some(warning) = refuses_all(&config) {
        say(format!("warning: {warning}"));
    }
    for level in &notes.levels {
        say(level.to_string());
    }
    Ok(ExitStatus::Done)
}

/// A policy that refuses what the tables do not have, while they have nothing.
fn refuses_all(config: &Config) -> Option<String> {
    let policy = &config.gateway.as_ref()?.unknown_signals;
    let refused = |network: &heat_model::NetworkId| policy.of(network) == UnknownSignals::Refuse;
    let signals = &config.shared.plant.signals;
    if policy.default == UnknownSignals::Refuse && signals.is_empty() {
        return Some(
            "gateway.unknown_signals refuses what the plant model does not have, and that has no signals: every \
             reading becomes a dead letter; add a signals table, or set it to \"take\""
                .to_owned(),
        );
    }
    let bare = |network: &&heat_model::NetworkId| !signals.iter().any(|row| row.id.network == **network);
    let network = policy.networks.keys().filter(|network| refused(network)).find(bare)?;
    Some(format!(
        "gateway.unknown_signals_of refuses what the plant model does not have of {network}, and it has no signal of \
         it: every reading from there becomes a dead letter"
    ))
}
