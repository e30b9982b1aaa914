//! The newest readings in the order of the log: what the archive does not hold yet, so that a plot reaches up to now.

use std::collections::VecDeque;

use heat_model::{EventTime, Lane, Quality, SignalId, record::Readings};

/// What one message costs beyond its readings, in readings.
const MESSAGE_COST: usize = 4;

/// A bounded queue of messages; the oldest goes.
#[derive(Debug)]
pub struct RecentReadings {
    readings_max: usize,
    cost: usize,
    messages: VecDeque<Readings>,
}

impl RecentReadings {
    /// Keeps about `readings_max` readings of whole messages.
    pub fn new(readings_max: usize) -> Self {
        Self { readings_max, cost: 0, messages: VecDeque::new() }
    }

    /// Takes the next message of the live lane; history is the archive's.
    pub fn push(&mut self, readings: Readings) {
        if readings.lane != Lane::Live {
            return;
        }
        self.cost += readings.readings.len() + MESSAGE_COST;
        self.messages.push_back(readings);
        while self.cost > self.readings_max {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.cost -= oldest.readings.len() + MESSAGE_COST;
        }
    }

    /// The usable values of one signal within `[from, to)`, in the order of the log. Looks at every message kept.
    pub fn of<'a>(
        &'a self,
        signal: &'a SignalId,
        from: EventTime,
        to: EventTime,
    ) -> impl Iterator<Item = (EventTime, f64)> + 'a {
        let messages = self.messages.iter().filter(move |message| {
            let set = &message.set;
            set.network == signal.network && set.site == signal.site && set.device == signal.device
        });
        messages.flat_map(move |message| {
            let index = message.set.signals.iter().position(|decl| decl.name == signal.name);
            message
                .readings
                .iter()
                .filter(move |reading| index == Some(reading.signal as usize))
                .filter(|reading| reading.quality != Quality::Bad && reading.value.is_finite())
                .filter(move |reading| reading.event_time >= from && reading.event_time < to)
                .map(|reading| (reading.event_time, reading.value))
        })
    }

    /// Messages kept.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use heat_model::{QualityCode, Reading, SignalDecl, SignalSet, SignalSetId};

    use super::*;

    fn message(site: &str, seconds: i64, lane: Lane) -> Readings {
        let decl = |name: &str| SignalDecl {
            name: name.parse().unwrap(),
            unit: "Pa".into(),
            raw_unit: "".into(),
            scale: 1.0,
            offset: 0.0,
        };
        let set = Arc::new(SignalSet {
            id: SignalSetId(1),
            network: "town".parse().unwrap(),
            site: site.parse().unwrap(),
            device: "plc".parse().unwrap(),
            signals: vec![decl("supply_pressure"), decl("return_pressure")],
        });
        let reading = |signal, value| Reading {
            signal,
            event_time: EventTime::from_micros(seconds * 1_000_000),
            raw: value,
            value,
            quality: Quality::Good,
            code: QualityCode::None,
        };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let readings = vec![reading(0, seconds as f64), reading(1, f64::NAN)];
        Readings { set, lane, device_seq: None, readings }
    }

    #[test]
    fn one_signals_usable_live_values_come_in_order_and_the_oldest_messages_go() {
        let mut recent = RecentReadings::new(3 * (2 + MESSAGE_COST));
        for seconds in 1..=4 {
            recent.push(message("st1", seconds, Lane::Live));
        }
        recent.push(message("st2", 5, Lane::Backfill));
        let all = (EventTime::from_micros(0), EventTime::from_micros(i64::MAX));
        let values = |signal: &str| {
            recent.of(&signal.parse().unwrap(), all.0, all.1).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(recent.len(), 3);
        assert_eq!(values("town/st1/plc/supply_pressure"), [2.0, 3.0, 4.0]);
        assert_eq!(values("town/st1/plc/return_pressure"), [] as [f64; 0]);
        assert_eq!(values("town/st1/plc/unheard_of"), [] as [f64; 0]);
    }
}
