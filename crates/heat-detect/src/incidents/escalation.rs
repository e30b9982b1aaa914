//! When an incident that people know is called again: it turns out to be worse, more is lost on top, it has grown, or it
//! is back; and what it has come to meanwhile.

use heat_model::{
    AppendTime,
    incident::{AlarmState, ChangeKind, Class, Evidence, Incident},
};

use super::{
    Book, FURTHER_LOSS, GROWN_FROM, Kept, SHARE_OF_CIRCULATION,
    fusion::{Place, is_loss, is_of},
};
use crate::{Finding, core::Emitter};

/// A leak that loses so many times what it lost when it was last called is called again: a slow leak may lie under a small
/// one that was told before it, and who acknowledged drops does not know of a stream.
const GROWN: f64 = 3.0;
/// From this share of the circulation on: below it, leaks that people leave for summer come and go by as much.
const GROWN_MIN_SHARE: f64 = 0.003;

/// What a detector calls the same matter is the same incident within this time after its clearing, microseconds: a fault
/// that comes and goes is one line of the list, and a repair that did not hold is told with what was repaired.
const AGAIN_US: i64 = 15 * 24 * 3_600_000_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Escalation {
    /// It is of a class that is more urgent.
    Worse,
    /// A further loss came on top at once.
    Torn,
    /// It was called at another size.
    Grown { from_kg_s: f64 },
}

impl Kept {
    /// Why a finding about this incident calls people again, if it does.
    pub(super) fn escalation(&self, finding: &Finding) -> Option<Escalation> {
        if has_further_loss(&self.incident, finding) {
            return Some(Escalation::Torn);
        }
        let is_urgent = matches!(finding.class, Class::Burst | Class::PowerFailure | Class::ExchangerLeak);
        if self.incident.class != finding.class && is_urgent {
            return Some(Escalation::Worse);
        }
        let from_kg_s = self.called_kg_s.filter(|called| *called > 0.0)?;
        // A burst opens within minutes, and is called once. What is out of service or said to be repaired is looked at.
        let can_grow = is_loss(self.incident.class)
            && self.incident.class != Class::Burst
            && matches!(
                self.incident.alarm,
                AlarmState::Unacknowledged | AlarmState::Acknowledged | AlarmState::Shelved
            );
        let mut shares = finding.evidence.iter().filter(|evidence| evidence.what == SHARE_OF_CIRCULATION);
        let is_large = shares.any(|share| share.value >= GROWN_MIN_SHARE);
        let has_grown = finding.loss_kg_s.is_some_and(|loss| loss >= GROWN * from_kg_s);
        (can_grow && is_large && has_grown).then_some(Escalation::Grown { from_kg_s })
    }
}

impl Book {
    /// Opens the incident of a finding again that was cleared within [`AGAIN_US`]; false where there is none, or another
    /// explains the finding.
    pub(crate) fn resume(&mut self, finding: &Finding, emit: &mut Emitter<'_>) -> bool {
        if !matches!(self.place_of(finding, emit.now()), Place::New | Place::Reopen(_)) {
            return false;
        }
        let is_recent = |cleared: AppendTime| emit.now().as_micros() - cleared.as_micros() < AGAIN_US;
        let is_it =
            |kept: &Kept| is_of(&kept.incident, finding) && kept.incident.cleared.is_some_and(is_recent);
        let Some(index) = self.kept.iter().rposition(is_it) else { return false };
        self.reopen(index, finding, emit);
        true
    }

    /// Notes what an open incident has come to, as the finding's evidence says; the next word on it tells it.
    pub(crate) fn note_sums(&mut self, finding: &Finding, emit: &Emitter<'_>) -> Option<usize> {
        let is_it = |kept: &Kept| kept.is_open() && is_of(&kept.incident, finding);
        let index = self.kept.iter().rposition(is_it).filter(|_| !finding.evidence.is_empty())?;
        let evidence = &mut self.kept[index].incident.evidence;
        evidence.retain(|known| !finding.evidence.iter().any(|new| new.what == known.what));
        let at = emit.now().as_event_now();
        evidence.splice(0..0, finding.evidence.iter().map(|new| Evidence { at, ..new.clone() }));
        Some(index)
    }

    /// The same, told at once.
    pub(crate) fn adds_up(&mut self, finding: &Finding, emit: &mut Emitter<'_>) {
        if let Some(index) = self.note_sums(finding, emit) {
            let reason = "what it has come to".to_owned();
            self.say(index, ChangeKind::Updated, &finding.detector, Some(reason), emit);
        }
    }
}

/// Whether a finding tells a loss on top of the leak that the incident does not know yet.
fn has_further_loss(incident: &Incident, finding: &Finding) -> bool {
    let is_further = |evidence: &&Evidence| evidence.what == FURTHER_LOSS;
    let known = incident.evidence.iter().find(is_further).map(|evidence| evidence.at);
    let found = finding.evidence.iter().find(is_further).map(|evidence| evidence.at);
    found.is_some() && found != known && is_loss(finding.class)
}

/// What the leak lost when it was last called, as evidence.
pub(super) fn grown_from(incident: &Incident, from_kg_s: f64, now: AppendTime) -> Evidence {
    let place = incident.evidence.first().map_or_else(String::new, |evidence| evidence.place.clone());
    Evidence {
        detector: "life_cycle".to_owned(),
        place,
        what: GROWN_FROM.to_owned(),
        value: from_kg_s,
        unit: "kg/s".to_owned(),
        at: now.as_event_now(),
    }
}
