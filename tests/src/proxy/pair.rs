//! One connection through the proxy: two sockets, and a thread for each direction.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use super::{Flow, Shared, Way, close_with_reset};
use crate::Random;

/// Payload of a full TCP segment on Ethernet.
const SEGMENT_BYTES: usize = 1_460;
/// What waits for its time in a slow direction, at most: then the proxy stops reading, and TCP slows the sender.
const QUEUE_MAX_BYTES: usize = 4 << 20;
/// Linux's smallest retransmission timeout.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_millis(500);

/// One side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client that connected.
    Client,
    /// The server behind the proxy.
    Server,
}

const BOTH_OPEN: u8 = 0;
const RESET: u8 = 1;
const CLIENT_CLOSED: u8 = 2;
const SERVER_CLOSED: u8 = 3;

#[derive(Debug)]
pub(super) struct Pair {
    client: TcpStream,
    server: TcpStream,
    state: AtomicU8,
}

/// Bytes with the time at which they go on.
struct Late {
    due: Instant,
    bytes: Vec<u8>,
}

impl Pair {
    pub(super) fn new(client: TcpStream, server: TcpStream) -> Self {
        Self { client, server, state: AtomicU8::new(BOTH_OPEN) }
    }

    pub(super) fn reset(&self) {
        self.state.store(RESET, Ordering::Relaxed);
        close_with_reset(&self.client);
        close_with_reset(&self.server);
    }

    pub(super) fn half_open(&self, closed: Side) {
        let (state, stream) = match closed {
            Side::Client => (CLIENT_CLOSED, &self.client),
            Side::Server => (SERVER_CLOSED, &self.server),
        };
        self.state.store(state, Ordering::Relaxed);
        stream.shutdown(Shutdown::Both).ok();
    }

    /// Carries one direction until the connection ends.
    pub(super) fn carry(&self, way: Way, shared: &Shared) {
        let (from, to, from_side) = match way {
            Way::ToServer => (&self.client, &self.server, Side::Client),
            Way::ToClient => (&self.server, &self.client, Side::Server),
        };
        let mut late: VecDeque<Late> = VecDeque::new();
        let mut waiting_bytes = 0;
        let mut random = Random::new(u64::from(from.peer_addr().map_or(0, |address| address.port())));
        let mut buffer = vec![0; 64 << 10];
        loop {
            let flow = shared.flow(way);
            if shared.is_ended() || self.state.load(Ordering::Relaxed) == RESET {
                break;
            }
            if self.is_closed(from_side) {
                // The other direction keeps the open side alive and swallows what it sends.
                return;
            }
            if flow == Flow::Held {
                shared.wait_for_change(way);
                continue;
            }
            if !self.deliver(to, &mut late, &mut waiting_bytes) {
                break;
            }
            let wait = late.front().map_or(IDLE, |front| front.due.saturating_duration_since(Instant::now()));
            if waiting_bytes >= QUEUE_MAX_BYTES {
                std::thread::park_timeout(wait);
                continue;
            }
            from.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).ok();
            match { from }.read(&mut buffer) {
                Ok(0) => {
                    self.finish(to, late, shared, way);
                    break;
                }
                Ok(count) => {
                    waiting_bytes += count;
                    queue(&mut late, &buffer[..count], shared.flow(way), &mut random);
                }
                Err(error) if is_timeout(error.kind()) => {}
                Err(_) => {
                    to.shutdown(Shutdown::Both).ok();
                    break;
                }
            }
        }
    }

    fn is_closed(&self, side: Side) -> bool {
        let closed = if side == Side::Client { CLIENT_CLOSED } else { SERVER_CLOSED };
        self.state.load(Ordering::Relaxed) == closed
    }

    /// Writes what is due; false when that cannot be.
    fn deliver(&self, mut to: &TcpStream, late: &mut VecDeque<Late>, waiting_bytes: &mut usize) -> bool {
        while late.front().is_some_and(|front| front.due <= Instant::now()) {
            let Some(Late { bytes, .. }) = late.pop_front() else { break };
            *waiting_bytes -= bytes.len();
            let swallows = matches!(self.state.load(Ordering::Relaxed), CLIENT_CLOSED | SERVER_CLOSED);
            if !swallows && to.write_all(&bytes).is_err() {
                // Closed meanwhile on purpose, or really gone.
                return matches!(self.state.load(Ordering::Relaxed), CLIENT_CLOSED | SERVER_CLOSED);
            }
        }
        true
    }

    /// The sender said good-bye: what is under way still arrives, then the good-bye.
    fn finish(&self, mut to: &TcpStream, late: VecDeque<Late>, shared: &Shared, way: Way) {
        for Late { due, bytes } in late {
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                std::thread::park_timeout(left);
            }
            while shared.flow(way) == Flow::Held && !shared.is_ended() {
                shared.wait_for_change(way);
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        if self.state.load(Ordering::Relaxed) == BOTH_OPEN {
            to.shutdown(Shutdown::Write).ok();
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Gives bytes the time at which they arrive: never before what came before them.
fn queue(late: &mut VecDeque<Late>, bytes: &[u8], flow: Flow, random: &mut Random) {
    let now = Instant::now();
    let not_before = late.back().map_or(now, |last| last.due);
    match flow {
        Flow::Open | Flow::Held => late.push_back(Late { due: not_before.max(now), bytes: bytes.to_vec() }),
        Flow::Slow { latency, loss_per_thousand } => {
            let mut due = not_before.max(now + latency);
            for segment in bytes.chunks(SEGMENT_BYTES) {
                if random.between(0, 1_000) < loss_per_thousand {
                    due += RETRANSMISSION.max(2 * latency);
                }
                late.push_back(Late { due, bytes: segment.to_vec() });
            }
        }
    }
}
