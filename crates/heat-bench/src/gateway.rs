//! The gateway in a process of its own, and the bare bridge that it stands beside.

use std::{collections::VecDeque, time::Duration};

use heat_gateway::{Gateway, GatewaySettings, RawBuffer, RawGateway};
use heat_ledger::durable::{AckQueue, Marks};
use heat_log::{AppendRecord, AppenderSettings, Log, partition_of};
use heat_mqtt::{
    AckToken, LinkEvent, QueueBounds, RawListen, RawSubscribe, SubscribeSettings, Subscriber, links,
    settings::SecretSource,
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use serde::{Deserialize, Serialize};

use crate::{
    child::{Commands, say},
    engine::{BARE, Engine, PARTITIONS},
    error::BenchError,
    roles::sample,
};

/// The gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GatewayTask {
    pub(crate) engine: Engine,
    /// Host and port of the broker to subscribe at; without one it listens.
    pub(crate) broker: Option<(String, u16)>,
}

/// The bare bridge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BareTask {
    pub(crate) engine: Engine,
    pub(crate) broker: (String, u16),
}

/// What the parent may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    Progress,
    Stop,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Connections that are up.
    pub(crate) links: u64,
    /// Records made durable, with the gateway's heartbeats; of this moment.
    pub(crate) appended: u64,
    /// Messages durable; the gateway counts them once a second.
    pub(crate) messages: u64,
}

/// What it did in all.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) messages_received: u64,
    pub(crate) messages_logged: u64,
    pub(crate) readings_logged: u64,
}

const NO_SECRETS: SecretSource<'static> = SecretSource {
    environment: &|_| None,
    file: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
};

fn raw_subscribe(broker: &(String, u16), client_id: &str) -> RawSubscribe {
    RawSubscribe {
        host: Some(broker.0.clone()),
        port: Some(broker.1),
        client_id: Some(client_id.to_owned()),
        filters: vec!["heat/v1/+/+/+".to_owned()],
        ..RawSubscribe::default()
    }
}

fn settings(broker: Option<&(String, u16)>, buffer: RawBuffer) -> Result<GatewaySettings, BenchError> {
    let raw = RawGateway {
        buffer: Some(buffer),
        id: Some("bench".to_owned()),
        listen: broker
            .is_none()
            .then(|| RawListen { address: Some("127.0.0.1:0".to_owned()), ..RawListen::default() }),
        subscribe: broker.map(|broker| raw_subscribe(broker, "heatstream-bench-gateway")),
        ..RawGateway::default()
    };
    GatewaySettings::from_raw(raw, NO_SECRETS).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        BenchError::act("settle the gateway's settings")(faults.join("; "))
    })
}

/// Builds a listening gateway with its default settings.
pub(crate) async fn listening(log: &Log, metrics: &Metrics, health: Health) -> Result<Gateway, BenchError> {
    let without_buffer = RawBuffer { enabled: Some(false), ..RawBuffer::default() };
    Gateway::build(settings(None, without_buffer)?, None, log, Clock, metrics, health)
        .await
        .map_err(BenchError::act("build the gateway"))
}

/// Runs the gateway until told to stop; first says the port that it listens on, or 0.
pub(crate) async fn run(task: GatewayTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let metrics = Metrics::default();
    // With a buffer, as in a city, and in a directory of its own.
    let directory =
        tempfile::tempdir().map_err(BenchError::act("make a directory for the gateway's buffer"))?;
    let buffer = RawBuffer { directory: Some(directory.path().join("buffer")), ..RawBuffer::default() };
    let settings = settings(task.broker.as_ref(), buffer)?;
    let gateway = Gateway::build(settings, None, &log, Clock, &metrics, Health::default())
        .await
        .map_err(BenchError::act("build the gateway"))?;
    say(&gateway.mqtt_address().map_or(0, |address| address.port()))?;
    let shutdown = Shutdown::default();
    let asked = async {
        while commands.next::<Ask>().await? == Some(Ask::Progress) {
            let scrape = metrics.render();
            say(&Progress {
                links: sample(&scrape, heat_gateway::metrics::LINKS, ""),
                appended: log.stats().appended_records,
                messages: sample(&scrape, heat_gateway::metrics::MESSAGES, "outcome=\"logged\""),
            })?;
        }
        shutdown.begin();
        Ok::<(), BenchError>(())
    };
    let (ran, asked) = tokio::join!(gateway.run(shutdown.clone()), asked);
    ran.map_err(BenchError::act("run the gateway"))?;
    asked?;
    let scrape = metrics.render();
    say(&Ended {
        messages_received: sample(&scrape, heat_gateway::metrics::MESSAGES, "outcome=\"received\""),
        messages_logged: sample(&scrape, heat_gateway::metrics::MESSAGES, "outcome=\"logged\""),
        readings_logged: sample(&scrape, heat_gateway::metrics::READINGS, "outcome=\"logged\""),
    })?;
    // The parent looks at the memory before it closes.
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// Appends payloads as they come, and acknowledges what is durable: what any correct bridge must do, and no more.
pub(crate) async fn bare(task: BareTask, commands: &mut Commands) -> Result<(), BenchError> {
    let log = task.engine.open().await?;
    let raw = raw_subscribe(&task.broker, "heatstream-bench-bare");
    let settings = SubscribeSettings::check(&raw, "subscribe", NO_SECRETS).map_err(|faults| {
        let faults: Vec<String> =
            faults.iter().map(|fault| format!("{}: {}", fault.key, fault.problem)).collect();
        BenchError::act("settle the bare bridge's settings")(faults.join("; "))
    })?;
    let (inlet, mut events, acknowledger) = links(QueueBounds::default());
    let subscriber = Subscriber::new(settings, inlet);
    let appender = log
        .appender(&[BARE], AppenderSettings::default())
        .await
        .map_err(BenchError::act("append for the bare bridge"))?;
    say(&0_u16)?;
    let shutdown = Shutdown::default();
    let work = async {
        let mut marks = Marks::default();
        let mut waiting: AckQueue<AckToken> = AckQueue::default();
        let (mut records, mut tokens, mut tickets) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let (mut up, mut received, mut durable) = (0_u64, 0_u64, 0_u64);
        let mut is_asked = true;
        while is_asked || !waiting.is_empty() || !records.is_empty() {
            let room = records.front().map_or(0, AppendRecord::size_bytes);
            tokio::select! {
                biased;
                progressed = appender.progressed() => {
                    progressed.map_err(BenchError::act("append for the bare bridge"))?;
                    appender.read_marks(&mut marks);
                    acknowledger.acknowledge(std::iter::from_fn(|| {
                        let next = waiting.pop_durable(&marks)?;
                        durable += 1;
                        Some(next)
                    }));
                }
                asked = commands.next::<Ask>(), if is_asked => match asked? {
                    Some(Ask::Progress) => {
                        say(&Progress { links: up, appended: log.stats().appended_records, messages: durable })?;
                    }
                    Some(Ask::Stop) | None => is_asked = false,
                },
                ready = appender.ready(room), if !records.is_empty() => {
                    ready.map_err(BenchError::act("append for the bare bridge"))?;
                }
                event = events.recv(), if records.is_empty() && is_asked => match event {
                    Some(LinkEvent::Messages(batch)) => {
                        for delivery in batch.into_deliveries() {
                            received += 1;
                            let partition = partition_of(delivery.topic.as_bytes(), PARTITIONS);
                            let key = Some(bytes::Bytes::copy_from_slice(delivery.topic.as_bytes()));
                            records.push_back(AppendRecord { partition, key, payload: delivery.payload });
                            tokens.push_back(delivery.token);
                        }
                    }
                    Some(LinkEvent::Up(..)) => up += 1,
                    Some(LinkEvent::Down(..)) => up -= 1,
                    None => is_asked = false,
                },
            }
            if !records.is_empty() {
                appender
                    .try_append_batch(BARE, &mut records, &mut tickets)
                    .map_err(BenchError::act("append for the bare bridge"))?;
                for (ticket, token) in tickets.drain(..).zip(tokens.drain(..records_taken(&records, &tokens)))
                {
                    waiting.push(token, &[ticket]);
                }
            }
        }
        shutdown.begin();
        Ok::<Ended, BenchError>(Ended {
            messages_received: received,
            messages_logged: durable,
            readings_logged: 0,
        })
    };
    let (ended, ()) = tokio::join!(work, subscriber.run(shutdown.begun()));
    say(&ended?)?;
    commands.end().await;
    log.close(Duration::from_secs(10)).await;
    Ok(())
}

/// Tokens of the records that the appender has taken: those that have no record left.
fn records_taken(records: &VecDeque<AppendRecord>, tokens: &VecDeque<AckToken>) -> usize {
    tokens.len() - records.len()
}
