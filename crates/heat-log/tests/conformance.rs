//! One suite, two engines. Kafka is a real Apache Kafka; one broker serves all scenarios, each on topics of its own.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "what helps a test fails by panicking, too")]

use std::{future::Future, pin::Pin, time::Duration};

use heat_log::{EmbeddedSettings, KafkaSettings, Log, OpenError, TopicSpec};
use heat_tests::kafka::Kafka;
use tempfile::TempDir;

#[path = "conformance/scenarios.rs"]
mod scenarios;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Where a scenario finds its engine.
enum Engine {
    Embedded(TempDir),
    Kafka(String),
}

/// What a scenario works with.
struct Bench {
    engine: Engine,
    log: Log,
    name: &'static str,
}

impl Bench {
    async fn open(engine: Engine, name: &'static str) -> Self {
        let log = open(&engine).await;
        Self { engine, log, name }
    }

    /// Opens the log again, as another process would after this one has ended.
    async fn reopen(&mut self) {
        assert!(self.log.close(PATIENCE).await, "everything is durable at closing");
        self.log = match &self.engine {
            Engine::Embedded(_) => {
                // The directory is locked until the old log is gone.
                let parking = tempfile::tempdir().unwrap();
                self.log = Log::open_embedded(EmbeddedSettings::new(parking.path())).unwrap();
                open(&self.engine).await
            }
            Engine::Kafka(_) => open(&self.engine).await,
        };
    }

    /// A fresh topic.
    async fn topic(&self, partitions: u32) -> String {
        self.make(TopicSpec::new(&format!("test.{}", self.name.replace('_', "-")), partitions)).await
    }

    async fn make(&self, spec: TopicSpec) -> String {
        if let Log::Kafka(kafka) = &self.log {
            let plan = kafka.plan_topics(std::slice::from_ref(&spec), 3).await.unwrap();
            kafka.apply_topics(&plan).await.unwrap();
        }
        within(async {
            // Kafka may need a moment until all of a new topic is known.
            while let Err(error) = self.log.ensure_topics(std::slice::from_ref(&spec)).await {
                assert!(matches!(self.log, Log::Kafka(_)), "{error}");
                tokio::task::yield_now().await;
            }
        })
        .await;
        spec.name
    }

    fn is_embedded(&self) -> bool {
        matches!(self.engine, Engine::Embedded(_))
    }
}

async fn open(engine: &Engine) -> Log {
    match engine {
        Engine::Embedded(dir) => within(open_free(dir)).await,
        Engine::Kafka(brokers) => {
            let mut settings = KafkaSettings::new(brokers);
            settings.connect_timeout = PATIENCE;
            Log::connect_kafka(settings).await.unwrap()
        }
    }
}

/// Opens the directory once nobody has its lock: a child of this process holds it too until it has begun its program.
async fn open_free(dir: &TempDir) -> Log {
    loop {
        let mut settings = EmbeddedSettings::new(dir.path());
        settings.segment_max_bytes = 64 << 10;
        match Log::open_embedded(settings) {
            Err(OpenError::InUse { .. }) => tokio::time::sleep(PAUSE).await,
            opened => return opened.unwrap(),
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

type Scenario = fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>;

fn run(name: &'static str, scenario: Scenario, engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        eprintln!("scenario {name}");
        scenario(Bench::open(engine, name).await).await;
    });
}

#[test]
fn the_embedded_engine_conforms() {
    for &(name, scenario) in scenarios::ALL {
        run(name, scenario, Engine::Embedded(tempfile::tempdir().unwrap()));
    }
}

#[test]
fn the_kafka_engine_conforms() {
    let Some(kafka) = Kafka::start() else { return };
    for &(name, scenario) in scenarios::ALL {
        run(name, scenario, Engine::Kafka(kafka.brokers()));
    }
}
