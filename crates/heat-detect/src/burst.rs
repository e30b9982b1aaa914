//! Burst: a pressure drop and a water loss, seen by independent devices within one scan.
//!
//! Physical model: a break takes water out of the circuit faster than it is fed. Both pressures fall, the source's
//! supply flow rises, its return flow falls, make-up surges. A pump trip lowers the supply pressure but RAISES the
//! return pressure; a set point moves pressures without loss, or feeds while they rise; refilling feeds while they
//! rise; a valve moves flow on both sides alike. So a burst needs a *loss* (make-up surge, or supply up and return
//! down) and a *drop* (a pressure falls and its partner does not rise), by two devices or more: no single meter can
//! make one. Judged on raw readings, each against its own last minute ([`crate::tracker`]); works from the first hour.
//!
//! Why not a statistic over all signals: it would need learning, and could not say which devices agree.
//!
//! It clears when loss and surge have been below 30 % of their peak for the time of the settings.

pub(crate) mod locate;

use heat_hydraulics::water::density_kg_m3;
use std::collections::BTreeMap;

use heat_model::{
    incident::Evidence,
    plant::{Side, SiteKind},
    time::EventTime,
};
use serde::{Deserialize, Serialize};

use crate::{
    layout::{Layout, Placed, Role, Site},
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
/// Assumed noise of a pressure until it is learned, Pa.
const PRESSURE_PRIOR_PA: f64 = 2_500.0;
/// Assumed noise of a flow until it is learned, share of the flow.
const FLOW_PRIOR_SHARE: f64 = 0.01;
/// Assumed noise of a make-up flow until it is learned, share of circulation.
const MAKE_UP_PRIOR_SHARE: f64 = 0.003;
/// Time constant with which an open burst's loss is averaged, seconds.
const LOSS_SECONDS: f64 = 30.0;
/// Seconds after the opening at which the place is judged again, with more data each time.
const LOCATE_AT_SECONDS: [i64; 6] = [10, 30, 60, 180, 420, 600];

/// What one device has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Vote {
    at_us: i64,
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
    pub(crate) open: Option<OpenBurst>,
}

/// A burst that is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenBurst {
    pub(crate) opened_us: i64,
    pub(crate) onset_us: i64,
    /// Loss now, kg/s.
    pub(crate) loss_kg_s: f64,
    pub(crate) peak_kg_s: f64,
    /// Imbalance of the big meters and make-up before it, kg/s.
    imbalance_before: Option<f64>,
    make_up_before: Option<f64>,
    /// Value of every signal before it.
    pub(crate) before: Vec<f32>,
    /// Sum and number of values since.
    pub(crate) after: Vec<(f64, u32)>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) votes: u32,
    below_since_us: Option<i64>,
    averaged_us: i64,
    located: usize,
}

/// Temperature that turns a site's volume flows into mass flows.
fn density_at(site: &Site, trackers: &[Tracker], role: Role, side: Option<Side>) -> f64 {
    let default_side = if role == Role::ReturnFlow { Side::Return } else { Side::Supply };
    let (role, assumed) = if role == Role::MakeUpFlow {
        (Role::MakeUpTemperature, 15.0)
    } else {
        match side.unwrap_or(default_side) {
            Side::Return => (Role::ReturnTemperature, 45.0),
            Side::Supply => (Role::SupplyTemperature, 85.0),
        }
    };
    let celsius = site
        .signal(role)
        .map(|signal| &trackers[signal as usize])
        .filter(|tracker| tracker.seen && (0.0..=180.0).contains(&tracker.value))
        .map_or(assumed, |tracker| tracker.value);
    density_kg_m3(celsius)
}

/// Factor from a flow signal's value to kg/s.
pub(crate) fn to_mass(layout: &Layout, trackers: &[Tracker], signal: u32) -> f64 {
    let placed = layout.placed[signal as usize];
    if placed.is_mass {
        1.0
    } else {
        density_at(&layout.sites[placed.site as usize], trackers, placed.role, placed.side)
    }
}

/// Circulation as the sources' references say, kg/s.
pub(crate) fn circulation(layout: &Layout, trackers: &[Tracker]) -> f64 {
    layout
        .of_kind(SiteKind::Source)
        .filter_map(|(_, source)| source.signal(Role::SupplyFlow).or(source.signal(Role::ReturnFlow)))
        .filter(|signal| trackers[*signal as usize].seen)
        .map(|signal| trackers[signal as usize].reference * to_mass(layout, trackers, signal))
        .sum()
}

/// Noise assumed for a signal until its own is learned, in its unit.
pub(crate) fn prior(placed: Placed, value: f64, circulation: f64) -> f64 {
    if placed.role.is_pressure() {
        PRESSURE_PRIOR_PA
    } else if placed.role == Role::MakeUpFlow {
        MAKE_UP_PRIOR_SHARE * circulation * if placed.is_mass { 1.0 } else { 1e-3 } + 1e-9
    } else {
        FLOW_PRIOR_SHARE * value.abs() + 1e-9
    }
}

fn live_until(at_us: i64, tracker: &Tracker) -> i64 {
    at_us + (VOTE_SECONDS.max(1.5 * f64::from(tracker.interval_s)) * 1e6) as i64
}

/// What the rule needs to see of its network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) trackers: &'a [Tracker],
    /// kg/s.
    pub(crate) circulation: f64,
}

impl View<'_> {
    fn tracker(&self, site: &Site, role: Role) -> Option<(u32, &Tracker)> {
        let signal = site.signal(role)?;
        let tracker = &self.trackers[signal as usize];
        tracker.seen.then_some((signal, tracker))
    }

    /// Whether two signals of a site speak of the same moment.
    fn together(a: &Tracker, b: &Tracker) -> bool {
        let apart = (a.at_us - b.at_us).abs() as f64 / 1e6;
        apart <= 0.5 * f64::from(a.interval_s.max(b.interval_s)).max(1.0)
    }

    fn sigma(&self, signal: u32) -> f64 {
        let tracker = &self.trackers[signal as usize];
        tracker.sigma(prior(self.layout.placed[signal as usize], tracker.reference, self.circulation))
    }

    /// Rise of a source's supply-minus-return against its reference, kg/s, with its standard deviation.
    fn imbalance_rise(&self, source: &Site) -> Option<(f64, f64)> {
        let (supply_signal, supply) = self.tracker(source, Role::SupplyFlow)?;
        let (return_signal, back) = self.tracker(source, Role::ReturnFlow)?;
        if !Self::together(supply, back) || supply.interval_s <= 0.0 || back.interval_s <= 0.0 {
            return None;
        }
        let to_supply = to_mass(self.layout, self.trackers, supply_signal);
        let to_back = to_mass(self.layout, self.trackers, return_signal);
        let up = (supply.value - supply.reference) * to_supply;
        let down = (back.value - back.reference) * to_back;
        let sigma = (self.sigma(supply_signal) * to_supply).hypot(self.sigma(return_signal) * to_back);
        // A trip takes both down; a loss does not take the supply down nor the return up by much.
        let contradicts = up < -0.5 * (up - down).abs() || down > 0.5 * (up - down).abs();
        (!contradicts).then_some((up - down, sigma))
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
        } else if matches!(placed.role, Role::SupplyPressure | Role::ReturnPressure) {
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
        let vote = is_loss.then(|| Vote {
            at_us: tracker.at_us,
            until_us: live_until(tracker.at_us, tracker),
            size: surge,
            signal,
        });
        self.set(placed.device, true, vote)
    }

    fn vote_imbalance(&mut self, view: View<'_>, signal: u32, placed: Placed, site: &Site) -> bool {
        let tracker = &view.trackers[signal as usize];
        let vote = view
            .imbalance_rise(site)
            .filter(|(rise, sigma)| {
                *rise > LOSS_Z * sigma && *rise > BURST_MIN_SHARE * view.circulation && view.circulation > 0.0
            })
            .map(|(size, _)| Vote {
                at_us: tracker.at_us,
                until_us: live_until(tracker.at_us, tracker),
                size,
                signal,
            });
        self.set(placed.device, true, vote)
    }

    fn vote_drop(&mut self, view: View<'_>, signal: u32, placed: Placed, site: &Site) -> bool {
        let tracker = &view.trackers[signal as usize];
        let change = tracker.value - tracker.reference;
        let falls = change < -(DROP_Z * view.sigma(signal)).max(DROP_MIN_PA);
        let partner =
            if placed.role == Role::SupplyPressure { Role::ReturnPressure } else { Role::SupplyPressure };
        let partner = view.tracker(site, partner).filter(|(_, other)| View::together(tracker, other));
        let partner_rises = partner.is_some_and(|(other_signal, other)| {
            other.value - other.reference > PARTNER_Z * view.sigma(other_signal)
        });
        if !falls {
            // The partner may hold the device's vote; only its own signal may take it back.
            let holds = self
                .votes
                .get(&placed.device)
                .and_then(|votes| votes.drop)
                .is_some_and(|v| v.signal == signal);
            return (holds || partner_rises) && self.set(placed.device, false, None);
        }
        let vote = (!partner_rises).then(|| Vote {
            at_us: tracker.at_us,
            until_us: live_until(tracker.at_us, tracker),
            size: -change,
            signal,
        });
        self.set(placed.device, false, vote)
    }

    /// Devices that show a loss and devices that show a drop, by the votes that stand.
    pub(crate) fn votes_now(&self, now_us: i64) -> (u32, u32) {
        let standing = |vote: Option<Vote>| u32::from(vote.is_some_and(|vote| vote.until_us >= now_us));
        self.votes.values().fold((0, 0), |(losses, drops), votes| {
            (losses + standing(votes.loss), drops + standing(votes.drop))
        })
    }

    /// Whether the votes make a burst now; `now_us` is the event time of the newest reading.
    pub(crate) fn decide(&mut self, view: View<'_>, now_us: i64) -> Option<OpenBurst> {
        if self.open.is_some() {
            return None;
        }
        self.votes.retain(|_, votes| {
            votes.loss = votes.loss.filter(|vote| vote.until_us >= now_us);
            votes.drop = votes.drop.filter(|vote| vote.until_us >= now_us);
            *votes != DeviceVotes::default()
        });
        let losses: Vec<Vote> = self.votes.values().filter_map(|votes| votes.loss).collect();
        let drops: Vec<Vote> = self.votes.values().filter_map(|votes| votes.drop).collect();
        if losses.is_empty() || drops.is_empty() || self.votes.len() < 2 || return_pressure_rises(view) {
            return None;
        }
        if !make_up_agrees(view, &losses) {
            return None;
        }
        let mut votes: Vec<Vote> = losses.iter().chain(&drops).copied().collect();
        votes.sort_by_key(|vote| (vote.at_us, vote.signal));
        let onset_us = votes
            .iter()
            .map(|vote| {
                let tracker = &view.trackers[vote.signal as usize];
                let first = if tracker.off_since_us > 0 { tracker.off_since_us } else { vote.at_us };
                first - (f64::from(tracker.interval_s) * 0.5e6) as i64
            })
            .min()
            .unwrap_or(now_us);
        let loss = losses.iter().map(|vote| vote.size).fold(0.0, f64::max);
        let evidence = evidence(view, &losses, &drops);
        let open = OpenBurst {
            opened_us: now_us,
            onset_us,
            loss_kg_s: loss,
            peak_kg_s: loss,
            imbalance_before: total(view, imbalance_reference),
            make_up_before: total(view, make_up_reference),
            before: Vec::new(),
            after: vec![(0.0, 0); view.trackers.len()],
            evidence,
            votes: u32::try_from(self.votes.len()).unwrap_or(u32::MAX),
            below_since_us: None,
            averaged_us: now_us,
            located: 0,
        };
        self.open = Some(open.clone());
        Some(open)
    }
}

/// A source's return pressure that rises says pump trip, not burst.
fn return_pressure_rises(view: View<'_>) -> bool {
    view.layout.of_kind(SiteKind::Source).any(|(_, source)| {
        view.tracker(source, Role::ReturnPressure)
            .is_some_and(|(signal, tracker)| tracker.value - tracker.reference > DROP_Z * view.sigma(signal))
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

fn total(view: View<'_>, of: impl Fn(View<'_>, &Site) -> Option<f64>) -> Option<f64> {
    view.layout.of_kind(SiteKind::Source).filter_map(|(_, source)| of(view, source)).reduce(|a, b| a + b)
}

fn flow(view: View<'_>, site: &Site, role: Role, value: impl Fn(&Tracker) -> f64) -> Option<f64> {
    let (signal, tracker) = view.tracker(site, role)?;
    Some(value(tracker) * to_mass(view.layout, view.trackers, signal))
}

fn imbalance_reference(view: View<'_>, source: &Site) -> Option<f64> {
    Some(
        flow(view, source, Role::SupplyFlow, |t| t.reference)?
            - flow(view, source, Role::ReturnFlow, |t| t.reference)?,
    )
}

fn make_up_reference(view: View<'_>, source: &Site) -> Option<f64> {
    flow(view, source, Role::MakeUpFlow, |t| t.reference)
}

fn imbalance_value(view: View<'_>, source: &Site) -> Option<f64> {
    Some(
        flow(view, source, Role::SupplyFlow, |t| t.value)?
            - flow(view, source, Role::ReturnFlow, |t| t.value)?,
    )
}

fn make_up_value(view: View<'_>, source: &Site) -> Option<f64> {
    flow(view, source, Role::MakeUpFlow, |t| t.value)
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

/// What a second brings to an open burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    None,
    /// Time to judge the place and size again.
    Locate,
    /// The evidence is gone.
    Over,
}

impl OpenBurst {
    pub(crate) fn note(&mut self, signal: u32, value: f64) {
        if let Some((sum, count)) = self.after.get_mut(signal as usize) {
            *sum += value;
            *count += 1;
        }
    }

    /// Follows size and end; once a second.
    pub(crate) fn follow(&mut self, view: View<'_>, now_us: i64, clear_seconds: f64) -> Progress {
        let imbalance =
            total(view, imbalance_value).zip(self.imbalance_before).map(|(now, before)| now - before);
        let make_up = total(view, make_up_value).zip(self.make_up_before).map(|(now, before)| now - before);
        // The make-up may be at its limit, the big meters' difference carries their noise: the larger speaks.
        let loss = match (imbalance, make_up) {
            (Some(imbalance), Some(make_up)) if imbalance > make_up + 0.02 * view.circulation => imbalance,
            (_, Some(make_up)) => make_up,
            (Some(imbalance), None) => imbalance,
            (None, None) => return Progress::None,
        };
        let elapsed = (now_us - self.averaged_us) as f64 / 1e6;
        self.averaged_us = now_us;
        self.loss_kg_s += (1.0 - (-elapsed / LOSS_SECONDS).exp()) * (loss - self.loss_kg_s);
        self.peak_kg_s = self.peak_kg_s.max(self.loss_kg_s);
        // Gone means: the big meters agree again, or there are none. Make-up refills for long after.
        let gone = imbalance.or(make_up).is_some_and(|rise| rise < 0.3 * self.peak_kg_s);
        if gone {
            let since = *self.below_since_us.get_or_insert(now_us);
            if (now_us - since) as f64 / 1e6 >= clear_seconds {
                return Progress::Over;
            }
        } else {
            self.below_since_us = None;
        }
        match LOCATE_AT_SECONDS.get(self.located) {
            Some(at) if now_us - self.opened_us >= at * 1_000_000 => {
                self.located += 1;
                Progress::Locate
            }
            _ => Progress::None,
        }
    }
}
