//! Frost: it freezes outside, and the water stands or comes back cold.
//!
//! Water that stands in an insulated pipe cools as `T(t) = T_out + (T_0 - T_out) exp(-t / tau)`, so that `tau ln((T_0 -
//! T_out) / (5 - T_out))` is left until it has 5 degC (the cooling time of ISO 12241 with 5 degC as its end; the pipe's
//! own heat capacity left out, which is on the safe side). `tau` is the setting `frost_time_constant`: heat capacity of
//! the water over the insulation's heat loss for each metre. Its default is a DN 50 pipe in the open air behind 40 mm of
//! 0.04 W/(m K): `4.19e6 J/(m3 K) x 2.33e-3 m2 / (2 pi 0.04 W/(m K) / ln(140/60)) = 33,000 s`, 9 h; thinner or bare pipes
//! have less.
//!
//! It has a class of its own beside the stop that may have caused it: it comes with a deadline.

use std::collections::BTreeMap;

use heat_model::{EventTime, incident::Class, plant::SiteKind};
use serde::{Deserialize, Serialize};

use super::{
    Scene,
    latch::{Edge, Latch, Sight},
    stop::StopWatch,
};
use crate::{
    DetectSettings, Finding,
    layout::{Role, Site},
    network::findings,
    tracker::Tracker,
};

const DETECTOR: &str = "frost";
/// Outdoor temperature below which water can freeze, and above which the danger is over, degC.
const FREEZES_CELSIUS: f64 = 0.0;
const THAWS_CELSIUS: f64 = 1.0;
/// A return below this is cold, and above this warm again, degC.
const COLD_CELSIUS: f64 = 15.0;
const WARM_CELSIUS: f64 = 18.0;
/// The deadline's temperature, degC.
const END_CELSIUS: f64 = 5.0;
/// Temperature of standing water where none is measured, degC.
const STANDING_CELSIUS: f64 = 40.0;
/// Another device agrees that a site is cold below this, degC.
const AGREES_CELSIUS: f64 = 20.0;
/// Share of a station's usual flow below which it stands, and the density it is told by.
const STANDS_SHARE: f64 = 0.1;
const WATER_KG_M3: f64 = 985.0;
/// A sensor's value has changed within this time, microseconds.
const MOVES_US: i64 = 3 * 3_600_000_000;
/// Values older than this, or than two of their intervals, tell nothing, seconds.
const CURRENT_SECONDS: f64 = 3_600.0;
/// How long it must show, and how long be gone, microseconds.
const ON_US: i64 = 600_000_000;
const OFF_US: i64 = 600_000_000;
/// Hours less than before that are worth saying.
const TOLD_HOURS: f64 = 1.0;
/// Evidence with the hours left.
pub(crate) const HOURS_LEFT: &str = "hours_to_5_celsius";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    latch: Latch,
    /// When the water has 5 degC, by the earliest estimate since it began.
    deadline_us: Option<i64>,
    told_hours: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrostWatch {
    /// By site index: a station, or a source for all that it feeds.
    places: BTreeMap<u32, Place>,
}

/// Why water may freeze at a site.
struct Threat {
    signal: Option<u32>,
    what: &'static str,
    celsius: f64,
}

impl FrostWatch {
    pub(crate) fn look(&mut self, scene: Scene<'_>, stop: &StopWatch, found: &mut Vec<Finding>) {
        let Some((outdoor_signal, outdoor)) = outdoor(scene) else { return };
        if outdoor >= FREEZES_CELSIUS && self.places.is_empty() {
            return;
        }
        let layout = scene.view.layout;
        let stands = stop.stands_since_us().is_some();
        let cold_stations =
            layout.of_kind(SiteKind::Station).filter(|(_, site)| is_cold(scene, site)).count();
        for (index, site) in (0_u32..).zip(&layout.sites) {
            let threat = match site.kind {
                SiteKind::Source => source_threat(scene, site, stands, cold_stations > 0),
                SiteKind::Station => station_threat(scene, index, site),
                SiteKind::Chamber | SiteKind::Building | SiteKind::Household => None,
            };
            let sight = match &threat {
                Some(_) if outdoor < FREEZES_CELSIUS => Sight::Shows,
                _ if outdoor > THAWS_CELSIUS => Sight::Clear,
                Some(_) => Sight::Unclear,
                None if is_warm(scene, site) && !stands => Sight::Clear,
                None => Sight::Unclear,
            };
            if sight != Sight::Shows && !self.places.contains_key(&index) {
                continue;
            }
            let place = self.places.entry(index).or_default();
            let edge = place.latch.look(sight, scene.now_us, ON_US, OFF_US);
            if let Some(threat) = threat.as_ref().filter(|_| outdoor < FREEZES_CELSIUS) {
                let left_us = hours_left(scene.settings, threat.celsius, outdoor) * 3.6e9;
                let deadline_us = scene.now_us + left_us as i64;
                place.deadline_us =
                    Some(place.deadline_us.map_or(deadline_us, |known| known.min(deadline_us)));
            }
            let hours = place.deadline_us.map_or(0.0, |at| (at - scene.now_us).max(0) as f64 / 3.6e9);
            let is_nearer = place.latch.is_on && place.told_hours - hours >= TOLD_HOURS;
            if edge == Edge::On || is_nearer {
                place.told_hours = hours;
                found.push(finding(scene, site, threat.as_ref(), (outdoor_signal, outdoor), (place, hours)));
            } else if edge == Edge::Off {
                let over = finding(scene, site, None, (outdoor_signal, outdoor), (place, hours));
                found.push(Finding { active: false, ..over });
            }
        }
        self.places.retain(|_, place| place.latch.since_us.is_some());
    }

    pub(crate) fn rest(&mut self, scene: Scene<'_>, found: &mut Vec<Finding>) {
        for (index, place) in std::mem::take(&mut self.places) {
            if place.latch.is_on {
                let site = &scene.view.layout.sites[index as usize];
                let over = empty(scene, site, scene.now_us);
                found.push(Finding { active: false, ..over });
            }
        }
    }

    pub(crate) fn still_shows(&self, finding: &Finding) -> bool {
        finding.class != Class::FrostRisk || self.places.values().any(|place| place.latch.still_shows())
    }
}

/// Hours until water of `celsius` that stands has 5 degC.
fn hours_left(settings: &DetectSettings, celsius: f64, outdoor: f64) -> f64 {
    if celsius <= END_CELSIUS || outdoor >= END_CELSIUS {
        return 0.0;
    }
    settings.frost_time_constant.as_secs_f64() / 3_600.0
        * ((celsius - outdoor) / (END_CELSIUS - outdoor)).ln()
}

/// The outdoor temperature: the middle one of those that are measured.
fn outdoor(scene: Scene<'_>) -> Option<(u32, f64)> {
    let sites = scene.view.layout.sites.iter();
    let mut all: Vec<(u32, f64)> =
        sites.filter_map(|site| celsius(scene, site, Role::OutdoorTemperature)).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all.get(all.len() / 2).copied()
}

fn celsius(scene: Scene<'_>, site: &Site, role: Role) -> Option<(u32, f64)> {
    let signal = site.signal(role)?;
    let tracker = &scene.view.trackers[signal as usize];
    (is_current(scene, tracker) && (-60.0..=180.0).contains(&tracker.value))
        .then_some((signal, tracker.value))
}

fn is_current(scene: Scene<'_>, tracker: &Tracker) -> bool {
    tracker.seen && tracker.age_s(scene.now_us) <= CURRENT_SECONDS.max(2.0 * f64::from(tracker.interval_s))
}

fn is_cold(scene: Scene<'_>, site: &Site) -> bool {
    celsius(scene, site, Role::ReturnTemperature).is_some_and(|(_, celsius)| celsius < AGREES_CELSIUS)
}

/// Whether all returns that are measured are warm.
fn is_warm(scene: Scene<'_>, site: &Site) -> bool {
    let mut returns = [Role::ReturnTemperature, Role::SecondaryReturnTemperature]
        .into_iter()
        .filter_map(|role| celsius(scene, site, role))
        .peekable();
    returns.peek().is_some() && returns.all(|(_, celsius)| celsius > WARM_CELSIUS)
}

/// At the source: the circulation stands, or its return is cold and a station's is.
fn source_threat(scene: Scene<'_>, site: &Site, stands: bool, a_station_is_cold: bool) -> Option<Threat> {
    let back = celsius(scene, site, Role::ReturnTemperature);
    if stands {
        let celsius = back.map_or(STANDING_CELSIUS, |(_, celsius)| celsius);
        return Some(Threat { signal: back.map(|(signal, _)| signal), what: "circulation_stands", celsius });
    }
    let (signal, celsius) = back.filter(|(_, celsius)| *celsius < COLD_CELSIUS && a_station_is_cold)?;
    Some(Threat { signal: Some(signal), what: "return_cold", celsius })
}

/// At a station: one return is cold, and something else agrees. One sensor alone may be wrong: a temperature of another
/// device agrees, the flow that stands, the pump that is off, or another temperature of the same device that is as cold
/// and moves as a measurement does.
fn station_threat(scene: Scene<'_>, index: u32, site: &Site) -> Option<Threat> {
    const WITNESSES: [Role; 4] = [
        Role::ReturnTemperature,
        Role::SecondaryReturnTemperature,
        Role::SecondarySupplyTemperature,
        Role::IndoorTemperature,
    ];
    let device = |signal: u32| scene.view.layout.placed[signal as usize].device;
    let stands = flow_stands(scene, index, site) || pump_is_off(scene, site);
    let colds = [Role::ReturnTemperature, Role::SecondaryReturnTemperature]
        .into_iter()
        .filter_map(|role| celsius(scene, site, role))
        .filter(|(_, celsius)| *celsius < COLD_CELSIUS);
    colds
        .filter(|(signal, celsius)| {
            WITNESSES.into_iter().filter_map(|role| self::celsius(scene, site, role)).any(|(other, cold)| {
                if device(other) == device(*signal) {
                    let both_move = || moves(scene, *signal) && moves(scene, other);
                    other != *signal
                        && cold.to_bits() != celsius.to_bits()
                        && cold < COLD_CELSIUS
                        && both_move()
                } else {
                    cold < AGREES_CELSIUS
                }
            }) || stands
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(signal, celsius)| Threat { signal: Some(signal), what: "return_cold", celsius })
}

/// Whether a station's flow is next to nothing of its usual one.
fn flow_stands(scene: Scene<'_>, index: u32, site: &Site) -> bool {
    let Some(signal) = site.signal(Role::SupplyFlow).or(site.signal(Role::ReturnFlow)) else { return false };
    let tracker = &scene.view.trackers[signal as usize];
    let kg_s = if scene.view.layout.placed[signal as usize].is_mass { 1.0 } else { WATER_KG_M3 };
    let usual = scene.thermal.usual_flow(index);
    is_current(scene, tracker)
        && scene.quality.is_trusted(signal)
        && usual.is_some_and(|usual| tracker.value * kg_s < STANDS_SHARE * usual)
}

/// Whether a station's pump says that it is off. Such a state is sent when it changes, so it holds however old.
fn pump_is_off(scene: Scene<'_>, site: &Site) -> bool {
    site.signal(Role::PumpRunning).is_some_and(|signal| {
        let tracker = &scene.view.trackers[signal as usize];
        tracker.seen && tracker.value < 0.5
    })
}

/// Whether a value changed not long ago, as that of a sensor does and that of an empty register does not.
fn moves(scene: Scene<'_>, signal: u32) -> bool {
    scene.quality.moved_us(signal).is_some_and(|moved_us| scene.now_us - moved_us <= MOVES_US)
}

fn empty(scene: Scene<'_>, site: &Site, onset_us: i64) -> Finding {
    let onset = EventTime::from_micros(onset_us);
    let mut finding = findings::empty(DETECTOR, Class::FrostRisk, onset, scene.view.layout.level());
    finding.place = Some(site.id.as_str().to_owned());
    if site.kind == SiteKind::Station {
        finding.affected.push(site.id.clone());
    }
    finding
}

fn finding(
    scene: Scene<'_>,
    site: &Site,
    threat: Option<&Threat>,
    (outdoor_signal, outdoor): (u32, f64),
    (place, hours): (&Place, f64),
) -> Finding {
    let mut finding = empty(scene, site, place.latch.since_us.unwrap_or(scene.now_us));
    let mut hours_left = scene.evidence(DETECTOR, outdoor_signal, HOURS_LEFT, hours, "h");
    hours_left.place = site.id.as_str().to_owned();
    finding.evidence.push(hours_left);
    finding.evidence.push(scene.evidence(DETECTOR, outdoor_signal, "outdoor", outdoor, "degC"));
    if let Some(Threat { signal: Some(signal), what, celsius }) = threat {
        finding.evidence.push(scene.evidence(DETECTOR, *signal, what, *celsius, "degC"));
    }
    finding.strength = hours;
    finding
}
