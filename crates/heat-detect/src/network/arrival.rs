//! How far the live data have come, and what late data show.
//!
//! After an outage of the log, or over a slow uplink, live readings come minutes late, in order per device. Their
//! findings are held until the data have caught up, and said then, marked as late: as an incident that pages if they
//! still hold, as one already over if not. Data that stay late are not waited for longer than [`WAIT_US`].

use heat_model::{
    AppendTime,
    incident::{Class, Evidence},
};
use serde::{Deserialize, Serialize};

use crate::{Finding, incidents::is_loss};

/// Longest wait of a finding for its data to catch up, microseconds of append time.
const WAIT_US: i64 = 60_000_000;
/// Findings held; one beyond is said at once.
const HELD_MAX: usize = 64;
/// What marks a finding made from late data; its value is how late they came, in seconds.
pub(crate) const FOUND_LATE: &str = "found_late";

/// A finding that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Held {
    finding: Finding,
    since_us: i64,
    late_us: i64,
}

/// How far a network's live data have come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// Newest event time.
    until_us: i64,
    /// Append time at which the newest of them came.
    arrived_us: i64,
    held: Vec<Held>,
}

impl Arrival {
    pub(crate) fn note(&mut self, at_us: i64, now_us: i64) {
        self.until_us = self.until_us.max(at_us);
        self.arrived_us = now_us;
    }

    /// Append time at which the newest live data came.
    pub(crate) const fn arrived_us(&self) -> i64 {
        self.arrived_us
    }

    /// Whether even the newest data came late. A network that is silent is not behind.
    pub(crate) const fn is_behind(&self, lateness_us: i64) -> bool {
        self.arrived_us - self.until_us > lateness_us
    }

    /// The time up to which the data tell: now, unless they are behind.
    pub(crate) const fn told_until(&self, now_us: i64, lateness_us: i64) -> i64 {
        if self.is_behind(lateness_us) { self.until_us } else { now_us }
    }

    /// Keeps a finding that data of `late_us` before now showed until it is [due](Self::take_due); gives back what need
    /// not wait: what is not late (`None`), and what was said before.
    pub(crate) fn hold(&mut self, finding: Finding, late_us: Option<i64>, now_us: i64) -> Option<Finding> {
        if let Some(held) = self.held.iter_mut().find(|held| is_same(&held.finding, &finding)) {
            // What was over before it was said keeps what it was.
            if finding.active {
                held.finding = finding;
            } else {
                held.finding.active = false;
            }
            return None;
        }
        match late_us {
            Some(late_us) if finding.active && self.held.len() < HELD_MAX => {
                self.held.push(Held { finding, since_us: now_us, late_us });
                None
            }
            Some(_) | None => Some(finding),
        }
    }

    pub(crate) const fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Findings whose wait is over, marked as late, in the order in which they were made.
    pub(crate) fn take_due(&mut self, has_caught_up: bool, now: AppendTime) -> Vec<Finding> {
        let now_us = now.as_micros();
        let due = |held: &mut Held| has_caught_up || now_us - held.since_us >= WAIT_US;
        self.held
            .extract_if(.., due)
            .map(|Held { mut finding, late_us, .. }| {
                finding.evidence.push(Evidence {
                    detector: finding.detector.clone(),
                    place: finding.place.clone().unwrap_or_default(),
                    what: FOUND_LATE.to_owned(),
                    value: late_us as f64 / 1e6,
                    unit: "s".to_owned(),
                    at: finding.onset,
                });
                finding
            })
            .collect()
    }
}

/// Whether two findings are of one cause at one place; a loss of water moves its place as it is known better.
fn is_same(a: &Finding, b: &Finding) -> bool {
    if is_loss(a.class) || is_loss(b.class) {
        return is_loss(a.class)
            && is_loss(b.class)
            && (a.class == Class::Burst) == (b.class == Class::Burst)
            && (a.class != Class::Burst || a.onset == b.onset);
    }
    (a.class, &a.kind, &a.place) == (b.class, &b.kind, &b.place)
}
