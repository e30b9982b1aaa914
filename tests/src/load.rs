//! Devices that send without end, and again what was not acknowledged, as a device with a memory does.

use std::{
    collections::VecDeque,
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{mqtt::Client, now_us, pace};

/// Messages under way at most.
const WINDOW: usize = 20;
/// After the end of the load, everything must be acknowledged within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// One message: its time is unique within its device, its number too.
#[derive(Debug, Clone, Copy)]
struct Message {
    time_ms: i64,
    seq: u64,
}

/// What a device sent. Each message carried two readings.
#[derive(Debug)]
pub struct Sent {
    topic: String,
    messages: Vec<Message>,
    /// Messages that were never acknowledged, which is a failure.
    pub unacknowledged: usize,
}

/// When a device forgets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// When it is acknowledged, as it should.
    Acknowledgement,
    /// When it is sent: the same as a server that acknowledges before the message is durable. A negative control.
    Sending,
}

/// Devices at work.
#[derive(Debug)]
pub struct Load {
    threads: Vec<JoinHandle<Sent>>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
}

impl Load {
    /// Starts so many devices in several networks, each with a message every `interval`.
    pub fn start(port: u16, devices: usize, interval: Duration) -> Self {
        Self::start_with(port, devices, interval, Trust::Acknowledgement)
    }

    /// The same with devices that forget a message for another reason than its acknowledgement.
    pub fn start_with(port: u16, devices: usize, interval: Duration, trust: Trust) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let threads = (0..devices)
            .map(|number| {
                let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
                let topic = format!("heat/v1/town-{}/st{number:02}/meter", number % 3);
                std::thread::spawn(move || {
                    Device::new(port, number, topic, trust).run(interval, &stop, &acknowledged)
                })
            })
            .collect();
        Self { threads, stop, acknowledged }
    }

    /// Messages acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends the load; all that is under way is sent until it is acknowledged.
    pub fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a device does not panic")).collect()
    }
}

/// Writes what was sent for `compare.py`; tells how many readings that is.
pub fn write_expected(path: &Path, sent: &[Sent]) -> u64 {
    let mut file =
        std::io::BufWriter::new(fs::File::create(path).expect("the temporary folder can be written"));
    writeln!(file, "signal,event_time_us,raw_value").expect("it can be written");
    let mut readings = 0;
    for device in sent {
        let prefix = device.topic.trim_start_matches("heat/v1/");
        for Message { time_ms, seq } in &device.messages {
            for (name, value) in [("supply_temperature", *seq), ("probe", seq + 1_000_000)] {
                writeln!(file, "{prefix}/{name},{},{value}", time_ms * 1_000).expect("it can be written");
                readings += 1;
            }
        }
    }
    file.flush().expect("it can be written");
    readings
}

struct Device {
    port: u16,
    client_id: String,
    topic: String,
    is_clean: bool,
    has_seq: bool,
    messages: Vec<Message>,
    /// In order of sending, with the packet id on the present connection.
    under_way: VecDeque<(Message, u16)>,
    next_send: Instant,
    trust: Trust,
}

impl Device {
    /// Every second one asks for a new session at each start; a third does not number its messages.
    fn new(port: u16, number: usize, topic: String, trust: Trust) -> Self {
        Self {
            port,
            client_id: format!("device-{number}"),
            topic,
            is_clean: number.is_multiple_of(2),
            has_seq: !number.is_multiple_of(3),
            messages: Vec::new(),
            under_way: VecDeque::new(),
            next_send: Instant::now(),
            trust,
        }
    }

    fn run(mut self, interval: Duration, stop: &AtomicBool, acknowledged: &AtomicU64) -> Sent {
        let mut connection: Option<Client> = None;
        let mut stopped: Option<Instant> = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                let since = *stopped.get_or_insert_with(Instant::now);
                if self.under_way.is_empty() || since.elapsed() > PATIENCE {
                    break;
                }
            }
            let step = match connection.take() {
                Some(mut client) => {
                    self.step(&mut client, interval, stopped.is_some(), acknowledged).map(|()| client)
                }
                None => self.connect(),
            };
            match step {
                Ok(client) => connection = Some(client),
                // The server is away; nothing else tells when it is back.
                Err(_) => pace(Duration::from_millis(20)),
            }
        }
        if let Some(client) = connection {
            client.disconnect();
        }
        Sent { topic: self.topic, messages: self.messages, unacknowledged: self.under_way.len() }
    }

    /// Connects, and sends again what was not acknowledged.
    fn connect(&mut self) -> std::io::Result<Client> {
        let mut client = Client::connect(self.port, &self.client_id, self.is_clean)?;
        for index in 0..self.under_way.len() {
            let (message, _) = self.under_way[index];
            self.under_way[index].1 = client.publish(&self.topic, &self.payload(message), !self.is_clean)?;
        }
        Ok(client)
    }

    fn step(
        &mut self,
        client: &mut Client,
        interval: Duration,
        is_ending: bool,
        acknowledged: &AtomicU64,
    ) -> std::io::Result<()> {
        if !is_ending && self.under_way.len() < WINDOW && Instant::now() >= self.next_send {
            self.next_send = Instant::now() + interval;
            let last_ms = self.messages.last().map_or(0, |last| last.time_ms);
            let message =
                Message { time_ms: (now_us() / 1_000).max(last_ms + 1), seq: self.messages.len() as u64 };
            // Before it is sent: an error may come after the server has it.
            self.messages.push(message);
            self.under_way.push_back((message, 0));
            let id = client.publish(&self.topic, &self.payload(message), false)?;
            self.under_way.back_mut().expect("just pushed").1 = id;
            if self.trust == Trust::Sending {
                self.under_way.pop_back();
            }
        }
        while let Some(id) =
            client.acknowledgement(self.next_send.saturating_duration_since(Instant::now()).min(interval))?
        {
            if self.trust == Trust::Sending {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match self.under_way.front() {
                Some((_, expected)) if *expected == id => self.under_way.pop_front(),
                other => panic!("{}: {id} was acknowledged, the oldest is {other:?}", self.client_id),
            };
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn payload(&self, Message { time_ms, seq }: Message) -> Vec<u8> {
        let number = if self.has_seq { format!(r#""seq": {seq}, "boot": "a","#) } else { String::new() };
        format!(
            r#"{{"time": {time_ms}, {number} "values": {{"supply_temperature": {seq}, "probe": {{"value": {}, "unit": "pulses"}}}}}}"#,
            seq + 1_000_000
        )
        .into_bytes()
    }
}
