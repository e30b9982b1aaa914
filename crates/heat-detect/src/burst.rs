//! Burst: a pressure drop and a water loss, seen by independent devices within one scan.
//!
//! Physical model: a break takes water out of the circuit faster than it is fed. Both pressures fall, the source's
//! supply flow rises, its return flow falls, make-up surges. A pump trip lowers the supply pressure but RAISES the
//! return pressure; a set point moves pressures without loss, or feeds while they rise; refilling feeds while they
//! rise; a valve moves flow on both sides alike. So a burst needs a *loss* (make-up surge, or supply up and return
//! down) and a *drop* (a pressure falls and its partner does not rise), by two devices or more: no single meter can
//! make one. Judged on raw readings, each against its own last minute ([`crate::tracker`]); works from the first hour.
//!
//! A return pressure that rises contradicts a burst only while the source's supply flow does not rise: a pump that has
//! to give more loses head, and part of that head shows as a rise of the return until the loss has emptied the
//! pressure holding, seconds later.
//!
//! All readings of one moment and record are taken before the votes are counted, so their order does not matter.
//!
//! Why not a statistic over all signals: it would need learning, and could not say which devices agree.
//!
//! It clears when loss and surge have been below 30 % of their peak for the time of the settings. Once what it moved has settled,
//! a further loss with a further drop is a burst of its own: [`several`].

pub(crate) mod locate;
pub(crate) mod on;
mod several;
pub(crate) mod view;

use std::collections::BTreeMap;

use heat_model::{incident::Evidence, plant::SiteKind, time::EventTime};
use serde::{Deserialize, Serialize};

use self::view::{imbalance_value, make_up_reference, to_mass, total};
pub(crate) use self::{
    on::{OpenBurst, Progress},
    view::{View, circulation, prior},
};
use crate::{
    layout::{Placed, Role, Site},
    tracker::{Step, Tracker},
};

/// Smallest loss called a burst, share of circulation; smaller ones are the balance's to find.
pub(crate) const BURST_MIN_SHARE: f64 = 0.035;
/// Standard deviations that a loss must stand out by.
const LOSS_Z: f64 = 5.0;
/// Standard deviations that a pressure must fall by.
const DROP_Z: f64 = 4.5;
/// Smallest pressure drop that counts, Pa.
const DROP_MIN_PA: f64 = 6_000.0;
/// A partner that rises by more than this many standard deviations contradicts a drop.
const PARTNER_Z: f64 = 3.0;
/// A vote stands at least this long, seconds; with slow scans, until well after the next one.
const VOTE_SECONDS: f64 = 90.0;
/// Bursts that are on at once; what comes on top of so many is told as theirs.
const BURSTS_MAX: usize = 3;
/// How long a vote is kept for data that come behind it, microseconds.
const KEPT_US: i64 = 3_600_000_000;

/// What one device has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Vote {
    at_us: i64,
    /// Until when it stands.
    until_us: i64,
    /// kg/s or Pa.
    size: f64,
    signal: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct DeviceVotes {
    loss: Option<Vote>,
    drop: Option<Vote>,
}

/// State of the burst rule of one network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BurstRule {
    votes: BTreeMap<u32, DeviceVotes>,
    /// Supply less return of each source by site index, kg/s: as one signal, so that what both do alike cancels, and a
    /// reference that one of them leaves earlier than the other makes no difference.
    imbalances: BTreeMap<u32, Tracker>,
    /// Those that are on, in order of opening.
    pub(crate) open: Vec<OpenBurst>,
}

impl Vote {
    fn new(signal: u32, tracker: &Tracker, size: f64) -> Self {
        let stands_s = VOTE_SECONDS.max(1.5 * f64::from(tracker.interval_s));
        Self { at_us: tracker.at_us, until_us: tracker.at_us + (stands_s * 1e6) as i64, size, signal }
    }

    /// Whether it and a vote of this time are of one moment. Data of another device may have come before or behind it.
    fn is_with(&self, at_us: i64) -> bool {
        self.until_us >= at_us && at_us + (self.until_us - self.at_us) >= self.at_us
    }
}

impl BurstRule {
    /// Takes a fresh live value of a flow or pressure. True if the votes may have changed.
    pub(crate) fn observe(&mut self, view: View<'_>, signal: u32, step: Step) -> bool {
        let placed = view.layout.placed[signal as usize];
        let site = &view.layout.sites[placed.site as usize];
        let at_source = site.kind == SiteKind::Source;
        if placed.role == Role::MakeUpFlow {
            at_source && self.vote_make_up(view, signal, placed, step)
        } else if placed.role.is_flow() {
            at_source && self.vote_imbalance(view, signal, placed, site)
        } else if placed.role.is_pressure() {
            self.vote_drop(view, signal, placed, site)
        } else {
            false
        }
    }

    fn set(&mut self, device: u32, loss: bool, vote: Option<Vote>) -> bool {
        if vote.is_none() && !self.votes.contains_key(&device) {
            return false;
        }
        let votes = self.votes.entry(device).or_default();
        let slot = if loss { &mut votes.loss } else { &mut votes.drop };
        let is_new = vote.is_some();
        *slot = vote;
        if *votes == DeviceVotes::default() {
            self.votes.remove(&device);
        }
        is_new
    }

    fn vote_make_up(&mut self, view: View<'_>, signal: u32, placed: Placed, step: Step) -> bool {
        let tracker = &view.trackers[signal as usize];
        let surge = step.change * to_mass(view.layout, view.trackers, signal);
        let is_loss = step.z > LOSS_Z && surge > BURST_MIN_SHARE * view.circulation && view.circulation > 0.0;
        let vote = is_loss.then(|| Vote::new(signal, tracker, surge));
        self.set(placed.device, true, vote)
    }

    fn vote_imbalance(&mut self, view: View<'_>, signal: u32, placed: Placed, site: &Site) -> bool {
        let vote = self
            .imbalance_rise(view, placed.site, site)
            .filter(|(rise, sigma)| {
                *rise > LOSS_Z * sigma && *rise > BURST_MIN_SHARE * view.circulation && view.circulation > 0.0
            })
            .filter(|(rise, _)| !view.flows_contradict(site, *rise) && self.all_sources_lose(view, *rise))
            .map(|(size, _)| Vote::new(signal, &view.trackers[signal as usize], size));
        self.set(placed.device, true, vote)
    }

    /// Rise of a source's supply less return over its reference, kg/s, with its standard deviation.
    fn imbalance_rise(&mut self, view: View<'_>, index: u32, site: &Site) -> Option<(f64, f64)> {
        let (value, assumed, at_us) = view.imbalance(site)?;
        let tracker = self.imbalances.entry(index).or_default();
        // Two flows of one moment come here twice.
        if !tracker.seen || at_us != tracker.at_us {
            tracker.observe(at_us, value, assumed);
        }
        (tracker.interval_s > 0.0).then(|| (tracker.value - tracker.reference, tracker.sigma(assumed)))
    }

    /// Sum of the sources' references of supply less return, kg/s.
    fn imbalance_reference(&self, view: View<'_>) -> Option<f64> {
        let sources = view.layout.of_kind(SiteKind::Source);
        let known = |(index, _): (u32, &Site)| self.imbalances.get(&index).filter(|tracker| tracker.seen);
        sources.filter_map(known).map(|tracker| tracker.reference).reduce(|a, b| a + b)
    }

    /// What one of several sources gives up and another takes over is no loss.
    fn all_sources_lose(&self, view: View<'_>, rise: f64) -> bool {
        let of_all = |value: fn(&Tracker) -> f64| self.imbalances.values().map(value).sum::<f64>();
        view.layout.of_kind(SiteKind::Source).count() < 2
            || of_all(|tracker| tracker.value - tracker.reference) > 0.5 * rise
    }

    fn vote_drop(&mut self, view: View<'_>, signal: u32, placed: Placed, site: &Site) -> bool {
        let tracker = &view.trackers[signal as usize];
        let change = tracker.value - tracker.reference;
        let falls = change < -(DROP_Z * view.sigma(signal)).max(DROP_MIN_PA);
        let other =
            if placed.role == Role::SupplyPressure { Role::ReturnPressure } else { Role::SupplyPressure };
        // A differential pressure has both in it; a stop of the pump, which lowers it too, makes no loss.
        let partner = (placed.role != Role::DifferentialPressure)
            .then(|| view.tracker(site, other))
            .flatten()
            .filter(|(_, other)| View::together(tracker, other));
        let partner_rises = partner.is_some_and(|(other_signal, other)| {
            other.value - other.reference > PARTNER_Z * view.sigma(other_signal)
        }) && !supply_flow_rises(view, tracker.at_us);
        if !falls {
            // The partner may hold the device's vote; only its own signal may take it back.
            let holds = self
                .votes
                .get(&placed.device)
                .and_then(|votes| votes.drop)
                .is_some_and(|v| v.signal == signal);
            return (holds || partner_rises) && self.set(placed.device, false, None);
        }
        let vote = (!partner_rises).then(|| Vote::new(signal, tracker, -change));
        self.set(placed.device, false, vote)
    }

    /// Devices that show a loss and devices that show a drop, by the votes that stand.
    pub(crate) fn votes_now(&self, now_us: i64) -> (u32, u32) {
        let standing = |vote: Option<Vote>| u32::from(vote.is_some_and(|vote| vote.until_us >= now_us));
        self.votes.values().fold((0, 0), |(losses, drops), votes| {
            (losses + standing(votes.loss), drops + standing(votes.drop))
        })
    }

    /// Whether the votes make a burst; `at_us` is the event time of the newest of them.
    pub(crate) fn decide(&mut self, view: View<'_>, at_us: i64) -> Option<OpenBurst> {
        // What is on already moves the same signals, until they have taken that for normal.
        let since_us = self.open.last().map_or(i64::MIN, |last| last.opened_us + on::SETTLES_US);
        if at_us < since_us || self.open.len() >= BURSTS_MAX {
            return None;
        }
        self.votes.retain(|_, votes| {
            let is_kept = |vote: &Vote| vote.until_us + KEPT_US >= at_us;
            votes.loss = votes.loss.filter(is_kept);
            votes.drop = votes.drop.filter(is_kept);
            *votes != DeviceVotes::default()
        });
        let mut devices = 0;
        let (mut losses, mut drops) = (Vec::new(), Vec::new());
        for votes in self.votes.values() {
            let is_of_now = |vote: &Vote| vote.is_with(at_us) && self.left_us(view, vote) >= since_us;
            let loss = votes.loss.filter(is_of_now);
            let drop = votes.drop.filter(is_of_now);
            devices += u32::from(loss.is_some() || drop.is_some());
            losses.extend(loss);
            drops.extend(drop);
        }
        if losses.is_empty() || drops.is_empty() || devices < 2 {
            return None;
        }
        if return_pressure_rises(view, at_us) || pumps_start(view, at_us) || !make_up_agrees(view, &losses) {
            return None;
        }
        let votes = losses.iter().chain(&drops);
        let onset_us = votes.clone().map(|vote| began_us(view, vote)).min().unwrap_or(at_us);
        let loss = losses.iter().map(|vote| vote.size).fold(0.0, f64::max);
        let before = self.open.first().map(|first| (first.imbalance_before, first.make_up_before));
        let (imbalance_before, make_up_before) = before.unwrap_or_else(|| {
            let imbalance = self.imbalance_reference(view).or_else(|| total(view, imbalance_value));
            (imbalance, total(view, make_up_reference))
        });
        // Of what is gone by now nothing is part of what is lost from here on.
        self.open.iter_mut().filter(|burst| burst.is_gone()).for_each(|burst| burst.loss_kg_s = 0.0);
        Some(OpenBurst {
            opened_us: at_us,
            onset_us,
            loss_kg_s: loss,
            peak_kg_s: loss,
            imbalance_before,
            make_up_before,
            before: Vec::new(),
            after: vec![(0.0, 0); view.trackers.len()],
            evidence: evidence(view, &losses, &drops),
            votes: devices,
            voters: votes.map(|vote| vote.signal).collect(),
            late_us: None,
            below_since_us: None,
            averaged_us: at_us,
            located: 0,
        })
    }

    /// When what a vote saw left where it had stood, by the first scan that showed it; `i64::MIN` where it has come back since.
    fn left_us(&self, view: View<'_>, vote: &Vote) -> i64 {
        let placed = view.layout.placed[vote.signal as usize];
        let own = &view.trackers[vote.signal as usize];
        let is_of_difference = placed.role.is_flow() && placed.role != Role::MakeUpFlow;
        let tracker = if is_of_difference { self.imbalances.get(&placed.site).unwrap_or(own) } else { own };
        if tracker.off_since_us > 0 { tracker.off_since_us } else { i64::MIN }
    }

    /// Whether any is on.
    pub(crate) fn is_on(&self) -> bool {
        !self.open.is_empty()
    }

    /// The one that began then.
    pub(crate) fn of(&mut self, onset: EventTime) -> Option<&mut OpenBurst> {
        self.open.iter_mut().find(|burst| burst.onset_us == onset.as_micros())
    }

    /// Whether what is on is so young that it still moves everything.
    pub(crate) fn is_settling(&self, now_us: i64) -> bool {
        self.open.last().is_some_and(|last| now_us < last.opened_us + on::SETTLES_US)
    }

    /// Follows all that are on; once a second. What the second brought to each, in order of opening.
    pub(crate) fn follow(&mut self, view: View<'_>, now_us: i64, clear_seconds: f64) -> Vec<Progress> {
        on::follow(&mut self.open, view, now_us, clear_seconds)
    }
}

/// When what a vote saw began: between the scan that first showed it and the one before.
fn began_us(view: View<'_>, vote: &Vote) -> i64 {
    let tracker = &view.trackers[vote.signal as usize];
    let first = if tracker.off_since_us > 0 { tracker.off_since_us } else { vote.at_us };
    first - (f64::from(tracker.interval_s) * 0.5e6) as i64
}

/// Whether a source's pumps give more than before: what lowers a pressure then takes water, and is no stop of a pump.
fn supply_flow_rises(view: View<'_>, at_us: i64) -> bool {
    view.layout.of_kind(SiteKind::Source).any(|(_, source)| {
        view.tracker(source, Role::SupplyFlow).is_some_and(|(signal, tracker)| {
            tracker.is_of(at_us) && tracker.value - tracker.reference > PARTNER_Z * view.sigma(signal)
        })
    })
}

/// A source's return pressure that rises says pump trip, not burst; unless its pumps give more than before.
fn return_pressure_rises(view: View<'_>, at_us: i64) -> bool {
    let rises = view.layout.of_kind(SiteKind::Source).any(|(_, source)| {
        view.tracker(source, Role::ReturnPressure).is_some_and(|(signal, tracker)| {
            tracker.is_of(at_us) && tracker.value - tracker.reference > DROP_Z * view.sigma(signal)
        })
    });
    rises && !supply_flow_rises(view, at_us)
}

/// A source whose flow has more than doubled while its pressure rose: its pumps start. That draws the return pressure down,
/// and what shrank while the water stood is made up then. A burst as large lowers the pressure that drives it.
fn pumps_start(view: View<'_>, at_us: i64) -> bool {
    view.layout.of_kind(SiteKind::Source).any(|(_, source)| {
        let doubles = view
            .tracker(source, Role::SupplyFlow)
            .is_some_and(|(_, flow)| flow.is_of(at_us) && flow.value > 2.0 * flow.reference.max(0.0));
        let rises = view.tracker(source, Role::SupplyPressure).is_some_and(|(signal, pressure)| {
            pressure.is_of(at_us) && pressure.value - pressure.reference > DROP_Z * view.sigma(signal)
        });
        doubles && rises
    })
}

/// Where make-up is metered and nothing but the big meters says loss, the make-up must not say that all is well.
fn make_up_agrees(view: View<'_>, losses: &[Vote]) -> bool {
    let newest = losses.iter().map(|vote| vote.at_us).max().unwrap_or(0);
    let by_make_up =
        losses.iter().any(|vote| view.layout.placed[vote.signal as usize].role == Role::MakeUpFlow);
    if by_make_up {
        return true;
    }
    let size = losses.iter().map(|vote| vote.size).fold(0.0, f64::max);
    view.layout.of_kind(SiteKind::Source).all(|(_, source)| {
        let Some((signal, tracker)) = view.tracker(source, Role::MakeUpFlow) else { return true };
        let slow = tracker.interval_s > 60.0;
        // A silent make-up meter has no say; a slow one is waited for; a fast one may lag by its valve.
        if !tracker.is_current(newest) {
            return true;
        }
        if slow && tracker.at_us < newest {
            return false;
        }
        let surge = (tracker.value - tracker.reference) * to_mass(view.layout, view.trackers, signal);
        !slow || surge > 0.2 * size
    })
}

/// Largest losses and drops, as evidence.
fn evidence(view: View<'_>, losses: &[Vote], drops: &[Vote]) -> Vec<Evidence> {
    let say = |vote: &Vote, what: &str, unit: &str| {
        let placed = view.layout.placed[vote.signal as usize];
        Evidence {
            detector: "burst".to_owned(),
            place: view.layout.sites[placed.site as usize].id.as_str().to_owned(),
            what: what.to_owned(),
            value: vote.size,
            unit: unit.to_owned(),
            at: EventTime::from_micros(vote.at_us),
        }
    };
    let mut all: Vec<Evidence> = losses
        .iter()
        .map(|vote| {
            let by_make_up = view.layout.placed[vote.signal as usize].role == Role::MakeUpFlow;
            say(vote, if by_make_up { "make_up_surge" } else { "flow_step" }, "kg/s")
        })
        .collect();
    let mut drops = drops.to_vec();
    drops.sort_by(|a, b| b.size.total_cmp(&a.size).then(a.signal.cmp(&b.signal)));
    all.extend(drops.iter().take(6).map(|vote| say(vote, "pressure_drop", "Pa")));
    all
}
