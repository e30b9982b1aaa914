//! The role over an embedded log: what it says depends on the records alone, not on how they are read or when a state is
//! stored.
#![expect(clippy::unwrap_used, reason = "what helps a test fails by panicking, too")]

mod batches;
mod snapshots;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use heat_codec::envelope::{Draft, encode_set};
use heat_ledger::repeats::RepeatSettings;
use heat_log::{
    AppenderSettings, ConsumerSettings, EmbeddedSettings, Log, OpenError, Record,
    topics::{self, Retention, product_topics},
};
use heat_model::{
    Body, EventTime, IngestTime, Lane, PartitionId, QualityCode, Reading, SignalDecl, plant::PlantModel,
    record::Heartbeat, time::MICROS_PER_SECOND, unit::conversion,
};
use heat_processor::{
    Processor, ProcessorSettings, RawProcessor,
    snapshot::{POINTER_KEY, Pointer, chunk_place, read_pointer},
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use heat_sim::{City, CityPlan, DeviceMessage, Scan, script};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITION: PartitionId = PartitionId(0);
const START: EventTime = EventTime::from_micros(1_763_942_400 * MICROS_PER_SECOND);
/// Seconds of the city's time, of which ten go by in one of the log's.
const SECONDS: i64 = 1_000;
const SPEED: u32 = 10;

/// What a test's folder holds: the log of a city.
struct World {
    folder: TempDir,
    plant: Arc<PlantModel>,
    /// Of the demo city, whose burst comes in the second half.
    records: Vec<(Bytes, Bytes)>,
}

impl World {
    fn new() -> Self {
        let mut city = City::new(CityPlan::demo(), 1, START).unwrap();
        let mut script = script::demo(city.plant());
        for event in &mut script.events {
            event.after += Duration::from_secs(SECONDS as u64 / 2);
        }
        city.schedule(&script, START).unwrap();
        let plant = Arc::new(city.plant().clone());
        let begun =
            EventTime::from_micros(Clock.now().as_micros() - SECONDS * MICROS_PER_SECOND / i64::from(SPEED));
        let gateway = "gw".parse().unwrap();
        let mut records = Vec::new();
        for second in 1..=SECONDS {
            let now = EventTime::from_micros(START.as_micros() + second * MICROS_PER_SECOND);
            let mut push = |key: &str, draft: Draft| {
                let payload = draft.encode(&gateway, 1, records.len() as u64);
                records.push((Bytes::copy_from_slice(key.as_bytes()), payload));
            };
            city.advance(now, Scan::Live, &mut |message| {
                let time = begun.plus(message.time.since(START) / SPEED);
                push(message.network.as_str(), readings(message, time));
            });
            if second % i64::from(SPEED) == 0 {
                push("", Draft::of(None, Clock.now(), 0, &Body::Heartbeat(Heartbeat::default())));
            }
        }
        Self { folder: tempfile::tempdir().unwrap(), plant, records }
    }

    /// Another log in this folder with the same records, and nothing of what was made of them.
    fn copy(&self, from: &str, to: &str) {
        copy_folder(&self.log_folder(from).join(topics::INPUT), &self.log_folder(to).join(topics::INPUT));
        fs::copy(self.log_folder(from).join("VERSION"), self.log_folder(to).join("VERSION")).unwrap();
    }

    fn log_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn log(&self, name: &str) -> Log {
        let mut opened = None;
        // What a processor that fell leaves behind goes a moment later.
        until(async || {
            opened = match Log::open_embedded(EmbeddedSettings::new(self.log_folder(name))) {
                Err(OpenError::InUse { .. }) => None,
                opened => Some(opened.unwrap()),
            };
            opened.is_some()
        })
        .await;
        let log = opened.unwrap();
        log.ensure_topics(&product_topics(1, Retention::default())).await.unwrap();
        log
    }

    /// Runs a processor until it has taken all that the log holds, and stops it.
    async fn processed(&self, name: &str, settings: ProcessorSettings) -> Metrics {
        let log = self.log(name).await;
        let metrics = self.stopped_once(&log, settings, async |metrics| has_caught_up(metrics)).await;
        close(log).await;
        metrics
    }

    /// Runs a processor until `condition` holds, and stops it.
    async fn stopped_once(
        &self,
        log: &Log,
        settings: ProcessorSettings,
        mut condition: impl AsyncFnMut(&Metrics) -> bool,
    ) -> Metrics {
        let (processor, metrics) = self.processor(log, settings).await;
        let shutdown = Shutdown::default();
        let watching = async {
            until(async || condition(&metrics).await).await;
            shutdown.begin();
        };
        let both = async { tokio::join!(processor.run(shutdown.clone()), watching) };
        let (ended, ()) = tokio::time::timeout(PATIENCE, both).await.expect("it stops");
        ended.unwrap();
        metrics
    }

    /// Runs a processor until `condition` holds, and lets it fall.
    async fn crashed_once(
        &self,
        log: &Log,
        settings: ProcessorSettings,
        mut condition: impl AsyncFnMut(&Metrics) -> bool,
    ) {
        let (processor, metrics) = self.processor(log, settings).await;
        tokio::select! {
            ended = processor.run(Shutdown::default()) => panic!("it ended by itself: {ended:?}"),
            () = until(async || condition(&metrics).await) => {}
        }
    }

    async fn processor(&self, log: &Log, settings: ProcessorSettings) -> (Processor, Metrics) {
        let metrics = Metrics::default();
        let plant = Arc::clone(&self.plant);
        let built = Processor::build(settings, plant, log.clone(), Clock, &metrics, Health::default());
        (built.await.unwrap(), metrics)
    }
}

/// Settings that read so many records at once, and store a state as often as they can.
fn settings(batch_max_records: usize) -> ProcessorSettings {
    let repeats = RepeatSettings { block_records: 256, block_readings_max: 100_000 };
    let mut settings = ProcessorSettings::from_raw(RawProcessor::default(), repeats).unwrap();
    settings.snapshot_interval = Duration::ZERO;
    settings.snapshot_bytes_per_second = u32::MAX;
    // Records are shorter than 1 KiB, so their number is what counts; a whole batch's bytes are read at once.
    let batch_max_bytes = batch_max_records << 10;
    settings.reading = ConsumerSettings { batch_max_records, batch_max_bytes, ..ConsumerSettings::default() };
    // Of a slow machine no reading is late.
    settings.detect.lateness = Duration::from_hours(1);
    settings
}

/// Waits until what was queued is durable, and lets go of the log.
async fn close(log: Log) {
    assert!(log.close(PATIENCE).await);
}

async fn append(log: &Log, records: &[(Bytes, Bytes)]) {
    let appender = log.appender(&[topics::INPUT], AppenderSettings::default()).await.unwrap();
    for (key, payload) in records {
        appender.append(topics::INPUT, PARTITION, Some(key.clone()), payload.clone()).await.unwrap();
    }
    assert!(appender.close(PATIENCE).await.unwrap());
}

fn readings(message: &DeviceMessage<'_>, time: EventTime) -> Draft {
    let (mut signals, mut readings) = (Vec::new(), Vec::new());
    for (index, (signal, value)) in (0u32..).zip(message.values()) {
        let unit = (!signal.unit.is_empty()).then_some(signal.unit);
        let (si, scale, offset) = conversion(signal.name.as_str(), unit).unwrap();
        let decl =
            SignalDecl { name: signal.name.clone(), unit: si, raw_unit: signal.unit.into(), scale, offset };
        readings.push(Reading {
            signal: index,
            event_time: time,
            raw: value.raw,
            value: decl.value_of(value.raw),
            quality: value.quality,
            code: QualityCode::None,
        });
        signals.push(decl);
    }
    let set = encode_set(message.site, message.device, &signals);
    let received = IngestTime::from_micros(time.as_micros());
    Draft::readings(message.network, received, set, Lane::Live, None, &readings)
}

fn has_caught_up(metrics: &Metrics) -> bool {
    metrics.render().contains("heat_processor_lag_records{partition=\"0\"} 0\n")
}

/// What was published, in order; without when the log took it.
async fn published(log: &Log) -> Vec<(&'static str, Option<Bytes>, Bytes)> {
    let mut published = Vec::new();
    for topic in [topics::INCIDENT_EVENTS, topics::INCIDENTS] {
        let records = log.whole_in_time(topic, PARTITION).await.unwrap();
        published.extend(records.into_iter().map(|Record { key, payload, .. }| (topic, key, payload)));
    }
    published
}

/// What the topic of states holds: its pointer, and the generations of its chunks.
async fn stored(log: &Log) -> (Option<Pointer>, BTreeSet<u64>) {
    let (mut pointer, mut chunks) = (None, BTreeSet::new());
    for record in log.whole_in_time(topics::STATE, PARTITION).await.unwrap() {
        let key = record.key.unwrap();
        if key == POINTER_KEY.as_bytes() {
            pointer = Some(read_pointer(&record.payload).unwrap());
        } else if record.payload.is_empty() {
            chunks.remove(&chunk_place(&key).unwrap());
        } else {
            chunks.insert(chunk_place(&key).unwrap());
        }
    }
    (pointer, chunks.into_iter().map(|(generation, _)| generation).collect())
}

/// Whether a burst was told.
fn tells_a_burst(published: &[(&'static str, Option<Bytes>, Bytes)]) -> bool {
    let text = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
    published
        .iter()
        .map(|(_, _, payload)| text(payload))
        .any(|text| text.contains("\"kind\":\"opened\"") && text.contains("\"class\":\"burst\""))
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition comes to hold");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
