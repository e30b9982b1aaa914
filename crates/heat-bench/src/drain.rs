//! The way back from an outage: a gateway takes a backlog into its buffer while Kafka cannot be reached, and forwards it
//! afterwards while live messages go on.
//!
//! Kafka is out of reach behind a gate that takes connections and answers nothing, which is how an outage that hangs
//! looks. A client that never got through knows no other way to Kafka than the gate; that is why the gateway starts
//! behind it, and why nobody needs to stop the Kafka that was given.

use std::{
    io,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use heat_runtime::Clock;

use crate::{
    broker::Address,
    child::{Child, Task},
    engine::Engine,
    error::BenchError,
    figures::{Bench, Figure, Measured},
    gateway::{Ask, Ended, GatewayTask},
    ingest::{Generator, MESSAGES, must_be, pause},
    roles::{FollowTask, Followed, LookBack},
};

/// Live load comes in pieces of so many seconds, until the backlog is through.
const PIECE_SECONDS: u64 = 2;
/// A backlog that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// Between the backlog and the gate's opening at least, so that nothing of it is taken for live.
const APART: Duration = Duration::from_millis(500);

/// Measures the direct way and the drain, one after the other, on the same Kafka.
pub(crate) fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Some(Engine::Kafka(brokers)) = bench.kafka() else {
        bench.notes.push("drain: nothing measured without --kafka HOST:PORT".to_owned());
        return Ok(());
    };
    let kafka = Engine::Kafka(brokers.clone());
    let direct = direct(bench, &kafka)?;
    bench.block_on(kafka.clone().trim())?;
    let drained = drained(bench, &kafka, &brokers);
    bench.block_on(kafka.trim())?;
    bench.figures.push(drained?.against(&direct));
    bench.figures.push(direct);
    Ok(())
}

fn direct(bench: &Bench, kafka: &Engine) -> Result<Figure, BenchError> {
    bench.progress("drain: the listener straight to Kafka");
    let gateway = Child::start(&Task::Gateway(GatewayTask { engine: kafka.clone(), broker: None }))?;
    let port: u16 = gateway.hear()?;
    let mut generator = Generator::start(bench, &Address::local(port))?;
    let messages = bench.options.messages.max(1);
    generator.load(messages.div_ceil(10), None)?;
    let before = gateway.usage()?;
    let loaded = generator.load(messages, None)?;
    let after = gateway.usage()?;
    end(generator, gateway)?;
    let measured = Measured { count: messages, seconds: loaded.seconds, before, after };
    let what =
        "gateway as MQTT server, PUBACK after Kafka's acknowledgement (acks=all); CPU of the gateway alone";
    Ok(Figure::new("listener.kafka".to_owned(), what, MESSAGES, measured)
        .with_latency("PUBACK at full speed", loaded.latency))
}

fn drained(bench: &Bench, kafka: &Engine, brokers: &str) -> Result<Figure, BenchError> {
    let options = &bench.options;
    let gate = TcpListener::bind("127.0.0.1:0").map_err(BenchError::act("make a gate before Kafka"))?;
    let port = gate.local_addr().map_err(BenchError::act("make a gate before Kafka"))?.port();
    let engine = Engine::Unreached(format!("127.0.0.1:{port}"));
    bench.progress("drain: a backlog while Kafka does not answer");
    let gateway = Child::start(&Task::Gateway(GatewayTask { engine, broker: None }))?;
    let mut generator = Generator::start(bench, &Address::local(gateway.hear()?))?;
    let backlog = options.messages.max(1);
    let filled = generator.load(backlog, None)?;
    let rest = options.backlog_age.max(APART);
    bench.progress(&format!(
        "drain: {backlog} messages are in the buffer; they rest for {} s",
        rest.as_secs()
    ));
    pause_for(rest);

    let mut follower = Child::start(&Task::Follow(FollowTask { engine: kafka.clone() }))?;
    follower.hear::<()>()?;
    bench.progress("drain: Kafka answers");
    let opened_us = Clock.now().as_micros();
    let (before, begun) = (gateway.usage()?, Clock.instant());
    open(gate, brokers.to_owned());
    let pace = u64::from(options.paced.max(1));
    let (done_us, after) = loop {
        let loaded = generator.load(pace * PIECE_SECONDS, Some(pace as f64))?;
        debug_assert!(loaded.seconds > 0.0, "a phase takes time");
        follower.tell(&LookBack { live_from_us: opened_us })?;
        let seen: Followed = follower.hear()?;
        if seen.before >= backlog {
            break (seen.last_before_us, gateway.usage()?);
        }
        if begun.elapsed() > PATIENCE {
            return Err(BenchError::Void {
                what: "messages of the backlog",
                expected: backlog,
                found: seen.before,
            });
        }
    };
    let total = generator.sent();
    end(generator, gateway)?;
    let seen = wait_for_all(&mut follower, opened_us, total)?;
    follower.end()?;
    let seconds = (done_us - opened_us) as f64 / 1e6;
    // The live messages that came meanwhile are the gateway's work too.
    let measured = Measured { count: seen.until(done_us), seconds, before, after };
    let what = "all that was appended from Kafka's first answer until the backlog was through, live messages among it; \
                CPU of the gateway alone";
    Ok(Figure::new("drain.kafka".to_owned(), what, MESSAGES, measured)
        .with_latency("live message, sending to Kafka", seen.live)
        .with_detail("messages in the backlog", backlog as f64)
        .with_detail("age of the backlog, s", rest.as_secs_f64())
        .with_detail("taken into the buffer a second", backlog as f64 / filled.seconds)
        .with_detail("live messages a second", pace as f64)
        .with_detail("records again, which readers drop", seen.again as f64))
}

/// Until the follower has seen all that was sent.
fn wait_for_all(follower: &mut Child, live_from_us: i64, total: u64) -> Result<Followed, BenchError> {
    let begun = Clock.instant();
    loop {
        follower.tell(&LookBack { live_from_us })?;
        let seen: Followed = follower.hear()?;
        let found = seen.messages;
        if found >= total || begun.elapsed() > Duration::from_secs(30) {
            must_be("messages in Kafka", total, found)?;
            return Ok(seen);
        }
        pause(Duration::from_millis(200));
    }
}

fn end(generator: Generator, mut gateway: Child) -> Result<(), BenchError> {
    generator.end()?;
    gateway.tell(&Ask::Stop)?;
    gateway.hear::<Ended>()?;
    gateway.end()
}

fn pause_for(time: Duration) {
    let begun = Clock.instant();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        pause(left);
    }
}

/// Carries every connection of the gate, those that wait at it too, to Kafka; until this process ends.
fn open(gate: TcpListener, brokers: String) {
    std::thread::spawn(move || {
        for near in gate.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&brokers) else { continue };
            for (from, to) in [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())] {
                let (Ok(from), Ok(to)) = (from, to) else { continue };
                std::thread::spawn(move || carry(from, to));
            }
        }
    });
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // Either side's end is the other's.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(std::net::Shutdown::Both));
}
