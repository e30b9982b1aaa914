//! The one thing that a gateway ever sends to devices: Sparkplug's request for a rebirth.

use bytes::Bytes;
use heat_codec::sparkplug::Rebirth;
use heat_mqtt::{Listener, ListenerHandle, Subscriber, SubscriberHandle, Way};
use heat_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec};

/// Requests for a rebirth, by what became of them: sent, or not (nobody listens, or no connection).
pub(crate) const REBIRTHS: &str = "heat_gateway_sparkplug_rebirth_requests_total";

/// Sends them the way that the node's messages come.
#[derive(Debug)]
pub(crate) struct Commands {
    listener: Option<ListenerHandle>,
    subscriber: Option<SubscriberHandle>,
    sent: IntCounter,
    unsent: IntCounter,
}

impl Commands {
    pub(crate) fn new(
        listener: Option<&Listener>,
        subscriber: Option<&Subscriber>,
        metrics: &Metrics,
    ) -> Self {
        let rebirths: IntCounterVec =
            metrics.counters(REBIRTHS, "Requests for a Sparkplug rebirth, by outcome.", &["outcome"]);
        Self {
            listener: listener.map(Listener::handle),
            subscriber: subscriber.map(Subscriber::handle),
            sent: rebirths.with_label_values(&["sent"]),
            unsent: rebirths.with_label_values(&["unsent"]),
        }
    }

    /// Never waits. A request that cannot be sent is counted; the node's next message asks again.
    pub(crate) fn send(&self, way: Way, rebirth: Rebirth) {
        let Rebirth { topic, payload } = rebirth;
        let payload = Bytes::from(payload);
        let outcome = match (way, &self.listener, &self.subscriber) {
            (Way::Listen, Some(listener), _) => listener.commands().send(&topic, &payload).map(drop),
            (Way::Subscribe, _, Some(subscriber)) => subscriber.command(&topic, payload),
            (Way::Listen, None, _) | (Way::Subscribe, _, None) => return,
        };
        match outcome {
            Ok(()) => self.sent.inc(),
            Err(error) => {
                self.unsent.inc();
                tracing::debug!(%error, "a request for rebirth was not sent");
            }
        }
    }
}
