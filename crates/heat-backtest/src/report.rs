//! The report: what was said, how good it was, what could not be judged. One value, told in three ways.
//!
//! The JSON is this value as it is. Times are RFC 3339 in UTC, shares are ratios, delays hours, flows kg/s.

mod confusion;
pub mod html;
mod injected;
pub mod json;
pub mod table;

use serde::Serialize;

pub use self::{
    confusion::{Confusion, ConfusionEvent, ConfusionRow, Proportion},
    injected::{Injected, InjectedRow},
};

/// A backtest's outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Number of this layout.
    pub format: u32,
    /// First and last arrival.
    pub span: Option<SpanText>,
    /// Whether labels were given; without them the alarms are what would have been said, unjudged.
    pub labelled: bool,
    /// All alarms, in order of emission.
    pub alarms: Vec<AlarmReport>,
    /// Labelled events, in order of onset.
    pub events: Vec<EventReport>,
    /// How good.
    pub scores: Scores,
    /// Which kind of cause was taken for which; absent without labels.
    pub confusion: Option<Confusion>,
    /// What became of injected faults, by kind and size; absent where none were injected.
    pub injected: Option<Injected>,
    /// Stations whose named faults cost flow or heat, the worst first.
    pub costs: Vec<CostReport>,
    /// What could not be judged, and why.
    pub coverage: Coverage,
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanText {
    /// Its first instant.
    pub from: String,
    /// Its last.
    pub to: String,
}

/// A pipe that may be it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateReport {
    /// The pipe.
    pub pipe: String,
    /// Its probability.
    pub probability: f64,
}

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmVerdict {
    /// It found an event.
    True,
    /// It matches nothing.
    False,
    /// Another one about an event already found: not scored.
    Repeat,
    /// One of its class, network and place stood a few hours before: not scored.
    Merged,
    /// Raised while the network was still learning, or about an event that began then: not scored.
    Unscored,
    /// There are no labels to tell.
    Unlabelled,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlarmReport {
    /// Incident's id.
    pub id: String,
    /// Class.
    pub class: String,
    /// Kind within the class.
    pub kind: Option<String>,
    /// Priority: P1 and P2 page.
    pub priority: String,
    /// Network.
    pub network: String,
    /// When it left the program.
    pub emitted: String,
    /// Estimated onset.
    pub from: String,
    /// When it was cleared.
    pub to: Option<String>,
    /// Most probable place.
    pub place: Option<String>,
    /// Its side.
    pub side: Option<String>,
    /// Ranked pipes when it was raised.
    pub candidates: Vec<CandidateReport>,
    /// Ranked pipes as published 10 min (burst) or 24 h (leak) later.
    pub later: Vec<CandidateReport>,
    /// Estimated loss, kg/s.
    pub size_kg_s: Option<f64>,
    /// Strength in the detector's measure.
    pub strength: f64,
    /// Who raised it.
    pub detector: String,
    /// Stations affected, at most.
    pub affected: usize,
    /// Level of plant model it was judged with.
    pub level: String,
    /// What was missing.
    pub lacked: Vec<String>,
    /// What became of it.
    pub verdict: AlarmVerdict,
    /// The event it found.
    pub event: Option<String>,
    /// Other labelled events of its network that were on when a false alarm was raised, with class and place: what may
    /// have been taken for it. Silences are left out.
    pub during: Vec<String>,
    /// What the duty desk read, Chinese.
    pub text_zh: String,
    /// The same, English.
    pub text_en: String,
    /// Emission, microseconds since the epoch.
    #[serde(skip)]
    pub emitted_us: i64,
    /// Clearing.
    #[serde(skip)]
    pub cleared_us: Option<i64>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventVerdict {
    /// Found.
    Found,
    /// Not found.
    Missed,
    /// Outside the scored time of its network, or of a network without data.
    Unscored,
}

/// One labelled event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventReport {
    /// Its name.
    pub event: String,
    /// Class with kind.
    pub class: String,
    /// Network.
    pub network: String,
    /// Onset.
    pub start: String,
    /// End.
    pub end: String,
    /// Pipe, site or signal.
    pub place: String,
    /// Its side.
    pub side: String,
    /// Size, kg/s.
    pub size_kg_s: Option<f64>,
    /// Size as a share of the network's mean circulation.
    pub share: Option<f64>,
    /// What became of it.
    pub verdict: EventVerdict,
    /// The alarm that found it.
    pub alarm: Option<String>,
    /// Class of another loss under which it was alarmed within its window, where it was missed under its own.
    pub found_as: Option<String>,
    /// Onset to alarm.
    pub delay_h: Option<f64>,
    /// Estimated size when it was raised, kg/s.
    pub said_kg_s: Option<f64>,
    /// Estimated size as published 10 min (burst) or 24 h (leak) later: a burst is raised while it still opens.
    pub said_later_kg_s: Option<f64>,
    /// Water lost until it was found, or altogether, m3.
    pub lost_m3: Option<f64>,
    /// Size over the noise of the network's whitened hourly corrected make-up: s.
    pub detectability: Option<f64>,
    /// Delay since s was 1: since onset, or since a growing loss had grown so far; absent where s stays below 1.
    pub delay_since_detectable_h: Option<f64>,
    /// Size when it was found, kg/s: of a growing loss what it had grown to.
    pub size_when_found_kg_s: Option<f64>,
    /// Measured delay over 13 h/s2; of sudden losses, for which that formula holds.
    pub delay_over_theory: Option<f64>,
    /// Place when it was raised.
    pub located: Option<LocatedReport>,
    /// Place as published later.
    pub located_later: Option<LocatedReport>,
    /// The length-and-age prior.
    pub located_prior: Option<LocatedReport>,
    /// Onset, microseconds since the epoch.
    #[serde(skip)]
    pub on_us: i64,
    /// End.
    #[serde(skip)]
    pub off_us: i64,
}

/// How near a ranking came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LocatedReport {
    /// Metres of trench from its first to the true pipe.
    pub distance_m: Option<f64>,
    /// Place of the true trench in it, from 1.
    pub rank: Option<usize>,
    /// Share of the trenches to dig; chance is 0.5.
    pub search_fraction: f64,
    /// Whether the side was right; absent where none was said.
    pub side_right: Option<bool>,
}

/// A rate per network-month or station-month of 30 days, with its 95 % Poisson interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateReport {
    /// How many.
    pub count: usize,
    /// Months they rest on.
    pub months: f64,
    /// Point estimate.
    pub per_month: Option<f64>,
    /// Lower limit.
    pub low95: Option<f64>,
    /// Upper limit.
    pub high95: Option<f64>,
}

/// Detection of one group of classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupScore {
    /// Class, or the name of the group.
    pub class: String,
    /// Labelled events that count.
    pub events: usize,
    /// Found.
    pub found: usize,
    /// Alarms that match nothing.
    pub false_alarms: usize,
    /// Further alarms about events found.
    pub repeats: usize,
    /// True of all scored.
    pub precision: Option<f64>,
    /// Found of all.
    pub recall: Option<f64>,
    /// Precision counts twice.
    pub f05: Option<f64>,
    /// Both count alike.
    pub f1: Option<f64>,
    /// What as many random alarms find: mean recall.
    pub chance_mean: Option<f64>,
    /// Recall that 95 % of the random draws do not exceed.
    pub chance_quantile95: Option<f64>,
    /// Whether the recall lies above that.
    pub above_chance: Option<bool>,
    /// False alarms per network-month (losses and what concerns the whole network) or station-month.
    pub false_rate: RateReport,
    /// What the months are of: `network` or `station`.
    pub per: &'static str,
}

/// Delay of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelayScore {
    /// Found.
    pub found: usize,
    /// Missed: censored at the end of their window.
    pub missed: usize,
    /// Kaplan-Meier median.
    pub median_h: Option<f64>,
    /// Kaplan-Meier 90th percentile.
    pub p90_h: Option<f64>,
    /// The curve: hours after onset, share found by then.
    pub curve: Vec<(f64, f64)>,
}

/// Location of found losses whose true pipe is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocationScore {
    /// Events it rests on.
    pub events: usize,
    /// Median metres of trench from the first of the ranking.
    pub median_distance_m: Option<f64>,
    /// Share within 100 m.
    pub hit_100m: Option<f64>,
    /// Share within 300 m.
    pub hit_300m: Option<f64>,
    /// Share with the true trench first.
    pub top_1: Option<f64>,
    /// Among the first three.
    pub top_3: Option<f64>,
    /// Among the first five.
    pub top_5: Option<f64>,
    /// Share with the right side, of those where one was said.
    pub side_right: Option<f64>,
    /// Share where a side was said.
    pub side_said: Option<f64>,
    /// Median share of the trenches to dig; chance is 0.5.
    pub median_search_fraction: Option<f64>,
}

/// Places when raised, later, and by the prior.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Location {
    /// Bursts or leaks.
    pub class: String,
    /// When raised.
    pub at_emission: LocationScore,
    /// As published 10 min (burst) or 24 h (leak) later.
    pub later: LocationScore,
    /// The length-and-age prior on the same events.
    pub prior: LocationScore,
}

/// Smallest sudden loss found by half within a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SmallestFound {
    /// Hours after onset.
    pub within_h: f64,
    /// Events with a size.
    pub events: usize,
    /// Found within the time.
    pub found: usize,
    /// Share of circulation from which half are found (isotonic fit).
    pub share: Option<f64>,
}

/// Estimated size of found sudden losses over the true one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeScore {
    /// Class.
    pub class: String,
    /// Events with both sizes.
    pub events: usize,
    /// Median when raised.
    pub at_emission: Option<f64>,
    /// Median as published 10 min (burst) or 24 h (leak) later.
    pub later: Option<f64>,
}

/// What one network's noise allows and what was found in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkScore {
    /// The network.
    pub network: String,
    /// Scored months.
    pub months: f64,
    /// Mean circulation, kg/s.
    pub circulation_kg_s: f64,
    /// Standard deviation of its whitened hourly corrected make-up, kg/s.
    pub noise_kg_s: Option<f64>,
    /// Lag-1 correlation of the hours.
    pub noise_correlation: Option<f64>,
    /// Clean hours it rests on.
    pub noise_hours: usize,
    /// Loss that the best test would find in 24 h at this noise, share of circulation.
    pub smallest_by_noise_share: Option<f64>,
    /// The same in t/h.
    pub smallest_by_noise_t_h: Option<f64>,
    /// Smallest labelled sudden loss found within 24 h, share of circulation.
    pub smallest_found_share: Option<f64>,
    /// The same in t/h.
    pub smallest_found_t_h: Option<f64>,
    /// Largest labelled sudden loss not found within 24 h, t/h.
    pub largest_missed_t_h: Option<f64>,
    /// Pages that match nothing.
    pub false_pages: usize,
}

/// What one priority may say by mistake, and what it did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PriorityBudget {
    /// `P1+P2`, `P3` or `P4`.
    pub priority: &'static str,
    /// What the months are of: `network` or `station`.
    pub per: &'static str,
    /// False alarms that the budget allows per month.
    pub promised: f64,
    /// False alarms measured; without labels all.
    pub measured: RateReport,
    /// Whether the promise lies inside the interval or above it.
    pub kept: Option<bool>,
}

/// The alarm budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// False pages (P1 and P2) that the settings allow per network-month.
    pub promised_per_network_month: f64,
    /// False pages measured; without labels all pages.
    pub measured: RateReport,
    /// Whether the promise lies inside the interval or above it.
    pub kept: Option<bool>,
    /// The same by priority.
    pub by_priority: Vec<PriorityBudget>,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Days after a network's first reading that score nothing.
    pub warm_up_days: f64,
    /// Pages (P1 and P2) within those days: the live product pages as soon as a detector has learned.
    pub warm_up_pages: usize,
    /// Of them those within no labelled event; without labels all.
    pub warm_up_pages_unexplained: usize,
    /// Scored network-months.
    pub network_months: f64,
    /// Scored station-months.
    pub station_months: f64,
    /// Bursts and leaks together.
    pub losses: GroupScore,
    /// Each class of labels or alarms.
    pub classes: Vec<GroupScore>,
    /// Delay of bursts and abrupt leaks.
    pub delay_abrupt: DelayScore,
    /// Delay of incipient leaks.
    pub delay_incipient: DelayScore,
    /// Water lost before detection, all found losses, m3.
    pub lost_before_detection_m3: Option<f64>,
    /// Water lost by missed losses, m3.
    pub lost_undetected_m3: Option<f64>,
    /// Smallest losses.
    pub smallest_found: Vec<SmallestFound>,
    /// Estimated over true size.
    pub sizes: Vec<SizeScore>,
    /// Median share of circulation that a growing loss had reached when it was found.
    pub incipient_share_when_found: Option<f64>,
    /// Found losses while which no other incident of P1 to P3 was opened in their network, but about another labelled
    /// event: one cause, one incident.
    pub told_once: usize,
    /// Found losses.
    pub told: usize,
    /// Found events of every class that were told once: of what concerns a site no other incident about it counts.
    pub causes_told_once: usize,
    /// Found events of every class.
    pub causes_told: usize,
    /// Median of measured delay over 13 h/s2.
    pub delay_over_theory_median: Option<f64>,
    /// Losses whose s reaches 1.
    pub detectable: usize,
    /// Of them found within 24 h after it did.
    pub detectable_found_24h: usize,
    /// Where.
    pub location: Vec<Location>,
    /// The alarm budget.
    pub budget: Budget,
    /// Network by network.
    pub networks: Vec<NetworkScore>,
}

/// What a station's named faults cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostReport {
    /// Its network.
    pub network: String,
    /// The station.
    pub site: String,
    /// Water pumped for nothing, m3.
    pub excess_m3: f64,
    /// Heat delivered for nothing, GJ.
    pub excess_gj: f64,
    /// Capacity of the network that both took, GJ: what the order follows.
    pub capacity_gj: f64,
    /// How long it lasted, hours.
    pub hours: f64,
}

/// What one detector could judge in one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectorCoverage {
    /// Its name.
    pub detector: String,
    /// Share of the network's time in which it judged.
    pub ready_share: f64,
    /// Since when it last was ready without a break; absent if it ended otherwise.
    pub ready_since: Option<String>,
    /// Share of the time in which it learned.
    pub learning_share: f64,
    /// Signals it lacked at any time.
    pub lacked: Vec<String>,
    /// Why it could not judge, in words; empty where it could.
    pub why: String,
}

/// Coverage of one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkCoverage {
    /// The network.
    pub network: String,
    /// Level of plant model.
    pub level: String,
    /// What the level lacks.
    pub level_lacks: String,
    /// First arrival.
    pub from: String,
    /// Last arrival.
    pub to: String,
    /// Sites that spoke.
    pub sites: usize,
    /// Of them unknown to the plant model.
    pub sites_not_in_plant: Vec<String>,
    /// Signals that spoke.
    pub signals: usize,
    /// Live readings.
    pub live_readings: u64,
    /// Back-filled readings: they teach and are never judged.
    pub backfilled_readings: u64,
    /// Its detectors.
    pub detectors: Vec<DetectorCoverage>,
}

/// What could not be judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Network by network.
    pub networks: Vec<NetworkCoverage>,
    /// Readings seen.
    pub readings: u64,
    /// Exact repeats.
    pub repeats: u64,
    /// Bad values.
    pub bad: u64,
    /// Wrong clocks.
    pub clock: u64,
    /// Live readings beyond the lateness bound.
    pub late: u64,
    /// Readings of names that no detector uses.
    pub unused: u64,
    /// Names that no detector uses.
    pub unused_names: Vec<String>,
    /// Labelled classes of which not one alarm was raised.
    pub classes_never_raised: Vec<String>,
    /// What else must be known to read the figures.
    pub notes: Vec<String>,
}
