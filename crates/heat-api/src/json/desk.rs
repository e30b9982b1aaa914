//! Tickets, maintenance windows and seasons, as clients send and see them.

use heat_detect::TicketCause;
use heat_model::{
    CircuitId, EventTime, IncidentId, NetworkId, SiteId,
    incident::{Class, WorkState},
    plant::{CircuitKind, Medium, SeasonBy, SeasonState, season_in_force},
    ticket::{FollowUpOutcome, TicketKind},
};
use heat_view::desk::{RepairEntry, SeasonEntry, TicketEntry, WindowEntry};
use serde::{Deserialize, Serialize};

use super::ApiTime;
use crate::{
    state::PlantIndex,
    tickets::{FollowUpState, LinkBy, Linker, TicketCase, TicketStatus, answer},
};

/// A ticket with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketView {
    /// Unique within the hotline.
    pub id: String,
    /// The hotline's own number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// The network that it was taken for.
    pub network: NetworkId,
    /// When the hotline took it.
    pub time: ApiTime,
    /// When it came here.
    pub received: ApiTime,
    /// What it is about.
    pub kind: TicketKind,
    /// The site it names; a home is never named, its building or station is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<SiteId>,
    /// The area it names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub area: Option<String>,
    /// Masked free text, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// What became of it.
    pub status: TicketStatus,
    /// Whether the processor found the cause in the plant; absent until it has answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<TicketCause>,
    /// When the repair was reported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repaired_at: Option<ApiTime>,
    /// Whether the data have confirmed the repair since; absent while none is reported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verified: Option<bool>,
    /// When the case was closed: the incident is over, or nothing in the plant explains the ticket.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed: Option<ApiTime>,
    /// Whether the caller has to be called back, and what the last call gave; absent before the case is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub follow_up: Option<FollowUpView>,
    /// When any of this changed last; what `changed_since` asks for.
    pub updated: ApiTime,
    /// What the caller may be told, Chinese.
    pub answer_zh: String,
    /// The same in English.
    pub answer_en: String,
    /// The incidents that explain it, the best first.
    pub incidents: Vec<TicketLinkView>,
}

/// The call back to a ticket's caller (回访).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct FollowUpView {
    pub state: FollowUpState,
    /// Of the last call; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<FollowUpOutcome>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<ApiTime>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Masked, where free text is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl FollowUpView {
    fn of(case: &TicketCase<'_>) -> Option<Self> {
        let call = case.call;
        Some(Self {
            state: case.follow_up?,
            outcome: call.map(|call| call.outcome),
            at: call.map(|call| ApiTime::from_micros(call.at.as_micros())),
            by: call.map(|call| call.user.clone()),
            note: call.and_then(|call| call.note.clone()),
        })
    }
}

/// Body of `follow-up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUpBody {
    /// What the call gave.
    pub outcome: FollowUpOutcome,
    /// A note; masked, and dropped where free text is not kept.
    #[serde(default)]
    pub note: Option<String>,
    /// The ticket's network, where tickets of several have this id.
    #[serde(default)]
    pub network: Option<NetworkId>,
}

/// An incident that explains a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct TicketLinkView {
    pub incident: IncidentId,
    pub class: Class,
    pub work: WorkState,
    /// What ties them.
    pub by: LinkBy,
}

impl TicketView {
    pub(crate) fn of(entry: &TicketEntry, linker: &Linker<'_>, plant: &PlantIndex) -> Self {
        let ticket = &entry.ticket;
        let case = linker.case(entry);
        let progress = case.progress;
        let time = |at: heat_model::AppendTime| ApiTime::from_micros(at.as_micros());
        let (answer_zh, answer_en) = answer(case.status);
        Self {
            id: ticket.id.clone(),
            external_id: ticket.external_id.clone(),
            network: entry.network.clone(),
            time: ApiTime(ticket.time),
            received: ApiTime::from_micros(entry.received.as_micros()),
            kind: ticket.kind,
            site: ticket.site.as_ref().and_then(|site| plant.shown_site(site)),
            area: ticket.area.clone(),
            text: ticket.text.clone(),
            status: case.status,
            cause: case.cause,
            repaired_at: progress.repaired.map(time),
            verified: progress.verified,
            closed: progress.closed.map(time),
            follow_up: FollowUpView::of(&case),
            updated: time(progress.updated),
            answer_zh: answer_zh.to_owned(),
            answer_en: answer_en.to_owned(),
            incidents: case
                .links
                .iter()
                .map(|link| TicketLinkView {
                    incident: link.incident.id,
                    class: link.incident.class,
                    work: link.incident.work,
                    by: link.by,
                })
                .collect(),
        }
    }
}

/// What a crew found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct RepairView {
    pub at: ApiTime,
    pub by: String,
    pub pipe: Option<heat_model::PipeId>,
    pub location: Option<String>,
    pub cause: Option<String>,
    /// Loss found, kg/s.
    pub size_kg_s: Option<f64>,
}

impl From<&RepairEntry> for RepairView {
    fn from(entry: &RepairEntry) -> Self {
        Self {
            at: ApiTime::from_micros(entry.at.as_micros()),
            by: entry.user.clone(),
            pipe: entry.pipe.clone(),
            location: entry.location.clone(),
            cause: entry.cause.clone(),
            size_kg_s: entry.size_kg_s,
        }
    }
}

/// A maintenance window that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// Its name, unique in its network.
    pub id: String,
    /// The network.
    pub network: NetworkId,
    /// A site or pipe; absent: the whole network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Since when.
    pub from: ApiTime,
    /// Until when.
    pub until: ApiTime,
    /// Why.
    pub reason: String,
    /// Who began it.
    pub by: String,
}

impl From<&WindowEntry> for WindowView {
    fn from(entry: &WindowEntry) -> Self {
        Self {
            id: entry.id.clone(),
            network: entry.network.clone(),
            place: entry.place.clone(),
            from: ApiTime::from_micros(entry.begun.as_micros()),
            until: ApiTime(entry.until),
            reason: entry.reason.clone(),
            by: entry.user.clone(),
        }
    }
}

/// Body of `maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowBody {
    /// Its name; a window of the same name is replaced.
    pub id: String,
    /// A site or pipe; absent: the whole network.
    #[serde(default)]
    pub place: Option<String>,
    /// Until when, at most 30 days ahead.
    pub until: ApiTime,
    /// Why.
    pub reason: String,
}

/// Body of `maintenance/{window}/end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowEndBody {}

/// Body of `season`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeasonBody {
    /// The circuit's new state.
    pub state: SeasonState,
}

/// What became of a command that is about no incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenAnswer {
    /// The network whose core carries it out; the command is durable.
    pub network: NetworkId,
}

/// A circuit and where it is in its year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitView {
    /// Its id.
    pub id: CircuitId,
    /// Primary or secondary.
    pub kind: Option<CircuitKind>,
    /// What flows in it now.
    pub medium: Medium,
    /// When it was converted from steam, as the plant table says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub converted_on: Option<String>,
    /// The state that holds; absent: neither a command nor the calendar says one, the processor takes `heating`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub season: Option<SeasonView>,
    /// What its data have long shown instead; it changes nothing until somebody says it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suggested: Option<SuggestionView>,
}

/// The state that holds of a circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct SeasonView {
    pub state: SeasonState,
    pub since: ApiTime,
    /// By a command, or by the calendar of the plant tables: whichever said it last.
    pub source: SeasonBy,
    /// Who commanded it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
}

impl SeasonView {
    /// Of what was last commanded and last planned.
    pub(crate) fn of(
        commanded: Option<&SeasonEntry>,
        planned: Option<(SeasonState, EventTime)>,
    ) -> Option<Self> {
        let said = commanded.map(|entry| (entry.state, entry.at.as_event_now()));
        let held = season_in_force(said, planned)?;
        let by = commanded.filter(|_| held.by == SeasonBy::Command).map(|entry| entry.user.clone());
        Some(Self { state: held.state, since: ApiTime(held.since), source: held.by, by })
    }
}

/// A state that a circuit's data suggest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct SuggestionView {
    pub state: SeasonState,
    pub since: ApiTime,
}
