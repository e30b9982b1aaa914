//! One cause, one incident: which incident a finding belongs to, and what explains what.

use heat_model::{
    AppendTime, EventTime, SiteId,
    incident::{ChangeKind, Class, Incident, Priority},
};

use super::{Book, Kept, SHARE_OF_CIRCULATION, is_elsewhere};
use crate::{DetectSettings, Finding, core::Emitter};

/// The same cause within this time after its clearing is the same incident again, microseconds.
const REOPEN_US: i64 = 2 * 3_600_000_000;
/// A leak younger than this that turns out to be a burst becomes one, microseconds.
const UPGRADE_US: i64 = 2 * 3_600_000_000;
/// A station's finding may start this much before the loss that explains it, microseconds.
const EFFECT_LEAD_US: i64 = 15 * 60_000_000;
/// A leak of a smaller share of the circulation, which is less than a burst's, is made up by the plant: what grows cold
/// meanwhile does so for another reason.
const COOLS_SHARE: f64 = 0.05;
/// A burst of such a share of the circulation takes the pressure of the whole network; a smaller one is felt behind it.
const FELT_EVERYWHERE: f64 = 0.1;
/// What is wrong with one signal of a device may be found this much before what is wrong with the device.
const DEVICE_LEAD_US: i64 = 24 * 3_600_000_000;
/// Effects listed on one incident.
const EFFECTS_MAX: usize = 200;

pub(crate) const fn is_loss(class: Class) -> bool {
    matches!(class, Class::Burst | Class::LeakAbrupt | Class::LeakIncipient)
}

/// Whether it is a loss of the hot water that the sources feed; one of a secondary or of steam names its kind.
pub(super) fn is_network_loss(class: Class, kind: Option<&str>) -> bool {
    is_loss(class) && !is_elsewhere(kind)
}

/// A circulation that stopped.
const fn is_stop(class: Class) -> bool {
    matches!(class, Class::PumpTrip | Class::PowerFailure)
}

/// What explains others.
const fn is_cause(class: Class) -> bool {
    is_loss(class) || is_stop(class)
}

/// What a loss of water, or a stop of the circulation, does to stations and pressures. A frost risk is no effect: it has
/// a deadline of its own, whatever caused it.
const fn can_be_effect(class: Class) -> bool {
    matches!(
        class,
        Class::ConsumerThermal
            | Class::Underheating
            | Class::PressureRegime
            | Class::NetworkThermal
            | Class::TicketCluster
            | Class::Unknown
    )
}

/// Whether an incident says what is the matter at a site: then signals there that left the others have their name.
fn names_site(incident: &Incident, site: Option<&str>) -> bool {
    let place = incident.place.as_deref();
    let is_the_site = place.is_some() && place == site;
    match incident.class {
        Class::ConsumerThermal | Class::Underheating | Class::ExchangerLeak => is_the_site,
        // The place is a signal or a device of the network.
        Class::SensorFault | Class::ClockFault => {
            is_the_site || place.and_then(|place| place.split('/').nth(1)).is_some_and(|of| site == Some(of))
        }
        Class::Burst
        | Class::LeakAbrupt
        | Class::LeakIncipient
        | Class::StandingLoss
        | Class::Draining
        | Class::PumpTrip
        | Class::PowerFailure
        | Class::PressureRegime
        | Class::FrostRisk
        | Class::NetworkThermal
        | Class::TicketCluster
        | Class::Silence
        | Class::Unknown => false,
    }
}

/// Whether a device as a whole is at fault, and this is one of its signals.
fn is_of_device(cause: &Incident, effect: Class, place: Option<&str>, onset: EventTime) -> bool {
    let rest = cause.place.as_deref().zip(place).and_then(|(device, signal)| signal.strip_prefix(device));
    cause.class == Class::SensorFault
        && effect == Class::SensorFault
        && rest.is_some_and(|rest| rest.starts_with('/'))
        && onset.as_micros() >= cause.onset.as_micros() - DEVICE_LEAD_US
}

/// Whether it is about heat that does not arrive.
const fn is_of_cold(class: Class) -> bool {
    matches!(
        class,
        Class::ConsumerThermal | Class::Underheating | Class::NetworkThermal | Class::TicketCluster
    )
}

/// Share of the circulation that is lost, as far as that is known.
fn share_lost(cause: &Incident) -> Option<f64> {
    let shares = cause.evidence.iter().filter(|evidence| evidence.what == SHARE_OF_CIRCULATION);
    shares.map(|evidence| evidence.value).reduce(f64::max)
}

/// Whether a leak is known to be so small that nobody is cold for it.
fn is_made_up(cause: &Incident) -> bool {
    matches!(cause.class, Class::LeakAbrupt | Class::LeakIncipient)
        && share_lost(cause).is_some_and(|share| share < COOLS_SHARE)
}

/// Whether stations, or the one at a place, feel a loss: those behind it, or all, where it is large or nobody knows where it
/// is.
fn reaches(cause: &Incident, place: Option<&str>, stations: &[SiteId]) -> bool {
    let is_local = is_loss(cause.class) && share_lost(cause).is_some_and(|share| share < FELT_EVERYWHERE);
    if !is_local || cause.branch.is_empty() {
        return true;
    }
    let behind = || cause.branch.iter().chain(&cause.affected).map(SiteId::as_str);
    let mut named = stations.iter().map(SiteId::as_str).chain(place);
    named.any(|station| behind().any(|of| of == station))
}

/// Whether an incident explains what is of this class and place and began then. A pressure beyond its limits is as urgent
/// as can be: only what is as urgent explains it, so a leak that at last empties the network pages. Where a pipe has burst,
/// pumps are stopped by hand or by their protection.
///
/// `stations` are those that the effect is about.
fn explains(
    cause: &Incident,
    effect: Class,
    place: Option<&str>,
    stations: &[SiteId],
    onset: EventTime,
) -> bool {
    if effect == Class::Unknown && names_site(cause, place) {
        return true;
    }
    if is_of_device(cause, effect, place, onset) {
        return true;
    }
    let is_enough = if effect == Class::PressureRegime {
        cause.class.priority() == Priority::P1
    } else {
        !(is_of_cold(effect) && is_made_up(cause))
            && (!matches!(effect, Class::ConsumerThermal | Class::Underheating)
                || reaches(cause, place, stations))
    };
    let can_cause = (is_cause(cause.class) && can_be_effect(effect) && is_enough)
        || (cause.class == Class::Burst && is_stop(effect));
    can_cause
        && !is_elsewhere(cause.kind.as_deref())
        && onset.as_micros() >= cause.onset.as_micros() - EFFECT_LEAD_US
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Ignored,
    Effect(usize),
    Update(usize),
    Reopen(usize),
    New,
}

fn effect_line(class: Class, place: &Option<String>, kind: &Option<String>) -> String {
    format!("{}: {}", place.as_deref().unwrap_or("network"), kind.as_deref().unwrap_or(class.as_str()))
}

/// Whether a finding that is no loss of water is about an incident. A stop may turn out to be of another class.
pub(super) fn is_of(incident: &Incident, finding: &Finding) -> bool {
    let same_class = incident.class == finding.class || (is_stop(incident.class) && is_stop(finding.class));
    same_class && incident.kind == finding.kind && incident.place == finding.place
}

impl Book {
    pub(super) fn place_of(&self, finding: &Finding, now: AppendTime) -> Place {
        let newest = |wanted: &dyn Fn(&Kept) -> bool| self.kept.iter().rposition(wanted);
        let is_network_loss_of =
            |kept: &Kept| is_network_loss(kept.incident.class, kept.incident.kind.as_deref());
        if finding.class == Class::ExchangerLeak {
            let leak = newest(&|kept| {
                kept.is_open() && is_network_loss_of(kept) && kept.incident.class != Class::Burst
            });
            if let Some(index) = leak {
                return Place::Update(index);
            }
        }
        if is_network_loss(finding.class, finding.kind.as_deref()) {
            let own = self.open_burst(finding.onset);
            let open_leak = newest(&|kept| {
                kept.is_open() && is_network_loss_of(kept) && kept.incident.class != Class::Burst
            });
            let has_burst =
                self.kept.iter().any(|kept| kept.is_open() && kept.incident.class == Class::Burst);
            return match (finding.class, has_burst, open_leak) {
                (Class::Burst, true, _) => own.map_or(Place::New, Place::Update),
                (Class::Burst, false, Some(index))
                    if now.as_micros() - self.kept[index].incident.opened.as_micros() < UPGRADE_US =>
                {
                    Place::Update(index)
                }
                (Class::Burst, false, _) => {
                    self.recently_cleared(finding, now).map_or(Place::New, Place::Reopen)
                }
                (_, true, _) => Place::Ignored,
                (_, false, Some(index)) => Place::Update(index),
                (_, false, None) => self.recently_cleared(finding, now).map_or(Place::New, Place::Reopen),
            };
        }
        let cause = newest(&|kept| {
            let place = finding.place.as_deref();
            kept.is_open()
                && kept.active
                && explains(&kept.incident, finding.class, place, &finding.affected, finding.onset)
        });
        if let Some(index) = cause {
            return Place::Effect(index);
        }
        newest(&|kept| kept.is_open() && is_of(&kept.incident, finding)).map_or_else(
            || self.recently_cleared(finding, now).map_or(Place::New, Place::Reopen),
            Place::Update,
        )
    }

    /// The incident of the burst that began then; one of which that is not known yet may be it.
    pub(super) fn open_burst(&self, onset: EventTime) -> Option<usize> {
        let of = |burst: Option<EventTime>| {
            self.kept.iter().rposition(|kept| {
                kept.is_open() && kept.incident.class == Class::Burst && kept.burst == burst
            })
        };
        of(Some(onset)).or_else(|| of(None))
    }

    /// Whether a finding would open or reopen an incident.
    pub(crate) fn is_news(&self, finding: &Finding, now: AppendTime) -> bool {
        finding.active && matches!(self.place_of(finding, now), Place::New | Place::Reopen(_))
    }

    /// Whether a leak of the network is on whose incident was told so lately that more of the same would not be.
    pub(crate) fn has_fresh_leak(&self, settings: &DetectSettings, now: AppendTime) -> bool {
        let open = self.kept.iter().rfind(|kept| {
            let incident = &kept.incident;
            kept.is_open()
                && (is_network_loss(incident.class, incident.kind.as_deref())
                    || incident.class == Class::ExchangerLeak)
        });
        open.is_some_and(|kept| {
            let rest_us = now.as_micros() - kept.incident.updated.as_micros();
            kept.active && (rest_us as u128) < settings.update_interval.as_micros()
        })
    }

    fn recently_cleared(&self, finding: &Finding, now: AppendTime) -> Option<usize> {
        self.kept.iter().rposition(|kept| {
            kept.incident.class == finding.class
                && kept.incident.kind == finding.kind
                && (is_network_loss(finding.class, finding.kind.as_deref())
                    || kept.incident.place == finding.place)
                && kept
                    .incident
                    .cleared
                    .is_some_and(|cleared| now.as_micros() - cleared.as_micros() < REOPEN_US)
        })
    }

    /// What was raised just before its cause was known becomes the cause's effect.
    pub(super) fn absorb_effects(&mut self, cause: usize, emit: &mut Emitter<'_>) {
        let id = self.kept[cause].incident.id;
        let explained: Vec<usize> = (0..self.kept.len())
            .filter(|&index| {
                let incident = &self.kept[index].incident;
                let place = incident.place.as_deref();
                self.kept[index].is_open()
                    && explains(
                        &self.kept[cause].incident,
                        incident.class,
                        place,
                        &incident.affected,
                        incident.onset,
                    )
            })
            .collect();
        for index in explained {
            let incident = &self.kept[index].incident;
            let effect = effect_line(incident.class, &incident.place, &incident.kind);
            self.kept[index].active = false;
            self.clear(index, "fusion", Some(format!("explained by {id}")), emit);
            let effects = &mut self.kept[cause].incident.effects;
            if effects.len() < EFFECTS_MAX && !effects.contains(&effect) {
                effects.push(effect);
            }
        }
    }

    pub(super) fn add_effect(&mut self, index: usize, finding: &Finding, emit: &mut Emitter<'_>) {
        let line = effect_line(finding.class, &finding.place, &finding.kind);
        let incident = &mut self.kept[index].incident;
        if incident.effects.len() >= EFFECTS_MAX || incident.effects.contains(&line) {
            return;
        }
        incident.effects.push(line);
        // Those of a station that is listed already are counted already.
        if !finding.affected.iter().any(|site| incident.affected.contains(site)) {
            let both = [incident.affected_households, finding.affected_households];
            incident.affected_households = both.into_iter().flatten().reduce(u32::saturating_add);
        }
        for site in &finding.affected {
            if !incident.affected.contains(site) {
                incident.affected.push(site.clone());
            }
        }
        self.say(index, ChangeKind::Updated, &finding.detector, Some("effect".to_owned()), emit);
    }
}
