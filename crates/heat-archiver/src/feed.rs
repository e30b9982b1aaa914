//! One topic into the archive.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use heat_archive::{ArchiveError, CommitWriter, Dataset, Keep, Published, writer};
use heat_codec::envelope::EnvelopeDecoder;
use heat_ledger::{
    admission::{Admission, Verdict},
    devices::DeviceTracker,
};
use heat_log::{
    Bounds, Consumer, ConsumerSettings, LogEvent, Membership, ReadError, Record, StartFrom, topics,
};
use heat_model::{
    AppendTime, Body, FreshMask, GatewayId, IngestTime, Offset, PartitionId, Position, canary,
    record::{NextOffset, Readings},
};
use heat_runtime::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::{deps::Deps, rows};

/// A feed ended badly.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The log cannot be read.
    #[error("the archiver cannot read the log")]
    Read(#[from] ReadError),
    /// The log is another one than that of which the archive has records.
    #[error(
        "the archive ends at offset {archived} of {topic}/{}, and {what}: the log was replaced, and nothing of it is \
         archived here, since its offsets mean other records. Put the log back, or give the new one an archive of its own \
         ([archive] location), and keep this one for reading",
        .partition.0
    )]
    Replaced {
        /// The topic.
        topic: &'static str,
        /// The partition.
        partition: PartitionId,
        /// Where the archive ends.
        archived: u64,
        /// What shows it.
        what: String,
    },
    /// A record does not fit the archive's order.
    #[error("the archiver cannot take a record")]
    Append(#[from] writer::AppendError),
    /// A commit cannot be encoded.
    #[error("the archiver cannot encode a commit")]
    Seal(#[from] writer::SealError),
    /// The archive refuses for a reason that no retry mends.
    #[error("the archiver cannot publish")]
    Archive(#[from] ArchiveError),
}

/// Records behind the end from which on a partition is not quiet but catches up; about one batch.
const LAG_OF_CATCHING_UP: u64 = 8_192;
/// The log is asked for all ends for so long; a broker that is away must not hold reading up.
const LAGS_MAX_WAIT: Duration = Duration::from_secs(1);

/// A stop waits so long for partitions that were assigned and are still on their way from the consumer's thread.
const ASSIGNED_MAX_WAIT: Duration = Duration::from_millis(250);

/// Canaries of one commit whose delays are told.
const CANARIES_MAX: usize = 1_024;

/// Which topic, and what its records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Input,
    Rejected,
    IncidentEvents,
    Incidents,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Input, Self::Rejected, Self::IncidentEvents, Self::Incidents];

    pub(crate) const fn topic(self) -> &'static str {
        match self {
            Self::Input => topics::INPUT,
            Self::Rejected => topics::REJECTED,
            Self::IncidentEvents => topics::INCIDENT_EVENTS,
            Self::Incidents => topics::INCIDENTS,
        }
    }
}

/// One partition.
struct Part {
    writer: CommitWriter,
    /// Records before it are read back only to know repeats.
    resume: NextOffset,
    /// The archive's last record, until the log has shown that it is its own.
    last_archived: Option<(Offset, AppendTime)>,
    admission: Option<Admission>,
    /// Devices' own numbers, from where admission reads back.
    devices: DeviceTracker,
    decoder: EnvelopeDecoder,
    fresh: FreshMask,
    keep: Vec<bool>,
    /// Canaries in the open commit.
    canaries: Vec<(GatewayId, IngestTime)>,
}

/// Reads one topic and publishes its commits.
pub(crate) struct Feed {
    kind: Kind,
    deps: Deps,
    parts: BTreeMap<PartitionId, Part>,
}

impl Feed {
    pub(crate) fn new(kind: Kind, deps: Deps) -> Self {
        Self { kind, deps, parts: BTreeMap::new() }
    }

    /// Runs until shutdown, then publishes what is open.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), FeedError> {
        let group = format!("heat-archiver.{}", self.kind.topic());
        let settings = ConsumerSettings::default();
        let mut consumer =
            self.deps.log.consumer(self.kind.topic(), Membership::Group(group), settings).await?;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => break,
                _ = tick.tick() => self.close_by_time(&mut consumer, &shutdown).await?,
                event = consumer.next_in_time() => self.take(&mut consumer, event?, &shutdown).await?,
            }
        }
        self.drain(&mut consumer, &shutdown).await?;
        consumer.close(Duration::from_secs(5)).await;
        Ok(())
    }

    async fn take(
        &mut self,
        consumer: &mut Consumer,
        event: LogEvent,
        shutdown: &Shutdown,
    ) -> Result<(), FeedError> {
        match event {
            LogEvent::Assigned(partition) => self.assigned(consumer, partition, shutdown).await,
            LogEvent::Revoked(partition) => {
                self.publish(consumer, partition, shutdown).await?;
                self.parts.remove(&partition);
                self.disown(partition);
                Ok(())
            }
            LogEvent::Records { partition, records, .. } => {
                self.records(consumer, partition, records, shutdown).await
            }
        }
    }

    /// Takes what the log holds at this moment, as far as time allows, and publishes it.
    async fn drain(&mut self, consumer: &mut Consumer, shutdown: &Shutdown) -> Result<(), FeedError> {
        let deadline = self.deps.clock.instant() + self.deps.settings.drain;
        let clock = self.deps.clock;
        let left = || deadline.saturating_duration_since(clock.instant());
        // The end that the log had of each partition when it was asked; none where it did not answer in time, and keeps what
        // waits.
        let mut ends: BTreeMap<PartitionId, Option<NextOffset>> = BTreeMap::new();
        loop {
            for partition in self.parts.keys() {
                if !ends.contains_key(partition) {
                    let asked = self.deps.log.bounds_in_time(self.kind.topic(), *partition);
                    let bounds = tokio::time::timeout(left(), asked).await.ok().transpose()?;
                    ends.insert(*partition, bounds.map(|bounds| bounds.end));
                }
            }
            let is_behind = |(id, part): (&PartitionId, &Part)| {
                ends.get(id).copied().flatten().is_some_and(|end| part.writer.next_offset() < end)
            };
            let reads_on = self.parts.iter().any(is_behind);
            let event = if reads_on {
                let Ok(event) = tokio::time::timeout(left(), consumer.next()).await else {
                    tracing::warn!(
                        topic = self.kind.topic(),
                        "time to drain is over; the log keeps what waits"
                    );
                    break;
                };
                event?
            } else {
                // A stop that comes right after the start finds partitions that are ours and not yet taken up.
                let patience = left().min(ASSIGNED_MAX_WAIT);
                let Ok(event) = tokio::time::timeout(patience, consumer.next()).await else { break };
                event?
            };
            let LogEvent::Assigned(partition) = event else {
                self.take(consumer, event, shutdown).await?;
                if reads_on {
                    continue;
                }
                break;
            };
            match tokio::time::timeout(left(), self.assigned(consumer, partition, shutdown)).await {
                Ok(done) => done?,
                // A log that does not answer in time keeps what waits.
                Err(_) => break,
            }
        }
        // What is not published by then, the log keeps.
        let last = deadline + self.deps.settings.drain;
        let partitions: Vec<_> = self.parts.keys().copied().collect();
        for partition in partitions {
            let left = last.saturating_duration_since(self.deps.clock.instant());
            let published = self.publish(consumer, partition, shutdown);
            let Ok(published) = tokio::time::timeout(left, published).await else {
                tracing::warn!(
                    topic = self.kind.topic(),
                    "time to publish is over; the log keeps what waits"
                );
                break;
            };
            published?;
        }
        Ok(())
    }

    async fn assigned(
        &mut self,
        consumer: &mut Consumer,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<(), FeedError> {
        let topic = self.kind.topic();
        let archive = &self.deps.archive;
        let resume = self.deps.patiently(shutdown, || archive.resume(topic, partition)).await?;
        let bounds = self.bounds_from(partition, resume.next_offset).await?;
        let next = resume.next_offset.unwrap_or(bounds.first);
        if next < bounds.first && self.kind != Kind::Incidents {
            return Err(ReadError::Trimmed {
                topic: topic.to_owned(),
                partition,
                asked: next,
                first: bounds.first,
            }
            .into());
        }
        let input = self.kind == Kind::Input;
        let from = if input { Admission::read_back(&self.deps.settings.repeats, next) } else { next };
        // The archive's last record is read again, to know the log by it.
        let last_archived = resume.last_record;
        let from = last_archived.map_or(from, |(last, _)| from.min(NextOffset(last.0))).max(bounds.first);
        match consumer.start_in_time(partition, StartFrom::Offset(from)).await {
            Ok(_) => {}
            // It went to another member while Kafka did not answer; if it comes back, it is assigned again.
            Err(ReadError::NotAssigned { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let own = (topic.to_owned(), partition);
        self.deps.own.lock().unwrap_or_else(PoisonError::into_inner).insert(own);
        tracing::info!(topic, partition = partition.0, resume = next.0, from = from.0, "archiving");
        self.parts.insert(
            partition,
            Part {
                writer: CommitWriter::new(&resume, next, self.deps.settings.rotation)
                    .with_households(Some(Arc::clone(&self.deps.homes.borrow()))),
                resume: next,
                last_archived,
                admission: input.then(|| Admission::new(self.deps.settings.repeats)),
                devices: DeviceTracker::default(),
                decoder: EnvelopeDecoder::default(),
                fresh: FreshMask::all(),
                keep: Vec::new(),
                canaries: Vec::new(),
            },
        );
        Ok(())
    }

    /// The log's bounds, if it reaches as far as the archive.
    async fn bounds_from(
        &self,
        partition: PartitionId,
        archived: Option<NextOffset>,
    ) -> Result<Bounds, FeedError> {
        let topic = self.kind.topic();
        let reached = archived.unwrap_or_default();
        match self.deps.log.bounds_reaching(topic, partition, reached).await {
            Err(ReadError::BeyondEnd { asked, end, .. }) => {
                let what = format!("the log ends at {}", end.0);
                Err(FeedError::Replaced { topic, partition, archived: asked.0, what })
            }
            bounds => Ok(bounds?),
        }
    }

    fn disown(&self, partition: PartitionId) {
        let own = (self.kind.topic().to_owned(), partition);
        self.deps.own.lock().unwrap_or_else(PoisonError::into_inner).remove(&own);
    }

    /// Hears of another plant model.
    fn look_at_homes(&mut self) {
        if self.deps.homes.has_changed().unwrap_or(false) {
            let homes = Arc::clone(&self.deps.homes.borrow_and_update());
            for part in self.parts.values_mut() {
                part.writer.set_households(Some(Arc::clone(&homes)));
            }
        }
    }

    async fn records(
        &mut self,
        consumer: &mut Consumer,
        partition: PartitionId,
        records: Vec<Record>,
        shutdown: &Shutdown,
    ) -> Result<(), FeedError> {
        self.look_at_homes();
        let mut rest = records.into_iter().peekable();
        while rest.peek().is_some() {
            let kind = self.kind;
            let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
            let deps = &self.deps;
            // Encoding and hashing take milliseconds: other tasks move to another thread meanwhile.
            let must_close =
                tokio::task::block_in_place(|| part.take_until_close(kind, partition, &mut rest, deps))?;
            if must_close {
                self.publish(consumer, partition, shutdown).await?;
            }
        }
        Ok(())
    }

    /// Closes commits that the log's time has left and that no record of their own will close.
    async fn close_by_time(&mut self, consumer: &mut Consumer, shutdown: &Shutdown) -> Result<(), FeedError> {
        let lags = self.lags().await?;
        let now = AppendTime::from_micros(self.deps.log_time.load(Ordering::Relaxed));
        // One that catches up behind the others meets the end of the grid's cell by itself, in a full commit.
        let is_quiet = |id: &PartitionId| lags.get(id).is_none_or(|&lag| lag <= LAG_OF_CATCHING_UP);
        let past: Vec<_> = self
            .parts
            .iter()
            .filter(|(id, part)| part.writer.is_past(now) && is_quiet(id))
            .map(|(id, _)| *id)
            .collect();
        for partition in past {
            self.publish(consumer, partition, shutdown).await?;
        }
        Ok(())
    }

    /// Records that wait in each partition, told to the metrics too; without those of which the log does not say it now.
    async fn lags(&self) -> Result<BTreeMap<PartitionId, u64>, FeedError> {
        let topic = self.kind.topic();
        let until = self.deps.clock.instant() + LAGS_MAX_WAIT;
        let mut lags = BTreeMap::new();
        for (partition, part) in &self.parts {
            let left = until.saturating_duration_since(self.deps.clock.instant());
            let asked = tokio::time::timeout(left, self.deps.log.bounds(topic, *partition)).await;
            let end = match asked {
                Ok(Ok(bounds)) => bounds.end,
                // Reading itself goes on or waits.
                Ok(Err(error)) if error.is_passing() => continue,
                Err(_elapsed) => continue,
                Ok(Err(error)) => return Err(error.into()),
            };
            let lag = end.0.saturating_sub(part.writer.next_offset().0);
            lags.insert(*partition, lag);
            let gauge = self.deps.metrics.lag.with_label_values(&[topic, &partition.0.to_string()]);
            gauge.set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
        Ok(lags)
    }

    /// Publishes the open commit and commits its offset upstream; tries until the store takes it, or shutdown comes and
    /// it still does not: then the log keeps what waits.
    async fn publish(
        &mut self,
        consumer: &mut Consumer,
        partition: PartitionId,
        shutdown: &Shutdown,
    ) -> Result<(), FeedError> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        let Some(commit) = tokio::task::block_in_place(|| part.writer.seal())? else { return Ok(()) };
        let archive = &self.deps.archive;
        let published = self.deps.patiently(shutdown, || archive.publish(&commit)).await?;
        if let Some(part) = self.parts.get_mut(&partition) {
            self.deps.canaries_archived(part.canaries.drain(..));
        }
        self.count(partition, &published, commit.bytes());
        consumer.commit(partition, published.next_offset())?;
        Ok(())
    }

    fn count(&self, partition: PartitionId, published: &Published, bytes: u64) {
        let metrics = &self.deps.metrics;
        let (topic, number) = (self.kind.topic(), partition.0.to_string());
        metrics.commits.with_label_values(&[topic]).inc();
        metrics.bytes.inc_by(bytes);
        metrics.last_commit.with_label_values(&[topic, &number]).set(self.deps.clock.now().second());
        tracing::debug!(topic, partition = partition.0, next = published.next_offset().0, bytes, "published");
    }
}

impl Part {
    /// Takes records until one of them must not join the open commit; true then.
    fn take_until_close(
        &mut self,
        kind: Kind,
        partition: PartitionId,
        rest: &mut std::iter::Peekable<std::vec::IntoIter<Record>>,
        deps: &Deps,
    ) -> Result<bool, FeedError> {
        while let Some(record) = rest.peek() {
            let position = Position { partition, offset: record.offset, append_time: record.append_time };
            self.know_again(kind, &position)?;
            if kind == Kind::Input {
                deps.log_time.fetch_max(record.append_time.as_micros(), Ordering::Relaxed);
                if self.take_input(&position, record.payload.clone(), deps)? {
                    return Ok(true);
                }
            } else if self.take_row(kind, &position, record)? {
                return Ok(true);
            }
            rest.next();
        }
        if let Some(admission) = &self.admission {
            deps.metrics
                .holes
                .with_label_values(&[&partition.0.to_string()])
                .set(i64::try_from(admission.holes()).unwrap_or(i64::MAX));
            deps.metrics.tracked(partition, &self.devices);
        }
        Ok(false)
    }

    /// Holds the archive's last record against the log's at its offset: a log that was replaced, and has grown past the
    /// archive's end since, has another one there.
    fn know_again(&mut self, kind: Kind, position: &Position) -> Result<(), FeedError> {
        let Some((_, archived_at)) = self.last_archived.take_if(|(last, _)| *last == position.offset) else {
            return Ok(());
        };
        if position.append_time == archived_at {
            return Ok(());
        }
        let (found, archived_at) = (position.append_time.as_micros(), archived_at.as_micros());
        Err(FeedError::Replaced {
            topic: kind.topic(),
            partition: position.partition,
            archived: self.resume.0,
            what: format!(
                "the record before it was appended at {found} us, not at {archived_at} us, as the archived one"
            ),
        })
    }

    /// True if the open commit must close first; nothing is taken then.
    fn take_input(
        &mut self,
        position: &Position,
        payload: bytes::Bytes,
        deps: &Deps,
    ) -> Result<bool, FeedError> {
        let archiving = position.offset.0 >= self.resume.0;
        let envelope = match self.decoder.decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                if archiving {
                    if self.writer.should_close_before(position, 0) {
                        return Ok(true);
                    }
                    tracing::error!(partition = position.partition.0, offset = position.offset.0, %error, "undecodable record");
                    deps.metrics.undecodable.inc();
                    self.writer.append_undecodable(position)?;
                }
                return Ok(false);
            }
        };
        let readings = match &envelope.body {
            Body::Readings(Readings { readings, .. }) => readings.len(),
            Body::Command(_)
            | Body::Ticket(_)
            | Body::Forecast(_)
            | Body::ModelActivated(_)
            | Body::Heartbeat(_) => 0,
        };
        if archiving && self.writer.should_close_before(position, readings) {
            return Ok(true);
        }
        let Some(admission) = &mut self.admission else { return Ok(false) };
        let before = admission.counts();
        let verdict = admission.observe(position.offset, &envelope, &mut self.fresh);
        let numbered = match (&envelope.body, &envelope.network, verdict) {
            (Body::Readings(readings), Some(network), Verdict::Take) => {
                let sequence = self.devices.observe(network, readings, envelope.messages);
                sequence.map(|sequence| (readings, sequence))
            }
            _ => None,
        };
        if !archiving {
            return Ok(false);
        }
        let counts = admission.counts();
        deps.metrics.corrections.inc_by(counts.corrections - before.corrections);
        deps.metrics.redelivered.inc_by(counts.redelivered_records - before.redelivered_records);
        let repeats = self.fresh.repeats() as usize;
        let keep = match verdict {
            Verdict::Redelivered => Keep::Redelivered,
            Verdict::Take if repeats == 0 => Keep::All,
            Verdict::Take => {
                self.keep.clear();
                self.keep.extend((0..readings).map(|index| self.fresh.is_fresh(index)));
                Keep::Mask(&self.keep)
            }
        };
        self.writer.append(position, &envelope, keep)?;
        if let Some((gateway, sent)) = canary::sent(&envelope)
            && self.canaries.len() < CANARIES_MAX
        {
            self.canaries.push((gateway.clone(), sent));
        }
        if let Some((readings, sequence)) = numbered {
            self.writer.count_device(&envelope, readings, sequence);
            deps.metrics.count_device(sequence);
        }
        let duplicates = if verdict == Verdict::Redelivered { readings } else { repeats };
        deps.metrics.archived.inc_by((readings - duplicates) as u64);
        deps.metrics.duplicate.inc_by(duplicates as u64);
        Ok(false)
    }

    fn take_row(&mut self, kind: Kind, position: &Position, record: &Record) -> Result<bool, FeedError> {
        if position.offset.0 < self.resume.0 {
            return Ok(false);
        }
        if self.writer.should_close_before(position, 0) {
            return Ok(true);
        }
        // An incident that is no longer kept in the log stays in the archive.
        if record.payload.is_empty() {
            self.writer.append_tombstone(position)?;
            return Ok(false);
        }
        let (dataset, row) = match kind {
            Kind::Rejected => (Dataset::Rejected, rows::rejected(position, record.payload.clone())),
            Kind::IncidentEvents => (Dataset::IncidentEvents, rows::output(&record.payload)),
            Kind::Incidents | Kind::Input => (Dataset::Incidents, rows::incident(&record.payload)),
        };
        match row {
            Some(row) => self.writer.append_row(position, dataset, row)?,
            None => self.writer.append_undecodable(position)?,
        }
        Ok(false)
    }
}
