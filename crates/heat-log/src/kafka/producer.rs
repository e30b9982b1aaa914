//! Feeding an idempotent producer from an appender's queue.
//!
//! The thread hands records to librdkafka in the order of their tickets and keeps them until their delivery reports.
//! Reports of a partition come in order, so a counter per stream is all that a report touches. If the producer fails
//! for good (fenced, out of sequence), another is built and everything without a report is sent again in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::{client_config, context::Watcher, partition_number};
use crate::{
    appender::{AppendError, Core, Queued, Wake},
    clock,
    settings::{AppenderSettings, KafkaSettings},
    stats::Live,
};
use group::{GROUP_BYTES, Group, STANDSTILL, Standing, Unsent};

mod group;

/// Between polls while reports are due: the group in which they wake the appender.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The same when none has come for a while.
const SLOW_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Without anything in flight: only librdkafka's own events wait.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// First and longest wait before another producer is built.
const RESTART_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long an appender without owners is still flushed.
const ORPHAN_FLUSH: Duration = Duration::from_secs(30);

/// A producer's settings.
pub(super) fn config(settings: &KafkaSettings, bounds: &AppenderSettings) -> ClientConfig {
    let mut defaults = KafkaSettings { librdkafka: Default::default(), ..settings.clone() };
    for (key, value) in [
        ("batch.size", (1 << 20).to_string()),
        // For the records of one group to arrive; `group` is what groups.
        ("queue.buffering.max.ms", "1".to_owned()),
        ("request.timeout.ms", "10000".to_owned()),
        ("message.max.bytes", (bounds.record_max_bytes + (64 << 10)).to_string()),
        // The appender bounds what is queued; these bounds only have to lie above.
        ("queue.buffering.max.messages", (bounds.queue_max_records + 1).min(10_000_000).to_string()),
        (
            "queue.buffering.max.kbytes",
            (bounds.queue_max_bytes / 1024 * 2 + 4096).min(2_000_000_000).to_string(),
        ),
    ] {
        defaults.librdkafka.insert(key.to_owned(), value);
    }
    // Two names of one setting: the user's counts.
    if settings.librdkafka.contains_key("linger.ms") {
        defaults.librdkafka.remove("queue.buffering.max.ms");
    }
    defaults.librdkafka.extend(settings.librdkafka.clone());
    let mut config = client_config(&defaults);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // Never given up: the appender holds what is not delivered and says that it is stalled.
        .set("message.timeout.ms", "0")
        .set("compression.codec", &settings.compression);
    config
}

/// What the delivery reports of one producer have told.
struct Deliveries {
    watcher: Watcher,
    reports: Mutex<Reports>,
}

struct Reports {
    /// Per stream, the number whose report comes next.
    next: Vec<u64>,
    /// Reports so far.
    count: u64,
    failure: Option<RDKafkaErrorCode>,
}

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.watcher.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.lock().failure.get_or_insert(RDKafkaErrorCode::Fatal);
        }
        self.watcher.error(error, reason);
    }
}

/// Stream and number of a record in one word, so that a report costs no allocation.
const NUMBER_BITS: u32 = 40;

fn pack(stream: usize, number: u64) -> usize {
    const { assert!(usize::BITS == 64) };
    let number = usize::try_from(number & ((1 << NUMBER_BITS) - 1)).expect("masked to 40 bits");
    (stream << NUMBER_BITS) | number
}

fn unpack(opaque: usize) -> (usize, u64) {
    (opaque >> NUMBER_BITS, (opaque & ((1 << NUMBER_BITS) - 1)) as u64)
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (stream, number) = unpack(opaque);
        let mut reports = self.lock();
        reports.count += 1;
        match result {
            Ok(_) => {
                // A report behind a failed one does not count: the record is sent again, after the failed one.
                let next = &mut reports.next[stream];
                if number == *next & ((1 << NUMBER_BITS) - 1) {
                    *next += 1;
                }
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                reports.failure.get_or_insert(code);
            }
        }
    }
}

/// The records of one topic partition that have no report yet.
struct Stream {
    topic: String,
    partition: i32,
    retained: VecDeque<Queued>,
    /// Number of the first retained.
    first: u64,
    /// How many of the retained the present producer has.
    sent: usize,
}

impl Stream {
    fn standing(&self) -> Standing {
        let mut bytes = 0;
        let is_much = self.retained.range(self.sent..).any(|record| {
            bytes += record.size_bytes();
            bytes >= GROUP_BYTES
        });
        let unsent = match self.retained.len() - self.sent {
            0 => Unsent::Nothing,
            _ if is_much => Unsent::Much,
            _ => Unsent::Little,
        };
        Standing { is_under_way: self.sent > 0, unsent }
    }

    /// Hands over what the producer does not have, in order, as far as it takes it.
    fn hand_over(
        &mut self,
        index: usize,
        producer: &BaseProducer<Deliveries>,
    ) -> Result<(), RDKafkaErrorCode> {
        while let Some(record) = self.retained.get(self.sent) {
            let opaque = pack(index, self.first + self.sent as u64);
            let mut message: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(&self.topic, opaque).partition(self.partition);
            message.key = record.key.as_deref();
            // Without a payload it deletes its key in a compacted topic.
            message.payload = (!record.payload.is_empty()).then_some(&*record.payload);
            producer
                .send(message)
                .map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown))?;
            self.sent += 1;
        }
        Ok(())
    }
}

struct Feeder {
    core: Arc<Core>,
    wake: Arc<Wake>,
    config: ClientConfig,
    live: Arc<Live>,
    watcher: Watcher,
    producer: Option<BaseProducer<Deliveries>>,
    streams: Vec<Stream>,
    drained: Vec<Queued>,
    retained: usize,
    group: Group,
    /// The stream that is handed over first.
    turn: usize,
    restart_at: Instant,
    restart_interval: Duration,
    moved: Instant,
    orphaned: Option<Instant>,
}

/// Starts the thread; it ends when the appender is closed, or dropped and flushed.
pub(super) fn start(
    core: Arc<Core>,
    wake: Arc<Wake>,
    settings: &KafkaSettings,
    live: &Arc<Live>,
) -> Result<(), AppendError> {
    let streams = core
        .streams()
        .map(|(topic, partition)| Stream {
            topic: topic.to_owned(),
            partition: partition_number(partition),
            retained: VecDeque::new(),
            first: 0,
            sent: 0,
        })
        .collect();
    let mut feeder = Feeder {
        config: config(settings, core.settings()),
        watcher: Watcher::new(Arc::clone(live)),
        live: Arc::clone(live),
        producer: None,
        streams,
        drained: Vec::new(),
        retained: 0,
        group: Group::new(clock::now()),
        turn: 0,
        restart_at: clock::now(),
        restart_interval: RESTART_INTERVALS.0,
        moved: clock::now(),
        orphaned: None,
        core,
        wake,
    };
    feeder.build().map_err(|error| AppendError::Start { reason: error.to_string() })?;
    std::thread::Builder::new()
        .name("log-producer".to_owned())
        .spawn(move || feeder.run())
        .map(drop)
        .map_err(|error| AppendError::Start { reason: error.to_string() })
}

impl Drop for Feeder {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.core.close("its thread has ended");
    }
}

impl Feeder {
    fn build(&mut self) -> Result<(), KafkaError> {
        let deliveries = Deliveries {
            watcher: self.watcher.clone(),
            reports: Mutex::new(Reports {
                next: self.streams.iter().map(|stream| stream.first).collect(),
                count: 0,
                failure: None,
            }),
        };
        self.producer = Some(self.config.create_with_context(deliveries)?);
        Ok(())
    }

    fn run(mut self) {
        self.wake.register();
        while self.wants_to_go_on() {
            self.take();
            self.rebuild_if_due();
            self.feed();
            if let Some(code) = self.harvest() {
                self.fail(code);
            }
            self.judge();
            self.rest();
        }
    }

    /// Sleeps. A record wakes it only where none is under way: waking for each one costs more than sending it.
    fn rest(&self) {
        if self.retained == 0 {
            self.wake.park(IDLE_INTERVAL, || self.core.has_work());
        } else if clock::now().saturating_duration_since(self.moved) < STANDSTILL {
            std::thread::park_timeout(POLL_INTERVAL);
        } else {
            std::thread::park_timeout(SLOW_POLL_INTERVAL);
        }
    }

    fn wants_to_go_on(&mut self) -> bool {
        if self.core.is_closed() {
            return false;
        }
        if Arc::strong_count(&self.core) > 1 {
            return true;
        }
        let since = *self.orphaned.get_or_insert_with(clock::now);
        let has_time = clock::now().saturating_duration_since(since) < ORPHAN_FLUSH;
        has_time && (self.retained > 0 || self.core.has_work())
    }

    fn take(&mut self) {
        self.core.drain(&mut self.drained);
        if self.drained.is_empty() {
            return;
        }
        let now = clock::now();
        if self.retained == 0 {
            self.moved = now;
        }
        self.retained += self.drained.len();
        self.group.take(self.drained.iter().map(Queued::size_bytes).sum(), now);
        for record in self.drained.drain(..) {
            self.streams[record.stream as usize].retained.push_back(record);
        }
    }

    fn rebuild_if_due(&mut self) {
        if self.producer.is_some() || clock::now() < self.restart_at {
            return;
        }
        if let Err(error) = self.build() {
            self.back_off();
            self.core.stalled(&format!("cannot build another producer: {error}"));
        }
    }

    fn back_off(&mut self) {
        self.restart_at = clock::now() + self.restart_interval;
        self.restart_interval = (self.restart_interval * 2).min(RESTART_INTERVALS.1);
    }

    /// Hands over the group that is due, as far as there is room for it, in order for each stream.
    fn feed(&mut self) {
        let now = clock::now();
        let Some(producer) = &self.producer else { return };
        if !self.group.is_due(now) {
            return;
        }
        let streams: Vec<Standing> = self.streams.iter().map(Stream::standing).collect();
        let choice = self.group.choose(&streams, self.turn, self.moved, now);
        let mut left = choice.left;
        for index in choice.streams {
            if let Err(code) = self.streams[index].hand_over(index, producer) {
                if code != RDKafkaErrorCode::QueueFull {
                    producer.context().lock().failure.get_or_insert(code);
                }
                left.get_or_insert(index);
                break;
            }
        }
        self.turn = left.unwrap_or(0);
        self.group.handed(left.is_some(), now);
    }

    /// Serves reports and passes them on, in groups; returns why the producer has failed.
    fn harvest(&mut self) -> Option<RDKafkaErrorCode> {
        let producer = self.producer.as_ref()?;
        // One event per poll, with many reports; a bound, because feeding must go on.
        for _ in 0..16 {
            let before = producer.context().lock().count;
            producer.poll(Duration::ZERO);
            if producer.context().lock().count == before {
                break;
            }
        }
        let reports = producer.context().lock();
        let mut advanced = Vec::new();
        let mut bytes = 0;
        for ((index, stream), &next) in (0..).zip(&mut self.streams).zip(&reports.next) {
            let count = next - stream.first;
            if count > 0 {
                let taken = usize::try_from(count).expect("no more reports than retained records");
                bytes += stream.retained.drain(..taken).map(|record| record.size_bytes()).sum::<usize>();
                stream.sent -= taken;
                stream.first = next;
                self.retained -= taken;
                advanced.push((index, count));
            }
        }
        let failure = reports.failure;
        drop(reports);
        if !advanced.is_empty() {
            self.live.groups.add(1);
            self.moved = clock::now();
            self.restart_interval = RESTART_INTERVALS.0;
            self.core.advance(advanced.into_iter(), bytes);
            if failure.is_none() {
                self.watcher.last_error().clear();
                self.core.healthy();
            }
        }
        failure
    }

    /// Gives the producer up. What no repetition can mend closes the appender.
    fn fail(&mut self, code: RDKafkaErrorCode) {
        let fatal = self.producer.as_ref().and_then(|producer| producer.client().fatal_error());
        let reason = fatal.map_or_else(|| code.to_string(), |(_, reason)| reason);
        let hopeless = matches!(
            code,
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidMessageSize
        );
        if hopeless {
            self.core.close(&format!(
                "Kafka refuses a record for good: {reason}; compare the topic's max.message.bytes with record_max_bytes"
            ));
            return;
        }
        tracing::warn!(reason, retained = self.retained, "the producer has failed; building another");
        self.core.stalled(&reason);
        self.live.producer_restarts.add(1);
        for stream in &mut self.streams {
            self.live.records_resent.add(stream.sent as u64);
            stream.sent = 0;
        }
        // Its drop waits up to half a second for librdkafka to let go of what it has.
        self.producer = None;
        self.back_off();
    }

    /// Says so if nothing is delivered although something should be.
    fn judge(&self) {
        if let Some(idle) = self.core.idle_for()
            && idle >= self.core.settings().stalled_after
        {
            let reason = self.watcher.last_error().get();
            self.core.stalled(
                &reason.unwrap_or_else(|| "no delivery report; the broker does not answer".to_owned()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_and_number_share_a_word() {
        for (stream, number) in [(0, 0), (1, 5), (4095 * 5, (1 << NUMBER_BITS) - 1)] {
            assert_eq!(unpack(pack(stream, number)), (stream, number));
        }
        assert_eq!(
            unpack(pack(3, 1 << NUMBER_BITS)),
            (3, 0),
            "numbers wrap; a report is compared modulo 2^40"
        );
    }
}
