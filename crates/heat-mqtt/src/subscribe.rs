//! A client of the user's broker.
use std::sync::Arc;
use bytes::Bytes;
use crate::{link::Inlet, listen::CommandError, settings::SubscribeSettings, stats::{SubscribeCounters, SubscribeStats}};
/// A client of the user's broker.
#[derive(Debug)]
pub struct Subscriber { counters: Arc<SubscribeCounters> }
/// What others may ask of a running subscriber.
#[derive(Debug, Clone)]
pub struct SubscriberHandle { counters: Arc<SubscribeCounters> }
impl Subscriber {
    /// Builds; does not connect yet.
    pub fn new(_settings: SubscribeSettings, _inlet: Inlet) -> Self { Self { counters: Arc::default() } }
    /// Handle.
    pub fn handle(&self) -> SubscriberHandle { SubscriberHandle { counters: Arc::clone(&self.counters) } }
    /// Runs until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) { shutdown.await }
}
impl SubscriberHandle {
    /// Counters.
    pub fn stats(&self) -> SubscribeStats { self.counters.snapshot() }
    /// Publishes a command (QoS 0) by the broker.
    pub fn command(&self, topic: &str, _payload: Bytes) -> Result<(), CommandError> { Err(CommandError::NobodyListens(topic.to_owned())) }
}
