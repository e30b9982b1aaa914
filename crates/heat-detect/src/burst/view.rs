//! What detectors of the moment see of a network: every signal against its own last minute, in kg/s and Pa.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::{Side, SiteKind};

use crate::{
    layout::{Layout, Placed, Role, Site},
    tracker::Tracker,
};

/// Assumed noise of a pressure until it is learned, Pa.
const PRESSURE_PRIOR_PA: f64 = 2_500.0;
/// Assumed noise of a flow until it is learned, share of the flow.
const FLOW_PRIOR_SHARE: f64 = 0.01;
/// Assumed noise of a make-up flow until it is learned, share of circulation.
const MAKE_UP_PRIOR_SHARE: f64 = 0.003;

/// What the rule needs to see of its network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) trackers: &'a [Tracker],
    /// kg/s.
    pub(crate) circulation: f64,
}

impl View<'_> {
    pub(crate) fn tracker(&self, site: &Site, role: Role) -> Option<(u32, &Tracker)> {
        let signal = site.signal(role)?;
        let tracker = &self.trackers[signal as usize];
        tracker.seen.then_some((signal, tracker))
    }

    /// Whether two signals of a site speak of the same moment.
    pub(crate) fn together(a: &Tracker, b: &Tracker) -> bool {
        let apart = (a.at_us - b.at_us).abs() as f64 / 1e6;
        apart <= 0.5 * f64::from(a.interval_s.max(b.interval_s)).max(1.0)
    }

    pub(crate) fn sigma(&self, signal: u32) -> f64 {
        let tracker = &self.trackers[signal as usize];
        tracker.sigma(prior(self.layout.placed[signal as usize], tracker.reference, self.circulation))
    }

    /// A source's supply less return now, kg/s, with the noise assumed of it and the time of the newer of the two.
    pub(crate) fn imbalance(&self, source: &Site) -> Option<(f64, f64, i64)> {
        let (supply_signal, supply) = self.tracker(source, Role::SupplyFlow)?;
        let (return_signal, back) = self.tracker(source, Role::ReturnFlow)?;
        if !Self::together(supply, back) || supply.interval_s <= 0.0 || back.interval_s <= 0.0 {
            return None;
        }
        let to_supply = to_mass(self.layout, self.trackers, supply_signal);
        let to_back = to_mass(self.layout, self.trackers, return_signal);
        let assumed = FLOW_PRIOR_SHARE * (supply.reference * to_supply).hypot(back.reference * to_back);
        let value = supply.value * to_supply - back.value * to_back;
        Some((value, assumed.abs() + 1e-9, supply.at_us.max(back.at_us)))
    }

    /// Whether the flows themselves contradict a loss of this size: a trip takes both down; a loss does not take the
    /// supply down, nor the return up by much.
    pub(crate) fn flows_contradict(&self, source: &Site, rise: f64) -> bool {
        let change = |role: Role| {
            self.tracker(source, role).map_or(0.0, |(signal, tracker)| {
                (tracker.value - tracker.reference) * to_mass(self.layout, self.trackers, signal)
            })
        };
        change(Role::SupplyFlow) < -0.5 * rise || change(Role::ReturnFlow) > 0.5 * rise
    }
}

/// Temperature that turns a site's volume flows into mass flows.
fn density_at(site: &Site, trackers: &[Tracker], role: Role, side: Option<Side>) -> f64 {
    let default_side = if role == Role::ReturnFlow { Side::Return } else { Side::Supply };
    let (role, assumed) = if role == Role::MakeUpFlow {
        (Role::MakeUpTemperature, 15.0)
    } else {
        match side.unwrap_or(default_side) {
            Side::Return => (Role::ReturnTemperature, 45.0),
            Side::Supply => (Role::SupplyTemperature, 85.0),
        }
    };
    let celsius = site
        .signal(role)
        .map(|signal| &trackers[signal as usize])
        .filter(|tracker| tracker.seen && (0.0..=180.0).contains(&tracker.value))
        .map_or(assumed, |tracker| tracker.value);
    density_kg_m3(celsius)
}

/// Factor from a flow signal's value to kg/s.
pub(crate) fn to_mass(layout: &Layout, trackers: &[Tracker], signal: u32) -> f64 {
    let placed = layout.placed[signal as usize];
    if placed.is_mass {
        1.0
    } else {
        density_at(&layout.sites[placed.site as usize], trackers, placed.role, placed.side)
    }
}

/// Circulation as the sources' references say, kg/s.
pub(crate) fn circulation(layout: &Layout, trackers: &[Tracker]) -> f64 {
    layout
        .of_kind(SiteKind::Source)
        .filter_map(|(_, source)| source.signal(Role::SupplyFlow).or(source.signal(Role::ReturnFlow)))
        .filter(|signal| trackers[*signal as usize].seen)
        .map(|signal| trackers[signal as usize].reference * to_mass(layout, trackers, signal))
        .sum()
}

/// Noise assumed for a signal until its own is learned, in its unit.
pub(crate) fn prior(placed: Placed, value: f64, circulation: f64) -> f64 {
    if placed.role.is_pressure() {
        PRESSURE_PRIOR_PA
    } else if placed.role == Role::MakeUpFlow && !placed.is_feed {
        MAKE_UP_PRIOR_SHARE * circulation * if placed.is_mass { 1.0 } else { 1e-3 } + 1e-9
    } else {
        FLOW_PRIOR_SHARE * value.abs() + 1e-9
    }
}

pub(super) fn total(view: View<'_>, of: impl Fn(View<'_>, &Site) -> Option<f64>) -> Option<f64> {
    view.layout.of_kind(SiteKind::Source).filter_map(|(_, source)| of(view, source)).reduce(|a, b| a + b)
}

pub(super) fn flow(view: View<'_>, site: &Site, role: Role, value: impl Fn(&Tracker) -> f64) -> Option<f64> {
    let (signal, tracker) = view.tracker(site, role)?;
    Some(value(tracker) * to_mass(view.layout, view.trackers, signal))
}

pub(super) fn make_up_reference(view: View<'_>, source: &Site) -> Option<f64> {
    flow(view, source, Role::MakeUpFlow, |t| t.reference)
}

pub(super) fn imbalance_value(view: View<'_>, source: &Site) -> Option<f64> {
    Some(
        flow(view, source, Role::SupplyFlow, |t| t.value)?
            - flow(view, source, Role::ReturnFlow, |t| t.value)?,
    )
}

pub(super) fn make_up_value(view: View<'_>, source: &Site) -> Option<f64> {
    flow(view, source, Role::MakeUpFlow, |t| t.value)
}
