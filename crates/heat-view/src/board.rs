//! The incidents: open ones, recent closed ones, their changes, and what each network's detectors can judge.
//!
//! Two topics tell of an incident: `heat.incidents.v1` its newest state, `heat.incident-events.v1` every change with
//! the state it led to. An incident's version orders both, so they may be read in any order and again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use heat_detect::{NetworkStatus, Output, Refusal};
use heat_model::{
    AppendTime, IncidentId, NetworkId, Offset, PartitionId,
    incident::{AlarmState, Class, Incident, IncidentEvent, Priority},
};
use serde::{Deserialize, Serialize};

use crate::feed::State;

/// Bounds of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardSettings {
    /// Most open incidents; further ones are refused and counted.
    pub open_max: usize,
    /// Most cleared incidents; the one that was cleared first goes.
    pub cleared_max: usize,
    /// Most changes kept of one incident; the oldest goes.
    pub changes_max: usize,
    /// Most networks whose status is kept.
    pub networks_max: usize,
}

impl Default for BoardSettings {
    fn default() -> Self {
        Self { open_max: 20_000, cleared_max: 5_000, changes_max: 200, networks_max: 10_000 }
    }
}

/// Where an output stands among the outputs of its partition; also the id of a server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputPosition {
    /// The partition of input and output.
    pub partition: PartitionId,
    /// Offset of the input record that caused it.
    pub input_offset: Offset,
    /// Its place among the outputs of that record.
    pub ordinal: u32,
}

impl std::fmt::Display for OutputPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.partition.0, self.input_offset.0, self.ordinal)
    }
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is partition:offset:ordinal")]
pub struct InvalidOutputPosition;

impl std::str::FromStr for OutputPosition {
    type Err = InvalidOutputPosition;
    fn from_str(text: &str) -> Result<Self, InvalidOutputPosition> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(InvalidOutputPosition);
        let (partition, offset, ordinal) = (next()?, next()?, next()?);
        let number = |text: &str| match text.parse::<u64>() {
            Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            Ok(_) | Err(_) => Err(InvalidOutputPosition),
        };
        Ok(Self {
            partition: PartitionId(u32::try_from(number(partition)?).map_err(|_| InvalidOutputPosition)?),
            input_offset: Offset(number(offset)?),
            ordinal: u32::try_from(number(ordinal)?).map_err(|_| InvalidOutputPosition)?,
        })
    }
}

/// A change of an incident, without the whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeEntry {
    /// The version that it led to.
    pub version: u32,
    /// When, by the append clock.
    pub at: AppendTime,
    /// What happened, by whom and why.
    pub change: heat_model::incident::Change,
    /// Alarm state after it.
    pub alarm: AlarmState,
    /// Work state after it.
    pub work: heat_model::incident::WorkState,
    /// Priority after it.
    pub priority: Priority,
}

/// An incident with the changes known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its newest state.
    pub incident: Incident,
    /// Its changes by version, oldest first; bounded, so the first may be missing.
    pub changes: VecDeque<ChangeEntry>,
}

/// Place in the list: open ones first, then by priority, then the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListKey {
    cleared: bool,
    priority: Priority,
    opened: Reverse<AppendTime>,
    id: IncidentId,
}

impl ListKey {
    /// The key of a state.
    pub fn of(incident: &Incident) -> Self {
        Self {
            cleared: is_cleared(incident),
            priority: incident.priority,
            opened: Reverse(incident.opened),
            id: incident.id,
        }
    }
}

/// What became of something read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The board changed.
    Changed,
    /// It was known, or older than what is held.
    Stale,
    /// A bound kept it out.
    Refused,
}

/// Counts since the board was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoardCounts {
    /// States and events that were known or older.
    pub stale: u64,
    /// Open incidents and networks that a bound kept out.
    pub refused: u64,
    /// Cleared incidents that made room for newer ones.
    pub forgotten: u64,
}

/// How many incidents there are, for metrics.
pub type ActiveKey = (NetworkId, Class, Priority, AlarmState);

/// The fold.
#[derive(Debug)]
pub struct IncidentBoard {
    settings: BoardSettings,
    incidents: BTreeMap<IncidentId, Held>,
    list: BTreeSet<ListKey>,
    cleared: BTreeSet<(AppendTime, IncidentId)>,
    statuses: BTreeMap<NetworkId, NetworkStatus>,
    counts: BoardCounts,
}

impl IncidentBoard {
    /// An empty board.
    pub fn new(settings: BoardSettings) -> Self {
        Self {
            settings,
            incidents: BTreeMap::new(),
            list: BTreeSet::new(),
            cleared: BTreeSet::new(),
            statuses: BTreeMap::new(),
            counts: BoardCounts::default(),
        }
    }

    /// Takes an output of the processor. Refusals and answers to tickets change nothing here.
    pub fn apply(&mut self, output: &Output) -> Applied {
        match output {
            Output::Event(event) => self.apply_event(event),
            Output::Status(status) => self.apply_status(status),
            Output::Refused(Refusal { .. }) | Output::Ticket(_) | Output::Forgotten(_) => Applied::Stale,
        }
    }

    /// Takes a change with the state it led to.
    pub fn apply_event(&mut self, event: &IncidentEvent) -> Applied {
        let incident = &event.incident;
        let applied = self.apply_state(incident);
        let Some(held) = self.incidents.get_mut(&incident.id) else { return applied };
        let place = held.changes.partition_point(|entry| entry.version < incident.version);
        if held.changes.get(place).is_some_and(|entry| entry.version == incident.version) {
            return applied;
        }
        held.changes.insert(
            place,
            ChangeEntry {
                version: incident.version,
                at: event.at,
                change: event.change.clone(),
                alarm: incident.alarm,
                work: incident.work,
                priority: incident.priority,
            },
        );
        if held.changes.len() > self.settings.changes_max {
            held.changes.pop_front();
        }
        applied
    }

    /// Takes a record of the topic of states.
    pub fn apply_record(&mut self, state: &State) -> Applied {
        match state {
            State::Is(incident) => self.apply_state(incident),
            State::Gone(id) => self.forget(*id),
        }
    }

    fn forget(&mut self, id: IncidentId) -> Applied {
        let Some(held) = self.incidents.remove(&id) else { return Applied::Stale };
        self.list.remove(&ListKey::of(&held.incident));
        self.cleared.remove(&(cleared_at(&held.incident), id));
        Applied::Changed
    }

    /// Takes an incident's state if it is newer than the one held.
    pub fn apply_state(&mut self, incident: &Incident) -> Applied {
        let held = self.incidents.get(&incident.id);
        if held.is_some_and(|held| held.incident.version >= incident.version) {
            self.counts.stale += 1;
            return Applied::Stale;
        }
        let open = self.incidents.len() - self.cleared.len();
        if held.is_none() && !is_cleared(incident) && open >= self.settings.open_max {
            self.counts.refused += 1;
            return Applied::Refused;
        }
        let changes = match self.incidents.remove(&incident.id) {
            Some(old) => {
                self.list.remove(&ListKey::of(&old.incident));
                self.cleared.remove(&(cleared_at(&old.incident), incident.id));
                old.changes
            }
            None => VecDeque::new(),
        };
        self.list.insert(ListKey::of(incident));
        if is_cleared(incident) {
            self.cleared.insert((cleared_at(incident), incident.id));
        }
        self.incidents.insert(incident.id, Held { incident: incident.clone(), changes });
        self.forget_cleared();
        Applied::Changed
    }

    fn apply_status(&mut self, status: &NetworkStatus) -> Applied {
        match self.statuses.get(&status.network) {
            Some(held) if held.at >= status.at => {
                self.counts.stale += 1;
                return Applied::Stale;
            }
            None if self.statuses.len() >= self.settings.networks_max => {
                self.counts.refused += 1;
                return Applied::Refused;
            }
            Some(_) | None => {}
        }
        self.statuses.insert(status.network.clone(), status.clone());
        Applied::Changed
    }

    fn forget_cleared(&mut self) {
        while self.cleared.len() > self.settings.cleared_max {
            let Some((_, id)) = self.cleared.first().copied() else { return };
            self.forget(id);
            self.counts.forgotten += 1;
        }
    }

    /// One incident.
    pub fn get(&self, id: IncidentId) -> Option<&Held> {
        self.incidents.get(&id)
    }

    /// Open incidents first, then by priority, then the newest first; after `after` if given.
    pub fn list(&self, after: Option<ListKey>) -> impl Iterator<Item = &Incident> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.list
            .range((from, Bound::Unbounded))
            .filter_map(|key| self.incidents.get(&key.id))
            .map(|held| &held.incident)
    }

    /// Open incidents, in the order of [`IncidentBoard::list`].
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.list(None).take_while(|incident| !is_cleared(incident))
    }

    /// What a network's detectors can judge, as last said.
    pub fn status(&self, network: &NetworkId) -> Option<&NetworkStatus> {
        self.statuses.get(network)
    }

    /// Networks with an incident or a status, in order.
    pub fn networks(&self) -> BTreeSet<NetworkId> {
        let of_incidents = self.incidents.values().map(|held| held.incident.network.clone());
        self.statuses.keys().cloned().chain(of_incidents).collect()
    }

    /// Open incidents by network, class, priority and state.
    pub fn active(&self) -> BTreeMap<ActiveKey, u64> {
        let mut counts = BTreeMap::new();
        for incident in self.open() {
            let key = (incident.network.clone(), incident.class, incident.priority, incident.alarm);
            *counts.entry(key).or_insert(0) += 1;
        }
        counts
    }

    /// Incidents held.
    pub fn len(&self) -> usize {
        self.incidents.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
    }

    /// Counts since it was made.
    pub fn counts(&self) -> BoardCounts {
        self.counts
    }
}

/// Whether an incident is over.
pub fn is_cleared(incident: &Incident) -> bool {
    incident.alarm == AlarmState::Cleared
}

fn cleared_at(incident: &Incident) -> AppendTime {
    incident.cleared.unwrap_or(incident.updated)
}

/// The word of an alarm state in payloads, labels and metrics.
pub const fn alarm_word(alarm: AlarmState) -> &'static str {
    match alarm {
        AlarmState::Unacknowledged => "unacknowledged",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Shelved => "shelved",
        AlarmState::OutOfService => "out_of_service",
        AlarmState::AwaitingVerification => "awaiting_verification",
        AlarmState::Cleared => "cleared",
    }
}

/// The word of a priority.
pub const fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::P1 => "P1",
        Priority::P2 => "P2",
        Priority::P3 => "P3",
        Priority::P4 => "P4",
    }
}

#[cfg(test)]
mod tests;
