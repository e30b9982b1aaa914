//! The buffer on disk: an embedded log of its own, with one topic of one partition, for the time that Kafka takes
//! nothing.
//!
//! Here is only what touches the disk: opening, appending, reading, trimming, and finding the place of a time. What goes
//! in and out, and when, is decided in [`crate::outbox`].
#![expect(
    clippy::single_range_in_vec_init,
    reason = "what is pending are ranges of offsets, and often it is one"
)]

use std::{path::PathBuf, sync::Arc};

use heat_log::{
    AppendError, Appender, AppenderSettings, Consumer, ConsumerSettings, EmbeddedSettings, Health, Log,
    LogEvent, Membership, OpenError, ReadError, StartFrom, TopicError, TopicSpec, settings::RECORD_MAX_BYTES,
};
use heat_model::{AppendTime, PartitionId, record::NextOffset};
use tokio::sync::watch;

use crate::outbox::{
    backlog::{Backlog, Part},
    core::Buffered,
    entry::{Entry, HEADER_BYTES, UnknownFormat},
};

mod hint;
pub(crate) mod settings;

pub(crate) use hint::Hint;
use settings::BufferSettings;

pub(crate) const TOPIC: &str = "gateway-buffer";
const P: PartitionId = PartitionId(0);

/// The buffer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// It cannot be opened.
    #[error("cannot open the gateway's buffer; see [gateway.buffer] directory")]
    Open(#[from] OpenError),
    /// Its log cannot be set up.
    #[error("cannot set up the gateway's buffer; see [gateway.buffer] directory")]
    Topic(#[from] TopicError),
    /// It cannot be appended to.
    #[error("cannot append to the gateway's buffer")]
    Append(#[from] AppendError),
    /// It cannot be read.
    #[error("cannot read the gateway's buffer")]
    Read(#[from] ReadError),
    /// It holds records of another release.
    #[error("cannot read a record of the gateway's buffer; let the release that wrote it drain it")]
    Format(#[from] UnknownFormat),
    /// The thread that opened it ended.
    #[error("opening the gateway's buffer was given up")]
    Cancelled,
}

/// An open buffer.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) settings: BufferSettings,
    pub(crate) appender: Appender,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) reader: Reader,
    log: Log,
}

/// Records of a stretch of the buffer.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) from: u64,
    pub(crate) records: Vec<Buffered>,
    /// Where reading resumes.
    pub(crate) end: u64,
}

/// Reads the buffer, wherever it is told to.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Log,
    consumer: Consumer,
    /// Where the consumer reads next.
    position: Option<u64>,
    /// Damaged places whose lost records are counted.
    places_counted: u64,
    damaged_records: u64,
}

/// What an earlier process left.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) backlog: Backlog,
    pub(crate) least_epoch: u64,
}

impl Buffer {
    /// Opens or creates it. `old_before` is the append time that parts old from fresh.
    pub(crate) async fn open(
        settings: BufferSettings,
        old_before: AppendTime,
    ) -> Result<(Self, Found), BufferError> {
        let mut embedded = EmbeddedSettings::new(&settings.directory);
        embedded.segment_max_bytes = settings.segment_max_bytes();
        let opened = tokio::task::spawn_blocking(move || Log::open_embedded(embedded)).await;
        let log = opened.map_err(|_| BufferError::Cancelled)??;
        log.ensure_topics(&[TopicSpec::new(TOPIC, 1)]).await?;
        let bounds = AppenderSettings {
            record_max_bytes: RECORD_MAX_BYTES + HEADER_BYTES,
            // Less than Kafka's: it lasts only until the next sync.
            queue_max_bytes: 16 << 20,
            ..AppenderSettings::default()
        };
        let appender = log.appender(&[TOPIC], bounds).await?;
        let consumer = log.consumer(TOPIC, Membership::Only(vec![P]), ConsumerSettings::default()).await?;
        let buffer = Self {
            health: appender.health(),
            settings,
            appender,
            reader: Reader {
                log: log.clone(),
                consumer,
                position: None,
                places_counted: 0,
                damaged_records: 0,
            },
            log,
        };
        let found = buffer.find(old_before).await?;
        Ok((buffer, found))
    }

    /// What is pending, cut by age.
    async fn find(&self, old_before: AppendTime) -> Result<Found, BufferError> {
        let bounds = self.log.bounds(TOPIC, P).await?;
        let (first, end) = (bounds.first.0, bounds.end.0);
        let hint = Hint::read(&self.settings.directory);
        let mut pending = match &hint {
            Some(hint) => hint.pending(first, end),
            None if first < end => vec![first..end],
            None => Vec::new(),
        };
        let mut backlog = Backlog::default();
        let finder = self.finder();
        if let Some(newest) = pending.pop() {
            for range in pending {
                let since = finder.time_at(range.start).await?;
                backlog.old.push_back(Part::new(range.start, Some(range.end), since));
            }
            let since = finder.time_at(newest.start).await?;
            let cut = finder.chunk_at(old_before).await?;
            if cut.0 >= newest.end {
                backlog.old.push_back(Part::new(newest.start, Some(newest.end), since));
            } else {
                backlog.fresh = Some(Part::new(newest.start, None, since));
                backlog.split(cut.0, cut.1);
            }
        }
        let least_epoch = hint.map_or(0, |hint| hint.last_epoch).max(finder.last_epoch().await?) + 1;
        Ok(Found { backlog, least_epoch })
    }

    /// For looking up times without this handle.
    pub(crate) fn finder(&self) -> Finder {
        Finder { log: self.log.clone() }
    }

    /// Its durable end.
    pub(crate) async fn end(&self) -> Result<u64, BufferError> {
        Ok(self.log.bounds(TOPIC, P).await?.end.0)
    }

    /// Records lost by damage, as far as found.
    pub(crate) fn damaged_records(&self) -> u64 {
        self.reader.damaged_records
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.log.stats().segment_bytes
    }

    /// Notes how far it is forwarded, then gives up what lies before.
    pub(crate) fn keep_house(&self, hint: Hint, trim_before: u64) -> impl Future<Output = ()> + Send + use<> {
        let (log, dir): (Log, Arc<PathBuf>) = (self.log.clone(), Arc::new(self.settings.directory.clone()));
        async move {
            let target = Arc::clone(&dir);
            let written = tokio::task::spawn_blocking(move || hint.write(&target)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, directory = %dir.display(), "cannot note how far the buffer is forwarded");
            }
            if let Err(error) = log.trim(TOPIC, P, NextOffset(trim_before)).await {
                tracing::warn!(%error, directory = %dir.display(), "cannot give up what was forwarded; tried again");
            }
        }
    }

    /// Ends its threads.
    pub(crate) async fn close(&self, deadline: std::time::Duration) -> bool {
        self.log.close(deadline).await
    }
}

impl Reader {
    /// Reads on from an offset. Waits where there are no records.
    /// Cancel-safe.
    pub(crate) async fn read(&mut self, from: u64) -> Result<Read, BufferError> {
        if self.position != Some(from) {
            self.position = None;
            self.consumer.start(P, StartFrom::Offset(NextOffset(from))).await?;
            self.position = Some(from);
        }
        loop {
            let (records, end) = match self.consumer.next().await {
                Ok(LogEvent::Records { records, end, .. }) => (records, end.0),
                Ok(LogEvent::Assigned(_) | LogEvent::Revoked(_)) => continue,
                Err(error) => {
                    self.position = None;
                    return Err(error.into());
                }
            };
            self.position = Some(end);
            self.count_damage(from, end, records.len() as u64);
            let mut buffered = Vec::with_capacity(records.len());
            for record in records {
                let entry = Entry::from_buffer(record.key, record.payload)?;
                buffered.push(Buffered { offset: record.offset.0, time: record.append_time, entry });
            }
            return Ok(Read { from, records: buffered, end });
        }
    }

    /// Offsets that no record was read for are lost if the log found damage; the rest are gaps that it left itself.
    fn count_damage(&mut self, from: u64, end: u64, records: u64) {
        let lost = (end - from).saturating_sub(records);
        if lost > 0 && self.log.stats().damaged_places > self.places_counted {
            self.places_counted += 1;
            self.damaged_records += lost;
            tracing::error!(
                lost,
                from,
                end,
                "buffered records are damaged and lost although they were acknowledged; the rest is forwarded"
            );
        }
    }
}

/// Looks up places of the buffer.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    log: Log,
}

impl Finder {
    /// The start of the chunk that holds the first record of this time, and that record's time; the end if there is
    /// none.
    pub(crate) async fn chunk_at(&self, time: AppendTime) -> Result<(u64, AppendTime), BufferError> {
        let at = self.log.offset_at(TOPIC, P, time).await?;
        let end = self.log.bounds(TOPIC, P).await?.end;
        let Some(held) = self.first_from(at, end).await? else { return Ok((end.0, time)) };
        // A chunk's number is the time at which it began, so its first record cannot have been appended before.
        let began = AppendTime::from_micros(i64::try_from(held.entry.epoch).unwrap_or(i64::MAX));
        let from = self.log.offset_at(TOPIC, P, began).await?.min(at);
        let mut scan =
            self.log.scan(TOPIC, P, StartFrom::Offset(from), end, ConsumerSettings::default()).await?;
        while let Some(records) = scan.next().await? {
            for record in records {
                let entry = Entry::from_buffer(record.key, record.payload)?;
                if entry.epoch == held.entry.epoch {
                    return Ok((record.offset.0, record.append_time));
                }
            }
        }
        Ok((held.offset, held.time))
    }

    async fn first_from(&self, from: NextOffset, end: NextOffset) -> Result<Option<Buffered>, BufferError> {
        let settings = ConsumerSettings { batch_max_records: 1, batch_max_bytes: 4096, ..Default::default() };
        let mut scan = self.log.scan(TOPIC, P, StartFrom::Offset(from), end, settings).await?;
        let Some(record) = scan.next().await?.and_then(|records| records.into_iter().next()) else {
            return Ok(None);
        };
        let entry = Entry::from_buffer(record.key, record.payload)?;
        Ok(Some(Buffered { offset: record.offset.0, time: record.append_time, entry }))
    }

    /// Append time of the first record from an offset on; the oldest time there is if there is none.
    async fn time_at(&self, offset: u64) -> Result<AppendTime, BufferError> {
        let end = self.log.bounds(TOPIC, P).await?.end;
        let first = self.first_from(NextOffset(offset), end).await?;
        Ok(first.map_or(AppendTime::from_micros(0), |record| record.time))
    }

    /// The highest epoch among the newest records; 0 in an empty buffer.
    async fn last_epoch(&self) -> Result<u64, BufferError> {
        const NEWEST: u64 = 1_000;
        let bounds = self.log.bounds(TOPIC, P).await?;
        let from = NextOffset(bounds.end.0.saturating_sub(NEWEST)).max(bounds.first);
        let mut scan =
            self.log.scan(TOPIC, P, StartFrom::Offset(from), bounds.end, ConsumerSettings::default()).await?;
        let mut last = 0;
        while let Some(records) = scan.next().await? {
            for record in records {
                last = last.max(Entry::from_buffer(record.key, record.payload)?.epoch);
            }
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests;
