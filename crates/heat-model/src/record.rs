//! What travels on the log: one envelope, typed bodies. One ordered input per network.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{CircuitId, GatewayId, IncidentId, NetworkId, PipeId},
    incident::WorkState,
    plant::{PlantHash, SeasonState},
    reading::{Lane, Reading, SignalSet},
    ticket::{FollowUpOutcome, Ticket},
    time::{AppendTime, EventTime, IngestTime},
};

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

/// A record's place in its partition. Offsets rise, but may have holes on Kafka (control records).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset to resume from once this one is done with.
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

/// The first offset not yet dealt with: what is committed, and where reading resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(pub u64);

/// Who numbered a record: contiguous per (gateway, epoch, partition), the same number when sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The process that appended it.
    pub gateway: GatewayId,
    /// One run of that process.
    pub epoch: u64,
    /// Number within epoch and partition, from 0.
    pub seq: u64,
}

/// Where and when the log holds a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// When it was appended.
    pub append_time: AppendTime,
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The network it belongs to; its key. Heartbeats belong to a partition, not to a network.
    pub network: Option<NetworkId>,
    /// Who numbered it.
    pub origin: Origin,
    /// When the gateway received it.
    pub ingest_time: IngestTime,
    /// How many received messages it accounts for: 1 in the first record of a message, 0 in its further records
    /// and in what no message brought.
    pub messages: u32,
    /// What it says.
    pub body: Body,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Readings of one device.
    Readings(Readings),
    /// What an operator decided.
    Command(Command),
    /// A citizen's request or complaint.
    Ticket(Ticket),
    /// A weather forecast.
    Forecast(Forecast),
    /// A plant model takes effect.
    ModelActivated(PlantHash),
    /// A gateway is alive: time moves, and the ledger gets its counts.
    Heartbeat(Heartbeat),
}

/// Readings of one device, received together.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// The signals that the readings refer to.
    pub set: Arc<SignalSet>,
    /// Fixed at receipt.
    pub lane: Lane,
    /// The device's own sequence, if it has one.
    pub device_seq: Option<DeviceSeq>,
    /// The values.
    pub readings: Vec<Reading>,
}

/// A device's own numbering of its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeq {
    /// Changes when the device restarts and its numbers start again.
    pub boot: Box<str>,
    /// The number.
    pub seq: u64,
}

/// An operator's decision; only the API appends them, with the authenticated user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Who.
    pub user: String,
    /// What.
    pub action: Action,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Somebody has seen the incident and takes care.
    Acknowledge {
        /// Which.
        incident: IncidentId,
        /// The version the user saw; refused if it is not the current one.
        version: Option<u32>,
    },
    /// Silence the incident for a time.
    Shelve {
        /// Which.
        incident: IncidentId,
        /// Until when.
        until: EventTime,
        /// Why.
        reason: String,
    },
    /// End a shelving early.
    Unshelve {
        /// Which.
        incident: IncidentId,
    },
    /// Move the repair work on.
    Work {
        /// Which.
        incident: IncidentId,
        /// To where.
        state: WorkState,
    },
    /// The repair is done; the data will verify it. The utility's only ground truth.
    Repaired {
        /// Which.
        incident: IncidentId,
        /// The pipe that was found broken.
        pipe: Option<PipeId>,
        /// Where, in words.
        location: Option<String>,
        /// Cause, in words.
        cause: Option<String>,
        /// Loss found, kg/s.
        size_kg_s: Option<f64>,
    },
    /// A circuit's season state.
    Season {
        /// Which.
        circuit: CircuitId,
        /// Its new state.
        state: SeasonState,
    },
    /// Take a place out of service for a time: nothing there pages.
    MaintenanceBegin {
        /// Name of the window, unique in its network.
        id: String,
        /// A site or pipe; everything if empty.
        place: Option<String>,
        /// Until when.
        until: EventTime,
        /// Why.
        reason: String,
    },
    /// End a maintenance window.
    MaintenanceEnd {
        /// Name of the window.
        id: String,
    },
    /// The caller of a ticket was called back. It is about people alone, and nothing to a detector.
    FollowUp {
        /// The ticket, by its id within the hotline.
        ticket: String,
        /// What came of it.
        outcome: FollowUpOutcome,
        /// Masked note.
        note: Option<String>,
    },
}

impl Action {
    /// The incident that it is about, if it is about one.
    pub const fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::Acknowledge { incident, .. }
            | Self::Shelve { incident, .. }
            | Self::Unshelve { incident }
            | Self::Work { incident, .. }
            | Self::Repaired { incident, .. } => Some(*incident),
            Self::Season { .. }
            | Self::MaintenanceBegin { .. }
            | Self::MaintenanceEnd { .. }
            | Self::FollowUp { .. } => None,
        }
    }
}

/// Outdoor temperatures to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// When it was made.
    pub issued: EventTime,
    /// Times and degC, in order of time.
    pub outdoor_celsius: Vec<(EventTime, f64)>,
}

/// Counts of one gateway epoch for one ingest hour, cumulative: `received = logged + rejected + queued`, for messages
/// and for readings apart, each counted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HourCounts {
    /// Start of the UTC hour of receipt, microseconds since the epoch.
    pub hour_start_us: i64,
    /// Messages received.
    pub messages_received: u64,
    /// Messages of which at least one record was logged, all of it durable.
    pub messages_logged: u64,
    /// Messages of which nothing was logged, and whose dead letter is durable.
    pub messages_rejected: u64,
    /// Messages received whose records or dead letter are not yet durable.
    pub messages_queued: u64,
    /// Readings found in the messages.
    pub readings_received: u64,
    /// Readings durable in the log.
    pub readings_logged: u64,
    /// Readings rejected, their dead letters durable.
    pub readings_rejected: u64,
    /// Readings on their way.
    pub readings_queued: u64,
    /// Dead letters durable.
    pub dead_letters: u64,
}

impl HourCounts {
    /// Law 2 for what a gateway took in: nothing vanished between receipt and log.
    pub const fn balances(&self) -> bool {
        self.messages_received == self.messages_logged + self.messages_rejected + self.messages_queued
            && self.readings_received == self.readings_logged + self.readings_rejected + self.readings_queued
    }
}

/// A gateway's sign of life in one partition, each second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Counts over all partitions, by ingest hour: every hour that changed since the heartbeat before.
    pub hours: Vec<HourCounts>,
    /// Records of this epoch numbered into this partition before this heartbeat (= its seq).
    pub records_in_partition: u64,
    /// Readings in them.
    pub readings_in_partition: u64,
    /// The gateway has drained and says good-bye: nothing of this epoch follows.
    pub last: bool,
}
