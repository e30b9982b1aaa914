//! What a value that stands still should have followed.
//!
//! At the end of a season, or under an even sky, a temperature may rightly stand still while the rest of its station moves:
//! a return cools to the room that its pipe is in while the supply still falls, and the outdoor temperature of a cloudy
//! evening keeps its tenth of a kelvin. So an outdoor sensor is stuck when the other outdoor sensors of its network have
//! moved since it last did, and a return when its supply has risen since, which would have warmed it.

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::layout::{Layout, Role};

/// So far the company must have gone, K.
const GONE_KELVIN: f32 = 1.0;

/// The course of a signal's company since it last moved itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Company {
    low: f32,
    high: f32,
    /// Farthest above an earlier low.
    rise: f32,
}

impl Default for Company {
    fn default() -> Self {
        Self { low: f32::INFINITY, high: f32::NEG_INFINITY, rise: 0.0 }
    }
}

impl Company {
    pub(super) fn note(&mut self, value: f64) {
        let value = value as f32;
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        self.rise = self.rise.max(value - self.low);
    }

    /// Whether a signal of this role should have followed it. Without company nothing speaks for the signal.
    pub(super) fn has_gone(&self, role: Role) -> bool {
        if self.low > self.high {
            return true;
        }
        let gone = if matches!(role, Role::OutdoorTemperature) { self.high - self.low } else { self.rise };
        gone >= GONE_KELVIN
    }
}

/// The signals whose company is known in one quarter hour.
#[derive(Debug, Default)]
pub(super) struct Companies {
    /// Outdoor temperatures that can be trusted, in order.
    outdoors: Vec<f64>,
}

impl Companies {
    pub(super) fn new(layout: &Layout, gates: &[Gate]) -> Self {
        let mut outdoors: Vec<f64> = layout
            .placed
            .iter()
            .zip(gates)
            .filter(|(placed, gate)| placed.role == Role::OutdoorTemperature && is_sound(gate))
            .map(|(_, gate)| gate.last_seen())
            .collect();
        outdoors.sort_unstable_by(f64::total_cmp);
        Self { outdoors }
    }

    /// Where the company of a signal stands; `None` if it has none.
    pub(super) fn of(&self, layout: &Layout, gates: &[Gate], signal: usize) -> Option<f64> {
        let placed = layout.placed[signal];
        if placed.role == Role::OutdoorTemperature {
            return self.middle_besides(&gates[signal]);
        }
        let (supply, flow) = if placed.role == Role::ReturnTemperature {
            (Role::SupplyTemperature, Role::SupplyFlow)
        } else if placed.role == Role::SecondaryReturnTemperature {
            (Role::SecondarySupplyTemperature, Role::SecondarySupplyFlow)
        } else {
            return None;
        };
        let site = &layout.sites[placed.site as usize];
        let sound = |role: Role| {
            site.signal(role).map(|signal| &gates[signal as usize]).filter(|gate| is_sound(gate))
        };
        // While water is known to flow, a supply that falls is felt, too.
        if sound(flow).is_some_and(Gate::flows) {
            return None;
        }
        sound(supply).map(Gate::last_seen)
    }

    /// The median of the other outdoor temperatures.
    fn middle_besides(&self, own: &Gate) -> Option<f64> {
        let last = own.last_seen();
        let place = self.outdoors.partition_point(|value| *value < last);
        let is_in = is_sound(own) && self.outdoors.get(place) == Some(&last);
        let others = self.outdoors.len() - usize::from(is_in);
        let middle = others / 2;
        let index = if is_in && middle >= place { middle + 1 } else { middle };
        self.outdoors.get(index).copied().filter(|_| others > 0)
    }
}

fn is_sound(gate: &Gate) -> bool {
    gate.fault.is_none() && gate.is_fresh()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(course: &[f64]) -> Company {
        let mut company = Company::default();
        course.iter().for_each(|value| company.note(*value));
        company
    }

    #[test]
    fn a_return_need_not_follow_a_supply_that_only_falls() {
        let falling = after(&[60.0, 50.0, 40.5, 40.9, 30.0]);
        assert!(!falling.has_gone(Role::ReturnTemperature), "the rise of 0.4 K is the sensor's");
        assert!(after(&[60.0, 40.0, 41.5, 30.0]).has_gone(Role::ReturnTemperature));
    }

    #[test]
    fn an_outdoor_sensor_follows_the_others_up_and_down() {
        assert!(after(&[8.0, 7.4, 6.9]).has_gone(Role::OutdoorTemperature));
        assert!(!after(&[8.0, 8.3, 7.9, 8.2]).has_gone(Role::OutdoorTemperature));
    }

    #[test]
    fn a_signal_without_company_answers_for_itself() {
        assert!(Company::default().has_gone(Role::OutdoorTemperature));
        assert!(Company::default().has_gone(Role::ReturnTemperature));
    }
}
