//! Canary messages: a message received like any other, and counted as such.

use std::sync::Arc;

use bytes::Bytes;
use heat_codec::topic;
use heat_model::{
    GatewayId, IngestTime,
    canary::{NETWORK, SIGNAL},
    time::MICROS_PER_SECOND,
};

/// Makes canary messages.
#[derive(Debug)]
pub(crate) struct Canary {
    topic: Arc<str>,
}

impl Canary {
    pub(crate) fn new(gateway: &GatewayId) -> Self {
        Self { topic: format!("{}{NETWORK}/{gateway}/gateway", topic::PREFIX).into() }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The message of this moment, to the millisecond.
    pub(crate) fn payload(now: IngestTime) -> Bytes {
        let now_ms = now.as_micros().div_euclid(1_000);
        let (seconds, ms) = (now.as_micros().div_euclid(MICROS_PER_SECOND), now_ms.rem_euclid(1_000));
        let value = format!(r#"{{"value":{seconds}.{ms:03},"unit":"s"}}"#);
        format!(r#"{{"time":{now_ms},"lane":"live","values":{{"{SIGNAL}":{value}}}}}"#).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Intake, IntakeSettings, Message};

    #[test]
    fn a_canary_is_one_good_live_reading_whose_value_is_its_time() {
        let canary = Canary::new(&"gateway-1".parse().unwrap());
        let received = IngestTime::from_micros(1_763_942_400_123_456);
        let payload = Canary::payload(received);
        let topic = canary.topic();
        let message =
            Message { topic, payload: &payload, retained: false, rights: None, received, again: None };

        let outcome = Intake::new(IntakeSettings::default(), 4).take(&message);

        assert_eq!((outcome.readings_logged, outcome.faults.len(), outcome.drafts.len()), (1, 0, 1));
        assert_eq!(outcome.drafts[0].1.network(), NETWORK);
        assert!(payload.ends_with(br#"{"value":1763942400.123,"unit":"s"}}}"#));
    }
}
