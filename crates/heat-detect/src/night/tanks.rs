//! What tanks take up, by their levels.
//!
//! Physical model: inflow = drawn and lost + the sum of A dL/dt over the tanks, wherever in the network they are filled. The
//! areas A stand in no table, so they are learned, from changes alone: a lasting loss has no part in them, and none is
//! learned. First from the moments at which a pump starts or stops: the levels' slopes change at once, the inflow with
//! them, and what is drawn has not had the time to. Then from one night to the next, where what is drawn differs least: that
//! tells the areas to a percent, and nights are what they are for. Only nights between which the inflow changed by more than what
//! is drawn does count. Not all hours: a tank that floats on the network falls when more is drawn, and least squares over
//! that would call it too small. Statistic: least squares of the changes of the inflow on those of the slopes, areas not
//! below 0, each change winsorised.
//!
//! Meters tell moments and levels what went on between them: a stretch within which a pump starts or stops fits neither, and
//! is left out. Cold start: until pumps' starts and stops tell the areas to 5 %, some tens of them, the inflow stands for
//! itself; for good where levels do not explain it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bins::{BIN_SECONDS, BINS_PER_DAY};

/// Levels that are used; of more the first.
const TANKS_MAX: usize = 16;
/// Longest time between two scans, bins.
const SCAN_MAX: i64 = 5;
/// Stretches kept; and from the last one before a pump's start to the first one after it.
const KEPT: i64 = 6;
const GAP: i64 = 2;
/// Changes before and after a start, as a share of the jump that it makes.
const BESIDE_MAX: f64 = 0.15;
/// The inflow steps by so much of its mean when a pump starts or stops. Where more than a share of stretches has such steps,
/// they are how the network is run, and none is left out.
const STEP: f64 = 0.25;
const STEPS_MAX: f64 = 0.33;
/// Changes of a slope that tell an area, in units of their root mean square: smaller ones are what is drawn, larger ones
/// a level that slipped.
const CHANGE_MIN: f64 = 2.0;
const CHANGE_MAX: f64 = 12.0;
/// By so many deviations of what is drawn the inflow must differ from that of the night before.
const NIGHT_MIN: f64 = 4.0;
/// Scans that a night has at least.
const NIGHT_SCANS: u32 = 3;
/// Clip of what a change leaves unexplained, in its deviations, once those rest on so many.
const CLIP: f64 = 3.0;
const CLIP_KNOWN: u32 = 4;
/// Changes that areas rest on at least; memory of starts and stops, and of nights; and what all starts and stops together
/// weigh beside nights.
const CHANGES_MIN: u32 = 16;
const CHANGES: f64 = 400.0;
const NIGHTS: f64 = 60.0;
const CHANGES_WEIGH: f64 = 20.0;
/// Relative error of the areas from which on they are used, and the share that they explain below which they are not.
const ERROR_MAX: f64 = 0.05;
const EXPLAINED_MIN: f64 = 0.3;
/// Memory of the mean inflow and of the changes' size, scans.
const SCANS: f64 = 1_000.0;
/// Rounds in which the areas settle.
const ROUNDS: usize = 64;
const DENSITY: f64 = 1_000.0;

/// What is drawn or lost in a stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) kg_s: f64,
    /// What a tank of 1 m2 took up, kg/s, by tank; empty where no levels are used.
    pub(crate) slopes: Vec<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scan {
    bin: i64,
    inflow: f64,
    levels: Vec<Option<f64>>,
}

/// Mean inflow and slopes, kg/s and kg/s per m2, until the end of a bin.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stretch {
    bin: i64,
    inflow: f64,
    slopes: Vec<f64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tanks {
    signals: Vec<u32>,
    last: Option<Scan>,
    /// Newest stretches without a step of the inflow, oldest first.
    steady: VecDeque<Stretch>,
    mean: f64,
    /// Share of stretches with a step.
    steps: f64,
    scans: u32,
    /// Mean square of a slope's changes, and how many it rests on; by tank.
    sizes: Vec<(f64, u32)>,
    /// Sums over a night's stretches, and how many there are.
    night: Option<(Stretch, u32)>,
    last_night: Option<Stretch>,
    by_pumps: Changes,
    by_nights: Changes,
    /// m2, by tank; 0 of one whose level the inflow does not follow.
    areas: Vec<f64>,
    /// By how much the areas were moved, until that is taken.
    moved: Option<Vec<f64>>,
    is_used: bool,
}

impl Tanks {
    /// Whether the levels explain what the inflow does.
    pub(crate) const fn is_used(&self) -> bool {
        self.is_used
    }

    /// Signal and learned area, m2, of the tanks that are used.
    pub(crate) fn areas(&self) -> impl Iterator<Item = (u32, f64)> {
        let known = if self.is_used { self.areas.as_slice() } else { &[] };
        self.signals.iter().copied().zip(known.iter().copied()).filter(|(_, area)| *area > 0.0)
    }

    /// By how much the areas are known to be larger than before, m2; told once.
    pub(crate) fn take_moved(&mut self) -> Option<Vec<f64>> {
        self.moved.take()
    }

    /// What they took up in the last night, kg/s.
    pub(crate) fn night_uptake(&self) -> Option<f64> {
        let night = self.last_night.as_ref().filter(|_| self.is_used)?;
        Some(uptake(&self.areas, &night.slopes))
    }

    /// Takes a quarter hour's inflow, kg/s, and the tanks' levels, m, each with its signal. `None` where levels are used and do
    /// not tell what was drawn since the scan before.
    pub(crate) fn observe(
        &mut self,
        bin: i64,
        inflow: f64,
        levels: &[(u32, Option<f64>)],
        is_quiet: bool,
    ) -> Option<Drawn> {
        let plain = || Some(Drawn { kg_s: inflow, slopes: Vec::new() });
        let levels = &levels[..levels.len().min(TANKS_MAX)];
        if !levels.iter().map(|(signal, _)| signal).eq(&self.signals) {
            *self = Self { signals: levels.iter().map(|(signal, _)| *signal).collect(), ..Self::default() };
        }
        if levels.is_empty() {
            return plain();
        }
        self.scans = self.scans.saturating_add(1);
        let weight = 1.0 / f64::from(self.scans).min(SCANS);
        self.mean += (inflow - self.mean) * weight;
        let now = Scan { bin, inflow, levels: levels.iter().map(|(_, level)| *level).collect() };
        let before = self.last.replace(now.clone());
        let Some(before) = before.filter(|before| (1..=SCAN_MAX).contains(&(bin - before.bin))) else {
            self.steady.clear();
            return if self.is_used { None } else { plain() };
        };
        let is_step = (inflow - before.inflow).abs() > STEP * self.mean.abs();
        self.steps += (f64::from(u8::from(is_step)) - self.steps) * weight;
        if !is_quiet {
            self.end_night();
        }
        let is_left_out = is_step && self.steps <= STEPS_MAX;
        let Some(stretch) = self.between(&before, &now).filter(|_| !is_left_out) else {
            return if self.is_used { None } else { plain() };
        };
        if is_quiet {
            self.add_to_night(&stretch);
        }
        let drawn = Drawn {
            kg_s: stretch.inflow - uptake(&self.areas, &stretch.slopes),
            slopes: stretch.slopes.clone(),
        };
        self.hold(stretch, bin - before.bin);
        if self.is_used { Some(drawn) } else { plain() }
    }

    /// What went on between two scans; `None` where a level that counts is missing.
    fn between(&self, before: &Scan, now: &Scan) -> Option<Stretch> {
        let seconds = ((now.bin - before.bin) * BIN_SECONDS) as f64;
        let slope = |tank: usize| {
            let rise = now.levels[tank].zip(before.levels[tank]).map(|(now, before)| now - before);
            let counts = !self.is_used || self.areas[tank] > 0.0;
            Some(rise.or((!counts).then_some(0.0))? * DENSITY / seconds)
        };
        Some(Stretch {
            bin: now.bin,
            inflow: f64::midpoint(before.inflow, now.inflow),
            slopes: (0..now.levels.len()).map(slope).collect::<Option<_>>()?,
        })
    }

    /// Holds what lies before and after a gap against each other, once a stretch has followed what lies after.
    fn hold(&mut self, now: Stretch, length: i64) {
        let end = now.bin;
        self.steady.retain(|before| end - before.bin < KEPT * length);
        self.steady.push_back(now);
        // A mean over several scans shows a pump's start in two stretches.
        let gap = if length == 1 { GAP + 1 } else { GAP };
        let at = |back: i64| self.steady.iter().find(|stretch| stretch.bin == end - back * length);
        let Some(jump) =
            at(gap + 2).zip(at(gap + 1)).zip(at(1).zip(at(0))).map(|((was, before), (after, is))| {
                let (lead, lag) = (before.less(was), is.less(after));
                after.less(before).less(&lead.and(&lag).times(0.5 * gap as f64)).beside(&lead, &lag)
            })
        else {
            return;
        };
        if !self.is_telling(&jump) {
            return;
        }
        self.by_pumps.take(&self.areas, &jump.by, CHANGES, true);
        if self.by_pumps.count < CHANGES_MIN {
            return;
        }
        let is_new = !self.is_used;
        if is_new {
            self.areas = areas(&self.by_pumps.moments(1.0));
        }
        let explained = self.by_pumps.explained(&self.areas);
        let error = (1.0 - explained) / (explained * self.by_pumps.weight);
        self.is_used = explained > EXPLAINED_MIN && (!is_new || error < ERROR_MAX.powi(2));
    }

    /// Whether one of the slopes jumped as by a pump's start or stop, with little going on before and after, and none as by a
    /// level that slipped.
    fn is_telling(&mut self, jump: &Jump) -> bool {
        self.sizes.resize(jump.by.slopes.len(), (0.0, 0));
        let (mut most, mut slipped) = ((0.0, 0), false);
        for (tank, ((size, count), by)) in self.sizes.iter_mut().zip(&jump.by.slopes).enumerate() {
            let square = by.powi(2);
            let highest = if *size > 0.0 { *size * CHANGE_MAX.powi(2) } else { f64::INFINITY };
            slipped |= square > highest;
            if *size > 0.0 && square / *size > most.0 {
                most = (square / *size, tank);
            }
            *count = count.saturating_add(1);
            *size += (square.min(highest) - *size) / f64::from(*count).min(SCANS);
        }
        let (size, tank) = most;
        let is_clear = |by: f64, beside: f64| beside <= BESIDE_MAX * by.abs();
        size > CHANGE_MIN.powi(2)
            && !slipped
            && is_clear(jump.by.slopes[tank], jump.beside.slopes[tank])
            && is_clear(jump.by.inflow, jump.beside.inflow)
    }

    fn add_to_night(&mut self, stretch: &Stretch) {
        let Some((sum, count)) = &mut self.night else {
            self.night = Some((stretch.clone(), 1));
            return;
        };
        sum.bin = stretch.bin;
        sum.inflow += stretch.inflow;
        sum.slopes.iter_mut().zip(&stretch.slopes).for_each(|(sum, slope)| *sum += slope);
        *count += 1;
    }

    /// A night is over: it is held against the one before, and the areas are told anew.
    fn end_night(&mut self) {
        let Some((mut night, count)) = self.night.take().filter(|(_, count)| *count >= NIGHT_SCANS) else {
            return;
        };
        let of_each = 1.0 / f64::from(count);
        night.inflow *= of_each;
        night.slopes.iter_mut().for_each(|slope| *slope *= of_each);
        let bin = night.bin;
        let change = self.last_night.as_ref().filter(|last| bin - last.bin < 2 * BINS_PER_DAY as i64);
        let change = change.map(|last| night.less(last));
        self.last_night = Some(night);
        let Some(change) = change.filter(|_| self.is_used) else { return };
        let tells = self.by_nights.count >= CLIP_KNOWN
            && change.inflow.powi(2) > NIGHT_MIN.powi(2) * self.by_nights.left;
        self.by_nights.take(&self.areas, &change, NIGHTS, tells);
        let pumps = self.by_pumps.moments((CHANGES_WEIGH / self.by_pumps.weight).min(1.0));
        let areas = areas(&pumps.and(&self.by_nights.moments(1.0)));
        let moved = areas.iter().zip(&self.areas).map(|(now, was)| now - was).collect();
        self.moved = Some(moved);
        self.areas = areas;
    }
}

/// How inflow and slopes jumped over a gap, by the lines through what lies before and after.
#[derive(Debug)]
struct Jump {
    by: Stretch,
    beside: Stretch,
}

impl Stretch {
    /// What it has more than another.
    fn less(&self, other: &Self) -> Self {
        let slopes = self.slopes.iter().zip(&other.slopes).map(|(now, was)| now - was).collect();
        Self { bin: self.bin, inflow: self.inflow - other.inflow, slopes }
    }

    fn and(&self, other: &Self) -> Self {
        self.less(&other.times(-1.0))
    }

    fn times(&self, factor: f64) -> Self {
        let slopes = self.slopes.iter().map(|slope| slope * factor).collect();
        Self { bin: self.bin, inflow: self.inflow * factor, slopes }
    }

    /// A jump, and the more of what changed before it and after it.
    fn beside(self, before: &Self, after: &Self) -> Jump {
        let more = |before: f64, after: f64| before.abs().max(after.abs());
        let slopes = before.slopes.iter().zip(&after.slopes);
        let beside = Self {
            bin: self.bin,
            inflow: more(before.inflow, after.inflow),
            slopes: slopes.map(|(before, after)| more(*before, *after)).collect(),
        };
        Jump { by: self, beside }
    }
}

/// What tanks take up, kg/s.
pub(super) fn uptake(areas: &[f64], slopes: &[f64]) -> f64 {
    areas.iter().zip(slopes).map(|(area, slope)| area * slope).sum()
}

/// Sums over changes, of weight falling with age.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Changes {
    moments: Moments,
    /// The inflow's changes, squared.
    inflow: f64,
    weight: f64,
    count: u32,
    /// Mean square of what the areas leave unexplained.
    left: f64,
}

/// Slopes by slopes, row by row, and slopes by inflow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Moments {
    slopes: Vec<f64>,
    inflow: Vec<f64>,
}

impl Changes {
    /// Takes a change; one that does not tell areas only for what is left.
    fn take(&mut self, areas: &[f64], change: &Stretch, memory: f64, tells: bool) {
        let miss = (change.inflow - uptake(areas, &change.slopes)).abs();
        let clip = if self.count < CLIP_KNOWN { f64::INFINITY } else { CLIP * self.left.sqrt() };
        self.count = self.count.saturating_add(1);
        self.left += (miss.min(clip).powi(2) - self.left) / f64::from(self.count).min(memory);
        if !tells {
            return;
        }
        let weight = if miss > clip { clip / miss } else { 1.0 };
        let fades = 1.0 - 1.0 / memory;
        let tanks = change.slopes.len();
        self.moments.slopes.resize(tanks * tanks, 0.0);
        self.moments.inflow.resize(tanks, 0.0);
        for (row, slope) in change.slopes.iter().enumerate() {
            let sum = &mut self.moments.inflow[row];
            *sum = *sum * fades + weight * slope * change.inflow;
            for (column, other) in change.slopes.iter().enumerate() {
                let sum = &mut self.moments.slopes[row * tanks + column];
                *sum = *sum * fades + weight * slope * other;
            }
        }
        self.inflow = self.inflow * fades + weight * change.inflow.powi(2);
        self.weight = self.weight * fades + weight;
    }

    /// Moments in units of what is left, times a factor.
    fn moments(&self, factor: f64) -> Moments {
        let factor = factor / self.left.max(1e-12);
        let times = |sums: &[f64]| sums.iter().map(|sum| sum * factor).collect();
        Moments { slopes: times(&self.moments.slopes), inflow: times(&self.moments.inflow) }
    }

    /// Share of the inflow's changes that areas explain.
    fn explained(&self, areas: &[f64]) -> f64 {
        let tanks = areas.len();
        let told = |tank: usize| uptake(&self.moments.slopes[tank * tanks..(tank + 1) * tanks], areas);
        let by_areas: f64 =
            (0..tanks).map(|tank| areas[tank] * (2.0 * self.moments.inflow[tank] - told(tank))).sum();
        if self.inflow > 0.0 { by_areas / self.inflow } else { 0.0 }
    }
}

impl Moments {
    fn and(mut self, other: &Self) -> Self {
        self.slopes.iter_mut().zip(&other.slopes).for_each(|(sum, more)| *sum += more);
        self.inflow.iter_mut().zip(&other.inflow).for_each(|(sum, more)| *sum += more);
        self
    }
}

/// Areas of least squares, none below 0: each in turn as the others leave it.
fn areas(moments: &Moments) -> Vec<f64> {
    let tanks = moments.inflow.len();
    let mut areas = vec![0.0; tanks];
    for _ in 0..ROUNDS {
        for tank in 0..tanks {
            let row = &moments.slopes[tank * tanks..(tank + 1) * tanks];
            let own = row[tank];
            let others = uptake(row, &areas) - own * areas[tank];
            areas[tank] = if own > 0.0 { ((moments.inflow[tank] - others) / own).max(0.0) } else { 0.0 };
        }
    }
    areas
}
