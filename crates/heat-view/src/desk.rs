//! What people said: tickets and what their callers answered, repairs, maintenance windows, seasons, and every command with
//! its user, as a fold of the input's records. Records may be read again, in any order over partitions, and from log and archive both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use heat_detect::TicketLink;
use heat_model::{
    AppendTime, Body, CircuitId, Envelope, EventTime, IncidentId, NetworkId, Offset, PartitionId, PipeId,
    Position,
    plant::SeasonState,
    record::{Action, Command},
    ticket::{FollowUpOutcome, Ticket},
};

use self::by_ticket::ByTicket;

mod by_ticket;

/// Bounds of a desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskSettings {
    /// Most tickets, answers to tickets, and calls back; of each the one that was received, or said, first goes.
    pub tickets_max: usize,
    /// Most commands; the oldest goes.
    pub commands_max: usize,
    /// Most repairs; the oldest goes.
    pub repairs_max: usize,
    /// Most maintenance windows; the one that ends first goes.
    pub windows_max: usize,
    /// Most circuits whose season is kept; further ones are not taken.
    pub seasons_max: usize,
}

impl Default for DeskSettings {
    fn default() -> Self {
        Self {
            tickets_max: 20_000,
            commands_max: 5_000,
            repairs_max: 10_000,
            windows_max: 5_000,
            seasons_max: 20_000,
        }
    }
}

/// Where a record lies in the log.
pub type Place = (PartitionId, Offset);

/// A ticket with its network and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct TicketEntry {
    /// The ticket, masked.
    pub ticket: Ticket,
    /// The network that it was taken for.
    pub network: NetworkId,
    /// When the log took it.
    pub received: AppendTime,
}

/// What calling a ticket's caller back gave last: the newest call that reached somebody, else the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Action::FollowUp`")]
pub struct FollowUpEntry {
    pub outcome: FollowUpOutcome,
    pub note: Option<String>,
    pub user: String,
    pub at: AppendTime,
}

/// What a crew found; the utility's only ground truth.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Action::Repaired`")]
pub struct RepairEntry {
    pub incident: IncidentId,
    pub network: NetworkId,
    pub user: String,
    pub at: AppendTime,
    pub pipe: Option<PipeId>,
    pub location: Option<String>,
    pub cause: Option<String>,
    pub size_kg_s: Option<f64>,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Action::MaintenanceBegin`")]
pub struct WindowEntry {
    pub id: String,
    pub network: NetworkId,
    pub place: Option<String>,
    pub until: EventTime,
    pub reason: String,
    pub user: String,
    pub begun: AppendTime,
    /// When and by whom it was ended before its time.
    pub ended: Option<(AppendTime, String)>,
}

impl WindowEntry {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: EventTime) -> bool {
        self.ended.is_none() && now < self.until
    }
}

/// A circuit's season, as last commanded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Action::Season`")]
pub struct SeasonEntry {
    pub state: SeasonState,
    pub user: String,
    pub at: AppendTime,
}

/// A command as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandEntry {
    /// Its network.
    pub network: NetworkId,
    /// Who and what.
    pub command: Command,
    /// Whether the processor refused it.
    pub refused: bool,
}

/// The fold.
#[derive(Debug)]
pub struct Desk {
    settings: DeskSettings,
    tickets: ByTicket<TicketEntry>,
    /// What the processor answered; answers come without their tickets, too.
    answers: ByTicket<TicketLink>,
    follow_ups: ByTicket<(Place, FollowUpEntry)>,
    commands: BTreeMap<(AppendTime, Place), CommandEntry>,
    repairs: BTreeMap<IncidentId, (Place, RepairEntry)>,
    windows: BTreeMap<(NetworkId, String), (Place, WindowEntry)>,
    seasons: BTreeMap<(NetworkId, CircuitId), (Place, SeasonEntry)>,
    refused: BTreeSet<Place>,
    refused_order: VecDeque<Place>,
}

/// Refusals remembered until their command is read.
const REFUSED_MAX: usize = 4_096;

impl Desk {
    /// An empty desk.
    pub fn new(settings: DeskSettings) -> Self {
        Self {
            settings,
            tickets: ByTicket::new(settings.tickets_max),
            answers: ByTicket::new(settings.tickets_max),
            follow_ups: ByTicket::new(settings.tickets_max),
            commands: BTreeMap::new(),
            repairs: BTreeMap::new(),
            windows: BTreeMap::new(),
            seasons: BTreeMap::new(),
            refused: BTreeSet::new(),
            refused_order: VecDeque::new(),
        }
    }

    /// Takes a record of the input; what is no ticket and no command changes nothing. Each partition's records are given
    /// in their order, but for those of the archive, which may come later than newer ones.
    pub fn apply(&mut self, position: &Position, envelope: &Envelope) {
        let Some(network) = &envelope.network else { return };
        match &envelope.body {
            Body::Ticket(ticket) => self.ticket(network, ticket, position.append_time),
            Body::Command(command) => self.command(position, network, command),
            Body::Readings(_) | Body::Forecast(_) | Body::ModelActivated(_) | Body::Heartbeat(_) => {}
        }
    }

    /// The processor refused the command at this place.
    pub fn refuse(&mut self, place: Place) {
        if !self.refused.insert(place) {
            return;
        }
        self.refused_order.push_back(place);
        if self.refused_order.len() > REFUSED_MAX
            && let Some(oldest) = self.refused_order.pop_front()
        {
            self.refused.remove(&oldest);
        }
        self.repairs.retain(|_, (at, _)| *at != place);
        self.windows.retain(|_, (at, _)| *at != place);
        self.seasons.retain(|_, (at, _)| *at != place);
        for ((_, at), entry) in self.commands.iter_mut().rev() {
            if *at == place {
                entry.refused = true;
                break;
            }
        }
    }

    /// The processor answered a ticket; of several answers the last one holds.
    pub fn answer(&mut self, link: &TicketLink) {
        let place = |link: &TicketLink| (link.input_offset, link.ordinal);
        let held = self.answers.get(&link.network, &link.ticket);
        if held.is_none_or(|held| place(held) < place(link)) {
            self.answers.put(&link.network, &link.ticket, link.at, link.clone());
        }
    }

    /// What the processor answered to a ticket.
    pub fn answer_to(&self, entry: &TicketEntry) -> Option<&TicketLink> {
        self.answers.get(&entry.network, &entry.ticket.id)
    }

    /// What calling a ticket's caller back gave last.
    pub fn follow_up_of(&self, entry: &TicketEntry) -> Option<&FollowUpEntry> {
        self.follow_ups.get(&entry.network, &entry.ticket.id).map(|(_, entry)| entry)
    }

    fn ticket(&mut self, network: &NetworkId, ticket: &Ticket, received: AppendTime) {
        if self.tickets.get(network, &ticket.id).is_none_or(|held| held.received < received) {
            let entry = TicketEntry { ticket: ticket.clone(), network: network.clone(), received };
            self.tickets.put(network, &ticket.id, received, entry);
        }
    }

    fn command(&mut self, position: &Position, network: &NetworkId, command: &Command) {
        let at = position.append_time;
        let place = (position.partition, position.offset);
        let refused = self.refused.contains(&place);
        let entry = CommandEntry { network: network.clone(), command: command.clone(), refused };
        self.commands.insert((at, place), entry);
        if self.commands.len() > self.settings.commands_max {
            self.commands.pop_first();
        }
        if refused {
            return;
        }
        let user = command.user.clone();
        match &command.action {
            Action::Repaired { incident, pipe, location, cause, size_kg_s } => {
                let entry = RepairEntry {
                    incident: *incident,
                    network: network.clone(),
                    user,
                    at,
                    pipe: pipe.clone(),
                    location: location.clone(),
                    cause: cause.clone(),
                    size_kg_s: *size_kg_s,
                };
                self.repair(place, entry);
            }
            Action::MaintenanceBegin { id, place: covered, until, reason } => {
                let entry = WindowEntry {
                    id: id.clone(),
                    network: network.clone(),
                    place: covered.clone(),
                    until: *until,
                    reason: reason.clone(),
                    user,
                    begun: at,
                    ended: None,
                };
                self.begin_window(place, entry);
            }
            Action::MaintenanceEnd { id } => {
                if let Some((_, window)) = self.windows.get_mut(&(network.clone(), id.clone()))
                    && window.begun <= at
                    && window.ended.is_none()
                {
                    window.ended = Some((at, user));
                }
            }
            Action::Season { circuit, state } => {
                let key = (network.clone(), circuit.clone());
                let room = self.seasons.len() < self.settings.seasons_max;
                let newer = self.seasons.get(&key).map_or(room, |(_, held)| held.at < at);
                if newer {
                    self.seasons.insert(key, (place, SeasonEntry { state: *state, user, at }));
                }
            }
            Action::FollowUp { ticket, outcome, note } => {
                let entry = FollowUpEntry { outcome: *outcome, note: note.clone(), user, at };
                let weight =
                    |place: Place, entry: &FollowUpEntry| (entry.outcome.is_reached(), entry.at, place);
                let held = self.follow_ups.get(network, ticket);
                if held.is_none_or(|(at, held)| weight(*at, held) < weight(place, &entry)) {
                    self.follow_ups.put(network, ticket, at, (place, entry));
                }
            }
            Action::Acknowledge { .. }
            | Action::Shelve { .. }
            | Action::Unshelve { .. }
            | Action::Work { .. } => {}
        }
    }

    fn repair(&mut self, place: Place, entry: RepairEntry) {
        if self.repairs.get(&entry.incident).is_some_and(|(_, held)| held.at >= entry.at) {
            return;
        }
        self.repairs.insert(entry.incident, (place, entry));
        if self.repairs.len() > self.settings.repairs_max {
            let oldest = self.repairs.iter().min_by_key(|(_, (_, held))| held.at).map(|(id, _)| *id);
            oldest.map(|id| self.repairs.remove(&id));
        }
    }

    fn begin_window(&mut self, place: Place, entry: WindowEntry) {
        let key = (entry.network.clone(), entry.id.clone());
        if self.windows.get(&key).is_some_and(|(_, held)| held.begun >= entry.begun) {
            return;
        }
        self.windows.insert(key, (place, entry));
        if self.windows.len() > self.settings.windows_max {
            let first = self.windows.iter().min_by_key(|(_, (_, held))| held.until);
            let first = first.map(|(key, _)| key.clone());
            first.map(|key| self.windows.remove(&key));
        }
    }

    /// One ticket.
    pub fn ticket_by_id(&self, network: &NetworkId, id: &str) -> Option<&TicketEntry> {
        self.tickets.get(network, id)
    }

    /// Tickets, the newest first; behind the given place of that order if there is one.
    pub fn tickets_newest_first<'a>(
        &'a self,
        before: Option<&'a TicketEntry>,
    ) -> impl Iterator<Item = &'a TicketEntry> {
        let before = before.map(|entry| (entry.received, entry.network.clone(), entry.ticket.id.clone()));
        let all = self.tickets.newest_first();
        all.filter(move |(place, _)| before.as_ref().is_none_or(|before| *place < before))
            .map(|(_, entry)| entry)
    }

    /// What was found at an incident.
    pub fn repair_of(&self, incident: IncidentId) -> Option<&RepairEntry> {
        self.repairs.get(&incident).map(|(_, entry)| entry)
    }

    /// All repairs, in order of their incidents' ids.
    pub fn repairs(&self) -> impl Iterator<Item = &RepairEntry> {
        self.repairs.values().map(|(_, entry)| entry)
    }

    /// Maintenance windows that hold at `now`, in order of network and name.
    pub fn windows(&self, now: EventTime) -> impl Iterator<Item = &WindowEntry> {
        self.windows.values().map(|(_, entry)| entry).filter(move |entry| entry.holds(now))
    }

    /// A circuit's season, if somebody ever said it.
    pub fn season(&self, network: &NetworkId, circuit: &CircuitId) -> Option<&SeasonEntry> {
        self.seasons.get(&(network.clone(), circuit.clone())).map(|(_, entry)| entry)
    }

    /// Commands, the newest first.
    pub fn commands_newest_first(&self) -> impl Iterator<Item = (AppendTime, &CommandEntry)> {
        self.commands.iter().rev().map(|((at, _), entry)| (*at, entry))
    }

    /// Tickets held.
    pub fn tickets(&self) -> usize {
        self.tickets.len()
    }
}

#[cfg(test)]
mod tests;
