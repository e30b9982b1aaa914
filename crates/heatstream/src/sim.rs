//! The simulated city over MQTT: `heatstream sim`, and the demo of `up`.

use std::{collections::HashMap, path::Path, time::Duration};

use bytes::Bytes;
use heat_codec::own_json::{self, OutItem, OutValue};
use heat_model::{EventTime, Lane, plant::PlantModel, time::MICROS_PER_SECOND};
use heat_mqtt::{PublishError, Publisher, PublisherDriver, PublisherSettings};
use heat_runtime::{Clock, ExitStatus, Shutdown, Tasks};
use heat_sim::{City, CityPlan, DeviceMessage, Scan, Script, script::RandomScript};

use crate::{
    Failure,
    cli::SimArguments,
    out::{complain, say},
};

/// History moves in steps of a minute: the rest is taken up when the city goes live.
pub(crate) const HISTORY_STEP: Duration = Duration::from_mins(1);

/// Simulated time that goes out before its messages must be acknowledged: bounds what a crash sends again.
const HISTORY_STRIDE: Duration = Duration::from_hours(12);

/// A city and the publisher it speaks through.
pub(crate) struct SpeakingCity {
    pub(crate) city: City,
    publisher: Publisher,
    topics: HashMap<usize, Box<str>>,
    outgoing: Vec<(usize, Vec<u8>)>,
    readings: u64,
    messages: u64,
}

impl SpeakingCity {
    pub(crate) fn new(city: City, publisher: Publisher) -> Self {
        Self { city, publisher, topics: HashMap::new(), outgoing: Vec::new(), readings: 0, messages: 0 }
    }

    /// Readings published.
    pub(crate) fn readings(&self) -> u64 {
        self.readings
    }

    /// Advances the city and publishes what its devices say, as history or as live data.
    pub(crate) async fn speak(&mut self, to: EventTime, scan: Scan, lane: Lane) -> Result<(), PublishError> {
        self.advance(to, scan, lane);
        self.publish().await
    }

    fn advance(&mut self, to: EventTime, scan: Scan, lane: Lane) {
        let Self { city, topics, outgoing, readings, .. } = self;
        city.advance(to, scan, &mut |message| {
            *readings += message.raw.len() as u64;
            topics.entry(message.index).or_insert_with(|| topic(message));
            outgoing.push((message.index, payload(message, lane)));
        });
    }

    async fn publish(&mut self) -> Result<(), PublishError> {
        for (device, payload) in self.outgoing.drain(..) {
            let topic = self.topics.get(&device).expect("entered when the message was made");
            self.publisher.publish(topic, Bytes::from(payload)).await?;
            self.messages += 1;
        }
        Ok(())
    }

    /// Publishes the history up to `to`, and calls `progress` after every stride that is acknowledged.
    pub(crate) async fn load_history(
        &mut self,
        to: EventTime,
        shutdown: &Shutdown,
        mut progress: impl FnMut(EventTime, u64),
    ) -> Result<(), PublishError> {
        while to.since(self.city.now()) >= HISTORY_STEP && !shutdown.has_begun() {
            let next = self.city.now().plus(HISTORY_STRIDE).min(to);
            self.speak(next, Scan::HISTORY, Lane::Backfill).await?;
            self.publisher.acknowledged().await?;
            progress(next, self.readings);
        }
        Ok(())
    }

    /// Runs live at the clock's pace until shutdown or `until`; then waits until all is acknowledged. `each_second` sees
    /// the city before what it says is published, and may change what happens next.
    pub(crate) async fn live(
        &mut self,
        clock: Clock,
        until: Option<EventTime>,
        shutdown: &Shutdown,
        mut each_second: impl FnMut(&mut City),
    ) -> Result<(), PublishError> {
        loop {
            let now = second_of(clock);
            if now > self.city.now() {
                self.advance(now, Scan::Live, Lane::Live);
                each_second(&mut self.city);
                self.publish().await?;
            }
            if until.is_some_and(|until| self.city.now() >= until) {
                break;
            }
            let into_second = clock.now().as_micros().rem_euclid(MICROS_PER_SECOND);
            let wait = Duration::from_micros(u64::try_from(MICROS_PER_SECOND - into_second).unwrap_or(1));
            tokio::select! {
                () = shutdown.begun() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.publisher.acknowledged().await
    }
}

/// The clock's current second, as an event time.
pub(crate) fn second_of(clock: Clock) -> EventTime {
    EventTime::from_micros(clock.now().second() * MICROS_PER_SECOND)
}

fn topic(message: &DeviceMessage<'_>) -> Box<str> {
    format!("{}{}/{}/{}", heat_codec::topic::PREFIX, message.network, message.site, message.device).into()
}

fn payload(message: &DeviceMessage<'_>, lane: Lane) -> Vec<u8> {
    let values: Vec<OutValue<'_>> = message
        .values()
        .map(|(signal, value)| {
            let unit = (!signal.unit.is_empty()).then_some(signal.unit);
            let mut out = OutValue::good(signal.name.as_str(), value.raw, unit);
            out.raw = value.raw.is_finite().then_some(value.raw);
            out.quality = value.quality;
            out
        })
        .collect();
    let item = OutItem {
        time: Some(message.time),
        seq: Some(message.seq),
        boot: Some(message.boot),
        lane: (lane == Lane::Backfill).then_some(lane),
        values: &values,
    };
    let mut out = Vec::with_capacity(64 + values.len() * 48);
    own_json::encode(&mut out, &item);
    out
}

/// A publisher to `mqtt://host:port`.
pub(crate) fn publisher(url: &str, client_id: &str) -> Result<(Publisher, PublisherDriver), Failure> {
    let usage =
        || Failure::new(ExitStatus::Usage, format!("{url:?} is not an MQTT address; write mqtt://host:1883"));
    let rest = url.strip_prefix("mqtt://").ok_or_else(usage)?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| usage())?),
        None => (rest, 1883),
    };
    if host.is_empty() {
        return Err(usage());
    }
    Ok(Publisher::new(PublisherSettings::new(host, port, client_id)))
}

/// Writes plant tables into a folder.
pub(crate) fn write_plant(plant: &PlantModel, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in heat_codec::plant::write_tables(plant) {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(ExitStatus::Usage, format!("cannot read {}: {error}", path.display())))
}

pub(crate) async fn run(arguments: SimArguments) -> Result<ExitStatus, Failure> {
    let clock = Clock;
    let configuration =
        |error: &dyn std::error::Error| Failure::new(ExitStatus::Configuration, error.to_string());
    let plan = match &arguments.city {
        Some(path) => CityPlan::from_toml(&read_text(path)?).map_err(|error| configuration(&error))?,
        None => CityPlan::demo(),
    };
    let duration = arguments.duration.unwrap_or(Duration::from_hours(24));
    let history = if arguments.speed > 1.0 { duration } else { Duration::ZERO };
    let now = second_of(clock);
    let start = now.minus(history);
    let mut city = City::new(plan, arguments.seed, start).map_err(|error| configuration(&error))?;
    if let Some(folder) = &arguments.plant {
        write_plant(city.plant(), folder)?;
        say(format!("wrote the plant tables to {}", folder.display()));
        return Ok(ExitStatus::Done);
    }
    let script = match &arguments.script {
        Some(path) => Script::from_toml(&read_text(path)?).map_err(|error| configuration(&error))?,
        None => RandomScript::EVERYDAY.script(city.plant(), duration, arguments.seed),
    };
    city.schedule(&script, start).map_err(|error| configuration(&error))?;
    if let Some(path) = &arguments.labels {
        std::fs::write(path, heat_codec::labels::write(&city.labels()))?;
    }

    let (publisher, driver) = publisher(&arguments.mqtt, "heatstream-sim")?;
    let shutdown = Shutdown::default();
    let mut tasks = Tasks::new(shutdown.clone());
    let driver_end = shutdown.child();
    tasks.spawn("publisher", async move {
        driver.run(driver_end.begun()).await;
        Ok::<(), std::io::Error>(())
    });
    let asked = shutdown.clone();
    tasks.spawn("signals", async move {
        crate::single::stop_asked(&asked).await?;
        asked.begin();
        Ok::<(), std::io::Error>(())
    });
    let speed = arguments.speed;
    let live_until = match (history.is_zero(), arguments.duration) {
        (true, Some(duration)) => Some(now.plus(duration)),
        (true, None) => None,
        (false, _) => Some(now),
    };
    let mut speaking = SpeakingCity::new(city, publisher);
    tasks.spawn("city", async move {
        if speed > 1.0 {
            paced_history(&mut speaking, now, speed, clock, &shutdown).await?;
        }
        if live_until.is_none_or(|until| until > speaking.city.now()) {
            speaking.live(clock, live_until, &shutdown, |_| {}).await?;
        }
        complain(format!("published {} readings in {} messages", speaking.readings, speaking.messages));
        shutdown.begin();
        Ok::<(), PublishError>(())
    });
    tasks.join(Duration::from_secs(30)).await?;
    Ok(ExitStatus::Done)
}

/// History at most `speed` times as fast as it happened.
async fn paced_history(
    speaking: &mut SpeakingCity,
    to: EventTime,
    speed: f64,
    clock: Clock,
    shutdown: &Shutdown,
) -> Result<(), PublishError> {
    let (begun, first) = (clock.instant(), speaking.city.now());
    while to.since(speaking.city.now()) >= HISTORY_STEP && !shutdown.has_begun() {
        let next = speaking.city.now().plus(Duration::from_mins(15)).min(to);
        speaking.speak(next, Scan::HISTORY, Lane::Backfill).await?;
        let due = next.since(first).div_f64(speed);
        let ahead = due.saturating_sub(clock.instant() - begun);
        tokio::select! {
            () = shutdown.begun() => {}
            () = tokio::time::sleep(ahead) => {}
        }
    }
    speaking.publisher.acknowledged().await
}
