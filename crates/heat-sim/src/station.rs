//! A heat-exchange station: exchanger, primary valve and its controller, secondary loop, homes, secondary make-up.
//!
//! Homes are one thermal mass; the secondary loop is one lag. The secondary's pressure holds its water account: a
//! make-up pump fills in batches between two pressures.

use crate::{
    arithmetic::{Lag, Random, exp, smooth_noise},
    layout::{
        By, DESIGN_INDOOR_CELSIUS, DESIGN_OUTDOOR_CELSIUS, DESIGN_PRIMARY_CELSIUS, DESIGN_SECONDARY_CELSIUS,
        StationLayout,
    },
    plug::HEAT_CAPACITY_J_KG_K as CP,
    steam::SteamUse,
};

/// Pressure across the station at 130 % of its design flow with the valve open, Pa.
pub(crate) const OPEN_LOSS_PA: f64 = 60e3;
const CONTROLLER_LAG_S: f64 = 90.0;
/// An actuator needs about a minute for its way, so a sudden loss of pressure shows in the flow first.
const ACTUATOR_LAG_S: f64 = 25.0;
const HOMES_TIME_CONSTANT_S: f64 = 75.0 * 3_600.0;
const SECONDARY_SET_PA: f64 = 350e3;
const SECONDARY_FILL_FROM_PA: f64 = 335e3;
const SECONDARY_FILL_TO_PA: f64 = 365e3;
const SECONDARY_RELIEF_PA: f64 = 500e3;
/// The secondary's expansion vessel, kg/Pa for each m2 of heated area.
const SECONDARY_STIFFNESS_KG_PA_M2: f64 = 4e-8;
const SECONDARY_FILL_KG_S: f64 = 0.8;

/// What happens to a station from outside, set by events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StationFaults {
    pub(crate) stuck_opening: Option<f64>,
    pub(crate) exchanger_leak_kg_s: f64,
    pub(crate) draining_kg_s: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Station {
    seed: u64,
    design_w: f64,
    design_flow_kg_s: f64,
    open_kg_s_sqrt_pa: f64,
    secondary_kg_s: f64,
    controller_lag: Lag,
    actuator_lag: Lag,
    loop_lag: Lag,
    homes_lag: Lag,
    exchange_w_k: f64,
    radiators_w_k: f64,
    losses_w_k: f64,
    setback_k: f64,
    setback_shift_h: f64,
    stiffness_kg_pa: f64,
    base_loss_kg_s: f64,
    pub(crate) topped_up_from_primary: bool,
    pub(crate) faults: StationFaults,
    /// Its connection to steam, if it has or had one.
    pub(crate) steam: Option<SteamUse>,

    pub(crate) opening: f64,
    /// Flow that the controller wants.
    wanted_kg_s: f64,
    pub(crate) flow_kg_s: f64,
    pub(crate) heat_w: f64,
    pub(crate) primary_supply_celsius: f64,
    pub(crate) primary_return_celsius: f64,
    pub(crate) set_point_celsius: f64,
    pub(crate) secondary_supply_celsius: f64,
    pub(crate) secondary_return_celsius: f64,
    pub(crate) indoor_celsius: f64,
    /// Water in the secondary beyond that at its set pressure, kg.
    pub(crate) secondary_excess_kg: f64,
    pub(crate) is_filling: bool,
    pub(crate) make_up_kg_s: f64,
    pub(crate) secondary_make_up_kg: f64,
    pub(crate) heat_j: f64,
    pub(crate) volume_m3: f64,
    /// Mean flow drawn from the primary in the last step for the secondary, and through the exchanger.
    pub(crate) top_up_kg_s: f64,
    pub(crate) exchanger_kg_s: f64,
}

/// What a station needs to know of its surroundings in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    pub(crate) second: f64,
    pub(crate) local_hour: f64,
    pub(crate) outdoor_celsius: f64,
    /// Outdoor temperature as controllers average it.
    pub(crate) outdoor_filtered_celsius: f64,
}

impl Station {
    pub(crate) fn new(layout: &StationLayout, seed: u64, outdoor_celsius: f64) -> Self {
        let mut random = Random::new(seed);
        let (hot, cold) = DESIGN_SECONDARY_CELSIUS;
        let secondary_kg_s = layout.design_w / (CP * (hot - cold));
        let upper = DESIGN_PRIMARY_CELSIUS.0 - hot;
        let lower = DESIGN_PRIMARY_CELSIUS.1 - cold;
        // Logarithmic mean of 50 and 5 K.
        let mean_difference_k = (upper - lower) / std::f64::consts::LN_10;
        let design_flow = layout.design_flow_kg_s();
        let span = DESIGN_INDOOR_CELSIUS - DESIGN_OUTDOOR_CELSIUS;
        let mut station = Self {
            seed,
            design_w: layout.design_w,
            design_flow_kg_s: design_flow,
            open_kg_s_sqrt_pa: 1.3 * design_flow / OPEN_LOSS_PA.sqrt(),
            secondary_kg_s,
            controller_lag: Lag::new(CONTROLLER_LAG_S),
            actuator_lag: Lag::new(ACTUATOR_LAG_S),
            loop_lag: Lag::new(layout.heated_area_m2 * 1.1 / secondary_kg_s),
            homes_lag: Lag::new(HOMES_TIME_CONSTANT_S),
            exchange_w_k: layout.design_w / mean_difference_k * random.between(0.95, 1.25),
            radiators_w_k: layout.design_w / (0.5 * (hot + cold) - DESIGN_INDOOR_CELSIUS)
                * random.between(0.94, 1.06),
            losses_w_k: layout.design_w / span,
            setback_k: if random.chance(0.7) { random.between(1.0, 3.0) } else { 0.0 },
            setback_shift_h: random.between(-0.7, 0.7),
            stiffness_kg_pa: layout.heated_area_m2 * SECONDARY_STIFFNESS_KG_PA_M2,
            base_loss_kg_s: layout.heated_area_m2 / 1e6 * random.between(0.3, 1.0),
            topped_up_from_primary: layout.topped_up_from_primary && layout.by == By::Water,
            faults: StationFaults::default(),
            steam: (layout.by != By::Water).then(|| SteamUse::new(seed)),
            opening: 0.5,
            wanted_kg_s: 0.0,
            flow_kg_s: 0.0,
            heat_w: 0.0,
            primary_supply_celsius: 85.0,
            primary_return_celsius: 45.0,
            set_point_celsius: 45.0,
            secondary_supply_celsius: 45.0,
            secondary_return_celsius: 37.0,
            indoor_celsius: DESIGN_INDOOR_CELSIUS + random.between(0.3, 1.2),
            secondary_excess_kg: 0.0,
            is_filling: false,
            make_up_kg_s: 0.0,
            secondary_make_up_kg: random.between(2e5, 2e6),
            heat_j: random.between(2e13, 2e14),
            volume_m3: random.between(1e5, 2e6),
            top_up_kg_s: 0.0,
            exchanger_kg_s: 0.0,
        };
        let share = (DESIGN_INDOOR_CELSIUS - outdoor_celsius) / span;
        if !station.is_on_steam() {
            station.wanted_kg_s = design_flow * share;
            station.flow_kg_s = station.wanted_kg_s;
        }
        station.secondary_excess_kg = station.stiffness_kg_pa
            * random.between(SECONDARY_FILL_FROM_PA, SECONDARY_FILL_TO_PA)
            - station.stiffness_kg_pa * SECONDARY_SET_PA;
        station
    }

    /// Whether steam heats it now.
    pub(crate) fn is_on_steam(&self) -> bool {
        self.steam.as_ref().is_some_and(|steam| steam.is_on)
    }

    /// Moves the valve towards the wanted flow, for the pressure across the station.
    pub(crate) fn control(&mut self, dt_s: f64, around: &Surroundings, across_pa: f64) {
        let cooling = (self.primary_supply_celsius - self.primary_return_celsius).max(4.0);
        self.set_point_celsius = self.set_point(around);
        let needed_w = self.needed_w();
        if self.is_on_steam() {
            // The pipe ends blind.
            (self.wanted_kg_s, self.opening) = (0.0, 0.0);
            let wanted_w = needed_w.clamp(0.03 * self.design_w, 1.35 * self.design_w);
            self.heat_w += (wanted_w - self.heat_w) * self.controller_lag.share(dt_s);
            return;
        }
        let target =
            (needed_w / (CP * cooling)).clamp(0.06 * self.design_flow_kg_s, 1.35 * self.design_flow_kg_s);
        self.wanted_kg_s += (target - self.wanted_kg_s) * self.controller_lag.share(dt_s);
        let open = self.open_kg_s_sqrt_pa * across_pa.max(1.0).sqrt();
        let wanted = (self.wanted_kg_s / open).clamp(0.02, 1.0);
        self.opening += (wanted - self.opening) * self.actuator_lag.share(dt_s);
        if let Some(stuck) = self.faults.stuck_opening {
            self.opening = stuck;
        }
    }

    fn needed_w(&self) -> f64 {
        self.secondary_kg_s * CP * (self.set_point_celsius - self.secondary_return_celsius)
    }

    fn set_point(&self, around: &Surroundings) -> f64 {
        let share = (DESIGN_INDOOR_CELSIUS - around.outdoor_filtered_celsius)
            / (DESIGN_INDOOR_CELSIUS - DESIGN_OUTDOOR_CELSIUS);
        let design_rise = DESIGN_SECONDARY_CELSIUS.0 - DESIGN_INDOOR_CELSIUS;
        // Night runs from 22 to 5, with ramps of half an hour.
        let since = (around.local_hour + self.setback_shift_h - 22.0).rem_euclid(24.0);
        let night = (since / 0.5).min((7.0 - since) / 0.5).clamp(0.0, 1.0);
        DESIGN_INDOOR_CELSIUS + design_rise * share.clamp(0.0, 1.2) - self.setback_k * night
    }

    /// Flow through the station at this pressure across it, kg/s.
    pub(crate) fn flow_at(&self, across_pa: f64) -> f64 {
        self.opening * self.open_kg_s_sqrt_pa * across_pa.max(0.0).sqrt()
    }

    /// Exchanges heat for a step with the flow that stands.
    pub(crate) fn exchange(&mut self, dt_s: f64, around: &Surroundings, primary_supply_celsius: f64) {
        self.primary_supply_celsius = primary_supply_celsius;
        let primary_w_k = self.flow_kg_s * CP;
        let secondary_w_k = self.secondary_kg_s * CP;
        let (small, large) = (primary_w_k.min(secondary_w_k), primary_w_k.max(secondary_w_k));
        if self.is_on_steam() {
            // The controller has set the heat.
        } else if self.flow_kg_s > 1e-3 * self.design_flow_kg_s {
            let ratio = small / large;
            let transfer = self.exchange_w_k * (self.flow_kg_s / self.design_flow_kg_s).sqrt() / small;
            let e = exp(-transfer * (1.0 - ratio));
            let effectiveness =
                if ratio > 0.999 { transfer / (1.0 + transfer) } else { (1.0 - e) / (1.0 - ratio * e) };
            self.heat_w = effectiveness * small * (primary_supply_celsius - self.secondary_return_celsius);
            self.primary_return_celsius = primary_supply_celsius - self.heat_w / primary_w_k;
        } else {
            self.heat_w = 0.0;
        }
        if let Some(steam) = &mut self.steam {
            steam.take(self.heat_w);
        }
        self.secondary_supply_celsius = self.secondary_return_celsius + self.heat_w / secondary_w_k;

        let mean = 0.5 * (self.secondary_supply_celsius + self.secondary_return_celsius);
        let to_homes_w = self.radiators_w_k * (mean - self.indoor_celsius);
        let back = self.secondary_supply_celsius - to_homes_w / secondary_w_k;
        self.secondary_return_celsius += (back - self.secondary_return_celsius) * self.loop_lag.share(dt_s);
        let people =
            0.03 * self.design_w * (1.0 + 0.5 * smooth_noise(self.seed ^ 5, around.second / 7_200.0));
        let balance = around.outdoor_celsius + (to_homes_w + people) / self.losses_w_k;
        self.indoor_celsius += (balance - self.indoor_celsius) * self.homes_lag.share(dt_s);
    }

    /// Keeps the water of the secondary for a step; sets what it takes from the primary.
    pub(crate) fn keep_water(&mut self, dt_s: f64, primary_return_pa: f64) {
        let pressure_difference = (primary_return_pa - self.secondary_pa()).max(0.0);
        // An exchanger leak is an orifice between the primary and the secondary; its size is stated for 50 kPa.
        self.exchanger_kg_s =
            self.faults.exchanger_leak_kg_s * (pressure_difference.max(0.0) / 50e3).sqrt().min(3.0);
        let lost = self.base_loss_kg_s + self.faults.draining_kg_s;
        let (mut left_s, mut made_up_kg) = (dt_s, 0.0);
        for _ in 0..16 {
            let fill = if self.is_filling { SECONDARY_FILL_KG_S } else { 0.0 };
            let rate = fill + self.exchanger_kg_s - lost;
            let goal_pa = if self.is_filling { SECONDARY_FILL_TO_PA } else { SECONDARY_FILL_FROM_PA };
            let goal_kg = (goal_pa - SECONDARY_SET_PA) * self.stiffness_kg_pa;
            let reached_s = (goal_kg - self.secondary_excess_kg) / rate;
            let turns = (rate > 0.0) == self.is_filling && (0.0..left_s).contains(&reached_s);
            let run_s = if turns { reached_s } else { left_s };
            self.secondary_excess_kg += rate * run_s;
            made_up_kg += fill * run_s;
            left_s -= run_s;
            if turns {
                self.is_filling = !self.is_filling;
            } else {
                break;
            }
        }
        let relief_kg = (SECONDARY_RELIEF_PA - SECONDARY_SET_PA) * self.stiffness_kg_pa;
        self.secondary_excess_kg = self.secondary_excess_kg.min(relief_kg);
        self.make_up_kg_s = if self.is_filling { SECONDARY_FILL_KG_S } else { 0.0 };
        self.secondary_make_up_kg += made_up_kg;
        self.top_up_kg_s = if self.topped_up_from_primary { made_up_kg / dt_s } else { 0.0 };
    }

    /// Pressure of the secondary return, Pa gauge.
    pub(crate) fn secondary_pa(&self) -> f64 {
        (SECONDARY_SET_PA + self.secondary_excess_kg / self.stiffness_kg_pa).max(0.0)
    }

    /// Flow of the secondary, kg/s.
    pub(crate) fn secondary_flow_kg_s(&self) -> f64 {
        self.secondary_kg_s
    }
}
