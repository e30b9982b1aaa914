//! The gateway's loop.

use std::{pin::pin, time::Duration};

use heat_log::{AppendError, Appender, AppenderSettings, Health as LogHealth, Log, TopicError, topics};
use heat_model::GatewayId;
use heat_mqtt::{LinkEvent, Listener, Subscriber, link};
use heat_runtime::{Clock, Shutdown, admin::Health, metrics::Metrics};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    intake::{Intake, Message},
    metrics::GatewayMetrics,
    outbox::Outbox,
    settings::GatewaySettings,
};

const PART: &str = "gateway";

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The log has no input topic as it should be.
    #[error("the gateway cannot use the log")]
    Topic(#[from] TopicError),
    /// The log takes no records.
    #[error("the gateway cannot append to the log")]
    Append(#[from] AppendError),
    /// The MQTT address cannot be had.
    #[error("the gateway cannot listen for MQTT; free the port or set another [gateway.listen] address")]
    Listen(#[from] heat_mqtt::BindError),
}

/// The gateway ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log is closed for good.
    #[error("the log takes no records any more; nothing was acknowledged that is not durable")]
    Append(#[from] AppendError),
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
    events: mpsc::Receiver<LinkEvent>,
    listener: Option<Listener>,
    subscriber: Option<Subscriber>,
    metrics: GatewayMetrics,
    health: Health,
}

impl Gateway {
    /// Opens the log for appending and binds the MQTT address.
    pub async fn build(
        settings: GatewaySettings,
        log: &Log,
        clock: Clock,
        metrics: &Metrics,
        health: Health,
    ) -> Result<Self, BuildError> {
        let partitions = log.partitions(topics::INPUT).await?;
        let appender = log.appender(&[topics::INPUT, topics::REJECTED], AppenderSettings::default()).await?;
        let (inlet, events, acknowledger) = link::links(settings.queue);
        let listener = match &settings.listen {
            Some(listen) => Some(Listener::bind(listen.clone(), inlet.clone()).await?),
            None => None,
        };
        let subscriber =
            settings.subscribe.clone().map(|subscribe| Subscriber::new(subscribe, inlet.clone()));
        let epoch = epoch_of(clock);
        let outbox = Outbox::new(settings.id.clone(), epoch, partitions, appender, acknowledger);
        health.set(PART, false, "");
        Ok(Self {
            intake: Intake::new(settings.clock, settings.limits, partitions),
            metrics: GatewayMetrics::register(metrics),
            settings,
            clock,
            outbox,
            events,
            listener,
            subscriber,
            health,
        })
    }

    /// The MQTT listener's address, if there is one.
    pub fn mqtt_address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref().map(Listener::local_addr)
    }

    /// This gateway's name.
    pub fn id(&self) -> &GatewayId {
        &self.settings.id
    }

    /// Runs until shutdown, then drains: what was taken becomes durable and is acknowledged, and the last heartbeat
    /// says good-bye.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), RunError> {
        self.health.set(PART, true, "");
        let (listener, subscriber) = (self.listener.take(), self.subscriber.take());
        let links_end = shutdown.child();
        let listening = async {
            if let Some(listener) = listener {
                listener.run(links_end.begun()).await;
            }
        };
        let subscribing = async {
            if let Some(subscriber) = subscriber {
                subscriber.run(links_end.begun()).await;
            }
        };
        let links = async { tokio::join!(listening, subscribing) };
        let work = self.work(shutdown.clone());
        let (mut links, mut work) = (pin!(links), pin!(work));
        tokio::select! {
            ended = &mut work => {
                links_end.begin();
                ended
            }
            _ = &mut links => work.await,
        }
    }

    async fn work(&mut self, shutdown: Shutdown) -> Result<(), RunError> {
        let appender = self.outbox.appender().clone();
        let mut health = appender.health();
        let mut beat = tokio::time::interval(self.settings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                progressed = appender.progressed() => {
                    progressed?;
                    self.outbox.settle();
                }
                () = shutdown.begun() => break,
                _ = beat.tick() => self.beat(false).await?,
                changed = health.changed() => {
                    if changed.is_ok() {
                        self.tell_health(&health.borrow_and_update().clone());
                    }
                }
                event = self.events.recv() => match event {
                    Some(event) => self.take(event).await?,
                    None => break,
                }
            }
        }
        self.drain(&appender).await
    }

    async fn take(&mut self, event: LinkEvent) -> Result<(), RunError> {
        match event {
            LinkEvent::Up(link, source) => {
                self.metrics.links.inc();
                tracing::debug!(%link, client = %source.client_id, "link up");
            }
            LinkEvent::Down(link, reason) => {
                self.metrics.links.dec();
                tracing::debug!(%link, ?reason, "link down");
            }
            LinkEvent::Messages(batch) => {
                let received = self.clock.now();
                for delivery in batch.into_deliveries() {
                    let outcome = self.intake.take(&Message {
                        topic: &delivery.topic,
                        payload: &delivery.payload,
                        retained: delivery.retain,
                        received,
                    });
                    for fault in &outcome.faults {
                        self.metrics.reject(&fault.reason);
                    }
                    self.outbox.send(delivery, received, outcome).await?;
                }
            }
        }
        Ok(())
    }

    async fn beat(&mut self, last: bool) -> Result<(), RunError> {
        self.outbox.settle();
        self.outbox.beat(self.clock.now(), last).await?;
        self.metrics.bring_up_to(self.outbox.totals());
        self.metrics.waiting.set(i64::try_from(self.outbox.waiting()).unwrap_or(i64::MAX));
        let (records, bytes) = self.outbox.appender().queued();
        self.metrics.queued_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.metrics.queued_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    fn tell_health(&self, health: &LogHealth) {
        match health {
            LogHealth::Healthy => {
                self.metrics.stalled.set(0);
                self.health.set(PART, true, "");
                tracing::info!("the log takes records again");
            }
            LogHealth::Stalled { reason, .. } => {
                self.metrics.stalled.set(1);
                self.health.set(PART, false, "{\"log\":\"stalled\"}");
                tracing::warn!(%reason, "the log takes no records: nothing is acknowledged, nothing is lost");
            }
        }
    }

    async fn drain(&mut self, appender: &Appender) -> Result<(), RunError> {
        self.health.set(PART, false, "{\"draining\":true}");
        // What links had handed in is taken; what they have not, their senders will send again.
        while let Ok(event) = self.events.try_recv() {
            self.take(event).await?;
        }
        let drain = self.settings.drain;
        let flushed = appender.flush(drain).await?;
        self.outbox.settle();
        if !flushed || self.outbox.waiting() > 0 {
            return Err(RunError::DrainTimedOut { waiting: self.outbox.waiting(), drain });
        }
        self.beat(true).await?;
        appender.close(drain).await?;
        let total = self.outbox.totals();
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

/// One run of a process: its start in microseconds, so that no state has to survive to number the next one.
fn epoch_of(clock: Clock) -> u64 {
    u64::try_from(clock.now().as_micros()).unwrap_or(0)
}
