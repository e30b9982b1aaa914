//! The readers of the log, each in a process of its own: decoding alone, the processor, the archiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use heat_archiver::{Archiver, ArchiverSettings, RawArchive};
use heat_codec::envelope::EnvelopeDecoder;
use heat_exporter::{Exporter, RawExporter, pager::RawAlertmanager};
use heat_ledger::repeats::RepeatSettings;
use heat_log::{ConsumerSettings, Log, LogEvent, Membership, StartFrom, topics};
use heat_model::{Body, plant::PlantModel};
use heat_processor::{Processor, ProcessorSettings, RawProcessor};
use heat_runtime::{Clock, Shutdown, Tasks, admin::Health, config::Fault, metrics::Metrics};
use serde::{Deserialize, Serialize};

use crate::{
    child::{Commands, say},
    engine::Engine,
    error::BenchError,
    percentiles::{self, Percentiles},
    plant,
};

/// Reads and decodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DecodeTask {
    pub(crate) engine: Engine,
    /// Readings in the log.
    pub(crate) readings: u64,
}

/// The processor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessorTask {
    pub(crate) engine: Engine,
    pub(crate) plant: PathBuf,
    pub(crate) readings: u64,
}

/// The archiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ArchiverTask {
    pub(crate) engine: Engine,
    pub(crate) archive: PathBuf,
    pub(crate) readings: u64,
}

/// What a reader did, from the go to its end.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) readings: u64,
    /// Readings that were repeats; the log holds none.
    pub(crate) repeats: u64,
    pub(crate) seconds: f64,
    /// Incident events and the like that it published.
    pub(crate) outputs: u64,
    pub(crate) snapshots: u64,
    pub(crate) snapshot_bytes: u64,
    pub(crate) commits: u64,
}

/// How often a role's metrics are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A role that takes longer does not work.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// The sum of a metric's samples whose labels contain `label`, from exposition text.
pub(crate) fn sample(scrape: &str, name: &str, label: &str) -> u64 {
    let values = scrape.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_series = labels.is_empty() || labels.starts_with('{');
        (is_series && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, exact below 2^53")]
    let sum = values.sum::<f64>() as u64;
    sum
}

fn settled<T>(settings: Result<T, Vec<Fault>>) -> Result<T, BenchError> {
    settings.map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        BenchError::act("settle a role's settings")(faults.join("; "))
    })
}

/// Says that it is ready and waits for the go.
async fn ready(commands: &mut Commands) -> Result<(), BenchError> {
    say(&())?;
    commands.next::<()>().await?;
    Ok(())
}

/// Builds the processor with its default settings.
pub(crate) async fn build_processor(
    log: &Log,
    plant: PlantModel,
    repeats: RepeatSettings,
    metrics: &Metrics,
) -> Result<Processor, BenchError> {
    let settings = settled(ProcessorSettings::from_raw(RawProcessor::default(), repeats))?;
    Processor::build(settings, Arc::new(plant), log.clone(), Clock, metrics, Health::default())
        .await
        .map_err(BenchError::act("build the processor"))
}

/// Builds the archiver with its default settings.
pub(crate) async fn build_archiver(
    log: &Log,
    archive: PathBuf,
    repeats: RepeatSettings,
    metrics: &Metrics,
) -> Result<Archiver, BenchError> {
    let settings = settled(ArchiverSettings::from_raw(RawArchive::default(), archive, repeats))?;
    Archiver::build(settings, log.clone(), Clock, &PlantModel::default(), metrics, Health::default())
        .await
        .map_err(BenchError::act("build the archiver"))
}

/// Builds the exporter with its default settings, and this Alertmanager.
pub(crate) async fn build_exporter(
    log: &Log,
    plant: PlantModel,
    alertmanager: String,
    metrics: &Metrics,
) -> Result<Exporter, BenchError> {
    let alertmanager = RawAlertmanager { urls: vec![alertmanager], ..RawAlertmanager::default() };
    let raw = RawExporter { alertmanager: Some(alertmanager), ..RawExporter::default() };
    let settings = settled(heat_exporter::Settings::from_raw(&raw))?;
    let deps = heat_exporter::Deps {
        log: log.clone(),
        metrics: metrics.clone(),
        health: Health::default(),
        clock: Clock,
        plant: Arc::new(plant),
    };
    Exporter::build(settings, deps).await.map_err(BenchError::act("build the exporter"))
}

/// Runs a role until its metrics say that it has taken all readings, then lets it drain.
async fn until_caught_up(
    tasks: Tasks,
    metrics: &Metrics,
    counted: &'static str,
    readings: u64,
) -> Result<(), BenchError> {
    let shutdown = tasks.shutdown().clone();
    let watch = async {
        let begun = Clock.instant();
        while sample(&metrics.render(), counted, "") < readings
            && begun.elapsed() < PATIENCE
            && !shutdown.has_begun()
        {
            tokio::time::sleep(LOOK).await;
        }
        shutdown.begin();
    };
    let (ended, ()) = tokio::join!(tasks.join(PATIENCE), watch);
    ended.map_err(BenchError::act("run a role"))
}

/// The processor, from the log's beginning to its end, with its last snapshot.
pub(crate) async fn processor(task: ProcessorTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let metrics = Metrics::default();
    let plant = plant::read(&task.plant)?;
    let role = build_processor(&log, plant, RepeatSettings::default(), &metrics).await?;
    ready(commands).await?;
    let begun = Clock.instant();
    let mut tasks = Tasks::new(Shutdown::default());
    tasks.spawn("processor", role.run(tasks.shutdown().clone()));
    until_caught_up(tasks, &metrics, heat_processor::metrics::READINGS, task.readings).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let scrape = metrics.render();
    say(&Read {
        readings: sample(&scrape, heat_processor::metrics::READINGS, "outcome=\"taken\""),
        repeats: sample(&scrape, heat_processor::metrics::READINGS, "outcome=\"repeated\""),
        seconds,
        outputs: sample(&scrape, heat_processor::metrics::OUTPUTS, ""),
        snapshots: sample(&scrape, heat_processor::metrics::SNAPSHOTS, ""),
        snapshot_bytes: sample(&scrape, heat_processor::metrics::SNAPSHOT_BYTES, ""),
        ..Read::default()
    })?;
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// The archiver, from the log's beginning until all it holds is published.
pub(crate) async fn archiver(task: ArchiverTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let metrics = Metrics::default();
    let role = build_archiver(&log, task.archive, RepeatSettings::default(), &metrics).await?;
    ready(commands).await?;
    let begun = Clock.instant();
    let mut tasks = Tasks::new(Shutdown::default());
    tasks.spawn("archiver", role.run(tasks.shutdown().clone()));
    until_caught_up(tasks, &metrics, heat_archiver::metrics::READINGS, task.readings).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let scrape = metrics.render();
    say(&Read {
        readings: sample(&scrape, heat_archiver::metrics::READINGS, "outcome=\"archived\""),
        repeats: sample(&scrape, heat_archiver::metrics::READINGS, "outcome=\"duplicate\""),
        seconds,
        commits: sample(&scrape, heat_archiver::metrics::COMMITS, ""),
        ..Read::default()
    })?;
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// Reads all partitions and decodes every record: what any reader of the log must do.
pub(crate) async fn decode(task: DecodeTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    ready(commands).await?;
    let begun = Clock.instant();
    let mut consumer = log
        .consumer(topics::INPUT, Membership::All, ConsumerSettings::default())
        .await
        .map_err(BenchError::act("read the log"))?;
    let mut decoder = EnvelopeDecoder::default();
    let mut readings = 0;
    while readings < task.readings {
        match consumer.next().await.map_err(BenchError::act("read the log"))? {
            LogEvent::Assigned(partition) => {
                let started = consumer.start(partition, StartFrom::Beginning).await;
                started.map_err(BenchError::act("read the log"))?;
            }
            LogEvent::Records { records, .. } => {
                for record in records {
                    let envelope =
                        decoder.decode(record.payload).map_err(BenchError::act("decode a record"))?;
                    if let Body::Readings(body) = &envelope.body {
                        readings += body.readings.len() as u64;
                    }
                }
            }
            LogEvent::Revoked(_) => {}
        }
    }
    say(&Read { readings, seconds: begun.elapsed().as_secs_f64(), ..Read::default() })?;
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// Follows the log from its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FollowTask {
    pub(crate) engine: Engine,
}

/// What the parent wants to know of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LookBack {
    /// Messages measured from here on are live; event time, microseconds.
    pub(crate) live_from_us: i64,
}

/// What the log holds so far. Messages are counted once, however often their record came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Followed {
    pub(crate) messages: u64,
    /// Of these, measured before.
    pub(crate) before: u64,
    /// When the last of these was appended, microseconds.
    pub(crate) last_before_us: i64,
    /// Records that carried a number again.
    pub(crate) again: u64,
    /// From measuring to the log, of live messages.
    pub(crate) live: Option<Percentiles>,
    /// Append times of all messages of which some were live, in order; seconds and how many.
    appended: Vec<(i64, u64)>,
}

impl Followed {
    /// Messages appended until then, to the second.
    pub(crate) fn until(&self, append_us: i64) -> u64 {
        let second = append_us / 1_000_000;
        self.appended.iter().filter(|(at, _)| *at <= second).map(|(_, count)| count).sum()
    }
}

/// One message as the log holds it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    event_us: i64,
    append_us: i64,
}

fn look_back(seen: &[Seen], again: u64, LookBack { live_from_us }: LookBack) -> Followed {
    let is_live = |seen: &&Seen| seen.event_us >= live_from_us;
    let before = seen.iter().filter(|seen| !is_live(seen));
    let live = seen.iter().filter(is_live);
    let mut appended = BTreeMap::new();
    for message in seen {
        *appended.entry(message.append_us / 1_000_000).or_default() += 1;
    }
    Followed {
        messages: seen.len() as u64,
        before: before.clone().count() as u64,
        last_before_us: before.map(|seen| seen.append_us).max().unwrap_or(0),
        again,
        live: percentiles::of_micros(
            live.map(|seen| u64::try_from(seen.append_us - seen.event_us).unwrap_or(0)).collect(),
        ),
        appended: appended.into_iter().collect(),
    }
}

/// Reads all partitions as they grow, and tells what they hold whenever it is asked.
pub(crate) async fn follow(task: FollowTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let mut consumer = log
        .consumer(topics::INPUT, Membership::All, ConsumerSettings::default())
        .await
        .map_err(BenchError::act("read the log"))?;
    let mut decoder = EnvelopeDecoder::default();
    let (mut seen, mut numbers, mut again) = (Vec::new(), BTreeSet::new(), 0);
    say(&())?;
    loop {
        tokio::select! {
            asked = commands.next::<LookBack>() => match asked? {
                Some(asked) => say(&look_back(&seen, again, asked))?,
                None => break,
            },
            event = consumer.next() => match event.map_err(BenchError::act("read the log"))? {
                LogEvent::Assigned(partition) => {
                    let started = consumer.start(partition, StartFrom::Beginning).await;
                    started.map_err(BenchError::act("read the log"))?;
                }
                LogEvent::Records { partition, records, .. } => {
                    for record in records {
                        let append_us = record.append_time.as_micros();
                        let envelope =
                            decoder.decode(record.payload).map_err(BenchError::act("decode a record"))?;
                        let Body::Readings(body) = &envelope.body else { continue };
                        let Some(first) = body.readings.first() else { continue };
                        if numbers.insert((partition, envelope.origin.epoch, envelope.origin.seq)) {
                            seen.push(Seen { event_us: first.event_time.as_micros(), append_us });
                        } else {
                            again += 1;
                        }
                    }
                }
                LogEvent::Revoked(_) => {}
            },
        }
    }
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_summed_and_those_of_longer_names_are_not() {
        let scrape = "# HELP a x\na{outcome=\"taken\"} 3\na{outcome=\"repeated\"} 4\na_total 50\n";
        assert_eq!(sample(scrape, "a", ""), 7);
        assert_eq!(sample(scrape, "a", "outcome=\"taken\""), 3);
        assert_eq!(sample(scrape, "b", ""), 0);
    }
}
