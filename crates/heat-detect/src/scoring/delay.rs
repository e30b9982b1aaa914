//! How soon, and what it cost meanwhile.

use heat_hydraulics::water::density_kg_m3;
use heat_model::plant::Side;

use super::{Event, is_sudden};

/// Temperatures at which lost water is turned into m3.
const SUPPLY_CELSIUS: f64 = 85.0;
const RETURN_CELSIUS: f64 = 45.0;

/// One step of a Kaplan-Meier curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Time after the onset, microseconds.
    pub at_us: i64,
    /// Share found by then.
    pub found: f64,
}

/// Kaplan-Meier curve of delays: `observed` are delays, `censored` the times after which the missed were given up.
pub fn curve(observed: &[i64], censored: &[i64]) -> Vec<Step> {
    let mut all: Vec<(i64, bool)> = observed.iter().map(|&delay| (delay, true)).collect();
    all.extend(censored.iter().map(|&time| (time, false)));
    // At equal times, what was found counts before what was given up.
    all.sort_by_key(|&(time, found)| (time, !found));
    let mut at_risk = all.len() as f64;
    let mut missing = 1.0;
    let mut steps = Vec::new();
    for (at_us, found) in all {
        if found {
            missing *= 1.0 - 1.0 / at_risk;
            steps.push(Step { at_us, found: 1.0 - missing });
        }
        at_risk -= 1.0;
    }
    steps
}

/// Time by which a share was found; `None` where too few were.
pub fn quantile_us(curve: &[Step], share: f64) -> Option<i64> {
    curve.iter().find(|step| step.found >= share - 1e-12).map(|step| step.at_us)
}

/// Water lost from the onset until `after_us` later, m3: a sudden leak loses its size at once, one that grows does so
/// in proportion to time until its end. Density at 85 degC (supply), 45 degC (return), their mean where the side is
/// unknown.
pub fn lost_m3(event: &Event, after_us: i64, side: Option<Side>) -> Option<f64> {
    let size = event.size_kg_s?;
    let seconds = after_us.clamp(0, (event.off_us - event.on_us).max(0)) as f64 / 1e6;
    let lasting = ((event.off_us - event.on_us) as f64 / 1e6).max(1e-6);
    let kg =
        if is_sudden(&event.class) { size * seconds } else { size * seconds * seconds / (2.0 * lasting) };
    let celsius = match side {
        Some(Side::Supply) => SUPPLY_CELSIUS,
        Some(Side::Return) => RETURN_CELSIUS,
        None => f64::midpoint(SUPPLY_CELSIUS, RETURN_CELSIUS),
    };
    Some(kg / density_kg_m3(celsius))
}

/// Smallest size found by half. `trials` are (size, found in time). Probability is taken to rise with size: an isotonic
/// regression (pool adjacent violators) of found on size; the smallest size whose fitted probability is at least one
/// half. `None` where none is.
pub fn smallest_found_by_half(trials: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = trials.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Pools: smallest size, sum found, count.
    let mut pools: Vec<(f64, f64, f64)> = Vec::new();
    for (size, found) in sorted {
        let mut pool = (size, f64::from(u8::from(found)), 1.0);
        while let Some(before) = pools.last().copied() {
            if before.0 < pool.0 && before.1 / before.2 < pool.1 / pool.2 {
                break;
            }
            pool = (before.0, before.1 + pool.1, before.2 + pool.2);
            pools.pop();
        }
        pools.push(pool);
    }
    pools.iter().find(|(_, found, count)| found / count >= 0.5).map(|(size, _, _)| *size)
}
