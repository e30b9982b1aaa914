//! Topics on Kafka: checked at start, created and altered only on purpose.

use std::collections::BTreeMap;

use rdkafka::{
    admin::{AdminOptions, AlterConfig, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    error::KafkaError,
};

use super::KafkaLog;
use crate::{
    settings::{KafkaSettings, RECORD_MAX_BYTES},
    topics::{TopicError, TopicSpec, check_spec},
};

/// What `heatstream topics plan` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicPlan {
    /// What would be done, topic by topic.
    pub changes: Vec<TopicChange>,
    /// What an operator should know: replication below 3, min ISR below 2.
    pub warnings: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// Create it.
    Create {
        /// The topic.
        topic: TopicSpec,
        /// Its replication factor.
        replication: u16,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// Alter settings.
    Alter {
        /// The topic's name.
        topic: String,
        /// Setting, present value, wanted value.
        settings: Vec<(String, Option<String>, String)>,
        /// All settings that the topic will then have of its own: Kafka's call replaces the whole set.
        all: BTreeMap<String, String>,
    },
    /// It cannot be mended here.
    Refuse {
        /// The topic's name.
        topic: String,
        /// Why, and what to do.
        reason: String,
    },
}

const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const LOG_APPEND_TIME: &str = "LogAppendTime";
const MIN_ISR: &str = "min.insync.replicas";
const MAX_MESSAGE: &str = "max.message.bytes";

pub(super) fn options(settings: &KafkaSettings) -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(settings.connect_timeout))
        .operation_timeout(Some(settings.connect_timeout))
}

/// A topic as Kafka has it.
struct Found {
    partitions: u32,
    replication: usize,
    /// All settings in force.
    settings: BTreeMap<String, String>,
    /// Those that were set on the topic itself.
    own: BTreeMap<String, String>,
}

fn engine(act: &'static str, topic: &str) -> impl FnOnce(String) -> TopicError {
    let topic = topic.to_owned();
    move |reason| TopicError::Engine { act, topic, reason }
}

async fn find(log: &KafkaLog, topic: &str) -> Result<Option<Found>, TopicError> {
    let (name, timeout) = (topic.to_owned(), log.shared.settings.connect_timeout);
    let asked = log.blocking(move |shared| {
        let metadata = shared.admin.inner().fetch_metadata(Some(&name), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == name && found.error().is_none());
        Ok(found.map(|found| {
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len());
            (found.partitions().len(), replicas.min().unwrap_or(0))
        }))
    });
    let Some((partitions, replication)) =
        asked.await.map_err(engine("look up", topic))?.filter(|found| found.0 > 0)
    else {
        return Ok(None);
    };
    let resource = describe(log, topic).await?;
    let set = |is_wanted: fn(&rdkafka::admin::ConfigEntry) -> bool| {
        let entries = resource.entries.iter().filter(|entry| is_wanted(entry));
        entries.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
    };
    Ok(Some(Found {
        partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
        replication,
        settings: set(|_| true),
        own: set(|entry| matches!(entry.source, rdkafka::admin::ConfigSource::DynamicTopic)),
    }))
}

async fn describe(log: &KafkaLog, topic: &str) -> Result<ConfigResource, TopicError> {
    let specifiers = [ResourceSpecifier::Topic(topic)];
    let described = log.shared.admin.describe_configs(&specifiers, &options(&log.shared.settings)).await;
    let failed = |error: KafkaError| engine("read the settings of", topic)(error.to_string());
    let first = described.map_err(failed)?.into_iter().next();
    let resource =
        first.ok_or_else(|| engine("read the settings of", topic)("an empty answer".to_owned()))?;
    resource.map_err(|code| engine("read the settings of", topic)(code.to_string()))
}

pub(super) async fn check(log: &KafkaLog, topics: &[TopicSpec]) -> Result<(), TopicError> {
    for spec in topics {
        check_spec(spec)?;
        let topic = spec.name.clone();
        let Some(found) = find(log, &topic).await? else { return Err(TopicError::Missing { topic }) };
        if found.partitions != spec.partitions {
            return Err(TopicError::Partitions { topic, found: found.partitions, wanted: spec.partitions });
        }
        let stamp = found.settings.get(TIMESTAMP_TYPE).cloned().unwrap_or_default();
        if stamp != LOG_APPEND_TIME {
            return Err(TopicError::TimestampType { topic, found: stamp });
        }
        for (name, present, wanted) in differences(spec, &found) {
            tracing::warn!(
                topic,
                name,
                present,
                wanted,
                "a topic's setting differs; see `heatstream topics plan`"
            );
        }
        for warning in cautions(&topic, found.replication, found.settings.get(MIN_ISR)) {
            tracing::warn!(topic, "{warning}");
        }
    }
    Ok(())
}

/// The settings that a topic needs; those without a wish stay as they are.
fn wanted(spec: &TopicSpec) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        (TIMESTAMP_TYPE.to_owned(), LOG_APPEND_TIME.to_owned()),
        ("cleanup.policy".to_owned(), if spec.compacted { "compact" } else { "delete" }.to_owned()),
        (MAX_MESSAGE.to_owned(), (RECORD_MAX_BYTES + (64 << 10)).to_string()),
    ]);
    if !spec.compacted {
        let age = spec.retention.age.map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string());
        let bytes = spec.retention.bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
        settings.extend([("retention.ms".to_owned(), age), ("retention.bytes".to_owned(), bytes)]);
    }
    settings
}

fn differences(spec: &TopicSpec, found: &Found) -> Vec<(String, Option<String>, String)> {
    wanted(spec)
        .into_iter()
        .filter_map(|(name, wanted)| {
            let present = found.settings.get(&name).cloned();
            // A topic may take longer records than it must.
            let suffices = name == MAX_MESSAGE
                && present.as_deref().and_then(|now| now.parse::<u64>().ok()) >= wanted.parse::<u64>().ok();
            (!suffices && present.as_ref() != Some(&wanted)).then_some((name, present, wanted))
        })
        .collect()
}

fn cautions(topic: &str, replication: usize, min_isr: Option<&String>) -> Vec<String> {
    let mut warnings = Vec::new();
    if replication < 3 {
        warnings.push(format!(
            "topic {topic} has replication {replication}: acks=all is replication, not fsync, so one broker's power loss \
             can lose acknowledged records; 3 is the least for production"
        ));
    }
    let min_isr: u32 = min_isr.and_then(|value| value.parse().ok()).unwrap_or(1);
    if min_isr < 2 {
        warnings.push(format!(
            "topic {topic} has min.insync.replicas {min_isr}: a record may be acknowledged on one broker alone; 2 is the \
             least for production"
        ));
    }
    warnings
}

pub(super) async fn plan(
    log: &KafkaLog,
    topics: &[TopicSpec],
    replication: u16,
) -> Result<TopicPlan, TopicError> {
    let timeout = log.shared.settings.connect_timeout;
    let brokers = log
        .blocking(move |shared| Ok(shared.admin.inner().fetch_metadata(None, timeout)?.brokers().len()))
        .await
        .map_err(engine("look up", "(all)"))?;
    let possible = replication.clamp(1, u16::try_from(brokers).unwrap_or(u16::MAX).max(1));
    let mut plan = TopicPlan::default();
    if possible < replication {
        plan.warnings
            .push(format!("replication {replication} is asked, but the cluster has {brokers} broker(s)"));
    }
    for spec in topics {
        check_spec(spec)?;
        match find(log, &spec.name).await? {
            None => {
                let mut settings = wanted(spec);
                settings.insert(MIN_ISR.to_owned(), if possible >= 3 { "2" } else { "1" }.to_owned());
                plan.warnings.extend(cautions(&spec.name, usize::from(possible), settings.get(MIN_ISR)));
                plan.changes.push(TopicChange::Create {
                    topic: spec.clone(),
                    replication: possible,
                    settings,
                });
            }
            Some(found) => {
                plan.warnings.extend(cautions(&spec.name, found.replication, found.settings.get(MIN_ISR)));
                plan.changes.extend(amend(spec, found));
            }
        }
    }
    Ok(plan)
}

fn amend(spec: &TopicSpec, found: Found) -> Option<TopicChange> {
    let topic = spec.name.clone();
    if found.partitions != spec.partitions {
        let reason = format!(
            "it has {} partitions, {} are asked: keys would change their partition; see the migration in the manual",
            found.partitions, spec.partitions
        );
        return Some(TopicChange::Refuse { topic, reason });
    }
    let settings = differences(spec, &found);
    if settings.is_empty() {
        return None;
    }
    let mut all = found.own;
    all.extend(settings.iter().map(|(name, _, wanted)| (name.clone(), wanted.clone())));
    Some(TopicChange::Alter { topic, settings, all })
}

pub(super) async fn apply(log: &KafkaLog, plan: &TopicPlan) -> Result<(), TopicError> {
    for change in &plan.changes {
        if let TopicChange::Refuse { topic, reason } = change {
            return Err(engine("apply the plan to", topic)(reason.clone()));
        }
    }
    for change in &plan.changes {
        match change {
            TopicChange::Create { topic, replication, settings } => {
                create(log, topic, *replication, settings).await?
            }
            TopicChange::Alter { topic, all, .. } => alter(log, topic, all).await?,
            TopicChange::Refuse { .. } => {}
        }
    }
    for change in &plan.changes {
        match change {
            TopicChange::Create { topic, .. } => {
                wait_until_known(log, &topic.name, |found| found.partitions == topic.partitions).await?
            }
            TopicChange::Alter { topic, settings, .. } => {
                let is_set = |found: &Found| {
                    settings.iter().all(|(name, _, wanted)| found.settings.get(name) == Some(wanted))
                };
                wait_until_known(log, topic, is_set).await?
            }
            TopicChange::Refuse { .. } => {}
        }
    }
    Ok(())
}

/// A topic is created or altered before all brokers know it: whoever starts next must find it so.
async fn wait_until_known(
    log: &KafkaLog,
    topic: &str,
    is_as_wanted: impl Fn(&Found) -> bool,
) -> Result<(), TopicError> {
    const EVERY: std::time::Duration = std::time::Duration::from_millis(100);
    let known = async {
        // The answer may come from any broker, so one is not yet all of them.
        let mut answers = 0;
        while answers < 5 {
            let found = find(log, topic).await?;
            answers = if found.as_ref().is_some_and(&is_as_wanted) { answers + 1 } else { 0 };
            tokio::time::sleep(EVERY).await;
        }
        Ok(())
    };
    tokio::time::timeout(log.shared.settings.connect_timeout, known).await.unwrap_or_else(|_| {
        Err(engine("see the change of", topic)("the brokers do not know it in time".to_owned()))
    })
}

async fn create(
    log: &KafkaLog,
    spec: &TopicSpec,
    replication: u16,
    settings: &BTreeMap<String, String>,
) -> Result<(), TopicError> {
    let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
    let mut topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(i32::from(replication)));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let created = log.shared.admin.create_topics([&topic], &options(&log.shared.settings)).await;
    first_error(
        created.map(|results| results.into_iter().map(|result| result.map(drop).map_err(|(_, code)| code))),
    )
    .map_err(engine("create", &spec.name))
}

async fn alter(log: &KafkaLog, topic: &str, all: &BTreeMap<String, String>) -> Result<(), TopicError> {
    let mut config = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (name, value) in all {
        config = config.set(name, value);
    }
    let altered = log.shared.admin.alter_configs([&config], &options(&log.shared.settings)).await;
    first_error(
        altered.map(|results| results.into_iter().map(|result| result.map(drop).map_err(|(_, code)| code))),
    )
    .map_err(engine("alter", topic))
}

fn first_error(
    results: Result<impl Iterator<Item = Result<(), rdkafka::types::RDKafkaErrorCode>>, KafkaError>,
) -> Result<(), String> {
    results.map_err(|error| error.to_string())?.collect::<Result<(), _>>().map_err(|code| code.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(settings: &[(&str, &str)]) -> Found {
        let settings: BTreeMap<_, _> =
            settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Found { partitions: 3, replication: 3, own: settings.clone(), settings }
    }

    #[test]
    fn altering_keeps_what_the_operator_has_set_and_another_partition_count_is_refused() {
        let spec = TopicSpec::new("heat.input.v1", 3).retained(Some(Duration::from_secs(1)), None);
        let has = found(&[("segment.bytes", "7"), (TIMESTAMP_TYPE, "CreateTime"), (MAX_MESSAGE, "99999999")]);

        let Some(TopicChange::Alter { all, settings, .. }) = amend(&spec, has) else {
            panic!("an alteration")
        };
        assert_eq!(all["segment.bytes"], "7");
        assert_eq!(all["retention.ms"], "1000");
        assert_eq!(all[MAX_MESSAGE], "99999999");
        assert!(settings.contains(&(
            TIMESTAMP_TYPE.to_owned(),
            Some("CreateTime".to_owned()),
            LOG_APPEND_TIME.to_owned()
        )));

        let refused = amend(&TopicSpec { partitions: 4, ..spec }, found(&[]));
        assert!(matches!(refused, Some(TopicChange::Refuse { .. })));
    }

    #[test]
    fn too_few_replicas_are_warned_about() {
        assert_eq!(cautions("t", 3, Some(&"2".to_owned())), Vec::<String>::new());
        assert_eq!(cautions("t", 1, Some(&"1".to_owned())).len(), 2);
    }
}
