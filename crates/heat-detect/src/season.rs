//! The season's state of a circuit selects what its water account is judged by.
//!
//! By command (`season CIRCUIT STATE`) or by the calendar of the plant tables, whichever said it last; without either a
//! circuit counts as heating. What its data say of another state at once keeps the account from being judged: pumps that
//! stand still, or make-up of a share of circulation that only filling takes. What they say for six hours is suggested
//! to people ([`Watch`]), whatever the state; it changes none by itself.

use heat_model::plant::SeasonState;
use serde::{Deserialize, Serialize};

use crate::{balance::Judging, bins::BINS_PER_DAY};

/// Below this share of the usual circulation the pumps stand still.
const STANDSTILL_SHARE: f64 = 0.05;
/// Make-up beyond this share of the usual circulation, for hours, is filling.
const FILLING_SHARE: f64 = 0.05;
/// Supply below this temperature is not heating, degC.
const COLD_CELSIUS: f64 = 35.0;
/// Supply above this temperature is, degC.
const WARM_CELSIUS: f64 = 45.0;
/// Beyond this share of the usual circulation, or of half the design flow, a circuit is under way.
const UNDER_WAY_SHARE: f64 = 0.3;
/// Quarter hours that the data must show another state before it is suggested: 6 h.
const LONG_BINS: i64 = 24;

/// What is judged in a state.
pub(crate) const fn judging(state: SeasonState) -> Judging {
    match state {
        SeasonState::Heating | SeasonState::ColdCirculation | SeasonState::WetLayup => Judging::All,
        SeasonState::HeatingUp | SeasonState::ShuttingDown => Judging::SuddenOnly,
        SeasonState::Off | SeasonState::Filling | SeasonState::PressureTest | SeasonState::Repair => {
            Judging::Nothing
        }
    }
}

/// Whether a circuit that goes from one state to another keeps its baseline: what is lost at rest is another loss than
/// what is lost hot and under pressure.
pub(crate) const fn keeps_baseline(from: SeasonState, to: SeasonState) -> bool {
    matches!(
        (from, to),
        (SeasonState::Heating | SeasonState::Repair | SeasonState::HeatingUp, SeasonState::Heating)
            | (
                SeasonState::Heating,
                SeasonState::Repair | SeasonState::HeatingUp | SeasonState::ShuttingDown
            )
    ) || from as u8 == to as u8
}

/// State that the data suggest, where they are plain: shares are of the usual circulation.
pub(crate) fn suggested(
    supply_share: Option<f64>,
    make_up_share: Option<f64>,
    supply_celsius: Option<f64>,
) -> Option<SeasonState> {
    let stands_still = supply_share.is_some_and(|share| share < STANDSTILL_SHARE);
    if make_up_share.is_some_and(|share| share > FILLING_SHARE) && (stands_still || supply_share.is_none()) {
        return Some(SeasonState::Filling);
    }
    if stands_still {
        return Some(SeasonState::WetLayup);
    }
    (supply_share.is_some() && supply_celsius.is_some_and(|celsius| celsius < COLD_CELSIUS))
        .then_some(SeasonState::ColdCirculation)
}

/// What a quarter hour shows of how a circuit runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// Supply or steam of all sources, kg/s; `None` where it is not known.
    pub(crate) flow: Option<f64>,
    pub(crate) make_up: Option<f64>,
    pub(crate) celsius: Option<f64>,
}

/// Compares how a circuit runs with the state that it is said to be in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Usual flow while it is under way, kg/s, and quarter hours that it rests on.
    usual: f64,
    bins: u32,
    /// State that the data show instead, and since which quarter hour.
    other: Option<(SeasonState, i64)>,
}

impl Watch {
    /// Learns how much flows when it flows.
    pub(crate) fn learn(&mut self, flow: Option<f64>) {
        let Some(flow) = flow.filter(|flow| *flow > 0.0 && *flow > STANDSTILL_SHARE * self.usual) else {
            return;
        };
        self.bins = self.bins.saturating_add(1);
        self.usual += (flow - self.usual) / f64::from(self.bins).min(7.0 * BINS_PER_DAY as f64);
    }

    /// Takes a live quarter hour; one without a known flow says nothing either way.
    pub(crate) fn observe(&mut self, bin: i64, state: SeasonState, shown: Shown, design_kg_s: Option<f64>) {
        let Some(flow) = shown.flow else { return };
        let usual = if self.usual > 0.0 { Some(self.usual) } else { design_kg_s.map(|design| 0.5 * design) };
        let other = usual.filter(|usual| *usual > 0.0).and_then(|usual| {
            let share = flow / usual;
            other(state, share, shown.make_up.map(|make_up| make_up / usual), shown.celsius)
        });
        self.other = match (other, self.other) {
            (Some(state), Some((before, since))) if before == state => Some((state, since)),
            (other, _) => other.map(|state| (state, bin)),
        };
        self.learn(shown.flow);
    }

    /// The state that the data have shown for long, and since which quarter hour.
    pub(crate) fn suggested(&self, bin: i64) -> Option<(SeasonState, i64)> {
        self.other.filter(|(_, since)| bin - since >= LONG_BINS)
    }
}

/// The state that the data show where it is plainly another than the one said.
fn other(
    state: SeasonState,
    supply_share: f64,
    make_up_share: Option<f64>,
    supply_celsius: Option<f64>,
) -> Option<SeasonState> {
    let is_under_way = supply_share > UNDER_WAY_SHARE;
    match state {
        SeasonState::Heating => suggested(Some(supply_share), make_up_share, supply_celsius),
        SeasonState::ColdCirculation if supply_celsius.is_some_and(|celsius| celsius > WARM_CELSIUS) => {
            is_under_way.then_some(SeasonState::Heating)
        }
        SeasonState::ColdCirculation | SeasonState::HeatingUp => {
            (supply_share < STANDSTILL_SHARE).then_some(SeasonState::WetLayup)
        }
        SeasonState::Off
        | SeasonState::WetLayup
        | SeasonState::Filling
        | SeasonState::PressureTest
        | SeasonState::ShuttingDown
        | SeasonState::Repair => is_under_way.then(|| {
            if supply_celsius.is_some_and(|celsius| celsius < COLD_CELSIUS) {
                SeasonState::ColdCirculation
            } else {
                SeasonState::Heating
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_flow_meter_suggests_nothing() {
        let mut watch = Watch::default();
        watch.learn(Some(100.0));
        for bin in 0..200 {
            watch.observe(bin, SeasonState::Heating, Shown::default(), None);
        }
        assert_eq!(watch.suggested(200), None);
    }

    #[test]
    fn a_circuit_that_never_ran_is_told_by_its_design_flow() {
        let mut watch = Watch::default();
        let shown = Shown { flow: Some(60.0), make_up: None, celsius: Some(28.0) };
        for bin in 0..25 {
            watch.observe(bin, SeasonState::Off, shown, Some(100.0));
        }
        assert_eq!(watch.suggested(24), Some((SeasonState::ColdCirculation, 0)));
    }
}
