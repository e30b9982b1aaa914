//! Pressures beyond what keeps water in the pipes, and the pipes whole: flashing, emptying, overpressure.
//!
//! - Flashing: at the top of a supply gauge's zone, the absolute pressure comes within a margin of the saturation
//!   pressure (IAPWS-IF97, region 4) at the local temperature.
//! - Emptying: at the top of a return gauge's zone, the gauge pressure falls below a minimum.
//! - Overpressure: at the bottom of a zone, a gauge pressure exceeds what the equipment is built for.
//!
//! One gauge may be broken: it takes two devices beyond the limit; or one, and the source's gauge agrees (or,
//! with the source's, another): by the usual difference between the two it is beyond as well; or one, and another has moved the same way within the last
//! minutes. One kind is one incident of the network, at its worst place.

use std::collections::BTreeSet;

use heat_hydraulics::water::{GRAVITY_M_S2, density_kg_m3, saturation_pa};
use heat_model::{
    EventTime,
    incident::Class,
    plant::{Side, SiteKind},
};
use serde::{Deserialize, Serialize};

use super::{
    Scene,
    latch::{Edge, Latch, Sight},
};
use crate::{
    DetectSettings, Finding,
    layout::{Role, Site},
    network::findings,
    tracker::Tracker,
};

const DETECTOR: &str = "pressure_regime";
/// Pressure beyond the limit within which it still counts as beyond, Pa.
const DEADBAND_PA: f64 = 10_000.0;
/// No gauge can show less than a vacuum, Pa.
const VACUUM_PA: f64 = -105_000.0;
/// How far the source's gauge may be from it and still agree: friction changes with the flow, Pa.
const SOURCE_AGREES_PA: f64 = 30_000.0;
/// Looks at new data that are averaged for the usual difference, two days of scans of 10 s; and those before it is known.
const USUAL_LOOKS: u32 = 17_280;
const KNOWN_LOOKS: u32 = 12;
/// A move of another gauge that agrees, Pa and standard deviations.
const MOVE_MIN_PA: f64 = 20_000.0;
const MOVE_Z: f64 = 4.5;
/// How long after the first gauge another's move still agrees with it, microseconds.
const AGREES_US: i64 = 600_000_000;
/// A temperature older than this tells nothing, seconds: water in the pipes changes slowly.
const TEMPERATURE_SECONDS: f64 = 7_200.0;
/// Temperatures where none is measured, degC.
const SUPPLY_CELSIUS: f64 = 95.0;
const RETURN_CELSIUS: f64 = 50.0;
/// Places named as evidence, and stations listed.
const PLACES_MAX: usize = 4;
const AFFECTED_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Flashing,
    Emptying,
    Overpressure,
}

const KINDS: [Kind; 3] = [Kind::Flashing, Kind::Emptying, Kind::Overpressure];

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Flashing => "flashing",
            Self::Emptying => "emptying",
            Self::Overpressure => "overpressure",
        }
    }

    /// What its evidence says.
    const fn measure(self) -> &'static str {
        match self {
            Self::Flashing => "above_saturation",
            Self::Emptying => "gauge_at_top",
            Self::Overpressure => "gauge_at_bottom",
        }
    }

    /// Roles whose pressures it judges.
    const fn roles(self) -> &'static [Role] {
        match self {
            Self::Flashing => &[Role::SupplyPressure],
            Self::Emptying => &[Role::ReturnPressure],
            Self::Overpressure => &[Role::SupplyPressure, Role::ReturnPressure],
        }
    }

    const fn limit_pa(self, settings: &DetectSettings) -> f64 {
        match self {
            Self::Flashing => settings.saturation_margin_pa,
            Self::Emptying => settings.return_pressure_min_pa,
            Self::Overpressure => settings.pressure_max_pa,
        }
    }
}

/// One kind's alarm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Alarm {
    latch: Latch,
    /// Where it was worst when it was said: the incident's place.
    place: Option<String>,
    /// Another gauge's move agreed.
    is_supported: bool,
    /// Stations told.
    told: u32,
}

/// Usual difference between the source's gauge and a site's, Pa.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    mean_pa: f64,
    looks: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RegimeWatch {
    alarms: [Alarm; 3],
    /// By site index, supply and return.
    usual: Vec<[Usual; 2]>,
}

const SIDES: [Role; 2] = [Role::SupplyPressure, Role::ReturnPressure];

/// A place beyond a limit.
struct Beyond {
    site: u32,
    role: Role,
    signal: u32,
    device: u32,
    /// Pa, as the kind measures it.
    value: f64,
    /// By how much it is beyond.
    excess: f64,
}

impl RegimeWatch {
    pub(crate) fn look(&mut self, scene: Scene<'_>, found: &mut Vec<Finding>) {
        for (kind, alarm) in KINDS.into_iter().zip(&mut self.alarms) {
            found.extend(alarm.look(scene, kind, &self.usual));
        }
        if !self.is_under_way() {
            self.learn(scene);
        }
    }

    /// Whether any pressure is, or was, beyond a limit.
    pub(crate) fn is_under_way(&self) -> bool {
        self.alarms.iter().any(|alarm| alarm.latch.since_us.is_some())
    }

    /// Learns the usual differences while nothing is beyond a limit.
    fn learn(&mut self, scene: Scene<'_>) {
        let layout = scene.view.layout;
        self.usual.resize(layout.sites.len(), <[Usual; 2]>::default());
        for (side, role) in SIDES.into_iter().enumerate() {
            let Some((_, source_pa)) = source_gauge(scene, role) else { continue };
            for (site, usual) in layout.sites.iter().zip(&mut self.usual) {
                let Some(tracker) = site.signal(role).map(|signal| &scene.view.trackers[signal as usize])
                else {
                    continue;
                };
                if tracker.is_current(scene.now_us) {
                    let usual = &mut usual[side];
                    usual.looks = (usual.looks + 1).min(USUAL_LOOKS);
                    usual.mean_pa += (source_pa - tracker.value - usual.mean_pa) / f64::from(usual.looks);
                }
            }
        }
    }

    pub(crate) fn rest(&mut self, scene: Scene<'_>, found: &mut Vec<Finding>) {
        for (kind, alarm) in KINDS.into_iter().zip(&mut self.alarms) {
            if alarm.latch.end() {
                found.push(alarm.over(scene, kind));
            }
            *alarm = Alarm::default();
        }
    }

    pub(crate) fn still_shows(&self, finding: &Finding) -> bool {
        finding.class != Class::PressureRegime
            || KINDS.into_iter().zip(&self.alarms).any(|(kind, alarm)| {
                finding.kind.as_deref() == Some(kind.as_str()) && alarm.latch.still_shows()
            })
    }
}

impl Alarm {
    fn look(&mut self, scene: Scene<'_>, kind: Kind, usual: &[[Usual; 2]]) -> Option<Finding> {
        let (beyond, has_near) = survey(scene, kind);
        let devices: BTreeSet<u32> = beyond.iter().map(|beyond| beyond.device).collect();
        if !beyond.is_empty() && !self.is_supported {
            let is_young = self.latch.since_us.is_none_or(|since| scene.now_us - since <= AGREES_US);
            self.is_supported = devices.len() >= 2
                || beyond.iter().any(|beyond| source_agrees(scene, kind, beyond, usual))
                || (is_young && another_moves(scene, kind, &devices));
        }
        // A lone gauge is noted, and waits for another.
        let sight = match (beyond.is_empty(), has_near) {
            (false, _) => Sight::Shows,
            (true, true) => Sight::Unclear,
            (true, false) => Sight::Clear,
        };
        let on_us = if self.is_supported { micros(scene.settings.pressure_delay) } else { i64::MAX };
        match self.latch.look(sight, scene.now_us, on_us, micros(scene.settings.pressure_clear)) {
            Edge::On => {
                self.told = count(&beyond);
                let worst = beyond.iter().max_by(|a, b| a.excess.total_cmp(&b.excess))?;
                self.place = Some(scene.view.layout.sites[worst.site as usize].id.as_str().to_owned());
                Some(self.finding(scene, kind, &beyond))
            }
            Edge::Off => {
                let over = self.over(scene, kind);
                *self = Self::default();
                Some(over)
            }
            Edge::None if self.latch.is_on && count(&beyond) > self.told => {
                self.told = count(&beyond);
                Some(self.finding(scene, kind, &beyond))
            }
            Edge::None => {
                if self.latch.since_us.is_none() {
                    self.is_supported = false;
                }
                None
            }
        }
    }

    fn finding(&self, scene: Scene<'_>, kind: Kind, beyond: &[Beyond]) -> Finding {
        let layout = scene.view.layout;
        let onset = EventTime::from_micros(self.latch.since_us.unwrap_or(scene.now_us));
        let mut finding = findings::empty(DETECTOR, Class::PressureRegime, onset, layout.level());
        finding.kind = Some(kind.as_str().to_owned());
        finding.place.clone_from(&self.place);
        finding.side = match kind {
            Kind::Flashing => Some(Side::Supply),
            Kind::Emptying => Some(Side::Return),
            Kind::Overpressure => None,
        };
        let mut worst: Vec<&Beyond> = beyond.iter().collect();
        worst.sort_by(|a, b| b.excess.total_cmp(&a.excess).then(a.signal.cmp(&b.signal)));
        finding.evidence = worst
            .iter()
            .take(PLACES_MAX)
            .map(|at| scene.evidence(DETECTOR, at.signal, kind.measure(), at.value, "Pa"))
            .collect();
        finding.affected = worst
            .iter()
            .map(|at| &layout.sites[at.site as usize])
            .filter(|site| site.kind == SiteKind::Station)
            .take(AFFECTED_MAX)
            .map(|site| site.id.clone())
            .collect();
        finding.affected.sort();
        finding.affected.dedup();
        finding.strength = beyond.len() as f64;
        if !layout.topology.has_elevations() {
            finding.lacked.push("elevations".to_owned());
        }
        finding
    }

    fn over(&self, scene: Scene<'_>, kind: Kind) -> Finding {
        Finding { active: false, ..self.finding(scene, kind, &[]) }
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn count(beyond: &[Beyond]) -> u32 {
    u32::try_from(beyond.len()).unwrap_or(u32::MAX)
}

/// All places beyond the limit, and whether any is within the deadband, or none tells.
fn survey(scene: Scene<'_>, kind: Kind) -> (Vec<Beyond>, bool) {
    let limit_pa = kind.limit_pa(scene.settings);
    let hottest = scene
        .view
        .layout
        .of_kind(SiteKind::Source)
        .filter_map(|(_, source)| celsius(scene, source, Role::SupplyTemperature))
        .reduce(f64::max);
    let (mut beyond, mut has_near, mut has_any) = (Vec::new(), false, false);
    for (index, site) in (0_u32..).zip(&scene.view.layout.sites) {
        for &role in kind.roles() {
            let Some(signal) = site.signal(role) else { continue };
            let tracker = &scene.view.trackers[signal as usize];
            if !tracker.is_current(scene.now_us) || tracker.value < VACUUM_PA {
                continue;
            }
            has_any = true;
            let value = measure(scene, kind, (index, site), tracker, hottest);
            let excess = if kind == Kind::Overpressure { value - limit_pa } else { limit_pa - value };
            if excess > 0.0 {
                let device = scene.view.layout.placed[signal as usize].device;
                beyond.push(Beyond { site: index, role, signal, device, value, excess });
            }
            has_near |= excess > -DEADBAND_PA;
        }
    }
    (beyond, has_near || !has_any)
}

/// A pressure as a kind measures it, Pa.
fn measure(
    scene: Scene<'_>,
    kind: Kind,
    (index, site): (u32, &Site),
    tracker: &Tracker,
    hottest: Option<f64>,
) -> f64 {
    let zone = scene.zones.of(index);
    match kind {
        Kind::Flashing => {
            let celsius = celsius(scene, site, Role::SupplyTemperature).or(hottest).unwrap_or(SUPPLY_CELSIUS);
            let column_pa = density_kg_m3(celsius) * GRAVITY_M_S2 * zone.rise_m;
            tracker.value - column_pa + zone.atmosphere_pa() - saturation_pa(celsius)
        }
        Kind::Emptying => tracker.value - density_kg_m3(RETURN_CELSIUS) * GRAVITY_M_S2 * zone.rise_m,
        Kind::Overpressure => tracker.value + density_kg_m3(RETURN_CELSIUS) * GRAVITY_M_S2 * zone.fall_m,
    }
}

fn celsius(scene: Scene<'_>, site: &Site, role: Role) -> Option<f64> {
    let tracker = &scene.view.trackers[site.signal(role)? as usize];
    let is_usable = tracker.seen
        && tracker.age_s(scene.now_us) <= TEMPERATURE_SECONDS.max(2.0 * f64::from(tracker.interval_s))
        && (0.0..=180.0).contains(&tracker.value);
    is_usable.then_some(tracker.value)
}

/// The first source's gauge of a side that is current: its signal and what it shows, Pa.
fn source_gauge(scene: Scene<'_>, role: Role) -> Option<(u32, f64)> {
    scene.view.layout.of_kind(SiteKind::Source).find_map(|(_, source)| {
        let signal = source.signal(role)?;
        let tracker = &scene.view.trackers[signal as usize];
        tracker.is_current(scene.now_us).then_some((signal, tracker.value))
    })
}

/// Whether the source's gauge agrees, less the usual difference; for the source's own, whether another site's does.
fn source_agrees(scene: Scene<'_>, kind: Kind, beyond: &Beyond, usual: &[[Usual; 2]]) -> bool {
    let Some((source_signal, source_pa)) = source_gauge(scene, beyond.role) else { return false };
    let side = usize::from(beyond.role == Role::ReturnPressure);
    let layout = scene.view.layout;
    let device = |signal: u32| layout.placed[signal as usize].device;
    let known = |site: usize| {
        usual
            .get(site)
            .map(|sides| sides[side])
            .filter(|usual| usual.looks >= KNOWN_LOOKS)
            .map(|usual| usual.mean_pa)
    };
    let shown_pa = scene.view.trackers[beyond.signal as usize].value;
    let sign = if kind == Kind::Overpressure { -1.0 } else { 1.0 };
    // By how much the gauge exaggerates, if the other is right.
    let agrees = |expected_pa: f64| sign * (expected_pa - shown_pa) < beyond.excess + SOURCE_AGREES_PA;
    if device(source_signal) != beyond.device {
        return known(beyond.site as usize).is_some_and(|usual_pa| agrees(source_pa - usual_pa));
    }
    layout.sites.iter().enumerate().any(|(index, site)| {
        let Some(signal) = site.signal(beyond.role).filter(|signal| device(*signal) != beyond.device) else {
            return false;
        };
        let tracker = &scene.view.trackers[signal as usize];
        tracker.is_current(scene.now_us)
            && known(index).is_some_and(|usual_pa| agrees(tracker.value + usual_pa))
    })
}

/// Whether a gauge of another device has moved the same way within the last minutes.
fn another_moves(scene: Scene<'_>, kind: Kind, devices: &BTreeSet<u32>) -> bool {
    let sign = if kind == Kind::Overpressure { 1.0 } else { -1.0 };
    let layout = scene.view.layout;
    layout.sites.iter().flat_map(|site| kind.roles().iter().filter_map(|role| site.signal(*role))).any(
        |signal| {
            let tracker = &scene.view.trackers[signal as usize];
            let move_pa = sign * (tracker.value - tracker.reference);
            !devices.contains(&layout.placed[signal as usize].device)
                && tracker.is_current(scene.now_us)
                && move_pa > MOVE_MIN_PA.max(MOVE_Z * scene.view.sigma(signal))
        },
    )
}
