//! A small publishing client for tools.
use bytes::Bytes;
use crate::settings::Secret;
/// Settings.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Client id.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// Messages without acknowledgement at most, on the wire and waiting.
    pub in_flight_max: u16,
}
/// Counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublisherCounts {
    /// Messages taken from the caller.
    pub published: u64,
    /// Messages the other end acknowledged.
    pub acknowledged: u64,
    /// Messages the other end refused (MQTT 5 reason codes).
    pub refused: u64,
    /// Messages sent again after a reconnect.
    pub resent: u64,
    /// Connections.
    pub connections: u64,
}
/// Why publishing failed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// The driver has ended.
    #[error("publish: the publisher has been shut down")]
    Ended,
}
/// Publishes.
#[derive(Debug, Clone)]
pub struct Publisher {}
/// Does the work.
#[derive(Debug)]
pub struct PublisherDriver {}
impl Publisher {
    /// New.
    pub fn new(_settings: PublisherSettings) -> (Self, PublisherDriver) { (Self {}, PublisherDriver {}) }
    /// Takes a message, waits while too many are unacknowledged.
    pub async fn publish(&self, _topic: &str, _payload: Bytes) -> Result<(), PublishError> { Ok(()) }
    /// Waits until everything published so far is acknowledged or refused.
    pub async fn acknowledged(&self) -> Result<(), PublishError> { Ok(()) }
    /// Counts.
    pub fn counts(&self) -> PublisherCounts { PublisherCounts::default() }
    /// The latest failure to connect.
    pub fn last_error(&self) -> Option<String> { None }
}
impl PublisherDriver {
    /// Runs.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) { shutdown.await }
}
