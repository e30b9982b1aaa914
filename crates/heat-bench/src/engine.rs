//! Which log, and its topics.

use std::{path::PathBuf, time::Duration};

use heat_log::{
    Bounds, EmbeddedSettings, KafkaSettings, Log, Retention, TopicChange, TopicSpec,
    topics::{self, product_topics},
};
use heat_model::PartitionId;
use heat_runtime::Clock;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// Partitions of the input; the default of the product.
pub(crate) const PARTITIONS: u32 = 4;
/// How long a new partition may take to get its leader.
const LEADER: Duration = Duration::from_secs(20);
/// Where the bare bridge appends, so that nobody takes its payloads for records.
pub(crate) const BARE: &str = "heat.bench-bare.v1";

/// A log that several processes open one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Engine {
    /// In this folder.
    Embedded(PathBuf),
    /// At these brokers.
    Kafka(String),
    /// At these, which do not answer yet.
    Unreached(String),
}

fn topics_of_bench() -> Vec<TopicSpec> {
    let mut topics = product_topics(PARTITIONS, Retention::default());
    topics.push(TopicSpec::new(BARE, PARTITIONS));
    topics
}

impl Engine {
    /// Opens it; an embedded one is created.
    pub(crate) async fn open(&self) -> Result<Log, BenchError> {
        match self {
            Self::Embedded(dir) => {
                let log = Log::open_embedded(EmbeddedSettings::new(dir.clone()))
                    .map_err(BenchError::act("open the embedded log"))?;
                log.ensure_topics(&topics_of_bench())
                    .await
                    .map_err(BenchError::act("make the log's topics"))?;
                Ok(log)
            }
            Self::Kafka(brokers) => Log::connect_kafka(KafkaSettings::new(brokers))
                .await
                .map_err(BenchError::act("connect to Kafka")),
            Self::Unreached(brokers) => Log::trust_kafka(KafkaSettings::new(brokers), &topics_of_bench())
                .map_err(BenchError::act("make a client of Kafka")),
        }
    }

    /// Creates Kafka's topics, and refuses where they hold anything: what is there is not the bench's.
    pub(crate) async fn prepare(self) -> Result<(), BenchError> {
        let log = self.open().await?;
        let Log::Kafka(kafka) = &log else { return Ok(()) };
        let plan = kafka
            .plan_topics(&topics_of_bench(), 1)
            .await
            .map_err(BenchError::act("look at Kafka's topics"))?;
        for change in &plan.changes {
            if let TopicChange::Refuse { topic, reason } = change {
                return Err(BenchError::Topic { topic: topic.clone(), reason: reason.clone() });
            }
        }
        kafka.apply_topics(&plan).await.map_err(BenchError::act("create Kafka's topics"))?;
        for topic in topics_of_bench() {
            for partition in (0..topic.partitions).map(PartitionId) {
                let bounds = bounds_of_new(&log, &topic.name, partition).await?;
                if bounds.first < bounds.end {
                    return Err(BenchError::NotEmpty { topic: topic.name });
                }
            }
        }
        Ok(())
    }

    /// Empties the topics that gateway and bare bridge append to.
    pub(crate) async fn trim(self) -> Result<(), BenchError> {
        let log = self.open().await?;
        for topic in [topics::INPUT, topics::REJECTED, BARE] {
            for partition in (0..PARTITIONS).map(PartitionId) {
                let end =
                    log.bounds(topic, partition).await.map_err(BenchError::act("look at the log's end"))?.end;
                log.trim(topic, partition, end).await.map_err(BenchError::act("empty the log's topics"))?;
            }
        }
        Ok(())
    }
}

/// The bounds of a partition that may have been created a moment ago: Kafka says so before its leader is there.
async fn bounds_of_new(log: &Log, topic: &str, partition: PartitionId) -> Result<Bounds, BenchError> {
    let begun = Clock.instant();
    loop {
        match log.bounds(topic, partition).await {
            Ok(bounds) => return Ok(bounds),
            Err(_) if begun.elapsed() < LEADER => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(BenchError::act("look at Kafka's topics")(error)),
        }
    }
}
