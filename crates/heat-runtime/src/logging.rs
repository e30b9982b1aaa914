//! Logging: text for people, JSON for collectors, on standard error.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The `[logging]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogging {
    /// Format of the lines.
    pub format: Format,
    /// Filter, in the syntax of tracing-subscriber's `EnvFilter`: `info`, `heat_gateway=debug,info`, ...
    pub filter: String,
}

impl Default for RawLogging {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned() }
    }
}

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("logging.filter {filter:?} is not a filter: {reason}; try \"info\" or \"heat_gateway=debug,info\"")]
pub struct InvalidFilter {
    filter: String,
    reason: String,
}

/// Starts logging; a second call changes nothing.
pub fn start(logging: &RawLogging) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::try_new(&logging.filter)
        .map_err(|error| InvalidFilter { filter: logging.filter.clone(), reason: error.to_string() })?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match logging.format {
        Format::Text => {
            let colours = std::io::stderr().is_terminal();
            let layer = fmt::layer().with_target(false).with_ansi(colours).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
        Format::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
    drop(started);
    Ok(())
}
