//! What other signals say of one that is odd: whether the plant did it.

use std::collections::BTreeMap;

use super::{gate::Gate, nature::may_stand_still, peaks::Peak};
use crate::{
    bins::BIN_US,
    layout::{Layout, Role},
    tracker::Tracker,
};

/// So many signals of a kind that spike, or are odd, in one quarter hour show an event of the plant, not of a sensor.
pub(super) const SPIKES_OF_PLANT: usize = 3;
/// A peak is the plant's if another signal of its site has one of so large a share of it, or more than so many of the
/// signals of its kind have one of so large a share, the same way.
const WITNESS_OF_SITE: f64 = 0.12;
const WITNESS_OF_KIND: f64 = 0.4;
const COMMON_OF_KIND: f64 = 0.1;

/// Signals of a site that reported in a quarter hour, and those of them that moved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moving {
    pub(super) all: u32,
    pub(super) moved: u32,
}

impl Moving {
    /// Share of those besides one signal that moved.
    pub(super) fn besides(self, gate: &Gate, role: Role) -> f64 {
        let own = gate.has_moved().filter(|_| !may_stand_still(role));
        let all = self.all - u32::from(own.is_some());
        let moved = self.moved - u32::from(own == Some(true));
        if all == 0 { 0.0 } else { f64::from(moved) / f64::from(all) }
    }
}

/// Signals that spiked alone: not together with others of their site, nor with several of their role.
pub(super) fn isolated(layout: &Layout, spikes: &[(u32, i64)]) -> Vec<u32> {
    let near = |a: i64, b: i64| (a - b).abs() <= BIN_US;
    spikes
        .iter()
        .filter(|(signal, at_us)| {
            let placed = layout.placed[*signal as usize];
            let others = |same: &dyn Fn(u32, Role) -> bool| {
                spikes
                    .iter()
                    .filter(|(other, other_us)| {
                        let other_placed = layout.placed[*other as usize];
                        other != signal
                            && near(*at_us, *other_us)
                            && same(other_placed.site, other_placed.role)
                    })
                    .count()
            };
            others(&|site, _| site == placed.site) == 0
                && others(&|_, role| role == placed.role) < SPIKES_OF_PLANT
        })
        .map(|(signal, _)| *signal)
        .collect()
}

/// Signals with an odd peak that nothing else shows: no other signal of the site moved with it, and hardly a signal of the
/// same kind elsewhere went the same way.
pub(super) fn alone(layout: &Layout, peaks: &[(u32, Peak)]) -> Vec<u32> {
    if !peaks.iter().any(|(_, peak)| peak.is_odd) {
        return Vec::new();
    }
    let mut of_role = BTreeMap::<Role, usize>::new();
    for placed in &layout.placed {
        *of_role.entry(placed.role).or_default() += 1;
    }
    let is_alone = |signal: u32, peak: Peak| {
        let placed = layout.placed[signal as usize];
        let with = || {
            peaks
                .iter()
                .filter(|(other, seen)| *other != signal && (seen.at_us - peak.at_us).abs() <= BIN_US)
                .map(|(other, seen)| (layout.placed[*other as usize], *seen))
        };
        let at_site = with().any(|(other, seen)| {
            other.site == placed.site && seen.height.abs() > WITNESS_OF_SITE * peak.height.abs()
        });
        let of_kind = with()
            .filter(|(other, seen)| {
                other.role == placed.role
                    && seen.height * peak.height.signum() > WITNESS_OF_KIND * peak.height.abs()
            })
            .count();
        !at_site && of_kind as f64 <= COMMON_OF_KIND * of_role[&placed.role] as f64
    };
    peaks
        .iter()
        .filter(|(signal, peak)| peak.is_odd && is_alone(*signal, *peak))
        .map(|(signal, _)| *signal)
        .collect()
}

/// Whether another signal of the site says that the quantity is not what an odd value claims: its counterpart stands
/// where it stood.
pub(super) fn is_contradicted(layout: &Layout, trackers: &[Tracker], signal: usize) -> bool {
    let placed = layout.placed[signal];
    let site = &layout.sites[placed.site as usize];
    let is = |role: Role| placed.role == role;
    let counterparts: &[Role] = if is(Role::SupplyFlow) {
        &[Role::ReturnFlow, Role::ValveOpening, Role::HeatPower]
    } else if is(Role::ReturnFlow) {
        &[Role::SupplyFlow, Role::HeatPower]
    } else if is(Role::SupplyPressure) {
        &[Role::ReturnPressure, Role::DifferentialPressure]
    } else if is(Role::ReturnPressure) {
        &[Role::SupplyPressure, Role::DifferentialPressure]
    } else {
        &[]
    };
    counterparts.iter().filter_map(|role| site.signal(*role)).any(|other| {
        let tracker = &trackers[other as usize];
        tracker.seen && tracker.off_since_us == 0 && tracker.value.abs() > 1e-9
    })
}
