//! What a device sends: each message is unlike any other, and its bytes follow from a few numbers.

use std::fmt;

use crate::now_us;

/// Ways in which a payload is malformed.
pub(super) const MALFORMED_KINDS: u64 = 10;
const HOUR_MS: i64 = 3_600_000;
const NETWORKS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Live,
    Backfill,
    Malformed(u8),
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => formatter.write_str("live"),
            Self::Backfill => formatter.write_str("backfill"),
            Self::Malformed(way) => write!(formatter, "{way}"),
        }
    }
}

/// One message. Two readings, if it is well formed: `supply_temperature` is its number, `probe` that and 10,000,000.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) seq: u64,
    /// Event time.
    pub(super) time_ms: i64,
    pub(super) measured_us: i64,
    /// 0: not yet.
    pub(super) acked_us: i64,
}

pub(super) fn network(device: usize) -> String {
    format!("town-{}", device % NETWORKS)
}

impl Message {
    /// A message of this moment; event times grow within a device and lane.
    pub(super) fn measured(seq: u64, kind: Kind, last: Option<&Self>) -> Self {
        let measured_us = now_us().max(last.map_or(0, |last| last.measured_us + 1_000));
        let now_ms = measured_us / 1_000;
        let time_ms = if kind == Kind::Backfill { now_ms - HOUR_MS } else { now_ms };
        Self { kind, seq, time_ms, measured_us, acked_us: 0 }
    }

    /// Topic and payload.
    pub(super) fn encode(&self, device: usize) -> (String, Vec<u8>) {
        let Self { seq, time_ms, .. } = self;
        let mut topic = format!("heat/v1/{}/st{device:03}/meter", network(device));
        let id = format!("d{device}n{seq}");
        let text = match self.kind {
            Kind::Live | Kind::Backfill => {
                let lane = if self.kind == Kind::Backfill { r#" "lane": "backfill","# } else { "" };
                let probe = seq + 10_000_000;
                format!(
                    r#"{{"time": {time_ms}, "seq": {seq}, "boot": "a",{lane} "values": {{"supply_temperature": {seq}, "probe": {{"value": {probe}, "unit": "pulses"}}}}}}"#
                )
            }
            Kind::Malformed(0) => format!(r#"{{"values": {{"{id}": 81.2"#),
            Kind::Malformed(1) => format!("{id}=81.2"),
            Kind::Malformed(2) => {
                topic = format!("heat/v1/{}/st{device:03}", network(device));
                format!(r#"{{"values": {{"{id}": 81.2}}}}"#)
            }
            Kind::Malformed(3) => return (topic, [&[0x00, 0xFF, 0x10, 0x80], id.as_bytes()].concat()),
            Kind::Malformed(4) => return (topic, [id.as_bytes(), &[0xB0, b'C']].concat()),
            Kind::Malformed(5) => format!(r#"{{"values": {{"{id}": NaN}}}}"#),
            Kind::Malformed(6) => format!(r#"{{"values": {{"{id}": [81.2]}}}}"#),
            Kind::Malformed(7) => format!(r#"{{"values": {{"{id}": "81.2"}}}}"#),
            Kind::Malformed(8) => {
                // Of a name that is not standard, any unit is kept.
                format!(r#"{{"values": {{"supply_temperature": {{"value": {seq}, "unit": "furlong"}}}}}}"#)
            }
            Kind::Malformed(_) => format!(r#"{{"time": "yesterday", "values": {{"{id}": 81.2}}}}"#),
        };
        (topic, text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn messages_are_unlike_one_another_and_say_the_same_when_sent_again() {
        let mut all = BTreeSet::new();
        for device in 0..3 {
            let mut last = None;
            for seq in 0..30 {
                let kind = match seq % 12 {
                    10 => Kind::Live,
                    11 => Kind::Backfill,
                    way => Kind::Malformed(u8::try_from(way).unwrap()),
                };
                let message = Message::measured(seq, kind, last.as_ref());
                assert_eq!(message.encode(device), message.encode(device));
                all.insert(message.encode(device));
                last = Some(message);
            }
        }
        assert_eq!(all.len(), 90);
    }
}
