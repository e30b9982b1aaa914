//! How many tickets are usual, and how improbable more are.
//!
//! A network's tickets of one kind come at the rate of their places times three factors that all places share: hour of
//! the day, day of the week, and outdoor temperature in steps of 5 K. Each factor is what was observed over what the other
//! two let expect, shrunk towards one, with a memory of 60 days. The sum of the three factors' product over time is the
//! network's operational clock; a place's rate is its tickets over that clock, shrunk towards the mean of all places.
//! Counts are negative binomial: the shape is what the place's history is worth, at most [`SHAPE_MAX`], because days
//! differ by more than chance. Hours and weekdays are UTC's: a city lives by one offset, and its shape is learned.

use serde::{Deserialize, Serialize};

/// Memory, hours: 60 days.
const MEMORY_HOURS: f64 = 1_440.0;
/// Tickets of all places by hour that are assumed before any came: one from a hundred places in four days.
const PRIOR_TICKETS: f64 = 1.0;
/// Tickets that a factor of one is worth.
const FACTOR_PRIOR: f64 = 8.0;
/// Tickets that the mean of all places is worth at one place.
const PLACE_PRIOR: f64 = 1.0;
/// Largest shape of the negative binomial: day to day the rate varies by half.
const SHAPE_MAX: f64 = 4.0;
/// Hours of which the operational clock is kept.
pub(super) const HOURS_KEPT: usize = 26;
const TEMPERATURE_STEPS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Factor {
    observed: f64,
    expected: f64,
}

impl Factor {
    fn value(self) -> f64 {
        (self.observed + FACTOR_PRIOR) / (self.expected + FACTOR_PRIOR)
    }
}

/// Where an hour stands in the three factors.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    hour: usize,
    day: usize,
    temperature: Option<usize>,
}

impl Cell {
    fn of(hour: i64, outdoor: Option<f64>) -> Self {
        // 1970-01-01 was a Thursday; which day is first does not matter.
        Self {
            hour: hour.rem_euclid(24) as usize,
            day: hour.div_euclid(24).rem_euclid(7) as usize,
            temperature: outdoor
                .map(|celsius| ((celsius + 35.0) / 5.0).clamp(0.0, (TEMPERATURE_STEPS - 1) as f64) as usize),
        }
    }
}

/// Rate of one kind of tickets in a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    hours: [Factor; 24],
    days: [Factor; 7],
    temperatures: [Factor; TEMPERATURE_STEPS],
    /// Tickets and operational hours, both with memory.
    tickets: f64,
    clock: f64,
    /// Operational length of the last hours, newest last.
    recent: [f32; HOURS_KEPT],
    /// Hours that were counted.
    pub(super) age_hours: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            hours: [Factor::default(); 24],
            days: [Factor::default(); 7],
            temperatures: [Factor::default(); TEMPERATURE_STEPS],
            tickets: 0.0,
            clock: 0.0,
            recent: [1.0; HOURS_KEPT],
            age_hours: 0,
        }
    }
}

impl Rate {
    /// An hour (counted from the epoch) is over in which `tickets` came, clusters left out.
    pub(super) fn end_hour(&mut self, hour: i64, outdoor: Option<f64>, tickets: f64) {
        let cell = Cell::of(hour, outdoor);
        let keep = 1.0 - 1.0 / MEMORY_HOURS;
        for factor in self.hours.iter_mut().chain(&mut self.days).chain(&mut self.temperatures) {
            factor.observed *= keep;
            factor.expected *= keep;
        }
        let mean = self.by_hour();
        let (by_hour, by_day) = (self.hours[cell.hour].value(), self.days[cell.day].value());
        let by_temperature = cell.temperature.map_or(1.0, |step| self.temperatures[step].value());
        let add = |factor: &mut Factor, others: f64| {
            factor.observed += tickets;
            factor.expected += mean * others;
        };
        add(&mut self.hours[cell.hour], by_day * by_temperature);
        add(&mut self.days[cell.day], by_hour * by_temperature);
        if let Some(step) = cell.temperature {
            add(&mut self.temperatures[step], by_hour * by_day);
        }
        let length = by_hour * by_day * by_temperature;
        self.tickets = self.tickets * keep + tickets;
        self.clock = self.clock * keep + length;
        self.recent.rotate_left(1);
        self.recent[HOURS_KEPT - 1] = length as f32;
        self.age_hours = self.age_hours.saturating_add(1);
    }

    /// How much of a place's count is left after an hour.
    pub(super) const fn keep() -> f64 {
        1.0 - 1.0 / MEMORY_HOURS
    }

    /// Tickets of all places, with memory.
    pub(super) const fn tickets(&self) -> f64 {
        self.tickets
    }

    /// Tickets of all places by operational hour.
    pub(super) fn by_hour(&self) -> f64 {
        (self.tickets + PRIOR_TICKETS) / (self.clock + 96.0 * PRIOR_TICKETS)
    }

    /// Operational hours in the `hours` before `now_s` seconds of the present hour.
    pub(super) fn span(&self, hour: i64, second: i64, hours: usize, outdoor: Option<f64>) -> f64 {
        let cell = Cell::of(hour, outdoor);
        let length = self.hours[cell.hour].value()
            * self.days[cell.day].value()
            * cell.temperature.map_or(1.0, |step| self.temperatures[step].value());
        let part = second as f64 / 3_600.0;
        let whole: f64 = self.recent.iter().rev().take(hours.min(HOURS_KEPT)).map(|l| f64::from(*l)).sum();
        let oldest = f64::from(self.recent[HOURS_KEPT - hours.clamp(1, HOURS_KEPT)]);
        (whole + part * length - part * oldest).max(0.05)
    }

    /// Rate of a set of places by operational hour, and the shape that its history is worth. `tickets` are theirs, with
    /// memory; they are `share` of all places.
    pub(super) fn of(&self, tickets: f64, share: f64) -> (f64, f64) {
        let mean = self.by_hour() * share;
        let rate = (tickets + PLACE_PRIOR) / (self.clock + PLACE_PRIOR / mean);
        (rate, (tickets + PLACE_PRIOR).min(SHAPE_MAX))
    }
}

/// Natural logarithm of the probability that a negative binomial count of this mean and shape is `count` or more.
pub(super) fn ln_tail(count: u32, mean: f64, shape: f64) -> f64 {
    let odds = mean / (shape + mean);
    let mut ln_mass = shape * (shape / (shape + mean)).ln() + f64::from(count) * odds.ln();
    for below in 0..count {
        ln_mass += ((f64::from(below) + shape) / (f64::from(below) + 1.0)).ln();
    }
    let (mut sum, mut term) = (0.0, 1.0);
    for above in count..count + 400 {
        sum += term;
        term *= (f64::from(above) + shape) / (f64::from(above) + 1.0) * odds;
        if term < 1e-9 * sum {
            break;
        }
    }
    (ln_mass + f64::ln(sum)).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_count_sums_to_one_and_falls() {
        assert!(ln_tail(0, 0.7, 2.0).abs() < 1e-9);
        // P(X >= 1) = 1 - (r / (r + m))^r.
        let expected = (1.0 - (2.0_f64 / 2.7).powi(2)).ln();
        assert!((ln_tail(1, 0.7, 2.0) - expected).abs() < 1e-9);
        assert!(ln_tail(5, 0.05, 1.0) < ln_tail(4, 0.05, 1.0));
    }

    #[test]
    fn evenings_and_cold_days_are_expected_to_bring_more() {
        let mut rate = Rate::default();
        for hour in 0..60 * 24 {
            let cold = (hour / 24) % 2 == 0;
            let tickets = if hour % 24 == 12 { 6.0 } else { 1.0 } * if cold { 2.0 } else { 1.0 };
            rate.end_hour(hour, Some(if cold { -18.0 } else { -3.0 }), tickets);
        }
        let at = |hour: i64, outdoor: f64| {
            let mut rate = rate.clone();
            rate.end_hour(hour, Some(outdoor), 1.0);
            f64::from(rate.recent[HOURS_KEPT - 1])
        };
        assert!(at(1_452, -3.0) > 3.0 * at(1_453, -3.0));
        assert!(at(1_453, -18.0) > 1.5 * at(1_453, -3.0));
    }
}
