//! What librdkafka tells beside data: errors and log lines.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{ClientContext, config::RDKafkaLogLevel, error::KafkaError};

use crate::stats::Live;

/// The last error that a client reported, for reasons that an operator can read.
#[derive(Debug, Clone, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn set(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

/// Counts errors and passes log lines on.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    live: Arc<Live>,
    last_error: LastError,
}

impl Watcher {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { live, last_error: LastError::default() }
    }

    pub(super) fn last_error(&self) -> LastError {
        self.last_error.clone()
    }
}

impl ClientContext for Watcher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // librdkafka reconnects by itself: its errors are at most warnings to an operator.
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, line, "librdkafka");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, line, "librdkafka")
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, line, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.live.broker_errors.add(1);
        self.last_error.set(reason);
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}
