//! The sources' heat: what is delivered against the plan, and whether there is enough for the cold ahead.
//!
//! Delivered is what the boundary meter (关口表, `heat_power` of a source) says, else flow and temperatures of the
//! source. The plan is a signal of the source too (`planned_heat_power`), as dispatch sets it; the mean of their ratio
//! over six hours is told beyond [`PLAN_SHARE`] and ends within half of it.
//!
//! What a day will need follows from degree hours: heat by kelvin below 18 degC of the weather that houses feel, a mean
//! over two weeks. One number, and no fit: it must hold where nothing was measured yet, in colder weather than ever. The
//! coldest day ahead is the lowest mean of 24 hours in the next three days of the newest forecast; without one, today's
//! mean gone on by a day as it went since yesterday. It is told where that needs more than [`RESERVE_SHARE`] of what can
//! be delivered (`available_heat_power`, which a plant lowers when a boiler is out).
//!
//! Cold start: three days of heat and weather for the reserve; the plan is judged from the first six hours.

use serde::{Deserialize, Serialize};

/// Share off the plan that is told.
const PLAN_SHARE: f64 = 0.1;
/// Quarter hours of its mean, and those that it needs.
const PLAN_BINS: f64 = 24.0;
const PLAN_BINS_MIN: u32 = 24;
/// Share of the available heat beyond which too little is in reserve, and below which there is enough again.
const RESERVE_SHARE: f64 = 0.95;
const ENOUGH_SHARE: f64 = 0.9;
/// Above it no heat is needed, degC.
const HEATING_LIMIT_CELSIUS: f64 = 18.0;
const MEMORY_BINS: f64 = 14.0 * 96.0;
const KNOWN_BINS: u32 = 3 * 96;
const HOUR_US: i64 = 3_600_000_000;
/// Hours ahead that are looked at, and the age at which a forecast is none, hours.
const AHEAD_HOURS: i64 = 72;
const FORECAST_AGE_HOURS: i64 = 24;
const HOURS_MAX: usize = 240;
/// Fastest fall that is gone on with, K a day.
const TREND_MAX_KELVIN: f64 = 8.0;

/// What the sources deliver in a quarter hour, W; `None` where not all of them tell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delivered {
    pub(super) heat: Option<f64>,
    pub(super) planned: Option<f64>,
    pub(super) available: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reserve {
    issued_hour: i64,
    /// Outdoor temperature ahead, by hour from the epoch.
    forecast: Vec<(i64, f32)>,
    /// Hourly means of the last two days, newest last; and the hour under way.
    hours: Vec<f32>,
    hour: i64,
    sum: f64,
    count: u32,
    heat: f64,
    degrees: f64,
    bins: u32,
    ratio: f64,
    ratio_bins: u32,
    off_plan: bool,
    short: bool,
}

/// What became of plan or reserve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// Delivered and planned, W.
    OffPlan {
        delivered: f64,
        planned: f64,
    },
    OnPlan,
    /// Needed and available, W, on a day of so many degC.
    Short {
        needed: f64,
        available: f64,
        celsius: f64,
    },
    Enough,
}

impl Reserve {
    /// Takes a forecast: times in microseconds and degC.
    pub(super) fn forecast(&mut self, issued_us: i64, ahead: impl Iterator<Item = (i64, f64)>) {
        let issued_hour = issued_us.div_euclid(HOUR_US);
        if issued_hour < self.issued_hour {
            return;
        }
        self.issued_hour = issued_hour;
        self.forecast.clear();
        let hours = ahead.filter(|(_, celsius)| celsius.is_finite());
        self.forecast.extend(
            hours.map(|(at_us, celsius)| (at_us.div_euclid(HOUR_US), celsius as f32)).take(HOURS_MAX),
        );
        self.forecast.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        self.forecast.dedup_by_key(|(hour, _)| *hour);
    }

    /// Takes a quarter hour. `outdoor` is the temperature now and in a house's walls, degC.
    pub(super) fn take(&mut self, bin: i64, delivered: Delivered, outdoor: Option<(f64, f64)>) {
        if let Some((now, walls)) = outdoor {
            self.weather(bin.div_euclid(4), now);
            if let Some(heat) = delivered.heat.filter(|_| walls < HEATING_LIMIT_CELSIUS) {
                self.bins = self.bins.saturating_add(1);
                let weight = 1.0 / f64::from(self.bins).min(MEMORY_BINS);
                self.heat += weight * (heat - self.heat);
                self.degrees += weight * (HEATING_LIMIT_CELSIUS - walls - self.degrees);
            }
        }
        if let Some((heat, planned)) =
            delivered.heat.zip(delivered.planned).filter(|(_, planned)| *planned > 0.0)
        {
            self.ratio_bins = self.ratio_bins.saturating_add(1);
            let weight = 1.0 / f64::from(self.ratio_bins).min(PLAN_BINS);
            self.ratio += weight * (heat / planned - self.ratio);
        }
    }

    fn weather(&mut self, hour: i64, celsius: f64) {
        if hour > self.hour {
            if self.count > 0 {
                self.hours.push((self.sum / f64::from(self.count)) as f32);
            }
            if self.hours.len() > 48 {
                self.hours.remove(0);
            }
            if hour - self.hour > 6 {
                self.hours.clear();
            }
            (self.hour, self.sum, self.count) = (hour, 0.0, 0);
        }
        self.sum += celsius;
        self.count += 1;
    }

    /// Heating has ended; whether too little was said to be in reserve.
    pub(super) fn ends(&mut self) -> bool {
        self.off_plan = false;
        std::mem::take(&mut self.short)
    }

    /// What changed.
    pub(super) fn judge(&mut self, bin: i64, delivered: Delivered) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some((heat, planned)) =
            delivered.heat.zip(delivered.planned).filter(|_| self.ratio_bins >= PLAN_BINS_MIN)
        {
            let off = (self.ratio - 1.0).abs();
            if !self.off_plan && off > PLAN_SHARE {
                self.off_plan = true;
                let delivered = self.ratio * planned;
                changes.push(Change::OffPlan { delivered, planned });
            } else if self.off_plan && off < PLAN_SHARE / 2.0 && (heat / planned - 1.0).abs() < PLAN_SHARE {
                self.off_plan = false;
                changes.push(Change::OnPlan);
            }
        }
        let ahead =
            self.coldest_day(bin.div_euclid(4)).filter(|_| self.bins >= KNOWN_BINS && self.degrees > 1.0);
        if let Some((celsius, available)) = ahead.zip(delivered.available) {
            let needed = self.heat / self.degrees * (HEATING_LIMIT_CELSIUS - celsius).max(0.0);
            if !self.short && needed > RESERVE_SHARE * available {
                self.short = true;
                changes.push(Change::Short { needed, available, celsius });
            } else if self.short && needed < ENOUGH_SHARE * available {
                self.short = false;
                changes.push(Change::Enough);
            }
        }
        changes
    }

    /// Mean of the coldest day ahead, degC.
    fn coldest_day(&self, hour: i64) -> Option<f64> {
        if hour - self.issued_hour <= FORECAST_AGE_HOURS {
            let ahead: Vec<(i64, f32)> = self
                .forecast
                .iter()
                .filter(|(at, _)| (hour..hour + AHEAD_HOURS).contains(at))
                .copied()
                .collect();
            let day = |from: i64| {
                let inside: Vec<f64> = ahead
                    .iter()
                    .filter(|(at, _)| (from..from + 24).contains(at))
                    .map(|(_, celsius)| f64::from(*celsius))
                    .collect();
                // Forecasts come in steps of one, three or six hours.
                (inside.len() >= 4).then(|| inside.iter().sum::<f64>() / inside.len() as f64)
            };
            let last = ahead.last().map_or(hour, |(at, _)| *at);
            let coldest = ahead.iter().filter(|(at, _)| at + 23 <= last).filter_map(|(at, _)| day(*at));
            if let Some(coldest) = coldest.min_by(f64::total_cmp) {
                return Some(coldest);
            }
        }
        if self.hours.len() < 48 {
            return None;
        }
        let mean =
            |hours: &[f32]| hours.iter().map(|celsius| f64::from(*celsius)).sum::<f64>() / hours.len() as f64;
        let today = mean(&self.hours[self.hours.len() - 24..]);
        let fell = (today - mean(&self.hours[..24])).clamp(-TREND_MAX_KELVIN, 0.0);
        Some(today + fell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGAWATT: f64 = 1e6;

    /// Days at 0 degC that need 10 MW.
    fn run(
        reserve: &mut Reserve,
        bins: std::ops::Range<i64>,
        delivered: Delivered,
        celsius: f64,
    ) -> Vec<Change> {
        bins.flat_map(|bin| {
            reserve.take(bin, delivered, Some((celsius, celsius)));
            reserve.judge(bin, delivered)
        })
        .collect()
    }

    fn delivering(heat: f64, planned: f64, available: f64) -> Delivered {
        let megawatts = |value: f64| Some(value * MEGAWATT);
        Delivered { heat: megawatts(heat), planned: megawatts(planned), available: megawatts(available) }
    }

    #[test]
    fn a_cold_day_ahead_that_needs_more_than_there_is_is_told_with_the_forecast() {
        let mut reserve = Reserve::default();
        let usual = delivering(10.0, 10.0, 15.0);
        assert_eq!(run(&mut reserve, 0..4 * 96, usual, 0.0), []);
        let from = 4 * 24;
        // -10 degC needs 10 * 28 / 18 = 15.6 MW.
        let ahead = (0..72).map(|hour| ((from + hour) * HOUR_US, if hour < 30 { 0.0 } else { -10.0 }));
        reserve.forecast(from * HOUR_US, ahead);
        let said = run(&mut reserve, 4 * 96..4 * 96 + 4, usual, 0.0);
        assert!(
            matches!(said.as_slice(), [Change::Short { celsius, needed, .. }]
                if (celsius + 10.0).abs() < 0.1 && (needed / MEGAWATT - 15.56).abs() < 0.1),
            "{said:?}"
        );
        let mild = (0..72).map(|hour| ((from + 1 + hour) * HOUR_US, 2.0));
        reserve.forecast((from + 1) * HOUR_US, mild);
        assert_eq!(run(&mut reserve, 4 * 96 + 4..4 * 96 + 8, usual, 0.0), [Change::Enough]);
    }

    #[test]
    fn without_a_forecast_the_fall_since_yesterday_goes_on() {
        let mut reserve = Reserve::default();
        let usual = delivering(10.0, 10.0, 15.0);
        run(&mut reserve, 0..6 * 96, usual, 0.0);
        let said = run(&mut reserve, 6 * 96..7 * 96, delivering(12.5, 12.5, 15.0), -5.0);
        assert!(matches!(said.first(), Some(Change::Short { .. })), "{said:?}");
    }

    #[test]
    fn heat_below_the_plan_is_told_after_hours_and_ends_when_it_is_back() {
        let mut reserve = Reserve::default();
        assert_eq!(run(&mut reserve, 0..96, delivering(10.0, 10.2, 20.0), 0.0), []);
        let short = run(&mut reserve, 96..192, delivering(8.0, 10.0, 20.0), 0.0);
        assert!(matches!(short.as_slice(), [Change::OffPlan { .. }]), "{short:?}");
        assert_eq!(run(&mut reserve, 192..288, delivering(10.0, 10.0, 20.0), 0.0), [Change::OnPlan]);
    }
}
