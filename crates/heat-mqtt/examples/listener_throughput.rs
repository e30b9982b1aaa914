//! Measures the listener alone: messages a second and CPU microseconds a message. What idle connections cost,
//! `idle_connections` measures.
//!
//! ```text
//! cargo run --release -p heat-mqtt --example listener_throughput -- [MESSAGES] [CONNECTIONS] [IN_FLIGHT]
//! ```
//! The load generator is this program started once more: raw sockets, QoS 1, 242-byte payloads, up to IN_FLIGHT
//! (1,000) unacknowledged per connection: with many the listener reads hundreds at once, with 1 every message costs its
//! own system calls. The receiver proves each batch durable at once and acknowledges it, so what is measured is
//! the protocol, the queue and the sockets. CPU time is that of the listening process only.

use std::{
    env,
    error::Error,
    fs,
    future::pending,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
};

use heat_ledger::durable::{AckQueue, Marks};
use heat_mqtt::{AckToken, LinkEvent, ListenSettings, Listener, QueueBounds, links};
use tokio::{runtime::Builder, task::JoinSet, time::Instant};

type Failure = Box<dyn Error + Send + Sync>;

const PAYLOAD_BYTES: usize = 242;
const IN_FLIGHT: usize = 1000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [mode, port, messages, connections, in_flight] = arguments.as_slice()
        && mode == "generate"
    {
        return generate(port.parse()?, messages.parse()?, connections.parse()?, in_flight.parse()?);
    }
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (messages, connections) = (number(0, 2_000_000)?, number(1, 20)?);
    let in_flight = number(2, IN_FLIGHT)?;
    Builder::new_current_thread().enable_all().build()?.block_on(listen(messages, connections, in_flight))
}

async fn listen(messages: usize, connections: usize, in_flight: usize) -> Result<(), Failure> {
    let (inlet, mut events, acknowledger) = links(QueueBounds::default());
    let settings = ListenSettings { address: Some(([127, 0, 0, 1], 0).into()), ..ListenSettings::default() };
    let listener = Listener::bind(settings, inlet).await?;
    let port = listener.local_addr().port();
    let handle = listener.handle();
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(pending()));

    let mut child = Command::new(env::current_exe()?)
        .args([
            "generate",
            &port.to_string(),
            &messages.to_string(),
            &connections.to_string(),
            &in_flight.to_string(),
        ])
        .spawn()?;
    let mut waiting: AckQueue<AckToken> = AckQueue::default();
    let marks = Marks::default();
    let (mut received, mut batches) = (0, 0);
    let mut begun = None;
    while received < messages {
        let Some(event) = events.recv().await else { return Err("the listener lives".into()) };
        if let LinkEvent::Messages(batch) = event {
            begun.get_or_insert_with(|| (Instant::now(), cpu_seconds()));
            batches += 1;
            for delivery in batch.into_deliveries() {
                received += 1;
                waiting.push(delivery.token, &[]);
            }
            acknowledger.acknowledge(std::iter::from_fn(|| waiting.pop_durable(&marks)));
        }
    }
    while handle.stats().acknowledged < messages as u64 {
        tokio::task::yield_now().await;
    }
    let (instant, cpu_before) = begun.ok_or("no message came")?;
    let seconds = instant.elapsed().as_secs_f64();
    let cpu = cpu_seconds()? - cpu_before?;
    child.wait()?;
    report(&format!(
        "{messages} messages of {PAYLOAD_BYTES} bytes on {connections} connections: {:.0} messages/s, {:.2} CPU us a \
         message, {:.1} messages a batch, {} KiB resident",
        messages as f64 / seconds,
        cpu * 1e6 / messages as f64,
        messages as f64 / f64::from(batches),
        resident_kib()?
    ));
    Ok(())
}

fn report(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// CPU time of this process: fields 14 and 15 of its stat, in hundredths of a second.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("a stat line names its program")?.1;
    let ticks: u32 =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
    Ok(f64::from(ticks) / 100.0)
}

fn resident_kib() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("a status tells VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("VmRSS has a number")?.parse()?)
}

fn generate(port: u16, messages: usize, connections: usize, in_flight: usize) -> Result<(), Failure> {
    let workers: Vec<_> = (0..connections)
        .map(|index| {
            let share = messages / connections + usize::from(index < messages % connections);
            thread::spawn(move || publish(port, index, share, in_flight))
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_panic| "a worker died")??;
    }
    Ok(())
}

fn connect(port: u16, index: usize) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let id = format!("load-{index:06}");
    let mut packet = vec![0x10, u8::try_from(12 + id.len())?, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0];
    packet.push(u8::try_from(id.len())?);
    packet.extend_from_slice(id.as_bytes());
    stream.write_all(&packet)?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack)?;
    if connack[3] == 0 { Ok(stream) } else { Err(format!("refused: {connack:?}").into()) }
}

fn publish(port: u16, index: usize, messages: usize, in_flight: usize) -> Result<(), Failure> {
    let mut stream = connect(port, index)?;
    let topic = format!("heat/v1/demo/station-{index:04}/meter");
    let body = 2 + topic.len() + 2 + PAYLOAD_BYTES;
    let mut packet = vec![0x32, u8::try_from(body & 0x7f)? | 0x80, u8::try_from(body >> 7)?, 0];
    packet.push(u8::try_from(topic.len())?);
    packet.extend_from_slice(topic.as_bytes());
    let id_at = packet.len();
    packet.extend_from_slice(&[0, 0]);
    packet.resize(packet.len() + PAYLOAD_BYTES, b'7');

    let (mut sent, mut acknowledged, mut id) = (0, 0, 0u16);
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut answers = vec![0; 64 << 10];
    let mut left_over = 0;
    while acknowledged < messages {
        buffer.clear();
        while sent < messages && sent - acknowledged < in_flight && buffer.len() < 60_000 {
            id = if id == u16::MAX { 1 } else { id + 1 };
            packet[id_at..id_at + 2].copy_from_slice(&id.to_be_bytes());
            buffer.extend_from_slice(&packet);
            sent += 1;
        }
        stream.write_all(&buffer)?;
        let read = stream.read(&mut answers)?;
        if read == 0 {
            return Err("the listener closed the connection".into());
        }
        acknowledged += (left_over + read) / 4;
        left_over = (left_over + read) % 4;
    }
    Ok(())
}
