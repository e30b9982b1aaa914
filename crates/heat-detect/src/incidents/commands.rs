//! What operators may do to an incident, and when it is refused.

use heat_model::{
    IncidentId,
    incident::{AlarmState, ChangeKind, Class, Evidence, Incident, Priority, WorkState},
    record::Action,
};

use super::{Book, CONDENSATE, STEAM, Window, is_elsewhere};
use crate::{DetectSettings, RefusalReason, core::Emitter, steam::Part};

/// A P1 is shelved when a second user asks for the same within this time, microseconds.
const SECOND_USER_US: i64 = 600_000_000;

/// What a command asks of the detectors, beyond the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    None,
    /// The utility closed a leak's case: the balance starts from what is there.
    CaseClosed,
    /// The same of steam, or of condensate.
    SteamCaseClosed(Part),
}

impl Book {
    /// Carries out a command of this network, or says why not.
    pub(crate) fn command(
        &mut self,
        settings: &DetectSettings,
        user: &str,
        action: &Action,
        emit: &mut Emitter<'_>,
    ) -> Result<Consequence, RefusalReason> {
        match action {
            Action::Acknowledge { incident, version } => self.acknowledge(user, *incident, *version, emit)?,
            Action::Shelve { incident, until, reason } => {
                self.shelve(settings, user, *incident, until.as_micros(), reason, emit)?;
            }
            Action::Unshelve { incident } => {
                let index = self.index(*incident)?;
                self.require(index, "unshelve", |alarm| alarm == AlarmState::Shelved)?;
                self.unshelve(index, user, "by command", emit);
            }
            Action::Work { incident, state } => return self.work(user, *incident, *state, emit),
            Action::Repaired { incident, pipe, location, cause, size_kg_s } => {
                let index = self.index(*incident)?;
                let said =
                    [pipe.as_ref().map(|pipe| pipe.as_str().to_owned()), location.clone(), cause.clone()];
                let reason = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
                self.repaired(index, user, reason, *size_kg_s, emit);
            }
            Action::MaintenanceBegin { id, place, until, reason } => {
                let window =
                    Window { id: id.clone(), place: place.clone(), until: *until, reason: reason.clone() };
                self.begin_window(settings, user, window, emit)?;
            }
            Action::MaintenanceEnd { id } => {
                if !self.windows.iter().any(|window| window.id == *id) {
                    return Err(RefusalReason::UnknownWindow);
                }
                self.end_window(id, user, emit);
            }
            // The network keeps the seasons of its circuits; what callers say is nothing to a detector.
            Action::Season { .. } | Action::FollowUp { .. } => {}
        }
        Ok(Consequence::None)
    }

    fn index(&self, id: IncidentId) -> Result<usize, RefusalReason> {
        self.kept.iter().rposition(|kept| kept.incident.id == id).ok_or(RefusalReason::UnknownIncident)
    }

    fn require(
        &self,
        index: usize,
        action: &str,
        allows: impl Fn(AlarmState) -> bool,
    ) -> Result<(), RefusalReason> {
        let alarm = self.kept[index].incident.alarm;
        if allows(alarm) {
            return Ok(());
        }
        Err(RefusalReason::NotInThisState { state: name(alarm).to_owned(), action: action.to_owned() })
    }

    fn acknowledge(
        &mut self,
        user: &str,
        id: IncidentId,
        version: Option<u32>,
        emit: &mut Emitter<'_>,
    ) -> Result<(), RefusalReason> {
        let index = self.index(id)?;
        let current = self.kept[index].incident.version;
        if let Some(seen) = version.filter(|seen| *seen != current) {
            return Err(RefusalReason::StaleVersion { seen, current });
        }
        self.require(index, "acknowledge", |alarm| alarm == AlarmState::Unacknowledged)?;
        self.kept[index].incident.alarm = AlarmState::Acknowledged;
        self.kept[index].called_kg_s = self.kept[index].incident.loss_kg_s;
        self.say(index, ChangeKind::Acknowledged, user, None, emit);
        Ok(())
    }

    fn shelve(
        &mut self,
        settings: &DetectSettings,
        user: &str,
        id: IncidentId,
        until_us: i64,
        reason: &str,
        emit: &mut Emitter<'_>,
    ) -> Result<(), RefusalReason> {
        let index = self.index(id)?;
        self.require(index, "shelve", |alarm| {
            matches!(alarm, AlarmState::Unacknowledged | AlarmState::Acknowledged | AlarmState::Shelved)
        })?;
        let is_p1 = self.kept[index].incident.priority == Priority::P1;
        let max = if is_p1 { settings.shelve_p1_max } else { settings.shelve_max };
        let now_us = emit.now().as_micros();
        if until_us <= now_us || (until_us - now_us) as u128 > max.as_micros() {
            return Err(RefusalReason::EndOutOfBounds { max_seconds: max.as_secs() });
        }
        let kept = &mut self.kept[index];
        if is_p1 {
            let confirmed = kept
                .shelving
                .as_ref()
                .is_some_and(|(first, at_us)| first != user && now_us - at_us <= SECOND_USER_US);
            if !confirmed {
                kept.shelving = Some((user.to_owned(), now_us));
                return Err(RefusalReason::NeedsSecondUser);
            }
        }
        kept.shelving = None;
        kept.incident.alarm = AlarmState::Shelved;
        kept.incident.shelved_until = Some(heat_model::EventTime::from_micros(until_us));
        self.say(index, ChangeKind::Shelved, user, Some(reason.to_owned()), emit);
        Ok(())
    }

    fn work(
        &mut self,
        user: &str,
        id: IncidentId,
        state: WorkState,
        emit: &mut Emitter<'_>,
    ) -> Result<Consequence, RefusalReason> {
        let index = self.index(id)?;
        let incident = &self.kept[index].incident;
        let (is_leak, steam) = (is_of_balance(incident), steam_part(incident));
        if state == WorkState::Repaired {
            self.repaired(index, user, String::new(), None, emit);
            return Ok(Consequence::None);
        }
        if state == WorkState::Closed && self.kept[index].is_open() {
            self.kept[index].incident.work = WorkState::Closed;
            self.kept[index].active = false;
            self.clear(index, user, Some("closed by the operator".to_owned()), emit);
            return Ok(match (is_leak, steam) {
                (true, _) => Consequence::CaseClosed,
                (false, Some(part)) => Consequence::SteamCaseClosed(part),
                (false, None) => Consequence::None,
            });
        }
        self.kept[index].incident.work = state;
        self.say(index, ChangeKind::WorkMoved, user, None, emit);
        Ok(Consequence::None)
    }

    fn repaired(
        &mut self,
        index: usize,
        user: &str,
        reason: String,
        size_kg_s: Option<f64>,
        emit: &mut Emitter<'_>,
    ) {
        let now = emit.now();
        let kept = &mut self.kept[index];
        if let Some(value) = size_kg_s {
            kept.incident.evidence.push(Evidence {
                detector: "operator".to_owned(),
                place: kept.incident.place.clone().unwrap_or_default(),
                what: "loss_found".to_owned(),
                value,
                unit: "kg/s".to_owned(),
                at: now.as_event_now(),
            });
        }
        let was_open = kept.is_open();
        kept.incident.work = WorkState::Repaired;
        if was_open {
            kept.incident.alarm = AlarmState::AwaitingVerification;
            kept.repaired_us = Some(now.as_micros());
        }
        let is_active = kept.active;
        self.say(index, ChangeKind::Repaired, user, (!reason.is_empty()).then_some(reason), emit);
        if !is_active && was_open {
            self.settle(index, "clock", emit);
        }
    }

    fn begin_window(
        &mut self,
        settings: &DetectSettings,
        user: &str,
        window: Window,
        emit: &mut Emitter<'_>,
    ) -> Result<(), RefusalReason> {
        let now_us = emit.now().as_micros();
        let max = settings.shelve_max;
        if window.until.as_micros() <= now_us || (window.until.as_micros() - now_us) as u128 > max.as_micros()
        {
            return Err(RefusalReason::EndOutOfBounds { max_seconds: max.as_secs() });
        }
        self.windows.retain(|known| known.id != window.id);
        if self.windows.len() >= settings.maintenance_max {
            let limit = settings.maintenance_max as u64;
            return Err(RefusalReason::TooMany { what: "maintenance windows".to_owned(), limit });
        }
        for index in 0..self.kept.len() {
            let alarm = self.kept[index].incident.alarm;
            let is_alarming = matches!(alarm, AlarmState::Unacknowledged | AlarmState::Acknowledged);
            if is_alarming && window.covers(&self.kept[index].incident) {
                self.kept[index].incident.alarm = AlarmState::OutOfService;
                self.say(index, ChangeKind::OutOfService, user, Some(window.reason.clone()), emit);
            }
        }
        self.windows.push(window);
        Ok(())
    }
}

/// Whether the network's water balance sees it: a secondary's leak is another's, and so is steam.
fn is_of_balance(incident: &Incident) -> bool {
    let is_leak = matches!(incident.class, Class::LeakAbrupt | Class::LeakIncipient | Class::ExchangerLeak);
    is_leak && !is_elsewhere(incident.kind.as_deref())
}

/// The part of the steam account that sees it.
fn steam_part(incident: &Incident) -> Option<Part> {
    match incident.kind.as_deref() {
        Some(STEAM) => Some(Part::Steam),
        Some(CONDENSATE) => Some(Part::Condensate),
        _ => None,
    }
}

const fn name(alarm: AlarmState) -> &'static str {
    match alarm {
        AlarmState::Unacknowledged => "unacknowledged",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Shelved => "shelved",
        AlarmState::OutOfService => "out of service",
        AlarmState::AwaitingVerification => "awaiting verification",
        AlarmState::Cleared => "cleared",
    }
}
