//! Outdoor temperature as a function of time alone, so that any step sees the same weather.

use crate::{
    arithmetic::{mix, sin_turns, smooth_noise, unit},
    plan::{CityPlan, WeatherPlan},
};

const DAY_S: f64 = 86_400.0;
const COLD_WAVE_EVERY_DAYS: f64 = 12.0;
const COLD_WAVE_DAYS: f64 = 3.0;

#[derive(Debug, Clone)]
pub(crate) struct Weather {
    plan: WeatherPlan,
    offset_s: f64,
    seed: u64,
}

impl Weather {
    pub(crate) fn new(plan: &CityPlan, seed: u64) -> Self {
        Self { plan: plan.weather.clone(), offset_s: plan.utc_offset_hours * 3_600.0, seed: mix(seed ^ 0x77) }
    }

    /// Local hour of the day, 0 to 24.
    pub(crate) fn local_hour(&self, second: f64) -> f64 {
        (second + self.offset_s).rem_euclid(DAY_S) / 3_600.0
    }

    /// Outdoor temperature, degC.
    pub(crate) fn outdoor_celsius(&self, second: f64) -> f64 {
        let days = second / DAY_S;
        let clear_sky = 1.0 + 0.3 * smooth_noise(self.seed ^ 1, days / 1.3);
        let diurnal = self.plan.diurnal_k * clear_sky * sin_turns((self.local_hour(second) - 9.0) / 24.0);
        let synoptic = self.plan.synoptic_k * 1.25 * smooth_noise(self.seed ^ 2, days / 2.5);
        let gusts = 0.4 * smooth_noise(self.seed ^ 3, second / 5_400.0);
        self.plan.mean_celsius + diurnal + synoptic + gusts - self.plan.cold_wave_k * self.cold_wave(days)
    }

    /// 0 to 1: one cold wave in every block of days, with ramps of half a day.
    fn cold_wave(&self, days: f64) -> f64 {
        let block = (days / COLD_WAVE_EVERY_DAYS).floor();
        let begins = unit(mix(self.seed ^ 4 ^ block.to_bits())) * (COLD_WAVE_EVERY_DAYS - COLD_WAVE_DAYS);
        let into = days - block * COLD_WAVE_EVERY_DAYS - begins;
        let ramp = |x: f64| {
            let x = x.clamp(0.0, 1.0);
            x * x * (3.0 - 2.0 * x)
        };
        ramp(into / 0.5) * ramp((COLD_WAVE_DAYS - into) / 0.5)
    }
}
