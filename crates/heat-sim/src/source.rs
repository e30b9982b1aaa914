//! The heat source: weather compensation, circulation pumps at constant differential pressure, pressure holding.
//!
//! The pressure of the return header follows from the water in the system: `pressure = set + excess / stiffness`, less
//! a part of what the pumps' head deviates from its set point (their stop moves water from the supply to the return
//! side). Below the floor pressure the pipes empty: cavities give the system twenty times the stiffness.

use crate::{
    arithmetic::{lag, smooth_noise},
    plan::MakeUpControl,
};

/// Static pressure held at the return header, Pa gauge.
pub(crate) const RETURN_SET_PA: f64 = 300e3;
const FLOOR_PA: f64 = 40e3;
const FULL_MAKE_UP_AT_PA: f64 = 25e3;
const RELIEF_FROM_PA: f64 = 480e3;
const BATCH_FROM_PA: f64 = 285e3;
const BATCH_TO_PA: f64 = 305e3;
const HEAD_SHIFT: f64 = 0.2;
const PUMP_LAG_S: f64 = 6.0;
const COAST_DOWN_S: f64 = 5.0;

#[derive(Debug, Clone)]
pub(crate) struct Source {
    seed: u64,
    control: MakeUpControl,
    pub(crate) head_set_pa: f64,
    /// Head at full speed without flow, Pa.
    head_max_pa: f64,
    /// Fall of the head with the flow at any speed, Pa s2/kg2.
    head_fall_pa_s2_kg2: f64,
    pub(crate) capacity_kg_s: f64,
    stiffness_kg_pa: f64,
    pub(crate) is_tripped: bool,
    pub(crate) has_power: bool,

    pub(crate) speed: f64,
    pub(crate) outdoor_filtered_celsius: f64,
    pub(crate) set_point_celsius: f64,
    pub(crate) supply_celsius: f64,
    pub(crate) return_celsius: f64,
    pub(crate) excess_kg: f64,
    pub(crate) make_up_kg_s: f64,
    pub(crate) relief_kg_s: f64,
    is_filling: bool,
    pub(crate) head_pa: f64,
    pub(crate) make_up_m3: f64,
    pub(crate) heat_w: f64,
    pub(crate) heat_j: f64,
    pub(crate) make_up_celsius: f64,
    pub(crate) tank_level_m: f64,
}

impl Source {
    pub(crate) fn new(
        seed: u64,
        control: MakeUpControl,
        head_set_pa: f64,
        design_kg_s: f64,
        volume_m3: f64,
        outdoor: f64,
    ) -> Self {
        let head_max_pa = 1.25 * head_set_pa;
        Self {
            seed,
            control,
            head_set_pa,
            head_max_pa,
            head_fall_pa_s2_kg2: (head_max_pa - head_set_pa) / (1.15 * design_kg_s * 1.15 * design_kg_s),
            capacity_kg_s: 0.04 * design_kg_s,
            stiffness_kg_pa: volume_m3 * 4e-6,
            is_tripped: false,
            has_power: true,
            speed: 0.9,
            outdoor_filtered_celsius: outdoor,
            set_point_celsius: compensated(outdoor),
            supply_celsius: compensated(outdoor),
            return_celsius: 45.0,
            excess_kg: 0.0,
            make_up_kg_s: 0.0,
            relief_kg_s: 0.0,
            is_filling: false,
            head_pa: head_set_pa,
            make_up_m3: 40_000.0,
            heat_w: 0.0,
            heat_j: 3e15,
            make_up_celsius: 20.0,
            tank_level_m: 3.2,
        }
    }

    pub(crate) fn is_pumping(&self) -> bool {
        self.has_power && !self.is_tripped
    }

    /// Moves set point, supply temperature and pump speed for a step.
    pub(crate) fn control(&mut self, dt_s: f64, second: f64, outdoor_celsius: f64, flow_kg_s: f64) {
        self.outdoor_filtered_celsius +=
            (outdoor_celsius - self.outdoor_filtered_celsius) * lag(dt_s, 3.0 * 3_600.0);
        // The duty desk sets half degrees; boilers follow at 12 K an hour at most.
        self.set_point_celsius = (compensated(self.outdoor_filtered_celsius) * 2.0).round() / 2.0;
        let unrest = 0.35 * smooth_noise(self.seed ^ 21, second / 1_500.0);
        let goal = if self.has_power { self.set_point_celsius + unrest } else { self.supply_celsius };
        let step = (goal - self.supply_celsius) * lag(dt_s, 420.0);
        self.supply_celsius += step.clamp(-12.0 / 3_600.0 * dt_s, 12.0 / 3_600.0 * dt_s);
        self.make_up_celsius = 20.0 + 2.5 * smooth_noise(self.seed ^ 22, second / 30_000.0);
        self.tank_level_m = 3.2 + 0.4 * smooth_noise(self.seed ^ 23, second / 9_000.0);

        if self.is_pumping() {
            let fall = self.head_fall_pa_s2_kg2 * flow_kg_s * flow_kg_s;
            let wanted = ((self.head_set_pa + fall) / self.head_max_pa).sqrt().clamp(0.3, 1.0);
            self.speed += (wanted - self.speed) * lag(dt_s, PUMP_LAG_S);
        } else {
            self.speed *= 1.0 - lag(dt_s, COAST_DOWN_S);
        }
    }

    /// Head of the pumps at a flow, Pa.
    pub(crate) fn head_at(&self, flow_kg_s: f64) -> f64 {
        let head =
            self.speed * self.speed * self.head_max_pa - self.head_fall_pa_s2_kg2 * flow_kg_s * flow_kg_s;
        head.max(0.0)
    }

    /// -d(head)/d(flow), Pa s/kg.
    pub(crate) fn head_slope(&self, flow_kg_s: f64) -> f64 {
        2.0 * self.head_fall_pa_s2_kg2 * flow_kg_s.abs()
    }

    /// Holds the pressure for a step in which the network takes `deficit_kg_s` more than it gives back; returns the
    /// made-up and the relieved mass, kg.
    pub(crate) fn hold(&mut self, dt_s: f64, deficit_kg_s: f64) -> (f64, f64) {
        let (mut left_s, mut made_up_kg, mut relieved_kg) = (dt_s, 0.0, 0.0);
        while left_s > 1e-9 {
            let h = left_s.min(1.0);
            let pressure = self.return_pa();
            self.make_up_kg_s = self.make_up_at(pressure);
            self.relief_kg_s = ((pressure - RELIEF_FROM_PA) / 20e3).clamp(0.0, 1.0) * self.capacity_kg_s;
            self.excess_kg += h * (self.make_up_kg_s - self.relief_kg_s - deficit_kg_s);
            made_up_kg += h * self.make_up_kg_s;
            relieved_kg += h * self.relief_kg_s;
            left_s -= h;
        }
        self.make_up_m3 += made_up_kg / crate::plug::density_kg_m3(self.make_up_celsius);
        (made_up_kg, relieved_kg)
    }

    fn make_up_at(&mut self, pressure_pa: f64) -> f64 {
        if !self.has_power {
            self.is_filling = false;
            return 0.0;
        }
        match self.control {
            MakeUpControl::Continuous => {
                ((RETURN_SET_PA - pressure_pa) / FULL_MAKE_UP_AT_PA).clamp(0.0, 1.0) * self.capacity_kg_s
            }
            MakeUpControl::Batch => {
                if pressure_pa < BATCH_FROM_PA {
                    self.is_filling = true;
                } else if pressure_pa > BATCH_TO_PA {
                    self.is_filling = false;
                }
                if self.is_filling { self.capacity_kg_s } else { 0.0 }
            }
        }
    }

    /// Pressure of the return header, Pa gauge.
    pub(crate) fn return_pa(&self) -> f64 {
        let shift = HEAD_SHIFT * (self.head_pa - self.head_set_pa);
        let pressure = RETURN_SET_PA + self.excess_kg / self.stiffness_kg_pa;
        let pressure = if pressure < FLOOR_PA { FLOOR_PA + (pressure - FLOOR_PA) / 20.0 } else { pressure };
        (pressure - shift).max(-50e3)
    }

    /// Whether the pressure is far from where it is held.
    pub(crate) fn is_disturbed(&self) -> bool {
        (self.return_pa() - RETURN_SET_PA).abs() > FULL_MAKE_UP_AT_PA
            || !self.is_pumping()
            || self.speed < 0.3
    }
}

/// Supply temperature for an outdoor temperature, degC.
fn compensated(outdoor_celsius: f64) -> f64 {
    (110.0 - 1.3 * (outdoor_celsius + 18.0)).clamp(75.0, 112.0)
}
