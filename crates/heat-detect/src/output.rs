//! What the core says.

use heat_model::{
    CircuitId, EventTime, IncidentId, NetworkId, Offset,
    incident::IncidentEvent,
    plant::{ModelLevel, PlantHash, SeasonState},
    time::AppendTime,
};
use serde::{Deserialize, Serialize};

/// One output of [`crate::PartitionCore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "outputs are rare and short-lived; a box would buy nothing")]
pub enum Output {
    /// An incident changed; carries its whole state.
    Event(IncidentEvent),
    /// What a network's detectors can and cannot judge; said when it changes.
    Status(NetworkStatus),
    /// A command or model activation was refused, and why.
    Refused(Refusal),
    /// What a ticket is answered with.
    Ticket(TicketLink),
    /// An incident has been over for long: its state is no longer kept.
    Forgotten(Forgotten),
}

/// An incident that is no longer kept. It has no place among the outputs: said again after a restart, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The network.
    pub network: NetworkId,
    /// Which.
    pub incident: IncidentId,
}

/// Whether the plant explains a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketCause {
    /// An incident of the plant explains it.
    Plant,
    /// More complain there than usual: the plant is suspected, and its fault not found yet.
    Suspected,
    /// Within a day nothing in the plant's data explained it.
    NoneFound,
}

/// A ticket and the incident that explains it. Said again when a better answer is found; the last one holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketLink {
    /// Offset of the input record that it follows from.
    pub input_offset: Offset,
    /// Its place among the outputs of that record.
    pub ordinal: u32,
    /// When, by the append clock.
    pub at: AppendTime,
    /// The network.
    pub network: NetworkId,
    /// The ticket, by its id within the hotline.
    pub ticket: String,
    /// The hotline's own number.
    pub external_id: Option<String>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// Whether the plant explains it.
    pub cause: TicketCause,
}

/// How able a detector is to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectorState {
    /// It judges.
    Ready,
    /// It learns its baseline and says nothing yet.
    Learning {
        /// Seconds of usable data still needed.
        seconds_left: u64,
    },
    /// Signals that it needs are missing.
    Lacking {
        /// Standard names of what is missing, with the place where it matters.
        signals: Vec<String>,
    },
    /// The season's state of the circuit leaves nothing to judge.
    OutOfSeason {
        /// The state.
        season: SeasonState,
        /// Nobody has set it: the data suggest it.
        suggested: bool,
    },
}

/// One detector's state for one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorStatus {
    /// Name of the detector.
    pub detector: String,
    /// Its state.
    pub state: DetectorState,
}

/// What a network's detectors can judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The network.
    pub network: NetworkId,
    /// When, by the append clock.
    pub at: AppendTime,
    /// Level of plant model in use.
    pub level: ModelLevel,
    /// Its detectors, in a fixed order.
    pub detectors: Vec<DetectorStatus>,
    /// Circuits whose data have long shown another state than the one that holds: somebody should say it.
    #[serde(default)]
    pub seasons: Vec<SeasonSuggestion>,
}

/// The state of a circuit that its data suggest. It changes nothing until somebody commands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonSuggestion {
    /// The first circuit of its medium; `None` without a plant model.
    pub circuit: Option<CircuitId>,
    /// The state that holds.
    pub state: SeasonState,
    /// The state that the data show.
    pub suggested: SeasonState,
    /// Since when they have shown it.
    pub since: EventTime,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The incident is not known here.
    #[error("there is no such incident in this network")]
    UnknownIncident,
    /// The user saw an older version.
    #[error(
        "the incident is at version {current}, the command was given for version {seen}: look at it again"
    )]
    StaleVersion {
        /// Version that the user saw.
        seen: u32,
        /// Current version.
        current: u32,
    },
    /// The state does not allow it.
    #[error("the incident is {state}: that does not go with {action}")]
    NotInThisState {
        /// Alarm state, as in payloads.
        state: String,
        /// What was asked.
        action: String,
    },
    /// The time until which it should hold lies in the past or too far ahead.
    #[error("the end must lie after now and at most {max_seconds} s ahead")]
    EndOutOfBounds {
        /// Longest time allowed, seconds.
        max_seconds: u64,
    },
    /// A P1 incident is shelved by two users; the first has asked, another must confirm.
    #[error(
        "shelving a P1 incident takes a second user: the same command by another user within 10 min does it"
    )]
    NeedsSecondUser,
    /// The record names no network.
    #[error("the command names no network")]
    NoNetwork,
    /// No maintenance window of that name.
    #[error("there is no maintenance window of that name")]
    UnknownWindow,
    /// A bound of the settings is reached.
    #[error("at most {limit} {what} are kept: end some first")]
    TooMany {
        /// Of what.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// A plant model took effect that was never offered to the core.
    #[error("plant model {0} is not known to this processor: the old one stays in use until it is offered")]
    UnknownModel(PlantHash),
}

/// A command or model activation that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Offset of the refused record.
    pub input_offset: Offset,
    /// Its place among the outputs of that record.
    pub ordinal: u32,
    /// When, by the append clock.
    pub at: AppendTime,
    /// The network, if it named one.
    pub network: Option<NetworkId>,
    /// The incident, if it named one.
    pub incident: Option<IncidentId>,
    /// Who asked.
    pub user: Option<String>,
    /// Why it was refused.
    pub reason: RefusalReason,
}

/// Counts since the core was made (not part of the snapshot: they describe this process, not the networks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Readings seen.
    pub readings: u64,
    /// Readings that were repeats.
    pub repeats: u64,
    /// Readings set aside for bad quality.
    pub bad: u64,
    /// Readings set aside because their value stands for no measurement (-39.9, 9999, an empty register).
    pub no_measurement: u64,
    /// Readings set aside because their device's clock is wrong.
    pub clock: u64,
    /// Live readings that came after the lateness bound and after later ones of their signal: counted, not judged.
    pub late: u64,
    /// Live readings that came after the lateness bound, in their order, and were judged: what they show is marked late.
    pub late_judged: u64,
    /// Live readings whose quarter hour the water balance had already closed.
    pub past_bins: u64,
    /// Readings of names that no detector uses.
    pub unused: u64,
    /// Readings refused by the bound on networks or signals.
    pub over_bound: u64,
    /// Incidents that the bound on open incidents of a network kept out or gave up.
    pub incidents_dropped: u64,
    /// Tickets seen.
    pub tickets: u64,
    /// Tickets whose place, or tickets for which an older one, was refused by a bound.
    pub tickets_over_bound: u64,
}
