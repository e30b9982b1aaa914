//! Step or ramp: the best step and the best ramp are fitted to the residuals and compared.

use std::collections::VecDeque;

use crate::bins::BINS_PER_DAY;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It began within minutes.
    Step,
    /// It grows.
    Ramp,
    /// The data do not tell yet.
    Undecided,
}

/// Residuals before the onset that the fits see.
const LEAD_BINS: i64 = 48;
/// Improvement in squared standard deviations that decides: base losses wander over hours, so that four quarter hours
/// say little more than one.
const DECISION: f64 = 20.0;

/// Shape of an excess that a test dates to `onset`.
pub(crate) fn of(recent: &VecDeque<(i64, f32)>, onset: i64, scale: f64) -> Shape {
    let Some((gain, left)) = gain(recent, onset) else { return Shape::Undecided };
    // What the better fit leaves is noise, too: make-up that comes in batches leaves much.
    let sigma = scale.max(left.sqrt()).max(1e-12);
    if gain > DECISION * sigma * sigma {
        Shape::Step
    } else if gain < -DECISION * sigma * sigma {
        Shape::Ramp
    } else {
        Shape::Undecided
    }
}

/// Which of the two fits better, however little.
pub(crate) fn is_likelier_step(recent: &VecDeque<(i64, f32)>, onset: i64) -> bool {
    gain(recent, onset).is_some_and(|(gain, _)| gain > 0.0)
}

/// By how much a step fits better than a ramp, as a sum of squares; and the mean square that the better one leaves.
fn gain(recent: &VecDeque<(i64, f32)>, onset: i64) -> Option<(f64, f64)> {
    let from = onset - LEAD_BINS;
    let mut values: Vec<f64> = recent
        .iter()
        .rev()
        .take_while(|(bin, _)| *bin >= from)
        .take(8 * BINS_PER_DAY)
        .map(|(_, residual)| f64::from(*residual))
        .collect();
    values.reverse();
    if values.len() < 24 {
        return None;
    }
    let step = best(&values, |_, _| 1.0);
    let ramp = best(&values, |index, start| (index - start) as f64 + 0.5);
    Some((ramp - step, step.min(ramp) / values.len() as f64))
}

/// Least sum of squares over all starts of a one-parameter profile that is zero before its start.
fn best(values: &[f64], profile: impl Fn(usize, usize) -> f64) -> f64 {
    let total: f64 = values.iter().map(|value| value * value).sum();
    (1..values.len())
        .map(|start| {
            let (mut product, mut square) = (0.0, 0.0);
            for (index, value) in values.iter().enumerate().skip(start) {
                let weight = profile(index, start);
                product += weight * value;
                square += weight * weight;
            }
            if product > 0.0 { total - product * product / square } else { total }
        })
        .fold(total, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(leak: impl Fn(i64) -> f64) -> VecDeque<(i64, f32)> {
        (0..192)
            .map(|bin| (bin, (leak(bin) + 0.1 * ((bin * 7_919 % 13) as f64 / 6.0 - 1.0)) as f32))
            .collect()
    }

    #[test]
    fn a_leak_at_once_is_a_step_and_a_growing_one_a_ramp() {
        assert_eq!(of(&series(|bin| if bin >= 150 { 1.0 } else { 0.0 }), 150, 0.1), Shape::Step);
        assert_eq!(of(&series(|bin| (bin - 100).max(0) as f64 * 0.01), 110, 0.1), Shape::Ramp);
    }

    #[test]
    fn noise_alone_does_not_decide() {
        assert_eq!(of(&series(|_| 0.0), 150, 0.1), Shape::Undecided);
    }
}
