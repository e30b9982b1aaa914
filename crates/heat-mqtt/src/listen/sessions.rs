//! All sessions: who is connected, whose session is kept, when a kept one expires and when a delayed will is due.
//! `now` is an argument throughout.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    connect::{Connect, Refusal, Will},
    session::{Hold, Session, SessionKey},
};
use crate::{
    link::{LinkId, SinkTable, Source},
    settings::ListenSettings,
    stats::ListenCounters,
};

#[derive(Debug)]
pub(crate) struct Sessions {
    table: Arc<SinkTable>,
    counters: Arc<ListenCounters>,
    sessions_kept_max: usize,
    connections_per_user_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<SessionKey, Entry>,
    /// Kept sessions by the time they expire.
    expiries: BTreeMap<(Instant, SessionKey), ()>,
    /// Delayed wills by the time they are due.
    wills: BTreeMap<(Instant, SessionKey), ()>,
    connections: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    expires: Option<Instant>,
    will: Option<(Instant, Will, Arc<Source>)>,
}

/// A session that a connection now has.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Arc<Session>,
    /// The client's former session goes on.
    pub(crate) is_present: bool,
}

/// A will that is due, and whose it was.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Will,
    pub(crate) source: Arc<Source>,
}

impl Sessions {
    pub(crate) fn new(
        settings: &ListenSettings,
        table: Arc<SinkTable>,
        counters: Arc<ListenCounters>,
    ) -> Self {
        Self {
            table,
            counters,
            sessions_kept_max: settings.sessions_kept_max,
            connections_per_user_max: settings.connections_per_user_max,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a client's session for a new connection, taking it over from an older one.
    pub(crate) fn open(
        &self,
        connect: &Connect,
        link: LinkId,
        wake: &Arc<Notify>,
    ) -> Result<Opened, Refusal> {
        let key = SessionKey { user: connect.user.clone(), client_id: connect.client_id.clone() };
        let mut state = self.state();
        let is_take_over = state.entries.get(&key).is_some_and(|entry| entry.session.is_attached());
        self.count_user(&mut state, connect.user.as_deref(), is_take_over)?;

        let mut kept = None;
        if let Some(entry) = state.entries.remove(&key) {
            state.unschedule(&key, &entry);
            if entry.will.is_some() {
                self.counters.wills_discarded.increment();
            }
            self.counters.sessions.decrement();
            if connect.clean_start {
                if entry.session.supersede() == Hold::TakenOver {
                    self.counters.take_overs.increment();
                }
                entry.session.forget();
            } else {
                kept = Some(entry.session);
            }
        }
        let is_present = kept.is_some();
        let session = kept.unwrap_or_else(|| Arc::new(Session::new(key.clone(), Arc::clone(&self.table))));
        let hold = session.attach(link, connect.version, connect.packet_max_bytes, Arc::clone(wake));
        if hold == Hold::TakenOver {
            self.counters.take_overs.increment();
        }
        let sink = Arc::clone(&session);
        self.table.insert(link, sink);
        self.counters.sessions.increment();
        state.entries.insert(key, Entry { session: Arc::clone(&session), expires: None, will: None });
        Ok(Opened { session, is_present })
    }

    /// Counts a user's connection. One that takes over may come on top: the older one is about to end.
    fn count_user(&self, state: &mut State, user: Option<&str>, is_take_over: bool) -> Result<(), Refusal> {
        let Some(user) = user else { return Ok(()) };
        let connections = state.connections.entry(user.to_owned()).or_default();
        if *connections >= self.connections_per_user_max && !is_take_over {
            return Err(Refusal::UserFull);
        }
        *connections += 1;
        Ok(())
    }

    /// Ends a connection. The session is kept for `expiry`; a will with a delay waits for the client's return, any
    /// other is given back to be delivered at once.
    pub(crate) fn close(
        &self,
        session: &Arc<Session>,
        link: LinkId,
        source: &Arc<Source>,
        expiry: Duration,
        will: Option<Will>,
        now: Instant,
    ) -> Option<Will> {
        let mut state = self.state();
        state.discount_user(session.key.user.as_deref());
        let hold = session.detach(link);
        if !session.awaits(link) {
            self.table.remove(link);
        }
        let is_listed =
            state.entries.get(&session.key).is_some_and(|entry| Arc::ptr_eq(&entry.session, session));
        if hold == Hold::TakenOver || !is_listed {
            return self.after_take_over(will);
        }
        if expiry.is_zero() {
            state.entries.remove(&session.key);
            self.counters.sessions.decrement();
            session.forget();
            return will;
        }
        let expires = now + expiry;
        let mut due = None;
        let mut at_once = will;
        if let Some(will) = at_once.take_if(|will| !will.delay.is_zero()) {
            // The will is due when the session ends, at the latest.
            due = Some((now + will.delay.min(expiry), will, Arc::clone(source)));
        }
        if let Some((at, _, _)) = &due {
            state.wills.insert((*at, session.key.clone()), ());
        }
        state.expiries.insert((expires, session.key.clone()), ());
        if let Some(entry) = state.entries.get_mut(&session.key) {
            entry.expires = Some(expires);
            entry.will = due;
        }
        self.evict(&mut state);
        at_once
    }

    /// A taken-over connection's will is due at once, unless it may wait: then the client has returned in time.
    fn after_take_over(&self, will: Option<Will>) -> Option<Will> {
        let will = will?;
        if will.delay.is_zero() {
            return Some(will);
        }
        self.counters.wills_discarded.increment();
        None
    }

    /// Drops the kept sessions that expire first, while there are too many. Their wills are lost with them.
    fn evict(&self, state: &mut State) {
        while state.expiries.len() > self.sessions_kept_max {
            let Some(((_, key), ())) = state.expiries.pop_first() else { return };
            if let Some(entry) = state.entries.remove(&key) {
                state.unschedule(&key, &entry);
                if entry.will.is_some() {
                    self.counters.wills_discarded.increment();
                }
                entry.session.forget();
                self.counters.sessions_evicted.increment();
                self.counters.sessions.decrement();
            }
        }
    }

    /// Ends kept sessions that have expired; returns the delayed wills that are due.
    pub(crate) fn expire(&self, now: Instant) -> Vec<DueWill> {
        let mut due = Vec::new();
        let mut state = self.state();
        while let Some(first) = state.wills.first_entry()
            && first.key().0 <= now
        {
            let ((_, key), ()) = first.remove_entry();
            if let Some(entry) = state.entries.get_mut(&key)
                && let Some((_, will, source)) = entry.will.take()
            {
                due.push(DueWill { will, source });
            }
        }
        while let Some(first) = state.expiries.first_entry()
            && first.key().0 <= now
        {
            let ((_, key), ()) = first.remove_entry();
            if let Some(entry) = state.entries.remove(&key) {
                entry.session.forget();
                self.counters.sessions_expired.increment();
                self.counters.sessions.decrement();
            }
        }
        due
    }

    /// The sessions that are connected.
    pub(crate) fn connected(&self) -> Vec<Arc<Session>> {
        let state = self.state();
        let sessions = state.entries.values().map(|entry| &entry.session);
        sessions.filter(|session| session.is_attached()).map(Arc::clone).collect()
    }
}

impl State {
    fn unschedule(&mut self, key: &SessionKey, entry: &Entry) {
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, key.clone()));
        }
        if let Some((at, _, _)) = &entry.will {
            self.wills.remove(&(*at, key.clone()));
        }
    }

    fn discount_user(&mut self, user: Option<&str>) {
        let Some(user) = user else { return };
        if let Some(connections) = self.connections.get_mut(user) {
            *connections -= 1;
            if *connections == 0 {
                self.connections.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests;
