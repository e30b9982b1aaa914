//! What clients send and see. Times are RFC 3339 in UTC, values SI.

use heat_codec::time_text::{parse_rfc3339, push_rfc3339};
use heat_detect::DetectorStatus;
use heat_model::{
    EventTime, IncidentId, NetworkId, PipeId, SiteId, ValveId,
    incident::{AlarmState, Candidate, Change, Class, Incident, IncidentEvent, Priority, WorkState},
    plant::{Medium, ModelLevel, Side, SiteKind},
    reading::{Quality, QualityCode},
};
use heat_view::board::{ChangeEntry, Held};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub mod desk;
pub mod letters;

use desk::{CircuitView, RepairView};

use crate::work::WorkStep;

/// An instant as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiTime(pub EventTime);

impl ApiTime {
    /// From microseconds since the epoch, of whichever clock.
    pub const fn from_micros(micros: i64) -> Self {
        Self(EventTime::from_micros(micros))
    }
}

impl std::fmt::Display for ApiTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(32);
        push_rfc3339(&mut text, self.0);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Serialize for ApiTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// A URN that names the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This case in words.
    pub detail: String,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A network in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct NetworkSummary {
    pub id: NetworkId,
    pub name: Option<String>,
    pub medium: Option<Medium>,
    pub operator: Option<String>,
    pub district: Option<String>,
    /// Signals known.
    pub signals: u64,
    /// Signals with a current value.
    pub signals_current: u64,
    pub incidents_open: u64,
    /// Of its open incidents.
    pub worst_priority: Option<Priority>,
}

/// A network with its sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct NetworkDetail {
    #[serde(flatten)]
    pub summary: NetworkSummary,
    /// Level of plant model in use; absent until the processor said so.
    pub level: Option<ModelLevel>,
    /// When the processor last said what its detectors can judge.
    pub status_at: Option<ApiTime>,
    pub detectors: Vec<DetectorStatus>,
    /// Its circuits and their seasons.
    pub circuits: Vec<CircuitView>,
    /// Its sites in order of their ids, one page.
    pub sites: Page<SiteDetail>,
}

/// A site with its signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct SiteDetail {
    pub id: SiteId,
    pub kind: Option<SiteKind>,
    pub name: Option<String>,
    pub signals: Vec<SignalView>,
}

/// A signal with its last value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalView {
    /// `network/site/device/name`.
    pub id: String,
    /// SI unit.
    pub unit: String,
    /// The last live reading; absent where none came.
    pub last: Option<LastReading>,
}

/// A signal's last live reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastReading {
    /// In SI; absent where the payload carried null.
    pub value: Option<f64>,
    /// Trust.
    pub quality: Quality,
    /// Why.
    pub quality_code: QualityCode,
    /// When it was measured.
    pub time: ApiTime,
    /// When the gateway received it.
    pub received: ApiTime,
    /// Whether it is within its signal's own deadline.
    pub current: bool,
    /// Seconds since it was measured.
    pub age_seconds: f64,
    /// The signal's own interval, once learned.
    pub interval_seconds: Option<f64>,
}

/// A signal's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The signal.
    pub id: String,
    /// SI unit; absent where there is no reading.
    pub unit: Option<String>,
    /// Start, included.
    pub from: ApiTime,
    /// End, excluded.
    pub to: ApiTime,
    /// Width of the buckets; absent for readings as they are.
    pub step_seconds: Option<f64>,
    /// In order of time.
    pub points: Vec<HistoryPoint>,
}

/// A reading, or what a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryPoint {
    /// What a bucket holds of usable values.
    Bucket {
        /// Start of the bucket.
        time: ApiTime,
        /// Mean of its usable values.
        mean: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
        /// How many.
        count: u64,
    },
    /// One reading.
    Reading {
        /// When it was measured.
        time: ApiTime,
        /// In SI; absent when bad.
        value: Option<f64>,
        /// Trust.
        quality: Quality,
    },
}

/// An incident as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `heat_model::incident::Incident`")]
pub struct IncidentView {
    pub id: IncidentId,
    pub version: u32,
    pub network: NetworkId,
    pub class: Class,
    pub kind: Option<String>,
    pub priority: Priority,
    pub state: AlarmState,
    pub work: WorkState,
    pub onset: ApiTime,
    pub opened: ApiTime,
    pub updated: ApiTime,
    pub cleared: Option<ApiTime>,
    pub shelved_until: Option<ApiTime>,
    pub place: Option<String>,
    pub side: Option<Side>,
    pub candidates: Vec<Candidate>,
    pub branch: Vec<SiteId>,
    pub loss_kg_s: Option<f64>,
    pub loss_m3_h: Option<f64>,
    pub affected: Vec<SiteId>,
    #[serde(default)]
    pub affected_households: Option<u32>,
    #[serde(default)]
    pub search_length_m: Option<f64>,
    pub valves: Vec<ValveId>,
    pub effects: Vec<String>,
    pub evidence: Vec<EvidenceView>,
    pub strength: f64,
    pub level: ModelLevel,
    pub lacked: Vec<String>,
    pub text_zh: String,
    pub text_en: String,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `heat_model::incident::Evidence`")]
pub struct EvidenceView {
    pub detector: String,
    pub place: String,
    pub what: String,
    pub value: f64,
    pub unit: String,
    pub at: ApiTime,
}

impl From<&Incident> for IncidentView {
    fn from(incident: &Incident) -> Self {
        let append = |time: heat_model::AppendTime| ApiTime::from_micros(time.as_micros());
        Self {
            id: incident.id,
            version: incident.version,
            network: incident.network.clone(),
            class: incident.class,
            kind: incident.kind.clone(),
            priority: incident.priority,
            state: incident.alarm,
            work: incident.work,
            onset: ApiTime(incident.onset),
            opened: append(incident.opened),
            updated: append(incident.updated),
            cleared: incident.cleared.map(append),
            shelved_until: incident.shelved_until.map(ApiTime),
            place: incident.place.clone(),
            side: incident.side,
            candidates: incident.candidates.clone(),
            branch: incident.branch.clone(),
            loss_kg_s: incident.loss_kg_s,
            loss_m3_h: incident.loss_m3_h,
            affected: incident.affected.clone(),
            affected_households: incident.affected_households,
            search_length_m: incident.search_length_m,
            valves: incident.valves.clone(),
            effects: incident.effects.clone(),
            evidence: incident
                .evidence
                .iter()
                .map(|evidence| EvidenceView {
                    detector: evidence.detector.clone(),
                    place: evidence.place.clone(),
                    what: evidence.what.clone(),
                    value: evidence.value,
                    unit: evidence.unit.clone(),
                    at: ApiTime(evidence.at),
                })
                .collect(),
            strength: incident.strength,
            level: incident.level,
            lacked: incident.lacked.clone(),
            text_zh: incident.text_zh.clone(),
            text_en: incident.text_en.clone(),
        }
    }
}

/// A change of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct ChangeView {
    pub version: u32,
    pub at: ApiTime,
    #[serde(flatten)]
    pub change: Change,
    pub state: AlarmState,
    pub work: WorkState,
    pub priority: Priority,
}

impl From<&ChangeEntry> for ChangeView {
    fn from(entry: &ChangeEntry) -> Self {
        Self {
            version: entry.version,
            at: ApiTime::from_micros(entry.at.as_micros()),
            change: entry.change.clone(),
            state: entry.alarm,
            work: entry.work,
            priority: entry.priority,
        }
    }
}

/// An incident with its changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// Its newest state.
    #[serde(flatten)]
    pub incident: IncidentView,
    /// Its changes, oldest first; the first may be missing after long, `version` tells.
    pub changes: Vec<ChangeView>,
    /// The steps of its repair work with who, when and deadline.
    pub work_steps: Vec<WorkStep>,
    /// What the crew found; absent until somebody says `repaired`.
    pub repair: Option<RepairView>,
    /// Ids of the tickets that it explains.
    pub tickets: Vec<String>,
}

impl IncidentDetail {
    /// From what the board holds; the repair and the tickets are the desk's.
    pub(crate) fn of(held: &Held, work_steps: Vec<WorkStep>) -> Self {
        Self {
            incident: (&held.incident).into(),
            changes: held.changes.iter().map(ChangeView::from).collect(),
            work_steps,
            repair: None,
            tickets: Vec::new(),
        }
    }
}

/// The data of a server-sent event named `incident`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentEventView {
    /// When, by the append clock.
    pub at: ApiTime,
    /// What happened.
    pub change: Change,
    /// The state after it.
    pub incident: IncidentView,
}

impl From<&IncidentEvent> for IncidentEventView {
    fn from(event: &IncidentEvent) -> Self {
        Self {
            at: ApiTime::from_micros(event.at.as_micros()),
            change: event.change.clone(),
            incident: (&event.incident).into(),
        }
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// True once the processor has carried it out; false if it has not answered yet (the command is durable).
    pub applied: bool,
    /// The incident's state: after the command if it was applied, else as last known.
    pub incident: IncidentView,
}

/// Body of `acknowledge`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcknowledgeBody {
    /// The version that the user saw; refused if it is not the current one.
    pub version: Option<u32>,
}

/// Body of `shelve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShelveBody {
    /// Until when.
    pub until: ApiTime,
    /// Why.
    pub reason: String,
}

/// Body of `unshelve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnshelveBody {}

/// Body of `work`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkBody {
    /// Where the repair work is now.
    pub state: WorkState,
}

/// Body of `repaired`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RepairedBody {
    /// The pipe that was found broken.
    pub pipe: Option<PipeId>,
    /// Where, in words.
    pub location: Option<String>,
    /// Cause, in words.
    pub cause: Option<String>,
    /// Loss found, kg/s.
    pub size_kg_s: Option<f64>,
}

/// Answer to a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketAnswer {
    /// The ticket's id; the ticket is durable.
    pub id: String,
    /// The network that it was taken for.
    pub network: NetworkId,
}
