//! The gateway's loop.

use std::{collections::VecDeque, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use heat_codec::{
    plant::SignalIndex,
    sparkplug::{SparkplugSettings, state_payload},
};
use heat_log::{AppendError, AppenderSettings, Log, TopicError, topics};
use heat_model::{AppendTime, GatewayId, plant::PlantModel, time::MICROS_PER_SECOND};
use heat_mqtt::{
    Delivery, HostIdError, LinkEvent, Listener, Rights, StateMessage, StatePayloads, Subscriber, Way, link,
};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics, tasks::Chain};
use tokio::time::MissedTickBehavior;

use crate::{
    buffer::{Buffer, BufferError},
    canary::Canary,
    commands::Commands,
    inputs::{Input, Inputs},
    intake::{Intake, Message, Outcome},
    link_metrics::LinkMetrics,
    metrics::GatewayMetrics,
    outbox::{Inner, Outbox, OutboxError, Parts, core::Rules},
    plant::{self, PlantChange, PlantFiles, PlantSettings, PlantWatch},
    refused::RefusedTickets,
    requeue::{RequeueError, RequeueFeed, Requeued},
    settings::GatewaySettings,
};

const PART: &str = "gateway";
/// Some tens of milliseconds of traffic wait while records go over from the buffer to Kafka.
const SWITCH_MAX_RECORDS: u64 = 4_096;

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The log has no input topic as it should be.
    #[error("the gateway cannot use the log")]
    Topic(#[from] TopicError),
    /// The log takes no records.
    #[error("the gateway cannot append to the log")]
    Append(#[from] AppendError),
    /// The buffer cannot be used.
    #[error("the gateway cannot use its buffer; [gateway.buffer] enabled = false does without")]
    Buffer(#[from] BufferError),
    /// What an earlier run left cannot be gone on with.
    #[error("the gateway cannot begin where it ended")]
    Outbox(#[from] OutboxError),
    /// The plant model cannot be watched.
    #[error("the gateway cannot watch its plant model")]
    Plant(#[from] plant::OpenError),
    /// The id of the Sparkplug host cannot stand in a topic.
    #[error("the gateway cannot announce its Sparkplug host; see gateway.sparkplug.host")]
    Host(#[from] HostIdError),
    /// Dead letters cannot be taken again.
    #[error("the gateway cannot take dead letters again")]
    Requeue(#[from] RequeueError),
    /// The MQTT address cannot be had.
    #[error("the gateway cannot listen for MQTT; free the port or set another [gateway.listen] address")]
    Listen(#[from] heat_mqtt::BindError),
}

/// The gateway ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log is closed for good.
    #[error("the log or the buffer takes no records any more; nothing was acknowledged that is not durable")]
    Outbox(#[from] OutboxError),
    /// Not everything taken became durable in the time for it.
    #[error(
        "{waiting} messages were not yet durable after {drain:?} of draining; their senders will send them again"
    )]
    DrainTimedOut {
        /// How many.
        waiting: usize,
        /// The time.
        drain: Duration,
    },
}

/// Bound and opened, not yet running.
#[derive(Debug)]
pub struct Gateway {
    settings: GatewaySettings,
    clock: Clock,
    intake: Intake,
    outbox: Outbox,
    inputs: Inputs,
    /// Received, and not yet taken: the outbox has no room at present.
    pending: VecDeque<Delivery>,
    canary: Canary,
    commands: Commands,
    links: LinkMetrics,
    beside: Option<Beside>,
    mqtt_address: Option<std::net::SocketAddr>,
    metrics: GatewayMetrics,
    refused: RefusedTickets,
    health: Health,
}

/// What runs beside the loop.
#[derive(Debug)]
struct Beside {
    listener: Option<Listener>,
    subscriber: Option<Subscriber>,
    plant: PlantWatch,
    requeue: RequeueFeed,
}

impl Gateway {
    /// Opens the log for appending and binds the MQTT address. `plant` is where the plant tables are, and the model that
    /// they were read as.
    pub async fn build(
        settings: GatewaySettings,
        plant: Option<(PathBuf, Arc<PlantModel>)>,
        log: &Log,
        clock: Clock,
        metrics: &Metrics,
        health: Health,
    ) -> Result<Self, BuildError> {
        let partitions = log.partitions(topics::INPUT).await?;
        let bounds = AppenderSettings { stalled_after: settings.stall_after, ..AppenderSettings::default() };
        let appender = log.appender(&[topics::INPUT, topics::REJECTED], bounds.clone()).await?;
        let live_max_age = settings.intake.clock.live_max_age;
        let buffer = match (&settings.buffer, log) {
            // The embedded log is this machine's own disk: what it does not take, a buffer would not take either.
            (Some(_), Log::Embedded(_)) | (None, _) => None,
            (Some(buffer), Log::Kafka(_)) => {
                let now = AppendTime::from_micros(clock.now().as_micros());
                Some(Buffer::open(buffer.clone(), now.minus(live_max_age)).await?)
            }
        };
        let mut intake = Intake::new(settings.intake.clone(), partitions);
        if let Some((_, model)) = &plant {
            let index = SignalIndex::new(model, settings.unknown_signals.clone());
            intake.adopt(Arc::new(index), plant::mappings(model));
        }
        let plant = plant.map(|(path, model)| {
            let files = PlantFiles::new(path);
            let policy = settings.unknown_signals.clone();
            (PlantSettings { files, poll: plant::POLL, policy }, model)
        });
        let (plant_watch, plant) = plant::open(plant, log, clock, metrics).await?;
        let (requeue, requeues) = RequeueFeed::open(log, settings.id.clone(), clock, metrics).await?;
        let (inlet, events, acknowledger) = link::links(settings.queue);
        let mut listener = match &settings.listen {
            Some(listen) => Some(Listener::bind(listen.clone(), inlet.clone()).await?),
            None => None,
        };
        let mut subscriber =
            settings.subscribe.clone().map(|subscribe| Subscriber::new(subscribe, inlet.clone()));
        if let Some(state) = host_state(&settings, clock)? {
            listener = listener.map(|listener| listener.announcing(state.clone()));
            subscriber = subscriber.map(|subscriber| subscriber.announcing(state));
        }
        let drain_records_per_second_max =
            settings.buffer.as_ref().and_then(|buffer| buffer.drain_records_per_second_max);
        let rules = Rules {
            stall_after: settings.stall_after,
            live_max_age,
            drain_records_per_second_max,
            switch_max_records: SWITCH_MAX_RECORDS,
        };
        let gateway = settings.id.clone();
        let outbox =
            Outbox::new(Parts { gateway, partitions, rules, appender, bounds, buffer, acknowledger, clock })
                .await?;
        health.set(PART, false, "");
        let canary = settings.canary.map(|every| {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Ok(Self {
            intake,
            metrics: GatewayMetrics::register(metrics),
            refused: RefusedTickets::default(),
            clock,
            outbox,
            inputs: Inputs { events, requeues, plant, canary },
            pending: VecDeque::new(),
            canary: Canary::new(&settings.id),
            commands: Commands::new(listener.as_ref(), subscriber.as_ref(), metrics),
            links: LinkMetrics::register(listener.as_ref(), subscriber.as_ref(), metrics),
            mqtt_address: listener.as_ref().map(Listener::local_addr),
            beside: Some(Beside { listener, subscriber, plant: plant_watch, requeue }),
            settings,
            health,
        })
    }

    /// The MQTT listener's address, if there is one.
    pub fn mqtt_address(&self) -> Option<std::net::SocketAddr> {
        self.mqtt_address
    }

    /// This gateway's name.
    pub fn id(&self) -> &GatewayId {
        &self.settings.id
    }

    /// Runs until shutdown, then drains: what was taken becomes durable and is acknowledged, and the last heartbeat
    /// says good-bye.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), RunError> {
        self.health.set(PART, self.links.are_up(), "");
        let beside = self.beside.take().expect("a gateway runs once");
        let links_end = shutdown.child();
        let listening = async {
            if let Some(listener) = beside.listener {
                listener.run(links_end.begun()).await;
            }
        };
        let subscribing = async {
            if let Some(subscriber) = beside.subscriber {
                subscriber.run(links_end.begun()).await;
            }
        };
        let watching = beside.plant.run(links_end.clone());
        let links = async { tokio::join!(listening, subscribing, watching) };
        let requeueing = async {
            if let Err(error) = beside.requeue.run(links_end.clone()).await {
                tracing::error!(error = %Chain(&error), "dead letters are not taken again until the next start");
            }
        };
        // The feed ends when the loop, and with it the other end of its queue, has ended: all its marks are in then.
        let work = async { tokio::join!(self.into_work(shutdown.clone()), requeueing).0 };
        let (mut links, mut work) = (pin!(links), pin!(work));
        tokio::select! {
            ended = &mut work => {
                links_end.begin();
                ended
            }
            _ = &mut links => work.await,
        }
    }

    async fn into_work(mut self, shutdown: Shutdown) -> Result<(), RunError> {
        self.work(shutdown).await
    }

    async fn work(&mut self, shutdown: Shutdown) -> Result<(), RunError> {
        let mut beat = tokio::time::interval(self.settings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_pending()?;
            let has_room = self.pending.is_empty() && self.outbox.accepts();
            // Unbiased: no branch may keep the others waiting, neither new messages nor the backlog.
            tokio::select! {
                stepped = self.outbox.step() => {
                    stepped?;
                    self.tell_durable();
                }
                () = shutdown.begun() => break,
                _ = beat.tick() => self.beat().await?,
                input = self.inputs.next(), if has_room => match input {
                    Input::Link(event) => self.take(event),
                    Input::Requeued(requeued) => self.take_again(*requeued)?,
                    Input::Plant(change) => self.adopt(change)?,
                    Input::Canary => self.send_canary()?,
                    Input::End => break,
                }
            }
        }
        self.drain().await
    }

    fn take(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(link, source) => {
                self.metrics.links.inc();
                tracing::debug!(%link, client = %source.client_id, "link up");
            }
            LinkEvent::Down(link, reason) => {
                self.metrics.links.dec();
                tracing::debug!(%link, ?reason, "link down");
            }
            LinkEvent::Messages(batch) => self.pending.extend(batch.into_deliveries()),
        }
    }

    /// Takes what was received, as far as the outbox has room.
    fn take_pending(&mut self) -> Result<(), RunError> {
        let received = self.clock.now();
        while self.outbox.accepts()
            && let Some(delivery) = self.pending.pop_front()
        {
            let outcome = self.intake.take(&Message {
                topic: &delivery.topic,
                payload: &delivery.payload,
                retained: delivery.retain,
                rights: delivery.source.rights.as_deref(),
                received,
                again: None,
            });
            self.count(&outcome);
            self.refused.note(&delivery.topic, &outcome);
            let way = delivery.source.way;
            self.outbox.take(delivery, received, outcome)?;
            self.ask_for_births(way);
        }
        Ok(())
    }

    fn take_again(&mut self, requeued: Requeued) -> Result<(), RunError> {
        let received = self.clock.now();
        let request = &requeued.request;
        let rights = self.rights_of(&request.user);
        let outcome = self.intake.take(&Message {
            topic: &Arc::from(request.topic.as_str()),
            payload: &request.payload,
            retained: request.retained,
            rights: rights.as_deref(),
            received,
            again: Some(request),
        });
        self.count(&outcome);
        self.outbox.take_again(requeued, received, outcome)?;
        Ok(())
    }

    /// What a dead letter's sender may speak for today; `None`: everything, as what comes by a broker.
    fn rights_of(&self, user: &str) -> Option<Arc<Rights>> {
        let own = self.settings.subscribe.as_ref().and_then(|subscribe| subscribe.credentials.as_ref());
        if user.is_empty() || own.is_some_and(|(name, _)| name == user) {
            return None;
        }
        self.settings.listen.as_ref()?.rights_of(user)
    }

    fn adopt(&mut self, change: PlantChange) -> Result<(), RunError> {
        self.intake.adopt(Arc::clone(&change.index), change.mappings.clone());
        self.outbox.activate(change)?;
        Ok(())
    }

    fn send_canary(&mut self) -> Result<(), RunError> {
        let received = self.clock.now();
        let payload = Canary::payload(received);
        let message = Message {
            topic: self.canary.topic(),
            payload: &payload,
            retained: false,
            rights: None,
            received,
            again: None,
        };
        let outcome = self.intake.take(&message);
        self.outbox.take_own(received, outcome)?;
        Ok(())
    }

    fn ask_for_births(&mut self, way: Way) {
        for rebirth in self.intake.take_rebirths() {
            self.commands.send(way, rebirth);
        }
    }

    fn count(&self, outcome: &Outcome) {
        self.metrics.lanes(outcome.readings_logged, outcome.readings_backfill);
        for fault in &outcome.faults {
            self.metrics.reject(&fault.reason);
        }
    }

    /// Tells the feeds what of theirs has become durable.
    fn tell_durable(&mut self) {
        for durable in self.outbox.take_told() {
            let split = durable.map(|inner| match inner {
                Inner::Requeue(token) => Ok(token),
                other @ (Inner::Plant(_) | Inner::Nobody) => Err(other),
            });
            match split.transpose() {
                Ok(token) => self.inputs.requeues.done(token),
                Err(other) => {
                    if let Inner::Plant(change) = other.into_inner() {
                        change.durable();
                    }
                }
            }
        }
    }

    async fn beat(&mut self) -> Result<(), RunError> {
        self.outbox.beat().await?;
        self.metrics.bring_up_to(self.outbox.totals());
        self.metrics.logged_at(self.clock.now());
        self.metrics.waiting.set(i64::try_from(self.outbox.waiting()).unwrap_or(i64::MAX));
        let (records, bytes) = self.outbox.queued();
        self.metrics.queued_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.metrics.queued_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let status = *self.outbox.status();
        self.metrics.buffer.show(&status);
        self.metrics.stalled.set(i64::from(status.is_stalled));
        self.links.show();
        self.metrics.sparkplug.show(self.intake.sparkplug_counts());
        self.metrics.clocks(self.intake.clocks());
        self.refused.tell();
        for told in self.intake.take_clock_changes() {
            let (device, change) = (told.device, told.change);
            let offset_seconds = change.offset_us / MICROS_PER_SECOND;
            if change.to.is_fault() {
                tracing::warn!(%device, clock = %change.to, offset_seconds, "a device's clock is wrong; set it");
            } else {
                tracing::info!(%device, offset_seconds, "a device's clock is right again");
            }
        }
        self.health.set(PART, status.is_ready() && self.links.are_up(), status.to_json());
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), RunError> {
        self.health.set(PART, false, "{\"draining\":true}");
        // What links had handed in is taken as far as there is room; what is not, their senders will send again.
        loop {
            self.take_pending()?;
            match self.inputs.events.try_recv() {
                Ok(event) if self.pending.is_empty() => self.take(event),
                Ok(_) | Err(_) => break,
            }
        }
        let drain = self.settings.drain;
        if !self.outbox.finish(drain).await? {
            return Err(RunError::DrainTimedOut { waiting: self.outbox.waiting(), drain });
        }
        self.tell_durable();
        let total = self.outbox.totals();
        self.metrics.bring_up_to(total);
        tracing::info!(
            messages = total.messages_received,
            logged = total.messages_logged,
            rejected = total.messages_rejected,
            readings = total.readings_received,
            "gateway drained"
        );
        Ok(())
    }
}

/// What tells Sparkplug nodes that a host lives here, if one is configured.
fn host_state(settings: &GatewaySettings, clock: Clock) -> Result<Option<StateMessage>, HostIdError> {
    let host = settings.intake.sparkplug.as_ref().and_then(SparkplugSettings::host);
    host.map(|host| {
        StateMessage::new(host, move || {
            let now = clock.now();
            let payload = |online| Bytes::from(state_payload(online, now));
            StatePayloads { online: payload(true), offline: payload(false) }
        })
    })
    .transpose()
}
