//! Faults put into recorded data, so that what is found of them can be counted.
//!
//! Every [`SLOT_US`] each site gets one fault of one of its temperature sensors: kind, size, sensor and time are drawn
//! from the seed, the site and the number of the slot, so the same data and seed give the same faults, whatever else is
//! read beside them. A fault begins once the site delivers heat (its supply is warmer than its return), because
//! a sensor of a station that stands still shows nothing; where that does not come within a week, the slot stays empty.
//! It lasts in time, not in readings. What is put in is known to the judge only.

mod fault;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heat_model::{
    Body, DeviceId, Envelope, EventTime, Lane, NetworkId, Reading, SignalDecl, SignalName, SiteId,
    label::Label, record::Readings,
};
use xxhash_rust::xxh3::xxh3_64;

pub use self::fault::{FaultKind, SIZES};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Time from one fault of a site to the next, and before the first: detectors must have learned, and recovered.
pub const SLOT_US: i64 = 35 * DAY_US;
const LEAD_US: i64 = 21 * DAY_US;
/// A fault begins within so long after its slot did, and waits so long for heat.
const SPREAD_US: i64 = 10 * DAY_US;
const WAIT_US: i64 = 7 * DAY_US;
/// Least difference of supply and return of a site that delivers heat, K.
const DELIVERS_KELVIN: f64 = 2.0;

/// A value put in that differs by less is what the sensor would have read anyway, K.
pub const SHOWS_KELVIN: f64 = 0.5;

/// Sites whose faults are kept: more than a city has.
const SITES_MAX: usize = 20_000;

/// A fault that was put in.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectedFault {
    /// What the judge is told.
    pub label: Label,
    /// What it is.
    pub kind: FaultKind,
    /// How large, in the kind's unit.
    pub size: f64,
    /// The shift at its end, K, of a bias or drift.
    pub shift: Option<f64>,
    /// Whether the values put in for others differ from them by [`SHOWS_KELVIN`], often enough for a fault of its kind:
    /// known before any detector has looked.
    pub shows: bool,
}

#[derive(Debug, Clone)]
struct Active {
    device: DeviceId,
    name: SignalName,
    /// The return that is exchanged with it.
    partner: Option<SignalName>,
    on_us: i64,
    off_us: i64,
    sign: f64,
    held: f64,
    last_us: i64,
    touched: u32,
    /// Readings that differ from what they were.
    shown: u32,
}

#[derive(Debug, Clone)]
struct Plan {
    start_us: i64,
    kind: FaultKind,
    size: f64,
    dice: Dice,
    active: Option<Active>,
}

#[derive(Debug, Clone, Default)]
struct Site {
    first_us: Option<i64>,
    slot: Option<i64>,
    plan: Option<Plan>,
    /// Last good value of each temperature, by device and name.
    last: BTreeMap<(DeviceId, SignalName), f64>,
}

/// Numbers that follow from a text.
#[derive(Debug, Clone)]
struct Dice {
    text: String,
    drawn: u64,
}

impl Dice {
    fn unit(&mut self) -> f64 {
        self.drawn += 1;
        let bits = xxh3_64(format!("{}/{}", self.text, self.drawn).as_bytes()) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
        let unit = bits as f64 / (1_u64 << 53) as f64;
        unit
    }

    fn below(&mut self, count: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a small count"
        )]
        let index = (self.unit() * count as f64) as usize;
        index.min(count.saturating_sub(1))
    }
}

/// Puts faults into records as they pass.
#[derive(Debug)]
pub struct Injector {
    seed: u64,
    sites: BTreeMap<(NetworkId, SiteId), Site>,
    done: Vec<InjectedFault>,
    empty_slots: u64,
}

/// The name without its circuit, if it is a sensor that faults are put into.
fn bare(name: &SignalName) -> Option<&str> {
    let name = name.as_str();
    let bare = name.strip_prefix("primary_").or_else(|| name.strip_prefix("secondary_")).unwrap_or(name);
    matches!(bare, "supply_temperature" | "return_temperature" | "outdoor_temperature").then_some(bare)
}

/// The other sensor of the pair: return of a supply, supply of a return.
fn counterpart(name: &SignalName) -> Option<SignalName> {
    let text = name.as_str();
    let other = match bare(name)? {
        "supply_temperature" => text.replace("supply_", "return_"),
        "return_temperature" => text.replace("return_", "supply_"),
        _ => return None,
    };
    SignalName::new(&other).ok()
}

impl Injector {
    /// An injector of one seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, sites: BTreeMap::new(), done: Vec::new(), empty_slots: 0 }
    }

    /// Puts what is due into a record; false if nothing of it is left.
    pub fn take(&mut self, envelope: &mut Envelope) -> bool {
        let Body::Readings(readings) = &mut envelope.body else { return true };
        let Some(newest) = readings.readings.iter().map(|reading| reading.event_time).max() else {
            return true;
        };
        let key = (readings.set.network.clone(), readings.set.site.clone());
        if readings.lane != Lane::Live || (self.sites.len() >= SITES_MAX && !self.sites.contains_key(&key)) {
            return true;
        }
        let at_us = newest.as_micros();
        let site = self.sites.entry(key.clone()).or_default();
        let first_us = *site.first_us.get_or_insert(at_us);
        let slot = (at_us - first_us - LEAD_US).div_euclid(SLOT_US);
        if slot >= 0 && site.slot.is_none_or(|known| slot > known) {
            site.slot = Some(slot);
            let ended = site.plan.replace(plan(self.seed, &key, slot, first_us));
            finish(ended, self.seed, &key, &mut self.done, &mut self.empty_slots);
        }
        let before = site.last.clone();
        for reading in &readings.readings {
            let Some(decl) = readings.set.signals.get(reading.signal as usize) else { continue };
            if let Some(value) = reading.usable().filter(|_| bare(&decl.name).is_some()) {
                site.last.insert((readings.set.device.clone(), decl.name.clone()), value);
            }
        }
        let Some(plan) = &mut site.plan else { return true };
        if plan.active.is_none() && (plan.start_us..plan.start_us + WAIT_US).contains(&at_us) {
            plan.active = begin(plan, readings, at_us, &before, &site.last);
        }
        if let Some(active) = plan.active.as_mut().filter(|active| at_us < active.off_us) {
            touch(plan.kind, plan.size, &mut plan.dice, active, readings, at_us);
        }
        !readings.readings.is_empty()
    }

    /// All faults that were put in, and how many slots stayed empty because the site did not deliver heat.
    pub fn finish(mut self) -> (Vec<InjectedFault>, u64) {
        for (key, site) in &mut self.sites {
            finish(site.plan.take(), self.seed, key, &mut self.done, &mut self.empty_slots);
        }
        self.done.sort_by(|a, b| (a.label.start, &a.label.place).cmp(&(b.label.start, &b.label.place)));
        for (number, fault) in self.done.iter_mut().enumerate() {
            fault.label.event = format!("i{}-{:03}", self.seed, number + 1);
        }
        (self.done, self.empty_slots)
    }
}

fn plan(seed: u64, (network, site): &(NetworkId, SiteId), slot: i64, first_us: i64) -> Plan {
    let mut dice = Dice { text: format!("{seed}/{network}/{site}/{slot}"), drawn: 0 };
    let kind = FaultKind::ALL[dice.below(FaultKind::ALL.len())];
    let sizes = SIZES[kind as usize];
    let size = sizes[dice.below(sizes.len())];
    #[expect(clippy::cast_possible_truncation, reason = "a part of ten days")]
    #[expect(clippy::cast_precision_loss, reason = "ten days of microseconds")]
    let after_us = (dice.unit() * SPREAD_US as f64) as i64;
    Plan { start_us: first_us + LEAD_US + slot * SLOT_US + after_us, kind, size, dice, active: None }
}

/// Begins a fault in this record, if the site delivers heat and the sensor drawn is in it.
fn begin(
    plan: &mut Plan,
    readings: &Readings,
    at_us: i64,
    before: &BTreeMap<(DeviceId, SignalName), f64>,
    now: &BTreeMap<(DeviceId, SignalName), f64>,
) -> Option<Active> {
    let key = |name: &SignalName| (readings.set.device.clone(), name.clone());
    let known: BTreeSet<&SignalName> = before
        .keys()
        .filter(|(_, name)| plan.kind != FaultKind::Swapped || bare(name) == Some("supply_temperature"))
        .map(|(_, name)| name)
        .collect();
    let known: Vec<&SignalName> = known.into_iter().collect();
    // The same draw at each try: the sensor is not the one that happens to come first.
    let name = known.get(plan.dice.clone().below(known.len()))?;
    let held = *before.get(&key(name))?;
    let partner = counterpart(name);
    if let Some(other) = &partner {
        let of =
            |wanted: &SignalName| now.iter().find(|((_, name), _)| name == wanted).map(|(_, value)| *value);
        let (own, other) = (of(name)?, of(other)?);
        if (own - other).abs() < DELIVERS_KELVIN {
            return None;
        }
    }
    let is_here = |wanted: &SignalName| {
        readings.readings.iter().any(|reading| {
            reading.usable().is_some()
                && readings.set.signals.get(reading.signal as usize).is_some_and(|decl| decl.name == *wanted)
        })
    };
    if !is_here(name) || (plan.kind == FaultKind::Swapped && !partner.as_ref().is_some_and(is_here)) {
        return None;
    }
    let sign = if plan.dice.unit() < 0.5 { -1.0 } else { 1.0 };
    Some(Active {
        device: readings.set.device.clone(),
        name: (*name).clone(),
        partner: partner.filter(|_| plan.kind == FaultKind::Swapped),
        on_us: at_us,
        off_us: at_us + plan.kind.lasts_us(plan.size),
        sign,
        held,
        last_us: at_us - HOUR_US,
        touched: 0,
        shown: 0,
    })
}

fn touch(
    kind: FaultKind,
    size: f64,
    dice: &mut Dice,
    active: &mut Active,
    readings: &mut Readings,
    at_us: i64,
) {
    if readings.set.device != active.device {
        return;
    }
    if kind == FaultKind::Gap {
        active.touched += 1;
        readings.readings.clear();
        return;
    }
    let set = Arc::clone(&readings.set);
    let decl_at = |signal: u32| set.signals.get(signal as usize);
    let at = |readings: &[Reading], wanted: &SignalName| {
        readings
            .iter()
            .position(|r| r.usable().is_some() && decl_at(r.signal).is_some_and(|decl| decl.name == *wanted))
    };
    let Some(own) = at(&readings.readings, &active.name) else { return };
    let value = readings.readings[own].value;
    #[expect(clippy::cast_precision_loss, reason = "a time of days")]
    let days = |us: i64| us as f64 / DAY_US as f64;
    let now = match kind {
        FaultKind::Stuck => Some(active.held),
        FaultKind::Bias => Some(value + active.sign * size),
        FaultKind::Drift => Some(value + active.sign * size * days(at_us - active.on_us)),
        FaultKind::Spikes => {
            let chance = size * days((at_us - active.last_us).clamp(0, HOUR_US));
            let (hit, up, height) = (dice.unit() < chance, dice.unit() < 0.5, 10.0 + 20.0 * dice.unit());
            hit.then_some(value + if up { height } else { -height })
        }
        FaultKind::Sentinel => (dice.unit() < 0.7).then_some(size),
        FaultKind::Swapped => {
            let other = active.partner.as_ref().and_then(|partner| at(&readings.readings, partner));
            other.map(|other| {
                let exchanged = readings.readings[other].value;
                let decl = decl_at(readings.readings[other].signal);
                write(&mut readings.readings[other], decl, value);
                exchanged
            })
        }
        FaultKind::Gap => None,
    };
    active.last_us = at_us;
    if let Some(now) = now {
        let decl = decl_at(readings.readings[own].signal);
        write(&mut readings.readings[own], decl, now);
        active.touched += 1;
        active.shown += u32::from((now - value).abs() >= SHOWS_KELVIN);
    }
}

/// Gives a reading another value, as if it had been received so.
fn write(reading: &mut Reading, decl: Option<&SignalDecl>, value: f64) {
    let Some(decl) = decl.filter(|decl| decl.scale != 0.0) else { return };
    reading.value = value;
    reading.raw = (value - decl.offset) / decl.scale;
}

fn finish(
    plan: Option<Plan>,
    seed: u64,
    (network, site): &(NetworkId, SiteId),
    done: &mut Vec<InjectedFault>,
    empty_slots: &mut u64,
) {
    let Some(plan) = plan else { return };
    let Some(active) = plan.active.filter(|active| active.touched >= plan.kind.touches_min()) else {
        *empty_slots += 1;
        return;
    };
    let device = format!("{network}/{site}/{}", active.device);
    let class = match plan.kind {
        FaultKind::Gap => "silence".to_owned(),
        FaultKind::Stuck
        | FaultKind::Bias
        | FaultKind::Drift
        | FaultKind::Spikes
        | FaultKind::Swapped
        | FaultKind::Sentinel => format!("sensor_fault({})", plan.kind.as_str()),
    };
    #[expect(clippy::cast_precision_loss, reason = "a time of days")]
    let lasted_days = (active.off_us - active.on_us) as f64 / DAY_US as f64;
    done.push(InjectedFault {
        label: Label {
            event: format!("i{seed}"),
            class,
            network: network.clone(),
            start: EventTime::from_micros(active.on_us),
            end: EventTime::from_micros(active.off_us),
            place: if plan.kind == FaultKind::Gap { device } else { format!("{device}/{}", active.name) },
            side: String::new(),
            size_kg_s: None,
        },
        kind: plan.kind,
        size: plan.size,
        shows: !plan.kind.replaces() || active.shown >= plan.kind.touches_min(),
        shift: match plan.kind {
            FaultKind::Bias => Some(active.sign * plan.size),
            FaultKind::Drift => Some(active.sign * plan.size * lasted_days),
            FaultKind::Stuck
            | FaultKind::Spikes
            | FaultKind::Swapped
            | FaultKind::Sentinel
            | FaultKind::Gap => None,
        },
    });
}

#[cfg(test)]
mod tests;
