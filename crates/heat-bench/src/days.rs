//! A log in which days pass: scans of 15 minutes of a simulated city, so that what judges by quarter hours, or learns for
//! days, is at work; and the processor's partitions over it.
//!
//! A log stamps records with the time of writing, and days cannot be written in days. So each record's key says when it is
//! to have come, and the partitions are fed with that, as a backtest feeds them: every second of those days ticks, and no
//! reading is late.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use heat_detect::{DetectSettings, DetectorState, PartitionCore};
use heat_gateway::intake::{Intake, IntakeSettings};
use heat_ledger::repeats::RepeatSettings;
use heat_log::{AppenderSettings, ConsumerSettings, LogEvent, Membership, Record, StartFrom, topics};
use heat_model::{
    AppendTime, EventTime, IngestTime, PartitionId, Position, record::NextOffset, time::MICROS_PER_SECOND,
};
use heat_processor::part::Part;
use heat_runtime::Clock;
use heat_sim::{City, CityPlan, Scan, script::RandomScript};
use serde::{Deserialize, Serialize};

use crate::{
    child::{Commands, say},
    engine::Engine,
    error::BenchError,
    fill::{Filled, Pen, START, city_plan, payload, topic},
    plant,
};

/// The finest that history has.
const SCAN: Duration = Duration::from_mins(15);
const SCAN_US: i64 = 900 * MICROS_PER_SECOND;
const SCANS_A_DAY: u32 = 96;
/// Whatever learns has learned by then.
pub(crate) const LEARNING_DAYS: u32 = 7;
/// Of these, so many to judge at the least.
const JUDGED_DAYS: u32 = 2;
/// What comes behind what is learned.
const EVENTS: RandomScript = RandomScript {
    abrupt_leaks: 1,
    incipient_leaks: 1,
    pump_trips: 1,
    cold_stations: 1,
    ..RandomScript::EVERYDAY
};

/// What to write, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DaysTask {
    pub(crate) engine: Engine,
    /// Folder for the plant tables.
    pub(crate) plant: PathBuf,
    pub(crate) networks: u32,
    pub(crate) stations: u32,
    pub(crate) readings: u64,
    pub(crate) seed: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Days {
    pub(crate) filled: Filled,
    /// End of the first [`LEARNING_DAYS`].
    pub(crate) learned: IngestTime,
    pub(crate) days: f64,
}

/// Writes the log.
pub(crate) async fn run(task: DaysTask) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let plan = city_plan(task.networks, task.stations, CityPlan::demo().gap_share);
    let mut city = City::new(plan, task.seed, START).map_err(BenchError::act("build the simulated city"))?;
    plant::write(city.plant(), &task.plant)?;
    let signals = city.plant().signals.len() as u64;
    let learning_scans = LEARNING_DAYS * SCANS_A_DAY;
    let scans = u32::try_from(task.readings.div_ceil(signals)).map_err(BenchError::act("count the scans"))?;
    let scans = scans.max(learning_scans + JUDGED_DAYS * SCANS_A_DAY);
    let (learned, span) = (START.plus(SCAN * learning_scans), SCAN * (scans - learning_scans));
    let script = EVENTS.script(city.plant(), span, task.seed);
    city.schedule(&script, learned).map_err(BenchError::act("script the simulated city"))?;
    let appender = log
        .appender(&[topics::INPUT], AppenderSettings::default())
        .await
        .map_err(BenchError::act("append to the log"))?;
    let partitions = log.partitions(topics::INPUT).await.map_err(BenchError::act("look at the log"))?;
    let mut pen = Pen::new(appender, partitions);
    let mut intake = Intake::new(IntakeSettings::default(), partitions);
    let begun = Clock.instant();
    let first = Clock.now().as_micros().div_euclid(SCAN_US) * SCAN_US;
    let first = EventTime::from_micros(first).minus(SCAN * scans);
    let mut filled = Filled { readings: 0, messages: 0, bytes: 0, signals, scans: 0, seconds: 0.0 };
    let mut said: Vec<(Arc<str>, Bytes, IngestTime)> = Vec::new();
    for _ in 0..scans {
        let to = city.now().plus(SCAN);
        tokio::task::block_in_place(|| {
            city.advance(to, Scan::History(SCAN), &mut |message| {
                let time = first.plus(message.time.since(START));
                let received = IngestTime::from_micros(time.as_micros());
                said.push((topic(message).into(), payload(message, time).into(), received));
            });
        });
        for (topic, payload, received) in said.drain(..) {
            pen.came = Some(received);
            filled.readings += pen.take(&mut intake, &topic, &payload, received).await?;
            filled.messages += 1;
        }
        let scanned = IngestTime::from_micros(first.plus(to.since(START)).as_micros());
        pen.came = Some(scanned);
        pen.beat(scanned).await?;
        filled.scans += 1;
    }
    pen.flush().await?;
    filled.bytes = log.stats().appended_bytes;
    filled.seconds = begun.elapsed().as_secs_f64();
    log.close(Duration::from_secs(60)).await;
    let learned = IngestTime::from_micros(first.plus(learned.since(START)).as_micros());
    say(&Days { filled, learned, days: f64::from(scans) / f64::from(SCANS_A_DAY) })
}

/// The processor's partitions over such a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartitionsTask {
    pub(crate) engine: Engine,
    pub(crate) plant: PathBuf,
    pub(crate) readings: u64,
    /// What is read up to here is measured apart.
    pub(crate) learned: IngestTime,
}

/// How far they are. Said twice: at the end of the days of learning, and at the log's.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct DaysRead {
    pub(crate) readings: u64,
    pub(crate) seconds: f64,
    pub(crate) outputs: u64,
    /// Detectors that judge.
    pub(crate) ready: u64,
    /// Detectors that learn.
    pub(crate) learning: u64,
}

impl DaysRead {
    fn of(parts: &BTreeMap<PartitionId, Part>, seconds: f64, outputs: u64) -> Self {
        let mut read = Self { seconds, outputs, ..Self::default() };
        for part in parts.values() {
            read.readings += part.admitted().readings;
            for detector in part.core().status().iter().flat_map(|status| &status.detectors) {
                read.ready += u64::from(detector.state == DetectorState::Ready);
                read.learning += u64::from(matches!(detector.state, DetectorState::Learning { .. }));
            }
        }
        read
    }
}

/// Feeds the partitions. The first network that has learned ends the first part, so one network is measured exactly.
pub(crate) async fn partitions(task: PartitionsTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let plant = Arc::new(plant::read(&task.plant)?);
    let failed = |error: heat_log::ReadError| BenchError::act("read the log")(error);
    say(&())?;
    commands.next::<()>().await?;
    let mut begun = Clock.instant();
    let mut before = 0.0;
    let mut consumer =
        log.consumer(topics::INPUT, Membership::All, ConsumerSettings::default()).await.map_err(failed)?;
    let mut parts: BTreeMap<PartitionId, Part> = BTreeMap::new();
    let (mut out, mut outputs, mut has_learned) = (Vec::new(), 0, false);
    while parts.values().map(|part| part.admitted().readings).sum::<u64>() < task.readings {
        match consumer.next().await.map_err(failed)? {
            LogEvent::Assigned(partition) => {
                consumer.start(partition, StartFrom::Beginning).await.map_err(failed)?;
                let core = PartitionCore::new(DetectSettings::default(), Arc::clone(&plant));
                parts.insert(partition, Part::new(core, RepeatSettings::default(), NextOffset(0), None));
            }
            LogEvent::Records { partition, records, .. } => {
                for Record { offset, key, payload, .. } in records {
                    let key = key.as_deref().and_then(|key| key.try_into().ok()).map(i64::from_be_bytes);
                    let came = key.ok_or_else(|| BenchError::act("read a record's key")("it is no time"))?;
                    let is_at_work = parts.get(&partition).is_some_and(|part| part.admitted().readings > 0);
                    if !has_learned && is_at_work && came >= task.learned.as_micros() {
                        has_learned = true;
                        before = begun.elapsed().as_secs_f64();
                        say(&DaysRead::of(&parts, before, outputs))?;
                        commands.next::<()>().await?;
                        begun = Clock.instant();
                    }
                    let append_time = AppendTime::from_micros(came + MICROS_PER_SECOND);
                    let position = Position { partition, offset, append_time };
                    let part = parts.get_mut(&partition).expect("it was assigned before");
                    part.take(&position, payload, &mut out).map_err(BenchError::act("decode a record"))?;
                    outputs += out.len() as u64;
                    out.clear();
                }
            }
            LogEvent::Revoked(_) => {}
        }
    }
    say(&DaysRead::of(&parts, before + begun.elapsed().as_secs_f64(), outputs))?;
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}
