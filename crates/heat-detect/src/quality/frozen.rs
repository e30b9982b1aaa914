//! Sites that only repeat what they last had.
//!
//! A gateway that has lost its meters often goes on sending their last values, with the time of now. No single signal is
//! at fault then, and none may be judged: the outdoor temperature does not follow the weather, the supply not the source.
//! A site is frozen when none of its signals that move by nature and are known to, three at least, has moved for an hour,
//! and the chance that they all repeat themselves for so long, by the habit of each, is nil. It is told as a silence after
//! [`TOLD_US`], and only where something moves at all times: the four temperatures of a station at rest may stand still
//! for days.

use heat_model::incident::Class;
use serde::{Deserialize, Serialize};

use super::gate::{Gate, may_stand_still};
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
    /// Onset, while it is told.
    said_us: Option<i64>,
}

/// By site.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Frozen {
    sites: Vec<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Still {
    signals: u32,
    moved_us: i64,
    log_chance: f64,
    /// Whether anything came in the newest quarter hour.
    came: bool,
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
                gate.moved_us().filter(|_| !may_stand_still(placed.role) && gate.is_known_to_move())
            {
                let site = &mut sites[placed.site as usize];
                site.signals += 1;
                site.moved_us = site.moved_us.max(moved_us);
                site.log_chance += gate.log_chance_of_rest();
                site.came |= gate.is_fresh();
                site.always_moves |= always_moves(placed.role);
            }
        }
        self.sites.resize(sites.len(), State::default());
        for ((index, state), still) in (0_u32..).zip(&mut self.sites).zip(sites) {
            let stands_us = at_us - still.moved_us;
            let is_frozen = still.signals >= SIGNALS_MIN
                && stands_us >= FROZEN_US
                && still.log_chance < FROZEN_LOG_CHANCE;
            state.is_frozen = is_frozen;
            // Who sends nothing at all is silent in the plain sense.
            let begins = is_frozen && still.came && still.always_moves && stands_us > TOLD_US;
            match state.said_us {
                None if begins => {
                    state.said_us = Some(still.moved_us);
                    said.push(statement(index, still.moved_us, true));
                }
                Some(since_us) if !is_frozen => {
                    state.said_us = None;
                    said.push(statement(index, since_us, false));
                }
                None | Some(_) => {}
            }
        }
    }
}

/// Whether a quantity moves whatever the plant does.
const fn always_moves(role: Role) -> bool {
    matches!(role, Role::OutdoorTemperature) || role.is_flow() || role.is_pressure()
}

fn statement(site: u32, since_us: i64, active: bool) -> Statement {
    Statement {
        detector: "silence",
        class: Class::Silence,
        kind: Some(KIND),
        place: Place::Site(site),
        onset_us: since_us,
        active,
        facts: Vec::new(),
        strength: 1.0,
        affected: Vec::new(),
    }
}
