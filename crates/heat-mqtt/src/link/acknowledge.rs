//! From a durable token to the connection that waits for it: one look-up, one lock and one wake for a run of tokens of
//! the same connection.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use heat_ledger::durable::Durable;

use super::{AckToken, LinkId, Qos};

/// A durable receipt of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticked {
    pub(crate) packet_id: u16,
    pub(crate) qos: Qos,
}

/// What takes acknowledgements for a link.
pub(crate) trait Settle: fmt::Debug + Send + Sync {
    /// Takes receipts of this link, in order; returns how many of them nobody waits for any more.
    fn settle(&self, link: LinkId, receipts: &[Ticked]) -> usize;
}

/// Which link's acknowledgements go where.
#[derive(Debug, Default)]
pub(crate) struct SinkTable {
    next: AtomicU64,
    sinks: RwLock<HashMap<LinkId, Arc<dyn Settle>>>,
    acknowledged: AtomicU64,
    stale: AtomicU64,
}

impl SinkTable {
    /// A link id that was never used before.
    pub(crate) fn next_id(&self) -> LinkId {
        LinkId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn insert(&self, link: LinkId, sink: Arc<dyn Settle>) {
        self.sinks.write().unwrap_or_else(PoisonError::into_inner).insert(link, sink);
    }

    pub(crate) fn remove(&self, link: LinkId) {
        self.sinks.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    fn settle(&self, link: LinkId, receipts: &[Ticked]) {
        if receipts.is_empty() {
            return;
        }
        let sink = self.sinks.read().unwrap_or_else(PoisonError::into_inner).get(&link).map(Arc::clone);
        let stale = sink.map_or(receipts.len(), |sink| sink.settle(link, receipts));
        self.acknowledged.fetch_add((receipts.len() - stale) as u64, Ordering::Relaxed);
        self.stale.fetch_add(stale as u64, Ordering::Relaxed);
    }
}

/// How many acknowledgements went which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AckCounts {
    /// Passed to the connection that waited for them.
    pub acknowledged: u64,
    /// Dropped, because the connection is gone: its source sends the messages again.
    pub stale: u64,
}

/// Acknowledges what is durable, on all links.
#[derive(Debug, Clone)]
pub struct Acknowledger {
    table: Arc<SinkTable>,
}

impl Acknowledger {
    pub(super) fn new(table: Arc<SinkTable>) -> Self {
        Self { table }
    }

    /// Acknowledges messages to their sources, in the order given. Never waits. Tokens of connections that are gone are
    /// dropped and counted.
    pub fn acknowledge(&self, tokens: impl IntoIterator<Item = Durable<AckToken>>) {
        let mut run: Option<LinkId> = None;
        let mut receipts = Vec::new();
        for token in tokens {
            let AckToken { link, packet_id, qos } = token.into_inner();
            if qos == Qos::AtMostOnce {
                continue;
            }
            if let Some(previous) = run
                && previous != link
            {
                self.table.settle(previous, &receipts);
                receipts.clear();
            }
            run = Some(link);
            receipts.push(Ticked { packet_id, qos });
        }
        if let Some(link) = run {
            self.table.settle(link, &receipts);
        }
    }

    /// What was acknowledged so far.
    pub fn counts(&self) -> AckCounts {
        AckCounts {
            acknowledged: self.table.acknowledged.load(Ordering::Relaxed),
            stale: self.table.stale.load(Ordering::Relaxed),
        }
    }
}
