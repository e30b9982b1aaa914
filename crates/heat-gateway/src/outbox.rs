//! Numbering, appending and acknowledging: one place, one order.

use std::collections::BTreeMap;

use bytes::Bytes;
use heat_codec::{
    dead_letter::{DeadLetter, Fault},
    envelope::Draft,
};
use heat_ledger::{
    counts::{HourLedger, MessageAccount},
    durable::{AckQueue, Durable, Marks, Ticket},
};
use heat_log::{AppendError, AppendRecord, Appender, TryAppendError, topics};
use heat_model::{
    Body, GatewayId, IngestTime, Origin, PartitionId,
    record::{Heartbeat, HourCounts},
};
use heat_mqtt::{AckToken, Acknowledger, Delivery, LinkId};
use xxhash_rust::xxh3::xxh3_64;

use crate::intake::Outcome;

/// What waits for its records to become durable.
type Waiting = (AckToken, MessageAccount);

/// A partition of the input as this epoch numbers it.
#[derive(Debug, Default, Clone)]
struct Stream {
    next_seq: u64,
    readings: u64,
}

/// Numbers what is appended, and knows what may be acknowledged.
#[derive(Debug)]
pub(crate) struct Outbox {
    gateway: GatewayId,
    epoch: u64,
    appender: Appender,
    acknowledger: Acknowledger,
    input: Vec<Stream>,
    rejected: Vec<Stream>,
    marks: Marks,
    waiting: BTreeMap<LinkId, AckQueue<Waiting>>,
    waiting_len: usize,
    ledger: HourLedger,
    tickets: Vec<Ticket>,
    /// Empty between calls; kept for its room.
    settled: Vec<Durable<AckToken>>,
}

impl Outbox {
    pub(crate) fn new(
        gateway: GatewayId,
        epoch: u64,
        partitions: u32,
        appender: Appender,
        acknowledger: Acknowledger,
    ) -> Self {
        let streams = vec![Stream::default(); partitions as usize];
        Self {
            gateway,
            epoch,
            appender,
            acknowledger,
            input: streams.clone(),
            rejected: streams,
            marks: Marks::default(),
            waiting: BTreeMap::new(),
            waiting_len: 0,
            ledger: HourLedger::default(),
            tickets: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Appends what a message came to; its acknowledgement waits for all of it.
    pub(crate) async fn send(
        &mut self,
        delivery: Delivery,
        received: IngestTime,
        outcome: Outcome,
    ) -> Result<(), AppendError> {
        let account = MessageAccount::new(
            received,
            !outcome.drafts.is_empty(),
            outcome.readings_logged,
            outcome.readings_rejected,
            !outcome.faults.is_empty(),
        );
        self.ledger.receive(&account);
        self.tickets.clear();
        let whole = outcome.drafts.is_empty();
        for (partition, draft) in outcome.drafts {
            let ticket = self.append(partition, draft).await?;
            self.tickets.push(ticket);
        }
        if !outcome.faults.is_empty() {
            let letter = self.letter(&delivery, received, outcome.faults, whole, outcome.readings_rejected);
            let ticket = self.append_letter(letter).await?;
            self.tickets.push(ticket);
        }
        let token = delivery.token;
        self.waiting.entry(token.link()).or_default().push((token, account), &self.tickets);
        self.waiting_len += 1;
        Ok(())
    }

    /// A heartbeat into every partition; `last` says good-bye.
    pub(crate) async fn beat(&mut self, now: IngestTime, last: bool) -> Result<(), AppendError> {
        let hours = self.ledger.take_changed();
        for index in 0..self.input.len() {
            let stream = &self.input[index];
            let beat = Heartbeat {
                hours: hours.clone(),
                records_in_partition: stream.next_seq,
                readings_in_partition: stream.readings,
                last,
            };
            let draft = Draft::of(None, now, 0, &Body::Heartbeat(beat));
            let partition = u32::try_from(index).expect("partitions are counted in u32");
            self.append(PartitionId(partition), draft).await?;
        }
        Ok(())
    }

    /// Acknowledges all that is durable.
    pub(crate) fn settle(&mut self) {
        self.appender.read_marks(&mut self.marks);
        let Self { waiting, marks, ledger, settled, .. } = self;
        for queue in waiting.values_mut() {
            while let Some(durable) = queue.pop_durable(marks) {
                settled.push(durable.map(|(token, account)| {
                    ledger.settle(&account);
                    token
                }));
            }
        }
        self.waiting_len -= self.settled.len();
        self.acknowledger.acknowledge(self.settled.drain(..));
        self.waiting.retain(|_, queue| !queue.is_empty());
    }

    pub(crate) fn appender(&self) -> &Appender {
        &self.appender
    }

    /// Messages whose acknowledgement waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_len
    }

    pub(crate) fn totals(&self) -> HourCounts {
        self.ledger.total()
    }

    async fn append(&mut self, partition: PartitionId, draft: Draft) -> Result<Ticket, AppendError> {
        let stream = &mut self.input[partition.0 as usize];
        stream.readings += draft.readings_len() as u64;
        let seq = stream.next_seq;
        stream.next_seq += 1;
        let key = (!draft.network().is_empty()).then(|| Bytes::copy_from_slice(draft.network().as_bytes()));
        let payload = draft.encode(&self.gateway, self.epoch, seq);
        self.hand_over(topics::INPUT, AppendRecord { partition, key, payload }).await
    }

    async fn append_letter(&mut self, mut letter: DeadLetter) -> Result<Ticket, AppendError> {
        let partitions = u32::try_from(self.rejected.len()).expect("partitions are counted in u32");
        let partition = heat_log::partition_of(letter.topic.as_bytes(), partitions);
        let stream = &mut self.rejected[partition.0 as usize];
        letter.origin.seq = stream.next_seq;
        stream.next_seq += 1;
        let key = Some(Bytes::copy_from_slice(letter.topic.as_bytes()));
        self.hand_over(topics::REJECTED, AppendRecord { partition, key, payload: letter.encode() }).await
    }

    /// Appends, waiting where the log's bound is reached; what becomes durable meanwhile is acknowledged.
    async fn hand_over(&mut self, topic: &str, mut record: AppendRecord) -> Result<Ticket, AppendError> {
        loop {
            let bytes = record.size_bytes();
            match self.appender.try_append(topic, record) {
                Ok(ticket) => return Ok(ticket),
                Err(TryAppendError::Refused(error)) => return Err(error),
                Err(TryAppendError::Full(back)) => record = back,
            }
            let appender = self.appender.clone();
            tokio::select! {
                ready = appender.ready(bytes) => ready?,
                progressed = appender.progressed() => progressed?,
            }
            self.settle();
        }
    }

    fn letter(
        &self,
        delivery: &Delivery,
        received: IngestTime,
        faults: Vec<Fault>,
        whole: bool,
        readings: u32,
    ) -> DeadLetter {
        let private = &*delivery.topic == heat_codec::topic::TICKETS;
        let content_type =
            delivery.properties.as_ref().and_then(|properties| properties.content_type.clone());
        DeadLetter {
            origin: Origin { gateway: self.gateway.clone(), epoch: self.epoch, seq: 0 },
            ingest_time: received,
            topic: delivery.topic.to_string(),
            client: delivery.source.client_id.clone(),
            user: delivery.source.user.clone().unwrap_or_default(),
            content_type: content_type.unwrap_or_default(),
            payload: if private { Bytes::new() } else { delivery.payload.clone() },
            payload_hash: xxh3_64(&delivery.payload),
            faults,
            messages: u32::from(whole),
            readings,
        }
    }
}
