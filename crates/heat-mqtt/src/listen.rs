//! The MQTT server that devices connect to.
use std::{net::SocketAddr, sync::Arc, io};
use bytes::Bytes;
use crate::{link::Inlet, settings::ListenSettings, stats::{ListenCounters, ListenStats}};

/// The listener's socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("bind the MQTT listener to {address}: {source}")]
pub struct BindError { address: SocketAddr, #[source] source: io::Error }

/// A command could not be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommandError {
    /// No connected device subscribed to the topic.
    #[error("no connected device listens to {0:?}")]
    NobodyListens(String),
}

/// The MQTT server that devices connect to.
#[derive(Debug)]
pub struct Listener { counters: Arc<ListenCounters>, address: SocketAddr }

/// What others may ask of a running listener.
#[derive(Debug, Clone)]
pub struct ListenerHandle { counters: Arc<ListenCounters> }

/// Sends commands to connected devices.
#[derive(Debug, Clone)]
pub struct Commands {}

impl Listener {
    /// Binds; does not accept yet.
    pub async fn bind(settings: ListenSettings, _inlet: Inlet) -> Result<Self, BindError> {
        Ok(Self { counters: Arc::default(), address: settings.address })
    }
    /// Address.
    pub fn local_addr(&self) -> SocketAddr { self.address }
    /// Handle.
    pub fn handle(&self) -> ListenerHandle { ListenerHandle { counters: Arc::clone(&self.counters) } }
    /// Runs until `shutdown` completes, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) { shutdown.await }
}
impl ListenerHandle {
    /// Counters.
    pub fn stats(&self) -> ListenStats { self.counters.snapshot() }
    /// Commands.
    pub fn commands(&self) -> Commands { Commands {} }
}
impl Commands {
    /// Sends a command (QoS 0) to every connected device that subscribed to the topic; returns how many took it.
    pub fn send(&self, topic: &str, _payload: Bytes) -> Result<usize, CommandError> { Err(CommandError::NobodyListens(topic.to_owned())) }
}
