//! When an incident that people know is called again: it turns out to be worse, more is lost on top, or it has grown.

use heat_model::{
    AppendTime,
    incident::{AlarmState, Class, Evidence, Incident},
};

use super::{FURTHER_LOSS, GROWN_FROM, Kept, SHARE_OF_CIRCULATION, fusion::is_loss};
use crate::Finding;

/// A leak that loses so many times what it lost when it was last called is called again: a slow leak may lie under a small
/// one that was told before it, and who acknowledged drops does not know of a stream.
const GROWN: f64 = 3.0;
/// From this share of the circulation on: below it, leaks that people leave for summer come and go by as much.
const GROWN_MIN_SHARE: f64 = 0.003;

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
