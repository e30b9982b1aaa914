//! A small reproducible town for the tests.

use std::sync::Arc;

use heat_model::{
    AppendTime, Body, Envelope, EventTime, IngestTime, Lane, NetworkId, Offset, Origin, PartitionId,
    Position, Quality, QualityCode, Reading, SignalSet, SignalSetId,
    incident::WorkState,
    reading::SignalDecl,
    record::{Action, Command, Heartbeat, Readings},
    ticket::{Ticket, TicketKind},
};

use crate::{ArchivedReading, Keep, read::ArchivedSignal};

const START_US: i64 = 1_795_501_000_000_000;

/// A record, and what is to be kept of it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) position: Position,
    pub(super) envelope: Envelope,
    /// All if absent.
    pub(super) keep_mask: Option<Vec<bool>>,
}

impl Sent {
    pub(super) fn readings(&self) -> usize {
        match &self.envelope.body {
            Body::Readings(readings) => readings.readings.len(),
            Body::Command(_)
            | Body::Ticket(_)
            | Body::Forecast(_)
            | Body::ModelActivated(_)
            | Body::Heartbeat(_) => 0,
        }
    }

    pub(super) fn keep(&self) -> Keep<'_> {
        self.keep_mask.as_deref().map_or(Keep::All, Keep::Mask)
    }

    pub(super) fn set_reading(&mut self, index: usize, set: impl Fn(&mut Reading)) {
        if let Body::Readings(readings) = &mut self.envelope.body {
            set(&mut readings.readings[index]);
        }
    }

    /// Rows that the archive must have of it, built without the archive's code.
    pub(super) fn expected(&self) -> Vec<ArchivedReading> {
        let Body::Readings(readings) = &self.envelope.body else { return Vec::new() };
        let kept = |index: &usize| self.keep_mask.as_ref().is_none_or(|mask| mask[*index]);
        (0..readings.readings.len())
            .filter(kept)
            .map(|index| {
                let reading = readings.readings[index];
                let decl = &readings.set.signals[reading.signal as usize];
                let signal = ArchivedSignal {
                    id: readings.set.signal_id(reading.signal as usize),
                    unit: decl.unit.to_string(),
                    raw_unit: decl.raw_unit.to_string(),
                };
                ArchivedReading {
                    signal: Arc::new(signal),
                    event_time: reading.event_time,
                    ingest_time: self.envelope.ingest_time,
                    append_time: self.position.append_time,
                    value: reading.usable(),
                    raw_value: Some(reading.raw).filter(|raw| !raw.is_nan()),
                    quality: reading.quality,
                    code: reading.code,
                    lane: readings.lane,
                    gateway: self.envelope.origin.gateway.clone(),
                    epoch: self.envelope.origin.epoch,
                    seq: self.envelope.origin.seq,
                    partition: self.position.partition,
                    offset: self.position.offset,
                }
            })
            .collect()
    }

    pub(super) fn leaves_a_row(&self) -> bool {
        match &self.envelope.body {
            Body::Readings(_) => !self.expected().is_empty(),
            Body::Heartbeat(_) => false,
            Body::Command(_) | Body::Ticket(_) | Body::Forecast(_) | Body::ModelActivated(_) => true,
        }
    }

    /// Whether a replayed body says the same: its readings by signal, time and value, in any order.
    pub(super) fn replays_as(&self, body: &Body) -> bool {
        let Body::Readings(replayed) = body else { return self.envelope.body == *body };
        let mut found: Vec<String> = replayed
            .readings
            .iter()
            .map(|r| {
                let id = replayed.set.signal_id(r.signal as usize);
                format!("{id} {:?} {:?} {:?} {:?} {:?}", r.event_time, r.raw, r.value, r.quality, r.code)
            })
            .collect();
        let mut expected: Vec<String> = self
            .expected()
            .iter()
            .map(|row| {
                let (raw, value) = (row.raw_value.unwrap_or(f64::NAN), row.value.unwrap_or(f64::NAN));
                let id = &row.signal.id;
                format!("{id} {:?} {raw:?} {value:?} {:?} {:?}", row.event_time, row.quality, row.code)
            })
            .collect();
        found.sort();
        expected.sort();
        found == expected
    }
}

/// Makes records in the order of the log.
#[derive(Debug)]
pub(super) struct City {
    state: u64,
    offset: u64,
    faults: bool,
    inputs: bool,
    days: i64,
    /// Every record of so many is up to `days` late; all are spread if 1.
    late_part: u64,
    sets: Vec<Arc<SignalSet>>,
}

impl City {
    pub(super) fn new(seed: u64) -> Self {
        let sets = (0..6).map(|device| Arc::new(set(device))).collect();
        Self { state: seed | 1, offset: 0, faults: false, inputs: false, days: 0, late_part: 1, sets }
    }

    /// Bad values, nulls, infinities, late data, clock faults, repeats.
    pub(super) fn with_faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// Commands, tickets and heartbeats among the readings.
    pub(super) fn with_inputs(mut self) -> Self {
        self.inputs = true;
        self
    }

    /// Event times over so many days, as a backfill has them.
    pub(super) fn spread_over_days(mut self, days: i64) -> Self {
        self.days = days;
        self
    }

    /// Of so many records one is up to so many days late.
    pub(super) fn with_late_part(mut self, late_part: u64, days: i64) -> Self {
        (self.late_part, self.days) = (late_part, days);
        self
    }

    /// Goes on where so many records are in the log already.
    pub(super) fn starting_at(mut self, records: usize) -> Self {
        self.offset = records as u64;
        self
    }

    pub(super) fn records(mut self, count: usize) -> Vec<Sent> {
        (0..count).map(|_| self.next()).collect()
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % below
    }

    pub(super) fn next(&mut self) -> Sent {
        let offset = self.offset;
        self.offset += 1;
        let now = START_US + i64::try_from(offset).unwrap() * 7_300_000;
        let choice = if self.inputs { self.random(10) } else { 9 };
        let (body, network) = match choice {
            0 => (self.ticket(), Some(self.sets[0].network.clone())),
            1 => (self.command(), Some(self.sets[3].network.clone())),
            2 => (Body::Heartbeat(Heartbeat { records_in_partition: offset, ..Heartbeat::default() }), None),
            _ => self.body(now),
        };
        let mut keep_mask = None;
        if let Body::Readings(readings) = &body
            && self.faults
            && self.random(5) == 0
        {
            keep_mask = Some((0..readings.readings.len()).map(|_| self.random(3) != 0).collect());
        }
        let gateway = if self.faults && self.random(9) == 0 { "gateway-b" } else { "gateway-a" };
        Sent {
            position: Position {
                partition: PartitionId(0),
                offset: Offset(offset),
                append_time: AppendTime::from_micros(now + 1000),
            },
            envelope: Envelope {
                network,
                origin: Origin { gateway: gateway.parse().unwrap(), epoch: u64::MAX - 5, seq: offset },
                ingest_time: IngestTime::from_micros(now),
                messages: 1,
                body,
            },
            keep_mask,
        }
    }

    fn ticket(&mut self) -> Body {
        Body::Ticket(Ticket {
            id: format!("t-{}", self.offset),
            time: EventTime::from_micros(START_US),
            kind: TicketKind::Cold,
            site: None,
            area: Some("东区".to_owned()),
            external_id: None,
            text: None,
        })
    }

    fn command(&mut self) -> Body {
        let incident = "00000000000000ff".parse().unwrap();
        Body::Command(Command {
            user: "duty".to_owned(),
            action: Action::Work { incident, state: WorkState::OnSite },
        })
    }

    fn body(&mut self, now: i64) -> (Body, Option<NetworkId>) {
        let device = usize::try_from(self.random(6)).unwrap();
        let set = Arc::clone(&self.sets[device]);
        let count = 1 + usize::try_from(self.random(8)).unwrap();
        let late_days = if self.days > 0 && self.random(self.late_part) == 0 { self.days } else { 0 };
        let readings = (0..count).map(|_| self.reading(&set, now, late_days)).collect();
        let network = set.network.clone();
        let lane = if self.random(4) == 0 { Lane::Backfill } else { Lane::Live };
        (Body::Readings(Readings { set, lane, device_seq: None, readings }), Some(network))
    }

    fn reading(&mut self, set: &SignalSet, now: i64, late_days: i64) -> Reading {
        let signal = u32::try_from(self.random(set.signals.len() as u64)).unwrap();
        let step = i64::try_from(self.random(20)).unwrap();
        let late =
            if late_days > 0 { i64::try_from(self.random(late_days.unsigned_abs())).unwrap() } else { 0 };
        let raw = 40.0 + self.random(300) as f64 / 10.0;
        let mut reading = Reading {
            signal,
            event_time: EventTime::from_micros(now - step * 100_000 - late * 86_400_000_000),
            raw,
            value: set.signals[signal as usize].value_of(raw),
            quality: Quality::Good,
            code: QualityCode::None,
        };
        if self.faults {
            self.spoil(&mut reading);
        }
        reading
    }

    fn spoil(&mut self, reading: &mut Reading) {
        match self.random(12) {
            0 => {
                (reading.raw, reading.value) = (f64::NAN, f64::NAN);
                (reading.quality, reading.code) = (Quality::Bad, QualityCode::Null);
            }
            1 => (reading.quality, reading.code) = (Quality::Bad, QualityCode::DeviceBad),
            2 => {
                (reading.raw, reading.value) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
                (reading.quality, reading.code) = (Quality::Bad, QualityCode::OutOfRange);
            }
            3 => {
                reading.event_time = EventTime::from_micros(0);
                (reading.quality, reading.code) = (Quality::Uncertain, QualityCode::ClockReset);
            }
            4 => (reading.raw, reading.value) = (-0.0, -0.0),
            5 => reading.event_time = EventTime::from_micros(reading.event_time.as_micros() - 90_000_000_000),
            _ => {}
        }
    }
}

fn set(device: usize) -> SignalSet {
    let decl = |name: &str, unit: &str, raw_unit: &str, scale: f64| SignalDecl {
        name: name.parse().unwrap(),
        unit: unit.into(),
        raw_unit: raw_unit.into(),
        scale,
        offset: 0.0,
    };
    SignalSet {
        id: SignalSetId(device as u64 * 77 + 1),
        network: NetworkId::new(["一网 北", "demo-south"][device % 2]).unwrap(),
        site: format!("s{}", device / 2).parse().unwrap(),
        device: format!("d{device}").parse().unwrap(),
        signals: vec![
            decl("supply_temperature", "degC", "", 1.0),
            decl("supply_pressure", "Pa", "MPa", 1e6),
            decl("make_up_flow", "m3/s", "m3/h", 1.0 / 3600.0),
        ],
    }
}
