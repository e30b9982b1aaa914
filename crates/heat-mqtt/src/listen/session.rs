//! What outlives a connection: unfinished QoS 2 messages and subscriptions.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::wire::{Version, write_publish};
use crate::link::{LinkId, Qos, Settle, SinkTable, Ticked};

/// Bytes of commands that wait for a device to read.
const COMMANDS_MAX_BYTES: usize = 64 << 10;

/// Whose session: two users may use the same client id without harming each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    pub(crate) user: Option<String>,
    pub(crate) client_id: String,
}

/// One client's session.
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    table: Arc<SinkTable>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// Receipts that wait to be written on the current connection.
    ready: Vec<Ticked>,
    /// Commands that wait to be written on the current connection, encoded.
    commands: Vec<u8>,
    exactly_once: BTreeMap<u16, Receipt>,
    filters: VecDeque<String>,
}

#[derive(Debug)]
struct Current {
    link: LinkId,
    version: Version,
    packet_max_bytes: Option<u32>,
    wake: Arc<Notify>,
}

/// A QoS 2 message between PUBLISH and PUBREL.
#[derive(Debug, Clone, Copy)]
struct Receipt {
    /// The connection it was handed to the receiver from; its token names it.
    delivered_on: LinkId,
    /// The connection it was last sent on; PUBREC goes there only.
    awaited_on: LinkId,
    durable: bool,
}

/// What a QoS 2 PUBLISH is to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Not seen before: hand it to the receiver.
    New,
    /// Already with the receiver; PUBREC follows when it is durable.
    Waiting,
    /// Already durable: PUBREC now.
    Durable,
}

/// What a PUBREL is to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Released,
    Unknown,
    /// The client may not release what it has no PUBREC for.
    NotReceived,
}

/// Whether a connection is still the session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Mine,
    TakenOver,
}

/// What became of a command for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Taken,
    Dropped,
    NotListening,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(key: SessionKey, table: Arc<SinkTable>) -> Self {
        Self { key, table, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection the session's; the one before it, if any, is woken and will find out.
    pub(crate) fn attach(
        &self,
        link: LinkId,
        version: Version,
        packet_max_bytes: Option<u32>,
        wake: Arc<Notify>,
    ) -> Hold {
        let mut state = self.state();
        state.ready.clear();
        state.commands.clear();
        let previous = state.current.replace(Current { link, version, packet_max_bytes, wake });
        match previous {
            Some(previous) => {
                previous.wake.notify_one();
                Hold::TakenOver
            }
            None => Hold::Mine,
        }
    }

    /// Takes the session away from whichever connection has it, e.g. because a new session replaces it.
    pub(crate) fn supersede(&self) -> Hold {
        let previous = self.state().current.take();
        match previous {
            Some(previous) => {
                previous.wake.notify_one();
                Hold::TakenOver
            }
            None => Hold::Mine,
        }
    }

    /// Ends a connection's hold; tells whether it still had it.
    pub(crate) fn detach(&self, link: LinkId) -> Hold {
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|current| current.link == link) {
            state.current = None;
            state.ready = Vec::new();
            state.commands = Vec::new();
            Hold::Mine
        } else {
            Hold::TakenOver
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.state().current.is_some()
    }

    /// Whether a message that came by this link still waits to become durable in this session.
    pub(crate) fn awaits(&self, link: LinkId) -> bool {
        self.state().awaits(link)
    }

    /// Forgets all messages; their tokens become stale.
    pub(crate) fn forget(&self) {
        let receipts = std::mem::take(&mut self.state().exactly_once);
        for receipt in receipts.into_values() {
            self.table.remove(receipt.delivered_on);
        }
    }

    /// Takes what waits to be written on this connection. The caller passes the vectors it emptied before.
    pub(crate) fn take_output(&self, link: LinkId, ready: &mut Vec<Ticked>, commands: &mut Vec<u8>) -> Hold {
        let mut state = self.state();
        if state.current.as_ref().is_none_or(|current| current.link != link) {
            return Hold::TakenOver;
        }
        std::mem::swap(&mut state.ready, ready);
        if !state.commands.is_empty() {
            commands.append(&mut state.commands);
            state.commands = Vec::new();
        }
        Hold::Mine
    }

    /// A QoS 2 PUBLISH arrived on a connection.
    pub(crate) fn arrive(&self, packet_id: u16, link: LinkId) -> Arrival {
        let mut state = self.state();
        if let Some(receipt) = state.exactly_once.get_mut(&packet_id) {
            receipt.awaited_on = link;
            return if receipt.durable { Arrival::Durable } else { Arrival::Waiting };
        }
        let receipt = Receipt { delivered_on: link, awaited_on: link, durable: false };
        state.exactly_once.insert(packet_id, receipt);
        Arrival::New
    }

    /// PUBREL arrived.
    pub(crate) fn release(&self, packet_id: u16) -> Release {
        let mut state = self.state();
        match state.exactly_once.get(&packet_id) {
            None => Release::Unknown,
            Some(receipt) if !receipt.durable => Release::NotReceived,
            Some(_) => {
                state.exactly_once.remove(&packet_id);
                Release::Released
            }
        }
    }

    /// Adds a topic filter, unless there are as many as allowed.
    pub(crate) fn subscribe(&self, filter: &str, filters_max: usize) -> bool {
        let mut state = self.state();
        if state.filters.iter().any(|known| known == filter) {
            return true;
        }
        if state.filters.len() >= filters_max {
            return false;
        }
        state.filters.push_back(filter.to_owned());
        true
    }

    /// Removes a topic filter; tells whether it was there.
    pub(crate) fn unsubscribe(&self, filter: &str) -> bool {
        let mut state = self.state();
        let before = state.filters.len();
        state.filters.retain(|known| known != filter);
        state.filters.len() != before
    }

    /// Writes what is stored under a topic, for whoever has just subscribed to it.
    pub(crate) fn write_stored(&self, topic: &str, payload: &[u8], to: &mut Vec<u8>) {
        let state = self.state();
        let Some(current) = &state.current else { return };
        if !state.filters.iter().any(|filter| super::filters::matches(filter, topic)) {
            return;
        }
        let before = to.len();
        write_publish(current.version, topic, payload, true, to);
        if current.packet_max_bytes.is_some_and(|max| to.len() - before > max as usize) {
            to.truncate(before);
        }
    }

    /// Hands a command to the connection, if there is one and the session listens to the topic.
    pub(crate) fn command(&self, topic: &str, payload: &[u8]) -> Command {
        let mut state = self.state();
        if !state.filters.iter().any(|filter| super::filters::matches(filter, topic)) {
            return Command::NotListening;
        }
        let State { current: Some(current), commands, .. } = &mut *state else {
            return Command::NotListening;
        };
        let before = commands.len();
        if before + topic.len() + payload.len() > COMMANDS_MAX_BYTES {
            return Command::Dropped;
        }
        write_publish(current.version, topic, payload, false, commands);
        if current.packet_max_bytes.is_some_and(|max| commands.len() - before > max as usize) {
            commands.truncate(before);
            return Command::Dropped;
        }
        current.wake.notify_one();
        Command::Taken
    }
}

impl State {
    fn awaits(&self, link: LinkId) -> bool {
        self.exactly_once.values().any(|receipt| receipt.delivered_on == link && !receipt.durable)
    }
}

impl Settle for Session {
    fn settle(&self, link: LinkId, receipts: &[Ticked]) -> usize {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut stale = 0;
        let current = state.current.as_ref().map(|current| current.link);
        for &receipt in receipts {
            if receipt.qos == Qos::ExactlyOnce {
                match state.exactly_once.get_mut(&receipt.packet_id) {
                    Some(known) if known.delivered_on == link && !known.durable => {
                        known.durable = true;
                        if current == Some(known.awaited_on) {
                            state.ready.push(receipt);
                        }
                    }
                    Some(_) | None => stale += 1,
                }
            } else if current == Some(link) {
                state.ready.push(receipt);
            } else {
                stale += 1;
            }
        }
        if let Some(current) = &state.current
            && !state.ready.is_empty()
        {
            current.wake.notify_one();
        }
        let is_finished = current != Some(link) && !state.awaits(link);
        drop(guard);
        if is_finished {
            self.table.remove(link);
        }
        stale
    }
}
