//! The canary: a reading that a gateway sends of its own, through everything that sensors' readings go through.
//!
//! Its value is the time at which it was sent, in Unix seconds: wherever it is seen, the way up to there is known to
//! work, and how long it takes.

use crate::{
    ids::GatewayId,
    record::{Body, Envelope},
    time::{IngestTime, MICROS_PER_SECOND},
};

/// The network that canaries are filed under. No pipe belongs to it: no detector judges it, no list of networks has it.
pub const NETWORK: &str = "canary";
/// The name of the one signal.
pub const SIGNAL: &str = "canary";

/// Which gateway sent a canary, and when; `None` for every other record.
pub fn sent(envelope: &Envelope) -> Option<(&GatewayId, IngestTime)> {
    envelope.network.as_ref().filter(|network| network.as_str() == NETWORK)?;
    let Body::Readings(readings) = &envelope.body else { return None };
    let gateway = &envelope.origin.gateway;
    // Whoever may speak for this network might send readings under it; a gateway's own carry its name.
    let own = readings.set.site.as_str() == gateway.as_str();
    let reading = readings.readings.first().filter(|_| own)?;
    let declared = readings.set.signals.get(reading.signal as usize)?;
    let seconds = reading.usable().filter(|_| declared.name.as_str() == SIGNAL)?;
    #[expect(clippy::cast_possible_truncation, reason = "a float as an integer stops at the integers' ends")]
    let micros = (seconds * MICROS_PER_SECOND as f64).round() as i64;
    Some((gateway, IngestTime::from_micros(micros)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        ids::{DeviceId, NetworkId, SiteId},
        reading::{Lane, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId},
        record::{Origin, Readings},
        time::EventTime,
    };

    fn envelope(network: &str, site: &str, name: &str, value: f64) -> Envelope {
        let network = NetworkId::new(network).unwrap();
        let signal = SignalDecl {
            name: name.parse().unwrap(),
            unit: "s".into(),
            raw_unit: "s".into(),
            scale: 1.0,
            offset: 0.0,
        };
        let set = SignalSet {
            id: SignalSetId(1),
            network: network.clone(),
            site: SiteId::new(site).unwrap(),
            device: DeviceId::new("gateway").unwrap(),
            signals: vec![signal],
        };
        let reading = Reading {
            signal: 0,
            event_time: EventTime::from_micros(0),
            raw: value,
            value,
            quality: Quality::Good,
            code: QualityCode::None,
        };
        let body =
            Readings { set: Arc::new(set), lane: Lane::Live, device_seq: None, readings: vec![reading] };
        let origin = Origin { gateway: GatewayId::new("gateway-1").unwrap(), epoch: 1, seq: 0 };
        Envelope {
            network: Some(network),
            origin,
            ingest_time: IngestTime::from_micros(0),
            messages: 1,
            body: Body::Readings(body),
        }
    }

    #[test]
    fn a_gateways_own_canary_tells_when_it_was_sent_and_no_other_record_does() {
        let own = envelope(NETWORK, "gateway-1", SIGNAL, 1_763_942_400.123);
        let (gateway, at) = sent(&own).unwrap();
        assert_eq!((gateway.as_str(), at.as_micros()), ("gateway-1", 1_763_942_400_123_000));

        for other in [
            envelope("town", "gateway-1", SIGNAL, 1.0),
            envelope(NETWORK, "gateway-2", SIGNAL, 1.0),
            envelope(NETWORK, "gateway-1", "supply_flow", 1.0),
            envelope(NETWORK, "gateway-1", SIGNAL, f64::NAN),
        ] {
            assert_eq!(sent(&other), None, "{other:?}");
        }
    }
}
