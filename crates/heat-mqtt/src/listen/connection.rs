//! One device's socket: reads chunks, hands batches in, writes acknowledgements. One task, no task per packet, and next
//! to no memory while idle: bytes are read into a buffer that all connections of a thread share.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::{Notify, watch},
    time::{Instant, Sleep, sleep, timeout, timeout_at},
};

use super::{
    connect::{self, Accepted, Connect, Refusal, Will, authenticate, connack},
    machine::{End, Machine},
    session::{Hold, Session},
    sessions::Sessions,
    wire::{self, Frame, Malformed, Version},
};
use crate::{
    link::{
        AckToken, Delivery, DownReason, Inlet, LinkEvent, LinkId, Qos, ReceiverGone, Source, Ticked, Way,
    },
    settings::ListenSettings,
    stats::ListenCounters,
};

/// Read at once: some hundred messages, one system call.
const CHUNK_BYTES: usize = 64 << 10;
/// Largest CONNECT: client id, user, password, will of 64 KiB each.
const CONNECT_MAX_BYTES: usize = 320 << 10;
/// Output that waits for the client to read; beyond it, reading from the client pauses.
const OUTPUT_MAX_BYTES: usize = 64 << 10;
/// Time to get the last bytes out to a client that is being disconnected.
const FAREWELL: Duration = Duration::from_secs(1);

thread_local! {
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into_boxed_slice());
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<ListenSettings>,
    pub(crate) inlet: Inlet,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Arc<ListenCounters>,
}

/// A stream with what was read of an incomplete packet.
#[derive(Debug)]
struct Reader<S> {
    stream: S,
    partial: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Reads once; returns the bytes read so far if they hold a complete packet, or its end was not found in
    /// `packet_max_bytes`.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, packet_max_bytes: usize) -> Poll<io::Result<Received>> {
        CHUNK.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(shared);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(Received::End));
            }
            if self.partial.is_empty() && !is_incomplete(read, packet_max_bytes) {
                return Poll::Ready(Ok(Received::Chunk(Bytes::copy_from_slice(read))));
            }
            self.partial.extend_from_slice(read);
            if is_incomplete(&self.partial, packet_max_bytes) {
                return Poll::Ready(Ok(Received::Part));
            }
            Poll::Ready(Ok(Received::Chunk(std::mem::take(&mut self.partial).freeze())))
        })
    }

    async fn chunk(&mut self, packet_max_bytes: usize) -> io::Result<Received> {
        poll_fn(|cx| self.poll_chunk(cx, packet_max_bytes)).await
    }

    /// Keeps what is left of a chunk.
    fn keep(&mut self, rest: &[u8]) {
        self.partial = BytesMut::from(rest);
    }
}

#[derive(Debug)]
enum Received {
    Chunk(Bytes),
    Part,
    End,
}

/// Whether the first packet is incomplete, well-formed so far, and not too large.
fn is_incomplete(bytes: &[u8], packet_max_bytes: usize) -> bool {
    match wire::frame(bytes) {
        Ok(None) => true,
        Ok(Some(frame)) => frame.end > bytes.len() && frame.end <= packet_max_bytes,
        Err(Malformed) => false,
    }
}

/// Serves one connection to its end. `stream` is TCP, or whatever lies upon it.
pub(crate) async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut reader = Reader { stream, partial: BytesMut::new() };
    let deadline = Instant::now() + shared.settings.connect_timeout;
    let connect = tokio::select! {
        connect = timeout_at(deadline, read_connect(&mut reader, &shared.settings)) => connect,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let connect = match connect {
        Ok(Ok(connect)) => connect,
        Ok(Err(None)) => {
            shared.counters.refused.malformed.increment();
            return;
        }
        Ok(Err(Some((version, refusal)))) => return refuse(reader.stream, version, refusal, &shared).await,
        Err(_elapsed) => {
            shared.counters.refused.timeout.increment();
            return;
        }
    };
    let version = connect.version;
    match Connection::open(reader, peer, connect, shared) {
        Ok(connection) => connection.run(stop).await,
        Err((stream, refusal, shared)) => refuse(stream, version, refusal, &shared).await,
    }
}

/// Reads the CONNECT. An error without a refusal closes the connection without a word.
async fn read_connect<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    settings: &ListenSettings,
) -> Result<Connect, Option<(Version, Refusal)>> {
    loop {
        let chunk = match reader.chunk(CONNECT_MAX_BYTES).await {
            Ok(Received::Chunk(chunk)) => chunk,
            // What can't become a CONNECT need not be waited for.
            Ok(Received::Part)
                if reader.partial.first().is_some_and(|&first| first >> 4 != wire::CONNECT) =>
            {
                return Err(None);
            }
            Ok(Received::Part) => continue,
            Ok(Received::End) | Err(_) => return Err(None),
        };
        let Ok(Some(frame)) = wire::frame(&chunk) else { return Err(None) };
        if frame.packet_type() != wire::CONNECT || frame.end > chunk.len() {
            return Err(None);
        }
        let Frame { first, body_at, end } = frame;
        let body = &chunk[body_at..end];
        let version = match connect::version(body) {
            Ok(version) => version,
            // Whatever it speaks, the older form of refusal is the one it may know.
            Err(Refusal::Version) => return Err(Some((Version::V311, Refusal::Version))),
            Err(_) => return Err(None),
        };
        let mut connect =
            connect::parse(first, body, settings).map_err(|refusal| Some((version, refusal)))?;
        authenticate(&mut connect, &settings.users).map_err(|refusal| Some((version, refusal)))?;
        if end < chunk.len() {
            reader.keep(&chunk[end..]);
        }
        return Ok(connect);
    }
}

async fn refuse<S: AsyncWrite + Unpin>(mut stream: S, version: Version, refusal: Refusal, shared: &Shared) {
    let refused = &shared.counters.refused;
    let counter = match refusal {
        Refusal::Malformed => &refused.malformed,
        Refusal::Version => &refused.version,
        Refusal::ClientId => &refused.client_id,
        Refusal::Credentials => &refused.credentials,
        Refusal::AuthenticationMethod => &refused.authentication_method,
        Refusal::UserFull => &refused.user_full,
    };
    counter.increment();
    let Some(connack) = refusal.connack(version) else { return };
    let farewell = async {
        stream.write_all(&connack).await?;
        stream.shutdown().await
    };
    match timeout(FAREWELL, farewell).await {
        // The client is refused either way, whether it hears why or not.
        Ok(Ok(()) | Err(_)) | Err(_) => {}
    }
}

type Blocked = Pin<Box<dyn Future<Output = Result<(), ReceiverGone>> + Send>>;

/// An established connection.
struct Connection<S> {
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
    output: Vec<u8>,
    written: usize,
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
    fn open(
        reader: Reader<S>,
        peer: SocketAddr,
        mut connect: Connect,
        shared: Arc<Shared>,
    ) -> Result<Self, (S, Refusal, Arc<Shared>)> {
        let link = shared.inlet.table().next_id();
        let is_assigned = connect.client_id.is_empty();
        if is_assigned {
            connect.client_id = format!("auto-{link}");
        }
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
        let output = connack(connect.version, &accepted, &settings);
        let source = Arc::new(Source {
            way: Way::Listen,
            client_id: connect.client_id,
            user: connect.user,
            peer: Some(peer),
            name: peer.to_string(),
        });
        let counters = Arc::clone(&shared.counters);
        counters.accepted.increment();
        let session = opened.session;
        let machine = Machine::new(
            connect.version,
            link,
            Arc::clone(&source),
            Arc::clone(&session),
            settings,
            counters,
        );
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
            written: 0,
            blocked: None,
            last_received: Instant::now(),
            stalled_since: None,
            is_stopping: false,
        })
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
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
                && self.output.is_empty()
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
        let has_output = !self.output.is_empty();
        let is_blocked = self.blocked.is_some();
        let Self { reader, output, written, blocked, is_stopping, .. } = self;
        // Reading and writing need the stream in turn; each borrows it only while it is polled.
        let mut timer = timer;
        let io = poll_fn(|cx| {
            if has_output && let Poll::Ready(result) = poll_output(&mut reader.stream, output, written, cx) {
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
            && self.output.len() < OUTPUT_MAX_BYTES
    }

    fn received(&mut self, chunk: &Bytes) -> Result<(), End> {
        self.last_received = Instant::now();
        let mut deliveries = Vec::new();
        let result = self.machine.receive(chunk, &mut deliveries, &mut self.output);
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
        if self.session.take_output(self.link, &mut self.ready, &mut self.output) == Hold::TakenOver {
            return Err(End::because(DownReason::TakenOver, 0x8e));
        }
        self.machine.acknowledge(&self.ready, &mut self.output);
        if self.ready.capacity() > 1024 {
            self.ready = Vec::new();
        }
        Ok(())
    }

    fn check_time(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        if !self.output.is_empty() {
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
            wire::write_disconnect(code, &mut self.output);
        }
        let farewell = async {
            self.reader.stream.write_all(&self.output[self.written..]).await?;
            self.reader.stream.shutdown().await
        };
        match timeout(FAREWELL, farewell).await {
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

/// Writes on; ready when all is written.
fn poll_output<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Vec<u8>,
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while *written < output.len() {
        let count = ready!(Pin::new(&mut *stream).poll_write(cx, &output[*written..]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *written += count;
    }
    *written = 0;
    // A burst's buffer is given back, an ordinary one is kept.
    if output.capacity() > 4096 {
        *output = Vec::new();
    } else {
        output.clear();
    }
    // Nothing to flush on TCP; a cipher above it holds bytes back.
    Pin::new(stream).poll_flush(cx)
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
