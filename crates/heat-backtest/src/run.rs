//! Drives the live processor's partition over records and keeps what it said.

mod record;

use std::{collections::BTreeMap, io, sync::Arc};

use heat_codec::plant::hash;
use heat_detect::{DetectSettings, Output, PartitionCore};
use heat_ledger::repeats::RepeatSettings;
use heat_model::{
    Body, Envelope, Lane, NetworkId, Position,
    incident::{ChangeKind, Class, IncidentEvent},
    plant::{PlantHash, PlantModel},
    record::{NextOffset, Readings},
};
use heat_processor::part::Part;

pub use record::{NetworkRecord, Raised, Record, TraceStep, place_in};

use crate::{archived::network_of, report::CostReport, scores::ScoresWriter};

/// Alarms kept; more than a city raises in ten years within its budget.
const ALARMS_MAX: usize = 100_000;
/// Quarter hours kept for plots and noise, over all networks: 57 network-years, 64 MB.
const TRACE_MAX: usize = 2_000_000;
/// Microseconds between looks at the detectors; a quarter hour ends less often.
const LOOK_US: i64 = 60_000_000;
/// How long after its emission place and size of a burst, and of a leak, may still be revised to count as published later.
const LATER_BURST_US: i64 = 605_000_000;
const LATER_LEAK_US: i64 = 24 * 3_600_000_000;

/// One backtest under way.
#[derive(Debug)]
pub struct Run {
    settings: DetectSettings,
    plant: Arc<PlantModel>,
    plant_hash: PlantHash,
    part: Option<Part>,
    out: Vec<Output>,
    record: Record,
    /// Latest alarm of an incident by class, as index of the record's alarms.
    latest: BTreeMap<(heat_model::IncidentId, Class), usize>,
    scores: Option<ScoresWriter>,
    trace_steps: usize,
}

impl Run {
    /// A run with the settings and plant model that the live processor would have. `scores` receives every detector's
    /// statistic as CSV.
    pub fn new(
        settings: DetectSettings,
        plant: Arc<PlantModel>,
        scores: Option<Box<dyn io::Write + Send>>,
    ) -> Self {
        Self {
            plant_hash: hash(&plant),
            settings,
            plant,
            part: None,
            out: Vec::new(),
            record: Record::default(),
            latest: BTreeMap::new(),
            scores: scores.map(ScoresWriter::new),
            trace_steps: 0,
        }
    }

    /// Ends a partition; the next record begins another.
    pub fn end_partition(&mut self) -> Result<(), io::Error> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let networks: Vec<NetworkId> = part.core().networks().cloned().collect();
        for network in &networks {
            self.look(&part, network)?;
            if let Some(probe) = part.core().probe(network) {
                let known = self.record.network(network);
                known.costs.extend(probe.station_costs().map(|cost| CostReport {
                    network: network.as_str().to_owned(),
                    site: cost.site.as_str().to_owned(),
                    excess_m3: cost.excess_kg / 1e3,
                    excess_gj: cost.excess_j / 1e9,
                    capacity_gj: cost.capacity_j / 1e9,
                    hours: cost.seconds as f64 / 3_600.0,
                }));
                known.redundancy.extend(probe.redundancy().map(|signal| {
                    (
                        format!("{}/{}/{}", signal.site, signal.device, signal.name),
                        (signal.least, signal.unit),
                    )
                }));
            }
        }
        self.record.add_counts(part.core().counters(), part.admitted());
        Ok(())
    }

    /// Takes the next record of the partition. Fails only where scores cannot be written.
    pub fn take(&mut self, position: &Position, envelope: &Envelope) -> Result<(), io::Error> {
        let mut part = self.part.take().unwrap_or_else(|| {
            let mut core = PartitionCore::new(self.settings.clone(), Arc::clone(&self.plant));
            core.offer_model(self.plant_hash, Arc::clone(&self.plant));
            Part::new(core, RepeatSettings::default(), NextOffset(position.offset.0), None)
        });
        part.take_envelope(position, envelope, &mut self.out);
        let outcome = self.after(&part, position, envelope);
        self.part = Some(part);
        outcome
    }

    fn after(&mut self, part: &Part, position: &Position, envelope: &Envelope) -> Result<(), io::Error> {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            match output {
                Output::Event(event) => self.event(&event),
                Output::Status(status) => self.record.network(&status.network).statuses.push(status),
                // Recorded tickets are what the detectors see; what answers them concerns the hotline.
                Output::Ticket(_) => {}
                // What a recorded past showed stays shown.
                Output::Forgotten(_) => {}
                Output::Refused(refusal) => {
                    self.record.refused += 1;
                    self.record.first_refusal.get_or_insert(refusal.reason.to_string());
                }
            }
        }
        self.out = out;
        let Some(network) = network_of(envelope) else { return Ok(()) };
        let at_us = position.append_time.as_micros();
        let known = self.record.network(network);
        known.first_us.get_or_insert(at_us);
        known.last_us = at_us;
        let mut due = false;
        if let Body::Readings(readings) = &envelope.body {
            known.note(readings);
            due = at_us - known.looked_us >= LOOK_US;
            if let Some(scores) = &mut self.scores {
                scores.readings(part.core(), readings)?;
            }
        }
        if due {
            self.look(part, network)?;
        }
        Ok(())
    }

    /// Keeps what the balance made of quarter hours since the last look.
    fn look(&mut self, part: &Part, network: &NetworkId) -> Result<(), io::Error> {
        let Some(probe) = part.core().probe(network) else { return Ok(()) };
        let known = self.record.network(network);
        known.looked_us = part.core().now().as_micros();
        let seen_us = known.trace_until_us;
        let mut cut = false;
        for step in probe.balance_steps().filter(|step| step.bin_start_us > seen_us) {
            known.trace_until_us = step.bin_start_us;
            if let Some(scores) = &mut self.scores {
                scores.step(network, step, probe)?;
            }
            if self.trace_steps < TRACE_MAX {
                self.trace_steps += 1;
                known.trace.push(TraceStep::of(step));
            } else {
                cut = true;
            }
        }
        known.circulation_kg_s =
            probe.balance_steps().last().map_or(known.circulation_kg_s, |s| s.circulation_kg_s);
        for (site, _) in probe.stations() {
            if !known.stations.contains(site) {
                known.stations.insert(site.clone());
            }
        }
        self.record.trace_is_cut |= cut;
        Ok(())
    }

    fn event(&mut self, event: &IncidentEvent) {
        let incident = &event.incident;
        let at_us = event.at.as_micros();
        let key = (incident.id, incident.class);
        if event.change.kind == ChangeKind::Cleared {
            for ((id, _), index) in self.latest.range((incident.id, Class::ALL[0])..) {
                if *id != incident.id {
                    break;
                }
                self.record.alarms[*index].cleared_us.get_or_insert(at_us);
            }
            return;
        }
        match self.latest.get(&key) {
            Some(&index) if !raises_anew(event) => {
                let alarm = &mut self.record.alarms[index];
                if event.change.kind == ChangeKind::Reopened {
                    alarm.cleared_us = None;
                }
                let limit_us = if incident.class == Class::Burst { LATER_BURST_US } else { LATER_LEAK_US };
                if at_us - alarm.emitted_us <= limit_us {
                    alarm.later_size_kg_s = incident.loss_kg_s.or(alarm.later_size_kg_s);
                    if !incident.candidates.is_empty() {
                        alarm.later = incident.candidates.clone();
                        alarm.later_side = incident.side;
                    }
                }
                alarm.affected = alarm.affected.max(incident.affected.len());
            }
            Some(_) | None => {
                if self.record.alarms.len() >= ALARMS_MAX {
                    self.record.alarms_cut += 1;
                    return;
                }
                self.latest.insert(key, self.record.alarms.len());
                self.record.alarms.push(Raised::of(event));
            }
        }
    }

    /// What the detectors said.
    pub fn finish(mut self) -> Result<Record, io::Error> {
        self.end_partition()?;
        if let Some(scores) = self.scores.take() {
            scores.finish()?;
        }
        Ok(self.record)
    }
}

/// Whether an event raises an alarm of its incident that counts. A fault of a station or sensor that comes back is the same
/// line of the list.
fn raises_anew(event: &IncidentEvent) -> bool {
    let is_of_list =
        matches!(event.incident.class, Class::ConsumerThermal | Class::Underheating | Class::SensorFault);
    event.change.kind == ChangeKind::Escalated || event.change.kind == ChangeKind::Reopened && !is_of_list
}

impl NetworkRecord {
    fn note(&mut self, readings: &Readings) {
        let count = readings.readings.len() as u64;
        match readings.lane {
            Lane::Live => self.live += count,
            Lane::Backfill => self.backfill += count,
        }
        if self.last_set == Some(readings.set.id) {
            return;
        }
        self.last_set = Some(readings.set.id);
        if self.sets.insert(readings.set.id) {
            self.sites.insert(readings.set.site.clone());
            for signal in 0..readings.set.signals.len() {
                let id = readings.set.signal_id(signal);
                self.signals.insert((id.site, id.device, id.name));
            }
        }
    }
}
