//! Commands into the log, and their outcomes out of it.
//!
//! A command is numbered like a gateway's records, contiguous in its partition, and is the caller's business only once
//! it is durable. Its outcome is what the processor publishes for the offset that the command got; the API learns that
//! offset by reading its own command back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;
use heat_codec::envelope::Draft;
use heat_detect::{Output, Refusal};
use heat_ledger::durable::{Marks, Ticket};
use heat_log::{AppendError, Appender, partition_of, topics};
use heat_model::{
    Body, GatewayId, IncidentId, IngestTime, NetworkId, Offset, Origin, PartitionId, incident::Incident,
};
use tokio::sync::watch;

use crate::{settings::Settings, state::lock};

/// Outcomes and own offsets remembered; far more than are waited for at once.
const REMEMBERED: usize = 4_096;

/// A command's place: who numbered it is this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommandId {
    pub(crate) partition: PartitionId,
    pub(crate) seq: u64,
}

/// Why a command is not durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// The log refused it.
    #[error("the log did not take the command")]
    Append(#[from] AppendError),
    /// It is not durable yet; it may still become so.
    #[error("the log did not make the command durable within {} s; it may still take effect", .waited.as_secs())]
    Slow {
        /// For so long.
        waited: Duration,
    },
}

/// Numbers and appends.
#[derive(Debug)]
pub(crate) struct Commander {
    gateway: GatewayId,
    epoch: u64,
    appender: Appender,
    durable_max_wait: Duration,
    next: Vec<tokio::sync::Mutex<u64>>,
}

impl Commander {
    pub(crate) fn new(settings: &Settings, epoch: u64, appender: Appender, partitions: u32) -> Self {
        let Settings { gateway, durable_max_wait, .. } = settings;
        let next = (0..partitions).map(|_| tokio::sync::Mutex::new(0)).collect();
        Self { gateway: gateway.clone(), epoch, appender, durable_max_wait: *durable_max_wait, next }
    }

    /// Whether a record of the input is one of ours.
    pub(crate) fn is_own(&self, origin: &Origin) -> bool {
        origin.epoch == self.epoch && origin.gateway == self.gateway
    }

    /// Appends a body for a network; returns once it is durable.
    pub(crate) async fn submit(
        &self,
        network: &NetworkId,
        body: &Body,
        now: IngestTime,
    ) -> Result<CommandId, SubmitError> {
        let partitions = u32::try_from(self.next.len()).expect("made from a u32");
        let partition = partition_of(network.as_str().as_bytes(), partitions);
        let work = async {
            let (ticket, seq) = self.append(partition, network, body, now).await?;
            self.durable(ticket).await?;
            Ok(CommandId { partition, seq })
        };
        let waited = self.durable_max_wait;
        tokio::time::timeout(waited, work).await.unwrap_or(Err(SubmitError::Slow { waited }))
    }

    /// The lock is held until the log has taken the record, so that numbers lie in the log in their order.
    async fn append(
        &self,
        partition: PartitionId,
        network: &NetworkId,
        body: &Body,
        now: IngestTime,
    ) -> Result<(Ticket, u64), SubmitError> {
        let mut next = self.next[partition.0 as usize].lock().await;
        let seq = *next;
        // No message of a gateway brought it, so it accounts for none.
        let payload = Draft::of(Some(network), now, 0, body).encode(&self.gateway, self.epoch, seq);
        let key = Bytes::copy_from_slice(network.as_str().as_bytes());
        let ticket = self.appender.append(topics::INPUT, partition, Some(key), payload).await?;
        *next += 1;
        Ok((ticket, seq))
    }

    async fn durable(&self, ticket: Ticket) -> Result<(), SubmitError> {
        let appender = self.appender.clone();
        let mut marks = Marks::default();
        loop {
            appender.read_marks(&mut marks);
            if marks.covers(ticket) {
                return Ok(());
            }
            appender.progressed().await?;
        }
    }

    /// Ends the appender, for shutdown.
    pub(crate) async fn close(&self, deadline: Duration) -> Result<bool, AppendError> {
        self.appender.close(deadline).await
    }
}

/// Something that the processor said of an incident at a user's wish.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Applied { by: String, incident: Box<Incident> },
    Refused(Refusal),
}

impl Outcome {
    /// Whether it answers a command of this user on this incident. A tick before the command may have said other
    /// things under the same offset.
    fn answers(&self, user: &str, asked: IncidentId) -> bool {
        match self {
            Self::Applied { by, incident } => by == user && incident.id == asked,
            Self::Refused(refusal) => {
                refusal.incident == Some(asked) && refusal.user.as_deref().is_none_or(|name| name == user)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Remembered {
    own: BTreeMap<CommandId, Offset>,
    own_order: VecDeque<CommandId>,
    outcomes: VecDeque<((PartitionId, Offset), Outcome)>,
}

/// Where outcomes meet those who wait for them.
#[derive(Debug)]
pub(crate) struct Outcomes {
    max_wait: Duration,
    remembered: Mutex<Remembered>,
    changed: watch::Sender<u64>,
}

impl Outcomes {
    pub(crate) fn new(max_wait: Duration) -> Self {
        Self { max_wait, remembered: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// A command of ours was read back.
    pub(crate) fn own_read(&self, command: CommandId, offset: Offset) {
        let mut remembered = lock(&self.remembered);
        if remembered.own.insert(command, offset).is_none() {
            remembered.own_order.push_back(command);
        }
        if remembered.own_order.len() > REMEMBERED {
            let oldest = remembered.own_order.pop_front();
            oldest.map(|oldest| remembered.own.remove(&oldest));
        }
        drop(remembered);
        self.changed.send_modify(|version| *version += 1);
    }

    /// The processor said something.
    pub(crate) fn output(&self, partition: PartitionId, output: &Output) {
        let (offset, outcome) = match output {
            Output::Event(event) => {
                let incident = Box::new(event.incident.clone());
                (event.input_offset, Outcome::Applied { by: event.change.by.clone(), incident })
            }
            Output::Refused(refusal) => (refusal.input_offset, Outcome::Refused(refusal.clone())),
            Output::Status(_) | Output::Ticket(_) | Output::Forgotten(_) => return,
        };
        let mut remembered = lock(&self.remembered);
        remembered.outcomes.push_back(((partition, offset), outcome));
        if remembered.outcomes.len() > REMEMBERED {
            remembered.outcomes.pop_front();
        }
        drop(remembered);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Waits for a command's outcome, for a while.
    pub(crate) async fn wait(&self, command: CommandId, user: &str, incident: IncidentId) -> Option<Outcome> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(outcome) = self.find(command, user, incident) {
                    return outcome;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(self.max_wait, found).await.ok()
    }

    fn find(&self, command: CommandId, user: &str, incident: IncidentId) -> Option<Outcome> {
        let remembered = lock(&self.remembered);
        let place = (command.partition, *remembered.own.get(&command)?);
        let mut newest_first = remembered.outcomes.iter().rev();
        newest_first
            .find(|(at, outcome)| *at == place && outcome.answers(user, incident))
            .map(|(_, outcome)| outcome.clone())
    }
}
