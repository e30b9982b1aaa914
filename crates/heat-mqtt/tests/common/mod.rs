//! Support for the tests of the listener and the subscriber.

use std::time::Duration;

use heat_ledger::durable::{AckQueue, Marks};
use heat_mqtt::{AckToken, Acknowledger, Delivery, LinkEvent};
use tokio::{sync::mpsc, time::timeout};

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Receives the next event.
pub(crate) async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    timeout(PATIENCE, events.recv()).await.expect("an event comes in time").expect("the links live")
}

/// Receives until there are so many messages; link events in between are passed over.
pub(crate) async fn messages(events: &mut mpsc::Receiver<LinkEvent>, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        if let LinkEvent::Messages(batch) = next(events).await {
            received.extend(batch.into_deliveries());
        }
    }
    received
}

/// Proves the deliveries durable, as a log would, and acknowledges them.
pub(crate) fn acknowledge(acknowledger: &Acknowledger, deliveries: Vec<Delivery>) {
    let mut waiting: AckQueue<AckToken> = AckQueue::default();
    for delivery in deliveries {
        waiting.push(delivery.token, &[]);
    }
    let marks = Marks::default();
    acknowledger.acknowledge(std::iter::from_fn(|| waiting.pop_durable(&marks)));
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
