//! The role: build opens and binds, run serves.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use heat_archive::Archive;
use heat_log::{
    AppendError, AppenderSettings, ConsumerSettings, Log, ReadError, TopicError,
    follow::{Follow, ReadBack},
    topics,
};
use heat_model::plant::PlantModel;
use heat_runtime::{
    Clock, Shutdown, Tasks,
    admin::{CatchUp, Health},
    metrics::Metrics,
    tasks::TaskError,
};
use heat_view::{Desk, IncidentBoard, LiveTable, Privacy, RecentReadings};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};

use crate::{
    auth::{
        TokensFault, Users,
        limit::{Limiter, Rate},
        session::Sessions,
    },
    city::topic::{CityTopic, OpenError as CityTopicError},
    commands::{Commander, Outcomes},
    events::EventHub,
    follow,
    letters::{LetterIndex, requeue::Requeuer},
    metrics::RoleMetrics,
    routes,
    serve::{self, Door},
    settings::Settings,
    state::{ApiState, PlantIndex, Shared, lock},
    tls::{ServerTls, TlsFault},
};

/// Time to end after shutdown has begun.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Clients of the city's feed: each gets the state of all stations, again and again.
const CITY_CLIENTS_MAX: usize = 100;
/// Wrong tokens that one place on the net may send.
const WRONG_TOKENS: Rate = Rate { per_second: 0.2, burst: 10.0 };

/// What an audit answers: JSON, or why there is none.
pub type AuditFuture = Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send>>;
/// Makes the audit; given by the binary, which knows log and archive.
pub type AuditSource = Arc<dyn Fn() -> AuditFuture + Send + Sync>;

/// What the role is given.
#[derive(Clone)]
pub struct Deps {
    /// The log.
    pub log: Log,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The process's health.
    pub health: Health,
    /// The clock.
    pub clock: Clock,
    /// The plant model (names, sites, homes) that holds until the log names one.
    pub plant: Arc<PlantModel>,
    /// The archive, for history; without it history answers 503.
    pub archive: Option<Archive>,
    /// The audit; without it `audit` answers 503.
    pub audit: Option<AuditSource>,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("archive", &self.archive).finish_non_exhaustive()
    }
}

/// The role could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The tokens file cannot be read.
    #[error("cannot read api.tokens_file {path}")]
    ReadTokens {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tokens file has faults.
    #[error("api.tokens_file {path}: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Tokens {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<TokensFault>,
    },
    /// Others could reach it, or users are wanted, but nobody is known.
    #[error(
        "the API on {address} is to know its users, but api.tokens_file names none; add a line `name role sha256`, or \
         remove the key and listen on 127.0.0.1"
    )]
    NoUsers {
        /// The address.
        address: SocketAddr,
    },
    /// TLS cannot be served.
    #[error("the API cannot serve TLS; mend api.tls")]
    Tls(#[source] TlsFault),
    /// The address is taken or not ours.
    #[error("cannot listen on {address} for the API; free it or set another api.address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A topic is missing or cannot be asked about.
    #[error("the API cannot use topic {topic}")]
    Topic {
        /// Which.
        topic: &'static str,
        /// Why.
        source: TopicError,
    },
    /// A topic cannot be read.
    #[error("the API cannot read topic {topic}")]
    Read {
        /// Which.
        topic: &'static str,
        /// Why.
        source: ReadError,
    },
    /// The city's topic cannot be written.
    #[error(
        "the API cannot write the city's topic; create it with `heatstream topics apply`, or remove api.city_topic"
    )]
    City(#[source] CityTopicError),
    /// Commands cannot be appended.
    #[error("the API cannot append commands")]
    Append(#[source] AppendError),
}

/// The role ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task failed.
    #[error("the API ended")]
    Task(#[from] TaskError),
    /// Commands on their way could not be made durable.
    #[error("the API could not flush its commands")]
    Flush(#[source] AppendError),
}

/// Bound, not yet serving.
#[derive(Debug)]
pub struct Api {
    listener: TcpListener,
    tls: Option<ServerTls>,
    state: ApiState,
    follows: [(Follow, &'static str); 6],
    city_topic: Option<CityTopic>,
}

impl Api {
    /// Opens the topics and binds the address; spawns nothing.
    pub async fn build(settings: Settings, deps: Deps) -> Result<Self, BuildError> {
        let users = users(&settings).await?;
        let tls = match &settings.tls {
            Some(files) => Some(ServerTls::open(files.clone()).await.map_err(BuildError::Tls)?),
            None => None,
        };
        if tls.is_none() && !settings.address.ip().is_loopback() {
            tracing::warn!(address = %settings.address, "tokens travel in the clear: set api.tls, or put a TLS proxy before it");
        }
        let topic = topics::INPUT;
        let partitions =
            deps.log.partitions(topic).await.map_err(|source| BuildError::Topic { topic, source })?;
        let appender =
            deps.log.appender(&[topic], AppenderSettings::default()).await.map_err(BuildError::Append)?;
        let requeuer = requeuer(&deps.log, settings.durable_max_wait).await?;
        let follows = [
            open(&deps.log, topics::INPUT, ReadBack::Last(settings.read_back_records)).await?,
            open(&deps.log, topics::INCIDENTS, ReadBack::All).await?,
            open(&deps.log, topics::INCIDENT_EVENTS, ReadBack::Last(settings.events_kept as u64)).await?,
            open(&deps.log, topics::REJECTED, ReadBack::Last(settings.letters_kept as u64)).await?,
            open(&deps.log, topics::REQUEUE, ReadBack::Last(settings.letters_kept as u64)).await?,
            open(&deps.log, topics::PLANT, ReadBack::All).await?,
        ];
        let city_topic = match settings.city_topic {
            true => Some(CityTopic::open(&deps.log).await.map_err(BuildError::City)?),
            false => None,
        };
        let address = settings.address;
        let listener =
            TcpListener::bind(address).await.map_err(|source| BuildError::Bind { address, source })?;
        let metrics = RoleMetrics::register(&deps.metrics);
        let privacy = Privacy::new(&deps.plant);
        // The start time numbers this run; it differs from any other run's of the same instance.
        let epoch = u64::try_from(deps.clock.now().as_micros()).unwrap_or(0);
        let hub = |clients_max| {
            let gauge = metrics.event_clients.clone();
            Mutex::new(EventHub::new(settings.events_kept, clients_max, settings.event_buffer, gauge))
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate is far below 2^53")]
        let per_second = settings.requests_per_second as f64;
        let recent_max = settings.recent_readings_max / partitions.max(1) as usize;
        let state = Arc::new(Shared {
            users,
            sessions: Sessions::new(settings.session),
            requests: Limiter::new(Rate { per_second, burst: 2.0 * per_second }),
            wrong_tokens: Limiter::new(WRONG_TOKENS),
            plant: Mutex::new(Arc::new(PlantIndex::new(&deps.plant))),
            tables: (0..partitions)
                .map(|_| Mutex::new(LiveTable::new(settings.live, privacy.clone())))
                .collect(),
            board: Mutex::new(IncidentBoard::new(settings.board)),
            desk: Mutex::new(Desk::new(settings.desk)),
            recent: (0..partitions).map(|_| Mutex::new(RecentReadings::new(recent_max))).collect(),
            hub: hub(settings.event_clients_max),
            city: hub(settings.event_clients_max.min(CITY_CLIENTS_MAX)),
            city_changed: Notify::new(),
            outcomes: Outcomes::new(settings.outcome_max_wait),
            commander: Commander::new(&settings, epoch, appender, partitions),
            letters: Mutex::new(LetterIndex::new(settings.letters_kept)),
            requeuer,
            log: deps.log,
            archive: deps.archive,
            history: Arc::new(Semaphore::new(settings.history_concurrent_max)),
            audit: deps.audit,
            metrics,
            clock: deps.clock,
            catch_up: CatchUp::new(
                deps.health,
                "api",
                [
                    topics::INPUT,
                    topics::INCIDENTS,
                    topics::INCIDENT_EVENTS,
                    topics::REJECTED,
                    topics::REQUEUE,
                    topics::PLANT,
                ],
            ),
            settings,
        });
        Ok(Self { listener, tls, state, follows, city_topic })
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown; then ends the streams, answers what is under way, and flushes.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let mut tasks = Tasks::new(shutdown.child());
        let stop = tasks.shutdown().clone();
        let state = self.state;
        for (follow, topic) in self.follows {
            tasks.spawn("api: reading", follow::follow(follow, topic, Arc::clone(&state), stop.clone()));
        }
        if let Some(topic) = self.city_topic {
            tasks.spawn("api: writing the city's topic", topic.run(Arc::clone(&state), stop.clone()));
        }
        let door = Door {
            listener: self.listener,
            tls: self.tls,
            connections_max: state.settings.connections_max,
            metrics: state.metrics.clone(),
        };
        let router = routes::router(Arc::clone(&state));
        tasks.spawn("api: serving", serve::serve(door, router, stop.clone()));
        let streams = Arc::clone(&state);
        tasks.spawn("api: ending streams", async move {
            stop.begun().await;
            lock(&streams.hub).close();
            lock(&streams.city).close();
            Ok::<(), io::Error>(())
        });
        let ended = tasks.join(DRAIN).await;
        state.commander.close(DRAIN).await.map_err(RunError::Flush)?;
        state.requeuer.close(DRAIN).await.map_err(RunError::Flush)?;
        Ok(ended?)
    }
}

async fn requeuer(log: &Log, durable_max_wait: Duration) -> Result<Requeuer, BuildError> {
    let topic = topics::REQUEUE;
    let partitions = log.partitions(topic).await.map_err(|source| BuildError::Topic { topic, source })?;
    let appender = log.appender(&[topic], AppenderSettings::default()).await.map_err(BuildError::Append)?;
    Ok(Requeuer::new(appender, durable_max_wait, partitions))
}

async fn users(settings: &Settings) -> Result<Users, BuildError> {
    let users = match &settings.tokens_file {
        None => Users::default(),
        Some(path) => {
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|source| BuildError::ReadTokens { path: path.clone(), source })?;
            Users::parse(&text).map_err(|faults| BuildError::Tokens { path: path.clone(), faults })?
        }
    };
    // A file without users is a mistake, not a wish to let everybody in.
    if users.is_empty() && (settings.tokens_file.is_some() || !settings.address.ip().is_loopback()) {
        return Err(BuildError::NoUsers { address: settings.address });
    }
    Ok(users)
}

async fn open(log: &Log, topic: &'static str, back: ReadBack) -> Result<(Follow, &'static str), BuildError> {
    Follow::open(log, topic, back, ConsumerSettings::default())
        .await
        .map(|follow| (follow, topic))
        .map_err(|source| BuildError::Read { topic, source })
}
