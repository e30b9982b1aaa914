//! One connection of the generator.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use heat_runtime::Clock;

use crate::load::{LoadTask, payload::Device};

/// Bytes of one write at most: a system call costs the same whatever its size.
const WRITE_BYTES: usize = 60_000;
const PUBACK: u8 = 0x40;
const PUBACK_BYTES: usize = 4;

/// A connection's share of a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) messages: u64,
    pub(crate) rate: Option<f64>,
    /// How long to wait for acknowledgements before looking what is due.
    pub(crate) wait: Option<Duration>,
}

/// One connection, with the devices that speak through it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    devices: Vec<Device>,
    next_device: usize,
    window: u64,
    packet_id: u16,
    /// When the message of each packet id was written, microseconds from the phase's begin.
    written: Vec<u64>,
    /// Start of a PUBACK whose rest has not come yet.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects with a clean session and without keep-alive.
    pub(crate) fn open(task: &LoadTask, index: u32) -> io::Result<Self> {
        let mut stream = TcpStream::connect((task.host.as_str(), task.port))?;
        stream.set_nodelay(true)?;
        let id = format!("bench-{index:06}");
        let length = |bytes: usize| u8::try_from(bytes).map_err(io::Error::other);
        let mut packet = vec![0x10, length(12 + id.len())?, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0];
        packet.push(length(id.len())?);
        packet.extend_from_slice(id.as_bytes());
        stream.write_all(&packet)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer[0] != 0x20 || answer[3] != 0 {
            return Err(io::Error::other(format!("the server refused the connection: {answer:?}")));
        }
        let numbers = (index..task.devices).step_by(task.connections.max(1) as usize);
        let mut devices: Vec<Device> = numbers.map(|number| Device::new(number, task.seed)).collect();
        if devices.is_empty() {
            devices.push(Device::new(index, task.seed));
        }
        Ok(Self {
            stream,
            devices,
            next_device: 0,
            window: u64::from(task.window),
            packet_id: 0,
            written: vec![0; 1 << 16],
            rest: Vec::new(),
        })
    }

    /// Publishes its share and waits until all of it is acknowledged; latencies in microseconds, and bytes of payload.
    pub(crate) fn publish(&mut self, share: &Share) -> io::Result<(Vec<u64>, u64)> {
        self.stream.set_read_timeout(share.wait)?;
        let begun = Clock.instant();
        let mut latencies = Vec::with_capacity(usize::try_from(share.messages).unwrap_or(0));
        let (mut sent, mut payload_bytes) = (0, 0);
        let (mut out, mut answers) = (Vec::with_capacity(WRITE_BYTES + 4_096), vec![0; 64 << 10]);
        while (latencies.len() as u64) < share.messages {
            let until = self.may_send(share, begun, latencies.len() as u64);
            out.clear();
            let first = self.packet_id;
            let now_ms = Clock.now().as_micros() / 1_000;
            while sent < until && out.len() < WRITE_BYTES {
                payload_bytes += self.push_message(now_ms, &mut out);
                sent += 1;
            }
            if !out.is_empty() {
                self.note_written(first, micros_since(begun));
                self.stream.write_all(&out)?;
            }
            match self.stream.read(&mut answers) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(read) => self.take(&answers[..read], micros_since(begun), &mut latencies)?,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
        Ok((latencies, payload_bytes))
    }

    /// How many messages may have been sent by now: what is due, and what the window allows.
    fn may_send(&self, share: &Share, begun: Instant, acknowledged: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of messages, positive"
        )]
        let due = share.rate.map_or(share.messages, |rate| (begun.elapsed().as_secs_f64() * rate) as u64 + 1);
        share.messages.min(due).min(acknowledged + self.window)
    }

    /// Appends a PUBLISH of the next device; returns the payload's bytes.
    fn push_message(&mut self, now_ms: i64, out: &mut Vec<u8>) -> u64 {
        let device_count = self.devices.len();
        let device = &mut self.devices[self.next_device];
        self.next_device = (self.next_device + 1) % device_count;
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        let head = out.len();
        let topic_bytes = u16::try_from(device.topic.len()).expect("a topic of the bench is short");
        out.extend_from_slice(&[0x32, 0, 0]);
        out.extend_from_slice(&topic_bytes.to_be_bytes());
        out.extend_from_slice(device.topic.as_bytes());
        out.extend_from_slice(&self.packet_id.to_be_bytes());
        let payload = out.len();
        device.speak(now_ms, out);
        let remaining = out.len() - head - 3;
        let low = u8::try_from(remaining & 0x7f).expect("seven bits");
        out[head + 1] = low | 0x80;
        out[head + 2] = u8::try_from(remaining >> 7).expect("a message of the bench is shorter than 16 KiB");
        (out.len() - payload) as u64
    }

    fn note_written(&mut self, after: u16, micros: u64) {
        let mut id = after;
        while id != self.packet_id {
            id = id.checked_add(1).unwrap_or(1);
            self.written[usize::from(id)] = micros;
        }
    }

    fn take(&mut self, answers: &[u8], micros: u64, latencies: &mut Vec<u64>) -> io::Result<()> {
        self.rest.extend_from_slice(answers);
        let whole = self.rest.len() / PUBACK_BYTES * PUBACK_BYTES;
        for packet in self.rest[..whole].chunks_exact(PUBACK_BYTES) {
            if packet[0] != PUBACK || packet[1] != 2 {
                return Err(io::Error::other(format!("the server sent {packet:?} instead of a PUBACK")));
            }
            let id = u16::from_be_bytes([packet[2], packet[3]]);
            latencies.push(micros - self.written[usize::from(id)]);
        }
        self.rest.drain(..whole);
        Ok(())
    }
}

fn micros_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
