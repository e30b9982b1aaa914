//! Tickets of a network: what they show, and what answers them.

use heat_model::{AppendTime, IncidentId, ticket::Ticket};

use super::Network;
use crate::{
    DetectSettings, DetectorState, Finding, Output, TicketCause, TicketLink, core::Emitter,
    incidents::Explains, layout::Role, tickets::Recent,
};

impl Network {
    /// Takes a ticket. False if a bound refused its place or dropped an older ticket.
    pub(crate) fn ticket(
        &mut self,
        settings: &DetectSettings,
        ticket: &Ticket,
        emit: &mut Emitter<'_>,
    ) -> bool {
        let (finding, within) = self.state.tickets.take(settings, &self.layout, ticket, emit.now());
        if let Some(finding) = finding {
            self.say_cluster(settings, finding, emit);
        }
        self.answer_tickets(emit);
        within
    }

    /// A cluster strengthens the incident that explains it; without one it is an incident itself.
    fn say_cluster(&mut self, settings: &DetectSettings, finding: Finding, emit: &mut Emitter<'_>) {
        let is_cold = finding.kind.as_deref() == Some("cold");
        match self.state.book.explaining(finding.affected.iter(), is_cold) {
            Some(index) => self.state.book.support(settings, index, &finding, emit),
            None => self.state.book.apply(settings, &self.state.id, finding, emit),
        }
    }

    /// A minute passes.
    pub(super) fn pass_tickets(&mut self, settings: &DetectSettings, emit: &mut Emitter<'_>) {
        let outdoor = self.outdoor_celsius(emit.now());
        let (over, left) = self.state.tickets.pass(emit.now(), outdoor);
        for finding in over {
            self.state.book.apply(settings, &self.state.id, finding, emit);
        }
        self.answer_tickets(emit);
        for recent in left {
            self.say_answer(&recent, None, TicketCause::NoneFound, emit);
        }
    }

    fn outdoor_celsius(&self, now: AppendTime) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0_u32);
        for site in &self.layout.sites {
            let Some(signal) = site.signal(Role::OutdoorTemperature) else { continue };
            let tracker = &self.state.trackers[signal as usize];
            if tracker.is_current(now.as_micros()) {
                sum += tracker.value;
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }

    fn answer_tickets(&mut self, emit: &mut Emitter<'_>) {
        let mut answers: Vec<Recent> = Vec::new();
        for (recent, place) in self.state.tickets.unanswered() {
            let explains = self.state.book.explain(place, recent.is_cold(), recent.at_us());
            let Some(Explains { incident, cause }) = explains else { continue };
            if recent.answer != Some((incident, cause)) {
                recent.answer = Some((incident, cause));
                answers.push(recent.clone());
            }
        }
        for recent in answers {
            if let Some((incident, cause)) = recent.answer {
                self.say_answer(&recent, Some(incident), cause, emit);
            }
        }
    }

    fn say_answer(
        &self,
        recent: &Recent,
        incident: Option<IncidentId>,
        cause: TicketCause,
        emit: &mut Emitter<'_>,
    ) {
        let network = self.state.id.clone();
        let (ticket, external_id) = (recent.ticket.clone(), recent.external.clone());
        emit.push(|input_offset, ordinal, at| {
            Output::Ticket(TicketLink {
                input_offset,
                ordinal,
                at,
                network,
                ticket,
                external_id,
                incident,
                cause,
            })
        });
    }

    pub(super) fn tickets_state(&self) -> DetectorState {
        let tickets = &self.state.tickets;
        if !tickets.has_any() {
            return DetectorState::Lacking { signals: vec!["tickets".to_owned()] };
        }
        match tickets.learning_left_hours() {
            0 => DetectorState::Ready,
            hours => DetectorState::Learning { seconds_left: u64::from(hours) * 3_600 },
        }
    }
}
