//! Steam circuits: what is sent out, what the stations are metered for, what comes back as condensate.
//!
//! Physical model: steam leaves the source (S), is metered at the stations (D) and comes back as condensate (C). What the
//! pipes lose is S - D, by heat loss, traps and holes; what is missing of the condensate is what the stations usually
//! return of D (all of it where their condensate is not metered, all of S where their steam is not) less C. Both depend on
//! the load, so each is a line over it, learned with a week's memory. Water fed to the boiler
//! (make-up at a source that sends steam and no water) replaces all that is lost: it is the witness, and the fall of the
//! stations' steam pressure another. Statistic: CUSUMs on hours of the residuals, with thresholds by bootstrap like the
//! water balance's, and a budget of their own. Nothing pages but a sudden loss that a second instrument confirms. Not the
//! return ratio alone: it falls whenever a station that returns little takes more.
//!
//! One meter's fault is told apart by what the others say: a station's meter that reads low raises the one and lowers
//! the other, and its share among the stations falls; a source meter that reads high, or a condensate meter that reads
//! low, asks for no more water. Without a metered feed the two cannot be told apart, and the finding says so.
//!
//! Cold start: the learning time of the settings. Below a quarter of the usual load steam meters are out of their range,
//! and nothing is judged or learned. It clears when two hours lie below 30 % of the loss.

mod account;
mod stations;

use heat_model::plant::SiteKind;
use serde::{Deserialize, Serialize};

use self::{
    account::{Account, BLOCK_BINS, Excess, MEMORY_BINS},
    stations::{Stations, condensate, steam, water},
};
use crate::{
    DetectSettings,
    bins::{BINS_PER_DAY, Bins},
    budget::{Budget, Test},
    layout::{Layout, Role, Site},
};

/// Least loss that is said, share of the usual load: steam meters are good for 1 to 2 %.
const LEAST_SHARE: f64 = 0.015;
/// A sudden loss: share of the usual load, and standard deviations of a quarter hour.
const SUDDEN_SHARE: f64 = 0.05;
const SUDDEN_SIGMA: f64 = 6.0;
/// Below this share of the usual load steam meters are out of their range.
const TURNDOWN_SHARE: f64 = 0.25;
/// A loss needs so much of itself as more water fed, or the meter that shows it is wrong; and so much confirms it.
const FED_LEAST_SHARE: f64 = 0.3;
const FED_CONFIRMS_SHARE: f64 = 0.5;
/// What the feed must stand out by to say anything, its own standard deviations.
const FED_SIGMA: f64 = 3.0;
/// Share of an excess that the other account has too little where one meter makes both.
const AGAINST_SHARE: f64 = 0.5;
/// Share of an excess that one meter must explain to be at fault, and one station to be its place.
const METER_SHARE: f64 = 0.6;
/// Fall of the stations' steam pressure that confirms a loss: standard deviations and share.
const PRESSURE_SIGMA: f64 = 5.0;
const PRESSURE_SHARE: f64 = 0.03;
/// Memory of the present return of condensate, quarter hours: 6 h.
const RETURN_BINS: f64 = 24.0;
/// Temperature of the water fed, degC; 10 K are 0.2 % of its density.
const FEED_CELSIUS: f64 = 20.0;
/// A loss has ended when less than this share of it is left.
const LEFT_SHARE: f64 = 0.3;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Steam, on its way to the stations.
    Steam,
    /// Condensate, on its way back.
    Condensate,
}

/// A loss, or what only looks like one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loss {
    pub(crate) part: Part,
    /// Block in which it began.
    since: i64,
    pub(crate) loss_kg_s: f64,
    /// CUSUM over threshold, or standard deviations of a quarter hour.
    pub(crate) strength: f64,
    /// Sudden, and confirmed by a second instrument.
    pub(crate) abrupt: bool,
    pub(crate) cause: Cause,
    /// A second instrument was heard and agrees.
    pub(crate) confirmed: bool,
    /// Condensate returned over steam sent: usual, and lately.
    pub(crate) returned: Option<(f64, f64)>,
}

impl Loss {
    /// Its onset as a quarter hour.
    pub(crate) const fn onset_bin(&self) -> i64 {
        self.since * BLOCK_BINS
    }
}

/// Why an account is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// It is lost; at this site, where that is known.
    Lost(Option<u32>),
    /// This signal is wrong.
    Meter(u32),
}

/// What the accounts say after a quarter hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sign {
    /// First said, or still.
    Off(Loss),
    /// No longer.
    Over(Loss),
}

/// What the accounts can judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// No source sends metered steam.
    NoSteam,
    /// Neither stations nor condensate are metered by mass.
    Lacking,
    /// Seconds of data are still needed.
    Learning(u64),
    Ready,
}

/// How a quarter hour is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking<'a> {
    pub(crate) settings: &'a DetectSettings,
    pub(crate) layout: &'a Layout,
    pub(crate) bins: &'a Bins,
    pub(crate) bin: i64,
    /// It is live.
    pub(crate) judges: bool,
}

/// Mean pressure at the stations, Pa, and whether it has fallen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Pressure {
    bins: u32,
    mean: f64,
    deviation: f64,
    has_fallen: bool,
}

/// The steam of a network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Steam {
    /// Usual load, kg/s, and quarter hours it rests on.
    usual: f64,
    bins: u32,
    /// Steam sent less steam delivered.
    pipes: Option<Account>,
    /// Condensate that should come back, less what does.
    condensate: Option<Account>,
    /// Water fed to the boiler.
    fed: Option<Account>,
    stations: Stations,
    pressure: Pressure,
    /// Condensate returned over steam sent: usual, and lately.
    returned: Option<(f64, f64)>,
    /// One of each part at most.
    open: Vec<Loss>,
}

impl Steam {
    /// Whether the accounts judge.
    pub(crate) fn readiness(&self, settings: &DetectSettings, layout: &Layout) -> Readiness {
        if !layout.sends_steam() {
            return Readiness::NoSteam;
        }
        let needed = learning_bins(settings);
        let accounts = || [&self.pipes, &self.condensate].into_iter().flatten();
        let Some(bins) = accounts().map(Account::bins).max() else { return Readiness::Lacking };
        if accounts().any(|account| account.is_settled(needed)) {
            return Readiness::Ready;
        }
        Readiness::Learning(u64::from(needed.saturating_sub(bins)).max(1) * 900)
    }

    /// Steam that all sources send in the lower open bin, kg/s.
    pub(crate) fn load(layout: &Layout, bins: &Bins) -> Option<f64> {
        sum(sources(layout).map(|site| steam(layout, bins, site)))
    }

    /// The utility has closed the case of a part: what is lost now is usual from here on.
    pub(crate) fn close_case(&mut self, part: Part) {
        if let Some(at) = self.open.iter().position(|loss| loss.part == part) {
            let loss = self.open.remove(at);
            self.end(part, loss.loss_kg_s);
        }
    }

    /// What was off is over, or usual from here on.
    fn end(&mut self, part: Part, usual_kg_s: f64) {
        for (account, own) in [
            (&mut self.pipes, part == Part::Steam),
            (&mut self.condensate, part == Part::Condensate),
            (&mut self.fed, true),
        ] {
            if let Some(account) = account.as_mut().filter(|_| own) {
                account.begin_anew(usual_kg_s);
            }
        }
    }

    fn account(&self, part: Part) -> Option<&Account> {
        match part {
            Part::Steam => self.pipes.as_ref(),
            Part::Condensate => self.condensate.as_ref(),
        }
    }

    /// Takes the lower open bin.
    pub(crate) fn observe(&mut self, taking: Taking<'_>) -> Vec<Sign> {
        let Taking { layout, bins, bin, .. } = taking;
        let Some(load) = Self::load(layout, bins).filter(|load| *load > 0.0) else { return Vec::new() };
        if load < TURNDOWN_SHARE * self.usual {
            return Vec::new();
        }
        let least = LEAST_SHARE * self.usual;
        let accounts = || [&self.pipes, &self.condensate].into_iter().flatten();
        let learns = self.open.is_empty() && !accounts().any(|account| account.is_suspicious(least));
        self.bins = self.bins.saturating_add(1);
        self.usual += (load - self.usual) / f64::from(self.bins).min(MEMORY_BINS);
        let pipes = self.pipes.as_ref();
        let lost = |taken: f64| pipes?.expected(taken);
        let taken = self.stations.take(layout, bins, (load, &lost), learns);
        // What is lost on the way is no load.
        let by = taken.map_or(load, |taken| taken.all);
        let returned = returned(layout, bins);
        let fed = sources(layout).filter_map(|site| site.feed);
        let fed = sum(fed.map(|signal| water(layout, bins, signal, FEED_CELSIUS)));
        // By what each station usually returns, where that is known: a change among the stations is no loss. Where stations
        // are metered and silent, nothing is known.
        let comes_back = match taken {
            Some(taken) => Some(taken.comes_back.unwrap_or(taken.all)),
            None if self.pipes.is_none() => Some(load),
            None => None,
        };
        let usual = self.usual;
        let least_sudden = |sigma: f64| (SUDDEN_SIGMA * sigma).max(SUDDEN_SHARE * usual);
        let alarms = Budget::of(taking.settings).share(Test::Steam) / 2.0;
        let mut closed = false;
        for (account, value) in [
            (&mut self.pipes, taken.map(|taken| load - taken.all)),
            (&mut self.condensate, returned.and_then(|returned| Some(comes_back? - returned))),
            (&mut self.fed, fed),
        ] {
            let Some(value) = value else { continue };
            let account = account.get_or_insert_with(Account::new);
            closed |= account.take(bin, (by, value), least_sudden, learns);
            if learns {
                account.calibrate(alarms);
            }
        }
        self.watch_return(returned.map(|returned| returned / load), learns);
        self.watch_pressure(pressure(layout, bins), learns);
        if taking.judges { self.judge(taking, closed) } else { Vec::new() }
    }

    fn watch_return(&mut self, now: Option<f64>, learns: bool) {
        let Some(now) = now else { return };
        let (usual, lately) = self.returned.unwrap_or((now, now));
        let usual =
            if learns { usual + (now - usual) / f64::from(self.bins).min(MEMORY_BINS) } else { usual };
        self.returned = Some((usual, lately + (now - lately) / f64::from(self.bins).min(RETURN_BINS)));
    }

    fn watch_pressure(&mut self, now: Option<f64>, learns: bool) {
        let Some(now) = now else { return };
        let pressure = &mut self.pressure;
        let fall = pressure.mean - now;
        let limit = (PRESSURE_SIGMA * 1.25 * pressure.deviation).max(PRESSURE_SHARE * pressure.mean);
        pressure.has_fallen = pressure.bins > BINS_PER_DAY as u32 && fall > limit;
        if learns && !pressure.has_fallen {
            pressure.bins = pressure.bins.saturating_add(1);
            let weight = 1.0 / f64::from(pressure.bins).min(MEMORY_BINS);
            pressure.mean -= weight * fall;
            pressure.deviation += weight * ((pressure.mean - now).abs() - pressure.deviation);
        }
    }

    fn judge(&mut self, taking: Taking<'_>, closed: bool) -> Vec<Sign> {
        let needed = learning_bins(taking.settings);
        let mut signs = Vec::new();
        for part in [Part::Steam, Part::Condensate] {
            if let Some(at) = self.open.iter().position(|loss| loss.part == part) {
                signs.extend(if closed { self.follow(at) } else { None });
                continue;
            }
            let Some(account) = self.account(part).filter(|account| account.is_settled(needed)) else {
                continue;
            };
            let slow = if closed { account.slow(LEAST_SHARE * self.usual) } else { None };
            let sudden = account.sudden().filter(|_| part == Part::Steam);
            let found = sudden.and_then(|excess| self.sudden(taking.layout, excess));
            let found = found.or_else(|| {
                let excess = slow?;
                let (cause, confirmed) = self.cause(taking.layout, part, excess)?;
                Some(self.loss(part, excess, (cause, confirmed, false)))
            });
            if let Some(loss) = found {
                self.open.push(loss);
                signs.push(Sign::Off(loss));
            }
        }
        signs
    }

    /// A sudden loss of steam, if a second instrument confirms it: one meter alone pages nobody and waits for the hours to
    /// show it.
    fn sudden(&self, layout: &Layout, excess: Excess) -> Option<Loss> {
        let (cause, confirmed) = self.cause(layout, Part::Steam, excess)?;
        let is_lost = confirmed && matches!(cause, Cause::Lost(_));
        is_lost.then(|| self.loss(Part::Steam, excess, (cause, true, true)))
    }

    fn loss(&self, part: Part, excess: Excess, (cause, confirmed, abrupt): (Cause, bool, bool)) -> Loss {
        let Excess { since, kg_s, strength } = excess;
        Loss { part, since, loss_kg_s: kg_s, strength, abrupt, cause, confirmed, returned: self.returned }
    }

    /// An open loss a block later.
    fn follow(&mut self, at: usize) -> Option<Sign> {
        let loss = self.open[at];
        let now = self.account(loss.part)?.lately()?;
        if now < LEFT_SHARE * loss.loss_kg_s {
            self.open.remove(at);
            self.end(loss.part, 0.0);
            return Some(Sign::Over(loss));
        }
        let returned = self.returned;
        let open = &mut self.open[at];
        open.loss_kg_s += (now - open.loss_kg_s) / 4.0;
        open.returned = returned;
        Some(Sign::Off(*open))
    }

    /// What an excess is by what the other meters say, and whether a second instrument confirms it; `None` where they
    /// contradict it and name no meter.
    fn cause(&self, layout: &Layout, part: Part, excess: Excess) -> Option<(Cause, bool)> {
        let Excess { since, kg_s, .. } = excess;
        let is_steam = part == Part::Steam;
        let steam_meter = |site: u32| layout.sites[site as usize].signal(Role::SteamFlow);
        let off = |less: f64| self.stations.off(less * METER_SHARE * kg_s).and_then(steam_meter);
        let other = match part {
            Part::Steam => self.condensate.as_ref(),
            // Where stations are not metered nothing stands between the two.
            Part::Condensate => self.pipes.as_ref(),
        };
        let other = other.and_then(|account| account.mean_since(since));
        if other.is_some_and(|other| other < -AGAINST_SHARE * kg_s) {
            // What one account has too much the other has too little: a station's meter stands between them.
            let meter = off(if is_steam { 1.0 } else { -1.0 });
            return meter.map(|meter| (Cause::Meter(meter), true));
        }
        if is_steam
            && other.is_none()
            && let Some(meter) = off(1.0)
        {
            return Some((Cause::Meter(meter), true));
        }
        let place = if is_steam { None } else { self.stations.unreturned(METER_SHARE * kg_s) };
        let fed = self.fed.as_ref().filter(|fed| kg_s > FED_SIGMA * fed.sigma());
        let fed = fed.and_then(|fed| fed.mean_since(since));
        if fed.is_some_and(|fed| fed < FED_LEAST_SHARE * kg_s) {
            let role = if is_steam { Role::SteamFlow } else { Role::CondensateFlow };
            let meter = sources(layout).find_map(|site| site.signal(role));
            return meter.map(|meter| (Cause::Meter(meter), true));
        }
        let is_fed = fed.is_some_and(|fed| fed >= FED_CONFIRMS_SHARE * kg_s);
        let has_fallen = is_steam && self.pressure.has_fallen;
        // What a station's own meter no longer returns is shown by two meters: its own and the source's.
        Some((Cause::Lost(place), is_fed || has_fallen || place.is_some()))
    }
}

/// Condensate that comes back, kg/s: at the sources, else at the stations.
fn returned(layout: &Layout, bins: &Bins) -> Option<f64> {
    let of = |kind: SiteKind| {
        let metered = layout.of_kind(kind).map(|(_, site)| site);
        let metered = metered.filter(|site| site.signal(Role::CondensateFlow).is_some());
        sum(metered.map(|site| condensate(layout, bins, site)))
    };
    of(SiteKind::Source).or_else(|| of(SiteKind::Station))
}

/// Mean steam pressure of the stations, Pa.
fn pressure(layout: &Layout, bins: &Bins) -> Option<f64> {
    let of = |site: &Site| bins.mean(site.signal(Role::SteamPressure)?);
    let all = layout.of_kind(SiteKind::Station).filter_map(|(_, site)| of(site));
    let (sum, count) = all.fold((0.0, 0_u32), |(sum, count), pressure| (sum + pressure, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Sources that send steam.
fn sources(layout: &Layout) -> impl Iterator<Item = &Site> {
    let sources = layout.of_kind(SiteKind::Source).map(|(_, site)| site);
    sources.filter(|site| site.signal(Role::SteamFlow).is_some())
}

/// A sum over some of them is no sum.
fn sum(parts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    parts.reduce(|a, b| Some(a? + b?)).flatten()
}

fn learning_bins(settings: &DetectSettings) -> u32 {
    u32::try_from(settings.learning.as_secs() / 900).unwrap_or(u32::MAX)
}
