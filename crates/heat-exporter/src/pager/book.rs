//! What each Alertmanager is to be told, and what it was told: the pages' decisions, without clock or network.

use std::{collections::BTreeMap, time::Duration};

use heat_codec::time_text::rfc3339;
use heat_model::{
    AppendTime, EventTime, IncidentId, IngestTime,
    incident::{AlarmState, Incident, Priority},
};
use heat_view::board::is_cleared;
use serde::Serialize;

use super::alert::{Alert, AlertKey, Links};

/// An incident that is over stays active in an Alertmanager for so long after it was first told: longer than any sensible
/// `group_wait`, or a short one would never page.
pub const SHOWN_MIN: Duration = Duration::from_mins(2);
/// The end of an incident is told for so long, as Prometheus does for its own alerts.
pub const ENDED_FOR: Duration = Duration::from_mins(15);

/// Bounds and habits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookSettings {
    /// The least urgent priority that is told.
    pub lowest: Priority,
    /// How often an active alert is told again.
    pub resend: Duration,
    /// How far ahead its end is set each time.
    pub hold: Duration,
    /// Most alerts.
    pub alerts_max: usize,
    /// How many Alertmanagers there are.
    pub targets: usize,
    /// Where links lead.
    pub links: Links,
}

/// Why an incident is to be quiet, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// As long as the state lasts: acknowledged, in maintenance, or awaiting verification.
    WhileItLasts(AlarmState),
    /// Shelved until then.
    Until(EventTime),
}

/// What one alert is told as.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Body {
    #[serde(flatten)]
    alert: Alert,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
}

/// One alert of a message to an Alertmanager.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Which.
    pub key: AlertKey,
    /// Whether it tells an end.
    pub is_end: bool,
    /// What is sent.
    pub body: Body,
    revision: u64,
}

/// What an Alertmanager took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Told {
    revision: u64,
    at: Option<IngestTime>,
    shown: Option<IngestTime>,
    ended: Option<IngestTime>,
}

#[derive(Debug)]
struct Entry {
    version: u32,
    alert: Alert,
    opened: AppendTime,
    ends: Option<IngestTime>,
    /// Rises with every change that is to be told; above 0.
    revision: u64,
    changed: IngestTime,
    /// It was active while somebody could be told: it must not go unseen.
    must_show: bool,
    told: Vec<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Active,
    Ended,
}

/// How much one Alertmanager is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Alerts whose last change it has not taken.
    pub alerts: usize,
    /// How long the oldest of these changes waits.
    pub oldest: Duration,
}

/// Counts since the book was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BookCounts {
    /// Ended alerts that made room before every Alertmanager had taken the end.
    pub ends_dropped: u64,
    /// Alerts that found no room.
    pub refused: u64,
}

/// All alerts.
#[derive(Debug)]
pub struct Book {
    settings: BookSettings,
    entries: BTreeMap<AlertKey, Entry>,
    quiet: BTreeMap<IncidentId, Quiet>,
    quiet_revision: u64,
    is_live: bool,
    counts: BookCounts,
}

impl Book {
    /// An empty book. Until [`Book::caught_up`] it takes what is known already, and nothing is to be told.
    pub fn new(settings: BookSettings) -> Self {
        Self {
            settings,
            entries: BTreeMap::new(),
            quiet: BTreeMap::new(),
            quiet_revision: 0,
            is_live: false,
            counts: BookCounts::default(),
        }
    }

    /// What was there at the start has been read: from here on it is told.
    pub fn caught_up(&mut self, now: IngestTime) {
        self.is_live = true;
        for entry in self.entries.values_mut() {
            entry.must_show = entry.ends.is_none();
        }
        self.entries.retain(|_, entry| entry.ends.is_none_or(|ends| now.since(ends) < ENDED_FOR));
    }

    /// Takes a state; states of one incident come in order.
    pub fn observe(&mut self, incident: &Incident, now: IngestTime) {
        let key = AlertKey::of(incident);
        let over = is_cleared(incident).then(|| ended_at(incident, now));
        let is_told = key.priority <= self.settings.lowest;
        let all = self.entries.range_mut(AlertKey::first(key.incident)..);
        for (other, entry) in all.take_while(|(other, _)| other.incident == key.incident) {
            if *other != key && entry.ends.is_none() {
                entry.end(over.unwrap_or(now), now);
                // Its successor shows the incident.
                entry.must_show &= !is_told;
            }
        }
        match self.entries.get_mut(&key) {
            Some(entry) if entry.version < incident.version => {
                entry.change(incident, Alert::of(incident, &self.settings.links), over, now);
                entry.must_show |= self.is_live && over.is_none();
            }
            None if is_told && (over.is_none() || self.is_live) => self.insert(key, incident, over, now),
            Some(_) | None => {}
        }
        let quiet = if is_told && over.is_none() { quiet(incident) } else { None };
        self.set_quiet(key.incident, quiet);
    }

    fn insert(&mut self, key: AlertKey, incident: &Incident, over: Option<IngestTime>, now: IngestTime) {
        if self.entries.len() >= self.settings.alerts_max && !self.make_room() {
            self.counts.refused += 1;
            return;
        }
        let entry = Entry {
            version: incident.version,
            alert: Alert::of(incident, &self.settings.links),
            opened: incident.opened,
            ends: over,
            revision: 1,
            changed: now,
            must_show: self.is_live,
            told: vec![Told::default(); self.settings.targets],
        };
        self.entries.insert(key, entry);
    }

    /// Drops the alert that ended first; false if none has ended.
    fn make_room(&mut self) -> bool {
        let ended = self.entries.iter().filter_map(|(key, entry)| entry.ends.map(|ends| (ends, *key)));
        let Some((_, key)) = ended.min() else { return false };
        let dropped = self.entries.remove(&key);
        let was_told = dropped.is_some_and(|entry| entry.told.iter().all(|told| told.ended.is_some()));
        self.counts.ends_dropped += u64::from(!was_told);
        true
    }

    fn set_quiet(&mut self, incident: IncidentId, quiet: Option<Quiet>) {
        let before = match quiet {
            Some(quiet) => self.quiet.insert(incident, quiet),
            None => self.quiet.remove(&incident),
        };
        self.quiet_revision += u64::from(before != quiet);
    }

    /// What an Alertmanager is to be told at `now`, the most urgent first.
    pub fn plan(&self, target: usize, now: IngestTime) -> Vec<Post> {
        if !self.is_live {
            return Vec::new();
        }
        let mut posts: Vec<Post> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| {
                let phase = entry.due(target, now, self.settings.resend)?;
                Some(entry.post(*key, phase, now, self.settings.hold))
            })
            .collect();
        posts.sort_by_key(|post| (post.key.priority, post.is_end));
        posts
    }

    /// An Alertmanager took these. Gives how long the alerts that it learned of by them had been open.
    pub fn settle(&mut self, target: usize, posts: &[Post], now: IngestTime) -> Vec<Duration> {
        let mut delays = Vec::new();
        for post in posts {
            let Some(entry) = self.entries.get_mut(&post.key) else { continue };
            let told = &mut entry.told[target];
            told.revision = post.revision;
            told.at = Some(now);
            if post.is_end {
                told.ended.get_or_insert(now);
            } else if told.shown.is_none() {
                told.shown = Some(now);
                delays.push(now.since(IngestTime::from_micros(entry.opened.as_micros())));
            }
        }
        delays
    }

    /// Forgets what ended and is told everywhere for long enough.
    pub fn forget(&mut self, now: IngestTime) {
        let is_done = |told: &Told| told.ended.is_some_and(|ended| now.since(ended) >= ENDED_FOR);
        self.entries.retain(|_, entry| entry.ends.is_none() || !entry.told.iter().all(is_done));
    }

    /// How much an Alertmanager is behind.
    pub fn waiting(&self, target: usize, now: IngestTime) -> Waiting {
        let behind = self.entries.values().filter(|entry| {
            let told = entry.told[target];
            told.revision != entry.revision || (entry.ends.is_some() && told.ended.is_none())
        });
        behind.fold(Waiting::default(), |waiting, entry| Waiting {
            alerts: waiting.alerts + 1,
            oldest: waiting.oldest.max(now.since(entry.changed)),
        })
    }

    /// Which incidents are to be quiet; the number changes when they do.
    pub fn quiet(&self) -> (u64, &BTreeMap<IncidentId, Quiet>) {
        (self.quiet_revision, &self.quiet)
    }

    /// Whether it holds an alert of this incident.
    pub fn knows(&self, incident: IncidentId) -> bool {
        let next = self.entries.range(AlertKey::first(incident)..).next();
        next.is_some_and(|(key, _)| key.incident == incident)
    }

    /// Whether what was there at the start has been read.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Alerts held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts since it was made.
    pub fn counts(&self) -> BookCounts {
        self.counts
    }
}

impl Entry {
    fn change(&mut self, incident: &Incident, alert: Alert, over: Option<IngestTime>, now: IngestTime) {
        self.version = incident.version;
        if self.alert != alert || self.ends != over {
            self.revision += 1;
            self.changed = now;
        }
        if over.is_none() && self.ends.is_some() {
            // Reopened: what was told of its end no longer holds.
            self.told.iter_mut().for_each(|told| told.ended = None);
        }
        self.alert = alert;
        self.ends = over;
    }

    fn end(&mut self, at: IngestTime, now: IngestTime) {
        self.ends = Some(at);
        self.revision += 1;
        self.changed = now;
    }

    fn due(&self, target: usize, now: IngestTime, resend: Duration) -> Option<Phase> {
        let told = self.told[target];
        let is_due_again = told.at.is_none_or(|at| now.since(at) >= resend);
        if self.ends.is_none() {
            return (told.revision != self.revision || is_due_again).then_some(Phase::Active);
        }
        let is_shown = told.shown.is_some_and(|shown| now.since(shown) >= SHOWN_MIN);
        if self.must_show && !is_shown {
            return (told.shown.is_none() || is_due_again).then_some(Phase::Active);
        }
        match told.ended {
            None => Some(Phase::Ended),
            Some(ended) => (now.since(ended) < ENDED_FOR && is_due_again).then_some(Phase::Ended),
        }
    }

    fn post(&self, key: AlertKey, phase: Phase, now: IngestTime, hold: Duration) -> Post {
        let ends = match (phase, self.ends) {
            (Phase::Ended, Some(ends)) => ends.min(now),
            (Phase::Ended | Phase::Active, _) => now.plus(hold),
        };
        let text = |micros| rfc3339(EventTime::from_micros(micros));
        let body = Body {
            alert: self.alert.clone(),
            starts_at: text(self.opened.as_micros()),
            ends_at: text(ends.as_micros().max(self.opened.as_micros())),
        };
        // What is shown although it is over is not told as ended: the end is still due.
        let revision = self.revision;
        Post { key, is_end: phase == Phase::Ended, body, revision }
    }
}

fn ended_at(incident: &Incident, now: IngestTime) -> IngestTime {
    incident.cleared.map_or(now, |cleared| IngestTime::from_micros(cleared.as_micros()))
}

fn quiet(incident: &Incident) -> Option<Quiet> {
    match incident.alarm {
        AlarmState::Unacknowledged | AlarmState::Cleared => None,
        AlarmState::Shelved => Some(match incident.shelved_until {
            Some(until) => Quiet::Until(until),
            None => Quiet::WhileItLasts(AlarmState::Shelved),
        }),
        state @ (AlarmState::Acknowledged | AlarmState::OutOfService | AlarmState::AwaitingVerification) => {
            Some(Quiet::WhileItLasts(state))
        }
    }
}

#[cfg(test)]
mod tests;
