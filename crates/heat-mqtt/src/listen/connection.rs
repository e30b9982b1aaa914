//! One device's socket: reads chunks, hands batches in, writes acknowledgements. One task, no task per packet, and next
//! to no memory while idle.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, watch},
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    connect::{Accepted, Connect, Proven, Refusal, Will, connack},
    machine::{End, Machine},
    output::Output,
    reader::{Reader, Received},
    session::{Hold, Session},
    sessions::Sessions,
    wire::{self, Version},
};
use crate::{
    link::{
        AckToken, Delivery, DownReason, Inlet, LinkEvent, LinkId, Qos, ReceiverGone, Source, Ticked, Way,
    },
    settings::ListenSettings,
    state::HostState,
    stats::ListenCounters,
    tls::{Handshake, ServerTls, TlsError},
};

/// Output that waits for the client to read; beyond it, reading from the client pauses.
const OUTPUT_MAX_BYTES: usize = 64 << 10;
/// Time to get the last bytes out to a client that is being disconnected.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);
/// Failed handshakes are counted one by one and told of no more often than this.
const WARNING_PAUSE: Duration = Duration::from_secs(30);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<ListenSettings>,
    pub(crate) inlet: Inlet,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Arc<ListenCounters>,
    /// A Sparkplug host's STATE, if this is one.
    pub(crate) state: OnceLock<Arc<HostState>>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    last_warning: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn new(
        settings: ListenSettings,
        inlet: Inlet,
        sessions: Sessions,
        counters: Arc<ListenCounters>,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            inlet,
            sessions,
            counters,
            state: OnceLock::new(),
            tls,
            last_warning: Mutex::default(),
        }
    }

    /// Counts and tells how replacing the certificates went.
    pub(crate) fn reloaded(&self, reloaded: &Result<(), TlsError>) {
        match reloaded {
            Ok(()) => {
                self.counters.tls.reloads.increment();
                tracing::info!("new certificates of the MQTT listener are in use");
            }
            Err(error) => {
                self.counters.tls.reload_failures.increment();
                tracing::warn!(
                    error = %crate::reconnect::chain(error),
                    "the MQTT listener's new certificates can't be used; the former stay in use"
                );
            }
        }
    }

    pub(crate) fn warn_of_handshake(&self, error: &Handshake, peer: SocketAddr) {
        let now = Instant::now();
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now < last + WARNING_PAUSE) {
            return;
        }
        *last = Some(now);
        tracing::warn!(
            error = %crate::reconnect::chain(error), %peer,
            "a TLS handshake of a device failed; further ones are counted by reason, and told of every 30 s at most"
        );
    }
}

type Blocked = Pin<Box<dyn Future<Output = Result<(), ReceiverGone>> + Send>>;

/// An established connection.
pub(crate) struct Connection<S> {
    reader: Reader<S>,
    shared: Arc<Shared>,
    machine: Machine,
    session: Arc<Session>,
    link: LinkId,
    source: Arc<Source>,
    version: Version,
    session_expiry: Duration,
    keep_alive: Duration,
    will: Option<Will>,
    wake: Arc<Notify>,
    /// Scratch for receipts to write.
    ready: Vec<Ticked>,
    output: Output,
    /// A batch that waits for room at the receiver.
    blocked: Option<Blocked>,
    last_received: Instant,
    /// Since when the client has not read.
    stalled_since: Option<Instant>,
    is_stopping: bool,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Opens the session and accepts the client.
    pub(crate) fn open(
        reader: Reader<S>,
        peer: SocketAddr,
        mut connect: Connect,
        proven: Proven,
        shared: Arc<Shared>,
    ) -> Result<Self, (S, Refusal, Arc<Shared>)> {
        let link = shared.inlet.table().next_id();
        let is_assigned = connect.client_id.is_empty();
        connect.client_id = match proven.client_id(&connect.client_id, link.0) {
            Ok(client_id) => client_id,
            Err(refusal) => return Err((reader.stream, refusal, shared)),
        };
        connect.user = proven.user;
        let wake = Arc::new(Notify::new());
        let opened = match shared.sessions.open(&connect, link, &wake) {
            Ok(opened) => opened,
            Err(refusal) => return Err((reader.stream, refusal, shared)),
        };
        let settings = Arc::clone(&shared.settings);
        let keep_alive = match connect.keep_alive {
            Duration::ZERO => settings.keep_alive_max,
            asked => asked.min(settings.keep_alive_max),
        };
        let accepted = Accepted {
            session_present: opened.is_present,
            session_expiry: connect.session_expiry,
            keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            assigned_client_id: is_assigned.then_some(connect.client_id.as_str()),
        };
        let mut output = Output::default();
        output.bytes = connack(connect.version, &accepted, &settings);
        let source = Arc::new(Source {
            way: Way::Listen,
            client_id: connect.client_id,
            user: connect.user,
            rights: proven.rights,
            peer: Some(peer),
            name: peer.to_string(),
        });
        let counters = Arc::clone(&shared.counters);
        counters.accepted.increment();
        let session = opened.session;
        let mut machine = Machine::new(
            connect.version,
            link,
            Arc::clone(&source),
            Arc::clone(&session),
            settings,
            counters,
        );
        machine.announce(shared.state.get().map(Arc::clone));
        Ok(Self {
            reader,
            shared,
            machine,
            session,
            link,
            source,
            version: connect.version,
            session_expiry: connect.session_expiry,
            // A client of version 3.1.1 that asked for more than allowed can't be told: it is held to what it asked for.
            keep_alive: match connect.version {
                Version::V311 if !connect.keep_alive.is_zero() => connect.keep_alive,
                Version::V311 | Version::V5 => keep_alive,
            },
            will: connect.will,
            wake,
            ready: Vec::new(),
            output,
            blocked: None,
            last_received: Instant::now(),
            stalled_since: None,
            is_stopping: false,
        })
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let up = LinkEvent::Up(self.link, Arc::clone(&self.source));
        let end = match self.shared.inlet.tell(up).await {
            Ok(()) => self.serve(&mut stop).await,
            Err(ReceiverGone) => End { will: false, ..End::because(DownReason::ShuttingDown, 0x8b) },
        };
        self.finish(end).await;
    }

    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        if !self.reader.partial.is_empty() {
            let early = std::mem::take(&mut self.reader.partial).freeze();
            if let Err(end) = self.received(&early) {
                return end;
            }
        }
        let mut timer = pin!(sleep(self.keep_alive.min(self.shared.settings.write_timeout)));
        let wake = Arc::clone(&self.wake);
        loop {
            let step = self.step(&wake, stop, timer.as_mut()).await;
            if let Err(end) = step {
                return end;
            }
            if self.is_stopping
                && self.blocked.is_none()
                && self.machine.is_settled()
                && !self.output.is_pending()
            {
                return End { will: false, ..End::because(DownReason::ShuttingDown, 0x8b) };
            }
        }
    }

    /// Waits for the next thing to do, and does it.
    async fn step(
        &mut self,
        wake: &Notify,
        stop: &mut watch::Receiver<bool>,
        timer: Pin<&mut Sleep>,
    ) -> Result<(), End> {
        let may_read = self.may_read();
        let packet_max_bytes = self.shared.settings.packet_max_bytes as usize;
        let is_blocked = self.blocked.is_some();
        let Self { reader, output, blocked, is_stopping, .. } = self;
        // Reading and writing need the stream in turn; each borrows it only while it is polled.
        let mut timer = timer;
        let io = poll_fn(|cx| {
            if output.is_pending()
                && let Poll::Ready(result) = output.poll(&mut reader.stream, cx)
            {
                return Poll::Ready(Io::Written(result));
            }
            if may_read && let Poll::Ready(result) = reader.poll_chunk(cx, packet_max_bytes) {
                return Poll::Ready(Io::Read(result));
            }
            Poll::Pending
        });
        let happened = tokio::select! {
            biased;
            () = wake.notified() => Happened::Woken,
            result = handed_in(blocked), if is_blocked => Happened::HandedIn(result),
            _ = stop.wait_for(|stop| *stop), if !*is_stopping => Happened::Stop,
            io = io => Happened::Io(io),
            () = timer.as_mut() => Happened::Timer,
        };
        match happened {
            Happened::Woken => self.take_output(),
            Happened::HandedIn(Ok(())) => {
                self.blocked = None;
                // Time spent waiting for our own receiver is not the client's silence.
                self.last_received = Instant::now();
                Ok(())
            }
            Happened::HandedIn(Err(ReceiverGone)) => {
                self.blocked = None;
                Err(End { will: false, ..End::because(DownReason::ShuttingDown, 0x8b) })
            }
            Happened::Io(Io::Written(Ok(()))) => {
                self.stalled_since = None;
                Ok(())
            }
            Happened::Io(Io::Read(Ok(Received::Chunk(chunk)))) => self.received(&chunk),
            Happened::Io(Io::Read(Ok(Received::Part))) => {
                self.last_received = Instant::now();
                Ok(())
            }
            Happened::Io(Io::Read(Ok(Received::End) | Err(_)) | Io::Written(Err(_))) => {
                Err(End { reason: DownReason::Closed, code: None, will: true })
            }
            Happened::Timer => self.check_time(timer),
            Happened::Stop => {
                self.is_stopping = true;
                Ok(())
            }
        }
    }

    fn may_read(&self) -> bool {
        !self.is_stopping
            && self.blocked.is_none()
            && !self.machine.is_full()
            && self.output.bytes.len() < OUTPUT_MAX_BYTES
    }

    fn received(&mut self, chunk: &Bytes) -> Result<(), End> {
        self.last_received = Instant::now();
        let mut deliveries = Vec::new();
        let result = self.machine.receive(chunk, &mut deliveries, &mut self.output.bytes);
        self.hand_in(deliveries);
        let taken = result?;
        if taken < chunk.len() {
            self.reader.keep(&chunk[taken..]);
        }
        Ok(())
    }

    fn hand_in(&mut self, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let bytes: usize =
            deliveries.iter().map(|delivery| delivery.topic.len() + delivery.payload.len()).sum();
        self.shared.counters.messages.add(deliveries.len());
        self.shared.counters.bytes.add(bytes);
        if let Err(deliveries) = self.shared.inlet.try_hand_in(deliveries) {
            self.blocked = Some(Box::pin(self.shared.inlet.clone().hand_in(deliveries)));
        }
    }

    /// Encodes the acknowledgements and commands that wait; they leave in one write.
    fn take_output(&mut self) -> Result<(), End> {
        self.ready.clear();
        if self.session.take_output(self.link, &mut self.ready, &mut self.output.bytes) == Hold::TakenOver {
            return Err(End::because(DownReason::TakenOver, 0x8e));
        }
        self.machine.acknowledge(&self.ready, &mut self.output.bytes);
        if self.ready.capacity() > 1024 {
            self.ready = Vec::new();
        }
        Ok(())
    }

    fn check_time(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        if self.output.is_pending() {
            if self.output.take_moved() {
                self.stalled_since = None;
            }
            let since = *self.stalled_since.get_or_insert(now);
            if now >= since + self.shared.settings.write_timeout {
                self.shared.counters.write_stalled.increment();
                return Err(End { reason: DownReason::WriteStalled, code: None, will: true });
            }
        }
        if !self.may_read() {
            self.last_received = now;
        }
        let deadline = self.last_received + self.keep_alive + self.keep_alive / 2;
        if now >= deadline {
            self.shared.counters.keep_alive_expired.increment();
            return Err(End::because(DownReason::KeepAlive, 0x8d));
        }
        let next = match self.stalled_since {
            Some(since) => deadline.min(since + self.shared.settings.write_timeout),
            None => deadline.min(now + self.shared.settings.write_timeout),
        };
        timer.as_mut().reset(next);
        Ok(())
    }

    /// Says farewell, and hands in what there still is: the last batch, the will, the end of the link.
    async fn finish(mut self, end: End) {
        match end.reason {
            DownReason::Oversized => self.shared.counters.oversized.increment(),
            DownReason::ProtocolError => self.shared.counters.protocol_errors.increment(),
            DownReason::ReceiveMaximum => self.shared.counters.receive_maximum_exceeded.increment(),
            DownReason::Disconnected
            | DownReason::Closed
            | DownReason::KeepAlive
            | DownReason::TakenOver
            | DownReason::WriteStalled
            | DownReason::ShuttingDown => {}
        }
        if let Some(code) = end.code
            && self.version == Version::V5
        {
            wire::write_disconnect(code, &mut self.output.bytes);
        }
        match timeout(FAREWELL, self.output.write_last(&mut self.reader.stream)).await {
            // The connection ends either way.
            Ok(Ok(()) | Err(_)) | Err(_) => {}
        }
        if let Some(blocked) = self.blocked.take()
            && blocked.await.is_err()
        {
            tracing::debug!(link = %self.link, "the receiver is gone before the connection's last batch");
        }
        let mut will = self.will.take();
        if !end.will && will.take().is_some() {
            self.shared.counters.wills_discarded.increment();
        }
        let will = self.shared.sessions.close(
            &self.session,
            self.link,
            &self.source,
            self.kept_for(),
            will,
            Instant::now(),
        );
        if let Some(will) = will {
            let batch = vec![will_delivery(will, self.link, &self.source)];
            if self.shared.inlet.clone().hand_in(batch).await.is_ok() {
                self.shared.counters.wills_delivered.increment();
            }
        }
        if self.shared.inlet.tell(LinkEvent::Down(self.link, end.reason)).await.is_err() {
            tracing::debug!(link = %self.link, "the receiver is gone before the connection's end");
        }
    }

    /// How long the session outlives the connection.
    fn kept_for(&self) -> Duration {
        match self.machine.session_expiry_seconds() {
            // The standard forbids to ask for a session at the end that was not asked for at the beginning.
            Some(seconds) if !self.session_expiry.is_zero() => {
                Duration::from_secs(u64::from(seconds)).min(self.shared.settings.session_expiry_max)
            }
            Some(_) | None => self.session_expiry,
        }
    }
}

#[derive(Debug)]
enum Io {
    Read(io::Result<Received>),
    Written(io::Result<()>),
}

#[derive(Debug)]
enum Happened {
    Woken,
    HandedIn(Result<(), ReceiverGone>),
    Io(Io),
    Timer,
    Stop,
}

/// Waits for room at the receiver; never without a batch.
async fn handed_in(blocked: &mut Option<Blocked>) -> Result<(), ReceiverGone> {
    match blocked {
        Some(blocked) => blocked.as_mut().await,
        None => std::future::pending().await,
    }
}

/// A last will as a message.
pub(crate) fn will_delivery(will: Will, link: LinkId, source: &Arc<Source>) -> Delivery {
    Delivery {
        link,
        source: Arc::clone(source),
        topic: will.topic,
        payload: will.payload,
        qos: Qos::AtMostOnce,
        retain: false,
        dup: false,
        will: true,
        token: AckToken { link, packet_id: 0, qos: Qos::AtMostOnce },
        properties: will.properties,
    }
}
