//! Step or ramp: did the loss begin within minutes, or does it grow over days?
//!
//! The best step and the best ramp are fitted to the hourly residuals by generalised least squares: a base loss wanders,
//! so residuals and profiles are whitened by the residuals' own lag-1 correlation first. What decides is the likelihood
//! ratio of the two. Not their plain sums of squares: a wandering base loss drawn out over a day looks like either.
//! A ramp that has just begun is no different from a small step; only waiting tells.

use std::collections::VecDeque;

use crate::bins::BINS_PER_DAY;

/// Hours before the onset that the fits see.
const LEAD_HOURS: i64 = 24;
/// Hours that the fits see at most.
const HOURS_MAX: usize = 6 * 24;
/// Hours without which nothing is said.
const HOURS_MIN: usize = 8;
/// Quarter hours in an hour.
const PER_HOUR: i64 = BINS_PER_DAY as i64 / 24;

/// Correlation and standard deviation of hourly residuals, and of what whitening leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    pub(crate) correlation: f64,
    pub(crate) sigma: f64,
}

/// What the fits say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// Log likelihood of the best ramp less that of the best step.
    pub(crate) ramp_over_step: f64,
    /// Hours since the best ramp's start.
    pub(crate) ramp_hours: f64,
}

/// Shape of an excess that a test dates to `onset`; `None` for too few data. What lies before the bin `fresh_since`
/// belongs to another leak.
pub(crate) fn fit(
    recent: &VecDeque<(i64, f32)>,
    onset: i64,
    fresh_since: i64,
    noise: Noise,
) -> Option<Shape> {
    let hours = hours(recent, fresh_since.max(onset - LEAD_HOURS * PER_HOUR));
    let count = hours.len();
    if count < HOURS_MIN || noise.sigma <= 0.0 {
        return None;
    }
    let whitened = whiten(&hours, noise.correlation);
    let total: f64 = whitened.iter().map(|value| value * value).sum();
    let (step, _) = gain(&whitened, noise.correlation, |t| t.clamp(0.0, 1.0));
    let (ramp, start) = gain(&whitened, noise.correlation, |t| {
        let (end, start) = (t.max(0.0), (t - 1.0).max(0.0));
        (end * end - start * start) / 2.0
    });
    // What the better fit leaves is noise, too: make-up that comes in batches leaves much.
    let left = (total - step.max(ramp)) / count as f64;
    Some(Shape {
        ramp_over_step: (ramp - step) / (2.0 * left.max(noise.sigma * noise.sigma)),
        ramp_hours: count as f64 - start,
    })
}

/// Mean residuals of hours that end with the newest bin, oldest first; an hour without any repeats the one before.
fn hours(recent: &VecDeque<(i64, f32)>, from: i64) -> Vec<f64> {
    let Some(&(newest, _)) = recent.back() else { return Vec::new() };
    let mut sums: Vec<(f64, u32)> = Vec::new();
    for &(bin, residual) in recent.iter().rev().take_while(|(bin, _)| *bin >= from) {
        let Ok(hour) = usize::try_from((newest - bin) / PER_HOUR) else { continue };
        if hour >= HOURS_MAX {
            break;
        }
        sums.resize(sums.len().max(hour + 1), (0.0, 0));
        sums[hour].0 += f64::from(residual);
        sums[hour].1 += 1;
    }
    let mut last = 0.0;
    sums.iter()
        .rev()
        .map(|(sum, count)| {
            if *count > 0 {
                last = sum / f64::from(*count);
            }
            last
        })
        .collect()
}

fn whiten(values: &[f64], correlation: f64) -> Vec<f64> {
    let mut before = None;
    values
        .iter()
        .map(|&value| {
            let last: Option<f64> = before.replace(value);
            // The first value has no past; scaled, its variance is that of the others.
            last.map_or(value * (1.0 - correlation * correlation).sqrt(), |last| value - correlation * last)
        })
        .collect()
}

/// Largest reduction of the sum of squares over all starts of a one-parameter profile of time since its start, hours, and
/// that start.
fn gain(whitened: &[f64], correlation: f64, profile: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (0.0_f64, whitened.len() as f64);
    for start in 1..whitened.len() as i64 * PER_HOUR {
        let start = start as f64 / PER_HOUR as f64;
        let (mut product, mut square, mut before) = (0.0, 0.0, 0.0);
        for (hour, value) in whitened.iter().enumerate().skip(start as usize) {
            let at = profile(hour as f64 + 1.0 - start);
            let weight = at - correlation * before;
            before = at;
            product += weight * value;
            square += weight * weight;
        }
        if product > 0.0 && square > 0.0 && product * product / square > best.0 {
            best = (product * product / square, start);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise { correlation: 0.3, sigma: 0.06 };

    fn series(leak: impl Fn(i64) -> f64) -> VecDeque<(i64, f32)> {
        (0..240)
            .map(|bin| (bin, (leak(bin) + 0.1 * ((bin * 7_919 % 13) as f64 / 6.0 - 1.0)) as f32))
            .collect()
    }

    fn likelier(recent: &VecDeque<(i64, f32)>, onset: i64) -> f64 {
        fit(recent, onset, 0, NOISE).unwrap().ramp_over_step
    }

    #[test]
    fn a_leak_at_once_is_a_step_and_a_growing_one_a_ramp() {
        let step = likelier(&series(|bin| if bin >= 200 { 0.5 } else { 0.0 }), 200);
        assert!(step < -4.0, "{step}");
        let ramp = likelier(&series(|bin| (bin - 100).max(0) as f64 * 0.005), 130);
        assert!(ramp > 4.0, "{ramp}");
    }

    #[test]
    fn noise_alone_and_a_leak_that_has_just_begun_do_not_decide() {
        let nothing = likelier(&series(|_| 0.0), 200);
        assert!(nothing.abs() < 4.0, "{nothing}");
        let young = likelier(&series(|bin| if bin >= 236 { 0.3 } else { 0.0 }), 236);
        assert!(young.abs() < 4.0, "{young}");
    }
}
