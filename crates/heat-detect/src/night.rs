//! Minimum night flow, for water networks that know what flows in, and at most some of what is drawn.
//!
//! Physical model: at night little is drawn, so inflow then is leakage more than anything (Lambert & Hirner, Losses from
//! Water Supply Systems, IWA 2000). A leak adds to every hour the same; a season, a holiday or a hot week multiplies what is
//! drawn at all hours. So a night is held against two things ([`usual`]): the nights before it, and those nights' share
//! of their days. What shows in one of them only is demand. Where tanks take up what flows in and their levels are told
//! ([`tanks`]), the inflow less that is what is held. The quiet hours are found in the data: the three hours on end
//! of the mean day with the least inflow. Statistic: CUSUM of the lesser of the two, in units of what such predictions
//! missed before; its threshold is Siegmund's for the budget, and a single night beyond five of them is a sudden leak. Not
//! the whole day's inflow: by day demand varies by more than any leak.
//!
//! Nothing hangs on the rate of the scans, up to one an hour. Cold start: a week of nights, and four predictions. It clears when
//! the nights lie below 30 % of the leak again. Until then the nights less the leak go on to be learned, and a further
//! leak is looked for on top of it.

pub(crate) mod tanks;
mod usual;

use serde::{Deserialize, Serialize};

use self::{
    tanks::{Drawn, uptake},
    usual::{Excess, NightAndDay, Usual},
};
use crate::{
    balance::sequential::siegmund,
    bins::BINS_PER_DAY,
    budget::{Budget, Test},
    settings::DetectSettings,
};

/// Bins of the quiet hours.
const QUIET_BINS: usize = 12;
/// Of its scans, the share that a night must have, and a day.
const NIGHT_HEARD: f64 = 0.6;
const DAY_HEARD: f64 = 0.5;
/// Inflow below this share of its mean rests: a pump has filled a tank. Where it does for so much of the time, nights are the
/// pump's and not the network's, and nothing is said.
const AT_REST: f64 = 0.02;
const RESTS_MAX: f64 = 0.02;
/// Scans after which that is told: a week of hourly ones.
const RESTS_KNOWN: u32 = 168;
/// Other quiet hours must lie so much lower to take the place of those known.
const QUIETER: f64 = 0.98;
/// Nights in 30 days.
const NIGHTS_PER_MONTH: f64 = 30.0;
/// Reference shift of the CUSUM, standard deviations.
const REFERENCE: f64 = 0.5;
/// One night so many deviations beyond the usual is a sudden leak.
const SUDDEN: f64 = 5.0;
/// Least leak that counts, share of the mean inflow.
const LEAK_MIN_SHARE: f64 = 0.01;
/// Least further leak, share of the one that is said.
const FURTHER_MIN_SHARE: f64 = 0.25;
/// Memory of the mean day, days.
const DAY_MEMORY: f64 = 14.0;
/// Nights in which a leak's size settles; what it follows by a night then, and later.
const SETTLING_NIGHTS: u32 = 3;
const SETTLING: f64 = 0.5;
const FOLLOWING: f64 = 0.125;
/// A leak is over once so little of it is left, for so many nights or by so many deviations.
const OVER_SHARE: f64 = 0.3;
const OVER_NIGHTS: u32 = 3;
const OVER_AT_ONCE: f64 = 3.0;
/// Nights after it that say where the flow is without it: only the end of a leak tells how large it was.
const ANCHOR_NIGHTS: usize = 4;

/// What a night says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Night {
    /// A leak, first said or still there.
    Leak(NightLeak),
    /// It is over.
    Over,
}

/// A leak by the night flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NightLeak {
    pub(crate) abrupt: bool,
    pub(crate) since: i64,
    pub(crate) loss_kg_s: f64,
    /// CUSUM, standard deviations.
    pub(crate) strength: f64,
    /// What came on top of it last: bin of its onset, and kg/s.
    pub(crate) further: Option<(i64, f64)>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Open {
    abrupt: bool,
    since: i64,
    loss: f64,
    strength: f64,
    further: Option<(i64, f64)>,
    /// Nights since it was said, or since something came on top.
    nights: u32,
    below: u32,
}

/// Inflow of a stretch of hours, of which some scans may be missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Stretch {
    inflow: f64,
    /// What the mean day has at the same scans.
    usual: f64,
    slopes: Vec<f64>,
    scans: u32,
}

impl Stretch {
    fn add(&mut self, drawn: &Drawn, usual: f64) {
        self.inflow += drawn.kg_s;
        self.usual += usual;
        self.slopes.resize(drawn.slopes.len(), 0.0);
        self.slopes.iter_mut().zip(&drawn.slopes).for_each(|(sum, slope)| *sum += slope);
        self.scans += 1;
    }
}

/// Cumulated excess and where it began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Cusum {
    value: f64,
    since: i64,
}

impl Cusum {
    fn observe(&mut self, z: f64, bin: i64) {
        if self.value <= 0.0 {
            self.since = bin;
        }
        self.value = (self.value + z.min(SUDDEN + REFERENCE) - REFERENCE).max(0.0);
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NightFlow {
    /// Mean inflow by quarter hour of the (UTC) day, kg/s, and days it rests on.
    day: Vec<(f64, u32)>,
    first_bin: Option<i64>,
    /// What tanks take up is off the inflow.
    by_levels: bool,
    /// Mean inflow, kg/s, share of the scans at which it rests, and scans that both rest on.
    mean: f64,
    rests: f64,
    scans: u32,
    /// First quarter hour of the quiet hours.
    start: Option<usize>,
    night: Stretch,
    rest: Stretch,
    night_bin: i64,
    usual: Usual,
    cusum: Cusum,
    last_excess: f64,
    open: Option<Open>,
    /// What the nights since a leak was over had above those before, kg/s.
    anchor: Option<Vec<f64>>,
}

impl NightFlow {
    /// Nights still to be learned from.
    pub(crate) fn nights_left(&self) -> usize {
        self.usual.nights_left()
    }

    /// Whether the inflow rests for so much of the time that its nights say nothing.
    pub(crate) fn rests(&self) -> bool {
        self.scans >= RESTS_KNOWN && !self.by_levels && self.rests > RESTS_MAX
    }

    /// Whether a bin is of the quiet hours.
    pub(crate) fn is_quiet(&self, bin: i64) -> bool {
        self.start.is_some_and(|start| into_night(start, bin) < QUIET_BINS)
    }

    /// The areas of tanks are known better than before, by m2: the nights are what they would have been by them.
    pub(crate) fn move_areas(&mut self, by: &[f64]) {
        self.night.inflow -= uptake(by, &self.night.slopes);
        self.usual.move_areas(by);
    }

    /// Takes what is drawn in a quarter hour; those without a scan are left out. It begins anew where levels begin or cease to be
    /// used.
    pub(crate) fn observe(
        &mut self,
        settings: &DetectSettings,
        bin: i64,
        drawn: &Drawn,
        judges: bool,
    ) -> Option<Night> {
        if drawn.slopes.is_empty() == self.by_levels {
            let was_open = self.open.is_some();
            *self = Self { by_levels: !drawn.slopes.is_empty(), ..Self::default() };
            if was_open {
                return Some(Night::Over);
            }
        }
        let inflow = drawn.kg_s;
        if self.day.is_empty() {
            self.day = vec![(0.0, 0); BINS_PER_DAY];
        }
        self.scans = self.scans.saturating_add(1);
        let weight = 1.0 / f64::from(self.scans).min(DAY_MEMORY * BINS_PER_DAY as f64);
        self.mean += (inflow - self.mean) * weight;
        self.rests += (f64::from(u8::from(inflow <= AT_REST * self.mean)) - self.rests) * weight;
        let first = *self.first_bin.get_or_insert(bin);
        let of_day = of_day(bin);
        // Before the mean day takes this scan: a night that is over is judged by the hours that it was summed by.
        let is_quiet = self.is_quiet(bin);
        let is_over = self.night.scans > 0 && (!is_quiet || bin - self.night_bin >= QUIET_BINS as i64);
        let said = if is_over { self.end_night(settings, judges) } else { None };
        if self.open.is_none() {
            let (mean, days) = &mut self.day[of_day];
            *days = days.saturating_add(1);
            *mean += (inflow - *mean) / f64::from(*days).min(DAY_MEMORY);
        }
        let usual = self.day[of_day].0;
        if is_quiet {
            if self.night.scans == 0 {
                self.night_bin = bin;
            }
            self.night.add(drawn, usual);
        } else {
            self.rest.add(drawn, usual);
            if bin - first >= BINS_PER_DAY as i64 && self.night.scans == 0 {
                self.start = self.quiet_start();
            }
        }
        said
    }

    /// Mean of the mean day, and its scans, over some bins from one on.
    fn mean_day(&self, start: usize, bins: usize) -> (f64, u32) {
        let heard =
            (start..start + bins).map(|bin| self.day[bin % BINS_PER_DAY]).filter(|(_, days)| *days > 0);
        let (sum, count) = heard.fold((0.0, 0_u32), |(sum, count), (mean, _)| (sum + mean, count + 1));
        (sum / f64::from(count.max(1)), count)
    }

    fn quiet_start(&self) -> Option<usize> {
        let most = (0..BINS_PER_DAY).map(|start| self.mean_day(start, QUIET_BINS).1).max()?;
        let (mean, start) = (0..BINS_PER_DAY)
            .filter_map(|start| {
                let (mean, scans) = self.mean_day(start, QUIET_BINS);
                (scans == most).then_some((mean, start))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        self.start.filter(|known| mean > QUIETER * self.mean_day(*known, QUIET_BINS).0).or(Some(start))
    }

    /// Ends a night. What is missing of it, or of the day before, is filled by what the mean day has there.
    fn end_night(&mut self, settings: &DetectSettings, judges: bool) -> Option<Night> {
        let (night, rest) = (std::mem::take(&mut self.night), std::mem::take(&mut self.rest));
        let start = self.start?;
        let (night_usual, night_scans) = self.mean_day(start, QUIET_BINS);
        let (rest_usual, rest_scans) = self.mean_day(start + QUIET_BINS, BINS_PER_DAY - QUIET_BINS);
        let is_heard = |heard: u32, of: u32, share: f64| f64::from(heard) >= share * f64::from(of.max(1));
        let rests = !self.by_levels && self.rests > RESTS_MAX;
        if rests || !is_heard(night.scans, night_scans, NIGHT_HEARD) {
            return None;
        }
        let flow = NightAndDay {
            night: night_usual + (night.inflow - night.usual) / f64::from(night.scans),
            // A gap of days adds up more than one.
            day: (is_heard(rest.scans, rest_scans, DAY_HEARD) && rest.usual > 0.0)
                .then(|| rest_usual * rest.inflow / rest.usual),
            slopes: night.slopes.iter().map(|sum| sum / f64::from(night.scans)).collect(),
            weekday: self.night_bin.div_euclid(BINS_PER_DAY as i64).rem_euclid(7) as u8,
        };
        self.judge(settings, flow, judges)
    }

    fn judge(&mut self, settings: &DetectSettings, flow: NightAndDay, judges: bool) -> Option<Night> {
        let Some(excess) = self.usual.excess(&flow) else {
            self.usual.learn(flow);
            return None;
        };
        let rise = excess.least - std::mem::replace(&mut self.last_excess, excess.least);
        let share = Budget::of(settings).share(Test::NightFlow).max(1e-3);
        let threshold = siegmund(REFERENCE, NIGHTS_PER_MONTH / share);
        if let Some(open) = self.open {
            return Some(self.follow(open, flow, excess, rise, threshold));
        }
        if let Some(mut since) = self.anchor.take() {
            since.push(excess.by_nights());
            if since.len() < ANCHOR_NIGHTS {
                self.anchor = Some(since);
            } else {
                self.usual.shift(&since);
            }
            return None;
        }
        let z = excess.over(0.0);
        self.cusum.observe(z, self.night_bin);
        // What grew over nights is no sudden leak, however large it has become.
        let is_sudden = z > SUDDEN && rise > 0.5 * excess.least;
        let is_leak = judges
            && excess.least > LEAK_MIN_SHARE * self.usual.mean_inflow()
            && (is_sudden || self.cusum.value > threshold);
        if is_leak {
            let open = Open {
                abrupt: is_sudden,
                since: if is_sudden { self.night_bin } else { self.cusum.since },
                loss: excess.least,
                strength: self.cusum.value,
                further: None,
                nights: 0,
                below: 0,
            };
            self.cusum = Cusum::default();
            self.open = Some(open);
            return Some(Night::Leak(open.told()));
        }
        if self.cusum.value < 0.5 * threshold {
            self.usual.note(excess);
            self.usual.learn(flow);
        }
        None
    }

    /// Follows a leak that is said. It is taken off the nights, so that they go on to be learned without it.
    fn follow(
        &mut self,
        mut open: Open,
        flow: NightAndDay,
        excess: Excess,
        rise: f64,
        threshold: f64,
    ) -> Night {
        let over = excess.over(open.loss);
        open.below = if excess.least < OVER_SHARE * open.loss { open.below + 1 } else { 0 };
        if open.below >= OVER_NIGHTS || (open.below > 0 && over < -OVER_AT_ONCE) {
            self.open = None;
            self.cusum = Cusum::default();
            self.anchor = Some(vec![excess.by_nights()]);
            return Night::Over;
        }
        open.nights = open.nights.saturating_add(1);
        let mut follows = SETTLING;
        if open.nights > SETTLING_NIGHTS {
            follows = FOLLOWING;
            self.cusum.observe(over, self.night_bin);
            let more = excess.least - open.loss;
            let is_sudden = over > SUDDEN && rise > 0.5 * more;
            let least = (LEAK_MIN_SHARE * self.usual.mean_inflow()).max(FURTHER_MIN_SHARE * open.loss);
            if more > least && (is_sudden || self.cusum.value > threshold) {
                let since = if is_sudden { self.night_bin } else { self.cusum.since };
                open = Open {
                    abrupt: is_sudden,
                    loss: excess.least,
                    strength: self.cusum.value,
                    further: Some((since, more)),
                    nights: 0,
                    ..open
                };
                self.cusum = Cusum::default();
            }
        }
        if open.below == 0 {
            open.loss += (excess.least - open.loss) * follows;
            if self.cusum.value < 0.5 * threshold {
                self.usual.learn(flow.less(open.loss));
            }
        }
        self.open = Some(open);
        Night::Leak(open.told())
    }
}

/// Bin of the (UTC) day.
fn of_day(bin: i64) -> usize {
    usize::try_from(bin.rem_euclid(BINS_PER_DAY as i64)).unwrap_or(0)
}

/// Bins since the quiet hours began.
fn into_night(start: usize, bin: i64) -> usize {
    (of_day(bin) + BINS_PER_DAY - start) % BINS_PER_DAY
}

impl Open {
    const fn told(self) -> NightLeak {
        let Self { abrupt, since, loss, strength, further, .. } = self;
        NightLeak { abrupt, since, loss_kg_s: loss, strength, further }
    }
}

#[cfg(test)]
mod tests;
