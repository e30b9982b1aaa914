//! Fusion and life cycle: findings become incidents, one per cause; commands and time move them.
//!
//! A burst and a leak are one kind of cause, loss of water: while a burst is on, the balance's leak is the burst; a
//! leak that turns out to be a burst within two hours becomes one. A second burst is a cause of its own. What a station shows
//! since a loss began is that loss's effect, where it can be: listed on it, not raised apart.
//!
//! Alarm states follow ISA-18.2 / IEC 62682; the repair work's state stands beside them and never moves them, except
//! that `repaired` awaits the data's verdict.

pub(crate) mod commands;
mod escalation;
mod fusion;
mod hotline;
pub(crate) mod text;

use escalation::{Escalation, grown_from};
pub(crate) use fusion::is_loss;
use fusion::{Place, is_network_loss, is_of};
pub(crate) use hotline::Explains;

use std::collections::VecDeque;

use heat_model::{
    AppendTime, EventTime, IncidentId, NetworkId,
    incident::{
        AlarmState, Change, ChangeKind, Class, Evidence, Incident, IncidentEvent, Priority, WorkState,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    DetectSettings, Finding, Output, core::Emitter, network::arrival::FOUND_LATE, output::Forgotten,
};

/// Changes of an incident's first quarter of an hour come at least this far apart, microseconds.
const YOUNG_UPDATE_US: i64 = 5_000_000;
const YOUNG_US: i64 = 15 * 60_000_000;
/// Change of the loss that is worth an update.
const MATERIAL_LOSS: f64 = 0.12;
/// Kind of a leak in the circuit that a station feeds.
pub(crate) const SECONDARY: &str = "secondary";
/// Kinds of a loss of the steam circuit.
pub(crate) const STEAM: &str = "steam";
pub(crate) const CONDENSATE: &str = "condensate";

/// Whether a loss of this kind is none of the hot water that the sources feed.
pub(crate) fn is_elsewhere(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| [SECONDARY, STEAM, CONDENSATE].contains(&kind))
}

/// Evidence of what came on top of a leak that was said.
pub(crate) const FURTHER_LOSS: &str = "further_loss";
/// Evidence of what a leak lost when it was last called, once it has grown so much that it is called again.
pub(crate) const GROWN_FROM: &str = "grown_from";

/// Probability that the make-up meter is at fault instead.
pub(crate) const METER_AT_FAULT: &str = "make_up_meter_at_fault";
/// Evidence: how much of the circulation is lost.
pub(crate) const SHARE_OF_CIRCULATION: &str = "share_of_circulation";

/// An incident and what its life cycle needs beyond what is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) incident: Incident,
    /// Whether its detector still sees it.
    pub(crate) active: bool,
    pub(crate) repaired_us: Option<i64>,
    /// First of two users who want to shelve a P1, and when.
    pub(crate) shelving: Option<(String, i64)>,
    /// What it lost when people were last called, or last acknowledged it.
    pub(crate) called_kg_s: Option<f64>,
    /// When the burst began that it tells of, as its detector says: several may be on at once.
    burst: Option<EventTime>,
}

impl Kept {
    fn new(incident: Incident) -> Self {
        let called_kg_s = incident.loss_kg_s;
        let burst = (incident.class == Class::Burst).then_some(incident.onset);
        Self { incident, active: true, repaired_us: None, shelving: None, called_kg_s, burst }
    }

    fn published(incident: Incident) -> Self {
        let awaits = incident.alarm == AlarmState::AwaitingVerification;
        let repaired_us = awaits.then_some(incident.updated.as_micros());
        // Which of the bursts that are on it is, its next finding says.
        Self {
            active: incident.alarm != AlarmState::Cleared,
            repaired_us,
            burst: None,
            ..Self::new(incident)
        }
    }

    /// Notes which burst it tells of, if it does.
    fn follows(&mut self, class: Class, onset: EventTime) {
        if class == Class::Burst {
            self.burst = Some(onset);
        }
    }

    fn is_open(&self) -> bool {
        self.incident.alarm != AlarmState::Cleared
    }
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) id: String,
    pub(crate) place: Option<String>,
    pub(crate) until: EventTime,
    pub(crate) reason: String,
}

impl Window {
    fn covers(&self, incident: &Incident) -> bool {
        match &self.place {
            None => true,
            Some(place) => incident.place.as_ref() == Some(place),
        }
    }
}

/// An incident that is over, until its state goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Ended {
    /// When the last was said of it.
    at: AppendTime,
    id: IncidentId,
}

/// All incidents of one network, in order of opening.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) kept: Vec<Kept>,
    pub(crate) windows: Vec<Window>,
    /// In order of time. They outlive their place in `kept`, which is a matter of room.
    ended: VecDeque<Ended>,
}

impl Book {
    /// Takes a finding.
    pub(crate) fn apply(
        &mut self,
        settings: &DetectSettings,
        network: &NetworkId,
        finding: Finding,
        emit: &mut Emitter<'_>,
    ) {
        if !finding.active {
            self.withdraw(&finding, emit);
            return;
        }
        match self.place_of(&finding, emit.now()) {
            Place::Ignored => {}
            Place::Effect(index) => self.add_effect(index, &finding, emit),
            Place::Update(index) => self.update(settings, index, finding, emit),
            Place::Reopen(index) => self.reopen(index, &finding, emit),
            Place::New => self.open(settings, network, finding, emit),
        }
    }

    /// Takes a finding that was over before it could be said: listed, and never paged.
    pub(crate) fn note_past(
        &mut self,
        settings: &DetectSettings,
        network: &NetworkId,
        finding: Finding,
        emit: &mut Emitter<'_>,
    ) {
        if !matches!(self.place_of(&finding, emit.now()), Place::New) {
            return;
        }
        let detector = finding.detector.clone();
        let Some(index) = self.keep(settings, network, finding, emit) else { return };
        let kept = &mut self.kept[index];
        kept.active = false;
        kept.incident.alarm = AlarmState::Cleared;
        kept.incident.cleared = Some(emit.now());
        let reason = Some("found in late data, and over before they came".to_owned());
        self.say(index, ChangeKind::Opened, &detector, reason, emit);
    }

    fn open(
        &mut self,
        settings: &DetectSettings,
        network: &NetworkId,
        finding: Finding,
        emit: &mut Emitter<'_>,
    ) {
        let detector = finding.detector.clone();
        let Some(index) = self.keep(settings, network, finding, emit) else { return };
        // The alarm that opened it may lie in a maintenance window: known, listed, and not paged.
        let incident = &mut self.kept[index].incident;
        let window =
            self.windows.iter().find(|window| window.covers(incident)).map(|window| window.reason.clone());
        if window.is_some() {
            incident.alarm = AlarmState::OutOfService;
        }
        self.say(index, ChangeKind::Opened, &detector, window, emit);
        self.absorb_effects(index, emit);
    }

    /// Makes room for an incident: one that is closed goes, or else the newest of those that are less urgent, and its end
    /// is said, for nobody would say it later. False where all that are open are as urgent.
    fn make_room(&mut self, settings: &DetectSettings, wanted: Priority, emit: &mut Emitter<'_>) -> bool {
        if self.kept.len() < settings.incidents_max {
            return true;
        }
        if let Some(closed) = self.kept.iter().position(|kept| !kept.is_open()) {
            self.kept.remove(closed);
            return true;
        }
        emit.count_dropped();
        let urgency = |&index: &usize| (self.kept[index].incident.priority, index);
        let least = (0..self.kept.len()).max_by_key(urgency);
        let Some(least) = least.filter(|&index| self.kept[index].incident.priority > wanted) else {
            return false;
        };
        let reason = format!("no longer followed: {} incidents are open", settings.incidents_max);
        self.clear(least, "life_cycle", Some(reason), emit);
        self.kept.remove(least);
        true
    }

    /// A new incident, not said yet; its index, or `None` where a bound keeps it out.
    fn keep(
        &mut self,
        settings: &DetectSettings,
        network: &NetworkId,
        finding: Finding,
        emit: &mut Emitter<'_>,
    ) -> Option<usize> {
        if !self.make_room(settings, finding.class.priority(), emit) {
            return None;
        }
        let id = IncidentId::derive(network, emit.origin(), emit.next_ordinal());
        let mut incident = Incident::new(id, network.clone(), finding.class, finding.onset, emit.now());
        take_over(&mut incident, finding);
        self.kept.push(Kept::new(incident));
        Some(self.kept.len() - 1)
    }

    fn reopen(&mut self, index: usize, finding: &Finding, emit: &mut Emitter<'_>) {
        let kept = &mut self.kept[index];
        kept.active = true;
        kept.incident.cleared = None;
        kept.incident.alarm = AlarmState::Unacknowledged;
        let onset = kept.incident.onset;
        take_over(&mut kept.incident, finding.clone());
        kept.incident.onset = onset;
        kept.follows(finding.class, finding.onset);
        kept.called_kg_s = kept.incident.loss_kg_s;
        self.say(
            index,
            ChangeKind::Reopened,
            &finding.detector,
            Some("the evidence is back".to_owned()),
            emit,
        );
    }

    fn update(&mut self, settings: &DetectSettings, index: usize, finding: Finding, emit: &mut Emitter<'_>) {
        let now = emit.now();
        let kept = &mut self.kept[index];
        kept.active = true;
        kept.follows(finding.class, finding.onset);
        let escalation = kept.escalation(&finding);
        let incident = &mut kept.incident;
        let age = now.as_micros() - incident.opened.as_micros();
        let rest = now.as_micros() - incident.updated.as_micros();
        let wait = if age <= YOUNG_US && finding.class.priority() == Priority::P1 {
            YOUNG_UPDATE_US
        } else {
            i64::try_from(settings.update_interval.as_micros()).unwrap_or(i64::MAX)
        };
        let is_urgent = matches!(escalation, Some(Escalation::Torn | Escalation::Worse));
        if !is_urgent && (rest < wait || !is_material(incident, &finding)) {
            return;
        }
        let detector = finding.detector.clone();
        let (class, onset) = (incident.class, incident.onset);
        let found = finding.class;
        take_over(incident, finding);
        if !is_urgent {
            incident.class = class;
        }
        if !matches!(escalation, Some(Escalation::Worse)) {
            incident.onset = onset;
        }
        let Some(escalation) = escalation else {
            self.say(index, ChangeKind::Updated, &detector, None, emit);
            return;
        };
        incident.priority = match escalation {
            // What comes on top makes nothing less urgent.
            Escalation::Torn => incident.priority.min(found.priority()),
            Escalation::Worse => found.priority(),
            Escalation::Grown { .. } => incident.priority,
        };
        incident.alarm = AlarmState::Unacknowledged;
        incident.shelved_until = None;
        let reason = match escalation {
            Escalation::Torn => "more is lost on top of it".to_owned(),
            Escalation::Worse => format!("{} turns out to be {}", class.as_str(), found.as_str()),
            Escalation::Grown { from_kg_s } => {
                let evidence = grown_from(incident, from_kg_s, now);
                incident.evidence.push(evidence);
                "it has grown".to_owned()
            }
        };
        kept.called_kg_s = kept.incident.loss_kg_s;
        self.say(index, ChangeKind::Escalated, &detector, Some(reason), emit);
    }

    fn withdraw(&mut self, finding: &Finding, emit: &mut Emitter<'_>) {
        let found = if finding.class == Class::Burst {
            self.open_burst(finding.onset)
        } else {
            self.kept.iter().rposition(|kept| {
                kept.is_open()
                    && if is_network_loss(finding.class, finding.kind.as_deref()) {
                        is_network_loss(kept.incident.class, kept.incident.kind.as_deref())
                            && kept.incident.class != Class::Burst
                    } else {
                        is_of(&kept.incident, finding)
                    }
            })
        };
        let Some(index) = found else { return };
        self.kept[index].active = false;
        self.settle(index, &finding.detector, emit);
    }

    /// The evidence is gone: a reported repair is thereby verified, anything else clears.
    fn settle(&mut self, index: usize, by: &str, emit: &mut Emitter<'_>) {
        if self.kept[index].incident.alarm == AlarmState::AwaitingVerification {
            self.kept[index].repaired_us = None;
            let incident = &mut self.kept[index].incident;
            incident.alarm = AlarmState::Cleared;
            incident.cleared = Some(emit.now());
            incident.work = WorkState::Closed;
            self.say(
                index,
                ChangeKind::Verified,
                by,
                Some("the data are back at their baseline".to_owned()),
                emit,
            );
        } else {
            self.clear(index, by, Some("the evidence is gone".to_owned()), emit);
        }
    }

    fn clear(&mut self, index: usize, by: &str, reason: Option<String>, emit: &mut Emitter<'_>) {
        let incident = &mut self.kept[index].incident;
        incident.alarm = AlarmState::Cleared;
        incident.cleared = Some(emit.now());
        incident.shelved_until = None;
        self.say(index, ChangeKind::Cleared, by, reason, emit);
    }

    /// Time passes: shelvings and windows end, repairs that the data do not confirm are reopened.
    pub(crate) fn tick(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let now = emit.now().as_event_now();
        let expired: Vec<String> = self
            .windows
            .iter()
            .filter(|window| window.until <= now)
            .map(|window| window.id.clone())
            .collect();
        for id in expired {
            self.end_window(&id, "clock", emit);
        }
        let verify_us = i64::try_from(settings.verify.as_micros()).unwrap_or(i64::MAX);
        for index in 0..self.kept.len() {
            let kept = &self.kept[index];
            if kept.incident.alarm == AlarmState::Shelved
                && kept.incident.shelved_until.is_some_and(|until| until <= now)
            {
                self.unshelve(index, "clock", "the time is over", emit);
            } else if kept.active && kept.repaired_us.is_some_and(|at| now.as_micros() - at >= verify_us) {
                self.kept[index].repaired_us = None;
                self.kept[index].incident.alarm = AlarmState::Unacknowledged;
                let reason = "the data do not confirm the repair".to_owned();
                self.say(index, ChangeKind::Reopened, "clock", Some(reason), emit);
            }
        }
    }

    /// Has the states of incidents go that have been over for long, or are more than the bound. Nothing more can be said
    /// of them, so the last word on each in its topic is that it is gone.
    pub(crate) fn forget(&mut self, settings: &DetectSettings, network: &NetworkId, emit: &mut Emitter<'_>) {
        while let Some(Ended { at, id }) = self.ended.front().copied()
            && (emit.now().since(at) >= settings.incident_retention || self.ended.len() > settings.ended_max)
        {
            self.ended.pop_front();
            self.kept.retain(|kept| kept.incident.id != id);
            emit.push(|_, _, _| Output::Forgotten(Forgotten { network: network.clone(), incident: id }));
        }
    }

    fn unshelve(&mut self, index: usize, by: &str, reason: &str, emit: &mut Emitter<'_>) {
        let incident = &mut self.kept[index].incident;
        incident.alarm = AlarmState::Unacknowledged;
        incident.shelved_until = None;
        self.say(index, ChangeKind::Unshelved, by, Some(reason.to_owned()), emit);
    }

    pub(crate) fn end_window(&mut self, id: &str, by: &str, emit: &mut Emitter<'_>) {
        self.windows.retain(|window| window.id != id);
        for index in 0..self.kept.len() {
            let incident = &self.kept[index].incident;
            let is_out = incident.alarm == AlarmState::OutOfService;
            if is_out && !self.windows.iter().any(|window| window.covers(incident)) {
                self.kept[index].incident.alarm = AlarmState::Unacknowledged;
                self.say(index, ChangeKind::BackInService, by, None, emit);
            }
        }
    }

    /// Puts incidents as they were published in the place of all that are kept: the newest, up to the bound. One that is
    /// open counts as seen by its detector, which says otherwise if it is not.
    pub(crate) fn adopt(&mut self, settings: &DetectSettings, mut incidents: Vec<Incident>) {
        let is_over = |incident: &&Incident| incident.alarm == AlarmState::Cleared;
        let over = incidents.iter().filter(is_over);
        self.ended = over.map(|incident| Ended { at: incident.updated, id: incident.id }).collect();
        self.ended.make_contiguous().sort();
        incidents.sort_by_key(|incident| (incident.opened, incident.id));
        let surplus = incidents.len().saturating_sub(settings.incidents_max);
        self.kept = incidents.drain(..).skip(surplus).map(Kept::published).collect();
    }

    /// Numbers, dates and emits a change of an incident.
    fn say(
        &mut self,
        index: usize,
        kind: ChangeKind,
        by: &str,
        reason: Option<String>,
        emit: &mut Emitter<'_>,
    ) {
        let incident = &mut self.kept[index].incident;
        incident.version += 1;
        incident.updated = emit.now();
        text::fill(incident);
        let change = Change { kind, by: by.to_owned(), reason };
        let incident = incident.clone();
        self.ended.retain(|ended| ended.id != incident.id);
        if incident.alarm == AlarmState::Cleared {
            self.ended.push_back(Ended { at: emit.now(), id: incident.id });
        }
        emit.push(|input_offset, ordinal, at| {
            Output::Event(IncidentEvent { input_offset, ordinal, at, change, incident })
        });
    }

    /// Whether any incident needs the clock.
    pub(crate) fn needs_tick(&self) -> bool {
        !self.windows.is_empty()
            || self
                .kept
                .iter()
                .any(|kept| kept.repaired_us.is_some() || kept.incident.alarm == AlarmState::Shelved)
    }
}

fn is_material(incident: &Incident, finding: &Finding) -> bool {
    // It is said anew only when its deadline has come nearer.
    if finding.class == Class::FrostRisk {
        return true;
    }
    let loss = match (incident.loss_kg_s, finding.loss_kg_s) {
        (Some(old), Some(new)) => (new - old).abs() > MATERIAL_LOSS * old.abs().max(1e-9),
        (old, new) => old.is_some() != new.is_some(),
    };
    let surer = match (incident.candidates.first(), finding.candidates.first()) {
        (Some(old), Some(new)) => (new.probability - old.probability).abs() > 0.15,
        (old, new) => old.is_some() != new.is_some(),
    };
    loss || surer || incident.place != finding.place || incident.affected.len() != finding.affected.len()
}

/// What a finding says about its incident; the alarm's own history stays.
fn take_over(incident: &mut Incident, mut finding: Finding) {
    // That it was found late, and what it has grown from, stays true.
    for lasting in [FOUND_LATE, GROWN_FROM] {
        let is_mark = |evidence: &&Evidence| evidence.what == lasting;
        if !finding.evidence.iter().any(|evidence| is_mark(&evidence)) {
            finding.evidence.extend(incident.evidence.iter().find(is_mark).cloned());
        }
    }
    incident.class = finding.class;
    incident.kind = finding.kind;
    incident.onset = finding.onset;
    incident.place = finding.place;
    incident.side = finding.side;
    incident.candidates = finding.candidates;
    incident.branch = finding.branch;
    incident.loss_kg_s = finding.loss_kg_s;
    incident.loss_m3_h = finding.loss_m3_h;
    incident.affected = finding.affected;
    incident.affected_households = finding.affected_households;
    incident.search_length_m = finding.search_length_m;
    incident.valves = finding.valves;
    incident.evidence = finding.evidence;
    incident.strength = finding.strength;
    incident.level = finding.level;
    incident.lacked = finding.lacked;
}
