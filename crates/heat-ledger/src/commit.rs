//! What one archive commit found in its stretch of a partition, beside what the gateways said there.
//!
//! It is stored next to the archive, so that conservation can be proved after the log's retention is over: each
//! heartbeat says what was received, the counts here say what arrived, and the archive's digests say what is kept.

use heat_model::{
    AppendTime, Body, Envelope, GatewayId, IngestTime,
    record::{Heartbeat, HourCounts},
    time::MICROS_PER_HOUR,
};
use serde::{Deserialize, Serialize};

use crate::devices::{DeviceHour, Sequence};

/// How a record's readings fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The record is new; so many of its readings are kept, the others are repeats of earlier ones.
    New {
        /// Readings that go to the archive.
        kept: u64,
    },
    /// The whole record is a redelivery: its (gateway, epoch, seq) was seen before.
    Redelivered,
}

/// Counts of what was found, for one ingest hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Found {
    /// Start of the UTC hour of ingest, microseconds since the epoch.
    pub hour_start_us: i64,
    /// Records, redelivered ones included, heartbeats not.
    pub records: u64,
    /// Messages that the new records account for.
    pub messages: u64,
    /// Readings in new records.
    pub readings: u64,
    /// Readings in new records that are kept.
    pub archived: u64,
    /// Readings in new records that repeat earlier ones.
    pub duplicates: u64,
    /// Records that are redeliveries.
    pub redelivered_records: u64,
    /// Readings in redelivered records.
    pub redelivered_readings: u64,
}

impl Found {
    /// Adds the counts of another stretch of the same hour.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.messages += other.messages;
        self.readings += other.readings;
        self.archived += other.archived;
        self.duplicates += other.duplicates;
        self.redelivered_records += other.redelivered_records;
        self.redelivered_readings += other.redelivered_readings;
    }
}

/// What was found of one run of one gateway, and what it said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochFound {
    /// The gateway.
    pub gateway: GatewayId,
    /// Its run.
    pub epoch: u64,
    /// Lowest sequence number among the new records of this commit, heartbeats included.
    pub first_seq: Option<u64>,
    /// Highest sequence number among them.
    pub last_seq: Option<u64>,
    /// New records, heartbeats included: each takes one sequence number.
    pub numbered: u64,
    /// Counts by ingest hour, in order of the hour; heartbeats count in none.
    pub hours: Vec<Found>,
    /// The last heartbeat of the commit.
    pub last_heartbeat: Option<SaidAt>,
    /// The latest counts that heartbeats gave for each hour, in order of the hour.
    pub said: Vec<HourCounts>,
}

impl EpochFound {
    /// Sequence numbers between the first and the last that did not appear in this commit. Those between two commits
    /// show when the next commit's `first_seq` is compared with this one's `last_seq`.
    pub fn missing(&self) -> u64 {
        match (self.first_seq, self.last_seq) {
            (Some(first), Some(last)) => (last - first + 1).saturating_sub(self.numbered),
            _ => 0,
        }
    }

    fn absorb(&mut self, later: &Self) {
        let pick = |a: Option<u64>, b: Option<u64>, of: fn(u64, u64) -> u64| match (a, b) {
            (Some(a), Some(b)) => Some(of(a, b)),
            (one, None) | (None, one) => one,
        };
        self.first_seq = pick(self.first_seq, later.first_seq, u64::min);
        self.last_seq = pick(self.last_seq, later.last_seq, u64::max);
        self.numbered += later.numbered;
        for found in &later.hours {
            hour_mut(
                &mut self.hours,
                found.hour_start_us,
                |found| found.hour_start_us,
                |hour_start_us| Found { hour_start_us, ..Found::default() },
            )
            .add(found);
        }
        self.last_heartbeat = later.last_heartbeat.or(self.last_heartbeat);
        for said in &later.said {
            *hour_mut(&mut self.said, said.hour_start_us, |said| said.hour_start_us, |_| *said) = *said;
        }
    }

    /// Sums over all hours; `hour_start_us` is 0.
    pub fn total(&self) -> Found {
        let mut total = Found::default();
        for hour in &self.hours {
            total.add(hour);
        }
        total
    }
}

/// What a heartbeat said of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidAt {
    /// The heartbeat's own number.
    pub seq: u64,
    /// Records numbered into the partition before it.
    pub records_in_partition: u64,
    /// Readings in them.
    pub readings_in_partition: u64,
    /// The gateway drained and said good-bye with it: its counts are final.
    pub last: bool,
}

/// Records that could not be decoded, by the hour of append: their ingest hour is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Undecodable {
    /// Start of the UTC hour of append, microseconds since the epoch.
    pub hour_start_us: i64,
    /// How many.
    pub records: u64,
}

/// The ledger of one commit. Its order is fixed: the same stretch of the log gives equal ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommitLedger {
    /// Per gateway run, in order of (gateway, epoch).
    pub epochs: Vec<EpochFound>,
    /// What could not be decoded, in order of the hour.
    pub undecodable: Vec<Undecodable>,
    /// What devices' own numbers said, in order of the hour; absent where no device numbers its messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceHour>,
}

impl CommitLedger {
    /// Counts one decoded record.
    pub fn count(&mut self, envelope: &Envelope, fate: Fate) {
        let epoch = self.epoch_mut(envelope);
        if let Fate::New { .. } = fate {
            let seq = envelope.origin.seq;
            epoch.numbered += 1;
            epoch.first_seq = Some(epoch.first_seq.map_or(seq, |first| first.min(seq)));
            epoch.last_seq = Some(epoch.last_seq.map_or(seq, |last| last.max(seq)));
        }
        let readings = match &envelope.body {
            Body::Heartbeat(heartbeat) => {
                if let Fate::New { .. } = fate {
                    epoch.hear(envelope.origin.seq, heartbeat);
                }
                return;
            }
            Body::Readings(readings) => readings.readings.len() as u64,
            Body::Command(_) | Body::Ticket(_) | Body::Forecast(_) | Body::ModelActivated(_) => 0,
        };
        let hour = hour_mut(
            &mut epoch.hours,
            envelope.ingest_time.hour_start(),
            |found| found.hour_start_us,
            |hour_start_us| Found { hour_start_us, ..Found::default() },
        );
        hour.records += 1;
        match fate {
            Fate::New { kept } => {
                debug_assert!(kept <= readings, "a record cannot keep more readings than it has");
                hour.messages += u64::from(envelope.messages);
                hour.readings += readings;
                hour.archived += kept;
                hour.duplicates += readings - kept.min(readings);
            }
            Fate::Redelivered => {
                hour.redelivered_records += 1;
                hour.redelivered_readings += readings;
            }
        }
    }

    /// Counts what the number of a device's message said.
    pub fn count_device(
        &mut self,
        ingest_time: IngestTime,
        sequence: Sequence,
        device: impl FnOnce() -> String,
    ) {
        hour_mut(
            &mut self.devices,
            ingest_time.hour_start(),
            |hour| hour.hour_start_us,
            |hour_start_us| DeviceHour { hour_start_us, ..DeviceHour::default() },
        )
        .count(sequence, device);
    }

    /// Counts one record that could not be decoded.
    pub fn count_undecodable(&mut self, append_time: AppendTime) {
        hour_mut(
            &mut self.undecodable,
            append_time.hour_start(),
            |undecodable| undecodable.hour_start_us,
            |hour_start_us| Undecodable { hour_start_us, records: 0 },
        )
        .records += 1;
    }

    /// Adds the ledger of the commit that follows, so that both read as one commit.
    pub fn absorb(&mut self, later: &Self) {
        for epoch in &later.epochs {
            let key = (&epoch.gateway, epoch.epoch);
            match self.epochs.binary_search_by(|known| (&known.gateway, known.epoch).cmp(&key)) {
                Ok(place) => self.epochs[place].absorb(epoch),
                Err(place) => self.epochs.insert(place, epoch.clone()),
            }
        }
        for of_hour in &later.undecodable {
            hour_mut(
                &mut self.undecodable,
                of_hour.hour_start_us,
                |undecodable| undecodable.hour_start_us,
                |hour_start_us| Undecodable { hour_start_us, records: 0 },
            )
            .records += of_hour.records;
        }
        for of_hour in &later.devices {
            hour_mut(
                &mut self.devices,
                of_hour.hour_start_us,
                |hour| hour.hour_start_us,
                |hour_start_us| DeviceHour { hour_start_us, ..DeviceHour::default() },
            )
            .add(of_hour);
        }
    }

    /// What was found by ingest hour, over all gateways, in order of the hour.
    pub fn hours(&self) -> Vec<Found> {
        let mut hours: Vec<Found> = Vec::new();
        for found in self.epochs.iter().flat_map(|epoch| &epoch.hours) {
            hour_mut(
                &mut hours,
                found.hour_start_us,
                |found| found.hour_start_us,
                |hour_start_us| Found { hour_start_us, ..Found::default() },
            )
            .add(found);
        }
        hours
    }

    fn epoch_mut(&mut self, envelope: &Envelope) -> &mut EpochFound {
        let origin = &envelope.origin;
        let found =
            self.epochs.binary_search_by(|e| (&e.gateway, e.epoch).cmp(&(&origin.gateway, origin.epoch)));
        let place = found.unwrap_or_else(|place| {
            let epoch = EpochFound {
                gateway: origin.gateway.clone(),
                epoch: origin.epoch,
                first_seq: None,
                last_seq: None,
                numbered: 0,
                hours: Vec::new(),
                last_heartbeat: None,
                said: Vec::new(),
            };
            self.epochs.insert(place, epoch);
            place
        });
        &mut self.epochs[place]
    }
}

impl EpochFound {
    fn hear(&mut self, seq: u64, heartbeat: &Heartbeat) {
        if self.last_heartbeat.is_some_and(|last| last.seq > seq) {
            return;
        }
        self.last_heartbeat = Some(SaidAt {
            seq,
            records_in_partition: heartbeat.records_in_partition,
            readings_in_partition: heartbeat.readings_in_partition,
            last: heartbeat.last,
        });
        for counts in &heartbeat.hours {
            *hour_mut(&mut self.said, counts.hour_start_us, |said| said.hour_start_us, |_| *counts) = *counts;
        }
    }
}

/// The entry of an hour in a list that is in order of the hour; nearly always the last one.
fn hour_mut<T>(
    list: &mut Vec<T>,
    hour_start_us: i64,
    key: impl Fn(&T) -> i64,
    new: impl Fn(i64) -> T,
) -> &mut T {
    debug_assert_eq!(hour_start_us.rem_euclid(MICROS_PER_HOUR), 0, "an hour starts at its start");
    let place = list.partition_point(|entry| key(entry) < hour_start_us);
    if list.get(place).is_none_or(|entry| key(entry) != hour_start_us) {
        list.insert(place, new(hour_start_us));
    }
    &mut list[place]
}

#[cfg(test)]
mod tests {
    use heat_model::Origin;

    use super::*;

    const HOUR: i64 = MICROS_PER_HOUR;

    fn record(gateway: &str, seq: u64, ingest_us: i64, body: Body) -> Envelope {
        Envelope {
            network: None,
            origin: Origin { gateway: gateway.parse().unwrap(), epoch: 1, seq },
            ingest_time: IngestTime::from_micros(ingest_us),
            messages: 1,
            body,
        }
    }

    fn activation(gateway: &str, seq: u64, ingest_us: i64) -> Envelope {
        record(gateway, seq, ingest_us, Body::ModelActivated(heat_model::plant::PlantHash(1)))
    }

    fn heartbeat(seq: u64, hour_start_us: i64, messages_received: u64) -> Envelope {
        let hours = vec![HourCounts { hour_start_us, messages_received, ..HourCounts::default() }];
        let body = Heartbeat { hours, records_in_partition: seq, ..Heartbeat::default() };
        record("a", seq, hour_start_us, Body::Heartbeat(body))
    }

    #[test]
    fn a_hole_in_the_numbers_is_seen_and_a_redelivery_does_not_fill_it() {
        let mut ledger = CommitLedger::default();
        for seq in [4, 5, 8] {
            ledger.count(&activation("a", seq, 0), Fate::New { kept: 0 });
        }
        ledger.count(&activation("a", 5, 0), Fate::Redelivered);

        let epoch = &ledger.epochs[0];
        assert_eq!((epoch.first_seq, epoch.last_seq, epoch.missing()), (Some(4), Some(8), 2));
        assert_eq!(
            epoch.total(),
            Found { records: 4, messages: 3, redelivered_records: 1, ..Found::default() }
        );
    }

    #[test]
    fn hours_and_gateways_are_in_order_whatever_the_order_of_the_log() {
        let mut forth = CommitLedger::default();
        let mut back = CommitLedger::default();
        let records = [activation("b", 0, HOUR), activation("a", 0, 3 * HOUR), activation("a", 1, 0)];
        records.iter().for_each(|record| forth.count(record, Fate::New { kept: 0 }));
        records.iter().rev().for_each(|record| back.count(record, Fate::New { kept: 0 }));

        assert_eq!(forth, back);
        let hours: Vec<i64> = forth.hours().iter().map(|hour| hour.hour_start_us / HOUR).collect();
        assert_eq!(hours, [0, 1, 3]);
    }

    #[test]
    fn the_latest_heartbeat_speaks_for_each_hour() {
        let mut ledger = CommitLedger::default();
        for (seq, hour, messages) in [(0, 0, 5), (1, 0, 9), (2, HOUR, 1)] {
            ledger.count(&heartbeat(seq, hour, messages), Fate::New { kept: 0 });
        }
        ledger.count(&heartbeat(1, 0, 9), Fate::Redelivered);

        let epoch = &ledger.epochs[0];
        let said: Vec<(i64, u64)> =
            epoch.said.iter().map(|h| (h.hour_start_us, h.messages_received)).collect();
        assert_eq!(said, [(0, 9), (HOUR, 1)]);
        assert_eq!(epoch.last_heartbeat.unwrap().seq, 2);
        assert_eq!(epoch.numbered, 3);
        assert!(epoch.hours.is_empty(), "heartbeats are no records of an hour");
    }

    #[test]
    fn undecodable_records_count_by_the_hour_of_append() {
        let mut ledger = CommitLedger::default();
        for append_us in [HOUR, 5, HOUR + 1] {
            ledger.count_undecodable(AppendTime::from_micros(append_us));
        }

        let found: Vec<(i64, u64)> =
            ledger.undecodable.iter().map(|u| (u.hour_start_us / HOUR, u.records)).collect();
        assert_eq!(found, [(0, 1), (1, 2)]);
    }
}
