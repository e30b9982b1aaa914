//! Findings about the water account that are no leak: meters, evenings, what is lost all the time.

use heat_model::{
    EventTime, SiteId,
    incident::{Class, Evidence},
    plant::{ModelLevel, SiteKind},
};

use super::{
    findings::{empty, evidence, leak_class, volume_flow_m3_h},
    water::bin_start_us,
};
use crate::{
    Finding,
    balance::{
        Leak,
        make_up::{self, Metering},
    },
    incidents::{FURTHER_LOSS, SECONDARY, SHARE_OF_CIRCULATION},
    layout::Layout,
    night::{NightLeak, tanks::Tanks},
};

const DETECTOR: &str = "water_balance";
const NIGHT_FLOW: &str = "night_flow";

fn at(bin: i64) -> EventTime {
    EventTime::from_micros(bin_start_us(bin))
}

/// The finding, withdrawn.
pub(super) fn over(mut finding: Finding) -> Finding {
    finding.active = false;
    finding
}

/// The make-up meter contradicts the big meters.
pub(super) fn make_up_fault(layout: &Layout, onset_bin: i64, excess_kg_s: f64) -> Finding {
    let onset = at(onset_bin);
    let mut finding = empty(DETECTOR, Class::SensorFault, onset, layout.level());
    finding.kind = Some("bias".to_owned());
    finding.place =
        layout.of_kind(SiteKind::Source).find_map(|(_, source)| match make_up::equipment(source) {
            Metering::Meter => Some(format!("{} make_up_flow", source.id)),
            Metering::Counter => Some(format!("{} make_up_volume", source.id)),
            Metering::RunTime | Metering::TankLevel | Metering::Nothing => None,
        });
    finding.evidence.push(evidence(layout, "make_up_excess", excess_kg_s, "kg/s", onset));
    finding
}

/// It agrees with them again.
pub(super) fn make_up_well(layout: &Layout, bin: i64) -> Finding {
    over(make_up_fault(layout, bin, 0.0))
}

/// Water was drawn for an evening.
pub(super) fn drained(layout: &Layout, onset_bin: i64, loss_kg_s: f64, cold_end: Option<SiteId>) -> Finding {
    let onset = at(onset_bin);
    let mut finding = empty(DETECTOR, Class::Draining, onset, layout.level());
    finding.affected.extend(cold_end);
    finding.loss_kg_s = Some(loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(loss_kg_s, None));
    finding.evidence.push(evidence(layout, "make_up_excess", loss_kg_s, "kg/s", onset));
    finding
}

/// What is lost all the time.
pub(super) fn standing(layout: &Layout, bin: i64, loss_kg_s: f64, circulation: f64) -> Finding {
    let at = at(bin);
    let mut finding = empty(DETECTOR, Class::StandingLoss, at, layout.level());
    finding.loss_kg_s = Some(loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(loss_kg_s, None));
    finding.evidence.push(evidence(layout, SHARE_OF_CIRCULATION, loss_kg_s / circulation.max(1e-9), "1", at));
    finding
}

/// A leak by the night flow; the inflow is its mean, kg/s.
pub(super) fn night(layout: &Layout, leak: &NightLeak, inflow_kg_s: f64, tanks: &Tanks) -> Finding {
    let (since, loss_kg_s) = (at(leak.since), leak.loss_kg_s);
    let mut finding = empty(NIGHT_FLOW, leak_class(leak.abrupt), since, layout.level());
    finding.strength = leak.strength;
    finding.loss_kg_s = Some(loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(loss_kg_s, None));
    let share = loss_kg_s / inflow_kg_s.max(1e-9);
    let further = leak.further.map(|(bin, more)| (FURTHER_LOSS, more, "kg/s", at(bin)));
    let facts = [("night_flow_excess", loss_kg_s, "kg/s", since), ("share_of_inflow", share, "1", since)];
    finding.evidence.extend(facts.into_iter().chain(further).map(|(what, value, unit, at)| Evidence {
        detector: NIGHT_FLOW.to_owned(),
        ..evidence(layout, what, value, unit, at)
    }));
    if let Some(uptake) = tanks.night_uptake() {
        let of_night = |what: &str, value: f64, unit: &str| Evidence {
            detector: NIGHT_FLOW.to_owned(),
            ..evidence(layout, what, value, unit, since)
        };
        finding.evidence.push(of_night("tank_uptake", uptake, "kg/s"));
        finding.evidence.extend(tanks.areas().map(|(signal, area)| {
            let site = &layout.sites[layout.placed[signal as usize].site as usize];
            Evidence { place: site.id.as_str().to_owned(), ..of_night("tank_area", area, "m2") }
        }));
    }
    finding.lacked.push("make_up_flow".to_owned());
    finding.lacked.push("return_flow".to_owned());
    finding
}

/// It is over.
pub(super) fn night_over(bin: i64) -> Finding {
    over(empty(NIGHT_FLOW, Class::LeakIncipient, at(bin), ModelLevel::L0))
}

fn of_station(layout: &Layout, site: u32, class: Class, since: i64, loss_kg_s: f64) -> Finding {
    let id = &layout.sites[site as usize].id;
    let mut finding = empty("secondary_balance", class, at(since), layout.level());
    finding.place = Some(id.as_str().to_owned());
    finding.affected.push(id.clone());
    finding.loss_kg_s = Some(loss_kg_s);
    finding.loss_m3_h = Some(volume_flow_m3_h(loss_kg_s, None));
    let mut shown = evidence(layout, "secondary_make_up_excess", loss_kg_s, "kg/s", at(since));
    id.as_str().clone_into(&mut shown.place);
    finding.evidence.push(shown);
    finding
}

/// A secondary leaks.
pub(super) fn secondary_leak(
    layout: &Layout,
    site: u32,
    since: i64,
    loss_kg_s: f64,
    strength: f64,
) -> Finding {
    let mut finding = of_station(layout, site, Class::LeakIncipient, since, loss_kg_s);
    finding.kind = Some(SECONDARY.to_owned());
    finding.strength = strength;
    finding
}

/// Radiators behind a station are drained.
pub(super) fn draining_station(layout: &Layout, site: u32, since: i64, loss_kg_s: f64) -> Finding {
    of_station(layout, site, Class::Draining, since, loss_kg_s)
}

/// An exchanger leaks: what the primary loses is fed to its secondary.
pub(super) fn exchanger_leak(layout: &Layout, site: u32, leak: &Leak) -> Finding {
    let mut finding = of_station(layout, site, Class::ExchangerLeak, leak.onset_bin, leak.loss_kg_s);
    "make_up_excess".clone_into(&mut finding.evidence[0].what);
    "water_balance".clone_into(&mut finding.detector);
    finding.strength = leak.strength;
    finding
}

/// The exchanger leaks no longer.
pub(super) fn exchanger_over(layout: &Layout, site: u32, bin: i64) -> Finding {
    over(of_station(layout, site, Class::ExchangerLeak, bin, 0.0))
}
