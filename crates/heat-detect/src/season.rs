//! The season's state of a circuit selects what its water account is judged by.
//!
//! By command (`season CIRCUIT STATE`); without one a circuit counts as heating, and what its data say of another state
//! is suggested in the detectors' status: pumps that stand still, or make-up of a share of circulation that only
//! filling takes.

use heat_model::plant::SeasonState;

use crate::balance::Judging;

/// Below this share of the usual circulation the pumps stand still.
const STANDSTILL_SHARE: f64 = 0.05;
/// Make-up beyond this share of the usual circulation, for hours, is filling.
const FILLING_SHARE: f64 = 0.05;
/// Supply below this temperature is not heating, degC.
const COLD_CELSIUS: f64 = 35.0;

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
