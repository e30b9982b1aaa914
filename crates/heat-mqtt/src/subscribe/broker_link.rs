//! One connection to the broker as its three parts see it: what polls it, what hands messages in, what acknowledges.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::link::{Delivery, LinkId, Settle, Ticked};

/// Bytes received that wait to be handed in; beyond it the connection is not polled. QoS 1 messages are bounded by the
/// receive maximum besides.
const STAGED_MAX_BYTES: usize = 8 << 20;
/// Messages received that wait to be handed in.
const STAGED_MAX: usize = 20_000;

#[derive(Debug)]
pub(crate) struct BrokerLink {
    pub(crate) link: LinkId,
    state: Mutex<State>,
    /// Receipts can be written, or the connection was made.
    pub(crate) work: Notify,
    /// Messages can be handed in, or no more come.
    pub(crate) staged: Notify,
    /// Messages were handed in.
    pub(crate) room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Messages without PUBACK in order of receipt, and whether each is durable.
    outstanding: VecDeque<(u16, bool)>,
    /// PUBACKs to write, in order of receipt.
    ready: VecDeque<u16>,
    staged: Vec<Delivery>,
    staged_bytes: usize,
    /// Set when the broker accepted us: whether it had a session for us.
    connected: Option<bool>,
    /// Messages come by it: the broker has our filters.
    is_subscribed: bool,
    is_closed: bool,
}

impl BrokerLink {
    pub(crate) fn new(link: LinkId) -> Self {
        Self {
            link,
            state: Mutex::default(),
            work: Notify::new(),
            staged: Notify::new(),
            room: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self, session_present: bool) {
        self.state().connected = Some(session_present);
        self.work.notify_one();
        self.staged.notify_one();
    }

    /// The broker has our filters; whether that is new.
    pub(crate) fn subscribed(&self) -> bool {
        !std::mem::replace(&mut self.state().is_subscribed, true)
    }

    /// Whether it has.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.state().is_subscribed
    }

    /// Whether the broker accepted us, and if so, whether it had a session.
    pub(crate) fn session_present(&self) -> Option<bool> {
        self.state().connected
    }

    /// Takes a message to be handed in.
    pub(crate) fn stage(&self, delivery: Delivery) {
        let mut state = self.state();
        if delivery.token.is_awaited() {
            state.outstanding.push_back((delivery.token.packet_id, false));
        }
        state.staged_bytes += delivery.payload.len() + delivery.topic.len();
        state.staged.push(delivery);
        drop(state);
        self.staged.notify_one();
    }

    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        state.staged_bytes > STAGED_MAX_BYTES || state.staged.len() > STAGED_MAX
    }

    /// Takes what is to be handed in; none when the connection is closed and nothing is left. When it is closed, only
    /// messages that nobody acknowledges are worth handing in: the broker sends the others again.
    pub(crate) fn take_staged(&self) -> Option<Vec<Delivery>> {
        let mut state = self.state();
        let mut staged = std::mem::take(&mut state.staged);
        state.staged_bytes = 0;
        if state.is_closed {
            staged.retain(|delivery| !delivery.token.is_awaited());
            if staged.is_empty() {
                return None;
            }
        }
        Some(staged)
    }

    /// Takes the next PUBACK to write.
    pub(crate) fn take_ready(&self) -> Option<u16> {
        self.state().ready.pop_front()
    }

    /// Whether every message so far is acknowledged, or on its way to be.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        state.outstanding.is_empty() && state.ready.is_empty()
    }

    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.staged.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }
}

impl Settle for BrokerLink {
    /// PUBACKs leave in order of receipt, whatever order the receipts come in.
    fn settle(&self, _link: LinkId, receipts: &[Ticked]) -> usize {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.is_closed {
            return receipts.len();
        }
        let mut stale = 0;
        for receipt in receipts {
            let waiting = state
                .outstanding
                .iter_mut()
                .find(|(packet_id, is_durable)| *packet_id == receipt.packet_id && !*is_durable);
            match waiting {
                Some((_, is_durable)) => *is_durable = true,
                None => stale += 1,
            }
            while let Some(&(packet_id, true)) = state.outstanding.front() {
                state.outstanding.pop_front();
                state.ready.push_back(packet_id);
            }
        }
        drop(guard);
        self.work.notify_one();
        stale
    }
}
