//! Incidents, repairs and tickets, folded from what the archive keeps of them, in any order.

use std::collections::BTreeMap;

use heat_detect::{
    Output,
    output::{TicketCause, TicketLink},
};
use heat_model::{
    AppendTime, EventTime, IncidentId, NetworkId, Offset, SiteId,
    incident::{ChangeKind, Class, Incident, IncidentEvent, WorkState},
    record::{Action, Command},
    ticket::{FollowUpOutcome, Ticket, TicketKind},
};

use crate::Span;

/// Most incidents and most tickets kept.
const CASES_MAX: usize = 500_000;

/// One incident's course, as far as it is known.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its newest state.
    pub incident: Incident,
    /// When its work first reached a state, or one behind it.
    pub reached: BTreeMap<WorkState, AppendTime>,
    /// How often it was reported repaired, verified by the data, and reopened, within the span.
    pub repaired: u64,
    /// See `repaired`.
    pub verified: u64,
    /// See `repaired`.
    pub reopened: u64,
    /// When it was first reported repaired.
    pub repaired_at: Option<AppendTime>,
    /// What the crew found.
    pub repair: Option<Repair>,
}

/// What a crew found.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Action::Repaired`")]
pub struct Repair {
    pub pipe: Option<String>,
    pub location: Option<String>,
    pub cause: Option<String>,
    pub size_kg_s: Option<f64>,
}

impl Case {
    /// Seconds of the span during which it was there: from its onset to its end, or to the end of the span.
    pub fn seconds_in(&self, span: &Span) -> f64 {
        let end = self.incident.cleared.map_or(i64::MAX, AppendTime::as_micros);
        // A repair that did not hold did not end it.
        let repaired = self.repaired_at.filter(|_| self.reopened == 0);
        let end = end.min(repaired.map_or(i64::MAX, AppendTime::as_micros)).min(span.to.as_micros());
        let begin = self.incident.onset.as_micros().max(span.from.as_micros());
        EventTime::from_micros(end).since(EventTime::from_micros(begin)).as_secs_f64()
    }

    /// When work reached this state or one behind it.
    pub fn reached_at(&self, state: WorkState) -> Option<AppendTime> {
        self.reached.range(state..).map(|(_, at)| *at).min()
    }

    /// Whether it began in the span.
    pub fn opened_in(&self, span: &Span) -> bool {
        span.holds(self.incident.opened.as_micros())
    }

    /// Water lost in the span, kg.
    pub fn lost_kg(&self, span: &Span) -> Option<f64> {
        self.incident.loss_kg_s.filter(|loss| *loss > 0.0).map(|loss| loss * self.seconds_in(span))
    }

    /// Heat delivered for nothing in the span, J.
    pub fn excess_heat_j(&self, span: &Span) -> Option<f64> {
        self.spent(span, "excess_heat_total", "excess_heat")
    }

    /// What it cost in the span, by the sum that its detector kept of it, at the sum's mean rate; by what it cost when it
    /// was told, where there is no sum.
    fn spent(&self, span: &Span, sum: &str, rate: &str) -> Option<f64> {
        let seen = |what: &str| self.incident.evidence.iter().find(|evidence| evidence.what == what);
        let Some(sum) = seen(sum) else { return Some(seen(rate)?.value * self.seconds_in(span)) };
        let measured = sum.at.since(self.incident.onset).as_secs_f64();
        (measured > 0.0).then(|| sum.value * self.seconds_in(span) / measured)
    }

    /// Whether its water is a secondary's, which no source feeds: a leak there, or radiators drained at a station.
    pub fn is_of_secondary(&self) -> bool {
        let incident = &self.incident;
        incident.kind.as_deref() == Some("secondary")
            || incident.class == Class::Draining && incident.place.is_some()
    }

    /// Whether it is a loss from the network's own pipes.
    pub fn is_water_loss(&self) -> bool {
        is_water_loss(self.incident.class) && !self.is_of_secondary()
    }

    /// Flow that carried no heat in the span, kg.
    pub fn excess_flow_kg(&self, span: &Span) -> Option<f64> {
        self.spent(span, "excess_flow_total", "excess_flow")
    }

    /// The site that it is about, if it is about one: `place`, or the site of the signal in it.
    pub fn site(&self) -> Option<SiteId> {
        let place = self.incident.place.as_deref()?;
        let site = place.split('/').nth(1).unwrap_or(place);
        SiteId::new(site).ok()
    }
}

/// Whether a class is a loss of water from pipes.
const fn is_water_loss(class: Class) -> bool {
    matches!(class, Class::Burst | Class::LeakAbrupt | Class::LeakIncipient)
}

/// Whether a class is a fault of a station.
pub const fn is_station_fault(class: Class) -> bool {
    matches!(class, Class::ConsumerThermal | Class::Underheating | Class::ExchangerLeak)
}

/// A ticket, without its text.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Ticket`")]
pub struct TicketCase {
    pub network: NetworkId,
    pub time: EventTime,
    pub kind: TicketKind,
    pub site: Option<SiteId>,
    pub cause: Option<TicketCause>,
    /// Whether its case was closed by the end of the span: the incident is over, or the plant shows nothing.
    pub closed: bool,
    /// What calling back gave by the end of the span: the newest call that reached somebody, else the newest.
    pub call: Option<FollowUpOutcome>,
}

/// A call back; whether it reached somebody, when it was, and where it lies in the log say which of two holds.
type Call = (bool, AppendTime, Offset, FollowUpOutcome);

/// The fold.
#[derive(Debug)]
pub struct Cases {
    span: Span,
    cases: BTreeMap<IncidentId, Case>,
    tickets: BTreeMap<(NetworkId, String), TicketCase>,
    links: BTreeMap<(NetworkId, String), TicketLink>,
    calls: BTreeMap<(NetworkId, String), Call>,
    /// Reports of repair by the input record that they came with: an event tells which of them was taken.
    said: BTreeMap<(NetworkId, Offset), (IncidentId, Repair)>,
    taken: BTreeMap<(NetworkId, Offset), IncidentId>,
    refused: u64,
}

impl Cases {
    /// An empty fold over a span.
    pub fn new(span: Span) -> Self {
        Self {
            span,
            cases: BTreeMap::new(),
            tickets: BTreeMap::new(),
            links: BTreeMap::new(),
            calls: BTreeMap::new(),
            said: BTreeMap::new(),
            taken: BTreeMap::new(),
            refused: 0,
        }
    }

    /// What a bound kept out.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes what a processor said. What it said after the span does not count.
    pub fn output(&mut self, output: Output) {
        match output {
            Output::Event(event) if event.at.as_micros() < self.span.to.as_micros() => self.event(event),
            Output::Ticket(link) => {
                let key = (link.network.clone(), link.ticket.clone());
                let held = self.links.get(&key);
                let place = |link: &TicketLink| (link.input_offset, link.ordinal);
                if held.is_none_or(|held| place(held) <= place(&link)) {
                    self.links.insert(key, link);
                }
            }
            Output::Event(_) | Output::Status(_) | Output::Refused(_) | Output::Forgotten(_) => {}
        }
    }

    fn event(&mut self, event: IncidentEvent) {
        let IncidentEvent { input_offset, at, change, incident, .. } = event;
        if !self.cases.contains_key(&incident.id) && self.cases.len() >= CASES_MAX {
            self.refused += 1;
            return;
        }
        let in_span = self.span.holds(at.as_micros());
        let key = (incident.network.clone(), input_offset);
        let case = self.cases.entry(incident.id).or_insert_with(|| Case {
            incident: incident.clone(),
            reached: BTreeMap::new(),
            repaired: 0,
            verified: 0,
            reopened: 0,
            repaired_at: None,
            repair: None,
        });
        let reached = case.reached.entry(incident.work).or_insert(at);
        *reached = at.min(*reached);
        match change.kind {
            ChangeKind::Repaired => {
                case.repaired += u64::from(in_span);
                case.repaired_at = Some(case.repaired_at.map_or(at, |earlier| earlier.min(at)));
                self.taken.insert(key, incident.id);
            }
            ChangeKind::Verified => case.verified += u64::from(in_span),
            ChangeKind::Reopened => case.reopened += u64::from(in_span),
            ChangeKind::Opened
            | ChangeKind::Updated
            | ChangeKind::Escalated
            | ChangeKind::Acknowledged
            | ChangeKind::Shelved
            | ChangeKind::Unshelved
            | ChangeKind::OutOfService
            | ChangeKind::BackInService
            | ChangeKind::WorkMoved
            | ChangeKind::Cleared => {}
        }
        if incident.version >= case.incident.version {
            case.incident = incident;
        }
    }

    /// Takes a command of the input. A call back after the span does not count.
    pub fn command(&mut self, network: &NetworkId, offset: Offset, at: AppendTime, command: Command) {
        match command.action {
            Action::Repaired { incident, pipe, location, cause, size_kg_s } => {
                let pipe = pipe.map(|pipe| pipe.as_str().to_owned());
                let repair = Repair { pipe, location, cause, size_kg_s };
                self.said.insert((network.clone(), offset), (incident, repair));
            }
            Action::FollowUp { ticket, outcome, .. } if at.as_micros() < self.span.to.as_micros() => {
                let key = (network.clone(), ticket);
                if !self.calls.contains_key(&key) && self.calls.len() >= CASES_MAX {
                    self.refused += 1;
                    return;
                }
                let call = (outcome.is_reached(), at, offset, outcome);
                let held = self.calls.entry(key).or_insert(call);
                *held = call.max(*held);
            }
            Action::FollowUp { .. }
            | Action::Acknowledge { .. }
            | Action::Shelve { .. }
            | Action::Unshelve { .. }
            | Action::Work { .. }
            | Action::Season { .. }
            | Action::MaintenanceBegin { .. }
            | Action::MaintenanceEnd { .. } => {}
        }
    }

    /// Takes a ticket of the input; outside the span it does not count.
    pub fn ticket(&mut self, network: &NetworkId, ticket: &Ticket) {
        if !self.span.holds(ticket.time.as_micros()) {
            return;
        }
        if self.tickets.len() >= CASES_MAX {
            self.refused += 1;
            return;
        }
        let (time, kind, site) = (ticket.time, ticket.kind, ticket.site.clone());
        let (closed, call) = (false, None);
        let case = TicketCase { network: network.clone(), time, kind, site, cause: None, closed, call };
        self.tickets.insert((network.clone(), ticket.id.clone()), case);
    }

    /// All incidents that were there within the span, and all tickets; ends the fold.
    pub fn finish(mut self) -> (Vec<Case>, Vec<TicketCase>) {
        for (key, incident) in &self.taken {
            let said = self.said.remove(key).filter(|(of, _)| of == incident);
            if let (Some((_, repair)), Some(case)) = (said, self.cases.get_mut(incident)) {
                case.repair = Some(repair);
            }
        }
        for (key, link) in self.links {
            let Some(ticket) = self.tickets.get_mut(&key) else { continue };
            ticket.cause = Some(link.cause);
            ticket.closed = match link.incident.map(|incident| self.cases.get(&incident)) {
                Some(case) => case.is_some_and(|case| case.incident.cleared.is_some()),
                None => {
                    link.cause == TicketCause::NoneFound && link.at.as_micros() < self.span.to.as_micros()
                }
            };
        }
        for (key, (_, _, _, outcome)) in self.calls {
            if let Some(ticket) = self.tickets.get_mut(&key) {
                ticket.call = Some(outcome);
            }
        }
        let from_us = self.span.from.as_micros();
        let was_there = |case: &Case| case.incident.cleared.is_none_or(|at| at.as_micros() >= from_us);
        let cases = self.cases.into_values().filter(was_there);
        (cases.collect(), self.tickets.into_values().collect())
    }
}
