//! The tasks: one for each Alertmanager, so that one that hangs delays no other.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use heat_model::incident::Incident;
use heat_runtime::{Clock, Shutdown, Tasks, metrics::Metrics, tasks::Chain};
use tokio::sync::watch;

use super::{
    book::{Book, BookCounts, Post},
    client::{CallError, Client, FileError},
    metrics::{PagerMetrics, TargetMetrics},
    settings::AlertmanagerSettings,
    silences::{self, Act},
};
use crate::plant::lock;

/// How often what is due is looked for; changes are told at once.
const LOOK: Duration = Duration::from_secs(1);
/// Alerts in one message.
const MESSAGE_ALERTS: usize = 64;
/// Pauses after failures: doubled from the first to the last, so that a page waits at most that long for an Alertmanager
/// that is back.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// The book and who tells from it. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Pager {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<()>,
    clients: Arc<[Client]>,
    targets: Arc<[TargetMetrics]>,
    metrics: PagerMetrics,
    clock: Clock,
    resend: Duration,
    hold: Duration,
}

impl Pager {
    pub(crate) async fn open(
        settings: AlertmanagerSettings,
        registry: &Metrics,
        clock: Clock,
    ) -> Result<Self, FileError> {
        let mut clients = Vec::new();
        for url in &settings.urls {
            clients.push(Client::open(&settings, url).await?);
        }
        let metrics = PagerMetrics::register(registry);
        let targets = settings.urls.iter().map(|url| metrics.of(url)).collect();
        let (resend, hold) = (settings.book.resend, settings.book.hold);
        Ok(Self {
            book: Arc::new(Mutex::new(Book::new(settings.book))),
            changed: watch::Sender::new(()),
            clients: clients.into(),
            targets,
            metrics,
            clock,
            resend,
            hold,
        })
    }

    /// Takes an incident's state; states of one incident come in order.
    pub(crate) fn observe(&self, incident: &Incident) {
        lock(&self.book).observe(incident, self.clock.now());
        self.changed.send_replace(());
    }

    /// What was there at the start has been read.
    pub(crate) fn caught_up(&self) {
        lock(&self.book).caught_up(self.clock.now());
        self.changed.send_replace(());
    }

    pub(crate) fn spawn(&self, tasks: &mut Tasks) {
        for target in 0..self.clients.len() {
            let shutdown = tasks.shutdown().clone();
            tasks.spawn("exporter: Alertmanager", Telling::new(self.clone(), target).run(shutdown));
        }
        tasks.spawn("exporter: pages", self.clone().keep(tasks.shutdown().clone()));
    }

    /// Forgets what is told everywhere, and shows the figures.
    async fn keep(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut interval = tokio::time::interval(LOOK);
        let mut said = BookCounts::default();
        loop {
            tokio::select! {
                () = shutdown.begun() => return Ok(()),
                _ = interval.tick() => {}
            }
            let now = self.clock.now();
            let mut book = lock(&self.book);
            book.forget(now);
            let counts = book.counts();
            let dropped = |counts: BookCounts| counts.ends_dropped + counts.refused;
            self.metrics.dropped.inc_by(dropped(counts) - dropped(said));
            said = counts;
            self.metrics.alerts.set(i64::try_from(book.len()).unwrap_or(i64::MAX));
            for (target, metrics) in self.targets.iter().enumerate() {
                let waiting = book.waiting(target, now);
                metrics.waiting.set(i64::try_from(waiting.alerts).unwrap_or(i64::MAX));
                metrics.waiting_seconds.set(i64::try_from(waiting.oldest.as_secs()).unwrap_or(i64::MAX));
            }
        }
    }
}

/// One Alertmanager's task.
struct Telling {
    pager: Pager,
    target: usize,
    failures: usize,
    /// The quiet incidents that its silences stand for, and when that was looked at.
    silenced: Option<(u64, heat_model::IngestTime)>,
}

impl Telling {
    fn new(pager: Pager, target: usize) -> Self {
        Self { pager, target, failures: 0, silenced: None }
    }

    async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut changed = self.pager.changed.subscribe();
        loop {
            let pause = match self.tell().await {
                Ok(()) => {
                    self.failures = 0;
                    LOOK
                }
                Err(error) => self.failed(&error),
            };
            // After a failure, what is new waits as well: the Alertmanager is away.
            let is_well = self.failures == 0;
            tokio::select! {
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
                // The pager holds the sender, so it never ends.
                _ = changed.changed(), if is_well => {}
            }
        }
    }

    fn failed(&mut self, error: &CallError) -> Duration {
        let metrics = &self.pager.targets[self.target];
        metrics.failed.inc();
        if self.failures == 0 {
            let alertmanager = &metrics.address;
            tracing::warn!(error = %Chain(error), %alertmanager, "pages wait until Alertmanager answers");
        }
        let pause = PAUSES[self.failures.min(PAUSES.len() - 1)];
        self.failures += 1;
        // It may come back without its silences.
        self.silenced = None;
        pause
    }

    /// Silences come before the alerts that they cover, and go after the ends of theirs, so that nothing that somebody
    /// takes care of pages between.
    async fn tell(&mut self) -> Result<(), CallError> {
        let posts = lock(&self.pager.book).plan(self.target, self.pager.clock.now());
        let acts = self.silences_to_change(&posts).await?;
        let (made, ended): (Vec<Act>, Vec<Act>) =
            acts.into_iter().partition(|act| matches!(act, Act::Set { .. }));
        self.act(made).await?;
        for message in posts.chunks(MESSAGE_ALERTS) {
            self.post(message.to_vec()).await?;
        }
        self.act(ended).await
    }

    async fn post(&self, message: Vec<Post>) -> Result<(), CallError> {
        let metrics = &self.pager.targets[self.target];
        let (message, outcome) = self
            .call(move |client| {
                let outcome = client.post_alerts(&message);
                (message, outcome)
            })
            .await;
        match outcome {
            Ok(()) => metrics.accepted.inc(),
            // It will not take this message now or later; it is told again with the next change or after `resend`.
            Err(CallError::Refused { status, reason }) => {
                metrics.refused.inc();
                tracing::error!(alertmanager = %metrics.address, status, reason, "Alertmanager refused alerts");
            }
            Err(error) => return Err(error),
        }
        let now = self.pager.clock.now();
        metrics.last_success.set(now.second());
        for delay in lock(&self.pager.book).settle(self.target, &message, now) {
            self.pager.metrics.delay.observe(delay.as_secs_f64());
        }
        Ok(())
    }

    /// Looks at the silences when the quiet incidents changed, before anything is told of one of them, and every `resend`.
    async fn silences_to_change(&mut self, posts: &[Post]) -> Result<Vec<Act>, CallError> {
        let now = self.pager.clock.now();
        let (revision, tells_of_quiet) = {
            let book = lock(&self.pager.book);
            if !book.is_live() {
                return Ok(Vec::new());
            }
            let (revision, quiet) = book.quiet();
            (revision, posts.iter().any(|post| !post.is_end && quiet.contains_key(&post.key.incident)))
        };
        let is_settled = !tells_of_quiet
            && self.silenced.is_some_and(|(seen, at)| seen == revision && now.since(at) < self.pager.resend);
        if is_settled {
            return Ok(Vec::new());
        }
        let found = self.call(|client| client.silences()).await?;
        self.silenced = Some((revision, now));
        let book = lock(&self.pager.book);
        let (_, wanted) = book.quiet();
        Ok(silences::reconcile(&found, wanted, |incident| book.knows(incident), now, self.pager.hold))
    }

    async fn act(&mut self, acts: Vec<Act>) -> Result<(), CallError> {
        let metrics = &self.pager.targets[self.target];
        for act in acts {
            let word = act.as_str();
            let now = self.pager.clock.now();
            let outcome = self.call(move |client| client.act(&act, now)).await;
            match outcome {
                Ok(()) => metrics.silences.with_label_values(&[metrics.address.as_str(), word]).inc(),
                // Its end passed meanwhile, or somebody ended it: the next look tells.
                Err(CallError::Refused { status, reason }) => {
                    metrics.refused.inc();
                    tracing::warn!(alertmanager = %metrics.address, status, reason, "a silence was refused");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Calls on a thread that may block; every call has an end.
    async fn call<T: Send + 'static>(&self, call: impl FnOnce(&Client) -> T + Send + 'static) -> T {
        let client = self.pager.clients[self.target].clone();
        match tokio::task::spawn_blocking(move || call(&client)).await {
            Ok(answer) => answer,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            // Only at the end of the process: nobody waits for an answer then.
            Err(_) => std::future::pending().await,
        }
    }
}
