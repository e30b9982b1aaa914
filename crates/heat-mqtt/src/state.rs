//! The STATE of a Sparkplug host application: what nodes wait for before they send their data.
//!
//! Topic `spBv1.0/STATE/HOST`, retained. A client of a broker publishes `online` at every connection and leaves `offline`
//! as its last will, both with the same time stamp, so the two are made together. A listener is the broker itself: whoever
//! subscribes to the topic gets `online` at once, and `offline` before the listener ends.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// A host's STATE payloads, of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePayloads {
    /// While it lives.
    pub online: Bytes,
    /// When it does not.
    pub offline: Bytes,
}

/// Where a host tells its STATE, and what makes its payloads.
#[derive(Clone)]
pub struct StateMessage {
    topic: Arc<str>,
    payloads: Arc<dyn Fn() -> StatePayloads + Send + Sync>,
}

impl StateMessage {
    /// STATE of the host application `host`. `payloads` is called at every connection, so that they can bear its time.
    ///
    /// # Errors
    /// When `host` is no single level of a topic.
    pub fn new(
        host: &str,
        payloads: impl Fn() -> StatePayloads + Send + Sync + 'static,
    ) -> Result<Self, HostIdError> {
        if host.is_empty() || host.len() > HOST_MAX_BYTES || host.contains(['/', '+', '#', '\0']) {
            return Err(HostIdError { host: host.to_owned() });
        }
        Ok(Self { topic: format!("spBv1.0/STATE/{host}").into(), payloads: Arc::new(payloads) })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// STATE for one connection, or for a listener.
    pub(crate) fn make(&self) -> HostState {
        HostState { topic: Arc::clone(&self.topic), payloads: (self.payloads)() }
    }
}

impl fmt::Debug for StateMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMessage").field("topic", &self.topic).finish_non_exhaustive()
    }
}

const HOST_MAX_BYTES: usize = 256;

/// A host id that can't stand in a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name the Sparkplug host {host:?}: 1 to {HOST_MAX_BYTES} bytes without / + # and NUL")]
pub struct HostIdError {
    /// The id.
    pub host: String,
}

/// STATE as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostState {
    pub(crate) topic: Arc<str>,
    pub(crate) payloads: StatePayloads,
}
