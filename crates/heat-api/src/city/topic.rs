//! The feed as a compacted topic: the newest record of a key is the state, so whoever begins to read gets all of it.
//!
//! Several API processes may write the same: a key means the same in all of them, every record says as of when it is,
//! an incident's version tells the newer of two, and each process writes what is open again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use heat_log::{AppendError, Appender, AppenderSettings, Log, TopicError, partition_of, topics};
use heat_model::{IncidentId, NetworkId, SiteId};
use heat_runtime::{Shutdown, tasks::Chain};
use heat_view::board::is_cleared;
use serde::Serialize;

use super::{
    CityFilter, CityIncident, CityIncidentRecord, CityNetworkRecord, CitySite, CitySiteRecord, CitySnapshot,
    CityState, snapshot,
};
use crate::{
    json::ApiTime,
    state::{ApiState, lock},
};

/// How often networks are written, and what changed at sites.
const EVERY: Duration = Duration::from_secs(15);
/// How often a site or an open incident is written though nothing but its values changed: 5,000 stations are then about
/// 80 records a second.
const AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Appends to the topic.
#[derive(Debug)]
pub(crate) struct CityTopic {
    appender: Appender,
    partitions: u32,
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Network(NetworkId),
    Site(NetworkId, SiteId),
    Incident(NetworkId, IncidentId),
}

impl Key {
    fn network(&self) -> &NetworkId {
        match self {
            Self::Network(network) | Self::Site(network, _) | Self::Incident(network, _) => network,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Network(network) => format!("network/{network}"),
            Self::Site(network, site) => format!("site/{network}/{site}"),
            Self::Incident(_, incident) => format!("incident/{incident}"),
        }
    }

    const fn what(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::Site(..) => "site",
            Self::Incident(..) => "incident",
        }
    }
}

/// What was last written under a key.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    at: Instant,
    /// A site's state.
    state: Option<CityState>,
    /// An incident's version.
    version: u32,
    /// An incident that is over is not written again.
    is_over: bool,
}

/// A record to write; an empty payload takes its key away.
#[derive(Debug)]
struct Due {
    key: Key,
    payload: Bytes,
    mark: Option<Mark>,
}

impl Due {
    fn new(key: Key, record: &impl Serialize, mark: Mark) -> Self {
        let payload = serde_json::to_vec(record).expect("a record has string keys only").into();
        Self { key, payload, mark: Some(mark) }
    }
}

/// What this process has written, and so what is due.
#[derive(Debug, Default)]
struct Written {
    marks: BTreeMap<Key, Mark>,
}

impl Written {
    fn wrote(&mut self, key: Key, mark: Option<Mark>) {
        match mark {
            Some(mark) => self.marks.insert(key, mark),
            None => self.marks.remove(&key),
        };
    }

    fn is_due(&self, key: &Key, mark: &Mark) -> bool {
        self.marks.get(key).is_none_or(|held| {
            held.version < mark.version
                || held.state != mark.state
                || (!mark.is_over && mark.at.duration_since(held.at) >= AGAIN_AFTER)
        })
    }

    /// Every network, the sites that changed or are due again, and the end of what is no longer there.
    fn states(&self, snapshot: CitySnapshot, now: Instant) -> Vec<Due> {
        let mark = |state| Mark { at: now, state, version: 0, is_over: false };
        let mut due = Vec::new();
        let mut there = BTreeSet::new();
        for mut network in snapshot.networks {
            for site in std::mem::take(&mut network.sites) {
                let key = Key::Site(network.id.clone(), site.id.clone());
                there.insert(key.clone());
                due.extend(self.site(key, site, snapshot.at, mark));
            }
            let key = Key::Network(network.id.clone());
            there.insert(key.clone());
            due.push(Due::new(key, &CityNetworkRecord { at: snapshot.at, network }, mark(None)));
        }
        due.extend(self.gone(&there, |key| !matches!(key, Key::Incident(..))));
        due
    }

    fn site(
        &self,
        key: Key,
        site: CitySite,
        at: ApiTime,
        mark: impl Fn(Option<CityState>) -> Mark,
    ) -> Option<Due> {
        let mark = mark(Some(site.state));
        let network = key.network().clone();
        self.is_due(&key, &mark).then(|| Due::new(key, &CitySiteRecord { at, network, site }, mark))
    }

    /// Tombstones for keys of a kind that are no longer there.
    fn gone<'a>(
        &'a self,
        there: &'a BTreeSet<Key>,
        of_kind: impl Fn(&Key) -> bool + 'a,
    ) -> impl Iterator<Item = Due> + 'a {
        let gone = self.marks.keys().filter(move |key| of_kind(key) && !there.contains(*key));
        gone.map(|key| Due { key: key.clone(), payload: Bytes::new(), mark: None })
    }
}

/// Incidents that changed, open ones that are due again, and the end of those that the board has forgotten.
fn incidents(state: &ApiState, written: &Written, now: Instant) -> Vec<Due> {
    let (plant, at) = (state.plant(), ApiTime::from_micros(state.clock.now().as_micros()));
    let mut due = Vec::new();
    let mut there = BTreeSet::new();
    let board = lock(&state.board);
    for incident in board.list(None) {
        let key = Key::Incident(incident.network.clone(), incident.id);
        let mark = Mark { at: now, state: None, version: incident.version, is_over: is_cleared(incident) };
        if written.is_due(&key, &mark) {
            let incident = CityIncident::of(incident, &plant);
            due.push(Due::new(key.clone(), &CityIncidentRecord { at, incident }, mark));
        }
        there.insert(key);
    }
    drop(board);
    due.extend(written.gone(&there, |key| matches!(key, Key::Incident(..))));
    due
}

impl CityTopic {
    pub(crate) async fn open(log: &Log) -> Result<Self, OpenError> {
        let partitions = log.partitions(topics::CITY).await?;
        let appender = log.appender(&[topics::CITY], AppenderSettings::default()).await?;
        Ok(Self { appender, partitions })
    }

    /// Writes until shutdown; what the log does not take is written at the next turn.
    pub(crate) async fn run(self, state: ApiState, shutdown: Shutdown) -> Result<(), std::io::Error> {
        let mut written = Written::default();
        let mut full = tokio::time::interval(EVERY);
        full.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_full = tokio::select! {
                () = shutdown.begun() => break,
                _ = full.tick() => true,
                () = state.city_changed.notified() => false,
            };
            if !state.catch_up.is_caught_up() {
                // What is not read back yet would be told as gone.
                full.reset_after(Duration::from_millis(200));
                continue;
            }
            tokio::select! {
                () = shutdown.begun() => break,
                () = self.turn(&state, &mut written, is_full) => {}
            }
        }
        if let Err(error) = self.appender.close(crate::role::DRAIN).await {
            tracing::warn!(error = %Chain(&error), "the city's topic could not be flushed");
        }
        Ok(())
    }

    async fn turn(&self, state: &ApiState, written: &mut Written, is_full: bool) {
        let now = state.clock.instant();
        let mut due = incidents(state, written, now);
        if is_full {
            let all = snapshot(state, &state.whole_sight(), &CityFilter::default());
            due.extend(written.states(all, now));
        }
        for Due { key, payload, mark } in due {
            let count = |outcome| state.metrics.city_records.with_label_values(&[key.what(), outcome]).inc();
            let partition = partition_of(key.network().as_str().as_bytes(), self.partitions);
            let text = Bytes::from(key.text());
            match self.appender.append(topics::CITY, partition, Some(text), payload).await {
                Ok(_) => {
                    count("taken");
                    written.wrote(key, mark);
                }
                Err(error) => {
                    count("refused");
                    tracing::warn!(error = %Chain(&error), "the log does not take the city's feed; it is tried again");
                    return;
                }
            }
        }
    }
}

/// The topic cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is missing.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Nothing can be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

#[cfg(test)]
mod tests {
    use heat_runtime::Clock;

    use super::*;
    use crate::city::CityNetwork;

    fn at_state(state: CityState) -> CitySnapshot {
        let site = CitySite {
            id: "st1".parse().unwrap(),
            name: None,
            kind: None,
            operator: None,
            district: None,
            state,
            values: BTreeMap::new(),
        };
        let network = CityNetwork {
            id: "town".parse().unwrap(),
            name: None,
            medium: None,
            operator: None,
            district: None,
            incidents_open: 0,
            signals_current_ratio: None,
            detectors_ready: 0,
            detectors: 0,
            sites: vec![site],
        };
        CitySnapshot { at: ApiTime::from_micros(0), networks: vec![network], incidents: Vec::new() }
    }

    fn keys(written: &mut Written, snapshot: CitySnapshot, now: Instant) -> Vec<(String, bool)> {
        let due = written.states(snapshot, now);
        due.into_iter()
            .map(|due| {
                let key = (due.key.text(), due.payload.is_empty());
                written.wrote(due.key, due.mark);
                key
            })
            .collect()
    }

    #[test]
    fn a_site_is_written_when_its_state_changes_and_once_a_minute_and_a_network_always() {
        let mut written = Written::default();
        let begun = Clock.instant();
        let later = |seconds| begun + Duration::from_secs(seconds);
        let (site, network) = (("site/town/st1".to_owned(), false), ("network/town".to_owned(), false));
        let both = [site, network.clone()];
        assert_eq!(keys(&mut written, at_state(CityState::Ok), later(0)), both);
        assert_eq!(keys(&mut written, at_state(CityState::Ok), later(15)), [network]);
        assert_eq!(keys(&mut written, at_state(CityState::Affected), later(30)), both);
        assert_eq!(keys(&mut written, at_state(CityState::Affected), later(90)), both);
    }

    #[test]
    fn what_is_no_longer_in_the_plant_is_taken_away() {
        let mut written = Written::default();
        let now = Clock.instant();
        keys(&mut written, at_state(CityState::Ok), now);
        let nothing = CitySnapshot { networks: Vec::new(), ..at_state(CityState::Ok) };
        let gone = [("network/town".to_owned(), true), ("site/town/st1".to_owned(), true)];
        assert_eq!(keys(&mut written, nothing.clone(), now), gone);
        assert_eq!(keys(&mut written, nothing, now), []);
    }
}
