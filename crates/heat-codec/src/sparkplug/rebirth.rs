//! Asking a node to be born again.

use std::time::Duration;

use heat_model::IngestTime;

use super::{address::PREFIX, settings::SparkplugSettings};

/// A command to a node to say again who it is and all that it measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebirth {
    /// Where to publish it: QoS 0, not retained.
    pub topic: String,
    /// What to publish.
    pub payload: Vec<u8>,
}

/// The command for a node: `Node Control/Rebirth` = true.
pub(super) fn command(group: &str, node: &str, time: IngestTime) -> Rebirth {
    const NAME: &str = "Node Control/Rebirth";
    const BOOLEAN: u8 = 11;
    let mut stamp = vec![0x08];
    push_varint(&mut stamp, u64::try_from(time.as_micros().div_euclid(1_000)).unwrap_or(0));
    let mut metric = vec![0x0A, u8::try_from(NAME.len()).expect("the name is short")];
    metric.extend_from_slice(NAME.as_bytes());
    metric.push(0x18);
    metric.extend_from_slice(&stamp[1..]);
    metric.extend_from_slice(&[0x20, BOOLEAN, 0x70, 1]);
    let mut payload = stamp;
    payload.extend_from_slice(&[0x12, u8::try_from(metric.len()).expect("the metric is short")]);
    payload.extend_from_slice(&metric);
    Rebirth { topic: format!("{PREFIX}{group}/NCMD/{node}"), payload }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// When a node may be asked again.
#[derive(Debug)]
pub(super) struct CoolDown {
    asked: Option<IngestTime>,
    wait: Duration,
}

impl CoolDown {
    pub(super) const fn new(settings: &SparkplugSettings) -> Self {
        Self { asked: None, wait: settings.cool_down }
    }

    /// Whether to ask; then the next wait is twice as long.
    pub(super) fn ask(&mut self, now: IngestTime, settings: &SparkplugSettings) -> bool {
        // A clock that was set back must not silence requests for longer than a wait.
        if self.asked.is_some_and(|asked| asked <= now && now.since(asked) < self.wait) {
            return false;
        }
        if self.asked.is_some() {
            self.wait = self.wait.saturating_mul(2).min(settings.cool_down_max);
        }
        self.asked = Some(now);
        true
    }

    /// A birth came: the last request helped, or none was needed.
    pub(super) const fn helped(&mut self, settings: &SparkplugSettings) {
        self.wait = settings.cool_down;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> IngestTime {
        IngestTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_wait_doubles_while_requests_do_not_help() {
        let settings = SparkplugSettings::default();
        let mut cool_down = CoolDown::new(&settings);
        let mut asked = Vec::new();
        for second in 0..3_000 {
            if cool_down.ask(at(second), &settings) {
                asked.push(second);
            }
        }
        assert_eq!(asked, [0, 30, 90, 210, 450, 930, 1_530, 2_130, 2_730]);
        cool_down.helped(&settings);
        assert!(!cool_down.ask(at(2_759), &settings) && cool_down.ask(at(2_760), &settings));
    }

    #[test]
    fn a_clock_set_back_does_not_silence_requests() {
        let settings = SparkplugSettings::default();
        let mut cool_down = CoolDown::new(&settings);
        assert!(cool_down.ask(at(1_000_000), &settings));
        assert!(cool_down.ask(at(10), &settings));
    }
}
