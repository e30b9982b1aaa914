//! What chance would reach, and how sure a count is.

use super::{Alarm, Event, MONTH_US, matching, rates};
use crate::balance::sequential::SplitMix;

/// Random draws of the chance line.
const DRAWS: usize = 1_000;

/// Recall that random alarms reach: as many of each class, network and place as were raised, at uniform times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChanceLine {
    /// Mean recall of the draws.
    pub mean: f64,
    /// Recall that 95 % of the draws do not exceed. Detection is claimed only above it.
    pub quantile95: f64,
}

/// The chance line. `span_us` gives the scored span of an alarm's network; the draws are the same for the same input.
/// `None` where there is no event to find.
pub fn chance_line(
    events: &[Event],
    alarms: &[Alarm],
    span_us: impl Fn(&str) -> (i64, i64),
) -> Option<ChanceLine> {
    if events.is_empty() {
        return None;
    }
    let mut random = SplitMix::new(0x4865_6174);
    let spans: Vec<(i64, i64)> = alarms.iter().map(|alarm| span_us(&alarm.network)).collect();
    // Only the time is drawn, so which events an alarm is about is known beforehand.
    let about: Vec<Vec<usize>> = alarms
        .iter()
        .map(|alarm| (0..events.len()).filter(|&event| matching::is_about(&events[event], alarm)).collect())
        .collect();
    let order: Vec<usize> = (0..alarms.len()).collect();
    let mut fits: Vec<Vec<usize>> = vec![Vec::new(); alarms.len()];
    let mut recalls: Vec<f64> = (0..DRAWS)
        .map(|_| {
            for ((fits, about), (from, to)) in fits.iter_mut().zip(&about).zip(&spans) {
                let at = from + (random.unit() * (to - from).max(0) as f64) as i64;
                let inside = |&&event: &&usize| {
                    let event = &events[event];
                    event.on_us <= at && at <= super::deadline_us(event)
                };
                fits.clear();
                fits.extend(about.iter().filter(inside));
            }
            let found = matching::pair(&order, &fits, events.len()).iter().flatten().count();
            rates(events.len(), found, alarms.len() - found).recall.unwrap_or(0.0)
        })
        .collect();
    recalls.sort_by(f64::total_cmp);
    Some(ChanceLine {
        mean: recalls.iter().sum::<f64>() / DRAWS as f64,
        quantile95: recalls[(DRAWS * 95 / 100).min(DRAWS - 1)],
    })
}

/// Two-sided 95 % interval of a Poisson count's expectation (Garwood, exact).
pub fn poisson_interval(count: u32) -> (f64, f64) {
    let solve = |target: f64, count: u32| {
        let (mut low, mut high) = (0.0_f64, 10.0 + 3.0 * f64::from(count));
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            // The distribution function falls as the expectation rises.
            if poisson_cdf(count, middle) > target { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let low = if count == 0 { 0.0 } else { solve(0.975, count - 1) };
    (low, solve(0.025, count))
}

/// Summed from logarithms: the largest term of a large count would not fit otherwise.
fn poisson_cdf(count: u32, expectation: f64) -> f64 {
    if expectation <= 0.0 {
        return 1.0;
    }
    let mut log_term = -expectation;
    let mut sum = log_term.exp();
    for k in 1..=count {
        log_term += (expectation / f64::from(k)).ln();
        sum += log_term.exp();
    }
    sum
}

/// A rate per month of 30 days with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventRate {
    /// Point estimate.
    pub per_month: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// The rate of so many events in an exposure (the sum over networks or stations of their scored time, microseconds);
/// `None` without exposure.
pub fn event_rate(count: usize, exposure_us: i64) -> Option<EventRate> {
    let months = exposure_us as f64 / MONTH_US as f64;
    if months <= 0.0 {
        return None;
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let (low, high) = poisson_interval(count);
    Some(EventRate { per_month: f64::from(count) / months, low: low / months, high: high / months })
}
