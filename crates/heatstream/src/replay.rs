//! `heatstream replay`: recorded history over MQTT.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path, time::Duration};

use bytes::Bytes;
use heat_codec::{
    mapping::Mapping,
    own_json::{self, OutItem, OutValue},
    recorded::{RecordedReader, Row},
    topic::PREFIX,
};
use heat_model::{EventTime, Lane};
use heat_mqtt::Publisher;
use heat_runtime::{Clock, ExitStatus, Shutdown, Tasks};

use crate::{
    Failure,
    cli::{Pace, ReplayArguments},
    out::{complain, say},
    sim::publisher,
};

/// Cell faults that are shown; all are counted.
const FAULTS_SHOWN: u64 = 20;

pub(crate) async fn run(arguments: ReplayArguments) -> Result<ExitStatus, Failure> {
    let mapping = read_mapping(&arguments.mapping)?;
    let (publisher, driver) = publisher(&arguments.mqtt, "heatstream-replay")?;
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
    let mut replay = Replay {
        publisher,
        pace: arguments.speed,
        live: arguments.live,
        clock: Clock,
        shutdown: shutdown.clone(),
        begun: None,
        messages: 0,
        readings: 0,
        faults: 0,
    };
    let mut outcome = Ok(());
    for file in &arguments.files {
        outcome = replay.file(&mapping, file).await;
        if outcome.is_err() || shutdown.has_begun() {
            break;
        }
    }
    let sent = match outcome {
        Ok(()) => replay.publisher.acknowledged().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    shutdown.begin();
    tasks.join(Duration::from_secs(10)).await?;
    sent?;
    say(format!("replayed {} readings in {} messages, all acknowledged", replay.readings, replay.messages));
    if replay.faults > 0 {
        complain(format!("{} cells could not be taken", replay.faults));
        return Ok(ExitStatus::Data);
    }
    Ok(ExitStatus::Done)
}

/// Reads and checks a mapping; all its faults at once.
fn read_mapping(path: &Path) -> Result<Mapping, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(ExitStatus::Usage, format!("cannot read {}: {error}", path.display()))
    })?;
    Mapping::parse(&text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
        Failure::new(
            ExitStatus::Configuration,
            format!("{} fault(s) in {}:\n{}", faults.len(), path.display(), lines.join("\n")),
        )
    })
}

struct Replay {
    publisher: Publisher,
    pace: Pace,
    live: bool,
    clock: Clock,
    shutdown: Shutdown,
    begun: Option<(std::time::Instant, EventTime)>,
    messages: u64,
    readings: u64,
    faults: u64,
}

impl Replay {
    async fn file(&mut self, mapping: &Mapping, path: &Path) -> Result<(), Failure> {
        let name = path.display().to_string();
        let input: Box<dyn std::io::Read + Send> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let file = File::open(path)
                .map_err(|error| Failure::new(ExitStatus::Usage, format!("cannot read {name}: {error}")))?;
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        let data = |error: &dyn std::error::Error| Failure::new(ExitStatus::Data, error.to_string());
        let mut reader = RecordedReader::new(mapping, &name, input).map_err(|error| data(&error))?;
        let mut row = Row::default();
        loop {
            match reader.read_row(&mut row) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(fault) if fault.is_of_one_row() => {
                    self.fault(&fault.to_string());
                    continue;
                }
                Err(fault) => return Err(data(&fault)),
            }
            for fault in &row.faults {
                self.fault(&format!(
                    "{name}: line {}: {}: {:?}: {}",
                    fault.line, fault.column, fault.found, fault.reason
                ));
            }
            if self.shutdown.has_begun() {
                return Ok(());
            }
            self.wait_for(row.time).await;
            self.send(&reader, &row).await?;
        }
    }

    fn fault(&mut self, what: &str) {
        self.faults += 1;
        if self.faults <= FAULTS_SHOWN {
            complain(what);
        }
    }

    /// Keeps the pace, by the rows' own times.
    async fn wait_for(&mut self, time: EventTime) {
        let Pace::Times(factor) = self.pace else { return };
        let now = self.clock.instant();
        let (begun, first) = *self.begun.get_or_insert((now, time));
        let ahead = time.since(first).div_f64(factor).saturating_sub(now - begun);
        tokio::select! {
            () = self.shutdown.begun() => {}
            () = tokio::time::sleep(ahead) => {}
        }
    }

    /// One message per device of the row.
    async fn send(
        &mut self,
        reader: &RecordedReader<Box<dyn std::io::Read + Send>>,
        row: &Row,
    ) -> Result<(), Failure> {
        let mut devices: BTreeMap<String, Vec<OutValue<'_>>> = BTreeMap::new();
        for value in &row.values {
            let signal = &reader.signals()[value.signal as usize];
            let topic = format!("{PREFIX}{}/{}/{}", signal.network, signal.site, signal.device);
            devices.entry(topic).or_default().push(OutValue {
                name: signal.name.as_str(),
                raw: value.raw.is_finite().then_some(value.raw),
                unit: signal.unit.as_deref(),
                quality: value.quality,
                code: value.code,
                time: None,
            });
        }
        let lane = if self.live { row.lane } else { Some(Lane::Backfill) };
        for (topic, values) in devices {
            let item = OutItem { time: Some(row.time), seq: None, boot: None, lane, values: &values };
            let mut payload = Vec::with_capacity(64 + values.len() * 48);
            own_json::encode(&mut payload, &item);
            self.publisher.publish(&topic, Bytes::from(payload)).await?;
            self.messages += 1;
            self.readings += values.len() as u64;
        }
        Ok(())
    }
}
