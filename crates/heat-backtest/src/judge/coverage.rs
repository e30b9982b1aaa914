//! What could not be judged, and why.

use std::collections::BTreeSet;

use heat_detect::{DetectorState, probe, scoring::base};
use heat_model::{NetworkId, plant::ModelLevel};

use super::{Judged, text};
use crate::{
    report::{Coverage, DetectorCoverage, NetworkCoverage},
    run::{NetworkRecord, Record},
};

pub(super) fn coverage(judged: &Judged<'_>) -> Coverage {
    let record = judged.case.record;
    let unused: BTreeSet<&str> = record
        .networks
        .values()
        .flat_map(|network| &network.signals)
        .map(|(_, _, name)| name.as_str())
        .filter(|name| !probe::uses(name))
        .collect();
    let labelled: BTreeSet<&str> = judged.events.iter().map(|event| base(&event.class)).collect();
    let never: Vec<String> = labelled
        .into_iter()
        .filter(|class| !judged.alarms.iter().any(|alarm| base(&alarm.class) == *class))
        .map(str::to_owned)
        .collect();
    Coverage {
        networks: record.networks.iter().map(|(id, network)| of_network(judged, id, network)).collect(),
        readings: record.counters.readings,
        repeats: record.repeats,
        bad: record.counters.bad,
        clock: record.counters.clock,
        late: record.counters.late,
        unused: record.counters.unused,
        unused_names: unused.into_iter().map(str::to_owned).collect(),
        classes_never_raised: never,
        notes: notes(judged),
    }
}

fn of_network(judged: &Judged<'_>, id: &NetworkId, network: &NetworkRecord) -> NetworkCoverage {
    let plant = judged.case.plant;
    let described: BTreeSet<&str> = plant
        .sites
        .iter()
        .filter(|site| site.network.as_ref().is_none_or(|of| of == id))
        .map(|site| site.id.as_str())
        .collect();
    let level = network.statuses.last().map_or(ModelLevel::L0, |status| status.level);
    NetworkCoverage {
        network: id.as_str().to_owned(),
        level: format!("{level:?}"),
        level_lacks: level_lacks(level).to_owned(),
        from: network.first_us.map(text).unwrap_or_default(),
        to: text(network.last_us),
        sites: network.sites.len(),
        sites_not_in_plant: if described.is_empty() {
            Vec::new()
        } else {
            let unknown = network.sites.iter().filter(|site| !described.contains(site.as_str()));
            unknown.map(|site| site.as_str().to_owned()).collect()
        },
        signals: network.signals.len(),
        live_readings: network.live,
        backfilled_readings: network.backfill,
        detectors: detectors(network),
    }
}

const fn level_lacks(level: ModelLevel) -> &'static str {
    match level {
        ModelLevel::L0 => "no sites or pipes: what is lost can be told, not where",
        ModelLevel::L1 => "no pipes: places are branches at best",
        ModelLevel::L2 => "no elevations or no valves: no saturation margins, no valves to close",
        ModelLevel::L3 => "",
    }
}

/// Each detector's states over time, weighted by how long they held.
fn detectors(network: &NetworkRecord) -> Vec<DetectorCoverage> {
    let Some(last) = network.statuses.last() else {
        let none = |detector: &str| DetectorCoverage {
            detector: detector.to_owned(),
            ready_share: 0.0,
            ready_since: None,
            learning_share: 0.0,
            lacked: Vec::new(),
            why: "less than a quarter of an hour of live data".to_owned(),
        };
        return vec![none("burst"), none("water_balance")];
    };
    let first_us = network.first_us.unwrap_or(network.last_us);
    let whole = ((network.last_us - first_us).max(1)) as f64;
    last.detectors
        .iter()
        .map(|wanted| {
            let mut covered = DetectorCoverage {
                detector: wanted.detector.clone(),
                ready_share: 0.0,
                ready_since: None,
                learning_share: 0.0,
                lacked: Vec::new(),
                why: String::new(),
            };
            let states = network.statuses.iter().enumerate().filter_map(|(at, status)| {
                let state = status.detectors.iter().find(|d| d.detector == wanted.detector)?;
                // Before its first word a detector was what that word says.
                let from = if at == 0 { first_us } else { status.at.as_micros() };
                let to = network.statuses.get(at + 1).map_or(network.last_us, |next| next.at.as_micros());
                Some((from, ((to - from).max(0)) as f64 / whole, &state.state))
            });
            for (from, share, state) in states {
                match state {
                    DetectorState::Ready => {
                        covered.ready_share += share;
                        covered.ready_since.get_or_insert_with(|| text(from));
                    }
                    DetectorState::Learning { .. } => {
                        covered.learning_share += share;
                        covered.ready_since = None;
                    }
                    DetectorState::Lacking { signals } => {
                        covered.ready_since = None;
                        for signal in signals {
                            if !covered.lacked.contains(signal) {
                                covered.lacked.push(signal.clone());
                            }
                        }
                    }
                    DetectorState::OutOfSeason { .. } => covered.ready_since = None,
                }
            }
            covered.why = why(&wanted.state, &covered);
            covered
        })
        .collect()
}

fn why(state: &DetectorState, covered: &DetectorCoverage) -> String {
    match state {
        DetectorState::Ready if covered.ready_share > 0.999 => String::new(),
        DetectorState::Ready => {
            format!("it learned or lacked data for {:.0} % of the time", 100.0 * (1.0 - covered.ready_share))
        }
        DetectorState::Learning { seconds_left } => {
            format!("it still learns: {:.1} days of data are missing", *seconds_left as f64 / 86_400.0)
        }
        DetectorState::OutOfSeason { season, suggested } => {
            let by = if *suggested { "by the data" } else { "by command or calendar" };
            format!("the circuit is in the state {} {by}", season.as_str())
        }
        DetectorState::Lacking { signals } => format!("no {} at a source or station", signals.join(", no ")),
    }
}

fn notes(judged: &Judged<'_>) -> Vec<String> {
    let case = judged.case;
    let mut notes = Vec::new();
    let record = case.record;
    let backfilled: u64 = record.networks.values().map(|network| network.backfill).sum();
    let live: u64 = record.networks.values().map(|network| network.live).sum();
    if backfilled > live {
        notes.push(format!(
            "{backfilled} of {} readings are back-filled: they teach and are never judged; data loaded afterwards tell \
             only through a mapping of the recorded files, where they arrive when they were measured",
            backfilled + live
        ));
    }
    plant_notes(judged, &mut notes);
    label_notes(judged, &mut notes);
    run_notes(record, &mut notes);
    if let Some(odd) = case.oddities {
        let counts = [
            (odd.bad_rows, "rows could not be read"),
            (odd.bad_cells, "cells could not be taken"),
            (odd.out_of_order, "rows came after later ones of their file and count as late"),
            (odd.ahead, "rows lie ahead of the rows behind them: marked as a wrong clock"),
            (odd.repeated_hour, "local times are of an hour that occurs twice: read in the file's order"),
            (odd.skipped_hour, "local times are of an hour that does not occur"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            notes.push(format!("{count} {what}"));
        }
        notes.extend(odd.faults.iter().map(|fault| format!("such as {fault}")));
    }
    notes
}

fn plant_notes(judged: &Judged<'_>, notes: &mut Vec<String>) {
    let (plant, record) = (judged.case.plant, judged.case.record);
    if plant.networks.is_empty() && plant.sites.is_empty() && plant.pipes.is_empty() {
        notes.push("no plant model was given: nothing can be located; --plant DIR names one".to_owned());
        return;
    }
    for id in record.networks.keys() {
        if !plant.networks.iter().any(|network| network.id == *id) {
            let known: Vec<&str> = plant.networks.iter().map(|network| network.id.as_str()).collect();
            notes.push(format!(
                "the plant model does not know network {id} (it knows {}): its tables were not used for it",
                known.join(", ")
            ));
        }
    }
}

fn label_notes(judged: &Judged<'_>, notes: &mut Vec<String>) {
    let Some(labels) = judged.case.labels else { return };
    let foreign: BTreeSet<&str> = labels
        .iter()
        .map(|label| label.network.as_str())
        .filter(|network| judged.span(network).is_none())
        .collect();
    for network in foreign {
        notes.push(format!("labels name network {network}, of which there are no data: they are not scored"));
    }
    let unscored = judged.events.len() - judged.scored_events.len();
    if unscored > 0 {
        notes.push(format!(
            "{unscored} of {} labelled events began within the first 14 days or outside the data: they are not scored",
            judged.events.len()
        ));
    }
}

fn run_notes(record: &Record, notes: &mut Vec<String>) {
    if record.counters.over_bound > 0 {
        notes.push(format!(
            "{} readings were refused by the bounds on networks and signals",
            record.counters.over_bound
        ));
    }
    if record.alarms_cut > 0 {
        notes.push(format!("{} alarms beyond the bound on alarms kept were not judged", record.alarms_cut));
    }
    if record.trace_is_cut {
        notes.push(
            "the water balance's course is longer than what is kept: noise and plots are those of its beginning; \
             --from and --to choose another part"
                .to_owned(),
        );
    }
    if let Some(first) = &record.first_refusal {
        notes.push(format!(
            "{} commands or model activations were refused, the first because {first}",
            record.refused
        ));
    }
}
