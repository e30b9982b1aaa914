//! Sites that only repeat what they last had.
//!
//! A gateway that has lost its meters often goes on sending their last values, with the time of now. No single signal is
//! at fault then, and none may be judged: the outdoor temperature does not follow the weather, the supply not the source.
//! A site is frozen when none of its signals that move by nature and are known to, three at least, has moved for an hour,
//! and the chance that they all repeat themselves for so long, by the habit of each, is nil. It is told as a silence after
//! [`TOLD_US`], and only where something moves at all times: the four temperatures of a station at rest may stand still
//! for days. Where most of a network repeats itself, the network is told.

use serde::{Deserialize, Serialize};

use super::{
    gate::Gate,
    nature::may_stand_still,
    rhythm::{NETWORK_SHARE, NETWORK_SITES_MIN, told_anew},
};
use crate::{
    layout::{Layout, Role},
    network::statements::{Place, Statement},
};

const SIGNALS_MIN: u32 = 3;
const FROZEN_US: i64 = 3_600_000_000;
const FROZEN_LOG_CHANCE: f64 = -30.0;
const TOLD_US: i64 = 12 * 3_600_000_000;
/// Kind of the silence.
pub(crate) const KIND: &str = "frozen";

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct State {
    is_frozen: bool,
    /// Since when, once that is long enough to be told.
    long_us: Option<i64>,
}

/// By site.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Frozen {
    sites: Vec<State>,
    /// What is told, with its onset, in order.
    said: Vec<(Place, i64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Still {
    moved_us: i64,
    /// Of those that came in the newest quarter hour: who sends nothing at all is silent in the plain sense.
    signals: u32,
    log_chance: f64,
    always_moves: bool,
}

impl Frozen {
    pub(super) fn is(&self, site: u32) -> bool {
        self.sites.get(site as usize).is_some_and(|state| state.is_frozen)
    }

    /// A quarter hour has ended at `at_us`: who is frozen, and who is told anew or no longer.
    pub(super) fn close_bin(
        &mut self,
        layout: &Layout,
        gates: &[Gate],
        at_us: i64,
        said: &mut Vec<Statement>,
    ) {
        let mut sites = vec![Still::default(); layout.sites.len()];
        for (placed, gate) in layout.placed.iter().zip(gates) {
            if let Some(moved_us) =
                gate.moved_us().filter(|_| !may_stand_still(placed.role) && gate.habit.is_known_to_move())
            {
                let site = &mut sites[placed.site as usize];
                site.moved_us = site.moved_us.max(moved_us);
                if gate.is_fresh() {
                    site.signals += 1;
                    site.log_chance += gate.habit.log_chance_of_rest();
                    // A station that is shut off has no flow for months.
                    site.always_moves |= always_moves(placed.role) && gate.last_seen() != 0.0;
                }
            }
        }
        self.sites.resize(sites.len(), State::default());
        for (state, still) in self.sites.iter_mut().zip(&sites) {
            let stands_us = at_us - still.moved_us;
            if stands_us < FROZEN_US {
                *state = State::default();
            } else if still.signals >= SIGNALS_MIN {
                state.is_frozen = still.log_chance < FROZEN_LOG_CHANCE;
                let is_long = still.always_moves && stands_us > TOLD_US;
                state.long_us =
                    state.long_us.or(is_long.then_some(still.moved_us)).filter(|_| state.is_frozen);
            }
        }
        let told = self.told(sites.iter().filter(|still| still.moved_us > 0).count());
        said.extend(told_anew(Some(KIND), &self.said, &told));
        self.said = told;
    }

    /// The largest places that have been frozen for long, in order.
    fn told(&self, known: usize) -> Vec<(Place, i64)> {
        let long = (0_u32..).zip(&self.sites).filter_map(|(site, state)| Some((site, state.long_us?)));
        let sites: Vec<(Place, i64)> = long.map(|(site, since_us)| (Place::Site(site), since_us)).collect();
        let share = sites.len() as f64 / known.max(1) as f64;
        match sites.iter().map(|(_, since_us)| *since_us).max() {
            Some(since_us) if known >= NETWORK_SITES_MIN as usize && share > NETWORK_SHARE => {
                vec![(Place::Network, since_us)]
            }
            _ => sites,
        }
    }
}

/// Whether a quantity moves whatever the plant does.
const fn always_moves(role: Role) -> bool {
    matches!(role, Role::OutdoorTemperature) || role.is_flow() || role.is_pressure()
}
