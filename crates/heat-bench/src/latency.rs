//! How soon: from a burst to its incident and its page, and from a reading to its Parquet file; in real time.
//!
//! Gateway (listening), processor, archiver and exporter run in one process on the embedded log, as `up` wires them, with
//! their defaults. The parent is the city: many small networks, simulated second by second at the wall clock's pace, whose
//! devices publish over MQTT with QoS 1 at their own intervals (10 s; pressures that move, at once); in each network one
//! pipe bursts. Parent and child read the same clock.
//!
//! Measured, per burst, with the incident's opening as another reader of the log gets it:
//! - from the onset in the simulator, which includes the water's and the meters' own time;
//! - from the publication of the second device's reading that shows the burst: what a device shows is found without the
//!   detector, by a twin city in which nothing bursts ([`shows`]);
//! - from the publication of the last reading among the incident's own evidence: the pipeline alone.
//!
//! And the same until the incident's alert is at Alertmanager's door, where a listener of the bench's own stands.
//!
//! The detector may open an incident on less than the twin's thresholds: such incidents are counted, and no negative
//! delay is taken into the percentiles.
//!
//! And of every hundredth message: from its publication until a manifest that covers it is published.

pub(crate) mod shows;
pub(crate) mod watched;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use heat_model::{EventTime, NetworkId, label::Label, time::MICROS_PER_SECOND};
use heat_mqtt::{Publisher, PublisherSettings};
use heat_runtime::{Clock, Shutdown, Tasks};
use heat_sim::{City, Scan, campaign::BurstCampaign};

use crate::{
    child::{Child, Task},
    engine::Engine,
    error::BenchError,
    figures::{Bench, Delays},
    fill::{city_plan, payload, topic},
    latency::{shows::Twin, watched::Seen},
    percentiles, plant,
};

/// Stations of a network: a small one, so that many fit.
const STATIONS: u32 = 5;
/// Live data before the first burst: a city that has just begun moves its pressures by some kPa until its controllers have
/// settled. The burst rule asks a gauge that has moved so for a larger fall, until it has forgotten that (200 scans).
const QUIET: Duration = Duration::from_secs(300);
/// From one onset to the next.
const EVERY: Duration = Duration::from_millis(500);
/// What the campaign adds to a burst's time at most, and the time until it is shown and found.
const AFTERWARDS: Duration = Duration::from_secs(50 + 60);
/// After the last message: a rotation of the archive, and its publication.
const FILES: Duration = Duration::from_secs(75);

/// When the message of a device (by its topic) or site, and event time, was published, microseconds of the wall clock.
type Published = HashMap<(String, i64), i64>;

/// Runs the city and measures.
pub(crate) fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let bursts = bench.options.bursts;
    let lasting = QUIET + EVERY * bursts + AFTERWARDS;
    bench.progress(&format!("latency: {bursts} bursts in real time, {} s", (lasting + FILES).as_secs()));
    let plan = city_plan(bursts, STATIONS, 0.0);
    let mut city =
        City::new(plan, bench.options.seed, second_now()).map_err(BenchError::act("build the city"))?;
    let plant_folder = bench.folder("latency-plant")?;
    plant::write(city.plant(), &plant_folder)?;
    let mut child = Child::start(&Task::Watched {
        engine: Engine::Embedded(bench.folder("latency-log")?),
        plant: plant_folder,
        archive: bench.folder("latency-archive")?,
    })?;
    let port: u16 = child.hear()?;

    // What passed while it was built is lived through in silence.
    city.advance(second_now(), Scan::Live, &mut |_| {});
    let zero = city.now();
    let twin = Twin::new(&city);
    let campaign = BurstCampaign {
        bursts: bursts as usize,
        quiet: QUIET,
        every: EVERY,
        lasts: Duration::from_secs(150),
        ..BurstCampaign::default()
    };
    let script = campaign.script(city.plant(), bench.options.seed);
    city.schedule(&script, zero).map_err(BenchError::act("script the bursts"))?;
    let mut live = Live { city, twin, published: Published::new(), messages: 0, readings: 0 };
    let before = child.usage()?;
    bench.block_on(live.run(port, zero.plus(lasting)))?;
    let after = child.usage()?;

    let seen = collect(&child)?;
    child.tell(&())?;
    child.end()?;
    for folder in ["latency-log", "latency-archive", "latency-plant"] {
        bench.remove(folder)?;
    }
    let cpu = after.cpu_seconds - before.cpu_seconds;
    let delays = Outcome::of(&live, &seen).delays(&live, cpu / lasting.as_secs_f64(), after.peak_bytes);
    bench.delays.extend(delays);
    Ok(())
}

/// Everything that the watching child says, until no more files can come.
fn collect(child: &Child) -> Result<Vec<Seen>, BenchError> {
    let begun = Clock.instant();
    let mut seen = Vec::new();
    while let Some(left) = FILES.checked_sub(begun.elapsed()) {
        seen.extend(child.hear_within::<Seen>(left)?);
    }
    Ok(seen)
}

fn second_now() -> EventTime {
    EventTime::from_micros(Clock.now().second() * MICROS_PER_SECOND)
}

/// The city as it publishes.
struct Live {
    city: City,
    twin: Twin,
    published: Published,
    messages: u64,
    readings: u64,
}

impl Live {
    async fn run(&mut self, port: u16, until: EventTime) -> Result<(), BenchError> {
        let (publisher, driver) = Publisher::new(PublisherSettings::new("127.0.0.1", port, "bench-city"));
        let mut tasks = Tasks::new(Shutdown::default());
        let end = tasks.shutdown().clone();
        tasks.spawn("publisher", {
            let end = end.clone();
            async move {
                driver.run(end.begun()).await;
                Ok::<(), std::io::Error>(())
            }
        });
        while self.city.now() < until {
            let now = second_now().min(until);
            if now > self.city.now() {
                self.speak(now, &publisher).await?;
            }
            let into_second = Clock.now().as_micros().rem_euclid(MICROS_PER_SECOND);
            let wait = Duration::from_micros(u64::try_from(MICROS_PER_SECOND - into_second).unwrap_or(1));
            tokio::time::sleep(wait).await;
        }
        publisher.acknowledged().await.map_err(BenchError::act("publish the city's messages"))?;
        end.begin();
        tasks.join(Duration::from_secs(5)).await.map_err(BenchError::act("publish the city's messages"))
    }

    async fn speak(&mut self, to: EventTime, publisher: &Publisher) -> Result<(), BenchError> {
        let mut outgoing: Vec<(String, i64, Bytes)> = Vec::new();
        let Self { city, twin, .. } = self;
        twin.advance(to);
        city.advance(to, Scan::Live, &mut |message| {
            twin.compare(message);
            self.readings += message.raw.len() as u64;
            outgoing.push((topic(message), message.time.as_micros(), payload(message, message.time).into()));
        });
        for (topic, time, payload) in outgoing {
            let now = Clock.now().as_micros();
            publisher
                .publish(&topic, payload)
                .await
                .map_err(BenchError::act("publish the city's messages"))?;
            self.messages += 1;
            // A site's several devices of one time are published together: the last one counts.
            let site = topic.rsplit_once('/').map_or(topic.as_str(), |(site, _)| site).to_owned();
            self.published.insert((site, time), now);
            self.published.insert((topic, time), now);
        }
        Ok(())
    }

    fn published(&self, device: &str, time: i64) -> Option<i64> {
        self.published.get(&(format!("{}{device}", heat_codec::topic::PREFIX), time)).copied()
    }
}

/// Delays in microseconds, and what there was none of.
#[derive(Debug, Default)]
struct Outcome {
    onset: Vec<u64>,
    second_device: Vec<u64>,
    evidence: Vec<u64>,
    page_onset: Vec<u64>,
    page_second_device: Vec<u64>,
    page_evidence: Vec<u64>,
    file: Vec<u64>,
    /// Incidents that were opened before a second device passed the twin's thresholds; no delay is taken of them.
    earlier: u64,
    /// Bursts of which an incident was opened.
    found: u64,
    /// Incidents of networks where nothing burst.
    unfounded: u64,
    bursts: u64,
}

impl Outcome {
    fn of(live: &Live, seen: &[Seen]) -> Self {
        let labels: BTreeMap<NetworkId, Label> =
            live.city.labels().into_iter().map(|label| (label.network.clone(), label)).collect();
        let mut outcome = Self { bursts: labels.len() as u64, ..Self::default() };
        let mut opened: BTreeMap<&NetworkId, ()> = BTreeMap::new();
        let mut paged: BTreeMap<&NetworkId, i64> = BTreeMap::new();
        for line in seen {
            if let Seen::Paged { network, wall_us } = line {
                paged.entry(network).or_insert(*wall_us);
            }
        }
        for line in seen {
            match line {
                Seen::Opened { network, wall_us, evidence } => {
                    let label = labels.get(network).filter(|label| label.start.as_micros() <= *wall_us);
                    match label {
                        None => outcome.unfounded += 1,
                        Some(label) if opened.insert(network, ()).is_none() => {
                            let paged_us = paged.get(network).copied();
                            outcome.burst(live, label, (*wall_us, paged_us), evidence);
                        }
                        Some(_) => {}
                    }
                }
                Seen::Paged { .. } => {}
                Seen::File { device, event_us, wall_us } => {
                    let published = live.published(device, *event_us);
                    outcome.file.extend(published.and_then(|at| delay(at, *wall_us)));
                }
            }
        }
        outcome
    }

    fn burst(
        &mut self,
        live: &Live,
        label: &Label,
        (wall_us, paged_us): (i64, Option<i64>),
        evidence: &[(String, i64)],
    ) {
        self.found += 1;
        let page = |from_us: i64| delay(from_us, paged_us?);
        self.onset.extend(delay(label.start.as_micros(), wall_us));
        self.page_onset.extend(page(label.start.as_micros()));
        let second = live.twin.second_device(&label.network);
        let shown = second.and_then(|(device, time)| live.published(&device, time));
        match shown.and_then(|at| delay(at, wall_us)) {
            Some(delay) => {
                self.second_device.push(delay);
                self.page_second_device.extend(shown.and_then(page));
            }
            None => self.earlier += 1,
        }
        let last = evidence.iter().filter_map(|(device, time)| live.published(device, *time)).max();
        self.evidence.extend(last.and_then(|at| delay(at, wall_us)));
        self.page_evidence.extend(last.and_then(page));
    }

    fn delays(self, live: &Live, cores: f64, peak_bytes: u64) -> [Delays; 3] {
        let load = vec![
            ("messages", live.messages as f64),
            ("readings", live.readings as f64),
            ("cores used by the roles", cores),
            ("their peak MiB", peak_bytes as f64 / 1024.0 / 1024.0),
        ];
        let latencies = |named: Vec<(&'static str, Vec<u64>)>| {
            named
                .into_iter()
                .filter_map(|(name, values)| Some((name, percentiles::of_micros(values)?)))
                .collect()
        };
        let incident = Delays {
            name: "latency.incident".to_owned(),
            what: "live, in real time; until another reader of the log has the opened incident, durable"
                .to_owned(),
            latencies: latencies(vec![
                ("from the onset", self.onset),
                ("from the second device's reading", self.second_device),
                ("from the last reading of the evidence", self.evidence),
            ]),
            details: [
                vec![
                    ("bursts", self.bursts as f64),
                    ("found", self.found as f64),
                    ("opened before a second device passed the thresholds", self.earlier as f64),
                    ("incidents without a burst", self.unfounded as f64),
                ],
                load,
            ]
            .concat(),
        };
        let paged = self.page_onset.len() as f64;
        let page = Delays {
            name: "latency.page".to_owned(),
            what: "until the incident's alert is at Alertmanager's door".to_owned(),
            latencies: latencies(vec![
                ("from the onset", self.page_onset),
                ("from the second device's reading", self.page_second_device),
                ("from the last reading of the evidence", self.page_evidence),
            ]),
            details: vec![("paged", paged)],
        };
        let file = Delays {
            name: "latency.file".to_owned(),
            what: "every hundredth message, from its publication until the manifest of its Parquet file is published; \
                   the archive rotates each minute"
                .to_owned(),
            latencies: latencies(vec![("to its Parquet file", self.file)]),
            details: Vec::new(),
        };
        [incident, page, file]
    }
}

/// From one time to another; `None` where it did not follow.
fn delay(from_us: i64, to_us: i64) -> Option<u64> {
    u64::try_from(to_us - from_us).ok()
}
