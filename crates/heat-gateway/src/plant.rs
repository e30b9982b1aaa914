//! The plant model of a running gateway: watched, refused whole or published, then activated.
//!
//! The tables are looked at every few seconds; once they have changed and then stayed as they are for one look, or at
//! once on SIGHUP, all of them are read. With a fault the whole is refused and the model in use stays. Without one the
//! model is put on the log (`heat_codec::plant::published`), and the gateway appends `ModelActivated` to every input
//! partition and uses the model's units and ranges from that record on. When the activation is durable, the pointer to
//! it is written; a gateway that dies on the way does all of it again at its next start, and a second activation of a
//! model changes nothing. The activation is repeated now and then, so that retention never trims the last one away.
//!
//! [`open`] gives two halves: [`PlantWatch::run`] reads and publishes, beside the links; [`PlantFeed::next`] tells the
//! gateway's loop what to do, for that loop alone numbers and appends.

mod files;
mod publish;

use std::{sync::Arc, time::Duration};

use heat_codec::{
    mapped::{self, JsonMapping},
    plant::{PlantFaults, SignalIndex, UnknownPolicy},
};
use heat_log::{AppendError, Log};
use heat_model::plant::{PlantHash, PlantModel};
use heat_runtime::{Clock, Shutdown, metrics::Metrics, tasks::Chain};
use prometheus::{IntCounter, IntGauge};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

pub use files::{Fingerprint, PlantFiles};
pub use publish::PublishError;

use publish::Publisher;

/// Plant models that took effect in this gateway.
pub const RELOADS: &str = "heat_gateway_plant_reloads_total";
/// Plant tables that were refused whole, or could not be published.
pub const RELOAD_FAILURES: &str = "heat_gateway_plant_reload_failures_total";
/// When the plant model in use took effect in this gateway.
pub const LAST_RELOAD: &str = "heat_gateway_plant_last_reload_timestamp_seconds";
/// Signals of the plant model in use.
pub const SIGNALS: &str = "heat_gateway_plant_signals";

/// How often the tables are looked at where nothing else is set.
pub const POLL: Duration = Duration::from_secs(2);
/// How often an activation is repeated; well below any retention of the input.
const REPEAT: Duration = Duration::from_hours(6);
/// Faults in the log's report; `heatstream check` shows all.
const REPORTED_FAULTS: usize = 50;

/// Where the tables are and what they decide.
#[derive(Debug, Clone)]
pub struct PlantSettings {
    /// The tables.
    pub files: PlantFiles,
    /// How often they are looked at.
    pub poll: Duration,
    /// What happens to signals that they do not have.
    pub policy: UnknownPolicy,
}

/// A model that is to take effect: append `ModelActivated` to every partition if `activates`, and from there on use
/// the index.
#[derive(Debug)]
pub struct PlantChange {
    /// The model.
    pub hash: PlantHash,
    /// Units, ranges and policy from here on.
    pub index: Arc<SignalIndex>,
    /// What its `topic` and `pointer` columns describe.
    pub mappings: Vec<JsonMapping>,
    /// Whether the log is to be told; false where it was told before.
    pub activates: bool,
    done: oneshot::Sender<()>,
}

impl PlantChange {
    /// To be called when the activation is durable in every partition. Dropped without, the activation counts as not
    /// made and comes again.
    pub fn durable(self) {
        if self.done.send(()).is_err() {
            tracing::debug!("the watch has ended; the next start tells that the model was activated");
        }
    }
}

/// What the gateway's loop is told.
#[derive(Debug)]
pub struct PlantFeed {
    changes: mpsc::Receiver<PlantChange>,
}

impl PlantFeed {
    /// The next change; waits for ever where there is none to come. Cancel-safe.
    pub async fn next(&mut self) -> PlantChange {
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }
}

/// The plant model cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SIGHUP cannot be received.
    #[error("cannot listen for SIGHUP")]
    Signal(#[source] std::io::Error),
    /// The log takes no models.
    #[error("cannot append plant models to the log")]
    Append(#[from] AppendError),
}

#[derive(Debug)]
pub(crate) struct PlantMetrics {
    reloads: IntCounter,
    failures: IntCounter,
    last: IntGauge,
    signals: IntGauge,
}

impl PlantMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            reloads: metrics.counter(RELOADS, "Plant models that took effect in this gateway."),
            failures: metrics.counter(
                RELOAD_FAILURES,
                "Plant tables refused whole or not published; the model before stays in use.",
            ),
            last: metrics.gauge(LAST_RELOAD, "When the plant model in use took effect in this gateway."),
            signals: metrics.gauge(SIGNALS, "Signals of the plant model in use."),
        }
    }
}

/// Reads and publishes.
#[derive(Debug)]
pub struct PlantWatch {
    /// None where no plant model is configured.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    settings: PlantSettings,
    publisher: Publisher,
    changes: mpsc::Sender<PlantChange>,
    hangups: Signal,
    clock: Clock,
    metrics: PlantMetrics,
    /// The model that `used` is, or is to become.
    model: Arc<PlantModel>,
    used: Option<PlantHash>,
    /// The files as they were last read.
    read: Option<Fingerprint>,
    /// The files as they were at the last look.
    seen: Option<Fingerprint>,
}

/// Opens the watch. `settings` and the model read at the start; `None` where no plant model is configured: then nothing
/// is ever told. The gateway may use the index and the [`mappings`] of that model from its first message on; the first
/// change activates it.
pub async fn open(
    initial: Option<(PlantSettings, Arc<PlantModel>)>,
    log: &Log,
    clock: Clock,
    metrics: &Metrics,
) -> Result<(PlantWatch, PlantFeed), OpenError> {
    let (sender, changes) = mpsc::channel(1);
    let metrics = PlantMetrics::register(metrics);
    let watched = match initial {
        None => None,
        Some((settings, model)) => Some(Watched {
            settings,
            publisher: Publisher::open(log).await?,
            changes: sender,
            hangups: signal(SignalKind::hangup()).map_err(OpenError::Signal)?,
            clock,
            metrics,
            model,
            used: None,
            read: None,
            seen: None,
        }),
    };
    Ok((PlantWatch { watched }, PlantFeed { changes }))
}

impl PlantWatch {
    /// Watches until shutdown. What fails is logged and counted, and tried again with the next change.
    pub async fn run(self, shutdown: Shutdown) {
        match self.watched {
            Some(mut watched) => {
                tokio::select! {
                    () = shutdown.begun() => {}
                    () = watched.watch() => {}
                }
            }
            None => shutdown.begun().await,
        }
    }
}

impl Watched {
    async fn watch(&mut self) {
        let mut poll = tokio::time::interval(self.settings.poll);
        let mut repeat = tokio::time::interval(REPEAT);
        for interval in [&mut poll, &mut repeat] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        // The model read at the start.
        self.take_effect(false).await;
        repeat.reset();
        loop {
            tokio::select! {
                _ = repeat.tick() => self.take_effect(true).await,
                _ = poll.tick() => {
                    if self.used.is_none() {
                        // What could not be published is tried again.
                        self.take_effect(false).await;
                    }
                    if self.has_settled() {
                        self.reload(false).await;
                    }
                }
                hangup = self.hangups.recv() => {
                    if hangup.is_none() {
                        return;
                    }
                    self.reload(true).await;
                }
            }
            if self.changes.is_closed() {
                return;
            }
        }
    }

    /// Whether the files are others than those last read, and the same as at the last look.
    fn has_settled(&mut self) -> bool {
        // None where they cannot be looked at: a file is being replaced, or if it stays so, reading says what is wrong.
        let now = self.settings.files.fingerprint().ok();
        let settled = now == self.seen && now != self.read;
        self.seen = now;
        settled
    }

    async fn reload(&mut self, asked: bool) {
        let files = self.settings.files.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let before = files.fingerprint().ok();
            let report = files.read();
            // Written to meanwhile: what was read may be half of it.
            let whole = before.is_some() && before == files.fingerprint().ok();
            (before, report, whole)
        });
        let Ok((read, report, whole)) = reading.await else {
            tracing::error!("reading the plant tables panicked; the model in use stays");
            self.metrics.failures.inc();
            return;
        };
        if !whole && read.is_some() {
            self.seen = None;
            return;
        }
        self.read = read;
        match report.outcome {
            Err(faults) => self.refuse(&faults),
            Ok(model) => {
                let hash = heat_codec::plant::hash(&model);
                if self.used == Some(hash) {
                    if asked {
                        tracing::info!(model = %hash, "the plant tables say what they said");
                    }
                    return;
                }
                self.model = Arc::new(model);
                self.used = None;
                self.take_effect(false).await;
            }
        }
    }

    fn refuse(&self, faults: &PlantFaults) {
        let count = faults.faults.len() + faults.more;
        let mut report = String::new();
        for fault in faults.faults.iter().take(REPORTED_FAULTS) {
            report.push_str(&format!("\n  {fault}"));
        }
        if count > REPORTED_FAULTS {
            report.push_str("\n  ... `heatstream check` shows all");
        }
        tracing::error!(
            faults = count,
            files = %self.settings.files.path().display(),
            "the plant tables are refused whole, the model in use stays:{report}"
        );
        self.metrics.failures.inc();
    }

    /// Publishes the model, has the gateway activate and use it, and says so on the log.
    async fn take_effect(&mut self, repeats: bool) {
        if let Err(error) = self.try_take_effect(repeats).await {
            self.metrics.failures.inc();
            tracing::error!(error = %Chain(&error), "the plant model did not take effect; it is tried again");
        }
    }

    async fn try_take_effect(&mut self, repeats: bool) -> Result<(), PublishError> {
        let hash = heat_codec::plant::hash(&self.model);
        let active = self.publisher.publish(&self.model).await?;
        // Repeating is for the model that all agree on; a gateway with other tables must not take turns with its peers.
        if repeats && self.used.is_some() && active != Some(hash) {
            return Ok(());
        }
        let activates = active != Some(hash) || (repeats && self.used.is_some());
        let index = Arc::new(SignalIndex::new(&self.model, self.settings.policy.clone()));
        let signals = i64::try_from(index.len()).unwrap_or(i64::MAX);
        let (done, durable) = oneshot::channel();
        let mappings = mappings(&self.model);
        if self.changes.send(PlantChange { hash, index, mappings, activates, done }).await.is_err()
            || durable.await.is_err()
        {
            // The gateway ends, or could not append; it comes again.
            return Ok(());
        }
        if activates {
            self.publisher.activated(hash).await?;
            tracing::info!(model = %hash, signals, "plant model activated");
        }
        if self.used != Some(hash) {
            self.used = Some(hash);
            self.metrics.reloads.inc();
            self.metrics.last.set(self.clock.now().second());
            self.metrics.signals.set(signals);
        }
        Ok(())
    }
}

/// What the `topic` and `pointer` columns of a checked model describe.
pub fn mappings(model: &PlantModel) -> Vec<JsonMapping> {
    mapped::from_plant(model).expect("reading the tables refuses what cannot be mapped")
}

#[cfg(test)]
mod tests;
