//! A proxy of HTTP/1.1 on loopback that a test tells, request by request, what to do wrong.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::pace;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on, and so is its answer.
    None,
    /// It is not passed on; this status is the answer.
    Answer(u16),
    /// It is passed on and takes effect; the connection ends without an answer.
    LoseAnswer,
    /// It is passed on and takes effect; the connection stays, and nobody answers until the client has enough.
    Silence,
    /// It is not passed on; the connection ends without an answer.
    LoseRequest,
    /// It is passed on so much later.
    Late(Duration),
    /// It is passed on without this header.
    Without(&'static str),
}

/// A request as the plan sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Counted from 0 since the plan was set.
    pub number: usize,
    /// Such as `PUT`.
    pub method: String,
    /// With the query.
    pub path: String,
    head: String,
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

type Plan = Box<dyn FnMut(&Seen) -> Fault + Send>;

struct Shared {
    target: u16,
    plan: Mutex<(usize, Plan)>,
    is_ended: AtomicBool,
}

/// Listens on a port of its own. It ends with the test.
pub struct HttpFaults {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for HttpFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpFaults").field("port", &self.port).finish_non_exhaustive()
    }
}

impl HttpFaults {
    /// Starts one in front of a port on 127.0.0.1; everything passes.
    pub fn start(target: u16) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port for a proxy");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let plan: Plan = Box::new(|_| Fault::None);
        let shared =
            Arc::new(Shared { target, plan: Mutex::new((0, plan)), is_ended: AtomicBool::new(false) });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Ok((client, _)) = listener.accept() {
                    if shared.is_ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || serve(client, &shared));
                }
            }
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What becomes of requests from now on.
    pub fn plan(&self, plan: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = (0, Box::new(plan));
    }

    /// How many requests came since the plan was set.
    pub fn requests(&self) -> usize {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for HttpFaults {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

/// One request of one connection; the client opens another one for the next.
fn serve(mut client: TcpStream, shared: &Shared) -> Option<()> {
    client.set_nodelay(true).ok();
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut first = head.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut seen = Seen { number: 0, method, path, head };
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let fault = {
        let mut plan = shared.plan.lock().unwrap_or_else(PoisonError::into_inner);
        seen.number = plan.0;
        plan.0 += 1;
        (plan.1)(&seen)
    };
    match fault {
        Fault::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} fault\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).ok()?;
        }
        Fault::LoseRequest => {}
        Fault::LoseAnswer => drop(passed_on(&seen.head, &body, shared.target)?),
        Fault::Silence => {
            drop(passed_on(&seen.head, &body, shared.target)?);
            // Ends when the client ends the connection.
            while reader.read(&mut [0]).is_ok_and(|count| count > 0) {}
        }
        Fault::Late(time) => {
            pace(time);
            client.write_all(&passed_on(&seen.head, &body, shared.target)?).ok()?;
        }
        Fault::Without(name) => {
            let is_other = |line: &&str| !line.to_ascii_lowercase().starts_with(&format!("{name}:"));
            let head: String = seen.head.split_inclusive("\r\n").filter(is_other).collect();
            client.write_all(&passed_on(&head, &body, shared.target)?).ok()?;
        }
        Fault::None => client.write_all(&passed_on(&seen.head, &body, shared.target)?).ok()?,
    }
    client.shutdown(Shutdown::Both).ok()
}

/// The whole answer of the server behind.
fn passed_on(head: &str, body: &[u8], target: u16) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    server.set_nodelay(true).ok();
    let head = head.trim_end_matches("\r\n");
    server.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    server.write_all(body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    Some(answer)
}
