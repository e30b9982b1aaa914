//! Which incidents explain a ticket, what became of it, what the caller may be told, and whether somebody has to call back.

use std::collections::BTreeMap;

use heat_detect::{TicketCause, TicketLink};
use heat_model::{
    AppendTime, EventTime, IncidentId, NetworkId, SiteId,
    incident::{AlarmState, Class, Incident, WorkState},
    ticket::{FollowUpOutcome, TicketKind},
};
use heat_view::{
    Desk, IncidentBoard,
    board::is_cleared,
    desk::{FollowUpEntry, TicketEntry},
};
use serde::{Deserialize, Serialize};

use crate::state::PlantIndex;

/// People complain for so long before a detector is sure.
const BEFORE_ONSET_US: i64 = 6 * 3_600_000_000;
/// And for so long after it is over: homes warm up slowly.
const AFTER_CLEARED_US: i64 = 24 * 3_600_000_000;
/// Incidents named on one ticket.
const LINKS_MAX: usize = 5;
/// Sites above a site that are looked at: flat, building, station, source.
const PARENTS_MAX: usize = 4;

/// What ties an incident to a ticket, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkBy {
    /// The processor says so: it weighed the ticket against what it knew at that time.
    Processor,
    /// The ticket's site, or one above it, is among the incident's places.
    Site,
    /// The ticket's area names one of the incident's places.
    Area,
    /// The incident concerns the whole network.
    Network,
}

/// What became of a ticket, for the hotline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketStatus {
    /// No incident explains it yet.
    Received,
    /// Within a day nothing in the plant's data explained it: the fault is probably in the home.
    NotThePlant,
    /// More complain there than usual; why is being looked into.
    Suspected,
    /// An incident explains it.
    Known,
    /// A crew is on its way.
    CrewOnItsWay,
    /// The crew is there.
    OnSite,
    /// Repaired; the data have not confirmed it yet.
    Repaired,
    /// The incident is over.
    Resolved,
    /// The case was closed, but the caller says that it is not resolved.
    Reopened,
}

/// Whether the caller of a ticket has to be called back (回访).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUpState {
    /// The case is closed, and nobody has reached the caller since.
    Due,
    /// The caller said that it is not resolved: the ticket is open until a later call, or the end of a further incident.
    Reopened,
    /// The caller is content.
    Done,
}

impl FollowUpState {
    /// By when the plant's part of the case was closed, and by the last call; `None` while there is nothing to call about.
    fn of(closed: Option<AppendTime>, call: Option<&FollowUpEntry>) -> Option<Self> {
        match call.map(|call| (call.outcome, call.at)) {
            Some((FollowUpOutcome::Satisfied, _)) => Some(Self::Done),
            Some((FollowUpOutcome::NotResolved, at)) if closed.is_none_or(|closed| closed <= at) => {
                Some(Self::Reopened)
            }
            Some((FollowUpOutcome::NotResolved | FollowUpOutcome::NotReached, _)) | None => {
                closed.map(|_| Self::Due)
            }
        }
    }
}

/// An incident that explains a ticket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link<'a> {
    pub(crate) incident: &'a Incident,
    pub(crate) by: LinkBy,
}

/// How far a ticket's case is, by the log's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// When the repair was reported.
    pub(crate) repaired: Option<AppendTime>,
    /// Whether the data have confirmed it.
    pub(crate) verified: Option<bool>,
    /// When the case was closed.
    pub(crate) closed: Option<AppendTime>,
    /// When any of this changed last.
    pub(crate) updated: AppendTime,
}

/// All that is known of a ticket's case.
#[derive(Debug)]
pub(crate) struct TicketCase<'a> {
    /// The incidents that explain it, the best first.
    pub(crate) links: Vec<Link<'a>>,
    /// What the processor answered.
    pub(crate) cause: Option<TicketCause>,
    pub(crate) status: TicketStatus,
    pub(crate) progress: Progress,
    pub(crate) follow_up: Option<FollowUpState>,
    /// The last call back.
    pub(crate) call: Option<&'a FollowUpEntry>,
}

/// Finds links; made once for many tickets.
#[derive(Debug)]
pub(crate) struct Linker<'a> {
    board: &'a IncidentBoard,
    desk: &'a Desk,
    plant: &'a PlantIndex,
    by_network: BTreeMap<&'a NetworkId, Vec<&'a Incident>>,
}

impl<'a> Linker<'a> {
    pub(crate) fn new(board: &'a IncidentBoard, desk: &'a Desk, plant: &'a PlantIndex) -> Self {
        let mut by_network: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for incident in board.list(None) {
            by_network.entry(&incident.network).or_default().push(incident);
        }
        Self { board, desk, plant, by_network }
    }

    /// What the processor answered.
    fn answer(&self, entry: &TicketEntry) -> Option<&'a TicketLink> {
        self.desk.answer_to(entry)
    }

    /// What became of a ticket.
    pub(crate) fn case(&self, entry: &TicketEntry) -> TicketCase<'a> {
        let links = self.links(entry);
        let cause = self.answer(entry).map(|answer| answer.cause);
        let mut status = status(links.first(), cause);
        let mut progress = self.progress(entry, &links, status);
        let call = self.desk.follow_up_of(entry);
        let follow_up = FollowUpState::of(progress.closed, call);
        if follow_up == Some(FollowUpState::Reopened) && progress.closed.take().is_some() {
            status = TicketStatus::Reopened;
        }
        progress.updated = call.map_or(progress.updated, |call| progress.updated.max(call.at));
        TicketCase { links, cause, status, progress, follow_up, call }
    }

    /// How far the plant's part of the case is, by the incident that explains it best.
    fn progress(&self, entry: &TicketEntry, links: &[Link<'_>], status: TicketStatus) -> Progress {
        let best = links.first().map(|link| link.incident);
        let answered = self.answer(entry).map(|answer| answer.at);
        let repaired = best.and_then(|incident| self.desk.repair_of(incident.id)).map(|repair| repair.at);
        let closed = match status {
            TicketStatus::Resolved => best.and_then(|incident| incident.cleared),
            TicketStatus::NotThePlant => answered,
            TicketStatus::Received
            | TicketStatus::Suspected
            | TicketStatus::Known
            | TicketStatus::CrewOnItsWay
            | TicketStatus::OnSite
            | TicketStatus::Repaired
            | TicketStatus::Reopened => None,
        };
        let changes = links.iter().map(|link| link.incident.updated).chain(answered).chain(repaired);
        Progress {
            repaired,
            verified: repaired.map(|_| best.is_some_and(is_cleared)),
            closed,
            updated: changes.fold(entry.received, AppendTime::max),
        }
    }

    /// The incidents that explain a ticket, the best first.
    pub(crate) fn links(&self, entry: &TicketEntry) -> Vec<Link<'a>> {
        let incidents = self.by_network.get(&entry.network).map_or(&[][..], Vec::as_slice);
        let said = self.answer(entry).and_then(|link| self.board.get(link.incident?));
        let said = said.map(|held| Link { incident: &held.incident, by: LinkBy::Processor });
        let mut links: Vec<Link<'a>> = incidents
            .iter()
            .filter(|incident| said.is_none_or(|link| link.incident.id != incident.id))
            .filter(|incident| in_time(incident, entry.ticket.time))
            .filter_map(|incident| Some(Link { incident, by: self.tie(entry, incident)? }))
            .collect();
        links.extend(said);
        links.sort_by_key(|link| {
            let incident = link.incident;
            (
                link.by,
                is_cleared(incident),
                incident.priority,
                std::cmp::Reverse(incident.opened),
                incident.id,
            )
        });
        links.truncate(LINKS_MAX);
        links
    }

    /// The tickets that an incident explains best of all.
    pub(crate) fn of_incident<'t>(
        &self,
        incident: IncidentId,
        tickets: impl Iterator<Item = &'t TicketEntry>,
    ) -> Vec<(&'t TicketEntry, LinkBy)> {
        tickets
            .filter_map(|entry| {
                let best = self.links(entry).into_iter().next()?;
                (best.incident.id == incident).then_some((entry, best.by))
            })
            .collect()
    }

    fn tie(&self, entry: &TicketEntry, incident: &Incident) -> Option<LinkBy> {
        let ticket = &entry.ticket;
        let places = places(incident);
        if !explains(incident.class, ticket.kind) {
            return None;
        }
        let mut site = ticket.site.as_ref();
        for _ in 0..=PARENTS_MAX {
            let Some(id) = site else { break };
            if places.contains(&id.as_str()) {
                return Some(LinkBy::Site);
            }
            site = self.plant.sites.get(id).and_then(|row| row.parent.as_ref());
        }
        let named = |area: &str| {
            places.iter().any(|place| {
                let name = SiteId::new(place).ok();
                let name = name.as_ref().and_then(|id| self.plant.sites.get(id)?.name.as_deref());
                [Some(*place), name].into_iter().flatten().any(|word| contains_name(area, word))
            })
        };
        if ticket.area.as_deref().is_some_and(named) {
            return Some(LinkBy::Area);
        }
        (ticket.kind == TicketKind::Cold && is_network_wide(incident)).then_some(LinkBy::Network)
    }
}

/// Whether a text names something: as a whole word, or anywhere where the name is Chinese.
fn contains_name(text: &str, name: &str) -> bool {
    if name.chars().count() < 2 {
        return false;
    }
    text.match_indices(name).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        // Only what is spelled in letters ends where its word ends.
        let goes_on = |edge: Option<char>, beyond: Option<char>| is_word(edge) && is_word(beyond);
        !goes_on(found.chars().next(), before) && !goes_on(found.chars().next_back(), after)
    })
}

fn in_time(incident: &Incident, time: EventTime) -> bool {
    let time = time.as_micros();
    let end = incident.cleared.map_or(i64::MAX, |at| at.as_micros().saturating_add(AFTER_CLEARED_US));
    time >= incident.onset.as_micros().saturating_sub(BEFORE_ONSET_US) && time <= end
}

/// The sites, and the pipe, that an incident is about.
fn places(incident: &Incident) -> Vec<&str> {
    let sites = incident.affected.iter().chain(&incident.branch).map(SiteId::as_str);
    sites.chain(incident.place.as_deref()).collect()
}

const fn is_network_wide(incident: &Incident) -> bool {
    matches!(
        incident.class,
        Class::Burst
            | Class::PumpTrip
            | Class::PowerFailure
            | Class::NetworkThermal
            | Class::PressureRegime
            | Class::FrostRisk
    ) && incident.branch.is_empty()
        && incident.affected.is_empty()
}

/// Whether an incident of this class makes people report this.
const fn explains(class: Class, kind: TicketKind) -> bool {
    match kind {
        TicketKind::Cold => matches!(
            class,
            Class::Burst
                | Class::LeakAbrupt
                | Class::PressureRegime
                | Class::PumpTrip
                | Class::PowerFailure
                | Class::NetworkThermal
                | Class::ConsumerThermal
                | Class::Underheating
                | Class::FrostRisk
                | Class::TicketCluster
        ),
        TicketKind::Leak => matches!(
            class,
            Class::Burst
                | Class::LeakAbrupt
                | Class::LeakIncipient
                | Class::StandingLoss
                | Class::ExchangerLeak
                | Class::TicketCluster
        ),
        TicketKind::Noise => matches!(class, Class::Burst | Class::PressureRegime | Class::PumpTrip),
        TicketKind::WaterQuality => matches!(class, Class::ExchangerLeak | Class::LeakAbrupt),
        TicketKind::Other => matches!(class, Class::TicketCluster),
    }
}

/// What became of a ticket, by the incident that explains it best, and by what the processor found.
fn status(best: Option<&Link<'_>>, cause: Option<TicketCause>) -> TicketStatus {
    let Some(Link { incident, .. }) = best else {
        return match cause {
            Some(TicketCause::NoneFound) => TicketStatus::NotThePlant,
            Some(TicketCause::Suspected) => TicketStatus::Suspected,
            Some(TicketCause::Plant) | None => TicketStatus::Received,
        };
    };
    match (incident.alarm, incident.work) {
        (AlarmState::Cleared, _) => TicketStatus::Resolved,
        (_, work) if work >= WorkState::Repaired => TicketStatus::Repaired,
        (_, work) if work >= WorkState::OnSite => TicketStatus::OnSite,
        (_, work) if work >= WorkState::Dispatched => TicketStatus::CrewOnItsWay,
        // Complaints alone name no cause.
        _ if incident.class == Class::TicketCluster => TicketStatus::Suspected,
        _ => TicketStatus::Known,
    }
}

/// What the caller may be told, Chinese and English: no pipe, no name, no number.
pub(crate) const fn answer(status: TicketStatus) -> (&'static str, &'static str) {
    match status {
        TicketStatus::Received => {
            ("您的报修已受理，正在核实。", "Your report has been received and is being looked into.")
        }
        TicketStatus::NotThePlant => (
            "供热系统运行正常，未发现影响您所在区域的故障，将安排入户检查。",
            "The heat supply to your area runs as it should; somebody will look at the installation in your home.",
        ),
        TicketStatus::Suspected => (
            "您所在区域报修较多，正在排查原因。",
            "Several homes in your area have reported; the cause is being looked for.",
        ),
        TicketStatus::Known => (
            "该区域的供热异常已发现，正在安排抢修。",
            "A disturbance of the heat supply in your area is known; a repair is being arranged.",
        ),
        TicketStatus::CrewOnItsWay => (
            "该区域的供热异常已发现，抢修人员正在赶往现场。",
            "A disturbance of the heat supply in your area is known; a crew is on its way.",
        ),
        TicketStatus::OnSite => ("抢修人员已到达现场，正在处理。", "A crew is on site and at work."),
        TicketStatus::Repaired => (
            "故障已修复，供热正在恢复，室温回升需要数小时。",
            "The fault is repaired and the supply is coming back; rooms take some hours to warm up.",
        ),
        TicketStatus::Resolved => (
            "供热已恢复正常。如家中仍不热，请再次报修。",
            "The heat supply is back to normal. Please report again if your home stays cold.",
        ),
        TicketStatus::Reopened => (
            "您反映的问题仍未解决，已重新受理，将再次安排处理。",
            "What you reported is not resolved; your report is open again and is being taken care of.",
        ),
    }
}

#[cfg(test)]
mod tests;
