//! Writes the log that processor and archiver read: a simulated city, live, encoded as the gateway does.
//!
//! The city's devices report every ten seconds; here its time runs ten times as fast as the wall clock, so that every
//! device reports each second, and the event times are the wall clock's of the second before. Thus append time and event
//! time lie together as they do live, and the detectors do all their work; a slower machine writes fewer seconds, none
//! differently. A minute or two of the detectors' time passes: they find bursts, and learn. Values, noise, quantisation, gaps and a few bursts are the simulator's.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use heat_codec::{
    envelope::Draft,
    own_json::{self, OutItem, OutValue},
};
use heat_gateway::intake::{Intake, IntakeSettings, Message};
use heat_log::{Appender, AppenderSettings, topics};
use heat_model::{Body, EventTime, GatewayId, IngestTime, NetworkId, PartitionId, record::Heartbeat};
use heat_runtime::Clock;
use heat_sim::{
    City, CityPlan, DeviceMessage, NetworkPlan, Scan,
    campaign::BurstCampaign,
    plan::{MakeUpControl, WeatherPlan},
};
use serde::{Deserialize, Serialize};

use crate::{child::say, engine::Engine, error::BenchError, plant};

/// 2026-01-10T00:00:00+08:00: a winter's night.
pub(crate) const START: EventTime = EventTime::from_micros(1_767_974_400_000_000);
/// Wall time of a scan at least.
const PACE: Duration = Duration::from_secs(1);
/// How much faster than the wall clock the city lives: a scan takes ten of its seconds, in which every device reports.
const SPEED: u32 = 10;

/// What to write, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FillTask {
    pub(crate) engine: Engine,
    /// Folder for the plant tables.
    pub(crate) plant: PathBuf,
    pub(crate) networks: u32,
    pub(crate) stations: u32,
    pub(crate) readings: u64,
    /// Scans of a device that make one message.
    pub(crate) scans_per_message: u32,
    pub(crate) seed: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Filled {
    pub(crate) readings: u64,
    /// Messages: records without heartbeats.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) signals: u64,
    pub(crate) scans: u64,
    pub(crate) seconds: f64,
}

/// A city of equal networks.
pub(crate) fn city_plan(networks: u32, stations: u32, gap_share: f64) -> CityPlan {
    let network = |number: u32| NetworkPlan {
        id: NetworkId::new(&format!("bench-{number:03}")).expect("letters and digits are an id"),
        name: format!("Bench {number}"),
        district: "Bench".to_owned(),
        stations: stations as usize,
        base_loss_share: 0.003,
        make_up: MakeUpControl::Continuous,
        elevation_m: 30.0,
        steam: None,
    };
    CityPlan {
        utc_offset_hours: 8.0,
        time_zone: "Asia/Shanghai".to_owned(),
        weather: WeatherPlan::default(),
        networks: (0..networks).map(network).collect(),
        gap_share,
    }
}

/// The own JSON of a simulated message, at another time.
pub(crate) fn payload(message: &DeviceMessage<'_>, time: EventTime) -> Vec<u8> {
    let values: Vec<OutValue<'_>> = message
        .values()
        .map(|(signal, value)| OutValue {
            raw: value.raw.is_finite().then_some(value.raw),
            quality: value.quality,
            ..OutValue::good(
                signal.name.as_str(),
                value.raw,
                (!signal.unit.is_empty()).then_some(signal.unit),
            )
        })
        .collect();
    let item = OutItem {
        time: Some(time),
        seq: Some(message.seq),
        boot: Some(message.boot),
        lane: None,
        values: &values,
    };
    let mut out = Vec::with_capacity(64 + values.len() * 48);
    own_json::encode(&mut out, &item);
    out
}

/// Topic of a simulated message.
pub(crate) fn topic(message: &DeviceMessage<'_>) -> String {
    format!("{}{}/{}/{}", heat_codec::topic::PREFIX, message.network, message.site, message.device)
}

/// Writes the log.
pub(crate) async fn run(task: FillTask) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let plan = city_plan(task.networks, task.stations, CityPlan::demo().gap_share);
    let mut city = City::new(plan, task.seed, START).map_err(BenchError::act("build the simulated city"))?;
    plant::write(city.plant(), &task.plant)?;
    let campaign = BurstCampaign {
        bursts: 8,
        quiet: Duration::from_secs(150),
        every: Duration::from_secs(30),
        ..BurstCampaign::default()
    };
    let script = campaign.script(city.plant(), task.seed);
    city.schedule(&script, START).map_err(BenchError::act("script the simulated city"))?;
    let appender = log
        .appender(&[topics::INPUT], AppenderSettings::default())
        .await
        .map_err(BenchError::act("append to the log"))?;
    let partitions = log.partitions(topics::INPUT).await.map_err(BenchError::act("look at the log"))?;
    let mut pen = Pen::new(appender, partitions);
    let begun = Clock.instant();
    let mut filled = Filled {
        readings: 0,
        messages: 0,
        bytes: 0,
        signals: city.plant().signals.len() as u64,
        scans: 0,
        seconds: 0.0,
    };
    let mut intake = Intake::new(IntakeSettings::default(), partitions);
    let mut devices: HashMap<usize, Device> = HashMap::new();
    let mut said: Vec<(Arc<str>, Bytes)> = Vec::new();
    while filled.readings < task.readings {
        let scan_begun = Clock.instant();
        let second_before = EventTime::from_micros(Clock.now().as_micros()).minus(PACE);
        let from = city.now();
        tokio::task::block_in_place(|| {
            city.advance(from.plus(PACE * SPEED), Scan::Live, &mut |message| {
                let time = second_before.plus(message.time.since(from) / SPEED);
                let device = devices.entry(message.index).or_insert_with(|| Device::new(topic(message)));
                if let Some(whole) = device.add(payload(message, time), task.scans_per_message) {
                    said.push((Arc::clone(&device.topic), whole));
                }
            });
        });
        for (topic, payload) in said.drain(..) {
            filled.readings += pen.take(&mut intake, &topic, &payload, Clock.now()).await?;
            filled.messages += 1;
        }
        pen.beat(Clock.now()).await?;
        filled.scans += 1;
        tokio::time::sleep(PACE.saturating_sub(scan_begun.elapsed())).await;
    }
    pen.flush().await?;
    filled.bytes = log.stats().appended_bytes;
    filled.seconds = begun.elapsed().as_secs_f64();
    log.close(Duration::from_secs(60)).await;
    say(&filled)
}

/// A device that gathers scans into messages.
struct Device {
    topic: Arc<str>,
    /// Scans of the open message, as the beginning of a JSON array.
    open: Vec<u8>,
    scans: u32,
}

impl Device {
    fn new(topic: String) -> Self {
        Self { topic: topic.into(), open: Vec::new(), scans: 0 }
    }

    /// Adds a scan, one JSON object; gives the message that it completes.
    fn add(&mut self, scan: Vec<u8>, scans_per_message: u32) -> Option<Bytes> {
        if scans_per_message == 1 {
            return Some(scan.into());
        }
        self.open.push(if self.scans == 0 { b'[' } else { b',' });
        self.open.extend_from_slice(&scan);
        self.scans += 1;
        if self.scans < scans_per_message {
            return None;
        }
        self.open.push(b']');
        self.scans = 0;
        let whole = Bytes::copy_from_slice(&self.open);
        self.open.clear();
        Some(whole)
    }
}

/// Numbers records as a gateway does.
pub(crate) struct Pen {
    appender: Appender,
    gateway: GatewayId,
    epoch: u64,
    /// Next number, and readings so far, of each partition.
    streams: Vec<(u64, u64)>,
    /// When the records that follow are to have come, where it is not now: their key.
    pub(crate) came: Option<IngestTime>,
}

impl Pen {
    pub(crate) fn new(appender: Appender, partitions: u32) -> Self {
        Self {
            appender,
            gateway: GatewayId::new("bench").expect("a literal id"),
            epoch: u64::try_from(Clock.now().as_micros()).unwrap_or(0),
            streams: vec![(0, 0); partitions as usize],
            came: None,
        }
    }

    /// Takes a message as a gateway does and appends what it gives; says how many readings that is.
    pub(crate) async fn take(
        &mut self,
        intake: &mut Intake,
        topic: &Arc<str>,
        payload: &Bytes,
        received: IngestTime,
    ) -> Result<u64, BenchError> {
        let message = Message { topic, payload, retained: false, rights: None, received, again: None };
        let outcome = intake.take(&message);
        if let Some(fault) = outcome.faults.first() {
            let fault = format!("{}: {}", fault.reason, fault.detail);
            return Err(BenchError::act("take a simulated message")(fault));
        }
        for (partition, draft) in outcome.drafts {
            self.append(partition, draft).await?;
        }
        Ok(u64::from(outcome.readings_logged))
    }

    /// Waits until all of it is durable.
    pub(crate) async fn flush(&self) -> Result<(), BenchError> {
        let durable = self.appender.flush(Duration::from_secs(600)).await;
        if durable.map_err(BenchError::act("flush the log"))? {
            Ok(())
        } else {
            Err(BenchError::act("flush the log")("it took longer than ten minutes"))
        }
    }

    async fn append(&mut self, partition: PartitionId, draft: Draft) -> Result<(), BenchError> {
        let (seq, readings) = &mut self.streams[partition.0 as usize];
        *readings += draft.readings_len() as u64;
        let key = match self.came {
            Some(came) => Some(Bytes::copy_from_slice(&came.as_micros().to_be_bytes())),
            None => (!draft.network().is_empty()).then(|| Bytes::copy_from_slice(draft.network().as_bytes())),
        };
        let payload = draft.encode(&self.gateway, self.epoch, *seq);
        *seq += 1;
        self.appender
            .append(topics::INPUT, partition, key, payload)
            .await
            .map_err(BenchError::act("append to the log"))?;
        Ok(())
    }

    pub(crate) async fn beat(&mut self, now: IngestTime) -> Result<(), BenchError> {
        for partition in (0..).map(PartitionId).take(self.streams.len()) {
            let (records_in_partition, readings_in_partition) = self.streams[partition.0 as usize];
            let beat =
                Heartbeat { hours: Vec::new(), records_in_partition, readings_in_partition, last: false };
            self.append(partition, Draft::of(None, now, 0, &Body::Heartbeat(beat))).await?;
        }
        Ok(())
    }
}
