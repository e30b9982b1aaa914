//! What of a record a reader takes: the two checks in their one order, the same in every role.

use heat_model::{Body, Envelope, FreshMask, IngestTime, Offset, QualityCode, Reading, record::NextOffset};

use crate::{
    redelivery::{Arrival, RedeliveryFilter},
    repeats::{Novelty, RepeatSettings, RepeatWindow},
};

/// What was let in and what was not, since the reader started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// Records taken.
    pub records: u64,
    /// Records that a gateway appended twice.
    pub redelivered_records: u64,
    /// Readings in them.
    pub redelivered_readings: u64,
    /// Readings taken.
    pub readings: u64,
    /// Readings that were seen before.
    pub repeated_readings: u64,
    /// Readings taken that give another value for a time already seen.
    pub corrections: u64,
}

/// Whether a record is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, but for the readings that the mask marks as repeats.
    Take,
    /// No: the gateway appended it before.
    Redelivered,
}

/// One reader's admission to one partition.
#[derive(Debug)]
pub struct Admission {
    redelivery: RedeliveryFilter,
    repeats: RepeatWindow,
    counts: AdmissionCounts,
}

impl Admission {
    /// Nothing seen yet. Feed it from [`Admission::read_back`] on, and use its verdicts from the resume offset on.
    pub fn new(settings: RepeatSettings) -> Self {
        Self {
            redelivery: RedeliveryFilter::default(),
            repeats: RepeatWindow::new(settings),
            counts: AdmissionCounts::default(),
        }
    }

    /// Where to begin reading in order to resume at `next`.
    pub fn read_back(settings: &RepeatSettings, next: NextOffset) -> NextOffset {
        RepeatWindow::read_back(settings, next)
    }

    /// Judges the next record of the partition; `fresh` is reset and gets its repeats.
    pub fn observe(&mut self, offset: Offset, envelope: &Envelope, fresh: &mut FreshMask) -> Verdict {
        fresh.reset();
        self.repeats.begin_record(offset);
        let readings = match &envelope.body {
            Body::Readings(readings) => readings.readings.len() as u64,
            Body::Command(_)
            | Body::Ticket(_)
            | Body::Forecast(_)
            | Body::ModelActivated(_)
            | Body::Heartbeat(_) => 0,
        };
        if self.redelivery.observe(&envelope.origin) == Arrival::Redelivered {
            self.counts.redelivered_records += 1;
            self.counts.redelivered_readings += readings;
            return Verdict::Redelivered;
        }
        self.counts.records += 1;
        let mut repeated = 0;
        if let Body::Readings(record) = &envelope.body {
            let counts = &mut self.counts;
            self.repeats.observe(&record.set, &record.readings, |index, novelty| match novelty {
                Novelty::New => {}
                Novelty::Correction => counts.corrections += 1,
                Novelty::Repeat if has_arrival_time(&record.readings[index], envelope.ingest_time) => {}
                Novelty::Repeat => {
                    fresh.mark_repeat(index);
                    repeated += 1;
                }
            });
        }
        self.counts.repeated_readings += repeated;
        self.counts.readings += readings - repeated;
        Verdict::Take
    }

    /// Counts since it was made, read-back included.
    pub fn counts(&self) -> AdmissionCounts {
        self.counts
    }

    /// Numbers that gateways assigned and that never arrived, as far as proven.
    pub fn holes(&self) -> u64 {
        self.redelivery.holes()
    }

    /// Readings remembered.
    pub fn window_readings(&self) -> usize {
        self.repeats.len()
    }
}

/// Whether arrival stands in for an untimed value's own time: then equal ones are no proof of a repeat. A dead letter
/// taken again has the time of its first arrival, and equal ones are.
fn has_arrival_time(reading: &Reading, ingest_time: IngestTime) -> bool {
    reading.code == QualityCode::Untimed && reading.event_time == ingest_time.as_event_of_untimed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use heat_model::{
        EventTime, Lane, Origin, Quality, SignalDecl, SignalSet, SignalSetId, record::Readings,
    };

    use super::*;

    fn record(seq: u64, ingest_us: i64, event_us: i64, code: QualityCode) -> Envelope {
        let signal = SignalDecl {
            name: "flow".parse().unwrap(),
            unit: "kg/s".into(),
            raw_unit: "kg/s".into(),
            scale: 1.0,
            offset: 0.0,
        };
        let set = SignalSet {
            id: SignalSetId(7),
            network: "town".parse().unwrap(),
            site: "st01".parse().unwrap(),
            device: "m".parse().unwrap(),
            signals: vec![signal],
        };
        let event_time = EventTime::from_micros(event_us);
        let reading = Reading { signal: 0, event_time, raw: 1.0, value: 1.0, quality: Quality::Good, code };
        Envelope {
            network: Some("town".parse().unwrap()),
            origin: Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq },
            ingest_time: IngestTime::from_micros(ingest_us),
            messages: 1,
            body: Body::Readings(Readings {
                set: Arc::new(set),
                lane: Lane::Live,
                device_seq: None,
                readings: vec![reading],
            }),
        }
    }

    fn repeats(records: &[Envelope]) -> Vec<u32> {
        let mut admission = Admission::new(RepeatSettings::default());
        let mut fresh = FreshMask::all();
        let observe = |(offset, record): (u64, &Envelope)| {
            assert_eq!(admission.observe(Offset(offset), record, &mut fresh), Verdict::Take);
            fresh.repeats()
        };
        (0..).zip(records).map(observe).collect()
    }

    #[test]
    fn untimed_values_that_arrive_together_are_no_repeats_of_each_other() {
        let untimed = QualityCode::Untimed;
        assert_eq!(repeats(&[record(0, 5, 5, untimed), record(1, 5, 5, untimed)]), [0, 0]);
    }

    #[test]
    fn a_letter_without_a_time_taken_again_twice_is_a_repeat_of_itself() {
        let untimed = QualityCode::Untimed;
        assert_eq!(repeats(&[record(0, 9, 5, untimed), record(1, 11, 5, untimed)]), [0, 1]);
    }
}
