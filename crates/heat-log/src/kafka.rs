//! The Kafka engine, on librdkafka.
//!
//! Each appender has a thread that feeds and polls an idempotent producer (`kafka/producer.rs`); each consumer has a
//! thread that polls a BaseConsumer (`kafka/consumer.rs`). No future of rdkafka is awaited on the data path, and
//! nothing here depends on transactions.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use heat_model::{AppendTime, PartitionId, record::NextOffset};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    admin::AdminClient,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    OpenError,
    appender::{AppendError, Appender, Core, Wake},
    consumer::{Bounds, Membership, ReadError},
    settings::{AppenderSettings, ConsumerSettings, KafkaSettings},
    stats::{Live, LogStats},
    topics::{TopicError, TopicSpec},
};

mod consumer;
mod context;
mod plan;
mod producer;

use self::context::Watcher;
pub use self::{
    consumer::KafkaConsumer,
    plan::{TopicChange, TopicPlan},
};

/// Apache Kafka as the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<KafkaSettings>,
    /// Partitions by topic, taken on trust instead of asking a broker.
    expected: Vec<(String, u32)>,
    admin: AdminClient<Watcher>,
    live: Arc<Live>,
    appenders: Mutex<Vec<Weak<Core>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What all clients have in common: defaults, then the user's settings.
fn client_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "heatstream")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        // A broker that hangs must not hold a request for a minute, which is the default.
        .set("socket.timeout.ms", "15000")
        .set("reconnect.backoff.max.ms", "2000")
        .set("log.connection.close", "false");
    for (key, value) in &settings.librdkafka {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    config
}

fn partition_number(partition: PartitionId) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}

fn partition_id(number: i32) -> PartitionId {
    PartitionId(u32::try_from(number).unwrap_or(u32::MAX))
}

fn offset_number(next: NextOffset) -> i64 {
    i64::try_from(next.0).unwrap_or(i64::MAX)
}

fn next_offset(number: i64) -> NextOffset {
    NextOffset(u64::try_from(number).unwrap_or(0))
}

impl KafkaLog {
    pub(crate) async fn connect(settings: KafkaSettings) -> Result<Self, OpenError> {
        let log = Self::open(settings, Vec::new())?;
        let timeout = log.shared.settings.connect_timeout;
        let last_error = log.shared.admin.inner().context().last_error();
        log.blocking(move |shared| shared.admin.inner().fetch_metadata(None, timeout).map(drop))
            .await
            .map_err(|error| OpenError::KafkaUnreachable {
                brokers: log.shared.settings.brokers.clone(),
                waited_seconds: timeout.as_secs(),
                reason: last_error.get().unwrap_or(error),
            })?;
        Ok(log)
    }

    pub(crate) fn trusting(settings: KafkaSettings, topics: &[TopicSpec]) -> Result<Self, OpenError> {
        Self::open(settings, topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect())
    }

    /// Asks no broker.
    fn open(settings: KafkaSettings, expected: Vec<(String, u32)>) -> Result<Self, OpenError> {
        let live = Arc::<Live>::default();
        let watcher = Watcher::new(Arc::clone(&live));
        let admin: AdminClient<Watcher> = client_config(&settings)
            .create_with_context(watcher)
            .map_err(|error| OpenError::KafkaSettings { reason: error.to_string() })?;
        // A producer's settings are checked here too, so that a wrong key is found at the start.
        producer::config(&settings, &AppenderSettings::default())
            .create_native_config()
            .map_err(|error| OpenError::KafkaSettings { reason: error.to_string() })?;
        let settings = Arc::new(settings);
        let shared = Shared { settings, expected, admin, live, appenders: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks librdkafka something that blocks.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Shared) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || ask(&shared))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    pub(crate) async fn partitions(&self, topic: &str) -> Result<u32, TopicError> {
        if let Some((_, count)) = self.shared.expected.iter().find(|(name, _)| name == topic) {
            return Ok(*count);
        }
        let (name, timeout) = (topic.to_owned(), self.shared.settings.connect_timeout);
        let asked = self.blocking(move |shared| {
            let metadata = shared.admin.inner().fetch_metadata(Some(&name), timeout)?;
            let found = metadata.topics().iter().find(|found| found.name() == name);
            Ok(found.filter(|found| found.error().is_none()).map_or(0, |found| found.partitions().len()))
        });
        let engine = |reason| TopicError::Engine { act: "look up", topic: topic.to_owned(), reason };
        match asked.await.map_err(engine)? {
            0 => Err(TopicError::Missing { topic: topic.to_owned() }),
            count => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        }
    }

    /// Fails with the first topic that is missing or not as it must be.
    pub async fn check_topics(&self, topics: &[TopicSpec]) -> Result<(), TopicError> {
        plan::check(self, topics).await
    }

    /// Compares the topics with Kafka's. `replication` is the factor of topics to be created, lowered to the number of
    /// brokers with a warning.
    pub async fn plan_topics(&self, topics: &[TopicSpec], replication: u16) -> Result<TopicPlan, TopicError> {
        plan::plan(self, topics, replication).await
    }

    /// Does what the plan says; a refusal in it is an error, before anything is done.
    pub async fn apply_topics(&self, plan: &TopicPlan) -> Result<(), TopicError> {
        plan::apply(self, plan).await
    }

    pub(crate) async fn appender(
        &self,
        topics: &[&str],
        settings: AppenderSettings,
    ) -> Result<Appender, AppendError> {
        let mut sized = Vec::new();
        for &topic in topics {
            sized.push((
                topic,
                self.partitions(topic).await.map_err(|error| AppendError::Open(Arc::new(error)))?,
            ));
        }
        let wake = Arc::<Wake>::default();
        let core = Arc::new(Core::new(&sized, settings, Arc::clone(&wake), Arc::clone(&self.shared.live)));
        let mut appenders = self.shared.appenders.lock().unwrap_or_else(PoisonError::into_inner);
        appenders.retain(|appender| appender.strong_count() > 0);
        appenders.push(Arc::downgrade(&core));
        drop(appenders);
        producer::start(Arc::clone(&core), wake, &self.shared.settings, &self.shared.live)?;
        Ok(Appender::new(core))
    }

    pub(crate) async fn consumer(
        &self,
        topic: &str,
        membership: Membership,
        settings: ConsumerSettings,
    ) -> Result<KafkaConsumer, ReadError> {
        let count = self.partitions(topic).await.map_err(ReadError::Topic)?;
        let (fixed, group) = match membership {
            Membership::All => ((0..count).map(PartitionId).collect(), None),
            Membership::Only(partitions) => (partitions, None),
            Membership::Group(name) => (Vec::new(), Some(name)),
        };
        if let Some(&partition) = fixed.iter().find(|partition| partition.0 >= count) {
            return Err(ReadError::NotAssigned { topic: topic.to_owned(), partition });
        }
        KafkaConsumer::start_thread(topic, fixed, group, settings, &self.shared.settings, &self.shared.live)
    }

    pub(crate) async fn bounds(&self, topic: &str, partition: PartitionId) -> Result<Bounds, ReadError> {
        let (name, timeout) = (topic.to_owned(), self.shared.settings.connect_timeout);
        let asked = self.blocking(move |shared| {
            let number = partition_number(partition);
            match shared.admin.inner().fetch_watermarks(&name, number, timeout) {
                // A client keeps what a Kafka in trouble told it of its partitions, and answers from it for minutes; a
                // new one asks.
                Err(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::NotLeaderForPartition,
                )) => {
                    let fresh: BaseConsumer = client_config(&shared.settings).create()?;
                    fresh.fetch_watermarks(&name, number, timeout)
                }
                answer => answer,
            }
        });
        let (first, end) = asked.await.map_err(|reason| ReadError::Kafka {
            act: "look up the bounds of",
            topic: topic.to_owned(),
            reason,
        })?;
        Ok(Bounds { first: next_offset(first), end: next_offset(end) })
    }

    pub(crate) async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        time: AppendTime,
    ) -> Result<NextOffset, ReadError> {
        let failed =
            |reason: String| ReadError::Kafka { act: "look up a time in", topic: topic.to_owned(), reason };
        // Kafka's times are in milliseconds, cut off: a record of the same millisecond may be a little older.
        let asked_ms = time.as_micros().div_euclid(1_000);
        let (name, timeout) = (topic.to_owned(), self.shared.settings.connect_timeout);
        let asked = self.blocking(move |shared| {
            let consumer: BaseConsumer = client_config(&shared.settings).create()?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&name, partition_number(partition), rdkafka::Offset::Offset(asked_ms))?;
            let answer = consumer.offsets_for_times(list, timeout)?;
            let element = answer.elements().into_iter().next();
            element.map(|element| element.error().map(|()| element.offset())).transpose()
        });
        match asked.await.map_err(failed)? {
            Some(rdkafka::Offset::Offset(number)) => Ok(next_offset(number)),
            Some(_) | None => Ok(self.bounds(topic, partition).await?.end),
        }
    }

    pub(crate) async fn trim(
        &self,
        topic: &str,
        partition: PartitionId,
        before: NextOffset,
    ) -> Result<(), ReadError> {
        let failed = |reason: String| ReadError::Kafka { act: "trim", topic: topic.to_owned(), reason };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(
            topic,
            partition_number(partition),
            rdkafka::Offset::Offset(offset_number(before)),
        )
        .map_err(|error| failed(error.to_string()))?;
        let done = self
            .shared
            .admin
            .delete_records(&list, &plan::options(&self.shared.settings))
            .await
            .map_err(|error| failed(error.to_string()))?;
        done.elements()
            .iter()
            .try_for_each(|element| element.error())
            .map_err(|error| failed(error.to_string()))
    }

    pub(crate) fn stats(&self) -> LogStats {
        self.shared.live.snapshot()
    }

    pub(crate) async fn close(&self, deadline: Duration) -> bool {
        let cores: Vec<_> = {
            let appenders = self.shared.appenders.lock().unwrap_or_else(PoisonError::into_inner);
            appenders.iter().filter_map(Weak::upgrade).collect()
        };
        let flush_all = async {
            for core in &cores {
                if core.flush().await.is_err() {
                    return false;
                }
            }
            true
        };
        let durable = tokio::time::timeout(deadline, flush_all).await.unwrap_or(false);
        for core in &cores {
            core.close("the log is closed");
        }
        durable
    }
}
