use heat_model::{Body, Envelope, IngestTime, Origin, record::Heartbeat, time::MICROS_PER_HOUR};

use super::*;
use crate::{
    commit::Fate,
    counts::{HourLedger, MessageAccount},
    devices::Sequence,
};

const HOUR: i64 = 7 * MICROS_PER_HOUR;

/// One gateway run with one partition: a ledger as the archiver fills it, and the counts as the gateway keeps them.
#[derive(Default)]
struct Run {
    counts: HourLedger,
    ledger: CommitLedger,
    letters: Letters,
    seq: u64,
    rows: u64,
    readings: u64,
}

impl Run {
    fn envelope(&mut self, messages: u32, body: Body) -> Envelope {
        let origin = Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: self.seq };
        self.seq += 1;
        Envelope { network: None, origin, ingest_time: IngestTime::from_micros(HOUR + 1), messages, body }
    }

    /// A command stands for a record here: what counts is its number and its message.
    fn message(&mut self) {
        let account = MessageAccount::new(IngestTime::from_micros(HOUR + 1), true, 0, 0, false);
        self.counts.receive(&account);
        let body = Body::ModelActivated(heat_model::plant::PlantHash(1));
        let envelope = self.envelope(1, body);
        self.ledger.count(&envelope, Fate::New { kept: 0 });
        self.counts.settle(&account);
    }

    fn reject(&mut self, readings: u32) {
        let account = MessageAccount::new(IngestTime::from_micros(HOUR + 1), false, 0, readings, true);
        self.counts.receive(&account);
        self.letters.letters += 1;
        self.letters.messages += 1;
        self.letters.readings += u64::from(readings);
        self.counts.settle(&account);
    }

    fn beat(&mut self, last: bool) {
        let beat = Heartbeat {
            hours: self.counts.take_changed(),
            records_in_partition: self.seq,
            readings_in_partition: self.readings,
            last,
        };
        let envelope = self.envelope(0, Body::Heartbeat(beat));
        self.ledger.count(&envelope, Fate::New { kept: 0 });
    }

    fn evidence(self) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.letters.insert(("gw".parse().unwrap(), 1, HOUR), self.letters);
        if self.rows > 0 {
            evidence.rows.insert(HOUR, self.rows);
        }
        evidence.stretches.push(Stretch { partition: PartitionId(0), ledger: self.ledger, archived: true });
        evidence
    }
}

fn stages(report: &AuditReport) -> Vec<(Option<i64>, Stage)> {
    report.differences.iter().map(|difference| (difference.hour_start_us, difference.stage)).collect()
}

#[test]
fn a_run_that_ended_well_balances() {
    let mut run = Run::default();
    run.message();
    run.reject(2);
    run.beat(true);
    let report = audit(&run.evidence());
    assert_eq!(report.differences, []);
    assert_eq!((report.total.messages_received, report.total.messages_logged), (2, 1));
    assert_eq!((report.total.messages_rejected, report.total.readings_rejected), (1, 2));
}

#[test]
fn a_killed_gateway_may_have_logged_more_than_it_said_but_not_less() {
    let mut run = Run::default();
    run.beat(false);
    run.message();
    assert!(audit(&run.evidence()).balances(), "logged after the last heartbeat");

    let mut run = Run::default();
    run.message();
    run.beat(false);
    let mut evidence = run.evidence();
    evidence.stretches[0].ledger.epochs[0].hours.clear();
    assert_eq!(stages(&audit(&evidence))[0], (Some(HOUR), Stage::Gateway));
}

#[test]
fn a_number_that_never_arrived_is_a_loss_in_the_log() {
    let mut run = Run::default();
    run.message();
    run.seq += 1;
    run.message();
    let report = audit(&run.evidence());
    assert_eq!(stages(&report), [(Some(HOUR), Stage::Log)]);
}

#[test]
fn a_missing_dead_letter_is_named() {
    let mut run = Run::default();
    run.reject(1);
    run.beat(true);
    let mut evidence = run.evidence();
    evidence.letters.clear();
    assert!(stages(&audit(&evidence)).contains(&(Some(HOUR), Stage::DeadLetters)));
}

#[test]
fn a_row_that_nobody_archived_is_named_with_its_hour() {
    let mut run = Run::default();
    run.message();
    run.beat(true);
    run.rows = 1;
    assert_eq!(stages(&audit(&run.evidence())), [(Some(HOUR), Stage::Archive)]);
}

/// A run of two partitions: beats go to both, messages to the first.
struct Two {
    counts: HourLedger,
    ledgers: [CommitLedger; 2],
    seqs: [u64; 2],
}

impl Two {
    fn append(&mut self, partition: usize, messages: u32, body: Body) {
        let origin = Origin { gateway: "gw".parse().unwrap(), epoch: 1, seq: self.seqs[partition] };
        self.seqs[partition] += 1;
        let ingest_time = IngestTime::from_micros(HOUR + 1);
        let envelope = Envelope { network: None, origin, ingest_time, messages, body };
        self.ledgers[partition].count(&envelope, Fate::New { kept: 0 });
    }

    fn message(&mut self) {
        let account = MessageAccount::new(IngestTime::from_micros(HOUR + 1), true, 0, 0, false);
        self.counts.receive(&account);
        self.append(0, 1, Body::ModelActivated(heat_model::plant::PlantHash(1)));
        self.counts.settle(&account);
    }

    fn beat(&mut self) {
        let hours = self.counts.take_changed();
        for partition in 0..2 {
            let records_in_partition = self.seqs[partition];
            let beat = Heartbeat { hours: hours.clone(), records_in_partition, ..Heartbeat::default() };
            self.append(partition, 0, Body::Heartbeat(beat));
        }
    }

    fn commit(&mut self, partition: usize) -> Stretch {
        let ledger = std::mem::take(&mut self.ledgers[partition]);
        Stretch { partition: PartitionId(u32::try_from(partition).unwrap()), ledger, archived: true }
    }
}

fn two() -> Two {
    Two { counts: HourLedger::default(), ledgers: Default::default(), seqs: [0, 0] }
}

#[test]
fn without_the_log_a_partition_that_is_archived_less_far_is_no_loss_and_a_hole_behind_it_is() {
    let mut run = two();
    run.message();
    run.beat();
    let mut stretches = vec![run.commit(0), run.commit(1)];
    // The other partition alone is archived on: its heartbeat speaks of a message that is not archived yet.
    run.message();
    run.beat();
    stretches.push(run.commit(1));
    let evidence = Evidence { stretches, without_log: true, ..Evidence::default() };

    let report = audit(&evidence);
    assert_eq!(report.differences, []);
    assert_eq!((report.total.messages_logged, report.total.messages_queued), (1, 0));
    let with_log = audit(&Evidence { without_log: false, ..evidence.clone() });
    assert!(stages(&with_log).contains(&(Some(HOUR), Stage::Log)), "with the log it would be known");

    let mut lost = evidence;
    lost.stretches[0].ledger.epochs[0].hours.clear();
    assert!(stages(&audit(&lost)).contains(&(Some(HOUR), Stage::Log)), "what was said in both is claimed");
}

#[test]
fn each_gateway_has_its_own_hours_and_a_cut_sums_anew() {
    let mut run = Run::default();
    run.message();
    run.reject(2);
    run.beat(true);
    let mut evidence = run.evidence();
    let mut other = Run::default();
    other.message();
    other.beat(true);
    let mut of_other = other.evidence();
    of_other.stretches[0].ledger.epochs[0].gateway = "other".parse().unwrap();
    evidence.stretches.append(&mut of_other.stretches);

    let mut report = audit(&evidence);
    let received: Vec<(String, u64)> = report
        .gateways
        .iter()
        .map(|gateway| (gateway.gateway.to_string(), gateway.hours[0].messages_received))
        .collect();
    assert_eq!(received, [("gw".to_owned(), 2), ("other".to_owned(), 1)]);
    report.keep_hours(|hour| hour > HOUR);
    assert_eq!((report.total, report.gateways.len()), (HourBalance::default(), 0));
}

#[test]
fn gaps_of_devices_are_told_and_are_no_difference() {
    let mut run = Run::default();
    run.message();
    run.reject(0);
    run.beat(true);
    let mut evidence = run.evidence();
    let ledger = &mut evidence.stretches[0].ledger;
    let ingest = IngestTime::from_micros(HOUR + 1);
    for (device, missing, late) in [("a", 5, 1), ("b", 9, 0), ("c", 2, 2)] {
        ledger.count_device(ingest, Sequence::Gap { missing }, || device.to_owned());
        (0..late).for_each(|_| ledger.count_device(ingest, Sequence::Late, || device.to_owned()));
    }

    let report = audit(&evidence);
    assert!(report.balances());
    let upstream = &report.upstream;
    assert_eq!((upstream.lost, upstream.devices, upstream.rejected_messages), (13, 2, 1));
    let worst: Vec<&str> = upstream.worst.iter().map(|gaps| gaps.device.as_str()).collect();
    assert_eq!(worst, ["b", "a"]);
}
