//! Server-sent events: what happened to incidents, to clients that keep up.
//!
//! Every event is kept for a while, so that a client that lost its connection resumes with `Last-Event-ID`. Partitions
//! interleave as they were read; after a restart they may interleave otherwise, so a resuming client also gets again
//! what other partitions said shortly before its last event: events come at least once, and an incident's version
//! tells which are known. Without the last event at hand the stream begins with `event: reset`: load the lists anew.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use heat_model::{AppendTime, NetworkId, SiteId};
use heat_view::board::OutputPosition;
use prometheus::IntGauge;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{auth::Scope, state::PlantIndex};

/// A comment after so much silence keeps proxies from closing the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How far before the last seen event other partitions' events are sent again.
const OVERLAP: Duration = Duration::from_secs(10);
/// Largest sum of the kept events' texts.
const KEPT_MAX_BYTES: usize = 32 << 20;

/// What an event is about: it decides who is told.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) network: NetworkId,
    /// The site that is its place, where sites decide.
    pub(crate) place: Option<SiteId>,
    /// Further sites, where sites decide.
    pub(crate) sites: Vec<SiteId>,
}

impl About {
    /// A network as a whole.
    pub(crate) fn network(network: &NetworkId) -> Self {
        Self { network: network.clone(), place: None, sites: Vec::new() }
    }

    fn is_seen(&self, scope: &Scope, plant: &PlantIndex) -> bool {
        plant.concerns(&self.network, self.place.as_ref(), &self.sites, |owner| scope.covers_owner(owner))
    }

    fn bytes(&self) -> usize {
        self.sites.iter().map(|site| site.as_str().len() + size_of::<SiteId>()).sum()
    }
}

struct Kept {
    position: OutputPosition,
    at: AppendTime,
    about: About,
    frame: Bytes,
}

struct Client {
    scope: Scope,
    frames: mpsc::Sender<Bytes>,
    cut: Arc<AtomicBool>,
}

/// Kept events and clients.
pub(crate) struct EventHub {
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    kept_max: usize,
    clients: Vec<Client>,
    clients_max: usize,
    buffer: usize,
    gauge: IntGauge,
    closed: bool,
}

impl std::fmt::Debug for EventHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kept, clients) = (self.kept.len(), self.clients.len());
        f.debug_struct("EventHub").field("kept", &kept).field("clients", &clients).finish_non_exhaustive()
    }
}

/// A client's stream, or why there is none.
#[derive(Debug)]
pub(crate) enum Subscription {
    Stream(ClientStream),
    Full,
}

impl EventHub {
    pub(crate) fn new(kept_max: usize, clients_max: usize, buffer: usize, gauge: IntGauge) -> Self {
        Self {
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_max,
            clients: Vec::new(),
            clients_max,
            buffer,
            gauge,
            closed: false,
        }
    }

    /// Keeps an event and sends it to all clients that may see its network; returns how many were cut because their
    /// buffer was full.
    pub(crate) fn publish(
        &mut self,
        position: OutputPosition,
        about: About,
        at: AppendTime,
        data: &impl Serialize,
        plant: &PlantIndex,
    ) -> u64 {
        let frame = frame(position, data);
        let mut cut = 0;
        self.clients.retain(|client| {
            if !about.is_seen(&client.scope, plant) {
                return !client.frames.is_closed();
            }
            match client.frames.try_send(frame.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    client.cut.store(true, Ordering::Release);
                    cut += 1;
                    false
                }
            }
        });
        self.kept_bytes += frame.len() + about.bytes();
        self.kept.push_back(Kept { position, at, about, frame });
        while self.kept.len() > self.kept_max || self.kept_bytes > KEPT_MAX_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.frame.len() + oldest.about.bytes();
        }
        cut
    }

    /// A new client, from behind `last` on, else from now on; it gets what its scope lets it see.
    pub(crate) fn subscribe(
        &mut self,
        last: Option<OutputPosition>,
        scope: &Scope,
        plant: &PlantIndex,
    ) -> Subscription {
        self.clients.retain(|client| !client.frames.is_closed());
        if self.clients.len() >= self.clients_max {
            return Subscription::Full;
        }
        let backlog = last.map_or_else(VecDeque::new, |last| self.behind(last, scope, plant));
        let (frames, receiver) = mpsc::channel(self.buffer);
        let cut = Arc::new(AtomicBool::new(false));
        if !self.closed {
            self.clients.push(Client { scope: scope.clone(), frames, cut: Arc::clone(&cut) });
        }
        self.gauge.inc();
        Subscription::Stream(ClientStream { backlog, receiver, cut, ended: false, gauge: self.gauge.clone() })
    }

    fn behind(&self, last: OutputPosition, scope: &Scope, plant: &PlantIndex) -> VecDeque<Bytes> {
        let Some(place) = self.kept.iter().position(|kept| kept.position == last) else {
            return VecDeque::from([Bytes::from_static(b"event: reset\ndata: {}\n\n")]);
        };
        let since = self.kept[place].at.minus(OVERLAP);
        self.kept
            .iter()
            .enumerate()
            .filter(|(index, kept)| {
                *index > place || (kept.position.partition != last.partition && kept.at >= since)
            })
            .filter(|(_, kept)| kept.about.is_seen(scope, plant))
            .map(|(_, kept)| kept.frame.clone())
            .collect()
    }

    /// Ends all streams: the process shuts down.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.clients.clear();
    }

    #[cfg(test)]
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }
}

fn frame(position: OutputPosition, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("an event has string keys only");
    let mut text = String::with_capacity(data.len() + 64);
    // JSON text has no raw line ends, so one data line holds it.
    write!(text, "id: {position}\nevent: incident\ndata: {data}\n\n")
        .expect("writing to a string does not fail");
    text.into()
}

/// What one client gets.
#[derive(Debug)]
pub(crate) struct ClientStream {
    backlog: VecDeque<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
    cut: Arc<AtomicBool>,
    ended: bool,
    gauge: IntGauge,
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl ClientStream {
    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(frame) = self.backlog.pop_front() {
            return Some(frame);
        }
        if self.ended {
            return None;
        }
        match tokio::time::timeout(KEEP_ALIVE, self.receiver.recv()).await {
            Ok(Some(frame)) => Some(frame),
            Ok(None) => {
                self.ended = true;
                let slow = self.cut.load(Ordering::Acquire);
                slow.then(|| Bytes::from_static(b": cut, because this client does not keep up; resume\n\n"))
            }
            Err(_) => Some(Bytes::from_static(b": keep-alive\n\n")),
        }
    }

    pub(crate) fn frames(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        let hello = stream::iter([Ok(Bytes::from_static(b": heatstream\n\n"))]);
        let frames =
            stream::unfold(
                self,
                |mut client| async move { client.next().await.map(|frame| (Ok(frame), client)) },
            );
        futures_util::StreamExt::chain(hello, frames)
    }
}

#[cfg(test)]
mod tests;
