//! The roles in one process, and observers of what comes out: incidents on the log, pages at Alertmanager's door, files
//! in the archive.

use std::{collections::VecDeque, path::Path, time::Duration};

use axum::{Json, Router, body::Bytes, http::Uri};
use heat_archive::Archive;
use heat_codec::envelope::EnvelopeDecoder;
use heat_detect::Output;
use heat_ledger::repeats::RepeatSettings;
use heat_log::{Consumer, ConsumerSettings, Log, LogEvent, Membership, StartFrom, topics};
use heat_model::{
    Body, NetworkId, PartitionId,
    incident::{ChangeKind, Class, IncidentEvent},
    record::NextOffset,
};
use heat_runtime::{Clock, Shutdown, Tasks, admin::Health, metrics::Metrics};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{
    child::{Commands, say},
    engine::{Engine, PARTITIONS},
    error::BenchError,
    gateway, plant,
    roles::{build_archiver, build_exporter, build_processor},
};

/// One message in so many is followed to its file.
const FOLLOWED: u64 = 100;
/// How often the archive's manifests are looked at: the resolution of what is measured in tens of seconds.
const LOOK: Duration = Duration::from_millis(200);
/// The window of repeats of a small town, as `up` has it.
const REPEATS: RepeatSettings = RepeatSettings { block_records: 1 << 16, block_readings_max: 1 << 18 };

/// What an observer saw, with the wall clock of that moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// A burst's incident was opened.
    Opened {
        network: NetworkId,
        wall_us: i64,
        /// Site (`network/site`) and event time of each reading that it rests upon.
        evidence: Vec<(String, i64)>,
    },
    /// A burst's page came to Alertmanager's door.
    Paged { network: NetworkId, wall_us: i64 },
    /// A message is in a published file.
    File { device: String, event_us: i64, wall_us: i64 },
}

/// Runs the roles until told to stop; says the gateway's port, then what is seen.
pub(crate) async fn run(
    engine: &Engine,
    plant: &Path,
    archive: &Path,
    commands: &mut Commands,
) -> Result<(), BenchError> {
    let log = engine.open().await?;
    let metrics = Metrics::default();
    let gateway = gateway::listening(&log, &metrics, Health::default()).await?;
    let port = gateway.mqtt_address().map_or(0, |address| address.port());
    let processor = build_processor(&log, plant::read(plant)?, REPEATS, &metrics).await?;
    let archiver = build_archiver(&log, archive.to_path_buf(), REPEATS, &metrics).await?;
    let door = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::act("listen for pages"))?;
    let address = door.local_addr().map_err(BenchError::act("listen for pages"))?;
    let exporter = build_exporter(&log, plant::read(plant)?, format!("http://{address}"), &metrics).await?;
    let events = started(&log, topics::INCIDENT_EVENTS).await?;
    let input = started(&log, topics::INPUT).await?;
    let published = Archive::open(archive.to_string_lossy().as_ref())
        .await
        .map_err(BenchError::act("open the archive"))?;

    let mut tasks = Tasks::new(Shutdown::default());
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("gateway", gateway.run(shutdown.clone()));
    tasks.spawn("processor", processor.run(shutdown.clone()));
    tasks.spawn("archiver", archiver.run(shutdown.clone()));
    tasks.spawn("exporter", exporter.run(shutdown.clone()));
    tasks.spawn("observer of pages", take_pages(door, shutdown.clone()));
    tasks.spawn("observer of incidents", watch_incidents(events, shutdown.clone()));
    tasks.spawn("observer of files", watch_files(input, published, shutdown.clone()));
    say(&port)?;
    let asked = async {
        commands.next::<()>().await?;
        shutdown.begin();
        Ok::<(), BenchError>(())
    };
    let (ended, asked) = tokio::join!(tasks.join(Duration::from_secs(30)), asked);
    ended.map_err(BenchError::act("run the roles in one process"))?;
    asked?;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// A consumer at the end of all partitions.
async fn started(log: &Log, topic: &str) -> Result<Consumer, BenchError> {
    let failed = "read the log";
    let consumer = log.consumer(topic, Membership::All, ConsumerSettings::default()).await;
    let mut consumer = consumer.map_err(BenchError::act(failed))?;
    let mut partitions = 0;
    while partitions < PARTITIONS {
        if let LogEvent::Assigned(partition) = consumer.next().await.map_err(BenchError::act(failed))? {
            consumer.start(partition, StartFrom::End).await.map_err(BenchError::act(failed))?;
            partitions += 1;
        }
    }
    Ok(consumer)
}

async fn watch_incidents(mut events: Consumer, shutdown: Shutdown) -> Result<(), BenchError> {
    loop {
        let event = tokio::select! {
            () = shutdown.begun() => return Ok(()),
            event = events.next() => event.map_err(BenchError::act("read the log"))?,
        };
        let wall_us = Clock.now().as_micros();
        let LogEvent::Records { records, .. } = event else { continue };
        for record in records {
            let Ok(Output::Event(event)) = serde_json::from_slice::<Output>(&record.payload) else {
                continue;
            };
            if let Some(seen) = opened_burst(&event, wall_us) {
                say(&seen)?;
            }
        }
    }
}

fn opened_burst(event: &IncidentEvent, wall_us: i64) -> Option<Seen> {
    let incident = &event.incident;
    if event.change.kind != ChangeKind::Opened || incident.class != Class::Burst {
        return None;
    }
    let evidence = incident.evidence.iter().map(|evidence| {
        let site = format!("{}/{}", incident.network, evidence.place);
        (site, evidence.at.as_micros())
    });
    Some(Seen::Opened { network: incident.network.clone(), wall_us, evidence: evidence.collect() })
}

/// What an alert is known by.
#[derive(Deserialize)]
struct Alert {
    labels: AlertLabels,
}

#[derive(Deserialize)]
struct AlertLabels {
    network: NetworkId,
    class: String,
}

/// Stands where Alertmanager does, and takes everything.
async fn take_pages(door: TcpListener, shutdown: Shutdown) -> Result<(), BenchError> {
    let router = Router::new().fallback(take_page);
    let serving = axum::serve(door, router).with_graceful_shutdown(async move { shutdown.begun().await });
    serving.await.map_err(BenchError::act("take pages"))
}

async fn take_page(uri: Uri, body: Bytes) -> Json<[(); 0]> {
    let wall_us = Clock.now().as_micros();
    // Silences are asked for as well.
    if uri.path().ends_with("/alerts") {
        let alerts: Vec<Alert> = serde_json::from_slice(&body).unwrap_or_default();
        for Alert { labels } in alerts {
            if labels.class == Class::Burst.as_str() {
                // A parent that hears nothing has ended, and ends this process.
                say(&Seen::Paged { network: labels.network, wall_us }).ok();
            }
        }
    }
    Json([])
}

/// A followed message that is not yet in a file.
struct Followed {
    next: NextOffset,
    device: String,
    event_us: i64,
}

async fn watch_files(mut input: Consumer, archive: Archive, shutdown: Shutdown) -> Result<(), BenchError> {
    let mut waiting: Vec<VecDeque<Followed>> = (0..PARTITIONS).map(|_| VecDeque::new()).collect();
    let mut decoder = EnvelopeDecoder::default();
    let mut messages = 0;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = shutdown.begun() => return Ok(()),
            _ = look.tick() => published(&archive, &mut waiting).await?,
            event = input.next() => {
                let event = event.map_err(BenchError::act("read the log"))?;
                let LogEvent::Records { partition, records, .. } = event else { continue };
                for record in records {
                    let envelope = decoder.decode(record.payload).map_err(BenchError::act("decode a record"))?;
                    let Body::Readings(readings) = &envelope.body else { continue };
                    messages += 1;
                    if messages % FOLLOWED != 0 {
                        continue;
                    }
                    let (set, first) = (&readings.set, readings.readings.first());
                    let device = format!("{}/{}/{}", set.network, set.site, set.device);
                    waiting[partition.0 as usize].extend(first.map(|reading| Followed {
                        next: record.offset.next(),
                        device,
                        event_us: reading.event_time.as_micros(),
                    }));
                }
            }
        }
    }
}

/// Says what the manifests cover.
async fn published(archive: &Archive, waiting: &mut [VecDeque<Followed>]) -> Result<(), BenchError> {
    for (waiting, partition) in waiting.iter_mut().zip((0..).map(PartitionId)) {
        let resume = archive.resume(topics::INPUT, partition).await;
        let resume = resume.map_err(BenchError::act("look at the archive"))?;
        let wall_us = Clock.now().as_micros();
        let Some(covered) = resume.next_offset else { continue };
        while let Some(followed) = waiting.pop_front_if(|followed| followed.next <= covered) {
            say(&Seen::File { device: followed.device, event_us: followed.event_us, wall_us })?;
        }
    }
    Ok(())
}
