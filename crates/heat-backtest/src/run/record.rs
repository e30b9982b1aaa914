//! What a run keeps: alarms, states, and the water balance's course.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::CostReport;
use heat_detect::{Counters, NetworkStatus, probe::BalanceStep};
use heat_ledger::admission::AdmissionCounts;
use heat_model::{
    DeviceId, IncidentId, NetworkId, SignalName, SignalSetId, SiteId,
    incident::{Candidate, Class, IncidentEvent, Priority},
    plant::{ModelLevel, Side},
};

/// One alarm as it left the program, and what was published about it soon after.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The incident.
    pub id: IncidentId,
    /// Class when it was raised.
    pub class: Class,
    /// Kind within the class.
    pub kind: Option<String>,
    /// Network.
    pub network: NetworkId,
    /// Priority when it was raised.
    pub priority: Priority,
    /// When it left the program, microseconds since the epoch.
    pub emitted_us: i64,
    /// Estimated onset.
    pub onset_us: i64,
    /// When it was cleared.
    pub cleared_us: Option<i64>,
    /// Most probable place.
    pub place: Option<String>,
    /// Its side.
    pub side: Option<Side>,
    /// Ranked pipes when it was raised.
    pub candidates: Vec<Candidate>,
    /// Ranked pipes as published 10 min (burst) or 24 h (leak) later.
    pub later: Vec<Candidate>,
    /// Side as published then.
    pub later_side: Option<Side>,
    /// Estimated loss, kg/s.
    pub size_kg_s: Option<f64>,
    /// Estimated loss as published 10 min (burst) or 24 h (leak) later, kg/s.
    pub later_size_kg_s: Option<f64>,
    /// Strength in the detector's own measure.
    pub strength: f64,
    /// Who raised it.
    pub detector: String,
    /// Stations affected, at most.
    pub affected: usize,
    /// Level of plant model.
    pub level: ModelLevel,
    /// What was missing.
    pub lacked: Vec<String>,
    /// What the duty desk read, Chinese.
    pub text_zh: String,
    /// What it read, English.
    pub text_en: String,
}

impl Raised {
    pub(super) fn of(event: &IncidentEvent) -> Self {
        let incident = &event.incident;
        let detector = incident.evidence.first().map_or(&event.change.by, |evidence| &evidence.detector);
        Self {
            id: incident.id,
            class: incident.class,
            kind: incident.kind.clone(),
            network: incident.network.clone(),
            priority: incident.priority,
            emitted_us: event.at.as_micros(),
            onset_us: incident.onset.as_micros(),
            cleared_us: None,
            place: incident.place.clone(),
            side: incident.side,
            candidates: incident.candidates.clone(),
            later: incident.candidates.clone(),
            later_side: incident.side,
            size_kg_s: incident.loss_kg_s,
            later_size_kg_s: incident.loss_kg_s,
            strength: incident.strength,
            detector: detector.clone(),
            affected: incident.affected.len(),
            level: incident.level,
            lacked: incident.lacked.clone(),
            text_zh: incident.text_zh.clone(),
            text_en: incident.text_en.clone(),
        }
    }
}

/// One quarter hour of the water balance, in the precision of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceStep {
    /// Start, microseconds since the epoch.
    pub at_us: i64,
    /// Make-up, kg/s.
    pub water_kg_s: f32,
    /// Make-up less what contraction takes up, kg/s.
    pub corrected_kg_s: f32,
    /// The same less its baseline, kg/s.
    pub residual_kg_s: f32,
    /// Statistic over threshold.
    pub statistic: f32,
    /// Whether the baseline was still being learned.
    pub learns: bool,
}

impl TraceStep {
    pub(super) fn of(step: &BalanceStep) -> Self {
        Self {
            at_us: step.bin_start_us,
            water_kg_s: narrow(step.water_kg_s),
            corrected_kg_s: narrow(step.water_kg_s - step.contraction_kg_s),
            residual_kg_s: narrow(step.residual_kg_s),
            statistic: narrow(step.statistic),
            learns: step.learns,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a plot needs no more")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// What was seen of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkRecord {
    /// Append time of its first reading.
    pub first_us: Option<i64>,
    /// And of its last.
    pub last_us: i64,
    /// Live readings.
    pub live: u64,
    /// Back-filled readings.
    pub backfill: u64,
    /// Sites that spoke.
    pub sites: BTreeSet<SiteId>,
    /// Sites that the detectors take for stations.
    pub stations: BTreeSet<SiteId>,
    /// Signals that spoke.
    pub signals: BTreeSet<(SiteId, DeviceId, SignalName)>,
    /// What the detectors could judge, whenever that changed.
    pub statuses: Vec<NetworkStatus>,
    /// The water balance, quarter hour by quarter hour.
    pub trace: Vec<TraceStep>,
    /// Mean circulation, kg/s.
    pub circulation_kg_s: f64,
    /// Signals whose level others tell, as `site/device/name`: the least bias that they can show, and its unit.
    pub redundancy: BTreeMap<String, (f64, &'static str)>,
    /// Stations whose named faults cost flow or heat, the worst first.
    pub costs: Vec<CostReport>,
    pub(super) trace_until_us: i64,
    pub(super) looked_us: i64,
    pub(super) sets: BTreeSet<SignalSetId>,
    pub(super) last_set: Option<SignalSetId>,
}

impl Default for NetworkRecord {
    fn default() -> Self {
        Self {
            first_us: None,
            last_us: i64::MIN,
            live: 0,
            backfill: 0,
            sites: BTreeSet::new(),
            stations: BTreeSet::new(),
            signals: BTreeSet::new(),
            statuses: Vec::new(),
            trace: Vec::new(),
            circulation_kg_s: 0.0,
            redundancy: BTreeMap::new(),
            costs: Vec::new(),
            trace_until_us: i64::MIN,
            looked_us: i64::MIN / 2,
            sets: BTreeSet::new(),
            last_set: None,
        }
    }
}

/// What a run saw and said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Alarms in order of emission within each partition.
    pub alarms: Vec<Raised>,
    /// Networks.
    pub networks: BTreeMap<NetworkId, NetworkRecord>,
    /// What the cores counted, over all partitions.
    pub counters: Counters,
    /// Readings that repeated others exactly.
    pub repeats: u64,
    /// Readings that gave another value for a time already seen.
    pub corrections: u64,
    /// Commands and model activations refused.
    pub refused: u64,
    /// Why the first one was.
    pub first_refusal: Option<String>,
    /// Alarms beyond the bound on alarms kept.
    pub alarms_cut: u64,
    /// Whether quarter hours beyond the bound on those kept were left out of plots and noise.
    pub trace_is_cut: bool,
}

impl Record {
    pub(super) fn network(&mut self, network: &NetworkId) -> &mut NetworkRecord {
        if !self.networks.contains_key(network) {
            self.networks.insert(network.clone(), NetworkRecord::default());
        }
        self.networks.get_mut(network).expect("it was put in above")
    }

    /// Takes over another run's record, with each of its networks under the name that `name` gives it.
    pub fn absorb(&mut self, other: Self, name: impl Fn(&NetworkId) -> NetworkId) {
        self.alarms.extend(other.alarms.into_iter().map(|mut alarm| {
            let network = name(&alarm.network);
            alarm.place = alarm.place.map(|place| place_in(&place, &alarm.network, &network));
            alarm.network = network;
            alarm
        }));
        self.networks.extend(other.networks.into_iter().map(|(id, network)| (name(&id), network)));
        self.add_counters(other.counters);
        self.repeats += other.repeats;
        self.corrections += other.corrections;
        self.refused += other.refused;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.alarms_cut += other.alarms_cut;
        self.trace_is_cut |= other.trace_is_cut;
    }

    pub(super) fn add_counts(&mut self, counters: Counters, admitted: AdmissionCounts) {
        self.add_counters(counters);
        self.repeats += admitted.repeated_readings;
        self.corrections += admitted.corrections;
    }

    fn add_counters(&mut self, counters: Counters) {
        let sum = &mut self.counters;
        sum.readings += counters.readings;
        sum.repeats += counters.repeats;
        sum.bad += counters.bad;
        sum.no_measurement += counters.no_measurement;
        sum.clock += counters.clock;
        sum.late += counters.late;
        sum.unused += counters.unused;
        sum.over_bound += counters.over_bound;
        sum.incidents_dropped += counters.incidents_dropped;
    }
}

/// A place as it reads once its network is called otherwise: those of signals and devices begin with it, and a site is
/// known by what follows.
pub fn place_in(place: &str, before: &NetworkId, now: &NetworkId) -> String {
    match place.strip_prefix(before.as_str()) {
        Some(rest) if rest.starts_with('/') => format!("{now}{rest}"),
        _ => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_follows_its_networks_name_and_a_site_alone_stays() {
        let (before, now) = (NetworkId::new("town").unwrap(), NetworkId::new("town~2").unwrap());
        assert_eq!(place_in("town/a/meter/x", &before, &now), "town~2/a/meter/x");
        assert_eq!(place_in("town", &before, &now), "town");
        assert_eq!(place_in("townhall", &before, &now), "townhall");
    }
}
