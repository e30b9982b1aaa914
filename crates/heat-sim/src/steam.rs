//! Steam beside the hot water: a boiler house, its main, and the stations that are still on steam.
//!
//! Steam is quasi-steady: what the stations take and the pipes lose is sent at once, condensate comes back at once, and
//! the boiler is fed what does not come back. Its mass balances exactly: `fed = sent + blown down - returned`, and
//! `sent = taken by the stations + lost`.

use crate::arithmetic::{mix, smooth_noise, unit};

/// Heat that a kilogram of steam gives until it leaves as condensate, J: 0.6 MPa and 200 degC down to 80 degC.
pub(crate) const STEAM_HEAT_J_KG: f64 = 2.51e6;
pub(crate) const STEAM_CELSIUS: f64 = 200.0;
pub(crate) const CONDENSATE_CELSIUS: f64 = 80.0;
const SET_PA: f64 = 600e3;
/// Fall of the pressure at the stations at the design flow, Pa.
const DESIGN_FALL_PA: f64 = 60e3;
/// What traps and heat loss take all the time, share of the design flow.
const PIPE_LOSS_SHARE: f64 = 0.025;
/// What is blown down, share of what is sent.
const BLOW_DOWN_SHARE: f64 = 0.02;

/// The boiler house and its main.
#[derive(Debug, Clone)]
pub(crate) struct SteamSide {
    seed: u64,
    design_kg_s: f64,
    /// A hole in the main, set by events.
    pub(crate) leak_kg_s: f64,
    pub(crate) sent_kg_s: f64,
    pub(crate) lost_kg_s: f64,
    pub(crate) returned_kg_s: f64,
    pub(crate) fed_kg_s: f64,
}

impl SteamSide {
    pub(crate) fn new(design_w: f64, seed: u64) -> Self {
        Self {
            seed: mix(seed ^ 0x73_7465_616D),
            design_kg_s: design_w / STEAM_HEAT_J_KG,
            leak_kg_s: 0.0,
            sent_kg_s: 0.0,
            lost_kg_s: 0.0,
            returned_kg_s: 0.0,
            fed_kg_s: 0.0,
        }
    }

    /// Balances a step in which the stations take and give back so much.
    pub(crate) fn balance(&mut self, second: f64, taken_kg_s: f64, returned_kg_s: f64) {
        let wander = 1.0 + 0.1 * smooth_noise(self.seed, second / 14_400.0);
        self.lost_kg_s = PIPE_LOSS_SHARE * self.design_kg_s * wander + self.leak_kg_s;
        self.sent_kg_s = taken_kg_s + self.lost_kg_s;
        self.returned_kg_s = returned_kg_s;
        self.fed_kg_s = self.sent_kg_s * (1.0 + BLOW_DOWN_SHARE) - returned_kg_s;
    }

    /// Pressure at the stations, Pa gauge.
    pub(crate) fn station_pa(&self) -> f64 {
        let share = self.sent_kg_s / self.design_kg_s;
        SET_PA - DESIGN_FALL_PA * share * share
    }

    /// Pressure at the boiler, Pa gauge.
    pub(crate) const fn source_pa() -> f64 {
        SET_PA
    }
}

/// A station's connection to steam.
#[derive(Debug, Clone)]
pub(crate) struct SteamUse {
    /// Still on steam.
    pub(crate) is_on: bool,
    /// Share of its condensate that comes back.
    returned_share: f64,
    /// Condensate let go, share of what would come back; set by events.
    pub(crate) dumped_share: f64,
    pub(crate) taken_kg_s: f64,
    pub(crate) returned_kg_s: f64,
}

impl SteamUse {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            is_on: true,
            returned_share: 0.72 + 0.18 * unit(mix(seed ^ 0x636F_6E64)),
            dumped_share: 0.0,
            taken_kg_s: 0.0,
            returned_kg_s: 0.0,
        }
    }

    /// Takes so much heat from steam.
    pub(crate) fn take(&mut self, heat_w: f64) {
        self.taken_kg_s = if self.is_on { heat_w / STEAM_HEAT_J_KG } else { 0.0 };
        self.returned_kg_s = self.taken_kg_s * self.returned_share * (1.0 - self.dumped_share);
    }
}
