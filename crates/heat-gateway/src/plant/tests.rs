use std::{fs, path::Path};

use heat_codec::plant::{SiRange, UnknownSignals};
use heat_log::{EmbeddedSettings, Retention, topics::product_topics};

use super::*;

/// Seconds in an idle house; more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const GOOD: &str = "id,unit,range_max\ntown/st1/meter/supply_pressure,MPa,1.6\n";
const CHANGED: &str = "id,unit,range_max\ntown/st1/meter/supply_pressure,bar,10\n";
const FAULTY: &str = "id,unit,range_max\ntown/st1/meter/supply_pressure,furlong,10\ntown/st2,bar,10\n";

/// A watch at work over tables in a folder.
struct House {
    folder: tempfile::TempDir,
    log: Log,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open_embedded(EmbeddedSettings::new(folder.path().join("log"))).unwrap();
        log.ensure_topics(&product_topics(2, Retention::default())).await.unwrap();
        fs::create_dir(folder.path().join("plant")).unwrap();
        let house = Self { folder, log };
        house.write(GOOD);
        house
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("plant")
    }

    fn write(&self, signals: &str) {
        write_whole(&self.path(), signals);
    }

    /// Runs what is to be watched beside the watch.
    async fn watched<T>(&self, metrics: &Metrics, work: impl AsyncFnOnce(&mut PlantFeed) -> T) -> T {
        let files = PlantFiles::new(self.path());
        let model = Arc::new(files.read().outcome.unwrap());
        let policy = UnknownPolicy { default: UnknownSignals::Refuse, ..UnknownPolicy::default() };
        let settings = PlantSettings { files, poll: Duration::from_millis(20), policy };
        let (watch, mut feed) = open(Some((settings, model)), &self.log, Clock, metrics).await.unwrap();
        let shutdown = Shutdown::default();
        let working = async {
            let outcome = tokio::time::timeout(PATIENCE, work(&mut feed)).await;
            shutdown.begin();
            outcome.expect("what is waited for happens")
        };
        tokio::join!(watch.run(shutdown.clone()), working).1
    }

    async fn activated(&self) -> Option<PlantHash> {
        let shelf = Publisher::open(&self.log).await.unwrap().shelf().await.unwrap();
        shelf.active().unwrap().and_then(|active| active.model())
    }
}

/// Written beside and renamed, as a careful export does it.
fn write_whole(folder: &Path, signals: &str) {
    let beside = folder.join(".signals.csv.new");
    fs::write(&beside, signals).unwrap();
    fs::rename(beside, folder.join("signals.csv")).unwrap();
}

fn range(change: &PlantChange) -> SiRange {
    let name = "supply_pressure".parse().unwrap();
    let (network, site, device) = ("town".parse().unwrap(), "st1".parse().unwrap(), "meter".parse().unwrap());
    change.index.signal(&network, &site, &device, &name).unwrap().range
}

fn up_to(max: f64) -> SiRange {
    SiRange { max, ..SiRange::ANY }
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the metric is there");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_at_the_start_is_activated_once_and_a_changed_one_when_it_changes() {
    let (house, metrics) = (House::new().await, Metrics::default());
    let (first, second) = house
        .watched(&metrics, async |feed| {
            let first = feed.next().await;
            assert!(first.activates);
            assert_eq!(range(&first), up_to(1.6e6));
            let hashes = first.hash;
            first.durable();
            until(async || house.activated().await == Some(hashes)).await;
            house.write(CHANGED);
            let second = feed.next().await;
            assert!(second.activates);
            assert_eq!(range(&second), up_to(1e6));
            let pair = (hashes, second.hash);
            second.durable();
            until(async || house.activated().await == Some(pair.1)).await;
            until(async || value(&metrics, RELOADS) == 2).await;
            pair
        })
        .await;
    assert_ne!(first, second);
    assert_eq!(value(&metrics, RELOAD_FAILURES), 0);

    // A restart, or a second gateway with the same tables: the log knows it already.
    house
        .watched(&Metrics::default(), async |feed| {
            let again = feed.next().await;
            assert_eq!((again.hash, again.activates), (second, false));
        })
        .await;
    house.log.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_tables_are_refused_whole_and_the_model_in_use_stays_until_they_are_mended() {
    let (house, metrics) = (House::new().await, Metrics::default());
    house
        .watched(&metrics, async |feed| {
            let first = feed.next().await;
            let used = first.hash;
            first.durable();
            until(async || house.activated().await == Some(used)).await;

            house.write(FAULTY);
            until(async || value(&metrics, RELOAD_FAILURES) == 1).await;
            assert_eq!(house.activated().await, Some(used));

            house.write(CHANGED);
            let mended = feed.next().await;
            assert_ne!(mended.hash, used);
            assert_eq!(value(&metrics, RELOAD_FAILURES), 1, "the same faults are told once");
        })
        .await;
    house.log.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_did_not_become_durable_comes_again() {
    let house = House::new().await;
    house
        .watched(&Metrics::default(), async |feed| {
            drop(feed.next().await);
            let again = feed.next().await;
            assert!(again.activates);
            assert_eq!(house.activated().await, None);
        })
        .await;
    assert_eq!(house.activated().await, None);
    house
        .watched(&Metrics::default(), async |feed| {
            assert!(feed.next().await.activates, "nor did it before the restart");
        })
        .await;
    house.log.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tables_nothing_is_told_and_the_watch_ends_with_the_gateway() {
    let house = House::new().await;
    let (watch, mut feed) = open(None, &house.log, Clock, &Metrics::default()).await.unwrap();
    let shutdown = Shutdown::default();
    tokio::select! {
        biased;
        _ = feed.next() => panic!("there is nothing to tell"),
        () = watch.run(shutdown.clone()) => panic!("it runs until shutdown"),
        () = tokio::task::yield_now() => {}
    }
    shutdown.begin();
    assert_eq!(house.activated().await, None);
    house.log.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_beyond_those_kept_leave_the_log() {
    let house = House::new().await;
    let publisher = Publisher::open(&house.log).await.unwrap();
    let kept = heat_codec::plant::published::MODELS_KEPT;
    let mut hashes = Vec::new();
    for number in 0..kept + 2 {
        let text = format!("id,range_max\ntown/st1/meter/supply_pressure,{}\n", number + 1);
        let model = heat_codec::plant::read(&[("signals.csv", text)]).unwrap();
        publisher.publish(&model).await.unwrap();
        let hash = heat_codec::plant::hash(&model);
        publisher.activated(hash).await.unwrap();
        hashes.push(hash);
    }
    let shelf = publisher.shelf().await.unwrap();
    let there: Vec<_> = hashes.iter().map(|hash| shelf.model(*hash).unwrap().is_some()).collect();
    assert_eq!(there, [vec![false; 2], vec![true; kept]].concat());
    house.log.close(PATIENCE).await;
}
