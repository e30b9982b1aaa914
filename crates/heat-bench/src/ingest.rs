//! MQTT in: the listener with the embedded log, and the way through a broker to Kafka.

use std::time::{Duration, Instant};

use heat_runtime::Clock;

use crate::{
    broker::{Address, Mosquitto},
    child::{Child, Task},
    engine::Engine,
    error::BenchError,
    figures::{Bench, Figure, Measured},
    gateway::{Ask, BareTask, Ended, GatewayTask, Progress},
    load::{LoadTask, Loaded, Phase, payload::READINGS},
    usage::Usage,
};

const MESSAGES: &str = "messages";
/// Seconds of paced load.
const PACED_SECONDS: u64 = 10;
/// Without any record for so long, what is missing will not come.
const STALLED: Duration = Duration::from_secs(30);
/// Messages that find out whether a subscription stands.
const PROBE: u64 = 100;

/// Measures on the embedded log, and on Kafka where it is given.
pub(crate) fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let mosquitto = Mosquitto::find();
    let memory = match &mosquitto {
        Some(program) => Some(mosquitto_alone(bench, program)?),
        None => {
            bench.notes.push(
                "no mosquitto on this machine (Debian: mosquitto): no baseline for the listener".to_owned(),
            );
            None
        }
    };
    let listener = listener(bench)?;
    bench.figures.push(match &memory {
        Some(memory) => listener.against(memory),
        None => listener,
    });
    bench.figures.extend(memory);
    if let Some(kafka) = bench.kafka() {
        let outcome = through_broker(bench, &kafka, mosquitto.as_deref());
        bench.block_on(kafka.trim())?;
        outcome?;
    }
    Ok(())
}

/// A generator that has connected.
struct Generator {
    child: Child,
    sent: u64,
}

impl Generator {
    fn start(bench: &Bench, to: &Address) -> Result<Self, BenchError> {
        let options = &bench.options;
        let child = Child::start(&Task::Load(LoadTask {
            host: to.host.clone(),
            port: to.port,
            connections: options.connections,
            devices: options.devices,
            window: options.window,
            seed: options.seed,
        }))?;
        child.hear::<()>()?;
        Ok(Self { child, sent: 0 })
    }

    /// Makes load and waits until the server has acknowledged all of it.
    fn load(&mut self, messages: u64, rate: Option<f64>) -> Result<Loaded, BenchError> {
        self.child.tell(&Phase { messages, rate })?;
        self.sent += messages;
        self.child.hear()
    }
}

/// A server's figures under the same load: warmed up, at full speed, then paced.
struct Served {
    measured: Measured,
    fast: Loaded,
    paced: Loaded,
    sent: u64,
}

fn serve(
    bench: &Bench,
    to: &Address,
    usage: impl Fn() -> Result<Usage, BenchError>,
) -> Result<Served, BenchError> {
    let mut generator = Generator::start(bench, to)?;
    let messages = bench.options.messages.max(1);
    generator.load(messages.div_ceil(10), None)?;
    let before = usage()?;
    let fast = generator.load(messages, None)?;
    let after = usage()?;
    let rate = f64::from(bench.options.paced.max(1));
    let paced_messages = u64::from(bench.options.paced.max(1)) * PACED_SECONDS;
    let paced = generator.load(paced_messages.min(messages), Some(rate))?;
    let sent = generator.sent;
    generator.child.end()?;
    Ok(Served {
        measured: Measured { count: messages, seconds: fast.seconds, before, after },
        fast,
        paced,
        sent,
    })
}

impl Served {
    fn figure(&self, bench: &Bench, name: &str, what: &str) -> Figure {
        let options = &bench.options;
        Figure::new(name.to_owned(), what, MESSAGES, self.measured)
            .with_latency("PUBACK at full speed", self.fast.latency)
            .with_latency("PUBACK paced", self.paced.latency)
            .with_detail("payload bytes", self.fast.payload_bytes as f64 / self.measured.count as f64)
            .with_detail("readings a message", READINGS as f64)
            .with_detail("connections", f64::from(options.connections))
            .with_detail("in flight at most", f64::from(options.connections * options.window))
            .with_detail("paced messages a second", f64::from(options.paced))
    }
}

fn listener(bench: &Bench) -> Result<Figure, BenchError> {
    bench.progress("ingest: the gateway's own listener, embedded log");
    let engine = Engine::Embedded(bench.folder("ingest-log")?);
    let mut gateway = Child::start(&Task::Gateway(GatewayTask { engine, broker: None }))?;
    let port: u16 = gateway.hear()?;
    let served = serve(bench, &Address::local(port), || gateway.usage())?;
    gateway.tell(&Ask::Stop)?;
    let ended: Ended = gateway.hear()?;
    gateway.end()?;
    bench.remove("ingest-log")?;
    must_be("messages logged", served.sent, ended.messages_logged)?;
    must_be("readings logged", served.sent * READINGS as u64, ended.readings_logged)?;
    Ok(served.figure(
        bench,
        "ingest.listener",
        "gateway as MQTT server, QoS 1, parsed and checked, PUBACK after the sync to disk; CPU of the gateway alone",
    ))
}

fn mosquitto_alone(bench: &Bench, program: &std::path::Path) -> Result<Figure, BenchError> {
    bench.progress("ingest: mosquitto alone, in memory");
    let broker = Mosquitto::start(program, &bench.folder("mosquitto")?)?;
    let served = serve(bench, &broker.address(), || broker.usage())?;
    Ok(served.figure(
        bench,
        "ingest.mosquitto",
        "mosquitto with the same load and no subscriber: nothing parsed, nothing stored",
    ))
}

/// The gateway as a broker's client, beside a bridge that only carries bytes.
fn through_broker(
    bench: &mut Bench,
    kafka: &Engine,
    program: Option<&std::path::Path>,
) -> Result<(), BenchError> {
    if bench.options.mqtt.is_none() && program.is_none() {
        bench.notes.push(
            "no mosquitto on this machine and no --mqtt: nothing measured on the way to Kafka".to_owned(),
        );
        return Ok(());
    }
    bench.progress("ingest: broker, bare bridge, Kafka");
    let bare = bridged(bench, program, "ingest.bare.kafka", BARE_WHAT, |broker| {
        Task::Bare(BareTask { engine: kafka.clone(), broker })
    })?;
    bench.progress("ingest: broker, gateway, Kafka");
    let gateway = bridged(bench, program, "ingest.gateway.kafka", GATEWAY_WHAT, |broker| {
        Task::Gateway(GatewayTask { engine: kafka.clone(), broker: Some(broker) })
    })?;
    bench.figures.push(gateway.against(&bare));
    bench.figures.push(bare);
    Ok(())
}

const BARE_WHAT: &str = "the same broker and Kafka (acks=all) with a bridge that parses nothing, keeps no ledger and \
                         acknowledges what is durable; CPU of the bridge alone";
const GATEWAY_WHAT: &str = "broker, gateway as its client, Kafka (acks=all); parsed, checked and in the ledger; until \
                            the last message is durable; CPU of the gateway alone";

fn bridged(
    bench: &Bench,
    program: Option<&std::path::Path>,
    name: &str,
    what: &str,
    task: impl FnOnce((String, u16)) -> Task,
) -> Result<Figure, BenchError> {
    // A broker of its own for each: the session of one would queue the other's messages.
    let own = match (&bench.options.mqtt, program) {
        (None, Some(program)) => Some(Mosquitto::start(program, &bench.folder("mosquitto")?)?),
        (Some(_), _) | (None, None) => None,
    };
    let address = match (&own, &bench.options.mqtt) {
        (Some(own), _) => own.address(),
        (None, url) => Address::parse(url.as_deref().unwrap_or_default())?,
    };
    let mut bridge = Bridge { child: Child::start(&task((address.host.clone(), address.port)))? };
    bridge.child.hear::<u16>()?;
    let mut generator = Generator::start(bench, &address)?;
    bridge.wait_until_it_receives(&mut generator)?;

    let messages = bench.options.messages.max(1);
    generator.load(messages.div_ceil(10), None)?;
    bridge.wait_until_quiet()?;

    let start = bridge.progress()?;
    let (before, begun) = (bridge.child.usage()?, Clock.instant());
    let loaded = generator.load(messages, None)?;
    bridge.wait_for_records(start.appended + messages)?;
    let (seconds, after) = (begun.elapsed().as_secs_f64(), bridge.child.usage()?);

    bridge.wait_until_quiet()?;
    let arrived = bridge.progress()?.messages - start.messages;
    must_be("messages durable in Kafka", messages, arrived)?;
    generator.child.end()?;
    bridge.child.tell(&Ask::Stop)?;
    bridge.child.hear::<Ended>()?;
    bridge.child.end()?;
    let measured = Measured { count: messages, seconds, before, after };
    let figure = Figure::new(name.to_owned(), what, MESSAGES, measured)
        .with_detail("payload bytes", loaded.payload_bytes as f64 / messages as f64)
        .with_detail("broker took a second", messages as f64 / loaded.seconds);
    Ok(figure)
}

/// Gateway or bare bridge, as the parent sees it.
struct Bridge {
    child: Child,
}

impl Bridge {
    fn progress(&mut self) -> Result<Progress, BenchError> {
        self.child.tell(&Ask::Progress)?;
        self.child.hear()
    }

    /// A broker keeps nothing for a subscription that does not stand yet: probes until messages arrive.
    fn wait_until_it_receives(&mut self, generator: &mut Generator) -> Result<(), BenchError> {
        let begun = Clock.instant();
        loop {
            let before = self.progress()?;
            if before.links > 0 {
                generator.load(PROBE, None)?;
                pause(Duration::from_millis(300));
                if self.progress()?.appended >= before.appended + PROBE {
                    return Ok(());
                }
            }
            give_up_after(begun, "messages through the broker", PROBE)?;
            pause(Duration::from_millis(100));
        }
    }

    /// Until nothing but heartbeats is appended for longer than the gateway needs to count.
    fn wait_until_quiet(&mut self) -> Result<(), BenchError> {
        const LOOK: Duration = Duration::from_millis(2_500);
        const HEARTBEATS: u64 = 40;
        let begun = Clock.instant();
        loop {
            let before = self.progress()?.appended;
            pause(LOOK);
            let now = self.progress()?.appended;
            if now <= before + HEARTBEATS {
                return Ok(());
            }
            if begun.elapsed() > 10 * STALLED {
                return Err(BenchError::Silent { child: "bridge", waited: 10 * STALLED });
            }
        }
    }

    /// Until so many records are durable. The gateway's four heartbeats a second count among them, which makes this
    /// early by less than a millisecond; that all messages arrived is proved afterwards.
    fn wait_for_records(&mut self, wanted: u64) -> Result<(), BenchError> {
        let (mut last, mut since) = (0, Clock.instant());
        loop {
            let appended = self.progress()?.appended;
            if appended >= wanted {
                return Ok(());
            }
            // Heartbeats alone are no progress.
            if appended > last + 400 {
                (last, since) = (appended, Clock.instant());
            }
            give_up_after(since, "records in Kafka", wanted)?;
            pause(Duration::from_millis(5));
        }
    }
}

fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

fn give_up_after(since: Instant, what: &'static str, expected: u64) -> Result<(), BenchError> {
    if since.elapsed() > STALLED {
        return Err(BenchError::Void { what, expected, found: 0 });
    }
    Ok(())
}

/// A figure counts only where what came out is what went in.
pub(crate) fn must_be(what: &'static str, expected: u64, found: u64) -> Result<(), BenchError> {
    if expected == found { Ok(()) } else { Err(BenchError::Void { what, expected, found }) }
}
