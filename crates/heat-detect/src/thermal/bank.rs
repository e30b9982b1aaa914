//! The relations of one site together: when they are off, which cause is named, when it is gone.
//!
//! A deviation is judged once it has lasted an hour. A cause is named when it explains what nothing else does, and beats
//! the best one of the other family, sensor or plant, by [`MARGIN`]; a tie is decided after [`WAIT_BINS`]. While a cause
//! is open its relations learn nothing, so that they return to where they were; the others wait for two weeks, and then
//! go with the season.
//!
//! It ends when the site is in line again. Silence is not health: while nothing is heard of the relations that the cause
//! moves, it neither ends nor counts, and after [`LOST_BINS`] it is given up, for it can no longer be judged.

use serde::{Deserialize, Serialize};

use super::{
    hypothesis::{CHANNELS, Deviations, Ranked, Rule, Want, rank, weight_of_other},
    relation::{ACCEPT_BINS, Course, KNOWN, Learns, Relation, SCALES, Tail, Take, Thresholds},
    rls::Inputs,
};

/// Quarter hours for which a deviation must last before it is judged, and after which the best cause is named even
/// where another is nearly as good.
const SETTLE_BINS: i64 = 4;
const WAIT_BINS: i64 = 36;
/// By how much a cause must beat the best one of the other family.
pub(super) const MARGIN: f64 = 9.0;
/// Quarter hours in line after which a cause is gone.
const CLEAR_BINS: u32 = 8;
/// The same of what comes and goes.
const CLEAR_AGAIN_BINS: u32 = 96;
/// Quarter hours without a word of its relations after which a cause is given up: a station that was pulled down, or stands
/// still.
pub(super) const LOST_BINS: u32 = 14 * 96;
/// In line: within so many standard deviations, or below what matters.
const IN_LINE: f64 = 3.5;
/// What must be explained for a cause to be named at all.
const EVIDENCE_MIN: f64 = 20.0;

/// What is told of a relation, and from which size on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Word of the deviation in evidence.
    pub(super) what: &'static str,
    /// Factor from the relation's own unit to SI, and that unit.
    pub(super) si: f64,
    pub(super) unit: &'static str,
    /// Smallest standard deviation of a mean: what sensors can tell at best.
    pub(super) floor: f64,
    /// Deviations below this are within the meters' errors and are told by nobody.
    pub(super) smallest: f64,
}

/// Limits of all relations of a kind of site.
pub(super) type Limits = [Limit; CHANNELS];

/// Inputs and target of a relation in one quarter hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant {
    pub(super) inputs: Inputs,
    pub(super) target: f64,
}

/// All relations of a site in one quarter hour.
pub(super) type Instants = [Option<Instant>; CHANNELS];

/// A cause that is open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    /// Index of its rule.
    pub(super) rule: u8,
    /// Whether it grew, or came at once.
    pub(super) grew: bool,
    pub(super) onset_bin: i64,
    in_line: u32,
    /// Whether it was over not long ago: then it has to be in line for longer.
    again: bool,
    /// The relations that it moves, of those that were judged when it was named, as bits; none where nothing was said of
    /// it, for then it holds nothing back.
    moved: u16,
    /// Quarter hours since anything was heard of them.
    unheard: u32,
}

impl Case {
    const fn moves(&self, channel: usize) -> bool {
        self.moved & (1 << channel) != 0
    }

    /// Whether a relation says how it goes on.
    const fn concerns(&self, channel: usize) -> bool {
        self.moved == 0 || self.moves(channel)
    }
}

/// How a cause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The site is in line again.
    InLine,
    /// Nothing has been heard of it for too long.
    Lost,
}

/// What changed about a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum News {
    /// With how probable it is that a cause of the other family, sensor or plant, is the matter.
    Opened(Case, Ranked, f64),
    Closed(Case, End),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bank {
    /// Those that ever had a quarter hour: what a site has no signals for takes no place.
    relations: [Option<Box<Relation>>; CHANNELS],
    /// Since when a relation has been off.
    off_since: Option<i64>,
    pub(super) case: Option<Case>,
}

impl Bank {
    /// A relation that is known.
    pub(super) fn known(&self, channel: usize) -> Option<&Relation> {
        self.relations[channel].as_deref().filter(|relation| relation.is_known())
    }

    /// By how much a relation has been off in the last hour; 0 of one that was never judged.
    pub(super) fn off_by(&self, channel: usize) -> f64 {
        self.relations[channel].as_ref().map_or(0.0, |relation| relation.mean(0))
    }

    /// Whether a relation was judged within the last hours.
    pub(super) fn is_current(&self, channel: usize, bin: i64) -> bool {
        self.relations[channel].as_ref().is_some_and(|relation| relation.is_current(bin))
    }

    fn present(&self) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter_map(Option::as_deref)
    }

    /// Relations that were judged within the last hours, with their channels.
    fn current(&self, bin: i64) -> impl Iterator<Item = (usize, &Relation)> {
        let present = self.relations.iter().enumerate();
        present.filter_map(move |(channel, relation)| {
            Some((channel, relation.as_deref().filter(|r| r.is_current(bin))?))
        })
    }

    /// Whether nothing is off.
    pub(super) fn is_calm(&self) -> bool {
        self.case.is_none() && self.off_since.is_none()
    }

    /// Whether nothing is off, or has been for so long that what hangs on the site must go on without it.
    pub(super) fn is_settled(&self, bin: i64) -> bool {
        let since = self.case.map(|case| case.onset_bin).or(self.off_since);
        since.is_none_or(|since| bin - since > i64::from(ACCEPT_BINS))
    }

    /// Nothing is said of the cause that is open.
    pub(super) fn is_not_said(&mut self) {
        if let Some(case) = &mut self.case {
            case.moved = 0;
        }
    }

    /// The cause that is open was there not long ago.
    pub(super) fn is_again(&mut self) {
        if let Some(case) = &mut self.case {
            case.again = true;
        }
    }

    /// Whether a relation's newest value stands for this quarter hour.
    pub(super) fn is_fresh(&self, channel: usize, bin: i64) -> bool {
        self.relations[channel].as_ref().is_some_and(|relation| relation.is_fresh(bin))
    }

    pub(super) fn residual(&self, bin: i64, channel: usize, instants: &Instants) -> Option<f64> {
        let instant = instants[channel].as_ref()?;
        self.relations[channel].as_ref()?.residual(bin, &instant.inputs, instant.target)
    }

    /// Whether a relation is asked beyond all that it knows.
    pub(super) fn is_beyond(&self, channel: usize, instants: &Instants) -> bool {
        instants[channel].as_ref().is_some_and(|instant| {
            self.relations[channel].as_ref().is_none_or(|relation| relation.is_beyond(&instant.inputs))
        })
    }

    /// Takes a quarter hour into all relations. `common` is what all sites of the kind share.
    pub(super) fn take(
        &mut self,
        bin: i64,
        instants: &Instants,
        common: &[f64; CHANNELS],
        learns: Learns,
        limits: &Limits,
        tails: &mut [Tail; CHANNELS],
    ) {
        for (channel, instant) in instants.iter().enumerate() {
            if let Some(instant) = instant {
                let learns = match self.case {
                    Some(case) if case.moves(channel) => Learns::Held,
                    // What the cause does not explain must go with the season, or the site is never in line again.
                    Some(_) if !self.is_settled(bin) => Learns::No,
                    Some(_) | None => learns,
                };
                let take = Take {
                    bin,
                    inputs: &instant.inputs,
                    target: instant.target,
                    common: common[channel],
                    floor: limits[channel].floor,
                    learns,
                };
                self.relations[channel].get_or_insert_default().take(take, &mut tails[channel]);
            }
        }
    }

    /// The span at which a relation is off, if any is: the shortest.
    fn off(&self, bin: i64, limits: &Limits, thresholds: &[Thresholds; CHANNELS]) -> Option<usize> {
        (0..SCALES).find(|&scale| {
            self.current(bin).any(|(channel, relation)| {
                let (mean, limit) = (relation.mean(scale), &limits[channel]);
                // A long mean that the newest hour does not bear out is a past that nobody needs to be told.
                relation.z(scale, limit.floor).abs() > thresholds[channel][scale]
                    && mean.abs() > limit.smallest
                    && relation.mean(0) * mean.signum() > 0.5 * mean.abs()
            })
        })
    }

    fn deviations(&self, bin: i64, scale: usize, limits: &Limits) -> Deviations {
        let mut seen = [None; CHANNELS];
        for (channel, relation) in self.current(bin) {
            seen[channel] = Some((relation.mean(scale), relation.sigma(scale, limits[channel].floor)));
        }
        seen
    }

    /// Judges the site. `waits` is how long a cause of an index must have lasted beyond the hour.
    pub(super) fn judge(
        &mut self,
        bin: i64,
        rules: &[Rule],
        waits: impl Fn(usize) -> i64,
        limits: &Limits,
        thresholds: &[Thresholds; CHANNELS],
    ) -> Option<News> {
        if self.case.is_some() {
            return self.follow(bin, limits);
        }
        // At rest for the night nothing is current: what was off by day goes on in the morning.
        self.current(bin).next()?;
        let Some(scale) = self.off(bin, limits, thresholds) else {
            self.off_since = None;
            return None;
        };
        let since = *self.off_since.get_or_insert(bin);
        if bin - since < SETTLE_BINS {
            return None;
        }
        let seen = self.deviations(bin, scale, limits);
        let (best, other) = rank(rules, &seen)?;
        let nothing: f64 = seen.iter().flatten().map(|(value, sigma)| (value / sigma).powi(2)).sum();
        let is_clear = other.is_none_or(|other| other.cost - best.cost > MARGIN);
        let is_late = bin - since >= WAIT_BINS;
        if nothing - best.cost < EVIDENCE_MIN || !(is_clear || is_late) || bin - since < waits(best.rule) {
            return None;
        }
        let z = |channel: usize| seen[channel].map_or(0.0, |(value, sigma)| (value / sigma).abs());
        let main = (0..CHANNELS).max_by(|a, b| z(*a).total_cmp(&z(*b))).unwrap_or(0);
        let grew = self.relations[main].as_ref().is_some_and(|relation| relation.course() == Course::Ramp);
        let rule = u8::try_from(best.rule).expect("a site has few causes");
        let moved = |channel: &usize| {
            let is_moved = !matches!(rules[best.rule].wants[*channel], Want::Zero | Want::May);
            seen[*channel].is_some() && is_moved
        };
        let moved = (0..CHANNELS).filter(moved).fold(0, |bits, channel| bits | 1 << channel);
        let case = Case { rule, grew, onset_bin: since, in_line: 0, again: false, moved, unheard: 0 };
        self.case = Some(case);
        let or_else = other.map_or(0.0, |other| weight_of_other(&best, &other));
        Some(News::Opened(case, best, or_else))
    }

    fn follow(&mut self, bin: i64, limits: &Limits) -> Option<News> {
        let in_line = self.current(bin).all(|(channel, relation)| {
            let limit = &limits[channel];
            relation.z(0, limit.floor).abs() < IN_LINE || relation.mean(0).abs() < 0.5 * limit.smallest
        });
        let mut case = self.case?;
        let heard = (0..CHANNELS).any(|channel| case.concerns(channel) && self.is_fresh(channel, bin));
        if heard {
            case.unheard = 0;
            case.in_line = if in_line { case.in_line + 1 } else { 0 };
        } else {
            case.unheard += 1;
        }
        self.case = Some(case);
        if case.in_line >= if case.again { CLEAR_AGAIN_BINS } else { CLEAR_BINS } {
            self.forget();
            Some(News::Closed(case, End::InLine))
        } else if case.unheard > LOST_BINS {
            self.dismiss();
            Some(News::Closed(case, End::Lost))
        } else {
            None
        }
    }

    /// Whether any relation is judged.
    pub(super) fn is_known(&self) -> bool {
        self.present().any(Relation::is_known)
    }

    /// Quarter hours with data until the first relation is judged.
    pub(super) fn learning_left(&self) -> u32 {
        self.present().map(Relation::learning_left).min().unwrap_or(KNOWN)
    }

    /// Whether a known relation moves with a cause.
    pub(super) fn tells(&self, rule: &Rule) -> bool {
        rule.wants.iter().enumerate().any(|(channel, want)| {
            matches!(want, Want::Per(factor) if *factor != 0.0) && self.known(channel).is_some()
        })
    }

    /// The least size of a cause that the relations it moves could show, in the rule's unit in SI; `None` where none of
    /// them is known.
    pub(super) fn least(
        &self,
        rule: &Rule,
        limits: &Limits,
        thresholds: &[Thresholds; CHANNELS],
    ) -> Option<(f64, &'static str)> {
        let moved = |channel: usize| match rule.wants[channel] {
            Want::Per(factor) if factor != 0.0 => Some((factor.abs(), self.known(channel)?)),
            Want::Per(_)
            | Want::PerOrZero(_)
            | Want::Zero
            | Want::Below
            | Want::Above
            | Want::Any
            | Want::May => None,
        };
        let own = (0..CHANNELS)
            .find(|channel| matches!(rule.wants[*channel], Want::Per(f) if (f.abs() - 1.0).abs() < 1e-9))?;
        (0..CHANNELS)
            .filter_map(|channel| {
                let ((factor, relation), limit) = (moved(channel)?, &limits[channel]);
                let shows = |scale: usize| {
                    let least = thresholds[channel][scale] * relation.sigma(scale, limit.floor);
                    least.max(limit.smallest) / factor
                };
                (0..SCALES).map(shows).min_by(f64::total_cmp)
            })
            .min_by(f64::total_cmp)
            .map(|least| (least * limits[own].si, limits[own].unit))
    }

    /// What was off is over, or explained by another: the long means forget it.
    pub(super) fn forget(&mut self) {
        self.case = None;
        self.off_since = None;
        for relation in self.relations.iter_mut().flatten() {
            relation.settle();
        }
    }

    /// What was off was of readings that meant something else: it says nothing of those that follow.
    pub(super) fn dismiss(&mut self) {
        self.case = None;
        self.off_since = None;
        for relation in self.relations.iter_mut().flatten() {
            relation.dismiss();
        }
    }

    /// Deviations for evidence, furthest off first: (relation, value in SI).
    pub(super) fn facts(&self, bin: i64, limits: &Limits) -> Vec<(usize, f64)> {
        let seen = self.deviations(bin, 0, limits);
        let mut facts: Vec<(usize, f64, f64)> = seen
            .iter()
            .enumerate()
            .filter_map(|(channel, seen)| seen.map(|(value, sigma)| (channel, value, (value / sigma).abs())))
            .filter(|(_, _, z)| *z > IN_LINE)
            .collect();
        facts.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        facts.truncate(4);
        facts.into_iter().map(|(channel, value, _)| (channel, value * limits[channel].si)).collect()
    }
}
