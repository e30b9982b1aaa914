//! A fleet of devices that measure at a steady pace, remember what was not acknowledged, and send it again in order
//! after each reconnect: what an outside checker holds a log against.
//!
//! A device keeps what it measures while it cannot send, as a data logger does. So the pace of measuring is steady
//! through any outage, and what comes late tells how long the outage was.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{mqtt::Client, now_us, pace};
use message::{Kind, Message};

mod message;

/// A device that cannot send keeps this much: 3 hours at 10 messages a second.
const MEMORY_MAX_MESSAGES: usize = 108_000;
/// One message in so many is history: an hour old, declared as backfill.
const BACKFILL_EVERY: u64 = 10;

/// What a fleet is like.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// How many devices.
    pub devices: usize,
    /// Of all devices together.
    pub messages_per_second: u64,
    /// Messages under way of each device, at most.
    pub window: usize,
    /// A device without an acknowledgement for so long, while it waits for one, connects anew.
    pub patience: Duration,
    /// Where it connects to, on 127.0.0.1; the next one if that fails.
    pub ports: Vec<u16>,
}

/// Devices at work.
#[derive(Debug)]
pub struct Fleet {
    threads: Vec<JoinHandle<Sent>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: FleetSettings,
    is_ended: AtomicBool,
    /// No device sends after this, however much it has left.
    is_given_up: AtomicBool,
    malformed_per_thousand: AtomicU64,
    acknowledged: AtomicU64,
    connections: AtomicU64,
    preferred: AtomicUsize,
}

/// What a device sent, in order.
#[derive(Debug)]
struct Sent {
    device: usize,
    messages: Vec<Message>,
}

/// What a fleet sent and heard.
#[derive(Debug)]
pub struct Log {
    devices: Vec<Sent>,
}

impl Fleet {
    /// Starts it.
    pub fn start(settings: FleetSettings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            is_ended: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            malformed_per_thousand: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            preferred: AtomicUsize::new(0),
        });
        let threads = (0..shared.settings.devices)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn(move || Device::new(number, &shared).run())
                    .expect("a thread can be started")
            })
            .collect();
        Self { threads, shared }
    }

    /// Lets so many messages in a thousand be malformed, in ten ways.
    pub fn set_malformed_per_thousand(&self, count: u64) {
        self.shared.malformed_per_thousand.store(count, Ordering::Relaxed);
    }

    /// Lets devices that connect from now on try this one of the ports first.
    pub fn prefer(&self, port: usize) {
        self.shared.preferred.store(port, Ordering::Relaxed);
    }

    /// Messages acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Connections made so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Ends measuring; all that was measured is sent until it is acknowledged, or until the time is up.
    pub fn finish(self, within: Duration) -> Log {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && self.threads.iter().any(|thread| !thread.is_finished()) {
            pace(Duration::from_millis(20));
        }
        self.shared.is_given_up.store(true, Ordering::Relaxed);
        let devices = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a device finds its acknowledgements in order"))
            .collect();
        Log { devices }
    }
}

impl Log {
    /// Writes one line a message for the checker, in order of measuring within a device: device, kind (`live`,
    /// `backfill`, or the number of a kind of malformed payload), number, event time, and when it was measured and
    /// acknowledged (0: never), all in microseconds; for malformed ones topic and payload in hexadecimal digits.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(fs::File::create(path)?);
        writeln!(file, "device,network,kind,seq,time_us,measured_us,acked_us,topic,payload")?;
        for Sent { device, messages } in &self.devices {
            for message in messages {
                let Message { kind, seq, time_ms, measured_us, acked_us } = message;
                let network = message::network(*device);
                let time_us = time_ms * 1_000;
                write!(file, "{device},{network},{kind},{seq},{time_us},{measured_us},{acked_us},")?;
                if let Kind::Malformed(_) = kind {
                    let (topic, payload) = message.encode(*device);
                    write!(file, "{topic},")?;
                    for byte in payload {
                        write!(file, "{byte:02x}")?;
                    }
                    writeln!(file)?;
                } else {
                    writeln!(file, ",")?;
                }
            }
        }
        file.flush()
    }
}

struct Device<'a> {
    number: usize,
    shared: &'a Shared,
    client_id: String,
    interval: Duration,
    messages: Vec<Message>,
    /// The first so many messages are acknowledged.
    acked: usize,
    /// The first so many were sent on the present connection or acknowledged before.
    sent: usize,
    /// The first so many were sent at least once.
    sent_ever: usize,
    /// Packet id of the oldest message under way.
    oldest_id: u16,
    next_measurement: Instant,
    heard: Instant,
    port: usize,
}

impl<'a> Device<'a> {
    fn new(number: usize, shared: &'a Shared) -> Self {
        let FleetSettings { devices, messages_per_second, .. } = shared.settings;
        let count = u32::try_from(devices).expect("a fleet is smaller than that");
        let interval =
            Duration::from_secs(u64::from(count)) / u32::try_from(messages_per_second).expect("a pace");
        // Spread evenly, so that the load is steady.
        let first = interval.mul_f64(number as f64 / f64::from(count));
        Self {
            number,
            shared,
            client_id: format!("device-{number}"),
            interval,
            messages: Vec::new(),
            acked: 0,
            sent: 0,
            sent_ever: 0,
            oldest_id: 1,
            next_measurement: Instant::now() + first,
            heard: Instant::now(),
            port: 0,
        }
    }

    fn run(mut self) -> Sent {
        let mut connection: Option<Client> = None;
        while !self.is_done() {
            self.measure();
            let step = match connection.take() {
                Some(mut client) => self.step(&mut client).map(|()| client),
                None => self.connect(),
            };
            match step {
                Ok(client) => connection = Some(client),
                Err(_) => {
                    // The server is away; nothing else tells when it is back.
                    self.port += 1;
                    pace(Duration::from_millis(50));
                }
            }
        }
        if let Some(client) = connection {
            client.disconnect();
        }
        Sent { device: self.number, messages: self.messages }
    }

    fn is_done(&self) -> bool {
        self.shared.is_given_up.load(Ordering::Relaxed)
            || self.shared.is_ended.load(Ordering::Relaxed) && self.acked == self.messages.len()
    }

    fn connect(&mut self) -> io::Result<Client> {
        let ports = &self.shared.settings.ports;
        let port = ports[(self.shared.preferred.load(Ordering::Relaxed) + self.port) % ports.len()];
        let client = Client::connect(port, &self.client_id, false)?;
        self.port = 0;
        self.sent = self.acked;
        self.oldest_id = 1;
        self.heard = Instant::now();
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        Ok(client)
    }

    /// Takes the measurements that are due.
    fn measure(&mut self) {
        let now = Instant::now();
        while now >= self.next_measurement && !self.shared.is_ended.load(Ordering::Relaxed) {
            self.next_measurement += self.interval;
            if self.messages.len() - self.acked >= MEMORY_MAX_MESSAGES {
                continue;
            }
            let seq = self.messages.len() as u64;
            let malformed_per_thousand = self.shared.malformed_per_thousand.load(Ordering::Relaxed);
            // Spread over devices and time without a random source.
            let turn = seq.wrapping_mul(7_919).wrapping_add(self.number as u64 * 104_729);
            let kind = if turn % 1_000 < malformed_per_thousand {
                Kind::Malformed(
                    u8::try_from((seq + self.number as u64) % message::MALFORMED_KINDS).expect("ten"),
                )
            } else if seq % BACKFILL_EVERY == 7 {
                Kind::Backfill
            } else {
                Kind::Live
            };
            self.messages.push(Message::measured(seq, kind, self.messages.last()));
        }
    }

    fn step(&mut self, client: &mut Client) -> io::Result<()> {
        while self.sent < self.messages.len() && self.sent - self.acked < self.shared.settings.window {
            let (topic, payload) = self.messages[self.sent].encode(self.number);
            if self.sent == self.acked {
                self.heard = Instant::now();
            }
            client.publish(&topic, &payload, self.sent < self.sent_ever)?;
            self.sent += 1;
            self.sent_ever = self.sent_ever.max(self.sent);
        }
        let until_next = self.next_measurement.saturating_duration_since(Instant::now());
        let wait = until_next.min(Duration::from_millis(200));
        let mut first = true;
        while let Some(id) = client.acknowledgement(if first { wait } else { Duration::ZERO })? {
            first = false;
            assert!(
                id == self.oldest_id && self.sent > self.acked,
                "{}: {id} was acknowledged, the oldest of {} under way is {}",
                self.client_id,
                self.sent - self.acked,
                self.oldest_id
            );
            self.oldest_id = self.oldest_id.checked_add(1).unwrap_or(1);
            self.messages[self.acked].acked_us = now_us();
            self.acked += 1;
            self.heard = Instant::now();
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if self.sent > self.acked && self.heard.elapsed() > self.shared.settings.patience {
            return Err(io::Error::other("no acknowledgement within the device's patience"));
        }
        Ok(())
    }
}
