//! `heatstream topics plan|apply`.

use heat_log::{Log, TopicChange};
use heat_runtime::ExitStatus;

use crate::{
    Failure,
    cli::{StateArguments, TopicsArguments, TopicsCommand},
    config::{Defaults, LogSettings, RawConfig},
    out::say,
    single::Role,
};

pub(crate) async fn run(command: TopicsCommand) -> Result<ExitStatus, Failure> {
    let (arguments, apply) = match command {
        TopicsCommand::Plan(arguments) => (arguments, false),
        TopicsCommand::Apply(arguments) => (arguments, true),
    };
    let TopicsArguments { config, replication } = arguments;
    // A role's view of the document: topics concern Kafka only.
    let config = RawConfig::read(&config)?
        .check(Some(Role::Processor(StateArguments::default())), &Defaults::default())?;
    let LogSettings::Kafka(settings) = config.shared.log else {
        return Err(Failure::new(
            ExitStatus::Configuration,
            "topics are planned for engine = \"kafka\" only",
        ));
    };
    let Log::Kafka(kafka) = Log::connect_kafka(settings).await? else {
        return Err(Failure::new(ExitStatus::Failed, "connecting to Kafka gave another engine"));
    };
    let plan = kafka.plan_topics(&config.shared.topics, replication).await?;
    if plan.changes.is_empty() {
        say("all topics are as they should be");
    }
    for change in &plan.changes {
        say(describe(change));
    }
    for warning in &plan.warnings {
        say(format!("warning: {warning}"));
    }
    if plan.changes.iter().any(|change| matches!(change, TopicChange::Refuse { .. })) {
        return Err(Failure::new(
            ExitStatus::Failed,
            "some topics cannot be mended here; nothing was changed",
        ));
    }
    if apply && !plan.changes.is_empty() {
        kafka.apply_topics(&plan).await?;
        say("applied");
    }
    Ok(ExitStatus::Done)
}

fn describe(change: &TopicChange) -> String {
    match change {
        TopicChange::Create { topic, replication, settings } => {
            let settings: Vec<String> =
                settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!(
                "create {}: {} partitions, replication {replication}, {}",
                topic.name,
                topic.partitions,
                settings.join(" ")
            )
        }
        TopicChange::Alter { topic, settings, .. } => {
            let settings: Vec<String> = settings
                .iter()
                .map(|(key, now, wanted)| {
                    format!("{key}: {} -> {wanted}", now.as_deref().unwrap_or("(default)"))
                })
                .collect();
            format!("alter {topic}: {}", settings.join(", "))
        }
        TopicChange::Refuse { topic, reason } => format!("cannot mend {topic}: {reason}"),
    }
}
