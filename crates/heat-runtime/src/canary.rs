//! How far gateways' canaries have come: a role on their way says which it has seen last, and how long they took.

use std::collections::BTreeMap;

use heat_model::{GatewayId, IngestTime};
use prometheus::{GaugeVec, Histogram};

use crate::metrics::Metrics;

/// Gateways told apart; canaries of further ones are counted in the delays alone.
const GATEWAYS_MAX: usize = 256;
/// Seconds; an archiver's commits close by the minute.
const BUCKETS: [f64; 12] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0];

/// The newest canary of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When the gateway sent it.
    pub sent: IngestTime,
    /// When it had come through to here.
    pub arrived: IngestTime,
}

/// What one role sees of canaries.
#[derive(Debug)]
pub struct CanaryWatch {
    newest: BTreeMap<GatewayId, Arrival>,
    sent: GaugeVec,
    delay: Histogram,
}

impl CanaryWatch {
    /// Registers `heat_<role>_canary_sent_timestamp_seconds`, by gateway, and `heat_<role>_canary_delay_seconds`.
    /// `seen` says what the role does with a canary that counts as seen: "that the API shows".
    pub fn register(metrics: &Metrics, role: &str, seen: &str) -> Self {
        let sent = (
            format!("heat_{role}_canary_sent_timestamp_seconds"),
            format!("When a gateway sent its newest canary {seen}."),
        );
        let delay = (
            format!("heat_{role}_canary_delay_seconds"),
            format!("From a gateway's sending of a canary until it was one {seen}."),
        );
        Self {
            newest: BTreeMap::new(),
            sent: metrics.numbers(&sent.0, &sent.1, &["gateway"]),
            delay: metrics.histogram(&delay.0, &delay.1, &BUCKETS),
        }
    }

    /// A canary is seen. One that is met while reading back tells how far the way goes, but not how long it takes:
    /// `is_live` is false then.
    pub fn seen(&mut self, gateway: &GatewayId, sent: IngestTime, now: IngestTime, is_live: bool) {
        if is_live {
            let delay_us = now.as_micros().saturating_sub(sent.as_micros()).max(0);
            self.delay.observe(delay_us as f64 / 1e6);
        }
        let arrival = Arrival { sent, arrived: now };
        let has_room = self.newest.len() < GATEWAYS_MAX;
        match self.newest.get_mut(gateway) {
            Some(newest) if newest.sent >= sent => return,
            Some(newest) => *newest = arrival,
            None if has_room => drop(self.newest.insert(gateway.clone(), arrival)),
            None => return,
        }
        self.sent.with_label_values(&[gateway.as_str()]).set(sent.as_seconds());
    }

    /// The newest canary of every gateway.
    pub fn newest(&self) -> impl Iterator<Item = (&GatewayId, Arrival)> {
        self.newest.iter().map(|(gateway, arrival)| (gateway, *arrival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> IngestTime {
        IngestTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_newest_canary_of_each_gateway_is_told_and_delays_are_of_live_ones_alone() {
        let metrics = Metrics::default();
        let mut watch = CanaryWatch::register(&metrics, "api", "that the API shows");
        let (a, b): (GatewayId, GatewayId) = ("a".parse().unwrap(), "b".parse().unwrap());

        watch.seen(&a, at(100), at(5_000), false);
        watch.seen(&a, at(120), at(122), true);
        watch.seen(&a, at(110), at(123), true);
        watch.seen(&b, at(130), at(130), true);

        let text = metrics.render();
        for line in [
            r#"heat_api_canary_sent_timestamp_seconds{gateway="a"} 120"#,
            r#"heat_api_canary_sent_timestamp_seconds{gateway="b"} 130"#,
            r#"heat_api_canary_delay_seconds_bucket{le="3"} 2"#,
            "heat_api_canary_delay_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert_eq!(watch.newest().next(), Some((&a, Arrival { sent: at(120), arrived: at(122) })));
    }

    #[test]
    fn gateways_beyond_the_bound_are_not_told_apart() {
        let metrics = Metrics::default();
        let mut watch = CanaryWatch::register(&metrics, "api", "that the API shows");
        for number in 0..=GATEWAYS_MAX {
            watch.seen(&format!("g{number}").parse().unwrap(), at(1), at(2), true);
        }

        assert_eq!(watch.newest().count(), GATEWAYS_MAX);
        assert!(metrics.render().contains("heat_api_canary_delay_seconds_count 257\n"));
    }
}
