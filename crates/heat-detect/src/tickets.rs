//! Citizens' tickets as a sensor: where more complain than usual, and which incident answers each ticket.
//!
//! A ticket belongs to the station that feeds the site it names, else to its area. When one comes, the tickets of the last
//! 2 to 24 hours are counted at its place and at every branch of the network that the place hangs on, and compared with
//! what [`rate`] expects there, raised by whatever the rest of the network has more than usual: a cold snap makes
//! everybody call, and is no cluster. The most improbable of these counts is a cluster if chance would bring one less
//! often than the budget says over all that is tested in a month; of a station and its branch, the station is named unless
//! the branch is far less probable. A place that is complained about always has a high rate, and is no cluster either.
//!
//! No text and no person: of a ticket there are its numbers, kind, time and place, for a day.

mod rate;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, VecDeque};

use heat_model::{
    AppendTime, EventTime, IncidentId, SiteId,
    incident::{Class, Evidence},
    ticket::{Ticket, TicketKind},
};
use serde::{Deserialize, Serialize};

use self::{
    rate::{Rate, ln_tail},
    tree::Tree,
};
use crate::{DetectSettings, Finding, TicketCause, layout::Layout, network::findings};

/// Name of the detector.
pub(crate) const DETECTOR: &str = "tickets";
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Windows in which tickets are counted, hours.
const WINDOWS: [usize; 4] = [2, 4, 8, 24];
/// Fewer make no cluster.
const CLUSTER_MIN: u32 = 5;
/// Tickets of the rest of the network that its usual number is worth, when it is asked whether everybody calls.
const COMMON_PRIOR: f64 = 6.0;
/// Logarithm of the probability that a branch's tickets must have without those of its most complaining place: 1 in 1,000.
const WITHOUT_MOST_LN: f64 = -6.9;
/// Clusters by chance in 30 days, over all places and kinds: within the promise of one with room for a rate that is
/// still being learned.
const FALSE_PER_MONTH: f64 = 0.5;
/// A larger set of places must be less probable by this factor's logarithm.
const LARGER_LN: f64 = 4.0;
/// A cluster is over when no excess came for so long: longer than a night.
const OVER_US: i64 = 12 * HOUR_US;
/// Hours before clusters are told: a week, so that each weekday was seen.
const LEARN_HOURS: u32 = 168;
/// Tickets of the last day that are kept.
const RECENT_MAX: usize = 4_096;
/// Clusters that are open at once.
const CLUSTERS_MAX: usize = 64;
/// Longest number of a ticket that is kept, bytes.
const NUMBER_MAX: usize = 64;

/// Kinds that are counted apart.
const KINDS: usize = 3;
const WORDS: [&str; KINDS] = ["cold", "leak", "other"];

const fn kind_index(kind: TicketKind) -> usize {
    match kind {
        TicketKind::Cold => 0,
        TicketKind::Leak => 1,
        TicketKind::Noise | TicketKind::WaterQuality | TicketKind::Other => 2,
    }
}

/// Where a ticket belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Place {
    Site(SiteId),
    Area(String),
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Site(site) => site.as_str(),
            Self::Area(area) => area,
        }
    }
}

/// Tickets of one place, with memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counted {
    place: Place,
    tickets: [f64; KINDS],
    hour: i64,
}

impl Counted {
    fn now(&self, kind: usize, hour: i64) -> f64 {
        let hours = (hour - self.hour).clamp(0, 100_000) as i32;
        self.tickets[kind] * Rate::keep().powi(hours)
    }

    fn add(&mut self, kind: usize, hour: i64) {
        let kept: Vec<f64> = (0..KINDS).map(|kind| self.now(kind, hour)).collect();
        self.tickets.copy_from_slice(&kept);
        self.hour = self.hour.max(hour);
        self.tickets[kind] += 1.0;
    }
}

/// A ticket of the last day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    at_us: i64,
    place: Option<u32>,
    kind: u8,
    /// Part of a cluster, so not what is usual.
    in_cluster: bool,
    pub(crate) ticket: String,
    pub(crate) external: Option<String>,
    pub(crate) answer: Option<(IncidentId, TicketCause)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cluster {
    kind: u8,
    /// Places by index, sorted; of the whole network if empty.
    places: Vec<u32>,
    /// The one place, if it is one.
    place: Option<String>,
    last_us: i64,
}

impl Cluster {
    fn holds(&self, kind: u8, place: Option<u32>) -> bool {
        self.kind == kind
            && (self.places.is_empty()
                || place.is_some_and(|place| self.places.binary_search(&place).is_ok()))
    }
}

/// The tickets of a network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tickets {
    counted: Vec<Counted>,
    rates: [Rate; KINDS],
    hour: Option<i64>,
    in_hour: [f64; KINDS],
    outdoor: Option<f64>,
    recent: VecDeque<Recent>,
    clusters: Vec<Cluster>,
    #[serde(skip)]
    index: BTreeMap<Place, u32>,
    /// Branches of the network; made when they are first needed.
    #[serde(skip)]
    tree: Option<Tree>,
}

/// What was counted at a set of places.
#[derive(Debug, Clone)]
struct Excess {
    ln_probability: f64,
    count: u32,
    expected: f64,
    since_us: i64,
    /// Empty for the whole network.
    places: Vec<u32>,
    /// Sites of the branch, where it is more than one place.
    branch: Vec<SiteId>,
}

impl Tickets {
    /// Rebuilds what is derived, after a restore.
    pub(crate) fn restored(&mut self) {
        self.index = self.counted.iter().map(|counted| counted.place.clone()).zip(0..).collect();
        self.tree = None;
    }

    /// Another plant model: branches and parents are looked up anew.
    pub(crate) fn use_plant(&mut self) {
        self.tree = None;
    }

    /// Takes a ticket; a finding if it belongs to a cluster. `false` beside it if a bound refused its place or dropped an
    /// older ticket.
    pub(crate) fn take(
        &mut self,
        settings: &DetectSettings,
        layout: &Layout,
        ticket: &Ticket,
        now: AppendTime,
    ) -> (Option<Finding>, bool) {
        let at_us = ticket.time.as_micros().min(now.as_micros());
        let tree = self.tree.get_or_insert_with(|| Tree::new(layout));
        let place = match (&ticket.site, &ticket.area) {
            (Some(site), _) => Some(Place::Site(tree.station_of(site).clone())),
            (None, Some(area)) => Some(Place::Area(area.clone())),
            (None, None) => None,
        };
        let named = place.is_some();
        let place = place.and_then(|place| self.place(settings, place));
        let kind = kind_index(ticket.kind) as u8;
        let mut within = place.is_some() == named;
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
            within = false;
        }
        let number = |text: &str| text.chars().take(NUMBER_MAX).collect::<String>();
        let recent = Recent {
            at_us,
            place,
            kind,
            in_cluster: false,
            ticket: number(&ticket.id),
            external: ticket.external_id.as_deref().map(number),
            answer: None,
        };
        let behind = self.recent.iter().rposition(|known| known.at_us <= at_us).map_or(0, |index| index + 1);
        self.recent.insert(behind, recent);
        let finding =
            if now.as_micros() - at_us < DAY_US { self.judge(layout, kind, place, now) } else { None };
        if finding.is_some() {
            self.recent[behind].in_cluster = true;
        } else {
            self.in_hour[usize::from(kind)] += 1.0;
        }
        (finding, within)
    }

    fn place(&mut self, settings: &DetectSettings, place: Place) -> Option<u32> {
        if let Some(index) = self.index.get(&place) {
            return Some(*index);
        }
        if self.counted.len() >= settings.ticket_places_max {
            return None;
        }
        let index = u32::try_from(self.counted.len()).ok()?;
        self.index.insert(place.clone(), index);
        self.counted.push(Counted { place, tickets: [0.0; KINDS], hour: self.hour.unwrap_or(0) });
        Some(index)
    }

    fn judge(&mut self, layout: &Layout, kind: u8, place: Option<u32>, now: AppendTime) -> Option<Finding> {
        if self.rates[usize::from(kind)].age_hours < LEARN_HOURS {
            return None;
        }
        let now_us = now.as_micros();
        let open = |whole: bool| {
            let is = |cluster: &Cluster| cluster.places.is_empty() == whole && cluster.holds(kind, place);
            self.clusters.iter().position(is)
        };
        let (known, excess) = match open(false) {
            Some(index) => {
                let places = self.clusters[index].places.clone();
                let branch = self.sites_of(&places);
                (Some(index), self.excess(kind, &places, branch, now_us)?)
            }
            None => {
                let excess = self.most_improbable(layout, kind, place, now_us)?;
                (excess.places.is_empty().then(|| open(true)).flatten(), excess)
            }
        };
        if excess.count < CLUSTER_MIN || excess.ln_probability > self.ln_level(kind) {
            return None;
        }
        let one = match excess.places.as_slice() {
            [place] => Some(self.counted[*place as usize].place.name().to_owned()),
            _ => None,
        };
        match known {
            Some(index) => self.clusters[index].last_us = now_us,
            None if self.clusters.len() >= CLUSTERS_MAX => return None,
            None => self.clusters.push(Cluster {
                kind,
                places: excess.places.clone(),
                place: one.clone(),
                last_us: now_us,
            }),
        }
        self.mark(kind, &excess);
        Some(self.finding(layout, kind, one, &excess, now))
    }

    /// Tickets of a cluster are not what is usual.
    fn mark(&mut self, kind: u8, excess: &Excess) {
        for recent in &mut self.recent {
            let inside = excess.places.is_empty()
                || recent.place.is_some_and(|place| excess.places.binary_search(&place).is_ok());
            if recent.kind == kind && recent.at_us >= excess.since_us && inside {
                recent.in_cluster = true;
            }
        }
    }

    /// Logarithm of the probability below which a count is a cluster.
    fn ln_level(&self, kind: u8) -> f64 {
        let tickets = self.rates[usize::from(kind)].by_hour() * 720.0 + 10.0;
        let sets = self.tree.as_ref().map_or(1, |tree| tree.depth().max(1) + 1);
        let tests = tickets * WINDOWS.len() as f64 * sets as f64 * KINDS as f64;
        (FALSE_PER_MONTH / tests).ln()
    }

    fn most_improbable(&self, layout: &Layout, kind: u8, place: Option<u32>, now_us: i64) -> Option<Excess> {
        let mut best: Option<Excess> = None;
        let mut offer = |excess: Option<Excess>| {
            let Some(excess) = excess else { return };
            let better =
                best.as_ref().is_none_or(|best| excess.ln_probability < best.ln_probability - LARGER_LN);
            if better {
                best = Some(excess);
            }
        };
        if let Some(place) = place {
            offer(self.excess(kind, &[place], Vec::new(), now_us));
            if let (Some(tree), Place::Site(site)) = (&self.tree, &self.counted[place as usize].place) {
                for branch in tree.branches(layout, site) {
                    let mut places: Vec<u32> = branch
                        .iter()
                        .filter_map(|site| self.index.get(&Place::Site(site.clone())).copied())
                        .collect();
                    places.sort_unstable();
                    // A branch on which nobody else ever complained says nothing more than the place.
                    if places.len() > 1 {
                        offer(self.excess(kind, &places, branch, now_us));
                    }
                }
            }
        }
        offer(self.excess(kind, &[], Vec::new(), now_us));
        best
    }

    /// The most improbable of the windows' counts at a set of places.
    fn excess(&self, kind: u8, places: &[u32], branch: Vec<SiteId>, now_us: i64) -> Option<Excess> {
        let rate = &self.rates[usize::from(kind)];
        let hour = now_us.div_euclid(HOUR_US);
        let second = now_us.rem_euclid(HOUR_US) / 1_000_000;
        let total = self.tree.as_ref().map_or(0, Tree::stations).max(self.counted.len()).max(1) as f64;
        let whole = places.is_empty();
        let history: f64 = if whole {
            rate.tickets()
        } else {
            places.iter().map(|place| self.counted[*place as usize].now(usize::from(kind), hour)).sum()
        };
        let share = if whole { 1.0 } else { branch.len().max(places.len()) as f64 / total };
        let (by_hour, shape) = rate.of(history, share);
        let mut best: Option<Excess> = None;
        for window in WINDOWS {
            let from_us = now_us - window as i64 * HOUR_US;
            let (mut here, mut elsewhere, mut since_us) = (0_u32, 0_u32, now_us);
            let mut by_place: BTreeMap<Option<u32>, u32> = BTreeMap::new();
            for recent in self.recent.iter().rev().take_while(|recent| recent.at_us > from_us) {
                if recent.kind != kind {
                    continue;
                }
                if whole || recent.place.is_some_and(|place| places.binary_search(&place).is_ok()) {
                    here += 1;
                    since_us = recent.at_us;
                    *by_place.entry(recent.place).or_default() += 1;
                } else if !recent.in_cluster {
                    elsewhere += 1;
                }
            }
            let span = rate.span(hour, second, window, self.outdoor);
            let others = rate.by_hour() * span * (1.0 - share);
            let common = ((f64::from(elsewhere) + COMMON_PRIOR) / (others + COMMON_PRIOR)).max(1.0);
            let expected = by_hour * span * common;
            // What one place alone brings is that place's: a branch must be remarkable without it.
            let most = by_place.values().copied().max().unwrap_or(0);
            if places.len() != 1 && ln_tail(here - most, expected, shape) > WITHOUT_MOST_LN {
                continue;
            }
            let ln_probability = ln_tail(here, expected, shape);
            if best.as_ref().is_none_or(|best| ln_probability < best.ln_probability) {
                let (places, branch) = (places.to_vec(), branch.clone());
                best = Some(Excess { ln_probability, count: here, expected, since_us, places, branch });
            }
        }
        best
    }

    fn sites_of(&self, places: &[u32]) -> Vec<SiteId> {
        places
            .iter()
            .filter_map(|place| match &self.counted[*place as usize].place {
                Place::Site(site) => Some(site.clone()),
                Place::Area(_) => None,
            })
            .collect()
    }

    fn finding(
        &self,
        layout: &Layout,
        kind: u8,
        one: Option<String>,
        excess: &Excess,
        now: AppendTime,
    ) -> Finding {
        let onset = EventTime::from_micros(excess.since_us);
        let mut finding = findings::empty(DETECTOR, Class::TicketCluster, onset, layout.level());
        finding.kind = Some(WORDS[usize::from(kind)].to_owned());
        let complaining: Vec<u32> = self
            .recent
            .iter()
            .filter(|recent| recent.kind == kind && recent.at_us >= excess.since_us)
            .filter_map(|recent| recent.place)
            .filter(|place| excess.places.is_empty() || excess.places.binary_search(place).is_ok())
            .collect();
        finding.affected = self.sites_of(&complaining);
        finding.affected.sort();
        finding.affected.dedup();
        finding.branch = if one.is_some() { Vec::new() } else { excess.branch.clone() };
        finding.strength = -excess.ln_probability / std::f64::consts::LN_10;
        let at = now.as_event_now();
        let of = |what: &str, value: f64| Evidence {
            detector: DETECTOR.to_owned(),
            place: one.clone().unwrap_or_default(),
            what: what.to_owned(),
            value,
            unit: "1".to_owned(),
            at,
        };
        finding.evidence = vec![of("tickets", f64::from(excess.count)), of("tickets_usual", excess.expected)];
        finding.place = one;
        finding
    }

    /// Time passes: hours end, clusters are over, tickets older than a day leave. Gives findings that no longer hold and
    /// tickets that nothing explained.
    pub(crate) fn pass(&mut self, now: AppendTime, outdoor: Option<f64>) -> (Vec<Finding>, Vec<Recent>) {
        let now_us = now.as_micros();
        let hour = now_us.div_euclid(HOUR_US);
        let begun = *self.hour.get_or_insert(hour);
        // After a gap the hours in between count as hours without tickets, for at most two days.
        for ended in begun.max(hour - 48)..hour {
            for (rate, tickets) in self.rates.iter_mut().zip(&mut self.in_hour) {
                rate.end_hour(ended, self.outdoor, std::mem::take(tickets));
            }
        }
        self.hour = Some(hour);
        self.outdoor = outdoor.or(self.outdoor);
        let mut left = Vec::new();
        while self.recent.front().is_some_and(|recent| now_us - recent.at_us >= DAY_US) {
            let Some(recent) = self.recent.pop_front() else { break };
            if let Some(place) = recent.place.filter(|_| !recent.in_cluster) {
                self.counted[place as usize].add(usize::from(recent.kind), hour);
            }
            if recent.answer.is_none() {
                left.push(recent);
            }
        }
        let over = |cluster: &Cluster| now_us - cluster.last_us >= OVER_US;
        let ended = self
            .clusters
            .iter()
            .filter(|cluster| over(cluster))
            .map(|cluster| {
                let onset = EventTime::from_micros(cluster.last_us);
                let level = heat_model::plant::ModelLevel::L0;
                let mut finding = findings::empty(DETECTOR, Class::TicketCluster, onset, level);
                finding.kind = Some(WORDS[usize::from(cluster.kind)].to_owned());
                finding.place.clone_from(&cluster.place);
                finding.active = false;
                finding
            })
            .collect();
        self.clusters.retain(|cluster| !over(cluster));
        (ended, left)
    }

    /// Tickets of the last day that no incident of the plant answers yet, with the place that they belong to.
    pub(crate) fn unanswered(&mut self) -> impl Iterator<Item = (&mut Recent, Option<&Place>)> {
        let counted = &self.counted;
        self.recent
            .iter_mut()
            .filter(|recent| recent.answer.is_none_or(|(_, cause)| cause != TicketCause::Plant))
            .map(|recent| {
                let place = recent.place.map(|place| &counted[place as usize].place);
                (recent, place)
            })
    }

    /// Hours until clusters are told.
    pub(crate) fn learning_left_hours(&self) -> u32 {
        LEARN_HOURS.saturating_sub(self.rates[0].age_hours)
    }

    /// Whether any ticket ever came.
    pub(crate) fn has_any(&self) -> bool {
        !self.counted.is_empty() || !self.recent.is_empty()
    }
}

impl Recent {
    pub(crate) const fn is_cold(&self) -> bool {
        self.kind == 0
    }

    pub(crate) const fn at_us(&self) -> i64 {
        self.at_us
    }
}
