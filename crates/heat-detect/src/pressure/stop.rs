//! Circulation that stopped: a pump tripped, or the power failed.
//!
//! Physical model: without head, the supply pressure falls towards the static pressure, the return pressure rises to it,
//! and both flows fall. In a burst the return pressure falls too, and the supply flow rises. So a stop needs *head
//! lost* or *flow lost*, by two devices that agree, one of them at the source: its pressures, its flow meter, the
//! pumps' and the power's own signals, and, as witnesses, the stations. A source that has fallen silent altogether (the
//! power of its telemetry failed too) is spoken for by three devices at two other sites.
//!
//! Judged against the last minute ([`crate::tracker`]), so a slow, wanted reduction is no stop; what stood before is
//! kept while it lasts, and tells when the circulation is back.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{EventTime, incident::Class, plant::SiteKind};
use serde::{Deserialize, Serialize};

use super::{
    Scene,
    latch::{Edge, Latch, Sight},
};
use crate::{
    Finding,
    burst::view::to_mass,
    layout::{Role, Site},
    network::findings,
    tracker::Tracker,
};

const DETECTOR: &str = "circulation";
/// Share of what stood before below which head or flow is lost.
const LOST_SHARE: f64 = 0.5;
/// Share above which it is back.
const BACK_SHARE: f64 = 0.7;
/// Smallest head that can be lost, Pa.
const HEAD_MIN_PA: f64 = 20_000.0;
/// Share of the lost head by which the return pressure may fall; in a burst it falls with the supply's.
const RETURN_FALLS_SHARE: f64 = 0.1;
/// A change is told from noise at so many standard deviations.
const CHANGE_Z: f64 = 4.5;
/// Pump speed below which a pump stands.
const STANDS_SPEED: f64 = 0.05;
/// How long it must show, microseconds: a change from one pump to another takes less.
const ON_US: i64 = 3_000_000;
/// How long the circulation must be back, microseconds.
const OFF_US: i64 = 60_000_000;
/// A source whose newest value is older than this, and than three of its intervals, has fallen silent, seconds.
const SILENT_SECONDS: f64 = 20.0;
/// Devices elsewhere that speak for a silent source, and the sites that they stand at.
const WITNESSES_FOR_SILENT: usize = 3;
const WITNESS_SITES_FOR_SILENT: usize = 2;
/// Sites of witnesses looked for.
const WITNESS_SITES_MAX: usize = 8;
/// What stood before is forgotten after this time if no stop came of it, microseconds.
const FORGET_US: i64 = 600_000_000;

/// What stood before head or flow were lost, Pa and the flow meter's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Before {
    at_us: i64,
    head_pa: Option<f64>,
    flow: Option<f64>,
}

/// One source's stop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct SourceStop {
    latch: Latch,
    /// What was said, while it is on.
    class: Option<Class>,
    before: Option<Before>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StopWatch {
    /// By site index, sources only.
    sources: BTreeMap<u32, SourceStop>,
}

/// What one device shows.
struct Shown {
    device: u32,
    signal: u32,
    what: &'static str,
    value: f64,
    unit: &'static str,
}

/// What one source shows now.
#[derive(Default)]
struct SourceSight {
    shown: Vec<Shown>,
    power_lost: bool,
    hydraulic: bool,
    /// The head is measured, and is there.
    has_head: bool,
    /// Head or flow are back, or were never away.
    is_back: bool,
    is_silent: bool,
}

impl StopWatch {
    pub(crate) fn look(&mut self, scene: Scene<'_>, found: &mut Vec<Finding>) {
        for (index, site) in scene.view.layout.of_kind(SiteKind::Source) {
            found.extend(self.sources.entry(index).or_default().look(scene, site));
        }
    }

    pub(crate) fn rest(&mut self, scene: Scene<'_>, found: &mut Vec<Finding>) {
        for (index, stop) in std::mem::take(&mut self.sources) {
            if let (true, Some(class)) = (stop.latch.is_on, stop.class) {
                found.push(over(scene, &scene.view.layout.sites[index as usize], class));
            }
        }
    }

    pub(crate) fn still_shows(&self, finding: &Finding) -> bool {
        !matches!(finding.class, Class::PumpTrip | Class::PowerFailure)
            || self.sources.values().any(|stop| stop.latch.still_shows())
    }

    /// Since when no source drives the circulation; `None` while one does.
    pub(crate) fn stands_since_us(&self) -> Option<i64> {
        let since = |stop: &SourceStop| stop.latch.since_us.filter(|_| stop.latch.is_on);
        let mut latest = None;
        for stop in self.sources.values() {
            latest = latest.max(Some(since(stop)?));
        }
        latest
    }
}

impl SourceStop {
    fn look(&mut self, scene: Scene<'_>, site: &Site) -> Option<Finding> {
        let mut sight = self.look_at(scene, site);
        let mut sites = BTreeSet::new();
        if !self.latch.is_on && (sight.is_silent || (!sight.shown.is_empty() && !sight.has_head)) {
            witnesses(scene, &mut sight, &mut sites);
        }
        let devices = sight.devices();
        let shows = if sight.is_silent {
            devices >= WITNESSES_FOR_SILENT && sites.len() >= WITNESS_SITES_FOR_SILENT
        } else {
            sight.hydraulic && !sight.has_head && devices >= 2
        };
        let seen = match (shows, sight.is_back) {
            (true, _) => Sight::Shows,
            (false, true) => Sight::Clear,
            (false, false) => Sight::Unclear,
        };
        let class = if sight.power_lost { Class::PowerFailure } else { Class::PumpTrip };
        // The power's own signal may come after the pumps'.
        let turns_out = self.latch.is_on && self.class == Some(Class::PumpTrip) && sight.power_lost;
        match self.latch.look(seen, scene.now_us, ON_US, OFF_US) {
            Edge::Off => std::mem::take(self).class.map(|class| over(scene, site, class)),
            Edge::None if !turns_out => None,
            Edge::None | Edge::On => {
                self.class = Some(class);
                Some(finding(scene, site, class, self.latch.since_us, &sight))
            }
        }
    }

    fn look_at(&mut self, scene: Scene<'_>, site: &Site) -> SourceSight {
        let is_under_way = self.latch.since_us.is_some();
        if !is_under_way && self.before.is_some_and(|before| scene.now_us - before.at_us > FORGET_US) {
            self.before = None;
        }
        let mut sight = SourceSight { is_silent: is_silent(scene, site), ..SourceSight::default() };
        let mut stands = false;
        for (role, limit, what) in [
            (Role::PowerSupply, 0.5, "power_lost"),
            (Role::PumpRunning, 0.5, "pump_stands"),
            (Role::PumpSpeed, STANDS_SPEED, "pump_stands"),
        ] {
            let Some((signal, tracker)) = current(scene, site, role) else { continue };
            // A pump that stood before is a spare one.
            if tracker.value < limit && (is_under_way || tracker.reference > limit) {
                stands = true;
                sight.power_lost |= role == Role::PowerSupply;
                sight.show(scene, signal, what, tracker.value, "1");
            }
        }
        let flow = flow(scene, site, self.before.and_then(|before| before.flow));
        let mut head = head(scene, site, self.before.and_then(|before| before.head_pa));
        if let (Some(head), Some(flow)) = (&mut head, &flow) {
            head.is_lost &= !goes_on(scene, head, flow);
        }
        if let Some(head) = &head {
            sight.has_head = !head.is_lost;
            sight.show_lost(scene, head, "head_lost", 1.0, "Pa");
        }
        if let Some(flow) = &flow {
            let mass = to_mass(scene.view.layout, scene.view.trackers, flow.signals[0]);
            sight.show_lost(scene, flow, "flow_lost", mass, "kg/s");
        }
        if sight.hydraulic && self.before.is_none() {
            self.before = Some(Before {
                at_us: scene.now_us,
                head_pa: head.as_ref().map(|head| head.before),
                flow: flow.as_ref().map(|flow| flow.before),
            });
        }
        let is_back = |measured: &Measured| measured.now > BACK_SHARE * measured.before;
        sight.is_back = match (&head, &flow) {
            (Some(head), _) => is_back(head),
            (None, Some(flow)) => is_back(flow) && !stands,
            (None, None) => false,
        };
        sight
    }
}

impl SourceSight {
    fn show(&mut self, scene: Scene<'_>, signal: u32, what: &'static str, value: f64, unit: &'static str) {
        let device = scene.view.layout.placed[signal as usize].device;
        self.shown.push(Shown { device, signal, what, value, unit });
    }

    fn show_lost(
        &mut self,
        scene: Scene<'_>,
        measured: &Measured,
        what: &'static str,
        factor: f64,
        unit: &'static str,
    ) {
        if measured.is_lost {
            self.hydraulic = true;
            for signal in measured.signals {
                self.show(scene, signal, what, factor * (measured.before - measured.now), unit);
            }
        }
    }

    fn devices(&self) -> usize {
        self.shown.iter().map(|shown| shown.device).collect::<BTreeSet<_>>().len()
    }
}

/// A signal's tracker, if its value is of now.
fn current<'a>(scene: Scene<'a>, site: &Site, role: Role) -> Option<(u32, &'a Tracker)> {
    let signal = site.signal(role)?;
    let tracker = &scene.view.trackers[signal as usize];
    tracker.is_current(scene.now_us).then_some((signal, tracker))
}

/// A head or flow now and before.
struct Measured {
    /// By which it is measured; one and the same, or two.
    signals: [u32; 2],
    now: f64,
    before: f64,
    is_lost: bool,
}

fn head(scene: Scene<'_>, site: &Site, kept: Option<f64>) -> Option<Measured> {
    let (supply_signal, supply) = current(scene, site, Role::SupplyPressure)?;
    let (back_signal, back) = current(scene, site, Role::ReturnPressure)?;
    let before = kept.unwrap_or(supply.reference - back.reference);
    let now = supply.value - back.value;
    let noise = scene.view.sigma(supply_signal).hypot(scene.view.sigma(back_signal));
    let return_falls_pa = back.reference - back.value;
    let return_may_fall_pa =
        (RETURN_FALLS_SHARE * (before - now)).max(CHANGE_Z * scene.view.sigma(back_signal));
    let is_sudden = before - now > CHANGE_Z * noise && return_falls_pa < return_may_fall_pa;
    let is_lost = before > HEAD_MIN_PA && now < LOST_SHARE * before && (kept.is_some() || is_sudden);
    Some(Measured { signals: [supply_signal, back_signal], now, before, is_lost })
}

/// Whether the water that a source sends went on after its head fell: its pumps run, and another thing took the head.
fn goes_on(scene: Scene<'_>, head: &Measured, flow: &Measured) -> bool {
    let fell_us = head.signals.map(|signal| scene.view.trackers[signal as usize].off_since_us);
    let seen_us = scene.view.trackers[flow.signals[0] as usize].at_us;
    seen_us >= fell_us[0].max(fell_us[1]) && flow.now > BACK_SHARE * flow.before
}

fn flow(scene: Scene<'_>, site: &Site, kept: Option<f64>) -> Option<Measured> {
    let (signal, tracker) = current(scene, site, Role::SupplyFlow)?;
    let before = kept.unwrap_or(tracker.reference);
    let now = tracker.value;
    let is_sudden = before - now > CHANGE_Z * scene.view.sigma(signal);
    let is_lost = before > 0.0 && now < LOST_SHARE * before && (kept.is_some() || is_sudden);
    Some(Measured { signals: [signal, signal], now, before, is_lost })
}

/// Whether nothing of a source that spoke before speaks now.
fn is_silent(scene: Scene<'_>, site: &Site) -> bool {
    let mut has_spoken = false;
    for signal in [Role::SupplyPressure, Role::ReturnPressure, Role::SupplyFlow, Role::PumpRunning]
        .into_iter()
        .filter_map(|role| site.signal(role))
    {
        let tracker = &scene.view.trackers[signal as usize];
        if !tracker.seen {
            continue;
        }
        has_spoken = true;
        if tracker.age_s(scene.now_us) <= (3.0 * f64::from(tracker.interval_s)).max(SILENT_SECONDS) {
            return false;
        }
    }
    has_spoken
}

/// Adds devices of other sites that lost head or flow.
fn witnesses(scene: Scene<'_>, sight: &mut SourceSight, sites: &mut BTreeSet<u32>) {
    for (index, site) in scene.view.layout.of_kind(SiteKind::Station) {
        if sites.len() >= WITNESS_SITES_MAX {
            break;
        }
        if let Some(head) = head(scene, site, None).filter(|head| head.is_lost) {
            sight.show_lost(scene, &head, "head_lost", 1.0, "Pa");
            sites.insert(index);
        }
        if let Some(flow) = flow(scene, site, None).filter(|flow| flow.is_lost) {
            let mass = to_mass(scene.view.layout, scene.view.trackers, flow.signals[0]);
            sight.show_lost(scene, &flow, "flow_lost", mass, "kg/s");
            sites.insert(index);
        }
    }
}

fn finding(
    scene: Scene<'_>,
    site: &Site,
    class: Class,
    since_us: Option<i64>,
    sight: &SourceSight,
) -> Finding {
    let onset = EventTime::from_micros(since_us.unwrap_or(scene.now_us));
    let mut finding = findings::empty(DETECTOR, class, onset, scene.view.layout.level());
    finding.place = Some(site.id.as_str().to_owned());
    for shown in &sight.shown {
        let one = scene.evidence(DETECTOR, shown.signal, shown.what, shown.value, shown.unit);
        if !finding.evidence.iter().any(|known| known.what == one.what && known.place == one.place) {
            finding.evidence.push(one);
        }
    }
    finding.strength = sight.devices() as f64;
    if sight.is_silent {
        finding.lacked.push(format!("{} (silent)", site.id));
    }
    finding
}

fn over(scene: Scene<'_>, site: &Site, class: Class) -> Finding {
    Finding { active: false, ..finding(scene, site, class, None, &SourceSight::default()) }
}
