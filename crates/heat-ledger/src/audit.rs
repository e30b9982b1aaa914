//! The audit: does every reading that came in stand in the archive, once, and nothing else?
//!
//! Law 2: received = logged + rejected + queued, logged = archived + duplicate + queued, for messages and readings, by
//! ingest hour. Three kinds of facts are held against one another, and each difference names its hour and stage:
//! - what gateways *said* in heartbeats (received, logged, rejected, queued);
//! - what was *found* in the partitions, record by record ([`crate::commit::CommitLedger`]), archived or still waiting;
//! - what the archive's files *hold*, row by row.
//!
//! A gateway that was killed said its counts up to a second before: what it logged after that is found, and what it
//! still held was never acknowledged, so its senders sent it again. Only the end of an epoch without good-bye has that
//! slack, and no more of it than was queued.
//!
//! Without the log, what is not archived yet is not known. Then a run that has not ended is judged by what its
//! heartbeats said in the partition that is archived the least far: all that was durable by then must be there.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{GatewayId, PartitionId, record::HourCounts};
use serde::Serialize;

use self::report::{by_gateway, sum};
use crate::commit::{CommitLedger, EpochFound, Found};

pub use report::{AuditReport, GatewayBalance, HourBalance};
pub use upstream::Upstream;

mod report;
mod upstream;

/// Where a difference arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Between receipt and log.
    Gateway,
    /// In the log: numbered, but not there.
    Log,
    /// Between log and archive.
    Archiver,
    /// In the archive's files: no longer as they were written.
    Archive,
    /// Between receipt and dead letters.
    DeadLetters,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Start of the ingest hour, microseconds since the epoch; `None` where it concerns no single hour.
    pub hour_start_us: Option<i64>,
    /// Where it arose.
    pub stage: Stage,
    /// What differs, in words and figures.
    pub what: String,
}

/// One stretch of a partition: a commit's ledger, or what waits behind the last commit.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The partition.
    pub partition: PartitionId,
    /// What was found in it.
    pub ledger: CommitLedger,
    /// Whether it is archived.
    pub archived: bool,
}

/// Dead letters of one gateway run and ingest hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Letters {
    /// How many.
    pub letters: u64,
    /// Messages of which nothing else remains.
    pub messages: u64,
    /// Readings in them.
    pub readings: u64,
}

/// Rows that the archive gave up, each with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Compaction found them to repeat others.
    pub repeats: u64,
    /// Older than retention keeps.
    pub expired: u64,
    /// Erased on request.
    pub erased: u64,
}

/// Everything an audit needs.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Stretches of all partitions, each partition's in order of its offsets.
    pub stretches: Vec<Stretch>,
    /// Dead letters by (gateway, epoch, hour).
    pub letters: BTreeMap<(GatewayId, u64, i64), Letters>,
    /// Rows that the archive's files hold now, by ingest hour.
    pub rows: BTreeMap<i64, u64>,
    /// Rows that are no longer held, and are accounted for, by ingest hour.
    pub removed: BTreeMap<i64, Removed>,
    /// Faults that reading the archive showed.
    pub faults: Vec<Difference>,
    /// Whether what lies in the log behind the last commits is unknown.
    pub without_log: bool,
}

/// One run of one gateway over all partitions.
#[derive(Debug, Default)]
struct Epoch {
    said: BTreeMap<i64, HourCounts>,
    /// The same by partition: what was said in each as far as it is known.
    said_in: BTreeMap<PartitionId, BTreeMap<i64, HourCounts>>,
    found: BTreeMap<i64, Found>,
    /// Readings kept, by hour: archived, and waiting to be.
    kept: BTreeMap<i64, (u64, u64)>,
    /// Partitions in which it said good-bye, and in which it spoke at all.
    ended: BTreeSet<PartitionId>,
    spoke: BTreeSet<PartitionId>,
}

impl Epoch {
    fn has_ended(&self) -> bool {
        !self.spoke.is_empty() && self.spoke == self.ended
    }

    /// What was said of an hour in the partition that is known the least far; nothing, if it was not spoken of there.
    fn said_at_least(&self, hour: i64, partitions: &BTreeSet<PartitionId>) -> Option<HourCounts> {
        let said = |partition| self.said_in.get(partition).and_then(|said| said.get(&hour)).copied();
        let all: Option<Vec<HourCounts>> = partitions.iter().map(said).collect();
        all?.into_iter().min_by_key(progress)
    }
}

/// Holds all facts against one another.
pub fn audit(evidence: &Evidence) -> AuditReport {
    let mut report = AuditReport { differences: evidence.faults.clone(), ..AuditReport::default() };
    let mut hours: BTreeMap<i64, HourBalance> = BTreeMap::new();
    let epochs = gather(evidence, &mut report.differences);
    let latest = latest_epochs(&epochs);
    let partitions: BTreeSet<PartitionId> =
        evidence.stretches.iter().map(|stretch| stretch.partition).collect();
    let last_hour =
        epochs.values().filter_map(|epoch| epoch.said.last_key_value()).map(|(hour, _)| *hour).max();
    let mut gateways: BTreeMap<(&GatewayId, i64), HourBalance> = BTreeMap::new();
    for ((gateway, number), epoch) in &epochs {
        let live = latest.get(gateway) == Some(number) && !epoch.has_ended();
        let letters =
            |hour: i64| evidence.letters.get(&(gateway.clone(), *number, hour)).copied().unwrap_or_default();
        let all: BTreeSet<i64> = epoch
            .said
            .keys()
            .chain(epoch.found.keys())
            .copied()
            .chain(
                evidence
                    .letters
                    .keys()
                    .filter(|(other, run, _)| other == gateway && run == number)
                    .map(|(_, _, hour)| *hour),
            )
            .collect();
        for hour in all {
            let is_open = evidence.without_log && !epoch.has_ended();
            let facts = HourFacts {
                said: if is_open {
                    epoch.said_at_least(hour, &partitions)
                } else {
                    epoch.said.get(&hour).copied()
                },
                found: epoch.found.get(&hour).copied().unwrap_or_default(),
                letters: letters(hour),
                ended: epoch.has_ended(),
                live,
                // Dead letters carry no heartbeats, so how far they are archived is known to the last hour only.
                letters_open: is_open && Some(hour) == last_hour,
            };
            let fresh = HourBalance { hour_start_us: hour, ..HourBalance::default() };
            facts.add_to(hours.entry(hour).or_insert(fresh));
            let own = gateways.entry((gateway, hour)).or_insert(fresh);
            facts.add_to(own);
            let (archived, waiting) = epoch.kept.get(&hour).copied().unwrap_or_default();
            own.archived += archived;
            own.waiting += waiting;
            facts.check(&format!("gateway {gateway}, epoch {number}"), hour, &mut report.differences);
        }
    }
    check_archive(evidence, &mut hours, &mut report.differences);
    report.hours = hours.into_values().collect();
    report.total = sum(&report.hours);
    report.gateways = by_gateway(gateways);
    report.upstream = Upstream::of(evidence);
    report.differences.sort();
    report.differences.dedup();
    report
}

/// Joins the stretches of each epoch and checks its numbers.
fn gather(evidence: &Evidence, differences: &mut Vec<Difference>) -> BTreeMap<(GatewayId, u64), Epoch> {
    let mut epochs: BTreeMap<(GatewayId, u64), Epoch> = BTreeMap::new();
    let mut streams: BTreeMap<(GatewayId, u64, PartitionId), Stream> = BTreeMap::new();
    for stretch in &evidence.stretches {
        for found in &stretch.ledger.epochs {
            let stream = streams.entry((found.gateway.clone(), found.epoch, stretch.partition)).or_default();
            stream.extend(found, stretch.partition, differences);
            let epoch = epochs.entry((found.gateway.clone(), found.epoch)).or_default();
            for hour in &found.hours {
                let sum = epoch
                    .found
                    .entry(hour.hour_start_us)
                    .or_insert(Found { hour_start_us: hour.hour_start_us, ..Found::default() });
                sum.add(hour);
                let (archived, waiting) = epoch.kept.entry(hour.hour_start_us).or_default();
                *(if stretch.archived { archived } else { waiting }) += hour.archived;
            }
            let said_here = epoch.said_in.entry(stretch.partition).or_default();
            for said in &found.said {
                let newest = epoch.said.entry(said.hour_start_us).or_insert(*said);
                // Counts only rise: the higher ones are the later ones, whatever partition carried them.
                if progress(said) >= progress(newest) {
                    *newest = *said;
                }
                said_here.insert(said.hour_start_us, *said);
            }
            if let Some(beat) = found.last_heartbeat {
                epoch.spoke.insert(stretch.partition);
                if beat.last {
                    epoch.ended.insert(stretch.partition);
                }
            }
        }
    }
    for ((gateway, epoch, partition), stream) in &streams {
        stream.check_readings(gateway, *epoch, *partition, differences);
    }
    epochs
}

fn progress(counts: &HourCounts) -> (u64, u64) {
    (counts.messages_received, counts.messages_logged + counts.messages_rejected)
}

/// The newest epoch of each gateway: the only one that may still run.
fn latest_epochs(epochs: &BTreeMap<(GatewayId, u64), Epoch>) -> BTreeMap<GatewayId, u64> {
    epochs.keys().map(|(gateway, number)| (gateway.clone(), *number)).collect()
}

/// The numbers of one epoch in one partition.
#[derive(Debug, Default)]
struct Stream {
    next_seq: Option<u64>,
    readings: u64,
    said_readings: Option<u64>,
    ended: bool,
}

impl Stream {
    fn extend(&mut self, found: &EpochFound, partition: PartitionId, differences: &mut Vec<Difference>) {
        let hour = found.hours.first().map(|hour| hour.hour_start_us);
        let mut lost = found.missing();
        if let (Some(next), Some(first)) = (self.next_seq, found.first_seq) {
            lost += first.saturating_sub(next);
        }
        if lost > 0 {
            differences.push(Difference {
                hour_start_us: hour,
                stage: Stage::Log,
                what: format!(
                    "{lost} records that gateway {} numbered in epoch {} are missing from partition {}",
                    found.gateway, found.epoch, partition.0
                ),
            });
        }
        if let Some(last) = found.last_seq {
            self.next_seq = Some(self.next_seq.unwrap_or(0).max(last + 1));
        }
        self.readings += found.total().readings;
        if let Some(beat) = found.last_heartbeat {
            self.said_readings = Some(beat.readings_in_partition);
            self.ended = beat.last;
        }
    }

    fn check_readings(
        &self,
        gateway: &GatewayId,
        epoch: u64,
        partition: PartitionId,
        differences: &mut Vec<Difference>,
    ) {
        let Some(said) = self.said_readings else { return };
        let differs = if self.ended { self.readings != said } else { self.readings < said };
        if differs {
            differences.push(Difference {
                hour_start_us: None,
                stage: Stage::Log,
                what: format!(
                    "gateway {gateway}, epoch {epoch}: {said} readings were appended to partition {}, {} are found",
                    partition.0, self.readings
                ),
            });
        }
    }
}

/// What is known of one gateway run in one hour.
struct HourFacts {
    said: Option<HourCounts>,
    found: Found,
    letters: Letters,
    ended: bool,
    live: bool,
    /// Dead letters may be on their way to the archive.
    letters_open: bool,
}

impl HourFacts {
    fn add_to(&self, balance: &mut HourBalance) {
        let said = self.said.unwrap_or_default();
        let (found, letters) = (&self.found, &self.letters);
        let settled = (found.messages + letters.messages, found.readings + letters.readings);
        // What a running gateway holds is what it said it received beyond what is found by now.
        let queued = if self.live {
            (
                said.messages_received.saturating_sub(settled.0),
                said.readings_received.saturating_sub(settled.1),
            )
        } else {
            (0, 0)
        };
        let received = if self.ended {
            (said.messages_received, said.readings_received)
        } else {
            (settled.0 + queued.0, settled.1 + queued.1)
        };
        balance.messages_received += received.0;
        balance.readings_received += received.1;
        balance.messages_logged += found.messages;
        balance.readings_logged += found.readings;
        balance.messages_rejected += letters.messages;
        balance.readings_rejected += letters.readings;
        balance.messages_queued += queued.0;
        balance.readings_queued += queued.1;
        balance.duplicates += found.duplicates;
    }

    fn check(&self, who: &str, hour: i64, differences: &mut Vec<Difference>) {
        let Some(said) = self.said else { return };
        let mut differ = |stage: Stage, what: String| {
            differences.push(Difference { hour_start_us: Some(hour), stage, what: format!("{who}: {what}") });
        };
        if !said.balances() {
            differ(Stage::Gateway, "received is not logged + rejected + queued".to_owned());
        }
        let checks = [
            (Stage::Log, "messages logged", said.messages_logged, self.found.messages),
            (Stage::Log, "readings logged", said.readings_logged, self.found.readings),
            (Stage::DeadLetters, "messages rejected", said.messages_rejected, self.letters.messages),
            (Stage::DeadLetters, "readings rejected", said.readings_rejected, self.letters.readings),
            (Stage::DeadLetters, "dead letters", said.dead_letters, self.letters.letters),
        ];
        for (stage, name, said, found) in checks {
            if stage == Stage::DeadLetters && self.letters_open {
                continue;
            }
            // A gateway without good-bye may have logged more than it had time to say, never less.
            if found < said || (self.ended && found != said) {
                differ(stage, format!("{said} {name} were said, {found} are found"));
            }
        }
        let settled = self.found.messages + self.letters.messages;
        if !self.ended && !self.letters_open && said.messages_received > settled + said.messages_queued {
            let lost = said.messages_received - settled - said.messages_queued;
            differ(
                Stage::Gateway,
                format!("{lost} messages were received and are neither found nor were queued"),
            );
        }
    }
}

/// Found and kept must be what the files hold, hour by hour.
fn check_archive(
    evidence: &Evidence,
    hours: &mut BTreeMap<i64, HourBalance>,
    differences: &mut Vec<Difference>,
) {
    let mut kept: BTreeMap<i64, u64> = BTreeMap::new();
    for stretch in &evidence.stretches {
        for hour in stretch.ledger.hours() {
            if stretch.archived {
                *kept.entry(hour.hour_start_us).or_default() += hour.archived;
            } else {
                let balance = hours
                    .entry(hour.hour_start_us)
                    .or_insert(HourBalance { hour_start_us: hour.hour_start_us, ..HourBalance::default() });
                balance.waiting += hour.archived;
            }
        }
    }
    let held = evidence.rows.keys().chain(evidence.removed.keys());
    let all: BTreeSet<i64> = kept.keys().chain(held).copied().collect();
    for hour in all {
        let expected = kept.get(&hour).copied().unwrap_or(0);
        let rows = evidence.rows.get(&hour).copied().unwrap_or(0);
        let balance =
            hours.entry(hour).or_insert(HourBalance { hour_start_us: hour, ..HourBalance::default() });
        let removed = evidence.removed.get(&hour).copied().unwrap_or_default();
        balance.archived += rows;
        balance.duplicates += removed.repeats;
        balance.expired += removed.expired;
        balance.erased += removed.erased;
        let rows = rows + removed.repeats + removed.expired + removed.erased;
        if rows != expected {
            let (stage, word) = (Stage::Archive, if rows < expected { "missing" } else { "too many" });
            let count = rows.abs_diff(expected);
            differences.push(Difference {
                hour_start_us: Some(hour),
                stage,
                what: format!(
                    "{count} rows {word}: {expected} readings were archived, {rows} are held or accounted for"
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests;
