//! A TCP proxy on loopback that misbehaves on demand, as a network does.
//!
//! What it cannot imitate: a connection's handshake is made by this machine's kernel, so a peer behind a held link
//! connects and then hears nothing, where a real black hole leaves it connecting. Loss is imitated by what TCP makes of
//! it, a segment that comes a retransmission late with everything behind it; congestion control is not.

use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use pair::Pair;

pub use pair::Side;

mod pair;

/// How one direction of all connections behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// At once.
    Open,
    /// Nothing passes and nothing is closed: what is under way waits, as behind a black hole.
    Held,
    /// Late by `latency`; so many segments in a thousand are lost, and come again after a retransmission's time.
    Slow {
        /// One way.
        latency: Duration,
        /// Of segments of 1,460 bytes.
        loss_per_thousand: u64,
    },
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client that connected to the server behind the proxy.
    ToServer,
    /// Back.
    ToClient,
}

/// Listens on a port of its own and passes connections on to a server. It ends with the test.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    flows: Mutex<[Flow; 2]>,
    changed: Condvar,
    pairs: Mutex<Vec<Weak<Pair>>>,
    is_ended: AtomicBool,
}

/// A lock that another thread's panic has not made useless: the data are plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Proxy {
    /// Starts one in front of a port on 127.0.0.1.
    pub fn start(target_port: u16) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port for a proxy");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared {
            target: Mutex::new(SocketAddr::from((Ipv4Addr::LOCALHOST, target_port))),
            flows: Mutex::new([Flow::Open; 2]),
            changed: Condvar::new(),
            pairs: Mutex::new(Vec::new()),
            is_ended: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects clients to another port from the next connection on.
    pub fn aim_at(&self, target_port: u16) {
        *lock(&self.shared.target) = SocketAddr::from((Ipv4Addr::LOCALHOST, target_port));
    }

    /// Sets how one direction behaves, for present and future connections.
    pub fn set(&self, way: Way, flow: Flow) {
        lock(&self.shared.flows)[way as usize] = flow;
        self.shared.changed.notify_all();
    }

    /// The same for both directions.
    pub fn set_both(&self, flow: Flow) {
        self.set(Way::ToServer, flow);
        self.set(Way::ToClient, flow);
    }

    /// Ends all present connections with a reset on both sides.
    pub fn reset_all(&self) {
        for pair in self.pairs() {
            pair.reset();
        }
    }

    /// Closes one side of all present connections and tells the other side nothing: it stays open, what it sends is
    /// swallowed.
    pub fn half_open(&self, closed: Side) {
        for pair in self.pairs() {
            pair.half_open(closed);
        }
    }

    fn pairs(&self) -> Vec<Arc<Pair>> {
        let mut pairs = lock(&self.shared.pairs);
        pairs.retain(|pair| pair.strong_count() > 0);
        pairs.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        self.reset_all();
        // Wakes the thread that accepts.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if shared.is_ended.load(Ordering::Relaxed) {
            return;
        }
        let target = *lock(&shared.target);
        // A server that refuses is passed on as a connection that ends at once.
        let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else { continue };
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let pair = Arc::new(Pair::new(client, server));
        lock(&shared.pairs).push(Arc::downgrade(&pair));
        for way in [Way::ToServer, Way::ToClient] {
            let (pair, shared) = (Arc::clone(&pair), Arc::clone(shared));
            std::thread::Builder::new()
                .stack_size(128 << 10)
                .spawn(move || pair.carry(way, &shared))
                .expect("a thread can be started");
        }
    }
}

impl Shared {
    fn flow(&self, way: Way) -> Flow {
        lock(&self.flows)[way as usize]
    }

    /// Waits until a held direction may be free again.
    fn wait_for_change(&self, way: Way) {
        let flows = lock(&self.flows);
        if flows[way as usize] == Flow::Held {
            drop(self.changed.wait_timeout(flows, Duration::from_millis(200)));
        }
    }

    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }
}

/// Ends a socket so that its peer gets a reset.
fn close_with_reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).ok();
    // Wakes this socket's reader; the reset goes out when the last thread lets the socket go.
    stream.shutdown(Shutdown::Read).ok();
}

#[cfg(test)]
mod tests;
